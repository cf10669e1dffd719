"""Newton's method without the Hessian: a trust region, and conjugate gradients on Hessian-vector products.

Each iteration minimises the model m(p) = f + g'p + p'Hp / 2 over |p| <= radius by Steihaug's conjugate gradients (The conjugate
gradient method and trust regions in large scale optimization, SIAM J. Numer. Anal. 20, 1983; algorithm 7.2 of Nocedal &
Wright, Numerical Optimization, 2006), and the radius follows the ratio of the decrease to the model's (their algorithm 4.1).

Why a trust region and not a truncated line search: a direction of negative curvature is followed to the boundary, where a
line search method can only stop at it, so saddle points are left; the length of the step is bounded before the function
is evaluated, so one NaN costs one evaluation; and a step needs one gradient, where the Wolfe conditions may take several.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from optim.results import Array, Callback, Limits, Objective, Point, Result, Steps, Stop, descend, exhausted, norm

Product = Callable[[Array, Array], Any]


def steihaug(product: Callable[[Array], Array], gradient: Array, radius: float, tolerance: float, most: int) -> tuple[Array, Array, bool]:
    """An approximate minimiser p of g'p + p'Hp / 2 in |p| <= radius, with H p, and whether it is on the boundary.

    >>> import numpy as np
    >>> steihaug(lambda v: np.array([2.0, -1.0]) * v, np.array([0.0, 1.0]), 3.0, 0.0, 10)  # negative curvature
    (array([ 0., -3.]), array([0., 3.]), True)

    Ends where the model's gradient is below `tolerance`, at the boundary, or after `most` products.
    """
    p, curved = np.zeros_like(gradient), np.zeros_like(gradient)
    residual = gradient
    direction = -residual
    square = float(residual @ residual)
    for _ in range(most):
        image = product(direction)
        curvature = float(direction @ image)
        if not math.isfinite(curvature):
            break
        length = square / curvature if curvature > 0 else math.inf
        if curvature <= 0 or norm(p + length * direction) >= radius:
            length = _to_boundary(p, direction, radius)
            return p + length * direction, curved + length * image, True
        p, curved = p + length * direction, curved + length * image
        residual = residual + length * image
        previous, square = square, float(residual @ residual)
        if math.sqrt(square) <= tolerance:
            break
        direction = direction * (square / previous) - residual
    return p, curved, False


def _to_boundary(p: Array, direction: Array, radius: float) -> float:
    """The positive t with |p + t direction| = radius, without cancellation."""
    a, b, c = float(direction @ direction), float(p @ direction), float(p @ p) - radius**2
    root = math.sqrt(max(b * b - a * c, 0.0))
    return -c / (b + root) if b > 0 else (root - b) / a


def newton_cg_steps(objective: Objective, product: Product, point: Point, *, radius: float = 1.0, maxcg: int | None = None) -> Steps:
    """The iterations of the trust-region method. A step is taken where it gains a thousandth of what the model says.

    Where nothing seems left to gain the model is solved to its full precision once, in the first radius: a rough
    solution knows little of flat directions.
    """
    most = maxcg or max(50, 2 * point.x.size)
    precision = float(np.finfo(point.x.dtype).eps)
    first, exact = radius, False
    while True:
        x, gradient = point.x, point.gradient

        def hessian_times(vector: Array, x: Array = x) -> Array:
            objective.products += 1
            with np.errstate(all="ignore"):
                return np.asarray(product(x, vector))

        size = norm(gradient)
        tolerance = 0.0 if exact else min(0.5, math.sqrt(size)) * size  # superlinear convergence (Nocedal & Wright, theorem 7.2)
        hoped = 0.0
        while True:
            p, curved, at_boundary = steihaug(hessian_times, gradient, radius, tolerance, most)
            promised = -float(gradient @ p + 0.5 * (p @ curved))
            length = norm(p)
            hoped = max(hoped, promised)
            if not promised > 0:
                return Stop(False, "the Hessian's products are not finite")
            trial = objective(x + p)
            rounding = 10 * precision * max(abs(point.value), abs(trial.value) if math.isfinite(trial.value) else 0.0)
            gained = point.value - trial.value
            # Once both are below the rounding of f, their ratio is noise (Conn, Gould & Toint, Trust-Region Methods, 17.4.2).
            ratio = 1.0 if abs(gained) <= rounding and promised <= rounding else gained / promised
            if ratio < 0.25:
                radius = 0.25 * length
            elif ratio > 0.75 and at_boundary:
                radius = 2 * radius
            if ratio > 1e-3:
                break
            if radius <= precision * norm(x) or radius == 0.0:
                if exact:
                    message = "no lower point within the smallest trust region; are the products those of the Hessian?"
                    return exhausted(point) if hoped <= 100 * rounding else Stop(False, message)
                trial = point
                break
        if trial is not point:
            point = trial
            yield point
        if trial.x is x or (not at_boundary and max(promised, abs(gained)) <= 0.1 * rounding):
            if exact:
                return exhausted(point)
            exact, radius = True, max(first, radius)
        else:
            exact = False


def minimize_newton_cg(
    value_and_grad: Callable[[Array], tuple[Any, Array]],
    hvp: Product,
    x0: Array,
    *,
    radius: float = 1.0,
    maxcg: int | None = None,
    callback: Callback | None = None,
    **limits: Any,
) -> Result:
    """Minimise a function of a vector by trust-region Newton steps; the Hessian is never formed.

    >>> import numpy as np, compgraph as cg
    >>> def saddle(x):
    ...     return np.sum(x ** 4 / 4 - x ** 2 / 2)
    >>> start = np.array([1e-6, 0.5, -2.0])
    >>> result = minimize_newton_cg(cg.value_and_grad(saddle), lambda x, v: cg.hvp(saddle, (x,), (v,)), start)
    >>> result.converged, result.x.round(6)
    (True, array([ 1.,  1., -1.]))

    `hvp(x, v)` is the Hessian at x times v. `radius` is the first trust region's, in the units of x; `maxcg` bounds the
    products of an iteration (default: twice the number of entries, and at least 50). The other options are those of
    `optim.results.Limits`.
    """
    objective = Objective(value_and_grad)
    start = objective.start(x0, "minimize_newton_cg")
    return descend(newton_cg_steps(objective, hvp, start, radius=radius, maxcg=maxcg), objective, start, Limits(**limits), callback)

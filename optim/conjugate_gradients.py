"""Nonlinear conjugate gradients: p+ = -g+ + beta p, with a line search, in memory for a few vectors.

With y = g+ - g the formulas for beta differ in how they forget where the function is not quadratic, where they are one:

    Fletcher-Reeves (1964)      g+'g+ / g'g
    Polak-Ribiere+ (1969)       max(0, g+'y / g'g)
    Hestenes-Stiefel (1952)     g+'y / p'y
    Hager-Zhang (2005)          (y - 2 p y'y / p'y)' g+ / p'y, but at least -1 / (|p| min(0.01, |g|))

Nocedal & Wright, Numerical Optimization (2006), section 5.2; Gilbert & Nocedal, Global convergence properties of conjugate
gradient methods, SIAM J. Optim. 2 (1992) for the +; Hager & Zhang, A new conjugate gradient method with guaranteed descent
and an efficient line search, SIAM J. Optim. 16 (2005), equations 1.3 and 1.6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import compgraph as cg
from optim.line_search import strong_wolfe
from optim.results import FAR, Array, Callback, Limits, Objective, Point, Result, Steps, Stop, descend, norm


def fletcher_reeves(gradient: Array, previous: Array, direction: Array) -> float:
    return float(gradient @ gradient) / float(previous @ previous)


def polak_ribiere(gradient: Array, previous: Array, direction: Array) -> float:
    return max(0.0, float(gradient @ (gradient - previous)) / float(previous @ previous))


def hestenes_stiefel(gradient: Array, previous: Array, direction: Array) -> float:
    change = gradient - previous
    return float(gradient @ change) / float(direction @ change)


def hager_zhang(gradient: Array, previous: Array, direction: Array) -> float:
    change = gradient - previous
    curvature = float(direction @ change)
    beta = float((change - direction * (2 * float(change @ change) / curvature)) @ gradient) / curvature
    return max(beta, -1.0 / (norm(direction) * min(0.01, norm(previous))))


FORMULAS = {
    "fletcher-reeves": fletcher_reeves,
    "polak-ribiere": polak_ribiere,
    "hestenes-stiefel": hestenes_stiefel,
    "hager-zhang": hager_zhang,
}


def checked_formula(formula: str, name: str) -> str:
    if formula not in FORMULAS:
        raise cg.InputError(f"{name}: there is no formula {formula!r:.40}; there are {', '.join(FORMULAS)}{cg.here()}")
    return formula


def cg_steps(objective: Objective, point: Point, *, formula: str = "polak-ribiere", maxls: int = 25) -> Steps:
    """The iterations of nonlinear conjugate gradients.

    The curvature condition is strict, c2 = 0.1: for Fletcher-Reeves below 1/2 every direction descends (Nocedal & Wright, lemma
    5.6). Fletcher-Reeves starts anew where successive gradients are far from orthogonal (Powell's test, equation 5.52), since
    it would else keep a poor direction; any formula does where its direction does not descend or a search fails.
    """
    beta = FORMULAS[formula]
    direction = -point.gradient
    step = min(1.0, 1.0 / float(abs(point.gradient).sum()))
    noise = 4 * float(np.finfo(point.x.dtype).eps)
    fresh = True
    while True:
        slope = float(direction @ point.gradient)
        x, value, gradient = point
        found = strong_wolfe(objective.pair, x, direction, value, gradient, step=step, c2=0.1, maxls=maxls, noise=noise * abs(value))
        if not found.step:
            if fresh:  # unlike a quasi-Newton step, this one says nothing of how much there is left to gain
                return Stop(False, f"the line search failed: {found.message}")
            direction, step, fresh = -gradient, min(1.0, 1.0 / float(abs(gradient).sum())), True
            continue
        yield (point := Point(found.x, found.value, found.gradient))
        if not found.found and found.step > FAR * step:
            return Stop(False, found.message)
        if not found.found or (formula == "fletcher-reeves" and abs(point.gradient @ gradient) > 0.1 * (point.gradient @ point.gradient)):
            direction, fresh = -point.gradient, True
        else:
            direction, fresh = direction * beta(point.gradient, gradient, direction) - point.gradient, False
        following = float(direction @ point.gradient)
        if not following < 0:
            direction, fresh = -point.gradient, True
            following = float(direction @ point.gradient)
        # The first trial expects the same first-order decrease as the last step (Nocedal & Wright, section 3.5).
        step = found.step * slope / following if following else 1.0


def minimize_cg(
    value_and_grad: Callable[[Array], tuple[Any, Array]],
    x0: Array,
    *,
    formula: str = "polak-ribiere",
    maxls: int = 25,
    callback: Callback | None = None,
    **limits: Any,
) -> Result:
    """Minimise a function of a vector by nonlinear conjugate gradients with a strong Wolfe line search.

    >>> import numpy as np, compgraph as cg
    >>> result = minimize_cg(cg.value_and_grad(lambda x: np.sum(np.cosh(x - 1.0))), np.array([3.0, -2.0]), formula="hager-zhang")
    >>> result.converged, result.x.round(6)
    (True, array([1., 1.]))

    `formula` is "fletcher-reeves", "polak-ribiere", "hestenes-stiefel" or "hager-zhang"; the other options are those of
    `minimize_lbfgs`. It needs four vectors, where L-BFGS needs twenty, and more iterations.
    """
    objective = Objective(value_and_grad)
    checked_formula(formula, "minimize_cg")
    start = objective.start(x0, "minimize_cg")
    return descend(cg_steps(objective, start, formula=formula, maxls=maxls), objective, start, Limits(**limits), callback)

"""L-BFGS: the inverse Hessian from the last few steps and the changes of the gradient along them.

Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 35 (1980); algorithm 7.4 of
Nocedal & Wright, Numerical Optimization (2006). With s = x+ - x, y = g+ - g and rho = 1 / s'y each pair updates

    H+ = (I - rho s y') H (I - rho y s') + rho s s'

starting from H = (s'y / y'y) I of the latest pair, and -H g is computed without forming H, in two loops over the pairs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from optim.line_search import strong_wolfe
from optim.results import FAR, Array, Callback, Limits, Objective, Point, Result, Steps, Stop, descend, exhausted, norm, stuck


class Memory:
    """The last `size` pairs of steps s and gradient changes y.

    >>> import numpy as np
    >>> memory = Memory(5)
    >>> memory.push(np.array([1.0, 0.0]), np.array([4.0, 0.0]), 0.0)
    True
    >>> memory.direction(np.array([8.0, 1.0]))  # along s the Hessian is 4, elsewhere it is taken to be the same
    array([-2.  , -0.25])
    """

    def __init__(self, size: int) -> None:
        self.steps: deque[Array] = deque(maxlen=size)
        self.changes: deque[Array] = deque(maxlen=size)
        self.inverses: deque[Any] = deque(maxlen=size)  # 1 / s'y
        self.scale: Any = 1.0

    def __len__(self) -> int:
        return len(self.steps)

    def clear(self) -> None:
        for pairs in (self.steps, self.changes, self.inverses):
            pairs.clear()
        self.scale = 1.0

    def push(self, step: Array, change: Array, least: float) -> bool:
        """Keep the pair if s'y is more than `least`, without which H would not stay positive definite."""
        curvature = change @ step
        if not curvature > least:
            return False
        self.steps.append(step)
        self.changes.append(change)
        self.inverses.append(1.0 / curvature)
        self.scale = curvature / (change @ change)
        return True

    def direction(self, gradient: Array) -> Array:
        """-H g, by the two loops."""
        pairs = list(zip(self.steps, self.changes, self.inverses, strict=True))
        weights = []
        p = -gradient
        for s, y, inverse in reversed(pairs):
            weights.append((s @ p) * inverse)
            p = p - weights[-1] * y
        p = p * self.scale
        for (s, y, inverse), weight in zip(pairs, reversed(weights), strict=True):
            p = p + (weight - (y @ p) * inverse) * s
        return p


def lbfgs_steps(objective: Objective, point: Point, *, maxcor: int = 10, maxls: int = 25) -> Steps:
    """The iterations of L-BFGS. Where a search along -H g fails, the pairs are forgotten and -g is tried."""
    memory = Memory(maxcor)
    precision = float(np.finfo(point.x.dtype).eps)
    promised = None
    while True:
        direction = memory.direction(point.gradient)
        slope = float(direction @ point.gradient)
        if not slope < 0 or not np.all(np.isfinite(direction)):
            memory.clear()
            direction, slope = -point.gradient, -float(point.gradient @ point.gradient)
        first = 1.0 if len(memory) else min(1.0, 1.0 / float(np.sum(np.abs(point.gradient))))
        found = strong_wolfe(objective.pair, *_from(point, direction), step=first, maxls=maxls, noise=4 * precision * abs(point.value))
        if not found.step:
            promised = promised or -slope
            if not len(memory):
                return stuck(point, promised, f"the line search failed: {found.message}")
            memory.clear()
            continue
        promised = None
        new = Point(found.x, found.value, found.gradient)
        step, change = new.x - point.x, new.gradient - point.gradient
        memory.push(step, change, precision * norm(step) * norm(change))
        yield new
        if not found.found and found.step > FAR * first:
            return Stop(False, found.message)
        if new.value >= point.value and -slope <= precision * abs(new.value):  # -slope = g'Hg is about twice what is left to gain
            return exhausted(new)
        point = new


def _from(point: Point, direction: Array) -> tuple[Array, Array, float, Array]:
    """The arguments of a line search that are the same for every method."""
    return point.x, direction, point.value, point.gradient


def minimize_lbfgs(
    value_and_grad: Callable[[Array], tuple[Any, Array]],
    x0: Array,
    *,
    maxcor: int = 10,
    maxls: int = 25,
    callback: Callback | None = None,
    **limits: Any,
) -> Result:
    """Minimise a function of a vector by L-BFGS with a strong Wolfe line search.

    >>> import numpy as np, compgraph as cg
    >>> def rosenbrock(x):
    ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> result = minimize_lbfgs(cg.value_and_grad(rosenbrock), np.array([-1.2, 1.0]))
    >>> result.converged, result.x.round(6)
    (True, array([1., 1.]))

    `value_and_grad(x)` returns a number and a vector like x. `maxcor` pairs are kept, and a line search makes at most
    `maxls` trials; the other options are those of `optim.results.Limits`: gtol, ftol, xtol, maxiter, maxfun.
    Raises `InputError` where the value or gradient at `x0` is not finite.
    """
    objective = Objective(value_and_grad)
    start = objective.start(x0, "minimize_lbfgs")
    return descend(lbfgs_steps(objective, start, maxcor=maxcor, maxls=maxls), objective, start, Limits(**limits), callback)

"""A step along a direction that satisfies the strong Wolfe conditions.

With phi(t) = f(x + t p) and phi'(0) < 0 they are, for 0 < c1 < c2 < 1 (Nocedal & Wright, Numerical Optimization, 2nd ed.,
2006, equation 3.7),

    phi(t) <= phi(0) + c1 t phi'(0)        sufficient decrease
    |phi'(t)| <= c2 |phi'(0)|              curvature

The search is their algorithms 3.5, which brackets such a step, and 3.6, which zooms into the bracket. Trial steps are
minimisers of the cubic through the values and slopes at the bracket's ends (equation 3.59), with the bounds and the
safeguard of PyTorch's `strong_wolfe`, so that L-BFGS walks the same path. A trial whose value or slope is NaN or infinite
counts as too far.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg

Array = np.ndarray[Any, np.dtype[Any]]
Objective = Callable[[Array], tuple[float, Array]]


class Search(NamedTuple):
    """Where a line search ended. `step` is 0 where no trial lowered the value; `found` says whether both conditions hold."""

    step: float
    x: Array
    value: float
    gradient: Array
    evaluations: int
    found: bool
    message: str


class _Trial(NamedTuple):
    step: float
    value: float
    slope: float
    x: Array
    gradient: Array


def cubic_minimiser(a: tuple[float, float, float], b: tuple[float, float, float], bounds: tuple[float, float] | None = None) -> float:
    """The local minimiser of the cubic through `(t, value, slope)` at two places, clipped to `bounds` (default: between them).

    >>> cubic_minimiser((0.0, 1.0, -2.0), (3.0, 4.0, 4.0))  # (t - 1)^2
    1.0

    Nocedal & Wright, equation 3.59. Where the cubic has no minimiser, the middle of the bounds.
    """
    (left, f_left, g_left), (right, f_right, g_right) = sorted([a, b])
    low, high = bounds or (left, right)
    if left == right:
        return (low + high) / 2
    bend = g_left + g_right - 3 * (f_left - f_right) / (left - right)
    square = bend * bend - g_left * g_right
    if not 0 <= square < math.inf:
        return (low + high) / 2
    root = math.sqrt(square)
    divisor = g_right - g_left + 2 * root
    if not divisor:
        return (low + high) / 2
    place = right - (right - left) * ((g_right + root - bend) / divisor)
    return min(max(place, low), high)


def strong_wolfe(
    value_and_grad: Objective,
    x: Array,
    direction: Array,
    value: float | None = None,
    gradient: Array | None = None,
    *,
    step: float = 1.0,
    c1: float = 1e-4,
    c2: float = 0.9,
    maxls: int = 25,
    width: float | None = None,
    noise: float = 0.0,
) -> Search:
    """Search along `direction` from `x` for a step that satisfies the strong Wolfe conditions.

    >>> import numpy as np, compgraph as cg, optim
    >>> f = cg.value_and_grad(lambda x: np.sum((x - 3.0) ** 4))
    >>> x = np.zeros(2)
    >>> found = optim.strong_wolfe(f, x, -f(x)[1], c2=0.1)
    >>> found.found, round(found.step, 2), found.evaluations < 10
    (True, 0.03, True)

    `value` and `gradient` at `x` save an evaluation where they are known. `step` is the first trial and `maxls` bounds the
    trials. A bracket narrower than `width` (largest change of an entry of x; default: one that no number lies in) is not divided
    further. Differences of the value of up to `noise` count as none, and the slopes decide: near a minimum, where the value is
    exhausted, the gradient can still be improved (after Hager & Zhang's approximate Wolfe conditions, 2005).

    Where no trial satisfies both conditions, the lowest with sufficient decrease is returned, and `message` says what
    happened. Raises `InputError` for a direction along which the function does not descend.
    """
    if not 0 < c1 < c2 < 1:
        raise cg.InputError(f"strong_wolfe: the constants have to be 0 < c1 < c2 < 1, they are c1={c1} and c2={c2}{cg.here()}")
    if not 0 < step < math.inf or maxls < 1:
        raise cg.InputError(f"strong_wolfe: step and maxls have to be positive, they are {step} and {maxls}{cg.here()}")
    evaluations = 0

    def at(step: float) -> _Trial:
        nonlocal evaluations
        evaluations += 1
        place = x + direction.dtype.type(step) * direction
        value, gradient = value_and_grad(place)
        value, slope = float(value), float(gradient @ direction)
        usable = math.isfinite(value) and math.isfinite(slope)
        return _Trial(step, value if usable else math.inf, slope if usable else math.nan, place, gradient)

    if value is None or gradient is None:
        value, gradient = value_and_grad(x)
        evaluations += 1
    start = _Trial(0.0, float(value), float(gradient @ direction), x, gradient)
    if not start.slope < 0:
        raise cg.InputError(
            f"strong_wolfe: the slope along the direction is {start.slope:.3g}: it is no descent direction. "
            f"Take the negative gradient, or a positive definite matrix times it{cg.here()}"
        )
    if not math.isfinite(start.value) or not math.isfinite(start.slope):
        found = f"the value is {start.value} and the slope {start.slope}"
        raise cg.InputError(f"strong_wolfe: at x {found}; start where they are finite{cg.here()}")
    limit = maxls + evaluations
    if width is None:
        width = float(np.spacing(np.max(np.abs(x))))
    longest = float(np.max(np.abs(direction)))

    def decreases(trial: _Trial) -> bool:
        return trial.value <= start.value + c1 * trial.step * start.slope + noise

    def minimiser(a: _Trial, b: _Trial, bounds: tuple[float, float] | None = None) -> float:
        """The cubic's; where the values say nothing, that of the parabola with the two slopes."""
        alike = noise > 0 and abs(a.value - b.value) <= noise
        value = a.value + (a.slope + b.slope) / 2 * (b.step - a.step) if alike else b.value
        return cubic_minimiser((a.step, a.value, a.slope), (b.step, value, b.slope), bounds)

    def ended(trial: _Trial, found: bool, message: str) -> Search:
        return Search(trial.step, trial.x, trial.value, trial.gradient, evaluations, found, message)

    met = "the strong Wolfe conditions hold"
    previous, trial = start, at(step)
    while True:  # algorithm 3.5: lengthen the step until there is a bracket
        if not decreases(trial):
            low, high = previous, trial
            break
        if abs(trial.slope) <= -c2 * start.slope:
            return ended(trial, True, met)
        if trial.slope >= 0:
            low, high = trial, previous
            break
        if previous.step and trial.value - previous.value >= noise:
            low, high = previous, trial
            break
        if evaluations >= limit:
            return ended(trial, False, f"the value still falls at a step of {trial.step:.3g}, after {maxls} trials: unbounded below?")
        shortest, farthest = trial.step + 0.01 * (trial.step - previous.step), 10 * trial.step
        following = minimiser(previous, trial, (shortest, farthest))
        previous, trial = trial, at(following)

    stalled = False
    while evaluations < limit:  # algorithm 3.6: low has the least value among the steps with sufficient decrease
        left, right = sorted([low.step, high.step])
        if (right - left) * longest < width:
            return ended(low, False, f"the bracket shrank to {right - left:.3g} without a step that satisfies the conditions")
        if math.isinf(high.value):
            place = low.step + 0.1 * (high.step - low.step)
        else:
            place = minimiser(low, high)
            # A trial too near to an end, twice or at the end itself, moves a tenth of the bracket inwards.
            margin, near = 0.1 * (right - left), min(right - place, place - left)
            if near < margin and (stalled or near <= 0):
                place = right - margin if right - place < place - left else left + margin
                stalled = False
            else:
                stalled = near < margin
        trial = at(place)
        if not decreases(trial) or trial.value - low.value >= noise:
            high = trial
        elif abs(trial.slope) <= -c2 * start.slope:
            return ended(trial, True, met)
        else:
            if trial.slope * (high.step - low.step) >= 0:
                high = low
            low = trial
    return ended(low, False, f"no step satisfied the strong Wolfe conditions in {maxls} trials")

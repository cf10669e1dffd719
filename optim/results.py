"""What a minimiser returns, and the loop that all minimisers of a flat vector run in.

A method is a generator: it yields one `Point` an iteration, each lower than the last, and returns why it can go no further.
When to stop, what to count, whom to call back and what an interrupt means is said once, in `descend`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol

import numpy as np

import compgraph as cg

Array = np.ndarray[Any, np.dtype[Any]]


class Result(NamedTuple):
    """Where a minimiser ended.

    `x` has the structure of the start; `value` is the function there (half the sum of squares, for residuals) and
    `gradient_norm` the largest entry of its gradient. `evaluations` counts values with gradients, `products` those
    of a Hessian or Jacobian with a vector. `converged` is False where a limit or an obstacle ended the search, which
    `message` names; `x` is then the lowest point that was seen.
    """

    x: Any
    value: float
    gradient_norm: float
    iterations: int
    evaluations: int
    products: int
    converged: bool
    message: str


class Point(NamedTuple):
    x: Array
    value: float
    gradient: Array


class Stop(NamedTuple):
    """Why a method can go no further."""

    converged: bool
    message: str


_STILL = 5  # iterations without a decrease, after which a search is given up
FAR = 1e9  # so many times the first trial of a line search, and still falling: the function has no minimum that way

Steps = Generator[Point, None, Stop]
Callback = Callable[[Result], Any]


class Limits(NamedTuple):
    """When to stop; SciPy's names.

    - `gtol`: the largest entry of the gradient.
    - `ftol`: the decrease of the value in an iteration, relative to the value; 0 looks at the gradient only, since a slow
      method changes the value little far from the minimum too.
    - `xtol`: the change of x in an iteration, relative to x, both in the Euclidean norm; 0 does not look at it.
    - `maxiter`, `maxfun`: iterations, and evaluations, of which the last iteration may take a few more.
    """

    gtol: float = 1e-8
    ftol: float = 0.0
    xtol: float = 0.0
    maxiter: int = 1000
    maxfun: int = 10000


class Counts(Protocol):
    """What `descend` reads of the function that a method minimises."""

    evaluations: int
    products: int
    best: Point | None


class Objective:
    """A value-and-gradient function with a count, and a memory of its lowest point.

    A value or gradient that is not finite makes the value infinite: a place not to go. NumPy's warnings about it are
    silenced, since trial points may lie anywhere.
    """

    def __init__(self, value_and_grad: Callable[[Array], tuple[Any, Array]]) -> None:
        self._function = value_and_grad
        self.evaluations = 0
        self.products = 0
        self.best: Point | None = None

    def __call__(self, x: Array) -> Point:
        self.evaluations += 1
        with np.errstate(all="ignore"):
            value, gradient = self._function(x)
        value, gradient = float(value), np.asarray(gradient)
        if not math.isfinite(value) or not np.all(np.isfinite(gradient)):
            value = math.inf
        point = Point(x, value, gradient)
        if self.best is None or value < self.best.value:
            self.best = point
        return point

    def pair(self, x: Array) -> tuple[float, Array]:
        """The value and gradient, as a line search takes them."""
        _, value, gradient = self(x)
        return value, gradient

    def start(self, x0: Any, name: str) -> Point:
        """The first point, checked: a vector of floating-point numbers with a finite value and gradient."""
        x = checked_start(x0, name)
        point = self(x)
        if math.isinf(point.value):
            with np.errstate(all="ignore"):
                value = float(self._function(x)[0])
            if not math.isfinite(value):
                raise cg.InputError(f"{name}: the function is {value} at x0; start where it is finite{cg.here()}")
            place = int(np.flatnonzero(~np.isfinite(point.gradient))[0])
            found = f"entry {place} of the gradient is {point.gradient[place]}"
            raise cg.InputError(f"{name}: {found} at x0; start where it is finite{cg.here()}")
        return point


def checked_start(x0: Any, name: str) -> Array:
    """`x0` as a vector of finite floating-point numbers, of its own."""
    x = np.array(x0)
    if x.ndim != 1 or not x.size:
        raise cg.ShapeError(f"{name}: x0 has to be a vector with at least one entry, it has shape {x.shape}{cg.here()}")
    if x.dtype.kind != "f":
        raise cg.DtypeError(f"{name}: x0 has to hold floating-point numbers, its dtype is {x.dtype}; write x0.astype(float){cg.here()}")
    if not np.all(np.isfinite(x)):
        place = int(np.flatnonzero(~np.isfinite(x))[0])
        raise cg.InputError(f"{name}: entry {place} of x0 is {x[place]}{cg.here()}")
    return x


def largest(vector: Array) -> float:
    return float(np.max(np.abs(vector)))


def norm(vector: Array) -> float:
    return float(np.sqrt(vector @ vector))


def stuck(point: Point, promised: float, message: str) -> Stop:
    """Whether a search that found no lower point has converged: what it `promised` to gain is lost in rounding."""
    precision = float(np.finfo(point.x.dtype).eps)
    return exhausted(point) if promised <= 1e3 * precision * abs(point.value) else Stop(False, message)


def exhausted(point: Point) -> Stop:
    return Stop(True, f"the value cannot decrease further in {point.x.dtype}")


def descend(steps: Steps, objective: Counts, start: Point, limits: Limits, callback: Callback | None = None) -> Result:
    """Run a method until a tolerance is met or a limit is reached.

    The callback gets a `Result` after each iteration and may raise `StopIteration` to end the search. A
    `KeyboardInterrupt`, wherever it strikes, ends it too: the result is the lowest point so far.
    """
    point, iterations, still = start, 0, 0

    def result(point: Point, stop: Stop) -> Result:
        x, value, gradient = point
        return Result(x, value, largest(gradient), iterations, objective.evaluations, objective.products, *stop)

    try:
        stop = _met(None, start, limits)
        while stop is None:
            if iterations >= limits.maxiter:
                stop = Stop(False, f"{limits.maxiter} iterations (maxiter) were not enough")
            elif objective.evaluations >= limits.maxfun:
                stop = Stop(False, f"{objective.evaluations} evaluations (maxfun) were not enough")
            else:
                previous = point
                try:
                    point = next(steps)
                except StopIteration as end:
                    stop = end.value
                    break
                iterations += 1
                stop = _met(previous, point, limits)
                still = 0 if point.value < previous.value else still + 1
                if stop is None and still == _STILL:
                    stop = Stop(False, "the value decreases no more, though the gradient is above gtol")
                try:
                    if callback is not None:
                        callback(result(point, stop or Stop(False, "running")))
                except StopIteration:
                    stop = Stop(False, "the callback stopped the search")
    except KeyboardInterrupt:
        stop = Stop(False, "interrupted")
    best = objective.best
    if stop.converged or best is None or best.value >= point.value:
        best = point
    return result(best, stop)


def _met(previous: Point | None, point: Point, limits: Limits) -> Stop | None:
    """Which tolerance is met, if any."""
    if largest(point.gradient) <= limits.gtol:
        return Stop(True, f"the gradient is below gtol={limits.gtol:g}")
    if previous is None:
        return None
    if limits.ftol > 0 and previous.value - point.value <= limits.ftol * max(abs(previous.value), abs(point.value)):
        return Stop(True, f"the value changed by less than ftol={limits.ftol:g} of itself")
    if limits.xtol > 0 and norm(point.x - previous.x) <= limits.xtol * norm(point.x):
        return Stop(True, f"x changed by less than xtol={limits.xtol:g} of itself")
    return None

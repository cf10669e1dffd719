"""Numerical differentiation along a direction: the complex step, extrapolated central differences, one-sided ones.

What is differentiated is a path: a function (step, nudge) -> values, flat, in which the arguments are multiplied by
1 + nudge and then moved by step * x_dot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Path = Callable[[Any, float], Array]


class Differentiated(NamedTuple):
    """A derivative along a direction, an entry for each entry of the path."""

    values: Array
    error: Array  # how far off an entry may be
    rtol: float  # and how far relative to its size, besides
    left: Array
    right: Array
    kink: Array  # where the one-sided derivatives differ
    differences: Array  # the derivative by extrapolated differences alone
    stepped: bool  # whether `values` are those of the complex step


def differentiate(path: Path, *, analytic: bool, scale: float = 1.0, nudge: float = 0.0) -> Differentiated:
    """The derivative by the complex step where the code is `analytic`, otherwise by extrapolated differences.

    >>> found = differentiate(lambda step, nudge: np.abs(np.array([-2.0, 0.0]) + step), analytic=False)
    >>> found.values.round(9), found.kink
    (array([-1.,  0.]), array([False,  True]))

    `scale` is a step that moves the arguments noticeably, the size of their entries.
    """
    stepped = complex_step(path, nudge) if analytic else None
    if stepped is not None:
        beside, _ = central_differences(path, 0.05 * scale, nudge, rounds=8)
        return Differentiated(stepped, np.zeros(stepped.shape), 0.0, stepped, stepped, np.zeros(stepped.shape, bool), beside, True)
    values, estimate = central_differences(path, 0.05 * scale, nudge)
    return Differentiated(values, 10 * estimate, 1e-7, *one_sided(path, scale), values, False)


def complex_step(path: Path, nudge: float = 0.0) -> Array | None:
    """Im y(x + i h x_dot) / h: no subtraction, so h can be so small that nothing is truncated or cancelled.

    Squire & Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review 40 (1998). None
    where the code has no complex version, or one that leaves the real axis by rounding, as (-2) ** 101.5 does.
    """
    h = 1e-100  # h**2 vanishes beside 1, and products with h stay far from the smallest number
    try:
        start, moved = path(0j, nudge), path(h * 1j, nudge)
    except TypeError:
        return None
    if moved.dtype.kind != "c" or np.any(start.imag):
        return None
    return np.asarray(moved.imag / h)


def central_differences(path: Path, h: float, nudge: float = 0.0, *, rounds: int = 30) -> tuple[Array, Array]:
    """Central differences with halved steps, Richardson-extrapolated, and an estimate of their error.

    Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Advances in Engineering Software 4 (1982). Each entry
    keeps its best estimate; the error is never taken to be below what rounding does at that step.
    """
    start = path(0.0, nudge)
    best, error = np.full(start.shape, np.nan), np.full(start.shape, np.inf)
    before: list[Array] = []
    for _ in range(rounds):
        above, below = path(h, nudge), path(-h, nudge)
        with_rounding = np.finfo(above.dtype).eps * np.maximum(abs(above), abs(below)) / h
        above, below = above.astype(np.float64), below.astype(np.float64)
        row = [(above - below) / (2 * h)]
        for order, coarser in enumerate(before[:5], 1):
            row.append(row[-1] + (row[-1] - coarser) / (4**order - 1))
            estimate = np.maximum(np.maximum(abs(row[-1] - row[-2]), abs(row[-1] - coarser)), with_rounding)
            better = estimate < error
            best, error = np.where(better, row[-1], best), np.where(better, estimate, error)
        before, h = row, h / 2
    return best, error


def one_sided(path: Path, scale: float) -> tuple[Array, Array, Array]:
    """The derivatives from the left and from the right, and where they differ: the entries at a kink.

    At a smooth point they differ by h y'', which a smaller step makes smaller; at a kink the difference stays.
    """

    def sides(h: float) -> tuple[Array, Array]:
        here, above, below = (path(step, 0.0).astype(np.float64) for step in (0.0, h, -h))
        return (here - below) / h, (above - here) / h

    h = 1e-8 * scale
    (left, right), (wider_left, wider_right) = sides(h), sides(100 * h)
    jump, noise = abs(right - left), _noise(path(0.0, 0.0)) / h
    lasting = jump > 0.5 * abs(wider_right - wider_left)
    return left, right, lasting & (jump > noise) & (jump > 1e-3 * np.maximum(abs(left), abs(right)))


def one_sided_limits(path: Callable[[float], float], scale: float = 1.0) -> tuple[float, float]:
    """The derivatives of one number from the left and from the right, as limits: infinite where the quotients grow.

    >>> import math
    >>> one_sided_limits(abs), one_sided_limits(math.floor), one_sided_limits(lambda x: math.copysign(abs(x) ** (1 / 3), x))
    ((-1.0, 1.0), (inf, 0.0), (inf, inf))

    NaN on a side where the function has no value. The quotients of three steps, far apart, tell a limit from none; two
    near ones, extrapolated, give it to nine digits.
    """
    start = path(0.0)

    def quotient(h: float) -> float:
        return (path(h) - start) / h

    def limit(sign: float) -> float:
        wide, middle, near = (quotient(sign * scale * 2.0**power) for power in (-10, -20, -30))
        if not np.isfinite(near):
            return near if np.isinf(near) else np.nan
        if abs(near - middle) > max(0.5 * abs(middle - wide), 1e-3 * max(1.0, abs(near))):
            return float(np.copysign(np.inf, near))
        value = float(2 * quotient(sign * scale * 2.0**-18) - quotient(sign * scale * 2.0**-17))
        return round(value, 9) + 0.0

    return limit(-1.0), limit(1.0)


def _noise(values: Array) -> Array:
    """What rounding can do to a difference of values like these."""
    return np.asarray(100 * np.finfo(values.dtype).eps * abs(values))


# ------------------------------------------------------------------- complex numbers as pairs of real ones


def double(arg: Any) -> Any:
    """float32 in float64: the reference is the derivative at exactly these values, whatever their dtype."""
    return arg.astype({"f": np.float64, "c": np.complex128}[arg.dtype.kind]) if is_continuous(arg) else arg


def is_continuous(arg: Any) -> bool:
    return hasattr(arg, "dtype") and arg.dtype.kind in "fc"


def any_complex(args: Iterable[Any]) -> bool:
    return any(hasattr(arg, "dtype") and arg.dtype.kind == "c" for arg in args)


def flat(value: Any) -> Array:
    """The entries in order; complex ones as pairs of real ones, in which every function has a derivative."""
    array = np.ravel(np.asarray(value))
    return array.astype(np.complex128).view(np.float64) if array.dtype.kind == "c" else array.astype(np.float64)


def adjoint_of(parts: Array, like: Any) -> Any:
    """The adjoint whose products Re(y_bar * y) are those of `parts` with the parts of y."""
    entries = parts.view(np.complex128).conj() if like.dtype.kind == "c" else parts
    return entries.reshape(like.shape).astype(like.dtype)[()]


def inner(x_bar: Any, x_dot: Any) -> float:
    return float(np.sum(np.real(double(x_bar) * double(x_dot))))

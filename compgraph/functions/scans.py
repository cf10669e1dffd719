"""NumPy's running sums and products, differences and slopes, and the integral by trapezia."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph import backend
from compgraph.functions.parameters import static_axes, whole
from compgraph.functions.reductions import NOTHING, axes_of, masked, refuse_out
from compgraph.functions.registry import implements
from compgraph.graph import Node, bind
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import shape_of
from compgraph.primitives.scan import part


def as_array(value: Any) -> Any:
    return value if isinstance(value, Node) else backend.as_array(value)


def one_axis(axis: Any, ndim: int) -> int:
    return axes_of(whole(axis), ndim)[0]


def _scan(name: str, a: Any, axis: Any, dtype: Any, out: Any) -> Any:
    refuse_out(name, out)
    a = a if dtype is None else cast(a, dtype)
    if axis is None:
        a, axis = np.ravel(a), 0
    return bind(name, a, axis=one_axis(axis, len(shape_of(a))))


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _scan("cumsum", a, axis, dtype, out)


@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _scan("cumprod", a, axis, dtype, out)


@implements(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _scan("cumsum", masked(a, np.equal(a, a), 0), axis, dtype, out)


@implements(np.nancumprod)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return _scan("cumprod", masked(a, np.equal(a, a), 1), axis, dtype, out)


def _cumulative(name: str, x: Any, axis: Any, dtype: Any, out: Any, first: Any, include_initial: bool) -> Any:
    if axis is None:
        if len(shape_of(x)) != 1:
            raise ValueError("For arrays which have more than one dimension ``axis`` argument is required.")
        axis = 0
    y = _scan(name, x, axis, dtype, out)
    if not include_initial:
        return y
    place = one_axis(axis, len(shape_of(y)))
    return np.concatenate([np.full((*y.shape[:place], 1, *y.shape[place + 1 :]), first, y.dtype), y], axis=place)


@implements(*(getattr(np, name) for name in ("cumulative_sum",) if hasattr(np, name)))
def cumulative_sum(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False) -> Any:
    return _cumulative("cumsum", x, axis, dtype, out, 0, include_initial)


@implements(*(getattr(np, name) for name in ("cumulative_prod",) if hasattr(np, name)))
def cumulative_prod(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False) -> Any:
    return _cumulative("cumprod", x, axis, dtype, out, 1, include_initial)


# --------------------------------------------------------------------------- differences and slopes


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NOTHING, append: Any = NOTHING) -> Any:
    n, a = whole(n), as_array(a)
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    if not a.ndim:
        raise ValueError("diff requires input that is at least one dimensional")
    place = one_axis(axis, a.ndim)
    parts = [_beside(a, end, place) if end is not a else a for end in (prepend, a, append) if end is not NOTHING]
    if n and len(parts) > 1:
        a = np.concatenate(parts, axis=place)
    for _ in range(n):
        later, earlier = part(a, place, slice(1, None)), part(a, place, slice(None, -1))
        a = later - earlier if a.dtype != np.bool_ else np.not_equal(later, earlier)
    return a


def _beside(a: Any, end: Any, axis: int) -> Any:
    """What is joined to `a`: a number stands for a slice of such numbers."""
    end = as_array(end)
    return end if end.ndim else np.broadcast_to(end, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    between = diff(np.ravel(as_array(ary)))
    parts = [one for one in (to_begin, between, to_end) if one is not None]
    return between if len(parts) == 1 else np.concatenate([cast(np.ravel(as_array(one)), between.dtype) for one in parts])


def _along(x: Any, axis: int, ndim: int) -> Any:
    """A sequence laid along one of `ndim` axes; a number stays one."""
    return np.reshape(x, (1,) * axis + (-1,) + (1,) * (ndim - axis - 1)) if np.ndim(x) else x


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral by trapezia, differentiable in `y`, in the places `x` and in the distance `dx`."""
    y = as_array(y)
    place = one_axis(axis, y.ndim)
    if x is not None:
        x = as_array(x)
        dx = _along(diff(x), place, y.ndim) if x.ndim == 1 else diff(x, axis=axis)
    return np.sum(dx * (part(y, place, slice(1, None)) + part(y, place, slice(None, -1))) / 2.0, axis=place)


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes by second-order central differences, one-sided at the ends; differentiable in `f` and in the spacing.

    The spacing is one number, or a number or the sequence of places for each axis. One axis gives an array, several a tuple.
    """
    f = as_array(f)
    axes = tuple(range(f.ndim)) if axis is None else tuple(one_axis(one, f.ndim) for one in np.atleast_1d(static_axes(axis)))
    if len(set(axes)) != len(axes):
        raise ValueError("repeated axis")
    spacings = [as_array(one) for one in (varargs or (1.0,))]
    if len(spacings) == 1 and not spacings[0].ndim:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order not in (1, 2):
        raise ValueError("'edge_order' greater than 2 not supported")
    slopes = tuple(_slope(f, _steps(one, f, place), place, edge_order) for one, place in zip(spacings, axes, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def _steps(spacing: Any, f: Any, axis: int) -> Any:
    """The distance of neighbours along an axis: one number, or each laid along that axis."""
    if spacing.ndim > 1:
        raise ValueError("distances must be either scalars or 1d")
    if spacing.ndim and spacing.shape[0] != f.shape[axis]:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    if not spacing.ndim:
        return spacing if isinstance(spacing, Node) else spacing.item()
    return _along(diff(spacing if spacing.dtype.kind == "f" else cast(spacing, np.float64)), axis, f.ndim)


def _slope(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    """The slopes along one axis; `h` is the distance of neighbours."""
    if f.shape[axis] < edge_order + 1:
        raise ValueError("Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) elements are required.")
    uniform = not np.ndim(h)

    def at(x: Any, start: int | None, stop: int | None) -> Any:
        return part(x, axis, slice(start, stop))

    def parabola(places: tuple[Any, Any, Any], left: Any, right: Any, where: int) -> Any:
        """The slope at one of three neighbours, 0, 1 or 2, of the parabola through them, `left` and `right` apart."""
        y0, y1, y2 = places
        rise, climb = (y1 - y0) / left, (y2 - y1) / right
        whole_way = left + right
        if where == 0:
            return rise - left * (climb - rise) / whole_way
        if where == 2:
            return climb + right * (climb - rise) / whole_way
        return (right * rise + left * climb) / whole_way

    if uniform:
        middle = (at(f, 2, None) - at(f, None, -2)) / (2.0 * h)
    else:
        middle = parabola((at(f, None, -2), at(f, 1, -1), at(f, 2, None)), at(h, None, -1), at(h, 1, None), 1)
    first, last = (h, h) if uniform else (at(h, 0, 1), at(h, -1, None))
    if edge_order == 1:
        ends = [(at(f, 1, 2) - at(f, 0, 1)) / first, (at(f, -1, None) - at(f, -2, -1)) / last]
    else:
        second, before = (h, h) if uniform else (at(h, 1, 2), at(h, -2, -1))
        ends = [
            parabola((at(f, 0, 1), at(f, 1, 2), at(f, 2, 3)), first, second, 0),
            parabola((at(f, -3, -2), at(f, -2, -1), at(f, -1, None)), before, last, 2),
        ]
    y = np.concatenate([ends[0], middle, ends[1]], axis=axis)
    return cast(y, f.dtype) if f.dtype.kind in "fc" else y

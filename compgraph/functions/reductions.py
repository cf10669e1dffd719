"""NumPy's reductions over axes: sums, means, products, spreads and extremes, and questions answered over axes.

`where=` replaces the entries left out by the neutral one before anything is computed from them, so that no NaN among
them reaches a value or a derivative.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from compgraph.backend import as_array
from compgraph.errors import ImmutableNodeError, ShapeError
from compgraph.functions.parameters import static_axes
from compgraph.functions.registry import implements
from compgraph.graph import Node, bind
from compgraph.modes import current_mode
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import normalized_axes, shape_of
from compgraph.primitives.reduction import reduced_shape

NOTHING: Any = np._NoValue  # an argument that was not given


def refuse_out(name: str, out: Any) -> None:
    if out is not None:
        raise ImmutableNodeError(f"np.{name} with out= would write a node into an array{here()}. Use its result")


def _mask(a: Any, where: Any) -> Any:
    where = where if isinstance(where, Node) else as_array(where)
    if np.broadcast_shapes(where.shape, a.shape) != a.shape:
        raise ValueError(f"where= of shape {where.shape} does not broadcast to {a.shape}")
    return where


def masked(a: Any, where: Any, fill: Any) -> Any:
    """`a` with `fill` at the entries that `where` leaves out."""
    return a if where is True else np.where(_mask(a, where), a, fill)


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """`normalized_axes`, whose error says the user's line."""
    try:
        return normalized_axes(static_axes(axis), ndim)
    except ShapeError as error:
        raise type(error)(f"{error}{here()}") from None


def count(a: Any, axis: Any, keepdims: bool, where: Any = True) -> Any:
    """How many entries are reduced to one: a Python number, or an array or node of `a`'s dtype where `where` decides."""
    if where is True:
        return int(np.prod([a.shape[place] for place in axes_of(axis, len(a.shape))], dtype=int))
    chosen = np.broadcast_to(_mask(a, where), a.shape)
    return cast(np.sum(chosen, axis=axis, keepdims=keepdims), a.dtype if a.dtype.kind in "fc" else np.float64)


def _reduced(primitive: str, a: Any, axis: Any, keepdims: Any) -> Any:
    return bind(primitive, a, axis=static_axes(axis), keepdims=bool(keepdims))


def _cast(a: Any, dtype: Any) -> Any:
    return a if dtype is None else cast(a, dtype)


# --------------------------------------------------------------------------------- sums and products


@implements(np.sum)
def sum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOTHING, where: Any = True
) -> Any:
    refuse_out("sum", out)
    y = _reduced("sum", masked(_cast(a, dtype), where, 0), axis, keepdims)
    return y if initial is NOTHING else y + initial


@implements(np.prod)
def prod(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOTHING, where: Any = True
) -> Any:
    """The product, whose derivative by an entry is the product of the others, also where some of them are 0."""
    refuse_out("prod", out)
    y = _reduced("prod", masked(_cast(a, dtype), where, 1), axis, keepdims)
    return y if initial is NOTHING else y * initial


@implements(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    refuse_out("mean", out)
    a = _cast(a, dtype)
    if where is True:
        return _reduced("mean", a, axis, keepdims)
    return sum(a, axis, keepdims=keepdims, where=where) / count(a, static_axes(axis), bool(keepdims), where)


@implements(np.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: bool = False, *, where: Any = True,
    mean: Any = None, correction: Any = NOTHING,
) -> Any:  # fmt: skip
    """The mean squared distance from the mean, in two passes: a large offset cancels before anything is squared.

    `mean` is NumPy's: the mean with `keepdims=True`, where it is known already; a node of it is differentiated through.
    """
    refuse_out("var", out)
    a, axis = _cast(a, dtype), static_axes(axis)
    if correction is not NOTHING:
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    centre = np.mean(a, axis=axis, keepdims=True, where=where) if mean is None else mean
    distance = masked(a - centre, where, 0)
    squared = np.square(distance) if distance.dtype.kind != "c" else np.square(np.real(distance)) + np.square(np.imag(distance))
    entries = count(a, axis, bool(keepdims), where)
    divisor = builtins.max(entries - ddof, 0) if isinstance(entries, int) else np.maximum(entries - ddof, 0)
    return sum(squared, axis, keepdims=keepdims) / divisor


@implements(np.std)
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: bool = False, *, where: Any = True,
    mean: Any = None, correction: Any = NOTHING,
) -> Any:  # fmt: skip
    """The square root of the variance. Where all entries are equal it has a kink, and its derivative is 0 by convention."""
    refuse_out("std", out)
    return root(var(a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction))


def root(y: Any) -> Any:
    """The square root of what cannot be negative, with derivative 0 at 0."""
    positive = np.not_equal(y, 0)
    return np.where(positive, np.sqrt(np.where(positive, y, 1)), 0)


# ------------------------------------------------------------------------------------------- extremes


def _extreme(name: str, a: Any, axis: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    axis = static_axes(axis)
    if initial is NOTHING:
        if where is not True:
            raise ValueError(f"{name} has no identity: where= needs initial=, the value of no entries")
        return _reduced(name, a, axis, keepdims)
    if not count(a, axis, False):
        return sum(a, axis, keepdims=keepdims) + initial
    y = _reduced(name, masked(a, where, initial), axis, keepdims)
    return np.maximum(y, initial) if name == "max" else np.minimum(y, initial)


@implements(np.max, np.amax)
def max(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOTHING, where: Any = True) -> Any:
    refuse_out("max", out)
    return _extreme("max", a, axis, keepdims, initial, where)


@implements(np.min, np.amin)
def min(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOTHING, where: Any = True) -> Any:
    refuse_out("min", out)
    return _extreme("min", a, axis, keepdims, initial, where)


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    refuse_out("ptp", out)
    return max(a, axis, keepdims=keepdims) - min(a, axis, keepdims=keepdims)


# -------------------------------------------------------------------- without NaN: those are left out


def _valid(a: Any, where: Any = True) -> Any:
    """Where `a` holds numbers, among the entries that `where` names."""
    valid = np.equal(a, a)
    return valid if where is True else np.logical_and(valid, where)


@implements(np.nansum)
def nansum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOTHING, where: Any = True
) -> Any:
    return sum(a, axis, dtype, out, keepdims, initial, _valid(a, where))


@implements(np.nanprod)
def nanprod(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOTHING, where: Any = True
) -> Any:
    return prod(a, axis, dtype, out, keepdims, initial, _valid(a, where))


@implements(np.nanmean)
def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    return mean(a, axis, dtype, out, keepdims, where=_valid(a, where))


@implements(np.nanvar)
def nanvar(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: bool = False, *, where: Any = True,
    mean: Any = None, correction: Any = NOTHING,
) -> Any:  # fmt: skip
    """NaN, as in NumPy, where no more than `ddof` entries are numbers."""
    y = var(a, axis, dtype, out, ddof, keepdims, where=_valid(a, where), mean=mean, correction=correction)
    entries = count(a, static_axes(axis), bool(keepdims), _valid(a, where))
    return np.where(entries > (ddof if correction is NOTHING else correction), y, np.nan)


@implements(np.nanstd)
def nanstd(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: bool = False, *, where: Any = True,
    mean: Any = None, correction: Any = NOTHING,
) -> Any:  # fmt: skip
    return root(nanvar(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction))


def _nan_extreme(name: str, a: Any, axis: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    least = -np.inf if name == "max" else np.inf
    axis, valid = static_axes(axis), _valid(a, where)
    if initial is not NOTHING or where is not True or not count(a, axis, False):
        return _extreme(name, masked(a, valid, least), axis, keepdims, initial, where)
    y = _reduced(name, masked(a, valid, least), axis, keepdims)
    return np.where(count(a, axis, bool(keepdims), valid) > 0, y, np.nan)


@implements(np.nanmax)
def nanmax(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOTHING, where: Any = True) -> Any:
    refuse_out("nanmax", out)
    return _nan_extreme("max", a, axis, keepdims, initial, where)


@implements(np.nanmin)
def nanmin(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = NOTHING, where: Any = True) -> Any:
    refuse_out("nanmin", out)
    return _nan_extreme("min", a, axis, keepdims, initial, where)


# ------------------------------------------------------------------- questions, which have no derivative


def is_known(*args: Any) -> bool:
    """Whether a question about these can be answered now: all hold values, and nothing is being traced.

    The answer is then a plain number, which can stand in an `if` or in an index. While a function is traced it is a node
    without a derivative, so that the graph asks again for every input.
    """
    return not current_mode().traced and all_known(args)


def all_known(args: Any) -> bool:
    return builtins.all(not isinstance(arg, Node) or arg.value is not None for arg in args)


def plain(arg: Any) -> Any:
    return arg.value if isinstance(arg, Node) else arg


def _question(name: str, fill: bool, a: Any, axis: Any, out: Any, keepdims: Any, where: Any) -> Any:
    refuse_out(name, out)
    axis = static_axes(axis)
    if is_known(a, where):
        return getattr(np, name)(masked(plain(a), plain(where), fill), axis=axis, keepdims=bool(keepdims))
    return _reduced(name, masked(a, where, fill), axis, keepdims)


@implements(np.any)
def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    return _question("any", False, a, axis, out, keepdims, where)


@implements(np.all)
def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    return _question("all", True, a, axis, out, keepdims, where)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return _question("count_nonzero", False, a, axis, None, keepdims, True)


def _place(name: str, a: Any, axis: Any, out: Any, keepdims: Any) -> Any:
    refuse_out(name, out)
    if is_known(a):
        return getattr(np, name)(plain(a), axis=axis, keepdims=bool(keepdims))
    y = bind(name, np.ravel(a), axis=0) if axis is None else bind(name, a, axis=axes_of(axis, len(shape_of(a)))[0])
    return np.reshape(y, reduced_shape(a, axis, True)) if keepdims else y


@implements(np.argmax)
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    return _place("argmax", a, axis, out, keepdims)


@implements(np.argmin)
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    return _place("argmin", a, axis, out, keepdims)


@implements(np.nanargmax)
def nanargmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    if is_known(a):
        return _place("nanargmax", a, axis, out, keepdims)
    return argmax(masked(a, _valid(a), -np.inf), axis, out, keepdims=keepdims)


@implements(np.nanargmin)
def nanargmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
    if is_known(a):
        return _place("nanargmin", a, axis, out, keepdims)
    return argmin(masked(a, _valid(a), np.inf), axis, out, keepdims=keepdims)

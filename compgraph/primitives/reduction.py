"""Sums, means, products and extremes over axes, and questions about them."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.graph import Aval, bind
from compgraph.primitives import costs
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import (
    Rule,
    _probed_dtype,
    general,
    linear,
    nondifferentiable,
    normalized_axes,
    restore_axes,
    shape_of,
    shifted_axes,
    single_ndim,
    stretched,
)
from compgraph.primitives.scan import delayed, flipped


def reduced_shape(x: Any, axis: Any, keepdims: bool) -> tuple[int, ...]:
    axes = normalized_axes(axis, len(shape_of(x)))
    return tuple(1 if index in axes else size for index, size in enumerate(x.shape) if keepdims or index not in axes)


def _infer(reduce: Rule) -> Rule:
    def infer(x: Any, *, axis: Any, keepdims: bool) -> Aval:
        return reduced_shape(x, axis, keepdims), _probed_dtype(reduce, (x.dtype,))

    return infer


def _infer_extreme(x: Any, *, axis: Any, keepdims: bool) -> Aval:
    if any(x.shape[index] == 0 for index in normalized_axes(axis, len(x.shape))):
        raise ShapeError(f"no largest or smallest of no numbers: shape {x.shape}, axis {axis}")
    return reduced_shape(x, axis, keepdims), x.dtype


def _count(x: Any, axis: Any) -> int:
    return math.prod([x.shape[index] for index in normalized_axes(axis, len(x.shape))])


def _spread(y_bar: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    y_bar = y_bar if isinstance(y_bar, np.generic) else restore_axes(y_bar, x, axis, keepdims)
    return stretched(y_bar, x.shape)


def _batch(name: str) -> Rule:
    def batch(flags: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
        return bind(name, x, axis=shifted_axes(axis, single_ndim(x, True)), keepdims=keepdims)

    return batch


sum_ = linear(
    "sum", code="xp.sum({0}, axis={axis}, keepdims={keepdims})", infer=_infer(np.sum),
    transpose=(_spread,), batch=_batch("sum"), label="sum", latex=r"\sum {0}", cost=costs.folded("additions"),
)  # fmt: skip
mean = linear(
    "mean", code="xp.mean({0}, axis={axis}, keepdims={keepdims})", infer=_infer(np.mean),
    transpose=(lambda y_bar, x, axis, keepdims: _spread(y_bar / _count(x, axis), x, axis, keepdims),),
    batch=_batch("mean"), latex=r"\mathrm{{mean}}({0})", cost=costs.mean,
)  # fmt: skip


def _tangent_of_extreme(y: Any, x_dots: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    """The tangent of the entry that was taken; entries that tie share evenly."""
    taken = cast(x == restore_axes(y, x, axis, keepdims), x.dtype)
    total = np.sum(taken, axis=axis, keepdims=keepdims)
    return np.sum(taken * x_dots[0], axis=axis, keepdims=keepdims) / total


def _ties(x: Any, *, axis: Any, keepdims: bool, extreme: Any) -> Any:
    return np.sum(x == extreme(x, axis=axis, keepdims=True), axis=axis, keepdims=keepdims) > 1


max_ = general(
    "max", code="xp.max({0}, axis={axis}, keepdims={keepdims})", infer=_infer_extreme, tangent=_tangent_of_extreme,
    batch=_batch("max"), kink=partial(_ties, extreme=np.max), sympy=lambda sp, *xs: sp.Max(*xs),
    latex=r"\max {0}", cost=costs.folded("comparisons"),
)  # fmt: skip
min_ = general(
    "min", code="xp.min({0}, axis={axis}, keepdims={keepdims})", infer=_infer_extreme, tangent=_tangent_of_extreme,
    batch=_batch("min"), kink=partial(_ties, extreme=np.min), sympy=lambda sp, *xs: sp.Min(*xs),
    latex=r"\min {0}", cost=costs.folded("comparisons"),
)  # fmt: skip


def as_last(x: Any, axis: Any) -> Any:
    """`x` with the axes that are reduced laid out as a single last one."""
    ndim = len(shape_of(x))
    axes = normalized_axes(axis, ndim)
    kept = tuple(place for place in range(ndim) if place not in axes)
    moved = x if kept + axes == tuple(range(ndim)) else np.transpose(x, kept + axes)
    return moved if len(axes) == 1 else np.reshape(moved, (*(x.shape[place] for place in kept), _count(x, axis)))


def _tangent_of_prod(y: Any, x_dots: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    """sum_i x_i_dot * (product of the others).

    The product of the others is the one of those before times the one of those behind: y / x_i would be 0 / 0 at a
    zero, and its derivatives would be wrong there too.
    """
    x, x_dot = as_last(x, axis), as_last(x_dots[0], axis)
    last = len(x.shape) - 1
    before = delayed(bind("cumprod", x, axis=last), last, 1, fill=1)
    behind = flipped(delayed(bind("cumprod", flipped(x, last), axis=last), last, 1, fill=1), last)
    return np.reshape(np.sum(x_dot * (before * behind), axis=-1), y.shape)


prod = general(
    "prod", code="xp.prod({0}, axis={axis}, keepdims={keepdims})", infer=_infer(np.prod), tangent=_tangent_of_prod,
    batch=_batch("prod"), analytic=True, latex=r"\prod {0}", cost=costs.folded("multiplications"),
)  # fmt: skip

# ----------------------------------------------------------------------------------------- questions

_ASKS_FOR_VALUES = "the answer depends on the entries' values, which symbols have none of"

for _name, _question in (("any", np.any), ("all", np.all), ("count_nonzero", np.count_nonzero)):
    nondifferentiable(
        _name, code="xp.%s({0}, axis={axis}, keepdims={keepdims})" % _name, infer=_infer(_question), batch=_batch(_name),
        cost=costs.every("comparisons") if _name == "count_nonzero" else costs.folded("comparisons"),
    ).without_sympy = _ASKS_FOR_VALUES


def _infer_place(x: Any, *, axis: int) -> Aval:
    if not x.shape[axis]:
        raise ShapeError(f"no largest or smallest of no numbers: shape {x.shape}, axis {axis}")
    return reduced_shape(x, axis, False), np.dtype(np.intp)


for _name, _extreme in (("argmax", np.max), ("argmin", np.min)):
    nondifferentiable(
        _name, code="xp.%s({0}, axis={axis})" % _name, infer=_infer_place, cost=costs.folded("comparisons"),
        batch=lambda flags, x, axis, _name=_name: bind(_name, x, axis=shifted_axes(axis, single_ndim(x, True))[0]),
        kink=partial(_ties, keepdims=False, extreme=_extreme),
    ).without_sympy = _ASKS_FOR_VALUES  # fmt: skip

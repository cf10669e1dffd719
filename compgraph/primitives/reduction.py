"""Sums, means and extremes over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.graph import Aval, bind
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import (
    Rule,
    _probed_dtype,
    general,
    linear,
    normalized_axes,
    restore_axes,
    shape_of,
    shifted_axes,
    single_ndim,
)


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
    return int(np.prod([x.shape[index] for index in normalized_axes(axis, len(x.shape))], dtype=int))


def _spread(y_bar: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return np.broadcast_to(restore_axes(y_bar, x, axis, keepdims), x.shape)


def _batch(name: str) -> Rule:
    def batch(flags: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
        return bind(name, x, axis=shifted_axes(axis, single_ndim(x, True)), keepdims=keepdims)

    return batch


sum_ = linear(
    "sum", code="xp.sum({0}, axis={axis}, keepdims={keepdims})", infer=_infer(np.sum),
    transpose=(_spread,), batch=_batch("sum"), label="sum", latex=r"\sum {0}", cost="additions",
)  # fmt: skip
mean = linear(
    "mean", code="xp.mean({0}, axis={axis}, keepdims={keepdims})", infer=_infer(np.mean),
    transpose=(lambda y_bar, x, axis, keepdims: _spread(y_bar / _count(x, axis), x, axis, keepdims),),
    batch=_batch("mean"), latex=r"\mathrm{{mean}}({0})", cost="additions",
)  # fmt: skip


def _tangent_of_extreme(y: Any, x_dots: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    """The tangent of the entry that was taken; entries that tie share evenly."""
    taken = cast(x == restore_axes(y, x, axis, keepdims), x.dtype)
    total = np.sum(taken, axis=axis, keepdims=keepdims)
    return np.sum(taken * x_dots[0], axis=axis, keepdims=keepdims) / total


max_ = general(
    "max", code="xp.max({0}, axis={axis}, keepdims={keepdims})", infer=_infer_extreme, tangent=_tangent_of_extreme,
    batch=_batch("max"), sympy=lambda sp, *xs: sp.Max(*xs), latex=r"\max {0}",
)  # fmt: skip
min_ = general(
    "min", code="xp.min({0}, axis={axis}, keepdims={keepdims})", infer=_infer_extreme, tangent=_tangent_of_extreme,
    batch=_batch("min"), sympy=lambda sp, *xs: sp.Min(*xs), latex=r"\min {0}",
)  # fmt: skip

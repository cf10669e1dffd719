"""Sliding windows and their overlap-add, of which convolutions and pooling are made.

`windows` reads every window of the last axes, `fold` adds windows up where they came from; each is the transpose of the other.
A convolution is `windows` and one matrix product, its transpose the same product and `fold`, so none of them has rules of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.graph import Aval, bind
from compgraph.primitives import costs
from compgraph.primitives.kinds import Rule, general, linear, nondifferentiable, normalized_axes, shape_of, shifted_axes, single_ndim

Sizes = tuple[int, ...]  # a number for each of the last axes


def positions(shape: Sizes, size: Sizes, stride: Sizes, dilation: Sizes) -> Sizes:
    """How many windows there are along each axis.

    >>> positions((7, 28), (3, 3), (2, 1), (1, 2))
    (3, 24)
    """
    counts = []
    for length, entries, step, spread in zip(shape, size, stride, dilation, strict=True):
        if min(entries, step, spread) < 1:
            raise ShapeError(f"size {size}, stride {stride} and dilation {dilation} are at least 1 along each axis")
        reach = spread * (entries - 1) + 1
        if reach > length:
            raise ShapeError(f"a window of {entries} entries, {spread} apart, spans {reach}, more than there are: {shape}")
        counts.append((length - reach) // step + 1)
    return tuple(counts)


def _last(x: Any, count: int) -> Sizes:
    shape = shape_of(x)
    if len(shape) < count:
        raise ShapeError(f"windows over {count} axes of an array of shape {shape}")
    return shape[len(shape) - count :]


# ------------------------------------------------------------------------------------------- windows


def windows(x, size, stride, dilation):  # type: ignore[no-untyped-def]
    # A view of every window of the last axes: the axes within a window, then those of its positions.
    axes = x.ndim - len(size)
    counts = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[axes:], size, stride, dilation, strict=True)]
    within = [step * d for step, d in zip(x.strides[axes:], dilation, strict=True)]
    between = [step * s for step, s in zip(x.strides[axes:], stride, strict=True)]
    shape, strides = (*x.shape[:axes], *size, *counts), (*x.strides[:axes], *within, *between)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


def _infer_windows(x: Any, *, size: Sizes, stride: Sizes, dilation: Sizes) -> Aval:
    last = _last(x, len(size))
    counts = positions(last, size, stride, dilation)
    return (*shape_of(x)[: len(shape_of(x)) - len(size)], *size, *counts), x.dtype


# -------------------------------------------------------------------------------------------- fold


def fold(x, shape, stride, dilation):  # type: ignore[no-untyped-def]
    # The windows added up where they came from, in an array whose last axes have `shape`.
    axes = x.ndim - 2 * len(shape)
    y = np.zeros(x.shape[:axes] + shape, x.dtype)
    for place in np.ndindex(x.shape[axes : axes + len(shape)]):
        part = x[(slice(None),) * axes + place]
        steps = zip(place, part.shape[axes:], stride, dilation, strict=True)
        every = tuple(slice(d * k, d * k + s * (n - 1) + 1, s) for k, n, s, d in steps)
        y[(slice(None),) * axes + every] += part
    return y


def _infer_fold(x: Any, *, shape: Sizes, stride: Sizes, dilation: Sizes) -> Aval:
    count = len(shape)
    last = _last(x, 2 * count)
    size, counts = last[:count], last[count:]
    wanted = positions(shape, size, stride, dilation)
    if counts != wanted:
        raise ShapeError(f"shape {shape} has {wanted} windows of {size} with stride {stride} and dilation {dilation}, not {counts}")
    return (*shape_of(x)[: len(shape_of(x)) - 2 * count], *shape), x.dtype


def _batch(name: str) -> Rule:
    """Axes are counted from the last one, so one more in front changes nothing."""
    return lambda flags, x, **params: bind(name, x, **params)


linear(
    "windows", code="windows({0}, {size}, {stride}, {dilation})", helper=windows, infer=_infer_windows, batch=_batch("windows"),
    transpose=(
        lambda y_bar, x, size, stride, dilation: bind("fold", y_bar, shape=_last(x, len(size)), stride=stride, dilation=dilation),
    ),
    cost="views",
)  # fmt: skip
linear(
    "fold", code="fold({0}, {shape}, {stride}, {dilation})", helper=fold, infer=_infer_fold, batch=_batch("fold"),
    transpose=(
        lambda y_bar, x, shape, stride, dilation: bind(
            "windows", y_bar, size=_last(x, 2 * len(shape))[: len(shape)], stride=stride, dilation=dilation
        ),
    ),
    cost=costs.every("additions"),
)  # fmt: skip


# ------------------------------------------------------------------------- the first of the largest


def _infer_first_max(x: Any, *, axis: int) -> Aval:
    shape = shape_of(x)
    (place,) = normalized_axes(axis, len(shape))
    if not shape[place]:
        raise ShapeError(f"no largest of no numbers: shape {shape}, axis {axis}")
    return shape[:place] + shape[place + 1 :], x.dtype


def _tangent_of_first_max(y: Any, x_dots: Any, x: Any, *, axis: int) -> Any:
    """The tangent of the entry that was taken."""
    return np.sum(bind("first_largest", x, y, axis=axis) * x_dots[0], axis=axis)


def _ties(x: Any, *, axis: int) -> Any:
    return np.sum(x == np.max(x, axis=axis, keepdims=True), axis=axis) > 1


# Where entries tie the first has the derivative, as in pooling; those of `max` share it.
general(
    "first_max", code="xp.max({0}, axis={axis})", infer=_infer_first_max, tangent=_tangent_of_first_max,
    batch=lambda flags, x, axis: bind("first_max", x, axis=shifted_axes(axis, single_ndim(x, True))[0]),
    kink=_ties, label="max", latex=r"\max {0}", cost=costs.folded("comparisons"),
).without_sympy = "which of equal entries is the first has no form in symbols; np.max has one"  # fmt: skip


def first_largest(x, y, axis):  # type: ignore[no-untyped-def]
    # True at the first entry along the axis that is the largest, y; a NaN is larger than all numbers.
    largest = x == np.expand_dims(y, axis)
    if np.any(y != y):
        largest |= x != x
    largest = np.moveaxis(largest, axis, 0)
    found = largest[0]
    for place in range(1, len(largest)):
        largest[place] &= ~found
        found = found | largest[place]
    return np.moveaxis(largest, 0, axis)


def _infer_first_largest(x: Any, y: Any, *, axis: int) -> Aval:
    shape, _ = _infer_first_max(x, axis=axis)
    if shape_of(y) != shape:
        raise ShapeError(f"the largest of shape {shape_of(x)} along axis {axis} have shape {shape}, not {shape_of(y)}")
    return shape_of(x), np.dtype(np.bool_)


def _batch_first_largest(flags: Any, x: Any, y: Any, *, axis: int) -> Any:
    place = normalized_axes(axis, single_ndim(x, flags[0]))[0]
    if not all(flags):
        size = (x if flags[0] else y).shape[0]
        x, y = (one if flag else np.broadcast_to(one, (size, *shape_of(one))) for one, flag in zip((x, y), flags, strict=True))
    return bind("first_largest", x, y, axis=place + 1)


nondifferentiable(
    "first_largest", code="first_largest({0}, {1}, {axis})", helper=first_largest, infer=_infer_first_largest, batch=_batch_first_largest,
    cost=costs.every("comparisons"),
).without_sympy = "the answer depends on the entries' values, which symbols have none of"  # fmt: skip

"""Operations that move numbers without changing them."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.graph import Aval
from compgraph.primitives.kinds import (
    aligned,
    all_batched,
    linear,
    normalized_axes,
    result_dtype,
    shape_of,
    shifted_axes,
    single_ndim,
)


def _infer_reshape(x: Any, *, shape: tuple[int, ...]) -> Aval:
    return _resolved(shape_of(x), shape), x.dtype


def _resolved(have: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with its -1 replaced by what is left of an array of shape `have`."""
    size = int(np.prod(have, dtype=int))
    known = int(np.prod([length for length in shape if length != -1], dtype=int))
    free = shape.count(-1)
    if free > 1 or (free and (known == 0 or size % known)) or (not free and size != known):
        raise ShapeError(f"cannot make shape {shape} out of {have}")
    return tuple(size // known if length == -1 else length for length in shape)


reshape = linear(
    "reshape", cost="views", code="xp.reshape({0}, {shape})", infer=_infer_reshape,
    transpose=(lambda y_bar, x, shape: np.reshape(y_bar, x.shape),),
    batch=lambda flags, x, shape: np.reshape(x, (x.shape[0], *_resolved(x.shape[1:], shape))),
)  # fmt: skip


def permutation(axes: tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    if axes is None:
        return tuple(reversed(range(ndim)))
    if normalized_axes(axes, ndim) != tuple(range(ndim)):
        raise ShapeError(f"axes {axes} do not permute {ndim} axes")
    return tuple(axis % ndim for axis in axes)


def _infer_transpose(x: Any, *, axes: tuple[int, ...] | None) -> Aval:
    return tuple(x.shape[axis] for axis in permutation(axes, len(x.shape))), x.dtype


def _inverse_permutation(axes: tuple[int, ...] | None, ndim: int) -> tuple[int, ...] | None:
    return None if axes is None else tuple(int(place) for place in np.argsort(permutation(axes, ndim)))


transpose = linear(
    "transpose", cost="views", code="xp.transpose({0}, {axes})", infer=_infer_transpose,
    transpose=(lambda y_bar, x, axes: y_bar.T if axes is None else np.transpose(y_bar, _inverse_permutation(axes, len(x.shape))),),
    batch=lambda flags, x, axes: np.transpose(x, (0, *(axis + 1 for axis in permutation(axes, len(x.shape) - 1)))),
    label="T", latex=r"{0}^\top",
)  # fmt: skip


def _infer_broadcast_to(x: Any, *, shape: tuple[int, ...]) -> Aval:
    try:
        fits = np.broadcast_shapes(shape_of(x), shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"shape {x.shape} does not broadcast to {shape}")
    return shape, x.dtype


broadcast_to = linear(
    # The sweep sums out broadcast axes, which is all that this transpose has to do.
    "broadcast_to", cost="views", code="xp.broadcast_to({0}, {shape})", infer=_infer_broadcast_to,
    transpose=(lambda y_bar, x, shape: y_bar,),
    batch=lambda flags, x, shape: np.broadcast_to(aligned(x, len(shape)), (x.shape[0], *shape)), label="broadcast",
)  # fmt: skip


def _joined(*xs: Any) -> str:
    return ", ".join(str(shape_of(x)) for x in xs)


def _infer_concatenate(*xs: Any, axis: int) -> Aval:
    if any(not shape_of(x) for x in xs):
        raise ShapeError("numbers without axes cannot be concatenated; write np.stack")
    axis = normalized_axes(axis, len(xs[0].shape))[0]
    rests = {x.shape[:axis] + x.shape[axis + 1 :] for x in xs}
    if len(rests) > 1 or len({len(x.shape) for x in xs}) > 1:
        raise ShapeError(f"shapes {_joined(*xs)} differ outside axis {axis}")
    length = sum(x.shape[axis] for x in xs)
    return xs[0].shape[:axis] + (length,) + xs[0].shape[axis + 1 :], result_dtype(*xs)


def _transpose_concatenate(index: int, y_bar: Any, *xs: Any, axis: int) -> Any:
    axis = normalized_axes(axis, len(shape_of(y_bar)))[0]
    start = sum(x.shape[axis] for x in xs[:index])
    return y_bar[(slice(None),) * axis + (slice(start, start + xs[index].shape[axis]),)]


def _batch_joined(join: Any, more: int) -> Any:
    def batch(flags: Any, *xs: Any, axis: int) -> Any:
        return join(all_batched(flags, xs), axis=shifted_axes(axis, single_ndim(xs[0], flags[0]) + more)[0])

    return batch


concatenate = linear(
    "concatenate", code="xp.concatenate([{*}], axis={axis})", infer=_infer_concatenate,
    transpose=_transpose_concatenate, groups=(), batch=_batch_joined(np.concatenate, 0),
)  # fmt: skip


def _infer_stack(*xs: Any, axis: int) -> Aval:
    if len({shape_of(x) for x in xs}) > 1:
        raise ShapeError(f"shapes {_joined(*xs)} are not all the same")
    shape = shape_of(xs[0])
    place = normalized_axes(axis, len(shape) + 1)[0]
    entries = [x if hasattr(x, "dtype") else np.asarray(x) for x in xs]  # np.stack makes arrays of Python numbers
    return shape[:place] + (len(xs),) + shape[place:], result_dtype(*entries)


def _transpose_stack(index: int, y_bar: Any, *xs: Any, axis: int) -> Any:
    return y_bar[(slice(None),) * normalized_axes(axis, len(shape_of(y_bar)))[0] + (index,)]


stack = linear(
    "stack", code="xp.stack([{*}], axis={axis})", infer=_infer_stack, transpose=_transpose_stack, groups=(),
    batch=_batch_joined(np.stack, 1),
)  # fmt: skip

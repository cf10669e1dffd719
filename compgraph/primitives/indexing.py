"""Reading entries, adding into them, and writing them.

An index is a parameter: slices, integers, `...`, None and arrays. Arrays of integers that are nodes, such as the labels in
`logits[np.arange(4), y]`, are arguments instead, without a derivative; the text "{1}" in the index stands for argument 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compgraph.backend import beside
from compgraph.errors import NodeIndexError, ShapeError
from compgraph.graph import Aval, bind, placed
from compgraph.primitives import costs
from compgraph.primitives.kinds import aligned, all_batched, batch_size, linear, result_dtype, shape_of


def parts_of(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def may_repeat(index: Any) -> bool:
    """Whether an index can read an entry twice, for which it needs an array of integers.

    >>> may_repeat((slice(1, 3), 0)), may_repeat(np.array([True, False])), may_repeat(np.array([0, 0])), may_repeat("{1}")
    (False, False, True, True)
    """
    return any(
        isinstance(part, (str, list, tuple)) or (isinstance(part, np.ndarray) and part.dtype != np.bool_) for part in parts_of(index)
    )


def filled(index: Any, indices: Sequence[Any], first: int = 1) -> Any:
    """An index with zeros at its places, of the shape of the arguments that stand there; they take no memory."""
    for one in indices:
        if not hasattr(one, "dtype") or one.dtype.kind not in "iu":
            raise NodeIndexError(f"arrays of indices hold integers, not {getattr(one, 'dtype', type(one).__name__)}")
    zeros = [np.broadcast_to(np.intp(0), one.shape) if one.shape else 0 for one in indices]
    return placed(index, first, zeros) if indices or may_repeat(index) else index


def shape_read(shape: tuple[int, ...], index: Any) -> tuple[int, ...]:
    try:
        read: tuple[int, ...] = np.broadcast_to(np.empty((), np.bool_), shape)[index].shape
    except IndexError as error:
        raise NodeIndexError(f"{error}, for shape {shape}") from None
    return read


def _infer_index(x: Any, *indices: Any, index: Any) -> Aval:
    return shape_read(shape_of(x), filled(index, indices)), x.dtype


def scatter_add(x, index, shape):  # type: ignore[no-untyped-def]
    # The transpose of reading: zeros of `shape` with x added at `index`, once for every time it was read.
    y = np.zeros(shape, x.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if all(part is None or part is ... or isinstance(part, (int, slice)) for part in parts):
        y[index] = x[()]  # slices and integers read nothing twice; [()] makes a number of an array without axes
    elif x.size <= 512 or 64 * x.size < y.size:  # few: to number all places would take longer
        np.add.at(y, index, x)
    else:  # along one axis, where np.add.at is fast
        places = np.arange(y.size).reshape(y.shape)[index]
        np.add.at(y.reshape(-1), np.reshape(places, -1), np.reshape(x, -1))
    return y


def _infer_scatter_add(x: Any, *indices: Any, index: Any, shape: tuple[int, ...]) -> Aval:
    wanted = shape_read(tuple(shape), filled(index, indices))
    if shape_of(x) != wanted:
        raise ShapeError(f"the index reads shape {wanted} out of {tuple(shape)}, not {shape_of(x)}")
    return tuple(shape), x.dtype


def assign(x, value, index):  # type: ignore[no-untyped-def]
    # A copy of x with `value` at `index`; of values for the same entry the last one stays.
    y = np.array(x, np.result_type(x, value))
    y[index] = value[()]
    return y


def _infer_assign(x: Any, value: Any, *indices: Any, index: Any) -> Aval:
    wanted = shape_read(shape_of(x), filled(index, indices, 2))
    if shape_of(value) != wanted:
        raise ShapeError(f"the index reads shape {wanted}, the value has {shape_of(value)}")
    return shape_of(x), result_dtype(x, value)


def moved_places(index: Any, by: int) -> Any:
    """An index for a primitive with `by` more arguments before those of the index."""
    parts = tuple(f"{{{int(part[1:-1]) + by}}}" if isinstance(part, str) else part for part in parts_of(index))
    return parts if isinstance(index, tuple) else parts[0]


def _transpose_assign_value(y_bar: Any, x: Any, value: Any, *indices: Any, index: Any) -> Any:
    """What was read at `index`, but for the values that a later one for the same entry replaced."""
    reading = moved_places(index, -1)
    read = bind("index", y_bar, *indices, index=reading)
    if not may_repeat(index):
        return read
    order = beside(np.arange(int(np.prod(value.shape))).reshape(value.shape), y_bar)
    last = bind("assign", np.zeros(x.shape, order.dtype), order, *indices, index=index)
    return np.where(np.equal(bind("index", last, *indices, index=reading), order), read, 0)


# --------------------------------------------------------------------------------------- vector mode


def behind_the_batch(index: Any) -> tuple[Any, ...]:
    """An index that reads every entry of a batch the same way, where `stays_behind` says that it can."""
    return (slice(None), *parts_of(index))


def _advanced(parts: Sequence[Any]) -> list[int]:
    """Where the parts stand that NumPy broadcasts together: arrays and, beside them, integers."""
    return [place for place, part in enumerate(parts) if isinstance(part, (np.ndarray, str, int))]


def _together(places: Sequence[int]) -> bool:
    return not places or places[-1] - places[0] + 1 == len(places)


def stays_behind(index: Any) -> bool:
    """Whether the axes that an index makes stay behind the batch axis.

    Arrays of integers that stand apart put their axes before all others, the batch axis among them.
    """
    parts = parts_of(index)
    return not any(isinstance(part, (np.ndarray, str)) for part in parts) or _together(_advanced(parts))


def _axes_before(parts: Sequence[Any], ndim: int) -> int:
    """How many axes of the result stand before those of the arrays, for an index into `ndim` axes."""
    places = _advanced(parts)
    if not _together(places):
        return 0
    free = ndim - sum(part is not None and part is not Ellipsis for part in parts)
    return sum(free if part is Ellipsis else 1 for part in parts[: places[0]])


class _Rows:
    """An index into every entry of a batch with arrays that differ from entry to entry.

    The entry's number is one more array of indices. It brings all arrays' axes to the front, from where `behind` puts
    them back to their place in a single entry's result.
    """

    def __init__(self, index: Any, first: int, flags: Sequence[bool], indices: Sequence[Any], size: int, ndim: int) -> None:
        parts: list[Any] = []
        for part in parts_of(index):
            parts += np.nonzero(part) if isinstance(part, np.ndarray) and part.dtype == np.bool_ else [part]
        self.width = max(
            [np.ndim(part) for part in parts if isinstance(part, np.ndarray)]
            + [len(one.shape) - flag for one, flag in zip(indices, flags, strict=True)]
        )
        self.indices = [aligned(one, self.width) if flag else one for one, flag in zip(indices, flags, strict=True)]
        self.index = (np.arange(size).reshape(size, *(1,) * self.width), *parts)
        self.before = _axes_before(parts, ndim)

    def _order(self, ndim: int) -> tuple[int, ...]:
        width, before = self.width, self.before
        return (0, *range(1 + width, 1 + width + before), *range(1, 1 + width), *range(1 + width + before, ndim))

    def behind(self, y: Any) -> Any:
        return np.transpose(y, self._order(len(y.shape)))

    def in_front(self, y: Any) -> Any:
        return np.transpose(y, tuple(int(place) for place in np.argsort(self._order(len(y.shape)))))


def _same_for_all(flags: Sequence[bool], index: Any) -> bool:
    return not any(flags) and stays_behind(index)


def _batch_index(flags: Any, x: Any, *indices: Any, index: Any) -> Any:
    if _same_for_all(flags[1:], index):
        return bind("index", x, *indices, index=behind_the_batch(index))
    size = batch_size(flags, (x, *indices))
    (x,) = all_batched((flags[0], True), (x, np.empty(size)))[:1]
    rows = _Rows(index, 1, flags[1:], indices, size, len(x.shape) - 1)
    return rows.behind(bind("index", x, *rows.indices, index=rows.index))


def _batch_scatter_add(flags: Any, x: Any, *indices: Any, index: Any, shape: tuple[int, ...]) -> Any:
    size = batch_size(flags, (x, *indices))
    if _same_for_all(flags[1:], index):
        return bind("scatter_add", x, *indices, index=behind_the_batch(index), shape=(size, *shape))
    (x,) = all_batched((flags[0], True), (x, np.empty(size)))[:1]
    rows = _Rows(index, 1, flags[1:], indices, size, len(shape))
    return bind("scatter_add", rows.in_front(x), *rows.indices, index=rows.index, shape=(size, *shape))


def _batch_assign(flags: Any, x: Any, value: Any, *indices: Any, index: Any) -> Any:
    size = batch_size(flags, (x, value, *indices))
    x, value = all_batched((*flags[:2], True), (x, value, np.empty(size)))[:2]
    if _same_for_all(flags[2:], index):
        return bind("assign", x, value, *indices, index=behind_the_batch(index))
    rows = _Rows(index, 2, flags[2:], indices, size, len(x.shape) - 1)
    return bind("assign", x, rows.in_front(value), *rows.indices, index=rows.index)


# -------------------------------------------------------------------------------------------- table

index = linear(
    "index", code="{0}[{index}]", infer=_infer_index, batch=_batch_index,
    transpose=(lambda y_bar, x, *indices, index: bind("scatter_add", y_bar, *indices, index=index, shape=shape_of(x)),),
    label="[ ]", cost=costs.index,
)  # fmt: skip
linear(
    "scatter_add", code="scatter_add({0}, {index}, {shape})", helper=scatter_add, batch=_batch_scatter_add, infer=_infer_scatter_add,
    transpose=(lambda y_bar, x, *indices, index, shape: bind("index", y_bar, *indices, index=index),),
    label="scatter", cost=costs.scatter_add,
)  # fmt: skip
linear(
    "assign", code="assign({0}, {1}, {index})", helper=assign, batch=_batch_assign, infer=_infer_assign, groups=((0, 1),),
    transpose=(
        lambda y_bar, x, value, *indices, index: bind("assign", y_bar, np.zeros(value.shape, y_bar.dtype), *indices, index=index),
        _transpose_assign_value,
    ),
)  # fmt: skip

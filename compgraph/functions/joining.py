"""NumPy's functions that join arrays, take them apart, and put slices in or leave them out."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import DtypeError, ShapeError
from compgraph.functions.inspecting import number
from compgraph.functions.parameters import whole
from compgraph.functions.registry import implements
from compgraph.functions.shaping import along, arraylike, axis_of, broadcast_to, moveaxis, ravel, read, reshape
from compgraph.graph import bind
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import shape_of

# ---------------------------------------------------------------------------------------------- joining


def _in_dtype(name: str, joined: Any, dtype: Any, casting: Any) -> Any:
    if dtype is None:
        return joined
    if not np.can_cast(joined.dtype, dtype, casting):
        raise DtypeError(f"np.{name}: {joined.dtype} does not become {np.dtype(dtype)} by casting {casting!r}{here()}")
    return cast(joined, dtype)


def _arrays(name: str, arrays: Any) -> list[Any]:
    found = [arraylike(array) for array in arrays]
    if not found:
        raise ShapeError(f"np.{name} needs at least one array{here()}")
    return found


@implements(np.concatenate, np.concat)
def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = _arrays("concatenate", arrays)
    if axis is None:
        arrays, axis = [ravel(array) for array in arrays], 0
    return _in_dtype("concatenate", bind("concatenate", *arrays, axis=whole(axis)), dtype, casting)


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, dtype: Any = None, casting: str = "same_kind") -> Any:
    return _in_dtype("stack", bind("stack", *_arrays("stack", arrays), axis=whole(axis)), dtype, casting)


def _widened(arrays: list[Any], function: Any) -> list[Any]:
    return [function(array) for array in arrays]


@implements(np.vstack)
def vstack(tup: Any, dtype: Any = None, casting: str = "same_kind") -> Any:
    return concatenate(_widened(_arrays("vstack", tup), np.atleast_2d), 0, dtype, casting)


@implements(np.hstack)
def hstack(tup: Any, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = _widened(_arrays("hstack", tup), np.atleast_1d)
    return concatenate(arrays, 0 if len(arrays[0].shape) == 1 else 1, dtype, casting)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    return concatenate(_widened(_arrays("dstack", tup), np.atleast_3d), 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    arrays = _arrays("column_stack", tup)
    return concatenate([array if len(array.shape) >= 2 else reshape(array, (-1, 1)) for array in arrays], 1)


@implements(np.block)
def block(arrays: Any) -> Any:
    """Nested lists as blocks: the innermost along the last axis, the next along the one before, and so on."""
    depth = _depth(arrays, 0)
    ndim = max([depth, *(len(shape_of(leaf)) for leaf in _leaves(arrays))])

    def joined(part: Any, level: int) -> Any:
        if not isinstance(part, list):
            leaf = arraylike(part)
            return reshape(leaf, (1,) * (ndim - len(leaf.shape)) + leaf.shape)
        return concatenate([joined(inner, level + 1) for inner in part], axis=level - depth)

    return joined(arrays, 0)


def _depth(part: Any, level: int) -> int:
    """How deep the lists are nested, which is the same everywhere."""
    if not isinstance(part, list):
        return level
    depths = {_depth(inner, level + 1) for inner in part}
    if len(depths) != 1:
        raise ShapeError(f"np.block: the lists are {'empty' if not depths else 'not nested equally deep'}{here()}")
    return depths.pop()


def _leaves(part: Any) -> list[Any]:
    return [leaf for inner in part for leaf in _leaves(inner)] if isinstance(part, list) else [arraylike(part)]


@implements(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    return concatenate((arr, values), axis)


# -------------------------------------------------------------------------------------------- splitting


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Parts of nearly equal length, or the parts between the given places."""
    place = axis_of("array_split", axis, len(shape_of(ary)))
    length = shape_of(ary)[place]
    if np.ndim(indices_or_sections):
        ends: list[int | None] = [*(whole(one) for one in indices_or_sections), None]
        starts: list[int | None] = [0, *ends[:-1]]
    else:
        count = whole(indices_or_sections)
        if count <= 0:
            raise ShapeError(f"array_split: an array is split into at least one part, not {count}{here()}")
        cuts = [part * (length // count) + min(part, length % count) for part in range(count + 1)]
        starts, ends = [*cuts[:-1]], [*cuts[1:]]
    return [read(ary, along(place, slice(start, end))) for start, end in zip(starts, ends, strict=True)]


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    length = shape_of(ary)[axis_of("split", axis, len(shape_of(ary)))]
    if not np.ndim(indices_or_sections) and length % max(whole(indices_or_sections), 1):
        raise ShapeError(f"split: {length} entries do not make {indices_or_sections} equal parts; write np.array_split{here()}")
    return array_split(ary, indices_or_sections, axis)


def _split_along(name: str, ary: Any, sections: Any, axis: int, least: int) -> list[Any]:
    if len(shape_of(ary)) < least:
        raise ShapeError(f"{name}: an array of at least {least} axes is needed, not shape {shape_of(ary)}{here()}")
    return split(ary, sections, axis)


implements(np.hsplit)(
    lambda ary, indices_or_sections: _split_along("hsplit", ary, indices_or_sections, min(len(shape_of(ary)) - 1, 1), 1)
)
implements(np.vsplit)(lambda ary, indices_or_sections: _split_along("vsplit", ary, indices_or_sections, 0, 2))
implements(np.dsplit)(lambda ary, indices_or_sections: _split_along("dsplit", ary, indices_or_sections, 2, 3))


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    place = axis_of("unstack", axis, len(shape_of(x)))
    return tuple(read(x, along(place, number_)) for number_ in range(shape_of(x)[place]))


if hasattr(np, "unstack"):  # since NumPy 2.1
    implements(np.unstack)(unstack)


# ------------------------------------------------------------------------------- putting in and leaving out


def _places(obj: Any, length: int) -> Any:
    """What `insert` and `delete` take: an integer, a slice, or a sequence of integers or booleans."""
    if isinstance(obj, slice):
        return np.arange(*obj.indices(length))
    return number(obj, "np.insert() or np.delete()")


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """`values` before the places `obj`, which count in the array as it was."""
    arr, axis = (ravel(arraylike(arr)), 0) if axis is None else (arraylike(arr), axis_of("insert", axis, len(shape_of(arr))))
    length = arr.shape[axis]
    places = _places(obj, length)
    values = cast(arraylike(values), arr.dtype)
    values = reshape(values, (1,) * (len(arr.shape) - len(values.shape)) + values.shape)
    if np.ndim(places) == 0:
        values = moveaxis(values, 0, axis)
    marks = np.asarray(places)
    count = int(marks.sum()) if marks.dtype == np.bool_ else marks.size
    count = values.shape[axis] if marks.size == 1 else count
    values = broadcast_to(values, (*arr.shape[:axis], count, *arr.shape[axis + 1 :]))
    order = np.insert(np.arange(length), places, np.arange(length, length + count))  # NumPy says where everything goes
    return read(bind("concatenate", arr, values, axis=axis), along(axis, order))


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """The array without the slices `obj` along `axis`."""
    arr, axis = (ravel(arraylike(arr)), 0) if axis is None else (arraylike(arr), axis_of("delete", axis, len(shape_of(arr))))
    kept = np.zeros(arr.shape[axis], bool)
    kept[np.delete(np.arange(arr.shape[axis]), _places(obj, arr.shape[axis]))] = True
    return read(arr, along(axis, kept))


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """Without the zeros at the ends of each of the axes, front and back; the values are read to find them."""
    values = number(filt, "np.trim_zeros()")
    if not set(trim.lower()) <= {"f", "b"}:
        raise ValueError(f"trim {trim!r}: it is made of 'f' and 'b'")
    axes = range(values.ndim) if axis is None else [axis_of("trim_zeros", one, values.ndim) for one in np.atleast_1d(axis)]
    index = [slice(None)] * values.ndim
    places = np.nonzero(values)
    for one in axes:
        found = places[one]
        front = int(found.min()) if found.size else values.shape[one]
        back = int(found.max()) + 1 if found.size else values.shape[one]
        index[one] = slice(front if "f" in trim.lower() else 0, back if "b" in trim.lower() or not found.size else values.shape[one])
    return read(filt, tuple(index))



"""NumPy's functions that move entries without changing them. Joining and splitting are in `joining.py`.

A node has no memory layout: order "C" and "F" count its entries as NumPy does, and "A" and "K", which ask how an array
lies in memory, mean "C".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.backend import as_array
from compgraph.errors import NodeAxisError, ShapeError
from compgraph.functions.parameters import static_axes, static_shape, whole
from compgraph.functions.registry import implements
from compgraph.graph import bind
from compgraph.origins import here
from compgraph.primitives.kinds import is_node, normalized_axes, shape_of


def arraylike(a: Any) -> Any:
    """A node as it is, all else as an array."""
    return a if is_node(a) else as_array(a)


def axes_of(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """Non-negative axes in the order given; errors name the function."""
    axes = static_axes(axis)
    axes = axes if isinstance(axes, tuple) else (axes,)
    try:
        normalized_axes(axes, ndim)
    except ShapeError as error:
        raise type(error)(f"{name}: {error}{here()}") from None
    return tuple(axis % ndim for axis in axes)


def axis_of(name: str, axis: Any, ndim: int) -> int:
    return axes_of(name, whole(axis), ndim)[0]


def along(axis: int, part: Any) -> tuple[Any, ...]:
    """The index that is `part` on one axis and leaves the axes before it alone."""
    return (slice(None),) * axis + (part,)


def read(a: Any, index: Any) -> Any:
    """`a[index]` for an index that holds no node."""
    return bind("index", a, index=index)


# ---------------------------------------------------------------------------------- shapes and axes


@implements(np.reshape)
def reshape(a: Any, shape: Any, order: str = "C", copy: Any = None) -> Any:
    """`shape` is an int or a sequence of ints; one of them may be -1."""
    shape = static_shape(shape)
    if _order("reshape", order) == "C":
        return bind("reshape", a, shape=shape)
    return transpose(bind("reshape", transpose(a), shape=shape[::-1]))


def _order(name: str, order: Any) -> str:
    if order not in ("C", "F", "A", "K", None):
        raise ValueError(f"np.{name}: order {order!r}: it is 'C', 'F', 'A' or 'K'")
    return "F" if order == "F" else "C"


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    return reshape(a, -1, order)


@implements(np.transpose, *({np.permute_dims} if hasattr(np, "permute_dims") else ()))
def transpose(a: Any, axes: Any = None) -> Any:
    return bind("transpose", a, axes=static_axes(axes))


@implements(np.matrix_transpose)
def matrix_transpose(x: Any) -> Any:
    if len(shape_of(x)) < 2:
        raise ShapeError(f"matrix_transpose: an array of at least two axes is needed, not shape {shape_of(x)}{here()}")
    return swapaxes(x, -1, -2)


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    ndim = len(shape_of(a))
    one, two = axis_of("swapaxes", axis1, ndim), axis_of("swapaxes", axis2, ndim)
    order = list(range(ndim))
    order[one], order[two] = two, one
    return transpose(a, tuple(order))


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    ndim = len(shape_of(a))
    sources, destinations = axes_of("moveaxis", source, ndim), axes_of("moveaxis", destination, ndim)
    if len(sources) != len(destinations):
        raise ShapeError(f"moveaxis: {len(sources)} axes cannot go to {len(destinations)} places{here()}")
    order = [axis for axis in range(ndim) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return transpose(a, tuple(order))


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    ndim = len(shape_of(a))
    axis, start = axis_of("rollaxis", axis, ndim), whole(start)
    if not -ndim <= start <= ndim:
        raise NodeAxisError(f"rollaxis: start {start} is outside an array of {ndim} axes{here()}")
    start += ndim * (start < 0)
    return moveaxis(a, axis, start - (axis < start))


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any) -> Any:
    return bind("broadcast_to", array, shape=static_shape(shape))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    arrays = [arraylike(arg) for arg in args]
    try:
        shape = np.broadcast_shapes(*[array.shape for array in arrays])
    except ValueError:
        raise ShapeError(f"shapes {', '.join(str(array.shape) for array in arrays)} do not broadcast{here()}") from None
    return tuple(array if array.shape == shape else broadcast_to(array, shape) for array in arrays)


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    shape = shape_of(a)
    axes = [place for place, length in enumerate(shape) if length == 1] if axis is None else axes_of("squeeze", axis, len(shape))
    if any(shape[place] != 1 for place in axes):
        raise ShapeError(f"squeeze: axis {axis} of shape {shape} is not of length 1{here()}")
    return reshape(a, tuple(length for place, length in enumerate(shape) if place not in axes))


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    axes = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    ndim = len(shape_of(a)) + len(axes)
    places = axes_of("expand_dims", axes, ndim)
    lengths = iter(shape_of(a))
    return reshape(a, tuple(1 if place in places else next(lengths) for place in range(ndim)))


def _at_least(ndim: int, arrays: tuple[Any, ...]) -> Any:
    """Each array with axes of length 1 added: before, but for a third axis, which NumPy puts behind a matrix."""

    def widened(a: Any) -> Any:
        a = arraylike(a)
        missing = ndim - len(a.shape)
        if missing <= 0:
            return a
        behind = int(ndim == 3 and len(a.shape) > 0)
        return reshape(a, (1,) * (missing - behind) + a.shape + (1,) * behind)

    found = tuple(widened(a) for a in arrays)
    return found[0] if len(found) == 1 else found


implements(np.atleast_1d)(lambda *arys: _at_least(1, arys))
implements(np.atleast_2d)(lambda *arys: _at_least(2, arys))
implements(np.atleast_3d)(lambda *arys: _at_least(3, arys))


@implements(np.copy)
def copy(a: Any) -> Any:
    """The node itself under a new name: a node cannot be written into, so nothing needs to be copied."""
    return bind("identity", a)


# ------------------------------------------------------------------------------ repeating and rolling


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each entry `repeats` times, which is one number or one a slice along `axis`."""
    a, axis = (ravel(a), 0) if axis is None else (a, axis_of("repeat", axis, len(shape_of(a))))
    shape = shape_of(a)
    counts = np.asarray(repeats.concrete("a number of repeats") if is_node(repeats) else repeats)
    if counts.size == 1 and counts.dtype.kind in "iu" and counts.min() >= 0:
        count = int(counts.reshape(()))
        wide = broadcast_to(expand_dims(a, axis + 1), (*shape[: axis + 1], count, *shape[axis + 1 :]))
        return reshape(wide, (*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))
    return read(a, along(axis, np.repeat(np.arange(shape[axis]), counts)))


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    counts = static_shape(reps)
    ndim = max(len(shape_of(A)), len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - len(shape_of(A))) + shape_of(A)
    alternating = tuple(length for pair in zip(counts, shape, strict=True) for length in pair)
    apart = reshape(A, tuple(length for pair in zip((1,) * ndim, shape, strict=True) for length in pair))
    return reshape(broadcast_to(apart, alternating), tuple(count * length for count, length in zip(counts, shape, strict=True)))


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """The entries over and over until the new shape is full."""
    shape, flat = static_shape(new_shape), ravel(a)
    size, have = int(np.prod(shape)), flat.shape[0]
    if not size or not have:
        return broadcast_to(np.zeros((), a.dtype), shape)
    if size <= have:
        return reshape(read(flat, slice(0, size)), shape)
    return reshape(read(tile(flat, -(-size // have)), slice(0, size)), shape)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), shape_of(a))
    each = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [axis_of("roll", one, len(shape_of(a))) for one in each]  # an axis may come twice
    shifts = static_shape(shift)
    try:
        pairs = np.broadcast(shifts, axes)
    except ValueError:
        raise ShapeError(f"roll: {len(shifts)} shifts do not fit {len(axes)} axes{here()}") from None
    for by, place in pairs:
        length = shape_of(a)[place]
        start = -int(by) % length if length else 0
        if start:
            a = bind("concatenate", read(a, along(place, slice(start, None))), read(a, along(place, slice(0, start))), axis=int(place))
    return a


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    ndim = len(shape_of(m))
    axes = range(ndim) if axis is None else axes_of("flip", axis, ndim)
    return read(m, tuple(slice(None, None, -1) if place in axes else slice(None) for place in range(ndim)))


def _matrixlike(name: str, m: Any, ndim: int) -> Any:
    if len(shape_of(m)) < ndim:
        raise ShapeError(f"{name}: an array of at least {ndim} axes is needed, not shape {shape_of(m)}{here()}")
    return m


implements(np.flipud)(lambda m: flip(_matrixlike("flipud", m, 1), 0))
implements(np.fliplr)(lambda m: flip(_matrixlike("fliplr", m, 2), 1))


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """A quarter turn from the first of `axes` towards the second, `k` times."""
    if len(axes) != 2:
        raise ShapeError(f"rot90: two axes make a plane, not {len(axes)}{here()}")
    one, two = axes_of("rot90", tuple(axes), len(shape_of(m)))
    turns = whole(k) % 4
    if turns == 0:
        return m if is_node(m) else as_array(m)
    if turns == 2:
        return flip(m, (one, two))
    return swapaxes(flip(m, two), one, two) if turns == 1 else flip(swapaxes(m, one, two), two)


# ------------------------------------------------------------------------------------------ diagonals


def _on_diagonal(rows: int, columns: int, offset: int) -> slice:
    """The entries of a diagonal among those of a matrix in a row: every (columns + 1)-th."""
    first, length = (offset, min(rows, columns - offset)) if offset >= 0 else (-offset * columns, min(rows + offset, columns))
    length = max(length, 0)
    return slice(first, first + (length - 1) * (columns + 1) + 1, columns + 1) if length else slice(0, 0)


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    shape = shape_of(_matrixlike("diagonal", a, 2))
    one, two = axes_of("diagonal", (axis1, axis2), len(shape))
    last = transpose(a, (*(axis for axis in range(len(shape)) if axis not in (one, two)), one, two))
    rows, columns = last.shape[-2:]
    in_a_row = reshape(last, (*last.shape[:-2], rows * columns))
    return read(in_a_row, along(len(shape) - 2, _on_diagonal(rows, columns, whole(offset))))


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    v, k = arraylike(v), whole(k)
    if len(v.shape) == 2:
        return diagonal(v, k)
    if len(v.shape) != 1:
        raise ShapeError(f"diag: a vector or a matrix is needed, not shape {v.shape}{here()}")
    side = v.shape[0] + abs(k)
    return reshape(bind("scatter_add", v, index=_on_diagonal(side, side, k), shape=(side * side,)), (side, side))


implements(np.diagflat)(lambda v, k=0: diag(ravel(v), k))


def _triangle(m: Any, k: int, lower: bool) -> Any:
    """`m` on one side of a diagonal and 0 on the other; a vector stands for every row, as in NumPy."""
    rows, columns = ((shape_of(m)[0],) * 2) if len(shape_of(_matrixlike("tril", m, 1))) == 1 else shape_of(m)[-2:]
    inside = np.tri(rows, columns, whole(k) if lower else whole(k) - 1, dtype=bool)
    return bind("where", inside, m, 0) if lower else bind("where", inside, 0, m)


implements(np.tril)(lambda m, k=0: _triangle(m, k, lower=True))
implements(np.triu)(lambda m, k=0: _triangle(m, k, lower=False))


# -------------------------------------------------------------------------------------------- products


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Every entry of `a` times the whole of `b`."""
    a, b = arraylike(a), arraylike(b)
    ndim = max(len(a.shape), len(b.shape))
    one, two = ((1,) * (ndim - len(x.shape)) + x.shape for x in (a, b))
    left = reshape(a, tuple(length for size in one for length in (size, 1)))
    right = reshape(b, tuple(length for size in two for length in (1, size)))
    return reshape(bind("multiply", left, right), tuple(m * n for m, n in zip(one, two, strict=True)))


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing {indexing!r}: it is 'xy' or 'ij'")
    vectors, ndim = [ravel(arraylike(x)) for x in xi], len(xi)
    places = [1 - place if indexing == "xy" and place < 2 <= ndim else place for place in range(ndim)]
    grids = tuple(reshape(x, (1,) * place + (-1,) + (1,) * (ndim - 1 - place)) for place, x in zip(places, vectors, strict=True))
    return grids if sparse else broadcast_arrays(*grids)

"""Reading, reshaping and joining of arrays: what only moves entries is done once, or not at all.

The values are the same to the bit. In memory an array may lie differently than before, and NumPy sums in the order of memory,
so a sum behind it may round differently.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph.graph import Graph, Node, bind
from compgraph.identities import ENTRYWISE, Candidates, operation, transformed, uses
from compgraph.primitives.indexing import parts_of
from compgraph.primitives.kinds import normalized_axes, shape_of
from compgraph.primitives.shape import permutation
from compgraph.simplification import again, rewritten

Shape = tuple[int, ...]

# ----------------------------------------------------------------------------------- basic indices

# An index of slices, integers, `...` and None reads along each axis on its own: a number, or a range of places.


def places_read(index: Any, shape: Shape) -> list[int | range] | None:
    """What a basic index without None reads along each axis; None for any other index.

    >>> places_read((Ellipsis, slice(None, None, -1)), (4, 3)), places_read(1, (4, 3)), places_read(None, (3,))
    ([range(0, 4), range(2, -1, -1)], [1, range(0, 3)], None)
    """
    parts = list(parts_of(index))
    if not all(isinstance(part, (int, slice)) or part is Ellipsis for part in parts) or any(isinstance(part, bool) for part in parts):
        return None
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    place = parts.index(Ellipsis)
    parts[place : place + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    return [range(length)[part] if isinstance(part, slice) else part % length for part, length in zip(parts, shape, strict=True)]


def index_of(places: Sequence[int | range], shape: Shape) -> Any:
    """The index that reads these places, as short as it can be written.

    >>> index_of([range(0, 4), range(2, -1, -1)], (4, 3)), index_of([1, range(0, 3)], (4, 3)), index_of([range(2, 4)], (4,))
    ((slice(None, None, None), slice(None, None, -1)), 1, slice(2, 4, None))
    """
    parts: list[Any] = [_part(one, length) for one, length in zip(places, shape, strict=True)]
    while len(parts) > 1 and parts[-1] == slice(None):
        parts.pop()
    return parts[0] if len(parts) == 1 else tuple(parts)


def _part(places: int | range, length: int) -> Any:
    if isinstance(places, int):
        return places
    if places == range(length):
        return slice(None)
    if not places:
        return slice(0, 0)
    step = places.step if len(places) > 1 else 1
    stop = places[-1] + (1 if step > 0 else -1)
    if step > 0:
        return slice(places[0], stop) if step == 1 else slice(places[0], stop, step)
    return slice(None if places[0] == length - 1 else places[0], None if stop < 0 else stop, step)


def composed(outer: Sequence[int | range], inner: Sequence[int | range]) -> list[int | range]:
    """What `x[outer][inner]` reads of x: `inner` counts in the axes that `outer` leaves."""
    left = iter(inner)
    return [one if isinstance(one, int) else one[part] if isinstance(part := next(left), int) else _within(one, part) for one in outer]


def _within(places: range, chosen: range) -> range:
    return range(places.start + chosen.start * places.step, places.start + chosen.stop * places.step, chosen.step * places.step)


def _only_adds_axes(index: Any) -> bool:
    """Whether an index reads everything in order, as `x[..., None]` does."""
    return all(part is None or part is Ellipsis or (isinstance(part, slice) and part == slice(None)) for part in parts_of(index))


# --------------------------------------------------------------------------------------- clean-up


def cancel_layouts(graph: Graph) -> Graph:
    """Merge and drop what only moves entries, and stretch arrays as late as possible.

    >>> import numpy as np, compgraph as cg
    >>> def f(x, y):
    ...     return np.reshape(np.broadcast_to(np.transpose(np.transpose(x)), (4, 3)) * y, (12,))[2:][1:]
    >>> print(cancel_layouts(cg.trace(f, np.zeros(3), np.zeros((4, 3)))))
    f(x, y):
        v1 = x * y
        v2 = reshape(v1, (12,))
        v3 = v2[3:12]
        return v3

    Exact. A reshape of a reshape, a transpose of a transpose, an index of an index, a broadcast of a broadcast are one, and
    none where they change nothing. Arithmetic stretches its arguments by itself, and where all of them are stretched, the
    result is. An index that takes exactly one part of a concatenation or a stack is that part.
    """

    def rules(line: Node, node: Node, readers: Counter[Node]) -> Candidates:
        name = operation(node)
        if name in _LAYOUTS:
            yield from _LAYOUTS[name](node, readers)
        elif name in ENTRYWISE or name == "astype":
            yield _stretched_late(node)

    return transformed(graph, rules, needs=_LAYOUTS)


def _reshape(node: Node, readers: Counter[Node]) -> Candidates:
    x = node.args[0]
    yield x
    name = operation(x)
    if name == "reshape" or (name == "transpose" and _keeps_order(x)):
        yield bind("reshape", x.args[0], shape=node.shape)
    elif name in ("sum", "mean", "max", "min", "prod") and readers[x] == 1:  # whose reduced axes may stay as ones, or go
        yield bind(x.primitive, x.args[0], **{**x.params, "keepdims": not x.params["keepdims"]})
    if -1 in node.params["shape"]:
        yield bind("reshape", x, shape=node.shape)


def _keeps_order(transpose: Node) -> bool:
    """Whether only axes of length 1 change places."""
    axes = permutation(transpose.params["axes"], transpose.ndim)
    long = [axis for axis in axes if transpose.args[0].shape[axis] != 1]
    return long == sorted(long)


def _transpose(node: Node, readers: Counter[Node]) -> Candidates:
    x, axes = node.args[0], permutation(node.params["axes"], node.ndim)
    if axes == tuple(range(node.ndim)):
        yield x
    if operation(x) == "transpose":
        inner = permutation(x.params["axes"], x.ndim)
        both = tuple(inner[axis] for axis in axes)
        yield x.args[0] if both == tuple(range(node.ndim)) else bind("transpose", x.args[0], axes=_short(both))
    elif _keeps_order(node):
        yield bind("reshape", x, shape=node.shape)
    elif operation(x) == "stack" and readers[x] == 1:
        stacked = normalized_axes(x.params["axis"], x.ndim)[0]
        others = [axis for axis in axes if axis != stacked]
        if others == sorted(others):
            yield bind("stack", *x.args, axis=axes.index(stacked))


def _short(axes: Shape) -> Shape | None:
    return None if axes == tuple(reversed(range(len(axes)))) else axes


def _broadcast_to(node: Node, readers: Counter[Node]) -> Candidates:
    x = node.args[0]
    yield x
    if operation(x) == "broadcast_to" or _adds_leading_axes(x):
        yield bind("broadcast_to", x.args[0], shape=node.shape)


def _adds_leading_axes(x: Any) -> bool:
    if operation(x) != "reshape":
        return False
    small = shape_of(x.args[0])
    return x.shape == (1,) * (x.ndim - len(small)) + small


def _stretched_late(node: Node) -> Any:
    """Arithmetic on what its arguments were stretched from; None if that is what it works on already."""
    small = [arg.args[0] if operation(arg) == "broadcast_to" or _adds_leading_axes(arg) else arg for arg in node.args]
    if all(one is arg for one, arg in zip(small, node.args, strict=True)):
        return None
    shape = np.broadcast_shapes(*map(shape_of, small))
    y = bind(node.primitive, *small, **node.params)  # type: ignore[arg-type]
    return y if shape == node.shape else bind("broadcast_to", y, shape=node.shape)




def _concatenate(node: Node, readers: Counter[Node]) -> Candidates:
    if len(node.args) == 1:
        yield node.args[0]


def _index(node: Node, readers: Counter[Node]) -> Candidates:
    x, *indices = node.args
    index = node.params["index"]
    if indices or not isinstance(x, Node):
        return
    if _only_adds_axes(index):
        yield x
        yield bind("reshape", x, shape=node.shape)
        return
    places = places_read(index, x.shape)
    if places is None:
        return
    name = operation(x)
    if isinstance(index, tuple) and len(index) == 1:
        yield bind("index", x, index=index[0])
    if name == "index" and len(x.args) == 1:
        before = places_read(x.params["index"], x.args[0].shape)
        if before is not None:
            yield bind("index", x.args[0], index=index_of(composed(before, places), x.args[0].shape))
    elif name == "scatter_add" and len(x.args) == 1 and places == places_read(x.params["index"], x.shape):
        yield x.args[0]
    elif name == "concatenate":
        yield _part_of_concatenation(x, places)
    elif name == "stack":
        axis = normalized_axes(x.params["axis"], x.ndim)[0]
        place = places[axis]
        if isinstance(place, int):
            part = x.args[place]
            rest = places[:axis] + places[axis + 1 :]
            yield bind("index", part, index=index_of(rest, part.shape)) if rest and isinstance(part, Node) else part


def _part_of_concatenation(x: Node, places: list[int | range]) -> Any:
    """The read of the one part of `x` in which all places lie, or None."""
    axis = normalized_axes(x.params["axis"], x.ndim)[0]
    along = places[axis]
    entries = along if isinstance(along, range) else (along,)
    if not len(entries):
        return None
    start = 0
    for part in x.args:
        stop = start + shape_of(part)[axis]
        if start <= min(entries[0], entries[-1]) and max(entries[0], entries[-1]) < stop:
            if not isinstance(part, Node):
                return None
            moved = along - start if isinstance(along, int) else range(along.start - start, along.stop - start, along.step)
            return bind("index", part, index=index_of([*places[:axis], moved, *places[axis + 1 :]], part.shape))
        start = stop
    return None


def _scatter_add(node: Node, readers: Counter[Node]) -> Candidates:
    x, *indices = node.args
    if indices:
        return
    if _only_adds_axes(node.params["index"]):
        yield x
        yield bind("reshape", x, shape=node.shape)
    places = places_read(node.params["index"], node.shape)
    if places is not None and operation(x) == "scatter_add" and len(x.args) == 1:
        inner = places_read(x.params["index"], x.shape)
        if inner is not None:
            yield bind("scatter_add", x.args[0], index=index_of(composed(places, inner), node.shape), shape=node.shape)


_LAYOUTS = {
    "reshape": _reshape, "transpose": _transpose, "broadcast_to": _broadcast_to, "concatenate": _concatenate, "index": _index,
    "scatter_add": _scatter_add,
}  # fmt: skip


# --------------------------------------------------------------------------------- gathered slices


class Piece(NamedTuple):
    """The part [start, stop) of an axis, and what stands there; a single entry may lack the axis."""

    start: int
    stop: int
    value: Any
    lacks_axis: bool = False


class Total:
    """A sum of one array, or none, and of arrays that are zero but for disjoint pieces of one axis."""

    def __init__(self, rest: Node | None, axis: int, pieces: list[Piece], terms: dict[int, Node]) -> None:
        self.rest = rest
        self.axis = axis
        self.pieces = pieces  # by where they start
        self.terms = terms  # of each start, the node that is zero outside the piece

    def takes(self, other: Total) -> bool:
        """Add `other`, if nothing of it overlaps; of two arrays beside pieces the sum would round in another order."""
        if self.rest is not None and other.rest is not None:
            return False
        if self.pieces and other.pieces and (self.axis != other.axis or not all(map(self._is_free, other.pieces))):
            return False
        for piece in other.pieces:
            bisect.insort(self.pieces, piece, key=lambda one: one.start)
        self.terms |= other.terms
        self.axis = other.axis if other.pieces else self.axis
        self.rest = other.rest if self.rest is None else self.rest
        return True

    def _is_free(self, piece: Piece) -> bool:
        place = bisect.bisect_left(self.pieces, piece.start, key=lambda one: one.start)
        behind = place == len(self.pieces) or piece.stop <= self.pieces[place].start
        return behind and (place == 0 or self.pieces[place - 1].stop <= piece.start)

    def node(self, line: Node) -> Node:
        """The sum as one node: its pieces joined, with zeros where there are none."""
        if len(self.pieces) < 2:
            parts = [self.terms[piece.start] for piece in self.pieces]
        else:
            parts = [self._joined(line)]
        parts += [self.rest] if self.rest is not None else []
        return parts[0] if len(parts) == 1 else bind("add", *parts)

    def _joined(self, line: Node) -> Node:
        axis, shape = self.axis, line.shape
        if len(self.pieces) == shape[axis] and all(piece.lacks_axis for piece in self.pieces):
            return bind("stack", *(piece.value for piece in self.pieces), axis=axis)
        parts: list[Any] = []
        end = 0
        for piece in [*self.pieces, Piece(shape[axis], shape[axis], None)]:
            if piece.start > end:
                parts.append(np.zeros((*shape[:axis], piece.start - end, *shape[axis + 1 :]), line.dtype))
            if piece.lacks_axis:
                parts.append(bind("reshape", piece.value, shape=(*shape[:axis], 1, *shape[axis + 1 :])))
            elif piece.value is not None:
                parts.append(piece.value)
            end = piece.stop
        return bind("concatenate", *parts, axis=axis)


def gather_slices(graph: Graph) -> Graph:
    """Join the adjoints of disjoint slices of an array, where the sweep adds up arrays that are zero elsewhere.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.reverse(cg.trace(lambda p: np.exp(p[0:2]) * np.sin(p[2:4]), np.zeros(5)))
    >>> print(gather_slices(graph))
    f_reverse(p, v5_bar):
        v1 = p[0:2]
        v2 = exp(v1)
        v3 = p[2:4]
        v4 = sin(v3)
        v5 = v2 * v4
        v2_bar = v5_bar * v4
        v4_bar = v5_bar * v2
        v6 = cos(v3)
        v3_bar = v4_bar * v6
        v1_bar = v2_bar * v2
        p_bar = concatenate([v1_bar, v3_bar, [0]], axis=0)
        return v5, p_bar

    With a parameter vector of n numbers in k parts, k arrays of n numbers become one. Exact, but that -0.0 stays -0.0 where
    0.0 + -0.0 was 0.0. Slices that overlap, that have a step, or that cut several axes stay as they are.
    """
    if not any(operation(node) == "scatter_add" for node in graph.nodes):
        return graph
    counts = uses(graph)
    inner = {arg for line in graph.nodes if _is_plain_sum(line) for arg in line.args if counts[arg] == 1}
    totals: dict[Node, Total] = {}

    def replace(line: Node, args: tuple[Any, ...]) -> Node | None:
        node = gathered(line, args)
        if node is not None and node.name is None:
            node.name = line.name
        return node

    def gathered(line: Node, args: tuple[Any, ...]) -> Node | None:
        if operation(line) == "scatter_add":
            node = again(line, args)
            piece = _piece(node)
            if piece is not None:
                totals[line] = Total(None, piece[0], [piece[1]], {piece[1].start: node})
            return node
        if not _is_plain_sum(line):
            return None
        one, other = (total(old, new, old in inner) for old, new in zip(line.args, args, strict=True))
        large, small = (one, other) if len(one.pieces) >= len(other.pieces) else (other, one)
        if not (large.pieces and large.takes(small)):
            return bind("add", one.node(line), other.node(line)) if len(large.pieces) > 1 else None
        if line in inner:
            totals[line] = large
            return again(line, args)  # which nobody reads in the end
        return large.node(line) if len(large.pieces) > 1 else None

    def total(old: Node, new: Node, owned: bool) -> Total:
        return totals.pop(old) if owned and old in totals else Total(new, 0, [], {})

    return rewritten(graph, replace)


def _is_plain_sum(line: Node) -> bool:
    if operation(line) != "add" or not line.ndim:
        return False
    return all(isinstance(arg, Node) and arg.shape == line.shape and arg.dtype == line.dtype for arg in line.args)


def _piece(node: Node) -> tuple[int, Piece] | None:
    """The one axis of which a `scatter_add` fills a part, and that part; None if there is no such axis."""
    x, *indices = node.args
    places = None if indices or not isinstance(x, Node) else places_read(node.params["index"], node.shape)
    if places is None:
        return None
    cut = [axis for axis, length in enumerate(node.shape) if places[axis] != range(length)]
    if len(cut) != 1:
        return None
    axis, part = cut[0], places[cut[0]]
    if isinstance(part, int):
        return axis, Piece(part, part + 1, x, lacks_axis=True)
    return (axis, Piece(part.start, part.stop, x)) if part.step == 1 and len(part) else None

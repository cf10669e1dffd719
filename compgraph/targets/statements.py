"""A graph as statements over index spaces: what a loop nest computes for each entry, before any loop stands.

A node that only moves numbers (a reshape, a transpose, a basic index) becomes no statement: it is a view, which says where
in a flat memory each entry lies. NumPy itself says so: the primitive's own code runs on a stand-in of one byte an entry,
whose address and strides are then those of the view in entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph.graph import Node

Text = Callable[[Sequence[str]], str]  # the names of what a statement reads -> its expression


class Value:
    """A flat memory with a name: an input, a constant, or what statements write."""

    __slots__ = ("base", "call", "dtype", "kind", "name", "node", "number", "output", "readers", "shape", "stand_in", "writers")

    def __init__(self, name: str, shape: tuple[int, ...], dtype: Any, kind: str = "scratch", node: Node | None = None) -> None:
        self.name = name
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.kind = kind  # "scratch", "output", "input", "constant" or "array", which the driver holds between two functions
        self.node = node
        self.number = 0  # of the input, the output or the constant
        self.output: int | None = None
        self.base: tuple[Value, int] | None = None  # the memory that this one is a block of, and where
        self.call = False  # whether it is written by a call and not by statements
        self.writers: list[Any] = []
        self.readers: list[Any] = []
        self.stand_in = np.empty(shape, np.int8)

    @property
    def size(self) -> int:
        return self.stand_in.size


class View(NamedTuple):
    """Entries of a value in some order; `entries` is a view of the value's stand-in.

    Inside loops of the graph's own (`cg.scan`), `turn` says how far the entries move with each turn of each loop.
    """

    value: Value
    entries: np.ndarray[Any, Any]
    turn: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.entries.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    @property
    def offset(self) -> int:
        return 0 if not self.entries.size else address(self.entries) - address(self.value.stand_in)

    def is_whole(self) -> bool:
        """Whether it is all entries of the value in the order in which they lie."""
        return self.entries.size == self.value.size and self.entries.flags.c_contiguous and self.offset == 0


class Uniform(NamedTuple):
    """The same number everywhere. `weak` says that it is a Python number, which takes its dtype from what stands beside it."""

    number: Any
    shape: tuple[int, ...]
    weak: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.asarray(self.number).dtype


Operand = View | Uniform


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


class Gather(NamedTuple):
    """One index that is read from an array: it adds `stride` times the entry at `access`, which is below `length`."""

    access: Access
    stride: int
    length: int


class Access(NamedTuple):
    """The entry of a value that a statement touches: `offset + sum(stride * loop index)`, in entries."""

    value: Value
    offset: int
    strides: tuple[int, ...]
    gathers: tuple[Gather, ...] = ()

    def residual(self, lengths: Sequence[int], depth: int) -> tuple[int, int]:
        """The lowest and highest entry touched while the loops outside `depth` stand still at 0."""
        low = high = self.offset
        for stride, length in zip(self.strides[depth:], lengths[depth:], strict=True):
            reach = stride * (length - 1)
            low, high = low + min(reach, 0), high + max(reach, 0)
        for _, stride, length in self.gathers:
            reach = stride * (length - 1)
            low, high = low + min(reach, 0), high + max(reach, 0)
        return low, high

    def at_depth(self, axes: Sequence[int]) -> Access:
        """The access with the strides of these axes only."""
        gathers = tuple(gather._replace(access=gather.access.at_depth(axes)) for gather in self.gathers)
        return Access(self.value, self.offset, tuple(self.strides[axis] for axis in axes), gathers)

    def all_accesses(self) -> Iterable[Access]:
        """The access itself and those of the indices it is made with."""
        yield self
        for gather in self.gathers:
            yield from gather.access.all_accesses()


class Statement:
    """`target[...] = text(reads)` over the index space `lengths`, or a reduction of it along the axes in `reduced`.

    `kind` is "map", a reduction ("sum", "prod", "max", "min", "any", "all"), one that also keeps the place ("argmax",
    "argmin"), a running one along the last axis ("cumsum", "cumprod"), or "add", which adds to what is there.
    """

    __slots__ = ("after", "apart", "dtype", "kind", "lengths", "node", "path", "place", "reads", "reduced", "segment", "target", "text")

    def __init__(
        self, kind: str, lengths: tuple[int, ...], target: Access, reads: tuple[Access, ...], text: Text, dtype: np.dtype[Any],
        node: Node | None, reduced: tuple[bool, ...] = (),
    ) -> None:  # fmt: skip
        self.kind = kind
        self.lengths = lengths
        self.target = target
        self.reads = reads
        self.text = text
        self.dtype = dtype  # of the expression, which a reduction accumulates in that of its target
        self.node = node
        self.reduced = reduced or (False,) * len(lengths)
        self.path: tuple[Any, ...] = ()  # the loops around it, once they stand
        self.place: tuple[int, ...] = ()
        self.after: tuple[Any, ...] = ()  # items that it must not go before, though it does not need them
        self.apart = False  # whether it shares its outermost loop only with others of which that is said
        self.segment = 0  # which of the compiled functions it is part of

    @property
    def first_reduced(self) -> int:
        """The depth of the outermost loop that is reduced, or the depth of the statement where none is."""
        return self.reduced.index(True) if True in self.reduced else len(self.lengths)


class Matrix(NamedTuple):
    """A matrix that BLAS takes as it lies: `rows` by `columns` from `offset`, or the transpose of what lies there."""

    value: Value
    offset: int
    rows: int
    columns: int
    transposed: bool
    strides: tuple[int, ...]  # along the axes of a stack of matrices


class Product:
    """A matrix product by BLAS, or a stack of them; vectors are matrices of one row or one column."""

    def __init__(self, node: Node | None, batch: tuple[int, ...], target: Matrix, left: Matrix, right: Matrix) -> None:
        self.node = node
        self.batch = batch
        self.target, self.left, self.right = target, left, right
        self.path: tuple[Any, ...] = ()
        self.place: tuple[int, ...] = ()


class Call:
    """An operation that NumPy computes between two compiled functions."""

    def __init__(self, node: Node, target: Value, arguments: tuple[Any, ...]) -> None:
        self.node = node
        self.target = target
        self.arguments = arguments  # values, and constants as they are
        self.path: tuple[Any, ...] = ()
        self.place: tuple[int, ...] = ()


class Scan:
    """A loop of the graph's own. Each turn runs `items`, and then `tail`, which moves the new carries where the next turn reads them."""

    def __init__(self, length: int, reverse: bool, items: list[Item], tail: list[Statement]) -> None:
        self.length = length
        self.reverse = reverse
        self.items = items
        self.tail = tail


Item = Statement | Product | Call | Scan


def flattened(items: Iterable[Item]) -> Iterable[Statement | Product | Call]:
    """All items, those within loops of the graph's own too."""
    stack = [iter(list(items))]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, Scan):
            stack.append(iter([*item.items, *item.tail]))
        else:
            yield item


def normalised(lengths: Sequence[int]) -> list[int]:
    """The axes that a loop has to run over."""
    return [axis for axis, length in enumerate(lengths) if length != 1]


def access(view: View, lengths: tuple[int, ...]) -> Access:
    """How a view, broadcast over an index space, is touched in it."""
    entries = np.broadcast_to(view.entries, lengths)
    return Access(view.value, view.offset, (*view.turn, *entries.strides))

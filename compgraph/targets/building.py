"""What every lowering rule works with: operands, new values, and statements over an index space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compgraph.graph import Graph, Node
from compgraph.programs import Unique
from compgraph.targets.spelling import DTYPES, cast, number
from compgraph.targets.statements import Access, Call, Item, Operand, Product, Statement, Uniform, Value, View, access, normalised

FEW = 4  # what is unrolled, or multiplied without BLAS
LONG = 64  # what is worth a loop of its own


class Building:
    """`items` is the program so far: statements, products, calls, loops. `operands` says how each node is read."""

    def __init__(
        self, graph: Graph, names: Mapping[Node, str], vector: frozenset[str], outer: Building | None = None, turns: tuple[int, ...] = ()
    ) -> None:
        self.graph = graph
        self.names = names
        self.vector = vector
        self.turns = turns  # lengths of the graph's own loops around this graph
        self.items: list[Item] = []
        self.operands: dict[Node, Operand] = {}
        self.unique: Unique = Unique(names.values()) if outer is None else outer.unique
        self.constants: list[Value] = [] if outer is None else outer.constants
        self.constant_arrays: list[np.ndarray[Any, Any]] = [] if outer is None else outer.constant_arrays
        self._constants: dict[int, Operand] = {} if outer is None else outer._constants
        self.counts: dict[Node, int] = {}
        self.outputs: list[Value] = []
        for node in graph.nodes:
            for arg in node.args:
                if isinstance(arg, Node):
                    self.counts[arg] = self.counts.get(arg, 0) + 1
        for node in graph.outputs:
            self.counts[node] = self.counts.get(node, 0) + 1

    def new(self, node: Node, shape: tuple[int, ...] | None = None, dtype: Any = None, suffix: str = "") -> View:
        name = self.unique(self.names[node] + suffix) if suffix else self.names[node]
        return self.whole(Value(name, node.shape if shape is None else shape, dtype or node.dtype, node=node))

    def whole(self, value: Value) -> View:
        """All of a value that each turn uses anew."""
        return View(value, value.stand_in, (0,) * len(self.turns))

    def operand(self, arg: Any) -> Operand:
        """What a statement reads for an argument."""
        if isinstance(arg, Node):
            return self.operands[arg]
        if not hasattr(arg, "dtype"):
            return Uniform(arg, (), weak=True)
        return self.constant(arg)

    def constant(self, value: Any) -> Operand:
        """An array that the graph holds; the same number everywhere needs no memory."""
        array = np.asarray(value)
        if array.size and array.dtype.name in DTYPES and array.tobytes() == array.ravel()[:1].tobytes() * array.size:
            return Uniform(array.ravel()[0], array.shape)
        if id(value) not in self._constants:
            made = Value(self.unique(f"constant_{len(self.constants) + 1}"), array.shape, array.dtype, "constant")
            made.number = len(self.constants)
            self.constants.append(made)
            self.constant_arrays.append(value)  # kept, so that its id stays its own
            self._constants[id(value)] = View(made, made.stand_in)
        found = self._constants[id(value)]
        return found._replace(turn=(0,) * len(self.turns)) if isinstance(found, View) else found

    def state(
        self, kind: str, lengths: tuple[int, ...], target: View | Access, operands: Sequence[Operand | Access], text: Any, dtype: Any,
        node: Node | None, reduced: tuple[bool, ...] = (),
    ) -> None:  # fmt: skip
        """Add a statement; the operands broadcast over `lengths`, a reduced target has stride 0 along what is summed."""
        if 0 in lengths:
            return
        literals: dict[int, str] = {}
        reads: list[Access] = []
        for place, operand in enumerate(operands):
            if isinstance(operand, Uniform):
                literals[place] = number(operand.number, operand.dtype)
            else:
                reads.append(operand if isinstance(operand, Access) else access(operand, lengths))

        def with_literals(names: Sequence[str]) -> str:
            given = iter(names)
            return str(text([literals[place] if place in literals else next(given) for place in range(len(operands))]))

        written = target if isinstance(target, Access) else access(target, lengths)
        count = len(self.turns)
        flags = (False,) * count + (reduced or (False,) * len(lengths))
        axes = [axis + count for axis in normalised(lengths)]
        lengths = self.turns + lengths
        for fixed, rest in _unrolled([lengths[axis] for axis in axes], [flags[axis] for axis in axes], kind):
            kept = [*range(count), *(axes[one] for one in rest)]
            places = {axes[one]: at for one, at in fixed.items()}
            self.add(Statement(
                kind, tuple(lengths[axis] for axis in kept), _moved(written, places, kept),
                tuple(_moved(read, places, kept) for read in reads), with_literals, np.dtype(dtype), node,
                tuple(flags[axis] for axis in kept),
            ))  # fmt: skip

    def add(self, item: Statement | Product | Call) -> None:
        self.items.append(item)
        written, read = touched(item)
        for value in written:
            value.writers.append(item)
            if value.base is not None:
                value.base[0].writers.append(item)
        for value in read:
            value.readers.append(item)

    def copy(self, target: View, source: Operand | Access, node: Node | None) -> None:
        have = source.value.dtype if isinstance(source, Access) else source.dtype
        want = target.dtype
        self.state("map", target.shape, target, [source], lambda names: cast(names[0], have, want), want, node)

    def fill(self, target: View, entry: Any, node: Node | None) -> None:
        self.copy(target, Uniform(np.asarray(entry, target.dtype)[()], ()), node)

    def cast_operand(self, operand: Operand, dtype: Any) -> Operand:
        """The operand, by way of another dtype; only truth asks for that."""
        if operand.dtype == dtype or dtype != np.bool_:
            return operand
        if isinstance(operand, Uniform):
            return Uniform(np.bool_(operand.number), operand.shape)
        value = Value(self.unique(f"{operand.value.name}_is_true"), operand.shape, dtype)
        self.copy(self.whole(value), operand, None)
        return self.whole(value)

    def _as(self, operand: View, dtype: Any, node: Node, suffix: str) -> View:
        if operand.dtype == dtype:
            return operand
        target = self.new(node, operand.shape, dtype, suffix)
        self.copy(target, operand, node)
        return target


def touched(item: Statement | Product | Call) -> tuple[list[Value], list[Value]]:
    """The values that an item writes and those that it reads."""
    if isinstance(item, Statement):
        gathered = [one.value for gather in item.target.gathers for one in gather.access.all_accesses()]
        read = [one.value for access_ in item.reads for one in access_.all_accesses()] + gathered
        return [item.target.value], list(dict.fromkeys(read))
    if isinstance(item, Product):
        return [item.target.value], list(dict.fromkeys([item.left.value, item.right.value]))
    return [item.target], [argument for argument in item.arguments if isinstance(argument, Value)]


def _moved(one: Access, fixed: Mapping[int, int], kept: Sequence[int]) -> Access:
    """The access with some axes held at a place."""
    gathers = tuple(gather._replace(access=_moved(gather.access, fixed, kept)) for gather in one.gathers)
    offset = one.offset + sum(one.strides[axis] * at for axis, at in fixed.items())
    return Access(one.value, offset, tuple(one.strides[axis] for axis in kept), gathers)


def _unrolled(lengths: Sequence[int], reduced: Sequence[bool], kind: str) -> list[tuple[dict[int, int], list[int]]]:
    """Which axes stand still and which are looped over: few rows of many entries become a statement a row.

    So what is computed for the components of many vectors, stored component by component, runs in one loop over the vectors.
    """
    lead = 0
    while lead < len(lengths) - 1 and lengths[lead] <= FEW:
        lead += 1
    axes = list(range(len(lengths)))
    few = 0 < lead == len(lengths) - 1 and int(np.prod(lengths[:lead])) <= FEW * FEW
    if kind != "map" or not few or lengths[-1] < LONG or any(reduced):
        return [({}, axes)]
    return [(dict(zip(axes[:lead], place, strict=True)), axes[lead:]) for place in np.ndindex(*lengths[:lead])]

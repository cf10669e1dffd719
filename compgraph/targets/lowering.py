"""A graph -> statements, matrix products, loops and calls, in topological order. What fuses them is `fusion.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compgraph.emission import program_names
from compgraph.graph import PRIMITIVES, Graph, Node
from compgraph.loop import parts_of
from compgraph.passes import expand_composites
from compgraph.primitives.kinds import normalized_axes
from compgraph.simplification import rewritten
from compgraph.targets.building import Building, touched
from compgraph.targets.contracting import Contracting
from compgraph.targets.indexing import Indexing
from compgraph.targets.spelling import DTYPES, SPELLING, can_spell, cast, spelled
from compgraph.targets.statements import Call, Operand, Scan, Uniform, Value, View, flattened

VIEWS = frozenset({"reshape", "transpose", "broadcast_to", "windows"})
ALIASES = frozenset({"identity", "stop_gradient"})
REDUCTIONS = frozenset({"sum", "prod", "max", "min", "any", "all", "count_nonzero"})
IDENTITIES: dict[str, Any] = {"sum": 0, "prod": 1, "any": False, "all": True, "mean": np.nan}


def composed(graph: Graph) -> Graph:
    """The graph with functions that are made of others written out."""

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if node.primitive is PRIMITIVES["first_max"]:
            return np.max(args[0], axis=node.params["axis"])
        if node.primitive is PRIMITIVES["first_largest"] and args[0].dtype.kind == "f":
            return _first_largest(args[0], node.params["axis"])
        if node.primitive is not PRIMITIVES["mean"] or args[0].dtype.kind != "f":
            return None
        axes = normalized_axes(node.params["axis"], args[0].ndim)
        count = int(np.prod([args[0].shape[axis] for axis in axes], dtype=int))
        total: Node = np.sum(args[0], axis=axes, keepdims=node.params["keepdims"])
        return total / count if count else None

    return rewritten(expand_composites(graph), replace)


def _first_largest(x: Any, axis: int) -> Any:
    """Where the first of the largest stands, as `argmax` has it."""
    (axis,) = normalized_axes(axis, len(x.shape))
    places = np.arange(x.shape[axis]).reshape(-1, *(1,) * (len(x.shape) - 1 - axis))
    return np.equal(np.expand_dims(np.argmax(x, axis=axis), axis), places)


class Lowering(Indexing, Contracting):
    """The walk over the nodes, with the rules of all that is neither an index nor a product."""

    def __init__(
        self, graph: Graph, names: Mapping[Node, str], vector: frozenset[str], outer: Building | None = None, turns: tuple[int, ...] = ()
    ) -> None:
        super().__init__(graph, names, vector, outer, turns)
        self.pieces = self._assemblies()
        if outer is None:
            for place, node in enumerate(graph.inputs):
                value = Value(names[node], node.shape, node.dtype, "input", node)
                value.number = place
                self.operands[node] = View(value, value.stand_in)
            self.run()
            for place, node in enumerate(graph.outputs):
                self._output(place, node)

    def run(self) -> None:
        """Lower every node that has no operand yet."""
        absorbed = {piece for pieces in self.pieces.values() for piece in pieces[1]}
        for node in self.graph.nodes:
            if node not in self.operands and node not in absorbed:
                self.operands[node] = self._lowered(node)

    def _output(self, place: int, node: Node) -> None:
        """Output values have memory of their own: what is a view, an input or another output is copied."""
        view = self.operand(node)
        if isinstance(view, View) and view.is_whole() and view.value.kind == "scratch" and view.value.base is None:
            value = view.value
        else:
            value = Value(self.unique(f"{self.names[node]}_out"), node.shape, node.dtype)
            self.copy(self.whole(value), view, node)
        value.kind, value.output, value.shape = "output", place, node.shape
        self.outputs.append(value)

    def _lowered(self, node: Node) -> Operand:
        if node.primitive is None:
            return self.constant(node.value)
        name = node.primitive.name
        if node in self.pieces:
            return self._assembled(node)
        lower: Callable[[Node], Operand | None] | None = getattr(self, f"_lower_{name}", None)
        if name == "constant":
            return self.constant(node.params["value"])
        if node.dtype.name in DTYPES:
            if name in ALIASES and node.dtype == node.args[0].dtype:
                return self.operand(node.args[0])
            if name in VIEWS:
                return self.view(node)
            if name in REDUCTIONS:
                lower = self._reduction
            elif name in ("cumsum", "cumprod"):
                lower = self._running
            elif name in ("argmax", "argmin"):
                lower = self._place_of_extreme
            elif name in ("concatenate", "stack"):
                lower = self._joined
            elif name in SPELLING and can_spell(node):
                lower = self._entrywise
            if lower is not None and all(self.operand(arg).dtype.name in DTYPES for arg in node.args):
                done = lower(node)
                if done is not None:
                    return done
        return self._called(node)

    def _entrywise(self, node: Node) -> Operand:
        operands = [self.operand(arg) for arg in node.args]
        target = self.new(node)
        self.state("map", node.shape, target, operands, spelled(node, operands, self.vector), node.dtype, node)
        return target

    def _reduction(self, node: Node) -> Operand:
        operand = self.operand(node.args[0])
        shape = node.args[0].shape
        axes = normalized_axes(node.params["axis"], len(shape))
        name = node.primitive.name  # type: ignore[union-attr]
        kind = "sum" if name == "count_nonzero" else name
        dtype = np.dtype(bool) if name in ("any", "all", "count_nonzero") else node.dtype
        target = self.new(node)
        lengths = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        entries = target._replace(entries=target.entries.reshape(lengths))
        if 0 in shape:
            if node.size:
                self.fill(target, IDENTITIES[kind], node)
            return target
        if not any(shape[axis] > 1 for axis in axes):
            self.copy(entries, self.cast_operand(operand, dtype), node)
            return target
        stretched = target._replace(entries=np.broadcast_to(entries.entries, shape))
        have = operand.dtype
        last = node.dtype

        def text(names: Sequence[str]) -> str:
            return cast(cast(names[0], have, dtype), dtype, last)

        flags = tuple(axis in axes and size > 1 for axis, size in enumerate(shape))
        self.state(kind, shape, stretched, [operand], text, node.dtype, node, flags)
        return target

    def _last(self, node: Node) -> tuple[Operand, tuple[int, ...], int]:
        """The argument with the axis of a running operation last."""
        axis = normalized_axes(node.params["axis"], len(node.args[0].shape))[0]
        order = tuple(place for place in range(len(node.args[0].shape)) if place != axis) + (axis,)
        operand = self.operand(node.args[0])
        moved = operand if isinstance(operand, Uniform) else operand._replace(entries=operand.entries.transpose(order))
        return moved, order, axis

    def _running(self, node: Node) -> Operand:
        operand, order, axis = self._last(node)
        target = self.new(node)
        if node.shape[axis] == 1:
            self.copy(target, self.operand(node.args[0]), node)
            return target
        entries = target._replace(entries=target.entries.transpose(order))
        have = operand.dtype
        self.state(node.primitive.name, entries.shape, entries, [operand], lambda names: cast(names[0], have, node.dtype), node.dtype, node)  # type: ignore[union-attr]
        return target

    def _place_of_extreme(self, node: Node) -> Operand | None:
        operand, order, _ = self._last(node)
        shape = tuple(node.args[0].shape[place] for place in order)
        target = self.new(node)
        if shape[-1] == 1:
            self.fill(target, 0, node)
            return target
        if operand.dtype.kind != "f":
            return None
        stretched = target._replace(entries=np.broadcast_to(target.entries[..., None], shape))
        flags = (False,) * (len(shape) - 1) + (True,)
        self.state(node.primitive.name, shape, stretched, [operand], lambda names: names[0], operand.dtype, node, flags)  # type: ignore[union-attr]
        return target

    def view(self, node: Node) -> Operand:
        operand = self.operand(node.args[0])
        if isinstance(operand, Uniform):
            return operand._replace(shape=node.shape)
        assert node.primitive is not None
        entries = node.primitive.evaluate(operand.entries, **node.params)
        if entries.size and not np.may_share_memory(entries, operand.value.stand_in):  # a reshape that has to copy
            source = self.new(node, operand.shape, suffix="_copy")
            self.copy(source, operand, node)
            operand, entries = source, node.primitive.evaluate(source.entries, **node.params)
        return operand._replace(entries=entries)

    def _lower_scan(self, node: Node) -> Operand | None:
        """A loop of the graph's own: its body is lowered once, with the turn as the outermost axis of every statement."""
        carries, sequences, length = (node.params[name] for name in ("carries", "sequences", "length"))
        body = composed(node.params["body"])
        trial = Lowering(body, program_names(body), self.vector)
        if not length or any(isinstance(item, Call) for item in flattened(trial.items)):
            return None
        names = {one: self.unique(name) for one, name in program_names(body).items()}
        inner = Lowering(body, names, self.vector, self, (*self.turns, length))
        states: list[View] = []
        for place, (given, arg) in enumerate(zip(body.inputs, node.args, strict=True)):
            operand = self.operand(arg)
            if place < carries:
                state = self.whole(Value(names[given], given.shape, given.dtype, node=given))
                self.copy(state, operand, given)
                states.append(state)
                operand = state
            if isinstance(operand, Uniform):
                inner.operands[given] = operand._replace(shape=given.shape)
            elif carries <= place < carries + sequences:
                step = operand.entries.strides[0] if length > 1 else 0
                inner.operands[given] = View(operand.value, operand.entries[0, ...], (*operand.turn, step))
            else:
                inner.operands[given] = operand._replace(turn=(*operand.turn, 0))
        inner.run()
        target = self.new(node)
        parts = parts_of(body, carries, length)
        made = {value for item in flattened(inner.items) for value in touched(item)[0]}
        nexts: list[View] = []
        for part, output in zip(parts, body.outputs, strict=True):
            operand = inner.operand(output)
            if len(nexts) < carries:
                if not (isinstance(operand, View) and operand.is_whole() and operand.value in made):  # such as another carry
                    fresh = inner.whole(Value(self.unique(f"{names[output]}_next"), output.shape, output.dtype, node=output))
                    inner.copy(fresh, operand, output)
                    operand = fresh
                nexts.append(operand)
            else:
                rows = target.entries[part.start : part.stop].reshape(part.shape)
                inner.copy(View(target.value, rows[0, ...], (*target.turn, rows.strides[0] if length > 1 else 0)), operand, output)
        body_items, inner.items = inner.items, []
        for state, following, output in zip(states, nexts, body.outputs, strict=False):
            inner.copy(state._replace(turn=(*state.turn, 0)), following, output)
        self.items.append(Scan(length, node.params["reverse"], body_items, inner.items))  # type: ignore[arg-type]
        for part, state in zip(parts, states, strict=False):
            self.copy(target._replace(entries=target.entries[part.start : part.stop].reshape(part.shape)), state, node)
        return target

    def _called(self, node: Node) -> Operand:
        """NumPy computes the node, outside: arguments and result are arrays that the driver holds."""
        assert node.primitive is not None
        arguments: list[Any] = []
        for arg in node.args:
            if not isinstance(arg, Node):
                arguments.append(arg)
                continue
            operand = self.operands[arg]
            whole = isinstance(operand, View) and operand.is_whole() and operand.shape == operand.value.shape
            if isinstance(operand, View) and whole and operand.value.kind in ("input", "array"):
                arguments.append(operand.value)
            else:
                value = Value(self.unique(f"{self.names[node]}_given{len(arguments) + 1}"), operand.shape, operand.dtype, "array", arg)
                self.copy(self.whole(value), operand, arg)
                arguments.append(value)
        target = Value(self.names[node], node.shape, node.dtype, "array", node)
        target.call = True
        self.add(Call(node, target, tuple(arguments)))
        return self.whole(target)

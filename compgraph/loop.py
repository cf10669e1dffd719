"""The primitive `scan`: a loop that stays one node, whatever the number of its turns.

    bind(SCAN, *carries, *sequences, *constants, body=Graph, carries=k, sequences=m, length=T, reverse=bool)

`body.inputs` are the k carries, one slice of each of the m sequences, and the constants; `body.outputs` are the k carries of
the next turn, and then the ys. A primitive has one result: here a flat vector of all final carries and then, for each y,
the T of them stacked. `Part` says where each stands and reads it; programs print variables instead, see `loop_text.py`.
`loops.py` has what users call, and `loop_derivatives.py` the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from compgraph import modes, programs
from compgraph.errors import DtypeError, GraphError, InputError, ShapeError, ValueRangeError
from compgraph.graph import CONTROL, PRIMITIVES, Aval, Graph, Node, Primitive, ancestors, bind, placeholder
from compgraph.modes import mode_with
from compgraph.primitives.arithmetic import cast
from compgraph.simplification import simplify, subexpression


class Part(NamedTuple):
    """One result of a loop, and where it stands in the flat vector: a final carry, or a y for every turn."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def stop(self) -> int:
        return self.start + prod(self.shape)

    def read(self, flat: Any) -> Any:
        """This part of the flat vector, in its own shape and dtype: a number by its place, an array by a slice."""
        part = flat[self.start : self.stop] if self.shape else flat[self.start]
        return cast(part if part.shape == self.shape else np.reshape(part, self.shape), self.dtype)


def parts_of(body: Graph, carries: int, length: int) -> list[Part]:
    """The parts of a loop's flat vector, in order: one for each output of the body.

    >>> import compgraph as cg
    >>> body = cg.trace(lambda h, x: (h * x, h), np.zeros(2), 0.0)
    >>> [(part.start, part.shape) for part in parts_of(body, carries=1, length=5)]
    [(0, (2,)), (2, (5, 2))]
    """
    parts: list[Part] = []
    for place, node in enumerate(body.outputs):
        shape = node.shape if place < carries else (length, *node.shape)
        parts.append(Part(parts[-1].stop if parts else 0, shape, node.dtype))
    return parts


def flat_dtype(parts: Sequence[Part]) -> np.dtype[Any]:
    """The dtype of the flat vector, which holds every part exactly.

    NumPy's promotion sees to that, but for integers of 64 bits beside floats: the vector is float64 then, which holds
    integers up to 2**53 exactly, and a larger one raises `ValueRangeError` when it appears.
    """
    return np.result_type(*[part.dtype for part in parts])


def packed(values: Sequence[Any], parts: Sequence[Part]) -> Any:
    """Values of the parts as one flat vector."""
    dtype = flat_dtype(parts)
    return np.concatenate([cast(value if value.ndim == 1 else np.reshape(value, (-1,)), dtype) for value in values])


def part_number(node: Node, loop: Node) -> int | None:
    """Which part of a loop's flat vector a node reads that takes a slice or an entry of it; None for anything else."""
    span = span_of(node.params.get("index"), loop.size)
    spans = [(part.start, part.stop) for part in loop_parts(loop)]
    return spans.index(span) if span in spans and span[0] < span[1] else None


def span_of(index: Any, length: int) -> tuple[int, int] | None:
    """From where to where an index reads a vector, if it is a slice or the place of one entry.

    >>> span_of(slice(2, None), 5), span_of(-1, 5), span_of(slice(None, None, 2), 5)
    ((2, 5), (4, 5), None)
    """
    if type(index) is int:
        return index % length, index % length + 1
    if isinstance(index, slice) and index.step in (None, 1):
        start, stop, _ = index.indices(length)
        return start, stop
    return None


def loop_parts(loop: Node) -> list[Part]:
    """The parts of the flat vector that a node of the primitive `scan` is."""
    return parts_of(loop.params["body"], loop.params["carries"], loop.params["length"])


def loop(
    body: Graph, carries: Sequence[Any], sequences: Sequence[Any], constants: Sequence[Any], *, length: int, reverse: bool = False
) -> list[Any]:
    """Run or record a loop; one value for each output of the body: the final carries and the stacked ys."""
    flat = bind(
        SCAN, *carries, *sequences, *constants,
        body=body, carries=len(carries), sequences=len(sequences), length=length, reverse=reverse,
    )  # fmt: skip
    return [part.read(flat) for part in parts_of(body, len(carries), length)]


# ------------------------------------------------------------------------------------------ building


Roles = dict[Node, tuple[str, Node]]


@dataclass
class Draft:
    """A loop on its way: what its body carries, cuts, reads and gives, each beside the value that the loop starts with."""

    carries: list[tuple[Node, Any, Node]] = field(default_factory=list)  # this turn's node, the first value, the next turn's node
    sequences: list[tuple[Node, Any]] = field(default_factory=list)  # a turn's slice, and all of them
    constants: list[tuple[Node, Any]] = field(default_factory=list)
    ys: list[Node] = field(default_factory=list)
    roles: Roles = field(default_factory=dict)

    def run(self, name: str, length: int, reverse: bool) -> tuple[list[Any], list[Any]]:
        """The final carries and the stacked ys, of a loop without what is needless in it."""
        inputs = [node for node, *_ in (*self.carries, *self.sequences, *self.constants)]
        outputs = [following for _, _, following in self.carries] + self.ys
        if not outputs:
            return [], []
        body = simplify(Graph(inputs, outputs, name=name, roles=self.roles))
        count = len(self.carries)
        read = {arg for node in body.nodes for arg in node.args if isinstance(arg, Node)}.union(body.outputs)
        sequences = [(node, rows) for node, rows in self.sequences if node in read]
        varying = [*inputs[:count], *(node for node, _ in sequences)]
        body, constants = closed(varying, body.outputs, name, dict(self.constants), roles=body.roles)
        starts, rows = [start for _, start, _ in self.carries], [rows for _, rows in sequences]
        results = loop(body, starts, rows, constants, length=length, reverse=reverse)
        return results[:count], results[count:]


def closed(
    varying: Sequence[Node], outputs: Sequence[Node], name: str, given: dict[Node, Any], since: int = 0, roles: Roles | None = None
) -> tuple[Graph, list[Any]]:
    """The body from the inputs `varying` to `outputs`, whose further inputs are what it reads and does not vary; and their values.

    What depends on no input that varies is computed once, outside, from the values `given` for nodes: loop-invariant code
    motion. Nodes that are older than `since` are outside as they are.
    """
    nodes = ancestors(outputs, since=since)
    inside = dependent(nodes, varying)
    inner = [node for node in nodes if node in inside and node.primitive is not None]
    read = [arg for node in inner for arg in node.args if isinstance(arg, Node)]
    outside = list(dict.fromkeys(node for node in (*read, *outputs) if node not in inside and not is_constant(node)))
    values: dict[Node, Any] = dict(given)
    copied(ancestors([node for node in outside if node not in given], since=since), values)
    first = _first_of_same(nodes, inside)
    inputs = dict.fromkeys(first.get(node, node) for node in outside)
    found = {node: placeholder(node.shape, node.dtype, _called(node), node.origin) for node in inputs}
    new: dict[Node, Node] = {node: found[first.get(node, node)] for node in outside}
    copied(inner, new)
    body = Graph([*varying, *found.values()], [new.get(node, node) for node in outputs], name=name, roles=moved_roles(roles or {}, new))
    return body, [values.get(node, node) for node in inputs]


def _called(node: Node) -> str | None:
    """What an argument is called, which may be an identity of what has the name."""
    while node.primitive is PRIMITIVES["identity"] and node.name is None and isinstance(node.args[0], Node):
        node = node.args[0]
    return node.name


def _first_of_same(nodes: Sequence[Node], inside: set[Node]) -> dict[Node, Node]:
    """For each node that does not vary the first one that computes the same: every constant of a loop costs an adjoint."""
    first: dict[Node, Node] = {}
    seen: dict[Any, Node] = {}
    for node in nodes:
        if node not in inside and node.primitive is not None:
            args = tuple(first.get(arg, arg) if isinstance(arg, Node) else arg for arg in node.args)
            first[node] = seen.setdefault(subexpression(node, args), node)
    return first


def dependent(nodes: Iterable[Node], sources: Iterable[Node]) -> set[Node]:
    """`sources` and those of `nodes`, in creation order, whose values depend on them."""
    found = set(sources)
    for node in nodes:
        if any(isinstance(arg, Node) and arg in found for arg in node.args):
            found.add(node)
    return found


def moved_roles(roles: Roles, new: dict[Node, Any]) -> Roles:
    """The roles of nodes that have become others."""
    return {new.get(node, node): (suffix, new.get(primal, primal)) for node, (suffix, primal) in roles.items()}


def is_constant(node: Node) -> bool:
    return node.primitive is PRIMITIVES["constant"]


def copied(nodes: Iterable[Node], new: dict[Node, Any]) -> None:
    """Enter into `new` what each node becomes where its arguments are replaced by those in `new`; the others stay."""
    for node in nodes:
        if node not in new and any(isinstance(arg, Node) and arg in new for arg in node.args):
            with mode_with(origin=node.origin, scope=node.scope):
                args = [new.get(arg, arg) if isinstance(arg, Node) else arg for arg in node.args]
                copy = new[node] = bind(node.primitive, *args, **node.params)  # type: ignore[arg-type]
            if isinstance(copy, Node):
                copy.name = node.name


# ---------------------------------------------------------------------------------------- evaluation


_programs: WeakKeyDictionary[Graph, dict[tuple[Any, ...], Any]] = WeakKeyDictionary()


def loop_program(body: Graph, carries: int, sequences: int, length: int, reverse: bool) -> Any:
    """The loop as a function of arrays that gives all its parts: the printed program of that one node, compiled once."""
    made = _programs.setdefault(body, {})
    key = carries, sequences, length, reverse
    if key not in made:
        params = {"body": body, "carries": carries, "sequences": sequences, "length": length, "reverse": reverse}
        cut = range(carries, carries + sequences)
        inputs = [
            placeholder((length, *node.shape) if place in cut else node.shape, node.dtype, node.name)
            for place, node in enumerate(body.inputs)
        ]  # fmt: skip
        with mode_with(**modes.DEFAULT._asdict()):
            node = bind(SCAN, *inputs, **params)
            source = Graph(inputs, [part.read(node) for part in parts_of(body, carries, length)], name="loop").to_source()
        made[key] = programs.define(source, "loop", {}, title=f"loop {body.name}")
    return made[key]


def turns(length: int, reverse: bool) -> range:
    """The numbers of the turns in the order in which they are taken."""
    return range(length - 1, -1, -1) if reverse else range(length)


def run_scan(*xs, body, carries, sequences, length, reverse):  # type: ignore[no-untyped-def]
    if any(isinstance(x, Node) for x in xs):
        raise GraphError("a loop is computed on arrays; bind(SCAN, ...) records it on nodes")
    parts = parts_of(body, carries, length)
    found = loop_program(body, carries, sequences, length, reverse)(*xs)
    values = found if len(parts) > 1 else (found,)
    if flat_dtype(parts).kind not in "iu":
        for value, part in zip(values, parts, strict=True):
            if part.dtype.name in ("int64", "uint64"):
                _check_exact(value)
    return packed(values, parts)


def _check_exact(value: Any) -> None:
    if np.any(np.abs(value) > 2**53):
        message = f"a loop keeps its results in one vector, and beside floats it cannot hold the integer {np.max(np.abs(value))}"
        raise ValueRangeError(f"{message} exactly: integers up to 2**53 it can. Make it a float")


run_scan.source = None  # type: ignore[attr-defined]  # programs print the loop itself


def _infer(*xs: Any, body: Graph, carries: int, sequences: int, length: int, reverse: bool) -> Aval:
    if not isinstance(body, Graph) or any(type(count) is not int or count < 0 for count in (carries, sequences, length)):
        raise InputError("a loop has a graph as its body, and counts its carries, sequences and turns by integers from 0 on")
    if type(reverse) is not bool or carries > len(body.outputs) or carries + sequences > len(body.inputs):
        raise InputError(f"the body has {len(body.inputs)} inputs and {len(body.outputs)} outputs, too few for {carries} carries")
    if len(xs) != len(body.inputs):
        raise InputError(f"the body takes {len(body.inputs)} inputs, {len(xs)} are given")
    for place, (x, node) in enumerate(zip(xs, body.inputs, strict=True)):
        shape = (length, *node.shape) if carries <= place < carries + sequences else node.shape
        if np.shape(x) != shape:
            raise ShapeError(f"{body.names[node]} has shape {np.shape(x)}, the loop was made for {shape}")
        if x.dtype != node.dtype:
            raise DtypeError(f"{body.names[node]} is of dtype {x.dtype}, the loop was made for {node.dtype}")
    for node, after in zip(body.inputs[:carries], body.outputs, strict=False):
        if (node.shape, node.dtype) != (after.shape, after.dtype):
            raise ShapeError(f"{body.names[node]} is carried as {node.shape} {node.dtype} and comes back as {after.shape} {after.dtype}")
    parts = parts_of(body, carries, length)
    return (parts[-1].stop,), flat_dtype(parts)


class _Scan(Primitive):
    """In both sweeps a loop of its own: forward by `tangent`, and in reverse by `transpose`, see `loop_derivatives.py`."""

    def kind(self, index: int) -> str:
        return "linear"


SCAN = _Scan(
    "scan", "run_scan({*}, body={body}, carries={carries}, sequences={sequences}, length={length}, reverse={reverse})",
    infer=_infer, helper=run_scan, takes_complex=True,
)  # fmt: skip
SCAN.without_sympy = "a loop of many turns is no formula"
CONTROL["scan"] = SCAN

"""A program of ONNX operators as plain data, and the `Writer` that makes one of a graph.

Nothing here needs the package `onnx`: `files.py` puts the program into its form. What the rows of the table in `elementwise.py`
and `arrays.py` are given and return are `Term`s, so that a row reads like the formula:

    "square": formula(lambda x: x * x)

Sizes are always inputs of an operator, and never attributes, so that `batch.py` can let them depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from compgraph.errors import GraphError, MissingRuleError
from compgraph.graph import Graph, Node, describe
from compgraph.origins import here
from compgraph.programs import Unique

Dim = int | str | None  # a length, or the name of one that the caller chooses, as in "batch" or "2*batch"; None is unknown


@dataclass(frozen=True)
class Value:
    """What is known of an input or an output."""

    name: str
    shape: tuple[Dim, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Operation:
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]  # integers, texts, tuples of integers, and `Program`s: the bodies of loops
    node: Node | None  # the line of the graph that it belongs to

    @property
    def bodies(self) -> Iterator[Program]:
        return (value for value in self.attributes.values() if isinstance(value, Program))

    @property
    def reads(self) -> set[str]:
        """The names that it needs, its bodies' among them."""
        return set(self.inputs).union(*(body.reads for body in self.bodies))


@dataclass(eq=False)
class Program:
    """Operators in the order in which they run. `tensors` are its constants by name; a body's stand in the outermost program."""

    name: str
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    tensors: dict[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> set[str]:
        return {value.name for value in self.outputs}.union(*(operation.reads for operation in self.operations))

    def tidy(self) -> Program:
        """The program without operators and constants that nothing reads, and without shapes and axes that are there twice."""
        needed = {value.name for value in self.outputs}
        kept = []
        for operation in reversed(self.operations):
            if needed.intersection(operation.outputs):
                kept.append(operation)
                needed |= operation.reads
        first: dict[Any, str] = {}
        same: dict[str, str] = {}
        for name, tensor in self.tensors.items():
            if name in needed:
                key = (tensor.shape, tensor.tobytes()) if tensor.dtype == np.int64 and tensor.size < 64 else name
                same[name] = first.setdefault(key, name)
        tensors = {name: self.tensors[name] for name, one in same.items() if name == one}
        return Program(self.name, self.inputs, self.outputs, [renamed(one, same) for one in reversed(kept)], tensors)


def renamed(operation: Operation, names: dict[str, str]) -> Operation:
    """The operation with other names for what it reads, also in its bodies."""
    attributes = {
        key: replace(value, operations=[renamed(one, names) for one in value.operations]) if isinstance(value, Program) else value
        for key, value in operation.attributes.items()
    }
    return replace(operation, inputs=tuple(names.get(name, name) for name in operation.inputs), attributes=attributes)


class Term:
    """A value on its way: its name, its dtype, and the writer that its operators go to. Python numbers beside it take its dtype."""

    __slots__ = ("dtype", "name", "writer")

    def __init__(self, writer: Writer, name: str, dtype: Any) -> None:
        self.writer, self.name, self.dtype = writer, name, np.dtype(dtype)

    def op(self, op: str, *others: Any, dtype: Any = None, **attributes: Any) -> Term:
        """Apply an operator to this term and others; the result has this term's dtype unless another is named."""
        inputs = [np.asarray(other, self.dtype) if isinstance(other, (int, float)) else other for other in others]
        return self.writer.op(op, self, *inputs, dtype=dtype or self.dtype, **attributes)

    def cast(self, dtype: Any) -> Term:
        dtype = np.dtype(dtype)
        return self if dtype == self.dtype else self.op("Cast", dtype=dtype, to=dtype)

    def reshape(self, shape: Iterable[int]) -> Term:
        return self.op("Reshape", ints(shape), allowzero=1)

    def __add__(self, other: Any) -> Term: return self.op("Add", other)
    def __sub__(self, other: Any) -> Term: return self.op("Sub", other)
    def __mul__(self, other: Any) -> Term: return self.op("Mul", other)
    def __truediv__(self, other: Any) -> Term: return self.op("Div", other)
    def __neg__(self) -> Term: return self.op("Neg")
    def __lt__(self, other: Any) -> Term: return self.op("Less", other, dtype=bool)
    def __gt__(self, other: Any) -> Term: return self.op("Greater", other, dtype=bool)
    def __and__(self, other: Any) -> Term: return self.op("And", other)
    def __or__(self, other: Any) -> Term: return self.op("Or", other)
    def __invert__(self) -> Term: return self.op("Not")
    def equals(self, other: Any) -> Term: return self.op("Equal", other, dtype=bool)

    def where(self, yes: Any, no: Any) -> Term:
        """`yes` where this term is true and `no` elsewhere, one of which is a term."""
        dtype = yes.dtype if isinstance(yes, Term) else no.dtype
        both = [np.asarray(one, dtype) if isinstance(one, (int, float)) else one for one in (yes, no)]
        return self.op("Where", *both, dtype=dtype)


def ints(numbers: Iterable[int]) -> Any:
    """What ONNX takes for shapes, axes and indices."""
    return np.array([int(number) for number in numbers], np.int64)


def expanded(x: Term, shape: Iterable[int]) -> Term:
    """`x` repeated to a shape that it broadcasts to."""
    return x.op("Expand", ints(shape))


Row = Callable[["Writer", Node], Term]


class Writer:
    """Makes the program of a graph, a row a node; a loop's body has a writer of its own, with the names of the one around it."""

    def __init__(self, graph: Graph, rows: dict[str, Row], around: Writer | None = None, prefix: str = "") -> None:
        self.graph, self.rows, self.prefix = graph, rows, prefix
        self.program = Program(graph.name)
        self.unique: Unique = around.unique if around else Unique([])
        self.tensors: dict[str, Any] = around.tensors if around else self.program.tensors
        self.names = {node: self.unique(prefix + name) for node, name in graph.names.items()}
        self.terms: dict[Node, Term] = {}
        self.parts: dict[Node, list[Term]] = {}  # of each loop, its results
        self.node: Node | None = None

    # ------------------------------------------------------------------------------------------- names and operators

    def tensor(self, value: Any, name: str = "") -> Term:
        """A constant of the program."""
        array = np.asarray(value)
        name = name or self.unique(f"{self.names[self.node]}/c" if self.node is not None else "c")
        self.tensors[name] = array
        return Term(self, name, array.dtype)

    def op(self, op: str, *inputs: Any, dtype: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; inputs are terms or arrays. The term of its result, or a list of them where there are several."""
        names = tuple((one if isinstance(one, Term) else self.tensor(one)).name for one in inputs)
        label = self.names[self.node] if self.node is not None else "value"
        results = tuple(self.unique(f"{label}/{op}") for _ in range(outputs))
        self.program.operations.append(Operation(op, names, results, attributes, self.node))
        terms = [Term(self, name, dtype) for name in results]
        return terms[0] if outputs == 1 else terms

    # ------------------------------------------------------------------------------------------- arguments of a row

    def argument(self, node: Node, place: int, dtype: Any = None) -> Term:
        """An argument of a node, in `dtype` if one is named; Python numbers and arrays become constants."""
        arg = node.args[place]
        if isinstance(arg, Node):
            term = self.terms[arg]
            return term if dtype is None else term.cast(dtype)
        return self.tensor(np.asarray(arg, dtype))

    def arguments(self, node: Node, dtype: Any) -> list[Term]:
        return [self.argument(node, place, dtype) for place in range(len(node.args))]

    # ------------------------------------------------------------------------------------------- a graph

    def run(self, inputs: Sequence[Node]) -> Program:
        """The program from `inputs` to the graph's outputs; `terms` holds already what comes from around it."""
        outputs = self.graph.outputs
        for number, node in enumerate(outputs, 1):
            if node.name is None and node.primitive is not None and node not in outputs[: number - 1]:
                self.names[node] = self.unique(f"{self.prefix}output" + str(number) * (len(outputs) > 1))
        for node in inputs:
            self.program.inputs.append(Value(self.names[node], node.shape, node.dtype))
            self.terms[node] = Term(self, self.names[node], node.dtype)
        for node in self.graph.nodes:
            if node not in self.terms:
                self.terms[node] = self.line(node)
        for node in outputs:
            self.node, term = node, self.terms[node]
            made = any(term.name in one.outputs for one in self.program.operations)
            if not made or term.name in [value.name for value in self.program.outputs]:
                term = term.op("Identity")  # ONNX wants each output made by an operator, and under a name of its own
            self.program.outputs.append(Value(term.name, node.shape, node.dtype))
        return self.program

    def line(self, node: Node) -> Term:
        """What a node becomes. The operator that makes its value is given the node's name."""
        if node.primitive is None:
            return self.tensor(node.value, self.names[node])
        self.node, before = node, len(self.program.operations)
        term = self.rows[node.primitive.name](self, node)
        if term.dtype != node.dtype:
            raise GraphError(f"{describe(node)}: its row for ONNX gives {term.dtype} instead of {node.dtype}")
        operations = self.program.operations
        if len(operations) > before and operations[-1].outputs == (term.name,):
            operations[-1] = replace(operations[-1], outputs=(self.names[node],))
            term = Term(self, self.names[node], node.dtype)
        return term


def refused(graph: Graph, rows: dict[str, Row]) -> Iterator[str]:
    """The lines of a graph, and of the bodies of its loops, that have no row."""
    for node in graph.nodes:
        if node.primitive is not None and node.primitive.name not in rows:
            yield describe(node)
        elif node.dtype.kind not in "fiub" or node.dtype.itemsize > 8:
            yield f"{describe(node)}, which is {node.dtype}"
        for param in node.params.values():
            if isinstance(param, Graph):
                yield from refused(param, rows)


def program_of(graph: Graph, rows: dict[str, Row]) -> Program:
    """The ONNX program of a graph; `MissingRuleError` names every line for which ONNX has no operator."""
    lines = list(refused(graph, rows))
    if lines:
        more = f", and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise MissingRuleError(f"{graph.name} cannot be written as ONNX, which has no operator for: {'; '.join(lines[:5])}{more}{here()}")
    return Writer(graph, rows).run(graph.inputs)

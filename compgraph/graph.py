"""The graph: a list of nodes in single assignment, a Wengert list. The core's names are all to be had from here.

A node says which primitive made it and from which arguments; running, stepping, drawing and differentiating all read
that and nothing else. `primitive.py` has the operations, `node.py` the nodes and `bind`, which makes them.

    >>> import numpy as np, compgraph as cg
    >>> x = cg.variable(2.0, name="x")
    >>> y = np.log(x) * x
    >>> y.primitive.name, y.args[0].primitive.name, y.args[1] is x
    ('multiply', 'log', True)

Below these three stand the errors, the origins, the operands, the modes and the program loader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from compgraph import modes
from compgraph.backend import is_on_device
from compgraph.errors import (
    GraphError,
    InputError,
    ShapeError,
    ValueRangeError,
)
from compgraph.node import (
    METHODS,
    UFUNCS,
    Node,
    _id_of,
    ancestors,
    bind,
    check_finite,
    constant,
    derivative_failure,
    describe,
    is_operand,
    line_name,
    operand_text,
    placeholder,
    provides,
    variable,
)
from compgraph.operands import as_operand, input_value, named, real_input_value
from compgraph.origins import (
    describe_origin,
    here,
)
from compgraph.primitive import CONTROL, PRIMITIVES, Aval, Primitive, Shape, placed, register
from compgraph.programs import Unique

if TYPE_CHECKING:
    import os
    from pathlib import Path


def active_nodes(nodes: Iterable[Node], wrt: Iterable[Node]) -> set[Node]:
    """Those of `nodes`, in topological order, through which a derivative with respect to `wrt` can flow."""
    active = set(wrt)
    for node in nodes:
        primitive = node.primitive
        if primitive is not None and primitive.differentiable:
            for arg in node.args:
                if isinstance(arg, Node) and arg in active:
                    active.add(node)
                    break
    return active


class Graph:
    """Inputs, outputs, and the nodes between them in creation order.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0)
    >>> [node.name for node in graph.inputs], len(graph.nodes)
    (['x1', 'x2'], 7)
    >>> round(graph(2.0, 5.0).item(), 3), round(graph(x1=1.0, x2=0.0).item(), 3)
    (11.652, 0.0)

    A graph is itself a function: called on numbers it computes, called on nodes it records. Raises `InputError`
    for a wrong number or name of inputs and `ShapeError` for a shape other than the traced one.
    """

    def __init__(
        self,
        inputs: Sequence[Node],
        outputs: Sequence[Node],
        *,
        name: str = "f",
        roles: dict[Node, tuple[str, Node]] | None = None,
        pack: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.name = name
        self.roles = dict(roles or {})  # a derivative's node -> ("dot", "bar" or "bar_dot", the primal node it belongs to)
        self.pack = pack  # outputs as the user's function returned them: a number, a tuple, a dict
        given = set(self.inputs)
        if len(given) != len(self.inputs):
            raise GraphError(f"{name}: the same node is given as an input twice")
        reachable = set(ancestors(self.outputs)) | given
        self.nodes = tuple(sorted(reachable, key=_id_of))
        for node, (suffix, primal) in self.roles.items():
            while primal not in reachable and primal in self.roles and self.roles[primal][1].id < primal.id:
                inner, primal = self.roles[primal]  # where x_bar is left out, its tangent is called x_bar_dot all the same
                suffix = f"{inner}_{suffix}"
            self.roles[node] = suffix, primal
        for node in self.nodes:
            if node.primitive is None and node.value is None and node not in given:
                place = describe_origin(node.origin)
                raise GraphError(
                    f"{name}: {describe(node)} belongs to another graph" + (f" (made at {place})" if place else "")
                    + ". Pass it as an argument, or pass its value."
                )

    @cached_property
    def names(self) -> dict[Node, str]:
        """What each node is called, uniquely: inputs as the user named them, then v1, v2, ... in order.

        Derivative nodes are called after the primal node they belong to, as in `v7_dot` and `v7_bar`.
        """
        names: dict[Node, str] = {}
        unique = Unique([])
        counts = {"x": 0, "c": 0, "v": 0}

        def numbered(prefix: str) -> str:
            counts[prefix] += 1
            return f"{prefix}{counts[prefix]}"

        def named(node: Node) -> str:
            suffix, primal = self.roles.get(node, ("", None))
            if primal in names:
                return f"{names[primal]}_{suffix}"
            return node.name or numbered("x" if node.primitive is None else "c" if node.primitive.name == "constant" else "v")

        # A derivative's node is called after its primal node, and waits until that one has its name.
        members = set(self.nodes)
        queue = [*(node for node in self.inputs if node not in self.roles), *self.nodes]
        while queue:
            waiting = []
            for node in queue:
                if node in names:
                    continue
                primal = self.roles[node][1] if node in self.roles else node
                if primal is not node and primal in members and primal not in names:
                    waiting.append(node)
                else:
                    names[node] = unique(named(node))
            queue = waiting
        return names

    def run(self, values: Sequence[Any]) -> list[Any]:
        """Every output for one value an input, without checks: arrays are computed, nodes are recorded."""
        environment = dict(zip(self.inputs, values, strict=True))
        check = modes.mode.get().anomaly
        for node in self.nodes:
            if node not in environment:
                environment[node] = apply(node, environment)
                if check and node.primitive is not None:
                    xs = [environment[arg] if isinstance(arg, Node) else arg for arg in node.args]
                    check_finite(environment[node], node.primitive, node.args, xs, node.origin)
        return [environment[node] for node in self.outputs]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        results = owned(self.run(self.arguments(args, kwargs)), [node.value for node in self.outputs])
        if self.pack is not None:
            return self.pack(results)
        return results[0] if len(results) == 1 else tuple(results)

    def arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """One checked value an input, in order, from positional and named ones."""
        names = [self.names[node] for node in self.inputs]
        wanted = f"{self.name}({', '.join(names)})"
        if len(args) > len(names):
            raise InputError(f"{wanted} takes {len(names)} input{'s' * (len(names) != 1)}, {len(args)} given{here()}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names:
                raise InputError(f"{wanted} has no input {name!r}; its inputs are {', '.join(names) or 'none'}{here()}")
            if name in given:
                raise InputError(f"{wanted}: {name} is given twice{here()}")
            given[name] = value
        missing = [name for name in names if name not in given]
        if missing:
            raise InputError(f"{wanted}: no value for {', '.join(missing)}{here()}")
        return [_fitted(given[name], node, name, wanted) for name, node in zip(names, self.inputs, strict=True)]

    def __repr__(self) -> str:
        inputs = ", ".join(self.names[node] for node in self.inputs)
        return f"Graph({self.name}({inputs}), {len(self.nodes)} nodes, {len(self.outputs)} output{'s' * (len(self.outputs) != 1)})"

    def __str__(self) -> str:
        return str(METHODS["Graph.__str__"](self))

    def to_source(self) -> str:
        """The graph as a Python program that runs by itself with NumPy alone; see `emission.py`."""
        return METHODS["Graph.to_source"](self)

    def to_sympy(self) -> Any:
        """The outputs as SymPy expressions of the inputs' names; see `symbolic.py`."""
        return METHODS["Graph.to_sympy"](self)

    def to_networkx(self) -> Any:
        """The graph as a `networkx.MultiDiGraph` from arguments to results; see `interchange.py`."""
        return METHODS["Graph.to_networkx"](self)

    def to_onnx(self, path: str | os.PathLike[str]) -> Path:
        """Write the graph as an ONNX file; see `onnx_export/graphs.py`."""
        written: Path = METHODS["Graph.to_onnx"](self, path)
        return written

    def to_json(self) -> str:
        """The graph as JSON text, which `Graph.from_json` reads back; see `interchange.py`."""
        return METHODS["Graph.to_json"](self)

    @staticmethod
    def from_json(text: str) -> Graph:
        """The graph that `to_json` wrote. Nothing in the text is executed."""
        return METHODS["Graph.from_json"](text)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return METHODS["Graph._repr_mimebundle_"](self)


def owned(results: Sequence[Any], others: Sequence[Any] = ()) -> list[Any]:
    """Results that a user may write into: no read-only views, and no memory shared with each other or with `others`."""
    seen = {id(other) for other in others}
    kept = []
    for result in results:
        if isinstance(result, np.ndarray):
            if not result.ndim:
                result = result[()]  # a number, as NumPy's functions mostly return it
            elif id(result) in seen or not (flags := result.flags).owndata or not flags.writeable:
                result = result.copy()
        elif is_on_device(result) and (id(result) in seen or result.base is not None):
            result = result.copy()
        seen.add(id(result))
        kept.append(result)
    return kept


def graph_of(*outputs: Node, name: str = "f") -> Graph:
    """The graph behind eager nodes, with the variables they depend on as its inputs.

    >>> import numpy as np, compgraph as cg
    >>> x = cg.variable(2.0, name="x")
    >>> cg.graph_of(np.sin(x) * x)
    Graph(f(x), 3 nodes, 1 output)
    """
    inputs = [node for node in ancestors(outputs) if node.primitive is None]
    return Graph(inputs, outputs, name=name)


def apply(node: Node, environment: dict[Node, Any]) -> Any:
    """What `node` computes when its arguments have the values in `environment`."""
    if node.primitive is None:
        return node.value
    args = [environment[arg] if isinstance(arg, Node) else arg for arg in node.args]
    return bind(node.primitive, *args, **node.params)


def _fitted(value: Any, node: Node, name: str, wanted: str) -> Any:
    """`value` as an input of the traced shape and dtype."""
    if not isinstance(value, Node):
        what = f"{wanted}: {name}"
        read = {"f": real_input_value, "c": input_value}.get(node.dtype.kind)
        given = read(value, what) if read else named(as_operand, value, what)
        given = given if is_on_device(given) else np.asarray(given)[()]
        exact = bool(read) or (given.dtype.kind != "c" and np.array_equal(given.astype(node.dtype), given))
        if not exact:
            raise ValueRangeError(f"{wanted}: {name} is of dtype {node.dtype}, which cannot hold {given!r:.60}{here()}")
        value = given.astype(node.dtype) if given.dtype != node.dtype else given
    if value.shape != node.shape:
        shapes = f"{name} has shape {value.shape}, the graph was traced with {node.shape}"
        raise ShapeError(f"{wanted}: {shapes}; trace it again for that shape{here()}")
    return value


# The whole of the core has its names here.
__all__ = [
    "CONTROL",
    "METHODS",
    "PRIMITIVES",
    "UFUNCS",
    "Aval",
    "Graph",
    "Node",
    "Primitive",
    "Shape",
    "active_nodes",
    "ancestors",
    "apply",
    "bind",
    "check_finite",
    "constant",
    "derivative_failure",
    "describe",
    "graph_of",
    "is_operand",
    "line_name",
    "operand_text",
    "owned",
    "placed",
    "placeholder",
    "provides",
    "register",
    "variable",
]  # fmt: skip

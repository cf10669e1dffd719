"""Graphs for other programs: NetworkX, and JSON that reads back to the same graph.

The JSON says what `Graph` holds and nothing that follows from it. A node is one line of the text:

    {"name": "v1", "given": null, "primitive": "divide", "args": ["x1", "x2"], "params": {}, "shape": [], ...}

`name` is what the graph calls the node and `given` what the user called it; an input has the primitive null. Among
`args` a text is a reference to an earlier node and all else a constant, as `json_values.py` writes it. Numbers come
back bit for bit, but for the sign of a single NaN. Nothing in a text is executed: a primitive is looked up by its name in the table.
"""

from __future__ import annotations

import json
import math
from typing import Any

import networkx as nx
import numpy as np

from compgraph.errors import GraphError
from compgraph.graph import CONTROL, PRIMITIVES, Graph, Node, provides
from compgraph.invariants import typecheck
from compgraph.json_values import Reader, dtype_name, encoded, parsed, shown
from compgraph.origins import DerivativeText, Origin, describe_origin, is_derivative
from compgraph.primitives.indexing import filled

FORMAT, VERSION = "compgraph graph", 1

Roles = dict[str, tuple[str, str | None]]  # a node's name -> "dot" or "bar", and the name of its primal node

_LARGEST_PROBE = 2**27  # entries that a shape rule may have to make in order to count them


# ---------------------------------------------------------------------------------------- NetworkX


@provides("Graph.to_networkx")
def to_networkx(graph: Graph) -> nx.MultiDiGraph:
    """The graph as a `networkx.MultiDiGraph` with an edge from each argument to its result.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x: x * x + 1.0, 3.0).to_networkx()
    >>> list(graph.nodes), list(graph.edges(data="index"))
    (['x', 'v1', 'v2'], [('x', 'v1', 0), ('x', 'v1', 1), ('v1', 'v2', 0)])
    >>> graph.nodes["v2"]["primitive"], graph.nodes["v2"]["constants"], graph.nodes["v2"]["role"]
    ('add', {1: 1.0}, 'output')

    A vertex is a node's name in `graph.names` and has `primitive` (None for an input), `params`, `constants` (the
    arguments that are no nodes, by index), `shape`, `dtype`, `scope`, `role` and, where one is held, `value`. `role`
    is "input", "output", "constant", "variable" (one that the function closes over) or "operation"; an input that is
    returned as it came is an "input". Vertices and edges are in the graph's order. An edge's key is its `index`, so
    `x * x` has two.
    """
    names = graph.names
    result = nx.MultiDiGraph(
        name=graph.name, inputs=[names[node] for node in graph.inputs], outputs=[names[node] for node in graph.outputs]
    )
    inputs, outputs = set(graph.inputs), set(graph.outputs)
    for node in graph.nodes:
        if node in inputs:
            role = "input"
        elif node in outputs:
            role = "output"
        elif node.primitive is None:
            role = "variable"
        else:
            role = "constant" if node.primitive.name == "constant" else "operation"
        result.add_node(
            names[node],
            primitive=node.primitive.name if node.primitive else None,
            params=dict(node.params),
            constants={index: arg for index, arg in enumerate(node.args) if not isinstance(arg, Node)},
            shape=node.shape, dtype=node.dtype, scope=node.scope, role=role,
            **({} if node.value is None else {"value": node.value}),
        )  # fmt: skip
        for index, arg in enumerate(node.args):
            if isinstance(arg, Node):
                result.add_edge(names[arg], names[node], key=index, index=index)
    return result


# --------------------------------------------------------------------------------- graph -> text


@provides("Graph.to_json")
def to_json(graph: Graph) -> str:
    """The graph as JSON text: versioned, the same for the same graph, a node a line.

    >>> import compgraph as cg
    >>> print(cg.trace(lambda x: 2 * x, 3.0).to_json())  # doctest: +ELLIPSIS
    {"format": "compgraph graph", "version": 1,
     "name": "f", "inputs": ["x"], "outputs": ["v1"],
     "nodes": [
      {"name": "x", "given": "x", "primitive": null, "args": [], "params": {}, "shape": [], "dtype": "float64", ...},
      {"name": "v1", "given": null, "primitive": "multiply", "args": [2, "x"], "params": {}, "shape": [], ...}
     ]}

    Values of inputs are kept, those of operations are not: they follow. Origins are kept as far as text says them,
    as in "train.py:12". How a function nested its outputs (`pack`) is not kept. Raises `DtypeError` for an extended
    float, whose bytes differ from machine to machine.
    """
    kind = {"format": FORMAT, "version": VERSION}
    nodes = ",\n  ".join(json.dumps(_node_record(node, graph), allow_nan=False) for node in graph.nodes)
    return f'{json.dumps(kind)[:-1]},\n {json.dumps(_ends(graph))[1:-1]},\n "nodes": [\n  {nodes}\n ]}}'


def _ends(graph: Graph) -> dict[str, Any]:
    names = graph.names
    return {"name": graph.name, "inputs": [names[node] for node in graph.inputs], "outputs": [names[node] for node in graph.outputs]}


def _encoded_param(param: Any, place: str) -> Any:
    """A parameter; the body of a loop is a graph within the graph."""
    if isinstance(param, Graph):
        return {"graph": {**_ends(param), "nodes": [_node_record(node, param) for node in param.nodes]}}
    return encoded(param, place)


def _node_record(node: Node, graph: Graph) -> dict[str, Any]:
    names = graph.names
    place = f"{graph.name}: {names[node]}"
    role = graph.roles.get(node)
    return {
        "name": names[node],
        "given": node.name,
        "primitive": node.primitive.name if node.primitive else None,
        "args": [names[arg] if isinstance(arg, Node) else encoded(arg, place) for arg in node.args],
        "params": {name: _encoded_param(node.params[name], place) for name in sorted(node.params)},
        "shape": list(node.shape),
        "dtype": dtype_name(node.dtype, place),
        "value": None if node.value is None or node.primitive is not None else encoded(node.value, place),
        "scope": node.scope,
        "role": None if role is None else [role[0], names.get(role[1])],
        "origin": _origin_text(node.origin) or None,
    }


def _origin_text(origin: Origin) -> str:
    text = describe_origin(origin)
    return f"{_DERIVATIVE}{text}" if text and is_derivative(origin) else text


_DERIVATIVE = "derivative of "


# --------------------------------------------------------------------------------- text -> graph


@provides("Graph.from_json")
def from_json(text: str) -> Graph:
    """The graph that `to_json` wrote, with the same names, roles and scopes; its operations are abstract.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x1, x2: x1 / x2, 0.5, 1.0)
    >>> cg.Graph.from_json(graph.to_json())(3.0, 2.0)
    np.float64(1.5)

    Nothing in the text is executed, and no more memory is taken than the text and its arrays need. Raises
    `InputError` for a text that does not have the form, saying where, and `GraphError` for one that has it and does
    not say a graph: an unknown primitive, a node used before it is defined, a shape that its primitive does not give.
    """
    document = Reader(parsed(text), "the document")
    document.fields({"format", "version", "name", "inputs", "outputs", "nodes"})
    if document.value["format"] != FORMAT:
        document.refuse(f"the format is {shown(document.value['format'])}, not {FORMAT!r}")
    if type(document.value["version"]) is not int or document.value["version"] != VERSION:
        document.refuse(f"version {shown(document.value['version'])} is not one that this program reads; it reads version {VERSION}")
    return typecheck(_read_graph(document, 0))


_MOST_NESTED = 20  # loops within loops


def _read_graph(document: Reader, nesting: int) -> Graph:
    if nesting > _MOST_NESTED:
        document.refuse(f"loops are nested more than {_MOST_NESTED} deep")
    nodes: dict[str, Node] = {}
    roles: Roles = {}
    for reader in document["nodes"].items():
        _read_node(reader, nodes, roles, nesting)
    inputs = [_referred(reader, nodes) for reader in document["inputs"].items()]
    outputs = [_referred(reader, nodes) for reader in document["outputs"].items()]
    return _assembled(document["name"].text(), nodes, inputs, outputs, roles)


def _read_param(reader: Reader, nesting: int) -> Any:
    if not isinstance(reader.value, dict) or "graph" not in reader.value:
        return reader.parameter()
    reader.fields({"graph"})
    body = Reader(reader.value["graph"], f"{reader.place}.graph")
    body.fields({"name", "inputs", "outputs", "nodes"})
    return _read_graph(body, nesting + 1)


def _assembled(name: str, nodes: dict[str, Node], inputs: list[Node], outputs: list[Node], roles: Roles) -> Graph:
    """The graph of these nodes, which goes by the names that they were read under."""
    for role in roles.values():
        if role[1] is not None and role[1] not in nodes:
            raise GraphError(f"the role of a node names {shown(role[1])}, which is not among the nodes")
    if not outputs:
        raise GraphError("a graph has at least one output")
    outside = Node(None, (), {}, None)  # stands for the primal node of a role that the graph has left out
    graph = Graph(
        inputs, outputs, name=name,
        roles={nodes[one]: (suffix, outside if primal is None else nodes[primal]) for one, (suffix, primal) in roles.items()},
    )  # fmt: skip
    used = set(graph.nodes)
    for wanted, node in nodes.items():
        if node not in used:
            raise GraphError(f"{shown(wanted)} is neither an input nor used by an output")
        if graph.names[node] != wanted:
            raise GraphError(
                f"the node called {shown(wanted)} is {shown(graph.names[node])} in this graph: "
                'a node goes by its "given" name, or by its number where that is null'
            )
    return graph


_FIELDS = {"name", "given", "primitive", "args", "params", "shape", "dtype", "value", "scope", "role", "origin"}


def _read_node(reader: Reader, nodes: dict[str, Node], roles: Roles, nesting: int) -> None:
    """Make the node that `reader` says and enter it into `nodes`, which holds the ones before it."""
    reader.fields(_FIELDS)
    name = reader["name"].text()
    reader.place += f" ({shown(name)})"
    if name in nodes:
        reader.refuse("there is a node of that name already")
    shape, dtype = reader["shape"].shape(), reader["dtype"].dtype()
    given, origin = (None if reader.value[field] is None else reader[field].text() for field in ("given", "origin"))
    args = tuple(_referred(arg, nodes) if isinstance(arg.value, str) else arg.constant() for arg in reader["args"].items())
    params = {param: _read_param(reader["params"][param], nesting) for param in reader["params"].object()}
    value = None if reader.value["value"] is None else reader["value"].constant()
    if reader.value["role"] is not None:
        suffix, primal = reader["role"].items(2)
        roles[name] = (suffix.text(), None if primal.value is None else primal.text())
    if reader.value["primitive"] is None:
        primitive = None
        if args or params:
            reader.refuse("an input has neither args nor params")
        if value is not None and (not isinstance(value, (np.generic, np.ndarray)) or (value.shape, value.dtype) != (shape, dtype)):
            reader["value"].refuse(f"the value is not of shape {shape} and dtype {dtype}")
    else:
        primitive = PRIMITIVES.get(reader["primitive"].text(), CONTROL.get(reader.value["primitive"]))
        if primitive is None:
            raise GraphError(f"{reader.place}: there is no primitive {shown(reader.value['primitive'])}")
        if value is not None:
            reader["value"].refuse("an operation does not hold a value here: it follows from the arguments")
        fields = {field for field in primitive.fields if field.isidentifier()}
        if set(params) != fields:
            raise GraphError(f"{reader.place}: {primitive.name} takes the params {sorted(fields)}, not {shown(sorted(params))}")
        _check_inferred(reader.place, primitive, args, params, (shape, dtype))
        if primitive.name == "constant":
            value = params["value"]
    if origin is not None and origin.startswith(_DERIVATIVE):
        origin = DerivativeText(origin.removeprefix(_DERIVATIVE))
    nodes[name] = Node(primitive, args, params, value, origin, reader["scope"].text(), (shape, dtype), given)


def _check_inferred(place: str, primitive: Any, args: tuple[Any, ...], params: dict[str, Any], claimed: Any) -> None:
    """Raise `GraphError` unless the primitive takes these arguments and gives what is claimed."""
    try:
        if primitive.name == "index" and args and _entries_read(args[0].shape, filled(params["index"], args[1:])) > _LARGEST_PROBE:
            raise GraphError(f"it reads more than {_LARGEST_PROBE} entries by arrays of indices")
        inferred = primitive.infer(*args, **params)
        agrees = tuple(inferred[0]) == claimed[0] and inferred[1] == claimed[1]
    except Exception as error:  # whatever a rule does with arguments that it was never written for
        raise GraphError(f"{place}: {primitive.name} does not take these arguments: {error}") from error
    if not agrees:
        raise GraphError(f"{place}: it is said to be {claimed[0]} {claimed[1]}; {primitive.name} gives {inferred[0]} {inferred[1]}")


def _entries_read(shape: tuple[int, ...], index: Any) -> int:
    """How many entries `x[index]` copies out of an `x` of this shape; 0 where basic indexing makes a view of it."""
    parts = [np.asarray(part) if isinstance(part, (bool, tuple)) else part for part in (index if isinstance(index, tuple) else (index,))]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if not arrays:
        return 0

    def axes_taken(part: Any) -> int:
        return part.ndim if isinstance(part, np.ndarray) and part.dtype.kind == "b" else int(part is not None)

    where = next((place for place, part in enumerate(parts) if part is Ellipsis), len(parts))
    before, after = parts[:where], parts[where + 1 :]
    untouched = len(shape) - sum(map(axes_taken, before + after))
    lengths = iter(shape)
    entries = math.prod(np.broadcast_shapes(*[(int(part.sum()),) if part.dtype.kind == "b" else part.shape for part in arrays]))
    for part in (*before, *[slice(None)] * untouched, *after):
        taken = [next(lengths) for _ in range(axes_taken(part))]
        if isinstance(part, slice):
            entries *= len(range(*part.indices(taken[0])))
    return entries


def _referred(reader: Reader, nodes: dict[str, Node]) -> Node:
    if reader.text() not in nodes:
        raise GraphError(f"{reader.place}: there is no node {shown(reader.value)} before this place")
    return nodes[reader.value]

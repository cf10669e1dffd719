"""The invariants of a graph, as code."""

from __future__ import annotations

import numpy as np

from compgraph.errors import GraphError
from compgraph.graph import CONTROL, PRIMITIVES, Graph, Node


def _typecheck_body(body: Graph, place: str) -> None:
    """A loop's body keeps the invariants of a graph, and depends on nothing from outside but its inputs."""
    typecheck(body)
    if any(node.primitive is None and node not in body.inputs for node in body.nodes):
        raise GraphError(f"{place}: its body reads a variable that is not among its inputs")


def typecheck(graph: Graph) -> Graph:
    """Check the invariants of a graph and return it; `GraphError` says which one a node breaks.

    Arguments come before results; every input but the graph's own holds a value; names are unique; params are
    immutable; the shape and dtype of each node are the ones its primitive infers.
    """
    seen: set[Node] = set()
    for node in graph.nodes:
        place = f"{graph.name}: {graph.names[node]} = {node.primitive.name if node.primitive else 'input'}"
        for arg in node.args:
            if isinstance(arg, Node):
                if arg not in seen:
                    raise GraphError(f"{place} uses a node that comes after it or is not in the graph")
            elif not isinstance(arg, (bool, int, float, np.generic, np.ndarray)):
                raise GraphError(f"{place} has an argument of type {type(arg).__name__}")
        if node.primitive is not None:
            if PRIMITIVES.get(node.primitive.name, CONTROL.get(node.primitive.name)) is not node.primitive:
                raise GraphError(f"{place}: the primitive is not in the table")
            if set(node.params) != {field for field in node.primitive.fields if field.isidentifier()}:
                raise GraphError(f"{place}: params {sorted(node.params)} are not those of {node.primitive.code!r}")
            if any(isinstance(param, (list, dict, set, Node)) for param in node.params.values()):
                raise GraphError(f"{place}: a parameter is mutable or a node")
            for param in node.params.values():
                if isinstance(param, Graph):
                    _typecheck_body(param, place)
            inferred = node.primitive.infer(*node.args, **node.params)
            if inferred != (node.shape, node.dtype):
                raise GraphError(f"{place} has {node.shape} {node.dtype}, its primitive infers {inferred[0]} {inferred[1]}")
        seen.add(node)
    if any(output not in seen for output in graph.outputs):
        raise GraphError(f"{graph.name}: an output is not among the nodes")
    if len(set(graph.names.values())) != len(graph.nodes):
        raise GraphError(f"{graph.name}: two nodes share a name")
    return graph

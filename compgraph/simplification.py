"""Passes over a graph. Each takes a graph and returns one that computes the same numbers; none runs unasked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compgraph.graph import PRIMITIVES, Graph, Node, bind, constant
from compgraph.modes import mode_with

Replacement = Callable[[Node, tuple[Any, ...]], Node | None]


def rewritten(graph: Graph, replace: Replacement) -> Graph:
    """`graph` with each node replaced by what `replace(node, new_args)` gives; None keeps it.

    Nodes that nothing reads any more are gone from the result. Roles and outputs move along.
    """
    new: dict[Node, Node] = {node: node for node in graph.nodes if node.primitive is None}
    for node in graph.nodes:
        if node.primitive is None:
            continue
        args = tuple(new[arg] if isinstance(arg, Node) else arg for arg in node.args)
        with mode_with(origin=node.origin, scope=node.scope):
            instead = replace(node, args)
            new[node] = _again(node, args) if instead is None else instead
    roles = {new[node]: (suffix, new[primal]) for node, (suffix, primal) in graph.roles.items() if node in new and primal in new}
    roles = {node: role for node, role in roles.items() if node.primitive is None or role[1] is not node}
    return Graph(graph.inputs, [new[node] for node in graph.outputs], name=graph.name, roles=roles, pack=graph.pack)


def _again(node: Node, args: tuple[Any, ...]) -> Node:
    """The same line on other arguments."""
    if node.primitive is PRIMITIVES["constant"]:
        copy = constant(node.params["value"])
    else:
        copy = bind(node.primitive, *args, **node.params)  # type: ignore[arg-type]
    copy.name = node.name
    return copy


def _key(value: Any) -> Any:
    """A hashable stand-in that is equal only for the same node or the same constant, to the bit."""
    if isinstance(value, Node):
        return ("node", value.id)
    if isinstance(value, (np.ndarray, np.generic)):
        return (type(value), value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, tuple):
        return tuple(map(_key, value))
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    return (type(value), repr(value))


def subexpression(node: Node, args: tuple[Any, ...] | None = None) -> Any:
    """What a node computes, as a key that is equal only for the same primitive, arguments and parameters."""
    arguments = _key(node.args if args is None else args)
    return node.primitive.name, arguments, tuple(sorted((name, _key(value)) for name, value in node.params.items()))  # type: ignore[union-attr]


def share_common_subexpressions(graph: Graph) -> Graph:
    """Compute once what is computed twice from the same arguments.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x1, x2: np.exp(x1 / x2) + x1 / x2, 0.5, 1.0)
    >>> print(share_common_subexpressions(graph))
    f(x1, x2):
        v1 = x1 / x2
        v2 = exp(v1)
        v3 = v2 + v1
        return v3

    The values are the same to the bit: equal means the same primitive, arguments and parameters.
    """
    seen: dict[Any, Node] = {}

    def replace(node: Node, args: tuple[Any, ...]) -> Node:
        key = subexpression(node, args)
        if key not in seen:
            seen[key] = _again(node, args)
        return seen[key]

    return rewritten(graph, replace)


def fold_constants(graph: Graph) -> Graph:
    """Compute now what depends on constants alone.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x: x * np.exp(cg.constant(0.0)), 2.0)
    >>> len(graph.nodes), len(fold_constants(graph).nodes)
    (4, 3)
    """

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        nodes = [arg for arg in args if isinstance(arg, Node)]
        if not nodes or any(arg.primitive is not PRIMITIVES["constant"] for arg in nodes):
            return None
        return constant(bind(node.primitive, *[getattr(arg, "value", arg) for arg in args], **node.params))  # type: ignore[arg-type]

    return rewritten(graph, replace)


def drop_identities(graph: Graph) -> Graph:
    """Leave out the `identity` nodes that nested derivatives put around their arguments.

    >>> import compgraph as cg
    >>> graph = cg.trace(cg.grad(lambda x: x * x), 1.0)
    >>> len(graph.nodes), len(drop_identities(graph).nodes)
    (5, 4)
    """
    return rewritten(graph, lambda node, args: args[0] if node.primitive is PRIMITIVES["identity"] else None)


def simplify(graph: Graph) -> Graph:
    """All passes that keep every value to the bit, in order: identities, constants, common subexpressions."""
    return share_common_subexpressions(fold_constants(drop_identities(graph)))

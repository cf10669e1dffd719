"""Passes over a graph. Each takes a graph and returns one that computes the same numbers; none runs unasked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph.graph import PRIMITIVES, Graph, Node, bind, constant
from compgraph.modes import Mode, mode

Replacement = Callable[[Node, tuple[Any, ...]], Node | None]


def rewritten(graph: Graph, replace: Replacement, *, order: Sequence[Node] | None = None) -> Graph:
    """`graph` with each node replaced by what `replace(node, new_args)` gives; None keeps it.

    Nodes that nothing reads any more are gone from the result. Roles and outputs move along; a node of the primal program
    that a tangent or an adjoint turned out to be keeps its own name. `order` is for a pass after which a node reads one
    that comes behind it in the graph.
    """
    new: dict[Node, Node] = {node: node for node in graph.nodes if node.primitive is None}
    outer = mode.get()
    token = mode.set(outer)
    try:
        for node in graph.nodes if order is None else order:
            if node.primitive is None:
                continue
            args = tuple([new[arg] if isinstance(arg, Node) else arg for arg in node.args])
            # What `mode_with` does, at a tenth of its cost: a pass spends most of its time here.
            mode.set(Mode(node.scope, outer.recording, outer.anomaly, outer.traced, node.origin, outer.constants, outer.roles))
            instead = replace(node, args)
            new[node] = again(node, args) if instead is None else instead
    finally:
        mode.reset(token)
    before = itertools.takewhile(lambda node: node.primitive is None or node not in graph.roles, graph.nodes)
    primals = {new[node] for node in before if node not in graph.roles}
    roles = {new[node]: (suffix, new[primal]) for node, (suffix, primal) in graph.roles.items() if node in new and primal in new}
    roles = {node: role for node, role in roles.items() if node not in primals}
    roles = {node: role for node, role in roles.items() if node.primitive is None or role[1] is not node}
    return Graph(graph.inputs, [new[node] for node in graph.outputs], name=graph.name, roles=roles, pack=graph.pack)


def again(node: Node, args: tuple[Any, ...]) -> Node:
    """The same line on other arguments."""
    if node.primitive is PRIMITIVES["constant"]:
        copy = constant(node.params["value"])
    elif node.value is None and all(map(_alike, args, node.args)):  # nothing to infer again, which is most of a pass's time
        return Node(node.primitive, args, node.params, None, node.origin, node.scope, (node.shape, node.dtype), node.name)
    else:
        copy = bind(node.primitive, *args, **node.params)  # type: ignore[arg-type]
    copy.name = node.name
    return copy


def _alike(one: Any, other: Any) -> bool:
    """Whether an argument may stand for another without a word to the shape rule."""
    if isinstance(one, Node) and isinstance(other, Node):
        return (one.value is None) == (other.value is None) and one.shape == other.shape and one.dtype == other.dtype
    return one is other


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
    if isinstance(value, Graph):
        return ("graph", id(value))  # the body of a loop, which the node holds
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
    keys = [subexpression(node) for node in graph.nodes if node.primitive is not None]
    if len(set(keys)) == len(keys):
        return graph
    seen: dict[Any, Node] = {}

    def replace(node: Node, args: tuple[Any, ...]) -> Node:
        key = subexpression(node, args)
        if key not in seen:
            seen[key] = again(node, args)
        return seen[key]

    return rewritten(graph, replace)


def fold_constants(graph: Graph) -> Graph:
    """Compute now what depends on constants alone.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x: x * np.exp(cg.constant(0.0)), 2.0)
    >>> len(graph.nodes), len(fold_constants(graph).nodes)
    (4, 3)
    """

    known = PRIMITIVES["constant"]

    def foldable(args: tuple[Any, ...]) -> bool:
        nodes = [arg for arg in args if isinstance(arg, Node)]
        return bool(nodes) and all(arg.primitive is known for arg in nodes)

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if not foldable(args):
            return None
        return constant(bind(node.primitive, *[getattr(arg, "value", arg) for arg in args], **node.params))  # type: ignore[arg-type]

    return rewritten(graph, replace) if any(foldable(node.args) for node in graph.nodes) else graph


def drop_identities(graph: Graph) -> Graph:
    """Leave out the `identity` nodes that nested derivatives put around their arguments.

    >>> import compgraph as cg
    >>> graph = cg.trace(cg.grad(lambda x: x * x), 1.0)
    >>> len(graph.nodes), len(drop_identities(graph).nodes)
    (5, 4)
    """
    dropped = PRIMITIVES["identity"]
    if all(node.primitive is not dropped for node in graph.nodes):
        return graph
    return rewritten(graph, lambda node, args: args[0] if node.primitive is dropped else None)


def simplify(graph: Graph) -> Graph:
    """All passes that keep every value to the bit, in order: identities, constants, common subexpressions."""
    return share_common_subexpressions(fold_constants(drop_identities(graph)))

"""The tangent sweep: v_dot = sum over arguments of (local partial) * (argument's tangent), in creation order.

Griewank & Walther, Evaluating Derivatives (2nd ed., 2008), section 3.1; Baydin et al. (2018), section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from compgraph.backend import beside
from compgraph.errors import InputError, ShapeError
from compgraph.graph import (
    PRIMITIVES,
    Graph,
    Node,
    Primitive,
    active_nodes,
    ancestors,
    bind,
    check_finite,
    constant,
    derivative_failure,
    placeholder,
)
from compgraph.modes import current_mode, mode_with
from compgraph.operands import input_value, real_input_value
from compgraph.origins import derivative_origin, here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import zeros_like

Tangents = dict[Node, Any]


def product(left: Any, right: Any) -> Any:
    """left * right, where a local partial that is the number 1 or -1 costs no multiplication.

    >>> product(1, 2.5), product(2.5, -1), product(2.0, 3.0)
    (2.5, -2.5, 6.0)
    """
    if left.__class__ is int:
        left, right = right, left
    if right.__class__ is int:
        if right == 1:
            return left
        if right == -1:
            return -left
    return left * right


def push(primitive: Primitive, y: Any, xs: Sequence[Any], x_dots: Sequence[Any], params: dict[str, Any]) -> Any:
    """The tangent of `y = primitive(*xs, **params)`; None, the structural zero, where no tangent comes in.

    `y`, `xs` and `x_dots` are arrays, and then so is the result, or nodes, and then it is graph.
    """
    if not primitive.differentiable:
        return None
    y_dot: Any = None

    def add(term: Any, partial: Any = 1) -> None:
        nonlocal y_dot
        if partial.__class__ is int and partial == -1 and y_dot is not None:
            y_dot = y_dot - term
        else:
            y_dot = product(partial, term) if y_dot is None else y_dot + product(partial, term)

    for rule, x_dot in zip(primitive.partials or (), x_dots, strict=False):
        if x_dot is not None and rule is not None:
            partial = rule(y, *xs)
            add(bind("sheltered", x_dot, partial) if primitive.selects else x_dot, partial)
    for group in primitive.linear_groups(len(xs)):
        if any(x_dots[index] is not None for index in group):
            operands = list(xs)
            for index in group:
                operands[index] = zeros_like(xs[index]) if x_dots[index] is None else x_dots[index]
            add(bind(primitive, *operands, **params))
    if primitive.tangent is not None:
        if primitive.groups is not None:  # of a primitive that is linear in some arguments the rule is about the others
            x_dots = [None if primitive.kind(index) == "linear" else x_dot for index, x_dot in enumerate(x_dots)]
        if any(x_dot is not None for x_dot in x_dots):
            add(primitive.tangent(y, tuple(x_dots), *xs, **params))
    if y_dot is None:
        return None
    # A sum of broadcast terms, or of float32 and float64 ones, need not have the result's shape and dtype yet.
    if y_dot.shape != y.shape:
        y_dot = np.broadcast_to(y_dot, y.shape)
    return cast(y_dot, y.dtype)


def sweep(nodes: Iterable[Node], tangents: Tangents, primal: Callable[[Node], Any], record: Callable[..., None] | None = None) -> Tangents:
    """Push `tangents` through `nodes`, in creation order, and return the tangents of all of them.

    `primal` gives the rules what they work on: the value of a node, to compute, or the node itself, to build graph.
    """
    check = current_mode().anomaly
    for node in nodes:
        primitive = node.primitive
        if primitive is None or node in tangents:
            continue
        x_dots = [tangents.get(arg) if isinstance(arg, Node) else None for arg in node.args]
        if all(x_dot is None for x_dot in x_dots):
            continue
        xs = [primal(arg) if isinstance(arg, Node) else arg for arg in node.args]
        try:
            y_dot = push(primitive, primal(node), xs, x_dots, node.params)
        except np.linalg.LinAlgError as error:
            raise derivative_failure(node, error) from error
        if y_dot is not None:
            tangents[node] = y_dot
            if check:
                check_finite(y_dot, primitive, node.args, xs, node.origin, f"the tangent through {primitive.name}")
            if record is not None:
                record(node, y_dot)
    return tangents


def itself(node: Node) -> Node:
    return node


value_of = attrgetter("value")


class Roles:
    """Says of the nodes that a sweep through `nodes` makes whose tangent or adjoint they are, if `mode.roles` asks for it.

    A node has the role that it is given first. Seeds and other nodes that were there before the sweep get none.
    """

    def __init__(self, suffix: str, nodes: Sequence[Node], seeds: Iterable[Any]) -> None:
        self.suffix = suffix
        self.roles = current_mode().roles
        if self.roles is not None:
            self.first = nodes[0].id if nodes else 0
            self.before = max((node.id for node in (*nodes, *seeds) if isinstance(node, Node)), default=0)

    def give(self, node: Any, primal: Node) -> None:
        if self.roles is not None and isinstance(node, Node) and node.id > self.before:
            # Where a sweep inside a trace ends, an identity stands for what was passed in.
            while primal.primitive is _IDENTITY and isinstance(primal.args[0], Node) and primal.args[0].id < self.first:
                primal = primal.args[0]
            self.roles.setdefault(node, (self.suffix, primal))


_IDENTITY = PRIMITIVES["identity"]


def build(nodes: Sequence[Node], tangents: Tangents) -> Tangents:
    """`sweep` as graph: each new node belongs to the scope and the source line of its primal node."""
    roles = Roles("dot", nodes, tangents.values())
    for node in nodes:
        if node.primitive is not None and node not in tangents:
            with mode_with(origin=derivative_origin(node.origin), scope=node.scope):
                sweep((node,), tangents, itself)
            roles.give(tangents.get(node), node)
    return tangents


def chosen(nodes: Sequence[Node], names: dict[Node, str], which: Any, what: str) -> list[Node]:
    """The inputs or outputs that a caller means by a name, a number, a node, or a sequence of these; None is all."""
    if which is None:
        return list(dict.fromkeys(nodes))
    if not isinstance(which, (list, tuple)):
        which = [which]
    found = []
    for one in which:
        matches = [
            node for number, node in enumerate(nodes)
            if one is node or (isinstance(one, str) and names[node] == one) or (type(one) is int and one == number)
        ]  # fmt: skip
        if not matches:
            known = ", ".join(names[node] for node in nodes)
            raise InputError(f"no {what} {one!r}; there {'is' if len(nodes) == 1 else 'are'} {known}{here()}")
        found.append(matches[0])
    return list(dict.fromkeys(found))


def chosen_inputs(graph: Graph, wrt: Any) -> list[Node]:
    """The inputs to differentiate with respect to: those named, or all that hold floating-point numbers."""
    inputs = chosen(graph.inputs, graph.names, wrt, "input")
    if wrt is None:
        return [node for node in inputs if node.dtype.kind in "fc"]
    for node in inputs:
        if node.dtype.kind not in "fc":
            raise InputError(f"{graph.names[node]} is of dtype {node.dtype}: only floating-point inputs have derivatives{here()}")
    return inputs


def seeded(seed: Any, node: Node, name: str) -> Any:
    """A seed of the node's shape and dtype, and never the caller's own memory."""
    what = f"the seed of {name}"
    if isinstance(seed, Node):
        value = cast(seed, node.dtype) if node.dtype.kind == "c" else seed
    else:
        value = beside((input_value if node.dtype.kind == "c" else real_input_value)(seed, what).astype(node.dtype), node.value)
    if value.shape != node.shape:
        raise ShapeError(f"the seed of {name} has shape {value.shape}, {name} has {node.shape}{here()}")
    return value


def forward(graph: Graph, wrt: Any = None) -> Graph:
    """The tangent graph: (x, x_dot) -> (y, y_dot).

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x1, x2: x1 * np.sin(x2), 2.0, 0.0)
    >>> tangent = cg.forward(graph)
    >>> [tangent.names[node] for node in tangent.inputs]
    ['x1', 'x2', 'x1_dot', 'x2_dot']
    >>> y, y_dot = tangent(2.0, 0.0, 0.0, 1.0)
    >>> float(y), float(y_dot)
    (0.0, 2.0)

    `wrt` chooses inputs, by name, number or node; the others get no tangent. All outputs of a joint graph are
    pushed in the one sweep. The result is a graph again: draw it, step it, differentiate it.
    """
    inputs = chosen_inputs(graph, wrt)
    tangents: Tangents = {node: placeholder(node.shape, node.dtype, origin=node.origin) for node in inputs}
    seeds = [tangents[node] for node in inputs]
    active = active_nodes(graph.nodes, inputs)
    roles = {**graph.roles, **{tangent: ("dot", node) for node, tangent in tangents.items()}}
    with mode_with(roles=roles):
        build([node for node in graph.nodes if node in active], tangents)
    outputs = [tangents[node] if node in tangents else constant(zeros_like(node)) for node in graph.outputs]
    return Graph((*graph.inputs, *seeds), (*graph.outputs, *outputs), name=f"{graph.name}_forward", roles=roles)


def tangents_of(outputs: Sequence[Node], inputs: Sequence[Node], seeds: Sequence[Any], *, lift: bool) -> list[Any]:
    """The tangents of `outputs` for tangents `seeds` of `inputs`: arrays, or nodes with `lift`. None is zero."""
    nodes = ancestors(outputs, since=min((node.id for node in inputs), default=0))
    active = active_nodes(nodes, inputs)
    nodes = [node for node in nodes if node in active]
    tangents = {node: seed for node, seed in zip(inputs, seeds, strict=True) if seed is not None}
    if lift:
        build(nodes, tangents)
    else:
        sweep(nodes, tangents, value_of)
    return [tangents.get(node) for node in outputs]

"""The adjoint sweep: v_bar = sum over children of (child's adjoint) * (local partial), in reverse creation order.

Griewank & Walther, Evaluating Derivatives (2nd ed., 2008), section 3.2; Baydin et al. (2018), section 3.2.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from compgraph.backend import beside
from compgraph.errors import InputError, ShapeError, ZeroGradientWarning
from compgraph.forward_mode import Roles, chosen, chosen_inputs, itself, product, seeded
from compgraph.graph import (
    Graph,
    Node,
    Primitive,
    active_nodes,
    ancestors,
    bind,
    check_finite,
    constant,
    derivative_failure,
    describe,
    owned,
    placeholder,
    provides,
)
from compgraph.modes import current_mode, mode_with
from compgraph.origins import caller, derivative_origin, describe_origin, here, stack_level
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import zeros_like

Adjoints = dict[Node, Any]
Record = Callable[[Node, int, Node, Any, Any], None]  # child, which argument, argument, local partial, term


value_of = attrgetter("value")
_float64 = np.float64
_ndarray = np.ndarray


def unbroadcast(x_bar: Any, x: Any) -> Any:
    """Sum an adjoint over the axes that broadcasting had stretched, so that it fits its argument again.

    >>> unbroadcast(np.ones((2, 3)), np.zeros((1, 3)))
    array([[2., 2., 2.]])
    """
    shape = x.shape
    if x_bar.shape != shape:
        add_up = np.add.reduce if x_bar.__class__ is _ndarray else np.sum  # the same, without a look at the arguments
        extra = len(x_bar.shape) - len(shape)
        if extra:
            x_bar = add_up(x_bar, axis=tuple(range(extra)))
        stretched = tuple([axis for axis, length in enumerate(shape) if length == 1 and x_bar.shape[axis] != 1])
        if stretched:
            x_bar = add_up(x_bar, axis=stretched, keepdims=True)
    return x_bar if x_bar.dtype == x.dtype else cast(x_bar, x.dtype)


def contracted(y_bar: Any, partial: Any, shape: tuple[int, ...]) -> Any:
    """y_bar * partial, summed over the axes in which an argument of `shape` was stretched, without the product in memory.

    >>> contracted(np.ones((2, 3)), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), (3,))
    array([5., 7., 9.])

    Only for double precision: the sum is a plain one, not NumPy's pairwise sum.
    """
    if partial.__class__ is not _ndarray or partial.shape != y_bar.shape or partial.dtype != y_bar.dtype or y_bar.dtype != _float64:
        return y_bar * partial
    axes = list(range(y_bar.ndim))
    kept = [axis for axis, length in zip(axes[y_bar.ndim - len(shape) :], shape, strict=True) if length == y_bar.shape[axis]]
    return np.einsum(y_bar, axes, partial, axes, kept).reshape(shape)


def transposed(primitive: Primitive, index: int, y_bar: Any, y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
    """`y_bar` carried back to argument `index` through a linear or a general primitive; None where nothing flows."""
    rules: Any = primitive.transpose
    if rules.__class__ is tuple and index < len(rules) and rules[index] is not None:  # linear: the kind says so too, but later
        return rules[index](y_bar, *xs, **params)
    kind = primitive.kind(index)
    if kind == "linear":
        return rules(index, y_bar, *xs, **params)
    if kind == "general":
        return _transposed_tangent(primitive, index, y_bar, y, xs, params)
    return None


def _transposed_tangent(primitive: Primitive, index: int, y_bar: Any, y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
    """Run a tangent rule on a tangent that is only a placeholder, and sweep the little graph that it leaves."""
    x = xs[index]
    x_dot = placeholder(x.shape, x.dtype, name="x_dot")
    x_dots = tuple(x_dot if place == index else None for place in range(len(xs)))
    y_dot = primitive.tangent(y, x_dots, *xs, **params)  # type: ignore[misc]
    nodes = ancestors([y_dot], since=x_dot.id)
    adjoints = sweep(nodes, {y_dot: y_bar}, active_nodes(nodes, [x_dot]), itself if isinstance(y, Node) else _value_if_any)
    return adjoints[x_dot]


def released(nodes: list[Node], active: set[Node]) -> Iterator[Node]:
    """`nodes` from the last to the first, letting go of each, so that its value's memory can serve the next adjoints."""
    while nodes:
        node = nodes.pop()
        yield node
        active.discard(node)


def _value_if_any(node: Node) -> Any:
    return node if node.value is None else node.value


def sweep(
    nodes: Any,
    adjoints: Adjoints,
    active: set[Node],
    primal: Callable[[Node], Any],
    *,
    keep: bool = False,
    record: Record | None = None,
    behind: set[Node] | None = None,
    release: bool = False,
) -> Adjoints:
    """Pull `adjoints` back through `nodes`, given in creation order, and return those of the leaves.

    `active` are the nodes through which a derivative can flow; `primal` gives the rules what they work on, the
    value of a node or the node itself; with `keep` the adjoints of all nodes are returned. `behind` collects the nodes
    behind a selection: what was not selected gets the adjoint 0, which stays 0 where the local partial is NaN or infinite.
    With `release` the list `nodes` is emptied on the way.
    """
    check = current_mode().anomaly
    behind = set() if behind is None else behind
    adjoint_of = adjoints.get
    # The loops are written out: on numbers a comprehension, `enumerate` or a needless call costs as much as the arithmetic.
    for node in released(nodes, active) if release else reversed(nodes):
        primitive = node.primitive
        y_bar = adjoint_of(node)
        if primitive is None or y_bar is None:
            continue
        args = node.args
        partials = primitive.partials
        selected = primitive.selects or (behind and node in behind)
        y = primal(node)
        xs = []
        for arg in args:
            xs.append(primal(arg) if isinstance(arg, Node) else arg)
        used = False
        index = -1
        for arg in args:
            index += 1
            if not isinstance(arg, Node) or arg not in active:
                continue
            x = xs[index]
            partial = None
            numbers = y_bar.__class__ is _float64 and x.__class__ is _float64  # which always fit
            if partials is not None:
                rule = partials[index]
                if rule is None:
                    continue
                if len(xs) == 1:  # spelled out, a call costs half of one with a star
                    partial = rule(y, x)
                elif len(xs) == 2:
                    partial = rule(y, xs[0], xs[1])
                else:
                    partial = rule(y, *xs)
                if partial.__class__ is int:  # summed before it is negated: there is less of it
                    term = product(y_bar if numbers else unbroadcast(y_bar, x), partial)
                else:
                    if selected:
                        term = bind("sheltered_product", y_bar, partial)
                    elif y_bar.__class__ is _ndarray and x.shape != y_bar.shape:
                        term = contracted(y_bar, partial, x.shape)
                    else:
                        term = y_bar * partial
                    if not numbers:
                        term = unbroadcast(term, x)
            else:
                try:
                    term = transposed(primitive, index, y_bar, y, xs, node.params)
                except np.linalg.LinAlgError as error:
                    raise derivative_failure(node, error) from error
                if term is None:
                    continue
                term = unbroadcast(term, x)
            before = adjoint_of(arg)
            adjoints[arg] = term if before is None else before + term
            used = True
            if selected:
                behind.add(arg)
            if check:
                check_finite(term, primitive, args, xs, node.origin, f"the adjoint through {primitive.name}")
            if record is not None:
                record(node, index, arg, partial, term)
        if used and not keep:
            del adjoints[node]
    return adjoints


def build(nodes: Sequence[Node], adjoints: Adjoints, active: set[Node], *, keep: bool = False) -> Adjoints:
    """`sweep` as graph: each new node belongs to the scope and the source line of its primal node."""
    behind: set[Node] = set()
    roles = Roles("bar", nodes, adjoints.values())
    for node in reversed(nodes):
        if node in adjoints:
            roles.give(adjoints[node], node)  # all its children have added their terms: this is the whole adjoint
            if node.primitive is not None:
                with mode_with(origin=derivative_origin(node.origin), scope=node.scope):
                    sweep((node,), adjoints, active, itself, keep=keep, behind=behind)
    return adjoints


def reverse(graph: Graph, of: Any = None, wrt: Any = None) -> Graph:
    """The adjoint graph: (x, y_bar) -> (y, x_bar).

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x1, x2: x1 * np.sin(x2), 2.0, 0.0)
    >>> adjoint = cg.reverse(graph)
    >>> [adjoint.names[node] for node in adjoint.inputs]
    ['x1', 'x2', 'v2_bar']
    >>> y, x1_bar, x2_bar = adjoint(2.0, 0.0, 1.0)
    >>> float(x1_bar), float(x2_bar)
    (0.0, 2.0)

    `of` chooses outputs and `wrt` inputs, by name, number or node. All chosen outputs of a joint graph are pulled
    in the one sweep, each by its own seed. The result is a graph again.
    """
    outputs = chosen(graph.outputs, graph.names, of, "output")
    inputs = chosen_inputs(graph, wrt)
    adjoints: Adjoints = {node: placeholder(node.shape, node.dtype, origin=node.origin) for node in outputs}
    seeds = list(adjoints.values())
    roles = {**graph.roles, **{adjoint: ("bar", node) for node, adjoint in adjoints.items()}}
    with mode_with(roles=roles):
        build(graph.nodes, adjoints, active_nodes(graph.nodes, inputs), keep=True)
    bars = [adjoints[node] if node in adjoints else constant(zeros_like(node)) for node in inputs]
    return Graph((*graph.inputs, *seeds), (*graph.outputs, *bars), name=f"{graph.name}_reverse", roles=roles)


def adjoints_of(outputs: list[Node], inputs: Sequence[Node], seeds: Sequence[Any], *, lift: bool, release: bool = False) -> list[Any]:
    """The adjoints of `inputs` for adjoints `seeds` of `outputs`: arrays, or nodes with `lift`. None is zero.

    With `release` the list `outputs` is emptied too: a caller who needs the graph no more frees it as the sweep goes.
    """
    nodes = ancestors(outputs, since=min((node.id for node in inputs), default=0))
    active = active_nodes(nodes, inputs)
    adjoints = _summed(outputs, seeds, active)
    if lift:
        build(nodes, adjoints, active)
    else:
        if release:
            outputs.clear()
        sweep(nodes, adjoints, active, value_of, release=release)
    return [adjoints.get(node) for node in inputs]


def _summed(outputs: Sequence[Node], seeds: Sequence[Any], active: set[Node]) -> Adjoints:
    """The seeds of the outputs that matter; one that is returned twice gets the sum of its two."""
    adjoints: Adjoints = {}
    for node, seed in zip(outputs, seeds, strict=True):
        if seed is not None and node in active:
            adjoints[node] = adjoints[node] + seed if node in adjoints else seed
    return adjoints


@provides("Node.backward")
def backward(node: Node, seed: Any = None, *, retain_all: bool = False) -> None:
    node.concrete("backward()")
    if seed is None:
        if node.shape:
            raise ShapeError(
                f"backward() from {describe(node)} at {describe_origin(caller())} needs a seed of shape {node.shape}: the "
                "adjoint of a number is 1, that of an array is yours to choose. Reduce it first, as in np.sum(y).backward(), "
                "or write y.backward(np.ones(y.shape))."
            )
        if node.dtype.kind == "c":
            raise InputError(
                f"backward() from {describe(node)} at {describe_origin(caller())}, a complex number, needs a seed: it has two "
                "real parts. Take np.real, np.imag or np.abs first, or write y.backward(1.0) where y is a holomorphic function."
            )
        seed = beside(node.dtype.type(1), node.value)
    elif isinstance(seed, Node):
        raise InputError(f"backward() takes numbers as its seed; for derivatives of derivatives write cg.grad(cg.grad(f)){here()}")
    else:
        seed = seeded(seed, node, describe(node))
    nodes = ancestors([node])
    kept = nodes if retain_all else [one for one in nodes if one.primitive is None or one.retains_grad]
    leaves = [leaf for leaf in kept if leaf.primitive is None]
    active = active_nodes(nodes, leaves)
    if node not in active:
        warnings.warn(
            f"backward() from {describe(node)}, through which no derivative reaches a variable: nothing gets a gradient",
            ZeroGradientWarning, stacklevel=stack_level(),
        )  # fmt: skip
        return
    adjoints = sweep(nodes, {node: seed}, active, value_of, keep=len(kept) > len(leaves))
    reached = [one for one in kept if one in adjoints]
    for one, adjoint in zip(reached, owned([adjoints[one] for one in reached], [seed]), strict=True):
        one.grad = adjoint if one.grad is None else one.grad + adjoint

"""Vector mode: many tangents or many adjoints in one pass over a derivative graph.

A derivative graph is run once with a leading batch axis on its seeds. What does not depend on a seed is shared by all
of them; what does carries the axis along, by the rule that its primitive states in `batch`. So a Jacobian is one pass,
and the sweeps know nothing of it (Griewank & Walther, 2008, section 3.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from compgraph.backend import together
from compgraph.graph import Node, Primitive, bind
from compgraph.modes import current_mode, mode_with


def run_batched(nodes: Iterable[Node], seeds: dict[Node, Any], outputs: Sequence[Node], *, lift: bool = False) -> list[Any]:
    """`outputs` for many seeds at once: each seed has a leading batch axis, and so has each result that one reaches.

    `nodes` come in creation order. A node that no seed reaches is used as it is, by its value or, with `lift`, as a
    node, so that the result is graph; such an output has no batch axis.

    >>> import compgraph as cg
    >>> x = cg.variable([1.0, 2.0])
    >>> seed = cg.constant(np.zeros(2))
    >>> y = np.sum(seed * x)
    >>> run_batched([y.args[0], y], {seed: np.eye(2)}, [y])
    [array([1., 2.])]
    """
    batched = dict(seeds)
    roles = current_mode().roles or {}
    for node in nodes:
        if node in batched or node.primitive is None:
            continue
        flags = tuple(isinstance(arg, Node) and arg in batched for arg in node.args)
        if any(flags):
            xs = [batched[arg] if flag else held(arg, lift) for arg, flag in zip(node.args, flags, strict=True)]
            if not lift:
                batched[node] = apply_batched(node.primitive, flags, xs, node.params)
                continue
            with mode_with(origin=node.origin, scope=node.scope):
                batched[node] = apply_batched(node.primitive, flags, xs, node.params)
            if node in roles and isinstance(batched[node], Node):
                roles.setdefault(batched[node], roles[node])
    return [batched[node] if node in batched else held(node, lift) for node in outputs]


def held(arg: Any, lift: bool) -> Any:
    """What stands for an argument without a batch axis: the node, or its value."""
    return arg if lift or not isinstance(arg, Node) or arg.value is None else arg.value


def apply_batched(primitive: Primitive, flags: Sequence[bool], xs: Sequence[Any], params: dict[str, Any]) -> Any:
    """One primitive on arguments of which the flagged ones have a leading batch axis; the result has one too."""
    xs = together(xs)
    if primitive.batch is not None:
        return primitive.batch(flags, *xs, **params)
    size = next(x.shape[0] for x, flag in zip(xs, flags, strict=True) if flag)
    each = [bind(primitive, *[x[place] if flag else x for x, flag in zip(xs, flags, strict=True)], **params) for place in range(size)]
    return np.stack(each)

"""The passes that `compile` runs, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.contraction import contract_products
from compgraph.graph import PRIMITIVES, Graph, Node, bind
from compgraph.identities import apply_identities
from compgraph.layout import cancel_layouts, gather_slices
from compgraph.loop import SCAN
from compgraph.loop_batching import compute_before, sum_outer_products
from compgraph.loop_passes import improve_loops, map_bodies
from compgraph.rescaling import expand_powers, factor_sums, fold_scalars, share_products, share_reciprocals
from compgraph.simplification import rewritten, simplify


def expand_composites(graph: Graph) -> Graph:
    """Operations whose code calls several functions as these functions.

    >>> import numpy as np, compgraph as cg
    >>> print(expand_composites(cg.trace(lambda x: cg.sigmoid(x), np.zeros(3))))
    f(x):
        v1 = minimum(x, 0)
        v2 = exp(v1)
        v3 = abs(x)
        v4 = -v3
        v5 = exp(v4)
        v6 = 1 + v5
        v7 = v2 / v6
        return v7

    Exact: the code itself is run on the nodes. What it cannot be run on, since it looks at values, stays whole.
    """
    whole: set[object] = set()

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        primitive = node.primitive
        if primitive is not None and primitive.name == "mean":
            return _mean(node, args)
        if not composite(node) or primitive in whole:
            return None
        if primitive is None or primitive.name not in PRIMITIVES:  # a function of the user's own, or a loop
            return None
        try:
            result = primitive.evaluate(*args, **node.params)
        except Exception:  # whatever it does that nodes cannot: it stays as it is
            whole.add(primitive)
            return None
        return result if isinstance(result, Node) and (result.shape, result.dtype) == (node.shape, node.dtype) else None

    return rewritten(graph, replace) if any(map(composite, graph.nodes)) else graph


def drop_stops(graph: Graph) -> Graph:
    """Leave out the `stop_gradient` nodes, which compute nothing; for graphs that will not be differentiated any more."""
    stop = PRIMITIVES["stop_gradient"]
    if all(node.primitive is not stop for node in graph.nodes):
        return graph
    return rewritten(graph, lambda node, args: args[0] if node.primitive is stop else None)


def composite(node: Node) -> bool:
    """Whether the line's code calls more than one function."""
    primitive = node.primitive
    return primitive is not None and (primitive.helper is not None or primitive.code.count("xp.") > 1 or primitive.name == "mean")


def _mean(node: Node, args: tuple[Any, ...]) -> Node | None:
    """A sum and a quotient, which is what np.mean does itself; in half precision it goes by way of single."""
    (x,) = args
    count = x.size // max(node.size, 1)
    if node.dtype not in (np.float32, np.float64) or not 0 < count < 2**24 or x.dtype != node.dtype:
        return None
    total: Node = bind("sum", x, **node.params)
    return total / count


def optimize(graph: Graph, *, exact: bool = False) -> Graph:
    """`graph` with less to compute.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(cg.grad(lambda x: np.mean(x * x * 3.0)), np.zeros(4))
    >>> print(optimize(graph))
    f(x):
        x_bar = x * 1.5
        return x_bar

    With `exact` every value stays as it is to the bit; otherwise sums may be taken in another order, factors gathered and
    quotients shared, which changes last digits. The modules of the passes say by how much. Composites are taken
    apart, so differentiate before: the stable derivative of `logsumexp` is its own rule.
    """
    graph = improve_loops(graph)
    if not exact and _loops_over_arrays(graph):
        graph = improve_loops(compute_before(sum_outer_products(graph)))
    graph = map_bodies(graph, lambda body: optimize(body, exact=exact))
    graph = apply_identities(simplify(drop_stops(graph)))  # which knows what needs no shelter from NaN
    graph = apply_identities(simplify(expand_composites(graph)))
    graph = gather_slices(cancel_layouts(graph))
    if not exact:
        graph = factor_sums(share_products(share_reciprocals(fold_scalars(expand_powers(contract_products(graph))))))
    return cancel_layouts(apply_identities(simplify(graph)))


def _loops_over_arrays(graph: Graph) -> bool:
    """Whether a turn of a loop computes with arrays: there one large product saves many small ones."""
    bodies = [node.params["body"] for node in graph.nodes if node.primitive is SCAN]
    return any(node.shape for body in bodies for node in body.nodes)

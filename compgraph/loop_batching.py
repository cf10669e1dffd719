"""Passes that take work out of a loop which is done better for all its turns at once. They round differently.

`sum_outer_products` comes first, then `compute_before`, both on what `improve_loops` has left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compgraph.batching import run_batched
from compgraph.graph import PRIMITIVES, Graph, Node, ancestors, bind, constant, placeholder
from compgraph.loop import SCAN, copied, dependent, loop_parts, moved_roles, part_number
from compgraph.loop_derivatives import VIEWS
from compgraph.loop_passes import has_loops, hoist_invariants, loop_again, needed_for, prune_loops, without
from compgraph.simplification import rewritten

# ------------------------------------------------------------------------------ all turns at once


def compute_before(graph: Graph) -> Graph:
    """What depends on no carry, computed for all turns at once before the loop, by the batch rules of vector mode.

    >>> import compgraph as cg
    >>> step = lambda h, x: (np.tanh(h) + np.exp(x), None)
    >>> print(compute_before(cg.trace(lambda xs: cg.scan(step, 0.0, xs)[0], np.zeros(1000))))
    f(xs):
        v1 = exp(xs)
        v2 = scan(body, 0, v1) x 1000
        v3 = v2[0]
        return v3

    Inexact: a product of matrices rounds differently than its rows one by one. The rows of all turns are kept.
    """

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if node.primitive is not SCAN or not node.params["length"]:
            return None
        body, carries, sequences = node.params["body"], node.params["carries"], node.params["sequences"]
        slices, constants = body.inputs[carries : carries + sequences], body.inputs[carries + sequences :]
        nodes, read = _early(body, carries, slices)
        if not nodes:
            return None
        start = constant(0.0).id
        found = run_batched(nodes, dict(zip(slices, args[carries : carries + sequences], strict=True)), read, lift=True)
        values: dict[Node, Any] = dict(zip(constants, args[carries + sequences :], strict=True))
        copied(ancestors([one for one in found if isinstance(one, Node)], since=start), values)
        rows = [values.get(one, one) if isinstance(one, Node) else one for one in found]
        new: dict[Node, Any] = {one: placeholder(one.shape, one.dtype, one.name, one.origin) for one in read}
        copied(body.nodes, new)
        outputs = [new.get(one, one) for one in body.outputs]
        inputs = [*body.inputs[: carries + sequences], *(new[one] for one in read), *constants]
        wider = Graph(inputs, outputs, name=body.name, roles=moved_roles(body.roles, new))
        both = [*args[: carries + sequences], *rows, *args[carries + sequences :]]
        loop = loop_again(node, both, body=wider, sequences=sequences + len(read))
        return without(loop, loop.args, list(range(len(outputs))))

    return hoist_invariants(rewritten(graph, replace)) if has_loops(graph) else graph


def _early(body: Graph, carries: int, slices: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """The nodes that can be computed for all turns at once, and those of them that the loop itself reads; both empty for no gain."""
    late = dependent(body.nodes, body.inputs[:carries])
    turning = dependent(body.nodes, slices)
    early: set[Node] = set()
    for node in body.nodes:
        args = [arg for arg in node.args if isinstance(arg, Node)]
        known = all(arg in early or arg in slices or arg not in turning for arg in args)
        if node in turning and node not in late and known and node.primitive is not None and node.primitive.batch is not None:
            outer = node.primitive.partials is not None and node.size > 2 * max(arg.size for arg in args)
            if not outer:  # an outer product is small only as long as it is not kept for all turns
                early.add(node)
    readers = [arg for node in body.nodes if node not in early for arg in node.args if isinstance(arg, Node)]
    read = [node for node in dict.fromkeys((*readers, *body.outputs)) if node in early]
    needed = needed_for(body, read) & early
    if all(node.primitive.name in VIEWS for node in needed):  # type: ignore[union-attr]
        return [], []
    return [node for node in body.nodes if node in needed], read


# -------------------------------------------------------------------------------- sums of outer products


def sum_outer_products(graph: Graph) -> Graph:
    """The adjoint of a weight matrix, a sum of outer products over the turns, as one product of matrices behind the loop.

    >>> import compgraph as cg
    >>> f = lambda w: np.sum(cg.fori(0, 9, lambda i, h: np.tanh(w @ h), np.ones(3)))
    >>> from compgraph.loop_passes import improve_loops
    >>> graph = improve_loops(cg.trace(cg.grad(f), np.eye(3)))
    >>> [max(node.params["carries"] for node in one.nodes if node.primitive is SCAN) for one in (graph, sum_outer_products(graph))]
    [2, 1]

    Inexact: the terms are added in another order. It keeps the factors of all turns, of which most are at hand.
    """
    found = {node: sums for node in graph.nodes if node.primitive is SCAN and (sums := _outer_sums(graph, node))}
    totals: dict[Node, dict[int, Any]] = {}

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if node in found:
            body, first = node.params["body"], len(node.params["body"].outputs)
            at_hand = dict(zip(body.inputs, args, strict=True))
            kept = list(dict.fromkeys(factor for pair in found[node].values() for factor in pair if factor not in at_hand))
            wider = Graph(body.inputs, [*body.outputs, *kept], name=body.name, roles=body.roles)
            loop = loop_again(node, args, body=wider)
            rows = at_hand | {factor: part.read(loop) for factor, part in zip(kept, loop_parts(loop)[first:], strict=True)}
            totals[node] = {
                place: args[place] + np.matmul(np.transpose(_matrix(rows[left])), _matrix(rows[right]))
                for place, (left, right) in found[node].items()
            }  # fmt: skip
            return loop
        if node.args and isinstance(node.args[0], Node) and node.args[0] in found:
            number = part_number(node, node.args[0])
            total = totals[node.args[0]].get(number) if number is not None else None
            return None if total is None else bind("reshape", total, shape=node.shape)
        return None

    return prune_loops(rewritten(graph, replace)) if found else graph


def _matrix(rows: Any) -> Any:
    """The factors of all turns, of shape (turns, entries)."""
    return rows if rows.ndim == 2 else np.reshape(rows, (rows.shape[0], -1))


def _outer_sums(graph: Graph, loop: Node) -> dict[int, tuple[Node, Node]]:
    """The carries that only sum outer products u v^T, each with its u and its v; none where the flat vector is read as such."""
    if loop in graph.outputs or any(part_number(node, loop) is None for node in graph.nodes if any(arg is loop for arg in node.args)):
        return {}
    body, carries = loop.params["body"], loop.params["carries"]
    reads: dict[Node, int] = {}
    for node in body.nodes:
        for arg in node.args:
            if isinstance(arg, Node):
                reads[arg] = reads.get(arg, 0) + 1
    sums = {}
    for place, (total, following) in enumerate(zip(body.inputs[:carries], body.outputs, strict=False)):
        if following.primitive is not PRIMITIVES["add"] or reads.get(total) != 1 or total.dtype != loop.dtype:
            continue
        term = next((arg for arg, other in zip(following.args, following.args[::-1], strict=True) if other is total), None)
        if total.ndim == 2 and isinstance(term, Node) and term.primitive is PRIMITIVES["multiply"]:
            column, row = sorted(term.args, key=lambda arg: np.shape(arg)[-1:] != (1,))
            outer = np.shape(column) == (total.shape[0], 1) and np.shape(row) in (total.shape[-1:], (1, *total.shape[-1:]))
            if outer and all(isinstance(arg, Node) and arg.dtype == total.dtype for arg in term.args):
                sums[place] = _flat(column), _flat(row)
    not_cut = {*body.inputs[:carries], *body.inputs[carries + loop.params["sequences"] :]}
    return {place: pair for place, pair in sums.items() if not not_cut.intersection(pair)}


def _flat(factor: Node) -> Node:
    """A vector, without the reshape that makes a column or a row of it."""
    return factor.args[0] if factor.primitive is PRIMITIVES["reshape"] and factor.args[0].ndim == 1 else factor

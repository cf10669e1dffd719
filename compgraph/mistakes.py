"""Which mistake turns a right derivation into a wrong result: every one is made on purpose, and compared.

A derivative is a sum over ways, of products of local partials. So a person forgets a factor, a way, or the sign of one;
each is tried, edge by edge, on the graph of the function.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from compgraph.evaluation import EvaluationTrace
from compgraph.formulas import formula
from compgraph.graph import Graph, Node, active_nodes
from compgraph.nonfinite import evaluated
from compgraph.numerical import Array
from compgraph.origins import describe_origin
from compgraph.reverse_mode import sweep

EDGES = 200  # of a graph, up to which each is tried
SIMPLE = 1e-6  # how near a multiple has to be to count as it


class Edge(NamedTuple):
    """A way from a node back to one of its arguments."""

    child: Node
    arg: Node


def explained(samples: Any, arrays: list[Array], place: int) -> tuple[str, str] | None:
    """The verdict and the hint for adjoints `arrays` of argument `place`, one a sample; None where no mistake fits."""
    right = [one[place] for one in samples.right]
    if samples.graph is not None:
        derivation = Derivation(samples, place, right)
        if len(derivation.edges) <= EDGES:
            found = derivation.missing_term(arrays) or derivation.missing_factor(arrays) or derivation.other_term(arrays)
            if found is not None:
                return found
    return _simple_factor(samples, arrays, right)


class Derivation:
    """The right derivation of the adjoints of one input, of which parts can be left out."""

    def __init__(self, samples: Any, place: int, right: list[Array]) -> None:
        self.graph: Graph = samples.graph
        self.x = self.graph.inputs[place]
        self.points = [(evaluated(self.graph, point.xs), point.y_bar) for point in samples.points]
        self.right = right
        self.active = active_nodes(self.graph.nodes, [self.x])
        self.edges = list(dict.fromkeys(self._all_edges()))
        self.idle: set[Edge] = set()  # on which nothing depends, as on the shift of a softmax: a person leaves them out
        shares = {edge: self._share({edge}) for edge in self.edges} if len(self.edges) <= EDGES else {}
        self.idle = {edge for edge, share in shares.items() if _vanishes(share, right)}
        self.edges = [edge for edge in self.edges if edge not in self.idle]

    def _all_edges(self) -> Iterator[Edge]:
        for child in self.graph.nodes:
            if child in self.active and child.primitive is not None and child.primitive.differentiable:
                yield from (Edge(child, arg) for arg in child.args if isinstance(arg, Node) and arg in self.active)

    def adjoints(self, cut: set[Edge], bare: Edge | None = None) -> list[Array]:
        """The adjoints of the input without the edges `cut`, and with a local partial of 1 on the edge `bare`."""
        return [self._swept(values, y_bar, cut | self.idle, bare) for values, y_bar in self.points]

    def _swept(self, values: dict[Node, Any], y_bar: Any, cut: set[Edge], bare: Edge | None) -> Array:
        adjoints: dict[Node, Any] = {self.graph.outputs[0]: y_bar}
        with np.errstate(all="ignore"):
            for node in reversed(self.graph.nodes):
                if node not in adjoints or node.primitive is None:
                    continue
                open_ = {arg for arg in node.args if isinstance(arg, Node) and arg in self.active and Edge(node, arg) not in cut}
                if bare is None or bare.child is not node:
                    sweep((node,), adjoints, open_, values.__getitem__, keep=True)
                else:
                    stand_in = _bare(bare)
                    adjoints[stand_in] = adjoints[node]
                    sweep((stand_in,), adjoints, open_, {**values, stand_in: values[node]}.__getitem__, keep=True)
        return np.asarray(adjoints.get(self.x, np.zeros(self.x.shape)), dtype=np.float64)

    def _share(self, edges: set[Edge]) -> list[Array]:
        """What flows over the edges."""
        return [true - one for true, one in zip(self.right, self.adjoints(edges), strict=True)]

    # The mistakes.

    def missing_term(self, arrays: list[Array]) -> tuple[str, str] | None:
        """A way that was left out, or taken with the wrong sign."""
        multiples = dict(self._multiples(arrays))
        for times, verdict, said in ((-1.0, "missing term", "lacks"), (-2.0, "wrong term", "has the wrong sign in")):
            for edge in multiples:
                if multiples[edge] == times:
                    return verdict, f"{said} the term of {self._way(edge)}"
        return None

    def other_term(self, arrays: list[Array]) -> tuple[str, str] | None:
        for edge, times in self._multiples(arrays):
            return "wrong term", f"takes {1 + times:.6g} times the term of {self._way(edge)}"
        return None

    def _multiples(self, arrays: list[Array]) -> Iterator[tuple[Edge, float]]:
        """The edges whose share of the sum, times a number, is all that is wrong, with that number."""
        off = np.concatenate([(one - true).ravel() for one, true in zip(arrays, self.right, strict=True)])
        for edge in self.edges:
            share = np.concatenate([one.ravel() for one in self._share({edge})])
            unit = float(abs(share).max(initial=0.0))
            if not unit:
                continue
            times = float(off / unit @ (share / unit)) / float(share / unit @ (share / unit))  # squares of tiny numbers vanish
            if np.all(abs(off - times * share) <= SIMPLE * max(abs(off).max(), abs(times * share).max())):
                yield edge, round(times, 6)

    def _way(self, edge: Edge) -> str:
        rule = formula(edge.child, self.graph.names.__getitem__)
        return f"the way from {self.graph.names[edge.child]} = {rule} back to {self.graph.names[edge.arg]}{_at(edge)}"

    def missing_factor(self, arrays: list[Array]) -> tuple[str, str] | None:
        """A local partial that was left out."""
        for edge in self.edges:
            if edge.child.primitive.partials is None or edge.child.shape != edge.arg.shape:  # type: ignore[union-attr]
                continue
            tried = self.adjoints(set(), edge)
            for sign, word in ((1.0, ""), (-1.0, ", and has the wrong sign")):
                if _close(arrays, [sign * one for one in tried]):
                    trace = EvaluationTrace(self.graph, "primal", self.points[0][0])
                    child, arg = self.graph.names[edge.child], self.graph.names[edge.arg]
                    factor = f"d{child}/d{arg} = {trace.partial_text(edge.child, edge.child.args.index(edge.arg))}"
                    rule = formula(edge.child, self.graph.names.__getitem__)
                    return "missing factor", f"forgot the chain: lacks the factor {factor}, of {child} = {rule}{_at(edge)}{word}"
        return None


def _bare(edge: Edge) -> Node:
    """The child of an edge with a local partial of 1."""
    changed = copy.copy(edge.child.primitive)
    assert changed is not None and changed.partials is not None
    pairs = zip(edge.child.args, changed.partials, strict=False)
    changed.partials = tuple((lambda y, *xs: 1) if arg is edge.arg else rule for arg, rule in pairs)
    return Node(changed, edge.child.args, edge.child.params, None, aval=(edge.child.shape, edge.child.dtype))


def _vanishes(share: list[Array], right: list[Array]) -> bool:
    return all(np.all(abs(one) <= 1e-12 * max(float(abs(true).max(initial=0.0)), 1e-300)) for one, true in zip(share, right, strict=True))


def _close(arrays: list[Array], others: list[Array]) -> bool:
    return all(
        np.all(abs(one - other) <= SIMPLE * max(float(abs(one).max(initial=0.0)), float(abs(other).max(initial=0.0)), 1e-300))
        for one, other in zip(arrays, others, strict=True)
    )


def _at(edge: Edge) -> str:
    place = describe_origin(edge.child.origin)
    return f" ({place})" if place else ""


# ------------------------------------------------------------------------------------- by simple factors


def _simple_factor(samples: Any, arrays: list[Array], right: list[Array]) -> tuple[str, str] | None:
    """A factor made of one argument or of the result that an elementwise rule has too many or too few."""
    for name, factors in _candidates(samples):
        if any(np.shape(factor) != one.shape for factor, one in zip(factors, arrays, strict=True)):
            continue
        for sign, minus in ((1.0, ""), (-1.0, ", and has the wrong sign")):
            if _close([sign * one * factor for one, factor in zip(arrays, factors, strict=True)], right):
                return "missing factor", f"lacks the factor {name}{minus}"
            if _close([sign * one for one in arrays], [one * factor for one, factor in zip(right, factors, strict=True)]):
                return "wrong factor", f"has the factor {name} too many{minus}"
    return None


def _candidates(samples: Any) -> Iterator[tuple[str, list[Any]]]:
    quantities = [("y", [point.y for point in samples.points])]
    quantities += [(samples.names[place], [point.xs[place] for point in samples.points]) for place in samples.moving]
    with np.errstate(all="ignore"):
        for name, values in quantities:
            arrays = [np.asarray(value, dtype=np.float64) for value in values]
            for times in (1, 2):
                for label, change in (
                    (name, lambda v: v), (f"{name}**2", lambda v: v**2), (f"(1 - {name})", lambda v: 1 - v),
                    (f"(1 + {name})", lambda v: 1 + v), (f"(1 - {name}**2)", lambda v: 1 - v**2), (f"1/{name}", lambda v: 1 / v),
                ):  # fmt: skip
                    yield f"{times} * {label}" if times > 1 else label, [times * change(value) for value in arrays]

"""Passes keep every value to the bit, make the graph smaller, and leave names, roles and origins in place."""

from __future__ import annotations

import numpy as np
import pytest

import compgraph as cg
from compgraph.simplification import drop_identities, fold_constants, share_common_subexpressions, simplify

PASSES = [share_common_subexpressions, fold_constants, drop_identities, simplify]


def mixed(x, w):
    h = np.tanh(w @ x)
    return np.sum(h * h) + np.sum(np.tanh(w @ x)[0] * x[0]) + cg.constant(2.0) * np.exp(cg.constant(0.0))


POINT = (np.array([0.3, -0.7]), np.array([[1.0, 2.0], [-0.5, 0.25]]))


@pytest.mark.parametrize("one", PASSES)
@pytest.mark.parametrize("transform", [lambda graph: graph, cg.forward, cg.reverse, lambda graph: cg.reverse(cg.reverse(graph))])
def test_values_are_the_same_to_the_bit(one, transform):
    graph = cg.typecheck(transform(cg.trace(mixed, *POINT)))
    rng = np.random.default_rng(0)
    values = [rng.normal(size=node.shape) for node in graph.inputs]
    after = cg.typecheck(one(graph))
    assert len(after.nodes) <= len(graph.nodes)
    for before, now in zip(graph.run(values), after.run(values), strict=True):
        np.testing.assert_array_equal(before, now)


def test_sharing_is_by_meaning_not_by_look():
    def f(x):
        return (x + 1) * (x + 1.0) + x[0:2].sum() + x[0:3].sum() + x[0:2].sum() + (0.0 * x[0]) + (-0.0 * x[0])

    graph = share_common_subexpressions(cg.trace(f, np.zeros(3)))
    names = [node.primitive.name for node in graph.nodes if node.primitive]
    assert names.count("sum") == 2, "x[0:2] and x[0:3] differ, two x[0:2] do not"
    ones = [node for node in graph.nodes[1:] if node.primitive.name == "add" and not isinstance(node.args[1], cg.Node)]
    assert [type(node.args[1]) for node in ones] == [int, float], "1 and 1.0 are different constants"
    assert names.count("multiply") == 3, "0.0 and -0.0 are different constants"


def test_folding_reaches_through_chains_of_constants():
    graph = cg.trace(lambda x: x * np.exp(np.log(cg.constant(3.0)) * 2.0), 1.0)
    folded = fold_constants(graph)
    assert [node.primitive and node.primitive.name for node in folded.nodes] == [None, "constant", "multiply"]


def test_names_and_roles_survive():
    graph = simplify(cg.reverse(cg.parse("sin(x) * x")))
    assert [graph.names[node] for node in graph.inputs] == ["x", "v2_bar"]
    assert graph.names[graph.outputs[1]] == "x_bar"


def test_origin_and_scope_survive():
    def f(x):
        with cg.scope("layer"):
            return np.sin(x) + np.sin(x)

    graph = cg.trace(f, 1.0)
    shared = share_common_subexpressions(graph)
    assert [node.scope for node in shared.nodes[1:]] == ["layer", "layer"]
    assert shared.nodes[1].origin == graph.nodes[1].origin


def test_containers_of_outputs_survive():
    graph = simplify(cg.trace(lambda x: {"a": x + 1, "b": (x + 1) * 2}, 1.0))
    assert graph(1.0) == {"a": 2.0, "b": 4.0}

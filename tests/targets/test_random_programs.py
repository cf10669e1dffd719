"""Random programs and their gradients, compiled by every target, give what the engine gives."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from test_random_graphs import EVERYTHING, SMOOTH, Program, directions, leaves, random_programs

import compgraph as cg
from compgraph.passes import optimize
from compgraph.targets import numpy_target


def derivatives(program: Program) -> list[tuple[cg.Graph, list[Any]]]:
    """The graph, its tangent graph and its adjoint graph, each with arguments."""
    graph = program.trace()
    inputs = list(program.inputs)
    outputs = list(dict.fromkeys(graph.outputs))
    seeds = directions([np.empty(node.shape) for node in outputs], 2)
    return [
        (graph, inputs), (cg.forward(graph), [*inputs, *directions(inputs, 1)]), (cg.reverse(graph), [*inputs, *seeds]),
    ]  # fmt: skip


def assert_close(found: Any, wanted: Any, tolerance: float, terms: float) -> None:
    for one, other in zip(leaves(found), leaves(wanted), strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * max(terms, float(np.max(np.abs(other), initial=0.0))))


@given(random_programs(EVERYTHING))
@settings(max_examples=100)
def test_exact_passes_and_planned_memory_change_no_bit(program: Program) -> None:
    """But for the signs of zeros that `gather_slices` keeps, and sums of moved arrays, which NumPy takes in their new order."""
    with mock.patch.object(numpy_target, "SMALLEST_BUFFER", 1):
        for graph, values in derivatives(program):
            wanted = graph.run(values)
            for one in (graph, cg.simplify(graph)):
                found = numpy_target.build(one, exact=True).function(*values)
                for mine, other in zip(found, wanted, strict=True):
                    np.testing.assert_array_equal(mine, other)
            assert_close(numpy_target.build(optimize(graph, exact=True), exact=True).function(*values), tuple(wanted), 1e-13, 1.0)


@given(random_programs(EVERYTHING))
@settings(max_examples=100)
def test_compiled_for_numpy(program: Program) -> None:
    for graph, values in derivatives(program):
        compiled = cg.compile(lambda *xs, graph=graph: graph(*xs))
        wanted = graph(*values)
        for _ in range(2):
            assert_close(compiled(*values), wanted, 1e-11, 1.0)


@given(random_programs({name: SMOOTH[name] for name in SMOOTH}, shapes=[()]))
@settings(max_examples=100)
def test_numbers(program: Program) -> None:
    for graph, values in derivatives(program):
        compiled = cg.compile(lambda *xs, graph=graph: graph(*xs))
        found = compiled(*map(float, values))
        assert all(type(one) is float for one in leaves(found))
        assert_close(found, graph(*values), 1e-11, 1.0)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed: pip install 'compgraph[fast]'")
@given(random_programs(EVERYTHING))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_compiled_by_numba(program: Program) -> None:
    for graph, values in derivatives(program):
        compiled = cg.compile(lambda *xs, graph=graph: graph(*xs), target="numba")
        assert_close(compiled(*values), graph(*values), 1e-10, 1.0)

"""The tangent sweep: as graph, eager, for chosen inputs, of joint graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.forward_mode import product, push
from compgraph.graph import PRIMITIVES, Node


def textbook(x1: Any, x2: Any) -> Any:
    ratio = x1 / x2
    return (np.exp(ratio) + ratio) * (ratio - np.log(x2))


def survey(x1: Any, x2: Any) -> Any:
    return np.log(x1) + x1 * x2 - np.sin(x2)


def test_textbook_example() -> None:
    tangent = cg.typecheck(cg.forward(cg.trace(textbook, 0.5, 1.0)))
    assert tangent(0.5, 1.0, 1.0, 0.0) == pytest.approx((1.0743606, 3.4730819), abs=5e-8)
    assert tangent(0.5, 1.0, 0.0, 1.0) == pytest.approx((1.0743606, -3.8852622), abs=5e-8)
    assert cg.jvp(textbook, (0.5, 1.0), (1.0, 0.0)) == pytest.approx((1.0743606, 3.4730819), abs=5e-8)


def test_survey_example() -> None:
    """Baydin et al. (2018), table 2: every row of the tangent column for x1_dot = 1."""
    graph = cg.trace(survey, 2.0, 5.0)
    tangent = cg.typecheck(cg.forward(graph))
    rows = cg.Graph(tangent.inputs, [node for node in tangent.nodes if node.primitive is not None])
    values = dict(zip((tangent.names[node] for node in rows.outputs), rows(2.0, 5.0, 1.0, 0.0), strict=True))
    primal = {"v1": np.log(2.0), "v2": 10.0, "v3": np.log(2.0) + 10.0, "v4": np.sin(5.0), "v5": 11.652071455223084}
    tangents = {"v1_dot": 0.5, "v2_dot": 5.0, "v3_dot": 5.5, "v4_dot": 0.0, "v5_dot": 5.5}
    assert {name: values[name] for name in (*primal, *tangents)} == pytest.approx({**primal, **tangents})


def test_seeds_come_after_the_inputs_and_tangents_after_the_outputs() -> None:
    tangent = cg.forward(cg.trace(survey, 2.0, 5.0))
    assert [tangent.names[node] for node in tangent.inputs] == ["x1", "x2", "x1_dot", "x2_dot"]
    assert [tangent.names[node] for node in tangent.outputs] == ["v5", "v5_dot"]
    assert tangent.name == "survey_forward"


def test_for_a_chosen_input() -> None:
    graph = cg.trace(survey, 2.0, 5.0)
    for which in ("x2", 1, graph.inputs[1], ["x2"], ("x2", 1)):
        tangent = cg.typecheck(cg.forward(graph, wrt=which))
        assert [tangent.names[node] for node in tangent.inputs] == ["x1", "x2", "x2_dot"]
        assert tangent(2.0, 5.0, 1.0)[1] == pytest.approx(1.7163378145)
    no_sine = cg.forward(graph, wrt="x1")
    assert "cos" not in {node.primitive.name for node in no_sine.nodes if node.primitive}


def test_a_joint_graph_pushes_all_outputs_in_one_sweep() -> None:
    graph = cg.trace(lambda x, y: (x * y, np.sin(x * y), y), 2.0, 3.0)
    tangent = cg.typecheck(cg.forward(graph))
    assert len(tangent.outputs) == 6
    values = tangent(2.0, 3.0, 1.0, 0.0)
    assert values == pytest.approx((6.0, np.sin(6.0), 3.0, 3.0, 3 * np.cos(6.0), 0.0))


def test_an_output_that_is_an_input_and_one_that_does_not_depend() -> None:
    graph = cg.trace(lambda x, y: (x, y, x > y), 2.0, 3.0)
    tangent = cg.typecheck(cg.forward(graph, wrt="x"))
    x, y, larger, x_dot, y_dot, larger_dot = tangent(2.0, 3.0, 7.0)
    assert (x, y, larger) == (2.0, 3.0, False)
    assert (x_dot, y_dot, larger_dot) == (7.0, 0.0, False)


def test_integer_inputs_have_no_tangent() -> None:
    graph = cg.trace(lambda n, x: n * x, np.arange(3), 2.0)
    tangent = cg.typecheck(cg.forward(graph))
    assert [tangent.names[node] for node in tangent.inputs] == ["n", "x", "x_dot"]
    np.testing.assert_array_equal(tangent(np.arange(3), 2.0, 1.0)[1], [0.0, 1.0, 2.0])


def test_a_tangent_has_the_shape_and_dtype_of_its_primal() -> None:
    graph = cg.trace(lambda x, y: x + y, np.float32(1.0), np.ones((2, 3)))
    for which in ("x", "y"):
        tangent = cg.typecheck(cg.forward(graph, wrt=which))
        assert all(node.shape == (2, 3) and node.dtype == np.float64 for node in tangent.outputs)
    kept = cg.forward(cg.trace(lambda x: 2.0 * np.maximum(x, 0.5) ** 2, np.ones(2, np.float32)))
    assert {node.dtype for node in kept.outputs} == {np.dtype(np.float32)}


def test_a_derivative_of_a_derivative_is_a_graph() -> None:
    graph = cg.trace(lambda x: x**3, 2.0)
    second = cg.typecheck(cg.forward(cg.typecheck(cg.forward(graph))))
    third = cg.typecheck(cg.forward(second))
    assert second(2.0, 1.0, 1.0, 0.0)[3] == 12.0
    assert third(2.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0)[-1] == 6.0
    assert len({third.names[node] for node in third.nodes}) == len(third.nodes)


def test_tangents_carry_the_line_of_their_primal() -> None:
    graph = cg.trace(survey, 2.0, 5.0)
    tangent = cg.forward(graph)
    for node, (kind, primal) in tangent.roles.items():
        assert kind == "dot"
        assert tangent.names[node] == f"{tangent.names[primal]}_dot"
        assert node.origin == primal.origin or node.origin is None


def test_a_structural_zero_is_none() -> None:
    multiply, sign = PRIMITIVES["multiply"], PRIMITIVES["sign"]
    one = np.float64(1.0)
    assert push(multiply, one, (one, one), (None, None), {}) is None
    assert push(sign, one, (one,), (one,), {}) is None
    assert push(multiply, np.float64(6.0), (np.float64(2.0), np.float64(3.0)), (None, one), {}) == 2.0


def test_partials_of_one_cost_nothing() -> None:
    x_dot = np.ones(2)
    assert product(1, x_dot) is x_dot
    assert product(x_dot, 1) is x_dot
    graph = cg.trace(lambda x, y: x + y - x, 1.0, 2.0)
    names = [node.primitive.name for node in cg.forward(graph).nodes if node.primitive]
    assert "multiply" not in names


def test_pushing_writes_into_nothing() -> None:
    x, x_dot = np.ones(3), np.array([1.0, 2.0, 3.0])
    y, y_dot = cg.jvp(lambda t: t, (x,), (x_dot,))
    y[:] = y_dot[:] = 9.0
    assert not np.any(x == 9.0)
    assert not np.any(x_dot == 9.0)
    outputs = cg.jvp(lambda t: (t + 0, t * 1, np.broadcast_to(t, (2, 3))), (x,), (x_dot,))[1]
    for output in outputs:
        output += 1.0  # none is a read-only view, none shares memory
    np.testing.assert_array_equal(outputs[0], [2.0, 3.0, 4.0])
    np.testing.assert_array_equal(outputs[1], [2.0, 3.0, 4.0])
    np.testing.assert_array_equal(outputs[2], np.broadcast_to([2.0, 3.0, 4.0], (2, 3)))


def test_order_is_deterministic() -> None:
    def text() -> str:
        return str(cg.forward(cg.trace(textbook, 0.5, 1.0)))

    assert text() == text()


def test_nodes_of_values_build_graph() -> None:
    x = cg.variable(2.0)
    _, y_dot = cg.jvp(lambda t: t**3, (x,), (1.0,))
    assert isinstance(y_dot, Node)
    y_dot.backward()
    assert (y_dot.value, x.grad) == (12.0, 12.0)

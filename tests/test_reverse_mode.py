"""The adjoint sweep: as graph, eager by `backward`, for chosen outputs, of joint graphs; what it keeps and shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_forward_mode import survey, textbook

import compgraph as cg
from compgraph.reverse_mode import unbroadcast

# --------------------------------------------------------------------------------------- adjoint graphs


def test_textbook_example() -> None:
    adjoint = cg.typecheck(cg.reverse(cg.trace(textbook, 0.5, 1.0)))
    assert adjoint(0.5, 1.0, 1.0) == pytest.approx((1.0743606, 3.4730819, -3.8852622), abs=5e-8)
    x1, x2 = cg.variable(0.5), cg.variable(1.0)
    textbook(x1, x2).backward()
    assert (x1.grad, x2.grad) == pytest.approx((3.4730819, -3.8852622), abs=5e-8)


def test_survey_example() -> None:
    """Baydin et al. (2018), table 3: every adjoint."""
    x1, x2 = cg.variable(2.0, name="x1"), cg.variable(5.0, name="x2")
    y = survey(x1, x2)
    y.backward(retain_all=True)
    graph = cg.graph_of(y)
    adjoints = {graph.names[node]: float(node.grad) for node in graph.nodes}
    wanted = {"x1": 5.5, "x2": 2 - np.cos(5.0), "v1": 1.0, "v2": 1.0, "v3": 1.0, "v4": -1.0, "v5": 1.0}
    assert adjoints == pytest.approx(wanted)
    as_graph = cg.reverse(cg.trace(survey, 2.0, 5.0))
    assert as_graph(2.0, 5.0, 1.0) == pytest.approx((11.652071, 5.5, 1.7163378), abs=5e-7)


def test_seeds_come_after_the_inputs_and_adjoints_after_the_outputs() -> None:
    adjoint = cg.reverse(cg.trace(survey, 2.0, 5.0))
    assert [adjoint.names[node] for node in adjoint.inputs] == ["x1", "x2", "v5_bar"]
    assert [adjoint.names[node] for node in adjoint.outputs] == ["v5", "x1_bar", "x2_bar"]
    assert all(kind == "bar" for kind, _ in adjoint.roles.values())


def test_for_a_chosen_output_and_input() -> None:
    graph = cg.trace(lambda x, y: {"a": x * y, "b": np.sin(y)}, 2.0, 3.0)
    for which in (1, graph.outputs[1], [graph.names[graph.outputs[1]]]):
        adjoint = cg.typecheck(cg.reverse(graph, of=which))
        assert len(adjoint.inputs) == 3
        assert adjoint(2.0, 3.0, 1.0) == pytest.approx((6.0, np.sin(3.0), 0.0, np.cos(3.0)))
    adjoint = cg.typecheck(cg.reverse(graph, of=0, wrt="y"))
    assert [adjoint.names[node] for node in adjoint.outputs] == ["v1", "v2", "y_bar"]
    assert adjoint(2.0, 3.0, 10.0) == pytest.approx((6.0, np.sin(3.0), 20.0))


def test_a_joint_graph_pulls_all_outputs_in_one_sweep() -> None:
    graph = cg.trace(lambda x, y: (x * y, np.sin(x * y)), 2.0, 3.0)
    adjoint = cg.typecheck(cg.reverse(graph))
    assert [adjoint.names[node] for node in adjoint.inputs] == ["x", "y", "v1_bar", "v3_bar"]
    common = 10.0 + 100.0 * np.cos(6.0)
    assert adjoint(2.0, 3.0, 10.0, 100.0)[2:] == pytest.approx((3.0 * common, 2.0 * common))


def test_an_output_that_is_an_input_or_is_given_twice() -> None:
    graph = cg.trace(lambda x, y: (x, x * y, x), 2.0, 3.0)
    adjoint = cg.typecheck(cg.reverse(graph))
    assert [adjoint.names[node] for node in adjoint.inputs] == ["x", "y", "x_bar", "v1_bar"]  # one seed a node
    assert adjoint(2.0, 3.0, 10.0, 1.0) == (2.0, 6.0, 2.0, 13.0, 2.0)
    assert cg.vjp(lambda x: (x, x), 1.0)[1]((1.0, 10.0)) == (11.0,)


def test_an_unused_input_has_adjoint_zero_of_its_own() -> None:
    adjoint = cg.typecheck(cg.reverse(cg.trace(lambda x, y: np.sum(x), np.ones(2), np.ones((3, 2)))))
    y_bar = adjoint(np.ones(2), np.ones((3, 2)), 1.0)[2]
    np.testing.assert_array_equal(y_bar, np.zeros((3, 2)))
    y_bar += 1.0  # the caller's to write into
    np.testing.assert_array_equal(adjoint(np.ones(2), np.ones((3, 2)), 1.0)[2], np.zeros((3, 2)))


def test_fan_out_accumulates() -> None:
    def f(x: Any) -> Any:
        y = x * x
        return y * y + y + x

    assert cg.grad(f)(3.0) == 4 * 27 + 6 + 1
    adjoint = cg.typecheck(cg.reverse(cg.trace(f, 3.0)))
    assert adjoint(3.0, 1.0)[1] == 115.0
    x = cg.variable(3.0)
    total = x
    for _ in range(100):
        total = total + x
    total.backward()
    assert x.grad == 101.0


def test_an_argument_given_twice() -> None:
    assert cg.grad(lambda x: x * x)(3.0) == 6.0
    assert cg.grad(lambda x: x - x)(3.0) == 0.0
    np.testing.assert_array_equal(cg.grad(lambda x: np.sum(np.concatenate([x, x]) * np.arange(4.0)))(np.ones(2)), [2.0, 4.0])
    np.testing.assert_array_equal(cg.grad(lambda x: np.sum(x @ x))(np.ones((2, 2))), [[4.0, 4.0], [4.0, 4.0]])


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (2, 1), (1, 1), (2, 3), (4, 1, 3), (1, 2, 1)])
def test_unbroadcast_is_the_transpose_of_broadcasting(shape: tuple[int, ...]) -> None:
    full = np.broadcast_shapes(shape, (4, 2, 3))
    generator = np.random.default_rng(0)
    x, y_bar = np.asarray(generator.normal(size=shape)), generator.normal(size=full)
    x_bar = unbroadcast(y_bar, x)
    assert x_bar.shape == shape
    assert np.sum(np.broadcast_to(x, full) * y_bar) == pytest.approx(np.sum(x * x_bar))


def test_adjoints_carry_the_line_and_scope_of_their_primal() -> None:
    with cg.scope("layer"):
        graph = cg.trace(survey, 2.0, 5.0)
    adjoint = cg.reverse(graph)
    lines = {node.origin for node in graph.nodes if node.primitive}
    new = set(adjoint.nodes) - set(graph.nodes) - set(adjoint.inputs)
    assert new
    assert {node.origin for node in new} <= lines
    assert {node.scope for node in new} == {"layer"}


def test_order_is_deterministic() -> None:
    def text() -> str:
        return str(cg.reverse(cg.reverse(cg.trace(textbook, 0.5, 1.0))))

    assert text() == text()


# ------------------------------------------------------------------------------------------- backward()


def test_grad_accumulates_until_it_is_cleared() -> None:
    x = cg.variable([1.0, 2.0])
    assert x.grad is None
    np.sum(x * x).backward()
    np.sum(3 * x).backward()
    np.testing.assert_array_equal(x.grad, [5.0, 7.0])
    x.zero_grad()
    assert x.grad is None
    np.sum(x * x).backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_a_second_backward_doubles() -> None:
    x = cg.variable(3.0)
    y = x * x
    y.backward()
    assert x.grad == 6.0
    y.backward()
    assert x.grad == 12.0


def test_intermediate_adjoints_on_request() -> None:
    x = cg.variable(3.0)
    y = x * x
    z = y + 1.0
    out = z * 2.0
    assert y.retain_grad() is y
    out.backward()
    assert (x.grad, y.grad, z.grad, out.grad) == (12.0, 2.0, None, None)
    out.backward()
    assert (x.grad, y.grad) == (24.0, 4.0)
    out.backward(retain_all=True)
    assert (x.grad, y.grad, z.grad, out.grad) == (36.0, 6.0, 2.0, 1.0)


def test_from_a_variable_itself() -> None:
    x = cg.variable([1.0, 2.0])
    x.backward(np.array([5.0, 6.0]))
    np.testing.assert_array_equal(x.grad, [5.0, 6.0])


@pytest.mark.parametrize("seed", [[1, 10, 100], np.array([1.0, 10.0, 100.0]), np.array([1, 10, 100], np.float32), (1.0, 10.0, 100.0)])
def test_a_seed_may_be_a_list_or_an_array(seed: Any) -> None:
    x = cg.variable([1.0, 2.0, 3.0])
    (x * x).backward(seed)
    np.testing.assert_array_equal(x.grad, [2.0, 40.0, 600.0])
    assert x.grad.dtype == np.float64


def test_a_scalar_takes_a_seed_too() -> None:
    x = cg.variable(3.0)
    (x * x).backward(10)
    assert x.grad == 60.0


def test_variables_that_are_not_reached_keep_none() -> None:
    x, y = cg.variable(1.0), cg.variable(2.0)
    (x * cg.stop_gradient(y)).backward()
    assert (x.grad, y.grad) == (2.0, None)


def test_results_never_share_memory() -> None:
    x, y = cg.variable([1.0, 2.0]), cg.variable([3.0, 4.0])
    seed = np.array([1.0, 1.0])
    z = x + y
    z.retain_grad()
    z.backward(seed)
    x.grad[:] = 99.0
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])
    np.testing.assert_array_equal(z.grad, [1.0, 1.0])
    np.testing.assert_array_equal(seed, [1.0, 1.0])
    y.grad += 1.0
    np.testing.assert_array_equal(z.grad, [1.0, 1.0])
    seed[:] = 7.0
    np.testing.assert_array_equal(z.grad, [1.0, 1.0])


@pytest.mark.parametrize("function", [
    lambda x: np.sum(x), lambda x: np.sum(np.broadcast_to(x, (2, 2))), lambda x: np.sum(x.T), lambda x: np.sum(x.reshape(2, 1)),
    lambda x: np.sum(np.concatenate([x, x])), lambda x: np.mean(x), lambda x: np.sum(x + 0),
])  # fmt: skip
def test_a_grad_is_the_users_to_write_into(function: Any) -> None:
    x = cg.variable([1.0, 2.0])
    function(x).backward()
    before = x.grad.copy()
    x.grad *= 2.0
    np.testing.assert_array_equal(x.value, [1.0, 2.0])
    np.testing.assert_array_equal(x.grad, 2 * before)
    bars = cg.vjp(lambda s, t: s + t, np.ones(2), np.ones(2))[1](np.ones(2))
    bars[0][:] = 5.0
    np.testing.assert_array_equal(bars[1], [1.0, 1.0])


def test_the_users_arrays_are_never_written_into() -> None:
    weights, data = np.ones((3, 2)), np.ones(3)
    kept = weights.copy(), data.copy()
    cg.grad(lambda w: np.sum(np.tanh(data @ w) ** 2))(weights)
    np.testing.assert_array_equal(weights, kept[0])
    np.testing.assert_array_equal(data, kept[1])


def test_a_result_of_vjp_may_be_changed_before_the_pullback() -> None:
    y, pullback = cg.vjp(np.exp, np.zeros(2))
    y[:] = 100.0
    np.testing.assert_array_equal(pullback(np.ones(2))[0], [1.0, 1.0])
    np.testing.assert_array_equal(pullback(np.ones(2))[0], [1.0, 1.0])


# ----------------------------------------------------------------------------------------------- dtypes


def test_float32_stays_float32_beside_python_numbers() -> None:
    x = cg.variable(np.ones(3, np.float32))
    y = 2.0 * np.maximum(x, 0.5) ** 2 / 3 + np.where(x > 0, x, 0.0) - np.mean(x) * True + x**0.5
    assert y.dtype == np.float32
    np.sum(y).backward(retain_all=True)
    assert x.grad.dtype == np.float32
    adjoint = cg.typecheck(cg.reverse(cg.trace(lambda t: np.sum(2.0 * np.tanh(t) ** 2 / 3), x.value)))
    assert {node.dtype for node in adjoint.nodes} == {np.dtype(np.float32)}


@pytest.mark.parametrize("operation", [
    lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a**b, lambda a, b: a @ b, np.maximum,
    lambda a, b: np.where(a > b, a, b), lambda a, b: np.concatenate([a, b]), lambda a, b: np.stack([a, b]), lambda a, b: b - a,
])  # fmt: skip
def test_each_adjoint_has_its_arguments_dtype(operation: Any) -> None:
    a, b = np.array([1.0, 2.0], np.float32), np.array([3.0, 5.0])
    y, pullback = cg.vjp(operation, a, b)
    assert y.dtype == np.float64
    assert [bar.dtype for bar in pullback(np.ones_like(y))] == [np.float32, np.float64]
    adjoint = cg.typecheck(cg.reverse(cg.trace(operation, a, b)))
    assert [node.dtype for node in adjoint.outputs[1:]] == [np.float32, np.float64]
    tangent = cg.typecheck(cg.forward(cg.trace(operation, a, b)))
    assert tangent.outputs[1].dtype == np.float64


def test_a_cast_is_passed_back_in_the_first_dtype() -> None:
    x = cg.variable(np.ones(2, np.float32))
    wide = x.astype(np.float64)
    assert wide.dtype == np.float64
    np.sum(wide * np.float64(3)).backward()
    np.testing.assert_array_equal(x.grad, np.array([3, 3], np.float32))
    assert x.grad.dtype == np.float32


def test_promotion_is_numpys() -> None:
    narrow = np.float32(2)
    x = cg.variable(narrow)
    for other in (1, 1.5, True, np.float64(1.5), np.int64(2), np.int8(2), np.float16(1), np.ones(2, np.int32), np.bool_(True)):
        for operation in (np.add, np.multiply, np.divide, np.power, np.maximum):
            assert operation(x, other).dtype == operation(narrow, other).dtype, (operation, other)
            assert operation(other, x).dtype == operation(other, narrow).dtype, (operation, other)
            traced = cg.trace(lambda t, operation=operation, other=other: operation(t, other), narrow)
            assert traced.outputs[0].dtype == operation(narrow, other).dtype, (operation, other)

"""A Python function -> Graph: names, containers, constants, closures."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import compgraph as cg


def names(graph: cg.Graph) -> list[str]:
    return [graph.names[node] for node in graph.inputs]


def test_inputs_are_called_after_the_parameters() -> None:
    def f(x, *rest, scale=1.0, **more):  # type: ignore[no-untyped-def]
        return x * sum(rest) * scale * more["shift"]

    assert names(cg.trace(f, 1.0, 2.0, 3.0, scale=4.0, shift=5.0)) == ["x", "rest1", "rest2", "scale", "shift"]
    assert cg.trace(f, 1.0, 2.0, 3.0, scale=4.0, shift=5.0)(1.0, 2.0, 3.0, 4.0, 5.0) == 100.0
    assert names(cg.trace(lambda a, b=2.0: a * b, 1.0)) == ["a"]
    assert names(cg.trace(np.exp, 1.0)) == ["x"]
    assert names(cg.trace(functools.partial(f, scale=2.0), 1.0, 2.0, shift=1.0)) == ["x", "rest1", "shift"]


def test_containers_are_named_by_path_and_come_back_as_they_went() -> None:
    def f(p: Any, xs: Any) -> Any:
        return {"sum": p["w"] + xs[0], "parts": (p["b"], [xs[1]])}

    graph = cg.typecheck(cg.trace(f, {"w": 1.0, "b": 2.0}, [3.0, 4.0]))
    assert names(graph) == ["p.w", "p.b", "xs[0]", "xs[1]"]
    assert graph(1.0, 2.0, 3.0, 4.0) == {"sum": 4.0, "parts": (2.0, [4.0])}


def test_a_graph_is_called_after_its_function() -> None:
    def loss(x: Any) -> Any:
        return x * 2

    class Model:
        def __call__(self, x: Any) -> Any:
            return x * 2

    assert cg.trace(loss, 1.0).name == "loss"
    assert cg.trace(lambda x: x * 2, 1.0).name == "f"
    assert cg.trace(Model(), 1.0).name == "Model"


def test_only_shapes_and_dtypes_of_arguments_matter() -> None:
    seen: list[Any] = []

    def f(x: Any, y: Any, n: Any) -> Any:
        seen.append((x.shape, x.dtype, y.dtype, n.dtype, x.value))
        return x * y * n

    graph = cg.trace(f, 3, np.ones((2, 1), np.float32), np.arange(3))
    assert seen == [((), np.float64, np.float32, np.int64, None)]
    assert graph.outputs[0].shape == (2, 3)
    np.testing.assert_array_equal(graph(2, np.ones((2, 1)), [1, 2, 3]), [[2.0, 4.0, 6.0]] * 2)


def test_tracing_gives_the_graph_that_eager_running_gives() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(np.tanh(x @ y) * x[0]) / 3 + np.max(y)

    x, y = np.ones((3, 3)), np.arange(9.0).reshape(3, 3)
    traced = cg.trace(f, x, y)
    eager = cg.graph_of(f(cg.variable(x, name="x"), cg.variable(y, name="y")))
    assert str(traced) == str(eager)
    assert traced(x, y) == eager(x, y) == f(x, y)


def test_a_traced_graph_owns_its_constants() -> None:
    data = np.ones(3)
    graph = cg.trace(lambda x: np.sum(x * data), 2.0)
    data[:] = 100.0
    assert graph(2.0) == 6.0
    with pytest.warns(cg.ZeroGradientWarning):
        returned = cg.trace(lambda x: (x, data), 2.0)
    data[:] = 7.0
    np.testing.assert_array_equal(returned(2.0)[1], [100.0] * 3)
    returned(2.0)[1][:] = 0.0
    np.testing.assert_array_equal(returned(2.0)[1], [100.0] * 3)


def test_an_array_changed_while_tracing_is_read_as_it_was_each_time() -> None:
    buffer = np.zeros(2)

    def f(x: Any) -> Any:
        buffer[:] = 1.0
        first = x * buffer
        buffer[:] = 2.0
        return first + x * buffer

    np.testing.assert_array_equal(cg.trace(f, np.ones(2))(np.ones(2)), [3.0, 3.0])


def test_an_array_used_twice_is_kept_once() -> None:
    data = np.ones(1000)
    graph = cg.trace(lambda x: np.sum(x * data) + np.sum(x / data), 1.0)
    held = {id(arg) for node in graph.nodes for arg in node.args if isinstance(arg, np.ndarray)}
    assert len(held) == 1


def test_a_closed_over_variable_is_read_whenever_the_graph_runs() -> None:
    w = cg.variable(3.0, name="w")
    graph = cg.trace(lambda x: x * w, 2.0)
    assert w in graph.nodes
    assert graph(2.0) == 6.0
    w.value = np.float64(10.0)
    assert graph(2.0) == 20.0


def test_lines_are_those_of_the_function() -> None:
    def f(x: Any) -> Any:
        y = np.sin(x)
        return y * y

    from compgraph.origins import source_line, source_segment

    graph = cg.trace(f, 1.0)
    assert [source_line(node.origin) for node in graph.nodes[1:]] == ["y = np.sin(x)", "return y * y"]
    assert [source_segment(node.origin) for node in graph.nodes[1:]] == ["np.sin(x)", "y * y"]


def test_a_graph_called_on_nodes_is_recorded() -> None:
    inner = cg.trace(lambda x: x * x, 1.0)
    outer = cg.typecheck(cg.trace(lambda y: inner(y + 1.0) * 2.0, 1.0))
    assert outer(2.0) == 18.0
    assert cg.grad(lambda y: inner(y) * inner(y))(2.0) == 32.0


def test_a_derivative_is_traced_like_any_function() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.sin(x) * x)

    x = np.array([0.5, 1.0])
    for derivative in (cg.grad(f), cg.hessian(f), lambda x: cg.jvp(f, (x,), (np.ones(2),))[1], lambda x: cg.hvp(f, (x,), (np.ones(2),))):
        graph = cg.typecheck(cg.trace(derivative, x))
        np.testing.assert_allclose(graph(x), derivative(x), rtol=1e-14)


def test_no_grad_within_a_trace_stops_derivatives_but_not_values() -> None:
    def f(x: Any) -> Any:
        with cg.no_grad():
            scale = x * 2.0
        return x * scale

    graph = cg.typecheck(cg.trace(f, 3.0))
    assert graph(5.0) == 50.0
    assert cg.reverse(graph)(5.0, 1.0)[1] == 10.0
    assert cg.grad(f)(5.0) == 10.0


def test_a_user_error_comes_through_untouched() -> None:
    def f(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        cg.trace(f, 1.0)
    assert cg.trace(lambda x: x * 2, 1.0)(3.0) == 6.0  # and leaves no trace open behind it


def test_scopes_nest() -> None:
    def f(x: Any) -> Any:
        with cg.scope("layer1"):
            x = np.tanh(x)
            with cg.scope("inner"):
                x = x * 2
        return x + 1

    assert [node.scope for node in cg.trace(f, 1.0).nodes] == ["", "layer1", "layer1/inner", ""]

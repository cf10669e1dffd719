"""Derivatives of functions: values, structure, dtypes, and that they are functions again."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.graph import Node


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def model(p: Any, x: Any) -> Any:
    for w, b in p["layers"]:
        x = np.tanh(x @ w + b)
    return np.sum(x**2) * p["scale"]


def parameters(dtype: Any = np.float64) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    sizes = (3, 4, 2)
    layers = [(generator.normal(size=size).astype(dtype), np.zeros(size[1], dtype)) for size in itertools.pairwise(sizes)]
    return {"layers": layers, "scale": dtype(0.5)}


def test_grad_has_the_structure_shapes_and_dtypes_of_the_argument() -> None:
    p, x = parameters(np.float32), np.ones((5, 3), np.float32)
    value, bars = cg.value_and_grad(model)(p, x)
    assert value.dtype == np.float32
    assert list(bars) == ["layers", "scale"]
    assert type(bars["layers"][0]) is tuple
    for (w, b), (w_bar, b_bar) in zip(p["layers"], bars["layers"], strict=True):
        assert (w_bar.shape, w_bar.dtype) == (w.shape, np.float32)
        assert (b_bar.shape, b_bar.dtype) == (b.shape, np.float32)
    step = 1e-6
    p64 = parameters()
    wide = cg.grad(model)(p64, x)
    moved = {"layers": p64["layers"], "scale": p64["scale"] + step}
    assert wide["scale"] == pytest.approx((model(moved, x) - model(p64, x)) / step, rel=1e-6)


def test_several_argnums() -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return x * y**2 * z

    assert cg.grad(f)(2.0, 3.0, 5.0) == 45.0
    assert cg.grad(f, argnums=1)(2.0, 3.0, 5.0) == 60.0
    assert cg.grad(f, argnums=-1)(2.0, 3.0, 5.0) == 18.0
    assert cg.grad(f, argnums=(2, 0))(2.0, 3.0, 5.0) == (18.0, 45.0)
    assert cg.grad(f, argnums=[1])(2.0, 3.0, 5.0) == (60.0,)
    assert cg.grad(lambda x, *, power: x**power)(3.0, power=2) == 6.0


def test_jvp_and_vjp_of_containers() -> None:
    def f(p: Any, t: Any) -> Any:
        return {"y": p["w"] * t, "z": [p["w"] + p["b"]]}

    primals = ({"w": np.array([1.0, 2.0]), "b": 3.0}, 4.0)
    output, output_dot = cg.jvp(f, primals, ({"b": 10.0, "w": np.array([1.0, 0.0])}, 100.0))
    np.testing.assert_array_equal(output["y"], [4.0, 8.0])
    np.testing.assert_array_equal(output_dot["y"], [104.0, 200.0])
    np.testing.assert_array_equal(output_dot["z"][0], [11.0, 10.0])
    _, pullback = cg.vjp(f, *primals)
    p_bar, t_bar = pullback({"z": [np.array([1.0, 10.0])], "y": np.array([100.0, 0.0])})
    np.testing.assert_array_equal(p_bar["w"], [401.0, 10.0])
    assert (p_bar["b"], t_bar) == (11.0, 100.0)


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_jacobian(mode: str) -> None:
    def f(x: Any) -> Any:
        return np.stack([x[0, 0] * x[1, 2], np.sum(x), np.sin(x[0, 1])])

    x = np.arange(6.0).reshape(2, 3)
    wanted = np.zeros((3, 2, 3))
    wanted[0, 0, 0], wanted[0, 1, 2], wanted[1], wanted[2, 0, 1] = 5.0, 0.0, 1.0, np.cos(1.0)
    np.testing.assert_array_equal(cg.jacobian(f, mode=mode)(x), wanted)
    assert cg.jacobian(lambda t: t * t, mode=mode)(3.0) == 6.0


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_jacobian_of_containers(mode: str) -> None:
    def f(p: Any, t: Any) -> Any:
        return {"y": p["w"] * t, "z": t * t}

    jacobian = cg.jacobian(f, argnums=(0, 1), mode=mode)({"w": np.array([1.0, 2.0])}, 3.0)
    np.testing.assert_array_equal(jacobian["y"][0]["w"], [[3.0, 0.0], [0.0, 3.0]])
    np.testing.assert_array_equal(jacobian["y"][1], [1.0, 2.0])
    np.testing.assert_array_equal(jacobian["z"][0]["w"], [0.0, 0.0])
    assert jacobian["z"][1] == 6.0


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_of_nothing(mode: str) -> None:
    assert cg.jacobian(lambda x: x * 2, mode=mode)(np.zeros(0)).shape == (0, 0)
    assert cg.jacobian(lambda x: np.sum(x), mode=mode)(np.zeros((0, 3))).shape == (0, 3)
    assert cg.jacobian(lambda x: np.ones((0,)) * x, mode=mode)(2.0).shape == (0,)


def test_hessian_and_hvp() -> None:
    x = np.array([0.5, -1.0, 2.0, 0.1])
    hessian = cg.hessian(rosenbrock)(x)
    assert hessian.shape == (4, 4)
    np.testing.assert_allclose(hessian, hessian.T)
    v = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(cg.hvp(rosenbrock, (x,), (v,)), hessian @ v)
    step = 1e-5
    ahead, behind = cg.grad(rosenbrock)(x + step * v), cg.grad(rosenbrock)(x - step * v)
    np.testing.assert_allclose(hessian @ v, (ahead - behind) / (2 * step), rtol=1e-7)


def test_hvp_of_several_primals() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(x**2) * y**3

    x, y = np.array([1.0, 2.0]), 3.0
    x_part, y_part = cg.hvp(f, (x, y), (np.array([1.0, 0.0]), 1.0))
    np.testing.assert_allclose(x_part, 2 * 27 * np.array([1.0, 0.0]) + 2 * x * 27)
    assert y_part == pytest.approx(2 * 1.0 * 27 + 5.0 * 18)


def test_elementwise_grad() -> None:
    x = np.linspace(-2, 2, 7)
    np.testing.assert_allclose(cg.elementwise_grad(np.tanh)(x), 1 - np.tanh(x) ** 2)
    second = cg.elementwise_grad(cg.elementwise_grad(lambda t: t**3))
    np.testing.assert_allclose(second(x), 6 * x)
    np.testing.assert_array_equal(cg.elementwise_grad(lambda s, t: s * t, argnums=1)(x, x + 1), x)


def test_a_pullback_can_be_called_again_and_again() -> None:
    _, pullback = cg.vjp(lambda x: x**2, np.array([1.0, 2.0]))
    first = pullback(np.array([1.0, 0.0]))[0]
    second = pullback(np.array([0.0, 1.0]))[0]
    np.testing.assert_array_equal(first, [2.0, 0.0])
    np.testing.assert_array_equal(second, [0.0, 4.0])
    assert not np.shares_memory(first, second)


def test_numbers_in_numbers_out_and_nodes_in_nodes_out() -> None:
    assert isinstance(cg.grad(np.sin)(0.0), np.float64)
    assert isinstance(cg.jvp(np.sin, (0.0,), (1.0,))[0], np.float64)
    for function in (lambda x: np.where(x > 0, x, 0.0), lambda x: np.reshape(x, ()), np.transpose, lambda x: np.broadcast_to(x, ())):
        assert {type(part) for part in (*cg.value_and_grad(function)(1.0), *cg.jvp(function, (1.0,), (1.0,)))} == {np.float64}
        assert {type(part) for part in cg.reverse(cg.trace(function, 1.0))(1.0, 1.0)} == {np.float64}
    assert isinstance(cg.grad(np.sin)(cg.variable(0.0)), Node)
    value, slope = cg.value_and_grad(lambda x: x * x)(cg.variable(3.0))
    assert isinstance(value, Node)
    assert (value.value, slope.value) == (9.0, 6.0)


def test_integers_and_booleans_count_as_float64() -> None:
    assert cg.grad(lambda x: x**2)(3) == 6.0
    assert cg.grad(lambda x: np.sum(x**2))(np.array([1, 2])).dtype == np.float64
    assert cg.grad(lambda x: x**2)(True) == 2.0


def test_derivatives_branch_on_values() -> None:
    """Eager derivatives follow the branch that the numbers take."""

    def f(x: Any) -> Any:
        return x**2 if x > 0 else -x

    assert cg.grad(f)(3.0) == 6.0
    assert cg.grad(f)(-3.0) == -1.0
    assert cg.jvp(f, (3.0,), (1.0,)) == (9.0, 6.0)


def test_stop_gradient() -> None:
    assert cg.grad(lambda x: x * cg.stop_gradient(x))(3.0) == 3.0
    assert cg.jvp(lambda x: x * cg.stop_gradient(x), (3.0,), (1.0,)) == (9.0, 3.0)
    assert cg.grad(cg.grad(lambda x: x * x * cg.stop_gradient(x)))(3.0) == 6.0


def test_an_int_array_beside_the_differentiated_argument() -> None:
    np.testing.assert_array_equal(cg.grad(lambda x, n: np.sum(x[n]), 0)(np.ones(3), np.array([0, 0, 2])), [2.0, 0.0, 1.0])


def test_a_gradient_of_an_empty_argument_is_empty() -> None:
    assert cg.grad(lambda x: np.sum(x))(np.zeros((0, 3))).shape == (0, 3)


def network(p: dict[str, Any], x: Any) -> Any:
    h = np.tanh(p["w"] @ x + p["b"])
    return {"h": np.max(h) * h[[0, 0, 1]], "s": np.sum(np.concatenate([h, x[:2]]) ** 2)}


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("chunk_size", [None, 1, 4, 100])
def test_vector_mode_is_sweep_by_sweep(mode: str, chunk_size: int | None) -> None:
    rng = np.random.default_rng(1)
    p, x = {"w": rng.normal(size=(3, 4)), "b": rng.normal(size=3)}, rng.normal(size=4)
    blocks = cg.jacobian(network, (0, 1), mode, chunk_size=chunk_size)(p, x)
    _, pullback = cg.vjp(network, p, x)
    for row in range(3):
        p_bar, x_bar = pullback({"h": np.eye(3)[row], "s": 0.0})
        np.testing.assert_allclose(blocks["h"][0]["w"][row], p_bar["w"], rtol=1e-13)
        np.testing.assert_allclose(blocks["h"][1][row], x_bar, rtol=1e-13)
    np.testing.assert_allclose(blocks["s"][0]["b"], pullback({"h": np.zeros(3), "s": 1.0})[0]["b"], rtol=1e-13)


def test_a_jacobian_can_be_differentiated() -> None:
    def f(x: Any) -> Any:
        return np.sum(cg.jacobian(lambda y: np.sin(y) * x[0])(x) ** 2)

    x = np.array([0.3, -0.4, 1.2])
    expected = np.array([np.sum(2 * x[0] * np.cos(x) ** 2), 0, 0]) - 2 * x[0] ** 2 * np.cos(x) * np.sin(x)
    np.testing.assert_allclose(cg.grad(f)(x), expected, rtol=1e-13)


def test_the_size_of_a_chunk_is_checked() -> None:
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(cg.InputError, match="chunk_size is a positive integer"):
            cg.jacobian(np.sin, chunk_size=wrong)  # type: ignore[arg-type]

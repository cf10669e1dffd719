"""Linearized functions, vector-Hessian and Gauss-Newton products, Hessians by every nesting, aux, Taylor coefficients."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import compgraph as cg
from compgraph.operators import gnvp, linearize, vhp
from compgraph.series import taylor

NESTINGS = ("forward-over-reverse", "reverse-over-reverse", "reverse-over-forward", "forward-over-forward")


def loss(p: Any, t: Any) -> Any:
    return np.sum(np.tanh(p["w"] @ p["v"]) ** 2) * t + p["b"][0] * np.exp(t) * p["b"][1]


def point() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return {"w": rng.normal(size=(2, 3)), "v": rng.normal(size=3), "b": [0.3, -1.2]}, 0.7


def network(x: Any, w: Any) -> Any:
    h = np.tanh(w @ x)
    return {"h": h * x[0], "s": np.sum(h[1:])}


X, W = np.array([0.3, -0.4, 1.2]), np.random.default_rng(1).normal(size=(4, 3))


# ------------------------------------------------------------------------------------------ has_aux


def test_grad_value_and_grad_and_jacobian_with_aux() -> None:
    def f(x: Any) -> Any:
        y = x * x
        return np.sum(y), {"y": y, "note": "kept"}

    bars, aux = cg.grad(f, has_aux=True)(X)
    np.testing.assert_array_equal(bars, 2 * X)
    np.testing.assert_array_equal(aux["y"], X * X)
    assert type(aux["y"]) is np.ndarray
    assert aux["note"] == "kept"
    (value, aux), bars = cg.value_and_grad(f, has_aux=True)(X)
    assert value == np.sum(X * X)
    np.testing.assert_array_equal(bars, 2 * X)
    for mode in ("forward", "reverse"):
        rows, aux = cg.jacobian(lambda x: (x * x, x[0]), mode=mode, has_aux=True)(X)
        np.testing.assert_array_equal(rows, np.diag(2 * X))
        assert aux == X[0]


def test_aux_is_a_node_where_derivatives_are() -> None:
    def outer(x: Any) -> Any:
        bar, aux = cg.grad(lambda y: (y**3, y**2), has_aux=True)(x)
        return bar * aux

    assert cg.grad(outer)(2.0) == pytest.approx(3 * 4 * 8)


@pytest.mark.parametrize("function", [lambda x: x, lambda x: (x, x, x), lambda x: [x, x]])
def test_a_function_without_the_promised_aux(function: Callable[..., Any]) -> None:
    with pytest.raises(cg.InputError, match=r"has_aux=True it has to return \(result, aux\).*test_operators\.py"):
        cg.grad(function, has_aux=True)(1.0)


# ---------------------------------------------------------------------------------------- linearize


def test_a_linearized_function_is_the_jvp_at_every_call() -> None:
    output, tangent_map = linearize(network, X, W)
    rng = np.random.default_rng(2)
    for _ in range(3):
        dots = rng.normal(size=X.shape), rng.normal(size=W.shape)
        wanted, wanted_dot = cg.jvp(network, (X, W), dots)
        found = tangent_map(*dots)
        for key in wanted:
            np.testing.assert_array_equal(output[key], wanted[key])
            np.testing.assert_allclose(found[key], wanted_dot[key], rtol=1e-14)


def test_a_linearized_function_on_a_batch() -> None:
    _, tangent_map = linearize(network, X, W)
    rng = np.random.default_rng(3)
    dots = rng.normal(size=(5, *X.shape)), rng.normal(size=(5, *W.shape))
    together = tangent_map.batched(*dots)
    for row in range(5):
        one = tangent_map(dots[0][row], dots[1][row])
        for key in one:
            np.testing.assert_allclose(together[key][row], one[key], rtol=1e-13)


def test_a_linearized_function_runs_its_function_once_and_can_be_differentiated() -> None:
    runs = 0

    def f(x: Any) -> Any:
        nonlocal runs
        runs += 1
        return np.sin(x) * x

    _, tangent_map = linearize(f, 0.5)
    assert (tangent_map(1.0), tangent_map(2.0), runs) == (cg.grad(f)(0.5), 2 * cg.grad(f)(0.5), 1)
    assert cg.grad(lambda x: linearize(f, x)[1](1.0))(0.5) == pytest.approx(cg.grad(cg.grad(f))(0.5))
    assert cg.grad(lambda x_dot: linearize(f, 0.5)[1](x_dot))(1.0) == pytest.approx(cg.grad(f)(0.5))


def test_a_linear_map_of_a_constant_part_is_zero() -> None:
    _, tangent_map = linearize(lambda x: [x * 2, np.sign(x)], X)
    np.testing.assert_array_equal(tangent_map(X)[1], np.zeros(3))
    assert tangent_map.batched(np.eye(3))[1].shape == (3, 3)


@pytest.mark.parametrize("tangents", [(np.ones(2),), (X, X), ({"a": X},)])
def test_a_wrong_tangent_of_a_linear_map(tangents: Any) -> None:
    _, tangent_map = linearize(np.sin, X)
    with pytest.raises(cg.CompgraphError, match=r"test_operators\.py"):
        tangent_map(*tangents)


def test_a_wrong_batch() -> None:
    with pytest.raises(cg.ShapeError, match=r"a batch of tangents has shape \(3,\).*test_operators\.py"):
        linearize(np.sin, X)[1].batched(X)


# --------------------------------------------------------------------------------- second derivatives


@pytest.mark.parametrize("mode", NESTINGS)
def test_a_hessian_of_containers_and_several_arguments(mode: str) -> None:
    p, t = point()
    found = cg.hessian(loss, (0, 1), mode)(p, t)
    step = 1e-6
    moved = {**p, "w": p["w"] + step * np.eye(2, 3)}
    ahead, behind = cg.grad(loss, (0, 1))(moved, t), cg.grad(loss, (0, 1))({**p, "w": p["w"] - step * np.eye(2, 3)}, t)
    for key in ("w", "v"):
        column = found[0][key][0]["w"]
        assert column.shape == p[key].shape + (2, 3)
        wanted = (ahead[0][key] - behind[0][key]) / (2 * step)
        np.testing.assert_allclose(np.tensordot(column, np.eye(2, 3), 2), wanted, rtol=1e-6, atol=1e-8)
    assert found[1][0]["b"][0] == pytest.approx(np.exp(t) * p["b"][1])
    assert found[0]["b"][1][1] == pytest.approx(np.exp(t) * p["b"][0])
    assert found[1][1] == pytest.approx(np.exp(t) * p["b"][0] * p["b"][1])


def test_every_nesting_gives_the_same_hessian() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.exp(np.sin(W @ x))) * x[0]

    wanted = cg.hessian(f)(X)
    for mode in NESTINGS:
        np.testing.assert_allclose(cg.hessian(f, mode=mode)(X), wanted, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(cg.hessian(f, -1, mode, chunk_size=2)(X), wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("mode", NESTINGS)
def test_a_hessian_needs_one_number(mode: str) -> None:
    with pytest.raises(cg.ShapeError, match=r"needs one number.*test_operators\.py"):
        cg.hessian(np.sin, mode=mode)(X)


def test_an_unknown_nesting() -> None:
    with pytest.raises(cg.InputError, match=r"mode 'sideways': it is one of 'forward-over-reverse'.*test_operators\.py"):
        cg.hessian(np.sin, mode="sideways")
    with pytest.raises(cg.InputError, match="mode 'forward'"):
        vhp(np.sin, (1.0,), (1.0,), mode="forward")


@pytest.mark.parametrize("mode", ["reverse-over-forward", "reverse-over-reverse"])
def test_vhp_is_hvp(mode: str) -> None:
    p, t = point()
    vectors = ({"w": np.ones((2, 3)), "v": np.arange(3.0), "b": [1.0, 2.0]}, 0.5)
    wanted, found = cg.hvp(loss, (p, t), vectors), vhp(loss, (p, t), vectors, mode)
    for key in ("w", "v", "b"):
        np.testing.assert_allclose(found[0][key], wanted[0][key], rtol=1e-12)
    assert found[1] == pytest.approx(wanted[1])
    assert vhp(lambda x: x**3, (2.0,), (5.0,), mode) == 60.0


def test_gnvp_is_its_matrix_times_the_vector() -> None:
    def residuals(x: Any) -> Any:
        return np.tanh(W @ x) - 0.2

    def logistic(y: Any) -> Any:
        return np.sum(np.log1p(np.exp(y)))

    v = np.array([1.0, -2.0, 0.5])
    jacobian = cg.jacobian(residuals)(X)
    np.testing.assert_allclose(gnvp(residuals, (X,), (v,)), jacobian.T @ jacobian @ v, rtol=1e-12)
    curvature = cg.hessian(logistic)(residuals(X))
    np.testing.assert_allclose(gnvp(residuals, (X,), (v,), logistic), jacobian.T @ curvature @ jacobian @ v, rtol=1e-12)
    both = gnvp(lambda x, w: np.tanh(w @ x), (X, W), (v, np.zeros_like(W)))
    np.testing.assert_allclose(both[0], jacobian.T @ jacobian @ v, rtol=1e-12)
    assert both[1].shape == W.shape


@pytest.mark.parametrize("operator", [vhp, gnvp, cg.hvp])
def test_primals_that_are_no_tuple(operator: Callable[..., Any]) -> None:
    with pytest.raises(cg.InputError, match=r"takes a tuple of primals and a tuple of vectors.*test_operators\.py"):
        operator(np.sum, X, X)


# --------------------------------------------------------------------------------------- Taylor series

SERIES: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (lambda x: np.exp(np.sin(x)), lambda x: sp.exp(sp.sin(x))),
    (lambda x: np.log(x) * np.tanh(x), lambda x: sp.log(x) * sp.tanh(x)),
    (lambda x: (1 + x**2) ** 1.5 / np.sqrt(x), lambda x: (1 + x**2) ** sp.Rational(3, 2) / sp.sqrt(x)),
    (lambda x: x**x, lambda x: x**x),
    (lambda x: x**3 / (x + 2), lambda x: x**3 / (x + 2)),
    (lambda x: np.arctan(x) * np.log1p(x * x), lambda x: sp.atan(x) * sp.log(1 + x * x)),
    (lambda x: np.exp(-x) / (1 + np.exp(np.tanh(np.cos(x)))), lambda x: sp.exp(-x) / (1 + sp.exp(sp.tanh(sp.cos(x))))),
]


@pytest.mark.parametrize(("function", "formula"), SERIES)
def test_taylor_coefficients_are_those_of_sympy(function: Callable[[Any], Any], formula: Callable[[Any], Any]) -> None:
    """SymPy's expression, expanded by its number library at 60 digits; `diff` itself takes minutes at order 10."""
    t = sp.Symbol("t")
    expression = sp.lambdify(t, formula(sp.Rational(7, 10) + t / 2), "mpmath")
    with mpmath.workdps(60):
        wanted = mpmath.taylor(expression, 0, 10)
    for coefficient, exact in zip(taylor(function, 0.7, 0.5, 10), wanted, strict=True):
        assert coefficient == pytest.approx(float(exact), rel=1e-11, abs=1e-14)
    if formula is SERIES[0][1]:
        series = sp.series(formula(sp.Rational(7, 10) + t / 2), t, 0, 5).removeO()
        for k in range(5):
            assert float(series.coeff(t, k)) == pytest.approx(float(wanted[k]), rel=1e-12)


def test_taylor_of_arrays_products_and_extremes_is_nested_jvp() -> None:
    a = np.random.default_rng(0).normal(size=(3, 3))

    def f(x: Any) -> Any:
        return np.max(np.tanh(a @ x) @ (x[:, None] * x)) + np.sum(x @ x) + np.where(x > 0, x, x**3)[0]

    x, direction = np.array([0.1, 0.2, 0.3]), np.array([1.0, -1.0, 2.0])

    def derivative(function: Any) -> Any:
        return lambda t: cg.jvp(function, (t,), (1.0,))[1]

    along: Any = lambda t: f(x + t * direction)  # noqa: E731
    for k, coefficient in enumerate(taylor(f, x, direction, 4)):
        assert coefficient == pytest.approx(along(0.0) / factorial(k), rel=1e-11)
        along = derivative(along)


def test_taylor_of_containers_keeps_structure_and_dtype() -> None:
    x = {"a": np.ones(2, np.float32), "b": np.float32(2.0)}
    found = taylor(lambda p: [p["a"] * p["b"] ** 2, p["b"]], x, {"a": np.zeros(2, np.float32), "b": np.float32(1.0)}, 3)
    np.testing.assert_array_equal([row[0] for row in found], [[4, 4], [4, 4], [1, 1], [0, 0]])
    assert [row[1] for row in found] == [2, 1, 0, 0]
    assert {leaf.dtype for row in found for leaf in row} == {np.dtype(np.float32)}


def test_taylor_can_be_traced_and_differentiated() -> None:
    assert cg.grad(lambda x: taylor(np.sin, x, 1.0, 3)[3])(0.5) == pytest.approx(np.sin(0.5) / 6)
    assert cg.grad(lambda d: taylor(np.exp, 0.0, d, 2)[2])(3.0) == pytest.approx(3.0)
    graph = cg.trace(lambda x: taylor(lambda y: np.exp(y * y), x, 1.0, 2)[2], 0.3)
    assert graph(0.3) == pytest.approx(cg.grad(cg.grad(lambda y: np.exp(y * y)))(0.3) / 2)


def test_the_cost_of_a_series_is_polynomial() -> None:
    """Nested tangents would need 2**40 nodes."""
    assert len(taylor(lambda x: np.exp(np.sin(x)) / np.log(x + 2) ** 1.3, 0.7, 1.0, 40)) == 41
    sizes = [len(cg.trace(lambda x, n=n: taylor(lambda y: np.exp(np.sin(y)), x, 1.0, n)[n], 0.3).nodes) for n in (4, 8, 16)]
    assert sizes[2] < 5 * sizes[1] < 25 * sizes[0]


@pytest.mark.parametrize("order", [-1, 1.5, True, None])
def test_a_wrong_order(order: Any) -> None:
    with pytest.raises(cg.InputError, match=r"the order is an integer from 0 on.*test_operators\.py"):
        taylor(np.sin, 1.0, 1.0, order)


def test_a_direction_that_does_not_fit() -> None:
    with pytest.raises(cg.ShapeError, match=r"test_operators\.py"):
        taylor(np.sin, X, np.ones(2), 2)
    assert taylor(np.sin, 0.5, 1.0, 0) == (np.sin(0.5),)

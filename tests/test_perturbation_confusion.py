"""Nested derivatives in every order of modes. Siskind & Pearlmutter (2005): the inner and the outer perturbation differ."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg

D = Callable[[Callable[[Any], Any], Any], Any]


def forward(f: Callable[[Any], Any], x: Any) -> Any:
    return cg.jvp(f, (x,), (1.0,))[1]


def reverse(f: Callable[[Any], Any], x: Any) -> Any:
    return cg.grad(f)(x)


def pulled(f: Callable[[Any], Any], x: Any) -> Any:
    return cg.vjp(f, x)[1](1.0)[0]


def traced_forward(f: Callable[[Any], Any], x: Any) -> Any:
    return cg.forward(cg.trace(f, x))(x, 1.0)[1]


def traced_reverse(f: Callable[[Any], Any], x: Any) -> Any:
    return cg.reverse(cg.trace(f, x))(x, 1.0)[1]


EAGER: tuple[D, ...] = (forward, reverse, pulled)
ALL: tuple[D, ...] = (*EAGER, traced_forward, traced_reverse)
# A trace closes over no node of another trace, so a traced derivative may be the outermost one only.
orders = pytest.mark.parametrize(("outer", "inner"), list(itertools.product(ALL, EAGER)))


@orders
def test_the_two_classics(outer: D, inner: D) -> None:
    assert outer(lambda x: x * inner(lambda y: x + y, 1.0), 1.0) == 1.0
    assert outer(lambda x: x * inner(lambda y: x * y, 1.0), 4.0) == 8.0


@orders
def test_the_inner_point_depends_on_the_outer(outer: D, inner: D) -> None:
    assert outer(lambda x: inner(lambda y: y**3, x), 2.0) == 12.0
    assert outer(lambda x: x * inner(lambda y: y**3, x * x), 2.0) == pytest.approx(15.0 * 16.0)  # d(3 x^5)
    assert outer(lambda x: inner(lambda y: x * y * y, x), 3.0) == 12.0  # d(2 x^2)


@orders
def test_closures_over_intermediates(outer: D, inner: D) -> None:
    def f(x: Any) -> Any:
        z = np.sin(x)
        w = z * z
        return w * inner(lambda y: z * y * y + w * y, z) + z

    def as_formula(x: Any) -> Any:
        return np.sin(x) ** 2 * (3 * np.sin(x) ** 2) + np.sin(x)

    assert outer(f, 0.7) == pytest.approx(cg.grad(as_formula)(0.7), rel=1e-14)


@pytest.mark.parametrize(("first", "second", "third"), list(itertools.product(ALL, EAGER, EAGER)))
def test_third_order(first: D, second: D, third: D) -> None:
    def thrice(f: Callable[[Any], Any], x: float) -> Any:
        return first(lambda a: second(lambda b: third(f, b), a), x)

    assert thrice(lambda x: x**5, 2.0) == pytest.approx(60 * 4.0)
    assert thrice(np.sin, 0.3) == pytest.approx(-np.cos(0.3))
    # d/dx d/dy d/dz of x y^2 z^3 at (2, 3, 5), each layer closing over the ones outside it.
    slope = first(lambda x: second(lambda y: third(lambda z: x * y * y * z**3, 5.0), 3.0), 2.0)
    assert isinstance(slope, float)  # numbers in, numbers out, whatever the inner derivatives left in their graphs
    assert slope == pytest.approx(6 * 75.0)


@pytest.mark.parametrize("inner", EAGER)
@pytest.mark.parametrize("outer", ALL)
def test_a_derivative_in_a_loop(outer: D, inner: D) -> None:
    """Three steps of gradient descent on (y - x)^2, differentiated with respect to x."""

    def descend(x: Any) -> Any:
        y = 0.0 * x
        for _ in range(3):
            y = y - 0.25 * inner(lambda t: (t - x) ** 2, y)
        return y

    assert descend(2.0) == pytest.approx(2.0 * (1 - 0.5**3))
    assert outer(descend, 2.0) == pytest.approx(1 - 0.5**3)


@pytest.mark.parametrize("inner", EAGER)
def test_an_eager_variable_outside(inner: D) -> None:
    """The closed-over variable's own derivative flows through the inner one."""
    x = cg.variable(4.0)
    y = x * inner(lambda t: x * t, 1.0)
    y.backward()
    assert (y.value, x.grad) == (16.0, 8.0)
    z = cg.variable(2.0)
    inner(lambda t: t**3, z).backward()
    assert z.grad == 12.0


@pytest.mark.parametrize("inner", EAGER)
def test_an_outer_value_that_the_inner_function_ignores_is_no_perturbation(inner: D) -> None:
    assert cg.grad(lambda x: x * inner(lambda y: y * y, 3.0))(1.0) == 6.0
    with pytest.warns(cg.ZeroGradientWarning):
        assert cg.grad(lambda x: x * inner(lambda y: x * 1.0, 3.0))(1.0) == 0.0


def test_hessian_by_all_four_orders() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.sin(x) * x[::-1] ** 2) * x[0]

    x = np.array([0.5, -1.0, 2.0])
    hessians = [
        cg.jacobian(cg.jacobian(f, mode=inner), mode=outer)(x) for outer in ("forward", "reverse") for inner in ("forward", "reverse")
    ]
    for hessian in hessians:
        np.testing.assert_allclose(hessian, hessians[0], rtol=1e-12)
        np.testing.assert_allclose(hessian, hessian.T, rtol=1e-12)
    np.testing.assert_allclose(cg.hessian(f)(x), hessians[0], rtol=1e-12)


@orders
def test_an_inner_result_that_is_an_outer_value(outer: D, inner: D) -> None:
    def f(x: Any) -> Any:
        with pytest.warns(cg.ZeroGradientWarning):
            value, slope = cg.value_and_grad(lambda y: x)(3.0)
        assert slope == 0.0
        return value * inner(lambda y: x * y * y, 3.0)

    slope = outer(f, 2.0)
    assert isinstance(slope, float)
    assert slope == 24.0  # d(6 x^2)


def test_two_tangents_of_one_input_do_not_mix() -> None:
    """A single tag for both levels would give 2 instead of 1."""

    def f(x: Any, y: Any) -> Any:
        return forward(lambda s: forward(lambda t: s * t, y), x)

    assert f(3.0, 5.0) == 1.0
    assert cg.grad(lambda x: x * f(x, x))(3.0) == 1.0

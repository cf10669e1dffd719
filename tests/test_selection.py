"""What was not selected has no say: a NaN or an infinity in a branch not taken leaves every derivative clean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg


def forward(f: Any) -> Any:
    return lambda x: cg.jvp(f, (x,), (np.ones_like(x)[()],))[1]


def first(x: Any) -> Any:
    return np.where(x > 0, x**2, x**2 * np.nan)


def root(x: Any) -> Any:
    return np.where(x > 0, np.sin(x), np.sqrt(-x - 9))


def logarithm(x: Any) -> Any:
    return np.where(x > 0, np.log(x), 0.0) * x + x**2


def chained(x: Any) -> Any:
    return np.where(x > 5, np.exp(np.sqrt(x - 1.0) * np.log(x)), x**3)


def larger(x: Any) -> Any:
    return np.maximum(2 * x, np.sqrt(x - 1.0)) + np.fmin(x**2, 10 + 1 / (x - 1.0))


CASES = [
    (first, 2.0, 4.0, 2.0),
    (root, 2.0, np.cos(2.0), -np.sin(2.0)),
    (logarithm, 0.0, 0.0, 2.0),
    (logarithm, -1.0, -2.0, 2.0),
    (chained, -2.0, 12.0, -12.0),
    (chained, 1.0, 3.0, 6.0),
    (larger, 1.0, 4.0, 2.0),
]


@pytest.mark.parametrize(("f", "x", "slope", "curvature"), CASES)
@pytest.mark.parametrize("inner", [cg.grad, forward])
@pytest.mark.parametrize("outer", [cg.grad, forward])
def test_the_branch_not_taken_is_silent(f: Any, x: float, slope: float, curvature: float, inner: Any, outer: Any) -> None:
    with np.errstate(all="ignore"):
        assert inner(f)(x) == pytest.approx(slope, rel=1e-14, abs=1e-14)
        assert outer(inner(f))(x) == pytest.approx(curvature, rel=1e-13, abs=1e-13)
        graph = cg.typecheck(cg.reverse(cg.trace(f, x)))
        assert graph(x, 1.0)[1] == pytest.approx(slope, rel=1e-14, abs=1e-14)


def test_entry_by_entry_in_an_array() -> None:
    x = np.array([4.0, 0.0, -1.0])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(cg.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)))(x), [0.25, 0.0, 0.0])
        jacobian = cg.jacobian(lambda x: np.where(x > 0, np.log(x), x), mode="reverse")(x)
        np.testing.assert_array_equal(jacobian, np.diag([0.25, 1.0, 1.0]))


def test_what_is_selected_keeps_its_infinity() -> None:
    with np.errstate(all="ignore"):
        assert cg.grad(lambda x: np.where(x >= 0, np.sqrt(x), 0.0))(0.0) == np.inf
        assert np.isnan(cg.grad(lambda x: np.where(x < 0, x * np.nan, x))(-1.0))


def test_a_zero_that_is_asked_for_can_be_differentiated() -> None:
    """An adjoint may be 0 at a point without being the zero of a branch not taken."""

    def f(x: Any) -> Any:
        return np.where(x > -1, np.sin(x) ** 2, np.log(x))

    with np.errstate(all="ignore"):
        for outer in (cg.grad, forward):
            assert outer(cg.grad(f))(0.0) == pytest.approx(2.0)


def test_without_a_selection_nothing_is_sheltered() -> None:
    graph = cg.reverse(cg.trace(lambda x: np.sum(np.exp(x) * x), np.zeros(3)))
    assert "sheltered" not in {node.primitive.name for node in graph.nodes if node.primitive}

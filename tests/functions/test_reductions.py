"""NumPy's reductions: values, derivatives, zeros, ties, masks and NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from composites import verify

import compgraph as cg
from compgraph.graph import Node

A = np.array([[0.3, -1.2, 2.1, 0.9], [1.7, 0.4, -0.6, -2.3], [0.8, 1.1, -1.9, 0.2]])
MASK = np.array([[True, False, True, True], [True, True, False, True], [False, True, True, False]])
HOLES = np.where(MASK, 0.0, np.nan)
AXES: list[dict[str, Any]] = [
    {}, {"axis": 0}, {"axis": -1}, {"axis": (0, 1)}, {"axis": (-1,)}, {"axis": 1, "keepdims": True}, {"keepdims": True}, {"axis": ()},
    {"axis": np.int64(1), "keepdims": False},
]  # fmt: skip
SMOOTH = {
    "sum": [{"dtype": np.float64}, {"where": MASK, "axis": 0}, {"initial": 2.5}, {"where": [True, False, True, True], "axis": 1}],
    "prod": [{"dtype": np.float64}, {"where": MASK, "axis": 0}, {"initial": 2.5, "axis": 1}],
    "mean": [{"where": MASK}, {"where": MASK, "axis": 1, "keepdims": True}, {"dtype": np.float64}],
    "var": [{"ddof": 1}, {"correction": 1, "axis": 0}, {"where": MASK, "axis": 1, "ddof": 1}, {"where": MASK, "keepdims": True}],
    "std": [{"ddof": 1, "axis": 0}, {"correction": 1.5}, {"where": MASK, "axis": 0}],
    "max": [{"initial": 1.0, "axis": 0}, {"initial": -9.0, "where": MASK, "axis": 1}],
    "min": [{"initial": -1.0, "axis": 0}, {"initial": 9.0, "where": MASK, "axis": 1}],
    "amax": [], "amin": [], "ptp": [],
}  # fmt: skip
PLAIN = [
    (name, kwargs) for name, more in SMOOTH.items() for kwargs in (*AXES, *more)
    if not (name in ("var", "std", "ptp") and kwargs == {"axis": ()})  # which is 0 everywhere
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs"), PLAIN, ids=str)
def test_reduction(name: str, kwargs: dict[str, Any]) -> None:
    verify(lambda x: getattr(np, name)(x, **kwargs), A)


NAN = [
    *((f"nan{name}", kwargs) for name in ("sum", "prod", "mean", "max", "min", "var", "std") for kwargs in AXES
      if not (name in ("var", "std", "mean", "max", "min") and kwargs == {"axis": ()})),
    ("nanvar", {"ddof": 1, "axis": 0}), ("nansum", {"where": MASK, "axis": 0}), ("nanmax", {"initial": 0.5, "axis": 0}),
    ("nanmean", {"where": [[True], [True], [False]], "axis": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs"), NAN, ids=str)
def test_reduction_of_what_is_no_nan(name: str, kwargs: dict[str, Any]) -> None:
    verify(lambda x: getattr(np, name)(x + HOLES, **kwargs), A)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "max", "min"])
@pytest.mark.parametrize("x", [np.float64(1.5), np.array([1.5]), np.array([[1.5]])], ids=np.shape)
def test_a_single_number(name: str, x: Any) -> None:
    y = getattr(np, name)(cg.variable(x))
    assert y.value == getattr(np, name)(x)
    assert np.all(cg.grad(getattr(np, name) if x.ndim else lambda x: getattr(np, name)(x))(x) == (name not in ("var", "std")))


@pytest.mark.parametrize("name", ["sum", "prod", "var", "std"])
def test_no_numbers(name: str) -> None:
    x = np.zeros((2, 0))
    assert getattr(np, name)(cg.variable(x), axis=0).shape == (0,)
    assert cg.grad(lambda x: np.sum(getattr(np, name)(x, axis=0)))(x).shape == (2, 0)


@pytest.mark.parametrize("name", ["max", "min", "nanmax", "nanmin"])
def test_the_extreme_of_no_numbers_is_the_initial_one(name: str) -> None:
    assert getattr(np, name)(cg.variable(np.zeros((2, 0))), axis=1, initial=3.0).tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match=r"test_reductions.py"):
        getattr(np, name)(cg.variable(np.zeros((2, 0))), axis=1)


def test_a_mean_that_is_known_is_not_computed_again() -> None:
    verify(lambda x: np.var(x, axis=0, mean=np.mean(x, axis=0, keepdims=True)), A)
    verify(lambda x, m: np.std(x, mean=m), A, np.array([[0.7]]))


# ------------------------------------------------------------------------------------ where numbers vanish


@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0], [0.0, 2.0, 0.0, 5.0], [0.0, 0.0, 0.0], [0.0]], ids=str)
def test_products_with_zeros(x: list[float]) -> None:
    verify(np.prod, x)
    hessian = cg.hessian(np.prod)(np.array(x))
    wanted = [[0.0 if i == j else np.prod(np.delete(x, [i, j])) for j in range(len(x))] for i in range(len(x))]
    np.testing.assert_array_equal(hessian, wanted)


def test_third_derivative_of_a_product_with_zeros() -> None:
    third = cg.jacobian(cg.hessian(np.prod))(np.zeros(3))
    assert third[0, 1, 2] == third[2, 1, 0] == 1
    assert third[0, 0, 1] == third[1, 1, 1] == 0


@pytest.mark.parametrize("x", [[2.0, 2.0, 2.0], [0.0, 0.0], [-1e300, -1e300], [5.0]], ids=str)
def test_the_deviation_of_equal_numbers_has_derivative_0(x: list[float]) -> None:
    x = np.array(x)
    assert np.std(cg.variable(x)).value == 0
    np.testing.assert_array_equal(cg.grad(np.std)(x), 0)
    np.testing.assert_array_equal(cg.jvp(np.std, (x,), (np.arange(1.0, x.size + 1),))[1], 0)
    np.testing.assert_array_equal(cg.hessian(np.std)(x), 0)


def test_one_constant_line_does_not_spoil_the_others() -> None:
    x = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
    gradient = cg.grad(lambda x: np.sum(np.std(x, axis=1)))(x)
    assert np.array_equal(gradient[0], [0, 0, 0])
    np.testing.assert_allclose(gradient[1], cg.grad(np.std)(x[1]), rtol=1e-15)


def test_variance_of_numbers_with_a_large_offset() -> None:
    x = 1e9 + np.array([4.0, 7.0, 13.0, 16.0])
    assert np.var(cg.variable(x), ddof=1).value == 30.0
    np.testing.assert_allclose(cg.grad(lambda x: np.var(x, ddof=1))(x), 2 * np.array([-6, -3, 3, 6]) / 3, rtol=1e-15)


# ------------------------------------------------------------------------------------------- NaN and ties


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"])
def test_no_nan_leaks_into_a_derivative(name: str) -> None:
    x = np.array([1.0, np.nan, 3.0, 7.0])
    clean = x[[0, 2, 3]]

    def function(x: Any) -> Any:
        return getattr(np, name)(x) ** 2

    for derivative in (cg.grad, cg.hessian):
        found, wanted = derivative(function)(x), derivative(function)(clean)
        kept = np.ix_(*[[0, 2, 3]] * found.ndim)
        np.testing.assert_allclose(found[kept], wanted, rtol=1e-15)
        assert np.all(np.delete(found, [0, 2, 3], axis=0) == 0)
    np.testing.assert_allclose(cg.jvp(function, (x,), (np.ones(4),))[1], cg.jvp(function, (clean,), (np.ones(3),))[1], rtol=1e-15)


def test_extremes_of_nothing_but_nan_are_nan() -> None:
    x = cg.variable([[np.nan, np.nan], [1.0, np.nan]])
    np.testing.assert_array_equal(np.nanmax(x, axis=1).value, [np.nan, 1.0])
    np.testing.assert_array_equal(np.nanmin(x, axis=1, keepdims=True).value, [[np.nan], [1.0]])


def test_entries_that_tie_share_evenly() -> None:
    np.testing.assert_array_equal(cg.grad(np.max)(np.array([2.0, 1.0, 2.0])), [0.5, 0, 0.5])
    np.testing.assert_array_equal(cg.grad(np.nanmin)(np.array([1.0, np.nan, 1.0])), [0.5, 0, 0.5])
    np.testing.assert_array_equal(cg.grad(np.ptp)(np.array([1.0, 1.0])), [0, 0])
    np.testing.assert_array_equal(cg.grad(lambda x: np.max(x, initial=2.0))(np.array([2.0, 1.0])), [0.5, 0])


# --------------------------------------------------------------------------------------------- questions


QUESTIONS = [
    *(lambda x, name=name, kwargs=kwargs: getattr(np, name)(x > 0, **kwargs)
      for name in ("any", "all", "count_nonzero") for kwargs in ({}, {"axis": 0}, {"axis": (0, 1)}, {"axis": -1, "keepdims": True})),
    lambda x: np.any(x > 0, axis=0, where=MASK), lambda x: np.all(x > 0, where=MASK),
    *(lambda x, name=name, kwargs=kwargs: getattr(np, name)(x, **kwargs)
      for name in ("argmax", "argmin", "nanargmax", "nanargmin")
      for kwargs in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"keepdims": True})),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_questions_have_plain_answers_and_ask_again_in_a_graph(number: int) -> None:
    question = QUESTIONS[number]
    wanted = question(A)
    found = question(cg.variable(A))
    assert not isinstance(found, Node)
    np.testing.assert_array_equal(found, wanted)
    graph = cg.typecheck(cg.trace(lambda x: question(x) * x[0, 0], A))
    np.testing.assert_array_equal(graph(A), question(A) * A[0, 0])
    np.testing.assert_array_equal(graph(-A), question(-A) * -A[0, 0])
    np.testing.assert_array_equal(cg.forward(graph)(A, np.ones_like(A))[1], question(A))


def test_questions_of_what_a_traced_function_closes_over_are_asked_when_it_runs() -> None:
    closed = cg.variable(3.0)
    graph = cg.trace(lambda x: x * np.any(closed > 2.0), 1.0)
    assert any(node.primitive is not None and node.primitive.name == "any" for node in graph.nodes)


def test_methods_are_numpys() -> None:
    x = cg.variable(A)
    for name in ("prod", "std", "var", "argmax", "argmin", "cumsum", "cumprod"):
        found, wanted = getattr(x, name)(axis=1), getattr(A, name)(axis=1)
        np.testing.assert_allclose(found.value if isinstance(found, Node) else found, wanted, rtol=1e-15)
    assert (x > 5).any() == (A > 5).any()
    assert (x > -5).all() == (A > -5).all()


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda x: np.sum(x, axis=2), ValueError, "axis 2"),
    (lambda x: np.prod(x, axis=(0, 0)), ValueError, "twice"),
    (lambda x: np.max(x, where=MASK), ValueError, "identity"),
    (lambda x: np.var(x, ddof=1, correction=1), ValueError, "simultaneously"),
    (lambda x: np.sum(x, where=np.ones((2, 3, 4), bool)), ValueError, "broadcast"),
    (lambda x: np.std(x, out=np.zeros(4), axis=0), TypeError, "out="),
    (lambda x: np.argmax(x, axis=7), ValueError, "axis 7"),
])  # fmt: skip
def test_bad_input_is_refused_with_the_line(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call(cg.variable(A, name="x"))
    assert text == "axis 7" or "test_reductions.py" in str(caught.value)

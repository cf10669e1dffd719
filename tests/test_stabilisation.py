"""Stable forms: each row at points where the plain form loses its digits, against mpmath at 50 digits, with its derivative."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compgraph as cg
from compgraph.stabilisation import FORMS, is_number, stabilise, stable_forms

mp = pytest.importorskip("mpmath").mp.clone()  # which comes with SymPy
mp.dps = 50


def operations(graph: cg.Graph) -> Counter[str]:
    return Counter(node.primitive.name for node in graph.nodes if node.primitive is not None)


def softmax(x: Any) -> Any:
    powers = np.exp(x - np.max(x))
    return powers / np.sum(powers)


class Row(NamedTuple):
    """A plain form as it is written, the same in exact arithmetic, and points of which each breaks the plain form.

    A point has one number an argument; with `vector` it is the entries of the only argument, and the result is one number.
    """

    name: str
    plain: Callable[..., Any]
    exact: Callable[..., Any]
    points: tuple[tuple[float, ...], ...]
    vector: bool = False


ROWS = [
    Row("logsumexp", lambda x: np.log(np.sum(np.exp(x))), lambda *x: mp.log(sum(map(mp.exp, x))),
        ((800.0, 799.0, 1.0), (-800.0, -801.0)), vector=True),
    Row("unshifted logsumexp", lambda x: np.log(np.sum(np.exp(x - (t := x[0])))) + t, lambda *x: mp.log(sum(map(mp.exp, x))),
        ((0.0, 800.0), (-1.0, 900.0, 900.0)), vector=True),
    Row("softmax", lambda x: ((powers := np.exp(x)) / np.sum(powers))[1], lambda *x: mp.exp(x[1]) / sum(map(mp.exp, x)),
        ((800.0, 799.0, 1.0), (-800.0, -801.0)), vector=True),
    Row("log_softmax", lambda x: np.log(softmax(x))[1], lambda *x: x[1] - mp.log(sum(map(mp.exp, x))),
        ((800.0, 0.0), (1.0, -900.0, 3.0)), vector=True),
    Row("log of exp", lambda x: np.log(np.exp(x)), lambda x: x, ((800.0,), (-800.0,))),
    Row("logaddexp", lambda a, b: np.log(np.exp(a) + np.exp(b)), lambda a, b: mp.log(mp.exp(a) + mp.exp(b)),
        ((800.0, 799.0), (-800.0, -790.0))),
    Row("softplus", lambda x: np.log(1 + np.exp(x)), lambda x: mp.log1p(mp.exp(x)), ((800.0,), (-40.0,))),
    Row("softplus", lambda x: np.log1p(np.exp(x)), lambda x: mp.log1p(mp.exp(x)), ((800.0,),)),
    Row("log1p", lambda x: np.log(x + 1), lambda x: mp.log1p(x), ((1e-17,), (-3e-12,))),
    Row("log1p", lambda x: np.log(1.0 - x), lambda x: mp.log1p(-x), ((1e-17,), (-3e-12,))),
    Row("expm1", lambda x: np.exp(x) - 1, lambda x: mp.expm1(x), ((1e-17,), (-3e-12,))),
    Row("expm1", lambda x: -1 + np.exp(x), lambda x: mp.expm1(x), ((1e-17,),)),
    Row("expm1", lambda x: 1 - np.exp(x), lambda x: -mp.expm1(x), ((1e-17,),)),
    Row("half-angle sine", lambda x: 1 - np.cos(x), lambda x: 2 * mp.sin(x / 2) ** 2, ((1e-9,), (-2e-7,))),
    Row("sigmoid", lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (1 + mp.exp(-x)), ((-740.0,), (-720.0,))),
    Row("sigmoid", lambda x: np.reciprocal(1 + np.exp(x)), lambda x: 1 / (1 + mp.exp(x)), ((740.0,),)),
    Row("sigmoid", lambda x: (e := np.exp(x)) / (1 + e), lambda x: 1 / (1 + mp.exp(-x)), ((740.0,),)),
    Row("sigmoid of -x", lambda x: 1 - cg.sigmoid(x), lambda x: 1 / (1 + mp.exp(x)), ((40.0,), (700.0,))),
    Row("log_sigmoid", lambda x: np.log(cg.sigmoid(x)), lambda x: -mp.log1p(mp.exp(-x)), ((-800.0,), (40.0,))),
    Row("log_sigmoid", lambda x: np.log(1 / (1 + np.exp(-x))), lambda x: -mp.log1p(mp.exp(-x)), ((-800.0,), (40.0,))),
    Row("hypot", lambda x, y: np.sqrt(x**2 + y * y), lambda x, y: mp.sqrt(x * x + y * y), ((3e200, 4e200), (3e-200, 4e-200))),
    Row("hypot", lambda x, y: (np.square(x) + y**2) ** 0.5, lambda x, y: mp.sqrt(x * x + y * y), ((-3e200, 4e200),)),
]  # fmt: skip


def arguments(row: Row, point: tuple[float, ...]) -> list[Any]:
    return [np.array(point)] if row.vector else [np.float64(number) for number in point]


TINIEST = 5e-324  # what lies below the normal numbers is as exact as these are apart


def is_near(found: Any, wanted: Any, error: float) -> bool:
    return bool(abs(mp.mpf(float(found)) - wanted) <= error * abs(wanted) + TINIEST)


CASES = [pytest.param(row, point, id=f"{row.name} {point}") for row in ROWS for point in row.points]


@pytest.mark.parametrize(("row", "point"), CASES)
def test_digits(row: Row, point: tuple[float, ...]) -> None:
    xs = arguments(row, point)
    graph = cg.trace(row.plain, *xs)
    stable = cg.typecheck(stabilise(graph))
    wanted = row.exact(*map(mp.mpf, point))
    with np.errstate(all="ignore"):
        plain = graph(*xs)
    assert not is_near(plain, wanted, 1e-8), "a point where the plain form is good shows nothing"
    assert is_near(stable(*xs), wanted, 6e-16)
    assert row.name in [name for _, name, _ in stable_forms(graph)]


@pytest.mark.parametrize(("row", "point"), CASES)
def test_digits_of_derivatives(row: Row, point: tuple[float, ...]) -> None:
    """Each partial derivative, in both modes. Beside the exact ones, the errors that the module's docstring names."""
    xs = arguments(row, point)
    stable = stabilise(cg.trace(row.plain, *xs))
    with mp.workdps(900):  # the step of a difference at 1e-200 is smaller yet
        orders = np.eye(len(point), dtype=int).tolist()
        exact = [mp.diff(row.exact, tuple(map(mp.mpf, point)), tuple(order)) for order in orders]
    found = np.ravel(cg.grad(stable, tuple(range(len(xs))))(*xs))
    error = 6e-16 * (max(map(abs, point)) if "logsumexp" in row.name or "softmax" in row.name else 1)
    beside = 1e-16 if row.name in ("sigmoid", "sigmoid of -x", "softmax") else 0
    for one, wanted in zip(found, exact, strict=True):
        assert abs(mp.mpf(float(one)) - wanted) <= error * abs(wanted) + beside + TINIEST
    tangents = [np.ones_like(x) for x in xs]
    _, along = cg.jvp(stable, tuple(xs), tuple(tangents))
    assert float(along) == pytest.approx(float(np.sum(found)), rel=1e-12, abs=1e-16)


def test_every_form_has_a_row() -> None:
    assert {row.name for row in ROWS} == {form.name for form in FORMS}


def test_the_norm_at_the_origin() -> None:
    """The derivative of the plain root is 0 / 0 there."""
    graph = cg.trace(lambda x, y: np.sqrt(x**2 + y**2), 0.0, 0.0)
    assert cg.grad(stabilise(graph), (0, 1))(0.0, 0.0) == (0.0, 0.0)


@pytest.mark.parametrize("x", [-800.0, 800.0])
def test_the_derivative_of_a_sigmoid_is_finite(x: float) -> None:
    graph = cg.trace(lambda x: 1 / (1 + np.exp(-x)), 0.0)
    assert cg.grad(stabilise(graph))(x) == 0.0
    assert cg.grad(cg.grad(stabilise(graph)))(x) == 0.0


# ------------------------------------------------------------------------------- arrays and dtypes


MATRIX = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 800.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("f", "wanted"), [
    (lambda x: np.log(np.sum(np.exp(x), axis=1)), {"logsumexp": 1}),
    (lambda x: np.log(np.sum(np.exp(x), axis=(0, 1), keepdims=True)), {"logsumexp": 1}),
    (lambda x: (t := np.max(x, axis=1)) + np.log(np.sum(np.exp(x - t[:, None]), axis=1)), {"logsumexp": 1}),
    (lambda x: np.log(np.sum(np.exp(x - (t := np.max(x, axis=0))), axis=0)) + t, {"logsumexp": 1}),
    (lambda x: (t := np.max(x, axis=1, keepdims=True)) + np.log(np.sum(np.exp(x - t), axis=1, keepdims=True)), {"logsumexp": 1}),
    (lambda x: np.log(softmax(x)), {"max": 1, "subtract": 2, "logsumexp": 1}),
    (lambda x: (e := np.exp(x)) / np.sum(e, axis=1)[:, None],
     {"max": 1, "stop_gradient": 1, "subtract": 1, "exp": 1, "sum": 1, "divide": 1}),
    (lambda x: np.log((e := np.exp(x)) / np.sum(e, axis=1, keepdims=True)),
     {"max": 1, "stop_gradient": 1, "logsumexp": 1, "subtract": 2}),
    (lambda x: np.log(1 - 1 / (1 + np.exp(x))), {"negative": 2, "softplus": 1}),
    (lambda x: -np.log(1 / (1 + np.exp(-x))), {"negative": 3, "softplus": 1}),
])  # fmt: skip
def test_compositions(f: Callable[..., Any], wanted: dict[str, int], dtype: Any) -> None:
    x = MATRIX.astype(dtype)
    graph = cg.trace(f, x)
    stable = cg.typecheck(stabilise(graph))
    assert operations(stable) == wanted
    assert (stable.outputs[0].shape, stable.outputs[0].dtype) == (graph.outputs[0].shape, graph.outputs[0].dtype)
    small = np.minimum(x, 5)
    np.testing.assert_allclose(stable(small), graph(small), rtol=30 * np.finfo(dtype).eps, atol=10 * np.finfo(dtype).eps)
    assert np.all(np.isfinite(stable(x)))
    assert np.all(np.isfinite(cg.grad(lambda x: np.sum(stable(x)))(x)))


# ------------------------------------------------------------------------------ where nothing is to be done


@pytest.mark.parametrize("f", [
    lambda x: (e := np.exp(x)) - 1 + e,  # the inside is read twice
    lambda x: (s := 1 + x) * np.log(s),
    lambda x: np.log(s := np.sum(np.exp(x))) + s,
    lambda x: np.log(2 + x),
    lambda x: np.exp(x) - 2,
    lambda x: 2 - np.cos(x),
    lambda x: np.cos(x) - 1,
    lambda x: np.sqrt(x**2 - x**2),
    lambda x: np.sqrt(x**2 + x**3),
    lambda x: (x**2 + x**2) ** 1.5,
    lambda x: 2 / (1 + np.exp(-x)),
    lambda x: np.exp(x) / np.sum(x),
    lambda x: (e := np.exp(x)) / np.sum(np.exp(2 * x)) + e,
    lambda x: (e := np.exp(x[:, None] + x)) / np.sum(e, axis=1),  # divided by the sums of other rows
    lambda x: softmax(x),  # stable already
    lambda x: np.log(x + np.ones(3)),  # ones that are an array
])  # fmt: skip
def test_what_stays(f: Callable[..., Any]) -> None:
    graph = cg.trace(f, np.array([0.1, 0.2, 0.3]))
    assert str(stabilise(graph)) == str(graph) and stable_forms(graph) == []


def test_a_shift_by_something_else_stays() -> None:
    graph = cg.trace(lambda x, t: np.log(np.sum(np.exp(x - t[0]))) + t[1], np.ones(3), np.ones(2))
    assert operations(stabilise(graph)) == {"index": 2, "subtract": 1, "logsumexp": 1, "add": 1}
    rows = cg.trace(lambda x, t: np.log(np.sum(np.exp(x - t), axis=1)) + t, np.ones((3, 3)), np.ones(3))
    assert operations(stabilise(rows)) == {"subtract": 1, "logsumexp": 1, "add": 1}, "t runs along the axis that is summed"


@pytest.mark.parametrize("x", [np.array([0.1 + 1j, 0.2]), np.array([1, 2])])
@pytest.mark.parametrize("f", [lambda x: np.log(1 + x), lambda x: np.sqrt(x**2 + x**2), lambda x: 1 - np.cos(x)])
def test_complex_numbers_stay(f: Callable[..., Any], x: Any) -> None:
    graph = cg.trace(f, x)
    stable = cg.typecheck(stabilise(graph))
    if x.dtype.kind == "c":
        assert str(stable) == str(graph)
    np.testing.assert_allclose(stable(x), graph(x), rtol=1e-15)


def test_a_wider_number_keeps_its_dtype() -> None:
    graph = cg.trace(lambda x: np.log(np.float64(1) + x), np.ones(2, np.float32))
    assert cg.typecheck(stabilise(graph)).outputs[0].dtype == np.float64


def test_empty_arrays() -> None:
    graph = cg.trace(lambda x: np.log(1 + x) + np.sqrt(x**2 + x**2), np.ones((0, 3)))
    assert stabilise(graph)(np.ones((0, 3))).shape == (0, 3)
    none = cg.trace(lambda x: np.log(np.sum(np.exp(x), axis=1)), np.ones((2, 0)))
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(stabilise(none)(np.ones((2, 0))), [-np.inf, -np.inf])


@pytest.mark.parametrize(("value", "is_one"), [
    (1, True), (1.0, True), (True, True), (np.float32(1), True), (cg.constant(1.0), True), (np.ones(()), True), (np.ones(1), False),
    (2, False), (cg.variable(1.0), False), (cg.constant(np.ones(2)), False), (1 + 0j, True),
])  # fmt: skip
def test_ones(value: Any, is_one: bool) -> None:
    assert is_number(value, 1) is is_one


# --------------------------------------------------------------------------------------- whole graphs


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([row for row in ROWS if not row.vector]), min_size=1, max_size=4), st.floats(0.1, 2.0), st.floats(0.1, 2.0))
def test_compositions_of_rows_keep_their_value(rows: list[Row], x: float, y: float) -> None:
    def f(x: Any, y: Any) -> Any:
        value = x
        for row in rows:
            value = row.plain(*(0.3 + 0.5 * np.tanh(value), y)[: row.plain.__code__.co_argcount]) + 0.1 * y
        return value

    stable = cg.typecheck(stabilise(cg.trace(f, x, y)))
    value, bars = cg.value_and_grad(f, (0, 1))(x, y)
    again, bars_again = cg.value_and_grad(stable, (0, 1))(x, y)
    np.testing.assert_allclose([again, *bars_again], [value, *bars], rtol=1e-9, atol=1e-12)


def test_names_and_origins_survive() -> None:
    def f(x: Any) -> Any:
        y = np.log(1 + x)
        y.name = "gain"
        return y

    graph = cg.trace(f, 1.0)
    stable = stabilise(graph)
    assert stable.names[stable.outputs[0]] == "gain" and stable.outputs[0].origin == graph.outputs[0].origin
    (form,) = stable_forms(graph)
    assert form[0] is graph.outputs[0]


def test_a_long_graph_is_linear_and_not_recursive() -> None:
    def f(x: Any) -> Any:
        for _ in range(3000):
            x = np.log(1 + np.exp(x))
        return x

    graph = cg.trace(f, 0.0)
    start = time.perf_counter()
    assert operations(stabilise(graph)) == {"softplus": 3000}
    assert time.perf_counter() - start < 5

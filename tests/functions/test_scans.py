"""NumPy's running sums and products, differences, slopes and the trapezium rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from composites import verify

import compgraph as cg
from compgraph.graph import Node

A = np.array([[0.3, -1.2, 2.1, 0.9], [1.7, 0.4, -0.6, -2.3], [0.8, 1.1, -1.9, 0.2]])
V = np.array([0.4, 1.3, -0.7, 2.2, 0.9])
PLACES = np.array([0.0, 0.5, 1.7, 2.0, 3.5])
HOLES = np.where(A > 2, np.nan, 0.0)

CALLS: dict[str, tuple[Any, ...]] = {
    **{
        f"{name} {kwargs}": (lambda x, name=name, kwargs=kwargs: getattr(np, name)(x + holes(name), **kwargs), A)
        for name in ("cumsum", "cumprod", "nancumsum", "nancumprod")
        for kwargs in ({}, {"axis": 0}, {"axis": -1}, {"dtype": np.float64, "axis": 1})
    },
    **{
        f"{name} {kwargs}": (lambda x, name=name, kwargs=kwargs: getattr(np, name)(x, **kwargs), A)
        for name in ("cumulative_sum", "cumulative_prod") for kwargs in ({"axis": 0}, {"axis": -1, "include_initial": True})
        if hasattr(np, name)
    },
    "add.accumulate": (lambda x: np.add.accumulate(x, axis=1), A),
    "diff": (np.diff, A),
    "diff, axis": (lambda x: np.diff(x, axis=0), A),
    "diff, twice": (lambda x: np.diff(x, n=2), A),
    "diff, none": (lambda x: np.diff(x, n=0) * 1.0, A),
    "diff, more often than there are entries": (lambda x: np.diff(x, n=5), V),
    "diff, ends": (lambda x: np.diff(x, prepend=0, append=x[:, :1]), A),
    "diff, ends along axis 0": (lambda x: np.diff(x, axis=0, prepend=[[1.0, 2.0, 3.0, 4.0]]), A),
    "diff, array between": (lambda v: np.diff(V, prepend=v[0], append=v[1:]), V[:3]),
    "ediff1d": (np.ediff1d, A),
    "ediff1d, ends": (lambda x: np.ediff1d(x, to_begin=1.5, to_end=[2.0, 3.0]), A),
    "trapezoid": (np.trapezoid, A),
    "trapezoid, distance": (lambda y: np.trapezoid(y, dx=0.3, axis=0), A),
    "trapezoid, places": (lambda y, x: np.trapezoid(y, x), V, PLACES),
    "trapezoid, places of each line": (lambda y, x: np.trapezoid(y, x, axis=0), A, np.cumsum(np.abs(A), axis=0)),
    "trapezoid, places along an axis": (lambda y, x: np.trapezoid(y, x, axis=0), A, PLACES[:3]),
    "gradient": (np.gradient, V),
    "gradient of two axes": (np.gradient, A),
    "gradient, one distance": (lambda f: np.gradient(f, 0.5), A),
    "gradient, distances": (lambda f: np.gradient(f, 0.5, 2), A),
    "gradient, distance as a node": (lambda f, h: np.gradient(f, h, axis=1), A, 0.7),
    "gradient, places": (lambda f, x: np.gradient(f, x), V, PLACES),
    "gradient, places of each axis": (lambda f, x, y: np.gradient(f, x, y), A, PLACES[:3], PLACES[1:]),
    "gradient, mixed": (lambda f, x: np.gradient(f, 2.0, x), A, PLACES[1:]),
    "gradient, integer places": (lambda f: np.gradient(f, np.array([0, 1, 3, 4, 7])), V),
    "gradient, axis": (lambda f: np.gradient(f, axis=-1), A),
    "gradient, axes": (lambda f: np.gradient(f, 0.5, 0.25, axis=(1, 0)), A),
    "gradient, edges": (lambda f: np.gradient(f, 0.5, edge_order=2), A),
    "gradient, edges and places": (lambda f, x: np.gradient(f, x, edge_order=2), V, PLACES),
    "gradient, edges of two entries": (lambda f: np.gradient(f), V[:2]),
}  # fmt: skip


def holes(name: str) -> Any:
    return HOLES if name.startswith("nan") else 0.0


@pytest.mark.parametrize("name", CALLS)
def test_scan(name: str) -> None:
    verify(*CALLS[name])


@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0, 4.0], [0.0, 2.0, 0.0, 5.0], [0.0, 0.0, 0.0], [0.0], [1.5]], ids=str)
def test_running_products_with_zeros(x: list[float]) -> None:
    verify(np.cumprod, x)
    gradient = cg.jacobian(np.cumprod)(np.array(x))
    wanted = [[np.prod(np.delete(x[: i + 1], j)) if j <= i else 0.0 for j in range(len(x))] for i in range(len(x))]
    np.testing.assert_allclose(gradient, wanted, rtol=1e-15)


def test_a_long_running_product_takes_logarithmically_many_operations() -> None:
    x = np.cos(np.arange(1000.0)) * 1e-3 + 1
    graph = cg.forward(cg.trace(np.cumprod, x))
    assert len(graph.nodes) < 100
    np.testing.assert_allclose(graph(x, np.ones(1000))[1], np.cumprod(x) * np.cumsum(1 / x), rtol=1e-11)


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "diff", "nancumsum"])
@pytest.mark.parametrize("shape", [(0,), (2, 0), (1,), (1, 1)], ids=str)
def test_few_numbers_or_none(name: str, shape: tuple[int, ...]) -> None:
    x = np.full(shape, 1.5)
    function = getattr(np, name)
    y = function(cg.variable(x), axis=-1)
    np.testing.assert_array_equal(y.value, function(x, axis=-1))
    assert cg.grad(lambda x: np.sum(function(x, axis=-1)))(x).shape == shape


def test_no_nan_leaks_out_of_a_running_sum() -> None:
    gradient = cg.grad(lambda x: np.sum(np.nancumsum(x) ** 2))(np.array([1.0, np.nan, 2.0]))
    np.testing.assert_array_equal(gradient, [10.0, 0.0, 6.0])


def test_differences_of_truths_are_truths() -> None:
    x = cg.variable(V)
    found = np.diff(x > 1)
    assert isinstance(found, Node)
    np.testing.assert_array_equal(found.value, np.diff(V > 1))


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda x: np.cumsum(x, axis=2), ValueError, "axis 2"),
    (lambda x: np.diff(x, n=-1), ValueError, "non-negative"),
    (lambda x: np.gradient(x, 1.0, 2.0, 3.0), TypeError, "arguments"),
    (lambda x: np.gradient(x, [1.0, 2.0], axis=0), ValueError, "match the length"),
    (lambda x: np.gradient(x[:1], axis=0), ValueError, "too small"),
    (lambda x: np.gradient(x, edge_order=3), ValueError, "edge_order"),
    (lambda x: np.gradient(x, axis=(0, 0)), ValueError, "repeated"),
    (lambda x: np.cumsum(x, axis=0, out=np.zeros((3, 4))), TypeError, "out="),
])  # fmt: skip
def test_bad_input_is_refused_with_the_line(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call(cg.variable(A, name="x"))
    assert "test_scans.py" in str(caught.value)

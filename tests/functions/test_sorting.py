"""NumPy's sorts and partitions, and the places of numbers among others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from composites import verify

import compgraph as cg
from compgraph.graph import Node

A = np.array([[0.3, -1.2, 2.1, 0.9], [1.7, 0.4, -0.6, -2.3], [0.8, 1.1, -1.9, 0.2]])
BINS = np.array([-2.0, 0.0, 1.0])

CALLS: dict[str, Any] = {
    "sort": np.sort,
    "sort, axis 0": lambda x: np.sort(x, axis=0),
    "sort, flat": lambda x: np.sort(x, axis=None),
    "sort, kind": lambda x: np.sort(x, kind="mergesort"),
    "sort, stable": lambda x: np.sort(x, stable=True, axis=-2),
    "partition": lambda x: np.partition(x, 1),
    "partition, several": lambda x: np.partition(x, (0, 2), axis=0),
    "partition, from the end": lambda x: np.partition(x, -2, axis=None),
    "partition, array": lambda x: np.partition(x, np.array([1, 3]), axis=-1),
    "sum of the largest": lambda x: np.sum(np.sort(x, axis=-1)[..., -2:], axis=-1),
}


@pytest.mark.parametrize("name", CALLS)
def test_sort(name: str) -> None:
    verify(CALLS[name], A, exact=True)


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 0), (1, 3)], ids=str)
def test_few_numbers_or_none(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 1.5)
    assert np.sort(cg.variable(x)).shape == shape
    np.testing.assert_array_equal(cg.grad(lambda x: np.sum(np.sort(x)))(x), np.ones(shape))


def test_a_long_partition_has_the_derivative_of_the_entry_of_equal_rank() -> None:
    x = np.random.default_rng(0).permutation(200.0 * np.arange(300))
    y, y_dot = cg.jvp(lambda x: np.partition(x, 150), (x,), (np.sin(x),))
    np.testing.assert_array_equal(y, np.partition(x, 150))
    np.testing.assert_array_equal(y_dot, np.sin(y))


def test_entries_that_tie_keep_their_order() -> None:
    x = np.array([2.0, 1.0, 2.0, 1.0])
    jacobian = cg.jacobian(np.sort)(x)
    np.testing.assert_array_equal(jacobian, np.eye(4)[[1, 3, 0, 2]])
    np.testing.assert_array_equal(cg.jacobian(np.sort, mode="forward")(x), jacobian)
    assert np.array_equal(np.sum(cg.jacobian(lambda x: np.partition(x, 2))(x), axis=0), np.ones(4))


def test_nan_stand_at_the_end_with_their_tangents() -> None:
    x = np.array([np.nan, 3.0, 1.0])
    _, y_dot = cg.jvp(np.sort, (x,), (np.array([10.0, 20.0, 30.0]),))
    np.testing.assert_array_equal(y_dot, [30.0, 20.0, 10.0])


# ------------------------------------------------------------------------------------- without derivative


QUESTIONS: dict[str, Any] = {
    "argsort": lambda x: np.argsort(x),
    "argsort, axis": lambda x: np.argsort(x, axis=0),
    "argsort, flat": lambda x: np.argsort(x, axis=None),
    "searchsorted": lambda x: np.searchsorted(BINS, x),
    "searchsorted, side": lambda x: np.searchsorted(BINS, x, side="right"),
    "digitize": lambda x: np.digitize(x, BINS),
    "digitize, right": lambda x: np.digitize(x, BINS, right=True),
    "digitize, decreasing": lambda x: np.digitize(x, BINS[::-1]),
    "digitize, decreasing, right": lambda x: np.digitize(x, BINS[::-1], right=True),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_places_are_plain_and_are_found_again_in_a_graph(name: str) -> None:
    question = QUESTIONS[name]
    values = np.round(A)
    found = question(cg.variable(values))
    assert not isinstance(found, Node)
    np.testing.assert_array_equal(found, question(values))
    graph = cg.typecheck(cg.trace(lambda x: question(x) * x[0, 0], A))
    np.testing.assert_array_equal(graph(A), question(A) * A[0, 0])
    np.testing.assert_array_equal(graph(-A), question(-A) * -A[0, 0])


def test_an_order_is_an_index() -> None:
    verify(lambda x: x[np.argsort(x)], A[0], exact=True)


def test_counts_and_distinct_values_are_plain() -> None:
    x = cg.variable(np.round(A))
    for found, wanted in zip(np.histogram(x, bins=3), np.histogram(np.round(A), bins=3), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.unique(x), np.unique(np.round(A)))
    assert len(np.unique(x, return_counts=True)) == 2


@pytest.mark.parametrize("function", [np.unique, np.histogram])
def test_what_depends_on_values_cannot_be_traced(function: Any) -> None:
    with pytest.raises(cg.CompgraphError, match=r"test_sorting.py"):
        cg.trace(function, A)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda x: np.sort(x, axis=2), ValueError, "axis 2"),
    (lambda x: np.sort(x, order="name"), ValueError, "order"),
    (lambda x: np.partition(x, 9), ValueError, "kth"),
    (lambda x: np.partition(x, 0.5), TypeError, "integer"),
])  # fmt: skip
def test_bad_input_is_refused_with_the_line(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call(cg.variable(A, name="x"))
    assert "test_sorting.py" in str(caught.value)

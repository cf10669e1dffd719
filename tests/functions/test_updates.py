"""`cg.at(x)[index].set(y)` and its relatives: NumPy's assignments, in value and in both modes, to second order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from composites import first_order, second_order, vector_mode

import compgraph as cg
from compgraph.functions.updates import at
from compgraph.graph import Node

V = np.array([0.4, 1.3, -0.7, 2.2, 0.9])
A = np.array([[0.3, -1.2, 2.1], [1.7, 0.4, -0.6]])
T = np.linspace(-1.0, 1.3, 24).reshape(2, 3, 4)
N = np.float64(0.75)

UFUNCS: dict[str, np.ufunc] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "min": np.minimum, "max": np.maximum,
}  # fmt: skip
CASES: dict[str, tuple[Any, Any, Any]] = {
    "integer": (V, 1, N), "slice": (V, slice(None, None, 2), V[:3] + 1.1), "broadcast": (A, (slice(None), 0), N),
    "row": (A, 1, V[:3] * 2), "mask": (A, A > 0.35, V[:3] - 0.3), "array": (V, np.array([3, 0]), V[:2] + 0.2), "all": (A, ..., 2 * A + 1),
    "repeated": (V, np.array([1, 1, 3, 1]), V[1:] + 0.25), "repeated rows": (T, (slice(None), np.array([0, 2, 0])), T[0, 0] * 1.1 + 0.05),
    "apart": (T, (np.array([1, 0]), slice(None), np.array([3, 3])), T[0, :2, :3] + 3.4), "nothing": (V, slice(0, 0), N),
    "new axis": (V, (None, slice(1, 3)), V[3:][None] * 1.5), "surplus axes": (V, slice(1, 3), V[None, None, 3:] * 1.5),
    "number": (N, (), N + 1),
}  # fmt: skip


def assigned(x: Any, index: Any, y: Any) -> Any:
    x = np.array(x)
    x[index] = y
    return x


@pytest.mark.parametrize("method", ["set", *UFUNCS])
@pytest.mark.parametrize("name", CASES)
def test_update(name: str, method: str) -> None:
    x, index, y = CASES[name]

    def call(x: Any, y: Any) -> Any:
        return getattr(at(x)[index], method)(y)

    if method == "set":
        wanted = assigned(x, index, y)
    else:
        wanted = np.array(x)
        surplus = max(np.ndim(y) - np.ndim(x[index]), 0)
        UFUNCS[method].at(wanted, index, np.reshape(y, np.shape(y)[surplus:]))
    np.testing.assert_allclose(call(x, y), wanted, rtol=1e-15)
    graph = cg.typecheck(cg.trace(call, x, y))
    np.testing.assert_allclose(graph(x, y), wanted, rtol=1e-15)
    first_order(call, (x, y))
    vector_mode(call, (x, y))
    second_order(call, (x, y))
    narrow = call(cg.variable(np.asarray(x, np.float32)), cg.variable(y))
    assert isinstance(narrow, Node) and narrow.dtype == np.float32


def test_of_repeated_entries_the_last_stays_and_has_the_derivative() -> None:
    index = np.array([1, 1, 0])
    x_bar, y_bar = cg.grad(lambda x, y: np.sum(at(x)[index].set(y)), (0, 1))(V, V[:3])
    np.testing.assert_array_equal(x_bar, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(y_bar, [0, 1, 1])
    np.testing.assert_array_equal(cg.grad(lambda y: np.sum(at(V)[index].add(y)))(V[:3]), [1, 1, 1])


@pytest.mark.parametrize("method", ["set", "add", "subtract"])
def test_the_index_may_be_abstract(method: str) -> None:
    index = np.array([1, 1, 3])
    graph = cg.trace(lambda x, i, y: getattr(at(x)[i], method)(y), V, index, V[:3])
    wanted = getattr(at(V)[index], method)(V[:3])
    np.testing.assert_array_equal(graph(V, index, V[:3]), wanted)
    y_bar = np.cos(V)
    found = cg.reverse(graph)(V, index, V[:3], y_bar)[1:]
    for one, other in zip(found, cg.vjp(lambda x, y: getattr(at(x)[index], method)(y), V, V[:3])[1](y_bar), strict=True):
        np.testing.assert_array_equal(one, other)
    assert cg.check(graph, V, index, V[:3]).ok


def test_an_abstract_index_that_may_repeat_is_refused_where_the_order_counts() -> None:
    with pytest.raises(cg.MissingRuleError, match=r"multiply at an abstract array of indices.*test_updates\.py"):
        cg.trace(lambda x, i: at(x)[i].multiply(2.0), V, np.array([1, 1]))


def test_a_node_as_index_that_holds_its_value() -> None:
    wanted = at(V)[[1, 1]].multiply(2.0)
    np.testing.assert_array_equal(at(cg.variable(V))[cg.constant([1, 1])].multiply(2.0).value, wanted)
    assert at(cg.variable(V))[cg.constant(2)].set(0.0).value[2] == 0


def test_what_is_overwritten_does_not_leak_a_nan() -> None:
    x = np.array([np.nan, 1.0, np.inf])
    x_bar = cg.grad(lambda x: np.sum(at(x)[[0, 2]].set(0.0) ** 2))(x)
    np.testing.assert_array_equal(x_bar, [0.0, 2.0, 0.0])


def test_building_an_array_entry_by_entry() -> None:
    def powers(x: Any) -> Any:
        y = np.zeros(5)
        for place in range(5):
            y = at(y)[place].set(x**place)
        return np.sum(y)

    assert cg.grad(powers)(2.0) == 1 + 4 + 12 + 32


def test_the_error_of_an_assignment_names_at() -> None:
    x = cg.variable(V)
    with pytest.raises(TypeError, match=r"cg\.at\(x\)\[index\]\.set\(value\)"):
        x[1] = 2.0
    for write in (
        lambda: np.put(x, [0], 1.0), lambda: np.copyto(x, V), lambda: np.place(x, V > 0, [1.0]), lambda: np.fill_diagonal(x, 0.0),
        lambda: np.put_along_axis(x, np.array([0]), 1.0, 0), lambda: np.copyto(np.zeros(5), x),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"test_updates\.py:\d+.*cg\.at\("):
            write()


BAD: dict[str, tuple[Any, type[Exception]]] = {
    "index": (lambda x: at(x)[7].set(1.0), IndexError),
    "shape": (lambda x: at(x)[:2].set(np.ones(3)), ValueError),
    "float index": (lambda x: at(x)[0.5].set(1.0), TypeError),
    "text": (lambda x: at(x)[0].set("a"), TypeError),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_updates(name: str) -> None:
    call, error = BAD[name]
    with pytest.raises(error, match=r"test_updates\.py:\d+"):
        call(cg.variable(V))


def test_integers_do_not_take_floats() -> None:
    with pytest.raises(TypeError, match=r"an array of int64 cannot take float64.*astype"):
        at(np.zeros(3, np.int64))[0].set(cg.variable(1.5))

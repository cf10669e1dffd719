"""Reading entries: NumPy's indices and functions of indices, in value and in both modes, to second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from composites import verify

import compgraph as cg
from compgraph.graph import Node

V = np.array([0.4, 1.3, -0.7, 2.2, 0.9])
A = np.array([[0.3, -1.2, 2.1], [1.7, 0.4, -0.6]])
T = np.linspace(-1.0, 1.3, 24).reshape(2, 3, 4)
N = np.float64(0.7)
LABELS = np.array([0, 2, 2, 1])
LOGITS = np.linspace(-1.0, 1.5, 12).reshape(4, 3)
MASK = np.array([[True, False, True], [False, False, True]])

INDICES: dict[str, tuple[Any, Any]] = {
    "integer": (V, -2), "slice": (V, slice(None, None, -2)), "to a number": (A, (1, -1)), "ellipsis": (T, (..., 1)),
    "newaxis": (T, (None, 0, ..., None)), "mixture of basic ones": (T, (slice(1, None), ..., None, slice(3, 0, -2))),
    "NumPy integer": (V, np.int32(1)), "mask": (A, MASK), "mask of an axis": (A, (slice(None), MASK[0])), "list": (V, [0, 0, 3]),
    "array": (A, np.array([[0, 1], [1, 1]])), "arrays": (T, (np.array([0, 1]), np.array([2, 2]))),
    "arrays apart": (T, (np.array([1, 0]), slice(None), np.array([3, 3]))), "integer and array apart": (T, (0, slice(None), [1, 1])),
    "mask and array": (T, (np.array([True, True]), slice(0, 2), np.array([1, 0]))),
    "nothing": (V, []), "no entry": (A, np.zeros((2, 3), bool)),
    "empty tuple": (A, ()), "slice to nothing": (A, slice(2, 1)),
    "mask of a number": (A, (True, 0)), "tuple in a tuple": (A, ((0, 1, 1), 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", INDICES)
def test_index(name: str) -> None:
    x, index = INDICES[name]
    verify(lambda x: x[index], x, exact=True)
    verify(lambda x: (x * 2)[index] * x[index], x)


CALLS: dict[str, tuple[Any, ...]] = {
    "index of an index": (lambda x: x[1:][:, ::-1][..., 0], T),
    "iteration": (lambda x: sum(row * row[0] for row in x), A),
    "unpacking": (lambda x: (lambda a, b: a * b)(*x), A),
    "take": (lambda x: np.take(x, [1, 5, 1]), A),
    "take, number": (lambda x: np.take(x, -1), A),
    "take, axis": (lambda x: np.take(x, np.array([[0, -1], [2, 2]]), axis=1), A),
    "take, wrap": (lambda x: np.take(x, [7, -8, 2], mode="wrap"), V),
    "take, clip": (lambda x: np.take(x, [7, -8, 2], 0, mode="clip"), V),
    "take, method": (lambda x: x.take([0, 0], axis=-1), A),
    "take_along_axis": (lambda x: np.take_along_axis(x, LABELS[:, None], axis=1), LOGITS),
    "take_along_axis, default": (lambda x: np.take_along_axis(x, LABELS[:, None] * [1, 1], -1), LOGITS),
    "take_along_axis, flat": (lambda x: np.take_along_axis(x, LABELS, axis=None), LOGITS),
    "take_along_axis, argsort": (lambda x: np.take_along_axis(x, np.argsort(T, axis=1), axis=1), T),
    "take_along_axis, broadcast": (lambda x: np.take_along_axis(x, np.array([[[1, 0]]]), axis=2), T),
    "choose": (lambda x, y: np.choose([[0, 1, 0], [1, 1, 0]], [x, y]), A, A * 2),
    "choose, broadcast": (lambda x, y: np.choose([0, 1, 1], [x, y]), N, A),
    "choose, wrap": (lambda x, y: np.choose([0, 3, -2], [x, y], mode="wrap"), A[0], A[1]),
    "choose, clip": (lambda x, y: np.choose([0, 3, -2], (x, y), mode="clip"), A[0], A[1]),
    "select": (lambda x, y: np.select([x > 1, x > 0], [x, y]), A, A * 2),
    "select, default": (lambda x, y: np.select([MASK], [x], default=y), A, N),
    "compress": (lambda x: np.compress([True, False, True], x), A),
    "compress, axis": (lambda x: np.compress([0, 1], x, axis=1), A),
    "compress, method": (lambda x: x.compress([False, True], axis=0), A),
    "extract": (lambda x: np.extract(MASK, x), A),
    "where": (lambda x, y: np.where(MASK, x, y), A, N),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_selecting(name: str) -> None:
    call, *xs = CALLS[name]
    verify(call, *xs)


# ------------------------------------------------------------------ indices that are nodes, abstract ones too

TRACED: dict[str, tuple[Callable[..., Any], Any, tuple[Any, ...]]] = {
    "a row's entry": (lambda x, i: x[np.arange(4), i], LOGITS, (LABELS,)),
    "one axis": (lambda x, i: x[i], LOGITS, (LABELS,)),
    "inner axis": (lambda x, i: x[:, i], T, (LABELS,)),
    "last axis": (lambda x, i: x[..., i, None], T, (LABELS,)),
    "two": (lambda x, i, j: x[i, j], LOGITS, (LABELS, np.array([[0], [2]]))),
    "apart": (lambda x, i, j: x[i, :, j], T, (np.array([1, 0, 1]), np.array([3, 3, 0]))),
    "beside an integer": (lambda x, i: x[1, :, i], T, (LABELS,)),
    "beside a mask": (lambda x, i: x[np.array([True, True]), :, i], T, (np.array([3, 0]),)),
    "a number": (lambda x, i: x[i] * x[:, i], LOGITS[:3], (np.array(2),)),
    "two numbers": (lambda x, i, j: x[i, :, j], T, (np.array(1), np.array(-1))),
    "entry of an index": (lambda x, i: x[i[1]] + x[i[2:]], LOGITS, (LABELS,)),
    "computed": (lambda x, i: x[3 - i, i - 1], LOGITS, (LABELS,)),
    "index of an index": (lambda x, i: x[i][i], LOGITS, (LABELS,)),
    "take": (lambda x, i: np.take(x, i, axis=1), LOGITS, (LABELS,)),
    "take, clip": (lambda x, i: np.take(x, i - 1, mode="clip"), V, (LABELS,)),
    "take, wrap": (lambda x, i: np.take(x, i * 4 - 3, mode="wrap"), V, (LABELS,)),
    "take_along_axis": (lambda x, i: np.take_along_axis(x, i[:, None], 1), LOGITS, (LABELS,)),
    "choose": (lambda x, i: np.choose(i, [x, 2 * x, x * x]), V[:4], (LABELS,)),
    "choose by a number": (lambda x, i: np.choose(i, [x, 2 * x, x * x]), V[:4], (np.array(2),)),
    "argmax": (lambda x: x[np.argmax(x, axis=0)], LOGITS, ()),
}


@pytest.mark.parametrize("name", TRACED)
def test_an_index_may_be_a_node(name: str) -> None:
    call, x, indices = TRACED[name]
    wanted = call(x, *indices)
    weights = np.linspace(0.5, 1.5, np.size(wanted)).reshape(np.shape(wanted))

    def gradient(*indices: Any) -> Any:
        return cg.grad(lambda x: np.sum(weights * call(x, *indices) ** 3))(x)

    graph = cg.typecheck(cg.trace(call, x, *indices))
    np.testing.assert_array_equal(graph(x, *indices), wanted)
    forward, reverse = cg.typecheck(cg.forward(graph)), cg.typecheck(cg.reverse(graph))
    x_dot = np.cos(np.arange(x.size)).reshape(x.shape)
    y_dot = forward(x, *indices, x_dot)[1]
    x_bar = reverse(x, *indices, weights)[1]
    np.testing.assert_allclose(np.sum(x_dot * x_bar), np.sum(weights * y_dot), rtol=1e-12)
    np.testing.assert_allclose(x_bar, cg.vjp(lambda x: call(x, *indices), x)[1](weights)[0], rtol=1e-14)
    constants = [cg.constant(index) for index in indices]
    np.testing.assert_allclose(gradient(*constants), gradient(*indices), rtol=1e-14)
    for mode in ("forward", "reverse"):
        one = cg.jacobian(lambda x: call(x, *indices), mode=mode)(x)
        traced = cg.trace(lambda x, *indices, mode=mode: cg.jacobian(lambda x: call(x, *indices), mode=mode)(x), x, *indices)
        np.testing.assert_allclose(traced(x, *indices), one, rtol=1e-14)

    # Programs and JSON say the same.
    for each in (graph, reverse):
        read = cg.Graph.from_json(each.to_json())
        assert read.to_source() == each.to_source()
    np.testing.assert_array_equal(cg.Graph.from_json(reverse.to_json())(x, *indices, weights)[1], x_bar)
    assert cg.check(graph, x, *indices).ok


def test_a_program_reads_as_it_was_written() -> None:
    graph = cg.trace(lambda logits, y: logits[np.arange(4), y], LOGITS, LABELS)
    assert "v1 = logits[np.array([0, 1, 2, 3]), y]" in graph.to_source()
    assert "scatter_add(v1_bar, np.s_[np.array([0, 1, 2, 3]), y], (4, 3))" in cg.reverse(graph).to_source()
    assert "x[:, y, None, ::2]" in str(cg.trace(lambda x, y: x[:, y, None, ::2], T, LABELS))


def test_a_traced_index_is_checked_when_it_runs() -> None:
    graph = cg.trace(lambda x, i: x[i], V, LABELS)
    with pytest.raises(IndexError, match="out of bounds"):
        graph(V, np.array([0, 1, 2, 5]))


def test_masks_that_are_nodes() -> None:
    x = cg.variable(A)
    y = x[x > 0]
    assert isinstance(y, Node)
    np.testing.assert_array_equal(y.value, A[A > 0])
    np.testing.assert_array_equal(cg.grad(lambda x: np.sum(x[x > 0] ** 2))(A), np.where(A > 0, 2 * A, 0))
    with pytest.raises(cg.AbstractValueError, match=r"an index needs a number.*np\.where"):
        cg.trace(lambda x: x[x > 0], A)


def test_questions_about_places_have_plain_answers() -> None:
    x = cg.variable(np.where(A > 1, A, 0.0))
    for function in (np.nonzero, np.argwhere, np.flatnonzero, np.where):
        np.testing.assert_array_equal(function(x), function(x.value))
    for function in (np.nonzero, np.where):
        with pytest.raises(cg.AbstractValueError, match=function.__name__):
            cg.trace(lambda x, function=function: x[function(x)], A)


def test_piecewise() -> None:
    def f(x: Any) -> Any:
        return np.piecewise(x, [x < 0, x > 1], [lambda x: -x, np.sqrt, 0.25])

    np.testing.assert_allclose(f(cg.variable(A)).value, f(A))
    np.testing.assert_allclose(cg.elementwise_grad(f)(A), np.where(A < 0, -1, np.where(A > 1, 0.5 / np.sqrt(abs(A)), 0)))


def test_no_nan_leaks_from_the_entries_that_are_not_read() -> None:
    x = np.array([np.nan, 1.0, np.inf])
    np.testing.assert_array_equal(cg.grad(lambda x: x[1] ** 2)(x), [0.0, 2.0, 0.0])
    np.testing.assert_array_equal(cg.grad(lambda x: np.sum(np.take(x, [1, 1]) ** 2))(x), [0.0, 4.0, 0.0])
    np.testing.assert_array_equal(cg.grad(lambda x: np.sum(np.compress([False, True], x)))(x), [0.0, 1.0, 0.0])


def test_many_single_reads_are_linear_work() -> None:
    x = np.linspace(0.1, 1.0, 1000)
    node = cg.variable(x)
    total = sum(node[place] * node[place] for place in range(1000))
    total.backward()
    np.testing.assert_allclose(node.grad, 2 * x)


BAD: dict[str, tuple[Callable[[Any], Any], type[Exception]]] = {
    "outside": (lambda x: x[2], IndexError),
    "too many": (lambda x: x[0, 0, 0], IndexError),
    "mask of another shape": (lambda x: x[np.array([True, False, True])], IndexError),
    "arrays that do not broadcast": (lambda x: x[np.array([0, 1]), np.array([0, 1, 2])], IndexError),
    "take": (lambda x: np.take(x, 6), IndexError),
    "take, mode": (lambda x: np.take(x, 1, mode="no"), ValueError),
    "take, axis": (lambda x: np.take(x, 1, axis=2), np.exceptions.AxisError),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.array([0]), 1), ValueError),
    "take_along_axis, floats": (lambda x: np.take_along_axis(x, np.array([[0.5]]), 1), IndexError),
    "choose": (lambda x: np.choose([0, 2, 1], [x, x]), ValueError),
    "choose, negative": (lambda x: np.choose([0, -1, 1], [x, x]), ValueError),
    "select": (lambda x: np.select([x > 0], [x, x]), ValueError),
    "compress": (lambda x: np.compress(MASK, x), ValueError),
    "compress, outside": (lambda x: np.compress([False] * 3 + [True], x, axis=1), IndexError),
    "where": (lambda x: np.where(MASK, x), ValueError),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_what_numpy_raises_with_the_line(name: str) -> None:
    call, error = BAD[name]
    with pytest.raises(error):
        call(A)
    with pytest.raises(error, match=r"test_indexing\.py:\d+"):
        call(cg.variable(A))

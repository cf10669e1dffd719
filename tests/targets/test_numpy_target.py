"""The NumPy target computes what the graph does, in memory that is nobody else's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from domains import DIFFERENTIABLE, Sample

import compgraph as cg
from compgraph.targets import numpy_target


def compared(graph: cg.Graph, values: list[Any], **options: Any) -> None:
    """The program gives the graph's results to the bit, twice, and each in memory of its own."""
    program = numpy_target.build(graph, exact=True, **options)
    given = [np.copy(value)[()] for value in values]
    wanted = [np.copy(value)[()] for value in graph.run(given)]
    first, second = program.function(*given), program.function(*given)
    for found, again, result, node in zip(first, second, wanted, graph.outputs, strict=True):
        np.testing.assert_array_equal(found, result)
        np.testing.assert_array_equal(again, result)
        assert (np.asarray(found).dtype, np.shape(found)) == (node.dtype, node.shape)
        if isinstance(found, np.ndarray):
            assert not any(np.shares_memory(found, other) for other in (*given, again) if isinstance(other, np.ndarray))
    for value, before in zip(given, values, strict=True):
        np.testing.assert_array_equal(value, before)


@pytest.fixture(params=[numpy_target.SMALLEST_BUFFER, 1], ids=["as it is", "everything planned"])
def threshold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(numpy_target, "SMALLEST_BUFFER", request.param)
    return int(request.param)


@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=str)
def test_every_primitive_and_its_derivatives(sample: Sample, threshold: int) -> None:
    graph = cg.trace(lambda *xs: sample(*xs), *sample.xs)
    values = [np.asarray(x)[()] for x in sample.xs]
    ones = [np.ones_like(x)[()] for x in values]
    compared(graph, values)
    compared(cg.simplify(cg.forward(graph)), [*values, *ones])
    y = graph.outputs[0]
    compared(cg.simplify(cg.reverse(graph)), [*values, np.ones(y.shape, y.dtype)[()]])


LARGE = np.random.default_rng(0).normal(size=(100, 64))

# What planned memory could get wrong: views that outlive their base, results that are parts, arguments read twice.
PROGRAMS = {
    "a view read after its base was freed": lambda x: (lambda view: np.exp(x) + view[::-1])(np.sin(x)[:, :]),
    "a transposed view read in place": lambda x: (lambda y: y + y.T)(np.sin(x @ x.T)),
    "both halves of a result": lambda x: (lambda y: y[:50] * y[50:])(np.exp(x)),
    "an argument read twice": lambda x: (lambda y: y * y + y)(np.exp(x)),
    "a chain": lambda x: np.exp(np.sin(np.cos(x * 2) + 1) - x),
    "a sum and what was summed": lambda x: (lambda y: (np.sum(y, axis=0), y * 2))(np.exp(x)),
    "results that are views of one another": lambda x: (lambda y: (y, y.T, y[0], np.reshape(y, (-1,)), y[3, 4]))(np.exp(x)),
    "a result in another shape": lambda x: np.reshape(np.exp(x).T, (-1,)),
    "a result that is read on": lambda x: (lambda y: (y, np.sin(y) * 2, np.cos(y)))(np.exp(x)),
    "a constant as a result": lambda x: (x * 2, cg.constant(np.ones((100, 64)))),
    "joined parts": lambda x: np.sin(np.concatenate([np.ravel(np.exp(x)), np.ravel(x @ x.T), x[0]])),
    "a part joined twice": lambda x: (lambda y: np.sin(np.concatenate([y, y, np.cos(y)])))(np.reshape(np.exp(x), (-1,))),
    "a joined part read elsewhere": lambda x: (lambda y: np.sin(np.concatenate([y, x[0]])) * np.sum(y))(np.reshape(np.exp(x), (-1,))),
    "a flat gradient": lambda x: cg.grad(lambda p: np.sum(np.tanh(LARGE @ p[:3200].reshape(64, 50) + p[3200:]) ** 2))(x.ravel()[:3250]),
    "broadcasting into place": lambda x: (lambda y: np.sum(y * y[0] + x[:, :1], axis=1))(np.exp(x)),
    "a loop": lambda x: cg.scan(lambda h, row: (np.tanh(h * row), h + row), x[0], x),
    "a loop with large turns": lambda x: cg.fori(0, 3, lambda i, y: np.sin(np.exp(y * 0.1) + x) * i, x),
    "a loop that swaps": lambda x: cg.fori(0, 3, lambda i, pair: (pair[1], pair[0] * 2), (x, x + 1)),
    "a loop in a loop": lambda x: cg.fori(0, 2, lambda i, y: cg.scan(lambda h, row: (h + np.sin(row), h), x[0], y)[1] * 0.5, x),
    "the gradient of a loop": lambda x: cg.grad(lambda x: np.sum(cg.scan(lambda h, row: (np.tanh(h * row), h * row), x[0], x)[1]))(x),
    "a loop of no turns": lambda x: cg.fori(0, 0, lambda i, y: y * 2, x),
    "a loop backward": lambda x: cg.scan(lambda h, row: (h * 0.5 + row, h), x[0], x, reverse=True),
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("passes", [lambda graph: graph, cg.simplify], ids=["as traced", "simplified"])
def test_planned_memory(program: str, passes: Any, threshold: int) -> None:
    graph = passes(cg.trace(PROGRAMS[program], LARGE))
    compared(graph, [LARGE])


def test_memory_is_planned_once_and_reused() -> None:
    graph = cg.trace(PROGRAMS["a chain"], LARGE)
    source = numpy_target.build(graph).source
    assert "memory = np.empty(51200, np.uint8)" in source, "one block serves the whole chain"
    assert source.count("np.empty") == 1
    small = numpy_target.build(cg.trace(PROGRAMS["a chain"], np.ones(3))).source
    assert "memory" not in small, "small arrays are not worth it"


def test_a_number_beside_an_array_keeps_the_arrays_dtype() -> None:
    for dtype in (np.float32, np.float16, np.complex64):
        x = np.ones(3, dtype)
        for function in (lambda x: x * 0.1, lambda x: 2 / x, lambda x: x - 1, lambda x: np.power(x, 3), lambda x: np.where(x != 0, x, 0.5)):
            compared(cg.trace(function, x), [x])
    places = np.arange(3, dtype=np.int8)
    compared(cg.trace(lambda x, places: x * (places * 2 + 1), np.ones(3), places), [np.ones(3), places])


def test_a_functions_own_name_and_parameters_may_be_anything() -> None:
    def memory(pool: Any, work: Any, np_: Any, c1: Any, b1: Any) -> Any:
        return np.exp(pool) * work + np_ * 2.5 - c1 / b1

    xs = [LARGE + number for number in range(5)]
    compared(cg.trace(memory, *xs), xs)


@pytest.mark.parametrize("constant", [
    np.longdouble(1) / 3, np.longdouble("inf"), np.longdouble("nan"), np.clongdouble(1 - 2j) / 3, complex(-0.0, -1.0), -math.inf,
    2**53 + 1, 10**25,
], ids=str)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.longdouble, np.clongdouble])
def test_numbers_of_every_precision_are_kept_to_the_last_digit(constant: Any, dtype: Any) -> None:
    x = np.array([1.5, -2.0, 0.0]).astype(dtype)
    graph = cg.trace(lambda x: x * constant + constant, x)
    with np.errstate(all="ignore"):
        (found,) = numpy_target.build(graph).function(x)
        (wanted,) = graph.run([x])
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)

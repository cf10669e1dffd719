"""Chains of up to a million nodes: nothing is recursive, and work and memory grow with the length and no faster.

Work is counted in calls of Python functions, memory in allocated bytes; neither depends on the machine's mood.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg

SLOPE = 1 - 1e-7


def chain(x: Any, length: int) -> Any:
    """`length` nodes: an addition and a multiplication in turn."""
    for number in range(length):
        x = x * SLOPE if number % 2 else x + 1e-7
    return x


def eager(length: int) -> tuple[Any, Any]:
    x = cg.variable(1.0)
    y = chain(x, length)
    y.backward()
    return y, x.grad


def traced(length: int) -> tuple[Any, Any]:
    graph = cg.trace(lambda x: chain(x, length), 1.0)
    adjoint = cg.reverse(graph)
    return adjoint, adjoint(1.0, 1.0)[1]


def pushed(length: int) -> tuple[Any, Any]:
    tangent = cg.forward(cg.trace(lambda x: chain(x, length), 1.0))
    return tangent, tangent(1.0, 1.0)[1]


SIZES = [10**4, 10**5, pytest.param(10**6, marks=pytest.mark.slow)]


@pytest.mark.parametrize("length", [10**4, 10**5, 10**6])
def test_eager(length: int) -> None:
    y, slope = eager(length)
    assert slope == pytest.approx(SLOPE ** (length // 2), rel=1e-9)
    last = weakref.ref(y)
    del y
    gc.collect()
    assert last() is None


@pytest.mark.parametrize("length", SIZES)
@pytest.mark.parametrize("sweep", [traced, pushed])
def test_graphs(sweep: Callable[[int], tuple[Any, Any]], length: int) -> None:
    graph, slope = sweep(length)
    assert slope == pytest.approx(SLOPE ** (length // 2), rel=1e-9)
    assert len(graph.nodes) >= length
    first = weakref.ref(graph.nodes[0])
    del graph
    gc.collect()
    assert first() is None


def calls(run: Callable[[], Any]) -> int:
    """How many Python functions `run` calls."""
    count = 0

    def count_calls(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(count_calls)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def allocated(run: Callable[[], Any]) -> tuple[int, int]:
    """How many bytes what `run` returns holds, and how many there were at the peak."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = run()
        gc.collect()
        current, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept is not None
    return current, peak


@pytest.mark.parametrize("sweep", [eager, traced, pushed])
def test_work_is_linear(sweep: Callable[[int], tuple[Any, Any]]) -> None:
    sweep(10)  # whatever is computed once
    short, long = calls(lambda: sweep(1000)), calls(lambda: sweep(10_000))
    assert long < 10.2 * short


@pytest.mark.parametrize("sweep", [eager, traced, pushed])
def test_memory_is_linear(sweep: Callable[[int], tuple[Any, Any]]) -> None:
    sweep(10)
    short, long = allocated(lambda: sweep(5000)), allocated(lambda: sweep(20_000))
    assert long[0] < 4.2 * short[0]
    assert long[1] < 4.2 * short[1]
    assert long[0] / 20_000 < (600 if sweep is eager else 2500)  # bytes a primal node


def test_fan_out_is_linear_in_edges() -> None:
    """A ladder has 2**length paths and 2 * length edges."""

    def ladder(length: int) -> Any:
        x = cg.variable(1.0)
        y = x
        for _ in range(length):
            y = y * 0.5 + y * 0.5
        y.backward()
        return x.grad

    assert ladder(1000) == 1.0
    assert calls(lambda: ladder(1000)) < 10.2 * calls(lambda: ladder(100))


def test_a_deep_graph_is_printed_and_copied_to_source_without_recursion() -> None:
    graph = cg.trace(lambda x: chain(x, 20_000), 1.0)
    assert str(graph).count("\n") == 20_001
    assert graph.to_source().count("\n") > 20_000
    assert cg.typecheck(graph) is graph


def test_a_wide_graph() -> None:
    x = cg.variable(np.ones(2))
    np.sum(np.stack([x * float(number) for number in range(2000)])).backward()
    np.testing.assert_array_equal(x.grad, [1999000.0] * 2)

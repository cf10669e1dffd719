"""The reverse sweep works in the memory of its own temporaries: nobody else's array may change by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import reverse_mode
from compgraph.primitives.kinds import elementwise

N = reverse_mode.LARGE // 8


def spread(phase: float = 0.0) -> Any:
    return np.sin(np.arange(N) * 2.3 + phase)


def f(x: Any, w: Any) -> Any:
    y = x**3 + np.exp(x) * w
    z = np.tanh(y) + y * x - x[::-1] * w
    return np.sum(z * y + x) + np.sum(np.where(x > 0, z, w) ** 2)


def test_small_and_large_arrays_have_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    large = cg.grad(f, (0, 1))(spread(), spread(1.0))
    monkeypatch.setattr(reverse_mode, "LARGE", np.inf)
    for one, other in zip(large, cg.grad(f, (0, 1))(spread(), spread(1.0)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_values_seeds_and_arguments_stay_as_they_were() -> None:
    x, w, seed = spread(), spread(1.0), spread(2.0)
    before = [array.copy() for array in (x, w, seed)]

    def g(x: Any, w: Any) -> Any:
        return x + w * x + np.exp(x)

    output, pullback = cg.vjp(g, x, w)
    once = pullback(seed)
    value = output.copy()
    for one, other in zip(once, pullback(seed), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(output, value)
    for array, copy in zip((x, w, seed), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_adjoints_that_a_trace_shows_are_not_overwritten() -> None:
    graph = cg.trace(lambda x: np.sum(np.exp(x) * x + x * x), spread())
    shown = cg.evaluate(graph, x=spread(), mode="reverse")
    (x,) = graph.inputs
    np.testing.assert_allclose(shown.adjoints[x], np.exp(spread()) * (1 + spread()) + 2 * spread())
    product = next(node for node in graph.nodes if node.primitive is cg.PRIMITIVES["multiply"])
    np.testing.assert_array_equal(shown.adjoints[product], np.ones(N))


def test_a_partial_that_a_rule_keeps_is_not_written_into() -> None:
    kept = spread(3.0)
    elementwise("kept_partial_", code="{0} * 1.0", partials=(lambda y, x: kept,))
    try:
        before = kept.copy()
        cg.grad(lambda x: np.sum(cg.bind("kept_partial_", x) ** 2))(spread())
        np.testing.assert_array_equal(kept, before)
    finally:
        del cg.PRIMITIVES["kept_partial_"]

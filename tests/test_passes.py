"""The pipeline: composites taken apart, stops left out, and the order in which passes help each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.graph import PRIMITIVES
from compgraph.passes import composite, drop_stops, expand_composites, optimize

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -3.0, 1e-320, 1e308, -1e308, 1e-200, math.inf, -math.inf, math.nan]
GRID = np.array(list(itertools.product(SPECIAL, SPECIAL, SPECIAL))).T.copy()


def operations(graph: cg.Graph) -> list[str]:
    return [node.primitive.name for node in graph.nodes if node.primitive is not None]


def assert_bits(found: Any, wanted: Any) -> None:
    np.testing.assert_array_equal(found, wanted)
    numbers = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(wanted)[numbers])


# -------------------------------------------------------------------------------- expand_composites


@pytest.mark.parametrize("function", [cg.sigmoid, cg.softplus, cg.relu, np.mean], ids=["sigmoid", "softplus", "relu", "mean"])
def test_composites_are_taken_apart_without_a_changed_bit(function: Any) -> None:
    x = np.array(SPECIAL)
    graph = cg.trace(function, x)
    apart = cg.typecheck(expand_composites(graph))
    assert any(map(composite, graph.nodes)) and operations(apart) != operations(graph)
    with np.errstate(all="ignore"):
        assert_bits(np.asarray(apart(x)), np.asarray(graph(x)))


def test_half_precision_has_its_mean_by_way_of_single() -> None:
    graph = cg.trace(np.mean, np.ones(5000, np.float16))
    assert operations(expand_composites(graph)) == ["mean"]
    assert operations(expand_composites(cg.trace(np.mean, np.ones(5000, np.float32)))) == ["sum", "divide"]


def test_what_looks_at_values_stays_whole() -> None:
    looking = [node for node in cg.trace(lambda a: np.linalg.slogdet(a)[1], np.eye(3)).nodes if composite(node)]
    graph = cg.trace(lambda a: np.linalg.slogdet(a)[1], np.eye(3))
    after = expand_composites(graph)
    np.testing.assert_array_equal(after(np.eye(3) * 2), graph(np.eye(3) * 2))
    assert len([node for node in after.nodes if composite(node)]) <= len(looking)


# --------------------------------------------------------------------------------------- drop_stops


def test_stops_are_left_out_and_nothing_else() -> None:
    graph = cg.trace(lambda x: cg.stop_gradient(x * 2) + cg.stop_gradient(x), 1.0)
    after = drop_stops(graph)
    assert operations(after) == ["multiply", "add"]
    assert after(3.0) == graph(3.0) == 9.0
    assert drop_stops(after) is after
    gradient = optimize(cg.trace(cg.grad(lambda x: x * cg.stop_gradient(x)), 1.0))
    assert PRIMITIVES["stop_gradient"] not in {node.primitive for node in gradient.nodes}


# ----------------------------------------------------------------------------------------- optimize

EXPRESSIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "quotients": lambda a, b, c: (a / b) * (c / b) + a / b,
    "common factor": lambda a, b, c: a * b + c * b - b * 3,
    "signs": lambda a, b, c: -(a - b) - -c * -a / -b,
    "zeros": lambda a, b, c: (a + 0) * (0 - b) + (c - 0) * 0,
    "numbers": lambda a, b, c: a * 1e200 * 1e-200 / 3 * b,
    "powers": lambda a, b, c: a**3 + b**-2 + abs(c) ** 0.5,
    "a choice": lambda a, b, c: np.where(a > b, a / b, c * b) + np.maximum(a, -c),
    "stable functions": lambda a, b, c: cg.sigmoid(a) * cg.softplus(b) - np.logaddexp(a, c),
    "doubles": lambda a, b, c: (a + a) * (b - b) + c * c,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_exact_means_every_bit_on_special_numbers_too(name: str) -> None:
    graph = cg.trace(EXPRESSIONS[name], *GRID)
    with np.errstate(all="ignore"):
        assert_bits(optimize(graph, exact=True)(*GRID), graph(*GRID))
        assert_bits(cg.compile(EXPRESSIONS[name], exact=True)(*GRID), graph(*GRID))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_ordinary_numbers_differ_in_last_digits_at_most(name: str) -> None:
    ordinary = np.random.default_rng(0).normal(size=(3, 500))
    graph = cg.trace(EXPRESSIONS[name], *ordinary)
    np.testing.assert_allclose(optimize(graph)(*ordinary), graph(*ordinary), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("function", [
    lambda a, b: a / b + np.ones(3) / b, lambda a, b: np.stack([a, a]) / b, lambda a, b: a**-2 + b**-2, lambda a, b: a * b * 300 / 300 * b,
    lambda a, b: a * b + b * b,
], ids=["shared", "smaller", "powers", "numbers", "factors"])  # fmt: skip
def test_half_precision_is_regrouped_nowhere(function: Any) -> None:
    """The reciprocal of 1e-5 is beyond 65504, where 1e-5 / 1e-5 is 1."""
    tiny, large = np.full(3, 1e-5, np.float16), np.full(3, 300, np.float16)
    for args in ((tiny, tiny), (large, large), (large, tiny)):
        graph = cg.trace(function, *args)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(optimize(graph)(*args), graph(*args))


def test_composites_meet_the_identities_behind_them() -> None:
    """mean becomes a sum and a quotient, the quotient a factor, and that one number with the next."""
    assert operations(optimize(cg.trace(lambda x: np.mean(x * 3.0) * 2.0, np.ones(6)))) == ["sum"]
    graph = optimize(cg.trace(cg.grad(lambda x: np.mean(x * x * 3.0)), np.ones(4)))
    assert operations(graph) == ["multiply"]


def test_shelters_are_dropped_before_composites_are_taken_apart() -> None:
    graph = cg.trace(cg.grad(lambda x: np.sum(np.where(x > 0, x * 2.0, 0.0))), np.ones(3))
    assert "sheltered_product" not in operations(optimize(graph)) and "sheltered" not in operations(optimize(graph))
    np.testing.assert_array_equal(optimize(graph)(np.array([-1.0, 0.0, 2.0])), [0.0, 0.0, 2.0])


def test_optimizing_twice_changes_nothing_more() -> None:
    for function in EXPRESSIONS.values():
        once = optimize(cg.trace(function, *np.ones((3, 4))))
        assert operations(optimize(once)) == operations(once)

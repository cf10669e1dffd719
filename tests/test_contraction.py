"""Contractions compute what the plain sums of products do, in another order, and fire where they pay and nowhere else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import compgraph as cg
from compgraph.contraction import SHORT_ROW, contract_products, sum_by_ones
from compgraph.graph import PRIMITIVES, bind

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
PASSES = [contract_products, sum_by_ones, lambda graph: sum_by_ones(contract_products(graph))]


def entries(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    x = rng.normal(size=shape) + (1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else 0)
    return np.asarray(x).astype(dtype)[()]


def operations(graph: cg.Graph) -> Counter[str]:
    return Counter(node.primitive.name for node in graph.nodes if node.primitive is not None)


def tolerance(graph: cg.Graph, xs: list[Any]) -> list[Any]:
    """What another order of summation may cost each output: K u sum |a| |b|, with the sum run on the absolute values."""
    sizes = graph.run([np.abs(x).astype(np.asarray(x).dtype) for x in xs])
    return [np.abs(size) * 200 * np.finfo(node.dtype).eps for size, node in zip(sizes, graph.outputs, strict=True)]


def agree(graph: cg.Graph, after: cg.Graph, xs: list[Any]) -> None:
    cg.typecheck(after)
    for one, other, allowed, node in zip(graph.run(xs), after.run(xs), tolerance(graph, xs), graph.outputs, strict=True):
        assert np.shape(other) == node.shape and other.dtype == node.dtype
        assert np.all(np.abs(one - other) <= allowed)


# ------------------------------------------------------------------------------------------- einsum


@st.composite
def einsums(draw: Any) -> tuple[str, list[tuple[int, ...]]]:
    """Subscripts of one or two operands, letters repeated now and then, axes of length 1 stretched, and empty axes."""
    letters = "ijklm"[: draw(st.integers(1, 5))]
    lengths = {letter: draw(st.sampled_from([2, 3, 4, 1, 0] if draw(st.booleans()) else [2, 3])) for letter in letters}
    terms = ["".join(draw(st.permutations(letters))[: draw(st.integers(0, len(letters)))]) for _ in range(draw(st.integers(1, 2)))]
    if draw(st.integers(0, 9)) == 0 and terms[0]:
        terms[0] += terms[0][0]
    held = "".join(dict.fromkeys("".join(terms)))
    output = "".join(draw(st.permutations(held))[: draw(st.integers(0, len(held)))])
    stretched = draw(st.sampled_from(["", *held])) if len(terms) == 2 else ""
    shapes = [tuple(1 if letter == stretched and place == 0 else lengths[letter] for letter in term) for place, term in enumerate(terms)]
    return f"{','.join(terms)}->{output}", shapes


@settings(max_examples=150, deadline=None)
@given(einsums(), st.sampled_from(DTYPES), st.integers(0, 10))
@example(("jij,i->", [(2, 1, 2), (0,)]), np.float64, 0)  # an axis of length 1 that is stretched to none
def test_any_einsum_and_its_derivatives(drawn: Any, dtype: Any, seed: int) -> None:
    subscripts, shapes = drawn
    xs = [entries(np.random.default_rng(seed + place), shape, dtype) for place, shape in enumerate(shapes)]
    graph = cg.trace(lambda *xs: bind("einsum", *xs, subscripts=subscripts), *xs)
    after = contract_products(graph)
    agree(graph, after, xs)
    repeated = any(len(set(term)) < len(term) for term in subscripts.split("->")[0].split(","))
    empty = any(0 in shape for shape in shapes)
    assert ("einsum" in operations(after)) == (repeated or empty)
    adjoint = cg.reverse(graph)
    seeds = [*xs, entries(np.random.default_rng(seed + 5), graph.outputs[0].shape, dtype)]
    agree(adjoint, contract_products(adjoint), seeds)


def test_the_mixed_dtypes_of_an_einsum_stay() -> None:
    graph = cg.trace(lambda a, b: np.einsum("ij,jk->ik", a, b), np.ones((2, 2), np.float32), np.ones((2, 2)))
    assert operations(contract_products(graph)) == {"einsum": 1}


# ------------------------------------------------------------------------------ broadcast, multiply, sum


@st.composite
def products(draw: Any) -> tuple[list[tuple[int, ...]], Any, str, bool]:
    full = draw(st.lists(st.sampled_from([1, 2, 3, 4, 5]), min_size=1, max_size=4))
    shapes = []
    for _ in range(draw(st.integers(2, 4))):
        shape = tuple(length if draw(st.integers(0, 2)) else 1 for length in full)
        shapes.append(shape[draw(st.integers(0, len(shape) if draw(st.booleans()) else 0)) :])
    whole = np.broadcast_shapes(*shapes)
    some = st.lists(st.sampled_from(range(len(whole))), unique=True).map(tuple) if whole else st.none()
    axis = draw(st.one_of(st.none(), some))
    return shapes, axis, draw(st.sampled_from(["sum", "mean"])), draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(products(), st.sampled_from(DTYPES), st.sampled_from(PASSES), st.integers(0, 10))
def test_any_sum_of_a_product_and_its_derivatives(drawn: Any, dtype: Any, one: Any, seed: int) -> None:
    shapes, axis, name, keepdims = drawn
    xs = [entries(np.random.default_rng(seed + place), shape, dtype) for place, shape in enumerate(shapes)]

    def f(*xs: Any) -> Any:
        y = xs[0]
        for x in xs[1:]:
            y = y * x
        return bind(name, 2 * y, axis=axis, keepdims=keepdims)

    graph = cg.trace(f, *xs)
    agree(graph, one(graph), xs)
    adjoint = cg.reverse(graph)
    agree(adjoint, one(adjoint), [*xs, entries(np.random.default_rng(seed), graph.outputs[0].shape, dtype)])


A, B, V = np.ones((5, 4)), np.ones((3, 4)), np.ones(4)
CUBE = np.ones((6, 5, 4))
BIG = np.ones((64, 64))

# function, its arguments, the operations of the program after the pass
FIRES: list[tuple[str, Callable[..., Any], tuple[Any, ...], dict[str, int]]] = [
    ("outer rows", lambda a, b: np.sum(a[:, None] * b, axis=2), (A, B), {"matmul": 1, "transpose": 1}),
    ("columns first", lambda a, b: np.sum(a * b[:, None], axis=2), (A, B), {"matmul": 1, "transpose": 1}),
    ("weights", lambda a, v: np.sum(a * v, axis=1), (A, V), {"matmul": 1}),
    ("weights of rows", lambda a, v: np.sum(a * v[:, None], axis=0), (A, np.ones(5)), {"matmul": 1}),
    ("mean of weights", lambda a, v: np.mean(a * v, axis=1), (A, V), {"matmul": 1, "divide": 1}),
    ("full", lambda a, b: np.sum(a * b), (A, A), {"reshape": 2, "matmul": 1}),
    ("full square", lambda v: np.sum(v**2), (V,), {"matmul": 1}),
    ("full square, again", lambda v: np.sum(np.square(v)), (V,), {"matmul": 1}),
    ("itself", lambda v: np.sum(v * v), (V,), {"matmul": 1}),
    ("a number in it", lambda v, w: np.sum(2 * v * w), (V, V), {"matmul": 1, "multiply": 1}),
    ("an axis of one factor", lambda a, b: np.sum(a[:, None] * b[:, :, None], axis=2), (BIG, BIG), {"sum": 1, "reshape": 1, "multiply": 1}),
    ("a stack", lambda a, x: np.sum(a[..., None] * x, axis=1), (np.ones((6, 5)), CUBE), {"reshape": 2, "matmul": 1}),
    ("broadcast_to", lambda v, a: np.sum(np.broadcast_to(v, (5, 4)) * a, axis=1), (V, A), {"matmul": 1}),
    ("three factors", lambda w, a, b: np.sum(w[:, None, None] * a[:, None] * b, axis=(0, 2)), (np.ones(5), A, np.ones((9, 4))),
     {"reshape": 1, "multiply": 1, "sum": 1, "matmul": 1}),
    ("einsum to matmul", lambda a, b: np.einsum("ik,jk->ij", a, b), (A, B), {"matmul": 1, "transpose": 1}),
    ("einsum to a product", lambda a, v: np.einsum("ij,j->ij", a, v), (A, V), {"multiply": 1}),
    ("einsum to a sum", lambda x: np.einsum("ijk->ki", x), (CUBE,), {"sum": 1, "transpose": 1}),
    ("sum of a product of matrices", lambda a, b: np.sum(a @ b, axis=1), (BIG, BIG), {"sum": 1, "matmul": 1, "reshape": 1}),
    ("sum of both axes", lambda a, b: np.sum(a @ b), (BIG, BIG), {"sum": 2, "matmul": 1, "reshape": 1}),
    ("sum of the columns", lambda a, b: np.sum(a @ b, axis=0), (BIG, BIG), {"sum": 1, "matmul": 1, "reshape": 1}),
    ("mean of a product of matrices", lambda a, b: np.mean(a @ b, axis=0), (BIG, BIG), {"sum": 1, "matmul": 1, "divide": 1, "reshape": 1}),
    ("transposed product", lambda a, b: (a @ b.T).T + 1, (A, B), {"matmul": 1, "transpose": 1, "add": 1}),
]  # fmt: skip

STAYS: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
    ("read twice", lambda a, v: (p := a * v, np.sum(p, axis=1))[1] + p[:, 0], (A, V)),
    ("an output too", lambda a, v: (p := a * v, np.sum(p, axis=1)), (A, V)),
    ("integers", lambda a: np.sum(a * a), (np.ones((3, 3), int),)),
    ("a mean of integers", lambda a: np.mean(a * a), (np.ones((3, 3), int),)),
    ("half precision", lambda a: np.sum(a * a), (np.ones((3, 3), np.float16),)),
    ("mixed precision", lambda a, b: np.sum(a * b), (np.ones(3, np.float32), np.ones(3))),
    ("an empty axis", lambda a: np.sum(a * a), (np.ones((3, 0)),)),
    ("an axis of length 1", lambda a, b: np.sum(a * b, axis=1), (np.ones((3, 1)), np.ones((3, 1)))),
    ("an axis that only repeats", lambda a: np.sum(np.broadcast_to(a, (2, 4)) * np.broadcast_to(a, (2, 4)), axis=1), (V,)),
    ("a single dot product a row", lambda a, b: np.sum(a * b, axis=1), (A, A)),
    ("einsum of a diagonal", lambda x: np.einsum("ii->i", x), (BIG,)),
    ("an axis of one factor, few entries", lambda a, b: np.sum(a[:, None] * b[:, :, None], axis=2), (np.ones((2, 4)), np.ones((2, 3)))),
    ("a stack of few entries", lambda a, x: np.sum(a[..., None] * x, axis=1), (np.ones((2, 3)), np.ones((2, 3, 4)))),
    ("other powers", lambda a: np.sum(a**3), (A,)),
    ("a selection", lambda a, b: np.sum(np.where(a > 0, b, 0), axis=1), (A, A)),
    ("a sum of matrices that is small", lambda a, b: np.sum(a @ b.T, axis=1), (A, B)),
    ("a fast axis of the stack", lambda a, b: np.sum(a[:, None] * b, axis=2), (np.ones((3, 2, 4)), np.ones((1, 3, 2, 4)))),
    ("a chain in its best order", lambda a, b, v: a @ (b @ v), (BIG, BIG, np.ones(64))),
    ("transposed twice read", lambda a, b: (p := a @ b.T).T[0] + p[0, 0], (A, B)),
]  # fmt: skip


@pytest.mark.parametrize(("f", "xs", "wanted"), [row[1:] for row in FIRES], ids=[row[0] for row in FIRES])
def test_fires(f: Callable[..., Any], xs: tuple[Any, ...], wanted: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    points = [entries(rng, x.shape, x.dtype) for x in xs]
    graph = cg.trace(f, *points)
    after = contract_products(graph)
    agree(graph, after, points)
    if wanted:
        kept = Counter({name: count for name, count in operations(after).items() if name not in ("index", "constant")})
        assert kept == wanted
    assert operations(after) != operations(graph) or str(after) != str(graph)


@pytest.mark.parametrize(("f", "xs"), [row[1:] for row in STAYS], ids=[row[0] for row in STAYS])
def test_stays(f: Callable[..., Any], xs: tuple[Any, ...]) -> None:
    graph = cg.trace(f, *xs)
    assert str(contract_products(graph)) == str(graph)


def test_three_factors_are_multiplied_where_the_product_is_small() -> None:
    graph = cg.trace(lambda w, a, b: np.sum(w[:, None, None] * a[:, None] * b, axis=(0, 2)), np.ones(5), A, np.ones((9, 4)))
    largest = max(node.size for node in contract_products(graph).nodes)
    assert largest == 36, "the product of (5, 9, 4) entries is nowhere"


# ---------------------------------------------------------------------------------- matrix products


def work(graph: cg.Graph) -> int:
    """Multiply-adds of all matrix products."""
    return sum(node.size * node.args[0].shape[-1] for node in graph.nodes if node.primitive is PRIMITIVES["matmul"])


@pytest.mark.parametrize("shapes", [
    [(30, 30), (30, 30), (30, 30), (30,)], [(30,), (30, 30), (30, 30), (30, 30)], [(2, 50), (50, 60), (60, 3)], [(50, 2), (2, 60), (60, 3)],
])  # fmt: skip
@pytest.mark.parametrize("from_the_left", [True, False])
def test_chains_take_the_cheaper_order(shapes: list[tuple[int, ...]], from_the_left: bool) -> None:
    def f(*xs: Any) -> Any:
        rest = list(xs) if from_the_left else list(xs[::-1])
        y = rest.pop(0)
        while rest:
            y = y @ rest.pop(0) if from_the_left else rest.pop(0) @ y
        return y

    xs = [entries(np.random.default_rng(place), shape, np.float64) for place, shape in enumerate(shapes)]
    graph = cg.trace(f, *xs)
    after = contract_products(graph)
    agree(graph, after, xs)
    left = cg.trace(lambda *xs: np.linalg.multi_dot(xs), *xs)
    assert work(after) == work(left) <= work(graph)


def test_a_long_chain_is_linear_and_not_recursive() -> None:
    a, v = np.eye(3), np.ones(3)

    def f(v: Any) -> Any:
        m = np.broadcast_to(v, (3, 3)) + a
        y = m
        for _ in range(3000):
            y = y @ m
        return y @ v

    graph = cg.trace(f, v)
    start = time.perf_counter()
    after = contract_products(graph)
    assert time.perf_counter() - start < 5, "3,000 products; quadratic would be minutes"
    assert {node.shape for node in after.nodes if node.primitive is PRIMITIVES["matmul"]} == {(3,)}


def test_a_product_that_is_read_twice_is_not_computed_twice() -> None:
    graph = cg.trace(lambda a, b, v: (a @ b) @ v + np.sum(a @ b, axis=1), BIG, BIG, np.ones(64))
    shared = cg.trace(lambda a, b, v: ((p := a @ b) @ v) + np.sum(p, axis=1), BIG, BIG, np.ones(64))
    assert work(contract_products(graph)) == 64**2 * 3
    assert str(contract_products(shared)) == str(shared)


# ------------------------------------------------------------------------------------- short rows


def test_short_rows() -> None:
    graph = cg.trace(lambda x: np.sum(np.exp(x), axis=-1), np.ones((10, 5, 4)))
    assert operations(sum_by_ones(graph)) == {"exp": 1, "reshape": 2, "matmul": 1}
    agree(graph, sum_by_ones(graph), [np.random.default_rng(0).normal(size=(10, 5, 4))])


@pytest.mark.parametrize(("axis", "keepdims", "wanted"), [
    (0, False, {"exp": 1, "reshape": 2, "matmul": 1}), (1, True, {"exp": 1, "reshape": 1, "matmul": 1}),
    ((0, 1), False, {"exp": 1, "reshape": 1, "matmul": 1}),
])  # fmt: skip
def test_columns(axis: Any, keepdims: bool, wanted: dict[str, int]) -> None:
    x = np.random.default_rng(0).normal(size=(10, 5, 4))
    graph = cg.trace(lambda x: np.sum(np.exp(x), axis=axis, keepdims=keepdims), x)
    assert operations(sum_by_ones(graph)) == wanted
    agree(graph, sum_by_ones(graph), [x])


def test_long_rows_of_products() -> None:
    x = np.random.default_rng(0).normal(size=(10, SHORT_ROW))
    graph = cg.trace(lambda x: np.mean(3 * x * x, axis=1), x)
    assert operations(sum_by_ones(graph)) == {"reshape": 3, "matmul": 1, "multiply": 1, "divide": 1}
    agree(graph, sum_by_ones(graph), [x])


@pytest.mark.parametrize("f", [
    lambda x: np.sum(np.exp(x).T, axis=1), lambda x: np.sum(np.exp(x.T), axis=1), lambda x: np.sum(x),
    lambda x: np.sum(x[:, ::2], axis=1), lambda x: np.sum(np.broadcast_to(x[0], (9, 8)), axis=0),
    lambda x: np.sum(np.reshape(x, (3, 3, 4, 2)), axis=(0, 2)), lambda x: np.mean(x.T, axis=0), lambda x: np.sum(x > 0, axis=1),
    lambda x: np.sum(x[:4] * x[:4], axis=1), lambda x: np.sum(np.concatenate([x] * 20, axis=1), axis=1),
])  # fmt: skip
def test_rows_that_stay(f: Callable[..., Any]) -> None:
    graph = cg.trace(f, np.ones((9, 8)))
    assert str(sum_by_ones(graph)) == str(graph)


# --------------------------------------------------------------------------------- graphs as a whole


def distances(points: Any, centres: Any) -> Any:
    return np.sum(np.min(np.sum((points[:, None] - centres) ** 2, axis=2), axis=1)) + np.sum((points @ centres.T) ** 2)


@pytest.mark.parametrize("one", PASSES)
@pytest.mark.parametrize("transform", [lambda graph: graph, cg.reverse, lambda graph: cg.forward(cg.reverse(graph))])
def test_first_and_second_order(one: Any, transform: Any) -> None:
    rng = np.random.default_rng(0)
    graph = transform(cg.trace(distances, rng.normal(size=(20, 3)), rng.normal(size=(4, 3))))
    xs = [rng.normal(size=node.shape) for node in graph.inputs]
    after = cg.typecheck(one(graph))
    for before, now in zip(graph.run(xs), after.run(xs), strict=True):
        np.testing.assert_allclose(now, before, rtol=1e-12, atol=1e-13 * np.max(np.abs(before)))


def test_squares_of_differences_are_not_expanded() -> None:
    """|x|^2 - 2 x c + |c|^2 would lose all digits here."""
    rng = np.random.default_rng(0)
    points, centres = 1e8 + rng.normal(size=(20, 3)), 1e8 + rng.normal(size=(4, 3))
    f = lambda points, centres: np.sum((points[:, None] - centres) ** 2, axis=2)  # noqa: E731
    after = sum_by_ones(contract_products(cg.trace(f, points, centres)))
    np.testing.assert_allclose(after(points, centres), f(points, centres), rtol=1e-14)


def test_names_roles_and_outputs_survive() -> None:
    def f(a: Any, v: Any) -> Any:
        y = np.sum(a * v, axis=1)
        y.name = "weighted"
        return {"y": y}

    graph = contract_products(cg.trace(f, A, V))
    assert graph.names[graph.outputs[0]] == "weighted" and list(graph(A, V)) == ["y"]
    adjoint = contract_products(cg.reverse(cg.trace(f, A, V)))
    assert [adjoint.names[node] for node in adjoint.outputs] == ["weighted", "a_bar", "v_bar"]

"""Exact passes keep every bit, the others their bounds; each rule fires where it should and nowhere else."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compgraph as cg
from compgraph.graph import bind
from compgraph.identities import absorbed_signs, apply_identities, operation
from compgraph.layout import cancel_layouts, composed, gather_slices, index_of, places_read
from compgraph.rescaling import expand_powers, factor_sums, fold_scalars, share_reciprocals
from compgraph.simplification import simplify
from tests.test_random_graphs import EVERYTHING, Program, random_programs

EXACT = [apply_identities, cancel_layouts, gather_slices]
INEXACT = [share_reciprocals, expand_powers, fold_scalars, factor_sums]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0, -0.5, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e-310, 1e308, -1e308, 3.0]


def exact(graph: cg.Graph) -> cg.Graph:
    for one in EXACT:
        graph = cg.typecheck(one(graph))
    return cg.typecheck(simplify(graph))


def operations(graph: cg.Graph) -> list[str]:
    return [operation(node) for node in graph.nodes if operation(node)]


def assert_same_bits(found: Any, wanted: Any, *, zeros: bool = True) -> None:
    """Equal entry by entry, NaN at the same places, and with `zeros` the same sign of every zero."""
    assert np.shape(found) == np.shape(wanted)
    assert np.asarray(found).dtype == np.asarray(wanted).dtype
    np.testing.assert_array_equal(found, wanted)
    parts = (np.real, np.imag) if np.iscomplexobj(wanted) else (np.asarray,)
    for part in parts:
        known = ~np.isnan(part(wanted)) & (zeros | (part(wanted) != 0))
        np.testing.assert_array_equal(np.signbit(part(found))[known], np.signbit(part(wanted))[known])


def run(graph: cg.Graph, values: Any) -> list[Any]:
    with np.errstate(all="ignore"):
        return graph.run(values)


def specials(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> Any:
    draw = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        numbers = draw.choice(np.array(SPECIAL), size=(*shape, 2))
        return (numbers.view(complex) if np.dtype(dtype).kind == "c" else numbers)[..., 0].astype(dtype)[()]


def extremes(dtype: Any) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def assert_keeps_bits(graph: cg.Graph, after: cg.Graph, draws: int = 20, zeros: bool = True) -> None:
    for seed in range(draws):
        draw = [
            specials(node.shape, node.dtype, 100 * seed + place) if node.dtype.kind in "fc"
            else np.random.default_rng(seed).choice(np.array([0, 1, *extremes(node.dtype)], node.dtype), node.shape)
            for place, node in enumerate(graph.inputs)
        ]  # fmt: skip
        for found, wanted in zip(run(after, draw), run(graph, draw), strict=True):
            assert_same_bits(found, wanted, zeros=zeros)


# ----------------------------------------------------------------------------------------- the tables

S, V, M = np.float64(2.0), np.zeros(3), np.zeros((2, 3))
F = np.zeros(3, np.float32)
Z = np.zeros(3, complex)
I8 = np.zeros(3, np.int8)

# A function, what it is traced with, and the operations that are left.
FIRES: list[tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...], list[str]]] = [
    (apply_identities, lambda x: x * 1 + 1.0 * x, (V,), ["multiply"]),
    (apply_identities, lambda x: x / 1 / 1.0, (V,), []),
    (apply_identities, lambda x: x**1 - 0, (V,), []),
    (apply_identities, lambda x: x + -0.0, (V,), []),
    (apply_identities, lambda x: x + 0, (I8,), []),
    (apply_identities, lambda x: x * 1 - 0, (I8,), []),
    (apply_identities, lambda x: np.negative(-x), (Z,), []),
    (apply_identities, lambda x: x * -1.0, (V,), ["negative"]),
    (apply_identities, lambda x: x / -1, (V,), ["negative"]),
    (apply_identities, lambda x, y: x + -y, (V, V), ["subtract"]),
    (apply_identities, lambda x, y: -x + y, (Z, Z), ["subtract"]),
    (apply_identities, lambda x, y: x - -y, (V, M), ["add"]),
    (apply_identities, lambda x, y: -x * -y, (Z, Z), ["multiply"]),
    (apply_identities, lambda x, y: -x / -y, (V, V), ["divide"]),
    (apply_identities, lambda x: -x * 2.0, (F,), ["multiply"]),
    (apply_identities, lambda x: -(3.0 / x), (F,), ["divide"]),
    (apply_identities, lambda x, y: x + -y * x, (V, V), ["multiply", "subtract"]),
    (apply_identities, lambda x, y: x - np.reshape(-y, (3,)) / x, (V, np.zeros((1, 3))), ["reshape", "divide", "add"]),
    (apply_identities, lambda x: abs(-x) + np.square(-x), (V,), ["abs", "square", "add"]),
    (apply_identities, lambda x: x**2, (V,), ["square"]),
    (apply_identities, lambda x: x**2 + x * x, (V,), ["square", "multiply"]),
    (apply_identities, lambda x: x.astype(np.float64).astype(np.float32), (F,), []),
    (apply_identities, lambda x: (x > 0).astype(np.float32).astype(np.float64), (V,), ["greater", "astype"]),
    (apply_identities, lambda x: (x * np.where(x > 0, 0.5, x > 1)).astype(np.float32), (F,), ["greater", "greater", "where", "multiply"]),
    (apply_identities, lambda x: np.logical_not(x == 1), (V,), ["not_equal"]),
    (apply_identities, lambda x: np.where(np.logical_not(x < 1), x, 2.0), (V,), ["less", "where"]),
    (apply_identities, lambda x: np.where(np.array([True, True, True]), x, 2.0), (V,), ["where"]),
    (apply_identities, lambda x: np.where(True, x, 2.0), (V,), []),
    (apply_identities, lambda x: x * np.ones((2, 3)), (M,), []),
    (apply_identities, lambda x: x * np.ones((2, 3)), (V,), ["broadcast_to"]),
    (cancel_layouts, lambda x: np.reshape(np.reshape(x, (6,)), (2, 3)), (M,), []),
    (cancel_layouts, lambda x: np.reshape(np.reshape(x, (6,)), (3, -1)), (M,), ["reshape"]),
    (cancel_layouts, lambda x: np.transpose(np.transpose(x, (1, 2, 0)), (2, 0, 1)), (np.zeros((2, 3, 4)),), []),
    (cancel_layouts, lambda x: np.transpose(np.transpose(x, (1, 2, 0)), (0, 2, 1)), (np.zeros((2, 3, 4)),), ["transpose"]),
    (cancel_layouts, lambda x: np.transpose(x[None]), (V,), ["reshape"]),
    (cancel_layouts, lambda x: np.broadcast_to(np.broadcast_to(x, (2, 3)), (4, 2, 3)), (V,), ["broadcast_to"]),
    (cancel_layouts, lambda x: np.broadcast_to(x, (3,)), (V,), []),
    (cancel_layouts, lambda x, y: np.broadcast_to(x, (2, 3)) * y, (V, M), ["multiply"]),
    (cancel_layouts, lambda x, y: np.broadcast_to(x, (2, 3)) + np.broadcast_to(y, (2, 3)), (V, S), ["add", "broadcast_to"]),
    (cancel_layouts, lambda x, y: -np.broadcast_to(x, (2, 3)) + np.broadcast_to(y, (2, 3)), (V, S), ["negative", "add", "broadcast_to"]),
    (cancel_layouts, lambda x: np.reshape(np.sum(x, axis=0, keepdims=True), (3,)), (M,), ["sum"]),
    (cancel_layouts, lambda x: x[1:][:, ::-1][0], (M,), ["index"]),
    (cancel_layouts, lambda x: x[:, ...], (M,), []),
    (cancel_layouts, lambda x, y: np.concatenate([x, y])[3:6], (V, V), []),
    (cancel_layouts, lambda x, y: np.concatenate([x, y])[4], (V, V), ["index"]),
    (cancel_layouts, lambda x, y: np.stack([x, y], axis=1)[1:, 0], (V, V), ["index"]),
    (cancel_layouts, lambda x, y: np.stack([x, y])[1], (V, V), []),
    (cancel_layouts, lambda x, y: np.transpose(np.stack([x, y], axis=1)), (V, V), ["stack"]),
    (share_reciprocals, lambda x, y, z: x / z + y / z, (V, V, V), ["divide", "multiply", "multiply", "add"]),
    (share_reciprocals, lambda x, z: x / z, (M, S), ["divide", "multiply"]),
    (share_reciprocals, lambda x, z: 1 / z + x / z, (V, V), ["divide", "multiply", "add"]),
    (share_reciprocals, lambda x: x / 10, (F,), ["multiply"]),
    (share_reciprocals, lambda x: x / np.array([1.0, 2.0, 3.0]), (V,), ["multiply"]),
    (expand_powers, lambda x: x**3, (F,), ["square", "multiply"]),
    (expand_powers, lambda x: x**-0.5, (S,), ["sqrt", "divide"]),
    (fold_scalars, lambda x: x * 2.0 * 3.0, (V,), ["multiply"]),
    (fold_scalars, lambda x: 6.0 / (3.0 * x), (V,), ["divide"]),
    (fold_scalars, lambda x: x * 2.0 / 2.0, (F,), ["multiply"]),
    (fold_scalars, lambda x: np.reshape(x * 2.0, (6,)) * 3.0, (M,), ["reshape", "multiply"]),
    (fold_scalars, lambda x, s, t: (s * x) / t, (V, S, S), ["divide", "multiply"]),
    (fold_scalars, lambda x: np.sum(x * 2.0), (V,), ["sum", "multiply"]),
    (fold_scalars, lambda x, y: np.sum(x * y, axis=0), (M, V), ["sum", "multiply"]),
    (fold_scalars, lambda x, y: np.sum(x / y, axis=1, keepdims=True), (M, np.zeros((2, 1))), ["sum", "divide"]),
    (fold_scalars, lambda x: -np.sum(-x), (V,), ["sum", "negative", "negative"]),
    (fold_scalars, lambda x: np.sum(np.broadcast_to(x, (5, 3)), axis=0), (V,), ["reshape", "sum", "multiply", "broadcast_to"]),
    (fold_scalars, lambda x, y: (x * 2.0) @ y, (np.zeros((5, 3)), V), ["multiply", "matmul"]),
    (fold_scalars, lambda x, y: (x @ y) * 2.0, (np.zeros((5, 2)), np.zeros((2, 9))), ["multiply", "matmul"]),
    (factor_sums, lambda x, y, z: x * z + z * y, (V, V, V), ["add", "multiply"]),
    (factor_sums, lambda x, y, z: x * z - z * y, (V, V, V), ["subtract", "multiply"]),
    (factor_sums, lambda x, y, z, w: w - x * z + z * y, (V, V, V, V), ["subtract", "multiply", "subtract"]),
    (factor_sums, lambda x, y, z, w: w + x * z - z * y, (V, V, V, V), ["subtract", "multiply", "add"]),
    (factor_sums, lambda x, y, z, w: w - x * z - z * y, (V, V, V, V), ["add", "multiply", "subtract"]),
]


@pytest.mark.parametrize(("one", "function", "args", "left"), FIRES)
def test_a_rule_fires(one: Any, function: Any, args: Any, left: list[str]) -> None:
    graph = cg.trace(function, *args)
    after = cg.typecheck(one(graph))
    assert sorted(operations(after)) == sorted(left)
    assert [(node.shape, node.dtype) for node in after.outputs] == [(node.shape, node.dtype) for node in graph.outputs]
    if one in EXACT:
        assert_keeps_bits(graph, after)
    else:
        draw = np.random.default_rng(0)
        values = [draw.uniform(1, 2, node.shape).astype(node.dtype) for node in graph.inputs]
        for found, wanted in zip(after.run(values), graph.run(values), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=10 * np.finfo(wanted.dtype).eps)


# Where a rule would be wrong: the same operations have to be left.
TRAPS: list[tuple[str, Callable[..., Any], Callable[..., Any], tuple[Any, ...]]] = [
    ("-0.0 + 0 is 0.0", apply_identities, lambda x: x + 0.0, (V,)),
    ("-0.0 - -0.0 is 0.0", apply_identities, lambda x: x - (-0.0), (V,)),
    ("0 - 0 is 0.0, -0 is -0.0", apply_identities, lambda x: 0 - x, (V,)),
    ("NaN * 0 is NaN", apply_identities, lambda x: x * 0, (V,)),
    ("x - x is NaN at infinity", apply_identities, lambda x: x - x, (V,)),
    ("x / x is NaN at 0", apply_identities, lambda x: x / x, (V,)),
    ("-(a - b) has the other zero", apply_identities, lambda x, y: -(x - y), (V, V)),
    ("-a - b is not -(a + b)", apply_identities, lambda x, y: -x - y, (V, V)),
    ("not less is not greater or equal", apply_identities, lambda x, y: np.logical_not(x < y), (V, V)),
    ("inf * (1 + 0j) has NaN in it", apply_identities, lambda x: x * 1, (Z,)),
    ("float32 array * float64 one is float64", apply_identities, lambda x: x * np.ones(3), (F,)),
    ("int8 * 1.0 is float64", apply_identities, lambda x: x * 1.0, (I8,)),
    ("bool * 1 is an integer", apply_identities, lambda x: (x > 0) * 1, (V,)),
    ("-(-128) of int8 beside int64", apply_identities, lambda x, y: y + -x, (I8, np.zeros(3, np.int64))),
    ("-(-128) of int8 beside float64", apply_identities, lambda x, y: y + -x, (I8, V)),
    ("a sign that nobody takes stays where it is small", apply_identities, lambda s, x: np.sin(-s * x * x), (S, V)),
    ("infinity needs shelter", apply_identities, lambda w, x: bind("sheltered_product", w, np.where(x > 0, np.inf, 0.5)), (V, V)),
    ("through float32 is not the same float64", apply_identities, lambda x: x.astype(np.float32).astype(np.float64), (V,)),
    ("int64 is rounded in float64", apply_identities, lambda x: x.astype(np.float64).astype(np.int64), (np.zeros(3, np.int64),)),
    ("float32 0.1 is not 0.1", apply_identities, lambda x: (x * np.float64(0.1)).astype(np.float32), (F,)),
    ("a quotient may round twice", apply_identities, lambda x, y: (x.astype(np.float64) / y).astype(np.float32), (F, F)),
    ("pow of a number is not its square", apply_identities, lambda x: x**2, (S,)),
    ("x ** 2.5", apply_identities, lambda x: x**2.5, (V,)),
    ("0.0 and -0.0 are two constants", apply_identities, lambda x: x * np.array([0.0, -0.0, 0.0]), (V,)),
    ("a constant that is not one everywhere", apply_identities, lambda x: x * np.array([1.0, 1.0, 2.0]), (V,)),
    ("a transpose between reshapes", cancel_layouts, lambda x: np.reshape(np.transpose(x), (2, 3)), (M,)),
    ("a sum that is read twice", cancel_layouts, lambda x: (np.reshape(t := np.sum(x, axis=0, keepdims=True), (3,)), np.sin(t)), (M,)),
    ("a slice over two parts", cancel_layouts, lambda x, y: np.concatenate([x, y])[2:4], (V, V)),
    ("an array of places", cancel_layouts, lambda x: x[np.array([2, 0])][np.array([1])], (V,)),
    ("exp of a stretched array may take another loop", cancel_layouts, lambda x: np.exp(np.broadcast_to(x, (2, 3))), (V,)),
    ("one division", share_reciprocals, lambda x, y: x / y, (V, V)),
    ("a divisor of a narrower dtype", share_reciprocals, lambda x, y: x / y + (2 * x) / y, (V, F)),
    ("a divisor without a normal reciprocal", share_reciprocals, lambda x: x / 1e-310 / 0.0 / np.inf, (V,)),
    ("a reciprocal beyond float32", share_reciprocals, lambda x: x / 1e-39, (F,)),
    ("complex quotients", share_reciprocals, lambda x, y: x / y + (2 * x) / y, (Z, Z)),
    ("integer powers", expand_powers, lambda x: x**3, (I8,)),
    ("a power that is not small", expand_powers, lambda x: x**5, (V,)),
    ("an overflow of the factors", fold_scalars, lambda x: x * 1e200 * 1e200, (V,)),
    ("an overflow in float32", fold_scalars, lambda x: x * 1e30 * 1e30, (F,)),
    ("a product that is read twice", fold_scalars, lambda x: (x * 2.0) * 3.0 + np.sin(x * 2.0), (S,)),
    ("a sum in float32 of what was float64", fold_scalars, lambda x, s: np.sum(s * x), (F, S)),
    ("integers overflow in another order", fold_scalars, lambda x: np.sum(x * 3), (I8,)),
    ("a factor that varies along the sum", fold_scalars, lambda x, y: np.sum(x * y, axis=1), (M, V)),
    ("a factor that would meet another axis", fold_scalars, lambda x, y: np.sum(x * y, axis=2), (np.zeros((2, 3, 3)), np.zeros((3, 1)))),
    ("a common factor of products read twice", factor_sums, lambda x, y, z: (x * z + y * z, x * z), (V, V, V)),
    ("factors whose sum is larger", factor_sums, lambda x, y, z: x * z + y * z, (np.zeros((2, 1)), V, M)),
]


@pytest.mark.parametrize(("why", "one", "function", "args"), TRAPS)
def test_a_rule_does_not_fire(why: str, one: Any, function: Any, args: Any) -> None:
    graph = simplify(cg.trace(function, *args))
    after = cg.typecheck(one(graph))
    assert operations(after) == operations(graph), why
    assert_keeps_bits(graph, after)


def test_a_comparison_keeps_its_precision() -> None:
    """0.1 in float32 is above 0.1 in float64, and equal to it once that is rounded."""
    graph = cg.trace(lambda x: x <= np.full(3, 0.1), F)
    assert not np.any(graph(np.full(3, 0.1, np.float32)))
    assert not np.any(apply_identities(graph)(np.full(3, 0.1, np.float32)))


# ------------------------------------------------------------------------------------- random programs


def derivatives(graph: cg.Graph) -> list[cg.Graph]:
    return [graph, cg.forward(graph), cg.reverse(graph), cg.forward(cg.reverse(graph))]


@given(random_programs(EVERYTHING, longest=8), st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_exact_passes_keep_every_bit(program: Program, seed: int) -> None:
    for graph in derivatives(program.trace()):
        values = [specials(node.shape, node.dtype, seed + place) for place, node in enumerate(graph.inputs)]
        wanted = run(graph, values)
        after = apply_identities(graph)
        for found, value in zip(run(cg.typecheck(after), values), wanted, strict=True):
            assert_same_bits(found, value)
        for one in (cancel_layouts, gather_slices):  # whose arrays lie otherwise in memory, so whole numbers are summed
            after = cg.typecheck(one(graph))
            assert [(node.shape, node.dtype) for node in after.outputs] == [(node.shape, node.dtype) for node in graph.outputs]
            for found, value in zip(run(after, values), wanted, strict=True):
                np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-300)
                np.testing.assert_array_equal(np.isnan(found), np.isnan(value))


@given(random_programs(EVERYTHING, longest=8), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_inexact_passes_stay_near(program: Program, seed: int) -> None:
    draw = np.random.default_rng(seed)
    for graph in derivatives(program.trace()):
        values = [draw.uniform(0.5, 2, node.shape)[()] for node in graph.inputs]
        wanted = run(graph, values)
        for one in INEXACT:
            for found, value in zip(run(cg.typecheck(one(graph)), values), wanted, strict=True):
                np.testing.assert_allclose(found, value, rtol=1e-11, atol=1e-11 * max(1, float(np.max(np.abs(value)))))


KEPT = [lambda x: x, lambda x: -x, lambda x: x[0:2], lambda x: x[1:], lambda x: x[2], lambda x: x[None, ::-1],
        lambda x: np.broadcast_to(x, (2, 3)), lambda x: np.reshape(x, (3, 1)), lambda x: np.transpose(np.stack([x, -x]))]  # fmt: skip

DTYPES = [np.float64, np.float32, np.complex128]


@given(st.lists(st.sampled_from(KEPT), min_size=1, max_size=4), st.sampled_from(DTYPES), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_layouts_of_whole_numbers_are_exact_in_every_dtype(moves: Any, dtype: Any, seed: int) -> None:
    """Sums of whole numbers do not depend on their order."""
    def f(x: Any) -> Any:
        return sum(np.sum(move(x) * (place + 1)) * x for place, move in enumerate(moves))

    values = np.random.default_rng(seed).integers(-4, 5, 3).astype(dtype)
    graph = cg.trace(f, values)
    for derived in (graph, cg.reverse(graph), cg.forward(cg.reverse(graph))):
        given_values = [values if node.shape == (3,) else dtype(2) for node in derived.inputs]
        for found, wanted in zip(exact(derived).run(given_values), derived.run(given_values), strict=True):
            assert_same_bits(found, wanted, zeros=False)


# --------------------------------------------------------------------------------------------- bounds


def ulps(found: Any, wanted: Fraction, dtype: Any) -> float:
    unit = Fraction(float(np.spacing(dtype(abs(float(wanted))))))
    return float(abs(Fraction(float(found)) - wanted) / unit)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bounds_in_units_of_the_last_place(dtype: Any) -> None:
    draw = np.random.default_rng(0)
    a, b = (np.exp(draw.uniform(-5, 5, 300)).astype(dtype) for _ in range(2))
    quotient = share_reciprocals(cg.trace(lambda a, b: (a / b, 1 / b), a, b))
    assert operations(quotient).count("divide") == 1
    for one, x, y in zip(quotient.run([a, b])[0], a, b, strict=True):
        assert ulps(one, Fraction(float(x)) / Fraction(float(y)), dtype) <= 1.5
    tenth = share_reciprocals(cg.trace(lambda a: a / 10, a))
    for one, x in zip(tenth.run([a])[0], a, strict=True):
        assert ulps(one, Fraction(float(x)) / 10, dtype) <= 1.5
    for exponent, bound in ((2, 1), (3, 2), (4, 2), (-1, 1), (-2, 2)):
        power = expand_powers(cg.trace(lambda a, exponent=exponent: a**exponent, a))
        assert "power" not in operations(power)
        for one, x in zip(power.run([a])[0], a, strict=True):
            assert ulps(one, Fraction(float(x)) ** exponent, dtype) <= bound
    folded = fold_scalars(cg.trace(lambda a: a * 3.7 * 1.3, a))
    for one, x in zip(folded.run([a])[0], a, strict=True):
        assert ulps(one, Fraction(float(x)) * Fraction(3.7) * Fraction(1.3), dtype) <= 2


def test_powers_of_two_divide_exactly() -> None:
    graph = cg.trace(lambda x: x / 4, V)
    assert operations(share_reciprocals(graph)) == ["multiply"]
    assert_keeps_bits(graph, share_reciprocals(graph))


# ------------------------------------------------------------------------------------- parameter vectors


def layers(p: Any, x: Any) -> Any:
    at = 0
    for _ in range(6):
        w, b = np.reshape(p[at : at + 9], (3, 3)), p[at + 9 : at + 12]
        x, at = np.tanh(x @ w + b), at + 12
    return np.sum(x * x)


def test_the_gradient_by_a_flat_vector_is_one_concatenation() -> None:
    p, x = np.random.default_rng(0).normal(size=72), np.ones((4, 3))
    graph = simplify(cg.trace(cg.grad(layers), p, x))
    after = gather_slices(graph)
    assert operations(graph).count("scatter_add") == 12
    assert operations(after).count("concatenate") == 1
    assert "scatter_add" not in operations(after)
    assert len(after.outputs[0].args) == 12
    assert_same_bits(after(p, x), graph(p, x), zeros=False)


JOINED = {"concatenate": 1, "scatter_add": 0}
LEFT = {"concatenate": 0, "scatter_add": 2}
SLICED: list[tuple[str, Callable[[Any], Any], tuple[int, ...], dict[str, int]]] = [
    ("gaps are zeros", lambda p: np.sum(np.sin(p[1:3])) + np.sum(np.exp(p[5:7])), (9,), JOINED),
    ("single entries are stacked", lambda p: np.sin(p[1]) * np.exp(p[0]) * p[2], (3,), {"stack": 1, "scatter_add": 0}),
    ("single entries beside slices", lambda p: np.sin(p[1]) * np.sum(np.exp(p[2:])) * p[0], (4,), JOINED),
    ("columns", lambda p: np.sum(np.sin(p[:, :2]) * np.exp(p[:, 2:])), (3, 4), JOINED),
    ("a whole array beside slices", lambda p: np.sum(p * p) + np.sum(np.sin(p[:2])) + np.sum(np.exp(p[2:])), (4,), JOINED),
    ("an overlap stays", lambda p: np.sum(np.sin(p[0:3])) + np.sum(np.exp(p[2:4])), (4,), LEFT),
    ("an overlap from the other side", lambda p: np.sum(np.exp(p[2:4])) + np.sum(np.sin(p[0:3])), (4,), LEFT),
    ("a step stays beside a slice", lambda p: np.sum(np.sin(p[0:3:2])) + np.sum(np.exp(p[3:])), (5,), LEFT),
    ("steps stay", lambda p: np.sum(np.sin(p[::2])) + np.sum(np.exp(p[1::2])), (4,), LEFT),
    ("two axes stay", lambda p: np.sum(np.sin(p[:1, :1])) + np.sum(np.exp(p[1:, 1:])), (2, 2), LEFT),
    ("rows and columns stay", lambda p: np.sum(np.sin(p[:1])) + np.sum(np.exp(p[:, 1:])), (2, 2), LEFT),
    ("a second piece for the same place", lambda p: np.sum(np.sin(p[:2]) * np.exp(p[2:]) + np.cos(p[:2])), (4,), {"concatenate": 1}),
]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("why", "f", "shape", "counts"), SLICED)
def test_slices_are_gathered(why: str, f: Any, shape: Any, counts: dict[str, int], order: int) -> None:
    derive = cg.grad(f) if order == 1 else cg.grad(lambda p: np.sum(cg.grad(f)(p) * np.arange(1.0, p.size + 1).reshape(shape)))
    graph = simplify(cg.trace(derive, np.zeros(shape)))
    after = cg.typecheck(gather_slices(graph))
    if order == 1:
        assert {name: operations(after).count(name) for name in counts} == counts, why
    p = np.random.default_rng(1).normal(size=shape)
    assert_same_bits(after(p), graph(p), zeros=False)
    np.testing.assert_allclose(exact(graph)(p), graph(p), rtol=1e-14)


def test_partial_sums_that_are_read_elsewhere_stay_right() -> None:
    def f(p: Any) -> Any:
        return p[:2], p[2:4], p[4:]

    graph = cg.reverse(cg.trace(f, np.zeros(6)))
    total = graph.outputs[-1]
    partial = next(arg for arg in total.args if operation(arg) == "add")
    both = cg.Graph(graph.inputs, [total, partial])
    after = gather_slices(both)
    values = [np.arange(1.0, 7.0), *(np.array([1.0, -2.0]) * k for k in (1, 2, 3))]
    for found, wanted in zip(after.run(values), both.run(values), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert (operations(after).count("concatenate"), operations(after).count("scatter_add")) == (1, 1)


# --------------------------------------------------------------------------------------- basic indices

parts = st.one_of(st.slices(6), st.integers(-6, 5))


@given(st.lists(parts, min_size=0, max_size=2), st.lists(st.one_of(st.slices(9), st.integers(0, 8)), min_size=0, max_size=2))
@settings(max_examples=250, deadline=None)
def test_an_index_of_an_index_is_one_index(outer: list[Any], inner: list[Any]) -> None:
    x = np.arange(42.0).reshape(6, 7)
    first = places_read(tuple(outer), x.shape)
    assert first is not None
    np.testing.assert_array_equal(x[index_of(first, x.shape)], x[tuple(outer)])
    left = x[tuple(outer)]
    if len(inner) > np.ndim(left) or any(isinstance(i, int) and i >= n for i, n in zip(inner, np.shape(left), strict=False)):
        return
    second = places_read(tuple(inner), np.shape(left))
    assert second is not None
    np.testing.assert_array_equal(x[index_of(composed(first, second), x.shape)], left[tuple(inner)])


def test_other_indices_are_not_read_as_basic_ones() -> None:
    for index in (None, np.array([1, 0]), np.array([True, False]), (slice(1), None), True, "{1}", (0, "{1}")):
        assert places_read(index, (2, 2)) is None


# ------------------------------------------------------------------------------- what survives, and cost


def test_an_output_may_be_an_input_and_two_outputs_one_node() -> None:
    graph = cg.trace(lambda x: (x * 1, np.negative(-x), x), V)
    after = cg.typecheck(apply_identities(graph))
    assert after.outputs == (after.inputs[0],) * 3
    assert [list(one) for one in after(np.array([1.0, 2.0, 3.0]))] == [[1, 2, 3]] * 3


@pytest.mark.parametrize("one", [*EXACT, *INEXACT])
def test_names_roles_scopes_and_containers_survive(one: Any) -> None:
    def f(x: Any) -> Any:
        with cg.scope("layer"):
            y = np.sum(np.sin(x[:2]) / x[2] / 3.0) + np.sum(x**3 / x[2])
        return {"a": y}

    graph = cg.reverse(cg.trace(f, np.ones(3)))
    for node in graph.nodes:
        if operation(node) == "divide":
            node.name = node.name or f"ratio{node.id}"
    after = cg.typecheck(one(graph))
    seed = after.inputs[1]
    assert after.names[after.inputs[0]] == "x"
    assert after.names[seed] == f"{after.names[after.outputs[0]]}_bar"
    assert after.names[after.outputs[-1]] == "x_bar"
    assert {node.scope for node in after.nodes if operation(node)} == {"layer"}
    assert all(node.origin for node in after.nodes if operation(node))
    named = {node.name for node in after.nodes if node.name and node.name.startswith("ratio")}
    assert len(named) >= 2
    forward = one(cg.trace(f, np.ones(3)))
    assert list(forward(np.array([1.0, 2.0, 3.0]))) == ["a"]


def test_an_adjoint_that_is_a_primal_value_keeps_the_primal_name() -> None:
    graph = cg.trace(cg.value_and_grad(lambda a, b: np.sin(a) * np.cos(b), (0, 1)), 1.0, 2.0)
    after = apply_identities(graph)
    sine = next(node for node in after.nodes if operation(node) == "sin")
    assert not after.names[sine].endswith("_bar")


def test_only_signs_that_all_readers_take_are_moved() -> None:
    graph = cg.trace(lambda x, y: (x - -y * x, np.sin(-y * x)), V, V)
    shared = simplify(graph)
    product = next(node for node in shared.nodes if operation(node) == "multiply")
    assert product not in absorbed_signs(shared)
    assert operations(apply_identities(shared)).count("negative") == 1
    assert_keeps_bits(graph, apply_identities(shared))


def test_derivatives_lose_what_they_do_not_need() -> None:
    def textbook(x1: Any, x2: Any) -> Any:
        return (np.exp(x1 / x2) + x1 / x2) * (x1 / x2 - np.log(x2))

    graph = simplify(cg.trace(cg.value_and_grad(textbook, (0, 1)), 0.5, 1.0))
    fast = factor_sums(simplify(share_reciprocals(exact(graph))))
    fast = cg.typecheck(simplify(fast))
    assert (len(graph.nodes), len(exact(graph).nodes), len(fast.nodes)) == (27, 24, 18)
    assert operations(fast).count("divide") == 1
    for x1, x2 in ((0.5, 1.0), (0.7, 3.1), (-1.3, 0.2)):
        np.testing.assert_allclose(np.array(fast(x1, x2), dtype=object).tolist()[0], graph(x1, x2)[0], rtol=1e-14)
        for found, wanted in zip(fast.run([np.float64(x1), np.float64(x2)]), graph.run([np.float64(x1), np.float64(x2)]), strict=True):
            assert math.isclose(found, wanted, rel_tol=1e-12)


def test_a_rectified_float32_layer_stays_in_float32() -> None:
    def loss(w: Any, x: Any) -> Any:
        return np.mean(np.maximum(x @ w, 0.0))

    graph = simplify(cg.trace(cg.grad(loss), np.ones((3, 2), np.float32), np.ones((4, 3), np.float32)))
    assert any(node.dtype == np.float64 for node in graph.nodes)
    after = cg.typecheck(apply_identities(graph))
    assert all(node.dtype in (np.float32, np.bool_) for node in after.nodes)
    assert "sheltered_product" not in operations(after)
    draw = np.random.default_rng(0)
    values = [draw.normal(size=node.shape).astype(np.float32) for node in graph.inputs]
    for found, wanted in zip(after.run(values), graph.run(values), strict=True):
        assert_same_bits(found, wanted)


def test_passes_are_not_recursive() -> None:
    def f(x: Any, p: Any) -> Any:
        for place in range(400):
            x = -x * 1.0 * p[place % 7] + -x / p[1]
        return x

    gradient = cg.reverse(cg.trace(f, 0.5, np.ones(7)))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(150 + len(inspect.stack()))
    try:
        for one in (*EXACT, *INEXACT):
            assert len(one(gradient).nodes) <= len(gradient.nodes) + 2
    finally:
        sys.setrecursionlimit(limit)

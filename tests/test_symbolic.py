"""Graphs to SymPy and back: every primitive by table, both ways by value, and what cannot be said by name."""

from __future__ import annotations

import math
import re
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import sympy as sp
from domains import DIFFERENTIABLE, SAMPLES, Sample, undomained
from hypothesis import given, settings

import compgraph as cg
from compgraph.errors import GraphError, InputError, MissingRuleError
from compgraph.graph import PRIMITIVES
from compgraph.symbolic import TooLargeError, extend, from_sympy, partial_at, symbols_of, to_sympy, tree_size

x, y, z = sp.symbols("x y z", real=True)


def textbook(x1: Any, x2: Any) -> Any:
    ratio = x1 / x2
    return (np.exp(ratio) + ratio) * (ratio - np.log(x2))


def numbers(expressions: Any, graph: cg.Graph, values: tuple[Any, ...]) -> Any:
    """An expression, or an object array of them, at the values of the graph's inputs."""
    at = {}
    for symbols, value in zip(symbols_of(graph), values, strict=True):
        for symbol, number in zip(symbols.flat, np.ravel(value).tolist(), strict=True):
            kind = {float: sp.Float, complex: lambda z: sp.Float(z.real) + sp.I * sp.Float(z.imag)}.get(type(number), sp.Integer)
            at[symbol] = {True: sp.true, False: sp.false}[number] if isinstance(number, bool) else kind(number)
    array = np.asarray(expressions, dtype=object)
    results = [entry.xreplace(at) for entry in array.flat]
    plain = [bool(one) if one in (sp.true, sp.false) else float(one) if one.is_real else complex(one) for one in results]
    return np.array(plain).reshape(array.shape)


# -------------------------------------------------------------------------------------- graph -> SymPy


def test_the_textbook_example_and_its_derivatives() -> None:
    graph = cg.trace(textbook, 0.5, 1.0)
    x1, x2 = sp.symbols("x1 x2", real=True)
    expected = (sp.exp(x1 / x2) + x1 / x2) * (x1 / x2 - sp.log(x2))
    assert sp.simplify(to_sympy(graph) - expected) == 0
    _, x1_bar, x2_bar = to_sympy(cg.reverse(graph))
    seed = sp.Symbol("v6_bar", real=True)
    assert sp.simplify(x1_bar - seed * expected.diff(x1)) == 0
    assert sp.simplify(x2_bar - seed * expected.diff(x2)) == 0


def test_the_method_of_a_graph_is_this_function() -> None:
    assert cg.trace(lambda x: np.tanh(x) + 0.1, 1.0).to_sympy() == sp.tanh(x) + 0.1


def test_every_primitive_has_a_sample() -> None:
    assert undomained() == set()


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if not sample.primitive.without_sympy], ids=str)
def test_every_primitive_in_sympy_has_the_value_that_it_computes(sample: Sample) -> None:
    places = [place for place, arg in enumerate(sample.args) if hasattr(arg, "dtype") and not sample.primitive.is_index(place)]

    def apply(*values: Any) -> Any:
        given = dict(zip(places, values, strict=True))
        return cg.bind(sample.name, *(given.get(place, arg) for place, arg in enumerate(sample.args)), **sample.params)

    values = tuple(sample.args[place] for place in places)
    graph = cg.trace(apply, *values) if places else cg.Graph([], [cg.constant(sample.params["value"])])
    inputs = tuple(np.asarray(value, node.dtype) for value, node in zip(values, graph.inputs, strict=True))
    found = numbers(to_sympy(graph), graph, inputs)
    assert found.shape == graph.outputs[0].shape
    np.testing.assert_allclose(found, np.asarray(apply(*inputs)), rtol=2e-7 if graph.outputs[0].dtype == np.float32 else 1e-14, atol=1e-15)


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.primitive.without_sympy], ids=str)
def test_a_primitive_without_a_sympy_form_says_why(sample: Sample) -> None:
    graph = cg.trace(lambda *args: cg.bind(sample.name, *args, **sample.params), *sample.args)
    with pytest.raises(MissingRuleError, match=re.escape(sample.primitive.without_sympy)):
        to_sympy(graph)


@pytest.mark.parametrize("sample", [sample for sample in DIFFERENTIABLE if not sample.primitive.without_sympy], ids=str)
def test_every_derivative_graph_goes_to_sympy(sample: Sample) -> None:
    graph = cg.reverse(cg.trace(sample, *sample.xs))
    seeds = tuple(np.random.default_rng(0).uniform(0.5, 1.5, node.shape).astype(node.dtype) for node in graph.inputs[len(sample.xs) :])
    values = (*sample.xs, *seeds)
    expressions = to_sympy(graph)
    for expression, result in zip(expressions, graph(*values), strict=True):
        found = numbers(expression, graph, values)
        np.testing.assert_allclose(found, result, rtol=2e-6 if result.dtype == np.float32 else 1e-12, atol=1e-14)


def test_several_outputs_are_a_tuple_and_arrays_have_one_symbol_an_entry() -> None:
    total, doubled = to_sympy(cg.trace(lambda x: (np.sum(x), x * 2), np.zeros((1, 2))))
    x_0_0, x_0_1 = sp.symbols("x_0_0 x_0_1", real=True)
    assert total == x_0_0 + x_0_1
    assert doubled.tolist() == [[2 * x_0_0, 2 * x_0_1]]


def test_two_inputs_never_share_a_symbol() -> None:
    graph = cg.trace(lambda x, x_0: x[0] - x_0, np.zeros(2), 0.0)
    assert to_sympy(graph) != 0
    assert to_sympy(graph).free_symbols == {sp.Symbol("x_0", real=True), sp.Symbol("x_0_", real=True)}


def test_truth_values_and_numbers_are_told_apart() -> None:
    def f(x: Any, chosen: Any, n: Any) -> Any:
        return np.where(np.where(chosen, x, -x), 1.0, 0.0) + (x > 0) * n + np.sum(np.stack([x > 1, x > 2])) + (~(x > 3)).astype(float)

    graph = cg.trace(f, 0.5, np.array(True), np.array(3))
    assert graph.inputs[2].dtype.kind == "i"
    for values in ((2.5, True, 3), (0.0, False, 2), (-1.0, True, 5), (4.0, False, 0)):
        assert numbers(to_sympy(graph), graph, values) == graph(*values)


def test_a_variable_that_was_closed_over_is_a_number() -> None:
    weight = cg.variable(2.0)
    assert to_sympy(cg.trace(lambda x: weight * x, 1.0)) == 2 * x


def test_constants_are_exact() -> None:
    expression = to_sympy(cg.trace(lambda x: x**2.0 + x * 0.1 + np.float32(0.5), 1.0))
    assert expression == x**2 + x * sp.Float(0.1) + sp.Rational(1, 2)
    assert to_sympy(cg.trace(lambda x: x * np.inf, 1.0)) == x * sp.oo


def test_a_form_that_sympy_does_not_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PRIMITIVES["exp"], "sympy", lambda sympy, x: sympy.no_such_function(x))
    with pytest.raises(MissingRuleError, match=r"exp has no SymPy form for v1 = exp \(\) from test_symbolic.py:\d+: .*no_such_function"):
        to_sympy(cg.trace(lambda x: np.exp(x), 1.0))


def horner(steps: int) -> cg.Graph:
    def polynomial(x: Any) -> Any:
        value = x
        for step in range(steps):
            value = value * x + step
        return value

    return cg.trace(polynomial, 0.5)


def test_a_graph_of_100_000_nodes_is_converted() -> None:
    graph = horner(50_000)
    assert len(graph.nodes) == 100_001
    assert to_sympy(graph).is_Add


def test_a_deep_expression_is_read_back() -> None:
    graph = horner(5_000)
    back = from_sympy(to_sympy(graph))
    assert len(back.nodes) > 9_990
    assert back(0.5) == pytest.approx(graph(0.5), rel=1e-12)


def test_an_expression_deeper_than_sympy_can_go_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(sympy: Any, x: Any) -> Any:
        raise RecursionError

    monkeypatch.setattr(PRIMITIVES["sin"], "sympy", too_deep)
    with pytest.raises(GraphError, match="SymPy cannot go as deep as v1 = sin"):
        to_sympy(cg.trace(lambda x: np.sin(x), 1.0))


# ----------------------------------------------------------------------------------------------- sizes


def test_shared_parts_count_every_time() -> None:
    expression = x
    known: dict[Any, int] = {}
    for _ in range(50):
        expression = sp.sin(expression) * sp.cos(expression)
    assert tree_size(expression, known) > 2**50


def test_a_limit_stops_before_the_work_is_done() -> None:
    def doubling(x: Any) -> Any:
        for _ in range(200):
            x = np.sin(x) * np.cos(x)
        return x

    for function, value in ((doubling, 1.0), (lambda a: a @ a, np.zeros((30, 30))), (lambda a: np.max(a), np.zeros(30))):
        graph = cg.trace(function, value)
        with pytest.raises(TooLargeError, match="too large from"):
            extend(dict(zip(graph.inputs, symbols_of(graph), strict=True)), graph.nodes, limit=1000)


# --------------------------------------------------------------------------------------------- partials


def test_partials_at_numbers() -> None:
    power = PRIMITIVES["power"].sympy
    assert partial_at(power, 0, [0.0, 2.0]) == 0.0  # x1**x2*x2/x1 is no number there
    assert math.isnan(partial_at(power, 1, [0.0, 2.0]))
    assert partial_at(power, 0, [3.0, 2]) == pytest.approx(6.0, rel=1e-15)
    assert partial_at(PRIMITIVES["tanh"].sympy, 0, [20.0]) == pytest.approx(4 * math.exp(-40) * (1 - 2 * math.exp(-40)), rel=1e-14)
    assert math.isnan(partial_at(PRIMITIVES["sqrt"].sympy, 0, [-1.0]))


# -------------------------------------------------------------------------------------- SymPy -> graph


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        (x - y, ["x - y"]),
        (x / y, ["x / y"]),
        (-x, ["-x"]),
        (-x - y, ["x + y", "-v1"]),
        (1 - x, ["1 - x"]),
        (x / 3, ["x / 3"]),
        (-x / 3, ["x / 3", "-v1"]),
        (2 * x / (3 * y**2), ["2 * x", "y ** 2", "3 * v2", "v1 / v3"]),
        (1 / sp.sqrt(x), ["sqrt(x)", "1 / v1"]),
        (x**-2, ["x ** 2", "1 / v1"]),
        (sp.exp(-x), ["-x", "exp(v1)"]),
        (x**y, ["x ** y"]),
        (sp.Max(x, y, z), ["maximum(x, y)", "maximum(v1, z)"]),
        (sp.Abs(x) + sp.sign(y), ["abs(x)", "sign(y)", "v1 + v2"]),
        (sp.pi * x, ["3.141593 * x"]),
        (sp.Piecewise((x, x > 0), (y, True)), ["x > 0", "where(v1, x, y)"]),
        (sp.Piecewise((x, (x > 0) & (y > 0)), (0, True)), ["x > 0", "y > 0", "logical_and(v1, v2)", "where(v3, x, 0)"]),
        (sp.Piecewise((x, x > 0)), ["x > 0", "where(v1, x, nan)"]),
        (sp.Ne(x, y), ["x != y"]),
        (sp.Heaviside(x), ["x > 0", "x < 0", "where(v2, 0, 0.5)", "where(v1, 1, v3)"]),
    ],
    ids=str,
)
def test_a_graph_reads_as_the_expression_does(expression: Any, lines: list[str]) -> None:
    graph = cg.typecheck(from_sympy(expression))
    assert [line.partition(" = ")[2] for line in str(graph).splitlines()[1:-1]] == lines


ROUND_TRIPS: tuple[Any, ...] = (
    textbook,
    lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2),
    lambda x1, x2: np.sin(x1) * np.cos(x2) + np.tan(x1) / np.arctan(x2) - np.arcsin(x1 / 9) * np.arccos(x2 / 9),
    lambda x1, x2: np.sinh(x1) - np.cosh(x2) * np.tanh(x1 - x2) + np.exp(-x1) - np.log1p(x2) + np.expm1(x1),
    lambda x1, x2: np.maximum(x1, x2) * np.minimum(x1, 2 * x2) + np.abs(x1 - x2) + np.sign(x2 - x1) + cg.relu(x1 - 1),
    lambda x1, x2: np.where(x1 > x2, x1**2, x2**-1.5) + cg.sigmoid(x1) * cg.softplus(x2) + np.sqrt(x1) + np.square(x2),
    lambda x1, x2: np.where((x1 > x2) & ~(x1 >= 3), x1, x2) + np.where((x1 < 1) | (x2 <= 1), 0.3, -x2) - x1**x2,
)


@pytest.mark.parametrize("function", ROUND_TRIPS)
@pytest.mark.parametrize("point", [(0.5, 1.0), (2.0, 5.0), (3.5, 0.25)])
def test_there_and_back_has_the_same_value_and_derivative(function: Any, point: tuple[float, float]) -> None:
    graph = cg.trace(function, *point)
    back = cg.typecheck(from_sympy(to_sympy(graph), inputs=["x1", "x2"]))
    assert back(*point) == pytest.approx(graph(*point), rel=1e-12)
    np.testing.assert_allclose(cg.reverse(back)(*point, 1.0), cg.reverse(graph)(*point, 1.0), rtol=1e-11)


LEAVES = st.one_of(st.sampled_from([x, y, z]), st.integers(-5, 5).map(sp.Integer), st.fractions(-3, 3, max_denominator=9).map(sp.Rational))
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.tuples(parts, parts).map(lambda pair: pair[0] + pair[1]),
        st.tuples(parts, parts).map(lambda pair: pair[0] - pair[1]),
        st.tuples(parts, parts).map(lambda pair: pair[0] * pair[1]),
        st.tuples(parts, parts).map(lambda pair: pair[0] / (1 + pair[1] ** 2)),
        st.tuples(parts, parts).map(lambda pair: sp.Max(*pair)),
        st.tuples(parts, st.sampled_from([sp.sin, sp.tanh, sp.atan, sp.Abs])).map(lambda pair: pair[1](pair[0])),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, st.tuples(*[st.floats(-2, 2).map(lambda number: round(number, 3))] * 3))
@settings(max_examples=60)
def test_any_expression_has_the_value_that_sympy_gives_it(expression: Any, point: tuple[float, ...]) -> None:
    graph = cg.typecheck(from_sympy(expression, inputs=[x, y, z]))
    expected = float(expression.xreplace(dict(zip((x, y, z), map(sp.Float, point), strict=True))).evalf(30))
    assert graph(*point) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_common_parts_become_one_node() -> None:
    part = sp.sin(x * y)
    graph = from_sympy((part**2 + part, sp.exp(part)))
    assert [node.primitive.name for node in graph.nodes if node.primitive].count("sin") == 1
    assert len(graph.outputs) == 2


def test_inputs_are_in_natural_order_or_as_asked() -> None:
    symbols = sp.symbols("x10 x2 x1")
    graph = from_sympy(sum(symbols))
    assert [node.name for node in graph.inputs] == ["x1", "x2", "x10"]
    assert [node.name for node in from_sympy(x - y, inputs=["y", z, "x"]).inputs] == ["y", "z", "x"]
    with pytest.raises(InputError, match=r"from_sympy: no input for y; the inputs are x"):
        from_sympy(x - y, inputs=["x"])


def test_symbols_of_one_name_are_one_input() -> None:
    graph = from_sympy(sp.Symbol("x") * 2 + sp.Symbol("x", real=True))
    assert graph(3.0) == 9.0


def test_a_constant_expression_is_a_constant() -> None:
    assert from_sympy(sp.sqrt(2) * sp.E)() == pytest.approx(math.sqrt(2) * math.e, rel=1e-15)
    assert from_sympy(sp.Integer(2) ** 80)() == 2.0**80


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        (sp.zeta(x) + 1, r"zeta\(x\) has no primitive"),
        (x + sp.sin(sp.airyai(x)), r"airyai\(x\) has no primitive"),
        (sp.I * x, "I is no finite real number|I has no primitive"),
        (sp.Integral(sp.sin(x**x), x), r"Integral\(sin\(x\*\*x\), x\) has no primitive"),
        (sp.Derivative(sp.Function("h")(x), x), r"h\(x\)|Derivative"),
        (sp.zoo * x, "zoo"),
        (sp.log(-2) + x, r"I|log\(-2\)|pi"),
        (sp.Mul(x, sp.Pow(2, 2**70, evaluate=False), evaluate=False), "no finite real number"),
        (sp.Pow(10, 400) * x, "no finite real number"),
    ],
    ids=str,
)
def test_what_has_no_primitive_is_quoted(expression: Any, part: str) -> None:
    with pytest.raises(MissingRuleError, match=part):
        from_sympy(expression)


@pytest.mark.parametrize("thing", ["x + 1", 2.0, None, sp.Matrix([x]), [x, "y"]])
def test_only_sympy_expressions_are_read(thing: Any) -> None:
    with pytest.raises(InputError, match="from_sympy takes SymPy expressions, not"):
        from_sympy(thing)


def test_names_are_only_names() -> None:
    name = "__import__('os').abort()"
    graph = from_sympy(sp.Symbol(name) + 1)
    assert graph(1.0) == 2.0
    assert to_sympy(graph) == sp.Symbol(name, real=True) + 1

"""The certificate: right derivatives pass, a planted wrong one is named, and what cannot be compared says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from domains import DIFFERENTIABLE, Sample, undomained
from hypothesis import given, settings

import compgraph as cg
from compgraph import numerical
from compgraph.certificate import check, check_primitive, directional_derivative
from compgraph.errors import InputError
from compgraph.graph import PRIMITIVES, Primitive, bind
from compgraph.reports import CheckReport, CheckRow, WrongDerivativeError
from compgraph.symbolic import TooLargeError


def textbook(x1: Any, x2: Any) -> Any:
    ratio = x1 / x2
    return (np.exp(ratio) + ratio) * (ratio - np.log(x2))


def survey(x1: Any, x2: Any) -> Any:
    return np.log(x1) + x1 * x2 - np.sin(x2)


def row(report: CheckReport, operation: str, argument: str | None = None) -> CheckRow:
    return next(one for one in report.rows if one.operation == operation and argument in (None, one.argument))


# ----------------------------------------------------------------------------------- right derivatives


@pytest.mark.parametrize(
    ("function", "point", "value", "partials", "rows"),
    [(textbook, (0.5, 1.0), 1.0743606, (3.4730819, -3.8852622), 12), (survey, (2.0, 5.0), 11.652071, (5.5, 1.7163378), 10)],
)
def test_the_examples_of_the_literature(function: Any, point: Any, value: float, partials: Any, rows: int) -> None:
    assert cg.trace(function, *point)(*point) == pytest.approx(value, abs=5e-8, rel=5e-7)
    report = check(function, *point).raise_if_wrong()
    assert report and report.ok and report.first_wrong is None and len(report.rows) == rows
    for found, expected in zip(report.rows[-2:], partials, strict=True):
        assert list(found.numbers.values()) == pytest.approx([expected] * 4, abs=5e-8)
    assert all(found.verdict == "agrees" and found.digits is not None and found.digits > 11 for found in report.rows)


def cross_entropy(weights: Any, x: Any, bias: Any) -> Any:
    scores = x @ weights + bias
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    likelihood = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    chosen = likelihood[np.arange(2), np.array([2, 0])]
    return -np.mean(chosen) + np.sum(np.where(weights > 0, weights, 0.1 * weights) ** 2)


def cross_entropy_values(dtype: Any) -> tuple[Any, ...]:
    generator = np.random.default_rng(0)
    return tuple(generator.normal(size=shape).astype(dtype) for shape in ((4, 3), (2, 4), (3,)))


def test_arrays_all_four_ways() -> None:
    report = check(cross_entropy, *cross_entropy_values(np.float64)).raise_if_wrong()
    assert {found.operation for found in report.rows} >= {"matmul", "max", "sum", "mean", "where", "index", "exp", "log", ""}
    for found in report.rows:
        assert found.verdict == "agrees"
        assert all(number is not None for number in list(found.numbers.values())[: 4 if found.operation else 2])
        assert found.digits is not None and found.digits > 8


def test_float32_is_compared_to_the_derivative_at_its_own_values() -> None:
    report = check(cross_entropy, *cross_entropy_values(np.float32)).raise_if_wrong()
    assert min(found.digits for found in report.rows if found.digits is not None) > 4


def some_sample(name: str, entries: int = 12) -> Sample:
    """The largest sample of a primitive that has at most that many entries, or the smallest."""
    sizes = [(sum(np.size(value) for value in sample.xs), sample) for sample in DIFFERENTIABLE if sample.name == name]
    small = [pair for pair in sizes if pair[0] <= entries]
    return max(small, key=lambda pair: pair[0])[1] if small else min(sizes, key=lambda pair: pair[0])[1]


# Rules are the same for all floats: one sample of each primitive shows that they keep the dtype.
SINGLE = {id(some_sample(name)) for name in {sample.name for sample in DIFFERENTIABLE}}
# Those of many entries take SymPy long.
EACH = [
    (sample, dtype, id(sample) not in SINGLE and (dtype is np.float32 or sum(np.size(value) for value in sample.xs) > 30))
    for sample in DIFFERENTIABLE for dtype in (np.float64, np.float32)
]  # fmt: skip
SAMPLES_AND_DTYPES = [
    pytest.param(sample, dtype, id=f"{sample}-{dtype.__name__}", marks=pytest.mark.slow if again else []) for sample, dtype, again in EACH
]


@pytest.mark.parametrize(("sample", "dtype"), SAMPLES_AND_DTYPES)
def test_every_primitive_is_right_on_its_samples(sample: Sample, dtype: Any) -> None:
    sample = sample.astype(dtype)
    report = check(sample, *sample.xs)
    assert [found.verdict for found in report.rows] == ["agrees"] * len(report.rows)
    assert report.rows


OPERATIONS: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - 2 * b, lambda a, b: a / (1 + b * b), lambda a, b: np.tanh(a) + b,
    lambda a, b: np.sin(a * b), lambda a, b: np.exp(-a * a), lambda a, b: cg.sigmoid(a) * b, lambda a, b: np.maximum(a, b + 0.3),
    lambda a, b: np.where(a > b, a * b, b), lambda a, b: np.sum(a) * b, lambda a, b: np.mean(b) - a, lambda a, b: np.max(a + b) * a,
)  # fmt: skip
PROGRAMS = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=6)
POINTS = st.tuples(st.sampled_from([(), (3,), (2, 1)]), st.sampled_from([(), (3,), (1, 3)]), st.integers(0, 10**6))


@given(PROGRAMS, POINTS)
@settings(max_examples=25)
def test_any_program_is_certified(program: Any, point: Any) -> None:
    def run(x: Any, y: Any) -> Any:
        values = [x, y]
        for operation, left, right in program:
            values.append(operation(values[left % len(values)], values[right % len(values)]))
        return values[-1] + 0.5 * values[-2]

    generator = np.random.default_rng(point[2])
    report = check(run, generator.normal(size=point[0]), generator.normal(size=point[1]))
    assert report.first_wrong is None, str(report)
    assert report.ok, str(report)


# ----------------------------------------------------------------------------------------- wrong ones


def scaled(rule: Any) -> Any:
    return lambda *args, **params: rule(*args, **params) * 1.01


def shuffled(rule: Any) -> Any:
    return lambda *args, **params: np.roll(np.ravel(adjoint := np.asarray(rule(*args, **params))), 1).reshape(adjoint.shape)


def only_for(place: int, wrong: Any, rule: Any) -> Any:
    """A transpose that takes the argument's index first, wrong for one of them."""
    return lambda index, *args, **params: (wrong if index == place else lambda right: right)(lambda: rule(index, *args, **params))()


def plant(monkeypatch: pytest.MonkeyPatch, primitive: Primitive, place: int, wrong: Any) -> None:
    if primitive.kind(place) == "general":
        monkeypatch.setattr(primitive, "tangent", wrong(primitive.tangent))
        return
    field = "partials" if primitive.partials is not None else "transpose"
    rules = getattr(primitive, field)
    if callable(rules):
        monkeypatch.setattr(primitive, field, only_for(place, wrong, rules))
    else:
        monkeypatch.setattr(primitive, field, (*rules[:place], wrong(rules[place]), *rules[place + 1 :]))


WRONG = [
    pytest.param(name, place, wrong, id=f"{name}-{place}-{wrong.__name__}")
    for name in dict.fromkeys(sample.name for sample in DIFFERENTIABLE)
    for place in some_sample(name).places
    for wrong in ([scaled] if PRIMITIVES[name].tangent or PRIMITIVES[name].partials else [scaled, shuffled])
]


def test_a_wrong_rule_is_planted_in_every_differentiable_primitive() -> None:
    assert undomained() == set()
    assert {parameters.values[0] for parameters in WRONG} == {name for name, primitive in PRIMITIVES.items() if primitive.differentiable}


@pytest.mark.parametrize(("name", "place", "wrong"), WRONG)
def test_a_planted_wrong_rule_is_named(name: str, place: int, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = some_sample(name)
    before = [one for one in ("add", "multiply", "negative") if one != name][:2]
    after = [one for one in ("sin", "exp", "arctan") if one != name][:2]
    neutral = {"add": lambda x: x + 0.0, "multiply": lambda x: x * 1.0, "negative": lambda x: np.negative(np.negative(x))}

    def f(*xs: Any) -> Any:
        for one in before:
            xs = tuple(neutral[one](x) for x in xs)
        y = sample(*xs)
        for one in after:
            y = bind(one, y)
        return y

    graph = cg.trace(f, *sample.xs)
    assert check(graph, *sample.xs).ok
    plant(monkeypatch, PRIMITIVES[name], place, wrong)
    report = check(graph, *sample.xs)

    target = next(node for node in graph.nodes if node.primitive is PRIMITIVES[name])
    first = report.first_wrong
    assert first is not None and not report.ok
    assert (first.operation, first.node) == (name, graph.names[target])
    mixed = PRIMITIVES[name].tangent is not None and PRIMITIVES[name].kind(place) == "linear"  # its tangent goes through its transpose
    assert first.argument in {graph.names[arg] for arg in (target.args if mixed else target.args[place : place + 1])}
    local = [found for found in report.rows if found.operation]
    assert {found.node for found in local if found.verdict == "wrong"} == {first.node}
    assert local[0].verdict == local[-1].verdict == "agrees" and {local[0].operation, local[-1].operation}.isdisjoint({name})
    assert any(found.verdict == "wrong" for found in report.rows if not found.operation)
    with pytest.raises(WrongDerivativeError, match=rf"the first that disagrees is\n{first.node} = .* \({name}\)"):
        report.raise_if_wrong()


def test_the_report_says_all_there_is_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, PRIMITIVES["divide"], 1, scaled)
    report = check(textbook, 0.5, 1.0)
    text = str(report.first_wrong)
    assert "v1 = x1 / x2 (divide), derivative with respect to x2: wrong, forward and reverse differ from SymPy" in text
    assert "forward -0.505, reverse -0.505, SymPy -0.5, numerical -0.5" in text
    assert "test_certificate.py:" in text and "`ratio = x1 / x2`" in text
    assert "SymPy derives d divide(x1, x2) / d x2 = -x1/x2**2" in text
    assert "1 more not certified" in str(report) and text in str(report)


def test_the_rule_as_written_stands_beside_the_one_that_sympy_derives(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(PRIMITIVES["divide"], "partials", (PRIMITIVES["divide"].partials[0], lambda y, x1, x2: y / x2))
        assert "written is    d y / d x2 = y / x2\n  SymPy derives d divide(x1, x2) / d x2 = -x1/x2**2" in str(check(textbook, 0.5, 1.0))
    monkeypatch.setattr(PRIMITIVES["sum"], "transpose", (lambda y_bar, x, axis, keepdims: np.broadcast_to(y_bar, x.shape) * 2,))
    first = check(lambda x: np.sum(x), np.ones(3)).first_wrong
    assert first is not None and first.written == "x_bar = broadcast_to(y_bar, (3,)) * 2"
    assert check(lambda x: np.exp(x), 1.0).rows[0].written == ""


def test_each_way_says_how_many_digits_it_shares_with_sympy(monkeypatch: pytest.MonkeyPatch) -> None:
    report = check(lambda x: np.exp(x) * abs(x), 0.7)
    exp, absolute, *_ = (found.agreement for found in report.rows)
    assert set(exp) == {"forward", "reverse", "complex step", "differences"} and set(absolute) == set(exp) - {"complex step"}
    assert min(exp["forward"], exp["reverse"], exp["complex step"]) > 15 and 8 < exp["differences"] < 16
    assert "v1    exp(x)      x   16.0" in report.agreement()
    plant(monkeypatch, PRIMITIVES["exp"], 0, scaled)
    wrong = check(lambda x: np.exp(x), 0.7).rows[0].agreement
    assert wrong["forward"] == wrong["reverse"] == pytest.approx(2.0, abs=0.01) and wrong["complex step"] > 15


def test_only_the_mode_that_is_wrong_is_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, PRIMITIVES["reshape"], 0, shuffled)
    first = check(lambda x: np.reshape(x, (3, 2)), np.arange(6.0).reshape(2, 3)).first_wrong
    assert first is not None and first.note == "reverse differs from SymPy"


def test_a_sympy_form_that_says_something_else_than_the_code_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PRIMITIVES["tanh"], "sympy", lambda sympy, x: sympy.tanh(x) * 1.5)
    first = check(lambda x: np.exp(np.tanh(x)), 0.3).first_wrong
    assert first is not None and (first.operation, first.note) == ("tanh", "forward and reverse and numerical differ from SymPy")


def test_a_rule_that_raises_or_has_the_wrong_shape_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(PRIMITIVES["exp"], "partials", (lambda y, x: np.zeros(5),))
        first = check(lambda x: np.exp(x), np.ones(3)).first_wrong
        assert first is not None and first.note.startswith("the forward rule raised ValueError")
    monkeypatch.setattr(PRIMITIVES["reshape"], "transpose", (lambda y_bar, x, shape: y_bar,))
    first = check(lambda x: np.reshape(x, (3, 2)), np.ones((2, 3))).first_wrong
    assert first is not None and first.note == "the reverse rule raised ShapeError: the adjoint of (2, 3) has shape (3, 2)"


def test_a_rule_that_gives_nan_at_a_good_point_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PRIMITIVES["power"], "partials", (lambda y, x1, x2: x2 * y / x1, PRIMITIVES["power"].partials[1]))
    first = check(lambda x: x**2, 0.0).first_wrong
    assert first is not None and first.operation == "power" and first.symbolic == 0.0


def test_a_wrong_entry_among_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = PRIMITIVES["softplus"].partials[0]
    monkeypatch.setattr(PRIMITIVES["softplus"], "partials", (lambda y, x: np.where(x == x.max(), 1.0001, 1.0) * right(y, x),))
    report = check(lambda x: cg.softplus(x), np.linspace(-3, 3, 5000))
    assert report.first_wrong is not None and report.first_wrong.operation == "softplus"


# ----------------------------------------------------------------------- kinks, domains, declared zeros


@pytest.mark.parametrize(
    ("function", "point", "operation", "convention"),
    [
        (lambda x: np.abs(x), (0.0,), "abs", 0.0),
        (lambda x: cg.relu(x), (0.0,), "relu", 0.0),
        (lambda x: np.maximum(x, 0.5), (0.5,), "maximum", 0.5),
        (lambda x, y: np.minimum(x, y), (2.0, 2.0), "minimum", 0.5),
        (lambda x, y: x**y, (0.0, 2.0), "power", 0.0),
    ],
)
def test_a_kink_is_a_convention_and_no_mistake(function: Any, point: Any, operation: str, convention: float) -> None:
    report = check(function, *point)
    found = [one for one in report.rows if one.operation == operation][-1]
    assert found.verdict == "kink: convention used" and found.forward == found.reverse == convention
    assert report.ok and "at a kink" in str(report)


def test_a_tie_in_a_reduction_is_a_kink() -> None:
    found = row(check(lambda x: np.max(x, axis=1), np.array([[1.0, 3.0, 3.0], [4.0, 5.0, 6.0]])), "max")
    assert found.verdict == "kink: convention used" and found.note == "at 1 of 2 entries"


@pytest.mark.parametrize("slope", [3.0, -1.5])
def test_a_value_beyond_both_sides_of_a_kink_is_wrong(slope: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PRIMITIVES["abs"], "partials", (lambda y, x: np.where(x == 0, slope, np.sign(x)),))
    first = check(lambda x: np.abs(x), 0.0).first_wrong
    assert first is not None and first.operation == "abs"


@pytest.mark.parametrize("x", [1e-7, -1e-6, 1e-4])
def test_close_to_a_kink_is_not_at_it(x: float) -> None:
    assert row(check(lambda x: np.abs(x) * cg.relu(x), x), "abs").verdict == "agrees"


@pytest.mark.parametrize(("function", "point"), [(lambda x: np.log(x), -1.0), (lambda x: np.sqrt(x), 0.0), (lambda x: 1 / x, 0.0)])
def test_outside_the_domain_is_no_agreement(function: Any, point: float) -> None:
    report = check(function, point)
    assert report.rows[0].verdict == "outside the domain"
    assert report.first_wrong is None and not report.ok and not report
    with pytest.raises(WrongDerivativeError, match=r"not certified is\nv1 = .*outside the domain"):
        report.raise_if_wrong()


def test_one_entry_outside_the_domain_hides_no_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([-1.0, 0.5, 2.0])
    assert row(check(lambda x: np.log(x), x), "log").note == "at 1 of 3 entries"
    plant(monkeypatch, PRIMITIVES["log"], 0, scaled)
    assert row(check(lambda x: np.log(x), x), "log").verdict == "wrong"


def test_ill_conditioned_and_vanishing_derivatives_are_no_mistakes() -> None:
    assert check(lambda x: np.arcsin(x), 1 - 1e-9).ok
    assert check(lambda x: np.tanh(x) + cg.sigmoid(2 * x) + np.expm1(-2 * x), 20.0).ok
    assert check(lambda x: np.sin(x) ** 2 + np.cos(x) ** 2, 0.7).ok
    assert check(lambda x: (x - 1e6) * (x + 1e6), 1e6 + 0.1).ok


def test_declared_zeros_are_said_aloud() -> None:
    report = check(lambda x: x * cg.stop_gradient(x) + np.sign(x), 3.0).raise_if_wrong()
    assert [row(report, name).verdict for name in ("stop_gradient", "sign")] == ["zero, said aloud"] * 2
    assert list(report.rows[-1].numbers.values()) == [3.0] * 4


# ------------------------------------------------------------------------------------ sizes and inputs


def test_every_argument_of_a_primitive_becomes_an_input() -> None:
    report = check_primitive("power", 2.0, 3.0).raise_if_wrong()
    assert [found.forward for found in report.rows[:2]] == pytest.approx([12.0, 8 * np.log(2.0)], rel=1e-14)
    assert [found.argument for found in check_primitive("power", np.array([2.0, 3.0]), 3).rows] == ["x1", "x1"]


def test_large_arrays_are_compared_without_sympy_and_say_so() -> None:
    generator = np.random.default_rng(0)
    report = check(lambda a, b: np.sum(np.tanh(a @ b)), generator.normal(size=(60, 60)), generator.normal(size=(60, 60)))
    assert report.ok
    assert row(report, "matmul").note == "SymPy: more than 100 entries" and row(report, "matmul").symbolic is None
    assert row(report, "tanh").note == "SymPy at 48 of 3600 entries"
    assert report.rows[-1].note == "SymPy: too large from the input (60, 60) on"


def test_an_expression_that_explodes_is_left_to_the_other_three() -> None:
    def doubling(x: Any) -> Any:
        for _ in range(40):
            x = np.sin(x) * np.cos(x) + x
        return x

    last = check(doubling, 0.1).raise_if_wrong().rows[-1]
    assert last.symbolic is None and last.note.startswith("SymPy: too large from")
    assert last.forward == pytest.approx(last.numerical, rel=1e-9)


def test_without_a_sympy_form_three_ways_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PRIMITIVES["exp"], "sympy", lambda sympy, x: sympy.no_such_function(x))
    report = check(lambda x: np.exp(x), 1.0).raise_if_wrong()
    assert report.rows[0].symbolic is None and report.rows[0].note.startswith("no SymPy form") and report.rows[0].numerical is not None


def test_many_inputs_are_moved_together() -> None:
    report = check(lambda xs: xs[0] * xs[1] + np.sum(np.stack(xs)), [float(number) for number in range(70)])
    assert [found.argument for found in report.rows if not found.operation] == ["all inputs"]
    assert report.ok


def test_each_output_is_compared_by_each_input() -> None:
    report = check(lambda x, y: (x > y, np.sin(x), {"product": x * y, "input": x}), 0.5, 2.0).raise_if_wrong()
    whole = [found for found in report.rows if not found.operation]
    assert [found.rule.partition(" = ")[2] for found in whole] == ["cos(x)", "0", "y", "x", "1", "0"]
    assert [found.forward for found in whole] == pytest.approx([np.cos(0.5), 0.0, 2.0, 0.5, 1.0, 0.0], rel=1e-14)


def test_arguments_by_position_by_name_held_and_nested() -> None:
    graph = cg.trace(survey, 2.0, 5.0)
    by_name = check(graph, x2=5.0, x1=2.0)
    assert by_name.rows == check(graph, 2.0, 5.0).rows
    held = cg.variable(2.0, name="x1"), cg.variable(5.0, name="x2")
    assert [found.forward for found in check(cg.graph_of(survey(*held))).rows] == [found.forward for found in by_name.rows]
    assert check(lambda p, scale: p["w"] * p["b"][0] * scale, {"w": 2.0, "b": [3.0]}, scale=1.5).rows[-1].forward == 6.0
    with pytest.raises(InputError, match=r"survey\(x1, x2\): no value for x2"):
        check(graph, 2.0)
    with pytest.raises(InputError, match="check takes a function or a graph, not Node; for a node write"):
        check(held[0])
    with pytest.raises(InputError, match="there is no primitive 'cube'"):
        check_primitive("cube", 2.0)


def test_the_same_seed_gives_the_same_report() -> None:
    values, other, seeded = (check(np.tanh, np.linspace(-1, 1, 4), seed=seed) for seed in (0, 0, 1))
    assert values.rows == other.rows
    assert values.rows != seeded.rows


def test_a_tolerance_can_be_asked_for() -> None:
    values = cross_entropy_values(np.float32)
    assert not check(cross_entropy, *values, rtol=1e-12).ok


def test_tables_are_whole_texts_and_html_is_escaped() -> None:
    report = check(lambda x: np.where(x > 1, x, x * x) * 1.0, 2.0)
    bundle = report._repr_mimebundle_()
    assert bundle["text/plain"] == str(report)
    assert "where(v1, x, v2)" in str(report) and "f: all 6 derivatives agree" in str(report)
    hostile = CheckReport("<b>", (CheckRow("<i>", "exp", "exp(<i>)", "<script>", "agrees"),))
    assert "<script>" not in hostile._repr_mimebundle_()["text/html"] and "&lt;script&gt;" in hostile._repr_mimebundle_()["text/html"]


def test_long_tables_show_what_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    def chain(x: Any) -> Any:
        for _ in range(100):
            x = np.sin(x)
        return np.cosh(x)

    assert "... and 42 more that agree" in str(check(chain, 0.5))
    plant(monkeypatch, PRIMITIVES["cosh"], 0, scaled)
    text = str(check(chain, 0.5))
    assert "v101 = cosh(v100) (cosh)" in text and len(text.splitlines()) < 80


def test_a_direction_through_an_operation_on_arrays() -> None:
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, 0.25])
    product = cg.trace(lambda a, b: a @ b, a, b).outputs[0]
    np.testing.assert_allclose(directional_derivative(product, [a, b], 1, np.array([1.0, 10.0]), limit=10), a @ [1.0, 10.0])
    largest = cg.trace(lambda a: np.max(a, axis=0), a).outputs[0]
    np.testing.assert_allclose(directional_derivative(largest, [a], 0, np.arange(4.0).reshape(2, 2), limit=10), [2.0, 3.0])
    with pytest.raises(TooLargeError, match="more than 3 entries"):
        directional_derivative(product, [a, b], 0, a, limit=3)


# ------------------------------------------------------------------------- numerical differentiation


def test_the_complex_step_is_exact() -> None:
    assert numerical.complex_step(lambda step, nudge: np.exp(np.array([0.3, 2.0]) + step)) == pytest.approx(np.exp([0.3, 2.0]), rel=1e-15)


@pytest.mark.parametrize("function", [lambda z: np.abs(z), lambda z: (z - 3) ** 101.5])
def test_code_that_is_not_analytic_gives_no_complex_step(function: Any) -> None:
    assert numerical.complex_step(lambda step, nudge: function(np.array([0.5]) + step)) is None


@pytest.mark.parametrize(("function", "derivative"), [(np.exp, np.exp), (np.log, lambda x: 1 / x), (np.tanh, lambda x: np.cosh(x) ** -2.0)])
def test_differences_are_as_near_as_they_say(function: Any, derivative: Any) -> None:
    x = np.array([0.01, 0.5, 3.0])
    with np.errstate(invalid="ignore", divide="ignore"):
        found, error = numerical.central_differences(lambda step, nudge: function(x + step), 0.05)
    assert np.all(abs(found - derivative(x)) <= 10 * error + 1e-9 * abs(found))
    np.testing.assert_allclose(found, derivative(x), rtol=1e-9)


def test_a_smooth_bend_is_no_kink() -> None:
    def path(step: Any, nudge: float) -> Any:
        x = np.array([0.0, 0.0, 1e-3, 2.0]) + step
        return np.array([abs(x[0]), x[1] ** 2, abs(x[2]), np.cosh(x[3])])

    assert numerical.one_sided(path, 1.0)[2].tolist() == [True, False, False, False]

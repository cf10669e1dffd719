"""Grades: right rules pass, and each planted mistake is called by its name, with the line."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import grading


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: Any) -> Any:
    powers = np.exp(x - np.max(x))
    return powers / np.sum(powers)


def layer_norm(x: Any, gain: Any, shift: Any) -> Any:
    mean = np.mean(x, axis=-1, keepdims=True)
    variance = np.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * gain + shift


def layer_norm_rule(y_bar: Any, x: Any, gain: Any, shift: Any, *, mean: bool = True, variance: bool = True) -> Any:
    deviation = np.sqrt(np.var(x, axis=-1, keepdims=True) + 1e-5)
    normal = (x - x.mean(-1, keepdims=True)) / deviation
    bar = y_bar * gain
    x_bar = bar - mean * bar.mean(-1, keepdims=True) - variance * normal * (bar * normal).mean(-1, keepdims=True)
    return x_bar / deviation, (y_bar * normal).sum(0), y_bar.sum(0)


def softmax_rule(y_bar: Any, x: Any) -> Any:
    y = softmax(x)
    return y * (y_bar - np.sum(y_bar * y))


def outer(x: Any) -> Any:
    return np.sin(x**2)


def mse(p: Any, t: Any) -> Any:
    return np.mean((p - t) ** 2)


# -------------------------------------------------------------------------------------- rules of one entry

PARTIALS: dict[str, tuple[Callable[..., Any], Callable[..., Any], str, str]] = {
    "right": (sigmoid, lambda y, x: y * (1 - y), "right", ""),
    "wrong sign": (sigmoid, lambda y, x: y * (y - 1), "wrong sign", "is -1 times the right one everywhere"),
    "twice": (sigmoid, lambda y, x: 2 * y * (1 - y), "wrong factor", "is 2 times the right one everywhere"),
    "factor 2": (outer, lambda y, x: x * np.cos(x**2), "wrong factor", "is 0.5 times the right one everywhere: lacks the factor 2"),
    "factor 1 - y": (sigmoid, lambda y, x: y, "missing factor", "lacks the factor (1 - y)"),
    "factor x": (outer, lambda y, x: 2 * np.cos(x**2), "missing factor", "lacks the factor x"),
    "chain": (outer, lambda y, x: np.cos(x**2), "missing factor", "forgot the chain: lacks the factor dv1/dx = 2 * x, of v1 = x ** 2"),
    "chain and sign": (outer, lambda y, x: -np.cos(x**2), "missing factor", "and has the wrong sign"),
    "product rule": (lambda x: x * np.sin(x), lambda y, x: np.sin(x), "missing term", "lacks the term of the way from v1 = sin(x)"),
    "sign of a term": (lambda x: x**2 - np.sin(x), lambda y, x: 2 * x + np.cos(x), "wrong term", "has the wrong sign in the term"),
    "another function": (outer, lambda y, x: x**3, "wrong", " for "),
    "zero": (outer, lambda y, x: 0 * x, "zero", "it is 0 everywhere"),
    "nan": (outer, lambda y, x: x / 0 * 0, "not finite", "it gave nan"),
    "right at one point": (lambda x: np.sin(x), lambda y, x: np.cos(1.3) * x / 1.3, "wrong", ""),
}  # fmt: skip


@pytest.mark.parametrize(("f", "rule", "verdict", "hint"), PARTIALS.values(), ids=list(PARTIALS))
def test_partials(f: Any, rule: Any, verdict: str, hint: str) -> None:
    grade = cg.grade(cg.custom_derivative(f, partials=rule), 1.3)
    (mark,) = grade.marks
    assert mark.verdict == grade.verdict == verdict and hint in mark.hint, str(grade)
    assert grade.ok == bool(grade) == (verdict == "right") and grade.share == float(grade.ok)
    assert mark.place.startswith("test_grading.py:")


def test_the_rule_as_written_and_as_sympy_derives_it_stand_side_by_side() -> None:
    text = str(cg.grade(cg.custom_derivative(outer, partials=lambda y, x: 2 * np.cos(x**2)), 1.3))
    assert "written: 2 * cos(x ** 2)" in text and "right:   2*x*cos(x**2)" in text and "test_grading.py:" in text
    report = cg.check(lambda x: cg.custom_derivative(sigmoid, partials=lambda y, x: y * (y - 1))(3 * x), 0.2)
    assert report.first_wrong is not None
    assert "written is    d y / d x = y * (y - 1) (test_grading.py:" in str(report) and "exp(-x)/(1 + exp(-x))**2" in str(report)


# -------------------------------------------------------------------------------------- rules of arrays


def test_softmax_in_all_the_ways_that_people_write_it() -> None:
    rules = {
        "right": softmax_rule,
        "missing term": lambda y_bar, x: softmax(x) * y_bar,
        "wrong term": lambda y_bar, x: softmax(x) * (y_bar + np.sum(y_bar * softmax(x))),
        "wrong sign": lambda y_bar, x: -softmax_rule(y_bar, x),
        "wrong factor": lambda y_bar, x: softmax_rule(y_bar, x) / 3,
        "wrong shape": lambda y_bar, x: np.outer(softmax_rule(y_bar, x), np.ones(3)),
        "wrong": lambda y_bar, x: np.tanh(x) * y_bar,
        "not the same twice": lambda y_bar, x: np.random.default_rng().normal(size=3),
        "raised": lambda y_bar, x: x.no_such_thing,
    }
    grades = cg.grade(softmax, [0.3, 1.0, -2.0], backward=rules)
    assert {grade.name: grade.verdict for grade in grades} == {name: name for name in rules}
    assert "v4 = sum(v3) back to v3" in grades["missing term"].marks[0].hint
    assert "the number of entries" in grades["wrong factor"].marks[0].hint
    raised = grades["raised"].marks[0]
    assert raised.hint.startswith("AttributeError") and raised.line == '"raised": lambda y_bar, x: x.no_such_thing,'
    assert len(grades) == 9 and len(str(grades).splitlines()) == 10


def test_tangent_rules() -> None:
    right = cg.custom_derivative(softmax, tangent=lambda y, dots, x: y * (dots[0] - np.sum(y * dots[0])))
    short = cg.custom_derivative(softmax, tangent=lambda y, dots, x: y * dots[0])
    assert [grade.verdict for grade in cg.grade([right, short], [0.1, 0.2, 0.5])] == ["right", "missing term"]


def test_layer_norm() -> None:
    rules = {
        "all": layer_norm_rule,
        "mean forgotten": lambda *args: layer_norm_rule(*args, mean=False),
        "variance forgotten": lambda *args: layer_norm_rule(*args, variance=False),
    }
    x = np.random.default_rng(0).normal(size=(2, 4))
    grades = cg.grade(layer_norm, x, np.full(4, 1.3), np.zeros(4), backward=rules)
    assert [[mark.verdict for mark in grade.marks] for grade in grades] == [
        ["right"] * 3, ["missing term", "right", "right"], ["missing term", "right", "right"],
    ]  # fmt: skip
    assert grades["mean forgotten"].share == pytest.approx(2 / 3)


def test_a_bias_that_is_not_unbroadcast_and_a_matrix_that_is_not_transposed() -> None:
    rules = {
        "right": lambda g, x, w, b: (g @ w.T, x.T @ g, g.sum(0)),
        "wrong": lambda g, x, w, b: (g @ w.T, (x.T @ g).T, g),
        "mean": lambda g, x, w, b: (g @ w.T, x.T @ g, g.mean(0)),
        "few": lambda g, x, w, b: (g @ w.T, x.T @ g),
    }
    x, w, b = np.arange(6.0).reshape(2, 3), np.eye(3, 2) + 0.5, np.array([0.1, 0.2])
    grades = cg.grade(lambda x, w, b: x @ w + b, x, w, b, backward=rules)
    assert [mark.verdict for mark in grades["wrong"].marks] == ["right", "transposed", "not unbroadcast"]
    assert grades["wrong"].marks[2].hint == "the adjoint has shape (2, 2), the argument has (2,): sum it over axis 0"
    assert "lacks the factor 2, the number of entries" in grades["mean"].marks[2].hint
    assert grades["few"].verdict == "raised" and "2 adjoints for 3 arguments" in grades["few"].marks[0].hint
    assert grades["right"].ok


def test_a_mean_that_became_a_sum() -> None:
    rule = {"sum": lambda g, p, t: (2 * g * (p - t), -2 * g * (p - t))}
    mark = cg.grade(mse, [1.0, 2.0, 3.0], [0.0, 1.0, 1.5], backward=rule)["sum"].marks[0]
    assert mark.ratio == 3 and "has the factor 3, the number of entries" in mark.hint


def test_labels_are_not_differentiated() -> None:
    def chosen(scores: Any, label: Any) -> Any:
        return scores[label] * 2

    grade = cg.grade(chosen, [1.0, 2.0, 3.0], np.array(1), backward=lambda g, scores, label: 2 * g * np.eye(3)[label])
    assert grade.ok and [mark.argument for mark in grade.marks] == ["scores"]


def test_a_function_that_cannot_be_traced_is_differentiated_by_differences() -> None:
    def opaque(x: Any) -> Any:
        return math.exp(float(np.sum(x)))

    rules = [lambda g, x: g * opaque(x) * np.ones(2), lambda g, x: -g * opaque(x) * np.ones(2)]
    assert [grade.verdict for grade in cg.grade(opaque, [0.1, 0.2], backward=rules)] == ["right", "wrong sign"]


# ------------------------------------------------------------------------------------------ bad rules


def test_a_rule_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "SECONDS", 0.1)

    def endless(y_bar: Any, x: Any) -> Any:
        while True: pass  # noqa: E701 - on one line, as a student writes it

    before = sys.gettrace()
    grade = cg.grade(softmax, [0.1, 0.2], backward=endless)
    assert grade.verdict == "too slow" and sys.gettrace() is before


@pytest.mark.parametrize("error", [SystemExit, ZeroDivisionError, RecursionError, MemoryError, KeyError])
def test_whatever_a_rule_raises_is_its_grade(error: type[BaseException]) -> None:
    def failing(y_bar: Any, x: Any) -> Any:
        raise error("no")

    mark = cg.grade(softmax, [0.1, 0.2], backward=failing).marks[0]
    assert mark.verdict == "raised" and mark.hint.startswith(error.__name__) and mark.line == 'raise error("no")'


def test_a_rule_cannot_change_what_it_gets() -> None:
    def writing(y_bar: Any, x: Any) -> Any:
        x[...] = 0
        y_bar[...] = 0
        return x

    x = np.array([0.1, 0.2])
    assert cg.grade(softmax, x, backward={"a": writing, "b": softmax_rule})["b"].ok and x.tolist() == [0.1, 0.2]


NO_ARRAYS = [(None, "wrong shape"), ("text", "wrong shape"), (1.0, "wrong shape"), ([], "wrong shape"), ((), "raised"),
             (1j * np.ones(2), "wrong shape")]  # fmt: skip


@pytest.mark.parametrize(("result", "verdict"), NO_ARRAYS)
def test_what_is_no_array(result: Any, verdict: str) -> None:
    assert cg.grade(softmax, [0.1, 0.2], backward=lambda y_bar, x: result).verdict == verdict


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no rule": (lambda: cg.grade(np.sin, 1.0), "sin has no rule"),
    "no function": (lambda: cg.grade(3, 1.0), "int has no rule"),
    "backward for several": (lambda: cg.grade([np.sin], 1.0, backward=lambda g, x: g), "one function beside backward=, not list"),
    "backward is a number": (lambda: cg.grade(np.sin, 1.0, backward=3), "backward= is a function"),
    "no floats": (lambda: cg.grade(lambda n: n * 2, np.arange(3), backward=lambda g, n: g), "no floating-point argument"),
    "outside the domain": (lambda: cg.grade(np.log, -1.0, backward=lambda g, x: g / x), "is not finite at the point"),
}


@pytest.mark.parametrize(("call", "text"), BAD.values(), ids=list(BAD))
def test_bad_input(call: Any, text: str) -> None:
    with pytest.raises(cg.InputError, match=text) as caught:
        call()
    assert "(test_grading.py:" in str(caught.value)


def test_tables_as_json_and_html() -> None:
    grades = cg.grade(softmax, [0.1, 0.2], backward={"<b>": softmax_rule, "nan": lambda g, x: x * np.nan})
    read = json.loads(grades.to_json(), parse_constant=pytest.fail)
    assert read["<b>"]["ok"] and read["nan"]["marks"][0]["verdict"] == "not finite"
    assert "<b>" not in grades._repr_mimebundle_()["text/html"] and "&lt;b&gt;" in grades._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(("rule", "verdict"), [
    (lambda y_bar, x: y_bar * (x > 0), "right"),
    (lambda y_bar, x: y_bar * (x >= 0), "right"),
    (lambda y_bar, x: 2 * y_bar * (x > 0), "wrong factor"),
    (lambda y_bar, x: y_bar * np.maximum(x, 0) / x, "not finite"),
])  # fmt: skip
def test_at_a_kink_any_convention_is_right_and_nan_is_none(rule: Any, verdict: str) -> None:
    with np.errstate(all="ignore"):
        assert cg.grade(lambda x: np.maximum(x, 0), [0.0, 1.0, -1.0], backward=rule).verdict == verdict


def test_a_derivative_of_nothing_is_zero_but_for_rounding() -> None:
    def constant(x: Any) -> Any:
        return np.sum(softmax(x))

    assert cg.grade(constant, [0.3, 1.0, -2.0], backward=lambda y_bar, x: 0 * x).ok
    assert not cg.grade(constant, [0.3, 1.0, -2.0], backward=lambda y_bar, x: 1e-6 * x).ok
    assert not cg.grade(lambda x: x + 1e20, 1.0, backward=lambda y_bar, x: 0 * x).ok


def test_tiny_derivatives_are_graded_as_others() -> None:
    grade = cg.grade(lambda x: x * 1e-200, 1.0, backward=lambda y_bar, x: y_bar * 2e-200)
    assert (grade.verdict, grade.marks[0].ratio) == ("wrong factor", 2)
    assert cg.grade(lambda x: x * 1e-200, 1.0, backward=lambda y_bar, x: y_bar * 1e-200).ok

    def lacking(y_bar: Any, x: Any, y: Any) -> Any:
        return 1e-200 * y_bar * y, 1e-200 * y_bar * x

    said = cg.grade(lambda x, y: 1e-200 * (x * y + np.sin(x)), 1.0, 2.0, backward=lacking)
    assert [mark.verdict for mark in said.marks] == ["missing term", "right"]


def test_a_list_of_numbers_is_an_array() -> None:
    assert cg.grade(np.tanh, [0.3, 1.0], backward=lambda y_bar, x: list(y_bar * (1 - np.tanh(x) ** 2))).ok


def test_a_rule_that_catches_every_exception_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "SECONDS", 0.1)

    def stubborn(y_bar: Any, x: Any) -> Any:
        while True:
            try:
                while True:
                    pass
            except Exception:
                pass

    assert cg.grade(np.sin, 1.0, backward=stubborn).verdict == "too slow"

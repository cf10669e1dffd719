"""MathML: every primitive's formula is read, what comes out is XML that says the same, and nothing can break a page."""

from __future__ import annotations

import re
import string
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compgraph as cg
from compgraph.errors import InputError
from compgraph.graph import PRIMITIVES
from compgraph.latex import latex_expression, latex_name, latex_number
from compgraph.literals import number
from viz.mathml import equation, equation_lines, mathml

# The elements of MathML Core, section 2 and 3, that a presentation may use; anything else a browser ignores or refuses.
CORE = {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "mover"}
CORE |= {"mtable", "mtr", "mtd"}
CHILDREN = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "msubsup": 3, "mover": 2}


def parsed(text: str) -> ElementTree.Element:
    """The element, after a check of its structure: only Core's elements, each with as many children as it takes."""
    root = ElementTree.fromstring(text)
    for element in root.iter():
        assert element.tag in CORE, element.tag
        assert len(element) == CHILDREN.get(element.tag, len(element)), ElementTree.tostring(element)
        if element.tag in ("mi", "mn", "mo", "mtext"):
            assert element.text and not len(element)
    return root


def read_aloud(text: str) -> str:
    """The content in order, scripts marked, as a short text to compare."""

    def say(element: ElementTree.Element) -> str:
        parts = [say(child) for child in element]
        marks = {
            "mfrac": "({}/{})", "msub": "{}_{}", "msup": "{}^{}", "msubsup": "{}_{}^{}", "msqrt": "√{}", "mroot": "{1}√{0}",
            "mover": "{}{}", "mspace": " ",
        }  # fmt: skip
        if element.tag in marks:
            return marks[element.tag].format(*(parts if element.tag != "msqrt" else ["".join(parts)]))
        if element.tag == "mtr":
            return " ".join(parts) + ";"
        return (element.text or "") + "".join(parts)

    return say(parsed(text))


@pytest.mark.parametrize(
    ("latex", "said"),
    [
        (r"\bar{v}_{7}", "v¯_7"),
        (r"\dot{\mathrm{loss}}", "loss˙"),
        (r"\dot{\bar{x}}", "x¯˙"),
        (r"\frac{a + 1}{\sqrt{b}}", "(a+1/√b)"),
        (r"\sqrt[3]{x}", "3√x"),
        (r"x_{1}^2", "x_1^2"),
        (r"x^2_{1}", "x_1^2"),
        (r"e^{-x}", "e^−x"),
        (r"\sin x", "sin\u2061 x"),
        (r"\sin (x)", "sin\u2061(x)"),
        (r"\log_{10} x", "log_10\u2061 x"),
        (r"\mathrm{erf}^{-1}(x)", "erf^−1\u2061(x)"),
        (r"W (a + b)", "W(a+b)"),
        (r"W(a)", "W\u2061(a)"),
        (r"a - -b", "a−−b"),
        (r"(-1) \cdot x", "(−1)·x"),
        (r"\begin{bmatrix} 1 & 2 \\ 3 & -4 \end{bmatrix}^\top", "[1 2;3 −4;]^⊤"),
        (r"\lfloor x / 2 \rfloor", "⌊x/2⌋"),
        (r"\ln|\cdot|", "ln|·|"),
        (r"\mathrm{a\_b}", "a_b"),
        (r"1e-320", "1·10^−320"),
        (r"x < y \le z", "x<y≤z"),
        ("", ""),
    ],
)
def test_the_parts_of_a_formula(latex: str, said: str) -> None:
    assert read_aloud(mathml(latex)) == said


def test_a_minus_before_a_number_is_no_subtraction() -> None:
    forms = [one.get("form") for one in parsed(mathml("-a - -1 + (-b) = -c")).iter("mo") if one.text == "−"]
    assert forms == ["prefix", None, "prefix", "prefix", "prefix"]


@pytest.mark.parametrize("name", [name for name, primitive in PRIMITIVES.items() if primitive.latex])
def test_every_primitive_has_a_formula_that_is_read(name: str) -> None:
    template = PRIMITIVES[name].latex
    used = {field for _, field, _, _ in string.Formatter().parse(template)}
    latex = template.format("q_{1}", "(q_{2} + 5)", "q_{3}", value="4")
    said = read_aloud(mathml(latex))
    for place, argument in enumerate(("q_1", "(q_2+5)", "q_3")):  # nothing of the formula is lost
        assert (argument in said) == (str(place) in used)
    assert "\\" not in said


@pytest.mark.parametrize(
    "latex",
    [
        r"\unheardof x", r"\frac{a}", "{a", "a}", r"\mathrm{a", r"\sqrt[3{x}", "(a", "a)", "x_1_2", "x^", r"\begin{cases} 1 \end{cases}",
        r"\begin{bmatrix} 1", "a & b", "$a$", "%", "#", r"\left( a \right)", r"\mathrel{-}=", r"\lfloor a \rceil", "{" * 5000,
    ],
)  # fmt: skip
def test_what_is_not_known_raises(latex: str) -> None:
    with pytest.raises(InputError, match=r"^MathML of '"):
        mathml(latex)


def test_alttext_and_content_are_escaped() -> None:
    text = mathml(r"\mathrm{</math><script>}", '"</math> & \x00 \n')
    assert parsed(text).get("alttext") == '"</math> & \\x00 \\n'
    assert "<script" not in text


@given(st.text(max_size=40))
def test_any_name_is_shown_whole(name: str) -> None:
    text = mathml(latex_name(name), name)
    parsed(text)
    plain = name.removesuffix("_bar").removesuffix("_dot")
    if plain == name and plain.isprintable() and plain.isascii() and not re.fullmatch(r"[A-Za-z]_?\d+|\w", plain) and plain:
        assert "".join(parsed(text).itertext()) == plain


@given(st.text(alphabet="\\{}[]()_^&|-+ 12abefrcxdotlnsqmh", max_size=30))
def test_no_text_makes_bad_xml(latex: str) -> None:
    try:
        text = mathml(latex)
    except InputError:
        return
    ElementTree.fromstring(text)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "NaN"), (np.inf, "∞"), (-np.inf, "−∞"), (1e-320, "9.999889·10^−321"), (2.5e300, "2.5·10^300"), (-1e20, "−10^20"),
        (0.1, "0.1"), (-0.0, "−0"), (True, "True"), (1 + 2j, "(1+2j)"), (np.zeros((0, 3)), "[]"),
        (np.array([1.0, -2.0]), "[1,−2]"), (np.array([[1.0], [np.inf]]), "[1;∞;]"), (np.zeros((64, 10)), "[[0,0,…],…](64,10)"),
    ],
)  # fmt: skip
def test_numbers(value: Any, said: str) -> None:
    assert read_aloud(mathml(latex_number(value))) == said


def test_a_power_of_ten_is_bracketed_where_it_is_raised() -> None:
    step = cg.evaluate(lambda x: x**2, 2e-5).steps[-1]
    assert read_aloud(dict(equation_lines(step))["numbers"]) == "=(2·10^−5)^2"


def survey(x1: Any, x2: Any) -> Any:
    return np.log(x1) + x1 * x2 - np.sin(x2)


def test_the_three_lines_of_an_adjoint() -> None:
    step = cg.evaluate(survey, 2.0, 5.0, mode="reverse").steps[-1]
    assert [(kind, read_aloud(text)) for kind, text in equation_lines(step)] == [
        ("rule", "x¯_1+=v¯_1·(1/x_1)"),
        ("numbers", "=5+1·(1/2)"),
        ("sum", "=5+0.5=5.5"),
    ]
    assert [parsed(text).get("alttext") for _, text in equation_lines(step)] == [
        "x1_bar += v1_bar * (1 / x1)", "= 5 + 1 * (1 / 2)", "= 5 + 0.5 = 5.5",
    ]  # fmt: skip


def test_a_step_of_each_kind() -> None:
    forward = {step.name: step for step in cg.evaluate(survey, 2.0, 5.0, mode="forward").steps}
    said = {name: [read_aloud(text) for _, text in equation_lines(step)] for name, step in forward.items()}
    assert said["x1"] == ["x_1=2"]
    assert said["x1_dot"] == ["x˙_1=1 (seed)"]
    assert said["v1"] == ["v_1=ln\u2061 x_1", "=ln\u2061 2", "=0.6931472"]
    assert said["v2_dot"] == ["v˙_2=x_2·x˙_1+x_1·x˙_2", "=5·1+2·0", "=5"]


def test_a_negative_term_is_added_in_parentheses() -> None:
    step = cg.evaluate(lambda x: x * x - x, 0.25, mode="reverse").steps[-1]
    last = step._replace(before=1.0, term=-2.0, value=-1.0)
    assert read_aloud(dict(equation_lines(last))["sum"]) == "=1+(−2)=−1"


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_running_sums_are_the_engines(mode: str) -> None:
    for step in cg.evaluate(survey, 2.0, 5.0, mode=mode).steps:
        if step.term is not None and step.before is not None:
            assert step.value == step.before + step.term
        kind, text = equation_lines(step)[-1]
        if kind == "sum":
            assert parsed(text).get("alttext").endswith(f"= {number(step.value)}")  # type: ignore[union-attr]


def test_operations_without_a_notation_keep_their_parameters() -> None:
    def f(x: Any) -> Any:
        return np.einsum("i,i->", np.reshape(x, (6,))[1:], np.cumsum(x)[1:])

    rules = [read_aloud(equation_lines(step)[0][1]) for step in cg.evaluate(f, np.ones((2, 3))).steps]
    assert "v_1=reshape\u2061(x,(6,))" in rules
    assert "v_2=v_1[1:]" in rules
    assert any("'i,i->'" in rule for rule in rules)


def test_every_step_of_arrays_and_loops_is_read() -> None:
    def f(W: Any, x: Any) -> Any:
        carry, rows = cg.scan(lambda carry, row: (np.tanh(W @ carry + row), carry), x, np.ones((3, 2)))
        return np.sum(np.linalg.solve(W, carry) ** 2) + np.max(np.where(rows > 0, rows, 0.5))

    point = np.array([[2.0, 1.0], [0.5, 3.0]]), np.array([1e-5, -1.0])
    for mode, seed in (("forward", {"W": np.ones((2, 2))}), ("reverse", None)):
        for step in cg.evaluate(f, *point, mode=mode, seed=seed).steps:
            for kind, text in equation_lines(step):
                assert parsed(text).get("class") == kind
                assert parsed(text)[0].tag != "mtext", text  # nothing fell back to plain text


@pytest.mark.parametrize(
    ("build", "latex"),
    [
        (lambda x, y: np.log(x) ** 2, r"(\ln x)^{2}"),  # and not the logarithm of a square
        (lambda x, y: np.log1p(x) ** 2, r"(\ln(1 + x))^{2}"),
        (lambda x, y: np.expm1(x) * y, r"(e^{x} - 1) \cdot y"),  # written as a difference, whatever its code is
        (lambda x, y: np.square(x / y), r"(\frac{x}{y})^2"),
        (lambda x, y: np.square(x).T ** 2, r"((x^2)^\top)^{2}"),  # TeX refuses x^2^2
        (lambda x, y: y - np.sum(x), r"y - (\sum x)"),
        (lambda x, y: np.sin(x) * np.cos(y), r"\sin x \cdot \cos y"),
        (lambda x, y: np.sin(np.log(x)), r"\sin (\ln x)"),
        (lambda x, y: np.abs(x) * np.sqrt(y) / np.log(x / y), r"\frac{|x| \cdot \sqrt{y}}{\ln \frac{x}{y}}"),
        (lambda x, y: np.deg2rad(x) ** 2, r"(\frac{\pi}{180} x)^{2}"),
    ],
)
def test_parentheses_in_composed_formulas(build: Any, latex: str) -> None:
    x, y = cg.variable(2.0, name="x"), cg.variable(3.0, name="y")
    written = latex_expression(build(x, y), lambda node: node.name).text
    assert written == latex
    parsed(mathml(written))


def test_an_unreadable_formula_falls_back_to_its_text() -> None:
    step = cg.evaluate(survey, 2.0, 5.0).steps[-1]._replace(rule_latex=r"\unheardof{x}", rule="a < b")
    texts = dict(equation_lines(step))
    assert parsed(texts["rule"]).find("mtext").text == "v5 = a < b"  # type: ignore[union-attr]
    assert equation(step).count("<math ") == 3

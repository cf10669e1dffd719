"""The evaluation trace against the lecture and the survey, its table in three forms, and its steps."""

from __future__ import annotations

import xml.etree.ElementTree

import numpy as np
import pytest

import compgraph as cg

TEXTBOOK = "(exp(x1/x2) + x1/x2) * (x1/x2 - ln(x2))"
SURVEY = "ln(x1) + x1*x2 - sin(x2)"


def by_name(trace, numbers):
    return {trace.graph.names[node]: value for node, value in numbers.items()}


def test_every_row_of_the_textbook_example():
    graph = cg.parse(TEXTBOOK)
    root_e = np.exp(0.5)
    primal = {"x1": 0.5, "x2": 1.0, "v1": 0.5, "v2": root_e, "v3": root_e + 0.5, "v4": 0.0, "v5": 0.5, "v6": (root_e + 0.5) / 2}
    by_x1 = {"x1": 1.0, "x2": 0.0, "v1": 1.0, "v2": root_e, "v3": root_e + 1, "v4": 0.0, "v5": 1.0, "v6": 3.4730819060501923}
    by_x2 = {"x1": 0.0, "x2": 1.0, "v1": -0.5, "v2": -root_e / 2, "v3": -(root_e + 1) / 2, "v4": 1.0, "v5": -1.5, "v6": -3.885262223725224}
    adjoints = {
        "x1": 3.4730819060501923, "x2": -3.885262223725224, "v1": 3.4730819060501923, "v2": 0.5, "v3": 0.5,
        "v4": -(root_e + 0.5), "v5": root_e + 0.5, "v6": 1.0,
    }  # fmt: skip
    forward = cg.evaluate(graph, x1=0.5, x2=1.0, mode="forward")
    other = cg.evaluate(graph, x1=0.5, x2=1.0, mode="forward", seed="x2")
    reverse = cg.evaluate(graph, x1=0.5, x2=1.0, mode="reverse")
    assert by_name(forward, forward.values) == pytest.approx(primal, rel=1e-14)
    assert by_name(forward, forward.tangents) == pytest.approx(by_x1, rel=1e-14)
    assert by_name(other, other.tangents) == pytest.approx(by_x2, rel=1e-14)
    assert by_name(reverse, reverse.adjoints) == pytest.approx(adjoints, rel=1e-14)
    assert f"{forward.values[graph.outputs[0]]:.7f}" == "1.0743606"
    assert f"{adjoints['x1']:.7f} {adjoints['x2']:.7f}" == "3.4730819 -3.8852622"


def test_every_row_of_tables_2_and_3_of_the_survey():
    """Baydin et al. (2018). Our v3 and v4 are their v4 and v3: we number in the order of evaluation as typed."""
    graph = cg.parse(SURVEY)
    forward = cg.evaluate(graph, 2.0, 5.0, mode="forward")
    reverse = cg.evaluate(graph, 2.0, 5.0, mode="reverse")
    values = {name: f"{value:.3f}" for name, value in by_name(forward, forward.values).items()}
    assert values == {"x1": "2.000", "x2": "5.000", "v1": "0.693", "v2": "10.000", "v3": "10.693", "v4": "-0.959", "v5": "11.652"}
    tangents = {name: f"{value:.1f}" for name, value in by_name(forward, forward.tangents).items()}
    assert tangents == {"x1": "1.0", "x2": "0.0", "v1": "0.5", "v2": "5.0", "v3": "5.5", "v4": "0.0", "v5": "5.5"}
    adjoints = {name: f"{value:.3f}" for name, value in by_name(reverse, reverse.adjoints).items()}
    assert adjoints == {"x1": "5.500", "x2": "1.716", "v1": "1.000", "v2": "1.000", "v3": "1.000", "v4": "-1.000", "v5": "1.000"}
    summands = [f"{term.value:.3f}" for term in reverse.terms[graph.inputs[1]]]
    assert summands == ["-0.284", "2.000"]


def test_the_text_table_has_a_row_a_node_and_a_line_a_term():
    text = str(cg.evaluate(cg.parse(SURVEY), 2.0, 5.0, mode="reverse").table())
    assert "x2_bar = v4_bar * cos(x2)   = (-1) * cos(5)" in text
    assert "       + v2_bar * x1        + 1 * 2          1.716338" in text
    assert "v5_bar = 1 (seed)" in text
    assert text.splitlines()[0] == "f at x1 = 2, x2 = 5; reverse mode, seed v5_bar = 1"
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_a_table_without_numbers_is_narrower():
    trace = cg.evaluate(cg.parse(SURVEY), 2.0, 5.0, mode="forward")
    assert "log(2)" in str(trace.table()) and "log(2)" not in str(trace.table(numbers=False))


def test_not_computed_is_never_zero():
    def f(x, mask):
        return np.sum(np.where(mask > 0, x, 0.0))

    trace = cg.evaluate(cg.trace(f, np.ones(2), np.array([1, 0])), np.ones(2), np.array([1, 0]), mode="reverse")
    text = str(trace.table())
    rows = {line.split()[0]: line for line in text.splitlines()[3:]}
    assert rows["v1"].endswith("–") and rows["mask"].endswith("–") and "0" not in rows["v1"].split("|")[1]
    primal = cg.evaluate(cg.parse("x * x"), 3.0)
    assert primal.tangents == {} and primal.adjoints == {} and "adjoint" not in str(primal)


def test_an_input_without_a_path_to_the_output_has_adjoint_zero_and_says_so():
    trace = cg.evaluate(cg.parse("2 * x", ["x", "unused"]), 1.0, 1.0, mode="reverse")
    assert "unused_bar = 0 (no child)" in str(trace.table())


def test_html_is_well_formed_and_escaped():
    graph = cg.trace(lambda a: a * 2, 1.0)
    graph.inputs[0].name = "<script>alert(1)</script>"
    page = cg.evaluate(graph, 1.0, mode="reverse").table().to_html()
    tree = xml.etree.ElementTree.fromstring(page)
    assert tree.tag == "div" and len(list(tree.iter("tr"))) == 3 and not list(tree.iter("script"))
    assert "&lt;script&gt;" in page


def test_latex_has_the_rules_as_mathematics():
    latex = cg.evaluate(cg.parse(TEXTBOOK), 0.5, 1.0, mode="reverse").table().to_latex()
    assert r"$v_{1} = \frac{x_{1}}{x_{2}}$ & $0.5$" in latex
    assert r"\bar{v}_{3} = \bar{v}_{6} \cdot v_{5}" in latex
    assert r"\quad {} + \bar{v}_{1} \cdot \frac{-v_{1}}{x_{2}}" in latex
    assert latex.count("{") == latex.count("}") and latex.count("$") % 2 == 0
    forward = cg.evaluate(cg.parse(SURVEY), 2.0, 5.0, mode="forward").table().to_latex()
    assert r"\dot{v}_{5} = \dot{v}_{3} - \dot{v}_{4}" in forward


def test_steps_say_the_equation_three_times():
    steps = cg.evaluate(cg.parse(SURVEY), 2.0, 5.0, mode="reverse").steps
    assert [step.phase for step in steps] == ["primal"] * 7 + ["adjoint"] * 9
    assert steps[-1].equation == "x1_bar = x1_bar + v1_bar * (1 / x1) = 5 + 1 * (1 / 2) = 5.5"
    assert steps[2].equation == "v1 = log(x1) = log(2) = 0.6931472"
    forward = cg.evaluate(cg.parse(SURVEY), 2.0, 5.0, mode="forward").steps
    assert [step.phase for step in forward[:4]] == ["primal", "tangent"] * 2
    assert forward[-1].equation == "v5_dot = v3_dot - v4_dot = 5.5 - 0 = 5.5"


def test_steps_know_the_users_line():
    def f(x):
        return np.sin(x)  # here

    step = cg.evaluate(f, 1.0).steps[-1]
    assert step.source.startswith("test_evaluation.py:") and step.source.endswith("return np.sin(x)  # here")


def test_partials_are_numbers_and_text():
    trace = cg.evaluate(cg.parse("x1 * sin(x2)"), 2.0, 0.0)
    sine, product = trace.graph.nodes[2:]
    assert trace.partials == {(sine, 0): 1.0, (product, 0): 0.0, (product, 1): 2.0}
    assert trace.partial_text(sine, 0) == "cos(x2)" and trace.partial_text(sine, 0, numbers=True) == "cos(0)"
    assert trace.partial_text(product, 1) == "x1"


def test_arrays_and_every_kind_of_rule_in_one_table():
    def loss(w, b, x):
        h = np.tanh(w @ x + b)
        return np.sum(np.max(h, axis=0) * h[0]) + np.mean(np.concatenate([h, h]))

    point = (np.full((2, 3), 0.1), np.zeros(2), np.arange(3.0))
    trace = cg.evaluate(loss, *point, mode="reverse")
    expected = cg.grad(loss, argnums=(0, 1, 2))(*point)
    for node, value in zip(trace.graph.inputs, expected, strict=True):
        np.testing.assert_allclose(trace.adjoints[node], value, rtol=1e-14)
        np.testing.assert_allclose(sum(term.value for term in trace.terms[node]), value, rtol=1e-14)
    assert "W" not in str(trace) and len(str(trace.table()).splitlines()) >= len(trace.graph.nodes)
    tangent = cg.evaluate(loss, *point, mode="forward", seed={"b": [1.0, 0.0]})
    assert tangent.tangents[tangent.graph.outputs[0]] == pytest.approx(expected[1][0], rel=1e-13)


def test_seeds_can_be_given():
    graph = cg.parse("x1 * x2")
    assert cg.evaluate(graph, 2.0, 3.0, mode="forward", seed={"x1": 1.0, "x2": 10.0}).tangents[graph.outputs[0]] == 23.0
    assert cg.evaluate(graph, 2.0, 3.0, mode="forward", seed=(1.0, 10.0)).tangents[graph.outputs[0]] == 23.0
    assert cg.evaluate(graph, 2.0, 3.0, mode="reverse", seed=7.0).adjoints[graph.inputs[0]] == 21.0


def test_several_outputs_need_a_choice():
    graph = cg.trace(lambda x: (np.sin(x), x * x), 3.0)
    with pytest.raises(cg.InputError, match=r"2 outputs \(v1, v2\): choose one with of="):
        cg.evaluate(graph, 3.0, mode="reverse")
    assert cg.evaluate(graph, 3.0, mode="reverse", of="v2").adjoints[graph.inputs[0]] == 6.0
    joint = cg.evaluate(graph, 3.0, mode="reverse", seed={"v1": 1.0, "v2": 1.0})
    assert joint.adjoints[graph.inputs[0]] == pytest.approx(np.cos(3.0) + 6.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mode": "backward"}, cg.InputError, "'primal', 'forward' or 'reverse'"),
        ({"mode": "forward", "seed": "y"}, cg.InputError, "no input 'y'"),
        ({"mode": "forward", "seed": {"y": 1.0}}, cg.InputError, "no floating-point input 'y'"),
        ({"mode": "forward", "seed": {"x": [1.0, 2.0]}}, cg.ShapeError, r"seed of x has shape \(2,\)"),
        ({"mode": "reverse", "seed": [1.0, 2.0]}, cg.ShapeError, r"seed of v1 has shape \(2,\)"),
        ({"mode": "reverse", "of": "v9"}, cg.InputError, "no output 'v9'"),
    ],
)
def test_bad_seeds(arguments, error, message):
    with pytest.raises(error, match=message):
        cg.evaluate(cg.parse("x * x"), 1.0, **arguments)


def test_arrays_need_a_direction():
    with pytest.raises(cg.ShapeError, match="say in which direction"):
        cg.evaluate(lambda x: np.sum(x), np.ones(3), mode="forward")
    with pytest.raises(cg.ShapeError, match="needs a seed of that shape"):
        cg.evaluate(lambda x: x * 2, np.ones(3), mode="reverse")


def test_it_shows_itself_in_a_notebook():
    bundle = cg.evaluate(cg.parse(SURVEY), 2.0, 5.0, mode="reverse")._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "text/latex"}


def test_extreme_values_make_a_table():
    with np.errstate(all="ignore"):
        for value in (np.nan, np.inf, -np.inf, 1e-320, 1e308, -0.0):
            for mode in ("forward", "reverse"):
                table = cg.evaluate(cg.parse("x * x / x"), value, mode=mode).table()
                assert str(table) and table.to_latex()
                xml.etree.ElementTree.fromstring(table.to_html())

"""Programs, formulas and LaTeX: what is printed is what runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from domains import DIFFERENTIABLE, Sample
from test_forward_mode import textbook

import compgraph as cg
from compgraph import programs
from compgraph.emission import applied, bracketed, index_text, latex_formula, latex_name, literal, number, program_names
from compgraph.graph import PRIMITIVES


def executed(graph: cg.Graph) -> Any:
    """The program of a graph, run as any Python program is: with nothing but what it imports itself."""
    return programs.define(graph.to_source(), "f" if graph.name not in graph.to_source() else graph.name, {}, title="test")


@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=str)
def test_the_program_of_every_primitive_and_of_its_derivatives(sample: Sample) -> None:
    graph = cg.trace(lambda *xs: sample(*xs), *sample.xs)
    y = np.asarray(graph(*sample.xs))
    ones = [np.ones_like(x) for x in sample.xs]
    for derivative, args in (
        (graph, sample.xs), (cg.forward(graph), (*sample.xs, *ones)), (cg.reverse(graph), (*sample.xs, np.ones_like(y)[()])),
    ):  # fmt: skip
        found, wanted = executed(derivative)(*args), derivative(*args)
        found, wanted = (found, wanted) if isinstance(wanted, tuple) else ((found,), (wanted,))
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
            assert np.asarray(one).dtype == other.dtype


def test_the_program_runs_by_itself(tmp_path: Path) -> None:
    graph = cg.reverse(cg.trace(textbook, 0.5, 1.0))
    program = tmp_path / "program.py"
    program.write_text(graph.to_source() + "print(*map(float, textbook_reverse(np.float64(0.5), np.float64(1.0), 1.0)))\n")
    done = subprocess.run([sys.executable, "-I", str(program)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert [float(word) for word in done.stdout.split()] == list(graph(0.5, 1.0, 1.0))
    assert "compgraph" not in program.read_text()


def test_the_program_traces_back_to_the_same_graph() -> None:
    def f(x: Any, w: Any) -> Any:
        hidden = np.tanh(w @ x + 1.5) / 2
        scaled = -hidden**2 * np.where(hidden > 0.1, hidden, x[:2])
        return np.sum(np.concatenate([scaled, x[[0, 0, 2]]])) - np.max(w.T, axis=1, keepdims=True)

    graph = cg.trace(f, np.ones(3), np.arange(6.0).reshape(2, 3))
    again = cg.trace(executed(graph), np.ones(3), np.arange(6.0).reshape(2, 3))
    assert str(again) == str(graph)
    assert again.to_source() == graph.to_source()
    derivative = cg.reverse(cg.trace(textbook, 0.5, 1.0))
    retraced = cg.trace(executed(derivative), 0.5, 1.0, 1.0)
    assert retraced.to_source().count("\n") == derivative.to_source().count("\n")
    assert [node.primitive for node in retraced.nodes if node.primitive] == [node.primitive for node in derivative.nodes if node.primitive]


def test_a_program_carries_its_constants() -> None:
    table = np.arange(6.0).reshape(2, 3)
    w = cg.variable([1.0, 2.0, 3.0], name="w")
    graph = cg.trace(lambda x: np.sum(x * table * w) + np.float32(0.5), 2.0)
    assert executed(graph)(2.0) == graph(2.0) == np.sum(2.0 * table * [1.0, 2.0, 3.0]) + 0.5


@pytest.mark.parametrize("x", [
    1.5, -0.0, 1e300, 5e-324, float("inf"), float("-inf"), float("nan"), True, 10**30, (1, (2.0, None)), (1,),
    np.float32(0.1), np.float64(np.nan), np.bool_(True), np.int8(-3), np.float16(0.5), np.array(2.5), np.array(3, np.float32),
    np.array([0.1, np.nan, -np.inf]), np.array([[1, 2]], np.int32), np.array([True, False]), np.full(5, 0.1), np.zeros((2, 3), np.float32),
    np.array([-0.0, 0.0]), np.array([-0.0, -0.0]), np.zeros((0, 3)), np.zeros((0,), np.int64), np.array([], bool),
], ids=repr)  # fmt: skip
def test_a_literal_evaluates_to_its_value(x: Any) -> None:
    read = programs.define(f"import numpy as np\ndef f():\n    return {literal(x)}\n", "f", {}, title="literal")()
    assert type(read) is type(x)
    if isinstance(x, tuple):
        assert read == x
        return
    np.testing.assert_array_equal(read, x)
    assert getattr(read, "dtype", None) == getattr(x, "dtype", None)
    np.testing.assert_array_equal(np.signbit(np.asarray(read, float)), np.signbit(np.asarray(x, float)))


@pytest.mark.parametrize("index", [
    0, -1, (), (0,), slice(None), slice(1, None), slice(None, None, -1), (slice(None), 0), (Ellipsis, None, slice(0, 2, 1)), None,
    np.array([0, 1]), (np.array([0, 1]), np.array([1, 0])), np.array([True, False]),
], ids=str)  # fmt: skip
def test_an_index_evaluates_to_itself(index: Any) -> None:
    array = np.arange(6.0).reshape(2, 3)
    text = index_text(index)
    read = programs.define(f"import numpy as np\ndef f(x):\n    return x[{text}]\n", "f", {}, title="index")(array)
    np.testing.assert_array_equal(read, array[index])


def test_parentheses_stand_where_they_are_needed() -> None:
    """Every expression of three operators, written on one line, keeps its value."""
    from compgraph.emission import Text

    binary = {name: PRIMITIVES[name] for name in ("add", "subtract", "multiply", "divide", "power", "less", "matmul", "maximum")}
    unary = {name: PRIMITIVES[name] for name in ("negative", "exp", "astype", "transpose", "index")}
    params = {"astype": {"dtype": "'float64'"}, "transpose": {"axes": "None"}, "index": {"index": "::-1"}}
    arguments = {"astype": {"dtype": "float64"}, "transpose": {"axes": None}, "index": {"index": slice(None, None, -1)}}
    values = {"a": np.array([0.5, 2.0]), "b": np.array([3.0, 0.25]), "c": np.array([1.5, 0.75])}
    atoms = {name: (Text(name, 10), value) for name, value in values.items()}

    def combined(outer: Any, *parts: Any) -> Any:
        text = applied(outer, [part[0] for part in parts], params.get(outer.name, {}))
        with np.errstate(all="ignore"):
            return text, outer.evaluate(*(part[1] for part in parts), **arguments.get(outer.name, {}))

    tried = 0
    for inner in (*binary.values(), *unary.values()):
        first = combined(inner, atoms["a"], atoms["b"]) if inner.name in binary else combined(inner, atoms["a"])
        if np.ndim(first[1]) == 0 or first[1].dtype == bool:
            continue
        for outer in (*binary.values(), *unary.values()):
            options = [(first, atoms["c"]), (atoms["c"], first)] if outer.name in binary else [(first,)]
            for parts in options:
                text, value = combined(outer, *parts)
                source = f"import numpy as xp\ndef f(a, b, c):\n    return {bracketed(text, 0)}\n"
                with np.errstate(all="ignore"):
                    read = programs.define(source, "f", {}, title="text")(**values)
                np.testing.assert_array_equal(read, value, err_msg=text.text)
                tried += 1
    assert tried > 150
    assert combined(PRIMITIVES["power"], combined(PRIMITIVES["negative"], atoms["a"]), atoms["b"])[0].text == "(-a) ** b"
    assert combined(PRIMITIVES["negative"], combined(PRIMITIVES["power"], atoms["a"], atoms["b"]))[0].text == "-a ** b"
    assert combined(PRIMITIVES["subtract"], atoms["a"], combined(PRIMITIVES["subtract"], atoms["b"], atoms["c"]))[0].text == "a - (b - c)"


NAMES = ["lambda", "class", "__import__", "np", "sigmoid", "a b", "x;y", "x\nimport os", "é", "1x", "", "None", "x.w", "w[0]"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_users_never_become_code(name: str) -> None:
    x = cg.variable(0.5, name=name or None)
    other = cg.variable(1.0, name="v_x")
    graph = cg.graph_of(cg.sigmoid(x) * 2.0 + other, name=name)
    names = program_names(graph)
    assert len(set(names.values())) == len(graph.nodes)
    assert all(programs.is_name(text) for text in names.values())
    source = graph.to_source()
    assert "import os" not in source
    function = next(line.split("(")[0][4:] for line in reversed(source.splitlines()) if line.startswith("def "))
    assert programs.define(source, function, {}, title="names")(0.5, 1.0) == graph(0.5, 1.0)


def test_derivative_lines_say_which_primal_line_they_belong_to() -> None:
    source = cg.reverse(cg.trace(textbook, 0.5, 1.0)).to_source()
    assert "# from v2 = exp(v1)" in source or "v3_bar = v6_bar * v5  # from v3 = v2 + v1" in source
    assert source.splitlines()[-1] == "    return v6, x1_bar, x2_bar"
    assert "x1_bar = v1_bar * v11  # from x1" in source


def test_numbers_for_people() -> None:
    assert number(0.1 + 0.2) == "0.3"
    assert number(np.float32(1) / 3) == "0.3333333"
    assert number(np.arange(6.0).reshape(2, 3)) == "[[0, 1, 2], [3, 4, 5]]"
    assert len(number(np.zeros((100, 100, 100)))) < 60
    assert number(True) == "True"
    assert number(np.array([])) == "[]"


def test_latex_of_every_primitive_has_balanced_braces() -> None:
    for sample in DIFFERENTIABLE:
        graph = cg.trace(lambda *xs, sample=sample: sample(*xs), *sample.xs)
        for node in graph.nodes:
            text = latex_formula(node, graph.names.__getitem__)
            assert text.count("{") == text.count("}")
    assert latex_name("x1_bar_dot") == r"\dot{\bar{x}}_{1}"
    assert latex_name("learning_rate") == r"\mathrm{learning\_rate}"

"""Programs, formulas and LaTeX: what is printed is what runs."""

from __future__ import annotations

import ast
import gc
import re
import runpy
import subprocess
import sys
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from domains import DIFFERENTIABLE, Sample
from test_forward_mode import textbook

import compgraph as cg
from compgraph import programs
from compgraph.emission import program_names
from compgraph.formulas import Text, applied, bracketed
from compgraph.graph import PRIMITIVES
from compgraph.latex import latex_formula, latex_name
from compgraph.literals import index_text, literal, number


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


# What does not become itself again when its printed line is traced, and why. So does every primitive with a helper, which
# branches on values and writes into arrays, as nodes refuse to.
NOT_TRACED_BACK = {
    "angle": "of a real number, NumPy takes it of a complex one",
    "astype": "to the dtype that there is already, which records nothing",
    "convolve": "np.convolve puts the longer argument first",
    "cumprod": "an axis -1 is counted from the front",
    "cumsum": "an axis -1 is counted from the front",
    "einsum": "of one number, which records nothing",
    "first_max": "np.max shares the derivative among equal entries",
    "identity": "+x records nothing",
    "imag": "of a real number, which is a constant",
    "index": "an array of indices that is an argument becomes a parameter",
    "magnitude": "abs of a real number is another primitive",
    "norm": "its code is three operations",
    "partition": "an axis -1 is counted from the front",
    "polygamma": "SciPy's is no ufunc and wants an array",
    "real": "of a real number, which records nothing",
    "reorder": "np.take_along_axis is an index",
    "slogdet": "np.linalg.slogdet is read part by part",
    "sort": "an axis -1 is counted from the front",
    "tril": "np.tril is np.where",
    "triu": "np.triu is np.where",
}


def traced_back(graph: cg.Graph, *args: Any) -> bool | None:
    """Whether the program of a graph is traced to the same graph; None where a helper stands in the way."""
    if any(node.primitive is not None and node.primitive.helper for node in graph.nodes):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cg.ZeroGradientWarning)  # of results that are constant
        return structure(cg.trace(executed(graph), *args)) == structure(graph)


def structure(graph: cg.Graph) -> list[Any]:
    """A graph without its names: what each line applies to which lines."""
    lines = [*graph.inputs, *(node for node in graph.nodes if node not in graph.inputs)]
    number = {node: place for place, node in enumerate(lines)}

    def shown(arg: Any) -> str:
        return f"line {number[arg]}" if isinstance(arg, cg.Node) else f"{np.shape(arg)} {np.asarray(arg, complex).tolist()}"

    return [
        *(f"{node.primitive and node.primitive.name} {[*map(shown, node.args)]} {sorted(map(str, node.params.items()))}" for node in lines),
        *(number[node] for node in graph.outputs),
    ]


@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=str)
def test_the_program_traces_back_to_the_same_graph(sample: Sample) -> None:
    graph = cg.trace(lambda *xs: sample(*xs), *sample.xs)
    seeds = [np.ones(node.shape, node.dtype)[()] for node in graph.outputs]
    ones = [np.ones_like(x) for x in sample.xs]
    for derivative, args in ((graph, sample.xs), (cg.forward(graph), (*sample.xs, *ones)), (cg.reverse(graph), (*sample.xs, *seeds))):
        if not {node.primitive.name for node in derivative.nodes if node.primitive} & NOT_TRACED_BACK.keys():
            assert traced_back(derivative, *args) is not False


def test_what_is_not_traced_back_is_said_and_true() -> None:
    found = set()
    for sample in DIFFERENTIABLE:
        graph = cg.trace(lambda *xs, sample=sample: sample(*xs), *sample.xs)
        names = {node.primitive.name for node in graph.nodes if node.primitive} & NOT_TRACED_BACK.keys()
        try:
            same = not names - found or traced_back(graph, *sample.xs)
        except cg.CompgraphError:
            same = False
        found |= names if same is False else set()
    assert found == NOT_TRACED_BACK.keys()


def test_a_program_reads_as_its_own_program(tmp_path: Path) -> None:
    def f(x: Any, w: Any) -> Any:
        hidden = np.tanh(w @ x + 1.5) / 2
        scaled = -hidden**2 * np.where(hidden > 0.1, hidden, x[:2])
        return np.sum(np.concatenate([scaled, x[[0, 0, 2]]])) - np.max(w.T, axis=1, keepdims=True)

    graph = cg.trace(f, np.ones(3), np.arange(6.0).reshape(2, 3))
    filename = tmp_path / "program.py"
    filename.write_text(graph.to_source())
    again = cg.trace(runpy.run_path(str(filename))["f"], np.ones(3), np.arange(6.0).reshape(2, 3))
    assert str(again) == str(graph)
    assert again.to_source() == graph.to_source()
    assert "\n    hidden = v3 / 2\n" in graph.to_source()


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


def lines(graph: cg.Graph) -> list[str]:
    """The lines of a program's function, without those of its docstring."""
    body = ast.parse(graph.to_source()).body[-1]
    assert isinstance(body, ast.FunctionDef) and ast.get_docstring(body)
    first = body.body[0].end_lineno
    return [line.strip() for line in graph.to_source().splitlines()[first:]]


def test_derivative_lines_say_which_primal_line_they_belong_to() -> None:
    found = lines(cg.simplify(cg.reverse(cg.trace(textbook, 0.5, 1.0))))
    assert found[0] == "ratio = x1 / x2"
    assert "v3_bar = v6_bar * v5  # from v3 = v2 + ratio" in found
    assert "ratio_bar = v9 + v10  # from ratio = x1 / x2" in found
    assert "x1_bar = ratio_bar * v7  # from x1" in found
    assert found[-1] == "return v6, x1_bar, x2_bar"


def scored(w: Any, x: Any) -> Any:
    with cg.scope("layer"):
        score = np.tanh(w @ x)
    return np.sum(score * score)


W, X = np.ones((2, 3)), np.ones(3)
TRACED: list[tuple[str, Any, tuple[Any, ...], set[str]]] = [
    ("grad", cg.grad(scored), (W, X), {"w_bar", "score_bar"}),
    ("several arguments", cg.grad(scored, argnums=(0, 1)), (W, X), {"w_bar", "x_bar", "score_bar"}),
    ("value_and_grad", cg.value_and_grad(scored), (W, X), {"w_bar", "score_bar"}),
    ("vjp", lambda w, x: cg.vjp(scored, w, x)[1](1.0), (W, X), {"w_bar", "x_bar", "score_bar"}),
    ("jvp", lambda w, x, v: cg.jvp(lambda x: scored(w, x), (x,), (v,))[1], (W, X, X), {"score_dot", "v", "x"}),
    ("hvp", lambda x, v: cg.hvp(lambda x: scored(W, x), (x,), (v,)), (X, X), {"score_dot", "score_bar_dot", "x_bar_dot", "v"}),
    ("jacobian, reverse", cg.jacobian(lambda x: np.tanh(W @ x), mode="reverse"), (X,), {"x_bar"}),
    ("jacobian, forward", cg.jacobian(lambda x: np.tanh(W @ x), mode="forward"), (X,), {"v2_dot"}),
    ("hessian", cg.hessian(lambda x: scored(W, x)), (X,), {"score_dot", "score_bar_dot", "x_bar_dot"}),
    ("grad of grad", cg.grad(cg.grad(lambda x: np.exp(x) * x)), (1.0,), {"x_bar"}),
    ("in an update", lambda w: w - 0.1 * cg.grad(lambda w: scored(w, X))(w), (W,), {"w_bar", "score_bar"}),
]  # fmt: skip


@pytest.mark.parametrize(("function", "args", "wanted"), [case[1:] for case in TRACED], ids=[case[0] for case in TRACED])
def test_traced_derivatives_are_called_after_their_primal_nodes(function: Any, args: tuple[Any, ...], wanted: set[str]) -> None:
    graph = cg.trace(function, *args)
    simple = cg.simplify(graph)
    for one in (graph, simple):
        cg.typecheck(one)
        assert set(one.roles) <= set(one.nodes)
        assert not any(name.endswith(("_bar", "_dot")) for node, name in program_names(one).items() if node not in one.roles)
    assert wanted <= set(program_names(simple).values())
    found = executed(simple)(*args)
    for one, other in zip(found if isinstance(found, tuple) else (found,), graph.run(args), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_whole_adjoint_has_the_name_and_not_a_part_of_it() -> None:
    graph = cg.simplify(cg.trace(cg.grad(lambda x: np.sin(x) * np.cos(x)), 1.0))
    assert program_names(graph)[graph.outputs[0]] == "x_bar"
    assert list(program_names(graph).values()).count("x_bar") == 1


def test_a_seed_and_an_input_keep_their_names() -> None:
    graph = cg.trace(lambda x, v: cg.jvp(lambda x: x + 1, (x,), (v,))[1], 1.0, 1.0)
    assert program_names(graph)[graph.outputs[0]] == "v"


def test_a_trace_keeps_no_derivative_alive_that_its_graph_leaves_out() -> None:
    left_out = []

    def f(x: Any) -> Any:
        y, pullback = cg.vjp(lambda x: np.sin(x) * x, x)
        (x_bar,) = pullback(1.0)
        left_out.append(weakref.ref(x_bar))
        return y

    graph = cg.trace(f, 1.0)
    gc.collect()
    assert left_out[0]() is None
    assert graph.roles == {}


def test_outside_a_trace_a_derivative_has_no_role() -> None:
    outer = cg.variable(2.0)
    x_bar = cg.grad(lambda x: x * x * outer)(3.0)
    assert cg.graph_of(x_bar).roles == {}


def test_scopes_are_paragraphs() -> None:
    graph = cg.simplify(cg.trace(cg.value_and_grad(scored), W, X))
    text = "\n".join(lines(graph))
    assert text.startswith("# layer\nv1 = w @ x\nscore = np.tanh(v1)\n\nv3 = score * score\nv4 = np.sum(v3)\n\n")
    assert "\n\n# layer: derivatives\n" in text
    assert text.endswith("  # from w\n\nreturn v4, w_bar")


@pytest.mark.parametrize("letter", ["\n", "\r", "\x0c", "\u2028", "\0", '"', '\"""', "\\", "#"])
def test_what_users_write_stays_in_comments_and_docstrings(letter: str) -> None:
    def f(x: Any) -> Any:
        with cg.scope(f"a{letter}import os"):
            return {f"k{letter}import os": x + 1, "other": x * 2}

    graph = cg.trace(f, 1.0)
    assert executed(graph)(1.0) == (2.0, 2.0)
    assert [type(part) for part in ast.parse(graph.to_source()).body] == [ast.Import, ast.FunctionDef]
    assert len(ast.parse(graph.to_source()).body[-1].body) == 4  # type: ignore[attr-defined]


def docstring(graph: cg.Graph) -> str:
    return ast.get_docstring(ast.parse(graph.to_source()).body[-1]) or ""  # type: ignore[arg-type]


def test_a_docstring_says_what_goes_in_and_what_comes_out() -> None:
    assert docstring(cg.trace(lambda x: np.sum(x), np.ones((3, 4)))) == "x: float64 (3, 4) -> v1: float64"
    nested = cg.trace(lambda p: {"twice": [p["w"] * 2], "sum": np.sum(p["w"] + p["b"])}, {"w": np.ones(3), "b": np.float32(1)})
    assert docstring(nested).splitlines() == [
        "p_w: float64 (3,)",
        "p_b: float32",
        "-> v1: float64 (3,), v3: float64",
        "as {'twice': [v1], 'sum': v3}",
    ]


def test_a_program_of_many_inputs_stays_on_the_page() -> None:
    names = [f"parameter_{number}" for number in range(20)]
    graph = cg.trace(lambda p: tuple(p[name] * 2 for name in names), {name: np.ones(2) for name in names})
    assert max(map(len, graph.to_source().splitlines())) <= 100
    for found in executed(graph)(*[np.full(2, float(place)) for place in range(20)]):
        assert found.shape == (2,)


def test_long_constants_stand_above_the_function() -> None:
    table = np.random.default_rng(0).normal(size=(9, 9))
    places = np.random.default_rng(1).permutation(81)

    def f(CONSTANT: Any) -> Any:
        return np.sum(table @ CONSTANT + table) * np.ravel(table * CONSTANT)[places]

    graph = cg.trace(f, np.ones(9))
    source = graph.to_source()
    assert max(map(len, source.splitlines())) <= 100
    above, function = source.split("def f(")
    assert above.count("np.array(") == 2, "the table is used three times and written once"
    assert above.count("CONSTANT_2 = np.array(\n    [[") == 1
    assert "CONSTANT_2 @ CONSTANT" in function
    np.testing.assert_array_equal(executed(graph)(np.arange(9.0)), graph(np.arange(9.0)))


PLAIN = [
    (lambda x: np.float64(2.0) * x, 1.0, "2 * x"),
    (lambda x: x / np.float64(0.5), 1.0, "x / 0.5"),
    (lambda x: x - np.float64(-0.5), 1.0, "x - (-0.5)"),
    (lambda x: np.float64(-0.5) * x, 1.0, "-0.5 * x"),
    (lambda x: np.float64(-0.0) + x, 1.0, "-0.0 + x"),
    (lambda x: np.float64(np.inf) * x, 1.0, "np.inf * x"),
    (lambda x: np.float64(1e17) * x, 1.0, "1e+17 * x"),
    (lambda x: np.int64(3) * x, 1.0, "3 * x"),
    (lambda x: np.maximum(x, np.float64(0.0)), 1.0, "np.maximum(x, 0)"),
    (lambda x: x > np.float64(0.25), 1.0, "x > 0.25"),
    (lambda x: np.float32(0.1) * x, np.float32(1), "0.1 * x"),
    (lambda x: np.float32(0.1) * x, 1.0, "0.10000000149011612 * x"),
    (lambda x: np.float64(0.5) * x, np.float32(1), "np.float64(0.5) * x"),
    (lambda x: x > np.float64(0.1), np.float32(0.1), "x > np.float64(0.1)"),
    (lambda x: np.float64(0.5) * x, np.arange(3), "np.float64(0.5) * x"),
    (lambda x: x ** np.float64(2.0), 1.0, "x ** np.float64(2.0)"),
    (lambda x: np.stack([x, np.float64(2.0)]), 1.0, "np.stack([x, np.array(2.0)])"),
    (lambda x: np.complex128(2j) * x, 1.0, "np.complex128(complex(0.0, 2.0)) * x"),
    (lambda x: np.float64(2.0) * x, 1j, "2 * x"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "x", "text"), PLAIN, ids=[case[2] for case in PLAIN])
def test_numbers_are_plain_where_they_mean_the_same(function: Any, x: Any, text: str) -> None:
    graph = cg.trace(function, x)
    assert f"\n    v1 = {text}\n" in graph.to_source()
    value = graph.inputs[0].dtype.type(x) if np.ndim(x) == 0 else x
    found, wanted = executed(graph)(value), graph(x)
    assert found.dtype == wanted.dtype
    assert found.tobytes() == wanted.tobytes()


def test_arguments_that_are_defaults_are_left_out() -> None:
    def f(x: Any) -> Any:
        return np.sum(x), np.sum(x, axis=0), np.sum(x, keepdims=True), x.T, np.transpose(x, (0, 1)), np.sort(x), np.sort(x, axis=0)

    assert lines(cg.trace(f, np.ones((2, 2))))[:-1] == [
        "v1 = np.sum(x)", "v2 = np.sum(x, axis=0)", "v3 = np.sum(x, keepdims=True)", "v4 = np.transpose(x)",
        "v5 = np.transpose(x, (0, 1))", "v6 = np.sort(x, axis=1)", "v7 = np.sort(x, axis=0)",
    ]  # fmt: skip


def test_no_name_can_hide_what_a_program_calls() -> None:
    """What the code of a primitive calls by its bare name, names in a program are kept away from."""
    x = cg.variable(1.0, name="x")
    for primitive in PRIMITIVES.values():
        body = ast.parse(re.sub(r"\{.*?\}", "xp", primitive.code), mode="eval")
        called = {part.id for part in ast.walk(body) if isinstance(part, ast.Name)} - {"xp"}
        for name in called | {"np"}:
            graph = cg.graph_of(cg.Node(primitive, (x,), {}, np.float64(0), name=name))
            assert name not in program_names(graph).values(), f"{primitive.name} calls {name}"


@pytest.mark.parametrize("name", ["exp", "xp", "special", "slice", "abs", "sigmoid", "CONSTANT"])
def test_a_name_that_looks_like_code_is_only_a_name(name: str) -> None:
    x = cg.variable(np.array([0.25, 0.5]), name=name)
    graph = cg.graph_of(abs(cg.sigmoid(x.astype(np.float32)) * x) + np.sum(x[::-1]), name="f")
    np.testing.assert_array_equal(executed(graph)(x.value), graph(x.value))


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

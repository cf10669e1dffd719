"""A program calls things what the user's file calls them, and its lines are the user's lines."""

from __future__ import annotations

import linecache
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import assignments
from compgraph.emission import program_names


def names(function: Callable[..., Any], *args: Any) -> list[str]:
    """What the program of a function calls its operations."""
    graph = cg.trace(function, *args)
    return [name for node, name in program_names(graph).items() if node.primitive is not None]


def run(source: str, filename: str, **given: Any) -> dict[str, Any]:
    """What a file of this text defines."""
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    namespace = {"np": np, "cg": cg, **given}
    exec(compile(source, filename, "exec"), namespace)
    return namespace


def written(body: str) -> list[str]:
    """The same of a function f(x) whose body is this text."""
    source = "def f(x):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    return names(run(source, "<written>")["f"], np.array([1.0, 2.0]))


BODIES: list[tuple[str, str, list[str]]] = [
    ("an assignment", "ratio = x / 2\nreturn ratio", ["ratio"]),
    ("its part is not it", "y = np.sin(x) * x\nreturn y", ["v1", "y"]),
    ("a result that is returned has no name", "h = x + 1\nreturn h * h", ["h", "v2"]),
    ("an annotation", "h: object = x + 1\nreturn h", ["h"]),
    ("a pair", "a, b = x + 1, (x * 2, x / 3)\nreturn a + b[0] + b[1]", ["a", "v2", "v3", "v4", "v5"]),
    ("a nested pair", "a, (b, c) = x + 1, (x * 2, x / 3)\nreturn a + b + c", ["a", "b", "c", "v4", "v5"]),
    ("a node taken apart", "a, b = x\nreturn a * b", ["a", "b", "v3"]),
    ("a starred target is left alone", "a, *b = x\nreturn a * b[0]", ["v1", "v2", "v3"]),
    ("an augmented assignment", "h = x + 1\nh += x\nh *= 2\nreturn h", ["h", "h_2", "h_3"]),
    ("a walrus", "y = (h := np.tanh(x)) * 2\nreturn y + h", ["h", "y", "v3"]),
    ("an attribute", "self = type('Layer', (), {})()\nself.h = x + 1\nreturn self.h", ["h"]),
    ("the first of two targets", "a = b = x + 1\nreturn a * b", ["a", "v2"]),
    ("either branch", "h = x + 1 if len(x) == 1 else x - 1\nreturn h", ["h"]),
    ("a sign, a comparison, an index", "a = -x\nb = a > 0\nc = x[0]\nreturn np.where(b, a, c)", ["a", "b", "c", "v4"]),
    ("an attribute of a node", "d = x.T\nreturn d", ["d"]),
    ("parentheses and a comment", "h = (  # long\n    x\n    + 1\n)\nreturn h", ["h"]),
    ("a method", "total = x.sum()\nreturn total", ["total"]),
    ("a method on a line of its own", "total = (\n    x\n    .sum()\n)\nreturn total", ["total"]),
    ("each turn of a loop", "for _ in range(3):\n    h = x * x\n    x = np.tanh(h)\nreturn x", ["h", "x_2", "h_2", "x_3", "h_3", "x_4"]),
    ("the same call again and again", "for _ in range(3):\n    x = np.tanh(x)\nreturn x", ["x_2", "x_3", "x_4"]),
    ("columns are counted in bytes", "é = 'é'; h = x + len('é'); y = h * 2\nreturn y", ["h", "y"]),
    ("not what a program needs itself", "abs = x + 1\nnp = abs * 2\nreturn np / abs", ["abs_2", "np_2", "v3"]),
    ("not a name that Python reserves", "__h = x + 1\nmatch = __h * 2\nreturn match", ["h", "match"]),
    ("text that looks like a statement", 's = """\nvalue = 1\n"""\ny = x * 2\nreturn y', ["y"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "wanted"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
def test_an_operation_is_called_what_its_line_calls_it(body: str, wanted: list[str]) -> None:
    assert written(body) == wanted


def test_of_a_call_that_makes_several_nodes_the_last_is_the_result() -> None:
    found = written("spread = np.var(x)\nreturn spread")
    assert len(found) > 2
    assert found == [*(f"v{number}" for number in range(1, len(found))), "spread"]


def test_neither_a_derivative_nor_its_argument_is_the_result_of_the_call_that_took_it() -> None:
    found = written("g = cg.grad(lambda p: np.sum(p * p))(x)\nreturn g")
    assert found[-1] == "x_bar"
    assert "g" not in found


def test_the_line_of_the_program_is_the_line_of_the_file() -> None:
    def f(x1: Any, x2: Any) -> Any:
        ratio = x1 / x2
        wave = np.sin(ratio)
        return wave * ratio

    source = cg.trace(f, 1.0, 2.0).to_source()
    assert "\n    ratio = x1 / x2\n    wave = np.sin(ratio)\n    v3 = wave * ratio\n    return v3\n" in source


def test_a_given_name_wins_and_derivatives_are_called_after_it() -> None:
    def f(x: Any) -> Any:
        assigned = x * 2
        assigned.name = "given"
        return assigned * x

    graph = cg.reverse(cg.trace(f, 1.0))
    assert {"given", "given_bar"} <= set(program_names(graph).values())
    assert "assigned" not in graph.to_source()


def test_the_names_of_tables_and_drawings_are_those_of_the_textbook() -> None:
    def f(x: Any) -> Any:
        squared = x * x
        return squared + 1

    graph = cg.trace(f, 1.0)
    assert list(graph.names.values()) == ["x", "v1", "v2"]
    assert list(program_names(graph).values()) == ["x", "squared", "v2"]


def test_without_the_source_there_are_numbers() -> None:
    namespace: dict[str, Any] = {}
    exec(compile("def f(x):\n    h = x * x\n    return h\n", "<not to be read>", "exec"), namespace)
    assert names(namespace["f"], 1.0) == ["v1"]


def test_the_source_may_have_become_something_else() -> None:
    """A file that was changed after it was imported gives other names or none, and never an error."""
    source, filename = "def f(x):\n    h = x * x\n    return h\n", "<changing>"
    namespace = run(source, filename)
    for text, wanted in ((source, "h"), (source.replace("h", "k"), "k"), *((text, "v1") for text in ("((((\n" * 3, "", "\0\n\0\n", "x"))):
        linecache.cache[filename] = len(text), None, text.splitlines(keepends=True), filename
        assert names(namespace["f"], 1.0) == [wanted]


def test_only_the_statement_around_the_line_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "".join(f"def f{number}(x):\n    ratio = x / 2\n    return ratio\n\n" for number in range(500))
    parsed: list[str] = []
    parse = assignments.parsed
    monkeypatch.setattr(assignments, "parsed", lambda text: (parsed.append(text), parse(text))[1])
    graph = cg.trace(run(source, "<large>")["f400"], 1.0)
    assert list(program_names(graph).values()) == ["x", "ratio"]
    assert list(program_names(graph).values()) == ["x", "ratio"]
    assert parsed == ["def f400(x):\n    ratio = x / 2\n    return ratio\n\n"]


def test_a_branch_belongs_to_the_statement_before_it() -> None:
    source = "if not x:\n    y = 1\nelse:\n    y = (\n    np.tanh(x)\n)\n"
    y = run(source, "<branches>", x=cg.variable(1.0, name="x"))["y"]
    assert list(program_names(cg.graph_of(y)).values()) == ["x", "y"]


def test_what_is_traced_is_not_called_what_the_graph_is_called() -> None:
    graph = cg.trace(np.tanh, 1.0)
    table = cg.trace(cg.jacobian(np.tanh), np.ones(2))
    assert "graph" not in program_names(graph).values()
    assert "table" not in program_names(table).values()


def test_ten_thousand_equal_wishes_take_linear_time() -> None:
    def f(x: Any) -> Any:
        for _ in range(10_000):
            x = np.sin(x)
        return x

    graph = cg.trace(f, 1.0)
    start = time.process_time()
    found = program_names(graph)
    assert time.process_time() - start < 5  # 20 times what it takes; the square of the nodes would take minutes
    assert found[graph.outputs[0]] == "x_10001"
    assert len(set(found.values())) == len(graph.nodes)

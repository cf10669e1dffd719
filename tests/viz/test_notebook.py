"""What objects show in a notebook: text always, more where it can be made, and never an error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
import viz
from compgraph.graph import METHODS
from compgraph.latex import graph_bundle
from compgraph.tables import mimebundle


def survey(x1: Any, x2: Any) -> Any:
    return np.log(x1) + x1 * x2 - np.sin(x2)


def test_a_graph_shows_its_picture(can_draw: Callable[[str], None]) -> None:
    can_draw("svg")
    graph = cg.trace(survey, 2.0, 5.0)
    bundle = graph._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/plain", "text/html", "image/svg+xml", "text/latex"}
    assert bundle["text/plain"] == str(graph) and bundle["image/svg+xml"].startswith("<svg")
    assert bundle["text/html"] == f"<div>{bundle['image/svg+xml']}</div>"
    assert bundle["text/latex"].splitlines()[1] == r"v_{1} &= \ln x_{1} \\"


def test_without_viz_a_graph_shows_its_text() -> None:
    program = "import compgraph as cg; made = cg.parse('x < y')._repr_mimebundle_(); print(sorted(made), made['text/html'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "['text/html', 'text/latex', 'text/plain'] <pre>f(x, y):\n    v1 = x &lt; y\n    return v1</pre>\n"
    )


def test_a_graph_without_graphviz_or_too_large_shows_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bytes:
        raise cg.MissingDependencyError("no Graphviz")

    monkeypatch.setattr("viz.drawing.render", broken)
    graph = cg.trace(survey, 2.0, 5.0)
    assert graph._repr_mimebundle_() == graph_bundle(graph)

    def chain(x: Any) -> Any:
        for _ in range(400):
            x = np.sin(x)
        return x

    large = cg.trace(chain, 1.0)
    monkeypatch.setattr("viz.drawing.render", lambda *_: pytest.fail("a layout of 400 nodes takes too long for a cell"))
    assert set(large._repr_mimebundle_()) == {"text/plain", "text/html"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: cg.trace(survey, 2.0, 5.0),
        lambda: cg.evaluate(survey, 2.0, 5.0, mode="reverse"),
        lambda: cg.check(survey, 2.0, 5.0),
        lambda: viz.draw(cg.trace(survey, 2.0, 5.0)),
        lambda: viz.step(survey, 2.0, 5.0),
    ],
)
def test_every_inner_failure_leaves_text(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    subject = make()

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of order")

    targets = (
        "compgraph.evaluation.EvaluationTrace.table", "compgraph.reports.CheckReport._cells", "compgraph.formulas.formula",
        "compgraph.latex.latex_name", "viz.drawing.render", "viz.stepper.step_page",
    )  # fmt: skip
    for target in targets:
        monkeypatch.setattr(target, broken)
    monkeypatch.setitem(METHODS, "Graph.__str__", broken)
    bundle = subject._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/plain"] and all(isinstance(text, str) for text in bundle.values())


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-320, np.zeros((0, 3)), np.ones((50, 40)), np.array([1 + 2j])])
def test_unusual_numbers_show_themselves_whole(value: Any) -> None:
    with np.errstate(all="ignore"):
        trace = cg.evaluate(lambda x: np.sum(np.log(x) * 2.0 / x), value, mode="forward", seed={"x": np.ones_like(value)})
    assert set(trace._repr_mimebundle_()) == {"text/plain", "text/html", "text/latex"}
    assert trace._repr_mimebundle_()["text/plain"] == str(trace)


def test_hostile_names_are_escaped() -> None:
    x = cg.variable(2.0, name="</pre><script>alert(1)</script>")
    graph = cg.graph_of(np.sin(x))
    for subject in (graph, cg.evaluate(graph, 2.0), cg.check(graph, 2.0), viz.draw(graph)):
        for kind, text in subject._repr_mimebundle_().items():
            assert kind in ("text/plain", "text/latex") or "<script" not in text


def test_a_form_that_fails_is_left_out_and_an_interrupt_is_not_swallowed() -> None:
    made = mimebundle([], {"text/plain": lambda: str(1 / 0), "text/html": lambda: "a"})
    assert made == {"text/plain": "list: ZeroDivisionError", "text/html": "a"}

    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mimebundle([], {"text/plain": interrupted})

"""The stepper: its frames hold the engine's numbers, its page is whole, safe and small, whatever it is given."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
import json
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compgraph as cg
import viz
from compgraph.__main__ import TEXTBOOK, main
from compgraph.errors import InputError, MissingDependencyError
from compgraph.literals import number
from optim.rules import adam, start_adam
from viz import drawing as drawing_module
from viz.step_frames import boxed, data_of, stored
from viz.step_sheets import sheets_of, texts_of

pytestmark = pytest.mark.skipif(
    not (shutil.which("dot") or importlib.util.find_spec("pygraphviz")), reason="neither dot nor pygraphviz is installed"
)


def textbook(x1: Any, x2: Any) -> Any:
    ratio = x1 / x2
    return (np.exp(ratio) + ratio) * (ratio - np.log(x2))


def survey(x1: Any, x2: Any) -> Any:
    return np.log(x1) + x1 * x2 - np.sin(x2)


def two_outputs(x: Any, y: Any) -> Any:
    return x * y, np.sin(x) + y


def layer(x: Any, w: Any, b: Any) -> Any:
    with cg.scope("layer"):
        hidden = np.tanh(x @ w + b)
    with cg.scope("loss"):
        return np.mean(hidden * hidden)


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "textbook": (textbook, (0.5, 1.0)),
    "survey": (survey, (2.0, 5.0)),
    "two outputs": (two_outputs, (1.5, -0.5)),
    "layer": (layer, (np.arange(6.0).reshape(2, 3) / 7, np.cos(np.arange(12.0)).reshape(3, 4), np.linspace(-1, 1, 4))),
    "an output that is an input": (lambda x, y: (x, x * y), (2.0, 3.0)),
    "an unused input": (lambda x, y: np.exp(x), (2.0, 3.0)),
    "broadcast": (lambda x, y: np.sum(x * y), (np.ones((2, 3)), np.arange(3.0))),
    "an integer input": (lambda x, count: x * count, (3.0, np.array(4))),
}


class Page(HTMLParser):
    """What a browser makes of a page: its elements, the contents of its scripts and styles, and its tables' rows."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self.rows: list[dict[str, str]] = []
        self.cell = ""
        self.in_row = False
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag in self.raw:
            self.inside = tag
            self.raw[tag].append("")
        if tag == "tr":
            self.in_row = "data-node" in given
            self.rows += [{}] * self.in_row
        if tag in ("th", "td"):
            self.cell = given.get("class", tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == self.inside:
            self.inside = ""
        if tag in ("th", "td"):
            self.cell = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.raw[self.inside][-1] += data
            return
        self.words.append(data)
        if self.cell and self.rows and self.in_row:
            self.rows[-1][self.cell] = self.rows[-1].get(self.cell, "") + data

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw["script"][0])
        return found

    @property
    def ids(self) -> list[str]:
        return [given["id"] for _, given in self.elements if "id" in given]


def traces_of(stepper: viz.Stepper) -> list[tuple[cg.EvaluationTrace, dict[str, Any]]]:
    """Each track beside the engine's own evaluation with the same seed."""
    graph = stepper.graph
    inputs = [stepper.sweeps.found[0].traces[0].values[node] for node in graph.inputs]
    found = []
    for sweep, track in zip(stepper.sweeps.found, data_of(stepper.frames)["tracks"], strict=True):
        seeded = None
        if sweep.mode in ("forward", "reverse"):
            node = next(node for node in graph.nodes if graph.names[node] == sweep.name)
            seeded = {sweep.name: np.ones(node.shape, node.dtype)}
        found.append((cg.evaluate(graph, *inputs, mode=sweep.mode, seed=seeded), track))
    return found


# -------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize("case", CASES)
def test_every_step_has_the_engines_numbers(case: str) -> None:
    function, arguments = CASES[case]
    stepper = viz.step(function, *arguments)
    columns = data_of(stepper.frames)["steps"]
    nodes = list(stepper.graph.nodes)
    for trace, track in traces_of(stepper):
        engine = {"forward": "t", "reverse": "a"}
        order = {(step.phase, step.node, step.child, step.equation) for step in trace.steps}
        told = [stepper.frames.steps[place] for place in track["steps"]]
        assert order <= {(step.phase, step.node, step.child, step.equation) for step in told}
        assert [step.equation for step in told][: len(trace.steps)] == [step.equation for step in trace.steps]
        for place, step in zip(track["steps"], told, strict=True):
            assert nodes[columns["node"][place]] is step.node
            assert columns["phase"][place] in ("p", engine[track["mode"]])
            assert columns["text"][place] == number(step.value)
            assert columns["raw"][place] == stored(step.value)
            assert columns["child"][place] == (-1 if step.child is None else nodes.index(step.child))


def replayed(columns: dict[str, Any], order: list[int]) -> dict[tuple[str, int], int]:
    """What each slot, a phase and a node, was last set by."""
    return {(columns["phase"][place], columns["node"][place]): place for place in order}


@pytest.mark.parametrize("case", CASES)
def test_the_last_frame_is_the_whole_evaluation_and_nothing_else(case: str) -> None:
    function, arguments = CASES[case]
    stepper = viz.step(function, *arguments)
    columns = data_of(stepper.frames)["steps"]
    for trace, track in traces_of(stepper):
        state = replayed(columns, track["steps"])
        for place, node in enumerate(stepper.graph.nodes):
            for phase, computed in (("p", trace.values), ("t", trace.tangents), ("a", trace.adjoints)):
                assert ((phase, place) in state) == (node in computed)
                if node in computed:
                    assert columns["raw"][state[phase, place]] == stored(computed[node])


def test_before_its_step_a_number_is_not_there() -> None:
    """A node whose children have not handed back anything has no adjoint, which is not the adjoint 0."""
    stepper = viz.step(textbook, 0.5, 1.0)
    columns = data_of(stepper.frames)["steps"]
    track = stepper.frames.tracks[-1]
    for frame in range(len(track.steps) + 1):
        state = replayed(columns, list(track.steps[:frame]))
        assert len(state) == len({(columns["phase"][place], columns["node"][place]) for place in track.steps[:frame]})
    assert [begin for begin, _ in track.phases] == [0, 8]
    assert not any(phase == "a" for phase, _ in replayed(columns, list(track.steps[:8])))


def test_an_adjoint_without_children_is_zero_once_the_sweep_is_over() -> None:
    stepper = viz.step(lambda x, y: np.exp(x), 2.0, 3.0)
    last = list(stepper)[-1]
    assert (last.name, last.rule, last.value) == ("y_bar", "0 (no child)", 0.0)


@given(seed=st.floats(-1e6, 1e6).filter(lambda seed: seed == 0 or abs(seed) > 1e-6), case=st.sampled_from(["textbook", "survey", "layer"]))
def test_a_rescaled_sweep_is_the_engines_with_that_seed(seed: float, case: str) -> None:
    function, arguments = CASES[case]
    stepper = viz.step(function, *arguments)
    columns = data_of(stepper.frames)["steps"]
    nodes = stepper.graph.nodes
    for sweep, track in zip(stepper.sweeps.found, stepper.frames.tracks, strict=True):
        assert track.scalable
        seeded = nodes[track.seed]
        assert stepper.graph.names[seeded] == sweep.name
        trace = cg.evaluate(stepper.graph, *arguments, mode=sweep.mode, seed={sweep.name: np.full(seeded.shape, seed)})
        computed = trace.tangents if sweep.mode == "forward" else trace.adjoints
        for (phase, place), step in replayed(columns, list(track.steps)).items():
            if phase == "p":
                continue
            raw, exact = columns["raw"][step], np.asarray(computed[nodes[place]])
            corner = np.asarray(raw["rows"] if isinstance(raw, dict) else raw) * seed
            # A power of two changes no digit; any other seed rounds each product and sum of the sweep a little differently.
            tolerance = 1e-6 if isinstance(raw, dict) else 1e-13
            np.testing.assert_allclose(corner.ravel(), exact.ravel(), rtol=tolerance, atol=tolerance * abs(seed))


@pytest.mark.parametrize("seed", [2.0, -0.5, 1024.0])
def test_powers_of_two_rescale_to_the_bit(seed: float) -> None:
    stepper = viz.step(textbook, 0.5, 1.0)
    columns = data_of(stepper.frames)["steps"]
    trace = cg.evaluate(stepper.graph, 0.5, 1.0, mode="reverse", seed=seed)
    for (phase, place), step in replayed(columns, list(stepper.frames.tracks[-1].steps)).items():
        if phase == "a":
            assert columns["raw"][step] * seed == trace.adjoints[stepper.graph.nodes[place]]


def test_a_seed_of_the_users_own() -> None:
    stepper = viz.step(two_outputs, 1.5, -0.5, mode="reverse", seed={"v1": 2.0, "v3": -1.0})
    expected = cg.evaluate(stepper.graph, 1.5, -0.5, mode="reverse", seed={"v1": 2.0, "v3": -1.0})
    assert [step.equation for step in stepper] == [step.equation for step in expected.steps]
    one = viz.step(two_outputs, 1.5, -0.5, mode="reverse", of="v3")
    assert [track.name for track in one.frames.tracks if track.mode == "reverse"] == ["v3"]


def test_the_table_without_scripting_has_the_final_numbers() -> None:
    stepper = viz.step(textbook, 0.5, 1.0)
    rows = Page(stepper.html).rows[: len(stepper.graph.nodes)]
    forward = cg.evaluate(stepper.graph, 0.5, 1.0, mode="forward", seed="x1")
    reverse = cg.evaluate(stepper.graph, 0.5, 1.0, mode="reverse")
    for node, row in zip(stepper.graph.nodes, rows, strict=True):
        assert row["th"].split()[0] == stepper.graph.names[node]
        assert row["number value"] == number(reverse.values[node])
        assert row["only-forward number tangent"] == number(forward.tangents[node])
        assert row["only-reverse number adjoint"] == number(reverse.adjoints[node])
    assert rows[2]["th"] == "v1 ratio"


def test_the_derivative_graph_computes_the_adjoints() -> None:
    page = Page(viz.step(textbook, 0.5, 1.0).html).data
    figure = page["figures"][1]
    final = {figure["nodes"]["name"][node]: figure["steps"]["raw"][place] for place, node in enumerate(figure["steps"]["node"])}
    gradient = cg.grad(textbook, (0, 1))(0.5, 1.0)
    assert (final["x1_bar"], final["x2_bar"]) == pytest.approx(tuple(float(part) for part in gradient), rel=1e-15)
    assert page["size"] == [2, 1] and [tab["mode"] for tab in page["tabs"]] == ["forward", "reverse", "compare", "derivative"]


def test_each_step_lights_the_line_of_the_program_that_computes_it() -> None:
    page = Page(viz.step(textbook, 0.5, 1.0).html)
    tab = next(tab for tab in page.data["tabs"] if tab["mode"] == "reverse")
    program = page.data["programs"][tab["program"]]
    source = cg.simplify(cg.reverse(cg.trace(textbook, 0.5, 1.0))).to_source().splitlines()
    assert [source[line].split("=")[0].strip() for line in program["values"][2:]] == ["ratio", "v2", "v3", "v4", "v5", "v6"]
    lit = [source[line].split("=")[0].strip() if line >= 0 else None for line in program["derivatives"]]
    assert lit == ["x1_bar", "x2_bar", "ratio_bar", None, "v3_bar", "v4_bar", "v5_bar", None]  # v2_bar is v3_bar, v6_bar the seed


# -------------------------------------------------------------------------------------- what it is given


def test_a_function_a_graph_an_expression_a_node_and_a_trace_are_stepped_alike() -> None:
    graph = cg.parse(TEXTBOOK)
    x1, x2 = cg.variable(0.5, name="x1"), cg.variable(1.0, name="x2")
    node = (np.exp(x1 / x2) + x1 / x2) * (x1 / x2 - np.log(x2))
    expected = str(viz.step(graph, x1=0.5, x2=1.0))
    assert str(viz.step(TEXTBOOK, 0.5, 1.0)) == str(viz.step(textbook, x1=0.5, x2=1.0)) == expected
    assert str(viz.step(cg.evaluate(graph, 0.5, 1.0, mode="reverse"))) == expected
    assert [step.value for step in viz.step(node)][-1] == pytest.approx(-3.8852622, rel=1e-7)


def test_a_trace_is_shown_with_its_own_seed() -> None:
    trace = cg.evaluate(cg.parse(TEXTBOOK), 0.5, 1.0, mode="forward", seed={"x1": 2.0, "x2": -1.0})
    assert [step.equation for step in viz.step(trace)] == [step.equation for step in trace.steps]


@pytest.mark.parametrize(
    ("arguments", "keywords", "said"),
    [
        ((textbook, 0.5, 1.0), {"mode": "backward"}, "mode 'backward'"),
        ((textbook, 0.5, 1.0), {"seed": 1.0}, "seed= goes with"),
        ((textbook, 0.5, 1.0), {"iterations": 0}, "iterations is a whole number"),
        ((textbook, 0.5, 1.0), {"iterations": 2}, "has to return what it takes"),
        ((lambda x: x * 2, 1.0), {"iterations": 2, "mode": "reverse"}, "leave mode, seed and of out"),
        ((textbook, 0.5, 1.0), {"direction": "up"}, "direction 'up'"),
        ((textbook, 0.5), {}, "missing a required argument"),
        ((3.0,), {}, "step takes a function"),
        ((two_outputs, 1.0, 2.0), {"mode": "reverse", "of": "nothing"}, "no output 'nothing'"),
        ((textbook, 0.5, 1.0), {"mode": "forward", "seed": "x3"}, "no input 'x3'"),
        (("x * y",), {"x": 1.0}, "no value for y"),
        ((lambda count: count + 1, np.array(3)), {"mode": "reverse"}, "there is no floating-point input"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: tuple[Any, ...], keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(cg.CompgraphError, match=said):
        viz.step(*arguments, **keywords)


def test_a_trace_and_a_node_take_no_arguments() -> None:
    for subject in (cg.evaluate(cg.parse("x * x"), 2.0), cg.variable(2.0) * 3):
        with pytest.raises(InputError, match="brings its numbers along"):
            viz.step(subject, 2.0)


HOSTILE = [
    "</script><script>alert(1)</script>", "<!--", "\"'><img src=x onerror=alert(1)>", "😀 ∂", "x" * 10_000, "a\nb\u2028\x00c",
    "&lt;b&gt;", "\\",
]  # fmt: skip


def test_hostile_names_stay_words() -> None:
    variables = [cg.variable(float(place + 1), name=name) for place, name in enumerate(HOSTILE)]
    with cg.scope("</style><b>"):
        total = sum(np.sin(variable) * 2.0 for variable in variables)
    text = viz.step(total).html
    page = Page(text)
    assert text.count("<script") == 2 == text.count("</script>") and text.count("<style") == 1 == text.count("</style>")
    assert not {"img", "b"} & {tag for tag, _ in page.elements}
    assert not [name for _, given in page.elements for name in given if name.startswith("on") or name == "style"]
    assert "<!--" not in text.split('id="step-data">')[1]
    names = page.data["figures"][0]["nodes"]["name"]
    assert names[0] == HOSTILE[0] and names[4] == "x" * 59 + "…" and names[5] == r"a\nb\u2028\x00c"
    assert len(set(page.ids)) == len(page.ids)
    assert len(text) < 600_000
    assert HOSTILE[0] in "".join(page.words)


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (np.nan, "NaN"), (np.inf, "Infinity"), (-np.inf, "-Infinity"), (1e-320, 1e-320), (-0.0, -0.0), (True, True), (2**60, str(2**60)),
        (1 + 2j, "(1+2j)"),
    ],
)  # fmt: skip
def test_odd_numbers_are_stored_as_they_are(value: Any, raw: Any) -> None:
    assert stored(value) == raw and json.loads(json.dumps(stored(value), allow_nan=False)) == raw


@pytest.mark.parametrize(
    ("function", "arguments", "shown"),
    [
        (lambda x: np.log(x), (0.0,), {"-inf", "inf"}),
        (lambda x: x * np.nan, (1.0,), {"nan"}),
        (lambda x: x / 2, (1e-320,), {"9.999889e-321", "4.999944e-321"}),
        (lambda z: z * z, (1 + 2j,), {"(1+2j)", "(-3+4j)", "(2+4j)"}),
        (lambda x: np.sum(x), (np.zeros((0, 3)),), {"0", "[]"}),
        (lambda x: np.sum(x * x), (np.ones((400, 300)),), {"120000", "[[1, 1, …], …] (400, 300)"}),
        (lambda x: x[None, :, None] * np.ones((2, 1, 3)), (np.arange(4.0),), {"[0, 1, 2, 3]"}),
        (lambda x: np.sum(x), (np.array([np.nan, np.inf, 1.0]),), {"[nan, inf, 1]", "nan"}),
    ],
    ids=["log 0", "nan", "denormal", "complex", "empty", "huge", "three axes", "not finite"],
)
def test_odd_values_give_a_page(function: Callable[..., Any], arguments: tuple[Any, ...], shown: set[str]) -> None:
    page = Page(viz.step(function, *arguments).html)
    texts = {text.replace("[[], []]", "[]") for text in page.data["figures"][0]["steps"]["text"]}
    assert shown <= texts
    assert sum(map(len, page.raw["script"])) < 200_000


def test_a_graph_without_inputs_shows_its_values() -> None:
    page = Page(viz.step("2 * 3 + sin(1)").html)
    assert [tab["mode"] for tab in page.data["tabs"]] == ["primal"]
    assert any("nothing to differentiate" in words for words in page.words)
    assert any("no inputs" in words for words in page.words)


def test_a_constant_function_has_derivatives_that_are_zero() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cg.ZeroGradientWarning)
        stepper = viz.step(lambda x: 3.0, 2.0)
    assert [step.equation for step in stepper][-1] == "x_bar = 0 (no child) = 0"
    assert Page(stepper.html).data["tabs"]


def test_what_cannot_be_differentiated_is_said() -> None:
    stepper = viz.step(lambda x: np.floor(x).astype(int), 2.5)
    assert [sweep.mode for sweep in stepper.sweeps.found] == ["primal"]
    assert any("nothing to differentiate" in words for words in Page(stepper.html).words)


# -------------------------------------------------------------------------------------- training


def test_iterations_are_the_rule_run_in_a_loop() -> None:
    def update(p: Any, state: Any) -> Any:
        return adam(p, cg.grad(lambda p: np.sum((p - 1) ** 2))(p), state, lr=0.1)

    p = np.array([2.0, -1.0])
    stepper = viz.step(update, p, start_adam(p), iterations=4)
    states = [step.value for step in stepper if step.node is stepper.graph.outputs[0]]
    state = start_adam(p)
    for shown in states:
        p, state = update(p, state)
        np.testing.assert_array_equal(shown, p)
    (track,) = stepper.frames.tracks
    assert [title for _, title in track.phases] == [f"iteration {turn}" for turn in range(1, 5)]
    assert [begin for begin, _ in track.phases] == [len(stepper.graph.nodes) * turn for turn in range(4)]
    assert [tab["label"] for tab in Page(stepper.html).data["tabs"]] == ["Updates"]


# -------------------------------------------------------------------------------------- the page


def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    text = viz.step(textbook, x1=0.5, x2=1.0).html
    assert len(text.encode()) < 150_000
    outside = [url for url in re.findall(r"https?://[^\s\"'<)]+", text) if not url.startswith("http://www.w3.org/")]
    assert outside == []
    assert not re.search(r"\b(src|href|xlink:href|action)=|url\(|@import|fetch\(|XMLHttpRequest|\bimport\b *\(|eval\(|new Function", text)


def test_the_policy_allows_this_script_and_this_style_and_nothing_else() -> None:
    page = Page(viz.step(textbook, x1=0.5, x2=1.0).html)
    policy = next(given["content"] for tag, given in page.elements if given.get("http-equiv") == "Content-Security-Policy")

    def fingerprint(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert policy == (
        f"default-src 'none'; script-src {fingerprint(page.raw['script'][1])}; style-src {fingerprint(page.raw['style'][0])}; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not [given for _, given in page.elements if "style" in given or any(name.startswith("on") for name in given)]


def test_the_script_puts_only_pythons_mathml_in_as_markup() -> None:
    script = Page(viz.step("x * x", 2.0).html).raw["script"][1]
    assigned = re.findall(r"innerHTML\s*=\s*([^;]+);", script)
    assert assigned and set(assigned) <= {"line", "steps.math[i][0]"}
    assert not re.search(r"outerHTML|insertAdjacentHTML|document\.write", script)


def test_ids_are_unique_in_a_page_and_between_figures() -> None:
    pages = [Page(viz.step(function, *arguments).html) for function, arguments in (CASES["textbook"], CASES["survey"])]
    for page in pages:
        assert len(set(page.ids)) == len(page.ids)
    drawn = [{name for name in page.ids if re.match(r"s[0-9a-f]{6}[ab]", name)} for page in pages]
    assert all(drawn) and not drawn[0] & drawn[1]


def test_the_page_is_the_same_each_time() -> None:
    assert viz.step(textbook, x1=0.5, x2=1.0).html == viz.step(textbook, x1=0.5, x2=1.0).html


def test_what_is_clicked_or_lit_can_be_found() -> None:
    page = Page(viz.step(layer, *CASES["layer"][1]).html)
    nodes = page.data["figures"][0]["nodes"]["name"]
    boxes = [given["data-node"] for tag, given in page.elements if tag == "g" and "data-node" in given]
    assert boxes[: len(nodes)] == [str(place) for place in sorted(range(len(nodes)), key=lambda place: boxes.index(str(place)))]
    assert set(boxes) >= {str(place) for place in range(len(nodes))}
    ends = [(given["data-tail"], given["data-head"]) for tag, given in page.elements if "data-tail" in given]
    args = page.data["figures"][0]["nodes"]["args"]
    assert {(str(arg), str(node)) for node, found in enumerate(args) for arg in found} <= set(ends)
    frames = [given["data-inside"] for _, given in page.elements if "cluster" in given.get("class", "") and "data-inside" in given]
    assert len(frames) >= 2


@pytest.mark.parametrize("value", [0.1, -3.885262, np.arange(4.0), np.ones((3, 4)), np.array([[np.nan, 1.0, 2.0, 3.0]]), np.zeros((0, 2))])
def test_a_box_has_room_for_what_it_shows(value: Any) -> None:
    texts = texts_of("", [boxed(value)], [boxed(value)])
    assert texts.value == texts.derivative == boxed(value)[:26]
    assert texts.value_room >= len(texts.value) and texts.derivative_room >= max(len(texts.value), 9)


# -------------------------------------------------------------------------------------- scale


def chain(length: int, scopes: bool = False) -> Callable[..., Any]:
    def function(x: Any, y: Any) -> Any:
        for place in range(length):
            with cg.scope(f"block {place // 20}" if scopes else "all"):
                x = np.sin(x) * y + 0.5
        return x

    return function


@pytest.mark.parametrize("scopes", [False, True])
def test_a_large_graph_is_folded_and_no_node_is_lost(scopes: bool) -> None:
    graph = cg.trace(chain(200, scopes), 0.5, 1.0)
    assert len(graph.nodes) > 300
    sheets = sheets_of(graph, dict.fromkeys(graph.nodes, texts_of("", ["1"], ["1"])), "s")
    boxes = [[int(place) for place in re.findall(r'data-node="(\d+)"', sheet.svg)] for sheet in sheets]
    assert set().union(*map(set, boxes)) == set(range(len(graph.nodes)))
    assert max(map(len, boxes)) <= 100
    inside = [found for sheet in sheets for found in re.findall(r'data-sheet="\d+" data-inside="([^"]+)"', sheet.svg)]
    assert inside and len(inside) == len(sheets) - 1
    if scopes:
        assert [sheet.title for sheet in sheets[1:]] == [f"block {place}" for place in range(10)]


def test_above_300_nodes_the_page_starts_folded() -> None:
    page = Page(viz.step(chain(120, scopes=True), 0.5, 1.0).html).data
    assert len(page["figures"]) == 1 and len(page["figures"][0]["sheets"]) == 7
    assert [sheet["parent"] for sheet in page["figures"][0]["sheets"]] == [-1, *[0] * 6]


def test_the_page_grows_with_the_graph_and_not_faster() -> None:
    sizes = [len(viz.step(chain(length), 0.5, 1.0).html) for length in (150, 300, 600)]
    assert (sizes[2] - sizes[1]) / (sizes[1] - sizes[0]) < 2.4


def test_a_page_for_a_thousand_nodes_grows_no_faster_than_its_graph(tmp_path: Path) -> None:
    sizes = {}
    for length in (167, 334):
        stepper = viz.step(chain(length), 0.5, 1.0)
        sizes[len(stepper.graph.nodes)] = stepper.save(tmp_path / f"step{length}.html").stat().st_size
    (small, half), (large, whole) = sizes.items()
    assert large >= 1000 and whole / half < 1.2 * large / small


def test_many_inputs_have_as_many_sweeps_as_can_be_read() -> None:
    stepper = viz.step(lambda **values: sum(values.values()), **{f"x{place}": float(place) for place in range(40)})
    forward = [track for track in stepper.frames.tracks if track.mode == "forward"]
    assert len(forward) == 12
    assert any("Of 40 inputs, 12 have a forward sweep here." in words for words in Page(stepper.html).words)


# -------------------------------------------------------------------------------------- files, notebooks, command line


def test_saving_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "step.html"
    stepper = viz.step("x * x", 2.0)
    assert stepper.save(path) == path and path.read_text(encoding="utf-8") == stepper.html
    path.write_text("before")

    def broken(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drawing_module.os, "replace", broken)
    with pytest.raises(OSError, match=r"No space left on device: .*step\.html"):
        stepper.save(path)
    assert path.read_text() == "before" and [entry.name for entry in tmp_path.iterdir()] == ["step.html"]


def test_saving_says_what_it_can(tmp_path: Path) -> None:
    stepper = viz.step("x * x", 2.0)
    with pytest.raises(InputError, match=r"'step\.pdf': the name has to end in \.html"):
        stepper.save(tmp_path / "step.pdf")
    with pytest.raises(InputError, match="the page shows all steps"):
        stepper.save(tmp_path / "step.html", step=3)
    with pytest.raises(FileNotFoundError, match="missing"):
        stepper.save(tmp_path / "missing" / "step.html")
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_shows_the_page_in_a_frame() -> None:
    stepper = viz.step("x * x", 2.0)
    shown = stepper._repr_mimebundle_()
    frame = Page(shown["text/html"]).elements
    assert [tag for tag, _ in frame] == ["iframe"]
    assert frame[0][1]["srcdoc"] == stepper.html and frame[0][1]["sandbox"] == "allow-scripts"
    assert shown["text/plain"] == "Stepper(f: 5 steps)" == repr(stepper)
    assert html.escape(stepper.html) in shown["text/html"]


def test_a_notebook_without_graphviz_still_shows_the_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pygraphviz" else find_spec(name, *rest))
    stepper = viz.step("x * x", 2.0)
    shown = stepper._repr_mimebundle_()
    assert set(shown) == {"text/plain"} and "x_bar = " in shown["text/plain"] and "Install one" in shown["text/plain"]
    with pytest.raises(MissingDependencyError, match="Install one"):
        stepper.save(tmp_path / "step.html")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "step.html"
    assert main(["step", TEXTBOOK, "x1=0.5", "x2=1", "--mode", "compare", "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert Page(path.read_text(encoding="utf-8")).data["start"] == "compare"
    assert main(["step", TEXTBOOK, "x1=0.5", "-o", str(path)]) == 2
    assert "no value for x2" in capsys.readouterr().err
    assert main(["step", "x*x", "x=2", "--terminal", "-o", str(path)]) == 2
    assert "--terminal writes no file" in capsys.readouterr().err


def test_the_command_opens_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.chdir(tmp_path)
    assert main(["step", "x*x", "x=2", "--open"]) == 0
    assert opened == [(tmp_path / "step.html").as_uri()]
    assert "wrote step.html" in capsys.readouterr().out


# -------------------------------------------------------------------------------------- the page's script

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node, which runs JavaScript without a browser, is not installed")


def run_script(data: dict[str, Any], question: str) -> Any:
    """What `question`, a JavaScript expression, is in the page's own script, with `stepping` for what its first part gives out."""
    script = Path(viz.__file__).with_name("step_picture.js").read_text(encoding="utf-8")
    page = f"const document = {{ getElementById: () => ({{ textContent: {json.dumps(json.dumps(data))} }}) }};"
    program = f"{page}\n{script}\nprocess.stdout.write(JSON.stringify({question}));"
    done = subprocess.run(["node", "-"], input=program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
def test_the_script_writes_numbers_as_python_does() -> None:
    draw = np.random.default_rng(0)
    values = [0.0, -0.0, 1e-320, 5e-324, 1.7e308, 1e22, 1.234e-5, np.inf, -np.inf, np.nan]
    values += [9999999.5, 0.00048828125, 122.125, -96.625, 123456.75]  # halves, which Python rounds to even and JavaScript up
    values += [*draw.normal(size=300), *(draw.normal(size=300) * 10.0 ** draw.uniform(-300, 300, 300))]
    values += [*(draw.integers(-9999, 9999, 300) / 16)]
    asked = [[repr(stored(float(value))).strip("'"), digits] for value in values for digits in (4, 5, 7)]
    written = run_script({"figures": []}, f"{json.dumps(asked)}.map(([x, digits]) => stepping.brief(Number(x), digits))")
    assert written == [number(float(value), digits) for value in values for digits in (4, 5, 7)]


@needs_node
@pytest.mark.parametrize("case", ["textbook", "layer", "two outputs"])
def test_the_script_scales_a_sweep_as_the_engine_does(case: str) -> None:
    function, arguments = CASES[case]
    stepper = viz.step(function, *arguments)
    nodes = stepper.graph.nodes
    steps = "stepping.data.figures[0].steps"
    question = f"(stepping.chosen.seed = -2, {steps}.text.map((_, i) => stepping.scaled({steps}, i)))"
    texts = run_script({"figures": [data_of(stepper.frames)]}, question)
    for sweep, track in zip(stepper.sweeps.found, stepper.frames.tracks, strict=True):
        seed = {sweep.name: np.full(nodes[track.seed].shape, -2.0)}
        trace = cg.evaluate(stepper.graph, *arguments, mode=sweep.mode, seed=seed)
        expected = [step for step in trace.steps if step.phase != "primal"]
        told = [place for place in track.steps if stepper.frames.steps[place].phase != "primal"][: len(expected)]
        both = (*map(texts.__getitem__, told), *(number(step.value) for step in expected))
        unsigned = [re.sub(r"-0\b(?![.\d])", "0", text) for text in both]
        assert unsigned[: len(told)] == unsigned[len(told) :]


@needs_node
def test_the_script_jumps_to_the_state_that_stepping_leads_to() -> None:
    stepper = viz.step(chain(60), 0.5, 1.0)  # several checkpoints
    data = data_of(stepper.frames)
    for place, track in enumerate(stepper.frames.tracks):
        frames = [len(track.steps), 0, 1, 49, 50, 51, 100, 149, 150, 7, len(track.steps) - 1]
        made = f"new stepping.Track(0, stepping.data.figures[0].tracks[{place}])"
        question = f"{frames}.map((frame) => Array.from({made}.state(frame)))"
        reused = f"((track) => {frames}.map((frame) => Array.from(track.state(frame))))({made})"
        found = run_script({"figures": [data]}, f"[{question}, {reused}]")
        assert found[0] == found[1]
        for frame, state in zip(frames, found[0], strict=True):
            expected = [0] * (3 * len(stepper.graph.nodes))
            for (phase, node), step in replayed(data["steps"], list(track.steps[:frame])).items():
                expected["pta".index(phase) * len(stepper.graph.nodes) + node] = step + 1
            assert state == expected


@needs_node
def test_each_iteration_begins_with_nothing_but_dashes() -> None:
    stepper = viz.step(lambda p, m: (p - 0.1 * m, 0.9 * m + p), 1.0, 0.0, iterations=3)
    count = len(stepper.graph.nodes)
    track = "new stepping.Track(0, stepping.data.figures[0].tracks[0])"
    question = f"[{count}, {count + 1}].map((frame) => {track}.state(frame).filter((step) => step).length)"
    states = run_script({"figures": [data_of(stepper.frames)]}, question)
    assert states == [count, 1]

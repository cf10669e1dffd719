"""Exports of a sweep: each frame holds the numbers of its step, and a file appears whole or not at all."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compgraph as cg
import viz.step_exports as exports
from compgraph.errors import InputError, MissingDependencyError
from viz.step_exports import animated_svg, frame_png, frame_tikz, gif, save
from viz.step_frames import shown

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _graphviz(can_draw: Callable[[str], None]) -> None:
    can_draw("svg")


def survey(x1: Any, x2: Any) -> Any:
    return np.log(x1) + x1 * x2 - np.sin(x2)


def trace_of(mode: str = "reverse") -> cg.EvaluationTrace:
    return cg.evaluate(survey, 2.0, 5.0, mode=mode)


def played(svg: str, slot: int, slots: int) -> ElementTree.Element:
    """The picture as a browser shows it in one slot of the animation: what is hidden is taken out, thick lines are marked."""
    root = ElementTree.fromstring(svg)
    style = root.find(f"{SVG}style").text or ""  # type: ignore[union-attr]
    rules = {}
    for name, body in re.findall(r"@keyframes (\S+) \{ (.*?) \} \.", style):
        frames = [(float(at), what) for at, what in re.findall(r"([\d.e+-]+)% \{ (.*?) \}", body)]
        assert frames[0][0] == 0 or frames[0][1].startswith("visibility"), name
        rules[name] = [what for at, what in frames if at <= 100 * (slot + 0.5) / slots][-1]
    for parent in list(root.iter()):
        for child in list(parent):
            held = [rules[name] for name in child.get("class", "").split() if name in rules]
            if "visibility: hidden" in held or ("past" in child.get("class", "").split() and "visibility: visible" not in held):
                parent.remove(child)
            elif "stroke-width: 3.5" in held:
                child.set("lit", "yes")
    return root


@pytest.mark.parametrize("mode", ["primal", "forward", "reverse"])
def test_every_moment_of_the_svg_shows_what_is_known_by_then(mode: str) -> None:
    trace = trace_of(mode)
    svg = animated_svg(trace)
    count, nodes = len(trace.steps), list(trace.graph.nodes)
    for place in range(count + 3):  # the last is shown for three slots more
        root = played(svg, place, count + 3)
        known = trace.steps[: place + 1]
        for group in root.iter(f"{SVG}g"):
            if "data-node" not in group.attrib:
                continue
            node = nodes[int(group.get("data-node", ""))]
            words = ("value", "derivative", "name")
            texts = {word: [text.text for text in group if f"shows-{word}" in text.get("class", "")] for word in words}
            for word, primal in (("value", True), ("derivative", False)):
                found = [shown(step.value) for step in known if step.node is node and (step.phase == "primal") == primal]
                if texts[word] or primal:
                    assert texts[word] == [found[-1] if found else "–"]
            if mode != "primal":
                assert texts["name"][0].strip() == f"{trace.name(node)}_{'dot' if mode == 'forward' else 'bar'}"  # type: ignore[union-attr]
            lit = any(shape.get("lit") for shape in group)
            assert lit == (place < count and trace.steps[place].node is node) or place >= count
        captions = [text.text or "" for text in root.iter(f"{SVG}text") if "caption" in text.get("class", "")]
        step = trace.steps[min(place, count - 1)]
        assert captions[0].startswith(f"{min(place + 1, count)}/{count}  {step.name} ")
        assert " ".join(captions).split(" = ")[-1].split()[0] == shown(step.value)


def test_an_adjoint_lights_the_edge_it_arrives_on() -> None:
    trace = trace_of()
    svg = animated_svg(trace)
    nodes, count = list(trace.graph.nodes), len(trace.steps)
    for place, step in enumerate(trace.steps):
        lit = [
            (nodes[int(group.get("data-tail", ""))], nodes[int(group.get("data-head", ""))])
            for group in played(svg, place, count + 3).iter(f"{SVG}g")
            if "data-tail" in group.attrib and any(one.get("lit") for one in group)
        ]  # fmt: skip
        assert lit == ([(step.node, step.child)] if step.child is not None else [])


def test_without_motion_the_last_step_is_shown() -> None:
    trace = trace_of()
    svg = animated_svg(trace)
    style = re.search(r"<style>(.*?)</style>", svg, re.DOTALL)[1]  # type: ignore[index]
    before, inside = style.split("@media screen and (prefers-reduced-motion: no-preference)")
    assert "animation" not in before and "@keyframes" in inside
    root = ElementTree.fromstring(svg)
    still = {text.text for text in root.iter(f"{SVG}text") if "past" not in text.get("class", "")}
    assert {shown(step.value) for step in trace.steps[-2:]} <= still


def test_the_svg_holds_nothing_from_elsewhere() -> None:
    svg = animated_svg(trace_of())
    root = ElementTree.fromstring(svg)
    assert not {element.tag for element in root.iter()} & {f"{SVG}script", f"{SVG}image", f"{SVG}a", f"{SVG}use", f"{SVG}foreignObject"}
    assert set(re.findall(r"https?://[^\"]+", svg)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert root.get("role") == "img" and "reverse sweep in 16 steps" in root.get("aria-label", "")
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_gif(mode: str, can_draw: Callable[[str], None]) -> None:
    can_draw("png")
    image_module = pytest.importorskip("PIL.Image")
    trace = trace_of(mode)
    with image_module.open(io.BytesIO(gif(trace, seconds=0.5))) as image:
        assert image.n_frames == len(trace.steps)
        durations, pictures = [], []
        for frame in range(image.n_frames):
            image.seek(frame)
            durations.append(image.info["duration"])
            pictures.append(np.array(image.convert("RGB")).astype(int))
    assert durations == [500] * (len(trace.steps) - 1) + [2000]
    changed = [np.mean(np.any(abs(a - b) > 40, axis=2)) for a, b in pairwise(pictures)]
    assert min(changed) > 0 and max(changed) < 0.08  # something moves, and the layout does not


def test_frames_of_the_gif_stand_on_one_layout() -> None:
    sweep = exports._sweep(trace_of())
    stage = exports._Stage(sweep, exports.palette("light"))
    layouts = set()
    for place in (0, 8, 15):
        svg = exports.render(stage.dot(place), "svg").decode()
        layouts.add(tuple(re.findall(r' points="([^"]+)"', svg)))
    assert len(layouts) == 1


def test_png_frames_differ_and_have_one_size(can_draw: Callable[[str], None]) -> None:
    can_draw("png")
    frames = [frame_png(trace_of(), step) for step in (1, 9, -1)]
    assert all(frame.startswith(b"\x89PNG") for frame in frames)
    assert len(set(frames)) == 3 and len({frame[16:24] for frame in frames}) == 1


@pytest.mark.parametrize("mode", ["primal", "forward", "reverse"])
def test_tikz_says_what_is_known(mode: str) -> None:
    trace = trace_of(mode)
    for number in (1, 6, -1):
        text = frame_tikz(trace, number)
        place = number - 1 if number > 0 else len(trace.steps) + number
        last = {(step.node, step.phase == "primal"): step for step in trace.steps[: place + 1]}
        lines = [line for line in text.splitlines() if line.startswith("  \\node[") and "anchor" not in line]
        assert len(lines) == len(trace.graph.nodes)
        for line in lines:
            node = next(one for one in trace.graph.nodes if f"{{${exports.latex_name(trace.name(one))}" in line)
            value, derivative = last.get((node, True)), last.get((node, False))
            assert (f"= {shown(value.value)}$" if value else "= -$") in line
            if mode != "primal":
                accent = rf"\{'dot' if mode == 'forward' else 'bar'}{{{trace.name(node)[0]}}}"
                assert accent in line and line.rstrip("};").endswith(f"= {shown(derivative.value) if derivative else '-'}$")
            assert (", current," in line) == (trace.steps[place].node is node)
        assert text.count("\\path[flow]") == 8
        balanced(text)


def balanced(text: str) -> None:
    """What TeX would refuse at once: braces, dollars, commands that no package here defines."""
    depth = 0
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        assert depth >= 0
    assert depth == 0 and text.isascii()
    for line in text.splitlines():
        assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0
    assert text.count("\\begin{") == text.count("\\end{")


def test_tikz_compiles_where_there_is_a_tex(tmp_path: Path) -> None:
    program = shutil.which("pdflatex") or shutil.which("lualatex") or shutil.which("tectonic")
    if program is None:
        pytest.skip("there is no TeX on this machine")
    x = cg.variable(np.ones((2, 2)), name="a_b^c {\\} é 値")
    save(cg.evaluate(cg.graph_of(np.sum(x @ x)), np.ones((2, 2)), mode="reverse"), tmp_path / "frame.tex")
    options = [] if "tectonic" in program else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([program, *options, "frame.tex"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "frame.pdf").exists()


def test_hostile_names_in_every_form(can_draw: Callable[[str], None]) -> None:
    x = cg.variable(2.0, name='</style><script>"\\N{}$%_#&~^ 🎉 ' + "x" * 9000)
    trace = cg.evaluate(cg.graph_of(np.sin(x) * x), 2.0, mode="reverse")
    svg = animated_svg(trace)
    ElementTree.fromstring(svg)
    assert "<script" not in svg and svg.count("</style>") == 1
    balanced(frame_tikz(trace))
    can_draw("png")
    assert frame_png(trace).startswith(b"\x89PNG")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e-320, np.zeros((0, 3)), np.ones((40, 30)), np.array([1 + 2j])])
def test_unusual_numbers(value: Any) -> None:
    with np.errstate(all="ignore"):
        trace = cg.evaluate(lambda x: x * 2.0, value)
    ElementTree.fromstring(animated_svg(trace))
    balanced(frame_tikz(trace))


def test_degenerate_graphs() -> None:
    for function, arguments in ((lambda x: x, (1.0,)), (lambda x, y: x + 1.0, (1.0, 2.0)), (lambda x: (x, x * 2.0), (1.0,))):
        trace = cg.evaluate(function, *arguments)
        ElementTree.fromstring(animated_svg(trace))
        balanced(frame_tikz(trace))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda path: save(trace_of(), path / "x.mp4"), r"cannot save 'x.mp4': the name has to end in .svg, .gif, .png or .tex"),
        (lambda path: save(trace_of(), path / "x.svg", step=3), r"step=3: .svg shows all steps"),
        (lambda path: save(trace_of(), path / "x.png", step=0), r"step 0: the sweep has steps 1 to 16, or -1 to -16"),
        (lambda path: save(trace_of(), path / "x.tex", step=17), r"step 17: the sweep has steps 1 to 16"),
        (lambda path: save(trace_of(), path / "x.tex", step=True), r"step True"),
        (lambda path: save(trace_of(), path / "x.gif", seconds=0.0), r"seconds=0.0: a step stays from 0.02 to 60"),
        (lambda path: save(trace_of(), path / "x.svg", seconds=np.nan), r"seconds=nan"),
        (lambda path: animated_svg(trace_of(), theme="neon"), r"theme 'neon'"),
    ],
)
def test_bad_input_writes_nothing(call: Callable[[Path], Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        call(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_graph_too_large_for_a_picture_is_refused() -> None:
    def chain(x: Any) -> Any:
        for _ in range(400):
            x = np.sin(x)
        return x

    with pytest.raises(InputError, match="has 401 nodes, too many for a picture"):
        animated_svg(cg.evaluate(chain, 1.0))


def test_a_gif_without_pillow_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(exports.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "compgraph\[plot\]"'):
        save(trace_of(), tmp_path / "x.gif")
    assert not list(tmp_path.iterdir())


def test_files_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "f.svg"
    target.write_text("before")

    def broken(*_: Any) -> bytes:
        raise MissingDependencyError("no Graphviz")

    monkeypatch.setattr("viz.step_sheets.render", broken)
    with pytest.raises(MissingDependencyError):
        save(trace_of(), target)
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]
    monkeypatch.undo()
    assert save(trace_of(), target) == target and target.read_text().startswith("<svg")
    with pytest.raises(OSError, match="missing"):
        save(trace_of(), tmp_path / "missing" / "f.svg")

"""Drawings: what they say is what the engine computed, whatever users call their nodes, by either renderer."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import compgraph as cg
import viz
from compgraph.errors import InputError, MissingDependencyError
from compgraph.formulas import formula
from compgraph.literals import number
from viz import drawing as drawing_module
from viz import rendering
from viz.diagram import diagram_of, printable
from viz.themes import FONTS, THEMES

SVG = "{http://www.w3.org/2000/svg}"
HAS_PYGRAPHVIZ = importlib.util.find_spec("pygraphviz") is not None
needs_renderer = pytest.mark.skipif(not (shutil.which("dot") or HAS_PYGRAPHVIZ), reason="neither dot nor pygraphviz is installed")


def textbook(x1: cg.Node, x2: cg.Node) -> cg.Node:
    ratio = x1 / x2
    return (np.exp(ratio) + ratio) * (ratio - np.log(x2))


@pytest.fixture(params=["dot", "pygraphviz"])
def renderer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Each renderer in turn; without `dot` on the PATH, pygraphviz has to do it."""
    if request.param == "pygraphviz":
        if not HAS_PYGRAPHVIZ:
            pytest.skip("pygraphviz is not installed")
        monkeypatch.setenv("PATH", str(tmp_path))
    elif not shutil.which("dot"):
        pytest.skip("there is no dot on the PATH")
    return str(request.param)


@pytest.fixture
def no_renderer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "pygraphviz" else find_spec(name, *rest))


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def by_id(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    found = [(element.get("id"), element) for element in root.iter() if element.get("id")]
    assert len({name for name, _ in found}) == len(found), "an id occurs twice"
    return {str(name): element for name, element in found}


def rows(group: ElementTree.Element) -> list[str]:
    """The texts of a node or edge, one string for each line that stands at its own height."""
    lines: dict[str, str] = {}
    for text in group.iter(f"{SVG}text"):
        lines[str(text.get("y"))] = lines.get(str(text.get("y")), "") + "".join(text.itertext())
    return [line.replace("\xa0", " ").strip() for line in lines.values()]


def hues(text: str) -> Iterator[str]:
    return (found.lower() for found in re.findall(r"#[0-9a-fA-F]{6}\b", text))


# --------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize("mode", ["primal", "forward", "reverse"])
def test_each_node_shows_what_was_computed_and_nothing_else(renderer: str, mode: str) -> None:
    graph = cg.trace(textbook, 0.5, 1.0)
    trace = cg.evaluate(graph, x1=0.5, x2=1.0, mode=mode)
    groups = by_id(parsed(viz.draw(trace).svg))
    for node in graph.nodes:
        name, value = graph.names[node], number(trace.values[node])
        expected = [f"{name} = {value}"]
        if node.primitive is not None:
            expected = [f"{name} = {formula(node, graph.names.__getitem__)}", f"= {value}"]
        if mode == "forward":
            expected.append(f"{name}_dot = {number(trace.tangents[node])}")
        if mode == "reverse":
            expected.append(f"{name}_bar = {number(trace.adjoints[node])}")
        assert rows(groups[f"node-{name}"]) == expected


@needs_renderer
def test_the_numbers_of_the_textbook_example_are_in_the_picture() -> None:
    graph = cg.trace(textbook, 0.5, 1.0)
    svg = viz.draw(cg.evaluate(graph, 0.5, 1.0, mode="reverse")).svg
    for shown in ("1.074361", "3.473082", "-3.885262"):
        assert f">{shown}<" in svg


def test_a_graph_without_values_shows_formulas_and_shapes() -> None:
    graph = cg.trace(lambda x: np.sum(np.sin(x)), np.zeros((2, 3)))
    x, v1, v2 = diagram_of(graph).boxes
    assert [line[1:] for line in x.lines] == [("x", ""), ("shape (2, 3)", "")]
    assert [line[1:] for line in v1.lines] == [("v1", "sin(x)"), ("shape (2, 3)", "")]
    assert [line[1:] for line in v2.lines] == [("v2", "sum(v1)")]


def test_an_eager_node_shows_values_and_grad_only_where_there_is_one() -> None:
    x1, x2 = cg.variable(0.5, name="x1"), cg.variable(1.0, name="x2")
    y = textbook(x1, x2)
    before = diagram_of(y)
    assert not [line for box in before.boxes for line in box.lines if line.role in ("tangent", "adjoint")]
    y.backward()
    adjoints = {box.id: line.right for box in diagram_of(y).boxes for line in box.lines if line.role == "adjoint"}
    assert adjoints == {"node-x1": number(x1.grad), "node-x2": number(x2.grad)}


def test_what_was_not_computed_is_left_out_and_never_zero() -> None:
    graph = cg.trace(lambda x, count: x * 2.0, 3.0, np.array(4))
    trace = cg.evaluate(graph, 3.0, np.array(4), mode="reverse")
    count = next(box for box in diagram_of(trace).boxes if box.id == "node-count")
    assert graph.inputs[1] not in trace.adjoints
    assert [line.role for line in count.lines] == ["primal"]


def test_kinds_differ_in_shape_and_colour() -> None:
    captured = cg.variable(3.0, name="w")
    graph = cg.trace(lambda x: np.sin(x) * captured + cg.constant(2.0, name="two"), 1.0)
    dot = viz.draw(graph).dot
    kinds = {}
    for line in dot.splitlines():
        found = re.match(r' +"node-(\w+)" \[.*?class="([a-z ]+)"(.*?) label=', line)
        if found:
            outline = tuple(re.findall(r'style="[^"]*"|peripheries=\d', found[3]))
            kinds[found[1]] = (found[2], outline, tuple(hues(found[3])))
    assert {name: kind for name, (kind, _, _) in kinds.items()} == {
        "w": "variable", "x": "input", "v1": "operation", "v2": "operation", "two": "constant", "v3": "operation output",
    }  # fmt: skip
    shapes = {name: kinds[name][1] for name in ("w", "x", "v1", "two", "v3")}
    assert len(set(shapes.values())) == 5
    colours = {name: kinds[name][2] for name in ("x", "v1", "two", "v3")}
    assert len(set(colours.values())) == 4


def test_nodes_of_a_derivative_graph_say_what_they_are() -> None:
    graph = cg.reverse(cg.trace(lambda x1, x2: x1 * np.sin(x2), 2.0, 0.0))
    boxes = {box.id: box for box in diagram_of(graph).boxes}
    assert boxes["node-x1_bar"].derivative == "bar" and "the adjoint of x1" in boxes["node-x1_bar"].title
    assert boxes["node-v1"].derivative == ""
    assert 'class="input adjoint"' in viz.draw(graph).dot and 'class="operation output adjoint"' in viz.draw(graph).dot


def test_large_arrays_are_summarised() -> None:
    x = cg.variable(np.arange(10_000.0).reshape(100, 100), name="x")
    (line,) = diagram_of(x).boxes[0].lines
    assert line.right == number(x.value) and line.right.endswith("(100, 100)") and len(line.right) < 60
    assert len(viz.draw(np.sum(x)).dot) < 4000


# ------------------------------------------------------------------------------------ local partials


@needs_renderer
def test_edges_show_the_local_partial_in_symbols_and_as_a_number() -> None:
    graph = cg.trace(textbook, 0.5, 1.0)
    trace = cg.evaluate(graph, 0.5, 1.0, mode="reverse")
    groups = by_id(parsed(viz.draw(trace, partials=True).svg))
    shown = 0
    for node in graph.nodes:
        for index, arg in enumerate(node.args):
            names = graph.names[arg], graph.names[node]
            text, value = trace.partial_text(node, index), number(trace.partials[node, index])
            expected = [f"∂{names[1]}/∂{names[0]} = {text}"] + ([f"= {value}"] if value != text else [])
            assert rows(groups[f"edge-{names[0]}-{names[1]}-{index}"]) == expected
            shown += 1
    assert shown == 10
    assert "∂" not in viz.draw(trace).dot


def test_partials_without_values_are_symbolic_and_other_primitives_have_none() -> None:
    graph = cg.trace(lambda x: np.sum(x * x), np.zeros(3))
    labels = {arrow.id: arrow.label for arrow in diagram_of(graph, partials=True).arrows}
    assert labels == {"edge-x-v1-0": ("∂v1/∂x = x",), "edge-x-v1-1": ("∂v1/∂x = x",), "edge-v1-v2-0": ()}


def test_an_infinite_partial_is_shown_without_a_warning() -> None:
    y = np.sqrt(cg.variable(0.0, name="x"))
    assert diagram_of(y, partials=True).arrows[0].label[1] == "inf"


# ------------------------------------------------------------------------------------ ids and titles


def test_ids_are_unique_and_stable(renderer: str) -> None:
    graph = cg.trace(lambda x, y: x * x + y, 1.0, 2.0)
    first, second = (by_id(parsed(viz.draw(graph, theme=theme, direction="TB").svg)) for theme in ("light", "dark"))
    named = {name for name in first if name.startswith(("node", "edge"))}
    assert named == {"node-x", "node-y", "node-v1", "node-v2", "edge-x-v1-0", "edge-x-v1-1", "edge-v1-v2-0", "edge-y-v2-1"}
    assert set(first) == set(second)


@needs_renderer
def test_titles_say_in_words_what_is_drawn() -> None:
    graph = cg.trace(lambda x1, x2: x1 / x2, 1.0, 2.0)
    root = parsed(viz.draw(cg.evaluate(graph, 1.0, 2.0, mode="forward")).svg)
    groups = by_id(root)
    titles = {name: group.findtext(f"{SVG}title") for name, group in groups.items()}
    assert titles["node-x1"] == "input: x1 = 1; x1_dot = 1"
    assert titles["node-v1"] == "operation, output: v1 = x1 / x2; v1 = 0.5; v1_dot = 0.5"
    assert titles["edge-x2-v1-1"] == "x2 is argument 1 of v1"
    assert root.get("role") == "img" and "f" in str(root.get("aria-label"))


# ---------------------------------------------------------------------------------------------- themes


def test_within_a_theme_no_two_roles_share_a_colour() -> None:
    for palette in THEMES.values():
        assert len(set(palette.values())) == len(palette)
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in palette.values())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(theme: str) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    palette = THEMES[theme]
    for text in ("ink", "muted", "tangent", "adjoint"):
        for ground in ("paper", "operation", "input", "output", "constant", "scope", "frame"):
            high, low = sorted((luminance(palette[text]), luminance(palette[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (theme, text, ground)


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_every_colour_of_an_svg_is_a_variable(renderer: str, theme: str) -> None:
    captured = cg.variable(3.0, name="w")

    def f(x: cg.Node) -> cg.Node:
        with cg.scope("layer"):
            y = np.sin(x) * captured
        return y + cg.constant(2.0)

    graph = cg.reverse(cg.trace(f, 1.0))
    root = parsed(viz.draw(graph, theme=theme, partials=True).svg)
    assert root.get("class") == f"compgraph compgraph-{theme}"
    (style,) = root.iter(f"{SVG}style")
    declared = set(re.findall(r"\.((?:fill|stroke)-[\w-]+) \{ (?:fill|stroke): var\(--cg-", style.text or ""))
    painted = 0
    for element in root.iter():
        for paint in ("fill", "stroke"):
            if element.get(paint, "none") not in ("none", "transparent"):
                (role,) = re.findall(rf"\b{paint}-[\w-]+", element.get("class", ""))
                assert role in declared
                painted += 1
    assert painted > 40
    assert all("fill-" in text.get("class", "") for text in root.iter(f"{SVG}text"))


def test_the_style_sheet_knows_both_themes_and_the_system() -> None:
    sheet = viz.themes.style_sheet()
    for theme in ("light", "dark"):
        (block,) = re.findall(rf"^svg\.compgraph-{theme}\b[^{{]*\{{(.*)\}}$", sheet, re.MULTILINE)
        assert dict(re.findall(r"--cg-([\w-]+): (#\w+);", block)) == THEMES[theme]
    assert re.search(r"@media \(prefers-color-scheme: dark\) \{ svg\.compgraph-auto \{ --cg-paper: " + THEMES["dark"]["paper"], sheet)


@pytest.mark.parametrize(("theme", "like"), [("light", "light"), ("dark", "dark"), ("auto", "light")])
def test_dot_holds_the_colours_of_its_theme_alone(theme: str, like: str) -> None:
    dot = viz.draw(cg.trace(textbook, 1.0, 2.0), theme=theme).dot
    assert set(hues(dot)) <= set(THEMES[like].values())


def test_fonts_are_monospaced_in_dot_and_style_sheet() -> None:
    assert FONTS[-1] == "monospace"
    assert f'fontname="{",".join(FONTS)}"' in viz.draw(cg.trace(textbook, 1.0, 2.0)).dot
    assert "font-family:" in viz.themes.style_sheet()


def test_text_stays_inside_its_box(renderer: str) -> None:
    """In a font whose letters are 0.602 em wide, which is what the widest of `FONTS` has."""
    graph = cg.trace(lambda x, offset: np.maximum(np.exp(x @ x), 1e-9) + offset, np.eye(3), 1.0)
    root = parsed(viz.draw(cg.evaluate(graph, np.eye(3) / 3, 0.25, mode="reverse", seed=np.eye(3))).svg)
    for group in root.iter(f"{SVG}g"):
        if not (group.get("class") or "").startswith("node "):
            continue
        outline = next(shape for shape in group if shape.tag in (f"{SVG}polygon", f"{SVG}path"))
        places = [float(pair.split(",")[0]) for pair in re.findall(r"-?[\d.]+,-?[\d.]+", outline.get("points", outline.get("d", "")))]
        for text in group.iter(f"{SVG}text"):
            start, size = float(str(text.get("x"))), float(str(text.get("font-size")))
            width = 0.602 * size * len(text.text or "")
            left = start - width / 2 if text.get("text-anchor") == "middle" else start
            assert min(places) < left and left + width < max(places)


# -------------------------------------------------------------------------------------------- escaping

HOSTILE = [
    "</text><script>alert(1)</script>", "a\"b'c", "back\\slash\\", r"\N \G \L \E \T", "new\nline\r\ttab", "emoji \N{PARTY POPPER}",
    "y" * 10_000, "<b>bold</b>", "<TABLE><TR>", "&amp;", "&#60;script&#62;", "&nosuch;", "<", ">", "]]>", "<!--", "\x00\x07\x1b", "\ud800",
    "\u202eright to left", "العربية", "漢字", "  spaces  ", "%s {0} ${x}", "node-v1", "v1", "v1_bar", "-", "é", "e\u0301", "style",
    "graph0",
]  # fmt: skip


def hostile_node() -> cg.Node:
    variables = [cg.variable(1.0 + place, name=name) for place, name in enumerate(HOSTILE)]
    y = variables[0]
    for variable in variables[1:]:
        with cg.scope(f"</g>{variable.name}"):
            y = y * variable
    y.backward()
    return y


def test_hostile_names_become_harmless_text(renderer: str) -> None:
    y = hostile_node()
    drawing = viz.draw(y, partials=True)
    root = parsed(drawing.svg)
    groups = by_id(root)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in groups)
    allowed = {f"{SVG}{tag}" for tag in ("svg", "g", "style", "title", "text", "polygon", "polyline", "path", "ellipse")}
    assert {element.tag for element in root.iter()} <= allowed
    assert {attribute for element in root.iter() for attribute in element.attrib if attribute.lower().startswith("on")} == set()
    nodes = [group for group in groups.values() if (group.get("class") or "").startswith("node ")]
    assert len(nodes) == 2 * len(HOSTILE) - 1
    firsts = {rows(group)[0] for group in nodes}
    for place, name in enumerate(HOSTILE):
        assert f"{printable(name, 24)} = {place + 1}".strip() in firsts, name


def test_hostile_scopes_become_frames_and_boxes(renderer: str) -> None:
    y = hostile_node()
    framed = parsed(viz.draw(y).svg)
    assert len([group for group in framed.iter(f"{SVG}g") if (group.get("class") or "").startswith("cluster")]) >= len(HOSTILE)
    collapsed = parsed(viz.draw(y, collapse=True).svg)
    assert not list(collapsed.iter(f"{SVG}script"))
    by_id(collapsed)


def test_dot_text_stays_printable_and_short() -> None:
    dot = viz.draw(hostile_node(), partials=True).dot
    assert all(line.isprintable() for line in dot.splitlines())
    assert max(map(len, dot.splitlines())) < 1500
    dot.encode("utf-8")


def test_a_parsed_or_named_function_may_be_called_anything() -> None:
    x = cg.variable(1.0, name="x")
    graph = cg.graph_of(x * 2, name='"]; evil [label="<script>\n')
    assert "evil" not in viz.draw(graph).dot
    assert "\n" not in repr(viz.draw(graph))


# ------------------------------------------------------------------------------------------- renderers

SIGNATURES = {".svg": b"<svg", ".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-", ".dot": b"digraph {"}


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_each_format_is_saved_whole(renderer: str, suffix: str, tmp_path: Path, can_draw: Callable[[str], None]) -> None:
    can_draw(suffix[1:])
    drawing = viz.draw(cg.trace(textbook, 0.5, 1.0))
    path = drawing.save(tmp_path / f"picture{suffix.upper() if suffix == '.png' else suffix}")
    assert path.read_bytes().startswith(SIGNATURES[suffix])
    assert list(tmp_path.iterdir()) == [path]
    assert drawing.save(str(path)) == path  # and over itself


def test_the_wheel_draws_svg_without_the_libraries_of_a_desktop() -> None:
    if not HAS_PYGRAPHVIZ:
        pytest.skip("pygraphviz is not installed")
    graph = viz.draw(cg.trace(textbook, 0.5, 1.0))
    program = f"""import sys; sys.path.insert(0, {str(rendering._WHEEL.parent)!r}); import wheel_graphviz
def draw(dot, form): raise ImportError("libX11.so.6")
wheel_graphviz.draw = draw
"""
    runs = {
        form: subprocess.run(
            [sys.executable, "-P", "-c", program + f"sys.exit(wheel_graphviz.main({form!r}))"],
            input=graph.dot.encode(), capture_output=True, check=False,
        )
        for form in ("svg", "png")
    }  # fmt: skip
    assert runs["svg"].returncode == 0, runs["svg"].stderr
    titles = {title.text for title in ElementTree.fromstring(runs["svg"].stdout).iter(f"{SVG}title")}
    assert {"node-x1", "node-v6"} <= titles
    assert runs["png"].returncode == 1 and b"SVG works without it" in runs["png"].stderr


@pytest.mark.parametrize("direction", ["LR", "TB", "RL", "BT"])
def test_edges_point_where_they_are_told(renderer: str, direction: str) -> None:
    groups = by_id(parsed(viz.draw(cg.trace(lambda x: np.sin(x), 1.0), direction=direction).svg))

    def corner(name: str) -> tuple[float, float]:
        text = next(groups[name].iter(f"{SVG}text"))
        return float(str(text.get("x"))), float(str(text.get("y")))

    (tail_x, tail_y), (head_x, head_y) = corner("node-x"), corner("node-v1")
    shift = {"LR": head_x - tail_x, "RL": tail_x - head_x, "TB": head_y - tail_y, "BT": tail_y - head_y}[direction]
    assert shift > 20


@pytest.mark.usefixtures("no_renderer")
def test_with_no_renderer_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    drawing = viz.draw(cg.trace(textbook, 0.5, 1.0))
    with pytest.raises(MissingDependencyError) as caught:
        drawing.save(tmp_path / "f.svg")
    assert 'pip install "compgraph[render]"' in str(caught.value).split("\n")[1]
    assert "apt-get install graphviz" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert drawing.save(tmp_path / "f.dot").read_text(encoding="utf-8") == drawing.dot


@pytest.mark.usefixtures("no_renderer")
def test_with_no_renderer_a_notebook_shows_the_dot_text() -> None:
    drawing = viz.draw(cg.trace(textbook, 0.5, 1.0))
    shown = drawing._repr_mimebundle_(include=None, exclude=None)
    assert set(shown) == {"text/plain"}
    assert shown["text/plain"].startswith(drawing.dot) and 'pip install "compgraph[render]"' in shown["text/plain"]


@needs_renderer
def test_a_notebook_shows_the_picture() -> None:
    drawing = viz.draw(cg.trace(textbook, 0.5, 1.0))
    assert drawing._repr_mimebundle_() == {"text/plain": "Drawing(textbook: 8 nodes, 10 edges)", "image/svg+xml": drawing.svg}


def test_a_notebook_survives_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(dot: str, form: str) -> bytes:
        raise RuntimeError("out of paper")

    monkeypatch.setattr(drawing_module, "render", broken)
    assert viz.draw(cg.trace(np.sin, 1.0))._repr_mimebundle_()["text/plain"].endswith("out of paper")


def fake_dot(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    program = folder / "dot"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.skipif(shutil.which("sh") is None, reason="the stand-in for dot is a shell script")
@pytest.mark.parametrize(
    ("script", "error", "says"),
    [
        ("echo 'Format: \"pdf\" not recognized.' >&2; exit 1", MissingDependencyError, r'cannot write PDF: Format: "pdf" not recognized\.'),
        ("kill -SEGV $$", InputError, r"too large for it.*collapse=True"),
    ],
)
def test_a_graphviz_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, error: type, says: str) -> None:
    (tmp_path / "bin").mkdir()
    fake_dot(monkeypatch, tmp_path / "bin", script)
    with pytest.raises(error, match=f"(?s){says}"):
        viz.draw(cg.trace(np.sin, 1.0)).save(tmp_path / "f.pdf")
    assert not (tmp_path / "f.pdf").exists()


def test_only_one_process_draws_an_svg(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    svg = f'<svg xmlns="{SVG[1:-1]}" width="1pt"/>'.encode()
    monkeypatch.setattr(drawing_module, "render", lambda dot, form: calls.append(form) or svg)
    drawing = viz.draw(cg.trace(np.sin, 1.0))
    assert drawing.svg is drawing.svg and drawing._repr_mimebundle_()
    assert calls == ["svg"]


# -------------------------------------------------------------------------------------------- saving


def test_a_failed_save_leaves_the_old_file_and_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "f.dot"
    path.write_text("old")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drawing_module.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*f\.dot"):
        viz.draw(cg.trace(np.sin, 1.0)).save(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere/f\.dot"):
        viz.draw(cg.trace(np.sin, 1.0)).save(tmp_path / "nowhere" / "f.dot")


@pytest.mark.parametrize("name", ["f.gif", "f", "f.svg.txt", ".svg"])
def test_an_unknown_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has to end in \.svg, \.png, \.pdf or \.dot"):
        viz.draw(cg.trace(np.sin, 1.0)).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "says"),
    [({"theme": "sepia"}, "theme 'sepia'"), ({"direction": "up"}, "direction 'up'"), ({"direction": "LR]; evil"}, "direction")],
)
def test_unknown_options_are_refused(options: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        viz.draw(cg.trace(np.sin, 1.0), **options)


@pytest.mark.parametrize("subject", [3.0, np.ones(3), None, textbook])
def test_what_cannot_be_drawn_is_named(subject: object) -> None:
    with pytest.raises(InputError, match=f"not {type(subject).__name__}"):
        viz.draw(subject)  # type: ignore[arg-type]


def test_the_install_line_is_the_one_of_the_readme() -> None:
    assert rendering.INSTALL == 'pip install "compgraph[render]"'

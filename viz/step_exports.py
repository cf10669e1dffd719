r"""A sweep for slides and papers: an SVG or a GIF that moves, a frame as PNG, and a frame as TikZ.

    >>> import numpy as np, compgraph as cg
    >>> trace = cg.evaluate(cg.parse("log(x1) * x2"), 2.0, 5.0, mode="reverse")
    >>> svg = animated_svg(trace)
    >>> svg.count("@keyframes") > 8, "<script" in svg
    (True, False)

The graph is laid out once, and frames differ in what they say and never in where it stands. All the numbers are those of
the steps that `cg.evaluate` made.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import compgraph as cg
from compgraph.errors import MissingDependencyError
from compgraph.evaluation import NOT_COMPUTED
from compgraph.graph import Node
from compgraph.latex import latex_name, latex_number
from compgraph.literals import number
from compgraph.whole_files import write_whole
from viz.diagram import Box, Diagram, diagram_of, printable
from viz.dot import dot_text, escaped
from viz.mathml import formulas_of
from viz.rendering import render
from viz.step_frames import Frames, Track, own_rule, shown
from viz.step_sheets import Texts, sheets_of, texts_of
from viz.terminal import Stepped, frames_and_sweep
from viz.themes import palette, style_sheet

MOST_FRAMES = 300
_REST = 3  # how many steps' time the last frame stays
_LINE = 100  # characters of an equation
_SVG = "{http://www.w3.org/2000/svg}"


def save(subject: Stepped | cg.EvaluationTrace, path: str | os.PathLike[str], *, step: int | None = None, seconds: float = 1.0) -> Path:
    """Write a sweep (.svg and .gif move), or one frame of it (.png, .tex), in the format that the suffix names.

    `subject` is a stepper, of which it is the sweep that it shows first, or an evaluation trace. `step` is the number of
    the step, from 1, or from -1 backwards; the last by default. `seconds` is how long a step stays. The file appears whole
    or not at all. Raises `InputError` for what cannot be, and `MissingDependencyError` where Graphviz or, for a GIF, Pillow
    is not installed.
    """
    path = Path(path)
    form = path.suffix.lower()
    if form not in (".svg", ".gif", ".png", ".tex"):
        raise cg.InputError(f"cannot save {path.name!r}: the name has to end in .svg, .gif, .png or .tex")
    if step is not None and form in (".svg", ".gif"):
        raise cg.InputError(f"step={step!r}: {form} shows all steps; one frame is saved as .png or .tex")
    if form == ".svg":
        content = animated_svg(subject, seconds=seconds).encode()
    elif form == ".gif":
        content = gif(subject, seconds=seconds)
    else:
        content = frame_png(subject, step) if form == ".png" else frame_tikz(subject, step).encode()
    return write_whole(path, content)


class Sweep(NamedTuple):
    """A sweep to export: its steps, and what each of them changes."""

    frames: Frames
    track: Track
    steps: tuple[cg.Step, ...]
    direction: str

    @property
    def suffix(self) -> str:
        return {"forward": "dot", "reverse": "bar"}.get(self.track.mode, "")

    def changes(self, node: Node, derivative: bool) -> list[tuple[int, str]]:
        """When what is known of a node changes, and to what: a dash before anything is computed."""
        changes = [(0, NOT_COMPUTED)]
        changes += [
            (place, shown(step.value))
            for place, step in enumerate(self.steps) if step.node is node and (step.phase != "primal") == derivative
        ]  # fmt: skip
        return changes if len(changes) == 1 or changes[1][0] > 0 else changes[1:]

    def known(self, place: int) -> tuple[dict[Node, cg.Step], dict[Node, cg.Step]]:
        """The last step of each value and of each derivative, up to one place."""
        values: dict[Node, cg.Step] = {}
        derivatives: dict[Node, cg.Step] = {}
        for step in self.steps[: place + 1]:
            (values if step.phase == "primal" else derivatives)[step.node] = step
        return values, derivatives

    def caption(self, place: int) -> list[str]:
        """A step in two lines: its number and rule, and its numbers."""
        step = self.steps[place]
        value = number(step.value)
        rule = own_rule(step) if step.rule not in ("", "seed") else f"{value} (seed)" if step.rule else value
        first = f"{place + 1}/{len(self.steps)}  {step.name} {'=' if step.before is None else '+='} {rule}"
        numbers = dict.fromkeys(text for text in (step.numbers, value) if text and text not in (step.rule, rule.removesuffix(" (seed)")))
        return [printable(first, _LINE), printable("= " + " = ".join(numbers), _LINE) if numbers else ""]

    def texts(self) -> dict[Node, Texts]:
        """What the boxes have to have room for."""
        texts = {node: [[text for _, text in self.changes(node, late)] for late in (False, True)] for node in self.frames.graph.nodes}
        return {node: texts_of("", values, derivatives if self.suffix else []) for node, (values, derivatives) in texts.items()}

    def place(self, step: int | None) -> int:
        count = len(self.steps)
        wanted = count if step is None else step
        if type(wanted) is not int or not (1 <= wanted <= count or -count <= wanted <= -1):
            raise cg.InputError(f"step {step!r}: the sweep has steps 1 to {count}, or -1 to {-count} from its end")
        return wanted - 1 if wanted > 0 else count + wanted


def _sweep(subject: Stepped | cg.EvaluationTrace) -> Sweep:
    frames, place = frames_and_sweep(subject)
    track = frames.tracks[place]
    if len(frames.graph.nodes) > MOST_FRAMES:
        raise cg.InputError(
            f"{printable(frames.graph.name, 40)} has {len(frames.graph.nodes)} nodes, too many for a picture of {MOST_FRAMES} at most: "
            "save the page, whose scopes open and close, or take a part of the graph"
        )
    return Sweep(frames, track, tuple(frames.steps[one] for one in track.steps), getattr(subject, "direction", "LR"))


def _pace(seconds: float) -> float:
    if not isinstance(seconds, (int, float)) or not 0.02 <= seconds <= 60:
        raise cg.InputError(f"seconds={seconds!r}: a step stays from 0.02 to 60 seconds")
    return float(seconds)


# ------------------------------------------------------------------------------------- animated SVG


def animated_svg(subject: Stepped | cg.EvaluationTrace, *, seconds: float = 1.0, theme: str = "auto") -> str:
    """The sweep as one SVG that moves by CSS alone, for a slide or an `<img>`.

    Where the reader's system asks for reduced motion, and on paper, it stands still and shows the last step. The current
    node has a thick outline, and so has the edge on which an adjoint arrives.
    """
    palette(theme)
    pace = _pace(seconds)
    sweep = _sweep(subject)
    graph, count = sweep.frames.graph, len(sweep.steps)
    root = ElementTree.fromstring(sheets_of(graph, sweep.texts(), "s", sweep.direction)[0].svg)
    film = _Film(count, pace)
    places = {str(place): node for place, node in enumerate(graph.nodes)}
    for element in list(root.iter(f"{_SVG}g")):
        node = places.get(element.get("data-node", ""))
        if node is not None:
            _animate_node(element, sweep, node, film)
        elif "data-tail" in element.attrib and sweep.track.mode == "reverse":
            tail, head = (places[element.get(end, "")] for end in ("data-tail", "data-head"))
            film.light(element, [place for place, step in enumerate(sweep.steps) if step.node is tail and step.child is head])
    _add_captions(root, sweep, film)
    root.set("class", f"compgraph compgraph-{theme}")
    root.set("role", "img")
    root.set("aria-label", f"{printable(graph.name, 40)}, {sweep.track.mode} sweep in {count} steps")
    style = ElementTree.Element(f"{_SVG}style")
    style.text = f"\n{style_sheet()}\n{_STILL}\n{film.style()}\n"
    root.insert(0, style)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


_STILL = """\
svg.compgraph text { font-size: 11px; white-space: pre; }
svg.compgraph .scope > text { font-size: 10px; }
svg.compgraph :is(path, polygon):not([class*="fill-"]) { fill: none; }
svg.compgraph .caption { font-size: 12px; }
svg.compgraph .past { visibility: hidden; }"""


class _Film:
    """Collects what is seen when, and writes it as keyframes. Each keyframe holds until the next, so nothing is between."""

    def __init__(self, count: int, pace: float) -> None:
        self.slots = count + _REST
        self.count = count
        self.seconds = self.slots * pace
        self.rules: dict[str, list[tuple[int, str]]] = {}

    def show(self, element: ElementTree.Element, begin: int, end: int) -> None:
        """Seen from one slot up to another; what is seen at the end is also what is seen without motion."""
        if end < self.count:
            _add_class(element, "past")
        if (begin, end) != (0, self.count):
            hidden = [(0, "visibility: hidden")] if begin else []
            gone = [(end, "visibility: hidden")] if end < self.count else []
            self._play(element, f"s{begin}-{end}", [*hidden, (begin, "visibility: visible"), *gone])

    def light(self, group: ElementTree.Element, slots: Sequence[int]) -> None:
        """A thick outline in these slots, for all shapes of a group."""
        if not slots:
            return
        frames = [(0, "stroke-width: 1")]
        for slot in slots:
            if frames[-1][0] == slot:
                frames.pop()
            frames += [(slot, "stroke-width: 3.5"), (slot + 1 if slot + 1 < self.count else self.slots, "stroke-width: 1")]
        for shape in group:
            if shape.tag in (f"{_SVG}path", f"{_SVG}polygon"):
                self._play(shape, "l" + "-".join(map(str, slots)), [frame for frame in frames if frame[0] < self.slots])

    def _play(self, element: ElementTree.Element, name: str, frames: list[tuple[int, str]]) -> None:
        self.rules[name] = frames
        _add_class(element, name)

    def style(self) -> str:
        """The keyframes, for readers who have not asked for reduced motion."""
        lines = []
        for name, frames in self.rules.items():
            steps = " ".join(f"{100 * slot / self.slots:.4g}% {{ {what} }}" for slot, what in [*frames, (self.slots, frames[-1][1])])
            lines.append(f"@keyframes {name} {{ {steps} }} .{name} {{ animation: {name} {self.seconds:g}s step-end infinite; }}")
        body = "\n".join(lines)
        return f"@media screen and (prefers-reduced-motion: no-preference) {{\n{body}\n}}"


def _add_class(element: ElementTree.Element, name: str) -> None:
    element.set("class", f"{element.get('class', '')} {name}".strip())


def _animate_node(group: ElementTree.Element, sweep: Sweep, node: Node, film: _Film) -> None:
    for text in list(group.iter(f"{_SVG}text")):
        classes = text.get("class", "").split()
        if sweep.suffix == "dot" and "fill-adjoint" in classes:
            text.set("class", " ".join("fill-tangent" if name == "fill-adjoint" else name for name in classes))
        if "shows-name" in classes and text.text:
            text.text = f"{text.text[:-3]}{sweep.suffix}"
        for late, word in enumerate(("value", "derivative")):
            if f"shows-{word}" in classes:
                _change_text(group, text, sweep.changes(node, bool(late)), film)
    film.light(group, [place for place, step in enumerate(sweep.steps) if step.node is node])


def _change_text(group: ElementTree.Element, text: ElementTree.Element, changes: list[tuple[int, str]], film: _Film) -> None:
    """One text for each thing that is said in this place, one after the other."""
    most = int(text.attrib.pop("data-room", "60"))
    at = list(group).index(text)
    ends = [begin for begin, _ in changes[1:]] + [film.count]
    group.remove(text)
    for (begin, words), end in zip(changes, ends, strict=True):
        one = ElementTree.Element(text.tag, text.attrib)
        one.text = printable(words, most)
        film.show(one, begin, end)
        group.insert(at, one)
        at += 1


def _add_captions(root: ElementTree.Element, sweep: Sweep, film: _Film) -> None:
    """The equation of each step below the picture, on two lines."""
    captions = [sweep.caption(place) for place in range(len(sweep.steps))]
    left, top, width, height = map(float, root.get("viewBox", "0 0 400 300").split())
    wide = max(width, 26 + 7.3 * max(len(line) for lines in captions for line in lines))
    root.set("viewBox", f"{left:g} {top:g} {wide:g} {height + 48:g}")
    root.set("width", f"{wide:g}pt")
    root.set("height", f"{height + 48:g}pt")
    ground = {"x": f"{left:g}", "y": f"{top:g}", "width": f"{wide:g}", "height": f"{height + 48:g}", "class": "fill-paper"}
    root.insert(0, ElementTree.Element(f"{_SVG}rect", ground))
    for place, lines in enumerate(captions):
        end = place + 1
        group = ElementTree.SubElement(root, f"{_SVG}g")
        for row, line in enumerate(lines):
            where = {"x": f"{left + 13:g}", "y": f"{top + height + 12 + 18 * row:g}", "class": "caption fill-ink"}
            ElementTree.SubElement(group, f"{_SVG}text", where).text = line
        film.show(group, place, end)


# --------------------------------------------------------------------------------------- PNG and GIF


def frame_png(subject: Stepped | cg.EvaluationTrace, step: int | None = None, *, theme: str = "light") -> bytes:
    """One frame as PNG, by Graphviz; `step` counts from 1, or from -1 backwards."""
    colours = palette(theme)
    sweep = _sweep(subject)
    return render(_Stage(sweep, colours).dot(sweep.place(step)), "png")


def gif(subject: Stepped | cg.EvaluationTrace, *, seconds: float = 1.0, theme: str = "light") -> bytes:
    """The sweep as an endless GIF that rests at its last step. It needs Pillow, which `pip install "compgraph[plot]"` brings."""
    colours = palette(theme)
    pace = _pace(seconds)
    if importlib.util.find_spec("PIL") is None:
        raise MissingDependencyError('a GIF needs Pillow: pip install "compgraph[plot]". An animated SVG does not: save it as .svg')
    from PIL import Image

    sweep = _sweep(subject)
    if len(sweep.steps) > MOST_FRAMES:
        raise cg.InputError(f"a GIF of {len(sweep.steps)} frames is too long (the limit is {MOST_FRAMES}): save an .svg, or the page")
    stage = _Stage(sweep, colours)
    with ThreadPoolExecutor(4) as workers:  # Graphviz is a program of its own
        pictures = list(workers.map(lambda place: render(stage.dot(place, dpi=96), "png"), range(len(sweep.steps))))
    images = []
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as image:
            images.append(image.convert("RGB"))
    size = max(image.width for image in images), max(image.height for image in images)
    images = [_on_ground(image, size, colours["paper"]) for image in images]
    # One palette for all, from the first and the last, which have between them every colour: frames then differ little.
    both = Image.new("RGB", (size[0], 2 * size[1]))
    both.paste(images[0])
    both.paste(images[-1], (0, size[1]))
    colour_table = both.quantize(128)
    images = [image.quantize(palette=colour_table, dither=Image.Dither.NONE) for image in images]
    durations = [round(1000 * pace)] * (len(images) - 1) + [round(1000 * pace * (_REST + 1))]
    with io.BytesIO() as file:
        images[0].save(file, format="gif", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False)
        return file.getvalue()


def _on_ground(image: Any, size: tuple[int, int], colour: str) -> Any:
    if image.size == size:
        return image
    from PIL import Image

    ground = Image.new("RGB", size, colour)
    ground.paste(image)
    return ground


class _Stage:
    """Frames as DOT: all texts are filled up to the length they will have, so that Graphviz finds the same layout each time."""

    def __init__(self, sweep: Sweep, colours: dict[str, str]) -> None:
        self.sweep = sweep
        self.colours = colours
        graph = sweep.frames.graph
        last = cg.EvaluationTrace(graph, "primal", {})
        values, derivatives = sweep.known(len(sweep.steps) - 1)
        last.values = {node: step.value for node, step in values.items()}
        computed = {node: step.value for node, step in derivatives.items()}
        last.tangents, last.adjoints = (computed, {}) if sweep.suffix == "dot" else ({}, computed)
        self.diagram: Diagram = diagram_of(last, collapse=False, force=True)
        self.boxes: dict[Node, Box] = dict(zip(graph.nodes, self.diagram.boxes, strict=True))
        self.captions = [sweep.caption(place) for place in range(len(sweep.steps))]

    def dot(self, place: int, dpi: int = 0) -> str:
        values, derivatives = self.sweep.known(place)
        boxes = tuple(self._box(node, box, values, derivatives) for node, box in self.boxes.items())
        text = dot_text(self.diagram._replace(boxes=boxes), self.colours, self.sweep.direction)
        width = max(len(line) for lines in self.captions for line in lines)
        caption = "<BR ALIGN='LEFT'/>".join(_dot_text(line.ljust(width)) for line in self.captions[place])
        ink = self.colours["ink"]
        extra = [f"graph [labelloc=b labeljust=l fontsize=12 fontcolor=\"{ink}\" label=<{caption}<BR ALIGN='LEFT'/>>]"]
        extra.append(f'"{self.boxes[self.sweep.steps[place].node].id}" [penwidth=3 color="{ink}"]')
        extra += [f"graph [dpi={dpi}]"] * bool(dpi)
        return text[: text.rindex("}")] + "".join(f"  {line}\n" for line in extra) + "}\n"

    def _box(self, node: Node, box: Box, values: dict[Node, cg.Step], derivatives: dict[Node, cg.Step]) -> Box:
        lines = []
        for place, line in enumerate(box.lines):
            known = values if line.role == "primal" else derivatives
            has_value = line.right and (line.role != "primal" or place > 0 or node.primitive is None or box.kind == "constant")
            if has_value:
                most = max(len(text) for _, text in self.sweep.changes(node, line.role != "primal"))
                text = shown(known[node].value) if node in known else NOT_COMPUTED
                line = line._replace(right=text.ljust(max(most, len(line.right))).replace(" ", "\u00a0"))
            lines.append(line)
        return box._replace(lines=tuple(lines))


def _dot_text(text: str) -> str:
    return escaped(text.replace(" ", "\u00a0"))


# --------------------------------------------------------------------------------------------- TikZ


def frame_tikz(subject: Stepped | cg.EvaluationTrace, step: int | None = None) -> str:
    """One frame as a LaTeX document of its own, which `pdflatex` compiles; its `tikzpicture` may be copied into another.

    The boxes stand where Graphviz put them. Values are in roman, adjoints and tangents below them with a bar or a dot.
    """
    sweep = _sweep(subject)
    place = sweep.place(step)
    graph = sweep.frames.graph
    values, derivatives = sweep.known(place)
    root = ElementTree.fromstring(sheets_of(graph, sweep.texts(), "s", sweep.direction)[0].svg)
    names = {str(one): node for one, node in enumerate(graph.nodes)}
    lit = sweep.steps[place]
    nodes, edges = [], []
    for element in root.iter(f"{_SVG}g"):
        node = names.get(element.get("data-node", ""))
        if node is not None:
            nodes.append(_tikz_node(element, sweep, node, values.get(node), derivatives.get(node), current=node is lit.node))
        elif "data-tail" in element.attrib:
            edges += _tikz_edges(element)
    equation = " ".join(latex for _, latex, _ in formulas_of(lit))
    caption = rf"\node[anchor=north west, font=\small] at (0, -10) {{${_plain(equation)}$}};"
    lines = "\n".join(f"  {line}" for line in [*edges, *nodes, caption])
    return f"{_PREAMBLE}\\begin{{tikzpicture}}[x=1bp, y=1bp]\n{lines}\n\\end{{tikzpicture}}\n\\end{{document}}\n"


_PREAMBLE = r"""\documentclass[border=4pt]{standalone}
\usepackage{amsmath}
\usepackage{tikz}
\tikzset{
  operation/.style={draw, rectangle, align=left, font=\scriptsize, inner sep=2pt},
  input/.style={operation, rounded corners=4pt},
  output/.style={operation, double},
  constant/.style={operation, dashed},
  current/.style={line width=1.6pt},
  flow/.style={draw, ->},
}
\begin{document}
"""


def _tikz_node(
    element: ElementTree.Element, sweep: Sweep, node: Node, value: cg.Step | None, derivative: cg.Step | None, *, current: bool
) -> str:  # fmt: skip
    name = sweep.frames.graph.names[node]
    xs, ys = zip(*_points(next(one for one in element if one.tag in (f"{_SVG}path", f"{_SVG}polygon"))), strict=True)
    kind = "output" if node in sweep.frames.graph.outputs else "input" if node.primitive is None else "operation"
    kind = "constant" if node.primitive is not None and node.primitive.name == "constant" else kind
    style = f"{kind}, current" if current else kind
    rule = next((step.rule_latex for step in sweep.steps if step.node is node and step.phase == "primal"), "")
    lines = [latex_name(name) + (f" = {rule}" if rule and kind != "constant" else "")]
    lines.append(f"= {latex_number(value.value)}" if value is not None else "= -")
    if sweep.suffix and node.dtype.kind in "fc":
        lines.append(f"{latex_name(f'{name}_{sweep.suffix}')} = {latex_number(derivative.value) if derivative is not None else '-'}")
    text = r"\\ ".join(f"${_plain(line)}$" for line in lines)
    size = f"minimum width={max(xs) - min(xs):g}bp, minimum height={max(ys) - min(ys):g}bp"
    return rf"\node[{style}, {size}] at ({(min(xs) + max(xs)) / 2:g}, {-(min(ys) + max(ys)) / 2:g}) {{{text}}};"


def _points(shape: ElementTree.Element) -> Iterator[tuple[float, float]]:
    numbers = [float(text) for text in re.findall(r"-?\d+(?:\.\d+)?", shape.get("d") or shape.get("points") or "")]
    return zip(numbers[::2], numbers[1::2], strict=True)


def _tikz_edges(element: ElementTree.Element) -> list[str]:
    """The cubic curves of an edge, the last of them with the arrow."""
    path = element.find(f"{_SVG}path")
    if path is None:
        return []
    points = [f"({x:g}, {-y:g})" for x, y in _points(path)]
    curve = "".join(f" .. controls {a} and {b} .. {c}" for a, b, c in zip(points[1::3], points[2::3], points[3::3], strict=True))
    head = element.find(f"{_SVG}polygon")
    tip = "" if head is None else "".join(f" -- ({x:g}, {-y:g})" for x, y in list(_points(head))[1:2])
    return [rf"\path[flow] {points[0]}{curve}{tip};"]


def _plain(latex: str) -> str:
    """LaTeX for any engine: letters that pdflatex lacks in mathematics lose their accents, or become a question mark."""
    swapped = latex.replace("…", r"\dots ").replace(NOT_COMPUTED, "-")
    ascii_letters = unicodedata.normalize("NFKD", swapped).encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in ascii_letters)

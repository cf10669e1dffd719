"""A stepper as one HTML page that needs no network: a picture and a table that stand without scripting, and a script
that applies frames to them."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph.graph import Graph, Node
from compgraph.literals import number
from viz.diagram import printable, short_name
from viz.page import page
from viz.step_frames import (
    Frames,
    Program,
    Sweeps,
    Track,
    aliases,
    boxed,
    data_of,
    derivative_graph,
    frames_of,
    own_numbers,
    own_rule,
    program_of,
    shown,
    sweeps,
)
from viz.step_sheets import Sheet, sheets_of, texts_of
from viz.themes import THEMES


class Figure(NamedTuple):
    """A graph with its frames, its pictures and its table."""

    frames: Frames
    sheets: list[Sheet]
    table: str


class Tab(NamedTuple):
    mode: str
    label: str
    figure: int
    tracks: tuple[int, ...]
    program: int  # or -1


_LABELS = {"primal": "Values", "iterations": "Updates", "forward": "Forward", "reverse": "Reverse"}


def step_page(found: Sweeps, frames: Frames, mode: str, direction: str) -> str:
    """The whole page. Everything that a user named is escaped, and a policy allows this script and this style alone."""
    digest = hashlib.sha256(repr((found.graph.name, str(found.graph), frames.steps[-1:], direction)).encode()).hexdigest()[:6]
    figures = [_figure(frames, f"s{digest}a", direction)]
    programs: list[Program] = []
    tabs: list[Tab] = []
    for way in ("primal", "iterations", "forward", "reverse"):
        tracks = tuple(place for place, track in enumerate(frames.tracks) if track.mode == way)
        if tracks:
            tabs.append(Tab(way, _LABELS[way], 0, tracks, _program(found.graph, way, programs)))
    if {tab.mode for tab in tabs} == {"forward", "reverse"}:
        tabs.append(Tab("compare", "Compare", 0, (), -1))
        derived = derivative_graph(found.graph)
        if derived is not None and any(track.mode == "reverse" for track in frames.tracks):
            seeds = next(sweep for sweep in found.found if sweep.mode == "reverse").traces[0]
            figures.append(_figure(frames_of(_derivative_sweep(found.graph, derived, seeds)), f"s{digest}b", direction))
            programs.append(program_of(derived, derived))
            tabs.append(Tab("derivative", "Derivative graph", 1, (0,), len(programs) - 1))
    data = {
        "figures": [
            {**data_of(figure.frames), "sheets": [{"title": sheet.title, "parent": sheet.parent} for sheet in figure.sheets]}
            for figure in figures
        ],
        "tabs": [tab._asdict() for tab in tabs],
        "programs": [
            {"listing": _listings(programs).index(program.lines), "values": program.values, "derivatives": program.derivatives}
            for program in programs
        ],
        "start": mode,
        "size": [found.inputs, found.outputs],
    }
    return _assembled(found, figures, programs, tabs, data)


def _derivative_sweep(graph: Graph, derived: Graph, trace: cg.EvaluationTrace) -> Sweeps:
    """The derivative graph on the numbers and the seeds of a reverse sweep; of other outputs the seed is 0."""
    seeds = [trace.seeds.get(node, np.zeros(node.shape, node.dtype)[()]) for node in dict.fromkeys(graph.outputs)]
    values = [trace.values[node] for node in graph.inputs]
    return sweeps(derived, [*values, *seeds[: len(derived.inputs) - len(values)]], mode="primal")


def _program(graph: Graph, mode: str, programs: list[Program]) -> int:
    """Print the program of a mode, if it has one, and return its number."""
    try:
        if mode in ("forward", "reverse"):
            derived = cg.simplify(cg.forward(graph) if mode == "forward" else cg.reverse(graph))
            programs.append(program_of(graph, derived, "dot" if mode == "forward" else "bar"))
        else:
            programs.append(program_of(graph, graph))
    except cg.CompgraphError:
        return -1
    return len(programs) - 1


def _listings(programs: Sequence[Program]) -> list[tuple[str, ...]]:
    """The programs' texts, each once."""
    return list(dict.fromkeys(program.lines for program in programs))


def _figure(frames: Frames, prefix: str, direction: str) -> Figure:
    values: dict[Node, list[str]] = {node: [] for node in frames.graph.nodes}
    derivatives: dict[Node, list[str]] = {node: [] for node in frames.graph.nodes}
    for step in frames.steps:
        (values if step.phase == "primal" else derivatives)[step.node].append(boxed(step.value))
    texts = {node: texts_of(alias, values[node], derivatives[node]) for node, alias in aliases(frames.graph).items()}
    return Figure(frames, sheets_of(frames.graph, texts, prefix, direction), _table(frames))


# -------------------------------------------------------------------------------------------- table


def _table(frames: Frames) -> str:
    """The evaluation trace as it is at the end of the first sweep of each mode: a row a node."""
    graph = frames.graph
    first: dict[str, Track] = {}
    for track in frames.tracks:
        first.setdefault(track.mode, track)
    values: dict[Node, tuple[int, cg.Step]] = {}
    derived: dict[str, dict[Node, list[tuple[int, cg.Step]]]] = {mode: {} for mode in ("forward", "reverse") if mode in first}
    for mode, track in first.items():
        for place in track.steps:
            step = frames.steps[place]
            if step.phase == "primal":
                values[step.node] = (place, step)
            else:
                derived[mode].setdefault(step.node, []).append((place, step))
    words = {"forward": "tangent", "reverse": "adjoint"}
    head = '<th scope="col" colspan="2">primal</th><th scope="col" class="number">value</th>'
    for mode in derived:
        head += f'<th scope="col" colspan="2" class="only-{mode}">{words[mode]}</th><th scope="col" class="number only-{mode}">value</th>'
    rows = []
    called = aliases(graph)
    for place, node in enumerate(graph.nodes):
        number_of_step, step = values[node]
        formulas = "".join(
            f'<div{"" if turn == 0 else f" class=numbers data-step={number_of_step}"}>= {_escaped(text, 120)}</div>'
            for turn, text in enumerate(dict.fromkeys((step.rule, step.numbers))) if text
        )  # fmt: skip
        alias = f" <small>{_escaped(called[node], 40)}</small>" if called[node] else ""
        cells = [f'<th scope="row">{_escaped(graph.names[node], 40)}{alias}</th><td class="formula">{formulas}</td>']
        cells.append(f'<td class="number value">{_escaped(shown(step.value))}</td>')
        for mode, moments in derived.items():
            cells.append(_derivative_cells(mode, f"{graph.names[node]}_{'dot' if mode == 'forward' else 'bar'}", moments.get(node, [])))
        rows.append(f'<tr data-node="{place}">{"".join(cells)}</tr>')
    sweeps_shown = ", ".join(f"{mode} sweep from {_escaped(track.name, 40)}" for mode, track in first.items() if mode in derived)
    caption = f"Evaluation trace of {_escaped(graph.name, 40)}" + (f" <span>({sweeps_shown})</span>" if sweeps_shown else "")
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _derivative_cells(mode: str, name: str, moments: Sequence[tuple[int, cg.Step]]) -> str:
    terms = []
    for turn, (place, step) in enumerate(moments):
        rule = own_rule(step)
        numbers = own_numbers(step)
        sign = "+" if turn else "="
        more = f' <span class="numbers">{sign} {_escaped(numbers, 120)}</span>' if numbers and numbers != rule and mode == "reverse" else ""
        terms.append(f'<div data-step="{place}">{sign} {_escaped(rule, 120)}{more}</div>')
    value = shown(moments[-1][1].value) if moments else "–"
    only = f"only-{mode}"
    return (
        f'<td class="{only} name">{_escaped(name, 44)}</td><td class="{only} formula">{"".join(terms)}</td>'
        f'<td class="{only} number {"tangent" if mode == "forward" else "adjoint"}">{_escaped(value)}</td>'
    )


def _escaped(text: str, limit: int = 80) -> str:
    return html.escape(printable(text, limit))


# --------------------------------------------------------------------------------------------- page


def variables() -> str:
    """The colours as CSS: the light ones, and the dark ones where the reader's system asks for them."""
    light, dark = ("".join(f" --{role}: {colour};" for role, colour in THEMES[theme].items()) for theme in ("light", "dark"))
    roles = "".join(f".fill-{role} {{ fill: var(--{role}); }} .stroke-{role} {{ stroke: var(--{role}); }}\n" for role in THEMES["light"])
    return f":root {{ color-scheme: light dark;{light} }}\n@media (prefers-color-scheme: dark) {{ :root {{{dark} }} }}\n{roles}"


def _assembled(found: Sweeps, figures: Sequence[Figure], programs: Sequence[Program], tabs: Sequence[Tab], data: dict[str, Any]) -> str:
    picture, script, style = (
        files("viz").joinpath(name).read_text(encoding="utf-8") for name in ("step_picture.js", "step_page.js", "step_page.css")
    )
    script, style = "\n".join(map(str.strip, f"{picture}{script}".splitlines())), variables() + style
    graph = found.graph
    trace = found.found[0].traces[0]
    point = ", ".join(f"{short_name(graph.names[node])} {_given(trace.values[node])}" for node in graph.inputs[:6])
    point += ", …" * (len(graph.inputs) > 6)
    names = ", ".join(short_name(graph.names[node]) for node in graph.inputs[:6]) + ", …" * (len(graph.inputs) > 6)
    title = f"{printable(graph.name, 60)}({names}), step by step"
    pictures = "".join(
        f'<div class="figure" data-figure="{place}">'
        + "".join(f'<div class="sheet" data-sheet="{one}">{sheet.svg}</div>' for one, sheet in enumerate(figure.sheets))
        + "</div>"
        for place, figure in enumerate(figures)
    )
    tables = "".join(f'<div class="figure" data-figure="{place}">{figure.table}</div>' for place, figure in enumerate(figures))
    listings = "".join(
        f'<pre data-listing="{place}" tabindex="0" role="region" aria-label="program">'
        f"<code>{''.join(f'<span>{html.escape(line)}</span>' for line in lines)}</code></pre>"
        for place, lines in enumerate(_listings(programs))
    )
    buttons = "".join(
        f'<button type="button" role="tab" id="tab-{tab.mode}" data-mode="{tab.mode}" aria-controls="stage" aria-selected="false">'
        f"{tab.label}</button>"
        for tab in tabs
    )
    notes = "".join(f"<p>{_escaped(note, 400)}</p>" for note in found.notes)
    choices = "".join(f'<option value="{_escaped(graph.names[node], 60)}">' for node in graph.nodes[:400])
    body = f"""<main>
<header>
<h1>{html.escape(title)}</h1>
<p>{f"At {html.escape(point)}." if point else "It has no inputs."}</p>
</header>
<div class="bar">
<div class="tabs" role="tablist" aria-label="what to step through">{buttons}</div>
<div class="controls" role="group" aria-label="steps">
<span class="walk"><button type="button" id="first" aria-label="first step" title="first step (Home)"></button>\
<button type="button" id="back" aria-label="previous step" title="previous step (left arrow)"></button>\
<button type="button" id="play" aria-label="play" title="play and pause (space)"></button>\
<button type="button" id="next" aria-label="next step" title="next step (right arrow)"></button>\
<button type="button" id="last" aria-label="last step" title="last step (End)"></button></span>
<span class="slide"><input type="range" id="slider" min="0" max="1" value="0" aria-label="step">\
<span id="phases" aria-hidden="true"></span></span>
<span id="count"></span>
</div>
<div class="options">
<label id="pass-label"><span>from</span> <select id="pass"></select></label>
<label id="seed-label"><span id="seed-name">seed</span> <input type="number" id="seed" value="1" step="any"></label>
<label>speed <select id="speed"><option value="0.5">½ ×</option><option value="1" selected>1 ×</option><option value="2">2 ×</option>\
<option value="5">5 ×</option><option value="20">20 ×</option></select></label>
<label>stop at <input id="stop" list="names" placeholder="a node" autocomplete="off"><datalist id="names">{choices}</datalist></label>
<label id="quiz-label"><input type="checkbox" id="quiz"> quiz</label>
<button type="button" id="help">Keys</button>
</div>
</div>
<p id="status" class="unseen" role="status" aria-live="polite"></p>
<p id="message" hidden></p>
<div id="counters" hidden></div>
<div class="stage" id="stage" role="tabpanel">
<section class="pictures" aria-label="graph">
<label id="sheet-label">part <select id="sheet"></select></label>
<div class="frame" id="left" role="region" aria-label="the graph" tabindex="-1"><h2 id="left-title"></h2>{pictures}</div>
<div class="frame" id="right" role="region" aria-label="the graph in reverse mode" hidden><h2 id="right-title"></h2></div>
<p class="legend"><span class="mark mark-value"></span>value <span class="mark mark-tangent"></span>tangent \
<span class="mark mark-adjoint"></span>adjoint <span class="hint">A dash is not computed yet. Click a node for its whole sum.</span></p>
</section>
<section class="side" aria-label="the current step">
<div id="equation" role="region" aria-label="equation" tabindex="0"></div>
<form id="question" hidden><label for="answer" id="asked"></label><span><input id="answer" inputmode="decimal" autocomplete="off"> \
<button type="submit">Check</button> <button type="button" id="reveal">Show</button></span><p id="verdict" role="status"></p></form>
<p id="source"></p>
<div id="inspector" hidden></div>
<div id="program"><h2>Program</h2>{listings}</div>
</section>
</div>
<section class="scroll" id="table" role="region" aria-label="evaluation trace" tabindex="0">{tables}</section>
<div class="notes">{notes}</div>
<dialog id="keys" aria-label="keys"><h2>Keys</h2><dl><dt>← →</dt><dd>a step back, a step on</dd><dt>Home End</dt><dd>first, last step</dd>\
<dt>Space</dt><dd>play, pause</dd><dt>F R</dt><dd>forward, reverse</dd><dt>↑ ↓</dt><dd>from node to node in the graph</dd>\
<dt>Enter</dt><dd>the whole sum of a node</dd><dt>?</dt><dd>this list</dd></dl><form method="dialog"><button>Close</button></form></dialog>
</main>"""
    return page(title, body, style=style, script=script, data=data, name="step-data")


def _given(value: Any) -> str:
    return f"= {printable(number(value), 40)}" if np.size(value) <= 3 else f"of shape {'×'.join(map(str, np.shape(value)))}"

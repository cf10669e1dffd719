"""A race as one HTML page that needs no network: pictures that stand without scripting, and a script that plays them."""

from __future__ import annotations

import base64
import html
import json
import zlib
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from viz.page import page
from viz.race_drawing import Axis, Frames, axis_of, landscape_svg, legend, losses_svg, strips_svg, variables
from viz.race_results import Results, brief, inside, results_table, shown_point, table_rows
from viz.race_track import Track, run_one_by_one, run_together

MOST_FRAMES = 600
_MOST_BYTES = 450_000  # of the other starts, in base64
_MOST_INSIDE = 190_000  # characters of what the optimizers held
_SIDES = (15, 11, 9, 7, 5)  # starts in a row and in a column
_PATIENCE = 12_000  # evaluations of runs that cannot be made together


class _Starts(NamedTuple):
    side: int
    xs: np.ndarray
    ys: np.ndarray
    tracks: list[Track]  # one a racer


def race_page(results: Results) -> str:
    """The whole page. Everything that a user named is escaped, and a policy allows this script and this style alone."""
    frames = Frames.of(results.course.budget, MOST_FRAMES)
    starts, axis, packed = _other_starts(results, frames)
    data = _data(results, frames, axis, starts, packed)
    script, style = (files("viz").joinpath(f"race_page.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    table = results_table(results)
    ground = results.course.ground
    formula = "" if ground.formula in (ground.name, "") else f"<code>{html.escape(ground.formula)}</code>. "
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    shown, budget = len(frames.evaluations) - 1, results.course.budget
    thinned = "" if shown == budget else f"<p>Of {budget} evaluations the pictures show {shown}.</p>"
    rows = table_rows(table._replace(caption="Results, the best first"))
    speeds = "".join(f'<option value="{speed}"{" selected" * (speed == 1)}>{speed:g} ×</option>' for speed in (0.25, 1, 4))
    last = len(frames.evaluations) - 1
    title = f"Race on {ground.name}"
    body = f"""<main>
<header>
<h1>{html.escape(title)}</h1>
<p>{formula}From {shown_point(results.start)}, {results.course.budget} gradient evaluations each.</p>
</header>
<div class="columns">
<div>
<figure>{landscape_svg(results, frames, starts and (starts.xs, starts.ys))}</figure>
<div class="controls" role="group" aria-label="playing">
<button id="play" type="button">Play</button>
<input id="step" type="range" min="0" max="{last}" value="{last}" aria-label="evaluation">
<span><span class="wide">evaluation </span><span id="count"></span></span>
<label><span class="wide">speed </span><select id="speed" aria-label="speed">{speeds}</select></label>
</div>
<div class="chosen"><span id="chosen" role="status">{_hint(starts)}</span>
<button id="back" type="button" hidden>Back to its start</button></div>
<figure>{losses_svg(results, frames, axis)}</figure>
</div>
<div>
<h2>Optimizers</h2>
<ul class="racers">{"".join(legend(place, racer) for place, racer in enumerate(results.racers))}</ul>
<figure class="strips"><h2>How much the learning rate matters</h2>
{strips_svg(results)}
</figure>
</div>
</div>
<div class="scroll" role="region" aria-label="results" tabindex="0"><table>{rows}</table></div>
<div class="notes">{notes}{thinned}</div>
<details id="inside"><summary>Inside each optimizer at this evaluation</summary>
<div class="scroll"><table id="inside-table"></table></div></details>
<p class="hint">Space plays and pauses; the arrow keys go one evaluation on or back, and from start to start on the landscape.</p>
</main>"""
    return page(title, body, style=variables() + style, script=script, data=data, name="race-data")


def _hint(starts: _Starts | None) -> str:
    if starts is None:
        return "No other start can be chosen here."
    return f"Click on the landscape to start elsewhere: {starts.side**2} starts were run beforehand."


def _data(results: Results, frames: Frames, axis: Axis, starts: _Starts | None, packed: str) -> dict[str, Any]:
    plot, chart = frames.plot(results), frames.chart()
    return {
        "view": [*results.course.ground.domain[0], *results.course.ground.domain[1]],
        "plot": plot._asdict(),
        "chart": chart._asdict(),
        "axis": {"log": axis.log, "low": axis.low, "high": axis.high, "floor": axis.floor},
        "evaluations": frames.evaluations.tolist(),
        "start": results.start.tolist(),
        "racers": [
            {
                "name": racer.name,
                "x": _numbers(racer.track.points[frames.evaluations, 0]),
                "y": _numbers(racer.track.points[frames.evaluations, 1]),
                "t": _numbers(axis.heights(racer.track.losses[frames.evaluations])),
                "diverged": racer.diverged,
            }
            for racer in results.racers
        ],
        "inside": _inside(results, frames),
        "starts": starts
        and {
            "side": starts.side,
            "x": _numbers(starts.xs),
            "y": _numbers(starts.ys),
            "ok": np.isfinite(starts.tracks[0].losses[0]).astype(int).tolist(),
            "diverged": np.stack([track.diverged for track in starts.tracks], axis=1).ravel().tolist(),
            "scales": _scales(results, axis),
            "packed": packed,
        },
    }


def _numbers(values: np.ndarray, digits: int = 6) -> list[float | None]:
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values.tolist()]


_TITLES = {"gradient": "gradient", "step": "step", "rate": "effective rate", "exp_avg": "m", "exp_avg_sq": "v"}
_TITLES.update({"corrected_exp_avg": "m corrected", "corrected_exp_avg_sq": "v corrected"})


def _inside(results: Results, frames: Frames) -> list[dict[str, Any]] | None:
    """What each optimizer held at each frame, two numbers a name; `None` where that would be most of the page."""
    found: list[dict[str, Any]] = []
    for racer in results.racers:
        records = {record["evaluation"]: record for record in inside(results, racer)}
        names = [name for name in next(iter(records.values()), {}) if name not in ("evaluation", "point")]
        values = [
            [brief(float(value)) for name in names for value in records[evaluation][name]] if evaluation in records else None
            for evaluation in frames.evaluations.tolist()
        ]
        found.append({"names": [_TITLES.get(name, name.replace("_", " ")) for name in names], "values": values})
    return found if len(json.dumps(found)) <= _MOST_INSIDE else None


# ----------------------------------------------------------------------------------------- other starts


def _other_starts(results: Results, frames: Frames) -> tuple[_Starts | None, Axis, str]:
    """The same race from a grid of starts, as fine as time and the page's size allow."""
    for side in _SIDES:
        starts = _run_starts(results, side)
        if starts is not None:
            axis = axis_of(results, np.concatenate([track.losses[-1] for track in starts.tracks]))
            packed = _packed(starts, frames, axis, _scales(results, axis))
            if len(packed) <= _MOST_BYTES:
                return starts, axis, packed
    return None, axis_of(results), ""


def _run_starts(results: Results, side: int) -> _Starts | None:
    """`side` x `side` starts in the middles of equal fields of the picture, or `None` if that would take too long."""
    (x_from, x_to), (y_from, y_to) = results.course.ground.domain
    middles = (np.arange(side) + 0.5) / side
    xs, ys = x_from + middles * (x_to - x_from), y_from + middles * (y_to - y_from)
    points = np.stack([coordinate.ravel() for coordinate in np.meshgrid(xs, ys)], axis=1)
    everywhere, course = np.vstack([results.start, points]), results.course
    found = [run_together(course, racer.contestant, racer.rate, everywhere, racer.track) for racer in results.racers]
    if sum(track is None for track in found) * len(points) * course.budget > _PATIENCE:
        return None
    tracks = [
        Track(track.points[:, 1:], track.losses[:, 1:], track.diverged[1:], track.used)
        if track is not None
        else run_one_by_one(course, racer.contestant, racer.rate, points)
        for racer, track in zip(results.racers, found, strict=True)
    ]
    return _Starts(side, xs, ys, tracks)


def _scales(results: Results, axis: Axis) -> list[list[float]]:
    """From and to where x, y and the loss's height are stored: a picture's width and height beyond the picture."""
    ends = [(low - (high - low), high + (high - low)) for low, high in results.course.ground.domain]
    return [list(end) for end in (*ends, (axis.low - 2 * (axis.high - axis.low), axis.high + 2 * (axis.high - axis.low)))]


def _packed(starts: _Starts, frames: Frames, axis: Axis, scales: list[list[float]]) -> str:
    """Sixteen bits a number, as differences along each run, low bytes before high ones, deflated: a tenth of its size.

    65535 stands for nothing, after a run has ended.
    """
    planes = []
    for place, (low, high) in enumerate(scales):
        runs = [track.points[frames.evaluations, :, place] if place < 2 else track.losses[frames.evaluations] for track in starts.tracks]
        values = np.stack(runs).transpose(2, 0, 1)  # start, racer, frame
        if place == 2:
            values = axis.heights(values)
        with np.errstate(invalid="ignore"):
            codes = np.clip(np.rint((values - low) / (high - low) * 65534), 0, 65534)
        whole = np.where(np.isfinite(values), codes, 65535).astype(np.uint16)
        changes = np.diff(whole, axis=-1, prepend=np.uint16(0)).ravel()
        planes += [(changes & 255).astype(np.uint8).tobytes(), (changes >> 8).astype(np.uint8).tobytes()]
    return base64.b64encode(zlib.compress(b"".join(planes), 9)).decode()


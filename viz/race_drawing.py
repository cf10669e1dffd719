"""The pictures of a race's page as SVG: landscape, losses, sensitivity strips and the legend.

Colours are classes that a style sheet fills in for the light and the dark theme. Whoever cannot tell them apart has
a dash pattern and a marker for each optimizer.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from viz.contours import levels, outlines
from viz.race_results import RATES, Racer, Results, brief, shown_point
from viz.themes import DASHES, LINES

# role: (light, dark)
COLOURS: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#15181d"), "ink": ("#1f2328", "#e8eaed"), "muted": ("#5b646e", "#a3adb8"), "line": ("#d5dae0", "#3a424c"),
    "panel": ("#f6f7f8", "#1f242a"), "accent": ("#0b62a8", "#6cb4ee"), "low": ("#eef3f7", "#12161b"), "high": ("#3d5a75", "#8fb4d6"),
    **{f"racer-{place}": pair for place, pair in enumerate(LINES)},
}  # fmt: skip
WIDTH = 600
_LEFT = 64
# By place: the marker as a path of about 11 units across.
MARKERS = (
    "M-5.5 0A5.5 5.5 0 1 0 5.5 0A5.5 5.5 0 1 0 -5.5 0Z", "M-5 -5H5V5H-5Z", "M0 -6.5L6 5H-6Z", "M0 -7L6 0L0 7L-6 0Z",
    "M0 6.5L6 -5H-6Z", "M-2.2 -6H2.2V-2.2H6V2.2H2.2V6H-2.2V2.2H-6V-2.2H-2.2Z",
    "M0 -6.5L6.2 -2L3.8 5.3H-3.8L-6.2 -2Z", "M-6.5 0L-3.2 -5.6H3.2L6.5 0L3.2 5.6H-3.2Z",
)  # fmt: skip
CROSS = "M-5.5 -5.5L5.5 5.5M-5.5 5.5L5.5 -5.5"


def variables() -> str:
    """The colours as CSS: the light ones, and the dark ones where the reader's system asks for them."""
    light, dark = ("".join(f" --{role}: {pair[place]};" for role, pair in COLOURS.items()) for place in (0, 1))
    return f":root {{ color-scheme: light dark;{light} }}\n@media (prefers-color-scheme: dark) {{ :root {{{dark} }} }}\n"


def tag(kind: str, *inside: str, **attributes: object) -> str:
    """An element of SVG or HTML: attributes are escaped, what is inside is markup.

    >>> tag("text", "a &lt; b", x=1.25, class_="title", text_anchor="end")
    '<text x="1.2" class="title" text-anchor="end">a &lt; b</text>'
    """
    told = "".join(f' {name.rstrip("_").replace("_", "-")}="{html.escape(_value(value))}"' for name, value in attributes.items())
    return f"<{kind}{told}>{''.join(inside)}</{kind}>"


def _value(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def _at(x: float, y: float) -> str:
    return f"translate({x:.1f} {y:.1f})"


class Plot(NamedTuple):
    """Where in a picture the axes stand."""

    left: float
    top: float
    width: float
    height: float


class Axis(NamedTuple):
    """How losses become heights: log10(loss - floor), or the loss itself where no least value is known."""

    log: bool
    low: float
    high: float
    floor: float

    @property
    def title(self) -> str:
        if not self.log or self.floor == 0:
            return "loss"
        return f"loss {'−' if self.floor > 0 else '+'} {brief(abs(self.floor))}"

    def heights(self, losses: np.ndarray) -> np.ndarray:
        if not self.log:
            return np.asarray(losses)
        with np.errstate(invalid="ignore"):
            return np.log10(np.maximum(losses - self.floor, 1e-16))


class Frames(NamedTuple):
    """The evaluations that are shown: all, or as many as `most` of them, evenly."""

    evaluations: np.ndarray

    @classmethod
    def of(cls, budget: int, most: int) -> Frames:
        return cls(np.unique(np.linspace(0, budget, min(budget, most) + 1).round().astype(int)))

    def plot(self, results: Results) -> Plot:
        """The landscape's axes: one unit is as long across as up, unless that were too flat or too tall."""
        (x_from, x_to), (y_from, y_to) = results.course.ground.domain
        return Plot(_LEFT, 8, WIDTH - _LEFT - 22, round((WIDTH - _LEFT - 22) * min(max((y_to - y_from) / (x_to - x_from), 0.5), 1.0)))

    def chart(self) -> Plot:
        return Plot(_LEFT, 26, WIDTH - _LEFT - 22, 160)


def axis_of(results: Results, others: np.ndarray | None = None) -> Axis:
    """From the highest point of the picture to the lowest loss of the race, and of the `others` that may be chosen."""
    (x_from, x_to), (y_from, y_to) = results.course.ground.domain
    with np.errstate(all="ignore"):
        heights = results.course.ground(*np.meshgrid(np.linspace(x_from, x_to, 41), np.linspace(y_from, y_to, 41)))
    losses = np.concatenate([racer.track.losses[: 1 if racer.diverged else None] for racer in results.racers])
    every = np.concatenate([np.ravel(heights), losses])
    every = every[np.isfinite(every)]
    floor = results.floor
    if floor is None:
        low, high = float(every.min()), float(every.max())
        room = 0.04 * (high - low) or 1.0
        return Axis(False, low - room, high + room, 0.0)
    gaps = np.log10(np.maximum(np.append(losses[np.isfinite(losses)], every.max()) - floor, 1e-16))
    low, high = float(np.floor(gaps.min())), float(np.ceil(gaps.max()))
    if others is not None and np.isfinite(others).any():
        low = min(low, float(np.floor(np.log10(max(np.nanmin(others) - floor, 1e-16)))))
    return Axis(True, low, max(high, low + 1), floor)


def landscape_svg(results: Results, frames: Frames, dots: tuple[np.ndarray, np.ndarray] | None) -> str:
    """Outlines at heights spaced in the logarithm, darker the higher, and every path to its end."""
    ground, plot = results.course.ground, frames.plot(results)
    (x_from, x_to), (y_from, y_to) = ground.domain

    def placed(points: np.ndarray) -> np.ndarray:
        x = plot.left + (points[..., 0] - x_from) / (x_to - x_from) * plot.width
        y = plot.top + (y_to - points[..., 1]) / (y_to - y_from) * plot.height
        return np.stack([x, y], axis=-1)

    parts = [_outlines(results, placed), _axes(plot, (x_from, x_to), (y_from, y_to), ground.axes)]
    routes = [placed(racer.track.points[frames.evaluations]) for racer in results.racers]
    inside = [_line(f"halo-{place}", "halo", place, route) for place, route in enumerate(routes)]
    inside += [_line(f"path-{place}", "path", place, route) for place, route in enumerate(routes)]
    for x, y in placed(np.array(ground.minima).reshape(-1, 2)).tolist():
        inside.append(tag("path", tag("title", "minimum"), class_="minimum", d=_star(), transform=_at(x, y)))
    inside.append(tag("circle", id="start", class_="start", r=5, transform=_at(*placed(results.start).tolist())))
    marks = [_mark("", place, route, racer, plot) for place, (route, racer) in enumerate(zip(routes, results.racers, strict=True))]
    grid = ""
    if dots is not None:
        every = placed(np.stack(np.meshgrid(*dots), axis=-1).reshape(-1, 2))
        grid = tag("path", class_="dots", d="".join(f"M{x - 1.5:.0f} {y - 1.5:.0f}h3v3h-3z" for x, y in every))
    hatch = tag("rect", width=7, height=7) + tag("path", d="M0 7L7 0")
    definitions = _clip("inside-landscape", plot) + tag("pattern", hatch, id="hatch", width=7, height=7, patternUnits="userSpaceOnUse")
    names = ", ".join(racer.name for racer in results.racers)
    return tag(
        "svg", tag("defs", definitions), parts[0], grid, tag("g", *inside, clip_path="url(#inside-landscape)"), *marks, parts[1],
        id="landscape", class_="figure", viewBox=f"0 0 {WIDTH} {plot.top + plot.height + 46:.0f}", role="img",
        aria_label=f"Contours of {ground.name} and the paths of {names} from {shown_point(results.start)}",
    )  # fmt: skip


def _clip(name: str, plot: Plot) -> str:
    return tag("clipPath", tag("rect", x=plot.left, y=plot.top, width=plot.width, height=plot.height), id=name)


def _line(name: str, kind: str, place: int, route: np.ndarray) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in route[np.isfinite(route).all(axis=1)])
    dashes = {} if kind == "halo" else {"stroke-dasharray": DASHES[place] or "none"}
    return tag("polyline", id=name, class_=f"{kind} racer-{place}", **dashes, points=points)


def _outlines(results: Results, placed: Callable[[np.ndarray], np.ndarray]) -> str:
    ground = results.course.ground
    (x_from, x_to), (y_from, y_to) = ground.domain
    xs, ys = np.linspace(x_from, x_to, 161), np.linspace(y_from, y_to, 121)
    with np.errstate(all="ignore"):
        heights = np.asarray(ground(*np.meshgrid(xs, ys)), dtype=float)
    chosen = levels(heights, ground.minimum)
    if ground.minimum is not None and len(chosen):
        # Logarithms are nearly linear between grid points where the heights themselves are not.
        shift = chosen[0] - ground.minimum
        with np.errstate(invalid="ignore"):
            heights, chosen = np.log(heights - ground.minimum + shift), np.log(chosen - ground.minimum + shift)
    parts = ['<rect class="ground" x="0" y="0" width="100%" height="100%"/>']
    for level in chosen:
        parts.append(f'<path class="level" d="{_closed(outlines(xs, ys, heights, float(level)), placed)}"/>')
    if not np.isfinite(heights).all():
        parts.append(f'<path class="void" d="{_closed(outlines(xs, ys, (~np.isfinite(heights)).astype(float), 0.5), placed)}"/>')
    return f'<g clip-path="url(#inside-landscape)">{"".join(parts)}</g>'


def _closed(rings: list[np.ndarray], placed: Callable[[np.ndarray], np.ndarray]) -> str:
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed(ring)) + "Z" for ring in rings)


def _star() -> str:
    angles = np.pi * (np.arange(10) / 5 - 0.5)
    radii = np.where(np.arange(10) % 2, 3.2, 8.0)
    return "M" + "L".join(f"{r * np.cos(a):.1f} {r * np.sin(a):.1f}" for r, a in zip(radii, angles, strict=True)) + "Z"


def _mark(kind: str, place: int, route: np.ndarray, racer: Racer, plot: Plot) -> str:
    """The marker where a racer is, and the cross where it diverged, of which one shows."""
    sound = route[np.isfinite(route).all(axis=1)]
    low = np.array([plot.left, plot.top])
    x, y = left_at(sound, low, low + [plot.width, plot.height]).tolist()
    lost, outside = racer.diverged is not None, [x, y] != sound[-1].tolist()
    look = {"class_": f"head racer-{place}", "d": MARKERS[place], "transform": _at(x, y)}
    cross = tag("path", class_="cross-halo", d=CROSS) + tag("path", class_="cross", d=CROSS)
    return tag("path", id=f"{kind}head-{place}", **look, visibility=_shown(not lost and not outside)) + tag(
        "g", cross, id=f"{kind}cross-{place}", class_=f"racer-{place}", transform=_at(x, y), visibility=_shown(lost)
    )


def left_at(route: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The end of a route (n, 2), or where it last left the box from `low` to `high` if it ends outside.

    >>> left_at(np.array([[0.0, 0.0], [2.0, 1.0]]), np.array([-1, -1]), np.array([1, 1]))
    array([1. , 0.5])
    """
    inside = np.flatnonzero(((route >= low) & (route <= high)).all(axis=1))
    if not inside.size or inside[-1] == len(route) - 1:
        return np.clip(route[-1], low, high)
    last, onward = route[inside[-1]], route[inside[-1] + 1] - route[inside[-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(onward > 0, (high - last) / onward, np.where(onward < 0, (low - last) / onward, np.inf))
    return np.asarray(last + onward * room.min())


def _shown(yes: bool) -> str:
    return "visible" if yes else "hidden"


def losses_svg(results: Results, frames: Frames, axis: Axis) -> str:
    """Loss against gradient evaluations."""
    chart, budget = frames.chart(), results.course.budget
    right, bottom = chart.left + chart.width, chart.top + chart.height

    def placed(evaluations: np.ndarray, heights: np.ndarray) -> np.ndarray:
        x = chart.left + evaluations / budget * chart.width
        return np.stack([x, chart.top + (axis.high - heights) / (axis.high - axis.low) * chart.height], axis=-1)

    parts = []
    for tick in _decades(axis) if axis.log else round_ticks(axis.low, axis.high, 5):
        y = float(placed(np.array(0), np.array(tick))[1])
        parts.append(tag("line", class_="grid", x1=chart.left, x2=right, y1=y, y2=y))
        parts.append(tag("text", f"10{_raised(int(tick))}" if axis.log else _short(tick), x=chart.left - 6, y=y + 4, text_anchor="end"))
    for tick in round_ticks(0, budget, 6):
        parts.append(tag("text", f"{tick:g}", x=chart.left + tick / budget * chart.width, y=bottom + 19, text_anchor="middle"))
    curves, marks = [], []
    for place, racer in enumerate(results.racers):
        route = placed(frames.evaluations, axis.heights(racer.track.losses[frames.evaluations]))
        curves.append(_line(f"curve-{place}", "curve", place, route))
        marks.append(_mark("curve-", place, route, racer, chart))
    return tag(
        "svg", tag("defs", _clip("inside-losses", chart)), *parts,
        tag("rect", class_="frame", x=chart.left, y=chart.top, width=chart.width, height=chart.height),
        tag("g", *curves, clip_path="url(#inside-losses)"),
        tag("line", id="cursor", class_="cursor", x1=0, x2=0, y1=chart.top, y2=bottom, transform=_at(right, 0)), *marks,
        tag("text", "gradient evaluations", class_="title", x=chart.left + chart.width / 2, y=bottom + 40, text_anchor="middle"),
        tag("text", axis.title, class_="title", x=right, y=chart.top - 8, text_anchor="end"),
        id="losses", class_="figure", viewBox=f"0 0 {WIDTH} {bottom + 46:.0f}", role="img",
        aria_label=f"{axis.title} against gradient evaluations",
    )  # fmt: skip


def _decades(axis: Axis) -> list[float]:
    by = max(1, int(np.ceil((axis.high - axis.low) / 5)))
    return [float(tick) for tick in np.arange(axis.high, axis.low - 0.5, -by)]


def _short(tick: float) -> str:
    """A tick in the few letters that there is room for."""
    return f"{tick:g}" if not tick or 1e-3 <= abs(tick) < 1e4 else f"{tick:.2g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers between two.

    >>> round_ticks(-2, 2, 4), round_ticks(0, 200, 5)
    ([-2.0, -1.0, 0.0, 1.0, 2.0], [0.0, 50.0, 100.0, 150.0, 200.0])
    """
    rough = (high - low) / count
    unit = 10.0 ** np.floor(np.log10(rough))
    step = next(float(unit * factor) for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    return [float(f"{tick * step:.12g}") for tick in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1)]


def _axes(plot: Plot, x_range: tuple[float, float], y_range: tuple[float, float], names: tuple[str, str]) -> str:
    parts = [tag("rect", class_="frame", x=plot.left, y=plot.top, width=plot.width, height=plot.height)]
    bottom = plot.top + plot.height
    for tick in round_ticks(*x_range, 6):
        x = plot.left + (tick - x_range[0]) / (x_range[1] - x_range[0]) * plot.width
        parts.append(tag("text", _short(tick), x=x, y=bottom + 19, text_anchor="middle"))
    for tick in round_ticks(*y_range, 5):
        y = plot.top + (y_range[1] - tick) / (y_range[1] - y_range[0]) * plot.height
        parts.append(tag("text", _short(tick), x=plot.left - 6, y=y + 4, text_anchor="end"))
    across, up = (html.escape(_cut(name, 12)) for name in names)
    parts.append(tag("text", across, class_="title", x=plot.left + plot.width / 2, y=bottom + 40, text_anchor="middle"))
    middle = plot.top + plot.height / 2
    parts.append(tag("text", up, class_="title", transform=f"translate(17 {middle:.1f}) rotate(-90)", text_anchor="middle"))
    return "".join(parts)


def strips_svg(results: Results) -> str:
    """A row of cells for each optimizer: the loss at the end for each learning rate, the stronger its colour the lower."""
    tuned = [(racer, racer.sensitivity) for racer in results.racers if racer.sensitivity is not None]
    if not tuned:
        return "<p>None of these has a learning rate.</p>"
    left, cell, row, top = 92.0, 10.4, 30, 14
    shades = strip_shades([finals for _, finals in tuned])
    parts = []
    for line, (racer, finals) in enumerate(tuned):
        y, name = top + line * row, html.escape(racer.name)
        shown = html.escape(_cut(racer.name, 12)) + tag("title", name)
        parts.append(tag("text", shown, class_="title", x=left - 8, y=y + 14, text_anchor="end"))
        for place, (rate, final, shade) in enumerate(zip(RATES.tolist(), finals.tolist(), shades[line].tolist(), strict=True)):
            x, told = left + place * cell, tag("title", f"{name} at {rate:.3g}: {brief(final) if np.isfinite(final) else 'diverged'}")
            if np.isfinite(final):
                parts.append(tag("rect", told, class_="cell", x=x, y=y, width=cell, height=19, fill_opacity=f"{shade:.2f}"))
            else:
                parts.append(tag("path", told, class_="lost", d=f"M{x + 3:.1f} {y + 7}l4.4 5m0 -5l-4.4 5"))
        x = left + cell * strip_place(racer.rate or 1.0)
        if racer.rate is not None and left <= x < left + cell * len(RATES):
            parts.append(tag("rect", class_="chosen-rate", x=x, y=y - 0.5, width=cell, height=20))
            parts.append(tag("path", class_="caret", d=f"M{x + cell / 2 - 4:.1f} {y - 7}h8l-4 5z"))
    bottom = top + len(tuned) * row
    for power in range(-5, 2):
        x = left + cell * (strip_place(10.0**power) + 0.5)
        parts.append(tag("text", f"10{_raised(power)}", x=x, y=bottom + 8, text_anchor="middle"))
    label = "Loss at the end for each learning rate: " + "; ".join(_told(racer.name, finals) for racer, finals in tuned)
    picture = tag("svg", *parts, viewBox=f"0 0 362 {bottom + 14}", role="img", aria_label=label)
    words = "Loss at the end for each learning rate: the stronger the colour, the lower, by rank."
    words += " A cross: diverged. Framed: the rate that ran."
    return picture + tag("p", words)


def strip_shades(finals: list[np.ndarray]) -> np.ndarray:
    """How strong the colour of each cell is, from 0.06 to 1 for the lowest, by rank among all.

    By rank, because one that ends a million times lower than the others would leave these without a difference.
    """
    ranks = np.unique(finals)
    ranks = ranks[np.isfinite(ranks)]
    good = 1 - np.searchsorted(ranks, finals) / max(len(ranks) - 1, 1)
    return 0.06 + 0.94 * np.maximum(good, 0.0) ** 1.5


def strip_place(rate: float) -> float:
    """Where a rate stands in a strip, in cells: 0 for the least of `RATES`."""
    return float((np.log10(rate) - np.log10(RATES[0])) / np.log10(RATES[1] / RATES[0]))


def _told(name: str, finals: np.ndarray) -> str:
    lost = int((~np.isfinite(finals)).sum())
    return f"{name} diverges at every rate" if lost == len(RATES) else f"{name} lowest at {RATES[np.argmin(finals)]:.3g}, {lost} diverge"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def legend(place: int, racer: Racer) -> str:
    """One line of the list: a box to show and hide, line and marker, name, rate, and the loss where the race stands."""
    rate = "no learning rate" if racer.rate is None else f"rate {brief(racer.rate)}, {racer.how}"
    end = f"diverged at {racer.diverged}" if racer.diverged is not None else brief(racer.loss)
    line = tag("path", class_="path", stroke_dasharray=DASHES[place] or "none", d="M0 8H44")
    marker = tag("path", class_="head", transform=_at(22, 8), d=MARKERS[place])
    sample = tag("svg", tag("g", line, marker, class_=f"racer-fixed-{place}"), viewBox="0 0 44 16", aria_hidden="true")
    name = tag("span", tag("b", html.escape(racer.name)), tag("small", html.escape(rate)))
    box = f'<input id="toggle-{place}" type="checkbox" checked>'
    return tag("li", tag("label", box, sample, name, tag("output", end, id=f"loss-{place}")))

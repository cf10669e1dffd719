"""A race as a picture, still (PNG, SVG) or moving (GIF), by matplotlib."""

from __future__ import annotations

import importlib.util
import io
import math
import warnings
from typing import Any

import numpy as np

from compgraph.errors import InputError, MissingDependencyError
from viz.contours import levels
from viz.race_drawing import COLOURS, Frames, axis_of, left_at, strip_place, strip_shades
from viz.race_results import RATES, Results, brief
from viz.themes import DASHES, THEMES

_MARKERS = ("o", "s", "^", "D", "v", "P", "p", "h")  # those of `race_drawing.MARKERS`, by matplotlib's names
_GIF_FRAMES = 72
_GIF_SECONDS = 9.0


def picture(results: Results, form: str, theme: str) -> bytes:
    """The race as "png", "svg" or "gif". Raises `MissingDependencyError` without matplotlib."""
    if theme not in THEMES:
        raise InputError(f"theme {theme!r:.40}: it is 'light' or 'dark'")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            'pictures of a race need matplotlib: pip install "compgraph[plot]". The page needs nothing: race.save("race.html")'
        )
    import matplotlib

    colours = {role: pair[tuple(THEMES).index(theme)] for role, pair in COLOURS.items()}
    settings: Any = {
        "svg.hashsalt": "compgraph", "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 9.0, "text.color": colours["ink"],
        "axes.edgecolor": colours["line"], "axes.labelcolor": colours["ink"], "axes.facecolor": colours["paper"],
        "figure.facecolor": colours["paper"], "xtick.color": colours["muted"], "ytick.color": colours["muted"],
        "hatch.color": colours["muted"], "hatch.linewidth": 0.5, "axes.unicode_minus": False, "text.parse_math": False,
        "text.usetex": False,
    }  # fmt: skip
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter of a name that the font lacks is drawn as a box
        drawn = _Picture(results, colours, strips=form != "gif")
        return drawn.moving() if form == "gif" else drawn.still(form)


class _Picture:
    """Landscape and losses, and beside them, in a still picture, the sensitivity to the learning rate."""

    def __init__(self, results: Results, colours: dict[str, str], *, strips: bool) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.results, self.colours = results, colours
        self.frames = Frames.of(results.course.budget, 600)
        self.axis = axis_of(results)
        self.figure = Figure(figsize=(11.5, 7.6) if strips else (6.4, 6.6), layout="constrained")
        FigureCanvasAgg(self.figure)
        if strips:
            parts = self.figure.subplot_mosaic([["ground", "legend"], ["ground", "strips"], ["losses", "strips"]],
                                               width_ratios=[1.5, 1], height_ratios=[1.25, 1, 1])  # fmt: skip
            self.strips(parts["strips"])
            self.legend(parts["legend"])
        else:
            parts = self.figure.subplot_mosaic([["ground"], ["losses"]], height_ratios=[2.3, 1])
        self.figure.suptitle(results.title, fontsize=12, x=0.01, ha="left", fontweight="bold")
        self.ground(parts["ground"])
        self.losses(parts["losses"])
        self.artists = [self.racer(place, parts["ground"], parts["losses"]) for place in range(len(results.racers))]
        if not strips:
            names = [racer.name[:24] + ("" if racer.rate is None else f" {racer.rate:.3g}") for racer in results.racers]
            handles = [artists[1] for artists in self.artists]
            self.figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, handlelength=3)

    def ground(self, axes: Any) -> None:
        ground, colours = self.results.course.ground, self.colours
        (x_from, x_to), (y_from, y_to) = ground.domain
        xs, ys = np.linspace(x_from, x_to, 201), np.linspace(y_from, y_to, 201)
        with np.errstate(all="ignore"):
            heights = np.asarray(ground(*np.meshgrid(xs, ys)), dtype=float)
        axes.set(xlim=(x_from, x_to), ylim=(y_from, y_to), xlabel=ground.axes[0], ylabel=ground.axes[1])
        axes.set_aspect("equal" if 0.5 <= (y_to - y_from) / (x_to - x_from) <= 1 else "auto")
        axes.set_facecolor(colours["low"])
        axes.tick_params(length=0)
        chosen = levels(heights, ground.minimum)
        shift = 0.0
        if ground.minimum is not None and len(chosen):  # logarithms, as on the page
            shift = chosen[0] - ground.minimum
            with np.errstate(invalid="ignore"):
                heights, chosen = np.log(heights - ground.minimum + shift), np.log(chosen - ground.minimum + shift)
        known = np.ma.masked_invalid(heights)
        for level in chosen:
            axes.contourf(xs, ys, known, levels=[level, np.inf], colors=[colours["high"]], alpha=0.05)
        if len(chosen):
            axes.contour(xs, ys, known, levels=chosen, colors=[colours["high"]], linewidths=0.5, alpha=0.4, linestyles="solid")
        if known.mask.any():
            axes.contourf(xs, ys, np.ma.getmaskarray(known).astype(float), levels=[0.5, 1.5], colors=[colours["paper"]], hatches=["///"])
        for x, y in ground.minima:
            axes.plot(x, y, marker="*", markersize=11, color=colours["ink"], markeredgecolor=colours["paper"], zorder=4)
        start = {"marker": "o", "markersize": 7, "markeredgewidth": 1.6, "zorder": 6}
        axes.plot(*self.results.start, color=colours["paper"], markeredgecolor=colours["ink"], **start)

    def losses(self, axes: Any) -> None:
        axis, budget = self.axis, self.results.course.budget
        room = 0.02 * (axis.high - axis.low)
        axes.set(xlim=(0, budget), ylim=(axis.low - room, axis.high + room), xlabel="gradient evaluations")
        axes.set_ylabel(axis.title)
        axes.tick_params(length=0)
        axes.grid(axis="y", color=self.colours["line"], linewidth=0.6)
        if axis.log:
            by = max(1, math.ceil((axis.high - axis.low) / 5))
            ticks = np.arange(axis.high, axis.low - 0.5, -by)
            axes.set_yticks(ticks, [f"1e{int(tick)}" for tick in ticks])

    def racer(self, place: int, ground: Any, chart: Any) -> tuple[Any, ...]:
        """Empty lines and marks for one racer, which `show` fills: halo, key of the legend; path, head, cross; loss, head, cross."""
        from matplotlib import patheffects

        colour, paper = self.colours[f"racer-{place}"], self.colours["paper"]
        dashes = (0, tuple(float(part) / 1.7 for part in DASHES[place].split())) if DASHES[place] else "solid"
        style = {"color": colour, "linewidth": 1.7, "zorder": 5}
        mark = {"color": colour, "marker": _MARKERS[place], "markersize": 8, "markeredgecolor": paper, "linestyle": "none", "zorder": 8}
        cross = {**mark, "marker": "x", "markersize": 9, "markeredgecolor": colour, "markeredgewidth": 2.2, "zorder": 9, "clip_on": False}
        (halo,) = ground.plot([], [], color=paper, linewidth=3.6, alpha=0.7, zorder=3)
        (key,) = chart.plot([], [], **{**mark, "linestyle": dashes, "linewidth": 1.7})
        artists = [halo, key]
        for axes in (ground, chart):
            artists += axes.plot([], [], linestyle=dashes, **style)
            artists += axes.plot([], [], **mark)
            artists += axes.plot([], [], **cross)
            artists[-1].set_path_effects([patheffects.withStroke(linewidth=4.5, foreground=paper)])
        for artist in artists:  # they move, and the layout is made once
            artist.set_in_layout(False)
        return tuple(artists)

    def show(self, evaluation: int) -> None:
        """Everybody as far as they were after `evaluation`."""
        steps = self.frames.evaluations[self.frames.evaluations <= evaluation]
        ((x_from, x_to), (y_from, y_to)), axis = self.results.course.ground.domain, self.axis
        low, high = np.array([x_from, y_from]), np.array([x_to, y_to])
        for racer, (halo, _, path, head, cross, curve, curve_head, curve_cross) in zip(self.results.racers, self.artists, strict=True):
            points, heights = racer.track.points[steps], axis.heights(racer.track.losses[steps])
            sound = np.isfinite(heights)
            points, heights = points[sound], np.clip(heights[sound], axis.low - 1e-9, None)
            lost = racer.diverged is not None and evaluation >= racer.diverged
            for line in (halo, path):
                line.set_data(points[:, 0], points[:, 1])
            curve.set_data(steps[sound], heights)
            left = left_at(points, low, high)
            height = min(float(heights[-1]), axis.high)
            for mark, shown in ((head, not lost), (cross, lost)):
                mark.set_data([left[0]] if shown else [], [left[1]] if shown else [])
            for mark, shown in ((curve_head, not lost), (curve_cross, lost)):
                mark.set_data([steps[sound][-1]] if shown else [], [height] if shown else [])
            head.set_visible(np.array_equal(left, points[-1]))

    def legend(self, axes: Any) -> None:
        axes.axis("off")
        racers = self.results.racers
        for place, racer in enumerate(racers):
            y = 1 - (place + 0.7) / (max(len(racers), 5) + 0.4)
            dashes = (0, tuple(float(part) / 1.7 for part in DASHES[place].split())) if DASHES[place] else "solid"
            colour = self.colours[f"racer-{place}"]
            axes.plot([0.0, 0.12], [y, y], color=colour, linestyle=dashes, linewidth=1.8, clip_on=False)
            axes.plot(0.06, y, color=colour, marker=_MARKERS[place], markersize=8, markeredgecolor=self.colours["paper"])
            rate = "no rate" if racer.rate is None else f"rate {brief(racer.rate)}, {racer.how}"
            end = f"diverged at {racer.diverged}" if racer.diverged is not None else brief(racer.loss)
            axes.text(0.16, y, racer.name[:26], va="bottom", fontweight="bold")
            axes.text(0.16, y, rate, va="top", fontsize=7.8, color=self.colours["muted"])
            axes.text(1.0, y, end, va="center", ha="right")
        axes.set(xlim=(0, 1), ylim=(0, 1))

    def strips(self, axes: Any) -> None:
        tuned = [racer for racer in self.results.racers if racer.sensitivity is not None]
        words = "Loss at the end for each learning rate:\nthe stronger the colour, the lower, by rank; × diverged"
        axes.set_title(words, fontsize=8.5, loc="left").set_in_layout(False)
        axes.tick_params(length=0)
        for side in ("top", "right", "left", "bottom"):
            axes.spines[side].set_visible(False)
        if not tuned:
            axes.axis("off")
            return
        finals = [racer.sensitivity for racer in tuned if racer.sensitivity is not None]
        shades = strip_shades(finals)
        for row, (racer, line) in enumerate(zip(tuned, finals, strict=True)):
            for column, final in enumerate(line):
                if np.isfinite(final):
                    axes.add_patch(_rectangle(column, row, facecolor=self.colours["racer-0"], alpha=shades[row, column]))
                else:
                    axes.plot(column, row, marker="x", markersize=3.5, color=self.colours["muted"])
            if racer.rate is not None and -0.5 <= strip_place(racer.rate) <= len(RATES) - 0.5:
                axes.add_patch(_rectangle(strip_place(racer.rate), row, fill=False, edgecolor=self.colours["ink"], linewidth=1.6, zorder=5))
        axes.set(xlim=(-0.7, len(RATES) - 0.3), ylim=(max(len(tuned), 5) - 0.4, -0.6))
        axes.set_yticks(range(len(tuned)), [racer.name[:16] for racer in tuned], color=self.colours["ink"])
        axes.set_xticks(range(0, len(RATES), 4), [f"1e{power}" for power in range(-5, 2)])

    def still(self, form: str) -> bytes:
        self.show(self.results.course.budget)
        with io.BytesIO() as file:
            metadata = {"Date": None} if form == "svg" else {"Software": None}
            self.figure.savefig(file, format=form, dpi=150, metadata=metadata)
            return file.getvalue()

    def moving(self) -> bytes:
        """An endless GIF that rests at the end; its first frame is the start."""
        from PIL import Image

        budget = self.results.course.budget
        shown = np.unique(np.linspace(0, budget, min(budget, _GIF_FRAMES) + 1).round().astype(int)).tolist()
        moving = [artist for artists in self.artists for artist in (artists[0], *artists[2:])]
        for artist in moving:
            artist.set_animated(True)
        canvas: Any = self.figure.canvas
        canvas.draw()  # what stands still, once
        ground = canvas.copy_from_bbox(self.figure.bbox)
        images = []
        for evaluation in shown:
            self.show(evaluation)
            canvas.restore_region(ground)
            for artist in sorted(moving, key=lambda artist: artist.get_zorder()):
                artist.axes.draw_artist(artist)
            images.append(Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB"))
        palette = self.palette(images[-1])
        images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
        pace = max(20, round(1000 * _GIF_SECONDS / len(images) / 10) * 10)
        with io.BytesIO() as file:
            durations = [pace] * (len(images) - 1) + [2500]
            images[0].save(file, format="gif", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False)
            return file.getvalue()

    def palette(self, image: Any) -> Any:
        """256 colours for all frames, among them those of thin lines, which hardly count in the picture itself."""
        from PIL import Image

        swatches = Image.new("RGB", (image.width, image.height + 24 * len(self.colours)))
        swatches.paste(image)
        for place, colour in enumerate(self.colours.values()):
            swatches.paste(colour, (0, image.height + 24 * place, image.width, image.height + 24 * (place + 1)))
        return swatches.quantize(256, dither=Image.Dither.NONE)


def _rectangle(x: float, y: float, **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.32), 1.0, 0.64, **style)


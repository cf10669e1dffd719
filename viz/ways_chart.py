"""A comparison of the ways to differentiate as bars."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from compgraph.comparison import Comparison
from compgraph.errors import InputError
from compgraph.tables import cut
from viz.charts import Chart, power

_FLOOR = 1e-17  # relative errors below it, and 0, have no bar


def ways(comparison: Comparison, *, theme: str = "auto") -> WaysChart:
    """Operations, peak memory, time and error of each way to differentiate, as bars on logarithmic axes.

    >>> import compgraph as cg, viz
    >>> viz.ways(cg.compare(cg.parse("x * sin(x)"), 2.0))
    WaysChart(f: 1 input, 1 output, 8 ways)

    What was not found is left out. `theme` is "auto", "light" or "dark". Raises `InputError` for what is no `Comparison`.
    """
    if not isinstance(comparison, Comparison):
        raise InputError(f"ways draws what cg.compare returns, not {type(comparison).__name__}: viz.ways(cg.compare(f, ...))")
    return WaysChart(comparison, theme)


class WaysChart(Chart):
    """The bars of a `comparison`; `str()` is its table."""

    size = (9.6, 3.9)

    def __init__(self, comparison: Comparison, theme: str) -> None:
        super().__init__(theme)
        self.comparison = comparison
        self.heading = str(comparison).partition("\n")[0]
        self.title = f"Ways to differentiate {self.heading}"

    def __repr__(self) -> str:
        return f"WaysChart({self.heading}, {len(self.comparison.ways)} ways)"

    def __str__(self) -> str:
        return str(self.comparison)

    def _draw(self, figure: Any, colours: dict[str, str]) -> None:
        rows = self.comparison.ways
        panels = figure.subplots(1, len(_UNITS), sharey=True)
        for axes, kind in zip(panels, _UNITS, strict=True):
            self._panel(axes, kind, colours)
        panels[0].set_yticks(range(len(rows)), [way.name for way in rows], color=colours["ink"])
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        figure.supxlabel(textwrap.fill(self.comparison.advice, 140), fontsize=8, x=0.01, ha="left")

    def _panel(self, axes: Any, kind: str, colours: dict[str, str]) -> None:
        rows = self.comparison.ways
        values = [math.nan if getattr(way, kind) is None else float(getattr(way, kind)) for way in rows]
        known = [value for value in values if math.isfinite(value) and value > _FLOOR]
        low = _FLOOR if kind == "error" else 10.0 ** math.floor(math.log10(min(known, default=1.0)) - 0.3)
        high = 10.0 ** math.ceil(math.log10(max([*known, low * 10])) + 0.35)
        for place, (way, value) in enumerate(zip(rows, values, strict=True)):
            told = _told(kind, value) if math.isfinite(value) else cut(f"– {way.note}" if kind == "operations" else "–", 36)
            end = max(value, low) if math.isfinite(value) else low
            axes.barh(
                place, end - low, left=low, height=0.62, color=colours["line-0" if way.name.endswith(self.comparison.best) else "muted"]
            )
            words = axes.annotate(told, (end, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7.5)
            words.set_in_layout(False)
        # Room for the words beside the longest bar.
        axes.set(xscale="log", xlim=(low, high * (high / low) ** 0.25), xlabel=_UNITS[kind])
        axes.set_xticks([low, high], [power(round(math.log10(one))) for one in (low, high)])
        axes.set_xticks([], minor=True)
        axes.grid(visible=False)
        axes.spines[["top", "right", "bottom"]].set_visible(False)


_UNITS = {
    "operations": "operations, all passes", "peak_bytes": "peak memory, bytes", "seconds": "time, all passes",
    "error": "relative error",
}  # fmt: skip


def _told(kind: str, value: float) -> str:
    if kind == "error":
        return f"{value:.0e}" if value else "0"
    if kind != "seconds":
        return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"
    unit, size = next(((unit, size) for unit, size in (("s", 1.0), ("ms", 1e-3)) if value >= size), ("µs", 1e-6))
    return f"{value / size:.3g} {unit}"

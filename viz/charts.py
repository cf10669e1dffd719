"""Charts by matplotlib that follow the reader's theme: what the pictures of cost and of error share.

One drawing makes all formats. In an SVG text stays text, and with the theme "auto" each colour is a CSS variable, so that one
file serves a light page and a dark one. Lines differ in colour, dashes and marker, and nothing depends on colour alone.
"""

from __future__ import annotations

import html
import importlib.util
import io
import math
import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compgraph.errors import InputError, MissingDependencyError
from compgraph.ledger import aligned
from compgraph.tables import mimebundle
from compgraph.whole_files import write_whole
from viz.themes import DASHES, LINES, THEMES, palette

Array = np.ndarray[Any, Any]

_MARKERS = ("o", "s", "^", "D", "v", "P", "p", "h")
_ROLES = ("paper", "ink", "muted", "frame-line")
_DIGITS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_VOID_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # the same picture is the same file


class Line(NamedTuple):
    """A named line through points; `style` is its place among the colours, dashes and markers."""

    name: str
    xs: Array
    ys: Array
    style: int


class Chart:
    """A picture that is made when it is asked for. `str()` is the table of what it shows, and needs no matplotlib."""

    title = ""
    size = (7.0, 4.6)  # inches

    def __init__(self, theme: str) -> None:
        palette(theme)  # refuses another one
        self.theme = theme

    def _draw(self, figure: Any, colours: dict[str, str]) -> None:
        raise NotImplementedError

    def _cells(self) -> list[tuple[str, ...]]:
        raise NotImplementedError

    def __str__(self) -> str:
        return f"{self.title}\n{aligned(self._cells())}"

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text. Raises `MissingDependencyError` without matplotlib."""
        text = self._picture("svg").decode()
        text = text[text.index("<svg") :]
        if self.theme == "auto":
            roles = {colour: role for role, colour in _colours("light").items()}
            text = re.sub("#[0-9a-f]{6}", lambda found: f"var(--cg-{roles[found[0]]}, {found[0]})" if found[0] in roles else found[0], text)
        label = f'class="compgraph-chart" role="img" aria-label="{html.escape(self.title)}"'
        return text.replace("<svg", f"<svg {label}", 1).replace("<defs>", _style(self.theme) + "<defs>", 1)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture in the format that the suffix names: .svg, .png or .pdf; returns the path.

        The file appears whole or not at all. Raises `InputError` for another suffix, `MissingDependencyError` without matplotlib.
        """
        path = Path(path)
        form = path.suffix.lower()
        if form not in (".svg", ".png", ".pdf"):
            raise InputError(f"cannot save {path.name!r}: the name has to end in .svg, .png or .pdf")
        content = self.svg.encode() if form == ".svg" else self._picture(form[1:])
        return write_whole(path, content)

    def _picture(self, form: str) -> bytes:
        if importlib.util.find_spec("matplotlib") is None:
            raise MissingDependencyError(
                'this picture needs matplotlib: pip install "compgraph[plot]". What it would show, print() shows as a table'
            )
        import matplotlib
        from matplotlib.figure import Figure

        colours = _colours("light" if self.theme == "auto" else self.theme)
        settings: Any = {
            "svg.hashsalt": "compgraph", "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 9.0,
            "text.color": colours["ink"], "text.parse_math": False, "text.usetex": False, "axes.edgecolor": colours["frame-line"],
            "axes.labelcolor": colours["ink"], "axes.facecolor": colours["paper"], "axes.titlesize": 9.5, "axes.titlelocation": "left",
            "figure.facecolor": colours["paper"], "xtick.color": colours["muted"], "ytick.color": colours["muted"],
            "axes.grid": True, "grid.color": colours["frame-line"], "grid.linewidth": 0.5, "axes.axisbelow": True,
            "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0, "legend.frameon": False,
        }  # fmt: skip
        with matplotlib.rc_context(settings), io.BytesIO() as file:
            figure = Figure(figsize=self.size, layout="constrained")
            self._draw(figure, colours)
            figure.suptitle(self.title, fontsize=11, x=0.01, ha="left", fontweight="bold")
            metadata: Any = {"svg": _VOID_METADATA, "png": {"Software": None}, "pdf": {"CreationDate": None}}[form]
            figure.savefig(file, format=form, dpi=150, metadata=metadata)
            return file.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return mimebundle(self, {"text/plain": self.__str__, "image/svg+xml": lambda: self.svg})


def _colours(theme: str) -> dict[str, str]:
    """The colours of a plot by role."""
    place = list(THEMES).index(theme)
    return {f"line-{number}": pair[place] for number, pair in enumerate(LINES)} | {role: THEMES[theme][role] for role in _ROLES}


def _style(theme: str) -> str:
    def variables(name: str) -> str:
        return "".join(f" --cg-{role}: {colour};" for role, colour in _colours(name).items())

    rules = "svg.compgraph-chart { max-width: 100%; height: auto; }"
    if theme == "auto":
        rules += f" svg.compgraph-chart {{{variables('light')} color-scheme: light; }}"
        rules += f" @media (prefers-color-scheme: dark) {{ svg.compgraph-chart {{{variables('dark')} color-scheme: dark; }} }}"
    return f"<style>{rules}</style>"


def power(exponent: int) -> str:
    """
    >>> power(-16), power(0), power(1)
    ('10⁻¹⁶', '1', '10')
    """
    return f"10{str(exponent).translate(_DIGITS)}" if exponent not in (0, 1) else str(10**exponent)


def decades(axis: Any, low: float, high: float, most: int = 9) -> None:
    """Ticks of a logarithmic axis at powers of ten, with digits that need no mathematics font."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    exponents = range(first, last + 1, max(1, math.ceil((last - first) / most)))
    axis.set_ticks([10.0**one for one in exponents], [power(one) for one in exponents])
    axis.set_ticks([], minor=True)


def draw_lines(axes: Any, lines: Sequence[Line], colours: dict[str, str], *, marks: int = 1) -> None:
    """The lines, with a marker at every `marks`-th point; later ones have smaller markers, so that those below are seen."""
    for place, line in enumerate(lines):
        dashes = (0, tuple(float(part) / 1.6 for part in DASHES[line.style].split())) if DASHES[line.style] else "solid"
        axes.plot(
            line.xs, line.ys, color=colours[f"line-{line.style}"], linestyle=dashes, marker=_MARKERS[line.style], label=line.name,
            markevery=(line.style * marks // len(LINES), marks), markeredgecolor=colours["paper"], markeredgewidth=0.7,
            markersize=7 - 0.7 * place, linewidth=2.2 - 0.2 * place,
        )  # fmt: skip


def note(axes: Any, text: str, xy: tuple[float, float], colours: dict[str, str], **more: Any) -> Any:
    """Words on a plot at `xy`, on paper so that lines do not run through them."""
    box = {"boxstyle": "round,pad=0.2", "facecolor": colours["paper"], "edgecolor": "none", "alpha": 0.85}
    settings = {"textcoords": "offset points", "xytext": (0, 0), "fontsize": 8.5, "bbox": box, "zorder": 6, **more}
    words = axes.annotate(text, xy, **settings)
    words.set_in_layout(False)  # the plot keeps its size, however long they are
    return words

"""Pictures of computation graphs.

    >>> import numpy as np, compgraph as cg, viz
    >>> def f(x1, x2):
    ...     return np.log(x1) + x1 * x2 - np.sin(x2)
    >>> drawing = viz.draw(cg.evaluate(cg.trace(f, 2.0, 5.0), 2.0, 5.0, mode="reverse"), theme="auto")
    >>> drawing
    Drawing(f: 7 nodes, 8 edges)
    >>> drawing.dot.startswith("digraph")
    True

`drawing.save("f.svg")` writes it, and a notebook shows it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compgraph.errors import InputError
from compgraph.evaluation import EvaluationTrace
from compgraph.graph import Graph, Node
from compgraph.whole_files import write_whole
from viz.diagram import Diagram, diagram_of
from viz.dot import dot_text
from viz.rendering import render, styled_svg
from viz.themes import palette

if TYPE_CHECKING:  # which brings SymPy
    from compgraph.explanation import Explanation


def draw(
    subject: Node | Graph | EvaluationTrace | Explanation,
    *,
    theme: str = "light",
    direction: str = "LR",
    partials: bool = False,
    collapse: bool | str | Collection[str] | None = None,
    force: bool = False,
    highlight: str | Node | Collection[str | Node] | None = None,
) -> Drawing:
    """A drawing of an eager node and what it was computed from, of a graph, an evaluation trace, or an explanation.

    Each node shows its name, formula and value, and its tangent and adjoint where they have been computed; what has
    not been computed is left out, never shown as 0. Of an eager node, the adjoint is its `grad`.

    `theme` is "light", "dark" or, for SVG, "auto", which follows the reader's system. `direction` is where the edges
    point: "LR", "TB", "RL" or "BT". `partials` writes the local partial on each edge into an elementwise primitive.
    `collapse` draws scopes as one box each: all of them (True), none (False), those named, or by default as many
    as it takes to stay below 300 boxes. More than 2,000 boxes need `force=True`. `highlight` marks nodes, given themselves or
    by name, and the edges between those that follow each other; an explanation marks the way of its NaNs by itself.
    Raises `InputError`.
    """
    colours = palette(theme)
    if direction not in ("LR", "TB", "RL", "BT"):
        raise InputError(f"direction {direction!r}: it is 'LR', 'TB', 'RL' or 'BT'")
    diagram = diagram_of(subject, partials=partials, collapse=collapse, force=force, highlight=highlight)
    return Drawing(diagram, dot_text(diagram, colours, direction), theme)


class Drawing:
    """A picture that is made when it is asked for. `dot` is its DOT text and needs no Graphviz."""

    def __init__(self, diagram: Diagram, dot: str, theme: str) -> None:
        self.diagram = diagram
        self.dot = dot
        self.theme = theme

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text, with an id on every node and edge, as in `node-v1` and `edge-v1-v2-0`."""
        return styled_svg(render(self.dot, "svg"), self.diagram, self.theme)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture in the format that the suffix names: .svg, .png, .pdf or .dot; returns the path.

        The file appears whole or not at all.
        """
        path = Path(path)
        form = path.suffix.lower()
        if form not in (".svg", ".png", ".pdf", ".dot"):
            raise InputError(f"cannot save {path.name!r}: the name has to end in .svg, .png, .pdf or .dot")
        if form in (".svg", ".dot"):
            content = (self.svg if form == ".svg" else self.dot).encode()
        else:
            content = render(self.dot, form[1:])
        return write_whole(path, content)

    def __repr__(self) -> str:
        nodes, edges = len(self.diagram.boxes), len(self.diagram.arrows)
        return f"Drawing({self.diagram.name}: {nodes} node{'s' * (nodes != 1)}, {edges} edge{'s' * (edges != 1)})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        try:
            return {"text/plain": repr(self), "image/svg+xml": self.svg}
        except Exception as error:  # a cell that shows a drawing must not fail; the text says what is missing
            return {"text/plain": f"{self.dot}\n{error}"}

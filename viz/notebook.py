"""Graphs in a notebook: once `viz` is imported, a `Graph` shows itself as its picture.

    >>> import compgraph as cg, viz
    >>> bundle = cg.parse("ln(x1) * x2")._repr_mimebundle_()
    >>> bundle["text/plain"].splitlines()[0]
    'f(x1, x2):'

Where there is no Graphviz, and for graphs too large for a picture, it stays the text that the engine shows.
"""

from __future__ import annotations

from functools import lru_cache

from compgraph.graph import Graph, provides
from compgraph.latex import graph_forms
from compgraph.tables import mimebundle
from viz.diagram import COLLAPSE_ABOVE
from viz.drawing import draw


@provides("Graph._repr_mimebundle_")
def graph_bundle(graph: Graph) -> dict[str, str]:
    """The engine's forms with the picture in the HTML, since a notebook prefers HTML to a picture, and by itself."""
    forms = graph_forms(graph)
    if len(graph.nodes) > COLLAPSE_ABOVE:
        return mimebundle(graph, forms)
    picture = lru_cache(lambda: draw(graph, theme="auto").svg)
    drawn = mimebundle(graph, {"text/html": lambda: f"<div>{picture()}</div>", "image/svg+xml": picture})
    return {**mimebundle(graph, forms), **{kind: text for kind, text in drawn.items() if kind != "text/plain"}}

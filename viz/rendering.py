"""DOT -> SVG, PNG, PDF: by the program `dot` where there is one, otherwise by the Graphviz inside pygraphviz."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import graphviz

from compgraph.errors import CompgraphError, InputError, MissingDependencyError
from viz.diagram import Diagram, printable
from viz.themes import role_of, style_sheet

INSTALL = 'pip install "compgraph[render]"'
NO_RENDERER = (
    "drawing needs Graphviz, and there is neither a `dot` program on the PATH nor the package pygraphviz. Install one:\n"
    f"    {INSTALL}\n"
    "or, on Debian and Ubuntu:\n"
    "    apt-get install graphviz\n"
    'The DOT text needs neither: drawing.dot, or drawing.save("graph.dot").'
)

_WHEEL = Path(__file__).with_name("wheel_graphviz.py")


def render(dot: str, form: str) -> bytes:
    """The picture that `dot` describes, as "svg", "png" or "pdf".

    Raises `MissingDependencyError` where no Graphviz is installed, or the one that is cannot write this format, and
    `InputError` where it breaks down under the size of the drawing.
    """
    if form == "png":  # twice the 96 dots an inch of a screen, for sharp text
        dot = dot.replace("{", "{ graph [dpi=192]", 1)
    program = shutil.which("dot")
    if program is None and importlib.util.find_spec("pygraphviz") is None:
        raise MissingDependencyError(NO_RENDERER)
    try:
        if program is not None:
            return graphviz.Source(dot).pipe(format=form, engine="dot", quiet=True)
        return subprocess.run([sys.executable, "-P", str(_WHEEL), form], input=dot.encode(), capture_output=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        raise _failure(error, program or "pygraphviz", form) from error


def _failure(error: subprocess.CalledProcessError, program: str, form: str) -> CompgraphError:
    said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
    if not 0 < error.returncode < 256:  # ended by a signal: layouts with very many long edges overflow its stack
        return InputError(
            f"{program} broke down (exit status {error.returncode}): the drawing is too large for it. Collapse scopes "
            "(collapse=True), draw a smaller part, or keep the DOT text for another program."
        )
    reason = said[-1] if said else f"exit status {error.returncode}"
    other = "apt-get install graphviz" if program == "pygraphviz" else f"{INSTALL} or apt-get install graphviz"
    return MissingDependencyError(f"{program} cannot write {form.upper()}: {reason}. Another Graphviz may: {other}")


# ---------------------------------------------------------------------------------------------- SVG

_SVG = "http://www.w3.org/2000/svg"
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def styled_svg(svg: bytes, diagram: Diagram, theme: str) -> str:
    """Graphviz's SVG with a style sheet instead of fixed colours, and with titles that can be read out."""
    root = ElementTree.fromstring(svg)
    root.set("class", f"compgraph compgraph-{theme}")
    root.set("role", "img")
    root.set("aria-label", diagram.title)
    style = ElementTree.Element(f"{{{_SVG}}}style")
    style.text = f"\n{style_sheet()}\n"
    root.insert(0, style)
    titles = {box.id: box.title for box in diagram.boxes}
    titles |= {arrow.id: arrow.title for arrow in diagram.arrows}
    titles |= {identity: printable(f"scope {scope}") for scope, identity in diagram.frames.items()}
    roles = role_of(theme)
    for element in root.iter():
        for paint in ("fill", "stroke"):
            role = roles.get(element.get(paint, ""))
            if role is not None:
                element.set("class", f"{element.get('class', '')} {paint}-{role}".strip())
        if element.tag == f"{{{_SVG}}}text" and element.get("fill") is None:
            element.set("class", "fill-ink")
        title = element.find(f"{{{_SVG}}}title")
        if title is None and element.get("class") == "graph":  # later releases of Graphviz give none to a graph without a name
            title = ElementTree.Element(f"{{{_SVG}}}title")
            element.insert(0, title)
        if title is not None:
            title.text = titles.get(element.get("id", ""), diagram.title)
    return ElementTree.tostring(root, encoding="unicode") + "\n"

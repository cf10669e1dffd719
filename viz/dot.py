"""Diagram -> DOT, the language of Graphviz.

Every text goes into an HTML-like label, where `html.escape` and one rule for backslashes make any text harmless.
"""

from __future__ import annotations

import html
from collections.abc import Iterator

from viz.diagram import Arrow, Box, Diagram, Line, prefixes, short_name
from viz.themes import FONTS

# The outline tells the kinds apart without colour: inputs are rounded, operations square, outputs have a double
# line, constants and captured variables a dashed one, and a collapsed scope looks like a folder.
_OUTLINES = {
    "input": 'style="filled,rounded"',
    "variable": 'style="filled,rounded,dashed"',
    "constant": 'style="filled,dashed"',
    "operation": "",
    "scope": "shape=tab",
}


_DERIVATIVES = {"dot": "tangent", "bar": "adjoint", "": ""}


def escaped(text: str) -> str:
    r"""Text for an HTML-like label, where `\N` and its like would be replaced by a name.

    >>> escaped(r"<b>\N")
    '&lt;b&gt;\\\\N'
    """
    return html.escape(text).replace("\\", "\\\\")


def dot_text(diagram: Diagram, colours: dict[str, str], direction: str) -> str:
    """The whole drawing as DOT text, colours included."""
    return "\n".join(
        [
            "digraph {",
            *(f"  {line}" for line in _defaults(colours, direction, len(diagram.boxes))),
            *_framed(diagram, colours),
            *(f"  {_edge(arrow, colours)}" for arrow in diagram.arrows),
            "}\n",
        ]
    )


def _defaults(colours: dict[str, str], direction: str, count: int) -> list[str]:
    font = f'fontname="{",".join(FONTS)}"'
    wide = direction in ("LR", "RL")
    # Left alone, dot spends seconds on a last few crossings in drawings of some hundred boxes with frames.
    effort = " mclimit=0.3 nslimit=1" if count > 100 else ""
    return [
        f'graph [rankdir={direction} bgcolor="{colours["paper"]}" pad=0.2 nodesep={0.22 if wide else 0.3}'
        f" ranksep={0.42 if wide else 0.35} {font} fontsize=10{effort}]",
        f'node [shape=box style=filled fillcolor="{colours["operation"]}" color="{colours["operation-line"]}" penwidth=1 '
        f'margin="0.1,0.055" height=0.3 width=0.3 {font} fontsize=11 fontcolor="{colours["ink"]}"]',
        f'edge [color="{colours["edge"]}" penwidth=1 arrowsize=0.6 {font} fontsize=9 fontcolor="{colours["muted"]}"]',
    ]


# ------------------------------------------------------------------------------------------- frames


def _framed(diagram: Diagram, colours: dict[str, str]) -> Iterator[str]:
    """The boxes, each inside the frames of its scopes; a scope that is entered twice is still one frame."""
    inside: dict[str, list[Box]] = {}
    for box in diagram.boxes:
        inside.setdefault(box.scope, []).append(box)
    children: dict[str, list[str]] = {}
    for scope in diagram.frames:
        around = prefixes(scope)[:-1]
        children.setdefault(around[-1] if around else "", []).append(scope)
    pending: list[tuple[str, int] | str] = [("", 0)]
    while pending:  # not recursive, since scopes may nest deeply
        entry = pending.pop()
        if isinstance(entry, str):
            yield entry
            continue
        scope, depth = entry
        margin = "  " * (depth + 1)
        if scope:
            yield f'{margin[2:]}subgraph "cluster_{diagram.frames[scope]}" {{'
            yield f"{margin}{_frame(scope, diagram.frames[scope], colours)}"
            pending.append(f"{margin[2:]}}}")
        for box in inside.get(scope, ()):
            yield f"{margin}{_node(box, colours)}"
        pending += [(child, depth + 1) for child in reversed(children.get(scope, []))]


def _frame(scope: str, identity: str, colours: dict[str, str]) -> str:
    label = escaped(short_name(scope.rpartition("/")[2]))
    return (
        f'graph [id="{identity}" class="scope" label=<{label}> labeljust=l style="filled,rounded" margin=10 '
        f'fillcolor="{colours["frame"]}" color="{colours["frame-line"]}" fontcolor="{colours["muted"]}"]'
    )


# -------------------------------------------------------------------------------- nodes and edges


def _node(box: Box, colours: dict[str, str]) -> str:
    role = {"variable": "input"}.get(box.kind, "output" if box.is_output and box.kind == "operation" else box.kind)
    attributes = [f'id="{box.id}"', f'class="{classes(box)}"', _OUTLINES[box.kind]]
    if box.is_output:
        attributes.append("peripheries=2")
    if role != "operation":
        attributes.append(f'fillcolor="{colours[role]}"')
    if box.marked:
        attributes.append(f'penwidth=3 color="{colours["mark"]}"')
    elif role != "operation":
        attributes.append(f'color="{colours[role + "-line"]}"')
    attributes.append(f"label=<{_label(box, colours)}>")
    return f'"{box.id}" [{" ".join(filter(None, attributes))}]'


def classes(box: Box) -> str:
    """What a page may select the box by."""
    words = [box.kind, "output" if box.is_output else "", _DERIVATIVES[box.derivative], "marked" if box.marked else ""]
    return " ".join(filter(None, words))


def _label(box: Box, colours: dict[str, str]) -> str:
    """The lines of a box, their equals signs below each other.

    Left sides are filled up with spaces to one length, which aligns them in a monospaced font. Columns of a table
    would not do: Graphviz gives the cells of a row that has bold letters different baselines.
    """
    width = max((len(line.left) for line in box.lines if line.right), default=0)
    rows = "".join(_row(line, box, width, colours, first=place == 0) for place, line in enumerate(box.lines))
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>'


def _row(line: Line, box: Box, width: int, colours: dict[str, str], *, first: bool) -> str:
    role = {"primal": "", "shape": "muted"}.get(line.role, line.role)
    left = "&#160;" * (width - len(line.left)) * bool(line.right) + escaped(line.left)
    left = _coloured(left, _DERIVATIVES[box.derivative] if first else role, colours)
    left = f"<B>{left}</B>" if first else left
    if not line.right:
        return f"<TR><TD>{left}</TD></TR>"
    equals = _coloured("&#160;=&#160;", role or "muted", colours)
    return f'<TR><TD ALIGN="LEFT">{left}{equals}{_coloured(escaped(line.right), role, colours)}</TD></TR>'


def _coloured(text: str, role: str, colours: dict[str, str]) -> str:
    return f'<FONT COLOR="{colours[role]}">{text}</FONT>' if role and text else text


def _edge(arrow: Arrow, colours: dict[str, str]) -> str:
    label = f" label=<{'<BR/>= '.join(map(escaped, arrow.label))}>" if arrow.label else ""
    mark = f' penwidth=2.5 color="{colours["mark"]}"' if arrow.marked else ""
    return f'"{arrow.tail}" -> "{arrow.head}" [id="{arrow.id}"{mark}{label}]'

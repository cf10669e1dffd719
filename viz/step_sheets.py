"""The pictures of a stepper: each laid out once by Graphviz, with room for the widest number that a step will show.

A graph of up to 300 nodes is one sheet. A larger one is a sheet of its scopes, and a sheet for the inside of each;
what has too many nodes and no scopes is cut into runs of nodes. So a layout never has more boxes than can be read, and
the time grows with the number of nodes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from compgraph.formulas import formula
from compgraph.graph import Graph, Node
from viz.diagram import COLLAPSE_ABOVE, Arrow, Box, Diagram, Ids, Line, prefixes, printable, short_name
from viz.dot import dot_text
from viz.rendering import render, styled_svg
from viz.themes import palette

_RUN = 30  # nodes in a run, where there are no scopes
_MOST_RUNS = 40  # on a sheet; edges past many boxes in a row are what takes Graphviz long
_MOST_AROUND = 40  # nodes outside a sheet whose results it shows
_WIDEST = 26  # characters of a number in a box
_SVG = "{http://www.w3.org/2000/svg}"


class Group(NamedTuple):
    """A box for several nodes, which has a sheet of its own."""

    title: str
    path: str  # the scope, or that of the nodes of a run
    members: tuple[Node, ...]


class Sheet(NamedTuple):
    """A picture, and the number of the sheet that it is a part of, or -1.

    In the SVG a box says which node it is (`data-node`, its place in the graph), or which sheet it stands for
    (`data-sheet`); an edge says where it comes from and goes to (`data-tail` and `data-head`: the same two, the latter
    as in `s3`), a frame and a box for a sheet which nodes are inside (`data-inside`, as in `0-12 15-15`).
    """

    title: str
    parent: int
    svg: str


class Texts(NamedTuple):
    """What a box says: what the user called the node, its last value and derivative, and how long these may get.

    A `derivative` of no room has no line.
    """

    alias: str
    value: str
    derivative: str
    value_room: int
    derivative_room: int


def sheets_of(graph: Graph, texts: Mapping[Node, Texts], prefix: str, direction: str = "TB") -> list[Sheet]:
    """The sheets of a graph, the whole first."""
    planned: list[tuple[Group, int, list[Node | Group]]] = []
    pending: list[tuple[Group, int]] = [(Group(graph.name, "", graph.nodes), -1)]
    while pending:
        group, parent = pending.pop(0)
        items = _items(group, COLLAPSE_ABOVE if parent < 0 else 2 * _RUN)
        planned.append((group, parent, items))
        pending += [(item, len(planned) - 1) for item in items if isinstance(item, Group)]
    scribe = _Scribe(graph, texts)
    numbers = {id(group): place for place, (group, _, _) in enumerate(planned)}

    def drawn(place: int) -> Sheet:
        group, parent, items = planned[place]
        return scribe.sheet(group, parent, items, numbers, f"{prefix}{place}", direction)

    with ThreadPoolExecutor(4) as workers:  # Graphviz is a program of its own
        return list(workers.map(drawn, range(len(planned))))


def _items(group: Group, most: int) -> list[Node | Group]:
    """What a sheet shows of a group: its nodes, or the scopes in it, or runs of these."""
    members = group.members
    if len(members) <= most:
        return list(members)
    inner: dict[str, list[Node]] = {}
    items: list[Node | str] = []
    depth = len(prefixes(group.path))
    for node in members:
        around = prefixes(node.scope)
        if len(around) <= depth:
            items.append(node)
            continue
        if around[depth] not in inner:
            items.append(around[depth])
        inner.setdefault(around[depth], []).append(node)
    found = [Group(item.rpartition("/")[2], item, tuple(inner[item])) if isinstance(item, str) else item for item in items]
    if len(found) == 1 and isinstance(found[0], Group):
        return _items(found[0], most)
    return found if len(found) <= most else _runs(found, group.path)


def _runs(items: Sequence[Node | Group], path: str) -> list[Node | Group]:
    """Consecutive items together, in at most 40 runs."""
    size = max(_RUN, -(-len(items) // _MOST_RUNS))
    runs: list[Node | Group] = []
    for begin in range(0, len(items), size):
        members = [node for item in items[begin : begin + size] for node in (item.members if isinstance(item, Group) else (item,))]
        runs.append(Group("", path, tuple(members)))
    return runs


class _Scribe:
    def __init__(self, graph: Graph, texts: Mapping[Node, Texts]) -> None:
        self.graph = graph
        self.texts = texts
        self.names = {node: short_name(name) for node, name in graph.names.items()}
        self.places = {node: place for place, node in enumerate(graph.nodes)}
        self.inputs, self.outputs = set(graph.inputs), set(graph.outputs)

    def sheet(
        self, group: Group, parent: int, items: Sequence[Node | Group], numbers: Mapping[int, int], prefix: str, direction: str
    ) -> Sheet:
        ids = Ids()
        depth = len(prefixes(group.path))
        owner: dict[Node, Node | Group] = {}
        for item in items:
            owner.update(dict.fromkeys(item.members if isinstance(item, Group) else (item,), item))
        around = [arg for node in owner for arg in node.args if isinstance(arg, Node) and arg not in owner]
        shown: list[Node | Group] = [*list(dict.fromkeys(around))[:_MOST_AROUND], *items]
        boxes = {self._key(item): self._box(item, ids, depth, outside=item not in owner and not isinstance(item, Group)) for item in shown}
        arrows: dict[tuple[str, str, int], Arrow] = {}
        for node, item in owner.items():
            head = boxes[self._key(item)]
            for index, arg in enumerate(node.args):
                tail = boxes.get(self._key(owner.get(arg, arg))) if isinstance(arg, Node) else None
                if tail is None or tail is head:
                    continue
                bundled = 0 if "scope" in (tail.kind, head.kind) else index
                if (tail.id, head.id, bundled) not in arrows:
                    identity = ids.make("edge", tail.id.removeprefix("node-"), head.id.removeprefix("node-"), str(bundled))
                    title = f"{self.names[arg]} is argument {index} of {self.names[node]}"
                    arrows[tail.id, head.id, bundled] = Arrow(identity, tail.id, head.id, (), printable(title))
        frames = {scope: ids.make("frame", scope) for scope in dict.fromkeys(p for box in boxes.values() for p in prefixes(box.scope))}
        title = self._title(group)
        diagram = Diagram(title, tuple(boxes.values()), tuple(arrows.values()), frames, f"Computation graph of {title}")
        dot = dot_text(diagram, palette("auto"), direction)
        if len(self.places) > COLLAPSE_ABOVE:  # there are many sheets to be made: the last crossings are not worth it
            dot = dot.replace("{", "{ graph [mclimit=0.3 nslimit=1]", 1)
        svg = styled_svg(render(dot, "svg"), diagram, "auto")
        marks: dict[str, dict[str, str]] = {}
        texts: dict[str, Texts] = {}
        for item in shown:
            box = boxes[self._key(item)]
            if isinstance(item, Group):
                marks[box.id] = {"data-sheet": str(numbers[id(item)]), "data-inside": self._ranges(item.members)}
            else:
                marks[box.id] = {"data-node": str(self.places[item])}
                texts[box.id] = self.texts[item]
        ends = {name: mark.get("data-node") or f"s{mark['data-sheet']}" for name, mark in marks.items()}
        marks |= {arrow.id: {"data-tail": ends[arrow.tail], "data-head": ends[arrow.head]} for arrow in arrows.values()}
        for scope, identity in frames.items():
            inside = [item for item in items if not isinstance(item, Group) and scope in prefixes(boxes[self._key(item)].scope)]
            marks[identity] = {"data-inside": self._ranges(inside)}
        return Sheet(title, parent, _prepared(svg, diagram, marks, texts, prefix))

    def _ranges(self, nodes: Sequence[Node]) -> str:
        """The places of nodes as ranges, both ends included.

        >>> import compgraph as cg
        >>> graph = cg.parse("x * y + x")
        >>> _Scribe(graph, {})._ranges([graph.nodes[place] for place in (0, 1, 3)])
        '0-1 3-3'
        """
        ranges: list[list[int]] = []
        for place in sorted(self.places[node] for node in nodes):
            if ranges and ranges[-1][1] == place - 1:
                ranges[-1][1] = place
            else:
                ranges.append([place, place])
        return " ".join(f"{first}-{last}" for first, last in ranges)

    def _key(self, item: Node | Group) -> int:
        return id(item)

    def _title(self, group: Group) -> str:
        if group.title:
            return short_name(group.title)
        return f"{self.names[group.members[0]]} … {self.names[group.members[-1]]}"

    def _box(self, item: Node | Group, ids: Ids, depth: int, *, outside: bool) -> Box:
        if isinstance(item, Group):
            title = self._title(item)
            count = f"{len(item.members)} node{'s' * (len(item.members) != 1)}"
            output = any(node in self.outputs for node in item.members)
            words = (Line("primal", title, ""), Line("shape", count, ""))
            return Box(ids.make("scope", title), "scope", output, "", "", words, printable(f"{title}: {count}"))
        node, name = item, self.names[item]
        kind = "input" if node in self.inputs else "variable" if node.primitive is None else "operation"
        if node.primitive is not None and node.primitive.name == "constant":
            kind = "constant"
        rule = printable(formula(node, self.names.__getitem__), 40) if kind == "operation" else ""
        texts = self.texts[node]
        lines: list[Line] = [Line("primal", name, rule), Line("primal", short_name(texts.alias), "0" * texts.value_room)]
        if texts.derivative_room:
            lines.append(Line("adjoint", f"{name}_bar", "0" * texts.derivative_room))
        # Only frames of scopes below that of the sheet.
        scope = "" if outside else "/".join(node.scope.split("/")[depth:]) if node.scope else ""
        return Box(ids.make("node", self.graph.names[node]), kind, node in self.outputs, "", scope, tuple(lines), f"{kind} {name}")


def texts_of(alias: str, values: Sequence[str], derivatives: Sequence[str]) -> Texts:
    """Room for all these texts, the last of which are shown, and for the numbers that another seed makes of the derivatives."""
    widths = [max((min(len(text), _WIDEST) for text in texts), default=0) for texts in (values, derivatives)]
    value, derivative = (printable(texts[-1], _WIDEST) if texts else "–" for texts in (values, derivatives))
    return Texts(alias, value, derivative, max(widths[0], 1), max(widths[1], 9) if derivatives else 0)


def _prepared(
    svg: str, diagram: Diagram, marks: Mapping[str, Mapping[str, str]], texts: Mapping[str, Texts], prefix: str
) -> str:
    """Graphviz's SVG with ids of this sheet alone, without its style sheet, and with marks on the texts that steps change."""
    root = ElementTree.fromstring(svg)
    for style in root.findall(f"{_SVG}style"):
        root.remove(style)
    root.set("role", "group")
    boxes = {box.id: box for box in diagram.boxes}
    for element in root.iter():
        for name in ("font-family", "font-size", "fill", "stroke", "text-anchor"):  # which the style sheet says once
            if element.tag == f"{_SVG}text" or (name in ("fill", "stroke") and f"{name}-" in element.get("class", "")):
                element.attrib.pop(name, None)
        identity = element.get("id")
        if identity is not None:
            element.set("id", f"{prefix}-{identity}")
            for name, text in marks.get(identity, {}).items():
                element.set(name, text)
            if identity in texts:
                _mark(element, boxes[identity], texts[identity])
    ElementTree.indent(root, "")
    return ElementTree.tostring(root, encoding="unicode").strip()


def _mark(element: ElementTree.Element, box: Box, texts: Texts) -> None:
    """Call the texts of the lines with the value and the derivative what they are, and let them say what they show last."""
    rows: dict[float, list[ElementTree.Element]] = {}
    for text in element.findall(f"{_SVG}text"):
        if (text.text or "").strip("\xa0 "):
            rows.setdefault(float(text.get("y", "0")), []).append(text)
        else:  # what filled up a left side
            element.remove(text)
    for height, line in list(zip(sorted(rows), box.lines, strict=True))[1:]:
        row = sorted(rows[height], key=lambda text: float(text.get("x", "0")))
        _add_class(row[-1], "shows-value" if line.role == "primal" else "shows-derivative")
        row[-1].set("data-room", str(len(line.right)))
        row[-1].text = texts.value if line.role == "primal" else texts.derivative
        if line.role == "adjoint":
            _add_class(row[0], "shows-name")
            for text in row[1:-1]:
                _add_class(text, "shows-sign")


def _add_class(element: ElementTree.Element, name: str) -> None:
    element.set("class", f"{element.get('class', '')} {name}".strip())

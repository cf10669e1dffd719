"""What a drawing shows, before anybody decides how it looks: boxes, arrows and frames, all of it plain text.

    >>> import numpy as np, compgraph as cg
    >>> diagram = diagram_of(cg.trace(lambda x: np.sin(x) * x, 1.0))
    >>> [(box.id, box.kind, box.lines[0].right) for box in diagram.boxes]
    [('node-x', 'input', ''), ('node-v1', 'operation', 'sin(x)'), ('node-v2', 'operation', 'v1 * x')]
    >>> [arrow.id for arrow in diagram.arrows]
    ['edge-x-v1-0', 'edge-v1-v2-0', 'edge-x-v2-1']

Texts come here as users wrote them and leave short and printable, on one line; ids are made of safe letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from compgraph.errors import InputError
from compgraph.evaluation import EvaluationTrace
from compgraph.formulas import formula
from compgraph.graph import Graph, Node, graph_of
from compgraph.literals import number

COLLAPSE_ABOVE = 300
REFUSE_ABOVE = 2000


class Line(NamedTuple):
    """`left = right`; an empty `left` continues the line above, and an empty `right` leaves the name alone."""

    role: str  # "primal", "shape", "tangent" or "adjoint"
    left: str
    right: str


class Box(NamedTuple):
    """A node, or a collapsed scope."""

    id: str
    kind: str  # "input", "operation", "constant", "variable" (captured by the function) or "scope"
    is_output: bool
    derivative: str  # "dot", "bar", or "" for a node of the original program
    scope: str
    lines: tuple[Line, ...]
    title: str
    marked: bool = False


class Arrow(NamedTuple):
    """An argument on its way to a box; `label` is its local partial, a line each for symbols and number."""

    id: str
    tail: str
    head: str
    label: tuple[str, ...]
    title: str
    marked: bool = False


class Diagram(NamedTuple):
    name: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    frames: dict[str, str]  # the path of each scope that is drawn as a frame -> its id
    title: str


# --------------------------------------------------------------------------------------------- text


def printable(text: str, limit: int = 200) -> str:
    r"""One line of at most `limit` characters, each of which an XML file may hold and a reader can see.

    >>> printable("a\nb\x00 é"), printable("x" * 10_000, 5)
    ('a\\nb\\x00 é', 'xxxx…')
    """
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def short_name(name: str) -> str:
    return printable(name, 24)


class Ids:
    """Ids that are unique in the drawing and depend on names alone.

    >>> ids = Ids()
    >>> ids.make("node", "w[0]"), ids.make("node", "w 0"), ids.make("node", "<é>")
    ('node-w-0', 'node-w-0-2', 'node-_')
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def make(self, *parts: str) -> str:
        wish = "-".join(re.sub(r"[^A-Za-z0-9_]+", "-", part[:60]).strip("-") or "_" for part in parts)
        serial = self._taken.get(wish, 0)
        result = wish
        while result in self._taken:
            serial = max(serial, 1) + 1
            result = f"{wish}-{serial}"
        self._taken[wish] = serial
        self._taken.setdefault(result, 0)
        return result


# ------------------------------------------------------------------------------------------ subject


def evaluated(subject: Any) -> EvaluationTrace:
    """A node, graph, evaluation trace or explanation, as a trace of what is known of it.

    An eager node brings the values it holds, and the `grad` that `backward` left as adjoints.
    """
    explained = getattr(subject, "trace", None)
    if isinstance(explained, EvaluationTrace):
        return explained
    if isinstance(subject, EvaluationTrace):
        return subject
    if not isinstance(subject, (Node, Graph)):
        raise InputError(f"draw takes a node, a graph or an evaluation trace, not {type(subject).__name__}")
    graph = subject if isinstance(subject, Graph) else graph_of(subject)
    trace = EvaluationTrace(graph, "primal", {node: node.value for node in graph.nodes if node.value is not None})
    if isinstance(subject, Node):
        trace.adjoints = {node: node.grad for node in graph.nodes if node.grad is not None}
    return trace


# ------------------------------------------------------------------------------------------- scopes


def prefixes(scope: str) -> list[str]:
    """A scope and those around it, outermost first.

    >>> prefixes("net/layer1"), prefixes("")
    (['net', 'net/layer1'], [])
    """
    parts = scope.split("/") if scope else []
    return [prefix for depth in range(len(parts)) if (prefix := "/".join(parts[: depth + 1]))]


def collapsed_scopes(nodes: Collection[Node], collapse: Any) -> set[str]:
    """The scopes that are drawn as one box each.

    `collapse` is True for all, False for none, a set of their names, or None: then a graph of more than 300 nodes
    is collapsed at the deepest level that leaves at most 300 boxes, or else at the outermost.
    """
    scopes = dict.fromkeys(prefix for scope in dict.fromkeys(node.scope for node in nodes) for prefix in prefixes(scope))
    if collapse is None:
        if len(nodes) <= COLLAPSE_ABOVE:
            return set()
        deepest = max((scope.count("/") for scope in scopes), default=0)
        for depth in range(deepest, -1, -1):
            level = {scope for scope in scopes if scope.count("/") == depth}
            if depth == 0 or len({owner(node, level) or node for node in nodes}) <= COLLAPSE_ABOVE:
                return level
    if isinstance(collapse, bool):
        return {scope for scope in scopes if "/" not in scope} if collapse else set()
    wanted = {collapse} if isinstance(collapse, str) else set(collapse)
    unknown = sorted(repr(printable(str(scope), 60)) for scope in wanted - set(scopes))
    if unknown:
        known = ", ".join(repr(printable(scope, 60)) for scope in list(scopes)[:20]) or "none"
        raise InputError(f"collapse: no scope {', '.join(unknown)}; the scopes of this graph are {known}")
    return wanted


def owner(node: Node, collapsed: set[str]) -> str:
    """The outermost collapsed scope that swallows the node, or an empty string."""
    return next((prefix for prefix in prefixes(node.scope) if prefix in collapsed), "") if node.scope else ""


# ------------------------------------------------------------------------------------------ diagram


def marked_in(subject: Any, graph: Graph, highlight: Any) -> tuple[set[Node], set[tuple[Node, Node]]]:
    """The nodes to mark, given themselves or by name, and the pairs whose arrows are marked, in either direction.

    Nodes that follow each other in `highlight` are joined; an explanation brings its own.
    """
    if highlight is None:
        nodes, pairs = getattr(subject, "highlight", ((), ()))
    else:
        by_name = {name: node for node, name in graph.names.items()}
        wanted = [highlight] if isinstance(highlight, (str, Node)) else list(highlight)
        unknown = [one for one in wanted if (one not in by_name if isinstance(one, str) else one not in graph.names)]
        if unknown:
            known = ", ".join(list(by_name)[:20])
            raise InputError(f"highlight: no node {printable(str(unknown[0]), 60)!r} in {graph.name}; there are {known}")
        nodes = [by_name[one] if isinstance(one, str) else one for one in wanted]
        pairs = tuple(pairwise(nodes))
    return set(nodes), {*pairs, *(pair[::-1] for pair in pairs)}


def diagram_of(
    subject: Any, *, partials: bool = False, collapse: Any = None, force: bool = False, highlight: Any = None
) -> Diagram:
    """Boxes, arrows and frames for a node, a graph or an evaluation trace; see `viz.draw` for the arguments."""
    trace = evaluated(subject)
    graph = trace.graph
    collapsed = collapsed_scopes(graph.nodes, collapse)
    swallowed: dict[str, list[Node]] = {}
    for node in graph.nodes:
        swallowed.setdefault(owner(node, collapsed), []).append(node)
    drawn = len(swallowed.get("", ())) + sum(scope != "" for scope in swallowed)
    if drawn > REFUSE_ABOVE and not force:
        raise InputError(
            f"{graph.name}: {drawn} nodes are too many for a picture that anybody can read (the limit is {REFUSE_ABOVE}). "
            'Build parts of the graph under `with cg.scope("layer1"):`, which large drawings collapse into one box each, '
            "or pass force=True and wait."
        )
    marked, ways = marked_in(subject, graph, highlight)
    scribe = _Scribe(trace, partials)
    boxes: dict[Any, Box] = {}  # by node, or by the name of a collapsed scope
    for node in graph.nodes:
        scope = owner(node, collapsed)
        if not scope:
            boxes[node] = scribe.box(node)._replace(marked=node in marked)
        elif scope not in boxes:
            boxes[scope] = scribe.scope_box(scope, swallowed[scope])._replace(marked=not marked.isdisjoint(swallowed[scope]))
    frames = dict.fromkeys(prefix for box in boxes.values() for prefix in prefixes(box.scope))
    frame_ids = {scope: scribe.ids.make("scope", scope) for scope in frames}
    arrows = [
        scribe.arrow(tail, head, ends)._replace(marked=any((node.args[index], node) in ways for node, index in ends))
        for (tail, head, _), ends in _bundles(graph, lambda node: boxes[owner(node, collapsed) or node]).items()
    ]
    inputs = ", ".join(short_name(graph.names[node]) for node in graph.inputs)
    title = f"Computation graph of {short_name(graph.name)}({inputs}): {len(boxes)} nodes, {len(arrows)} edges"
    return Diagram(short_name(graph.name), tuple(boxes.values()), tuple(arrows), frame_ids, printable(title))


Ends = list[tuple[Node, int]]  # the nodes at the heads of arrows, and which of their arguments each arrow is


def _bundles(graph: Graph, box_of: Callable[[Node], Box]) -> dict[tuple[Box, Box, int], Ends]:
    """An arrow for each argument; one for all arguments that a collapsed scope passes to, or takes from, the same box."""
    bundles: dict[tuple[Box, Box, int], Ends] = {}
    for node in graph.nodes:
        head = box_of(node)
        for index, arg in enumerate(node.args):
            tail = box_of(arg) if isinstance(arg, Node) else head
            if tail is not head:
                bundled = "scope" in (tail.kind, head.kind)
                bundles.setdefault((tail, head, 0 if bundled else index), []).append((node, index))
    return bundles


class _Scribe:
    """Puts the nodes of one evaluation trace into words."""

    def __init__(self, trace: EvaluationTrace, shows_partials: bool) -> None:
        self.trace = trace
        self.shows_partials = shows_partials
        self.names = {node: short_name(name) for node, name in trace.graph.names.items()}
        self.inputs, self.outputs = set(trace.graph.inputs), set(trace.graph.outputs)
        self.ids = Ids()
        self.partials: dict[tuple[Node, int], Any] = {}
        if shows_partials and all(node in trace.values for node in trace.graph.nodes):
            with np.errstate(all="ignore"):  # a partial may be infinite, and is shown so
                self.partials = trace.partials

    def box(self, node: Node) -> Box:
        lines = tuple(self.lines(node))
        kind, is_output = self.kind(node), node in self.outputs
        role, primal = self.trace.graph.roles.get(node, ("", None))
        words = [f"{line.left or self.names[node]} = {line.right}" if line.right else line.left for line in lines]
        if primal in self.names:
            derivatives = " of the ".join(_DERIVATIVES[suffix] for suffix in reversed(role.split("_")))
            words.append(f"the {derivatives} of {self.names[primal]}")
        title = f"{kind}{', output' * is_output}: {'; '.join(words)}"
        name = self.trace.graph.names[node]
        return Box(self.ids.make("node", name), kind, is_output, role.rpartition("_")[2], node.scope, lines, printable(title, 400))

    def kind(self, node: Node) -> str:
        if node.primitive is None:
            return "input" if node in self.inputs else "variable"
        return "constant" if node.primitive.name == "constant" else "operation"

    def lines(self, node: Node) -> Iterator[Line]:
        """A node as equations: its formula, its value, its tangent, its adjoint. What was not computed has no line."""
        trace, name = self.trace, self.names[node]
        value = number(trace.values[node]) if node in trace.values else ""
        rule = printable(formula(node, self.names.__getitem__), 60) if self.kind(node) == "operation" else ""
        yield Line("primal", name, rule or value)
        if rule and value:
            yield Line("primal", "", value)
        if not value and node.shape:
            yield Line("shape", f"shape {node.shape}", "")
        for role, suffix, computed in (("tangent", "dot", trace.tangents), ("adjoint", "bar", trace.adjoints)):
            if node in computed:
                yield Line(role, f"{name}_{suffix}", number(computed[node]))

    def scope_box(self, scope: str, nodes: list[Node]) -> Box:
        outer, _, last = scope.rpartition("/")
        count = f"{len(nodes)} node{'s' * (len(nodes) != 1)}"
        outputs = [self.names[node] for node in nodes if node in self.outputs]
        title = f"scope {printable(scope, 60)}: {count}" + (f", output {', '.join(outputs)}" if outputs else "")
        lines = (Line("primal", short_name(last), ""), Line("shape", count, ""))
        return Box(self.ids.make("scope", scope), "scope", bool(outputs), "", outer, lines, printable(title, 400))

    def arrow(self, tail: Box, head: Box, ends: Ends) -> Arrow:
        node, index = ends[0]
        if "scope" in (tail.kind, head.kind):
            identity = self.ids.make("edge", _stem(tail), _stem(head), "0")
            count = f"{len(ends)} edge{'s' * (len(ends) != 1)}"
            return Arrow(identity, tail.id, head.id, (), f"{count} from {tail.lines[0].left} to {head.lines[0].left}")
        identity = self.ids.make("edge", _stem(tail), _stem(head), str(index))
        names = self.names[node.args[index]], self.names[node]
        label = tuple(self.partial(node, index)) if self.shows_partials else ()
        title = f"{names[0]} is argument {index} of {names[1]}" + (f"; {' = '.join(label)}" if label else "")
        return Arrow(identity, tail.id, head.id, label, printable(title, 400))

    def partial(self, node: Node, index: int) -> Iterator[str]:
        """The local partial in symbols, then as a number where the values are known and it says more."""
        if node.primitive is None or node.primitive.kind(index) != "elementwise":
            return
        with np.errstate(all="ignore"):
            text = self.trace.partial_text(node, index)
        yield f"∂{self.names[node]}/∂{self.names[node.args[index]]} = {printable(text, 40)}"
        if (node, index) in self.partials:
            value = number(self.partials[node, index])
            if value != text:
                yield value


_DERIVATIVES = {"dot": "tangent", "bar": "adjoint"}


def _stem(box: Box) -> str:
    """A box's id without its first word, for the ids of its edges."""
    return box.id.removeprefix("node-")

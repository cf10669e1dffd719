"""The double `where`: a NaN in a branch that is not selected, and the inner `where` that keeps it out of every library's gradient."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from compgraph.formulas import expression, formula
from compgraph.graph import Graph, Node, ancestors, bind, placeholder
from compgraph.modes import mode_with
from compgraph.nonfinite import Journey, adjoint_journeys, evaluated, is_bad, swept, unsheltered
from compgraph.origins import describe_origin, source_line


class Trap(NamedTuple):
    """A NaN in a branch that a selection does not take, which other libraries let into the gradient."""

    selection: str
    formula: str
    journey: Journey  # as PyTorch and JAX would have it
    fix: str  # code; empty where none was found
    fixed: Graph | None  # the same function with the inner `where`, whose gradient is finite in any library
    place: str
    line: str

    def __str__(self) -> str:
        lines = [f"{self.selection} = {self.formula} hides a branch whose derivative is not finite"]
        if self.place:
            lines.append(f"  {self.place}" + (f": `{self.line}`" if self.line and self.line != self.place else ""))
        lines += ["  here what was not selected has no say; PyTorch and JAX compute 0 * inf and return NaN:"]
        lines += [f"  {line}" for line in str(self.journey).splitlines() if "->" in line or "_bar = " in line]
        if self.fix:
            lines += ["  the double where is safe in every library, and verified here:"]
            lines += [f"      {line}" for line in self.fix.splitlines()]
        return "\n".join(lines)


def traps(graph: Graph, values: dict[Node, Any]) -> list[Trap]:
    """Selections behind which a gradient stays finite only because what was not selected is not asked for.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: np.where(x > 0, np.log(x), 0.0), 1.0)
    >>> [trap] = traps(graph, evaluated(graph, [0.0]))
    >>> print(trap.fix)
    safe = np.where(x > 0, x, 1.0)
    v2 = np.log(safe)
    """
    adjoints, _ = swept(graph, values)
    plain = unsheltered(graph)
    places = dict(zip(plain.nodes, graph.nodes, strict=True))
    own = {node: values[old] for node, old in places.items()}
    naive, terms = swept(plain, own)
    hidden = [node for node in plain.inputs if is_bad(naive.get(node, 0.0)) and not is_bad(adjoints.get(places[node], 0.0))]
    if not hidden:
        return []
    found = []
    for journey in adjoint_journeys(plain, own, naive, terms, {node: graph.names[old] for node, old in places.items()}):
        offender = places[journey.nodes[0]]
        selection = next((node for node in graph.nodes if _is_where(node) and offender in _behind(node)), None)
        if selection is not None and journey.arrives:
            found.append(_trap(graph, selection, offender, values, journey))
    return found


def _is_where(node: Node) -> bool:
    return node.primitive is not None and node.primitive.name == "where"


def _behind(selection: Node) -> set[Node]:
    """What the branches of a selection are made of."""
    return set(ancestors([arg for arg in selection.args[1:] if isinstance(arg, Node)]))


def _trap(graph: Graph, selection: Node, offender: Node, values: dict[Node, Any], journey: Journey) -> Trap:
    condition = selection.args[0]
    first = isinstance(selection.args[1], Node) and offender in set(ancestors([selection.args[1]]))
    about = (graph.names[selection], formula(selection, graph.names.__getitem__), journey)
    origin = describe_origin(selection.origin), source_line(selection.origin)
    args = [values[node] for node in graph.inputs]
    arguments = [arg for arg in dict.fromkeys(offender.args) if isinstance(arg, Node) and arg.dtype.kind == "f"]
    for argument, safe in itertools.product(arguments, (1.0, 0.5, 2.0, 0.0)):
        if not isinstance(condition, Node) or condition.shape != argument.shape:
            continue
        fixed = _with_inner_where(graph, condition, offender, argument, safe, first)
        if fixed is None:
            break
        plain = unsheltered(fixed)
        naive, _ = swept(plain, evaluated(plain, args))
        same = all(
            np.array_equal(new, values[old], equal_nan=True)
            for new, old in zip((evaluated(fixed, args)[node] for node in fixed.outputs), graph.outputs, strict=True)
        )
        if same and not any(is_bad(naive.get(node, 0.0)) for node in plain.inputs):
            kept = {node: graph.names[node] for node in graph.inputs}
            test, name = expression(condition, kept.get).text, graph.names[argument]
            branches = f"{name}, {safe}" if first else f"{safe}, {name}"
            call = formula(offender, {**graph.names, argument: "safe"}.__getitem__)
            prefix = "np." if offender.primitive is not None and offender.primitive.code.startswith("xp.") else ""
            return Trap(*about, f"safe = np.where({test}, {branches})\n{graph.names[offender]} = {prefix}{call}", fixed, *origin)
    return Trap(*about, "", None, *origin)


def _with_inner_where(graph: Graph, condition: Node, offender: Node, argument: Node, safe: float, first: bool) -> Graph | None:
    """The graph in which `offender` gets `argument` only where its branch is taken, and `safe` elsewhere."""
    before = ancestors([condition])
    if offender in set(before):
        return None
    made: dict[Node, Any] = {node: placeholder(node.shape, node.dtype, graph.names[node], node.origin) for node in graph.inputs}
    for node in dict.fromkeys([*before, *graph.nodes]):
        if node in made:
            continue
        with mode_with(origin=node.origin, scope=node.scope):
            args = [made[arg] if isinstance(arg, Node) else arg for arg in node.args]
            if node is offender:
                inner = bind("where", made[condition], *((made[argument], safe) if first else (safe, made[argument])))
                args = [inner if arg is argument else new for arg, new in zip(node.args, args, strict=True)]
            made[node] = node if node.primitive is None else bind(node.primitive, *args, **node.params)
    return Graph([made[node] for node in graph.inputs], [made[node] for node in graph.outputs], name=graph.name)

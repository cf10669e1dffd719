"""`cg.explain`: what is special about a function at a point, found, traced back to its line, and put into words.

Kinks (`kinks.py`), numbers that are not finite (`nonfinite.py`), the double `where` (`double_where.py`), lost digits and
stable forms (`lost_digits.py`) come together here.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any

import numpy as np

from compgraph import reverse_mode
from compgraph.certificate import graph_and_values, wide_value
from compgraph.double_where import Trap, traps
from compgraph.evaluation import EvaluationTrace
from compgraph.graph import Graph, Node, active_nodes
from compgraph.kinks import Kink, kinks, shown
from compgraph.literals import number
from compgraph.lost_digits import Cancellation, Rewrite, cancellations, rewrites
from compgraph.nonfinite import Journey, evaluated, is_bad, journeys
from compgraph.numerical import double, one_sided_limits
from compgraph.precision import precise
from compgraph.tables import mimebundle

MOVED = 8  # numbers among the inputs, up to which the whole function is looked at from both sides
UNKNOWN = 5  # nodes without numbers of 50 digits that are named


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; nothing where the function is smooth and well computed at the point.

    `str()` is the text, `to_dict()` and `to_json()` the same for programs; a notebook shows the text, and `viz.draw` the
    graph with the journeys marked.
    """

    name: str
    at: str
    kinks: tuple[Kink, ...]
    sides: tuple[str, ...]  # of the whole function, where a kink is on its way
    journeys: tuple[Journey, ...]
    traps: tuple[Trap, ...]
    rewrites: tuple[Rewrite, ...]
    cancellations: tuple[Cancellation, ...]
    notes: tuple[str, ...]
    trace: EvaluationTrace

    @property
    def ok(self) -> bool:
        """Whether there is nothing to explain: no kink, every number finite, and no digits lost."""
        needed = [rewrite for rewrite in self.rewrites if rewrite.needed]
        stopped = [note for note in self.notes if note.startswith("not the same")]
        return not (self.kinks or self.journeys or self.traps or needed or self.cancellations or stopped)

    @property
    def highlight(self) -> tuple[tuple[Node, ...], tuple[tuple[Node, Node], ...]]:
        """The nodes that a drawing marks, and the pairs of them between which a NaN or an infinity went."""
        ways = [journey.nodes for journey in self.journeys if journey.quantity == self.journeys[0].quantity]
        if not ways:
            named = {one.node for one in self.kinks} | {one.node for one in self.cancellations}
            named |= {one.node for one in self.rewrites if one.needed} | {one.selection for one in self.traps}
            return tuple(node for node in self.trace.graph.nodes if self.trace.graph.names[node] in named), ()
        return tuple(dict.fromkeys(node for way in ways for node in way)), tuple(pair for way in ways for pair in pairwise(way))

    def __str__(self) -> str:
        parts = [f"{self.name} at {self.at}"]
        parts += _section("no derivative", [*self.kinks, *self.sides])
        parts += _section("not finite", self.journeys)
        parts += _section("a NaN that waits behind a where", self.traps)
        parts += _section("digits lost", self.cancellations)
        parts += _section("a stable form", [one for one in self.rewrites if one.needed])
        idle = [one for one in self.rewrites if not one.needed]
        parts += [f"\n{one.node} = {one.plain.form}: {one.stable.form} is no better at this point" for one in idle]
        if self.ok:
            parts.append("differentiable here, every number is finite, and no digits are lost")
        return "\n".join([*parts, *(f"note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Names, texts and numbers, with numbers that are not finite as their names: strict JSON."""
        return {
            "function": self.name, "at": self.at, "ok": self.ok, "kinks": [_plain(one) for one in self.kinks],
            "one_sided": list(self.sides), "journeys": [_plain(one) for one in self.journeys], "traps": [_plain(one) for one in self.traps],
            "rewrites": [{**_plain(one), "verified": one.verified, "needed": one.needed} for one in self.rewrites],
            "cancellations": [_plain(one) for one in self.cancellations], "notes": list(self.notes),
        }  # fmt: skip

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=2)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return mimebundle(self, {"text/plain": self.__str__, "text/html": lambda: f"<pre>{html.escape(str(self))}</pre>"})


def _section(title: str, findings: Sequence[Any]) -> list[str]:
    return [f"\n{title}:", *map(str, findings)] if findings else []


def _plain(value: Any) -> Any:
    """A finding as dicts, lists, texts and numbers; nodes and graphs are left out."""
    if hasattr(value, "_asdict"):
        return {key: _plain(one) for key, one in value._asdict().items() if key not in ("nodes", "fixed")}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else str(float(value))
    return value


def explain(f_or_graph: Callable[..., Any] | Graph, /, *args: Any, **named: Any) -> Explanation:
    """Say what is special about a function at a point: kinks, NaNs and infinities, lost digits, and what to write instead.

    >>> import numpy as np, compgraph as cg
    >>> print(cg.explain(cg.parse("abs(x) * 3"), 0.0))
    f at x = 0
    <BLANKLINE>
    no derivative:
    v1 = abs(x), here abs(0), has no derivative there
      abs(x)
      by x: -1 from the left, 1 from the right; taken is 0
      at abs(0): compgraph 0; PyTorch 0; JAX 1
    f itself, by x: -3 from the left, 3 from the right; taken is 0

    A function is traced, and run twice to see whether it is the same twice; a graph is taken as it is, with arguments by
    position or name. Nothing is raised for NaNs and infinities, which are what is asked for; errors are those of tracing.
    Values are compared with numbers of 50 digits by mpmath, up to 1,000 entries of a node and 3 seconds; where an
    operation has no such form a note names the node, and the rest goes on.
    """
    with np.errstate(all="ignore"):
        graph, inputs = graph_and_values(f_or_graph, args, named, "explain")
        values = evaluated(graph, inputs)
        notes = [] if isinstance(f_or_graph, Graph) else _same_twice(f_or_graph, args, named, graph, values)
        found = kinks(graph, values)
        known = precise(graph, values)
        notes += _unknown(graph, known.missing)
        trace = EvaluationTrace(graph, "primal", values)
        trace.adjoints = _adjoints(graph, values)
        at = ", ".join(f"{graph.names[node]} = {number(values[node])}" for node in graph.inputs) or "no inputs"
        return Explanation(
            graph.name, at, tuple(found), tuple(_whole_sides(graph, inputs, trace.adjoints)) if found else (),
            tuple(journeys(graph, inputs)), tuple(traps(graph, values)), tuple(rewrites(graph, inputs)),
            tuple(cancellations(graph, values, known)), tuple(notes), trace,
        )  # fmt: skip


def _same_twice(f: Callable[..., Any], args: Any, named: Any, graph: Graph, values: dict[Node, Any]) -> list[str]:
    again, inputs = graph_and_values(f, args, named, "explain")
    others = evaluated(again, inputs)
    pairs = list(zip(graph.outputs, again.outputs, strict=False))
    if len(graph.outputs) == len(again.outputs) and all(np.array_equal(values[a], others[b], equal_nan=True) for a, b in pairs):
        return []
    first = next((a for a, b in zip(graph.nodes, again.nodes, strict=False) if _differs(values[a], others[b])), None)
    where = f", first at {graph.names[first]}" if first is not None else ""
    return [f"not the same twice: {graph.name} gave {number(values[pairs[0][0]])} and then {number(others[pairs[0][1]])}{where}"]


def _differs(one: Any, other: Any) -> bool:
    return not np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind in "fc" and np.asarray(other).dtype.kind in "fc")


def _unknown(graph: Graph, missing: dict[Node, str]) -> list[str]:
    first = [(node, why) for node, why in missing.items() if why != "an argument is unknown"]
    said = [f"{graph.names[node]} has no number of 50 digits: {why}" for node, why in islice(first, UNKNOWN)]
    return said + ([f"and {len(first) - UNKNOWN} more"] if len(first) > UNKNOWN else [])


def _adjoints(graph: Graph, values: dict[Node, Any]) -> dict[Node, Any]:
    """For an adjoint of 1 in every output; none where a sweep is impossible."""
    active = active_nodes(graph.nodes, [node for node in graph.inputs if node.dtype.kind in "fc"])
    seeds = {node: np.ones(node.shape, node.dtype)[()] for node in graph.outputs if node in active and node.dtype.kind in "fc"}
    return reverse_mode.sweep(graph.nodes, seeds, active, values.__getitem__, keep=True)


def _whole_sides(graph: Graph, inputs: list[Any], adjoints: dict[Node, Any]) -> list[str]:
    """The one-sided derivatives of the whole function, for one number made of a few."""
    output = graph.outputs[0]
    moving = [place for place, node in enumerate(graph.inputs) if node.dtype.kind == "f"]
    if len(graph.outputs) > 1 or output.shape or output.dtype.kind != "f" or sum(np.size(inputs[place]) for place in moving) > MOVED:
        return []
    found: list[str] = []
    smooth: list[str] = []
    for place in moving:
        node, x = graph.inputs[place], np.asarray(inputs[place])
        for entry in np.ndindex(node.shape):
            left, right = one_sided_limits(partial(_moved, graph, inputs, place, entry), max(1.0, abs(float(x[entry]))))
            if is_bad(x[entry]):
                continue
            name = graph.names[node] + (f"[{', '.join(map(str, entry))}]" if entry else "")
            taken = np.asarray(adjoints.get(node, np.zeros(node.shape)))[entry] + 0.0
            sides = f"{shown(left)} from the left, {shown(right)} from the right"
            said = f"taken is {number(taken)}"
            if math.isfinite(left) and abs(left - right) <= 1e-6 * max(1.0, abs(left)):  # the kinks on the way take each other away
                sides = f"{shown(left)} from both sides"
                said += "" if abs(taken - left) <= 1e-6 * max(1.0, abs(left)) else ", which is not its derivative"
                (found if said.endswith("derivative") else smooth).append(f"{graph.name} itself, by {name}: {sides}; {said}")
            else:
                found.append(f"{graph.name} itself, by {name}: {sides}; {said}")
    return found or smooth


def _moved(graph: Graph, inputs: list[Any], place: int, entry: tuple[int, ...], step: float) -> float:
    """The output, in float64, with one entry of one input moved."""
    moved = np.array(double(inputs[place]))
    moved[entry] += step
    environment = dict(zip(graph.inputs, [double(one) for one in inputs], strict=True))
    environment[graph.inputs[place]] = moved[()]
    for node in graph.nodes:
        if node not in environment:
            environment[node] = wide_value(node, environment)
    return float(environment[graph.outputs[0]])

"""The ways to differentiate, side by side on one function: passes, operations, memory, time, and errors in 50 digits.

The ways are in `ways.py`. The reference is a difference in 180 digits (`precision.py`), which uses no rule of a derivative.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from compgraph import programs
from compgraph.containers import flatten
from compgraph.errors import CompgraphError, InputError
from compgraph.forward_mode import chosen_inputs
from compgraph.graph import Graph, Node, apply, describe
from compgraph.ledger import aligned, html_table, jacobian_graph, run_cost
from compgraph.precision import column, largest_error
from compgraph.simplification import simplify
from compgraph.tables import mimebundle
from compgraph.tracing import trace
from compgraph.ways import Plan, Point, counted, measured, plans

Array = np.ndarray[Any, Any]

REFERENCE = 200_000  # operations in 180 digits, about half a second
ROWS = 10**8  # operations of passes, one an output, for their errors
_PASS = 20_000  # that the call of a program counts for


@dataclass(frozen=True)
class Way:
    """One way to the whole Jacobian. None stands for what was not found, and `note` says why.

    `operations` are those of all passes, `seconds` the median of one pass times their number, `error` the largest one in the
    entries that were compared, relative to the largest of these.
    """

    name: str
    passes: int | None = None
    operations: int | None = None
    peak_bytes: int | None = None
    seconds: float | None = None
    error: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. `str()` is a table and, below it, which way to use here and why; `best` is that way's mode."""

    name: str
    inputs: int
    outputs: int
    ways: tuple[Way, ...]
    best: str
    advice: str
    reference: str  # which entries were compared with 50 digits, or why none was

    def __getitem__(self, name: str) -> Way:
        known = {way.name: way for way in self.ways}
        if name not in known:
            raise InputError(f"no way {name!r}; there are {', '.join(known)}")
        return known[name]

    def _cells(self) -> list[tuple[str, ...]]:
        def shown(value: Any, form: str = ",") -> str:
            return "–" if value is None else format(value, form)

        rows = [
            (way.name, shown(way.passes), shown(way.operations), shown(way.peak_bytes), _seconds(way.seconds),
             "0" if way.error == 0 else shown(way.error, ".0e"))
            for way in self.ways
        ]  # fmt: skip
        return [("way", "passes", "operations", "peak bytes", "time", "error"), *rows]

    def _notes(self) -> list[str]:
        return [f"{way.name}: {way.note}" for way in self.ways if way.note]

    def _title(self) -> str:
        return f"{self.name}: {counted(self.inputs, 'input')}, {counted(self.outputs, 'output')}"

    def __str__(self) -> str:
        return "\n".join([self._title(), aligned(self._cells()), *self._notes(), f"error: {self.reference}", self.advice])

    def _repr_html_(self) -> str:
        lines = "".join(f"<p>{html.escape(line)}</p>" for line in [*self._notes(), f"error: {self.reference}", self.advice])
        return html_table(self._cells(), self._title()) + lines

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return mimebundle(self, {"text/plain": self.__str__, "text/html": self._repr_html_})

    def to_json(self) -> str:
        """All of it as JSON; a number that is NaN or infinite becomes null."""

        def finite(value: Any) -> Any:
            return None if isinstance(value, float) and not math.isfinite(value) else value

        fields = {**asdict(self), "ways": [{key: finite(value) for key, value in asdict(way).items()} for way in self.ways]}
        return json.dumps(fields, ensure_ascii=False)


def compare(f_or_graph: Callable[..., Any] | Graph, /, *args: Any, **named: Any) -> Comparison:
    """Differentiate a function at a point in eight ways, and say which one to use.

    >>> import numpy as np, compgraph as cg
    >>> found = compare(lambda x1, x2: (np.exp(x1 / x2) + x1 / x2) * (x1 / x2 - np.log(x2)), 0.5, 1.0)
    >>> [(way.name, way.passes, way.operations) for way in found.ways][:4]
    [('forward', 2, 38), ('reverse', 1, 19), ('vector forward', 1, 23), ('vector reverse', 1, 19)]
    >>> found.best, all(way.error < 1e-9 for way in found.ways)
    ('reverse', True)

    Equal parts of the function are computed once. The ways: a pass for each input (`forward`) or each output (`reverse`); all
    tangents or all adjoints in one pass, which computes what they share once (`vector forward`, `vector reverse`); SymPy's
    formulas as they stand (`symbolic`) and with equal parts computed once (`symbolic, shared`); a central difference and a
    complex step for each input. Inputs of integers are held fixed.

    Derivatives by SymPy are given up where they grow past 20,000 parts or take longer than a second, passes that need
    more than 512 MiB are counted and not run. Raises `InputError` where the function gives another result when it is
    called again, or is not finite at this point, naming the node; and what tracing raises.
    """
    point = point_of(f_or_graph, args, named, "compare")
    all_plans = plans(point)
    with np.errstate(all="ignore"):  # what is not finite shows in a row's error
        seconds = measured(all_plans)
        entries, truth, said = _reference(point)
        ran = next((plan for plan in all_plans if plan.columns is not None), None)
        if not entries and ran is not None and ran.columns is not None and not np.all(np.isfinite(ran.columns([0]))):
            said += "; the derivative is not finite here"
        ways = tuple(
            Way(plan.name, plan.passes, plan.operations, plan.peak_bytes, seconds[plan.name], _error(plan, entries, truth), plan.note)
            for plan in all_plans
        )
    best, advice = _advice(point, {way.name: way for way in ways})
    return Comparison(point.graph.name, point.n, point.m, ways, best, advice, said)


# ---------------------------------------------------------------------------------------- the function


def point_of(f_or_graph: Any, args: Sequence[Any], named: dict[str, Any], asked: str) -> Point:
    """A function at a point, with equal parts computed once, for the function `asked`; raises what `compare` says."""
    graph, values = _checked(f_or_graph, args, named, asked)
    inputs = chosen_inputs(graph, None)
    outputs = [node for node in dict.fromkeys(graph.outputs) if node.dtype.kind == "f"]
    _refuse_others(graph, inputs, outputs, asked)
    graph = simplify(Graph(graph.inputs, outputs, name=graph.name if programs.is_name(graph.name) else "f"))
    return Point(graph, inputs, values)


def _checked(f_or_graph: Any, args: Sequence[Any], named: dict[str, Any], asked: str) -> tuple[Graph, list[Any]]:
    """The graph and its inputs' values, of a function that gives the same twice and is finite."""
    if isinstance(f_or_graph, Graph):
        graphs = [f_or_graph, f_or_graph]
        held = not args and not named and all(node.value is not None for node in f_or_graph.inputs)
        values = [node.value for node in f_or_graph.inputs] if held else f_or_graph.arguments(args, named)
    elif callable(f_or_graph):
        graphs = [trace(f_or_graph, *args, **named) for _ in range(2)]
        leaves = [leaf for value in (*args, *named.values()) for leaf in flatten(value)[0]]
        values = graphs[0].arguments([getattr(leaf, "value", leaf) for leaf in leaves], {})
    else:
        found = type(f_or_graph).__name__
        raise InputError(f"{asked} takes a function or a graph, not {found}; for a node write {asked}(cg.graph_of(node))")
    runs = [_run(graph, values) for graph in graphs]
    _refuse_random(graphs, runs)
    for node in graphs[0].nodes:
        if node.dtype.kind == "f" and not np.all(np.isfinite(runs[0][node])):
            at = "an input" if node.primitive is None else "a value"
            raise InputError(f"{graphs[0].name} is outside its domain: {describe(node)} has {at} that is not finite; choose another point")
    return graphs[0], values


def _run(graph: Graph, values: Sequence[Any]) -> dict[Node, Any]:
    found: dict[Node, Any] = dict(zip(graph.inputs, values, strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if node not in found:
                found[node] = apply(node, found)
    return found


def _refuse_random(graphs: Sequence[Graph], runs: Sequence[dict[Node, Any]]) -> None:
    pairs = zip(graphs[0].outputs, graphs[1].outputs, strict=False)
    if len(graphs[0].outputs) == len(graphs[1].outputs) and all(_same(runs[0][one], runs[1][other]) for one, other in pairs):
        return
    inner = zip(graphs[0].nodes, graphs[1].nodes, strict=False)
    first = next((one for one, other in inner if one.shape != other.shape or not _same(runs[0][one], runs[1][other])), None)
    where = f": {describe(first)} differs first" if first is not None else ""
    raise InputError(
        f"{graphs[0].name} gives another result when it is called again{where}. A derivative is that of one function: draw random "
        "numbers before, and pass them as an argument"
    )


def _same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind in "fc"))


def _refuse_others(graph: Graph, inputs: Sequence[Node], outputs: Sequence[Node], asked: str) -> None:
    odd = next((node for node in (*inputs, *graph.outputs) if node.dtype.kind == "c"), None)
    if odd is not None:
        raise InputError(f"{asked} takes real functions of real numbers: {describe(odd)} is complex")
    if not outputs or not sum(node.size for node in outputs) or not sum(node.size for node in inputs):
        lacking = "input" if not sum(node.size for node in inputs) else "output"
        raise InputError(f"{graph.name} has no floating-point {lacking} to differentiate")


# ------------------------------------------------------------------------------------------ the findings


def _reference(point: Point) -> tuple[list[int], list[Array], str]:
    """Which columns of the Jacobian were found in 50 digits, those columns, and that in words."""
    each = 3 * max(point.cost.operations, len(point.graph.nodes)) + 10 * point.m  # a difference takes more than an operation
    if each > 3 * REFERENCE:
        what = counted(point.cost.operations, "operation"), counted(point.m, "output")
        return [], [], f"none, {' and '.join(what)} are too many for 50 digits"
    count = max(1, min(point.n, REFERENCE // each))
    entries = [number * point.n // count for number in range(count)]
    try:
        truth = [np.concatenate([part.ravel() for part in column(point.graph, point.values, *point.entry(number))]) for number in entries]
    except (CompgraphError, ValueError, ZeroDivisionError, OverflowError, NotImplementedError) as error:
        return [], [], f"none, {error}"
    kinks = sum(entry is None for part in truth for entry in part)
    by = "all inputs" if count == point.n else f"{count:,} of {point.n:,} inputs"
    said = f"the largest beside a difference in 180 digits, over {by}, relative to the largest derivative"
    return entries, truth, said + _exceptions(point, kinks)


def _exceptions(point: Point, kinks: int) -> str:
    """What the reference does not judge."""
    said = f"; without {counted(kinks, 'derivative')} at a kink or a jump, where there is none" if kinks else ""
    stopped = any(node.primitive is not None and node.primitive.name == "stop_gradient" for node in point.graph.nodes)
    return said + ("; sweeps stop at stop_gradient, formulas and differences do not" if stopped else "")


def _error(plan: Plan, entries: list[int], truth: list[Array]) -> float | None:
    if plan.columns is None or all(entry is None for exact in truth for entry in exact):
        return None
    if plan.name == "reverse" and (plan.operations or 0) + _PASS * (plan.passes or 0) > ROWS:
        return None  # a column takes the rows of all outputs
    found = plan.columns(entries)
    pairs = [largest_error(found[:, place], exact) for place, exact in enumerate(truth)]
    worst = max((error for error, _ in pairs), key=lambda error: math.inf if math.isnan(error) else error)
    size = max(size for _, size in pairs)
    return worst / size if size else worst


def cheaper(graph: Graph) -> str:
    """The mode in which all derivatives take fewer operations in one pass, or as many and less memory.

    >>> import numpy as np, compgraph as cg
    >>> cheaper(cg.trace(lambda x: np.sum(x ** 2), np.zeros(5))), cheaper(cg.trace(lambda t: t * np.ones(5), 1.0))
    ('reverse', 'forward')
    """
    return _cheaper(*(run_cost(jacobian_graph(graph, mode)) for mode in ("forward", "reverse")))


def _cheaper(ahead: Any, back: Any) -> str:
    return "reverse" if (back.operations, back.peak_bytes) < (ahead.operations, ahead.peak_bytes) else "forward"


def _advice(point: Point, ways: dict[str, Way]) -> tuple[str, str]:
    """The cheaper mode, and why, in one sentence."""
    forward_, reverse_ = ways["vector forward"], ways["vector reverse"]
    best = _cheaper(forward_, reverse_)
    mine, other = (forward_, reverse_) if best == "forward" else (reverse_, forward_)
    rival = "reverse" if best == "forward" else "forward"
    seeds = {"forward": counted(point.n, "tangent"), "reverse": counted(point.m, "adjoint")}
    ratio = (other.operations or 0) / max(mine.operations or 0, 1)
    if mine.operations == other.operations:
        less = "" if mine.peak_bytes == other.peak_bytes else f", in {mine.peak_bytes:,} bytes instead of {other.peak_bytes:,}"
        beside = f"as many as {rival} mode{less}"
    else:
        more = f"{ratio:,.1f} times as many" if ratio >= 1.05 else f"{other.operations or 0:,}"
        beside = f"{rival} mode's {seeds[rival]} {'takes' if seeds[rival].startswith('1 ') else 'take'} {more}"
    sentence = f"Use {best} mode: {seeds[best]} in one pass, {mine.operations:,} operations; {beside}"
    difference, symbolic = ways["central difference"], ways["symbolic, shared"]
    others = []
    if difference.error and mine.error is not None and math.isfinite(difference.error):
        lost = round(math.log10(difference.error / max(mine.error, 1e-16)))
        others += [f"differences lose {counted(lost, 'digit')}"] if lost > 0 else []
    others += ["formulas grow too large"] if symbolic.note.startswith("given up") else []
    return best, "; ".join([sentence, *others]) + "."


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            return f"{value / size:.3g} {unit}"
    raise AssertionError

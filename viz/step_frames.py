"""What the page of a stepper shows, as data: sweeps, their steps, and what each step changes.

    >>> import numpy as np, compgraph as cg
    >>> frames = frames_of(sweeps(cg.trace(lambda x1, x2: np.log(x1) + x1 * x2, 2.0, 5.0), [2.0, 5.0]))
    >>> [(track.mode, track.name, len(track.steps)) for track in frames.tracks]
    [('forward', 'x1', 10), ('forward', 'x2', 10), ('reverse', 'v3', 11)]
    >>> frames.steps[frames.tracks[-1].steps[-1]].equation
    'x1_bar = x1_bar + v1_bar * (1 / x1) = 5 + 1 * (1 / 2) = 5.5'

A step changes one thing: the value, the tangent or the adjoint of one node. A track is the order in which steps happen;
tracks share the steps that compute values. So the data grow with the number of steps and not with its square; the page
makes itself checkpoints, from which it jumps. Every number here was computed by `cg.evaluate`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph.emission import program_names
from compgraph.graph import Graph, Node
from compgraph.literals import number
from compgraph.origins import describe_origin, here, source_line
from viz.diagram import COLLAPSE_ABOVE, printable
from viz.mathml import equation_lines

MOST_PASSES = 12
_MOST_STEPS = 4000  # of all sweeps of one mode together; beyond it fewer sweeps are kept, one at least
_MOST_TYPESET = 1500  # steps, above which equations are plain text
_CORNER = 12  # rows and columns of an array that the page holds


class Sweep(NamedTuple):
    """An evaluation trace to step through, and what it is called: the input or the output that its seed is on."""

    mode: str  # "primal", "forward", "reverse" or "iterations"
    name: str
    traces: tuple[cg.EvaluationTrace, ...]  # one, or one an iteration


class Sweeps(NamedTuple):
    graph: Graph
    found: tuple[Sweep, ...]
    notes: tuple[str, ...]
    inputs: int  # numbers that go in, and that come out: so many passes a Jacobian takes
    outputs: int


class Track(NamedTuple):
    """The order in which the steps of a sweep happen. `phases` are (where it begins, what it is)."""

    mode: str
    name: str
    seed: int  # the place of the node that the seed is on, or -1
    steps: tuple[int, ...]
    phases: tuple[tuple[int, str], ...]
    scalable: bool  # whether everything computed is linear in the seed, and real


class Frames(NamedTuple):
    graph: Graph
    steps: tuple[cg.Step, ...]
    tracks: tuple[Track, ...]


# ------------------------------------------------------------------------------------------- sweeps


def sweeps(graph: Graph, arguments: Sequence[Any], *, mode: str | None = None, seed: Any = None, of: Any = None) -> Sweeps:
    """A forward sweep for each input and a reverse sweep for each output, or those that `mode` and `seed` ask for.

    An array's seed is 1 in every entry, unless `seed` says otherwise. What cannot be differentiated is left out, and a
    note says why; a sweep that was asked for raises what `cg.evaluate` raises.
    """
    floating = [node for node in graph.inputs if node.dtype.kind in "fc"]
    outputs = [node for node in dict.fromkeys(graph.outputs) if node.dtype.kind in "fc"]
    names = graph.names
    found: list[Sweep] = []
    notes: list[str] = []

    def run(way: str, name: str, **options: Any) -> None:
        with np.errstate(all="ignore"):
            found.append(Sweep(way, name, (cg.evaluate(graph, *arguments, mode=way, **options),)))

    def attempt(way: str, nodes: Sequence[Node], what: str) -> None:
        if seed is not None and mode == way:
            run(way, "seed", seed=seed)
            return
        if of is not None and way == "reverse":
            chosen = of if isinstance(of, str) else names[of] if isinstance(of, Node) else names[graph.outputs[of]]
            matching = [node for node in nodes if names[node] == chosen]
            nodes = matching or nodes
            if not matching:
                run(way, str(of), of=of)  # says what is wrong with it
        kept = nodes[: max(1, min(MOST_PASSES, _MOST_STEPS // max(len(graph.nodes), 1)))]
        for node in kept:
            one = np.ones(node.shape, node.dtype)[()]
            try:
                run(way, names[node], seed={names[node]: one})
            except cg.CompgraphError as error:
                if mode == way:
                    raise
                notes.append(f"No {way} mode: {' '.join(str(error).split())}")
                break
        if len(kept) < len(nodes):
            notes.append(f"Of {len(nodes)} {what}s, {len(kept)} {'has' if len(kept) == 1 else 'have'} a {way} sweep here.")

    if not floating or not outputs:
        note = f"There is no floating-point {'input' if not floating else 'output'}, so there is nothing to differentiate."
        if mode in ("forward", "reverse"):
            raise cg.InputError(f"mode {mode!r}: {graph.name}: {note[0].lower()}{note[1:-1]}{here()}")
        notes.append(note)
    elif mode != "primal":
        attempt("forward", floating, "input")
        attempt("reverse", outputs, "output")
    if not found:
        run("primal", "values")
    return Sweeps(graph, tuple(found), tuple(notes), sum(node.size for node in floating), sum(node.size for node in outputs))


def repeated(graph: Graph, arguments: Sequence[Any], count: int) -> Sweeps:
    """The graph run again and again, each time on what it returned the time before.

    Raises `InputError` where the results cannot be the next arguments.
    """
    inputs, outputs = graph.inputs, graph.outputs
    described = [", ".join(f"{node.dtype} {node.shape}" for node in nodes) for nodes in (inputs, outputs)]
    if described[0] != described[1] or not inputs:
        raise cg.InputError(
            f"iterations={count}: {graph.name} has to return what it takes, so that it can go on from there; "
            f"it takes ({described[0]}) and returns ({described[1]})"
        )
    values = list(arguments)
    traces = []
    with np.errstate(all="ignore"):
        for _ in range(count):
            traces.append(cg.evaluate(graph, *values))
            values = [traces[-1].values[node] for node in outputs]
    return Sweeps(graph, (Sweep("iterations", "updates", tuple(traces)),), (), 0, 0)


# ------------------------------------------------------------------------------------------- frames


def frames_of(found: Sweeps) -> Frames:
    """The steps of all sweeps, and for each sweep the order in which they happen."""
    graph = found.graph
    places = {node: place for place, node in enumerate(graph.nodes)}
    steps: list[cg.Step] = []
    primal: list[int] = []
    tracks: list[Track] = []

    def added(step: cg.Step) -> int:
        steps.append(step)
        return len(steps) - 1

    for sweep in found.found:
        order: list[int] = []
        phases: list[tuple[int, str]] = []
        for turn, trace in enumerate(sweep.traces):
            with np.errstate(all="ignore"):
                derivatives = trace.derivative_steps
                if not primal or sweep.mode == "iterations":
                    primal = [added(step) for step in trace.steps if step.phase == "primal"]
            begin = len(order)
            if sweep.mode == "forward":
                tangents = {step.node: added(step) for step in derivatives}
                for place, node in zip(primal, graph.nodes, strict=True):
                    order += [place, tangents[node]] if node in tangents else [place]
                phases.append((begin, "values and tangents"))
            else:
                order += primal
                phases.append((begin, f"iteration {turn + 1}" if sweep.mode == "iterations" else "values"))
            if sweep.mode == "reverse":
                phases.append((len(order), "adjoints"))
                order += [added(step) for step in [*derivatives, *_unreached(trace, derivatives)]]
        trace = sweep.traces[0]
        seeded = [places[node] for node, value in trace.seeds.items() if np.any(value)]
        real = all(node.dtype.kind != "c" for node in (*trace.tangents, *trace.adjoints))
        tracks.append(Track(sweep.mode, sweep.name, seeded[0] if seeded else -1, tuple(order), tuple(phases), real and bool(seeded)))
    return Frames(graph, tuple(steps), tuple(tracks))


def _unreached(trace: cg.EvaluationTrace, moments: Sequence[cg.Step]) -> list[cg.Step]:
    """The adjoints that are 0 because no child handed anything back, which is known when the sweep is over."""
    reached = {step.node for step in moments}
    return [
        cg.Step("adjoint", node, f"{trace.name(node)}_bar", "0 (no child)", "", value, None, _source(node), r"0 \;\text{(no child)}")
        for node, value in trace.adjoints.items() if node not in reached
    ]  # fmt: skip


def _source(node: Node) -> str:
    place, line = describe_origin(node.origin), source_line(node.origin)
    return f"{place}: {line}" if line and line != place else place


# --------------------------------------------------------------------------------------------- data


def data_of(frames: Frames) -> dict[str, Any]:
    """The frames as JSON has them: columns of steps, and tracks of places in these columns."""
    graph, steps = frames.graph, frames.steps
    places = {node: place for place, node in enumerate(graph.nodes)}
    inputs, outputs = set(graph.inputs), set(graph.outputs)
    typeset = len(steps) <= _MOST_TYPESET
    return {
        "name": printable(graph.name, 60),
        "nodes": {
            "name": [printable(graph.names[node], 60) for node in graph.nodes],
            "alias": [printable(alias, 60) for alias in aliases(graph).values()],
            "kind": [_kind(node, inputs) + ", output" * (node in outputs) for node in graph.nodes],
            "shape": ["×".join(map(str, node.shape)) for node in graph.nodes],
            "dtype": [str(node.dtype) for node in graph.nodes],
            "source": [printable(_source(node)) for node in graph.nodes],
            "args": [[places[arg] for arg in node.args if isinstance(arg, Node)] for node in graph.nodes],
        },
        "steps": {
            "phase": "".join(step.phase[0] for step in steps),
            "node": [places[step.node] for step in steps],
            "child": [-1 if step.child is None else places[step.child] for step in steps],
            "rule": [printable(own_rule(step)) for step in steps],
            "numbers": [printable(own_numbers(step)) for step in steps],
            "text": [shown(step.value) for step in steps],
            "raw": [stored(step.value) for step in steps],
            "before": [None if step.before is None else shown(step.before) for step in steps],
            "term": [None if step.before is None else shown(step.term) for step in steps],
            "math": [[line for _, line in equation_lines(step)] for step in steps] if typeset else None,
        },
        "tracks": [track._asdict() for track in frames.tracks],
    }


def shown(value: Any) -> str:
    """A value on one line, of a length that fits a table."""
    return printable(number(value), 100)


def boxed(value: Any) -> str:
    """A value as a box of the picture shows it: of an array its shape and extremes.

    >>> boxed(0.1), boxed(np.arange(4.0).reshape(2, 2)), boxed(np.array([1.0]))
    ('0.1', '2×2: 0 … 3', '[1]')
    """
    if np.size(value) <= 3 or np.asarray(value).dtype.kind not in "fiu":
        return shown(value)
    array = np.asarray(value)
    finite = array[np.isfinite(array)]
    extremes = f"{number(np.min(finite), 4)} … {number(np.max(finite), 4)}" if finite.size else "nothing finite"
    return f"{'×'.join(map(str, array.shape))}: {extremes}"


def aliases(graph: Graph) -> dict[Node, str]:
    """What the user assigned each node to, where the graph calls it otherwise; else an empty text."""
    inputs = set(graph.inputs)
    return {node: "" if node in inputs or name == graph.names[node] else name for node, name in program_names(graph).items()}


def own_rule(step: cg.Step) -> str:
    """The rule of a step without the sum that was there before it."""
    return step.rule if step.before is None else step.rule.removeprefix(f"{step.name} + ")


def own_numbers(step: cg.Step) -> str:
    return step.numbers if step.before is None else step.numbers.removeprefix(f"{number(step.before)} + ")


def _kind(node: Node, inputs: set[Node]) -> str:
    if node.primitive is None:
        return "input" if node in inputs else "variable"
    return "constant" if node.primitive.name == "constant" else node.primitive.name


def stored(value: Any) -> Any:
    """A value as JSON has it: a number to the bit, or an array's shape, extremes and a corner of it to ten digits.

    >>> stored(0.1), stored(float("inf")), stored(np.array([1.0, np.nan]))
    (0.1, 'Infinity', {'shape': [2], 'rows': [[1.0, 'NaN']], 'least': 1.0, 'most': 1.0, 'odd': 1, 'short': '[1, nan]'})
    """
    if np.ndim(value) == 0:
        return _entry(value)
    array = np.asarray(value)
    corner = array[(0,) * (array.ndim - 2)] if array.ndim > 2 and array.size else array
    rows = np.atleast_2d(corner)[:_CORNER, :_CORNER] if array.size else np.zeros((0, 0))
    finite = array[np.isfinite(array)] if array.dtype.kind in "fiub" else np.zeros(0)
    extremes = [_entry(end(finite)) for end in (np.min, np.max)] if finite.size else [None, None]
    return {
        "shape": list(array.shape),
        "rows": [[_rounded(entry) for entry in row] for row in rows.tolist()],
        "least": extremes[0],
        "most": extremes[1],
        "odd": int(array.size - finite.size),  # entries beside these: NaN, infinite or complex ones
        "short": boxed(value),
    }


def _rounded(entry: Any) -> Any:
    return _entry(float(f"{entry:.10g}") if isinstance(entry, float) else entry)


def _entry(value: Any) -> Any:
    value = value.item() if isinstance(value, (np.ndarray, np.generic)) else value
    if isinstance(value, complex):
        return number(value)
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else value


# ----------------------------------------------------------------------------------------- programs


class Program(NamedTuple):
    """A printed program, and the line on which each node's value and derivative are computed, or -1."""

    lines: tuple[str, ...]
    values: tuple[int, ...]
    derivatives: tuple[int, ...]


def program_of(graph: Graph, derived: Graph, suffix: str = "") -> Program:
    """The program of `derived`, a derivative of `graph` or `graph` itself, with the lines that belong to `graph`'s nodes."""
    lines = derived.to_source().rstrip().splitlines()
    where: dict[str, int] = {}
    for place, line in enumerate(lines):
        match = re.match(r"    +(\w+) = ", line)
        if match:
            where[match[1]] = place
    head = next((place for place, line in enumerate(lines) if line.startswith("def ")), -1)
    names = program_names(graph)
    inputs = set(graph.inputs)
    values = [head if node in inputs else where.get(names[node], -1) for node in graph.nodes]
    derivatives = [where.get(f"{names[node]}_{suffix}", -1) for node in graph.nodes] if suffix else []
    return Program(tuple(printable(line, 300) for line in lines), tuple(values), tuple(derivatives))


def derivative_graph(graph: Graph) -> Graph | None:
    """The simplified reverse graph, if there is one and it is small enough to be read."""
    if len(graph.nodes) > COLLAPSE_ABOVE:
        return None
    try:
        return cg.simplify(cg.reverse(graph))
    except cg.CompgraphError:
        return None

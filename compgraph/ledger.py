"""The ledger: what a graph costs, counted from what its primitives state, without running it.

Operations are those of the program that the nodes are, one after the other; a constant and a change of shape alone cost
none. See `primitives/costs.py` for what is counted as what, and docs/cost.md for examples.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from compgraph.batching import run_batched
from compgraph.checkpointing import CHECKPOINT, revolve_cost
from compgraph.errors import GraphError, InputError
from compgraph.forward_mode import chosen_inputs, forward
from compgraph.graph import Graph, Node, describe, placeholder
from compgraph.loop import SCAN, dependent
from compgraph.origins import describe_origin
from compgraph.reverse_mode import reverse
from compgraph.simplification import simplify
from compgraph.tables import framed, mimebundle
from compgraph.targets.memory import bases_of, last_reads
from compgraph.tracing import trace

OPERATIONS = ("additions", "multiplications", "divisions", "transcendentals", "comparisons")
Counts = dict[str, int]

# A complex operation in real ones; a division by |x|**2 = x conj(x).
_COMPLEX: dict[str, Counts] = {
    "additions": {"additions": 2},
    "multiplications": {"multiplications": 4, "additions": 2},
    "divisions": {"multiplications": 6, "additions": 3, "divisions": 2},
}


@dataclass(frozen=True)
class Cost:
    """What one run of a graph costs.

    `additions` are subtractions and changes of sign too, `transcendentals` calls of elemental functions, a square root among
    them, `comparisons` selections too. `flops` are the first four together, of floating-point numbers only. `bytes_read` and
    `bytes_written` are those of every operation's arguments and results, `peak_bytes` is the most that lives at once where
    nodes run in order and each is freed after its last reader, the inputs and constants always among it; what an operation
    allocates inside itself is not counted. `stored_values` and
    `stored_bytes` are what a reverse sweep reads of the values between inputs and outputs, and outputs, and so has to keep.
    """

    additions: int = 0
    multiplications: int = 0
    divisions: int = 0
    transcendentals: int = 0
    comparisons: int = 0
    flops: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    peak_bytes: int = 0
    stored_values: int = 0
    stored_bytes: int = 0

    @property
    def operations(self) -> int:
        """All operations of the five kinds, of numbers of any dtype."""
        return sum(getattr(self, kind) for kind in OPERATIONS)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        lines = [(name.replace("_", " "), f"{value:,}") for name, value in asdict(self).items()]
        width = max(len(value) for _, value in lines)
        return "\n".join(f"{name:<15}  {value:>{width}}" for name, value in lines)

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{name.replace('_', ' ')}</td><td>{value:,}</td></tr>" for name, value in asdict(self).items())
        return framed(f"<tbody>{rows}</tbody>")


def cost(f_or_graph: Callable[..., Any] | Graph, /, *args: Any) -> Cost:
    """The cost of one run of a graph, or of a function traced on `args`, by the shapes of its arrays.

    >>> import numpy as np, compgraph as cg
    >>> cost(lambda x, w: np.sum(np.tanh(w @ x)), np.zeros(3), np.zeros((2, 3)))
    Cost(additions=5, multiplications=6, divisions=0, transcendentals=2, comparisons=0, flops=13, bytes_read=104, bytes_written=40, \
peak_bytes=104, stored_values=2, stored_bytes=16)

    `w @ x` is six multiplications and four additions, the sum one more. Raises `GraphError` for an eager graph with a
    checkpointed call, whose nodes are forgotten.
    """
    graph = graph_of_function(f_or_graph, args)
    values, nbytes = stored(graph)
    return replace(run_cost(graph), stored_values=values, stored_bytes=nbytes)


def graph_of_function(f_or_graph: Any, args: Sequence[Any]) -> Graph:
    """The graph itself, for which arguments are not needed, or the trace of a function."""
    if isinstance(f_or_graph, Graph):
        return f_or_graph
    if not callable(f_or_graph):
        found = describe(f_or_graph) if isinstance(f_or_graph, Node) else f"{type(f_or_graph).__name__}"
        raise InputError(f"cost takes a function or a graph, not {found}; for a node write cg.cost(cg.graph_of(node))")
    return trace(f_or_graph, *args)


# ------------------------------------------------------------------------------------------- counting


def run_cost(graph: Graph) -> Cost:
    """`cost` without what a reverse sweep would store."""
    counts = dict.fromkeys((*OPERATIONS, "flops", "bytes_read", "bytes_written"), 0)
    for node in graph.nodes:
        for kind, count in counts_of(node).items():
            if kind in counts:
                counts[kind] += count
    return Cost(**counts, peak_bytes=peak_bytes(graph))


def counts_of(node: Node) -> Counts:
    """The operations and bytes of one node, and `moves` or `views` where it only copies entries or not even that."""
    primitive = node.primitive
    if primitive is None or primitive.name == "constant":
        return {}
    if primitive is CHECKPOINT:
        place = describe_origin(node.origin)
        raise GraphError(f"the nodes of a checkpointed call are forgotten{f' ({place})' if place else ''}: count a trace of the function")
    if primitive is SCAN:
        body = run_cost(node.params["body"])
        return {name: count * node.params["length"] for name, count in asdict(body).items() if name not in _NOT_SUMMED}
    stated = primitive.cost
    counts = dict(stated(node, *node.args, **node.params)) if callable(stated) else {stated: node.size}
    dtypes = [arg.dtype.kind for arg in (node, *node.args) if hasattr(arg, "dtype")]
    if "c" in dtypes:
        counts = _in_real_numbers(counts)
    if "f" in dtypes or "c" in dtypes:
        counts["flops"] = sum(counts.get(kind, 0) for kind in OPERATIONS[:-1])
    if "views" not in counts:
        counts.setdefault("bytes_read", sum(_nbytes(arg) for arg in node.args if isinstance(arg, Node)))
        counts["bytes_written"] = _nbytes(node)
    return counts


_NOT_SUMMED = ("peak_bytes", "stored_values", "stored_bytes")


def _in_real_numbers(counts: Counts) -> Counts:
    total: Counts = {}
    for kind, count in counts.items():
        for real, times in _COMPLEX.get(kind, {kind: 1}).items():
            total[real] = total.get(real, 0) + times * count
    return total


def _nbytes(node: Any) -> int:
    return int(node.size * node.dtype.itemsize)


def is_view(node: Node) -> bool:
    return "views" in counts_of(node)


def peak_bytes(graph: Graph) -> int:
    """The most bytes alive at once: nodes in order, each freed after its last reader, views sharing memory.

    >>> import numpy as np, compgraph as cg
    >>> peak_bytes(cg.trace(lambda x: np.sum(np.sin(np.exp(x))), np.zeros(100)))
    2400
    """
    bases = bases_of(graph.nodes, is_view)
    last = last_reads(graph.nodes, bases)
    held = {base for node in graph.outputs for base in bases[node]}.union(graph.inputs)
    held.update(node for node in graph.nodes if node.primitive is None or node.primitive.name == "constant")
    ending: dict[int, list[Node]] = {}
    for node, number in last.items():
        if node not in held:
            ending.setdefault(number, []).append(node)
    live = sum(_nbytes(node) for node in graph.nodes if node in held and _is_given(node))
    peak = live
    for number, node in enumerate(graph.nodes):
        if not _is_given(node) and bases[node][0] is node:
            live += _nbytes(node)
        inside = peak_bytes(node.params["body"]) if node.primitive is SCAN else 0
        peak = max(peak, live + inside)
        live -= sum(_nbytes(one) for one in ending.get(number, ()) if bases[one][0] is one)
    return peak


def _is_given(node: Node) -> bool:
    return node.primitive is None or node.primitive.name == "constant"


def stored(graph: Graph) -> tuple[int, int]:
    """How many values, and bytes, a reverse sweep reads that are neither inputs nor constants.

    >>> import numpy as np, compgraph as cg
    >>> stored(cg.trace(lambda x: np.sum(np.sin(x) * np.exp(x)), np.zeros(100)))
    (200, 1600)

    They are read off the adjoint graph: of `sin` it reads the argument, of `exp` the result. A loop keeps what its run for
    the reverse sweep stacks.
    """
    if not any(node.dtype.kind in "fc" for node in graph.inputs) or not any(node.dtype.kind in "fc" for node in graph.outputs):
        return 0, 0
    adjoint = reverse(graph)
    run = set(graph.nodes)
    swept = dependent(adjoint.nodes, adjoint.inputs[len(graph.inputs) :])
    run.update(node for node in adjoint.nodes if node.primitive is SCAN and node not in swept)
    bases = bases_of(adjoint.nodes, is_view)
    for node in adjoint.nodes:
        if is_view(node) and all(base in run for base in bases[node]):
            run.add(node)  # the parts of a loop
    read = {arg for node in adjoint.nodes if node not in run for arg in node.args if isinstance(arg, Node) and arg in run}
    kept = _extents(read, bases)
    return sum(kept.values()), sum(count * node.dtype.itemsize for node, count in kept.items())


def _extents(read: Iterable[Node], bases: dict[Node, tuple[Node, ...]]) -> dict[Node, int]:
    """How many entries of each node with memory of its own are kept: no more than what is read of a loop's one vector."""
    kept: dict[Node, int] = {}
    for node in read:
        for base in bases[node]:
            if not _is_given(base):
                kept[base] = min(base.size, kept.get(base, 0) + node.size) if base.primitive is SCAN else base.size
    return kept


# ---------------------------------------------------------------------------------------- derivatives


def jacobian_graph(graph: Graph, mode: str) -> Graph:
    """(x, X_dot) -> (y, Y_dot), or (x, Y_bar) -> (y, X_bar): all tangents or all adjoints in one pass.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: np.stack([x[0] * x[1], x[0] + x[1], x[1] ** 2]), np.zeros(2))
    >>> [node.shape for node in jacobian_graph(graph, "forward").inputs]
    [(2,), (2, 2)]
    >>> [node.shape for node in jacobian_graph(graph, "reverse").inputs]
    [(2,), (3, 3)]

    The seeds are inputs, one more array for each array that is differentiated by, or of: a row a unit seed. It is the graph
    that `jacobian` runs.
    """
    if mode not in ("forward", "reverse"):
        raise InputError(f"mode {mode!r}: it is 'forward' or 'reverse'")
    ends = chosen_inputs(graph, None) if mode == "forward" else [node for node in dict.fromkeys(graph.outputs) if node.dtype.kind in "fc"]
    seeds: list[Node] = []
    blocks: list[Any] = []
    for node in ends:
        derived = forward(graph, wrt=node) if mode == "forward" else reverse(graph, of=node)
        seed, results = derived.inputs[len(graph.inputs)], derived.outputs[len(graph.outputs) :]
        if node.shape:
            many = placeholder((node.size, *node.shape), node.dtype)
            results = tuple(run_batched(derived.nodes, {seed: many}, results, lift=True))
            seed = many
        seeds.append(seed)
        blocks += results
    return simplify(Graph([*graph.inputs, *seeds], [*graph.outputs, *blocks], name=f"{graph.name}_jacobian"))


def hessian_graph(graph: Graph, outer: str, inner: str) -> Graph:
    """The Hessian of a graph with one number as its output, the outer mode over the inner one."""
    inputs = chosen_inputs(graph, None)
    first = jacobian_graph(graph, inner)
    count = len(graph.outputs)
    # Seeds are numbers that are given: the second derivative is by the first inputs alone.
    gradient = Graph(first.inputs, first.outputs[count:], name=f"{graph.name}_gradient")
    ends: Sequence[Node] = inputs if outer == "forward" else list(dict.fromkeys(gradient.outputs))
    seeds: list[Node] = []
    blocks: list[Any] = []
    for node in ends:
        if _is_given(node) and node not in inputs:
            continue  # a derivative that is constant
        derived = forward(gradient, wrt=node) if outer == "forward" else reverse(gradient, of=node, wrt=inputs)
        seed, results = derived.inputs[len(gradient.inputs)], derived.outputs[len(gradient.outputs) :]
        if node.shape:
            many = placeholder((node.size, *node.shape), node.dtype)
            results = tuple(run_batched(derived.nodes, {seed: many}, results, lift=True))
            seed = many
        seeds.append(seed)
        blocks += results
    return simplify(Graph([*gradient.inputs, *seeds], [*graph.outputs, *blocks], name=f"{graph.name}_hessian"))


@dataclass(frozen=True)
class Costs:
    """The costs of a function and of its derivatives: `costs["VJP"]`, a row each in a terminal, a notebook and JSON."""

    name: str
    rows: tuple[tuple[str, Cost], ...]

    def __getitem__(self, name: str) -> Cost:
        known = dict(self.rows)
        if name not in known:
            raise InputError(f"no row {name!r}; there are {', '.join(known)}")
        return known[name]

    def to_json(self) -> str:
        return json.dumps({"name": self.name, "rows": [{"derivative": name, **asdict(row)} for name, row in self.rows]})

    def _cells(self) -> list[tuple[str, ...]]:
        base = self.rows[0][1].flops
        head = ("", *OPERATIONS, "flops", "times f", "peak bytes", "stored bytes")
        numbers = [
            (name, *(f"{getattr(row, kind):,}" for kind in (*OPERATIONS, "flops")), f"{row.flops / base:.2f}" if base else "–",
             f"{row.peak_bytes:,}", f"{row.stored_bytes:,}" if row.stored_bytes else "–")
            for name, row in self.rows
        ]  # fmt: skip
        return [head, *numbers]

    def __str__(self) -> str:
        return aligned(self._cells())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return mimebundle(self, {"text/plain": self.__str__, "text/html": lambda: html_table(self._cells())})


def costs(f_or_graph: Callable[..., Any] | Graph, /, *args: Any) -> Costs:
    """The costs of a function, its JVP and VJP, its Jacobian by both modes and, of one number, its Hessian by all four nestings.

    >>> import numpy as np, compgraph as cg
    >>> table = costs(lambda x: np.sum(np.sin(x) * x), np.zeros(10))
    >>> [(name, row.flops) for name, row in table.rows][:5]
    [('function', 29), ('JVP', 88), ('VJP', 79), ('Jacobian, forward', 529), ('Jacobian, reverse', 79)]

    Derivatives are counted as the sweeps make them, with equal parts computed once, and with the value of the function;
    seeds are inputs. The Jacobian by forward mode carries a tangent for each entry of the inputs, by reverse mode an adjoint
    for each entry of the outputs.
    """
    graph = graph_of_function(f_or_graph, args)
    values, nbytes = stored(graph)
    rows = [("function", replace(run_cost(graph), stored_values=values, stored_bytes=nbytes))]
    rows += [("JVP", run_cost(simplify(forward(graph)))), ("VJP", run_cost(simplify(reverse(graph))))]
    rows += [(f"Jacobian, {mode}", run_cost(jacobian_graph(graph, mode))) for mode in ("forward", "reverse")]
    if len(graph.outputs) == 1 and not graph.outputs[0].shape:
        nestings = [(outer, inner) for outer in ("forward", "reverse") for inner in ("forward", "reverse")]
        rows += [(f"Hessian, {outer} over {inner}", run_cost(hessian_graph(graph, outer, inner))) for outer, inner in nestings]
    return Costs(graph.name, tuple(rows))


def checkpointed_cost(step: Callable[[Any], Any], state: Any, length: int, snapshots: int) -> Cost:
    """The cost of a gradient through `length` steps by `checkpoint_chain` with `snapshots` states held.

    >>> import numpy as np
    >>> some, all_ = (checkpointed_cost(np.sin, np.zeros(100), 1000, held) for held in (10, 1000))
    >>> some.transcendentals - all_.transcendentals, some.peak_bytes, all_.peak_bytes
    (263700, 12000, 803200)

    `revolve_cost(length, snapshots)` steps run forward, the last one once for the value, and each once more with its adjoint. At
    the peak the snapshots are held, beside what the reversal of one step needs.
    """
    if type(length) is not int or type(snapshots) is not int or length < 1 or snapshots < 1:
        raise InputError(f"checkpointed_cost: length and snapshots are integers from 1 on, not {length!r:.20} and {snapshots!r:.20}")
    graph = trace(step, state)
    ahead, back = run_cost(graph), run_cost(simplify(reverse(graph)))
    runs = revolve_cost(length, snapshots) + 1
    names = (*OPERATIONS, "flops", "bytes_read", "bytes_written")
    counts = {name: runs * getattr(ahead, name) + length * getattr(back, name) for name in names}
    held = min(snapshots, length)
    values = sum(node.size for node in graph.inputs)
    nbytes = sum(map(_nbytes, graph.inputs))
    # The state before the step that is reversed is one of those held where a snapshot stands there.
    peak = max(held * nbytes + back.peak_bytes - nbytes * (held == length), held * nbytes + ahead.peak_bytes)
    return Cost(**counts, peak_bytes=peak, stored_values=held * values, stored_bytes=held * nbytes)


# --------------------------------------------------------------------------------------------- tables


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Rows of texts in columns: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in cells
    )


def html_table(cells: Sequence[Sequence[str]], caption: str = "") -> str:
    def line(row: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in row) + "</tr>"

    body = "".join(line(row, "td") for row in cells[1:])
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return framed(f"{above}<thead>{line(cells[0], 'th')}</thead><tbody>{body}</tbody>")

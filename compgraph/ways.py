"""The ways to differentiate that `comparison.py` compares: what each costs, and how one pass of it is run.

Every way computes the whole Jacobian, and is a graph or runs one: operations and memory are counted by the ledger, and the
programs that are timed are printed from the same graphs, so that no way has a faster engine than another.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from compgraph import programs
from compgraph.errors import CompgraphError
from compgraph.forward_mode import forward
from compgraph.graph import Graph, Node, active_nodes, constant, describe, placeholder
from compgraph.ledger import OPERATIONS, Cost, counts_of, jacobian_graph, run_cost
from compgraph.reverse_mode import reverse
from compgraph.simplification import simplify
from compgraph.swell import written_out, written_out_size
from compgraph.symbolic import TooLargeError, extend, from_sympy, symbols_of, tree_size

Array = np.ndarray[Any, Any]

SYMBOLIC_SIZE = 20_000  # operations and operands, written out, of all that SymPy is asked for
VISITS = 200_000  # operations that SymPy differentiates, those of all outputs for each input
SYMBOLIC_SECONDS = 1.0  # that SymPy may take
PROGRAM_SIZE = 5_000  # operations of a formula that is still run as a program, written out
MOST_BYTES = 512 * 2**20  # of a pass that is run
MOST_OPERATIONS = 10**9  # of a pass that is run
TIMING_SECONDS = 0.4  # for all ways together


class Point:
    """A graph at a point: which inputs move, and which entry of which input each column of the Jacobian is by."""

    def __init__(self, graph: Graph, inputs: list[Node], values: list[Any]) -> None:
        self.graph, self.inputs, self.values = graph, inputs, values
        self.n, self.m = sum(node.size for node in inputs), sum(node.size for node in graph.outputs)
        self.places = [graph.inputs.index(node) for node in inputs]
        self.cost = run_cost(graph)

    def entry(self, number: int) -> tuple[int, int]:
        """The place of the input and the entry in it that column `number` is by."""
        for place in self.places:
            size = self.graph.inputs[place].size
            if number < size:
                return place, number
            number -= size
        raise AssertionError

    def moved(self, number: int, step: Any) -> list[Any]:
        place, entry = self.entry(number)
        moved = np.array(self.values[place], np.result_type(self.values[place], step) if isinstance(step, complex) else None)
        moved.reshape(-1)[entry] += step
        return [*self.values[:place], moved[()], *self.values[place + 1 :]]

    def units(self, ends: Sequence[Node], number: int) -> list[Any]:
        """Seeds of `ends` that are zero but for entry `number` of all of them."""
        seed = np.zeros(sum(node.size for node in ends))
        seed[number] = 1.0
        parts = np.split(seed, np.cumsum([node.size for node in ends])[:-1])
        return [part.reshape(node.shape).astype(node.dtype)[()] for part, node in zip(parts, ends, strict=True)]


# -------------------------------------------------------------------------------------------- the ways


class Plan(NamedTuple):
    """A way before it is measured. `once` is the program of one pass, on arguments that are ready, since what is compared is
    what the programs take; `columns(entries)` is the (m, len(entries)) part of the Jacobian."""

    name: str
    passes: int | None = None
    operations: int | None = None
    peak_bytes: int | None = None
    once: Callable[[], Any] | None = None
    columns: Callable[[Sequence[int]], Array] | None = None
    note: str = ""


def _program(graph: Graph) -> Callable[..., list[Any]]:
    """The graph as the program that is printed, with its outputs as a list."""
    run = programs.define(graph.to_source(), graph.name, {}, title=f"compare {graph.name}")
    if len(graph.outputs) == 1:
        return lambda *values: [run(*values)]
    return lambda *values: list(run(*values))


def _flat(parts: Sequence[Any]) -> Array:
    return np.concatenate([np.ravel(part) for part in parts])


def _planned(name: str, passes: int, cost: Cost, make: Callable[[], tuple[Callable[[], Any], Callable[[Sequence[int]], Array]]]) -> Plan:
    """A way of which each pass has that cost; one that is too large is counted and not run."""
    total = passes * cost.operations
    if cost.peak_bytes > MOST_BYTES or cost.operations > MOST_OPERATIONS:
        return Plan(name, passes, total, cost.peak_bytes, note=f"counted and not run: a pass takes {cost.peak_bytes / 2**20:,.1f} MiB")
    return Plan(name, passes, total, cost.peak_bytes, *make())


def _forward(point: Point) -> Iterator[Plan]:
    derived = simplify(forward(point.graph))

    def make() -> Any:
        run, count = _program(derived), len(point.graph.outputs)

        def one(number: int) -> Array:
            return _flat(run(*point.values, *point.units(point.inputs, number))[count:])

        ready = *point.values, *point.units(point.inputs, 0)
        return (lambda: run(*ready)), lambda entries: np.stack([one(number) for number in entries], axis=1)

    yield _planned("forward", point.n, run_cost(derived), make)


def _reverse(point: Point) -> Iterator[Plan]:
    derived = simplify(reverse(point.graph))

    def make() -> Any:
        run, count = _program(derived), len(point.graph.outputs)

        def one(number: int) -> Array:
            return _flat(run(*point.values, *point.units(point.graph.outputs, number))[count:])

        ready = *point.values, *point.units(point.graph.outputs, 0)
        return (lambda: run(*ready)), lambda entries: np.stack([one(number)[list(entries)] for number in range(point.m)])

    yield _planned("reverse", point.m, run_cost(derived), make)


def _vector(point: Point, mode: str) -> Iterator[Plan]:
    derived = jacobian_graph(point.graph, mode)
    ends: Sequence[Node] = point.inputs if mode == "forward" else point.graph.outputs

    def make() -> Any:
        run, count = _program(derived), len(point.graph.outputs)
        seeds = [np.eye(node.size, dtype=node.dtype).reshape(node.size, *node.shape) if node.shape else node.dtype.type(1) for node in ends]
        others: Sequence[Node] = point.graph.outputs if mode == "forward" else point.inputs

        def whole() -> Array:
            blocks = iter(run(*point.values, *seeds)[count:])
            # What no seed reaches is zero, without the axis of the seeds.
            rows = [[np.broadcast_to(next(blocks), (end.size, *other.shape) if end.shape else other.shape).reshape(end.size, other.size)
                     for other in others] for end in ends]  # fmt: skip
            found = np.block(rows)
            return found.T if mode == "forward" else found

        return (lambda: run(*point.values, *seeds)), lambda entries: whole()[:, list(entries)]

    yield _planned(f"vector {mode}", 1, run_cost(derived), make)


def _vector_forward(point: Point) -> Iterator[Plan]:
    return _vector(point, "forward")


def _vector_reverse(point: Point) -> Iterator[Plan]:
    return _vector(point, "reverse")


def _difference(point: Point) -> Iterator[Plan]:
    """(f(x + h) - f(x - h)) / 2h with h = eps**(1/3) of the entry's size, which balances truncation and rounding."""
    run = _program(point.graph)

    def step(number: int) -> float:
        place, entry = point.entry(number)
        x = np.ravel(point.values[place])[entry]
        return float(np.finfo(x.dtype).eps) ** (1 / 3) * max(1.0, float(abs(x)))

    def one(number: int) -> Array:
        h = step(number)
        above, below = (_flat(run(*point.moved(number, moved))).astype(np.float64) for moved in (h, -h))
        return np.asarray((above - below) / (2 * h))

    def make() -> Any:
        above, below = point.moved(0, step(0)), point.moved(0, -step(0))
        return (lambda: (run(*above), run(*below))), lambda entries: np.stack([one(number) for number in entries], axis=1)

    operations = 2 * point.cost.operations + 3 + 2 * point.m  # of an input's difference: two steps and 2 h, then the entries
    plan = _planned("central difference", 2 * point.n, point.cost, make)
    yield plan._replace(operations=point.n * operations)


def complex_graph(point: Point) -> Graph | str:
    """The graph for complex numbers in the inputs that move, or why there is none."""
    active = active_nodes(point.graph.nodes, point.inputs)
    odd = next((node for node in point.graph.nodes if node in active and node.primitive is not None and not node.primitive.analytic), None)
    if odd is not None:
        return f"{describe(odd)} is not analytic"
    try:
        moving = [placeholder(node.shape, np.result_type(node.dtype, np.complex64) if node in point.inputs else node.dtype, node.name)
                  for node in point.graph.inputs]  # fmt: skip
        turned = [node if isinstance(node, Node) else constant(node) for node in point.graph.run(moving)]
        return simplify(Graph(moving, turned, name=point.graph.name))
    except (CompgraphError, TypeError) as error:
        return f"no complex version: {error}"


def _complex_step(point: Point) -> Iterator[Plan]:
    """Im f(x + ih) / h with h = 1e-100: no difference is taken, so nothing cancels."""
    name, h = "complex step", 1e-100
    complexes = complex_graph(point)
    if isinstance(complexes, str):
        yield Plan(name, note=complexes)
        return
    run = _program(complexes)

    def moved(number: int) -> list[Any]:
        return [value.astype(node.dtype) for value, node in zip(point.moved(number, h * 1j), complexes.inputs, strict=True)]

    def one(number: int) -> Array:
        return np.asarray(_flat([np.imag(part) for part in run(*moved(number))]).astype(np.float64) / h)

    def make() -> Any:
        ready = moved(0)
        return (lambda: run(*ready)), lambda entries: np.stack([one(number) for number in entries], axis=1)

    cost = run_cost(complexes)
    plan = _planned(name, point.n, cost, make)
    if point.values and any(node.dtype == np.float32 for node in point.inputs):
        plan = Plan(name, note="float32 cannot hold a step of 1e-100")
    yield plan._replace(operations=point.n * (cost.operations + 1 + point.m)) if plan.passes else plan


# ---------------------------------------------------------------------------------------------- SymPy


class _OutOfTimeError(BaseException):
    """Past SymPy's own `except Exception`."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Stop what runs inside after that many seconds of its thread's time by raising `TooLargeError`, at the next call of a function.

    >>> with within(0.01):
    ...     while True:
    ...         len(str(1))
    Traceback (most recent call last):
        ...
    compgraph.symbolic.TooLargeError: it took longer than 0.01 s

    SymPy is Python and calls functions all the time, so no thread or process is needed to stop it.
    """
    stop, before = time.thread_time() + seconds, sys.getprofile()

    def watch(frame: Any, event: str, arg: Any) -> None:
        # Not in a generator: one that is thrown away is entered to be closed, and what is raised there is printed and lost.
        if event in ("call", "c_call") and time.thread_time() > stop and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            raise _OutOfTimeError

    sys.setprofile(watch)
    try:
        yield
    except _OutOfTimeError:
        raise TooLargeError(f"it took longer than {seconds:g} s") from None
    finally:
        sys.setprofile(before)


def _symbolic(point: Point) -> Iterator[Plan]:
    names = ("symbolic", "symbolic, shared")
    try:
        size = _formula_size(point.graph)
        if size * point.n > VISITS:
            raise TooLargeError(f"about {size:,} operations written out, to be differentiated by {counted(point.n, 'input')}")
        symbols = symbols_of(point.graph)
        with within(SYMBOLIC_SECONDS):
            derivatives = _derivatives(point, symbols)
        shared = from_sympy(derivatives, [symbol for array in symbols for symbol in array.ravel()])
    except TooLargeError as error:
        yield from (Plan(name, note=f"given up: {error}") for name in names)
        return
    except (CompgraphError, TypeError, AttributeError, NotImplementedError, RecursionError, ValueError) as error:
        yield from (Plan(name, note=f"SymPy has no form: {error}") for name in names)
        return
    size = written_out_size(shared)
    if size > PROGRAM_SIZE:
        yield Plan(names[0], 1, size, note=f"counted and not run: {size:,} operations written out")
    else:
        yield _formula_plan(point, names[0], written_out(shared))
    yield _formula_plan(point, names[1], shared)


def _formula_plan(point: Point, name: str, graph: Graph) -> Plan:
    def make() -> Any:
        run = _program(graph)
        values = _flat([np.asarray(value) for value in point.values]).tolist()
        numbers = [np.float64(value) for value in values]

        def whole() -> Array:
            return np.array([float(entry) for entry in run(*numbers)]).reshape(point.m, point.n)

        return (lambda: run(*numbers)), lambda entries: whole()[:, list(entries)]

    return _planned(name, 1, run_cost(graph), make)


def _derivatives(point: Point, symbols: Sequence[Any]) -> list[Any]:
    """The m n derivatives as formulas in a symbol for each entry of the inputs."""
    graph = point.graph
    environment = dict(zip(graph.inputs, symbols, strict=True))
    extend(environment, graph.nodes, limit=SYMBOLIC_SIZE)
    by = [symbol for place in point.places for symbol in symbols[place].ravel()]
    derivatives: list[Any] = []
    known: dict[Any, int] = {}
    total = 0
    for node in graph.outputs:
        for entry in environment[node].ravel():
            for symbol in by:
                derivative = entry.diff(symbol)
                total += tree_size(derivative, known)
                if total > SYMBOLIC_SIZE:
                    done = f"{len(derivatives):,} of {point.n * point.m:,} derivatives"
                    raise TooLargeError(f"more than {SYMBOLIC_SIZE:,} operations and operands after {done}")
                derivatives.append(derivative)
    return derivatives


def _formula_size(graph: Graph) -> int:
    """About how many operations the outputs take when every entry is a formula of its own."""
    each: dict[Node, float] = {}  # of one entry
    for node in graph.nodes:
        counts = counts_of(node)
        own = sum(counts.get(kind, 0) for kind in OPERATIONS)
        terms = max(node.size, counts.get("multiplications", 0))  # which a product reads
        read = sum(each[arg] * max(terms, arg.size) for arg in node.args if isinstance(arg, Node))
        each[node] = (own + read) / max(node.size, 1)
    return round(sum(each[node] * node.size for node in graph.outputs))


# -------------------------------------------------------------------------------------------- measured


def measured(plans: Sequence[Plan]) -> dict[str, float | None]:
    """The median of one pass of each way times its passes, the ways taking turns, so that all meet the same machine."""
    seconds: dict[str, float | None] = {plan.name: None for plan in plans}
    runs = {plan.name: plan.once for plan in plans if plan.once is not None}
    if not runs:
        return seconds
    taken: dict[str, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    rounds = 0
    while rounds < 2 or (time.perf_counter() - begin < TIMING_SECONDS and rounds < 100):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
        rounds += 1
    for plan in plans:
        if plan.name in taken:
            calls = (plan.passes or 1) // (2 if plan.name == "central difference" else 1)
            seconds[plan.name] = float(np.median(taken[plan.name][1:])) * calls  # the first one warms up
    return seconds


def plans(point: Point) -> list[Plan]:
    """All ways to the Jacobian at a point, those that cannot be gone among them, with a note."""
    makers = (_forward, _reverse, _vector_forward, _vector_reverse, _symbolic, _difference, _complex_step)
    return [plan for make in makers for plan in make(point)]


def counted(number: int, what: str) -> str:
    """
    >>> counted(1, "input"), counted(2000, "input")
    ('1 input', '2,000 inputs')
    """
    return f"{number:,} {what}{'s' * (number != 1)}"

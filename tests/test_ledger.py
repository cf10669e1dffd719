"""The ledger against counts by hand, against programs run entry by entry by numbers that count, and against known bounds."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any, NamedTuple

import numpy as np
import pytest
from domains import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_random_graphs import KINKED, SHAPED, SMOOTH, random_programs

import compgraph as cg
from compgraph import forward_mode, ledger, reverse_mode, ways
from compgraph.graph import PRIMITIVES, Node, active_nodes, graph_of, placeholder

A, B, V, W = np.zeros((2, 3)), np.zeros((3, 4)), np.zeros(3), np.zeros((4, 3))
Z = np.zeros(4, complex)

# ------------------------------------------------------------------------------------- counts by hand


class Hand(NamedTuple):
    """A function, and its additions, multiplications, divisions, transcendental calls and comparisons, derived by hand."""

    function: Any
    args: tuple[Any, ...]
    counts: tuple[int, int, int, int, int]
    why: str


HAND = {
    "textbook": Hand(
        lambda x1, x2: (np.exp(x1 / x2) + x1 / x2) * (x1 / x2 - np.log(x2)), (0.5, 1.0), (2, 1, 3, 2, 0),
        "as written: 3 quotients, exp, log, one + and one -, one product"),
    "survey": Hand(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), (2.0, 5.0), (2, 1, 0, 2, 0), "log, sin, one product, + and -"),
    "constant": Hand(lambda x: 3.0 + 0 * x, (1.0,), (1, 1, 0, 0, 0), "0 * x and 3 + it are done as they are written"),
    "square": Hand(lambda x: x**2, (V,), (0, 3, 0, 0, 0), "a square is one product an entry"),
    "cube": Hand(lambda x: x**3, (V,), (0, 0, 0, 3, 0), "another power is one call of pow an entry"),
    "reciprocal": Hand(lambda x: x**-1 + 1 / x, (V,), (3, 0, 6, 0, 0), "two quotients and a sum an entry"),
    "broadcast": Hand(lambda a, v: a * v - 1, (A, V), (6, 6, 0, 0, 0), "2 x 3 products, and as many differences"),
    "sum": Hand(np.sum, (A,), (5, 0, 0, 0, 0), "6 entries: 5 additions"),
    "sum of rows": Hand(lambda a: np.sum(a, axis=1), (A,), (4, 0, 0, 0, 0), "2 rows of 3: 2 additions each"),
    "mean": Hand(lambda a: np.mean(a, axis=0), (A,), (3, 0, 3, 0, 0), "3 columns of 2: an addition and a division each"),
    "largest": Hand(lambda a: np.max(a, axis=0), (A,), (0, 0, 0, 0, 3), "3 columns of 2: one comparison each"),
    "matrix product": Hand(lambda a, b: a @ b, (A, B), (16, 24, 0, 0, 0), "2 x 4 entries of 3 products and 2 additions"),
    "matrix vector": Hand(lambda a, v: a @ v, (A, V), (4, 6, 0, 0, 0), "2 entries of 3 products and 2 additions"),
    "dot": Hand(lambda v, w: v @ w, (V, V), (2, 3, 0, 0, 0), "3 products, 2 additions"),
    "outer": Hand(lambda v, w: np.einsum("i,j->ij", v, w), (V, V), (0, 9, 0, 0, 0), "9 products and nothing to sum"),
    "trace": Hand(lambda m: np.einsum("ii->", m), (np.zeros((3, 3)),), (2, 0, 0, 0, 0), "3 entries of the diagonal"),
    "layer": Hand(
        lambda w, b, x: np.sum(np.tanh(w @ x + b)), (W, np.zeros(4), V), (15, 12, 0, 4, 0),
        "4 x 3 products, 4 x 2 + 4 additions, 4 tanh, 3 additions of the sum"),
    "shapes": Hand(lambda a: np.reshape(a.T, (2, 3))[::-1, 1:] + 0.0, (A,), (4, 0, 0, 0, 0), "moves are free, 4 entries are added to"),
    "gather": Hand(lambda v: v[np.array([0, 0, 2, 1])] * 2, (V,), (0, 4, 0, 0, 0), "4 entries are read, and doubled"),
    "choice": Hand(lambda v: np.where(v > 0, v, -v), (V,), (3, 0, 0, 0, 6), "3 comparisons, 3 changes of sign, 3 choices"),
    "relu": Hand(lambda v: np.maximum(v, 0), (V,), (0, 0, 0, 0, 3), "a comparison an entry"),
    "loop": Hand(
        lambda x: cg.scan(lambda h, _: (np.sin(h) * h, h), x, np.zeros(5))[0], (V,), (0, 15, 0, 15, 0),
        "5 turns of 3 sines and 3 products"),
    "running sum": Hand(np.cumsum, (V,), (2, 0, 0, 0, 0), "each entry but the first is added to what came before"),
    "solve": Hand(
        lambda a, b: np.linalg.solve(a, b), (np.eye(3), np.zeros((3, 2))), (17, 17, 9, 0, 3),
        "elimination: 2 + 1 quotients and comparisons, 4 + 1 products and subtractions; 2 columns of 3 + 3 of these and 3 quotients"),
    "determinant": Hand(np.linalg.det, (np.eye(3),), (5, 7, 3, 0, 3), "elimination as above, and 2 products of the diagonal"),
    "cholesky": Hand(np.linalg.cholesky, (np.eye(3),), (4, 4, 3, 3, 0), "3 roots, 2 + 1 quotients, 3 + 1 products and subtractions"),
    "complex product": Hand(lambda z, w: z * w, (Z, Z), (8, 16, 0, 0, 0), "4 entries of 4 products and 2 additions of real numbers"),
    "transform": Hand(np.fft.fft, (Z,), (24, 16, 0, 0, 0), "n = 4: 4 complex products and 8 complex sums, 5 n log2 n = 40 flops"),
}  # fmt: skip


@pytest.mark.parametrize("name", HAND)
def test_counts_by_hand(name):
    row = HAND[name]
    found = cg.cost(row.function, *row.args)
    assert tuple(getattr(found, kind) for kind in ledger.OPERATIONS) == row.counts, row.why
    assert found.flops == sum(row.counts[:-1])
    assert found.operations == sum(row.counts)


def test_integers_are_counted_and_are_no_flops():
    found = cg.cost(cg.trace(lambda x, k: x[k + k], V, np.array([0, 1])))
    assert (found.additions, found.flops) == (2, 0)


# ------------------------------------------------------------------------------------- numbers that count


class Counter:
    def __init__(self) -> None:
        self.counts = dict.fromkeys(ledger.OPERATIONS, 0)

    def number(self, value: Any) -> Counting:
        return Counting(value.value if isinstance(value, Counting) else float(value), self)


def counted_binary(kind: str, compute: Any) -> tuple[Any, Any]:
    def forth(self: Counting, other: Any) -> Any:
        # An array, of no axis even, takes over, and comes back with its entries.
        return NotImplemented if isinstance(other, np.ndarray) else self.made(kind, compute, self.value, valued(other))

    def back(self: Counting, other: Any) -> Any:
        return NotImplemented if isinstance(other, np.ndarray) else self.made(kind, compute, valued(other), self.value)

    return forth, back


def valued(number: Any) -> float:
    return number.value if isinstance(number, Counting) else float(number)


class Counting:
    """A number that counts what is done with it. NumPy's functions call its methods, entry by entry."""

    def __init__(self, value: float, counter: Counter) -> None:
        self.value, self.counter = value, counter

    def made(self, kind: str, compute: Any, *values: float) -> Any:
        self.counter.counts[kind] += 1
        result = compute(*values)
        return result if isinstance(result, bool) else Counting(result, self.counter)

    __add__, __radd__ = counted_binary("additions", lambda a, b: a + b)
    __sub__, __rsub__ = counted_binary("additions", lambda a, b: a - b)
    __mul__, __rmul__ = counted_binary("multiplications", lambda a, b: a * b)
    __truediv__, __rtruediv__ = counted_binary("divisions", lambda a, b: a / b if b else math.nan)
    __lt__, _ = counted_binary("comparisons", lambda a, b: a < b)
    __le__, _ = counted_binary("comparisons", lambda a, b: a <= b)
    __gt__, _ = counted_binary("comparisons", lambda a, b: a > b)
    __ge__, _ = counted_binary("comparisons", lambda a, b: a >= b)
    __eq__, _ = counted_binary("comparisons", lambda a, b: a == b)
    __ne__, _ = counted_binary("comparisons", lambda a, b: a != b)
    __hash__ = None  # type: ignore[assignment]

    def __neg__(self) -> Any:
        return self.made("additions", lambda a: -a, self.value)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self.made("comparisons", abs, self.value)

    def __pow__(self, other: Any) -> Any:
        if not isinstance(other, Counting) and other in (0, 1):
            return Counting(self.value if other else 1.0, self.counter)
        kind = {2.0: "multiplications", -1.0: "divisions"}.get(valued(other)) if not isinstance(other, Counting) else None
        return self.made(kind or "transcendentals", lambda a, b: abs(a) ** b if a else 0.0, self.value, valued(other))

    def __rpow__(self, other: Any) -> Any:
        return self.made("transcendentals", lambda a, b: abs(a) ** b, valued(other), self.value)

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name, None)  # sin, exp, ..., which NumPy looks for on the entries of an array of objects
        if not isinstance(function, np.ufunc):
            raise AttributeError(name)

        def call() -> Any:
            with np.errstate(all="ignore"):
                return self.made("transcendentals", lambda a: float(function(a)), self.value)

        return call


def as_counting(value: Any, counter: Counter) -> Any:
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return array
    made = np.empty(array.size, object)
    made[:] = [counter.number(entry) for entry in array.ravel()]
    return made.reshape(array.shape)


# What the numbers cannot see: a choice takes no operation on them, nor do truth values, and a change of dtype would lose them.
SELECTIONS = {"where", "sheltered"}


def executed(graph: cg.Graph, values: list[Any]) -> dict[str, int]:
    """The operations that are done when the graph is run entry by entry."""
    counter = Counter()
    environment: dict[Node, Any] = {node: as_counting(value, counter) for node, value in zip(graph.inputs, values, strict=True)}
    for node in graph.nodes:
        if node in environment:
            continue
        if node.primitive is None or node.primitive.name == "constant":
            environment[node] = as_counting(node.value if node.primitive is None else node.params["value"], counter)
            continue
        args = [environment[arg] if isinstance(arg, Node) else arg if isinstance(arg, (int, float)) else as_counting(arg, counter)
                for arg in node.args]  # fmt: skip
        environment[node] = applied(node, args, counter)
    return counter.counts


def applied(node: Node, args: list[Any], counter: Counter) -> Any:
    name = node.primitive.name
    if name in ("astype", "to_discrete"):
        return as_counting(np.asarray(args[0], float), counter) if node.dtype.kind == "f" and args[0].dtype.kind == "b" else args[0]
    if name in SELECTIONS or name.startswith("logical_"):
        counter.counts["comparisons"] += node.size
    if name == "sheltered":
        return np.broadcast_to(args[0], node.shape)
    if name == "sheltered_product":
        counter.counts["comparisons"] += node.size
        return args[0] * args[1]
    if name == "where":
        return np.where(np.asarray(args[0], bool), args[1], args[2])
    if name == "sign":
        counter.counts["comparisons"] += node.size
        return as_counting(np.vectorize(lambda one: np.sign(valued(one)), otypes=[float])(args[0]), counter)
    found = np.asarray(summed(node.params["subscripts"], *args) if name == "einsum" else node.primitive.evaluate(*args, **node.params))
    if found.dtype == object and node.size and isinstance(found.flat[0], (bool, np.bool_)):
        return found.astype(bool)
    if found.dtype != object:
        return found
    every = np.empty(found.size, object)  # the zeros among them are numbers too, which the next operation works on
    every[:] = [entry if isinstance(entry, Counting) else counter.number(entry) for entry in found.ravel()]
    return every.reshape(found.shape)


def summed(subscripts: str, *xs: Any) -> Any:
    """The sum of products written out; NumPy's own starts from 0, which is one addition more."""
    operands, output = subscripts.split("->")
    terms = operands.split(",")
    lengths = {letter: 1 for letter in operands if letter != ","}
    for term, x in zip(terms, xs, strict=True):
        for letter, length in zip(term, x.shape, strict=True):
            lengths[letter] = max(lengths[letter], length) if 0 not in (lengths[letter], length) else 0
    sums: dict[tuple[int, ...], Any] = {}
    for places in np.ndindex(*lengths.values()):
        at = dict(zip(lengths, places, strict=True))
        factors = [x[tuple(at[letter] if size > 1 else 0 for letter, size in zip(term, x.shape, strict=True))]
                   for term, x in zip(terms, xs, strict=True)]  # fmt: skip
        key, product = tuple(at[letter] for letter in output), math.prod(factors[1:], start=factors[0])
        sums[key] = sums[key] + product if key in sums else product
    result = np.zeros([lengths[letter] for letter in output], object)
    for key, total in sums.items():
        result[key] = total
    return result


EXECUTABLE = {
    "add", "subtract", "multiply", "divide", "negative", "square", "power", "less", "less_equal", "greater", "greater_equal", "equal",
    "not_equal", "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "exp2", "log2", "log10", "cbrt", "arcsinh", "sum", "mean", "prod", "cumsum", "cumprod", "max", "min", "maximum", "minimum", "abs",
    "matmul", "convolve", "reshape", "transpose", "broadcast_to", "concatenate", "stack", "index", "scatter_add", "norm", "relu",
    "sheltered_product", "first_max", "fold", "windows", "einsum",
}  # fmt: skip


def real_samples() -> list[Any]:
    samples = [sample for sample in SAMPLES if sample.name in EXECUTABLE]
    return [sample for sample in samples if all(getattr(arg, "dtype", np.dtype(float)).kind in "fbiu" for arg in sample.args)]


def graph_of_sample(sample: Any) -> cg.Graph | None:
    moving = [hasattr(arg, "dtype") and arg.dtype.kind == "f" for arg in sample.args]
    nodes = [cg.variable(arg, f"x{place}") if moves else arg for place, (arg, moves) in enumerate(zip(sample.args, moving, strict=True))]
    with np.errstate(all="ignore"):
        y = cg.bind(sample.name, *nodes, **sample.params)
    return graph_of(y) if isinstance(y, Node) else None


@pytest.mark.parametrize("name", sorted(EXECUTABLE))
def test_a_primitive_takes_what_it_states(name):
    checked = 0
    for sample in real_samples():
        graph = graph_of_sample(sample) if sample.name == name else None
        if graph is None or not graph.inputs:
            continue
        found = executed(graph, [node.value for node in graph.inputs])
        stated = ledger.run_cost(graph)
        assert found == {kind: getattr(stated, kind) for kind in ledger.OPERATIONS}, str(sample)
        checked += 1
    assert checked


def test_every_primitive_states_a_cost_that_is_known():
    known = {*ledger.OPERATIONS, "moves", "views", "bytes_read", "flops", "bytes_written"}
    names = set()
    for sample in SAMPLES:
        graph = graph_of_sample(sample)
        if graph is None:
            continue
        for node in graph.nodes:
            counts = ledger.counts_of(node)
            assert set(counts) <= known, node.primitive.name
            assert all(type(count) is int and count >= 0 for count in counts.values()), (str(sample), counts)
        names.add(sample.name)
    stated = {name: primitive.cost for name, primitive in PRIMITIVES.items() if isinstance(primitive.cost, str)}
    assert set(stated.values()) <= known
    assert len(names) > 100


OPERATORS = {**SMOOTH, **KINKED, **SHAPED}


@given(random_programs(OPERATORS), st.sampled_from(["primal", "forward", "reverse", "Jacobian forward", "Jacobian reverse"]))
@settings(max_examples=80)
def test_a_graph_takes_what_its_nodes_state(program, what):
    """The operations that numbers count when the graph is run, entry by entry, are those of the ledger."""
    graph = program.trace()
    derived = {
        "primal": lambda: graph, "forward": lambda: cg.forward(graph), "reverse": lambda: cg.reverse(graph),
        "Jacobian forward": lambda: ledger.jacobian_graph(graph, "forward"),
        "Jacobian reverse": lambda: ledger.jacobian_graph(graph, "reverse"),
    }[what]()  # fmt: skip
    values = [*program.inputs, *(np.ones(node.shape) for node in derived.inputs[len(program.inputs) :])]
    found = executed(derived, values)
    stated = ledger.run_cost(derived)
    assert found == {kind: getattr(stated, kind) for kind in ledger.OPERATIONS}


def test_decompositions_take_what_elimination_takes():
    """Gauss and Cholesky written out with numbers that count, without pivoting."""
    for n in (1, 2, 5):
        counter = Counter()
        a = as_counting(np.eye(n) * n + 1.0, counter)
        for k in range(n):
            for i in range(k + 1, n):
                a[i, k] = a[i, k] / a[k, k]
                for j in range(k + 1, n):
                    a[i, j] = a[i, j] - a[i, k] * a[k, j]
        determinant = a[0, 0]
        for k in range(1, n):
            determinant = determinant * a[k, k]
        found = cg.cost(np.linalg.det, np.eye(n))
        counter.counts["comparisons"] = n * (n - 1) // 2  # of the search for pivots
        assert counter.counts == {kind: getattr(found, kind) for kind in ledger.OPERATIONS}

        counter = Counter()
        a = as_counting(np.eye(n) * n + 1.0, counter)
        for k in range(n):
            a[k, k] = np.sqrt(a[k, k])
            for i in range(k + 1, n):
                a[i, k] = a[i, k] / a[k, k]
            for j in range(k + 1, n):
                for i in range(j, n):
                    a[i, j] = a[i, j] - a[i, k] * a[j, k]
        found = cg.cost(np.linalg.cholesky, np.eye(n))
        assert counter.counts == {kind: getattr(found, kind) for kind in ledger.OPERATIONS}


# --------------------------------------------------------------------------- bounds of Griewank & Walther

# Evaluating Derivatives (2nd ed., 2008), section 3.3 and 4.5: with times 1 for moving a number, 1 for an addition, 1 for a
# multiplication and 2 for a nonlinear operation, which is the extreme of the weights that they allow (a move is no cheaper than a
# multiplication, that no cheaper than an addition, a nonlinear operation at least two multiplications), a tangent takes at most
# 5/2 times the time of the function and a gradient at most 4 times. Elementals are constants, +, -, * and nonlinear functions of
# one number whose derivative takes no longer than they do. A move is a number that an elemental fetches or stores, where the
# operations of an elemental and of its derivative are one elemental; the sweep back also sets each adjoint to zero.

ELEMENTALS = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "exp": lambda x, y: np.exp(x),
    "sin": lambda x, y: np.sin(x),
    "sqrt": lambda x, y: np.sqrt(x),
    "log": lambda x, y: np.log(x),
    "tanh": lambda x, y: np.tanh(x),
}


def arithmetic(nodes: Any) -> int:
    """The time of the operations, which the ledger counts; a division is a nonlinear operation."""
    total = dict.fromkeys(ledger.OPERATIONS, 0)
    for node in nodes:
        for kind, count in ledger.counts_of(node).items():
            if kind in total:
                total[kind] += count
    assert not total["comparisons"]
    return total["additions"] + total["multiplications"] + 2 * (total["divisions"] + total["transcendentals"])


def moves(group: set[Node], readers: dict[Node, set[Node]], ends: set[Node]) -> int:
    """The numbers that a group of nodes, one elemental, fetches and stores."""
    fetched = {arg for node in group for arg in node.args if isinstance(arg, Node) and arg not in group}
    return len(fetched) + sum(node in ends or not readers.get(node, set()) <= group for node in group)


def times_of(graph: cg.Graph) -> tuple[int, int, int]:
    """The times of the function, of value and tangent, and of value and gradient."""
    nodes = [node for node in graph.nodes if node.primitive is not None]
    alone = arithmetic(nodes) + sum(1 + len(node.args) for node in nodes)

    tangents = {node: placeholder(node.shape, node.dtype) for node in graph.inputs}
    made: dict[Node, tuple[int, int]] = {}
    for node in nodes:
        start = placeholder((), np.float64).id
        forward_mode.sweep((node,), tangents, forward_mode.itself)
        made[node] = start, placeholder((), np.float64).id
    ends = [tangents[node] for node in graph.outputs if node in tangents]
    seeds = [tangents[node] for node in graph.inputs]
    pushed = grouped(cg.Graph([*graph.inputs, *seeds], [*graph.outputs, *ends]), made, nodes, fused=True)

    adjoints = {node: placeholder(node.shape, node.dtype) for node in graph.outputs}
    seeds, made = list(adjoints.values()), {}
    active = active_nodes(graph.nodes, graph.inputs)
    for node in reversed(nodes):
        start = placeholder((), np.float64).id
        reverse_mode.sweep((node,), adjoints, active, forward_mode.itself, keep=True)
        made[node] = start, placeholder((), np.float64).id
    ends = [adjoints[node] for node in graph.inputs if node in adjoints]
    pulled = grouped(cg.Graph([*graph.inputs, *seeds], [*graph.outputs, *ends]), made, nodes, fused=False)
    return alone, pushed, alone + pulled + len(graph.nodes)  # each adjoint is set to zero


def grouped(derived: cg.Graph, made: dict[Node, tuple[int, int]], nodes: list[Node], *, fused: bool) -> int:
    """The time of the nodes that the sweep made for each elemental, with the elemental itself where they are `fused`."""
    readers: dict[Node, set[Node]] = {}
    for node in derived.nodes:
        for arg in node.args:
            if isinstance(arg, Node):
                readers.setdefault(arg, set()).add(node)
    total = 0
    for node in nodes:
        start, stop = made[node]
        group = {one for one in derived.nodes if start < one.id < stop}
        if fused:
            group.add(node)
        total += arithmetic(group) + moves(group, readers, set(derived.outputs))
    return total


@given(random_programs(ELEMENTALS, shapes=[()], joint=False, longest=12))
@settings(max_examples=60)
def test_griewank_and_walther(program):
    function, tangent, gradient = times_of(program.trace())
    assert tangent <= 2.5 * function
    assert gradient <= 4 * function


def test_the_bounds_are_near():
    """Products attain them: a bound that nothing comes near would test nothing."""
    function, tangent, gradient = times_of(cg.trace(lambda x: math.prod([x] * 7, start=x), 1.5))
    assert 2.4 * function <= tangent <= 2.5 * function
    assert 3.4 * function <= gradient <= 4 * function


# -------------------------------------------------------------------------------------------- memory


def test_bytes_by_hand():
    found = cg.cost(lambda x, w: np.sum(np.tanh(w @ x)), np.zeros(3), np.zeros((2, 3)))
    assert found.bytes_read == 24 + 48 + 16 + 16  # x, w; their product; its tanh
    assert found.bytes_written == 16 + 16 + 8
    assert found.peak_bytes == 24 + 48 + 16 + 16  # inputs, and two vectors of two
    assert (found.stored_values, found.stored_bytes) == (2, 16)  # tanh keeps its result
    wide = cg.cost(lambda t, k: t[k] + 0.0, np.zeros((1000, 8)), np.array([3, 4]))
    assert wide.bytes_read == 2 * 64 + 16 + 2 * 64  # two rows and their numbers, and the rows once more
    assert cg.cost(lambda x: np.reshape(x, (3, 2)).T[1:], A).bytes_written == 0
    assert cg.cost(lambda x: x * np.float32(2), np.zeros(4, np.float32)).bytes_written == 16


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(np.sin(np.exp(x))),
        lambda x: np.sum((x + 1) * np.cos(x) * (x - 1)),
        lambda x: np.reshape(np.exp(x), (-1, 4)).T[1:] * 2,
        lambda x: (np.sin(x), np.exp(np.cos(x))),
        lambda x: np.concatenate([np.sin(x)[::2], np.cos(x)]),
    ],
)
def test_peak_is_what_numpy_holds(function):
    """The graph run node by node, each value forgotten after its last reader, under Python's own count of bytes."""
    x = np.ones(80_000)
    graph = cg.trace(function, x)
    for one, others in ((graph, []), (cg.simplify(cg.reverse(graph)), [np.ones(node.shape) for node in dict.fromkeys(graph.outputs)])):
        values = [x, *others]
        readers = {node: sum(arg is node for other in one.nodes for arg in other.args) for node in one.nodes}
        tracemalloc.start()
        environment = dict(zip(one.inputs, values, strict=True))
        for node in one.nodes:
            if node in environment:
                continue
            environment[node] = np.asarray(
                node.params["value"] if node.primitive.name == "constant" else
                node.primitive.evaluate(*[environment[arg] if isinstance(arg, Node) else arg for arg in node.args], **node.params)
            )  # fmt: skip
            for arg in node.args:
                if isinstance(arg, Node):
                    readers[arg] -= 1
                    if not readers[arg] and arg not in one.outputs:
                        del environment[arg]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        given_bytes = sum(value.nbytes for value in values)
        # NumPy has buffers of 64 KiB beside the arrays of 640,000 bytes.
        assert peak == pytest.approx(ledger.peak_bytes(one) - given_bytes, abs=100_000)


@pytest.mark.parametrize("turns", [5, 50])
def test_peak_of_a_loop_is_that_of_its_program(turns):
    x = np.ones(80_000)
    graph = cg.trace(lambda x: cg.scan(lambda h, _: (np.sin(h) * h + 1, h), x, np.zeros(turns))[1], x)
    run = ways._program(graph)
    run(x)
    tracemalloc.start()
    run(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak == pytest.approx(ledger.peak_bytes(graph) - x.nbytes, abs=100_000)


def test_what_the_reverse_sweep_stores():
    x = np.zeros(10)
    assert ledger.stored(cg.trace(lambda x: np.sum(3 * x), x)) == (0, 0)  # linear
    assert ledger.stored(cg.trace(lambda x: np.sum(np.sin(x)), x)) == (0, 0)  # reads its argument, an input
    assert ledger.stored(cg.trace(lambda x: np.sum(np.sin(2 * x)), x)) == (10, 80)
    assert ledger.stored(cg.trace(lambda x: np.sum(np.exp(2 * x).reshape(2, 5) ** 2), x)) == (10, 80)  # a view keeps what it shows
    assert ledger.stored(cg.trace(lambda x, k: x[k], x, np.array([1])))[0] == 0
    loop = cg.trace(lambda h: cg.scan(lambda h, _: (np.sin(h), h), h, np.zeros(7))[0], np.zeros(3))
    assert ledger.stored(loop) == (21, 168)  # the state before each of seven turns


@pytest.mark.parametrize(("length", "snapshots"), [(1, 1), (10, 1), (10, 3), (30, 5), (20, 20), (5, 9)])
def test_checkpointed_chains_run_as_many_steps(length, snapshots):
    runs = []

    def step(state):
        runs.append(1)
        return np.sin(state)

    cg.grad(lambda x: np.sum(cg.checkpoint_chain(step, x, length, snapshots)))(np.ones(3))
    runs = len(runs)
    found = ledger.checkpointed_cost(np.sin, np.ones(3), length, snapshots)
    # Each run is three sines; each of `length` reversals three cosines and three products.
    assert found.transcendentals == 3 * runs + 3 * length
    assert found.multiplications == 3 * length
    assert found.stored_values == 3 * min(length, snapshots)


def test_more_snapshots_take_more_memory_and_fewer_steps():
    rows = [ledger.checkpointed_cost(np.sin, np.ones(100), 100, held) for held in (1, 2, 5, 20, 100)]
    assert [row.operations for row in rows] == sorted([row.operations for row in rows], reverse=True)
    assert [row.peak_bytes for row in rows] == sorted(row.peak_bytes for row in rows)


# ---------------------------------------------------------------------------------------- derivatives


def scalar(x: Any, w: Any) -> Any:
    return np.sum(np.tanh(w @ x) * np.exp(0.1 * x[:2])) + x[0] ** 3 * w[1, 2]


ARGS = (np.array([0.3, -0.7, 1.1]), np.arange(6.0).reshape(2, 3) / 5)


def units(node: Node) -> Any:
    return np.eye(node.size).reshape(-1, *node.shape) if node.shape else 1.0


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_the_counted_jacobian_is_the_jacobian(mode):
    def f(x: Any, w: Any) -> Any:
        return np.sin(w @ x) * x[0], np.sum(w)

    graph = cg.trace(f, *ARGS)
    counted = ledger.jacobian_graph(graph, mode)
    ends = graph.inputs if mode == "forward" else graph.outputs
    blocks = counted(*ARGS, *map(units, ends))[len(graph.outputs) :]
    wanted = cg.jacobian(f, argnums=(0, 1), mode=mode)(*ARGS)
    inner = graph.outputs if mode == "forward" else graph.inputs
    for number, block in enumerate(blocks):
        start, end = divmod(number, len(inner))
        output, place = (end, start) if mode == "forward" else (start, end)
        whole = np.reshape(wanted[output][place], (graph.outputs[output].size, graph.inputs[place].size))
        rows = (ends[start].size, inner[end].size)  # what no seed reaches has no axis for seeds
        found = np.reshape(np.broadcast_to(block, (ends[start].size, *inner[end].shape)) if ends[start].shape else block, rows)
        np.testing.assert_allclose(found.T if mode == "forward" else found, whole, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("nesting", ["forward over forward", "forward over reverse", "reverse over forward", "reverse over reverse"])
def test_the_counted_hessian_is_the_hessian(nesting):
    outer, _, inner = nesting.split()
    graph = cg.trace(scalar, *ARGS)
    counted = ledger.hessian_graph(graph, outer, inner)
    seeds = counted.inputs[len(graph.inputs) :]
    values = [units(node) if inner == "forward" else 1.0 for node in (graph.inputs if inner == "forward" else graph.outputs)]
    rest = seeds[len(values) :]
    found = counted(*ARGS, *values, *(units_of_batch(node) for node in rest))[1:]
    wanted = cg.hessian(scalar, argnums=(0, 1))(*ARGS)
    whole = np.block([[np.reshape(wanted[i][j], (ARGS[i].size, ARGS[j].size)) for j in range(2)] for i in range(2)])
    assert sum(np.sum(block) for block in found) == pytest.approx(np.sum(whole), rel=1e-12)
    assert max(np.max(abs(block)) for block in found) == pytest.approx(np.max(abs(whole)), rel=1e-12)


def units_of_batch(node: Node) -> Any:
    """Unit seeds for a gradient or, of an inner forward mode, for all of its entries."""
    return np.eye(node.shape[0]).reshape(node.shape) if node.shape else 1.0


def test_costs_of_every_derivative():
    table = cg.costs(scalar, *ARGS)
    names = [name for name, _ in table.rows]
    assert names == [
        "function", "JVP", "VJP", "Jacobian, forward", "Jacobian, reverse",
        "Hessian, forward over forward", "Hessian, forward over reverse", "Hessian, reverse over forward", "Hessian, reverse over reverse",
    ]  # fmt: skip
    assert table["VJP"] == table["Jacobian, reverse"]
    assert table["function"].flops < table["VJP"].flops < table["Jacobian, forward"].flops < table["Hessian, forward over forward"].flops
    assert table["Hessian, forward over reverse"].flops < table["Hessian, forward over forward"].flops
    assert [name for name, _ in cg.costs(lambda x: np.sin(x), V).rows] == names[:5]
    with pytest.raises(cg.InputError, match="no row 'Hessian'; there are function, JVP"):
        table["Hessian"]


def test_tables_in_three_forms():
    table = cg.costs(np.sum, V)
    assert str(table).splitlines()[1].split() == ["function", "2", "0", "0", "0", "0", "2", "1.00", "32", "–"]
    assert len({len(line) for line in str(table).splitlines()}) == 1
    assert json.loads(table.to_json())["rows"][0]["additions"] == 2
    html = table._repr_mimebundle_()["text/html"]
    assert html.count("<tr>") == len(table.rows) + 1
    one = cg.cost(np.sum, V)
    assert json.loads(one.to_json())["additions"] == 2
    assert str(one).splitlines()[0].split() == ["additions", "2"]
    assert "<td>additions</td><td>2</td>" in one._repr_html_()


# ------------------------------------------------------------------------------------------ bad input


def test_bad_input():
    x = cg.variable(2.0, name="x")
    with pytest.raises(cg.InputError, match=r"cost takes a function or a graph, not v\d+ = sin .*write cg\.cost\(cg\.graph_of\(node\)\)"):
        cg.cost(np.sin(x))
    with pytest.raises(cg.InputError, match="not int"):
        cg.cost(3)
    with pytest.raises(cg.GraphError, match=r"a checkpointed call are forgotten \(.*test_ledger\.py:\d+\): count a trace"):
        cg.cost(graph_of(cg.checkpoint(np.sin)(x)))
    with pytest.raises(cg.InputError, match="length and snapshots are integers from 1 on, not 0 and 2"):
        ledger.checkpointed_cost(np.sin, 1.0, 0, 2)
    with pytest.raises(cg.InputError, match="mode 'sideways'"):
        ledger.jacobian_graph(cg.parse("x"), "sideways")
    assert cg.cost(cg.trace(lambda k: k + k, np.array([1, 2]))).stored_values == 0  # nothing to differentiate

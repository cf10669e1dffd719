"""Expression swell: how symbolic derivatives grow with the problem, beside the sweeps, which stay within a constant factor.

The logistic map is the example of Baydin, Pearlmutter, Radul & Siskind, "Automatic differentiation in machine learning: a
survey" (2018), table 1; Speelpenning's product that of Griewank & Walther, "Evaluating Derivatives" (2nd ed., 2008).
Sizes are operations of formulas as they are written out, each part as often as it stands there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any

import numpy as np

from compgraph.errors import InputError
from compgraph.graph import Graph, Node, bind
from compgraph.ledger import aligned, counts_of, html_table, jacobian_graph, run_cost
from compgraph.modes import mode_with
from compgraph.symbolic import from_sympy, symbols_of, to_sympy
from compgraph.tables import mimebundle
from compgraph.tracing import trace


@dataclass(frozen=True)
class Growth:
    """One size of a problem: operations of the function, of its derivative as formulas, and of its value and derivative by sweeps.

    `symbolic` is the derivative as SymPy leaves it, written out, `simplified` the same as a polynomial (None where it is
    none), `shared` that as SymPy leaves it with equal parts computed once. `forward` and `reverse` are the value and all derivatives by
    those modes.
    """

    n: int
    function: int
    symbolic: int
    simplified: int | None
    shared: int
    forward: int
    reverse: int
    formulas: tuple[str, ...] = ()  # the function, its derivative, and that simplified


_HEADERS = ("n", "function", "symbolic", "simplified", "shared", "forward", "reverse")


@dataclass(frozen=True)
class Swell:
    """How a derivative grows, a row a size; in a terminal, a notebook and JSON."""

    title: str
    rows: tuple[Growth, ...]

    def _cells(self) -> list[tuple[str, ...]]:
        numbers = [[getattr(row, name) for name in _HEADERS] for row in self.rows]
        return [_HEADERS, *(tuple("–" if number is None else f"{number:,}" for number in row) for row in numbers)]

    def __str__(self) -> str:
        return f"{self.title}\n{aligned(self._cells())}"

    def to_json(self) -> str:
        return json.dumps({"title": self.title, "rows": [asdict(row) for row in self.rows]})

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return mimebundle(self, {"text/plain": self.__str__, "text/html": lambda: html_table(self._cells(), self.title)})


# ------------------------------------------------------------------------------------------- examples


def logistic_map(most: int = 4) -> Swell:
    """l(1) = x, l(n+1) = 4 l(n) (1 - l(n)), and dl/dx: table 1 of the survey, for n from 1 to `most`.

    >>> print(logistic_map(4))
    logistic map
    n  function  symbolic  simplified  shared  forward  reverse
    1         0         0           0       0        0        0
    2         3         4           2       2        8        8
    3         6        19           9      15       16       16
    4         9        57          21      31       24       24

    The factors 1 - l(n) are kept as the squares that they are, as in the survey, and so is the product rule's sum.
    """
    graphs = [trace(_iterated(n), 0.3) for n in range(1, most + 1)]
    x: Any = symbols_of(graphs[0])[0][()]
    rest: Any = x  # l(n) without its power of 4
    rows = []
    for n, graph in enumerate(graphs, 1):
        # A number would be multiplied out by SymPy at once, so it stands there as a symbol of that name.
        factor = x.func(str(4 ** (n - 1)), real=True) if n > 1 else 1
        derivative = (factor * rest).diff(x)
        whole = (4 ** (n - 1) * rest).diff(x).expand()
        common, polynomial = whole.primitive()
        terms = len(polynomial.args) if polynomial.is_Add else 1
        simplified = factor * polynomial if terms > 2 and common == 4 ** (n - 1) else whole
        rows.append(_row(n, graph, [(4 ** (n - 1) * rest).diff(x)], int(derivative.count_ops()), int(simplified.count_ops()),
                         (str(factor * rest), str(derivative), str(simplified))))  # fmt: skip
        rest = rest * (1 - 4 ** (n - 1) * rest).factor()
    return Swell("logistic map", tuple(rows))


def _iterated(n: int) -> Callable[[Any], Any]:
    def logistic(x: Any) -> Any:
        for _ in range(n - 1):
            x = 4 * x * (1 - x)
        return x

    return logistic


def speelpenning(sizes: Iterable[int] = (2, 5, 10, 20, 40)) -> Swell:
    """x1 x2 ... xn and its gradient: n (n - 2) multiplications as formulas, 3 (n - 1) by reverse mode.

    >>> print(speelpenning([2, 5, 10]))
    Speelpenning's product
    n   function  symbolic  simplified  shared  forward  reverse
    2          1         0           –       0        3        3
    5          4        15           –      15       18       12
    10         9        80           –      80       63       27
    """
    rows = []
    for n in _sizes(sizes):
        graph = trace(product, *[1.0 + place / n for place in range(n)])
        derivatives = _derivatives(graph)
        rows.append(_row(n, graph, derivatives, sum(int(one.count_ops()) for one in derivatives)))
    return Swell("Speelpenning's product", tuple(rows))


def product(*x: Any) -> Any:
    return reduce(lambda left, right: left * right, x)


def logistic_mlp(depths: Iterable[int] = (1, 2, 3, 4), width: int = 2) -> Swell:
    """A perceptron of logistic units, `width` in each layer, of one number, and its derivative by that number.

    >>> table = logistic_mlp((1, 2, 3))
    >>> [row.symbolic for row in table.rows], [row.reverse for row in table.rows]
    ([18, 91, 310], [27, 59, 91])
    """
    rows = []
    for depth in _sizes(depths):
        generator = np.random.default_rng(0)
        weights = [generator.normal(size=(width, width if layer else 1)).round(2).tolist() for layer in range(depth)]

        def perceptron(x: Any, weights: Any = weights) -> Any:
            values = [x]
            for matrix in weights:
                sums = [sum(weight * value for weight, value in zip(row, values, strict=True)) for row in matrix]
                values = [1 / (1 + np.exp(-total)) for total in sums]
            return sum(values)

        graph = trace(perceptron, 0.5)
        derivatives = _derivatives(graph)
        rows.append(_row(depth, graph, derivatives, sum(int(one.count_ops()) for one in derivatives)))
    return Swell("logistic perceptron", tuple(rows))


def _sizes(given: Iterable[int]) -> list[int]:
    sizes = list(given)
    wrong = [size for size in sizes if type(size) is not int or size < 1]
    if wrong:
        raise InputError(f"sizes are integers from 1 on, not {wrong[0]!r:.40}")
    return sizes


def _derivatives(graph: Graph) -> list[Any]:
    expression = to_sympy(graph)
    return [expression.diff(symbol[()]) for symbol in symbols_of(graph)]


def _row(
    n: int, graph: Graph, derivatives: Sequence[Any], symbolic: int, simplified: int | None = None, formulas: tuple[str, ...] = ()
) -> Growth:
    shared = from_sympy(derivatives, [graph.names[node] for node in graph.inputs])
    ahead, back = (run_cost(jacobian_graph(graph, mode)).operations for mode in ("forward", "reverse"))
    return Growth(n, run_cost(graph).operations, symbolic, simplified, run_cost(shared).operations, ahead, back, formulas)


# ---------------------------------------------------------------------------------------- written out


def written_out_size(graph: Graph) -> int:
    """How many operations the outputs take as formulas in the inputs, in which nothing is computed once for two readers.

    >>> import compgraph as cg
    >>> graph = cg.parse("(x + 1) * (x + 1)")
    >>> run_cost(graph).operations, written_out_size(graph)
    (2, 3)
    """
    sizes: dict[Node, int] = {}
    for node in graph.nodes:
        counts = counts_of(node)
        own = sum(counts.get(kind, 0) for kind in ("additions", "multiplications", "divisions", "transcendentals", "comparisons"))
        sizes[node] = own + sum(sizes[arg] for arg in node.args if isinstance(arg, Node))
    return sum(sizes[node] for node in graph.outputs)


def written_out(graph: Graph) -> Graph:
    """The graph in which every reader has an argument of its own: a tree, of `written_out_size` operations.

    >>> import compgraph as cg
    >>> print(written_out(cg.parse("(x + 1) * (x + 1)")))
    f(x):
        v1 = x + 1
        v2 = x + 1
        v3 = v1 * v2
        return v3
    """
    given = set(graph.inputs)
    outputs = []
    for output in graph.outputs:
        # A stack of nodes that wait for copies of their arguments: no recursion, however deep the formula.
        stack: list[tuple[Node, list[Any]]] = [(output, [])]
        copy: Any = None
        while stack:
            node, args = stack[-1]
            if node in given or node.primitive is None or node.primitive.name == "constant":
                copy = node
            elif len(args) < len(node.args):
                arg = node.args[len(args)]
                if isinstance(arg, Node):
                    stack.append((arg, []))
                else:
                    args.append(arg)
                continue
            else:
                with mode_with(origin=node.origin, scope=node.scope):
                    copy = bind(node.primitive, *args, **node.params)
            stack.pop()
            if stack:
                stack[-1][1].append(copy)
        outputs.append(copy)
    return Graph(graph.inputs, outputs, name=graph.name)


def crossover(functions: Sequence[tuple[int, int]], terms: int = 8) -> list[tuple[int, int, int, int]]:
    """(n, m, operations by forward mode, by reverse mode) of a map from n to m numbers, for each n and m: the plane of costs.

    >>> crossover([(1, 4), (4, 1)])
    [(1, 4, 168, 408), (4, 1, 411, 171)]

    The map is `terms` logistic units of the n inputs, and m sums of them.
    """
    rows = []
    for n, m in functions:
        generator = np.random.default_rng(0)
        first, second = generator.normal(size=(terms, n)), generator.normal(size=(m, terms))
        graph = trace(lambda x, first=first, second=second: second @ np.tanh(first @ x), np.zeros(n))
        ahead, back = (run_cost(jacobian_graph(graph, mode)).operations for mode in ("forward", "reverse"))
        rows.append((n, m, ahead, back))
    return rows

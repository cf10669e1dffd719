"""Random programs: what is interpreted, computed by NumPy, emitted and derived in every way is one and the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import compgraph as cg
from compgraph import programs

# ------------------------------------------------------------------------------------- random programs

FULL = (2, 3)
SHAPES = [(), (3,), (2, 3), (1, 3), (2, 1)]  # all broadcast to FULL, and so do all results


def full(x: Any) -> Any:
    return np.broadcast_to(x, FULL)


# Values stay bounded: no operation makes more than a few times its largest argument.
SMOOTH: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: 0.5 * x + y,
    "subtract": lambda x, y: x - 0.5 * y,
    "multiply": lambda x, y: np.tanh(x) * y,
    "divide": lambda x, y: x / (1.5 + y * y),
    "power": lambda x, y: (1.5 + np.sin(x)) ** np.cos(y),
    "cube": lambda x, y: np.sin(x) ** 3,
    "negative": lambda x, y: -x,
    "exp": lambda x, y: np.exp(np.sin(x)),
    "log": lambda x, y: np.log(1.5 + x * x),
    "log1p": lambda x, y: np.log1p(np.square(x)),
    "sqrt": lambda x, y: np.sqrt(1 + y * y),
    "arctan": lambda x, y: np.arctan(x - y),
    "arcsin": lambda x, y: np.arcsin(0.9 * np.sin(x)),
    "sinh": lambda x, y: np.sinh(np.tanh(x)),
}
KINKED: dict[str, Callable[[Any, Any], Any]] = {
    "abs": lambda x, y: abs(x),
    "maximum": lambda x, y: np.maximum(x, y),
    "minimum": lambda x, y: np.minimum(x, 0.3),
    "where": lambda x, y: np.where(x > y, x, 0.5 * y),
    "max": lambda x, y: np.max(full(x), axis=0),
    "sign": lambda x, y: np.sign(x) * y,
}
SHAPED: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda x, y: 0.3 * np.sum(x),
    "mean": lambda x, y: np.mean(full(x), axis=-1, keepdims=True),
    "matmul": lambda x, y: 0.2 * (full(x) @ np.transpose(full(np.tanh(y)))) @ full(np.sin(x)),
    "vector": lambda x, y: (full(np.sin(x)) @ full(y)[0])[:, None],
    "row": lambda x, y: full(x)[1],
    "gather": lambda x, y: 0.5 * full(x)[np.array([1, 1])] + y,
    "flip": lambda x, y: full(x)[:, ::-1],
    "concatenate": lambda x, y: np.concatenate([full(x), full(y)])[1:3],
    "stack": lambda x, y: np.stack([full(x)[0], full(y)[1]]),
    "reshape": lambda x, y: np.reshape(np.transpose(full(x)), FULL),
}
HELPED: dict[str, Callable[[Any, Any], Any]] = {
    "sigmoid": lambda x, y: cg.sigmoid(x),
    "softplus": lambda x, y: cg.softplus(x - y),
    "relu": lambda x, y: cg.relu(x),
}
ROUND = {name: HELPED[name] for name in ("sigmoid", "softplus")}  # without a kink
VISIBLE = {**SMOOTH, **KINKED, **SHAPED}
EVERYTHING = {**VISIBLE, **HELPED}


class Program(NamedTuple):
    """`steps` are operations on two earlier values, by number; the result is the last value, or the last two."""

    steps: tuple[tuple[Callable[[Any, Any], Any], int, int], ...]
    inputs: tuple[Any, ...]
    joint: bool

    def __call__(self, *xs: Any) -> Any:
        values = list(xs)
        for operation, one, two in self.steps:
            values.append(operation(values[one % len(values)], values[two % len(values)]))
        return (values[-2], values[-1]) if self.joint and len(self.steps) > 1 else values[-1]

    def trace(self) -> cg.Graph:
        def f(*x: Any) -> Any:
            return self(*x)

        return cg.typecheck(cg.trace(f, *self.inputs))


@st.composite
def random_programs(draw: Any, operations: dict[str, Any], shapes: list[Any] = SHAPES, joint: bool = True, longest: int = 10) -> Program:
    step = st.tuples(st.sampled_from(sorted(operations)), st.integers(0, 20), st.integers(0, 20))
    names = draw(st.lists(step, min_size=1, max_size=longest))
    inputs = []
    for shape in draw(st.lists(st.sampled_from(shapes), min_size=1, max_size=3)):
        size = int(np.prod(shape))
        numbers = draw(st.lists(st.floats(-2, 2, width=32), min_size=size, max_size=size))
        inputs.append(np.array(numbers).reshape(shape)[()])
    return Program(tuple((operations[name], one, two) for name, one, two in names), tuple(inputs), joint and draw(st.booleans()))


def leaves(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def directions(values: Any, seed: int) -> tuple[Any, ...]:
    generator = np.random.default_rng(seed)
    return tuple(generator.normal(size=np.shape(value))[()] for value in values)


def executed(graph: cg.Graph) -> Any:
    return programs.define(graph.to_source(), graph.name, {}, title="test")


# --------------------------------------------------------------------------------------------- the tests


@given(random_programs(EVERYTHING))
@settings(max_examples=150)
def test_interpreted_is_numpy_is_the_emitted_program(program: Program) -> None:
    graph = program.trace()
    wanted = leaves(program(*program.inputs))
    eager = leaves(program(*map(cg.variable, program.inputs)))
    for interpreted, emitted, held, number in zip(
        leaves(graph(*program.inputs)), leaves(executed(graph)(*program.inputs)), eager, wanted, strict=True
    ):  # fmt: skip
        np.testing.assert_allclose(interpreted, number, rtol=1e-13, atol=1e-14)
        np.testing.assert_array_equal(emitted, interpreted)
        np.testing.assert_array_equal(held.value if isinstance(held, cg.Node) else held, interpreted)
        assert interpreted.shape == np.shape(number)


@given(random_programs(EVERYTHING))
@settings(max_examples=150)
def test_forward_is_reverse(program: Program) -> None:
    """<y_bar, J x_dot> = <J' y_bar, x_dot>, by graphs, by their programs and eager."""
    graph = program.trace()
    x_dots = directions(program.inputs, 1)
    tangent, adjoint = cg.typecheck(cg.forward(graph)), cg.typecheck(cg.reverse(graph))
    count = len(graph.outputs)
    y_dots = tangent(*program.inputs, *x_dots)[count:]
    outputs = list(dict.fromkeys(graph.outputs))  # one seed a node, however often it is returned
    seeds = directions([np.empty(node.shape) for node in outputs], 2)
    by_node = dict(zip(outputs, seeds, strict=True))
    results = adjoint(*program.inputs, *seeds)
    x_bars = results[count:]

    distinct = dict(zip(graph.outputs, y_dots, strict=True))
    forward = sum(np.sum(by_node[node] * y_dot) for node, y_dot in distinct.items())
    terms = [x_bar * x_dot for x_bar, x_dot in zip(x_bars, x_dots, strict=True)]
    scale = sum(np.sum(np.abs(term)) for term in terms) + sum(np.sum(np.abs(by_node[node] * y_dot)) for node, y_dot in distinct.items())
    assert abs(forward - sum(np.sum(term) for term in terms)) <= 1e-12 * scale + 1e-14

    emitted_bars, emitted_dots = executed(adjoint)(*program.inputs, *seeds), executed(tangent)(*program.inputs, *x_dots)[count:]
    for emitted, interpreted in ((emitted_bars, results), (emitted_dots, y_dots)):
        for one, other in zip(emitted, interpreted, strict=True):
            np.testing.assert_array_equal(one, other)


@given(random_programs(VISIBLE))
@settings(max_examples=100)
def test_an_emitted_program_traces_back_to_its_graph(program: Program) -> None:
    graph = program.trace()
    again = cg.trace(executed(graph), *program.inputs)
    assert again.to_source() == graph.to_source()
    assert str(again) == str(graph)


@given(random_programs(EVERYTHING))
@settings(max_examples=60)
def test_names_and_order_are_deterministic(program: Program) -> None:
    for derive in (lambda graph: graph, cg.forward, cg.reverse, lambda graph: cg.reverse(cg.forward(graph))):
        first, second = derive(program.trace()), derive(program.trace())
        assert first.to_source() == second.to_source()
        assert list(first.names.values()) == list(second.names.values())


@given(random_programs({**SMOOTH, **SHAPED}, joint=False, longest=6))
@settings(max_examples=40)
def test_second_derivatives_agree_in_both_orders(program: Program) -> None:
    def f(*xs: Any) -> Any:
        return np.sum(np.sin(program(*xs))) + sum(np.sum(x**2) for x in xs)  # made of every input

    numbers = tuple(range(len(program.inputs)))
    v = directions(program.inputs, 3)
    forward_over_reverse = cg.jvp(cg.grad(f, numbers), program.inputs, v)[1]
    reverse_over_forward = cg.grad(lambda *xs: cg.jvp(f, xs, v)[1], numbers)(*program.inputs)
    graph = cg.trace(f, *program.inputs)
    as_graph = cg.typecheck(cg.forward(cg.typecheck(cg.reverse(graph))))
    results = as_graph(*program.inputs, 1.0, *v, 0.0)[-len(numbers) :]
    for one, two, three in zip(forward_over_reverse, reverse_over_forward, results, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(three, one, rtol=1e-9, atol=1e-9)


@given(random_programs({name: SMOOTH[name] for name in SMOOTH if name != "power"} | ROUND, shapes=[()], joint=False, longest=5))
@settings(max_examples=40)
def test_scalar_graphs_are_their_sympy_expressions(program: Program) -> None:
    graph = program.trace()
    symbols = sympy.symbols([graph.names[node] for node in graph.inputs], real=True)
    expression = graph.to_sympy()
    point = {symbol: sympy.Float(float(x), 30) for symbol, x in zip(symbols, program.inputs, strict=True)}
    y, *x_bars = cg.reverse(graph)(*program.inputs, 1.0)
    assert abs(float(expression.subs(point)) - y) <= 1e-12 * max(1, abs(y))
    for symbol, x_bar in zip(symbols, x_bars, strict=True):
        wanted = float(expression.diff(symbol).subs(point))
        assert abs(wanted - x_bar) <= 1e-10 * max(1, abs(wanted))

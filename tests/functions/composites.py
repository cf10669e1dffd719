"""What holds for every composite of primitives, whichever function of NumPy it stands in for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.graph import Node

Call = Callable[..., Any]


def directions(values: tuple[Any, ...], seed: int) -> tuple[Any, ...]:
    generator = np.random.default_rng(seed)
    return tuple(np.asarray(generator.uniform(0.5, 1.5, np.shape(value)), value.dtype)[()] for value in values)


def dotted(left: tuple[Any, ...], right: tuple[Any, ...]) -> Any:
    total: Any = 0.0
    for one, other in zip(left, right, strict=True):
        total = total + np.sum(one * other)
    return total


def differences(call: Call, xs: tuple[Any, ...], x_dots: tuple[Any, ...], step: float = 1e-2) -> Any:
    """d/dt call(x + t x_dot) at 0: central differences, thrice Richardson-extrapolated."""

    def central(h: float) -> Any:
        ahead, behind = (call(*(x + way * x_dot for x, x_dot in zip(xs, x_dots, strict=True))) for way in (h, -h))
        return (ahead - behind) / (2 * h)

    column = [central(step / 2**level) for level in range(4)]
    for order in (4, 16, 64):
        column = [(order * fine - coarse) / (order - 1) for coarse, fine in itertools.pairwise(column)]
    return column[0]


def single(call: Call) -> Call:
    """A call whose result, if it is several arrays, is joined into one."""

    def joined(*xs: Any) -> Any:
        y = call(*xs)
        return np.concatenate([np.ravel(part) for part in y]) if isinstance(y, tuple) else y

    return joined


def verify(call: Call, *xs: Any, exact: bool = False, second: bool = True) -> None:
    """`call` of nodes is `call` of arrays, in value and in derivative: eager, traced, in both modes, to second order.

    With `exact` the values agree to the last bit. `second` is False where a second derivative is nowhere but in kinks.
    """
    call = single(call)
    xs = tuple(np.asarray(x, np.float64)[()] for x in xs)
    with np.errstate(all="raise"):
        values_and_dtypes(call, xs, 0.0 if exact else 1e-13)
    values_and_dtypes(call, tuple(x.astype(np.float32) for x in xs), 2e-5)
    first_order(call, xs)
    vector_mode(call, xs)
    if second:
        second_order(call, xs)
    narrow = tuple(x.astype(np.float32) for x in xs)
    y, pullback = cg.vjp(call, *narrow)
    assert [x_bar.dtype for x_bar in pullback(directions((y,), 1)[0])] == [np.float32] * len(xs)


def values_and_dtypes(call: Call, xs: tuple[Any, ...], rtol: float) -> None:
    wanted = call(*xs)
    eager = call(*map(cg.variable, xs))
    graph = cg.typecheck(cg.trace(lambda *xs: call(*xs), *xs))
    assert isinstance(eager, Node)
    assert (eager.shape, eager.dtype) == (np.shape(wanted), wanted.dtype) == (graph.outputs[0].shape, graph.outputs[0].dtype)
    np.testing.assert_allclose(eager.value, wanted, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(graph(*xs), eager.value, rtol=rtol / 100)


def first_order(call: Call, xs: tuple[Any, ...]) -> None:
    x_dots = directions(xs, 0)
    y, y_dot = cg.jvp(call, xs, x_dots)

    np.testing.assert_allclose(y_dot, differences(call, xs, x_dots), rtol=1e-7, atol=1e-8)
    y_bar = directions((y,), 1)[0]
    x_bars = cg.vjp(call, *xs)[1](y_bar)
    np.testing.assert_allclose(dotted(x_bars, x_dots), np.sum(y_bar * y_dot), rtol=1e-11, atol=1e-12)
    graph = cg.trace(lambda *xs: call(*xs), *xs)
    np.testing.assert_allclose(cg.forward(graph)(*xs, *x_dots)[1], y_dot, rtol=1e-12, atol=1e-14)
    for found, wanted in zip(cg.reverse(graph)(*xs, y_bar)[1:], x_bars, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


def vector_mode(call: Call, xs: tuple[Any, ...]) -> None:
    numbers = tuple(range(len(xs)))
    forward = cg.jacobian(call, numbers, mode="forward")(*xs)
    backward = cg.jacobian(call, numbers, mode="reverse")(*xs)
    y, pullback = cg.vjp(call, *xs)
    rows = [pullback(unit.reshape(np.shape(y))) for unit in np.eye(np.size(y))]
    for place, (one, other) in enumerate(zip(forward, backward, strict=True)):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
        if rows:
            by_hand = np.reshape(np.stack([row[place] for row in rows]), other.shape)
            np.testing.assert_allclose(other, by_hand, rtol=1e-11, atol=1e-13)


def second_order(call: Call, xs: tuple[Any, ...]) -> None:
    numbers = tuple(range(len(xs)))
    v, weights = directions(xs, 3), directions((call(*xs),), 2)[0]

    def h(*xs: Any) -> Any:
        y = call(*xs)
        return np.sum(weights * y * y * y)

    gradient = cg.grad(h, numbers)
    forward_over_reverse = cg.jvp(gradient, xs, v)[1]
    reverse_over_forward = cg.grad(lambda *xs: cg.jvp(h, xs, v)[1], numbers)(*xs)
    reverse_over_reverse = cg.grad(lambda *xs: dotted(gradient(*xs), v), numbers)(*xs)
    for place, (one, two, three) in enumerate(zip(forward_over_reverse, reverse_over_forward, reverse_over_reverse, strict=True)):
        np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(three, one, rtol=1e-9, atol=1e-10)
        numerical = differences(lambda *xs, place=place: gradient(*xs)[place], xs, v)
        np.testing.assert_allclose(one, numerical, rtol=1e-6, atol=1e-7)

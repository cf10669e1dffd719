"""What holds for every function of complex numbers: its derivatives as a function of pairs of real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.graph import Node
from compgraph.numerical import central_differences

Call = Callable[..., Any]


def directions(values: tuple[Any, ...], seed: int) -> tuple[Any, ...]:
    """A direction for each value, of its shape and dtype; complex ones in the fourth quadrant."""
    generator = np.random.default_rng(seed)

    def one(value: Any) -> Any:
        parts = generator.uniform(0.5, 1.5, (2, *np.shape(value)))
        return np.asarray(parts[0] - 1j * parts[1] if np.iscomplexobj(value) else parts[0], value.dtype)[()]

    return tuple(map(one, values))


def paired(left: tuple[Any, ...], right: tuple[Any, ...]) -> Any:
    """<left, right> = Re sum(left * right)."""
    total: Any = 0.0
    for one, other in zip(left, right, strict=True):
        total = total + np.real(np.sum(one * other))
    return total


def parts(value: Any) -> Any:
    flat = np.ravel(np.asarray(value))
    return flat.view(np.float64) if flat.dtype.kind == "c" else flat


def numerical(call: Call, xs: tuple[Any, ...], x_dots: tuple[Any, ...]) -> tuple[Any, Any]:
    """The derivative along a direction, by differences, as parts, and how far off they may be."""
    return central_differences(lambda h, _: parts(call(*(x + h * x_dot for x, x_dot in zip(xs, x_dots, strict=True)))), 0.02)


def value_of(node: Any) -> Any:
    return node.value if isinstance(node, Node) else node


def verify(call: Call, *xs: Any, second: bool = True) -> None:
    """`call` of nodes is `call` of arrays, in value and in derivative, in both modes, to second order and in single precision."""
    xs = tuple(np.asarray(x)[()] for x in xs)
    narrow = tuple(x.astype(np.complex64 if np.iscomplexobj(x) else np.float32) for x in xs)
    for each, rtol in ((xs, 1e-13), (narrow, 5e-5)):
        wanted = call(*each)
        eager, graph = call(*map(cg.variable, each)), cg.typecheck(cg.trace(lambda *xs: call(*xs), *each))
        for found in (value_of(eager), graph(*each)):
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol)
        y_bar = directions((wanted,), 1)[0]
        assert [bar.dtype for bar in cg.vjp(call, *each)[1](y_bar)] == [x.dtype for x in each]
        assert cg.jvp(call, each, directions(each, 0))[1].dtype == wanted.dtype

    x_dots = directions(xs, 0)
    y, y_dot = cg.jvp(call, xs, x_dots)
    for turn in (1, 1j):  # along the real and along the imaginary axis
        along = tuple(np.asarray(x_dot * turn if np.iscomplexobj(x_dot) else x_dot)[()] for x_dot in x_dots)
        differences, error = numerical(call, xs, along)
        assert np.all(abs(parts(cg.jvp(call, xs, along)[1]) - differences) <= 1e-7 * (1 + np.max(abs(differences), initial=0)) + 10 * error)
    y_bar = directions((y,), 1)[0]
    x_bars = cg.vjp(call, *xs)[1](y_bar)
    assert abs(paired((y_bar,), (y_dot,)) - paired(x_bars, x_dots)) <= 1e-12 * (1 + np.sum(abs(y_bar * y_dot)))
    real_valued_jacobian(call, xs)
    if second:
        second_order(call, xs)


def real_valued_jacobian(call: Call, xs: tuple[Any, ...]) -> None:
    numbers = tuple(range(len(xs)))

    def mixed(*xs: Any) -> Any:
        y = call(*xs)
        return np.real(y) + 0.7 * np.imag(y)

    forward, backward = (cg.jacobian(mixed, numbers, mode)(*xs) for mode in ("forward", "reverse"))
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


def second_order(call: Call, xs: tuple[Any, ...]) -> None:
    numbers = tuple(range(len(xs)))
    weights, v = directions((call(*xs),), 2)[0], directions(xs, 3)

    def h(*xs: Any) -> Any:
        y = call(*xs)
        return np.real(np.sum(weights * y * y * y))

    gradient = cg.grad(h, numbers)
    first = cg.jvp(gradient, xs, v)[1]
    second = cg.grad(lambda *xs: cg.jvp(h, xs, v)[1], numbers)(*xs)
    third = cg.grad(lambda *xs: paired(gradient(*xs), v), numbers)(*xs)
    for place in numbers:
        scale = 1e-10 * (1 + np.max(abs(first[place]), initial=0))
        np.testing.assert_allclose(second[place], first[place], atol=scale)
        np.testing.assert_allclose(third[place], first[place], atol=scale)
        differences, error = numerical(lambda *xs, place=place: gradient(*xs)[place], xs, v)
        assert np.all(abs(parts(first[place]) - differences) <= 1e-6 * (1 + np.max(abs(differences), initial=0)) + 10 * error)

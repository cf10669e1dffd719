"""Loops that stay loops: an LSTM over 1,000 characters and a Runge-Kutta integration of 1,000 steps, value and gradient.

A program is given the module and `scan`, which means what `jax.lax.scan` means: compgraph and JAX keep one body, and
plain NumPy runs the loop. Libraries without such a loop would record each step, and are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from common import Case
from workloads import logsumexp, lstm_numbers

import compgraph as cg

STEP = 0.01


class Loop(NamedTuple):
    """A program with its arguments, which it is differentiated by, then its data."""

    name: str
    program: Callable[..., Any]
    parameters: tuple[Any, ...]
    data: tuple[Any, ...]
    by_hand: Callable[..., Any]


def lstm(xp: Any, scan: Any, w: Any, u: Any, b: Any, v: Any, c: Any, text: Any) -> Any:
    """The log-likelihood of `text` as in `workloads.lstm`; what the steps do not need from each other is outside the loop."""
    size = u.shape[0]

    def step(state: Any, arriving: Any) -> Any:
        hidden, memory = state
        gates = arriving + hidden @ u
        opened = 0.5 * (xp.tanh(0.5 * gates[: 3 * size]) + 1)
        memory = opened[:size] * memory + opened[size : 2 * size] * xp.tanh(gates[3 * size :])
        hidden = opened[2 * size :] * xp.tanh(memory)
        return (hidden, memory), hidden

    rest = xp.zeros_like(b[:size])
    _, hidden = scan(step, (rest, rest), text[:-1] @ w + b)
    scores = hidden @ v + c
    return xp.sum(text[1:] * scores) - xp.sum(logsumexp(xp, scores))


def runge_kutta(xp: Any, scan: Any, x: Any, y: Any, a: Any, b: Any, c: Any, d: Any, *, steps: int) -> Any:
    """Lotka & Volterra's prey x and predators y after `steps` steps of the classical method of order 4: x^2 + y^2."""

    def slope(x: Any, y: Any) -> Any:
        return a * x - b * x * y, c * x * y - d * y

    def step(state: Any, _: Any) -> Any:
        x, y = state
        x1, y1 = slope(x, y)
        x2, y2 = slope(x + STEP / 2 * x1, y + STEP / 2 * y1)
        x3, y3 = slope(x + STEP / 2 * x2, y + STEP / 2 * y2)
        x4, y4 = slope(x + STEP * x3, y + STEP * y3)
        return (x + STEP / 6 * (x1 + 2 * x2 + 2 * x3 + x4), y + STEP / 6 * (y1 + 2 * y2 + 2 * y3 + y4)), None

    (x, y), _ = scan(step, (x, y), None, length=steps)
    return x * x + y * y


# ------------------------------------------------------------------------------------------ by hand


def lstm_by_hand(w: Any, u: Any, b: Any, v: Any, c: Any, text: Any) -> Any:
    """Value and gradient; the loops hold only what a step needs from its neighbour, products of whole matrices the rest."""
    steps, size = len(text) - 1, u.shape[0]
    arriving = text[:-1] @ w + b
    gates, memories, squashed = np.empty((steps, 4 * size)), np.zeros((steps + 1, size)), np.empty((steps, size))
    hidden = np.zeros((steps + 1, size))
    for step in range(steps):
        row = gates[step]
        np.matmul(hidden[step], u, out=row)
        row += arriving[step]
        row[: 3 * size] *= 0.5
        np.tanh(row, out=row)
        row[: 3 * size] += 1.0
        row[: 3 * size] *= 0.5
        np.multiply(row[:size], memories[step], out=memories[step + 1])
        memories[step + 1] += row[size : 2 * size] * row[3 * size :]
        np.tanh(memories[step + 1], out=squashed[step])
        np.multiply(row[2 * size : 3 * size], squashed[step], out=hidden[step + 1])
    scores = hidden[1:] @ v + c
    scores -= scores.max(axis=1, keepdims=True)
    power = np.exp(scores)
    total = power.sum(axis=1, keepdims=True)
    value = np.sum(text[1:] * scores) - np.sum(np.log(total))
    scores_bar = text[1:] - power / total
    hidden_bar = scores_bar @ v.T
    keep, enter, leave, new = gates[:, :size], gates[:, size : 2 * size], gates[:, 2 * size : 3 * size], gates[:, 3 * size :]
    slopes = gates * (1 - gates)  # of each gate by its argument, and below that of the new memory
    slopes[:, 3 * size :] = 1 - new**2
    factors = np.empty_like(gates)  # from the adjoint of the memory, or of the hidden state for `leave`, to the arguments
    factors[:, :size] = memories[:-1]
    factors[:, size : 2 * size] = new
    factors[:, 2 * size : 3 * size] = squashed
    factors[:, 3 * size :] = enter
    factors *= slopes
    into_memory = leave * (1 - squashed**2)
    gates_bar, u_transposed = np.empty_like(gates), np.ascontiguousarray(u.T)
    memory_bar, from_next = np.zeros(size), np.zeros(size)
    for step in range(steps - 1, -1, -1):
        here = hidden_bar[step]
        here += from_next
        memory_bar += here * into_memory[step]
        row, factor = gates_bar[step], factors[step]
        row[: 2 * size].reshape(2, size)[:] = memory_bar
        row[2 * size : 3 * size] = here
        row[3 * size :] = memory_bar
        row *= factor
        np.matmul(row, u_transposed, out=from_next)
        memory_bar *= keep[step]
    bars = text[:-1].T @ gates_bar, hidden[:-1].T @ gates_bar, gates_bar.sum(axis=0), hidden[1:].T @ scores_bar, scores_bar.sum(axis=0)
    return value, *bars


def runge_kutta_by_hand(x: float, y: float, a: float, b: float, c: float, d: float, *, steps: int) -> Any:
    """Value and gradient, plain numbers: the states are kept, and a step's stages computed again on the way back."""
    half, sixth = STEP / 2, STEP / 6
    xs, ys = [x], [y]
    for _ in range(steps):
        x1, y1 = a * x - b * x * y, c * x * y - d * y
        xx, yy = x + half * x1, y + half * y1
        x2, y2 = a * xx - b * xx * yy, c * xx * yy - d * yy
        xx, yy = x + half * x2, y + half * y2
        x3, y3 = a * xx - b * xx * yy, c * xx * yy - d * yy
        xx, yy = x + STEP * x3, y + STEP * y3
        x4, y4 = a * xx - b * xx * yy, c * xx * yy - d * yy
        x, y = x + sixth * (x1 + 2.0 * (x2 + x3) + x4), y + sixth * (y1 + 2.0 * (y2 + y3) + y4)
        xs.append(x)
        ys.append(y)
    value, x_bar, y_bar = x * x + y * y, 2.0 * x, 2.0 * y
    a_bar = b_bar = c_bar = d_bar = 0.0
    for step in range(steps - 1, -1, -1):
        x, y = xs[step], ys[step]
        x1, y1 = a * x - b * x * y, c * x * y - d * y
        xx2, yy2 = x + half * x1, y + half * y1
        x2, y2 = a * xx2 - b * xx2 * yy2, c * xx2 * yy2 - d * yy2
        xx3, yy3 = x + half * x2, y + half * y2
        x3, y3 = a * xx3 - b * xx3 * yy3, c * xx3 * yy3 - d * yy3
        xx4, yy4 = x + STEP * x3, y + STEP * y3
        # p and q are the adjoints of a stage's slopes; r and s those of the point where it was taken.
        p, q, xy = sixth * x_bar, sixth * y_bar, xx4 * yy4
        r, s = p * (a - b * yy4) + q * c * yy4, q * (c * xx4 - d) - p * b * xx4
        a_bar, b_bar, c_bar, d_bar = a_bar + p * xx4, b_bar - p * xy, c_bar + q * xy, d_bar - q * yy4
        x_in, y_in = x_bar + r, y_bar + s
        p, q, xy = 2.0 * sixth * x_bar + STEP * r, 2.0 * sixth * y_bar + STEP * s, xx3 * yy3
        r, s = p * (a - b * yy3) + q * c * yy3, q * (c * xx3 - d) - p * b * xx3
        a_bar, b_bar, c_bar, d_bar = a_bar + p * xx3, b_bar - p * xy, c_bar + q * xy, d_bar - q * yy3
        x_in, y_in = x_in + r, y_in + s
        p, q, xy = 2.0 * sixth * x_bar + half * r, 2.0 * sixth * y_bar + half * s, xx2 * yy2
        r, s = p * (a - b * yy2) + q * c * yy2, q * (c * xx2 - d) - p * b * xx2
        a_bar, b_bar, c_bar, d_bar = a_bar + p * xx2, b_bar - p * xy, c_bar + q * xy, d_bar - q * yy2
        x_in, y_in = x_in + r, y_in + s
        p, q, xy = sixth * x_bar + half * r, sixth * y_bar + half * s, x * y
        x_bar, y_bar = x_in + p * (a - b * y) + q * c * y, y_in + q * (c * x - d) - p * b * x
        a_bar, b_bar, c_bar, d_bar = a_bar + p * x, b_bar - p * xy, c_bar + q * xy, d_bar - q * y
    return value, x_bar, y_bar, a_bar, b_bar, c_bar, d_bar


# ----------------------------------------------------------------------------------------- problems


def of_lstm(steps: int, cells: int) -> Loop:
    parameters, text = lstm_numbers(steps, cells)
    return Loop(f"LSTM over {steps:,} characters", lstm, parameters, (text,), lstm_by_hand)


def of_runge_kutta(steps: int) -> Loop:
    program, by_hand = partial(runge_kutta, steps=steps), partial(runge_kutta_by_hand, steps=steps)
    return Loop(f"Runge-Kutta, {steps:,} steps", program, (1.5, 1.0, 1.1, 0.4, 0.1, 0.4), (), by_hand)


def loops() -> list[Loop]:
    return [of_lstm(1000, 64), of_runge_kutta(1000)]


def tiny_loops() -> list[Loop]:
    return [of_lstm(5, 3), of_runge_kutta(4)]


# ---------------------------------------------------------------------------------------- libraries


def ordinary_scan(body: Any, carry: Any, xs: Any, length: int | None = None) -> Any:
    """`scan` of plain NumPy: a loop over the rows of `xs`."""
    rows = []
    for step in range(len(xs) if length is None else length):
        carry, row = body(carry, None if xs is None else xs[step])
        rows.append(row)
    return carry, None if rows[0] is None else np.stack(rows)


def flat(found: Any) -> list[Any]:
    value, bars = found
    return [np.asarray(part) for part in (value, *bars)]


def with_compgraph(loop: Loop, target: str | None) -> Case:
    """Compiled for `target`, or run by the engine as it is for None."""
    derived = cg.value_and_grad(partial(loop.program, np, cg.scan), argnums=tuple(range(len(loop.parameters))))
    run = partial(derived if target is None else cg.compile(derived, target=target), *loop.parameters, *loop.data)
    return Case.of(run, lambda: flat(run()))


def with_hand(loop: Loop) -> Case:
    run = partial(loop.by_hand, *loop.parameters, *loop.data)
    return Case.of(run, lambda: [np.asarray(part) for part in run()])


def with_hand_numba(loop: Loop) -> Case | None:
    """The same text, compiled, where numba takes it: plain numbers."""
    if not isinstance(loop.by_hand, partial):
        return None
    steps = loop.by_hand.keywords["steps"]
    compiled = import_module("numba").njit(loop.by_hand.func, error_model="numpy")
    run = partial(compiled, *loop.parameters, steps=steps)
    return Case.of(run, lambda: list(run()))


def with_jax(loop: Loop) -> Case:
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    program = partial(loop.program, jax.numpy, jax.lax.scan)
    compiled = jax.jit(jax.value_and_grad(program, argnums=tuple(range(len(loop.parameters)))))
    arguments = [jax.numpy.asarray(array) for array in (*loop.parameters, *loop.data)]

    def run() -> Any:
        value, bars = compiled(*arguments)
        return value.block_until_ready(), bars

    return Case.of(run, lambda: flat(run()))


LIBRARIES: dict[str, tuple[str | None, Callable[[Loop], Case | None]]] = {
    "by hand": (None, with_hand),
    "by hand, numba": ("numba", with_hand_numba),
    "numpy target": (None, partial(with_compgraph, target="numpy")),
    "numba target": ("numba", partial(with_compgraph, target="numba")),
    "JAX jit": ("jax", with_jax),
}

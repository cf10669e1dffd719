"""The textbook example at two floats: f(x1, x2) and both its derivatives, in each library's fastest usual form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from math import exp, log
from typing import Any

import numpy as np
from common import Case

import compgraph as cg

POINT = (0.5, 1.25)


def program(xp: Any, x1: Any, x2: Any) -> Any:
    return (xp.exp(x1 / x2) + x1 / x2) * (x1 / x2 - xp.log(x2))


def f(x1: Any, x2: Any) -> Any:
    return program(np, x1, x2)


def by_hand(x1: float, x2: float) -> tuple[float, tuple[float, float]]:
    """What a careful person writes: the chain rule on paper, each shared term computed once; returned as `value_and_grad` does."""
    ratio = x1 / x2
    power = exp(ratio)
    left, right = power + ratio, ratio - log(x2)
    along = ((power + 1.0) * right + left) / x2  # of f by the ratio, over x2
    return left * right, (along, -along * ratio - left / x2)


def flat(found: tuple[Any, Any]) -> list[Any]:
    value, bars = found
    return [value, *bars]


def with_compgraph(target: str) -> Case:
    compiled = cg.compile(cg.value_and_grad(f, argnums=(0, 1)), target=target)

    def results() -> list[Any]:
        value, bars = compiled(*POINT)
        return [value, *bars]

    return Case.of(partial(compiled, *POINT), results)


def with_hand() -> Case:
    return Case.of(partial(by_hand, *POINT), lambda: flat(by_hand(*POINT)))


def with_hand_numba() -> Case:
    compiled = import_module("numba").njit(by_hand, error_model="numpy")
    return Case.of(partial(compiled, *POINT), lambda: flat(compiled(*POINT)))


def with_torch(*, compiled: bool = False) -> Case:
    torch = import_module("torch")
    function = torch.compile(partial(program, torch)) if compiled else partial(program, torch)

    def run() -> list[Any]:
        x1, x2 = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in POINT)
        value = function(x1, x2)
        value.backward()
        return [value.detach(), x1.grad, x2.grad]

    def ready() -> Any:
        torch.set_num_threads(1)
        return run

    return Case(ready, run)


def with_jax() -> Case:
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    compiled = jax.jit(jax.value_and_grad(partial(program, jax.numpy), argnums=(0, 1)))

    def run() -> list[Any]:
        value, bars = compiled(*POINT)
        value.block_until_ready()  # the three results belong to one call: where one is ready, all are
        return [value, *bars]

    return Case.of(run)


def with_autograd() -> Case:
    autograd, anp = import_module("autograd"), import_module("autograd.numpy")
    derived = autograd.value_and_grad(partial(program, anp), argnum=(0, 1))

    def run() -> list[Any]:
        value, bars = derived(*POINT)
        return [value, *bars]

    return Case.of(run)


def with_micrograd() -> Case | None:
    engine = import_module("micrograd.engine")
    if not hasattr(engine.Value, "exp") or not hasattr(engine.Value, "log"):
        return None

    def run() -> list[Any]:
        x1, x2 = (engine.Value(x) for x in POINT)
        value = (x1 / x2).exp() + x1 / x2
        value = value * (x1 / x2 - x2.log())
        value.backward()
        return [value.data, x1.grad, x2.grad]

    return Case.of(run)


def casadi_function() -> Any:
    casadi = import_module("casadi")
    x1, x2 = casadi.SX.sym("x1"), casadi.SX.sym("x2")
    value = program(casadi, x1, x2)
    return casadi.Function("f", [x1, x2], [value, casadi.jacobian(value, x1), casadi.jacobian(value, x2)])


def with_casadi() -> Case:
    function = casadi_function()
    return Case.of(partial(function, *POINT), lambda: [float(part) for part in function(*POINT)])


def with_casadi_buffers() -> Case:
    """Through memory that CasADi and the caller share: nothing is converted, which is its shortest way from Python."""
    function = casadi_function()
    buffer, evaluate = function.buffer()
    inputs, outputs = [np.array(x) for x in POINT], [np.zeros(()) for _ in range(3)]
    for place, array in enumerate(inputs):
        buffer.set_arg(place, array.data)
    for place, array in enumerate(outputs):
        buffer.set_res(place, array.data)

    def results() -> list[Any]:
        evaluate()
        return [float(array) for array in outputs]

    results.__dict__["alive"] = (function, buffer, inputs)  # CasADi keeps addresses, not objects
    return Case.of(evaluate, results)


def with_sympy() -> Case:
    sympy = import_module("sympy")
    x1, x2 = sympy.symbols("x1 x2")
    value = program(sympy, x1, x2)
    compiled = sympy.lambdify([x1, x2], [value, value.diff(x1), value.diff(x2)], modules="math", cse=True)
    return Case.of(partial(compiled, *POINT), lambda: list(compiled(*POINT)))


LIBRARIES: dict[str, tuple[str | None, Callable[[], Case | None]]] = {
    "by hand": (None, with_hand),
    "by hand, numba": ("numba", with_hand_numba),
    "numpy target": (None, partial(with_compgraph, "numpy")),
    "numba target": ("numba", partial(with_compgraph, "numba")),
    "PyTorch": ("torch", with_torch),
    "JAX jit": ("jax", with_jax),
    "autograd": ("autograd", with_autograd),
    "micrograd": ("micrograd", with_micrograd),
    "CasADi": ("casadi", with_casadi),
    "CasADi, own buffers": ("casadi", with_casadi_buffers),
    "SymPy lambdify": ("sympy", with_sympy),
}

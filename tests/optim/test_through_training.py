"""The gradient of a validation loss after some steps, by the learning rate, other hyperparameters and the initial point.

The rules are pure functions, so training is an expression like any other: differentiated forward and in reverse, unrolled
in a Python loop or kept as one loop by `cg.fori` and `cg.scan`, and compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from optim.rules import RULES, look_ahead

DRAW = np.random.default_rng(7)
TRUTH = np.array([1.0, -2.0, 0.5])
X, X_VALID = DRAW.normal(size=(8, 6, 3)), DRAW.normal(size=(12, 3))
Y, Y_VALID = np.tanh(X @ TRUTH) + 0.1 * DRAW.normal(size=(8, 6)), np.tanh(X_VALID @ TRUTH)
START = np.array([0.4, 0.3, -0.2])
STEPS = 6

RULE_CASES: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}),
    ("sgd", {"momentum": 0.8, "nesterov": True}),
    ("nesterov", {"momentum": 0.8}),
    ("adam", {}),
    ("adam", {"amsgrad": True, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("rmsprop", {}),
    ("rmsprop", {"momentum": 0.5, "centered": True}),
    ("adagrad", {"lr_decay": 0.1}),
    ("adadelta", {"eps": 1e-3}),
    ("adamax", {}),
    ("nadam", {}),
    ("radam", {}),
]
IDS = [f"{name} {', '.join(keywords)}".strip() for name, keywords in RULE_CASES]
rules = pytest.mark.parametrize(("name", "keywords"), RULE_CASES, ids=IDS)


def loss(p: Any, X: Any, Y: Any) -> Any:
    return np.mean((np.tanh(X @ p) - Y) ** 2)


def validation(p: Any) -> Any:
    return loss(p, X_VALID, Y_VALID)


def turn(name: str, keywords: dict[str, Any], p: Any, state: Any, lr: Any, X: Any, Y: Any) -> Any:
    point = look_ahead(p, state, lr=lr, momentum=keywords["momentum"]) if name == "nesterov" else p
    return RULES[name].update(p, cg.grad(loss)(point, X, Y), state, lr=lr, **keywords)


def unrolled(name: str, keywords: dict[str, Any]) -> Callable[[Any, Any], Any]:
    """The validation loss after training from `p` at the rate `lr`, a mini-batch a step, in a Python loop."""

    def after(p: Any, lr: Any) -> Any:
        state = RULES[name].start(p, lr=lr, **keywords)
        for number in range(STEPS):
            p, state = turn(name, keywords, p, state, lr, X[number], Y[number])
        return validation(p)

    return after


def by_fori(name: str, keywords: dict[str, Any]) -> Callable[[Any, Any], Any]:
    def after(p: Any, lr: Any) -> Any:
        def body(number: Any, carry: Any) -> Any:
            return turn(name, keywords, *carry, lr, batches[0][number], batches[1][number])

        batches = cg.constant(X[:STEPS]), cg.constant(Y[:STEPS])
        return validation(cg.fori(0, STEPS, body, (p, RULES[name].start(p, lr=lr, **keywords)))[0])

    return after


def by_scan(name: str, keywords: dict[str, Any]) -> Callable[[Any, Any], Any]:
    def after(p: Any, lr: Any) -> Any:
        def body(carry: Any, batch: Any) -> Any:
            return turn(name, keywords, *carry, lr, *batch), None

        carry, _ = cg.scan(body, (p, RULES[name].start(p, lr=lr, **keywords)), (X[:STEPS], Y[:STEPS]))
        return validation(carry[0])

    return after


LOOPS = {"python": unrolled, "fori": by_fori, "scan": by_scan}


def difference(f: Callable[[Any], Any], x: float, step: float = 2e-4) -> float:
    """The derivative of f by differences of fourth order: their error is step⁴ times the fifth derivative over 30."""
    near, far = (f(x + size) - f(x - size) for size in (step, 2 * step))
    return float((8 * near - far) / (12 * step))


def differences(f: Callable[[Any], Any], x: Any) -> Any:
    """The same for each entry of x."""
    return np.array([difference(lambda part, unit=unit: f(x + unit * part), 0.0) for unit in np.eye(len(x))])


@rules
def test_forward_and_reverse_and_differences_agree(name: str, keywords: dict[str, Any]) -> None:
    after, lr = unrolled(name, keywords), 0.03
    by_start, by_rate = cg.grad(after, argnums=(0, 1))(START, lr)
    tangents = [cg.jvp(after, (START, lr), (unit, 0.0))[1] for unit in np.eye(3)]
    rate_tangent = cg.jvp(after, (START, lr), (np.zeros(3), 1.0))[1]
    np.testing.assert_allclose(tangents, by_start, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(rate_tangent, by_rate, rtol=1e-11)
    np.testing.assert_allclose(differences(lambda p: after(p, lr), START), by_start, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(difference(lambda rate: after(START, rate), lr), by_rate, rtol=1e-6)
    assert abs(by_rate) > 1e-5  # the rate matters: nothing above compares zeros


@rules
@pytest.mark.parametrize("loop", ["fori", "scan"])
def test_a_loop_of_the_graph_has_the_derivatives_of_the_unrolled_one(loop: str, name: str, keywords: dict[str, Any]) -> None:
    expected = cg.grad(unrolled(name, keywords), argnums=(0, 1))(START, 0.03)
    kept = LOOPS[loop](name, keywords)
    graph = cg.trace(kept, START, 0.03)
    assert sum(node.primitive is not None and node.primitive.name == "scan" for node in graph.nodes) == 1
    reverse = cg.compile(cg.grad(kept, argnums=(0, 1)))(START, 0.03)
    for found, wanted in zip(reverse, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)
    forward = cg.compile(lambda p, lr: cg.jvp(lambda lr: kept(p, lr), (lr,), (1.0,))[1])
    np.testing.assert_allclose(forward(START, 0.03), expected[1], rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "fixed", "hyperparameters"),
    [
        ("sgd", {"lr": 0.03}, {"momentum": 0.7, "weight_decay": 0.02}),
        ("rmsprop", {"lr": 0.03}, {"alpha": 0.9, "eps": 1e-2, "weight_decay": 0.02}),
        ("adam", {"lr": 0.03}, {"betas": (0.8, 0.95), "eps": 1e-2, "weight_decay": 0.02}),
    ],
)
def test_every_hyperparameter_has_a_derivative(name: str, fixed: dict[str, Any], hyperparameters: dict[str, Any]) -> None:
    vector, unravel = cg.ravel(hyperparameters)

    def after(vector: Any) -> Any:
        keywords = {**fixed, **unravel(vector)}
        p, state = START, RULES[name].start(START, **keywords)
        for number in range(STEPS):
            p, state = RULES[name].update(p, cg.grad(loss)(p, X[number], Y[number]), state, **keywords)
        return validation(p)

    bars = cg.grad(after)(vector)
    np.testing.assert_allclose([cg.jvp(after, (vector,), (unit,))[1] for unit in np.eye(len(vector))], bars, rtol=1e-11)
    np.testing.assert_allclose(differences(after, vector), bars, rtol=1e-6, atol=1e-10)
    assert np.all(np.abs(bars) > 1e-7)


def test_gradient_descent_on_a_parabola_has_the_derivative_on_paper() -> None:
    """f = a θ² / 2: after k steps θ = (1 - γ a)ᵏ θ₀, so ∂f/∂γ = -k a² θ₀² (1 - γ a)^(2k - 1) and ∂f/∂θ₀ = a θ₀ (1 - γ a)^(2k)."""
    a, k, start, lr = 1.7, 9, 0.8, 0.1

    def after(p: Any, lr: Any) -> Any:
        state = RULES["sgd"].start(p)
        for _ in range(k):
            p, state = RULES["sgd"].update(p, a * p, state, lr=lr)
        return a * p**2 / 2

    by_start, by_rate = cg.grad(after, argnums=(0, 1))(start, lr)
    np.testing.assert_allclose(by_rate, -k * a**2 * start**2 * (1 - lr * a) ** (2 * k - 1), rtol=1e-13)
    np.testing.assert_allclose(by_start, a * start * (1 - lr * a) ** (2 * k), rtol=1e-13)


def test_momentum_on_a_parabola_has_the_derivative_of_its_matrix() -> None:
    """One step is a matrix M of (θ, b): b ← μ b + a θ, θ ← θ - γ b. ∂Mᵏ/∂γ = sum of Mⁱ (∂M/∂γ) Mʲ with i + j = k - 1."""
    a, k, start, lr, mu = 1.7, 12, 0.8, 0.1, 0.9

    def after(lr: Any) -> Any:
        p, state = start + 0.0 * lr, RULES["sgd"].start(np.float64(start), momentum=mu)
        for _ in range(k):
            p, state = RULES["sgd"].update(p, a * p, state, lr=lr, momentum=mu)
        return p

    matrix = np.array([[1 - lr * a, -lr * mu], [a, mu]])
    by_rate = np.array([[-a, -mu], [0.0, 0.0]])
    power = np.linalg.matrix_power
    total = sum(power(matrix, i) @ by_rate @ power(matrix, k - 1 - i) for i in range(k))
    np.testing.assert_allclose(cg.grad(after)(lr), (total @ [start, 0.0])[0], rtol=1e-12)


def test_a_second_derivative_by_the_rate() -> None:
    """Newton's method on the learning rate needs one, and it is a derivative of a derivative of training."""
    after = unrolled("sgd", {"momentum": 0.9})
    slope = cg.grad(after, argnums=1)
    curvature = cg.grad(lambda lr: slope(START, lr))(0.03)
    np.testing.assert_allclose(curvature, difference(lambda lr: slope(START, lr), 0.03), rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad"])
def test_where_a_gradient_was_always_zero_start_above_zero(name: str) -> None:
    """√v has no derivative at v = 0. From v = 1e-60 it has, and no bit of the training changes."""
    rule = RULES[name]

    def after(lr: Any, least: float) -> Any:
        p, state = np.array([1.0, 2.0, 3.0]), rule.start(np.zeros(3), lr=0.1)
        state = {key: part + least if key in ("sum", "square_avg", "exp_avg_sq") else part for key, part in state.items()}
        for _ in range(4):
            p, state = rule.update(p, cg.grad(lambda p: np.sum(p[:2] ** 3))(p), state, lr=lr)
        return np.sum(p**2)

    assert after(0.1, 1e-60) == after(0.1, 0.0)
    forward = cg.jvp(lambda lr: after(lr, 1e-60), (0.1,), (1.0,))[1]
    np.testing.assert_allclose(forward, cg.grad(lambda lr: after(lr, 1e-60))(0.1), rtol=1e-12)
    np.testing.assert_allclose(forward, difference(lambda lr: after(lr, 0.0), 0.1), rtol=1e-6)

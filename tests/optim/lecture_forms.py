"""The rules as lectures, papers and Keras write them, beside ours, on gradients that are noisy and now and then zero.

A form is written out as its source has it: a generator that yields a point, is sent the gradient there, and moves on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import numpy as np

from optim.rules import RULES, State, rmsprop

DRAW = np.random.default_rng(3)
START = DRAW.normal(size=5)
CURVATURE = np.diag([0.3, 1.0, 2.0, 4.0, 0.0]) + 0.1
NOISE = 0.3 * DRAW.normal(size=(200, 5)) * (DRAW.uniform(size=(200, 5)) < 0.7)
Walk = Generator[Any, Any, None]  # yields points and is sent gradients
Form = Callable[[], Walk]


def gradient(p: Any, step: int) -> Any:
    return CURVATURE @ p + 0.5 * np.sin(3 * p) + NOISE[step]


def form(walk: Callable[..., Walk]) -> Callable[..., Form]:
    """A call with numbers gives a form, which can be followed again and again."""
    return lambda *numbers, **keywords: partial(walk, *numbers, **keywords)


def follow(form: Form, steps: int = 200, gradient: Callable[[Any, int], Any] = gradient) -> Any:
    """The points at which the form asks for the gradient, and the last one."""
    walk = form()
    points = [next(walk)]
    for step in range(steps):
        points.append(walk.send(gradient(points[-1], step)))
    return np.array(points)


@form
def ours(
    name: str, start: Callable[[Any], State] | None = None, each: Callable[[int], dict[str, Any]] | None = None, **keywords: Any
) -> Walk:
    """Our rule, from a state of its own if `start` makes one, with hyperparameters that change from step to step by `each`."""
    p = START
    state = start(p) if start else RULES[name].start(p, **keywords)
    step = 0
    while True:
        g = yield p
        step += 1
        p, state = RULES[name].update(p, g, state, **keywords, **(each(step) if each else {}))


@form
def velocity(g_factor: float, decay: float) -> Walk:
    """v = γ v + η g, θ = θ - v (optimization-of-deep-networks)."""
    p, v = START, np.zeros(5)
    while True:
        g = yield p
        v = decay * v + g_factor * g
        p = p - v


@form
def signed_velocity(epsilon: float, alpha: float) -> Walk:
    """v = α v - ε g, θ = θ + v (batching-and-optimizers; Sutskever et al. 2013, eq. 1 and 2; Keras)."""
    p, v = START, np.zeros(5)
    while True:
        g = yield p
        v = alpha * v - epsilon * g
        p = p + v


@form
def dampened(alpha: float, mu: float, tau: float) -> Walk:
    """m = μ m + (1 - τ) g, θ = θ - α m, from m = 0 (memory-and-optimizers)."""
    p, m = START, np.zeros(5)
    while True:
        g = yield p
        m = mu * m + (1 - tau) * g
        p = p - alpha * m


@form
def averaged(alpha: float, beta: float) -> Walk:
    """V = β V + (1 - β) g, θ = θ - α V (advanced-optimization)."""
    p, V = START, np.zeros(5)
    while True:
        g = yield p
        V = beta * V + (1 - beta) * g
        p = p - alpha * V


@form
def keras_nesterov(rate: float, momentum: float) -> Walk:
    """v = μ v - η g, w = w + μ v - η g (Keras, nesterov=True)."""
    p, v = START, np.zeros(5)
    while True:
        g = yield p
        v = momentum * v - rate * g
        p = p + momentum * v - rate * g


@form
def adagrad_form(rate: float, divisor: Callable[[Any], Any], start: float = 0.0) -> Walk:
    p, r = START, np.full(5, start)
    while True:
        g = yield p
        r = r + g * g
        p = p - rate / divisor(r) * g


@form
def rms_form(rate: float, rho: float, divisor: Callable[[Any], Any]) -> Walk:
    p, r = START, np.zeros(5)
    while True:
        g = yield p
        r = rho * r + (1 - rho) * g * g
        p = p - rate / divisor(r) * g


def outside(delta: float) -> Callable[[Any], Any]:
    return lambda r: delta + np.sqrt(r)


def inside(epsilon: float) -> Callable[[Any], Any]:
    return lambda r: np.sqrt(r + epsilon)


@form
def rmsprop_inside(rate: float, rho: float, epsilon: float, momentum: float = 0.0) -> Walk:
    """Ours with ε inside the root: v + ε is the average of g² + ε from ε on, so the state is raised before and lowered after."""
    p, state = START, RULES["rmsprop"].start(START, momentum=momentum)
    while True:
        g = yield p
        raised = {**state, "square_avg": state["square_avg"] + epsilon / rho}
        p, state = rmsprop(p, g, raised, lr=rate, alpha=rho, eps=0.0, momentum=momentum)
        state = {**state, "square_avg": state["square_avg"] - epsilon}


@form
def keras_rmsprop(rate: float, rho: float, epsilon: float, momentum: float) -> Walk:
    """m = μ m + η g / √(v + ε), w = w - m."""
    p, v, m = START, np.zeros(5), np.zeros(5)
    while True:
        g = yield p
        v = rho * v + (1 - rho) * g**2
        m = momentum * m + rate * g / np.sqrt(v + epsilon)
        p = p - m


@form
def adam_form(rate: float, beta1: float, beta2: float, divisor: Callable[[Any, int], Any]) -> Walk:
    """θ = θ - η m̂ / divisor, where the divisor is told v̂ and the step."""
    p, s, r, t = START, np.zeros(5), np.zeros(5), 0
    while True:
        g = yield p
        t += 1
        s = beta1 * s + (1 - beta1) * g
        r = beta2 * r + (1 - beta2) * g * g
        p = p - rate * (s / (1 - beta1**t)) / divisor(r / (1 - beta2**t), t)


@form
def adam_inside(rate: float, beta1: float, beta2: float, epsilon: float) -> Walk:
    """v̂ + ε is the corrected average of g² + ε: the state is raised by what the average of ε is worth."""
    p, state = START, RULES["adam"].start(START)
    while True:
        g = yield p
        worth = epsilon * (1 - beta2 ** (state["step"] + 1))
        raised = {**state, "exp_avg_sq": state["exp_avg_sq"] + worth / beta2}
        p, state = RULES["adam"].update(p, g, raised, lr=rate, betas=(beta1, beta2), eps=0.0)
        state = {**state, "exp_avg_sq": state["exp_avg_sq"] - worth}


@form
def keras_adam(rate: float, beta1: float, beta2: float, epsilon: float) -> Walk:
    """α = η √(1 - β₂ᵗ) / (1 - β₁ᵗ), w = w - α m / (√v + ε): the end of section 2 of the paper, with its ε̂."""
    p, m, v, t = START, np.zeros(5), np.zeros(5), 0
    while True:
        g = yield p
        t += 1
        m = m + (g - m) * (1 - beta1)
        v = v + (g * g - v) * (1 - beta2)
        p = p - m * (rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)) / (np.sqrt(v) + epsilon)


@form
def keras_adamax(rate: float, beta1: float, beta2: float, epsilon: float) -> Walk:
    p, m, u, t = START, np.zeros(5), np.zeros(5), 0
    while True:
        g = yield p
        t += 1
        m = m + (g - m) * (1 - beta1)
        u = np.maximum(beta2 * u, np.abs(g))
        p = p - rate * m / ((1 - beta1**t) * (u + epsilon))


@form
def dozat(rate: float, beta1: float, beta2: float, epsilon: float, mu: Callable[[int], float]) -> Walk:
    """NAdam with the momentum schedule mu: m̂ = μₜ₊₁ m / (1 - Π μ₁..ₜ₊₁) + (1 - μₜ) g / (1 - Π μ₁..ₜ)."""
    p, m, v, t, product = START, np.zeros(5), np.zeros(5), 0, 1.0
    while True:
        g = yield p
        t += 1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        product *= mu(t)
        corrected = mu(t + 1) * m / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
        p = p - rate * corrected / (np.sqrt(v / (1 - beta2**t)) + epsilon)


@form
def delta_form(rate: float, rho: float, epsilon: float, sign: float = -1.0) -> Walk:
    """Δ = - √(u + ε) / √(v + ε) g, θ = θ + η Δ (Zeiler 2012, eq. 14; memory-and-optimizers prints it without the minus)."""
    p, v, u = START, np.zeros(5), np.zeros(5)
    while True:
        g = yield p
        v = rho * v + (1 - rho) * g**2
        delta = sign * np.sqrt(u + epsilon) / np.sqrt(v + epsilon) * g
        u = rho * u + (1 - rho) * delta**2
        p = p + rate * delta


@form
def keras_ftrl(rate: float, n: float, l1: float, l2: float, beta: float) -> Walk:
    """Keras: quadratic = √n / η + 2 (λ₂ + β / (2 η)), and the linear term starts from 0 wherever w is."""
    p, linear, accumulated = START, np.zeros(5), np.full(5, n)
    while True:
        g = yield p
        new = accumulated + g**2
        linear = linear + g - (np.sqrt(new) - np.sqrt(accumulated)) / rate * p
        quadratic = np.sqrt(new) / rate + 2 * (l2 + beta / (2 * rate))
        p = (np.clip(linear, -l1, l1) - linear) / quadratic
        accumulated = new


@form
def printed_rprop(first: float, sign: Any, etas: tuple[float, float] = (0.5, 1.2)) -> Walk:
    """memory-and-optimizers: 1. w = w - U sign(g), 2. U = U η⁺ where the sign stayed and U η⁻ elsewhere, 3. keep the sign."""
    p, U = START, np.full(5, first)
    while True:
        g = yield p
        p = p - U * np.sign(g)
        U = np.where(np.sign(g) == sign, U * etas[1], U * etas[0])
        sign = np.sign(g)

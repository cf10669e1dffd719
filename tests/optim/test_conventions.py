"""How the forms in which lectures, papers and Keras write the rules map onto ours; what is misprinted, and why.

`lecture_forms` has the forms. Ours is the rule with the hyperparameters that docs/optimizers.md gives for the form, and both
take two hundred steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from lecture_forms import (
    START,
    Form,
    Walk,
    adagrad_form,
    adam_form,
    adam_inside,
    averaged,
    dampened,
    delta_form,
    dozat,
    follow,
    gradient,
    inside,
    keras_adam,
    keras_adamax,
    keras_ftrl,
    keras_nesterov,
    keras_rmsprop,
    ours,
    outside,
    printed_rprop,
    rms_form,
    rmsprop_inside,
    signed_velocity,
    velocity,
)

import compgraph as cg
from optim.rules import RULES, State, look_ahead, rmsprop


def agree(form: Form, mapped: Form) -> None:
    np.testing.assert_allclose(follow(mapped), follow(form), rtol=1e-12, atol=1e-13)


# --------------------------------------------------------------------------------------------- momentum


def buffer_of_ones(p: Any) -> State:
    """A state one step old, whose buffer is 0: the dampening counts from the first gradient on."""
    return {"step": 1.0, "momentum_buffer": np.zeros_like(p)}


MOMENTUM = {
    "v = g v + n grad": (velocity(0.02, 0.9), ours("sgd", lr=0.02, momentum=0.9)),
    "v = a v - e grad": (signed_velocity(0.02, 0.9), ours("sgd", lr=0.02, momentum=0.9)),
    "m = u m + grad": (dampened(0.02, 0.9, 0.0), ours("sgd", lr=0.02, momentum=0.9)),
    "m = u m + (1 - t) grad, by the rate": (dampened(0.1, 0.9, 0.6), ours("sgd", lr=0.1 * (1 - 0.6), momentum=0.9)),
    "m = u m + (1 - t) grad, by the state": (dampened(0.1, 0.9, 0.6), ours("sgd", buffer_of_ones, lr=0.1, momentum=0.9, dampening=0.6)),
    "b v + (1 - b) grad": (averaged(0.2, 0.9), ours("sgd", lr=0.2 * (1 - 0.9), momentum=0.9)),
    "Keras, nesterov": (keras_nesterov(0.02, 0.9), ours("sgd", lr=0.02, momentum=0.9, nesterov=True)),
}


@pytest.mark.parametrize(("form", "mapped"), MOMENTUM.values(), ids=MOMENTUM)
def test_four_ways_to_write_momentum(form: Form, mapped: Form) -> None:
    agree(form, mapped)


def test_dampening_leaves_out_the_first_step_as_pytorch_does() -> None:
    """PyTorch takes the first gradient whole, where the lecture, from m = 0, takes (1 - τ) of it."""
    g = np.ones(5)
    p, _ = RULES["sgd"].update(START, g, RULES["sgd"].start(START, momentum=0.9), lr=0.1, momentum=0.9, dampening=0.6)
    np.testing.assert_allclose(START - p, 0.1 * g)
    first = follow(dampened(0.1, 0.9, 0.6), 1, lambda p, step: g)
    np.testing.assert_allclose(START - first[1], 0.1 * (1 - 0.6) * g)


def test_a_rate_that_changes_tells_the_forms_apart() -> None:
    """With the rate in the velocity, old gradients keep their old rates. That is ours with momentum γ ηₜ₋₁ / ηₜ."""
    rates = 0.05 / (1 + np.arange(201))

    def velocity() -> Walk:
        p, v = START, np.zeros(5)
        for step in range(1, 201):
            g = yield p
            v = 0.9 * v + rates[step] * g
            p = p - v
        yield p

    def start(p: Any) -> State:
        return RULES["sgd"].start(p, momentum=0.9)

    agree(velocity, ours("sgd", start, lambda step: {"lr": rates[step], "momentum": 0.9 * rates[step - 1] / rates[step]}))
    plain = follow(ours("sgd", start, lambda step: {"lr": rates[step], "momentum": 0.9}))
    assert np.max(np.abs(plain - follow(velocity))) > 1e-2


# --------------------------------------------------------------------------------------------- Nesterov


def points_of(form: Iterator[Any], steps: int = 200) -> Any:
    return np.array([next(form) for _ in range(steps)])


def look_ahead_form(eta: float, gamma: float) -> Iterator[Any]:
    """v = γ v + η ∇f(θ - γ v), θ = θ - v (optimization-of-deep-networks; Sutskever et al. 2013, eq. 3 and 4)."""
    p, v = START, np.zeros(5)
    for step in range(200):
        v = gamma * v + eta * gradient(p - gamma * v, step)
        p = p - v
        yield p


def scaled_look_ahead(alpha: float, mu: float, factor: float) -> Iterator[Any]:
    """m = μ m + ∇f(θ - factor μ m), θ = θ - α m. memory-and-optimizers prints factor 1; it is α."""
    p, m = START, np.zeros(5)
    for step in range(200):
        m = mu * m + gradient(p - factor * mu * m, step)
        p = p - alpha * m
        yield p


def our_look_ahead(lr: float, momentum: float) -> Iterator[Any]:
    p, state, keywords = START, RULES["nesterov"].start(START), {"lr": lr, "momentum": momentum}
    for step in range(200):
        p, state = RULES["nesterov"].update(p, gradient(look_ahead(p, state, **keywords), step), state, **keywords)
        yield p


def test_look_ahead_evaluates_the_gradient_ahead() -> None:
    np.testing.assert_allclose(points_of(our_look_ahead(0.02, 0.9)), points_of(look_ahead_form(0.02, 0.9)), rtol=1e-12, atol=1e-13)


def test_pytorch_s_nesterov_walks_on_the_look_ahead_points() -> None:
    """With φ = θ - γ v the look-ahead form is φ = φ - η (g(φ) + γ b): the gradients are taken at the same points."""
    asked: list[Any] = []

    def noted(p: Any, step: int) -> Any:
        asked.append(p)
        return gradient(p, step)

    follow(ours("sgd", lr=0.02, momentum=0.9, nesterov=True), gradient=noted)
    p, v, ahead = START, np.zeros(5), []
    for step in range(200):
        ahead.append(p - 0.9 * v)
        v = 0.9 * v + 0.02 * gradient(ahead[-1], step)
        p = p - v
    np.testing.assert_allclose(asked, ahead, rtol=1e-12, atol=1e-13)


def test_a_look_ahead_without_the_rate_is_a_misprint() -> None:
    """The step that the momentum alone would make is α μ m. Only with α = 1 is the printed form Nesterov's."""
    right, printed = points_of(scaled_look_ahead(0.02, 0.9, factor=0.02)), points_of(scaled_look_ahead(0.02, 0.9, factor=1.0))
    np.testing.assert_allclose(right, points_of(look_ahead_form(0.02, 0.9)), rtol=1e-12, atol=1e-13)
    assert not np.max(np.abs(printed - right)) < 1.0
    one = points_of(scaled_look_ahead(1.0, 0.3, factor=1.0), 3)
    np.testing.assert_allclose(one, points_of(our_look_ahead(1.0, 0.3), 3), rtol=1e-12)


# ------------------------------------------------------------------------------------- AdaGrad, RMSprop


SQUARES = {
    "AdaGrad, outside (batching-and-optimizers)": (adagrad_form(0.1, outside(1e-3)), ours("adagrad", lr=0.1, eps=1e-3)),
    "AdaGrad, inside (memory-and-optimizers, optimization-of-deep-networks with its sign)": (
        adagrad_form(0.1, inside(1e-3)),
        ours("adagrad", lr=0.1, initial_accumulator_value=1e-3, eps=0.0),
    ),
    "AdaGrad, Keras": (adagrad_form(0.1, inside(1e-3), start=0.1), ours("adagrad", lr=0.1, initial_accumulator_value=0.101, eps=0.0)),
    "RMSprop, outside (batching-and-optimizers)": (rms_form(0.01, 0.9, outside(1e-3)), ours("rmsprop", lr=0.01, alpha=0.9, eps=1e-3)),
    "RMSprop, none (advanced-optimization)": (rms_form(0.01, 0.9, np.sqrt), ours("rmsprop", lr=0.01, alpha=0.9, eps=0.0)),
    "RMSprop, inside (memory-and-optimizers)": (rms_form(0.01, 0.9, inside(1e-3)), rmsprop_inside(0.01, 0.9, 1e-3)),
    "RMSprop, Keras, momentum": (keras_rmsprop(0.01, 0.9, 1e-3, 0.8), rmsprop_inside(0.01, 0.9, 1e-3, 0.8)),
}


@pytest.mark.parametrize(("form", "mapped"), SQUARES.values(), ids=SQUARES)
def test_epsilon_inside_and_outside_the_root(form: Form, mapped: Form) -> None:
    agree(form, mapped)


def test_the_root_of_epsilon_is_the_nearest_epsilon() -> None:
    """√v + √ε is √(v + ε) where v is 0 or large, and never more than √2 times it; ε itself, put outside, is another number."""
    v = np.concatenate([[0.0], np.geomspace(1e-12, 1e6, 500)])
    ratio = (np.sqrt(v) + np.sqrt(1e-8)) / np.sqrt(v + 1e-8)
    assert ratio[0] == pytest.approx(1.0, rel=1e-15) and ratio[-1] == pytest.approx(1.0, rel=1e-6)
    assert np.max(ratio) == pytest.approx(np.sqrt(2), rel=1e-3)


def test_adagrad_with_a_minus_divides_by_the_root_of_a_negative_number() -> None:
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.sqrt(np.zeros(1) - 1e-8))


def test_without_an_epsilon_an_entry_that_has_no_gradient_yet_is_lost() -> None:
    with np.errstate(invalid="ignore"):
        p, _ = rmsprop(np.ones(2), np.array([1.0, 0.0]), RULES["rmsprop"].start(np.ones(2)), lr=0.1, eps=0.0)
    np.testing.assert_array_equal(np.isnan(p), [False, True])


# ---------------------------------------------------------------------------------------- the Adam family


BETAS = (0.9, 0.99)
ADAM = {
    "Adam, outside (batching-and-optimizers; the paper)": (
        adam_form(0.01, *BETAS, lambda r, t: 1e-3 + np.sqrt(r)),
        ours("adam", lr=0.01, betas=BETAS, eps=1e-3),
    ),
    "Adam, none (advanced-optimization)": (
        adam_form(0.01, *BETAS, lambda r, t: np.sqrt(r)),
        ours("adam", lr=0.01, betas=BETAS, eps=0.0),
    ),
    "Adam, inside (memory-and-optimizers)": (adam_form(0.01, *BETAS, lambda r, t: np.sqrt(r + 1e-3)), adam_inside(0.01, *BETAS, 1e-3)),
    "Adam, Keras": (
        keras_adam(0.01, *BETAS, 1e-3),
        ours("adam", each=lambda step: {"eps": 1e-3 / (1 - 0.99**step) ** 0.5}, lr=0.01, betas=BETAS),
    ),
    "Adam, Keras, is the paper's with another epsilon": (
        adam_form(0.01, *BETAS, lambda r, t: np.sqrt(r) + 1e-3 / np.sqrt(1 - 0.99**t)),
        keras_adam(0.01, *BETAS, 1e-3),
    ),
    "Adamax, Keras without epsilon; the paper": (keras_adamax(0.01, *BETAS, 0.0), ours("adamax", lr=0.01, betas=BETAS, eps=0.0)),
    "NAdam, constant momentum": (
        dozat(0.01, *BETAS, 1e-3, lambda t: 0.9),
        ours("nadam", lr=0.01, betas=BETAS, eps=1e-3, momentum_decay=1e6),
    ),
    "NAdam, Keras": (
        dozat(0.01, *BETAS, 1e-3, lambda t: 0.9 * (1 - 0.5 * 0.96**t)),
        ours("nadam", lr=0.01, betas=BETAS, eps=1e-3, momentum_decay=1.0),
    ),
    "AdaDelta (memory-and-optimizers, with its sign)": (delta_form(1.0, 0.9, 1e-3), ours("adadelta", lr=1.0, rho=0.9, eps=1e-3)),
    "AdaDelta, Keras": (delta_form(0.3, 0.95, 1e-4), ours("adadelta", lr=0.3, rho=0.95, eps=1e-4)),
    "FTRL, Keras": (
        keras_ftrl(0.2, 0.1, l1=0.3, l2=0.2, beta=0.5),
        ours("ftrl", lambda p: {"step": 0.0, "z": np.zeros(5), "n": np.full(5, 0.1)}, lr=0.2, beta=0.5, l1=0.3, l2=0.4),
    ),
}


@pytest.mark.parametrize(("form", "mapped"), ADAM.values(), ids=ADAM)
def test_the_other_rules(form: Form, mapped: Form) -> None:
    agree(form, mapped)


def test_corrected_moments_are_not_fed_back() -> None:
    """advanced-optimization overwrites V by V / (1 - βᵗ). With gradients of 1 the corrected moment is 1; read so, it is 5.3."""
    beta, right, printed = 0.9, 0.0, 0.0
    for t in (1, 2):
        right = beta * right + (1 - beta)
        printed = (beta * printed + (1 - beta)) / (1 - beta**t)
    assert right / (1 - beta**2) == pytest.approx(1.0, rel=1e-15)
    assert printed == pytest.approx(1 / (1 - beta**2)) and printed > 5


def test_nadam_without_the_gradient_moves_where_there_is_none() -> None:
    """memory-and-optimizers adds (1 - β₁) / (1 - β₁ᵗ) and not (1 - β₁) g / (1 - β₁ᵗ): at g = 0 it would step η / ε."""
    p, _ = RULES["nadam"].update(np.ones(2), np.zeros(2), RULES["nadam"].start(np.ones(2)), lr=0.01)
    np.testing.assert_array_equal(p, np.ones(2))
    printed = 0.01 * (0.9 * 0.0 + (1 - 0.9) / (1 - 0.9)) / (0.0 + 1e-8)
    assert printed == pytest.approx(1e6)


def test_adadelta_with_a_plus_climbs() -> None:
    def parabola(p: Any, step: int) -> Any:
        return p

    down, up = (follow(delta_form(1.0, 0.9, 1e-3, sign), gradient=parabola) for sign in (-1.0, 1.0))
    assert np.linalg.norm(down[-1]) < 1e-2 * np.linalg.norm(START) < np.linalg.norm(START) < 0.1 * np.linalg.norm(up[-1])


# ------------------------------------------------------------------------------------------------ Rprop


def steady(p: Any, step: int) -> Any:
    return np.exp(p) * np.array([1.0, -1.0, 3.0, -0.1, 7.0])


def test_rprop_as_printed_is_ours_until_a_sign_changes() -> None:
    """From U = γ and the first sign. Then they part: the lecture steps with the old U and shrinks it after, ours shrinks and rests."""
    printed = follow(printed_rprop(1e-6, np.sign(steady(START, 0))), 30, steady)
    np.testing.assert_allclose(follow(ours("rprop", lr=1e-6), 30, steady), printed, rtol=1e-12)
    turned = follow(ours("rprop", lr=1e-2), 2, lambda p, step: np.full(5, (-1.0) ** step))
    np.testing.assert_allclose(turned[2], turned[1])  # rests, its step halved
    other = follow(printed_rprop(1e-2, np.ones(5)), 2, lambda p, step: np.full(5, (-1.0) ** step))
    np.testing.assert_allclose(other[2] - other[1], 1.2e-2)


def test_rprop_that_starts_from_zero_never_moves() -> None:
    points = follow(printed_rprop(0.0, np.zeros(5)), 50)
    np.testing.assert_array_equal(points, np.broadcast_to(START, points.shape))


# ----------------------------------------------------------------------------- penalties, averages, memory


def test_weight_decay_is_the_gradient_of_half_the_squared_norm() -> None:
    """λ |θ|² is `weight_decay=2 λ`. optimization-and-training prints λ |θ|, whose gradient is λ θ / |θ|: one length, whatever θ is."""
    strength, g = 0.3, gradient(START, 0)
    p, _ = RULES["sgd"].update(START, g, RULES["sgd"].start(START), lr=0.1, weight_decay=2 * strength)
    squared = cg.grad(lambda p: strength * np.sum(p * p))(START)
    np.testing.assert_allclose(p, START - 0.1 * (g + squared), rtol=1e-15)
    plain = cg.grad(lambda p: strength * np.sqrt(np.sum(p * p)))
    assert np.linalg.norm(plain(START)) == pytest.approx(strength) == pytest.approx(np.linalg.norm(plain(100 * START)))


def test_the_numbers_of_the_bias_correction() -> None:
    """advanced-optimization: θ₁ = 28, v₁ = 0.56; from its v₂ = 0.51136 follows θ₂. 0.98 * 0.02 is 0.0196, so v₂ is 1.005 and not 0.511."""
    first = 0.56 / 0.02
    second = (0.51136 - 0.00196 * first) / 0.02
    assert first == pytest.approx(28.0) and second == pytest.approx(22.824)
    v2 = 0.98 * (0.02 * first) + 0.02 * second
    assert v2 == pytest.approx(1.00528) and v2 / (1 - 0.98**2) == pytest.approx(25.386, abs=1e-3)
    printed = 0.51136 / 0.0396
    assert printed == pytest.approx(12.9, abs=0.1) and printed < second < first  # an average lies between


# --------------------------------------------------------------------------------------- the comparison itself


@pytest.mark.parametrize("change", [{"lr": 0.0201}, {"momentum": 0.901}, {"dampening": 1e-3}, {"weight_decay": 1e-6}, {"nesterov": True}])
def test_a_mapping_that_is_off_is_found(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        agree(velocity(0.02, 0.9), ours("sgd", **{"lr": 0.02, "momentum": 0.9, **change}))

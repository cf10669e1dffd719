"""The update rules that treat every entry by itself: each one a pure function of a parameter, its gradient and a state.

>>> import numpy as np
>>> p, grad = np.array([1.0, -2.0]), np.array([0.5, 4.0])
>>> state = start_adam(p)
>>> p, state = adam(p, grad, state, lr=0.1)
>>> p.round(6), state["step"]
(array([ 0.9, -2.1]), 1.0)

A rule `rule(p, grad, state, *, lr, ...) -> (p, state)` is plain arithmetic and NumPy functions: it writes into nothing and
branches on no value of an array, so that it runs on arrays of any shape, on nodes (where it is recorded or traced, drawn,
compiled and differentiated), in float32 and in float64. `p`, `grad` and the arrays of the state have one shape and dtype.

- The state is a dict of arrays and numbers. `start_<rule>(p, **hyperparameters)` makes the first one and ignores the
  hyperparameters that it does not need. The number "step" counts the steps taken, from 0.0; the keys and their order stay.
- Hyperparameters are keywords: Python numbers, NumPy numbers or nodes. `lr` has no default here; the classes have
  PyTorch's. A plain 0 leaves out the operations that it would undo. Flags (`nesterov`, `amsgrad`, ...) are Python's.
- A number that is no plain Python number takes the parameter's dtype before it meets an array (`scalar`): beside float32
  a NumPy float64 would make float64 of everything. What depends on the step count alone is computed in float64 first.
- All rules minimise. `Optimizer` negates the gradient for `maximize`.

`RULES` names each rule with its start. Rules that look at the parameter as a whole are in `matrix_rules`.

Symbols: θ parameter, g gradient, t step, γ `lr`, λ `weight_decay`, β₁, β₂ `betas`, ε `eps`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from optim.terms import average, coupled_decay, decoupled_decay, is_zero, scalar, zeros

State = dict[str, Any]


class Rule(NamedTuple):
    """A rule with the function that makes its first state.

    >>> RULES["adamax"].hyperparameters
    ('lr', 'betas', 'eps', 'weight_decay')
    """

    update: Callable[..., tuple[Any, State]]
    start: Callable[..., State]
    entrywise: bool = True  # whether an entry's update depends on that entry alone, so that tensors may be joined

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        return _keyword_names(self.update)

    def numbers(self, **hyperparameters: Any) -> set[str]:
        """Which entries of the state are plain numbers, the same for all parameters at a step.

        >>> sorted(RULES["nadam"].numbers(lr=0.1))
        ['mu_product', 'step']
        """
        return {key for key, value in self.start(np.zeros((1,) * 2), **hyperparameters).items() if type(value) is float}


@cache
def _keyword_names(function: Callable[..., Any]) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


# ------------------------------------------------------------------------------------------- momentum


def start_sgd(p: Any, *, momentum: Any = 0.0, **_: Any) -> State:
    return {"step": 0.0} if is_zero(momentum) else {"step": 0.0, "momentum_buffer": zeros(p)}


def sgd(
    p: Any, grad: Any, state: State, *, lr: Any, momentum: Any = 0.0, dampening: Any = 0.0, weight_decay: Any = 0.0, nesterov: bool = False,
) -> tuple[Any, State]:
    """Gradient descent, with momentum: b ← μ b + (1 - τ) g, θ ← θ - γ b; without, θ ← θ - γ g.

    >>> p, state = np.array(1.0), start_sgd(np.array(1.0), momentum=0.9)
    >>> for _ in range(2):
    ...     p, state = sgd(p, p, state, lr=0.1, momentum=0.9)
    >>> float(p.round(12)), float(state["momentum_buffer"].round(12))
    (0.72, 1.8)

    Polyak 1964; PyTorch's form, in which the learning rate multiplies the whole buffer, where Sutskever et al. 2013
    (eq. 1, 2) and Keras keep it inside: the same iterates while the rate is constant. The first step takes b = g without
    the dampening τ, as PyTorch does. `nesterov` steps along g + μ b (Sutskever's change of variables, in which
    θ is the look-ahead point); see `nesterov` for the gradient at that point.
    """
    step = state["step"] + 1
    grad = coupled_decay(p, grad, weight_decay)
    if is_zero(momentum):
        p = p - scalar(lr, p) * grad
        return p, {**state, "step": step}
    fresh = grad if is_zero(dampening) else scalar(np.where(step > 1, 1 - dampening, 1.0), p) * grad
    buffer = scalar(momentum, p) * state["momentum_buffer"] + fresh
    direction = grad + scalar(momentum, p) * buffer if nesterov else buffer
    p = p - scalar(lr, p) * direction
    return p, {"step": step, "momentum_buffer": buffer}


def start_nesterov(p: Any, **_: Any) -> State:
    return {"step": 0.0, "momentum_buffer": zeros(p)}


def look_ahead(p: Any, state: State, *, lr: Any, momentum: Any) -> Any:
    """θ - γ μ b, where the momentum alone would take the parameter: the point at which `nesterov` wants its gradient."""
    return p - scalar(lr * momentum, p) * state["momentum_buffer"]


def nesterov(p: Any, grad: Any, state: State, *, lr: Any, momentum: Any = 0.9, weight_decay: Any = 0.0) -> tuple[Any, State]:
    """Nesterov's accelerated gradient as it is written: b ← μ b + ∇f(θ - γ μ b), θ ← θ - γ b.

    >>> p, state, keywords = np.array(1.0), start_nesterov(np.array(1.0)), {"lr": 0.1, "momentum": 0.5}
    >>> for _ in range(2):  # f(θ) = θ² / 2, whose gradient is θ
    ...     p, state = nesterov(p, look_ahead(p, state, **keywords), state, **keywords)
    >>> float(p.round(12))
    0.765

    `grad` is the gradient at `look_ahead(p, state, lr=..., momentum=...)`. Nesterov 1983; Sutskever et al. 2013 (eq. 3, 4) with
    v = -γ b. Lectures that write ∇f(θ - μ b) beside θ - γ b have lost the rate. Weight decay is that of the point
    at which the gradient is taken.
    """
    point = p if is_zero(weight_decay) else look_ahead(p, state, lr=lr, momentum=momentum)
    grad = coupled_decay(point, grad, weight_decay)
    buffer = scalar(momentum, p) * state["momentum_buffer"] + grad
    p = p - scalar(lr, p) * buffer
    return p, {"step": state["step"] + 1, "momentum_buffer": buffer}


# ------------------------------------------------------------------------------------------- signs


def start_rprop(p: Any, *, lr: Any, **_: Any) -> State:
    return {"step": 0.0, "prev": zeros(p), "step_size": zeros(p) + scalar(lr, p)}


def rprop(
    p: Any, grad: Any, state: State, *, lr: Any, etas: tuple[Any, Any] = (0.5, 1.2), step_sizes: tuple[Any, Any] = (1e-6, 50.0),
) -> tuple[Any, State]:
    """Resilient backpropagation: only the signs of the gradients count, each entry has a step size η of its own.

    >>> p, state = np.array([1.0, 1.0]), start_rprop(np.ones(2), lr=0.1)
    >>> for grad in ([1.0, 9.0], [2.0, -9.0], [3.0, -9.0]):
    ...     p, state = rprop(p, np.array(grad), state, lr=0.1)
    >>> p.round(12), state["step_size"].round(12)
    (array([0.636, 0.95 ]), array([0.144, 0.05 ]))

    Where the sign stays, η grows by η⁺; where it changes, η shrinks by η⁻, the entry rests for this step and its gradient
    is remembered as 0: Riedmiller & Braun 1993 in the form without backtracking (Rprop⁻ with rest; Igel & Hüsken 2000).
    `lr` is the η that `start_rprop` begins with and is not read afterwards. As in PyTorch.
    """
    eta_minus, eta_plus = (scalar(eta, p) for eta in etas)
    low, high = (scalar(bound, p) for bound in step_sizes)
    old = state["step_size"]
    agreement = grad * state["prev"]
    scaled = np.where(agreement > 0, old * eta_plus, np.where(agreement < 0, old * eta_minus, old))
    step_size = np.minimum(np.maximum(scaled, low), high)
    grad = np.where(agreement < 0, np.zeros_like(grad), grad)
    p = p - np.sign(grad) * step_size
    return p, {"step": state["step"] + 1, "prev": grad, "step_size": step_size}


def start_lion(p: Any, **_: Any) -> State:
    return {"step": 0.0, "exp_avg": zeros(p)}


def lion(
    p: Any, grad: Any, state: State, *, lr: Any, betas: tuple[Any, Any] = (0.9, 0.99), weight_decay: Any = 0.0,
) -> tuple[Any, State]:
    """θ ← θ - γ (sign(β₁ m + (1 - β₁) g) + λ θ), then m ← β₂ m + (1 - β₂) g.

    >>> lion(np.array([1.0, 1.0]), np.array([0.001, -7.0]), start_lion(np.ones(2)), lr=0.1)[0]
    array([0.9, 1.1])

    Chen et al. 2023 (arXiv:2302.06675), Algorithm 2. The decay is decoupled.
    """
    beta1, beta2 = betas
    sign = np.sign(average(state["exp_avg"], grad, beta1))
    p = decoupled_decay(p, lr, weight_decay) - scalar(lr, p) * sign
    return p, {"step": state["step"] + 1, "exp_avg": average(state["exp_avg"], grad, beta2)}


# ------------------------------------------------------------------------------------------- sums and averages of squares


def start_adagrad(p: Any, *, initial_accumulator_value: Any = 0.0, **_: Any) -> State:
    return {"step": 0.0, "sum": zeros(p) + scalar(initial_accumulator_value, p)}


def adagrad(
    p: Any, grad: Any, state: State, *, lr: Any, lr_decay: Any = 0.0, weight_decay: Any = 0.0, initial_accumulator_value: Any = 0.0,
    eps: Any = 1e-10,
) -> tuple[Any, State]:
    """s ← s + g², θ ← θ - γ / (1 + (t - 1) η) g / (√s + ε), with η `lr_decay`.

    >>> adagrad(np.array([1.0, 1.0]), np.array([3.0, -0.5]), start_adagrad(np.ones(2)), lr=0.1)[0].round(9)
    array([0.9, 1.1])

    Duchi, Hazan & Singer 2011, fig. 1 (diagonal). Lectures that print √(s - ε) mean √(s + ε), which is ε inside the root.
    """
    step = state["step"] + 1
    grad = coupled_decay(p, grad, weight_decay)
    total = state["sum"] + grad * grad
    rate = lr if is_zero(lr_decay) else lr / (1 + (step - 1) * lr_decay)
    p = p - scalar(rate, p) * (grad / (np.sqrt(total) + scalar(eps, p)))
    return p, {"step": step, "sum": total}


def start_rmsprop(p: Any, *, momentum: Any = 0.0, centered: bool = False, **_: Any) -> State:
    state = {"step": 0.0, "square_avg": zeros(p)}
    if not is_zero(momentum):
        state["momentum_buffer"] = zeros(p)
    if centered:
        state["grad_avg"] = zeros(p)
    return state


def rmsprop(
    p: Any, grad: Any, state: State, *, lr: Any, alpha: Any = 0.99, eps: Any = 1e-8, weight_decay: Any = 0.0, momentum: Any = 0.0,
    centered: bool = False,
) -> tuple[Any, State]:
    """v ← α v + (1 - α) g², θ ← θ - γ g / (√v + ε); with momentum θ ← θ - γ b, b ← μ b + g / (√v + ε).

    >>> rmsprop(np.array([1.0, 1.0]), np.array([3.0, -0.5]), start_rmsprop(np.ones(2)), lr=0.1)[0].round(6)
    array([0., 2.])

    Tieleman & Hinton 2012 (lecture 6e). There is no bias correction: the first step is γ / √(1 - α) long, ten rates by
    default. `centered` (Graves 2013, arXiv:1308.0850, eq. 38-45) divides by √(v - a²), a the average of g; a difference
    that rounding makes negative counts as 0, where PyTorch has NaN.
    """
    grad = coupled_decay(p, grad, weight_decay)
    after: State = {"step": state["step"] + 1, "square_avg": average(state["square_avg"], grad * grad, alpha)}
    variance = after["square_avg"]
    if centered:
        mean = average(state["grad_avg"], grad, alpha)
        variance = np.maximum(variance - mean * mean, 0)
    direction = grad / (np.sqrt(variance) + scalar(eps, p))
    if not is_zero(momentum):
        direction = after["momentum_buffer"] = scalar(momentum, p) * state["momentum_buffer"] + direction
    if centered:
        after["grad_avg"] = mean
    p = p - scalar(lr, p) * direction
    return p, after


def start_adadelta(p: Any, **_: Any) -> State:
    return {"step": 0.0, "square_avg": zeros(p), "acc_delta": zeros(p)}


def adadelta(
    p: Any, grad: Any, state: State, *, lr: Any, rho: Any = 0.9, eps: Any = 1e-6, weight_decay: Any = 0.0,
) -> tuple[Any, State]:
    """v ← ρ v + (1 - ρ) g², Δ = √(u + ε) / √(v + ε) g, u ← ρ u + (1 - ρ) Δ², θ ← θ - γ Δ.

    >>> p, _ = adadelta(np.array([1.0]), np.array([2.0]), start_adadelta(np.ones(1)), lr=1.0)
    >>> p.round(6)
    array([0.996838])

    Zeiler 2012 (arXiv:1212.5701), Algorithm 1, which has no rate: its γ is 1. The minus sign is there, which some
    lectures lose.
    """
    grad = coupled_decay(p, grad, weight_decay)
    square_avg = average(state["square_avg"], grad * grad, rho)
    delta = np.sqrt(state["acc_delta"] + scalar(eps, p)) / np.sqrt(square_avg + scalar(eps, p)) * grad
    acc_delta = average(state["acc_delta"], delta * delta, rho)
    p = p - scalar(lr, p) * delta
    return p, {"step": state["step"] + 1, "square_avg": square_avg, "acc_delta": acc_delta}


# ------------------------------------------------------------------------------------------- the Adam family


def start_adam(p: Any, *, amsgrad: bool = False, **_: Any) -> State:
    state = {"step": 0.0, "exp_avg": zeros(p), "exp_avg_sq": zeros(p)}
    return {**state, "max_exp_avg_sq": zeros(p)} if amsgrad else state


def adam(
    p: Any, grad: Any, state: State, *, lr: Any, betas: tuple[Any, Any] = (0.9, 0.999), eps: Any = 1e-8, weight_decay: Any = 0.0,
    amsgrad: bool = False, decoupled_weight_decay: bool = False,
) -> tuple[Any, State]:
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², θ ← θ - γ m̂ / (√v̂ + ε), m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    >>> p, state = adam(np.array([1.0, 1.0]), np.array([3.0, -0.5]), start_adam(np.ones(2)), lr=0.1)
    >>> p.round(6)
    array([0.9, 1.1])

    Kingma & Ba 2015 (arXiv:1412.6980), Algorithm 1. ε is outside the root and beside √v̂; the form of their section 2, in
    Keras too, adds it beside √v, which is ε / √(1 - β₂ᵗ) here. `amsgrad` divides by the largest v so far (Reddi et al.
    2018), corrected as PyTorch does. `decoupled_weight_decay` makes it AdamW (arXiv:1711.05101).
    """
    beta1, beta2 = betas
    step = state["step"] + 1
    if decoupled_weight_decay:
        p = decoupled_decay(p, lr, weight_decay)
    else:
        grad = coupled_decay(p, grad, weight_decay)
    exp_avg = average(state["exp_avg"], grad, beta1)
    exp_avg_sq = average(state["exp_avg_sq"], grad * grad, beta2)
    after = {"step": step, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    if amsgrad:
        exp_avg_sq = after["max_exp_avg_sq"] = np.maximum(state["max_exp_avg_sq"], exp_avg_sq)
    rate = lr / (1 - beta1**step)
    correction = (1 - beta2**step) ** 0.5
    denominator = np.sqrt(exp_avg_sq) / scalar(correction, p) + scalar(eps, p)
    p = p - scalar(rate, p) * (exp_avg / denominator)
    return p, after


def start_adamax(p: Any, **_: Any) -> State:
    return {"step": 0.0, "exp_avg": zeros(p), "exp_inf": zeros(p)}


def adamax(
    p: Any, grad: Any, state: State, *, lr: Any, betas: tuple[Any, Any] = (0.9, 0.999), eps: Any = 1e-8, weight_decay: Any = 0.0,
) -> tuple[Any, State]:
    """m as in Adam, u ← max(β₂ u, |g| + ε), θ ← θ - γ / (1 - β₁ᵗ) m / u.

    >>> adamax(np.array([1.0, 1.0]), np.array([3.0, -0.5]), start_adamax(np.ones(2)), lr=0.1)[0].round(6)
    array([0.9, 1.1])

    Kingma & Ba 2015, Algorithm 2, which has no ε; PyTorch's place for it.
    """
    beta1, beta2 = betas
    step = state["step"] + 1
    grad = coupled_decay(p, grad, weight_decay)
    exp_avg = average(state["exp_avg"], grad, beta1)
    exp_inf = np.maximum(scalar(beta2, p) * state["exp_inf"], np.abs(grad) + scalar(eps, p))
    rate = lr / (1 - beta1**step)
    p = p - scalar(rate, p) * (exp_avg / exp_inf)
    return p, {"step": step, "exp_avg": exp_avg, "exp_inf": exp_inf}


def start_nadam(p: Any, **_: Any) -> State:
    return {"step": 0.0, "mu_product": 1.0, "exp_avg": zeros(p), "exp_avg_sq": zeros(p)}


def nadam(
    p: Any, grad: Any, state: State, *, lr: Any, betas: tuple[Any, Any] = (0.9, 0.999), eps: Any = 1e-8, weight_decay: Any = 0.0,
    momentum_decay: Any = 0.004, decoupled_weight_decay: bool = False,
) -> tuple[Any, State]:
    """Adam with Nesterov's momentum: θ ← θ - γ (μₜ₊₁ m / (1 - Π μ₁..ₜ₊₁) + (1 - μₜ) g / (1 - Π μ₁..ₜ)) / (√v̂ + ε).

    >>> p, state = nadam(np.array([1.0]), np.array([3.0]), start_nadam(np.ones(1)), lr=0.1)
    >>> p.round(5), round(state["mu_product"], 5)
    (array([0.89435]), 0.45007)

    μₜ = β₁ (1 - ½ 0.96^(t ψ)), ψ `momentum_decay`. Dozat 2016, Algorithm 2 (appendix of the ICLR workshop paper), with m
    and v of Adam. The gradient belongs in the look-ahead term, where some lectures leave it out.
    """
    beta1, beta2 = betas
    step = state["step"] + 1
    if decoupled_weight_decay:
        p = decoupled_decay(p, lr, weight_decay)
    else:
        grad = coupled_decay(p, grad, weight_decay)
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    mu_product = state["mu_product"] * mu
    exp_avg = average(state["exp_avg"], grad, beta1)
    exp_avg_sq = average(state["exp_avg_sq"], grad * grad, beta2)
    denominator = np.sqrt(exp_avg_sq / scalar(1 - beta2**step, p)) + scalar(eps, p)
    by_grad = scalar(lr * (1 - mu) / (1 - mu_product), p)
    by_average = scalar(lr * mu_next / (1 - mu_product * mu_next), p)
    after = {"step": step, "mu_product": mu_product, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    p = p - (by_grad * grad + by_average * exp_avg) / denominator
    return p, after


def start_radam(p: Any, **_: Any) -> State:
    return start_adam(p)


def radam(
    p: Any, grad: Any, state: State, *, lr: Any, betas: tuple[Any, Any] = (0.9, 0.999), eps: Any = 1e-8, weight_decay: Any = 0.0,
    decoupled_weight_decay: bool = False,
) -> tuple[Any, State]:
    """Adam whose step is rectified by r where the variance of √v̂ is tractable (ρₜ > 5), and θ ← θ - γ m̂ before.

    >>> radam(np.array([1.0]), np.array([3.0]), start_radam(np.ones(1)), lr=0.1)[0].round(6)
    array([0.7])

    ρ∞ = 2 / (1 - β₂) - 1, ρₜ = ρ∞ - 2 t β₂ᵗ / (1 - β₂ᵗ), r² = (ρₜ - 4)(ρₜ - 2) ρ∞ / ((ρ∞ - 4)(ρ∞ - 2) ρₜ): Liu et al. 2020
    (arXiv:1908.03265), Algorithm 2, whose threshold is 4. PyTorch takes 5 and adds ε to √v before the correction.
    """
    beta1, beta2 = betas
    step = state["step"] + 1
    if decoupled_weight_decay:
        p = decoupled_decay(p, lr, weight_decay)
    else:
        grad = coupled_decay(p, grad, weight_decay)
    exp_avg = average(state["exp_avg"], grad, beta1)
    exp_avg_sq = average(state["exp_avg_sq"], grad * grad, beta2)
    correction = 1 - beta2**step
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * step * beta2**step / correction
    tractable = rho > 5
    rho, rho_inf = np.maximum(rho, 5.0), np.maximum(rho_inf, 5.0)  # as they are where they are used
    rectification = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
    adaptive = scalar((rectification * correction) ** 0.5, p) / (np.sqrt(exp_avg_sq) + scalar(eps, p))
    factor = np.where(tractable, adaptive, np.ones_like(adaptive))
    rate = lr / (1 - beta1**step)
    p = p - scalar(rate, p) * exp_avg * factor
    return p, {"step": step, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}


# ------------------------------------------------------------------------------------------- online learning


def start_ftrl(p: Any, *, lr: Any, beta: Any = 1.0, l1: Any = 0.0, l2: Any = 0.0, **_: Any) -> State:
    z = -p * scalar(beta / lr + l2, p) - np.sign(p) * scalar(l1, p)
    return {"step": 0.0, "z": z, "n": zeros(p)}


def ftrl(
    p: Any, grad: Any, state: State, *, lr: Any, beta: Any = 1.0, l1: Any = 0.0, l2: Any = 0.0,
) -> tuple[Any, State]:
    """Follow the regularised leader, by coordinate, which makes exact zeros: σ = (√(n + g²) - √n) / γ,
    z ← z + g - σ θ, n ← n + g², θ ← 0 where |z| ≤ λ₁ and -(z - sign(z) λ₁) / ((β + √n) / γ + λ₂) elsewhere.

    >>> p = np.array([0.0, 0.0])
    >>> ftrl(p, np.array([3.0, 0.5]), start_ftrl(p, lr=0.5), lr=0.5, l1=1.0)[0].round(9)
    array([-0.25,  0.  ])

    McMahan et al. 2013 (Ad click prediction), Algorithm 1. The paper starts from θ = 0; `start_ftrl` chooses the z at which
    the formula gives the θ that is there. Keras has β = 0 and n from 0.1 on. β has to be positive: without it the
    quotient is 0 / 0 until the first gradient.
    """
    rate = scalar(lr, p)
    n = state["n"] + grad * grad
    root = np.sqrt(n)
    z = state["z"] + grad - (root - np.sqrt(state["n"])) / rate * p
    bound = scalar(l1, p)
    shrunk = np.minimum(np.maximum(z, -bound), bound) - z
    p = shrunk / ((scalar(beta, p) + root) / rate + scalar(l2, p))
    return p, {"step": state["step"] + 1, "z": z, "n": n}


RULES = {
    "sgd": Rule(sgd, start_sgd),
    "nesterov": Rule(nesterov, start_nesterov),
    "rprop": Rule(rprop, start_rprop),
    "lion": Rule(lion, start_lion),
    "adagrad": Rule(adagrad, start_adagrad),
    "rmsprop": Rule(rmsprop, start_rmsprop),
    "adadelta": Rule(adadelta, start_adadelta),
    "adam": Rule(adam, start_adam),
    "adamax": Rule(adamax, start_adamax),
    "nadam": Rule(nadam, start_nadam),
    "radam": Rule(radam, start_radam),
    "ftrl": Rule(ftrl, start_ftrl),
}

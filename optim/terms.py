"""The terms that update rules share: numbers that keep a dtype, weight decay, moving averages, norms.

They stand beside the rules and not among them so that a graph names the result of `exp_avg = average(...)` as the rule does.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def scalar(number: Any, p: Any) -> Any:
    """A number that may stand beside `p` without changing its dtype.

    >>> scalar(np.float64(0.5), np.ones(2, np.float32)), scalar(0.5, np.ones(2, np.float32))
    (np.float32(0.5), 0.5)
    """
    return number if type(number) in (float, int, bool) else number.astype(p.dtype)


def is_zero(number: Any) -> bool:
    """Whether a hyperparameter is the plain number 0, whose operations are left out. A node is not: it may change."""
    return type(number) in (float, int, bool) and number == 0


def zeros(p: Any) -> Any:
    return np.zeros(p.shape, p.dtype)


def coupled_decay(p: Any, grad: Any, weight_decay: Any) -> Any:
    """g + λ θ: weight decay as the gradient of the penalty λ/2 |θ|²."""
    return grad if is_zero(weight_decay) else grad + scalar(weight_decay, p) * p


def decoupled_decay(p: Any, lr: Any, weight_decay: Any) -> Any:
    """(1 - γ λ) θ: weight decay beside the gradient (Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2)."""
    return p if is_zero(weight_decay) else p * scalar(1 - lr * weight_decay, p)


def average(old: Any, new: Any, beta: Any) -> Any:
    """β old + (1 - β) new, the exponential moving average."""
    return scalar(beta, new) * old + scalar(1 - beta, new) * new


def mean_square(x: Any) -> Any:
    """The mean of the squares of all entries; 0 of an empty array."""
    return np.sum(x * x) / max(x.size, 1)


def root(square: Any) -> Any:
    """√square, with the derivative 0 at 0, where that of the square root is infinite.

    >>> root(np.array([9.0, 0.0]))
    array([3., 0.])
    """
    positive = square > 0
    return np.where(positive, np.sqrt(np.where(positive, square, 1)), 0)


def norm(x: Any) -> Any:
    """The Euclidean norm of all entries, with the derivative 0 at the origin."""
    return root(np.sum(x * x))

"""The ranges of hyperparameters, by name: the same name has the same range in every optimizer that does not say otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Check(NamedTuple):
    """A condition on a hyperparameter, and what it says in an error message.

    >>> CHECKS["lr"].holds(0.1), CHECKS["lr"].holds(float("nan")), CHECKS["lr"].holds("fast")
    (True, False, False)
    """

    holds: Callable[[Any], bool]
    text: str


def is_number(value: Any) -> bool:
    """Whether `value` is a finite real number of Python or NumPy."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and math.isfinite(value)


def number(holds: Callable[[Any], bool], text: str) -> Check:
    return Check(lambda value: is_number(value) and bool(holds(value)), text)


def several(count: int, holds: Callable[..., bool], text: str) -> Check:
    """A tuple or list of `count` numbers."""

    def check(values: Any) -> bool:
        right = isinstance(values, (tuple, list)) and len(values) == count and all(map(is_number, values))
        return right and bool(holds(*values))

    return Check(check, text)


def one_of(*values: Any) -> Check:
    return Check(lambda value: value in values, " or ".join(map(repr, values)))


NOT_NEGATIVE = number(lambda x: x >= 0, "a number of at least 0")
POSITIVE = number(lambda x: x > 0, "a positive number")
FRACTION = number(lambda x: 0 <= x < 1, "a number in [0, 1)")
BETAS = several(2, lambda beta1, beta2: 0 <= beta1 < 1 and 0 <= beta2 < 1, "two numbers in [0, 1)")
FLAG = Check(lambda value: isinstance(value, (bool, np.bool_)), "True or False")

CHECKS: dict[str, Check] = {
    "lr": NOT_NEGATIVE,
    "eps": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "momentum": NOT_NEGATIVE,
    "dampening": number(lambda x: True, "a number"),
    "betas": BETAS,
    "alpha": FRACTION,
    "rho": number(lambda x: 0 <= x <= 1, "a number in [0, 1]"),
    "lr_decay": NOT_NEGATIVE,
    "initial_accumulator_value": NOT_NEGATIVE,
    "momentum_decay": NOT_NEGATIVE,
    "etas": several(2, lambda minus, plus: 0 < minus < 1 < plus, "two numbers with 0 < etas[0] < 1 < etas[1]"),
    "step_sizes": several(2, lambda low, high: 0 < low <= high, "two positive numbers, the smaller one first"),
    "trust_coefficient": POSITIVE,
    "beta": POSITIVE,
    "l1": NOT_NEGATIVE,
    "l2": NOT_NEGATIVE,
    "nesterov": FLAG,
    "amsgrad": FLAG,
    "centered": FLAG,
    "maximize": FLAG,
    "decoupled_weight_decay": FLAG,
}

"""Sample arguments for the ufuncs beyond arithmetic: see `domains.py`."""

from __future__ import annotations

import math

import numpy as np
from domains import PAIRS, Domain, binary, spread, truths, unary

LN2 = float(np.log(2))


def _stepped(step, x):  # the value of a step function, entry by entry, by Python
    return np.vectorize(step, otypes=[np.float64])(x).astype(np.asarray(x).dtype)[()]


def weak(reference):
    """A reference beside whose arrays Python numbers stay weak, as they do for a ufunc."""
    return lambda *xs: np.asarray(reference(*xs)).astype(np.result_type(*xs))[()]


def _chosen(better):
    return lambda a, b: np.where(better(a, b), a, b)


DOMAINS: dict[str, Domain] = {
    # logarithms and powers of other bases
    "exp2": unary(lambda x: np.exp(x * LN2), -2, 2),
    "log2": unary(lambda x: np.log(x) / LN2, 0.3, 3),
    "log10": unary(lambda x: np.log(x) / float(np.log(10)), 0.3, 3),
    "cbrt": unary(lambda x: np.sign(x) * np.abs(x) ** (1 / 3), -3, 3.7),
    "reciprocal": unary(lambda x: 1 / x, 0.4, 3),
    "arcsinh": unary(lambda x: np.log(x + np.sqrt(x * x + 1)), -2, 2),
    "arccosh": unary(lambda x: np.log(x + np.sqrt(x * x - 1)), 1.3, 4),
    "arctanh": unary(lambda x: np.log((1 + x) / (1 - x)) / 2, -0.8, 0.8),
    "deg2rad": unary(lambda x: x * (np.pi / 180), -200, 200),
    "rad2deg": unary(lambda x: x * (180 / np.pi), -4, 4),
    # two arguments
    "hypot": binary(lambda a, b: np.sqrt(a * a + b * b), (-2, 2), (0.3, 2.5), (spread((3,), 1, 2), 0), (1.5, spread((3,), -2, 2))),
    "arctan2": binary(lambda a, b: np.arctan(a / b), (-2, 2), (0.3, 2.5), (spread((3,), -2, 2), 1.5), (1.5, spread((3,), 0.5, 2))),
    "logaddexp": binary(
        weak(lambda a, b: np.log(np.exp(a) + np.exp(b))), (-2, 2), (-2, 2), (spread((3,), -2, 2), 0),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
    ),
    "logaddexp2": binary(
        weak(lambda a, b: np.log(np.exp(LN2 * a) + np.exp(LN2 * b)) / LN2), (-2, 2), (-2, 2), (spread((3,), -2, 2), 0),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
    ),
    "copysign": binary(lambda a, b: np.abs(a) * np.where(b < 0, -1, 1).astype(np.asarray(b).dtype), (-2, 2.3), (-2, 2.3)),
    "fmax": binary(_chosen(np.greater), (-2, 2), (-2, 2), (spread((3,), -2, 2.3), 0), (0.1, spread((3,), -2, 2))),
    "fmin": binary(_chosen(np.less), (-2, 2), (-2, 2), (spread((3,), -2, 2.3), 0), (0.1, spread((3,), -2, 2))),
    # steps, and what they leave
    "floor": unary(lambda x: _stepped(math.floor, x), -3, 3.3),
    "ceil": unary(lambda x: _stepped(math.ceil, x), -3, 3.3),
    "trunc": unary(lambda x: _stepped(int, x), -3, 3.3),
    "rint": unary(lambda x: _stepped(round, x), -3, 3.3),
    "floor_divide": binary(lambda a, b: np.floor(a / b), (-5, 5), (0.6, 2), (spread((3,), -5, 5), 2), (3.1, spread((3,), 0.5, 2))),
    "heaviside": binary(lambda a, b: np.where(a > 0, 1, np.where(a < 0, 0, b)).astype(np.result_type(a, b)), (-2, 2.3), (0, 1)),
    "remainder": binary(
        lambda a, b: a - b * np.floor(a / b), (-5, 5.3), (1.31, 1.35), (spread((3,), -5, 5.3), 2), (3.1, spread((3,), 0.63, 0.72))
    ),
    "fmod": binary(
        lambda a, b: a - b * np.trunc(a / b), (-5, 5.3), (1.31, 1.35), (spread((3,), -5, 5.3), 2), (3.1, spread((3,), 0.63, 0.72))
    ),
    "fraction": unary(lambda x: x - np.trunc(x), -3, 3.3),
    "exponent": unary(lambda x: np.floor(np.log2(np.abs(x))).astype(np.int32) + np.int32(1), -3, 4.7),
    "nextafter": binary(lambda a, b: a + np.where(b > a, 1, -1).astype(np.result_type(a, b)) * np.spacing(a), (0.3, 2), (0.3, 2)),
    "spacing": unary(lambda x: np.nextafter(np.abs(x), np.inf, dtype=np.asarray(x).dtype) - np.abs(x), -2, 2.3),
    # questions
    "isfinite": unary(lambda x: np.abs(x) < np.inf, -2, 2),
    "isnan": unary(lambda x: np.not_equal(x, x), -2, 2),
    "isinf": unary(lambda x: np.abs(x) == np.inf, -2, 2),
    "signbit": unary(lambda x: x < 0, -2, 2.3),
    "logical_xor": Domain(lambda a, b: a != b, tuple(((truths(*one), ~truths(*two)), {}) for one, two in PAIRS if one and two)),
}  # fmt: skip

"""Expressions whose values and gradients were computed once by PyTorch and JAX.

Each is a function of an array library `xp` and of arrays, written with NumPy's names and arguments, so that one text
runs on NumPy, on JAX, on PyTorch through the adapter of `make_reference.py`, and on the nodes of this project.
Here are the elementary ones; the families beside this file add the rest.
"""

from __future__ import annotations

from typing import Any

import expressions_algebra
import expressions_arrays
import expressions_models
import numpy as np
from samples import BATCH, POSITIVE, SQUARE, Expression, M, N, W, X, Y, waves


def _softmax(xp: Any, x: Any) -> Any:
    shifted = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return shifted / xp.sum(shifted, axis=-1, keepdims=True)


def _network(xp: Any, x: Any, w1: Any, w2: Any) -> Any:
    return xp.sum(xp.tanh(xp.tanh(x @ w1) @ w2) ** 2)


def _attention(xp: Any, q: Any, k: Any, v: Any) -> Any:
    return xp.sum(_softmax(xp, q @ xp.transpose(k, (0, 2, 1)) / 3**0.5) @ v * v)


def _newton(xp: Any, x: Any) -> Any:
    y = x
    for _ in range(6):
        y = 0.5 * (y + x / y)
    return xp.sum(y)


def _layer_norm(xp: Any, x: Any, w: Any) -> Any:
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    return xp.sum(centred / xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * w)


_ELEMENTARY: dict[str, Expression] = {
    # numbers
    "textbook": Expression(lambda xp, a, b: (xp.exp(a / b) + a / b) * (a / b - xp.log(b)), (np.float64(0.5), np.float64(1.0))),
    "survey": Expression(lambda xp, a, b: xp.log(a) + a * b - xp.sin(b), (np.float64(2.0), np.float64(5.0))),
    "power of both": Expression(lambda xp, a, b: a**b, (np.float64(1.7), np.float64(-0.6))),
    "quotient": Expression(lambda xp, a, b: (a - b) / (a * b + 1), (np.float64(0.3), np.float64(2.0))),
    "nested functions": Expression(lambda xp, a: xp.sin(xp.cos(xp.exp(xp.sin(a)))), (np.float64(0.7),)),
    "gaussian": Expression(lambda xp, a, b: xp.exp(-((a - b) ** 2) / 2) / 2.5, (np.float64(0.2), np.float64(1.1))),
    "fan-out": Expression(lambda xp, a: (a * a + a) * (a * a - a) * a, (np.float64(1.3),)),
    # elementary functions
    "exp": Expression(lambda xp, x, w: xp.sum(xp.exp(x) * w), (X, W)),
    "log": Expression(lambda xp, x, w: xp.sum(xp.log(x) * w), (POSITIVE, W)),
    "log1p": Expression(lambda xp, x, w: xp.sum(xp.log1p(x * 0.9) * w), (X, W)),
    "expm1": Expression(lambda xp, x, w: xp.sum(xp.expm1(x) * w), (X, W)),
    "sqrt": Expression(lambda xp, x, w: xp.sum(xp.sqrt(x) * w), (POSITIVE, W)),
    "square": Expression(lambda xp, x, w: xp.sum(xp.square(x) * w), (X, W)),
    "sin cos": Expression(lambda xp, x, w: xp.sum(xp.sin(3 * x) * xp.cos(x) * w), (X, W)),
    "tan": Expression(lambda xp, x, w: xp.sum(xp.tan(x) * w), (X, W)),
    "arcsin": Expression(lambda xp, x, w: xp.sum(xp.arcsin(0.9 * x) * w), (X, W)),
    "arccos": Expression(lambda xp, x, w: xp.sum(xp.arccos(0.9 * x) * w), (X, W)),
    "arctan": Expression(lambda xp, x, w: xp.sum(xp.arctan(3 * x) * w), (X, W)),
    "sinh cosh": Expression(lambda xp, x, w: xp.sum(xp.sinh(x) * xp.cosh(2 * x) * w), (X, W)),
    "tanh": Expression(lambda xp, x, w: xp.sum(xp.tanh(2 * x) * w), (X, W)),
    "sigmoid": Expression(lambda xp, x, w: xp.sum(xp.sigmoid(3 * x) * w), (X, W)),
    "softplus": Expression(lambda xp, x, w: xp.sum(xp.softplus(3 * x) * w), (X, W)),
    "relu": Expression(lambda xp, x, w: xp.sum(xp.relu(x) * w), (X, W)),
    "relu at 0": Expression(lambda xp, x, w, c: xp.sum(xp.relu(x - c) * w), (X, W, X[1])),
    "abs": Expression(lambda xp, x, w: xp.sum(xp.abs(x) * w), (X, W)),
    "negative power": Expression(lambda xp, x, w: xp.sum(x**-1.5 * w), (POSITIVE, W)),
    "power of a number": Expression(lambda xp, x, w: xp.sum(2.0**x * w), (X, W)),
    "array of exponents": Expression(lambda xp, x, y: xp.sum(x**y), (POSITIVE, Y)),
    # broadcasting and selection
    "broadcast": Expression(lambda xp, x, w: xp.sum((x + w) * w / (2 + x * x)), (X, W)),
    "broadcast both": Expression(lambda xp, x, y: xp.sum(xp.sin(xp.reshape(x, (3, 1)) * y)), (X, Y)),
    "broadcast_to": Expression(lambda xp, x, w: xp.sum(xp.broadcast_to(x, (2, 3)) * w), (X, W)),
    "maximum": Expression(lambda xp, x, y, w: xp.sum(xp.maximum(x, y) * w), (X, Y, W)),
    "minimum of equals": Expression(lambda xp, x, y, w: xp.sum(xp.minimum(x, y) * w), (X, X.copy(), W)),
    "where": Expression(lambda xp, x, y, w: xp.sum(xp.where(x > y, x * y, xp.exp(y)) * w), (X, Y, W)),
    "huber": Expression(lambda xp, x: xp.sum(xp.where(xp.abs(x) < 0.5, x * x / 2, 0.5 * xp.abs(x) - 0.125)), (X,)),
    # reductions
    "mean of squares": Expression(lambda xp, x, w: xp.mean((x - w) ** 2), (X, W)),
    "sums over axes": Expression(lambda xp, x: xp.sum(xp.sum(x, axis=(0, 2)) ** 3), (BATCH,)),
    "mean, keepdims": Expression(lambda xp, x: xp.sum((x - xp.mean(x, axis=0, keepdims=True)) ** 2), (M,)),
    "max of all": Expression(lambda xp, x: xp.max(x) ** 2, (W,)),
    "max over an axis": Expression(lambda xp, x, v: xp.sum(xp.max(x, axis=1) ** 2 * v), (W, X[:2])),
    "min over an axis": Expression(lambda xp, x, v: xp.sum(xp.min(x, axis=0) * v), (W, X)),
    "softmax": Expression(lambda xp, x, w: xp.sum(_softmax(xp, x) * w), (W + 1, W)),
    "logsumexp": Expression(lambda xp, x: xp.log(xp.sum(xp.exp(x - 3.0))) + 3.0, (W,)),
    "cross entropy": Expression(lambda xp, x, targets: -xp.sum(xp.log(_softmax(xp, x)) * targets), (M, np.eye(4, 3))),
    "layer norm": Expression(_layer_norm, (W + X, W)),
    "norm": Expression(lambda xp, x: xp.sqrt(xp.sum(x * x)), (M,)),
    # products of matrices
    "vector @ vector": Expression(lambda xp, x, y: (x @ y) ** 2, (X, Y)),
    "matrix @ vector": Expression(lambda xp, m, x: xp.sum(xp.sin(m @ x)), (M, X)),
    "vector @ matrix": Expression(lambda xp, x, n: xp.sum(xp.sin(x @ n)), (X, N)),
    "matrix @ matrix": Expression(lambda xp, m, n: xp.sum(xp.sin(m @ n)), (M, N)),
    "batch @ matrix": Expression(lambda xp, b, n: xp.sum(xp.sin(b @ n)), (BATCH, N)),
    "matrix @ batch": Expression(lambda xp, n, b: xp.sum(xp.sin(n @ b)), (N, BATCH)),
    "batch @ vector": Expression(lambda xp, b, x: xp.sum(xp.sin(b @ x)), (BATCH, X)),
    "quadratic form": Expression(lambda xp, x, s: x @ (s @ x), (X, SQUARE)),
    "power of a matrix": Expression(lambda xp, s: xp.sum(s @ s @ s), (SQUARE,)),
    "network": Expression(_network, (M, N, waves(2, 4, phase=6.0))),
    "attention": Expression(_attention, (BATCH, BATCH * 0.5, waves(5, 2, 3, phase=7.0))),
    # moving numbers
    "transpose": Expression(lambda xp, w, n: xp.sum(xp.transpose(w, (1, 0)) * n**2), (W, N)),
    "reshape": Expression(lambda xp, w, n: xp.sum(xp.reshape(w, (3, 2)) ** 2 * n), (W, N)),
    "slices": Expression(lambda xp, m: xp.sum(m[1:, :2] * m[:-1, 1:]), (M,)),
    "one entry": Expression(lambda xp, m: m[2, 1] * m[0, -1], (M,)),
    "repeated entries": Expression(lambda xp, x: xp.sum(x[np.array([0, 2, 0, 0])] ** 2), (X,)),
    "concatenate": Expression(lambda xp, x, y: xp.sum(xp.concatenate([x, y[:2], x]) ** 3), (X, Y)),
    "stack": Expression(lambda xp, x, y, s: xp.sum(xp.stack([x, y, x * y], axis=1) * s), (X, Y, SQUARE)),
    "Rosenbrock": Expression(lambda xp, x: xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), (waves(6),)),
    "Newton's square root": Expression(_newton, (POSITIVE,)),
}

EXPRESSIONS: dict[str, Expression] = {
    **_ELEMENTARY, **expressions_arrays.EXPRESSIONS, **expressions_algebra.EXPRESSIONS, **expressions_models.EXPRESSIONS,
}  # fmt: skip
assert len(EXPRESSIONS) == sum(
    map(len, (_ELEMENTARY, expressions_arrays.EXPRESSIONS, expressions_algebra.EXPRESSIONS, expressions_models.EXPRESSIONS))
), "two expressions have one name"

# Where the two libraries give different numbers: whom this project follows, and why.
FOLLOWED: dict[str, tuple[str, str]] = {
    "abs at 0": ("torch", "0 lies between the one-sided derivatives -1 and 1; JAX takes 1"),
    "clip at its bounds": ("jax", "a tie of an argument with a bound is shared, as in maximum and minimum; PyTorch passes all of it"),
    "hypot": ("torch", "JAX loses a part of the second derivatives"),
    "hypot of huge numbers": ("torch", "JAX loses a part of the derivative by the first argument"),
    "ldexp": ("jax", "PyTorch computes 2 ** -1 in integers, which is 0"),
    **dict.fromkeys(
        ("gamma", "gammaln", "digamma", "polygamma", "beta", "betaln", "gamma.logpdf"),
        ("jax", "PyTorch's trigamma is right to nine digits only"),
    ),
}

FIRST_ORDER_ONLY = {"hypot of huge numbers": "second derivatives of PyTorch overflow"}

# These are computed in float32 too.
NARROW = (
    "tanh", "sigmoid", "broadcast", "softmax", "layer norm", "matrix @ matrix", "network", "array of exponents", "maximum", "concatenate",
)  # fmt: skip

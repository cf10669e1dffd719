"""What the reference expressions are made of: arguments without randomness, and how a result becomes one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Expression(NamedTuple):
    """A function of an array library and of arrays, and the arrays to try it on."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


def of(function: Callable[..., Any], *args: Any) -> Expression:
    return Expression(function, args)


def waves(*shape: int, phase: float = 0.0) -> Any:
    """Numbers between -1 and 1 in no order. The square keeps matrices of them from having rank 2."""
    places = np.arange(int(np.prod(shape)))
    return np.sin(0.7 * places**2 + 2.3 * places + phase + 0.4).reshape(shape)


def weights(shape: tuple[int, ...]) -> Any:
    """What the entries of a result are multiplied by before they are summed, so that no two count the same."""
    return np.cos(np.arange(int(np.prod(shape, dtype=int))) * 1.7 + 0.3).reshape(shape)


def directions(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The vectors of the Hessian-vector products, one an argument."""
    return tuple(np.cos(np.arange(np.size(arg)) * 1.1 + 0.5 * place).reshape(np.shape(arg)) for place, arg in enumerate(args))


def scalar(xp: Any, y: Any) -> Any:
    """One number out of a result: the weighted sum of an array's entries, of real and of imaginary parts, of a tuple's members."""
    if isinstance(y, (tuple, list)):
        total = 0.0
        for place, member in enumerate(y):
            total = total + (1 + 0.5 * place) * scalar(xp, member)
        return total
    if xp.iscomplexobj(y):
        return scalar(xp, (xp.real(y), xp.imag(y)))
    if not y.shape:
        return y
    narrow = "float32" in str(y.dtype)
    return xp.sum(y * xp.asarray(weights(tuple(y.shape)).astype("float32" if narrow else "float64")))


def spd(n: int, phase: float = 0.0) -> Any:
    """A symmetric positive definite matrix with distinct eigenvalues."""
    a = waves(n, n, phase=phase)
    return a @ a.T + np.diag(1.0 + np.arange(n))


X, Y, Z, W = waves(3), waves(3, phase=1.0), waves(4, phase=2.5), waves(2, 3)
M, N, SQUARE = waves(4, 3, phase=2.0), waves(3, 2, phase=3.0), waves(3, 3, phase=4.0)
BATCH = waves(5, 2, 3, phase=5.0)
POSITIVE = 1.5 + X
LONG = waves(8, phase=6.0)
CUBE = waves(2, 3, 4, phase=7.0)
SPD = spd(3)
MATRICES = waves(2, 3, 3, phase=8.0) + 2 * np.eye(3)

"""Special functions by name, public as `cg.special`: stable composites, and log-densities that SciPy does not dispatch.

The ufuncs of `scipy.special` take nodes themselves: `scipy.special.erf(x)` needs nothing from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from compgraph.errors import InputError
from compgraph.functions.activations import sigmoid, softplus, stop_gradient
from compgraph.functions.parameters import static_axes
from compgraph.graph import bind
from compgraph.operands import as_operand
from compgraph.origins import here
from compgraph.primitives.kinds import is_node

__all__ = [
    "beta_logpdf", "entr", "expit", "gamma_logpdf", "kl_div", "log_expit", "log_softmax", "logit", "logsumexp", "norm_logpdf",
    "polygamma", "rel_entr", "softmax", "t_logpdf", "xlog1py", "xlogy",
]  # fmt: skip


def _array(x: Any) -> Any:
    """A node, or an array of floats."""
    if is_node(x):
        return x
    array = np.asarray(as_operand(x))
    return (array if array.dtype.kind in "fc" else array.astype(np.float64))[()]


# --------------------------------------------------------------------------------- sums of exponentials


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False) -> Any:
    """ln sum b e^a over `axis`, without overflow; its derivative is the softmax.

    >>> logsumexp(np.array([1000.0, 1000.0]))
    np.float64(1000.6931471805599)

    `b` has weights, of any sign, that broadcast with `a`; a negative sum gives NaN, as in SciPy. Raises `ShapeError` over
    no entries.
    """
    a = _array(a)
    if b is None:
        return bind("logsumexp", a, axis=static_axes(axis), keepdims=bool(keepdims))
    weights = _array(b)
    a = a + 0 * weights  # both in the shape of the two
    used = np.where(weights == 0, -np.inf, a)  # an exponent of weight 0 must not set the scale
    top = stop_gradient(np.max(used, axis=axis, keepdims=True))
    top = np.where(np.isfinite(top), top, 0)
    total = np.sum(weights * np.exp(np.where(weights == 0, top, a) - top), axis=axis, keepdims=True)
    y = np.log(total) + top
    return y if keepdims else np.squeeze(y, axis=axis)


def softmax(x: Any, axis: Any = None) -> Any:
    """e^x / sum e^x over `axis`, without overflow.

    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    x = _array(x)
    powers = np.exp(x - stop_gradient(np.max(x, axis=static_axes(axis), keepdims=True)))
    return powers / np.sum(powers, axis=static_axes(axis), keepdims=True)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """ln softmax(x) over `axis`, also where the softmax itself underflows.

    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    x = _array(x)
    return x - bind("logsumexp", x, axis=static_axes(axis), keepdims=True)


# ---------------------------------------------------------------------------- sigmoids, entropies, gamma


def expit(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    return sigmoid(x)


def log_expit(x: Any) -> Any:
    """ln(1 / (1 + e^-x)), precise in both tails."""
    return -softplus(-x)


def logit(p: Any) -> Any:
    """ln(p / (1 - p)), the inverse of `expit`."""
    return bind("logit", p)


def xlogy(x: Any, y: Any) -> Any:
    """x ln y, and 0 at x = 0. The derivative by x is ln y, which is -inf at y = 0; that by y is x / y, and 0 at (0, 0)."""
    return bind("xlogy", x, y)


def xlog1py(x: Any, y: Any) -> Any:
    """x ln(1 + y), and 0 at x = 0."""
    return bind("xlog1py", x, y)


def entr(x: Any) -> Any:
    """-x ln x, 0 at 0 and -inf below; the derivative -1 - ln x is +inf at 0.

    >>> entr(np.array([0.0, 0.5, -1.0]))
    array([0.        , 0.34657359,       -inf])
    """
    negative = np.less(x, 0)
    inside = np.where(negative, 1.0, x)
    return np.where(negative, -np.inf, 0.0 - xlogy(inside, inside))


def rel_entr(x: Any, y: Any) -> Any:
    """x ln(x / y), 0 for x = 0, and infinite where either is negative or only y is 0."""
    return bind("rel_entr", x, y)


def kl_div(x: Any, y: Any) -> Any:
    """x ln(x / y) - x + y."""
    return rel_entr(x, y) - x + y


def polygamma(n: Any, x: Any) -> Any:
    """The derivative of order `n` of the digamma function; `n` is a whole number, by which there is no derivative. Needs SciPy."""
    if not isinstance(n, (int, np.integer)) or n < 0:
        raise InputError(f"polygamma is of a whole order of at least 0, not {n!r:.40}{here()}")
    return bind("psi", x) if n == 0 else bind("polygamma", int(n), x)


# ----------------------------------------------------------------------------------------- log-densities


def _of(name: str, *xs: Any) -> Any:
    """The primitive, which of Python numbers is a Python number again, weak beside float32."""
    y = bind(name, *map(_array, xs))
    return float(y) if all(type(x) in (int, float) for x in xs) else y


def norm_logpdf(x: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The log-density of the normal distribution, as `scipy.stats.norm.logpdf`.

    >>> norm_logpdf(np.float64(0.0))
    np.float64(-0.9189385332046727)
    """
    z = (_array(x) - loc) / scale
    return -z * z / 2 - _of("log", scale) - 0.5 * math.log(2 * math.pi)


def t_logpdf(x: Any, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The log-density of Student's t distribution with `df` degrees of freedom. Needs SciPy."""
    z = (_array(x) - loc) / scale
    half = (df + 1) / 2
    constant = _of("gammaln", half) - _of("gammaln", df / 2) - 0.5 * _of("log", df * math.pi) - _of("log", scale)
    return constant - half * np.log1p(z * z / df)


def gamma_logpdf(x: Any, a: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The log-density of the gamma distribution of shape `a`, and -inf where it has none. Needs SciPy."""
    z = (_array(x) - loc) / scale
    outside = np.less(z, 0)
    z = np.where(outside, 1.0, z)
    return np.where(outside, -np.inf, xlogy(a - 1, z) - z - _of("gammaln", a) - _of("log", scale))


def beta_logpdf(x: Any, a: Any, b: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    """The log-density of the beta distribution, and -inf outside of [0, 1]. Needs SciPy."""
    z = (_array(x) - loc) / scale
    outside = np.logical_or(np.less(z, 0), np.greater(z, 1))
    z = np.where(outside, 0.5, z)
    return np.where(outside, -np.inf, xlogy(a - 1, z) + xlog1py(b - 1, -z) - _of("betaln", a, b) - _of("log", scale))


# The ufuncs of scipy.special that are not the primitive of their name.
SCIPY: dict[str, Callable[..., Any]] = {
    "expit": expit, "log_expit": log_expit, "entr": entr, "kl_div": kl_div, "exp10": lambda x: np.power(10.0, x),
}  # fmt: skip

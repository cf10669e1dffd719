"""Special functions: those made of NumPy alone first, then those of SciPy, which is imported when one of them computes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.graph import Aval, bind
from compgraph.primitives import costs
from compgraph.primitives.kinds import (
    elementwise,
    general,
    normalized_axes,
    restore_axes,
    result_dtype,
    shape_of,
    shifted_axes,
    single_ndim,
)

# ------------------------------------------------------------------------------- ln of a sum of e^x


def logsumexp(x, axis, keepdims):  # type: ignore[no-untyped-def]
    # The largest exponent becomes 0, so that no term overflows and one term is 1.
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # ln 0 = -inf where every x is -inf
        return np.log(np.sum(np.exp(x - top), axis=axis, keepdims=keepdims)) + np.reshape(top, np.shape(np.max(x, axis, keepdims=keepdims)))


def _infer_logsumexp(x: Any, *, axis: Any, keepdims: bool) -> Aval:
    axes = normalized_axes(axis, len(shape_of(x)))
    if any(x.shape[index] == 0 for index in axes):
        raise ShapeError(f"no largest of no numbers: shape {x.shape}, axis {axis}")
    return tuple(1 if index in axes else size for index, size in enumerate(x.shape) if keepdims or index not in axes), result_dtype(x)


def _tangent_of_logsumexp(y: Any, x_dots: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    """The softmax of x times its tangent; where y is infinite, the weights are those of finite numbers."""
    total = restore_axes(y, x, axis, keepdims)
    weights = np.exp(x - np.where(np.isfinite(total), total, 0))
    return np.sum(weights * x_dots[0], axis=axis, keepdims=keepdims)


general(
    "logsumexp", code="logsumexp({0}, {axis}, {keepdims})", helper=logsumexp, infer=_infer_logsumexp, tangent=_tangent_of_logsumexp,
    batch=lambda flags, x, *, axis, keepdims: bind("logsumexp", x, axis=shifted_axes(axis, single_ndim(x, True)), keepdims=keepdims),
    sympy=lambda sp, *xs: sp.log(sp.Add(*map(sp.exp, xs))), latex=r"\ln \textstyle\sum e^{{{0}}}", cost=costs.logsumexp,
)  # fmt: skip


# ------------------------------------------------------------------- logarithms with their limits at 0


def xlogy(x, y):  # type: ignore[no-untyped-def]
    # 0 ln y is 0, also at y = 0. Python numbers stay weak beside float32.
    none = (x == 0) & ~np.isnan(y)
    return np.where(none, 0, x * np.log(np.where(none, 1, y))).astype(np.result_type(x, y, 0.0))[()]


def xlog1py(x, y):  # type: ignore[no-untyped-def]
    none = (x == 0) & ~np.isnan(y)
    return np.where(none, 0, x * np.log1p(np.where(none, 0, y))).astype(np.result_type(x, y, 0.0))[()]


def rel_entr(x, y):  # type: ignore[no-untyped-def]
    # x ln(x / y), with its limit 0 at x = 0, and infinite where it has no meaning.
    good = (x > 0) & (y > 0)
    near = good & (x < 2 * y) & (y < 2 * x)  # where x - y is exact, and a difference of logarithms would cancel
    close = np.log1p(np.where(near, x - y, 0) / np.where(near, y, 1))
    value = x * np.where(near, close, np.log(np.where(good, x, 1)) - np.log(np.where(good, y, 1)))
    value = np.where(good | ((x == 0) & (y >= 0)), value, np.inf)
    return np.where(np.isnan(x) | np.isnan(y), np.nan, value).astype(np.result_type(x, y, 0.0))[()]


def logit(x):  # type: ignore[no-untyped-def]
    # ln(x / (1 - x)): the difference of logarithms cancels around 1/2, where artanh does not.
    near = np.abs(x - 0.5) < 0.25
    return np.where(near, 2 * np.arctanh(np.where(near, 2 * x - 1, 0)), np.log(x) - np.log1p(-x))[()]


def _over(x: Any, y: Any) -> Any:
    """x / y, with 0 / 0 = 0."""
    return x / np.where(np.logical_and(x == 0, y == 0), 1, y)


elementwise(
    "xlogy", arity=2, code="xlogy({0}, {1})", helper=xlogy, analytic=False,
    partials=(lambda y, x1, x2: np.log(x2), lambda y, x1, x2: _over(x1, x2)),
    kink=lambda x1, x2: x2 == 0, latex=r"{0} \ln {1}",
    sympy=lambda sp, x1, x2: sp.Piecewise((0, sp.Eq(x1, 0) & sp.Eq(x2, 0)), (x1 * sp.log(x2), True)),
)  # fmt: skip
elementwise(
    "xlog1py", arity=2, code="xlog1py({0}, {1})", helper=xlog1py, analytic=False,
    partials=(lambda y, x1, x2: np.log1p(x2), lambda y, x1, x2: _over(x1, 1 + x2)),
    kink=lambda x1, x2: x2 == -1, latex=r"{0} \ln(1 + {1})",
    sympy=lambda sp, x1, x2: sp.Piecewise((0, sp.Eq(x1, 0) & sp.Eq(x2, -1)), (x1 * sp.log(1 + x2), True)),
)  # fmt: skip
elementwise(
    "rel_entr", arity=2, code="rel_entr({0}, {1})", helper=rel_entr, analytic=False,
    partials=(lambda y, x1, x2: np.log(x1) - np.log(x2) + 1, lambda y, x1, x2: -_over(x1, x2)),
    kink=lambda x1, x2: (x1 == 0) | (x2 == 0), latex=r"{0} \ln\frac{{{0}}}{{{1}}}",
    sympy=lambda sp, x1, x2: sp.Piecewise((0, sp.Eq(x1, 0)), (x1 * sp.log(x1 / x2), True)),
)  # fmt: skip
elementwise(
    "logit", code="logit({0})", helper=logit, partials=(lambda y, x: 1 / (x * (1 - x)),), analytic=False,
    sympy=lambda sp, x: sp.log(x / (1 - x)), latex=r"\mathrm{{logit}}({0})",
)  # fmt: skip


# --------------------------------------------------------------------- spherical Bessel, and so sinc


def spherical_j(n, x):  # type: ignore[no-untyped-def]
    # j_n(x) for a whole number n: j_(n+1) = (2n+1)/x j_n - j_(n-1) where |x| is large, the power series where it is not.
    large = np.abs(x) > n + 1
    z = np.where(large, x, 1)
    before, far = np.cos(z) / z, np.sin(z) / z
    for order in range(n):
        before, far = far, (2 * order + 1) / z * far - before
    z = np.where(large, 0, x)
    near = term = z**n / float(np.prod(np.arange(1, 2 * n + 2, 2)))
    for k in range(1, 12 + 2 * n):
        term = term * (z * z) / (-2 * k * (2 * n + 2 * k + 1))
        near = near + term
    return np.where(large, far, near)[()]


def _spherical_j(n: int, x: Any) -> Any:
    return bind("spherical_j", n, x)


elementwise(
    # (2n+1) j_n' = n j_(n-1) - (n+1) j_(n+1): no division by x, so derivatives of sin(x)/x hold at 0 to every order.
    "spherical_j", arity=2, code="spherical_j({0}, {1})", helper=spherical_j, analytic=False,
    partials=(None, lambda y, n, x: ((n * _spherical_j(n - 1, x) if n else 0) - (n + 1) * _spherical_j(n + 1, x)) / (2 * n + 1)),
    sympy=lambda sp, n, x: sp.sqrt(sp.pi / (2 * x)) * sp.besselj(n + sp.Rational(1, 2), x), label="j", latex="j_{{{0}}}({1})",
)  # fmt: skip


# ---------------------------------------------------------------------------------------------- SciPy


def scipy(name: str, *partials: Any, sympy: Any, latex: str = "", kink: Any = None) -> None:
    """An entry for the function of that name in `scipy.special`; a partial None is for a parameter that has to be constant."""
    places = ", ".join(f"{{{place}}}" for place in range(len(partials)))
    elementwise(
        name, arity=len(partials), code=f"special.{name}({places})", module="scipy.special", partials=partials, analytic=False,
        kink=kink, sympy=sympy, latex=latex or rf"\mathrm{{{{{name.replace('_', ' ')}}}}}({places})",
    )  # fmt: skip


_SQRT_PI, _SQRT_2 = math.sqrt(math.pi), math.sqrt(2)
_PER_SQRT_TAU = 1 / math.sqrt(2 * math.pi)


def _digamma(x: Any) -> Any:
    return bind("psi", x)


# The error function and the normal distribution.
scipy("erf", lambda y, x: 2 / _SQRT_PI * np.exp(-x * x), sympy=lambda sp, x: sp.erf(x))
scipy("erfc", lambda y, x: -2 / _SQRT_PI * np.exp(-x * x), sympy=lambda sp, x: sp.erfc(x))
scipy("erfcx", lambda y, x: 2 * x * y - 2 / _SQRT_PI, sympy=lambda sp, x: sp.exp(x**2) * sp.erfc(x))
scipy("erfinv", lambda y, x: _SQRT_PI / 2 * np.exp(y * y), sympy=lambda sp, x: sp.erfinv(x), latex=r"\mathrm{{erf}}^{{-1}}({0})")
scipy(
    "ndtr", lambda y, x: _PER_SQRT_TAU * np.exp(-x * x / 2), sympy=lambda sp, x: sp.erfc(-x / sp.sqrt(2)) / 2, latex=r"\Phi({0})"
)
scipy(  # phi/Phi through erfcx, since both vanish in the left tail while their ratio grows
    "log_ndtr", lambda y, x: 2 * _PER_SQRT_TAU / bind("erfcx", -x / _SQRT_2),
    sympy=lambda sp, x: sp.log(sp.erfc(-x / sp.sqrt(2)) / 2), latex=r"\ln \Phi({0})",
)  # fmt: skip
scipy(
    "ndtri", lambda y, x: np.exp(y * y / 2) / _PER_SQRT_TAU, sympy=lambda sp, x: sp.sqrt(2) * sp.erfinv(2 * x - 1),
    latex=r"\Phi^{{-1}}({0})",
)  # fmt: skip

# The gamma function and its relatives.
scipy("gamma", lambda y, x: y * _digamma(x), sympy=lambda sp, x: sp.gamma(x), latex=r"\Gamma({0})")
scipy("gammaln", lambda y, x: _digamma(x), sympy=lambda sp, x: sp.loggamma(x), latex=r"\ln \Gamma({0})")
scipy("psi", lambda y, x: bind("polygamma", 1, x), sympy=lambda sp, x: sp.digamma(x), latex=r"\psi({0})")
scipy(
    "polygamma", None, lambda y, n, x: bind("polygamma", n + 1, x), sympy=lambda sp, n, x: sp.polygamma(n, x),
    latex=r"\psi^{{({0})}}({1})",
)  # fmt: skip
scipy(
    "beta", lambda y, x1, x2: y * (_digamma(x1) - _digamma(x1 + x2)), lambda y, x1, x2: y * (_digamma(x2) - _digamma(x1 + x2)),
    sympy=lambda sp, x1, x2: sp.gamma(x1) * sp.gamma(x2) / sp.gamma(x1 + x2), latex=r"\mathrm{{B}}({0}, {1})",
)  # fmt: skip
scipy(
    "betaln", lambda y, x1, x2: _digamma(x1) - _digamma(x1 + x2), lambda y, x1, x2: _digamma(x2) - _digamma(x1 + x2),
    sympy=lambda sp, x1, x2: sp.loggamma(x1) + sp.loggamma(x2) - sp.loggamma(x1 + x2), latex=r"\ln \mathrm{{B}}({0}, {1})",
)  # fmt: skip


# Bessel functions. 2 J_n' = J_(n-1) - J_(n+1) and 2 I_n' = I_(n-1) + I_(n+1) have no division by x, so they hold at 0.
# The scaled ones are e^-|x| I_n: where |x| has its kink, so have they, and the derivative there is between the two sides.
scipy("j0", lambda y, x: -bind("j1", x), sympy=lambda sp, x: sp.besselj(0, x), latex="J_0({0})")
scipy("j1", lambda y, x: (bind("j0", x) - bind("jv", 2, x)) / 2, sympy=lambda sp, x: sp.besselj(1, x), latex="J_1({0})")
scipy(
    "jv", None, lambda y, n, x: (bind("jv", n - 1, x) - bind("jv", n + 1, x)) / 2,
    sympy=lambda sp, n, x: sp.besselj(n, x), latex="J_{{{0}}}({1})",
)  # fmt: skip
scipy("i0", lambda y, x: bind("i1", x), sympy=lambda sp, x: sp.besseli(0, x), latex="I_0({0})")
scipy("i1", lambda y, x: (bind("i0", x) + bind("iv", 2, x)) / 2, sympy=lambda sp, x: sp.besseli(1, x), latex="I_1({0})")
scipy(
    "iv", None, lambda y, n, x: (bind("iv", n - 1, x) + bind("iv", n + 1, x)) / 2,
    sympy=lambda sp, n, x: sp.besseli(n, x), latex="I_{{{0}}}({1})",
)  # fmt: skip
scipy(
    "i0e", lambda y, x: bind("i1e", x) - np.sign(x) * y, sympy=lambda sp, x: sp.exp(-sp.Abs(x)) * sp.besseli(0, x),
    latex="e^{{-|{0}|}} I_0({0})", kink=lambda x: x == 0,
)  # fmt: skip
scipy(
    "i1e", lambda y, x: (bind("i0e", x) + bind("ive", 2, x)) / 2 - np.sign(x) * y,
    sympy=lambda sp, x: sp.exp(-sp.Abs(x)) * sp.besseli(1, x), latex="e^{{-|{0}|}} I_1({0})",
)  # fmt: skip
scipy(
    "ive", None, lambda y, n, x: (bind("ive", n - 1, x) + bind("ive", n + 1, x)) / 2 - np.sign(x) * y,
    sympy=lambda sp, n, x: sp.exp(-sp.Abs(x)) * sp.besseli(n, x), kink=lambda n, x: (n == 0) & (x == 0),
    latex="e^{{-|{1}|}} I_{{{0}}}({1})",
)  # fmt: skip

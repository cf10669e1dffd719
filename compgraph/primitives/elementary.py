"""Functions of one number and of two: exponentials, logarithms, trigonometry, and the activations made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compgraph.graph import bind
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import elementwise, nondifferentiable

exp = elementwise("exp", code="xp.exp({0})", partials=(lambda y, x: y,), latex="e^{{{0}}}")
log = elementwise("log", code="xp.log({0})", partials=(lambda y, x: 1 / x,), label="ln", latex=r"\ln {0}")
log1p = elementwise(
    "log1p", code="xp.log1p({0})", partials=(lambda y, x: 1 / (1 + x),),
    sympy=lambda sp, x: sp.log(1 + x), latex=r"\ln(1 + {0})",
)  # fmt: skip
expm1 = elementwise(
    "expm1", code="xp.expm1({0})", partials=(lambda y, x: y + 1,),
    sympy=lambda sp, x: sp.exp(x) - 1, latex="e^{{{0}}} - 1",
)  # fmt: skip
sqrt = elementwise(
    "sqrt", code="xp.sqrt({0})", partials=(lambda y, x: 0.5 / y,), kink=lambda x: x == 0, latex=r"\sqrt{{{0}}}"
)

sin = elementwise("sin", code="xp.sin({0})", partials=(lambda y, x: np.cos(x),), latex=r"\sin {0}")
cos = elementwise("cos", code="xp.cos({0})", partials=(lambda y, x: -np.sin(x),), latex=r"\cos {0}")
tan = elementwise("tan", code="xp.tan({0})", partials=(lambda y, x: 1 + y * y,), latex=r"\tan {0}")
arcsin = elementwise(
    "arcsin", code="xp.arcsin({0})", partials=(lambda y, x: 1 / np.sqrt(1 - x * x),),
    kink=lambda x: abs(x) == 1, sympy=lambda sp, x: sp.asin(x), latex=r"\arcsin {0}",
)  # fmt: skip
arccos = elementwise(
    "arccos", code="xp.arccos({0})", partials=(lambda y, x: -1 / np.sqrt(1 - x * x),),
    kink=lambda x: abs(x) == 1, sympy=lambda sp, x: sp.acos(x), latex=r"\arccos {0}",
)  # fmt: skip
arctan = elementwise(
    "arctan", code="xp.arctan({0})", partials=(lambda y, x: 1 / (1 + x * x),),
    sympy=lambda sp, x: sp.atan(x), latex=r"\arctan {0}",
)  # fmt: skip
sinh = elementwise("sinh", code="xp.sinh({0})", partials=(lambda y, x: np.cosh(x),), latex=r"\sinh {0}")
cosh = elementwise("cosh", code="xp.cosh({0})", partials=(lambda y, x: np.sinh(x),), latex=r"\cosh {0}")
tanh = elementwise("tanh", code="xp.tanh({0})", partials=(lambda y, x: 1 - y * y,), latex=r"\tanh {0}")


# Logarithms and powers of other bases. ln 2 and the like are Python numbers, which stay weak beside float32.

_LN2, _LN10 = math.log(2), math.log(10)
exp2 = elementwise("exp2", code="xp.exp2({0})", partials=(lambda y, x: _LN2 * y,), sympy=lambda sp, x: 2**x, latex="2^{{{0}}}")
log2 = elementwise(
    "log2", code="xp.log2({0})", partials=(lambda y, x: 1 / (_LN2 * x),), sympy=lambda sp, x: sp.log(x) / sp.log(2), latex=r"\log_2 {0}"
)
log10 = elementwise(
    "log10", code="xp.log10({0})", partials=(lambda y, x: 1 / (_LN10 * x),),
    sympy=lambda sp, x: sp.log(x) / sp.log(10), latex=r"\log_{{10}} {0}",
)  # fmt: skip
cbrt = elementwise(
    "cbrt", code="xp.cbrt({0})", partials=(lambda y, x: 1 / (3 * y * y),), analytic=False,
    kink=lambda x: x == 0, sympy=lambda sp, x: sp.sign(x) * sp.cbrt(sp.Abs(x)), latex=r"\sqrt[3]{{{0}}}",
)  # fmt: skip

arcsinh = elementwise(
    "arcsinh", code="xp.arcsinh({0})", partials=(lambda y, x: 1 / np.sqrt(1 + x * x),),
    sympy=lambda sp, x: sp.asinh(x), latex=r"\mathrm{{arsinh}}\, {0}",
)  # fmt: skip
arccosh = elementwise(
    "arccosh", code="xp.arccosh({0})", partials=(lambda y, x: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1)),),
    kink=lambda x: x == 1, sympy=lambda sp, x: sp.acosh(x), latex=r"\mathrm{{arcosh}}\, {0}",
)  # fmt: skip
arctanh = elementwise(
    "arctanh", code="xp.arctanh({0})", partials=(lambda y, x: 1 / ((1 - x) * (1 + x)),),
    sympy=lambda sp, x: sp.atanh(x), latex=r"\mathrm{{artanh}}\, {0}",
)  # fmt: skip

_RADIAN = math.pi / 180
deg2rad = elementwise(
    "deg2rad", code="xp.deg2rad({0})", partials=(lambda y, x: _RADIAN,), analytic=False, sympy=lambda sp, x: x * sp.pi / 180,
    latex=r"\frac{{\pi}}{{180}} {0}", cost="multiplications",
)  # fmt: skip
rad2deg = elementwise(
    "rad2deg", code="xp.rad2deg({0})", partials=(lambda y, x: 1 / _RADIAN,), analytic=False, sympy=lambda sp, x: x * 180 / sp.pi,
    latex=r"\frac{{180}}{{\pi}} {0}", cost="multiplications",
)  # fmt: skip


# Functions of two numbers.


def _ratio(x: Any, radius: Any) -> Any:
    """x / radius, and 0 at radius 0: of the subgradients of a norm at 0, the smallest."""
    origin = radius == 0
    return np.where(origin, 0, x / np.where(origin, 1, radius))


def _along(x: Any, x1: Any, x2: Any) -> Any:
    """x / (x1**2 + x2**2), in two divisions that neither overflow nor underflow; NaN at the origin, where the angle has none."""
    radius = np.hypot(x1, x2)
    return x / radius / radius


hypot = elementwise(
    "hypot", arity=2, code="xp.hypot({0}, {1})", analytic=False,
    partials=(lambda y, x1, x2: _ratio(x1, y), lambda y, x1, x2: _ratio(x2, y)),
    kink=lambda x1, x2: (x1 == 0) & (x2 == 0), sympy=lambda sp, x1, x2: sp.sqrt(x1**2 + x2**2), latex=r"\sqrt{{{0}^2 + {1}^2}}",
)  # fmt: skip
arctan2 = elementwise(
    "arctan2", arity=2, code="xp.arctan2({0}, {1})", analytic=False,
    partials=(lambda y, x1, x2: _along(x2, x1, x2), lambda y, x1, x2: -_along(x1, x1, x2)),
    kink=lambda x1, x2: (x1 == 0) & (x2 <= 0), sympy=lambda sp, x1, x2: sp.atan2(x1, x2), latex=r"\mathrm{{atan2}}({0}, {1})",
)  # fmt: skip


def _excess(y: Any, x1: Any, x2: Any) -> Any:
    """x1 - x2, and 0 for equal infinities; a finite tie keeps its derivative, which the second order needs."""
    same = np.logical_and(x1 == x2, np.isinf(x1))
    return cast(np.where(same, 0, x1) - np.where(same, 0, x2), y.dtype)


# The derivative is a sigmoid of the difference: precise in both tails, and no infinity minus infinity.
logaddexp = elementwise(
    "logaddexp", arity=2, code="xp.logaddexp({0}, {1})", analytic=False,
    partials=(lambda y, x1, x2: bind("sigmoid", _excess(y, x1, x2)), lambda y, x1, x2: bind("sigmoid", _excess(y, x2, x1))),
    sympy=lambda sp, x1, x2: sp.log(sp.exp(x1) + sp.exp(x2)), latex=r"\ln(e^{{{0}}} + e^{{{1}}})",
)  # fmt: skip
logaddexp2 = elementwise(
    "logaddexp2", arity=2, code="xp.logaddexp2({0}, {1})", analytic=False,
    partials=(lambda y, x1, x2: bind("sigmoid", _LN2 * _excess(y, x1, x2)), lambda y, x1, x2: bind("sigmoid", _LN2 * _excess(y, x2, x1))),
    sympy=lambda sp, x1, x2: sp.log(2**x1 + 2**x2) / sp.log(2), latex=r"\log_2(2^{{{0}}} + 2^{{{1}}})",
)  # fmt: skip
copysign = elementwise(
    # |x1| with the sign of x2, which is a step: no derivative by x2, and by x1 that of |x1|, 0 at 0.
    "copysign", arity=2, code="xp.copysign({0}, {1})", analytic=False,
    partials=(lambda y, x1, x2: np.sign(x1) * np.copysign(1.0, x2), None),
    kink=lambda x1, x2: (x1 == 0) | (x2 == 0), sympy=lambda sp, x1, x2: sp.Abs(x1) * sp.sign(x2),
    latex=r"|{0}| \,\mathrm{{sign}}({1})", cost="comparisons",
)  # fmt: skip



# The activations below are no NumPy functions. Programs print the helper and call it by name.


def sigmoid(x):  # type: ignore[no-untyped-def]
    # Both exponents are at most 0: neither tail overflows, and both keep their full relative precision.
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def softplus(x):  # type: ignore[no-untyped-def]
    # ln(1 + e^x) without the overflow of e^x.
    return np.logaddexp(x, 0)


def relu(x):  # type: ignore[no-untyped-def]
    return np.maximum(x, 0)


elementwise(
    "sigmoid", code="sigmoid({0})", helper=sigmoid, partials=(lambda y, x: y * (1 - y),), analytic=False,
    sympy=lambda sp, x: 1 / (1 + sp.exp(-x)), latex=r"\sigma({0})",
)  # fmt: skip
elementwise(
    "softplus", code="softplus({0})", helper=softplus, partials=(lambda y, x: bind("sigmoid", x),), analytic=False,
    sympy=lambda sp, x: sp.log(1 + sp.exp(x)), latex=r"\ln(1 + e^{{{0}}})",
)  # fmt: skip


# At a kink the derivative is one value of the subdifferential, the same in both modes:
# relu'(0) = 0 as in PyTorch and JAX, |x|'(0) = 0 as in PyTorch; maximum and minimum split a tie evenly, as in both.

elementwise(
    "relu", code="relu({0})", helper=relu, partials=(lambda y, x: x > 0,), analytic=False,
    kink=lambda x: x == 0, sympy=lambda sp, x: sp.Max(x, 0), latex=r"\max({0}, 0)", cost="comparisons",
)  # fmt: skip
elementwise(
    "abs", code="abs({0})", partials=(lambda y, x: np.sign(x),), analytic=False, takes_complex="magnitude",
    kink=lambda x: x == 0, sympy=lambda sp, x: sp.Abs(x), label="|x|", latex="|{0}|", cost="comparisons",
)  # fmt: skip
sign = nondifferentiable(
    "sign", code="xp.sign({0})", takes_complex=False, kink=lambda x: x == 0,
    sympy=lambda sp, x: sp.sign(x), latex=r"\mathrm{{sign}}({0})",
)  # fmt: skip


def _share(wins: Any, ties: Any) -> Any:
    """1 where an argument wins, 1/2 where it ties, 0 where it loses."""
    return np.where(ties, 0.5, wins)


maximum = elementwise(
    "maximum", arity=2, code="xp.maximum({0}, {1})", analytic=False, selects=True,
    partials=(lambda y, x1, x2: _share(x1 > x2, x1 == x2), lambda y, x1, x2: _share(x2 > x1, x1 == x2)),
    kink=lambda x1, x2: x1 == x2, sympy=lambda sp, x1, x2: sp.Max(x1, x2), label="max", latex=r"\max({0}, {1})", cost="comparisons",
)  # fmt: skip
minimum = elementwise(
    "minimum", arity=2, code="xp.minimum({0}, {1})", analytic=False, selects=True,
    partials=(lambda y, x1, x2: _share(x1 < x2, x1 == x2), lambda y, x1, x2: _share(x2 < x1, x1 == x2)),
    kink=lambda x1, x2: x1 == x2, sympy=lambda sp, x1, x2: sp.Min(x1, x2), label="min", latex=r"\min({0}, {1})", cost="comparisons",
)  # fmt: skip


def _wins(x1: Any, beats: Any, x2: Any) -> Any:
    """The share of `x1` in fmax or fmin, which take a number before a NaN."""
    return _share(np.logical_or(beats, np.isnan(x2)), x1 == x2)


fmax = elementwise(
    "fmax", arity=2, code="xp.fmax({0}, {1})", analytic=False, selects=True,
    partials=(lambda y, x1, x2: _wins(x1, x1 > x2, x2), lambda y, x1, x2: _wins(x2, x2 > x1, x1)),
    kink=lambda x1, x2: x1 == x2, sympy=lambda sp, x1, x2: sp.Max(x1, x2), label="fmax", latex=r"\max({0}, {1})", cost="comparisons",
)  # fmt: skip
fmin = elementwise(
    "fmin", arity=2, code="xp.fmin({0}, {1})", analytic=False, selects=True,
    partials=(lambda y, x1, x2: _wins(x1, x1 < x2, x2), lambda y, x1, x2: _wins(x2, x2 < x1, x1)),
    kink=lambda x1, x2: x1 == x2, sympy=lambda sp, x1, x2: sp.Min(x1, x2), label="fmin", latex=r"\min({0}, {1})", cost="comparisons",
)  # fmt: skip

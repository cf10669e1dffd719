"""Functions of one number: exponentials, logarithms, trigonometry, and the activations made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.graph import bind
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
sqrt = elementwise("sqrt", code="xp.sqrt({0})", partials=(lambda y, x: 0.5 / y,), latex=r"\sqrt{{{0}}}")

sin = elementwise("sin", code="xp.sin({0})", partials=(lambda y, x: np.cos(x),), latex=r"\sin {0}")
cos = elementwise("cos", code="xp.cos({0})", partials=(lambda y, x: -np.sin(x),), latex=r"\cos {0}")
tan = elementwise("tan", code="xp.tan({0})", partials=(lambda y, x: 1 + y * y,), latex=r"\tan {0}")
arcsin = elementwise(
    "arcsin", code="xp.arcsin({0})", partials=(lambda y, x: 1 / np.sqrt(1 - x * x),),
    sympy=lambda sp, x: sp.asin(x), latex=r"\arcsin {0}",
)  # fmt: skip
arccos = elementwise(
    "arccos", code="xp.arccos({0})", partials=(lambda y, x: -1 / np.sqrt(1 - x * x),),
    sympy=lambda sp, x: sp.acos(x), latex=r"\arccos {0}",
)  # fmt: skip
arctan = elementwise(
    "arctan", code="xp.arctan({0})", partials=(lambda y, x: 1 / (1 + x * x),),
    sympy=lambda sp, x: sp.atan(x), latex=r"\arctan {0}",
)  # fmt: skip
sinh = elementwise("sinh", code="xp.sinh({0})", partials=(lambda y, x: np.cosh(x),), latex=r"\sinh {0}")
cosh = elementwise("cosh", code="xp.cosh({0})", partials=(lambda y, x: np.sinh(x),), latex=r"\cosh {0}")
tanh = elementwise("tanh", code="xp.tanh({0})", partials=(lambda y, x: 1 - y * y,), latex=r"\tanh {0}")


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
    sympy=lambda sp, x: sp.Max(x, 0), latex=r"\max({0}, 0)", cost="comparisons",
)  # fmt: skip
elementwise(
    "abs", code="abs({0})", partials=(lambda y, x: np.sign(x),), analytic=False,
    sympy=lambda sp, x: sp.Abs(x), label="|x|", latex="|{0}|", cost="comparisons",
)  # fmt: skip
sign = nondifferentiable("sign", code="xp.sign({0})", sympy=lambda sp, x: sp.sign(x), latex=r"\mathrm{{sign}}({0})")


def _share(wins: Any, ties: Any) -> Any:
    """1 where an argument wins, 1/2 where it ties, 0 where it loses."""
    return np.where(ties, 0.5, wins)


maximum = elementwise(
    "maximum", arity=2, code="xp.maximum({0}, {1})", analytic=False,
    partials=(lambda y, x1, x2: _share(x1 > x2, x1 == x2), lambda y, x1, x2: _share(x2 > x1, x1 == x2)),
    sympy=lambda sp, x1, x2: sp.Max(x1, x2), label="max", latex=r"\max({0}, {1})", cost="comparisons",
)  # fmt: skip
minimum = elementwise(
    "minimum", arity=2, code="xp.minimum({0}, {1})", analytic=False,
    partials=(lambda y, x1, x2: _share(x1 < x2, x1 == x2), lambda y, x1, x2: _share(x2 < x1, x1 == x2)),
    sympy=lambda sp, x1, x2: sp.Min(x1, x2), label="min", latex=r"\min({0}, {1})", cost="comparisons",
)  # fmt: skip

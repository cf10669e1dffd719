"""Step functions of one or two numbers, and questions about a number: no derivative, or one that a step does not disturb."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from compgraph.primitives.kinds import elementwise, nondifferentiable


@cache
def _flat(sp: Any, name: str) -> Any:
    """SymPy's floor or trunc with a derivative of 0, where SymPy leaves `Derivative(floor(x), x)` standing."""

    def flat(x: Any) -> Any:
        return sp.floor(x) if name == "floor" else sp.sign(x) * sp.floor(sp.Abs(x))

    if not hasattr(sp, "Function"):  # numbers under SymPy's names
        return flat

    def evaluated(cls: Any, x: Any) -> Any:
        return flat(x) if x.is_number else None

    return type(name, (sp.Function,), {"eval": classmethod(evaluated), "fdiff": lambda self, argindex=1: sp.Integer(0)})


def _half_to_even(sp: Any, x: Any) -> Any:
    up = sp.floor(x + sp.Rational(1, 2))
    return sp.Piecewise((up - sp.Mod(up, 2), sp.Eq(up, x + sp.Rational(1, 2))), (up, True))


def _spacing(sp: Any, x: Any) -> Any:
    return sp.Integer(2) ** (sp.floor(sp.log(sp.Abs(x)) / sp.log(2)) - 52)  # of a float64


def _is_step(x: Any, quotient: Any) -> Any:
    """Where rounding towards zero jumps: at whole numbers but 0."""
    return (x != 0) & (quotient == np.trunc(quotient))


# ------------------------------------------------------------------------------------- flat, with jumps

floor = nondifferentiable(
    "floor", code="xp.floor({0})", kink=lambda x: x == np.floor(x), sympy=lambda sp, x: sp.floor(x), latex=r"\lfloor {0} \rfloor"
)
ceil = nondifferentiable(
    "ceil", code="xp.ceil({0})", kink=lambda x: x == np.floor(x), sympy=lambda sp, x: sp.ceiling(x), latex=r"\lceil {0} \rceil"
)
trunc = nondifferentiable(
    "trunc", code="xp.trunc({0})", kink=lambda x: _is_step(x, x), sympy=lambda sp, x: sp.sign(x) * sp.floor(sp.Abs(x)),
    latex=r"\mathrm{{trunc}}({0})",
)  # fmt: skip
rint = nondifferentiable(
    "rint", code="xp.rint({0})", kink=lambda x: x - np.floor(x) == 0.5, sympy=_half_to_even, label="round",
    latex=r"\mathrm{{round}}({0})",
)  # fmt: skip
floor_divide = nondifferentiable(
    "floor_divide", code="{0} // {1}", kink=lambda x1, x2: x1 % x2 == 0, sympy=lambda sp, x1, x2: sp.floor(x1 / x2), label="//",
    latex=r"\lfloor {0} / {1} \rfloor", cost="divisions",
)  # fmt: skip
heaviside = nondifferentiable(
    "heaviside", code="xp.heaviside({0}, {1})", kink=lambda x1, x2: (x1 == 0) & (x2 == x2),
    sympy=lambda sp, x1, x2: sp.Heaviside(x1, x2), latex="H({0})",
)  # fmt: skip

# ---------------------------------------------------------------------- what a step leaves of a number

# y = x1 - x2 n with a whole number n = floor(x1 / x2), or trunc(x1 / x2), which is constant between the jumps.
remainder = elementwise(
    "remainder", arity=2, code="{0} % {1}", analytic=False,
    partials=(lambda y, x1, x2: 1, lambda y, x1, x2: -np.floor_divide(x1, x2)),
    kink=lambda x1, x2: x1 % x2 == 0, label="%", latex=r"{0} \bmod {1}", cost="divisions",
    sympy=lambda sp, x1, x2: x1 - x2 * _flat(sp, "floor")(x1 / x2),
)  # fmt: skip
fmod = elementwise(
    "fmod", arity=2, code="xp.fmod({0}, {1})", analytic=False,
    partials=(lambda y, x1, x2: 1, lambda y, x1, x2: -np.rint((x1 - y) / x2)),
    kink=lambda x1, x2: _is_step(x1, x1 / x2), latex=r"\mathrm{{fmod}}({0}, {1})", cost="divisions",
    sympy=lambda sp, x1, x2: x1 - x2 * _flat(sp, "trunc")(x1 / x2),
)  # fmt: skip
fraction = elementwise(
    "fraction", code="xp.modf({0})[0]", partials=(lambda y, x: 1,), analytic=False,
    kink=lambda x: _is_step(x, x), sympy=lambda sp, x: x - _flat(sp, "trunc")(x), latex=r"\mathrm{{frac}}({0})", cost="additions",
)  # fmt: skip
# x = m 2**e with 1/2 <= |m| < 1: linear in x where e does not jump.
exponent = nondifferentiable(
    "exponent", code="xp.frexp({0})[1]", kink=lambda x: np.abs(np.frexp(x)[0]) == 0.5,
    sympy=lambda sp, x: sp.floor(sp.log(sp.Abs(x)) / sp.log(2)) + 1,
    latex=r"\mathrm{{exponent}}({0})",
)  # fmt: skip

# ---------------------------------------------------------------------------------------- neighbours

nextafter = nondifferentiable(
    "nextafter", code="xp.nextafter({0}, {1})", latex=r"\mathrm{{nextafter}}({0}, {1})",
    sympy=lambda sp, x1, x2: x1 + sp.sign(x2 - x1) * _spacing(sp, x1),
)  # fmt: skip
spacing = nondifferentiable("spacing", code="xp.spacing({0})", sympy=_spacing, latex=r"\mathrm{{ulp}}({0})")

# ----------------------------------------------------------------------------------------- questions

# SymPy's real numbers are finite.
isfinite = nondifferentiable("isfinite", code="xp.isfinite({0})", sympy=lambda sp, x: sp.true)
isnan = nondifferentiable("isnan", code="xp.isnan({0})", sympy=lambda sp, x: sp.false)
isinf = nondifferentiable("isinf", code="xp.isinf({0})", sympy=lambda sp, x: sp.false)
signbit = nondifferentiable("signbit", code="xp.signbit({0})", kink=lambda x: x == 0, sympy=lambda sp, x: sp.Lt(x, 0))
logical_xor = nondifferentiable("logical_xor", code="xp.logical_xor({0}, {1})", sympy=lambda sp, a, b: sp.Xor(a, b), label="xor")

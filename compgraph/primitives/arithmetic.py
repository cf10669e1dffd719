"""Addition, multiplication, division, powers, comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import DtypeError
from compgraph.graph import Aval, bind
from compgraph.origins import here
from compgraph.primitives import costs
from compgraph.primitives.kinds import elementwise, linear, nondifferentiable, shape_of

add = elementwise(
    "add", arity=2, code="{0} + {1}",
    partials=(lambda y, x1, x2: 1, lambda y, x1, x2: 1),
    sympy=lambda sp, x1, x2: x1 + x2, label="+", latex="{0} + {1}", cost="additions",
)  # fmt: skip
subtract = elementwise(
    "subtract", arity=2, code="{0} - {1}",
    partials=(lambda y, x1, x2: 1, lambda y, x1, x2: -1),
    sympy=lambda sp, x1, x2: x1 - x2, label="-", latex="{0} - {1}", cost="additions",
)  # fmt: skip
multiply = elementwise(
    "multiply", arity=2, code="{0} * {1}",
    partials=(lambda y, x1, x2: x2, lambda y, x1, x2: x1),
    sympy=lambda sp, x1, x2: x1 * x2, label="*", latex=r"{0} \cdot {1}", cost="multiplications",
)  # fmt: skip
divide = elementwise(
    "divide", arity=2, code="{0} / {1}",
    partials=(lambda y, x1, x2: 1 / x2, lambda y, x1, x2: -y / x2),
    sympy=lambda sp, x1, x2: x1 / x2, label="/", latex=r"\frac{{{0}}}{{{1}}}", cost="divisions",
)  # fmt: skip
negative = elementwise(
    "negative", code="-{0}", partials=(lambda y, x: -1,),
    sympy=lambda sp, x: -x, label="neg", latex="-{0}", cost="additions",
)  # fmt: skip
reciprocal = elementwise(
    "reciprocal", code="xp.reciprocal({0})", partials=(lambda y, x: -y * y,),
    sympy=lambda sp, x: 1 / x, label="1/x", latex=r"\frac{{1}}{{{0}}}", cost="divisions",
)  # fmt: skip
square = elementwise(
    "square", code="xp.square({0})", partials=(lambda y, x: 2 * x,),
    sympy=lambda sp, x: x**2, latex="{0}^2", cost="multiplications",
)  # fmt: skip


def _power_by_base(y: Any, x1: Any, x2: Any) -> Any:
    """x2 x1**(x2 - 1), written so that 0**0 gives 0 and not 0 * inf."""
    if isinstance(x2, (int, float)) and not isinstance(x2, np.generic):  # a Python number stays weak beside float32
        return 0 * x1 if x2 == 0 else x2 * x1 if x2 == 2 else x2 * x1 ** (x2 - 1)
    return x2 * x1 ** np.where(np.logical_and(x1 == 0, x2 == 0), 1, x2 - 1)


def _power_by_exponent(y: Any, x1: Any, x2: Any) -> Any:
    """y ln x1, where 0**x2 = 0 has derivative 0 and not 0 * -inf; 0**0 keeps its -inf."""
    vanishes = y == 0
    base = np.where(vanishes, 1, x1)
    if y.dtype.kind == "c":  # ln of a negative number, where NumPy has none of a real one
        base = cast(base, y.dtype)
    return np.where(vanishes, 0, y * np.log(base))


power = elementwise(
    "power", arity=2, code="{0} ** {1}",
    partials=(_power_by_base, _power_by_exponent),
    kink=lambda x1, x2: (x1 == 0) & (x2 < 1), sympy=lambda sp, x1, x2: x1**x2, label="**", latex="{0}^{{{1}}}", cost=costs.power,
)  # fmt: skip
identity = elementwise(
    # A new node for an old value: what a nested derivative is taken with respect to.
    "identity", code="+{0}", partials=(lambda y, x: 1,), sympy=lambda sp, x: x, latex="{0}", cost="moves",
)  # fmt: skip
stop_gradient = nondifferentiable("stop_gradient", code="+{0}", sympy=lambda sp, x: x, latex=r"\mathrm{{stop}}({0})", cost="moves")
constant = nondifferentiable(
    "constant", code="{value}", infer=lambda *, value: (value.shape, value.dtype), latex="{value}", cost="moves"
)


def _infer_astype(x: Any, *, dtype: str) -> Aval:
    return shape_of(x), np.dtype(dtype)


astype = linear(
    "astype", code="{0}.astype({dtype})", infer=_infer_astype, transpose=(lambda y_bar, x, dtype: cast(y_bar, x.dtype),),
    batch=lambda flags, x, dtype: cast(x, dtype),
)  # fmt: skip
to_discrete = nondifferentiable(
    "to_discrete", code="{0}.astype({dtype})", infer=_infer_astype, batch=lambda flags, x, dtype: cast(x, dtype), cost="moves"
)


def cast(x: Any, dtype: Any) -> Any:
    """`x` in another dtype, or `x` itself where it has that dtype. A complex number becomes real by its real part."""
    dtype = np.dtype(dtype)
    if x.dtype == dtype:
        return x
    if dtype.kind not in "fiubc":
        raise DtypeError(f"a node cannot become {dtype}: nodes hold numbers{here()}")
    if x.dtype.kind == "c" != dtype.kind:
        return cast(bind("real", x), dtype)
    return bind("astype" if dtype.kind in "fc" else "to_discrete", x, dtype=dtype.name)


for _name, _symbol, _relation, _latex in (
    ("less", "<", "Lt", "<"), ("less_equal", "<=", "Le", r"\le"), ("greater", ">", "Gt", ">"),
    ("greater_equal", ">=", "Ge", r"\ge"), ("equal", "==", "Eq", "="), ("not_equal", "!=", "Ne", r"\ne"),
):  # fmt: skip
    nondifferentiable(
        _name, code="{0} %s {1}" % _symbol, label=_symbol, latex="{0} %s {1}" % _latex, takes_complex=_symbol in ("==", "!="),
        kink=lambda x1, x2: x1 == x2,
        sympy=lambda sp, x1, x2, _relation=_relation: getattr(sp, _relation)(x1, x2),
    )  # fmt: skip
logical_not = nondifferentiable("logical_not", code="xp.logical_not({0})", sympy=lambda sp, x: sp.Not(x), label="not")
logical_and = nondifferentiable("logical_and", code="xp.logical_and({0}, {1})", sympy=lambda sp, a, b: sp.And(a, b), label="and")
logical_or = nondifferentiable("logical_or", code="xp.logical_or({0}, {1})", sympy=lambda sp, a, b: sp.Or(a, b), label="or")

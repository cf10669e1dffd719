"""NumPy's functions of each entry by itself that are composed of primitives, and the ufuncs that are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compgraph.backend import as_array
from compgraph.errors import MissingRuleError
from compgraph.functions.registry import implements
from compgraph.graph import Node, bind
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import result_dtype, shape_of

# ufunc -> what stands in for it, where that is more than one primitive of its name.
COMPOSED: dict[Any, Callable[..., Any]] = {}


def composes(*ufuncs: np.ufunc) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(ours: Callable[..., Any]) -> Callable[..., Any]:
        COMPOSED.update(dict.fromkeys(ufuncs, ours))
        return ours

    return keep


# ------------------------------------------------------------------------------------- ufuncs, composed


@composes(np.float_power)
def float_power(x1: Any, x2: Any) -> Any:
    """`x1 ** x2` in float64 at least."""
    wide = [cast(x, np.result_type(x.dtype, np.float64)) if hasattr(x, "dtype") else float(x) for x in (x1, x2)]
    return np.power(wide[0], wide[1])


@composes(np.ldexp)
def ldexp(x: Any, n: Any) -> Any:
    """x 2**n for whole numbers n, linear in x: in two factors, since 2**n overflows before x 2**n does."""
    n = n if isinstance(n, Node) else as_array(n)
    if n.dtype.kind not in "iub":
        raise MissingRuleError(f"np.ldexp takes whole exponents, not {n.dtype}: write x * np.exp2(n){here()}")
    x, half = x if hasattr(x, "dtype") else np.float64(x), np.floor_divide(n, 2)
    first, second = (np.exp2(cast(part, x.dtype)) for part in (half, n - half))
    return x * first * second


@composes(np.frexp)
def frexp(x: Any) -> tuple[Any, Any]:
    """The mantissa, linear in x wherever the exponent does not jump, and the exponent, which has no derivative."""
    exponent = bind("exponent", x)
    return ldexp(x, -exponent), exponent


@composes(np.modf)
def modf(x: Any) -> tuple[Any, Any]:
    """The fraction, of derivative 1, and the whole part, which has none."""
    return bind("fraction", x), np.trunc(x)


@composes(np.divmod)
def divmod_(x1: Any, x2: Any) -> tuple[Any, Any]:
    return np.floor_divide(x1, x2), np.remainder(x1, x2)


def _of_truths(name: str, logical: str) -> Callable[..., Any]:
    def apply(*xs: Any) -> Any:
        if any(result_dtype(x).kind != "b" for x in xs):
            raise MissingRuleError(f"np.{name} on a node takes truth values; bits of integers have no derivative, use node.value{here()}")
        return bind(logical, *xs)

    return apply


for _name, _logical in (
    ("bitwise_and", "logical_and"), ("bitwise_or", "logical_or"), ("bitwise_xor", "logical_xor"), ("invert", "logical_not"),
):  # fmt: skip
    COMPOSED[getattr(np, _name)] = _of_truths(_name, _logical)


# ------------------------------------------------------------------------------------------ functions


@implements(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """`minimum(maximum(a, a_min), a_max)`, and at a bound, as at any tie of these, half the derivative each.

    >>> import compgraph as cg
    >>> cg.elementwise_grad(lambda x: np.clip(x, 0, 1))(np.array([-1.0, 0.0, 0.5, 2.0]))
    array([0. , 0.5, 1. , 0. ])
    """
    if out is not None:
        raise MissingRuleError(f"np.clip with out= would write a node into an array{here()}. Use its result")
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise MissingRuleError(f"np.clip: a bound is given twice, as a_min or a_max and as min or max{here()}")
    low, high = a_min if min is None else min, a_max if max is None else max
    result = a if low is None else np.maximum(a, low)
    if high is not None:
        result = np.minimum(result, high)
    return bind("identity", a) if low is None and high is None else result


@implements(np.round, np.around)
def round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """To the nearest multiple of 10**-decimals, ties to even: a step function, of derivative 0."""
    if out is not None:
        raise MissingRuleError(f"np.round with out= would write a node into an array{here()}. Use its result")
    if not decimals:
        return np.rint(a)
    scale = 10.0 ** abs(decimals)
    return np.rint(a * scale) / scale if decimals > 0 else np.rint(a / scale) * scale


@implements(np.fix)
def fix(x: Any) -> Any:
    return np.trunc(x)


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and infinities replaced by numbers; an entry that is replaced has derivative 0."""
    if x.dtype.kind != "f":
        return bind("identity", x)
    limits = np.finfo(x.dtype)
    x = np.where(np.isnan(x), nan, x)
    x = np.where(isposinf(x), limits.max if posinf is None else posinf, x)
    return np.where(isneginf(x), limits.min if neginf is None else neginf, x)


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), with all its derivatives at 0 too."""
    return bind("spherical_j", 0, np.pi * x)


@implements(np.i0)
def i0(x: Any) -> Any:
    return bind("i0", x)


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """p[0] x**(N-1) + ... + p[N-1] by Horner's rule; `p` and `x` may both be nodes."""
    p = p if isinstance(p, Node) else as_array(p)
    y = np.zeros(shape_of(x)) if not p.shape[0] else p[0] + 0 * x
    for place in range(1, p.shape[0]):
        y = y * x + p[place]
    return y


@implements(np.isposinf)
def isposinf(x: Any) -> Any:
    return np.logical_and(np.isinf(x), x > 0)


@implements(np.isneginf)
def isneginf(x: Any) -> Any:
    return np.logical_and(np.isinf(x), x < 0)


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """`|a - b| <= atol + rtol |b|`, a truth value without derivative; equal infinities are close."""
    near = np.less_equal(np.abs(a - b), atol + rtol * np.abs(b))
    close = np.logical_or(np.logical_and(near, np.isfinite(b)), np.equal(a, b))
    return np.logical_or(close, np.logical_and(np.isnan(a), np.isnan(b))) if equal_nan else close

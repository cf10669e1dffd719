"""NumPy's convolution and correlation, linear interpolation, polynomials and phase unwrapping."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.functions.reductions import is_known
from compgraph.functions.registry import implements
from compgraph.functions.scans import as_array
from compgraph.functions.selecting import take
from compgraph.functions.sorting import argsort, searchsorted
from compgraph.graph import Node, bind
from compgraph.primitives.arithmetic import cast


def _sequence(x: Any, name: str) -> Any:
    x = as_array(x)
    x = np.reshape(x, (1,)) if not x.ndim else x
    if x.ndim > 1:
        raise ValueError("object too deep for desired array")
    if not x.shape[0]:
        raise ValueError(f"{name} cannot be empty")
    return x


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """y_k = sum_i a_(k-i) v_i, for every overlap, or in modes `same` and `valid` for those in the middle."""
    a, v = _sequence(a, "a"), _sequence(v, "v")
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    if mode != "same":
        if mode not in ("full", "valid"):
            raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
        return bind("convolve", a, v, mode=mode)
    start = (v.shape[0] - 1) // 2
    return bind("convolve", a, v, mode="full")[start : start + a.shape[0]]


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """c_k = sum_i a_(k+i) conj(v_i): a convolution with `v` turned round."""
    a, v = _sequence(a, "a"), _sequence(v, "v")
    v = np.conjugate(v) if v.dtype.kind == "c" else v
    if v.shape[0] > a.shape[0]:  # NumPy exchanges them and turns the result round
        return convolve(v, a[::-1], mode)[::-1]
    return convolve(a, v[::-1], mode)


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Linear interpolation, differentiable in `x`, in the places `xp` and in the values `fp`.

    At a place the slope is that of the piece on its right. Outside the places the value is `left` or `right`, which
    default to the first and the last of `fp`, and the slope by `x` is 0.
    """
    x, xp, fp = (cast(as_array(one), np.float64) for one in (x, xp, fp))  # as NumPy does
    if xp.ndim != 1 or fp.ndim != 1:
        raise ValueError("Data points must be 1-D sequences")
    if xp.shape != fp.shape:
        raise ValueError("fp and xp are not of the same length.")
    if not xp.shape[0]:
        raise ValueError("array of sample points is empty")
    if period is not None:
        x, xp, fp = _one_period(x, xp, fp, abs(period))
        left = right = None
    first, last = fp[0] if left is None else left, fp[-1] if right is None else right
    count = xp.shape[0]
    if count == 1:
        inside = fp[0] + 0 * x
    else:
        piece = np.minimum(np.maximum(searchsorted(xp, x, "right") - 1, 0), count - 2)
        x0, y0 = take(xp, piece), take(fp, piece)
        slope = (take(fp, piece + 1) - y0) / (take(xp, piece + 1) - x0)
        inside = np.where(np.equal(x, xp[-1]), fp[-1] + 0 * x, slope * (x - x0) + y0)
    return np.where(x < xp[0], first, np.where(x > xp[-1], last, inside))


def _one_period(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """The arguments within one period, with a place of the neighbouring periods at either end."""
    if period == 0:
        raise ValueError("period must be a non-zero value")
    x, xp = np.mod(x, period), np.mod(xp, period)
    order = argsort(xp)
    xp, fp = take(xp, order), take(fp, order)
    return x, np.concatenate([xp[-1:] - period, xp, xp[:1] + period]), np.concatenate([fp[-1:], fp, fp[:1]])


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """p_0 x^(n-1) + ... + p_(n-1), by Horner's rule; differentiable in the coefficients and in `x`."""
    p, x = as_array(p), as_array(x)
    y: Any = np.zeros(x.shape, np.result_type(p.dtype, x.dtype))[()]
    for place in range(p.shape[0]):
        y = y * x + p[place]
    return y


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """Jumps of more than half a period become their complements: `p` plus multiples of the period, which are constant."""
    if not is_known(p):
        raise TypeError("np.unwrap cannot be traced: which jumps there are depends on the values")
    values = p.value if isinstance(p, Node) else p
    return cast(p, values.dtype) + (np.unwrap(values, discont, axis, period=period) - values)

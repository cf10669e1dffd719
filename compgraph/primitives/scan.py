"""Running sums and products along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.backend import beside
from compgraph.graph import Aval, bind
from compgraph.primitives import costs
from compgraph.primitives.kinds import Rule, _probed_dtype, general, linear, normalized_axes, shape_of, shifted_axes, single_ndim


def part(x: Any, axis: int, where: slice) -> Any:
    """`x[where]` along one axis.

    >>> part(np.arange(6).reshape(2, 3), 1, slice(0, 2))
    array([[0, 1],
           [3, 4]])
    """
    return x[(slice(None),) * axis + (where,)]


def flipped(x: Any, axis: int) -> Any:
    return part(x, axis, slice(None, None, -1))


def delayed(x: Any, axis: int, steps: int, *, fill: float) -> Any:
    """`x` moved on by some steps along an axis, with `fill` where nothing comes in.

    >>> delayed(np.array([1.0, 2.0, 3.0]), 0, 2, fill=0)
    array([0., 0., 1.])
    """
    shape = shape_of(x)
    steps = min(steps, shape[axis])
    front = beside(np.full((*shape[:axis], steps, *shape[axis + 1 :]), fill, x.dtype), x)
    return np.concatenate([front, part(x, axis, slice(0, shape[axis] - steps))], axis=axis)


def _infer(scan: Rule) -> Rule:
    def infer(x: Any, *, axis: int) -> Aval:
        normalized_axes(axis, len(shape_of(x)))
        return shape_of(x), _probed_dtype(scan, (x.dtype,))

    return infer


def _batch(name: str) -> Rule:
    return lambda flags, x, axis: bind(name, x, axis=shifted_axes(axis, single_ndim(x, True))[0])


def _transpose_cumsum(y_bar: Any, x: Any, *, axis: int) -> Any:
    """x_i is in every sum from the i-th on: the running sum from the other end."""
    axis = normalized_axes(axis, len(shape_of(x)))[0]
    return flipped(bind("cumsum", flipped(y_bar, axis), axis=axis), axis)


cumsum = linear(
    "cumsum", code="xp.cumsum({0}, axis={axis})", infer=_infer(np.cumsum), transpose=(_transpose_cumsum,), batch=_batch("cumsum"),
    cost=costs.running("additions"),
)  # fmt: skip


def _tangent_of_cumprod(y: Any, x_dots: Any, x: Any, *, axis: int) -> Any:
    """The tangent of y_i = x_i y_(i-1), which is y_i_dot = x_i y_(i-1)_dot + y_(i-1) x_i_dot.

    This linear recurrence is solved by doubling (Hillis and Steele, 1986): after the round for `steps`, y_dot_i holds
    what the last 2 * steps entries contribute, and `factor` the product of as many x. It takes log2(n) rounds over whole
    arrays, and divides by nothing, so that zeros among the x need no exception, at any order.
    """
    axis = normalized_axes(axis, len(shape_of(x)))[0]
    y_dot = delayed(y, axis, 1, fill=1) * x_dots[0]
    factor, steps = x, 1
    while steps < x.shape[axis]:
        y_dot = y_dot + factor * delayed(y_dot, axis, steps, fill=0)
        factor = factor * delayed(factor, axis, steps, fill=0)
        steps *= 2
    return y_dot


cumprod = general(
    "cumprod", code="xp.cumprod({0}, axis={axis})", infer=_infer(np.cumprod), tangent=_tangent_of_cumprod, batch=_batch("cumprod"),
    analytic=True, cost=costs.running("multiplications"),
)  # fmt: skip

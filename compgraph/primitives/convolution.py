"""Convolution of two sequences, the product of polynomials."""

from __future__ import annotations

from typing import Any

from compgraph.errors import ShapeError
from compgraph.graph import Aval, bind
from compgraph.primitives import costs
from compgraph.primitives.kinds import linear, result_dtype, shape_of


def _infer(x: Any, v: Any, *, mode: str) -> Aval:
    """`full` has every overlap of the sequences, `valid` those in which the shorter lies within the longer."""
    if len(shape_of(x)) != 1 or len(shape_of(v)) != 1 or not x.shape[0] or not v.shape[0]:
        raise ShapeError(f"it takes two sequences of numbers that are not empty, not shapes {shape_of(x)} and {shape_of(v)}")
    if mode == "valid" and x.shape[0] < v.shape[0]:
        raise ShapeError("the longer sequence comes first")
    return (x.shape[0] + v.shape[0] - 1 if mode == "full" else x.shape[0] - v.shape[0] + 1,), result_dtype(x, v)


def _convolved(x: Any, v: Any, mode: str) -> Any:
    return bind("convolve", x, v, mode=mode)


# y_k = sum_i x_(k-i) v_i. Its transposes are correlations: convolutions with the other sequence, turned round.


def _transpose_x(y_bar: Any, x: Any, v: Any, *, mode: str) -> Any:
    return _convolved(y_bar, v[::-1], "valid" if mode == "full" else "full")


def _transpose_v(y_bar: Any, x: Any, v: Any, *, mode: str) -> Any:
    return _convolved(y_bar, x[::-1], "valid") if mode == "full" else _convolved(x, y_bar[::-1], "valid")[::-1]


convolve = linear(
    "convolve", code="xp.convolve({0}, {1}, mode={mode})", infer=_infer, groups=((0,), (1,)), transpose=(_transpose_x, _transpose_v),
    label="*", latex=r"{0} * {1}", cost=costs.convolve,
)  # fmt: skip

"""`np.pad`, in all of its modes but "empty", whose entries are nothing in particular.

An axis is padded after the other, each with what the ones before have made, as NumPy does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compgraph.errors import MissingRuleError, ShapeError
from compgraph.functions.parameters import whole
from compgraph.functions.registry import implements
from compgraph.functions.shaping import along, arraylike, axis_of, moveaxis, read
from compgraph.graph import bind
from compgraph.origins import here
from compgraph.primitives.kinds import is_node, shape_of

Widths = tuple[tuple[int, int], ...]  # before and after, for each axis


def _pairs(name: str, given: Any, ndim: int, default: Any) -> list[tuple[Any, Any]]:
    """NumPy's short forms written out: one number, one pair, or a pair for each axis; a dict names the axes."""
    if isinstance(given, dict):
        pairs = {axis_of("pad", axis, ndim): _pairs(name, pair, 1, default)[0] for axis, pair in given.items()}
        return [pairs.get(axis, (default, default)) for axis in range(ndim)]
    try:
        return [tuple(pair) for pair in np.broadcast_to(np.asarray(given), (ndim, 2)).tolist()]
    except ValueError:
        raise ShapeError(f"np.pad: {name} {given!r:.60} does not say a pair for each of {ndim} axes{here()}") from None


@implements(np.pad)
def pad(
    array: Any,
    pad_width: Any,
    mode: Any = "constant",
    *,
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: Any = None,
    reflect_type: str = "even",
) -> Any:
    """More entries before and after those of each axis; all modes but "maximum", "minimum" and "median" are linear."""
    array = arraylike(array)
    ndim = len(array.shape)
    widths: Widths = tuple((whole(before), whole(after)) for before, after in _pairs("pad_width", pad_width, ndim, 0))
    if any(width < 0 for pair in widths for width in pair):
        raise ShapeError(f"np.pad: a width cannot be negative, as one in {widths} is{here()}")
    if mode == "constant":
        return _constant(array, widths, constant_values)
    ends = _pairs("end_values", end_values, ndim, 0)
    lengths = _pairs("stat_length", stat_length, ndim, None) if stat_length is not None else [(None, None)] * ndim
    for axis, width in enumerate(widths):
        if not any(width):
            continue
        if not array.shape[axis]:
            raise ShapeError(f"np.pad: axis {axis} of shape {array.shape} has no entries that mode {mode!r} could use{here()}")
        if mode in ("edge", "wrap") or (mode in ("reflect", "symmetric") and reflect_type == "even"):
            array = read(array, along(axis, np.pad(np.arange(array.shape[axis]), width, mode)))
        elif mode in ("reflect", "symmetric"):
            array = _reflected(array, axis, width, mode)
        elif mode == "linear_ramp":
            array = _ramp(array, axis, width, ends[axis])
        elif mode in _STATISTICS:
            array = _statistic(array, axis, width, _STATISTICS[mode], lengths[axis])
        else:
            shown = f"mode {mode!r}" if isinstance(mode, str) else "a function as its mode"
            raise MissingRuleError(
                f"np.pad on a node does not take {shown}{here()}; it takes constant, edge, linear_ramp, reflect, symmetric, wrap, mean, "
                "maximum, minimum and median. np.concatenate joins entries of your own"
            )
    return array


def _constant(array: Any, widths: Widths, constant_values: Any) -> Any:
    shape = tuple(before + length + after for (before, after), length in zip(widths, array.shape, strict=True))
    inside = tuple(slice(before, before + length) for (before, _), length in zip(widths, array.shape, strict=True))
    if is_node(constant_values):
        if constant_values.shape not in ((), (1,)):
            raise MissingRuleError(f"np.pad takes one number as constant_values that is a node, not shape {constant_values.shape}{here()}")
        around = np.broadcast_to(constant_values, shape).astype(array.dtype)
        return bind("assign", around, array, index=inside)
    if not np.any(constant_values):
        return bind("scatter_add", array, index=inside, shape=shape)
    around = np.pad(np.zeros(array.shape, array.dtype), widths, constant_values=constant_values)
    return bind("assign", around, array, index=inside)


def _around(array: Any, axis: int, before: Any, after: Any) -> Any:
    parts = [part for part in (before, array, after) if part is not None]
    return bind("concatenate", *parts, axis=axis)


def _reflected(array: Any, axis: int, width: tuple[int, int], mode: str) -> Any:
    """Odd reflection, 2 edge - mirrored entry, which for wide margins goes over and over: the matrix that NumPy makes of it."""
    length = array.shape[axis]
    weights = np.pad(np.eye(length, dtype=array.dtype), (width, (0, 0)), mode, reflect_type="odd")  # type: ignore[call-overload]
    last = moveaxis(array, axis, -1)

    def margin(rows: Any) -> Any:
        return moveaxis(np.matmul(last, np.ascontiguousarray(rows.T)), -1, axis) if len(rows) else None

    return _around(array, axis, margin(weights[: width[0]]), margin(weights[width[0] + length :]))


def _ramp(array: Any, axis: int, width: tuple[int, int], ends: tuple[Any, Any]) -> Any:
    """From the edge in equal steps to the end value, which is the outermost entry."""

    def margin(count: int, end: Any, edge: Any, backward: bool) -> Any:
        if not count:
            return None
        weights = np.arange(count) / count
        weights = (weights[::-1] if backward else weights).astype(array.dtype)
        weights = weights.reshape(-1, *(1,) * (len(array.shape) - 1 - axis))
        return edge * weights + (1 - weights) * array.dtype.type(end)

    first, last = read(array, along(axis, slice(0, 1))), read(array, along(axis, slice(-1, None)))
    return _around(array, axis, margin(width[0], ends[0], first, False), margin(width[1], ends[1], last, True))


_STATISTICS: dict[str, Callable[..., Any]] = {"mean": np.mean, "maximum": np.max, "minimum": np.min, "median": np.median}


def _statistic(array: Any, axis: int, width: tuple[int, int], statistic: Callable[..., Any], lengths: tuple[Any, Any]) -> Any:
    """The statistic of the entries nearest to the edge, `lengths` of them."""
    have = array.shape[axis]

    def margin(count: int, length: int | None, last: bool) -> Any:
        used = have if length is None else min(whole(length), have)
        if used < 1:
            raise ShapeError(f"np.pad: a stat_length is at least 1{here()}")
        if not count:
            return None
        part = read(array, along(axis, slice(have - used, have) if last else slice(0, used)))
        shape = shape_of(array)
        return np.broadcast_to(statistic(part, axis=axis, keepdims=True), (*shape[:axis], count, *shape[axis + 1 :]))

    return _around(array, axis, margin(width[0], lengths[0], False), margin(width[1], lengths[1], True))

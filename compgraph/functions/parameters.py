"""Axes, shapes and indices as parameters that cannot change."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from compgraph.graph import Node


def static_axes(axis: Any) -> Any:
    """An axis parameter that cannot change: None, an int or a tuple of ints."""
    if axis is None:
        return None
    if isinstance(axis, (list, tuple)):
        return tuple(whole(one) for one in axis)
    return whole(axis)


def whole(number: Any) -> int:
    """`number` as an int, where `int()` would cut 0.5 down to 0; raises TypeError for what is no integer."""
    return operator.index(number)


def static_shape(shape: Any) -> tuple[int, ...]:
    return tuple(whole(length) for length in shape) if isinstance(shape, (list, tuple, np.ndarray)) else (whole(shape),)


def static_index(where: Any) -> Any:
    if isinstance(where, tuple):
        return tuple(static_index(part) for part in where)
    if isinstance(where, Node):
        where = where.concrete("an index")
    if isinstance(where, list):
        where = np.asarray(where)
    if isinstance(where, np.ndarray) and where.dtype.kind in "iub":
        return where.copy() if where.ndim else where.item()
    if isinstance(where, (np.integer, np.bool_)):
        return where.item()
    if where is None or where is Ellipsis or isinstance(where, (int, slice)):
        return where
    kind = f"array of {where.dtype}" if isinstance(where, np.ndarray) else type(where).__name__
    raise TypeError(f"an index is made of integers, slices, ..., None and arrays of integers, not {kind}")

"""NumPy's functions that move entries without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.functions.parameters import static_axes, static_shape, whole
from compgraph.functions.registry import implements
from compgraph.graph import bind
from compgraph.origins import here
from compgraph.primitives.kinds import normalized_axes, shape_of


@implements(np.reshape)
def reshape(a: Any, shape: Any) -> Any:
    """`shape` is an int or a sequence of ints; one of them may be -1."""
    return bind("reshape", a, shape=static_shape(shape))


@implements(np.ravel)
def ravel(a: Any) -> Any:
    return reshape(a, -1)


@implements(np.transpose)
def transpose(a: Any, axes: Any = None) -> Any:
    return bind("transpose", a, axes=static_axes(axes))


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any) -> Any:
    return bind("broadcast_to", array, shape=static_shape(shape))


@implements(np.concatenate)
def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    if axis is None:
        arrays, axis = [ravel(array) for array in arrays], 0
    return bind("concatenate", *arrays, axis=whole(axis))


@implements(np.stack)
def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    return bind("stack", *arrays, axis=whole(axis))


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    shape = shape_of(a)
    axes = [place for place, length in enumerate(shape) if length == 1] if axis is None else _axes("squeeze", axis, len(shape))
    if any(shape[place] != 1 for place in axes):
        raise ShapeError(f"squeeze: axis {axis} of shape {shape} is not of length 1{here()}")
    return reshape(a, tuple(length for place, length in enumerate(shape) if place not in axes))


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    axes = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    ndim = len(shape_of(a)) + len(axes)
    places = _axes("expand_dims", axes, ndim)
    lengths = iter(shape_of(a))
    return reshape(a, tuple(1 if place in places else next(lengths) for place in range(ndim)))


def _axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    try:
        return normalized_axes(axis, ndim)
    except ShapeError as error:
        raise ShapeError(f"{name}: {error}{here()}") from None

"""Composites of primitives: functions without a rule of their own, and the few that NumPy has no name for."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.graph import Node, bind
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import is_node, normalized_axes, shape_of


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), without overflow.

    >>> sigmoid(np.float64(0.0))
    np.float64(0.5)
    """
    return bind("sigmoid", x)


def softplus(x: Any) -> Any:
    """ln(1 + e^x), without overflow.

    >>> softplus(np.float64(1000.0))
    np.float64(1000.0)
    """
    return bind("softplus", x)


def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0.

    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return bind("relu", x)


def stop_gradient(x: Any) -> Any:
    """The value of `x`, through which no derivative flows.

    >>> import compgraph as cg
    >>> cg.grad(lambda x: x * cg.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return bind("stop_gradient", x) if is_node(x) else x


def index(x: Node, where: Any) -> Any:
    """`x[where]` for slices, integers, `...`, None and arrays of integers or booleans."""
    return bind("index", x, index=_static_index(where))


def _static_index(where: Any) -> Any:
    if isinstance(where, tuple):
        return tuple(_static_index(part) for part in where)
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


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return bind("sum", x, axis=static_axes(axis), keepdims=bool(keepdims))


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return bind("mean", x, axis=static_axes(axis), keepdims=bool(keepdims))


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return bind("max", x, axis=static_axes(axis), keepdims=bool(keepdims))


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return bind("min", x, axis=static_axes(axis), keepdims=bool(keepdims))


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


def reshape(x: Any, shape: Any) -> Any:
    """`shape` is an int or a sequence of ints; one of them may be -1."""
    return bind("reshape", x, shape=static_shape(shape))


def static_shape(shape: Any) -> tuple[int, ...]:
    return tuple(whole(length) for length in shape) if isinstance(shape, (list, tuple, np.ndarray)) else (whole(shape),)


def transpose(x: Any, axes: Any = None) -> Any:
    return bind("transpose", x, axes=static_axes(axes))


def broadcast_to(x: Any, shape: Any) -> Any:
    return bind("broadcast_to", x, shape=static_shape(shape))


def concatenate(xs: Sequence[Any], axis: int | None = 0) -> Any:
    if axis is None:
        xs, axis = [reshape(x, -1) for x in xs], 0
    return bind("concatenate", *xs, axis=whole(axis))


def stack(xs: Sequence[Any], axis: int = 0) -> Any:
    return bind("stack", *xs, axis=whole(axis))


def where(condition: Any, x1: Any, x2: Any) -> Any:
    return bind("where", condition, x1, x2)


def dot(a: Any, b: Any) -> Any:
    """NumPy's dot: `a * b` for numbers, `a @ b` up to matrices, and for more axes the last of `a` with the
    second to last of `b`."""
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        return bind("multiply", a, b)
    if len(right) <= 2:
        return bind("matmul", a, b)
    rows, inner, columns = left[:-1], right[-2], right[:-2] + right[-1:]
    moved = transpose(b, (len(right) - 2, *range(len(right) - 2), len(right) - 1))
    product = bind("matmul", a, reshape(moved, (inner, -1 if inner else int(np.prod(columns)))))
    return reshape(product, rows + columns)


def squeeze(x: Any, axis: Any = None) -> Any:
    shape = shape_of(x)
    axes = [place for place, length in enumerate(shape) if length == 1] if axis is None else _axes("squeeze", axis, len(shape))
    if any(shape[place] != 1 for place in axes):
        raise ShapeError(f"squeeze: axis {axis} of shape {shape} is not of length 1{here()}")
    return reshape(x, tuple(length for place, length in enumerate(shape) if place not in axes))


def expand_dims(x: Any, axis: Any) -> Any:
    axes = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    places = _axes("expand_dims", axes, len(shape_of(x)) + len(axes))
    lengths = iter(shape_of(x))
    return reshape(x, tuple(1 if place in places else next(lengths) for place in range(len(shape_of(x)) + len(axes))))


def _axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    try:
        return normalized_axes(axis, ndim)
    except ShapeError as error:
        raise ShapeError(f"{name}: {error}{here()}") from None


def astype(x: Any, dtype: Any) -> Any:
    """`x` in another dtype; a derivative flows through floating-point ones."""
    return cast(x, dtype)

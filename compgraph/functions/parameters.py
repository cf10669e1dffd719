"""Axes, shapes and indices as parameters that cannot change."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from compgraph.backend import is_on_device, on_host
from compgraph.graph import Node, constant


def static_axes(axis: Any) -> Any:
    """An axis parameter that cannot change: None, an int or a tuple of ints."""
    if axis is None or axis.__class__ is int:
        return axis
    if isinstance(axis, (list, tuple)):
        return tuple(whole(one) for one in axis)
    return whole(axis)


def whole(number: Any) -> int:
    """`number` as an int, where `int()` would cut 0.5 down to 0; raises TypeError for what is no integer."""
    return operator.index(number.concrete("a length or an axis") if isinstance(number, Node) else number)


def static_shape(shape: Any) -> tuple[int, ...]:
    return tuple(whole(length) for length in shape) if isinstance(shape, (list, tuple, np.ndarray)) else (whole(shape),)


def split_index(where: Any, first: int = 1) -> tuple[Any, list[Node]]:
    """An index as a parameter, with places "{1}", "{2}", ... for the nodes of integers in it, and these nodes.

    >>> import compgraph as cg
    >>> split_index((slice(None), cg.constant([0, 2])))
    ((slice(None, None, None), '{1}'), [Node(constant, [0, 2])])

    A mask that is a node is read: how many entries it takes is a shape.
    """
    nodes: list[Node] = []

    def part_of(part: Any) -> Any:
        if (isinstance(part, Node) or is_on_device(part)) and part.dtype.kind in "iu":
            nodes.append(part if isinstance(part, Node) else constant(part))
            return f"{{{first + len(nodes) - 1}}}"
        return static_index(part)

    if isinstance(where, tuple):
        return tuple([part_of(part) for part in where]), nodes
    return part_of(where), nodes


def static_index(where: Any) -> Any:
    """An index without nodes of integers as a parameter that cannot change."""
    if where is None or where is Ellipsis or where.__class__ is int:
        return where
    if isinstance(where, slice):
        return slice(*[whole(bound) if isinstance(bound, (Node, np.integer)) else bound for bound in (where.start, where.stop, where.step)])
    if isinstance(where, Node):
        where = where.concrete("an index")
    where = on_host(where)
    if isinstance(where, (list, tuple)):  # a tuple inside a tuple
        where = np.asarray(where) if where else np.zeros(0, np.intp)
    if isinstance(where, np.ndarray) and where.dtype.kind in "iub":
        return where.copy() if where.ndim else where.item()
    if isinstance(where, (int, np.integer, np.bool_)):
        return where.item() if isinstance(where, np.generic) else where
    kind = f"array of {where.dtype}" if isinstance(where, np.ndarray) else type(where).__name__
    raise TypeError(f"an index is made of integers, slices, ..., None and arrays of integers, not {kind}")

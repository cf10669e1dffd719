"""Putting entries in order along an axis.

A sort is a permutation of its argument, so its tangent is the same permutation of the tangent. Entries that tie keep
their order in it, whatever the algorithm that sorted them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.graph import Aval, bind
from compgraph.primitives import costs
from compgraph.primitives.kinds import all_batched, general, linear, nondifferentiable, normalized_axes, shape_of, shifted_axes, single_ndim


def _infer_same(x: Any, *, axis: int, **_: Any) -> Aval:
    normalized_axes(axis, len(shape_of(x)))
    return shape_of(x), x.dtype


def _infer_order(x: Any, *, axis: int) -> Aval:
    return _infer_same(x, axis=axis)[0], np.dtype(np.intp)


def _infer_partition(x: Any, *, kth: Any, axis: int) -> Aval:
    length = shape_of(x)[normalized_axes(axis, len(shape_of(x)))[0]]
    for one in (kth,) if isinstance(kth, int) else kth:
        if not -length <= one < length:
            raise ShapeError(f"kth {one} is outside an axis of length {length}")
    return shape_of(x), x.dtype


def _batch(name: str) -> Any:
    def batch(flags: Any, x: Any, *, axis: int, **params: Any) -> Any:
        return bind(name, x, axis=shifted_axes(axis, single_ndim(x, True))[0], **params)

    return batch


def _batch_with_order(name: str) -> Any:
    def batch(flags: Any, x: Any, order: Any, *, axis: int) -> Any:
        x, order = all_batched(flags, (x, order))
        return bind(name, x, order, axis=shifted_axes(axis, single_ndim(x, True))[0])

    return batch


def restored(x, order, axis):  # type: ignore[no-untyped-def]
    # The inverse of taking entries in an order, line by line: x[i] goes to place order[i].
    y = np.empty_like(x)
    np.put_along_axis(y, order, x, axis)
    return y


def _order(x: Any, axis: int) -> Any:
    return bind("argsort", x, axis=axis)


def _reorder(x: Any, order: Any, axis: int) -> Any:
    return bind("reorder", x, order, axis=axis)


def _restore(x: Any, order: Any, axis: int) -> Any:
    return bind("restore", x, order, axis=axis)


def _tied(x: Any, *, axis: int, **_: Any) -> Any:
    """Which places in the sorted line hold a number that stands there twice."""
    y = np.sort(x, axis=axis)
    same = np.diff(y, axis=axis) == 0
    none = np.zeros_like(y, dtype=bool).take([0], axis)
    return np.concatenate([none, same], axis) | np.concatenate([same, none], axis)


# The order in which a stable sort takes the entries.
argsort = nondifferentiable(
    "argsort", code="xp.argsort({0}, axis={axis}, kind='stable')", infer=_infer_order, batch=_batch("argsort"), kink=_tied,
    cost=costs.ordering,
)
reorder = linear(
    # x[order] line by line, for an `order` that permutes each line along the axis.
    "reorder", code="xp.take_along_axis({0}, {1}, axis={axis})", infer=lambda x, order, axis: _infer_same(x, axis=axis),
    transpose=(lambda y_bar, x, order, axis: _restore(y_bar, order, axis), None), batch=_batch_with_order("reorder"),
)  # fmt: skip
restore = linear(
    # A permutation's transpose is its inverse.
    "restore", code="restored({0}, {1}, {axis})", helper=restored, infer=lambda x, order, axis: _infer_same(x, axis=axis),
    transpose=(lambda y_bar, x, order, axis: _reorder(y_bar, order, axis), None), batch=_batch_with_order("restore"),
)  # fmt: skip
sort = general(
    "sort", code="xp.sort({0}, axis={axis})", infer=_infer_same, batch=_batch("sort"), kink=_tied, cost=costs.ordering,
    tangent=lambda y, x_dots, x, axis: _reorder(x_dots[0], _order(x, axis), axis),
)  # fmt: skip


def _tangent_of_partition(y: Any, x_dots: Any, x: Any, *, kth: Any, axis: int) -> Any:
    """The tangent of the entry of equal rank: NumPy leaves open in which order the others stand."""
    return _restore(_reorder(x_dots[0], _order(x, axis), axis), _order(y, axis), axis)


partition = general(
    "partition", code="xp.partition({0}, {kth}, axis={axis})", infer=_infer_partition, tangent=_tangent_of_partition,
    batch=_batch("partition"), kink=_tied, cost=costs.ordering,
)  # fmt: skip


def _infer_searchsorted(a: Any, v: Any, *, side: str) -> Aval:
    if len(shape_of(a)) != 1:
        raise ShapeError(f"the sorted sequence has one axis, not shape {shape_of(a)}")
    return shape_of(v), np.dtype(np.intp)


def _batch_searchsorted(flags: Any, a: Any, v: Any, *, side: str) -> Any:
    if not flags[0]:
        return bind("searchsorted", a, v, side=side)
    size = a.shape[0]
    return np.stack([bind("searchsorted", a[place], v[place] if flags[1] else v, side=side) for place in range(size)])


# Where each number of the second argument belongs in the sorted sequence that is the first.
searchsorted = nondifferentiable(
    "searchsorted", code="xp.searchsorted({0}, {1}, side={side})", infer=_infer_searchsorted, batch=_batch_searchsorted,
    kink=lambda a, v, side: np.isin(v, a), cost=costs.searching,
)

for _primitive in (argsort, reorder, restore, sort, partition, searchsorted):
    _primitive.without_sympy = "the order of the entries depends on their values, which symbols have none of"

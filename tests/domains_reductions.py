"""Sample domains of products, questions, scans, sorts and convolutions; see `domains.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from domains import _REDUCTIONS, Domain, arrays, spread, truths


def _prod(x: Any, axis: Any, keepdims: Any) -> Any:
    return np.multiply.reduce(x, axis, keepdims=keepdims)


def _convolve(x: Any, v: Any, mode: str) -> Any:
    y = np.zeros(x.size + v.size - 1, np.result_type(x, v))
    for place, factor in enumerate(v):
        y[place : place + x.size] += factor * x
    return y if mode == "full" else y[v.size - 1 : x.size]


def _order(x: Any, axis: int) -> Any:
    """Each entry's place is the number of entries that come before it."""
    lines = np.moveaxis(x, axis, -1)
    places = np.arange(lines.shape[-1])
    before = (lines[..., :, None] < lines[..., None, :]) | (
        (lines[..., :, None] == lines[..., None, :]) & (places[:, None] < places)
    )
    order = np.empty(lines.shape, np.intp)
    np.put_along_axis(order, np.sum(before, axis=-2), np.broadcast_to(places, lines.shape), -1)
    return np.moveaxis(order, -1, axis)


def _reorder(x: Any, order: Any, axis: int) -> Any:
    y = np.empty_like(x)
    for place in np.ndindex(*x.shape):
        source = list(place)
        source[axis] = order[place]
        y[place] = x[tuple(source)]
    return y


_SCANS = (
    *arrays((3,), {"axis": 0}), *arrays((2, 3), {"axis": 0}, {"axis": -1}), *arrays((2, 5, 2), {"axis": 1}), *arrays((1,), {"axis": 0}),
    *arrays((0,), {"axis": 0}), *arrays((2, 0), {"axis": 0}, {"axis": 1}), *arrays((8,), {"axis": -1}),
)  # fmt: skip
_ZEROS = tuple(((np.array(x),), {"axis": 0}) for x in ([2.0, 0.0, 3.0], [0.0, 2.0, 0.0, 3.0], [0.0, 0.0, 0.0]))
_WHOLE = {"axis": None, "keepdims": False}
_NONEMPTY = tuple((args, params) for args, params in _SCANS if 0 not in args[0].shape)
_QUESTIONS = tuple(
    ((x,), {"axis": axis, "keepdims": keepdims})
    for x in (truths(2, 3), truths(3) & False, truths(2, 0), np.array([0.0, 1.5]))
    for axis, keepdims in ((None, False), (0, True), (-1, False))
)
_ORDERS = (
    ((spread((3,), -2, 2), np.array([2, 0, 1])), {"axis": 0}), ((spread((2, 3), -2, 2), np.array([[2, 0, 1], [0, 2, 1]])), {"axis": -1}),
    ((spread((2, 3), -2, 2), np.array([[1, 0, 1], [0, 1, 0]])), {"axis": 0}), ((spread((0,), -2, 2), np.arange(0)), {"axis": 0}),
    ((spread((1,), -2, 2), np.array([0])), {"axis": 0}),
)  # fmt: skip
DOMAINS: dict[str, Domain] = {
    "prod": Domain(_prod, (
        *_REDUCTIONS, *arrays((0,), _WHOLE), *arrays((2, 0), {"axis": 1, "keepdims": True}),
        *(((x[0],), _WHOLE) for x, _ in _ZEROS), ((np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]),), {"axis": 1, "keepdims": True}),
    )),
    "cumsum": Domain(lambda x, axis: np.add.accumulate(x, axis), _SCANS),
    "cumprod": Domain(lambda x, axis: np.multiply.accumulate(x, axis), (*_SCANS, *_ZEROS)),
    "sort": Domain(lambda x, axis: np.take_along_axis(x, _order(x, axis), axis), _SCANS),
    "partition": Domain(lambda x, axis, kth: np.partition(x, kth, axis), (
        *((args, {"kth": 0, **params}) for args, params in _NONEMPTY), *arrays((8,), {"kth": (2, -3), "axis": 0}, {"kth": 5, "axis": -1}),
    )),
    "argsort": Domain(_order, (*_SCANS, ((np.array([1.0, 0.0, 1.0, 0.0]),), {"axis": 0}))),
    "reorder": Domain(_reorder, _ORDERS),
    "restore": Domain(lambda x, order, axis: _reorder(x, _order(order, axis), axis), _ORDERS),
    "searchsorted": Domain(
        lambda a, v, side: np.sum(a < v[..., None] if side == "left" else a <= v[..., None], axis=-1),
        tuple(((np.array([-1.0, 0.5, 0.5, 2.0]), v), {"side": side}) for side in ("left", "right") for v in (
            spread((2, 3), -2, 2.5), np.array([0.5, 2.0]), spread((), -2, 2), spread((0,), -2, 2),
        )),
    ),
    "convolve": Domain(_convolve, tuple(
        ((spread((n,), -2, 2), spread((m,), -2, 2, 0.27)), {"mode": mode})
        for n, m in ((3, 2), (2, 3), (5, 3), (3, 3), (1, 1), (4, 1), (1, 4)) for mode in ("full", "valid") if mode == "full" or n >= m
    )),
    "any": Domain(lambda x, axis, keepdims: np.logical_or.reduce(x, axis, keepdims=keepdims), _QUESTIONS),
    "all": Domain(lambda x, axis, keepdims: np.logical_and.reduce(x, axis, keepdims=keepdims), _QUESTIONS),
    "count_nonzero": Domain(lambda x, axis, keepdims: np.sum(x != 0, axis, keepdims=keepdims), _QUESTIONS),
    "argmax": Domain(lambda x, axis: np.take(_order(-x, axis), 0, axis), _NONEMPTY),
    "argmin": Domain(lambda x, axis: np.take(_order(x, axis), 0, axis), _NONEMPTY),
}  # fmt: skip

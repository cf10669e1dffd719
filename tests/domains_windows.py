"""Sample domains of sliding windows, their overlap-add and the first of the largest; see `domains.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from domains import Domain, spread

# (shape, size, stride, dilation): the windows overlap, touch, leave gaps, leave a rest, are one entry or all of the array.
_CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    ((5,), (3,), (1,), (1,)), ((5,), (2,), (2,), (1,)), ((6,), (2,), (3,), (2,)), ((4,), (1,), (1,), (1,)), ((4,), (4,), (1,), (1,)),
    ((2, 5), (3,), (1,), (2,)), ((4, 5), (2, 3), (1, 1), (1, 1)), ((2, 5, 4), (2, 2), (2, 1), (1, 2)), ((0, 4), (2,), (1,), (1,)),
    ((2, 3, 3, 3), (2, 1, 2), (1, 1, 1), (1, 1, 1)),
)  # fmt: skip


def _places(size: Any, stride: Any, dilation: Any, shape: Any) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Every entry of every window: its place in the window, the window's, and that in the array."""
    counts = [len(range(0, n - d * (k - 1), s)) for n, k, s, d in zip(shape, size, stride, dilation, strict=True)]
    for within in itertools.product(*map(range, size)):
        for window in itertools.product(*map(range, counts)):
            yield within, window, tuple(s * w + d * k for w, k, s, d in zip(window, within, stride, dilation, strict=True))


def windows_shape(shape: Any, size: Any, stride: Any, dilation: Any) -> tuple[int, ...]:
    last = shape[len(shape) - len(size) :]
    counts = [len(range(0, n - d * (k - 1), s)) for n, k, s, d in zip(last, size, stride, dilation, strict=True)]
    return (*shape[: len(shape) - len(size)], *size, *counts)


def windows(x: Any, size: Any, stride: Any, dilation: Any) -> Any:
    y = np.zeros(windows_shape(x.shape, size, stride, dilation), x.dtype)
    for within, window, place in _places(size, stride, dilation, x.shape[x.ndim - len(size) :]):
        y[(..., *within, *window)] = x[(..., *place)]
    return y


def fold(x: Any, shape: Any, stride: Any, dilation: Any) -> Any:
    lead = x.ndim - 2 * len(shape)
    y = np.zeros((*x.shape[:lead], *shape), x.dtype)
    for within, window, place in _places(x.shape[lead : lead + len(shape)], stride, dilation, shape):
        y[(..., *place)] += x[(..., *within, *window)]
    return y


def _folded(shape: Any, size: Any, stride: Any, dilation: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    x = spread(windows_shape(shape, size, stride, dilation), -2, 2)
    return (x,), {"shape": shape[len(shape) - len(size) :], "stride": stride, "dilation": dilation}


def first_max(x: Any, axis: int) -> Any:
    return np.apply_along_axis(lambda row: sorted(row)[-1], axis, x)


def first_largest(x: Any, y: Any, axis: int) -> Any:
    rows = np.moveaxis(np.zeros(x.shape, bool), axis, -1)
    for place in np.ndindex(*rows.shape[:-1]):
        row = list(np.moveaxis(x, axis, -1)[place])
        rows[(*place, row.index(max(row)))] = True
    return np.moveaxis(rows, -1, axis)


_LARGEST: tuple[tuple[Any, int], ...] = (
    (spread((4,), -2, 2), 0), (spread((3, 2), -2, 2), 0), (spread((3, 4), -2, 2), 1), (spread((2, 3, 2), -2, 2), 1),
    (spread((1, 2), 1, 2), 0),
)  # fmt: skip
_TIES = (np.array([1.0, 3.0, 3.0, 2.0]), np.array([[2.0, 0.0], [2.0, 0.0], [1.0, 1.0]]))

DOMAINS: dict[str, Domain] = {
    "windows": Domain(windows, tuple(
        ((spread(shape, -2, 2),), {"size": size, "stride": stride, "dilation": dilation}) for shape, size, stride, dilation in _CASES
    )),
    "fold": Domain(fold, tuple(_folded(*case) for case in _CASES)),
    "first_max": Domain(first_max, tuple(((x,), {"axis": axis}) for x, axis in _LARGEST)),
    "first_largest": Domain(
        first_largest, tuple(((x, np.max(x, axis=axis)), {"axis": axis}) for x, axis in (*_LARGEST, *((tie, 0) for tie in _TIES)))
    ),
}  # fmt: skip

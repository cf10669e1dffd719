"""Sample domains of reading, adding and writing entries, also at indices that are arguments; see `domains.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
from domains import DOMAINS as CORE
from domains import Domain, spread, truths

# (shape, the index with its places numbered from 1, the arguments that stand there)
_ARGUMENTS: tuple[tuple[tuple[int, ...], Any, tuple[Any, ...]], ...] = (
    ((3,), "{1}", (np.array([2, 0, 2, -1]),)),
    ((3,), "{1}", (np.int64(-2),)),
    ((3,), "{1}", (np.zeros((0,), np.int64),)),
    ((1,), "{1}", (np.array([[0], [0]]),)),
    ((2, 0), "{1}", (np.array([1, 0, 1]),)),
    ((4, 3), (np.arange(4), "{1}"), (np.array([0, 2, 2, 1]),)),
    ((4, 3), ("{1}", "{2}"), (np.array([[0], [3]]), np.array([0, 2]))),
    ((2, 3, 4), (slice(None), "{1}"), (np.array([1, 1]),)),
    ((2, 3, 4), ("{1}", slice(1, None), "{2}"), (np.array([1, 1, 0]), np.array([3, 0, 0]))),
    ((2, 3, 4), (Ellipsis, "{1}", None), (np.array([[3, 0], [1, 1]]),)),
    ((2, 3, 4), (0, slice(None), "{1}"), (np.array([3, 3]),)),
    ((2, 3, 4), (slice(None), "{1}", "{2}"), (np.int64(2), np.array([0, 1]))),
    ((3, 2, 4), (np.array([True, False, True]), slice(None), "{1}"), (np.array([0, 2]),)),
    ((2, 3, 4), ("{1}", slice(None), "{2}"), (np.int64(1), np.uint8(3))),
)
# Indices that stand apart, the axes of which come first.
_APART: tuple[tuple[tuple[int, ...], Any], ...] = (
    ((2, 3, 4), (np.array([1, 0]), slice(None), np.array([2, 2]))), ((2, 3, 4), (0, slice(None), np.array([[2, 0]]))),
    ((3, 2, 3), (np.array([True, False, True]), slice(None), np.array([2, 1]))),
)  # fmt: skip
_BASIC: tuple[tuple[tuple[int, ...], Any], ...] = (
    ((3,), 1), ((4, 3), (slice(3, 0, -2), Ellipsis)), ((2, 3), (slice(None), None, 1)), ((), ()), ((2, 3), truths(2, 3)),
    ((3,), slice(0, 0)), ((3,), np.array([0, 2, 0])), ((2, 3), (np.array([1, 1]), np.array([2, 2]))), ((2, 0), slice(None)),
)  # fmt: skip


def given(index: Any, indices: tuple[Any, ...], first: int = 1) -> Any:
    """The index with the arguments at its places."""
    if isinstance(index, tuple):
        return tuple(given(part, indices, first) for part in index)
    return indices[int(index[1:-1]) - first] if isinstance(index, str) else index


def renumbered(index: Any) -> Any:
    """The index of `assign`, which has one more argument before the indices."""
    if isinstance(index, tuple):
        return tuple(map(renumbered, index))
    return f"{{{int(index[1:-1]) + 1}}}" if isinstance(index, str) else index


def places(shape: tuple[int, ...], index: Any) -> Any:
    return np.arange(int(np.prod(shape))).reshape(shape)[index]


def _index(x: Any, *indices: Any, index: Any) -> Any:
    return x.reshape(-1)[places(x.shape, given(index, indices))]


def _scatter_add(x: Any, *indices: Any, index: Any, shape: Any) -> Any:
    y = np.zeros(int(np.prod(shape)), x.dtype)
    for place, entry in zip(np.ravel(places(shape, given(index, indices))), np.ravel(x), strict=True):
        y[place] += entry
    return y.reshape(shape)


def _assign(x: Any, value: Any, *indices: Any, index: Any) -> Any:
    y = list(np.ravel(x))
    for place, entry in zip(np.ravel(places(x.shape, given(index, indices, 2))), np.ravel(value), strict=True):
        y[place] = entry
    return np.array(y, np.result_type(x, value)).reshape(x.shape)


def _read_shape(shape: tuple[int, ...], index: Any) -> tuple[int, ...]:
    return np.shape(places(shape, index))


DOMAINS: dict[str, Domain] = {
    "index": Domain(_index, (
        *CORE["index"].samples,
        *(((spread(shape, -2, 2), *indices), {"index": index}) for shape, index, indices in _ARGUMENTS),
        *(((spread(shape, -2, 2),), {"index": index}) for shape, index in _APART),
    )),
    "scatter_add": Domain(_scatter_add, (
        *CORE["scatter_add"].samples,
        *(((spread(_read_shape(shape, given(index, indices)), -2, 2), *indices), {"index": index, "shape": shape})
          for shape, index, indices in _ARGUMENTS),
        *(((spread(_read_shape(shape, index), -2, 2),), {"index": index, "shape": shape}) for shape, index in _APART),
    )),
    "assign": Domain(_assign, (
        *(((spread(shape, -2, 2), spread(_read_shape(shape, given(index, indices)), -2, 2, 0.27), *indices), {"index": renumbered(index)})
          for shape, index, indices in _ARGUMENTS),
        *(((spread(shape, -2, 2), spread(_read_shape(shape, index), -2, 2, 0.27)), {"index": index})
          for shape, index in (*_BASIC, *_APART)),
        ((np.zeros(3, np.int64), spread((2,), -2, 2)), {"index": slice(0, 2)}),
    )),
}  # fmt: skip

"""Reading entries, and adding into them."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import NodeIndexError
from compgraph.graph import Aval, bind
from compgraph.primitives.kinds import linear, shape_of


def is_basic(index: Any) -> bool:
    """Whether an index is made of slices, integers, `...` and None: no entry is read twice.

    >>> is_basic((slice(1, 3), 0)), is_basic(np.array([0, 0]))
    (True, False)
    """
    parts = index if isinstance(index, tuple) else (index,)
    return not any(isinstance(part, (np.ndarray, list)) for part in parts)


def _infer_index(x: Any, *, index: Any) -> Aval:
    try:
        return np.broadcast_to(np.empty((), np.bool_), shape_of(x))[index].shape, x.dtype
    except IndexError as error:
        raise NodeIndexError(f"{error}, for shape {shape_of(x)}") from None


def scatter_add(x, index, shape):  # type: ignore[no-untyped-def]
    # The transpose of reading: zeros of `shape` with x added at `index`, once for every time it was read.
    y = np.zeros(shape, x.dtype)
    np.add.at(y, index, x)
    return y


def behind_the_batch(index: Any) -> tuple[Any, ...]:
    """An index that reads every entry of a batch the same way.

    Arrays of integers that stand apart put their axes before all others, the batch axis among them; for those
    `stays_behind` is False.
    """
    return (slice(None), *(index if isinstance(index, tuple) else (index,)))


def stays_behind(index: Any) -> bool:
    """Whether the axes that an index makes stay behind the batch axis."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [place for place, part in enumerate(parts) if isinstance(part, np.ndarray)]
    if not arrays:
        return True
    advanced = [place for place, part in enumerate(parts) if isinstance(part, (np.ndarray, int))]
    return advanced[-1] - advanced[0] + 1 == len(advanced)


def _one_by_one(name: str, x: Any, params: dict[str, Any]) -> Any:
    return np.stack([bind(name, x[place], **params) for place in range(x.shape[0])])


def _batch_index(flags: Any, x: Any, *, index: Any) -> Any:
    return x[behind_the_batch(index)] if stays_behind(index) else _one_by_one("index", x, {"index": index})


def _batch_scatter_add(flags: Any, x: Any, *, index: Any, shape: tuple[int, ...]) -> Any:
    if not stays_behind(index):
        return _one_by_one("scatter_add", x, {"index": index, "shape": shape})
    return bind("scatter_add", x, index=behind_the_batch(index), shape=(x.shape[0], *shape))


index = linear(
    "index", code="{0}[{index}]", infer=_infer_index, batch=_batch_index,
    transpose=(lambda y_bar, x, index: bind("scatter_add", y_bar, index=index, shape=shape_of(x)),),
    label="[ ]",
)  # fmt: skip
linear(
    "scatter_add", code="scatter_add({0}, {index}, {shape})", helper=scatter_add, batch=_batch_scatter_add,
    infer=lambda x, *, index, shape: (tuple(shape), x.dtype),
    transpose=(lambda y_bar, x, index, shape: bind("index", y_bar, index=index),),
    label="scatter", cost="additions",
)  # fmt: skip

"""Batches from examples that come one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

import compgraph as cg
from optim.data.dataset import Array
from optim.schedules import check_count


class batches:  # noqa: N801 - it is used as a function
    """Batches of examples that a generator makes, of which only one batch is held at a time.

    >>> def squares():
    ...     for x in range(5):
    ...         yield [float(x)], float(x * x)
    >>> for X, y in batches(squares, 2):
    ...     print(X.ravel(), y)
    [0. 1.] [0. 1.]
    [2. 3.] [4. 9.]
    [4.] [16.]

    `source` is a function that makes a generator of pairs (x, y), called anew for each epoch, or an iterable that can be read again
    and again. The last batch is smaller where the examples do not fill it, or left out with `drop_last`. Arrays are of
    `dtype`, except those of whole numbers, which stay so. Raises `InputError` for a second epoch of a generator that has been
    read, for an example that is no pair, and for a source that is empty, and `ShapeError` for examples of different shapes.
    """

    def __init__(
        self, source: Callable[[], Iterable[Any]] | Iterable[Any], batch_size: int = 32, *, drop_last: bool = False, dtype: Any = np.float32
    ) -> None:  # fmt: skip
        check_count("batch_size", batch_size)
        if not callable(source) and not isinstance(source, Iterable):
            raise cg.InputError(f"a source of batches is a function that makes a generator, or an iterable, not {source!r:.40}{cg.here()}")
        self.source, self.batch_size, self.drop_last, self.dtype = source, int(batch_size), drop_last, np.dtype(dtype)
        self._read = False

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        examples = iter(self.source() if callable(self.source) else self.source)
        if examples is self.source:
            if self._read:
                said = "this generator has been read, and a generator gives its examples once"
                raise cg.InputError(f"{said}: pass the function that makes it, without calling it{cg.here()}")
            self._read = True
        held: list[tuple[Array, Array]] = []
        number = -1
        for number, example in enumerate(examples):
            held.append(self._example(example, number, held))
            if len(held) == self.batch_size:
                yield _stacked(held)
                held = []
        if number < 0:
            raise cg.InputError(f"the source of batches gave no example{cg.here()}")
        if held and not self.drop_last:
            yield _stacked(held)

    def _example(self, example: Any, number: int, held: list[tuple[Array, Array]]) -> tuple[Array, Array]:
        if not isinstance(example, tuple | list) or len(example) != 2:
            raise cg.InputError(f"example {number} is no pair (x, y) but a {type(example).__name__}{cg.here()}")
        x, y = (self._array(part, number) for part in example)
        if held and (x.shape, y.shape) != (held[0][0].shape, held[0][1].shape):
            before = f"those before it x {held[0][0].shape} and y {held[0][1].shape}"
            raise cg.ShapeError(f"example {number} has x {x.shape} and y {y.shape}, {before}{cg.here()}")
        return x, y

    def _array(self, part: Any, number: int) -> Array:
        array = np.array(part)
        if array.dtype.kind not in "biuf":
            raise cg.DtypeError(f"example {number} holds {array.dtype}, and a batch is of numbers{cg.here()}")
        return array if array.dtype.kind in "biu" else array.astype(self.dtype)


def _stacked(examples: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    X, y = (np.stack(parts) for parts in zip(*examples, strict=True))
    return X, y

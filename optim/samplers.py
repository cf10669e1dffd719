"""Which examples each step sees: batches of indices, drawn anew each epoch.

>>> data = np.arange(10.0, 15.0)
>>> sampler = MiniBatches(len(data), batch_size=2, generator=np.random.default_rng(0))
>>> for batch in sampler:
...     print(data[batch])
[12. 14.]
[13. 10.]
[11.]

The three gradient descents of the lectures are one rule: `MiniBatches` of the size of the data is `full_batch`, of size 1 it is
`stochastic`, and what lies between is the usual one. Within an epoch every example is in exactly one batch. Some lectures call it
curriculum learning to shuffle each epoch; it is the opposite, an order from easy to hard (Bengio et al. 2009): `key`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import compgraph as cg
from optim.schedules import check_count

Indices = np.ndarray[Any, np.dtype[np.intp]]


class MiniBatches:
    """Each iteration is an epoch: arrays of `batch_size` indices that together are `range(size)`, the last one shorter if need be.

    - `shuffle`: in an order drawn anew each epoch; otherwise as they stand.
    - `drop_last`: leave out a last batch that is smaller than `batch_size`.
    - `key`: a number for each example, such as its difficulty or its length; examples come by increasing key, and
      `shuffle` only changes the order of equals.
    - `generator`: a `np.random.Generator`; without one it is a new `np.random.default_rng()`, different in each run.

    `len()` is the number of batches in an epoch, and `epoch` that of epochs that are over. `state_dict()` may be taken
    anywhere, within an epoch too; the next iteration after `load_state_dict()` gives the batches that were left of it.
    Raises `InputError` for a batch size that is 0 or larger than the data, and for a key that is NaN or of another length.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        key: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        check_count("size", size)
        check_count("batch_size", batch_size)
        if batch_size > size:
            raise cg.InputError(f"batch_size is {batch_size}, but there are only {size} examples; full_batch({size}) takes all{cg.here()}")
        if generator is not None and not isinstance(generator, np.random.Generator):
            raise cg.DtypeError(f"generator is a np.random.Generator, such as np.random.default_rng(0), not {generator!r:.40}{cg.here()}")
        self.size, self.batch_size, self.shuffle, self.drop_last = int(size), int(batch_size), shuffle, drop_last
        self.key = None if key is None else _checked_key(key, self.size)
        self.generator = np.random.default_rng() if generator is None else generator
        self.epoch = 0
        self._position = 0  # batches handed out in this epoch
        self._started: dict[str, Any] | None = None  # the generator's state as this epoch began; None between epochs
        self._resumed = False

    def __len__(self) -> int:
        return self.size // self.batch_size if self.drop_last else -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[Indices]:
        self._begin()
        self._started = dict(copy.deepcopy(self.generator.bit_generator.state))
        order = self._order()
        for number in range(self._position, len(self)):
            self._position = number + 1
            yield order[number * self.batch_size : (number + 1) * self.batch_size]
        self._end()

    def whole_epoch(self) -> Indices:
        """The batches of an iteration end to end, in one array; the epoch is over then.

        >>> MiniBatches(5, 2, shuffle=False, drop_last=True).whole_epoch()
        array([0, 1, 2, 3])
        """
        self._begin()
        order = self._order()[self._position * self.batch_size : len(self) * self.batch_size]
        self._end()
        return order

    def _begin(self) -> None:
        if not self._resumed:
            self._position = 0
        self._resumed = False

    def _end(self) -> None:
        self.epoch, self._position, self._started = self.epoch + 1, 0, None

    def _order(self) -> Indices:
        order = self.generator.permutation(self.size) if self.shuffle else np.arange(self.size)
        return order if self.key is None else order[np.argsort(self.key[order], kind="stable")]

    def state_dict(self) -> dict[str, Any]:
        """Where it is: the epoch, the batches handed out in it, and the generator's state at its beginning."""
        state = self.generator.bit_generator.state if self._started is None else self._started
        where = {"size": self.size, "batch_size": self.batch_size, "epoch": self.epoch, "position": self._position}
        return {**where, "generator": copy.deepcopy(dict(state))}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict()` was taken; a state of other data, batches or another kind of generator is refused whole."""
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(self.state_dict()):
            raise cg.InputError(
                f"MiniBatches.load_state_dict takes what state_dict returns, a dict of {', '.join(self.state_dict())}{cg.here()}"
            )
        for name in ("size", "batch_size"):
            if state_dict[name] != getattr(self, name):
                raise cg.InputError(f"the state is for {name} {state_dict[name]}, here it is {getattr(self, name)}{cg.here()}")
        for name in ("epoch", "position"):
            check_count(f"the state's {name}", state_dict[name], least=0)
        try:
            self.generator.bit_generator.state = copy.deepcopy(state_dict["generator"])
        except (TypeError, ValueError, KeyError) as error:
            raise cg.InputError(
                f"the state is of another kind of generator than {type(self.generator.bit_generator).__name__}{cg.here()}"
            ) from error
        self.epoch, self._position, self._started, self._resumed = state_dict["epoch"], state_dict["position"], None, True

    def __repr__(self) -> str:
        return f"MiniBatches({self.size}, batch_size={self.batch_size}, shuffle={self.shuffle}, drop_last={self.drop_last})"


def full_batch(size: int) -> MiniBatches:
    """All examples at each step, in their order.

    >>> list(full_batch(3))
    [array([0, 1, 2])]
    """
    return MiniBatches(size, size, shuffle=False)


def stochastic(size: int, *, shuffle: bool = True, generator: np.random.Generator | None = None) -> MiniBatches:
    """One example at each step, each once an epoch.

    >>> list(stochastic(3, shuffle=False))
    [array([0]), array([1]), array([2])]
    """
    return MiniBatches(size, 1, shuffle=shuffle, generator=generator)


def _checked_key(key: Any, size: int) -> np.ndarray[Any, Any]:
    found = np.asarray(key)
    if found.shape != (size,):
        raise cg.InputError(f"key has a number for each of the {size} examples; this has shape {found.shape}{cg.here()}")
    if found.dtype.kind not in "biuf" or np.any(np.isnan(found)):
        raise cg.InputError(f"key has entries that are NaN or no numbers: they have no place in an order{cg.here()}")
    return found


__all__ = ["MiniBatches", "full_batch", "stochastic"]

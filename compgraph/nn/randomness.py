"""Where the random numbers of models come from: one source for dropout, noise and initial weights.

A program that has been compiled cannot draw numbers, it takes them as inputs. So layers never keep a generator and never
call NumPy's: they ask the innermost source, which is a generator in a plain loop and hands out inputs while a training
step is traced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

import compgraph as cg
from compgraph.draws import generator_within, sources
from compgraph.modes import current_mode


class Source(Protocol):
    """What `using` takes besides a `np.random.Generator`: both return an array or a node of this shape and dtype."""

    def uniform(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Numbers in [0, 1)."""

    def normal(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Numbers of mean 0 and variance 1."""


_seeded: list[np.random.Generator] = [np.random.default_rng()]  # one cell: what `manual_seed` replaces, for all threads
_source: ContextVar[Any] = ContextVar("compgraph_nn_source", default=None)
sources.append(_source)


def manual_seed(seed: int) -> np.random.Generator:
    """Start the random numbers of models anew; returns the generator that they now come from.

    >>> from compgraph import nn
    >>> first = nn.manual_seed(0).random()
    >>> nn.manual_seed(0).random() == first
    True

    Until it is called the numbers differ from run to run. Raises `InputError` for what is no integer of at least 0.
    """
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise cg.InputError(f"manual_seed: a seed is an integer of at least 0, not {seed!r:.60}{cg.here()}")
    _seeded[0] = np.random.default_rng(int(seed))
    return _seeded[0]


def generator() -> np.random.Generator:
    """The innermost generator: that of `using`, or else the one that `manual_seed` made."""
    source = _source.get()
    return source if isinstance(source, np.random.Generator) else _seeded[0]


def generator_from(given: np.random.Generator | int | None) -> np.random.Generator:
    """The `generator` argument of a layer: a generator, a seed, or None for `generator()`."""
    if given is None:
        return generator()
    if isinstance(given, np.random.Generator):
        return given
    if isinstance(given, (int, np.integer)) and not isinstance(given, bool) and given >= 0:
        return np.random.default_rng(int(given))
    raise cg.InputError(f"generator: a np.random.Generator, a seed or None, not {given!r:.60}{cg.here()}")


def using(source: np.random.Generator | Source) -> AbstractContextManager[None]:
    """Draw from `source` for the length of a block; blocks nest.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> with nn.using(np.random.default_rng(0)):
    ...     nn.uniform((2,), np.float64)
    array([0.63696169, 0.26978671])

    A source is a generator, or any object with the methods of `Source`.
    """
    if not isinstance(source, np.random.Generator) and not (hasattr(source, "uniform") and hasattr(source, "normal")):
        raise cg.InputError(
            "using: a source is a np.random.Generator, or an object with uniform(shape, dtype) and normal(shape, dtype), "
            f"not {source!r:.60}{cg.here()}"
        )
    return _within(source)


@contextmanager
def _within(source: Any) -> Iterator[None]:
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def uniform(shape: Sequence[int], dtype: Any = np.float32) -> Any:
    """Numbers in [0, 1) from the innermost source; an `InputError` in a trace that has no source of its own."""
    return _drawn("uniform", shape, dtype)


def normal(shape: Sequence[int], dtype: Any = np.float32) -> Any:
    """Numbers of mean 0 and variance 1, in the same way."""
    return _drawn("normal", shape, dtype)


def _drawn(law: str, shape: Sequence[int], dtype: Any) -> Any:
    source = _source.get()
    if source is None:
        traced = current_mode().traced
        if traced:
            raise cg.InputError(
                f"random numbers drawn while {traced} is traced would be constants of its graph, the same in every run: call model.eval(), "
                f"or with nn.using(source) hand out inputs of the graph; with nn.using(nn.generator()) constants are meant{cg.here()}"
            )
        source = _seeded[0]
    shape, dtype = tuple(shape), np.dtype(dtype)
    if not isinstance(source, np.random.Generator):
        return getattr(source, law)(shape, dtype)
    source = generator_within(source)
    draw = source.random if law == "uniform" else source.standard_normal
    if dtype == np.float64 or dtype == np.float32:
        return draw(shape, dtype)
    return draw(shape, np.float32).astype(dtype)

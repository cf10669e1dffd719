"""Random numbers within a checkpointed call: the run in a sweep draws what the first one drew.

A source of random numbers, as `compgraph.nn` has one, asks `generator_within` what to draw from, and puts the context variable
in which it keeps its innermost generator into `sources`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from compgraph.errors import InputError
from compgraph.origins import here

Instead = Callable[[np.random.Generator], np.random.Generator]

sources: list[ContextVar[Any]] = []  # a call runs again with the values that they had in its first run
_instead: ContextVar[Instead | None] = ContextVar("compgraph_draws", default=None)


def generator_within(generator: np.random.Generator) -> np.random.Generator:
    """What to draw from where `generator` is meant: within a call that runs again, a copy of it as it was at first."""
    instead = _instead.get()
    return generator if instead is None else instead(generator)


@contextmanager
def _drawing(instead: Instead) -> Iterator[None]:
    token = _instead.set(instead)
    try:
        yield
    finally:
        _instead.reset(token)


@contextmanager
def refused() -> Iterator[None]:
    """Draw nothing for the length of a block."""

    def refuse(generator: np.random.Generator) -> np.random.Generator:
        raise InputError(f"checkpoint_chain: a step draws random numbers, and would draw others when it is run again: pass them in{here()}")

    with _drawing(refuse):
        yield


class Draws:
    """Where the generators stood when a call began to draw from them: `first` around its first run, `again` around every other."""

    def __init__(self) -> None:
        self.before: dict[np.random.Generator, Any] = {}
        self.sources = [(source, source.get()) for source in sources]

    @contextmanager
    def first(self) -> Iterator[None]:
        outer = _instead.get()  # of a call that this one is in, perhaps in its second run

        def noted(generator: np.random.Generator) -> np.random.Generator:
            found = generator if outer is None else outer(generator)
            if generator not in self.before:
                self.before[generator] = copy.deepcopy(found.bit_generator.state)
            return found

        with _drawing(noted):
            yield

    @contextmanager
    def again(self) -> Iterator[None]:
        copies: dict[np.random.Generator, np.random.Generator] = {}

        def repeated(generator: np.random.Generator) -> np.random.Generator:
            if generator not in self.before:  # one that the call makes itself
                return generator
            if generator not in copies:
                bits = type(generator.bit_generator)()
                bits.state = self.before[generator]
                copies[generator] = np.random.Generator(bits)
            return copies[generator]

        tokens = [(source, source.set(value)) for source, value in self.sources]
        try:
            with _drawing(repeated):
                yield
        finally:
            for source, token in tokens:
                source.reset(token)

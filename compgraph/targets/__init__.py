"""Where a compiled graph runs. Each module here turns a graph into one program of its own kind, by `build`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Program(NamedTuple):
    """What a target makes of a graph.

    `function` takes one value for each input of the graph, of its shape and dtype, and returns a tuple with one value
    an output. Each output has memory of its own, but for those that were donated an input's. `notes` say in words which
    operations the target lacks and how they are computed instead.
    """

    source: str
    function: Callable[..., tuple[Any, ...]]
    notes: tuple[str, ...] = ()

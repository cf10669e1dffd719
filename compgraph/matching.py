"""Recognising patterns while a graph is rewritten: what a node is, how often it is read, and what it shows."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from compgraph.graph import Graph, Node
from compgraph.primitives.shape import permutation


def reads(graph: Graph) -> Counter[Node]:
    """How often each node is read: by other nodes, and as an output.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x: x * x, 2.0)
    >>> reads(graph)[graph.inputs[0]], reads(graph)[graph.outputs[0]]
    (2, 1)
    """
    return Counter(itertools.chain((arg for node in graph.nodes for arg in node.args if isinstance(arg, Node)), graph.outputs))


def is_a(value: Any, *names: str) -> bool:
    """Whether `value` is a node of one of these primitives."""
    return isinstance(value, Node) and value.primitive is not None and value.primitive.name in names


def is_square(x: Any) -> bool:
    return is_a(x, "square") or (is_a(x, "power") and x.args[1].__class__ in (int, float) and x.args[1] == 2)


class OnlyReaders:
    """Keeps, while a graph is rewritten, how often the new nodes are read: what has a single reader can be taken apart."""

    def __init__(self, graph: Graph) -> None:
        self._reads = reads(graph)
        self.count: dict[Node, int] = {}

    def note(self, node: Node, args: Sequence[Any]) -> None:
        for before, now in zip(node.args, args, strict=True):
            if isinstance(before, Node):  # the larger number, where a node was left out and its argument stands for it
                self.count[now] = max(self.count.get(now, 0), self._reads[before])

    def has(self, value: Any, *names: str) -> bool:
        """Whether `value` is a node of one of these primitives with one reader."""
        return is_a(value, *names) and self.count.get(value) == 1


def seen_through(x: Any, axes: Sequence[int]) -> tuple[Any, list[int | None]]:
    """What `x` shows, and along which of `axes` each axis of that runs, if it is longer than 1."""
    places: list[int | None] = list(axes)
    while isinstance(x, Node) and x.primitive is not None:
        below = x.args[0] if x.args else None
        if not isinstance(below, Node):
            break
        if x.primitive.name == "transpose":
            order = permutation(x.params["axes"], len(x.shape))
            places = [places[order.index(axis)] for axis in range(len(order))]
        elif x.primitive.name == "broadcast_to":
            places = places[len(x.shape) - len(below.shape) :]
        elif _inserts_axes(x, below):
            running = iter([place for place, length in zip(places, x.shape, strict=True) if length != 1])
            places = [None if length == 1 else next(running) for length in below.shape]
        else:
            break
        x = below
    return x, places


def _inserts_axes(x: Node, below: Node) -> bool:
    """Whether `x` is `below` with axes of length 1 put in or left out."""
    if is_a(x, "index"):
        index = x.params["index"]
        parts = index if isinstance(index, tuple) else (index,)
        if len(x.args) > 1 or not all(part is None or part is ... or (isinstance(part, slice) and part == slice(None)) for part in parts):
            return False
    elif not is_a(x, "reshape"):
        return False
    return [length for length in x.shape if length != 1] == [length for length in below.shape if length != 1]

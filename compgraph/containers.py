"""Nested dicts, lists and tuples of arrays, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compgraph.errors import InputError

Rebuild = Callable[[list[Any]], Any]


def flatten(tree: Any, path: str = "") -> tuple[list[Any], list[str], Rebuild]:
    """The leaves of a container, a path to each, and a function that puts such leaves back in their places.

    >>> leaves, paths, rebuild = flatten({"w": 1.0, "layers": [2.0, (3.0,)]}, "p")
    >>> leaves, paths
    ([1.0, 2.0, 3.0], ['p.w', 'p.layers[0]', 'p.layers[1][0]'])
    >>> rebuild([10.0, 20.0, 30.0])
    {'w': 10.0, 'layers': [20.0, (30.0,)]}

    Anything but a dict, list, tuple or named tuple is a leaf. A list of plain numbers is a container, not an array.
    """
    leaves: list[Any] = []
    paths: list[str] = []

    def take(part: Any, path: str, depth: int) -> Rebuild:
        if depth > 100:
            raise InputError(f"{path[:40]}... is nested more than 100 deep")
        if isinstance(part, dict):
            keys = list(part)
            inner = [take(part[key], f"{path}.{key}" if path else str(key), depth + 1) for key in keys]
            return lambda flat: dict(zip(keys, [build(flat) for build in inner], strict=True))
        if isinstance(part, (list, tuple)):
            inner = [take(one, f"{path}[{number}]", depth + 1) for number, one in enumerate(part)]
            if hasattr(part, "_fields"):
                return lambda flat: type(part)(*[build(flat) for build in inner])
            make = tuple if isinstance(part, tuple) else list
            return lambda flat: make(build(flat) for build in inner)
        place = len(leaves)
        leaves.append(part)
        paths.append(path)
        return lambda flat: flat[place]

    return leaves, paths, take(tree, path, 0)

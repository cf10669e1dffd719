"""Nested dicts, lists and tuples of arrays, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compgraph.errors import InputError
from compgraph.origins import here

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
    return leaves, paths, _take(tree, path, 0, leaves, paths)


def _take(part: Any, path: str, depth: int, leaves: list[Any], paths: list[str]) -> Rebuild:
    """Put the leaves of `part` into `leaves`. No closure: one that calls itself would keep them alive, and their graph."""
    if depth > 100:
        raise InputError(f"{path[:40]}... is nested more than 100 deep")
    if isinstance(part, dict):
        keys = list(part)
        inner = [_take(part[key], f"{path}.{key}" if path else str(key), depth + 1, leaves, paths) for key in keys]
        return lambda flat: dict(zip(keys, [build(flat) for build in inner], strict=True))
    if isinstance(part, (list, tuple)):
        inner = [_take(one, f"{path}[{number}]", depth + 1, leaves, paths) for number, one in enumerate(part)]
        if hasattr(part, "_fields"):
            return lambda flat: type(part)(*[build(flat) for build in inner])
        make = tuple if isinstance(part, tuple) else list
        return lambda flat: make(build(flat) for build in inner)
    place = len(leaves)
    leaves.append(part)
    paths.append(path)
    return lambda flat: flat[place]


def leaves_like(template: Any, tree: Any, path: str, what: str = "the seed of ") -> tuple[list[Any], list[str]]:
    """The leaves of a seed `tree` in the order of `template`'s, and a path to each; `InputError` where the two differ.

    >>> leaves_like({"w": 1.0, "b": [2.0]}, {"b": [20.0], "w": 10.0}, "p")
    ([10.0, 20.0], ['p.w', 'p.b[0]'])

    Dicts are matched by key, since two that are equal may differ in their order.
    """
    if isinstance(template, dict):
        if not isinstance(tree, dict) or tree.keys() != template.keys():
            raise InputError(f"{what}{path} has to be a dict of {', '.join(map(str, template))}, it is {_shown(tree)}{here()}")
        parts = [(template[key], tree[key], f"{path}.{key}") for key in template]
    elif isinstance(template, (list, tuple)):
        if not isinstance(tree, (list, tuple)) or len(tree) != len(template):
            raise InputError(f"{what}{path} has to be a {type(template).__name__} of {len(template)}, it is {_shown(tree)}{here()}")
        parts = [(one, other, f"{path}[{place}]") for place, (one, other) in enumerate(zip(template, tree, strict=True))]
    else:
        return [tree], [path]
    found = [leaves_like(*part, what) for part in parts]
    return [leaf for leaves, _ in found for leaf in leaves], [label for _, labels in found for label in labels]


def _shown(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"a dict of {', '.join(map(str, tree)) or 'nothing'}"
    return f"a {type(tree).__name__}" + (f" of {len(tree)}" if isinstance(tree, (list, tuple)) else "")

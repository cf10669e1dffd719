"""Points in the plane in shapes that a line cannot separate.

>>> data = moons(200, noise=0.1, seed=0)
>>> data
Dataset of 200 examples: X float32 (200, 2), y int64 (200,)

Each takes the number of points, the standard deviation of the normal noise on both coordinates, a seed or a
`np.random.Generator`, and a dtype. Classes are of equal size up to one point, in random order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import compgraph as cg
from optim.data.dataset import Array, Dataset, generator_of
from optim.schedules import check_count

Seed = int | np.random.Generator


def moons(n: int = 200, noise: float = 0.1, seed: Seed = 0, *, dtype: Any = np.float32) -> Dataset:
    """Two half circles of radius 1 that reach into each other: the upper around (0, 0), the lower around (1, 1/2)."""

    def point(label: Array, along: Array, generator: np.random.Generator) -> tuple[Array, Array]:
        angle, lower = np.pi * along, label == 1
        return np.where(lower, 1 - np.cos(angle), np.cos(angle)), np.where(lower, 0.5 - np.sin(angle), np.sin(angle))

    return _toy("two half moons", point, 2, n, noise, seed, dtype)


def circles(n: int = 200, noise: float = 0.05, seed: Seed = 0, *, factor: float = 0.5, dtype: Any = np.float32) -> Dataset:
    """A circle of radius 1 (label 0) and one of radius `factor` (label 1) within it."""
    if not 0 < factor < 1:
        raise cg.InputError(f"factor is the inner circle's radius, between 0 and 1, not {factor!r:.40}{cg.here()}")

    def point(label: Array, along: Array, generator: np.random.Generator) -> tuple[Array, Array]:
        radius = np.where(label == 1, factor, 1.0)
        return radius * np.cos(2 * np.pi * along), radius * np.sin(2 * np.pi * along)

    return _toy("two circles around one centre", point, 2, n, noise, seed, dtype)


def spirals(
    n: int = 200, noise: float = 0.02, seed: Seed = 0, *, classes: int = 2, turns: float = 1.5, dtype: Any = np.float32
) -> Dataset:
    """Arms that wind `turns` times around the origin, to radius 1; arm k is arm 0 turned by k/`classes` of a circle."""
    check_count("classes", classes, least=2)

    def point(label: Array, along: Array, generator: np.random.Generator) -> tuple[Array, Array]:
        angle = 2 * np.pi * (turns * along + label / classes)
        return along * np.cos(angle), along * np.sin(angle)

    return _toy(f"{classes} spiral arms", point, classes, n, noise, seed, dtype)


def xor(n: int = 200, noise: float = 0.0, seed: Seed = 0, *, dtype: Any = np.float32) -> Dataset:
    """The square from -1 to 1; the label is 1 where one coordinate alone is positive."""

    def point(label: Array, along: Array, generator: np.random.Generator) -> tuple[Array, Array]:
        right = generator.integers(0, 2, len(label)) == 1
        x, y = 1 - along, 1 - generator.random(len(label))  # in (0, 1]: never on an axis
        return np.where(right, x, -x), np.where(right != (label == 1), y, -y)

    return _toy("exclusive or", point, 2, n, noise, seed, dtype)


def _toy(
    description: str, point: Callable[[Array, Array, np.random.Generator], tuple[Array, Array]],
    classes: int, n: int, noise: float, seed: Seed, dtype: Any,
) -> Dataset:  # fmt: skip
    check_count("n", n)
    if not 0 <= noise < np.inf:
        raise cg.InputError(f"noise is a standard deviation, 0 or more, not {noise!r:.40}{cg.here()}")
    generator = generator_of(seed)
    labels = generator.permutation(np.arange(n) % classes)
    X = np.stack(point(labels, generator.random(n), generator), axis=1)
    X += noise * generator.normal(size=X.shape)
    return Dataset(X.astype(dtype), labels.astype(np.int64), ("x1", "x2"), (), description)

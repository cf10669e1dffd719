"""Modules that only change the shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.module import Module, whole


def axis_of(module: Module, axis: int, shape: tuple[int, ...]) -> int:
    """`axis` counted from the front, or a `ShapeError`."""
    if not -len(shape) <= axis < len(shape):
        raise cg.ShapeError(f"{module.label()}: the input has shape {shape} and no axis {axis}{cg.here()}")
    return axis % len(shape)


class Flatten(Module):
    """The axes from `start_dim` to `end_dim` as one: (N, C, H, W) to (N, C H W).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.Flatten()(np.zeros((32, 8, 4, 4))).shape
    (32, 128)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        shape = np.shape(x)
        start, end = axis_of(self, self.start_dim, shape), axis_of(self, self.end_dim, shape)
        if start > end:
            raise cg.ShapeError(f"{self.label()}: of the input's shape {shape} the first axis comes after the last{cg.here()}")
        return np.reshape(x, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis `dim` as several: (N, C H W) to (N, C, H, W). One length may be -1, which makes it fit.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.Unflatten(1, (8, 4, 4))(np.zeros((32, 128))).shape
    (32, 8, 4, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        sizes = tuple(whole(self, "unflattened_size", size, -1) for size in unflattened_size)
        if not sizes or sizes.count(-1) > 1:
            raise cg.InputError(f"Unflatten: unflattened_size is a tuple of lengths, of which one may be -1, not {sizes}{cg.here()}")
        self.dim, self.unflattened_size = dim, sizes

    def forward(self, x: Any) -> Any:
        shape = np.shape(x)
        axis, sizes = axis_of(self, self.dim, shape), self.unflattened_size
        product = math.prod(size for size in sizes if size >= 0)
        if shape[axis] != product and (-1 not in sizes or not product or shape[axis] % product):
            raise cg.ShapeError(f"{self.label()}: axis {self.dim} of the input's shape {shape} cannot become {sizes}{cg.here()}")
        sizes = tuple(shape[axis] // product if size == -1 else size for size in sizes)  # NumPy cannot tell for an empty batch
        return np.reshape(x, (*shape[:axis], *sizes, *shape[axis + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"

"""Vectors for the members of a finite set: words, characters, users."""

from __future__ import annotations

from typing import Any

import numpy as np

import compgraph as cg
from compgraph.backend import as_array
from compgraph.nn.module import Module, whole
from compgraph.nn.randomness import generator_from


class Embedding(Module):
    """Row i of `weight` for each integer i: (...) to (..., embedding_dim).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.Embedding(27, 8)(np.array([[0, 26, 3], [1, 1, 1]])).shape
    (2, 3, 8)

    The rows start normal with variance 1. Row `padding_idx` starts at 0 and gets no gradient. Raises `DtypeError` for indices
    that are no integers and `NodeIndexError` for one outside [0, num_embeddings).
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, dtype: Any = np.float32, generator: Any = None
    ) -> None:
        self.num_embeddings = whole(self, "num_embeddings", num_embeddings)
        self.embedding_dim = whole(self, "embedding_dim", embedding_dim)
        rows = generator_from(generator).standard_normal((num_embeddings, embedding_dim)).astype(dtype)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise cg.InputError(f"Embedding: padding_idx {padding_idx} is outside of its {num_embeddings} rows{cg.here()}")
            padding_idx %= num_embeddings
            rows[padding_idx] = 0
        self.padding_idx = padding_idx
        self.weight = cg.variable(rows)

    def _check_dtypes(self, args: tuple[Any, ...]) -> None:
        """Its input is of no parameter's dtype; `forward` looks at it."""

    def forward(self, indices: Any) -> Any:
        if not isinstance(indices, cg.Node):
            indices = as_array(indices)
        if indices.dtype.kind not in "iu":
            raise cg.DtypeError(f"{self.label()}: indices are integers, not {indices.dtype}; write indices.astype(int){cg.here()}")
        known = indices.value if isinstance(indices, cg.Node) else indices
        if known is not None:
            self._check_range(as_array(known))
            read = indices
        else:  # in a program a row that there is not is an error when it runs; below 0 would count from the last one
            read = np.where(indices < 0, self.num_embeddings, indices)
        rows = np.take(self.weight, read, axis=0)
        if self.padding_idx is None:
            return rows
        return np.where((indices == self.padding_idx)[..., None], cg.stop_gradient(rows), rows)

    def _check_range(self, indices: Any) -> None:
        outside = (indices < 0) | (indices >= self.num_embeddings)
        if outside.any():
            place = tuple(int(number) for number in np.argwhere(outside)[0])
            raise cg.NodeIndexError(
                f"{self.label()}: index {indices[outside][0]}{f' at {place}' if place else ''} is outside of 0 to "
                f"{self.num_embeddings - 1}{cg.here()}"
            )

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

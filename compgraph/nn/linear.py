"""Affine maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.module import Module, whole
from compgraph.nn.randomness import generator_from


class Identity(Module):
    """y = x, whatever it is made with: a place where a layer can stand."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        return x


class Linear(Module):
    """y = x W^T + b on the last axis: (..., in_features) to (..., out_features).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> layer = nn.Linear(20, 30)
    >>> layer.weight.shape, layer.bias.shape, layer(np.ones((128, 20), np.float32)).shape
    ((30, 20), (30,), (128, 30))

    Weight and bias start uniform in (-k, k), k = 1 / sqrt(in_features), as in PyTorch. Raises `ShapeError` for an input whose
    last axis is of another length.
    """

    floating_input = True

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: Any = np.float32, generator: Any = None
    ) -> None:
        self.in_features, self.out_features = whole(self, "in_features", in_features), whole(self, "out_features", out_features)
        rng, bound = generator_from(generator), 1 / math.sqrt(self.in_features)
        self.weight = cg.variable(rng.uniform(-bound, bound, (self.out_features, self.in_features)).astype(dtype))
        self.bias = cg.variable(rng.uniform(-bound, bound, self.out_features).astype(dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        shape = x.shape if hasattr(x, "shape") else np.shape(x)
        if not shape or shape[-1] != self.in_features:
            raise cg.ShapeError(f"{self.label()}: the input has shape {shape}, its last axis has to have {self.in_features}{cg.here()}")
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

"""Dropout: Srivastava et al., JMLR 15 (2014)."""

from __future__ import annotations

from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.module import Module
from compgraph.nn.randomness import uniform


class Dropout(Module):
    """While training, sets each entry to 0 with probability `p` and divides the others by 1 - p; otherwise y = x.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> with nn.using(np.random.default_rng(0)):
    ...     nn.Dropout(0.5)(np.ones(6, np.float32))
    array([2., 2., 2., 0., 0., 0.], dtype=float32)

    Divided while training (inverted dropout), the expectation is that of y = x, and nothing is to be done afterwards.
    """

    def __init__(self, p: float = 0.5) -> None:
        if isinstance(p, bool) or not isinstance(p, (int, float, np.number)) or not 0 <= p <= 1:
            raise cg.InputError(f"{type(self).__name__}: p is a probability, a number in [0, 1], not {p!r:.60}{cg.here()}")
        self.p = float(p)

    def forward(self, x: Any) -> Any:
        if not self.training or not self.p:
            return x
        if self.p == 1:
            return x * 0.0  # 1 / (1 - p) is infinite
        kept = uniform(self.drawn(x.shape), x.dtype) >= self.p
        return x * np.where(kept, x.dtype.type(1 / (1 - self.p)), x.dtype.type(0))

    def drawn(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what is kept or dropped as one, for an input of `shape`."""
        return shape

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class Dropout1d(Dropout):
    """Dropout of whole channels of (N, C, L): neighbours in a sequence are too alike for single entries to be missed.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> with nn.using(np.random.default_rng(0)):
    ...     nn.Dropout1d(0.5)(np.ones((1, 4, 2))).tolist()
    [[[2.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]]

    Tompson et al., CVPR (2015). Raises `ShapeError` for another number of axes.
    """

    axes, layout = 3, "(N, C, L)"

    def drawn(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) != self.axes:
            raise cg.ShapeError(f"{self.label()}: the input has shape {shape}, it has to be {self.layout}{cg.here()}")
        return shape[:2] + (1,) * (self.axes - 2)


class Dropout2d(Dropout1d):
    """Dropout of whole channels of images (N, C, H, W).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.Dropout2d(0.2)(np.ones((5, 3, 8, 8))).shape
    (5, 3, 8, 8)
    """

    axes, layout = 4, "(N, C, H, W)"

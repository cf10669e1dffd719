"""NumPy's products of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.functions.registry import implements
from compgraph.functions.shaping import reshape, transpose
from compgraph.graph import bind
from compgraph.primitives.kinds import shape_of


@implements(np.dot)
def dot(a: Any, b: Any) -> Any:
    """`a * b` for numbers, `a @ b` up to matrices, and for more axes the last of `a` with the second to last of `b`."""
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        return bind("multiply", a, b)
    if len(right) <= 2:
        return bind("matmul", a, b)
    rows, inner, columns = left[:-1], right[-2], right[:-2] + right[-1:]
    moved = transpose(b, (len(right) - 2, *range(len(right) - 2), len(right) - 1))
    product = bind("matmul", a, reshape(moved, (inner, -1 if inner else int(np.prod(columns)))))
    return reshape(product, rows + columns)

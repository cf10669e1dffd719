"""NumPy's questions about an array, which are answered with plain values and have no derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.functions.registry import implements
from compgraph.graph import Node
from compgraph.primitives.kinds import shape_of

implements(np.shape)(lambda a: shape_of(a))
implements(np.ndim)(lambda a: len(shape_of(a)))
implements(np.size)(lambda a: a.size)
implements(np.zeros_like)(lambda a, dtype=None: np.zeros(a.shape, dtype or a.dtype))
implements(np.ones_like)(lambda a, dtype=None: np.ones(a.shape, dtype or a.dtype))
implements(np.full_like)(lambda a, fill_value, dtype=None: np.full(a.shape, fill_value, dtype or a.dtype))
implements(np.any)(lambda a, axis=None, keepdims=False: np.any(a.concrete("np.any()"), axis, keepdims=keepdims))
implements(np.all)(lambda a, axis=None, keepdims=False: np.all(a.concrete("np.all()"), axis, keepdims=keepdims))
implements(np.array_repr)(lambda arr: repr(arr))
implements(np.array_str)(lambda a: str(a))


def _number(value: Any) -> Any:
    return value.concrete("a comparison") if isinstance(value, Node) else value


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any) -> bool:
    return np.array_equal(_number(a1), _number(a2))


@implements(np.allclose)
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    return np.allclose(_number(a), _number(b), rtol, atol)

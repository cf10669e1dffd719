"""NumPy's questions about an array, which are answered with plain values and have no derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.functions.parameters import static_shape
from compgraph.functions.registry import implements
from compgraph.graph import Node
from compgraph.primitives.kinds import is_node, shape_of


def number(value: Any, purpose: str = "a comparison") -> Any:
    """The value of a node, which has to hold one; anything else as it is."""
    return value.concrete(purpose) if isinstance(value, Node) else value


def _filled(a: Any, fill: Any, dtype: Any, shape: Any) -> Any:
    shape = shape_of(a) if shape is None else static_shape(shape)
    dtype = np.dtype(a.dtype if dtype is None else dtype)
    return np.broadcast_to(fill, shape).astype(dtype) if is_node(fill) else np.full(shape, fill, dtype)


implements(np.shape)(lambda a: shape_of(a))
implements(np.ndim)(lambda a: len(shape_of(a)))
implements(np.size)(lambda a, axis=None: a.size if axis is None else int(np.prod([shape_of(a)[one] for one in np.atleast_1d(axis)])))
implements(np.zeros_like)(lambda a, dtype=None, *, shape=None: _filled(a, 0, dtype, shape))
implements(np.empty_like)(lambda prototype, dtype=None, *, shape=None: _filled(prototype, 0, dtype, shape))
implements(np.ones_like)(lambda a, dtype=None, *, shape=None: _filled(a, 1, dtype, shape))
implements(np.full_like)(lambda a, fill_value, dtype=None, *, shape=None: _filled(a, fill_value, dtype, shape))
implements(np.nonzero)(lambda a: np.nonzero(number(a, "np.nonzero()")))
implements(np.argwhere)(lambda a: np.argwhere(number(a, "np.argwhere()")))
implements(np.flatnonzero)(lambda a: np.flatnonzero(number(a, "np.flatnonzero()")))
implements(np.array_repr)(lambda arr: repr(arr))
implements(np.array_str)(lambda a: str(a))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any) -> bool:
    return np.array_equal(number(a1), number(a2))


@implements(np.allclose)
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    return np.allclose(number(a), number(b), rtol, atol)


@implements(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> Any:
    return np.result_type(*[one.dtype if is_node(one) else one for one in arrays_and_dtypes])

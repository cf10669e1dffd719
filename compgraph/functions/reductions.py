"""NumPy's reductions over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import ImmutableNodeError
from compgraph.functions.parameters import static_axes
from compgraph.functions.registry import implements
from compgraph.graph import bind
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast


def _reduced(primitive: str, a: Any, axis: Any, dtype: Any, out: Any, keepdims: bool) -> Any:
    if out is not None:
        raise ImmutableNodeError(f"np.{primitive} with out= would write a node into an array{here()}. Use its result")
    return bind(primitive, a if dtype is None else cast(a, dtype), axis=static_axes(axis), keepdims=bool(keepdims))


@implements(np.sum)
def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduced("sum", a, axis, dtype, out, keepdims)


@implements(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduced("mean", a, axis, dtype, out, keepdims)


@implements(np.max, np.amax)
def max(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduced("max", a, axis, None, out, keepdims)


@implements(np.min, np.amin)
def min(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    return _reduced("min", a, axis, None, out, keepdims)

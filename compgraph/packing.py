"""Many arrays as one vector, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compgraph.containers import flatten
from compgraph.errors import InputError, ShapeError
from compgraph.graph import Node
from compgraph.operands import input_value
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast


def ravel(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """A container of arrays as one vector, and the function that reads such a vector as the container again.

    >>> import numpy as np, compgraph as cg
    >>> vector, unravel = cg.ravel({"w": np.ones((2, 3)), "b": np.zeros(2)})
    >>> vector
    array([1., 1., 1., 1., 1., 1., 0., 0.])
    >>> layer = unravel(vector)
    >>> vector[:] = 5.0
    >>> layer["b"]
    array([5., 5.])

    Of an array `unravel` makes views: what is written into the vector is seen in them, and the other way round. Of a
    node it makes nodes, so a loss of the parts is differentiated by the whole. An optimizer's update of the vector takes
    a dozen calls, however many layers there are. The vector has the dtype that all leaves fit in; parts of another
    dtype are copies. Like `jax.flatten_util.ravel_pytree`. Raises `InputError` for a container without arrays and
    `ShapeError`, in `unravel`, for a vector of another length.
    """
    leaves, paths, rebuild = flatten(tree)
    if not leaves:
        raise InputError(f"ravel takes a container with at least one array, {tree!r:.40} has none{here()}")
    values = [leaf if isinstance(leaf, Node) else input_value(leaf, path) for leaf, path in zip(leaves, paths, strict=True)]
    shapes = [value.shape for value in values]
    dtypes = [value.dtype for value in values]
    stops = np.cumsum([int(np.prod(shape, dtype=int)) for shape in shapes]).tolist()
    dtype = np.result_type(*dtypes)
    vector = np.concatenate([np.reshape(cast(value, dtype), (-1,)) for value in values])

    def unravel(vector: Any) -> Any:
        if vector.shape != (stops[-1],):
            raise ShapeError(f"unravel takes a vector of {stops[-1]} entries, this one has shape {vector.shape}{here()}")
        starts = [0, *stops[:-1]]
        parts = [np.reshape(vector[start:stop], shape) for start, stop, shape in zip(starts, stops, shapes, strict=True)]
        same = len(set(dtypes)) == 1
        return rebuild(parts if same else [cast(part, own) for part, own in zip(parts, dtypes, strict=True)])

    return vector, unravel

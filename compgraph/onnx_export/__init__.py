"""Graphs as ONNX files, which other programs run: `graph.to_onnx(path)` and `cg.to_onnx(function, examples, path)`.

`elementwise.py`, `arrays.py` and `indices.py` are THE table from primitives to operators, one row a primitive. `program.py` has
the form in between, `batch.py` the batch axis and `files.py` the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from compgraph.errors import InputError
from compgraph.graph import Node, placeholder
from compgraph.onnx_export.batch import SIZES
from compgraph.onnx_export.graphs import ROWS, written
from compgraph.origins import here
from compgraph.tracing import trace

__all__ = ["ROWS", "to_onnx"]

def to_onnx(function: Callable[..., Any], examples: Any, path: str | os.PathLike[str], *, batch: bool = True) -> Path:
    """Trace `function` on arrays like the examples and write it as an ONNX file; the path.

    >>> import tempfile, numpy as np, compgraph as cg
    >>> W = cg.variable(np.ones((3, 2), np.float32), name="W")
    >>> path = cg.to_onnx(lambda x: np.tanh(x @ W), np.zeros((5, 3), np.float32), tempfile.mkdtemp() + "/layer.onnx")
    >>> import onnx
    >>> model = onnx.load(path)
    >>> [node.op_type for node in model.graph.node], [tensor.name for tensor in model.graph.initializer]
    (['MatMul', 'Tanh'], ['W'])
    >>> model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    'batch'

    `examples` is an array, or a tuple of them for a function of several. With `batch` the first axis of each is the batch, whose
    size stays open: see `batch.py` for how. Without it the sizes are those of the examples. Only shapes and dtypes matter.
    Raises what `graph.to_onnx` raises, and `GraphError` for a function that does something else for each size.
    """
    given = examples if isinstance(examples, tuple) else (examples,)
    if not batch:
        return written([trace(function, *given)], path)
    values = [example if isinstance(example, Node) else np.asarray(example) for example in given]
    lengths = {value.shape[0] for value in values if value.shape}
    if len(lengths) != 1:
        found = ", ".join(str(value.shape) for value in values)
        raise InputError(f"the examples share their first axis, the batch; they have shapes {found}: batch=False keeps all sizes{here()}")
    graphs = [trace(function, *[_of_size(value, size) for value in values]) for size in SIZES]
    return written(graphs, path)


def _of_size(value: Any, size: int) -> Any:
    """Something like an example, but with a batch of another size."""
    return placeholder((size, *value.shape[1:]), value.dtype) if value.shape else value

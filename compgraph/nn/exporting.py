"""Models for other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import compgraph as cg
from compgraph.nn.module import Module
from compgraph.nn.substitution import functional_call


def to_onnx(model: Module, example_input: Any, path: str | os.PathLike[str], *, batch: bool = True) -> Path:
    """Write a model, as it computes after `eval()`, as an ONNX file; the path.

    >>> import tempfile, numpy as np
    >>> from compgraph import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> path = nn.to_onnx(model, np.zeros((1, 4), np.float32), tempfile.mkdtemp() + "/model.onnx")
    >>> import onnx
    >>> [tensor.name for tensor in onnx.load(path).graph.initializer]
    ['0.weight', '0.bias', '2.weight', '2.bias']

    Parameters and buffers keep the names of `state_dict`. `example_input` is an array, or a tuple of them for a model of several
    inputs; only shapes and dtypes matter. With `batch` the first axis of each stays open, so the file takes batches of any size;
    without it the sizes are those of the example. Whether the model is training is as before afterwards. Raises what
    `cg.to_onnx` raises: `MissingRuleError` for an operation that ONNX has not, with its line, and nothing is written.
    """
    if not isinstance(model, Module):
        raise cg.InputError(f"nn.to_onnx takes a model, not {type(model).__name__}: cg.to_onnx takes a function{cg.here()}")
    buffers = {name: buffer for name, buffer in model.named_buffers() if buffer.dtype.kind == "f"}
    values = {name: parameter.value for name, parameter in model.named_parameters()} | buffers
    nodes = {name: cg.variable(value, name=name) for name, value in values.items()}
    arity = len(example_input) if isinstance(example_input, tuple) else 1

    def forward(*inputs: Any) -> Any:
        return functional_call(model, nodes, *inputs)[0]

    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with cg.scope(type(model).__name__):
            return cg.to_onnx(_named(forward, arity), example_input, path, batch=batch)
    finally:
        for module, was in training:
            module.training = was


def _named(forward: Any, arity: int) -> Any:
    """`forward` with parameters that give the file's inputs their names: `input`, or `input1`, `input2`."""
    if arity == 1:
        return lambda input: forward(input)
    return forward

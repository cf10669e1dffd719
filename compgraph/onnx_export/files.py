"""Programs as files of ONNX: the only module here that needs the package `onnx`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from compgraph.errors import GraphError, MissingDependencyError
from compgraph.onnx_export.program import Program, Value
from compgraph.origins import describe_origin, here

# The oldest versions that have all that is used, so that the most runtimes read the file: see docs/decisions/0030-onnx.md.
OPSET, IR_VERSION = 18, 8


def model_of(program: Program) -> Any:
    """The `onnx.ModelProto` of a program, checked; `MissingDependencyError` without the package."""
    try:
        import onnx
    except ImportError as error:
        install = f'pip install "compgraph[onnx]"{here()}'
        raise MissingDependencyError(f"ONNX files need the package onnx, which is not installed: {install}") from error
    helper = onnx.helper
    graph = _graph(onnx, program)
    graph.initializer.extend(_tensor(onnx, tensor, name) for name, tensor in program.tensors.items())
    version = sys.modules["compgraph"].__version__  # the face, which stands above this module
    model = helper.make_model(
        graph, producer_name="compgraph", producer_version=version, ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )  # fmt: skip
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())
        reason = f"{_place(program, reason)}{reason:.300}"
        raise GraphError(f"{program.name} would make an ONNX file that is not valid: {reason}{here()}") from error
    except ValueError as error:  # of protocol buffers, for more than 2 GiB
        raise GraphError(f"{program.name} cannot be one ONNX file: {error}{here()}") from error
    return model


def _place(program: Program, reason: str) -> str:
    """The user's line for the operator that a message of ONNX's checker names."""
    for operation in program.operations:
        if operation.node is not None and f"node name: {operation.outputs[0]})" in reason:
            place = describe_origin(operation.node.origin)
            return f"{operation.outputs[0]} ({place}): " if place else f"{operation.outputs[0]}: "
    return ""


def _graph(onnx: Any, program: Program) -> Any:
    nodes = []
    for operation in program.operations:
        attributes = {key: _attribute(onnx, value) for key, value in operation.attributes.items() if value != ()}  # which has no type
        origin = describe_origin(operation.node.origin) if operation.node is not None else ""
        nodes.append(onnx.helper.make_node(
            operation.op, operation.inputs, operation.outputs, name=operation.outputs[0], doc_string=origin or None, **attributes
        ))  # fmt: skip
    inputs, outputs = ([_value(onnx, value) for value in end] for end in (program.inputs, program.outputs))
    return onnx.helper.make_graph(nodes, program.name, inputs, outputs)


def _attribute(onnx: Any, value: Any) -> Any:
    if isinstance(value, Program):
        return _graph(onnx, value)
    return onnx.helper.np_dtype_to_tensor_dtype(value) if isinstance(value, np.dtype) else value


def _value(onnx: Any, value: Value) -> Any:
    return onnx.helper.make_tensor_value_info(value.name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def _tensor(onnx: Any, tensor: Any, name: str) -> Any:
    return onnx.numpy_helper.from_array(np.ascontiguousarray(tensor).reshape(tensor.shape), name)

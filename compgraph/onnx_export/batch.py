"""A program for batches of every size, from the programs of the same function for three sizes.

A trace has fixed shapes, so a function is traced for batches of `SIZES`. The programs have the same operators, or the function
does something else for each size and is refused. They differ in constants only, since sizes are constants and never attributes.
Where these are a * n + b for the size n in two of the programs, and the third agrees, the operators that compute them from the
size of the input take their place: lengths and shapes, arrays that repeat along an axis (the zeros a recurrent network starts
with), and numbers in steps (the rows in `logits[np.arange(n), y]`). Anything else is refused, with its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from compgraph.errors import GraphError
from compgraph.graph import Node, describe
from compgraph.onnx_export.program import Dim, Operation, Program, Value, ints
from compgraph.origins import here

SIZES = (3, 4, 6)  # neither 1, which broadcasts, nor so large that a trace would take long
NAME = "batch"


def with_batch_axis(programs: Sequence[Program]) -> Program:
    """The program that computes for any batch what the three do for theirs. Inputs with axes have the batch on the first."""
    first = programs[0]
    _check_alike(programs)
    size = _Size(first)
    changed: dict[str, str] = {}
    for name, tensor in first.tensors.items():
        found = [program.tensors[name] for program in programs]
        if any(one is not tensor and not _same(one, tensor) for one in found[1:]):
            changed[name] = size.tensor(name, found)
    operations = [_reshaped(operation, size, changed) for operation in _moved(programs, changed)]
    inputs, outputs = (_values([getattr(program, end) for program in programs]) for end in ("inputs", "outputs"))
    tensors = {name: tensor for name, tensor in first.tensors.items() if name not in changed} | size.tensors
    return Program(first.name, inputs, outputs, size.operations + operations, tensors)


def _same(one: Any, other: Any) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


# --------------------------------------------------------------------------------------- what has to be the same


def _check_alike(programs: Sequence[Program]) -> None:
    first = programs[0]
    for program in programs[1:]:
        for one, other in zip(first.operations, program.operations, strict=False):
            mine, its = ({key: value for key, value in each.attributes.items() if not isinstance(value, Program)} for each in (one, other))
            if (one.op, one.inputs, one.outputs, mine) != (other.op, other.inputs, other.outputs, its):
                raise _depends(one.node, "is computed in another way for each size")
            for left, right in zip(one.bodies, other.bodies, strict=True):
                _check_alike([left, right])
        if len(first.operations) != len(program.operations) or first.tensors.keys() != program.tensors.keys():
            raise _depends(None, "has another number of operations for each size")


def _depends(node: Node | None, how: str) -> GraphError:
    what = describe(node) if node is not None else "the function"
    return GraphError(
        f"{what} {how} of the batch, so one ONNX file cannot hold it for all of them: batch=False writes it for the example's size{here()}"
    )


# ------------------------------------------------------------------------------------------------- sizes


def _line(values: Sequence[Any]) -> tuple[Fraction, Fraction] | None:
    """(a, b) of the line a * n + b through the values at `SIZES`, if they lie on one."""
    if not all(np.isfinite(float(value)) for value in values):
        return None
    one, two, three = (Fraction(value) for value in values)
    slope = (two - one) / (SIZES[1] - SIZES[0])
    start = one - slope * SIZES[0]
    return (slope, start) if slope * SIZES[2] + start == three else None


def _dim(lengths: Sequence[Any]) -> Dim:
    if isinstance(lengths[0], str) or len(set(lengths)) == 1:
        return lengths[0]
    line = _line(lengths)
    if line is None:
        return None
    slope, start = line
    return (f"{slope}*" if slope != 1 else "") + NAME + (f"{'+' if start > 0 else '-'}{abs(start)}" if start else "")


def _values(ends: Sequence[Sequence[Value]]) -> list[Value]:
    return [
        replace(same[0], shape=tuple(_dim(lengths) for lengths in zip(*(value.shape for value in same), strict=True)))
        for same in zip(*ends, strict=True)
    ]


def _moved(programs: Sequence[Program], changed: dict[str, str]) -> list[Operation]:
    """The operations, with what they read under its new name, and bodies whose ends have the batch axis too."""
    found = []
    for same in zip(*(program.operations for program in programs), strict=True):
        attributes = dict(same[0].attributes)
        for key, value in attributes.items():
            if isinstance(value, Program):
                bodies = [one.attributes[key] for one in same]
                inputs, outputs = (_values([getattr(body, end) for body in bodies]) for end in ("inputs", "outputs"))
                attributes[key] = Program(value.name, inputs, outputs, _moved(bodies, changed))
        found.append(replace(same[0], inputs=tuple(changed.get(name, name) for name in same[0].inputs), attributes=attributes))
    return found


def _reshaped(operation: Operation, size: _Size, changed: dict[str, str]) -> Operation:
    """A shape with a single length that depends on the batch is written with -1, which needs no arithmetic."""
    old = next((name for name, new in changed.items() if operation.op == "Reshape" and operation.inputs[1] == new), None)
    if old is None or old not in size.single:
        return operation
    name = f"{old}/-1"
    size.tensors[name] = size.single[old]
    return replace(operation, inputs=(operation.inputs[0], name), attributes={})


class _Size:
    """The operators that compute what depends on the batch, from the shape of the first input that has axes."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.operations: list[Operation] = []
        self.tensors: dict[str, Any] = {}
        self.single: dict[str, Any] = {}  # shapes in which -1 can stand for their only length that depends on the batch
        self.source = next((value.name for value in program.inputs if value.shape), "")

    def user(self, name: str) -> Node | None:
        return next((operation.node for operation in self.program.operations if name in operation.reads), None)

    def op(self, op: str, *inputs: Any, output: str, **attributes: Any) -> str:
        names = []
        for number, one in enumerate(inputs):
            names.append(one if isinstance(one, str) else f"{output}/c{number}")
            if not isinstance(one, str):
                self.tensors[names[-1]] = one
        self.operations.append(Operation(op, tuple(names), (output,), attributes, None))
        return output

    def number(self) -> str:
        """The size of the batch, as an array of one int64."""
        if not self.operations:
            self.op("Shape", self.source, output=f"{NAME}/size", start=0, end=1)
        return self.operations[0].outputs[0]

    def tensor(self, name: str, found: Sequence[Any]) -> str:
        """The name of what computes the constant `name`, which is `found` for the three sizes."""
        shapes = [one.shape for one in found]
        if len({len(shape) for shape in shapes}) > 1:
            raise _depends(self.user(name), "needs a constant whose number of axes changes with the size")
        if len(set(shapes)) == 1:
            return self.entries(name, found)
        lengths = [np.array(shape, np.int64) for shape in shapes]
        axes = [axis for axis in range(found[0].ndim) if len({shape[axis] for shape in shapes}) > 1]
        rows = [one[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(one.ndim))] for one in found]
        if all(_same(row, rows[0]) and np.array_equal(one, np.broadcast_to(row, one.shape)) for row, one in zip(rows, found, strict=True)):
            return self.op("Expand", rows[0], self.entries(f"{name}/shape", lengths), output=f"{name}/{NAME}")
        if len(axes) == 1 and all(one.size == one.shape[axes[0]] for one in found) and found[0].dtype.kind in "if":
            start, step = (found[-1].reshape(-1)[place] for place in (0, 1))
            step = step - start
            if all(np.array_equal(one.reshape(-1), start + step * np.arange(one.size)) for one in found):
                ends = [start + step * one.size for one in found]
                stop = self.entries(f"{name}/stop", [np.array(end, found[0].dtype) for end in ends])
                steps = self.op("Range", np.array(start), stop, np.array(step), output=f"{name}/steps")
                shape = ints(-1 if axis in axes else 1 for axis in range(found[0].ndim))
                return self.op("Reshape", steps, shape, output=f"{name}/{NAME}")
        raise _depends(self.user(name), "needs a constant array that is neither repeated nor counted along the axis")

    def entries(self, name: str, found: Sequence[Any]) -> str:
        """Arrays of one shape, whose entries are a * n + b."""
        lines = [_line([entry.item() for entry in same]) for same in zip(*(one.reshape(-1) for one in found), strict=True)]
        dtype, shape = found[0].dtype, found[0].shape
        known = [line for line in lines if line is not None]
        if len(known) < len(lines) or dtype.kind not in "if":
            raise _depends(self.user(name.removesuffix("/shape").removesuffix("/stop")), "needs a constant that is no multiple of the size")
        slopes, starts = (np.array([type(found[0].reshape(-1)[0].item())(line[part]) for line in known], dtype) for part in (0, 1))
        varying = np.flatnonzero(slopes)
        if len(shape) == 1 and dtype == np.int64 and len(varying) == 1 and np.all(found[0] != 0):
            self.single[name] = np.where(slopes != 0, -1, found[0])
        n = self.number()
        if dtype != np.int64:
            n = self.op("Cast", n, output=f"{name}/n", to=dtype)
        product = self.op("Mul", n, slopes, output=f"{name}/product")
        total = self.op("Add", product, starts, output=f"{name}/total" if len(shape) != 1 else f"{name}/{NAME}")
        return total if len(shape) == 1 else self.op("Reshape", total, ints(shape), output=f"{name}/{NAME}")

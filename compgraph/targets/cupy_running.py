"""Running a CuPy program: its memory at fixed places, its launches bound to them, and their recording as a CUDA graph."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph.backend import allocated, evaluator, import_library, is_of_the_host
from compgraph.errors import DeviceError, InputError
from compgraph.targets.cuda_text import Kernel
from compgraph.targets.fusion import Loop
from compgraph.targets.statements import Call, Matrix, Product, Value
from compgraph.targets.storage import dtype_of

KEPT = 8  # sets of donated arrays whose recorded launches are kept


class Launches:
    """What a program runs, in order: kernels, products, calls of CuPy, and loops of the graph's own over such."""

    def __init__(self) -> None:
        self.steps: list[Kernel | Product | Call | Repeated] = []

    def count(self) -> int:
        return sum(step.loop.length * step.inner.count() if isinstance(step, Repeated) else 1 for step in self.steps)

    def lines(self, indent: str = "") -> list[str]:
        """The launches in words."""
        lines = []
        for step in self.steps:
            if isinstance(step, Kernel):
                lines.append(indent + step.launch)
            elif isinstance(step, Product):
                left, right, target = step.left, step.right, step.target
                often = f", {_size(step.batch)} times" * bool(step.batch)
                lines.append(f"{indent}{target.value.name} = {_shown(left)} @ {_shown(right)}{often}")
            elif isinstance(step, Call):
                where = "NumPy on the host" if is_of_the_host(step.node.primitive) else "CuPy"
                lines.append(f"{indent}{step.target.name} = {step.node.primitive.name}, by {where}")  # type: ignore[union-attr]
            else:
                lines.append(f"{indent}{step.loop.length} times{', from the last on' * step.loop.reverse}:")
                lines += step.inner.lines(indent + "    ")
        return lines


class Repeated(NamedTuple):
    """A loop of the graph's own, and what each of its turns launches."""

    loop: Loop
    inner: Launches


def _shown(matrix: Matrix) -> str:
    return matrix.value.name + ".T" * matrix.transposed


def _size(batch: Sequence[int]) -> int:
    return int(np.prod(batch, dtype=int))


# -------------------------------------------------------------------------------------------- running


class Runner:
    """The program as a function of arrays. Its memory belongs to a stream and a set of donated arrays."""

    def __init__(self, builder: Any, code: str, recorded: bool) -> None:
        self.cupy: Any = None
        self.inputs, self.outputs = builder.inputs, builder.lowering.outputs
        self.donated, self.storage = builder.donated, builder.storage
        self.launches, self.calls, self.recorded = builder.launches, builder.calls, recorded
        self.constant_arrays = builder.lowering.constant_arrays
        self.options = ("--std=c++17", *(("--fmad=false",) if builder.exact else ()))
        self.code = code
        self.module: Any = None
        self.sessions: OrderedDict[tuple[int, ...], Session] = OrderedDict()
        self.lock = threading.RLock()

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        if self.cupy is None:
            self.cupy = import_library('target="cupy"')
        cupy = self.cupy
        device = cupy.cuda.runtime.getDevice()
        for place, value in enumerate(values):
            if isinstance(value, cupy.ndarray) and value.data.device_id != device:
                self.refuse_device(place, value, device)
        given = [values[place] for place in self.donated.values()]
        for place, value in zip(self.donated.values(), given, strict=True):
            name = self.inputs[place].name
            if not isinstance(value, cupy.ndarray):
                kind = type(value).__name__
                raise InputError(f"the donated argument {name} is a {kind}, which is not on the device: pass a CuPy array")
            if not value.flags.c_contiguous:
                raise InputError(f"the donated argument {name} is a view with gaps, or in another order: pass one that lies in one piece")
        key = (device, cupy.cuda.get_current_stream().ptr, *(value.data.ptr for value in given))
        with self.lock:
            if self.module is None:
                self.module = cupy.RawModule(code=self.code, options=self.options)
            session = self.sessions.get(key)
            if session is None:
                session = self.sessions[key] = allocated(Session, self, given)
                if len(self.sessions) > KEPT:
                    self.sessions.popitem(last=False)
            return session(values)

    def refuse_device(self, place: int, value: Any, device: int) -> None:
        """Raise `DeviceError` for an argument that is on another device than the program's."""
        others = [one.name for at, one in enumerate(self.inputs) if at != place]
        beside = f", beside {', '.join(others[:3])}" if others else ""
        raise DeviceError(
            f"the argument {self.inputs[place].name} is on device {value.data.device_id}{beside}, and the current device is {device}: "
            f"call it within `with cupy.cuda.Device({value.data.device_id}):`, or copy the argument"
        )


class Session:
    """All memory of a program at fixed places, and its launches, bound to them."""

    def __init__(self, runner: Runner, donated: Sequence[Any]) -> None:
        cupy = self.cupy = runner.cupy
        self.runner = runner
        self.arrays: dict[str, Any] = {}
        for array, size in runner.storage.sizes.items():
            if not array.endswith("_constants"):
                self.arrays[array] = cupy.empty(size, dtype_of(array))
        for name in [array for array in runner.storage.sizes if array.endswith("_constants")]:
            values = [value for value in runner.storage.constants if f"{value.dtype.name}_constants" == name]
            parts = [np.ravel(runner.constant_arrays[value.number]) for value in values]
            self.arrays[name] = cupy.asarray(np.concatenate(parts))
        self.keeps = dict(zip(runner.donated.values(), donated, strict=True))
        self.given: list[tuple[int, Any]] = []
        for place, value in enumerate(runner.inputs):
            if place in self.keeps:
                self.arrays[value.name] = self.keeps[place].reshape(-1)
            elif value in runner.storage.blocks:
                array = self.arrays[value.name] = cupy.empty(max(value.size, 1), value.dtype)
                self.given.append((place, array[: value.size].reshape(value.shape)))
        for value, block in runner.storage.blocks.items():
            if block.array not in self.arrays:
                self.arrays[block.array] = cupy.empty(max(value.size, 1), value.dtype)
        self.steps = self.bound(runner.launches)
        self.graph: Any = None
        self.runs = 0

    def __call__(self, values: Sequence[Any]) -> tuple[Any, ...]:
        for place, array in self.given:
            value = values[place]
            if isinstance(value, self.cupy.ndarray):
                array[...] = value
            else:
                array.set(np.array(value, array.dtype, order="C"))
        # Allocated before anything is written into what was donated: where memory is short, nothing has happened.
        results = allocated(lambda: [self.place_for(value, values) for value in self.runner.outputs])
        if self.graph is not None:
            self.graph.launch()
        elif self.runner.recorded and self.runs == 1:
            self.graph = self.recording()
            self.graph.launch()
        else:
            self.run(self.steps, ())
        self.runs += 1
        for value, result in zip(self.runner.outputs, results, strict=True):
            if value.output not in self.runner.donated or value.output in self.runner.storage.copied:
                result[...] = self.arrays[self.runner.storage.blocks[value].array][: value.size].reshape(value.shape)
        return tuple(results)

    def place_for(self, value: Value, values: Sequence[Any]) -> Any:
        """The donated array that an output is written into, or memory of its own: the program's is overwritten by the next call."""
        if value.output in self.runner.donated:
            return values[self.runner.donated[value.output]]
        return self.cupy.empty(value.shape, value.dtype)

    def recording(self) -> Any:
        """The launches as a CUDA graph, recorded on a stream of its own; it can be launched on any."""
        stream = self.cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            try:
                self.run(self.steps, ())
            finally:  # a stream that is left recording could not be used again
                graph = stream.end_capture()
        return graph

    # ------------------------------------------------------------------------------------ launches

    def run(self, steps: Sequence[Any], turns: tuple[int, ...]) -> None:
        for step in steps:
            if isinstance(step, tuple):
                loop, inner = step
                for turn in reversed(range(loop.length)) if loop.reverse else range(loop.length):
                    self.run(inner, (*turns, turn))
            else:
                step(turns)

    def bound(self, launches: Launches) -> list[Any]:
        bound: list[Any] = []
        for step in launches.steps:
            if isinstance(step, Repeated):
                bound.append((step.loop, self.bound(step.inner)))
            elif isinstance(step, Kernel):
                bound.append(self.kernel(step))
            elif isinstance(step, Product):
                bound.append(self.product(step))
            else:
                bound.append(self.call(step))
        return bound

    def kernel(self, kernel: Kernel) -> Callable[[tuple[int, ...]], None]:
        function = self.runner.module.get_function(kernel.name)
        args = tuple(self.arrays[array] for array in kernel.arrays)
        grid, block = (kernel.blocks,), (kernel.width, kernel.lanes)
        index = np.int64 if re.search(r"[(,] ?long long \w+[,)]", kernel.source.partition("{")[0]) else np.int32
        return lambda turns: function(grid, block, (*args, *map(index, turns)))

    def product(self, item: Product) -> Callable[[tuple[int, ...]], None]:
        """One call of cuBLAS, whose matrices lie column by column: what is wanted is the product of the transposes, the other way round."""
        cublas, handle_of = self.cupy.cuda.cublas, self.cupy.cuda.device.get_cublas_handle
        left, right, target = item.left, item.right, item.target
        letter = {"float32": "s", "float64": "d"}[target.value.dtype.name]
        itemsize = target.value.dtype.itemsize
        gemm, strided = getattr(cublas, f"{letter}gemm"), getattr(cublas, f"{letter}gemmStridedBatched")
        one, nothing = np.ones(1, target.value.dtype), np.zeros(1, target.value.dtype)
        ones, nothings = one.ctypes.data, nothing.ctypes.data
        if target.transposed:  # (left @ right).T as it lies is right.T @ left.T
            left, right, target = _turned(right), _turned(left), _turned(target)
        rows, columns = target.rows, target.columns
        inner = left.rows if left.transposed else left.columns
        flags = int(right.transposed), int(left.transposed)
        depth = len(item.path)
        *outer, count = item.batch or (1,)
        starts = [self.start(matrix) for matrix in (right, left, target)]
        sizes = [max(matrix.columns, 1) for matrix in (right, left, target)]
        last = [matrix.strides[-1] if item.batch else 0 for matrix in (right, left, target)]

        def multiply(turns: tuple[int, ...]) -> None:
            handle = handle_of()
            for place in np.ndindex(*outer):
                at = (*turns, *place)
                a, b, c = (
                    start + itemsize * sum(stride * turn for stride, turn in zip(matrix.strides, at, strict=False))
                    for start, matrix in zip(starts, (right, left, target), strict=True)
                )
                if count == 1:
                    gemm(handle, *flags, columns, rows, inner, ones, a, sizes[0], b, sizes[1], nothings, c, sizes[2])
                else:
                    first, second, third = zip(sizes, last, strict=True)
                    strided(handle, *flags, columns, rows, inner, ones, a, *first, b, *second, nothings, c, *third, count)

        multiply.keeps = one, nothing  # type: ignore[attr-defined]
        assert depth == len(left.strides) - len(item.batch)
        return multiply

    def start(self, matrix: Matrix) -> int:
        block = self.runner.storage.blocks[matrix.value]
        array = self.arrays[block.array]
        return int(array.data.ptr) + array.dtype.itemsize * (block.start + matrix.offset - block.low)

    def call(self, item: Call) -> Callable[[tuple[int, ...]], None]:
        """CuPy's own function of the operation."""
        primitive, params = item.node.primitive, item.node.params
        assert primitive is not None
        target = self.viewed(item.target)
        if is_of_the_host(primitive):
            given = [self.viewed(arg) if isinstance(arg, Value) else arg for arg in item.arguments]

            def compute_there(turns: tuple[int, ...]) -> None:
                values = [arg.get() if isinstance(arg, self.cupy.ndarray) else arg for arg in given]
                target.set(np.array(primitive.evaluate(*values, **params), target.dtype, order="C"))

            return compute_there
        evaluate = evaluator(primitive, self.cupy)
        assert evaluate is not None
        args = [self.viewed(arg) if isinstance(arg, Value) else self.on_device(arg) for arg in item.arguments]
        there = {name: self.on_device(value) for name, value in params.items()}

        def compute(turns: tuple[int, ...]) -> None:
            target[...] = evaluate(*args, **there)

        return compute

    def viewed(self, value: Value) -> Any:
        block = self.runner.storage.blocks[value]
        return self.arrays[block.array][block.start : block.start + value.size].reshape(value.shape)

    def on_device(self, constant: Any) -> Any:
        """A constant with the arrays in it on the device."""
        if type(constant) in (tuple, list):
            return type(constant)(map(self.on_device, constant))
        return self.cupy.asarray(constant) if isinstance(constant, np.ndarray) else constant


def _turned(matrix: Matrix) -> Matrix:
    return matrix._replace(transposed=not matrix.transposed)

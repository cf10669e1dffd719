"""A stand-in for CuPy without a device: kernels run on the processor, compiled by its own compiler (`emulation.h`).

It is strict where CuPy is: arrays of the host are refused in arithmetic, arrays do not turn into NumPy's by themselves, and it
has no function that CuPy has not (`cupy_names.json`). Memory that is allocated is full of NaN, so what is read before it is written
shows.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.special

HERE = Path(__file__).parent
COMPILER = shutil.which("g++") or shutil.which("c++")


NAMES: dict[str, dict[str, Any]] = json.loads((HERE / "cupy_names.json").read_text(encoding="utf-8"))["names"]


class ndarray:  # noqa: N801 - as CuPy calls it
    """An array "on the device"."""

    __array_priority__ = 100

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.held = array

    shape = property(lambda self: self.held.shape)
    dtype = property(lambda self: self.held.dtype)
    size = property(lambda self: self.held.size)
    ndim = property(lambda self: self.held.ndim)
    data = property(lambda self: SimpleNamespace(ptr=self.held.__array_interface__["data"][0], device_id=0))
    device = property(lambda self: SimpleNamespace(id=0))
    flags = property(lambda self: self.held.flags)
    T = property(lambda self: ndarray(self.held.T))
    real = property(lambda self: ndarray(self.held.real))
    imag = property(lambda self: ndarray(self.held.imag))
    strides = property(lambda self: self.held.strides)
    nbytes = property(lambda self: self.held.nbytes)
    itemsize = property(lambda self: self.held.itemsize)
    base = property(lambda self: self.held.base)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return dict(self.held.__array_interface__, version=3)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly.")

    def __dlpack__(self, **_: Any) -> Any:
        return self.held.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0  # of CUDA, as CuPy says

    def get(self, stream: Any = None) -> Any:
        Recording.synchronised += 1
        return self.held.copy()

    def set(self, array: Any, stream: Any = None) -> None:
        if not isinstance(array, np.ndarray) or array.dtype != self.dtype or array.shape != self.shape:
            raise TypeError("only an array of the host that fits can be set")
        self.held[...] = array

    def item(self, *place: Any) -> Any:
        Recording.synchronised += 1
        return self.held.item(*place)

    def tolist(self) -> Any:
        return self.held.tolist()

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        return ndarray(self.held.astype(dtype, copy=copy))

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(np.asarray(self.held[indices(index)]))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.held[indices(index)] = unwrapped(value)

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Any:
        return (self[place] for place in range(len(self.held)))

    def __repr__(self) -> str:
        return repr(self.held)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or ufunc.__name__ not in NAMES["cupy"]:
            return NotImplemented
        return called(f"cupy.{ufunc.__name__}", ufunc, inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        place = ".".join(["cupy", *function.__module__.split(".")[1:]])
        if function.__name__ not in NAMES.get(place, ()) or not all(issubclass(kind, (ndarray, np.ndarray)) for kind in types):
            return NotImplemented
        return called(f"{place}.{function.__name__}", function, args, kwargs)


def _operator(form: str) -> Callable[..., Any]:
    def operator(self: ndarray, *others: Any) -> Any:
        if any(not isinstance(other, (ndarray, np.ndarray, np.generic, bool, int, float, complex)) for other in others):
            return NotImplemented  # as for a node, which has the operation reflected
        result = getattr(self.held, form)(*map(unwrapped, others))
        return wrapped(result) if result is not NotImplemented else result

    return operator


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "xor"):
    for _form in (f"__{_name}__", f"__r{_name}__"):
        if hasattr(np.ndarray, _form):
            setattr(ndarray, _form, _operator(_form))
for _form in ("__neg__", "__pos__", "__abs__", "__invert__"):
    setattr(ndarray, _form, _operator(_form))


def _in_place(form: str) -> Callable[..., Any]:
    def operator(self: ndarray, other: Any) -> ndarray:
        getattr(self.held, form)(unwrapped(other))
        return self

    return operator


for _name in ("add", "sub", "mul", "truediv", "and", "or"):
    setattr(ndarray, f"__i{_name}__", _in_place(f"__i{_name}__"))


def _number(form: str) -> Callable[..., Any]:
    def convert(self: ndarray) -> Any:
        Recording.synchronised += 1
        return getattr(self.held, form)()

    return convert


for _form in ("__bool__", "__float__", "__int__", "__complex__"):
    setattr(ndarray, _form, _number(_form))
for _name in (
    "sum", "prod", "max", "min", "mean", "any", "all", "argmax", "argmin", "cumsum", "transpose", "ravel", "swapaxes", "conj", "copy",
    "reshape", "dot", "take", "squeeze", "fill", "view",
):  # fmt: skip
    setattr(
        ndarray, _name,
        lambda self, *args, _name=_name, **kwargs: wrapped(getattr(self.held, _name)(*unwrapped(args), **unwrapped(kwargs))),
    )  # fmt: skip
ndarray.__hash__ = None  # type: ignore[assignment]


def called(name: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """A function of NumPy in the place of CuPy's, which may take fewer arguments."""
    place, _, last = name.rpartition(".")
    parameters = NAMES[place][last]
    wrong = [key for key in kwargs if parameters is not None and key not in parameters]
    if wrong or (parameters is not None and len(args) > len(parameters)):
        raise TypeError(f"{name}() got an unexpected argument {wrong}")
    return wrapped(function(*unwrapped(args), **unwrapped(kwargs)))


def unwrapped(value: Any) -> Any:
    """What NumPy computes with, of arguments that CuPy would take."""
    if isinstance(value, ndarray):
        return value.held
    if isinstance(value, (tuple, list)):
        return type(value)(*map(unwrapped, value)) if hasattr(value, "_fields") else type(value)(map(unwrapped, value))
    if isinstance(value, dict):
        return {key: unwrapped(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: an array of the host among those of the device")
    return value


def indices(index: Any) -> Any:
    """CuPy takes arrays of the host as indices."""
    if isinstance(index, tuple):
        return tuple(map(indices, index))
    return index.held if isinstance(index, ndarray) else index


def wrapped(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(*map(wrapped, value)) if hasattr(value, "_fields") else type(value)(map(wrapped, value))
    return ndarray(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value


class _Module:
    """A module of CuPy's with functions of NumPy's."""

    def __init__(self, place: str, functions: Any) -> None:
        self.place, self.functions = place, functions

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in NAMES[self.place]:
            raise AttributeError(f"module {self.place!r} has no attribute {name!r}")
        found = getattr(self.functions, name)
        if isinstance(found, np.ufunc):
            return _Ufunc(found)
        if not callable(found) or isinstance(found, type):
            return found

        def function(*args: Any, **kwargs: Any) -> Any:
            return called(f"{self.place}.{name}", found, args, kwargs)

        if NAMES[self.place][name] is not None:
            function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
                [inspect.Parameter(one, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None) for one in NAMES[self.place][name]]
            )
        return function


class _Ufunc:
    """A ufunc of CuPy's, which adds up at indices too."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self.ufunc = ufunc

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return wrapped(self.ufunc(*unwrapped(args), **unwrapped(kwargs)))

    def at(self, array: ndarray, index: Any, value: Any) -> None:
        self.ufunc.at(array.held, indices(index), unwrapped(value))


linalg, fft = _Module("cupy.linalg", np.linalg), _Module("cupy.fft", np.fft)
for _part in ("", ".scipy"):
    sys.modules[f"{__name__}x{_part}"] = sys.modules[__name__]
sys.modules[f"{__name__}x.scipy.special"] = _Module("cupyx.scipy.special", scipy.special)  # type: ignore[assignment]
lib = SimpleNamespace(stride_tricks=_Module("cupy.lib.stride_tricks", np.lib.stride_tricks))


# ------------------------------------------------------------------------------------------- kernels


class RawModule:
    """CUDA source, compiled for this processor."""

    count = 0

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        launchers = []
        for name, parameters in re.findall(r'extern "C" __global__ void (\w+)\((.*?)\) \{', code):
            types = [re.sub(r"\s*\w+$", "", one.replace("__restrict__", "")) for one in parameters.split(", ")]
            values = ", ".join(f"({kind})given[{n}]" if "*" in kind else f"*({kind}*)given[{n}]" for n, kind in enumerate(types))
            launchers.append(
                f'static void call_{name}(void** given) {{ {name}({values}); }}\n'
                f'extern "C" int launch_{name}(int blocks, int width, int lanes, void** given) '
                f"{{ return fibres::run(call_{name}, blocks, width, lanes, given); }}\n"
            )
        text = f'#include "{HERE / "emulation.h"}"\n{code}\n{"".join(launchers)}'
        flags = ["-O1", "-std=c++17", "-shared", "-fPIC", "-w", *(["-ffp-contract=off"] if "--fmad=false" in options else [])]
        folder = Path(tempfile.mkdtemp())
        source, library = folder / "kernels.cpp", folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
        source.write_text(text, encoding="utf-8")
        assert COMPILER is not None
        done = subprocess.run([COMPILER, *flags, str(source), "-o", str(library)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{code}"
        self.library = ctypes.CDLL(str(library))
        self.code = code
        shutil.rmtree(folder)
        RawModule.count += 1

    def get_function(self, name: str) -> Callable[..., None]:
        launch = self.library[f"launch_{name}"]

        def run(grid: tuple[int, ...], block: tuple[int, int], args: tuple[Any, ...]) -> None:
            if recording.steps is not None:
                recording.steps.append(lambda: run_now(grid, block, args))
            else:
                run_now(grid, block, args)

        def run_now(grid: tuple[int, ...], block: tuple[int, int], args: tuple[Any, ...]) -> None:
            numbers = [np.array(one) for one in args if not isinstance(one, ndarray)]
            given = iter(numbers)
            places = [one.data.ptr if isinstance(one, ndarray) else next(given).ctypes.data for one in args]
            assert block[0] * block[1] <= 1024 and grid[0] >= 1
            assert launch(grid[0], block[0], block[1], (ctypes.c_void_p * len(places))(*places)) == 0, f"{name}: threads part at a barrier"

        return run


class Recording:
    """What is launched while a CUDA graph is recorded, and how often the host has waited for the device."""

    steps: list[Callable[[], None]] | None = None
    launched = 0
    synchronised = 0


recording = Recording()


class _Graph:
    def __init__(self, steps: list[Callable[[], None]]) -> None:
        self.steps = steps

    def launch(self, stream: Any = None) -> None:
        recording.launched += 1
        for step in self.steps:
            step()


class Stream:
    ptr = 0

    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def begin_capture(self) -> None:
        recording.steps = []

    def end_capture(self) -> _Graph:
        steps, recording.steps = recording.steps, None
        assert steps is not None
        return _Graph(steps)


def _gemm(dtype: Any) -> tuple[Callable[..., None], Callable[..., None]]:
    def gemm(
        handle: Any, transa: int, transb: int, m: int, n: int, k: int, alpha: int, a: int, lda: int, b: int, ldb: int, beta: int, c: int,
        ldc: int,
    ) -> None:  # fmt: skip
        strided(handle, transa, transb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1)

    def strided(
        handle: Any, transa: int, transb: int, m: int, n: int, k: int, alpha: int, a: int, lda: int, step_a: int, b: int, ldb: int,
        step_b: int, beta: int, c: int, ldc: int, step_c: int, count: int,
    ) -> None:  # fmt: skip
        def multiply() -> None:
            for number in range(count):
                one = _matrix(a, number * step_a, dtype, *((k, m) if transa else (m, k)), lda)
                two = _matrix(b, number * step_b, dtype, *((n, k) if transb else (k, n)), ldb)
                out = _matrix(c, number * step_c, dtype, m, n, ldc)
                out[...] = (one.T if transa else one) @ (two.T if transb else two)

        multiply() if recording.steps is None else recording.steps.append(multiply)

    return gemm, strided


def _matrix(address: int, offset: int, dtype: Any, rows: int, columns: int, leading: int) -> Any:
    """A matrix that lies column by column, as cuBLAS reads it."""
    assert leading >= rows, "a leading dimension below the number of rows"
    dtype = np.dtype(dtype)
    extent = leading * (columns - 1) + rows
    memory = (ctypes.c_char * (extent * dtype.itemsize)).from_address(address + offset * dtype.itemsize)
    return np.lib.stride_tricks.as_strided(
        np.frombuffer(memory, dtype), (rows, columns), (dtype.itemsize, leading * dtype.itemsize)
    )


cublas = SimpleNamespace()
for _letter, _dtype in (("s", np.float32), ("d", np.float64)):
    _plain, _strided = _gemm(_dtype)
    setattr(cublas, f"{_letter}gemm", _plain)
    setattr(cublas, f"{_letter}gemmStridedBatched", _strided)
cuda = SimpleNamespace(
    cublas=cublas, device=SimpleNamespace(get_cublas_handle=lambda: 1),
    runtime=SimpleNamespace(getDevice=lambda: 0, getDeviceCount=lambda: 1, memGetInfo=lambda: (3 * 2**30, 8 * 2**30)),
    get_current_stream=Stream, Stream=Stream,
)  # fmt: skip


# ------------------------------------------------------------------------------------------ functions


def empty(shape: Any, dtype: Any = float) -> ndarray:
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[...] = 255  # NaN, or -1
    return ndarray(array)


def asarray(value: Any, dtype: Any = None) -> ndarray:
    return value if isinstance(value, ndarray) and dtype in (None, value.dtype) else ndarray(np.array(unwrapped_host(value), dtype))


def unwrapped_host(value: Any) -> Any:
    return value.held if isinstance(value, ndarray) else value


def asnumpy(value: Any) -> Any:
    return value.get() if isinstance(value, ndarray) else np.asarray(value)


def get_default_memory_pool() -> Any:
    return SimpleNamespace(total_bytes=lambda: 2**30, used_bytes=lambda: 2**29)


__version__ = "emulated"
_functions = _Module("cupy", np)


def __getattr__(name: str) -> Any:
    return getattr(_functions, name)

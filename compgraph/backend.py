"""Which library an array belongs to, found from the array and never by an import: NumPy's arrays, and those of a device.

Nothing else in the project names an array library beside NumPy. CuPy's arrays answer NumPy's functions (NEP 13 and NEP 18), so
the engine computes with them as it does with NumPy's; this module knows where they differ.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from types import FunctionType, SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.lib.array_utils import byte_bounds

from compgraph.errors import DeviceError, MissingDependencyError

# Classes of arrays of a device that have been met so far: while there are none, nobody looks for them.
DEVICE_CLASSES: set[type] = set()

_HOST_CLASSES: set[type] = {np.ndarray, float, int, bool, complex, np.float64, np.float32, str, type(None)}

# Operations written as functions of the project's own that a device's library computes from the same text. All other such
# functions run on the host: decompositions, and what NumPy promises and CuPy does not, as which of several assigned values stays.
_OF_BOTH = frozenset({
    "sigmoid", "softplus", "relu", "sheltered", "sheltered_product", "logsumexp", "xlogy", "xlog1py", "rel_entr", "logit",
    "spherical_j", "windows", "fold", "first_largest", "scatter_add", "restore", "irfftn",
})  # fmt: skip


# Operations whose code says what NumPy's function takes and CuPy's does not, or that CuPy has no function for.
_NUMPYS_ALONE = frozenset({"pinv", "cholesky", "matrix_rank", "count_nonzero", "spacing"})
_WITHOUT_CUPYX = frozenset({"jv", "iv", "ive"})  # of scipy.special


def is_on_device(value: Any) -> bool:
    """Whether a value is an array of a library other than NumPy, such as CuPy.

    >>> is_on_device(np.zeros(3)), is_on_device(2.0)
    (False, False)
    """
    kind = value.__class__
    if kind in DEVICE_CLASSES:
        return True
    if kind in _HOST_CLASSES or _library(kind) is None:
        return False
    DEVICE_CLASSES.add(kind)
    return True


def _library(kind: type) -> Any:
    """The library of a class of arrays of a device, which has been imported, or there would be none; None for other classes."""
    if issubclass(kind, (np.ndarray, np.generic)) or not hasattr(kind, "__cuda_array_interface__"):
        return None
    library = sys.modules.get(kind.__module__.partition(".")[0])
    return library if hasattr(library, "ndarray") and issubclass(kind, library.ndarray) else None  # type: ignore[union-attr]


def namespace_of(*values: Any) -> Any:
    """The library whose functions compute with these values: NumPy, or the one that an array among them is of.

    >>> namespace_of(2.0, np.zeros(3)) is np
    True
    """
    for value in values:
        if is_on_device(value):
            return _library(value.__class__)
    return np


def device_of(value: Any) -> str:
    """Where a value is: "host", or the library and the number of the device.

    >>> device_of(np.zeros(3))
    'host'
    """
    return f"{namespace_of(value).__name__}:{value.device.id}" if is_on_device(value) else "host"


def on_host(value: Any) -> Any:
    """A value as NumPy has it; an array of a device is copied.

    >>> on_host(np.float64(2.0))
    np.float64(2.0)
    """
    return value.get()[()] if is_on_device(value) else value


def as_array(value: Any, dtype: Any = None) -> Any:
    """`np.asarray`, but that an array of a device stays there."""
    if is_on_device(value):
        return value if dtype in (None, value.dtype) else value.astype(dtype)
    return np.asarray(value, dtype)


def copy_of(value: Any) -> Any:
    """A copy that is where the value is; of an array without axes a number, on the host.

    >>> copy_of(np.array(2.0))
    np.float64(2.0)
    """
    return value.copy() if is_on_device(value) else np.array(value)[()]


def beside(value: Any, like: Any) -> Any:
    """An array of the host, moved to where `like` is; anything else as it is, and containers with all that is in them.

    >>> beside(np.arange(3), np.zeros(3))
    array([0, 1, 2])
    """
    if not is_on_device(like):
        return value
    library = namespace_of(like)
    return allocated(library.asarray, value) if isinstance(value, np.generic) else _moved(value, library)


def _moved(value: Any, library: Any) -> Any:
    if isinstance(value, np.ndarray):
        return allocated(library.asarray, value)
    if value.__class__ in (tuple, list):
        return value.__class__(_moved(one, library) for one in value)
    return value


def together(values: Sequence[Any]) -> Sequence[Any]:
    """Values as they are, but that arrays of the host move to where another one is on a device."""
    like = next((value for value in values if is_on_device(value)), None) if DEVICE_CLASSES else None
    return values if like is None else [beside(value, like) for value in values]


def from_dlpack(value: Any) -> Any:
    """The CuPy array in the memory of another library's array of a CUDA device (DLPack); `value` itself if it is none."""
    if hasattr(value, "__dlpack_device__") and not isinstance(value, np.ndarray) and value.__dlpack_device__()[0] == 2:
        return import_library("an array of a CUDA device").from_dlpack(value)
    return value


def moved_to(value: Any, where: str) -> Any:
    """An array or a number at "cupy" or "numpy"; what is there already stays as it is."""
    if where == "numpy":
        return on_host(value)
    return value if is_on_device(value) else allocated(import_library('to("cupy")').asarray, value)


def import_library(what: str) -> Any:
    """CuPy, for what asks for it by name. Raises `MissingDependencyError` or `DeviceError`, which say what is missing."""
    try:
        import cupy
    except ImportError as error:
        raise _missing(what, error) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise DeviceError(f"{what} needs a GPU that CUDA can use: {_reason(error)}. {DOCTOR}") from error
    if not count:
        raise DeviceError(f"{what} needs a GPU, and CUDA finds none: see CUDA_VISIBLE_DEVICES. {DOCTOR}")
    DEVICE_CLASSES.add(cupy.ndarray)
    return cupy


DOCTOR = "`python -m compgraph doctor` says what is there"


def _missing(what: str, error: ImportError) -> Exception:
    if isinstance(error, ModuleNotFoundError) and (error.name or "cupy").partition(".")[0] == "cupy":
        text = f'{what} needs CuPy, which is not installed: pip install "compgraph[gpu-cuda12]" or "compgraph[gpu-cuda13]"'
    else:
        line = next((line for line in str(error).splitlines() if line.strip("= ")), type(error).__name__)
        text = f"{what} needs CuPy, which cannot be loaded ({line.strip()}): the extras gpu-cuda12 and gpu-cuda13 are for CUDA 12 and 13"
    return MissingDependencyError(text)


def _reason(error: Exception) -> str:
    text = str(error)
    if "InsufficientDriver" in text or "SYSTEM_DRIVER_MISMATCH" in text.upper():
        return f"{text}. The driver is missing, or older than this CuPy: install a newer one, or CuPy for the CUDA that it has (nvidia-smi)"
    if "NoDevice" in text:
        return f"{text}. See CUDA_VISIBLE_DEVICES"
    return text


def allocated(make: Callable[..., Any], *args: Any) -> Any:
    """`make(*args)`, which allocates; where there is no memory left, a `DeviceError` with what was asked for and what is held."""
    try:
        return make(*args)
    except MemoryError as error:
        cupy = sys.modules.get("cupy")
        if cupy is None:
            raise
        raise DeviceError(f"the device is out of memory: {error}. {held(cupy)}. Nothing has been changed; {SMALLER}") from error


SMALLER = "take smaller batches, or free what is kept: del it, then cupy.get_default_memory_pool().free_all_blocks()"


def held(cupy: Any) -> str:
    """What is allocated on the device, in words."""
    pool = cupy.get_default_memory_pool()
    free, total = cupy.cuda.runtime.memGetInfo()
    return (
        f"CuPy holds {pool.total_bytes() / 2**20:,.0f} MiB, {pool.used_bytes() / 2**20:,.0f} MiB of them in use; "
        f"{free / 2**20:,.0f} of {total / 2**20:,.0f} MiB are free"
    )


# ------------------------------------------------------------------------------------------ operations


_evaluators: WeakKeyDictionary[Any, Callable[..., Any] | None] = WeakKeyDictionary()


def evaluated(primitive: Any, values: Sequence[Any], params: dict[str, Any]) -> Any:
    """What a primitive gives for values of which one is on a device: a result that is there too."""
    library = namespace_of(*values)
    if primitive not in _evaluators:
        _evaluators[primitive] = evaluator(primitive, library)
    compute = _evaluators[primitive]
    try:
        if compute is None:
            result = primitive.evaluate(*map(on_host, values), **params)
        else:
            result = compute(*(_moved(value, library) for value in values), **{name: _moved(one, library) for name, one in params.items()})
        return result if is_on_device(result) else library.asarray(result)
    except MemoryError as error:
        raise DeviceError(f"{error}. {held(library)}. Nothing has been changed; {SMALLER}") from error


def is_of_the_host(primitive: Any) -> bool:
    """Whether an operation runs on the host wherever its arguments are, which are copied there and back."""
    if primitive.module:
        return primitive.name in _WITHOUT_CUPYX
    return primitive.name in _NUMPYS_ALONE or (primitive.helper is not None and primitive.name not in _OF_BOTH)


def evaluator(primitive: Any, library: Any) -> Callable[..., Any] | None:
    """The code of a primitive as a function of the library's arrays; None for what runs on the host."""
    if is_of_the_host(primitive):
        return None
    helper = primitive.helper
    there: dict[str, Any] = {}
    if helper is not None:  # the same text, whose np is the library
        globals_ = {**helper.__globals__, "np": _Library(library)}
        there[helper.__name__] = FunctionType(helper.__code__, globals_, helper.__name__, helper.__defaults__)
    if primitive.module:
        package = f"{library.__name__}x.{primitive.module}"
        there[primitive.module.rpartition(".")[2]] = import_module(package)
    made: Callable[..., Any] = primitive.evaluator(library, there)
    return made


class _Library:
    """The functions of a device's library, and of NumPy what has nothing to do with arrays."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        if name == "lib":  # whose views are always writeable, and never written into here
            strided = self._library.lib.stride_tricks.as_strided
            tricks = SimpleNamespace(as_strided=lambda x, shape, strides, writeable: strided(x, shape, strides))
            return SimpleNamespace(stride_tricks=tricks)
        return getattr(np if name in ("errstate", "ndindex", "finfo") else self._library, name)


# --------------------------------------------------------------------------------------------- memory


def bounds(array: Any) -> tuple[int, int]:
    """Where the memory of an array begins, and behind which address it ends."""
    if isinstance(array, np.ndarray):
        return byte_bounds(array)
    start = stop = int(array.data.ptr)
    if not math.prod(array.shape):
        return start, start
    for length, stride in zip(array.shape, array.strides, strict=True):
        start, stop = start + min(stride * (length - 1), 0), stop + max(stride * (length - 1), 0)
    return start, stop + int(array.dtype.itemsize)


def is_writeable(array: Any) -> bool:
    """Whether an array may be written into; those of a device always may."""
    return is_on_device(array) or bool(array.flags.writeable)


# ---------------------------------------------------------------------------------------- what there is


def report() -> Iterator[tuple[str, str, str]]:
    """What `compgraph doctor` says of GPUs: name, purpose and what was found or is missing."""
    try:
        import cupy
    except ImportError as error:
        found = "missing: " + str(_missing("it", error)).partition("CuPy, which ")[2].removeprefix("is not installed: ")
        yield "cupy", "arrays and programs on a GPU", found
        return
    yield "cupy", "arrays and programs on a GPU", f"{cupy.__version__}, for CUDA {_version(_asked(cupy.cuda.runtime.runtimeGetVersion))}"
    driver = _asked(cupy.cuda.runtime.driverGetVersion)
    text = f"for CUDA up to {_version(driver)}" if driver else "missing: no driver is loaded, see what nvidia-smi says"
    yield "driver", "what CUDA runs on", text
    count = _asked(cupy.cuda.runtime.getDeviceCount)
    if not isinstance(count, int):
        yield "device", "a GPU", f"missing: {_reason(count)}"
    elif not count:
        yield "device", "a GPU", "missing: CUDA finds none, see CUDA_VISIBLE_DEVICES"
    for number in range(count if isinstance(count, int) else 0):
        with cupy.cuda.Device(number) as device:
            named = cupy.cuda.runtime.getDeviceProperties(number)["name"].decode()
            free, total = device.mem_info
        memory = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        yield f"device {number}", "a GPU", f"{named}, compute capability {device.compute_capability}, {memory}"


def _asked(question: Callable[[], Any]) -> Any:
    """The answer, or the error that came instead."""
    try:
        return question()
    except Exception as error:
        return error


def _version(number: Any) -> str:
    """CUDA's number of a version, as in 13020 for 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}" if isinstance(number, int) else "of an unknown version"

"""What may stand beside a node in arithmetic: Python numbers and arrays of real or complex numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph.backend import from_dlpack, is_on_device
from compgraph.errors import DtypeError, ShapeError, ValueRangeError
from compgraph.origins import here

# The classes that `bind` lets pass without a second look. Python's complex needs one: 1j * np.float64(2) is no NumPy number.
PLAIN = frozenset({float, int, bool, np.bool_, *(np.dtype(code).type for code in "efdgbhilqBHILQFD")})

REAL = PLAIN - {np.complex64, np.complex128}


def short(value: Any) -> str:
    """A constant for an error message, never long.

    >>> short(0.5), short(10**5000)
    ('0.5', 'an integer of 16610 bits')
    """
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    return f"{value!r:.60}"


def as_operand(value: Any) -> Any:
    """A constant that arithmetic can use: a Python number as it is, all else as a NumPy array.

    Python numbers stay weak, so float32 stays float32 next to them (NumPy 2, NEP 50). Raises `DtypeError` for what
    is no number, `ShapeError` for ragged lists and `ValueRangeError` for integers beyond every dtype.
    """
    if isinstance(value, (bool, int, float, complex)) and not isinstance(value, np.generic):
        return value
    if value is None or isinstance(value, (str, bytes, dict, set)):
        pass
    elif is_on_device(value):
        return _numeric(value)
    elif isinstance(value, np.ndarray) and type(value).__mul__ is not np.ndarray.__mul__:
        # A masked array or a matrix: its mask, or its own meaning of *, would be dropped in silence.
        raise DtypeError(f"{type(value).__name__} has arithmetic of its own: pass a plain array, as np.asarray makes.")
    else:
        value = from_dlpack(value)
        if is_on_device(value):
            return _numeric(value)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ShapeError(f"{value!r:.60} is not a rectangular array: {error}") from error
        if array.dtype.kind in "fiubc":
            return array if array.ndim else array[()]
        if array.dtype.kind == "O" and array.size and all(isinstance(entry, int) for entry in array.flat):
            raise ValueRangeError(f"{short(max(array.flat, key=abs))} does not fit into an array of int64; write it as a float")
        value = array
    kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"{type(value).__name__} {value!r:.40}"
    raise DtypeError(f"{kind} is not numeric: nodes hold numbers and arrays of them.")


def _numeric(value: Any) -> Any:
    """An array of a device, if it holds what kernels compute with."""
    if value.dtype.kind not in "fiubc" or (value.dtype.itemsize < 4 and value.dtype.kind == "f"):
        raise DtypeError(f"an array of {value.dtype} on the device: nodes hold numbers there in float32 and float64, integers and bool.")
    return value


def as_operands(args: Sequence[Any], is_node: Callable[[Any], bool], what: str) -> tuple[Any, ...]:
    """Each of `args` that is no node as an operand; a Python complex number in the dtype it takes beside the others.

    >>> as_operands((1j, np.float32(2.0)), lambda arg: False, "multiply")
    (np.complex64(1j), np.float32(2.0))
    """
    checked = [arg if is_node(arg) else named(as_operand, arg, what) for arg in args]
    dtypes = [arg.dtype if hasattr(arg, "dtype") else arg for arg in checked]
    return tuple(np.result_type(*dtypes).type(arg) if arg.__class__ is complex else arg for arg in checked)


def input_value(value: Any, what: str = "") -> Any:
    """A value to differentiate with respect to: floating point or complex, and never the caller's own memory.

    >>> input_value(3), input_value([1, 2]).dtype
    (np.float64(3.0), dtype('float64'))

    `what` names the value in the errors, which are those of `as_operand` and `ValueRangeError` for an integer that
    float64 cannot hold exactly.
    """
    return named(lambda given: _floating(as_operand(given)), value, what)


def named(convert: Callable[[Any], Any], value: Any, what: str) -> Any:
    """`convert(value)`, whose errors say what the value is and where the user's code is."""
    try:
        return convert(value)
    except (DtypeError, ShapeError, ValueRangeError) as error:
        raise type(error)(f"{what + ': ' if what else ''}{error}{here()}") from error


def real_input_value(value: Any, what: str = "") -> Any:
    """`input_value` where the place is a real one, which a complex number would not fit."""
    result = input_value(value, what)
    if result.dtype.kind == "c":
        kind = f"an array of {result.dtype}" if isinstance(value, np.ndarray) else f"{value!r:.40}"
        raise DtypeError(f"{what + ': ' if what else ''}{kind} is complex, a real number is needed{here()}")
    return result


def _floating(constant: Any) -> Any:
    if isinstance(constant, complex) and not isinstance(constant, np.generic):
        return np.complex128(constant)
    if isinstance(constant, (bool, int, float)):
        try:
            number = np.float64(constant)
        except OverflowError as error:
            raise ValueRangeError(f"{short(constant)} does not fit into float64") from error
        if isinstance(constant, int) and int(number) != constant:
            raise ValueRangeError(f"{short(constant)} does not fit into float64 exactly: integers do up to 2**53")
        return number
    if constant.dtype.kind in "fc":
        return constant if isinstance(constant, np.generic) else constant.copy()
    converted = constant.astype(np.float64)
    if constant.dtype.itemsize < 8:
        return converted
    large = np.abs(converted) >= 2.0**53
    if is_on_device(large):  # one look, and only of integers that may be so large
        constant, large = constant.get(), large.get()
        if not np.any(large):
            return converted
    if np.any(large) and np.any(converted[large].astype(object) != constant[large].astype(object)):
        raise ValueRangeError(f"an integer above 2**53 in {constant!r:.60} does not fit into float64 exactly")
    return converted

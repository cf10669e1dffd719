"""Which library an array belongs to, found from the array and never by an import: NumPy's arrays, and those of a device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds


def is_on_device(value: Any) -> bool:
    """Whether a value is an array of a library other than NumPy, such as CuPy.

    >>> is_on_device(np.zeros(3)), is_on_device(2.0)
    (False, False)
    """
    return hasattr(value, "__array_namespace__") and not isinstance(value, (np.ndarray, np.generic))


def namespace_of(*values: Any) -> Any:
    """The library whose functions compute with these values: NumPy, or the one that an array among them is of.

    >>> namespace_of(2.0, np.zeros(3)) is np
    True
    """
    for value in values:
        if is_on_device(value):
            return value.__array_namespace__()
    return np


def on_host(value: Any) -> Any:
    """A value as NumPy has it; an array of a device is copied.

    >>> on_host(np.float64(2.0))
    np.float64(2.0)
    """
    return value.get()[()] if is_on_device(value) and hasattr(value, "get") else value


def bounds(array: Any) -> tuple[int, int]:
    """Where the memory of an array begins, and behind which address it ends."""
    if isinstance(array, np.ndarray):
        return byte_bounds(array)
    start = stop = int(array.data.ptr)
    for length, stride in zip(array.shape, array.strides, strict=True):
        start, stop = start + min(stride * (length - 1), 0), stop + max(stride * (length - 1), 0)
    return start, stop + int(array.dtype.itemsize)


def is_writeable(array: Any) -> bool:
    """Whether an array may be written into; those of a device always may."""
    return is_on_device(array) or bool(array.flags.writeable)

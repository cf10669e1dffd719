"""Pooling: the largest entry, or the mean, of every window.

Windows that stand side by side, as by default, are a reshape; others overlap or leave gaps and are `windows`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.geometry import Sizes, batched, check_reach, named, padded, per_axis, windows
from compgraph.nn.module import Module

Widths = tuple[tuple[int, int], ...]


# ------------------------------------------------------------------------------------------ functions


def max_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Any:
    """As `max_pool2d`, over one axis."""
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Any:
    """The largest entry of every window, (N, C, H, W) to (N, C, H', W'); the first of equal ones has the derivative.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.max_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 5.,  7.],
            [13., 15.]]])

    `stride` is the kernel's size by default. `padding` adds entries of -infinity. With `ceil_mode` a last window may reach over
    the end. Raises `ShapeError` for a kernel that does not fit.
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Any:
    """As `avg_pool2d`, over one axis."""
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of every window, (N, C, H, W) to (N, C, H', W').

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.avg_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 2.5,  4.5],
            [10.5, 12.5]]])

    `stride` is the kernel's size by default. With `padding` the zeros count as entries, unless `count_include_pad` is False.
    `divisor_override` is what the sum is divided by instead of the number of entries.
    """
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """As `adaptive_avg_pool2d`, over one axis."""
    return _adaptive("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Means of as many windows as are wanted: window i of n over L entries goes from floor(i L / n) to ceil((i + 1) L / n).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.adaptive_avg_pool2d(np.arange(16.0).reshape(1, 4, 4), 1)
    array([[[7.5]]])
    """
    return _adaptive("adaptive_avg_pool2d", 2, input, output_size)


def _settings(layer: Any, axes: int, size: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Sizes, Sizes, Sizes, Sizes]:
    size = per_axis(layer, "kernel_size", size, axes)
    stride = size if stride is None else per_axis(layer, "stride", stride, axes)
    dilation, padding = per_axis(layer, "dilation", dilation, axes), per_axis(layer, "padding", padding, axes, 0)
    if any(2 * width > entries for width, entries in zip(padding, size, strict=True)):
        raise cg.InputError(
            f"{named(layer)}: padding {padding} is more than half of the kernel {size}: some windows would hold nothing else{cg.here()}"
        )
    return size, stride, padding, dilation


def _widths(shape: Sizes, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool) -> Widths:
    """Entries before and after each axis; with `ceil_mode` as many more as a last window wants that starts before the end."""
    widths = []
    for length, entries, step, width, spread in zip(shape, size, stride, padding, dilation, strict=True):
        after = width
        if ceil_mode:
            reach = spread * (entries - 1) + 1
            count = -(-(length + 2 * width - reach) // step) + 1
            count -= (count - 1) * step >= length + width  # it would start in the padding
            after = max(width, (count - 1) * step + reach - length - width)
        widths.append((width, after))
    return tuple(widths)


def _max_pool(layer: Any, axes: int, x: Any, size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Any:
    size, stride, padding, dilation = _settings(layer, axes, size, stride, padding, dilation)
    x, single = batched(layer, x, axes)
    widths = _widths(x.shape[2:], size, stride, padding, dilation, ceil_mode)
    check_reach(layer, x.shape[2:], size, dilation, widths)
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    entries = windows(padded(x, widths, least), size, stride, dilation)
    kept = (0, 1, *range(2 + axes, 2 + 2 * axes))
    first = entries.transpose((*range(2, 2 + axes), *kept))  # the entries of a window apart: then NumPy compares long rows
    y = cg.bind("first_max", first.reshape((math.prod(size), *(entries.shape[axis] for axis in kept))), axis=0)
    return y.reshape(y.shape[1:]) if single else y


def _avg_pool(
    layer: Any, axes: int, x: Any, size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool, divisor: int | None
) -> Any:
    ones = (1,) * axes
    size, stride, padding, _ = _settings(layer, axes, size, stride, padding, ones)
    if divisor is not None:
        (divisor,) = per_axis(layer, "divisor_override", divisor, 1)
    x, single = batched(layer, x, axes)
    shape = x.shape[2:]
    widths = _widths(shape, size, stride, padding, ones, ceil_mode)
    check_reach(layer, shape, size, ones, widths)
    entries = windows(padded(x, widths), size, stride, ones)
    within = tuple(range(2, 2 + axes))
    y: Any
    every = all(after == width and (count_include_pad or not width) for (_, after), width in zip(widths, padding, strict=True))
    if divisor is None and every:
        y = np.mean(entries, axis=within)
    else:
        total = np.sum(entries, axis=within)
        y = total / (divisor or _counts(shape, size, stride, padding, widths, count_include_pad).astype(x.dtype))
    return y.reshape(y.shape[1:]) if single else y


def _counts(shape: Sizes, size: Sizes, stride: Sizes, padding: Sizes, widths: Widths, count_include_pad: bool) -> Any:
    """How many entries of each window count: those of the input, and those of the padding that was asked for."""
    counts = np.ones(())
    for length, entries, step, width, (before, after) in zip(shape, size, stride, padding, widths, strict=True):
        counted = np.pad(np.ones(length), width, constant_values=float(count_include_pad))
        counted = np.pad(counted, (before - width, after - width))
        counts = np.multiply.outer(counts, np.sum(windows(counted, (entries,), (step,), (1,)), axis=0))
    return counts


def _adaptive(layer: Any, axes: int, x: Any, output_size: Any) -> Any:
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    x, single = batched(layer, x, axes)
    if len(given) == axes:
        given = tuple(length if wanted is None else wanted for wanted, length in zip(given, x.shape[2:], strict=True))
    wanted = per_axis(layer, "output_size", given, axes)
    if all(length % count == 0 for length, count in zip(x.shape[2:], wanted, strict=True)):
        size = tuple(length // count for length, count in zip(x.shape[2:], wanted, strict=True))
        y = np.mean(windows(x, size, size, (1,) * axes), axis=tuple(range(2, 2 + axes)))
    else:
        y = x
        for place, count in enumerate(wanted):
            y = np.moveaxis(np.moveaxis(y, 2 + place, -1) @ _means(x.shape[2 + place], count).astype(x.dtype), -1, 2 + place)
    return y.reshape(y.shape[1:]) if single else y


def _means(length: int, count: int) -> Any:
    """The matrix (length, count) that takes the mean of each window."""
    matrix = np.zeros((length, count))
    for place in range(count):
        start, end = place * length // count, -(-(place + 1) * length // count)
        matrix[start:end, place] = 1 / (end - start)
    return matrix


# --------------------------------------------------------------------------------------------- layers


class _Pooling(Module):
    axes: int

    def __init__(self, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> None:
        settings = _settings(type(self).__name__, self.axes, kernel_size, stride, padding, dilation)
        self.kernel_size, self.stride, self.padding, self.dilation = settings
        self.ceil_mode = bool(ceil_mode)

    def extra_repr(self) -> str:
        parts = [f"kernel_size={self.kernel_size}", f"stride={self.stride}", f"padding={self.padding}"]
        parts += [f"dilation={self.dilation}"] if max(self.dilation) > 1 else []
        parts += ["ceil_mode=True"] if self.ceil_mode else []
        return ", ".join(parts)


class MaxPool1d(_Pooling):
    """The largest entry of every window of (N, C, L). See `max_pool2d`."""

    axes = 1

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)

    def forward(self, x: Any) -> Any:
        return _max_pool(self, self.axes, x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class MaxPool2d(MaxPool1d):
    """The largest entry of every window of (N, C, H, W). See `max_pool2d`.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.MaxPool2d(2)(np.ones((32, 8, 28, 28))).shape
    (32, 8, 14, 14)
    """

    axes = 2


class AvgPool1d(_Pooling):
    """The mean of every window of (N, C, L). See `avg_pool2d`."""

    axes = 1
    divisor_override: int | None = None

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Any) -> Any:
        settings = self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        return _avg_pool(self, self.axes, x, *settings)


class AvgPool2d(AvgPool1d):
    """The mean of every window of (N, C, H, W). See `avg_pool2d`."""

    axes = 2

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        if divisor_override is not None:
            (self.divisor_override,) = per_axis("AvgPool2d", "divisor_override", divisor_override, 1)


class AdaptiveAvgPool1d(Module):
    """Means of as many windows as are wanted. See `adaptive_avg_pool2d`."""

    axes = 1

    def __init__(self, output_size: Any) -> None:
        self.output_size = output_size

    def forward(self, x: Any) -> Any:
        return _adaptive(self, self.axes, x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(AdaptiveAvgPool1d):
    """Means of as many windows as are wanted; with 1, of each whole image. See `adaptive_avg_pool2d`."""

    axes = 2

"""Convolutions (cross-correlations, as in PyTorch) and their transposes, over any number of spatial axes.

Every window of the input is a column, and the kernels are the rows of a matrix: one product of matrices for each example
of the batch (im2col). The columns take kernel size / stride as much memory as the input, along each axis.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.geometry import Sizes, batched, check_reach, keep_freed_memory, named, padded, per_axis, windows
from compgraph.nn.linear import whole
from compgraph.nn.module import Module
from compgraph.nn.randomness import generator_from

keep_freed_memory()

PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # PyTorch's names and NumPy's
Widths = tuple[tuple[int, int], ...]  # entries before and after, for each spatial axis


# ------------------------------------------------------------------------------------------ functions


def conv1d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """As `conv2d`, over one axis: (N, C, L) with a weight (out, C / groups, k).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.conv1d(np.array([[[1.0, 2.0, 4.0, 7.0]]]), np.array([[[-1.0, 1.0]]]))
    array([[[1., 2., 3.]]])
    """
    return _convolution("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """y[n, o, i, j] = bias[o] + sum over c, k, l of weight[o, c, k, l] x[n, c, i s + k d, j s + l d]; s the stride, d the dilation.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.conv2d(np.ones((32, 1, 28, 28)), np.ones((8, 1, 3, 3)), padding="same").shape
    (32, 8, 28, 28)

    The input is (N, C, H, W) or (C, H, W), the weight (out, C / groups, kh, kw), the bias (out,). `padding` is a number of zeros
    on both sides, one for each axis, "valid" for none, or "same" for as many as give a result of the input's size with stride 1.
    With `groups` each part of the channels has kernels of its own. Raises `ShapeError` where shapes do not fit and `InputError`
    for settings that make no sense.
    """
    return _convolution("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1,
) -> Any:  # fmt: skip
    """As `conv_transpose2d`, over one axis."""
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `conv2d` as a linear map of its input: <conv2d(x, w), y> = <x, conv_transpose2d(y, w)>.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.conv_transpose2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)))
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]])

    The weight is (C, out / groups, kh, kw). A side of the result has (n - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1
    entries: with a stride, inputs of several sizes have the same number of windows, and `output_padding` chooses among them.
    """
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _convolution(
    layer: Any, axes: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any, mode: str = "constant"
) -> Any:
    out, inner, size = _kernel(layer, axes, weight)
    stride, dilation = per_axis(layer, "stride", stride, axes), per_axis(layer, "dilation", dilation, axes)
    _check_groups(layer, groups, out, "output channels")
    x, single = batched(layer, x, axes, inner * groups)
    widths = _widths(layer, padding, size, stride, dilation)
    check_reach(layer, x.shape[2:], size, dilation, widths)
    x = padded(x, widths, mode=mode)
    count, entries = x.shape[0], inner * math.prod(size)
    if size == x.shape[2:] and groups == 1:  # the only window is the whole input: as in Linear
        y = x.reshape((count, entries)) @ weight.reshape((out, entries)).T
        y = y if bias is None else y + bias
        positions: Sizes = (1,) * axes
    else:
        if max(size) == 1:
            x = x[(..., *(slice(None, None, step) for step in stride))] if max(stride) > 1 else x
        else:
            x = windows(x, size, stride, dilation)
        positions = x.shape[len(x.shape) - axes :]
        columns = (groups,) * (groups > 1) + (entries, math.prod(positions))
        rows = (groups,) * (groups > 1) + (out // groups, entries)
        y = weight.reshape(rows) @ x.reshape((count, *columns))
        y = y if bias is None else y + bias.reshape((*rows[:-1], 1))
    return y.reshape((out, *positions) if single else (count, out, *positions))


def _transposed(
    layer: Any, axes: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: Any, dilation: Any
) -> Any:
    channels, inner, size = _kernel(layer, axes, weight)
    stride, dilation = per_axis(layer, "stride", stride, axes), per_axis(layer, "dilation", dilation, axes)
    crop, extra = per_axis(layer, "padding", padding, axes, 0), per_axis(layer, "output_padding", output_padding, axes, 0)
    if any(more >= max(step, spread) for more, step, spread in zip(extra, stride, dilation, strict=True)):
        limits = f"the stride {stride} or the dilation {dilation}"
        raise cg.InputError(f"{named(layer)}: output_padding {extra} has to be smaller than {limits}{cg.here()}")
    _check_groups(layer, groups, channels, "input channels")
    x, single = batched(layer, x, axes, channels)
    positions, count, out = x.shape[2:], x.shape[0], inner * groups
    stretch = zip(positions, size, stride, dilation, strict=True)
    whole_shape = tuple((places - 1) * step + spread * (entries - 1) + 1 for places, entries, step, spread in stretch)
    if any(length - 2 * cut + more < 1 for length, cut, more in zip(whole_shape, crop, extra, strict=True)):
        raise cg.ShapeError(f"{named(layer)}: padding {crop} leaves nothing of a result of {whole_shape}: use less{cg.here()}")
    rows = (groups,) * (groups > 1) + (channels // groups, inner * math.prod(size))
    columns = (groups,) * (groups > 1) + (channels // groups, math.prod(positions))
    kernels = weight.reshape(rows)
    y = kernels.transpose((0, 2, 1) if groups > 1 else (1, 0)) @ x.reshape((count, *columns))
    y = cg.bind("fold", y.reshape((count, out, *size, *positions)), shape=whole_shape, stride=stride, dilation=dilation)
    ends = [(cut, length - cut + more) for length, cut, more in zip(whole_shape, crop, extra, strict=True)]
    y = padded(y, [(0, max(end - length, 0)) for (_, end), length in zip(ends, whole_shape, strict=True)])
    if any(crop) or any(end < length for (_, end), length in zip(ends, whole_shape, strict=True)):
        y = y[(..., *(slice(start, end) for start, end in ends))]
    y = y if bias is None else y + bias.reshape((out, *(1,) * axes))
    return y.reshape(y.shape[1:]) if single else y


def _kernel(layer: Any, axes: int, weight: Any) -> tuple[int, int, Sizes]:
    if not hasattr(weight, "shape") or len(weight.shape) != axes + 2:
        found = getattr(weight, "shape", type(weight).__name__)
        wanted = f"{axes + 2} axes, two of channels and {axes} of the kernel"
        raise cg.ShapeError(f"{named(layer)}: a weight has {wanted}, not {found}{cg.here()}")
    return weight.shape[0], weight.shape[1], weight.shape[2:]


def _check_groups(layer: Any, groups: Any, channels: int, what: str) -> None:
    if not isinstance(groups, (int, np.integer)) or isinstance(groups, bool) or groups < 1 or channels % groups:
        raise cg.InputError(f"{named(layer)}: groups is an integer that divides the {channels} {what}, not {groups!r:.60}{cg.here()}")


def _widths(layer: Any, padding: Any, size: Sizes, stride: Sizes, dilation: Sizes) -> Widths:
    if not isinstance(padding, str):
        return tuple((width, width) for width in per_axis(layer, "padding", padding, len(size), 0))
    if padding == "valid":
        return ((0, 0),) * len(size)
    if padding != "same":
        raise cg.InputError(f"{named(layer)}: padding is a number, 'same' or 'valid', not {padding!r:.60}{cg.here()}")
    if max(stride) > 1:
        raise cg.InputError(f"{named(layer)}: padding='same' is for stride 1, not {stride}: give the padding as a number{cg.here()}")
    totals = [spread * (entries - 1) for entries, spread in zip(size, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)  # an odd entry more comes behind


# --------------------------------------------------------------------------------------------- layers


class _Convolution(Module):
    """What the layers share. Weight and bias start uniform in (-k, k), k = 1 / sqrt(fan in), as in PyTorch."""

    floating_input = True
    axes: int
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, output_padding: Any, groups: int,
        bias: bool, dilation: Any, padding_mode: str, dtype: Any, generator: Any,
    ) -> None:  # fmt: skip
        layer, axes = type(self).__name__, self.axes
        self.in_channels, self.out_channels = whole(self, "in_channels", in_channels), whole(self, "out_channels", out_channels)
        self.kernel_size = per_axis(layer, "kernel_size", kernel_size, axes)
        self.stride, self.dilation = per_axis(layer, "stride", stride, axes), per_axis(layer, "dilation", dilation, axes)
        self.padding = padding if isinstance(padding, str) else per_axis(layer, "padding", padding, axes, 0)
        self.output_padding = per_axis(layer, "output_padding", output_padding, axes, 0)
        self.groups, self.padding_mode = whole(self, "groups", groups), padding_mode
        _check_groups(layer, self.groups, self.in_channels, "input channels")
        _check_groups(layer, self.groups, self.out_channels, "output channels")
        _widths(layer, self.padding, self.kernel_size, self.stride, self.dilation)
        modes = ["zeros"] if self.transposed else list(PADDING_MODES)
        if padding_mode not in modes:
            raise cg.InputError(f"{named(layer)}: padding_mode is {' or '.join(map(repr, modes))}, not {padding_mode!r:.60}{cg.here()}")
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (first, second // self.groups, *self.kernel_size)
        rng, bound = generator_from(generator), 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = cg.variable(rng.uniform(-bound, bound, shape).astype(dtype))
        self.bias = cg.variable(rng.uniform(-bound, bound, self.out_channels).astype(dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        mode = PADDING_MODES[self.padding_mode]
        return _convolution(self, self.axes, x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups, mode)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        ones, zeros = (1,) * self.axes, (0,) * self.axes
        parts += [f"padding={self.padding!r}"] if self.padding != zeros else []
        parts += [f"dilation={self.dilation}"] if self.dilation != ones else []
        parts += [f"output_padding={self.output_padding}"] if self.output_padding != zeros else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += ["bias=False"] if self.bias is None else []
        parts += [f"padding_mode={self.padding_mode}"] if self.padding_mode != "zeros" else []
        return ", ".join(parts)


class _Forward(_Convolution):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
        bias: bool = True, padding_mode: str = "zeros", dtype: Any = np.float32, generator: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, 0, groups, bias, dilation, padding_mode, dtype, generator)


class Conv1d(_Forward):
    """A convolution over one axis: (N, C, L) to (N, out, L'). See `conv1d` and `Conv2d`."""

    axes = 1


class Conv2d(_Forward):
    """A convolution over two axes: (N, C, H, W) to (N, out, H', W'), or without N. See `conv2d`.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> layer = nn.Conv2d(1, 8, 3, padding=1)
    >>> layer.weight.shape, layer(np.ones((32, 1, 28, 28), np.float32)).shape
    ((8, 1, 3, 3), (32, 8, 28, 28))

    `padding_mode` is "zeros", "reflect", "replicate" or "circular". Weight and bias start uniform in (-k, k),
    k = 1 / sqrt(C / groups kh kw), as in PyTorch.
    """

    axes = 2


class _Transposed(_Convolution):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", dtype: Any = np.float32, generator: Any = None,
    ) -> None:  # fmt: skip
        if isinstance(padding, str):
            raise cg.InputError(f"{type(self).__name__}: padding is a number, not {padding!r:.60}{cg.here()}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation, padding_mode, dtype, generator
        )

    def forward(self, x: Any) -> Any:
        return _transposed(
            self, self.axes, x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )


class ConvTranspose1d(_Transposed):
    """The transpose of a convolution over one axis. See `conv_transpose1d`."""

    axes = 1


class ConvTranspose2d(_Transposed):
    """The transpose of a convolution over two axes, which makes larger images of smaller ones. See `conv_transpose2d`.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.ConvTranspose2d(16, 8, 2, stride=2)(np.ones((32, 16, 7, 7), np.float32)).shape
    (32, 8, 14, 14)
    """

    axes = 2

"""Normalisation by the statistics of a batch (Ioffe & Szegedy, 2015) or of one example (Ba, Kiros & Hinton, 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import compgraph as cg
from compgraph.nn.module import Module, whole


def centred(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """The mean over `axes`, x less it, and the variance, the mean of its square: the axes stay, with length 1."""
    mean = np.mean(x, axis=axes, keepdims=True)
    difference = x - mean
    return mean, difference, np.mean(difference * difference, axis=axes, keepdims=True)


class _BatchNorm(Module):
    floating_input = True
    axes_taken: ClassVar[tuple[int, ...]]  # how many axes an input may have
    layout: ClassVar[str]

    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = np.float32,
    ) -> None:
        self.num_features = whole(self, "num_features", num_features)
        self.eps, self.momentum = positive(self, "eps", eps), momentum
        if momentum is not None and not (isinstance(momentum, (int, float)) and 0 <= momentum <= 1):
            raise cg.InputError(f"{type(self).__name__}: momentum is a number in [0, 1] or None, not {momentum!r:.60}{cg.here()}")
        self.weight = cg.variable(np.ones(num_features, dtype)) if affine else None
        self.bias = cg.variable(np.zeros(num_features, dtype)) if affine else None
        self.track_running_stats = track_running_stats
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(num_features, dtype))
            self.register_buffer("running_var", np.ones(num_features, dtype))
            self.register_buffer("num_batches_tracked", np.int64(0))

    def forward(self, x: Any) -> Any:
        shape = np.shape(x)
        if len(shape) not in self.axes_taken or shape[1] != self.num_features:
            layout = self.layout.replace("C", str(self.num_features))
            raise cg.ShapeError(f"{self.label()}: the input has shape {shape}, it has to be {layout}{cg.here()}")
        channels = (1, self.num_features) + (1,) * (len(shape) - 2)
        count = self._count(shape) if self.training else 0
        if self.training or not self.track_running_stats:
            mean, difference, variance = centred(x, (0, *range(2, len(shape))))
            if self.track_running_stats:
                self._track(mean, variance, count)
        else:
            difference, variance = x - self.running_mean.reshape(channels), self.running_var.reshape(channels)
        scale = 1 / np.sqrt(variance + self.eps)
        if self.weight is None or self.bias is None:
            return difference * scale
        return difference * (scale * self.weight.reshape(channels)) + self.bias.reshape(channels)

    def _count(self, shape: tuple[int, ...]) -> int:
        """The values of one channel, which have to be several to have a variance."""
        count = math.prod(shape) // self.num_features
        if count <= 1:
            raise cg.InputError(
                f"{self.label()}: an input of shape {shape} has {count} value{'s' * (count != 1)} a channel, which has no variance; "
                f"train with larger batches (drop a last one of 1), or call model.eval(){cg.here()}"
            )
        return count

    def _track(self, mean: Any, variance: Any, count: int) -> None:
        """Move the running statistics towards those of this batch."""
        mean, variance = (held(statistic).reshape(self.num_features) for statistic in (mean, variance))
        batches = self.num_batches_tracked + 1
        rate: Any = self.momentum
        if rate is None:  # the mean over all batches so far
            rate = (1 / batches).astype(self.running_mean.dtype)
        self.running_mean = (1 - rate) * self.running_mean + rate * mean
        self.running_var = (1 - rate) * self.running_var + rate * (variance * (count / (count - 1)))
        self.num_batches_tracked = batches

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps:g}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of (N, C) or (N, C, L).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> layer = nn.BatchNorm1d(2, affine=False)
    >>> layer(np.array([[1.0, 10.0], [3.0, 30.0]], np.float32)).round(3)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> layer.running_mean, layer.running_var
    (array([0.2, 2. ], dtype=float32), array([ 1.1, 20.9], dtype=float32))

    While training, mean and var are those of the batch (var divided by n), and the running statistics move by `momentum`
    towards them (var divided by n - 1 there); `momentum=None` makes them means over all batches. After `eval()` the running
    statistics are used. Raises `InputError` for a training batch with one value a channel, which has no variance.
    """

    axes_taken = (2, 3)
    layout = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` for images (N, C, H, W).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.BatchNorm2d(3)(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 3, 4, 4)
    """

    axes_taken = (4,)
    layout = "(N, C, H, W)"


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, which are those of `normalized_shape`.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.LayerNorm(4, dtype=np.float64)(np.array([1.0, 2.0, 3.0, 4.0])).value.round(3)
    array([-1.342, -0.447,  0.447,  1.342])

    The same while training and afterwards, for each example by itself.
    """

    floating_input = True

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = np.float32,
    ) -> None:
        lengths = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape = tuple(whole(self, "normalized_shape", length) for length in lengths)
        self.eps = positive(self, "eps", eps)
        self.weight = cg.variable(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None
        self.bias = cg.variable(np.zeros(self.normalized_shape, dtype)) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        shape, count = np.shape(x), len(self.normalized_shape)
        if shape[-count:] != self.normalized_shape:
            raise cg.ShapeError(f"{self.label()}: the input has shape {shape}, it has to end in {self.normalized_shape}{cg.here()}")
        _, difference, variance = centred(x, tuple(range(-count, 0)))
        y = difference * (1 / np.sqrt(variance + self.eps))
        if self.weight is not None:
            y = y * self.weight
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps:g}, elementwise_affine={self.weight is not None}"


def held(x: Any) -> Any:
    """The value of a node that holds one; of a node that does not, itself, without a derivative."""
    if not isinstance(x, cg.Node):
        return x
    return cg.stop_gradient(x) if x.value is None else x.value


def positive(module: Module, name: str, number: Any) -> float:
    """`number` as a float above 0, or an `InputError` that says which argument of which module it is."""
    if isinstance(number, (int, float, np.integer, np.floating)) and not isinstance(number, bool) and 0 < number < math.inf:
        return float(number)
    raise cg.InputError(f"{type(module).__name__}: {name} is a positive number, not {number!r:.60}{cg.here()}")

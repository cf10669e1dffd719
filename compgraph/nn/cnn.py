"""A small convolutional network for images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.activations import ReLU
from compgraph.nn.containers import Sequential
from compgraph.nn.convolution import Conv2d
from compgraph.nn.dropout import Dropout
from compgraph.nn.label_losses import cross_entropy
from compgraph.nn.linear import Linear
from compgraph.nn.module import Module, whole
from compgraph.nn.pooling import MaxPool2d
from compgraph.nn.randomness import generator_from
from compgraph.nn.shaping import Flatten


class CNN(Module):
    """Convolutions with ReLU and pooling, then a linear layer: images (N, C, H, W) to logits (N, num_classes).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> model = nn.CNN((1, 28, 28), 10, channels=(8, 16))
    >>> model(np.zeros((5, 1, 28, 28), np.float32)).shape, model(np.zeros((5, 784), np.float32)).shape
    ((5, 10), (5, 10))

    `channels` are those of the layers; each has a kernel of `kernel_size`, keeps the size of the image, and is followed by
    pooling that halves it. `image_shape` is (C, H, W), or (H, W) for one channel, and images may come as rows of C H W numbers
    too. `dropout` is in front of the linear layer. The form is that of Y. LeCun et al., Gradient-based learning applied to document
    recognition, Proc. IEEE 86 (1998).
    """

    loss = staticmethod(cross_entropy)

    def __init__(
        self, image_shape: Sequence[int] = (1, 28, 28), num_classes: int = 10, channels: Sequence[int] = (8, 16), kernel_size: int = 3,
        dropout: float = 0.0, dtype: Any = np.float32, generator: Any = None,
    ) -> None:  # fmt: skip
        shape = tuple(whole(self, "image_shape", length) for length in image_shape)
        if len(shape) not in (2, 3):
            raise cg.InputError(f"CNN: image_shape is (C, H, W), or (H, W) for one channel, not {shape}{cg.here()}")
        if kernel_size % 2 == 0:
            raise cg.InputError(f"CNN: kernel_size is odd, so that the image keeps its size, not {kernel_size}{cg.here()}")
        self.image_shape = shape if len(shape) == 3 else (1, *shape)
        rng = generator_from(generator)
        before, height, width = self.image_shape
        features = Sequential()
        for after in channels:
            if min(height, width) < 2:
                raise cg.InputError(f"CNN: {len(channels)} layers halve an image of {self.image_shape[1:]} to nothing{cg.here()}")
            features.append(Conv2d(before, after, kernel_size, padding=kernel_size // 2, dtype=dtype, generator=rng))
            features.append(ReLU()).append(MaxPool2d(2))
            before, height, width = after, height // 2, width // 2
        self.features = features
        dropped = [Dropout(dropout)] if dropout else []
        self.classifier = Sequential(Flatten(), *dropped, Linear(before * height * width, num_classes, dtype=dtype, generator=rng))

    def forward(self, x: Any) -> Any:
        shape = np.shape(x)
        if len(shape) < 2 or (shape[1:] != self.image_shape and math.prod(shape[1:]) != math.prod(self.image_shape)):
            raise cg.ShapeError(
                f"{self.label()}: the input has shape {shape}, it has to be (N, {', '.join(map(str, self.image_shape))}) or rows of "
                f"{math.prod(self.image_shape)} numbers{cg.here()}"
            )
        images = x if shape[1:] == self.image_shape else np.reshape(x, (shape[0], *self.image_shape))
        return self.classifier(self.features(images))

"""Changes to a batch of images that leave its labels true, drawn anew for each image.

>>> images = np.zeros((2, 3, 3))
>>> images[:, 1, 1] = 1
>>> change = Compose([Shift(1), Flip(0.5), Noise(0.1)])
>>> change
Compose([Shift(1), Flip(0.5), Noise(0.1)])
>>> changed = change(images, np.random.default_rng(0))
>>> changed.shape, np.array_equal(changed, change(images, np.random.default_rng(0)))
((2, 3, 3), True)

Each is a function of a batch, (N, H, W) or (N, C, H, W), and a `np.random.Generator`: the same generator state gives the same
images, the batch is left as it was, and shape and dtype stay. All channels of an image change alike, except for the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import compgraph as cg

Array = np.ndarray[Any, np.dtype[Any]]
Augmentation = Callable[[Array, np.random.Generator], Array]


class Shift:
    """Move each image by whole pixels, from -`pixels` to `pixels` along each axis; what comes in from outside is `fill`.

    >>> image = np.arange(4.0).reshape(1, 2, 2)
    >>> print(Shift(1)(image, np.random.default_rng(0))[0])
    [[2. 3.]
     [0. 0.]]
    """

    def __init__(self, pixels: int = 1, fill: float = 0.0) -> None:
        if isinstance(pixels, bool) or not isinstance(pixels, int | np.integer) or pixels < 0:
            raise cg.InputError(f"Shift: pixels is a whole number, 0 or more, not {pixels!r:.40}{cg.here()}")
        self.pixels, self.fill = int(pixels), fill

    def __call__(self, batch: Array, generator: np.random.Generator) -> Array:
        _check(batch, generator, self)
        (height, width), reach = batch.shape[-2:], self.pixels
        down, right = generator.integers(0, 2 * reach + 1, (2, len(batch)))
        border = [(0, 0)] * (batch.ndim - 2) + [(reach, reach)] * 2
        framed = np.pad(batch, border, constant_values=batch.dtype.type(self.fill))
        rows, columns = down[:, None] + np.arange(height), right[:, None] + np.arange(width)
        image = np.arange(len(batch))[:, None, None]
        if batch.ndim == 3:
            return framed[image, rows[:, :, None], columns[:, None]]
        # Indices on both sides of a slice put its axis last.
        return np.ascontiguousarray(np.moveaxis(framed[image, :, rows[:, :, None], columns[:, None]], -1, 1))

    def __repr__(self) -> str:
        return f"Shift({self.pixels}{f', fill={self.fill}' if self.fill else ''})"


class Flip:
    """Mirror each image with the given probability: left for right, or upside down along `axis` -2."""

    def __init__(self, probability: float = 0.5, axis: int = -1) -> None:
        if not 0 <= probability <= 1:
            raise cg.InputError(f"Flip: probability is from 0 to 1, not {probability!r:.40}{cg.here()}")
        if axis not in (-1, -2):
            raise cg.InputError(f"Flip: axis is -1, which mirrors left and right, or -2, upside down; not {axis!r:.40}{cg.here()}")
        self.probability, self.axis = probability, axis

    def __call__(self, batch: Array, generator: np.random.Generator) -> Array:
        _check(batch, generator, self)
        chosen = generator.random(len(batch)) < self.probability
        return np.where(chosen.reshape(-1, *[1] * (batch.ndim - 1)), np.flip(batch, self.axis), batch)

    def __repr__(self) -> str:
        return f"Flip({self.probability}{f', axis={self.axis}' if self.axis != -1 else ''})"


class Noise:
    """Add normal noise of standard deviation `deviation` to each pixel; images of whole numbers are refused."""

    def __init__(self, deviation: float = 0.1) -> None:
        if not 0 <= deviation < np.inf:
            raise cg.InputError(f"Noise: deviation is a number, 0 or more, not {deviation!r:.40}{cg.here()}")
        self.deviation = deviation

    def __call__(self, batch: Array, generator: np.random.Generator) -> Array:
        _check(batch, generator, self)
        if batch.dtype.kind != "f":
            raise cg.DtypeError(f"Noise: the images are {batch.dtype}, which rounds the noise away; use X.astype(np.float32){cg.here()}")
        drawn: Array = np.asarray(generator.normal(0.0, self.deviation, batch.shape))
        return batch + drawn.astype(batch.dtype)

    def __repr__(self) -> str:
        return f"Noise({self.deviation})"


class Compose:
    """One after another, each drawing from the same generator."""

    def __init__(self, augmentations: Sequence[Augmentation]) -> None:
        self.augmentations = list(augmentations)
        for one in self.augmentations:
            if not callable(one):
                raise cg.InputError(f"Compose takes functions of a batch and a generator, not {one!r:.40}{cg.here()}")

    def __call__(self, batch: Array, generator: np.random.Generator) -> Array:
        for augmentation in self.augmentations:
            batch = augmentation(batch, generator)
        return batch

    def __repr__(self) -> str:
        return f"Compose({self.augmentations})"


def _check(batch: Any, generator: Any, asking: Any) -> None:
    name = type(asking).__name__
    if not isinstance(batch, np.ndarray) or batch.ndim not in (3, 4) or batch.dtype.kind not in "biuf":
        what = f"{batch.dtype} {batch.shape}" if isinstance(batch, np.ndarray) else f"a {type(batch).__name__}"
        raise cg.ShapeError(f"{name} takes images (N, H, W) or (N, C, H, W), not {what}: reshape rows of pixels first{cg.here()}")
    if not isinstance(generator, np.random.Generator):
        raise cg.DtypeError(f"{name} draws from a np.random.Generator, such as np.random.default_rng(0), not {generator!r:.40}{cg.here()}")


__all__ = ["Compose", "Flip", "Noise", "Shift"]

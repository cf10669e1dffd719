"""What convolution and pooling share: sizes along each axis, padding, and windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import compgraph as cg

Sizes = tuple[int, ...]  # one for each spatial axis


def keep_freed_memory() -> None:
    """Let the C library keep memory that arrays free, up to 64 MB, for the next ones.

    glibc maps a large array's memory from the system and gives it back, and each page costs a fault when it is first written;
    that is two thirds of the time of an eager convolution. Once a mapped block has been freed, blocks up to its size stay with
    the process: so one is made here, which is never written and therefore takes no memory. Elsewhere it does nothing.
    """
    np.empty(32_000_000, np.uint8)


def named(layer: Any) -> str:
    """What an error calls a layer: a module by its label, a function by its name."""
    return layer if isinstance(layer, str) else str(layer.label())


def per_axis(layer: Any, name: str, given: Any, axes: int, least: int = 1) -> Sizes:
    """A number for each of `axes`, from one number or as many.

    >>> per_axis("Conv2d", "stride", 2, 2)
    (2, 2)

    Raises `InputError` for what is no integer of at least `least`.
    """
    numbers = tuple(given) if isinstance(given, (tuple, list, np.ndarray)) else (given,) * axes
    if len(numbers) == 1:
        numbers *= axes
    whole = all(isinstance(one, (int, np.integer)) and not isinstance(one, bool) and one >= least for one in numbers)
    if len(numbers) != axes or not whole:
        several = f" or {axes} of them" if axes > 1 else ""
        raise cg.InputError(f"{named(layer)}: {name} is an integer of at least {least}{several}, not {given!r:.60}{cg.here()}")
    return tuple(map(int, numbers))


def batched(layer: Any, x: Any, axes: int, channels: int | None = None) -> tuple[Any, bool]:
    """The input with a batch axis, and whether it had none; refuses other numbers of axes and of channels."""
    x = x if hasattr(x, "shape") else np.asarray(x)
    letters = ("L", "H, W", "D, H, W")[axes - 1]
    single = len(x.shape) == axes + 1
    if not single and len(x.shape) != axes + 2:
        raise cg.ShapeError(
            f"{named(layer)}: the input has shape {x.shape}; it has to be (N, C, {letters}), or (C, {letters}) for a single one. "
            f"X.reshape(N, C, {letters}) makes it so{cg.here()}"
        )
    have = x.shape[-axes - 1]
    if channels is not None and have != channels:
        found = f"{have} channels on axis {len(x.shape) - axes - 1}"
        raise cg.ShapeError(f"{named(layer)}: the input has shape {x.shape}, with {found}; it has to have {channels}{cg.here()}")
    return (x.reshape((1, *x.shape)), True) if single else (x, False)


def padded(x: Any, widths: Sequence[tuple[int, int]], fill: float = 0.0, mode: str = "constant") -> Any:
    """`x` with entries before and after those of its last axes."""
    if not any(before or after for before, after in widths):
        return x
    every = (*((0, 0),) * (len(x.shape) - len(widths)), *widths)
    return np.pad(x, every, constant_values=fill) if mode == "constant" else np.pad(x, every, mode)  # type: ignore[call-overload]


def check_reach(layer: Any, shape: Sizes, size: Sizes, dilation: Sizes, widths: Sequence[tuple[int, int]]) -> None:
    """Refuse an input that is smaller than the kernel."""
    lengths = tuple(length + before + after for length, (before, after) in zip(shape, widths, strict=True))
    reach = tuple(spread * (entries - 1) + 1 for entries, spread in zip(size, dilation, strict=True))
    if any(length < span for length, span in zip(lengths, reach, strict=True)):
        with_padding = "" if lengths == shape else f", {lengths} with padding"
        raise cg.ShapeError(
            f"{named(layer)}: a kernel that spans {reach} does not fit into an input of {shape}{with_padding}: give larger inputs, "
            f"a smaller kernel or more padding{cg.here()}"
        )


def windows(x: Any, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """Every window of the last axes: (..., *spatial) to (..., *size, *positions).

    >>> windows(np.arange(4.0), (2,), (1,), (1,))
    array([[0., 1., 2.],
           [1., 2., 3.]])

    Windows that stand side by side are a reshape, whose transpose is one too: no overlaps have to be added up.
    """
    if size != stride or (max(dilation) > 1 and max(size) > 1):
        return cg.bind("windows", x, size=size, stride=stride, dilation=dilation)
    axes = len(size)
    front, shape = x.shape[: len(x.shape) - axes], x.shape[len(x.shape) - axes :]
    counts = tuple(length // entries for length, entries in zip(shape, size, strict=True))
    used = tuple(count * entries for count, entries in zip(counts, size, strict=True))
    if used != shape:
        x = x[(..., *(slice(0, end) for end in used))]
    split = x.reshape((*front, *(number for pair in zip(counts, size, strict=True) for number in pair)))
    start = len(front)
    order = (*range(start), *range(start + 1, start + 2 * axes, 2), *range(start, start + 2 * axes, 2))
    return split.transpose(order)

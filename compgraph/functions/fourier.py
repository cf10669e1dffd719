"""`np.fft`: NumPy's names and parameters, made of four primitives, cropping and padding.

    >>> import numpy as np, compgraph as cg
    >>> def power(x):
    ...     return np.sum(np.abs(np.fft.rfft(x, n=8)) ** 2)
    >>> cg.grad(power)(np.array([1.0, 2.0, 3.0]))
    array([16., 20., 32.])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.functions.parameters import whole
from compgraph.functions.registry import implements
from compgraph.graph import bind
from compgraph.origins import here
from compgraph.primitives.fourier import swapped
from compgraph.primitives.kinds import normalized_axes, shape_of

Lengths = tuple[int | None, ...]  # one a transformed axis; None leaves it as it is


def fitted(a: Any, length: int, axis: int) -> Any:
    """`a` cropped or padded with zeros to `length` along `axis`."""
    have = shape_of(a)[axis]
    if length == have:
        return a
    before = (slice(None),) * axis
    if length < have:
        return bind("index", a, index=(*before, slice(0, length)))
    shape = shape_of(a)
    return bind("scatter_add", a, index=(*before, slice(0, have)), shape=(*shape[:axis], length, *shape[axis + 1 :]))


def _one(name: str, a: Any, axis: int) -> tuple[int]:
    return _distinct(name, a, (axis,))  # type: ignore[return-value]


def _distinct(name: str, a: Any, axes: Sequence[int]) -> tuple[int, ...]:
    """Axes as non-negative numbers in the order given: the last one is that of the halved spectrum."""
    try:
        whole_axes = tuple(whole(axis) for axis in axes)
        normalized_axes(whole_axes, len(shape_of(a)))
    except ShapeError as error:
        raise ShapeError(f"np.fft.{name}: {error}{here()}") from None
    return tuple(axis % len(shape_of(a)) for axis in whole_axes)


def _several(name: str, a: Any, s: Any, axes: Any) -> tuple[Lengths, tuple[int, ...]]:
    """`s` and `axes` with NumPy's defaults: all axes, or the last ones where only `s` is given; -1 keeps a length."""
    ndim = len(shape_of(a))
    if axes is None:
        axes = range(ndim) if s is None else range(-len(s), 0)
    places = _distinct(name, a, axes)
    lengths: Lengths = (None,) * len(places) if s is None else tuple(None if n is None or n == -1 else whole(n) for n in s)
    if len(lengths) != len(places) or not places:
        raise ShapeError(f"np.fft.{name}: {len(lengths)} lengths for {len(places)} axes{here()}")
    return lengths, places


def _sized(name: str, a: Any, lengths: Lengths, axes: Sequence[int]) -> Any:
    for length, axis in zip(lengths, axes, strict=True):
        length = shape_of(a)[axis] if length is None else length
        if length < 1:
            raise ShapeError(f"np.fft.{name}: {length} is no length of a transform, at axis {axis} of {shape_of(a)}{here()}")
        a = fitted(a, length, axis)
    return a


def _norm(name: str, norm: Any) -> str | None:
    if norm not in (None, "backward", "ortho", "forward"):
        raise ShapeError(f'np.fft.{name}: norm={norm!r} is none of "backward", "ortho", "forward"{here()}')
    return None if norm == "backward" else norm


def _transformed(name: str, primitive: str, a: Any, lengths: Lengths, axes: tuple[int, ...], norm: Any) -> Any:
    """fftn, ifftn and rfftn: the argument gets its lengths and is transformed."""
    return bind(primitive, _sized(name, a, lengths, axes), axes=axes, norm=_norm(name, norm))


def _real_inverse(name: str, a: Any, lengths: Lengths, axes: tuple[int, ...], norm: Any) -> Any:
    """irfftn: the last length is that of the result, of whose spectrum `a` has half."""
    last = lengths[-1] if lengths[-1] is not None else 2 * (shape_of(a)[axes[-1]] - 1)
    if last < 1:
        raise ShapeError(f"np.fft.{name}: {last} is no length of a transform, at axis {axes[-1]} of {shape_of(a)}{here()}")
    a = _sized(name, a, (*lengths[:-1], last // 2 + 1), axes)
    return bind("irfftn", a, length=last, axes=axes, norm=_norm(name, norm))


def _register() -> None:
    """The twelve plain transforms: each of four primitives over one, two or any axes."""

    def over_one(name: str, primitive: str, transform: Callable[..., Any]) -> None:
        def one(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
            return transform(name, primitive, a, (None if n is None else whole(n),), _one(name, a, axis), norm)

        implements(getattr(np.fft, name))(one)

    def over_several(name: str, primitive: str, transform: Callable[..., Any], default: Any) -> None:
        def several(a: Any, s: Any = None, axes: Any = default, norm: str | None = None) -> Any:
            return transform(name, primitive, a, *_several(name, a, s, axes), norm)

        implements(getattr(np.fft, name))(several)

    def inverse(name: str, _: str, *args: Any) -> Any:
        return _real_inverse(name, *args)

    for stem in ("fft", "ifft", "rfft", "irfft"):
        transform = inverse if stem == "irfft" else _transformed
        over_one(stem, f"{stem}n", transform)
        over_several(f"{stem}2", f"{stem}n", transform, (-2, -1))
        over_several(f"{stem}n", f"{stem}n", transform, None)


_register()


@implements(np.fft.hfft)
def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The spectrum, which is real, of an array with Hermitian symmetry, given by its first half."""
    length = None if n is None else whole(n)
    return _real_inverse("hfft", np.conjugate(a), (length,), _one("hfft", a, axis), swapped(_norm("hfft", norm)))


@implements(np.fft.ihfft)
def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `hfft`: half of the array whose spectrum is the real array `a`."""
    length = None if n is None else whole(n)
    return np.conjugate(_transformed("ihfft", "rfftn", a, (length,), _one("ihfft", a, axis), swapped(_norm("ihfft", norm))))


def _rolled(name: str, x: Any, axes: Any, shift: Callable[[int], int]) -> Any:
    axes = range(len(shape_of(x))) if axes is None else (axes,) if isinstance(axes, (int, np.integer)) else axes
    for axis in _distinct(name, x, axes):
        length = shape_of(x)[axis]
        border = length - shift(length)
        before = (slice(None),) * axis
        if 0 < border < length:
            x = np.concatenate([x[(*before, slice(border, None))], x[(*before, slice(0, border))]], axis=axis)
    return x


@implements(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """The frequency 0 moved from the first place to the middle."""
    return _rolled("fftshift", x, axes, lambda length: length // 2)


@implements(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`, which differs from it for odd lengths."""
    return _rolled("ifftshift", x, axes, lambda length: length - length // 2)

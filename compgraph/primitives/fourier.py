"""Discrete Fourier transforms over one or several axes, of complex and of real arrays.

All four are linear, and so their transposes are transforms again. The matrix F of entries e^(-2 pi i jk / n) is symmetric, and
nothing is conjugated in a transpose (see `primitives/complex.py`), so that of `fftn` is `fftn`. `rfftn` keeps half of the
spectrum: an entry that stands for its mirror image as well counts twice on the way from the spectrum to the array, and
once on the way there. Cropping and padding to a length is not done here but by the functions of NumPy's names.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from compgraph.backend import beside
from compgraph.errors import DtypeError, ShapeError
from compgraph.graph import Aval, Primitive, bind
from compgraph.primitives import costs
from compgraph.primitives.kinds import Rule, linear, shape_of

Axes = tuple[int, ...]  # not negative, distinct; the last one is that of the halved spectrum


@lru_cache(maxsize=64)
def _dtypes(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """NumPy's complex and real results for an argument of `dtype`: transforms keep single precision."""
    spectrum = np.fft.fft(np.zeros(1, dtype))
    return spectrum.dtype, spectrum.real.dtype


def swapped(norm: str | None) -> str:
    """The norm of an inverse with which it does the scaling of the other direction.

    >>> swapped(None), swapped("ortho")
    ('forward', 'ortho')
    """
    return {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}[norm]


def _with_length(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    return (*shape[:axis], length, *shape[axis + 1 :])


def _checked(x: Any, axes: Axes) -> tuple[int, ...]:
    shape = shape_of(x)
    for axis in axes:
        if shape[axis] < 1:
            raise ShapeError(f"no transform of no numbers: shape {shape}, axis {axis}")
    return shape


def _infer_complex(x: Any, *, axes: Axes, norm: str | None) -> Aval:
    return _checked(x, axes), _dtypes(x.dtype)[0]


def _infer_rfftn(x: Any, *, axes: Axes, norm: str | None) -> Aval:
    if x.dtype.kind == "c":
        raise DtypeError("rfft is for real numbers, these are complex; use fft")
    shape = _checked(x, axes)
    return _with_length(shape, axes[-1], shape[axes[-1]] // 2 + 1), _dtypes(x.dtype)[0]


def _infer_irfftn(x: Any, *, length: int, axes: Axes, norm: str | None) -> Aval:
    return _with_length(_checked(x, axes), axes[-1], length), _dtypes(x.dtype)[1]


def _batch(name: str) -> Rule:
    return lambda flags, x, *, axes, **params: bind(name, x, axes=tuple(axis + 1 for axis in axes), **params)


def _complex(name: str) -> Primitive:
    return linear(
        name, code=f"xp.fft.{name}({{0}}, axes={{axes}}, norm={{norm}})", infer=_infer_complex, batch=_batch(name),
        transpose=(lambda y_bar, x, axes, norm: bind(name, y_bar, axes=axes, norm=norm),), cost=costs.fourier,
    )  # fmt: skip


fftn, ifftn = _complex("fftn"), _complex("ifftn")


def _times_seen(length: int, axis: int, spectrum: Any) -> Any:
    """How often each entry of a halved spectrum stands in the whole one: once at 0 and at half of an even length, else twice."""
    times = np.full(length // 2 + 1, 2, _dtypes(spectrum.dtype)[1])
    times[0] = 1
    if length % 2 == 0:
        times[-1] = 1
    return beside(times.reshape(-1, *(1,) * (len(shape_of(spectrum)) - 1 - axis)), spectrum)


def _transpose_rfftn(y_bar: Any, x: Any, axes: Axes, norm: str | None) -> Any:
    """x_bar_j = Re sum_k y_bar_k e^(-i theta_jk), where k runs over the kept half: an unscaled inverse without the doubling."""
    length = x.shape[axes[-1]]
    once = np.conjugate(y_bar) / _times_seen(length, axes[-1], y_bar)
    return bind("irfftn", once, length=length, axes=axes, norm=swapped(norm))


def _transpose_irfftn(x_bar: Any, y: Any, length: int, axes: Axes, norm: str | None) -> Any:
    """y_bar_k = times_k sum_j x_bar_j e^(i theta_jk), the conjugate of a spectrum of real numbers."""
    spectrum = bind("rfftn", x_bar, axes=axes, norm=swapped(norm))
    return np.conjugate(spectrum) * _times_seen(length, axes[-1], spectrum)


rfftn = linear(
    "rfftn", code="xp.fft.rfftn({0}, axes={axes}, norm={norm})", infer=_infer_rfftn, batch=_batch("rfftn"), analytic=False,
    transpose=(_transpose_rfftn,), cost=costs.fourier,
)  # fmt: skip


def irfftn(x, length, axes, norm):  # type: ignore[no-untyped-def]
    # The real array of `length` along the last of `axes` that has this halved spectrum.
    shape = [*(x.shape[axis] for axis in axes[:-1]), length]
    return np.fft.irfftn(x, shape, axes, norm)


irfftn_ = linear(
    "irfftn", code="irfftn({0}, {length}, {axes}, {norm})", helper=irfftn, infer=_infer_irfftn, batch=_batch("irfftn"), analytic=False,
    transpose=(_transpose_irfftn,), cost=costs.fourier,
)  # fmt: skip

for _transform in (fftn, ifftn, rfftn, irfftn_):
    _transform.without_sympy = "a transform written out has n**2 terms"

"""Sample arguments for the Fourier transforms; the references sum what the definition says, one axis after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from domains import Domain, spread
from domains_complex import complexes

Sampled = tuple[tuple[Any, ...], dict[str, Any]]


def transformed(x: Any, axes: Any, norm: Any, sign: int = -1) -> Any:
    dtype = np.result_type(x.dtype, np.complex64)
    for axis in axes:
        size = x.shape[axis]
        places = np.arange(size)
        matrix = np.exp(sign * 2j * np.pi / size * np.outer(places, places))
        backward, forward = {None: (1 / size, 1), "backward": (1 / size, 1), "ortho": (size**-0.5,) * 2, "forward": (1, 1 / size)}[norm]
        x = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis) * (forward if sign < 0 else backward)
    return x.astype(dtype)


def _rfftn(x: Any, axes: Any, norm: Any) -> Any:
    kept = slice(0, x.shape[axes[-1]] // 2 + 1)
    return transformed(x, axes, norm)[(slice(None),) * axes[-1] + (kept,)]


def _irfftn(x: Any, length: int, axes: Any, norm: Any) -> Any:
    """The other half of the last axis is the conjugate mirror image; what is imaginary at 0 and at half a length is ignored."""
    x = np.moveaxis(transformed(x, axes[:-1], norm, 1), axes[-1], 0)
    whole = np.zeros((length, *x.shape[1:]), x.dtype)
    for place in range(length // 2 + 1):
        alone = 2 * place in (0, length)
        whole[place] = x[place].real if alone else x[place]
        if not alone:
            whole[-place] = np.conj(x[place])
    return transformed(np.moveaxis(whole, 0, axes[-1]), axes[-1:], norm, 1).real


NORMS = (None, "ortho", "forward")


def reals(shape: tuple[int, ...]) -> Any:
    return spread(shape, -2, 2)


AXES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((1,), (0,)), ((2, 3), (0,)), ((2, 3), (1,)), ((2, 3), (1, 0)), ((2, 4), (0, 1)), ((2, 1, 3), (0, 2)), ((0, 4), (1,)),
)  # fmt: skip


def over(makes: Any, **params: Any) -> Iterator[Sampled]:
    for make in makes:
        for norm in NORMS:
            yield (make((4,)),), {**params, "axes": (0,), "norm": norm}
            yield (make((3,)),), {**params, "axes": (0,), "norm": norm}
        for shape, axes in AXES:
            yield (make(shape),), {**params, "axes": axes, "norm": None}


def inverses() -> Iterator[Sampled]:
    for make in (complexes, reals):
        for norm in NORMS:
            for length in (4, 5):
                yield (make((3,)),), {"length": length, "axes": (0,), "norm": norm}
        for shape, axes, length in (((1,), (0,), 1), ((2, 3), (1, 0), 3), ((2, 3), (0, 1), 4), ((3, 1, 2), (2, 0), 5), ((0, 3), (1,), 5)):
            yield (make(shape),), {"length": length, "axes": axes, "norm": None}


DOMAINS: dict[str, Domain] = {
    "fftn": Domain(transformed, tuple(over((complexes, reals)))),
    "ifftn": Domain(lambda x, axes, norm: transformed(x, axes, norm, 1), tuple(over((complexes, reals)))),
    "rfftn": Domain(_rfftn, tuple(over((reals,)))),
    "irfftn": Domain(_irfftn, tuple(inverses())),
}

"""Sample arguments for the primitives of complex numbers, complex ones and real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from domains import SHAPES, Domain, spread


def complexes(shape: tuple[int, ...], offset: float = 0.5) -> Any:
    """Distinct complex numbers in all four quadrants, away from the axes and from 0."""
    size = int(np.prod(shape))
    turns = (np.arange(size) * 0.618 + 0.07 + 0.1 * offset) % 1
    return (np.asarray(spread(shape, 0.5, 2, offset)) * np.exp(2j * np.pi * turns).reshape(shape))[()]


def both(reference: Callable[..., Any]) -> Domain:
    return Domain(reference, tuple(((made(shape),), {}) for made in (complexes, lambda shape: spread(shape, -2, 2.3)) for shape in SHAPES))


DOMAINS: dict[str, Domain] = {
    "real": both(lambda x: (x + np.conj(x)).real / 2),
    "imag": both(lambda x: (-1j * x).real),
    "conjugate": both(lambda x: 2 * np.real(x) - x),
    "magnitude": both(lambda x: np.hypot(np.real(x), np.imag(x))),
    "angle": both(lambda x: np.arctan2(np.imag(x), np.real(x))),
}

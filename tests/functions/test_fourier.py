"""`np.fft` on nodes: every transform with its parameters, in both modes and to second order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from complex_composites import verify

import compgraph as cg

GENERATOR = np.random.default_rng(0)
REAL = GENERATOR.normal(size=(2, 3, 4))
COMPLEX = REAL + 1j * GENERATOR.normal(size=REAL.shape)

ONE: list[dict[str, Any]] = [
    {}, {"n": 3}, {"n": 6}, {"axis": 0}, {"axis": -2}, {"n": 5, "axis": 1}, {"norm": "ortho"}, {"norm": "forward", "n": 7},
    {"norm": "backward", "axis": np.int64(1)}, {"n": 1}, {"n": 2, "axis": 0},
]  # fmt: skip
TWO: list[dict[str, Any]] = [
    {}, {"s": (5, 3)}, {"s": (2, 6), "axes": (0, 2)}, {"axes": (1, 0)}, {"norm": "ortho"},
    {"norm": "forward", "s": [4, 4], "axes": [-1, -2]},
]  # fmt: skip
MANY: list[dict[str, Any]] = [{}, {"axes": (2,)}, {"axes": (2, 0)}, {"s": (3, 5), "axes": (0, 1)}, {"norm": "ortho"}, {"norm": "forward"}]
CASES = [
    *((stem, kwargs) for stem in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft") for kwargs in ONE),
    *((f"{stem}2", kwargs) for stem in ("fft", "ifft", "rfft", "irfft") for kwargs in TWO),
    *((f"{stem}n", kwargs) for stem in ("fft", "ifft", "rfft", "irfft") for kwargs in MANY),
    *((name, kwargs) for name in ("fftshift", "ifftshift") for kwargs in ({}, {"axes": 1}, {"axes": (0, -1)})),
]


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=str)
def test_transform(name: str, kwargs: dict[str, Any]) -> None:
    takes_complex = name.startswith("ir") or not ("rfft" in name or name == "ihfft")
    for x in (REAL, COMPLEX) if takes_complex else (REAL,):
        verify(lambda x: getattr(np.fft, name)(x, **kwargs), x, second=x is COMPLEX or not takes_complex)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_of_nothing_and_of_one_number(name: str) -> None:
    transform = getattr(np.fft, name)
    for x in (np.zeros((0, 4)), np.array([1.5]), np.ones((2, 1))):
        n = {"n": 3} if x.shape[-1] == 1 else {}
        verify(lambda x, n=n: transform(x, **n), x)


def test_positions_and_defaults_are_numpys() -> None:
    verify(lambda x: np.fft.fft(x, 5, 0, "ortho"), COMPLEX)
    verify(lambda x: np.fft.irfftn(x, (3, 5), (0, 1), "forward"), COMPLEX)


def test_there_and_back_is_the_identity() -> None:
    np.testing.assert_allclose(cg.jacobian(lambda x: np.fft.irfft(np.fft.rfft(x), 5))(np.arange(5.0)), np.eye(5), atol=1e-15)
    np.testing.assert_allclose(cg.jacobian(lambda x: np.fft.ifft(np.fft.fft(x)), holomorphic=True)(COMPLEX[0, 0]), np.eye(4), atol=1e-15)


def test_parseval() -> None:
    """sum |fft(x)|^2 = n sum |x|^2, so its gradient is 2 n x."""
    x = REAL[0, 0]
    np.testing.assert_allclose(cg.grad(lambda x: np.sum(np.abs(np.fft.fft(x)) ** 2))(x), 8 * x, rtol=1e-14)
    np.testing.assert_allclose(cg.grad(lambda x: np.sum(np.abs(np.fft.fft(x, norm="ortho")) ** 2))(x), 2 * x, rtol=1e-14)


def test_a_convolution_by_the_spectrum_is_the_convolution() -> None:
    kernel = np.array([1.0, 2.0, -1.0, 0.5])

    def convolved(x: Any) -> Any:
        return np.fft.irfft(np.fft.rfft(x, 7) * np.fft.rfft(kernel, 7), 7)

    wanted = np.stack([np.convolve(row, kernel) for row in np.eye(4)], axis=-1)
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(cg.jacobian(convolved, mode=mode)(REAL[0, 0]), wanted, atol=1e-14)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "no length": (lambda x: np.fft.fft(x, 0), cg.ShapeError, "np.fft.fft: 0 is no length of a transform, at axis 2 of (2, 3, 4)"),
    "half a length": (lambda x: np.fft.fft(x, 2.5), cg.DtypeError, "float"),  # type: ignore[arg-type]
    "an axis too far": (lambda x: np.fft.rfft(x, axis=3), cg.ShapeError, "np.fft.rfft: axis 3 is outside an array of 3 axes"),
    "an axis twice": (lambda x: np.fft.fft2(x, axes=(0, 0)), cg.ShapeError, "names an axis twice"),
    "a norm of another name": (lambda x: np.fft.ifft(x, norm="unit"), cg.ShapeError, "norm='unit' is none of"),  # type: ignore[arg-type]
    "more lengths than axes": (lambda x: np.fft.fftn(x, (4, 4), (0,)), cg.ShapeError, "np.fft.fftn: 2 lengths for 1 axes"),
    "a complex array": (lambda x: np.fft.rfft(x + 1j), cg.DtypeError, "rfft is for real numbers"),
    "no numbers": (lambda x: np.fft.fft(x[:0], axis=0), cg.ShapeError, "0 is no length of a transform, at axis 0 of (0, 3, 4)"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), BAD.values(), ids=list(BAD))
def test_bad_input(call: Any, error: type[Exception], text: str) -> None:
    for run in (lambda: call(cg.variable(REAL)), lambda: cg.trace(call, REAL)):
        with pytest.raises(error) as caught:
            run()
        assert text in str(caught.value) and "test_fourier.py" in str(caught.value)

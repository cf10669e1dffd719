"""NumPy's convolution, correlation, interpolation, polynomials and phase unwrapping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from composites import verify

import compgraph as cg

V = np.array([0.4, 1.3, -0.7, 2.2, 0.9])
W = np.array([0.5, -1.5, 2.0])
E = np.array([0.5, -1.5, 2.0, 0.7])
PLACES = np.array([-1.0, 0.5, 1.2, 3.0])
X = np.array([[-2.0, -0.9, 0.1], [0.7, 2.9, 4.0]])

CALLS: dict[str, tuple[Any, ...]] = {
    **{
        f"{name} {len(a)}, {len(v)}, {mode}": (lambda a, v, name=name, mode=mode: getattr(np, name)(a, v, mode), a, v)
        for name in ("convolve", "correlate") for mode in ("full", "same", "valid")
        for a, v in ((V, W), (W, V), (V, E), (E, V), (V, V[::-1]), (V, W[:1]), (W[:2], V))
    },
    "convolve with an array": (lambda a: np.convolve(a, W), V),
    "correlate with a list": (lambda v: np.correlate(V.astype(v.dtype), v), W),
    "convolve with a number": (lambda a, v: np.convolve(a, v), V, 2.0),
    "interp": (np.interp, X, PLACES, E),
    "interp of a number": (np.interp, 0.7, PLACES, E),
    "interp by x": (lambda x: np.interp(x, PLACES.astype(x.dtype), E.astype(x.dtype)) * 1.0, X),
    "interp, sides": (lambda x, xp, fp: np.interp(x, xp, fp, left=-3.0, right=7.0), X, PLACES, E),
    "interp, period": (lambda x, xp, fp: np.interp(x, xp, fp, period=4.5), X, PLACES, E),
    "polyval": (np.polyval, W, X),
    "polyval of a number": (np.polyval, E, 0.7),
    "polyval by x": (lambda x: np.polyval([1.0, -2.0, 0.5], x), V),
    "polyval by the coefficients": (lambda p: np.polyval(p, 2.0), E),
}


@pytest.mark.parametrize("name", CALLS)
def test_signal(name: str) -> None:
    verify(*CALLS[name])


def test_unwrapping_adds_a_constant() -> None:
    phases = np.array([0.0, 2.5, -2.0, 0.5, -3.0])
    y, y_dot = cg.jvp(np.unwrap, (phases,), (np.arange(5.0),))
    np.testing.assert_allclose(y, np.unwrap(phases), rtol=1e-15)
    np.testing.assert_array_equal(y_dot, np.arange(5.0))
    np.testing.assert_array_equal(cg.jacobian(lambda p: np.unwrap(p, axis=0))(phases), np.eye(5))
    with pytest.raises(TypeError, match=r"values.*test_signal.py"):
        cg.trace(np.unwrap, phases)


def test_interpolation_at_its_places_has_the_slope_on_the_right() -> None:
    xp, fp = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, -2.0])
    slopes = [float(cg.grad(lambda x: np.interp(x, xp, fp))(x)) for x in (0.0, 0.5, 1.0, 3.0)]
    assert slopes[:3] == [2.0, 2.0, -2.0]
    assert float(cg.grad(lambda x: np.interp(x, xp, fp) + 0 * x)(5.0)) == 0


def test_a_graph_of_an_interpolation_looks_its_pieces_up() -> None:
    graph = cg.trace(lambda x, xp, fp: np.interp(x, xp, fp), X, PLACES, E)
    np.testing.assert_allclose(graph(X + 0.6, PLACES, E), np.interp(X + 0.6, PLACES, E), rtol=1e-14)


def test_the_derivative_by_a_short_kernel_takes_no_long_product() -> None:
    x, kernel = np.sin(np.arange(100_000.0)), np.array([0.25, 0.5, 0.25])
    gradient = cg.grad(lambda v: np.sum(np.convolve(x, v, "valid")))(kernel)
    np.testing.assert_allclose(gradient, [np.sum(x[2:]), np.sum(x[1:-1]), np.sum(x[:-2])], rtol=1e-9)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda x: np.convolve(x[:0], W), ValueError, "empty"),
    (lambda x: np.convolve(x, W, "other"), ValueError, "mode"),
    (lambda x: np.convolve(x[None], W), ValueError, "deep"),
    (lambda x: np.interp(0.5, PLACES, x), ValueError, "length"),
    (lambda x: np.interp(0.5, x[None], x[None]), ValueError, "1-D"),
    (lambda x: np.interp(0.5, x, x, period=0), ValueError, "period"),
])  # fmt: skip
def test_bad_input_is_refused_with_the_line(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call(cg.variable(V, name="x"))
    assert "test_signal.py" in str(caught.value)

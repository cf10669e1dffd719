"""Ufuncs that are composed, the methods of ufuncs, and NumPy's elementwise functions: NumPy's values, one derivative in both modes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.errors import ImmutableNodeError, MissingRuleError, ShapeError
from compgraph.graph import Node

A = np.array([[0.3, -1.2, 2.5], [1.7, 0.9, -0.4]])
P = np.abs(A) + 0.1
V = np.array([0.5, -0.25, 0.75])

CALLS: dict[str, Callable[..., Any]] = {
    "float_power": lambda x: np.float_power(np.abs(x), 1.5),
    "ldexp": lambda x: np.ldexp(x, 3),
    "ldexp of a list": lambda x: np.ldexp(x, [1, -2, 5]),
    "ldexp beyond 2**1024": lambda x: np.ldexp(x * 1e-300, 1100) * 1e-30,
    "frexp": lambda x: np.frexp(x)[0],
    "modf": lambda x: np.modf(x)[0],
    "divmod": lambda x: np.divmod(x, 0.7)[1],
    "%": lambda x: x % 0.7,
    "% on the right": lambda x: 3.2 % (np.abs(x) + 0.35),
    "degrees": lambda x: np.degrees(x),
    "radians": lambda x: np.radians(x),
    "clip": lambda x: np.clip(x, -0.5, 1),
    "clip from below": lambda x: np.clip(x, 0, None),
    "clip, by name": lambda x: np.clip(x, max=1.5),
    "clip by nothing": lambda x: np.clip(x, None, None),
    "clip by an array": lambda x: np.clip(V, -np.abs(x), np.abs(x)),
    "method clip": lambda x: x.clip(-0.5, 1),
    "nan_to_num": lambda x: np.nan_to_num(x),
    "sinc": lambda x: np.sinc(x),
    "i0": lambda x: np.i0(x),
    "polyval": lambda x: np.polyval([2.0, -1.0, 0.5], x),
    "polyval by coefficients": lambda x: np.polyval(x[0], 1.3),
    "masked by isfinite": lambda x: np.where(np.isfinite(x) & ~np.isnan(x), x * x, 0),
    "dtype": lambda x: np.multiply(x, V, dtype=np.float32),
    "add.reduce": lambda x: np.add.reduce(x, axis=1, keepdims=True),
    "add.reduce of all": lambda x: np.add.reduce(x, axis=None),
    "multiply.reduce": lambda x: np.multiply.reduce(x, axis=-1),
    "maximum.reduce": lambda x: np.maximum.reduce(x),
    "minimum.reduce": lambda x: np.minimum.reduce(x, axis=(0, 1)),
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x, axis=1),
    "logaddexp2.reduce": lambda x: np.logaddexp2.reduce(x, axis=1, keepdims=True),
    "hypot.reduce": lambda x: np.hypot.reduce(x, axis=None),
    "fmax.reduce": lambda x: np.fmax.reduce(x, axis=0),
    "fmin.reduce": lambda x: np.fmin.reduce(x, axis=-1),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=1),
    "multiply.accumulate": lambda x: np.multiply.accumulate(x),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, axis=-1),
    "minimum.accumulate": lambda x: np.minimum.accumulate(x, axis=0),
    "logaddexp.accumulate": lambda x: np.logaddexp.accumulate(x, axis=1),
    "add.outer": lambda x: np.add.outer(x, V),
    "subtract.outer, array first": lambda x: np.subtract.outer(V, x),
    "multiply.outer of itself": lambda x: np.multiply.outer(x, x),
    "divide.outer": lambda x: np.divide.outer(x, P),
    "hypot.outer": lambda x: np.hypot.outer(x, V),
    "power.outer": lambda x: np.power.outer(np.abs(x), V),
}  # fmt: skip


def differences(call: Callable[..., Any], x: Any, x_dot: Any) -> Any:
    steps = (1e-3, 5e-4)
    coarse, fine = ((np.asarray(call(x + h * x_dot), float) - call(x - h * x_dot)) / (2 * h) for h in steps)
    return (4 * fine - coarse) / 3


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    call = CALLS[name]
    wanted = np.asarray(call(A))
    found = call(cg.variable(A))
    assert isinstance(found, Node)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    narrow = wanted.dtype == np.float32
    np.testing.assert_allclose(found.value, wanted, rtol=1e-6 if narrow else 2e-14)
    np.testing.assert_array_equal(cg.typecheck(cg.trace(call, A))(A), found.value)

    x_dot, y_bar = np.cos(A), np.sin(np.arange(wanted.size) + 1.0).reshape(wanted.shape).astype(wanted.dtype)
    _, y_dot = cg.jvp(call, (A,), (x_dot,))
    (x_bar,) = cg.vjp(call, A)[1](y_bar[()])
    assert float(np.sum(y_bar * y_dot)) == pytest.approx(float(np.sum(x_bar * x_dot)), rel=1e-5 if narrow else 1e-12, abs=1e-14)
    if not narrow:
        np.testing.assert_allclose(y_dot, differences(call, A, x_dot), rtol=1e-7, atol=1e-7)
        forward, backward = (cg.jacobian(call, mode=mode)(A) for mode in ("forward", "reverse"))
        np.testing.assert_allclose(forward, backward, rtol=1e-12, atol=1e-15)

    def slope(x: Any) -> Any:
        return cg.grad(lambda x: np.sum(call(x) * y_bar * call(x)))(x)

    hessian = cg.jvp(slope, (A,), (x_dot,))[1]
    other = cg.grad(lambda x: np.sum(slope(x) * x_dot))(A)
    np.testing.assert_allclose(hessian, other, rtol=1e-4 if narrow else 1e-10, atol=1e-12)
    if not narrow:
        np.testing.assert_allclose(hessian, differences(slope, A, x_dot), rtol=1e-5, atol=1e-5)


WIDENED = {name for name in CALLS if name in ("float_power", "dtype", "ldexp beyond 2**1024") or "outer" in name}


@pytest.mark.parametrize("name", sorted(CALLS.keys() - WIDENED))
def test_float32_is_kept(name: str) -> None:
    narrow = A.astype(np.float32)
    found = CALLS[name](cg.variable(narrow))
    assert found.dtype == CALLS[name](narrow).dtype
    if not name.startswith(("polyval", "clip by an array")):  # whose other argument is an array of float64
        assert found.dtype == np.float32
    assert cg.vjp(CALLS[name], narrow)[1](np.ones(found.shape, found.dtype))[0].dtype == np.float32


FLAT: dict[str, Callable[..., Any]] = {
    "round": lambda x: np.round(x, 1),
    "round to tens": lambda x: np.round(x * 100, -1),
    "around": lambda x: np.around(x),
    "fix": lambda x: np.fix(x),
    "modf's whole part": lambda x: np.modf(x)[1],
    "frexp's exponent": lambda x: np.frexp(x)[1],
    "divmod's quotient": lambda x: np.divmod(x, 0.7)[0],
    "//": lambda x: x // 0.7,
    "isclose": lambda x: np.isclose(x, 0.3),
    "isclose, NaN": lambda x: np.isclose(x / x * np.nan, np.nan, equal_nan=True),
    "isposinf": lambda x: np.isposinf(x * np.inf),
    "isneginf": lambda x: np.isneginf(x * np.inf),
    "bitwise": lambda x: np.bitwise_xor(np.bitwise_and(x > 0, x < 1), np.bitwise_or(x > 1, np.invert(x > 2))),
    "heaviside": lambda x: np.heaviside(x, 0.5),
    "signbit": lambda x: np.signbit(x),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAT)
def test_a_step_function_has_no_derivative(name: str) -> None:
    call = FLAT[name]
    found = call(cg.variable(A))
    np.testing.assert_array_equal(found.value, call(A))
    assert found.dtype == call(A).dtype
    np.testing.assert_array_equal(cg.trace(call, A)(A), call(A))
    with pytest.warns(cg.ZeroGradientWarning):
        assert not np.any(cg.grad(lambda x: np.sum(np.where(call(x), 1.0, 2.0)))(A))


def test_rounding_is_numpys_at_ties() -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.25, 0.35])
    for decimals in (0, 1, -1):
        np.testing.assert_array_equal(np.round(cg.variable(x), decimals).value, np.round(x, decimals))


def both(function: Callable[..., Any], *xs: float) -> list[float]:
    numbers = tuple(range(len(xs)))
    values = tuple(map(np.float64, xs))
    backward = cg.grad(function, numbers)(*values)
    forward = [cg.jvp(function, values, tuple(np.float64(place == one) for place in numbers))[1] for one in numbers]
    np.testing.assert_array_equal(forward, backward)
    return [float(one) for one in backward]


KINKS: list[tuple[str, Callable[..., Any], tuple[float, ...], list[float]]] = [
    ("hypot at the origin", np.hypot, (0.0, 0.0), [0.0, 0.0]),
    ("hypot of huge numbers", np.hypot, (3e200, 4e200), [0.6, 0.8]),
    ("hypot of tiny numbers", np.hypot, (3e-200, 4e-200), [0.6, 0.8]),
    ("arctan2 of huge numbers", lambda a, b: 1e200 * np.arctan2(a, b), (0.0, 1e200), [1.0, 0.0]),
    ("arctan2 across the cut", np.arctan2, (0.0, -2.0), [-0.5, 0.0]),
    ("logaddexp far apart", np.logaddexp, (-1000.0, 1000.0), [0.0, 1.0]),
    ("logaddexp of -inf", np.logaddexp, (-np.inf, 1.0), [0.0, 1.0]),
    ("logaddexp of two -inf", np.logaddexp, (-np.inf, -np.inf), [0.5, 0.5]),
    ("logaddexp of inf", np.logaddexp, (np.inf, np.inf), [0.5, 0.5]),
    ("logaddexp2 of equals", np.logaddexp2, (3.0, 3.0), [0.5, 0.5]),
    ("fmax of equals", np.fmax, (2.0, 2.0), [0.5, 0.5]),
    ("fmax beside NaN", np.fmax, (np.nan, 2.0), [0.0, 1.0]),
    ("fmin beside NaN", np.fmin, (2.0, np.nan), [1.0, 0.0]),
    ("copysign at 0", np.copysign, (0.0, -1.0), [0.0, 0.0]),
    ("copysign", np.copysign, (-2.0, -1.0), [1.0, 0.0]),
    ("clip at a bound", lambda x: np.clip(x, 0, 1), (1.0,), [0.5]),
    ("sinc at 0", np.sinc, (0.0,), [0.0]),
    ("remainder", np.remainder, (7.5, 2.0), [1.0, -3.0]),
    ("fmod of a negative number", np.fmod, (-7.5, 2.0), [1.0, 3.0]),
    ("remainder of tenths", np.remainder, (1.0, 0.1), [1.0, -9.0]),
    ("frexp at 0", lambda x: np.frexp(x)[0], (0.0,), [1.0]),
    ("nan_to_num of NaN", np.nan_to_num, (np.nan,), [0.0]),
    ("nan_to_num of inf", np.nan_to_num, (np.inf,), [0.0]),
    ("arcsinh far out", np.arcsinh, (1e100,), [1e-100]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "xs", "wanted"), [row[1:] for row in KINKS], ids=[row[0] for row in KINKS])
def test_convention(function: Callable[..., Any], xs: tuple[float, ...], wanted: list[float]) -> None:
    assert both(function, *xs) == pytest.approx(wanted, rel=1e-15)


def test_singular_points_are_not_silently_zero() -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        assert both(np.cbrt, 0.0) == [np.inf]
        assert both(np.log2, 0.0) == [np.inf]
        assert not np.isfinite(both(lambda x: x**x, 0.0))
        assert np.isnan(both(np.arctan2, 0.0, 0.0)).all()


def test_logaddexp_has_its_second_derivative_at_a_tie_and_in_the_tails() -> None:
    second = cg.grad(cg.grad(lambda x: np.logaddexp(x, 0.0)))
    assert [float(second(x)) for x in (0.0, 800.0, -800.0)] == [0.25, 0.0, 0.0]
    assert float(second(-40.0)) == pytest.approx(math.exp(-40.0), rel=1e-14)


def test_sinc_has_every_derivative_at_zero() -> None:
    f: Callable[..., Any] = np.sinc
    wanted = [1.0, 0.0, -(math.pi**2) / 3, 0.0, math.pi**4 / 5, 0.0, -(math.pi**6) / 7]
    for order, value in enumerate(wanted):
        for x, tolerance in ((0.0, 1e-14), (1e-9, 1e-5)):
            assert float(f(np.float64(x))) == pytest.approx(value, rel=1e-14, abs=tolerance), (order, x)
        f = cg.grad(f)


@pytest.mark.parametrize("ufunc", [np.hypot, np.logaddexp2, np.fmax, np.maximum], ids=lambda ufunc: ufunc.__name__)
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8])
def test_trees_are_the_sequential_ones(ufunc: Any, length: int) -> None:
    x = np.abs(np.sin(np.arange(length) + 1.0)) + 0.1
    np.testing.assert_allclose(ufunc.reduce(cg.variable(x)).value, ufunc.reduce(x), rtol=1e-14)
    np.testing.assert_allclose(ufunc.accumulate(cg.variable(x)).value, ufunc.accumulate(x), rtol=1e-14)


def test_reductions_of_nothing() -> None:
    none = cg.variable(np.zeros((2, 0)))
    np.testing.assert_array_equal(np.hypot.reduce(none, axis=1), np.zeros(2))
    np.testing.assert_array_equal(np.logaddexp.reduce(none, axis=1), np.full(2, -np.inf))
    assert np.maximum.accumulate(none, axis=1).shape == (2, 0)
    with pytest.raises(ShapeError, match=r"fmax.reduce of no numbers: shape \(2, 0\), axis 1"):
        np.fmax.reduce(none, axis=1)


REFUSED: dict[str, tuple[Callable[..., Any], type[Exception], str]] = {
    "where=": (lambda x: np.exp(x, where=A > 0), MissingRuleError, r"Write np.where\(condition, np.exp\(a\), other\)"),
    "out=": (lambda x: np.exp(x, out=np.zeros((2, 3))), ImmutableNodeError, "out="),
    "at": (lambda x: np.add.at(x, [0], 1.0), MissingRuleError, "np.add.at has no derivative rule"),
    "reduceat": (lambda x: np.add.reduceat(x, [0, 1]), MissingRuleError, "np.add.reduceat has no"),
    "subtract.reduce": (lambda x: np.subtract.reduce(x), MissingRuleError, "np.subtract.reduce has no"),
    "a ufunc of integers": (lambda x: np.gcd(x, 2), MissingRuleError, "np.gcd has no derivative rule"),
    "bits of floats": (lambda x: np.bitwise_and(x, 1), MissingRuleError, "takes truth values"),
    "ldexp by a float": (lambda x: np.ldexp(x, 0.5), MissingRuleError, r"whole exponents, not float64: write x \* np.exp2\(n\)"),
    "clip twice": (lambda x: np.clip(x, 0, min=1), MissingRuleError, "a bound is given twice"),
    "a stranger's ufunc": (lambda x: np.frompyfunc(abs, 1, 1)(x), MissingRuleError, "has no derivative rule"),
    "an axis outside": (lambda x: np.fmax.accumulate(x, axis=2), ValueError, "axis 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_with_the_line(name: str) -> None:
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call(cg.variable(A))

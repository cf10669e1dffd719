"""NumPy's functions on nodes: each is NumPy's function, with NumPy's arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.graph import PRIMITIVES, Node
from compgraph.numpy_protocol import FUNCTIONS

A = np.arange(6.0).reshape(2, 3) / 3 + 0.1
V = np.array([0.5, 0.25, 0.75])

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda a, v: np.sum(a, axis=1),
    "sum, keepdims": lambda a, v: np.sum(a, 0, keepdims=True),
    "sum, NumPy integer": lambda a, v: np.sum(a, axis=np.int64(1)),
    "sum over a tuple": lambda a, v: np.sum(a, axis=(1, 0)),
    "sum, dtype": lambda a, v: np.sum(a, dtype=np.float32),
    "mean": lambda a, v: np.mean(a, axis=-1),
    "max": lambda a, v: np.max(a, axis=0),
    "amin": lambda a, v: np.amin(a),
    "add.reduce": lambda a, v: np.add.reduce(a),
    "maximum.reduce": lambda a, v: np.maximum.reduce(a, axis=1),
    "dot": lambda a, v: np.dot(a, v),
    "dot of numbers": lambda a, v: np.dot(2.0, a),
    "dot of vectors": lambda a, v: np.dot(v, v),
    "dot of many axes": lambda a, v: np.dot(a, np.ones((4, 3, 2)) * v[0]),
    "matmul": lambda a, v: np.matmul(a, v),
    "reshape": lambda a, v: np.reshape(a, (3, -1)),
    "ravel": lambda a, v: np.ravel(a),
    "transpose": lambda a, v: np.transpose(a),
    "transpose, axes": lambda a, v: np.transpose(a, axes=(1, 0)),
    "squeeze": lambda a, v: np.squeeze(a[None]),
    "squeeze, axis": lambda a, v: np.squeeze(a[None, :, None], axis=(0, 2)),
    "expand_dims": lambda a, v: np.expand_dims(v, 0),
    "expand_dims, axes": lambda a, v: np.expand_dims(v, (0, -1)),
    "broadcast_to": lambda a, v: np.broadcast_to(v, (2, 3)),
    "concatenate": lambda a, v: np.concatenate([a, a], axis=1),
    "concatenate, flat": lambda a, v: np.concatenate([a, v], axis=None),
    "concatenate with an array": lambda a, v: np.concatenate((A, a)),
    "stack": lambda a, v: np.stack([v, 2 * v], axis=-1),
    "where": lambda a, v: np.where(a > 0.5, a, v),
    "where, numbers": lambda a, v: np.where(a > 0.5, 1.0, a),
    "power": lambda a, v: np.power(a, 2),
    "absolute": lambda a, v: np.absolute(-a),
    "fabs": lambda a, v: np.fabs(-a),
    "positive": lambda a, v: np.positive(a),
    "logical": lambda a, v: np.where(np.logical_and(a > 0.2, ~(a > 1)) | (a > 1.5), a, 0.0),
    "array on the left": lambda a, v: A - a,
    "NumPy number on the left": lambda a, v: np.float64(2.0) * a,
    "list on the left": lambda a, v: [1.0, 2.0, 3.0] + v,
    "array @ node": lambda a, v: A @ v,
    "full_like": lambda a, v: np.full_like(a, 2.0) * a,
    "zeros_like": lambda a, v: np.zeros_like(a) + a,
    "ones_like": lambda a, v: np.ones_like(v) * v,
    "index by a comparison": lambda a, v: v[np.array([True, False, True])],
    "shape functions": lambda a, v: a * np.ndim(a) * np.size(v) * np.shape(a)[1],
}


@pytest.mark.parametrize("name", CALLS)
def test_values_shapes_dtypes_and_derivatives_are_numpys(name: str) -> None:
    call = CALLS[name]
    wanted = call(A, V)
    found = call(cg.variable(A), cg.variable(V))
    assert isinstance(found, Node)
    np.testing.assert_allclose(found.value, wanted, rtol=1e-15)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    graph = cg.typecheck(cg.trace(call, A, V))
    np.testing.assert_array_equal(graph(A, V), found.value)
    y_bar = np.ones_like(wanted)
    directions = (np.sin(A), np.cos(V))
    step = 1e-6
    ahead, behind = (call(A + sign * step * directions[0], V + sign * step * directions[1]) for sign in (1, -1))
    numerical = (ahead - behind) / (2 * step)
    bars = cg.vjp(call, A, V)[1](y_bar)
    assert sum(float(np.sum(bar * way)) for bar, way in zip(bars, directions, strict=True)) == pytest.approx(
        float(np.sum(numerical)), rel=1e-7 if wanted.dtype == np.float64 else 1e-1
    )


@pytest.mark.parametrize("function", [function for function in FUNCTIONS if function not in (np.array_repr, np.array_str)])
def test_every_function_of_the_table_is_reached_through_numpy(function: Any) -> None:
    x = cg.variable([[2.0]])
    arguments: dict[Any, tuple[Any, ...]] = {
        np.dot: (x, x), np.reshape: (x, (1,)), np.expand_dims: (x, 0), np.broadcast_to: (x, (2, 1)), np.concatenate: ([x, x],),
        np.stack: ([x, x],), np.where: (x > 0, x, x), np.full_like: (x, 3.0), np.array_equal: (x, x), np.allclose: (x, x),
        np.isclose: (x, x), np.polyval: ([1.0, 2.0], x),
        np.fft.irfft: (x, 2), np.fft.hfft: (x, 2), np.fft.irfft2: (x, (1, 2)), np.fft.irfftn: (x, (1, 2), (0, 1)),
    }  # fmt: skip
    plain = {np.where: (x.value > 0, x.value, x.value), np.concatenate: ([x.value] * 2,), np.stack: ([x.value] * 2,)}
    args = arguments.get(function, (x,))
    found = function(*args)
    wanted = function(*plain.get(function, tuple(arg.value if isinstance(arg, Node) else arg for arg in args)))
    np.testing.assert_array_equal(found.value if isinstance(found, Node) else found, wanted)


def test_printing_is_numpys_text_of_a_node() -> None:
    x = cg.variable([1.0, 2.0], name="x")
    assert np.array_repr(x) == repr(x)
    assert np.array_str(x) == str(x)


UFUNCS = [name for name in PRIMITIVES if isinstance(getattr(np, name, None), np.ufunc)]


@pytest.mark.parametrize("name", UFUNCS)
def test_every_ufunc_of_the_table_makes_its_primitive(name: str) -> None:
    ufunc = getattr(np, name)
    truth = name.startswith("logical")
    x = cg.variable([0.5])
    with np.errstate(invalid="ignore"):  # arccosh is of numbers from 1 on
        node = ufunc(*[x > 0 if truth else x] * ufunc.nin)
    assert node.primitive is PRIMITIVES[name]
    assert len(UFUNCS) >= 30


def test_operators_make_the_primitives_that_functions_make() -> None:
    x, y = cg.variable(2.0), cg.variable(3.0)
    pairs = [
        (x + y, np.add), (x - y, np.subtract), (x * y, np.multiply), (x / y, np.divide), (x**y, np.power), (x == y, np.equal),
        (x < y, np.less), (x <= y, np.less_equal), (x > y, np.greater), (x >= y, np.greater_equal), (x != y, np.not_equal),
    ]  # fmt: skip
    for node, function in pairs:
        assert node.primitive is function(x, y).primitive
        assert node.value == function(2.0, 3.0)
    assert [(5 - x).value, (5 / x).value, (5**x).value, (-x).value, abs(-x).value] == [3.0, 2.5, 25.0, -2.0, 2.0]


def test_arguments_of_numpys_that_change_nothing_are_taken() -> None:
    x = cg.variable(A)
    assert np.sum(x, axis=None, dtype=None, out=None).value == np.sum(A)
    np.testing.assert_array_equal(np.transpose(x, None).value, A.T)
    np.testing.assert_array_equal(np.exp(x, where=True, casting="same_kind", order="K", subok=True).value, np.exp(A))

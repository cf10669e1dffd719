"""NumPy's functions that join and split arrays, in value and in both modes, to second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from composites import verify

import compgraph as cg

V = np.array([0.4, 1.3, -0.7, 2.2, 0.9])
A = np.array([[0.3, -1.2, 2.1], [1.7, 0.4, -0.6]])
B = np.array([[1.1, 0.2, -0.3], [0.7, -0.9, 0.8]])
T = np.linspace(-1.0, 1.3, 24).reshape(2, 3, 4)
N = np.float64(0.7)

CALLS: dict[str, tuple[Any, ...]] = {
    "concatenate": (lambda x, y: np.concatenate([x, y], axis=1), A, B),
    "concatenate, flat": (lambda x, y: np.concatenate((x, y), axis=None), A, V),
    "concatenate, dtype": (lambda x, y: np.concatenate([x, y], dtype=np.float64), A, B),
    "concatenate with lists": (lambda x: np.concatenate([[1.0, 2.0], x, V.astype(x.dtype)], dtype=x.dtype), V),
    "concat": (lambda x, y: np.concat([x, y], axis=-1), A, B),
    "concatenate of empty": (lambda x: np.concatenate([x[:0], x]), V),
    "stack": (lambda x, y: np.stack([x, y], axis=-1), A, B),
    "stack, dtype": (lambda x, y: np.stack([x, y], axis=1, dtype=np.float64), A, B),
    "vstack": (lambda x, y: np.vstack([x, y]), A, V[:3]),
    "hstack": (lambda x, y: np.hstack([x, y]), A, B),
    "hstack of numbers": (lambda x, y: np.hstack([x, y]), N, V),
    "dstack": (lambda x, y: np.dstack([x, y]), A, B),
    "dstack of vectors": (lambda x, y: np.dstack([x, y]), V, V[::-1]),
    "column_stack": (lambda x, y: np.column_stack([x, y]), A.T, V[:3]),
    "block": (lambda x, y: np.block([[x, y[:, None]], [np.zeros((1, 3), x.dtype), y[:1]]]), A, V[:2]),
    "block, one level": (lambda x, y: np.block([x, y]), A, B),
    "block of three axes": (lambda x, y: np.block([[[x], [y]]]), T, T[::-1]),
    "append": (lambda x, y: np.append(x, y), A, V),
    "append, axis": (lambda x, y: np.append(x, y, axis=0), A, B),
    "insert": (lambda x, y: np.insert(x, 2, y), V, N),
    "insert, several": (lambda x, y: np.insert(x, [0, 3, 3], y), V, V[:3]),
    "insert many at one place": (lambda x, y: np.insert(x, 1, y), V, A[0]),
    "insert, axis": (lambda x, y: np.insert(x, 1, y, axis=1), A, V[:2]),
    "insert, one in a list": (lambda x, y: np.insert(x, [1], y, axis=1), A, B),
    "insert, negative": (lambda x, y: np.insert(x, -1, y, axis=0), A, N),
    "insert, slice": (lambda x, y: np.insert(x, slice(0, 4, 2), y), V, V[:2]),
    "insert a constant": (lambda x: np.insert(x, 0, 1.5, axis=1), A),
    "insert into a constant": (lambda y: np.insert(V.astype(y.dtype), [1, 2], y), V[:2]),
    "delete": (lambda x: np.delete(x, 1), V),
    "delete, axis": (lambda x: np.delete(x, [0, -1], axis=1), A),
    "delete, slice": (lambda x: np.delete(x, slice(None, None, 2), axis=-1), T),
    "delete, mask": (lambda x: np.delete(x, np.array([True, False, True, False, False])), V),
    "delete, nothing": (lambda x: np.delete(x, [], axis=0), A),
    "split": (lambda x: tuple(np.split(x, 2, axis=1)), T[0]),
    "split at places": (lambda x: tuple(np.split(x, [1, 3])), V),
    "split at odd places": (lambda x: tuple(np.split(x, [3, 2, -1, 9])), V),
    "array_split": (lambda x: tuple(np.array_split(x, 3)), V),
    "array_split, many": (lambda x: tuple(np.array_split(x, 4, axis=-1)), A),
    "hsplit": (lambda x: tuple(np.hsplit(x, 3)), A),
    "hsplit of a vector": (lambda x: tuple(np.hsplit(x, [2])), V),
    "vsplit": (lambda x: tuple(np.vsplit(x, 2)), A),
    "dsplit": (lambda x: tuple(np.dsplit(x, [1, 2])), T),
    **({"unstack": (lambda x: tuple(np.unstack(x, axis=1)), A)} if hasattr(np, "unstack") else {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_joining(name: str) -> None:
    call, *xs = CALLS[name]
    verify(call, *xs, exact=True)


def test_trim_zeros_reads_the_values() -> None:
    x = np.array([0.0, 0.0, 1.5, 0.0, 2.5, 0.0])
    for trim in ("fb", "f", "b"):
        node = np.trim_zeros(cg.variable(x), trim)
        np.testing.assert_array_equal(node.value, np.trim_zeros(x, trim))
    np.testing.assert_array_equal(cg.grad(lambda x: np.sum(np.trim_zeros(x) ** 2))(x), 2 * x)
    assert np.trim_zeros(cg.variable(np.zeros(3))).shape == (0,)
    with pytest.raises(cg.AbstractValueError, match="trim_zeros"):
        cg.trace(np.trim_zeros, x)


def test_dtypes_of_joining() -> None:
    x = cg.variable(A)
    assert np.concatenate([x, x], dtype=np.float32).dtype == np.float32
    assert np.stack([x, x], dtype="float32", casting="same_kind").dtype == np.float32
    with pytest.raises(TypeError, match=r"casting 'safe'.*test_joining\.py"):
        np.concatenate([x, x], dtype=np.float32, casting="safe")


BAD: dict[str, tuple[Callable[[Any], Any], type[Exception]]] = {
    "concatenate": (lambda x: np.concatenate([x, np.ones((2, 2))]), ValueError),
    "concatenate, axis": (lambda x: np.concatenate([x, x], axis=2), np.exceptions.AxisError),
    "stack": (lambda x: np.stack([x, x[0]]), ValueError),
    "vstack": (lambda x: np.vstack([x, x.T]), ValueError),
    "block": (lambda x: np.block([[x], x]), ValueError),
    "split": (lambda x: np.split(x, 4, axis=1), ValueError),
    "array_split": (lambda x: np.array_split(x, 0), ValueError),
    "vsplit": (lambda x: np.vsplit(x[0], 1), ValueError),
    "insert": (lambda x: np.insert(x, 9, 1.0), IndexError),
    "delete": (lambda x: np.delete(x, 9), IndexError),
    "append": (lambda x: np.append(x, 1.0, axis=0), ValueError),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_what_numpy_raises_with_the_line(name: str) -> None:
    call, error = BAD[name]
    with pytest.raises(error):
        call(A)
    with pytest.raises(error, match=r"test_joining\.py:\d+"):
        call(cg.variable(A))

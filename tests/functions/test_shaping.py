"""NumPy's functions that move entries: each is NumPy's, in value and in both modes, to second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from composites import verify

import compgraph as cg

V = np.array([0.4, 1.3, -0.7, 2.2, 0.9])
A = np.array([[0.3, -1.2, 2.1], [1.7, 0.4, -0.6]])
T = np.linspace(-1.0, 1.3, 24).reshape(2, 3, 4)
N = np.float64(0.7)

Case = tuple[Any, ...]

CALLS: dict[str, Case] = {
    "reshape, order F": (lambda x: np.reshape(x, (4, -1), order="F"), T),
    "reshape, order A, copy": (lambda x: np.reshape(x, 24, order="A", copy=True) if hasattr(x, "primitive") else x.reshape(24), T),
    "reshape, method": (lambda x: x.reshape(4, 6).reshape((2, -1), order="F"), T),
    "ravel": (np.ravel, T),
    "ravel, order F": (lambda x: x.ravel("F"), T),
    "flatten": (lambda x: x.flatten(), A),
    "flatten, order F": (lambda x: x.flatten(order="F"), A),
    "ravel of a number": (np.ravel, N),
    "transpose": (lambda x: np.transpose(x, (1, 2, 0)), T),
    "T": (lambda x: x.T, T),
    "permute_dims": (lambda x: np.permute_dims(x, (2, 0, 1)), T),
    "matrix_transpose": (np.matrix_transpose, T),
    "mT": (lambda x: x.mT, T),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), T),
    "swapaxes, method": (lambda x: x.swapaxes(1, 2), T),
    "moveaxis": (lambda x: np.moveaxis(x, 0, -1), T),
    "moveaxis, several": (lambda x: np.moveaxis(x, (0, -1), (-1, 0)), T),
    "rollaxis": (lambda x: np.rollaxis(x, 2), T),
    "rollaxis, start": (lambda x: np.rollaxis(x, 0, 3), T),
    "rollaxis, negative": (lambda x: np.rollaxis(x, -1, -2), T),
    "expand_dims": (lambda x: np.expand_dims(x, -1), A),
    "expand_dims, several": (lambda x: np.expand_dims(x, (0, 2)), A),
    "squeeze": (lambda x: np.squeeze(x[None, :, None]), V),
    "squeeze, axis": (lambda x: x[None, :, None].squeeze(axis=-1), V),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 5)), V),
    "broadcast_arrays": (lambda x, y: tuple(np.broadcast_arrays(x, y)), V[:3], A),
    "broadcast_arrays, with an array": (lambda x: tuple(np.broadcast_arrays(x, A)), N),
    "atleast_1d": (np.atleast_1d, N),
    "atleast_2d": (np.atleast_2d, V),
    "atleast_3d": (lambda x, y, z: tuple(np.atleast_3d(x, y, z)), N, V, A),
    "copy": (np.copy, A),
    "copy, method": (lambda x: x.copy(), A),
    "tile": (lambda x: np.tile(x, 3), A),
    "tile, axes": (lambda x: np.tile(x, (2, 1, 3)), A),
    "tile, few": (lambda x: np.tile(x, (2,)), T),
    "tile, none": (lambda x: np.tile(x, (0, 2)), A),
    "repeat": (lambda x: np.repeat(x, 3), A),
    "repeat, axis": (lambda x: np.repeat(x, 2, axis=-1), A),
    "repeat, counts": (lambda x: np.repeat(x, [2, 0, 3], axis=1), A),
    "repeat, one count": (lambda x: x.repeat([2], axis=0), A),
    "repeat of a number": (lambda x: np.repeat(x, 4), N),
    "resize, larger": (lambda x: np.resize(x, (3, 4)), V),
    "resize, smaller": (lambda x: np.resize(x, 2), A),
    "roll": (lambda x: np.roll(x, 2), A),
    "roll, axis": (lambda x: np.roll(x, -4, axis=1), A),
    "roll, axes": (lambda x: np.roll(x, (1, 2), axis=(0, -1)), T),
    "roll, an axis twice": (lambda x: np.roll(x, (1, 1), axis=(0, 0)), V),
    "roll, one shift": (lambda x: np.roll(x, 1, axis=(0, 1)), A),
    "flip": (np.flip, T),
    "flip, axis": (lambda x: np.flip(x, -1), A),
    "flip, axes": (lambda x: np.flip(x, (0, 2)), T),
    "fliplr": (np.fliplr, A),
    "flipud": (np.flipud, V),
    **{f"rot90, {k}": (lambda x, k=k: np.rot90(x, k), A) for k in range(-1, 4)},
    "rot90, axes": (lambda x: np.rot90(x, axes=(2, 1)), T),
    **{f"diagonal, {k}": (lambda x, k=k: np.diagonal(x, k), A) for k in (-2, -1, 0, 1, 2, 5)},
    "diagonal, axes": (lambda x: np.diagonal(x, 1, 2, 0), T),
    "diagonal, method": (lambda x: x.diagonal(offset=-1, axis1=-2, axis2=-1), T),
    **{f"diag of a matrix, {k}": (lambda x, k=k: np.diag(x, k), A.T) for k in (-2, 0, 1)},
    **{f"diag of a vector, {k}": (lambda x, k=k: np.diag(x, k), V[:3]) for k in (-2, 0, 1)},
    "diagflat": (lambda x: np.diagflat(x, 1), A),
    **{f"tril, {k}": (lambda x, k=k: np.tril(x, k), A) for k in (-1, 0, 1)},
    **{f"triu, {k}": (lambda x, k=k: np.triu(x, k), T) for k in (-1, 0, 1)},
    "triu of a vector": (np.triu, V),
    "kron": (np.kron, A, T[0]),
    "kron of different axes": (np.kron, V, A),
    "kron of numbers": (lambda x, y: np.kron(x, y), N, A),
    "kron with an array": (lambda x: np.kron(np.eye(2), x), A),
    "meshgrid": (lambda x, y: tuple(np.meshgrid(x, y)), V, V[:2]),
    "meshgrid, three": (lambda x, y, z: tuple(np.meshgrid(x, y, z)), V[:2], V[2:], V[:1]),
    "meshgrid, ij": (lambda x, y: tuple(np.meshgrid(x, y, indexing="ij")), V, V[:2]),
    "meshgrid, sparse": (lambda x, y: tuple(np.meshgrid(x, y, sparse=True)), V, V[:2]),
    "meshgrid, one": (lambda x: tuple(np.meshgrid(x)), V),
    "full_like of a node": (lambda x, y: np.full_like(x, y) + x, A, N),
    "zeros_like, shape": (lambda x: np.zeros_like(x, shape=(2, 5)) + x, V),
    "ones_like, dtype": (lambda x: x * np.ones_like(x, dtype=np.int64), V),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_shaping(name: str) -> None:
    call, *xs = CALLS[name]
    verify(call, *xs, exact=True)


EMPTY: dict[str, Callable[[Any], Any]] = {
    "tile": lambda x: np.tile(x, 2), "repeat": lambda x: np.repeat(x, 2, axis=0), "roll": lambda x: np.roll(x, 1, axis=0),
    "flip": np.flip, "diagonal": np.diagonal, "tril": np.tril, "kron": lambda x: np.kron(x, np.ones((2, 2))), "rot90": np.rot90,
    "ravel": lambda x: np.ravel(x, order="F"), "swapaxes": lambda x: np.swapaxes(x, 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (1, 1)])
@pytest.mark.parametrize("name", EMPTY)
def test_empty_and_single_entries(name: str, shape: tuple[int, ...]) -> None:
    verify(EMPTY[name], np.full(shape, 1.5), exact=True)


BAD: dict[str, tuple[Callable[[Any], Any], type[Exception]]] = {
    "swapaxes": (lambda x: np.swapaxes(x, 0, 2), np.exceptions.AxisError),
    "moveaxis": (lambda x: np.moveaxis(x, 0, 5), np.exceptions.AxisError),
    "moveaxis, numbers": (lambda x: np.moveaxis(x, (0, 1), 0), ValueError),
    "squeeze": (lambda x: np.squeeze(x, 0), ValueError),
    "roll": (lambda x: np.roll(x, 1, axis=2), np.exceptions.AxisError),
    "roll, shifts": (lambda x: np.roll(x, (1, 2, 3), axis=(0, 1)), ValueError),
    "flip": (lambda x: np.flip(x, 2), np.exceptions.AxisError),
    "diag": (lambda x: np.diag(x[None]), ValueError),
    "diagonal": (lambda x: np.diagonal(x[0]), ValueError),
    "fliplr": (lambda x: np.fliplr(x[0]), ValueError),
    "broadcast_arrays": (lambda x: np.broadcast_arrays(x, np.ones(2)), ValueError),
    "repeat": (lambda x: np.repeat(x, [1, 2], axis=1), ValueError),
    "repeat, negative": (lambda x: np.repeat(x, -1), ValueError),
    "reshape, order": (lambda x: np.reshape(x, 6, order="X"), ValueError),
    "reshape": (lambda x: np.reshape(x, (4, 2)), ValueError),
    "meshgrid": (lambda x: np.meshgrid(x[0], indexing="no"), ValueError),
    "rot90": (lambda x: np.rot90(x, axes=(0, 1, 2)), ValueError),
    "matrix_transpose": (lambda x: np.matrix_transpose(x[0]), ValueError),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_what_numpy_raises_with_the_line(name: str) -> None:
    call, error = BAD[name]
    with pytest.raises(error):
        call(A)
    with pytest.raises(error, match=r"test_shaping\.py:\d+"):
        call(cg.variable(A))


def test_node_methods() -> None:
    x = cg.variable(A)
    assert x.item(1, 2) == A[1, 2] and cg.variable(2.5).item() == 2.5
    with pytest.raises(cg.AbstractValueError):
        cg.trace(lambda x: x * x.item(0), A)

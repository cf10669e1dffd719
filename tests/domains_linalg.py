"""Sample domains of products of arrays and of the decompositions of `np.linalg`; see `domains.py`.

The matrices are well conditioned and their eigenvalues and singular values far apart; what holds at the borders is
tested in `functions/test_linear_algebra.py`. Signs of eigenvectors and factors are LAPACK's choice, so the references
take them from there and rebuild the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from domains import Domain, spread

Pair = tuple[tuple[Any, ...], dict[str, Any]]


def matrices(*shape: int) -> Any:
    """Matrices near a diagonal one with entries 1.5, 3, 4.5, ..."""
    x = spread(shape, -0.7, 0.7)
    for place in range(min(shape[-2:])):
        x[..., place, place] += 1.5 * (place + 1)
    return x


STACKS = ((1, 1), (2, 2), (3, 3), (2, 1, 2, 2), (0, 2, 2), (0, 0))
TALL = ((3, 2), (2, 2), (2, 3, 1), (1, 1), (0, 3, 2))


def samples(shapes: Any, *params: dict[str, Any]) -> tuple[Pair, ...]:
    return tuple(((matrices(*shape),), each) for each in params or ({},) for shape in shapes)


def _t(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


# ------------------------------------------------------------------------------------------- references


def _einsum(*xs: Any, subscripts: str) -> Any:
    """The sum of products written out over every index."""
    operands, output = subscripts.split("->")
    terms = operands.split(",")
    lengths: dict[str, int] = {}
    for term, x in zip(terms, xs, strict=True):
        for letter, length in zip(term, x.shape, strict=True):
            lengths[letter] = length if lengths.get(letter, 1) == 1 else lengths[letter]
    y = np.zeros([lengths[letter] for letter in output], np.result_type(*xs))
    for places in np.ndindex(*lengths.values()):
        at = dict(zip(lengths, places, strict=True))
        factors = [
            x[tuple(at[letter] if length > 1 else 0 for letter, length in zip(term, x.shape, strict=True))]
            for term, x in zip(terms, xs, strict=True)
        ]
        y[tuple(at[letter] for letter in output)] += np.prod(np.array(factors))
    return y[()]


def _minor(a: Any, row: int, column: int) -> Any:
    return np.delete(np.delete(a, row, -2), column, -1)


def _det(a: Any) -> Any:
    """Laplace's expansion along the first row."""
    n = a.shape[-1]
    if n == 0:
        return np.ones(a.shape[:-2], a.dtype)[()]
    return sum((-1) ** column * a[..., 0, column] * _det(_minor(a, 0, column)) for column in range(n))


def _cofactors(a: Any) -> Any:
    y = np.zeros_like(a)
    for row, column in np.ndindex(*a.shape[-2:]):
        y[..., row, column] = (-1) ** (row + column) * _det(_minor(a, row, column))
    return y


def _inverse(a: Any) -> Any:
    return _t(_cofactors(a)) / np.asarray(_det(a))[..., None, None]


def _pinv(a: Any, rtol: float) -> Any:
    rows, columns = a.shape[-2:]
    return np.linalg.inv(_t(a) @ a) @ _t(a) if rows >= columns else _t(a) @ np.linalg.inv(a @ _t(a))


def _cholesky(a: Any, upper: bool) -> Any:
    a = _t(a) if upper else a
    y = np.zeros_like(a)
    for row in range(a.shape[-1]):
        for column in range(row + 1):
            rest = a[..., row, column] - np.sum(y[..., row, :column] * y[..., column, :column], -1)
            y[..., row, column] = np.sqrt(rest) if row == column else rest / y[..., column, column]
    return _t(y) if upper else y


def _qr(a: Any) -> Any:
    q, r = np.linalg.qr(a)
    return np.concatenate([q, _t(q) @ a * np.tri(a.shape[-1]).T.astype(a.dtype) if r.size else r], axis=-2)


def _eigh(a: Any, UPLO: Any) -> Any:
    below = np.tril(a) if UPLO == "L" else _t(np.triu(a))
    vectors = np.linalg.eigh(below + _t(np.tril(below, -1)), UPLO)[1]
    return np.concatenate([np.linalg.eigvalsh(a, UPLO)[..., None, :], vectors], axis=-2)


def _eig(a: Any, to_complex: bool) -> Any:
    parts = np.concatenate([np.linalg.eigvals(a)[..., None, :], np.linalg.eig(a)[1]], axis=-2)
    return parts.astype(np.result_type(parts, np.complex64)) if to_complex else parts


def _svd(a: Any) -> Any:
    u, _, vh = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([u, np.linalg.svdvals(a)[..., None, :], _t(vh)], axis=-2)


def _norm(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sum(x * x, axis, keepdims=keepdims) ** x.dtype.type(0.5)


# ------------------------------------------------------------------------------------------------ table

_EINSUMS: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
    ("ij->ji", ((2, 3),)), ("ij->i", ((2, 3),)), ("ij->", ((2, 3),)), ("ii->", ((3, 3),)), ("ii->i", ((3, 3),)), ("iij->j", ((2, 2, 3),)),
    ("iji->j", ((2, 3, 2),)), ("iii->i", ((2, 2, 2),)), ("->", ((),)), ("ij->ij", ((0, 2),)),
    ("ij,jk->ik", ((2, 3), (3, 4))), ("bij,bjk->bik", ((2, 2, 3), (2, 3, 2))), ("i,j->ij", ((2,), (3,))), ("i,i->", ((3,), (3,))),
    ("i,i->i", ((3,), (3,))), ("ij,kl->", ((2, 2), (3, 2))), ("ii,ij->j", ((2, 2), (2, 3))), (",i->i", ((), (3,))),
    ("ij,ij->ij", ((1, 3), (2, 3))), ("i,i->", ((3,), (1,))), ("ij,jk->ik", ((2, 0), (0, 3))), ("ijj,jk->ki", ((2, 3, 3), (3, 2))),
)  # fmt: skip
_SIDES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((2, 2), (2, 3)), ((3, 3), (3, 1)), ((1, 1), (1, 1)), ((2, 2, 2), (2, 3)), ((2, 2), (3, 2, 1)), ((2, 1, 2, 2), (1, 2, 2, 1)),
    ((0, 2, 2), (2, 2)), ((2, 2), (2, 0)),
)  # fmt: skip
_NORMS: tuple[tuple[tuple[int, ...], tuple[int, ...], bool], ...] = (
    ((), (), False), ((3,), (0,), False), ((2, 3), (1,), True), ((2, 3), (0, 1), False), ((2, 1, 3), (0, 2), False), ((1,), (0,), False),
    ((2, 0), (0,), False),
)  # fmt: skip

DOMAINS: dict[str, Domain] = {
    "einsum": Domain(_einsum, tuple(
        (tuple(spread(shape, -2, 2, 0.5 - 0.23 * place) for place, shape in enumerate(shapes)), {"subscripts": subscripts})
        for subscripts, shapes in _EINSUMS
    )),
    "tril": Domain(
        lambda x, k: x * (np.arange(x.shape[-1]) <= np.arange(x.shape[-2])[:, None] + k).astype(x.real.dtype),
        samples(((2, 3), (3, 2), (2, 2, 2), (0, 2)), {"k": 0}, {"k": -1}, {"k": 1}),
    ),
    "triu": Domain(
        lambda x, k: x * (np.arange(x.shape[-1]) >= np.arange(x.shape[-2])[:, None] + k).astype(x.real.dtype),
        samples(((2, 3), (3, 2), (2, 2, 2), (0, 2)), {"k": 0}, {"k": -1}, {"k": 1}),
    ),
    "inv": Domain(_inverse, samples(STACKS)),
    "solve": Domain(
        lambda a, b: np.linalg.inv(a) @ b, tuple(((matrices(*one), spread(two, -2, 2, 0.27)), {}) for one, two in _SIDES)
    ),
    "det": Domain(_det, samples(STACKS)),
    "cofactors": Domain(_cofactors, samples([shape for shape in STACKS if shape[-1] > 1])),
    "slogdet": Domain(lambda a: np.stack([np.sign(_det(a)), np.log(abs(_det(a)))], axis=-1), samples(STACKS)),
    "pinv": Domain(_pinv, samples((*TALL, (2, 3), (2, 1, 2)), {"rtol": 1e-6})),
    "cholesky": Domain(_cholesky, samples(STACKS, {"upper": False}, {"upper": True})),
    "qr": Domain(_qr, samples(TALL)),
    "eigh": Domain(_eigh, samples(STACKS, {"UPLO": "L"}, {"UPLO": "U"})),
    "eig": Domain(_eig, (
        *samples(STACKS, {"to_complex": False}, {"to_complex": True}),
        ((spread((2, 2, 2), -0.7, 0.7) + 1j * matrices(2, 2, 2),), {"to_complex": False}),
    )),
    "inverse_basis": Domain(_inverse, samples(STACKS)),
    "svd": Domain(_svd, samples((*TALL, (2, 3), (3, 3), (2, 1, 2)))),
    "norm": Domain(_norm, tuple(
        ((spread(shape, -2, 2.3),), {"axis": axis, "keepdims": keepdims}) for shape, axis, keepdims in _NORMS
    )),
    "matrix_rank": Domain(
        lambda a, rtol: np.asarray(np.sum(np.linalg.svdvals(a) > rtol, axis=-1))[()], samples(((2, 3), (3, 2), (2, 2, 2)), {"rtol": 1e-6})
    ),
}  # fmt: skip

"""Products of arrays: matrices by `matmul`, and any sum of products of entries by `einsum`."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from compgraph.backend import beside
from compgraph.errors import ShapeError
from compgraph.graph import Aval, bind
from compgraph.primitives import costs
from compgraph.primitives.kinds import all_aligned, linear, result_dtype, shape_of, single_ndim

# ------------------------------------------------------------------------------------------- matmul


def _infer_matmul(a: Any, b: Any) -> Aval:
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        raise ShapeError(f"{left} @ {right}: a number has no axis to contract; write a * b")
    inner, other = left[-1], right[-2] if len(right) > 1 else right[0]
    if inner != other:
        raise ShapeError(f"{left} @ {right}: inner sizes {inner} and {other} differ")
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        raise ShapeError(f"{left} @ {right}: batch shapes {left[:-2]} and {right[:-2]} do not broadcast") from None
    rows = left[-2:-1] if len(left) > 1 else ()
    columns = right[-1:] if len(right) > 1 else ()
    return batch + rows + columns, result_dtype(a, b)


def swapped(x: Any) -> Any:
    """The transpose of each matrix of a stack."""
    ndim = len(shape_of(x))
    return x.T if ndim == 2 else np.transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def _column(x: Any) -> Any:
    return np.reshape(x, (*x.shape, 1))


def _row(x: Any) -> Any:
    return np.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))


# y = a @ b. A vector stands for a row on the left and for a column on the right; batch axes that were
# broadcast are summed out by the sweep.


def _transpose_left(y_bar: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return (_column(y_bar) if a.ndim > 1 else y_bar) * b
    if a.ndim == 1:
        product = b @ _column(y_bar)
        return np.reshape(product, product.shape[:-1])
    return y_bar @ swapped(b)


def _transpose_right(y_bar: Any, a: Any, b: Any) -> Any:
    if a.ndim == 1:
        return a * y_bar if b.ndim == 1 else _column(a) * _row(y_bar)
    if b.ndim == 1:
        product = swapped(a) @ _column(y_bar)
        return np.reshape(product, product.shape[:-1])
    return swapped(a) @ y_bar


def _batch_matmul(flags: Any, a: Any, b: Any) -> Any:
    """Vectors become matrices of one row or one column, so that the batch axis is an axis before the matrices."""
    row, column = single_ndim(a, flags[0]) == 1, single_ndim(b, flags[1]) == 1
    product = np.matmul(*all_aligned(flags, (_row(a) if row else a, _column(b) if column else b)))
    *outer, rows, columns = product.shape
    return np.reshape(product, (*outer, *(() if row else (rows,)), *(() if column else (columns,))))


matmul = linear(
    "matmul", code="{0} @ {1}", infer=_infer_matmul, groups=((0,), (1,)), batch=_batch_matmul,
    transpose=(_transpose_left, _transpose_right), label="@", latex="{0} {1}", cost=costs.matmul,
)  # fmt: skip


# ------------------------------------------------------------------------------------------- einsum

# The primitive takes one or two operands and subscripts without `...`, with their output written out;
# `functions/products.py` brings every call of np.einsum into that form.


def terms_of(subscripts: str) -> tuple[list[str], str]:
    """
    >>> terms_of("ij,jk->ik")
    (['ij', 'jk'], 'ik')
    """
    operands, output = subscripts.split("->")
    return operands.split(","), output


def lengths_of(terms: list[str], shapes: list[tuple[int, ...]]) -> dict[str, int]:
    """The length that each letter stands for; an axis of length 1 is stretched, though not along a diagonal."""
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if len(term) != len(shape):
            raise ShapeError(f"{term!r} names {len(term)} axes, the operand has shape {shape}")
        own: dict[str, int] = {}
        for letter, length in zip(term, shape, strict=True):
            if own.setdefault(letter, length) != length:
                raise ShapeError(f"{letter!r} in {term!r} stands for the lengths {own[letter]} and {length} of one operand")
            if lengths.get(letter, 1) not in (1, length) and length != 1:
                raise ShapeError(f"{letter!r} stands for the lengths {lengths[letter]} and {length}")
            if lengths.get(letter, 1) == 1:
                lengths[letter] = length
    return lengths


def _infer_einsum(*xs: Any, subscripts: str) -> Aval:
    terms, output = terms_of(subscripts)
    if len(terms) != len(xs):
        raise ShapeError(f"{subscripts!r} names {len(terms)} operands, {len(xs)} are given")
    lengths = lengths_of(terms, [shape_of(x) for x in xs])
    return tuple(lengths[letter] for letter in output), result_dtype(*xs)


def _transpose_einsum(index: int, y_bar: Any, *xs: Any, subscripts: str) -> Any:
    """The einsum with the output and this operand exchanged.

    A letter that only this operand has was summed, so its adjoint is constant along that axis; a letter that it
    has twice ran along a diagonal, so its adjoint is zero beside the diagonal.
    """
    terms, output = terms_of(subscripts)
    term, x = terms[index], xs[index]
    others = [(other, xs[place]) for place, other in enumerate(terms) if place != index]
    held = set(output).union(*(other for other, _ in others))
    letters = "".join(letter for letter in dict.fromkeys(term) if letter in held)
    if others or letters != output:
        operands = ",".join([output, *(other for other, _ in others)])
        y_bar = bind("einsum", y_bar, *(other for _, other in others), subscripts=f"{operands}->{letters}")
    lengths = dict(zip(letters, y_bar.shape, strict=True))
    first = [letter not in term[:place] for place, letter in enumerate(term)]
    shape = tuple(lengths.get(letter, 1) if new else 1 for letter, new in zip(term, first, strict=True))
    full = tuple(np.broadcast_shapes((length,), (lengths.get(letter, 1),))[0] for letter, length in zip(term, x.shape, strict=True))
    if shape != y_bar.shape:
        y_bar = np.reshape(y_bar, shape)
    if full != shape:
        y_bar = np.broadcast_to(y_bar, full)
    return y_bar if all(first) else np.where(beside(_on_diagonal(term, full), y_bar), y_bar, 0)


def _on_diagonal(term: str, shape: tuple[int, ...]) -> Any:
    """Where the indices that have the same letter are equal.

    >>> _on_diagonal("ii", (2, 2))
    array([[ True, False],
           [False,  True]])
    """
    indices = np.indices(shape)
    mask = np.ones(shape, bool)
    for place, letter in enumerate(term):
        mask &= indices[place] == indices[term.index(letter)]
    return mask


def _batch_einsum(flags: Any, *xs: Any, subscripts: str) -> Any:
    """One more letter, in front of the operands that have the batch axis and of the output."""
    terms, output = terms_of(subscripts)
    batch = next(letter for letter in reversed(string.ascii_letters) if letter not in subscripts)
    operands = ",".join(batch * flag + term for flag, term in zip(flags, terms, strict=True))
    return bind("einsum", *xs, subscripts=f"{operands}->{batch}{output}")


einsum = linear(
    # `optimize` lets NumPy use BLAS where two operands allow it.
    "einsum", code="xp.einsum({subscripts}, {*}, optimize=True)", infer=_infer_einsum, transpose=_transpose_einsum,
    groups=((0,), (1,)), batch=_batch_einsum, cost=costs.einsum,
)  # fmt: skip

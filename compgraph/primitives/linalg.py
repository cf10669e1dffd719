"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.graph import Aval
from compgraph.primitives.kinds import all_aligned, linear, result_dtype, shape_of, single_ndim


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


def _swapped(x: Any) -> Any:
    ndim = len(shape_of(x))
    return np.transpose(x, None if ndim == 2 else (*range(ndim - 2), ndim - 1, ndim - 2))


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
    return y_bar @ _swapped(b)


def _transpose_right(y_bar: Any, a: Any, b: Any) -> Any:
    if a.ndim == 1:
        return a * y_bar if b.ndim == 1 else _column(a) * _row(y_bar)
    if b.ndim == 1:
        product = _swapped(a) @ _column(y_bar)
        return np.reshape(product, product.shape[:-1])
    return _swapped(a) @ y_bar


def _batch_matmul(flags: Any, a: Any, b: Any) -> Any:
    """Vectors become matrices of one row or one column, so that the batch axis is an axis before the matrices."""
    row, column = single_ndim(a, flags[0]) == 1, single_ndim(b, flags[1]) == 1
    product = np.matmul(*all_aligned(flags, (_row(a) if row else a, _column(b) if column else b)))
    *outer, rows, columns = product.shape
    return np.reshape(product, (*outer, *(() if row else (rows,)), *(() if column else (columns,))))


matmul = linear(
    "matmul", code="{0} @ {1}", infer=_infer_matmul, groups=((0,), (1,)), batch=_batch_matmul,
    transpose=(_transpose_left, _transpose_right), label="@", latex="{0} {1}", cost="multiplications",
)  # fmt: skip

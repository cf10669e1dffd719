"""Inverses, determinants and decompositions of matrices, each applied to every matrix of a stack.

The tangents follow M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008); where a rule comes from elsewhere its comment says so. They are written in operations that
have derivatives, so every one of them can be differentiated again; reverse mode transposes them.

A primitive has one result. Where a decomposition has several parts, they are stacked along the second to last axis
in one array, so that the work is done once, and `functions/linear_algebra.py` takes the parts out again.

Where a part is not unique, because two eigenvalues or singular values are equal, its tangent leaves out the
directions that it could turn in: a function that does not depend on the choice has the right derivative, and
nothing is divided by zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.backend import beside
from compgraph.errors import LinearAlgebraError
from compgraph.graph import Aval, Primitive, bind, register
from compgraph.primitives import costs
from compgraph.primitives.kinds import Rule, all_aligned, general, linear, nondifferentiable, shape_of, zeros_like
from compgraph.primitives.products import swapped

NO_FORM = "matrix decompositions are compared numerically, SymPy has none for arrays of symbols"


# ------------------------------------------------------------------------------------ shapes and pieces


def _dtype(x: Any) -> np.dtype[Any]:
    """Decompositions compute in floating point."""
    return x.dtype if x.dtype.kind in "fc" else np.dtype(np.float64)


def matrix_shape(x: Any) -> tuple[int, int]:
    shape = shape_of(x)
    if len(shape) < 2:
        raise LinearAlgebraError(f"shape {shape} is not that of a matrix or of a stack of them")
    return shape[-2], shape[-1]


def order_of(x: Any) -> int:
    """n for a stack of n-by-n matrices."""
    rows, columns = matrix_shape(x)
    if rows != columns:
        raise LinearAlgebraError(f"the last two axes of shape {shape_of(x)} must be equal: the matrix must be square")
    return columns


def _square(x: Any) -> Aval:
    order_of(x)
    return x.shape, _dtype(x)


def _of_each(name: str) -> Rule:
    """The batch rule of an operation on every matrix of a stack: the batch axis is one more axis of the stack."""
    return lambda flags, x, **params: bind(name, x, **params)


def _rows(x: Any, start: int, stop: int) -> Any:
    return x[..., start:stop, :]


def _diagonal(x: Any) -> Any:
    places = np.arange(x.shape[-1])
    return x[..., places, places]


def _eye(n: int, like: Any) -> Any:
    return beside(np.eye(n, dtype=like.dtype), like)


def _over_matrices(x: Any) -> Any:
    return np.sum(x, axis=(-2, -1))


def _spread(x: Any) -> Any:
    """A number for each matrix, shaped to multiply the matrix."""
    return np.reshape(x, (*x.shape, 1, 1))


def _as_row(x: Any) -> Any:
    return np.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))


def _as_column(x: Any) -> Any:
    return np.reshape(x, (*x.shape, 1))


def _reciprocal_gaps(values: Any) -> Any:
    """F_ij = 1 / (x_j - x_i), and 0 where the two are equal up to rounding."""
    gaps = _as_row(values) - _as_column(values)
    n = values.shape[-1]
    if n < 2:
        return zeros_like(gaps)
    scale = _spread(np.max(np.abs(values), axis=-1))
    equal = np.abs(gaps) <= n * float(np.finfo(values.dtype).eps) * scale
    return np.where(equal, 0, 1 / np.where(equal, 1, gaps))


def _triangle(name: str) -> Primitive:
    """The entries on one side of a diagonal of each matrix, which is its own transpose."""
    return linear(
        name, code="xp.%s({0}, {k})" % name, infer=lambda x, k: (matrix_shape(x) and x.shape, x.dtype),
        transpose=(lambda y_bar, x, k: bind(name, y_bar, k=k),), batch=lambda flags, x, k: bind(name, x, k=k),
    )  # fmt: skip


tril, triu = _triangle("tril"), _triangle("triu")


def _symmetric_from(x: Any, upper: bool) -> Any:
    """The symmetric matrix that NumPy sees: it reads one triangle and mirrors it."""
    side, beside = (triu, 1) if upper else (tril, -1)
    return bind(side, x, k=0) + swapped(bind(side, x, k=beside))


def _decomposition(name: str, **fields: Any) -> Primitive:
    primitive = general(name, batch=_of_each(name), **fields)
    primitive.without_sympy = NO_FORM
    return primitive


# --------------------------------------------------------------------------- inverse, solve, determinant

# d(A^-1) = -A^-1 dA A^-1.
inv = _decomposition(
    "inv", cost=costs.inverse, code="xp.linalg.inv({0})", infer=_square, tangent=lambda y, x_dots, x: -(y @ x_dots[0] @ y), analytic=True,
    latex="{0}^{{-1}}",
)  # fmt: skip


def _infer_solve(a: Any, b: Any) -> Aval:
    order, (rows, columns) = order_of(a), matrix_shape(b)
    if order != rows:
        raise LinearAlgebraError(f"a matrix of shape {shape_of(a)} and a right side of {shape_of(b)}: {order} rows and {rows} differ")
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (*stack, rows, columns), np.result_type(_dtype(a), _dtype(b))


def _batch_solve(flags: Any, a: Any, b: Any) -> Any:
    return bind("solve", *all_aligned(flags, (a, b)))


# A y = b, so A dy = db - dA y: linear in b, and in A a solve with another right side.
solve = register(Primitive(
    "solve", "xp.linalg.solve({0}, {1})", infer=_infer_solve, groups=((1,),),
    transpose=(None, lambda y_bar, a, b: bind("solve", swapped(a), y_bar)),
    tangent=lambda y, x_dots, a, b: -bind("solve", a, x_dots[0] @ y),
    analytic=True, batch=_batch_solve, cost=costs.lu_solve, latex="{0}^{{-1}} {1}",
))  # fmt: skip
solve.without_sympy = NO_FORM


def cofactors(a: np.ndarray) -> np.ndarray:
    """d det(a) / da, which is det(a) a^-T, also where a is singular.

    With a = U S V^H it is det(U) det(V^H) conj(U) P conj(V^H), where P_ii is the product of the other singular values. That
    takes many times as long as the inverse, so it is kept for matrices of which the inverse would lose digits.
    """
    determinant = np.linalg.det(a)
    if np.all(determinant) and np.all(np.isfinite(determinant)):
        inverse = np.linalg.inv(np.swapaxes(a, -1, -2))
        condition = np.max(np.sum(abs(a), -2), -1, initial=0) * np.max(np.sum(abs(inverse), -1), -1, initial=0)
        if np.all(condition < np.finfo(a.dtype).eps ** -0.25):
            return determinant[..., None, None] * inverse
    u, s, vh = np.linalg.svd(a)
    n = s.shape[-1]
    others = np.where(np.eye(n, dtype=bool), s.dtype.type(1), s[..., None, :]).prod(-1)
    return (np.linalg.det(u) * np.linalg.det(vh))[..., None, None] * (u.conj() * others[..., None, :]) @ vh.conj()


def _tangent_of_cofactors(y: Any, x_dots: Any, x: Any) -> Any:
    """d(det(A) A^-T) = <A^-T, dA> Y - A^-T dA' Y. The second derivative of det at a singular matrix is an error."""
    inverse = swapped(bind("inv", x))
    return _spread(_over_matrices(inverse * x_dots[0])) * y - inverse @ swapped(x_dots[0]) @ y


cofactors_ = _decomposition(
    "cofactors", code="cofactors({0})", helper=cofactors, infer=_square, tangent=_tangent_of_cofactors, takes_complex=True,
    cost=costs.cofactors,
    latex=r"\mathrm{{cof}}({0})",
)  # fmt: skip


def _infer_det(x: Any) -> Aval:
    order_of(x)
    return x.shape[:-2], _dtype(x)


# d det(A) = <cof(A), dA>: Jacobi's formula, without dividing by the determinant.
det = _decomposition(
    "det", code="xp.linalg.det({0})", infer=_infer_det, tangent=lambda y, x_dots, x: _over_matrices(bind("cofactors", x) * x_dots[0]),
    cost=costs.det,
    takes_complex=True, latex=r"\det {0}",
)  # fmt: skip


def _infer_slogdet(x: Any) -> Aval:
    order_of(x)
    return (*x.shape[:-2], 2), _dtype(x)


def _tangent_of_slogdet(y: Any, x_dots: Any, x: Any) -> Any:
    """d ln|det A| = <A^-T, dA>; the sign is constant."""
    y_dot = _over_matrices(swapped(bind("inv", x)) * x_dots[0])
    return np.stack([zeros_like(y_dot), y_dot], axis=-1)


slogdet = _decomposition(
    "slogdet", cost=costs.slogdet, code="xp.stack(xp.linalg.slogdet({0}), axis=-1)", infer=_infer_slogdet, tangent=_tangent_of_slogdet,
    latex=r"(\mathrm{{sign}}, \ln|\cdot|) \det {0}",
)  # fmt: skip


# ------------------------------------------------------------------------------------- pseudoinverse


def _infer_pinv(x: Any, *, rtol: float) -> Aval:
    rows, columns = matrix_shape(x)
    return (*x.shape[:-2], columns, rows), _dtype(x)


def _tangent_of_pinv(y: Any, x_dots: Any, x: Any, *, rtol: float) -> Any:
    """Golub & Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
    separate" (1973): right as long as the rank does not change nearby; where it can, the inverse itself jumps.
    """
    x_dot, x_dot_t, y_t = x_dots[0], swapped(x_dots[0]), swapped(y)
    rows, columns = x.shape[-2:]
    y_dot = -(y @ x_dot @ y)
    y_dot = y_dot + y @ y_t @ x_dot_t @ (_eye(rows, x) - x @ y)
    return y_dot + (_eye(columns, x) - y @ x) @ x_dot_t @ y_t @ y


pinv = _decomposition(
    "pinv", cost=costs.pinv, code="xp.linalg.pinv({0}, rtol={rtol})", infer=_infer_pinv, tangent=_tangent_of_pinv, latex="{0}^+",
)  # fmt: skip


# ---------------------------------------------------------------------------------- triangular factors


def _tangent_of_cholesky(y: Any, x_dots: Any, x: Any, *, upper: bool) -> Any:
    """dL = L low(L^-1 dA L^-T), where low() takes the lower triangle with half of the diagonal."""
    factor = swapped(y) if upper else y
    left = bind("solve", factor, _symmetric_from(x_dots[0], upper))
    inner = bind("solve", factor, swapped(left))
    y_dot = factor @ ((bind("tril", inner, k=0) + bind("tril", inner, k=-1)) / 2)
    return swapped(y_dot) if upper else y_dot


cholesky = _decomposition(
    "cholesky", code="xp.linalg.cholesky({0}, upper={upper})", infer=lambda x, upper: _square(x), tangent=_tangent_of_cholesky,
    cost=costs.cholesky,
)  # fmt: skip


def qr_parts(a: np.ndarray) -> np.ndarray:
    """Q above R, for a with at least as many rows as columns."""
    q, r = np.linalg.qr(a)
    return np.concatenate([q, r], axis=-2)


def _infer_qr(x: Any) -> Aval:
    rows, columns = matrix_shape(x)
    return (*x.shape[:-2], rows + columns, columns), _dtype(x)


def _tangent_of_qr(y: Any, x_dots: Any, x: Any) -> Any:
    """With B = dA R^-1 and M = Q' B: dQ = Q W + (B - Q M) and dR = (M - W) R, where W = low(M) - low(M)' is skew.

    low() is the part below the diagonal: Q' dQ = W has to be skew and dR R^-1 = M - W upper triangular.
    """
    rows, columns = x.shape[-2:]
    q, r = _rows(y, 0, rows), _rows(y, rows, rows + columns)
    moved = swapped(bind("solve", swapped(r), swapped(x_dots[0])))
    inner = swapped(q) @ moved
    low = bind("tril", inner, k=-1)
    skew = low - swapped(low)
    q_dot = q @ skew
    if rows > columns:
        q_dot = q_dot + (moved - q @ inner)
    return np.concatenate([q_dot, bind("triu", inner - skew, k=0) @ r], axis=-2)


qr = _decomposition("qr", cost=costs.qr, code="qr_parts({0})", helper=qr_parts, infer=_infer_qr, tangent=_tangent_of_qr)


# ------------------------------------------------------------------------- eigenvalues, singular values


def eigh_parts(a: np.ndarray, UPLO: str) -> np.ndarray:
    """The eigenvalues as a row, above the eigenvectors."""
    values, vectors = np.linalg.eigh(a, UPLO)  # type: ignore[call-overload]
    return np.concatenate([values[..., None, :], vectors], axis=-2)


def _infer_eigen(x: Any, **_: Any) -> Aval:
    n = order_of(x)
    return (*x.shape[:-2], n + 1, n), _dtype(x)


def _tangent_of_eigh(y: Any, x_dots: Any, x: Any, *, UPLO: str) -> Any:
    """With P = V' dA V: dw = diag P and dV = V (F * P), F_ij = 1 / (w_j - w_i) beside the diagonal."""
    n = x.shape[-1]
    w, v = y[..., 0, :], _rows(y, 1, n + 1)
    p = swapped(v) @ _symmetric_from(x_dots[0], UPLO == "U") @ v
    v_dot = v @ (_reciprocal_gaps(w) * p)
    return np.concatenate([_as_row(_diagonal(p)), v_dot], axis=-2)


eigh = _decomposition(
    "eigh", cost=costs.eigh, code="eigh_parts({0}, {UPLO})", helper=eigh_parts, infer=_infer_eigen, tangent=_tangent_of_eigh,
)  # fmt: skip


def eig_parts(a: np.ndarray, to_complex: bool) -> np.ndarray:
    """The eigenvalues as a row, above the eigenvectors; complex if `a` is, or `to_complex` says so of a real matrix."""
    values, vectors = np.linalg.eig(a)
    if np.iscomplexobj(values) and not (to_complex or np.iscomplexobj(a)):
        raise np.linalg.LinAlgError("some eigenvalues of this real matrix are complex: pass a complex matrix, such as a + 0j")
    parts = np.concatenate([values[..., None, :], vectors], axis=-2)
    return parts.astype(np.result_type(parts, np.complex64)) if to_complex else parts


def _infer_eig(x: Any, *, to_complex: bool) -> Aval:
    shape, dtype = _infer_eigen(x)
    return shape, np.result_type(dtype, np.complex64) if to_complex else dtype


def _tangent_of_eig(y: Any, x_dots: Any, x: Any, *, to_complex: bool) -> Any:
    """With P = V^-1 dA V: dw = diag P and dV = V (F * P) + V C, where the diagonal C keeps the scale of the vectors."""
    n = x.shape[-1]
    w, v = y[..., 0, :], _rows(y, 1, n + 1)
    p = bind("inverse_basis", v) @ x_dots[0] @ v
    v_dot = v @ (_reciprocal_gaps(w) * p)
    return np.concatenate([_as_row(_diagonal(p)), v_dot + v * _rescaling(v, v_dot)], axis=-2)


def _rescaling(v: Any, v_dot: Any) -> Any:
    """The c_j by which v_dot + c v keeps each column of length 1, Re(v^H (v_dot + c v)) = 0, and LAPACK's choice of phase:
    the entry v_k of largest modulus is real, Im(v_k_dot + c v_k) = 0. So c = -Re(v^H v_dot) - i Im(v_k_dot) / v_k.
    """
    if v.dtype.kind != "c" or not v.shape[-1]:
        return -np.sum(v * v_dot, axis=-2, keepdims=True)
    length = np.real(np.sum(np.conjugate(v) * v_dot, axis=-2, keepdims=True))
    # LAPACK makes one imaginary part an exact 0, which tells v_k from another entry that is as large.
    size = np.where(np.imag(v) == 0, np.abs(v), -1)
    largest = np.argmax(size, axis=-2, keepdims=True)
    chosen = beside(np.arange(v.shape[-1])[:, None], largest) == largest
    turn = np.imag(np.sum(np.where(chosen, v_dot, 0), axis=-2, keepdims=True))
    entry = np.real(np.sum(np.where(chosen, v, 0), axis=-2, keepdims=True))
    return -(length + 1j * (turn / entry))


# Not holomorphic: the length and the phase of the vectors are not.
eig = _decomposition(
    "eig", code="eig_parts({0}, {to_complex})", helper=eig_parts, infer=_infer_eig, tangent=_tangent_of_eig, takes_complex=True,
    cost=costs.eig,
)  # fmt: skip


def inverse_basis(v: np.ndarray) -> np.ndarray:
    """The inverse of a matrix of eigenvectors, which a defective matrix does not have."""
    if v.size and np.any(np.linalg.cond(v) * np.finfo(v.dtype).eps >= 0.1):
        raise np.linalg.LinAlgError("the matrix is defective: its eigenvectors are no basis, and have no derivative")
    return np.linalg.inv(v)


inverse_basis_ = _decomposition(
    "inverse_basis", code="inverse_basis({0})", helper=inverse_basis, infer=_square, tangent=lambda y, x_dots, x: -(y @ x_dots[0] @ y),
    cost=costs.inverse,
    takes_complex=True, latex="{0}^{{-1}}",
)  # fmt: skip


def svd_parts(a: np.ndarray) -> np.ndarray:
    """U, the singular values as a row, and V, one above the other."""
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([u, s[..., None, :], np.swapaxes(vh, -1, -2)], axis=-2)


def _infer_svd(x: Any) -> Aval:
    rows, columns = matrix_shape(x)
    return (*x.shape[:-2], rows + 1 + columns, min(rows, columns)), _dtype(x)


def _tangent_of_svd(y: Any, x_dots: Any, x: Any) -> Any:
    """With P = U' dA V and F_ij = 1 / (s_j^2 - s_i^2) beside the diagonal: ds = diag P,

    dU = U (F * (P S + S P')) + (dA V - U P) S^-1  and  dV = V (F * (S P + P' S)) + (dA' U - V P') S^-1.

    J. Townsend, "Differentiating the singular value decomposition" (2016). Directions that belong to a singular value
    of zero are free, and left out.
    """
    rows, columns = x.shape[-2:]
    count = min(rows, columns)
    u, s, v = _rows(y, 0, rows), y[..., rows, :], _rows(y, rows + 1, rows + 1 + columns)
    x_dot, row, column = x_dots[0], _as_row(s), _as_column(s)
    p = swapped(u) @ x_dot @ v
    p_t = swapped(p)
    gaps = _reciprocal_gaps(s * s)
    u_dot = u @ (gaps * (p * row + column * p_t))
    v_dot = v @ (gaps * (column * p + p_t * row))
    if rows != columns and count:
        zero = row <= max(rows, columns) * float(np.finfo(s.dtype).eps) * s[..., None, :1]
        inverse = np.where(zero, 0, 1 / np.where(zero, 1, row))
        if rows > count:
            u_dot = u_dot + (x_dot @ v - u @ p) * inverse
        if columns > count:
            v_dot = v_dot + (swapped(x_dot) @ u - v @ p_t) * inverse
    return np.concatenate([u_dot, _as_row(_diagonal(p)), v_dot], axis=-2)


svd = _decomposition("svd", cost=costs.svd, code="svd_parts({0})", helper=svd_parts, infer=_infer_svd, tangent=_tangent_of_svd)


# ------------------------------------------------------------------------------------- norm and rank


def _infer_norm(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Aval:
    return np.sum(np.broadcast_to(np.zeros((), _dtype(x)), x.shape), axis=axis, keepdims=keepdims).shape, _dtype(x)


def _tangent_of_norm(y: Any, x_dots: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """d|x| = <x, dx> / |x|, and 0 at x = 0."""
    y_dot = np.sum(x * x_dots[0], axis=axis, keepdims=keepdims)
    return np.where(y == 0, 0, y_dot / np.where(y == 0, 1, y))


def _batch_norm(flags: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return bind("norm", x, axis=tuple(one + 1 for one in axis), keepdims=keepdims)


norm = general(
    "norm", code="xp.sqrt(xp.sum(xp.square({0}), axis={axis}, keepdims={keepdims}))", infer=_infer_norm, tangent=_tangent_of_norm,
    batch=_batch_norm, analytic=True, sympy=lambda sp, *xs: sp.sqrt(sp.Add(*(x**2 for x in xs))),
    kink=lambda x, axis, keepdims: ~np.any(x, axis=axis, keepdims=keepdims), latex=r"\Vert {0} \Vert", cost=costs.norm,
)  # fmt: skip

matrix_rank = nondifferentiable(
    "matrix_rank", code="xp.asarray(xp.linalg.matrix_rank({0}, rtol={rtol}))[()]", batch=_of_each("matrix_rank"),
    cost=costs.singular_values,
    infer=lambda x, rtol: (matrix_shape(x) and x.shape[:-2], np.dtype(np.int64)),
)  # fmt: skip
matrix_rank.without_sympy = NO_FORM

"""`np.linalg`: each function takes and gives stacks of matrices, and returns the named tuples that NumPy returns.

    >>> import compgraph as cg
    >>> a = cg.variable([[2.0, 1.0], [1.0, 3.0]])
    >>> values, vectors = np.linalg.eigh(a)
    >>> values[0].backward(); a.grad.round(3)
    array([[ 0.724,  0.   ],
           [-0.894,  0.276]])

`eigh`, `eigvalsh` and `cholesky` read one triangle of a symmetric matrix, as in NumPy, and what is not read has the
derivative 0: an entry beside the diagonal stands for two. The part of a gradient that is symmetric is (G + G') / 2.

Singular matrices and the like raise `LinearAlgebraError`, which is a `np.linalg.LinAlgError`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from compgraph.errors import LinearAlgebraError, MissingRuleError, ShapeError
from compgraph.functions.parameters import whole
from compgraph.functions.reductions import is_known
from compgraph.functions.registry import implements
from compgraph.functions.shaping import arraylike, axes_of, matrix_transpose, moveaxis, reshape
from compgraph.graph import bind
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import shape_of
from compgraph.primitives.linalg import matrix_shape


def _matrix(name: str, a: Any) -> Any:
    """`a` as a node or an array of at least two axes."""
    a = arraylike(a)
    if len(shape_of(a)) < 2:
        raise LinearAlgebraError(f"{name}: shape {shape_of(a)} is not that of a matrix or of a stack of them{here()}")
    return a


def _result(namedtuple: str, *parts: Any) -> Any:
    """NumPy's own named tuple, by the name of its class."""
    return getattr(_NAMEDTUPLES, namedtuple)(*parts)


_NAMEDTUPLES = np.linalg._linalg  # where NumPy keeps SVDResult and its like


def _epsilon(a: Any) -> float:
    return float(np.finfo(a.dtype if a.dtype.kind in "fc" else np.float64).eps)


# --------------------------------------------------------------------------- inverses and equations


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    return bind("inv", _matrix("inv", a))


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """`b` is a vector if it has one axis, and a stack of matrices otherwise, as since NumPy 2."""
    a, b = _matrix("solve", a), arraylike(b)
    if len(shape_of(b)) != 1:
        return bind("solve", a, _matrix("solve", b))
    x = bind("solve", a, reshape(b, (shape_of(b)[0], 1)))
    return reshape(x, shape_of(x)[:-1])


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    a, ind = arraylike(a), whole(ind)
    if ind <= 0:
        raise ShapeError(f"tensorinv: ind is {ind}, it has to be positive{here()}")
    shape = shape_of(a)
    inverse = bind("inv", reshape(a, (math.prod(shape[:ind]), math.prod(shape[ind:]))))
    return reshape(inverse, shape[ind:] + shape[:ind])


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    a, b = arraylike(a), arraylike(b)
    if axes is not None:
        last = len(shape_of(a))
        a = moveaxis(a, tuple(axes), tuple(range(last - len(axes), last)))
    shape = shape_of(a)[len(shape_of(b)) :]
    size = math.prod(shape)
    if math.prod(shape_of(a)) != size**2:
        raise LinearAlgebraError(f"tensorsolve: shape {shape_of(a)} is not square as a map from {shape} to {shape_of(b)}{here()}")
    x = bind("solve", reshape(a, (size, size)), reshape(b, (size, 1)))
    return reshape(x, shape)


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, rtol: Any = np._NoValue) -> Any:
    """The derivative is that at a constant rank; where the rank can change, the pseudoinverse jumps."""
    a = _matrix("pinv", a)
    if rcond is None:
        rcond = max(matrix_shape(a)) * _epsilon(a) if rtol is None else 1e-15 if rtol is np._NoValue else rtol
    return bind("pinv", _from_triangle(a) if hermitian else a, rtol=float(rcond))


def _from_triangle(a: Any) -> Any:
    """The symmetric matrix that the lower triangle of `a` stands for."""
    n = matrix_shape(a)[1]
    lower = bind("where", np.tri(n, dtype=bool), a, 0)
    return lower + matrix_transpose(bind("where", np.tri(n, k=-1, dtype=bool), a, 0))


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """x, residuals, rank and singular values. x and the residuals have derivatives where `a` has full rank.

    The residuals are those of full rank while the rank is not known, in a trace; the rank has no derivative.
    """
    a, b = _matrix("lstsq", a), arraylike(b)
    rows, columns = matrix_shape(a)
    if len(shape_of(a)) != 2 or len(shape_of(b)) not in (1, 2) or shape_of(b)[0] != rows:
        raise LinearAlgebraError(f"lstsq: a matrix of shape {shape_of(a)} and a right side of {shape_of(b)} do not fit{here()}")
    rtol = _epsilon(a) * max(rows, columns) if rcond is None else max(float(rcond), _epsilon(a))
    x = bind("matmul", bind("pinv", a, rtol=rtol), b)
    rank = cast(bind("matrix_rank", a, rtol=rtol), np.int32)  # as LAPACK counts
    error = b - bind("matmul", a, x)
    squares = bind("sum", error * error, axis=0, keepdims=False)
    known = getattr(rank, "value", rank)
    determined = rows > columns and (known is None or known == columns)
    residuals = reshape(squares, (-1,)) if determined else np.zeros(0, x.dtype)
    return x, residuals, rank, svdvals(a)


@implements(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, rtol: Any = None) -> Any:
    """How many singular values count; no derivative."""
    if tol is not None or hermitian or len(np.shape(A)) < 2:
        raise MissingRuleError(f"matrix_rank of a node takes matrices and rtol=; write np.linalg.matrix_rank(node.value, ...){here()}")
    a = arraylike(A)
    return bind("matrix_rank", a, rtol=max(matrix_shape(a)) * _epsilon(a) if rtol is None else float(rtol))


# --------------------------------------------------------------------------------------- determinants


@implements(np.linalg.det)
def det(a: Any) -> Any:
    """The derivative is the matrix of cofactors, also of a singular matrix."""
    return bind("det", _matrix("det", a))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """The sign and the logarithm of the size of the determinant; the sign has the derivative 0."""
    parts = bind("slogdet", _matrix("slogdet", a))
    return _result("SlogdetResult", parts[..., 0], parts[..., 1])


# ------------------------------------------------------------------------------------- decompositions


@implements(np.linalg.cholesky)
def cholesky(a: Any, upper: bool = False) -> Any:
    return bind("cholesky", _matrix("cholesky", a), upper=bool(upper))


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Modes "reduced" and "r", and "complete" where it is the same; the leading columns have to be independent."""
    a = _matrix("qr", a)
    rows, columns = matrix_shape(a)
    if mode not in ("reduced", "r", "complete", "raw"):
        raise ShapeError(f"qr: there is no mode {mode!r}{here()}")
    if mode == "raw" or (mode == "complete" and rows > columns):
        raise MissingRuleError(f"qr: mode {mode!r} of a node of shape {shape_of(a)} has no derivative: use 'reduced'{here()}")
    count = min(rows, columns)
    parts = bind("qr", a[..., :, :count])
    q, r = parts[..., :rows, :], parts[..., rows:, :]
    if columns > rows:
        rest = bind("matmul", matrix_transpose(q), a[..., :, count:])
        r = bind("concatenate", r, rest, axis=-1)
    return r if mode == "r" else _result("QRResult", q, r)


def _triangle(name: str, UPLO: Any) -> str:
    if str(UPLO).upper() not in ("L", "U"):
        raise ShapeError(f"{name}: UPLO is 'L' or 'U', not {UPLO!r}{here()}")
    return str(UPLO).upper()


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Where eigenvalues are equal, their vectors can turn into each other: that part of the tangent is left out."""
    parts = bind("eigh", _matrix("eigh", a), UPLO=_triangle("eigh", UPLO))
    return _result("EighResult", parts[..., 0, :], parts[..., 1:, :])


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    return bind("eigh", _matrix("eigvalsh", a), UPLO=_triangle("eigvalsh", UPLO))[..., 0, :]


@implements(np.linalg.eig)
def eig(a: Any) -> Any:
    """Of a real matrix with complex eigenvalues the results are complex, as in NumPy; see `_eigen_parts` for traces.

    Each vector has length 1 and a real entry of largest modulus, and its derivative keeps that, so it is not holomorphic.
    """
    parts = _eigen_parts("eig", a)
    return _result("EigResult", parts[..., 0, :], parts[..., 1:, :])


@implements(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """As `eig`. Distinct eigenvalues are holomorphic functions of the matrix."""
    return _eigen_parts("eigvals", a)[..., 0, :]


def _eigen_parts(name: str, a: Any) -> Any:
    """NumPy decides by the values of a real matrix whether the result is complex. In a trace they are not known: there the
    result is real, and to run it on a matrix with complex eigenvalues is an error, which asks for a complex matrix.
    """
    a = _matrix(name, a)
    return bind("eig", a, to_complex=a.dtype.kind != "c" and is_known(a) and _turns(getattr(a, "value", a)))


def _turns(a: Any) -> bool:
    """Whether a real matrix has complex eigenvalues. What NumPy refuses is left for `bind` to refuse, which names the node."""
    try:
        return np.iscomplexobj(np.linalg.eigvals(a))
    except (np.linalg.LinAlgError, TypeError):
        return False


@implements(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """`full_matrices=False`, or any square matrix. Vectors of equal singular values are treated as in `eigh`."""
    a = _matrix("svd", a)
    rows, columns = matrix_shape(a)
    if hermitian:
        a = _from_triangle(a)
    if not compute_uv:
        return svdvals(a)
    if full_matrices and rows != columns:
        which = f"the last vectors of a matrix of shape {shape_of(a)} are no function of it"
        raise MissingRuleError(f"svd: with full_matrices=True {which}: write full_matrices=False{here()}")
    parts = bind("svd", a)
    return _result("SVDResult", parts[..., :rows, :], parts[..., rows, :], matrix_transpose(parts[..., rows + 1 :, :]))


@implements(np.linalg.svdvals)
def svdvals(x: Any) -> Any:
    x = _matrix("svdvals", x)
    return bind("svd", x)[..., matrix_shape(x)[0], :]


# ----------------------------------------------------------------------------------------------- norms


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Every `ord` of NumPy. At 0, where a norm has a corner, its derivative is 0; `ord=0` has none."""
    x = _floating(arraylike(x))
    ndim = len(shape_of(x))
    axes = axes_of("norm", tuple(range(ndim)) if axis is None else axis, ndim)
    if ord is None or (ord == 2 and len(axes) == 1) or (ord in ("fro", "f") and len(axes) == 2):
        return _euclidean(x, axes, keepdims)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ShapeError(f"norm: ord {ord!r} is defined for vectors and matrices, not for {len(axes)} axes{here()}")


def _floating(x: Any) -> Any:
    return x if x.dtype.kind in "fc" else cast(x, np.float64)


def _euclidean(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return bind("norm", abs(x) if x.dtype.kind == "c" else x, axis=axes, keepdims=bool(keepdims))


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """(sum |x|^p)^(1/p) and its limits, with nothing divided by an entry or a sum that is 0."""
    if isinstance(ord, str):
        raise ShapeError(f"norm: {ord!r} is no norm of a vector{here()}")
    how = {"axis": axes, "keepdims": bool(keepdims)}
    size = abs(x)
    if ord == 0:
        return bind("sum", cast(x != 0, size.dtype), **how)
    if ord in (np.inf, -np.inf):
        return bind("max" if ord > 0 else "min", size, **how)
    if ord == 1:
        return bind("sum", size, **how)
    p = float(ord)
    zero = x == 0
    total = bind("sum", np.where(zero, 0.0 if p > 0 else np.inf, np.where(zero, 1, size) ** p), **how)
    if p < 0:
        return total ** (1 / p)
    nothing = total == 0
    return np.where(nothing, 0, np.where(nothing, 1, total) ** (1 / p))


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord not in ("nuc", 1, -1, 2, -2, np.inf, -np.inf):
        raise ShapeError(f"norm: {ord!r} is no norm of a matrix{here()}")
    ndim = len(shape_of(x))
    x = x if axes == (ndim - 2, ndim - 1) else moveaxis(x, axes, (-2, -1))
    if ord in ("nuc", 2, -2):
        y = bind({"nuc": "sum", 2: "max", -2: "min"}[ord], abs(svdvals(x)), axis=-1, keepdims=False)  # abs: 0 at a corner
    else:
        sums = bind("sum", abs(x), axis=-2 if abs(ord) == 1 else -1, keepdims=False)
        y = bind("max" if ord > 0 else "min", sums, axis=-1, keepdims=False)
    if not keepdims:
        return y
    lengths = iter(shape_of(y))
    return reshape(y, tuple(1 if place in axes else next(lengths) for place in range(ndim)))


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = _floating(arraylike(x))
    ndim = len(shape_of(x))
    axes = axes_of("vector_norm", tuple(range(ndim)) if axis is None else axis, ndim)
    if ord in (2, None):
        return _euclidean(x, axes, keepdims)
    return _vector_norm(x, ord, axes, keepdims)


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Any:
    return norm(_matrix("matrix_norm", x), ord, (-2, -1), keepdims)


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """The condition number: s_max / s_min, its inverse for p = -2, and |x| |x^-1| in the other norms."""
    x = _matrix("cond", x)
    if p is None or p in (2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return norm(x, p, (-2, -1)) * norm(bind("inv", x), p, (-2, -1))

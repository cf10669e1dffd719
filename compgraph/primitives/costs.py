"""How many operations a primitive takes, where that is not one for each entry of its result.

A primitive states its cost as the name of what it does once an entry of the result, or as a function
`(y, *xs, **params) -> counts` of values of which only shape and dtype are read; `counts` goes from names to numbers. The
names are `additions` (subtractions and changes of sign among them), `multiplications`, `divisions`, `transcendentals` (one
call of an elemental function, whatever it is made of), `comparisons` (and selections); `moves` where entries are only
copied, `views` where not even that.

Counts are those of the textbook algorithm in real arithmetic, in exact arithmetic on whole numbers where there is a closed
form. Decompositions that iterate have none: theirs are the leading terms of Golub & Van Loan, "Matrix Computations", 4th
ed. (2013), shared evenly between additions and multiplications.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from compgraph.primitive import Shape

Counts = dict[str, int]


def _shape(x: Any) -> Shape:
    return x.shape if hasattr(x, "shape") else ()


def _size(x: Any) -> int:
    return math.prod(_shape(x))


# ------------------------------------------------------------------------------ entries and reductions


def power(y: Any, base: Any, exponent: Any) -> Counts:
    """A square is a multiplication and a reciprocal a division, as NumPy computes them."""
    known = float(exponent) if isinstance(exponent, Real) else math.nan
    kind = {2.0: "multiplications", -1.0: "divisions", 1.0: "moves", 0.0: "moves"}.get(known, "transcendentals")
    return {kind: _size(y)}


def folded(kind: str) -> Callable[..., Counts]:
    """A reduction: n entries take n - 1 operations."""
    return lambda y, x, **_: {kind: max(_size(x) - _size(y), 0)}


def mean(y: Any, x: Any, **_: Any) -> Counts:
    return {"additions": max(_size(x) - _size(y), 0), "divisions": _size(y)}


def running(kind: str) -> Callable[..., Counts]:
    """A running sum or product along an axis of length n takes n - 1 operations a line."""
    return lambda y, x, axis: {kind: _size(x) - _size(x) // max(_shape(x)[axis], 1)}


def every(kind: str) -> Callable[..., Counts]:
    """One operation for each entry of the argument, as for counting them."""
    return lambda y, x, *_, **__: {kind: _size(x)}


def logsumexp(y: Any, x: Any, **_: Any) -> Counts:
    """ln sum e^(x - top) + top: a subtraction and an exponential an entry, a logarithm and an addition a result."""
    n, m = _size(x), _size(y)
    return {"comparisons": n - m, "additions": n + (n - m) + m, "transcendentals": n + m}


def norm(y: Any, x: Any, **_: Any) -> Counts:
    n, m = _size(x), _size(y)
    return {"multiplications": n, "additions": max(n - m, 0), "transcendentals": m}


def sheltered_product(y: Any, *_: Any) -> Counts:
    return {"multiplications": _size(y), "comparisons": _size(y)}


# --------------------------------------------------------------------------------------- reading, adding


def _has_arrays(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return not all(part is None or part is ... or isinstance(part, (int, slice)) for part in parts)


def index(y: Any, x: Any, *indices: Any, index: Any) -> Counts:
    """A slice is a view; a gather reads the entries that it takes, and the arrays that say which."""
    if not _has_arrays(index):
        return {"views": 1}
    return {"moves": _size(y), "bytes_read": sum(_size(one) * one.dtype.itemsize for one in (y, *indices))}


def scatter_add(y: Any, x: Any, *_: Any, index: Any, shape: Any) -> Counts:
    """Slices take their entries into zeros; arrays of indices may meet, and add."""
    return {"additions" if _has_arrays(index) else "moves": _size(x)}


def ordering(y: Any, x: Any, *, axis: int, **_: Any) -> Counts:
    """n log2 n comparisons a line, rounded up, to leading order."""
    n = _shape(x)[axis]
    return {"comparisons": _size(x) // max(n, 1) * math.ceil(n * math.log2(n)) if n > 1 else 0}


def searching(y: Any, a: Any, v: Any, **_: Any) -> Counts:
    """Bisection: as many comparisons as n + 1 has binary digits behind the first, rounded up."""
    return {"comparisons": _size(v) * math.ceil(math.log2(_size(a) + 1))}


# ---------------------------------------------------------------------------------------------- products


def matmul(y: Any, a: Any, b: Any) -> Counts:
    inner = _shape(a)[-1]
    return {"multiplications": _size(y) * inner, "additions": _size(y) * max(inner - 1, 0)}


def einsum(y: Any, *xs: Any, subscripts: str) -> Counts:
    """The sum of products as it is written: one product for every combination of all indices."""
    lengths: dict[str, int] = {}
    for term, x in zip(subscripts.split("->")[0].split(","), xs, strict=True):
        for letter, length in zip(term, _shape(x), strict=True):
            lengths[letter] = length if lengths.get(letter, 1) == 1 else lengths[letter]
    terms = math.prod(lengths.values())
    return {"multiplications": terms * (len(xs) - 1), "additions": max(terms - _size(y), 0)}


def convolve(y: Any, x: Any, v: Any, *, mode: str) -> Counts:
    n, m = _size(x), _size(v)
    terms = n * m if mode == "full" else _size(y) * m
    return {"multiplications": terms, "additions": terms - _size(y)}


def fourier(y: Any, x: Any, *, axes: tuple[int, ...], **_: Any) -> Counts:
    """N/2 log2 N complex multiplications and N log2 N complex additions: Cooley & Tukey (1965), radix 2; half for real numbers.

    N is the number of entries that one transform takes, of the larger side of a halved spectrum. The flops that this makes,
    5 N log2 N, are those by which FFTW's benchmark counts transforms of any length.
    """
    larger = x if _size(x) >= _size(y) else y
    n = math.prod(_shape(larger)[axis] for axis in axes)
    steps = _size(larger) * math.log2(n) / (1 if x.dtype.kind == y.dtype.kind == "c" else 2) if n > 1 else 0.0
    return {"multiplications": round(steps / 2), "additions": round(steps)}


# ---------------------------------------------------------------------------------------- linear algebra


def _stack(x: Any) -> int:
    return math.prod(_shape(x)[:-2])


def _times(number: int, *parts: Counts) -> Counts:
    total: Counts = {}
    for part in parts:
        for kind, count in part.items():
            total[kind] = total.get(kind, 0) + number * count
    return total


def _even(flops: float) -> Counts:
    return {"multiplications": round(flops / 2), "additions": round(flops / 2)}


def _lu(n: int) -> Counts:
    """Elimination: in step k, n - k divisions and (n - k)**2 multiplications and subtractions (Golub & Van Loan, 3.2)."""
    inner = n * (n - 1) * (2 * n - 1) // 6
    return {"divisions": n * (n - 1) // 2, "multiplications": inner, "additions": inner, "comparisons": n * (n - 1) // 2}


def _substitutions(n: int, columns: int) -> Counts:
    """Forward, with ones on the diagonal, and back (Golub & Van Loan, 3.1)."""
    return _times(columns, {"multiplications": n * (n - 1), "additions": n * (n - 1), "divisions": n})


def lu_solve(y: Any, a: Any, b: Any) -> Counts:
    n, columns = _shape(b)[-2:]
    return _times(_stack(y), _lu(n), _substitutions(n, columns))


def inverse(y: Any, x: Any) -> Counts:
    """As NumPy does it: solved for the columns of the identity."""
    return lu_solve(y, x, y)


def det(y: Any, x: Any) -> Counts:
    n = _shape(x)[-1]
    return _times(_stack(x), _lu(n), {"multiplications": max(n - 1, 0)})


def slogdet(y: Any, x: Any) -> Counts:
    n = _shape(x)[-1]
    return _times(_stack(x), _lu(n), {"transcendentals": n, "additions": max(n - 1, 0)})


def cofactors(y: Any, x: Any) -> Counts:
    """The determinant and the inverse, which is how they are found where that loses no digits."""
    return _times(1, det(y, x), inverse(y, x), {"multiplications": _size(x)})


def cholesky(y: Any, x: Any, **_: Any) -> Counts:
    """In step k a square root, n - k divisions and (n - k)(n - k + 1)/2 multiplications and subtractions (4.2)."""
    n = _shape(x)[-1]
    inner = (n - 1) * n * (n + 1) // 6
    return _times(_stack(x), {"transcendentals": n, "divisions": n * (n - 1) // 2, "multiplications": inner, "additions": inner})


def _sides(x: Any) -> tuple[int, int]:
    rows, columns = _shape(x)[-2:]
    return max(rows, columns), min(rows, columns)


def qr(y: Any, x: Any) -> Counts:
    """Householder, R and then the thin Q: 4 m n**2 - 4/3 n**3 flops (5.2)."""
    m, n = _sides(x)
    return _times(_stack(x), _even(4 * m * n * n - 4 / 3 * n**3))


def eigh(y: Any, x: Any, **_: Any) -> Counts:
    """The symmetric QR algorithm with eigenvectors: 9 n**3 flops (8.3)."""
    return _times(_stack(x), _even(9 * _shape(x)[-1] ** 3))


def eig(y: Any, x: Any, **_: Any) -> Counts:
    """The QR algorithm with the Schur vectors: 25 n**3 flops (7.5)."""
    return _times(_stack(x), _even(25 * _shape(x)[-1] ** 3))


def svd(y: Any, x: Any, **_: Any) -> Counts:
    """Golub-Reinsch with both thin factors: 14 m n**2 + 8 n**3 flops (8.6)."""
    m, n = _sides(x)
    return _times(_stack(x), _even(14 * m * n * n + 8 * n**3))


def singular_values(y: Any, x: Any, **_: Any) -> Counts:
    """4 m n**2 - 4/3 n**3 flops (8.6), and a comparison each."""
    m, n = _sides(x)
    return _times(_stack(x), _even(4 * m * n * n - 4 / 3 * n**3), {"comparisons": n})


def pinv(y: Any, x: Any, **_: Any) -> Counts:
    """V (S^-1 U'), by the singular value decomposition."""
    m, n = _sides(x)
    product = {"divisions": n, "multiplications": m * n + m * n * n, "additions": m * n * (n - 1)}
    return _times(1, svd(y, x), _times(_stack(x), product))

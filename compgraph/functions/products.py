"""NumPy's products of arrays, by `matmul`, `einsum` and products of entries."""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from compgraph.errors import LinearAlgebraError, ShapeError
from compgraph.functions.parameters import whole
from compgraph.functions.registry import implements
from compgraph.functions.shaping import arraylike, axes_of, axis_of, diagonal, matrix_transpose, moveaxis, ravel, reshape, transpose
from compgraph.graph import bind
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import shape_of
from compgraph.primitives.products import lengths_of

# ------------------------------------------------------------------------------------ two operands


@implements(np.linalg.matmul)
def matmul(x1: Any, x2: Any) -> Any:
    return bind("matmul", x1, x2)


implements(np.linalg.matrix_transpose)(matrix_transpose)


@implements(np.dot)
def dot(a: Any, b: Any) -> Any:
    """`a * b` for numbers, `a @ b` up to matrices, and for more axes the last of `a` with the second to last of `b`."""
    left, right = np.shape(a), np.shape(b)
    if not left or not right:
        return bind("multiply", a, b)
    if len(right) <= 2:
        return bind("matmul", a, b)
    return tensordot(a, b, axes=((-1,), (-2,)))


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """`axes` is a number, the last axes of `a` with the first of `b`, or two axes or lists of axes to be paired."""
    a, b = arraylike(a), arraylike(b)
    left, right = shape_of(a), shape_of(b)
    if np.ndim(axes) == 0:
        count = whole(axes)
        if not 0 <= count <= min(len(left), len(right)):
            raise ShapeError(f"tensordot: {count} axes of {left} and {right}{here()}")
        ours, theirs = list(range(len(left) - count, len(left))), list(range(count))
    else:
        first, second = axes
        ours, theirs = list(axes_of("tensordot", first, len(left))), list(axes_of("tensordot", second, len(right)))
    inner = [left[axis] for axis in ours]
    if len(ours) != len(theirs) or inner != [right[axis] for axis in theirs]:
        raise ShapeError(f"tensordot: axes {tuple(ours)} of {left} do not fit axes {tuple(theirs)} of {right}{here()}")
    rows = [axis for axis in range(len(left)) if axis not in ours]
    columns = [axis for axis in range(len(right)) if axis not in theirs]
    shape = tuple(left[axis] for axis in rows) + tuple(right[axis] for axis in columns)
    size = math.prod(inner)
    if len(rows) == len(left) - 1 and len(left) <= 2 and len(right) <= 2 and inner:  # as matrices already, up to a transpose
        return bind("matmul", a if ours == [len(left) - 1] else transpose(a), b if theirs == [0] else transpose(b))
    first = reshape(_permuted(a, (*rows, *ours)), (math.prod(left[axis] for axis in rows), size))
    second = reshape(_permuted(b, (*theirs, *columns)), (size, math.prod(right[axis] for axis in columns)))
    return reshape(bind("matmul", first, second), shape)


def _permuted(x: Any, order: tuple[int, ...]) -> Any:
    return x if order == tuple(range(len(order))) else transpose(x, order)


@implements(np.inner)
def inner(a: Any, b: Any) -> Any:
    """The last axes of both; `a * b` where one is a number."""
    if not np.shape(a) or not np.shape(b):
        return bind("multiply", a, b)
    return tensordot(a, b, axes=((-1,), (-1,)))


@implements(np.outer)
def outer(a: Any, b: Any) -> Any:
    first, second = ravel(arraylike(a)), ravel(arraylike(b))
    return bind("multiply", reshape(first, (-1, 1) if shape_of(first)[0] else (0, 1)), second)


@implements(np.linalg.outer)
def outer_of_vectors(x1: Any, x2: Any) -> Any:
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ShapeError(f"np.linalg.outer takes two vectors, not shapes {np.shape(x1)} and {np.shape(x2)}{here()}")
    return outer(x1, x2)


@implements(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    """All entries of `a`, conjugated, times those of `b`."""
    return bind("matmul", ravel(_conjugate(arraylike(a))), ravel(arraylike(b)))


def _conjugate(x: Any) -> Any:
    return np.conjugate(x) if x.dtype.kind == "c" else x


def _with_last(name: str, x: Any, axis: Any) -> Any:
    """`x` with `axis` as its last one."""
    return x if axis_of(name, axis, len(x.shape)) == len(x.shape) - 1 else moveaxis(x, axis, -1)


@implements(np.vecdot, np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, axis: int = -1) -> Any:
    """The product of the vectors along one axis, conjugated on the left; the other axes broadcast."""
    x1, x2 = arraylike(x1), arraylike(x2)
    x1, x2 = (_with_last("vecdot", x, axis) for x in (x1, x2))
    if shape_of(x1)[-1] != shape_of(x2)[-1]:
        raise ShapeError(f"vecdot: lengths {shape_of(x1)[-1]} and {shape_of(x2)[-1]} along axis {axis} differ{here()}")
    return einsum("...i,...i->...", _conjugate(x1), x2)


@implements(np.matvec)
def matvec(x1: Any, x2: Any) -> Any:
    return einsum("...ij,...j->...i", x1, x2)


@implements(np.vecmat)
def vecmat(x1: Any, x2: Any) -> Any:
    return einsum("...i,...ij->...j", _conjugate(arraylike(x1)), x2)


@implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The cross product of vectors of three entries. (NumPy has deprecated those of two.)"""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = arraylike(a), arraylike(b)
    if not shape_of(a) or not shape_of(b):
        raise ShapeError(f"cross: a number is no vector{here()}")
    a, b = _with_last("cross", a, axisa), _with_last("cross", b, axisb)
    if shape_of(a)[-1] != 3 or shape_of(b)[-1] != 3:
        raise ShapeError(f"cross: vectors have three entries, not {shape_of(a)[-1]} and {shape_of(b)[-1]}{here()}")
    following, after_that = np.array([1, 2, 0]), np.array([2, 0, 1])
    y = a[..., following] * b[..., after_that] - a[..., after_that] * b[..., following]
    return y if axis_of("cross", axisc, len(y.shape)) == len(y.shape) - 1 else moveaxis(y, -1, axisc)


@implements(np.linalg.cross)
def cross_of_three(x1: Any, x2: Any, axis: int = -1) -> Any:
    return cross(x1, x2, axis=axis)


# --------------------------------------------------------------------------------------- one operand


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    entries = diagonal(a, offset, axis1, axis2)
    return bind("sum", entries if dtype is None else cast(entries, dtype), axis=-1, keepdims=False)


@implements(np.linalg.trace)
def trace_of_matrices(x: Any, offset: int = 0, dtype: Any = None) -> Any:
    return trace(x, offset, -2, -1, dtype)


@implements(np.linalg.diagonal)
def diagonal_of_matrices(x: Any, offset: int = 0) -> Any:
    return diagonal(x, offset, -2, -1)


# ------------------------------------------------------------------------------------ many operands


@implements(np.einsum)
def einsum(*operands: Any, optimize: Any = False) -> Any:
    """Any subscripts, as a text or as lists of numbers, with `...` and repeated letters.

    >>> import compgraph as cg
    >>> a = cg.variable([[1.0, 2.0], [3.0, 4.0]])
    >>> np.einsum("ij,kj,k->i", a, a, np.ones(2))
    Node(einsum, [16., 36.])

    Operands are multiplied two at a time, in the order that `np.einsum_path` finds, so that every product is one that
    BLAS can do; `optimize` may be a path as that function returns it. Raises `ShapeError` for subscripts that do not fit.
    """
    subscripts, xs = _as_text(operands)
    xs = [arraylike(x) for x in xs]
    terms, output = _without_ellipsis(subscripts, [shape_of(x) for x in xs])
    while len(xs) > 2:
        for group in _path(terms, output, xs, optimize):
            chosen = [(terms[place], xs[place]) for place in group]
            for place in sorted(group, reverse=True):
                del terms[place], xs[place]
            term, x = chosen[0]
            for number, (other, factor) in enumerate(chosen[1:], 2):
                rest = set(output).union(*terms, *(later for later, _ in chosen[number:]))
                kept = "".join(letter for letter in dict.fromkeys(term + other) if letter in rest)
                if not xs and number == len(chosen):
                    kept = output
                x, term = bind("einsum", x, factor, subscripts=f"{term},{other}->{kept}"), kept
            terms.append(term)
            xs.append(x)
    if len(xs) == 1 and terms == [output]:
        return xs[0]
    return bind("einsum", *xs, subscripts=f"{','.join(terms)}->{output}")


def _path(terms: list[str], output: str, xs: list[Any], optimize: Any) -> list[tuple[int, ...]]:
    """Which operands to multiply, step by step."""
    if isinstance(optimize, (list, tuple)) and optimize and optimize[0] == "einsum_path":
        return list(optimize[1:])
    shapes = [np.broadcast_to(np.float64(0), shape_of(x)) for x in xs]
    method = optimize if isinstance(optimize, (str, tuple)) else "greedy"
    return np.einsum_path(f"{','.join(terms)}->{output}", *shapes, optimize=method)[0][1:]


def _as_text(operands: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """`einsum(a, [0, 1], b, [1, 2], [0, 2])` in the form `einsum("ab,bc->ac", a, b)`."""
    if not operands:
        raise ShapeError(f"einsum: no subscripts and no operands{here()}")
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), list(operands[1:])
    *pairs, last = operands if len(operands) % 2 else (*operands, None)
    given = [*pairs[1::2], *([last] if last is not None else [])]
    numbers = sorted({entry for sublist in given for entry in sublist if entry is not Ellipsis})
    if numbers and not 0 <= numbers[0] <= numbers[-1] < len(string.ascii_letters):
        raise ShapeError(f"einsum: the numbers of axes run from 0 to {len(string.ascii_letters) - 1}{here()}")
    letters = string.ascii_uppercase + string.ascii_lowercase

    def text(sublist: Any) -> str:
        return "".join("..." if entry is Ellipsis else letters[whole(entry)] for entry in sublist)

    subscripts = ",".join(map(text, pairs[1::2]))
    return subscripts + ("" if last is None else "->" + text(last)), list(pairs[::2])


def _without_ellipsis(subscripts: str, shapes: list[tuple[int, ...]]) -> tuple[list[str], str]:
    """The term of each operand and of the output, `...` as letters and the output written out, checked."""
    left, arrow, output = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ShapeError(f"einsum: {subscripts!r} names {len(terms)} operands, {len(shapes)} are given{here()}")
    bare = [term.replace("...", "", 1) for term in (*terms, output)]
    wrong = sorted(set("".join(bare)) - set(string.ascii_letters))
    if wrong:
        raise ShapeError(f"einsum: {wrong[0]!r} in {subscripts!r} is no letter{here()}")
    free = [letter for letter in string.ascii_letters if letter not in subscripts]
    counts = [len(shape) - len(one) for one, shape in zip(bare, shapes, strict=False)]
    for term, shape, count in zip(terms, shapes, counts, strict=True):
        if count < 0 or (count and "..." not in term):
            raise ShapeError(f"einsum: {term!r} in {subscripts!r} does not fit an operand of shape {shape}{here()}")
    longest = max((count for count, term in zip(counts, terms, strict=True) if "..." in term), default=0)
    ellipsis = "".join(free[:longest])
    written = [term.replace("...", ellipsis[longest - count :]) for term, count in zip(terms, counts, strict=True)]
    if not arrow:
        once = sorted(letter for letter in set("".join(bare)) if "".join(bare).count(letter) == 1)
        output = "..." + "".join(once)
    if ellipsis and "..." not in output:
        raise ShapeError(f"einsum: the output of {subscripts!r} has no '...', which stands for axes of the operands{here()}")
    target = output.replace("...", ellipsis)
    try:
        lengths = lengths_of(written, shapes)
    except ShapeError as error:
        raise ShapeError(f"einsum: {subscripts!r}: {error}{here()}") from None
    for letter in target:
        if target.count(letter) > 1 or letter not in lengths:
            raise ShapeError(f"einsum: the output of {subscripts!r} has {letter!r} twice, or no operand has it{here()}")
    return written, target


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any]) -> Any:
    """A product of matrices, the first and last of which may be vectors, in the order that costs least."""
    xs = [arraylike(array) for array in arrays]
    if len(xs) < 2:
        raise ShapeError(f"multi_dot: {len(xs)} array, at least 2 are needed{here()}")
    shapes = [shape_of(x) for x in xs]
    if any(len(shape) != 2 for shape in shapes[1:-1]) or any(len(shape) not in (1, 2) for shape in (shapes[0], shapes[-1])):
        raise LinearAlgebraError(f"multi_dot: matrices, and vectors at the ends, not shapes {', '.join(map(str, shapes))}{here()}")
    sizes = [1 if len(shapes[0]) == 1 else shapes[0][0], *(shape[0] for shape in shapes[1:]), shapes[-1][1] if len(shapes[-1]) == 2 else 1]
    count = len(xs)
    best: dict[tuple[int, int], tuple[int, int]] = {(place, place): (0, place) for place in range(count)}
    for span, start in itertools.product(range(1, count), range(count)):  # Cormen et al., "Introduction to Algorithms", 15.2
        stop = start + span
        if stop < count:
            best[start, stop] = min(
                (best[start, cut][0] + best[cut + 1, stop][0] + sizes[start] * sizes[cut + 1] * sizes[stop + 1], cut)
                for cut in range(start, stop)
            )

    def product(start: int, stop: int) -> Any:
        cut = best[start, stop][1]
        return xs[start] if start == stop else bind("matmul", product(start, cut), product(cut + 1, stop))

    return product(0, count - 1)


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """`a @ a @ ...` by squaring; a negative `n` takes powers of the inverse, and 0 gives the identity."""
    a, n = arraylike(a), whole(n)
    if len(shape_of(a)) < 2 or shape_of(a)[-1] != shape_of(a)[-2]:
        raise LinearAlgebraError(f"matrix_power: the last two axes of shape {shape_of(a)} must be equal{here()}")
    if n == 0:
        return bind("add", bind("multiply", a, 0), np.eye(shape_of(a)[-1], dtype=a.dtype))
    square, power = bind("inv", a) if n < 0 else a, None
    n = abs(n)
    while n:
        if n % 2:
            power = square if power is None else bind("matmul", power, square)
        n //= 2
        if n:
            square = bind("matmul", square, square)
    return power

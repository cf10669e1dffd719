"""Sums of products as matrix products: `einsum`, broadcast-multiply-sum, and chains of `@`.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda a, b: np.sum(a[:, None] * b, axis=2), np.ones((4, 3)), np.ones((2, 3)))
    >>> print(contract_products(graph))
    f(a, b):
        v1 = transpose(b)
        v2 = a @ v1
        return v2

Inexact passes: the numbers are the same and are added in another order. A sum of K products then differs from the exact one by
at most K u sum |a| |b|, where u is the unit roundoff (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
2002, section 3.1; twice that for complex numbers), whatever the order; NumPy's own sum is the better one by a factor of
K / log K at the most. A number that is taken out of a sum, or a sum that is taken before a product, can overflow where the
products themselves did not.

No pass here expands a square of a difference: |x|^2 - 2 x c + |c|^2 is a matrix product too, and loses its digits where x is near c.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph.graph import Graph, Node, bind
from compgraph.matching import OnlyReaders, is_a, is_square, seen_through
from compgraph.primitives.kinds import normalized_axes, shape_of
from compgraph.primitives.products import lengths_of, terms_of
from compgraph.primitives.shape import permutation
from compgraph.simplification import rewritten

BLAS = "fdFD"  # the characters of the dtypes that BLAS multiplies: float32, float64, complex64, complex128
MOST_FACTORS = 4  # of one product: finding the best order of more would cost more than it gives
FEW = 64  # entries, for which the calls alone count: one that multiplies or sums takes about 1 us, one that reshapes half of that
WORTH_SUMMING = 1 << 17  # multiply-adds that have to be saved before a further sum, of some microseconds, pays
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
MOST_ONES = 1 << 14  # of a vector of ones that stays in the cache
SHORT_ROW = 64  # NumPy's sum takes 20 ns a row, however short; from this length on its speed is that of memory


# -------------------------------------------------------------------------------------------- factors


class Factor(NamedTuple):
    """An array in a product; its axis i runs along axis `axes[i]` of the product, and along the others it does not vary."""

    array: Any
    axes: tuple[int, ...]


def factor_of(x: Any, axes: Sequence[int]) -> Factor:
    """`x`, whose axes run along `axes` of a product, without what only repeats or turns it around.

    >>> factor_of(np.ones((4, 1, 3)), (0, 1, 2)).axes
    (0, 2)
    """
    x, places = seen_through(x, axes)
    kept = [(place, length) for place, length in zip(places, shape_of(x), strict=True) if place is not None and length != 1]
    shape = tuple(length for _, length in kept)
    return Factor(reshaped(x, shape), tuple(place for place, _ in kept))


def arranged(factor: Factor, order: Sequence[int]) -> Any:
    """The factor's array with its axes in this order, which names all of them."""
    if factor.axes == tuple(order):
        return factor.array
    return turned(factor.array, tuple(factor.axes.index(axis) for axis in order))


def turned(x: Any, axes: tuple[int, ...]) -> Any:
    return bind("transpose", x, axes=None if axes == (1, 0) else axes)


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    return x if shape_of(x) == shape else bind("reshape", x, shape=shape)


def multiplied(one: Factor, other: Factor, order: Sequence[int], lengths: Sequence[int]) -> Factor:
    """The product entry by entry, of axes in this order."""
    axes = tuple(axis for axis in order if axis in one.axes or axis in other.axes)
    arrays = []
    for factor in (one, other):
        array = arranged(factor, [axis for axis in axes if axis in factor.axes])
        first = next((place for place, axis in enumerate(axes) if axis in factor.axes), len(axes))
        arrays.append(reshaped(array, tuple(lengths[axis] if axis in factor.axes else 1 for axis in axes[first:])))
    return Factor(bind("multiply", *arrays), axes)


def summed(factor: Factor, over: Sequence[int]) -> Factor:
    """The factor with the axes `over` summed out."""
    places = tuple(place for place, axis in enumerate(factor.axes) if axis in over)
    if not places:
        return factor
    return Factor(bind("sum", factor.array, axis=places, keepdims=False), tuple(axis for axis in factor.axes if axis not in over))


# --------------------------------------------------------------------------------------- contractions


class Contraction(NamedTuple):
    """The sum of a product of two factors over `inner`, which both have: a stack of matrix products, one an entry of `stack`."""

    left: Factor
    right: Factor
    stack: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    inner: tuple[int, ...]


def planned(left: Factor, right: Factor, kept: Sequence[int]) -> Contraction:
    """Which axis of two factors is which, where those of the result are `kept`. The larger factor settles the order of `inner`.

    The factor whose axes come first in the result stands on the left. A vector stands where the matrix needs no transpose.
    """
    shared = set(left.axes) & set(right.axes)
    free = [axis for axis in kept if axis not in shared]
    if free and free[0] in right.axes:
        left, right = right, left
    summed_axes = shared.difference(kept)
    if free and shared.issuperset(right.axes) and not summed_axes.isdisjoint(left.axes[: left.axes.index(free[0])]):
        left, right = right, left
    stack = tuple(axis for axis in kept if axis in shared)
    larger = left if math.prod(shape_of(left.array)) >= math.prod(shape_of(right.array)) else right
    rows, columns = (tuple(axis for axis in free if axis in factor.axes) for factor in (left, right))
    return Contraction(left, right, stack, rows, columns, tuple(axis for axis in larger.axes if axis in shared and axis not in stack))


def as_matmul(plan: Contraction, kept: Sequence[int], lengths: Sequence[int]) -> Any:
    """The contraction by `matmul`, its axes in the order `kept`."""
    left, right, stack, rows, columns, inner = plan
    outer = tuple(lengths[axis] for axis in stack)
    size = math.prod(lengths[axis] for axis in inner)
    height = tuple(lengths[axis] for axis in rows)
    width = tuple(lengths[axis] for axis in columns)
    as_row = (math.prod(height),) if rows or stack else ()  # without any axis else, vectors are vectors
    as_column = (math.prod(width),) if columns or stack else ()
    first = reshaped(arranged(left, (*stack, *rows, *inner)), (*outer, *as_row, size))
    second = reshaped(arranged(right, (*stack, *inner, *columns)), (*outer, size, *as_column))
    product = reshaped(bind("matmul", first, second), (*outer, *height, *width))
    return arranged(Factor(product, (*stack, *rows, *columns)), kept)


def pays(plan: Contraction, lengths: Sequence[int]) -> bool:
    """Whether a contraction by `matmul` costs less than the product, stored, and its sum.

    The product has an entry for every combination of axes, E in all; it is written and read again, at about 1 ns an entry, and
    that is what `matmul` saves, down to matrices of 2 by 2. It loses where its operands have to be copied first: an
    operand whose rows cannot be merged without a copy, or whose fastest axis is one of the stack, which BLAS cannot
    step through. So the entries copied must be at most E / 2. A stack of single dot products is left alone: a call for each
    costs as much as NumPy's own loop over them (see `sum_by_ones`). With at most `FEW` entries a stack takes more calls than it saves.
    """
    left, right, stack, rows, columns, inner = plan
    entries = math.prod(lengths[axis] for axis in (*stack, *rows, *columns, *inner))
    if stack and (entries <= FEW or not (rows or columns)):
        return False
    copied = 0
    for factor, free in ((left, rows), (right, columns)):
        strided = factor.axes[-1] in stack and bool(free)
        if strided or not all(_merge(factor.axes, group) for group in (free, inner)):
            copied += math.prod(shape_of(factor.array))
    return 2 * copied <= entries


def _merge(axes: tuple[int, ...], group: tuple[int, ...]) -> bool:
    """Whether the axes of a group lie one behind the other, so that they become one without a copy."""
    return len(group) < 2 or any(axes[place : place + len(group)] == group for place in range(len(axes)))


# -------------------------------------------------------------------------------------------- the pass


def contract_products(graph: Graph) -> Graph:
    """Sums of products by `matmul`, and matrix products in the order that costs least.

    | before | after | where |
    |---|---|---|
    | `einsum` of two operands | `matmul`, or a product where nothing is summed | no letter twice in one operand |
    | `einsum` of one operand | `sum`, `transpose` | likewise |
    | `sum(a * b, axis)`, `mean`, `sum(x**2)`, `sum(square(x))` | `matmul`; the dot product for a full sum | `pays` says so |
    | `sum(a * b, axis)`, where only `a` has the axis | `sum(a, axis) * b` | more than `FEW` entries |
    | `sum(a @ b, axis)` | `a @ sum(b, axis)`, `sum(a, axis) @ b` | at least `WORTH_SUMMING` multiply-adds fewer |
    | `(a @ b) @ c`, `a @ (b @ c)` | the other one | fewer multiply-adds |
    | `transpose(a @ b)` | `transpose(b) @ transpose(a)` | a result in C order, which entrywise arithmetic is fast on |

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda a, b, v: a @ b @ v + np.sum(a * b), *[np.ones((3, 3))] * 2, np.ones(3))
    >>> print(contract_products(graph))
    f(a, b, v):
        v1 = b @ v
        v2 = a @ v1
        v3 = reshape(a, (9,))
        v4 = reshape(b, (9,))
        v5 = v3 @ v4
        v6 = v2 + v5
        return v6

    Only what nothing else reads is taken apart, and only in the dtypes of BLAS: integers, truth values, half and long double
    precision stay as they are. Linear in the number of nodes.
    """
    only = OnlyReaders(graph)

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        only.note(node, args)
        if node.dtype.char not in BLAS or not node.size or any(0 in shape_of(arg) for arg in args):
            return None
        rule = RULES.get(node.primitive.name)  # type: ignore[union-attr]
        new = None if rule is None else rule(node, args, only)
        if isinstance(new, Node) and new.name is None and new not in only.count:  # made here
            new.name = node.name
        return new

    return rewritten(graph, replace)


def _einsum(node: Node, args: tuple[Any, ...], only: OnlyReaders) -> Any:
    terms, output = terms_of(node.params["subscripts"])
    if any(len(set(term)) < len(term) for term in terms) or any(getattr(x, "dtype", None) != node.dtype for x in args):
        return None
    of_letter = lengths_of(terms, [shape_of(x) for x in args])
    letters = list(of_letter)
    lengths = list(of_letter.values())
    kept = [letters.index(letter) for letter in output if of_letter[letter] != 1]
    factors = [factor_of(x, [letters.index(letter) for letter in term]) for x, term in zip(args, terms, strict=True)]
    if len(factors) == 1:
        return reshaped(arranged(summed(factors[0], [axis for axis in factors[0].axes if axis not in kept]), kept), node.shape)
    return reshaped(_contracted(factors[0], factors[1], kept, lengths), node.shape)


def _contracted(one: Factor, other: Factor, kept: Sequence[int], lengths: Sequence[int], *, if_it_pays: bool = False) -> Any:
    """The product of two factors, summed over the axes not `kept`; None where it does not pay."""
    first = [axis for axis in one.axes if axis not in kept and axis not in other.axes]
    if if_it_pays and math.prod(lengths) <= FEW and (first or set(other.axes).difference(kept, one.axes)):
        return None
    one = summed(one, first)
    other = summed(other, [axis for axis in other.axes if axis not in kept and axis not in one.axes])
    if not any(axis in other.axes for axis in one.axes if axis not in kept):
        return multiplied(one, other, kept, lengths).array
    plan = planned(one, other, kept)
    return as_matmul(plan, kept, lengths) if not if_it_pays or pays(plan, lengths) else None


def _reduction(node: Node, args: tuple[Any, ...], only: OnlyReaders) -> Any:
    """The sum or the mean of a product of entries or of matrices."""
    (x,) = args
    over = normalized_axes(node.params["axis"], len(shape_of(x)))
    if x.dtype != node.dtype:  # a mean of integers
        return None
    if only.has(x, "matmul"):
        y = _sum_of_matmul(x, over)
    elif only.has(x, "multiply", "square", "power"):
        y = _sum_of_product(x, over, only)
    else:
        return None
    if y is None:
        return None
    if is_a(node, "mean"):
        y = bind("divide", y, math.prod(x.shape[axis] for axis in over))
    return reshaped(y, node.shape)


def _sum_of_product(x: Node, over: tuple[int, ...], only: OnlyReaders) -> Any:
    lengths = x.shape
    numbers, arrays = _factors(x, only)
    factors = [factor_of(array, range(x.ndim - array.ndim, x.ndim)) for array in arrays]
    numbers += [factor.array for factor in factors if not factor.axes]
    factors = [factor for factor in factors if factor.axes]
    present = {axis for factor in factors for axis in factor.axes}
    if len(factors) < 2 or all(lengths[axis] == 1 for axis in over):
        return None
    if any(length != 1 and axis not in present for axis, length in enumerate(lengths)):
        return None  # an axis along which the product only repeats
    order = range(x.ndim)
    while len(factors) > 2:  # first those whose product is smallest
        pairs = itertools.combinations(range(len(factors)), 2)
        axes = [set(factor.axes) for factor in factors]
        first, second = min(pairs, key=lambda pair: math.prod(lengths[axis] for axis in axes[pair[0]] | axes[pair[1]]))
        product = multiplied(factors[first], factors[second], order, lengths)
        factors = [*(factor for place, factor in enumerate(factors) if place not in (first, second)), product]
    kept = [axis for axis in order if axis not in over and lengths[axis] != 1]
    y = _contracted(factors[0], factors[1], kept, lengths, if_it_pays=True)
    if y is not None:
        for number in numbers:
            y = bind("multiply", y, number)
    return y


def _factors(x: Node, only: OnlyReaders) -> tuple[list[Any], list[Any]]:
    """What is multiplied to give `x`: numbers without axes, and arrays. Empty where the dtypes differ."""
    numbers: list[Any] = []
    arrays: list[Any] = []
    waiting: list[tuple[Any, bool]] = [(x, True)]  # and whether it may be taken apart
    while waiting:
        part, apart = waiting.pop()
        if not shape_of(part):
            numbers.append(part)
        elif part.dtype != x.dtype:
            return [], []
        elif apart and is_square(part):
            arrays += [part.args[0]] * 2
        elif apart and is_a(part, "multiply") and len(waiting) + len(arrays) + 2 <= MOST_FACTORS:
            waiting += [(arg, only.has(arg, "multiply")) for arg in reversed(part.args)]
        else:
            arrays.append(part)
    same = all(part.dtype == x.dtype for part in (*numbers, *arrays) if hasattr(part, "dtype"))
    return (numbers, arrays) if same else ([], [])


def _sum_of_matmul(x: Node, over: tuple[int, ...]) -> Any:
    """Sum an operand, of which there is less, before it is multiplied; one is enough, what is left is a vector then."""
    a, b = x.args
    if len(shape_of(a)) < 2 or len(shape_of(b)) < 2:
        return None
    last, row = x.ndim - 1, x.ndim - 2
    on_the_left = row in over and x.shape[row] > 1
    summands = x.shape[row] if on_the_left else x.shape[last] if last in over else 1
    work = x.size * shape_of(a)[-1]
    if work - work // summands < WORTH_SUMMING:
        return None
    if on_the_left:
        a = bind("sum", a, axis=-2, keepdims=True)
    else:
        b = bind("sum", b, axis=-1, keepdims=True)
    y = bind("matmul", a, b)
    rest = tuple(axis for axis in over if y.shape[axis] != 1)
    return bind("sum", y, axis=rest, keepdims=True) if rest else y


# ---------------------------------------------------------------------------------- matrix products


def multiply_adds(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """The cost of a product of matrices or vectors.

    >>> multiply_adds((2, 3), (3, 4)), multiply_adds((2, 3), (3,))
    (24, 6)
    """
    return math.prod(left[:-1]) * left[-1] * math.prod(right[1:])


def _matmul(node: Node, args: tuple[Any, ...], only: OnlyReaders) -> Any:
    """A chain of matrix products, re-associated from its end as long as that saves work."""
    left, right = args
    if len(shape_of(left)) > 2 or len(shape_of(right)) > 2 or not all(getattr(x, "dtype", None) == node.dtype for x in args):
        return None
    if _turns(left, right, only):
        waiting = [left]
        while waiting:
            left = waiting.pop()
            if _turns(left, right, only):
                waiting += left.args
            else:
                right = bind("matmul", left, right)
        return right
    if _turns_back(left, right, only):
        waiting = [right]
        while waiting:
            right = waiting.pop()
            if _turns_back(left, right, only):
                waiting += reversed(right.args)
            else:
                left = bind("matmul", left, right)
        return left
    return None


def _turns(product: Any, right: Any, only: OnlyReaders) -> bool:
    """Whether (a @ b) @ right costs more than a @ (b @ right)."""
    if not only.has(product, "matmul") or len(product.shape) != 2 or any(len(shape_of(arg)) != 2 for arg in product.args):
        return False
    a, b = map(shape_of, product.args)
    after = (b[0], *shape_of(right)[1:])
    return multiply_adds(a, b) + multiply_adds(product.shape, shape_of(right)) > multiply_adds(b, shape_of(right)) + multiply_adds(a, after)


def _turns_back(left: Any, product: Any, only: OnlyReaders) -> bool:
    """Whether left @ (a @ b) costs more than (left @ a) @ b."""
    if not only.has(product, "matmul") or len(product.shape) != 2 or any(len(shape_of(arg)) != 2 for arg in product.args):
        return False
    a, b = map(shape_of, product.args)
    after = (*shape_of(left)[:-1], a[1])
    return multiply_adds(a, b) + multiply_adds(shape_of(left), product.shape) > multiply_adds(shape_of(left), a) + multiply_adds(after, b)


def _swaps(x: Any) -> bool:
    """Whether `x` is the transpose of each matrix of a stack."""
    ndim = len(shape_of(x))
    return is_a(x, "transpose") and ndim > 1 and permutation(x.params["axes"], ndim) == (*range(ndim - 2), ndim - 1, ndim - 2)


def _swapped(x: Any) -> Any:
    ndim = len(shape_of(x))
    return x.args[0] if _swaps(x) else turned(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def _transpose(node: Node, args: tuple[Any, ...], only: OnlyReaders) -> Any:
    (x,) = args
    if not _swaps(node) or not only.has(x, "matmul") or any(len(shape_of(arg)) < 2 for arg in x.args):
        return None
    return bind("matmul", _swapped(x.args[1]), _swapped(x.args[0]))


RULES = {"einsum": _einsum, "sum": _reduction, "mean": _reduction, "matmul": _matmul, "transpose": _transpose}


# ------------------------------------------------------------------------------- sums by products with ones


def sum_by_ones(graph: Graph) -> Graph:
    """Sums over some of the axes as products with ones, for programs that NumPy runs: BLAS adds several times as fast as its `sum`.

    >>> import numpy as np, compgraph as cg
    >>> print(sum_by_ones(cg.trace(lambda x: np.sum(np.exp(x), axis=1), np.ones((100, 3)))))
    f(x):
        v1 = exp(x)
        v2 = v1 @ [1, 1, 1]
        return v2

    | sum over | becomes | measured: NumPy's sum takes |
    |---|---|---|
    | the last axes, fewer than `SHORT_ROW` entries | `x @ ones` | 20 ns a row, 2 to 7 times as long |
    | the last axes, of a product, more entries | a dot product a row, and no product in memory | 2 to 3 times as long |
    | other axes, at most `MOST_ONES` entries | `ones @ x` | 1.5 to 6 times as long |

    Only arrays in C order are taken, as far as the graph tells: others would be copied. Not for compilers of loops, which fuse
    the sum with what is summed. Inexact as `contract_products` is.
    """
    only = OnlyReaders(graph)
    in_order: set[Node] = {node for node in graph.nodes if node.primitive is None}  # arrays in C order

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        only.note(node, args)
        in_order.update(arg for arg in args if isinstance(arg, Node) and arg not in in_order and _is_in_order(arg, in_order))
        new = _sum_by_ones(node, args[0], only, in_order) if is_a(node, "sum", "mean") else None
        if new is not None and new.name is None:
            new.name = node.name
        return new

    return rewritten(graph, replace)


def _is_in_order(x: Any, in_order: set[Node]) -> bool:
    """Whether NumPy gives `x` in C order: results of entrywise arithmetic have the order of their operands."""
    if not isinstance(x, Node) or is_a(x, "constant"):
        return bool(np.asarray(getattr(x, "value", x)).flags.c_contiguous)
    if x in in_order or is_a(x, "matmul", "concatenate", "stack"):
        return True
    if is_a(x, "sum", "reshape"):
        return _is_known(x.args[0], in_order)
    entrywise = x.primitive.partials is not None or is_a(x, "astype", "where", *COMPARISONS)  # type: ignore[union-attr]
    return entrywise and all(_is_known(arg, in_order) for arg in x.args if shape_of(arg) == x.shape)


def _is_known(x: Any, in_order: set[Node]) -> bool:
    return x in in_order if isinstance(x, Node) else _is_in_order(x, in_order)


def _sum_by_ones(node: Node, x: Any, only: OnlyReaders, in_order: set[Node]) -> Any:
    over = normalized_axes(node.params["axis"], len(shape_of(x)))
    if node.dtype != x.dtype or x.dtype.char not in BLAS or x.size <= FEW or not over or over[-1] - over[0] >= len(over):
        return None
    start, stop = over[0], over[-1] + 1
    before, length, behind = math.prod(x.shape[:start]), math.prod(x.shape[start:stop]), math.prod(x.shape[stop:])
    if length == 1 or before * behind == 1:
        return None
    if behind == 1 and length >= SHORT_ROW:
        y = _dots_of_rows(x, before, length, only, in_order)
    elif x not in in_order or length > MOST_ONES:
        return None
    elif behind == 1:
        y = bind("matmul", reshaped(x, (before, length)), np.ones(length, x.dtype))
    else:
        y = bind("matmul", np.ones(length, x.dtype), reshaped(x, (before, length, behind) if before > 1 else (length, behind)))
    if y is not None and is_a(node, "mean"):
        y = bind("divide", y, length)
    return None if y is None else reshaped(y, node.shape)


def _dots_of_rows(x: Any, count: int, length: int, only: OnlyReaders, in_order: set[Node]) -> Any:
    """The sums of the rows of a product of two arrays, which is not stored."""
    numbers, arrays = _factors(x, only) if only.has(x, "multiply", "square", "power") else ([], [])
    if len(arrays) != 2 or any(shape_of(array) != x.shape or not _is_known(array, in_order) for array in arrays):
        return None
    y = reshaped(bind("matmul", reshaped(arrays[0], (count, 1, length)), reshaped(arrays[1], (count, length, 1))), (count,))
    for number in numbers:
        y = bind("multiply", y, number)
    return y

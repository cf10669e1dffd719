"""Factors and divisors put where they cost least. Values change by a few roundings, which each pass states.

The bounds, in units of the last place, are those of IEEE 754 rounding where no intermediate result leaves the range of
normal numbers: 1 / b overflows for a subnormal b, for instance, where a / b need not. What is infinite or NaN may therefore
be the other after these passes, as in 0 / b + 1 / b for b = 0, which is NaN, where (0 + 1) / b is inf. Half precision, whose range
is small, is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from compgraph.graph import Graph, Node, bind
from compgraph.identities import MOVES, Candidates, Numbers, operation, transformed
from compgraph.primitives.kinds import normalized_axes, shape_of


def size_of(value: Any) -> int:
    return int(np.prod(shape_of(value), dtype=int))


def _is_wide(dtype: np.dtype[Any]) -> bool:
    """Whether numbers of `dtype` may be regrouped: those of float16 leave its range, 6e-8 to 65504, on the way too easily."""
    return dtype.kind == "f" and dtype.itemsize > 2


def _in_range(numbers: Any, dtype: np.dtype[Any]) -> bool:
    """Whether all are normal numbers of `dtype`, whose relative error is half a unit."""
    limits = np.finfo(dtype)
    magnitudes = np.abs(np.asarray(numbers, np.float64))
    return bool(np.all((magnitudes >= float(limits.smallest_normal)) & (magnitudes <= float(limits.max))))


# --------------------------------------------------------------------------------------- reciprocals


def share_reciprocals(graph: Graph) -> Graph:
    """Divide once by what is divided by often, and multiply by the reciprocals of constants.

    >>> import compgraph as cg
    >>> print(share_reciprocals(cg.trace(lambda x1, x2, x3: (x1 / x3) * (x2 / x3) / 10, 2.0, 5.0, 3.0)))
    f(x1, x2, x3):
        v1 = 1 / x3
        v2 = x1 * v1
        v3 = x2 * v1
        v4 = v2 * v3
        v5 = v4 * 0.1
        return v5

    Inexact: a quotient is within 1.5 units in the last place, and exact for constants that are powers of two. A divisor's
    reciprocal is taken where two lines divide by it, or where it is smaller than the result. Divisors of another dtype
    than the result, and complex ones, are left alone.
    """
    divisions = Counter(node.args[1] for node in graph.nodes if operation(node) == "divide" and isinstance(node.args[1], Node))
    reciprocals: dict[Node, Node] = {}
    number = Numbers()

    def rules(line: Node, node: Node, readers: Counter[Node]) -> Candidates:
        if operation(node) != "divide" or not _is_wide(node.dtype):
            return
        a, b = node.args
        if not isinstance(b, Node) or operation(b) == "constant":
            yield _times_reciprocal(a, b.params["value"] if isinstance(b, Node) else b, node.dtype)
        elif b.dtype == node.dtype and (divisions[line.args[1]] > 1 or size_of(b) < size_of(node)):
            if b not in reciprocals:
                reciprocals[b] = node if number(a) == 1 and node.shape == b.shape else bind("divide", 1, b)
            if reciprocals[b] is not node:
                yield reciprocals[b] if number(a) == 1 else bind("multiply", a, reciprocals[b])

    return transformed(graph, rules, needs={"divide"})


def _times_reciprocal(a: Any, divisor: Any, dtype: np.dtype[Any]) -> Any:
    """a * (1 / divisor) for a constant divisor whose reciprocal is a normal number, or None."""
    if not _in_range(divisor, dtype) or not _in_range(reciprocal := 1 / divisor, dtype):
        return None
    return bind("multiply", a, reciprocal)


# -------------------------------------------------------------------------------------------- powers


def expand_powers(graph: Graph) -> Graph:
    """Small powers as products, quotients and square roots: NumPy's and C's `pow` costs ten times as much.

    >>> import compgraph as cg
    >>> print(expand_powers(cg.trace(lambda x: x ** 3 + x ** -1, 2.0)))
    f(x):
        v1 = square(x)
        v2 = v1 * x
        v3 = 1 / x
        v4 = v2 + v3
        return v4

    Inexact: within 2 units in the last place for the exponents 3, 4, -2 and -1/2, within 1 for 2, -1 and 1/2. At -0.0 and
    minus infinity a square root is what IEEE 754 says, -0.0 and NaN, and not C's `pow`, 0.0 and infinity.
    """

    def rules(line: Node, node: Node, readers: Counter[Node]) -> Candidates:
        if operation(node) == "power" and node.args[1].__class__ in (int, float) and _is_wide(node.dtype):
            expansion = _POWERS.get(node.args[1])
            if expansion is not None:
                yield expansion(node.args[0])

    return transformed(graph, rules, needs={"power"})


_POWERS: dict[float, Callable[[Node], Node]] = {
    2: lambda x: bind("square", x),
    3: lambda x: bind("square", x) * x,
    4: lambda x: bind("square", bind("square", x)),
    0.5: lambda x: bind("sqrt", x),
    -0.5: lambda x: 1 / bind("sqrt", x),
    -1: lambda x: 1 / x,
    -2: lambda x: 1 / bind("square", x),
}

# ------------------------------------------------------------------------------------------- factors


class Scaled(NamedTuple):
    """A product or quotient read as factor**sign * rest**power, with both exponents 1 or -1."""

    factor: Any
    sign: int
    rest: Node
    power: int


def fold_scalars(graph: Graph) -> Graph:
    """Multiply numbers with numbers before they meet arrays, and small arrays before they meet large ones.

    >>> import numpy as np, compgraph as cg
    >>> print(fold_scalars(cg.trace(lambda s, x: np.sum(x * 2.0 / s) * 3.0, 2.0, np.zeros(5))))
    f(s, x):
        v1 = 2 / s
        v2 = sum(x)
        v3 = v2 * v1
        v4 = v3 * 3
        return v4

    Inexact: products are the same up to one rounding for each factor. A sum of scaled terms is the scaled sum, which rounds
    other numbers, so its error is bounded as that of any sum is, by the sum of the terms' magnitudes. Only what nothing
    else reads is taken apart. Factors of another dtype than the result, complex numbers and integers are left alone.
    """

    def rules(line: Node, node: Node, readers: Counter[Node]) -> Candidates:
        name = operation(node)
        if not _is_wide(node.dtype):
            return
        if name in ("multiply", "divide"):
            yield from _gathered(node, readers)
        elif name in ("sum", "mean"):
            x = node.args[0]
            if isinstance(x, Node) and readers[x] == 1 and x.dtype == node.dtype:
                yield from _reduced(name, x, node)
        elif name == "matmul":
            yield from _contracted(node, readers)
        elif name in MOVES and isinstance(node.args[0], Node) and readers[node.args[0]] == 1 and node.size <= node.args[0].size:
            term = scaled(node.args[0])  # numbers wait behind moves for others to join
            if term is not None and _is_number(term.factor):
                moved = bind(node.primitive, term.rest, *node.args[1:], **node.params)  # type: ignore[arg-type]
                yield _applied(term.factor, term.sign, moved, term.power)

    return transformed(graph, rules, needs={"multiply", "divide", "sum", "mean"})


def scaled(node: Node) -> Scaled | None:
    """A product or quotient whose one argument is a number or smaller than the other, which is a node of its dtype."""
    if operation(node) not in ("multiply", "divide"):
        return None
    for place in (1, 0):
        factor, rest = node.args[place], node.args[1 - place]
        if not isinstance(rest, Node) or rest.dtype != node.dtype or rest.shape != node.shape:
            continue
        if _is_number(factor) or (isinstance(factor, Node) and factor.dtype == node.dtype and factor.size < node.size):
            if operation(node) == "multiply":
                return Scaled(factor, 1, rest, 1)
            return Scaled(factor, -1, rest, 1) if place else Scaled(factor, 1, rest, -1)
    return None


def _is_number(value: Any) -> bool:
    return value.__class__ in (int, float)


def _gathered(node: Node, readers: Counter[Node]) -> Candidates:
    """t * (s * x) as (t * s) * x."""
    outer = scaled(node)
    if outer is None:
        return
    inner = scaled(outer.rest) if readers[outer.rest] == 1 else None
    if inner is not None:
        factor = _product(outer.factor, outer.sign, inner.factor, inner.sign * outer.power, node.dtype)
        if factor is not None and (_is_number(factor[0]) or size_of(factor[0]) < node.size):
            yield _applied(*factor, inner.rest, inner.power * outer.power)
    elif operation(outer.rest) == "matmul" and outer.power == 1 and readers[outer.rest] == 1 and not shape_of(outer.factor):
        a, b = outer.rest.args
        small = min(size_of(a), size_of(b))
        if small < node.size and isinstance(a, Node) and isinstance(b, Node) and a.dtype == b.dtype == node.dtype:
            apply = lambda x: _applied(outer.factor, outer.sign, x, 1)  # noqa: E731
            yield bind("matmul", apply(a), b) if size_of(a) == small else bind("matmul", a, apply(b))


def _product(t: Any, t_sign: int, s: Any, s_sign: int, dtype: np.dtype[Any]) -> tuple[Any, int] | None:
    """t**t_sign * s**s_sign as (factor, sign); None where numbers would leave the range of `dtype`."""
    if _is_number(t) and _is_number(s):
        if not _in_range([t, s], dtype):
            return None
        factor = (t * s if s_sign == 1 else t / s) if t_sign == 1 else (s / t if s_sign == 1 else 1 / (t * s))
        return (factor, 1) if _in_range(factor, dtype) else None
    if t_sign == s_sign:
        return bind("multiply", t, s), t_sign
    return (bind("divide", t, s) if t_sign == 1 else bind("divide", s, t)), 1


def _applied(factor: Any, sign: int, rest: Any, power: int) -> Any:
    """factor**sign * rest**power."""
    if power == 1:
        return bind("multiply" if sign == 1 else "divide", rest, factor)
    return bind("divide", factor if sign == 1 else bind("divide", 1, factor), rest)


def _reduced(name: str, x: Node, node: Node) -> Candidates:
    """sum(s * x) as s * sum(x), sum(-x) as -sum(x), and the sum of what was stretched as a multiple."""
    term = scaled(x)
    if term is not None and term.power == 1 and _survives(term.factor, node):
        yield _applied(term.factor, term.sign, bind(name, term.rest, **node.params), 1)
    elif operation(x) == "negative":
        yield bind("negative", bind(name, x.args[0], **node.params))
    elif operation(x) == "broadcast_to" and name == "sum":
        small = shape_of(x.args[0])
        small = (1,) * (x.ndim - len(small)) + small
        axes = normalized_axes(node.params["axis"], x.ndim)
        times = int(np.prod([x.shape[axis] for axis in axes if small[axis] == 1], dtype=int))
        y = bind("sum", bind("reshape", x.args[0], shape=small), axis=axes, keepdims=node.params["keepdims"])
        yield bind("broadcast_to", bind("multiply", y, times) if times > 1 else y, shape=node.shape)


def _survives(factor: Any, node: Node) -> bool:
    """Whether a factor of the terms is one of their sum too: it does not vary along the axes that are summed."""
    shape, ndim = shape_of(factor), node.args[0].ndim
    padded = (1,) * (ndim - len(shape)) + shape
    axes = normalized_axes(node.params["axis"], ndim)
    if node.params["keepdims"]:
        return all(padded[axis] == 1 for axis in axes)
    return all(axis < ndim - len(shape) for axis in axes)  # what it lacks may go


def _contracted(node: Node, readers: Counter[Node]) -> Candidates:
    """(s * x) @ y with the number s moved to y or to the result, where one of them is smaller than x."""
    for place in (0, 1):
        x, y = node.args[place], node.args[1 - place]
        term = scaled(x) if isinstance(x, Node) and readers[x] == 1 else None
        if term is None or term.power != 1 or shape_of(term.factor) or not isinstance(y, Node) or not x.dtype == y.dtype == node.dtype:
            continue
        if node.size < x.size and node.size <= y.size:
            product = bind("matmul", *((term.rest, y) if place == 0 else (y, term.rest)))
            yield _applied(term.factor, term.sign, product, 1)
        elif y.size < x.size:
            other = _applied(term.factor, term.sign, y, 1)
            yield bind("matmul", *((term.rest, other) if place == 0 else (other, term.rest)))


# ------------------------------------------------------------------------------------- equal products


def share_products(graph: Graph) -> Graph:
    """Of a product of three factors take the two that have been multiplied already.

    >>> import compgraph as cg
    >>> print(share_products(cg.trace(lambda a, b, c: (a * c, a * (b * c)), 2.0, 3.0, 4.0)))
    f(a, b, c):
        v1 = a * c
        v2 = v1 * b
        return v1, v2

    The two adjoints of a quotient are such a pair. Inexact: two roundings in another order, so within 2 units in the last
    place. Only where nothing else reads the product that is given up.
    """
    products: dict[frozenset[Node], Node] = {}
    made: set[Node] = set()

    def rules(line: Node, node: Node, readers: Counter[Node]) -> Candidates:
        if operation(node) != "multiply" or not _is_wide(node.dtype):
            return
        for first, inner in (node.args, node.args[::-1]) if node not in made else ():  # or it would go back and forth
            if isinstance(first, Node) and operation(inner) == "multiply" and readers[inner] <= 1:
                for second, third in (inner.args, inner.args[::-1]):
                    known = products.get(frozenset((first, second))) if isinstance(second, Node) else None
                    if known is not None and known is not inner and known.dtype == node.dtype:
                        made.add(instead := bind("multiply", known, third))
                        yield instead
        if all(isinstance(arg, Node) for arg in node.args):
            products.setdefault(frozenset(node.args), node)

    return transformed(graph, rules, needs={"multiply"})


# --------------------------------------------------------------------------------------- common factors


def factor_sums(graph: Graph) -> Graph:
    """Add before multiplying by a common factor, as where the adjoints of equal subexpressions were added up.

    >>> import compgraph as cg
    >>> print(factor_sums(cg.trace(lambda a, b, c, d: a - b * c - d * c, 1.0, 2.0, 3.0, 4.0)))
    f(a, b, c, d):
        v1 = b + d
        v2 = v1 * c
        v3 = a - v2
        return v3

    Inexact: the error is that of a sum in another order, bounded by the roundings of its terms. Only products that nothing
    else reads are taken apart, and only where the sum of the other factors is no larger than the result.
    """

    def rules(line: Node, node: Node, readers: Counter[Node]) -> Candidates:
        if operation(node) not in ("add", "subtract") or not _is_wide(node.dtype):
            return
        a, b = node.args
        sign = 1 if operation(node) == "add" else -1
        yield _factored(a, sign, b, node, readers)
        if operation(a) in ("add", "subtract") and readers[a] <= 1 and a.shape == node.shape:
            first, middle = a.args
            inner = 1 if operation(a) == "add" else -1
            common = _factored(middle, inner * sign, b, node, readers)  # of sign `inner`
            if common is not None:
                yield bind(operation(a), first, common)

    return transformed(graph, rules, needs={"multiply"})


def _factored(a: Any, sign: int, b: Any, node: Node, readers: Counter[Node]) -> Any:
    """x * c +- y * c as (x +- y) * c, or None."""
    if operation(a) != "multiply" or operation(b) != "multiply" or a is b or readers[a] > 1 or readers[b] > 1:
        return None
    for place, c in enumerate(a.args):
        if isinstance(c, Node) and any(c is arg for arg in b.args):
            x, y = a.args[1 - place], b.args[0] if b.args[1] is c else b.args[1]
            if not isinstance(x, Node) or not isinstance(y, Node) or not x.dtype == y.dtype == c.dtype == node.dtype:
                continue
            total = bind("add" if sign == 1 else "subtract", x, y)
            if total.size <= min(node.size, max(x.size, y.size)):
                return bind("multiply", total, c)
    return None

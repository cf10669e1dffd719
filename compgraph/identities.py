"""Algebraic identities that floating point keeps to the bit. Those that it rounds differently are in `rescaling.py`.

    >>> import numpy as np, compgraph as cg
    >>> from compgraph.simplification import simplify
    >>> graph = simplify(cg.trace(cg.grad(lambda x1, x2: np.sin(x1) / x2, (0, 1)), 1.0, 2.0))
    >>> len(graph.nodes), len(apply_identities(graph).nodes)
    (11, 9)

Derivatives are full of such lines: a seed of 1, a partial that is negated before it is added, a cast there and back.
"Exact" means equal entry by entry, with the sign of zeros, and NaN where there was NaN; the bits within a NaN are not looked
at. NumPy sums an array in the order it lies in memory, so a sum behind an array that now lies differently may round
differently. Take derivatives first: what a selection shelters at the next order is not known behind these passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from compgraph.graph import Graph, Node, bind
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import result_dtype, shape_of
from compgraph.simplification import again, rewritten

# What gives the same entry whatever the layout of its arguments, since IEEE 754 leaves it no choice. Powers and
# transcendental functions are not here: NumPy has one loop for numbers beside arrays and another for two arrays.
ENTRYWISE = frozenset((
    "add", "subtract", "multiply", "divide", "negative", "abs", "square", "sqrt", "reciprocal", "sign", "relu",
    "maximum", "minimum", "fmax", "fmin", "where", "sheltered", "sheltered_product",
    "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_not", "logical_and", "logical_or",
))  # fmt: skip
MOVES = frozenset(("reshape", "transpose", "broadcast_to", "index"))  # entries that go elsewhere unchanged
Candidates = Iterator[Any]

# ------------------------------------------------------------------------------------- for all passes


def operation(value: Any) -> str:
    """The name of a node's primitive, and "" for what has none: inputs, numbers, arrays."""
    return value.primitive.name if isinstance(value, Node) and value.primitive is not None else ""


def uses(graph: Graph) -> Counter[Node]:
    """How often each node is an argument or an output."""
    found = Counter(graph.outputs)
    for node in graph.nodes:
        found.update(arg for arg in node.args if isinstance(arg, Node))
    return found


def transformed(graph: Graph, rules: Callable[[Node, Node, Counter[Node]], Candidates], *, needs: Collection[str]) -> Graph:
    """`graph` with each line replaced by the first candidate that fits, until there is none.

    `rules(line, node, readers)` is given the line of the old graph, its present form, whose arguments are rewritten already,
    and how many lines read what those arguments stand for. A candidate fits if it is a node of the same shape and dtype.
    What takes a line's place takes its name, if it has none. Rules have to lead somewhere: each makes less of something.
    A graph without any of the operations that the rules need is returned as it is.
    """
    if not any(operation(node) in needs for node in graph.nodes):
        return graph
    counts = uses(graph)
    readers = Counter({node: counts[node] for node in graph.inputs})

    def replace(line: Node, args: tuple[Any, ...]) -> Node:
        node = again(line, args)
        while node.primitive is not None:
            better = next((one for one in rules(line, node, readers) if fits(one, node)), None)
            if better is None:
                break
            node = better
        if node.name is None and node.primitive is not None:
            node.name = line.name
        readers[node] += counts[line]
        return node

    return rewritten(graph, replace)


def fits(candidate: Any, node: Node) -> bool:
    return isinstance(candidate, Node) and candidate is not node and candidate.shape == node.shape and candidate.dtype == node.dtype


class Numbers:
    """Which constants are one number everywhere.

    >>> number = Numbers()
    >>> number(np.full((2, 3), 0.5)), number(np.array([1.0, 2.0])), number(3), number(np.array([0.0, -0.0]))
    (np.float64(0.5), None, 3, None)

    Nodes that are no constants give None, and so do NaN and complex numbers.
    """

    def __init__(self) -> None:
        self._arrays: dict[int, tuple[Any, Any]] = {}  # by id, which stays its own while the array is held

    def __call__(self, arg: Any) -> Any:
        value = arg.params["value"] if operation(arg) == "constant" else arg
        if isinstance(value, np.ndarray):
            if id(value) not in self._arrays:
                self._arrays[id(value)] = (value, _everywhere(value))
            return self._arrays[id(value)][1]
        return value if isinstance(value, (bool, int, float, np.number, np.bool_)) and not isinstance(value, np.complexfloating) else None


def _everywhere(array: Any) -> Any:
    if not array.size or array.dtype.kind not in "fiu":
        return None
    first = array.flat[0]
    same = np.all(array == first) and (array.dtype.kind != "f" or np.all(np.signbit(array) == np.signbit(first)))
    return first if same else None


# ----------------------------------------------------------------------------------- exact identities


def apply_identities(graph: Graph) -> Graph:
    """Leave out what changes no bit of any value, and merge signs and casts into the lines that read them.

    >>> import compgraph as cg
    >>> print(apply_identities(cg.trace(lambda x1, x2: -x2 * 1.0 * x1 + x1 ** 1, 2.0, 5.0)))
    f(x1, x2):
        v1 = x2 * x1
        v2 = x1 - v1
        return v2

    Exact. Not applied are `x + 0`, which turns -0.0 into 0.0, `x * 0`, which forgets NaN, `-(a - b)`, whose zero has the
    other sign, and `x * 1` of complex numbers, where inf * 0 would be NaN. A constant array that is one number everywhere
    becomes that number.
    """
    number = Numbers()
    squares: dict[Node, Node] = {}
    absorbed = absorbed_signs(graph)

    def rules(line: Node, node: Node, readers: Counter[Node]) -> Candidates:
        name = operation(node)
        args = node.args
        if name in ENTRYWISE:
            yield _with_numbers(node, number)
        if name in _RULES:
            yield from _RULES[name](*args, *map(number, args))
        if name in _CASTS:
            yield from _casts(node, readers)
        if name == "where":
            yield from _where(args, number(args[0]))
        if name in ("sheltered", "sheltered_product"):
            yield from _unsheltered(name, args, number)
        if name == "power" and args[1].__class__ in (int, float):
            if args[1] == 1:
                yield args[0]
            elif args[1] == 2 and node.shape:  # NumPy itself squares an array here, while it calls pow for a number
                yield bind("square", args[0])
        if node.dtype.kind == "f" and (name == "square" or (name == "multiply" and args[0] is args[1])):
            yield squares.setdefault(args[0], node)
        if node.dtype.kind in "fc":
            yield from _signs(name, node, line in absorbed)

    return transformed(graph, rules, needs=ENTRYWISE | {"power", *_CASTS})


def _with_numbers(node: Node, number: Numbers) -> Any:
    """`node` with plain numbers for the constants that are one number everywhere, or None."""
    if node.dtype.kind == "c" or not any(isinstance(arg, Node) and operation(arg) != "constant" for arg in node.args):
        return None
    args = list(node.args)
    for place, arg in enumerate(args):
        value = number(arg) if isinstance(arg, np.ndarray) or (operation(arg) == "constant" and arg.name is None) else None
        if value is not None:
            args[place] = value.item()  # weak, as people write it, where the promotion is the same
            if result_dtype(*args) != result_dtype(*node.args):
                args[place] = value
    if all(one is other for one, other in zip(args, node.args, strict=True)):
        return None
    small = bind(node.primitive, *args)  # type: ignore[arg-type]
    if small.shape == node.shape:
        return small
    simpler = _RULES[operation(node)](*args, *map(number, args)) if operation(node) in _RULES else iter(())
    return bind("broadcast_to", next((one for one in simpler if fits(one, small)), small), shape=node.shape)


# Each takes the arguments and, for each of them, the number it is everywhere or None.


def _add(a: Any, b: Any, m: Any, n: Any) -> Candidates:
    if _is(n, 0) and _leaves_zeros_alone(n, a):
        yield a
    if _is(m, 0) and _leaves_zeros_alone(m, b):
        yield b
    if a is b and isinstance(a, Node) and a.dtype.kind == "f":  # a power of two rounds nothing, and meets other factors
        yield bind("multiply", 2, a)


def _leaves_zeros_alone(zero: Any, x: Any) -> bool:
    """-0.0 + 0.0 is 0.0, while x + -0.0 is x."""
    return isinstance(x, Node) and (x.dtype.kind in "iu" or (x.dtype.kind == "f" and bool(np.signbit(zero))))


def _subtract(a: Any, b: Any, m: Any, n: Any) -> Candidates:
    if _is(n, 0) and not np.signbit(n):
        yield a


def _multiply(a: Any, b: Any, m: Any, n: Any) -> Candidates:
    for x, factor in ((a, n), (b, m)):
        if factor is not None and isinstance(x, Node) and x.dtype.kind in "fiu":
            if _is(factor, 1):
                yield x
            elif _is(factor, -1) and x.dtype.kind != "u":
                yield bind("negative", x)


def _divide(a: Any, b: Any, m: Any, n: Any) -> Candidates:
    if isinstance(a, Node) and a.dtype.kind == "f":
        if _is(n, 1):
            yield a
        elif _is(n, -1):
            yield bind("negative", a)


def _is(number: Any, value: int) -> bool:
    return number is not None and not isinstance(number, (bool, np.bool_)) and bool(number == value)


def _logical_not(x: Any, n: Any) -> Candidates:
    """Only these two: with NaN, not (a < b) is not a >= b."""
    opposite = {"equal": "not_equal", "not_equal": "equal"}.get(operation(x))
    if opposite:
        yield bind(opposite, *x.args)
    if operation(x) == "logical_not" and shape_of(x.args[0]) == x.shape:
        yield x.args[0]


_RULES: dict[str, Callable[..., Candidates]] = {
    "add": _add, "subtract": _subtract, "multiply": _multiply, "divide": _divide, "logical_not": _logical_not,
}  # fmt: skip


def _where(args: tuple[Any, ...], n: Any) -> Candidates:
    condition, a, b = args
    if n is not None:
        yield a if n else b
    if a is b:
        yield a
    if operation(condition) == "logical_not":
        yield bind("where", condition.args[0], b, a)


def _unsheltered(name: str, args: tuple[Any, ...], number: Numbers) -> Candidates:
    """What is finite for sure needs no shelter from NaN and infinity: `sheltered(x, weight)`, `sheltered_product(weight, x)`."""
    first, second = args
    if name == "sheltered" and _is_finite(first, number):
        yield first
    elif name == "sheltered_product" and _is_finite(second, number):
        yield bind("multiply", first, second)


def _is_finite(x: Any, number: Numbers) -> bool:
    parts = x.args[1:] if operation(x) == "where" else (x,)
    for part in parts:
        part = part.args[0] if operation(part) == "astype" and part.dtype != np.float16 else part
        value = number(part)
        if not (part.dtype.kind in "iub" if isinstance(part, Node) and value is None else value is not None and np.isfinite(value)):
            return False
    return True


# ---- signs


def absorbed_signs(graph: Graph) -> set[Node]:
    """The nodes of which every reader could take the negative at no cost.

    Sums and differences can, and so can even functions; a product can where it is itself absorbed, since its sign can be
    moved out of it. Of two addends with a sign to give only the second is taken, as -a + -b is not -(a + b): 1 and -1
    make 0 and -0.
    """
    signed: set[Node] = set()
    for node in graph.nodes:
        name = operation(node)
        if name == "negative" or (name in _CARRIERS and any(arg in signed for arg in node.args if isinstance(arg, Node))):
            signed.add(node)
    absorbed = set(graph.nodes) - set(graph.outputs)
    for node in reversed(graph.nodes):
        name = operation(node)
        for place, arg in enumerate(node.args):
            if not isinstance(arg, Node):
                continue
            if node.dtype.kind not in "fc":
                absorbed.discard(arg)
            elif name == "add":
                if place == 0 and isinstance(node.args[1], Node) and node.args[1] in signed:
                    absorbed.discard(arg)
            elif name == "subtract":
                if place == 0:
                    absorbed.discard(arg)
            elif name in _CARRIERS:
                if node not in absorbed:
                    absorbed.discard(arg)
            elif name not in ("negative", "abs", "square"):
                absorbed.discard(arg)
    return absorbed


_CARRIERS = MOVES | {"multiply", "divide"}


def _negated(x: Any) -> Any:
    """What `x` is the negative of, or None."""
    return x.args[0] if operation(x) == "negative" and x.dtype.kind in "fc" else None


def _signs(name: str, node: Node, absorbed: bool) -> Candidates:
    """The sign of a product is that of its factors, whatever is rounded; a - b is a + (-b) by definition."""
    args = node.args
    inner = [_negated(arg) for arg in args]
    if not any(one is not None for one in inner):
        if name == "negative" and not absorbed and operation(args[0]) in ("multiply", "divide") and node.dtype.kind == "f":
            yield from _with_negative_number(args[0])
        return
    if name == "negative":
        yield inner[0]
    elif name in ("abs", "square"):
        yield bind(name, inner[0])
    elif name == "add":
        yield bind("subtract", args[0], inner[1]) if inner[1] is not None else bind("subtract", args[1], inner[0])
    elif name == "subtract" and inner[1] is not None:
        yield bind("add", args[0], inner[1])
    elif name in ("multiply", "divide"):
        if inner[0] is not None and inner[1] is not None:
            yield bind(name, *inner)
        positive = [arg if one is None else one for arg, one in zip(args, inner, strict=True)]
        if absorbed:
            yield bind("negative", bind(name, *positive))
        elif node.dtype.kind == "f":
            yield from _with_negative_number(bind(name, *positive))
    elif name in MOVES and absorbed:
        yield bind("negative", bind(name, inner[0], *args[1:], **node.params))


def _with_negative_number(product: Node) -> Candidates:
    """-(x * 2) as x * -2. A sign that nobody absorbs costs an operation."""
    for place in (0, 1):
        if product.args[place].__class__ in (int, float):
            yield bind(product.primitive, *(-arg if at == place else arg for at, arg in enumerate(product.args)))  # type: ignore[arg-type]


# ---- casts

_CASTS = ("astype", "to_discrete")


def keeps_values(dtype: np.dtype[Any], wide: np.dtype[Any]) -> bool:
    """Whether every number of `dtype` is one of `wide`; NumPy calls int64 to float64 safe, which rounds above 2**53."""
    return np.can_cast(dtype, wide, "safe") and not (dtype.kind in "iu" and dtype.itemsize == 8 and wide.kind in "fc")


def _casts(node: Node, readers: Counter[Node]) -> Candidates:
    x = node.args[0]
    if isinstance(x, Node):
        yield x  # if it has that dtype already
        if operation(x) in _CASTS and keeps_values(x.args[0].dtype, x.dtype):
            yield cast(x.args[0], node.dtype)
        if readers[x] == 1 and operation(x) in _NARROWED and node.dtype.kind == "f" == x.dtype.kind:
            yield _narrowed(x, node.dtype)


_NARROWED = ("add", "subtract", "multiply", "sheltered_product")


def _narrowed(node: Node, dtype: np.dtype[Any]) -> Any:
    """A sum or product in the narrow dtype it is cast to, where its arguments are numbers of that dtype; None elsewhere.

    To round twice is to round once if the wide format has 2 p + 2 bits for the narrow one's p (Figueroa, When is double
    rounding innocuous?, 1995): float64 has 53 for the 24 of float32, and that has 24 for the 11 of float16. A product is exact
    in the wide format, so that subnormal numbers do no harm.
    """
    if dtype.itemsize * 2 > node.dtype.itemsize:
        return None
    args = [_as_narrow(arg, dtype) for arg in node.args]
    return None if any(arg is None for arg in args) else bind(node.primitive, *args)  # type: ignore[arg-type]


def _as_narrow(arg: Any, dtype: np.dtype[Any], *, within: bool = False) -> Any:
    """`arg` made of numbers of `dtype` alone, or None."""
    if not isinstance(arg, Node):
        with np.errstate(over="ignore"):
            fits_in = isinstance(arg, (bool, int, float, np.floating)) and float(dtype.type(arg)) == arg
        return (dtype.type(arg) if within or isinstance(arg, np.floating) else arg) if fits_in else None
    if operation(arg) in _CASTS and arg.args[0].dtype in (dtype, np.bool_):
        return arg.args[0]
    if operation(arg) == "where" and not within:
        parts = [_as_narrow(part, dtype, within=True) for part in arg.args[1:]]
        return None if any(part is None for part in parts) else bind("where", arg.args[0], *parts)
    return arg if arg.dtype in (dtype, np.bool_) else None

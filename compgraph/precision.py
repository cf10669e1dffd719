"""Graphs evaluated in numbers of many digits, by mpmath: what values and derivatives are compared with.

Nothing here states a function anew. A primitive that works entry by entry says its form in SymPy's names, and mpmath has
functions of those names; operations that move, add and multiply run by the code they have, on arrays of objects.

    >>> import compgraph as cg
    >>> graph = cg.parse("1 - cos(x)")
    >>> x, v1, v2 = graph.nodes
    >>> values = {x: np.float64(1e-9), v1: np.float64(1.0), v2: np.float64(0.0)}
    >>> float(precise(graph, values).values[v2][()])
    5e-19
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from compgraph.errors import CompgraphError, MissingRuleError
from compgraph.graph import Graph, Node, describe
from compgraph.loop import SCAN, turns
from compgraph.primitives.kinds import normalized_axes
from compgraph.symbolic import TooLargeError

Objects = np.ndarray[Any, Any]  # of mpmath numbers

DIGITS = 50  # that a reference is good to
ENTRIES = 1000  # of a node that is computed with so many digits beside its value
SECONDS = 3.0  # after which the values of the other nodes stay unknown
_WORKING = 3 * DIGITS + 30  # a difference over a step of 10**-DIGITS leaves the derivative twice that many, or as many as wanted


class _Names:
    """mpmath under the names of SymPy's functions, as the forms in the table use them."""

    def __init__(self) -> None:
        self.mp: Any = import_module("mpmath").mp
        mp = self.mp
        self.named: dict[str, Any] = {
            "Abs": abs, "Add": lambda *xs: mp.fsum(xs), "Max": partial(_extreme, max), "Min": partial(_extreme, min),
            "Integer": mp.mpf, "pi": mp.pi, "conjugate": mp.conj,
            "Rational": lambda p, q=1: mp.mpf(p) / q, "sign": mp.sign, "ceiling": mp.ceil, "Mod": lambda a, b: a % b,
            "Lt": lambda a, b: a < b, "Le": lambda a, b: a <= b, "Gt": lambda a, b: a > b, "Ge": lambda a, b: a >= b,
            "Eq": lambda a, b: a == b, "Ne": lambda a, b: a != b, "Not": lambda a: not a, "And": lambda a, b: a and b,
            "Or": lambda a, b: a or b, "Xor": lambda a, b: bool(a) != bool(b), "true": True, "false": False,
            "Piecewise": lambda *cases: next((value for value, holds in cases if holds), mp.nan),
            "Heaviside": lambda x, at_zero: mp.mpf(x > 0) if x != 0 else at_zero, "polygamma": mp.psi,
        }  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        return self.named[name] if name in self.named else getattr(self.mp, name)


def _extreme(compare: Callable[..., Any], *xs: Any) -> Any:
    return next((x for x in xs if x != x), compare(xs))  # NaN, which compares with nothing


@cache
def _names() -> _Names:
    return _Names()


# --------------------------------------------------------------------------------- the values of nodes


class Precise(NamedTuple):
    """The value of each node in mpmath's numbers, NaN outside a function's domain; for the others why they are missing."""

    values: dict[Node, Objects]
    missing: dict[Node, str]


def precise(graph: Graph, values: dict[Node, Any]) -> Precise:
    """The nodes in 50 digits at exactly the `values` of the inputs; what has no such form, and what depends on it, is left out.

    Nodes of more than 1,000 entries are left out too, and what is not reached within three seconds.
    """
    known: dict[Node, Objects] = {}
    missing: dict[Node, str] = {}
    until = time.monotonic() + SECONDS
    with _names().mp.workdps(DIGITS):
        for node in graph.nodes:
            try:
                if any(arg in missing for arg in node.args if isinstance(arg, Node)):
                    raise TooLargeError("an argument is unknown")
                if node.size > ENTRIES:
                    raise TooLargeError(f"too large: more than {ENTRIES} entries")
                known[node] = exact(values[node]) if node.primitive is None else _of_node(node, known, until)
            except (CompgraphError, ArithmeticError, ValueError, NotImplementedError) as error:
                missing[node] = " ".join(str(error).split()) or type(error).__name__
    return Precise(known, missing)


def evaluated(graph: Graph, values: Sequence[Objects], until: float = math.inf) -> list[Objects]:
    """The outputs for inputs that are arrays of mpmath numbers, or of integers and truth values as they are.

    Raises `MissingRuleError`, which names the node, for an operation that has no such form, and `TooLargeError` when the
    time `until` is past.
    """
    environment: dict[Node, Objects] = dict(zip(graph.inputs, values, strict=True))
    for node in graph.nodes:
        if node not in environment:
            environment[node] = _of_node(node, environment, until)
    return [environment[node] for node in graph.outputs]


def exact(value: Any) -> Objects:
    """Floats and complex numbers as mpmath numbers of the same value; integers and truth values as they are."""
    array = np.asarray(value)
    if array.dtype.kind not in "fc":
        return array
    make = _names().mp.mpf if array.dtype.kind == "f" else _names().mp.mpc
    return _listed([make(number) for number in array.ravel().tolist()], array.shape)


def _listed(results: Sequence[Any], shape: tuple[int, ...]) -> Objects:
    array = np.empty(len(results), object)
    array[:] = results
    return array.reshape(shape)


def _of_node(node: Node, environment: dict[Node, Objects], until: float) -> Objects:
    primitive = node.primitive
    if time.monotonic() > until:
        raise TooLargeError(f"it took longer than {SECONDS:g} s")
    if primitive is None:
        return exact(node.value)
    if primitive.name == "constant":
        return exact(node.params["value"])
    args = [environment[arg] if isinstance(arg, Node) else exact(arg) for arg in node.args]
    if primitive is SCAN:
        return _turned(node, args, until)
    try:
        found = _found(node, args)
    except (AttributeError, TypeError, KeyError) as error:
        said = primitive.without_sympy or str(error)
        raise MissingRuleError(f"{primitive.name} has no form in many digits for {describe(node)}: {said}") from error
    if node.dtype.kind not in "fc":  # what is no float is an integer or a truth value, by which arrays can be indexed
        return np.asarray(found).astype(node.dtype).reshape(node.shape)
    result = np.empty(node.shape, object)
    result[...] = found
    mp = _names().mp
    for where, entry in np.ndenumerate(result):
        if type(entry) in (float, complex):
            raise MissingRuleError(f"{primitive.name} has no form in many digits for {describe(node)}: it computes in double precision")
        if node.dtype.kind == "f" and isinstance(entry, mp.mpc):
            result[where] = mp.nan
    return result


def _found(node: Node, args: list[Objects]) -> Any:
    primitive: Any = node.primitive
    form = primitive.sympy
    if "dtype" in node.params:  # a change of dtype: between floats none, for the digits stay
        return args[0] if node.dtype.kind in "fc" else args[0] != 0 if node.dtype.kind == "b" else _truncated(args[0])
    if form is None:
        matrices = _MATRICES.get(primitive.name) if all(arg.size for arg in args) else None
        return primitive.evaluate(*args, **node.params) if matrices is None else _by_matrices(matrices, args, node.shape)
    if primitive.name == "where":
        return np.where(args[0].astype(bool), *args[1:])
    if "axis" in primitive.fields:
        axes = normalized_axes(node.params["axis"], args[0].ndim)
        count = math.prod(args[0].shape[axis] for axis in axes)
        rows: Iterable[Any] = np.moveaxis(args[0], axes, range(-len(axes), 0)).reshape(node.size, count)
    else:
        fast = _DIRECT.get(primitive.name)
        if fast is not None:
            return fast(*args)
        columns = [np.ravel(arg) for arg in np.broadcast_arrays(*[np.asarray(arg, object) for arg in args])]
        rows = zip(*columns, strict=True)
    return _listed([_entry(form, row) for row in rows], node.shape)


def _entry(form: Callable[..., Any], row: Any) -> Any:
    try:
        return form(_names(), *row)
    except (ValueError, ArithmeticError):  # a pole, or outside the domain
        return _names().mp.nan


# Arithmetic that NumPy does on arrays of objects by itself.
_DIRECT: dict[str, Callable[..., Any]] = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "negative": np.negative}

# What has no form in symbols, but an algorithm.
_MATRICES: dict[str, Callable[..., Any]] = {
    "inv": lambda mp, a: mp.inverse(a), "solve": lambda mp, a, b: mp.inverse(a) * b, "det": lambda mp, a: mp.det(a),
}  # fmt: skip


def _by_matrices(compute: Callable[..., Any], args: list[Objects], shape: tuple[int, ...]) -> Objects:
    """Matrices by mpmath, one after the other where there are stacks of them."""
    mp = _names().mp
    stack = np.broadcast_shapes(*(arg.shape[:-2] for arg in args))
    full = [np.broadcast_to(arg, (*stack, *arg.shape[-2:])) for arg in args]
    found: list[Any] = []
    for place in np.ndindex(stack):
        size = math.prod(shape[len(stack) :])
        try:
            result = compute(mp, *(mp.matrix(arg[place].tolist()) for arg in full))
        except (ValueError, ArithmeticError):  # singular
            found += [mp.nan] * size
        else:
            found += list(result) if isinstance(result, mp.matrix) else [result]
    return _listed(found, shape)


def _truncated(x: Objects) -> Any:
    return _listed([int(entry) for entry in np.ravel(x)], x.shape)


def _turned(loop: Node, args: list[Objects], until: float) -> Objects:
    """The flat vector of a loop's results, turn by turn."""
    body, carries, sequences = loop.params["body"], loop.params["carries"], loop.params["sequences"]
    state, rows, constants = args[:carries], args[carries : carries + sequences], args[carries + sequences :]
    columns: dict[int, list[Objects]] = {}
    for turn in turns(loop.params["length"], loop.params["reverse"]):
        here = [*state, *(row[turn] if row.ndim > 1 else np.asarray(row[turn], object) for row in rows), *constants]
        results = evaluated(body, here, until)
        state, columns[turn] = results[:carries], results[carries:]
    stacked = [columns[turn][place] for place in range(len(body.outputs) - carries) for turn in range(loop.params["length"])]
    return _listed([entry for result in (*state, *stacked) for entry in np.ravel(result)], loop.shape)


# ------------------------------------------------------------------------------------------ derivatives


def column(graph: Graph, values: Sequence[Any], place: int, entry: int) -> list[Objects]:
    """The derivatives of all outputs by one entry of input `place`, as `slopes`."""
    direction = np.zeros(np.size(values[place]))
    direction[entry] = 1.0
    return slopes(graph, values, {place: direction})


def slopes(graph: Graph, values: Sequence[Any], directions: dict[int, Any]) -> list[Objects]:
    """The derivatives of all outputs along directions of inputs, by place, good to 50 digits: a central difference in 180.

    The step is 10**-50 of the largest entry that moves, so that the truncation error, which goes with its square, is far
    below the digits kept, and so is the rounding of 180 digits over the step. No rule of a derivative is used. Where the
    differences to both sides are not the same, at a kink or a jump, there is no derivative, and the entry is None. Raises
    `ValueError` where an output is outside its domain at the point or beside it, and as `evaluated`.
    """
    mp = _names().mp
    with mp.workdps(_WORKING):
        start = [exact(value) for value in values]
        moving = {place: exact(np.reshape(np.asarray(x_dot, float), start[place].shape)) for place, x_dot in directions.items()}
        sizes = [abs(x) for place, x_dot in moving.items() for x, moves in zip(start[place].flat, x_dot.flat, strict=True) if moves]
        h = mp.mpf(10) ** -DIGITS * max(1, *sizes)
        runs = []
        for sign in (-1, 0, 1):
            moved = [x + sign * h * moving[place] if place in moving else x for place, x in enumerate(start)]
            runs.append(evaluated(graph, [np.asarray(x, object) if place in moving else x for place, x in enumerate(moved)]))
        for node, *sides in zip(graph.outputs, *runs, strict=True):
            if any(not mp.isfinite(entry) for side in sides for entry in np.ravel(side)):
                raise ValueError(f"outside the domain at {describe(node)}")
        return [
            _listed([_slope(*sides, h) for sides in zip(below.ravel(), here.ravel(), above.ravel(), strict=True)], here.shape)
            for below, here, above in zip(*runs, strict=True)
        ]


def _slope(below: Any, here: Any, above: Any, h: Any) -> Any:
    left, right = (here - below) / h, (above - here) / h
    size = max(abs(left), abs(right))
    smooth = abs(right - left) <= _SMOOTH * max(size, 1) and size * _SMOOTH <= max(abs(here), 1)
    return (above - below) / (2 * h) if smooth else None


_SMOOTH = 1e-20  # a smooth function's one-sided differences are as near as the step; a jump over the step is steeper than any slope


# ----------------------------------------------------------------------------------------------- errors


def largest_error(found: Objects, exact: Objects) -> tuple[float, float]:
    """The largest |found - exact| over the entries, and the largest |exact|, subtracted before they are rounded.

    What is below the 50 digits of `exact` is no error; where that is None there is nothing to compare with.
    """
    mp = _names().mp
    with mp.workdps(_WORKING):
        pairs = [pair for pair in zip(np.ravel(found).tolist(), np.ravel(exact), strict=True) if pair[1] is not None]
        floor = max((abs(truth) for _, truth in pairs), default=0) * mp.mpf(10) ** -DIGITS
        found_errors = (abs(mp.mpf(number) - truth) for number, truth in pairs)
        errors = [0.0 if error <= floor else float(error) for error in found_errors]
        sizes = [float(abs(truth)) for _, truth in pairs]
    return math.nan if any(map(math.isnan, errors)) else max(errors, default=0.0), max(sizes, default=0.0)


def relative_error(value: Any, truth: Objects) -> np.ndarray[Any, Any]:
    """|value - truth| / |truth| of each entry; NaN where the truth is no finite real number, inf where a float fails.

    >>> relative_error([0.5, 0.1], exact([0.5, 0.25])).tolist()
    [0.0, 0.6]
    """
    floats = np.ravel(np.asarray(value))
    # Between numbers of the finest grid there is nothing to choose.
    smallest = float(np.finfo(floats.dtype).smallest_subnormal) if floats.dtype.kind == "f" else 0.0
    mp = _names().mp

    def error(number: Any, true: Any) -> float:
        if isinstance(true, mp.mpc) or not mp.isfinite(true):
            return math.nan
        if isinstance(number, complex) or not math.isfinite(number):
            return math.inf
        off = abs(mp.mpf(number) - true)
        return 0.0 if off < smallest or not off else math.inf if not true else float(off / abs(true))

    with mp.workdps(2 * DIGITS):
        return np.array([error(number, true) for number, true in zip(floats.tolist(), np.ravel(truth), strict=True)])


def distance(one: Objects, other: Objects) -> float:
    """The largest relative difference of two arrays in 50 digits; NaN where one is no finite number."""
    mp = _names().mp
    with mp.workdps(DIGITS):
        pairs = list(zip(np.ravel(one), np.ravel(other), strict=True))
        if not all(mp.isfinite(entry) for pair in pairs for entry in pair):
            return math.nan
        return max((float(abs(a - b) / abs(a) if a else abs(b)) for a, b in pairs), default=0.0)


def short(number: Any) -> str:
    """A number of many digits with twelve of them."""
    return str(_names().mp.nstr(number, 12))

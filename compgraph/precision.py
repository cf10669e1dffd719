"""Graphs evaluated in numbers of many digits, by mpmath: what derivatives are compared with.

Nothing here states a function anew. A primitive that works entry by entry says its form in SymPy's names, and mpmath has
functions of those names; operations that move, add and multiply run by the code they have, on arrays of objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from compgraph.errors import MissingRuleError
from compgraph.graph import Graph, Node, describe
from compgraph.loop import SCAN, turns
from compgraph.primitives.kinds import normalized_axes

Objects = np.ndarray[Any, Any]

DIGITS = 50  # that a reference is good to
_WORKING = 3 * DIGITS + 30  # a difference over a step of 10**-DIGITS leaves the derivative twice that many, or as many as wanted


class _Names:
    """mpmath under the names of SymPy's functions, as the forms in the table use them."""

    def __init__(self) -> None:
        self.mp: Any = import_module("mpmath").mp
        mp = self.mp
        self.named: dict[str, Any] = {
            "Abs": abs, "Add": lambda *xs: mp.fsum(xs), "Max": lambda *xs: max(xs), "Min": lambda *xs: min(xs),
            "Integer": mp.mpf, "pi": mp.pi,
            "Rational": lambda p, q=1: mp.mpf(p) / q, "sign": mp.sign, "ceiling": mp.ceil, "Mod": lambda a, b: a % b,
            "Lt": lambda a, b: a < b, "Le": lambda a, b: a <= b, "Gt": lambda a, b: a > b, "Ge": lambda a, b: a >= b,
            "Eq": lambda a, b: a == b, "Ne": lambda a, b: a != b, "Not": lambda a: not a, "And": lambda a, b: a and b,
            "Or": lambda a, b: a or b, "Xor": lambda a, b: bool(a) != bool(b), "true": True, "false": False,
            "Piecewise": lambda *cases: next((value for value, holds in cases if holds), mp.nan),
            "Heaviside": lambda x, at_zero: mp.mpf(x > 0) if x != 0 else at_zero, "polygamma": mp.psi,
        }  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        return self.named[name] if name in self.named else getattr(self.mp, name)


@cache
def _names() -> _Names:
    return _Names()


def evaluated(graph: Graph, values: Sequence[Objects]) -> list[Objects]:
    """The outputs for inputs that are arrays of mpmath numbers, or of integers and truth values as they are.

    Raises `MissingRuleError`, which names the node, for an operation that has no such form, and `ValueError` or
    `ZeroDivisionError` outside a function's domain.
    """
    environment: dict[Node, Objects] = dict(zip(graph.inputs, values, strict=True))
    for node in graph.nodes:
        if node not in environment:
            environment[node] = _applied(node, [environment[arg] if isinstance(arg, Node) else exact(arg) for arg in node.args])
    return [environment[node] for node in graph.outputs]


def exact(value: Any) -> Objects:
    """Floats as mpmath numbers of the same value; integers and truth values as they are."""
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return array
    return _listed([_names().mp.mpf(number) for number in array.ravel().tolist()], array.shape)


def _listed(results: Sequence[Any], shape: tuple[int, ...]) -> Objects:
    array = np.empty(len(results), object)
    array[:] = results
    return array.reshape(shape)


def _applied(node: Node, args: list[Objects]) -> Objects:
    primitive = node.primitive
    if primitive is None:
        return exact(node.value)
    if primitive is SCAN:
        return _turned(node, args)
    if primitive.name == "constant":
        return exact(node.params["value"])
    if node.dtype.kind == "c":
        raise MissingRuleError(f"{primitive.name} has no form in many digits for {describe(node)}: it is complex")
    try:
        found = _found(node, args)
    except (AttributeError, TypeError, KeyError) as error:
        raise MissingRuleError(f"{primitive.name} has no form in many digits for {describe(node)}: {error}") from error
    if node.dtype.kind != "f":  # what is no float is an integer or a truth value, by which arrays can be indexed
        return np.asarray(found).astype(node.dtype).reshape(node.shape)
    result = np.empty(node.shape, object)
    result[...] = found
    if any(isinstance(entry, _names().mp.mpc) for entry in result.flat):
        raise ValueError(f"outside the domain at {describe(node)}")
    if any(isinstance(entry, float) for entry in result.flat):
        raise MissingRuleError(f"{primitive.name} has no form in many digits for {describe(node)}: it computes in double precision")
    return result


def _found(node: Node, args: list[Objects]) -> Any:
    primitive: Any = node.primitive
    form = primitive.sympy
    if "dtype" in node.params:  # a change of dtype: between floats none, for the digits stay
        return args[0] if node.dtype.kind == "f" else args[0] != 0 if node.dtype.kind == "b" else _truncated(args[0])
    if form is None:
        return primitive.evaluate(*args, **node.params)
    if primitive.name == "where":
        return np.where(args[0].astype(bool), *args[1:])
    if "axis" in primitive.fields:
        axes = normalized_axes(node.params["axis"], args[0].ndim)
        count = math.prod(args[0].shape[axis] for axis in axes)
        rows = np.moveaxis(args[0], axes, range(-len(axes), 0)).reshape(-1, count) if node.size else args[0].reshape(0, 1)
        return _listed([form(_names(), *row) for row in rows], node.shape)
    fast = _DIRECT.get(primitive.name)
    if fast is not None:
        return fast(*args)
    columns = [np.ravel(arg) for arg in np.broadcast_arrays(*[np.asarray(arg, object) for arg in args])]
    return _listed([form(_names(), *row) for row in zip(*columns, strict=True)], node.shape)


# Arithmetic that NumPy does on arrays of objects by itself.
_DIRECT: dict[str, Callable[..., Any]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "negative": np.negative,
    "remainder": np.remainder,
}  # fmt: skip


def _truncated(x: Objects) -> Any:
    return _listed([int(entry) for entry in np.ravel(x)], x.shape)


def _turned(loop: Node, args: list[Objects]) -> Objects:
    """The flat vector of a loop's results, turn by turn."""
    body, carries, sequences = loop.params["body"], loop.params["carries"], loop.params["sequences"]
    state, rows, constants = args[:carries], args[carries : carries + sequences], args[carries + sequences :]
    columns: dict[int, list[Objects]] = {}
    for turn in turns(loop.params["length"], loop.params["reverse"]):
        results = evaluated(body, [*state, *(row[turn] if row.ndim > 1 else np.asarray(row[turn], object) for row in rows), *constants])
        state, columns[turn] = results[:carries], results[carries:]
    stacked = [columns[turn][place] for place in range(len(body.outputs) - carries) for turn in range(loop.params["length"])]
    return _listed([entry for result in (*state, *stacked) for entry in np.ravel(result)], loop.shape)


def column(graph: Graph, values: Sequence[Any], place: int, entry: int) -> list[Objects]:
    """The derivatives of all outputs by one entry of input `place`, good to 50 digits: a central difference in 180.

    The step is 10**-50 of the entry's size, so that the truncation error of its square is far below the digits kept, and so is the
    The step is 10**-50 of the entry's size, so that the truncation error of its square is far below the digits kept, and so is the
    rounding of 180 digits over the step. No rule of a derivative is used. Where the differences to both sides are not the
    same, at a kink or a jump, there is no derivative, and the entry is None.
    """
    mp = _names().mp
    with mp.workdps(_WORKING):
        start = [exact(value) for value in values]
        h = mp.mpf(10) ** -DIGITS * max(1, abs(start[place].flat[entry]))
        runs = []
        for sign in (-1, 0, 1):
            moved = start[place].copy()
            moved.flat[entry] += sign * h
            runs.append(evaluated(graph, [*start[:place], moved, *start[place + 1 :]]))
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


def largest_error(found: Objects, exact: Objects) -> tuple[float, float]:
    """The largest |found - exact| over the entries, and the largest |exact|, subtracted before they are rounded.

    What is below the 50 digits of `exact` is no error; where that is None there is nothing to compare with.
    """
    mp = _names().mp
    with mp.workdps(_WORKING):
        pairs = [pair for pair in zip(np.ravel(found).tolist(), np.ravel(exact), strict=True) if pair[1] is not None]
        floor = max((abs(truth) for _, truth in pairs), default=0) * mp.mpf(10) ** -DIGITS
        errors = [float(0 if abs(mp.mpf(number) - truth) <= floor else abs(mp.mpf(number) - truth)) for number, truth in pairs]
        sizes = [float(abs(truth)) for _, truth in pairs]
    return math.nan if any(map(math.isnan, errors)) else max(errors, default=0.0), max(sizes, default=0.0)

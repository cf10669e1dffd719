"""Loops that are one node of the graph, whatever the number of their turns: `scan` and `fori`.

On numbers a loop is an ordinary Python loop, which records its lines as any other. While a function is traced its body is
traced once, and the loop is one node of the primitive `scan` (`loop.py`): so is its derivative in either mode, and the
printed program has a `for`. What the body reads from outside becomes an argument of that node.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import chain, compress
from typing import Any, NamedTuple

import numpy as np

from compgraph import loop_derivatives as _loop_derivatives  # the rules of the primitive
from compgraph.containers import Rebuild, flatten, leaves_like
from compgraph.errors import DtypeError, InputError, ShapeError
from compgraph.graph import Graph, Node, ancestors, constant, is_operand, placeholder
from compgraph.loop import closed, loop, turns
from compgraph.modes import current_mode, mode_with
from compgraph.operands import as_operand, named
from compgraph.origins import describe_origin, here, source_line
from compgraph.programs import is_name

del _loop_derivatives


def scan(body: Callable[[Any, Any], Any], init: Any, xs: Any = None, length: int | None = None, reverse: bool = False) -> tuple[Any, Any]:
    """Carry a state through `xs` by `body(carry, x) -> (carry, y)`: the last carry, and the ys of all turns stacked.

    >>> import numpy as np, compgraph as cg
    >>> def step(balance, payment):
    ...     balance = 1.1 * balance + payment
    ...     return balance, balance
    >>> cg.scan(step, 0.0, np.array([1.0, 2.0, 3.0]))
    (np.float64(6.41), array([1.  , 3.1 , 6.41]))
    >>> graph = cg.trace(lambda payments: cg.scan(step, 0.0, payments)[0], np.zeros(1000))
    >>> len(graph.nodes)
    3

    Carries, xs and ys are arrays or nested containers of them; `xs` is cut along the first axis of each of its arrays, from
    the end with `reverse`, and without `xs` the body gets None, `length` times. y may be None. A carry keeps its structure,
    shapes and dtypes; a Python number as a first carry takes the dtype that the body gives it.

    Traced, the body is run once on abstract values: it cannot branch on them, and no effect of it is repeated. What it
    reads from outside, nodes too, stays the same in every turn and has a derivative. 64-bit integers beside floats are kept
    exactly up to 2**53, see `loop.flat_dtype`. Raises `ShapeError` or `DtypeError` for a carry that changes and `InputError`
    for xs of different lengths.
    """
    carries, carry_paths, rebuild_carry = _leaves(init, "init", weak=True)
    rows, row_paths, rebuild_row = _leaves(xs, "xs")
    count = _length(rows, row_paths, length)
    step = _Step(body, "scan", ("carry", "x"), lambda carry, x: body(carry, x), init, carry_paths, rebuild_carry, rebuild_row)
    return _looped(step, carries, rows, rows, count, reverse)


def fori(lower: int, upper: int, body: Callable[[Any, Any], Any], init: Any) -> Any:
    """Carry a state through `body(i, carry) -> carry` for i from `lower` to `upper - 1`.

    >>> import numpy as np, compgraph as cg
    >>> cg.fori(1, 5, lambda i, product: product * i, 1.0)
    np.float64(24.0)

    The body may read arrays at `i`, as in `weights[i]`. In a trace `i` is a node. All else is as for `scan`.
    """
    bounds: dict[str, Any] = {"lower": lower, "upper": upper}
    for what, bound in bounds.items():
        if type(bound) is bool or not isinstance(bound, (int, np.integer)):
            shown = "a node: its value is not known while the loop is recorded" if isinstance(bound, Node) else f"{bound!r:.40}"
            raise InputError(f"fori: {what} is an integer, not {shown}{here()}")
    carries, carry_paths, rebuild_carry = _leaves(init, "init", weak=True)
    numbers = range(int(lower), int(upper))
    rows = np.arange(numbers.start, numbers.stop)

    def turn(carry: Any, i: Any) -> Any:
        return body(i, carry), None

    step = _Step(body, "fori", ("i", "carry"), turn, init, carry_paths, rebuild_carry, lambda leaves: leaves[0])
    return _looped(step, carries, [rows], [numbers], len(numbers), False)[0]


# ----------------------------------------------------------------------------------------- arguments


def _leaves(tree: Any, path: str, *, weak: bool = False) -> tuple[list[Any], list[str], Rebuild]:
    """The leaves of carries or sequences: nodes, arrays, and Python numbers where they may stay `weak`; None has no leaves."""
    if tree is None:
        return [], [], lambda leaves: None
    leaves, paths, rebuild = flatten(tree, path)
    operands = [leaf if isinstance(leaf, Node) else named(as_operand, leaf, label) for leaf, label in zip(leaves, paths, strict=True)]
    return [one if weak or isinstance(one, Node) else np.asarray(one) for one in operands], paths, rebuild


def _length(rows: Sequence[Any], paths: Sequence[str], length: Any) -> int:
    if length is not None and (not isinstance(length, (int, np.integer)) or isinstance(length, bool) or length < 0):
        raise InputError(f"scan: length is an integer from 0 on, not {length!r:.40}{here()}")
    for row, path in zip(rows, paths, strict=True):
        if not row.shape:
            advice = "a list is a container of its entries: write np.array(...)" if "[" in path else "each array of xs needs a first axis"
            raise ShapeError(f"scan: {path} is a number and cannot be cut into turns; {advice}{here()}")
        if row.shape[0] != rows[0].shape[0]:
            lengths = f"{paths[0]} has length {rows[0].shape[0]}, {path} has {row.shape[0]}"
            raise ShapeError(f"scan: {lengths}: all xs are cut into the same number of turns{here()}")
    if not rows and length is None:
        raise InputError(f"scan: without xs say the number of turns, as in length=100{here()}")
    if rows and length is not None and rows[0].shape[0] != length:
        raise ShapeError(f"scan: length={length}, but {paths[0]} has length {rows[0].shape[0]}: leave length out{here()}")
    return int(length) if length is not None else int(rows[0].shape[0])


# ----------------------------------------------------------------------------------------- one turn


class _Step(NamedTuple):
    """The user's body on leaves instead of containers."""

    function: Callable[..., Any]
    loop: str  # "scan" or "fori", for errors
    parameters: tuple[str, str]
    turn: Callable[[Any, Any], Any]
    init: Any
    paths: list[str]
    rebuild_carry: Rebuild
    rebuild_row: Rebuild

    @property
    def name(self) -> str:
        name = getattr(self.function, "__name__", "body")
        return name if is_name(name) else "body"

    def __call__(self, carries: Sequence[Any], row: Sequence[Any]) -> tuple[list[Any], list[Any], Rebuild]:
        """The leaves of the next carry and of y, and what puts a y together."""
        result = self.turn(self.rebuild_carry(list(carries)), self.rebuild_row(list(row)))
        if not isinstance(result, tuple) or len(result) != 2:
            found = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
            raise InputError(f"scan: {self.name} has to return a pair (carry, y), where y may be None; it returned {found}{self.place()}")
        carry, y = result
        if self.init is None:
            following = [] if carry is None else [carry]
        else:
            what = f"{self.loop}: the carry keeps its structure: {self.name}{self.place()}: "
            following = leaves_like(self.init, carry, "carry", what)[0]
        if len(following) != len(self.paths):
            raise InputError(f"{self.loop}: the carry starts as None, {self.name} made {type(carry).__name__} of it{self.place()}")
        ys, _, rebuild = _leaves(y, "y")
        return [self.operand(leaf, path) for leaf, path in zip(following, self.paths, strict=True)], ys, rebuild

    def operand(self, leaf: Any, path: str) -> Any:
        if isinstance(leaf, Node):
            return leaf
        if not is_operand(leaf) or isinstance(leaf, list):
            found = f"{self.name} returned {type(leaf).__name__} as {self.carried(path)}, which is no array"
            raise DtypeError(f"{self.loop}: {found}{self.place()}")
        return np.asarray(as_operand(leaf))[()]

    def carried(self, path: str) -> str:
        return "carry" + path.removeprefix("init")

    def place(self, leaf: Any = None) -> str:
        """` (train.py:12: ...)`: the line that made `leaf`, or the one that defines the body."""
        if isinstance(leaf, Node) and leaf.primitive is not None:
            place, line = describe_origin(leaf.origin), source_line(leaf.origin)
        else:
            code = getattr(self.function, "__code__", None)
            place, line = (describe_origin((code, 0)) if code else "", "")
        return f" ({place}{f': `{line}`' if line else ''})" if place else here()

    def check(self, before: Sequence[Any], after: Sequence[Any]) -> None:
        """Raise unless every carry has kept its shape and dtype; weak Python numbers may take a dtype."""
        for old, new, path in zip(before, after, self.paths, strict=True):
            start = old if hasattr(old, "dtype") else np.asarray(old)
            if new.shape != start.shape or (new.dtype != start.dtype and not takes_dtype(old, new.dtype)):
                kind = ShapeError if new.shape != start.shape else DtypeError
                advice = (
                    "reduce or broadcast it in the body" if kind is ShapeError
                    else f"start with one of {new.dtype}, or end with .astype(np.{start.dtype})"
                )  # fmt: skip
                raise kind(
                    f"{self.loop}: {self.name} makes {self.carried(path)}, of shape {start.shape} and {start.dtype}, into one of shape "
                    f"{new.shape} and {new.dtype}{self.place(new)}. A carry stays what it is: {advice}"
                )


# What stands for a Python number in a first trace: the dtype of its kind that any other one beside it prevails over.
_WEAK = {
    bool: np.dtype(np.bool_), int: np.dtype(np.int8), float: np.dtype(np.float16), complex: np.dtype(np.complex64)
}  # fmt: skip


def takes_dtype(start: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a Python number can stand for one of this dtype, as it does beside arrays.

    >>> takes_dtype(0, np.dtype(np.float32)), takes_dtype(0.5, np.dtype(np.int64)), takes_dtype(np.int64(0), np.dtype(np.float32))
    (True, False, False)
    """
    return not hasattr(start, "dtype") and np.result_type(dtype, start) == dtype


# ------------------------------------------------------------------------------------------ the loop


def _looped(step: _Step, carries: list[Any], rows: list[Any], eager_rows: list[Any], length: int, reverse: bool) -> tuple[Any, Any]:
    mode = current_mode()
    if mode.traced or any(isinstance(leaf, Node) and leaf.value is None for leaf in (*carries, *rows)):
        return _recorded(step, carries, rows, length, reverse)
    return _unrolled(step, carries, rows, eager_rows, length, reverse)


def _unrolled(step: _Step, carries: list[Any], rows: list[Any], eager_rows: list[Any], length: int, reverse: bool) -> tuple[Any, Any]:
    """The loop as Python runs it."""
    if not length:
        traced = _traced(step, carries, rows)
        stacked = [np.zeros((0, *node.shape), node.dtype) for node in traced.body.outputs[len(carries) :]]
        return step.rebuild_carry([_started(leaf, leaf) for leaf in carries]), traced.rebuild_y(stacked)
    columns: list[list[Any]] = []
    for turn in turns(length, reverse):
        row = [row[turn] for row in eager_rows]
        following, ys, rebuild_y = step(carries, row)
        step.check(carries, following)
        started = [_started(start, new) for start, new in zip(carries, following, strict=True)]
        if not columns and any(one.dtype != np.asarray(old).dtype for one, old in zip(started, carries, strict=True) if one is not old):
            carries = started
            following, ys, rebuild_y = step(carries, row)  # the ys have the dtype of the carries now
            step.check(carries, following)
        carries = following
        columns.append(ys)
    if reverse:
        columns.reverse()
    return step.rebuild_carry(carries), rebuild_y([np.stack(column) for column in zip(*columns, strict=True)])


def _recorded(step: _Step, carries: list[Any], rows: list[Any], length: int, reverse: bool) -> tuple[Any, Any]:
    """The loop as one node."""
    traced = _traced(step, carries, rows)
    started = [_started(leaf, node) for leaf, node in zip(carries, traced.body.inputs, strict=False)]
    if not traced.body.outputs:
        return step.rebuild_carry([]), traced.rebuild_y([])
    results = loop(traced.body, started, list(compress(rows, traced.read)), traced.constants, length=length, reverse=reverse)
    return step.rebuild_carry(results[: len(carries)]), traced.rebuild_y(results[len(carries) :])


def _started(leaf: Any, like: Any) -> Any:
    """A first carry, which takes the dtype that the body gives it where it is a Python number."""
    return leaf if hasattr(leaf, "dtype") else np.asarray(leaf, getattr(like, "dtype", None))[()]


class _Traced(NamedTuple):
    body: Graph
    read: list[bool]  # which of the sequences the body reads
    constants: list[Node]  # what it reads from outside
    rebuild_y: Rebuild


def _traced(step: _Step, carries: Sequence[Any], rows: Sequence[Any]) -> _Traced:
    """The body as a graph, traced once, or again where a Python number has turned out to be of another dtype."""
    if all(hasattr(leaf, "dtype") for leaf in carries):
        return _traced_from(step, carries, rows, [leaf.dtype for leaf in carries])
    try:
        return _traced_from(step, carries, rows, [leaf.dtype if hasattr(leaf, "dtype") else _WEAK[type(leaf)] for leaf in carries])
    except Exception:  # such as an integer too large for the small dtype that stands for any; all others appear again
        return _traced_from(step, carries, rows, [np.asarray(leaf).dtype if not isinstance(leaf, Node) else leaf.dtype for leaf in carries])


def _traced_from(step: _Step, carries: Sequence[Any], rows: Sequence[Any], dtypes: list[np.dtype[Any]]) -> _Traced:
    names = _names(step)
    first, second = (names[0], names[1]) if step.loop == "scan" else (names[1], names[0])
    while True:
        start = placeholder((), np.float64).id
        labels = [first + path.removeprefix("init") for path in step.paths]
        inputs = [placeholder(np.shape(leaf), dtype, label) for leaf, dtype, label in zip(carries, dtypes, labels, strict=True)]
        labels = flatten(step.rebuild_row(list(range(len(rows)))), second)[1] if rows else []
        slices = [placeholder(row.shape[1:], row.dtype, label) for row, label in zip(rows, labels, strict=True)]
        constants = current_mode().constants
        with mode_with(traced=step.name, constants={} if constants is None else constants):
            following, ys, rebuild_y = step(inputs, slices)
            outputs = [leaf if isinstance(leaf, Node) else constant(leaf) for leaf in chain(following, ys)]
        found = outputs[: len(carries)]
        step.check([leaf if not hasattr(leaf, "dtype") else node for leaf, node in zip(carries, inputs, strict=True)], found)
        following_dtypes = [_settled(leaf, node.dtype) for leaf, node in zip(carries, found, strict=True)]
        if following_dtypes == dtypes:
            arguments = {arg for node in ancestors(outputs, since=start) for arg in node.args if isinstance(arg, Node)}.union(outputs)
            read = [node in arguments for node in slices]
            body, outside = closed([*inputs, *compress(slices, read)], outputs, step.name, {}, start)
            return _Traced(body, read, outside, rebuild_y)
        dtypes = following_dtypes


def _settled(leaf: Any, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of a carry after a trace; one that has stayed weak is that of the Python number."""
    return np.result_type(np.asarray(leaf).dtype, dtype) if not hasattr(leaf, "dtype") and dtype in _WEAK.values() else dtype


def _names(step: _Step) -> tuple[str, str]:
    try:
        names = [name for name in inspect.signature(step.function).parameters if is_name(name)]
    except (TypeError, ValueError):
        names = []
    return (names[0], names[1]) if len(names) == 2 else step.parameters

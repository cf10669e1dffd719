"""Recompute instead of store: functions whose inner nodes are forgotten, and chains of steps with binomial schedules.

A checkpointed call is one node. Its value is all that is kept; when a sweep passes, the function is run again, swept, and
forgotten again. Nothing about its derivative is stated here: the sweeps of the run are those of the table.

While a function is traced there are no values to keep: the call is recorded with all its lines, so that the graph reads
and compiles as if it had not been checkpointed; what the compiled program stores is the compiler's to decide. The same
holds inside a derivative of a derivative, which is a graph and keeps what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from math import comb
from typing import Any

import numpy as np

from compgraph import forward_mode, reverse_mode
from compgraph.containers import Rebuild, flatten
from compgraph.draws import Draws, refused
from compgraph.errors import GraphError, InputError, ShapeError
from compgraph.forward_mode import value_of
from compgraph.graph import PRIMITIVES, Aval, Node, Primitive, active_nodes, ancestors, bind, describe, placeholder
from compgraph.modes import current_mode, mode_with
from compgraph.operands import as_operand
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import zeros_like
from compgraph.tracing import output_nodes


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, of which the values inside are not kept for the reverse sweep but computed again when it passes.

    >>> import numpy as np, compgraph as cg
    >>> def block(x):
    ...     return np.sin(np.exp(x)) * x
    >>> cg.grad(lambda x: cg.checkpoint(block)(x) ** 2)(1.0) == cg.grad(lambda x: block(x) ** 2)(1.0)
    np.True_

    Costs one more run of the function a sweep; saves all that it made but its results. Arguments and results may be
    containers; nodes that the function closes over get their derivatives too. It has to give the same again: no effects, and
    no random numbers but those of `compgraph.nn`, as of dropout, which are drawn again from where they began. In a trace the
    call is recorded as it is, see the module's text.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, _, rebuild = flatten((args, kwargs))
        if _records_all(leaves):
            return function(*args, **kwargs)

        def run(packed: Any) -> Any:
            positional, named = packed
            return function(*positional, **named)

        run.__name__ = getattr(function, "__name__", "the function")
        segment = _Call(run, leaves, rebuild)
        return segment.result(leaves)

    return call


def checkpoint_chain(step: Callable[[Any], Any], state: Any, length: int, snapshots: int) -> Any:
    """`step(step(... step(state)))`, `length` times, holding at most `snapshots` states for the reverse sweep.

    >>> import numpy as np, compgraph as cg
    >>> decay = lambda state: state - 0.1 * np.sin(state)
    >>> slope = cg.grad(lambda x: cg.checkpoint_chain(decay, x, 1000, 10))(1.0)
    >>> slope == cg.grad(lambda x: cg.checkpoint_chain(decay, x, 1000, 1000))(1.0)
    np.True_

    Between the sweeps `snapshots` states are held, the first among them, and the current one; which, and what is run
    again from where, is the schedule of Griewank & Walther, Algorithm 799: revolve (2000), the one with the fewest
    steps: `revolve_cost(length, snapshots)`, of which the first `length - 1` are the run itself. `step` keeps the
    structure, shapes and dtypes of `state`, and may close over nodes, which get their derivatives. A second pullback
    starts from the first state again.
    """
    if type(length) is not int or length < 0:
        raise InputError(f"checkpoint_chain: the length is an integer from 0 on, not {length!r:.40}{here()}")
    if type(snapshots) is not int or snapshots < 1:
        raise InputError(f"checkpoint_chain: snapshots is an integer from 1 on, not {snapshots!r:.40}{here()}")
    leaves, _, rebuild = flatten(state)
    if not length:
        return state
    if _records_all(leaves):
        for _ in range(length):
            state = step(state)
        return state
    return _Chain(step, leaves, rebuild, length, snapshots).result(leaves)


def _records_all(leaves: Sequence[Any]) -> bool:
    """Whether there is nothing to forget: values are not known yet, or nothing is recorded."""
    mode = current_mode()
    return bool(mode.traced) or not mode.recording or any(isinstance(leaf, Node) and leaf.value is None for leaf in leaves)


# ---------------------------------------------------------------------------------------- schedules


def revolve(length: int, snapshots: int) -> Iterator[tuple[str, int, int]]:
    """What to do to pass `length` steps backward with `snapshots` states: the schedule with the fewest steps forward.

    >>> [action for action in revolve(3, 2)]  # doctest: +NORMALIZE_WHITESPACE
    [('advance', 0, 1), ('store', 1, 1), ('advance', 1, 2), ('reverse', 2, 3), ('restore', 1, 1), ('reverse', 1, 2),
     ('free', 1, 1), ('restore', 0, 0), ('reverse', 0, 1), ('free', 0, 0)]

    State 0 is stored to begin with. `advance i j` runs steps i to j - 1 and keeps nothing on the way; `reverse i` runs
    step i with all it makes and pulls back through it; `store`, `restore` and `free` are about the state before a step.
    """
    stored, at, end = [0], 0, length
    while stored:
        begin, steps = stored[-1], end - stored[-1]
        if at != begin:
            yield "restore", begin, begin
        if steps > 1:
            free = snapshots - len(stored)
            ahead = _split(steps, free + 1) if free else steps - 1
            at = begin + ahead
            yield "advance", begin, at
            if free:
                stored.append(at)
                yield "store", at, at
                continue
        else:
            at = begin
        yield "reverse", at, at + 1
        end, at = at, -1
        if steps <= 1:
            yield "free", stored.pop(), begin


def _reach(snapshots: int, repeats: int) -> int:
    """How many steps can be reversed where none is run forward more than `repeats` times: a binomial coefficient."""
    return comb(snapshots + repeats, snapshots) if repeats >= 0 else 0


def _repeats(length: int, snapshots: int) -> int:
    repeats = 0
    while _reach(snapshots, repeats) < length:
        repeats += 1
    return repeats


def _split(length: int, snapshots: int) -> int:
    """How far to the next snapshot: both parts then keep within the binomial bounds that make the whole optimal."""
    repeats = _repeats(length, snapshots)
    return max(1, _reach(snapshots, repeats - 2), length - _reach(snapshots - 1, repeats))


def revolve_cost(length: int, snapshots: int) -> int:
    """How many steps `revolve` runs forward, besides the `length` that it reverses: r l - C(s + r, s + 1), the minimum.

    >>> revolve_cost(1000, 10), revolve_cost(10, 1), revolve_cost(10, 10)
    (3636, 45, 9)
    """
    repeats = _repeats(length, snapshots)
    return repeats * length - _reach(snapshots + 1, repeats - 1)


# ------------------------------------------------------------------------------------- one run again


class _Run:
    """One run of a function on fresh inputs, with its nodes, for as long as a sweep needs them."""

    def __init__(self, function: Callable[[Any], Any], leaves: Sequence[Any], rebuild: Rebuild) -> None:
        start = placeholder((), np.float64).id
        self.inputs = [_fresh(leaf) for leaf in leaves]
        result = function(rebuild(list(self.inputs)))
        self.outputs, self.rebuild = output_nodes(result, getattr(function, "__name__", "the function"))
        own = set(self.inputs)
        self.nodes = ancestors(self.outputs, since=start)
        self.inner = [node for node in self.nodes if node not in own]  # fresh inputs may be identities, which are not passed
        inside = own.union(self.nodes)
        read = [arg for node in self.nodes if node not in own for arg in node.args if isinstance(arg, Node)]
        outside = [node for node in (*read, *self.outputs) if node not in inside and node.primitive is not PRIMITIVES["constant"]]
        self.outside = list(dict.fromkeys(outside))
        self.active = active_nodes(self.nodes, [*self.inputs, *self.outside])

    def pull(self, bars: Sequence[Any], *, lift: bool) -> tuple[list[Any], dict[Node, Any]]:
        """The adjoints of the inputs, and of the nodes from outside."""
        adjoints: dict[Node, Any] = {}
        for node, bar in zip(self.outputs, bars, strict=True):
            if bar is not None and (node in self.active or node in self.outside):
                adjoints[node] = adjoints[node] + bar if node in adjoints else bar
        if lift:
            reverse_mode.build(self.inner, adjoints, self.active)
        else:
            reverse_mode.sweep(self.inner, adjoints, self.active, value_of)
        return [adjoints.get(node) for node in self.inputs], {node: adjoints[node] for node in self.outside if node in adjoints}

    def push(self, dots: Sequence[Any], outside: dict[Node, Any], *, lift: bool) -> list[Any]:
        """The tangents of the outputs."""
        tangents = {node: dot for node, dot in zip(self.inputs, dots, strict=True) if dot is not None}
        tangents.update({node: dot for node, dot in outside.items() if dot is not None})
        nodes = [node for node in self.nodes if node in self.active]
        if lift:
            forward_mode.build(nodes, tangents)
        else:
            forward_mode.sweep(nodes, tangents, value_of)
        return [tangents.get(node) for node in self.outputs]


def _fresh(leaf: Any) -> Node:
    if isinstance(leaf, Node):
        node: Node = bind("identity", leaf)
        return node
    return Node(None, (), {}, np.asarray(as_operand(leaf))[()])


class _Segment:
    """A checkpointed computation: what its node holds, and how the sweeps pass it."""

    outside: list[Node]
    shapes: list[tuple[tuple[int, ...], Any]]
    rebuild: Rebuild
    ready: Any = None

    def result(self, leaves: Sequence[Any]) -> Any:
        """The results as nodes, each read from the one node of this call; plain values where no node is involved."""
        if not self.outside and not any(isinstance(leaf, Node) for leaf in leaves):
            return self.rebuild(self.unpacked(self.ready))
        return self.rebuild(self.unpacked(bind(CHECKPOINT, *leaves, *self.outside, segment=self)))

    def packed(self, values: Sequence[Any]) -> Any:
        return values[0] if len(values) == 1 else np.concatenate([np.ravel(value) for value in values])

    def unpacked(self, value: Any) -> list[Any]:
        if len(self.shapes) == 1:
            return [value]
        stops = np.cumsum([int(np.prod(shape, dtype=int)) for shape, _ in self.shapes]).tolist()
        parts = zip([0, *stops], stops, self.shapes, strict=False)
        return [cast(np.reshape(value[start:stop], shape), dtype) for start, stop, (shape, dtype) in parts]

    def evaluate(self, xs: Sequence[Any]) -> Any:
        """The value: the one at hand when the call is made, one computed again when its graph is run again."""
        if self.ready is not None:
            value, self.ready = self.ready, None
            return value
        for node, x in zip(self.outside, xs[len(xs) - len(self.outside) :], strict=True):
            if x is not node.value and not np.array_equal(x, node.value):
                raise GraphError(f"a checkpointed call reads {describe(node)} from outside, which cannot have another value: trace it")
        return self.packed(self.again(xs[: len(xs) - len(self.outside)]))

    def again(self, xs: Sequence[Any]) -> list[Any]:
        raise NotImplementedError

    def pull(self, bars: Sequence[Any], xs: Sequence[Any], *, lift: bool) -> tuple[list[Any], dict[Node, Any]]:
        raise NotImplementedError

    def push(self, dots: Sequence[Any], xs: Sequence[Any], outside: dict[Node, Any], *, lift: bool) -> list[Any]:
        raise NotImplementedError


class _Call(_Segment):
    """One call of one function."""

    def __init__(self, function: Callable[[Any], Any], leaves: Sequence[Any], rebuild: Rebuild) -> None:
        self.function, self.rebuild_arguments = function, rebuild
        self.draws = Draws()
        with self.draws.first():
            run = _Run(function, [value_or_itself(leaf) for leaf in leaves], rebuild)
        self.outside, self.rebuild = run.outside, run.rebuild
        self.shapes = [(node.shape, node.dtype) for node in run.outputs]
        self.ready = self.packed([node.value for node in run.outputs])

    def run(self, xs: Sequence[Any]) -> _Run:
        with self.draws.again():
            return _Run(self.function, xs, self.rebuild_arguments)

    def again(self, xs: Sequence[Any]) -> list[Any]:
        return [node.value for node in self.run(xs).outputs]

    def pull(self, bars: Sequence[Any], xs: Sequence[Any], *, lift: bool) -> tuple[list[Any], dict[Node, Any]]:
        return self.run(xs).pull(bars, lift=lift)

    def push(self, dots: Sequence[Any], xs: Sequence[Any], outside: dict[Node, Any], *, lift: bool) -> list[Any]:
        return self.run(xs).push(dots, outside, lift=lift)


class _Chain(_Segment):
    """A chain of steps. `progress` is the schedule, the snapshots and the current state where the run has left them."""

    def __init__(self, step: Callable[[Any], Any], leaves: Sequence[Any], rebuild: Rebuild, length: int, snapshots: int) -> None:
        self.step, self.rebuild, self.length, self.snapshots = step, rebuild, length, snapshots
        self.outside = []
        self.first = [_state(value_or_itself(leaf)) for leaf in leaves]
        self.shapes = [(value.shape, value.dtype) for value in self.first]
        self.progress: tuple[Iterator[tuple[str, int, int]], dict[int, list[Any]], list[Any]] | None = None
        self.progress = self.descend(self.first)
        self.ready = self.packed(self.advanced(self.progress[2], 1))

    def run(self, state: Sequence[Any]) -> _Run:
        with refused():
            run = _Run(self.step, state, self.rebuild)
        found = [(node.shape, node.dtype) for node in run.outputs]
        if found != self.shapes:
            name = getattr(self.step, "__name__", "the step")
            raise ShapeError(f"checkpoint_chain: {name} made {found} of a state of {self.shapes}; it has to keep shapes and dtypes{here()}")
        self.outside += [node for node in run.outside if node not in self.outside]
        return run

    def advanced(self, state: list[Any], steps: int) -> list[Any]:
        for _ in range(steps):
            state = [node.value for node in self.run(state).outputs]
        return state

    def descend(self, state: list[Any]) -> tuple[Iterator[tuple[str, int, int]], dict[int, list[Any]], list[Any]]:
        """The schedule up to its first reversal, which is the run of the chain but for its last step."""
        actions, stored = revolve(self.length, self.snapshots), {0: state}
        for action, start, stop in actions:
            if action == "reverse":
                break
            if action == "advance":
                state = self.advanced(state, stop - start)
            elif action == "store":
                stored[start] = state
        return actions, stored, state

    def again(self, xs: Sequence[Any]) -> list[Any]:
        return self.advanced(list(xs), self.length)

    def pull(self, bars: Sequence[Any], xs: Sequence[Any], *, lift: bool) -> tuple[list[Any], dict[Node, Any]]:
        total: dict[Node, Any] = {}
        state_bars = list(bars)

        def back(run: _Run) -> None:
            nonlocal state_bars
            state_bars, outside = run.pull(state_bars, lift=lift)
            for node, bar in outside.items():
                total[node] = total[node] + bar if node in total else bar

        if lift:
            runs, state = [], list(xs)
            for _ in range(self.length):
                runs.append(self.run(state))
                state = list(runs[-1].outputs)
            for run in reversed(runs):
                back(run)
            return state_bars, total
        same = all(x is first or np.array_equal(x, first) for x, first in zip(xs, self.first, strict=True))
        progress, self.progress = self.progress if same else None, None
        actions, stored, state = progress or self.descend(list(xs))
        back(self.run(state))
        for action, start, stop in actions:
            if action == "advance":
                state = self.advanced(state, stop - start)
            elif action == "store":
                stored[start] = state
            elif action == "restore":
                state = stored[start]
            elif action == "free":
                del stored[start]
            else:
                back(self.run(state))
        return state_bars, total

    def push(self, dots: Sequence[Any], xs: Sequence[Any], outside: dict[Node, Any], *, lift: bool) -> list[Any]:
        state = list(xs)
        for _ in range(self.length):
            run = self.run(state)
            dots = run.push(dots, outside, lift=lift)
            state = [node if lift else node.value for node in run.outputs]
        return list(dots)


def _state(value: Any) -> Any:
    """A state's array: the caller's own, since a schedule is good for exactly that state; integers count as floats."""
    array = np.asarray(as_operand(value))
    array = array.astype(np.float64) if array.dtype.kind in "iub" else array
    return array if array.ndim else array[()]


def value_or_itself(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Node) else leaf


# ------------------------------------------------------------------------------------- the primitive


def run_segment(*xs, segment):  # type: ignore[no-untyped-def]
    return segment.evaluate(xs)


run_segment.source = None  # type: ignore[attr-defined]  # a program cannot print it; a trace has the lines themselves


def _infer(*xs: Any, segment: _Segment) -> Aval:
    if len(segment.shapes) == 1:
        return segment.shapes[0]
    size = sum(int(np.prod(shape, dtype=int)) for shape, _ in segment.shapes)
    return (size,), np.result_type(*[dtype for _, dtype in segment.shapes])


def _tangent(y: Any, x_dots: Sequence[Any], *xs: Any, segment: _Segment) -> Any:
    count = len(xs) - len(segment.outside)
    lift = any(isinstance(one, Node) for one in (*xs, *x_dots))
    outside = dict(zip(segment.outside, x_dots[count:], strict=True))
    with mode_with(traced=""):
        dots = segment.push(x_dots[:count], xs[:count], outside, lift=lift)
    filled = [np.zeros(shape, dtype)[()] if dot is None else dot for dot, (shape, dtype) in zip(dots, segment.shapes, strict=True)]
    return segment.packed(filled)


_latest: tuple[Any, ...] = ()  # what the last run gave for all arguments, until the sweep has asked for the last of them


def _transpose(index: int, y_bar: Any, *xs: Any, segment: _Segment) -> Any:
    """The adjoint of one argument; the run that gives it gives those of the others too."""
    global _latest
    if not (_latest and _latest[0] is segment and _latest[1] is y_bar and all(x is other for x, other in zip(xs, _latest[2], strict=True))):
        count = len(xs) - len(segment.outside)
        lift = any(isinstance(one, Node) for one in (y_bar, *xs))
        bars, outside = segment.pull(segment.unpacked(y_bar), xs[:count], lift=lift)
        _latest = (segment, y_bar, xs, [*bars, *(outside.get(node) for node in segment.outside)])
    bar = _latest[3][index]
    if index == len(xs) - 1:
        _latest = ()
    return zeros_like(xs[index]) if bar is None else bar


class _Checkpoint(Primitive):
    """In both sweeps the run's own sweep: forward by `tangent`, and in reverse by `transpose`, so that one run serves."""

    def kind(self, index: int) -> str:
        return "linear"


CHECKPOINT = _Checkpoint(
    "checkpoint", "run_segment({*}, segment={segment})", infer=_infer, tangent=_tangent, transpose=_transpose, helper=run_segment,
)  # fmt: skip

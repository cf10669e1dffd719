"""The rules of `scan`: its tangent, its adjoints and its vector mode are loops again, made from those of the body.

Nothing about derivatives is stated here. Forward, a loop carries (c, c_dot) by the tangent sweep of the body. In reverse, a
first loop is the primal one that also keeps what the adjoint part of the body reads, its residuals; a second one runs the
other way, carries the adjoints of the carries and sums those of the constants. What is structurally zero is not carried.

What a `where` or a `maximum` in the body has not selected is sheltered from NaN within the same turn, and not across turns.
A loop within the body is run again by the adjoint loop, which keeps its arguments only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph import forward_mode, reverse_mode
from compgraph.assignments import Assignments
from compgraph.batching import run_batched
from compgraph.graph import PRIMITIVES, Graph, Node, active_nodes, ancestors, constant, placeholder
from compgraph.loop import SCAN, Draft, Part, Roles, copied, dependent, flat_dtype, is_constant, moved_roles, packed, parts_of, span_of
from compgraph.modes import mode_with
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import zeros_like


def _like(node: Node, name: str | None = None) -> Node:
    return placeholder(node.shape, node.dtype, name, node.origin)


class _Called:
    """What people called the nodes of a body, for loops in which the nodes themselves are no more; None for no name."""

    def __init__(self) -> None:
        self.assignments = Assignments()

    def __call__(self, node: Node, suffix: str = "") -> str | None:
        name = node.name or (node.primitive and self.assignments.name(node.origin, node.params.get("index")))
        return f"{name}{suffix}" if name else None


def _zero(node: Node) -> Node:
    return constant(zeros_like(node))


def _fixed_point(flags: Sequence[bool], step: Callable[[list[bool]], Sequence[bool]]) -> list[bool]:
    """`flags` and those that `step` adds to them, until no more come: which carries have something after any number of turns.

    >>> _fixed_point([True, False, False], lambda flags: [False, flags[0], False])
    [True, True, False]
    """
    current = list(flags)
    while True:
        following = [before or after for before, after in zip(current, step(current), strict=True)]
        if following == current:
            return current
        current = following


def _groups(xs: Sequence[Any], carries: int, sequences: int) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """What belongs to the carries, to the sequences, and to the constants.

    >>> _groups("abcde", carries=1, sequences=2)
    ('a', 'bc', 'de')
    """
    return xs[:carries], xs[carries : carries + sequences], xs[carries + sequences :]


def _primal(body: Graph, xs: Sequence[Any], carries: int, sequences: int) -> Draft:
    """The primal loop, to which a derivative adds."""
    own, slices, constants = _groups(list(zip(body.inputs, xs, strict=True)), carries, sequences)
    following = body.outputs[:carries]
    carried = [(node, x, after) for (node, x), after in zip(own, following, strict=True)]
    return Draft(carried, list(slices), list(constants), list(body.outputs[carries:]))


# --------------------------------------------------------------------------------------- forward mode


def _tangent(y: Any, x_dots: Sequence[Any], *xs: Any, body: Graph, carries: int, sequences: int, length: int, reverse: bool) -> Any:
    """The flat vector of tangents. The loop gives the primal results too, so that it can replace the primal loop."""
    dots = [_like(node) for node in body.inputs]

    def tangents(flags: Sequence[bool], roles: Roles | None = None) -> dict[Node, Node]:
        found = {node: dot for node, dot, flag in zip(body.inputs, dots, flags, strict=True) if flag}
        with mode_with(roles=roles):
            forward_mode.build(body.nodes, found)
        return found

    given = [x_dot is not None for x_dot in x_dots]
    moved = _fixed_point(given[:carries], lambda flags: [node in tangents([*flags, *given[carries:]]) for node in body.outputs[:carries]])
    draft = _primal(body, xs, carries, sequences)
    draft.roles = {**body.roles, **{dot: ("dot", node) for node, dot in zip(body.inputs, dots, strict=True)}}
    found = tangents([*moved, *given[carries:]], draft.roles)
    starts = [zeros_like(x) if x_dot is None else cast(x_dot, x.dtype) for x, x_dot in zip(xs, x_dots, strict=True)]
    own, slices, constants = _groups(list(zip(dots, starts, [*moved, *given[carries:]], strict=True)), carries, sequences)
    for (dot, start, flag), node in zip(own, body.outputs, strict=False):
        if flag:
            draft.carries.append((dot, start, found[node] if node in found else _zero(node)))
    draft.sequences += [(dot, start) for dot, start, flag in slices if flag]
    draft.constants += [(dot, start) for dot, start, flag in constants if flag]
    ys = body.outputs[carries:]
    draft.ys += [found[node] for node in ys if node in found]
    finals, stacked = draft.run(f"{body.name}_forward", length, reverse)
    results = iter([*finals[carries:], *stacked[len(ys) :]])
    has_tangent = [*moved, *(node in found for node in ys)]
    parts = parts_of(body, carries, length)
    pairs = zip(parts, has_tangent, strict=True)
    return packed([next(results) if flag else np.zeros(part.shape, part.dtype) for part, flag in pairs], parts)


# --------------------------------------------------------------------------------------- reverse mode


class _Adjoint:
    """The adjoints of one loop's arguments.

    `y_bars` has one adjoint a part, and `wanted` says of which arguments adjoints are asked for.
    """

    def __init__(
        self, y_bars: Sequence[Any], wanted: Sequence[bool], xs: Sequence[Any],
        *, body: Graph, carries: int, sequences: int, length: int, reverse: bool,
    ) -> None:  # fmt: skip
        self.y_bars, self.xs, self.body, self.carries, self.sequences = y_bars, xs, body, carries, sequences
        self.length, self.reverse = length, reverse
        self.called = _Called()
        self.seeds = [_like(node, self.called(node, "_bar")) for node in body.outputs]
        self.roles: Roles = {**body.roles, **{seed: ("bar", node) for seed, node in zip(self.seeds, body.outputs, strict=True)}}
        self.roles |= {seed: ("bar", node) for seed, node in zip(self.seeds, body.inputs[:carries], strict=False)}
        floating = [node.dtype.kind in "fc" for node in body.inputs]

        def varied(flags: Sequence[bool]) -> list[bool]:
            flags = [*flags, *wanted[carries:]]
            active = active_nodes(body.nodes, [node for node, *both in zip(body.inputs, flags, floating, strict=True) if all(both)])
            return [node in active for node in body.outputs[:carries]]

        varying = [*_fixed_point(wanted[:carries], varied), *wanted[carries:]]
        self.wrt = {node for node, *both in zip(body.inputs, varying, floating, strict=True) if all(both)}
        self.active = active_nodes(body.nodes, self.wrt)
        given = [bar is not None for bar in y_bars]
        self.seeded = _fixed_point(
            given[:carries], lambda flags: [node in self.swept([*flags, *given[carries:]]) for node in body.inputs[:carries]]
        )
        self.bars = self.swept([*self.seeded, *given[carries:]], self.roles)

    def swept(self, flags: Sequence[bool], roles: Roles | None = None) -> dict[Node, Any]:
        """The adjoint sweep of the body, as graph, from the seeds that are flagged."""
        adjoints: dict[Node, Any] = {}
        for node, seed, flag in zip(self.body.outputs, self.seeds, flags, strict=True):
            if flag and node in self.active:
                adjoints[node] = adjoints[node] + seed if node in adjoints else seed
        with mode_with(roles=roles):
            reverse_mode.build(self.body.nodes, adjoints, self.active, keep=True)
        return adjoints

    def run(self) -> list[Any]:
        """One adjoint an argument, None for what is structurally zero."""
        body = self.body
        bars = {node: self.bars[node] for node in body.inputs if node in self.bars and node in self.wrt}
        adjoint_part = ancestors(bars.values(), since=self.seeds[0].id)
        stored, again = self.residuals({arg for node in adjoint_part for arg in node.args if isinstance(arg, Node)})
        for node, bar in self.bars.items():
            bar.name = bar.name or self.called(node, "_bar")
        new: dict[Node, Any] = {node: _like(node, self.called(node)) for node in stored}
        stacks = self.stacked(stored) if stored else []
        copied([*again, *adjoint_part], new)
        draft = Draft(roles=moved_roles(self.roles, new))
        draft.sequences += [(new[node], stack) for node, stack in zip(stored, stacks, strict=True)]
        own, slices, constants = _groups(list(zip(body.inputs, self.xs, strict=True)), self.carries, self.sequences)
        for (node, x), seed, y_bar, seeded in zip(own, self.seeds, self.y_bars, self.seeded, strict=False):
            if seeded and node in self.wrt:
                following = new.get(bars[node], bars[node]) if node in bars else _zero(node)
                draft.carries.append((seed, zeros_like(x) if y_bar is None else cast(y_bar, node.dtype), following))
        for node, x in constants:
            if node in bars:
                total = _like(node, self.called(node, "_bar"))
                draft.carries.append((total, zeros_like(x), total + new.get(bars[node], bars[node])))
        draft.ys = [new.get(bars[node], bars[node]) for node, _ in slices if node in bars]
        seeds = zip(self.seeds[self.carries :], self.y_bars[self.carries :], strict=True)
        draft.sequences += [*slices, *((seed, y_bar) for seed, y_bar in seeds if y_bar is not None)]
        draft.constants = list(constants)
        finals, stacked = (iter(results) for results in draft.run(f"{body.name}_reverse", self.length, not self.reverse))
        firsts = [next(finals) if flag and node in self.wrt else None for (node, _), flag in zip(own, self.seeded, strict=False)]
        totals = [next(finals) if node in bars else None for node, _ in constants]
        return [*firsts, *(next(stacked) if node in bars else None for node, _ in slices), *totals]

    def residuals(self, read: set[Node]) -> tuple[list[Node], list[Node]]:
        """Of the primal nodes that the adjoint part reads: those to keep from every turn, and those to compute again.

        The slices and the constants are at hand in every turn. Computed again is what does not vary, and a view of what
        is kept anyway or is no larger.
        """
        body = self.body
        at_hand = set(body.inputs[self.carries :])
        varying = dependent(body.nodes, body.inputs[: self.carries + self.sequences])
        needed = read.intersection(body.nodes)
        stored: list[Node] = []
        again: list[Node] = []
        for node in reversed(body.nodes):
            if node not in needed or node in at_hand or is_constant(node):
                continue
            args = [arg for arg in node.args if isinstance(arg, Node)]
            view = node.primitive is not None and node.primitive.name in VIEWS
            if node not in varying or (view and sum(arg.size for arg in args if arg not in at_hand) <= node.size):
                again.append(node)
                needed.update(args)
            else:
                stored.append(node)
        return stored[::-1], again[::-1]

    def stacked(self, stored: Sequence[Node]) -> list[Any]:
        """The values of these nodes in every turn, from the primal loop; a y is stacked already."""
        draft = _primal(self.body, self.xs, self.carries, self.sequences)
        draft.ys += [node for node in stored if node not in draft.ys]
        stacks = draft.run(self.body.name, self.length, self.reverse)[1]
        return [stacks[draft.ys.index(node)] for node in stored]


VIEWS = frozenset({"reshape", "transpose", "broadcast_to", "index", "astype", "identity"})


class _Latest(NamedTuple):
    """The adjoints that the last call has found, until the sweep has asked for the last of them."""

    y_bar: Any
    xs: tuple[Any, ...]
    params: dict[str, Any]
    bars: dict[int, Any]

    def serves(self, index: int, y_bar: Any, xs: tuple[Any, ...], params: dict[str, Any]) -> bool:
        same = self.y_bar is y_bar and len(self.xs) == len(xs) and all(x is other for x, other in zip(xs, self.xs, strict=True))
        return same and self.params == params and index in self.bars


def _transpose(index: int, y_bar: Any, *xs: Any, **params: Any) -> Any:
    """The adjoint of one argument. The loop that gives it gives those of the others too."""
    global _latest
    latest = _latest  # which another thread may replace meanwhile
    if latest is None or not latest.serves(index, y_bar, xs, params):
        # Among nodes, arrays and constants are not asked for. Which of the nodes are, the sweep does not say.
        lift = any(isinstance(x, Node) for x in xs)
        asked = [not is_constant(x) if isinstance(x, Node) else not lift for x in xs]
        wanted = [place == index or (x.dtype.kind in "fc" and flag) for place, (x, flag) in enumerate(zip(xs, asked, strict=True))]
        parts = parts_of(params["body"], params["carries"], params["length"])
        bars = _Adjoint(windows(y_bar, parts), wanted, xs, **params).run()
        latest = _Latest(y_bar, xs, params, {place: bars[place] for place, flag in enumerate(wanted) if flag})
    _latest = None if index == max(latest.bars) else latest
    return latest.bars[index]


_latest: _Latest | None = None


def windows(flat: Any, parts: Sequence[Part]) -> list[Any]:
    """The parts of the adjoint of a flat vector; None for one that nothing reaches.

    Where the adjoint is a sum of what was read, each summand is `scatter_add(part_bar, slice)`, and its part is taken as it is.
    """
    if not isinstance(flat, Node):
        return [part.read(flat) for part in parts]
    terms: list[Node] = []
    queue = [flat]
    while queue:
        node = queue.pop()
        if node.primitive is PRIMITIVES["add"] and all(isinstance(arg, Node) and arg.shape == node.shape for arg in node.args):
            queue += reversed(node.args)
        else:
            terms.append(node)
    found: list[Any] = []
    for part in parts:
        pieces = [piece for term in terms if (piece := _window(term, part)) is not None]
        found.append(sum(pieces[1:], pieces[0]) if pieces else None)
    return found


def _window(term: Node, part: Part) -> Any:
    """One summand's share in a part, in the part's shape and dtype."""
    span = span_of(term.params["index"], term.size) if term.primitive is PRIMITIVES["scatter_add"] else None
    if span == (part.start, part.stop):
        return cast(_reshaped(term.args[0], part.shape), part.dtype)
    if span is not None and (span[1] <= part.start or part.stop <= span[0]):
        return None
    return part.read(term)


def _reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` in another shape, without the reshape that may have made it."""
    while isinstance(x, Node) and x.primitive is PRIMITIVES["reshape"]:
        x = x.args[0]
    return x if x.shape == shape else np.reshape(x, shape)


# --------------------------------------------------------------------------------------- vector mode


def _batch(flags: Sequence[bool], *xs: Any, body: Graph, carries: int, sequences: int, length: int, reverse: bool) -> Any:
    """A loop of the body with a batch axis on all that the flagged arguments reach."""
    size = next(int(x.shape[0]) for x, flag in zip(xs, flags, strict=True) if flag)
    wide = {node: placeholder((size, *node.shape), node.dtype, body.names[node]) for node in body.inputs}

    def batched(carried: Sequence[bool]) -> list[Any]:
        given = zip(body.inputs, [*carried, *flags[carries:]], strict=True)
        return run_batched(body.nodes, {node: wide[node] for node, flag in given if flag}, body.outputs, lift=True)

    def reached(carried: Sequence[bool]) -> list[bool]:
        return [one is not node for one, node in zip(batched(carried), body.outputs, strict=True)]

    carried = _fixed_point(flags[:carries], lambda flags: reached(flags)[:carries])
    outputs, has_batch = batched(carried), reached(carried)
    inputs = [wide[node] if flag else node for node, flag in zip(body.inputs, [*carried, *flags[carries:]], strict=True)]
    starts = [
        np.broadcast_to(x, (size, *x.shape)) if wanted and not flag else x for x, flag, wanted in zip(xs, flags, carried, strict=False)
    ]
    own, slices, constants = _groups(inputs, carries, sequences)
    _, stacks, values = _groups(xs, carries, sequences)
    following: list[Any] = [
        np.broadcast_to(node, (size, *node.shape)) if wanted and not flag else node
        for node, wanted, flag in zip(outputs, carried, has_batch, strict=False)
    ]
    rows = [np.moveaxis(stack, 0, 1) if flag else stack for stack, flag in zip(stacks, flags[carries:], strict=False)]
    draft = Draft(
        list(zip(own, starts, following, strict=True)), list(zip(slices, rows, strict=True)), list(zip(constants, values, strict=True)),
        outputs[carries:],
    )  # fmt: skip
    finals, stacked = draft.run(body.name, length, reverse)
    has_batch = [*carried, *has_batch[carries:]]
    results = [*finals, *(np.moveaxis(stack, 1, 0) if flag else stack for stack, flag in zip(stacked, has_batch[carries:], strict=True))]
    parts = parts_of(body, carries, length)
    dtype = flat_dtype(parts)
    pieces = [
        np.reshape(value, (size, part.stop - part.start)) if flag
        else np.broadcast_to(np.reshape(value, (1, -1)), (size, part.stop - part.start))
        for value, flag, part in zip(results, has_batch, parts, strict=True)
    ]  # fmt: skip
    return np.concatenate([cast(piece, dtype) for piece in pieces], axis=1)


SCAN.tangent, SCAN.transpose, SCAN.batch = _tangent, _transpose, _batch

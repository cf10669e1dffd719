"""Passes over loops: one run for what several loops have in common, and nothing in a turn that need not be there.

All of them keep every value to the bit, and `improve_loops` is their order. Those that round differently: `loop_batching.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph.errors import InputError
from compgraph.graph import PRIMITIVES, Graph, Node, bind
from compgraph.loop import SCAN, closed, dependent, is_constant, loop_parts, packed, part_number, span_of, turns
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.simplification import Replacement, again, rewritten, simplify, subexpression

Pass = Callable[[Graph], Graph]


def has_loops(graph: Graph) -> bool:
    return any(node.primitive is SCAN for node in graph.nodes)


def improve_loops(graph: Graph) -> Graph:
    """All passes of this module, in loops within loops too."""
    if not has_loops(graph):
        return graph
    graph = map_bodies(graph, lambda body: simplify(improve_loops(body)))
    return simplify(hoist_invariants(prune_loops(share_loops(simplify(read_pieces(graph))))))


def map_bodies(graph: Graph, one: Pass) -> Graph:
    """`one` applied to the body of every loop of the graph; loops that share a body still share it.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x: cg.fori(0, 9, lambda i, x: np.sin(x) * np.sin(x), x), 1.0)
    >>> [len(map_bodies(graph, one).nodes[1].params["body"].nodes) for one in (lambda body: body, simplify)]
    [4, 3]

    The pass keeps inputs and outputs, as every pass does. It meets loops within the body itself.
    """
    done: dict[Graph, Graph] = {}

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if node.primitive is not SCAN:
            return None
        body = node.params["body"]
        if body not in done:
            done[body] = one(body)
        return loop_again(node, args, body=done[body])

    return rewritten(graph, replace) if has_loops(graph) else graph


def loop_again(node: Node, args: Sequence[Any], **changes: Any) -> Node:
    copy: Node = bind(SCAN, *args, **{**node.params, **changes})
    copy.name = node.name
    return copy


# ------------------------------------------------------------------------------------------ invariants


def hoist_invariants(graph: Graph) -> Graph:
    """Loop-invariant code motion: what depends on constants of a loop alone is computed once, before it.

    >>> import compgraph as cg
    >>> graph = cg.trace(cg.grad(lambda w: cg.fori(0, 9, lambda i, x: np.sin(w) * x, 1.0)), 2.0)
    >>> any(node.primitive and node.primitive.name == "cos" for node in hoist_invariants(graph).nodes)
    True
    """

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if node.primitive is not SCAN:
            return None
        body, count = node.params["body"], node.params["carries"] + node.params["sequences"]
        varying = dependent(body.nodes, body.inputs[:count])
        if all(one in varying or one.primitive is None or is_constant(one) for one in body.nodes):
            return None
        values = dict(zip(body.inputs[count:], args[count:], strict=True))
        inner, constants = closed(body.inputs[:count], body.outputs, body.name, values, roles=body.roles)
        return loop_again(node, (*args[:count], *constants), body=inner)

    return rewritten(graph, replace) if has_loops(graph) else graph


# ------------------------------------------------------------------------------------------- sharing


def share_loops(graph: Graph) -> Graph:
    """Leave out a loop of which another one computes all: the primal loop beside the one that keeps its residuals.

    >>> import compgraph as cg
    >>> f = lambda w: cg.fori(0, 9, lambda i, x: np.sin(w * x), 1.0)
    >>> graph = simplify(cg.trace(cg.value_and_grad(f), 2.0))
    >>> [sum(node.primitive is SCAN for node in one.nodes) for one in (graph, share_loops(graph))]
    [3, 2]
    """
    loops = [node for node in graph.nodes if node.primitive is SCAN]
    below = {loop: dependent(graph.nodes, [loop]) for loop in loops} if len(loops) > 1 else {}
    instead: dict[Node, tuple[Node, list[int]]] = {}
    for small in loops:
        for big in loops:
            if big is small or big in instead or big in below[small] or any(other is small for other, _ in instead.values()):
                continue
            found = covered(small, big)
            if found is not None:
                instead[small] = big, found
                break
    if not instead:
        return graph
    new: dict[Node, Node] = {}

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if node in instead:
            big, places = instead[node]
            parts = loop_parts(big)
            pieces = [new[big][parts[place].start : parts[place].stop] for place in places]
            return np.concatenate([cast(piece, node.dtype) for piece in pieces])  # type: ignore[return-value]
        new[node] = again(node, args)
        return new[node]

    return read_pieces(rewritten(graph, replace, order=_ordered(graph, {small: big for small, (big, _) in instead.items()})))


def _ordered(graph: Graph, instead: dict[Node, Node]) -> list[Node]:
    """The nodes, each behind what it reads, where a loop in `instead` reads only the other loop."""
    order: list[Node] = []
    entered: set[Node] = set()
    done: set[Node] = set()
    stack = list(reversed(graph.nodes))
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
        elif node in entered:
            done.add(node)
            order.append(node)
            stack.pop()
        else:
            entered.add(node)
            args = (instead[node],) if node in instead else node.args
            stack += [arg for arg in reversed(args) if isinstance(arg, Node) and arg not in done]
    return order


def covered(small: Node, big: Node) -> list[int] | None:
    """Which parts of the loop `big` the parts of the loop `small` are; None where it does not compute all of them.

    A carry of one is taken for the first carry of the other that starts with the same value; whether it is, the outputs say.
    """
    if any(small.params[name] != big.params[name] for name in ("length", "reverse")):
        return None
    groups = [_by_value(loop) for loop in (small, big)]
    numbers: dict[Any, int] = {}
    body, other = (simplify(loop.params["body"]) for loop in (small, big))
    place_of: dict[Node, Node] = {}
    for mine, theirs in zip(*groups, strict=True):
        for key, nodes in mine.items():
            if len(nodes) > len(theirs.get(key, ())):
                return None
            place_of.update(zip(nodes, theirs[key], strict=False))
    inputs = {node: place for place, node in enumerate(other.inputs)}
    theirs = _numbered(other, inputs, numbers)
    ours = _numbered(body, {node: inputs[place_of[node]] for node in body.inputs}, numbers)
    count, others = small.params["carries"], big.params["carries"]
    found: list[int] = []
    for place, number in enumerate(ours):
        if place < count:
            carry = inputs[place_of[body.inputs[place]]]
            if theirs[carry] != number:
                return None
            found.append(carry)
        elif number in theirs[others:]:
            found.append(others + theirs[others:].index(number))
        else:
            return None
    return found


def _by_value(loop: Node) -> tuple[dict[Any, list[Node]], ...]:
    """The inputs of a loop's body by what they are given: of the carries, of the sequences and of the constants."""
    groups: tuple[dict[Any, list[Node]], ...] = ({}, {}, {})
    carries, sequences = loop.params["carries"], loop.params["sequences"]
    for place, (node, arg) in enumerate(zip(loop.params["body"].inputs, loop.args, strict=True)):
        key = subexpression(loop, (arg,))[1]
        groups[(place >= carries) + (place >= carries + sequences)].setdefault(key, []).append(node)
    return groups


def _numbered(body: Graph, inputs: dict[Node, int], numbers: dict[Any, int]) -> list[int]:
    """A number for each output, the same for the same computation from inputs of the same number: value numbering."""
    found = dict(inputs)
    for node in body.nodes:
        if node not in found:
            args = tuple(("node", found[arg]) if isinstance(arg, Node) else arg for arg in node.args)
            key = ("variable", node.id) if node.primitive is None else subexpression(node, args)
            found[node] = numbers.setdefault(key, -1 - len(numbers))  # inputs have the numbers from 0 on
    return [found[node] for node in body.outputs]


# ------------------------------------------------------------------------------------------- pruning


def prune_loops(graph: Graph) -> Graph:
    """Leave out the ys that nothing reads, the carries that no result needs, and what only they have read.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda xs: cg.scan(lambda c, x: (c + x, c * x), 0.0, xs)[0], np.zeros(5))
    >>> [len(prune_loops(one).nodes[1].params["body"].outputs) for one in (graph,)]
    [1]
    """
    while has_loops(graph):
        kept = {node: places for node in graph.nodes if node.primitive is SCAN and (places := _live(graph, node)) is not None}
        if not kept:
            break
        graph = rewritten(graph, _pruned(kept))
    return graph


def _live(graph: Graph, loop: Node) -> list[int] | None:
    """The numbers of the outputs of the body that have to stay; None where all do."""
    if loop in graph.outputs:
        return None
    body, carries, parts = loop.params["body"], loop.params["carries"], loop_parts(loop)
    live: set[int] = set()
    for node in graph.nodes:
        if any(arg is loop for arg in node.args):
            number = part_number(node, loop)
            if number is None:
                return None
            live.add(number)
    before = -1
    while len(live) > before:
        before = len(live)
        needed = needed_for(body, [body.outputs[place] for place in live])
        live.update(place for place in range(carries) if body.inputs[place] in needed)
    return sorted(live) if len(live) < len(parts) else None


def needed_for(body: Graph, outputs: Sequence[Node]) -> set[Node]:
    needed = set(outputs)
    for node in reversed(body.nodes):
        if node in needed:
            needed.update(arg for arg in node.args if isinstance(arg, Node))
    return needed


def _pruned(kept: dict[Node, list[int]]) -> Replacement:
    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if node in kept:
            return without(node, args, kept[node])
        if node.args and isinstance(node.args[0], Node) and node.args[0] in kept:
            loop: Node = node.args[0]
            number = part_number(node, loop)
            part = loop_parts(args[0])[kept[loop].index(number)]  # type: ignore[arg-type]
            piece = args[0][part.start : part.stop] if node.ndim else args[0][part.start]
            return cast(piece, node.dtype)  # the parts that are left may be of fewer dtypes
        return None

    return replace


def without(loop: Node, args: tuple[Any, ...], kept: list[int]) -> Node:
    """The loop with these outputs of its body only, and with the inputs that they need."""
    body, carries, sequences = loop.params["body"], loop.params["carries"], loop.params["sequences"]
    outputs = [body.outputs[place] for place in kept]
    needed = needed_for(body, outputs)
    stays = [place in kept if place < carries else node in needed for place, node in enumerate(body.inputs)]
    inputs = [node for node, stay in zip(body.inputs, stays, strict=True) if stay]
    return loop_again(
        loop, [arg for arg, stay in zip(args, stays, strict=True) if stay], body=Graph(inputs, outputs, name=body.name, roles=body.roles),
        carries=sum(stays[:carries]), sequences=sum(stays[carries : carries + sequences]),
    )  # fmt: skip


# --------------------------------------------------------------------------------------------- layout


def read_pieces(graph: Graph) -> Graph:
    """Slices of what was just joined, as the pieces: the flat vectors between loops vanish.

    >>> import compgraph as cg
    >>> print(read_pieces(cg.trace(lambda x, y: np.concatenate([x, y])[2:5], np.zeros(2), np.zeros(3))))
    f(x, y):
        return y

    """

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if node.primitive is not PRIMITIVES["index"] or not isinstance(args[0], Node) or args[0].primitive is not PRIMITIVES["concatenate"]:
            return None
        index = node.params["index"]
        before, last = (index[:-1], index[-1]) if isinstance(index, tuple) and index else ((), index)
        if any(part != slice(None) for part in before):
            return None
        span = span_of(last, args[0].shape[len(before)])
        piece = _piece(args[0], len(before), *span) if span is not None else None
        if type(last) is int and piece is not None:
            piece = _entry(piece)
        return piece if isinstance(piece, Node) and (piece.shape, piece.dtype) == (node.shape, node.dtype) else None

    return rewritten(graph, replace)


def _piece(whole: Any, axis: int, start: int, stop: int) -> Any:
    """`whole` from `start` to `stop` along an axis, out of the one array that was joined into it there; None for several."""
    while isinstance(whole, Node) and whole.primitive is PRIMITIVES["concatenate"]:
        if whole.params["axis"] % whole.ndim != axis:
            return None
        for one in whole.args:
            if stop <= one.shape[axis]:
                break
            start, stop = start - one.shape[axis], stop - one.shape[axis]
        if start < 0:
            return None
        whole = one
    if (start, stop) == (0, whole.shape[axis]):
        return whole
    return whole[(slice(None),) * axis + (slice(start, stop),)] if axis else whole[start:stop]


def _entry(piece: Any) -> Any:
    """The one entry of a piece, which may be a number that was reshaped to be joined."""
    if isinstance(piece, Node) and piece.primitive is PRIMITIVES["reshape"] and not piece.args[0].shape:
        return piece.args[0]
    return piece[0] if piece.ndim == 1 else None


# ------------------------------------------------------------------------------------------ unrolling


def unroll(graph: Graph, limit: int = 1000) -> Graph:
    """The graph with every turn of every loop written out.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x: cg.fori(0, 3, lambda i, x: x * x, x), 2.0)
    >>> [node.primitive.name for node in unroll(graph).nodes[1:4]]
    ['multiply', 'multiply', 'multiply']

    Raises `InputError` for a loop of more than `limit` turns.
    """

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        if node.primitive is not SCAN:
            return None
        body, carries, sequences, length, reverse = (node.params[name] for name in ("body", "carries", "sequences", "length", "reverse"))
        if length > limit:
            raise InputError(f"{graph.name}: a loop of {length} turns is more than the {limit} to write out{here()}")
        body = unroll(body, limit)
        state, rows, constants = args[:carries], args[carries : carries + sequences], args[carries + sequences :]
        columns: dict[int, list[Any]] = {}
        for turn in turns(length, reverse):
            results = body.run([*state, *(row[turn] for row in rows), *constants])
            state, columns[turn] = tuple(results[:carries]), results[carries:]
        parts = loop_parts(node)
        if length:
            stacks = [np.stack([columns[turn][place] for turn in range(length)]) for place in range(len(parts) - carries)]
        else:
            stacks = [np.zeros(part.shape, part.dtype) for part in parts[carries:]]
        flat = packed([*state, *stacks], parts)
        return flat if isinstance(flat, Node) else None

    return read_pieces(rewritten(graph, replace)) if has_loops(graph) else graph

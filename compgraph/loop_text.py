"""A loop in a program: an ordinary `for`, with the body's lines in it.

The carries are variables that are assigned again at the end of each turn, and the ys rows of arrays made before the loop.
What reads a part of the loop's flat vector, by a slice, a reshape and a cast, is that variable or that array itself; a
program has the flat vector only where something else reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph.graph import Graph, Node
from compgraph.loop import SCAN, Part, flat_dtype, is_constant, loop_parts, part_number
from compgraph.programs import is_name

Names = dict[Node, str]


def every_node(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and those of the bodies of its loops, but not the loops themselves."""
    queue = [graph]
    for one in queue:
        for node in one.nodes:
            if node.primitive is SCAN:
                queue.append(node.params["body"])
            else:
                yield node


# ----------------------------------------------------------------------------------- what reads a part


class Readings(NamedTuple):
    """Which nodes of a graph are a part of a loop as it is."""

    variables: dict[Node, dict[int, list[Node]]]  # a loop -> the number of a part -> the nodes that are that part
    absorbed: set[Node]  # those nodes and the ones on the way to them, which have no lines of their own
    whole: set[Node]  # the loops whose flat vector is read as such


def readings(graph: Graph) -> Readings:
    """Find the slices, reshapes and casts that read one part of a loop each."""
    found = Readings({}, set(), set())
    loops = [node for node in graph.nodes if node.primitive is SCAN]
    readers: dict[Node, list[Node]] = {}
    for node in graph.nodes if loops else ():
        for arg in dict.fromkeys(arg for arg in node.args if isinstance(arg, Node)):
            readers.setdefault(arg, []).append(node)
    outputs = set(graph.outputs)
    for loop in loops:
        variables = found.variables[loop] = {}
        parts = loop_parts(loop)
        for start in _starts(loop, readers, outputs):
            number = _number(start, loop)
            way = None if number is None else _way(start, parts[number], readers, outputs)
            if way is None:
                found.whole.add(loop)
            else:
                variables.setdefault(number, []).extend(way[0])  # type: ignore[arg-type]
                found.absorbed.update(*way)
    return found


def _starts(loop: Node, readers: dict[Node, list[Node]], outputs: set[Node]) -> list[Node]:
    """The nodes that stand for the flat vector's parts before they have their shape: the slices, or the vector of a single part."""
    slices = readers.get(loop, [])
    aligned = loop not in outputs and all(_number(node, loop) is not None for node in slices)
    return slices if aligned else [loop]


def _number(node: Node, loop: Node) -> int | None:
    """Which part of the flat vector a slice is, or the vector itself where there is one part only."""
    return (0 if len(loop_parts(loop)) == 1 else None) if node is loop else part_number(node, loop)


def _way(start: Node, part: Part, readers: dict[Node, list[Node]], outputs: set[Node]) -> tuple[list[Node], list[Node]] | None:
    """The nodes that have the shape and dtype of the part, and those on the way; None where something else reads on the way."""
    ends: list[Node] = []
    between: list[Node] = []
    queue = [start]
    for node in queue:
        if (node.shape, node.dtype) == (part.shape, part.dtype):
            ends.append(node)
            continue
        following = readers.get(node, [])
        if node in outputs or any(one.primitive is None or one.primitive.name not in _VIEWS for one in following):
            return None
        between.append(node)
        queue += following
    return ends, between


_VIEWS = frozenset({"reshape", "astype", "to_discrete"})


# --------------------------------------------------------------------------------------------- the text


def loop_lines(
    loop: Node, found: Readings, names: Names, constants: Any, names_of: Callable[..., Names], lines_of: Callable[..., Any]
) -> list[str]:
    """The lines of one loop.

    `constants` are those of the program, `names_of(body, unique, given)` names a body's nodes, and `lines_of(body, names,
    constants, left_out)` writes their lines.
    """
    writer = _Writer(loop, found, names, constants, names_of)
    before, turn = writer.before(lines_of), writer.turn(lines_of)
    length = loop.params["length"]
    counted = f"reversed(range({length}))" if loop.params["reverse"] else f"range({length})"
    within = [f"    {line}" if line else "" for line in turn or ["pass"]]
    return [*before, *writer.arrays, f"for {writer.number} in {counted}:", *within, *writer.after(loop in found.whole)]


class _Writer:
    """The names in one loop, and its lines."""

    def __init__(self, loop: Node, found: Readings, names: Names, constants: Any, names_of: Callable[..., Names]) -> None:
        body, carries, sequences = loop.params["body"], loop.params["carries"], loop.params["sequences"]
        self.loop, self.body, self.names, self.constants = loop, body, names, constants
        self.parts, self.variables = loop_parts(loop), found.variables[loop]
        self.arguments: list[str] = []  # the lines of arguments that are constants
        self.arrays: list[str] = []  # and of arrays that the body holds
        known = {place: names[nodes[0]] for place, nodes in self.variables.items()}
        wishes = part_names(loop, names_of)
        read = {arg for node in body.nodes for arg in node.args if isinstance(arg, Node)}.union(body.outputs)
        pairs = list(zip(body.inputs, loop.args, strict=True))
        cut = [(node, arg) for node, arg in pairs[carries : carries + sequences] if node in read]
        self.carries = [known.get(place) or self.unique(wishes[place] or "carry") for place in range(carries)]
        self.rows = {place: known.get(place) or self.unique(wishes[place] or "rows") for place in range(carries, len(self.parts))}
        self.counters = {node: start for node, arg in cut if (start := _counts(node, arg, body)) is not None}
        self.number = self.unique(_called(next(iter(self.counters))) if 0 in self.counters.values() else "t")
        self.slices = [(node, self.argument(arg, f"{_called(node)}s")) for node, arg in cut if node not in self.counters]
        given = dict(zip(body.inputs, self.carries, strict=False))
        given |= {node: self.number for node, start in self.counters.items() if start == 0}
        given |= {node: self.argument(arg, _called(node)) for node, arg in pairs[carries + sequences :] if node in read}
        self.inner = names_of(body, constants.unique, given)
        self.fixed = {node for node in body.nodes if is_constant(node)}

    def unique(self, wish: str) -> str:
        return str(self.constants.unique(wish if is_name(wish) else f"v_{wish}"))

    def argument(self, arg: Any, wish: str) -> str:
        """An argument's name; a constant gets one before the loop."""
        if isinstance(arg, Node):
            return self.names[arg]
        name = self.unique(wish)
        start = first_of_range(arg)
        code = self.constants.text(arg, name) if start is None else f"np.arange({start}, {start + len(arg)})"
        self.arguments.append(f"{name} = {code}")
        return name

    def before(self, lines_of: Callable[..., Any]) -> list[str]:
        """What the first turn finds, and the arrays for the ys."""
        starts = [self.names[arg] if isinstance(arg, Node) else self.constants.text(arg) for arg in self.loop.args[: len(self.carries)]]
        lines = [*self.arguments, *(f"{name} = {start}" for name, start in zip(self.carries, starts, strict=True))]
        for place, name in self.rows.items():
            dtype = "" if self.parts[place].dtype == np.float64 else f", np.{self.parts[place].dtype.name}"
            lines.append(f"{name} = np.empty({self.parts[place].shape}{dtype})")
        return [*lines, *lines_of(self.body, self.inner, self.constants, set(self.body.nodes).difference(self.fixed))]

    def turn(self, lines_of: Callable[..., Any]) -> list[str]:
        """One turn: the slices, the body, the rows, and all carries at once."""
        lines = [f"{self.inner[node]} = {self.number} + {start}" for node, start in self.counters.items() if start]
        lines += [f"{self.inner[node]} = {stack}[{self.number}]" for node, stack in self.slices]
        lines += lines_of(self.body, self.inner, _Before(self.constants, self.arrays), self.fixed)
        lines += [f"{name}[{self.number}] = {self.inner[self.body.outputs[place]]}" for place, name in self.rows.items()]
        moved = [(name, self.inner[node]) for name, node in zip(self.carries, self.body.outputs, strict=False) if name != self.inner[node]]
        if moved:
            lines.append(f"{', '.join(name for name, _ in moved)} = {', '.join(following for _, following in moved)}")
        return lines

    def after(self, whole: bool) -> list[str]:
        """Further readers of a part, and the flat vector where something reads it as such."""
        lines = [f"{self.names[other]} = {self.names[nodes[0]]}" for nodes in self.variables.values() for other in nodes[1:]]
        return [*lines, f"{self.names[self.loop]} = {_packed([*self.carries, *self.rows.values()], self.parts)}"] if whole else lines


def first_of_range(array: Any) -> int | None:
    """Where an array of consecutive integers begins; None for any other.

    >>> first_of_range(np.arange(3, 9)), first_of_range(np.array([1, 3]))
    (3, None)
    """
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != np.int64 or not array.size:
        return None
    return int(array[0]) if np.array_equal(array, np.arange(array[0], array[0] + array.size)) else None


def _counts(node: Node, arg: Any, body: Graph) -> int | None:
    """The first number of a sequence that counts the turns and is used as an index alone, where Python's integer does as well."""
    readers = [(one, place) for one in body.nodes for place, other in enumerate(one.args) if other is node]
    alone = readers and all(one.primitive is not None and one.primitive.is_index(place) for one, place in readers)
    return first_of_range(arg) if alone and node not in body.outputs else None


def part_names(loop: Node, names_of: Callable[..., Names]) -> list[str]:
    """What the parts of a loop are called after its body: `h` for a final carry, `hs` for the h of all turns; "" for no name."""
    body, carries = loop.params["body"], loop.params["carries"]
    names = names_of(body)
    taken = set(names.values())

    def called(node: Node) -> str:
        name = re.sub(r"_\d+$", "", names[node])  # h for h_2, where there is an h
        name = name if name in taken else names[node]
        return "" if node.name is None and _NUMBERED.fullmatch(name) else name

    stacks = [called(node) for node in body.outputs[carries:]]
    return [called(node) for node in body.inputs[:carries]] + [name and f"{name}s" for name in stacks]


_NUMBERED = re.compile(r"[cvx]\d+(_\d+)?")


class _Before:
    """The constants of a loop: an array is made once, before it, and not in every turn."""

    def __init__(self, constants: Any, lines: list[str]) -> None:
        self.constants, self.lines, self.unique = constants, lines, constants.unique
        self.names: dict[int, tuple[Any, str]] = {}  # by id, with the array, whose id is its own as long as it is held

    def text(self, value: Any, name: str = "constant") -> str:
        if not isinstance(value, np.ndarray) or not value.ndim:
            return str(self.constants.text(value, name))
        if id(value) not in self.names:
            self.names[id(value)] = value, self.unique(name)
            self.lines.append(f"{self.names[id(value)][1]} = {self.constants.text(value, name)}")
        return self.names[id(value)][1]


def _called(node: Node) -> str:
    return re.sub(r"\W+", "_", node.name or "", flags=re.ASCII).strip("_") or "v"


def _packed(values: Sequence[str], parts: Sequence[Part]) -> str:
    """The flat vector, put together from the variables."""
    dtype = flat_dtype(parts)
    pieces = [
        f"np.reshape({value}, -1)" + ("" if part.dtype == dtype else f".astype(np.{dtype.name})")
        for value, part in zip(values, parts, strict=True)
    ]
    return f"np.concatenate([{', '.join(pieces)}])"

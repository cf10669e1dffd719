"""Where a function has no derivative on its way: the node, both one-sided derivatives, and the value taken for it.

The condition of each kink stands at its primitive (`Primitive.kink`). What PyTorch and JAX return there was asked of them,
and stored, by a script: tests/reference/kinks/make_kinks.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compgraph import reverse_mode
from compgraph.formulas import formula
from compgraph.forward_mode import value_of
from compgraph.graph import Graph, Node, active_nodes
from compgraph.literals import number
from compgraph.numerical import double, is_continuous, one_sided_limits
from compgraph.origins import describe_origin, source_line

SEARCHED = 64  # entries of an argument among which the one that bends an entry of the result is looked for


class Side(NamedTuple):
    """The derivative of one entry of a result by one entry of an argument; NaN on a side where there is no value."""

    argument: str
    left: float
    right: float
    here: float | None  # as this engine has it; None where it says aloud that there is none

    @property
    def smooth(self) -> bool:
        """Whether there is a derivative after all, and it is the one that is used."""
        if not (math.isfinite(self.left) and math.isfinite(self.right)):
            return False
        near = abs(self.left - self.right) <= 1e-6 * max(1.0, abs(self.left))
        return bool(near and self.here is not None and abs(self.here - self.left) <= 1e-6 * max(1.0, abs(self.left)))


class Kink(NamedTuple):
    """A node whose operation has no derivative at the values that it got."""

    node: str
    operation: str
    formula: str
    numbers: str  # the formula with the values of the first such entry
    entries: int  # at a kink
    size: int
    sides: tuple[Side, ...]  # none for complex numbers, which have more than two sides
    switches: bool  # the result is a truth value or a whole number, and jumps
    elsewhere: dict[str, Any] | None  # the entry of the table that is nearest
    place: str
    line: str

    def __str__(self) -> str:
        where = f" at {self.entries} of {self.size} entries" if self.size > 1 else ""
        lines = [f"{self.node} = {self.formula}, here {self.numbers}, has no derivative there{where}"]
        if self.place:
            lines.append(f"  {self.place}: `{self.line}`" if self.line and self.line != self.place else f"  {self.place}")
        for side in self.sides:
            taken = "0, declared not differentiable" if side.here is None else number(np.float64(side.here))
            lines.append(f"  by {side.argument}: {shown(side.left)} from the left, {shown(side.right)} from the right; taken is {taken}")
        if self.switches:
            lines.append("  it switches here: what depends on it jumps to another branch")
        if self.elsewhere:
            said = "; ".join(f"{name} {_said(self.elsewhere[name], name)}" for name in ("compgraph", *versions()))
            lines.append(f"  at {self.elsewhere['at']}: {said}")
        return "\n".join(lines)


def shown(value: float) -> str:
    return "no value" if math.isnan(value) else number(np.float64(value))


# ----------------------------------------------------------------------------- what other libraries do


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The stored table: `versions`, and `entries` with the derivatives of each library.

    >>> [(entry["compgraph"], entry["PyTorch"], entry["JAX"]) for entry in table()["entries"] if entry["primitive"] == "abs"]
    [([0.0], [0.0], [1.0])]
    """
    read: dict[str, Any] = json.loads(Path(__file__).with_name("kinks.json").read_text(encoding="utf-8"))
    return read


def versions() -> dict[str, str]:
    """The libraries that were asked, and their versions."""
    found: dict[str, str] = table()["versions"]
    return found


def nearest(operation: str, xs: list[Any]) -> dict[str, Any] | None:
    """The entry of an operation whose arguments have the most signs in common with the numbers `xs`."""
    entries = [entry for entry in table()["entries"] if entry["primitive"] == operation]

    def likeness(entry: dict[str, Any]) -> int:
        if entry["complex"]:
            theirs, ours = entry["args"][0], [xs[0].real, xs[0].imag]
        else:
            theirs, ours = entry["args"], xs
        return sum(
            np.ndim(a) == np.ndim(b) == 0 and bool(np.sign(a) == np.sign(b)) + bool(a == b) for a, b in zip(theirs, ours, strict=False)
        )

    return max(entries, key=likeness, default=None)


def _said(derivatives: Any, library: str) -> str:
    """`[0.5, 0.5]` as `0.5 and 0.5`, the words of the table as sentences, and the entries of an array in brackets."""
    if isinstance(derivatives, str):
        return "has no such function" if derivatives == "absent" else "0, declared" if library == "compgraph" else "gives no derivative"
    return " and ".join(str(one) if isinstance(one, list) else f"{float(one):g}" for one in derivatives)


# ----------------------------------------------------------------------------------- kinks on a trace


def kinks(graph: Graph, values: dict[Node, Any]) -> list[Kink]:
    """The nodes at a kink, in order, where a derivative by some input would have to pass.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: 3 * abs(x - 1), 0.0)
    >>> x, v1, v2, v3 = graph.nodes
    >>> [(one.node, *one.sides[0]) for one in kinks(graph, {x: np.float64(1), v1: np.float64(0), v2: np.float64(0)})]
    [('v2', 'v1', -1.0, 1.0, 0.0)]
    """
    active = active_nodes(graph.nodes, [node for node in graph.inputs if node.dtype.kind in "fc"])
    with np.errstate(all="ignore"):
        return [found for node in graph.nodes for found in _kinks_of(graph, node, values, active)]


def _kinks_of(graph: Graph, node: Node, values: dict[Node, Any], active: set[Node]) -> Iterator[Kink]:
    primitive = node.primitive
    flows = [place for place, arg in enumerate(node.args) if isinstance(arg, Node) and arg in active and arg.dtype.kind in "fc"]
    if primitive is None or primitive.kink is None or not flows:
        return
    xs = [values[arg] if isinstance(arg, Node) else arg for arg in node.args]
    mask = np.broadcast_to(primitive.kink(*xs, **node.params), node.shape)
    if not mask.any():
        return
    where = tuple(int(place) for place in np.argwhere(mask)[0])
    elementwise = "axis" not in primitive.fields and all(np.broadcast_shapes(np.shape(x), node.shape) == node.shape for x in xs)
    here = [_entry(x, where) if elementwise else x for x in xs]
    sides: tuple[Side, ...] = ()
    if node.dtype.kind == "f" and all(arg.dtype.kind == "f" for arg in (node.args[place] for place in flows)):
        sides = tuple(_side(graph, node, place, xs, values[node], where, elementwise) for place in flows)
        if primitive.differentiable and all(side.smooth for side in sides):
            return  # as x**0 has at 0
    texts = {id(arg): number(np.asarray(value)[()]) for arg, value in zip(node.args, here, strict=True) if isinstance(arg, Node)}
    yield Kink(
        graph.names[node], primitive.name, formula(node, graph.names.__getitem__), formula(node, lambda arg: texts[id(arg)]),
        int(mask.sum()), mask.size, sides, node.dtype.kind in "biu", nearest(primitive.name, here),
        describe_origin(node.origin), source_line(node.origin),
    )  # fmt: skip


def _entry(x: Any, where: tuple[int, ...]) -> Any:
    """The entry of a broadcast argument that goes into entry `where` of the result."""
    shape = np.shape(x)
    own = tuple(0 if length == 1 else place for length, place in zip(shape, where[len(where) - len(shape) :], strict=True))
    return np.asarray(x)[own]


def _side(graph: Graph, node: Node, place: int, xs: list[Any], y: Any, where: tuple[int, ...], elementwise: bool) -> Side:
    primitive, x = node.primitive, xs[place]
    assert primitive is not None
    doubles = [double(arg) if is_continuous(arg) else arg for arg in xs]
    candidates = list(np.ndindex(np.shape(x)))[:SEARCHED]
    if elementwise:
        shape = np.shape(x)
        candidates = [tuple(0 if n == 1 else p for n, p in zip(shape, where[len(where) - len(shape) :], strict=True))]

    def sides_by(entry: tuple[int, ...]) -> tuple[float, float]:
        def path(step: float) -> float:
            moved = np.array(doubles[place])
            moved[entry] += step
            arguments = [*doubles[:place], moved[()], *doubles[place + 1 :]]
            return float(np.asarray(primitive.evaluate(*arguments, **node.params))[where])

        return one_sided_limits(path, max(1.0, abs(float(np.asarray(x)[entry]))))

    found = [(entry, *sides_by(entry)) for entry in candidates]
    entry, left, right = next((one for one in found if one[1] != one[2]), found[0])
    name = graph.names[node.args[place]] + (f"[{', '.join(map(str, entry))}]" if entry else "")
    return Side(name, left, right, _derivative(node, place, xs, y, where, entry))


def _derivative(node: Node, place: int, xs: list[Any], y: Any, where: tuple[int, ...], entry: tuple[int, ...]) -> float | None:
    """The derivative of entry `where` of the result by entry `entry` of an argument, by the primitive's rule."""
    primitive = node.primitive
    if primitive is None or not primitive.differentiable:
        return None
    if primitive.kind(place) == "none":
        return 0.0
    leaf = Node(None, (), {}, xs[place])
    alone = Node(primitive, tuple(leaf if index == place else arg for index, arg in enumerate(xs)), node.params, y)
    seed = np.zeros(np.shape(y), node.dtype)
    seed[where] = 1
    return float(np.asarray(reverse_mode.sweep([alone], {alone: seed[()]}, {leaf}, value_of)[leaf])[entry]) + 0.0

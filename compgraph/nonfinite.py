"""Where a NaN or an infinity was born, and the way it took: forward to an output, or back to an input.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: 3.0 * np.sqrt(x - 1.0), 2.0)
    >>> found = journeys(graph, [1.0])
    >>> print(found[0].quantity, found[0].steps[0].name, found[0].steps[0].why)
    adjoint v1_bar 3 * inf: the local partial of sqrt is inf at sqrt(0)

A journey starts at a number that is not finite although everything it was made of is, and follows its readers. An
infinity that becomes a NaN on the way, as in inf - inf, says so at that step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np

from compgraph import forward_mode, reverse_mode
from compgraph.formulas import formula
from compgraph.graph import Graph, Node, active_nodes, apply
from compgraph.literals import number
from compgraph.loop import SCAN, turns
from compgraph.origins import describe_origin, source_line

LONGEST = 40  # steps of a journey that are told
MOST = 8  # journeys of a kind


class Stage(NamedTuple):
    """One number on the way. `why` says how it became what it is, where that is more than passing it on."""

    name: str  # v3, v3_dot or v3_bar
    node: str
    rule: str
    value: str
    why: str
    place: str
    line: str

    def __str__(self) -> str:
        text = f"{self.name} = {self.rule} = {self.value}" if self.rule else f"{self.name} = {self.value}"
        text += f"   {self.why}" if self.why else ""
        return text + (f"   ({self.place})" if self.place else "")


class Journey(NamedTuple):
    """The way of a NaN or an infinity through values, tangents or adjoints."""

    quantity: str  # "value", "tangent" or "adjoint"
    steps: tuple[Stage, ...]
    arrives: bool  # whether it reached an output, or the adjoint of an input
    nodes: tuple[Node, ...]  # that it passed, for a drawing
    taken_in: str = ""  # the readers of the last that are finite all the same

    def __str__(self) -> str:
        origin = self.steps[0]
        lines = [f"{self.quantity}: {origin.value} is born at {origin.name}" + (f": {origin.why}" if origin.why else "")]
        if origin.place:
            lines.append(f"  {origin.place}" + (f": `{origin.line}`" if origin.line and origin.line != origin.place else ""))
        lines += [f"  {'->' if place else '  '} {step}" for place, step in enumerate(self.steps)]
        if not self.arrives:
            lines.append("  and goes no further" + (f": {self.taken_in} does not take it" if self.taken_in else ""))
        return "\n".join(lines)


def journeys(graph: Graph, args: Sequence[Any]) -> list[Journey]:
    """All journeys of values that are not finite; those of tangents and adjoints only where the values are finite enough.

    A tangent is that for a tangent of 1 in every input, an adjoint that for an adjoint of 1 in every output.
    """
    values = evaluated(graph, args)
    with np.errstate(all="ignore"):
        found = list(islice(_of_values(graph, values), MOST))
        if not any(one.arrives for one in found):
            found += islice(_of_adjoints(graph, values), MOST)
            found += islice((one for one in _of_tangents(graph, values) if one.arrives), MOST)
    return found


def evaluated(graph: Graph, args: Sequence[Any]) -> dict[Node, Any]:
    """The value of every node; warnings of NumPy are left out, for what is not finite is told."""
    values: dict[Node, Any] = dict(zip(graph.inputs, graph.arguments(tuple(args), {}), strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if node not in values:
                values[node] = apply(node, values)
    return values


def is_bad(value: Any) -> bool:
    array = np.asarray(value)
    return array.dtype.kind in "fc" and not bool(np.isfinite(array).all())


# --------------------------------------------------------------------------------------------- values


def _of_values(graph: Graph, values: dict[Node, Any]) -> Iterator[Journey]:
    outputs = set(graph.outputs)
    bad = {node for node in graph.nodes if is_bad(values[node])}
    readers: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        for arg in node.args:
            if isinstance(arg, Node) and arg in bad:
                readers.setdefault(arg, []).append(node)
    for origin in graph.nodes:
        if origin not in bad or any(isinstance(arg, Node) and arg in bad for arg in origin.args):
            continue
        way = shortest([origin], lambda node: [one for one in readers.get(node, ()) if one in bad], outputs)
        if origin.primitive is not None and origin.primitive.name == "constant" and way[-1] not in outputs:
            continue  # an infinity that somebody wrote, and that a maximum has taken in
        steps = tuple(_value_step(graph, node, values) for node in way[:LONGEST])
        finite = [one for one in graph.nodes if one not in bad and any(arg is way[-1] for arg in one.args)]
        taken_in = f"{graph.names[finite[0]]} = {formula(finite[0], graph.names.__getitem__)}" if finite else ""
        yield Journey("value", steps, way[-1] in outputs, tuple(way), taken_in)


def shortest(starts: list[Any], following: Callable[[Any], list[Any]], goals: set[Any]) -> list[Any]:
    """The shortest way from a start to a goal; where no goal is reached, to the last that is reached."""
    came: dict[Any, Any] = dict.fromkeys(starts)
    queue = list(starts)
    end = queue[0]
    for end in queue:  # which grows on the way
        if end in goals:
            break
        for one in following(end):
            if one not in came:
                came[one] = end
                queue.append(one)
    way = [end]
    while came[way[-1]] is not None:
        way.append(came[way[-1]])
    return way[::-1]


def _value_step(graph: Graph, node: Node, values: dict[Node, Any]) -> Stage:
    rule = formula(node, graph.names.__getitem__) if node.args else ""
    return _step(graph, node, graph.names[node], rule, values[node], _why_value(node, values))


def _step(graph: Graph, node: Node, name: str, rule: str, value: Any, why: str) -> Stage:
    return Stage(name, graph.names[node], rule, number(value), why, describe_origin(node.origin), source_line(node.origin))


def _why_value(node: Node, values: dict[Node, Any]) -> str:
    """How a node's value became what it is, at its first entry that is not finite; empty where it was handed on."""
    primitive = node.primitive
    if primitive is None:
        return "given so"
    if primitive.name == "constant":
        return "written so"
    xs = [values[arg] if isinstance(arg, Node) else arg for arg in node.args]
    if primitive is SCAN:
        return _why_in_a_loop(node, xs)
    y = np.asarray(values[node])
    born = not any(is_bad(x) for x in xs)
    if primitive.partials is not None:
        where = tuple(np.argwhere(~np.isfinite(y))[0])
        xs, y = [np.broadcast_to(x, y.shape)[where] for x in xs], y[where]
        became_nan = np.isnan(y) and not any(np.isnan(x) for x in xs)
        if not (born or became_nan):
            return ""
        texts = {id(arg): number(np.asarray(x)[()]) for arg, x in zip(node.args, xs, strict=True)}
        said = formula(node, lambda arg: texts[id(arg)])
        entry = f" at entry {', '.join(map(str, where))}" if where else ""
        return f"{said}{entry}: {_reason(primitive.name, xs, y)}"
    if not born:
        return "from infinities" if np.isnan(y).any() and not any(np.isnan(x).any() for x in map(np.asarray, xs)) else ""
    return _reason(primitive.name, xs, y)


def _why_in_a_loop(loop: Node, xs: Sequence[Any]) -> str:
    """The turn, the node of the body and its line where the first number is born that is not finite."""
    body, carries, sequences = loop.params["body"], loop.params["carries"], loop.params["sequences"]
    if any(map(is_bad, xs)):
        return ""
    state, rows, constants = xs[:carries], xs[carries : carries + sequences], xs[carries + sequences :]
    for count, turn in enumerate(turns(loop.params["length"], loop.params["reverse"]), 1):
        values = evaluated(body, [*state, *(row[turn] for row in rows), *constants])
        state = [values[node] for node in body.outputs[:carries]]
        origin = next((node for node in body.nodes if is_bad(values[node])), None)
        if origin is not None:
            place = describe_origin(origin.origin)
            return f"in turn {count}: {_why_value(origin, values)}" + (f" ({place})" if place != describe_origin(loop.origin) else "")
    return ""


_LOGARITHMS = {"log": 0, "log2": 0, "log10": 0, "log1p": -1}
_POWERS = ("exp", "exp2", "expm1", "sinh", "cosh")


def _reason(name: str, xs: Sequence[Any], y: Any) -> str:
    """Why an operation gives a number that is not finite."""
    x = xs[0]
    if name in _LOGARITHMS:
        pole = _LOGARITHMS[name]
        return f"the logarithm of 0 is -{number(np.float64(np.inf))}" if x == pole else "a negative number has no real logarithm"
    if name in ("sqrt", "power") and np.isnan(y):
        return "a negative number has no such real root"
    if name in ("arcsin", "arccos", "arctanh") and np.isnan(y):
        return "it is defined between -1 and 1 only"
    if name in ("divide", "reciprocal", "remainder", "fmod", "floor_divide") and np.size(y) == 1 and np.ndim(y) == 0:
        above, below = (1.0, x) if name == "reciprocal" else xs[:2]
        if below == 0:
            return "0 / 0 has no value" if above == 0 else "a division by 0"
        if np.isinf(above) and np.isinf(below):
            return "inf / inf has no value"
    if name == "power" and x == 0:
        return "a division by 0"
    if name in ("multiply", "sheltered_product") and np.isnan(y):
        return "0 * inf has no value"
    if name in ("add", "subtract") and np.isnan(y):
        return "inf - inf has no value"
    dtype = np.asarray(y).dtype
    if name in _POWERS and dtype.kind == "f":
        base = 2 if name == "exp2" else np.e
        return f"overflow: in {dtype} it is larger than {np.finfo(dtype).max:.2g} above {np.log(np.finfo(dtype).max) / np.log(base):.4g}"
    if np.isinf(y).any():
        return f"overflow of {dtype}, or a pole"
    return f"{name} has no value there"


# ------------------------------------------------------------------------------------------- adjoints


class _Term(NamedTuple):
    """A summand of the adjoint of `arg`, from its reader `child`."""

    child: Node
    place: int
    arg: Node
    partial: Any
    value: Any


def unsheltered(graph: Graph) -> Graph:
    """The graph with selections that pass 0 times NaN as NaN, as `where` does in PyTorch and JAX. Nodes keep their order."""
    plain: dict[str, Any] = {}
    made: dict[Node, Node] = {}
    for node in graph.nodes:
        primitive = node.primitive
        if primitive is not None and primitive.selects:
            if primitive.name not in plain:
                plain[primitive.name] = copy.copy(primitive)
                plain[primitive.name].selects = False
            primitive = plain[primitive.name]
        args = tuple(made[arg] if isinstance(arg, Node) else arg for arg in node.args)
        made[node] = Node(primitive, args, node.params, node.value, node.origin, aval=(node.shape, node.dtype), name=node.name)
    return Graph([made[node] for node in graph.inputs], [made[node] for node in graph.outputs], name=graph.name)


def swept(graph: Graph, values: dict[Node, Any]) -> tuple[dict[Node, Any], list[_Term]]:
    """The adjoints of all nodes for an adjoint of 1 in every output, and their summands in order of arrival."""
    terms: list[_Term] = []

    def record(child: Node, place: int, arg: Node, partial: Any, value: Any) -> None:
        terms.append(_Term(child, place, arg, partial, value))

    active = active_nodes(graph.nodes, [node for node in graph.inputs if node.dtype.kind in "fc"])
    seeds = {node: np.ones(node.shape, node.dtype)[()] for node in graph.outputs if node in active and node.dtype.kind in "fc"}
    with np.errstate(all="ignore"):
        adjoints = reverse_mode.sweep(graph.nodes, dict(seeds), active, values.__getitem__, keep=True, record=record)
    return adjoints, terms


def _of_adjoints(graph: Graph, values: dict[Node, Any]) -> Iterator[Journey]:
    adjoints, terms = swept(graph, values)
    yield from adjoint_journeys(graph, values, adjoints, terms)


def adjoint_journeys(
    graph: Graph, values: dict[Node, Any], adjoints: dict[Node, Any], terms: list[_Term], names: dict[Node, str] | None = None
) -> Iterator[Journey]:
    names = graph.names if names is None else names
    inputs = set(graph.inputs)
    bad = [term for term in terms if is_bad(term.value)]
    onward: dict[Node, list[_Term]] = {}
    for term in bad:
        onward.setdefault(term.child, []).append(term)
    met: set[Node] = set()
    for origin in bad:
        if is_bad(adjoints[origin.child]) or origin.arg in met:
            continue
        way = shortest([origin.arg], lambda node: [term.arg for term in onward.get(node, ())], inputs)
        met |= set(way)
        steps = [_adjoint_step(graph, names, origin, adjoints, values)]
        for child, arg in pairwise(way):
            term = next(one for one in onward[child] if one.arg is arg)
            steps.append(_adjoint_step(graph, names, term, adjoints, values))
        yield Journey("adjoint", tuple(steps[:LONGEST]), way[-1] in inputs, (origin.child, *way))


def _adjoint_step(graph: Graph, names: dict[Node, str], term: _Term, adjoints: dict[Node, Any], values: dict[Node, Any]) -> Stage:
    child, y_bar = term.child, adjoints[term.child]
    name = child.primitive.name  # type: ignore[union-attr]
    rule = f"{names[child]}_bar carried back through {name}"
    why = ""
    if term.partial is not None:
        rule = f"{names[child]}_bar * d{names[child]}/d{names[term.arg]}"
        with np.errstate(all="ignore"):
            product = np.asarray(np.multiply(y_bar, term.partial))
        where = tuple(np.argwhere(~np.isfinite(product))[0]) if is_bad(product) else (0,) * product.ndim
        left, right = (np.broadcast_to(factor, product.shape)[where] for factor in (y_bar, term.partial))
        texts = {
            id(arg): number(np.asarray(np.broadcast_to(values[arg] if isinstance(arg, Node) else arg, product.shape)[where])[()])
            for arg in child.args
        }
        why = f"{number(left)} * {number(right)}"
        if not np.isfinite(right):
            why += f": the local partial of {name} is {number(right)} at {formula(child, lambda arg: texts[id(arg)])}"
    place, line = describe_origin(child.origin), source_line(child.origin)
    return Stage(f"{names[term.arg]}_bar", names[term.arg], rule, number(adjoints[term.arg]), why, place, line)


# ------------------------------------------------------------------------------------------- tangents


def _of_tangents(graph: Graph, values: dict[Node, Any]) -> Iterator[Journey]:
    seeds = {node: np.ones(node.shape, node.dtype)[()] for node in graph.inputs if node.dtype.kind in "fc"}
    tangents = forward_mode.sweep(graph.nodes, dict(seeds), values.__getitem__)
    outputs = set(graph.outputs)
    bad = {node for node in graph.nodes if node in tangents and is_bad(tangents[node])}
    readers: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        for arg in node.args:
            if isinstance(arg, Node) and arg in bad and node in bad:
                readers.setdefault(arg, []).append(node)
    for origin in graph.nodes:
        if origin not in bad or any(isinstance(arg, Node) and arg in bad for arg in origin.args):
            continue
        way = shortest([origin], lambda node: readers.get(node, []), outputs)
        steps = [_tangent_step(graph, node, tangents, values) for node in way[:LONGEST]]
        yield Journey("tangent", tuple(steps), way[-1] in outputs, tuple(way))


def _tangent_step(graph: Graph, node: Node, tangents: dict[Node, Any], values: dict[Node, Any]) -> Stage:
    primitive, why, rule = node.primitive, "", ""
    assert primitive is not None
    xs = [values[arg] if isinstance(arg, Node) else arg for arg in node.args]
    moving = [(place, arg) for place, arg in enumerate(node.args) if isinstance(arg, Node) and arg in tangents]
    if primitive.partials is not None:
        rules = [(arg, primitive.partials[place]) for place, arg in moving if primitive.partials[place] is not None]
        partials = [(arg, one(values[node], *xs)) for arg, one in rules if one is not None]
        name = graph.names[node]
        rule = " + ".join(f"d{name}/d{graph.names[arg]} * {graph.names[arg]}_dot" for arg, _ in partials)
        why = " + ".join(f"{_first_bad(partial)} * {_first_bad(tangents[arg])}" for arg, partial in partials)
    return _step(graph, node, f"{graph.names[node]}_dot", rule, tangents[node], why)


def _first_bad(value: Any) -> str:
    array = np.asarray(value)
    return number(array[tuple(np.argwhere(~np.isfinite(array))[0])]) if array.ndim and is_bad(array) else number(value)

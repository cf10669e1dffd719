"""Derivatives compared four ways, node by node: forward mode, reverse mode, SymPy, and numerically.

A derivative is a sum of products of local partials, so one wrong rule spoils the whole without saying where. Here
each local partial is compared by itself, at the values that its arguments really have, and the first that disagrees
is named.

For arrays a local derivative is a matrix J. It is compared along one random direction x_dot and, for reverse mode,
through the adjoint identity <y_bar, J x_dot> = <J' y_bar, x_dot>. For numbers both seeds are 1, and the four numbers
are the local partial itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compgraph import forward_mode, reverse_mode
from compgraph.containers import flatten
from compgraph.errors import CompgraphError, InputError, MissingRuleError, ShapeError
from compgraph.formulas import expression, formula
from compgraph.forward_mode import value_of
from compgraph.graph import PRIMITIVES, Graph, Node, Primitive, active_nodes, apply, bind, graph_of, placeholder, variable
from compgraph.numerical import Array, Differentiated, Path, adjoint_of, any_complex, differentiate, double, flat, inner, is_continuous
from compgraph.origins import describe_origin, here, source_line
from compgraph.reports import CheckReport, CheckRow
from compgraph.symbolic import TooLargeError, local_partial, partial_at
from compgraph.symbolic_derivatives import DIGITS, directional_derivative, whole_derivative
from compgraph.tracing import trace

SAMPLE = 48  # entries of an elementwise result that SymPy is asked for
ENTRIES = 100  # of an array through which SymPy pushes a direction
EXPRESSION = 2000  # operations of a whole expression, written out, that SymPy differentiates
TINY = 1e-90  # counts as 0 beside a complex step of 1e-100
COMPLEX = "SymPy: complex numbers are compared numerically"
PAIRS = 64  # of an output and an input that are compared one by one


# ------------------------------------------------------------------------------------ four ways, compared


@dataclass
class Case:
    """One directional derivative to be found four ways. Arrays are flat float64, one entry for each entry of y."""

    y: Array
    y_bar: Array
    push: Callable[[], Array]  # J x_dot, by forward mode
    pull: Callable[[Array], float]  # y_bar -> <J' y_bar, x_dot>, by reverse mode
    derive: Callable[[Array], tuple[Array, Array, str]]  # J x_dot by SymPy: which entries look suspicious -> values, asked, note
    path: Path
    analytic: bool
    scale: float  # of a step that changes the arguments noticeably
    rtol: float
    eps: float
    floor: Any = 0.0  # what rounding in y itself does to a derivative
    entrywise: bool = False  # whether each entry stands for itself, or only their largest says what is small
    whole: bool = False  # whether the chain rule proves it from local partials that are compared by themselves


def compared(case: Case) -> dict[str, Any]:
    """The fields of a `CheckRow` that say what was found."""
    try:
        forward = case.push()
    except Exception as error:  # a rule can be wrong in any way
        return {"verdict": "wrong", "note": f"the forward rule raised {type(error).__name__}: {error}"}
    numerical = differentiate(case.path, analytic=case.analytic, scale=case.scale)
    symbolic, asked, note = case.derive(numerical.kink | ~(abs(forward - numerical.values) <= 1e-3 * abs(numerical.values)))

    # A rule that gives NaN where SymPy has a number is wrong; a whole derivative inherits it from some local partial.
    outside = ~np.isfinite(case.y) | ~(np.isfinite(forward) | (np.isfinite(symbolic) & (not case.whole)))
    bad, proven, tolerance = _judged(case, forward, symbolic, numerical, outside)

    hidden = outside & (outside.size > 1)  # a single number is shown as it is
    y_bar = np.where(hidden, 0.0, case.y_bar)
    try:
        reverse = case.pull(y_bar)
    except Exception as error:
        return {"verdict": "wrong", "note": f"the reverse rule raised {type(error).__name__}: {error}"}
    ways = [float(np.sum(y_bar * np.where(hidden, 0.0, way))) for way in (forward, symbolic, numerical.values)]
    allowed = float(np.sum(abs(y_bar) * np.where(outside, 0.0, tolerance)))
    differs = not abs(ways[0] - reverse) <= allowed and (math.isfinite(reverse) or not outside.any())

    given = {"forward": ways[0], "reverse": reverse, "symbolic": ways[1], "numerical": ways[2]}
    found = {way: value if math.isfinite(value) else None for way, value in given.items()}
    differences = float(np.sum(y_bar * np.where(hidden, 0.0, numerical.differences)))
    by_numbers = {
        "complex_step": found["numerical"] if numerical.stepped else None,
        "differences": differences if math.isfinite(differences) else None,
    }
    convention = numerical.kink | (asked & ~np.isfinite(symbolic) & ~outside)
    if bad.any() or differs:
        verdict, note = "wrong", _who_differs(found, allowed) or note
    elif outside.any():
        verdict, note = "outside the domain", _share(outside) or note
    elif convention.any():
        verdict, note = "kink: convention used", _share(convention) or note
    elif case.whole or np.all(proven) or (case.entrywise and proven.any()):
        verdict = "agrees"
    else:
        verdict = "not compared"
    digits = _agreeing_digits(found, float(np.sum(abs(y_bar) * case.floor)))
    return {**found, **by_numbers, "digits": digits, "verdict": verdict, "note": note}


def _judged(case: Case, forward: Array, symbolic: Array, numerical: Differentiated, outside: Array) -> tuple[Array, Array, Array]:
    """Which entries are wrong, which were compared with SymPy or numerically, and the tolerance of each."""
    size = np.max([np.where(np.isfinite(way), abs(way), 0.0) for way in (forward, symbolic, numerical.values)], axis=0)
    if not case.entrywise:
        size = np.full(size.shape, np.max(size, initial=0.0))
    smooth = ~numerical.kink & ~outside
    by_sympy = np.isfinite(symbolic) & smooth
    by_numbers = np.isfinite(numerical.values) & (numerical.error <= 1e-3 * size + case.floor) & smooth

    def wrong(tolerance: Array) -> Array:
        bad = by_sympy & ~(abs(forward - symbolic) <= tolerance)
        bad |= by_numbers & ~(abs(forward - numerical.values) <= tolerance + numerical.rtol * size + numerical.error)
        jump = abs(numerical.right - numerical.left)  # a convention is a value between the two sides
        return bad | (numerical.kink & ~outside & ~(abs(2 * forward - numerical.left - numerical.right) <= 1.001 * jump))

    tolerance = case.rtol * size + case.floor
    if np.any(wrong(tolerance)):  # an ill-conditioned derivative moves as far when its arguments move by a rounding error
        nudged = differentiate(case.path, analytic=case.analytic, scale=case.scale, nudge=16 * case.eps).values
        tolerance = tolerance + np.nan_to_num(abs(nudged - numerical.values), nan=0.0, posinf=0.0)
    return wrong(tolerance), by_sympy | by_numbers, tolerance


def _share(entries: Array) -> str:
    return f"at {np.sum(entries)} of {entries.size} entries" if entries.size > 1 else ""


def _who_differs(found: dict[str, float | None], tolerance: float) -> str:
    """Which of the ways differ from SymPy, or from the numerical one where SymPy has no answer."""
    reference = "symbolic" if found["symbolic"] is not None else "numerical"
    truth = found[reference]
    if truth is None:
        return ""
    near = {way: tolerance + 1e-6 * abs(truth) * (way == "numerical") for way in found}
    apart = [way for way, value in found.items() if value is None or abs(value - truth) > near[way]]
    names = " and ".join(way.replace("symbolic", "SymPy") for way in apart)
    return f"{names} differ{'s' * (len(apart) == 1)} from {reference.replace('symbolic', 'SymPy')}" if apart else ""


def _agreeing_digits(found: dict[str, float | None], floor: float) -> float | None:
    """How many digits all numbers share; None where they are no more than rounding."""
    values = [value for value in found.values() if value is not None]
    size = max(map(abs, values), default=0.0)
    if len(values) < 2 or 0 < size < 100 * floor:
        return None
    spread = max(values) - min(values)
    return 16.0 if spread == 0 else max(0.0, min(16.0, -math.log10(spread / size)))


# ------------------------------------------------------------------------------------ one local partial


def _direction(like: Any, generator: np.random.Generator) -> Any:
    """1 for a number. For an array, random factors near 1 in the size of its entries: positive, so nothing cancels.

    Complex ones point into the first quadrant.
    """
    turn = 0.8 + 0.6j if like.dtype.kind == "c" else 1
    if not np.shape(like):
        return like.dtype.type(turn)
    size = np.maximum(1.0, abs(np.nan_to_num(like, posinf=0.0, neginf=0.0)))
    return (turn * generator.uniform(0.5, 1.5, like.shape) * size).astype(like.dtype)


def _step_scale(x: Any, x_dot: Any) -> float:
    size, step = abs(np.ravel(double(x))), abs(np.ravel(double(x_dot)))
    return float(np.min(np.maximum(1.0, size) / step, initial=np.inf, where=np.isfinite(size))) if size.size else 1.0


def _tolerance(values: Sequence[Any], rtol: float | None) -> tuple[float, float, float]:
    """The relative tolerance, the rounding unit and what counts as 0, for a computation with these values."""
    kinds = [np.finfo(value.dtype) for value in values if is_continuous(value)]
    eps = max(float(kind.eps) for kind in kinds)
    return (eps**0.75 if rtol is None else rtol), eps, max(TINY, *(float(kind.tiny) for kind in kinds))


def _local_case(node: Node, place: int, xs: list[Any], y: Any, generator: np.random.Generator, rtol: float | None) -> Case:
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    x = xs[place]
    x_dot = _direction(x, generator)
    y_bar = _direction(np.ones(np.shape(y), y.dtype)[()], generator)
    rtol, eps, zero = _tolerance([y, *xs], rtol)
    pairs = any_complex((y, *xs))

    def path(step: Any, nudge: float) -> Array:
        moved = [double(arg) * (1 + nudge) if is_continuous(arg) else arg for arg in xs]
        moved[place] = moved[place] + step * double(x_dot)
        found = primitive.evaluate(*moved, **node.params)
        return flat(found) if pairs else np.ravel(np.asarray(found))

    def push() -> Array:
        return flat(forward_mode.push(primitive, y, xs, [x_dot if index == place else None for index in range(len(xs))], node.params))

    def pull(seed: Array) -> float:
        leaf = Node(None, (), {}, x)
        alone = Node(primitive, tuple(leaf if index == place else arg for index, arg in enumerate(xs)), node.params, y)
        x_bar = reverse_mode.sweep([alone], {alone: adjoint_of(seed, y)}, {leaf}, value_of)[leaf]
        if x_bar.shape != x.shape:
            raise ShapeError(f"the adjoint of {x.shape} has shape {x_bar.shape}")
        return inner(x_bar, x_dot)

    entrywise = primitive.partials is not None
    largest = np.broadcast_to(abs(double(x_dot)) / np.maximum(1.0, abs(double(x))), y.shape) if entrywise else 0.0
    return Case(
        y=flat(y), y_bar=flat(y_bar), push=push, pull=pull, path=path, rtol=rtol, eps=eps, entrywise=entrywise,
        derive=lambda suspicious: _derived(node, place, xs, y, x_dot, suspicious), scale=_step_scale(x, x_dot),
        analytic=_is_analytic(primitive) and not pairs,
        floor=zero + np.nan_to_num(64 * eps * np.repeat(np.ravel(abs(double(y)) * largest), 1 + (y.dtype.kind == "c")), posinf=0.0),
    )  # fmt: skip


def _is_analytic(primitive: Primitive) -> bool:
    """Whether the code can take the complex step; one that names a dtype would drop the imaginary part."""
    return primitive.analytic and "dtype" not in primitive.fields


def _derived(node: Node, place: int, xs: list[Any], y: Any, x_dot: Any, suspicious: Array) -> tuple[Array, Array, str]:
    """J x_dot as SymPy derives it; which entries it was asked for; and why not more."""
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    result, asked = np.full(flat(y).size, np.nan), np.zeros(flat(y).size, bool)
    if any_complex((y, *xs)):
        return result, asked, COMPLEX
    try:
        if primitive.partials is None:
            return flat(directional_derivative(node, xs, place, x_dot, limit=ENTRIES)), ~asked, ""
        order = np.argsort(~suspicious, kind="stable")  # those first that look wrong, then evenly spread ones
        head, rest = np.split(order, [min(SAMPLE // 2, int(np.sum(suspicious)))])
        chosen = [*head, *rest[:: max(1, math.ceil(len(rest) / (SAMPLE - len(head))))]]
        columns = [np.broadcast_to(arg, np.shape(y)).ravel() for arg in (*xs, x_dot)]
        for entry in chosen:
            *numbers, slope = [column[entry].item() for column in columns]
            result[entry] = partial_at(primitive.sympy, place, numbers, DIGITS) * slope  # type: ignore[arg-type]
            asked[entry] = True
        return result, asked, "" if asked.all() else f"SymPy at {len(chosen)} of {asked.size} entries"
    except TooLargeError as error:
        return result, asked, f"SymPy: {error}"
    except (MissingRuleError, TypeError, AttributeError, NotImplementedError) as error:
        return result, asked, f"no SymPy form: {error}"


def _local_rows(graph: Graph, values: dict[Node, Any], active: set[Node], seed: int, rtol: float | None) -> Iterator[CheckRow]:
    """A row for each argument of each node through which a derivative can flow, and one where it is stopped."""
    for number, node in enumerate(graph.nodes):
        primitive = node.primitive
        if primitive is None or node.dtype.kind not in "fc":
            continue
        xs = [values[arg] if isinstance(arg, Node) else arg for arg in node.args]
        about: dict[str, Any] = {
            "node": graph.names[node], "operation": primitive.name, "formula": formula(node, graph.names.__getitem__),
            "place": describe_origin(node.origin), "line": source_line(node.origin),
        }  # fmt: skip
        for place, arg in enumerate(node.args):
            if not isinstance(arg, Node) or arg not in active or arg.dtype.kind not in "fc":
                continue
            argument = graph.names[arg]
            if not primitive.differentiable or primitive.kind(place) == "none":
                yield CheckRow(**about, argument=argument, verdict="zero, said aloud")
                continue
            case = _local_case(node, place, xs, values[node], np.random.default_rng([seed, number, place]), rtol)
            found = compared(case)
            written = _written(node, place) if found["verdict"] == "wrong" else ""
            yield CheckRow(**about, argument=argument, rule=_rule(primitive, len(xs), place), written=written, **found)


def _written(node: Node, place: int) -> str:
    """The rule as its primitive states it, run on symbols; and where a user stated it."""
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    symbols = [placeholder(arg.shape, arg.dtype) if isinstance(arg, Node) else arg for arg in node.args]
    texts = ["x"] if len(symbols) == 1 else [f"x{number}" for number in range(1, len(symbols) + 1)]
    names = {one: text for one, text in zip(symbols, texts, strict=True) if isinstance(one, Node)}
    y, y_bar = placeholder(node.shape, node.dtype), placeholder(node.shape, node.dtype)
    names |= {y: "y", y_bar: "y_bar"}
    try:
        if primitive.partials is not None:
            built, said = primitive.partials[place](y, *symbols), f"d y / d {texts[place]} = "  # type: ignore[misc]
        else:
            built, said = reverse_mode.transposed(primitive, place, y_bar, y, symbols, node.params), f"{texts[place]}_bar = "
        said += expression(built, names.get).text if isinstance(built, Node) else str(built)
    except Exception:  # a rule can be wrong in any way
        said = ""
    rule = None if primitive.stated is None else primitive.stated[1]
    rule = rule[place] if isinstance(rule, (tuple, list)) else rule
    code = getattr(rule, "__code__", None)
    where = "" if code is None else describe_origin((code, 0))
    return f"{said} ({where})" if said and where else said or where


def _rule(primitive: Primitive, count: int, place: int) -> str:
    if primitive.partials is None or primitive.sympy is None:
        return ""
    try:
        symbols, derivative = local_partial(primitive.sympy, count, place)
        return f"d {primitive.name}({', '.join(map(str, symbols))}) / d {symbols[place]} = {derivative}"
    except (TypeError, AttributeError):
        return ""


# ------------------------------------------------------------------------------------ the whole graph


def _whole_rows(graph: Graph, values: dict[Node, Any], active: set[Node], seed: int, rtol: float | None) -> Iterator[CheckRow]:
    """Each output by each input; above `PAIRS` of them, all outputs by all inputs along one joint direction."""
    outputs = [node for node in dict.fromkeys(graph.outputs) if node.dtype.kind in "fc" and node in active]
    inputs = [node for node in graph.inputs if node.dtype.kind in "fc"]
    if not outputs or not inputs:
        return
    groups: list[tuple[tuple[Node, ...], tuple[Node, ...]]] = [((output,), (one,)) for output in outputs for one in inputs]
    if len(groups) > PAIRS:
        groups = [(tuple(outputs), tuple(inputs))]
    for number, (of, wrt) in enumerate(groups):
        case, rule = _whole_case(graph, values, active, of, wrt, np.random.default_rng([seed, number]), rtol, EXPRESSION // len(groups))
        above = graph.names[of[0]] if len(of) == 1 else "all outputs"
        below = graph.names[wrt[0]] if len(wrt) == 1 else "all inputs"
        found = compared(case)
        yield CheckRow(node=above, operation="", formula=f"d {above} / d {below}", argument=below, rule="".join(rule), **found)


def _whole_case(
    graph: Graph, values: dict[Node, Any], active: set[Node], of: tuple[Node, ...], wrt: tuple[Node, ...],
    generator: np.random.Generator, rtol: float | None, limit: int,
) -> tuple[Case, list[str]]:  # fmt: skip
    directions = {node: _direction(values[node], generator) for node in wrt}
    fixed = [node for node in graph.nodes if node.primitive is not None and not node.primitive.differentiable and node.dtype.kind in "fc"]
    kept = {node: double(values[node]) for node in (*fixed, *graph.inputs)}
    pairs = any_complex(graph.nodes)
    splits = np.cumsum([flat(values[node]).size for node in of])[:-1]
    base, eps, zero = _tolerance(graph.nodes, rtol)
    rule: list[str] = []

    def joined(parts: Any) -> Array:
        return np.concatenate([flat(part) if pairs else np.ravel(np.asarray(part)) for part in parts])

    def path(step: Any, nudge: float) -> Array:
        environment = {**kept, **{node: kept[node] * (1 + nudge) + step * double(direction) for node, direction in directions.items()}}
        for node in graph.nodes:
            if node not in environment:
                environment[node] = wide_value(node, environment)
        return joined(environment[node] for node in of)

    def push() -> Array:
        tangents = forward_mode.sweep(graph.nodes, dict(directions), values.__getitem__)
        return flat(joined(tangents.get(node, np.zeros(node.shape, node.dtype)) for node in of))

    def pull(seed: Array) -> float:
        parts = np.split(seed, splits)
        seeds = {node: adjoint_of(part, node) for node, part in zip(of, parts, strict=True)}
        adjoints = reverse_mode.sweep(graph.nodes, seeds, active, values.__getitem__)
        return float(sum(inner(adjoints[node], directions[node]) for node in wrt if node in adjoints))

    def derive(_: Array) -> tuple[Array, Array, str]:
        size = y.size
        if pairs:
            return np.full(size, np.nan), np.zeros(size, bool), COMPLEX
        try:
            found, text = whole_derivative(graph, values, fixed, of, directions, limit=limit)
        except TooLargeError as error:
            return np.full(size, np.nan), np.zeros(size, bool), f"SymPy: {error}"
        except (CompgraphError, TypeError, AttributeError, NotImplementedError, RecursionError) as error:
            return np.full(size, np.nan), np.zeros(size, bool), f"no SymPy form: {error}"
        rule.append(text and f"d {graph.names[of[0]]} / d {graph.names[wrt[0]]} = {text}")
        return joined(found), np.ones(size, bool), ""

    flows = [node.primitive for node in graph.nodes if node.primitive is not None and node in active]
    y = flat(joined(values[node] for node in of))
    case = Case(
        y=y, y_bar=flat(joined(_direction(double(np.ones(node.shape, node.dtype)), generator) for node in of)), push=push, pull=pull,
        derive=derive, path=path, analytic=not pairs and all(map(_is_analytic, flows)),
        scale=min(_step_scale(values[node], directions[node]) for node in wrt),
        # Rounding errors add up along the graph; a derivative that cancels keeps those of the terms.
        rtol=100 * base if rtol is None else rtol, eps=eps, floor=zero + np.nan_to_num(100 * eps * abs(y), posinf=0.0), whole=True,
    )  # fmt: skip
    return case, rule


def wide_value(node: Node, environment: dict[Node, Any]) -> Any:
    """A node's value for arguments that may be complex, which `bind` does not let in."""
    if node.primitive is None:
        return double(node.value)
    return node.primitive.evaluate(*[environment[arg] if isinstance(arg, Node) else arg for arg in node.args], **node.params)


# ----------------------------------------------------------------------------------------- the checks


def check(f_or_graph: Callable[..., Any] | Graph, /, *args: Any, seed: int = 0, rtol: float | None = None, **named: Any) -> CheckReport:
    """Compare every local partial, and every output's derivative by every input, four ways.

    >>> import numpy as np, compgraph as cg
    >>> report = check(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0)
    >>> bool(report), [round(row.reverse, 3) for row in report.rows[-2:]]
    (True, [5.5, 1.716])

    A function is traced; a graph is checked as it is, with arguments by position or name, or with the values that its
    inputs hold. `seed` chooses the directions along which arrays are compared.

    Tolerance: forward mode, reverse mode and SymPy agree to eps**0.75 of the dtype, 2e-12 in float64 and 6e-6 in float32,
    beyond what a rounding error in the arguments does to the derivative; so does the complex step, h = 1e-100, where
    the operation is analytic. Extrapolated central differences add 1e-7 and ten times their own error estimate.
    Whole derivatives get 100 times as much, for rounding adds up. `rtol` replaces eps**0.75. References are computed
    in float64 and in numbers of 40 digits, at exactly the values that the nodes have.

    SymPy is asked for 48 entries of an elementwise array, and for other operations up to 100 entries; what it is not
    asked is said in the row, and then rests on the numerical derivative. Raises what tracing raises; a disagreement is
    reported, see `CheckReport.raise_if_wrong`.
    """
    graph, inputs = graph_and_values(f_or_graph, args, named, "check")
    values: dict[Node, Any] = dict(zip(graph.inputs, inputs, strict=True))
    with np.errstate(all="ignore"):  # what is not finite is reported in its row
        for node in graph.nodes:
            if node not in values:
                values[node] = apply(node, values)
        active = active_nodes(graph.nodes, [node for node in graph.inputs if node.dtype.kind in "fc"])
        rows = [*_local_rows(graph, values, active, seed, rtol), *_whole_rows(graph, values, active, seed, rtol)]
    return CheckReport(graph.name, tuple(rows))


def graph_and_values(f_or_graph: Any, args: tuple[Any, ...], named: dict[str, Any], asked: str) -> tuple[Graph, list[Any]]:
    """A function's graph, or a graph, and the value of each of its inputs, for the function `asked`."""
    if isinstance(f_or_graph, Graph):
        if not args and not named and all(node.value is not None for node in f_or_graph.inputs):
            return f_or_graph, [node.value for node in f_or_graph.inputs]
        return f_or_graph, f_or_graph.arguments(args, named)
    if not callable(f_or_graph):
        said = f"{asked} takes a function or a graph, not {type(f_or_graph).__name__}"
        raise InputError(f"{said}; for a node write {asked}(cg.graph_of(node)){here()}")
    graph = trace(f_or_graph, *args, **named)
    leaves = [leaf for value in (*args, *named.values()) for leaf in flatten(value)[0]]
    return graph, graph.arguments([getattr(leaf, "value", leaf) for leaf in leaves], {})


def check_primitive(primitive: str | Primitive, /, *args: Any, seed: int = 0, rtol: float | None = None, **params: Any) -> CheckReport:
    """`check` for one primitive: floats and arrays of floats become inputs, other arguments stay constants.

    >>> import numpy as np
    >>> check_primitive("sum", np.ones((2, 3)), axis=0, keepdims=False).ok
    True
    """
    name = primitive if isinstance(primitive, str) else primitive.name
    if name not in PRIMITIVES:
        raise InputError(f"there is no primitive {name!r}")
    nodes: list[Any] = []
    for number, arg in enumerate(args, 1):
        moves = isinstance(arg, (float, complex)) or is_continuous(arg)
        nodes.append(variable(arg, name=f"x{number}") if moves else arg)
    with np.errstate(all="ignore"):
        result = bind(primitive, *nodes, **params)
    return check(graph_of(result, name=name), seed=seed, rtol=rtol)

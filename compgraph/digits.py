"""How many digits of each value are right, which stable form would keep more of them, and the double `where`.

A graph is computed once more, with numbers of 50 digits, at exactly the values that its inputs have. Beside those every
rounding error of the floats shows.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: 1 - np.cos(x), 0.0)
    >>> [rewrite] = rewrites(graph, [1e-9])
    >>> rewrite.name, rewrite.verified, rewrite.plain.value, float(rewrite.stable.value)
    ('half-angle sine', True, '0', 5e-19)
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from compgraph import forward_mode
from compgraph.errors import CompgraphError
from compgraph.formulas import expression, formula
from compgraph.graph import Graph, Node, ancestors, bind, placeholder
from compgraph.literals import number
from compgraph.modes import mode_with
from compgraph.nonfinite import Journey, adjoint_journeys, evaluated, is_bad, swept, unsheltered
from compgraph.numerical import Array
from compgraph.origins import describe_origin, source_line
from compgraph.stabilisation import stabilise, stable_forms
from compgraph.symbolic import Environment, TooLargeError, exact, extend
from compgraph.symbolic_derivatives import whole_derivative

DIGITS = 50
ENTRIES = 1000  # of a node that is computed with so many digits
SECONDS = 3.0  # after which the rest stays unknown
LOST = 4.0  # digits: what is more is told


# --------------------------------------------------------------------------------- numbers of 50 digits


class Precise(NamedTuple):
    """The value of each node in SymPy's numbers, and for the others why they are missing."""

    values: Environment
    missing: dict[Node, str]


def precise(graph: Graph, values: dict[Node, Any], *, digits: int = DIGITS) -> Precise:
    """The graph in numbers of many digits; what SymPy cannot compute, and what depends on it, is left out and said."""
    known: Environment = {}
    missing: dict[Node, str] = {}
    until = time.monotonic() + SECONDS
    for node in graph.nodes:
        try:
            if time.monotonic() > until:
                raise TooLargeError(f"it took longer than {SECONDS:g} s")
            if any(arg in missing for arg in node.args if isinstance(arg, Node)):
                raise TooLargeError("an argument is unknown")
            if node.size > ENTRIES:
                raise TooLargeError(f"too large: more than {ENTRIES} entries")
            if node.primitive is None:
                known[node] = exact(values[node], digits)
            else:
                extend(known, [node], limit=ENTRIES, digits=digits)
        except (CompgraphError, TypeError, AttributeError, NotImplementedError, ValueError, ZeroDivisionError, RecursionError) as error:
            missing[node] = " ".join(str(error).split())
    return Precise(known, missing)


def relative_error(value: Any, reference: Any) -> Array:
    """|value - reference| / |reference| of each entry; NaN where the reference is no real number, inf where a float fails."""
    floats, found = np.ravel(np.asarray(value)), np.ravel(reference).tolist()
    smallest = float(np.finfo(floats.dtype).smallest_subnormal) if floats.dtype.kind == "f" else 0.0
    return np.array([_error(one, true, smallest) for one, true in zip(floats.tolist(), found, strict=True)])


def _error(value: float, true: Any, smallest: float) -> float:
    if not getattr(true, "is_Number", False) or not true.is_finite:
        return math.nan
    if isinstance(value, complex) or not math.isfinite(value):
        return math.inf
    difference = abs(exact(value, 2 * DIGITS)[()] - true)
    if difference < smallest:  # the numbers have no finer grid there
        return 0.0
    return math.inf if not true else float(difference / abs(true))


# ---------------------------------------------------------------------------------------- cancellation


class Cancellation(NamedTuple):
    """A sum or a difference that has lost digits which its arguments still had."""

    node: str
    formula: str
    numbers: str
    value: str
    true: str
    lost: float  # decimal digits
    place: str
    line: str

    def __str__(self) -> str:
        place = f"\n  {self.place}" + (f": `{self.line}`" if self.line and self.line != self.place else "") if self.place else ""
        lost = "all digits" if self.lost > 15 else f"about {self.lost:.0f} digits"
        return f"{self.node} = {self.formula} = {self.numbers} loses {lost}: {self.value} for {self.true}{place}"


def cancellations(graph: Graph, values: dict[Node, Any], known: Precise) -> list[Cancellation]:
    """The nodes that add or subtract, and whose result has far larger relative errors than their arguments.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: np.sqrt(x + 1) - np.sqrt(x), 1.0)
    >>> values = evaluated(graph, [1e12])
    >>> [(one.node, round(one.lost)) for one in cancellations(graph, values, precise(graph, values))]
    [('v4', 11)]
    """
    found = []
    for node in graph.nodes:
        if node.primitive is None or node.primitive.cost != "additions" or node.dtype.kind != "f" or node not in known.values:
            continue
        errors = relative_error(values[node], known.values[node])
        before = [_largest(relative_error(values[arg], known.values[arg])) for arg in node.args if isinstance(arg, Node)]
        worst = int(np.argmax(np.nan_to_num(errors, nan=-1.0, posinf=-1.0))) if errors.size else 0
        if not errors.size or not math.isfinite(errors[worst]):
            continue
        eps = float(np.finfo(node.dtype).eps)
        lost = math.log10(max(errors[worst], eps) / max(eps, *before, 0.0))
        if lost >= LOST:
            texts = formula(node, partial(_entry_text, values, worst, node))
            true = number(float(np.ravel(known.values[node])[worst]))
            found.append(Cancellation(
                graph.names[node], formula(node, graph.names.__getitem__), texts, number(np.ravel(values[node])[worst]), true, lost,
                describe_origin(node.origin), source_line(node.origin),
            ))  # fmt: skip
    return found


def _largest(errors: Array) -> float:
    finite = errors[np.isfinite(errors)]
    return float(finite.max()) if finite.size else 0.0


def _entry_text(values: dict[Node, Any], place: int, node: Node, arg: Node) -> str:
    """The entry of a broadcast argument beside entry `place` of the node; the whole argument of a reduction."""
    try:
        return number(np.broadcast_to(values[arg], node.shape).reshape(-1)[place])
    except ValueError:
        return number(values[arg])


# --------------------------------------------------------------------------------------- stable forms


class Measured(NamedTuple):
    """A form, its value, and how far that and its derivative are from the numbers of 50 digits."""

    form: str
    value: str
    error: float
    derivative_error: float


class Rewrite(NamedTuple):
    """A plain form, the stable one, and what both give here."""

    name: str
    why: str
    node: str
    plain: Measured
    stable: Measured
    agree: float  # how far the two forms are apart with 50 digits
    true: str
    place: str
    line: str

    @property
    def verified(self) -> bool:
        """Whether both forms are one function at this point, and the stable one is right in value and derivative."""
        good = [error for error in (self.stable.error, self.stable.derivative_error) if not math.isnan(error)]
        return self.agree < 1e-30 and all(error < 1e-9 for error in good)

    @property
    def needed(self) -> bool:
        """Whether the plain form has lost digits at this point."""
        return any(plain > max(1e-12, 100 * stable) for plain, stable in zip(self.plain[2:], self.stable[2:], strict=True))

    def __str__(self) -> str:
        lines = [f"{self.node} = {self.plain.form}: {self.why}"]
        if self.place:
            lines.append(f"  {self.place}" + (f": `{self.line}`" if self.line and self.line != self.place else ""))
        for label, form in (("written ", self.plain), ("stable  ", self.stable)):
            lines.append(f"  {label} {form.form} = {form.value}, {_said(form.error)}; derivative {_said(form.derivative_error)}")
        state = "verified" if self.verified else "not verified"
        return "\n".join([*lines, f"  {state} against {self.true}; with {DIGITS} digits both forms differ by {self.agree:.1g}"])


def _said(error: float) -> str:
    if math.isnan(error):
        return "not compared"
    return "exact" if error == 0 else "wrong" if error >= 1 else f"relative error {error:.1g}"


def rewrites(graph: Graph, args: Sequence[Any]) -> list[Rewrite]:
    """The stable forms of plain ones in the graph, each computed at the point, as floats and with 50 digits."""
    names = {node: graph.names[node] for node in graph.inputs}
    values = evaluated(graph, args)
    found = []
    for node, name, why in stable_forms(graph):
        plain = Graph(graph.inputs, [node], name=graph.name)
        stable = stabilise(plain)
        reference, other = (precise(one, evaluated(one, args)) for one in (plain, stable))
        truth = reference.values.get(node)
        slope = _true_slope(plain, values)
        both = other.values.get(stable.outputs[0])
        agree = math.nan
        if truth is not None and both is not None:
            agree = max((_distance(*pair) for pair in zip(np.ravel(truth), np.ravel(both), strict=True)), default=0.0)
        first = np.ravel(truth)[0] if truth is not None and truth.size else None
        true = f"{first.evalf(12)}" + " ..." * (node.size > 1) if first is not None else "nothing: SymPy has no such form"
        found.append(Rewrite(
            name, why, graph.names[node], _measured(plain, args, truth, slope, names),
            _measured(stable, args, truth, slope, dict(zip(stable.inputs, names.values(), strict=True))), agree, true,
            describe_origin(node.origin), source_line(node.origin),
        ))  # fmt: skip
    return found


def _distance(one: Any, other: Any) -> float:
    if not getattr(one, "is_finite", False) or not getattr(other, "is_finite", False):
        return math.nan
    return float(abs(one - other) / abs(one)) if one else float(abs(other))


def _directions(graph: Graph) -> dict[Node, Any]:
    return {node: np.ones(node.shape, node.dtype)[()] for node in graph.inputs if node.dtype.kind == "f"}


def _true_slope(graph: Graph, values: dict[Node, Any]) -> Any:
    """The derivative along a tangent of 1 in every input, by SymPy; None where it has none."""
    try:
        slopes, _ = whole_derivative(graph, values, (), graph.outputs, _directions(graph), limit=ENTRIES)
    except (CompgraphError, TypeError, AttributeError, NotImplementedError, ValueError, RecursionError):
        return None
    return slopes[0]


def _measured(graph: Graph, args: Sequence[Any], truth: Any, slope: Any, names: dict[Node, str]) -> Measured:
    values = evaluated(graph, args)
    (output,) = graph.outputs
    with np.errstate(all="ignore"):
        tangents = forward_mode.sweep(graph.nodes, _directions(graph), values.__getitem__)
    error = float(relative_error(values[output], truth).max(initial=0.0)) if truth is not None else math.nan
    derivative = math.nan
    if slope is not None and output in tangents and np.isfinite(slope).all():
        derivative = float(relative_error(tangents[output], exact(slope, DIGITS)).max(initial=0.0))
    form = expression(output, names.get).text
    return Measured(form if len(form) <= 100 else formula(output, graph.names.__getitem__), number(values[output]), error, derivative)


# ------------------------------------------------------------------------------------ the double where


class Trap(NamedTuple):
    """A NaN in a branch that a selection does not take, which other libraries let into the gradient."""

    selection: str
    formula: str
    journey: Journey  # as PyTorch and JAX would have it
    fix: str  # code; empty where none was found
    fixed: Graph | None  # the same function with the inner `where`, whose gradient is finite in any library
    place: str
    line: str

    def __str__(self) -> str:
        lines = [f"{self.selection} = {self.formula} hides a branch whose derivative is not finite"]
        if self.place:
            lines.append(f"  {self.place}" + (f": `{self.line}`" if self.line and self.line != self.place else ""))
        lines += ["  here what was not selected has no say; PyTorch and JAX compute 0 * inf and return NaN:"]
        lines += [f"  {line}" for line in str(self.journey).splitlines() if "->" in line or "_bar = " in line]
        if self.fix:
            lines += ["  the double where is safe in every library, and verified here:"]
            lines += [f"      {line}" for line in self.fix.splitlines()]
        return "\n".join(lines)


def traps(graph: Graph, values: dict[Node, Any]) -> list[Trap]:
    """Selections behind which a gradient stays finite only because what was not selected is not asked for.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: np.where(x > 0, np.log(x), 0.0), 1.0)
    >>> [trap] = traps(graph, evaluated(graph, [0.0]))
    >>> print(trap.fix)
    safe = np.where(x > 0, x, 1.0)
    v2 = np.log(safe)
    """
    adjoints, _ = swept(graph, values)
    plain = unsheltered(graph)
    places = dict(zip(plain.nodes, graph.nodes, strict=True))
    own = {node: values[old] for node, old in places.items()}
    naive, terms = swept(plain, own)
    hidden = [node for node in plain.inputs if is_bad(naive.get(node, 0.0)) and not is_bad(adjoints.get(places[node], 0.0))]
    if not hidden:
        return []
    found = []
    for journey in adjoint_journeys(plain, own, naive, terms, {node: graph.names[old] for node, old in places.items()}):
        offender = places[journey.nodes[0]]
        selection = next((node for node in graph.nodes if _is_where(node) and offender in _behind(node)), None)
        if selection is not None and journey.arrives:
            found.append(_trap(graph, selection, offender, values, journey))
    return found


def _is_where(node: Node) -> bool:
    return node.primitive is not None and node.primitive.name == "where"


def _behind(selection: Node) -> set[Node]:
    """What the branches of a selection are made of."""
    return set(ancestors([arg for arg in selection.args[1:] if isinstance(arg, Node)]))


def _trap(graph: Graph, selection: Node, offender: Node, values: dict[Node, Any], journey: Journey) -> Trap:
    condition = selection.args[0]
    first = isinstance(selection.args[1], Node) and offender in set(ancestors([selection.args[1]]))
    about = (graph.names[selection], formula(selection, graph.names.__getitem__), journey)
    origin = describe_origin(selection.origin), source_line(selection.origin)
    args = [values[node] for node in graph.inputs]
    arguments = [arg for arg in dict.fromkeys(offender.args) if isinstance(arg, Node) and arg.dtype.kind == "f"]
    for argument, safe in itertools.product(arguments, (1.0, 0.5, 2.0, 0.0)):
        if not isinstance(condition, Node) or condition.shape != argument.shape:
            continue
        fixed = _with_inner_where(graph, condition, offender, argument, safe, first)
        if fixed is None:
            break
        plain = unsheltered(fixed)
        naive, _ = swept(plain, evaluated(plain, args))
        same = all(
            np.array_equal(new, values[old], equal_nan=True)
            for new, old in zip((evaluated(fixed, args)[node] for node in fixed.outputs), graph.outputs, strict=True)
        )
        if same and not any(is_bad(naive.get(node, 0.0)) for node in plain.inputs):
            kept = {node: graph.names[node] for node in graph.inputs}
            test, name = expression(condition, kept.get).text, graph.names[argument]
            branches = f"{name}, {safe}" if first else f"{safe}, {name}"
            call = formula(offender, {**graph.names, argument: "safe"}.__getitem__)
            prefix = "np." if offender.primitive is not None and offender.primitive.code.startswith("xp.") else ""
            return Trap(*about, f"safe = np.where({test}, {branches})\n{graph.names[offender]} = {prefix}{call}", fixed, *origin)
    return Trap(*about, "", None, *origin)


def _with_inner_where(graph: Graph, condition: Node, offender: Node, argument: Node, safe: float, first: bool) -> Graph | None:
    """The graph in which `offender` gets `argument` only where its branch is taken, and `safe` elsewhere."""
    before = ancestors([condition])
    if offender in set(before):
        return None
    made: dict[Node, Any] = {node: placeholder(node.shape, node.dtype, graph.names[node], node.origin) for node in graph.inputs}
    for node in dict.fromkeys([*before, *graph.nodes]):
        if node in made:
            continue
        with mode_with(origin=node.origin, scope=node.scope):
            args = [made[arg] if isinstance(arg, Node) else arg for arg in node.args]
            if node is offender:
                inner = bind("where", made[condition], *((made[argument], safe) if first else (safe, made[argument])))
                args = [inner if arg is argument else new for arg, new in zip(node.args, args, strict=True)]
            made[node] = node if node.primitive is None else bind(node.primitive, *args, **node.params)
    return Graph([made[node] for node in graph.inputs], [made[node] for node in graph.outputs], name=graph.name)

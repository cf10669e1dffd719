"""Which digits a value has lost, and which stable form would keep them.

Beside the same graph in numbers of 50 digits, at exactly the values that its inputs have, every rounding error of the floats
shows (`precision.py`).

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: 1 - np.cos(x), 0.0)
    >>> [rewrite] = rewrites(graph, [1e-9])
    >>> rewrite.name, rewrite.verified, rewrite.plain.value, float(rewrite.stable.value)
    ('half-angle sine', True, '0', 5e-19)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from compgraph import forward_mode
from compgraph.errors import CompgraphError
from compgraph.formulas import expression, formula
from compgraph.graph import Graph, Node
from compgraph.literals import number
from compgraph.nonfinite import evaluated
from compgraph.numerical import Array
from compgraph.origins import describe_origin, source_line
from compgraph.precision import DIGITS, ENTRIES, Precise, distance, precise, relative_error, short, slopes
from compgraph.stabilisation import stabilise, stable_forms

LOST = 4.0  # digits: what is more is told

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
    found = []
    for node, name, why in stable_forms(graph):
        plain = Graph(graph.inputs, [node], name=graph.name)
        stable = stabilise(plain)
        reference, other = (precise(one, evaluated(one, args)) for one in (plain, stable))
        truth = reference.values.get(node)
        slope = _true_slope(plain, args)
        both = other.values.get(stable.outputs[0])
        agree = math.nan
        if truth is not None and both is not None:
            agree = distance(truth, both)
        true = "nothing: there is no form in so many digits"
        if truth is not None and truth.size:
            true = short(np.ravel(truth)[0]) + " ..." * (node.size > 1)
        found.append(Rewrite(
            name, why, graph.names[node], _measured(plain, args, truth, slope, names),
            _measured(stable, args, truth, slope, dict(zip(stable.inputs, names.values(), strict=True))), agree, true,
            describe_origin(node.origin), source_line(node.origin),
        ))  # fmt: skip
    return found


def _directions(graph: Graph) -> dict[Node, Any]:
    return {node: np.ones(node.shape, node.dtype)[()] for node in graph.inputs if node.dtype.kind == "f"}


def _true_slope(graph: Graph, args: Sequence[Any]) -> Any:
    """The derivative along a tangent of 1 in every input, in 50 digits; None where there is none, or arrays are large."""
    if any(node.size > ENTRIES for node in graph.nodes):
        return None
    try:
        directions = {graph.inputs.index(node): x_dot for node, x_dot in _directions(graph).items()}
        (slope,) = slopes(graph, graph.arguments(tuple(args), {}), directions)
    except (CompgraphError, ArithmeticError, ValueError, NotImplementedError):
        return None
    return None if any(entry is None for entry in slope.flat) else slope


def _measured(graph: Graph, args: Sequence[Any], truth: Any, slope: Any, names: dict[Node, str]) -> Measured:
    values = evaluated(graph, args)
    (output,) = graph.outputs
    with np.errstate(all="ignore"):
        tangents = forward_mode.sweep(graph.nodes, _directions(graph), values.__getitem__)
    error = float(relative_error(values[output], truth).max(initial=0.0)) if truth is not None else math.nan
    derivative = math.nan
    if slope is not None and output in tangents:
        derivative = float(relative_error(tangents[output], slope).max(initial=0.0))
    form = expression(output, names.get).text
    return Measured(form if len(form) <= 100 else formula(output, graph.names.__getitem__), number(values[output]), error, derivative)

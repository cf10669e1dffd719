"""One line of a graph as an expression, with parentheses only where they are needed.

Every text is made from the primitives' `code`, which is also what `evaluate` runs, so the line that is read is
the line that is computed.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from compgraph.graph import Graph, Node, Primitive, provides
from compgraph.literals import index_text, literal, number
from compgraph.operands import short


class Text(NamedTuple):
    """A piece of an expression and how tightly it binds; an atom never needs parentheses."""

    text: str
    precedence: int


ATOM = 10
SIGN = 6
_PRECEDENCES: dict[type[ast.AST], int] = {
    ast.Compare: 2, ast.Add: 4, ast.Sub: 4, ast.Mult: 5, ast.Div: 5, ast.FloorDiv: 5, ast.Mod: 5, ast.MatMult: 5, ast.UnaryOp: SIGN,
    ast.Pow: 7,
}  # fmt: skip


@cache
def slots(code: str) -> tuple[int, dict[str, int]]:
    """How tightly a primitive's code binds, and how tightly each argument must bind to stand there bare.

    >>> slots("{0} - {1}")
    (4, {'0': 4, '1': 5})
    """
    names = {field: f"_slot{field}" for _, field, _, _ in string.Formatter().parse(code) if field and field != "*"}
    filled = string.Formatter().vformat(code.replace("{*}", "_xs"), [names.get(str(place), "") for place in range(9)], names)
    body = ast.parse(filled, mode="eval").body
    operator = body.op if isinstance(body, ast.BinOp) else body
    own = _PRECEDENCES.get(type(operator), ATOM)
    needs = {field: ATOM if own < ATOM or code.startswith("{0}") else 0 for field in names}
    if isinstance(body, ast.BinOp):
        needs["0"] = own + 1 if isinstance(operator, ast.Pow) else own
        needs["1"] = own if isinstance(operator, ast.Pow) else own + 1
    elif isinstance(body, (ast.UnaryOp, ast.Compare)):
        needs = dict.fromkeys(names, own + 1)
    elif isinstance(body, ast.Call) and not code.startswith("{0}"):
        needs = dict.fromkeys(names, 0)
    return own, needs


def bracketed(part: Text, needed: int) -> str:
    return part.text if part.precedence >= needed else f"({part.text})"


def applied(primitive: Primitive, args: Sequence[Text], params: dict[str, str], code: str = "") -> Text:
    """`primitive` written out with these arguments, in parentheses where they need them; `code` stands in for its own.

    >>> from compgraph.graph import PRIMITIVES
    >>> applied(PRIMITIVES["multiply"], [Text("a + b", 4), Text("c", ATOM)], {}).text
    '(a + b) * c'
    """
    own, needs = slots(primitive.code)
    if "{" in params.get("index", ""):
        params = {**params, "index": re.sub(r"\{(\d+)\}", lambda place: args[int(place[1])].text, params["index"])}
    texts = [bracketed(part, needs.get(str(place), 0)) for place, part in enumerate(args)]
    together = ", ".join(part.text for part in args)
    return Text(string.Formatter().vformat(code or primitive.code, texts, {**params, "*": together}), own)


def parameters(primitive: Primitive, params: dict[str, Any], constant: Callable[[Any], str] = literal) -> dict[str, str]:
    """The parameters as the code takes them; `constant` writes those that are no node."""
    texts = {name: constant(value) for name, value in params.items() if name != "index"}
    if "index" in params:
        inside = index_text(params["index"], constant)
        texts["index"] = inside if "[{index}]" in primitive.code else f"np.s_[{inside}]"
    return texts


def atom(text: str) -> Text:
    """A name or a number; a negative number is bracketed beside any operator."""
    return Text(text, 3 if text.startswith("-") else ATOM)


def _spoken(text: str) -> str:
    """The code without its library prefix and without arguments that say nothing, for reading."""
    return re.sub(r", (axis=None|keepdims=False)(?=[,)])|, None(?=\))", "", re.sub(r"\b(xp\.|special\.|np\.s_)", "", text))


def operand(arg: Any, names: Callable[[Node], str]) -> Text:
    """An argument for reading: a node's name, a number, or the shape of a constant array."""
    if isinstance(arg, Node):
        return atom(names(arg))
    if isinstance(arg, np.ndarray) and arg.size > 4:
        return Text(f"array{arg.shape}", ATOM)
    return atom(short(arg) if isinstance(arg, int) else number(arg))


def formula(node: Node, names: Callable[[Node], str]) -> str:
    """One line of the Wengert list for reading.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x: np.sum(x[1:] * 2), np.zeros(3))
    >>> [formula(node, graph.names.__getitem__) for node in graph.nodes[1:]]
    ['x[1:]', 'v1 * 2', 'sum(v2)']
    """
    if node.primitive is None:
        return names(node)
    if node.primitive.name == "constant":
        return number(node.params["value"])
    args = [operand(arg, names) for arg in node.args]
    return applied_for_reading(node, args).text


def expression(node: Any, names: Callable[[Node], str | None]) -> Text:
    """`node` written out down to the nodes that `names` has a text for; meant for the small graph of one rule.

    >>> import compgraph as cg
    >>> x = cg.variable(2.0, name="x")
    >>> expression((x + 1) * x, lambda node: node.name).text
    '(x + 1) * x'
    """
    if not isinstance(node, Node):
        return operand(node, lambda _: "")
    name = names(node)
    if name is not None:
        return atom(name)
    if node.primitive is None or node.primitive.name == "constant":
        return atom(number(node.value))
    args = [expression(arg, names) for arg in node.args]
    text = applied_for_reading(node, args)
    return Text(subtracted(node.primitive, text.text), text.precedence)


def applied_for_reading(node: Node, args: Sequence[Text]) -> Text:
    """The operation of a node for reading; of a loop what it runs, on what, and how often."""
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    if primitive.name == "scan":
        operands = ", ".join([node.params["body"].name, *(arg.text for arg in args)])
        return Text(f"scan({operands}) x {node.params['length']}", slots("{0} * {1}")[0])
    text = applied(primitive, args, parameters(primitive, node.params))
    return Text(_spoken(text.text), text.precedence)


def subtracted(primitive: Primitive, text: str) -> str:
    """`a + -b` as `a - b`, which is the same number to the bit."""
    return text.replace(" + -", " - ") if primitive.name == "add" else text


@provides("Graph.__str__")
def graph_text(graph: Graph) -> str:
    """The graph for reading, one assignment a node."""
    inputs = ", ".join(graph.names[node] for node in graph.inputs)
    lines = [f"    {graph.names[node]} = {formula(node, graph.names.__getitem__)}" for node in graph.nodes if node.primitive is not None]
    return "\n".join([f"{graph.name}({inputs}):", *lines, f"    return {', '.join(graph.names[node] for node in graph.outputs)}"])

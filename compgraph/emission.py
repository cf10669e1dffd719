"""Graph -> text: readable programs, single formulas, LaTeX.

Every text is made from the primitives' `code`, which is also what `evaluate` runs, so the line that is read is
the line that is computed.
"""

from __future__ import annotations

import ast
import html
import inspect
import math
import re
import string
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from compgraph.errors import MissingRuleError
from compgraph.graph import Graph, Node, Primitive, provides
from compgraph.operands import short
from compgraph.programs import is_name


class Text(NamedTuple):
    """A piece of an expression and how tightly it binds; an atom never needs parentheses."""

    text: str
    precedence: int


ATOM = 10
_UNARY = 6
_PRECEDENCES: dict[type[ast.AST], int] = {
    ast.Compare: 2, ast.Add: 4, ast.Sub: 4, ast.Mult: 5, ast.Div: 5, ast.MatMult: 5, ast.UnaryOp: _UNARY, ast.Pow: 7,
}  # fmt: skip


@cache
def _slots(code: str) -> tuple[int, dict[str, int]]:
    """How tightly a primitive's code binds, and how tightly each argument must bind to stand there bare.

    >>> _slots("{0} - {1}")
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


def applied(primitive: Primitive, args: Sequence[Text], params: dict[str, str]) -> Text:
    """`primitive` written out with these arguments, in parentheses where they need them.

    >>> from compgraph.graph import PRIMITIVES
    >>> applied(PRIMITIVES["multiply"], [Text("a + b", 4), Text("c", ATOM)], {}).text
    '(a + b) * c'
    """
    own, needs = _slots(primitive.code)
    if "{" in params.get("index", ""):
        params = {**params, "index": re.sub(r"\{(\d+)\}", lambda place: args[int(place[1])].text, params["index"])}
    texts = [bracketed(part, needs.get(str(place), 0)) for place, part in enumerate(args)]
    together = ", ".join(part.text for part in args)
    return Text(string.Formatter().vformat(primitive.code, texts, {**params, "*": together}), own)


# ----------------------------------------------------------------------------------------- literals


def literal(value: Any) -> str:
    """Python source that evaluates to `value`, with `np` for NumPy.

    >>> literal(np.float32(0.5)), literal((1, None)), literal(np.zeros((2, 3))), literal(float("inf"))
    ('np.float32(0.5)', '(1, None)', 'np.zeros((2, 3))', 'np.inf')
    """
    if isinstance(value, np.ndarray):
        dtype = "" if value.dtype in (np.float64, np.bool_) else f", np.{value.dtype.name}"
        if value.size and value.dtype.kind == "f" and not np.any(value) and not np.any(np.signbit(value)):
            return f"np.zeros({value.shape}{dtype})"
        # `==` alone would take -0.0 for 0.0.
        uniform = value.size > 1 and np.all(value == value.flat[0]) and np.all(np.signbit(value) == np.signbit(value.flat[0]))
        if value.dtype.kind == "f" and uniform:
            return f"np.full({value.shape}, {literal(value.flat[0].item())}{dtype})"
        if value.size == 0:
            return f"np.zeros({value.shape}, np.{value.dtype.name})"
        if value.dtype.kind == "c":
            entries = _complex_entries(value.tolist())
        else:
            entries = re.sub(r"\b(nan|inf)\b", r"np.\1", repr(value.tolist()))
        dtype = "" if value.dtype in (np.float64, np.int64, np.bool_) else f", np.{value.dtype.name}"
        return f"np.array({entries}{dtype})"
    if isinstance(value, complex) and not isinstance(value, np.generic):
        return f"complex({literal(value.real)}, {literal(value.imag)})"  # a sum would lose the sign of a zero
    if isinstance(value, np.float64):
        return f"np.float64({literal(float(value))})"
    if isinstance(value, np.generic):
        return f"np.{value.dtype.name.replace('bool', 'bool_')}({literal(value.item())})"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"{'-' if value < 0 else ''}np.{'nan' if math.isnan(value) else 'inf'}"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
    if value is Ellipsis:
        return "..."
    return repr(value)


def _complex_entries(entries: Any) -> str:
    return f"[{', '.join(map(_complex_entries, entries))}]" if isinstance(entries, list) else literal(entries)


def index_text(index: Any) -> str:
    """An index as it stands between brackets.

    >>> index_text((slice(0, 3), None, 1)), index_text((0,)), index_text(())
    ('0:3, None, 1', '0,', '()')
    """
    if isinstance(index, tuple):
        return ", ".join(map(index_text, index)) + "," * (len(index) == 1) if index else "()"
    if isinstance(index, str):
        return index  # the place of an argument, which `applied` fills
    if isinstance(index, slice):
        start, stop, step = ("" if part is None else str(part) for part in (index.start, index.stop, index.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")
    return literal(index)


def parameters(primitive: Primitive, params: dict[str, Any]) -> dict[str, str]:
    texts = {name: literal(value) for name, value in params.items()}
    if "index" in params:
        inside = index_text(params["index"])
        texts["index"] = inside if "[{index}]" in primitive.code else f"np.s_[{inside}]"
    return texts


def _atom(text: str) -> Text:
    """A name or a number; a negative number is bracketed beside any operator."""
    return Text(text, 3 if text.startswith("-") else ATOM)


def _spoken(text: str) -> str:
    """The code without its library prefix and without arguments that say nothing, for reading."""
    return re.sub(r", (axis=None|keepdims=False)(?=[,)])|, None(?=\))", "", re.sub(r"\b(xp\.|special\.|np\.s_)", "", text))


def operand(arg: Any, names: Callable[[Node], str]) -> Text:
    """An argument for reading: a node's name, a number, or the shape of a constant array."""
    if isinstance(arg, Node):
        return _atom(names(arg))
    if isinstance(arg, np.ndarray) and arg.size > 4:
        return Text(f"array{arg.shape}", ATOM)
    return _atom(short(arg) if isinstance(arg, int) else number(arg))


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
    return _spoken(applied(node.primitive, args, parameters(node.primitive, node.params)).text)


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
        return _atom(name)
    if node.primitive is None or node.primitive.name == "constant":
        return _atom(number(node.value))
    args = [expression(arg, names) for arg in node.args]
    text = applied(node.primitive, args, parameters(node.primitive, node.params))
    return Text(_subtracted(node.primitive, _spoken(text.text)), text.precedence)


def _subtracted(primitive: Primitive, text: str) -> str:
    """`a + -b` as `a - b`, which is the same number to the bit."""
    return text.replace(" + -", " - ") if primitive.name == "add" else text


def number(value: Any, digits: int = 7) -> str:
    """A value for people: short numbers, short arrays whole, larger ones by their corners and shape.

    >>> number(1 / 3), number(np.float64(2.0)), number(np.array([1.0, 0.5])), number(np.zeros((64, 10)))
    ('0.3333333', '2', '[1, 0.5]', '[[0, 0, …], …] (64, 10)')
    """
    if isinstance(value, Node):
        return str(value.shape)
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if np.ndim(value) == 0:
        value = value.item() if isinstance(value, (np.ndarray, np.generic)) else value
        if isinstance(value, complex):
            return f"{value.imag:.{digits}g}j" if not value.real else f"({value:.{digits}g})"
        return f"{value:.{digits}g}" if isinstance(value, float) else str(value)

    def rows(part: np.ndarray[Any, Any]) -> str:
        shown = part if part.size <= 6 else part[:2]
        inner = [
            number(one, min(digits, 5)) if np.ndim(one) == 0 else rows(one) if part.size <= 6 or place == 0 else "…"
            for place, one in enumerate(shown)
        ]
        more = ["…"] if len(shown) < len(part) and inner[-1:] != ["…"] else []
        return f"[{', '.join(inner + more)}]"

    text = rows(np.asarray(value))
    return text if np.size(value) <= 6 else f"{text} {np.shape(value)}"


# ----------------------------------------------------------------------------------------- programs


@provides("Graph.__str__")
def graph_text(graph: Graph) -> str:
    """The graph for reading, one assignment a node."""
    inputs = ", ".join(graph.names[node] for node in graph.inputs)
    lines = [f"    {graph.names[node]} = {formula(node, graph.names.__getitem__)}" for node in graph.nodes if node.primitive is not None]
    return "\n".join([f"{graph.name}({inputs}):", *lines, f"    return {', '.join(graph.names[node] for node in graph.outputs)}"])


@provides("Graph._repr_mimebundle_")
def mimebundle(graph: Graph) -> dict[str, str]:
    text = graph_text(graph)
    return {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"}


@provides("Graph.to_source")
def to_source(graph: Graph) -> str:
    """The graph as a Python program that runs by itself with NumPy alone.

    >>> import compgraph as cg
    >>> print(cg.reverse(cg.trace(lambda x: np.sin(x) * x, 1.0)).to_source())
    import numpy as np
    <BLANKLINE>
    <BLANKLINE>
    def f_reverse(x, v2_bar):
        # x: float64 ()
        # v2_bar: float64 ()
        v1 = np.sin(x)
        v2 = v1 * x
        v1_bar = v2_bar * x  # from v1 = sin(x)
        v3 = v2_bar * v1
        v4 = np.cos(x)
        v5 = v1_bar * v4
        x_bar = v3 + v5  # from x
        return v2, x_bar
    <BLANKLINE>
    """
    names = program_names(graph)
    lines = [f"# {names[node]}: {node.dtype} {node.shape}" for node in graph.inputs]
    for node in graph.nodes:
        if node in graph.inputs:
            continue
        if node.primitive is None:
            code = literal(node.value)  # a variable the function closed over
        elif node.primitive.name == "constant":
            code = literal(node.params["value"])
        else:
            args = [_atom(names[arg] if isinstance(arg, Node) else literal(arg)) for arg in node.args]
            code = applied(node.primitive, args, parameters(node.primitive, node.params)).text.replace("xp.", "np.")
        lines.append(f"{names[node]} = {code}" + _remark(graph, node, names))
    lines.append(f"return {', '.join(names[node] for node in graph.outputs)}")
    helpers = dict.fromkeys(node.primitive.helper for node in graph.nodes if node.primitive is not None and node.primitive.helper)
    libraries = sorted({node.primitive.library for node in graph.nodes if node.primitive is not None and node.primitive.library})
    imports = ["import numpy as np", *("from {0} import {2}".format(*library.rpartition(".")) for library in libraries)]
    parts = ["\n".join(imports)]
    parts += [re.sub(r"  # type: ignore.*", "", helper_source(helper)).rstrip() for helper in helpers]
    inputs = ", ".join(names[node] for node in graph.inputs)
    parts.append(f"def {program_name(graph)}({inputs}):\n" + textwrap.indent("\n".join(lines), "    "))
    return "\n\n\n".join(parts) + "\n"


def helper_source(helper: Callable[..., Any]) -> str:
    """The text of a helper that a program prints; a user's own function brings it along as `source`."""
    source: str | None = getattr(helper, "source", "")
    if source is None:
        raise MissingRuleError(f"the source of {helper.__name__} cannot be read, so no program can print it: define it in a file with def")
    return source or inspect.getsource(helper)


def _remark(graph: Graph, node: Node, names: dict[Node, str]) -> str:
    """Which primal line a derivative's line belongs to."""
    if node not in graph.roles:
        return ""
    primal = graph.roles[node][1]
    return f"  # from {names[primal]}" + (f" = {formula(primal, names.__getitem__)}" if primal.primitive is not None else "")


def program_name(graph: Graph) -> str:
    return graph.name if is_name(graph.name) and graph.name not in _reserved(graph) else "f"


def _reserved(graph: Graph) -> set[str]:
    """What a program calls: libraries, builtins and its own helpers."""
    helpers = [node.primitive.helper for node in graph.nodes if node.primitive is not None]
    return {"np", "special", "abs", "complex", "slice", *(helper.__name__ for helper in helpers if helper is not None)}


def program_names(graph: Graph) -> dict[Node, str]:
    """`graph.names` as valid, unique Python names: the one place where they are made so."""
    taken = _reserved(graph)
    result: dict[Node, str] = {}
    for node, wish in graph.names.items():
        base = re.sub(r"\W+", "_", wish, flags=re.ASCII).strip("_") or "v"
        base = base if is_name(base) else f"v_{base}"
        name, serial = base, 2
        while name in taken:
            name, serial = f"{base}_{serial}", serial + 1
        taken.add(name)
        result[node] = name
    return result


# -------------------------------------------------------------------------------------------- LaTeX


def latex_name(name: str) -> str:
    r"""A node's name as mathematics.

    >>> latex_name("v12_bar"), latex_name("x1"), latex_name("loss")
    ('\\bar{v}_{12}', 'x_{1}', '\\mathrm{loss}')
    """
    accents = ""
    while name.endswith(("_dot", "_bar")):
        name, accent = name[:-4], name[-3:]
        accents += rf"\{accent}{{"
    match = re.fullmatch(r"([A-Za-z])_?(\d+)", name)
    base, below = (match[1], rf"_{{{match[2]}}}") if match else (name, "")
    if not match and not (len(base) == 1 and base.isalpha()):
        base = rf"\mathrm{{{latex_escaped(base)}}}"
    return f"{accents}{base}{'}' * accents.count('{')}{below}"


def latex_escaped(text: str) -> str:
    words = {"\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim "}
    return "".join(words.get(letter) or (f"\\{letter}" if letter in "{}_%$#&" else letter) for letter in text)


def latex_formula(node: Node, names: Callable[[Node], str]) -> str:
    """One line of the Wengert list as LaTeX."""
    if node.primitive is None or node.primitive.name == "constant":
        return latex_name(names(node)) if node.primitive is None else latex_escaped(number(node.params["value"]))
    return _latex_applied(node.primitive, [_latex_operand(arg, names) for arg in node.args]).text


def latex_expression(node: Any, names: Callable[[Node], str | None]) -> Text:
    r"""`expression` as LaTeX; `names` gives finished LaTeX.

    >>> import compgraph as cg
    >>> x = cg.variable(2.0, name="x")
    >>> latex_expression((x + 1) / np.log(x + 2), lambda node: node.name).text
    '\\frac{x + 1}{\\ln (x + 2)}'
    """
    if not isinstance(node, Node):
        return _latex_operand(node, lambda _: "")
    name = names(node)
    if name is not None:
        return _atom(name)
    if node.primitive is None or node.primitive.name == "constant":
        return _atom(latex_escaped(number(node.value)))
    text = _latex_applied(node.primitive, [latex_expression(arg, names) for arg in node.args])
    return Text(_subtracted(node.primitive, text.text), text.precedence)


def _latex_applied(primitive: Primitive, args: Sequence[Text]) -> Text:
    own, needs = _slots(primitive.code)
    template = primitive.latex
    if not template:
        return Text(rf"\mathrm{{{latex_escaped(primitive.name)}}}({', '.join(arg.text for arg in args)})", ATOM)
    texts = []
    for place, arg in enumerate(args):
        enclosed = f"{{{{{{{place}}}}}}}" in template or f"({{{place}}}" in template or f"|{{{place}}}" in template
        texts.append(arg.text if enclosed else bracketed(arg, needs.get(str(place), 0) or ATOM))
    # A fraction or a function needs no parentheses around it in a product, whatever its code needs.
    return Text(template.format(*texts), ATOM if primitive.name == "divide" else own)


def _latex_operand(arg: Any, names: Callable[[Node], str]) -> Text:
    if isinstance(arg, Node):
        return _atom(latex_name(names(arg)))
    part = operand(arg, lambda _: "")
    return Text(latex_escaped(part.text), part.precedence)

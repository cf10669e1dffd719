"""Plain Python floats and the `math` module, for graphs of float64 numbers alone: no arrays, so no NumPy.

    v1 = x1 / x2
    v2 = exp(v1)

An operation on a Python float costs a quarter of one on a NumPy number. Where `math` raises an error and NumPy gives inf
or NaN, as in 1 / 0 or the logarithm of a negative number, the same graph is computed again by the NumPy target, which
is right there and warns as NumPy does. In the last digit `math` and NumPy may differ, and a sum or product that overflows
is inf without a warning, as it is for Python floats anywhere.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from typing import Any

import numpy as np

from compgraph import programs
from compgraph.emission import program_name, program_names
from compgraph.formulas import ATOM, Text, applied, bracketed
from compgraph.graph import Graph, Node
from compgraph.loop import SCAN
from compgraph.loop_text import part_names, readings
from compgraph.targets import Program, numpy_target

# NumPy's names for what `math` has under another one.
_MATH = {
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "arctan2": "atan2",
    "absolute": "fabs", "deg2rad": "radians", "rad2deg": "degrees",
}  # fmt: skip
_SAME = {
    "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "exp2", "log2", "log10", "cbrt", "hypot",
    "copysign", "erf", "erfc", "isfinite", "isnan", "isinf", "fmod",
}  # fmt: skip
# What Python writes otherwise. NaN is kept as NumPy keeps it: a comparison with NaN is False.
_ITSELF = ("identity", "stop_gradient", "reshape", "broadcast_to", "transpose", "sum", "mean", "max", "min", "prod")
_WRITTEN = {
    **dict.fromkeys(_ITSELF, "{0}"), "square": "{0} * {0}", "reciprocal": "1 / {0}", "power": "math.pow({0}, {1})", "abs": "math.fabs({0})",
    "maximum": "({0} if {0} > {1} or {0} != {0} else {1})", "minimum": "({0} if {0} < {1} or {0} != {0} else {1})",
    "where": "({1} if {0} else {2})", "logical_not": "(not {0})", "logical_and": "({0} and {1})", "logical_or": "({0} or {1})",
    "logical_xor": "((not {0}) != (not {1}))", "sign": "({0} if {0} != {0} else ({0} > 0) - ({0} < 0) + 0.0)",
    **{name: f"math.copysign(math.{name}({{0}}), {{0}})" for name in ("floor", "ceil", "trunc")},  # they are integers, which have no -0.0
}  # fmt: skip
_OPERATORS = {"add", "subtract", "multiply", "divide", "negative", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
_FLOAT_ONLY = {"sum", "mean", "prod", "floor", "ceil", "trunc", "sign", "square", "power"}  # of a bool NumPy makes something else


def fits(graph: Graph) -> bool:
    """Whether every node is one float64 number, or a bool made of such, and has a form in plain Python.

    >>> import numpy as np, compgraph as cg
    >>> fits(cg.trace(lambda x: np.exp(x) / x, 1.0)), fits(cg.trace(np.sum, np.ones(3)))
    (True, False)
    """
    queue = [graph]
    for one in queue:  # which grows by the bodies of loops
        found = readings(one)
        if found.whole or any(node.dtype != np.float64 or node.shape for node in one.outputs):
            return False
        for node in one.nodes:
            if node.primitive is SCAN:
                queue.append(node.params["body"])
                first, last = node.params["carries"], node.params["carries"] + node.params["sequences"]
                numbers, stacks = [*node.args[:first], *node.args[last:]], node.args[first:last]
                if any(getattr(arg, "dtype", None) != np.float64 or np.shape(arg) for arg in numbers) or not all(map(_is_rows, stacks)):
                    return False
            elif node not in found.absorbed and not (_is_number(node) and _written(node) and all(map(_has_no_axes, node.args))):
                return False
    return True


def _has_no_axes(arg: Any) -> bool:
    return not np.ndim(arg) if not isinstance(arg, Node) else not arg.shape


def _is_rows(rows: Any) -> bool:
    return bool(rows.dtype == np.float64 and len(rows.shape) == 1)


def _is_number(node: Node) -> bool:
    return node.shape == () and (node.dtype == np.float64 or (node.dtype == np.bool_ and node.primitive is not None))


def _asks(name: str, place: int) -> bool:
    """Whether that argument is a question, whose answer is no number."""
    return name.startswith("logical_") or (name == "where" and place == 0)


def _written(node: Node) -> str:
    """The line's code in plain Python; empty where there is none."""
    primitive = node.primitive
    if primitive is None or primitive.name == "constant":
        return "value"
    plain = [arg for arg in node.args if not isinstance(arg, Node)]
    if any(isinstance(arg, complex) or np.ndim(arg) for arg in plain):
        return ""
    name = primitive.name
    if name in _FLOAT_ONLY and any(isinstance(arg, Node) and arg.dtype != np.float64 for arg in node.args):
        return ""
    if name == "power" and len(node.args) == 2 and node.args[1].__class__ in (int, float) and node.args[1] == 2:
        return _WRITTEN["square"]
    if name in _OPERATORS:
        both_bool = all(not isinstance(arg, Node) or arg.dtype == np.bool_ for arg in node.args)
        return "" if both_bool and node.dtype == np.bool_ and name in ("add", "multiply", "subtract", "negative") else primitive.code
    if name == "astype":
        asked = node.args[0].dtype == np.bool_ and node.params["dtype"] == "float64"
        return "(1.0 if {0} else 0.0)" if asked else "{0}" if node.args[0].dtype == node.dtype else ""
    if name == "where" and any(getattr(arg, "dtype", None) == np.bool_ for arg in node.args[1:]):
        return "({1} if {0} else {2}) * 1.0"  # which makes a float of a bool
    if name in _WRITTEN:
        return _WRITTEN[name]
    if name == "index":
        return "{0}"  # of a number there is nothing but itself to read
    call = re.fullmatch(r"(?:xp|special)\.(\w+)\((.*)\)", primitive.code)
    if call is None:
        return ""
    function = _MATH.get(call[1], call[1] if call[1] in _SAME else "")
    return f"math.{function}({call[2]})" if function else ""


class Body:
    """The lines of a program of Python floats, the names of its results, and the functions that it calls."""

    def __init__(self, graph: Graph) -> None:
        self.unique = programs.Unique(["range", program_name(graph)])
        self.names = program_names(graph, self.unique)
        self.functions: dict[str, Any] = {}
        self.rows: dict[str, list[float]] = {}  # lists of numbers that the program holds
        self.imports: list[str] = []
        self.aliases: dict[str, str] = {}
        results: dict[Node, Text] = {}
        lines = self.lines_of(graph, self.names, results)
        self.lines = [re.sub(r"\bmath\.(\w+)", self.called, line) for line in lines]
        texts = [results[node].text if node in results else self.names[node] for node in graph.outputs]
        self.results = [re.sub(r"\bmath\.(\w+)", self.called, text) for text in texts]

    def called(self, function: re.Match[str]) -> str:
        """What the program calls a function of `math`: by its own name, unless something else has that."""
        name = function[1]
        if name not in self.aliases:
            alias = self.aliases[name] = self.unique(name)
            self.functions[alias] = getattr(math, name)
            self.imports.append(name if alias == name else f"{name} as {alias}")
        return self.aliases[name]

    def lines_of(self, graph: Graph, names: dict[Node, str], results: dict[Node, Text] | None = None) -> list[str]:
        """One line a node, but for those that nobody named and one other line reads: they stand in that line.

        `results` takes the texts of outputs that may stand in the return statement; without it all have lines.
        """
        found = readings(graph)
        counts = Counter(arg for node in graph.nodes for arg in node.args if isinstance(arg, Node))
        counts.update(dict.fromkeys(graph.outputs, 2) if results is None else graph.outputs)
        inline: dict[Node, Text] = {} if results is None else results
        lines = []
        given = set(graph.inputs)
        for node in graph.nodes:
            if node in given or node in found.absorbed:
                continue
            if node.primitive is SCAN:
                lines += self.loop(node, found.variables[node], {**names, **{one: text.text for one, text in inline.items()}})
                continue
            code = _written(node)
            for place, arg in enumerate(node.args):
                if isinstance(arg, Node) and arg in inline and code.count(f"{{{place}}}") > 1:  # read twice, so computed before
                    lines.append(f"{names[arg]} = {inline.pop(arg).text}")
            text = self.expression(node, names, inline)
            if counts[node] == 1 and _UNNAMED.fullmatch(names[node]) and len(text.text) <= _LONGEST and node.primitive is not None:
                inline[node] = text
            else:
                lines.append(f"{names[node]} = {text.text}")
        return lines

    def expression(self, node: Node, names: dict[Node, str], inline: dict[Node, Text]) -> Text:
        if node.primitive is None or node.primitive.name == "constant":
            return _atom(number(node.value if node.primitive is None else node.params["value"]))
        args = []
        for place, arg in enumerate(node.args):
            if isinstance(arg, Node):
                args.append(inline.pop(arg) if arg in inline else Text(names[arg], ATOM))
            else:  # an integer would become a float in every run, or stay one, where NumPy makes it a float
                whole = isinstance(arg, (int, np.integer, np.bool_)) and not _asks(node.primitive.name, place)
                args.append(_atom(number(float(arg) if whole else arg)))
        code = _written(node)
        if code == node.primitive.code and "math." not in code:
            return applied(node.primitive, args, {})
        # A text that reads an argument more than once, or is no plain call, takes names and brackets.
        call = code.startswith("math.") and code.endswith(")")
        texts = [arg.text if call else bracketed(arg, ATOM) for arg in args]
        return Text(code.format(*texts), ATOM if call or code[0] == "(" else 0)

    def loop(self, node: Node, variables: dict[int, list[Node]], names: dict[Node, str]) -> list[str]:
        """A loop whose carries are variables, and whose stacks are lists."""
        body, carries, sequences, length = (node.params[name] for name in ("body", "carries", "sequences", "length"))
        wishes = part_names(node, program_names)
        called = [names[variables[place][0]] if place in variables else self.unique(wish or "v") for place, wish in enumerate(wishes)]
        starts, stacks, constants = node.args[:carries], node.args[carries : carries + sequences], node.args[carries + sequences :]
        lines = []
        for name, start in zip(called, starts, strict=False):
            lines.append(f"{name} = {names[start] if isinstance(start, Node) else number(start)}")
        kept = [place for place in range(carries, len(called)) if place in variables]  # what nobody reads is not stacked
        lines += [f"{called[place]} = [0.0] * {length}" for place in kept]
        given = dict(zip(body.inputs, called[:carries], strict=False))
        for one, value in zip(body.inputs[carries + sequences :], constants, strict=True):
            given[one] = names[value] if isinstance(value, Node) else self.unique("c")
            if not isinstance(value, Node):
                lines.append(f"{given[one]} = {number(value)}")
        inner = program_names(body, self.unique, given)
        turn = self.unique("t")
        within = []
        for one, rows in zip(body.inputs[carries : carries + sequences], stacks, strict=True):
            within.append(f"{inner[one]} = {names[rows] if isinstance(rows, Node) else self.held(rows)}[{turn}]")
        within += self.lines_of(body, inner)
        results = [inner[one] for one in body.outputs]
        within += [f"{called[place]}[{turn}] = {results[place]}" for place in kept]
        moved = [(name, result) for name, result in zip(called, results[:carries], strict=False) if name != result]
        if moved:
            within.append(f"{', '.join(name for name, _ in moved)} = {', '.join(result for _, result in moved)}")
        span = f"range({length - 1}, -1, -1)" if node.params["reverse"] else f"range({length})"
        lines += [f"for {turn} in {span}:", *(f"    {line}" for line in within or ["pass"])]
        for nodes in variables.values():  # other readers of the same part
            lines += [f"{names[other]} = {names[nodes[0]]}" for other in nodes[1:]]
        return lines

    def held(self, rows: Any) -> str:
        """The name of a list of numbers that the program holds."""
        name = self.unique("rows")
        self.rows[name] = rows.tolist()
        return name


_UNNAMED = re.compile(r"[cv]\d+(_\d+)?(_bar|_dot)*")
_LONGEST = 80


def _atom(text: str) -> Text:
    return Text(text, 3 if text.startswith("-") else ATOM)


def number(value: Any) -> str:
    """A number as a Python float, an integer or a bool.

    >>> number(np.float64(0.5)), number(2), number(float("inf"))
    ('0.5', '2', '1e999')

    What is not finite is written as a number that overflows, since Python has no other way without a name.
    """
    plain = value.item() if hasattr(value, "item") else value
    return repr(plain) if math.isfinite(plain) else {math.inf: "1e999", -math.inf: "-1e999"}.get(plain, "(1e999 - 1e999)")


def build(graph: Graph, *, donated: Any = None, exact: bool = False, strict: bool = False) -> Program:
    """The graph as plain Python; `function` takes Python floats and gives such."""
    body = Body(graph)
    inputs = ", ".join(body.names[node] for node in graph.inputs)
    name = program_name(graph)
    lines = [*body.lines, f"return {', '.join(body.results)}{',' * (len(body.results) == 1)}"]
    parts = [f"from math import {', '.join(sorted(body.imports))}"] if body.imports else []
    parts.append(f"def {name}({inputs}):\n" + textwrap.indent("\n".join(lines), "    "))
    source = "\n\n\n".join(parts) + "\n"
    fast = programs.define(source, name, dict(body.rows), title="compiled")
    careful = Careful(graph)

    def function(*values: float) -> tuple[Any, ...]:
        try:
            result: tuple[Any, ...] = fast(*values)
        except (ArithmeticError, ValueError):
            return careful(*values)
        return result

    return Program(source, function)


class Careful:
    """The same graph by NumPy, built when it is first needed: for arguments where `math` raises and NumPy does not."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.function: Any = None

    def __call__(self, *values: float) -> tuple[Any, ...]:
        if self.function is None:
            self.function = numpy_target.build(self.graph).function
        return tuple(float(value) for value in self.function(*map(np.float64, values)))

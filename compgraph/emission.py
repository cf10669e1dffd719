"""Graph -> program: a Python function to read, to keep, and to run with NumPy alone.

One assignment a node, in the order of the graph, with the names that people wrote; a derivative's line says which primal
line it belongs to. Scopes are paragraphs.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

from compgraph.assignments import Assignments
from compgraph.errors import MissingRuleError
from compgraph.formulas import SIGN, Text, applied, atom, formula, parameters
from compgraph.graph import Graph, Node, Primitive, provides
from compgraph.literals import literal, weakened
from compgraph.loop_text import every_node, loop_lines, part_names, readings
from compgraph.origins import is_derivative
from compgraph.programs import Unique, is_name

WIDTH = 100  # of a line, where there is a choice
_LARGEST_INLINE = 50  # entries of an array that is written where it is used


@provides("Graph.to_source")
def to_source(graph: Graph) -> str:
    """The graph as a Python program that runs by itself with NumPy alone.

    >>> import compgraph as cg
    >>> def f(x1, x2):
    ...     ratio = x1 / x2
    ...     return np.sin(ratio) * ratio
    >>> print(cg.simplify(cg.reverse(cg.trace(f, 1.0, 2.0))).to_source())
    import numpy as np
    <BLANKLINE>
    <BLANKLINE>
    def f_reverse(x1, x2, v3_bar):
        \"\"\"x1: float64, x2: float64, v3_bar: float64 -> v3: float64, x1_bar: float64, x2_bar: float64\"\"\"
        ratio = x1 / x2
        v2 = np.sin(ratio)
        v3 = v2 * ratio
    <BLANKLINE>
        v2_bar = v3_bar * ratio  # from v2 = sin(ratio)
        v4 = v3_bar * v2
        v5 = np.cos(ratio)
        v6 = v2_bar * v5
        ratio_bar = v4 + v6  # from ratio = x1 / x2
        v7 = 1 / x2
        x1_bar = ratio_bar * v7  # from x1
        v8 = -ratio
        v9 = v8 / x2
        x2_bar = ratio_bar * v9  # from x2
        return v3, x1_bar, x2_bar
    <BLANKLINE>

    It returns one value, or a flat tuple of them; the docstring says what each is called, and where in a nested result it
    belongs. Raises `MissingRuleError` for a function of the user's whose source cannot be read.
    """
    unique = Unique(_reserved(graph))
    names = program_names(graph, unique)
    constants = Constants([], unique)
    unique(program_name(graph))
    body = list(_body(graph, names, constants))
    primitives = dict.fromkeys(node.primitive for node in every_node(graph) if node.primitive is not None)
    helpers = dict.fromkeys(primitive.helper for primitive in primitives if primitive.helper)
    modules = sorted({primitive.module for primitive in primitives if primitive.module})
    imports = ["import numpy as np", *("from {0} import {2}".format(*module.rpartition(".")) for module in modules)]
    parts = ["\n".join(imports), *constants.definitions]
    parts += [re.sub(r"  # type: ignore.*", "", helper_source(helper)).rstrip() for helper in helpers]
    inputs = [names[node] for node in graph.inputs]
    lines = [*_docstring(graph, names), *body, *_listed("return ", [names[node] for node in graph.outputs])]
    signature = _listed(f"def {program_name(graph)}(", inputs, "):", opened=True)
    parts.append("\n".join([*signature, *(f"    {line}" if line else "" for line in lines)]))
    return "\n\n\n".join(parts) + "\n"


# ----------------------------------------------------------------------------------------- the lines


def _body(graph: Graph, names: dict[Node, str], constants: Constants, left_out: Iterable[Node] = ()) -> Iterator[str]:
    """The lines of all nodes, in paragraphs: one for each scope, and the derivatives apart."""
    loops = readings(graph)
    skipped = {*graph.inputs, *loops.absorbed, *left_out}
    paragraph = None
    for node in graph.nodes:
        if node in skipped:
            continue
        derivative = is_derivative(node.origin)
        if (node.scope, derivative) != paragraph:
            if paragraph is not None:
                yield ""
            paragraph = node.scope, derivative
            if node.scope:
                yield f"# {_printable(node.scope)}{': derivatives' if derivative else ''}"
        if node in loops.variables:
            yield from loop_lines(node, loops, names, constants, program_names, _body)
            continue
        lines = node_lines(node, names, constants)
        lines[0] += _remark(graph, node, names, WIDTH - len(lines[0]))
        yield from lines
    if paragraph is not None and paragraph[0]:
        yield ""


def node_lines(node: Node, names: dict[Node, str], constants: Constants) -> list[str]:
    """The line, or the lines, that compute one node.

    >>> import compgraph as cg
    >>> x = cg.variable([1.0, 2.0])
    >>> y = np.float64(0.5) * x
    >>> node_lines(y, {x: "x", y: "half"}, Constants([]))
    ['half = 0.5 * x']
    """
    primitive = node.primitive
    if primitive is None or primitive.name == "constant":  # or a variable that the function closed over
        return [f"{names[node]} = {constants.text(node.value if primitive is None else node.params['value'], names[node])}"]
    args = [atom(names[arg] if isinstance(arg, Node) else constants.text(arg)) for arg in _plain_args(primitive, node.args)]
    if args and args[0].precedence < SIGN:
        args[0] = Text(args[0].text, SIGN)  # a minus sign at the left end needs no parentheses, but before a power
    code = _code(primitive.code, node.params)
    return [f"{names[node]} = {applied(primitive, args, parameters(primitive, node.params, constants.text), code).text}"]


def _code(code: str, params: dict[str, Any]) -> str:
    """A primitive's code for NumPy, without the arguments that are NumPy's defaults.

    >>> _code("xp.sum({0}, axis={axis}, keepdims={keepdims})", {"axis": -1, "keepdims": False})
    'np.sum({0}, axis={axis})'
    """
    for name, argument, default in _defaults(code):
        if type(params[name]) is type(default) and params[name] == default:
            code = code.replace(argument, "")
    return re.sub(r"\bxp\.", "np.", code)


@cache
def _defaults(code: str) -> list[tuple[str, str, Any]]:
    """The parameters that a NumPy function's signature gives a default: name, text in the code, and default."""
    match = re.fullmatch(r"xp\.([\w.]+)\((.*)\)", code)
    if match is None:
        return []
    try:
        function = inspect.signature(attrgetter(match[1])(np))
    except (AttributeError, TypeError, ValueError):  # not one call, or a function that does not tell its signature
        return []
    found = []
    for name, (place, parameter) in zip(function.parameters, enumerate(function.parameters.values()), strict=True):
        default = False if name == "keepdims" else parameter.default  # NumPy's own default there says "no value"
        last = f", {{{name}}})"
        for argument in (f", {name}={{{name}}}", last[:-1] if code.endswith(last) and place == match[2].count(",") else ""):
            if argument and argument in code and default is not inspect.Parameter.empty:
                found.append((name, argument, default))
    return found


def _plain_args(primitive: Primitive, args: Sequence[Any]) -> Sequence[Any]:
    """The arguments, with NumPy's numbers as Python's where they mean the same: `2 * x` for `np.float64(2.0) * x`."""
    if not any(isinstance(arg, np.number) for arg in args) or not _promotes(primitive.code):
        return args
    others = tuple(arg.dtype for arg in args if isinstance(arg, Node))
    dtype = np.result_type(*[arg.dtype if isinstance(arg, Node) else arg for arg in args])
    return [weakened(arg, others, dtype) for arg in args]


@cache
def _promotes(code: str) -> bool:
    """Whether the code is one operator or ufunc, to which a Python number is weak.

    Not so a power: `x ** 2` is computed in another way than `x ** np.float64(2.0)`.

    >>> [_promotes(code) for code in ("{0} * {1}", "xp.maximum({0}, {1})", "{0} ** {1}", "xp.stack([{*}], axis={axis})")]
    [True, True, False, False]
    """
    body = ast.parse(re.sub(r"\{.*?\}", "x", code), mode="eval").body
    if isinstance(body, ast.BinOp):
        simple = isinstance(body.left, ast.Name) and isinstance(body.right, ast.Name)
        return simple and not isinstance(body.op, (ast.Pow, ast.MatMult))
    if isinstance(body, ast.Call) and isinstance(body.func, ast.Attribute):
        return ast.unparse(body.func.value) == "xp" and isinstance(getattr(np, body.func.attr, None), np.ufunc)
    return isinstance(body, ast.Compare)


def _remark(graph: Graph, node: Node, names: dict[Node, str], room: int) -> str:
    """Which primal line a derivative's line belongs to."""
    primal = graph.roles[node][1] if node in graph.roles else None
    if primal not in names:  # which the graph may have left out
        return ""
    short = f"  # from {names[primal]}"
    whole = short if primal.primitive is None else f"{short} = {formula(primal, names.__getitem__)}"
    return whole if len(whole) <= room else short


def _docstring(graph: Graph, names: dict[Node, str]) -> list[str]:
    """What goes in and what comes out, with dtypes and shapes."""

    def described(nodes: Iterable[Node]) -> list[str]:
        return [f"{names[node]}: {node.dtype}{f' {node.shape}' if node.shape else ''}" for node in nodes]

    inputs, outputs = described(graph.inputs), described(graph.outputs)
    nested = _nested(graph, names)
    line = f"{', '.join(inputs)} -> {', '.join(outputs)}".strip()
    if not nested and len(line) + 10 <= WIDTH:
        return [f'"""{_quoted(line)}"""']
    whole_words = ", ".join(output.replace(" ", "\xa0") for output in outputs)  # a name stays on one line with its shape
    returned = textwrap.wrap(f"-> {whole_words}", WIDTH - 4, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)
    returned = [line.replace("\xa0", " ") for line in returned]
    whole = textwrap.wrap(f"as {nested}", WIDTH - 4, subsequent_indent="   ", break_long_words=False) if nested else []
    return ['"""', *map(_quoted, (*inputs, *returned, *whole)), '"""']


class _Word(str):
    """A name that shows itself without quotation marks."""

    __slots__ = ()
    __repr__ = str.__str__


def _nested(graph: Graph, names: dict[Node, str]) -> str:
    """The outputs as the user's function returned them, if that was no flat tuple."""
    if graph.pack is None:
        return ""
    words: list[Any] = [_Word(names[node]) for node in graph.outputs]
    whole = graph.pack(words)
    return "" if isinstance(whole, _Word) or (type(whole) is tuple and list(whole) == words) else repr(whole)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _listed(before: str, words: Sequence[str], after: str = "", *, opened: bool = False) -> list[str]:
    """`before`, the words and `after`, on one line where they fit and in brackets on several where they do not."""
    line = f"{before}{', '.join(words)}{after}"
    if len(line) + 4 <= WIDTH:
        return [line]
    rows = textwrap.wrap(", ".join(words) + ",", WIDTH - 8, break_long_words=False)
    return [before if opened else f"{before}(", *(f"    {row}" for row in rows), after if opened else f"){after}"]


# --------------------------------------------------------------------------------------- the constants


class Constants:
    """The constants of a program as text. Long ones are defined above the function, under a name.

    >>> constants = Constants(["x"])
    >>> constants.text(2.0), constants.text(np.sin(np.arange(60.0)), "table")
    ('2.0', 'TABLE')
    >>> constants.definitions[0][:39]
    'TABLE = np.array(\\n    [0.0, 0.841470984'
    """

    def __init__(self, taken: Iterable[str], unique: Unique | None = None) -> None:
        self.definitions: list[str] = []
        self.unique = unique or Unique(taken)
        self._named: dict[int, tuple[Any, str]] = {}  # by id, with the array, whose id is its own as long as it is held

    def text(self, value: Any, name: str = "constant") -> str:
        if not isinstance(value, np.ndarray) or value.size <= _LARGEST_INLINE:
            return literal(value)
        if id(value) in self._named:
            return self._named[id(value)][1]
        code = literal(value)
        if len(code) <= WIDTH // 2:
            return code
        name = self.unique(name.upper())
        self._named[id(value)] = value, name
        entries = code.removeprefix("np.array(").removesuffix(")")
        rows = textwrap.wrap(f"    {entries}", WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        self.definitions.append("\n".join([f"{name} = np.array(", *rows, ")"]))
        return name


def helper_source(helper: Callable[..., Any]) -> str:
    """The text of a helper that a program prints; a user's own function brings it along as `source`."""
    source: str | None = getattr(helper, "source", "")
    if source is None:
        raise MissingRuleError(f"the source of {helper.__name__} cannot be read, so no program can print it: define it in a file with def")
    return source or inspect.getsource(helper)


# ------------------------------------------------------------------------------------------- the names


def program_name(graph: Graph) -> str:
    return graph.name if is_name(graph.name) and graph.name not in _reserved(graph) else "f"


def _reserved(graph: Graph) -> set[str]:
    """What a program calls: libraries, builtins and its own helpers."""
    helpers = [node.primitive.helper for node in every_node(graph) if node.primitive is not None]
    return {"np", "special", "abs", "complex", "slice", "range", "reversed", *(helper.__name__ for helper in helpers if helper is not None)}


def program_names(graph: Graph, unique: Unique | None = None, given: Mapping[Node, str] | None = None) -> dict[Node, str]:
    """What each node is called in a program: valid Python, unique, made here and nowhere else.

    >>> import compgraph as cg
    >>> graph = cg.trace(lambda x: np.exp(x), 1.0)
    >>> list(program_names(graph).values())
    ['x', 'v1']

    Inputs and nodes that were given a name keep it. A tangent or an adjoint is called after its primal node, and any other
    node what the user assigned it to; the rest have the names of `graph.names`. `unique` knows the names of a larger program,
    and `given` are those that the nodes have in it already.
    """
    inner = given is not None  # a body, whose numbers go on from those of the program around it
    unique = unique or Unique(_reserved(graph))
    assigned = {**_loop_names(graph), **{node: name for node, name in _assigned_names(graph).items() if name}}
    names: dict[Node, str] = dict(given or {})
    for node, wish in graph.names.items():  # where a primal node comes before its derivatives
        if node in names:
            continue
        suffix, primal = graph.roles.get(node, ("", None))
        if primal in names:
            wish = f"{names[primal]}_{suffix}"
        elif not node.name and node in assigned:
            wish = assigned[node]
        elif not node.name and inner:
            names[node] = unique.numbered("v")
            continue
        base = re.sub(r"\W+", "_", wish, flags=re.ASCII).strip("_") or "v"
        names[node] = unique(base if is_name(base) else f"v_{base}")
    return names


def _loop_names(graph: Graph) -> dict[Node, str]:
    """What reads a part of a loop, called as the loop's body calls it."""
    names: dict[Node, str] = {}
    for loop, variables in readings(graph).variables.items():
        wishes = part_names(loop, program_names)
        names.update((node, wishes[number]) for number, nodes in variables.items() for node in nodes if wishes[number])
    return names


def _assigned_names(graph: Graph) -> dict[Node, str]:
    """What the user assigned nodes to.

    One call can make several nodes, one after another, of which the last is the result; a loop can make the same one
    again and again, and then each of them is.
    """
    assignments = Assignments()
    inputs = set(graph.inputs)
    calls = {(id(node.origin[0]), node.origin[1]) for node in inputs if type(node.origin) is tuple}
    names: dict[Node, str] = {}

    def name(run: list[Node]) -> None:
        origin = run[0].origin
        if type(origin) is not tuple or (id(origin[0]), origin[1]) in calls:  # where `graph = cg.trace(f, x)` stands
            return
        results = run if len({node.primitive for node in run}) == 1 else run[-1:]
        for node in results:
            # An identity stands for an argument of a derivative, and a constant for what a function returned as a number.
            if node.primitive is None or node.primitive.name not in ("identity", "constant"):
                names[node] = assignments.name(node.origin, node.params.get("index"))

    run: list[Node] = []
    for node in graph.nodes:
        if node in inputs:
            continue
        if run and not _same_origin(run[-1].origin, node.origin):
            name(run)
            run = []
        run.append(node)
    if run:
        name(run)
    return names


def _same_origin(one: Any, other: Any) -> bool:
    return type(one) is type(other) is tuple and one[0] is other[0] and one[1] == other[1]

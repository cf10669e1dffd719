"""An expression typed by a person -> Graph.

The text is read by Python's `ast` and every node of its tree is looked up in a whitelist; nothing is evaluated.
"""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from compgraph.errors import CompgraphError, InputError
from compgraph.graph import PRIMITIVES, Graph, Node, bind, constant, placeholder
from compgraph.modes import mode_with
from compgraph.programs import is_name
from compgraph.simplification import share_common_subexpressions

MAX_LENGTH = 10_000  # characters
MAX_DEPTH = 200  # nested parentheses, calls and signs
MAX_OPERATIONS = 2_000

_BINARY: dict[type[ast.AST], str] = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power"}
_COMPARISONS: dict[type[ast.AST], str] = {
    ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater", ast.GtE: "greater_equal", ast.Eq: "equal", ast.NotEq: "not_equal",
}  # fmt: skip
_CONSTANTS = {"pi": math.pi, "e": math.e}
_ALIASES = {
    "ln": "log", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "max": "maximum", "min": "minimum", "pow": "power", "fabs": "abs",
}  # fmt: skip
_MODULES = {"np", "numpy", "math"}
# What may be called: the elementwise primitives that have a name in mathematics, and where.
_FUNCTIONS: dict[str, tuple[str, int]] = {
    **{name: (name, len(primitive.partials)) for name, primitive in PRIMITIVES.items() if primitive.partials and name != "identity"},
    "where": ("where", 3),
    "sign": ("sign", 1),
}
_FUNCTIONS.update({alias: _FUNCTIONS[name] for alias, name in _ALIASES.items()})


def parse(text: str, inputs: Sequence[str] | None = None, *, name: str = "f") -> Graph:
    """The graph of an expression in numbers, names, + - * / ** and functions.

    >>> import compgraph as cg
    >>> print(cg.parse("(exp(x1/x2) + x1/x2) * (x1/x2 - ln(x2))"))
    f(x1, x2):
        v1 = x1 / x2
        v2 = exp(v1)
        v3 = v2 + v1
        v4 = log(x2)
        v5 = v1 - v4
        v6 = v3 * v5
        return v6

    A subexpression that is written twice is one node, since in a formula it is the same quantity. Inputs are numbers,
    in order of appearance or in the order of `inputs`, which may name more. Known are pi, e, the elementwise
    functions under NumPy's names and under ln, asin, acos, atan, max, min, `where(x > 0, a, b)`, and any of them
    after `np.` or `math.`. `InputError` says what cannot be read, and where. The text has at most 10,000
    characters, 2,000 operations and 200 levels.
    """
    tree = _tree(text)
    names = list(inputs) if inputs is not None else _names(tree, text)
    for one in names:
        if not is_name(one):
            raise InputError(f"{one!r} cannot name an input")
    nodes = {one: placeholder((), np.float64, one, one) for one in names}
    result = _build(tree, text, nodes)
    output = result if isinstance(result, Node) else constant(np.float64(result))
    return share_common_subexpressions(Graph(list(nodes.values()), [output], name=name))


def _tree(text: str) -> ast.expr:
    if not isinstance(text, str):
        raise InputError(f"an expression is a text, not {type(text).__name__}")
    if not text.strip():
        raise InputError("the expression is empty")
    if len(text) > MAX_LENGTH:
        raise InputError(f"the expression has {len(text)} characters; at most {MAX_LENGTH} are read")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        column = error.offset or 1
        raise InputError(f"cannot read the expression at column {column}: {error.msg}: {_around(text.strip(), column - 1)}") from None
    except (RecursionError, MemoryError):
        raise InputError(f"the expression is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:  # a null byte, an integer of too many digits
        raise InputError(f"cannot read the expression: {error}") from None


def _around(text: str, column: int) -> str:
    """The text near a column, with a mark before it."""
    start = max(0, column - 20)
    return f"{'…' if start else ''}{text[start:column]}⟨here⟩{text[column : column + 20]}"


def _names(tree: ast.expr, text: str) -> list[str]:
    """The inputs in order of appearance: names that are no constants, functions or module prefixes."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    prefixes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    known = {*_CONSTANTS, *_FUNCTIONS}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called | prefixes and node.id not in known]
    found.sort(key=lambda node: (node.lineno, node.col_offset))
    return list(dict.fromkeys(node.id for node in found))


def _build(tree: ast.expr, text: str, nodes: dict[str, Node]) -> Any:
    """Bind every operation of the tree, children first. Iterative, so that a long sum is no deep recursion."""
    done: dict[int, Any] = {}
    stack: list[tuple[ast.expr, int, bool]] = [(tree, 0, False)]
    operations = 0
    while stack:
        node, depth, ready = stack.pop()
        children = _children(node, text)
        if not ready:
            if depth > MAX_DEPTH:
                raise _refusal(f"the expression is nested more than {MAX_DEPTH} levels deep", node, text)
            stack.append((node, depth, True))
            # The left operand of a chain a + b + c + ... is no deeper than the chain itself.
            deeper = [depth + (place > 0 or not isinstance(node, ast.BinOp)) for place in range(len(children))]
            stack += [(child, level, False) for child, level in reversed(list(zip(children, deeper, strict=True)))]
            continue
        operations += bool(children)
        if operations > MAX_OPERATIONS:
            raise InputError(f"the expression has more than {MAX_OPERATIONS} operations")
        done[id(node)] = _value(node, [done[id(child)] for child in children], text, nodes)
    return done[id(tree)]


def _children(node: ast.expr, text: str) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    if isinstance(node, ast.Compare):
        if len(node.ops) > 1:
            raise _refusal("compare two things at a time", node, text)
        return [node.left, node.comparators[0]]
    if isinstance(node, ast.Call):
        if node.keywords:
            raise _refusal("functions take no keyword arguments here", node, text)
        return list(node.args)
    return []


def _value(node: ast.expr, args: list[Any], text: str, nodes: dict[str, Node]) -> Any:
    if isinstance(node, ast.Constant):
        return _number(node, text)
    if isinstance(node, ast.Name):
        if node.id in nodes:
            return nodes[node.id]
        if node.id in _CONSTANTS:
            return _CONSTANTS[node.id]
        if node.id in _FUNCTIONS:
            raise _refusal(f"{node.id} is a function: write {node.id}(...)", node, text)
        raise _refusal(f"{node.id!r} is not among the inputs {', '.join(nodes)}", node, text)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _MODULES and node.attr in _CONSTANTS:
        return _CONSTANTS[node.attr]
    primitive = _primitive(node, len(args), text)
    segment = ast.get_source_segment(text.strip(), node) or text
    if primitive == "positive":
        return args[0]
    try:
        with mode_with(origin=segment):
            if any(isinstance(arg, Node) for arg in args):
                return bind(primitive, *args)
            # Constants fold in floating point: 10**10**10 is an overflow, not an endless computation.
            with np.errstate(all="raise"):
                return float(bind(primitive, *(np.float64(arg) for arg in args)))
    except (ArithmeticError, TypeError, ValueError) as error:
        if isinstance(error, CompgraphError):
            raise
        raise _refusal(f"{segment}: {error}", node, text) from None


def _number(node: ast.Constant, text: str) -> int | float:
    value = node.value
    if type(value) is int and value.bit_length() > 63:
        raise _refusal("an integer this large is not exact as float64; write it as a decimal number", node, text)
    if type(value) is float and not math.isfinite(value):
        raise _refusal("this number is too large for float64", node, text)
    if type(value) not in (int, float):
        what = "complex numbers are" if isinstance(value, complex) else f"{type(value).__name__} is"
        raise _refusal(f"{what} not supported, only real numbers", node, text)
    return value  # type: ignore[return-value]


def _primitive(node: ast.expr, count: int, text: str) -> str:
    if isinstance(node, ast.BinOp):
        if type(node.op) in _BINARY:
            return _BINARY[type(node.op)]
        hint = "write ** for a power" if isinstance(node.op, ast.BitXor) else "only + - * / ** are known"
        raise _refusal(hint, node, text)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return "negative" if isinstance(node.op, ast.USub) else "positive"
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        return _COMPARISONS[type(node.ops[0])]
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in _MODULES:
            name = function.attr
        elif isinstance(function, ast.Name):
            name = function.id
        else:
            raise _refusal("only known functions can be called", node, text)
        if name not in _FUNCTIONS:
            near = difflib.get_close_matches(name, _FUNCTIONS, n=1)
            known = "known are NumPy's elementwise functions, such as abs, exp, log, maximum, sin, sqrt, where"
            hint = f"did you mean {near[0]}?" if near else known
            raise _refusal(f"unknown function {name!r}; {hint}", node, text)
        primitive, arity = _FUNCTIONS[name]
        if count != arity or any(isinstance(arg, ast.Starred) for arg in node.args):
            raise _refusal(f"{name} takes {arity} argument{'s' * (arity != 1)}, {count} given", node, text)
        return primitive
    raise _refusal(f"{type(node).__name__} is not part of an expression; known are numbers, names, + - * / ** and functions", node, text)


def _refusal(reason: str, node: ast.expr, text: str) -> InputError:
    return InputError(f"{reason}, at column {node.col_offset + 1}: {_around(text.strip(), node.col_offset)}")

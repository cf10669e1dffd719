"""Graphs as SymPy expressions, SymPy expressions as graphs, and local partials as SymPy derives them.

A graph is read node by node, in order, so nothing here is recursive. Every value is an object array of SymPy
expressions in the node's shape. Operations that move, add and multiply numbers run by the code they already have,
which NumPy applies to objects as it does to floats; the others state their SymPy form in the table of primitives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from typing import Any

import numpy as np
import sympy as sp

from compgraph.errors import CompgraphError, GraphError, InputError, MissingRuleError
from compgraph.graph import PRIMITIVES, Graph, Node, Primitive, bind, constant, describe, placeholder, provides
from compgraph.loop import SCAN, turns
from compgraph.origins import caller
from compgraph.primitives.kinds import Rule, normalized_axes
from compgraph.primitives.products import lengths_of, terms_of

Objects = np.ndarray[Any, Any]  # of SymPy expressions
Floats = np.ndarray[Any, Any]
Environment = dict[Node, Objects]  # each in its node's shape

T = sp.Dummy("t", real=True)  # how far along a direction
ZERO = sp.Integer(0)


class TooLargeError(CompgraphError, ValueError):
    """An expression grew past the size that was asked for."""


# -------------------------------------------------------------------------------- numbers and entries


def entries(values: Any, shape: tuple[int, ...]) -> Objects:
    """`values`, an object array or a bare expression, as an object array of `shape`, entries of SymPy all of them.

    NumPy returns the only entry of an array as it is, and an empty sum or an untouched entry as a plain 0.
    """
    array = np.empty(shape, dtype=object)
    array[...] = values
    return listed([entry if isinstance(entry, sp.Basic) else exact(entry)[()] for entry in array.flat], shape)


def listed(results: list[Any], shape: tuple[int, ...]) -> Objects:
    array = np.empty(len(results), dtype=object)
    array[:] = results
    return array.reshape(shape)


def exact(value: Any, digits: int | None = None) -> Objects:
    """A constant as an object array of SymPy numbers.

    >>> exact(2.0)[()], exact(0.25)[()], exact(True)[()], exact(0.1, digits=3)[()]
    (2, 1/4, True, 0.100)

    Nothing is rounded. Whole numbers and simple fractions become exact, so that x ** 2.0 is read, and differentiated,
    as x**2; other floats keep their binary value. With `digits` all floats become `Float`s of that precision, since
    SymPy computes with the smallest precision that it meets.
    """

    def convert(number: Any) -> Any:
        if isinstance(number, bool):
            return sp.true if number else sp.false
        if isinstance(number, int):
            return sp.Integer(number)
        if isinstance(number, complex):
            return convert(number.real) + sp.I * convert(number.imag)
        if not math.isfinite(number):
            return sp.nan if math.isnan(number) else sp.oo if number > 0 else -sp.oo
        if digits:
            return sp.Float(number, digits)
        numerator, denominator = number.as_integer_ratio()
        return sp.Rational(numerator, denominator) if denominator <= 64 and abs(numerator) < 2**53 else sp.Float(number)

    plain = np.asarray(value)
    return listed([convert(number) for number in plain.ravel().tolist()], plain.shape)


def as_float(expression: Any) -> float:
    """A SymPy number as a float; NaN where it is undefined, complex or not a number.

    >>> as_float(sp.sqrt(2)), as_float(sp.zoo), as_float(sp.I)
    (1.4142135623730951, nan, nan)
    """
    value = expression.evalf(30) if isinstance(expression, sp.Expr) else sp.nan
    if not value.is_Number or value is sp.nan:
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def tree_size(expression: Any, known: dict[Any, int]) -> int:
    """How many operations and operands an expression has when it is written out; `known` remembers parts.

    >>> tree_size(sp.Symbol("x") ** 2 + 1, {})
    5

    Parts that an expression shares count every time, since differentiating and printing visit them every time.
    """
    stack = [expression]
    while stack:
        part = stack[-1]
        pending = [arg for arg in part.args if arg not in known]
        if pending:
            stack += pending
        else:
            known[part] = 1 + sum(known[arg] for arg in part.args)
            stack.pop()
    return known[expression]


# ------------------------------------------------------------------------------------ graph -> SymPy


@provides("Graph.to_sympy")
def to_sympy(graph: Graph) -> Any:
    """The outputs as SymPy expressions of the inputs' names; several outputs as a tuple.

    >>> import numpy as np, compgraph as cg
    >>> to_sympy(cg.trace(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0))
    x1*x2 + log(x1) - sin(x2)
    >>> to_sympy(cg.trace(lambda a, x: a @ x, np.zeros((2, 2)), np.zeros(2)))
    array([a_0_0*x_0 + a_0_1*x_1, a_1_0*x_0 + a_1_1*x_1], dtype=object)

    Symbols are real, or complex. An array input stands for one symbol an entry, an array output is an object array of its shape.
    Raises `MissingRuleError` for an operation without a SymPy form and `GraphError` where SymPy itself gives up on
    the depth of an expression.
    """
    environment: Environment = dict(zip(graph.inputs, symbols_of(graph), strict=True))
    extend(environment, graph.nodes)
    outputs = [environment[node] if node.shape else environment[node][()] for node in graph.outputs]
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def symbols_of(graph: Graph) -> list[Objects]:
    """An object array of symbols for each input: `x`, or `x_0_1` for an entry, no name used twice."""
    taken: set[str] = set()
    assumptions = {
        "f": {"real": True}, "c": {"complex": True}, "i": {"integer": True}, "u": {"integer": True, "nonnegative": True}, "b": {},
    }  # fmt: skip

    def symbol(name: str, kind: str) -> Any:
        while name in taken:
            name += "_"
        taken.add(name)
        return sp.Symbol(name, **assumptions[kind])

    result = []
    for node in graph.inputs:
        array = np.empty(node.shape, dtype=object)
        for place in np.ndindex(node.shape):
            array[place] = symbol("_".join([graph.names[node], *map(str, place)]), node.dtype.kind)
        result.append(array)
    return result


def extend(environment: Environment, nodes: Iterable[Node], *, limit: int | None = None, digits: int | None = None) -> None:
    """Add the expression of each of `nodes`, in creation order, to `environment`; nodes that are in it stay.

    Raises `TooLargeError` as soon as the entries of one node are larger than `limit` together, counted by `tree_size`.
    """
    sizes: dict[Any, int] = {}
    for node in nodes:
        if node in environment:
            continue
        if limit is not None and _work(node, environment, sizes) > limit:
            raise TooLargeError(too_large(node))
        if node.primitive is None:
            environment[node] = exact(node.value, digits)
            continue
        environment[node] = applied(node, [environment[arg] if isinstance(arg, Node) else exact(arg, digits) for arg in node.args], digits)
        if limit is not None and sum(tree_size(entry, sizes) for entry in environment[node].flat) > limit:
            raise TooLargeError(too_large(node))


def _work(node: Node, environment: Environment, sizes: dict[Any, int]) -> int:
    """About how many operations of SymPy a node takes: many for products of matrices and extremes of expressions."""
    lengths = [math.prod(np.shape(arg)) for arg in node.args]
    if node.primitive is PRIMITIVES["matmul"]:
        return lengths[0] * lengths[1] // max(1, np.shape(node.args[0])[-1])
    if node.primitive is PRIMITIVES["einsum"]:
        return math.prod(lengths_of(terms_of(node.params["subscripts"])[0], [np.shape(arg) for arg in node.args]).values())
    if node.primitive is not None and _reduces(node.primitive):
        count = lengths[0] // max(1, node.size)
        written = sum(tree_size(entry, sizes) for entry in environment[node.args[0]].flat if entry.free_symbols)
        return written * count**2  # Max compares all pairs, and its derivative does so again
    return max(node.size, *lengths, 0)


def too_large(node: Node) -> str:
    return f"too large from {node.primitive.name if node.primitive else 'the input'} {node.shape} on"


def _reduces(primitive: Primitive) -> bool:
    """Whether the SymPy form takes all entries along an axis, as Max does, and not one entry of each argument."""
    return primitive.sympy is not None and "axis" in primitive.fields


def applied(node: Node, args: Sequence[Objects], digits: int | None = None) -> Objects:
    """The expressions of `node` for arguments given as object arrays."""
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    form = primitive.sympy
    if primitive is SCAN and node.params["length"] <= _MOST_TURNS:
        return _turned(node, args, digits)
    if primitive.without_sympy:
        raise MissingRuleError(f"{primitive.name} has no SymPy form for {describe(node)}: {primitive.without_sympy}")
    try:
        if primitive.name == "constant":
            return exact(node.params["value"], digits)
        args = [_of_kind(arg, given, _wants_truth(node, place)) for place, (arg, given) in enumerate(zip(args, node.args, strict=True))]
        if form is None:
            if "dtype" in node.params:
                return _converted(args[0], node)
            args = [_integers(arg) if primitive.is_index(place) else arg for place, arg in enumerate(args)]
            return entries(primitive.evaluate(*args, **node.params), node.shape)
        if _reduces(primitive):
            axes = normalized_axes(node.params["axis"], args[0].ndim)
            count = math.prod(args[0].shape[axis] for axis in axes)
            rows = np.moveaxis(args[0], axes, range(-len(axes), 0)).reshape(node.size, count)
            return listed([form(sp, *row) for row in rows], node.shape)
        columns = [arg.ravel() for arg in np.broadcast_arrays(*args)]
        return listed([form(sp, *row) for row in zip(*columns, strict=True)], node.shape)
    except RecursionError:
        raise GraphError(f"SymPy cannot go as deep as {describe(node)}: it follows an expression recursively") from None
    except (TypeError, AttributeError) as error:
        raise MissingRuleError(f"{primitive.name} has no SymPy form for {describe(node)}: {error}") from error


def _turned(loop: Node, args: Sequence[Objects], digits: int | None) -> Objects:
    """The expressions of a short loop, turn by turn."""
    body, carries, sequences = loop.params["body"], loop.params["carries"], loop.params["sequences"]
    state, rows, constants = list(args[:carries]), args[carries : carries + sequences], list(args[carries + sequences :])
    columns: dict[int, list[Objects]] = {}
    for turn in turns(loop.params["length"], loop.params["reverse"]):
        here: Environment = dict(zip(body.inputs, [*state, *(np.asarray(row[turn], object) for row in rows), *constants], strict=True))
        extend(here, body.nodes, digits=digits)
        results = [here[node] for node in body.outputs]
        state, columns[turn] = results[:carries], results[carries:]
    stacked = [columns[turn][place] for place in range(len(body.outputs) - carries) for turn in range(loop.params["length"])]
    return listed([entry for result in (*state, *stacked) for entry in result.flat], loop.shape)


_MOST_TURNS = 20  # of a loop that is written out


def _integers(indices: Objects) -> Any:
    """Indices as NumPy takes them; SymPy's symbols raise TypeError, for no expression is an array at a place of that name."""
    return np.array([int(number) for number in indices.ravel()], np.intp).reshape(indices.shape)[()]


def _wants_truth(node: Node, place: int) -> bool:
    name = node.primitive.name  # type: ignore[union-attr]
    structural = node.primitive.sympy is None and node.dtype.kind == "b"  # type: ignore[union-attr]
    return structural or name.startswith("logical_") or (name == "where" and place == 0)


def _of_kind(arg: Objects, given: Any, truth: bool) -> Objects:
    """Truth values as numbers or numbers as truth values, which NumPy converts silently and SymPy does not."""
    is_truth = (given.dtype if hasattr(given, "dtype") else np.asarray(given).dtype).kind == "b"
    if is_truth == truth:
        return arg
    if truth:
        return listed([sp.Ne(entry, 0) for entry in arg.flat], arg.shape)
    return listed([sp.Piecewise((1, entry), (0, True)) for entry in arg.flat], arg.shape)


def _converted(x: Objects, node: Node) -> Objects:
    """A change of dtype: nothing between floats, towards zero for integers."""
    if node.dtype.kind in "bfc":
        return x
    return listed([sp.sign(entry) * sp.floor(sp.Abs(entry)) for entry in x.flat], x.shape)


# -------------------------------------------------------------------------------------- local partials


@lru_cache(maxsize=1024)
def local_partial(form: Rule, count: int, place: int) -> tuple[tuple[Any, ...], Any]:
    """The derivative of an elementwise SymPy form by its argument `place`, and the symbols it is written in.

    >>> local_partial(PRIMITIVES["tanh"].sympy, 1, 0)
    ((x,), 1 - tanh(x)**2)
    """
    symbols = tuple(sp.Symbol("x" if count == 1 else f"x{number}", real=True) for number in range(1, count + 1))
    return symbols, form(sp, *symbols).diff(symbols[place])


def partial_at(form: Rule, place: int, numbers: Sequence[Any], digits: int = 40) -> float:
    """That derivative at numbers, computed with `digits` digits; NaN where it does not exist.

    >>> partial_at(PRIMITIVES["multiply"].sympy, 0, [2.0, 3.0]), partial_at(PRIMITIVES["log"].sympy, 0, [0.0])
    (3.0, nan)
    """
    values = [exact(number, digits)[()] for number in numbers]
    symbols, derivative = local_partial(form, len(values), place)
    result = as_float(derivative.xreplace(dict(zip(symbols, values, strict=True))))
    if math.isnan(result):  # x1**x2*x2/x1 is undefined at 0, the derivative 2*x1 of x1**2 is not
        others = [symbols[place] if number == place else value for number, value in enumerate(values)]
        result = as_float(form(sp, *others).diff(symbols[place]).xreplace({symbols[place]: values[place]}))
    return result


def slopes(values: Objects, variable: Any, at: dict[Any, Any]) -> Floats:
    """d/d`variable` of each entry, at numbers; what holds no variable is constant."""

    def slope(entry: Any) -> float:
        if not isinstance(entry, sp.Expr) or not entry.has(variable):
            return math.nan if entry.has(sp.nan, sp.zoo) else 0.0
        return as_float(entry.diff(variable).xreplace(at))

    return np.array([slope(entry) for entry in values.flat], dtype=np.float64).reshape(values.shape)


# ------------------------------------------------------------------------------------ SymPy -> graph


def from_sympy(expression: Any, inputs: Sequence[Any] | None = None) -> Graph:
    """The graph of a SymPy expression, or of a tuple or list of them.

    >>> x1, x2 = sp.symbols("x1 x2")
    >>> print(from_sympy((sp.exp(x1 / x2) + x1 / x2) * (x1 / x2 - sp.log(x2))))
    f(x1, x2):
        v1 = x1 / x2
        v2 = log(x2)
        v3 = v1 - v2
        v4 = exp(v1)
        v5 = v1 + v4
        v6 = v3 * v5
        return v6

    `inputs` are names or symbols in the order wanted; by default the names in natural order, x2 before x10. Equal
    parts become one node. Raises `MissingRuleError` that quotes the part which has no primitive, and `InputError` for
    what is no SymPy expression or for symbols missing from `inputs`.
    """
    wanted = list(expression) if isinstance(expression, (list, tuple, sp.Tuple)) else [expression]
    for one in wanted:
        if not isinstance(one, (sp.Expr, sp.logic.boolalg.Boolean)):
            raise InputError(f"from_sympy takes SymPy expressions, not {type(one).__name__}")
    found = sorted(_symbol_names(wanted), key=_natural)
    names = found if inputs is None else [getattr(one, "name", one) for one in inputs]
    missing = [name for name in found if name not in names]
    if missing:
        raise InputError(f"from_sympy: no input for {', '.join(missing)}; the inputs are {', '.join(map(str, names))}")
    nodes = {name: placeholder((), np.float64, name, caller()) for name in names}
    built: dict[Any, Any] = {}
    outputs = [_built(one, nodes, built) for one in wanted]
    return Graph(list(nodes.values()), [node if isinstance(node, Node) else constant(node) for node in outputs])


def _symbol_names(expressions: list[Any]) -> set[str]:
    """The names of all symbols; `free_symbols` would recurse."""
    seen = set(expressions)
    stack = list(seen)
    while stack:
        for part in stack.pop().args:
            if part not in seen:
                seen.add(part)
                stack.append(part)
    return {part.name for part in seen if isinstance(part, sp.Symbol)}


def _natural(name: str) -> list[Any]:
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name)]


def _built(expression: Any, nodes: dict[str, Node], built: dict[Any, Any]) -> Any:
    """The node, or the plain number, of `expression`, parts first and each part once."""
    stack = [expression]
    while stack:
        part = stack[-1]
        if part in built:
            stack.pop()
            continue
        if isinstance(part, sp.Symbol):
            built[part] = nodes[part.name]
            continue
        number = _number(part)
        if number is not None:
            built[part] = number
            continue
        operation, parts = _reading(part)
        pending = [one for one in parts if one not in built]
        if pending:
            stack += reversed(pending)
        else:
            operands = [built[one] for one in parts]
            built[part] = _chained(operation, operands) if any(isinstance(one, Node) for one in operands) else _finite(part)
    return built[expression]


def _chained(operation: str, operands: list[Any]) -> Any:
    """Binary operations on more operands go from left to right."""
    if operation == "where" or len(operands) == 1:
        return bind(operation, *operands)
    return reduce(lambda left, right: bind(operation, left, right), operands)


def _number(part: Any) -> Any:
    """A SymPy number as a Python number, which stays weak beside other dtypes; None for what is not one."""
    if part is sp.true or part is sp.false:
        return part is sp.true
    if part is sp.nan or part in (sp.oo, -sp.oo):
        return float(part)
    if isinstance(part, sp.Integer) and abs(part) <= 2**53:
        return int(part)
    if part.is_Number or part.is_NumberSymbol:
        return _finite(part)
    return None


def _finite(part: Any) -> float:
    """The value of a part without symbols, by SymPy."""
    try:
        value = float(part)
    except (TypeError, OverflowError):
        value = math.inf
    if not math.isfinite(value):
        raise MissingRuleError(f"from_sympy: {_quoted(part)} is no finite real number")
    return value


def _reading(part: Any) -> tuple[str, list[Any]]:
    """How a person would write `part`: the primitive, and the parts it is applied to."""
    if part.is_Add:
        return _sum(part)
    if part.is_Mul:
        return _product(part)
    if part.is_Pow:
        return _power(part)
    if isinstance(part, sp.Piecewise):
        (value, condition), *rest = part.args
        if condition is sp.true:
            return "identity", [value]
        return "where", [condition, value, sp.Piecewise(*rest, evaluate=False) if rest else sp.nan]
    if isinstance(part, sp.Heaviside):  # what SymPy makes of the derivative of Max
        argument, at_zero = part.args
        return _reading(sp.Piecewise((1, argument > 0), (0, argument < 0), (at_zero, True)))
    name = _functions(frozenset(PRIMITIVES)).get(part.func)
    if name is None:
        raise MissingRuleError(f"from_sympy: {_quoted(part)} has no primitive ({part.func.__name__})")
    return name, list(part.args)


def _quoted(part: Any) -> str:
    text = str(part)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sum(part: Any) -> tuple[str, list[Any]]:
    """a + b, with what is subtracted after it; numbers last."""
    terms = sorted(part.args, key=lambda term: bool(term.is_Number or term.is_NumberSymbol))
    minus = [term for term in terms if _coefficient(term) < 0]
    plus = [term for term in terms if _coefficient(term) >= 0]
    if not minus:
        return "add", plus
    if not plus:
        return "negative", [sp.Add(*[-term for term in minus], evaluate=False) if len(minus) > 1 else -minus[0]]
    return "subtract", [sp.Add(*plus, evaluate=False) if len(plus) > 1 else plus[0], *[-term for term in minus]]


def _coefficient(term: Any) -> Any:
    coefficient = term.as_coeff_Mul()[0]
    return coefficient if coefficient.is_real else sp.Integer(1)


def _product(part: Any) -> tuple[str, list[Any]]:
    """Numerator / denominator, with a sign in front of the whole."""
    coefficient = part.as_coeff_Mul()[0]
    if coefficient.is_Rational and coefficient.p == -1:
        return "negative", [-part]
    above: list[Any] = []
    below: list[Any] = []
    for factor in part.args:
        if factor.is_Rational and not factor.is_Integer:
            above += [sp.Integer(factor.p)] if factor.p != 1 else []
            below.append(sp.Integer(factor.q))
        elif factor.is_Pow and factor.exp.is_Number and factor.exp.is_negative:
            below.append(factor.base ** (-factor.exp))
        else:
            above.append(factor)
    if not below:
        return "multiply", above
    numerator = sp.Mul(*above, evaluate=False) if len(above) > 1 else above[0] if above else sp.Integer(1)
    return "divide", [numerator, sp.Mul(*below, evaluate=False) if len(below) > 1 else below[0]]


def _power(part: Any) -> tuple[str, list[Any]]:
    if part.exp == sp.Rational(1, 2):
        return "sqrt", [part.base]
    if part.exp.is_Number and part.exp.is_negative:
        return "divide", [sp.Integer(1), part.base ** (-part.exp)]
    return "power", [part.base, part.exp]


@lru_cache(maxsize=1)
def _functions(names: frozenset[str]) -> dict[Any, str]:
    """SymPy function or relation -> primitive, read off the SymPy forms in the table: where f(x) is just that function."""
    found: dict[Any, str] = {}
    for primitive in (primitive for name, primitive in PRIMITIVES.items() if name in names):
        places = {field for field in primitive.fields if field.isdigit()}
        count = len(places)
        if primitive.sympy is None or primitive.name == "where" or set(primitive.fields) != places:
            continue
        symbols = sp.symbols(f"a:{count}", real=True)
        try:
            form = primitive.sympy(sp, *symbols)
        except AttributeError:  # SymPy has no function of that name
            continue
        if set(form.args) == set(symbols) and len(form.args) == count:
            found.setdefault(form.func, primitive.name)
    return found

"""Rows of the table from primitives to ONNX operators: operations on each entry by itself.

ONNX converts nothing by itself, so `formula` gives a row its arguments in the result's dtype, and `question` in the dtype in
which NumPy compares them. Where ONNX has no operator the row is a formula that keeps the precision of NumPy's function.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from compgraph.graph import Node
from compgraph.onnx_export.program import Row, Term, Writer

Formula = Callable[..., Term]


def formula(rule: Formula) -> Row:
    """A row that computes in the dtype of its result."""
    return lambda writer, node: rule(*writer.arguments(node, node.dtype))


def question(rule: Formula, *, truths: bool = False) -> Row:
    """A row whose result is a truth, of arguments in their common dtype; ONNX compares no truth values, but for equality."""

    def row(writer: Writer, node: Node) -> Term:
        common = np.result_type(*[arg.dtype if hasattr(arg, "dtype") else arg for arg in node.args])
        return rule(*writer.arguments(node, np.int32 if common.kind == "b" and not truths else common))

    return row


def operator(op: str) -> Row:
    return formula(lambda x, *others: x.op(op, *others))


def of_truths(op: str, instead: str) -> Row:
    """An operator, and what it is for truth values, of which ONNX has no arithmetic."""
    return formula(lambda x, y: x.op(instead if x.dtype == bool else op, y))


def rounding(rule: Formula) -> Row:
    """Rounding, which leaves integers as they are."""
    return formula(lambda x: rule(x) if x.dtype.kind == "f" else x)


def compared(op: str) -> Row:
    return question(lambda x, y: x.op(op, y, dtype=bool), truths=op == "Equal")


def logical(op: str) -> Row:
    return lambda writer, node: writer.op(op, *writer.arguments(node, bool), dtype=bool)


def same(writer: Writer, node: Node) -> Term:
    return writer.argument(node, 0)


# ---------------------------------------------------------------------------------------------------- formulas


def _log1p(x: Term) -> Term:
    """ln u for u = 1 + x, and the first order of what was rounded off in u: (x - (u - 1)) / u."""
    u = x + 1
    kept = u - 1
    return kept.equals(x).where(u.op("Log"), u.op("Log") + (x - kept) / u)


def _expm1(x: Term) -> Term:
    """With t = tanh(x/2) it is 2t / (1 - t), where x is so small that e^x - 1 cancels."""
    t = (x * 0.5).op("Tanh")
    small = x.op("Abs") < 1
    return small.where((t + t) / (-t + 1), x.op("Exp") - 1)


def _cbrt(x: Term) -> Term:
    return x.op("Sign") * x.op("Abs").op("Pow", 1 / 3)


def _hypot(x: Term, y: Term) -> Term:
    """Scaled by the larger one, so that no square overflows; infinite where one of them is, also beside a NaN."""
    infinite = x.op("IsInf", dtype=bool) | y.op("IsInf", dtype=bool)
    x, y = x.op("Abs"), y.op("Abs")
    large = x.op("Max", y)
    scale = large.equals(0).where(1.0, large)
    a, b = x / scale, y / scale
    return infinite.where(math.inf, scale * (a * a + b * b).op("Sqrt"))


def _logaddexp(x: Term, y: Term) -> Term:
    """The larger one plus ln(1 + e^-|x - y|); for equal ones, infinities among them, plus ln 2."""
    tie = x.equals(y)
    return x.op("Max", y) + _log1p((-tie.where(0.0, x - y).op("Abs")).op("Exp"))


def _remainder(x: Term, y: Term) -> Term:
    """What is left of x, with the sign of y; of ONNX's two operators that for integers has it already."""
    if x.dtype.kind in "iu":
        return x.op("Mod", y, fmod=0)
    left = x.op("Mod", y, fmod=1)
    return (~left.equals(0) & ~(left < 0).equals(y < 0)).where(left + y, left)


def _floor_divide(x: Term, y: Term) -> Term:
    quotient = (x - _remainder(x, y)) / y
    return quotient if x.dtype.kind in "iu" else quotient.op("Round")


def _trunc(x: Term) -> Term:
    return x.op("Sign") * x.op("Abs").op("Floor")


def _fmax(op: str) -> Formula:
    """The number where the other one is NaN."""
    return lambda x, y: x.op("IsNaN", dtype=bool).where(y, y.op("IsNaN", dtype=bool).where(x, x.op(op, y)))


def _isfinite(x: Term) -> Term:
    return ~(x.op("IsNaN", dtype=bool) | x.op("IsInf", dtype=bool))


def _floats(rule: Formula, otherwise: bool) -> Row:
    """A question about floats; of whole numbers the answer is known."""
    return question(lambda x: rule(x) if x.dtype.kind == "f" else x.equals(x) if otherwise else ~x.equals(x))


def _xlogy(x: Term, y: Term) -> Term:
    none = x.equals(0) & ~y.op("IsNaN", dtype=bool)
    return none.where(0.0, x * none.where(1.0, y).op("Log"))


def _xlog1py(x: Term, y: Term) -> Term:
    none = x.equals(0) & ~y.op("IsNaN", dtype=bool)
    return none.where(0.0, x * _log1p(none.where(0.0, y)))


def _sheltered(x: Term, weight: Term) -> Term:
    return (weight.equals(0) & ~_isfinite(x)).where(0.0, x)


def _where(writer: Writer, node: Node) -> Term:
    return writer.argument(node, 0, bool).where(writer.argument(node, 1, node.dtype), writer.argument(node, 2, node.dtype))


# ------------------------------------------------------------------------------------------------------- table

ELEMENTWISE: dict[str, Row] = {
    "identity": same, "stop_gradient": same,
    "astype": formula(lambda x: x), "to_discrete": formula(lambda x: x),
    "add": of_truths("Add", "Or"), "multiply": of_truths("Mul", "And"),
    "subtract": operator("Sub"), "divide": operator("Div"), "negative": operator("Neg"),
    "reciprocal": operator("Reciprocal"), "square": formula(lambda x: x * x), "power": operator("Pow"),
    "maximum": of_truths("Max", "Or"), "minimum": of_truths("Min", "And"), "fmax": formula(_fmax("Max")), "fmin": formula(_fmax("Min")),
    "abs": operator("Abs"), "sign": operator("Sign"), "relu": operator("Relu"),
    "exp": operator("Exp"), "log": operator("Log"), "sqrt": operator("Sqrt"),
    "log1p": formula(_log1p), "expm1": formula(_expm1), "cbrt": formula(_cbrt),
    "exp2": formula(lambda x: (x * math.log(2)).op("Exp")),
    "log2": formula(lambda x: x.op("Log") * (1 / math.log(2))), "log10": formula(lambda x: x.op("Log") * (1 / math.log(10))),
    "sin": operator("Sin"), "cos": operator("Cos"), "tan": operator("Tan"),
    "arcsin": operator("Asin"), "arccos": operator("Acos"), "arctan": operator("Atan"),
    "sinh": operator("Sinh"), "cosh": operator("Cosh"), "tanh": operator("Tanh"),
    "arcsinh": operator("Asinh"), "arccosh": operator("Acosh"), "arctanh": operator("Atanh"),
    "deg2rad": formula(lambda x: x * (math.pi / 180)), "rad2deg": formula(lambda x: x * (180 / math.pi)),
    "hypot": formula(_hypot), "logaddexp": formula(_logaddexp),
    "sigmoid": operator("Sigmoid"), "softplus": formula(lambda x: x.op("Max", 0) + _log1p((-x.op("Abs")).op("Exp"))),
    "erf": operator("Erf"), "erfc": formula(lambda x: -x.op("Erf") + 1),
    "ndtr": formula(lambda x: ((x * math.sqrt(0.5)).op("Erf") + 1) * 0.5),
    "xlogy": formula(_xlogy), "xlog1py": formula(_xlog1py),
    "floor": rounding(lambda x: x.op("Floor")), "ceil": rounding(lambda x: x.op("Ceil")), "rint": rounding(lambda x: x.op("Round")),
    "trunc": rounding(_trunc), "fraction": formula(lambda x: x - _trunc(x)),
    "remainder": formula(_remainder), "fmod": formula(lambda x, y: x.op("Mod", y, fmod=1)), "floor_divide": formula(_floor_divide),
    "less": compared("Less"), "less_equal": compared("LessOrEqual"),
    "greater": compared("Greater"), "greater_equal": compared("GreaterOrEqual"), "equal": compared("Equal"),
    "not_equal": question(lambda x, y: ~x.equals(y), truths=True),
    "logical_and": logical("And"), "logical_or": logical("Or"), "logical_xor": logical("Xor"), "logical_not": logical("Not"),
    "isnan": _floats(lambda x: x.op("IsNaN", dtype=bool), False), "isinf": _floats(lambda x: x.op("IsInf", dtype=bool), False),
    "isfinite": _floats(_isfinite, True),
    "where": _where,
    "sheltered": formula(_sheltered), "sheltered_product": formula(lambda weight, x: weight * _sheltered(x, weight)),
}  # fmt: skip


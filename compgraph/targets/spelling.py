"""What a loop over entries writes for one entry: the primitives' own code, where the compiler means the same by it.

`SPELLING` has the few that differ: functions of whole arrays (`xp.where`), names that the compiler lacks, and those whose
fast form is another one. Names in these texts are those of `numba_runtime.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph.formulas import applied, atom, parameters
from compgraph.graph import Node
from compgraph.literals import literal
from compgraph.targets.statements import Uniform

# Primitives on each entry by itself, with their text where their own code is not it.
SPELLING: dict[str, str] = {
    **dict.fromkeys(
        [
            "add", "subtract", "multiply", "divide", "negative", "identity", "stop_gradient", "less", "less_equal", "greater",
            "greater_equal", "equal", "not_equal", "abs", "floor_divide", "remainder", "power",
        ],
        "",
    ),
    **{
        name: f"math.{spelled or name}({{0}})"
        for name, _, spelled in (
            entry.partition("=")
            for entry in [
                "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "arcsin=asin", "arccos=acos", "arctan=atan", "sinh",
                "cosh", "tanh", "arcsinh=asinh", "arccosh=acosh", "arctanh=atanh",
            ]
        )
    },
    **{name: f"np.{name}({{0}})" for name in ["exp2", "log2", "log10", "cbrt", "floor", "ceil", "trunc", "rint", "signbit", "spacing"]},
    **{name: f"np.{name}({{0}}, {{1}})" for name in ["logaddexp", "logaddexp2", "nextafter"]},
    "hypot": "math.hypot({0}, {1})",
    "arctan2": "math.atan2({0}, {1})",
    "copysign": "math.copysign({0}, {1})",
    "fmod": "np.fmod({0}, {1})",
    "deg2rad": "{0} * {radian}",
    "rad2deg": "{0} * {degree}",
    "square": "{0} * {0}",
    "reciprocal": "{one} / {0}",
    "fraction": "fraction({0})",
    "sign": "select({0} > {zero}, {one}, select({0} < {zero}, -{one}, {0} + {zero}))",
    "maximum": "maximum({0}, {1})",
    "minimum": "minimum({0}, {1})",
    "fmax": "fmax({0}, {1})",
    "fmin": "fmin({0}, {1})",
    "heaviside": "select({0} != {0}, {0}, select({0} == {zero}, {1}, select({0} < {zero}, {zero}, {one})))",
    "where": "select({0}, {1}, {2})",
    "logical_not": "not {0}",
    "logical_and": "{0} & {1}",
    "logical_or": "{0} | {1}",
    "logical_xor": "{0} ^ {1}",
    "isnan": "{0} != {0}",
    "isfinite": "abs({0}) < {inf}",
    "isinf": "abs({0}) == {inf}",
    "astype": "{0}",
    "to_discrete": "{0}",
}
# Whole numbers have no NaN to propagate.
_OF_WHOLES = {"maximum": "select({0} >= {1}, {0}, {1})", "minimum": "select({0} <= {1}, {0}, {1})"}
_OF_TRUTHS = frozenset({"logical_not", "logical_and", "logical_or", "logical_xor"})
_BASIC = frozenset(["add", "subtract", "multiply", "divide", "negative"])
_OF_FLOATS = frozenset(
    [
        "floor", "ceil", "trunc", "rint", "signbit", "spacing", "nextafter", "heaviside", "fmod", "fraction", "copysign",
        "floor_divide", "remainder", "reciprocal", "power",
    ]
)
DTYPES = frozenset({"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"})


def cast(text: str, have: Any, want: Any) -> str:
    """`text`, which has one dtype, in another.

    >>> cast("x", np.dtype(bool), np.dtype("float32")), cast("n", np.dtype("int64"), np.dtype(bool))
    ('np.float32(x)', '(n != 0)')
    """
    if have == want:
        return text
    if want == np.bool_:
        return f"({text} != 0)"
    return f"np.{want.name}({text})"


def number(value: Any, dtype: Any) -> str:
    """A literal of exactly this dtype.

    >>> number(2, np.dtype("float32")), number(0.1, np.dtype("float64")), number(1, np.dtype(bool))
    ('np.float32(2.0)', '0.1', 'True')
    """
    with np.errstate(all="ignore"):
        entry = np.asarray(value).astype(dtype)[()]
    if dtype in (np.float64, np.int64, np.bool_):
        text = literal(entry.item())
        return f"({text})" if text.startswith("-") else text
    return literal(entry)


def loop_dtype(node: Node, operands: Sequence[Any]) -> np.dtype[Any]:
    """The dtype in which an entry is computed, to which arguments are brought first."""
    name = node.primitive.name if node.primitive is not None else ""
    if name in _OF_TRUTHS:
        return np.dtype(np.bool_)
    if node.dtype.kind in "fc":
        return node.dtype
    weak = [operand.number if getattr(operand, "weak", False) else operand.dtype for operand in operands]
    return np.result_type(*weak)


def can_spell(node: Node) -> bool:
    """Whether a loop can compute the node entry by entry."""
    name = node.primitive.name if node.primitive is not None else ""
    dtypes = [node.dtype, *(arg.dtype for arg in node.args if hasattr(arg, "dtype"))]
    if name not in SPELLING or any(dtype.name not in DTYPES for dtype in dtypes):
        return False
    if name == "remainder" and node.dtype == np.int64 and isinstance(node.args[1], (int, np.int64)) and node.args[1] > 0:
        return True
    # Whole numbers divide, round and take powers by rules of their own, which the compiler does not share.
    return node.dtype.kind == "f" or name not in _OF_FLOATS or (node.dtype == np.bool_ and dtypes[1].kind == "f")


def spelled(node: Node, operands: Sequence[Any], vector: frozenset[str]) -> Callable[[Sequence[str]], str]:
    """The function from the names of the operands to the expression of one entry."""
    assert node.primitive is not None
    name = node.primitive.name
    dtype = loop_dtype(node, operands)
    wants = [dtype] * len(operands)
    if name == "where":
        wants = [np.dtype(np.bool_), node.dtype, node.dtype]
    if name in ("astype", "to_discrete"):
        wants = [node.dtype]
    if name in ("isnan", "isfinite", "isinf", "signbit"):
        wants = [operands[0].dtype]
    words = {
        "one": number(1, dtype), "zero": number(0, dtype), "inf": number(np.inf, wants[0]) if wants[0].kind == "f" else "np.inf",
        "radian": number(np.pi / 180, dtype), "degree": number(180 / np.pi, dtype),
    }  # fmt: skip
    template = _OF_WHOLES.get(name, SPELLING[name]) if dtype.kind != "f" else SPELLING[name]
    if name in vector:
        template = f"{name}({', '.join(f'{{{place}}}' for place in range(len(operands)))})"
    exponent = operands[1].number if name == "power" and isinstance(operands[1], Uniform) else None
    params = parameters(node.primitive, node.params)

    def text(names: Sequence[str]) -> str:
        parts = [cast(one, operand.dtype, want) for one, operand, want in zip(names, operands, wants, strict=True)]
        if exponent is not None and np.ndim(exponent) == 0 and exponent == 2:
            return f"{parts[0]} * {parts[0]}"
        if template:
            done = template.format(*parts, **words)
        else:
            done = applied(node.primitive, [atom(part) for part in parts], params).text.replace("xp.", "np.")  # type: ignore[arg-type]
        if node.dtype == np.bool_ or (name in _BASIC and node.dtype in (np.float64, np.float32, np.int64)):
            return done
        return done if node.dtype in (np.float64, np.int64) or template == "{0}" else f"np.{node.dtype.name}({done})"

    return text

"""Constants as text: Python source that evaluates to them, and short forms for people."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from compgraph.graph import Node


def literal(value: Any) -> str:
    """Python source that evaluates to `value`, with `np` for NumPy.

    >>> literal(np.float32(0.1)), literal((1, None)), literal(np.zeros((2, 3))), literal(float("inf"))
    ('np.float32(0.1)', '(1, None)', 'np.zeros((2, 3))', 'np.inf')
    """
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.float64):
        return f"np.float64({literal(float(value))})"
    if isinstance(value, np.longdouble):
        return repr(value)  # from a text, as no Python number holds all digits
    if isinstance(value, np.clongdouble):
        return f"np.array([{value.real!r}, {value.imag!r}]).view(np.clongdouble)[0]"
    if isinstance(value, np.generic):
        return f"np.{value.dtype.name.replace('bool', 'bool_')}({literal(_shortest(value).tolist())})"
    if isinstance(value, complex):
        return f"complex({literal(value.real)}, {literal(value.imag)})"  # a sum would lose the sign of a zero
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"{'-' if value < 0 else ''}np.{'nan' if math.isnan(value) else 'inf'}"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
    if value is Ellipsis:
        return "..."
    return repr(value)


def _array(value: np.ndarray[Any, Any]) -> str:
    """An array by the shortest call that makes it, to the bit.

    >>> _array(np.eye(3, dtype=np.float32)), _array(np.arange(8)), _array(np.array([0.5, -0.0]))
    ('np.eye(3, dtype=np.float32)', 'np.arange(8)', 'np.array([0.5, -0.0])')
    """
    name = f"np.{value.dtype.name}"
    dtype = "" if value.dtype in (np.float64, np.bool_) else f", {name}"
    floating = value.dtype.kind == "f"
    # `==` alone would take -0.0 for 0.0.
    if value.size and floating and not np.any(value) and not np.any(np.signbit(value)):
        return f"np.zeros({value.shape}{dtype})"
    if value.size > 1 and floating and np.all(value == value.flat[0]) and np.all(np.signbit(value) == np.signbit(value.flat[0])):
        return f"np.full({value.shape}, {literal(_shortest(value.flat[0]).tolist())}{dtype})"
    if value.size == 0:
        return f"np.zeros({value.shape}, {name})"
    count = len(value) if value.ndim else 0
    if count > 5 and value.dtype == np.int64 and value.ndim == 1 and np.array_equal(value, np.arange(count)):
        return f"np.arange({count})"
    square = floating and count > 1 and value.size == count**2 and not np.any(np.signbit(value))
    if square and np.array_equal(value.reshape(count, count), np.eye(count)):
        return f"np.eye({count}{dtype and f', dtype={name}'})" + ("" if value.ndim == 2 else f".reshape({value.shape})")
    if value.dtype.kind == "c":
        entries = _complex_entries(value.tolist())
    else:
        entries = re.sub(r"\b(nan|inf)\b", r"np.\1", repr(_shortest(value).tolist()))
    return f"np.array({entries}{'' if value.dtype == np.int64 else dtype})"


def _shortest(value: Any) -> Any:
    """Single and half precision as the double with the fewest digits that rounds to it: 0.1, not 0.10000000149011612."""
    if value.dtype not in (np.float32, np.float16):
        return value
    short = np.array([float(str(entry)) for entry in np.ravel(value)]).reshape(value.shape)
    return short if np.array_equal(short.astype(value.dtype), value, equal_nan=True) else value


def weakened(value: Any, others: tuple[np.dtype[Any], ...], dtype: np.dtype[Any]) -> Any:
    """A NumPy number as a Python number, where an operation of `dtype` on arrays of dtypes `others` computes the same.

    >>> double, single = np.dtype(np.float64), np.dtype(np.float32)
    >>> weakened(np.float64(2.0), (double,), double), weakened(np.float64(2.0), (single,), double)
    (2, np.float64(2.0))

    Python numbers take the dtype that they stand beside (NEP 50), so one operand has to have the dtype already.
    """
    if not isinstance(value, np.number) or dtype not in others or dtype.kind not in "fc":
        return value
    plain = (_shortest(value) if value.dtype == dtype else value).tolist()
    if type(plain) is float and plain.is_integer() and abs(plain) < 2**53 and not (plain == 0 and math.copysign(1, plain) < 0):
        return int(plain)
    return plain if type(plain) in (int, float, complex) else value


def _complex_entries(entries: Any) -> str:
    return f"[{', '.join(map(_complex_entries, entries))}]" if isinstance(entries, list) else literal(entries)


def index_text(index: Any, constant: Callable[[Any], str] = literal) -> str:
    """An index as it stands between brackets; `constant` writes its arrays and numbers.

    >>> index_text((slice(0, 3), None, 1)), index_text((0,)), index_text(())
    ('0:3, None, 1', '0,', '()')
    """
    if isinstance(index, tuple):
        return ", ".join(index_text(part, constant) for part in index) + "," * (len(index) == 1) if index else "()"
    if isinstance(index, str):
        return index  # the place of an argument, which `applied` fills
    if isinstance(index, slice):
        start, stop, step = ("" if part is None else str(part) for part in (index.start, index.stop, index.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")
    return constant(index)


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

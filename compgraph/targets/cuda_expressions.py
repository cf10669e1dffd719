"""What a loop writes for one entry, in CUDA C++: the text of `spelling.py`, read as Python and printed as C.

So each operation is spelled once for all compiled targets. Overloads and conversions of C++ do the rest: a function of a
float is a float, as in NumPy.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

CTYPES = {
    "bool": "bool", "int8": "signed char", "int16": "short", "int32": "int", "int64": "long long", "uint8": "unsigned char",
    "uint16": "unsigned short", "uint32": "unsigned int", "uint64": "unsigned long long", "float32": "float", "float64": "double",
    "float16": "unsigned short", "complex64": "float2", "complex128": "double2",  # which are only moved
}  # fmt: skip

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.Lt: "<", ast.LtE: "<=",
    ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.USub: "-", ast.UAdd: "+", ast.Invert: "~", ast.Not: "!",
}  # fmt: skip
_FUNCTIONS: dict[type[ast.AST], str] = {ast.Pow: "power", ast.FloorDiv: "floor_divide", ast.Mod: "remainder_of"}

# Functions whose name in C differs; all others are called as they are, of CUDA or of the prelude.
_NAMES = {"abs": "fabs_of", "np.abs": "fabs_of", "np.signbit": "signbit_of"}

PRELUDE = """\
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif
template <class T> __device__ T plus(T a, T b) { return a + b; }
template <class T> __device__ T times(T a, T b) { return a * b; }
template <class T> __device__ T either(T a, T b) { return a | b; }
template <class T> __device__ T both(T a, T b) { return a & b; }
template <class T> __device__ T maximum(T a, T b) { return a != a ? a : b != b ? b : a >= b ? a : b; }
template <class T> __device__ T minimum(T a, T b) { return a != a ? a : b != b ? b : a <= b ? a : b; }
template <class T> __device__ T select(bool c, T a, T b) { return c ? a : b; }
template <class T> __device__ T fabs_of(T a) { return a < T(0) ? -a : a == T(0) ? T(0) : a; }
template <class T> __device__ bool signbit_of(T a) { return signbit(a); }
template <class T> __device__ T fraction(T a) { return copysign(isinf(a) ? T(0) : a - trunc(a), a); }
template <class T> __device__ T power(T a, T b) { return pow(a, b); }
template <class T> __device__ T remainder_of(T a, T b) {
    T r = fmod(a, b);
    return r != T(0) ? ((r < T(0)) != (b < T(0)) ? r + b : r) : copysign(T(0), b);
}
__device__ long long remainder_of(long long a, long long b) {
    long long r = a % b;
    return r < 0 ? r + b : r;
}
template <class T> __device__ T floor_divide(T a, T b) {
    T r = fmod(a, b), q = (a - r) / b;
    if (b == T(0)) return a / b;
    if (r != T(0) && (r < T(0)) != (b < T(0))) q -= T(1);
    if (q == T(0)) return copysign(T(0), a / b);
    T whole = floor(q);
    return q - whole > T(0.5) ? whole + T(1) : whole;
}
template <class T> __device__ T logaddexp(T a, T b) {
    if (a == b) return a + T(0.693147180559945309417232121458);
    T d = a - b;
    return d > T(0) ? a + log1p(exp(-d)) : d <= T(0) ? b + log1p(exp(d)) : d;
}
template <class T> __device__ T logaddexp2(T a, T b) {
    T r = T(1.442695040888963407359924681002);
    if (a == b) return a + T(1);
    T d = a - b;
    return d > T(0) ? a + r * log1p(exp2(-d)) : d <= T(0) ? b + r * log1p(exp2(d)) : d;
}
template <class T> __device__ T spacing(T a) {
    return isinf(a) || isnan(a) ? T(NAN) : copysign(nextafter(fabs(a), T(INFINITY)) - fabs(a), a);
}
__device__ bool within(long long index, long long length) { return -length <= index && index < length; }
__device__ long long place(long long index, long long length) {
    index %= length;
    return index < 0 ? index + length : index;
}
template <class T, class Function> __device__ T combined(T x, Function function, T* parts) {
    int width = blockDim.x, lane = threadIdx.y, at = lane * width + threadIdx.x;
    parts[at] = x;
    __syncthreads();
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        if (lane < half) parts[at] = function(parts[at], parts[at + half * width]);
        __syncthreads();
    }
    T result = parts[threadIdx.x];
    __syncthreads();
    return result;
}
"""


def literal(value: Any, dtype: Any = None) -> str:
    """A number as C reads it, of the dtype.

    >>> literal(0.1), literal(np.float32(0.1)), literal(float("-inf")), literal(True), literal(3)
    ('0.1', '0.1f', '-double(INFINITY)', 'true', '3LL')
    """
    value = np.asarray(value, dtype)[()]
    name = value.dtype.name
    if name == "bool":
        return "true" if value else "false"
    if value.dtype.kind in "iu":
        if name == "int64":
            return f"{value}LL" if value > np.iinfo(np.int64).min else f"({value + 1}LL - 1)"
        return f"{value}ULL" if name == "uint64" else f"{CTYPES[name]}({value})" if name not in ("int32",) else str(value)
    single = name == "float32"
    if np.isnan(value):
        return "float(NAN)" if single else "double(NAN)"
    if np.isinf(value):
        return ("-" if value < 0 else "") + ("float(INFINITY)" if single else "double(INFINITY)")
    return f"{value!s}f" if single else repr(float(value))


def expression(text: str) -> str:
    """A Python expression of `spelling.py` in C++.

    >>> expression("np.float32(math.exp(x_i) * np.float32(2.0))")
    'float(exp(x_i) * 2.0f)'
    >>> expression("select(a ** b >= 0.5, not c, d // e)")
    'select(power(a, b) >= 0.5, !c, floor_divide(d, e))'
    """
    return _printed(ast.parse(text, mode="eval").body)


def _printed(part: ast.expr, tight: bool = False) -> str:
    if isinstance(part, ast.Name):
        return {"True": "true", "False": "false"}.get(part.id, part.id)
    if isinstance(part, ast.Constant):
        return literal(part.value)
    if isinstance(part, ast.Attribute):
        return {"np.inf": "double(INFINITY)", "np.nan": "double(NAN)"}[ast.unparse(part)]
    if isinstance(part, ast.Call):
        return _called(ast.unparse(part.func), part.args)
    if isinstance(part, ast.BinOp):
        if type(part.op) in _FUNCTIONS:
            return f"{_FUNCTIONS[type(part.op)]}({_printed(part.left)}, {_printed(part.right)})"
        text = f"{_printed(part.left, True)} {_OPERATORS[type(part.op)]} {_printed(part.right, True)}"
    elif isinstance(part, ast.Compare) and len(part.ops) == 1:
        text = f"{_printed(part.left, True)} {_OPERATORS[type(part.ops[0])]} {_printed(part.comparators[0], True)}"
    elif isinstance(part, ast.UnaryOp):
        return f"{_OPERATORS[type(part.op)]}{_printed(part.operand, True)}"
    else:
        raise NotImplementedError(f"{ast.unparse(part)} has no form in C")  # the spelling table is the project's own: a test runs all of it
    return f"({text})" if tight else text


def _called(name: str, args: list[ast.expr]) -> str:
    package, _, last = name.rpartition(".")
    if package == "np" and last.removesuffix("_") in CTYPES:
        dtype = last.removesuffix("_")
        inner = args[0]
        negative = isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.USub)
        constant = inner.operand if isinstance(inner, ast.UnaryOp) and negative else inner
        if isinstance(constant, ast.Constant):
            return literal(-constant.value if negative else constant.value, dtype)  # type: ignore[operator]
        ctype = CTYPES[dtype]
        return f"{ctype}({_printed(inner)})" if " " not in ctype else f"({ctype})({_printed(inner)})"
    name = _NAMES.get(name, last)
    return f"{name}({', '.join(_printed(arg) for arg in args)})"

"""What compiled loops call: operations of the machine that have no spelling in Python, and NumPy's that the compiler lacks."""

from __future__ import annotations

from functools import cache
from typing import Any

from compgraph.targets import vector_math


@cache
def functions() -> dict[str, Any]:
    """The names that a generated program uses, as functions that numba compiles into it. Needs numba."""
    import math

    import numba
    import numpy as np
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba import types
    from numba.extending import intrinsic

    def of_two(operation: str) -> Any:
        """An instruction of two floating-point numbers that propagates NaN, as NumPy's maximum does, and vectorises."""

        def typed(typing: Any, x1: Any, x2: Any) -> Any:
            if not (isinstance(x1, types.Float) and x1 == x2):
                return None

            def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                kind = args[0].type
                function = builder.module.declare_intrinsic(f"llvm.{operation}", [kind], ir.FunctionType(kind, [kind, kind]))
                return builder.call(function, args)

            return x1(x1, x2), generate

        return typed

    def plus_typed(typing: Any, x1: Any, x2: Any) -> Any:
        """A sum whose terms may be added in any order, several at once."""
        if not (isinstance(x1, types.Float) and x1 == x2):
            return None

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.fadd(*args, flags=("reassoc", "nsz", "contract"))

        return x1(x1, x2), generate

    def select_typed(typing: Any, condition: Any, x1: Any, x2: Any) -> Any:
        """One of two numbers without a branch."""
        if x1 != x2:
            return None

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            test = args[0] if args[0].type == ir.IntType(1) else builder.icmp_unsigned("!=", args[0], ir.Constant(args[0].type, 0))
            return builder.select(test, args[1], args[2])

        return x1(types.boolean, x1, x2), generate

    largest, smallest = intrinsic(of_two("maximum")), intrinsic(of_two("minimum"))
    plus: Any = intrinsic(plus_typed)
    select: Any = intrinsic(select_typed)
    compiled = numba.njit(error_model="numpy", forceinline=True)

    @compiled
    def fmax(x1, x2):  # type: ignore[no-untyped-def]
        return select(x2 != x2, x1, select(x1 >= x2, x1, x2))

    @compiled
    def fmin(x1, x2):  # type: ignore[no-untyped-def]
        return select(x2 != x2, x1, select(x1 <= x2, x1, x2))

    @compiled
    def fraction(x):  # type: ignore[no-untyped-def]
        return math.copysign(select(abs(x) == np.inf, x - x, x - np.trunc(x)), x)

    @compiled
    def place(index, length):  # type: ignore[no-untyped-def]
        at = index + length if index < 0 else index
        if at < 0 or at >= length:
            raise IndexError("an index is outside the axis it points into")
        return at

    return {
        "math": math, "np": np, "maximum": largest, "minimum": smallest, "plus": plus, "select": select,
        "fmax": fmax, "fmin": fmin, "fraction": fraction, "place": place,
    }  # fmt: skip


def vectorised() -> dict[str, Any]:
    """The functions that run on a whole vector register, under the primitives' names."""
    return {name: getattr(vector_math, function) for name, function in vector_math.gainful().items()}

"""Derive the polynomials of compgraph/targets/vector_math.py: python docs/make_vector_math.py (needs mpmath, which SymPy brings).

Each is fitted in 60 digits to its function at Chebyshev's points, by least squares of the relative error that it makes in
the whole: within a small factor of the minimax polynomial, and linear in the coefficients. They are rounded one by one
from the lowest; after one is rounded the others are fitted again around it, and make good what the rounding lost. The
script prints the tables as they stand in the module, with the largest error of what was rounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

mp.mp.dps = 60
Real = Any  # mpmath's own number, which has no types


class Task(NamedTuple):
    """Approximate `function` on [low, high]; `error(q - function, x)` is the relative error that this makes in the whole."""

    name: str
    function: Callable[[Real], Real]
    low: Real
    high: Real
    degrees: dict[str, int]  # by dtype
    error: Callable[[Real, Real], Real]


def ratio(numerator: Callable[[Real], Real], power: int) -> Callable[[Real], Real]:
    """numerator(x) / x^power, at 0 by its limit: in 160 digits a step of 1e-20 still leaves 60 right."""

    def function(x: Real) -> Real:
        with mp.workdps(160):
            at = x if abs(x) > mp.mpf(10) ** -20 else mp.mpf(10) ** -20
            return numerator(at) / at**power

    return function


def root(function: Callable[[Real], Real]) -> Callable[[Real], Real]:
    return lambda z: function(mp.sqrt(z))


TASKS = [
    # e^r = 1 + r + r^2 EXP(r); the error is that of e^r - 1, so that expm1 can use it too.
    Task("EXP", ratio(lambda r: mp.expm1(r) - r, 2), -mp.log(2) / 2, mp.log(2) / 2, {"float64": 10, "float32": 5},
         lambda e, r: e * r**2 / mp.expm1(r)),
    # 2 artanh(s) = 2 s + s^3 LOG(s^2), where 1 + f = (1 + s) / (1 - s) lies in [sqrt(1/2), sqrt(2)].
    Task("LOG", ratio(root(lambda s: 2 * mp.atanh(s) / s - 2), 1), 0, (mp.sqrt(2) - 1) ** 4, {"float64": 6, "float32": 2},
         lambda e, z: e * z / 2),
    # sin r = r + r^3 SIN(r^2), where |r| <= pi/2.
    Task("SIN", ratio(root(lambda r: mp.sin(r) / r - 1), 1), 0, (mp.pi / 2) ** 2, {"float64": 8, "float32": 4},
         lambda e, z: e * z / mp.sinc(mp.sqrt(z))),
]  # fmt: skip


def polynomial(coefficients: Sequence[Real], x: Real) -> Real:
    return mp.polyval(list(coefficients)[::-1], x)


def rounded(task: Task, dtype: str) -> list[Real]:
    """The polynomial of `task` with coefficients that `dtype` holds exactly."""
    terms = task.degrees[dtype] + 1
    middle, half = (task.high + task.low) / 2, (task.high - task.low) / 2
    points = [middle - half * mp.cos(mp.pi * (2 * i + 1) / (12 * terms)) for i in range(6 * terms)]
    weights = [task.error(1, x) for x in points]
    targets = [task.function(x) for x in points]
    fixed: list[Real] = []
    while len(fixed) < terms:
        rows = [[w * x**k for k in range(len(fixed), terms)] for x, w in zip(points, weights, strict=True)]
        rest = [w * (y - polynomial(fixed or [0], x)) for x, w, y in zip(points, weights, targets, strict=True)]
        best = float(mp.lu_solve(mp.matrix(rows), mp.matrix(rest))[0])  # more rows than columns: least squares
        fixed.append(mp.mpf(float(np.dtype(dtype).type(best))))
    return fixed


def largest_error(task: Task, coefficients: Sequence[Real]) -> Real:
    points = [task.low + (task.high - task.low) * mp.mpf(2 * i + 1) / 4000 for i in range(2000)]
    return max(abs(task.error(polynomial(coefficients, x) - task.function(x), x)) for x in points)


def main() -> None:
    for task in TASKS:
        print(f"{task.name}: Table = {{")
        for dtype in task.degrees:
            found = rounded(task, dtype)
            error = mp.nstr(mp.log(largest_error(task, found), 2), 4)
            print(f'    "{dtype}": (  # degree {task.degrees[dtype]} on [{mp.nstr(task.low, 5)}, {mp.nstr(task.high, 5)}], error 2^{error}')
            texts = [re.sub("0+p", "p", float(c).hex()).replace(".p", ".0p") for c in found]
            for start in range(0, len(texts), 4):
                print("        " + " ".join(f'"{text}",' for text in texts[start : start + 4]))
            print("    ),")
        print("}")


if __name__ == "__main__":
    main()

"""The 35 test problems of Moré, Garbow and Hillstrom, with their standard starts and known minima.

J. J. Moré, B. S. Garbow and K. E. Hillstrom, Testing unconstrained optimization software, ACM Transactions on Mathematical
Software 7 (1981), 17-41. Each is a vector of residuals r(x); the function to minimise is the sum of their squares. The numbers are
theirs, and the minima are given to the six digits that they print. Two corrections: in the Gulf problem (11) the paper's
`y m i x2` is `y - x2`, and the helical valley's angle is continued over x1 = 0 by `where`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Problem(NamedTuple):
    """Residuals and a start; `minima` are the values of f at its known local minima, the global one first."""

    number: int
    name: str
    residuals: Callable[[Any], Any]
    start: Any
    minima: tuple[float, ...]


def rosenbrock(x: Any) -> Any:
    return np.concatenate([10 * (x[1::2] - x[::2] ** 2), 1 - x[::2]])


def freudenstein_roth(x: Any) -> Any:
    u, v = x[0], x[1]
    return np.stack([-13 + u + ((5 - v) * v - 2) * v, -29 + u + ((v + 1) * v - 14) * v])


def powell_badly_scaled(x: Any) -> Any:
    return np.stack([1e4 * x[0] * x[1] - 1, np.exp(-x[0]) + np.exp(-x[1]) - 1.0001])


def brown_badly_scaled(x: Any) -> Any:
    return np.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


def beale(x: Any) -> Any:
    return np.array([1.5, 2.25, 2.625]) - x[0] * (1 - x[1] ** np.arange(1.0, 4.0))


def jennrich_sampson(x: Any) -> Any:
    i = np.arange(1.0, 11.0)
    return 2 + 2 * i - (np.exp(i * x[0]) + np.exp(i * x[1]))


def helical_valley(x: Any) -> Any:
    angle = np.arctan(x[1] / x[0]) / (2 * np.pi) + np.where(x[0] < 0, 0.5, 0.0)
    return np.stack([10 * (x[2] - 10 * angle), 10 * (np.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2]])


BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard(x: Any) -> Any:
    u = np.arange(1.0, 16.0)
    v = 16 - u
    return BARD - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


HALF = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]


def gaussian(x: Any) -> Any:
    t = (8 - np.arange(1.0, 16.0)) / 2
    return x[0] * np.exp(-x[1] * (t - x[2]) ** 2 / 2) - np.array([*HALF, 0.3989, *HALF[::-1]])


MEYER = np.array([34780.0, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872])


def meyer(x: Any) -> Any:
    return x[0] * np.exp(x[1] / (45 + 5 * np.arange(1.0, 17.0) + x[2])) - MEYER


def gulf(x: Any) -> Any:
    t = np.arange(1.0, 100.0) / 100
    y = 25 + (-50 * np.log(t)) ** (2 / 3)
    return np.exp(-(np.abs(y - x[1]) ** x[2]) / x[0]) - t


def box(x: Any) -> Any:
    t = 0.1 * np.arange(1.0, 11.0)
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t))


def powell_singular(x: Any) -> Any:
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    return np.concatenate([a + 10 * b, np.sqrt(5.0) * (c - d), (b - 2 * c) ** 2, np.sqrt(10.0) * (a - d) ** 2])


def wood(x: Any) -> Any:
    a, b, c, d = x[0], x[1], x[2], x[3]
    tail = [np.sqrt(90.0) * (d - c**2), 1 - c, np.sqrt(10.0) * (b + d - 2), (b - d) / np.sqrt(10.0)]
    return np.stack([10 * (b - a**2), 1 - a, *tail])


KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
KOWALIK_U = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def kowalik_osborne(x: Any) -> Any:
    u = KOWALIK_U
    return KOWALIK_Y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def brown_dennis(x: Any) -> Any:
    t = np.arange(1.0, 21.0) / 5
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


OSBORNE_1 = np.array(
    [0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603, 0.580, 0.558,
     0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406]
)  # fmt: skip


def osborne_1(x: Any) -> Any:
    t = 10 * np.arange(33.0)
    return OSBORNE_1 - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))


def biggs(x: Any) -> Any:
    t = 0.1 * np.arange(1.0, 14.0)
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    return x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y


OSBORNE_2 = np.array(
    [1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606, 0.602, 0.626,
     0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391,
     0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559, 0.597, 0.625,
     0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054]
)  # fmt: skip


def osborne_2(x: Any) -> Any:
    t = np.arange(65.0) / 10
    bells = x[1:4, None] * np.exp(-((t - x[8:11, None]) ** 2) * x[5:8, None])
    return OSBORNE_2 - (x[0] * np.exp(-t * x[4]) + np.sum(bells, axis=0))


def watson(x: Any) -> Any:
    n = x.shape[0]
    powers = (np.arange(1.0, 30.0) / 29)[:, None] ** np.arange(float(n))
    slopes = np.arange(1.0, n) * powers[:, : n - 1]
    return np.concatenate([slopes @ x[1:] - (powers @ x) ** 2 - 1, np.stack([x[0], x[1] - x[0] ** 2 - 1])])


def penalty_1(x: Any) -> Any:
    return np.concatenate([np.sqrt(1e-5) * (x - 1), np.stack([np.sum(x**2) - 0.25])])


def penalty_2(x: Any) -> Any:
    n, root = x.shape[0], np.sqrt(1e-5)
    i = np.arange(2.0, n + 1.0)
    e = np.exp(x / 10)
    smooth = root * (e[1:] + e[:-1] - (np.exp(i / 10) + np.exp((i - 1) / 10)))
    weighted = np.sum(np.arange(n, 0.0, -1.0) * x**2) - 1
    return np.concatenate([np.stack([x[0] - 0.2]), smooth, root * (e[1:] - np.exp(-0.1)), np.stack([weighted])])


def variably_dimensioned(x: Any) -> Any:
    total = np.sum(np.arange(1.0, x.shape[0] + 1.0) * (x - 1))
    return np.concatenate([x - 1, np.stack([total, total**2])])


def trigonometric(x: Any) -> Any:
    n = x.shape[0]
    return n - np.sum(np.cos(x)) + np.arange(1.0, n + 1.0) * (1 - np.cos(x)) - np.sin(x)


def brown_almost_linear(x: Any) -> Any:
    return np.concatenate([x[:-1] + np.sum(x) - (x.shape[0] + 1), np.stack([np.prod(x) - 1])])


def padded(x: Any) -> tuple[Any, Any]:
    """The entries before and after each entry, zero beyond the ends."""
    zero = np.zeros(1)
    return np.concatenate([zero, x[:-1]]), np.concatenate([x[1:], zero])


def places(n: int) -> Any:
    return np.arange(1.0, n + 1.0) / (n + 1)


def boundary_value(x: Any) -> Any:
    n = x.shape[0]
    before, after = padded(x)
    return 2 * x - before - after + (x + places(n) + 1) ** 3 / (2 * (n + 1) ** 2)


def integral_equation(x: Any) -> Any:
    n = x.shape[0]
    t = places(n)
    cube = (x + t + 1) ** 3
    kernel = np.where(t[None, :] <= t[:, None], (1 - t[:, None]) * t[None, :], t[:, None] * (1 - t[None, :]))
    return x + kernel @ cube / (2 * (n + 1))


def broyden_tridiagonal(x: Any) -> Any:
    before, after = padded(x)
    return (3 - 2 * x) * x - before - 2 * after + 1


def broyden_banded(x: Any) -> Any:
    n = x.shape[0]
    i, j = np.arange(n)[:, None], np.arange(n)[None, :]
    band = ((j >= i - 5) & (j <= i + 1) & (j != i)).astype(float)
    return x * (2 + 5 * x**2) + 1 - band @ (x * (1 + x))


def linear_full_rank(x: Any) -> Any:
    rest = -2 * np.sum(x) / 20 - 1
    return np.concatenate([x + rest, np.ones(20 - x.shape[0]) * rest])


def linear_rank_one(x: Any) -> Any:
    return np.arange(1.0, 21.0) * np.sum(np.arange(1.0, x.shape[0] + 1.0) * x) - 1


def linear_rank_one_zeros(x: Any) -> Any:
    total = np.sum(np.arange(2.0, float(x.shape[0])) * x[1:-1])
    return np.concatenate([-np.ones(1), np.arange(1.0, 19.0) * total - 1, -np.ones(1)])


def chebyquad(x: Any) -> Any:
    n = x.shape[0]
    z = 2 * x - 1
    older, newer, means = np.ones_like(z), z, []
    for _ in range(n):
        means.append(np.mean(newer))
        older, newer = newer, 2 * z * newer - older
    i = np.arange(1.0, n + 1.0)
    exact = np.where(i % 2 == 0, -1 / np.where(i % 2 == 0, i**2 - 1, 1.0), 0.0)
    return np.stack(means) - exact


PROBLEMS = [
    Problem(1, "Rosenbrock", rosenbrock, [-1.2, 1], (0.0,)),
    Problem(2, "Freudenstein and Roth", freudenstein_roth, [0.5, -2], (0.0, 48.9842)),
    Problem(3, "Powell badly scaled", powell_badly_scaled, [0, 1], (0.0,)),
    Problem(4, "Brown badly scaled", brown_badly_scaled, [1, 1], (0.0,)),
    Problem(5, "Beale", beale, [1, 1], (0.0,)),
    Problem(6, "Jennrich and Sampson", jennrich_sampson, [0.3, 0.4], (124.362,)),
    Problem(7, "Helical valley", helical_valley, [-1, 0, 0], (0.0,)),
    Problem(8, "Bard", bard, [1, 1, 1], (8.21487e-3, 17.4286)),
    Problem(9, "Gaussian", gaussian, [0.4, 1, 0], (1.12793e-8,)),
    Problem(10, "Meyer", meyer, [0.02, 4000, 250], (87.9458,)),
    Problem(11, "Gulf research", gulf, [5, 2.5, 0.15], (0.0,)),
    Problem(12, "Box three-dimensional", box, [0, 10, 20], (0.0,)),
    Problem(13, "Powell singular", powell_singular, [3, -1, 0, 1], (0.0,)),
    Problem(14, "Wood", wood, [-3, -1, -3, -1], (0.0,)),
    Problem(15, "Kowalik and Osborne", kowalik_osborne, [0.25, 0.39, 0.415, 0.39], (3.07505e-4, 1.02734e-3)),
    Problem(16, "Brown and Dennis", brown_dennis, [25, 5, -5, -1], (85822.2,)),
    Problem(17, "Osborne 1", osborne_1, [0.5, 1.5, -1, 0.01, 0.02], (5.46489e-5,)),
    Problem(18, "Biggs EXP6", biggs, [1, 2, 1, 1, 1, 1], (0.0, 5.65565e-3)),
    Problem(19, "Osborne 2", osborne_2, [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5], (4.01377e-2,)),
    Problem(20, "Watson, n = 6", watson, [0] * 6, (2.28767e-3,)),
    Problem(20, "Watson, n = 9", watson, [0] * 9, (1.39976e-6,)),
    Problem(21, "Extended Rosenbrock, n = 100", rosenbrock, [-1.2, 1] * 50, (0.0,)),
    Problem(22, "Extended Powell singular, n = 100", powell_singular, [3, -1, 0, 1] * 25, (0.0,)),
    Problem(23, "Penalty I, n = 4", penalty_1, range(1, 5), (2.24997e-5,)),
    Problem(23, "Penalty I, n = 10", penalty_1, range(1, 11), (7.08765e-5,)),
    Problem(24, "Penalty II, n = 4", penalty_2, [0.5] * 4, (9.37629e-6,)),
    Problem(24, "Penalty II, n = 10", penalty_2, [0.5] * 10, (2.93660e-4,)),
    Problem(25, "Variably dimensioned, n = 10", variably_dimensioned, 1 - np.arange(1, 11) / 10, (0.0,)),
    Problem(26, "Trigonometric, n = 10", trigonometric, [0.1] * 10, (0.0, 2.79506e-5)),
    Problem(27, "Brown almost-linear, n = 10", brown_almost_linear, [0.5] * 10, (0.0, 1.0)),
    Problem(28, "Discrete boundary value, n = 10", boundary_value, places(10) * (places(10) - 1), (0.0,)),
    Problem(29, "Discrete integral equation, n = 10", integral_equation, places(10) * (places(10) - 1), (0.0,)),
    Problem(30, "Broyden tridiagonal, n = 10", broyden_tridiagonal, [-1] * 10, (0.0,)),
    Problem(31, "Broyden banded, n = 10", broyden_banded, [-1] * 10, (0.0,)),
    Problem(32, "Linear, full rank, n = 10", linear_full_rank, [1] * 10, (10.0,)),
    Problem(33, "Linear, rank 1, n = 10", linear_rank_one, [1] * 10, (20 * 19 / (2 * 41),)),
    Problem(34, "Linear, rank 1 with zeros, n = 10", linear_rank_one_zeros, [1] * 10, ((400 + 60 - 6) / (2 * 37),)),
    Problem(35, "Chebyquad, n = 8", chebyquad, places(8), (3.51687e-3,)),
    Problem(35, "Chebyquad, n = 9", chebyquad, places(9), (0.0,)),
    Problem(35, "Chebyquad, n = 10", chebyquad, places(10), (6.50395e-3, 4.77271e-3)),
]


def digits(value: float, problem: Problem) -> tuple[float, bool]:
    """How many digits of the nearest known minimum `value` has, and whether that is the global one.

    Of a minimum that is zero, the power of ten of what is left, at most 20; of the others at most the six that are published.
    """
    found = []
    for minimum in problem.minima:
        if minimum:
            found.append(min(6.0, -np.log10(max(abs(value - minimum) / minimum, 1e-20))))
        else:
            found.append(min(20.0, -np.log10(max(value, 1e-20))))
    best = int(np.argmax(found))
    return float(found[best]), best == 0

"""NIST's reference problems of nonlinear regression, with both starts and the certified values.

National Institute of Standards and Technology, Statistical Reference Datasets (StRD), Nonlinear Regression,
https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml, in the public domain as a work of the United States. A test computes the
residual sum of squares at the certified parameters, which agrees with the certified sum in its digits: that proves model and
data to be right. Observations are in `nist_data.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from problems.nist_data import X, Y


class Regression(NamedTuple):
    """`model(b, x)` predicts y; `certified` has the parameters and `squares` the residual sum of squares at them."""

    name: str
    level: str
    model: Callable[[Any, Any], Any]
    starts: tuple[list[float], list[float]]
    certified: list[float]
    squares: float

    @property
    def x(self) -> Any:
        return X[self.name]

    @property
    def y(self) -> Any:
        return Y[self.name]

    def residuals(self, b: Any) -> Any:
        return self.y - self.model(b, self.x)


def saturation(b: Any, x: Any) -> Any:
    return b[0] * (1 - np.exp(-b[1] * x))


def exponentials(b: Any, x: Any) -> Any:
    return b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x)


def cubic_ratio(b: Any, x: Any) -> Any:
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def enso(b: Any, x: Any) -> Any:
    def cycle(cosine: Any, sine: Any, period: Any) -> Any:
        angle = 2 * np.pi * x / period
        return cosine * np.cos(angle) + sine * np.sin(angle)

    return b[0] + cycle(b[1], b[2], 12) + cycle(b[4], b[5], b[3]) + cycle(b[7], b[8], b[6])


LANCZOS_STARTS = ([1.2, 0.3, 5.6, 5.5, 6.5, 7.6], [0.5, 0.7, 3.6, 4.2, 4.0, 6.3])

REGRESSIONS = [
    Regression("Misra1a", "lower", saturation, ([500, 0.0001], [250, 0.0005]), [2.3894212918e02, 5.5015643181e-04], 1.2455138894e-01),
    Regression(
        "Chwirut2", "lower", lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x), ([0.1, 0.01, 0.02], [0.15, 0.008, 0.010]),
        [1.6657666537e-01, 5.1653291286e-03, 1.2150007096e-02], 5.1304802941e02,
    ),
    Regression(
        "Lanczos3", "lower", exponentials, LANCZOS_STARTS,
        [8.6816414977e-02, 9.5498101505e-01, 8.4400777463e-01, 2.9515951832e00, 1.5825685901e00, 4.9863565084e00], 1.6117193594e-08,
    ),
    Regression(
        "DanWood", "lower", lambda b, x: b[0] * x ** b[1], ([1, 5], [0.7, 4]), [7.6886226176e-01, 3.8604055871e00], 4.3173084083e-03,
    ),
    Regression(
        "Misra1b", "lower", lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2), ([500, 0.0001], [300, 0.0002]),
        [3.3799746163e02, 3.9039091287e-04], 7.5464681533e-02,
    ),
    Regression(
        "Kirby2", "average", lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
        ([2, -0.1, 0.003, -0.001, 0.00001], [1.5, -0.15, 0.0025, -0.0015, 0.00002]),
        [1.6745063063e00, -1.3927397867e-01, 2.5961181191e-03, -1.7241811870e-03, 2.1664802578e-05], 3.9050739624e00,
    ),
    Regression(
        "Hahn1", "average", cubic_ratio,
        ([10, -1, 0.05, -0.00001, -0.05, 0.001, -0.000001], [1, -0.1, 0.005, -0.000001, -0.005, 0.0001, -0.0000001]),
        [1.0776351733e00, -1.2269296921e-01, 4.0863750610e-03, -1.4262662514e-06, -5.7609940901e-03, 2.4053735503e-04, -1.2314450199e-07],
        1.5324382854e00,
    ),
    Regression(
        "Nelson", "average", lambda b, x: b[0] - b[1] * x[0] * np.exp(-b[2] * x[1]), ([2, 0.0001, -0.01], [2.5, 0.000000005, -0.05]),
        [2.5906836021e00, 5.6177717026e-09, -5.7701013174e-02], 3.7976833176e00,
    ),
    Regression(
        "MGH17", "average", lambda b, x: b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4]),
        ([50, 150, -100, 1, 2], [0.5, 1.5, -1, 0.01, 0.02]),
        [3.7541005211e-01, 1.9358469127e00, -1.4646871366e00, 1.2867534640e-02, 2.2122699662e-02], 5.4648946975e-05,
    ),
    Regression(
        "Lanczos1", "average", exponentials, LANCZOS_STARTS,
        [9.5100000027e-02, 1.0000000001e00, 8.6070000013e-01, 3.0000000002e00, 1.5575999998e00, 5.0000000001e00], 1.4307867721e-25,
    ),
    Regression(
        "Lanczos2", "average", exponentials, LANCZOS_STARTS,
        [9.6251029939e-02, 1.0057332849e00, 8.6424689056e-01, 3.0078283915e00, 1.5529016879e00, 5.0028798100e00], 2.2299428125e-11,
    ),
    Regression(
        "Misra1c", "average", lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5), ([500, 0.0001], [600, 0.0002]),
        [6.3642725809e02, 2.0813627256e-04], 4.0966836971e-02,
    ),
    Regression(
        "Misra1d", "average", lambda b, x: b[0] * b[1] * x / (1 + b[1] * x), ([500, 0.0001], [450, 0.0003]),
        [4.3736970754e02, 3.0227324449e-04], 5.6419295283e-02,
    ),
    Regression(
        "Roszman1", "average", lambda b, x: b[0] - b[1] * x - np.arctan(b[2] / (x - b[3])) / np.pi,
        ([0.1, -0.00001, 1000, -100], [0.2, -0.000005, 1200, -150]),
        [2.0196866396e-01, -6.1953516256e-06, 1.2044556708e03, -1.8134269537e02], 4.9484847331e-04,
    ),
    Regression(
        "ENSO", "average", enso, ([11, 3, 0.5, 40, -0.7, -1.3, 25, -0.3, 1.4], [10, 3, 0.5, 44, -1.5, 0.5, 26, -0.1, 1.5]),
        [1.0510749193e01, 3.0762128085e00, 5.3280138227e-01, 4.4311088700e01, -1.6231428586e00, 5.2554493756e-01, 2.6887614440e01,
         2.1232288488e-01, 1.4966870418e00], 7.8853978668e02,
    ),
    Regression(
        "MGH09", "higher", lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
        ([25, 39, 41.5, 39], [0.25, 0.39, 0.415, 0.39]),
        [1.9280693458e-01, 1.9128232873e-01, 1.2305650693e-01, 1.3606233068e-01], 3.0750560385e-04,
    ),
    Regression(
        "Thurber", "higher", cubic_ratio, ([1000, 1000, 400, 40, 0.7, 0.3, 0.03], [1300, 1500, 500, 75, 1, 0.4, 0.05]),
        [1.2881396800e03, 1.4910792535e03, 5.8323836877e02, 7.5416644291e01, 9.6629502864e-01, 3.9797285797e-01, 4.9727297349e-02],
        5.6427082397e03,
    ),
    Regression("BoxBOD", "higher", saturation, ([1, 1], [100, 0.75]), [2.1380940889e02, 5.4723748542e-01], 1.1680088766e03),
    Regression(
        "Rat42", "higher", lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)), ([100, 1, 0.1], [75, 2.5, 0.07]),
        [7.2462237576e01, 2.6180768402e00, 6.7359200066e-02], 8.0565229338e00,
    ),
    Regression(
        "MGH10", "higher", lambda b, x: b[0] * np.exp(b[1] / (x + b[2])), ([2, 400000, 25000], [0.02, 4000, 250]),
        [5.6096364710e-03, 6.1813463463e03, 3.4522363462e02], 8.7945855171e01,
    ),
    Regression(
        "Eckerle4", "higher", lambda b, x: b[0] / b[1] * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2), ([1, 10, 500], [1.5, 5, 450]),
        [1.5543827178e00, 4.0888321754e00, 4.5154121844e02], 1.4635887487e-03,
    ),
    Regression(
        "Rat43", "higher", lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3]), ([100, 10, 1, 1], [700, 5, 0.75, 1.3]),
        [6.9964151270e02, 5.2771253025e00, 7.5962938329e-01, 1.2792483859e00], 8.7864049080e03,
    ),
    Regression(
        "Bennett5", "higher", lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]), ([-2000, 50, 0.8], [-1500, 45, 0.85]),
        [-2.5235058043e03, 4.6736564644e01, 9.3218483193e-01], 5.2404744073e-04,
    ),
]  # fmt: skip


def digits(b: Any, regression: Regression) -> float:
    """The least number of digits that a parameter shares with its certified value, of which there are eleven."""
    certified = np.array(regression.certified)
    error = float(np.max(np.abs((np.asarray(b) - certified) / certified)))
    return min(11.0, -float(np.log10(max(error, 1e-20))))

"""Initial values: variances exact enough that a factor of 1.1 would show, orthogonality, and the layers' own defaults."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn

SHAPE = (300, 200)  # 60,000 numbers: the standard error of a variance is below 0.6%
FAN_IN, FAN_OUT = 200, 300

VARIANCES: list[tuple[str, Callable[[Any], Any], float]] = [
    ("xavier_uniform_", nn.init.xavier_uniform_, 2 / (FAN_IN + FAN_OUT)),
    ("xavier_normal_", nn.init.xavier_normal_, 2 / (FAN_IN + FAN_OUT)),
    ("xavier_uniform_, gain", lambda p: nn.init.xavier_uniform_(p, gain=nn.init.calculate_gain("relu")), 4 / (FAN_IN + FAN_OUT)),
    ("xavier_normal_, gain", lambda p: nn.init.xavier_normal_(p, gain=3.0), 18 / (FAN_IN + FAN_OUT)),
    ("kaiming_uniform_", nn.init.kaiming_uniform_, 2 / FAN_IN),
    ("kaiming_normal_", nn.init.kaiming_normal_, 2 / FAN_IN),
    ("kaiming_normal_, fan_out", lambda p: nn.init.kaiming_normal_(p, mode="fan_out", nonlinearity="relu"), 2 / FAN_OUT),
    ("kaiming_uniform_, slope", lambda p: nn.init.kaiming_uniform_(p, a=2.0), 2 / 5 / FAN_IN),
    ("kaiming_uniform_, linear", lambda p: nn.init.kaiming_uniform_(p, nonlinearity="linear"), 1 / FAN_IN),
    ("lecun_uniform_", nn.init.lecun_uniform_, 1 / FAN_IN),
    ("lecun_normal_", nn.init.lecun_normal_, 1 / FAN_IN),
    ("normal_", lambda p: nn.init.normal_(p, 1.0, 3.0), 9.0),
    ("uniform_", lambda p: nn.init.uniform_(p, -2.0, 4.0), 3.0),
    # of a standard normal between -2 and 2: 1 - 4 phi(2) / (Phi(2) - Phi(-2))
    ("trunc_normal_", nn.init.trunc_normal_, 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))),
]


@pytest.mark.parametrize(("name", "fill", "variance"), VARIANCES, ids=[row[0] for row in VARIANCES])
def test_variances(name: str, fill: Callable[[Any], Any], variance: float) -> None:
    nn.manual_seed(0)
    parameter = cg.variable(np.zeros(SHAPE, np.float32))
    assert fill(parameter) is parameter
    values = parameter.value.astype(np.float64)
    assert parameter.dtype == np.float32
    assert abs(values.var() / variance - 1) < 0.03
    if name not in ("normal_", "uniform_"):
        assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
    if "uniform" in name:
        half = math.sqrt(3 * variance)
        centre = 1.0 if name == "uniform_" else 0.0
        assert 0.999 * half < np.abs(values - centre).max() <= half * (1 + 1e-6)
    elif "normal" in name and "trunc" not in name:  # a normal distribution has 4.6% beyond 2 deviations, a uniform one none
        assert 0.04 < np.mean(np.abs(values - values.mean()) > 2 * math.sqrt(variance)) < 0.051


def test_fans_of_kernels() -> None:
    nn.manual_seed(0)
    kernel = np.zeros((64, 32, 3, 5))
    assert abs(nn.init.kaiming_normal_(kernel).var() * (32 * 15) / 2 - 1) < 0.05
    assert abs(nn.init.kaiming_normal_(kernel, mode="fan_out").var() * (64 * 15) / 2 - 1) < 0.05
    assert abs(nn.init.xavier_uniform_(kernel).var() * (96 * 15) / 2 - 1) < 0.05


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (4, 2, 3, 3), (30, 2, 3)])
def test_orthogonal(shape: tuple[int, ...], dtype: Any) -> None:
    Q = nn.init.orthogonal_(np.zeros(shape, dtype), gain=2.0, generator=0).reshape(shape[0], -1) / 2
    product = Q @ Q.T if Q.shape[0] <= Q.shape[1] else Q.T @ Q
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-6 if dtype == np.float32 else 1e-12)


def test_orthogonal_matrices_are_drawn_evenly() -> None:
    """Without the signs of R's diagonal, LAPACK's Q has a trace that is negative on average."""
    rng = np.random.default_rng(0)
    draws = np.array([nn.init.orthogonal_(np.zeros((3, 3)), generator=rng) for _ in range(2000)])
    traces = np.trace(draws, axis1=1, axis2=2)
    assert abs(traces.mean()) < 4 / math.sqrt(2000)  # of mean 0 and variance 1
    assert abs(np.mean(traces**2) - 1) < 0.15
    assert abs(np.mean(np.linalg.det(draws))) < 4 / math.sqrt(2000)


def test_truncation() -> None:
    values = nn.init.trunc_normal_(np.zeros(20_000), 1.0, 2.0, 0.5, 2.0, generator=0)
    assert values.min() >= 0.5 and values.max() <= 2.0 and len(np.unique(values)) == 20_000
    with pytest.raises(cg.InputError, match=r"next to nothing of a normal of mean 0\.0 and std 1\.0 is between 8 and 9"):
        nn.init.trunc_normal_(np.zeros(3), a=8, b=9)


def test_constants() -> None:
    parameter = cg.variable(np.ones((2, 3), np.float32))
    assert not np.any(nn.init.zeros_(parameter).value)
    assert np.all(nn.init.ones_(parameter).value == 1)
    assert np.all(nn.init.constant_(parameter, 0.3).value == np.float32(0.3)) and parameter.dtype == np.float32


def test_gains() -> None:
    gains = {"linear": 1, "sigmoid": 1, "conv2d": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / 1.0001), "selu": 0.75}
    assert {name: nn.init.calculate_gain(name) for name in gains} == pytest.approx(gains, rel=1e-15)
    assert nn.init.calculate_gain("leaky_relu", 0) == math.sqrt(2)


def test_seeds_and_sources() -> None:
    """A generator, a seed, or the source of the block; the same numbers from the same one."""
    fill = nn.init.xavier_uniform_
    first = fill(np.zeros((2, 3)), generator=7)
    assert np.array_equal(first, fill(np.zeros((2, 3)), generator=np.random.default_rng(7)))
    with nn.using(np.random.default_rng(7)):
        assert np.array_equal(first, fill(np.zeros((2, 3))))
    nn.manual_seed(7)
    assert np.array_equal(first, fill(np.zeros((2, 3))))
    assert not np.array_equal(first, fill(np.zeros((2, 3))))


def test_refused() -> None:
    bias, computed = cg.variable(np.zeros(3)), np.exp(cg.variable(np.zeros((2, 2))))
    for fill in (nn.init.xavier_uniform_, nn.init.xavier_normal_, nn.init.kaiming_normal_, nn.init.lecun_normal_):
        with pytest.raises(cg.ShapeError, match=r"a fan needs a weight of two axes or more, \(out, in, \*kernel\), not of shape \(3,\)"):
            fill(bias)
    with pytest.raises(cg.ShapeError, match=r"orthogonal_: a weight has two axes or more"):
        nn.init.orthogonal_(bias)
    with pytest.raises(cg.InputError, match="constant_ gives a parameter its first numbers, and this is a node that is computed"):
        nn.init.zeros_(computed)
    with pytest.raises(cg.InputError, match="takes a parameter or an array of floats, not list"):
        nn.init.zeros_([1.0])
    with pytest.raises(cg.InputError, match="kaiming: mode is 'fan_in' or 'fan_out', not 'fan'"):
        nn.init.kaiming_normal_(np.zeros((2, 2)), mode="fan")
    with pytest.raises(cg.InputError, match="calculate_gain: 'gelu' is none of linear, "):
        nn.init.calculate_gain("gelu")
    assert not np.any(bias.value)


# PyTorch's own: uniform in (-k, k), k^2 = 1 / fan_in for weight and bias; of recurrent cells 1 / hidden_size.
DEFAULTS = {
    "Linear": (lambda: nn.Linear(50, 400), 1 / 50),
    "Conv1d": (lambda: nn.Conv1d(10, 500, 5), 1 / 50),
    "Conv2d": (lambda: nn.Conv2d(4, 200, (3, 4)), 1 / 48),
    "Conv2d, groups": (lambda: nn.Conv2d(8, 200, 3, groups=4), 1 / 18),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(200, 8, 3), 1 / 72),  # PyTorch takes the second axis for the fan-in here too
    "RNNCell": (lambda: nn.RNNCell(30, 64), 1 / 64),
    "LSTMCell": (lambda: nn.LSTMCell(30, 64), 1 / 64),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_layers_start_as_in_pytorch(name: str) -> None:
    nn.manual_seed(1)
    make, k_squared = DEFAULTS[name]
    bound = math.sqrt(k_squared)
    for key, parameter in make().named_parameters():
        values = np.abs(parameter.value)
        assert values.max() <= bound * (1 + 1e-6), key
        if values.size >= 64:
            assert values.max() > 0.9 * bound, key
        if values.size > 2000:
            assert abs(3 * np.mean(values.astype(float) ** 2) / k_squared - 1) < 0.1, key

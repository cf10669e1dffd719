"""Activations beyond the stored values: dtypes, programs of machine code, settings, and what is missing or refused."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    nn.ReLU(), nn.LeakyReLU(), nn.ELU(0.7), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Tanh(), nn.Sigmoid(), nn.Softplus(),
    nn.Softplus(2.0, 5.0), nn.Softmax(dim=1), nn.LogSoftmax(dim=0),
]  # fmt: skip
X = np.array([[-800.0, -3.0, -1.0, -1e-3, 0.0], [1e-3, 0.5, 2.0, 20.0, 800.0]])
SEED = np.random.default_rng(0).normal(size=X.shape)


@pytest.mark.parametrize("module", MODULES, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_machine_code_has_the_values_of_the_eager_loop(module: Any, dtype: Any) -> None:
    pytest.importorskip("numba")
    gradient = cg.value_and_grad(lambda x: np.sum(module(x) * SEED.astype(dtype)))
    x = X.astype(dtype)
    (eager, eager_bar), (value, bar) = gradient(x), cg.compile(gradient, target="numba")(x)
    assert eager_bar.dtype == bar.dtype == dtype and module(x).dtype == dtype
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(value, eager, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(bar, eager_bar, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("module", MODULES[:-2], ids=repr)
@pytest.mark.filterwarnings("ignore::compgraph.ZeroGradientWarning")  # of pieces of straight lines
def test_second_derivatives(module: Any) -> None:
    """Against differences of the first ones, away from kinks."""
    x, h = np.array([-3.0, -1.0, -0.2, 0.3, 1.2, 4.0]), 1e-5
    first = cg.elementwise_grad(module)
    np.testing.assert_allclose(cg.elementwise_grad(first)(x), (first(x + h) - first(x - h)) / (2 * h), atol=1e-9)


def test_softplus_without_threshold_is_the_function() -> None:
    x = np.array([-40.0, 0.0, 25.0, 1000.0])
    np.testing.assert_allclose(nn.Softplus(threshold=math.inf)(x), np.logaddexp(x, 0), rtol=1e-15)
    assert nn.Softplus()(x)[2] == 25.0 < nn.Softplus(threshold=math.inf)(x)[2]


def test_repr() -> None:
    shown = {
        nn.ReLU(): "ReLU()", nn.LeakyReLU(): "LeakyReLU(negative_slope=0.01)", nn.ELU(): "ELU(alpha=1.0)",
        nn.GELU(): "GELU(approximate='none')", nn.Softplus(): "Softplus(beta=1.0, threshold=20.0)",
        nn.Softmax(dim=1): "Softmax(dim=1)", nn.LogSoftmax(): "LogSoftmax(dim=-1)",
    }  # fmt: skip
    assert {module: repr(module) for module in shown} == shown
    assert all(not list(module.parameters()) for module in MODULES)


def test_refused() -> None:
    with pytest.raises(cg.InputError, match="GELU: approximate is 'none' or 'tanh', not 'erf'"):
        nn.GELU("erf")
    with pytest.raises(cg.InputError, match="Softplus: beta is above 0, not 0"):
        nn.Softplus(beta=0)
    with pytest.raises(cg.InputError, match="LeakyReLU: negative_slope is a number, not 'a'"):
        nn.LeakyReLU("a")
    with pytest.raises(cg.InputError, match="ELU: alpha is a number, not nan"):
        nn.ELU(math.nan)
    with pytest.raises(cg.InputError, match="Softmax: dim is an integer, not None"):
        nn.Softmax(None)
    with pytest.raises(cg.ShapeError, match=r"Softmax \(dim=2\): the input has shape \(2, 5\) and no axis 2 \(test_activations.py"):
        nn.Softmax(2)(X)


def test_gelu_without_scipy_says_what_to_do() -> None:
    program = """if True:
        import sys
        sys.modules["scipy"] = sys.modules["scipy.special"] = None
        import numpy as np, compgraph as cg
        from compgraph import nn
        print(nn.GELU("tanh")(np.zeros(2)))
        try:
            nn.GELU()(cg.variable(np.zeros(2)))
        except cg.MissingDependencyError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    values, message = done.stdout.splitlines()
    assert values == "[0. 0.]"
    assert 'pip install "compgraph[special]", or GELU(approximate="tanh")' in message

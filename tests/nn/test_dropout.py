"""Dropout: what is kept, what it is multiplied by, and that only training drops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn

X = np.random.default_rng(0).normal(size=(4, 3, 5, 2)) + 10


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_entries_are_dropped_with_probability_p_and_the_others_grow(p: float) -> None:
    x = np.full((200, 200), 3.0, np.float32)
    y = nn.Dropout(p)(x)
    assert y.dtype == np.float32
    kept = y != 0
    assert abs(kept.mean() - (1 - p)) <= 5 * np.sqrt(p * (1 - p) / x.size)
    np.testing.assert_allclose(y[kept], 3 / (1 - p) if p < 1 else 0, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "x", "one"),
    [(nn.Dropout(0.5), X, (4, 3, 5, 2)), (nn.Dropout1d(0.5), X[..., 0], (4, 3, 1)), (nn.Dropout2d(0.5), X, (4, 3, 1, 1))],
    ids=["Dropout", "Dropout1d", "Dropout2d"],
)
def test_the_mask_is_the_same_for_what_is_dropped_as_one(layer: nn.Module, x: Any, one: tuple[int, ...]) -> None:
    with nn.using(np.random.default_rng(3)):
        y = layer(x)
    mask = np.random.default_rng(3).random(one) >= 0.5
    np.testing.assert_array_equal(y, x * mask * 2)
    assert 0 < mask.mean() < 1
    assert layer.eval()(x) is x
    layer.train()


def test_the_gradient_goes_where_the_values_went() -> None:
    x = cg.variable(X)
    y = nn.Dropout(0.25)(x)
    np.sum(y).backward()
    np.testing.assert_allclose(x.grad * X, y.value, rtol=1e-14)
    assert 0 < (x.grad == 0).mean() < 1


def test_a_rate_of_zero_draws_nothing() -> None:
    nn.manual_seed(0)
    expected = nn.uniform((2,))
    nn.manual_seed(0)
    assert nn.Dropout(0.0)(X) is X
    np.testing.assert_array_equal(nn.uniform((2,)), expected)


@pytest.mark.parametrize("p", [-0.1, 1.1, "half", None, True, float("nan")])
def test_no_probability(p: Any) -> None:
    with pytest.raises(cg.InputError, match=r"Dropout2d: p is a probability, a number in \[0, 1\], not .*test_dropout\.py"):
        nn.Dropout2d(p)


def test_another_number_of_axes_is_refused() -> None:
    model = nn.Sequential(nn.Dropout1d())
    with pytest.raises(cg.ShapeError, match=r"Dropout1d 0 \(p=0\.5\): the input has shape \(4, 3, 5, 2\), it has to be \(N, C, L\)"):
        model(X)

"""A model that is changed between two compiled steps: the next step is that of the model as it is."""

from __future__ import annotations

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn

DRAW = np.random.default_rng(4)
X = DRAW.normal(size=(12, 3)).astype(np.float32)
Y = DRAW.integers(0, 2, 12)


def network():
    return nn.Sequential(nn.Linear(3, 8, generator=0), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2, generator=1))


def losses(change, target, model=None):
    """Two steps, a change, and two more."""
    model = network() if model is None else model
    step = optim.train_step(
        model, nn.cross_entropy, optim.Adam(model.parameters(), lr=0.05), target=target, generator=np.random.default_rng(0)
    )  # fmt: skip
    found = [step(X, Y), step(X, Y)]
    change(model)
    return [*found, step(X, Y), step(X, Y)]


def rate_of_dropout(model):
    model[2].p = 0.1


def another_layer(model):
    setattr(model, "1", nn.ReLU())


def a_layer_in_a_part(model):
    setattr(model, "1", nn.Sequential(nn.ReLU()))
    setattr(getattr(model, "1"), "0", nn.Sigmoid())


@pytest.mark.parametrize("change", [rate_of_dropout, another_layer, a_layer_in_a_part])
def test_a_step_is_that_of_the_model_as_it_is(change):
    found, expected, unchanged = losses(change, "numpy"), losses(change, None), losses(lambda model: None, None)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert abs(unchanged[2] - expected[2]) > 1e-3


def test_a_parameter_that_was_replaced_is_said():
    def replace(model):
        model[0].weight = cg.variable(np.zeros((8, 3), np.float32))

    with pytest.raises(cg.InputError, match="is no parameter of the model"):
        losses(replace, "numpy")


def test_what_a_forward_keeps_makes_no_new_program():
    class Keeps(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(3, 2, generator=0)
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            self.hidden = self.inner(x)
            return self.hidden

    model = Keeps()
    step = optim.train_step(model, nn.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    for _ in range(3):
        step(X, Y)
    calls = model.calls
    for _ in range(3):
        step(X, Y)
        model.train().eval().train()
        model.load_state_dict(model.state_dict())
    assert model.calls == calls and len(step._programs) == 1


MAKERS = [
    lambda p: optim.Adam(p, lr=0.1), lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.SGD(p, lr=0.1),
    lambda p: optim.LAMB(p, lr=0.1),
]  # fmt: skip


@pytest.mark.parametrize("target", ["numpy", None])
@pytest.mark.parametrize("make", MAKERS)
def test_a_model_may_be_converted_between_steps(make, target):
    model = nn.Linear(3, 2, generator=0)
    optimizer = make(model.parameters())
    step = optim.train_step(model, nn.cross_entropy, optimizer, target=target)
    other = nn.Linear(3, 2, generator=0)
    beside = optim.train_step(other, nn.cross_entropy, make(other.parameters()), target=target)
    for dtype in (np.float32, np.float64, np.float32, np.float64):
        model.to(dtype)
        for _ in range(2):
            np.testing.assert_allclose(step(X.astype(dtype), Y), beside(X, Y), rtol=1e-5)
        assert model.weight.dtype == dtype
        for name, value in optimizer.state_dict()["state"].get(0, {}).items():
            assert np.ndim(value) == 0 or value.dtype == dtype, name

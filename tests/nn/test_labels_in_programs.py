"""Labels and indices that are inputs of a compiled program: one that there is not is an error and not the last class."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn

X = np.random.default_rng(0).normal(size=(6, 3))
Y = np.array([0, 1, 2, 1, 0, 2])
LOSSES = [
    nn.cross_entropy, nn.nll, nn.multi_margin, partial(nn.cross_entropy, ignore_index=-100, label_smoothing=0.1),
    partial(nn.cross_entropy, weight=np.array([1.0, 2.0, 3.0])),
]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint8])
def test_a_program_of_labels_has_the_values_of_the_plain_loss(loss, dtype):
    compiled = cg.compile(cg.value_and_grad(lambda x, y: loss(x, y)))
    value, gradient = compiled(X, Y.astype(dtype))
    np.testing.assert_allclose(value, loss(X, Y), rtol=1e-14)
    np.testing.assert_allclose(gradient, cg.grad(lambda x: loss(x, Y))(X), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("wrong", [-1, -2, 3, 2**40, -(2**40)])
def test_a_label_that_is_no_class_is_an_error(loss, wrong):
    compiled = cg.compile(lambda x, y: loss(x, y))
    labels = Y.copy()
    compiled(X, labels)
    labels[4] = wrong
    with pytest.raises(cg.NodeIndexError):
        compiled(X, labels)


@pytest.mark.parametrize("target", ["numpy", None])
@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_training_step_says_which_label_and_changes_nothing(target, wrong):
    model = nn.Linear(3, 3, dtype=np.float64, generator=0)
    step = optim.train_step(model, lambda output, y: nn.cross_entropy(output, y), optim.Adam(model.parameters()), target=target)
    step(X, Y)
    before, labels = model.state_dict(), Y.copy()
    labels[4] = wrong
    with pytest.raises(cg.InputError, match=rf"cross_entropy: label {wrong} at \[4\] is not one of the 3 classes.*test_labels_in_programs"):
        step(X, labels)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert step.steps == 1


@pytest.mark.parametrize("target", ["numpy", None])
@pytest.mark.parametrize("wrong", [-1, 5])
def test_an_embedding_has_no_row_below_zero(target, wrong):
    model = nn.Sequential(nn.Embedding(5, 2, generator=0), nn.Flatten(), nn.Linear(4, 3, generator=0))
    step = optim.train_step(model, nn.cross_entropy, optim.SGD(model.parameters(), lr=0.1), target=target)
    words = np.array([[0, 1], [2, 3], [4, 0], [1, 1], [2, 2], [3, 4]])
    step(words, Y)
    words[2, 1] = wrong
    with pytest.raises(cg.NodeIndexError, match=rf"Embedding 0 \(5, 2\): index {wrong} at \(2, 1\) is outside of 0 to 4"):
        step(words, Y)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_batch_of_one_in_machine_code(size):
    pytest.importorskip("numba")
    compiled = cg.compile(cg.value_and_grad(lambda x, y: nn.cross_entropy(x, y)), target="numba")
    value, gradient = compiled(X[:size], Y[:size])
    np.testing.assert_allclose(value, nn.cross_entropy(X[:size], Y[:size]), rtol=1e-14)
    np.testing.assert_allclose(gradient, cg.grad(lambda x: nn.cross_entropy(x, Y[:size]))(X[:size]), rtol=1e-12, atol=1e-15)

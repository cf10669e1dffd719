"""Dropout and noise within `cg.checkpoint`: the run in the reverse sweep draws what the first one drew."""

from __future__ import annotations

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn

dropout = nn.Dropout(0.5)


def plain(function):
    return function


def block(x, w):
    return dropout(np.sin(x * w)) + nn.normal(x.shape, np.float64) * w


def once(wrap):
    return lambda x, w: np.sum(wrap(block)(x, w) ** 2)


def twice(wrap):
    return lambda x, w: np.sum(wrap(block)(wrap(block)(x, w), w) ** 2)


def nested(wrap):
    def inner(x, w):
        return wrap(block)(x, w) + dropout(x)

    return lambda x, w: np.sum(wrap(lambda x, w: inner(dropout(x), w) + wrap(block)(x, w))(x, w) ** 2)


def other_source(wrap):
    def loss(x, w):
        with nn.using(np.random.default_rng(5)):  # which is over when the reverse sweep begins
            return np.sum(wrap(block)(x, w) ** 2) + np.sum(wrap(block)(x, w))

    return loss


def own_source(wrap):
    def sourced(x, w):
        with nn.using(np.random.default_rng(3)):
            return block(x, w)

    return lambda x, w: np.sum(wrap(sourced)(x, w) ** 2)


def gradients(loss):
    nn.manual_seed(0)
    x, w = cg.variable(np.arange(1.0, 9.0)), cg.variable(np.full(8, 0.5))
    value = loss(x, w)
    value.backward()
    return float(value.value), x.grad, w.grad, nn.uniform((2,), np.float64)  # the generator goes on from the same place


@pytest.mark.parametrize("make", [once, twice, nested, other_source, own_source])
def test_the_gradient_is_that_of_the_same_draws(make):
    for found, expected in zip(gradients(make(cg.checkpoint)), gradients(make(plain)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_other_sweeps_draw_the_same_too():
    def loss(wrap):
        def of_weights(w):
            nn.manual_seed(1)
            return once(wrap)(np.arange(1.0, 9.0), w)

        return of_weights

    w = np.full(8, 0.5)
    np.testing.assert_allclose(cg.hessian(loss(cg.checkpoint))(w), cg.hessian(loss(plain))(w), rtol=1e-12, atol=1e-12)
    found, expected = (cg.jvp(loss(wrap), (w,), (np.ones(8),))[1] for wrap in (cg.checkpoint, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_a_chain_that_draws_is_refused():
    with pytest.raises(cg.InputError, match=r"a step draws random numbers.*test_checkpointed_draws"):
        cg.grad(lambda x: np.sum(cg.checkpoint_chain(dropout, x, 5, 2)))(np.ones(4))

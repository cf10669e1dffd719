"""Samplers: an epoch has every example once, three descents are one rule, and a state goes on where it was taken."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compgraph as cg
import optim


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(size=st.integers(1, 60), batch=st.integers(1, 60), shuffle=st.booleans(), drop_last=st.booleans(), seed=st.integers(0, 9))
def test_an_epoch_has_every_example_once(size: int, batch: int, shuffle: bool, drop_last: bool, seed: int) -> None:
    batch = min(size, batch)
    sampler = optim.MiniBatches(size, batch, shuffle=shuffle, drop_last=drop_last, generator=draws(seed))
    for epoch in range(2):
        assert sampler.epoch == epoch
        batches = list(sampler)
        assert len(batches) == len(sampler) == (size // batch if drop_last else -(-size // batch))
        seen = np.concatenate(batches)
        assert len(np.unique(seen)) == len(seen) == (size - size % batch if drop_last else size)
        assert all(len(one) == batch for one in batches[: size // batch])
        if not shuffle:
            np.testing.assert_array_equal(seen, np.arange(len(seen)))


def test_each_epoch_is_drawn_anew_from_the_generator() -> None:
    sampler, again = (optim.MiniBatches(50, 7, generator=draws(4)) for _ in range(2))
    first, second = list(sampler), list(sampler)
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    for one, other in zip([*first, *second], [*again, *again], strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_place_is_as_likely_for_every_example() -> None:
    sampler = optim.MiniBatches(5, 2, generator=draws())
    places = np.array([np.concatenate(list(sampler)) for _ in range(4000)])
    counts = np.stack([np.bincount(places[:, place], minlength=5) for place in range(5)])
    assert np.all(np.abs(counts - 800) < 5 * np.sqrt(800 * 0.8))


def test_three_descents_are_one_rule() -> None:
    np.testing.assert_array_equal(list(optim.full_batch(4)), list(optim.MiniBatches(4, 4, shuffle=False)))
    np.testing.assert_array_equal(list(optim.stochastic(9, generator=draws(1))), list(optim.MiniBatches(9, 1, generator=draws(1))))
    assert (len(optim.full_batch(9)), len(optim.stochastic(9)), len(optim.MiniBatches(9, 2))) == (1, 9, 5)


def test_the_mean_of_the_mini_batches_gradients_is_the_whole_gradient() -> None:
    x, y = draws().normal(size=(12, 3)), draws(1).normal(size=12)
    gradient = cg.grad(lambda w, x, y: np.mean((x @ w - y) ** 2))
    w = np.ones(3)
    (whole,) = (gradient(w, x[batch], y[batch]) for batch in optim.full_batch(12))
    for sampler in (optim.stochastic(12), optim.MiniBatches(12, 4)):
        np.testing.assert_allclose(np.mean([gradient(w, x[batch], y[batch]) for batch in sampler], axis=0), whole, rtol=1e-12)


def test_the_three_descents_go_to_the_same_place() -> None:
    x = draws().normal(size=(30, 2))
    y = x @ np.array([2.0, -1.0])
    one_by_one, in_parts = optim.stochastic(30, generator=draws()), optim.MiniBatches(30, 8, generator=draws())
    for sampler, epochs in ((optim.full_batch(30), 600), (one_by_one, 50), (in_parts, 150)):
        w = cg.variable(np.zeros(2), name="w")
        optimizer = optim.SGD([w], lr=0.05)
        for _ in range(epochs):
            for batch in sampler:
                optimizer.zero_grad()
                np.mean((x[batch] @ w - y[batch]) ** 2).backward()
                optimizer.step()
        np.testing.assert_allclose(w.value, [2.0, -1.0], atol=1e-6)


def test_a_curriculum_goes_from_easy_to_hard_and_shuffles_equals() -> None:
    difficulty = np.array([3, 1, 2, 1, 3, 1])
    sampler = optim.MiniBatches(6, 2, key=difficulty, generator=draws())
    orders = {tuple(np.concatenate(list(sampler))) for _ in range(60)}
    assert all(list(difficulty[list(order)]) == [1, 1, 1, 2, 3, 3] for order in orders)
    assert len(orders) == 12  # 3! orders of the easy ones, 2 of the hard ones
    plain = optim.MiniBatches(6, 6, key=difficulty, shuffle=False)
    np.testing.assert_array_equal(next(iter(plain)), [1, 3, 5, 2, 0, 4])
    many = optim.MiniBatches(400, 400, key=np.arange(400) % 2, shuffle=False)
    np.testing.assert_array_equal(next(iter(many)), [*range(0, 400, 2), *range(1, 400, 2)])


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64, np.random.MT19937])
@pytest.mark.parametrize("stop", [0, 1, 3, 5, 7, 10, 12])
def test_a_state_goes_on_where_it_was_taken(stop: int, kind: Any) -> None:
    """`stop` batches into epochs of five, in the middle of one or between two."""

    def batches(sampler: Any, epochs: int) -> Any:
        return itertools.chain.from_iterable(iter(sampler) for _ in range(epochs))

    whole = optim.MiniBatches(23, 5, generator=np.random.Generator(kind(8)))
    run = batches(whole, 5)
    for _ in range(stop):
        next(run)
    state = whole.state_dict()
    rest = list(run)
    resumed = optim.MiniBatches(23, 5, generator=np.random.Generator(kind(99)))
    resumed.load_state_dict(state)
    assert resumed.epoch == (max(stop - 1, 0)) // 5
    after = list(batches(resumed, 5 - resumed.epoch))
    assert len(after) == 25 - stop
    for one, other in zip(rest, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_state_is_plain_data_and_a_copy() -> None:
    sampler = optim.MiniBatches(10, 3, generator=draws())
    next(iter(sampler))
    state = sampler.state_dict()
    text = json.dumps(state)
    list(sampler)
    assert json.dumps(state) == text
    sampler.load_state_dict(json.loads(text))
    assert len(list(sampler)) == 3


def test_leaving_an_epoch_early_starts_a_new_one() -> None:
    sampler = optim.MiniBatches(10, 2, generator=draws())
    for _ in sampler:
        break
    assert len(list(sampler)) == 5


@pytest.mark.parametrize(("arguments", "message"), [
    ((10, 0), "batch_size is 0: it has to be a whole number from 1 on"),
    ((10, -2), "batch_size is -2"),
    ((10, 11), "batch_size is 11, but there are only 10 examples"),
    ((10, 2.5), "batch_size is 2.5"),
    ((10, True), "batch_size is True"),
    ((0, 1), "size is 0"),
])  # fmt: skip
def test_sizes_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(cg.InputError, match=message):
        optim.MiniBatches(*arguments)


@pytest.mark.parametrize(("options", "message"), [
    ({"key": [1.0, 2.0]}, r"key has a number for each of the 3 examples; this has shape \(2,\)"),
    ({"key": [1.0, np.nan, 2.0]}, "NaN"),
    ({"key": ["a", "b", "c"]}, "no numbers"),
    ({"generator": 3}, "generator is a np.random.Generator"),
    ({"generator": np.random.PCG64(3)}, "generator is a np.random.Generator"),
])  # fmt: skip
def test_options_are_refused(options: Any, message: str) -> None:
    with pytest.raises(cg.CompgraphError, match=message):
        optim.MiniBatches(3, 1, **options)


def test_a_state_that_does_not_fit_is_refused_whole() -> None:
    sampler = optim.MiniBatches(10, 3, generator=draws(5))
    list(itertools.islice(sampler, 2))
    state = sampler.state_dict()
    other_kind = optim.MiniBatches(10, 3, generator=np.random.Generator(np.random.Philox(1))).state_dict()
    for wrong in ({}, [], {**state, "size": 11}, {**state, "batch_size": 2}, {**state, "position": -1}, {**state, "epoch": 0.5},
                  {**state, "generator": {}}, {**state, "generator": 3}, other_kind):  # fmt: skip
        with pytest.raises(cg.InputError):
            sampler.load_state_dict(wrong)
        assert sampler.state_dict() == state


@given(size=st.integers(1, 40), batch=st.integers(1, 40), shuffle=st.booleans(), drop_last=st.booleans(), taken=st.integers(0, 5))
def test_a_whole_epoch_is_its_batches_end_to_end(size: int, batch: int, shuffle: bool, drop_last: bool, taken: int) -> None:
    batch = min(size, batch)
    one, other = (optim.MiniBatches(size, batch, shuffle=shuffle, drop_last=drop_last, generator=draws(3)) for _ in range(2))
    for _ in range(2):
        np.testing.assert_array_equal(one.whole_epoch(), np.concatenate(list(other)))
        assert one.epoch == other.epoch and one.state_dict() == other.state_dict()
    begun = list(itertools.islice(other, taken))
    resumed = optim.MiniBatches(size, batch, shuffle=shuffle, drop_last=drop_last)
    if len(begun) < len(other):
        resumed.load_state_dict(other.state_dict())
        np.testing.assert_array_equal(np.concatenate([*begun, resumed.whole_epoch()]), one.whole_epoch())

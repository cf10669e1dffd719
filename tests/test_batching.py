"""Vector mode: a batch of seeds gives what the seeds give one by one, for every primitive and every kind of argument."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from domains import SAMPLES

import compgraph as cg
from compgraph.batching import apply_batched, run_batched

BATCH = 3


def nearby(x: np.ndarray, seed: int) -> np.ndarray:
    """A batch of arguments around `x`; numbers without a neighbourhood are repeated."""
    if x.dtype.kind not in "fc":
        return np.stack([x] * BATCH)
    shift = np.random.default_rng(seed).uniform(0.99, 1.0, size=(BATCH, *x.shape))
    return (x * shift).astype(x.dtype)


def subsets(sample):
    places = [place for place, arg in enumerate(sample.args) if hasattr(arg, "dtype")]
    return [chosen for count in range(1, len(places) + 1) for chosen in itertools.combinations(places, count)]


CASES = [(sample, chosen) for sample in SAMPLES for chosen in subsets(sample)]


@pytest.mark.parametrize(("sample", "chosen"), CASES, ids=lambda part: str(part).replace(" ", ""))
def test_a_batch_is_its_entries_one_by_one(sample, chosen):
    xs = [nearby(np.asarray(arg), place) if place in chosen else arg for place, arg in enumerate(sample.args)]
    flags = [place in chosen for place in range(len(xs))]
    together = apply_batched(sample.primitive, flags, xs, sample.params)
    each = [[x[entry] if flag else x for x, flag in zip(xs, flags, strict=True)] for entry in range(BATCH)]
    single = [cg.bind(sample.name, *entry, **sample.params) for entry in each]
    assert together.dtype == single[0].dtype
    np.testing.assert_allclose(together, np.stack(single), rtol=1e-13 if together.dtype not in (np.float32, np.complex64) else 1e-5)


def test_only_what_the_seeds_reach_is_repeated():
    calls = []
    x, seed = cg.variable(np.arange(3.0)), cg.constant(np.zeros(3))
    costly = np.exp(x)
    y = costly * seed
    original = costly.primitive.evaluate
    costly.primitive.evaluate = lambda x: calls.append(x.shape) or original(x)
    try:
        (result,) = run_batched([costly, y], {seed: np.eye(3)}, [y])
    finally:
        costly.primitive.evaluate = original
    assert calls == [] and np.array_equal(result, np.diag(costly.value))

"""The batches of an epoch are the rows that were asked for, however they are cut; and a long run keeps its memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optim
from compgraph import nn
from optim import feed as feed_module
from optim.feed import Arrays, Part


@given(count=st.integers(1, 30), size=st.integers(1, 12), first=st.integers(0, 4), gathered=st.booleans(), part=st.booleans())
def test_batches_are_the_rows_of_the_order(count: int, size: int, first: int, gathered: bool, part: bool) -> None:
    X, y = np.arange(40 * 6).reshape(40, 2, 3), np.arange(40)
    order = np.random.default_rng(0).permutation(30)[:count]
    whole = Arrays((X, y))
    chosen = np.arange(39, 9, -1)
    feed = Part(whole, chosen) if part else whole
    rows = chosen[order] if part else order
    with pytest.MonkeyPatch.context() as patch:
        if not gathered:
            patch.setattr(feed_module, "GATHERED", 0)
        found = list(feed.batches(order, size, first))
    wanted = [rows[start : start + size] for start in range(first * size, count, size)]
    assert len(found) == len(wanted)
    for (some_X, some_y), indices in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(some_X, X[indices])
        np.testing.assert_array_equal(some_y, y[indices])


def test_inputs_that_are_their_own_targets_and_files(tmp_path: Path) -> None:
    X = np.arange(20.0).reshape(10, 2)
    order = np.array([3, 1, 4, 0, 2])
    for one, other in Arrays(X).batches(order, 2):
        np.testing.assert_array_equal(one, other)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for (one, _), (other, _) in zip(Arrays((mapped, X)).batches(order, 2), Arrays((X, X)).batches(order, 2), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["numpy", "numba", None])
def test_memory_is_flat_over_ten_thousand_steps(target: Any) -> None:
    """But for the history, which has three numbers a step, in arrays that grow by an eighth at a time."""
    if target == "numba":
        pytest.importorskip("numba")
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(800, 4)).astype(np.float32), draw.integers(0, 3, 800)
    model = nn.Sequential(nn.Linear(4, 8, generator=0), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3, generator=1))
    held: list[int] = []

    def look(run: Any) -> None:
        history = sum(column.buffer_info()[1] * column.itemsize for column in run.history._steps.values())
        held.append(tracemalloc.get_traced_memory()[0] - history)

    tracemalloc.start()
    try:
        history = optim.fit(
            model, (X, y), loss=nn.cross_entropy, optimizer=optim.Adam(model.parameters()), epochs=100, batch_size=8, target=target,
            callbacks=[look], progress=False,
        )  # fmt: skip
    finally:
        tracemalloc.stop()
    assert len(history.steps["loss"]) == 10_000
    early, late = max(held[5:20]), max(held[-15:])
    assert late - early < 100_000, (early, late)  # 12 bytes a step; a graph that is kept takes kilobytes

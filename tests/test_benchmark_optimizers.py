"""The benchmark of optimizer steps computes what it says, in each library that is installed. No time is tested."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import common  # noqa: E402 - a folder of scripts, found by its path
import optimizers  # noqa: E402

TINY = [optimizers.Job(rule, tensors, 60) for rule in ("SGD", "Adam") for tensors in (1, 3)]


def by_hand(job: optimizers.Job) -> list[Any]:
    """The parameters after the checked steps, in float64."""
    values, gradients = (np.concatenate(arrays).astype(float) for arrays in job.arrays())
    m, v = np.zeros_like(values), np.zeros_like(values)
    for t in range(1, optimizers.CHECKED_STEPS + 1):
        if job.rule == "SGD":
            m = optimizers.MOMENTUM * m + gradients
            values = values - optimizers.RATE * m
        else:
            m, v = 0.9 * m + 0.1 * gradients, 0.999 * v + 0.001 * gradients**2
            values = values - optimizers.RATE * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return [values]


@pytest.mark.parametrize("job", TINY, ids=lambda job: job.name)
@pytest.mark.parametrize("name", optimizers.LIBRARIES)
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_each_library_takes_the_step_that_is_written_by_hand(name: str, job: optimizers.Job) -> None:
    package, make = optimizers.LIBRARIES[name]
    if package is not None:
        pytest.importorskip(package, reason=f"{package} is not installed")
    case = make(job)
    optimizers.agree({"by hand": by_hand(job), name: case.results()}, job.name)
    optimizers.agree({"by hand": by_hand(job), name: case.results()}, f"{job.name}, again")  # from the start
    case.ready()()  # what the clock would time


@pytest.mark.parametrize(("change", "value"), [("RATE", 1.001e-3), ("MOMENTUM", 0.9001), ("CHECKED_STEPS", 4)])
def test_another_step_is_refused(monkeypatch: pytest.MonkeyPatch, change: str, value: float) -> None:
    expected = by_hand(TINY[0])
    monkeypatch.setattr(optimizers, change, value)
    other = by_hand(TINY[0])
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="differs"):
        optimizers.agree({"right": expected, "another": other}, "planted")


def test_the_jobs_are_those_of_the_target() -> None:
    assert len(optimizers.JOBS) == len({job.name for job in optimizers.JOBS}) == 2 * 3 * 5
    assert {job.tensors for job in optimizers.JOBS} == {1, 10, 100}
    assert {job.parameters for job in optimizers.JOBS} == {10**power for power in range(3, 8)}
    values, gradients = optimizers.Job("SGD", 100, 1000).arrays()
    assert sum(value.size for value in values) == sum(gradient.size for gradient in gradients) == 1000
    assert all(value.dtype == np.float32 for value in [*values, *gradients])


def test_the_table_compares_the_fastest_with_the_faster_target() -> None:
    def timing(median: float) -> tuple[common.Timing, str]:
        return common.Timing(median, 0.9 * median, 1.1 * median), ""

    rows = {"plain step": 9e-6, "numpy target": 4e-6, "numba target": 2e-6, "PyTorch foreach": 5e-6, "optax jit": 3e-6}
    good = {name: timing(median) for name, median in rows.items()}
    text = optimizers.report({"a": good, "b": {**good, "optax jit": timing(1e-6)}})
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    assert [cell[-3:-1] for cell in cells if cell[1:2] in (["a"], ["b"])] == [
        ["1.50", "optax jit / numba target"],
        ["0.50", "optax jit / numba target"],
    ]
    assert text.endswith("slower than the fastest other in 1 of 2 rows; the least ratio is 0.50 (b).")


def test_the_result_has_its_place_in_the_text() -> None:
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- optimizers -->") == text.count("<!-- end of optimizers -->") == 1

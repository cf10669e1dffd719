"""The benchmarks of training run what they say, at a small size, with the libraries that are installed. No time is tested."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import digits  # noqa: E402 - a folder of scripts, found by its path
import train_step  # noqa: E402
from common import Timing, versions_of  # noqa: E402
from training import TINY  # noqa: E402


@pytest.mark.parametrize("name", digits.SCRIPTS)
def test_the_scripts_learn_the_digits(name: str) -> None:
    script, package, threads = digits.SCRIPTS[name]
    path = digits.data_file()
    if path is None or (package is not None and not versions_of([package])[0]):
        pytest.skip("scikit-learn brings the digits, and PyTorch the other script")
    seconds, accuracy = digits.run(script, path, threads)
    assert seconds > 0 and accuracy >= digits.WANTED


@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_every_case_of_a_training_step_runs() -> None:
    cases = train_step.cases(TINY, versions_of(["numba", "torch", "jax"])[0])
    assert {"NumPy, by hand", "NumPy", "eager", "eager, no update"} <= cases.keys()
    for case in cases.values():
        once = case.ready()
        once()
        once()


def test_the_better_number_of_threads_is_shown() -> None:
    seconds = {"PyTorch, 1 thr.": 2.0, "PyTorch, 2 thr.": 1.0, "NumPy": 3.0}
    timings = {name: Timing(one, one, one) for name, one in seconds.items()}
    assert {name: one.median for name, one in train_step.fastest(timings).items()} == {"PyTorch": 1.0, "NumPy": 3.0}


def test_the_loop_of_fit_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step, "STEPS", 200)
    assert 0 < train_step.loop_seconds() < 1

"""Runs that are killed: at any moment, by a signal that nobody can catch, and the end is the same to the bit.

A machine that stops is the same to a run as `kill -9`, but for what the disk has not written yet; the order in which it
does is tested in test_checkpoints.py.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from pathlib import Path

import killed_run
import pytest

import optim

pytest.importorskip("safetensors")
if "forkserver" not in multiprocessing.get_all_start_methods():
    pytest.skip("processes are forked from one that has done the imports, which this system cannot", allow_module_level=True)

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["optim", "compgraph.nn", "safetensors.numpy"])


def attempt(folder: Path, result: Path, delay: float | None, target: str | None) -> bool:
    """Let a process of its own go on with the run; with a `delay` it is killed after so many seconds. Whether it came to its result."""
    started = PROCESSES.Event()
    process = PROCESSES.Process(target=killed_run.begin, args=(started, folder, result, target))
    process.start()
    assert started.wait(60)
    process.join(delay)
    process.kill()
    process.join()
    assert process.exitcode == 0 or (process.exitcode == -9 and delay is not None), process.exitcode
    process.close()
    return result.exists()  # a process that is killed on its way out has done its work


def log_of(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name not in ("seconds", "time")} for row in rows]


def killed_runs(kills: int, tmp_path: Path, target: str | None = "numpy") -> list[int]:
    """Kill runs until that many were, resuming each to its end; the steps of the checkpoints they were resumed from."""
    whole, result = tmp_path / "whole", tmp_path / "whole.safetensors"
    for folder in (tmp_path / "first", whole):  # the first one also waits for the imports
        folder.mkdir()
        began = time.perf_counter()
        assert attempt(folder, result, None, target)
        length = time.perf_counter() - began
    expected, log = result.read_bytes(), log_of(whole)
    draw = random.Random(0)
    resumed: list[int] = []
    number = 0
    while len(resumed) < kills:
        number += 1
        folder, end = tmp_path / f"run{number}", tmp_path / f"end{number}.safetensors"
        folder.mkdir()
        before = len(resumed)
        while not attempt(folder, end, draw.uniform(0, length) if len(resumed) < kills else None, target):
            steps = [int(path.stem.removeprefix("step-")) for path in (folder / "run").glob("step-*")]
            resumed.append(max(steps, default=0))
            # Two, and each kill may have come between a new file and the removal of an old one; the next save removes all of those.
            assert len(steps) <= 2 + len(resumed) - before
        assert end.read_bytes() == expected, f"run {number} ended in another state"
        assert log_of(folder) == log
        assert optim.Checkpointer(folder / "run").latest() is not None
        assert sorted(path.name for path in (folder / "run").glob(".*")) == []  # no debris
    return resumed


def test_a_killed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    killed_runs(3, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["numpy", None])
def test_fifty_killed_runs_end_in_the_same_bits(target: str | None, tmp_path: Path) -> None:
    resumed = killed_runs(50, tmp_path, target)
    assert len(resumed) >= 50 and len(set(resumed)) > 10  # at many different places

"""The benchmark of a GPU computes what it says, and says so where there is none. No time is tested."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import gpu  # noqa: E402 - a folder of scripts, found by its path
from training import TINY, with_compgraph  # noqa: E402


def test_all_steps_have_the_losses_of_the_host(xp: Any) -> None:
    want = with_compgraph(TINY, "numpy").results()[0]
    for name in ("compgraph", "compgraph, train_step"):
        step = gpu.LIBRARIES[name][1](TINY)
        np.testing.assert_allclose([gpu.number(step()) for _ in want], want, rtol=1e-5, err_msg=name)


def test_launches_are_counted_from_the_text() -> None:
    text = "// 13 launches a call, recorded as a CUDA graph:\n//     a\n\n// 2 launches a call:\n"
    assert gpu.launches(text) == 15
    compiled, state = gpu.compiled_step(TINY)
    source = compiled.prepare(*state, *TINY.examples()).source
    assert 5 < source.count("__global__") <= gpu.launches(source) < 30 and "as a CUDA graph" in source


def test_a_library_that_is_missing_or_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> Any:
        raise RuntimeError("no such kernel\nand more")

    lines, failed = gpu.row_of("tiny", {"absent": ("no_such_package", failing), "broken": ("numpy", failing)}, 1)
    assert lines == [] and failed == [
        "tiny, absent: ModuleNotFoundError: No module named 'no_such_package'", "tiny, broken: RuntimeError: no such kernel",
    ]  # fmt: skip


def test_without_a_gpu_the_kernels_are_counted_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(gpu, "NETWORKS", (TINY,))
    monkeypatch.setattr(gpu, "MIXTURE", gpu.of_mixture(3, 2, points=7))
    assert gpu.main([]) == 0
    out = capsys.readouterr().out
    assert "launches a step" in out and TINY.name in out and "Nothing was timed: benchmarks/gpu.py needs CuPy" in out

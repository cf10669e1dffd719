"""The benchmark of convolutions computes what it says, in each library that is installed. No time is tested."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import common  # noqa: E402 - a folder of scripts, found by its path
import convolution  # noqa: E402

TINY = [convolution.Job(2, 5, 3, with_input, count=2) for with_input in (False, True)]


def by_hand(job: convolution.Job) -> list[Any]:
    """The adjoints of sum(seed * conv(x, weight, bias)), in float64."""
    x, weight, _, seed = (array.astype(float) for array in job.arrays())
    x_bar, weight_bar = np.zeros_like(x), np.zeros_like(weight)
    side = seed.shape[-1]
    for i, j in np.ndindex(3, 3):
        weight_bar[:, :, i, j] = np.einsum("nohw,nchw->oc", seed, x[:, :, i : i + side, j : j + side])
        x_bar[:, :, i : i + side, j : j + side] += np.einsum("nohw,oc->nchw", seed, weight[:, :, i, j])
    return [x_bar, weight_bar, seed.sum((0, 2, 3))] if job.with_input else [weight_bar, seed.sum((0, 2, 3))]


@pytest.mark.parametrize("job", TINY, ids=lambda job: job.name)
@pytest.mark.parametrize("name", convolution.LIBRARIES)
@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_each_library_has_the_adjoints_that_are_written_by_hand(name: str, job: convolution.Job) -> None:
    package, make = convolution.LIBRARIES[name]
    if package is not None:
        pytest.importorskip(package)
    case = make(job)
    for found, wanted in zip(case.results(), by_hand(job), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    case.ready()()


def test_the_table_has_a_ratio_for_each_of_ours() -> None:
    timing = common.Timing(2e-4, 1e-4, 3e-4)
    other = common.Timing(1e-4, 1e-4, 1e-4)
    text = convolution.report({"a job": {"eager": (timing, ""), "numpy target": (timing, ""), "PyTorch": (other, ", 1 thr.")}})
    assert "eager / PyTorch" in text and text.splitlines()[-1].count("2.00") == 2

"""Derivatives of array programs: log-sum-exp, a Gaussian mixture, k-means, an LSTM, bundle adjustment.

    python benchmarks/arrays.py [--store] [--only mixture]

The programs are in `workloads.py`. All libraries have to agree on value and derivative before the clock starts; then
they take turns.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from common import Timing, interleaved, machine, publish, table
from workloads import Problem, Run, problems, with_autograd, with_compgraph, with_jax, with_torch

import compgraph as cg

LIBRARIES: dict[str, tuple[str, Callable[[Problem], Run]]] = {
    "compgraph": ("compgraph", with_compgraph),
    "autograd": ("autograd", with_autograd),
    "torch, 1 thread": ("torch", lambda problem: with_torch(problem, 1)),
    "torch, 2 threads": ("torch", lambda problem: with_torch(problem, 2)),
    "jax": ("jax", lambda problem: with_jax(problem, compiled=False)),
    "jax, jit": ("jax", lambda problem: with_jax(problem, compiled=True)),
}

# -------------------------------------------------------------------------------------- measurement


def agreeing(problem: Problem, names: Sequence[str]) -> dict[str, Run]:
    """The problem in each library, once their results are seen to be equal."""
    runs = {name: LIBRARIES[name][1](problem) for name in names}
    expected: list[Any] = []
    for name, run in runs.items():
        found = run()
        expected = expected or found
        for one, other in zip(found, expected, strict=True):
            scale = float(np.max(np.abs(other)))
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10 * scale, err_msg=f"{name} computes something else: {problem.name}")
    return runs


def measured(problem: Problem, names: Sequence[str], seconds: float) -> dict[str, Timing]:
    """As many rounds as `seconds` allow, between 5 and 40."""
    runs = agreeing(problem, names)
    start = time.perf_counter()
    for run in runs.values():
        run()
    once = time.perf_counter() - start
    return interleaved(runs, rounds=int(np.clip(seconds / once, 5, 40)), repeats=1)


def milliseconds(timing: Timing) -> str:
    median, low, high = (1e3 * each for each in timing)
    digits = 0 if median >= 100 else 1 if median >= 10 else 2
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the tables into README.md")
    arguments.add_argument("--seconds", type=float, default=8.0, help="how long to measure each problem, about")
    arguments.add_argument("--only", default="", help="problems whose name holds this text")
    arguments.add_argument("--libraries", default="", help="other libraries to measure, by comma; all that are installed by default")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")  # of other libraries, about arrays that they share with NumPy

    names, versions = ["compgraph"], {"compgraph": cg.__version__}
    absent: dict[str, None] = {}
    for name, (package, _) in LIBRARIES.items():
        if name == "compgraph" or (options.libraries and package not in options.libraries.split(",")):
            continue
        try:
            versions[package] = version(package)
            names.append(name)
        except PackageNotFoundError:
            absent[package] = None

    times, ratios = [], []
    for problem in problems():
        if options.only in problem.name:
            timings = measured(problem, names, options.seconds)
            times.append([problem.name, *(milliseconds(timings[name]) for name in names)])
            ratios.append([problem.name, *(f"{timings[name].median / timings['compgraph'].median:.2f}" for name in names[1:])])
            print(*times[-1], sep=" | ", flush=True)
    lines = [
        "Time of a library over the time of compgraph; above 1, compgraph is faster:", "",
        table(["program", *names[1:]], ratios), "",
        "Milliseconds, the median and between the brackets half of the rounds:", "",
        table(["program", *names], times), "",
        f"{', '.join(f'{package} {number}' for package, number in versions.items())}. {machine()}.",
        *([f"Not installed and left out: {', '.join(absent)}."] if absent else []),
    ]  # fmt: skip
    publish("arrays", "\n".join(lines), store=options.store)


if __name__ == "__main__":
    main()

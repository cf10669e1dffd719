"""What a first call costs: tracing, compiling and running once, each in a process of its own; `compiled.py` prints it.

A library is imported before the clock starts; what it loads later counts. Compiled code that a library keeps on disk is in
an empty folder for the first process, and where a second one finds it there, that is measured too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import long_chain
import loops
import textbook
import training
import workloads
from common import table

import compgraph as cg

NETWORK, MIXTURE = training.Network((64, 64, 10), 32), (10, 25)
CHAIN = 100_000
# Where libraries keep what they have compiled.
CACHES = "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"


def first_result(case: Any) -> Any:
    return case.ready()()


def jobs(target: str) -> dict[str, Callable[[], Any]]:
    """Each job as a function that compiles and runs once, for one of our targets, "jax" or "torch"."""
    mixture = workloads.of_mixture(*MIXTURE)
    if target == "jax":
        made: list[Callable[[], Any]] = [textbook.with_jax, partial(training.with_jax, NETWORK)]
        run = partial(workloads.with_jax, mixture, compiled=True)
    elif target == "torch":
        made = [partial(textbook.with_torch, compiled=True), partial(training.with_torch, NETWORK, 1, "fused", compiled=True)]
        run = partial(workloads.with_torch, mixture, 1, compiled=True)
    else:
        made = [partial(textbook.with_compgraph, target), partial(training.with_compgraph, NETWORK, target)]
        run = partial(workloads.with_compiled, mixture, target)
    first, step = made
    found: dict[str, Callable[[], Any]] = {
        "textbook example": lambda: first_result(first()),
        f"training step, {NETWORK.name}": lambda: first_result(step()),
        mixture.name: lambda: run()(),
    }
    if target in ("numpy", "numba", "jax"):
        make = loops.with_jax if target == "jax" else partial(loops.with_compgraph, target=target)
        for loop in loops.loops():
            found[loop.name] = lambda loop=loop: first_result(make(loop))  # type: ignore[misc]
    if target == "numpy":
        found[f"chain of {CHAIN:,} operations"] = lambda: cg.compile(partial(long_chain.chain, length=CHAIN), target=target)(0.7)
        derived = cg.value_and_grad(partial(long_chain.chain, length=CHAIN // 4))
        found[f"gradient of a chain of {CHAIN // 4:,}"] = lambda: cg.compile(derived, target=target)(0.7)
    return found


# What each column of the table measures, and the package it needs.
COLUMNS: dict[str, tuple[str, str | None]] = {
    "numpy target": ("numpy", None), "numba target": ("numba", "numba"), "JAX jit": ("jax", "jax"), "torch.compile": ("torch", "torch"),
}  # fmt: skip
PACKAGES = dict(COLUMNS.values())


def measure(target: str, job: str) -> float:
    """Seconds of the first call, here and now."""
    package = PACKAGES[target]
    loaded: Any = import_module(package) if package else None
    if target == "jax":
        loaded.devices()  # starts its runtime
    run = jobs(target)[job]
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def elsewhere(target: str, job: str, folder: str) -> float:
    """`measure` in a process of its own, where what is compiled is kept in `folder`."""
    environment = {**os.environ, **dict.fromkeys(CACHES, folder)}
    command = [sys.executable, "-W", "ignore", __file__, target, job]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(json.loads(done.stdout.splitlines()[-1]))


def report(installed: Mapping[str, str], notes: list[str], rounds: int = 3) -> str:
    """A row a job: seconds until the first result, the median of `rounds` processes."""
    columns = {name: target for name, (target, package) in COLUMNS.items() if package is None or package in installed}
    names = list(jobs("numpy"))
    cells: dict[str, dict[str, list[float]]] = {job: {} for job in names}
    for _ in range(rounds):
        for name, target in columns.items():
            for job in jobs(target):
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        cells[job].setdefault(name, []).append(elsewhere(target, job, folder))
                        if target == "numba":
                            cells[job].setdefault("numba target, from disk", []).append(elsewhere(target, job, folder))
                    except subprocess.CalledProcessError as error:
                        if target in ("numpy", "numba"):
                            raise RuntimeError(f"{job}, {name}: {error.stderr}") from error
                        notes.append(f"{name}, {job}: {error.stderr.strip().splitlines()[-1]:.150}")
    heads = list(dict.fromkeys(name for found in cells.values() for name in found))
    rows = [[job, *(f"{statistics.median(found[name]):.3f}" if name in found else "" for name in heads)] for job, found in cells.items()]
    heading = f"Seconds from the function to its first result, the median of {rounds} fresh processes:"
    return "\n".join([heading, "", table(["", *heads], rows)])


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("target", choices=list(PACKAGES))
    arguments.add_argument("job")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    print(json.dumps(measure(options.target, options.job)))


if __name__ == "__main__":
    main()

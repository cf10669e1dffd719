"""Chains of 10^4, 10^5 and 10^6 operations: seconds and bytes a node, which stay what they are as chains grow.

    python benchmarks/long_chain.py [--store]

Eager: a chain is recorded from a variable, swept backward and freed. Graph to graph: the same chain is traced, turned
into its adjoint graph, and both are freed. Each size runs in processes of its own, one for the seconds and one for
the bytes, which `tracemalloc` counts at the price of the time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tracemalloc
from typing import Any

import numpy as np
from common import machine, publish, table

import compgraph as cg

SIZES = (10**4, 10**5, 10**6)


def chain(x: Any, length: int) -> Any:
    for _ in range(length // 4):
        x = x * 0.999
        x = x + 0.5
        x = np.tanh(x)
        x = x - 0.25
    return x


class Meter:
    """Seconds, or bytes that are held at the end of a step and at most during it, a node."""

    def __init__(self, length: int, what: str) -> None:
        self.length = length
        self.what = what
        self.steps: dict[str, float] = {}
        if what == "bytes":
            tracemalloc.start()
        self.start = self.now()

    def now(self) -> float:
        return time.perf_counter() if self.what == "seconds" else tracemalloc.get_traced_memory()[0]

    def step(self, name: str) -> None:
        """Note what was used since the last step."""
        if self.what == "bytes":
            self.steps[f"{name}, peak"] = (tracemalloc.get_traced_memory()[1] - self.start) / self.length
        now = self.now()
        self.steps[name] = (now - self.start) / self.length
        if self.what == "bytes":
            tracemalloc.reset_peak()
        self.start = self.now()


def measure(length: int, what: str) -> dict[str, float]:
    # The first use of each function fills caches that belong to no node.
    cg.reverse(cg.trace(lambda x: chain(x, 4), 0.7))
    chain(cg.variable(0.7), 4).backward()
    meter = Meter(length, what)
    x = cg.variable(0.7)
    y = chain(x, length)
    meter.step("record")
    y.backward()
    meter.step("backward")
    del x, y
    meter.step("free")
    graph = cg.trace(lambda x: chain(x, length), 0.7)
    meter.step("trace")
    adjoint = cg.reverse(graph)
    meter.step("reverse")
    assert len(adjoint.nodes) > 2 * length
    del graph, adjoint
    meter.step("free both")
    return meter.steps


def elsewhere(length: int, what: str) -> dict[str, float]:
    """`measure` in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--measure", str(length), what], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the tables into README.md")
    arguments.add_argument("--measure", nargs=2, metavar=("LENGTH", "WHAT"), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.measure:
        print(json.dumps(measure(int(options.measure[0]), options.measure[1])))
        return
    steps = ("record", "backward", "free", "trace", "reverse", "free both")
    seconds = {length: elsewhere(length, "seconds") for length in SIZES}
    memory = {length: elsewhere(length, "bytes") for length in SIZES}
    held = ("record", "backward, peak", "free", "trace", "reverse", "reverse, peak", "free both")
    text = "\n".join([
        "Microseconds a node:", "",
        table(["nodes", *steps], [[f"{length:,}", *(f"{1e6 * seconds[length][step]:.2f}" for step in steps)] for length in SIZES]), "",
        "Bytes a node, gained by a step and at most during it:", "",
        table(["nodes", *held], [[f"{length:,}", *(f"{memory[length][step]:+.0f}" for step in held)] for length in SIZES]), "",
        f"{machine()}.",
    ])  # fmt: skip
    publish("long chain", text, store=options.store)


if __name__ == "__main__":
    main()

"""What the benchmarks share: interleaved timing, medians with their spread, and tables."""

from __future__ import annotations

import os
import platform
import random
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

README = Path(__file__).with_name("README.md")


class Timing(NamedTuple):
    """Seconds: the median of many runs, and the quartiles, between which half of them lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(median, low, high)

    def __truediv__(self, divisor: float) -> Timing:
        return Timing(*(value / divisor for value in self))


class Case(NamedTuple):
    """One library's way to do a job.

    `ready` is called before each turn, outside the clock, and returns the call that is timed, as with the number of threads
    set and a network at its first step. `results` does the job once, from its start, and returns arrays to compare with
    those of other libraries.
    """

    ready: Callable[[], Callable[[], object]]
    results: Callable[[], list[Any]]

    @classmethod
    def of(cls, call: Callable[[], Any], results: Callable[[], list[Any]] | None = None) -> Case:
        """The case that needs no preparation."""
        return cls(lambda: call, call if results is None else results)


def interleaved(
    cases: Mapping[str, Callable[[], object] | Case], *, rounds: int, repeats: int | Mapping[str, int], pause: float = 0.0
) -> dict[str, Timing]:
    """The time of one call of each case.

    The cases take turns, in another order each round, so a machine that slows down or speeds up does so for all of them,
    and none always follows the same other one. Each is called once before its clock runs, so its data are in the caches as
    its own last call left them. `pause` is slept before each turn: the threads of a matrix product spin for some
    milliseconds after it, in hope of the next, and would take a core from the case that comes after. The garbage collector
    is left as it is: a graph is made of objects, and collecting them is part of what it costs.
    """
    made = {name: case if isinstance(case, Case) else Case.of(case) for name, case in cases.items()}
    names, order = list(made), random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        order.shuffle(names)
        for name in names:
            count = repeats if isinstance(repeats, int) else repeats[name]
            call = made[name].ready()
            time.sleep(pause)
            call()
            start = time.perf_counter()
            for _ in repeat(None, count):
                call()
            seconds[name].append((time.perf_counter() - start) / count)
    return {name: Timing.of(seconds[name]) for name in made}


def calibrated(cases: Mapping[str, Case], *, seconds: float = 0.005) -> dict[str, int]:
    """How often each case is to be called in a turn, for a turn to last `seconds`, about."""
    counts = {}
    for name, case in cases.items():
        call = case.ready()
        call()
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            call()
            count += 1
        counts[name] = count
    return counts


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` in the body when it takes longer than this (main thread only, where the system has timers)."""

    def late(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds:.0f} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def versions_of(packages: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The versions of those packages that are installed, and the names of the others."""
    found, absent = {}, []
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            absent.append(package)
    return found, absent


def assert_agree(found: Mapping[str, Sequence[Any]], what: str, *, rtol: float, atol: float) -> None:
    """Raise unless all libraries have the same results as the first; `atol` is in units of each result's largest entry."""
    (first, expected), *others = found.items()
    for name, results in others:
        for place, (one, other) in enumerate(zip(results, expected, strict=True)):
            scale = float(np.max(np.abs(other), initial=0.0))
            message = f"{what}: result {place} of {name} differs from that of {first}"
            np.testing.assert_allclose(one, other, rtol=rtol, atol=atol * scale, err_msg=message)


def machine() -> str:
    """What the numbers depend on, in one line; no name and no path of the machine."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        model = f"{found[1].strip()} ({model})" if found else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, NumPy {np.__version__}"


def when() -> str:
    """The day, and how busy the machine was: on one with other work to do, only ratios within a round mean something."""
    load = f", load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else ""
    return f"Measured on {time.strftime('%Y-%m-%d')}{load}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns but the first are aligned to the right."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join([cells[0].ljust(widths[0]), *padded[1:]])} |"

    rule = "|".join("-" * (width + 1) + ":" if place else "-" * (width + 2) for place, width in enumerate(widths))
    return "\n".join([line(heads), f"|{rule}|", *map(line, rows)])


def publish(name: str, text: str, *, store: bool) -> None:
    """Print a result; with `store` also put it between the marks of that name in README.md."""
    print(text)
    if store:
        marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = README.read_text().split(marks[0])
        _, after = rest.split(marks[1])
        README.write_text(f"{before}{marks[0]}\n{text}\n{marks[1]}{after}")

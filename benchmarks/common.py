"""What the benchmarks share: interleaved timing, medians with their spread, and tables."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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


def interleaved(cases: Mapping[str, Callable[[], object]], *, rounds: int, repeats: int) -> dict[str, Timing]:
    """The time of one call of each case.

    The cases take turns, and each round starts with another one, so a machine that slows down or speeds up does so
    for all of them. Each is called once before the clock runs. The garbage collector is left as it is: a graph is
    made of objects, and collecting them is part of what it costs.
    """
    names = list(cases)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for call in cases.values():
        call()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            call = cases[name]
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            seconds[name].append((time.perf_counter() - start) / repeats)
    return {name: Timing.of(measured) for name, measured in seconds.items()}


def machine() -> str:
    """What the numbers depend on, in one line; no name and no path of the machine."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        model = f"{found[1].strip()} ({model})" if found else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, NumPy {np.__version__}"


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

"""Compiled programs beside hand-written ones and other libraries: the textbook example, training steps, array programs,
loops, and what a first call costs.

    python benchmarks/compiled.py [--store] [--only NAME] [--rounds N]

NAME is a section (textbook, training, arrays, loops, "first call") or part of a row's name. All libraries have to agree on
every result before the clock starts; then they take turns.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import first_call
import loops
import numpy as np
import textbook
import training
import workloads
from common import Case, Timing, assert_agree, calibrated, interleaved, machine, publish, table, versions_of, within

import compgraph as cg

OURS = "numpy target", "numba target"
ALONE = "the function alone, NumPy"
LIMIT = 120.0  # seconds that a library has to compile one program
Makes = Mapping[str, tuple[str | None, Callable[[], Case | None]]]


class Row(NamedTuple):
    """One job: each library's way to do it, with the package it needs; how results are compared; the function underived."""

    name: str
    makes: Makes
    agree: Callable[[Mapping[str, Sequence[Any]], str], None]
    alone: Callable[[], Any] | None = None


# ------------------------------------------------------------------------------------------ sections


def close(found: Mapping[str, Sequence[Any]], what: str) -> None:
    """float64 programs: equal but for rounding and for the order in which sums are taken."""
    assert_agree(found, what, rtol=1e-9, atol=1e-10)


def textbook_rows() -> list[Row]:
    return [Row("f and its two derivatives", textbook.LIBRARIES, partial(assert_agree, rtol=1e-13, atol=0.0))]


def training_rows(networks: Sequence[training.Network] = training.NETWORKS) -> list[Row]:
    rows = []
    for network in networks:
        makes = {name: (package, partial(make, network)) for name, (package, make) in training.LIBRARIES.items()}
        rows.append(Row(network.name, makes, training.assert_agree))
    return rows


def of_run(make: Callable[..., workloads.Run | None], *args: Any, **kwargs: Any) -> Case | None:
    run = make(*args, **kwargs)
    return None if run is None else Case.of(run)


def array_rows(problems: Sequence[workloads.Problem] | None = None) -> list[Row]:
    rows = []
    for problem in workloads.problems() if problems is None else problems:
        makes: Makes = {
            "by hand": (None, partial(of_run, workloads.by_hand, problem)),
            "numpy target": (None, partial(of_run, workloads.with_compiled, problem, "numpy")),
            "numba target": ("numba", partial(of_run, workloads.with_compiled, problem, "numba")),
            "PyTorch, 1": ("torch", partial(of_run, workloads.with_torch, problem, 1)),
            "PyTorch, 2": ("torch", partial(of_run, workloads.with_torch, problem, 2)),
            "PyTorch compile, 1": ("torch", partial(of_run, workloads.with_torch, problem, 1, compiled=True)),
            "PyTorch compile, 2": ("torch", partial(of_run, workloads.with_torch, problem, 2, compiled=True)),
            "JAX jit": ("jax", partial(of_run, workloads.with_jax, problem, compiled=True)),
            "autograd": ("autograd", partial(of_run, workloads.with_autograd, problem)),
        }
        rows.append(Row(problem.name, makes, close, partial(problem.program, np, *problem.parameters, *problem.data)))
    return rows


def loop_rows(chosen: Sequence[loops.Loop] | None = None) -> list[Row]:
    rows = []
    for loop in loops.loops() if chosen is None else chosen:
        makes = {name: (package, partial(make, loop)) for name, (package, make) in loops.LIBRARIES.items()}
        alone = partial(loop.program, np, loops.ordinary_scan, *loop.parameters, *loop.data)
        rows.append(Row(loop.name, makes, close, alone))
    return rows


SECTIONS: dict[str, Callable[[], list[Row]]] = {
    "textbook": textbook_rows, "training": training_rows, "arrays": array_rows, "loops": loop_rows,
}  # fmt: skip
PACKAGES = "numba", "torch", "jax", "autograd", "micrograd", "casadi", "sympy"

# --------------------------------------------------------------------------------------- measurement


def built(row: Row, installed: Mapping[str, str], notes: list[str]) -> dict[str, Case]:
    """The row's cases, once their results are seen to be equal; what a library cannot do goes into `notes`."""
    cases, found = {}, {}
    if "torch" in installed:
        # PyTorch looks through all that it compiled from one line of code, here for other rows, and gives up after eight.
        import_module("torch._dynamo").reset()
    for name, (package, make) in row.makes.items():
        if package is not None and package not in installed:
            continue
        try:
            with within(LIMIT):
                case = make()
                if case is None:
                    continue
                results = case.results()
        except Exception as error:
            if name in OURS:
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            notes.append(f"{name}, {row.name}: {reason:.150}")
            continue
        cases[name], found[name] = case, results
    row.agree(found, row.name)
    return cases


def measured(row: Row, cases: dict[str, Case], *, rounds: int, seconds: float) -> dict[str, Timing]:
    """At most `rounds` rounds, fewer where the row would last longer than about `seconds`, but five."""
    timed = cases if row.alone is None else {**cases, ALONE: Case.of(row.alone)}
    counts = calibrated(timed)
    start = time.perf_counter()
    interleaved(timed, rounds=2, repeats=counts, pause=0.02)
    once = (time.perf_counter() - start) / 2
    return interleaved(timed, rounds=int(np.clip(seconds / once, 5, max(rounds, 5))), repeats=counts, pause=0.02)


def fastest(timings: Mapping[str, Timing]) -> dict[str, tuple[Timing, str]]:
    """One entry a library, where `PyTorch, 2` is PyTorch with two threads: the better of its numbers of threads."""
    best: dict[str, tuple[Timing, str]] = {}
    for name, timing in timings.items():
        library, _, threads = name.partition(", ")
        library, note = (library, f", {threads} thr.") if threads.isdigit() else (name, "")
        if library not in best or timing.median < best[library][0].median:
            best[library] = timing, note
    return best


# -------------------------------------------------------------------------------------------- tables


def microseconds(timing: Timing) -> str:
    median, low, high = (1e6 * each for each in timing)
    digits = 0 if median >= 100 else 1 if median >= 10 else 2
    return f"{median:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def report(measurements: Mapping[str, Mapping[str, tuple[Timing, str]]]) -> str:
    """The tables of a section: microseconds, and ratios over each of our targets. One row stands upright."""
    names = list(dict.fromkeys(name for row in measurements.values() for name in row))
    libraries = [name for name in names if name != ALONE]
    targets = [target for target in OURS if target in names]
    if len(measurements) == 1:
        (row,) = measurements.values()
        lines = [
            [name, microseconds(row[name][0]) + row[name][1], *(f"{row[name][0].median / row[target][0].median:.2f}" for target in targets)]
            for name in names
        ]
        return table(["", f"{next(iter(measurements))}, µs", *(f"over {target}" for target in targets)], lines)
    parts = []
    for target in targets:
        others = [name for name in libraries if name != target]
        ratios = [
            [job, *(f"{row[name][0].median / row[target][0].median:.2f}" if name in row else "" for name in others)]
            for job, row in measurements.items()
        ]
        parts += [f"Time of a library over that of the {target}; above 1, the {target} is faster:", "", table(["", *others], ratios), ""]
    if ALONE in names:
        derived = ["by hand", *targets, "JAX jit"]
        shares = [
            [job, *(f"{row[name][0].median / row[ALONE][0].median:.2f}" if name in row else "" for name in derived if name in names)]
            for job, row in measurements.items()
        ]
        parts += ["Function with derivative over the function alone in plain NumPy:", ""]
        parts += [table(["", *(name for name in derived if name in names)], shares), ""]
    times = [
        [job, *(microseconds(row[name][0]) + row[name][1] if name in row else "" for name in names)] for job, row in measurements.items()
    ]
    return "\n".join([*parts, "Microseconds, the median and between the brackets half of the rounds:", "", table(["", *names], times)])


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the tables into README.md")
    arguments.add_argument("--only", default="", metavar="NAME", help="a section, or part of a row's name")
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--seconds", type=float, default=20.0, help="how long to measure each row, about")
    options = arguments.parse_args()
    sections = [*SECTIONS, "first call"]
    chosen = [options.only] if options.only in sections else sections
    part = "" if options.only in sections else options.only
    if options.store and part:
        arguments.error("--store writes whole sections: --only names a section, or nothing")
    warnings.simplefilter("ignore")  # of other libraries, about arrays that they share with NumPy

    installed, absent = versions_of(PACKAGES)
    versions = ", ".join(f"{package} {number}" for package, number in {"compgraph": cg.__version__, **installed}.items())
    for section in chosen:
        notes: list[str] = []
        if section == "first call":
            if part:
                continue
            text = first_call.report(installed, notes)
        else:
            measurements = {}
            for row in SECTIONS[section]():
                if part in row.name:
                    timings = measured(row, built(row, installed, notes), rounds=options.rounds, seconds=options.seconds)
                    measurements[row.name] = fastest(timings)
                    print(row.name, *(f"{name}: {microseconds(timing)}" for name, timing in timings.items()), sep="\n    ", flush=True)
            if not measurements:
                continue
            text = report(measurements)
        lines = [text, "", f"{versions}. {machine()}."]
        lines += [f"Not installed and left out: {', '.join(absent)}."] if absent else []
        lines += ["", "Not possible:", "", *(f"- {note}" for note in notes)] if notes else []
        publish(f"compiled, {section}", "\n".join(lines), store=options.store)


if __name__ == "__main__":
    main()

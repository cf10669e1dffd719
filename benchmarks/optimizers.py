"""An optimizer's step alone: SGD with momentum and Adam on 1 to 100 tensors with 1,000 to 10,000,000 parameters, float32.

    python benchmarks/optimizers.py [--store] [--only NAME] [--rounds N]

NAME is part of a row's name, as in "Adam, 10 tensors". The gradients are there before the clock starts and stay the same. All
libraries have to have the same parameters after the first steps; then they take turns.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from common import Case, Timing, assert_agree, machine, publish, table, versions_of
from compiled import OURS, Row, built, fastest, measured, microseconds

import compgraph as cg
import optim

RATE, MOMENTUM = 1e-3, 0.9
CHECKED_STEPS = 5
PACKAGES = "numba", "torch", "jax", "optax"
OTHERS = "PyTorch for-loop", "PyTorch foreach", "PyTorch fused", "optax jit"


class Job(NamedTuple):
    """An optimizer, into how many tensors the parameters are cut, and how many there are in all."""

    rule: str  # "SGD" or "Adam"
    tensors: int
    parameters: int

    @property
    def name(self) -> str:
        return f"{self.rule}, {self.tensors} tensor{'s' if self.tensors > 1 else ''}, {self.parameters:,}"

    def arrays(self) -> tuple[list[Any], list[Any]]:
        """New parameters, as small as weights are, and their gradients; the same each time."""
        draw = np.random.default_rng(0)
        size = self.parameters // self.tensors
        values = [draw.uniform(-0.1, 0.1, size).astype(np.float32) for _ in range(self.tensors)]
        return values, [draw.normal(size=size).astype(np.float32) for _ in range(self.tensors)]

    @property
    def settings(self) -> dict[str, float]:
        """As PyTorch and compgraph call them."""
        return {"lr": RATE, "momentum": MOMENTUM} if self.rule == "SGD" else {"lr": RATE}


JOBS = [Job(rule, tensors, 10**power) for rule in ("SGD", "Adam") for power in range(3, 8) for tensors in (1, 10, 100)]


def case(start: Callable[[], tuple[Callable[[], Any], Callable[[], list[Any]]]]) -> Case:
    """Of a function that makes new parameters and returns their step and what reads them."""
    step, _ = start()

    def results() -> list[Any]:
        step, parameters = start()
        for _ in range(CHECKED_STEPS):
            step()
        return [np.concatenate(parameters())]

    return Case.of(step, results)


def agree(found: Mapping[str, Sequence[Any]], what: str) -> None:
    """To a ten-thousandth of the largest step's length: float32 rounding of the parameters and of the rule's own numbers."""
    assert_agree(found, what, rtol=0.0, atol=1e-4 * RATE / 0.1)


def with_compgraph(job: Job, target: str | None) -> Case:
    """`Optimizer.compile` for `target`, or the plain step for None."""

    def start() -> tuple[Callable[[], Any], Callable[[], list[Any]]]:
        values, gradients = job.arrays()
        parameters = [cg.variable(value) for value in values]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer = getattr(optim, job.rule)(parameters, **job.settings)
        if target is not None:
            optimizer.compile(target)
        return optimizer.step, lambda: [np.array(parameter.value) for parameter in parameters]

    return case(start)


def with_torch(job: Job, threads: int, form: Mapping[str, bool]) -> Case:
    """`form` chooses among PyTorch's implementations."""
    torch = import_module("torch")

    def start() -> tuple[Callable[[], Any], Callable[[], list[Any]]]:
        torch.set_num_threads(threads)
        values, gradients = job.arrays()
        parameters = [torch.nn.Parameter(torch.from_numpy(value)) for value in values]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        optimizer = getattr(torch.optim, job.rule)(parameters, **job.settings, **form)
        return optimizer.step, lambda: [parameter.detach().numpy() for parameter in parameters]

    timed = case(start)

    def ready() -> Callable[[], object]:
        torch.set_num_threads(threads)
        return timed.ready()

    return Case(ready, timed.results)


def with_optax(job: Job) -> Case:
    """Update and sum under one `jax.jit`, parameters and state donated; the clock stops when the results are there."""
    jax, optax = import_module("jax"), import_module("optax")
    rule = optax.sgd(RATE, momentum=MOMENTUM) if job.rule == "SGD" else optax.adam(RATE)

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(parameters: Any, state: Any, gradients: Any) -> Any:
        changes, state = rule.update(gradients, state, parameters)
        return optax.apply_updates(parameters, changes), state

    def start() -> tuple[Callable[[], Any], Callable[[], list[Any]]]:
        values, gradients = job.arrays()
        bars = [jax.numpy.asarray(gradient) for gradient in gradients]
        parameters = [jax.numpy.asarray(value) for value in values]
        carried = [parameters, rule.init(parameters)]

        def step() -> Any:
            carried[:] = update(*carried, bars)
            return carried[0][-1].block_until_ready()  # one executable makes all results: where one is ready, all are

        return step, lambda: [np.array(value) for value in carried[0]]

    return case(start)


FORMS = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
Make = Callable[[Job], Case]
LIBRARIES: dict[str, tuple[str | None, Make]] = {
    "plain step": (None, partial(with_compgraph, target=None)),
    "numpy target": (None, partial(with_compgraph, target="numpy")),
    "numba target": ("numba", partial(with_compgraph, target="numba")),
    **{
        f"PyTorch {name}, {threads}": ("torch", partial(with_torch, threads=threads, form=form))
        for name, form in FORMS.items()
        for threads in (1, 2)
    },
    "optax jit": ("optax", with_optax),
}


def row(job: Job) -> Row:
    return Row(job.name, {name: (package, partial(make, job)) for name, (package, make) in LIBRARIES.items()}, agree)


# -------------------------------------------------------------------------------------------- tables


def best(timings: Mapping[str, tuple[Timing, str]], names: Sequence[str]) -> str:
    return min((name for name in names if name in timings), key=lambda name: timings[name][0].median)


def report(measurements: Mapping[str, Mapping[str, tuple[Timing, str]]]) -> str:
    """Microseconds; beside them the fastest other library over the faster of our targets, and where that is least."""
    names = list(dict.fromkeys(name for timings in measurements.values() for name in timings))
    others = [name for name in OTHERS if name in names]
    lines, ratios = [], {}
    for job, timings in measurements.items():
        cells = [microseconds(timings[name][0]) + timings[name][1] if name in timings else "" for name in names]
        if others:
            ratios[job] = timings[best(timings, others)][0].median / timings[best(timings, OURS)][0].median
            cells += [f"{ratios[job]:.2f}", f"{best(timings, others)} / {best(timings, OURS)}"]
        lines.append([job, *cells])
    heads = ["", *names, *(["ratio", "of"] if others else [])]
    parts = ["Microseconds, the median and between the brackets half of the rounds; then the fastest other over ours, compiled:", ""]
    parts.append(table(heads, lines))
    if ratios:
        least = min(ratios, key=lambda job: ratios[job])
        slower = sum(ratio < 1 for ratio in ratios.values())
        parts += ["", f"Compiled, ours is slower than the fastest other in {slower} of {len(ratios)} rows; the least ratio is "
                      f"{ratios[least]:.2f} ({least})."]  # fmt: skip
    return "\n".join(parts)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the table into README.md")
    arguments.add_argument("--only", default="", metavar="NAME", help="part of a row's name")
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--seconds", type=float, default=20.0, help="how long to measure each row, about")
    options = arguments.parse_args()
    if options.store and options.only:
        arguments.error("--store writes the whole table: leave --only out")
    warnings.simplefilter("ignore")  # of other libraries, about arrays that they share with NumPy

    installed, absent = versions_of(PACKAGES)
    notes: list[str] = []
    measurements = {}
    for job in (job for job in JOBS if options.only in job.name):
        timings = measured(row(job), built(row(job), installed, notes), rounds=options.rounds, seconds=options.seconds)
        measurements[job.name] = fastest(timings)
        print(job.name, *(f"{name}: {microseconds(timing)}" for name, timing in timings.items()), sep="\n    ", flush=True)
    if not measurements:
        arguments.error(f"no row's name contains {options.only!r}")
    versions = ", ".join(f"{package} {number}" for package, number in {"compgraph": cg.__version__, **installed}.items())
    lines = [report(measurements), "", f"{versions}. {machine()}."]
    lines += [f"Not installed and left out: {', '.join(absent)}."] if absent else []
    lines += ["", "Not possible:", "", *(f"- {note}" for note in notes)] if notes else []
    publish("optimizers", "\n".join(lines), store=options.store)


if __name__ == "__main__":
    main()

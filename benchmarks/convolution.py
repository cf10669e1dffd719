"""Conv2d, forward and backward, beside PyTorch and JAX: 32 images, 3 x 3 kernels, float32.

    python benchmarks/convolution.py [--store] [--only NAME] [--rounds N]

NAME is part of a row's name. The loss is sum(seed * conv(x, weight, bias)); a row without "and input" wants the adjoints of
weight and bias, as a network's first layer does, the others that of the input too. All have to agree before the clock starts.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from common import Case, Timing, assert_agree, machine, publish, table, versions_of, when
from compiled import Row, built, fastest, measured, microseconds

import compgraph as cg
from compgraph import nn

PACKAGES = "numba", "torch", "jax"
OURS = "eager", "numpy target", "numba target"


class Job(NamedTuple):
    """A layer, the side of its images, and whether the adjoint of the input is wanted."""

    channels: int
    side: int
    out: int
    with_input: bool
    count: int = 32

    @property
    def name(self) -> str:
        return f"{self.channels} x {self.side} x {self.side} to {self.out}" + (", and input" if self.with_input else "")

    def arrays(self) -> tuple[Any, ...]:
        """Input, weight, bias and seed."""
        draw = np.random.default_rng(0)
        shapes = (self.count, self.channels, self.side, self.side), (self.out, self.channels, 3, 3), (self.out,)
        seed = self.count, self.out, self.side - 2, self.side - 2
        return tuple(draw.normal(size=shape).astype(np.float32) for shape in (*shapes, seed))

    @property
    def argnums(self) -> tuple[int, ...]:
        return (0, 1, 2) if self.with_input else (1, 2)


JOBS = [Job(*sizes, with_input) for sizes in ((1, 28, 8), (1, 28, 16), (8, 14, 16)) for with_input in (False, True)]


def loss(x: Any, weight: Any, bias: Any, seed: Any) -> Any:
    return np.sum(seed * nn.conv2d(x, weight, bias))


def with_compgraph(job: Job, target: str | None) -> Case:
    """One function that `cg.compile` made, or for None the loop that people write."""
    x, weight, bias, seed = job.arrays()
    if target is not None:
        step = cg.compile(cg.value_and_grad(loss, job.argnums), target=target)
        return Case.of(lambda: step(x, weight, bias, seed), lambda: [np.array(bar) for bar in step(x, weight, bias, seed)[1]])
    parts = cg.variable(x) if job.with_input else x, cg.variable(weight), cg.variable(bias)
    wanted = [part for part in parts if isinstance(part, cg.Node)]

    def eager() -> None:
        for part in wanted:
            part.grad = None
        loss(*parts, seed).backward()

    def results() -> list[Any]:
        eager()
        return [np.array(part.grad) for part in wanted]

    return Case.of(eager, results)


def with_torch(job: Job, threads: int) -> Case:
    torch = import_module("torch")
    x, weight, bias, seed = map(torch.from_numpy, job.arrays())
    wanted = [part.requires_grad_() for part in ((x, weight, bias) if job.with_input else (weight, bias))]

    def step() -> None:
        for part in wanted:
            part.grad = None
        (seed * torch.nn.functional.conv2d(x, weight, bias)).sum().backward()

    def ready() -> Callable[[], object]:
        torch.set_num_threads(threads)
        return step

    def results() -> list[Any]:
        ready()
        step()
        return [part.grad.numpy().copy() for part in wanted]

    return Case(ready, results)


def with_jax(job: Job) -> Case:
    jax = import_module("jax")

    def of_jax(x: Any, weight: Any, bias: Any, seed: Any) -> Any:
        return (seed * (jax.lax.conv(x, weight, (1, 1), "VALID") + bias[:, None, None])).sum()

    step = jax.jit(jax.value_and_grad(of_jax, job.argnums))
    arrays = [jax.numpy.asarray(array) for array in job.arrays()]
    return Case.of(lambda: jax.block_until_ready(step(*arrays)), lambda: [np.array(bar) for bar in step(*arrays)[1]])


LIBRARIES: dict[str, tuple[str | None, Callable[[Job], Case]]] = {
    "eager": (None, partial(with_compgraph, target=None)),
    "numpy target": (None, partial(with_compgraph, target="numpy")),
    "numba target": ("numba", partial(with_compgraph, target="numba")),
    "PyTorch, 1": ("torch", partial(with_torch, threads=1)),
    "PyTorch, 2": ("torch", partial(with_torch, threads=2)),
    "JAX jit": ("jax", with_jax),
}


def agree(found: Mapping[str, Sequence[Any]], what: str) -> None:
    """To the rounding of sums of twenty thousand products in float32."""
    assert_agree(found, what, rtol=0.0, atol=1e-4)


def row(job: Job) -> Row:
    return Row(job.name, {name: (package, partial(make, job)) for name, (package, make) in LIBRARIES.items()}, agree)


def report(measurements: Mapping[str, Mapping[str, tuple[Timing, str]]]) -> str:
    """Microseconds, and how long ours take over the faster of PyTorch's numbers of threads."""
    names = list(dict.fromkeys(name for timings in measurements.values() for name in timings))
    ours = [name for name in OURS if name in names and "PyTorch" in names]
    rows = []
    for job, timings in measurements.items():
        cells = [microseconds(timings[name][0]) + timings[name][1] if name in timings else "" for name in names]
        rows.append([job, *cells, *(f"{timings[name][0].median / timings['PyTorch'][0].median:.2f}" for name in ours)])
    return table(["microseconds", *names, *(f"{name} / PyTorch" for name in ours)], rows)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the table into README.md")
    arguments.add_argument("--only", default="", metavar="NAME", help="part of a row's name")
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--seconds", type=float, default=10.0, help="how long to measure each row, about")
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
    lines = [report(measurements), "", f"{versions}. {machine()}. {when()}."]
    lines += [f"Not installed and left out: {', '.join(absent)}."] if absent else []
    lines += ["", "Not possible:", "", *(f"- {note}" for note in notes)] if notes else []
    publish("convolution", "\n".join(lines), store=options.store)


if __name__ == "__main__":
    main()

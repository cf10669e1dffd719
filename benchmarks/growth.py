"""How the cost of derivatives grows: with the work, with the number of inputs, with the number of outputs, with depth.

    python benchmarks/growth.py [--store] [--rounds N]

Reverse mode costs a small multiple of the function however many inputs there are, forward mode however many outputs;
checkpoints buy memory with time. Times are of programs compiled for the numpy target, memory is of the eager engine.
"""

from __future__ import annotations

import argparse
import math
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from common import Case, Timing, calibrated, interleaved, machine, publish, table

import compgraph as cg

WORK = 10_000  # numbers that each program computes with, however many of them are inputs or outputs

# ----------------------------------------------------------------------------------------- programs


def wide(x: Any) -> Any:
    """Work in proportion to the length of `x`, all at once."""
    return np.sum(np.tanh(x) * np.exp(-0.5 * x * x))


def deep(x: Any, steps: int) -> Any:
    """Work in proportion to `steps`, one number at a time."""
    for _ in range(steps // 4):
        x = np.tanh(1.1 * x) - 0.1 * x
    return x


def from_inputs(x: Any, work: int = WORK) -> Any:
    """One number from n inputs; the work is the same for any n that divides `work`."""
    z = np.reshape(np.broadcast_to(np.reshape(x, (-1, 1)), (x.size, work // x.size)), (-1,))
    return np.sum(np.tanh(z * np.linspace(0.5, 1.5, work)) * np.exp(-z))


def to_outputs(x: Any, outputs: int, work: int = WORK) -> Any:
    """n outputs from one number; the work is the same for any n that divides `work`."""
    z = x * np.linspace(0.5, 1.5, work)
    return np.sum(np.reshape(np.tanh(z) * np.exp(-z), (outputs, -1)), axis=1)


def inputs(count: int) -> Any:
    return np.random.default_rng(0).uniform(0.5, 1.0, count)


# -------------------------------------------------------------------------------------------- growth


def work_cases(size: int, kind: str) -> dict[str, Callable[[], Any]]:
    """Function, compiled function and compiled gradient at one size of work."""
    f: Callable[[Any], Any] = wide if kind == "wide" else partial(deep, steps=size)
    x = inputs(size) if kind == "wide" else 0.7
    derived = cg.compile(cg.value_and_grad(f))
    return {"function, NumPy": partial(f, x), "function": partial(cg.compile(f), x), "gradient": partial(derived, x)}


def input_cases(count: int, *, other: bool, work: int = WORK) -> dict[str, Callable[[], Any]]:
    """Derivatives by `count` inputs in one sweep of reverse mode, and, where `other`, in `count` tangents of forward mode."""
    f = partial(from_inputs, work=work)
    x = inputs(count)
    cases: dict[str, Callable[[], Any]] = {"function": partial(cg.compile(f), x), "reverse mode": partial(cg.compile(cg.grad(f)), x)}
    if other:
        cases["forward mode"] = partial(cg.jacobian(f, mode="forward"), x)
    return cases


def output_cases(count: int, *, other: bool, work: int = WORK) -> dict[str, Callable[[], Any]]:
    """Derivatives of `count` outputs in one sweep of forward mode, and, where `other`, in `count` adjoints of reverse mode."""
    f = partial(to_outputs, outputs=count, work=work)
    forward = cg.compile(lambda x: cg.jvp(f, (x,), (1.0,))[1])
    cases: dict[str, Callable[[], Any]] = {"function": partial(cg.compile(f), 0.7), "forward mode": partial(forward, 0.7)}
    if other:
        cases["reverse mode"] = partial(cg.jacobian(f, mode="reverse"), 0.7)
    return cases


def timed(cases: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Timing]:
    made = {name: Case.of(call) for name, call in cases.items()}
    return interleaved(made, rounds=rounds, repeats=calibrated(made, seconds=0.003), pause=0.0)


def microseconds(timing: Timing | None) -> str:
    return "" if timing is None else f"{1e6 * timing.median:,.{2 if timing.median < 1e-4 else 0}f}"


def ratio(timings: dict[str, Timing], name: str, divisor: str) -> str:
    return f"{timings[name].median / timings[divisor].median:.2f}" if name in timings else ""


def work_table(sizes: Sequence[int], kind: str, rounds: int) -> str:
    rows = []
    for size in sizes:
        timings = timed(work_cases(size, kind), rounds)
        times = [microseconds(timings[name]) for name in ("function, NumPy", "function", "gradient")]
        rows.append([f"{size:,}", *times, ratio(timings, "gradient", "function"), ratio(timings, "gradient", "function, NumPy")])
    first = "length" if kind == "wide" else "operations"
    return table([first, "function, NumPy, µs", "compiled, µs", "gradient, µs", "gradient / compiled", "gradient / NumPy"], rows)


def mode_table(
    counts: Sequence[int], make: Callable[..., dict[str, Callable[[], Any]]], what: str, modes: tuple[str, str], rounds: int
) -> str:
    """A row a count; the mode that does not suit it, `modes[1]`, up to a hundred of them."""
    rows = []
    for count in counts:
        timings = timed(make(count, other=count <= 100), rounds)
        times = [microseconds(timings.get(name)) for name in ("function", *modes)]
        rows.append([f"{count:,}", *times, *(ratio(timings, mode, "function") for mode in modes)])
    return table([what, "function, µs", *(f"{mode}, µs" for mode in modes), *(f"{mode} / function" for mode in modes)], rows)


# -------------------------------------------------------------------------------------------- memory


def step(state: Any) -> Any:
    return np.tanh(1.1 * state) - 0.1 * state


def chain_of(length: int, store: str) -> Callable[[Any], Any]:
    """The sum of a state after `length` steps; `store` says what the reverse sweep finds."""
    block = max(1, math.isqrt(length))

    def run(x: Any, steps: int) -> Any:
        for _ in range(steps):
            x = step(x)
        return x

    def everything(x: Any) -> Any:
        return np.sum(run(x, length))

    def blocks(x: Any) -> Any:
        for start in range(0, length, block):
            x = cg.checkpoint(partial(run, steps=min(block, length - start)))(x)
        return np.sum(x)

    def snapshots(x: Any) -> Any:
        return np.sum(cg.checkpoint_chain(step, x, length, 10))

    return {"everything": everything, "blocks": blocks, "ten snapshots": snapshots}[store]


STORES = "everything", "blocks", "ten snapshots"


def peak(length: int, store: str, size: int) -> int:
    """Bytes held at most while the gradient is computed."""
    x, derived = inputs(size), cg.grad(chain_of(length, store))
    cg.grad(chain_of(2, store))(x)  # what is made once belongs to no chain
    tracemalloc.start()
    derived(x)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def memory_table(depths: Sequence[int], size: int, rounds: int) -> str:
    rows = []
    for depth in depths:
        timings = timed({store: partial(cg.grad(chain_of(depth, store)), inputs(size)) for store in STORES}, rounds)
        memory = [f"{peak(depth, store, size) / 2**20:,.2f}" for store in STORES]
        rows.append([f"{depth:,}", *memory, *(f"{1e3 * timings[store].median:,.1f}" for store in STORES)])
    return table(["steps", *(f"{store}, MiB" for store in STORES), *(f"{store}, ms" for store in STORES)], rows)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the tables into README.md")
    arguments.add_argument("--rounds", type=int, default=30)
    options = arguments.parse_args()
    rounds, tens = options.rounds, (1, 10, 100, 1000, 10_000)
    parts = [
        "The work grows by 1,000 times, as the length of a vector. Theory: the last column but one is at most 4, at any size "
        "(a function whose adjoint costs no more than four times its operations and memory traffic).",
        work_table((1_000, 10_000, 100_000, 1_000_000), "wide", rounds),
        "The work grows by 1,000 times, as a chain of operations on one number. Theory: the same bound.",
        work_table((10, 100, 1_000, 10_000), "deep", rounds),
        f"One output of {WORK:,} numbers' work, by more and more inputs. Theory: reverse mode costs the same at any number of "
        "inputs; forward mode (here up to 100) grows with them.",
        mode_table(tens, input_cases, "inputs", ("reverse mode", "forward mode"), rounds),
        f"More and more outputs of {WORK:,} numbers' work, by one input. Theory: forward mode costs the same at any number of "
        "outputs; reverse mode (here up to 100) grows with them.",
        mode_table(tens, output_cases, "outputs", ("forward mode", "reverse mode"), rounds),
        "Peak memory and time of a gradient through more and more steps of 1,000 numbers. Theory: memory grows with the depth d "
        "where everything is stored, with √d where each of √d blocks is a checkpoint, for one more run of the function; with ten "
        "snapshots it is constant, for a number of runs that grows as the tenth root of d.",
        memory_table((10, 100, 1_000, 10_000), 1_000, max(3, rounds // 10)),
        f"Medians of {rounds} interleaved rounds, {max(3, rounds // 10)} for the last table. compgraph {cg.__version__}. {machine()}.",
    ]
    publish("growth", "\n\n".join(parts), store=options.store)


if __name__ == "__main__":
    main()

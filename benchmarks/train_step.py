"""What a training step costs through `optim.train_step` and `optim.fit`, beside PyTorch and JAX: small networks, float32.

    python benchmarks/train_step.py [--store] [--rounds N]

Forward, cross-entropy of integer labels, backward and Adam. "By hand" is one program that `cg.compile` made of the same layers, loss
and update, without what `train_step` does besides: it looks whether the gradient is finite before anything changes, follows the
optimizer's hyperparameters, and keeps its state. All rows of a network take turns.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
from common import Case, Timing, interleaved, machine, publish, table, versions_of, when
from training import BETA1, BETA2, EPSILON, RATE, Network, with_jax, with_torch

import compgraph as cg
import optim
from compgraph import nn

NETWORKS = Network((2, 16, 16, 2), 100), Network((64, 64, 10), 32)
STEPS = 10_000  # of the loop of `fit`


def network(sizes: tuple[int, ...]) -> nn.Module:
    layers = [nn.Linear(size, out, generator=place) for place, (size, out) in enumerate(pairwise(sizes))]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])


def batch(of: Network) -> tuple[Any, Any]:
    X, Y = of.examples()
    return X, Y.argmax(axis=1)


def started_anew(once: Callable[[], object], arrays: Callable[[], list[Any]]) -> Case:
    """A case that begins its training anew each turn, with the programs that it has; see `training.case` for why."""
    once()
    start = [array.copy() for array in arrays()]

    def ready() -> Callable[[], object]:
        for array, values in zip(arrays(), start, strict=True):
            array[...] = values
        return once

    return Case(ready, list)


def by_hand(of: Network, target: str) -> Case:
    """Forward, backward and Adam as one program, with the layers and the loss of `nn`."""
    model = network(of.sizes)
    names = [name for name, _ in model.named_parameters()]
    vector, unravel = cg.ravel([p.value for p in model.parameters()])

    def step(p: Any, m: Any, v: Any, t: Any, X: Any, y: Any) -> Any:
        def loss_of(p: Any) -> Any:
            return nn.cross_entropy(nn.functional_call(model, dict(zip(names, unravel(p), strict=True)), X)[0], y)

        loss, bar = cg.value_and_grad(loss_of)(p)
        t = t + 1
        m = BETA1 * m + (1 - BETA1) * bar
        v = BETA2 * v + (1 - BETA2) * bar * bar
        rate, root = (RATE / (1 - BETA1**t)).astype(np.float32), np.sqrt(1 - BETA2**t).astype(np.float32)
        return loss, p - rate * (m / (np.sqrt(v) / root + EPSILON)), m, v, t

    compiled = cg.compile(step, target=target, donate_argnums=(0, 1, 2))
    state = [vector, np.zeros_like(vector), np.zeros_like(vector), np.float64(0.0)]
    X, y = batch(of)

    def once() -> None:
        state[:] = compiled(*state, X, y)[1:]

    return started_anew(once, lambda: state[:3])


def by_step(of: Network, target: str | None) -> Case:
    model = network(of.sizes)
    optimizer = optim.Adam(model.parameters(), lr=RATE)

    def arrays() -> list[Any]:
        moments = (value for state in optimizer.state.values() for value in state.values() if isinstance(value, np.ndarray))
        return [*(p.value for p in model.parameters()), *moments]

    return started_anew(partial(optim.train_step(model, nn.cross_entropy, optimizer, target=target), *batch(of)), arrays)


def backward_only(of: Network) -> Case:
    """Forward and backward by the engine, as people write them."""
    model, (X, y) = network(of.sizes), batch(of)

    def once() -> None:
        model.zero_grad()
        nn.cross_entropy(model(X), y).backward()

    return Case.of(once)


def backward_only_in_torch(of: Network, threads: int) -> Case:
    torch = import_module("torch")
    linear = [torch.nn.Linear(size, out) for size, out in pairwise(of.sizes)]
    model = torch.nn.Sequential(*[part for layer in linear for part in (layer, torch.nn.ReLU())][:-1])
    X, y = map(torch.from_numpy, batch(of))

    def once() -> None:
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(X), y).backward()

    def ready() -> Callable[[], object]:
        torch.set_num_threads(threads)
        return once

    return Case(ready, list)


def cases(of: Network, installed: dict[str, str]) -> dict[str, Case]:
    makes: dict[str, Any] = {
        "NumPy, by hand": partial(by_hand, of, "numpy"), "NumPy": partial(by_step, of, "numpy"),
        "numba, by hand": partial(by_hand, of, "numba"), "numba": partial(by_step, of, "numba"),
        "eager": partial(by_step, of, None), "eager, no update": partial(backward_only, of),
    }  # fmt: skip
    if "numba" not in installed:
        makes = {name: make for name, make in makes.items() if not name.startswith("numba")}
    found = {name: make() for name, make in makes.items()}
    if "torch" in installed:
        found |= {f"PyTorch, {threads} thr.": with_torch(of, threads) for threads in (1, 2)}
        found |= {f"PyTorch, no update, {n} thr.": backward_only_in_torch(of, n) for n in (1, 2)}
    if "jax" in installed:
        found["JAX jit"] = with_jax(of)
    return found


def fastest(timings: dict[str, Timing]) -> dict[str, Timing]:
    """Of PyTorch with one thread and with two, the better."""
    kept: dict[str, Timing] = {}
    for name, timing in timings.items():
        short = name.partition(" thr.")[0].removesuffix(", 1").removesuffix(", 2")
        if short not in kept or timing.median < kept[short].median:
            kept[short] = timing
    return kept


def loop_seconds() -> float:
    """Of the loop of `fit`, a step: batches in a new order each epoch, the history, the look at Ctrl-C. The step itself does nothing."""

    def nothing(step: Any, X: Any, y: Any) -> float:
        step.steps += 1
        step.grad_norm = 1.0
        return 1.0

    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(1792, 64)).astype(np.float32), draw.integers(0, 10, 1792)
    model = network((64, 64, 10))
    with patch.object(optim.TrainStep, "__call__", nothing):
        arguments = {"loss": nn.cross_entropy, "optimizer": optim.Adam(model.parameters(), lr=RATE)}
        history = optim.fit(model, (X, y), epochs=-(-STEPS // 56), **arguments)
    return statistics.median(history["seconds"][1:]) / 56


RATIOS = (
    ("PyTorch", "NumPy"), ("JAX jit", "NumPy"), ("PyTorch", "numba"), ("JAX jit", "numba"), ("NumPy", "NumPy, by hand"),
    ("numba", "numba, by hand"), ("PyTorch, no update", "eager, no update"),
)  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the tables into README.md")
    arguments.add_argument("--rounds", type=int, default=30)
    options = arguments.parse_args()
    installed, absent = versions_of(["numba", "torch", "jax"])
    found = {of.name: fastest(interleaved(cases(of, installed), rounds=options.rounds, repeats=60, pause=0.005)) for of in NETWORKS}
    names = list(next(iter(found.values())))
    micro = [
        [name, *(f"{1e6 * one[name].median:.1f} ({1e6 * one[name].low:.1f} to {1e6 * one[name].high:.1f})" for one in found.values())]
        for name in names
    ]
    ratios = [
        [f"{one} / {other}", *(f"{timings[one].median / timings[other].median:.2f}" for timings in found.values())]
        for one, other in RATIOS
        if one in names and other in names
    ]
    loop = loop_seconds()
    steps = found[NETWORKS[-1].name]
    shares = ", ".join(f"{loop / steps[name].median:.1%} of the step with {name}" for name in ("NumPy", "numba") if name in steps)
    versions = ", ".join(f"{package} {number}" for package, number in {"compgraph": cg.__version__, **installed}.items())
    lines = [
        table(["microseconds", *found], micro), "", table(["ratio", *found], ratios), "",
        f"The loop of `fit` around it takes {1e6 * loop:.2f} microseconds a step over {STEPS:,} steps at 64-64-10: {shares}.", "",
        f"{versions}. {machine()}. {when()}.", *([f"Not installed and left out: {', '.join(absent)}."] if absent else []),
    ]  # fmt: skip
    publish("train step", "\n".join(lines), store=options.store)


if __name__ == "__main__":
    main()

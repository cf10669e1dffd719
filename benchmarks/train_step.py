"""What `optim.train_step` and `optim.fit` add to a step that is wired by hand into one program, and both beside PyTorch and JAX.

    python benchmarks/train_step.py [target ...]

The network is 64-64-10 in float32 with ReLU, batch 32, cross-entropy, Adam. All rows take turns; a number is the median in
microseconds, and in brackets what it is of the first row. "fit" is a run of 56 steps an epoch, without the first epoch.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from common import Case, interleaved
from training import BETA1, BETA2, EPSILON, RATE, Network, with_jax, with_torch

import compgraph as cg
import optim
from compgraph import nn

NETWORK = Network((64, 64, 10), 32)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64, generator=0), nn.ReLU(), nn.Linear(64, 10, generator=1))


def batch() -> tuple[Any, Any]:
    X, Y = NETWORK.examples()
    return X, Y.argmax(axis=1)


def by_hand(target: str) -> Callable[[], object]:
    """Forward, backward and Adam as one program, with the layers and the loss of `nn`."""
    model = network()
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
    X, y = batch()

    def once() -> None:
        state[:] = compiled(*state, X, y)[1:]

    return once


def by_step(target: str | None) -> Callable[[], object]:
    model = network()
    return partial(optim.train_step(model, nn.cross_entropy, optim.Adam(model.parameters(), lr=RATE), target=target), *batch())


def fit_seconds(target: str) -> float:
    """Of a step in a run."""
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(1792, 64)).astype(np.float32), draw.integers(0, 10, 1792)
    model = network()
    history = optim.fit(model, (X, y), loss=nn.cross_entropy, optimizer=optim.Adam(model.parameters(), lr=RATE), epochs=20, target=target)
    return statistics.median(history["seconds"][1:]) / 56


def main(targets: list[str]) -> None:
    for target in targets:
        cases: dict[str, Any] = {
            "one program, wired by hand": Case(partial(by_hand, target), list),
            "optim.train_step": Case(partial(by_step, target), list),
            "optim.train_step, target=None": Case(partial(by_step, None), list),
        }
        for name, make in (("PyTorch", partial(with_torch, threads=1)), ("JAX jit", with_jax)):
            try:
                import_module("torch" if name == "PyTorch" else "jax")
            except ImportError:
                continue
            cases[name] = make(NETWORK)
        found = interleaved(cases, rounds=15, repeats=60, pause=0.005)
        first = next(iter(found.values())).median
        print(f"{target} target")
        for name, timing in found.items():
            spread = f"half of them {1e6 * timing.low:.1f} to {1e6 * timing.high:.1f}"
            print(f"  {name:32} {1e6 * timing.median:8.1f} us ({timing.median / first:.2f}; {spread})")
        seconds = fit_seconds(target)
        print(f"  {'optim.fit, a step of it':32} {1e6 * seconds:8.1f} us ({seconds / first:.2f})")


if __name__ == "__main__":
    began = time.perf_counter()
    main(sys.argv[1:] or ["numpy", "numba"])
    print(f"{time.perf_counter() - began:.0f} s")

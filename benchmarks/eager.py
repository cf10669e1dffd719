"""Value and gradient of a chain of 200 operations on one number: what an operation costs beside its arithmetic.

    python benchmarks/eager.py [--store]

On one number the arithmetic is next to nothing, so this measures recording a node, sweeping back over it and freeing
it. Every library builds the chain anew in every run, as it would for a new input.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from common import interleaved, machine, publish, table

import compgraph as cg

OPERATIONS = 200
X = 0.7


def chain(x: Any, activation: Callable[[Any], Any]) -> Any:
    y = x
    for _ in range(OPERATIONS // 4):
        y = y * x
        y = y + x
        y = activation(y)
        y = y - 0.5
    return y


# Each entry makes, from "relu" or "tanh", a function without arguments that returns (value, gradient) as floats;
# None where the library has no such activation. The conversion to floats is the same for all: each ends with it.


def of_compgraph(activation: str) -> Callable[[], tuple[float, float]]:
    function = {"relu": cg.relu, "tanh": np.tanh}[activation]

    def run() -> tuple[float, float]:
        x = cg.variable(X)
        y = chain(x, function)
        y.backward()
        return y.item(), x.grad.item()

    return run


def of_micrograd(activation: str) -> Callable[[], tuple[float, float]] | None:
    engine = import_module("micrograd.engine")
    if not hasattr(engine.Value, activation):
        return None
    function = getattr(engine.Value, activation)

    def run() -> tuple[float, float]:
        x = engine.Value(X)
        y = chain(x, function)
        y.backward()
        return y.data, x.grad

    return run


def of_torch(activation: str) -> Callable[[], tuple[float, float]]:
    torch = import_module("torch")
    torch.set_num_threads(1)
    function = getattr(torch, activation)

    def run() -> tuple[float, float]:
        x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
        y = chain(x, function)
        y.backward()
        return y.item(), x.grad.item()

    return run


def of_autograd(activation: str) -> Callable[[], tuple[float, float]]:
    autograd, anp = import_module("autograd"), import_module("autograd.numpy")
    function = {"relu": lambda x: anp.maximum(x, 0.0), "tanh": anp.tanh}[activation]
    value_and_gradient = autograd.value_and_grad(lambda x: chain(x, function))

    def run() -> tuple[float, float]:
        value, gradient = value_and_gradient(X)
        return float(value), float(gradient)

    return run


RIVALS = {"compgraph": of_compgraph, "micrograd": of_micrograd, "torch": of_torch, "autograd": of_autograd}
ACTIVATIONS = ("relu", "tanh")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the table into README.md")
    arguments.add_argument("--rounds", type=int, default=60)
    options = arguments.parse_args()

    absent = []
    versions = {"compgraph": cg.__version__}
    for name in RIVALS:
        if name != "compgraph":
            try:
                versions[name] = version(name)
            except PackageNotFoundError:
                absent.append(name)
    cells: dict[str, list[str]] = {name: [f"{name} {number}"] for name, number in versions.items()}
    for activation in ACTIVATIONS:
        made = {name: RIVALS[name](activation) for name in versions}
        cases = {name: run for name, run in made.items() if run is not None}
        results = {name: run() for name, run in cases.items()}
        for name, result in results.items():
            np.testing.assert_allclose(result, results["compgraph"], rtol=1e-12, err_msg=f"{name} computes something else")
        timings = interleaved(cases, rounds=options.rounds, repeats=5)
        for name in versions:
            if name in timings:
                each = timings[name] / OPERATIONS
                median, low, high = (1e6 * seconds for seconds in each)
                ratio = timings[name].median / timings["compgraph"].median
                cells[name] += [f"{median:.2f} ({low:.2f} to {high:.2f})", f"{ratio:.2f}"]
            else:
                cells[name] += ["has none", ""]
    heads = ["library", "with relu, µs an operation", "ratio", "with tanh, µs an operation", "ratio"]
    lines = [
        table(heads, list(cells.values())), "",
        f"Medians of {options.rounds} interleaved rounds of 5 runs; between the brackets lies half of the rounds. {machine()}.",
        *([f"Not installed and left out: {', '.join(absent)}."] if absent else []),
    ]  # fmt: skip
    publish("eager", "\n".join(lines), store=options.store)


if __name__ == "__main__":
    main()

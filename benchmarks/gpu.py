"""Training steps and a mixture's gradient on one GPU, beside PyTorch and JAX: times between device events, and their ratios.

    pip install "compgraph[gpu-cuda13]" torch jax[cuda13]
    python benchmarks/gpu.py [--store] [--rounds N] [--only NAME]

A training step is forward, cross-entropy, backward and Adam, in float32 without TF32; the batch lies on the device. With
compgraph it is one compiled function ("compgraph"), or `optim.train_step`, which the host looks at after each step
("train_step"). Events of the device are recorded around a turn of many steps; JAX has none, so its clock is the host's, from one
wait for the device to the next. Before the clock starts all libraries have to agree. Where there is no GPU, only the kernels
of a step are counted, from the programs' text, and that is said.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from common import Timing, machine, table, versions_of
from training import BETA1, BETA2, EPSILON, RATE, Network, compgraph_step, jax_step
from workloads import of_mixture

import compgraph as cg
import optim
from compgraph import nn
from compgraph.backend import report

NETWORKS = Network((64, 64, 10), 32), Network((784, 128, 10), 64), Network((784, 512, 512, 10), 128), Network((784, 4096, 4096, 10), 4096)
MIXTURE = of_mixture(32, 25, points=10_000)
SECONDS = 0.05  # of a turn, about
CHECKED = 3  # steps after which the losses are compared
PAGE = Path(__file__).resolve().parent.parent / "docs" / "gpu.md"

Step = Callable[[], Any]  # launches one step; its result is an array of the device, which nobody waits for


# ------------------------------------------------------------------------------------------ the steps


def compiled_step(network: Network) -> tuple[Any, list[Any]]:
    """The step as one function, not traced yet, and its state on the host."""
    step, state, _ = compgraph_step(network)
    return cg.compile(step, target="cupy", donate_argnums=(0, 1, 2)), state


def with_compgraph(network: Network) -> Step:
    cupy = import_module("cupy")
    compiled, initial = compiled_step(network)
    state, batch = list(map(cupy.asarray, initial)), tuple(map(cupy.asarray, network.examples()))

    def once() -> Any:
        loss, *state[:] = compiled(*state, *batch)
        return loss

    return once


def training(network: Network, target: str = "cupy") -> tuple[Any, Any, Any]:
    """`optim.train_step` of a network with the benchmark's parameters, and a batch."""
    layers = [nn.Linear(size, out) for size, out in pairwise(network.sizes)]
    model = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    for layer, (W, b) in zip(layers, network.layers(), strict=True):
        layer.weight.value, layer.bias.value = W.T.copy(), b
    X, Y = network.examples()
    optimizer = optim.Adam(model.parameters(), lr=RATE, betas=(BETA1, BETA2), eps=EPSILON)
    return optim.train_step(model, nn.cross_entropy, optimizer, target=target), X, Y.argmax(axis=1)


def with_train_step(network: Network) -> Step:
    cupy = import_module("cupy")
    step, X, y = training(network)
    return partial(step, cupy.asarray(X), cupy.asarray(y))


def with_torch(network: Network, compiled: bool) -> Step:
    torch = import_module("torch")
    torch.backends.cuda.matmul.allow_tf32 = False
    linear = [torch.nn.Linear(size, out) for size, out in pairwise(network.sizes)]
    with torch.no_grad():
        for module, (W, b) in zip(linear, network.layers(), strict=True):
            module.weight.copy_(torch.from_numpy(W.T.copy()))
            module.bias.copy_(torch.from_numpy(b))
    model = torch.nn.Sequential(*[part for module in linear for part in (module, torch.nn.ReLU())][:-1]).cuda()
    X, Y = network.examples()
    inputs, labels = torch.from_numpy(X).cuda(), torch.from_numpy(Y.argmax(axis=1)).cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, betas=(BETA1, BETA2), eps=EPSILON, fused=True, capturable=compiled)

    def forward(inputs: Any, labels: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(inputs), labels)

    loss_of = torch.compile(forward, mode="reduce-overhead") if compiled else forward
    update = torch.compile(optimizer.step, mode="reduce-overhead") if compiled else optimizer.step

    def once() -> Any:
        if compiled:
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad()
        loss = loss_of(inputs, labels)
        loss.backward()
        update()
        return loss.detach()

    return once


def with_jax(network: Network) -> Step:
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")  # float32, as the others
    compiled = jax_step()
    X, Y = (jax.numpy.asarray(array) for array in network.examples())
    layers = jax.tree.map(jax.numpy.asarray, network.layers())
    state = [layers, jax.tree.map(jax.numpy.zeros_like, layers), jax.tree.map(jax.numpy.zeros_like, layers), jax.numpy.float64(0.0)]

    def once() -> Any:
        loss, *state[:] = compiled(*state, X, Y)
        return loss

    return once


def mixture_gradient(**options: Any) -> Any:
    """The mixture's value, whose gradient is taken with respect to its three parameters."""
    points, lower = MIXTURE.data

    def value(alphas: Any, means: Any, factors: Any) -> Any:
        return MIXTURE.program(np, alphas, means, factors, points, lower)

    return cg.compile(cg.value_and_grad(value, argnums=(0, 1, 2)), **options)


def mixture_with_compgraph() -> Step:
    cupy = import_module("cupy")
    compiled, given = mixture_gradient(target="cupy"), tuple(map(cupy.asarray, MIXTURE.parameters))
    return lambda: compiled(*given)[0]


def mixture_with_torch(compiled: bool) -> Step:
    torch = import_module("torch")
    given = [torch.asarray(array).cuda().requires_grad_() for array in MIXTURE.parameters]
    points, lower = (torch.asarray(array).cuda() for array in MIXTURE.data)
    value = torch.compile(MIXTURE.program, mode="reduce-overhead") if compiled else MIXTURE.function

    def once() -> Any:
        for one in given:
            one.grad = None
        found = value(torch, *given, points, lower)
        found.backward()
        return found.detach()

    return once


def mixture_with_jax() -> Step:
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    points, lower = map(jax.numpy.asarray, MIXTURE.data)
    compiled = jax.jit(jax.value_and_grad(lambda *given: MIXTURE.program(jax.numpy, *given, points, lower), (0, 1, 2)))
    given = list(map(jax.numpy.asarray, MIXTURE.parameters))
    return lambda: compiled(*given)[0]


LIBRARIES: dict[str, tuple[str, Callable[[Network], Step], Callable[[], Step] | None]] = {
    "compgraph": ("cupy", with_compgraph, mixture_with_compgraph),
    "compgraph, train_step": ("cupy", with_train_step, None),
    "PyTorch eager": ("torch", partial(with_torch, compiled=False), partial(mixture_with_torch, compiled=False)),
    "PyTorch compile": ("torch", partial(with_torch, compiled=True), partial(mixture_with_torch, compiled=True)),
    "JAX jit": ("jax", with_jax, mixture_with_jax),
}


# --------------------------------------------------------------------------------------------- clocks


def number(value: Any) -> float:
    """A result as a number of the host, which waits for it."""
    return float(value.get() if hasattr(value, "get") and not isinstance(value, dict) else value)


def turn(package: str, step: Step, count: int) -> float:
    """Seconds of a step, in a turn of `count`."""
    if package == "jax":
        number(step())
        start = time.perf_counter()
        for _ in range(count - 1):
            step()
        step().block_until_ready()
        return (time.perf_counter() - start) / count
    if package == "torch":
        cuda = import_module("torch").cuda
        first, last = (cuda.Event(enable_timing=True) for _ in range(2))
    else:
        cuda = import_module("cupy").cuda
        first, last = cuda.Event(), cuda.Event()
    step()
    first.record()
    for _ in range(count):
        step()
    last.record()
    last.synchronize()
    elapsed = first.elapsed_time(last) if package == "torch" else cuda.get_elapsed_time(first, last)
    return float(elapsed) / 1e3 / count


def measured(steps: dict[str, tuple[str, Step]], rounds: int) -> dict[str, Timing]:
    """The libraries take turns, in another order each round."""
    counts = {name: max(3, round(SECONDS / turn(package, step, 10))) for name, (package, step) in steps.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    names, order = list(steps), random.Random(0)
    for _ in range(rounds):
        order.shuffle(names)
        for name in names:
            seconds[name].append(turn(*steps[name], counts[name]))
    return {name: Timing.of(found) for name, found in seconds.items()}


# --------------------------------------------------------------------------------------------- tables


def launches(source: str) -> int:
    """How many kernels and products a program launches, as its text says at the end."""
    return sum(int(count) for count in re.findall(r"^// (\d+) launches a call", source, re.MULTILINE))


def counted() -> str:
    """The kernels of a step, for which no GPU is needed: the program is only written, not run."""
    rows = []
    for network in NETWORKS:
        compiled, state = compiled_step(network)
        source = compiled.prepare(*state, *network.examples()).source
        rows.append([network.name, str(launches(source)), str(source.count("__global__")), "yes" if "as a CUDA graph" in source else "no"])
    source = mixture_gradient(target="cupy").prepare(*MIXTURE.parameters).source
    rows.append([MIXTURE.name, str(launches(source)), str(source.count("__global__")), "yes" if "as a CUDA graph" in source else "no"])
    return table(["", "launches a step", "of them kernels", "one CUDA graph"], rows)


def row_of(name: str, makers: dict[str, tuple[str, Callable[[], Step]]], rounds: int) -> tuple[list[list[str]], list[str]]:
    """The lines of one workload, and what could not run."""
    steps: dict[str, tuple[str, Step]] = {}
    failed, losses = [], {}
    for library, (package, make) in makers.items():
        try:
            import_module(package)
            step = make()
            losses[library] = [number(step()) for _ in range(CHECKED)]
            steps[library] = package, step
        except Exception as error:  # a library that is missing, or cannot compile this, is named and left out
            failed.append(f"{name}, {library}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    for library, found in losses.items():
        np.testing.assert_allclose(found, losses[next(iter(losses))], rtol=1e-3, err_msg=f"{name}: {library}")
    times = measured(steps, rounds)
    own = next(iter(times.values())).median if times else 0.0
    lines = [
        [name, library, f"{time.median * 1e6:.1f} ({time.low * 1e6:.1f} to {time.high * 1e6:.1f})", f"{time.median / own:.2f}"]
        for library, time in times.items()
    ]
    return lines, failed


def compared(rounds: int, only: str) -> str:
    rows: list[list[str]] = []
    failed: list[str] = []
    for network in NETWORKS:
        if only in network.name:
            makers = {name: (package, partial(make, network)) for name, (package, make, _) in LIBRARIES.items()}
            lines, missing = row_of(network.name, makers, rounds)
            rows, failed = rows + lines, failed + missing
    if only in MIXTURE.name:
        mixtures = {name: (package, make) for name, (package, _, make) in LIBRARIES.items() if make is not None}
        lines, missing = row_of(MIXTURE.name, mixtures, rounds)
        rows, failed = rows + lines, failed + missing
    text = table(["", "library", "a step, µs", "over compgraph"], rows)
    return "\n".join([text, *(f"\nLeft out: {one}" for one in failed)])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", action="store_true", help="put the tables into docs/gpu.md")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--only", default="", help="the workloads whose name has this in it")
    options = parser.parse_args(arguments)
    print(f"{counted()}\n", flush=True)
    try:
        import_module("compgraph.backend").import_library("benchmarks/gpu.py")
    except cg.CompgraphError as error:
        print(f"Nothing was timed: {error}")
        return 0
    found, absent = versions_of(["compgraph", "cupy-cuda12x", "cupy-cuda13x", "torch", "jax"])
    packages = ", ".join(f"{name} {version}" for name, version in found.items())
    devices = "; ".join(f"{name}: {text}" for name, _, text in report() if name != "cupy")
    missing = f" Not installed: {', '.join(absent)}." if absent else ""
    text = f"{compared(options.rounds, options.only)}\n\n{packages}. {devices}. {machine()}.{missing}"
    print(text)
    if options.store:
        before, rest = PAGE.read_text(encoding="utf-8").split("<!-- gpu -->")
        after = rest.split("<!-- end of gpu -->")[1]
        PAGE.write_text(f"{before}<!-- gpu -->\n{text}\n<!-- end of gpu -->{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

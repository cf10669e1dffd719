"""Derivatives of array programs: log-sum-exp, a Gaussian mixture, k-means, an LSTM, bundle adjustment.

    python benchmarks/arrays.py [--store] [--only mixture]

Each program is one text for all libraries: NumPy code that is given the module `xp`, so on the nodes of compgraph it
is plain NumPy. All libraries have to agree on value and derivative before the clock starts; then they take turns.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
from common import Timing, interleaved, machine, publish, table

import compgraph as cg

Run = Callable[[], list[Any]]

# ----------------------------------------------------------------------------------------- programs


def logsumexp(xp: Any, x: Any) -> Any:
    """ln sum e^x over the last axis, without overflow."""
    top = xp.amax(x, axis=-1)
    return top + xp.log(xp.sum(xp.exp(x - top[..., None]), axis=-1))


def mixture(xp: Any, alphas: Any, means: Any, factors: Any, points: Any, lower: Any) -> Any:
    """The log-likelihood of a Gaussian mixture, up to a constant, by its inverse-covariance factors.

    As in ADBench (Srajer, Kukelova & Fitzgibbon, 2018): a row of `factors` holds the logarithms of the diagonal of a
    lower triangular Q, then what stands below it; `lower` says where in the row each entry of Q is, 0 for none.
    """
    size = means.shape[1]
    logs, below = factors[:, :size], factors[:, size:]
    strict = xp.concatenate((xp.zeros_like(below[:, :1]), below), axis=1)[:, lower]
    centred = points - means[:, None]
    product = centred * xp.exp(logs)[:, None] + centred @ xp.swapaxes(strict, 1, 2)
    inside = alphas + xp.sum(logs, axis=1) - 0.5 * xp.sum(product**2, axis=2).T
    prior = 0.5 * (xp.sum(xp.exp(logs) ** 2) + xp.sum(below**2)) - xp.sum(logs)
    return xp.sum(logsumexp(xp, inside)) - points.shape[0] * logsumexp(xp, alphas) - prior


def kmeans(xp: Any, centres: Any, points: Any) -> Any:
    """The sum of each point's squared distance to its nearest centre."""
    return xp.sum(xp.amin(xp.sum((points[:, None] - centres) ** 2, axis=2), axis=1))


def lstm(xp: Any, w: Any, u: Any, b: Any, v: Any, c: Any, text: Any) -> Any:
    """The log-likelihood of `text`, one row a character, under a character model with one LSTM cell."""
    size = u.shape[0]
    hidden = state = xp.zeros_like(b[:size])
    total = 0.0
    for step in range(len(text) - 1):
        gates = text[step] @ w + hidden @ u + b
        opened = 0.5 * (xp.tanh(0.5 * gates[: 3 * size]) + 1)
        state = opened[:size] * state + opened[size : 2 * size] * xp.tanh(gates[3 * size :])
        hidden = opened[2 * size :] * xp.tanh(state)
        scores = hidden @ v + c
        total = total + text[step + 1] @ scores - logsumexp(xp, scores)
    return total


def cross(xp: Any, a: Any, b: Any) -> Any:
    return xp.roll(a, -1, 0) * xp.roll(b, 1, 0) - xp.roll(a, 1, 0) * xp.roll(b, -1, 0)


def reprojection(xp: Any, parameters: Any, features: Any) -> Any:
    """The residuals of bundle adjustment, two an observation: a column of `parameters` and of `features`.

    Eleven parameters of the camera (rotation by Rodrigues' formula, centre, focal length, principal point, radial
    distortion), three of the point, one weight, as in ADBench.
    """
    turn, centre, focal, principal = parameters[:3], parameters[3:6], parameters[6], parameters[7:9]
    radial, point, weight = parameters[9:11], parameters[11:14], parameters[14]
    angle = xp.sqrt(xp.sum(turn**2, axis=0))
    axis, ray = turn / angle, point - centre
    cosine = xp.cos(angle)
    turned = ray * cosine + cross(xp, axis, ray) * xp.sin(angle) + axis * (xp.sum(axis * ray, axis=0) * (1 - cosine))
    plane = turned[:2] / turned[2]
    square = xp.sum(plane**2, axis=0)
    distorted = plane * (1 + radial[0] * square + radial[1] * square**2)
    return weight * (focal * distorted + principal - features)


# ----------------------------------------------------------------------------------------- problems


class Problem(NamedTuple):
    """A program with what it is differentiated by, and what else it is given."""

    name: str
    program: Callable[..., Any]
    parameters: tuple[Any, ...]
    data: tuple[Any, ...] = ()
    wanted: str = "gradient"  # or "diagonal" of the Hessian, or the "blocks" of the Jacobian


def of_mixture(size: int, clusters: int) -> Problem:
    draw = np.random.default_rng(0)
    rows, columns = np.tril_indices(size, -1)
    lower = np.zeros((size, size), int)
    lower[rows, columns] = 1 + np.arange(len(rows))
    parameters = draw.normal(size=clusters), draw.normal(size=(clusters, size)), 0.1 * draw.normal(size=(clusters, size + len(rows)))
    return Problem(f"mixture, {size} dimensions, {clusters} components", mixture, parameters, (draw.normal(size=(1000, size)), lower))


def problems() -> list[Problem]:
    draw = np.random.default_rng(1)
    characters = np.eye(30)[draw.integers(0, 30, 61)]
    cell = [0.3 * draw.normal(size=shape) for shape in ((30, 256), (64, 256), (256,), (64, 30), (30,))]
    scale = np.array([0.3] * 3 + [0.2] * 3 + [0.5, 0.1, 0.1, 0.05, 0.02] + [1.0] * 3 + [0.1])
    offset = np.array([0.0] * 6 + [1.0] + [0.0] * 6 + [5.0, 1.0])
    cameras = draw.normal(size=(15, 10_000)) * scale[:, None] + offset[:, None]
    return [
        Problem("logsumexp of 10^6 numbers", logsumexp, (draw.normal(size=1_000_000),)),
        *(of_mixture(size, clusters) for size, clusters in ((10, 5), (10, 25), (10, 100), (32, 25), (64, 5), (64, 100))),
        Problem("k-means, diagonal of the Hessian", kmeans, (draw.normal(size=(10, 8)),), (draw.normal(size=(10_000, 8)),), "diagonal"),
        Problem("LSTM, 60 steps of 64 cells", lstm, tuple(cell), (characters,)),
        Problem("bundle adjustment, 10^4 observations", reprojection, (cameras,), (draw.normal(size=(2, 10_000)),), "blocks"),
    ]


# ---------------------------------------------------------------------------------------- libraries

# Each makes, from a problem, a function without arguments that returns [value, *derivatives] as NumPy arrays.


def with_compgraph(problem: Problem) -> Run:
    numbers = tuple(range(len(problem.parameters)))

    def f(*parameters: Any) -> Any:
        return problem.program(np, *parameters, *problem.data)

    def gradient() -> list[Any]:
        value, bars = cg.value_and_grad(f, numbers)(*problem.parameters)
        return [value, *bars]

    def diagonal() -> list[Any]:
        ones = tuple(np.ones(parameter.shape) for parameter in problem.parameters)
        (value, _), (_, along) = cg.jvp(cg.value_and_grad(f), problem.parameters, ones)
        return [value, along]

    def blocks() -> list[Any]:
        value, pullback = cg.vjp(f, *problem.parameters)
        return [value, *(pullback(seed)[0] for seed in unit_rows(value))]

    return {"gradient": gradient, "diagonal": diagonal, "blocks": blocks}[problem.wanted]


def with_autograd(problem: Problem) -> Run:
    autograd, anp = import_module("autograd"), import_module("autograd.numpy")

    def f(*parameters: Any) -> Any:
        return problem.program(anp, *parameters, *problem.data)

    def gradient() -> list[Any]:
        pull, value = autograd.make_vjp(lambda xs: f(*xs))(problem.parameters)
        return [value, *pull(1.0)]

    def diagonal() -> list[Any]:
        def along(x: Any) -> Any:
            return anp.sum(autograd.grad(f)(x))

        return [f(*problem.parameters), autograd.grad(along)(*problem.parameters)]

    def blocks() -> list[Any]:
        pull, value = autograd.make_vjp(f)(*problem.parameters)
        return [value, *(pull(seed) for seed in unit_rows(value))]

    return {"gradient": gradient, "diagonal": diagonal, "blocks": blocks}[problem.wanted]


def with_torch(problem: Problem, threads: int) -> Run:
    torch = import_module("torch")
    data = [torch.from_numpy(array) for array in problem.data]

    def recorded() -> tuple[list[Any], Any]:
        torch.set_num_threads(threads)
        leaves = [torch.from_numpy(parameter).requires_grad_() for parameter in problem.parameters]
        return leaves, problem.program(torch, *leaves, *data)

    def gradient() -> list[Any]:
        leaves, value = recorded()
        return [value.detach().numpy(), *(bar.numpy() for bar in torch.autograd.grad(value, leaves))]

    def diagonal() -> list[Any]:
        leaves, value = recorded()
        (bar,) = torch.autograd.grad(value, leaves, create_graph=True)
        return [value.detach().numpy(), torch.autograd.grad(bar.sum(), leaves)[0].numpy()]

    def blocks() -> list[Any]:
        leaves, value = recorded()
        seeds = [torch.from_numpy(seed) for seed in unit_rows(value)]
        return [value.detach().numpy(), *(torch.autograd.grad(value, leaves, seed, retain_graph=True)[0].numpy() for seed in seeds)]

    return {"gradient": gradient, "diagonal": diagonal, "blocks": blocks}[problem.wanted]


def with_jax(problem: Problem, compiled: bool) -> Run:
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    data = [jax.numpy.asarray(array) for array in problem.data]
    numbers = tuple(range(len(problem.parameters)))

    def f(*parameters: Any) -> Any:
        return problem.program(jax.numpy, *parameters, *data)

    def gradient(*parameters: Any) -> Any:
        value, bars = jax.value_and_grad(f, numbers)(*parameters)
        return [value, *bars]

    def diagonal(*parameters: Any) -> Any:
        ones = tuple(jax.numpy.ones(parameter.shape) for parameter in parameters)
        (value, _), (_, along) = jax.jvp(jax.value_and_grad(f), parameters, ones)
        return [value, along]

    def blocks(*parameters: Any) -> Any:
        value, pull = jax.vjp(f, *parameters)
        return [value, *(pull(jax.numpy.asarray(seed))[0] for seed in unit_rows(value))]

    wanted = {"gradient": gradient, "diagonal": diagonal, "blocks": blocks}[problem.wanted]
    wanted = jax.jit(wanted) if compiled else wanted
    arguments = tuple(jax.numpy.asarray(parameter) for parameter in problem.parameters)
    return lambda: [np.asarray(part) for part in wanted(*arguments)]


def unit_rows(value: Any) -> list[Any]:
    """One seed a row of the residuals: no two observations share a parameter, so each seed serves all of them."""
    seeds = np.zeros((value.shape[0], *value.shape))
    for row, seed in enumerate(seeds):
        seed[row] = 1
    return list(seeds)


LIBRARIES: dict[str, tuple[str, Callable[[Problem], Run]]] = {
    "compgraph": ("compgraph", with_compgraph),
    "autograd": ("autograd", with_autograd),
    "torch, 1 thread": ("torch", lambda problem: with_torch(problem, 1)),
    "torch, 2 threads": ("torch", lambda problem: with_torch(problem, 2)),
    "jax": ("jax", lambda problem: with_jax(problem, compiled=False)),
    "jax, jit": ("jax", lambda problem: with_jax(problem, compiled=True)),
}

# -------------------------------------------------------------------------------------- measurement


def agreeing(problem: Problem, names: Sequence[str]) -> dict[str, Run]:
    """The problem in each library, once their results are seen to be equal."""
    runs = {name: LIBRARIES[name][1](problem) for name in names}
    expected: list[Any] = []
    for name, run in runs.items():
        found = run()
        expected = expected or found
        for one, other in zip(found, expected, strict=True):
            scale = float(np.max(np.abs(other)))
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10 * scale, err_msg=f"{name} computes something else: {problem.name}")
    return runs


def measured(problem: Problem, names: Sequence[str], seconds: float) -> dict[str, Timing]:
    """As many rounds as `seconds` allow, between 5 and 40."""
    runs = agreeing(problem, names)
    start = time.perf_counter()
    for run in runs.values():
        run()
    once = time.perf_counter() - start
    return interleaved(runs, rounds=int(np.clip(seconds / once, 5, 40)), repeats=1)


def milliseconds(timing: Timing) -> str:
    median, low, high = (1e3 * each for each in timing)
    digits = 0 if median >= 100 else 1 if median >= 10 else 2
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the tables into README.md")
    arguments.add_argument("--seconds", type=float, default=8.0, help="how long to measure each problem, about")
    arguments.add_argument("--only", default="", help="problems whose name holds this text")
    arguments.add_argument("--libraries", default="", help="other libraries to measure, by comma; all that are installed by default")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")  # of other libraries, about arrays that they share with NumPy

    names, versions = ["compgraph"], {"compgraph": cg.__version__}
    absent: dict[str, None] = {}
    for name, (package, _) in LIBRARIES.items():
        if name == "compgraph" or (options.libraries and package not in options.libraries.split(",")):
            continue
        try:
            versions[package] = version(package)
            names.append(name)
        except PackageNotFoundError:
            absent[package] = None

    times, ratios = [], []
    for problem in problems():
        if options.only in problem.name:
            timings = measured(problem, names, options.seconds)
            times.append([problem.name, *(milliseconds(timings[name]) for name in names)])
            ratios.append([problem.name, *(f"{timings[name].median / timings['compgraph'].median:.2f}" for name in names[1:])])
            print(*times[-1], sep=" | ", flush=True)
    lines = [
        "Time of a library over the time of compgraph; above 1, compgraph is faster:", "",
        table(["program", *names[1:]], ratios), "",
        "Milliseconds, the median and between the brackets half of the rounds:", "",
        table(["program", *names], times), "",
        f"{', '.join(f'{package} {number}' for package, number in versions.items())}. {machine()}.",
        *([f"Not installed and left out: {', '.join(absent)}."] if absent else []),
    ]  # fmt: skip
    publish("arrays", "\n".join(lines), store=options.store)


if __name__ == "__main__":
    main()

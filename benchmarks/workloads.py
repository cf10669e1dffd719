"""Array programs, one text for all libraries, and their derivatives in each: what `arrays.py` and `compiled.py` measure.

A program is NumPy code that is given the module `xp`, so on the nodes of compgraph it is plain NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

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


def of_mixture(size: int, clusters: int, points: int = 1000) -> Problem:
    draw = np.random.default_rng(0)
    rows, columns = np.tril_indices(size, -1)
    lower = np.zeros((size, size), int)
    lower[rows, columns] = 1 + np.arange(len(rows))
    parameters = draw.normal(size=clusters), draw.normal(size=(clusters, size)), 0.1 * draw.normal(size=(clusters, size + len(rows)))
    data = draw.normal(size=(points, size)), lower
    return Problem(f"mixture, {size} dimensions, {clusters} components", mixture, parameters, data)


def problems() -> list[Problem]:
    sizes = (10, 5), (10, 25), (10, 100), (32, 25), (64, 5), (64, 100)
    return [
        of_logsumexp(1_000_000), *(of_mixture(size, clusters) for size, clusters in sizes), of_kmeans(10_000), of_lstm(60, 64),
        of_bundle(10_000),
    ]  # fmt: skip


def tiny_problems() -> list[Problem]:
    """The same programs at sizes for tests, some also where loops are taken in blocks."""
    small = of_logsumexp(50), of_mixture(3, 2, points=7), of_kmeans(40), of_lstm(4, 3), of_bundle(6)
    return [*small, of_logsumexp(20_000), of_mixture(10, 5, points=300), of_kmeans(3_000)]


def of_logsumexp(length: int) -> Problem:
    return Problem(f"logsumexp of {length:,} numbers", logsumexp, (np.random.default_rng(1).normal(size=length),))


def of_kmeans(points: int) -> Problem:
    draw = np.random.default_rng(1)
    centres = draw.normal(size=(10, 8))
    return Problem("k-means, diagonal of the Hessian", kmeans, (centres,), (draw.normal(size=(points, 8)),), "diagonal")


def of_lstm(steps: int, cells: int) -> Problem:
    parameters, text = lstm_numbers(steps, cells)
    return Problem(f"LSTM, {steps} steps of {cells} cells", lstm, parameters, (text,))


def lstm_numbers(steps: int, cells: int) -> tuple[tuple[Any, ...], Any]:
    """The parameters of the cell and of the scores, and a text of `steps` + 1 characters, one row each."""
    draw = np.random.default_rng(1)
    text = np.eye(30)[draw.integers(0, 30, steps + 1)]
    shapes = (30, 4 * cells), (cells, 4 * cells), (4 * cells,), (cells, 30), (30,)
    return tuple(0.3 * draw.normal(size=shape) for shape in shapes), text


def of_bundle(observations: int) -> Problem:
    draw = np.random.default_rng(1)
    scale = np.array([0.3] * 3 + [0.2] * 3 + [0.5, 0.1, 0.1, 0.05, 0.02] + [1.0] * 3 + [0.1])
    offset = np.array([0.0] * 6 + [1.0] + [0.0] * 6 + [5.0, 1.0])
    cameras = draw.normal(size=(15, observations)) * scale[:, None] + offset[:, None]
    features = draw.normal(size=(2, observations))
    return Problem(f"bundle adjustment, {observations:,} observations", reprojection, (cameras,), (features,), "blocks")


# ---------------------------------------------------------------------------------------- libraries

# Each makes, from a problem, a function without arguments that returns [value, *derivatives] as NumPy arrays.


def derivative(problem: Problem) -> Callable[..., list[Any]]:
    """The function of parameters and data that returns [value, *derivatives], by compgraph: run as it is, or compiled."""
    count = len(problem.parameters)
    f = partial(problem.program, np)

    def gradient(*args: Any) -> list[Any]:
        value, bars = cg.value_and_grad(f, tuple(range(count)))(*args)
        return [value, *bars]

    def diagonal(x: Any, *data: Any) -> list[Any]:
        (value, _), (_, along) = cg.jvp(cg.value_and_grad(lambda x: f(x, *data)), (x,), (np.ones(x.shape),))
        return [value, along]

    def blocks(x: Any, *data: Any) -> list[Any]:
        value, pullback = cg.vjp(lambda x: f(x, *data), x)
        return [value, *(pullback(seed)[0] for seed in unit_rows(value))]

    return {"gradient": gradient, "diagonal": diagonal, "blocks": blocks}[problem.wanted]


def with_compgraph(problem: Problem) -> Run:
    return partial(derivative(problem), *problem.parameters, *problem.data)


def with_compiled(problem: Problem, target: str) -> Run:
    return partial(cg.compile(derivative(problem), target=target), *problem.parameters, *problem.data)


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


def with_torch(problem: Problem, threads: int, *, compiled: bool = False) -> Run:
    torch = import_module("torch")
    program = partial(problem.program, torch)
    program = torch.compile(program) if compiled else program
    data = [torch.from_numpy(array) for array in problem.data]

    def recorded() -> tuple[list[Any], Any]:
        torch.set_num_threads(threads)
        leaves = [torch.from_numpy(parameter).requires_grad_() for parameter in problem.parameters]
        return leaves, program(*leaves, *data)

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
    f = partial(problem.program, jax.numpy)
    count = len(problem.parameters)

    def gradient(*args: Any) -> Any:
        value, bars = jax.value_and_grad(f, tuple(range(count)))(*args)
        return [value, *bars]

    def diagonal(x: Any, *data: Any) -> Any:
        (value, _), (_, along) = jax.jvp(jax.value_and_grad(lambda x: f(x, *data)), (x,), (jax.numpy.ones(x.shape),))
        return [value, along]

    def blocks(x: Any, *data: Any) -> Any:
        value, pull = jax.vjp(lambda x: f(x, *data), x)
        return [value, *(pull(jax.numpy.asarray(seed))[0] for seed in unit_rows(value))]

    wanted = {"gradient": gradient, "diagonal": diagonal, "blocks": blocks}[problem.wanted]
    wanted = jax.jit(wanted) if compiled else wanted
    arguments = [jax.numpy.asarray(array) for array in (*problem.parameters, *problem.data)]
    return lambda: [np.asarray(part) for part in wanted(*arguments)]


def by_hand(problem: Problem) -> Run | None:
    """The derivative as NumPy written on paper first, where that is short."""
    if problem.program is logsumexp:
        (x,) = problem.parameters
        return partial(logsumexp_by_hand, x, np.empty_like(x))
    if problem.program is kmeans:
        return partial(kmeans_by_hand, *problem.parameters, *problem.data)
    return None


def logsumexp_by_hand(x: Any, work: Any) -> list[Any]:
    """The gradient is softmax, of which the sum is at hand; one array is written, thrice."""
    top = np.max(x)
    np.subtract(x, top, out=work)
    np.exp(work, out=work)
    total = np.sum(work)
    np.divide(work, total, out=work)
    return [top + np.log(total), work]


def kmeans_by_hand(centres: Any, points: Any) -> list[Any]:
    """A centre's entry of the diagonal is twice the number of points that are nearest to it."""
    squares = np.sum(points**2, axis=1) + np.sum(centres**2, axis=1)[:, None] - 2 * centres @ points.T
    nearest = np.argmin(squares, axis=0)
    counts = np.bincount(nearest, minlength=len(centres))
    value = np.sum((points - centres[nearest]) ** 2)
    return [value, np.broadcast_to(2.0 * counts[:, None], centres.shape)]


def unit_rows(value: Any) -> list[Any]:
    """One seed a row of the residuals: no two observations share a parameter, so each seed serves all of them."""
    seeds = np.zeros((value.shape[0], *value.shape))
    for row, seed in enumerate(seeds):
        seed[row] = 1
    return list(seeds)

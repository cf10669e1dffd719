"""Training steps of small networks, float32: forward, cross-entropy from logits, backward, Adam, in each library.

The text of the loss is one for compgraph, JAX and autograd: it is given the module, and how that module stops a gradient
(the largest logit is subtracted against overflow; its derivative is zero). PyTorch has layers and a loss of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from common import Case

import compgraph as cg

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
CHECKED_STEPS = 5


class Network(NamedTuple):
    """Sizes of the layers, and examples a step."""

    sizes: tuple[int, ...]
    batch: int

    @property
    def name(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}"

    def layers(self) -> list[tuple[Any, Any]]:
        """New initial parameters, the same each time: a weight of shape (inputs, outputs) and a bias for each layer."""
        draw = np.random.default_rng(0)
        shapes = zip(self.sizes, self.sizes[1:], strict=False)
        return [(self._small(draw, (size, out), size), self._small(draw, (out,), size)) for size, out in shapes]

    @staticmethod
    def _small(draw: np.random.Generator, shape: tuple[int, ...], inputs: int) -> Any:
        bound = inputs**-0.5
        return draw.uniform(-bound, bound, shape).astype(np.float32)

    def examples(self) -> tuple[Any, Any]:
        """Inputs, and labels as rows of the unit matrix."""
        draw = np.random.default_rng(1)
        X = draw.normal(size=(self.batch, self.sizes[0])).astype(np.float32)
        return X, np.eye(self.sizes[-1], dtype=np.float32)[draw.integers(0, self.sizes[-1], self.batch)]


NETWORKS = Network((2, 16, 16, 2), 100), Network((64, 64, 10), 32), Network((784, 128, 10), 64), Network((784, 512, 512, 10), 128)
TINY = Network((3, 5, 4, 2), 6)


def loss_of(xp: Any, stop: Callable[[Any], Any], layers: Sequence[tuple[Any, Any]], X: Any, Y: Any) -> Any:
    *hidden, (W, b) = layers
    for weights, bias in hidden:
        X = xp.maximum(X @ weights + bias, 0)
    logits = X @ W + b
    shifted = logits - stop(xp.amax(logits, axis=1, keepdims=True))
    return xp.mean(xp.log(xp.sum(xp.exp(shifted), axis=1)) - xp.sum(Y * shifted, axis=1))


def case(start: Callable[[], tuple[Callable[[], Any], Callable[[], Any]]]) -> Case:
    """Of a function that begins a training and returns its step and what reads its layers.

    Each turn of the clock begins anew: a network that has learnt its few examples by heart has gradients and moments too
    small for a normal float32, and denormal numbers are slow in those libraries that do not take them for zero.
    """

    def results() -> list[Any]:
        """The losses of the first steps, then the parameters after them, weight and bias of each layer in turn."""
        step, layers = start()
        losses = [np.asarray(step()) for _ in range(CHECKED_STEPS)]
        return [np.stack(losses), *(np.array(array) for layer in layers() for array in layer)]

    return Case(lambda: start()[0], results)


def assert_agree(found: Mapping[str, Sequence[Any]], what: str) -> None:
    """Raise unless all libraries have the losses and parameters of the first.

    Each step of Adam moves a parameter by up to RATE, here 5e-3 in all. Where a gradient is as small as its own rounding
    error, Adam scales noise to a step, so single parameters may differ by some hundredths of that; on average they agree
    to rounding. A wrong step, as without the bias correction, differs by RATE nearly everywhere.
    """
    (first, (losses, *arrays)), *others = found.items()
    for name, (their_losses, *their_arrays) in others:
        np.testing.assert_allclose(their_losses, losses, rtol=1e-5, err_msg=f"{what}: the losses of {name} and {first} differ")
        for one, other in zip(their_arrays, arrays, strict=True):
            gap = np.abs(one - other)
            assert gap.max() < 0.1 * RATE and gap.mean() < 2e-4 * RATE, f"{what}: {name} and {first} differ by {gap.max()} and {gap.mean()}"


# ---------------------------------------------------------------------------------------- compgraph


def compgraph_step(network: Network) -> tuple[Callable[..., Any], list[Any], Callable[[Any], Any]]:
    """The step, its state (parameters and moments as flat vectors, the step's number), and the layers seen in a vector."""
    vector, unravel = cg.ravel(network.layers())

    def step(p: Any, m: Any, v: Any, t: Any, X: Any, Y: Any) -> Any:
        loss, p_bar = cg.value_and_grad(lambda q: loss_of(np, cg.stop_gradient, unravel(q), X, Y))(p)
        t = t + 1
        m = BETA1 * m + (1 - BETA1) * p_bar
        v = BETA2 * v + (1 - BETA2) * p_bar**2
        rate = (RATE / (1 - BETA1**t)).astype(np.float32)  # in float64 first: 1 - 0.999 has four digits less in float32
        root = np.sqrt(1 - BETA2**t).astype(np.float32)
        p = p - rate * m / (np.sqrt(v) / root + EPSILON)
        return loss, p, m, v, t

    return step, [vector, np.zeros_like(vector), np.zeros_like(vector), np.float64(0.0)], unravel


def with_compgraph(network: Network, target: str | None) -> Case:
    """Compiled for `target`, or run by the engine as it is for None."""

    step, initial, unravel = compgraph_step(network)
    compiled = step if target is None else cg.compile(step, target=target, donate_argnums=(0, 1, 2, 3))
    X, Y = network.examples()

    def start() -> tuple[Callable[[], Any], Callable[[], Any]]:
        state = [part.copy() for part in initial]

        def once() -> Any:
            loss, *state[:] = compiled(*state, X, Y)
            return loss

        return once, lambda: unravel(state[0])

    return case(start)


# ------------------------------------------------------------------------------------------ by hand


def with_hand(network: Network) -> Case:
    return case(partial(by_hand, network))


def by_hand(network: Network) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """NumPy as one writes it who wants it fast: flat vectors, every result into memory allocated once."""
    layers = network.layers()
    p = np.concatenate([array.ravel() for layer in layers for array in layer])
    p_bar, m, v, work = (np.zeros_like(p) for _ in range(4))
    stops = np.cumsum([array.size for layer in layers for array in layer])[:-1]

    def views(vector: Any) -> list[tuple[Any, Any]]:
        parts = np.split(vector, stops)
        return [(parts[2 * at].reshape(W.shape), parts[2 * at + 1]) for at, (W, _) in enumerate(layers)]

    X, Y = network.examples()
    values = [np.empty((network.batch, size), np.float32) for size in network.sizes[1:]]
    bars = [np.empty_like(value) for value in values]
    masks = [np.empty(value.shape, bool) for value in values]
    W_b, W_b_bar = views(p), views(p_bar)
    ahead = list(zip([X, *values[:-1]], W_b, values, strict=True))
    behind = list(zip([X, *values[:-1]], W_b, W_b_bar, bars, [None, *bars[:-1]], [None, *masks[:-1]], strict=True))[::-1]
    logits, logits_bar, last = values[-1], bars[-1], len(values) - 1
    column, scratch, t = np.empty((network.batch, 1), np.float32), np.empty_like(logits), 0

    def step() -> Any:
        nonlocal t
        for at, (x, (W, b), y) in enumerate(ahead):
            np.matmul(x, W, out=y)
            np.add(y, b, out=y)
            if at != last:
                np.maximum(y, 0, out=y)
        np.maximum.reduce(logits, axis=1, keepdims=True, out=column)
        np.subtract(logits, column, out=logits)
        np.exp(logits, out=logits_bar)
        np.add.reduce(logits_bar, axis=1, keepdims=True, out=column)
        np.multiply(Y, logits, out=scratch)
        np.divide(logits_bar, column, out=logits_bar)
        np.log(column, out=column)
        loss = (np.add.reduce(column, axis=None) - np.add.reduce(scratch, axis=None)) / np.float32(network.batch)
        np.subtract(logits_bar, Y, out=logits_bar)
        np.divide(logits_bar, network.batch, out=logits_bar)
        for x, (W, _), (W_bar, b_bar), y_bar, x_bar, mask in behind:
            np.matmul(x.T, y_bar, out=W_bar)
            np.add.reduce(y_bar, axis=0, out=b_bar)
            if x_bar is not None:
                np.matmul(y_bar, W.T, out=x_bar)
                np.greater(x, 0, out=mask)
                np.multiply(x_bar, mask, out=x_bar)
        t += 1
        np.multiply(p_bar, 1 - BETA1, out=work)
        np.multiply(m, BETA1, out=m)
        np.add(m, work, out=m)
        np.multiply(p_bar, p_bar, out=work)
        np.multiply(work, 1 - BETA2, out=work)
        np.multiply(v, BETA2, out=v)
        np.add(v, work, out=v)
        np.sqrt(v, out=work)
        np.divide(work, (1 - BETA2**t) ** 0.5, out=work)
        np.add(work, EPSILON, out=work)
        np.divide(m, work, out=work)
        np.multiply(work, RATE / (1 - BETA1**t), out=work)
        np.subtract(p, work, out=p)
        return loss

    return step, lambda: W_b


# --------------------------------------------------------------------------------- other libraries


def with_torch(network: Network, threads: int, adam: str = "", *, compiled: bool = False) -> Case:
    """`adam` chooses among PyTorch's own forms: "fused", "foreach", or the default; `compiled` is the model with its loss."""
    torch = import_module("torch")

    linear = [torch.nn.Linear(size, out) for size, out in zip(network.sizes, network.sizes[1:], strict=False)]
    model = torch.nn.Sequential(*[part for module in linear for part in (module, torch.nn.ReLU())][:-1])
    X, Y = network.examples()
    inputs, labels = torch.from_numpy(X), torch.from_numpy(Y.argmax(axis=1))

    def of_model(inputs: Any, labels: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(inputs), labels)

    loss_function = torch.compile(of_model) if compiled else of_model

    def start() -> tuple[Callable[[], Any], Callable[[], Any]]:
        torch.set_num_threads(threads)
        with torch.no_grad():
            for module, (W, b) in zip(linear, network.layers(), strict=True):
                module.weight.copy_(torch.from_numpy(W.T.copy()))
                module.bias.copy_(torch.from_numpy(b))
        chosen = {adam: True} if adam else {}
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE, betas=(BETA1, BETA2), eps=EPSILON, **chosen)

        def step() -> Any:
            optimizer.zero_grad()
            loss = loss_function(inputs, labels)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step, lambda: [(module.weight.detach().numpy().T, module.bias.detach().numpy()) for module in linear]

    return case(start)


def jax_step() -> Any:
    """The whole step under `jax.jit`, its state donated. Parameters stay a list: XLA fuses the update of each array."""
    jax = import_module("jax")

    @partial(jax.jit, donate_argnums=(0, 1, 2, 3))
    def step(layers: Any, m: Any, v: Any, t: Any, X: Any, Y: Any) -> Any:
        loss, bars = jax.value_and_grad(lambda layers: loss_of(jax.numpy, jax.lax.stop_gradient, layers, X, Y))(layers)
        t = t + 1
        m = jax.tree.map(lambda m, bar: BETA1 * m + (1 - BETA1) * bar, m, bars)
        v = jax.tree.map(lambda v, bar: BETA2 * v + (1 - BETA2) * bar**2, v, bars)
        rate = (RATE / (1 - BETA1**t)).astype(np.float32)
        root = jax.numpy.sqrt(1 - BETA2**t).astype(np.float32)
        layers = jax.tree.map(lambda p, m, v: p - rate * m / (jax.numpy.sqrt(v) / root + EPSILON), layers, m, v)
        return loss, layers, m, v, t

    return step


def with_jax(network: Network) -> Case:
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    compiled = jax_step()

    def start() -> tuple[Callable[[], Any], Callable[[], Any]]:
        X, Y = (jax.numpy.asarray(array) for array in network.examples())
        layers = jax.tree.map(jax.numpy.asarray, network.layers())
        state = [layers, jax.tree.map(jax.numpy.zeros_like, layers), jax.tree.map(jax.numpy.zeros_like, layers), jax.numpy.float64(0.0)]

        def once() -> Any:
            loss, *state[:] = compiled(*state, X, Y)
            return loss.block_until_ready()  # one executable makes all results: where one is ready, all are

        return once, lambda: state[0]

    return case(start)


def with_autograd(network: Network) -> Case:
    autograd, anp = import_module("autograd"), import_module("autograd.numpy")
    stop = import_module("autograd.tracer").getval

    def start() -> tuple[Callable[[], Any], Callable[[], Any]]:
        X, Y = network.examples()
        layers = network.layers()
        m, v = ([np.zeros_like(array) for layer in layers for array in layer] for _ in range(2))
        derived = autograd.value_and_grad(lambda layers: loss_of(anp, stop, layers, X, Y))
        t = 0

        def once() -> Any:
            nonlocal t
            loss, bars = derived(layers)
            t += 1
            places = zip([array for layer in layers for array in layer], m, v, [bar for pair in bars for bar in pair], strict=True)
            for p, first, second, bar in places:
                first += (1 - BETA1) * (bar - first)
                second += (1 - BETA2) * (bar**2 - second)
                p -= RATE / (1 - BETA1**t) * first / (np.sqrt(second) / (1 - BETA2**t) ** 0.5 + EPSILON)
            return loss

        return once, lambda: layers

    return case(start)


PYTORCH = ("", "", False), (" foreach", "foreach", False), (" fused", "fused", False), (" compile", "fused", True)
Make = Callable[[Network], Case | None]
LIBRARIES: dict[str, tuple[str | None, Make]] = {
    "by hand": (None, with_hand),
    "numpy target": (None, partial(with_compgraph, target="numpy")),
    "numba target": ("numba", partial(with_compgraph, target="numba")),
    **{
        f"PyTorch{name}, {threads}": ("torch", partial(with_torch, threads=threads, adam=adam, compiled=compiled))
        for name, adam, compiled in PYTORCH
        for threads in (1, 2)
    },
    "JAX jit": ("jax", with_jax),
    "autograd": ("autograd", with_autograd),
}

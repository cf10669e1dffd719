"""A training step as one program: forward, backward and the update, read and run.

What to notice: the update rule is traced like any function, all parameters are one vector, and the layers are views of
it, so they see every update. The printed program is what runs; its lines are called as the code calls them.

Prints::

    step 0: loss 0.68
    step 500: loss 0.01
    the layers are views of the vector: True
    the last lines of the update:
"""

from itertools import pairwise

import numpy as np

import compgraph as cg

RATE, DECAY = 1e-2, 0.9


def spirals(draw, count):
    """Two spirals, in float32, and which of them each point is on."""
    kind = np.arange(count) % 2
    turn = 3.0 * np.sqrt(draw.uniform(size=count)) + np.pi * kind
    radius = np.linspace(0.2, 1.0, count)
    points = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return points.astype(np.float32), np.eye(2, dtype=np.float32)[kind]


def loss_of(layers, points, labels):
    hidden = points
    for layer in layers[:-1]:
        hidden = np.tanh(hidden @ layer["w"] + layer["b"])
    scores = hidden @ layers[-1]["w"] + layers[-1]["b"]
    return np.mean(cg.special.logsumexp(scores, axis=1) - np.sum(scores * labels, axis=1))


if __name__ == "__main__":
    draw = np.random.default_rng(0)
    sizes = [2, 16, 16, 2]
    layers = []
    for size, out in pairwise(sizes):
        weights = draw.normal(size=(size, out)) / np.sqrt(size)
        layers.append({"w": weights.astype(np.float32), "b": np.zeros(out, np.float32)})
    parameters, unravel = cg.ravel(layers)

    def update(p, m, points, labels):
        loss, gradient = cg.value_and_grad(lambda p: loss_of(unravel(p), points, labels))(p)
        m = DECAY * m + gradient
        return loss, p - RATE * m, m

    step = cg.compile(update, donate_argnums=(0, 1))
    momentum = np.zeros_like(parameters)
    views = unravel(parameters)
    points, labels = spirals(draw, 100)
    for number in range(2001):
        loss, parameters, momentum = step(parameters, momentum, points, labels)
        if number % 500 == 0:
            print(f"step {number}: loss {loss:.2f}")
    print("the layers are views of the vector:", np.shares_memory(views[0]["w"], parameters))
    print("the last lines of the update:")
    print("\n".join(step.source.splitlines()[-6:]))

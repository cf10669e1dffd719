"""A model trained on a GPU, and what runs there: kernels that a person can read.

Run it with `python examples/on_a_device.py`. Without CuPy and a GPU it prints the kernels of the step all the same, and says what is
missing; with them it trains, and the loss falls below 0.1.

Prints::

    the loss and its gradient are 8 kernels; the first of them:
        const float v4 = float(tanh(v3));
    // 11 launches a call, recorded as a CUDA graph:
"""

from __future__ import annotations

import numpy as np

import compgraph as cg
import optim
from compgraph import nn


def moons(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles, one around the end of the other."""
    draw = np.random.default_rng(0)
    angles, labels = draw.uniform(0, np.pi, count), draw.integers(0, 2, count)
    upper = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.where(labels[:, None] == 0, upper, np.array([1.0, 0.5]) - upper)
    return (points + draw.normal(scale=0.05, size=points.shape)).astype(np.float32), labels


def main() -> None:
    X, y = moons(256)
    model = nn.Sequential(nn.Linear(2, 32, generator=0), nn.Tanh(), nn.Linear(32, 2, generator=1))

    def loss_of(values: dict, X: np.ndarray, y: np.ndarray) -> object:
        return nn.cross_entropy(nn.functional_call(model, values, X)[0], y)

    gradient = cg.compile(cg.value_and_grad(loss_of), target="cupy")
    gradient.prepare({name: p.value for name, p in model.named_parameters()}, X, y)
    kernels = gradient.source.split("\n\n")
    print(f"the loss and its gradient are {gradient.source.count('__global__')} kernels; the first of them:\n\n{kernels[0]}\n")
    print(kernels[-1])
    try:
        step = optim.train_step(model, nn.cross_entropy, optim.Adam(model.parameters(), lr=0.02), target="cupy")
    except (cg.MissingDependencyError, cg.DeviceError) as error:
        print(f"not trained: {error}")
        return
    losses = [step(X, y) for _ in range(300)]
    print(f"the loss falls from {losses[0]:.3f} to {losses[-1]:.3f}, on {step.source.count('__global__')} kernels a step")
    model.to("numpy")
    right = np.mean(np.argmax(model(X).value, axis=1) == y)
    print(f"{right:.1%} of the points are classified rightly, on the host again")


if __name__ == "__main__":
    main()

"""Full-batch, mini-batch and stochastic descent: the same ten looks at the data, with few exact steps or many noisy ones.

    python examples/batch_sizes.py [batch_sizes.png]

What to notice: at the same rate and for the same number of examples, small batches get further, because they make more updates. The
price is noise: with a batch of 1 each step goes down another loss, and in the end it jumps around the minimum.

Prints::

    updates in 10 epochs: 1 14380, 4 3600, 32 450, 256 60, full 10
    the smaller the batch, the lower the loss after 10 epochs: True
    the smaller the batch, the noisier the loss of a step: True
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import optim
from compgraph import nn

COLOURS = {1: "#d55e00", 4: "#e69f00", 32: "#009e73", 256: "#0072b2", None: "#000000"}


def train(X, y, batch_size):
    """The loss of all examples, before the first epoch and after each, and that of each step."""
    model = nn.MLP(64, [32], 10, generator=0)
    losses = [nn.cross_entropy(model(X), y).item()]
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    measure = lambda run: losses.append(nn.cross_entropy(model(X), y).item())  # noqa: E731
    options = {"epochs": 10, "batch_size": batch_size, "callbacks": [measure]}
    history = optim.fit(model, (X, y), loss=nn.cross_entropy, optimizer=optimizer, **options)
    return losses, history.steps["loss"]


if __name__ == "__main__":
    data = optim.data.digits()
    X, y = optim.data.split((data.X / 16, data.y), 0.2)[0]
    runs = {size: train(X, y, size) for size in COLOURS}
    figure = Figure(figsize=(10, 4), layout="constrained")
    by_epoch, by_step = figure.subplots(1, 2)
    for size, (losses, of_steps) in runs.items():
        name = {None: f"{len(X)}: full batch", 1: "1: stochastic"}.get(size, f"{size}")
        by_epoch.semilogy(losses, ".-", color=COLOURS[size], label=name)
        if size != 4:
            by_step.plot(of_steps[:300], color=COLOURS[size], alpha=0.5 if size == 1 else 1, linewidth=0.7 if size == 1 else 1.5)
    by_epoch.set(title="All examples, after each epoch", xlabel="epoch", ylabel="cross-entropy", ylim=(0.003, 4))
    by_epoch.legend(title="batch size", loc="lower left", ncols=2)
    by_step.set(title="The batch of each of the first 300 steps", xlabel="step", ylim=(0, 3.5))
    figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "batch_sizes.png")

    print("updates in 10 epochs:", ", ".join(f"{size or 'full'} {len(of_steps)}" for size, (_, of_steps) in runs.items()))
    ends = [losses[-1] for losses, _ in runs.values()]
    noise = [np.mean(np.abs(np.diff(of_steps))) / np.mean(of_steps) for _, of_steps in runs.values()]
    print("the smaller the batch, the lower the loss after 10 epochs:", ends == sorted(ends))
    print("the smaller the batch, the noisier the loss of a step:", noise == sorted(noise, reverse=True))

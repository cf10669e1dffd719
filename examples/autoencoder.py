"""Digits through a bottleneck of 8 numbers, and damaged digits restored.

    python examples/autoencoder.py [autoencoder.png]

What to notice: an autoencoder keeps more of digits it has never seen in 8 numbers than the 8 principal components do, which are the
best that linear maps can do. One that has learnt to give back whole digits restores one of which a third of the pixels is gone.

Prints::

    8 numbers instead of 64: the error is below that of 8 principal components: True
    restored digits are nearer to the whole ones than damaged ones, at least 3 times: True
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import optim
from compgraph import nn


def train(model, X):
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    optim.fit(model, X, loss=model.loss, optimizer=optimizer, scheduler=scheduler, epochs=50)
    return model.eval()


def principal_components(X, others, count):
    """The others, projected onto the `count` directions in which X varies most."""
    directions = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)[2][:count]
    return X.mean(axis=0) + (others - X.mean(axis=0)) @ directions.T @ directions


def draw(rows, path):
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots(len(rows), 10)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, images, strict=False):
            ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(path)


if __name__ == "__main__":
    learnt, held_out = (part.X / 16 for part in optim.data.split(optim.data.digits(), 0.2))
    narrow = train(nn.Autoencoder(64, [128], 8, output=nn.Sigmoid, generator=0), learnt)
    restoring = train(nn.DenoisingAutoencoder(64, [128], 64, noise=0.33, output=nn.Sigmoid, generator=0), learnt)
    with nn.using(np.random.default_rng(0)):
        damaged = restoring.corrupt(held_out)
    linear = principal_components(learnt, held_out, 8)
    through, restored = narrow(held_out).value, restoring(damaged).value
    errors = [np.mean((images - held_out) ** 2) for images in (through, linear, restored, damaged)]
    print(f"8 numbers instead of 64: the error is below that of 8 principal components: {errors[0] < errors[1]}")
    print(f"restored digits are nearer to the whole ones than damaged ones, at least 3 times: {3 * errors[2] < errors[3]}")
    rows = {"held out": held_out, "from 8 numbers": through, "8 components": linear, "damaged": damaged, "restored": restored}
    draw(rows, sys.argv[1] if len(sys.argv) > 1 else "autoencoder.png")

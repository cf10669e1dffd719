"""Handwritten digits with a multilayer perceptron: 97% of digits it has never seen, in seconds.

    python examples/digits_mlp.py [digits_mlp.png]

What to notice: ten lines train it, and the whole script takes seconds. The picture has the digits that it gets wrong, which
are hard for people too.

Prints::

    held-out accuracy at least 97%: True
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import optim
from compgraph import nn

EPOCHS = 40


def train(seed=0):
    """The model, the held-out digits, and the labels that it gives them."""
    data = optim.data.digits()
    learnt, held_out = optim.data.split(data.with_arrays(data.X / 16, data.y), 0.2, seed=seed, stratify=True)
    model = nn.MLP(64, [256, 128], 10, dropout=0.5, generator=seed)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    optim.fit(model, learnt, loss=nn.cross_entropy, optimizer=optimizer, scheduler=scheduler, epochs=EPOCHS, seed=seed)
    model.eval()
    return model, held_out, model(held_out.X).value.argmax(axis=1)


def draw(held_out, labels, path):
    wrong = np.flatnonzero(labels != held_out.y)[:12]
    figure = Figure(figsize=(8, 3), layout="constrained")
    figure.suptitle(f"{np.sum(labels != held_out.y)} of {len(labels)} held-out digits are taken for others")
    for ax in (axes := figure.subplots(2, 6).ravel()):
        ax.axis("off")
    for ax, index in zip(axes, wrong, strict=False):
        ax.imshow(held_out.X[index].reshape(8, 8), cmap="gray_r")
        ax.set_title(f"a {held_out.y[index]}, taken for {labels[index]}", fontsize="small")
    figure.savefig(path)


if __name__ == "__main__":
    model, held_out, labels = train()
    right = np.mean(labels == held_out.y)
    print(model.summary((1, 64)))
    print(f"held-out accuracy at least 97%: {right >= 0.97} ({right:.4f})")
    draw(held_out, labels, sys.argv[1] if len(sys.argv) > 1 else "digits_mlp.png")

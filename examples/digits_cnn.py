"""Handwritten digits with a convolutional network: 98% of digits it has never seen.

    python examples/digits_cnn.py [digits_cnn.png]

What to notice: fewer weights than the perceptron of `digits_mlp.py`, and fewer errors, since neighbouring pixels are seen together.
The picture has what some of the first layer's filters, left in each row, make of a digit.

Prints::

    held-out accuracy at least 98%: True
    parameters: 21,386
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import optim
from compgraph import nn

EPOCHS = 15


def train(seed=0):
    """The model, the held-out digits, and the labels that it gives them."""
    data = optim.data.digits()
    learnt, held_out = optim.data.split(data.with_arrays(data.X / 16, data.y), 0.2, seed=seed, stratify=True)
    model = nn.CNN((8, 8), 10, channels=(32, 64), dropout=0.5, generator=seed)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    optim.fit(model, learnt, loss=model.loss, optimizer=optimizer, scheduler=scheduler, epochs=EPOCHS, seed=seed)
    model.eval()
    return model, held_out, model(held_out.X).value.argmax(axis=1)


def draw(model, digits, path):
    first = model.features[0]
    maps = np.maximum(first(digits.reshape(-1, 1, 8, 8)).value, 0)
    strongest = np.argsort(-maps.std(axis=(0, 2, 3)))[:4]
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    axes = figure.subplots(5, len(digits) + 1, subplot_kw={"xticks": [], "yticks": [], "frame_on": False})
    for column, digit in enumerate(digits, 1):
        axes[0, column].imshow(digit.reshape(8, 8), cmap="gray_r")
    for row, number in enumerate(strongest, 1):
        axes[row, 0].imshow(first.weight.value[number, 0], cmap="PuOr", vmin=-0.8, vmax=0.8)
        for ax, found in zip(axes[row, 1:], maps[:, number], strict=True):
            ax.imshow(found, cmap="viridis", vmin=0, vmax=maps[:, number].max())
    figure.suptitle("Four filters (orange: negative, purple: positive) and what they find in digits")
    figure.savefig(path)


if __name__ == "__main__":
    model, held_out, labels = train()
    right = np.mean(labels == held_out.y)
    print(f"held-out accuracy at least 98%: {right >= 0.98} ({right:.4f})")
    print(f"parameters: {sum(p.size for p in model.parameters()):,}")
    draw(model, held_out.X[:7], sys.argv[1] if len(sys.argv) > 1 else "digits_cnn.png")

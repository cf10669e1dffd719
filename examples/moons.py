"""Two half moons: no line separates them, a small network does.

    python examples/moons.py [moons.png]

What to notice: a network without a hidden layer, which is logistic regression, draws a line and is right for nine of ten
points; one with 16 hidden units bends it around the moons.

Prints::

    logistic regression: held-out accuracy below 0.93: True
    16 hidden units: held-out accuracy above 0.95: True
"""

import sys

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

import optim
from compgraph import nn

COLOURS, MARKERS = ("#0072b2", "#d55e00"), ("o", "^")  # told apart without colour too
MAP = LinearSegmentedColormap.from_list("moons", [COLOURS[0], "white", COLOURS[1]])


def train(model, data):
    optim.fit(model, data, loss=nn.cross_entropy, optimizer=optim.Adam(model.parameters(), lr=0.03), epochs=100)
    return model


def accuracy(model, data):
    return np.mean(model(data.X).value.argmax(axis=1) == data.y)


def draw(ax, model, data, title):
    x1, x2 = np.meshgrid(np.linspace(-1.8, 2.8, 200), np.linspace(-1.4, 1.9, 200))
    logits = model(np.column_stack([x1.ravel(), x2.ravel()]).astype(np.float32)).value
    p = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1])).reshape(x1.shape)
    shown = ax.contourf(x1, x2, p, np.linspace(0, 1, 11), cmap=MAP, alpha=0.5)
    ax.contour(x1, x2, p, [0.5], colors="black")
    for label, (colour, marker) in enumerate(zip(COLOURS, MARKERS, strict=True)):
        ax.plot(*data.X[data.y == label].T, marker, color=colour, markeredgecolor="black", markeredgewidth=0.6, label=f"moon {label}")
    ax.set(title=title, xlabel="x1", ylabel="x2", aspect="equal")
    return shown


if __name__ == "__main__":
    learnt, held_out = optim.data.split(optim.data.moons(400, noise=0.15, seed=0), 0.25)
    models = {"logistic regression": nn.Linear(2, 2, generator=0), "16 hidden units": nn.MLP(2, 16, 2, generator=0)}
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, (name, model), bound in zip(axes, models.items(), ("below 0.93", "above 0.95"), strict=True):
        right = accuracy(train(model, learnt), held_out)
        shown = draw(ax, model, held_out, f"{name}: {right:.0%} of held-out points right")
        print(f"{name}: held-out accuracy {bound}: {right < 0.93 if 'below' in bound else right > 0.95} ({right:.3f})")
    axes[0].legend(loc="lower left")
    figure.colorbar(shown, ax=axes, label="probability of moon 1")
    figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "moons.png")

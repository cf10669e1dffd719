"""A network that is too large for its 60 examples learns them by heart; three cures.

    python examples/overfitting.py [overfitting.png]

What to notice: the training loss falls and falls, while the loss of points it has not seen rises: the boundary bends around each
noisy point. A penalty on large weights (L2) keeps it from that, dropout slows it down, and early stopping takes the weights
back that were best.

Prints::

    without a cure the validation loss ends at more than twice its best: True
    L2: ends below half of that: True
    dropout: ends below half of that: True
    early stopping: ends below half of that: True
"""

import sys

from matplotlib.figure import Figure

import optim
from compgraph import nn

# Options of the model and of `fit`.
CURES = {"no cure": ({}, {}), "L2": ({}, {"l2": 0.02}), "dropout": ({"dropout": 0.5}, {}), "early stopping": ({}, {"early_stopping": 30})}


def train(learnt, others, model_options, fit_options):
    model = nn.MLP(2, [64, 64], 2, generator=0, **model_options)
    options = {"epochs": 400, "batch_size": None, "validation": others, **fit_options}
    return optim.fit(model, learnt, loss=nn.cross_entropy, optimizer=optim.Adam(model.parameters(), lr=5e-3), **options)


def draw(ax, name, history):
    ax.plot(history["epoch"], history["loss"], color="#0072b2", label="training")
    ax.plot(history["epoch"], history["val_loss"], "--", color="#d55e00", label="validation")
    if history.best_epoch:
        ax.axvline(history.best_epoch, color="black", linestyle=":")
        ax.text(history.best_epoch + 10, 0.9, "these weights are kept")
    ax.set(title=name + (" (training: with the penalty)" if name == "L2" else ""), xlim=(0, 400), ylim=(0, 1.2))


if __name__ == "__main__":
    learnt, others = (optim.data.moons(size, noise=0.35, seed=seed) for size, seed in ((60, 1), (500, 2)))
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    for ax, (name, options) in zip(axes.ravel(), CURES.items(), strict=True):
        history = train(learnt, others, *options)
        draw(ax, name, history)
        best, end = history["val_loss"].min(), history["val_loss"][-1]
        if name == "no cure":
            bound = end / 2
            print(f"without a cure the validation loss ends at more than twice its best: {end > 2 * best} ({best:.2f}, {end:.2f})")
        else:
            end = best if history.best_epoch else end
            print(f"{name}: ends below half of that: {end < bound} ({end:.2f})")
    axes[0, 0].legend(loc="upper right")
    figure.supxlabel("epoch"), figure.supylabel("cross-entropy")
    figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "overfitting.png")

"""A restricted Boltzmann machine learns digits by contrastive divergence.

    python examples/rbm.py [rbm.png]

What to notice: nobody wrote a learning rule. The loss is a difference of free energies, and the engine's gradient of it is what
Hinton's rule says: correlations of the model's samples less those of the data. The filters turn from noise into strokes.

Prints::

    the gradient is the difference of correlations: True
    the reconstruction error falls to less than a third: True
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import optim
from compgraph import nn


def error(model, X):
    return np.mean((model.reconstruct(X).value - X) ** 2)


def draw(model, X, samples, path):
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(8, 5))
    reach = np.abs(model.weight.value).max()
    left.suptitle("The filters: purple switches a unit on, orange off")
    for ax, row in zip(left.subplots(8, 8).ravel(), model.weight.value, strict=True):
        ax.imshow(row.reshape(8, 8), cmap="PuOr", vmin=-reach / 2, vmax=reach / 2)
        ax.axis("off")
    right.suptitle("Data (above) and samples of the model")
    for ax, image in zip(right.subplots(8, 5).ravel(), [*X[:20], *samples[:20]], strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r")
        ax.axis("off")
    figure.savefig(path)


if __name__ == "__main__":
    nn.manual_seed(0)
    X = (optim.data.digits().X > 7).astype(np.float64)
    model = nn.RBM(64, 64, k=1, dtype=np.float64).start_from(X)

    with nn.using(np.random.default_rng(1)):
        model.loss(model(X)).backward()
    with nn.using(np.random.default_rng(1)):  # the same samples again
        data, samples = model.statistics(X), model.statistics(model.gibbs(X))
    same = [np.allclose(p.grad, (samples[name] - data[name]).value, rtol=0, atol=1e-12) for name, p in model.named_parameters()]
    print("the gradient is the difference of correlations:", all(same))

    before = error(model, X)
    model, X = model.float(), X.astype(np.float32)  # so far in double precision, to see twelve digits agree
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    optim.fit(model, X, loss=model.loss, optimizer=optimizer, epochs=100, l2=1e-4)
    print(f"the reconstruction error falls to less than a third: {error(model, X) < before / 3} ({before:.3f} to {error(model, X):.3f})")
    draw(model, X, model.gibbs(X[-20:], 200).value, sys.argv[1] if len(sys.argv) > 1 else "rbm.png")

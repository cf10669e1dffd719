"""Gradient accumulation: a batch of 1024 in pieces of 128, the same update in a fraction of the memory.

What to notice: the gradients of the pieces, each weighted by its share of the examples, add up to the gradient of the whole batch.
So the parameters agree to rounding after any number of steps, also where the pieces are not of equal size. What lives at
once is the activations of one piece.

Prints::

    1024 in 8 pieces of 128: the same parameters to 1e-12 after 20 steps: True
    250 in pieces of 84, 84 and 82, in a plain loop: the same gradient to 1e-14: True
    memory of a step, less than a quarter of that for the whole batch at once: True
"""

import numpy as np

import compgraph as cg
import optim
from compgraph import nn


def network():
    return nn.MLP(64, [128, 128], 10, dtype=np.float64, generator=0)


def train(X, y, accumulate):
    model = network()
    step = optim.train_step(model, nn.cross_entropy, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), accumulate=accumulate)
    for number in range(20):
        rows = np.arange(1024 * number, 1024 * (number + 1)) % len(X)
        step(X[rows], y[rows])
    return model.state_dict(), step


def difference(one, other):
    return max(np.max(np.abs(one[name] - other[name])) for name in one)


if __name__ == "__main__":
    data = optim.data.digits(dtype=np.float64)
    X, y = data.X / 16, data.y
    (whole, at_once), (pieces, in_pieces) = train(X, y, 1), train(X, y, 8)
    print(f"1024 in 8 pieces of 128: the same parameters to 1e-12 after 20 steps: {difference(whole, pieces) < 1e-12}")

    model, other = network(), network()
    X, y = X[:250], y[:250]
    nn.cross_entropy(model(X), y).backward()
    for piece, share in optim.micro_batches(250, 84):  # share: its part of the examples
        (share * nn.cross_entropy(other(X[piece]), y[piece])).backward()
    grads, others = ({name: p.grad for name, p in one.named_parameters()} for one in (model, other))
    print(f"250 in pieces of 84, 84 and 82, in a plain loop: the same gradient to 1e-14: {difference(grads, others) < 1e-14}")
    part = cg.cost(in_pieces.graph).peak_bytes / cg.cost(at_once.graph).peak_bytes
    print(f"memory of a step, less than a quarter of that for the whole batch at once: {part < 0.25} ({part:.0%})")

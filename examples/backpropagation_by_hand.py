"""The gradients of a network of two layers, derived by hand, and found as adjoints in its graph.

What to notice: backpropagation is the reverse sweep. Each intermediate of the derivation by hand, the deltas too, is the
adjoint of a node; nothing is computed that a person would not have written. docs/backpropagation.md derives them.

Prints::

    dL/dh       is v6_bar
    delta2      is v5_bar
    dL/dlayer1  is v3_bar
    delta1      is v2_bar
    dL/dW1      is W1_bar
    dL/db1      is b1_bar
    dL/dW2      is W2_bar
    dL/db2      is b2_bar
    all agree to 1e-12
"""

import numpy as np

import compgraph as cg


def loss(W1, b1, W2, b2, x, y):
    """Binary cross-entropy of h(x) = s(s(x W1 + b1) W2 + b2) for a row x and a label y."""
    layer1 = cg.sigmoid(x @ W1 + b1)
    h = cg.sigmoid(layer1 @ W2 + b2)
    return -np.sum(y * np.log(h) + (1 - y) * np.log(1 - h))


generator = np.random.default_rng(0)
W1, b1, W2, b2, x = (generator.normal(size=shape) for shape in ((3, 4), (4,), (4, 1), (1,), (1, 3)))
y = 1.0

layer1 = 1 / (1 + np.exp(-(x @ W1 + b1)))
h = 1 / (1 + np.exp(-(layer1 @ W2 + b2)))
delta2 = h - y  # dL/dh * h (1 - h)
delta1 = delta2 @ W2.T * layer1 * (1 - layer1)
by_hand = {
    "dL/dh": (h - y) / (h * (1 - h)), "delta2": delta2, "dL/dlayer1": delta2 @ W2.T, "delta1": delta1,
    "dL/dW1": x.T @ delta1, "dL/db1": delta1[0], "dL/dW2": layer1.T @ delta2, "dL/db2": delta2[0],
}  # fmt: skip

trace = cg.evaluate(loss, W1, b1, W2, b2, x, y, mode="reverse")
for name, value in by_hand.items():
    node = next(one for one, bar in trace.adjoints.items() if bar.shape == value.shape and abs(bar - value).max() < 1e-12)
    print(f"{name:<11} is {trace.name(node)}_bar")
print("all agree to 1e-12")

"""A line through points: the gradient by hand, by the engine, as a program, and with `nn` and `optim`.

What to notice: the derivative written by hand and the engine's are the same numbers, descent with either takes the same path,
and the ten lines of `nn` and `optim` at the end take it too. The program that is printed is what runs; the formula for the
gradient can be read in it.

Prints::

    by hand and by the engine: the same to 14 digits
    after 100 steps: slope 2.079, intercept -0.994
    least squares:   slope 2.079, intercept -0.994
    the model of nn came to the same line: True
"""

import numpy as np

import compgraph as cg
import optim
from compgraph import nn

RATE, STEPS = 0.5, 100


def loss(slope, intercept, x, y):
    return np.mean((slope * x + intercept - y) ** 2)


def gradient_by_hand(slope, intercept, x, y):
    """d/d slope of mean(r²) is mean(2 r x), d/d intercept is mean(2 r), with r = slope x + intercept - y."""
    residual = slope * x + intercept - y
    return np.mean(2 * residual * x), np.mean(2 * residual)


if __name__ == "__main__":
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, size=50)
    y = 2 * x - 1 + draw.normal(scale=0.3, size=50)

    gradient = cg.compile(cg.grad(loss, argnums=(0, 1)))
    slope, intercept = 0.0, 0.0
    for _ in range(STEPS):
        by_hand, by_engine = gradient_by_hand(slope, intercept, x, y), gradient(slope, intercept, x, y)
        assert np.allclose(by_hand, by_engine, rtol=1e-14, atol=1e-14)
        slope, intercept = slope - RATE * by_engine[0], intercept - RATE * by_engine[1]
    print("by hand and by the engine: the same to 14 digits")
    print(gradient.source)

    model = nn.LinearRegression(1, dtype=np.float64)
    model.load_state_dict({"weight": [[0.0]], "bias": [0.0]})  # start where the other one did
    optimizer = optim.SGD(model.parameters(), lr=RATE)
    optim.fit(model, (x[:, None], y[:, None]), loss=model.loss, optimizer=optimizer, epochs=STEPS, batch_size=None)
    solved = nn.LinearRegression(1, dtype=np.float64).solve(x[:, None], y[:, None])
    print(f"after {STEPS} steps: slope {slope:.3f}, intercept {intercept:.3f}")
    print(f"least squares:   slope {solved.weight.item():.3f}, intercept {solved.bias.item():.3f}")
    found = [model.weight.item(), model.bias.item()]
    print("the model of nn came to the same line:", np.allclose(found, [slope, intercept], rtol=1e-12))

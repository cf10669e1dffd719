"""Fit a mixture of Gaussians by gradient ascent on its log-likelihood, written in plain NumPy.

What to notice: the log of a sum of exponentials is written as people write it, and the three kinds of parameters are a
dictionary, of which the gradient is one too.

Prints::

    log-likelihood   -670.6 at the start, -536.3 at the end
    weights          [0.25 0.75]
    means            [[-1.99  1.08]
     [ 0.91 -0.02]]
"""

import numpy as np

import compgraph as cg


def log_likelihood(p, points):
    centred = (points[:, None] - p["means"]) * np.exp(p["logs"])
    inside = p["scores"] + np.sum(p["logs"], axis=1) - 0.5 * np.sum(centred**2, axis=2)
    top = np.max(inside, axis=1, keepdims=True)
    total = np.log(np.sum(np.exp(inside - top), axis=1)) + top[:, 0]
    return np.sum(total) - len(points) * (np.log(np.sum(np.exp(p["scores"]))) + np.log(2 * np.pi))


if __name__ == "__main__":
    draw = np.random.default_rng(0)
    points = np.concatenate([draw.normal([-2.0, 1.0], 0.5, (50, 2)), draw.normal([1.0, 0.0], 0.8, (150, 2))])
    p = {"scores": np.zeros(2), "means": np.array([[-1.0, 0.0], [1.0, 1.0]]), "logs": np.zeros((2, 2))}
    start = log_likelihood(p, points)
    ascend = cg.grad(lambda p: log_likelihood(p, points))
    for _ in range(300):
        gradient = ascend(p)
        p = {name: p[name] + 0.001 * gradient[name] for name in p}
    weights = np.exp(p["scores"]) / np.sum(np.exp(p["scores"]))
    print(f"log-likelihood   {start:.1f} at the start, {log_likelihood(p, points):.1f} at the end")
    print(f"weights          {np.round(weights, 2)}")
    print(f"means            {np.round(p['means'], 2)}")

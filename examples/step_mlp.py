"""A network of two layers with its loss, and softmax cross-entropy, as pages to step through.

What to notice: each layer is a scope, whose frame a click closes and opens. A value is an array, shown by its shape, a small
heat map, and its numbers on demand. One reverse pass gives the derivatives by all 337 parameters, where forward mode would
need a pass for each. The adjoint of the scores is softmax minus labels, over the number of examples: the page of
cross-entropy shows where that comes from.

Give a folder to keep the pages: `python examples/step_mlp.py pages`.

Prints::

    wrote mlp.html:
    parameters: 337
    wrote cross_entropy.html:
    the adjoint of the scores is (softmax - labels) / examples: True
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import compgraph as cg
import viz


def mlp(x, target, w1, b1, w2, b2, w3, b3):
    """2-16-16-1 on a batch; the loss is the mean of the squares."""
    with cg.scope("Linear 1"):
        z1 = x @ w1 + b1
    with cg.scope("ReLU 1"):
        h1 = np.maximum(z1, 0)
    with cg.scope("Linear 2"):
        z2 = h1 @ w2 + b2
    with cg.scope("ReLU 2"):
        h2 = np.maximum(z2, 0)
    with cg.scope("Linear 3"):
        y = h2 @ w3 + b3
    with cg.scope("loss"):
        error = y - target
        return np.mean(error * error)


def cross_entropy(scores, labels):
    """The mean of -ln softmax(scores) at the labels, which are one-hot rows."""
    with cg.scope("log softmax"):
        shifted = scores - np.max(scores, axis=1, keepdims=True)
        log_softmax = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    with cg.scope("cross-entropy"):
        return -np.mean(np.sum(labels * log_softmax, axis=1))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(8, 2))
    target = np.sin(x[:, :1] * x[:, 1:])
    shapes = {"w1": (2, 16), "b1": (16,), "w2": (16, 16), "b2": (16,), "w3": (16, 1), "b3": (1,)}
    weights = {name: draw.normal(size=shape) / np.sqrt(shape[0]) if name[0] == "w" else np.zeros(shape) for name, shape in shapes.items()}
    stepper = viz.step(mlp, x, target, **weights)
    page = stepper.save(folder / "mlp.html")
    print(f"wrote {page.name}: {len(stepper)} steps, {page.stat().st_size // 1000} kB")
    print("parameters:", sum(weight.size for weight in weights.values()))

    scores, labels = draw.normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 2]]
    stepper = viz.step(cross_entropy, scores, labels)
    page = stepper.save(folder / "cross_entropy.html")
    print(f"wrote {page.name}: {len(stepper)} steps, {page.stat().st_size // 1000} kB")
    adjoint = [step for step in stepper if step.name == "scores_bar"][-1].value
    expected = (cg.special.softmax(scores, axis=1) - labels) / 4
    print("the adjoint of the scores is (softmax - labels) / examples:", np.allclose(adjoint, expected))

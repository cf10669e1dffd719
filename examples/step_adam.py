"""Adam's update, step by step over five iterations: gradient, first and second moment, bias correction, step.

What to notice: the update rule is a graph like any other, which goes on from its own results. After the first iteration the
corrected moments are the gradient and its square, so the parameter moves by the learning rate whatever the gradient is.

Give a folder to keep the page: `python examples/step_adam.py pages`.

Prints::

    iteration 1: p = 1.9
    iteration 5: p = 1.50
    the same as the rule run in a loop: True
    wrote adam.html
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import compgraph as cg
import viz
from optim.rules import adam, start_adam

RATE, ITERATIONS = 0.1, 5


def loss(p):
    return (p - 0.5) ** 2 * np.exp(-p / 4)


def update(p, state):
    with cg.scope("gradient"):
        gradient = cg.grad(loss)(p)
    with cg.scope("Adam"):
        return adam(p, gradient, state, lr=RATE)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    start = np.float64(2.0)
    stepper = viz.step(update, start, start_adam(start), iterations=ITERATIONS)
    output = stepper.graph.outputs[0]
    path = [step.value for step in stepper if step.node is output]
    for number in (1, ITERATIONS):
        print(f"iteration {number}: p = {path[number - 1]:.6g}")
    p, state = start, start_adam(start)
    for _ in range(ITERATIONS):
        p, state = update(p, state)
    print("the same as the rule run in a loop:", p == path[-1])
    print(f"wrote {stepper.save(folder / 'adam.html').name}")

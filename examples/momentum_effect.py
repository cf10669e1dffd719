"""Momentum in a long narrow valley: f = (x² + 100 y²) / 2.

    python examples/momentum_effect.py [momentum_effect.png]

What to notice: across the valley the slope is 100 times that along it. Plain descent may not take a larger step than the steep
side bears, so it creeps along the bottom; momentum adds up what points the same way and cancels what swings. At the best rates
for this curvature an error shrinks by (k - 1) / (k + 1) a step without momentum and in the end by (√k - 1) / (√k + 1) with it,
k = 100 (Polyak, 1964).

Prints::

    without momentum: 576 steps to an error of 1e-5, the last ones keep 0.980 of it; predicted 0.980
    with momentum: 73 steps to an error of 1e-5, the last ones keep 0.819 of it; predicted 0.818
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import compgraph as cg
import optim

CURVATURES = np.array([1.0, 100.0])
RUNS = {  # SGD's options, the predicted factor, colour
    "without momentum": ({"lr": 2 / 101}, 99 / 101, "#0072b2"),
    "with momentum": ({"lr": (2 / 11) ** 2, "momentum": (9 / 11) ** 2}, 9 / 11, "#d55e00"),
}


def path(options, steps=800):
    p = cg.variable(np.array([-1.0, 0.1]), name="p")
    points, optimizer = [p.value.copy()], optim.SGD([p], **options)
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * np.sum(CURVATURES * p**2)).backward()
        optimizer.step()
        points.append(p.value.copy())
    return np.array(points)


if __name__ == "__main__":
    figure = Figure(figsize=(10, 4), layout="constrained")
    valley, decay = figure.subplots(1, 2)
    x, y = np.meshgrid(np.linspace(-1.1, 0.4, 200), np.linspace(-0.6, 0.45, 200))
    valley.contour(x, y, 0.5 * (x**2 + 100 * y**2), np.geomspace(0.005, 8, 10), colors="0.8")
    valley.plot(0, 0, "*", color="black", markersize=12)
    for name, (options, factor, colour) in RUNS.items():
        points = path(options)
        errors = np.linalg.norm(points, axis=1)
        steps = int(np.argmax(errors < 1e-5))
        kept = (errors[-1] / errors[-101]) ** 0.01
        print(f"{name}: {steps} steps to an error of 1e-5, the last ones keep {kept:.3f} of it; predicted {factor:.3f}")
        valley.plot(*points[:30].T, ".-", color=colour, label=f"{name}, 30 steps")
        decay.semilogy(errors, color=colour)
    valley.set(title="The way down the valley", xlabel="x", ylabel="y")
    decay.set(title="Distance from the minimum", xlabel="step", xlim=(0, 600), ylim=(1e-8, 2))
    valley.legend(loc="lower right")
    figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "momentum_effect.png")

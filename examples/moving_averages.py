"""Moving averages of a year's temperatures: the window of an exponential average, and its cold start.

    python examples/moving_averages.py [picture.svg]

What to notice: an exponential average with decay beta looks back about 1 / (1 - beta) days, where its weights have fallen to 1/e.
It lags behind by as much. Started from zero it takes that long to warm up, unless it is corrected. The picture goes into the
file that is named, or into a temporary one.

Prints::

    beta 0.5: window 2 days, weight there 0.250 of the first
    beta 0.9: window 10 days, weight there 0.349 of the first
    beta 0.98: window 50 days, weight there 0.364 of the first
    the limit, 1/e: 0.368
    28 and 22.82 degrees, beta 0.98: 0.56, 1.01 without correction, 28.00, 25.38 with
    cold start, day 10, beta 0.98: 4.6 degrees without correction, 25.1 with
    the corrected average is the weighted one: True
    by beta, the average of day 10 changes at the rate 1.6
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import compgraph as cg
import optim

BETAS = {0.5: "#e69f00", 0.9: "#009e73", 0.98: "#0072b2"}
DAYS = np.arange(1, 366)


def temperatures():
    """A year that starts in summer, in degrees Celsius."""
    noise = np.random.default_rng(0).normal(scale=2.5, size=DAYS.size)
    return 16 + 9 * np.cos(2 * np.pi * DAYS / 365) + noise


def draw(x, path):
    """The averages, their weights, and the cold start, written whole or not at all."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplot_mosaic([["year", "year"], ["weights", "start"]])
    for ax in axes.values():
        ax.spines[["top", "right"]].set_visible(False)

    axes["year"].plot(DAYS, x, ".", color="0.75", markersize=4, label="each day")
    for beta, colour in BETAS.items():
        axes["year"].plot(DAYS, optim.exponential_average(x, beta), color=colour, label=f"beta {beta}: about {1 / (1 - beta):.0f} days")
    axes["year"].plot(DAYS, optim.moving_average(x, 50), ":", color="0.2", label="mean of 50 days")
    axes["year"].set(title="The larger beta, the smoother and the later", xlabel="day", ylabel="degrees", xlim=(0, 365))
    axes["year"].legend(frameon=False, ncols=3, loc="upper center")

    back = np.arange(120)
    for beta, colour in BETAS.items():
        axes["weights"].plot(back, beta**back, color=colour)
        axes["weights"].plot(1 / (1 - beta), beta ** (1 / (1 - beta)), "o", color=colour)
    axes["weights"].axhline(1 / np.e, color="0.6", linewidth=0.8)
    axes["weights"].text(119, 1 / np.e + 0.02, "1/e", ha="right", color="0.4")
    axes["weights"].set(title="Weights, and 1 / (1 - beta)", xlabel="days back", ylabel="part of the latest weight", ylim=(0, 1.05))

    beta, first = 0.98, slice(0, 120)
    axes["start"].plot(DAYS[first], x[first], ".", color="0.75", markersize=4)
    axes["start"].plot(DAYS[first], optim.exponential_average(x, beta)[first], color=BETAS[beta], label="corrected")
    raw = optim.exponential_average(x, beta, corrected=False)
    axes["start"].plot(DAYS[first], raw[first], "--", color=BETAS[beta], label="from zero")
    axes["start"].set(title=f"The cold start, beta {beta}", xlabel="day", ylabel="degrees")
    axes["start"].legend(frameon=False, loc="lower right")

    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        figure.savefig(unfinished, format=path.suffix[1:] or "svg")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
        pyplot.close(figure)


if __name__ == "__main__":
    for beta in BETAS:
        window = 1 / (1 - beta)
        print(f"beta {beta}: window {window:.0f} days, weight there {beta**window:.3f} of the first")
    print(f"the limit, 1/e: {1 / np.e:.3f}")

    two = np.array([28.0, 22.82])
    raw, corrected = optim.exponential_average(two, 0.98, corrected=False), optim.exponential_average(two, 0.98)
    print(f"28 and 22.82 degrees, beta 0.98: {raw[0]:.2f}, {raw[1]:.2f} without correction, {corrected[0]:.2f}, {corrected[1]:.2f} with")

    x = temperatures()
    raw, corrected = optim.exponential_average(x, 0.98, corrected=False), optim.exponential_average(x, 0.98)
    print(f"cold start, day 10, beta 0.98: {raw[9]:.1f} degrees without correction, {corrected[9]:.1f} with")
    weights = 0.98 ** np.arange(DAYS.size)[::-1]
    print("the corrected average is the weighted one:", np.allclose(corrected, optim.weighted_average(x, weights)))
    slope = cg.grad(lambda beta: optim.exponential_average(x[:10], beta)[-1])(0.98)
    print(f"by beta, the average of day 10 changes at the rate {slope:.1f}")

    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "moving_averages.svg"
    draw(x, picture)
    print(f"the picture is in {picture}")

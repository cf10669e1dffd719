"""Adam with and without its bias correction: the first steps.

    python examples/bias_correction.py [bias_correction.png]

What to notice: both averages start from zero. That of the gradient is then a tenth of what it should be, that of its square a
thousandth, so without correction the first step is 0.1 / √0.001 = 3.2 times the rate, the next ones are larger still, and it
shoots past the minimum. Corrected, it is the rate (Kingma and Ba, 2015, section 3).

Prints::

    the formula by hand is optim.Adam: True
    in rates, corrected: the first step 1.00, the largest 1.00, 0.14 past the minimum
    in rates, not corrected: the first step 3.16, the largest 5.13, 0.54 past the minimum
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import compgraph as cg
import optim

RATE, BETA1, BETA2, EPS, STEPS = 0.05, 0.9, 0.999, 1e-8, 100
COLOURS = {True: "#0072b2", False: "#d55e00"}


def adam(gradient_of, p, corrected):
    """Every value of p, by the formula of the paper."""
    m, v, values = 0.0, 0.0, [p]
    for t in range(1, STEPS + 1):
        gradient = gradient_of(p)
        m, v = BETA1 * m + (1 - BETA1) * gradient, BETA2 * v + (1 - BETA2) * gradient**2
        m_hat, v_hat = (m / (1 - BETA1**t), v / (1 - BETA2**t)) if corrected else (m, v)
        p = p - RATE * m_hat / (np.sqrt(v_hat) + EPS)
        values.append(p)
    return np.array(values)


if __name__ == "__main__":
    p = cg.variable(1.0, name="p")
    optimizer = optim.Adam([p], lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        np.log(np.cosh(p)).backward()
        optimizer.step()
    runs = {corrected: adam(cg.grad(lambda p: np.log(np.cosh(p))), 1.0, corrected) for corrected in (True, False)}
    print("the formula by hand is optim.Adam:", np.isclose(runs[True][-1], p.item(), rtol=1e-9))
    figure = Figure(figsize=(10, 4), layout="constrained")
    sizes, values = figure.subplots(1, 2, sharex=True)
    for corrected, name, style in ((True, "corrected", "-"), (False, "not corrected", "--")):
        p, steps = runs[corrected], np.abs(np.diff(runs[corrected])) / RATE
        print(f"in rates, {name}: the first step {steps[0]:.2f}, the largest {steps.max():.2f}, {-p.min():.2f} past the minimum")
        sizes.plot(np.arange(1, STEPS + 1), steps, style, color=COLOURS[corrected], label=name)
        values.plot(p, style, color=COLOURS[corrected])
    sizes.set(title="The size of each step", xlabel="step", ylabel="rates", ylim=(0, 6))
    values.set(title="The way to the minimum at 0 of ln cosh p", xlabel="step", ylabel="p")
    sizes.legend()
    figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "bias_correction.png")

"""Loops that stay loops: a thousand steps of an integrator, with its gradient, as a program of a few dozen lines.

What to notice: the body of `cg.fori` is traced once, and the derivative is again a loop, one that runs backward through
the kept states. The slope says how the end of the orbit depends on the growth rate of the prey.

Prints::

    after 1000 steps: [
    by the growth rate: [
    by a difference:    [
    1 loop forward, 1 loop backward
"""

import re

import numpy as np

import compgraph as cg

STEP = 0.01


def grow(state, rate):
    """Lotka and Volterra: prey and predators."""
    prey, predators = state[0], state[1]
    return np.stack([rate * prey - prey * predators, prey * predators - predators])


def orbit(rate):
    """A thousand steps of the classical Runge-Kutta method of fourth order."""

    def step(number, state):
        k1 = grow(state, rate)
        k2 = grow(state + STEP / 2 * k1, rate)
        k3 = grow(state + STEP / 2 * k2, rate)
        k4 = grow(state + STEP * k3, rate)
        return state + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return cg.fori(0, 1000, step, np.array([2.0, 1.0]))


if __name__ == "__main__":
    end = cg.compile(orbit)
    slopes = cg.compile(cg.jacobian(orbit, mode="reverse"))
    print("after 1000 steps:", np.round(end(1.5), 6))
    print("by the growth rate:", np.round(slopes(1.5), 6))
    print("by a difference:   ", np.round((end(1.5 + 1e-6) - end(1.5 - 1e-6)) / 2e-6, 6))
    gradient = cg.compile(cg.grad(lambda rate: np.sum(orbit(rate))))
    gradient(1.5)
    forward = len(re.findall(r"for \w+ in range\(1000\)", gradient.source))
    backward = len(re.findall(r"for \w+ in range\(999, -1, -1\)", gradient.source))
    print(f"{forward} loop forward, {backward} loop backward; {len(gradient.source.splitlines())} lines")

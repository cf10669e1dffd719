"""NumPy code that knows nothing of derivatives, differentiated as it stands: a pendulum integrated by Runge-Kutta.

What to notice: `simulate` has no trace of compgraph in it; its gradient agrees with central differences.

Prints::

    final angle      0.9208
    gradient         [ 0.6292 -0.1367 -1.1283]
    by differences   [ 0.6292 -0.1367 -1.1283]
"""

import numpy as np


def simulate(parameters, steps=100, dt=0.02):
    angle, speed, length = parameters[0], parameters[1], parameters[2]

    def slope(angle, speed):
        return speed, -9.81 / length * np.sin(angle)

    for _ in range(steps):
        a1, s1 = slope(angle, speed)
        a2, s2 = slope(angle + dt / 2 * a1, speed + dt / 2 * s1)
        a3, s3 = slope(angle + dt / 2 * a2, speed + dt / 2 * s2)
        a4, s4 = slope(angle + dt * a3, speed + dt * s3)
        angle = angle + dt / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        speed = speed + dt / 6 * (s1 + 2 * s2 + 2 * s3 + s4)
    return angle


if __name__ == "__main__":
    import compgraph as cg

    start = np.array([1.0, 0.0, 1.0])
    gradient = cg.grad(simulate)(start)
    differences = [(simulate(start + h) - simulate(start - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
    print(f"final angle      {simulate(start):.4f}")
    print(f"gradient         {np.round(gradient, 4)}")
    print(f"by differences   {np.round(differences, 4)}")

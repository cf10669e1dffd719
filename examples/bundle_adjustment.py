"""Bundle adjustment in small: where were the cameras, and where are the points that they saw?

What to notice: the Jacobian of the residuals is one vector sweep, and Gauss-Newton needs nothing else. A camera is
turned by Rodrigues' formula, which at angle 0 has a derivative too.

Prints::

    a Jacobian of shape (48, 42)
    step 0: largest residual 3.8e-02
    step 5: largest residual
"""

import numpy as np

import compgraph as cg

CAMERAS, POINTS = 3, 8


def turned(points, w):
    """Rows of `points` turned by the rotation vector `w`: x cos a + (w x x) sin a / a + w (w.x) (1 - cos a) / a^2."""
    square = np.sum(w**2)
    angle = np.sqrt(square + 1e-30)
    across = np.cross(w, points)
    return points * np.cos(angle) + across * np.sin(angle) / angle + np.outer(points @ w, w) * 0.5 * np.sinc(angle / (2 * np.pi)) ** 2


def project(unknowns):
    cameras, points = np.reshape(unknowns[: 6 * CAMERAS], (CAMERAS, 6)), np.reshape(unknowns[6 * CAMERAS :], (POINTS, 3))
    seen = [turned(points, camera[:3]) + camera[3:] for camera in cameras]
    return np.concatenate([np.ravel(view[:, :2] / view[:, 2:]) for view in seen])


if __name__ == "__main__":
    draw = np.random.default_rng(0)
    cameras = np.concatenate([0.3 * draw.normal(size=(CAMERAS, 3)), [0.0, 0.0, 6.0] + 0.5 * draw.normal(size=(CAMERAS, 3))], axis=1)
    truth = np.concatenate([np.ravel(cameras), draw.normal(size=3 * POINTS)])
    seen = project(truth)
    guess = truth + 0.05 * draw.normal(size=truth.shape)
    jacobian = cg.jacobian(project)
    print(f"a Jacobian of shape {jacobian(guess).shape}")
    for step in range(6):
        residuals = project(guess) - seen
        print(f"step {step}: largest residual {np.max(np.abs(residuals)):.1e}")
        # Turning, moving and scaling the whole scene changes no picture: lstsq takes the shortest of the many solutions.
        guess = guess - np.linalg.lstsq(jacobian(guess), residuals, rcond=1e-10)[0]

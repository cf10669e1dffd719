"""Reference expressions: what people differentiate, from cross entropy to a pendulum, as NumPy code of a few lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from samples import BATCH, LONG, POSITIVE, SPD, SQUARE, Expression, M, N, W, X, Y, Z, of, waves

LABELS = np.array([0, 2, 1, 1])
INPUTS = waves(5, 3, phase=11.0)
STEPS = waves(4, 2, phase=12.0)


def softmax(xp: Any, x: Any) -> Any:
    shifted = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return shifted / xp.sum(shifted, axis=-1, keepdims=True)


def log_softmax(xp: Any, x: Any) -> Any:
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def logistic(xp: Any, x: Any) -> Any:
    return 0.5 * (xp.tanh(0.5 * x) + 1)


def normalized(xp: Any, x: Any, axis: int) -> Any:
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return centred / xp.sqrt(xp.var(x, axis=axis, keepdims=True) + 1e-5)


def gelu(xp: Any, x: Any) -> Any:
    return 0.5 * x * (1 + xp.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))


def lstm(xp: Any, xs: Any, w: Any, u: Any, b: Any) -> Any:
    h = c = xp.zeros(2)
    for x in [xs[0], xs[1], xs[2], xs[3]]:
        i, f, o, g = xp.split(x @ w + h @ u + b, 4)
        c = logistic(xp, f) * c + logistic(xp, i) * xp.tanh(g)
        h = logistic(xp, o) * xp.tanh(c)
    return h


def gru(xp: Any, xs: Any, w: Any, u: Any, b: Any) -> Any:
    h = xp.zeros(2)
    for x in [xs[0], xs[1], xs[2], xs[3]]:
        a, s = x @ w + b, h @ u
        r, z = logistic(xp, a[:2] + s[:2]), logistic(xp, a[2:4] + s[2:4])
        h = (1 - z) * xp.tanh(a[4:] + r * s[4:]) + z * h
    return h


def attention(xp: Any, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    scores = xp.einsum("bqd,bkd->bqk", q, k) / 3**0.5
    return softmax(xp, scores if mask is None else xp.where(mask, scores, -1e9)) @ v


def conv2d(xp: Any, image: Any, kernel: Any) -> Any:
    rows, columns = image.shape[0] - 1, image.shape[1] - 1
    return sum(image[i : i + rows, j : j + columns] * kernel[i, j] for i in range(2) for j in range(2))


def runge_kutta(xp: Any, slope: Any, state: Any, steps: int, dt: float) -> Any:
    for _ in range(steps):
        k1 = slope(state)
        k2 = slope(state + dt / 2 * k1)
        k3 = slope(state + dt / 2 * k2)
        state = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + slope(state + dt * k3))
    return state


def pendulum(xp: Any, p: Any) -> Any:
    return runge_kutta(xp, lambda s: xp.stack([s[1], -9.81 / (2 + p[2]) * xp.sin(s[0])]), p[:2], 5, 0.1)


def lotka_volterra(xp: Any, p: Any) -> Any:
    return runge_kutta(xp, lambda s: xp.stack([s[0] * (p[0] - s[1]), s[1] * (s[0] - p[1])]), p[1:3], 5, 0.1)


def heat(xp: Any, u: Any, rate: Any) -> Any:
    for _ in range(4):
        u = u + rate * (xp.roll(u, 1) - 2 * u + xp.roll(u, -1))
    return u


def squared_distances(xp: Any, a: Any, b: Any) -> Any:
    return xp.sum((a[:, None, :] - b[None, :, :]) ** 2, axis=-1)


def mixture(xp: Any, alphas: Any, means: Any, scales: Any) -> Any:
    inside = alphas - xp.sum(xp.log(scales), axis=1) - 0.5 * xp.sum(((INPUTS[:, None, :] - means) / scales) ** 2, axis=-1)
    top = xp.max(inside, axis=1, keepdims=True)
    return xp.sum(xp.log(xp.sum(xp.exp(inside - top), axis=1)) + top[:, 0])


def gaussian_process(xp: Any, points: Any, targets: Any, length: Any) -> Any:
    kernel = xp.exp(-0.5 * squared_distances(xp, points, points) / length**2) + 0.1 * np.eye(5)
    factor = xp.linalg.cholesky(kernel)
    return -0.5 * targets @ xp.linalg.solve(kernel, targets) - xp.sum(xp.log(xp.diagonal(factor)))


def rodrigues(xp: Any, w: Any, point: Any) -> Any:
    angle = xp.sqrt(xp.sum(w * w))
    axis = w / angle
    return point * xp.cos(angle) + xp.cross(axis, point) * xp.sin(angle) + axis * (axis @ point) * (1 - xp.cos(angle))


def project(xp: Any, w: Any, centre: Any, intrinsics: Any, point: Any) -> Any:
    at = rodrigues(xp, w, point - centre)
    plane = at[:2] / at[2]
    radius = xp.sum(plane**2)
    return intrinsics[0] * plane * (1 + intrinsics[1] * radius + intrinsics[2] * radius**2)


def forward_algorithm(xp: Any, start: Any, moves: Any, emissions: Any) -> Any:
    alpha = log_softmax(xp, start) + emissions[0]
    for observed in (emissions[1], emissions[2], emissions[3]):
        scores = alpha[:, None] + log_softmax(xp, moves)
        top = xp.max(scores, axis=0)
        alpha = xp.log(xp.sum(xp.exp(scores - top), axis=0)) + top + observed
    return xp.sum(xp.exp(alpha))


def kalman(xp: Any, q: Any, r: Any, observed: Any) -> Any:
    mean, variance, loss = 0.0 * q, 1.0 + 0.0 * q, 0.0 * q
    for y in [observed[0], observed[1], observed[2], observed[3]]:
        variance = variance + q**2
        total = variance + r**2
        loss = loss + 0.5 * (xp.log(total) + (y - mean) ** 2 / total)
        gain = variance / total
        mean, variance = mean + gain * (y - mean), (1 - gain) * variance
    return loss


def newton_step(xp: Any, x: Any, s: Any) -> Any:
    residual = xp.tanh(s @ x) + x
    return x - xp.linalg.solve(s * (1 - xp.tanh(s @ x) ** 2)[:, None] + xp.eye(3), residual)


def black_scholes(xp: Any, spot: Any, sigma: Any) -> Any:
    d1 = (xp.log(spot / 1.1) + (0.03 + sigma**2 / 2) * 0.5) / (sigma * 0.5**0.5)
    cumulative = lambda z: 1 / (1 + xp.exp(-1.5976 * z - 0.070566 * z**3))  # noqa: E731
    return spot * cumulative(d1) - 1.1 * np.exp(-0.015) * cumulative(d1 - sigma * 0.5**0.5)


def rosenbrock(xp: Any, x: Any) -> Any:
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


EXPRESSIONS: dict[str, Expression] = {
    "cross entropy by labels": of(lambda xp, x: -xp.mean(log_softmax(xp, x)[np.arange(4), LABELS]), M),
    "cross entropy, smoothed": of(lambda xp, x: -xp.sum(log_softmax(xp, x) * (0.9 * np.eye(3)[LABELS] + 0.1 / 3)), M),
    "binary cross entropy": of(lambda xp, x: xp.sum(xp.logaddexp(0.0, x) - x * np.array([1.0, 0.0, 1.0])), 4 * X),
    "focal loss": of(lambda xp, x: -xp.sum((1 - softmax(xp, x)) ** 2 * log_softmax(xp, x) * np.eye(3)[LABELS]), M),
    "Kullback-Leibler": of(lambda xp, p, q: xp.sum(softmax(xp, p) * (log_softmax(xp, p) - log_softmax(xp, q))), X, Y),
    "hinge": of(lambda xp, x: xp.sum(xp.maximum(0.0, 1 - x * np.array([1.0, -1.0, 1.0]))), 2 * X),
    "Huber": of(lambda xp, x: xp.where(xp.abs(x) < 1, 0.5 * x**2, xp.abs(x) - 0.5), 3 * X),
    "triplet": of(lambda xp, a, p, n: xp.maximum(xp.sum((a - p) ** 2) - xp.sum((a - n) ** 2) + 1, 0.0), X, Y, POSITIVE),
    "cosine similarity": of(lambda xp, a, b: a @ b / (xp.linalg.norm(a) * xp.linalg.norm(b)), X, Y),
    "layer norm by var": of(lambda xp, x, g, b: normalized(xp, x, -1) * g + b, M, X, Y),
    "batch norm": of(lambda xp, x, g, b: normalized(xp, x, 0) * g + b, M, X, Y),
    "root mean square norm": of(lambda xp, x, g: x / xp.sqrt(xp.mean(x**2, axis=-1, keepdims=True) + 1e-6) * g, M, X),
    "GELU": of(lambda xp, x: gelu(xp, x), 2 * X),
    "SiLU": of(lambda xp, x: x * logistic(xp, x), 2 * X),
    "ELU": of(lambda xp, x: xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0.0))), 2 * X),
    "two layers": of(lambda xp, x, w, b, v: gelu(xp, x @ w + b) @ v, INPUTS, SQUARE, X, N),
    "residual block": of(lambda xp, x, w: x + xp.maximum(normalized(xp, x, -1) @ w, 0.0), INPUTS, SQUARE),
    "attention by einsum": of(lambda xp, q, k, v: attention(xp, q, k, v), BATCH, BATCH * 0.5 + 0.1, waves(5, 2, 3)),
    "causal attention": of(
        lambda xp, q, k, v: attention(xp, q, k, v, np.tril(np.ones((3, 3), bool))),
        waves(2, 3, 4), waves(2, 3, 4, phase=1.0), waves(2, 3, 4),
    ),
    "embedding": of(lambda xp, table: xp.mean(table[np.array([[0, 3, 3], [1, 0, 2]])], axis=1) ** 2, M),
    "LSTM": of(lstm, STEPS, waves(2, 8), waves(2, 8, phase=1.0), waves(8, phase=2.0)),
    "GRU": of(gru, STEPS, waves(2, 6), waves(2, 6, phase=1.0), waves(6, phase=2.0)),
    "recurrent network": of(
        lambda xp, xs, w, u: (lambda h: xp.tanh(xs[2] @ w + xp.tanh(xs[1] @ w + h @ u) @ u))(xp.tanh(xs[0] @ w)), STEPS, waves(2, 3), SQUARE
    ),
    "convolution of an image": of(lambda xp, image, kernel: xp.tanh(conv2d(xp, image, kernel)), waves(4, 5), waves(2, 2)),
    "max pooling": of(lambda xp, image: xp.max(xp.reshape(image, (2, 2, 2, 3)), axis=(1, 3)) ** 2, waves(4, 6)),
    "mean pooling": of(lambda xp, image: xp.mean(xp.reshape(image, (2, 2, 2, 3)), axis=(1, 3)) ** 2, waves(4, 6)),
    "Euler steps": of(lambda xp, x, s: xp.tanh(s @ (x + 0.1 * xp.tanh(s @ x))) * 0.1 + x, X, SQUARE),
    "pendulum": of(pendulum, np.array([1.0, 0.2, -0.5])),
    "Lotka-Volterra": of(lotka_volterra, np.array([1.1, 0.9, 0.7])),
    "heat equation": of(lambda xp, u, rate: heat(xp, u, rate), LONG, np.float64(0.2)),
    "leapfrog": of(lambda xp, q, p: q + 0.1 * (p - 0.05 * xp.sin(q)) - 0.05 * xp.cos(q + 0.1 * p), X, Y),
    "implicit Newton step": of(newton_step, X, SQUARE),
    "fixed point": of(lambda xp, a: (lambda f: f(f(f(f(a)))))(lambda x: xp.cos(x) * a), X),
    "kernel matrix": of(lambda xp, a, b, s: xp.exp(-squared_distances(xp, a, b) / s**2), M, SQUARE, np.float64(0.8)),
    "Matern kernel": of(
        lambda xp, a, b: (lambda r: (1 + 3**0.5 * r) * xp.exp(-(3**0.5) * r))(xp.sqrt(squared_distances(xp, a, b) + 1e-3)), M, SQUARE
    ),
    "periodic kernel": of(lambda xp, a, s: xp.exp(-2 * xp.sin(np.pi * (a[:, None] - a[None, :])) ** 2 / s**2), Z, np.float64(0.9)),
    "Gaussian process": of(gaussian_process, waves(5, 2), waves(5, phase=1.0), np.float64(0.7)),
    "mixture of Gaussians": of(mixture, Z[:2], waves(2, 3), 1.5 + waves(2, 3, phase=1.0)),
    "log-density of a Gaussian": of(
        lambda xp, x, m, s: -0.5 * (x - m) @ xp.linalg.solve(s, x - m) - 0.5 * xp.linalg.slogdet(s)[1], X, Y, SPD
    ),
    "log-determinant of a kernel": of(
        lambda xp, a: xp.linalg.slogdet(xp.exp(-squared_distances(xp, a, a)) + 0.1 * np.eye(4))[1], M
    ),
    "Mahalanobis": of(lambda xp, x, m: xp.sqrt(xp.einsum("ni,ij,nj->n", x - m, xp.linalg.inv(SPD), x - m)), INPUTS, X),
    "Poisson": of(lambda xp, w: xp.sum(xp.exp(INPUTS @ w) - np.arange(5.0) * (INPUTS @ w)), X),
    "logistic regression": of(
        lambda xp, w, b: xp.sum(xp.logaddexp(0.0, INPUTS @ w + b) - (INPUTS @ w + b) * (np.arange(5) % 2)) + 0.1 * w @ w, X, np.float64(0.3)
    ),
    "least squares": of(lambda xp, w: xp.mean((INPUTS @ w - LONG[:5]) ** 2), X),
    "ridge, closed form": of(
        lambda xp, a, y, k: xp.linalg.solve(a.T @ a + k * xp.eye(3), a.T @ y), INPUTS, LONG[:5].copy(), np.float64(0.5)
    ),
    "k-means": of(lambda xp, c: xp.sum(xp.min(squared_distances(xp, INPUTS, c), axis=1)), W),
    "soft k-means": of(lambda xp, c: -xp.sum(xp.log(xp.sum(xp.exp(-squared_distances(xp, INPUTS, c)), axis=1))), W),
    "matrix factorisation": of(lambda xp, u, v: xp.sum((u @ v - waves(4, 2)) ** 2) + 0.1 * xp.sum(u**2), M, N),
    "principal component": of(lambda xp, a: xp.linalg.eigvalsh(a.T @ a)[-1], INPUTS),
    "whitening": of(lambda xp, a: (lambda c: a @ xp.linalg.inv(xp.linalg.cholesky(c)).T)(a.T @ a + xp.eye(3)), INPUTS),
    "Rodrigues": of(rodrigues, X, Y),
    "bundle adjustment": of(project, X, Y, np.array([1.2, 0.1, 0.01]), np.array([0.4, -0.3, 3.0])),
    "quaternion": of(
        lambda xp, q, x: (lambda u: x + 2 * xp.cross(u[1:], xp.cross(u[1:], x) + u[0] * x))(q / xp.linalg.norm(q)), Z, X
    ),
    "arm of three links": of(lambda xp, a: xp.stack([xp.sum(xp.cos(xp.cumsum(a))), xp.sum(xp.sin(xp.cumsum(a)))]), X),
    "springs": of(lambda xp, p: xp.sum((xp.linalg.norm(p[1:] - p[:-1], axis=1) - 0.7) ** 2), M),
    "Lennard-Jones": of(
        lambda xp, p: (lambda r: xp.sum(r**-6 - r**-3))(squared_distances(xp, p, p)[np.triu_indices(4, 1)] + 0.5), M
    ),
    "hidden Markov model": of(forward_algorithm, X, SQUARE, M),
    "Kalman filter": of(kalman, np.float64(0.4), np.float64(0.7), Z),
    "Black-Scholes": of(black_scholes, np.float64(1.2), np.float64(0.3)),
    "option by paths": of(lambda xp, s: xp.mean(xp.maximum(xp.exp(xp.cumsum(s * INPUTS, axis=1)[:, -1]) - 1.0, 0.0)), np.float64(0.4)),
    "compound interest": of(lambda xp, r: xp.cumprod(1 + r / 10) @ np.ones(8), LONG),
    "entropy": of(lambda xp, x: -xp.sum(softmax(xp, x) * log_softmax(xp, x)), LONG),
    "temperature": of(lambda xp, x, t: softmax(xp, x / t), X, np.float64(0.5)),
    "Rosenbrock, eight": of(rosenbrock, LONG),
    "Beale": of(
        lambda xp, x: (1.5 - x[0] + x[0] * x[1]) ** 2 + (2.25 - x[0] + x[0] * x[1] ** 2) ** 2 + (2.625 - x[0] + x[0] * x[1] ** 3) ** 2, X
    ),
    "Ackley": of(
        lambda xp, x: -20 * xp.exp(-0.2 * xp.sqrt(xp.mean(x**2))) - xp.exp(xp.mean(xp.cos(2 * np.pi * x))), X
    ),
    "Rastrigin": of(lambda xp, x: xp.sum(x**2 - 10 * xp.cos(2 * np.pi * x)), X),
    "Horner": of(lambda xp, p, x: (((p[3] * x + p[2]) * x + p[1]) * x + p[0]) ** 2, Z, X),
    "continued fraction": of(lambda xp, x: 1 / (x + 1 / (x + 1 / (x + 1 / x))), POSITIVE),
    "discrete cosine transform": of(lambda xp, x: (x @ np.cos(np.pi * np.outer(np.arange(8) + 0.5, np.arange(8)) / 8)) ** 2, LONG),
    "total variation": of(lambda xp, m: xp.sum(xp.sqrt(xp.diff(m, axis=0)[:, 1:] ** 2 + xp.diff(m, axis=1)[1:] ** 2 + 1e-3)), M),
    "autocorrelation": of(lambda xp, x: xp.stack([xp.sum(x[lag:] * x[: 8 - lag]) for lag in (1, 2, 3)]), LONG),
}  # fmt: skip

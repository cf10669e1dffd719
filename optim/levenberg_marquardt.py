"""Levenberg-Marquardt: damped Gauss-Newton steps for half a sum of squares, F = r'r / 2.

Each step p minimises the linear model |r + J p|^2 / 2 + mu |D p|^2 / 2.

- D is Moré's scaling (The Levenberg-Marquardt algorithm: implementation and theory, 1978): the largest norms that the
  columns of J have had, so that the path does not depend on the units of the parameters.
- mu is Nielsen's damping (Damping parameter in Marquardt's method, IMM-REP-1999-05, 1999): with the ratio rho of the decrease to
  the model's, mu is multiplied by max(1/3, 1 - (2 rho - 1)^3) after a step, and by 2, 4, 8, ... after a failure.

Small problems form J, scale its columns and factor it once an iteration by singular values, which serve for every mu and keep
the digits that the normal equations would square away. Large ones solve (J'J + mu I) p = -J'r by conjugate gradients on
Gauss-Newton products and form nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from optim.newton import Product, steihaug
from optim.results import Array, Callback, Limits, Point, Result, Steps, Stop, checked_start, descend, largest, norm

Residuals = Callable[[Array], Array]


class Squares:
    """Residuals with a count, and a memory of the lowest point; the least-squares side of `results.Objective`."""

    def __init__(self, residuals: Residuals, name: str) -> None:
        self._residuals = residuals
        self._name = name
        self.evaluations = 0
        self.products = 0
        self.best: Point | None = None

    def __call__(self, x: Array) -> tuple[Array, float]:
        """The residuals, and half their sum of squares: infinite where they are not finite."""
        self.evaluations += 1
        with np.errstate(all="ignore"):
            r = np.asarray(self._residuals(x))
            value = float(r @ r) / 2 if r.ndim == 1 else math.nan
        return r, value if math.isfinite(value) else math.inf

    def start(self, x0: Any) -> tuple[Array, Array, float]:
        x = checked_start(x0, self._name)
        r, value = self(x)
        if r.ndim != 1 or not r.size:
            raise cg.ShapeError(f"{self._name}: the residuals have to be a vector of at least one entry, not of shape {r.shape}{cg.here()}")
        if math.isinf(value):
            bad = np.flatnonzero(~np.isfinite(r))
            what = f"entry {bad[0]} of the residuals is {r[bad[0]]}" if bad.size else "the sum of squares overflows"
            raise cg.InputError(f"{self._name}: {what} at x0; start where they are finite{cg.here()}")
        return x, r, value


class Linear(NamedTuple):
    """The linear model at a point: the gradient J'r, and what solves for a step."""

    gradient: Array
    scale: Array  # the diagonal of D
    solve: Callable[[float], Array]  # mu -> the step p
    curvature: Callable[[Array], float]  # p -> |J p|^2
    cosine: float  # the largest cosine of the angle between r and a column of J


def dense(jacobian: Callable[[Array], Array]) -> Callable[[Array, Array, Array], Linear]:
    """The model from the Jacobian itself."""

    def model(x: Array, r: Array, scale: Array) -> Linear:
        with np.errstate(all="ignore"):
            J = np.asarray(jacobian(x))
        if J.shape != (r.size, x.size):
            raise cg.ShapeError(f"least_squares_lm: the Jacobian has shape {J.shape}, it has to be {(r.size, x.size)}{cg.here()}")
        if not np.all(np.isfinite(J)):
            raise _NotFiniteError
        norms = np.sqrt(np.sum(J * J, axis=0))
        scale = np.maximum(scale, norms)
        divisor = np.where(scale > 0, scale, 1).astype(x.dtype)
        U, s, Vt = np.linalg.svd(J / divisor, full_matrices=False)
        along = U.T @ r
        gradient = J.T @ r

        def solve(mu: float) -> Array:
            return -(Vt.T @ (along * (s / (s * s + s.dtype.type(mu))))) / divisor

        def curvature(p: Array) -> float:
            image = J @ p
            return float(image @ image)

        cosines = np.abs(gradient[norms > 0]) / norms[norms > 0] / (norm(r) or 1.0)
        return Linear(gradient, scale, solve, curvature, float(np.max(cosines, initial=0.0)))

    return model


def matrix_free(squares: Squares, vjp: Product, gnvp: Product, maxcg: int | None) -> Callable[[Array, Array, Array], Linear]:
    """The model from `vjp(x, u)` = J'u and `gnvp(x, v)` = J'J v, without scaling."""

    def model(x: Array, r: Array, scale: Array) -> Linear:
        with np.errstate(all="ignore"):
            gradient = np.asarray(vjp(x, r))
        if not np.all(np.isfinite(gradient)):
            raise _NotFiniteError

        def product(v: Array) -> Array:
            squares.products += 1
            with np.errstate(all="ignore"):
                return np.asarray(gnvp(x, v))

        size = norm(gradient)

        def solve(mu: float) -> Array:
            most = maxcg or max(50, 2 * x.size)
            return steihaug(lambda v: product(v) + v.dtype.type(mu) * v, gradient, math.inf, min(0.1, math.sqrt(size)) * size, most)[0]

        if not np.any(scale):  # the first time: D = d I, where d^2 is the curvature of J'J along the gradient
            unit = gradient / x.dtype.type(size or 1.0)
            scale = np.full_like(x, math.sqrt(max(float(unit @ product(unit)), 0.0)) or 1.0)
        weight = float(scale[0]) ** 2
        return Linear(gradient, scale, lambda mu: solve(mu * weight), lambda p: float(p @ product(p)), math.inf)

    return model


class _NotFiniteError(ArithmeticError):
    """The Jacobian is not finite at a point whose residuals are."""


@contextmanager
def _finite(name: str) -> Iterator[None]:
    try:
        yield
    except _NotFiniteError:
        raise cg.InputError(f"{name}: the Jacobian is not finite at x0; start where it is{cg.here()}") from None


def relaxed(mu: float, ratio: float) -> float:
    """The damping after a step that gained `ratio` of what the model said: a third of it at best, twice as much at worst (Nielsen).

    >>> relaxed(3.0, 1.0), relaxed(3.0, 0.5), relaxed(3.0, 0.25), round(relaxed(3.0, 0.0), 9)
    (1.0, 3.0, 3.375, 6.0)
    """
    return max(mu * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 1e-30)


def lm_steps(
    squares: Squares, model: Callable[[Array, Array, Array], Linear], x: Array, r: Array, linear: Linear, limits: Limits, damping: float
) -> Steps:
    """The iterations. The tests of convergence are MINPACK's, on the model and on the scaled step.

    After failures they look at the first trial of the iteration: the damping makes later ones small in any case.
    """
    value, mu, growth = float(r @ r) / 2, damping, 2.0
    precision = float(np.finfo(x.dtype).eps)
    hoped = stride = math.nan
    while True:
        if linear.cosine <= limits.gtol:
            return Stop(True, f"the residuals are orthogonal to the Jacobian within gtol={limits.gtol:g}")
        p = linear.solve(mu)
        # The model's decrease, -g'p - |J p|^2 / 2, is a sum of two positive terms once the step's equation is put in.
        damped = mu * float(np.sum((linear.scale * p) ** 2))
        promised = linear.curvature(p) / 2 + damped
        length, reach = norm(linear.scale * p), norm(linear.scale * x)
        trial = x + p
        found, lower = squares(trial)
        gained = float((r - found) @ (r + found)) / 2 if math.isfinite(lower) else -math.inf  # without cancellation
        ratio = gained / promised if promised > 0 else -math.inf
        following = None
        if ratio > 1e-4:
            try:
                following = model(trial, found, linear.scale)
            except _NotFiniteError:
                ratio = -math.inf
        if following is not None:
            hoped = stride = math.nan
            mu, growth = relaxed(mu, ratio), 2.0
            x, r, linear, previous, value = trial, found, following, value, lower
            point = Point(x, value, linear.gradient)
            squares.best = point
            yield point
            if max(gained, promised) <= limits.ftol * previous and ratio <= 2:
                return Stop(True, f"the sum of squares changed by less than ftol={limits.ftol:g} of itself")
            if length <= limits.xtol * reach:
                return Stop(True, f"x changed by less than xtol={limits.xtol:g} of itself")
            continue
        mu, growth = mu * growth, 2 * growth
        if math.isnan(hoped):
            hoped, stride = promised, length
        if hoped <= limits.ftol * value:
            return Stop(True, f"the sum of squares can change by less than ftol={limits.ftol:g} of itself")
        if stride <= limits.xtol * reach:
            return Stop(True, f"x can change by less than xtol={limits.xtol:g} of itself")
        if length <= precision * reach or not math.isfinite(mu):
            rounding = precision * reach  # of a residual, as the sum of terms of the size of J x
            if hoped <= 100 * rounding * (norm(r) + rounding):
                return Stop(True, f"the sum of squares cannot decrease further in {x.dtype}")
            return Stop(False, "no step lowers the sum of squares; is the Jacobian that of the residuals?")
        if squares.evaluations >= limits.maxfun:
            return Stop(False, f"{squares.evaluations} evaluations (maxfun) were not enough")


def least_squares_lm(
    residuals: Residuals,
    x0: Array,
    *,
    jacobian: Callable[[Array], Array] | None = None,
    vjp: Product | None = None,
    gnvp: Product | None = None,
    damping: float = 1e-3,
    gtol: float = 1e-12,
    ftol: float = 1e-12,
    xtol: float = 1e-12,
    maxiter: int = 1000,
    maxfun: int = 10000,
    maxcg: int | None = None,
    callback: Callback | None = None,
) -> Result:
    """Minimise half the sum of squares of the residuals of a vector.

    >>> import numpy as np, compgraph as cg
    >>> def residuals(x):
    ...     return np.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])
    >>> result = least_squares_lm(residuals, np.array([-1.2, 1.0]), jacobian=cg.jacobian(residuals))
    >>> result.converged, result.x.round(9)
    (True, array([1., 1.]))

    Either `jacobian(x)`, the matrix, or `vjp(x, u)` = J'u and `gnvp(x, v)` = J'J v. `damping` is the first mu, relative to the
    scaled J'J. `gtol` bounds the cosines between the residuals and the columns of J, which has no units, and without a Jacobian the
    gradient relative to that at the start; `ftol` the relative
    change of the sum of squares, both real and predicted; `xtol` that of the scaled x. They are MINPACK's, and taken to be at least
    the dtype's precision. Fewer residuals than
    parameters are allowed: the damping picks one of the many solutions, and `message` says so.
    """
    name = "least_squares_lm"
    if (jacobian is None) == (vjp is None or gnvp is None):
        raise cg.InputError(f"{name} takes either jacobian, or both vjp and gnvp{cg.here()}")
    if not damping > 0:
        raise cg.InputError(f"{name}: damping has to be positive, it is {damping}{cg.here()}")
    squares = Squares(residuals, name)
    x, r, value = squares.start(x0)
    least = float(np.finfo(x.dtype).eps)  # below it a relative change cannot be told from none
    limits = Limits(max(gtol, least), max(ftol, least), max(xtol, least), maxiter, maxfun)
    if jacobian is not None:
        model = dense(jacobian)
    else:
        assert vjp is not None and gnvp is not None
        model = matrix_free(squares, vjp, gnvp, maxcg)
    with _finite(name):
        linear = model(x, r, np.zeros_like(x))
    start = squares.best = Point(x, value, linear.gradient)
    # The driver stops at an exactly vanishing gradient or value only: the tests of the tolerances are the method's own.
    driver = Limits(0.0 if jacobian is not None else gtol * largest(linear.gradient), -1.0, -1.0, maxiter, maxfun)
    result = descend(lm_steps(squares, model, x, r, linear, limits, damping), squares, start, driver, callback)
    if r.size < x.size:
        return result._replace(message=f"{result.message}; {r.size} residuals for {x.size} parameters: one of many solutions")
    return result

"""`minimize` and `least_squares`: the user's NumPy function of arrays in, the minimising arrays out.

The methods work on one flat vector (`lbfgs.py`, `conjugate_gradients.py`, `newton.py`, `levenberg_marquardt.py`); here the engine
derives what they need: the gradient by one reverse sweep, Hessian products forward over reverse, the Jacobian by one vector
sweep, Gauss-Newton products by `cg.gnvp`; and compiles it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import compgraph as cg
from optim.conjugate_gradients import minimize_cg
from optim.lbfgs import minimize_lbfgs
from optim.levenberg_marquardt import least_squares_lm
from optim.newton import minimize_newton_cg
from optim.results import Callback, Result

METHODS = ("lbfgs", "cg", "newton-cg")
LARGEST_JACOBIAN = 10_000_000  # entries; from here on `least_squares` forms none


def minimize(
    f: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    method: str = "lbfgs",
    *,
    target: str | None = "numpy",
    callback: Callback | None = None,
    **options: Any,
) -> Result:
    """Minimise `f(x, *args)`, a number, over x, an array or a nested container of arrays like `x0`.

    >>> import numpy as np, optim
    >>> def rosenbrock(x):
    ...     return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    >>> result = optim.minimize(rosenbrock, np.zeros(5), method="newton-cg")
    >>> result.converged, result.x.round(6)
    (True, array([1., 1., 1., 1., 1.]))
    >>> fit = optim.minimize(lambda p: np.sum((p["w"] - 2.0) ** 2) + (p["b"] + 1.0) ** 2, {"w": np.zeros(2), "b": 0.0})
    >>> fit.x["w"].round(6), round(float(fit.x["b"]), 6)
    (array([2., 2.]), -1.0)

    - "lbfgs" (default): gradients only; the options `maxcor` (pairs kept, 10) and `maxls`.
    - "cg": nonlinear conjugate gradients, for the least memory; `formula` ("polak-ribiere", "fletcher-reeves",
      "hestenes-stiefel", "hager-zhang") and `maxls`.
    - "newton-cg": a trust region on Hessian products; the Hessian is never formed. `radius` and `maxcg`.

    All take `gtol` (largest entry of the gradient, 1e-8), `ftol` and `xtol` (relative changes of the value and of x,
    both 0: not looked at), `maxiter` (1000) and `maxfun` (10000). `callback` gets the `Result` so far after each iteration and may raise
    `StopIteration`; a `KeyboardInterrupt` ends the search with the lowest point so far.

    `target` is that of `cg.compile`; a function that branches on values cannot be compiled and is recorded anew at each point,
    as it is with `target=None`. Raises `InputError` where x0 or the function there is not finite and
    `ShapeError` where f returns more than one number.
    """
    if method not in METHODS:
        raise cg.InputError(f"minimize: there is no method {method!r:.40}; there are {', '.join(METHODS)}{cg.here()}")
    vector, unravel = _flat(x0, "minimize")

    def function(x: Any) -> Any:
        value = f(unravel(x), *args)
        if np.shape(value):
            raise cg.ShapeError(
                f"minimize: the function has to return one number, it returned an array of shape {np.shape(value)}. Reduce it, as with "
                f"np.sum; to minimise a sum of squares give the array itself to optim.least_squares{cg.here()}"
            )
        return value

    def hvp(x: Any, v: Any) -> Any:
        return cg.hvp(function, (x,), (v,))

    objective = _fast(cg.value_and_grad(function), target)
    options["callback"] = _structured(callback, unravel)
    if method == "lbfgs":
        result = minimize_lbfgs(objective, vector, **options)
    elif method == "cg":
        result = minimize_cg(objective, vector, **options)
    else:
        result = minimize_newton_cg(objective, _fast(hvp, target), vector, **options)
    return result._replace(x=unravel(result.x))


def least_squares(
    residuals: Callable[..., Any],
    x0: Any,
    args: Sequence[Any] = (),
    *,
    dense: bool | None = None,
    target: str | None = "numpy",
    callback: Callback | None = None,
    **options: Any,
) -> Result:
    """Minimise half the sum of squares of `residuals(x, *args)`, arrays, by Levenberg-Marquardt.

    >>> import numpy as np, optim
    >>> t, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 1.22, 0.74, 0.45])
    >>> fit = optim.least_squares(lambda p: p["height"] * np.exp(-p["rate"] * t) - y, {"height": 1.0, "rate": 0.0})
    >>> fit.converged, round(float(fit.x["rate"]), 2)
    (True, 0.5)

    `dense` says whether the Jacobian is formed (default: up to ten million entries); without it the steps take Gauss-Newton
    products. The options are those of `optim.least_squares_lm`: `damping`, `gtol`, `ftol`, `xtol` (1e-12 each), `maxiter`, `maxfun`,
    `maxcg`; `target` and `callback` are those of `minimize`. Fewer residuals than parameters are allowed, and said in the
    message. Raises `InputError` where the residuals at `x0` are not finite.
    """
    vector, unravel = _flat(x0, "least_squares")

    def flat(x: Any) -> Any:
        return cg.ravel(residuals(unravel(x), *args))[0]

    def vjp(x: Any, u: Any) -> Any:
        return cg.vjp(flat, x)[1](u)[0]

    def gnvp(x: Any, v: Any) -> Any:
        return cg.gnvp(flat, (x,), (v,))

    values = _fast(flat, target)
    if dense is None:
        with np.errstate(all="ignore"):
            dense = np.size(values(vector)) * vector.size <= LARGEST_JACOBIAN
    options["callback"] = _structured(callback, unravel)
    if dense:
        result = least_squares_lm(values, vector, jacobian=_fast(cg.jacobian(flat), target), **options)
    else:
        result = least_squares_lm(values, vector, vjp=_fast(vjp, target), gnvp=_fast(gnvp, target), **options)
    return result._replace(x=unravel(result.x))


def _flat(x0: Any, name: str) -> tuple[Any, Callable[[Any], Any]]:
    """The start as a vector, checked entry by entry, and the way back."""
    for path, leaf in _leaves(x0, "x0"):
        values = np.asarray(leaf)
        if values.dtype.kind not in "fiu":
            raise cg.DtypeError(f"{name}: {path} has to hold real numbers, its dtype is {values.dtype}{cg.here()}")
        if not np.all(np.isfinite(values)):
            bad = values[~np.isfinite(values)]
            raise cg.InputError(f"{name}: {path} has {bad.size} of {values.size} entries not finite, the first is {bad[0]}{cg.here()}")
    return cg.ravel(x0)


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, part in tree.items():
            yield from _leaves(part, f"{path}.{key}")
    elif isinstance(tree, (list, tuple)):
        for place, part in enumerate(tree):
            yield from _leaves(part, f"{path}[{place}]")
    else:
        yield path, tree


def _structured(callback: Callback | None, unravel: Callable[[Any], Any]) -> Callback | None:
    if callback is None:
        return None
    return lambda result: callback(result._replace(x=unravel(result.x)))


def _fast(function: Callable[..., Any], target: str | None) -> Callable[..., Any]:
    """`function` compiled, or as it is where it branches on values."""
    if target is None:
        return function
    chosen = cg.compile(function, target=target)

    def call(*args: Any) -> Any:
        nonlocal chosen
        try:
            return chosen(*args)
        except cg.AbstractValueError:
            chosen = function
            return function(*args)

    return call

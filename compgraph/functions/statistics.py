"""NumPy's statistics: quantiles, weighted means, covariance and correlation.

A quantile is a place between neighbours in the sorted line. The derivative of the entry that stands there is 1, of two
neighbours that are mixed their shares, and 0 of all others; entries that tie are taken in their order in the array.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from compgraph.errors import MissingRuleError, NodeIndexError
from compgraph.functions.parameters import static_axes
from compgraph.functions.reductions import count, refuse_out
from compgraph.functions.registry import implements
from compgraph.functions.scans import as_array
from compgraph.graph import Node, bind
from compgraph.origins import here, stack_level
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import normalized_axes, restore_axes
from compgraph.primitives.reduction import as_last

# ----------------------------------------------------------------------------------------- quantiles


def _sorted_lines(a: Any, axis: Any) -> Any:
    """`a` with the axes that are reduced as a single last one, and sorted along it; NaN stand at the end."""
    lines = as_last(a, axis)
    return bind("sort", lines, axis=len(lines.shape) - 1)


def _mixed(lines: Any, place: float) -> Any:
    """What stands at a place in the sorted lines: an entry, or two neighbours in proportion."""
    below = int(np.floor(place))
    share = place - below
    return lines[..., below] * (1 - share) + lines[..., below + 1] * share if share else lines[..., below]


def _level(q: Any, name: str) -> Any:
    if isinstance(q, Node):
        raise MissingRuleError(f"{name}: q is a parameter, by which there is no derivative. Give q.value{here()}")
    return q if isinstance(q, (int, float)) else np.asarray(q)


_DISCRETE = frozenset({"inverted_cdf", "closest_observation", "lower", "higher", "nearest"})  # they mix nothing


def _in_result_dtype(a: Any, q: Any, method: str) -> Any:
    """`a` in the dtype that NumPy gives its quantiles, for which a Python number is weak."""
    return a if method in _DISCRETE else cast(a, np.result_type(a.dtype, 0.5 if type(q) in (int, float) else q.dtype))


@implements(np.quantile)
def quantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False
) -> Any:
    """All of NumPy's methods. `q` is a parameter: numbers, not nodes."""
    refuse_out("quantile", out)
    q, axis = _level(q, "np.quantile"), static_axes(axis)
    a, length = _in_result_dtype(a, q, method), count(a, axis, False)
    if not length:
        raise NodeIndexError(f"np.quantile of no numbers: shape {a.shape}, axis {axis}{here()}")
    # Every method mixes neighbours, so the quantile of 0, 1, 2, ... is the place that it takes.
    places = np.quantile(np.arange(length, dtype=np.float64), q, method=method)  # type: ignore[call-overload]
    lines = _sorted_lines(a, axis)
    last = lines[..., -1]
    found = [np.where(np.equal(last, last), _mixed(lines, float(place)), last) for place in np.ravel(places)]
    return _levels(found, np.shape(q), a, axis, keepdims)


def _levels(found: list[Any], shape: tuple[int, ...], a: Any, axis: Any, keepdims: bool) -> Any:
    """One result a level, put together with the axes of `q` first."""
    full = [restore_axes(one, a, axis, False) if keepdims else one for one in found]
    if not shape:
        return full[0]
    joined = np.stack(full) if full else np.zeros((0, *np.shape(found)))
    return np.reshape(joined, (*shape, *joined.shape[1:]))


@implements(np.percentile)
def percentile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False
) -> Any:
    return quantile(a, _level(q, "np.percentile") / 100, axis, out, overwrite_input, method, keepdims)


@implements(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    refuse_out("median", out)
    if not count(a, static_axes(axis), False):
        return np.mean(a, axis=axis, keepdims=keepdims)  # NaN, with NumPy's warning
    return quantile(a, 0.5, axis, None, overwrite_input, "linear", keepdims)


# The place of level q among n numbers is n q + alpha + q (1 - alpha - beta) - 1 (Hyndman and Fan, 1996).
_CONTINUOUS = {
    "linear": (1.0, 1.0), "hazen": (0.5, 0.5), "weibull": (0.0, 0.0), "median_unbiased": (1 / 3, 1 / 3), "normal_unbiased": (3 / 8, 3 / 8),
    "interpolated_inverted_cdf": (0.0, 1.0),
}  # fmt: skip


@implements(np.nanquantile)
def nanquantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False
) -> Any:
    """Quantiles of the entries that are no NaN, by NumPy's continuous methods; NaN where there are none."""
    refuse_out("nanquantile", out)
    q, axis = _level(q, "np.nanquantile"), static_axes(axis)
    if method not in _CONTINUOUS:
        raise MissingRuleError(f"np.nanquantile with method={method!r} has no rule here: it is one of {', '.join(_CONTINUOUS)}{here()}")
    if not np.all((np.asarray(q) >= 0) & (np.asarray(q) <= 1)):
        raise ValueError("Quantiles must be in the range [0, 1]")
    a = _in_result_dtype(a, q, method)
    alpha, beta = _CONTINUOUS[method]
    lines = _sorted_lines(a, axis)
    length = count(lines, -1, True, np.equal(lines, lines))
    places = np.arange(lines.shape[-1], dtype=a.dtype)

    def at(level: float) -> Any:
        # How many numbers a line has is seen when it runs: each entry has the weight that a hat around the place gives it.
        place = np.minimum(np.maximum(length * level + (alpha + level * (1 - alpha - beta) - 1), 0), length - 1)
        weights = np.maximum(1 - np.abs(places - place), 0)
        return np.sum(np.where(weights > 0, lines, 0) * weights, axis=-1)

    filled = count(lines, -1, False, np.equal(lines, lines)) > 0
    return _levels([np.where(filled, at(float(level)), np.nan) for level in np.ravel(q)], np.shape(q), a, axis, keepdims)


@implements(np.nanpercentile)
def nanpercentile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False
) -> Any:
    return nanquantile(a, _level(q, "np.nanpercentile") / 100, axis, out, overwrite_input, method, keepdims)


@implements(np.nanmedian)
def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:
    return nanquantile(a, 0.5, axis, out, overwrite_input, "linear", keepdims)


# ------------------------------------------------------------------------------------ weighted means


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """The mean, or the mean with weights, in which it is differentiable too; `returned` adds the sum of the weights."""
    a, axis = as_array(a), static_axes(axis)
    if weights is None:
        mean = np.mean(a, axis=axis, keepdims=keepdims)
        return (mean, np.full(mean.shape, count(a, axis, False), mean.dtype)) if returned else mean
    weights = _laid_along(as_array(weights), a, axis)
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    known = total.value if isinstance(total, Node) else total
    if known is not None and np.any(known == 0):
        raise ZeroDivisionError(f"np.average: weights sum to zero, can't be normalized{here()}")
    mean = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (mean, np.broadcast_to(total, mean.shape)) if returned else mean


def _laid_along(weights: Any, a: Any, axis: Any) -> Any:
    """Weights of `a`'s shape: those given for the axes that are reduced are repeated along the others."""
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    given = [place % a.ndim for place in ((axis,) if isinstance(axis, int) else axis)]
    axes = normalized_axes(axis, a.ndim)
    if weights.shape != tuple(a.shape[place] for place in given):
        raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
    ordered = np.transpose(weights, tuple(given.index(place) for place in axes))
    laid = np.reshape(ordered, tuple(length if place in axes else 1 for place, length in enumerate(a.shape)))
    return np.broadcast_to(laid, a.shape)


# -------------------------------------------------------------------------- covariance and correlation


@implements(np.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None, aweights: Any = None, *,
    dtype: Any = None,
) -> Any:  # fmt: skip
    """The covariance of variables, one a row; differentiable in `m`, `y` and `aweights`. The mean is subtracted first."""
    variables = [_rows(as_array(one), rowvar, first) for one, first in ((m, True), (y, False)) if one is not None]
    x = np.concatenate(variables) if len(variables) > 1 else variables[0]
    x = cast(x, dtype or np.result_type(x.dtype, np.float64))
    ddof = (0 if bias else 1) if ddof is None else ddof
    if ddof != int(ddof):
        raise ValueError("ddof must be integer")
    weights = _observation_weights(fweights, aweights, x.shape[1])
    if weights is None:
        centred, divisor = x - np.mean(x, axis=1, keepdims=True), x.shape[1] - ddof
        scaled = centred
    else:
        total = np.sum(weights)
        centred = x - np.sum(x * weights, axis=1, keepdims=True) / total
        scaled = centred * weights
        divisor = total - (0 if ddof == 0 else ddof if aweights is None else ddof * np.sum(weights * aweights) / total)
    if not isinstance(divisor, Node) and divisor <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=stack_level())
        divisor = 0.0
    scaled = np.conjugate(scaled) if scaled.dtype.kind == "c" else scaled
    return np.squeeze(np.matmul(centred, np.transpose(scaled)) / divisor)


def _rows(x: Any, rowvar: bool, first: bool) -> Any:
    """Variables as rows; a sequence is one variable."""
    if x.ndim > 2:
        raise ValueError("m has more than 2 dimensions" if first else "y has more than 2 dimensions")
    if x.ndim < 2:
        return np.reshape(x, (1, -1))
    return x if rowvar or (not first and x.shape[0] == 1) else np.transpose(x)


def _observation_weights(fweights: Any, aweights: Any, count: int) -> Any:
    weights = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None:
            given = as_array(given)
            if given.ndim > 1:
                raise RuntimeError(f"cannot handle multidimensional {name}")
            if given.shape[0] != count:
                raise RuntimeError(f"incompatible numbers of samples and {name}")
            weights = given if weights is None else weights * given
    return weights


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Pearson's correlations; NaN, as in NumPy, for a variable that does not vary."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.shape:
        return c / c
    every = np.arange(c.shape[0])
    deviation = np.sqrt(c[every, every])
    scaled = c / np.reshape(deviation, (-1, 1)) / np.reshape(deviation, (1, -1))
    return np.minimum(np.maximum(scaled, -1), 1)  # a rounding error must not leave [-1, 1]

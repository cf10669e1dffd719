"""Sample arguments for the special functions, with mpmath for their values: see `domains.py`."""

from __future__ import annotations

import mpmath
import numpy as np
from domains import Domain, arrays, binary, spread, unary
from domains_ufuncs import weak


def by_mpmath(function, keeps=True):
    """An mpmath function entry by entry, in the dtype of the arguments, or in float64 where SciPy's is so too."""

    def reference(*xs):
        y = np.vectorize(lambda *numbers: float(mpmath.re(function(*map(mpmath.mpf, map(float, numbers))))), otypes=[np.float64])(*xs)
        return y.astype(np.result_type(*xs) if keeps else np.float64)[()]

    return reference


def of_order(reference, orders, low, high):
    """A family of functions by order, which is a constant."""
    shapes = [(shape, order) for order in orders for shape in ((), (1,), (2, 3), (0,))]
    return Domain(reference, tuple(((order, spread(shape, low, high)), {}) for shape, order in shapes))


def _logsumexp(x, axis, keepdims):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


DOMAINS: dict[str, Domain] = {
    "logsumexp": Domain(_logsumexp, (
        *arrays((), {"axis": None, "keepdims": False}),
        *arrays((3,), {"axis": None, "keepdims": False}, {"axis": 0, "keepdims": True}),
        *arrays((2, 3), {"axis": 0, "keepdims": False}, {"axis": -1, "keepdims": True}, {"axis": (0, 1), "keepdims": False}),
        *arrays((2, 1, 3), {"axis": (0, -1), "keepdims": False}), *arrays((1,), {"axis": 0, "keepdims": False}),
        *arrays((2, 0), {"axis": 0, "keepdims": False}),
    )),
    "xlogy": binary(weak(lambda a, b: a * np.log(b)), (-2, 2.3), (0.3, 3), (2.5, spread((3,), 0.3, 3)), (spread((3,), -2, 2), 1.5)),
    "xlog1py": binary(weak(lambda a, b: a * np.log1p(b)), (-2, 2.3), (-0.6, 3), (2.5, spread((3,), 0.3, 3))),
    "rel_entr": binary(weak(lambda a, b: a * np.log(a / b)), (0.2, 2), (0.3, 3), (0.5, spread((3,), 0.3, 3))),
    "logit": unary(lambda x: np.log(x / (1 - x)), 0.1, 0.93),
    "spherical_j": of_order(by_mpmath(lambda n, x: mpmath.sqrt(mpmath.pi / (2 * x)) * mpmath.besselj(n + 0.5, x)), (0, 1, 4), 0.4, 8),
    # SciPy's
    "erf": unary(by_mpmath(mpmath.erf), -2, 2),
    "erfc": unary(by_mpmath(mpmath.erfc), -2, 2),
    "erfcx": unary(by_mpmath(lambda x: mpmath.exp(x * x) * mpmath.erfc(x)), -1, 3),
    "erfinv": unary(by_mpmath(mpmath.erfinv), -0.8, 0.8),
    "ndtr": unary(by_mpmath(mpmath.ncdf), -3, 3),
    "log_ndtr": unary(by_mpmath(lambda x: mpmath.log(mpmath.ncdf(x))), -3, 2),
    "ndtri": unary(by_mpmath(lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1)), 0.1, 0.95),
    "gamma": unary(by_mpmath(mpmath.gamma), 0.4, 4),
    "gammaln": unary(by_mpmath(mpmath.loggamma), 0.4, 4),
    "psi": unary(by_mpmath(mpmath.digamma), 0.4, 4),
    "polygamma": of_order(by_mpmath(mpmath.polygamma, keeps=False), (1, 2), 0.6, 4),
    "beta": binary(by_mpmath(mpmath.beta), (0.5, 3), (0.5, 3)),
    "betaln": binary(by_mpmath(lambda a, b: mpmath.log(mpmath.beta(a, b))), (0.5, 3), (0.5, 3)),
    "j0": unary(by_mpmath(lambda x: mpmath.besselj(0, x)), -4, 5),
    "j1": unary(by_mpmath(lambda x: mpmath.besselj(1, x)), -4, 5),
    "jv": of_order(by_mpmath(mpmath.besselj), (0, 2, -1), 0.4, 5),
    "i0": unary(by_mpmath(lambda x: mpmath.besseli(0, x)), -3, 4),
    "i1": unary(by_mpmath(lambda x: mpmath.besseli(1, x)), -3, 4),
    "iv": of_order(by_mpmath(mpmath.besseli), (0, 2), 0.4, 4),
    "i0e": unary(by_mpmath(lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(0, x)), -3, 4),
    "i1e": unary(by_mpmath(lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(1, x)), -3, 4),
    "ive": of_order(by_mpmath(lambda n, x: mpmath.exp(-abs(x)) * mpmath.besseli(n, x)), (0, 2), 0.4, 4),
}  # fmt: skip

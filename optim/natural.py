"""Natural gradient: steepest descent in the metric of the Fisher information.

    x+ = x - lr (F + damping I)^-1 g

Amari, Natural gradient works efficiently in learning, Neural Computation 10 (1998). F is a product, never a matrix: for the
usual losses (squares, cross-entropy of a softmax) the Fisher information is the Gauss-Newton matrix J' H J of the model's
outputs, with H the Hessian of the loss by the outputs (Martens, New insights and perspectives on the natural gradient
method, JMLR 21, 2020, section 9); the empirical one is the mean of g_i g_i' over examples. The system is solved by
conjugate gradients, so a step costs some twenty products: for small models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import compgraph as cg
from optim.newton import Product, steihaug
from optim.results import Array, Callback, Limits, Objective, Point, Result, Steps, descend, norm, stuck


def natural_direction(product: Callable[[Array], Array], gradient: Array, damping: float, most: int) -> Array:
    """-(F + damping I)^-1 g by at most `most` products, to a relative residual of 1e-10.

    >>> import numpy as np
    >>> natural_direction(lambda v: np.array([4.0, 1.0]) * v, np.array([8.0, 1.0]), 0.0, 10).round(9)
    array([-2., -1.])
    """
    return steihaug(lambda v: product(v) + v.dtype.type(damping) * v, gradient, math.inf, 1e-10 * norm(gradient), most)[0]


def empirical_fisher(gradients: Array) -> Callable[[Array], Array]:
    """The product with the mean of g_i g_i', from the examples' gradients of their log-likelihoods, one a row.

    >>> import numpy as np
    >>> empirical_fisher(np.array([[1.0, 0.0], [1.0, 2.0]]))(np.array([1.0, 1.0]))
    array([2., 3.])
    """
    return lambda v: gradients.T @ (gradients @ v) / gradients.dtype.type(len(gradients))


def adapted(damping: float, ratio: float) -> float:
    """The damping after a step that gained `ratio` of what the model said (Levenberg's rule, with Martens's 3/2 and 2/3).

    >>> adapted(6.0, 0.1), adapted(6.0, 0.5), adapted(6.0, 0.9)
    (9.0, 6.0, 4.0)
    """
    return damping * (2 / 3 if ratio > 0.75 else 1.5 if ratio < 0.25 else 1.0)


def natural_steps(objective: Objective, fisher: Product, point: Point, *, lr: float, damping: float, maxcg: int | None) -> Steps:
    """The iterations. The damping follows the ratio of the decrease to the model's, by Levenberg's rule with 3/2 and 2/3.

    That is section 4.1 of Martens, Deep learning via Hessian-free optimization (ICML 2010), with the step refused where the
    value rises.
    """
    most = maxcg or max(50, 2 * point.x.size)
    while True:
        x, gradient = point.x, point.gradient

        def product(v: Array, x: Array = x) -> Array:
            objective.products += 1
            with np.errstate(all="ignore"):
                return np.asarray(fisher(x, v))

        hoped = 0.0
        while True:
            p = x.dtype.type(lr) * natural_direction(product, gradient, damping, most)
            slope = float(gradient @ p)
            hoped = max(hoped, -slope)
            promised = -slope - float(p @ product(p)) / 2
            trial = objective(x + p)
            if trial.value < point.value:
                break
            if norm(p) <= np.finfo(x.dtype).eps * norm(x) or not slope < 0:
                return stuck(point, hoped, "no step lowers the value; is the product that of the Fisher information?")
            damping = max(4 * damping, 1e-8)
        ratio = (point.value - trial.value) / promised if promised > 0 else 1.0
        damping = adapted(damping, ratio)
        point = trial
        yield point


def natural_gradient(
    value_and_grad: Callable[[Array], tuple[Any, Array]],
    fisher: Product,
    x0: Array,
    *,
    lr: float = 1.0,
    damping: float = 1e-3,
    maxcg: int | None = None,
    callback: Callback | None = None,
    **limits: Any,
) -> Result:
    """Minimise a negative log-likelihood of a vector of parameters by natural gradient steps.

    >>> import numpy as np, compgraph as cg
    >>> x, labels = np.linspace(-2.0, 2.0, 9), np.array([0, 0, 1, 0, 1, 0, 1, 1, 1])
    >>> def loss(logits):
    ...     return np.sum(np.logaddexp(0.0, logits) - labels * logits)
    >>> def logits(w):
    ...     return w[0] + w[1] * x
    >>> fisher = lambda w, v: cg.gnvp(logits, (w,), (v,), loss)
    >>> result = natural_gradient(cg.value_and_grad(lambda w: loss(logits(w))), fisher, np.zeros(2))
    >>> result.converged, result.iterations < 12
    (True, True)

    `fisher(x, v)` is the Fisher information at x times v: `cg.gnvp` of the outputs and the loss, or `empirical_fisher`. The other options
    are those of `optim.results.Limits`.
    """
    if not lr > 0 or not damping >= 0:
        raise cg.InputError(f"natural_gradient: lr has to be positive and damping not negative, they are {lr} and {damping}{cg.here()}")
    objective = Objective(value_and_grad)
    start = objective.start(x0, "natural_gradient")
    steps = natural_steps(objective, fisher, start, lr=lr, damping=damping, maxcg=maxcg)
    return descend(steps, objective, start, Limits(**limits), callback)

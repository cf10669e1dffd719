"""Losses between numbers: squares, absolute values, probabilities, margins. Those of integer labels are in `label_losses.py`.

Each takes what a model returned and what it should have returned, of one shape, and by default returns the mean over all
entries. They are plain arithmetic on arrays or nodes: eager, traced and compiled, in both modes and at every order. A target
takes the dtype of the input, so float64 targets beside a float32 model stay float32; weights do so too.

PyTorch broadcasts shapes that differ, with a warning or without; here they are refused. (N, 1) against (N,) would be N x N
differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.loss_inputs import as_input, as_target, loss, reduced, refuse_values, weights_of


def _compared(name: str, input: Any, target: Any) -> Any:
    input = as_input(name, input)
    return input - as_target(name, target, input)


@loss
def mse(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """(input - target)^2.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.mse(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(2.0)

    `reduction` is "mean" over all entries, "sum" or "none". Raises `ShapeError` where the shapes differ.
    """
    return reduced("mse", np.square(_compared("mse", input, target)), reduction)


@loss
def l1(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """|input - target|, with derivative 0 where they are equal.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.l1(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(1.0)
    """
    return reduced("l1", np.abs(_compared("l1", input, target)), reduction)


@loss
def huber(input: Any, target: Any, *, reduction: str = "mean", delta: float = 1.0) -> Any:
    """d^2 / 2 where |d| <= delta, and delta (|d| - delta / 2) beyond, d = input - target (Huber, 1964).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.huber(np.array([0.5, 3.0]), np.zeros(2), reduction="none")
    array([0.125, 2.5  ])

    Raises `InputError` unless delta > 0.
    """
    if not delta > 0:
        raise cg.InputError(f"huber: delta is above 0, not {delta!r:.60}{cg.here()}")
    return reduced("huber", _huber(_compared("huber", input, target), delta), reduction)


def _huber(d: Any, delta: float) -> Any:
    # Both pieces in one: inside, r is d. The derivative is r everywhere, and the second derivative at 0 is 1.
    r = np.minimum(np.maximum(d, -delta), delta)
    return r * (d - 0.5 * r)


@loss
def smooth_l1(input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """Huber's loss divided by its width `beta`, which tends to |input - target| as beta falls to 0 (Girshick, 2015).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.smooth_l1(np.array([0.5, 3.0]), np.zeros(2), reduction="none", beta=2.0)
    array([0.0625, 2.    ])
    """
    if not beta >= 0:
        raise cg.InputError(f"smooth_l1: beta is at least 0, not {beta!r:.60}{cg.here()}")
    d = _compared("smooth_l1", input, target)
    return reduced("smooth_l1", np.abs(d) if beta == 0 else _huber(d, beta) / beta, reduction)


# ------------------------------------------------------------------------------------------ probabilities


def _weighted(name: str, losses: Any, weight: Any) -> Any:
    weight = weights_of(name, "weight", weight, losses)
    if weight is None:
        return losses
    try:
        fits = np.broadcast_shapes(weight.shape, losses.shape) == losses.shape
    except ValueError:
        fits = False
    if not fits:
        raise cg.ShapeError(f"{name}: weight has shape {weight.shape}, which does not broadcast to {losses.shape}{cg.here()}")
    return weight * losses


def _no_probability(values: Any) -> Any:
    return ~((values >= 0) & (values <= 1))


def _check_target(name: str, target: Any) -> None:
    refuse_values(name, "target", target, _no_probability, "a target is a probability, or 0 or 1")


LEAST_LOGARITHM = -100.0  # as in PyTorch: a loss of infinity would leave nothing to learn from


def _log(p: Any) -> Any:
    """ln p, at least -100; p = 0 never reaches the logarithm, so nothing warns."""
    positive = np.greater(p, 0)
    return np.where(positive, np.maximum(np.log(np.where(positive, p, 1)), LEAST_LOGARITHM), LEAST_LOGARITHM)


def _log_of_rest(p: Any) -> Any:
    """ln(1 - p), at least -100; for p < 1 it is above -37 in float64."""
    below = np.less(p, 1)
    return np.where(below, np.log1p(-np.where(below, p, 0)), LEAST_LOGARITHM)


@loss
def bce(input: Any, target: Any, *, weight: Any = None, reduction: str = "mean") -> Any:
    """Binary cross-entropy -t ln p - (1 - t) ln(1 - p) of probabilities p.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.bce(np.array([0.5, 0.5]), np.array([0.0, 1.0]))
    np.float64(0.6931471805599453)

    `weight` broadcasts to the losses. A logarithm is at least -100, as in PyTorch, and has derivative 0 where that bound holds;
    PyTorch's derivative is (p - t) / max(p (1 - p), 1e-12) instead. Prefer `bce_with_logits`, which needs no bound. Raises
    `InputError` for a p or t outside [0, 1], naming the first.
    """
    p = as_input("bce", input)
    refuse_values("bce", "input", p, _no_probability, "no probability; bce_with_logits takes what comes before the sigmoid")
    t = as_target("bce", target, p)
    _check_target("bce", t)
    return reduced("bce", _weighted("bce", -(t * _log(p) + (1 - t) * _log_of_rest(p)), weight), reduction)


@loss
def bce_with_logits(input: Any, target: Any, *, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> Any:
    """Binary cross-entropy of p = sigmoid(input), without overflow: (1 - t) x + (1 + (pos_weight - 1) t) ln(1 + e^-x).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.bce_with_logits(np.array([0.0, 1000.0]), np.array([1.0, 1.0]), reduction="none")
    array([0.69314718, 0.        ])

    `pos_weight` multiplies the loss of positive examples and broadcasts, one for each class for instance. Raises `InputError` for
    a target outside [0, 1], as labels -1 and 1 are, which PyTorch takes.
    """
    x = as_input("bce_with_logits", input)
    t = as_target("bce_with_logits", target, x)
    _check_target("bce_with_logits", t)
    tail = cg.softplus(-x)
    if pos_weight is not None:
        tail = _weighted("bce_with_logits", tail, 1 + (weights_of("bce_with_logits", "pos_weight", pos_weight, x) - 1) * t)
    return reduced("bce_with_logits", _weighted("bce_with_logits", (1 - t) * x + tail, weight), reduction)


@loss
def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """Kullback and Leibler's divergence t (ln t - input) of the distribution t from the one whose logarithm is `input`.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.kl_div(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]]), reduction="batchmean")
    np.float64(0.6931471805599453)

    The divergence itself is `reduction="batchmean"`, the sum divided by the length of the first axis; "mean" divides by the
    number of entries, as in PyTorch. With `log_target` the target is a logarithm too. 0 ln 0 is 0. Raises `InputError` for a negative
    target.
    """
    q = as_input("kl_div", input)
    t = as_target("kl_div", target, q)
    if not log_target:
        need = "a probability is not negative; log_target=True takes logarithms"
        refuse_values("kl_div", "target", t, lambda values: ~(values >= 0), need)
    losses = np.exp(t) * (t - q) if log_target else cg.special.xlogy(t, t) - t * q
    if reduction == "batchmean":
        return np.sum(losses) / (losses.shape[0] if losses.shape else 1)
    return reduced("kl_div", losses, reduction, also=("batchmean",))


@loss
def hinge(input: Any, target: Any, *, margin: float = 1.0, reduction: str = "mean") -> Any:
    """max(0, margin - t input) for t = -1 or 1 (Cortes & Vapnik, 1995), with derivative 0 at the kink.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.hinge(np.array([2.0, 0.5]), np.array([1, -1]), reduction="none")
    array([0. , 1.5])

    PyTorch has it for classes only (`multi_margin`); its HingeEmbeddingLoss is another function. Raises `InputError` for a target
    that is neither -1 nor 1.
    """
    x = as_input("hinge", input)
    t = as_target("hinge", target, x)
    refuse_values("hinge", "target", t, lambda values: np.abs(values) != 1, "a target is -1 or 1: write 2 * y - 1 for labels 0 and 1")
    return reduced("hinge", cg.relu(margin - t * x), reduction)

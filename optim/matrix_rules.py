"""The update rules that look at a parameter as a whole: at its norm, at its rows and columns, at its singular values.

>>> import numpy as np
>>> p = np.array([[3.0, 0.0], [0.0, 4.0]])
>>> p, state = lars(p, np.ones((2, 2)), start_lars(p), lr=1.0, trust_coefficient=0.1)
>>> p.round(6)
array([[ 2.75, -0.25],
       [-0.25,  3.75]])

The conventions are those of `optim.rules`. Tensors cannot be joined into one vector for these, so `Optimizer.compile`
leaves them as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.rules import Rule, State, start_adam
from optim.terms import average, coupled_decay, decoupled_decay, is_zero, mean_square, norm, root, scalar, zeros


def trust_ratio(numerator: Any, denominator: Any) -> Any:
    """The quotient of two norms, and 1 where one of them is 0: a parameter at the origin could never leave it."""
    usable = np.logical_and(numerator > 0, denominator > 0)
    return np.where(usable, numerator / np.where(usable, denominator, 1), 1)


def start_lamb(p: Any, **_: Any) -> State:
    return start_adam(p)


def lamb(
    p: Any, grad: Any, state: State, *, lr: Any, betas: tuple[Any, Any] = (0.9, 0.999), eps: Any = 1e-6, weight_decay: Any = 0.0,
) -> tuple[Any, State]:
    """r = m̂ / (√v̂ + ε) + λ θ with Adam's moments, θ ← θ - γ |θ| / |r| r.

    >>> lamb(np.array([3.0, 4.0]), np.array([1.0, -1.0]), start_lamb(np.ones(2)), lr=0.1)[0].round(5)
    array([2.64645, 4.35355])

    You et al. 2020 (arXiv:1904.00962), Algorithm 2 with φ(z) = z. The ratio is 1 where either norm is 0, as in optax.
    """
    beta1, beta2 = betas
    step = state["step"] + 1
    exp_avg = average(state["exp_avg"], grad, beta1)
    exp_avg_sq = average(state["exp_avg_sq"], grad * grad, beta2)
    mean = exp_avg / scalar(1 - beta1**step, p)
    deviation = np.sqrt(exp_avg_sq / scalar(1 - beta2**step, p))
    direction = coupled_decay(p, mean / (deviation + scalar(eps, p)), weight_decay)
    ratio = trust_ratio(norm(p), norm(direction))
    p = p - scalar(lr, p) * ratio * direction
    return p, {"step": step, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}


def start_lars(p: Any, **_: Any) -> State:
    return {"step": 0.0, "momentum_buffer": zeros(p)}


def lars(
    p: Any, grad: Any, state: State, *, lr: Any, momentum: Any = 0.9, weight_decay: Any = 0.0, trust_coefficient: Any = 0.001,
    eps: Any = 0.0,
) -> tuple[Any, State]:
    """ℓ = η |θ| / (|g| + λ |θ| + ε), b ← μ b + γ ℓ (g + λ θ), θ ← θ - b, with η `trust_coefficient`.

    >>> lars(np.array([3.0, 4.0]), np.array([0.0, 2.0]), start_lars(np.ones(2)), lr=1.0)[0].round(6)
    array([3.   , 3.995])

    You, Gitman & Ginsburg 2017 (arXiv:1708.03888), Algorithm 1: the rate is inside the buffer, unlike `sgd`. ε is not in
    the paper. ℓ is 1 where either norm is 0. optax divides by |g + λ θ|, which is the same without weight decay.
    """
    size = norm(p)
    weighted = norm(grad) if is_zero(weight_decay) else norm(grad) + scalar(weight_decay, p) * size
    usable = np.logical_and(size > 0, weighted > 0)
    ratio = np.where(usable, scalar(trust_coefficient, p) * size / np.where(usable, weighted + scalar(eps, p), 1), 1)
    fresh = scalar(lr, p) * ratio * coupled_decay(p, grad, weight_decay)
    buffer = scalar(momentum, p) * state["momentum_buffer"] + fresh
    p = p - buffer
    return p, {"step": state["step"] + 1, "momentum_buffer": buffer}


def start_adafactor(p: Any, **_: Any) -> State:
    if len(p.shape) < 2:
        return {"step": 0.0, "variance": zeros(p)}
    *outer, rows, columns = p.shape
    return {"step": 0.0, "row_var": np.zeros((*outer, rows, 1), p.dtype), "col_var": np.zeros((*outer, 1, columns), p.dtype)}


def adafactor(
    p: Any, grad: Any, state: State, *, lr: Any, beta2_decay: Any = -0.8, eps: tuple[Any, Any] = (None, 1e-3), d: Any = 1.0,
    weight_decay: Any = 0.0,
) -> tuple[Any, State]:
    """Adam without first moment, whose second one is the outer product of its row and column means: n + m numbers for n m.

    >>> p = np.ones((2, 3))
    >>> p, state = adafactor(p, np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]), start_adafactor(p), lr=0.1)
    >>> p.round(6)[0], state["row_var"].shape, state["col_var"].shape
    (array([0.9, 0.9, 0.9]), (2, 1), (1, 3))

    V ≈ R C / mean(R), with R and C the averages of g² over the last and the last but one axis, β̂₂ = 1 - t^`beta2_decay`;
    U = g / √max(V, ε₁²); θ ← θ - α U / max(1, rms(U) / d), α = max(ε₂, rms(θ)) min(γ, 1 / √t). Shazeer & Stern 2018
    (arXiv:1804.04235), Algorithms 4 and 5, as PyTorch has them: ε₁ (None: the spacing of the dtype at 1) bounds V and is
    not added to g², and `lr` bounds the relative step. Fewer than two axes keep all of V.
    """
    eps1 = np.finfo(p.dtype).eps.item() if eps[0] is None else eps[0]
    step = state["step"] + 1
    fresh = step**beta2_decay
    relative = np.minimum(lr, step**-0.5)
    rate = np.maximum(root(mean_square(p)), scalar(eps[1], p)) * scalar(relative, p)
    p = decoupled_decay(p, lr, weight_decay)
    square = grad * grad
    after: State = {"step": step}
    if "variance" in state:
        variance = after["variance"] = average(state["variance"], square, 1 - fresh)
    else:
        rows, columns = max(p.shape[-2], 1), max(p.shape[-1], 1)
        row_var = after["row_var"] = average(state["row_var"], np.sum(square, axis=-1, keepdims=True) / columns, 1 - fresh)
        col_var = after["col_var"] = average(state["col_var"], np.sum(square, axis=-2, keepdims=True) / rows, 1 - fresh)
        mean = np.maximum(np.sum(row_var, axis=-2, keepdims=True) / rows, scalar(eps1, p))
        variance = row_var * col_var / mean
    update = grad / np.sqrt(np.maximum(variance, scalar(eps1 * eps1, p)))
    clipped = np.maximum(root(mean_square(update)) / scalar(d, p), 1)
    p = p - rate / clipped * update
    return p, after


def start_muon(p: Any, **_: Any) -> State:
    return {"step": 0.0, "momentum_buffer": zeros(p)}


def orthogonalize(matrix: Any, *, coefficients: tuple[Any, Any, Any] = (3.4445, -4.775, 2.0315), steps: int = 5, eps: Any = 1e-7) -> Any:
    """A matrix with nearly the same singular vectors and all singular values near 1, by a quintic Newton-Schulz iteration.

    >>> np.linalg.svd(orthogonalize(np.array([[3.0, 1.0], [0.0, 0.5]])), compute_uv=False).round(1)
    array([0.9, 0.7])

    X ← a X + (b A + c A²) X with A = X Xᵀ, from X = matrix / max(|matrix|, ε), maps each singular value σ to
    a σ + b σ³ + c σ⁵. Jordan's coefficients are steepest at 0 and leave the values between about 0.7 and 1.2 rather than
    converge (Jordan et al. 2024, kellerjordan.github.io/posts/muon). In the dtype of the matrix; PyTorch works in bfloat16.
    """
    a, b, c = (scalar(coefficient, matrix) for coefficient in coefficients)
    tall = matrix.shape[0] > matrix.shape[1]
    x = np.transpose(matrix) if tall else matrix
    x = x / np.maximum(norm(x), scalar(eps, matrix))
    for _ in range(steps):
        gram = x @ np.transpose(x)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return np.transpose(x) if tall else x


def muon(
    p: Any, grad: Any, state: State, *, lr: Any, weight_decay: Any = 0.1, momentum: Any = 0.95, nesterov: bool = True,
    ns_coefficients: tuple[Any, Any, Any] = (3.4445, -4.775, 2.0315), eps: Any = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None,
) -> tuple[Any, State]:
    """b ← μ b + (1 - μ) g, θ ← (1 - γ λ) θ - γ s orthogonalize(b), or of (1 - μ) g + μ b with `nesterov`: for matrices.

    >>> p = np.eye(2)
    >>> muon(p, np.array([[2.0, 0.0], [0.0, -3.0]]), start_muon(p), lr=0.1, weight_decay=0.0)[0].round(2)
    array([[0.93, 0.  ],
           [0.  , 1.11]])

    Jordan et al. 2024. s is √max(1, rows / columns) ("original", the default) or 0.2 √max(rows, columns) ("match_rms_adamw",
    Liu et al. 2025, arXiv:2502.16982, eq. 4), by which rates tuned for AdamW may stay. The average is PyTorch's; Jordan's
    text adds g whole, a factor that the orthogonalisation takes out.
    """
    rows, columns = p.shape
    buffer = average(state["momentum_buffer"], grad, momentum)
    direction = average(buffer, grad, momentum) if nesterov else buffer
    size = 0.2 * max(rows, columns) ** 0.5 if adjust_lr_fn == "match_rms_adamw" else max(1.0, rows / max(columns, 1)) ** 0.5
    update = orthogonalize(direction, coefficients=ns_coefficients, steps=ns_steps, eps=eps)
    p = decoupled_decay(p, lr, weight_decay)
    p = p - scalar(lr * size, p) * update
    return p, {"step": state["step"] + 1, "momentum_buffer": buffer}


MATRIX_RULES = {
    "lamb": Rule(lamb, start_lamb, entrywise=False),
    "lars": Rule(lars, start_lars, entrywise=False),
    "adafactor": Rule(adafactor, start_adafactor, entrywise=False),
    "muon": Rule(muon, start_muon, entrywise=False),
}

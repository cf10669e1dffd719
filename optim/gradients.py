"""What is done to gradients between `backward` and `step`: clipping, accumulation, noise; and penalties, which make gradients.

Functions whose names end in _ give the parameters new gradients. They replace the array in `grad` and never write into it, so
an array that was taken from there before keeps its numbers. Parameters without a gradient are left out. `foreach` is there for
code that was written for PyTorch, and ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.backend import as_array, beside
from optim.parameters import variables_of
from optim.schedules import check_choice, check_count, check_range, check_step

# ------------------------------------------------------------------------------------------ clipping


def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None) -> np.float64:
    """The norm of all arrays together, as of one vector: `norm_type` 2, 1, any other above 0, or `inf` for the largest entry.

    >>> get_total_norm([np.array([3.0, 0.0]), np.array([[4.0]])])
    np.float64(5.0)

    Taken in float64, and of the entries divided by the largest, so it overflows only if the norm itself does. 0 for no
    arrays. With `error_if_nonfinite` a NaN or infinite norm is an `AnomalyError` that says which array it comes from.
    """
    arrays = [as_array(array) for array in ([tensors] if hasattr(tensors, "dtype") else tensors)]
    return _norm(arrays, [f"array {number}" for number in range(len(arrays))], norm_type, error_if_nonfinite)


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> np.float64:
    """Scale all gradients by one factor if their norm together is above `max_norm`; the norm before.

    >>> w, b = cg.variable([3.0, 0.0], name="w"), cg.variable(4.0, name="b")
    >>> (0.5 * np.sum(w * w) + 0.5 * b * b).backward()
    >>> clip_grad_norm_([w, b], max_norm=1.0)
    np.float64(5.0)
    >>> w.grad.round(5), b.grad.round(5)
    (array([0.6, 0. ]), np.float64(0.8))

    The factor is `max_norm / (norm + 1e-6)`, as in PyTorch, so the norm after is a little below `max_norm`. Where the norm is NaN or
    infinite, PyTorch makes all gradients NaN or zero; here they stay, so that the optimizer can name the parameter, and
    with `error_if_nonfinite` this function does. Pascanu et al. 2013, "On the difficulty of training recurrent neural
    networks", algorithm 1. A negative `max_norm` is an `InputError`, and so is an empty list of parameters.
    """
    check_range("max_norm", max_norm, 0)
    held = _with_gradients(parameters, "clip_grad_norm_")
    norm = _norm([p.grad for p, _ in held], [f"the gradient of {label}" for _, label in held], norm_type, error_if_nonfinite)
    if math.isfinite(norm):
        factor = min(1.0, float(max_norm) / (float(norm) + 1e-6))
        for p, _ in held:
            p.grad = p.grad * factor
    return norm


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Bring every entry of every gradient into the range from `-clip_value` to `clip_value`; NaNs stay.

    >>> w = cg.variable([3.0, -0.25])
    >>> (0.5 * np.sum(w * w)).backward()
    >>> clip_grad_value_(w, 1.0)
    >>> w.grad
    array([ 1.  , -0.25])

    This may turn the direction of the gradient, which `clip_grad_norm_` keeps.
    """
    check_range("clip_value", clip_value, 0)
    for p, _ in _with_gradients(parameters, "clip_grad_value_"):
        p.grad = np.clip(p.grad, -float(clip_value), float(clip_value))


def _norm(arrays: list[Any], labels: list[str], norm_type: float, error_if_nonfinite: bool) -> np.float64:
    order = float(norm_type)
    if not order > 0:
        raise cg.InputError(f"norm_type is {norm_type!r:.40}: a norm has an order above 0, such as 1, 2 or float('inf'){cg.here()}")
    largest = [float(np.max(np.abs(array))) if array.size else 0.0 for array in arrays]
    most = max(largest, default=0.0) if not any(map(math.isnan, largest)) else math.nan
    if not math.isfinite(most):
        if error_if_nonfinite:
            at = next(number for number, one in enumerate(largest) if not math.isfinite(one))
            raise cg.AnomalyError(f"{labels[at]} has an entry that is {largest[at]}: nothing was clipped; see cg.detect_anomaly{cg.here()}")
        return np.float64(most)
    if most == 0.0 or order == math.inf:
        return np.float64(most)
    scaled = [np.abs(array).astype(np.float64) / most for array in arrays]
    return np.float64(most * sum(float(np.sum(part**order)) for part in scaled) ** (1 / order))


def parameters_of(parameters: Any, what: str) -> list[tuple[Any, str]]:
    """Each parameter and what to call it in a message; of one variable, or of an iterable of them or of (name, variable) pairs."""
    given = [parameters] if isinstance(parameters, cg.Node) else parameters
    given = list(given) if isinstance(given, Iterator) else given
    if not given:
        raise cg.InputError(f"{what}: there are no parameters; a generator can be read only once, so make a list of it first{cg.here()}")
    nodes, names = variables_of(given, what)
    return [
        (p, f"{name or p.name or f'parameter {number}'} {p.shape}")
        for number, (p, name) in enumerate(zip(nodes, names or [""] * len(nodes), strict=True))
    ]


def _with_gradients(parameters: Any, what: str) -> list[tuple[Any, str]]:
    return [(p, label) for p, label in parameters_of(parameters, what) if p.grad is not None]


# -------------------------------------------------------------------------------------- accumulation


def micro_batches(size: int, micro_batch_size: int, reduction: str = "mean") -> Iterator[tuple[slice, float]]:
    """Slices that cut a batch of `size` examples into parts, and what each part's loss counts in the batch's loss.

    >>> list(micro_batches(5, 2))
    [(slice(0, 2, None), 0.4), (slice(2, 4, None), 0.4), (slice(4, 5, None), 0.2)]

    A mean over the batch is the mean of the parts' means weighted by their sizes; a sum is the sum of the sums. The common
    rule, to divide by the number of parts, is right only if all are of one size.
    """
    check_count("the size of the batch", size)
    check_count("micro_batch_size", micro_batch_size)
    check_choice("reduction", reduction, ("mean", "sum"))
    if micro_batch_size > size:
        raise cg.InputError(f"micro_batch_size is {micro_batch_size}, but the batch has only {size} examples{cg.here()}")
    return _cut(size, micro_batch_size, reduction)


def _cut(size: int, micro_batch_size: int, reduction: str) -> Iterator[tuple[slice, float]]:
    for start in range(0, size, micro_batch_size):
        stop = min(start + micro_batch_size, size)
        yield slice(start, stop), (stop - start) / size if reduction == "mean" else 1.0


def accumulate(loss: Callable[..., Any], batch: Any, micro_batch_size: int, reduction: str = "mean") -> float:
    """Add the gradient of `loss(*batch)` to the parameters' `grad`, a micro-batch at a time; the loss of the whole batch.

    >>> w = cg.variable(1.0, name="w")
    >>> x, y = np.arange(5.0), np.ones(5)
    >>> accumulate(lambda x, y: np.mean((w * x - y) ** 2), (x, y), micro_batch_size=2)
    3.0
    >>> w.grad, 2 * np.mean(x * (x - y))
    (np.float64(8.0), np.float64(8.0))

    Only one micro-batch's graph is alive at a time, so the memory for activations is that of a micro-batch. `batch` is a
    tuple of arrays that are cut along their first axis, or one array. `reduction` says what `loss` does with the
    examples it is given. The gradient is that of the whole batch up to the order of the summands, if the examples do not
    see each other, as they do in batch normalisation.
    """
    arrays = batch if isinstance(batch, (tuple, list)) else (batch,)
    total = 0.0
    for part, share in micro_batches(_size(arrays), micro_batch_size, reduction):
        value = loss(*(array[part] for array in arrays)) * share
        value.backward()
        total += float(value.value)
    return total


def accumulated(
    value_and_gradient: Callable[..., tuple[Any, Any]], micro_batch_size: int, reduction: str = "mean"
) -> Callable[..., tuple[Any, Any]]:
    """The same for functions: `f(p, *batch) -> (loss, gradient)` as a function that computes it a micro-batch at a time.

    >>> def loss(p, x):
    ...     return np.mean((p["w"] * x - 1) ** 2)
    >>> value, gradient = accumulated(cg.value_and_grad(loss), micro_batch_size=2)({"w": 1.0}, np.arange(5.0))
    >>> round(float(value), 12), {name: round(float(part), 12) for name, part in gradient.items()}
    (3.0, {'w': 8.0})

    `f` may be compiled; it then has one program for the micro-batches and one for a last smaller one.
    """

    def of_the_whole(p: Any, *batch: Any) -> tuple[Any, Any]:
        total, summed, unravel = 0.0, 0.0, None
        for part, share in micro_batches(_size(batch), micro_batch_size, reduction):
            value, gradient = value_and_gradient(p, *(array[part] for array in batch))
            vector, unravel = cg.ravel(gradient)
            total, summed = total + value * share, summed + vector * share
        return total, unravel(summed)  # type: ignore[misc]

    return of_the_whole


def _size(arrays: Any) -> int:
    sizes = [len(array) for array in arrays]
    if not sizes:
        raise cg.InputError(f"the batch has no arrays to cut{cg.here()}")
    if len(set(sizes)) > 1:
        raise cg.ShapeError(f"the arrays of a batch have one first axis; these have lengths {', '.join(map(str, sizes))}{cg.here()}")
    return sizes[0]


# --------------------------------------------------------------------------------------------- noise


def noise_variance(step: Any, eta: Any = 0.3, gamma: Any = 0.55) -> Any:
    """`eta / (1 + step) ** gamma`: Neelakantan et al. 2015, "Adding Gradient Noise Improves Learning for Very Deep Networks", equation (1).

    >>> [round(float(noise_variance(step, eta=1.0)), 4) for step in (0, 1, 10)]
    [1.0, 0.683, 0.2674]

    The paper takes `eta` from 0.01, 0.3 and 1. This is the variance; the standard deviation is its root.
    """
    check_step(step)
    check_range("eta", eta, 0)
    check_range("gamma", gamma, 0)
    return eta / (1.0 + step) ** gamma


def add_grad_noise_(parameters: Any, step: int, generator: np.random.Generator, eta: float = 0.3, gamma: float = 0.55) -> None:
    """Add normal noise of variance `noise_variance(step, eta, gamma)` to every entry of every gradient.

    >>> w = cg.variable(np.zeros(2))
    >>> np.sum(w).backward()
    >>> add_grad_noise_(w, step=0, generator=np.random.default_rng(0))
    >>> w.grad.round(4)
    array([1.0689, 0.9276])

    The noise comes from `generator`, in the order of the parameters; `generator.bit_generator.state` saves and restores it.
    """
    if not isinstance(generator, np.random.Generator):
        raise cg.DtypeError(f"generator is a np.random.Generator, such as np.random.default_rng(0), not {generator!r:.40}{cg.here()}")
    deviation = float(np.sqrt(noise_variance(step, eta, gamma)))
    for p, _ in _with_gradients(parameters, "add_grad_noise_"):
        noise = beside(np.asarray(deviation * generator.standard_normal(np.shape(p.grad)), p.grad.dtype), p.grad)
        p.grad = (p.grad + noise)[()]


# ----------------------------------------------------------------------------------------- penalties


def l1_penalty(parameters: Any, strength: Any = 1.0) -> Any:
    """`strength * sum(|p|)` over all entries of a container of arrays or nodes.

    >>> float(l1_penalty({"w": np.array([3.0, -4.0]), "b": np.array([0.0])}, strength=0.5))
    3.5
    >>> w = cg.variable([2.0, 0.0, -2.0])
    >>> l1_penalty(w).backward()
    >>> w.grad
    array([ 1.,  0., -1.])

    At 0, where every slope from -1 to 1 is a subgradient, the derivative is 0: an entry that is exactly zero is left there by
    the penalty, and SGD steps across zero rather than onto it. Weights that vanish need a proximal step, as in FTRL.
    """
    check_range("strength", strength, 0)
    return strength * np.sum(np.abs(cg.ravel(_container(parameters))[0]))


def l2_penalty(parameters: Any, strength: Any = 1.0) -> Any:
    """`strength / 2 * sum(p ** 2)` over all entries of a container of arrays or nodes.

    >>> float(l2_penalty({"w": np.array([3.0, -4.0]), "b": np.array([0.0])}, strength=0.5))
    6.25

    Its gradient is `strength * p`, so for SGD it equals `weight_decay=strength`. For Adam it equals Adam's `weight_decay`, but
    not AdamW's: what is added to the gradient is divided by the gradient's size, so weights with large gradients
    decay less (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"). Some lectures write the norm where
    its square is meant; the norm pulls every vector with the same force and has no derivative at 0.
    """
    check_range("strength", strength, 0)
    return 0.5 * strength * np.sum(cg.ravel(_container(parameters))[0] ** 2)


def _container(parameters: Any) -> Any:
    """A generator, as `model.parameters()` may be, as a list."""
    return list(parameters) if isinstance(parameters, Iterator) else parameters


__all__ = [
    "accumulate", "accumulated", "add_grad_noise_", "clip_grad_norm_", "clip_grad_value_", "get_total_norm", "l1_penalty", "l2_penalty",
    "micro_batches", "noise_variance",
]  # fmt: skip

"""How good a model is on data: its loss and metrics, in `eval()` mode and without a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np

import compgraph as cg
from compgraph import nn
from compgraph.backend import on_host

Metric = str | Callable[[Any, Any], Any]

def accuracy(output: Any, target: Any) -> float:
    """The fraction that is right: of classes with the largest output, or of one output that is above 0, a logit.

    >>> accuracy(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0])), accuracy(np.array([0.3, -2.0]), np.array([1, 0]))
    (0.5, 1.0)

    A target in the shape of the output, as probabilities, counts as its largest entry. Labels below 0, which a loss is told to ignore,
    do not count; where there are no others the accuracy is NaN. Raises `ShapeError` for a target that is neither.
    """
    output, target = np.asarray(output), np.asarray(target)
    if output.ndim > 1 and output.shape[1] > 1:
        labels = output.shape[:1] + output.shape[2:]
        if target.shape not in (output.shape, labels):
            raise cg.ShapeError(f"accuracy: outputs of shape {output.shape} need labels of shape {labels}, not {target.shape}{cg.here()}")
        target = np.argmax(target, axis=1) if target.shape == output.shape else target
        right = (np.argmax(output, axis=1) == target)[target >= 0]
    else:
        if output.size != len(output) or target.size != output.size:
            raise cg.ShapeError(f"accuracy: outputs of shape {output.shape} do not go with a target of shape {target.shape}{cg.here()}")
        right = (output.reshape(len(output)) > 0) == (target.reshape(len(target)) > 0.5)
    return float(np.mean(right)) if right.size else float("nan")


def mae(output: Any, target: Any) -> float:
    """The mean of |output - target|."""
    return float(np.mean(np.abs(_same(output, target))))


def rmse(output: Any, target: Any) -> float:
    """The root of the mean of (output - target)²."""
    return float(np.sqrt(np.mean(_same(output, target) ** 2)))


def r2(output: Any, target: Any) -> float:
    """1 less the squared error over that of the mean of the targets."""
    error = np.sum(_same(output, target) ** 2)
    spread = np.sum((target - np.mean(target, axis=0)) ** 2)
    return float(1 - error / spread) if spread else float("nan")


METRICS: dict[str, Callable[[Any, Any], Any]] = {"accuracy": accuracy, "mae": mae, "rmse": rmse, "r2": r2}


def _same(output: Any, target: Any) -> Any:
    if np.shape(output) != np.shape(target):
        raise cg.ShapeError(f"a metric compares an output of shape {np.shape(output)} with a target of shape {np.shape(target)}{cg.here()}")
    return np.asarray(output, np.float64) - target


def metrics_of(given: Metric | Sequence[Metric]) -> dict[str, Callable[[Any, Any], Any]]:
    """Names and functions of metrics that are said by name or as functions `(output, target) -> number`."""
    found = {}
    for metric in [given] if isinstance(given, str) or callable(given) else given:
        if isinstance(metric, str) and metric not in METRICS:
            close = get_close_matches(metric, METRICS, 1)
            hint = f"do you mean {close[0]!r}?" if close else f"there are {', '.join(METRICS)}, or pass a function"
            raise cg.InputError(f"no metric {metric!r:.40}; {hint}{cg.here()}")
        if not isinstance(metric, str) and not callable(metric):
            raise cg.InputError(f"a metric is a name or a function of outputs and targets, not {metric!r:.40}{cg.here()}")
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)
        found[name] = METRICS[metric] if isinstance(metric, str) else metric
    return found


@contextmanager
def mode_of(model: Any, *, training: bool) -> Iterator[None]:
    """The model in `train()` or `eval()` for the length of a block; then each module is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.train(training)
        yield
    finally:
        for module, before in modes:
            module.training = before


def evaluate(model: Any, batches: Iterable[tuple[Any, Any]], loss: Any, metrics: dict[str, Any], seed: Any = 0) -> dict[str, float]:
    """The loss, a mean over the examples, and each metric of all outputs together.

    The model is in `eval()` for as long as it takes; what it draws at random is the same each time.
    """
    total, count = 0.0, 0
    outputs: list[Any] = []
    targets: list[Any] = []
    with mode_of(model, training=False), cg.no_grad(), nn.using(np.random.default_rng(seed)):
        for X, y in batches:
            output = model(*X) if isinstance(X, tuple) else model(X)
            value = loss(output, y)
            total += float(getattr(value, "value", value)) * len(y)
            count += len(y)
            if metrics:
                outputs.append(_value(output))
                targets.append(y)
    row = {"loss": total / count}
    if metrics:
        joined, wanted = np.concatenate(outputs), np.concatenate(targets)
        row |= {name: float(metric(joined, wanted)) for name, metric in metrics.items()}
    return row


def _value(output: Any) -> Any:
    first = prediction(output)
    return np.asarray(on_host(getattr(first, "value", first)))


def prediction(output: Any) -> Any:
    """A model that returns several things returns its prediction first."""
    if isinstance(output, dict):
        return next(iter(output.values()), None)
    return output[0] if isinstance(output, (tuple, list)) and output else output

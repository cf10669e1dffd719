"""Random search of hyperparameters: Bergstra & Bengio, JMLR 13 (2012)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from optim.history import History
from optim.schedules import check_count

Draw = Callable[[np.random.Generator], Any]


class Trial(NamedTuple):
    """One choice of hyperparameters, its score and what `train` returned."""

    score: float
    parameters: dict[str, Any]
    result: Any


class Search(NamedTuple):
    """The trials, the best first; those whose score is not finite come last."""

    trials: list[Trial]

    @property
    def best(self) -> Trial:
        return self.trials[0]

    def __repr__(self) -> str:
        names = list(self.best.parameters)
        cells = [["score", *names], *[[f"{one.score:.4g}", *map(_shown, one.parameters.values())] for one in self.trials]]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def random_search(
    train: Callable[..., Any], space: Mapping[str, Sequence[Any] | Draw], trials: int = 10, seed: int = 0, *, mode: str = "min"
) -> Search:
    """Call `train(**parameters)` with `trials` random choices from `space`, and rank what it returns.

    >>> space = {"lr": log_uniform(1e-4, 1.0), "units": [8, 16, 32]}
    >>> search = random_search(lambda lr, units: (np.log10(lr) + 2) ** 2 + 1 / units, space, trials=50)
    >>> 0.003 < search.best.parameters["lr"] < 0.03
    True

    `space` has for each parameter a list to choose from, or a function of a generator. `train` returns a number, or a
    `History`, which counts by its lowest "val_loss", or "loss" without validation; with `mode="max"` a number counts the more
    the higher it is. A trial that ends in `AnomalyError` or `FloatingPointError` scores infinity. The choices depend on `seed` alone.
    """
    check_count("trials", trials)
    if mode not in ("min", "max"):
        raise cg.InputError(f"mode is 'min' or 'max', not {mode!r:.40}{cg.here()}")
    if not space:
        raise cg.InputError(f"the space has no parameter{cg.here()}")
    for name, choices in space.items():
        if not callable(choices) and (isinstance(choices, str) or not hasattr(choices, "__len__") or not len(choices)):
            wrong = f"not {choices!r:.40}"
            raise cg.InputError(f"the space of {name!r} is a list to choose from or a function of a generator, {wrong}{cg.here()}")
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(trials):
        parameters = {name: _drawn(choices, generator) for name, choices in space.items()}
        try:
            result = train(**parameters)
            score = _score(result, mode)
        except (cg.AnomalyError, FloatingPointError) as error:
            result, score = error, math.inf if mode == "min" else -math.inf
        found.append(Trial(score, parameters, result))
    sign = 1 if mode == "min" else -1
    return Search(sorted(found, key=lambda trial: sign * trial.score if math.isfinite(trial.score) else math.inf))


def uniform(low: float, high: float) -> Draw:
    """Numbers between the two, all alike."""
    return lambda generator: float(generator.uniform(low, high))


def log_uniform(low: float, high: float) -> Draw:
    """Numbers between the two, all orders of magnitude alike; for rates and strengths.

    >>> values = [log_uniform(1e-4, 1.0)(np.random.default_rng(seed)) for seed in range(100)]
    >>> 30 < sum(value < 1e-2 for value in values) < 70
    True
    """
    if not 0 < low <= high:
        raise cg.InputError(f"log_uniform takes two positive numbers, the smaller one first, not {low} and {high}{cg.here()}")
    return lambda generator: float(math.exp(generator.uniform(math.log(low), math.log(high))))


def integers(low: int, high: int) -> Draw:
    """Whole numbers from `low` to `high`, both included."""
    return lambda generator: int(generator.integers(low, high + 1))


def _drawn(choices: Sequence[Any] | Draw, generator: np.random.Generator) -> Any:
    return choices(generator) if callable(choices) else choices[int(generator.integers(len(choices)))]


def _score(result: Any, mode: str) -> float:
    if isinstance(result, History):
        if mode == "max":
            raise cg.InputError(f"a History counts by its loss, of which less is better: return history.last['val_accuracy']{cg.here()}")
        return float(np.nanmin(result["val_loss" if "val_loss" in result.columns else "loss"]))
    return float(result)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


__all__ = ["Search", "Trial", "integers", "log_uniform", "random_search", "uniform"]

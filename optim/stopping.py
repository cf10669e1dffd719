"""`EarlyStopping`: when a measure has not improved for some epochs, end the run and take back the best weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import compgraph as cg
from optim.history import is_maximised
from optim.schedules import check_count, check_range


class EarlyStopping:
    """End a run whose measure has not improved for `patience` epochs in a row.

    >>> stopping = EarlyStopping(patience=2)
    >>> [stopping.update(epoch, loss, {"w": np.array(epoch)}) for epoch, loss in enumerate([3.0, 2.0, 2.5, 2.1, 0.1], 1)]
    [False, False, False, True, False]
    >>> stopping.best, stopping.best_epoch
    (0.1, 5)

    - `monitor`: a column of the history; by default "val_loss", or "loss" where there is no validation.
    - `min_delta`: how much better counts as better. `mode`: "min", "max", or "auto", which knows that accuracies grow.
    - `restore`: give the model its best weights when the run ends, for whatever reason; otherwise it keeps the last.

    A NaN is never better.
    """

    def __init__(
        self, patience: int = 10, *, monitor: str | None = None, min_delta: float = 0.0, mode: str = "auto", restore: bool = True
    ) -> None:
        check_count("patience", patience)
        check_range("min_delta", min_delta, 0)
        is_maximised("", mode)
        self.patience, self.monitor, self.min_delta, self.mode, self.restore = int(patience), monitor, float(min_delta), mode, restore
        self.best: float = math.nan
        self.best_epoch: int | None = None
        self.waited = 0
        self.weights: dict[str, Any] | None = None

    def update(self, epoch: int, measure: float, weights: Mapping[str, Any]) -> bool:
        """Take in an epoch's measure and the weights after it; whether to stop. The weights are kept, not copied."""
        sign = -1.0 if is_maximised(self.monitor or "loss", self.mode) else 1.0
        better = math.isfinite(measure) and (math.isnan(self.best) or sign * (self.best - measure) > self.min_delta)
        if better:
            self.best, self.best_epoch, self.waited = float(measure), epoch, 0
            self.weights = dict(weights) if self.restore else None
        else:
            self.waited += 1
        return self.waited >= self.patience

    def reset(self) -> None:
        """Forget what was: a run begins."""
        self.best, self.best_epoch, self.waited, self.weights = math.nan, None, 0, None

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(self.state_dict()):
            raise cg.InputError(f"EarlyStopping.load_state_dict takes what state_dict returns{cg.here()}")
        self.best, self.best_epoch, self.waited = float(state_dict["best"]), state_dict["best_epoch"], int(state_dict["waited"])
        held = state_dict["weights"]
        self.weights = None if held is None else {name: np.array(value) for name, value in held.items()}


__all__ = ["EarlyStopping"]

"""The scheduler that depends on how the run goes, and so is no function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

import compgraph as cg
from optim.scheduler import LRScheduler, Rates, per_group, plain
from optim.schedules import check_choice, check_count, check_range


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` when a measure has not improved for more than `patience` steps.

    >>> import compgraph as cg, optim
    >>> scheduler = ReduceLROnPlateau(optim.SGD([cg.variable(1.0)], lr=1.0), patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.0, 1.0]:
    ...     scheduler.step(loss)
    ...     print(scheduler.get_last_lr())
    [1.0]
    [1.0]
    [1.0]
    [0.1]
    [0.1]

    Better means below `best * (1 - threshold)` for "rel" and below `best - threshold` for "abs"; with `mode="max"`, above
    `best * (1 + threshold)` and `best + threshold`. A NaN is never better. After a reduction, `cooldown` steps do not count.
    A reduction by `eps` or less is left out, and no rate falls below `min_lr`. As it depends on what happens in the
    run, this is no function of the step.
    """

    def __init__(
        self, optimizer: Any, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
        threshold_mode: str = "rel", cooldown: int = 0, min_lr: float | list[float] = 0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if not 0 <= factor < 1:
            raise cg.InputError(f"factor is {factor!r:.40}: it has to be from 0 to below 1, or the rate would not fall{cg.here()}")
        check_choice("mode", mode, ("min", "max"))
        check_choice("threshold_mode", threshold_mode, ("rel", "abs"))
        check_count("patience", patience, least=0)
        check_count("cooldown", cooldown, least=0)
        check_range("threshold", threshold, 0)
        check_range("eps", eps, 0)
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = per_group("min_lr", min_lr, optimizer, least=0)
        self.optimizer = optimizer
        self.mode, self.factor, self.patience, self.cooldown, self.eps = mode, factor, patience, cooldown, eps
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self._last_lr = self.base_lrs = [plain(group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._reset()

    def _reset(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    @property
    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def _is_better(self, measure: float) -> bool:
        margin = -self.threshold if self.mode == "min" else self.threshold
        bound = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return measure < bound if self.mode == "min" else measure > bound

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take the measure of one more epoch: a number, or a node that has one."""
        measure = float(metrics)
        if len(self.optimizer.param_groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                here = len(self.optimizer.param_groups)
                raise cg.InputError(
                    f"min_lr has {len(self.min_lrs)} entries, the optimizer by now {here} parameter groups: set min_lrs{cg.here()}"
                )
            self.min_lrs = [self.default_min_lr] * len(self.optimizer.param_groups)
        if epoch is not None:
            check_count("epoch", epoch, least=0)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(measure):
            self.best, self.num_bad_epochs = measure, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        groups = self.optimizer.param_groups
        if self.num_bad_epochs > self.patience:
            for group, least in zip(groups, self.min_lrs, strict=True):
                lower = max(group["lr"] * self.factor, least)
                if group["lr"] - lower > self.eps:
                    group["lr"] = lower
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in groups]

    def values(self, metrics: Iterable[float], group: int = 0, key: str = "lr") -> np.ndarray[Any, Any]:  # type: ignore[override]
        """The rate after each of `metrics`, for a run that starts anew."""
        trial = self._on(Rates(self.optimizer))
        for one, lr in zip(trial.optimizer.param_groups, self.base_lrs, strict=True):
            one["lr"] = lr
        trial._reset()
        seen = []
        for measure in metrics:
            trial.step(measure)
            seen.append(trial.optimizer.read(group, key))
        return np.array(seen)

"""Schedulers made of schedulers: all at once, or one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import compgraph as cg
from optim.plateau import ReduceLROnPlateau
from optim.scheduler import LRScheduler, groups_of, plain
from optim.schedules import check_count, check_milestones


class _Combined(LRScheduler):
    """Several schedulers of one optimizer."""

    _not_stored = ("_schedulers",)

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Any) -> None:
        name = type(self).__name__
        if not schedulers:
            raise cg.InputError(f"{name} takes at least one scheduler{cg.here()}")
        for number, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise cg.DtypeError(f"{name}: schedulers[{number}] is no scheduler: {scheduler!r:.40}{cg.here()}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise cg.InputError(
                    f"{name}: schedulers[{number}] is ReduceLROnPlateau, whose step needs a measure; step it by itself{cg.here()}"
                )
            if scheduler.optimizer is not (optimizer or schedulers[0].optimizer):
                raise cg.InputError(f"{name}: schedulers[{number}], a {type(scheduler).__name__}, is of another optimizer{cg.here()}")
        self._schedulers = list(schedulers)
        self.optimizer = optimizer or schedulers[0].optimizer
        self.base_lrs = [plain(group["initial_lr"]) for group in self.optimizer.param_groups]
        self.last_epoch = self._step_count = 0

    def _on(self, optimizer: Any) -> Any:
        other = super()._on(optimizer)
        other._schedulers = [scheduler._on(optimizer) for scheduler in self._schedulers]
        return other

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._check_state(state_dict)
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)

    def _check_state(self, state: Any) -> None:
        super()._check_state(state)
        if len(state["_schedulers"]) != len(self._schedulers):
            raise cg.InputError(f"the state is of {len(state['_schedulers'])} schedulers, here are {len(self._schedulers)}{cg.here()}")
        for scheduler, one in zip(self._schedulers, state["_schedulers"], strict=True):
            scheduler._check_state(one)


class ChainedScheduler(_Combined):
    """All schedulers step at once, each on the rate that the one before it left.

    >>> import compgraph as cg, optim
    >>> from optim import lr_scheduler
    >>> optimizer = optim.SGD([cg.variable(1.0)], lr=1.0)
    >>> start, decay = lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2), lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> ChainedScheduler([start, decay]).values(4)
    array([0.5  , 0.25 , 0.25 , 0.125])
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Any = None) -> None:
        self._take(schedulers, optimizer)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:  # type: ignore[override]
        for scheduler in self._schedulers:
            scheduler.step()
        self.last_epoch += 1
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _initial_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler.last_epoch = -1
            scheduler._initial_step()
        self.last_epoch = 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class SequentialLR(_Combined):
    """One scheduler after the other: `schedulers[i]` starts, from its own first rate, at step `milestones[i - 1]`.

    >>> import compgraph as cg, optim
    >>> from optim import lr_scheduler
    >>> optimizer = optim.SGD([cg.variable(1.0)], lr=1.0)
    >>> warm_up, decay = lr_scheduler.LinearLR(optimizer, 0.25, total_iters=3), lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> SequentialLR(optimizer, [warm_up, decay], milestones=[3]).values(6)
    array([0.25, 0.5 , 0.75, 1.  , 0.5 , 0.25])
    """

    def __init__(self, optimizer: Any, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1) -> None:
        groups_of(optimizer)
        check_count("last_epoch", last_epoch, least=-1)
        check_milestones(milestones, strictly=True)
        if len(milestones) != len(schedulers) - 1:
            raise cg.InputError(
                f"{len(schedulers)} schedulers take {len(schedulers) - 1} milestones between them, not {len(milestones)}{cg.here()}"
            )
        self._take(schedulers, optimizer)
        self._milestones = list(milestones)
        self._restart()
        for _ in range(last_epoch + 1):
            self.step()

    def step(self) -> None:  # type: ignore[override]
        following = self.last_epoch + 1
        number = bisect_right(self._milestones, following)
        active = self._schedulers[number]
        if number and self._milestones[number - 1] == following:
            active._restart()
        else:
            active.step()
        self.last_epoch = following
        self._last_lr = active.get_last_lr()

    def _initial_step(self) -> None:
        first = self._schedulers[0]
        first.last_epoch = -1
        first._initial_step()
        self.last_epoch = 0
        self._last_lr = first.get_last_lr()

"""Learning rate schedulers with PyTorch's names, signatures and behaviour, over the functions of `schedules.py`.

>>> import compgraph as cg, optim
>>> optimizer = optim.SGD([cg.variable(1.0)], lr=0.1)
>>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
>>> for epoch in range(4):
...     scheduler.step()  # after optimizer.step()
>>> scheduler.get_last_lr()
[0.025]
>>> scheduler.values(6)
array([0.1  , 0.1  , 0.05 , 0.05 , 0.025, 0.025])

A rate is computed anew from the step number, so nothing drifts over a long run. Where PyTorch's schedulers multiply the rate
that they find, and so can be chained, these notice that somebody else changed it (another scheduler, the user), and go on
from there: both forms give the same rates.

What differs from PyTorch: hyperparameters without a meaning are refused, a state of another schedule is refused whole, and
nobody warns of a scheduler that steps before its optimizer. A scheduler resumed by `last_epoch` computes its rate from
`initial_lr`, for all classes alike; some of PyTorch's take the rate that is in the group.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import compgraph as cg
from optim import schedules
from optim.combined_schedulers import ChainedScheduler, SequentialLR
from optim.plateau import ReduceLROnPlateau
from optim.scheduler import Chainable, LRScheduler, per_group
from optim.schedules import check_choice, check_count, check_range, check_step

__all__ = [
    "SWALR", "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau",
    "SequentialLR", "StepLR",
]  # fmt: skip


class ConstantLR(Chainable):
    """The rate times `factor` for `total_iters` steps, then the rate: `schedules.constant`."""

    def __init__(self, optimizer: Any, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        schedules.constant(0, 1.0, factor, total_iters)
        self._by, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, step: float) -> Any:
        return schedules.constant(step, 1.0, self._by, self.total_iters)


class LinearLR(Chainable):
    """From `start_factor` to `end_factor` times the rate in `total_iters` steps, a warm-up: `schedules.linear`."""

    def __init__(
        self, optimizer: Any, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        schedules.linear(0, 1.0, start_factor, end_factor, total_iters)
        if start_factor == 0:
            raise cg.InputError(f"start_factor is 0: the first step would not move; PyTorch refuses it too{cg.here()}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, step: float) -> Any:
        return schedules.linear(step, 1.0, self.start_factor, self.end_factor, self.total_iters)


class StepLR(Chainable):
    """A factor of `gamma` every `step_size` steps: `schedules.step_decay`."""

    def __init__(self, optimizer: Any, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        schedules.step_decay(0, 1.0, step_size, gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, step: float) -> Any:
        return schedules.step_decay(step, 1.0, self.step_size, self.gamma)


class MultiStepLR(Chainable):
    """A factor of `gamma` at each milestone: `schedules.multi_step`. The milestones have to stand in order."""

    def __init__(self, optimizer: Any, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = list(milestones), gamma
        schedules.multi_step(0, 1.0, self.milestones, gamma)
        super().__init__(optimizer, last_epoch)

    def factor(self, step: float) -> Any:
        return schedules.multi_step(step, 1.0, self.milestones, self.gamma)


class ExponentialLR(Chainable):
    """A factor of `gamma` every step: `schedules.exponential`."""

    def __init__(self, optimizer: Any, gamma: float, last_epoch: int = -1) -> None:
        schedules.exponential(0, 1.0, gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, step: float) -> Any:
        return schedules.exponential(step, 1.0, self.gamma)


class PolynomialLR(Chainable):
    """Down to 0 in `total_iters` steps, as a power of what is left of them: `schedules.polynomial`."""

    def __init__(self, optimizer: Any, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        schedules.polynomial(0, 1.0, total_iters, power)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def factor(self, step: float) -> Any:
        return schedules.polynomial(step, 1.0, self.total_iters, self.power)


class CosineAnnealingLR(Chainable):
    """Down to `eta_min` in `T_max` steps along half a cosine, and up again: `schedules.cosine`."""

    def __init__(self, optimizer: Any, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        schedules.cosine(0, 1.0, T_max, eta_min)
        check_range("eta_min", eta_min, 0)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _floors(self) -> list[float]:
        return [self.eta_min] * len(self.base_lrs)

    def factor(self, step: float) -> Any:
        return schedules.cosine(step, 1.0, self.T_max)


class SWALR(Chainable):
    """From the rate to `swa_lr`, which may be a list, in `anneal_epochs` steps: `schedules.swa`. See `averaging.SWA`."""

    def __init__(
        self, optimizer: Any, swa_lr: float | list[float], anneal_epochs: int = 10, anneal_strategy: str = "cos", last_epoch: int = -1
    ) -> None:
        self.swa_lrs = per_group("swa_lr", swa_lr, optimizer, least=0)
        schedules.swa(0, 1.0, 0.0, anneal_epochs, anneal_strategy)
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _floors(self) -> list[float]:
        return self.swa_lrs

    def factor(self, step: float) -> Any:
        return schedules.swa(step, 1.0, 0.0, self.anneal_epochs, self.anneal_strategy)


class _ByFunctions(LRScheduler):
    """Schedules by a function of the step, or one for each group. Functions are not stored; what an object of a class holds is."""

    _not_stored = ("lr_lambdas",)

    def __init__(self, optimizer: Any, lr_lambda: Callable[[int], float] | list[Callable[[int], float]], last_epoch: int = -1) -> None:
        self.lr_lambdas = per_group("lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise cg.DtypeError(f"lr_lambda is a function of the step, not {function!r:.40}{cg.here()}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "lr_lambdas": [_held(function) for function in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for function, held in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            _hold(function, held)


class LambdaLR(_ByFunctions):
    """The first rate times `lr_lambda(step)`.

    >>> import compgraph as cg, optim
    >>> LambdaLR(optim.SGD([cg.variable(1.0)], lr=8.0), lambda step: 0.5**step).values(4)
    array([8., 4., 2., 1.])
    """

    def get_lr(self) -> list[float]:
        return [lr * function(self.last_epoch) for lr, function in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(_ByFunctions):
    """The rate of the step before times `lr_lambda(step)`.

    >>> import compgraph as cg, optim
    >>> MultiplicativeLR(optim.SGD([cg.variable(1.0)], lr=8.0), lambda step: 1 / step).values(4)
    array([8.        , 8.        , 4.        , 1.33333333])
    """

    def get_lr(self) -> list[float]:
        found = [group["lr"] for group in self.optimizer.param_groups]
        if self._step_count == 0:
            return found
        return [lr * function(self.last_epoch) for lr, function in zip(found, self.lr_lambdas, strict=True)]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosines that start anew, each `T_mult` times as long as the one before: `schedules.warm_restarts`.

    `step(epoch + batch / batches)` sets the rate within an epoch.
    """

    def __init__(self, optimizer: Any, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        schedules.warm_restarts(0, 1.0, T_0, T_mult, eta_min)
        check_range("eta_min", eta_min, 0)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [float(schedules.warm_restarts(self._place, lr, self.T_0, self.T_mult, self.eta_min)) for lr in self.base_lrs]

    def _initial_step(self) -> None:
        self._place: float = self.last_epoch  # as `last_epoch`, but not rounded down
        super()._initial_step()

    def step(self, epoch: float | None = None) -> None:
        if epoch is not None:
            check_step(epoch)
        self._place = self._place + 1 if epoch is None else epoch
        super().step(self.last_epoch + 1 if epoch is None else math.floor(epoch))


class _Cycling(LRScheduler):
    """Schedules that may move the momentum, or Adam's first beta, against the rate."""

    def _cycle(self, optimizer: Any, cycle_momentum: bool, base_momentum: Any, max_momentum: Any) -> None:
        self.cycle_momentum = cycle_momentum
        if not cycle_momentum:
            return
        if not {"momentum", "betas"} & set(optimizer.defaults):
            raise cg.InputError(
                f"cycle_momentum: {type(optimizer).__name__} has neither momentum nor betas; pass cycle_momentum=False{cg.here()}"
            )
        self.base_momentums = per_group("base_momentum", base_momentum, optimizer)
        self.max_momentums = per_group("max_momentum", max_momentum, optimizer)
        for name, momentums in (("base_momentum", self.base_momentums), ("max_momentum", self.max_momentums)):
            for momentum in momentums:
                check_range(name, momentum, 0, 1)

    def momentum(self, step: float, base: float, most: float) -> Any:
        raise NotImplementedError

    def _set(self, rates: Sequence[float]) -> None:
        super()._set(rates)
        if self.cycle_momentum:
            for group, base, most in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                momentum = float(self.momentum(self.last_epoch, base, most))
                if "betas" in self.optimizer.defaults:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum


class OneCycleLR(_Cycling):
    """One long way up to `max_lr` and down to nearly nothing, the momentum the other way round: `schedules.one_cycle`.

    Step `total_steps - 1` is the last of the cycle. As in PyTorch, where a loop steps the scheduler after its last batch,
    one more step is allowed, which leaves the rate where it is (PyTorch extrapolates it); a further one is an `InputError`.
    """

    def __init__(
        self, optimizer: Any, max_lr: float | list[float], total_steps: int | None = None, epochs: int | None = None,
        steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos", cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85, max_momentum: float | list[float] = 0.95, div_factor: float = 25.0,
        final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self.max_lrs = per_group("max_lr", max_lr, optimizer, least=0)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise cg.InputError(f"OneCycleLR takes total_steps, or epochs and steps_per_epoch{cg.here()}")
            check_count("epochs", epochs)
            check_count("steps_per_epoch", steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        for name, number in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            if not number > 0:
                raise cg.InputError(f"{name} is {number!r:.40}: it has to be above 0{cg.here()}")
        self.total_steps = total_steps
        self._path: dict[str, Any] = {
            "total_steps": total_steps, "pct_start": pct_start, "anneal_strategy": anneal_strategy, "three_phase": three_phase,
        }  # fmt: skip
        self._dividers: dict[str, Any] = {"div_factor": div_factor, "final_div_factor": final_div_factor}
        schedules.one_cycle(0, 1.0, **self._path, **self._dividers)
        self._cycle(optimizer, cycle_momentum, base_momentum, max_momentum)
        check_count("last_epoch", last_epoch, least=-1)
        if last_epoch == -1:
            for group, most in zip(optimizer.param_groups, self.max_lrs, strict=True):
                group["initial_lr"] = most / div_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise cg.InputError(
                f"step {self.last_epoch} of a cycle of {self.total_steps}: total_steps is how often it can be stepped{cg.here()}"
            )
        return [float(schedules.one_cycle(self.last_epoch, most, **self._path, **self._dividers)) for most in self.max_lrs]

    def momentum(self, step: float, base: float, most: float) -> Any:
        return schedules.one_cycle_momentum(step, base, most, **self._path)


class CyclicLR(_Cycling):
    """Between `base_lr` and `max_lr`, over and over: `schedules.cyclic`.

    `scale_fn` takes the place of `mode`: the height of a peak by the number of its cycle, counted from 1, or, with
    `scale_mode="iterations"`, by the step.
    """

    _not_stored = ("scale_fn",)

    def __init__(
        self, optimizer: Any, base_lr: float | list[float], max_lr: float | list[float], step_size_up: int = 2000,
        step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle", cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8, max_momentum: float | list[float] = 0.9, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        low = per_group("base_lr", base_lr, optimizer, least=0)
        self.max_lrs = per_group("max_lr", max_lr, optimizer, least=0)
        self.step_size_up, self.step_size_down = step_size_up, step_size_down
        self.mode, self.gamma, self.scale_fn, self.scale_mode = mode, gamma, scale_fn, scale_mode
        schedules.cyclic(0, 0.0, 1.0, step_size_up, step_size_down, "triangular" if scale_fn else mode, gamma)
        check_choice("scale_mode", scale_mode, ("cycle", "iterations"))
        self._cycle(optimizer, cycle_momentum, base_momentum, max_momentum)
        check_count("last_epoch", last_epoch, least=-1)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, low, strict=True):
                group["initial_lr"] = lr
        super().__init__(optimizer, last_epoch)

    def _between(self, step: float, low: float, high: float) -> float:
        if self.scale_fn is None:
            return float(schedules.cyclic(step, low, high, self.step_size_up, self.step_size_down, self.mode, self.gamma))
        cycle, height = schedules.triangle(step, self.step_size_up, self.step_size_down)
        return float(low + (high - low) * height * self.scale_fn(int(cycle) + 1 if self.scale_mode == "cycle" else step))

    def get_lr(self) -> list[float]:
        return [self._between(self.last_epoch, low, high) for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def momentum(self, step: float, base: float, most: float) -> Any:
        return self._between(step, most, base)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "scale_fn": _held(self.scale_fn)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        _hold(self.scale_fn, state_dict["scale_fn"])


def _held(function: Any) -> dict[str, Any] | None:
    """What an object that is called holds; of a function, nothing can be stored."""
    plain = function is None or isinstance(function, type(_held)) or not hasattr(function, "__dict__")
    return None if plain else copy.deepcopy(vars(function))


def _hold(function: Any, held: dict[str, Any] | None) -> None:
    if held is not None:
        vars(function).update(copy.deepcopy(held))

"""What learning rate schedulers share: the step, the rates of all steps, saving and loading."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import compgraph as cg
from optim.optimizer import Optimizer
from optim.schedules import check_count, check_range, check_step


class LRScheduler:
    """What all schedulers share. A subclass says `get_lr()`: the rate of each parameter group at step `last_epoch`.

    >>> import compgraph as cg, optim
    >>> class Harmonic(LRScheduler):
    ...     def get_lr(self):
    ...         return [lr / (1 + self.last_epoch) for lr in self.base_lrs]
    >>> Harmonic(optim.SGD([cg.variable(1.0)], lr=12.0)).values(4)
    array([12.,  6.,  4.,  3.])
    """

    def __init__(self, optimizer: Any, last_epoch: int = -1) -> None:
        groups = groups_of(optimizer)
        check_count("last_epoch", last_epoch, least=-1)
        for number, group in enumerate(groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise cg.InputError(
                    f"last_epoch is {last_epoch}, but parameter group {number} has no 'initial_lr': load the optimizer's state "
                    f"first, or leave last_epoch out to start anew{cg.here()}"
                )
        self.optimizer = optimizer
        self.base_lrs = [plain(group["initial_lr"]) for group in groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[float]:
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rates that the latest step set, one for each parameter group."""
        return list(self._last_lr)

    def step(self, epoch: float | None = None) -> None:
        """Set the rates of the next step, or of step `epoch`."""
        before = self.last_epoch
        if epoch is not None:
            check_step(epoch)
        if len(self.optimizer.param_groups) != len(self.base_lrs):
            count = len(self.optimizer.param_groups)
            raise cg.InputError(
                f"the optimizer has {count} parameter groups, {type(self).__name__} was made for {len(self.base_lrs)}{cg.here()}"
            )
        self.last_epoch = before + 1 if epoch is None else epoch  # type: ignore[assignment]
        try:
            rates = self.get_lr()
            for rate in rates:
                check_range(f"the rate of step {self.last_epoch}", rate, 0, sys.float_info.max)
        except Exception:
            self.last_epoch = before
            raise
        self._set([float(rate) for rate in rates])

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = list(rates)
        self._step_count += 1

    def _restart(self) -> None:
        """Go back to step 0, from the first rates."""
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr
        self.last_epoch = -1
        self._initial_step()

    def _on(self, optimizer: Any) -> Any:
        """This scheduler, for another optimizer."""
        other = copy.copy(self)
        other.optimizer = optimizer
        return other

    def values(self, steps: int | Iterable[int], group: int = 0, key: str = "lr") -> np.ndarray[Any, Any]:
        """The rates of a parameter group at `steps`, or at the first so many steps, as an array; nothing is changed.

        `key="momentum"` gives the momentum, or Adam's first beta, where the scheduler moves it too.
        """
        wanted = list(range(steps)) if isinstance(steps, (int, np.integer)) else list(steps)
        for step in wanted:
            check_count("a step", step, least=0)
        trial = self._on(Rates(self.optimizer))
        trial._restart()
        seen = []
        for step in range(max(wanted, default=-1) + 1):
            if step:
                trial.step()
            seen.append(trial.optimizer.read(group, key))
        return np.array([seen[step] for step in wanted])

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions, as plain data: what `load_state_dict` takes."""
        return {key: copy.deepcopy(value) for key, value in vars(self).items() if key not in ("optimizer", *self._not_stored)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict()` was taken, to the bit. The rates themselves are in the optimizer's state: load that too."""
        self._check_state(state_dict)
        vars(self).update(copy.deepcopy({key: value for key, value in state_dict.items() if key not in self._not_stored}))

    _not_stored: tuple[str, ...] = ()

    def _check_state(self, state: Any) -> None:
        name = type(self).__name__
        if not isinstance(state, dict):
            raise cg.DtypeError(f"the state of {name} is a dict, not {state!r:.40}{cg.here()}")
        if odd := set(state) ^ set(self.state_dict()):
            raise cg.InputError(f"this is no state of {name}: {', '.join(sorted(map(str, odd)))} is in only one of the two{cg.here()}")
        for key in {"base_lrs", "_last_lr", "lr_lambdas"} & set(state):
            if len(state[key]) != len(self.optimizer.param_groups):
                here = len(self.optimizer.param_groups)
                raise cg.InputError(f"{key} of the state is for {len(state[key])} parameter groups, the optimizer has {here}{cg.here()}")


class Rates:
    """An optimizer's parameter groups without parameters, for a schedule to be tried on."""

    def __init__(self, optimizer: Any) -> None:
        self.param_groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        self.defaults = optimizer.defaults

    def read(self, number: int, key: str) -> Any:
        group = self.param_groups[number]
        return group["betas"][0] if key == "momentum" and "betas" in group else group[key]


class Chainable(LRScheduler):
    """A schedule of the form `floor + (lr - floor) * factor(step)`.

    It can tell from the rate in a group whether somebody else changed it since its own last step. If so, it goes on
    from that rate: as if its own first rate had been another. While its factor stays the same, it leaves the rate as it is.
    """

    _factor: float

    def factor(self, step: float) -> Any:
        raise NotImplementedError

    def _floors(self) -> list[float]:
        return [0.0] * len(self.base_lrs)

    def _initial_step(self) -> None:
        fresh = self.last_epoch == -1
        self._starts = [plain(group["lr"]) for group in self.optimizer.param_groups] if fresh else list(self.base_lrs)
        self._step_count = 0
        self.last_epoch += 1
        self._factor = float(self.factor(self.last_epoch))
        self._set([floor + (start - floor) * self._factor for start, floor in zip(self._starts, self._floors(), strict=True)])

    def get_lr(self) -> list[float]:
        factor, before = float(self.factor(self.last_epoch)), self._factor
        starts, rates = [], []
        for group, start, floor in zip(self.optimizer.param_groups, self._starts, self._floors(), strict=True):
            found = group["lr"]
            rate = floor + (start - floor) * factor
            if found != floor + (start - floor) * before:
                start = floor + (found - floor) / before if before else start
                rate = floor + (start - floor) * factor if factor != before else found
            starts.append(start)
            rates.append(rate)
        self._starts, self._factor = starts, factor
        return rates


def groups_of(optimizer: Any) -> list[dict[str, Any]]:
    if not isinstance(optimizer, Optimizer):
        raise cg.DtypeError(f"a scheduler takes an optimizer, not {optimizer!r:.40}{cg.here()}")
    return optimizer.param_groups


def per_group(name: str, value: Any, optimizer: Any, least: float | None = None) -> list[Any]:
    """`value` once for each parameter group, or as the list that it is, if it is as long; none below `least`."""
    count = len(groups_of(optimizer))
    values = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise cg.InputError(f"{name} has {len(values)} entries, the optimizer {count} parameter groups{cg.here()}")
    if least is not None:
        for one in values:
            check_range(name, one, least)
    return values


def plain(rate: Any) -> float:
    if isinstance(rate, cg.Node):
        raise cg.DtypeError(
            f"a scheduler sets rates that are numbers; for derivatives by the rate call the function in optim.schedules{cg.here()}"
        )
    return rate

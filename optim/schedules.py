"""Learning rates as functions of the step number: each schedule in closed form, once.

>>> from optim import schedules
>>> [round(float(schedules.cosine(step, 0.1, T_max=4)), 6) for step in range(5)]
[0.1, 0.085355, 0.05, 0.014645, 0.0]

Every function takes the step number first, from 0 on, then the rate `lr` that it starts from or scales, then its
hyperparameters under PyTorch's names; it returns the rate of that step. The step may be a number, an array of them (to plot
a schedule), or a node; rates and hyperparameters that are numbers may be nodes as well, so a schedule can be traced and
differentiated. Steps need not be whole. The classes of `lr_scheduler.py` are faces on these functions.

Raises `InputError` for a negative step, and for hyperparameters without a meaning, each by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import compgraph as cg

Rate = Any  # a number, an array or a node


def constant(step: Any, lr: Rate, factor: Rate = 1 / 3, total_iters: int = 5) -> Rate:
    """`lr * factor` for `total_iters` steps, then `lr`.

    >>> [round(float(constant(step, 0.3, factor=0.5, total_iters=2)), 6) for step in range(4)]
    [0.15, 0.15, 0.3, 0.3]
    """
    check_step(step)
    check_range("factor", factor, 0, 1)
    check_count("total_iters", total_iters, least=0)
    return lr * np.where(step < total_iters, factor, 1.0)


def linear(step: Any, lr: Rate, start_factor: Rate = 1 / 3, end_factor: Rate = 1.0, total_iters: int = 5) -> Rate:
    """From `lr * start_factor` to `lr * end_factor` along a straight line of `total_iters` steps: a warm-up.

    >>> [round(float(linear(step, 0.4, start_factor=0.25, total_iters=3)), 6) for step in range(5)]
    [0.1, 0.2, 0.3, 0.4, 0.4]

    PyTorch's `LinearLR` needs a start above 0, since it multiplies the rate of the step before; this function does not.
    """
    check_step(step)
    check_range("start_factor", start_factor, 0, 1)
    check_range("end_factor", end_factor, 0, 1)
    check_count("total_iters", total_iters)
    return lr * (start_factor + (end_factor - start_factor) * (np.minimum(step, total_iters) / total_iters))


def step_decay(step: Any, lr: Rate, step_size: int, gamma: Rate = 0.1) -> Rate:
    """`lr * gamma ** floor(step / step_size)`: a factor of `gamma` every `step_size` steps.

    >>> [round(float(step_decay(step, 1.0, step_size=2)), 6) for step in range(5)]
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """
    check_step(step)
    check_count("step_size", step_size)
    check_range("gamma", gamma, 0)
    return lr * gamma ** np.floor(step / step_size)


def multi_step(step: Any, lr: Rate, milestones: Sequence[int], gamma: Rate = 0.1) -> Rate:
    """A factor of `gamma` at each milestone; one that stands twice counts twice.

    >>> [round(float(multi_step(step, 1.0, milestones=[1, 3])), 6) for step in range(5)]
    [1.0, 0.1, 0.1, 0.01, 0.01]
    """
    check_step(step)
    check_milestones(milestones)
    check_range("gamma", gamma, 0)
    return lr * gamma ** sum((np.where(step >= milestone, 1.0, 0.0) for milestone in milestones), 0.0 * step)


def exponential(step: Any, lr: Rate, gamma: Rate) -> Rate:
    """`lr * gamma ** step`.

    >>> [round(float(exponential(step, 1.0, gamma=0.5)), 6) for step in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """
    check_step(step)
    check_range("gamma", gamma, 0)
    return lr * gamma ** (1.0 * step)


def polynomial(step: Any, lr: Rate, total_iters: int = 5, power: Rate = 1.0) -> Rate:
    """`lr * (1 - step / total_iters) ** power`, and 0 from `total_iters` on.

    >>> [round(float(polynomial(step, 1.0, total_iters=4, power=2.0)), 6) for step in range(6)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """
    check_step(step)
    check_count("total_iters", total_iters)
    check_range("power", power, 0)
    return lr * (1 - np.minimum(step, total_iters) / total_iters) ** power


def cosine(step: Any, lr: Rate, T_max: int, eta_min: Rate = 0.0) -> Rate:
    """`eta_min + (lr - eta_min) * (1 + cos(pi * step / T_max)) / 2`.

    >>> [round(float(cosine(step, 1.0, T_max=2, eta_min=0.5)), 6) for step in range(5)]
    [1.0, 0.75, 0.5, 0.75, 1.0]

    After `T_max` the rate climbs again, as PyTorch's does. Loshchilov and Hutter 2017, "SGDR", equation (5), without the
    restarts.
    """
    check_step(step)
    check_count("T_max", T_max)
    return eta_min + (lr - eta_min) * _fall(step / T_max)


def warm_restarts(step: Any, lr: Rate, T_0: int, T_mult: int = 1, eta_min: Rate = 0.0) -> Rate:
    """Cosines that each start at `lr`: the first is `T_0` steps long, each other `T_mult` times the one before.

    >>> [round(float(warm_restarts(step, 1.0, T_0=2, T_mult=2)), 6) for step in range(7)]
    [1.0, 0.5, 1.0, 0.853553, 0.5, 0.146447, 1.0]

    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation (5).
    """
    check_step(step)
    check_count("T_0", T_0)
    check_count("T_mult", T_mult)
    if T_mult == 1:
        return eta_min + (lr - eta_min) * _fall(step / T_0 - np.floor(step / T_0))

    def start(cycle: Any) -> Any:
        return T_0 * (T_mult**cycle - 1) / (T_mult - 1)

    # The logarithm may be off by a rounding exactly where a cycle begins, which would put that step at the end of the one before.
    cycle = np.floor(np.log(step / T_0 * (T_mult - 1) + 1) / np.log(T_mult))
    cycle = np.where(step >= start(cycle + 1), cycle + 1, np.where(step < start(cycle), cycle - 1, cycle))
    return eta_min + (lr - eta_min) * _fall((step - start(cycle)) / (T_0 * T_mult**cycle))


def cyclic(
    step: Any, base_lr: Rate, max_lr: Rate, step_size_up: int = 2000, step_size_down: int | None = None,
    mode: str = "triangular", gamma: Rate = 1.0,
) -> Rate:  # fmt: skip
    """Up from `base_lr` to `max_lr` in `step_size_up` steps and down again, over and over.

    >>> [round(float(cyclic(step, 0.0, 1.0, step_size_up=2, mode="triangular2")), 6) for step in range(9)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25, 0.0]

    Each peak is as high as the first ("triangular"), half as high as the one before ("triangular2"), or `gamma ** step` times as high
    ("exp_range"). A momentum that is lowest where the rate is highest is `cyclic(step, max_momentum, base_momentum, ...)`.
    Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.
    """
    check_choice("mode", mode, ("triangular", "triangular2", "exp_range"))
    check_range("gamma", gamma, 0)
    cycle, height = triangle(step, step_size_up, step_size_down)
    if mode == "triangular2":
        height = height * 0.5**cycle
    elif mode == "exp_range":
        height = height * gamma ** (1.0 * step)
    return base_lr + (max_lr - base_lr) * height


def triangle(step: Any, step_size_up: int, step_size_down: int | None = None) -> tuple[Any, Any]:
    """The number of the cycle, from 0 on, and how high in it the step is, from 0 to 1.

    >>> [(int(cycle), float(height)) for cycle, height in map(lambda step: triangle(step, 1, 3), range(6))][3:]
    [(0, 0.3333333333333333), (1, 0.0), (1, 1.0)]
    """
    check_step(step)
    check_count("step_size_up", step_size_up)
    down = step_size_up if step_size_down is None else step_size_down
    check_count("step_size_down", down)
    length = step_size_up + down
    cycle = np.floor(step / length)
    place = step - cycle * length
    return cycle, np.minimum(place / step_size_up, (length - place) / down)


def one_cycle(
    step: Any, max_lr: Rate, total_steps: int, pct_start: float = 0.3, anneal_strategy: str = "cos",
    div_factor: Rate = 25.0, final_div_factor: Rate = 1e4, three_phase: bool = False,
) -> Rate:  # fmt: skip
    """Up from `max_lr / div_factor` to `max_lr`, then down to `max_lr / div_factor / final_div_factor`, in `total_steps` steps.

    >>> [round(float(one_cycle(step, 1.0, total_steps=5, pct_start=0.6, div_factor=10.0)), 6) for step in range(5)]
    [0.1, 0.55, 1.0, 0.500005, 1e-05]

    The way up ends at step `pct_start * total_steps - 1`, which need not be whole. With `three_phase` the way down to
    `max_lr / div_factor` takes as long as the way up, and the rest goes from there to the last rate. Smith and Topin
    2018, "Super-Convergence", with PyTorch's phases. From step `total_steps - 1` on the rate stays.
    """
    initial = max_lr / div_factor
    last = initial / final_div_factor
    levels = [initial, max_lr, initial, last] if three_phase else [initial, max_lr, last]
    return _along(step, levels, total_steps, pct_start, anneal_strategy)


def one_cycle_momentum(
    step: Any, base_momentum: Rate = 0.85, max_momentum: Rate = 0.95, *, total_steps: int, pct_start: float = 0.3,
    anneal_strategy: str = "cos", three_phase: bool = False,
) -> Rate:  # fmt: skip
    """The momentum beside `one_cycle`: lowest where the rate is highest.

    >>> [round(float(one_cycle_momentum(step, total_steps=5, pct_start=0.6)), 6) for step in range(5)]
    [0.95, 0.9, 0.85, 0.9, 0.95]
    """
    levels = [max_momentum, base_momentum, max_momentum] + [max_momentum] * three_phase
    return _along(step, levels, total_steps, pct_start, anneal_strategy)


def swa(step: Any, lr: Rate, swa_lr: Rate, anneal_epochs: int = 10, anneal_strategy: str = "cos") -> Rate:
    """From `lr` to `swa_lr` in `anneal_epochs` steps, where it stays while weights are averaged; at once if that is 0.

    >>> [round(float(swa(step, 0.1, 0.5, anneal_epochs=2, anneal_strategy="linear")), 6) for step in range(4)]
    [0.1, 0.3, 0.5, 0.5]

    Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization".
    """
    check_step(step)
    check_count("anneal_epochs", anneal_epochs, least=0)
    check_choice("anneal_strategy", anneal_strategy, tuple(_ANNEALED))
    part = np.minimum(step / anneal_epochs, 1.0) if anneal_epochs else 1.0 + 0.0 * step
    return swa_lr + (lr - swa_lr) * _ANNEALED[anneal_strategy](part)


# ------------------------------------------------------------------------------------------- shapes


def _fall(part: Any) -> Any:
    """From 1 down to 0 along half a cosine, while `part` goes from 0 to 1."""
    return (1 + np.cos(np.pi * part)) / 2


_ANNEALED = {"cos": _fall, "linear": lambda part: 1 - part}


def _along(step: Any, levels: Sequence[Rate], total_steps: int, pct_start: float, anneal_strategy: str) -> Rate:
    """Through `levels`, two or three stretches of one cycle."""
    check_step(step)
    check_count("total_steps", total_steps)
    check_choice("anneal_strategy", anneal_strategy, tuple(_ANNEALED))
    check_range("pct_start", pct_start, 0, 1)
    if len(levels) == 4 and pct_start > 0.5:
        raise cg.InputError(
            f"pct_start is {pct_start}: with three_phase the ways up and down would take {2 * pct_start:g} of the run{cg.here()}"
        )
    ends = [0.0, *(number * (pct_start * total_steps - 1) for number in range(1, len(levels) - 1)), total_steps - 1.0]
    rate = levels[-1]
    for begin, end, first, last in reversed(list(zip(ends, ends[1:], levels, levels[1:], strict=False))):
        part = np.minimum(np.maximum((step - begin) / (end - begin), 0.0), 1.0) if end > begin else 1.0
        rate = np.where(step <= end, last + (first - last) * _ANNEALED[anneal_strategy](part), rate)
    return rate


# ------------------------------------------------------------------------------------------- checks


def check_step(step: Any) -> None:
    known = getattr(step, "value", step)  # an abstract node has none
    if known is not None and not _within(known, 0, float("inf")):
        raise cg.InputError(f"step is {known!r:.40}: steps are numbers, counted from 0 on{cg.here()}")


def check_count(name: str, count: Any, least: int = 1) -> None:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < least:
        raise cg.InputError(f"{name} is {count!r:.40}: it has to be a whole number from {least} on{cg.here()}")


def check_range(name: str, number: Any, low: float, high: float = float("inf")) -> None:
    known = getattr(number, "value", number)
    if known is not None and not _within(known, low, high):
        span = f"from {low} on" if high == float("inf") else f"from {low} to {high}"
        raise cg.InputError(f"{name} is {known!r:.40}: it has to be a number {span}{cg.here()}")


def _within(known: Any, low: float, high: float) -> bool:
    """Whether all numbers are in the range, which no NaN is. One alone, the usual case, takes no array."""
    if known.__class__ is float or known.__class__ is int:
        return low <= known <= high
    numbers = np.asarray(known)
    return numbers.dtype.kind in "biuf" and bool(np.all((low <= numbers) & (numbers <= high)))


def check_choice(name: str, choice: Any, choices: Sequence[str]) -> None:
    if choice not in choices:
        raise cg.InputError(f"{name} is {choice!r:.40}: it has to be {' or '.join(map(repr, choices))}{cg.here()}")


def check_milestones(milestones: Sequence[int], *, strictly: bool = False) -> None:
    for milestone in milestones:
        check_count("a milestone", milestone, least=1 if strictly else 0)
    for before, after in pairwise(milestones):
        if after < before or (strictly and after == before):
            raise cg.InputError(f"milestones are {list(milestones)!r:.60}: they have to increase, and {after} follows {before}{cg.here()}")

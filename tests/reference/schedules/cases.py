"""What is compared with PyTorch: schedules, and at the end gradient tools and averages.

A schedule has a name, the optimizer's settings, and how it is made.

`make(scheduler, optimizer)` gets the module with the schedulers, PyTorch's or this project's, and so says each case once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

STEPS = 200


class Case(NamedTuple):
    name: str
    make: Callable[[Any, Any], Any]
    rates: tuple[float, ...] = (0.1,)  # of each parameter group
    optimizer: str = "SGD"  # with momentum, or Adam
    metrics: Callable[[int], float] | None = None


def loss(step: int) -> float:
    """Falls, stays, climbs, falls again: all that a plateau can meet, and once it is not a number."""
    if step == 150:
        return float("nan")
    return max(1.0 - 0.02 * step, 0.3) + (0.1 if step % 37 == 5 else 0.0) - (0.004 * (step - 120) if step > 120 else 0.0)


CASES = [
    Case("constant", lambda s, o: s.ConstantLR(o)),
    Case("constant, long", lambda s, o: s.ConstantLR(o, factor=0.7, total_iters=40)),
    Case("linear", lambda s, o: s.LinearLR(o)),
    Case("linear, warm-up of two groups", lambda s, o: s.LinearLR(o, start_factor=0.01, total_iters=120), (0.1, 3.0)),
    Case("linear, down to zero", lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=60)),
    Case("lambda", lambda s, o: s.LambdaLR(o, lambda step: 0.95**step)),
    Case("lambda, two groups", lambda s, o: s.LambdaLR(o, [lambda step: step // 30, lambda step: 0.95**step]), (0.1, 0.5)),
    Case("multiplicative", lambda s, o: s.MultiplicativeLR(o, lambda step: 0.98 if step % 2 else 1.01)),
    Case("step", lambda s, o: s.StepLR(o, step_size=30)),
    Case("step, two groups", lambda s, o: s.StepLR(o, step_size=7, gamma=0.8), (0.1, 2.0)),
    Case("multi-step", lambda s, o: s.MultiStepLR(o, milestones=[30, 80], gamma=0.1)),
    Case("multi-step, one milestone twice", lambda s, o: s.MultiStepLR(o, milestones=[3, 50, 50, 199], gamma=0.5)),
    Case("exponential", lambda s, o: s.ExponentialLR(o, gamma=0.97)),
    Case("exponential, growing", lambda s, o: s.ExponentialLR(o, gamma=1.01), (1e-3, 1.0)),
    Case("polynomial", lambda s, o: s.PolynomialLR(o)),
    Case("polynomial, power 2", lambda s, o: s.PolynomialLR(o, total_iters=150, power=2.0)),
    Case("polynomial, power 0.5", lambda s, o: s.PolynomialLR(o, total_iters=180, power=0.5), (0.3, 0.01)),
    Case("cosine", lambda s, o: s.CosineAnnealingLR(o, T_max=200)),
    Case("cosine, many waves", lambda s, o: s.CosineAnnealingLR(o, T_max=33, eta_min=0.001), (0.1, 0.5)),
    Case("warm restarts", lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=10)),
    Case("warm restarts, growing", lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=10, T_mult=2, eta_min=1e-3), (0.1, 1.0)),
    Case("warm restarts, tripling", lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=3)),
    Case("cyclic", lambda s, o: s.CyclicLR(o, base_lr=0.01, max_lr=0.1, step_size_up=20)),
    Case("cyclic, triangular2, two groups", lambda s, o: s.CyclicLR(
        o, base_lr=[0.01, 0.1], max_lr=[0.1, 0.7], step_size_up=13, step_size_down=29, mode="triangular2"), (1.0, 1.0)),
    Case("cyclic, exp_range, Adam", lambda s, o: s.CyclicLR(
        o, base_lr=0.01, max_lr=0.1, step_size_up=17, mode="exp_range", gamma=0.99), optimizer="Adam"),
    Case("cyclic, own scale by cycles", lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=11, scale_fn=lambda cycle: 1 / cycle**2, cycle_momentum=False)),
    Case("cyclic, own scale by steps", lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, step_size_up=11, scale_fn=lambda step: 0.999**step, scale_mode="iterations")),
    Case("one cycle", lambda s, o: s.OneCycleLR(o, max_lr=0.1, total_steps=STEPS)),
    Case("one cycle, linear, two groups", lambda s, o: s.OneCycleLR(
        o, max_lr=[0.1, 1.0], epochs=20, steps_per_epoch=10, anneal_strategy="linear", pct_start=0.123), (1.0, 1.0)),
    Case("one cycle, three phases, Adam", lambda s, o: s.OneCycleLR(
        o, max_lr=0.1, total_steps=STEPS, three_phase=True, div_factor=10.0, final_div_factor=100.0), optimizer="Adam"),
    Case("one cycle, no warm-up", lambda s, o: s.OneCycleLR(o, max_lr=0.1, total_steps=STEPS, pct_start=0.0, cycle_momentum=False)),
    Case("SWA", lambda s, o: s.SWALR(o, swa_lr=0.5)),
    Case("SWA, linear, two groups", lambda s, o: s.SWALR(o, swa_lr=[0.05, 0.3], anneal_epochs=77, anneal_strategy="linear"), (0.1, 0.01)),
    Case("SWA, at once", lambda s, o: s.SWALR(o, swa_lr=0.05, anneal_epochs=0)),
    Case("plateau", lambda s, o: s.ReduceLROnPlateau(o), metrics=loss),
    Case("plateau, two groups", lambda s, o: s.ReduceLROnPlateau(
        o, factor=0.5, patience=3, cooldown=4, min_lr=[0.01, 1e-5]), (0.1, 0.1), metrics=loss),
    Case("plateau, max, abs", lambda s, o: s.ReduceLROnPlateau(
        o, mode="max", patience=5, threshold=0.05, threshold_mode="abs", eps=1e-4), metrics=lambda step: -loss(step)),
    Case("plateau, max, rel", lambda s, o: s.ReduceLROnPlateau(
        o, mode="max", patience=2, factor=0.9, threshold=0.01), metrics=lambda step: 2 - loss(step)),
    Case("chained", lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, factor=0.1, total_iters=20), s.ExponentialLR(o, gamma=0.98)]), (0.1, 1.0)),
    Case("chained, three", lambda s, o: s.ChainedScheduler(
        [s.LinearLR(o, start_factor=0.2, total_iters=50), s.StepLR(o, step_size=40, gamma=0.5), s.MultiStepLR(o, [60, 90], gamma=2.0)])),
    Case("chained, cosine with a floor", lambda s, o: s.ChainedScheduler(
        [s.ExponentialLR(o, gamma=0.99), s.CosineAnnealingLR(o, T_max=250, eta_min=0.002)])),
    Case("sequential, warm-up and cosine", lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, start_factor=0.01, total_iters=20), s.CosineAnnealingLR(o, T_max=180)], milestones=[20]), (0.1, 0.7)),
    Case("sequential, three", lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, factor=0.5, total_iters=10), s.CosineAnnealingWarmRestarts(o, T_0=15, T_mult=2), s.ExponentialLR(o, gamma=0.9)],
        milestones=[25, 140])),
    Case("sequential of a sequence", lambda s, o: s.ChainedScheduler([
        s.SequentialLR(o, [s.LinearLR(o, total_iters=12), s.PolynomialLR(o, total_iters=150)], milestones=[12]),
    ])),
]  # fmt: skip


def trajectory(case: Case, schedulers: Any, optimizer: Any) -> dict[str, list[list[float]]]:
    """The rates, and where they move the momenta, of every group in `STEPS` steps, the first before any step."""
    scheduler = case.make(schedulers, optimizer)
    rates: list[list[float]] = []
    momenta: list[list[float]] = []
    for step in range(STEPS):
        if step:
            optimizer.step()
            scheduler.step(*([case.metrics(step)] if case.metrics else []))
        rates.append([group["lr"] for group in optimizer.param_groups])
        momenta.append([group["betas"][0] if "betas" in group else group["momentum"] for group in optimizer.param_groups])
    return {"lr": rates, "momentum": momenta}

# ------------------------------------------------------------------- gradient tools and averages

SHAPES = [(3, 2), (4,), ()]
NORMS = [1.0, 1.5, 2.0, 3.0, float("inf")]
MAX_NORMS = [0.0, 0.5, 5.0, 1e3]
CLIP_VALUES = [0.0, 0.3, 10.0]
DECAYS = [0.0, 0.3, 0.9, 1.0]


def arrays(seed: int) -> list[np.ndarray[Any, Any]]:
    """Gradients or parameters: large, small and zero entries."""
    draw = np.random.default_rng(seed)
    return [np.where(draw.uniform(size=shape) < 0.2, 0.0, 10 ** draw.uniform(-3, 1, shape) * draw.normal(size=shape)) for shape in SHAPES]

"""Schedules: PyTorch's rates to 1e-12, one closed form for each, states that go on to the bit, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compgraph as cg
import optim
from optim import lr_scheduler, schedules

FOLDER = Path(__file__).parent.parent / "reference" / "schedules"
_spec = importlib.util.spec_from_file_location("schedule_cases", FOLDER / "cases.py")
assert _spec and _spec.loader
cases = importlib.util.module_from_spec(_spec)
sys.modules["schedule_cases"] = cases  # NamedTuple looks its module up
_spec.loader.exec_module(cases)
CASES, STEPS = cases.CASES, cases.STEPS
STORED = json.loads((FOLDER / "values.json").read_text(encoding="utf-8"))
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def optimizer_of(case: Any) -> optim.Optimizer:
    groups = [{"params": [cg.variable(np.ones(2))], "lr": rate} for rate in case.rates]
    made = optim.Adam(groups) if case.optimizer == "Adam" else optim.SGD(groups, momentum=0.9)
    for group in made.param_groups:
        group["params"][0].grad = np.zeros(2)
    return made


def sgd(lr: Any = 0.1, **options: Any) -> optim.Optimizer:
    return optim.SGD([cg.variable(1.0)], lr=lr, **options)


def run(scheduler: Any, steps: int) -> list[float]:
    """The rate before each of `steps` steps."""
    rates = []
    for _ in range(steps):
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.step()
    return rates


# ------------------------------------------------------------------------------------------ PyTorch


@by_name
def test_the_rates_are_those_of_pytorch(case: Any) -> None:
    found, stored = cases.trajectory(case, lr_scheduler, optimizer_of(case)), STORED[case.name]
    expected = np.array(stored["lr"])
    np.testing.assert_allclose(found["lr"], expected, rtol=1e-12, atol=1e-12 * float(expected.max()))
    momenta = np.array(stored.get("momentum", [[found["momentum"][0][0]] * len(case.rates)] * STEPS))
    np.testing.assert_allclose(found["momentum"], momenta, rtol=1e-12)


def test_every_schedule_is_compared() -> None:
    called = {name for case in CASES for name in case.make.__code__.co_names}
    schedulers = {name for name in lr_scheduler.__all__ if name != "LRScheduler"}
    assert schedulers <= called
    assert set(STORED) == {case.name for case in CASES} | {"by"}


@by_name
def test_values_are_the_steps_to_the_bit_and_change_nothing(case: Any) -> None:
    optimizer = optimizer_of(case)
    scheduler = case.make(lr_scheduler, optimizer)
    groups, state = repr(optimizer.param_groups), scheduler.state_dict()
    for group in range(len(case.rates)):
        if case.metrics:
            values = scheduler.values(map(case.metrics, range(1, STEPS)), group=group)
        else:
            values = scheduler.values(STEPS, group=group)
            np.testing.assert_array_equal(scheduler.values([150, 3, 3], group=group), values[[150, 3, 3]])
        assert repr(optimizer.param_groups) == groups and scheduler.state_dict() == state
        fresh = case.make(lr_scheduler, optimizer_of(case))
        stepped = []
        for step in range(STEPS):
            if step:
                fresh.step(*([case.metrics(step)] if case.metrics else []))
            stepped.append(fresh.optimizer.param_groups[group]["lr"])
        np.testing.assert_array_equal(values, stepped[1:] if case.metrics else stepped)


def test_the_momentum_can_be_read_too() -> None:
    scheduler = lr_scheduler.OneCycleLR(optim.Adam([cg.variable(1.0)]), max_lr=0.1, total_steps=5, pct_start=0.6)
    np.testing.assert_allclose(scheduler.values(5, key="momentum"), [0.95, 0.9, 0.85, 0.9, 0.95])


@by_name
def test_a_state_goes_on_to_the_bit(case: Any) -> None:
    def go(scheduler: Any, first: int, last: int) -> list[Any]:
        seen = []
        for step in range(first, last):
            scheduler.step(*([case.metrics(step)] if case.metrics else []))
            seen.append([{key: group[key] for key in group if key != "params"} for group in scheduler.optimizer.param_groups])
        return seen

    whole = case.make(lr_scheduler, optimizer_of(case))
    go(whole, 1, 70)
    saved, optimizer_state = json.loads(json.dumps(whole.state_dict())), whole.optimizer.state_dict()
    expected = go(whole, 70, STEPS)
    resumed = case.make(lr_scheduler, optimizer_of(case))
    resumed.load_state_dict(saved)
    resumed.optimizer.load_state_dict(optimizer_state)
    assert go(resumed, 70, STEPS) == expected


def test_a_state_is_a_copy() -> None:
    scheduler = lr_scheduler.StepLR(sgd(), step_size=1)
    state = scheduler.state_dict()
    before = json.dumps(state)
    scheduler.step()
    assert json.dumps(state) == before
    scheduler.load_state_dict(state)
    scheduler.step()
    assert json.dumps(state) == before
    state["base_lrs"][0] = scheduler.state_dict()["base_lrs"][0] = 7.0
    assert scheduler.base_lrs == [0.1]


# ------------------------------------------------------------------------------------- closed forms

FORMS: list[tuple[Any, dict[str, Any], str, dict[str, Any]]] = [
    (schedules.constant, {"factor": 0.25, "total_iters": 7}, "ConstantLR", {}),
    (schedules.linear, {"start_factor": 0.1, "end_factor": 0.9, "total_iters": 13}, "LinearLR", {}),
    (schedules.step_decay, {"step_size": 4, "gamma": 0.7}, "StepLR", {}),
    (schedules.multi_step, {"milestones": [2, 5, 19], "gamma": 0.7}, "MultiStepLR", {}),
    (schedules.exponential, {"gamma": 0.9}, "ExponentialLR", {}),
    (schedules.polynomial, {"total_iters": 17, "power": 1.5}, "PolynomialLR", {}),
    (schedules.cosine, {"T_max": 11, "eta_min": 0.01}, "CosineAnnealingLR", {}),
    (schedules.warm_restarts, {"T_0": 3, "T_mult": 2, "eta_min": 0.01}, "CosineAnnealingWarmRestarts", {}),
    (schedules.swa, {"swa_lr": 0.3, "anneal_epochs": 9}, "SWALR", {}),
    (schedules.cyclic, {"max_lr": 0.7, "step_size_up": 3, "step_size_down": 4, "mode": "triangular2"}, "CyclicLR",
     {"base_lr": 0.1, "cycle_momentum": False}),
    (schedules.cyclic, {"max_lr": 0.7, "step_size_up": 5, "mode": "exp_range", "gamma": 0.9}, "CyclicLR",
     {"base_lr": 0.1, "cycle_momentum": False}),
    (schedules.one_cycle, {"total_steps": 30, "pct_start": 0.4}, "OneCycleLR", {"max_lr": 0.1, "cycle_momentum": False}),
    (schedules.one_cycle, {"total_steps": 30, "three_phase": True, "anneal_strategy": "linear"}, "OneCycleLR",
     {"max_lr": 0.1, "cycle_momentum": False}),
]  # fmt: skip
form_ids = [f"{form.__name__}-{number}" for number, (form, *_) in enumerate(FORMS)]


@pytest.mark.parametrize(("form", "settings", "name", "more"), FORMS, ids=form_ids)
def test_the_class_is_its_function(form: Any, settings: Any, name: str, more: Any) -> None:
    scheduler = getattr(lr_scheduler, name)(sgd(0.1), **settings, **more)
    np.testing.assert_allclose(scheduler.values(30), form(np.arange(30), 0.1, **settings), rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize(("form", "settings", "name", "more"), FORMS, ids=form_ids)
def test_a_function_of_numbers_of_arrays_and_of_nodes_is_one(form: Any, settings: Any, name: str, more: Any) -> None:
    steps = np.arange(30)
    one_by_one = [float(form(int(step), 0.1, **settings)) for step in steps]
    np.testing.assert_allclose(form(steps, 0.1, **settings), one_by_one, rtol=1e-14, atol=1e-17)
    traced = cg.trace(lambda step, lr: form(step, lr, **settings), 1.0, 0.1)
    np.testing.assert_allclose([float(traced(float(step), 0.1)) for step in steps], one_by_one, rtol=1e-14, atol=1e-17)
    np.testing.assert_allclose(form(cg.variable(steps), 0.1, **settings).value, one_by_one, rtol=1e-14, atol=1e-17)
    compiled = cg.compile(lambda step, lr: form(step, lr, **settings))
    np.testing.assert_allclose([compiled(float(step), 0.1) for step in steps], one_by_one, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize(("form", "settings", "name", "more"), FORMS, ids=form_ids)
def test_a_function_is_differentiable_by_its_rates(form: Any, settings: Any, name: str, more: Any) -> None:
    step, h = 8, 1e-6
    numbers = {key: value for key, value in settings.items() if isinstance(value, float) and key != "pct_start"}

    def rate(lr: Any, numbers: Any) -> Any:
        return form(step, lr, **{**settings, **numbers})

    by_lr, by_numbers = cg.grad(rate, argnums=(0, 1))(0.1, numbers) if numbers else (cg.grad(rate)(0.1, {}), {})
    assert by_lr == pytest.approx((rate(0.1 + h, numbers) - rate(0.1 - h, numbers)) / (2 * h), rel=1e-7, abs=1e-9)
    for key, value in numbers.items():
        up, down = (rate(0.1, {**numbers, key: value + shift}) for shift in (h, -h))
        assert by_numbers[key] == pytest.approx((up - down) / (2 * h), rel=1e-7, abs=1e-9), key


def test_a_schedule_between_steps_has_a_slope() -> None:
    slope = cg.grad(lambda step: schedules.cosine(step, 0.1, T_max=10))(2.5)
    assert slope == pytest.approx(-0.1 / 2 * math.pi / 10 * math.sin(math.pi / 4))


@given(T_0=st.integers(1, 50), T_mult=st.integers(2, 7), cycle=st.integers(0, 12))
def test_a_restart_is_at_its_step_exactly(T_0: int, T_mult: int, cycle: int) -> None:
    start = T_0 * (T_mult**cycle - 1) // (T_mult - 1)
    assert schedules.warm_restarts(start, 0.1, T_0, T_mult) == 0.1
    if start:
        just_before = float(np.nextafter(float(start), 0.0))
        assert float(schedules.warm_restarts(just_before, 0.1, T_0, T_mult)) < 1e-6
    if start > 1:
        part = 1 - 1 / (T_0 * T_mult ** (cycle - 1))
        assert float(schedules.warm_restarts(start - 1, 0.1, T_0, T_mult)) == pytest.approx(0.05 * (1 + math.cos(math.pi * part)), abs=1e-9)


def test_a_way_up_of_no_length_is_at_its_top() -> None:
    assert float(schedules.one_cycle(0, 1.0, total_steps=10, pct_start=0.1)) == 1.0
    assert float(schedules.one_cycle(0, 1.0, total_steps=1, pct_start=1.0)) == 1.0


@given(step=st.integers(0, 10_000), up=st.integers(1, 40), down=st.integers(1, 40))
def test_a_triangle_stays_between_its_ends(step: int, up: int, down: int) -> None:
    rate = float(schedules.cyclic(step, 0.1, 0.5, up, down))
    place = step % (up + down)
    assert 0.1 <= rate <= 0.5
    assert rate == pytest.approx(0.1 + 0.4 * (place / up if place <= up else (up + down - place) / down), rel=1e-12)


# ----------------------------------------------------------------------------------- several at once


def test_a_chain_is_the_product_of_its_closed_forms() -> None:
    optimizer = sgd(0.1)
    chain = lr_scheduler.ChainedScheduler([
        lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=20),
        lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.5),
        lr_scheduler.ExponentialLR(optimizer, gamma=0.99),
    ])  # fmt: skip
    steps = np.arange(60)
    product = schedules.exponential(steps, schedules.step_decay(steps, schedules.linear(steps, 0.1, 0.1, total_iters=20), 7, 0.5), 0.99)
    np.testing.assert_allclose(chain.values(60), product, rtol=1e-13)
    np.testing.assert_allclose(run(chain, 60), product, rtol=1e-13)


def test_schedulers_stepped_side_by_side_are_a_chain() -> None:
    def make() -> list[Any]:
        optimizer = sgd(0.1)
        return [lr_scheduler.ExponentialLR(optimizer, 0.9), lr_scheduler.CosineAnnealingLR(optimizer, T_max=80, eta_min=0.001)]

    chained, (first, second) = lr_scheduler.ChainedScheduler(make()), make()
    for _ in range(50):
        chained.step()
        first.step()
        second.step()
    assert chained.get_last_lr() == second.get_last_lr()


@pytest.mark.parametrize("make", [
    lambda o: lr_scheduler.StepLR(o, step_size=5, gamma=0.5),
    lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9),
    lambda o: lr_scheduler.PolynomialLR(o, total_iters=40),
    lambda o: lr_scheduler.LinearLR(o, total_iters=30),
])  # fmt: skip
def test_a_rate_that_the_user_changes_stays_changed(make: Any) -> None:
    untouched, touched = make(sgd(1.0)), make(sgd(1.0))
    run(untouched, 8)
    run(touched, 8)
    touched.optimizer.param_groups[0]["lr"] *= 0.25
    np.testing.assert_allclose(run(touched, 20), 0.25 * np.array(run(untouched, 20)), rtol=1e-13)


def test_a_rate_that_is_set_after_the_end_stays() -> None:
    scheduler = lr_scheduler.PolynomialLR(sgd(1.0), total_iters=3)
    run(scheduler, 5)
    scheduler.optimizer.param_groups[0]["lr"] = 0.01
    assert run(scheduler, 3) == [0.01] * 3


def test_where_a_schedule_is_at_its_floor_it_knows_its_own_rate_only() -> None:
    """What somebody else changes there says nothing of the rate to climb back to."""
    untouched, touched = (lr_scheduler.CosineAnnealingLR(sgd(1.0), T_max=3, eta_min=0.1) for _ in range(2))
    run(untouched, 3)
    run(touched, 3)
    touched.optimizer.param_groups[0]["lr"] = 0.05
    assert run(touched, 5)[1:] == run(untouched, 5)[1:]


def test_a_plateau_beside_a_schedule() -> None:
    optimizer = sgd(1.0)
    decay, plateau = lr_scheduler.ExponentialLR(optimizer, 0.5), lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.1)
    rates = []
    for loss in (1.0, 1.0, 0.5):
        decay.step()
        plateau.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.5, 0.025, 0.0125])


def test_a_plateau_takes_a_node() -> None:
    scheduler = lr_scheduler.ReduceLROnPlateau(sgd(1.0), patience=0)
    for _ in range(2):
        scheduler.step(cg.variable(2.0) * 1.0)
    assert scheduler.get_last_lr() == [0.1] and scheduler.best == 2.0


def test_a_sequence_starts_each_schedule_from_its_own_rate() -> None:
    optimizer = sgd(0.4)
    parts = [lr_scheduler.ConstantLR(optimizer, 0.5, 3), lr_scheduler.ExponentialLR(optimizer, 0.5), lr_scheduler.LinearLR(optimizer, 0.25)]
    sequence = lr_scheduler.SequentialLR(optimizer, parts, milestones=[2, 4])
    expected = [0.2, 0.2, 0.4, 0.2, 0.1, 0.16]
    np.testing.assert_allclose(sequence.values(6), expected)
    np.testing.assert_allclose(run(sequence, 6), expected)


def test_a_chain_inside_a_sequence() -> None:
    optimizer = sgd(1.0)
    warm_up = lr_scheduler.LinearLR(optimizer, 0.25, total_iters=3)
    both = lr_scheduler.ChainedScheduler([lr_scheduler.ConstantLR(optimizer, 0.5, 2), lr_scheduler.ExponentialLR(optimizer, 0.5)])
    sequence = lr_scheduler.SequentialLR(optimizer, [warm_up, both], milestones=[3])
    np.testing.assert_allclose(run(sequence, 6), [0.25, 0.5, 0.75, 0.5, 0.25, 0.25])


@by_name
def test_resumed_by_last_epoch(case: Any) -> None:
    """Schedules that are functions of the step go on from `initial_lr`, whatever rate is in the group."""
    if case.metrics or "chain" in case.name or "sequen" in case.name or case.name == "multiplicative":
        return
    values = case.make(lr_scheduler, optimizer_of(case)).values(STEPS)
    optimizer = optimizer_of(case)
    case.make(lr_scheduler, optimizer)  # which notes initial_lr

    class From41:
        """The schedulers, each with `last_epoch=41`."""

        def __getattr__(self, name: str) -> Any:
            return lambda *args, **options: getattr(lr_scheduler, name)(*args, **options, last_epoch=41)

    resumed = case.make(From41(), optimizer)
    assert resumed.last_epoch == 42
    assert resumed.get_last_lr()[0] == values[42]
    resumed.step()
    assert resumed.get_last_lr()[0] == values[43]


def test_a_sequence_resumed_by_last_epoch() -> None:
    def make(optimizer: Any, **options: Any) -> Any:
        parts = [lr_scheduler.LinearLR(optimizer, total_iters=4), lr_scheduler.ExponentialLR(optimizer, 0.5)]
        return lr_scheduler.SequentialLR(optimizer, parts, milestones=[4], **options)

    resumed = make(sgd(1.0), last_epoch=6)
    assert resumed.last_epoch == 7 and resumed.get_last_lr()[0] == make(sgd(1.0)).values(8)[7]


def test_a_step_can_be_named() -> None:
    scheduler = lr_scheduler.ExponentialLR(sgd(1.0), gamma=0.5)
    scheduler.step(4)
    assert scheduler.get_last_lr() == [0.5**4]
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5**5]


def test_warm_restarts_step_within_an_epoch() -> None:
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(sgd(1.0), T_0=4)
    scheduler.step(1.5)
    assert scheduler.last_epoch == 1
    assert scheduler.get_last_lr()[0] == pytest.approx((1 + math.cos(math.pi * 1.5 / 4)) / 2)
    scheduler.step()
    assert scheduler.get_last_lr()[0] == pytest.approx((1 + math.cos(math.pi * 2.5 / 4)) / 2)


def test_one_cycle_may_be_stepped_as_often_as_it_has_steps() -> None:
    scheduler = lr_scheduler.OneCycleLR(sgd(momentum=0.9), max_lr=0.1, total_steps=10, anneal_strategy="linear")
    rates = run(scheduler, 10)
    assert scheduler.get_last_lr() == [rates[-1]] and rates[-1] == pytest.approx(0.1 / 25 / 1e4)
    before = scheduler.state_dict()
    with pytest.raises(cg.InputError, match="step 11 of a cycle of 10: total_steps"):
        scheduler.step()
    assert scheduler.state_dict() == before


def test_objects_that_are_called_keep_what_they_hold() -> None:
    class Slower:
        def __init__(self, by: float) -> None:
            self.by = by

        def __call__(self, step: int) -> float:
            return self.by**step

    for make in (lambda f: lr_scheduler.LambdaLR(sgd(1.0), f), lambda f: lr_scheduler.MultiplicativeLR(sgd(1.0), f)):
        other = make(Slower(0.9))
        other.load_state_dict(make(Slower(0.5)).state_dict())
        assert other.lr_lambdas[0].by == 0.5
    scheduler = lr_scheduler.CyclicLR(sgd(), 0.1, 1.0, scale_fn=Slower(0.9), cycle_momentum=False)
    scheduler.load_state_dict(lr_scheduler.CyclicLR(sgd(), 0.1, 1.0, scale_fn=Slower(0.5), cycle_momentum=False).state_dict())
    assert scheduler.scale_fn.by == 0.5


def test_training_with_a_schedule_and_momentum() -> None:
    w = cg.variable(1.0, name="w")
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=60)
    for _ in range(60):
        optimizer.zero_grad()
        (0.5 * w * w).backward()
        optimizer.step()
        scheduler.step()
    assert abs(float(w.value)) < 0.05


# ------------------------------------------------------------------------------------------ refusals

REFUSED: list[tuple[str, Any, str]] = [
    ("no optimizer", lambda o: lr_scheduler.StepLR([1], step_size=3), "takes an optimizer"),
    ("rate that is a node", lambda o: lr_scheduler.StepLR(sgd(cg.variable(0.1)), step_size=3), "number"),
    ("step size", lambda o: lr_scheduler.StepLR(o, step_size=0), "step_size is 0: it has to be a whole number from 1 on"),
    ("step size, float", lambda o: lr_scheduler.StepLR(o, step_size=2.5), "step_size is 2.5"),
    ("gamma", lambda o: lr_scheduler.StepLR(o, 3, gamma=-0.1), "gamma is -0.1"),
    ("gamma, NaN", lambda o: lr_scheduler.ExponentialLR(o, gamma=math.nan), "gamma is nan"),
    ("gamma, text", lambda o: lr_scheduler.ExponentialLR(o, gamma="0.9"), "gamma is '0.9'"),
    ("milestones", lambda o: lr_scheduler.MultiStepLR(o, milestones=[30, 10]), "increase, and 10 follows 30"),
    ("milestone", lambda o: lr_scheduler.MultiStepLR(o, milestones=[-3]), "a milestone is -3"),
    ("factor", lambda o: lr_scheduler.ConstantLR(o, factor=1.5), "factor is 1.5: it has to be a number from 0 to 1"),
    ("start", lambda o: lr_scheduler.LinearLR(o, start_factor=0.0), "start_factor is 0"),
    ("end", lambda o: lr_scheduler.LinearLR(o, end_factor=1.1), "end_factor is 1.1"),
    ("steps", lambda o: lr_scheduler.LinearLR(o, total_iters=0), "total_iters is 0"),
    ("power", lambda o: lr_scheduler.PolynomialLR(o, power=-1.0), "power is -1"),
    ("T_max", lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=0), "T_max is 0"),
    ("eta_min", lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=3, eta_min=-1.0), "eta_min is -1"),
    ("T_0", lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=0), "T_0 is 0"),
    ("T_mult", lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=1, T_mult=0), "T_mult is 0"),
    ("no steps", lambda o: lr_scheduler.OneCycleLR(o, 0.1), "total_steps, or epochs and steps_per_epoch"),
    ("negative steps", lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=-5), "total_steps is -5"),
    ("epochs", lambda o: lr_scheduler.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3), "epochs is 0"),
    ("warm-up longer than the run", lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=5, pct_start=1.5), "pct_start is 1.5"),
    ("three phases", lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=5, pct_start=0.6, three_phase=True), "take 1.2 of the run"),
    ("strategy", lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=5, anneal_strategy="sin"), "'cos' or 'linear'"),
    ("divider", lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=5, div_factor=0.0), "div_factor is 0.0"),
    ("rates", lambda o: lr_scheduler.OneCycleLR(o, [0.1, 0.2], total_steps=5), "max_lr has 2 entries, the optimizer 1 parameter groups"),
    ("no momentum", lambda o: lr_scheduler.OneCycleLR(optim.Adagrad([cg.variable(1.0)]), 0.1, total_steps=5), "cycle_momentum"),
    ("momentum", lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=5, max_momentum=1.5), "max_momentum is 1.5"),
    ("mode", lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, mode="square"), "mode is 'square'"),
    ("scale mode", lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, scale_mode="epochs"), "scale_mode is 'epochs'"),
    ("way up", lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, step_size_up=0), "step_size_up is 0"),
    ("way down", lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, step_size_down=-1), "step_size_down is -1"),
    ("base rate", lambda o: lr_scheduler.CyclicLR(o, -0.1, 0.2), "base_lr is -0.1"),
    ("no function", lambda o: lr_scheduler.LambdaLR(o, 0.9), "a function of the step, not 0.9"),
    ("functions", lambda o: lr_scheduler.LambdaLR(o, [abs, abs]), "lr_lambda has 2 entries"),
    ("anneal", lambda o: lr_scheduler.SWALR(o, 0.1, anneal_epochs=-1), "anneal_epochs is -1"),
    ("plateau factor", lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), "factor is 1.0"),
    ("plateau mode", lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="least"), "'min' or 'max'"),
    ("plateau patience", lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=-1), "patience is -1"),
    ("plateau least", lambda o: lr_scheduler.ReduceLROnPlateau(o, min_lr=-1.0), "min_lr is -1.0"),
    ("last epoch", lambda o: lr_scheduler.StepLR(o, 3, last_epoch=4), "has no 'initial_lr'"),
    ("last epoch, negative", lambda o: lr_scheduler.StepLR(o, 3, last_epoch=-2), "last_epoch is -2"),
    ("nothing chained", lambda o: lr_scheduler.ChainedScheduler([]), "at least one"),
    ("no scheduler", lambda o: lr_scheduler.ChainedScheduler([o]), r"schedulers\[0\] is no scheduler"),
    ("chained plateau", lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(o)]), "step it by itself"),
    ("two optimizers", lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.StepLR(sgd(), 3), lr_scheduler.StepLR(sgd(), 3)]), r"schedulers\[1\], a StepLR, is of another optimizer"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_has_no_meaning_is_refused(make: Any, message: str) -> None:
    optimizer = sgd(0.1, momentum=0.9)
    before = repr(optimizer)
    with pytest.raises(cg.CompgraphError, match=message):
        make(optimizer)
    assert repr(optimizer) == before


@pytest.mark.parametrize(("milestones", "message"), [
    ([], "2 schedulers take 1 milestones"), ([0], "a milestone is 0"), ([4, 4], "have to increase, and 4 follows 4"),
])  # fmt: skip
def test_milestones_of_a_sequence(milestones: list[int], message: str) -> None:
    optimizer = sgd()
    parts = [lr_scheduler.StepLR(optimizer, 3), lr_scheduler.StepLR(optimizer, 3)]
    with pytest.raises(cg.InputError, match=message):
        lr_scheduler.SequentialLR(optimizer, parts, milestones=milestones)


@pytest.mark.parametrize("step", [-1, -0.5, math.nan, np.array([0.0, -2.0]), "3", cg.variable(-1.0)], ids=str)
def test_no_schedule_has_negative_steps(step: Any) -> None:
    forms = [(form, settings) for form, settings, *_ in FORMS]
    for form, settings in forms:
        with pytest.raises(cg.InputError, match="steps are numbers, counted from 0 on"):
            form(step, 0.1, **settings)
    scheduler = lr_scheduler.ExponentialLR(sgd(), 0.9)
    state = scheduler.state_dict()
    with pytest.raises(cg.InputError, match="counted from 0 on"):
        scheduler.step(step)
    assert scheduler.state_dict() == state


def test_a_state_that_does_not_fit_is_refused_whole() -> None:
    optimizer = sgd(1.0)
    scheduler = lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.LinearLR(optimizer), lr_scheduler.ExponentialLR(optimizer, 0.5)], milestones=[3]
    )
    run(scheduler, 4)
    state = scheduler.state_dict()
    exchanged = {**state, "last_epoch": 77, "_schedulers": state["_schedulers"][::-1]}
    fewer = {**state, "last_epoch": 77, "_schedulers": state["_schedulers"][:1]}
    two_groups = {**state, "last_epoch": 77, "base_lrs": [1.0, 2.0]}
    for wrong in (exchanged, fewer, two_groups, {}, [], lr_scheduler.StepLR(sgd(), 3).state_dict()):
        with pytest.raises(cg.CompgraphError, match="state"):
            scheduler.load_state_dict(wrong)
        assert scheduler.state_dict() == state


@pytest.mark.parametrize("rate", [math.nan, math.inf, -0.1, "fast"])
def test_a_function_that_gives_no_rate(rate: Any) -> None:
    scheduler = lr_scheduler.LambdaLR(sgd(1.0), [lambda step: rate if step == 2 else np.float64(0.5)])
    scheduler.step()
    assert type(scheduler.optimizer.param_groups[0]["lr"]) is float
    with pytest.raises((cg.InputError, TypeError), match=r"the rate of step 2 is|can't multiply"):
        scheduler.step()
    assert scheduler.last_epoch == 1 and scheduler.get_last_lr() == [0.5]


def test_groups_that_are_added_later() -> None:
    optimizer = sgd(1.0)
    decay, plateau = lr_scheduler.StepLR(optimizer, 1), lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    listed = lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=[0.1])
    optimizer.add_param_group({"params": [cg.variable(2.0)], "lr": 3.0})
    with pytest.raises(cg.InputError, match="has 2 parameter groups, StepLR was made for 1"):
        decay.step()
    with pytest.raises(cg.InputError, match="min_lr has 1 entries, the optimizer by now 2"):
        listed.step(1.0)
    plateau.step(1.0)
    plateau.step(1.0)
    assert plateau.get_last_lr() == pytest.approx([0.1, 0.3])


def test_a_function_that_fails_leaves_the_schedule_where_it_was() -> None:
    scheduler = lr_scheduler.LambdaLR(sgd(1.0), lambda step: 1 / (1 - step) if step else 1.0)
    with pytest.raises(ZeroDivisionError):
        scheduler.step()
    assert scheduler.last_epoch == 0 and scheduler.get_last_lr() == [1.0]

"""A step that is one program: the numbers of the two programs, and nothing done where something is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn
from optim.whole_step import WholeStep

DRAW = np.random.default_rng(3)
X = DRAW.normal(size=(12, 5)).astype(np.float32)
LABELS = DRAW.integers(0, 3, 12)


@pytest.fixture(autouse=True)
def _numba() -> None:
    pytest.importorskip("numba")


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 6, bias=False, generator=1), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3, generator=2)
    )  # fmt: skip


def step_of(target: str, make: Any = optim.Adam, model: Any = None, loss: Any = nn.cross_entropy, **options: Any) -> optim.TrainStep:
    model = network() if model is None else model
    return optim.train_step(model, loss, make(model.parameters(), lr=0.01), target=target, generator=np.random.default_rng(4), **options)


def state_of(step: optim.TrainStep) -> dict[str, Any]:
    found = {f"model.{name}": value for name, value in step.model.state_dict().items()}
    for number, state in step.optimizer.state_dict()["state"].items():
        found |= {f"{number}.{name}": np.array(value) for name, value in state.items()}
    return found


def assert_same(one: optim.TrainStep, other: optim.TrainStep, rtol: float = 2e-4) -> None:
    left, right = state_of(one), state_of(other)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=rtol, atol=1e-6, err_msg=name)


def is_whole(step: optim.TrainStep) -> bool:
    assert step._latest is not None
    return isinstance(step._latest[1], WholeStep)


def test_one_program_and_two_do_the_same() -> None:
    one, two = step_of("numba"), step_of("numpy")
    for _ in range(5):
        assert one(X, LABELS) == pytest.approx(two(X, LABELS), rel=1e-4)
        assert one.grad_norm == pytest.approx(two.grad_norm, rel=1e-3)
    assert is_whole(one) and not is_whole(two)
    assert_same(one, two)


@pytest.mark.parametrize("options", [{"clip_grad_norm": 0.1}, {"clip_grad_value": 0.01}, {"grad_noise": 0.1}, {"accumulate": 2}])
def test_what_is_done_between_gradient_and_update_needs_two(options: dict[str, Any]) -> None:
    model = nn.Linear(5, 3, generator=1)
    step = step_of("numba", model=model, **options)
    other = step_of("numpy", model=nn.Linear(5, 3, generator=1), **options)
    for _ in range(3):
        step(X, LABELS), other(X, LABELS)
    assert not is_whole(step)
    assert_same(step, other)


def test_clipping_that_is_asked_for_later_is_done() -> None:
    step = step_of("numba", optim.SGD, nn.Linear(5, 3, generator=1))
    step(X, LABELS)
    before = step.model.weight.value.copy(), step.model.bias.value.copy()
    step.clip_grad_norm = 1e-3
    step(X, LABELS)
    moved = np.sqrt(sum(np.sum((p.value - old) ** 2) for p, old in zip(step.model.parameters(), before, strict=True)))
    assert step.grad_norm > 1e-2 and moved == pytest.approx(0.01 * 1e-3, rel=0.05)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_leaves_everything_as_it_was(bad: float) -> None:
    step = step_of("numba")
    step(X, LABELS)
    before, drawn = state_of(step), step.generator.bit_generator.state
    wrong = X.copy()
    wrong[3, 2] = bad
    with pytest.raises(cg.AnomalyError, match=r"NaN|nan|inf|not finite"), np.errstate(all="ignore"):
        step(wrong, LABELS)
    assert step.generator.bit_generator.state == drawn and step.steps == 1
    for name, value in state_of(step).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    again, reference = step(X, LABELS), step_of("numba")
    reference(X, LABELS)
    assert again == reference(X, LABELS)


def test_a_label_beyond_the_classes_changes_nothing() -> None:
    step = step_of("numba")
    step(X, LABELS)
    before = state_of(step)
    with pytest.raises((cg.NodeIndexError, cg.InputError)):
        step(X, np.where(np.arange(12) == 7, 3, LABELS))
    for name, value in state_of(step).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_gradients_whose_square_alone_is_too_large_are_used() -> None:
    def loss(output: Any, target: Any) -> Any:
        return np.sum(output) * np.float32(1e22)

    models = [nn.Linear(5, 3, generator=1) for _ in range(2)]
    pairs = zip(models, ("numba", "numpy"), strict=True)
    steps = [optim.train_step(model, loss, optim.SGD(model.parameters(), lr=1e-24), target=target) for model, target in pairs]
    for step in steps:
        with np.errstate(over="ignore"):
            step(X, LABELS)
        assert np.isfinite(step.grad_norm) and step.grad_norm > 1e22
    assert_same(*steps, rtol=1e-5)


def test_hyperparameters_that_change_are_followed() -> None:
    steps = [step_of(target, optim.AdamW, nn.Linear(5, 3, generator=1)) for target in ("numba", "numpy")]
    for step in steps:
        for number in range(4):
            step.optimizer.param_groups[0].update(lr=0.01 * (number + 1), weight_decay=0.1 * (number + 1))
            step(X, LABELS)
    assert_same(*steps)


def test_values_that_are_set_between_steps_are_taken_in() -> None:
    step = step_of("numba", optim.SGD, nn.Linear(5, 3, generator=1))
    step(X, LABELS)
    step.model.weight.value = np.zeros((3, 5), np.float32)
    step.model.bias.value = np.zeros(3, np.float32)
    assert step(X, LABELS) == pytest.approx(np.log(3), rel=1e-5)


def test_text_and_notes_are_those_of_the_one_program() -> None:
    step = step_of("numba").prepare(X, LABELS)
    assert step.source.count("def train_step(") == 1 and isinstance(step.notes, tuple)
    assert len(step.graph.outputs) > 3

"""Clipping as PyTorch does it, accumulation equal to the whole batch, noise, penalties and what they are for each optimizer."""

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

FOLDER = Path(__file__).parent.parent / "reference" / "schedules"
_spec = importlib.util.spec_from_file_location("schedule_cases", FOLDER / "cases.py")
assert _spec and _spec.loader
cases = importlib.util.module_from_spec(_spec)
sys.modules["schedule_cases"] = cases
_spec.loader.exec_module(cases)
STORED = json.loads((FOLDER / "tools.json").read_text(encoding="utf-8"))


def with_gradients(*gradients: Any) -> list[Any]:
    made = [cg.variable(np.zeros_like(gradient), name=f"p{number}") for number, gradient in enumerate(gradients)]
    for p, gradient in zip(made, gradients, strict=True):
        p.grad = gradient
    return made


# ------------------------------------------------------------------------------------------ clipping


@pytest.mark.parametrize("row", STORED["clipped"], ids=lambda row: " ".join(f"{key}={row[key]}" for key in row if key != "gradients"))
def test_clipping_is_pytorchs(row: Any) -> None:
    gradients = cases.arrays(0)
    held = with_gradients(*gradients)
    if "norm" in row:
        norm = optim.clip_grad_norm_(iter(held), row["max_norm"], row["norm_type"])
        assert norm == pytest.approx(row["norm"], rel=1e-14)
        assert optim.get_total_norm(gradients, row["norm_type"]) == norm
    else:
        optim.clip_grad_value_(held, row["clip_value"])
    for p, expected, before, again in zip(held, row["gradients"], gradients, cases.arrays(0), strict=True):
        np.testing.assert_allclose(p.grad, expected, rtol=1e-14, atol=1e-300)
        np.testing.assert_array_equal(before, again)  # what was in grad is not written into


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=8), st.sampled_from([1.0, 2.0, 3.5, math.inf]))
def test_a_norm_is_that_of_one_vector_and_does_not_overflow(entries: list[float], order: float) -> None:
    norm = float(optim.get_total_norm([np.array(entries[:1]), np.array(entries[1:])], order))
    most = max(map(abs, entries))
    if 1e-290 < most < 1e290:
        assert norm == pytest.approx(most * np.linalg.norm(np.array(entries) / most, order), rel=1e-12)
    assert most * (1 - 1e-15) <= norm
    held = with_gradients(np.array(entries))
    optim.clip_grad_norm_(held, 1.0, order)
    assert float(optim.get_total_norm(held[0].grad, order)) <= 1 + 1e-12 or not math.isfinite(norm)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipping_keeps_dtypes_shapes_and_missing_gradients(dtype: Any) -> None:
    held = with_gradients(np.full((2, 3), 4.0, dtype), np.zeros((0, 3), dtype), dtype(3.0))
    held.append(cg.variable(1.0))
    optim.clip_grad_norm_(held, 1.0)
    optim.clip_grad_value_(held, 0.25)
    assert [(p.grad.shape, p.grad.dtype) for p in held[:3]] == [((2, 3), dtype), ((0, 3), dtype), ((), dtype)]
    assert held[3].grad is None
    large = with_gradients(np.full(4, 1e30, np.float32))  # whose squares are too large for float32
    assert optim.clip_grad_norm_(large, 1.0) == pytest.approx(2e30, rel=1e-6)
    assert optim.get_total_norm([]) == 0.0
    assert optim.clip_grad_norm_([cg.variable(1.0)], 1.0) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_no_number(bad: float) -> None:
    held = with_gradients(np.ones(2), np.array([1.0, bad]))
    with pytest.raises(cg.AnomalyError, match=r"the gradient of p1 \(2,\) has an entry that is (nan|inf): nothing was clipped"):
        optim.clip_grad_norm_(held, 0.1, error_if_nonfinite=True)
    assert not math.isfinite(optim.clip_grad_norm_(held, 0.1))
    np.testing.assert_array_equal(held[0].grad, np.ones(2))  # so that the optimizer can say whose gradient it is
    with pytest.raises(cg.AnomalyError, match="p1"):
        optim.SGD(held, lr=0.1).step()


@pytest.mark.parametrize(("call", "message"), [
    (lambda held: optim.clip_grad_norm_(held, -1.0), "max_norm is -1.0"),
    (lambda held: optim.clip_grad_norm_(held, math.nan), "max_norm is nan"),
    (lambda held: optim.clip_grad_norm_(held, 1.0, norm_type=0), "norm_type is 0"),
    (lambda held: optim.clip_grad_norm_(held, 1.0, norm_type=math.nan), "norm_type is nan"),
    (lambda held: optim.clip_grad_norm_([], 1.0), "clip_grad_norm_: there are no parameters"),
    (lambda held: optim.clip_grad_norm_(iter([]), 1.0), "read only once"),
    (lambda held: optim.clip_grad_norm_([np.ones(2)], 1.0), "not a variable"),
    (lambda held: optim.clip_grad_norm_([held[0] * 2], 1.0), "no leaf"),
    (lambda held: optim.clip_grad_value_(held, -0.5), "clip_value is -0.5"),
    (lambda held: optim.clip_grad_value_([], 0.5), "clip_grad_value_: there are no parameters"),
    (lambda held: optim.add_grad_noise_(held, -1, np.random.default_rng(0)), "step is -1"),
    (lambda held: optim.add_grad_noise_(held, 0, np.random.default_rng(0), eta=-1.0), "eta is -1"),
    (lambda held: optim.add_grad_noise_(held, 0, 7), "generator is a np.random.Generator"),
    (lambda held: optim.l1_penalty(held, -1.0), "strength is -1"),
    (lambda held: optim.l2_penalty([]), "at least one array"),
    (lambda held: optim.micro_batches(10, 0), "micro_batch_size is 0"),
    (lambda held: optim.micro_batches(10, 11), "micro_batch_size is 11, but the batch has only 10"),
    (lambda held: optim.micro_batches(0, 1), "the size of the batch is 0"),
    (lambda held: optim.micro_batches(10, 3, reduction="none"), "'mean' or 'sum'"),
    (lambda held: optim.accumulate(np.sum, (np.ones(3), np.ones(4)), 2), "lengths 3, 4"),
    (lambda held: optim.accumulate(np.sum, (), 2), "no arrays"),
])  # fmt: skip
def test_what_has_no_meaning_is_refused(call: Any, message: str) -> None:
    held = with_gradients(np.array([3.0, 4.0]))
    with pytest.raises(cg.CompgraphError, match=message):
        call(held)
    np.testing.assert_array_equal(held[0].grad, [3.0, 4.0])


# -------------------------------------------------------------------------------------- accumulation


def network(p: Any, x: Any, y: Any) -> Any:
    return (np.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] - y) ** 2


def problem(size: int) -> tuple[dict[str, Any], Any, Any]:
    draw = np.random.default_rng(3)
    p = {"w1": draw.normal(size=(3, 4)), "b1": draw.normal(size=4), "w2": draw.normal(size=4)}
    return p, draw.normal(size=(size, 3)), draw.normal(size=size)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("size", "part"), [(12, 4), (11, 4), (7, 7), (5, 1), (13, 12)])
def test_micro_batches_make_the_gradient_of_the_whole_batch(size: int, part: int, reduction: str) -> None:
    p, x, y = problem(size)
    reduce = {"mean": np.mean, "sum": np.sum}[reduction]

    def loss(p: Any, x: Any, y: Any) -> Any:
        return reduce(network(p, x, y))

    value, gradient = cg.value_and_grad(loss)(p, x, y)
    held = {name: cg.variable(array, name=name) for name, array in p.items()}
    total = optim.accumulate(lambda x, y: loss(held, x, y), (x, y), part, reduction)
    assert total == pytest.approx(value, rel=1e-14)
    for name in p:
        np.testing.assert_allclose(held[name].grad, gradient[name], rtol=1e-13, atol=1e-14)
    for step in (cg.value_and_grad(loss), cg.compile(cg.value_and_grad(loss))):
        total, summed = optim.accumulated(step, part, reduction)(p, x, y)
        assert total == pytest.approx(value, rel=1e-14)
        for name in p:
            np.testing.assert_allclose(summed[name], gradient[name], rtol=1e-13, atol=1e-14)


def test_dividing_by_the_number_of_parts_would_weigh_a_smaller_part_wrong() -> None:
    """The lectures' formula, eta / (|B| / |B_P|) times the sum, is for parts of one size."""
    p, x, y = problem(5)
    gradient = cg.grad(lambda p, x, y: np.mean(network(p, x, y)))
    parts = [slice(0, 2), slice(2, 4), slice(4, 5)]
    naive = sum(gradient(p, x[part], y[part])["b1"] for part in parts) / len(parts)
    assert np.max(np.abs(naive - gradient(p, x, y)["b1"])) > 0.05


@given(size=st.integers(1, 60), part=st.integers(1, 60))
def test_micro_batches_cut_the_batch(size: int, part: int) -> None:
    part = min(size, part)
    cut = list(optim.micro_batches(size, part))
    assert [index for piece, _ in cut for index in range(size)[piece]] == list(range(size))
    assert sum(share for _, share in cut) == pytest.approx(1.0)
    assert all(piece.stop - piece.start == part for piece, _ in cut[:-1])


def test_accumulated_gradients_are_added_to_those_that_are_there() -> None:
    w = cg.variable(2.0)
    optim.accumulate(lambda x: np.mean(w * x), np.arange(4.0), 2)
    optim.accumulate(lambda x: np.mean(w * x), np.arange(4.0), 3)
    assert w.grad == pytest.approx(3.0)


# --------------------------------------------------------------------------------------------- noise


def test_noise_has_the_variance_of_the_paper() -> None:
    assert [float(optim.noise_variance(t, 0.01)) for t in (0, 99)] == pytest.approx([0.01, 0.01 / 100**0.55])
    held = with_gradients(np.full(200_000, 5.0))
    optim.add_grad_noise_(held, 3, np.random.default_rng(0), eta=0.3)
    assert np.mean(held[0].grad) == pytest.approx(5.0, abs=5e-3)
    assert np.var(held[0].grad) == pytest.approx(0.3 / 4**0.55, rel=0.02)
    assert cg.grad(lambda gamma: optim.noise_variance(3, 1.0, gamma))(0.5) == pytest.approx(-math.log(4) / 2)


def test_noise_follows_its_generator() -> None:
    def draw(generator: Any) -> Any:
        held = with_gradients(np.zeros((2, 2), np.float32), np.float64(0.0), np.zeros(3))
        optim.add_grad_noise_(held, 0, generator)
        assert [(p.grad.dtype, p.grad.shape) for p in held] == [(np.float32, (2, 2)), (np.float64, ()), (np.float64, (3,))]
        return np.concatenate([np.ravel(p.grad) for p in held])

    generator = np.random.default_rng(5)
    draw(generator)
    state = generator.bit_generator.state
    second = draw(generator)
    generator.bit_generator.state = state
    np.testing.assert_array_equal(draw(generator), second)
    held = with_gradients(np.ones(2))
    optim.add_grad_noise_(held, 0, generator, eta=0.0)
    np.testing.assert_array_equal(held[0].grad, np.ones(2))


# ----------------------------------------------------------------------------------------- penalties

WEIGHTS = {"w": np.array([[1.5, -2.0], [0.0, 0.25]]), "b": [np.array([-3.0]), 0.5]}


def test_penalties_and_their_derivatives() -> None:
    assert float(optim.l1_penalty(WEIGHTS, 0.1)) == pytest.approx(0.1 * 7.25)
    assert float(optim.l2_penalty(WEIGHTS, 0.1)) == pytest.approx(0.05 * (2.25 + 4 + 0.0625 + 9 + 0.25))
    by_l1, by_l2 = (cg.grad(penalty)(WEIGHTS, 0.1) for penalty in (optim.l1_penalty, optim.l2_penalty))
    np.testing.assert_allclose(by_l1["w"], 0.1 * np.sign(WEIGHTS["w"]))  # 0 at 0
    np.testing.assert_allclose(by_l2["w"], 0.1 * WEIGHTS["w"])
    np.testing.assert_allclose(by_l2["b"][0], [-0.3])
    assert cg.grad(optim.l2_penalty, argnums=1)(WEIGHTS, 0.1) == pytest.approx(float(optim.l2_penalty(WEIGHTS)))
    w = cg.variable([3.0, -4.0])
    optim.l2_penalty(p for p in [w]).backward()
    np.testing.assert_array_equal(w.grad, [3.0, -4.0])


def run(make: Any, penalty: float, steps: int = 30) -> Any:
    """Parameters after some steps on a loss whose curvatures differ by a factor of 100, beside `penalty`."""
    w = cg.variable([1.0, -2.0], name="w")
    optimizer = make([w])
    for _ in range(steps):
        optimizer.zero_grad()
        loss = np.sum(np.array([10.0, 0.1]) * (w - 0.5) ** 2)
        (loss + optim.l2_penalty(w, penalty) if penalty else loss).backward()
        optimizer.step()
    return w.value


@pytest.mark.parametrize("make", [
    lambda ws, **decay: optim.SGD(ws, lr=0.02, **decay),
    lambda ws, **decay: optim.SGD(ws, lr=0.02, momentum=0.9, nesterov=True, **decay),
    lambda ws, **decay: optim.Adam(ws, lr=0.05, **decay),
], ids=["SGD", "momentum", "Adam"])  # fmt: skip
def test_weight_decay_that_is_the_penalty(make: Any) -> None:
    np.testing.assert_allclose(run(lambda ws: make(ws, weight_decay=0.3), 0.0), run(make, 0.3), rtol=1e-12)


def test_weight_decay_of_adamw_is_not_the_penalty() -> None:
    decayed = run(lambda ws: optim.AdamW(ws, lr=0.05, weight_decay=0.3), 0.0)
    penalised = run(lambda ws: optim.AdamW(ws, lr=0.05, weight_decay=0.0), 0.3)
    assert np.max(np.abs(decayed - penalised)) > 0.01


def test_why_adamw_decouples() -> None:
    """A first step of Adam is lr * sign(gradient): what the penalty adds to a large gradient is divided away; AdamW shrinks all alike."""

    def first_step(make: Any, decay: float) -> Any:
        return run(lambda ws: make(ws, lr=0.05, eps=1e-12, weight_decay=decay), 0.0, steps=1)

    np.testing.assert_allclose(first_step(optim.Adam, 0.3), first_step(optim.Adam, 0.0), rtol=1e-10)
    shrunk = first_step(optim.AdamW, 0.3) - first_step(optim.AdamW, 0.0)
    np.testing.assert_allclose(shrunk, -0.05 * 0.3 * np.array([1.0, -2.0]))

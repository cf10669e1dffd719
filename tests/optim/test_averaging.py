"""Averages of series as the lectures define them, of parameters as PyTorch and the papers do."""

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
from optim.averaging import ParameterAverage

FOLDER = Path(__file__).parent.parent / "reference" / "schedules"
_spec = importlib.util.spec_from_file_location("schedule_cases", FOLDER / "cases.py")
assert _spec and _spec.loader
cases = importlib.util.module_from_spec(_spec)
sys.modules["schedule_cases"] = cases
_spec.loader.exec_module(cases)
STORED = json.loads((FOLDER / "tools.json").read_text(encoding="utf-8"))

SERIES = np.array([28.0, 22.82, 25.5, 31.0, 19.25, 24.0, 27.5])

# -------------------------------------------------------------------------------------------- series


def test_the_example_of_the_lecture() -> None:
    """beta = 0.98, 28 and 22.82: 0.98 * 0.02 = 0.0196, not 0.00196, and v2 = 25.4, not 13."""
    plain = optim.exponential_average(SERIES[:2], 0.98, corrected=False)
    corrected = optim.exponential_average(SERIES[:2], 0.98)
    np.testing.assert_allclose(plain, [0.56, 0.0196 * 28 + 0.02 * 22.82], rtol=1e-13)
    np.testing.assert_allclose(corrected, [28.0, (0.0196 * 28 + 0.02 * 22.82) / 0.0396], rtol=1e-13)
    assert round(float(corrected[1]), 1) == 25.4
    assert float(plain[1]) == pytest.approx(1.0052)


@pytest.mark.parametrize("window", [1, 2, 3, 7, 12])
def test_a_moving_average_is_the_mean_of_the_window(window: int) -> None:
    expected = [np.mean(SERIES[max(0, t - window + 1) : t + 1]) for t in range(len(SERIES))]
    np.testing.assert_allclose(optim.moving_average(SERIES, window), expected, rtol=1e-13)


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.5, 2.0], [3.0, 2.0, 1.0], list(range(1, 12))])
def test_a_weighted_average_divides_by_the_weights_once(weights: list[float]) -> None:
    expected = []
    for t in range(len(SERIES)):
        last = SERIES[max(0, t - len(weights) + 1) : t + 1]
        expected.append(np.average(last, weights=weights[-len(last) :]))
    np.testing.assert_allclose(optim.weighted_average(SERIES, weights), expected, rtol=1e-13)


@given(
    x=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20).map(np.array),
    beta=st.floats(0.0, 0.999),
)
def test_a_corrected_exponential_average_is_a_weighted_one(x: Any, beta: float) -> None:
    weights = np.maximum(beta ** np.arange(len(x) - 1, -1, -1.0), 1e-300)
    np.testing.assert_allclose(optim.exponential_average(x, beta), optim.weighted_average(x, weights), rtol=1e-9, atol=1e-9)


@given(value=st.floats(-1e6, 1e6), beta=st.floats(0.0, 0.9999))
def test_a_corrected_average_of_a_constant_is_the_constant(value: float, beta: float) -> None:
    np.testing.assert_allclose(optim.exponential_average(np.full(5, value), beta), value, rtol=1e-9)
    uncorrected = optim.exponential_average(np.full(5, value), beta, corrected=False)
    np.testing.assert_allclose(uncorrected, value * (1 - beta ** np.arange(1, 6)), rtol=1e-9, atol=1e-9)


def test_the_window_of_an_exponential_average() -> None:
    """After 1 / (1 - beta) steps a weight has fallen to 1/e of the first, the closer the longer the window."""
    for beta, error in ((0.9, 0.06), (0.98, 0.011), (0.999, 0.0006)):
        impulse = np.zeros(round(1 / (1 - beta)) + 1)
        impulse[0] = 1.0
        response = optim.exponential_average(impulse, beta, corrected=False)
        assert response[-1] / response[0] == pytest.approx(1 / math.e, rel=error)


def test_series_of_arrays_keep_their_dtype() -> None:
    x = np.stack([SERIES, -SERIES], axis=1)
    np.testing.assert_allclose(optim.exponential_average(x, 0.9)[:, 1], -optim.exponential_average(SERIES, 0.9))
    assert optim.exponential_average(SERIES.astype(np.float32), 0.9).dtype == np.float32
    assert optim.moving_average(SERIES.astype(np.float32), 3).dtype == np.float32
    assert optim.exponential_average([1, 2, 3], 0.5).tolist() == pytest.approx([1.0, 5 / 3, 17 / 7])
    assert optim.exponential_average(np.zeros((0,)), 0.5).shape == (0,)


AVERAGES = {
    "moving": lambda x: optim.moving_average(x, 3),
    "weighted": lambda x: optim.weighted_average(x, [1.0, 2.0, 3.0]),
    "exponential": lambda x: optim.exponential_average(x, 0.9),
    "uncorrected": lambda x: optim.exponential_average(x, 0.9, corrected=False),
}


@pytest.mark.parametrize("average", AVERAGES.values(), ids=AVERAGES)
def test_averages_are_traced_compiled_and_differentiated(average: Any) -> None:
    expected = average(SERIES)
    np.testing.assert_allclose(cg.trace(average, SERIES)(SERIES), expected, rtol=1e-14)
    np.testing.assert_allclose(cg.compile(average)(SERIES), expected, rtol=1e-13)
    jacobian = np.stack([average(row) for row in np.eye(len(SERIES))], axis=1)  # an average is linear
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(cg.jacobian(average, mode=mode)(SERIES), jacobian, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.tril(jacobian), jacobian)  # which does not look ahead


def test_averages_are_differentiated_by_beta_and_by_weights() -> None:
    def last(beta: Any) -> Any:
        return optim.exponential_average(SERIES, beta)[-1]

    assert cg.grad(last)(0.7) == pytest.approx((last(0.7 + 1e-6) - last(0.7 - 1e-6)) / 2e-6, rel=1e-7)
    weights = np.array([1.0, 2.0, 3.0])
    gradient = cg.grad(lambda w: optim.weighted_average(SERIES, w)[-1])(weights)
    np.testing.assert_allclose(gradient, (SERIES[-3:] - np.average(SERIES[-3:], weights=weights)) / 6.0, rtol=1e-12)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: optim.moving_average(SERIES, 0), "window is 0"),
    (lambda: optim.moving_average(SERIES, 2.5), "window is 2.5"),
    (lambda: optim.moving_average(np.ones((2, 2)), 2), r"x is a vector with at least one entry; this has shape \(2, 2\)"),
    (lambda: optim.moving_average([], 2), "x is a vector"),
    (lambda: optim.weighted_average(SERIES, []), "weights is a vector"),
    (lambda: optim.weighted_average(SERIES, [1.0, -1.0]), "weights is .*from 0 on"),
    (lambda: optim.weighted_average(SERIES, [1.0, 0.0]), "last of weights is 0"),
    (lambda: optim.exponential_average(SERIES, 1.5), "beta is 1.5: it has to be a number from 0 to 1"),
    (lambda: optim.exponential_average(SERIES, -0.1), "beta is -0.1"),
    (lambda: optim.exponential_average(SERIES, 1.0), "beta is 1: such an average never moves"),
    (lambda: optim.exponential_average(3.0, 0.5), "single number"),
    (lambda: optim.EMA([cg.variable(1.0)], decay=1.1), "decay is 1.1"),
    (lambda: optim.EMA([cg.variable(1.0)], decay=-0.1), "decay is -0.1"),
    (lambda: optim.EMA([]), "EMA: there are no parameters"),
    (lambda: optim.SWA([1.0]), "SWA: parameter 0 is float 1.0, not a variable"),
    (lambda: optim.SWA([cg.variable(1.0)]).copy_to(), "SWA has no average yet"),
    (lambda: optim.SWA([cg.variable(1.0)]).swap().__enter__(), "SWA has no average yet"),
    (lambda: optim.Lookahead([cg.variable(1.0)]), "wraps an optimizer"),
    (lambda: optim.Lookahead(optim.SGD([cg.variable(1.0)]), k=0), "k is 0"),
    (lambda: optim.Lookahead(optim.SGD([cg.variable(1.0)]), alpha=1.5), "alpha is 1.5"),
])  # fmt: skip
def test_what_has_no_meaning_is_refused(call: Any, message: str) -> None:
    with pytest.raises(cg.CompgraphError, match=message):
        call()


# ---------------------------------------------------------------------------------------- parameters


def parameters(seed: int, dtype: Any = np.float64) -> list[Any]:
    return [cg.variable(array.astype(dtype), name=f"p{number}") for number, array in enumerate(cases.arrays(seed))]


def walk(held: list[Any], average: ParameterAverage, first: int, last: int) -> None:
    for seed in range(first, last):
        for p, value in zip(held, cases.arrays(seed), strict=True):
            p.value = value.astype(p.dtype)[()]
        average.update()


@pytest.mark.parametrize("row", STORED["averaged"], ids=lambda row: str(row["decay"]))
def test_averages_of_parameters_are_pytorchs(row: Any) -> None:
    held = parameters(1)
    average = optim.SWA(held) if row["decay"] is None else optim.EMA(held, row["decay"])
    walk(held, average, 1, 21)
    assert average.n_averaged == 20
    for one, expected in zip(average.averages, row["averages"], strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_a_corrected_ema_is_the_corrected_average_of_the_series(decay: float) -> None:
    held = parameters(1)
    average = optim.EMA(held, decay, bias_correction=True)
    walk(held, average, 1, 21)
    for number, one in enumerate(average.averages):
        series = np.stack([cases.arrays(seed)[number] for seed in range(1, 21)])
        np.testing.assert_allclose(one, optim.exponential_average(series, decay)[-1], rtol=1e-11, atol=1e-13)


def test_a_corrected_ema_that_forgets_nothing_is_swa() -> None:
    held = parameters(1)
    ema, swa = optim.EMA(held, 1.0, bias_correction=True), optim.SWA(held)
    for seed in range(1, 6):
        walk(held, ema, seed, seed + 1)
        swa.update()
    for one, other in zip(ema.averages, swa.averages, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_swap_lends_the_averages(dtype: Any) -> None:
    held = parameters(1, dtype)
    average = optim.EMA(((p.name, p) for p in held), 0.9)
    walk(held, average, 1, 4)
    own = [p.value for p in held]
    with average.swap():
        for p, one in zip(held, average.averages, strict=True):
            np.testing.assert_array_equal(p.value, one)
            assert p.dtype == dtype
        for call in (average.update, average.copy_to, average.swap().__enter__):
            with pytest.raises(cg.InputError, match="within swap"):
                call()
    assert [p.value is value for p, value in zip(held, own, strict=True)] == [True] * 3
    with pytest.raises(KeyError), average.swap():
        raise KeyError
    assert [p.value is value for p, value in zip(held, own, strict=True)] == [True] * 3
    average.update()
    average.copy_to()
    np.testing.assert_array_equal(held[0].value, average.averages[0])
    assert not np.shares_memory(held[0].value, average.averages[0])


def test_an_average_does_not_see_later_steps() -> None:
    """A compiled step writes into the parameters."""
    w = cg.variable(np.array([1.0, -2.0]), name="w")
    optimizer = optim.SGD([w], lr=0.1).compile()
    average = optim.SWA([w])
    values = []
    for _ in range(3):
        optimizer.zero_grad()
        (0.5 * np.sum(w * w)).backward()
        optimizer.step()
        average.update()
        values.append(np.array(w.value))
    np.testing.assert_allclose(average.averages[0], np.mean(values, axis=0), rtol=1e-15)
    with average.swap():
        pass
    optimizer.zero_grad()
    (0.5 * np.sum(w * w)).backward()
    optimizer.step()
    np.testing.assert_allclose(w.value, 0.9 * values[-1], rtol=1e-15)
    np.testing.assert_allclose(average.averages[0], np.mean(values, axis=0), rtol=1e-15)


@pytest.mark.parametrize("make", [optim.SWA, lambda held: optim.EMA(held, 0.9), lambda held: optim.EMA(held, 0.9, bias_correction=True)])
def test_a_state_goes_on_to_the_bit(make: Any) -> None:
    held = parameters(1)
    whole = make(held)
    walk(held, whole, 1, 8)
    state = whole.state_dict()
    walk(held, whole, 8, 15)
    resumed = make(held)
    resumed.load_state_dict(state)
    walk(held, resumed, 8, 15)
    for one, other in zip(whole.averages, resumed.averages, strict=True):
        np.testing.assert_array_equal(one, other)
    fresh = make(held)
    fresh.load_state_dict(make(held).state_dict())
    assert fresh.n_averaged == 0


def test_a_state_that_does_not_fit_is_refused_whole() -> None:
    held = parameters(1)
    average = optim.SWA(held)
    walk(held, average, 1, 4)
    state, before = average.state_dict(), average.averages
    for wrong in ({}, [], {**state, "averages": state["averages"][:2]}, {**state, "averages": state["averages"][::-1]},
                  {**state, "n_averaged": -1}, {**state, "n_averaged": 0}):  # fmt: skip
        with pytest.raises(cg.CompgraphError):
            average.load_state_dict(wrong)
        assert average.averages is before and average.n_averaged == 3


# ----------------------------------------------------------------------------------------- lookahead


def quadratic(w: Any) -> Any:
    return np.sum(np.array([1.0, 0.2]) * (w - np.array([0.5, -1.0])) ** 2)


def steps(optimizer: Any, w: Any, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        quadratic(w).backward()
        optimizer.step()


@pytest.mark.parametrize("compiled", [False, True])
def test_lookahead_is_algorithm_1(compiled: bool) -> None:
    """phi <- phi + alpha (theta - phi), written out; the moments of the inner Adam go on."""
    w, theta = cg.variable([3.0, 2.0]), cg.variable([3.0, 2.0])
    lookahead = optim.Lookahead(optim.Adam([w], lr=0.1), k=4, alpha=0.3)
    if compiled:
        lookahead.compile()
    inner = optim.Adam([theta], lr=0.1)
    phi = theta.value
    for _ in range(6):
        steps(inner, theta, 4)
        phi = phi + 0.3 * (theta.value - phi)
        theta.value = phi
        steps(lookahead, w, 4)
        np.testing.assert_allclose(w.value, phi, rtol=1e-13)


def test_lookahead_all_the_way_is_the_inner_optimizer() -> None:
    w, other = cg.variable([3.0, 2.0]), cg.variable([3.0, 2.0])
    steps(optim.Lookahead(optim.SGD([w], lr=0.1, momentum=0.9), k=3, alpha=1.0), w, 20)
    steps(optim.SGD([other], lr=0.1, momentum=0.9), other, 20)
    np.testing.assert_allclose(w.value, other.value, rtol=1e-13)


def test_lookahead_goes_on_to_the_bit() -> None:
    def make() -> tuple[Any, Any]:
        w = cg.variable([3.0, 2.0], name="w")
        return optim.Lookahead(optim.Adam([w], lr=0.1), k=4), w

    (whole, w), (resumed, other) = make(), make()
    steps(whole, w, 6)
    state, value = whole.state_dict(), w.value
    steps(whole, w, 9)
    resumed.load_state_dict(state)
    other.value = value
    steps(resumed, other, 9)
    np.testing.assert_array_equal(w.value, other.value)


def test_lookahead_has_the_face_of_an_optimizer() -> None:
    w, b = cg.variable([3.0, 2.0], name="w"), cg.variable(1.0, name="b")
    lookahead = optim.Lookahead(optim.SGD([w], lr=0.1, momentum=0.9), k=1, alpha=0.5)
    scheduler = optim.lr_scheduler.OneCycleLR(lookahead, max_lr=0.4, total_steps=10)
    lookahead.add_param_group({"params": [b]})
    assert lookahead.param_groups[1]["lr"] == pytest.approx(0.1)
    b.grad = 2.0
    lookahead.step()
    assert float(b.value) == pytest.approx(1.0 - 0.5 * 0.1 * 2.0)
    assert set(lookahead.state) == {b}
    assert repr(lookahead).startswith("Lookahead (k=1, alpha=0.5) of SGD (")
    assert lookahead.step(lambda: 7.0) == 7.0
    assert scheduler.get_last_lr() == pytest.approx([0.016])


def test_a_state_of_lookahead_that_does_not_fit_is_refused_whole() -> None:
    w = cg.variable([3.0, 2.0], name="w")
    lookahead = optim.Lookahead(optim.Adam([w]), k=2)
    steps(lookahead, w, 3)
    state = lookahead.state_dict()
    inner = lookahead.optimizer.state_dict()
    other = optim.Lookahead(optim.SGD([w], lr=0.1)).state_dict()
    slow = [{**state, "lookahead": {"count": 3, "slow": slow}} for slow in ([], [np.ones(3)])]
    for wrong in ({}, inner, other, *slow):
        with pytest.raises(cg.CompgraphError):
            lookahead.load_state_dict(wrong)
        again = lookahead.state_dict()
        assert repr(again) == repr(state)

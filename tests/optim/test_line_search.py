"""The strong Wolfe line search: its conditions as properties, and what it does where they cannot be had."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compgraph as cg
import optim
from optim.line_search import cubic_minimiser

number = st.floats(-3.0, 3.0)
positive = st.floats(0.05, 5.0)


def smooth(curvature: float, height: float, frequency: float, phase: float) -> Any:
    """A function of a vector that is smooth, bounded below and not convex."""

    def f(x: Any) -> Any:
        return curvature * np.sum(np.sqrt(1 + x**2)) + height * np.sum(np.cos(frequency * x + phase)) + 0.01 * np.sum(x**4)

    return cg.value_and_grad(f)


def assert_wolfe(f: Any, x: Any, direction: Any, found: Any, c1: float, c2: float) -> None:
    value, gradient = f(x)
    slope = gradient @ direction
    assert np.array_equal(found.x, x + found.step * direction)
    at_step, gradient_at_step = f(found.x)
    assert found.value == at_step and np.array_equal(found.gradient, gradient_at_step)
    assert found.value <= value + c1 * found.step * slope
    assert abs(found.gradient @ direction) <= -c2 * slope


@given(
    curvature=positive, height=number, frequency=positive, phase=number, start=st.lists(number, min_size=1, max_size=4),
    first=st.floats(1e-3, 1e3), c2=st.sampled_from([0.1, 0.5, 0.9]), c1=st.sampled_from([1e-4, 0.05]),
)  # fmt: skip
def test_what_is_found_satisfies_both_conditions(
    curvature: float, height: float, frequency: float, phase: float, start: list[float], first: float, c2: float, c1: float
) -> None:
    f, x = smooth(curvature, height, frequency, phase), np.array(start)
    direction = -f(x)[1]
    if np.max(np.abs(direction)) < 1e-3:
        return
    found = optim.strong_wolfe(f, x, direction, step=first, c1=c1, c2=c2, maxls=60)
    assert found.found, found.message
    assert_wolfe(f, x, direction, found, c1, c2)


@given(wall=st.floats(1e-6, 10.0), beyond=st.sampled_from([math.nan, math.inf, -math.inf]), first=st.floats(0.1, 1e4))
def test_a_trial_that_is_not_finite_shortens_the_step(wall: float, beyond: float, first: float) -> None:
    """log(wall - x) ends at the wall; behind it is whatever the user's code makes of it."""

    def f(x: Any) -> Any:
        if x[0] >= wall:
            return beyond, np.array([math.nan])
        return float(-x[0] / wall - 0.1 * np.log(wall - x[0])), np.array([-1 / wall + 0.1 / (wall - x[0])])

    x, direction = np.zeros(1), np.array([wall])
    found = optim.strong_wolfe(f, x, direction, step=first, c2=0.5, maxls=60)
    assert found.found, found.message
    assert_wolfe(f, x, direction, found, 1e-4, 0.5)


@given(a=st.floats(0.1, 5.0), root=st.floats(-2.0, 2.0), width=st.floats(0.1, 3.0), scale=number)
def test_the_cubic_minimiser_is_one(a: float, root: float, width: float, scale: float) -> None:
    """The cubic whose derivative is a (t - root) (t - root + width) has its minimum at root."""

    def cubic(t: float) -> tuple[float, float, float]:
        u = t - root
        return t, a * (u**3 / 3 + width * u**2 / 2) + scale, a * u * (u + width)

    left, right = root - 0.4 * width, root + 0.7
    assert cubic_minimiser(cubic(left), cubic(right)) == pytest.approx(root, abs=1e-9)
    assert cubic_minimiser(cubic(right), cubic(left)) == cubic_minimiser(cubic(left), cubic(right))
    assert cubic_minimiser(cubic(left), cubic(right), (right, right + 1)) == right


@pytest.mark.parametrize("slopes", [(math.nan, 1.0), (1.0, 1.0), (-1.0, -1.0)])
def test_a_cubic_without_minimiser_is_divided_in_the_middle(slopes: tuple[float, float]) -> None:
    value = 2.0 if slopes == (1.0, 1.0) else -2.0
    assert cubic_minimiser((0.0, 0.0, slopes[0]), (2.0, value, slopes[1])) == 1.0
    assert cubic_minimiser((1.0, 0.0, -1.0), (1.0, 0.0, -1.0)) == 1.0


def quadratic(x: Any) -> Any:
    return float(x @ x), 2 * x


def test_evaluations_are_counted_and_bounded() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(x)
        return float(np.sum(np.cosh(x))), np.sinh(x)

    x = np.array([3.0, -1.0])
    value, gradient = f(x)
    calls.clear()
    found = optim.strong_wolfe(f, x, -gradient, value, gradient, step=30.0, c2=0.01)
    assert found.found and found.evaluations == len(calls) > 2
    calls.clear()
    found = optim.strong_wolfe(f, x, -gradient, step=1e-9, c2=0.01, maxls=3)
    assert not found.found and found.evaluations == len(calls) == 4
    assert "after 3 trials: unbounded below?" in found.message and found.value < value


def test_the_exact_step_of_a_parabola_is_the_second_trial() -> None:
    found = optim.strong_wolfe(quadratic, np.array([1.0, 2.0]), np.array([-2.0, -4.0]), step=3.0, c2=0.1)
    assert found.found and found.step == pytest.approx(0.5) and found.evaluations == 3


def test_a_failure_returns_the_start() -> None:
    """A gradient of the wrong sign promises a descent that there is not."""
    x = np.array([1.0, 2.0])
    found = optim.strong_wolfe(lambda x: (float(x @ x), -2 * x), x, 2 * x, maxls=5)
    assert not found.found and found.step == 0.0 and found.value == 5.0 and np.array_equal(found.x, x)
    assert found.message == "no step satisfied the strong Wolfe conditions in 5 trials"
    found = optim.strong_wolfe(lambda x: (float(x @ x), -2 * x), x, 2 * x, width=0.1)
    assert "the bracket shrank to" in found.message and found.evaluations < 12


def test_a_kink_ends_with_the_lowest_trial() -> None:
    """|x| has no step with a small slope; the trial that came nearest to the kink is returned."""
    found = optim.strong_wolfe(lambda x: (float(abs(x[0])), np.sign(x)), np.array([1.0]), np.array([-1.0]), step=0.7, c2=0.1)
    assert not found.found and 0 < found.value < 0.5 and found.step > 0


def test_noise_leaves_the_decision_to_the_slopes() -> None:
    """Near the minimum of 1e8 + x^2 the value is rounding; the gradient is not."""

    def f(x: Any) -> Any:
        return 1e8 + float(x @ x), 2 * x

    x = np.array([1e-6])
    assert not optim.strong_wolfe(f, x, np.array([-7e-7]), c2=0.1).found
    found = optim.strong_wolfe(f, x, np.array([-7e-7]), c2=0.1, noise=1e-7)
    assert found.found and abs(found.x[0]) < 1e-7


def test_the_dtype_is_kept() -> None:
    found = optim.strong_wolfe(quadratic, np.array([1, 2], np.float32), np.array([-2, -4], np.float32), step=3.0, c2=0.1)
    assert found.found and found.x.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"direction": np.ones(2)}, r"the slope along the direction is 6: it is no descent direction"),
        ({"direction": np.zeros(2)}, "it is no descent direction"),
        ({"direction": np.array([np.nan, 1.0])}, "the slope along the direction is nan"),
        ({"c1": 0.5, "c2": 0.1}, r"0 < c1 < c2 < 1, they are c1=0\.5 and c2=0\.1"),
        ({"c2": 1.0}, "0 < c1 < c2 < 1"),
        ({"step": 0.0}, "step and maxls have to be positive, they are 0.0 and 25"),
        ({"step": math.inf}, "step and maxls have to be positive"),
        ({"maxls": 0}, "step and maxls have to be positive"),
        ({"value": math.nan, "gradient": np.array([2.0, 4.0])}, "the value is nan and the slope"),
    ],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    given = {"direction": np.array([-2.0, -4.0]), **arguments}
    with pytest.raises(cg.InputError, match=message):
        optim.strong_wolfe(quadratic, np.array([1.0, 2.0]), **given)

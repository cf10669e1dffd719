"""What holds for every update rule: first steps in closed form, dtypes, shapes, purity, derivatives, joining, drawing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compgraph as cg
import optim
import viz
from optim.matrix_rules import orthogonalize, trust_ratio
from optim.rules import look_ahead
from optim.terms import norm, root, scalar

# Every rule, at settings that reach all of its lines. A matrix does for all; `muon` takes nothing else.
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {"lr": 0.1}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("nesterov", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    ("rprop", {"lr": 0.1}),
    ("lion", {"lr": 0.1, "weight_decay": 0.1}),
    ("adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.1}),
    ("rmsprop", {"lr": 0.01}),
    ("rmsprop", {"lr": 0.01, "momentum": 0.5, "centered": True, "weight_decay": 0.1, "eps": 1e-3}),
    ("adadelta", {"lr": 1.0, "weight_decay": 0.1}),
    ("adam", {"lr": 0.1}),
    ("adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    ("adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("adamax", {"lr": 0.1, "weight_decay": 0.1}),
    ("nadam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("radam", {"lr": 0.1, "weight_decay": 0.1, "betas": (0.9, 0.6)}),
    ("radam", {"lr": 0.1, "betas": (0.9, 0.9)}),
    ("ftrl", {"lr": 0.1, "l1": 0.1, "l2": 0.1}),
    ("lamb", {"lr": 0.1, "weight_decay": 0.1}),
    ("lars", {"lr": 1.0, "weight_decay": 0.1, "trust_coefficient": 0.1, "eps": 1e-3}),
    ("adafactor", {"lr": 0.1, "weight_decay": 0.1}),
    ("muon", {"lr": 0.1}),
    ("muon", {"lr": 0.1, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}),
]
every = pytest.mark.parametrize(("name", "keywords"), SETTINGS, ids=[f"{name}-{place}" for place, (name, _) in enumerate(SETTINGS)])
ENTRYWISE = [row for row in SETTINGS if optim.RULES[row[0]].entrywise]

DRAW = np.random.default_rng(11)
START = DRAW.normal(size=(3, 2))
CURVATURE = DRAW.uniform(0.5, 2.0, size=(3, 2))


def run(name: str, keywords: dict[str, Any], p: Any, steps: int, gradient: Callable[[Any, int], Any]) -> tuple[Any, dict[str, Any]]:
    rule = optim.RULES[name]
    state = rule.start(p, **keywords)
    for step in range(steps):
        p, state = rule.update(p, gradient(p, step), state, **keywords)
    return p, state


def quadratic(p: Any, step: int) -> Any:
    return CURVATURE.astype(p.dtype) * (p - 1) + 0.5


def test_the_settings_name_every_rule() -> None:
    assert {name for name, _ in SETTINGS} == set(optim.RULES)


# ------------------------------------------------------------------------------------------- first steps

P, G = 3.0, -0.5
FIRST_STEPS: list[tuple[str, dict[str, Any], float]] = [
    ("sgd", {"lr": 0.1}, P - 0.1 * G),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, P - 0.1 * G),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": True}, P - 0.1 * 1.9 * G),
    ("sgd", {"lr": 0.1, "weight_decay": 0.5}, P - 0.1 * (G + 0.5 * P)),
    ("nesterov", {"lr": 0.1, "momentum": 0.9}, P - 0.1 * G),
    ("rprop", {"lr": 0.1}, P + 0.1),
    ("lion", {"lr": 0.1, "weight_decay": 0.5}, P * (1 - 0.05) + 0.1),
    ("adagrad", {"lr": 0.1, "eps": 0.0}, P + 0.1),
    ("adagrad", {"lr": 0.1, "eps": 0.5}, P + 0.05),
    ("adagrad", {"lr": 0.1, "eps": 0.0, "initial_accumulator_value": 0.75}, P + 0.05),
    ("rmsprop", {"lr": 0.1, "eps": 0.0}, P + 0.1 / math.sqrt(0.01)),
    ("rmsprop", {"lr": 0.1, "eps": 0.0, "alpha": 0.9, "centered": True}, P + 0.1 / math.sqrt(0.1 * 0.9)),
    ("adadelta", {"lr": 1.0, "eps": 1e-6}, P - math.sqrt(1e-6 / (0.1 * G * G + 1e-6)) * G),
    ("adam", {"lr": 0.1, "eps": 0.0}, P + 0.1),
    ("adam", {"lr": 0.1, "eps": 0.5}, P + 0.05),
    ("adam", {"lr": 0.1, "eps": 0.0, "weight_decay": 0.5, "decoupled_weight_decay": True}, P * 0.95 + 0.1),
    ("adamax", {"lr": 0.1, "eps": 0.0}, P + 0.1),
    ("nadam", {"lr": 0.1, "eps": 0.0, "momentum_decay": 0.0}, P + 0.1 * (1 + 0.45 * 0.1 / (1 - 0.45**2))),
    ("radam", {"lr": 0.1}, P - 0.1 * G),
    ("ftrl", {"lr": 0.1, "beta": 1.0}, P - 0.1 * G / (1 + abs(G))),
    ("ftrl", {"lr": 0.1, "beta": 1.0, "l1": 100.0}, P - 0.1 * G / (1 + abs(G))),
    ("lamb", {"lr": 0.1, "eps": 0.0}, P + 0.1 * P),
    ("lars", {"lr": 1.0, "trust_coefficient": 0.1}, P + 0.1 * P),
    ("adafactor", {"lr": 0.01}, P + 0.01 * P),
]


@pytest.mark.parametrize(("name", "keywords", "expected"), FIRST_STEPS)
def test_first_step_in_closed_form(name: str, keywords: dict[str, Any], expected: float) -> None:
    p, state = run(name, keywords, np.float64(P), 1, lambda p, step: np.float64(G))
    assert p == pytest.approx(expected, rel=1e-12)
    assert state["step"] == 1.0
    assert {row[0] for row in FIRST_STEPS} == set(optim.RULES) - {"muon"}  # whose first step is below


def test_first_step_of_muon_is_an_orthogonal_matrix_up_to_the_iteration() -> None:
    """With the classical cubic coefficients the iteration converges to U Vᵀ, and the step is γ times that."""
    grad = DRAW.normal(size=(4, 3))
    keywords: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.0, "ns_coefficients": (1.5, -0.5, 0.0), "ns_steps": 60}
    p, _ = run("muon", keywords, np.zeros((4, 3)), 1, lambda p, step: grad)
    u, _, vt = np.linalg.svd(grad, full_matrices=False)
    np.testing.assert_allclose(p, -0.1 * math.sqrt(4 / 3) * u @ vt, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------------- dtypes, shapes, purity


@every
@pytest.mark.parametrize("number", [lambda x: x, np.float64, np.float32], ids=["python", "float64", "float32"])
def test_float32_stays_float32_and_agrees_with_float64(name: str, keywords: dict[str, Any], number: Callable[[float], Any]) -> None:
    """Also beside hyperparameters that are NumPy numbers, which would promote it."""

    def convert(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(convert, value))
        return number(value) if type(value) is float else value

    narrow = {key: convert(value) for key, value in keywords.items()}
    p, state = run(name, narrow, START.astype(np.float32), 12, quadratic)
    wide, wide_state = run(name, keywords, START.astype(np.float32).astype(float), 12, quadratic)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, wide, rtol=2e-5, atol=2e-5)
    for key, value in state.items():
        if np.ndim(value):
            assert value.dtype == np.float32, key
        np.testing.assert_allclose(value, wide_state[key], rtol=1e-4, atol=1e-5)


@every
def test_shapes(name: str, keywords: dict[str, Any]) -> None:
    """0-d, empty and of many axes: the same shape comes out, and nothing warns."""
    shapes = [(), (0,), (0, 3), (3, 0), (1,), (2, 3, 4)] if name != "muon" else [(0, 3), (3, 0), (1, 1), (1, 5)]
    for shape in shapes:
        value = np.asarray(DRAW.normal(size=shape))
        p, state = run(name, keywords, value, 3, lambda p, step: p * 0.5 + 1)
        assert np.shape(p) == shape
        first = optim.RULES[name].start(value, **keywords)
        assert {key: np.shape(entry) for key, entry in state.items()} == {key: np.shape(entry) for key, entry in first.items()}
        assert list(state) == list(first)


@every
def test_rules_write_into_nothing(name: str, keywords: dict[str, Any]) -> None:
    rule = optim.RULES[name]
    p, grad, state = START.copy(), np.ones((3, 2)), rule.start(START, **keywords)
    for array in (p, grad, *(value for value in state.values() if isinstance(value, np.ndarray))):
        array.flags.writeable = False
    after, following = rule.update(p, grad, state, **keywords)
    assert not np.shares_memory(after, p)
    assert state["step"] == 0.0 and following["step"] == 1.0


@every
def test_no_gradient_no_motion(name: str, keywords: dict[str, Any]) -> None:
    """Zero gradients from the start leave a parameter where it is, but for its decay, and make no NaN."""
    still = {key: value for key, value in keywords.items() if key != "weight_decay"}
    if name == "muon":
        still["weight_decay"] = 0.0
    for start in (START, np.zeros((3, 2))):
        p, state = run(name, still, start, 5, lambda p, step: np.zeros_like(p))
        np.testing.assert_allclose(p, start, rtol=1e-15, atol=0)
        assert all(np.all(np.isfinite(value)) for value in state.values())


def test_centred_rmsprop_survives_a_variance_that_rounds_below_zero() -> None:
    keywords: dict[str, Any] = {"lr": 1e-3, "centered": True, "alpha": 0.5, "eps": 1e-3}
    p, _ = run("rmsprop", keywords, np.full(100, 0.1), 200, lambda p, step: np.linspace(0.1, 0.9, 100))
    assert np.all(np.isfinite(p))


# ------------------------------------------------------------------------------------------- what the rules do not depend on

VECTORS = arrays.arrays(np.float64, st.integers(1, 6), elements=st.floats(-3, 3).filter(lambda x: x == 0 or abs(x) > 1e-3))


@settings(max_examples=25)
@given(parts=st.lists(VECTORS, min_size=1, max_size=3), row=st.sampled_from(ENTRYWISE))
def test_entrywise_rules_may_be_joined(parts: list[Any], row: tuple[str, dict[str, Any]]) -> None:
    """The update of a joined vector is the joined updates, to the bit: what `Optimizer.compile` relies on."""
    name, keywords = row
    whole, _ = run(name, keywords, np.concatenate(parts), 4, lambda p, step: np.sin(p) + step)
    single = [run(name, keywords, part, 4, lambda p, step: np.sin(p) + step)[0] for part in parts]
    np.testing.assert_array_equal(whole, np.concatenate(single))


@pytest.mark.parametrize("name", [name for name, rule in optim.RULES.items() if not rule.entrywise])
def test_the_other_rules_may_not(name: str) -> None:
    keywords = {"lr": 0.1}
    two = np.array([[1.0, 2.0], [3.0, -4.0]])
    whole, _ = run(name, keywords, two, 2, lambda p, step: np.cos(p) * p)
    halves = [run(name, keywords, part, 2, lambda p, step: np.cos(p) * p)[0] for part in (two[:1], two[1:])]
    assert not np.allclose(whole, np.concatenate(halves))


@settings(max_examples=25)
@given(scale=st.floats(1e-3, 1e3), row=st.sampled_from(["rprop", "lion", "adagrad", "rmsprop", "adam", "adamax", "nadam"]))
def test_rules_that_do_not_see_the_size_of_gradients(scale: float, row: str) -> None:
    keywords: dict[str, Any] = {"lr": 0.01} | ({} if row in ("rprop", "lion") else {"eps": 0.0})
    noise = np.random.default_rng(0).normal(size=(8, 5))
    one, _ = run(row, keywords, np.ones(5), 8, lambda p, step: noise[step])
    other, _ = run(row, keywords, np.ones(5), 8, lambda p, step: scale * noise[step])
    np.testing.assert_allclose(one, other, rtol=1e-10)


def test_look_ahead_nesterov_visits_the_points_of_pytorchs() -> None:
    """The look-ahead points of the one are the parameters of the other (Sutskever et al. 2013, appendix A.1)."""
    keywords = {"lr": 0.05, "momentum": 0.9}
    rule, other = optim.RULES["nesterov"], optim.RULES["sgd"]
    p, q = START, START
    state, memory = rule.start(p), other.start(q, **keywords)
    for step in range(30):
        point = look_ahead(p, state, **keywords)
        np.testing.assert_allclose(point, q, rtol=1e-12, atol=1e-13)
        p, state = rule.update(p, quadratic(point, step), state, **keywords)
        q, memory = other.update(q, quadratic(q, step), memory, nesterov=True, **keywords)


# ------------------------------------------------------------------------------------------- derivatives and graphs


@every
def test_derivatives_of_three_steps_with_respect_to_the_rate(name: str, keywords: dict[str, Any]) -> None:
    """First ones equal differences, second ones equal differences of first ones, in a graph that knows the rate as a node."""

    def loss(lr: Any) -> Any:
        p, _ = run(name, {**keywords, "lr": lr}, START, 3, quadratic)
        return np.sum(CURVATURE * (p - 1) ** 2)

    at, step = np.float64(keywords["lr"]), 1e-5
    if name == "rprop":  # reads the rate once, before the first step
        at = np.float64(0.03)
    if name == "adafactor":
        at = np.float64(0.01)
    first, second = cg.grad(loss), cg.grad(cg.grad(loss))
    by_differences = (loss(at + step) - loss(at - step)) / (2 * step)
    assert first(at) == pytest.approx(by_differences, rel=1e-5, abs=1e-6)
    assert second(at) == pytest.approx((first(at + step) - first(at - step)) / (2 * step), rel=1e-4, abs=1e-5)


@every
def test_hyperparameters_may_be_nodes_beside_float32(name: str, keywords: dict[str, Any]) -> None:
    lr = cg.variable(keywords["lr"], name="lr")
    p, _ = run(name, {**keywords, "lr": lr}, START.astype(np.float32), 2, quadratic)
    assert p.dtype == np.float32 and lr.dtype == np.float64
    np.testing.assert_allclose(p.value, run(name, keywords, START, 2, quadratic)[0], rtol=1e-4, atol=1e-5)


@every
def test_the_graph_of_a_rule_can_be_read_drawn_and_differentiated(name: str, keywords: dict[str, Any]) -> None:
    graph = optim.graph_of_rule(name, START, **keywords)
    assert graph.name == name
    inputs = [node.name for node in graph.inputs]
    assert inputs[:2] == ["p", "grad"] and inputs[2] == "state.step"
    assert len(graph.outputs) == len(inputs) - 1
    results = ["p_new", *optim.RULES[name].start(START, **keywords)]
    source, drawing = graph.to_source(), viz.draw(graph).dot
    assert all(f"    {result} = " in source and result in drawing for result in results)
    cg.typecheck(cg.reverse(graph))


def test_names_in_the_graph_are_those_of_the_rule() -> None:
    source = optim.graph_of_rule("adam", lr=0.1).to_source()
    for name in ("step", "exp_avg", "exp_avg_sq", "rate", "correction", "denominator", "p_new"):
        assert f"    {name} = " in source
    assert str(optim.graph_of_rule("sgd", lr=0.1).to_sympy()[0]).replace(" ", "") in ("-0.1*grad+p", "p-0.1*grad")


# ------------------------------------------------------------------------------------------- shared terms


def test_orthogonalize_takes_singular_values_near_one_and_keeps_singular_vectors() -> None:
    for shape in ((5, 3), (3, 5), (4, 4)):
        matrix = DRAW.normal(size=shape)
        u, _, vt = np.linalg.svd(matrix, full_matrices=False)
        inner = u.T @ orthogonalize(matrix) @ vt.T
        np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-12)
        assert np.all((np.diag(inner) > 0.3) & (np.diag(inner) < 1.3))
    np.testing.assert_array_equal(orthogonalize(np.zeros((2, 3))), np.zeros((2, 3)))


def test_terms_at_zero() -> None:
    zero = np.zeros(3)
    assert norm(zero) == 0 and trust_ratio(norm(zero), norm(np.ones(3))) == 1 and trust_ratio(norm(np.ones(3)), norm(zero)) == 1
    np.testing.assert_array_equal(cg.grad(norm)(zero), zero)
    assert cg.grad(root)(0.0) == 0.0
    assert scalar(0.1, np.ones(1, np.float32)) == 0.1 and scalar(np.float64(0.1), np.ones(1, np.float32)).dtype == np.float32

"""The second-order optimizers with PyTorch's face: its path, their state, and closures that go wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from problems import make_lbfgs

import compgraph as cg
import optim

START = np.array([-1.2, 1.0])
LABELS = np.array([0, 0, 1, 0, 1, 0, 1, 1, 1])
PLACES = np.linspace(-2.0, 2.0, 9)


def likelihood(logits: Any) -> Any:
    return np.sum(np.logaddexp(0.0, logits) - LABELS * logits)


# ---------------------------------------------------------------------------------------- PyTorch's path


@pytest.mark.parametrize("name", make_lbfgs.CASES)
def test_lbfgs_walks_the_path_of_pytorch(name: str) -> None:
    case = make_lbfgs.CASES[name]
    rows = json.loads(make_lbfgs.STORED.read_text(encoding="utf-8"))["cases"][name]
    parameters = [cg.variable(value) for value in case.start]
    optimizer = optim.LBFGS(parameters, **case.settings)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = case.loss(np, *parameters)
        loss.backward()
        return loss

    assert len(rows) == case.steps
    for row in rows:
        assert optimizer.step(closure).item() == pytest.approx(row["loss"], rel=1e-10)
        state = optimizer.state[parameters[0]]
        assert (state["n_iter"], state["func_evals"]) == (row["n_iter"], row["func_evals"])
        for p, stored in zip(parameters, row["parameters"], strict=True):
            assert np.max(np.abs(p.value.ravel() - stored)) <= 1e-10 * np.max(np.abs(stored))


def closure_of(optimizer: Any, loss_of: Any) -> Any:
    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_continues_bit_for_bit_from_its_state(search: str | None) -> None:
    case = make_lbfgs.CASES["network, search"]

    def run(parts: list[int]) -> list[Any]:
        parameters = [cg.variable(value) for value in case.start]
        saved = None
        for steps in parts:
            parameters = [cg.variable(p.value) for p in parameters]
            optimizer = optim.LBFGS(parameters, lr=0.1, max_iter=3, history_size=4, line_search_fn=search)
            if saved is not None:
                optimizer.load_state_dict(saved)
            for _ in range(steps):
                optimizer.step(closure_of(optimizer, lambda: case.loss(np, *parameters)))  # noqa: B023
            saved = optimizer.state_dict()
        return [p.value for p in parameters]

    for whole, parted in zip(run([6]), run([2, 1, 3]), strict=True):
        assert np.array_equal(whole, parted)


# ---------------------------------------------------------------------------------------- the classes


def loss_of(w: Any) -> Any:
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def residuals_of(w: Any) -> Any:
    return np.stack([10 * (w[1] - w[0] ** 2), 1 - w[0]])


@pytest.mark.parametrize("formula", ["fletcher-reeves", "polak-ribiere", "hestenes-stiefel", "hager-zhang"])
def test_nonlinear_cg_in_steps(formula: str) -> None:
    w = cg.variable(START, name="w")
    optimizer = optim.NonlinearCG([w], formula=formula, tolerance_change=0.0)
    values = [optimizer.step(closure_of(optimizer, lambda: loss_of(w))) for _ in range(15)]
    assert values == sorted(values, reverse=True) and values[-1] < 1e-10
    assert optimizer.result is not None and optimizer.result.converged


@pytest.mark.parametrize("kind", ["newton", "dense", "products"])
def test_the_others_need_no_backward(kind: str) -> None:
    u, v, data = cg.variable(-1.2, name="u"), cg.variable([1.0], name="v"), cg.variable(10.0)
    if kind == "newton":
        optimizer: Any = optim.NewtonCG([u, v], max_iter=60)
        value = optimizer.step(lambda: (1 - u) ** 2 + np.sum((data * (v - u**2)) ** 2))
    else:
        optimizer = optim.LevenbergMarquardt([u, v], max_iter=60, dense=kind == "dense")
        value = optimizer.step(lambda: np.concatenate([data * (v - u**2), np.stack([1 - u])]))
    assert value < 1e-12 and optimizer.result.converged
    assert u.value == pytest.approx(1.0, abs=1e-5) and v.value == pytest.approx([1.0], abs=1e-5)
    assert u.value.shape == () and v.value.shape == (1,) and data.value == 10.0


def test_the_natural_gradient_fits_a_small_model() -> None:
    w, b = cg.variable(0.0, name="w"), cg.variable([0.0], name="b")
    optimizer = optim.NaturalGradient([("w", w), ("b", b)], likelihood, damping=1e-9)
    values = [float(optimizer.step(lambda: w * PLACES + b)) for _ in range(8)]
    assert values == sorted(values, reverse=True) and values[-2] - values[-1] < 1e-12
    newton = optim.minimize(lambda p: likelihood(p[0] * PLACES + p[1]), np.zeros(2))
    assert [float(w.value), float(b.value[0])] == pytest.approx(newton.x, abs=1e-6)


def test_a_nan_on_the_way_leaves_the_parameters() -> None:
    w = cg.variable([1.0], name="w")
    fixed = optim.LBFGS([w], lr=3.0, max_iter=5)
    with np.errstate(invalid="ignore"), pytest.raises(cg.AnomalyError, match=r"after a step of lr=3\.0 the loss is nan"):
        fixed.step(closure_of(fixed, lambda: np.sum(np.log(w))))
    assert w.value == [1.0]
    searching = optim.LBFGS([w], lr=30.0, line_search_fn="strong_wolfe")
    with np.errstate(invalid="ignore"):
        searching.step(closure_of(searching, lambda: np.sum(w - 3 * np.log(w))))
    assert w.value == pytest.approx([3.0], abs=1e-4)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_start_that_is_not_finite_is_named() -> None:
    w, b = cg.variable([1.0, -1.0], name="w"), cg.variable(1.0, name="b")
    for optimizer in (optim.LBFGS([b, w]), optim.NonlinearCG([b, w]), optim.NewtonCG([b, w])):
        with pytest.raises(cg.AnomalyError, match="the closure's loss is nan; no parameter was updated"):
            optimizer.step(closure_of(optimizer, lambda: np.sum(np.log(w)) * b))
        assert np.array_equal(w.value, [1.0, -1.0]) and b.value == 1.0
    w.value = np.array([1.0, 0.0])
    for optimizer in (optim.LBFGS([b, w]), optim.NonlinearCG([b, w]), optim.NewtonCG([b, w])):
        with pytest.raises(cg.AnomalyError, match="the gradient of w has entries that are NaN or infinite"):
            optimizer.step(closure_of(optimizer, lambda: np.sum(np.sqrt(w)) * b))
        assert np.array_equal(w.value, [1.0, 0.0])


def test_a_closure_that_fails_leaves_the_parameters() -> None:
    w = cg.variable(START, name="w")
    for optimizer in (
        optim.LBFGS([w], line_search_fn="strong_wolfe"), optim.NonlinearCG([w]), optim.NewtonCG([w]), optim.LevenbergMarquardt([w]),
    ):  # fmt: skip
        w.value = START
        calls = 0

        def closure(optimizer: Any = optimizer) -> Any:
            nonlocal calls
            calls += 1
            if calls > 1:
                raise RuntimeError("no more data")
            optimizer.zero_grad()
            loss = residuals_of(w) if isinstance(optimizer, optim.LevenbergMarquardt) else loss_of(w)
            if not loss.shape:
                loss.backward()
            return loss

        with pytest.raises(RuntimeError, match="no more data"):
            optimizer.step(closure)
        assert np.array_equal(w.value, START)


def test_an_interrupt_writes_the_lowest_point_and_goes_on() -> None:
    w = cg.variable(START, name="w")
    for optimizer in (optim.NonlinearCG([w]), optim.NewtonCG([w])):
        w.value = START
        calls = 0

        def closure(optimizer: Any = optimizer) -> Any:
            nonlocal calls
            calls += 1
            if calls == 12:
                raise KeyboardInterrupt
            optimizer.zero_grad()
            loss = loss_of(w)
            loss.backward()
            return loss

        with pytest.raises(KeyboardInterrupt):
            optimizer.step(closure)
        assert optimizer.result is not None and np.array_equal(optimizer.result.x[0], w.value) and loss_of(w.value) < loss_of(START)


W = cg.variable([1.0, 2.0], name="w")
BAD: list[tuple[Any, str]] = [
    (lambda: optim.LBFGS([{"params": [W]}, {"params": [cg.variable(1.0)]}]), "LBFGS: all parameters are one group"),
    (lambda: optim.LBFGS([W], max_iter=0), "max_iter has to be a whole number of at least 1, not 0"),
    (lambda: optim.LBFGS([W], line_search_fn="armijo"), "line_search_fn has to be None or 'strong_wolfe', not 'armijo'"),
    (lambda: optim.LBFGS([W], lr=-1), "lr has to be a number of at least 0"),
    (lambda: optim.NonlinearCG([W], formula="dai-yuan"), "formula has to be 'fletcher-reeves' or"),
    (lambda: optim.NewtonCG([W], radius=0.0), "radius has to be a positive number"),
    (lambda: optim.LevenbergMarquardt([W], damping=-1.0), "damping has to be a positive number"),
    (lambda: optim.NaturalGradient([W], loss="mse"), "loss has to be a function of the model's outputs, it is str"),
    (lambda: optim.LBFGS([W]).step(), "LBFGS.step needs a closure that zeroes the gradients"),
    (lambda: optim.NonlinearCG([W]).step(), "NonlinearCG.step needs a closure"),
    (lambda: optim.NewtonCG([W]).step(), "NewtonCG.step needs a closure that returns the loss as a node"),
    (lambda: optim.LevenbergMarquardt([W]).step(), "needs a closure that returns the residuals as a node"),
    (lambda: optim.NaturalGradient([W], np.sum).step(), "needs a closure that returns the model's outputs as a node"),
    (lambda: optim.NewtonCG([W]).step(lambda: 3.0), "the closure returned float; it has to return the node itself"),
    (lambda: optim.LevenbergMarquardt([W]).step(lambda: np.ones(2)), "the closure returned ndarray; it has to return the node itself"),
    (lambda: optim.LBFGS([W]).step(lambda: W), r"the closure has to return the loss, one number, it returned Node of shape \(2,\)"),
    (lambda: optim.LBFGS([W]).compile(), "LBFGS has no update rule of one parameter and its gradient to make a program of"),
    (lambda: optim.LBFGS([W]).load_state_dict(optim.SGD([W], momentum=0.9).state_dict()), "this is the state of another optimizer"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(cg.InputError, match=message):
        call()


def test_state_of_other_shapes_is_refused_whole() -> None:
    w = cg.variable(START)
    optimizer = optim.LBFGS([w], line_search_fn="strong_wolfe", max_iter=3)
    optimizer.step(closure_of(optimizer, lambda: loss_of(w)))
    other = optim.LBFGS([cg.variable(np.ones(3))])
    with pytest.raises(cg.ShapeError, match="the parameters have 3 entries"):
        other.load_state_dict(optimizer.state_dict())
    assert not other.state

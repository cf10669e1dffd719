"""Checkpoints: the same derivatives, fewer values held, and schedules that are optimal."""

from __future__ import annotations

import weakref
from functools import cache
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.checkpointing import checkpoint, checkpoint_chain, revolve, revolve_cost

X, W = np.array([1.0, 2.0]), np.array([0.5, 0.2])


def block(x: Any, w: Any) -> Any:
    h = np.sin(x * w)
    return {"a": np.exp(h), "b": np.sum(h)}


def loss(inner: Any) -> Any:
    def whole(x: Any, w: Any) -> Any:
        parts = inner(x, w)
        return np.sum(parts["a"]) * parts["b"] * x[0]

    return whole


# ------------------------------------------------------------------------------------------ checkpoint


def test_a_checkpoint_changes_no_derivative() -> None:
    plain, kept = loss(block), loss(checkpoint(block))
    assert kept(X, W) == plain(X, W)
    for found, wanted in zip(cg.grad(kept, (0, 1))(X, W), cg.grad(plain, (0, 1))(X, W), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(cg.jvp(kept, (X, W), (X, W)), cg.jvp(plain, (X, W), (X, W)), rtol=1e-14)
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(cg.jacobian(checkpoint(block), mode=mode)(X, W)["a"], cg.jacobian(block)(X, W)["a"], rtol=1e-14)
    for mode in ("forward-over-reverse", "reverse-over-reverse", "reverse-over-forward", "forward-over-forward"):
        np.testing.assert_allclose(cg.hessian(kept, mode=mode)(X, W), cg.hessian(plain)(X, W), rtol=1e-12, atol=1e-14)


def test_checkpoints_nest() -> None:
    def inner(x: Any) -> Any:
        return np.tanh(x) * x

    def outer(x: Any) -> Any:
        return np.sum(checkpoint(inner)(checkpoint(inner)(x) + 1))

    wanted = cg.grad(lambda x: np.sum(inner(inner(x) + 1)))(X)
    np.testing.assert_array_equal(cg.grad(checkpoint(outer))(X), wanted)
    np.testing.assert_array_equal(cg.grad(checkpoint(checkpoint(outer)))(X), wanted)


def test_nodes_that_a_function_closes_over_get_their_derivatives() -> None:
    w, x = cg.variable(W), cg.variable(X)
    np.sum(checkpoint(lambda x: np.sin(x * w))(x)).backward()
    np.testing.assert_allclose(w.grad, X * np.cos(X * W))
    np.testing.assert_allclose(x.grad, W * np.cos(X * W))
    w.zero_grad()
    checkpoint(lambda: np.sum(w**2))().backward()
    np.testing.assert_allclose(w.grad, 2 * W)


def test_only_results_are_held_and_one_more_run_is_made() -> None:
    made: list[weakref.ref[Any]] = []
    runs = 0

    def deep(x: Any) -> Any:
        nonlocal runs
        runs += 1
        for _ in range(50):
            x = np.sin(x)
            made.append(weakref.ref(x))
        return x

    x = cg.variable(np.linspace(0, 1, 1000))
    y = np.sum(checkpoint(deep)(x))
    assert (runs, sum(ref() is not None for ref in made)) == (1, 0)
    y.backward()
    assert (runs, sum(ref() is not None for ref in made)) == (2, 0)


def test_one_run_serves_all_arguments() -> None:
    runs = 0

    def f(a: Any, b: Any, c: Any) -> Any:
        nonlocal runs
        runs += 1
        return np.sin(a * b) + c

    assert cg.grad(checkpoint(f), (0, 1, 2))(1.0, 2.0, 3.0) == cg.grad(f, (0, 1, 2))(1.0, 2.0, 3.0)
    assert runs == 2 + 1


def test_numbers_no_grad_and_traces() -> None:
    assert checkpoint(np.sin)(0.5) == np.sin(0.5)
    with cg.no_grad():
        assert checkpoint(np.sin)(cg.variable(0.5)).args == ()
    graph = cg.trace(lambda x: checkpoint(block)(x, W), X)
    assert [node.primitive.name for node in graph.nodes if node.primitive] == ["multiply", "sin", "exp", "sum"]


def test_a_graph_with_a_checkpoint_runs_again_but_is_not_printed() -> None:
    x = cg.variable(X, name="x")
    graph = cg.graph_of(np.sum(checkpoint(np.sin)(x)))
    assert graph(X + 1) == pytest.approx(np.sum(np.sin(X + 1)))
    with pytest.raises(cg.MissingRuleError, match="cannot be read"):
        graph.to_source()
    w = cg.variable(W, name="w")
    graph = cg.graph_of(np.sum(checkpoint(lambda x: x * w)(x)))
    with pytest.raises(cg.GraphError, match=r"a checkpointed call reads w .* from outside"):
        graph(x=X, w=W + 1)


# -------------------------------------------------------------------------------------------- schedules


@cache
def fewest(length: int, snapshots: int) -> int:
    """The minimum over all schedules, by the recursion over where the next snapshot is put."""
    if length <= 1:
        return 0
    if snapshots == 1:
        return length * (length - 1) // 2
    return min(ahead + fewest(length - ahead, snapshots - 1) + fewest(ahead, snapshots) for ahead in range(1, length))


@pytest.mark.parametrize("snapshots", range(1, 9))
def test_revolve_takes_the_fewest_steps_and_holds_no_more_than_it_may(snapshots: int) -> None:
    for length in range(1, 45):
        stored, current, advanced, reversed_ = {0}, 0, 0, []
        for action, start, stop in revolve(length, snapshots):
            if action == "advance":
                assert current == start
                advanced, current = advanced + stop - start, stop
            elif action == "store":
                assert current == start
                stored.add(start)
            elif action == "restore":
                assert start in stored
                current = start
            elif action == "free":
                stored.remove(start)
            else:
                assert current == start
                reversed_.append(start)
            assert len(stored) <= snapshots
        assert reversed_ == list(reversed(range(length)))
        assert stored == set()
        assert advanced == revolve_cost(length, snapshots) == fewest(length, snapshots)


# ------------------------------------------------------------------------------------------------ chains


class Stepper:
    def __init__(self) -> None:
        self.w = cg.variable(W)
        self.calls, self.most = 0, 0
        self.made: list[weakref.ref[Any]] = []

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        self.most = max(self.most, sum(ref() is not None for ref in self.made))
        y = x + 0.1 * np.sin(x * self.w)
        self.made.append(weakref.ref(y.value))
        return y


@pytest.mark.parametrize(("length", "snapshots"), [(1, 1), (10, 1), (50, 4), (7, 20), (60, 3)])
def test_a_chain_has_the_derivatives_of_its_loop_by_the_fewest_steps(length: int, snapshots: int) -> None:
    step, x = Stepper(), cg.variable(X)
    y = np.sum(checkpoint_chain(step, x, length, snapshots))
    assert step.calls == length
    y.backward()
    # The run's own last step is not on the schedule, and each step is run once more to be reversed.
    assert step.calls == revolve_cost(length, snapshots) + 1 + length
    # The first state is the caller's; besides the others there are the current state, its successor and the result.
    assert step.most <= snapshots - 1 + 3
    loop, at = Stepper(), cg.variable(X)
    state = at
    for _ in range(length):
        state = loop(state)
    np.sum(state).backward()
    np.testing.assert_allclose(x.grad, at.grad, rtol=1e-14)
    np.testing.assert_allclose(step.w.grad, loop.w.grad, rtol=1e-14)
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * at.grad, rtol=1e-14)


def test_a_chain_of_containers_forward_and_nested() -> None:
    def step(state: Any) -> Any:
        return {"x": state["x"] + 0.1 * state["v"], "v": state["v"] - 0.1 * np.sin(state["x"])}

    def end(x: Any, chained: bool) -> Any:
        state = {"x": x, "v": np.zeros(2)}
        if chained:
            return np.sum(checkpoint_chain(step, state, 6, 2)["x"] ** 2)
        for _ in range(6):
            state = step(state)
        return np.sum(state["x"] ** 2)

    for operator in (cg.grad, cg.hessian, lambda f: lambda x: cg.jvp(f, (x,), (x,))[1], lambda f: cg.trace(f, X)):
        found, wanted = (operator(lambda x, chained=chained: end(x, chained))(X) for chained in (True, False))
        np.testing.assert_allclose(getattr(found, "value", found), getattr(wanted, "value", wanted), rtol=1e-13)


def test_bad_input() -> None:
    cases: Any = [((-1, 1), "the length is"), ((1.5, 1), "the length is"), ((3, 0), "snapshots is"), ((3, True), "snapshots is")]
    for arguments, message in cases:
        with pytest.raises(cg.InputError, match=message + r".*test_checkpointing\.py"):
            checkpoint_chain(np.sin, 1.0, *arguments)
    with pytest.raises(cg.ShapeError, match=r"checkpoint_chain: sum made .*it has to keep shapes and dtypes.*test_checkpointing\.py"):
        checkpoint_chain(np.sum, cg.variable(X), 3, 2)
    assert checkpoint_chain(np.sin, 1.0, 0, 1) == 1.0

"""Wrong use of sweeps and transforms: each case gets an error that names the thing, the shapes and the user's own line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from refusals import message_of, over

import compgraph as cg

HERE = "test_bad_derivatives.py"

# The user's variables.
x = cg.variable(2.0, name="x")
v = cg.variable([1.0, 2.0, 3.0], name="v")
graph = cg.trace(lambda x1, x2: x1 * np.sum(x2), 1.0, np.ones(2))


# ----------------------------------------------------------------------------------------- backward()

SEEDS = {
    "none for an array": (lambda: (v * 2).backward(), cg.ShapeError, "v1 = multiply (3,)", "a seed of shape (3,)", "np.sum(y).backward()"),
    "another shape": (lambda: (v * 2).backward(np.ones(2)), cg.ShapeError, "v1 = multiply (3,)", "has shape (2,)"),
    "a number for an array": (lambda: (v * 2).backward(1.0), cg.ShapeError, "has shape ()"),
    "text": (lambda: (v * 2).backward("one"), cg.DtypeError, "the seed of v1 = multiply (3,)", "str 'one' is not numeric"),
    "complex": (lambda: (v * 2).backward(1j * np.ones(3)), cg.DtypeError, "is complex"),
    "with a gap": (lambda: (v * 2).backward([None, 1.0, 1.0]), cg.DtypeError, "not numeric"),
    "ragged": (lambda: (v * 2).backward([[1.0], [1.0, 2.0]]), cg.ShapeError, "not a rectangular array"),
    "a node": (lambda: (v * 2).backward(v), cg.InputError, "cg.grad(cg.grad(f))"),
}  # fmt: skip


@over(SEEDS)
def test_seeds(call: Callable[[], Any], error: type[Exception], texts: list[str]) -> None:
    message = message_of(error, call)
    assert all(text in message for text in texts), message
    assert v.grad is None


def test_a_second_backward_works_and_accumulates() -> None:
    t = cg.variable(3.0)
    y = t * t
    y.backward()
    y.backward()
    assert t.grad == 12.0


@pytest.mark.parametrize("make", [lambda: cg.constant(1.0), lambda: x > 1, lambda: np.sign(x) * 2, lambda: cg.stop_gradient(x)])
def test_backward_that_reaches_no_variable_warns(make: Callable[[], Any]) -> None:
    with pytest.warns(cg.ZeroGradientWarning, match="no derivative reaches a variable") as caught:
        make().backward()
    assert caught[0].filename == __file__
    assert x.grad is None


# --------------------------------------------------------------------------- nodes of another graph


def leaked() -> Any:
    kept: list[Any] = []

    def f(t: Any) -> Any:
        kept.append(t * 2)
        return kept[0]

    cg.trace(f, 1.0)
    return kept[0]


LEAKS = {
    "traced": lambda: cg.trace(lambda t: t * STRANGER, 1.0),
    "returned": lambda: cg.trace(lambda t: (t, STRANGER), 1.0),
    "differentiated": lambda: cg.grad(lambda t: t * STRANGER)(1.0),
    "pushed": lambda: cg.jvp(lambda t: t * STRANGER, (1.0,), (1.0,)),
    "pulled": lambda: cg.vjp(lambda t: t * STRANGER, 1.0),
}
STRANGER = leaked()


@pytest.mark.parametrize("name", LEAKS)
def test_a_node_from_another_graph(name: str) -> None:
    message = message_of(cg.GraphError, LEAKS[name], located=name not in ("traced", "returned"))
    assert "belongs to another graph" in message
    assert f"(made at {HERE}:" in message
    assert "Pass it as an argument, or pass its value" in message


def test_a_node_from_another_graph_has_no_number() -> None:
    for ask in (lambda: float(STRANGER), lambda: (x * STRANGER).backward(), lambda: f"{STRANGER:.2f}"):
        assert "is abstract: the trace that made it is over" in message_of(cg.AbstractValueError, ask)
    assert repr(STRANGER) == "Node(multiply, shape=(), dtype=float64)"


def test_a_copied_node_is_another_node() -> None:
    assert "belongs to another graph" in message_of(cg.GraphError, lambda: cg.trace(lambda t: t * copy.deepcopy(t), 1.0), located=False)


# --------------------------------------------------------------------------------------- NaN, infinity


def test_the_first_node_that_made_a_nan_is_named() -> None:
    def f(t: Any) -> Any:
        y = t - 2.0
        z = np.log(y)
        return z * 0.0

    with np.errstate(all="ignore"), cg.detect_anomaly():
        for run in (lambda: f(x), lambda: cg.grad(f)(2.0), lambda: cg.jvp(f, (2.0,), (1.0,)), lambda: cg.trace(f, 1.0)(2.0)):
            message = message_of(cg.AnomalyError, run, located=False)
            assert "log made -inf from" in message
            assert ", at v2 (test_bad_derivatives.py:" in message
            assert "`z = np.log(y)`" in message
    assert issubclass(cg.AnomalyError, FloatingPointError)


@pytest.mark.parametrize("run", [
    lambda f: cg.grad(f)(0.0), lambda f: cg.vjp(f, 0.0)[1](1.0), lambda f: f(cg.variable(0.0, name="t")).backward(),
])  # fmt: skip
def test_the_first_adjoint_that_is_infinite_is_named(run: Callable[[Any], Any]) -> None:
    def f(t: Any) -> Any:
        return 3.0 * np.sqrt(t)

    with np.errstate(all="ignore"), cg.detect_anomaly():
        message = message_of(cg.AnomalyError, lambda: run(f), located=False)
    assert "the adjoint through sqrt made inf from" in message
    assert "= 0., at v1 (test_bad_derivatives.py:" in message
    assert "`return 3.0 * np.sqrt(t)`" in message


def test_the_first_tangent_that_is_infinite_is_named() -> None:
    with np.errstate(all="ignore"), cg.detect_anomaly():
        message = message_of(cg.AnomalyError, lambda: cg.jvp(lambda t: np.sqrt(t), (0.0,), (1.0,)), located=False)
        assert "the tangent through sqrt made inf from" in message
        derivative = cg.forward(cg.trace(np.sqrt, 1.0))
        assert "divide made inf" in message_of(cg.AnomalyError, lambda: derivative(0.0, 1.0), located=False)


def test_anomalies_are_looked_for_on_request_only() -> None:
    with np.errstate(all="ignore"):
        assert cg.grad(np.sqrt)(0.0) == np.inf
        with cg.detect_anomaly():
            assert cg.grad(np.sqrt)(4.0) == 0.25


# ---------------------------------------------------------------------------------- what functions return

RETURNS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "nothing": (lambda t: None, cg.DtypeError, "returned NoneType, which is not a number or an array"),
    "text": (lambda t: f"{t}", cg.DtypeError, "returned str, which is not a number or an array"),
    "a generator": (lambda t: (t for _ in range(2)), cg.DtypeError, "returned generator"),
    "a set": (lambda t: {t}, cg.DtypeError, "returned set"),
    "an empty list": (lambda t: [], cg.InputError, "returned nothing to differentiate"),
    "objects": (lambda t: np.array([None]), cg.DtypeError, "an array of object is not numeric"),
    "far too large": (lambda t: 10**400, cg.ValueRangeError, "an integer of 1329 bits"),
    "text inside": (lambda t: {"loss": t, "name": "sgd"}, cg.DtypeError, "returned name = str"),
}


@pytest.mark.parametrize(("function", "error", "text"), RETURNS.values(), ids=list(RETURNS))
def test_results_that_are_no_numbers(function: Callable[[Any], Any], error: type[Exception], text: str) -> None:
    for differentiate in (cg.trace, lambda f, t: cg.grad(f)(t)):
        assert text in message_of(error, lambda differentiate=differentiate: differentiate(function, 1.0), located=False)


ELSEWHERE: dict[str, Callable[[Any], Any]] = {
    "a number": lambda t: 3.0,
    "an array": lambda t: np.sum(np.ones(3)),
    "float()": lambda t: float(t) * 2,
    "its value": lambda t: t.value * 2,
    "a comparison": lambda t: t > 0,
    "stopped": lambda t: cg.stop_gradient(t) * 2,
    "without gradient": lambda t: _without_gradient(t),
}


def _without_gradient(t: Any) -> Any:
    with cg.no_grad():
        return t * 2


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_result_not_made_of_the_inputs_has_a_zero_gradient_and_a_warning(name: str) -> None:
    with pytest.warns(cg.ZeroGradientWarning, match=r"derivatives? (is|are) zero") as caught:
        assert cg.grad(ELSEWHERE[name])(1.0) == 0.0
    assert [warning.filename for warning in caught] == [__file__]


def test_such_a_result_of_a_traced_function_warns_too() -> None:
    with pytest.warns(cg.ZeroGradientWarning, match=r"f\(\) returned \[1\] = float that is not made of its inputs") as caught:
        traced = cg.typecheck(cg.trace(lambda t: [t, 2.0], 1.0))
    assert caught[0].filename == __file__
    assert traced(5.0) == [5.0, 2.0]
    assert cg.reverse(traced)(5.0, 1.0, 1.0)[2] == 1.0


# ------------------------------------------------------------------------ what is asked of derivatives

TRANSFORMS = {
    "grad of an array": (lambda: cg.grad(lambda t: t * 2)(np.ones(3)), cg.ShapeError, "needs one number", "v1 = multiply (3,)", "np.sum"),
    "grad of two": (lambda: cg.grad(lambda t: (t, t))(1.0), cg.ShapeError, "it returned 2 results", "cg.jacobian"),
    "grad of a node": (lambda: cg.grad(x * x)(1.0), cg.InputError, "v1 = multiply ()", "is not a function", "y.backward()"),
    "trace of a node": (lambda: cg.trace(x * x, 1.0), cg.InputError, "trace takes a function", "not Node"),
    "argnums too large": (lambda: cg.grad(lambda t: t, 1)(1.0), cg.InputError, "argnums 1 is no position: 1 positional argument was given"),
    "argnums by name": (lambda: cg.grad(lambda t: t, "t")(1.0), cg.InputError, "argnums 't' is no position"),
    "half an argnum": (lambda: cg.grad(lambda t: t, 0.5)(1.0), cg.InputError, "argnums 0.5 is no position"),
    "argnums twice": (lambda: cg.grad(lambda t: t, (0, -1))(1.0), cg.InputError, "argnums (0, -1) names an argument twice"),
    "no argnums": (lambda: cg.grad(lambda t: t, ())(1.0), cg.InputError, "argnums () names no argument"),
    "by keyword": (lambda: cg.grad(lambda t: t)(t=1.0), cg.InputError, "argnums 0 is no position: 0 positional arguments were given"),
    "text": (lambda: cg.grad(lambda t: t)("one"), cg.DtypeError, "str 'one' is not numeric"),
    "text among parameters": (lambda: cg.grad(lambda p: p["w"])({"w": 1.0, "name": "sgd"}), cg.DtypeError, "name", "'sgd' is not numeric"),
    "complex": (lambda: cg.grad(lambda t: t)(1j), cg.DtypeError, "<lambda> returned a complex number", "holomorphic=True"),
    "trace of text": (lambda: cg.trace(lambda t, s: t, 1.0, "mean"), cg.DtypeError, "s: str 'mean' is not numeric"),
    "too few arguments": (lambda: cg.trace(lambda t, s: t, 1.0), cg.InputError, "missing a required argument: 's'"),
    "too many arguments": (lambda: cg.trace(lambda t: t, 1.0, 2.0), cg.InputError, "too many positional arguments"),
    "tangents without a tuple": (lambda: cg.jvp(np.sin, np.ones(2), np.ones(2)), cg.InputError, "cg.jvp(f, (x,), (x_dot,))"),
    "too few tangents": (lambda: cg.jvp(lambda s, t: s * t, (1.0, 2.0), (1.0,)), cg.InputError, "a tuple of 2, it is a tuple of 1"),
    "shape of a tangent": (lambda: cg.jvp(np.sin, (np.ones(3),), (1.0,)), cg.ShapeError, "primals[0] has shape (), primals[0] has (3,)"),
    "tangent of text": (lambda: cg.jvp(np.sin, (1.0,), ("one",)), cg.DtypeError, "primals[0]", "not numeric"),
    "no tangent": (lambda: cg.jvp(np.sin, (1.0,), (None,)), cg.DtypeError, "primals[0]", "NoneType None is not numeric"),
    "complex tangent": (lambda: cg.jvp(np.sin, (1.0,), (1j,)), cg.DtypeError, "is complex"),
    "tangents by other names": (
        lambda: cg.jvp(lambda p: p["w"], ({"w": 1.0},), ({"b": 1.0},)),
        cg.InputError, "the seed of primals[0] has to be a dict of w, it is a dict of b",
    ),
    "tangent in a list": (lambda: cg.jvp(lambda p: p[0], ([1.0, 2.0],), ([1.0],)), cg.InputError, "a list of 2, it is a list of 1"),
    "shape of a seed": (lambda: cg.vjp(np.sin, np.ones(3))[1](np.ones(2)), cg.ShapeError, "output has shape (2,), output has (3,)"),
    "too few seeds": (lambda: cg.vjp(lambda t: (t, t), 1.0)[1](1.0), cg.InputError, "a tuple of 2, it is a float"),
    "seeds by other names": (lambda: cg.vjp(lambda t: {"y": t}, 1.0)[1]({"z": 1.0}), cg.InputError, "a dict of y, it is a dict of z"),
    "hessian of an array": (lambda: cg.hessian(lambda t: t * 2)(np.ones(2)), cg.ShapeError, "needs one number"),
    "shape of a vector": (lambda: cg.hvp(lambda t: np.sum(t**3), (np.ones(2),), (np.ones(3),)), cg.ShapeError, "has shape (3,)"),
    "entry by entry": (lambda: cg.elementwise_grad(np.sum)(np.ones(3)), cg.ShapeError, "sum does not work entry by entry"),
    "mode": (lambda: cg.jacobian(np.sin, mode="backward"), cg.InputError, "'backward'", "'auto', 'forward' or 'reverse'"),
    "unknown input": (lambda: cg.forward(graph, wrt="z"), cg.InputError, "no input 'z'; there are x1, x2"),
    "unknown output": (lambda: cg.reverse(graph, of=3), cg.InputError, "no output 3; there is v2"),
    "integer input": (lambda: cg.reverse(cg.trace(lambda n, t: n * t, np.arange(2), 1.0), wrt="n"), cg.InputError, "n is of dtype int64"),
}  # fmt: skip


@over(TRANSFORMS)
def test_transforms(call: Callable[[], Any], error: type[Exception], texts: list[str]) -> None:
    message = message_of(error, call)
    assert all(text in message for text in texts), message


def test_a_list_that_holds_itself() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "nested more than 100 deep" in message_of(cg.InputError, lambda: cg.grad(lambda t: t)(endless), located=False)

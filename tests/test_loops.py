"""`scan` and `fori` mean what a Python loop means: value, both modes, every nesting, vector mode, errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_cases import (
    CASES,
    TABLE,
    Case,
    assert_close,
    called,
    directions,
    leaves_of,
    loops,
    python_fori,
    python_scan,
    random_access,
    rnn,
    run_source,
    traced,
)

import compgraph as cg
from compgraph.loop_passes import (
    improve_loops,
)
from compgraph.loops import takes_dtype
from compgraph.simplification import simplify


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request) -> Case:
    return request.param


# -------------------------------------------------------------------------------- values and derivatives


def test_eager_is_the_python_loop(case):
    found, wanted = case.looped(*case.args), case.unrolled(*case.args)
    if case.function is random_access:  # whose table is a node
        found, wanted = found.value, wanted.value
    np.testing.assert_array_equal(found, wanted)
    assert not isinstance(found, cg.Node)


def test_traced_is_the_python_loop_to_the_bit(case):
    graph = traced(case.looped, *case.args)
    assert loops(graph)
    np.testing.assert_array_equal(called(graph, case.args), cg.trace(case.unrolled, *case.args)(*leaves_of(case.args)))


def test_reverse_mode(case):
    graph = traced(cg.value_and_grad(case.looped, case.argnums), *case.args)
    assert loops(graph)
    assert_close(called(graph, case.args), cg.value_and_grad(case.unrolled, case.argnums)(*case.args))
    assert_close(cg.grad(case.looped, case.argnums)(*case.args), cg.grad(case.unrolled, case.argnums)(*case.args))


def test_forward_mode_numbers_and_the_adjoint_identity(case):
    graph = traced(case.looped, *case.args)
    values, dots = leaves_of(case.args), directions(case.args)
    _, y_dot = cg.typecheck(cg.forward(graph))(*values, *dots)
    bars = cg.typecheck(cg.reverse(graph))(*values, 1.0)[1:]
    assert_close(y_dot, cg.forward(cg.trace(case.unrolled, *case.args))(*values, *dots)[1])
    along = sum(np.sum(bar * dot) for bar, dot in zip(bars, dots, strict=True))
    assert abs(along - y_dot) <= 1e-12 * max(1.0, abs(y_dot))
    step = 1e-6
    ahead, behind = (graph(*[value + sign * step * dot for value, dot in zip(values, dots, strict=True)]) for sign in (1, -1))
    assert abs((ahead - behind) / (2 * step) - y_dot) <= 1e-6 * max(1.0, abs(y_dot))


NESTINGS = ["forward-over-reverse", "reverse-over-reverse", "forward-over-forward", "reverse-over-forward"]


@pytest.mark.parametrize("mode", NESTINGS)
def test_second_derivatives(case, mode):
    hessian = lambda function: cg.hessian(function, 0, mode=mode)  # noqa: E731
    assert_close(called(traced(hessian(case.looped), *case.args), case.args), hessian(case.unrolled)(*case.args), 1e-11)


def test_hessian_times_vector_by_graphs(case):
    gradient = simplify(cg.reverse(traced(case.looped, *case.args)))
    wanted = simplify(cg.reverse(cg.trace(case.unrolled, *case.args)))
    values, dots = [*leaves_of(case.args), np.ones(())], [*directions(case.args), np.zeros(())]
    assert_close(list(cg.typecheck(cg.forward(gradient))(*values, *dots)), list(cg.forward(wanted)(*values, *dots)), 1e-11)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_vector_mode(mode):
    w, h0, xs = CASES["rnn"].args

    def states(scan, w, h0, xs):
        h, ys = scan(lambda h, x: (np.tanh(w @ h + x), h * x[0]), h0, xs)
        return {"last": h, "all": ys}

    jacobian = lambda scan: cg.jacobian(lambda *args: states(scan, *args), (0, 1, 2), mode=mode)  # noqa: E731
    graph = traced(jacobian(cg.scan), w, h0, xs)
    assert loops(graph)
    assert_close(graph(w, h0, xs), jacobian(python_scan)(w, h0, xs))


def test_vector_mode_of_what_only_some_arguments_reach():
    """A batch axis on a sequence alone, on a constant alone, and one that reaches a carry only after a turn."""
    xs = np.array([0.3, -0.8, 0.5])

    def f(scan, a, ys):
        (h, n), out = scan(lambda c, x: ((c[0] * x[1] + c[1], a * x[0]), (x[0] * 2.0, c[0])), (1.0, 0.5), (xs, ys))
        return np.stack([h, n]), out

    for mode in ("forward", "reverse"):
        for argnums in (0, 1):
            jacobian = lambda scan, mode=mode, argnums=argnums: cg.jacobian(lambda *args: f(scan, *args), argnums, mode=mode)  # noqa: E731
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", cg.ZeroGradientWarning)
                assert_close(traced(jacobian(cg.scan), 0.7, xs)(0.7, xs), jacobian(python_scan)(0.7, xs))


def test_complex_numbers():
    zs = np.array([0.3 + 0.4j, -0.2 + 0.1j, 0.5 - 0.6j])

    def f(scan, z, zs):
        last, ys = scan(lambda c, x: (c * x + 0.5, np.real(c) + np.imag(x)), z, zs)
        return np.abs(last) ** 2 + np.sum(ys)

    graph = traced(cg.grad(lambda *args: f(cg.scan, *args), (0, 1)), 0.2 + 0.7j, zs)
    assert_close(graph(0.2 + 0.7j, zs), cg.grad(lambda *args: f(python_scan, *args), (0, 1))(0.2 + 0.7j, zs))


OPERATIONS: tuple[Callable[..., Any], ...] = (
    lambda h, x, w: h * w + x, lambda h, x, w: np.sin(h) - w, lambda h, x, w: np.tanh(h @ np.ones((2, 2))) * x,
    lambda h, x, w: h[::-1] / (1.5 + x * x), lambda h, x, w: np.exp(-h * h) * np.sum(h),
    lambda h, x, w: np.where(h > x, h, w * x), lambda h, x, w: np.stack([h[1], w * h[0]]),
    lambda h, x, w: x, lambda h, x, w: h + 0.0 * x, lambda h, x, w: w * np.ones(2),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(OPERATIONS) - 1), min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 4), st.booleans())
def test_any_body(chosen: list[int], returned: int, length: int, reverse: bool) -> None:
    """Bodies of a few operations: value, gradient and passes are those of the Python loop."""
    rng = np.random.default_rng(length)
    args = (rng.normal(size=2), rng.normal(size=(length, 2)), rng.normal())

    def f(scan: Any, h: Any, xs: Any, w: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            states = [carry]
            for number in chosen:
                states.append(OPERATIONS[number](states[-1], x, w))
            return states[-1], states[min(returned, len(states) - 1)]

        h, ys = scan(step, h, xs, reverse=reverse)
        return np.sum(h * np.array([1.0, -2.0])) + np.sum(ys * ys)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cg.ZeroGradientWarning)
        gradient = lambda scan: cg.value_and_grad(lambda *args: f(scan, *args), (0, 1, 2))  # noqa: E731
        graph = traced(gradient(cg.scan), *args)
        assert_close(graph(*args), gradient(python_scan)(*args))
        better = improve_loops(graph)
        for one, other, third in zip(graph.run(args), better.run(args), run_source(better, args), strict=True):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(one, third)


# ------------------------------------------------------------------------------------ dtypes, lengths


def test_float32_stays_float32():
    w, h0, xs = (arg.astype(np.float32) for arg in CASES["rnn"].args)
    gradient = lambda scan, fori: cg.value_and_grad(lambda *args: rnn(scan, fori, *args), (0, 1, 2))  # noqa: E731
    graph = traced(gradient(cg.scan, cg.fori), w, h0, xs)
    assert {node.dtype for node in loops(graph)} == {np.dtype(np.float32)}
    assert_close(graph(w, h0, xs), gradient(python_scan, python_fori)(w, h0, xs), 1e-5)


def test_a_python_number_takes_the_dtype_that_the_body_gives_it():
    xs = np.arange(3, dtype=np.float32)
    f = lambda xs: cg.scan(lambda c, x: ((c[0] + x, c[1] + 1), c[0]), (0, 0), xs)  # noqa: E731
    for found in (f(xs), traced(f, xs)(xs)):
        (total, count), ys = found
        assert (total.dtype, count.dtype, ys.dtype) == (np.float32, np.int64, np.float32) or found is None
        assert (total, count, ys.tolist()) == (3.0, 3, [0.0, 0.0, 1.0])
    assert traced(lambda x: cg.fori(0, 3, lambda i, n: n + 1000, 0) + x, 1.0)(1.0) == 3001.0, "beyond the small dtype that is tried"
    assert takes_dtype(1, np.dtype(np.float32)) and not takes_dtype(1.5, np.dtype(np.int64)) and not takes_dtype(1, np.dtype(bool))


def test_large_integers_beside_floats_are_exact_or_refused():
    f = lambda n, x: cg.fori(0, 2, lambda i, c: (c[0] + 1, c[1] * 0.5), (n, x))  # noqa: E731
    n = np.array([2**53 - 4])
    graph = traced(f, n, 1.0)
    assert graph(n, 1.0)[0].tolist() == [2**53 - 2] and graph(n, 1.0)[0].dtype == np.int64
    with pytest.raises(cg.ValueRangeError, match=r"cannot hold the integer 9007199254740993 exactly: integers up to 2\*\*53"):
        graph(np.array([2**53 - 1]), 1.0)
    assert traced(lambda n: cg.fori(0, 2, lambda i, c: c + 1, n), n)(np.array([2**60]))[0] == 2**60 + 2, "integers alone are exact"


@pytest.mark.parametrize("reverse", [False, True])
def test_no_turns(reverse):
    xs = np.zeros((0, 2))

    def f(w, h, xs):
        h, ys = cg.scan(lambda h, x: (h * w + x, (h, np.sum(x))), h, xs, reverse=reverse)
        return np.sum(h) + np.sum(ys[0]) + np.sum(ys[1])

    w, h = 2.0, np.array([1.0, 3.0])
    assert f(w, h, xs) == traced(f, w, h, xs)(w, h, xs) == 4.0
    value, (w_bar, h_bar, xs_bar) = called(traced(cg.value_and_grad(f, (0, 1, 2)), w, h, xs), (w, h, xs))
    assert (float(value), float(w_bar), h_bar.tolist(), xs_bar.shape) == (4.0, 0.0, [1.0, 1.0], (0, 2))
    graph = simplify(cg.reverse(cg.trace(f, w, h, xs)))
    for one, other in zip(run_source(graph, (w, h, xs, 1.0)), graph.run([*leaves_of((w, h, xs)), np.float64(1.0)]), strict=True):
        np.testing.assert_array_equal(one, other)
    last, ys = cg.scan(lambda h, x: (h * 2.0, (h, x)), 1.0, xs)
    assert last == 1.0 and ys[0].shape == (0,) and ys[1].shape == (0, 2)
    assert cg.fori(3, 1, lambda i, h: h * i, 5.0) == 5.0


def test_closures_over_variables_and_arrays():
    w = cg.variable(0.5, name="w")
    step = lambda scan: lambda x: scan(lambda h, row: (np.sin(h * w) + row @ TABLE[0], None), x, TABLE)[0]  # noqa: E731
    graph = traced(step(cg.scan), 0.3)
    (loop,) = loops(graph)
    assert any(arg is w for arg in loop.args), "a variable that the body closes over is an argument of the loop"
    assert graph(0.3) == step(python_scan)(0.3)
    (w_bar,) = cg.reverse(cg.Graph([*graph.inputs, w], graph.outputs), wrt=[w])(0.3, 0.5, 1.0)[1:]
    step(python_scan)(cg.variable(0.3)).backward()
    assert abs(w_bar - w.grad) < 1e-14


def test_an_outer_node_stands_in_the_body_and_may_be_a_carry_or_a_y():
    f = lambda scan: lambda x, w: scan(lambda h, _: (w, x), x, length=3)  # noqa: E731
    last, ys = traced(f(cg.scan), 2.0, 5.0)(2.0, 5.0)
    assert last == 5.0 and ys.tolist() == [2.0, 2.0, 2.0]
    gradient = cg.trace(cg.grad(lambda x, w: np.sum(f(cg.scan)(x, w)[1]) * f(cg.scan)(x, w)[0], (0, 1)), 2.0, 5.0)
    assert gradient(2.0, 5.0) == (15.0, 6.0)


# ---------------------------------------------------------------------------------------------- errors


def both_ways(function: Callable[..., Any], *args: Any) -> list[Callable[[], Any]]:
    return [lambda: function(*args), lambda: cg.trace(function, *args)]


X3 = np.ones(3)
REFUSED = {
    "shape": (lambda x: cg.scan(lambda h, _: (h[:2], None), x, length=2), (X3,), cg.ShapeError,
              r"makes carry, of shape \(3,\) and float64, into one of shape \(2,\) and float64 \(test_loops.py:\d+.*A carry stays what"),
    "dtype": (lambda x: cg.scan(lambda c, _: ({"n": c["n"] * 0.5}, None), {"n": np.array([1, 2])}, length=2), (X3,), cg.DtypeError,
              r"makes carry.n, of shape \(2,\) and int64, into one of shape \(2,\) and float64"),
    "structure": (lambda x: cg.scan(lambda c, _: (c[0], None), (x, x), length=2), (X3,), cg.InputError, "carry has to be a tuple of 2"),
    "keys": (lambda x: cg.scan(lambda c, _: ({"b": c["a"]}, None), {"a": x}, length=2), (X3,), cg.InputError,
             "has to be a dict of a, it is a dict of b"),
    "no pair": (lambda x: cg.scan(lambda c, _: c, x, length=2), (X3,), cg.InputError, r"has to return a pair \(carry, y\)"),
    "lengths": (lambda x: cg.scan(lambda c, r: (c, None), 0.0, {"a": x, "b": x[:2]}), (X3,), cg.ShapeError,
                "xs.a has length 3, xs.b has 2"),
    "length": (lambda x: cg.scan(lambda c, r: (c, None), 0.0, x, length=4), (X3,), cg.ShapeError, "length=4, but xs has length 3"),
    "no length": (lambda x: cg.scan(lambda c, r: (c, None), x), (X3,), cg.InputError, "say the number of turns, as in length=100"),
    "bad length": (lambda x: cg.scan(lambda c, r: (c, None), x, length=-1), (X3,), cg.InputError, "length is an integer from 0 on, not -1"),
    "number as xs": (lambda x: cg.scan(lambda c, r: (c, None), x, [1.0, 2.0]), (X3,), cg.ShapeError, r"write np.array\(...\)"),
    "text": (lambda x: cg.scan(lambda c, r: ("a", None), x, length=2), (X3,), cg.DtypeError, "returned str as carry"),
    "float bound": (lambda x: cg.fori(0, 2.0, lambda i, c: c, x), (X3,), cg.InputError, "fori: upper is an integer, not 2.0"),
    "carry from None": (lambda x: cg.scan(lambda c, r: (x, None), None, length=2), (X3,), cg.InputError, "the carry starts as None"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("way", [0, 1], ids=["eager", "traced"])
def test_refused(name, way):
    function, args, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        both_ways(function, *args)[way]()


def test_a_branch_on_a_value_in_the_body_names_the_line():
    def step(h, x):
        return (h if h > x else x), None

    with pytest.raises(cg.AbstractValueError, match=r"while step is traced .*test_loops.py:\d+: `return \(h if h > x else x\), None`"):
        cg.trace(lambda xs: cg.scan(step, 0.0, xs)[0], np.ones(3))
    assert cg.scan(step, 0.0, np.array([1.0, 3.0, 2.0]))[0] == 3.0, "on numbers it is an ordinary loop"


def test_an_upper_bound_that_is_a_node():
    with pytest.raises(cg.InputError, match="upper is an integer, not a node"):
        cg.trace(lambda n: cg.fori(0, n, lambda i, c: c, 1.0), 3.0)

"""What loops become: their derivatives' structure, the passes, programs and JSON, and two real workloads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from loop_cases import (
    CASES,
    Case,
    assert_close,
    called,
    directions,
    leaves_of,
    loops,
    python_scan,
    rnn,
    run_source,
)

import compgraph as cg
from compgraph.loop import part_number
from compgraph.loop_batching import compute_before, sum_outer_products
from compgraph.loop_passes import (
    covered,
    hoist_invariants,
    improve_loops,
    map_bodies,
    prune_loops,
    read_pieces,
    share_loops,
    unroll,
)
from compgraph.simplification import share_common_subexpressions, simplify
from viz import draw


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request) -> Case:
    return request.param


# ------------------------------------------------------------------------------- structure of derivatives


def test_what_is_zero_is_not_carried():
    """Of three carries and two constants the adjoint loop carries one each: where a derivative passes."""

    def f(w, table, h, n):
        (h, *_), _ = cg.scan(lambda c, x: ((np.sin(c[0] * w) + table[0] * c[1], c[1] + 1.0, c[2] * 2.0), None), (h, n, 1.0), length=7)
        return h

    data = np.array([1.0, 2.0])
    graph = prune_loops(simplify(cg.trace(cg.grad(lambda w, h: f(w, data, h, 0.0), (0, 1)), 0.5, 0.2)))
    adjoint = next(loop for loop in loops(graph) if loop.params["reverse"])
    assert adjoint.params["carries"] == 2, "the adjoint of h, and the sum of those of w"
    forward = simplify(cg.forward(cg.trace(f, 0.5, data, 0.2, 0.0), wrt=["h"]))
    pushed = max(loops(forward), key=lambda loop: loop.params["carries"])
    assert pushed.params["carries"] == 3 + 1


def test_value_and_gradient_run_the_primal_loop_once(case):
    graph = simplify(cg.trace(cg.value_and_grad(case.looped, case.argnums), *case.args))
    shared = cg.typecheck(share_loops(graph))
    flipped = [loop.params["reverse"] for loop in loops(shared)]
    assert sorted(flipped) == [False, True]
    assert len(loops(shared)) < len(loops(graph))
    values = leaves_of(case.args)
    for one, other in zip(shared.run(values), graph.run(values), strict=True):
        np.testing.assert_array_equal(one, other)


def test_value_and_tangent_run_one_loop():
    graph = simplify(cg.forward(cg.trace(CASES["rnn"].looped, *CASES["rnn"].args)))
    assert len(loops(graph)) == 2
    assert len(loops(improve_loops(graph))) == 1


def test_loops_that_only_look_alike_are_not_shared():
    def f(x):
        one = cg.fori(0, 5, lambda i, h: np.sin(h), x)
        two = cg.fori(0, 5, lambda i, h: np.cos(h), x)
        three = cg.fori(0, 6, lambda i, h: np.sin(h), x)
        four, five = cg.fori(0, 5, lambda i, c: (np.sin(c[1]), c[0]), (x, x))
        six = cg.fori(0, 5, lambda i, h: np.sin(h), x)
        return one, two, three, four, five, six

    graph = simplify(cg.trace(f, 0.3))
    shared = share_loops(graph)
    assert len(loops(graph)) - len(loops(shared)) == 1, "the sixth is the first"
    assert shared(0.3) == graph(0.3) == f(0.3)
    first, second = loops(graph)[:2]
    assert covered(first, second) is None and covered(first, loops(graph)[-1]) == [0]


@pytest.mark.parametrize("one", [improve_loops, share_loops, prune_loops, hoist_invariants, read_pieces, lambda g: map_bodies(g, simplify)])
def test_passes_keep_every_value_to_the_bit(case, one):
    values = leaves_of(case.args)
    for graph, args in (
        (cg.trace(case.looped, *case.args), values),
        (simplify(cg.trace(cg.value_and_grad(case.looped, case.argnums), *case.args)), values),
        (simplify(cg.forward(cg.trace(case.looped, *case.args))), [*values, *directions(case.args)]),
    ):
        after = cg.typecheck(one(graph))
        for before, now in zip(graph.run(args), after.run(args), strict=True):
            np.testing.assert_array_equal(before, now)
            assert (before.shape, before.dtype) == (now.shape, now.dtype)


def test_unrolling(case):
    graph = unroll(cg.trace(case.looped, *case.args))
    assert not loops(graph)
    np.testing.assert_array_equal(called(cg.typecheck(graph), case.args), cg.trace(case.unrolled, *case.args)(*leaves_of(case.args)))
    with pytest.raises(cg.InputError, match="a loop of 6 turns is more than the 2"):
        unroll(cg.trace(lambda x: cg.fori(0, 6, lambda i, x: x * x, x), 1.0), limit=2)


def test_pruning_leaves_out_what_nothing_reads():
    def f(w, xs):
        (h, _), ys = cg.scan(lambda c, x: ((c[0] * x, c[1] * w), (c[1], c[0])), (1.0, 2.0), xs)
        return h, ys[1]

    graph = simplify(cg.trace(f, 3.0, np.ones(4)))
    (loop,) = loops(prune_loops(graph))
    assert (loop.params["carries"], len(loop.params["body"].outputs), len(loop.args)) == (1, 2, 2)


def test_sums_of_outer_products_become_one_product(case):
    values = leaves_of(case.args)
    graph = improve_loops(cg.trace(cg.value_and_grad(case.looped, case.argnums), *case.args))
    after = cg.typecheck(sum_outer_products(graph))
    assert_close(after.run(values), graph.run(values))
    if case.function is rnn:
        adjoint = {one: next(loop for loop in loops(one) if loop.params["reverse"]) for one in (graph, after)}
        assert [loop.params["carries"] for loop in adjoint.values()] == [2, 1]
        assert any(node.primitive and node.primitive.name == "matmul" for node in after.nodes)
        for one, other in zip(run_source(after, case.args), after.run(values), strict=True):
            np.testing.assert_array_equal(one, other)
    else:
        assert len(after.nodes) == len(graph.nodes), "there is none"


def test_what_no_carry_reaches_is_computed_for_all_turns_at_once(case):
    values = leaves_of(case.args)
    for graph in (cg.trace(case.looped, *case.args), improve_loops(cg.trace(cg.value_and_grad(case.looped, case.argnums), *case.args))):
        after = cg.typecheck(compute_before(graph))
        assert_close(after.run(values), graph.run(values))
        for one, other in zip(run_source(after, case.args), after.run(values), strict=True):
            np.testing.assert_array_equal(one, other)
    if case.function is rnn:
        found = [sum(len(loop.params["body"].nodes) for loop in loops(one)) for one in (graph, after)]
        assert found[1] < found[0] - 3


def test_invariants_are_computed_once():
    w, xs = CASES["invariant"].args
    graph = cg.trace(CASES["invariant"].looped, w, xs)
    body = loops(graph)[0].params["body"]
    assert not any(node.primitive and node.primitive.name == "exp" for node in body.nodes), "the trace leaves it outside"
    assert len(body.inputs) == 3, "and gives it to the loop once"
    gradient = cg.trace(cg.grad(lambda w: CASES["invariant"].looped(w, xs)), w)
    assert not any(n.primitive and n.primitive.name == "exp" for loop in loops(gradient) for n in loop.params["body"].nodes)


def test_loops_are_told_apart_by_their_bodies():
    f = lambda x: cg.fori(0, 3, lambda i, h: h * 2.0, x) + cg.fori(0, 3, lambda i, h: h * 3.0, x)  # noqa: E731
    graph = share_common_subexpressions(cg.trace(f, 1.0))
    assert len(loops(graph)) == 2 and graph(1.0) == 35.0


# ------------------------------------------------------------------------------------ programs, text, JSON


def test_programs_compute_the_same_bits(case):
    plain = cg.trace(case.looped, *case.args)
    gradient = cg.trace(cg.value_and_grad(case.looped, case.argnums), *case.args)
    for graph in (plain, gradient, simplify(gradient), improve_loops(gradient)):
        for one, other in zip(run_source(graph, case.args), graph.run(leaves_of(case.args)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_program_has_a_for_and_no_flat_vector():
    def step(h, x):
        h = np.tanh(h * x)
        return h, h

    source = cg.trace(lambda h0, xs: cg.scan(step, h0, xs), 0.5, np.zeros(3)).to_source()
    lines = [line.strip() for line in source.splitlines() if not line.startswith(("import", "def")) and '"""' not in line]
    assert [line for line in lines if line] == [
        "h = h0", "hs = np.empty((3,))", "for t in range(3):", "x = xs[t]", "v2 = h * x", "h_2 = np.tanh(v2)", "hs[t] = h_2", "h = h_2",
        "return h, hs",
    ]  # fmt: skip


def test_a_counter_that_is_an_index_is_the_variable_of_the_for():
    f = lambda lower, upper: lambda a, x: cg.fori(lower, upper, lambda i, h: np.sin(h) * a[i], x)  # noqa: E731
    a = np.arange(1.0, 7.0)
    for lower, upper, wanted in ((0, 5, ["for i in range(5):", "h[i]"]), (2, 6, ["for t in range(4):", "i = t + 2"])):
        graph = cg.trace(f(lower, upper), a, 0.3)
        source = graph.to_source()
        assert wanted[0] in source and ("arange" not in source)
        assert wanted[1] in source or lower == 0
        np.testing.assert_array_equal(run_source(graph, (a, 0.3))[0], f(lower, upper)(a, 0.3))
    beside = cg.trace(lambda x: cg.fori(3, 9, lambda i, h: np.sin(h) * i, x), 0.3)
    assert "np.arange(3, 9)" in beside.to_source(), "a number that takes part in arithmetic has NumPy's dtype"


def test_a_flat_vector_that_is_read_as_such_is_printed():
    graph = cg.trace(lambda x: cg.fori(0, 3, lambda i, c: (c[0] * x, c[1] + 1), (x, 0)), np.ones(2))
    (loop,) = loops(graph)
    whole = cg.Graph(graph.inputs, [loop, *graph.outputs])
    assert "np.concatenate" in whole.to_source() and "np.concatenate" not in graph.to_source()
    assert [part.tolist() for part in run_source(whole, (np.array([2.0, 3.0]),))] == [[16.0, 81.0, 3.0], [16.0, 81.0], 3]
    assert part_number(graph.nodes[2], loop) == 0 and part_number(loop, loop) is None


def test_names_of_users_never_become_code():
    x = cg.variable(0.5, name="x\nimport os")
    graph = cg.trace(lambda y: cg.scan(lambda c, lam: (c * x, {"class;": c}), y, length=2), 1.0)
    source = graph.to_source()
    assert "import os" not in source
    assert run_source(graph, (1.0,))[0] == 0.25


def test_json_round_trip(case):
    for graph in (cg.trace(case.looped, *case.args), cg.reverse(cg.trace(case.looped, *case.args))):
        text = graph.to_json()
        again = cg.Graph.from_json(text)
        assert again.to_json() == text
        values = [np.ones(node.shape, node.dtype)[()] for node in graph.inputs]
        for one, other in zip(graph.run(values), again.run(values), strict=True):
            np.testing.assert_array_equal(one, other)


def _document() -> dict[str, Any]:
    return json.loads(cg.trace(lambda x: cg.fori(0, 3, lambda i, h: h * x + i, x), 1.0).to_json())


def _loop_record(document: dict[str, Any]) -> dict[str, Any]:
    return next(record for record in document["nodes"] if record["primitive"] == "scan")


@pytest.mark.parametrize(
    ("param", "value", "message"),
    [
        ("length", 4, "made for"), ("length", -1, "integers from 0 on"), ("length", 3.0, "integers from 0 on"),
        ("carries", 2, "too few|made for"), ("carries", 100, "too few"), ("reverse", 1, "too few"), ("body", 7, "has a graph as its body"),
        ("body", {"graph": {"name": "b"}}, "missing are"), ("body", {"graph": 3}, "not an object"),
    ],
)  # fmt: skip
def test_json_that_says_no_loop_is_refused(param, value, message):
    document = _document()
    _loop_record(document)["params"][param] = value
    with pytest.raises((cg.GraphError, cg.InputError), match=message):
        cg.Graph.from_json(json.dumps(document))


def test_a_body_in_json_is_checked_as_a_graph_is():
    document = _document()
    body = _loop_record(document)["params"]["body"]["graph"]
    body["nodes"][-1]["primitive"] = "os.system"
    with pytest.raises(cg.GraphError, match=r"no primitive 'os\.system'"):
        cg.Graph.from_json(json.dumps(document))
    document = _document()
    body = _loop_record(document)["params"]["body"]["graph"]
    body["inputs"] = body["inputs"][:2]
    with pytest.raises(cg.GraphError):
        cg.Graph.from_json(json.dumps(document))


def test_text_drawing_evaluation_and_networkx():
    case = CASES["rnn"]
    graph = cg.trace(case.looped, *case.args)
    names = [graph.names[node] for node in graph.inputs]
    assert f"v1 = scan(step, {names[1]}, {names[2]}, {names[0]}) x 5" in str(graph)
    assert "scan" in str(draw(graph).svg)
    assert dict(graph.to_networkx().nodes(data="primitive"))["v1"] == "scan"
    for mode in ("primal", "forward", "reverse"):
        seed = {names[0]: np.ones((3, 3))} if mode == "forward" else None
        trace = cg.evaluate(graph, *case.args, mode=mode, seed=seed)
        assert trace.steps and str(trace)


def test_check_proves_a_loop():
    report = cg.check(cg.trace(lambda w, x: cg.fori(0, 4, lambda i, h: np.sin(h) * w, x), 1.2, 0.7), 1.2, 0.7)
    assert report.ok, str(report)
    long = str(cg.check(cg.trace(lambda w, x: cg.fori(0, 400, lambda i, h: np.sin(h) * w, x), 1.2, 0.7), 1.2, 0.7))
    assert "a loop of many turns is no formula" in long and "agrees" in long
    with pytest.raises(cg.MissingRuleError, match="a loop of many turns is no formula"):
        cg.trace(lambda x: cg.fori(0, 400, lambda i, h: h * x, x), 0.7).to_sympy()


# ------------------------------------------------------------------------------------ the real workloads


def lstm(scan, p, inputs, targets):
    size = p["b"].shape[0] // 4

    def step(state, x):
        h, c = state
        gates = p["Wx"] @ x + p["Wh"] @ h + p["b"]
        i, f, o = cg.sigmoid(gates[:size]), cg.sigmoid(gates[size : 2 * size]), cg.sigmoid(gates[2 * size : 3 * size])
        c = f * c + i * np.tanh(gates[3 * size :])
        h = o * np.tanh(c)
        return (h, c), p["Wy"] @ h

    _, logits = scan(step, (np.zeros(size), np.zeros(size)), inputs)
    return np.mean(np.log(np.sum(np.exp(logits), axis=1)) - np.sum(logits * targets, axis=1))


def runge_kutta(scan, y0, k, dt):
    def slope(y):
        return np.stack([y[1], -k * y[0] - 0.1 * y[1]])

    def step(y, _):
        k1 = slope(y)
        k2 = slope(y + dt / 2 * k1)
        k3 = slope(y + dt / 2 * k2)
        k4 = slope(y + dt * k3)
        return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return np.sum(scan(step, y0, length=1000)[0] ** 2)


def workloads() -> dict[str, tuple[Any, tuple[Any, ...], Any]]:
    rng = np.random.default_rng(1)
    letters, size = 27, 16
    p = {
        "Wx": rng.normal(size=(4 * size, letters)) * 0.1, "Wh": rng.normal(size=(4 * size, size)) * 0.1, "b": np.zeros(4 * size),
        "Wy": rng.normal(size=(letters, size)) * 0.1,
    }  # fmt: skip
    text = rng.integers(0, letters, 1001)
    one_hot = np.eye(letters)[text]
    return {
        "LSTM over 1,000 characters": (lstm, (p, one_hot[:-1], one_hot[1:]), 0),
        "Runge-Kutta of 1,000 steps": (runge_kutta, (np.array([1.0, 0.0]), 2.0, 0.01), (0, 1, 2)),
    }


@pytest.mark.parametrize("name", ["LSTM over 1,000 characters", "Runge-Kutta of 1,000 steps"])
def test_real_loops(name):  # in which nothing may go wrong that the small cases do not show
    function, args, argnums = workloads()[name]
    gradient = lambda scan: cg.value_and_grad(lambda *args: function(scan, *args), argnums)  # noqa: E731
    graph = improve_loops(cg.trace(gradient(cg.scan), *args))
    assert len(loops(graph)) == 2
    assert len(graph.to_source().splitlines()) < 200
    assert len(graph.nodes) < 60, "nothing grows with the number of turns"
    wanted = leaves_of(gradient(python_scan)(*args))
    found = [np.asarray(one) for one in run_source(graph, args)]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    for one, other in zip(found, graph.run(leaves_of(args)), strict=True):
        np.testing.assert_array_equal(one, other)
    again = cg.Graph.from_json(graph.to_json())
    for one, other in zip(found, again.run(leaves_of(args)), strict=True):
        np.testing.assert_array_equal(one, other)

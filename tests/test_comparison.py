"""The comparison of ways to differentiate: what it says, against what is measured, and what it refuses."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ledger import executed

import compgraph as cg
from compgraph import comparison, ledger, ways
from compgraph.__main__ import main
from compgraph.symbolic import TooLargeError

NAMES = ["forward", "reverse", "vector forward", "vector reverse", "symbolic", "symbolic, shared", "central difference", "complex step"]


def textbook(x1: Any, x2: Any) -> Any:
    ratio = x1 / x2
    return (np.exp(ratio) + ratio) * (ratio - np.log(x2))


def perceptron(inputs: int, hidden: int, outputs: int, batch: int = 16) -> tuple[Any, tuple[Any, ...]]:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(batch, inputs)), generator.normal(size=(batch, outputs))

    def loss(w: Any, b: Any, v: Any, c: Any) -> Any:
        return np.mean((np.tanh(x @ w + b) @ v + c - y) ** 2)

    w, v = 0.3 * generator.normal(size=(inputs, hidden)), 0.3 * generator.normal(size=(hidden, outputs))
    return loss, (w, np.zeros(hidden), v, np.zeros(outputs))


@pytest.fixture(scope="module")
def found() -> cg.Comparison:
    return cg.compare(textbook, 0.5, 1.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are measured, but not for long."""
    monkeypatch.setattr(ways, "TIMING_SECONDS", 0.01)
    monkeypatch.setattr(comparison, "REFERENCE", 20_000)


def test_every_way_on_the_textbook_example(found):
    assert [way.name for way in found.ways] == NAMES
    assert [way.passes for way in found.ways] == [2, 1, 1, 1, 1, 1, 4, 2]
    graph = cg.trace(textbook, 0.5, 1.0)  # of 6 operations: a quotient, exp, log, +, - and a product
    assert found["reverse"].operations == ledger.run_cost(cg.simplify(cg.reverse(graph))).operations
    assert found["forward"].operations == 2 * ledger.run_cost(cg.simplify(cg.forward(graph))).operations
    assert found["central difference"].operations == 2 * (2 * 6 + 3 + 2)
    assert all(way.seconds > 0 and way.peak_bytes > 0 for way in found.ways)
    assert all(way.error <= 1e-15 for way in found.ways if way.name != "central difference")
    assert 1e-13 < found["central difference"].error < 1e-8
    assert found.best == "reverse"
    assert found.advice.startswith("Use reverse mode: 1 adjoint in one pass, 19 operations; forward mode's 2 tangents take 1.2 times")


def test_tables_in_three_forms(found):
    lines = str(found).splitlines()
    assert lines[0] == "textbook: 2 inputs, 1 output"
    assert [line.split("  ")[0] for line in lines[2:10]] == NAMES
    assert lines[-1] == found.advice
    page = found._repr_html_()
    assert page.count("<tr>") == 9
    assert "Use reverse mode" in page
    assert found._repr_mimebundle_()["text/html"] == page
    data = json.loads(found.to_json())
    assert data["best"] == "reverse"
    assert [way["name"] for way in data["ways"]] == NAMES
    with pytest.raises(cg.InputError, match="no way 'adjoint'; there are forward, reverse"):
        found["adjoint"]


@pytest.mark.usefixtures("quick")
def test_names_are_escaped():
    assert "<lambda>" not in cg.compare(lambda x: x * 2.0, 1.0)._repr_html_()


def test_a_perceptron_and_the_textbook_example_take_seconds():
    loss, args = perceptron(8, 16, 3)
    start = time.process_time()
    cg.compare(textbook, 0.5, 1.0)
    small = cg.compare(loss, *args)
    large_loss, large_args = perceptron(16, 128, 10)
    large = cg.compare(large_loss, *large_args)
    assert time.process_time() - start < 5
    for one, count in ((small, 195), (large, 3466)):
        assert (one.inputs, one.outputs, one.best) == (count, 1, "reverse")
        assert one["symbolic"].note.startswith("given up: about ")
        assert one["symbolic"].note.endswith(f"operations written out, to be differentiated by {count:,} inputs")
        assert one["symbolic"].seconds is None
        assert one["reverse"].error < 1e-14
        assert "formulas grow too large" in one.advice
    assert small["vector forward"].error < 1e-14


# ------------------------------------------------------------------------------------- the advice, measured


UNARY = [np.sin, np.exp, np.tanh, lambda x: x * x, lambda x: 1 / (1.5 + x * x)]


@st.composite
def maps(draw: Any) -> tuple[Any, tuple[Any, ...]]:
    """A random map from arrays to arrays of other shapes: n numbers, layers in between, m numbers."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=3))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    matrices = [generator.normal(size=(after, before)) for before, after in pairwise(sizes)]
    units = [draw(st.sampled_from(UNARY)) for _ in matrices]
    split = draw(st.booleans()) and sizes[0] > 1
    mixed = draw(st.booleans())

    def f(*parts: Any) -> Any:
        x = np.concatenate(parts) if len(parts) > 1 else parts[0]
        for matrix, unit in zip(matrices, units, strict=True):
            x = unit(matrix @ x)
            x = x * x[0] if mixed else x
        return (x, np.sum(x)) if mixed else x

    start = generator.uniform(-1, 1, sizes[0])
    return f, (start[:1], start[1:]) if split else (start,)


@given(maps())
@settings(max_examples=200)
def test_the_advice_is_the_mode_that_is_measured_to_be_cheaper(program):
    """Both vector modes are run by numbers that count, entry by entry; the advice is made from the shapes alone."""
    function, args = program
    graph = cg.simplify(cg.trace(function, *args))
    measured = {}
    for mode in ("forward", "reverse"):
        derived = ledger.jacobian_graph(graph, mode)
        measured[mode] = sum(executed(derived, [np.ones(node.shape) for node in derived.inputs]).values())
    best = comparison.cheaper(graph)
    assert measured[best] == min(measured.values())


@pytest.mark.usefixtures("quick")
def test_few_inputs_and_few_outputs():
    matrix = np.random.default_rng(0).normal(size=(6, 2))
    wide = cg.compare(lambda x: np.tanh(matrix @ x), np.array([0.3, 0.4]))
    assert (wide.best, wide.inputs, wide.outputs) == ("forward", 2, 6)
    assert "Use forward mode: 2 tangents in one pass" in wide.advice
    assert "reverse mode's 6 adjoints take" in wide.advice
    tall = cg.compare(lambda x: np.tanh(matrix.T @ x), np.ones(6))
    assert tall.best == "reverse"
    assert cg.compare(np.sin, 1.0).best == "forward"  # as many operations, and no more memory


# ------------------------------------------------------------------------------------ ways that are closed


@pytest.mark.usefixtures("quick")
def test_a_node_that_sympy_cannot_express_is_named():
    found = cg.compare(lambda a: np.sum(np.linalg.pinv(a)), np.eye(2) * 2.0)
    assert found["symbolic"].note.startswith("SymPy has no form: pinv has no SymPy form for v1 = pinv (2, 2) from test_comparison.py:")
    assert found["reverse"].error is None
    assert found.reference.startswith("none, pinv has no form in many digits for v1 = pinv (2, 2)")
    assert all(found[name].seconds > 0 for name in ("forward", "reverse", "central difference"))


@pytest.mark.usefixtures("quick")
def test_what_is_not_analytic_has_no_complex_step():
    found = cg.compare(lambda x: abs(x) * x, -2.0)
    assert found["complex step"].note.startswith("v1 = abs () from test_comparison.py:")
    assert found["complex step"].note.endswith("is not analytic")
    assert found["symbolic"].error < 1e-15
    assert found["central difference"].error < 1e-9


@pytest.mark.usefixtures("quick")
def test_selections_and_integers():
    found = cg.compare(lambda x, k: np.sum(np.where(x > 0, x**2, np.exp(x))[k]), np.array([-1.0, 0.5, 2.0]), np.array([0, 2, 2]))
    assert found.inputs == 3
    assert all(way.error < 1e-9 for way in found.ways if way.error is not None)
    assert found["forward"].error < 1e-15


@pytest.mark.usefixtures("quick")
def test_single_precision():
    found = cg.compare(lambda x: np.sum(np.sin(x) * x), np.array([0.3, 1.7], np.float32))
    assert 1e-10 < found["reverse"].error < 1e-6
    assert found["complex step"].note == "float32 cannot hold a step of 1e-100"


@pytest.mark.usefixtures("quick")
def test_each_entry_is_moved_by_the_step_of_its_own_dtype():
    found = cg.compare(lambda x, y: np.sum(np.sin(x) * y), np.ones(3, np.float32), np.ones(3))
    assert found["central difference"].error < 1e-4


def test_kinks_and_jumps_have_no_reference():
    kink = cg.compare(np.max, np.array([1.0, 1.0, 0.0]))
    assert kink.reference.endswith("relative to the largest derivative; without 2 derivatives at a kink or a jump, where there is none")
    assert kink["reverse"].error == 0
    jump = cg.compare(lambda x: np.where(x > 0, x + 1, x**2) + x, 0.0)
    assert "without 1 derivative at a kink or a jump" in jump.reference
    even = cg.compare(lambda x: np.sign(x) * 2.0 + x, 0.0)  # as far to both sides
    assert "without 1 derivative at a kink or a jump" in even.reference
    stopped = cg.compare(lambda x: cg.stop_gradient(x) * x, 2.0)
    assert stopped["reverse"].error == pytest.approx(0.5)
    assert stopped.reference.endswith("; sweeps stop at stop_gradient, formulas and differences do not")


@pytest.mark.usefixtures("quick")
def test_an_infinite_derivative_is_said():
    found = cg.compare(cg.parse("sqrt(x)"), 0.0)
    assert found.reference.startswith("none, outside the domain at v1 = sqrt ()")
    assert found.reference.endswith("the derivative is not finite here")


@pytest.mark.usefixtures("quick")
def test_passes_that_are_too_large_are_counted_and_not_run(monkeypatch):
    monkeypatch.setattr(ways, "MOST_BYTES", 50_000)
    loss, args = perceptron(8, 16, 3)
    found = cg.compare(loss, *args)
    assert found["vector forward"].note == "counted and not run: a pass takes 0.7 MiB"
    assert found["vector forward"].operations == 839_392
    assert found["vector forward"].seconds is None
    assert found["reverse"].seconds > 0


@pytest.mark.usefixtures("quick")
def test_many_outputs_take_no_pass_each():
    start = time.perf_counter()
    found = cg.compare(lambda x: x * np.ones(100_000), 1.0)
    assert found.best == "forward" and found["reverse"].passes == 100_000 and found["reverse"].error is None
    assert "100,000 outputs are too many for 50 digits" in found.reference
    assert cg.compare(lambda x: x * np.ones(6_000), 1.0)["reverse"].error is None
    assert time.perf_counter() - start < 20


@pytest.mark.usefixtures("quick")
def test_where_there_is_no_derivative_there_is_no_error():
    found = cg.compare(np.abs, 0.0)
    assert all(way.error is None for way in found.ways) and "1 derivative at a kink" in found.reference


@pytest.mark.usefixtures("quick")
def test_an_input_without_entries_takes_no_pass():
    found = cg.compare(lambda x, y: np.sum(x) + y, np.zeros((0, 3)), 2.0)
    assert (found.inputs, found["forward"].passes, found["vector forward"].error, found["vector reverse"].error) == (1, 1, 0, 0)


@pytest.mark.usefixtures("quick")
def test_sympy_is_stopped_in_time(monkeypatch):
    monkeypatch.setattr(ways, "SYMBOLIC_SECONDS", 0.002)
    found = cg.compare(lambda x: np.sin(np.exp(np.sin(x * np.cos(x)))), 0.5)
    assert found["symbolic"].note == "given up: it took longer than 0.002 s"
    assert found["reverse"].error < 1e-15


def test_a_time_limit_leaves_nothing_behind():
    def forever() -> None:
        while True:
            len(str(1))

    with pytest.raises(TooLargeError, match=r"longer than 0\.01 s"), ways.within(0.01):
        forever()
    assert sys.getprofile() is None
    with ways.within(10):
        assert sum(range(10)) == 45
    assert sys.getprofile() is None


def test_a_time_limit_does_not_strike_in_a_generator_that_is_closed(monkeypatch):
    """What is raised there is printed and lost."""
    clock, raised, reached = [0.0], [], []
    monkeypatch.setattr(ways.time, "thread_time", lambda: clock[0])
    monkeypatch.setattr(sys, "unraisablehook", raised.append)

    def numbers() -> Any:
        try:
            yield 1
        finally:
            reached.append("closed")

    def late() -> None:
        one = numbers()
        next(one)
        clock[0] = 2.0
        del one
        reached.extend(["not reached"])

    with pytest.raises(TooLargeError), ways.within(1.0):
        late()
    assert not raised and reached == ["closed"]


@pytest.mark.usefixtures("quick")
def test_derivatives_that_grow_are_given_up_at_a_size(monkeypatch):
    monkeypatch.setattr(ways, "SYMBOLIC_SIZE", 20)
    found = cg.compare(lambda *x: np.exp(x[0] * x[1] * x[2] * x[3]), 0.1, 0.2, 0.3, 0.4)
    assert "more than 20 operations and operands after 2 of 4 derivatives" in found["symbolic"].note


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.usefixtures("quick")
def test_random_functions_are_found_out():
    generator = np.random.default_rng(0)
    with pytest.raises(cg.InputError, match=r"another result when it is called again: v1 = multiply .*test_comparison\.py.* differs first"):
        cg.compare(lambda x: x * generator.normal() + 1.0, 2.0)


@pytest.mark.usefixtures("quick")
def test_points_outside_the_domain():
    with pytest.raises(cg.InputError, match=r"is outside its domain: v1 = log \(\) from log\(x\) has a value that is not finite"):
        cg.compare(cg.parse("1 + log(x)"), -1.0)
    with pytest.raises(cg.InputError, match=r"x .*has an input that is not finite"):
        cg.compare(cg.parse("1 + x"), float("nan"))


@pytest.mark.usefixtures("quick")
def test_a_branch_on_a_value_is_a_traced_function_s_error():
    with pytest.raises(cg.AbstractValueError, match=r"a branch .*test_comparison\.py:\d+"):
        cg.compare(lambda x: x if x > 0 else -x, 2.0)


@pytest.mark.usefixtures("quick")
def test_what_is_no_real_function():
    with pytest.raises(cg.InputError, match="compare takes a function or a graph, not int"):
        cg.compare(3)
    with pytest.raises(cg.InputError, match=r"real functions of real numbers: .* is complex"):
        cg.compare(lambda z: z * z, 1.0 + 2.0j)
    for odd in (np.array([1, 2]), np.zeros(0)):
        with pytest.raises(cg.InputError, match="no floating-point input to differentiate"):
            cg.compare(lambda k: np.sum(k + k), odd)
    with pytest.raises(cg.InputError, match="no floating-point output to differentiate"):
        cg.compare(np.argmax, np.ones(2))


@pytest.mark.usefixtures("quick")
def test_graphs_and_names():
    graph = cg.parse("x1 * x2")
    assert cg.compare(graph, x1=2.0, x2=3.0).inputs == 2
    x = cg.variable(2.0, name="x")
    assert cg.compare(cg.graph_of(x * x)).best == "forward"


# ------------------------------------------------------------------------------------------- command line


@pytest.mark.usefixtures("quick")
def test_the_command(capsys):
    assert main(["compare", "(exp(x1/x2) + x1/x2) * (x1/x2 - ln(x2))", "x1=0.5", "x2=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "f: 2 inputs, 1 output"
    assert lines[3].split()[:3] == ["reverse", "1", "19"]
    assert lines[-1].startswith("Use reverse mode")
    assert main(["compare", "x1 * x2", "x1=2", "x2=3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == 2
    assert main(["compare", "ln(x)", "x=-1"]) == 2
    assert capsys.readouterr().err.startswith("compgraph: f is outside its domain: v1 = log ()")

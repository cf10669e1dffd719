"""The benchmarks compute what they say: every program at a tiny size, in each library that is installed. No time is tested."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compgraph as cg

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import arrays  # noqa: E402 - a folder of scripts, found by its path
import common  # noqa: E402
import compiled  # noqa: E402
import eager  # noqa: E402
import first_call  # noqa: E402
import growth  # noqa: E402
import loops  # noqa: E402
import textbook  # noqa: E402
import training  # noqa: E402
import workloads  # noqa: E402

# Each row with what the engine computes for it, operation by operation.


def of_textbook() -> list[Any]:
    value, bars = cg.value_and_grad(textbook.f, argnums=(0, 1))(*textbook.POINT)
    return [value, *bars]


PROBLEMS, LOOPS = workloads.tiny_problems(), loops.tiny_loops()
ROWS = [
    (compiled.textbook_rows()[0], of_textbook),
    (compiled.training_rows([training.TINY])[0], training.with_compgraph(training.TINY, None).results),
    *((row, workloads.with_compgraph(problem)) for row, problem in zip(compiled.array_rows(PROBLEMS), PROBLEMS, strict=True)),
    *((row, loops.with_compgraph(loop, None).results) for row, loop in zip(compiled.loop_rows(LOOPS), LOOPS, strict=True)),
]
SLOW = "PyTorch compile"  # runs a compiler for seconds


def cells() -> list[Any]:
    found = []
    for row, expected in ROWS:
        for name in row.makes:
            marks = [pytest.mark.slow] if name.startswith(SLOW) else []
            found.append(pytest.param(row, expected, name, id=f"{row.name}: {name}", marks=marks))
    return found


@pytest.mark.parametrize(("row", "expected", "name"), cells())
@pytest.mark.filterwarnings("ignore")  # of other libraries; those of compgraph are errors in all other tests
def test_each_library_computes_what_the_engine_does(row: compiled.Row, expected: Any, name: str) -> None:
    package, make = row.makes[name]
    if package is not None:
        pytest.importorskip(package, reason=f"{package} is not installed")
    case = make()
    if case is None:
        pytest.skip(f"{name} has none")
    row.agree({"the engine": expected(), name: case.results()}, row.name)
    case.ready()()  # what the clock would time


@pytest.mark.parametrize("row", [row for row, _ in ROWS if row.alone is not None], ids=lambda row: row.name)
def test_the_function_alone_is_that_of_the_derivative(row: compiled.Row) -> None:
    (expected,) = (expected for other, expected in ROWS if other is row)
    assert row.alone is not None
    np.testing.assert_allclose(row.alone(), expected()[0], rtol=1e-12)


@pytest.mark.parametrize(("row", "expected"), ROWS, ids=lambda part: getattr(part, "name", ""))
def test_a_library_that_computes_something_else_is_refused(row: compiled.Row, expected: Any) -> None:
    results = [np.array(part) for part in expected()]
    wrong = [results[0], *results[1:-1], results[-1] + 1e-3 * (1 + np.abs(results[-1]))]
    with pytest.raises(AssertionError, match=r"(?i)another|differ"):
        row.agree({"the engine": results, "another": wrong}, row.name)


@pytest.mark.parametrize(("change", "value"), [("BETA1", 0.8), ("BETA2", 0.99), ("RATE", 1.1e-3), ("EPSILON", 1e-3)])
def test_another_adam_is_refused(monkeypatch: pytest.MonkeyPatch, change: str, value: float) -> None:
    expected = training.with_compgraph(training.TINY, None).results()
    monkeypatch.setattr(training, change, value)
    other = training.with_hand(training.TINY).results()
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="differ"):
        training.assert_agree({"Adam": expected, "another": other}, "planted")


def test_a_turn_of_the_clock_begins_a_training_anew() -> None:
    case = training.with_hand(training.TINY)
    first, again = case.ready()(), case.ready()()
    step = case.ready()
    assert first == again == step() != step()


def test_by_hand_are_the_short_ones() -> None:
    assert {problem.program for problem in PROBLEMS if workloads.by_hand(problem)} == {workloads.logsumexp, workloads.kmeans}


# ------------------------------------------------------------------------------------------- growth


@pytest.mark.parametrize(("size", "kind"), [(20, "wide"), (12, "deep")])
def test_growing_work_has_one_value_and_one_gradient(size: int, kind: str) -> None:
    found = {name: run() for name, run in growth.work_cases(size, kind).items()}
    f = growth.wide if kind == "wide" else partial(growth.deep, steps=size)
    value, bar = cg.value_and_grad(f)(growth.inputs(size) if kind == "wide" else 0.7)
    np.testing.assert_allclose(found["function, NumPy"], value, rtol=1e-13)
    np.testing.assert_allclose(found["function"], value, rtol=1e-13)
    np.testing.assert_allclose(found["gradient"][0], value, rtol=1e-13)
    np.testing.assert_allclose(found["gradient"][1], bar, rtol=1e-12)


@pytest.mark.parametrize("make", [growth.input_cases, growth.output_cases])
@pytest.mark.parametrize("count", [1, 5, 20])
def test_both_modes_have_one_derivative(make: Any, count: int) -> None:
    cases = make(count, other=True, work=20)
    found = {name: run() for name, run in cases.items()}
    assert np.shape(found["forward mode"]) == np.shape(found["reverse mode"]) == (count,)
    np.testing.assert_allclose(found["forward mode"], found["reverse mode"], rtol=1e-12)
    assert "function" in make(count, other=False, work=20)


def test_the_work_does_not_depend_on_inputs_or_outputs() -> None:
    x = 0.7
    values = [growth.from_inputs(np.full(count, x), work=20) for count in (1, 4, 20)]
    np.testing.assert_allclose(values, values[0], rtol=1e-13)
    values = [np.sum(growth.to_outputs(x, count, work=20)) for count in (1, 4, 20)]
    np.testing.assert_allclose(values, values[0], rtol=1e-13)


@pytest.mark.parametrize("length", [1, 2, 11, 30])
def test_checkpoints_change_no_gradient(length: int) -> None:
    x = growth.inputs(3)
    bars = [cg.grad(growth.chain_of(length, store))(x) for store in growth.STORES]
    for bar in bars[1:]:
        np.testing.assert_array_equal(bar, bars[0])


def test_checkpoints_hold_less() -> None:
    everything, blocks, snapshots = (growth.peak(100, store, 10_000) for store in growth.STORES)
    assert snapshots < blocks < everything / 2


# ------------------------------------------------------------------------------- the older benchmarks


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.filterwarnings("ignore")
def test_array_programs_agree(problem: workloads.Problem) -> None:
    installed, _ = common.versions_of([package for package, _ in arrays.LIBRARIES.values()])
    names = [name for name, (package, _) in arrays.LIBRARIES.items() if package in installed or package == "compgraph"]
    assert list(arrays.agreeing(problem, names)) == names


@pytest.mark.parametrize("activation", eager.ACTIVATIONS)
@pytest.mark.parametrize("library", eager.RIVALS)
def test_eager_chains_agree(library: str, activation: str) -> None:
    if library != "compgraph":
        pytest.importorskip(library, reason=f"{library} is not installed")
    run = eager.RIVALS[library](activation)
    if run is None:
        pytest.skip(f"{library} has no {activation}")
    np.testing.assert_allclose(run(), eager.of_compgraph(activation)(), rtol=1e-12)


# -------------------------------------------------------------------------------------------- tools


def test_cases_take_turns_and_all_get_them() -> None:
    calls: list[str] = []
    cases = {name: partial(calls.append, name) for name in "abc"}
    timings = common.interleaved(cases, rounds=4, repeats={"a": 1, "b": 2, "c": 3})
    assert list(timings) == list(cases)
    # One call before the clock in each of four turns, then those that count.
    assert [calls.count(name) for name in "abc"] == [4 * (1 + 1), 4 * (1 + 2), 4 * (1 + 3)]
    turns = [calls[9 * turn : 9 * turn + 9] for turn in range(4)]
    assert len({"".join(dict.fromkeys(turn)) for turn in turns}) > 1, "each round has its own order"


def test_what_takes_too_long_is_stopped() -> None:
    with pytest.raises(TimeoutError, match="longer than 0 s"), common.within(0.01):
        time.sleep(60.0)
    with common.within(60.0):
        pass


def test_a_rival_that_fails_is_named_and_ours_are_not_excused() -> None:
    def fails() -> common.Case:
        raise RuntimeError("no such operation\nand a long story")

    works = (None, lambda: common.Case.of(lambda: [1.0]))
    notes: list[str] = []
    makes = {"numpy target": works, "rival": ("rival", fails), "absent": ("absent", fails)}
    row = compiled.Row("job", makes, compiled.close)
    assert list(compiled.built(row, {"rival": "1.0"}, notes)) == ["numpy target"]
    assert notes == ["rival, job: no such operation"]
    with pytest.raises(RuntimeError, match="no such operation"):
        compiled.built(row._replace(makes={"numpy target": (None, fails)}), {}, notes)


def timings(**medians: float) -> dict[str, common.Timing]:
    return {name: common.Timing(median, 0.9 * median, 1.1 * median) for name, median in medians.items()}


def test_the_better_number_of_threads_is_told() -> None:
    found = compiled.fastest(timings(**{"numpy target": 1e-6, "PyTorch, 1": 3e-6, "PyTorch, 2": 2e-6}))
    assert {name: (timing.median, note) for name, (timing, note) in found.items()} == {
        "numpy target": (1e-6, ""),
        "PyTorch": (2e-6, ", 2 thr."),
    }


def test_ratios_are_of_a_library_over_ours() -> None:
    row = compiled.fastest(timings(**{"numpy target": 2e-6, "numba target": 1e-6, "JAX jit": 6e-6, compiled.ALONE: 1e-6}))
    one = compiled.report({"job": row})
    assert "| JAX jit                   | 6.00 (5.40 to 6.60) |              3.00 |              6.00 |" in one
    two = compiled.report({"job": row, "another": {name: row[name] for name in ("numpy target", "numba target", compiled.ALONE)}})
    lines = [" ".join(line.split()) for line in two.splitlines()]
    assert "| job | 0.50 | 3.00 |" in lines  # over the numpy target: the numba target, then JAX
    assert "| another | 0.50 | |" in lines  # where JAX has none
    assert "| job | 2.00 | 1.00 | 6.00 |" in lines  # over the function alone


def test_every_result_has_its_place_in_the_text() -> None:
    text = (BENCHMARKS / "README.md").read_text()
    sections = [*compiled.SECTIONS, "first call"]
    for name in ("eager", "long chain", "arrays", "growth", *(f"compiled, {section}" for section in sections)):
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- end of {name} -->") == 1, name


def test_first_calls_are_of_the_same_jobs() -> None:
    jobs = {target: list(first_call.jobs(target)) for target in first_call.PACKAGES}
    assert jobs["numba"] == jobs["jax"] == jobs["numpy"][:5]
    assert jobs["torch"] == jobs["numpy"][:3]


def test_a_first_call_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    assert first_call.elsewhere("numpy", "textbook example", str(tmp_path)) > 0.0

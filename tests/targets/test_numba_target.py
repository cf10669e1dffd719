"""The numba target computes what the graph computes: every primitive, its derivatives, and whole programs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from domains import SAMPLES, Sample
from whole_graphs import BINARY, REAL, SPECIAL, UNARY, applied, derivatives, names, one_each, parts

import compgraph as cg
from compgraph.errors import MissingDependencyError, MissingRuleError
from compgraph.graph import Graph
from compgraph.simplification import simplify
from compgraph.targets import Program

numba = pytest.importorskip("numba", reason="the numba target needs numba: pip install 'compgraph[fast]'")

from compgraph.targets import numba_target  # noqa: E402 - after the skip
from compgraph.targets.numba_target import build  # noqa: E402 - after the skip

ROOT = Path(__file__).resolve().parents[2]
# Functions whose last digit differs between NumPy's library and the compiler's, and sums, whose order differs.
TOLERANCE = {"float64": 1e-13, "float32": 2e-6}


@pytest.fixture(autouse=True, scope="module")
def _own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled code goes to a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPGRAPH_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


def equal(got: Any, want: Any, what: str = "", tolerance: float | None = None, terms: float = 0.0) -> None:
    """`terms` is the size of the numbers that were added: a sum that cancels has the rounding errors of its terms."""
    got_, want_ = np.asarray(got), np.asarray(want)
    assert (got_.shape, got_.dtype) == (want_.shape, want_.dtype), what
    rtol = TOLERANCE.get(want_.dtype.name, 0.0) if tolerance is None else tolerance
    scale = float(np.max(np.abs(want_[np.isfinite(want_)]), initial=terms)) if want_.dtype.kind in "fc" else 0.0
    np.testing.assert_allclose(got_, want_, rtol=rtol, atol=rtol * scale, err_msg=what)


def run(graph: Graph, values: Iterable[Any], tolerance: float | None = None, terms: float = 0.0, **options: Any) -> Program:
    """Build the graph and compare every output with the interpreter's."""
    values = list(values)
    program = build(graph, **options)
    with np.errstate(all="ignore"):
        want = graph.run(values)
    for number, (got, each) in enumerate(zip(program.function(*values), want, strict=True)):
        equal(got, each, f"output {number}", tolerance, terms)
    return program


def traced(function: Callable[..., Any], *args: Any) -> Graph:
    return simplify(cg.trace(function, *args))


# ------------------------------------------------------------------------------------ the whole table


@pytest.mark.parametrize("samples", parts(one_each(SAMPLES), 40), ids=names)
def test_every_primitive(samples: list[Sample]) -> None:
    run(*applied(samples))


@pytest.mark.slow
@pytest.mark.parametrize("samples", parts(list(SAMPLES), 40), ids=names)
def test_every_sample(samples: list[Sample]) -> None:
    run(*applied(samples))


@pytest.mark.slow
@pytest.mark.parametrize("samples", parts(REAL, 12), ids=names)
def test_derivatives_of_every_sample(samples: list[Sample]) -> None:
    run(*derivatives(samples), tolerance=1e-11, terms=1.0)


# -------------------------------------------------------------------------------- kinds of numbers


def test_float32_stays_float32_and_weak_numbers_stay_weak() -> None:
    x = np.linspace(-2, 2, 7, dtype=np.float32)
    graph = traced(lambda x: (np.exp(x) * 0.1 + 2) / (1 + x**2) - np.where(x > 0, x, 0.5) + np.mean(x) * np.max(x), x)
    program = run(graph, [x])
    assert "float64" not in program.source


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_infinities_nan_and_signed_zeros_are_numpys(dtype: str) -> None:
    with np.errstate(all="ignore"):
        one, two = (np.ravel(part).astype(dtype) for part in np.meshgrid(SPECIAL, SPECIAL))
        graph = traced(lambda x, y: [*(f(x) for f in UNARY), *(f(x, y) for f in BINARY)], one, two)
        want = graph.run([one, two])
    got = build(graph).function(one, two)
    for function, each, expected in zip((*UNARY, *BINARY), got, want, strict=True):
        equal(each, expected, function.__name__)
        if expected.dtype.kind == "f" and function not in (np.fmax, np.fmin, np.maximum, np.minimum):
            zeros = expected == 0
            np.testing.assert_array_equal(np.signbit(each[zeros]), np.signbit(expected[zeros]), err_msg=function.__name__)


def test_reductions_of_special_numbers() -> None:
    rows = np.array([[1.0, np.nan, 3.0], [np.inf, -np.inf, 0.0], [np.inf, 2.0, np.inf], [-np.inf] * 3, [2.0, 2.0, -0.0]])
    graph = traced(
        lambda x: [f(x, axis=axis) for axis in (0, 1, None) for f in (np.max, np.min, np.sum, np.prod, np.mean)]
        + [f(x, axis=axis) for axis in (0, 1) for f in (np.argmax, np.argmin, np.cumsum)], rows
    )  # fmt: skip
    run(graph, [rows])


def test_whole_numbers_and_truths() -> None:
    n, m, flags = np.array([3, -2, 7], np.int32), np.array([2, 5, -1], np.int32), np.array([True, False, True])
    graph = cg.trace(
        lambda n, m, flags: [n + m, n * m, n - 2, n / m, n > m, flags & (n > 0), np.sum(flags), np.sum(n), n * 2.5, np.abs(n)], n, m, flags
    )  # fmt: skip
    run(graph, [n, m, flags])


def test_a_long_sum_keeps_its_digits() -> None:
    x = np.full(1_000_000, 0.1, np.float32)
    graph = traced(lambda x: np.sum(x * 1), x)
    got = build(graph).function(x)[0]
    assert abs(float(got) / float(np.sum(x.astype(np.float64))) - 1) < 1e-6


# ------------------------------------------------------------------------------------------- shapes


def test_empty_arrays_numbers_and_axes_of_length_one() -> None:
    x, empty, number = np.arange(6.0).reshape(2, 1, 3), np.zeros((0, 3)), np.float64(2.5)
    graph = traced(
        lambda x, e, s: [
            x + s, np.sum(e, axis=0), np.sum(e), e * 2, np.concatenate([e, e + s]), x * np.reshape(x, (1, 2, 3)), s * s, np.sum(s),
        ],
        x, empty, number,
    )  # fmt: skip
    run(graph, [x, empty, number])


def test_inputs_of_any_strides() -> None:
    x = np.arange(24.0).reshape(4, 6)
    graph = traced(lambda a, b: (a @ b, a.T + b, np.sum(a, axis=0)), x[:, ::2].T, x[:, :3])
    run(graph, [x[:, ::2].T, x[:, :3]])
    run(graph, [np.asfortranarray(x[:, ::2].T), x[::-1, :3]])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.transpose(x, (2, 0, 1)).reshape(4, 6) * 2,
        lambda x: x[::-1, 1:, ::2] + x[:, :1, ::2],
        lambda x: np.reshape(np.transpose(x), (-1,))[::3] + 1,
        lambda x: np.stack([x[0], x[1] * 2, x[0] - x[1]], axis=1),
        lambda x: np.concatenate([x * x, x[:, :1] + 1, np.exp(x)], axis=1)[:, 2:5],
        lambda x: np.sum(np.exp(x - np.max(x, axis=2, keepdims=True)), axis=2) / np.sum(x * x, axis=(0, 1), keepdims=True)[0, 0, 0],
        lambda x: np.cumsum(x, axis=1) * np.argmax(x, axis=1)[:, None],
        lambda x: x[:, np.array([2, 0, 0]), 1] + x[np.array([1, 0]), :, np.array([0, 3])],
        lambda x: np.einsum("ijk,ljk->il", x, x) + np.einsum("ijj->i", x[:, :, :3]),
        lambda x: x[0] @ x[1].T @ x[0],
        lambda x: (x[:, :, :, None] * np.ones((1, 1, 1, 70))) * x[:, :, :, None],
    ],
)  # fmt: skip
def test_views_and_nests(function: Callable[..., Any]) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    run(traced(function, x), [x])
    run(simplify(cg.reverse(cg.trace(function, x))), [x, np.random.default_rng(1).normal(size=function(x).shape)], tolerance=1e-12)


def test_large_products_of_every_layout() -> None:
    draw = np.random.default_rng(0)
    a, b, v = draw.normal(size=(20, 30)), draw.normal(size=(30, 25)), draw.normal(size=30)
    graph = traced(
        lambda a, b, v: [
            a @ b, b.T @ a.T, a @ v, v @ b, a[::2] @ b, np.stack([a, a + 1]) @ b, np.stack([a, 2 * a]) @ np.stack([b, b]), v @ v,
        ],
        a, b, v,
    )  # fmt: skip
    program = run(graph, [a, b, v])
    assert "np.dot" in program.source
    large = draw.normal(size=(400, 400))
    run(traced(lambda a, v: (a @ v, v @ a, a.T @ v), large, large[0]), [large, large[0]])


# ---------------------------------------------------------------------------------- whole programs


def loss(p: Any, X: Any, y: Any) -> Any:
    hidden = np.maximum(X @ np.reshape(p[:12], (4, 3)) + p[12:15], 0)
    scores = hidden @ np.reshape(p[15:21], (3, 2)) + p[21:23]
    scores = scores - np.max(scores, axis=1, keepdims=True)
    return -np.mean(np.sum(y * (scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))), axis=1))


def step(p: Any, m: Any, v: Any, t: Any, X: Any, y: Any) -> Any:
    value, bar = cg.value_and_grad(loss)(p, X, y)
    t = t + 1
    m, v = 0.9 * m + 0.1 * bar, 0.999 * v + 0.001 * bar * bar
    return p - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v, t, value


def training(dtype: Any = np.float64) -> list[Any]:
    draw = np.random.default_rng(0)
    p, X = draw.normal(size=23).astype(dtype), draw.normal(size=(5, 4)).astype(dtype)
    return [p, np.zeros(23, dtype), np.zeros(23, dtype), dtype(0), X, np.eye(2, dtype=dtype)[draw.integers(0, 2, 5)]]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_training_step(dtype: Any, exact: bool) -> None:
    values = training(dtype)
    program = run(traced(step, *values), values, exact=exact, tolerance=1e-12 if dtype is np.float64 else 1e-4)
    assert program.notes == ()
    assert len(re.findall(r"(?m)^def step_", program.source)) == 1, "one compiled function"


def test_donated_arrays_are_written_into_and_returned() -> None:
    values = training()
    graph = traced(step, *values)
    want = [np.array(each) for each in graph.run(values)]
    given = [np.array(value)[()] for value in values]
    got = build(graph, donated={0: 0, 1: 1, 2: 2}).function(*given)
    for number in range(3):
        assert got[number] is given[number]
    for each, expected in zip(got, want, strict=True):
        equal(each, expected, tolerance=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x[::-1] + y, lambda x, y: x - np.sum(x), lambda x, y: np.cumsum(x)[::-1] * x,
        lambda x, y: (x * 2) @ (y * np.ones((9, 9))),
    ],
)  # fmt: skip
def test_a_donated_array_is_read_before_it_is_overwritten(function: Callable[..., Any]) -> None:
    x, y = np.arange(9.0), np.ones(9)
    graph = traced(function, x, y)
    (want,) = graph.run([x, y])
    for given in (x.copy(), np.repeat(x, 2)[::2]):
        (got,) = build(graph, donated={0: 0}).function(given, y)
        assert got is given
        equal(got, want)


def test_outputs_own_their_memory() -> None:
    x = np.arange(6.0)
    graph = cg.trace(lambda x: (x, x, x[1:3], x * 2, np.reshape(x * 2, (2, 3)), (x * 2)[0], x + 0), x)
    function = build(graph).function
    first = function(x)
    kept = [np.array(each) for each in first]
    for place, each in enumerate(first):
        assert not any(np.shares_memory(each, other) for other in (*first[:place], x))
    function(x + 1)
    for each, expected in zip(first, kept, strict=True):
        np.testing.assert_array_equal(each, expected)
    assert type(first[5]) is np.float64


def test_several_threads_call_one_program() -> None:
    x = np.random.default_rng(0).normal(size=(200, 50))
    graph = traced(lambda x: np.sum(np.exp(x @ np.transpose(x) / 50), axis=1), x)
    function = build(graph).function
    inputs = [x * (1 + number) for number in range(8)]
    want = [function(each)[0] for each in inputs]
    found: list[Any] = [None] * 8

    def work(number: int) -> None:
        for _ in range(20):
            found[number] = function(inputs[number])[0]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, expected in zip(found, want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_an_index_outside_its_axis_is_refused() -> None:
    x, places = np.arange(4.0), np.array([0, 3])
    function = build(cg.trace(lambda x, places: x[places] * 2, x, places)).function
    np.testing.assert_array_equal(function(x, np.array([-1, 1]))[0], [6, 2])
    for bad in (4, -5):
        with pytest.raises(IndexError, match="outside the axis"):
            function(x, np.array([0, bad]))


def test_a_loop_of_the_graphs_own() -> None:
    def f(x: Any, w: Any, h: Any) -> Any:
        def turn(carry: Any, row: Any) -> Any:
            one, two = carry
            new = np.tanh(one @ w + row)
            return (two, new), np.sum(new * one)

        (one, two), sums = cg.scan(turn, (h, h * 2), x)
        return np.sum(one * two) + np.sum(sums * sums)

    draw = np.random.default_rng(0)
    values = [draw.normal(size=(6, 3)), draw.normal(size=(3, 3)), draw.normal(size=3)]
    program = run(traced(cg.value_and_grad(f, (0, 1, 2)), *values), values, tolerance=1e-12)
    assert program.notes == ()
    assert "range(5, -1, -1)" in program.source, "the adjoint's loop runs backwards"


def test_what_is_cheap_is_computed_again_and_not_kept() -> None:
    draw = np.random.default_rng(0)
    values = [draw.normal(size=(20, 30)), draw.normal(size=(30, 25)), draw.normal(size=(25, 30))]
    graph = traced(lambda x, w, u: (np.where(x @ w > 0, x @ w, 0) @ u, ((x @ w > 0) * 2.0) * (np.maximum(x @ w, 0) @ u @ w)), *values)
    program = run(graph, values, tolerance=1e-12)
    assert "bools" not in program.source, "the mask is not stored"
    assert program.source.count("> ") >= 2, "but computed in both nests"


# ------------------------------------------------------------------------------ what it cannot do


def test_what_no_loop_computes_is_left_to_numpy_and_said() -> None:
    x = np.array([[2.0, 1.0], [0.5, 3.0]])
    graph = traced(lambda x: np.linalg.inv(x * 2) @ x + np.sort(x, axis=0)[0] + np.linalg.det(x), x)
    program = run(graph, [x])
    assert len(program.notes) == 3
    assert all("no loop for" in note and "test_numba_target.py" in note for note in program.notes)
    with pytest.raises(MissingRuleError, match=r"inv\(v1\): the numba target has no loop for inv, at .*leave out strict=True"):
        build(graph, strict=True)


def test_a_program_that_is_too_long_is_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_target, "LARGEST", 3)
    graph, x = cg.trace(lambda x: np.exp(x * 2) + x - 1, np.ones(3)), np.ones(3)
    program = run(graph, [x])
    assert "cg.scan" in program.notes[0]
    with pytest.raises(MissingRuleError, match=r"5 operations.*leave out strict=True"):
        build(graph, strict=True)


def test_without_numba_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "compgraph\[fast\]"'):
        build(cg.trace(lambda x: x + 1, 1.0))


# ------------------------------------------------------------------------------------- on the disk

PROGRAM = """
import numpy as np, compgraph as cg
from compgraph.targets.numba_target import build
from numba.core import event
with event.install_recorder("numba:compile") as recorded:
    print(build(cg.trace(lambda x, t: np.exp(x) * t + np.max(x), np.zeros(5), 1.0)).function(np.ones(5), np.float64(2.0))[0][0])
print(sum("f_1" in str(each.data["dispatcher"].py_func) for _, each in recorded.buffer if each.is_start))
"""


def process(folder: Path) -> list[str]:
    environment = {**os.environ, "COMPGRAPH_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_second_process_does_not_compile_again(tmp_path: Path) -> None:
    first = process(tmp_path / "kept")
    files = sorted((tmp_path / "kept").rglob("*"))
    times = {file: file.stat().st_mtime_ns for file in files}
    second = process(tmp_path / "kept")
    assert first[0] == second[0]
    assert (int(first[1]) > 0, second[1]) == (True, "0")
    assert {file: file.stat().st_mtime_ns for file in files} == times
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COMPGRAPH_CACHE_DIR", str(tmp_path / "file" / "below"))
    x = np.ones(3)
    run(cg.trace(lambda x: x * 3 - 1, x), [x])


def test_the_text_is_the_same_each_time() -> None:
    values = training()
    texts = {build(traced(step, *values)).source for _ in range(2)}
    assert len(texts) == 1

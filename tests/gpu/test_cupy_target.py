"""The CuPy target computes what the graph computes. Without a device its kernels run on the processor (`emulated_cupy.py`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import emulated_cupy
import numpy as np
import pytest
from domains import SAMPLES, Sample
from whole_graphs import BINARY, REAL, SPECIAL, UNARY, applied, derivatives, names, one_each, parts

import compgraph as cg
from compgraph.errors import DeviceError, InputError, MissingDependencyError, MissingRuleError
from compgraph.graph import Graph
from compgraph.simplification import simplify
from compgraph.targets import Program, cupy_target

TOLERANCE = {"float64": 1e-13, "float32": 2e-6}


def equal(got: Any, want: Any, what: str = "", tolerance: float | None = None, terms: float = 0.0) -> None:
    """`terms` is the size of the numbers that were added: a sum that cancels has the rounding errors of its terms."""
    got_, want_ = got.get(), np.asarray(want)
    assert (got_.shape, got_.dtype) == (want_.shape, want_.dtype), what
    rtol = TOLERANCE.get(want_.dtype.name, 0.0) if tolerance is None else tolerance
    scale = float(np.max(np.abs(want_[np.isfinite(want_)]), initial=terms)) if want_.dtype.kind in "fc" else 0.0
    np.testing.assert_allclose(got_, want_, rtol=rtol, atol=rtol * scale, err_msg=what)


def run(xp: Any, graph: Graph, values: Iterable[Any], tolerance: float | None = None, terms: float = 0.0, **options: Any) -> Program:
    """Build the graph and compare every output with the interpreter's: in a plain call, a recorded one, and a replayed one."""
    values = list(values)
    program = cupy_target.build(graph, **options)
    with np.errstate(all="ignore"):
        want = graph.run(values)
        for _ in range(3):
            got = program.function(*(xp.asarray(value) if np.ndim(value) else value for value in values))
            for number, (one, each) in enumerate(zip(got, want, strict=True)):
                equal(one, each, f"output {number}", tolerance, terms)
    return program


def traced(function: Callable[..., Any], *args: Any) -> Graph:
    return simplify(cg.trace(function, *args))


# ------------------------------------------------------------------------------------ the whole table


@pytest.mark.parametrize("samples", parts(one_each(SAMPLES), 40), ids=names)
def test_every_primitive(xp: Any, samples: list[Sample]) -> None:
    run(xp, *applied(samples))


@pytest.mark.slow
@pytest.mark.parametrize("samples", parts(list(SAMPLES), 40), ids=names)
def test_every_sample(xp: Any, samples: list[Sample]) -> None:
    run(xp, *applied(samples))


@pytest.mark.slow
@pytest.mark.parametrize("samples", parts(REAL, 12), ids=names)
def test_derivatives_of_every_sample(xp: Any, samples: list[Sample]) -> None:
    run(xp, *derivatives(samples), tolerance=1e-11, terms=1.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_infinities_nan_and_signed_zeros_are_numpys(xp: Any, dtype: str) -> None:
    with np.errstate(all="ignore"):
        one, two = (np.ravel(part).astype(dtype) for part in np.meshgrid(SPECIAL, SPECIAL))
        graph = traced(lambda x, y: [*(f(x) for f in UNARY), *(f(x, y) for f in BINARY)], one, two)
        want = graph.run([one, two])
    got = cupy_target.build(graph).function(xp.asarray(one), xp.asarray(two))
    for function, each, expected in zip((*UNARY, *BINARY), got, want, strict=True):
        equal(each, expected, function.__name__)
        if expected.dtype.kind == "f" and function not in (np.fmax, np.fmin, np.maximum, np.minimum):
            zeros = expected == 0
            np.testing.assert_array_equal(np.signbit(each.get()[zeros]), np.signbit(expected[zeros]), err_msg=function.__name__)


# ----------------------------------------------------------------------------------- compiled functions


def mlp_step(p: Any, m: Any, t: Any, X: Any, y: Any, unravel: Callable[[Any], Any]) -> Any:
    def loss_of(p: Any) -> Any:
        layers = unravel(p)
        logits = np.tanh(X @ layers[0] + layers[1]) @ layers[2]
        return np.mean(cg.special.logsumexp(logits, axis=1) - np.sum(logits * y, axis=1))

    loss, p_bar = cg.value_and_grad(loss_of)(p)
    t = t + 1
    m = 0.9 * m + p_bar
    return loss, p - 0.1 / (1 - 0.5**t) * m, m, t


def test_a_training_step_in_place(xp: Any) -> None:
    draw = np.random.default_rng(0)
    layers = [draw.normal(size=(5, 20)), draw.normal(size=20), draw.normal(size=(20, 3))]
    p, unravel = cg.ravel(layers)
    X, y = draw.normal(size=(40, 5)), np.eye(3)[draw.integers(0, 3, 40)]

    def step(p: Any, m: Any, t: Any, X: Any, y: Any) -> Any:
        return mlp_step(p, m, t, X, y, unravel)

    compiled = cg.compile(step, target="cupy", donate_argnums=(0, 1))
    want, state = [p, np.zeros_like(p), 0.0], [xp.asarray(p), xp.asarray(np.zeros_like(p)), 0.0]
    given = state[0]
    for count in range(5):
        rows = slice(8 * count, 8 * count + 8)
        expected, *want = step(*want, X[rows], y[rows])
        loss, *state = compiled(*state, xp.asarray(X[rows]), xp.asarray(y[rows]))
        np.testing.assert_allclose(loss.get(), expected, rtol=1e-12)
    assert state[0] is given
    for got, each in zip(state, want, strict=True):
        np.testing.assert_allclose(got.get(), each, rtol=1e-11, atol=1e-13)
    assert "__global__" in compiled.source and "recorded as a CUDA graph" in compiled.source and compiled.notes == ()


def test_arrays_of_the_host_are_taken_and_other_targets_refuse_those_of_the_device(xp: Any) -> None:
    x = np.linspace(0, 1, 5)
    assert np.allclose(cg.compile(lambda x: np.exp(x) + 1, target="cupy")(x).get(), np.exp(x) + 1)
    with pytest.raises(InputError, match=r"x is an array of .*, and the target 'numpy' computes on the host"):
        cg.compile(lambda x: np.exp(x))(xp.asarray(x))
    with pytest.raises(InputError, match="which is not on the device: pass a CuPy array"):
        cg.compile(lambda x: np.exp(x), target="cupy", donate_argnums=0)(x.copy())


# ------------------------------------------------------------------------------------ how it is computed


def test_sums_over_everything_rows_and_columns(xp: Any) -> None:
    draw = np.random.default_rng(0)
    wide, tall, long = draw.normal(size=(3, 500)), draw.normal(size=(500, 3)), draw.normal(size=70_000)
    graph = traced(
        lambda a, b, c: [f(x, axis=axis) for x in (a, b) for axis in (0, 1, None) for f in (np.sum, np.max, np.mean)]
        + [np.sum(c), np.max(c), np.prod(1 + c / 1e6)], wide, tall, long
    )  # fmt: skip
    program = run(xp, graph, [wide, tall, long])
    assert "c_parts" not in program.source and "_parts" in program.source  # a long sum is taken in two steps
    assert "[256]" in program.source and "blockDim.y" in program.source


def test_the_same_sums_give_the_same_bits(xp: Any) -> None:
    x = np.random.default_rng(0).normal(size=(33, 257)).astype(np.float32)
    program = cupy_target.build(traced(lambda x: [np.sum(x), np.sum(x, axis=0), np.sum(x, axis=1)], x))
    first, *others = ([part.get().tobytes() for part in program.function(xp.asarray(x))] for _ in range(4))
    assert all(other == first for other in others)


def test_products_of_every_layout(xp: Any) -> None:
    draw = np.random.default_rng(0)
    a, b, stack = draw.normal(size=(30, 40)), draw.normal(size=(40, 50)), draw.normal(size=(2, 3, 40, 30))
    run(xp, traced(lambda a, b, s: (a @ b, b.T @ a.T, (a @ b).T @ a, s @ a, s[0] @ a @ b, a @ s[:, :1]), a, b, stack), [a, b, stack])


def test_loops_of_the_graphs_own(xp: Any) -> None:
    W, h, xs = (np.random.default_rng(n).normal(size=size) for n, size in enumerate([(30, 30), (30,), (12, 30)]))

    def loss(W: Any, h: Any, xs: Any) -> Any:
        h, ys = cg.scan(lambda h, x: (np.tanh(W @ h + x), h[0] * x), h, xs)
        return np.sum(h) + np.sum(ys)

    program = run(xp, simplify(cg.trace(cg.value_and_grad(loss, argnums=(0, 1)), W, h, xs)), [W, h, xs], tolerance=1e-11, terms=1.0)
    assert "12 times" in program.source and "12 times, from the last on" in program.source


def test_an_index_that_is_computed_in_the_kernel(xp: Any) -> None:
    x, labels = np.linspace(0, 1, 12).reshape(1, 12), np.array([3])

    def picked(x: Any, labels: Any) -> Any:
        return np.sum(np.exp(x)[np.arange(1), (labels + 2) % 7])

    run(xp, simplify(cg.trace(cg.value_and_grad(picked), x, labels)), [x, labels])


def test_a_replayed_program_reads_what_it_is_given_now(xp: Any) -> None:
    compiled = cg.compile(lambda x, rate: x * rate + 1, target="cupy")
    for number in range(5):
        x = np.full(7, float(number))
        assert np.array_equal(compiled(xp.asarray(x), 0.5 * number).get(), x * 0.5 * number + 1)


def test_results_are_not_overwritten_by_the_next_call(xp: Any) -> None:
    compiled = cg.compile(lambda x: (x + 1, np.sum(x)), target="cupy")
    kept = [compiled(xp.asarray(np.full(5, float(number)))) for number in range(4)]
    assert [float(array.get()[0]) for array, _ in kept] == [1.0, 2.0, 3.0, 4.0]
    assert [float(total.get()) for _, total in kept] == [0.0, 5.0, 10.0, 15.0]


def test_names_of_the_users_cannot_meet_those_of_the_language(xp: Any) -> None:
    graph = cg.trace(lambda float, double, threadIdx, exp: float * double + threadIdx / exp, 1.0, 2.0, 3.0, 4.0)
    run(xp, graph, [1.0, 2.0, 3.0, 4.0])


def test_what_has_no_kernel_is_named_and_refused_if_strict(xp: Any) -> None:
    x = np.eye(3) * 2
    graph = cg.trace(lambda x: np.linalg.inv(x) + 1, x)
    program = run(xp, graph, [x])
    (note, why) = program.notes
    assert "no kernel for inv" in note and "CuPy computes it" in note and "test_cupy_target.py" in note and "piece by piece" in why
    with pytest.raises(MissingRuleError, match=r"no kernel for inv.*leave out strict"):
        cupy_target.build(graph, strict=True)


def test_without_cupy_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "compgraph\[gpu-cuda12\]" or "compgraph\[gpu-cuda13\]"'):
        cg.compile(lambda x: x + 1, target="cupy")(np.ones(3))


def test_the_stand_in_finds_threads_that_part_at_a_barrier() -> None:
    body = "if (threadIdx.y == 0) return; __syncthreads(); x[0] = 1;"
    code = f'extern "C" __global__ void bad(double* __restrict__ x) {{\n    {body}\n}}\n'
    kernel = emulated_cupy.RawModule(code=code).get_function("bad")
    with pytest.raises(AssertionError, match="threads part at a barrier"):
        kernel((1,), (1, 4), (emulated_cupy.empty(1),))


# ------------------------------------------------------------------------------------ what users give it


def test_an_index_beyond_an_array_reads_nan(xp: Any) -> None:
    compiled = cg.compile(lambda x, places: (x[places] * 2, np.sum(x[places, 0])), target="cupy")
    x = np.arange(6.0).reshape(3, 2)
    rows, total = compiled(xp.asarray(x), xp.asarray(np.array([0, -1, 3, -4])))
    assert np.array_equal(rows.get(), [[0, 2], [8, 10], [np.nan, np.nan], [np.nan, np.nan]], equal_nan=True) and np.isnan(total.get())


def test_remainders_of_whole_numbers_are_numpys(xp: Any) -> None:
    n = np.array([-7, -6, -1, 0, 5, 6, 2**62 + 5])
    program = run(xp, traced(lambda n: (n % 3, np.remainder(n, 2**62)), n), [n])
    assert program.notes == ()


def test_what_is_too_large_for_an_int_is_counted_in_long_long() -> None:
    many = np.broadcast_to(np.zeros(1), 70_000)
    source = cg.compile(lambda x, y: x[:, None] + y, target="cupy").prepare(many, many).source
    assert "const long long i = " in source and "int i" not in source


def test_donated_arrays_that_cannot_hold_the_result_are_refused(xp: Any) -> None:
    compiled = cg.compile(lambda x: x * 2, target="cupy", donate_argnums=0)
    with pytest.raises(InputError, match="the donated argument x is a view with gaps"):
        compiled(xp.asarray(np.ones(8))[::2])
    both = xp.asarray(np.ones(8))
    with pytest.raises(InputError, match="the donated argument x shares memory with y"):
        cg.compile(lambda x, y: x * y, target="cupy", donate_argnums=0)(both, both)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (40, 40)], ids=str)
def test_donated_arrays_are_read_before_they_are_written(xp: Any, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    functions = (
        lambda x: x + x[::-1], lambda x: x - np.sum(x), lambda x: np.concatenate([x[1:] * 2, x[:1]]), lambda x: np.cumsum(x, axis=0) + x,
    )  # fmt: skip
    for f in functions:
        compiled, given = cg.compile(f, target="cupy", donate_argnums=0), xp.asarray(x)
        for _ in range(3):
            given[...] = xp.asarray(x)
            assert compiled(given) is given
            np.testing.assert_allclose(given.get(), f(x), rtol=1e-12, atol=1e-12)


def test_arguments_of_another_device_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", emulated_cupy)
    monkeypatch.setattr(emulated_cupy.cuda.runtime, "getDevice", lambda: 1)
    with pytest.raises(DeviceError, match=r"argument y is on device 0, beside x, and the current device is 1: call it within `with"):
        cg.compile(lambda x, y: x * y, target="cupy")(np.ones(3), emulated_cupy.asarray(np.ones(3)))


def test_the_text_is_made_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "__global__ void" in cg.compile(lambda x: np.exp(x), target="cupy").prepare(np.ones(3)).source


@pytest.mark.parametrize("samples", parts(one_each(SAMPLES), 60), ids=names)
def test_kernels_are_cuda(samples: list[Sample]) -> None:
    """NVRTC, which needs no device, compiles what the stand-in runs on the processor."""
    pytest.importorskip("cupy", reason="there is no CuPy here, and so no NVRTC")
    try:
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except (ImportError, AttributeError, RuntimeError) as error:
        pytest.skip(f"there is no NVRTC here: {error}")
    program = nvrtc.createProgram(cupy_target.build(applied(samples)[0]).function.code, "kernels.cu", [], [])
    try:
        nvrtc.compileProgram(program, ["--gpu-architecture=compute_90", "--std=c++17"])
    except Exception as error:
        raise AssertionError(nvrtc.getProgramLog(program)) from error
    assert len(nvrtc.getPTX(program)) > 1000

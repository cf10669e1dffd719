"""Nodes that hold arrays of a device: the engine computes there what it computes with NumPy's arrays."""

from __future__ import annotations

import ast
import builtins
import json
import re
import sys
from types import SimpleNamespace
from typing import Any

import emulated_cupy
import make_cupy_names
import numpy as np
import pytest
from domains import DIFFERENTIABLE, SAMPLES, Sample
from whole_graphs import names, one_each, parts

import compgraph as cg
from compgraph import nn
from compgraph.backend import is_of_the_host, is_on_device, report
from compgraph.errors import DeviceError, DtypeError, MissingDependencyError
from compgraph.graph import PRIMITIVES, Node, bind

KEPT = json.loads((emulated_cupy.HERE / "cupy_names.json").read_text(encoding="utf-8"))


def there(library: Any, value: Any) -> Any:
    """An array or a number on the device; Python numbers and the like stay what they are."""
    return library.asarray(value) if isinstance(value, (np.ndarray, np.generic)) else value


def equal(got: Any, want: Any, what: str, rtol: float = 1e-12) -> None:
    assert is_on_device(got), f"{what}: the result is a {type(got).__name__}"
    got, want = got.get(), np.asarray(want)
    assert (got.shape, got.dtype) == (want.shape, want.dtype), what
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol, err_msg=what)


def directions(values: Any) -> tuple[Any, ...]:
    draw = np.random.default_rng(0)

    def one(value: Any) -> Any:
        parts = draw.uniform(0.5, 1.5, (2, *np.shape(value)))
        return np.asarray(parts[0] - 1j * parts[1] if np.iscomplexobj(value) else parts[0], value.dtype)[()]

    return tuple(map(one, values))


def check_values(library: Any, sample: Sample) -> None:
    args = [there(library, arg) for arg in sample.args]
    if any(is_on_device(arg) for arg in args):
        equal(bind(sample.name, *args, **sample.params), bind(sample.name, *sample.args, **sample.params), str(sample))


def check_derivatives(library: Any, sample: Sample) -> None:
    """Tangents and adjoints of numbers, and as nodes."""
    x_dots, moved = directions(sample.xs), Sample(sample.name, tuple(there(library, arg) for arg in sample.args), sample.params)
    xs = tuple(there(library, x) for x in sample.xs)
    y, y_dot = cg.jvp(sample, sample.xs, x_dots)
    got, got_dot = cg.jvp(moved, xs, tuple(there(library, x_dot) for x_dot in x_dots))
    equal(got, y, f"{sample}: value")
    equal(got_dot, y_dot, f"{sample}: tangent")
    (y_bar,) = directions((y,))
    x_bars = cg.vjp(sample, *sample.xs)[1](y_bar)
    for got, want in zip(cg.vjp(moved, *xs)[1](there(library, y_bar)), x_bars, strict=True):
        equal(got, want, f"{sample}: adjoint")
    lifted = cg.vjp(moved, *map(cg.variable, xs))[1](there(library, y_bar))
    for got, want in zip(lifted, x_bars, strict=True):
        equal(got.value if isinstance(got, Node) else got, want, f"{sample}: adjoint as a node")


@pytest.mark.parametrize("samples", parts(one_each(SAMPLES), 20), ids=names)
def test_values(library: Any, samples: list[Sample]) -> None:
    for sample in samples:
        check_values(library, sample)


@pytest.mark.parametrize("samples", parts(one_each(DIFFERENTIABLE), 20), ids=names)
def test_derivatives(library: Any, samples: list[Sample]) -> None:
    for sample in samples:
        check_derivatives(library, sample)


@pytest.mark.slow
@pytest.mark.parametrize("samples", parts(list(SAMPLES), 60), ids=names)
def test_all_values(library: Any, samples: list[Sample]) -> None:
    for sample in samples:
        check_values(library, sample)
        check_values(library, sample.astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("samples", parts(list(DIFFERENTIABLE), 60), ids=names)
def test_all_derivatives(library: Any, samples: list[Sample]) -> None:
    for sample in samples:
        check_derivatives(library, sample)


# ------------------------------------------------------------------------------------------ the engine


def test_a_variable_holds_a_copy_and_backward_gives_arrays_of_the_device(library: Any) -> None:
    given = library.asarray(np.array([1.0, 2.0, 3.0]))
    x = cg.variable(given, name="x")
    given[0] = 7.0
    y = np.sum(np.exp(x) * np.array([1.0, 0.0, 2.0]) + np.where(x > 1.5, x, 0))
    y.backward()
    equal(x.grad, np.exp([1.0, 2.0, 3.0]) * [1, 0, 2] + [0, 1, 1], "gradient")
    assert "on " in repr(x) and "[1., 2., 3.]" in repr(x) and isinstance(y.item(), float)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay(library: Any, dtype: Any) -> None:
    x = cg.variable(library.asarray(np.linspace(0, 1, 6, dtype=dtype).reshape(2, 3)))
    rows, mask = library.asarray(np.array([1, 0])), library.asarray(np.array([[True, False, True], [False, True, True]]))
    y = np.sum(x[rows] * 2.5) + np.sum(x[mask]) + np.mean(np.tanh(x) @ x.T)
    y.backward()
    assert y.dtype == dtype and x.grad.dtype == dtype
    want = cg.grad(lambda x: np.sum(x[[1, 0]] * 2.5) + np.sum(x[mask.get()]) + np.mean(np.tanh(x) @ x.T))(x.value.get())
    equal(x.grad, want, "gradient", rtol=1e-5)


def test_higher_derivatives_and_jacobians(library: Any) -> None:
    def f(x: Any) -> Any:
        return np.sum(np.exp(x) * x[::-1]) + np.prod(x)

    host, x = np.array([0.3, 0.7, 1.1]), library.asarray(np.array([0.3, 0.7, 1.1]))
    equal(cg.hessian(f)(x), cg.hessian(f)(host), "Hessian")
    equal(cg.hvp(f, (x,), (x,)), cg.hvp(f, (host,), (host,)), "Hessian product")
    for mode in ("forward", "reverse"):
        equal(cg.jacobian(np.cumsum, mode=mode)(x), cg.jacobian(np.cumsum, mode=mode)(host), mode)
    graph = cg.trace(f, x)
    equal(graph(x), f(host), "graph")
    assert np.allclose(cg.evaluate(graph, x, mode="reverse").values[graph.outputs[0]], f(host))  # which is read on the host


def test_results_share_no_memory(library: Any) -> None:
    x = library.asarray(np.ones(3))
    one, other = cg.grad(lambda a, b: np.sum(a + b), argnums=(0, 1))(x, x)
    one[0] = 7.0
    equal(other, np.ones(3), "the other gradient")
    same = cg.vjp(lambda x: x[::-1], x)[0]
    same[0] = 7.0
    equal(x, np.ones(3), "the argument")


def test_mixed_places_are_an_error_that_names_both(library: Any) -> None:
    x, w = cg.variable(library.asarray(np.ones(3)), name="x"), cg.variable(np.ones(3), name="w")
    with pytest.raises(DeviceError, match=r"multiply: x \(3,\).*test_device_arrays.py.*on .*:0, w \(3,\).*on host.*cg.variable"):
        x * w
    with pytest.raises(DeviceError, match=r"on host.*on .*:0"):
        w * library.asarray(np.ones(3))
    equal((x * cg.constant(np.arange(3.0))).value, np.arange(3.0), "a constant is moved")


def test_dtypes_that_kernels_do_not_compute_with_are_refused(library: Any) -> None:
    with pytest.raises(DtypeError, match=r"float16 on the device.*float32 and float64"):
        cg.variable(library.asarray(np.ones(3, np.float16)))


def test_nan_on_the_device_is_found(library: Any) -> None:
    x = cg.variable(library.asarray(np.array([1.0, -1.0])), name="x")
    with np.errstate(all="ignore"), cg.detect_anomaly(), pytest.raises(cg.AnomalyError, match=r"log made nan from x = \[ ?1\. +-1\.\]"):
        np.log(x)


def test_memory_is_shared_by_dlpack(library: Any) -> None:
    value = np.arange(3.0)
    assert np.array_equal(np.from_dlpack(cg.variable(value)), value)
    assert cg.variable(library.asarray(value)).__dlpack_device__()[0] == 2


def test_an_array_of_another_library_comes_in_by_dlpack(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor:
        """As PyTorch's on a GPU."""

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

        def __dlpack__(self, **_: Any) -> Any:
            raise AssertionError("the stand-in takes no capsule")

    monkeypatch.setitem(sys.modules, "cupy", emulated_cupy)
    monkeypatch.setattr(emulated_cupy, "from_dlpack", lambda value: emulated_cupy.asarray(np.arange(3.0)), raising=False)
    equal(cg.variable(Tensor()).value, np.arange(3.0), "value")


def test_memory_that_runs_out_is_an_error_that_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", emulated_cupy)
    x = cg.variable(emulated_cupy.asarray(np.ones(3)))

    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError("Out of memory allocating 8,589,934,592 bytes (allocated so far: 1,024 bytes).")

    empty = emulated_cupy.empty
    monkeypatch.setattr(emulated_cupy, "asarray", full)
    monkeypatch.setattr(emulated_cupy, "empty", full)
    model = nn.Linear(2, 3)
    before = model.weight.value
    with pytest.raises(DeviceError, match=r"8,589,934,592 bytes.*CuPy holds .* MiB.*are free.*Nothing has been changed"):
        model.to("cupy")
    assert model.weight.value is before
    with pytest.raises(DeviceError, match=r"8,589,934,592 bytes.*CuPy holds"):
        x * np.ones(3)
    equal((x * 2).value, np.full(3, 2.0), "the device goes on")
    p, double = emulated_cupy.ndarray(np.ones(3)), cg.compile(lambda p: (p * 2, np.sum(p)), target="cupy", donate_argnums=0)
    for calls in range(2):  # where the program needs memory of its own, and where only the results do
        with pytest.raises(DeviceError, match="8,589,934,592"):
            double(p)
        assert p.get().tolist() == [2.0**calls] * 3
        if emulated_cupy.COMPILER is None:
            break
        if not calls:
            with monkeypatch.context() as enough:
                enough.setattr(emulated_cupy, "empty", empty)
                double(p)


class NoDriverError(RuntimeError):
    """As CuPy's CUDARuntimeError says it."""


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (NoDriverError("cudaErrorInsufficientDriver: CUDA driver version is insufficient"), "driver is missing, or older"),
        (NoDriverError("cudaErrorNoDevice: no CUDA-capable device is detected"), "CUDA_VISIBLE_DEVICES"),
        (0, "CUDA finds none"),
    ],
)
def test_no_driver_and_no_device(monkeypatch: pytest.MonkeyPatch, count: Any, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    def asked() -> int:
        if isinstance(count, Exception):
            raise count
        return int(count)

    runtime = SimpleNamespace(getDeviceCount=asked, driverGetVersion=lambda: 0, runtimeGetVersion=lambda: 13020)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), __version__="14.2.0"))
    model = nn.Linear(2, 3)
    for run in (lambda: cg.compile(lambda x: x + 1, target="cupy")(np.ones(3)), lambda: model.to("cupy")):
        with pytest.raises(DeviceError, match=rf"(?s){message}.*compgraph doctor"):
            run()
    assert cg.compile(lambda x: x + 1)(np.ones(3)).tolist() == [2.0, 2.0, 2.0]
    found = {name: text for name, _, text in report()}
    assert found["cupy"] == "14.2.0, for CUDA 13.2" and "no driver" in found["driver"] and "missing" in found["device"]


def test_libraries_that_do_not_match_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cupy":
            raise ImportError("\n====\nFailed to import CuPy: libcudart.so.12: cannot open shared object file\n")
        return imported(name, *args, **kwargs)

    imported = builtins.__import__
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(builtins, "__import__", load)
    message = r"cannot be loaded \(Failed to import CuPy: libcudart.so.12.*gpu-cuda12 and gpu-cuda13"
    with pytest.raises(MissingDependencyError, match=message):
        nn.Linear(2, 3).to("cupy")
    assert "cannot be loaded" in next(text for name, _, text in report() if name == "cupy")


# ------------------------------------------------------------------------------------------ the names


def test_what_runs_on_the_device_is_what_cupy_has() -> None:
    """All others run on the host, and say so: `is_of_the_host`."""
    for primitive in PRIMITIVES.values():
        if primitive.module:
            assert (primitive.name in emulated_cupy.NAMES["cupyx.scipy.special"]) is not is_of_the_host(primitive), primitive.name
        elif primitive.helper is None:
            assert known(primitive.code) is not is_of_the_host(primitive), primitive.name


def known(code: str) -> bool:
    """Whether CuPy has the functions that a primitive's code calls, with their arguments."""
    tree = ast.parse(re.sub(r"\{[\w*]*\}", "x", code).replace("[*x]", "[x]"), mode="eval")
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        place, _, name = ast.unparse(call.func).replace("xp", "cupy", 1).rpartition(".")
        if place.partition(".")[0] != "cupy":
            continue
        if name not in emulated_cupy.NAMES[place]:
            return False
        parameters = emulated_cupy.NAMES[place][name]
        if parameters is not None and any(keyword.arg not in parameters for keyword in call.keywords):
            return False
    return True


def test_the_stand_in_has_nothing_that_cupy_has_not() -> None:
    own = {name for name in vars(emulated_cupy.ndarray) if not name.startswith("__")} - {"held"}
    assert own <= emulated_cupy.NAMES["cupy.ndarray"].keys()
    special = {name for name in vars(emulated_cupy.ndarray) if name.startswith("__")} - {"__dict__", "__weakref__"}
    reflected = {name for name in special if name.replace("__r", "__", 1) in special}
    assert special - reflected <= emulated_cupy.NAMES["cupy.ndarray"].keys()
    for place, module in {"cupy.cuda.cublas": emulated_cupy.cublas, "cupy.cuda": emulated_cupy.cuda}.items():
        assert vars(module).keys() <= emulated_cupy.NAMES[place].keys()


def test_the_kept_names_are_those_of_the_cupy_that_is_here() -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if cupy.__version__ != KEPT["version"]:
        pytest.skip(f"the kept names are of CuPy {KEPT['version']}, here is {cupy.__version__}: make_cupy_names.py writes them anew")
    assert make_cupy_names.found() == KEPT

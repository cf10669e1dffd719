"""Layers, activations and losses beside stored values of PyTorch: results, all adjoints, buffers, second derivatives.

`tests/reference/nn/make_nn.py` made the values. An entry may differ by 1e-10 of itself, or by 1e-14 of the largest entry of its
array, where what PyTorch adds up has cancelled.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn

FOLDER = Path(__file__).resolve().parent.parent / "reference" / "nn"
RELATIVE, OF_LARGEST = 1e-10, 1e-14


def _cases() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layer_cases", FOLDER / "layer_cases.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["layer_cases"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = _cases()


def _stored(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with np.load(FOLDER / name) as arrays:
        for key in arrays.files:
            case, _, part = key.partition("|")
            found.setdefault(case, {})[part] = arrays[key]
    return found


LAYERS, LOSSES = _stored("layers.npz"), _stored("losses.npz")


def assert_equal_to_pytorch(ours: Any, theirs: Any, what: str) -> None:
    ours = np.asarray(ours.value if isinstance(ours, cg.Node) else ours)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, what
    largest = np.max(np.abs(theirs), initial=0.0)
    np.testing.assert_allclose(ours, theirs, rtol=RELATIVE, atol=OF_LARGEST * largest, err_msg=what)


def parts(stored: dict[str, Any], kind: str) -> dict[str, Any]:
    """What is stored as `kind name`, by name."""
    return {key.removeprefix(f"{kind} "): value for key, value in stored.items() if key.startswith(f"{kind} ")}


def leaves(y: Any) -> list[Any]:
    return [part for one in y for part in leaves(one)] if isinstance(y, (tuple, list)) else [y]


def prepared(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """The case, its layer with the stored parameters after the stored batches, and what is stored."""
    case, stored = CASES.LAYERS[name], LAYERS[name]
    layer_class, keywords = getattr(nn, case.name), dict(case.keywords)
    if "dtype" in inspect.signature(layer_class).parameters:
        keywords["dtype"] = np.float64
    layer = layer_class(*case.args, **keywords)
    ours, theirs = dict(layer.named_parameters()), parts(stored, "parameter")
    assert {key: p.shape for key, p in ours.items()} == {key: p.shape for key, p in theirs.items()}
    for key, parameter in ours.items():
        parameter.value = theirs[key].copy()
    for batch in range(case.batches):
        layer(stored[f"batch {batch}"])
    layer.train(case.training)
    return case, layer, stored


def called(case: Any, layer: Any, xs: list[Any]) -> Any:
    return layer(xs[0], tuple(xs[1:])) if case.pair and len(xs) > 1 else layer(*xs)


def test_the_stored_values_are_of_these_cases() -> None:
    assert set(LAYERS) == set(CASES.LAYERS) and set(LOSSES) == set(CASES.LOSSES)


def test_no_layer_is_left_out() -> None:
    known = {case.name for case in CASES.LAYERS.values()}
    random_or_made_of_others = {"Module", "Sequential", "ModuleList", "MLP", "Dropout", "Dropout1d", "Dropout2d"}
    offered = {name for name in nn.__all__ if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)}
    layers = {name for name in offered if getattr(nn, name).__module__ in LAYER_MODULES}
    assert layers - known - random_or_made_of_others == set()
    assert {case.name for case in CASES.LOSSES.values()} == LOSS_NAMES


LAYER_MODULES = {f"compgraph.nn.{name}" for name in (
    "activations", "containers", "convolution", "dropout", "embedding", "linear", "module", "normalisation", "pooling", "recurrent",
    "shaping",
)}  # fmt: skip
LOSS_NAMES = {"mse", "l1", "huber", "smooth_l1", "cross_entropy", "nll", "bce", "bce_with_logits", "kl_div", "hinge", "multi_margin"}


@pytest.mark.parametrize("name", CASES.LAYERS)
def test_layers(name: str) -> None:
    case, layer, stored = prepared(name)
    xs = [array if case.integers else cg.variable(array) for array in parts(stored, "input").values()]
    ys = leaves(called(case, layer, xs))
    seeds = parts(stored, "seed")
    assert len(ys) == len(seeds)
    for place, y in zip(seeds, ys, strict=True):
        assert_equal_to_pytorch(y, stored[f"result {place}"], f"{name}: result {place}")
    total = ys[0] if ys[0] is xs[0] else sum(np.sum(y * seed) for y, seed in zip(ys, seeds.values(), strict=True))
    total.backward(*([seeds["0"]] if total is ys[0] else []))
    for place, bar in parts(stored, "input_bar").items():
        assert_equal_to_pytorch(xs[int(place)].grad, bar, f"{name}: adjoint of input {place}")
    bars = parts(stored, "parameter_bar")
    for key, parameter in layer.named_parameters():
        assert_equal_to_pytorch(parameter.grad, bars[key], f"{name}: adjoint of {key}")
    buffers = parts(stored, "buffer")
    assert {key for key, _ in layer.named_buffers()} == set(buffers)
    for key, buffer in layer.named_buffers():
        assert_equal_to_pytorch(buffer, buffers[key], f"{name}: {key}")


@pytest.mark.parametrize("name", CASES.LAYERS)
def test_layers_in_forward_mode(name: str) -> None:
    """<seed, J x_dot> is <input_bar, x_dot>, with PyTorch's input_bar."""
    case, layer, stored = prepared(name)
    if case.integers:
        pytest.fail("no derivative by integers") if parts(stored, "input_bar") else None
        return
    xs, draw = list(parts(stored, "input").values()), np.random.default_rng(0)
    dots = [draw.normal(size=x.shape) for x in xs]
    _, y_dots = cg.jvp(lambda *xs: called(case, layer, list(xs)), tuple(xs), tuple(dots))
    ours = sum(np.sum(y_dot * seed) for y_dot, seed in zip(leaves(y_dots), parts(stored, "seed").values(), strict=True))
    terms = [bar * x_dot for bar, x_dot in zip(parts(stored, "input_bar").values(), dots, strict=True)]
    theirs, size = sum(map(np.sum, terms)), sum(np.sum(np.abs(term)) for term in terms)
    assert abs(ours - theirs) <= 1e-11 * size


@pytest.mark.parametrize("name", CASES.LAYERS)
def test_compiled_layers(name: str) -> None:
    """A gradient by the input and the parameters in one compiled program, the parameters being arguments."""
    case, layer, stored = prepared(name)
    xs, theirs, seeds = (list(parts(stored, kind).values()) for kind in ("input", "parameter", "seed"))
    names = [key for key, _ in layer.named_parameters()]

    def total(xs: Any, values: Any) -> Any:
        given = {f"layer.{key}": value for key, value in zip(names, values, strict=True)}
        ys = leaves(nn.functional_call(_Called(case, layer), given, *xs)[0])
        return sum(np.sum(y * seed) for y, seed in zip(ys, seeds, strict=True))

    values = [parts(stored, "parameter")[key] for key in names]
    assert len(values) == len(theirs)
    if case.integers:
        bars: Any = cg.compile(cg.grad(lambda values: total(xs, values)))(values)
    else:
        x_bars, bars = cg.compile(cg.grad(total, argnums=(0, 1)))(xs, values)
        for place, bar in enumerate(parts(stored, "input_bar").values()):
            assert_equal_to_pytorch(x_bars[place], bar, f"{name}: adjoint of input {place}")
    for key, bar in zip(names, bars, strict=True):
        assert_equal_to_pytorch(bar, stored[f"parameter_bar {key}"], f"{name}: adjoint of {key}")


class _Called(nn.Module):
    """A layer called as its case says."""

    def __init__(self, case: Any, layer: Any) -> None:
        self.case, self.layer = case, layer

    def forward(self, *xs: Any) -> Any:
        return called(self.case, self.layer, list(xs))


# ------------------------------------------------------------------------------------------------- losses


def loss_of(name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The loss as a function of input and target, its data, and what is stored."""
    case, stored = CASES.LOSSES[name], LOSSES[name]
    given = CASES.data(case.data)
    keywords = {**case.keywords, **{key: given[key] for key in case.arrays}}
    return lambda input, target: getattr(nn, case.name)(input, target, **keywords), given, stored


def adjoints(loss: Any, stored: dict[str, Any]) -> Any:
    """The adjoints of input and target, as far as they are stored, for the stored seed."""
    argnums = (0, 1) if "target_bar" in stored else (0,)
    return cg.value_and_grad(lambda x, t: np.sum(loss(x, t) * stored["seed"]), argnums=argnums)


@pytest.mark.parametrize("name", CASES.LOSSES)
def test_losses(name: str) -> None:
    loss, given, stored = loss_of(name)
    x, t = given["input"], given["target"]
    assert_equal_to_pytorch(loss(x, t), stored["value"], f"{name}: value of arrays")
    assert_equal_to_pytorch(loss(cg.variable(x), t), stored["value"], f"{name}: value")
    _, bars = adjoints(loss, stored)(x, t)
    for bar, key in zip(bars, ("input_bar", "target_bar"), strict=False):
        assert_equal_to_pytorch(bar, stored[key], f"{name}: {key}")


@pytest.mark.parametrize("name", CASES.LOSSES)
def test_compiled_losses(name: str) -> None:
    """Labels, too, are inputs of the program, whose values it does not know."""
    loss, given, stored = loss_of(name)
    value, bars = cg.compile(adjoints(loss, stored))(given["input"], given["target"])
    assert_equal_to_pytorch(value, np.sum(stored["value"] * stored["seed"]), f"{name}: value")
    for bar, key in zip(bars, ("input_bar", "target_bar"), strict=False):
        assert_equal_to_pytorch(bar, stored[key], f"{name}: {key}")


@pytest.mark.parametrize("name", [name for name in CASES.LOSSES if "input_twice" in LOSSES[name]])
@pytest.mark.filterwarnings("ignore::compgraph.ZeroGradientWarning")  # of some losses it is zero everywhere
def test_second_derivatives_of_losses(name: str) -> None:
    loss, given, stored = loss_of(name)
    total = lambda x: np.sum(loss(x, given["target"]) * stored["seed"])  # noqa: E731
    twice = cg.grad(lambda x: np.sum(cg.grad(total)(x) * stored["direction"]))(given["input"])
    assert_equal_to_pytorch(twice, stored["input_twice"], f"{name}: reverse over reverse")
    twice = cg.hvp(total, (given["input"],), (stored["direction"],))
    assert_equal_to_pytorch(np.asarray(twice).reshape(stored["input_twice"].shape), stored["input_twice"], f"{name}: forward over reverse")


@pytest.mark.parametrize("name", [name for name in CASES.LOSSES if name.endswith("mean")])
def test_losses_in_float32(name: str) -> None:
    """Targets and weights in float64 beside a float32 input: everything is float32, to its digits."""
    loss, given, stored = loss_of(name)
    x = given["input"].astype(np.float32)
    y = loss(cg.variable(x), given["target"])
    assert y.dtype == np.float32
    y.backward(np.float32(1))
    np.testing.assert_allclose(y.value, stored["value"], rtol=2e-5)


NUMBA = [
    "mse: numbers, mean", "huber: numbers, mean", "bce: probabilities, mean", "bce_with_logits: logits, weight, pos_weight, mean",
    "cross_entropy: labels, label_smoothing 0.2, ignore_index 2, weight, mean",
    "cross_entropy: class_probabilities, label_smoothing 0.0, mean",
]  # fmt: skip


@pytest.mark.parametrize("name", NUMBA)
def test_losses_in_machine_code(name: str) -> None:
    pytest.importorskip("numba")
    loss, given, stored = loss_of(name)
    value, bars = cg.compile(adjoints(loss, stored), target="numba")(given["input"], given["target"])
    assert_equal_to_pytorch(value, np.sum(stored["value"] * stored["seed"]), f"{name}: value")
    for bar, key in zip(bars, ("input_bar", "target_bar"), strict=False):
        assert_equal_to_pytorch(bar, stored[key], f"{name}: {key}")

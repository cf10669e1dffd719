"""Run every case of `layer_cases.py` with PyTorch, in float64, and write `layers.npz` and `losses.npz`.

    python tests/reference/nn/make_nn.py

Run in an environment that has torch; the tests need none. Made with torch 2.13.0 (CPU), seed 0. Of a layer are stored its inputs
and parameters, its results, and the adjoints of all of them for a stored seed; of a loss its data, its value, and the adjoints of
input and target for a seed. `_twice` is a second derivative: what reverse mode makes of sum(input_bar * direction).
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from layer_cases import GRID, LAYERS, LOSSES, Layer, Loss, data

FOLDER = Path(__file__).resolve().parent


def results_of(y: Any) -> list[Any]:
    """The tensors of a result, which may be a tuple of tuples."""
    return [y] if isinstance(y, torch.Tensor) else [tensor for part in y for tensor in results_of(part)]


def drawn(layer: Layer, draw: np.random.Generator) -> list[Any]:
    if layer.grid:
        return [GRID]
    if layer.integers:
        return [draw.integers(0, layer.integers, shape) for shape in layer.inputs]
    return [draw.integers(-2, 3, shape).astype(float) if layer.ties else draw.normal(size=shape) for shape in layer.inputs]


def call(module: Any, layer: Layer, xs: list[Any]) -> Any:
    return module(xs[0], tuple(xs[1:])) if layer.pair and len(xs) > 1 else module(*xs)


def of_layer(layer: Layer, draw: np.random.Generator) -> dict[str, Any]:
    module = getattr(torch.nn, layer.name)(*layer.args, **layer.keywords).double()
    stored: dict[str, Any] = {}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            value = 0.5 * draw.normal(size=parameter.shape)
            parameter.copy_(torch.from_numpy(value))
            stored[f"parameter {name}"] = value
    for batch in range(layer.batches):
        stored[f"batch {batch}"] = draw.normal(loc=1.0, scale=2.0, size=layer.inputs[0])
        module(torch.from_numpy(stored[f"batch {batch}"]))
    module.train(layer.training)
    arrays = drawn(layer, draw)
    xs = [torch.from_numpy(array).requires_grad_(array.dtype == np.float64) for array in arrays]
    ys = results_of(call(module, layer, xs))
    seeds = [draw.normal(size=y.shape) for y in ys]
    sum((torch.from_numpy(seed) * y).sum() for seed, y in zip(seeds, ys, strict=True)).backward()
    for place, (array, x) in enumerate(zip(arrays, xs, strict=True)):
        stored[f"input {place}"] = array
        if x.grad is not None:
            stored[f"input_bar {place}"] = x.grad.numpy()
    for place, (y, seed) in enumerate(zip(ys, seeds, strict=True)):
        stored[f"result {place}"], stored[f"seed {place}"] = y.detach().numpy(), seed
    for name, parameter in module.named_parameters():
        stored[f"parameter_bar {name}"] = parameter.grad.numpy()
    for name, buffer in module.named_buffers():
        stored[f"buffer {name}"] = buffer.numpy()
    return stored


def hinge(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    """PyTorch has no hinge loss of signs; this is the formula."""
    losses = torch.relu(margin - target * input)
    return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()


def of_loss(loss: Loss, draw: np.random.Generator) -> dict[str, Any]:
    given = data(loss.data)
    x, t = (torch.from_numpy(np.array(given[name])) for name in ("input", "target"))
    wrt = [tensor.requires_grad_() for tensor in (x, t) if tensor.dtype == torch.float64 and not (tensor is t and loss.data == "signs")]
    function = hinge if loss.torch == "hinge" else getattr(torch.nn.functional, loss.torch)
    y = function(x, t, **loss.keywords, **{name: torch.from_numpy(given[name]) for name in loss.arrays})
    seed = draw.normal(size=y.shape)
    bars = torch.autograd.grad((torch.from_numpy(np.array(seed)) * y).sum(), wrt, create_graph=loss.twice)
    stored = {"value": y.detach().numpy(), "seed": np.array(seed)}
    stored |= {f"{name}_bar": bar.numpy(force=True) for name, bar in zip(("input", "target"), bars, strict=False)}
    if loss.twice and bars[0].requires_grad:
        direction = draw.normal(size=x.shape)
        (twice,) = torch.autograd.grad((torch.from_numpy(direction) * bars[0]).sum(), [x], allow_unused=True)
        stored |= {"direction": direction, "input_twice": np.zeros(x.shape) if twice is None else twice.numpy(force=True)}
    return stored


def generator(name: str) -> np.random.Generator:
    """One for each case, so that a new case changes no other."""
    return np.random.default_rng([0, zlib.crc32(name.encode())])


def write(name: str, stored: dict[str, dict[str, Any]]) -> None:
    arrays = {f"{case}|{key}": value for case, found in stored.items() for key, value in found.items()}
    np.savez_compressed(FOLDER / name, **arrays)


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    write("layers.npz", {name: of_layer(layer, generator(name)) for name, layer in LAYERS.items()})
    write("losses.npz", {name: of_loss(loss, generator(name)) for name, loss in LOSSES.items()})
    print(f"torch {torch.__version__}: {len(LAYERS)} layers, {len(LOSSES)} losses")

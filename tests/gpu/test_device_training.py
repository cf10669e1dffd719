"""Models, optimizers and training on a device give the numbers of the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import emulated_cupy
import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn
from compgraph.backend import is_on_device
from compgraph.errors import AnomalyError, DeviceError, InputError

RULES = (
    "SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "Lion", "FTRL", "LAMB", "LARS",
    "Adafactor", "Muon",
)  # fmt: skip
COMPILED = ("Adam",)  # all of them in the slow test
draw = np.random.default_rng(0)
X, y = draw.normal(size=(12, 5)).astype(np.float32), draw.integers(0, 3, 12)


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 7, generator=0), nn.Tanh(), nn.Linear(7, 3, generator=1))


def many_layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(5, 7, bias=False, generator=0), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(0.2), nn.Linear(7, 3, generator=1)
    )


def same_state(one: nn.Module, other: nn.Module, rtol: float = 1e-3) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert isinstance(b, np.ndarray), name  # also of a model that is on the device
        np.testing.assert_allclose(b, a, rtol=rtol, atol=1e-5, err_msg=name)


def plain_loop(model: Any, optimizer: Any, X: Any, y: Any, steps: int = 3) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(X), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.value))
    return losses


def check_rule(xp: Any, name: str, compiled: bool) -> None:
    model, other = perceptron(), perceptron().to("cupy")
    rule = getattr(optim, name)
    optimizer = rule(other.parameters(), lr=0.01)
    if compiled:
        optimizer.compile(target="cupy")
    reference = rule(model.parameters(), lr=0.01)
    losses = plain_loop(model, reference, X, y)
    np.testing.assert_allclose(plain_loop(other, optimizer, xp.asarray(X), xp.asarray(y)), losses, rtol=1e-4)
    same_state(model, other)
    assert all(is_on_device(p.value) for p in other.parameters())
    states = optimizer.state_dict()["state"]
    for number, state in reference.state_dict()["state"].items():
        for key, value in state.items():
            assert isinstance(states[number][key], (float, np.ndarray, np.generic)), key
            np.testing.assert_allclose(states[number][key], value, rtol=1e-3, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", RULES)
def test_every_rule(library: Any, name: str) -> None:
    check_rule(library, name, compiled=False)


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_rule(xp: Any, name: str) -> None:
    check_rule(xp, name, compiled=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(RULES) - set(COMPILED)))
def test_every_compiled_rule(xp: Any, name: str) -> None:
    check_rule(xp, name, compiled=True)


def test_a_model_goes_there_and_back(library: Any) -> None:
    model = many_layers()
    before = model.state_dict()
    parameters = list(model.parameters())
    nn.cross_entropy(model(X), y).backward()
    assert model.to("cupy") is model and list(model.parameters()) == parameters
    assert all(is_on_device(p.value) and is_on_device(p.grad) for p in parameters)
    assert all(is_on_device(buffer) for buffer in model.buffers())
    assert model.to(np.float64).to("cupy")[0].weight.dtype == np.float64
    model.to(np.float32)
    model.load_state_dict(before)  # of arrays of the host
    assert all(is_on_device(p.value) for p in parameters)
    model.to("numpy")
    assert all(isinstance(p.value, np.ndarray) and isinstance(p.grad, np.ndarray) for p in parameters)
    for name, value in model.state_dict().items():
        assert np.array_equal(value, before[name]), name


@pytest.mark.parametrize(
    "options", [{}, {"clip_grad_norm": 0.1, "clip_grad_value": 0.05, "l2": 0.1}, {"accumulate": 3, "grad_noise": 0.1}], ids=str
)
def test_a_training_step(xp: Any, options: dict[str, Any]) -> None:
    models = many_layers(), many_layers()
    reference, step = (
        optim.train_step(
            model, nn.cross_entropy, optim.Adam(model.parameters(), lr=0.01), generator=np.random.default_rng(1), target=target, **options
        )
        for model, target in zip(models, ("numpy", "cupy"), strict=True)
    )  # fmt: skip
    for number in range(4):
        batch = (xp.asarray(X), xp.asarray(y)) if number % 2 else (X, y)
        np.testing.assert_allclose(step(*batch), reference(X, y), rtol=1e-4)
        np.testing.assert_allclose(step.grad_norm, reference.grad_norm, rtol=1e-3)
    same_state(*models)
    assert step.notes == () and "__global__" in step.source
    if not options and xp is emulated_cupy:
        launched, waited = emulated_cupy.recording.launched, emulated_cupy.Recording.synchronised
        step(xp.asarray(X), xp.asarray(y))
        assert emulated_cupy.recording.launched - launched == 1  # one graph
        assert emulated_cupy.Recording.synchronised - waited == 1  # and one look at the loss


def test_what_is_not_finite_or_no_class_changes_nothing(xp: Any) -> None:
    model = perceptron()
    step = optim.train_step(model, nn.cross_entropy, optim.Adam(model.parameters()), target="cupy")
    for _ in range(3):
        step(X, y)
    before, broken = model.state_dict(), X.copy()
    broken[0, 0] = np.nan
    with pytest.raises(AnomalyError, match="the batch itself has NaN"):
        step(broken, y)
    for label in (3, -1):
        with pytest.raises(InputError, match=rf"label {label} at \[2\] is not one of the 3 classes"):
            step(X, np.where(np.arange(12) == 2, label, y))
    for name, value in model.state_dict().items():
        assert np.array_equal(value, before[name]), name
    step(X, y)


def test_fit_and_checkpoints_that_move(xp: Any, tmp_path: Path) -> None:
    def run(target: str, epochs: int) -> tuple[nn.Sequential, Any]:
        model = perceptron()
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        history = optim.fit(
            model, (X, y), loss=nn.cross_entropy, optimizer=optimizer, epochs=epochs, batch_size=5, target=target, seed=0,
            validation=(X, y), metrics=("accuracy",), checkpoint=tmp_path / "run", progress=False,
        )  # fmt: skip
        return model, history

    model, _ = run("cupy", 2)
    assert is_on_device(model[0].weight.value)
    resumed, _ = run("numpy", 4)  # goes on from what the device has written
    alone = perceptron()
    optimizer = optim.Adam(alone.parameters(), lr=0.01)
    optim.fit(alone, (X, y), loss=nn.cross_entropy, optimizer=optimizer, epochs=4, batch_size=5, seed=0, progress=False)
    same_state(alone, resumed)


def test_optimizers_with_a_way_of_their_own_are_refused(library: Any) -> None:
    model = perceptron()
    with pytest.raises(InputError, match="LBFGS has a way of its own, which runs on the host"):
        optim.train_step(model, nn.cross_entropy, optim.LBFGS(model.parameters()), target="cupy")
    assert isinstance(model[0].weight.value, np.ndarray)


def test_what_is_done_to_gradients_and_averages_in_a_plain_loop(library: Any) -> None:
    models = perceptron(), perceptron().to("cupy")
    for model in models:
        optimizer = optim.LBFGS(model.parameters(), max_iter=2)
        averages = optim.EMA(model.parameters(), decay=0.5)

        def closure(model: nn.Module = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = nn.cross_entropy(model(X), y)
            loss.backward()
            optim.add_grad_noise_(model.parameters(), 0, np.random.default_rng(0), 0.01)
            optim.clip_grad_norm_(model.parameters(), 0.1)
            optim.clip_grad_value_(model.parameters(), 0.05)
            return loss

        optimizer.step(closure)
        averages.update()
    same_state(*models)
    with pytest.raises(DeviceError, match=r"parameter 0 of group 0.* is on .*:0: say target=.cupy., or model.to"):
        optim.train_step(models[1], nn.cross_entropy, optim.Adam(models[1].parameters()), target="numpy")(X, y)


def test_convolutions_embeddings_and_recurrence_in_a_plain_loop(library: Any) -> None:
    images = draw.normal(size=(2, 1, 6, 6)).astype(np.float32)
    letters = draw.integers(0, 5, (2, 4))
    for make, given in (
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3, generator=0), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()), images),
        (lambda: nn.Sequential(nn.Embedding(5, 3, generator=0), nn.GELU(), nn.Flatten()), letters),
        (lambda: nn.Sequential(nn.Embedding(5, 3, generator=0), nn.LayerNorm(3), nn.Sigmoid()), letters),
    ):
        model, other = make(), make().to("cupy")
        for one, values in ((model, given), (other, library.asarray(given))):
            cg.bind("sum", one(values) * one(values), axis=None, keepdims=False).backward()
        for a, b in zip(model.parameters(), other.parameters(), strict=True):
            np.testing.assert_allclose(b.grad.get(), a.grad, rtol=1e-4, atol=1e-6)

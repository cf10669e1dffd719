"""A checkpoint goes on in the run that it is of: what is refused, what is not, and what a hard interrupt leaves."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn

pytest.importorskip("safetensors")

DRAW = np.random.default_rng(3)
X = DRAW.normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def network(activation=nn.Tanh):
    return nn.Sequential(nn.Linear(3, 4, generator=0), activation(), nn.Dropout(0.2), nn.Linear(4, 2, generator=1))


def run(folder, model=None, make=lambda p: optim.Adam(p, lr=0.05), **options):
    model = network() if model is None else model
    options = {"data": (X, Y), "loss": nn.cross_entropy, "epochs": 2, "batch_size": 16, "validation": 0.2, **options}
    history = optim.fit(model, options.pop("data"), optimizer=make(model.parameters()), checkpoint=folder, **options)
    return model, history


OTHER = {
    "seed 0, not 1": {"seed": 1},
    "another data": {"data": (X + 1, Y)},
    "another data$": {"data": (X, 1 - Y)},
    "another validation": {"data": (X, Y), "validation": (X[:5], Y[:5])},
    "another order": {"order": np.arange(40)},
    "shuffle True, not False": {"shuffle": False},
    "drop_last False, not True": {"drop_last": True},
    "l2 0.0, not 0.1": {"l2": 0.1},
    "clip_grad_norm None, not 1.0": {"clip_grad_norm": 1.0},
    "grad_noise None, not 0.1": {"grad_noise": 0.1},
    "lr 0.05, not 0.01": {"make": lambda p: optim.Adam(p, lr=0.01)},
    r"betas \(0.9, 0.999\), not": {"make": lambda p: optim.Adam(p, lr=0.05, betas=(0.5, 0.9))},
    "optimizer Adam, not SGD": {"make": lambda p: optim.SGD(p, lr=0.05)},
    "loss cross_entropy, not cross_entropy": {"loss": partial(nn.cross_entropy, label_smoothing=0.1)},
    "another model": {"model": network(nn.ReLU)},
}


@pytest.mark.parametrize("said", OTHER)
def test_another_run_is_refused_and_nothing_changes(tmp_path, said):
    first = {} if said != "another validation" else {"validation": (X[:4], Y[:4])}
    run(tmp_path, **first)
    options = {"model": network(), "epochs": 4, **first, **OTHER[said]}
    before = options["model"].state_dict()
    with pytest.raises(cg.InputError, match=f"is of another run: it was begun with {said.removesuffix('$')}"):
        run(tmp_path, **options)
    for name, value in options["model"].state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    "change", [{}, {"accumulate": 2}, {"metrics": "accuracy"}, {"target": None}, {"progress": False}, {"loss": nn.cross_entropy}]
)
def test_what_changes_no_update_may_differ(tmp_path, change):
    run(tmp_path)
    assert len(run(tmp_path, epochs=3, **change)[1]) == 3


def test_the_same_model_and_optimizer_go_on_after_a_schedule(tmp_path):
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def go(epochs):
        scheduler = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        options = {"loss": nn.cross_entropy, "optimizer": optimizer, "scheduler": scheduler, "epochs": epochs, "checkpoint": tmp_path}
        return optim.fit(model, (X, Y), **options)

    assert [len(go(epochs)) for epochs in (1, 3)] == [1, 3]


def test_a_held_out_part_needs_a_seed_and_a_checkpoint_a_folder(tmp_path):
    with pytest.raises(cg.InputError, match="seed=None would hold out other examples"):
        run(tmp_path, seed=None)
    run(tmp_path, seed=None, validation=(X[:4], Y[:4]))
    with pytest.raises(cg.InputError, match="checkpoints need a folder"):
        run("")


def test_an_interrupt_within_a_step_is_not_saved(tmp_path, capsys):
    """The second Ctrl-C ends a step half way: its random numbers are drawn, for one."""
    count = 0

    def interrupted(output, y):
        nonlocal count
        count += 1
        if count == 10:
            raise KeyboardInterrupt
        return nn.cross_entropy(output, y)

    interrupted.__name__ = "cross_entropy"
    options = {"target": None, "epochs": 4, "validation": None, "checkpoint_every": 2}
    whole, _ = run(tmp_path / "whole", **options)
    _, history = run(tmp_path / "cut", loss=interrupted, **options)
    assert history.interrupted and 0 < len(history.steps["loss"]) < 12
    model, resumed = run(tmp_path / "cut", **options)
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], value)
    assert len(resumed.steps["loss"]) == 12

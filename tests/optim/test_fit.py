"""`optim.fit`: the loop by hand, schedules, stopping, going on, and data that do not fit."""

from __future__ import annotations

import json
import os
import signal
import warnings

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn
from optim.training import Run

DRAW = np.random.default_rng(2)
X = DRAW.normal(size=(50, 4)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64)


def network(dtype=np.float32, dropout=0.0):
    return nn.Sequential(
        nn.Linear(4, 8, dtype=dtype, generator=1), nn.BatchNorm1d(8, dtype=dtype), nn.Tanh(), nn.Dropout(dropout),
        nn.Linear(8, 2, dtype=dtype, generator=2),
    )  # fmt: skip


def trained(data=(X, Y), model=None, make=lambda p: optim.Adam(p, lr=0.01), loss=nn.cross_entropy, **options):
    model = network() if model is None else model
    options = {"epochs": 3, "batch_size": 16, **options}
    return model, optim.fit(model, data, loss=loss, optimizer=make(model.parameters()), **options)


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], value, err_msg=name)


# --------------------------------------------------------------------------------------------------- the loop


@pytest.mark.parametrize("target", [None, "numpy"])
def test_it_is_the_loop_that_one_would_write(target):
    model, history = trained(target=target, metrics="accuracy")
    other = network()
    step = optim.train_step(other, nn.cross_entropy, optim.Adam(other.parameters(), lr=0.01), target=target)
    sampler = optim.MiniBatches(50, 16, generator=np.random.default_rng(np.random.SeedSequence(0).spawn(4)[0]))
    losses, means = [], []
    for _ in range(3):
        found = [(step(X[batch], Y[batch]), len(batch)) for batch in sampler]
        losses += [loss for loss, _ in found]
        means.append(sum(loss * count for loss, count in found) / 50)
    np.testing.assert_array_equal(history.steps["loss"], losses)
    np.testing.assert_allclose(history["loss"], means, rtol=1e-12)
    assert_same_bits(model.state_dict(), other.state_dict())
    other.eval()
    right = np.mean(np.argmax(other(X).value if hasattr(other(X), "value") else other(X), axis=1) == Y)
    assert history.last["accuracy"] == right
    assert all(module.training for module in model.modules()) and list(history["step"]) == [4, 8, 12]


@pytest.mark.parametrize("target", [None, "numpy"])
def test_the_same_seed_gives_the_same_bits(target):
    def shake(X, generator):
        return X + generator.normal(size=X.shape).astype(X.dtype)

    options = {"target": target, "validation": 0.2, "grad_noise": 0.1, "augment": shake}
    (one, first), (two, second), (three, third) = (trained(model=network(dropout=0.2), seed=seed, **options) for seed in (4, 4, 5))
    assert_same_bits(one.state_dict(), two.state_dict())
    np.testing.assert_array_equal(first.steps["loss"], second.steps["loss"])
    assert np.any(first.steps["loss"] != third.steps["loss"])
    assert np.any(one.state_dict()["0.weight"] != three.state_dict()["0.weight"])


def test_programs_and_the_plain_loop_agree():
    data = X.astype(float), Y
    runs = [trained(data, network(np.float64, 0.2), target=target, validation=0.2)[1] for target in (None, "numpy")]
    for name in ("loss", "grad_norm"):
        np.testing.assert_allclose(runs[0].steps[name], runs[1].steps[name], rtol=1e-9)
    np.testing.assert_allclose(runs[0]["val_loss"], runs[1]["val_loss"], rtol=1e-9)


def seen_by(**options):
    """The first feature of the examples of each batch, in their order."""
    batches = []

    def note(X, generator):
        batches.append(X[:, 0].copy())
        return X

    trained(data=(np.arange(50 * 4, dtype=np.float32).reshape(50, 4) / 200, Y), augment=note, target=None, **options)
    return batches


def test_samplers():
    full = seen_by(batch_size=None, epochs=1)
    assert [len(batch) for batch in full] == [50]
    sizes = [len(batch) for batch in seen_by(batch_size=16, epochs=1)]
    assert sizes == [16, 16, 16, 2] and [len(batch) for batch in seen_by(batch_size=16, epochs=1, drop_last=True)] == [16, 16, 16]
    plain = np.concatenate(seen_by(shuffle=False, epochs=1))
    assert np.all(np.diff(plain) > 0)
    mixed = np.concatenate(seen_by(epochs=2))
    assert sorted(mixed[:50]) == sorted(mixed[50:]) == list(plain) and np.any(mixed[:50] != mixed[50:])
    hard_first = np.concatenate(seen_by(order=-np.arange(50), epochs=1))
    assert np.all(np.diff(hard_first) < 0)
    np.testing.assert_array_equal(np.concatenate(seen_by(order=lambda X, y: -X[:, 0], epochs=1)), hard_first)
    model = nn.Sequential(nn.Linear(4, 2, generator=0))
    assert len(trained(model=model, batch_size=1, epochs=1)[1].steps["loss"]) == 50


def test_validation_by_fraction_holds_examples_out():
    rows = np.concatenate(seen_by(validation=0.2, epochs=2))
    assert len(rows) == 80 and len(np.unique(rows)) == 40
    ordered = np.concatenate(seen_by(validation=0.2, epochs=1, order=np.arange(50)))
    assert len(ordered) == 40 and np.all(np.diff(ordered) > 0)
    model, history = trained(validation=(X[:10], Y[:10]), metrics=["accuracy", lambda output, y: len(y)])
    assert history.columns == ["epoch", "step", "loss", "val_loss", "val_accuracy", "val_<lambda>", "lr", "seconds"]
    assert history.last["val_<lambda>"] == 10
    with cg.no_grad():
        expected = nn.cross_entropy(model.eval()(X[:10]), Y[:10])
    assert history.last["val_loss"] == pytest.approx(float(getattr(expected, "value", expected)), rel=1e-6)


def test_data_of_all_kinds_train_alike(tmp_path):
    class Source:
        def __len__(self):
            return 50

        def __getitem__(self, indices):
            return X[indices], Y[indices]

    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    parts = [(X[start : start + 16], Y[start : start + 16]) for start in range(0, 50, 16)]
    kinds = [
        (X, Y), [X, Y], (X.astype(float), Y.astype(np.uint8)), (X.tolist(), Y.tolist()), Source(), (mapped, Y), optim.data.Dataset(X, Y),
        parts, lambda: iter(parts), optim.data.batches(lambda: zip(X, Y, strict=True), 16),
    ]  # fmt: skip
    options = {"shuffle": False, "target": None, "epochs": 2}
    expected = trained(**options)[1].steps["loss"]
    for data in kinds:
        np.testing.assert_array_equal(trained(data=data, **options)[1].steps["loss"], expected)
    once = trained(data=iter(parts), **{**options, "epochs": 1})[1]
    np.testing.assert_array_equal(once.steps["loss"], expected[:4])
    with pytest.raises(cg.InputError, match="gives its batches once"):
        trained(data=iter(parts))


def test_an_autoencoder_and_regression():
    coder = nn.Sequential(nn.Linear(4, 2, generator=0), nn.Linear(2, 4, generator=1))
    _, history = trained(X, coder, loss=nn.mse, epochs=30, metrics=("rmse", "r2"), validation=0.2)
    assert history["val_loss"][-1] < 0.6 * history["val_loss"][0]
    assert history.last["val_rmse"] == pytest.approx(np.sqrt(history.last["val_loss"]), rel=1e-5) and history.last["val_r2"] < 1
    line = nn.Linear(4, 1, generator=0)
    integers = (X @ np.array([[3], [0], [-2], [1]])).round().astype(int)
    _, history = trained((X, integers), line, loss=nn.mse, make=lambda p: optim.SGD(p, lr=0.2), epochs=30)
    assert history.last["loss"] < 0.2 and line.weight.dtype == np.float32


def test_an_embedding_takes_its_integers():
    model = nn.Sequential(nn.Embedding(6, 3, generator=0), nn.Flatten(), nn.Linear(6, 2, generator=1))
    tokens = DRAW.integers(0, 6, (50, 2))
    labels = (tokens[:, 0] > tokens[:, 1]).astype(int)
    assert trained((tokens, labels), model, epochs=40, metrics="accuracy", make=lambda p: optim.Adam(p, lr=0.05))[1].last["accuracy"] > 0.9


# ------------------------------------------------------------------------------------- schedules and stopping


def test_schedules_go_by_epoch_or_by_step():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=1e-2)
    halving = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    history = optim.fit(model, (X, Y), loss=nn.cross_entropy, optimizer=optimizer, epochs=3, batch_size=25, scheduler=halving)
    np.testing.assert_allclose(history.steps["lr"], np.repeat([1e-2, 5e-3, 2.5e-3], 2))
    optimizer = optim.SGD(model.parameters(), lr=1e-2)
    cycle = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=6)
    expected = cycle.values(6)
    history = optim.fit(model, (X, Y), loss=nn.cross_entropy, optimizer=optimizer, epochs=3, batch_size=25, scheduler=cycle)
    np.testing.assert_allclose(history.steps["lr"], expected)
    optimizer = optim.SGD(model.parameters(), lr=1e-2)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1e9, threshold_mode="abs")
    history = optim.fit(model, (X, Y), loss=nn.cross_entropy, optimizer=optimizer, epochs=3, batch_size=25, scheduler=plateau)
    assert history["lr"][-1] < history["lr"][0]
    with pytest.raises(cg.InputError, match="scheduler of this optimizer"):
        trained(scheduler=plateau)


def test_early_stopping_restores_the_best_weights():
    weights, best = [], optim.EarlyStopping(2, monitor="val_score")
    scores = iter([3.0, 1.0, 2.0, np.nan, 0.0])

    def note(run: Run):
        weights.append(run.model.state_dict())

    def score(output, y):
        return next(scores)

    model, history = trained(validation=0.2, metrics=score, early_stopping=best, epochs=5, callbacks=[note])
    assert len(history) == 4 and history.best_epoch == best.best_epoch == 2
    assert_same_bits(model.state_dict(), weights[1])
    assert "no improvement" in repr(history) and "weights of epoch 2" in repr(history)
    _, unrestored = trained(validation=0.2, early_stopping=optim.EarlyStopping(1, min_delta=1e9, restore=False), epochs=9)
    assert len(unrestored) == 2 and unrestored.best_epoch is None
    with pytest.raises(cg.InputError, match="monitors 'val_acc'"):
        trained(early_stopping=optim.EarlyStopping(1, monitor="val_acc"))


def test_callbacks_see_the_run_and_may_end_it():
    seen = []
    _, history = trained(callbacks=[lambda run: seen.append((run.epoch, run.step.steps)), lambda run: run.epoch == 2], epochs=9)
    assert seen == [(1, 4), (2, 8)] and len(history) == 2 and "callback" in history.stopped


def test_accumulation_is_the_large_batch():
    model = lambda: nn.Sequential(nn.Linear(4, 8, dtype=np.float64, generator=1), nn.Tanh(), nn.Linear(8, 2, dtype=np.float64, generator=2))  # noqa: E731
    one, other = (trained(model=model(), accumulate=parts, validation=0.1)[1] for parts in (1, 4))
    np.testing.assert_allclose(one.steps["loss"], other.steps["loss"], rtol=1e-10)


# ---------------------------------------------------------------------------------- interrupts and checkpoints


def stop_at(number, how):
    """A change of images that interrupts at a step."""
    count = 0

    def augment(X, generator):
        nonlocal count
        count += 1
        if count == number:
            how()
        return X + 0.1 * generator.standard_normal(X.shape, dtype=X.dtype)

    return augment


def raise_interrupt():
    raise KeyboardInterrupt


def signalled():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("how", [raise_interrupt, signalled])
def test_an_interrupt_returns_what_there_is(how, capsys):
    _, history = trained(augment=stop_at(6, how))
    steps = 6 if how is signalled else 5
    assert history.interrupted and len(history) == 1 and len(history.steps["loss"]) == steps
    assert f"interrupted in epoch 2 of 3, after {steps} steps" in capsys.readouterr().err
    assert "interrupted" in repr(history)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def a_run(folder, augment, target="numpy", epochs=4, **options):
    model = network(dropout=0.3)
    optimizer = optim.NAdam(model.parameters(), lr=0.02)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
    options = {"early_stopping": optim.EarlyStopping(50), "validation": 0.2, "grad_noise": 0.1, "scheduler": scheduler, **options}
    history = optim.fit(
        model, (X, Y), loss=nn.cross_entropy, optimizer=optimizer, epochs=epochs, batch_size=16, augment=augment, checkpoint=folder,
        target=target, metrics="accuracy", checkpoint_every=2 if folder else None, **options,
    )  # fmt: skip
    return model, optimizer, history


@pytest.mark.parametrize(("number", "target"), [(1, "numpy"), (5, "numpy"), (6, "numpy"), (2, None), (9, None)])
def test_a_run_goes_on_bit_for_bit(tmp_path, number, target, capsys):
    pytest.importorskip("safetensors")
    whole, optimizer, history = a_run(None, stop_at(0, signalled), target)
    a_run(tmp_path, stop_at(number, signalled), target)
    model, other, resumed = a_run(tmp_path, stop_at(0, signalled), target)
    assert_same_bits(whole.state_dict(), model.state_dict())
    for name, values in history.steps.items():
        np.testing.assert_array_equal(resumed.steps[name], values)
    for name in set(history.columns) - {"seconds"}:
        np.testing.assert_array_equal(resumed[name], history[name])
    for p, q in zip(whole.parameters(), model.parameters(), strict=True):
        for key, value in optimizer.state[p].items():
            np.testing.assert_array_equal(other.state[q][key], value)
    assert not resumed.interrupted and resumed.best_epoch == history.best_epoch
    again = a_run(tmp_path, stop_at(1, raise_interrupt), target)  # over: no step is taken
    assert_same_bits(whole.state_dict(), again[0].state_dict())
    assert len(again[2]) == 4


def test_a_crash_goes_on_from_the_last_checkpoint(tmp_path):
    pytest.importorskip("safetensors")

    def crash():
        raise RuntimeError("the power is gone")

    whole, _, history = a_run(None, stop_at(0, crash))
    with pytest.raises(RuntimeError, match="power"):
        a_run(tmp_path, stop_at(8, crash))
    model, _, resumed = a_run(tmp_path, stop_at(0, crash))
    assert_same_bits(whole.state_dict(), model.state_dict())
    np.testing.assert_array_equal(history.steps["loss"], resumed.steps["loss"])


def test_the_checkpoint_of_another_run_is_refused_whole(tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    a_run(tmp_path, stop_at(3, signalled))
    for change in ({"early_stopping": None}, {"validation": 0.4}):
        with pytest.raises(cg.InputError, match=r"checkpoint in .* is of another run"):
            a_run(tmp_path, stop_at(0, signalled), **change)
    model = nn.Sequential(nn.Linear(4, 3, generator=0), nn.Linear(3, 2, generator=1))
    before = model.state_dict()
    with pytest.raises(cg.InputError, match="another run"):
        trained(model=model, checkpoint=tmp_path, validation=0.2)
    assert_same_bits(model.state_dict(), before)
    model = network()  # which takes its state before the optimizer refuses its own
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    rates = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
    before = model.state_dict()
    monkeypatch.setattr(optim.training, "check_same", lambda *_: None)
    with pytest.raises(cg.InputError, match="state of another optimizer"):
        optim.fit(
            model, (X, Y), loss=nn.cross_entropy, optimizer=optimizer, epochs=4, batch_size=16, validation=0.2, scheduler=rates,
            early_stopping=50, checkpoint=tmp_path,
        )  # fmt: skip
    assert_same_bits(model.state_dict(), before)


def test_a_full_disk_costs_a_warning(tmp_path, monkeypatch):
    pytest.importorskip("safetensors")

    def full(path, content):
        raise OSError(28, "No space left on device")

    def fill(run):
        if run.epoch == 1:
            monkeypatch.setattr("optim.checkpoints.write_whole", full)

    with pytest.warns(optim.CheckpointWarning, match="No space left"):
        _, _, history = a_run(tmp_path, stop_at(0, signalled), callbacks=[fill])
    assert len(history) == 4
    monkeypatch.undo()
    assert optim.Checkpointer(tmp_path).latest()[1] == 2  # within the first epoch


def test_the_log_has_a_line_an_epoch(tmp_path):
    path = tmp_path / "run.jsonl"
    _, history = trained(log=path, validation=0.2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == json.loads(history.to_json())["epochs"] and len(lines) == 3
    trained(log=path, epochs=1)
    assert len(path.read_text().splitlines()) == 1


def test_the_log_of_a_run_that_goes_on_has_no_epoch_twice(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "run.jsonl"
    a_run(tmp_path / "run", stop_at(7, signalled), log=path)
    a_run(tmp_path / "run", stop_at(0, signalled), log=path)
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


# ------------------------------------------------------------------------------------------ what does not fit

NAN, INFINITE, LARGE = X.copy(), X.copy(), X.astype(np.float64)
NAN[7, 2], INFINITE[3, 0], LARGE[1, 1] = np.nan, -np.inf, 1e60
REFUSED = {
    "lengths": ({"data": (X, Y[:-1])}, "X has 50 examples and y 49"),
    "features": ({"data": (X[:, :3], Y)}, "last axis has to have 4"),
    "labels above": ({"data": (X, Y + 1)}, "label 2 .* is not one of the 2 classes"),
    "labels below": ({"data": (X, Y - 1)}, "label -1"),
    "labels of floats": ({"data": (X, Y.astype(float))}, "labels are integers"),
    "nan": ({"data": (NAN, Y)}, "X of data has nan in row 7, column 2"),
    "infinity": ({"data": (INFINITE, Y)}, "X of data has -inf in row 3, column 0"),
    "nan in targets": ({"data": (X, NAN), "loss": nn.mse}, "y of data has nan in row 7, column 2"),
    "too large": ({"data": (LARGE, Y)}, "1e.60 in row 1, too large"),
    "empty": ({"data": (X[:0], Y[:0])}, "data is empty"),
    "text": ({"data": (X.astype(str), Y)}, "has to be numbers"),
    "one number": ({"data": (np.float64(1.0), Y)}, "axis of examples"),
    "batches of numbers": ({"data": [(1.0, 2.0), (1.0, 2.0)]}, "batch 0: X and y need an entry"),
    "a dict": ({"data": {"X": X}}, "not dict"),
    "batch 0": ({"batch_size": 0}, "batch_size"),
    "batch above n": ({"batch_size": 51}, "only 50 examples .*batch_size=None"),
    "batch above the rest": ({"batch_size": 41, "validation": 0.2}, "only 40 examples"),
    "epochs": ({"epochs": 0}, "epochs"),
    "last batch of 1": ({"batch_size": 49}, "BatchNorm1d .*variance"),
    "shapes of mse": ({"data": (X, X[:, 0]), "loss": nn.mse}, "shape"),
    "metric": ({"metrics": "acuracy"}, "do you mean 'accuracy'"),
    "no metric": ({"metrics": [3]}, "name or a function"),
    "validation": ({"validation": 1.5}, "between 0 and 1"),
    "validation takes all": ({"data": (X[:2], Y[:2]), "batch_size": 1, "validation": 0.9}, "leaves none"),
    "validation data": ({"validation": (X, Y[:3])}, "X has 50 examples and y 3"),
    "order": ({"order": [1, 2]}, "each of the 50"),
    "order of nan": ({"order": np.full(50, np.nan)}, "key has entries that are NaN"),
    "seed": ({"seed": -1}, "seed"),
    "schedule": ({"scheduler": 3}, "scheduler of this optimizer"),
    "augment": ({"augment": 3}, "augment is a function"),
    "folder": ({"checkpoint": "/dev/null/run"}, "cannot be written"),
    "every": ({"checkpoint_every": 3}, "needs a folder"),
    "log": ({"log": "/nowhere/at/all.jsonl"}, "log cannot be written"),
    "target": ({"target": "cuda"}, "no target"),
}


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_before_anything_changes(options, said):
    model = network()
    before = model.state_dict()
    with pytest.raises(cg.CompgraphError, match=said):
        trained(**{"model": model, **options})
    assert_same_bits(model.state_dict(), before)
    assert all(module.training for module in model.modules())


def test_labels_of_one_class_are_warned_of():
    with pytest.warns(optim.TrainingWarning, match="one class only"):
        trained((X, np.zeros(50, int)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained((X, Y))


def test_a_nan_on_the_way_ends_the_run_with_its_reason():
    def spoil(X, generator):
        return X * np.float32(np.nan)

    model = network()
    before = model.state_dict()
    with pytest.raises(cg.AnomalyError, match="the batch itself has NaN"):
        trained(model=model, augment=spoil)
    assert_same_bits(model.state_dict(), before)


def test_a_search_ranks_its_trials():
    def train(lr, size):
        model = nn.Sequential(nn.Linear(4, size, generator=1), nn.Tanh(), nn.Linear(size, 2, generator=2))
        return trained(model=model, make=lambda p: optim.SGD(p, lr=lr), validation=0.2, epochs=2)[1]

    space = {"lr": optim.search.log_uniform(1e-3, 1.0), "size": [2, 4]}
    search, again = (optim.random_search(train, space, trials=4, seed=1) for _ in range(2))
    scores = [trial.score for trial in search.trials]
    assert scores == sorted(scores) and scores == [trial.score for trial in again.trials]
    assert search.best.score == np.min(search.best.result["val_loss"]) and "score" in repr(search)

    def fragile(x):
        if x > 2:
            raise cg.AnomalyError("the loss is nan")
        return x

    both = optim.random_search(fragile, {"x": [1, 2, 3]}, trials=12, mode="max")
    assert both.best.score == 2 and both.trials[-1].score == -np.inf
    for space, said in (({}, "no parameter"), ({"x": []}, "list to choose from"), ({"x": "abc"}, "list to choose from")):
        with pytest.raises(cg.InputError, match=said):
            optim.random_search(fragile, space)

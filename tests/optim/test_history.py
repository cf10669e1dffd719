"""`History`: its columns, tables, texts, picture and state; the log."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest

import compgraph as cg
import optim
from optim.history import Log


def course(epochs=3, steps=4):
    history = optim.History()
    for number in range(1, epochs + 1):
        for step in range(steps):
            history.add_step(loss=1 / (number + step / steps), lr=0.1 / number, grad_norm=2.0 / number)
        row = {"epoch": number, "step": number * steps, "loss": 1 / number, "val_loss": 1 / number + 0.1, "val_accuracy": 1 - 0.5 / number}
        history.add_epoch({**row, "lr": 0.1 / number, "seconds": 0.25})
    return history


def test_columns_and_steps():
    history = course()
    assert history.columns == ["epoch", "step", "loss", "val_loss", "val_accuracy", "lr", "seconds"] and len(history) == 3
    np.testing.assert_array_equal(history["loss"], [1, 1 / 2, 1 / 3])
    assert {name: len(values) for name, values in history.steps.items()} == {"loss": 12, "lr": 12, "grad_norm": 12}
    history.add_epoch({"epoch": 4, "loss": 0.1})
    assert math.isnan(history["val_loss"][3]) and history.last == {"epoch": 4, "loss": 0.1}
    with pytest.raises(KeyError, match=r"no column 'acc'.*val_accuracy"):
        history["acc"]
    assert optim.History().last == {} and repr(optim.History()) == "History: no epoch is over"


def test_the_best_epoch():
    history = course()
    assert history.best("loss") == 3 and history.best("val_accuracy") == 3 and history.best("val_accuracy", "min") == 1
    history.add_epoch({"epoch": 4, "loss": math.nan})
    assert history.best("loss") == 3
    history.add_epoch({"epoch": 5, "never": math.nan})
    with pytest.raises(cg.InputError, match="all values of 'never' are NaN"):
        history.best("never")
    with pytest.raises(cg.InputError, match="mode is"):
        history.best("loss", "least")


def test_tables():
    history = course(40)
    text = repr(history).splitlines()
    assert len(text) == 22 and text[0].split() == history.columns and text[1].split()[:3] == ["1", "4", "1.000"] and "..." in text[11]
    assert len({len(line) for line in text}) == 1
    history.interrupted, history.best_epoch, history.stopped = True, 7, "stopped <early>"
    assert repr(history).splitlines()[-1] == "interrupted; stopped <early>; weights of epoch 7"
    page = history._repr_html_()
    assert page.count("<tr>") == 22 and "<th" in page and "&lt;early&gt;" in page and "<early>" not in page


def test_json_and_state_go_there_and_back():
    history = course()
    history.add_epoch({"epoch": 4, "loss": math.inf})
    found = json.loads(history.to_json())
    assert found["epochs"][3] == {"epoch": 4, "loss": None} and len(found["steps"]["lr"]) == 12
    again = optim.History()
    again.load_state_dict(history.state_dict())
    assert repr(again) == repr(history) and again.epochs == history.epochs
    for name, values in history.steps.items():
        np.testing.assert_array_equal(again.steps[name], values)
    again.add_step(0.0, 0.0, 0.0)
    assert len(history.steps["loss"]) == 12
    with pytest.raises(cg.InputError, match="what state_dict returns"):
        again.load_state_dict({"epochs": []})


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    history = course(12)
    history.best_epoch = 9
    path = tmp_path / "run.png"
    figure = history.plot(path)
    assert [axes.get_title() for axes in figure.axes] == ["loss", "metrics", "rate", "gradient norm"]
    assert path.stat().st_size > 10_000 and os.listdir(tmp_path) == ["run.png"]
    loss = figure.axes[0]
    assert [line.get_label() for line in loss.get_lines()][1:] == ["training", "validation", "best, epoch 9"]
    np.testing.assert_allclose(loss.get_lines()[1].get_xdata(), 4 * np.arange(1, 13))
    np.testing.assert_allclose(loss.get_lines()[1].get_ydata(), history["loss"])
    bare = optim.History()
    bare.add_epoch({"loss": 1.0})
    assert [axes.get_title() for axes in bare.plot().axes] == ["loss"]
    with pytest.raises(cg.InputError, match="nothing to plot"):
        optim.History().plot()
    for wrong in (tmp_path / "none" / "x.png", tmp_path / "x.nonsense"):
        with pytest.raises(cg.InputError, match="cannot be written"):
            history.plot(wrong)
    assert os.listdir(tmp_path) == ["run.png"]


def test_the_log_is_lines_of_json(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    log.begin([{"epoch": 1, "loss": 0.5}])
    log.write({"epoch": 2, "loss": math.nan})
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}]
    log.begin()
    assert log.path.read_text() == "" and os.listdir(tmp_path) == ["log.jsonl"]
    with pytest.raises(cg.InputError, match="no folder"):
        Log(tmp_path / "none" / "log.jsonl")


def test_early_stopping_counts_what_is_no_better():
    stopping = optim.EarlyStopping(2, min_delta=0.1, mode="max", restore=False)
    ends = [stopping.update(epoch, value, {}) for epoch, value in enumerate([1.0, 1.05, 1.2, 1.25, np.nan])]
    assert ends == [False, False, False, False, True]
    assert stopping.best == 1.2 and stopping.best_epoch == 2 and stopping.weights is None
    other = optim.EarlyStopping(2)
    other.load_state_dict(stopping.state_dict())
    assert other.state_dict() == stopping.state_dict()
    other.reset()
    assert other.best_epoch is None and math.isnan(other.best)
    for wrong in ({"patience": 0}, {"min_delta": -1}, {"mode": "least"}):
        with pytest.raises(cg.InputError):
            optim.EarlyStopping(**wrong)
    with pytest.raises(cg.InputError, match="what state_dict returns"):
        other.load_state_dict({})

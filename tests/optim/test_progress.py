"""The progress line: what it says, and where it is silent."""

from __future__ import annotations

import builtins
import io
import sys

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn
from optim.progress import Progress, wanted


class Terminal(io.StringIO):
    def isatty(self):
        return True


def a_terminal(monkeypatch):
    """In the test itself: what captures the output of tests puts a stream of its own in place after the fixtures."""
    pytest.importorskip("tqdm")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def test_it_is_silent_where_nobody_looks_on(monkeypatch):
    a_terminal(monkeypatch)
    assert wanted(None) and wanted(True) and not wanted(False)
    monkeypatch.setenv("CI", "true")
    assert not wanted(None) and wanted(True)
    monkeypatch.delenv("CI")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not wanted(None)
    monkeypatch.setattr(sys, "stderr", None)
    assert not wanted(None)


def test_without_tqdm_it_is_silent_or_says_how_to_install_it(monkeypatch):
    a_terminal(monkeypatch)
    monkeypatch.setattr("optim.progress.find_spec", lambda name: None)
    assert not wanted(None)
    with pytest.raises(cg.MissingDependencyError, match=r'pip install "compgraph\[train\]"'):
        wanted(True)


def test_a_run_shows_rate_loss_and_measures(monkeypatch):
    terminal = a_terminal(monkeypatch)
    monkeypatch.setattr("optim.progress.EVERY", 0.0)
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    model = nn.Linear(3, 1, generator=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    options = {"loss": nn.mse, "optimizer": optimizer, "epochs": 2, "batch_size": 5, "validation": (X, X[:, :1])}
    optim.fit(model, (X, X[:, :1]), **options)
    text = terminal.getvalue()
    assert "epoch 2/2" in text and "8/8" in text and "loss 0." in text and "val_loss" in text and "step/s" in text
    terminal.truncate(0)
    optim.fit(model, (X, X[:, :1]), progress=False, **options)
    assert terminal.getvalue().strip("\0") == ""


def test_a_line_goes_on_where_a_run_was_left(monkeypatch):
    terminal = a_terminal(monkeypatch)
    with Progress(True, total=10, epochs=5, done=4) as progress:
        progress.step(3, 0.25)
        progress.epoch(3, {"loss": 0.25, "val_accuracy": 0.5})
    assert "5/10" in terminal.getvalue() and "val_accuracy 0.5" in terminal.getvalue()


def test_no_line_needs_no_tqdm(monkeypatch):
    real = builtins.__import__

    def no_tqdm(name, *rest, **more):
        assert not name.startswith("tqdm")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_tqdm)
    with Progress(False, total=10, epochs=1) as progress:
        progress.step(1, 0.5)
        progress.epoch(1, {"loss": 0.5})

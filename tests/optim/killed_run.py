"""A training run for test_kill.py to kill.

It has a part of each kind that a checkpoint has to hold: an optimizer with state, a schedule, a shuffling sampler,
dropout, running statistics, noise on the gradient, augmentation, early stopping, the history and a log.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import optim
from compgraph import nn
from optim import checkpoints


def run(folder: Path, target: str | None) -> dict[str, Any]:
    """Train, and all there is at the end but the times."""
    train, test = optim.data.split(optim.data.moons(230, seed=1), 0.2, seed=2)
    first, second = nn.Linear(2, 12, generator=3), nn.Linear(12, 2, generator=4)
    model = nn.Sequential(first, nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), second)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    history = optim.fit(
        model, train, loss=nn.cross_entropy, optimizer=optimizer, epochs=5, batch_size=16, validation=test, metrics="accuracy",
        early_stopping=30, scheduler=optim.lr_scheduler.CosineAnnealingLR(optimizer, 5), grad_noise=1e-3, clip_grad_norm=1.0,
        augment=lambda X, generator: X + generator.normal(0, 0.01, X.shape).astype(X.dtype), seed=5, target=target,
        checkpoint=folder / "run", checkpoint_every=2, log=folder / "log.jsonl", progress=False,
    )  # fmt: skip
    epochs = [{name: value for name, value in row.items() if name != "seconds"} for row in history.epochs]
    steps = {name: np.array(values) for name, values in history.steps.items()}
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epochs, "steps": steps}


def begin(started: Any, folder: Path, result: Path, target: str | None) -> None:
    """What a process does: say that it is there, go on in `folder`, and write the end to `result`."""
    started.set()
    checkpoints.save(result, run(folder, target))

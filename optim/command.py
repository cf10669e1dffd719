"""What `compgraph train` does: a data set by name or as a table, a model by name, and how good it is on examples it never saw.

>>> report = train("xor", hidden=(16,), epochs=30, lr=0.02, say=lambda line: None)
>>> report.measure, report.value > 0.9
('accuracy', True)
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph import nn
from compgraph.whole_files import write_whole
from optim import data as sets
from optim import first_order
from optim.data import Dataset
from optim.history import History
from optim.optimizer import Optimizer
from optim.training import fit

SETS: dict[str, Callable[..., Dataset]] = {
    "digits": sets.digits, "breast_cancer": sets.breast_cancer, "wine": sets.wine, "diabetes": sets.diabetes,
    **{toy.__name__: partial(toy, 400) for toy in (sets.moons, sets.circles, sets.spirals, sets.xor)},
}  # fmt: skip
MODELS = ("mlp", "linear", "cnn")
OPTIMIZERS = {name.lower(): kind for name, kind in vars(first_order).items() if isinstance(kind, type) and hasattr(kind, "rule")}
RATES = {"sgd": 0.1, "adam": 0.003, "adamw": 0.003}  # where the default is too small for a run this short
FEW = 20  # so many different whole numbers are classes, more are a quantity
PICTURES = (".png", ".svg", ".pdf")


class Report(NamedTuple):
    """How a run ended: the accuracy or R² on the held-out examples, the model and its history."""

    measure: str
    value: float
    model: Any
    history: History


def train(
    subject: str,
    *,
    target: str | None = None,
    task: str | None = None,
    model: str = "mlp",
    hidden: Sequence[int] = (64,),
    optimizer: str = "adam",
    lr: float | None = None,
    epochs: int = 30,
    batch_size: int | None = None,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    plot: str | os.PathLike[str] | None = None,
    log: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    say: Callable[[str], Any] = print,
) -> Report:
    """Train on four fifths of a data set and measure on the rest; each decision that was not asked for is said aloud.

    `subject` is one of `SETS` or the path of a CSV file, whose column `target` ("y" by default) is to be predicted. The
    task is classification where that column has words, or whole numbers of at most 20 different values, and regression
    otherwise. Raises `InputError` for names that there are not, options that do not go together and data that cannot be learnt.
    """
    if model not in MODELS:
        raise cg.InputError(f"no model {model!r:.40}; there are {', '.join(MODELS)}")
    if plot is not None:
        _check_picture(Path(plot))
    whole = _read(subject, target)
    if task is None:
        task = _task(whole, say)
    say(f"{subject}: {len(whole.X)} examples of {whole.X.shape[1]} features, {_described(whole, task)}: {task}")
    name = Path(subject).name
    y, labels, unit = _prepared(whole, task, name)
    shared = task == "classification" and bool(np.bincount(y).min() > 1)
    learnt, held_out = sets.split(whole.with_arrays(whole.X, y), 0.2, seed, stratify=shared)
    share = "with the same share of each class" if shared else "drawn at random"
    if subject == "digits":
        learnt, held_out = (part.with_arrays(part.X / np.float32(16), part.y) for part in (learnt, held_out))
        scaled = "pixels are divided by 16"
    else:
        learnt, held_out = sets.standardise(learnt, held_out)
        scaled = "features are scaled to mean 0 and variance 1 by the others"
    say(f"held out: {len(held_out.X)} examples, {share}; {scaled}")
    network = _model(model, subject, hidden, whole.X.shape[1], len(labels) or 1, seed)
    rule = _optimizer(optimizer, network, lr)
    batch_size = min(32, len(learnt.X)) if batch_size is None else batch_size
    count = sum(p.size for p in network.parameters())
    steps = f"{type(rule).__name__} with lr {rule.param_groups[0]['lr']:g}, {epochs} epochs of batches of {batch_size}"
    say(f"{model} with {count:,} parameters, {steps}")
    if checkpoint is not None:
        rate = rule.param_groups[0]["lr"]
        _same_run(Path(checkpoint), {
            "data": subject, "target": target, "task": task, "model": model, "hidden": list(hidden), "optimizer": optimizer.lower(),
            "lr": rate, "batch size": batch_size, "seed": seed, "content": hashlib.sha256(whole.X.tobytes() + y.tobytes()).hexdigest(),
        })  # fmt: skip
    measure = "accuracy" if labels else "r2"
    if not labels:
        learnt, held_out = (part.with_arrays(part.X, part.y[:, None]) for part in (learnt, held_out))
    history = fit(
        network, learnt, loss=nn.cross_entropy if labels else nn.mse, optimizer=rule, epochs=epochs, batch_size=batch_size,
        validation=held_out, metrics=measure, seed=seed, checkpoint=checkpoint, log=log, progress=progress,
    )  # fmt: skip
    say(str(history))
    if plot is not None:
        history.plot(plot)
        say(f"wrote {plot}")
    found, text = _measured(network, held_out, labels, unit)
    say(text)
    return Report(measure, found, network, history)


def _read(subject: str, target: str | None) -> Dataset:
    if subject in SETS:
        if target is not None:
            raise cg.InputError(f"--target names the column of a table; what {subject} is about is settled")
        return SETS[subject]()
    path = Path(subject)
    if not path.exists() and path.suffix not in (".csv", ".gz"):
        close = get_close_matches(subject, SETS, 1)
        hint = f"do you mean {close[0]}?" if close else f"there are {', '.join(SETS)}, or name a CSV file"
        raise cg.InputError(f"no data set and no file {subject!r:.80}; {hint}")
    table = sets.csv(path, target=target or "y")
    bad = np.argwhere(~np.isfinite(table.X))
    if len(bad):
        row, column = bad[0]
        place = f"row {row + 1} has {table.X[row, column]} in column {table.feature_names[column]!r}"
        raise cg.InputError(f"{subject}: {place}: fill it in, or leave it out")
    if table.y.dtype.kind == "f" and not np.all(np.isfinite(table.y)):
        row = int(np.flatnonzero(~np.isfinite(table.y))[0])
        raise cg.InputError(f"{subject}: row {row + 1} has {table.y[row]} as its target: leave it out")
    return table


def _task(whole: Dataset, say: Callable[[str], Any]) -> str:
    if whole.target_names:
        return "classification"
    if whole.y.dtype.kind == "f":
        return "regression"
    values = len(np.unique(whole.y))
    if 2 < values <= FEW:
        say(f"the target has {values} different whole numbers, which are taken for classes; --task regression takes them for a quantity")
    return "classification" if values <= FEW else "regression"


def _described(whole: Dataset, task: str) -> str:
    if task == "regression":
        return f"target from {whole.y.min():g} to {whole.y.max():g}"
    names = whole.target_names or [str(value) for value in np.unique(whole.y)]
    shown = ", ".join(names) if len(names) <= 10 else f"{', '.join(names[:8])}, ..., {names[-1]}"
    return f"target of {len(names)} classes ({shown})"


def _prepared(whole: Dataset, task: str, name: str) -> tuple[Any, list[str], float]:
    """y as labels from 0, or as numbers of mean 0 and variance 1, the names of the classes, and the deviation that y was divided by."""
    if task == "classification":
        values, y = np.unique(whole.y, return_inverse=True)
        if len(values) < 2:
            raise cg.InputError(f"{name}: the target is {values[0]} in all examples, so there is nothing to tell apart")
        return y.astype(np.int64), [str(value) for value in whole.target_names or values], 1.0
    if task != "regression":
        raise cg.InputError(f"task is classification or regression, not {task!r:.40}")
    if whole.target_names:
        raise cg.InputError(f"{name}: the target has words in it, such as {whole.target_names[-1]!r}, and a regression needs numbers")
    mean, deviation = float(np.mean(whole.y, dtype=np.float64)), float(np.std(whole.y, dtype=np.float64))
    if not deviation:
        raise cg.InputError(f"{name}: the target is {mean:g} in all examples, so there is nothing to learn")
    return ((whole.y - mean) / deviation).astype(whole.X.dtype), [], deviation


def _model(kind: str, subject: str, hidden: Sequence[int], features: int, outputs: int, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    if kind == "linear":
        return nn.Linear(features, outputs, generator=generator)
    if kind == "mlp":
        return nn.MLP(features, list(hidden), outputs, generator=generator)
    if subject != "digits":
        raise cg.InputError("the model cnn is for images: compgraph train digits --model cnn")
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1, generator=generator), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, generator=generator), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(128, outputs, generator=generator),
    )  # fmt: skip


def _optimizer(name: str, network: Any, lr: float | None) -> Optimizer:
    kind = OPTIMIZERS.get(name.lower())
    if kind is None:
        close = get_close_matches(name.lower(), OPTIMIZERS, 1)
        hint = f"do you mean {close[0]}?" if close else f"there are {', '.join(sorted(OPTIMIZERS))}"
        raise cg.InputError(f"no optimizer {name!r:.40}; {hint}")
    rate = RATES.get(name.lower()) if lr is None else lr
    optimizer: Optimizer = kind(network.parameters(), **({} if rate is None else {"lr": rate}))
    return optimizer


def _measured(network: Any, held_out: Dataset, labels: list[str], unit: float) -> tuple[float, str]:
    network.eval()
    with cg.no_grad():
        output = np.asarray(network(held_out.X).value)
    if labels:
        right = int(np.sum(np.argmax(output, axis=1) == held_out.y))
        return right / len(held_out.y), f"held-out accuracy {right / len(held_out.y):.4f} ({right} of {len(held_out.y)})"
    error = np.mean((output - held_out.y).astype(np.float64) ** 2)
    spread = np.var(held_out.y, dtype=np.float64)
    score = float(1 - error / spread) if spread else float("nan")
    typical, alone = (float(np.sqrt(part)) * unit for part in (error, spread))
    return score, f"held-out R² {score:.4f} (typical error {typical:.4g}; that of the mean alone is {alone:.4g})"


def _same_run(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse to go on with other settings: another seed, for one, would hold out examples that the model has learnt from."""
    path = folder / "settings.json"
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise cg.InputError(f"{path} is damaged: use another folder") from error
        other = [name for name in settings if not isinstance(before, dict) or before.get(name) != settings[name]]
        if other and isinstance(before, dict):
            name = other[0]
            what = "with other data" if name == "content" else f"with {name} {before.get(name)}, not {settings[name]}"
            raise cg.InputError(f"the run in {folder} was begun {what}: use another folder, or the settings of that run")
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(settings, indent=1) + "\n").encode())


def _check_picture(path: Path) -> None:
    """Before the training, which takes a while."""
    if path.suffix not in PICTURES:
        raise cg.InputError(f"--plot {path}: a plot is written as {', '.join(PICTURES)}")
    if not path.parent.is_dir():
        raise cg.InputError(f"--plot {path}: there is no folder {path.parent}")
    if find_spec("matplotlib") is None:
        raise cg.MissingDependencyError('a plot needs matplotlib, which is not installed: pip install "compgraph[plot]"')


__all__ = ["Report", "train"]

"""What a run was like: `History`, a row an epoch and a number a step, with its table, its picture and its log."""

from __future__ import annotations

import html
import json
import math
import os
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.whole_files import write_whole
from optim.history_plot import plot

STEP_COLUMNS = ("loss", "lr", "grad_norm")


class History:
    """The course of a training run, as `fit` returns it.

    >>> history = History()
    >>> history.add_step(loss=0.7, lr=0.1, grad_norm=2.0)
    >>> history.add_epoch({"epoch": 1, "loss": 0.7, "val_loss": 0.9, "val_accuracy": 0.5})
    >>> history.add_epoch({"epoch": 2, "loss": 0.3, "val_loss": 0.4, "val_accuracy": 0.75})
    >>> history
    epoch   loss  val_loss  val_accuracy
        1  0.700     0.900         0.500
        2  0.300     0.400         0.750
    >>> history["val_loss"], history.steps["lr"], history.best("val_loss")
    (array([0.9, 0.4]), array([0.1]), 2)

    `epochs` holds a dict an epoch; `history[name]` is the column of that name, NaN where an epoch has none. `steps[name]` has a number
    for each update: "loss", "lr" (of the first parameter group) and "grad_norm" (before clipping). Losses of a step are those
    before its update, the loss of an epoch is their mean over its examples, and times are in seconds.

    `interrupted` says whether the run was, `stopped` why it ended before its last epoch, and `best_epoch` from which epoch
    the weights are, where early stopping has restored them.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self._steps = {name: array("d") for name in STEP_COLUMNS}
        self.interrupted = False
        self.stopped = ""
        self.best_epoch: int | None = None

    # --------------------------------------------------------------------------------------- what is in it

    @property
    def columns(self) -> list[str]:
        """The names of what the epochs have."""
        return list(dict.fromkeys(name for row in self.epochs for name in row))

    @property
    def steps(self) -> dict[str, np.ndarray[Any, Any]]:
        """A vector a column, with an entry for each update."""
        return {name: np.array(values) for name, values in self._steps.items()}

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        if name not in self.columns:
            raise KeyError(f"there is no column {name!r}; the epochs have {', '.join(self.columns) or 'nothing yet'}")
        return np.array([row.get(name, math.nan) for row in self.epochs])

    def __len__(self) -> int:
        return len(self.epochs)

    @property
    def last(self) -> dict[str, float]:
        """The latest epoch; empty before the first is over."""
        return self.epochs[-1] if self.epochs else {}

    def best(self, name: str, mode: str = "auto") -> int:
        """The number of the epoch, from 1, with the lowest value, or with the highest for "max" and for an accuracy."""
        values = self[name]
        if np.all(np.isnan(values)):
            raise cg.InputError(f"all values of {name!r} are NaN{cg.here()}")
        found = np.nanargmax(values) if is_maximised(name, mode) else np.nanargmin(values)
        return int(self.epochs[int(found)].get("epoch", found + 1))

    # --------------------------------------------------------------------------------------------- growing

    def add_step(self, loss: float, lr: float, grad_norm: float) -> None:
        steps = self._steps
        steps["loss"].append(loss)
        steps["lr"].append(lr)
        steps["grad_norm"].append(grad_norm)

    def add_epoch(self, row: Mapping[str, float]) -> None:
        self.epochs.append(dict(row))

    # --------------------------------------------------------------------------------------------- texts

    def __repr__(self) -> str:
        if not self.epochs:
            return "History: no epoch is over"
        lines = ["  ".join(cells) for cells in self._aligned()]
        return "\n".join([*lines, *filter(None, [self._ending()])])

    def _rows(self) -> list[list[str]]:
        """The table's cells; of a long run its first and last epochs."""
        chosen = self.epochs if len(self.epochs) <= 24 else [*self.epochs[:10], {}, *self.epochs[-10:]]
        return [[_shown(name, row[name]) if name in row else "..." * (not row) for name in self.columns] for row in chosen]

    def _aligned(self) -> list[list[str]]:
        rows = [self.columns, *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]

    def _ending(self) -> str:
        parts = ["interrupted"] * self.interrupted + [self.stopped] * bool(self.stopped)
        parts += [f"weights of epoch {self.best_epoch}"] * (self.best_epoch is not None)
        return "; ".join(parts)

    def _repr_html_(self) -> str:
        def line(cells: Iterable[str], tag: str) -> str:
            return "<tr>" + "".join(f'<{tag} style="text-align: right">{html.escape(cell)}</{tag}>' for cell in cells) + "</tr>"

        rows = "".join(line(cells, "td") for cells in self._rows())
        ending = f"<p>{html.escape(self._ending())}</p>" if self._ending() else ""
        return f"<table><thead>{line(self.columns, 'th')}</thead><tbody>{rows}</tbody></table>{ending}"

    def to_json(self) -> str:
        """All of it as a JSON text; NaN and infinities, which JSON has not, are null."""
        return json.dumps(_plain({**self.state_dict(), "steps": {name: list(values) for name, values in self._steps.items()}}))

    # --------------------------------------------------------------------------------------------- pictures

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Losses, metrics, rate and gradient norms in one figure of matplotlib; written to `path` if there is one.

        Needs the extra `plot`. The curves of the steps are drawn pale, the means of the epochs over them.
        """
        return plot(self, path)

    # --------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes: numbers, texts and arrays."""
        return {
            "epochs": [dict(row) for row in self.epochs], "steps": self.steps, "interrupted": self.interrupted, "stopped": self.stopped,
            "best_epoch": self.best_epoch,
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Become the history that `state_dict()` was taken of."""
        known = isinstance(state_dict, Mapping) and set(state_dict) == set(self.state_dict())
        if not known or set(state_dict["steps"]) != set(STEP_COLUMNS):
            raise cg.InputError(f"History.load_state_dict takes what state_dict returns{cg.here()}")
        self.epochs = [dict(row) for row in state_dict["epochs"]]
        self._steps = {name: array("d", np.asarray(state_dict["steps"][name], float).tobytes()) for name in STEP_COLUMNS}
        self.interrupted, self.stopped = bool(state_dict["interrupted"]), str(state_dict["stopped"])
        self.best_epoch = state_dict["best_epoch"]


class Log:
    """A file with a line of JSON for each epoch, flushed as it is written.

    `begin(kept)` starts the file with the epochs of the history that go on from a checkpoint; a file that is there already is then
    replaced whole. Raises `InputError` for a path that cannot be written to, before anything else happens.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            if not self.path.parent.is_dir():
                raise FileNotFoundError(2, f"there is no folder {self.path.parent}")
            with open(self.path, "a", encoding="utf-8"):
                pass
        except OSError as error:
            raise cg.InputError(f"the log cannot be written to {self.path}: {error.strerror or error}{cg.here()}") from error

    def begin(self, kept: Iterable[Mapping[str, float]] = ()) -> None:
        write_whole(self.path, "".join(map(_line, kept)).encode())

    def write(self, row: Mapping[str, float]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_line(row))


def is_maximised(name: str, mode: str = "auto") -> bool:
    """Whether more of a measure is better: said by `mode`, or else by its name.

    >>> is_maximised("val_accuracy"), is_maximised("val_loss"), is_maximised("val_mine", "max")
    (True, False, True)
    """
    if mode not in ("auto", "min", "max"):
        raise cg.InputError(f"mode is 'auto', 'min' or 'max', not {mode!r:.40}{cg.here()}")
    return mode == "max" or (mode == "auto" and any(part in name for part in ("accuracy", "auc", "f1", "r2", "precision", "recall")))


def _line(row: Mapping[str, float]) -> str:
    return json.dumps(_plain(dict(row))) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def _shown(name: str, value: float) -> str:
    if name == "epoch" or isinstance(value, int):
        return str(value)
    if not math.isfinite(value) or value == 0:
        return str(value)
    return f"{value:.3f}" if 0.01 <= abs(value) < 10_000 else f"{value:.2e}"


__all__ = ["History", "Log", "is_maximised"]

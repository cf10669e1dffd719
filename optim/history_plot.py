"""The picture of a `History`."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.whole_files import write_whole

_NO_METRIC = {"epoch", "loss", "val_loss", "lr", "grad_norm", "seconds"}


def plot(history: Any, path: str | os.PathLike[str] | None = None) -> Any:
    """The figure, with a panel each for losses, metrics, rate and gradient norm, as far as there are any."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise cg.MissingDependencyError('a plot needs matplotlib, which is not installed: pip install "compgraph[plot]"') from error
    steps = history.steps
    updates = len(steps["loss"])
    if not updates and not history.epochs:
        raise cg.InputError(f"there is nothing to plot: no step has been taken{cg.here()}")
    ends = np.array([row.get("step", np.nan) for row in history.epochs], float)  # how many updates were made by then
    if np.any(np.isnan(ends)):
        ends = np.linspace(0, max(updates, len(ends)), len(ends) + 1)[1:]
    metrics = [name for name in history.columns if name not in _NO_METRIC and name != "step"]
    panels = ["loss", *["metrics"] * bool(metrics), "rate", "gradient norm"] if updates else ["loss", *["metrics"] * bool(metrics)]
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    axes: Any = dict(zip(panels, np.atleast_1d(figure.subplots(1, len(panels), squeeze=False)[0]), strict=True))

    if updates:
        numbers = np.arange(1, updates + 1)
        axes["loss"].plot(numbers, steps["loss"], color="C0", alpha=0.25, linewidth=0.8)
        axes["rate"].plot(numbers, steps["lr"], color="C2")
        axes["gradient norm"].plot(numbers, steps["grad_norm"], color="C4", linewidth=0.8)
    for name, color in (("loss", "C0"), ("val_loss", "C1")):
        if name in history.columns:
            label = {"loss": "training", "val_loss": "validation"}[name]
            axes["loss"].plot(ends, history[name], color=color, marker=".", label=label)
    for number, name in enumerate(metrics):
        axes["metrics"].plot(ends, history[name], color=f"C{number}", marker=".", label=name.replace("_", " "))
    if history.best_epoch is not None and history.best_epoch <= len(ends):
        axes["loss"].axvline(ends[history.best_epoch - 1], color="grey", linestyle=":", label=f"best, epoch {history.best_epoch}")
    for title, panel in axes.items():
        panel.set_title(title)
        panel.set_xlabel("step")
        positive = np.concatenate([np.asarray(line.get_ydata(), float) for line in panel.get_lines()] or [np.ones(1)])
        positive = positive[np.isfinite(positive)]
        if title in ("loss", "gradient norm") and positive.size and positive.min() > 0 and positive.max() > 50 * positive.min():
            panel.set_yscale("log")
        if title != "rate" and panel.get_legend_handles_labels()[0]:
            panel.legend(frameon=False, fontsize="small")
    if path is not None:
        _save(figure, Path(path))
    return figure


def _save(figure: Any, path: Path) -> None:
    picture = io.BytesIO()
    try:
        figure.savefig(picture, dpi=110, format=path.suffix[1:] or "png")
        write_whole(path, picture.getvalue())
    except (OSError, ValueError) as error:
        raise cg.InputError(f"the plot cannot be written to {path}: {error}{cg.here()}") from error

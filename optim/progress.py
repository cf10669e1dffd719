"""One line on the terminal while a run goes on: how far it is, at which rate, the loss, and the time that is left."""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec
from typing import Any

import compgraph as cg

EVERY = 0.1  # seconds between two looks of the line


def wanted(progress: bool | None) -> bool:
    """Whether to show a line: as it was said, or else where a person looks on and tqdm is installed."""
    if progress is not None:
        if progress and find_spec("tqdm") is None:
            raise cg.MissingDependencyError('progress=True needs tqdm, which is not installed: pip install "compgraph[train]"')
        return bool(progress)
    return not os.environ.get("CI") and sys.stderr is not None and sys.stderr.isatty() and find_spec("tqdm") is not None


class Progress:
    """The line of a run of `total` steps, of which `done` were made before; `total` None where nobody knows.

    >>> with Progress(False, total=10, epochs=2) as progress:
    ...     progress.step(epoch=1, loss=0.5)

    A step costs a look at the clock; the line is written ten times a second.
    """

    def __init__(self, show: bool, total: int | None, epochs: int, done: int = 0) -> None:
        self.bar: Any = None
        self.epochs, self.done, self.metrics = epochs, done, ""
        self._next = 0.0
        if show:
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True, file=sys.stderr, miniters=1, mininterval=0)

    def step(self, epoch: int, loss: float) -> None:
        if self.bar is None:
            return
        self.done += 1
        now = time.monotonic()
        if now >= self._next:
            self._next = now + EVERY
            self._draw(epoch, loss)

    def epoch(self, epoch: int, row: dict[str, float]) -> None:
        """Take in the measures of an epoch that is over."""
        if self.bar is not None:
            self.metrics = "".join(f", {name} {value:.4g}" for name, value in row.items() if name.startswith("val_") or name == "accuracy")
            self._draw(epoch, row["loss"])

    def _draw(self, epoch: int, loss: float) -> None:
        self.bar.set_description_str(f"epoch {epoch}/{self.epochs}", refresh=False)
        self.bar.set_postfix_str(f"loss {loss:.4g}{self.metrics}", refresh=False)
        self.bar.update(self.done - self.bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

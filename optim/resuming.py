"""Whether a checkpoint is of the run that goes on from it: its data, seed, model, loss and optimizer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

import compgraph as cg
from optim.feed import Arrays, Feed, Part, Stream, name_of

WHOLE = 2**24  # bytes of an array that are looked at; of a larger one some rows
ROWS = 1024
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def settings_of(run: Any, **arguments: Any) -> dict[str, Any]:
    """What the bits of a run depend on, as texts and numbers, to be kept in its checkpoints.

    Data are a digest. Of a function only its name is known, so another one of the same name passes.
    """
    key = None if run.sampler is None else run.sampler.key
    return {
        **{name: _text(value) for name, value in arguments.items()}, "data": _data(run.feed),
        "validation": None if run.validation is None else _data(run.validation), "order": None if key is None else _digest(key),
        "model": _text(run.model), "loss": _text(run.loss), "augment": _text(run.augment), "optimizer": type(run.optimizer).__name__,
        "hyperparameters": hyperparameters(run.optimizer.param_groups),
    }  # fmt: skip


def hyperparameters(groups: Any) -> list[dict[str, Any]]:
    """Those of each parameter group, as texts."""
    return [{name: _text(value) for name, value in group.items() if name not in ("params", "param_names")} for group in groups]


def check_same(begun: Mapping[str, Any], now: Mapping[str, Any], left: Any) -> None:
    """Raise `InputError` for what differs; hyperparameters may also be those that the saved run had come to, the groups `left`."""
    for name in now:
        before = begun.get(name)
        if before == now[name]:
            continue
        if name in ("data", "validation", "order", "model"):
            raise cg.InputError(f"it was begun with another {name}{cg.here()}")
        if name != "hyperparameters":
            raise cg.InputError(f"it was begun with {name} {before}, not {now[name]}{cg.here()}")
        if hyperparameters(left) != now[name]:
            raise cg.InputError(f"it was begun with {_other(before or [], now[name])}{cg.here()}")


def _other(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> str:
    for was, group in zip(before, now, strict=False):
        for name in {**was, **group}:
            if was.get(name) != group.get(name):
                return f"{name} {was.get(name)}, not {group.get(name)}"
    return f"{len(before)} groups of parameters, not {len(now)}"


def _data(feed: Feed) -> str:
    if isinstance(feed, Stream):
        return "a stream"
    if isinstance(feed, Part):
        return f"{_data(feed.whole)}, of it {_digest(feed.indices)}"
    assert isinstance(feed, Arrays)
    if feed.source is not None:  # what it gives may be drawn at random
        return f"a source of {feed.size}"
    return _digest(feed.X) if feed.y is feed.X else f"{_digest(feed.X)} {_digest(feed.y)}"


def _digest(array: Any) -> str:
    """Of the dtype, the shape and the entries, or of `ROWS` rows of a large array."""
    some = array if array.nbytes <= WHOLE else array[np.linspace(0, len(array) - 1, ROWS).astype(int)]
    digest = hashlib.blake2b(f"{array.dtype.str} {array.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(some).data)
    return digest.hexdigest()


def _text(value: Any) -> Any:
    """A number, text or None as it is, a function as its name, and anything else as its `repr` without addresses."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, partial):
        return f"{name_of(value)}({', '.join(f'{name}={_text(part)}' for name, part in sorted(value.keywords.items()))})"
    if callable(value) and hasattr(value, "__name__"):
        return name_of(value)
    return _ADDRESS.sub("", repr(value))


__all__ = ["check_same", "settings_of"]

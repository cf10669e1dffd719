"""State of a run in files that are whole or absent: arrays as safetensors, everything else as JSON in the same file's header.

>>> import tempfile
>>> folder = tempfile.mkdtemp()
>>> generator = np.random.default_rng(0)
>>> checkpointer = Checkpointer(folder, keep=2)
>>> for step in range(1, 4):
...     path = checkpointer.save({"w": np.full(2, 0.5), "generator": generator.bit_generator.state}, step)
>>> checkpointer
Checkpointer(..., keep=2): steps 2, 3
>>> state, step = Checkpointer(folder).latest()
>>> state["w"], state["generator"] == generator.bit_generator.state
(array([0.5, 0.5]), True)

A state is a tree of dicts, lists and tuples whose leaves are arrays, NumPy scalars, Python numbers, strings, booleans and None. All
come back to the bit: dtypes with their byte order, NaN payloads in arrays, integers of any size, tuples as tuples, dict keys that are
numbers, and an array in Fortran's order in that order, since a matrix product rounds differently in the other one.

The file is a valid safetensors file, so other tools can look at the arrays; nothing in it is ever executed. Its header holds the
tree and a SHA-256 over the tree and all bytes. `load` refuses what does not match it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.origins import stack_level
from compgraph.whole_files import write_whole

VERSION = 1
_STORED = "?bhilqBHILQefdF"  # the dtypes that safetensors has a name for; others are stored as their bytes
_PLAIN = (bool, int, str, type(None))
_DTYPE = re.compile(r"[<>|][bcfimuMSU]\d+(\[\w+\])?")
_NAME = re.compile(r"step-(\d+)\.safetensors")
_LEFTOVER = re.compile(r"\.(step-\d+\.safetensors|writable)\.[0-9a-f]{12}")

Array = np.ndarray[Any, np.dtype[Any]]


class CheckpointError(cg.CompgraphError, ValueError):
    """A file that is no checkpoint, or a damaged one; the message says which and why."""


class CheckpointWarning(UserWarning):
    """A checkpoint was not written, or one that is there cannot be used; the run goes on."""


# ---------------------------------------------------------------------------------------------- one file


def save(path: str | os.PathLike[str], state: Any) -> Path:
    """Write `state` to `path`, whole or not at all; the path.

    The bytes go to a temporary file beside it, are flushed to the disk, and that file takes the name: at each moment there is
    either the old file or the new one. Equal states give equal files. Raises `InputError` for a leaf that is no number, text
    or array, with its place, and `OSError` where the file cannot be written.
    """
    return write_whole(path, to_bytes(state))


def load(path: str | os.PathLike[str]) -> Any:
    """The state in a file that `save` wrote, in arrays of its own; `CheckpointError` for any other file."""
    path = Path(path)
    open_file, refusals = _safetensors()
    with open(path, "rb"):  # an OSError with the path in it, where there is one
        pass
    try:
        with open_file(path, framework="numpy") as file:
            header = (file.metadata() or {}).get("compgraph")
            if header is None:
                raise CheckpointError(f"{path} is a safetensors file, but not a checkpoint of compgraph{cg.here()}")
            names = file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
        document = json.loads(header)
        if document["version"] != VERSION:
            said = f"{path} has version {document['version']!r:.20} of the form, this compgraph reads version {VERSION}"
            raise CheckpointError(f"{said}: use the compgraph that wrote it{cg.here()}")
        if _digest(document["state"], arrays) != document["sha256"]:
            raise CheckpointError(f"{path} is damaged: its content does not match its checksum{cg.here()}")
        return _decoded(document["state"], arrays)
    except CheckpointError:
        raise
    except (refusals, ValueError, TypeError, LookupError, RecursionError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} is damaged, or not a checkpoint of compgraph: {reason:.200}{cg.here()}") from error


def to_bytes(state: Any) -> bytes:
    """What `save` writes."""
    _safetensors()
    from safetensors import numpy as safetensors

    arrays: dict[str, Array] = {}
    try:
        tree = _encoded(state, "state", arrays)
    except RecursionError:
        raise cg.InputError(f"the state holds itself, or is nested too deeply for a checkpoint{cg.here()}") from None
    document = {"version": VERSION, "sha256": _digest(tree, arrays), "state": tree}
    content: bytes = safetensors.save(arrays, {"compgraph": _text(document)})
    return content


def _safetensors() -> tuple[Any, type[Exception]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise cg.MissingDependencyError('checkpoints need safetensors, which is not installed: pip install "compgraph[train]"') from error
    return safe_open, SafetensorError


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _digest(tree: Any, arrays: Mapping[str, Array]) -> str:
    """Over the tree, which says each array's name, dtype and shape, and over the arrays' bytes."""
    digest = hashlib.sha256(_text(tree).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _encoded(value: Any, place: str, arrays: dict[str, Array]) -> Any:
    """`value` as JSON, with its arrays put into `arrays`; what JSON has not is a dict with one key that begins with $."""
    if type(value) is int and value.bit_length() > 128:  # beyond some thousand digits Python reads and writes no decimals
        return {"$int": hex(value)}
    if type(value) in _PLAIN:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": value.hex()}
    if type(value) is complex:
        return {"$complex": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, np.generic) or type(value) in (np.ndarray, np.memmap):
        return _encoded_array(value, place, arrays)
    if isinstance(value, Mapping):
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _encoded(entry, f"{place}.{key}", arrays) for key, entry in value.items()}
        keys = [_encoded(key, f"a key of {place}", arrays) for key in value]
        return {"$dict": [[key, _encoded(entry, f"{place}.{key}", arrays)] for key, entry in zip(keys, value.values(), strict=True)]}
    if isinstance(value, list | tuple):
        entries = [_encoded(entry, f"{place}.{number}", arrays) for number, entry in enumerate(value)]
        return entries if isinstance(value, list) else {"$tuple": entries}
    hint = "; save its value" if isinstance(value, cg.Node) else ""
    what = f"{place} is a {type(value).__name__}"
    raise cg.InputError(f"{what}, and a checkpoint holds arrays, numbers, text, lists and dicts{hint}{cg.here()}")


def _encoded_array(value: Any, place: str, arrays: dict[str, Array]) -> dict[str, Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "?bcfiuSUMm":
        raise cg.InputError(f"{place} is an array of dtype {array.dtype}, which a checkpoint cannot hold{cg.here()}")
    name = unique = place.removeprefix("state.").encode("utf-8", "replace").decode()
    for number in range(2, len(arrays) + 3):
        if unique not in arrays and unique != "__metadata__":  # safetensors has taken that one
            break
        unique = f"{name}#{number}"
    entry: dict[str, Any] = {"$array": unique, "dtype": array.dtype.str, "shape": list(array.shape)}
    if isinstance(value, np.generic):
        entry["scalar"] = True
    elif array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous:
        entry["order"] = "F"
    native = array.astype(array.dtype.newbyteorder("="), order="C")
    arrays[unique] = native if native.dtype.char in _STORED else np.frombuffer(array.tobytes(), np.uint8)
    return entry


def _decoded(value: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(value, list):
        return [_decoded(entry, arrays) for entry in value]
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), "")
    if not kind.startswith("$"):
        return {key: _decoded(entry, arrays) for key, entry in value.items()}
    if kind == "$array":
        return _decoded_array(value, arrays)
    held = value[kind]
    if kind == "$dict":
        return {_decoded(key, arrays): _decoded(entry, arrays) for key, entry in held}
    if kind == "$tuple":
        return tuple(_decoded(entry, arrays) for entry in held)
    if kind == "$int":
        return int(held, 16)
    if kind == "$float":
        return float.fromhex(held)
    if kind == "$complex":
        return complex(float.fromhex(held[0]), float.fromhex(held[1]))
    raise ValueError(f"{kind} is unknown")


def _decoded_array(entry: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
    if not _DTYPE.fullmatch(entry["dtype"]):
        raise ValueError(f"{entry['dtype']!r} is no dtype of a checkpoint")
    stored, dtype, shape = arrays[entry["$array"]], np.dtype(entry["dtype"]), tuple(entry["shape"])
    if dtype.char not in _STORED:
        stored = np.ndarray(shape, dtype, buffer=stored.tobytes())
    elif (stored.shape, stored.dtype) != (shape, dtype.newbyteorder("=")):
        raise ValueError(f"{entry['$array']} is {stored.dtype}{list(stored.shape)} and should be {dtype}{list(shape)}")
    array = np.array(stored, dtype, order=entry.get("order", "C"))
    return array[()] if entry.get("scalar") else array


# ---------------------------------------------------------------------------------------------- a folder of them


class Checkpointer:
    """The newest `keep` checkpoints of one run, in one folder, which is made if need be.

    `save` never ends a run: a full disk is a `CheckpointWarning`, and the checkpoints that are there stay. `latest` returns the newest
    that is sound; of one that is not it says the reason in a `CheckpointWarning`. Files of other names are left alone.
    Raises `InputError` at once for a folder that cannot be written to. One run a folder: two would delete each other's files.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2) -> None:
        if isinstance(keep, bool) or not isinstance(keep, int | np.integer) or keep < 1:
            raise cg.InputError(f"keep is how many checkpoints stay, 1 or more, not {keep!r:.40}{cg.here()}")
        _safetensors()
        if not os.fspath(folder):
            raise cg.InputError(f"checkpoints need a folder, such as 'run/'; '' names none{cg.here()}")
        self.folder, self.keep = Path(folder), int(keep)
        self._refused: set[Path] = set()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.iterdir():
                if _LEFTOVER.fullmatch(path.name):  # of a run that was killed while it wrote
                    path.unlink(missing_ok=True)
            _probe(self.folder)
        except OSError as error:
            raise cg.InputError(f"checkpoints cannot be written to {self.folder}: {error.strerror or error}{cg.here()}") from error

    def save(self, state: Any, step: int) -> Path | None:
        """Write the checkpoint of `step` and delete the oldest; its path, or None where it could not be written.

        Raises `InputError` where the folder holds a later step than this one, which `latest` would return in its place.
        """
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or step < 0:
            raise cg.InputError(f"step is a whole number, 0 or more, not {step!r:.40}{cg.here()}")
        sound = {number: path for number, path in self._files().items() if path not in self._refused}
        if sound and max(sound) > step:
            said = f"{self.folder} holds step {max(sound)} already, which comes after step {step}"
            raise cg.InputError(f"{said}: go on from latest(), or use another folder{cg.here()}")
        path = self.folder / f"step-{step:09d}.safetensors"
        try:
            save(path, state)
        except OSError as error:
            stays = f"that of step {max(sound)} stays" if sound else "there is none yet"
            text = f"no checkpoint of step {step}: {error.strerror or error} ({path}); {stays}, and the run goes on"
            warnings.warn(text, CheckpointWarning, stacklevel=stack_level())
            return None
        self._refused.discard(path)
        sound[int(step)] = path
        for number in sorted(sound)[: -self.keep]:
            with contextlib.suppress(OSError):  # one file too many harms nobody
                sound[number].unlink(missing_ok=True)
        return path

    def latest(self) -> tuple[Any, int] | None:
        """The newest sound state and its step; None where there is none."""
        for step, path in sorted(self._files().items(), reverse=True):
            try:
                state = load(path)
            except (CheckpointError, OSError) as error:
                self._refused.add(path)
                reason = re.sub(r" \([^()\s]+:\d+\)$", "", str(error))  # `warn` says the line itself
                warnings.warn(f"{reason}. The one before it is used, if there is one", CheckpointWarning, stacklevel=stack_level())
            else:
                self._refused.discard(path)
                return state, step
        return None

    def _files(self) -> dict[int, Path]:
        found = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return {int(name[1]): path for name, path in found if name}

    def __repr__(self) -> str:
        steps = ", ".join(str(step) for step in sorted(self._files())) or "none yet"
        return f"Checkpointer({str(self.folder)!r}, keep={self.keep}): steps {steps}"


def _probe(folder: Path) -> None:
    probe = folder / f".writable.{secrets.token_hex(6)}"
    with open(probe, "xb"):
        pass
    probe.unlink()


__all__ = ["CheckpointError", "CheckpointWarning", "Checkpointer", "load", "save", "to_bytes"]

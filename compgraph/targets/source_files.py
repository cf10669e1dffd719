"""Source text -> compiled functions, kept on disk, so that the next process does not compile them again."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compgraph import programs
from compgraph.targets import vector_math
from compgraph.whole_files import write_whole


def folder() -> Path | None:
    """Where compiled code is kept: COMPGRAPH_CACHE_DIR, or compgraph in the user's cache. None where nothing can be written."""
    chosen = os.environ.get("COMPGRAPH_CACHE_DIR")
    path = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compgraph"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return path if os.access(path, os.W_OK) else None


def kept(source: str, numba: Any, options: dict[str, Any]) -> Path | None:
    """The file of that source. It is written whole or not at all, and never again: numba's index goes by its time and size."""
    home = folder()
    if home is None:
        return None
    versions = f"{sys.version} {np.__version__} {numba.__version__} {vector_math.VERSION} {sorted(map(str, options.items()))}"
    key = hashlib.sha256((versions + source).encode()).hexdigest()[:24]
    path = home / f"program_{key}.py"
    try:
        if not path.exists() or path.read_text(encoding="utf-8") != source:
            write_whole(path, source.encode())
    except OSError:
        return None
    return path


def compiled(
    numba: Any, source: str, functions: Sequence[tuple[str, Sequence[Any]]], namespace: dict[str, Any], options: dict[str, Any]
) -> dict[str, Any]:
    """The functions that `source` defines, each compiled for the types of its arguments."""
    if not functions:
        return {}
    path = kept(source, numba, options)
    made = {}
    for name, types in functions:
        function = programs.define(source, name, namespace, title=name, filename=str(path) if path else None)
        signature = numba.types.void(*types)
        dispatcher = numba.njit(cache=path is not None, **options)(function)
        try:
            dispatcher.compile(signature)
        except Exception:
            if path is None:
                raise
            dispatcher = numba.njit(**options)(function)  # whatever stands on the disk, the text is sound or fails again
            dispatcher.compile(signature)
        made[name] = dispatcher.get_overload(signature)
    return made

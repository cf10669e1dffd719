"""Write cupy_names.json: what CuPy has, and the parameters of its functions, for the stand-in to be as strict.

    python tests/gpu/make_cupy_names.py

It needs CuPy, in any version that is to be the one that counts, and no device.
"""

from __future__ import annotations

import inspect
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

PLACES = (
    "cupy", "cupy.linalg", "cupy.fft", "cupy.lib.stride_tricks", "cupy.cuda", "cupy.cuda.runtime", "cupy.cuda.cublas", "cupy.cuda.device",
    "cupyx", "cupyx.scipy.special",
)  # fmt: skip
CLASSES = ("cupy.ndarray", "cupy.ufunc", "cupy.cuda.Stream", "cupy.cuda.Graph", "cupy.cuda.Device", "cupy.cuda.MemoryPool")


def parameters(function: Any) -> list[str] | None:
    """The names of a function's parameters; None where it takes any, or does not say."""
    if not inspect.isfunction(function):
        return None
    found = inspect.signature(function).parameters.values()
    return None if any(one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL) for one in found) else [one.name for one in found]


def found() -> dict[str, Any]:
    cupy = import_module("cupy")
    names: dict[str, Any] = {}
    for place in PLACES:
        module: Any = cupy
        for part in place.split(".")[1:] if place.startswith("cupy.") else ():
            module = getattr(module, part)
        if not place.startswith("cupy."):
            module = import_module(place)
        names[place] = {name: parameters(getattr(module, name)) for name in sorted(dir(module)) if not name.startswith("_")}
    for place in PLACES:
        parent, _, name = place.rpartition(".")
        if parent in names:
            names[parent].setdefault(name, None)  # some modules come when they are asked for
    for place in CLASSES:
        owner: Any = cupy
        for part in place.split(".")[1:]:
            owner = getattr(owner, part)
        kept = [name for name in dir(owner) if not name.startswith("_") or (name.startswith("__") and name.endswith("__"))]
        names[place] = dict.fromkeys(sorted(kept))
    return {"version": cupy.__version__, "names": names}


if __name__ == "__main__":
    text = json.dumps(found(), sort_keys=True).replace('}, "cupy', '},\n"cupy')
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("cupy_names.json")
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: {len(text) // 1024} KiB")

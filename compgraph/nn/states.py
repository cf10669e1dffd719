"""`state_dict` and `load_state_dict` of modules: flat dicts of dotted names and arrays, which any format can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.backend import beside, on_host
from compgraph.nn.substitution import places_of


def saved_names(module: Any) -> list[str]:
    """What a state holds: every parameter, and every buffer that is persistent."""
    buffers = [
        f"{path}.{name}" if path else name
        for path, part in module.named_modules()
        for name, persistent in part._buffers.items()
        if persistent and part.__dict__[name] is not None
    ]
    return [name for name, _ in module.named_parameters()] + buffers


def state_dict(module: Any) -> dict[str, Any]:
    places = places_of(module)
    state = {}
    for name in saved_names(module):
        part, attribute = places[name][0]
        held = part.__dict__[attribute]
        state[name] = np.array(on_host(held.value if isinstance(held, cg.Node) else held))
    return state


def load_state_dict(module: Any, state: Mapping[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
    title = f"{type(module).__name__}.load_state_dict"
    if not isinstance(state, Mapping):
        raise cg.InputError(f"{title} takes a dict of names and arrays, as state_dict returns it, not {type(state).__name__}{cg.here()}")
    places, names = places_of(module), saved_names(module)
    known = {name: state[name] for name in state if name in places}
    reached = {place for name in known for place in map(_key, places[name])}
    missing = [name for name in names if _key(places[name][0]) not in reached]
    unexpected = [str(name) for name in state if name not in places]
    found = {"missing": missing, "unexpected": unexpected} if strict else {}
    faults = [f"{kind}: {', '.join(listed)}" for kind, listed in found.items() if listed]
    loaded = {}
    for name, value in known.items():
        part, attribute = places[name][0]
        held = part.__dict__[attribute]
        given = np.asarray(on_host(value))
        if given.dtype.kind not in "fiubc" or (given.dtype.kind == "c" and held.dtype.kind != "c"):
            faults.append(f"{name} is {held.dtype} and cannot hold {given.dtype}")
        elif given.shape != held.shape:
            faults.append(f"{name} has shape {held.shape}, the state has {given.shape}")
        else:
            with np.errstate(over="ignore"):
                loaded[name] = given.astype(held.dtype)
            if np.any(np.isinf(loaded[name]) & np.isfinite(given)):
                faults.append(f"{name} is {held.dtype} and cannot hold {given[np.isinf(loaded[name]) & np.isfinite(given)][0]:g}")
    if faults:
        raise cg.InputError(f"{title} changed nothing. " + "; ".join(faults) + cg.here())
    for name, given in loaded.items():
        for part, attribute in places[name][:1]:
            if attribute in part._parameters:
                parameter = part.__dict__[attribute]
                parameter.value = beside(given if given.ndim else given[()], parameter.value)
            else:
                part.__dict__[attribute] = beside(given, part.__dict__[attribute])
    return missing, unexpected


def _key(place: tuple[Any, str]) -> tuple[int, str]:
    return id(place[0]), place[1]

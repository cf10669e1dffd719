"""The parameters that an optimizer is given, their names in messages, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph.backend import as_array, beside, is_on_device

Group = dict[str, Any]


class Place(NamedTuple):
    """A parameter and where it is; in a message as `w (float64 (2, 3), parameter 0 of group 1)`."""

    p: Any
    group: Group
    number: int  # of the group
    place: int  # in the group

    def __str__(self) -> str:
        name = self.group["param_names"][self.place] if self.group.get("param_names") else self.p.name
        where = f"parameter {self.place} of group {self.number}"
        shape = f"{self.p.dtype} {self.p.shape}"
        return f"{name} ({shape}, {where})" if name else f"{where} ({shape})"


def groups_of(params: Any, name: str) -> list[Any]:
    if isinstance(params, (cg.Node, Mapping, str)) or not isinstance(params, Iterable):
        raise cg.InputError(f"{name} takes a list of variables or of groups, not {params!r:.60}: write [w] for one variable{cg.here()}")
    given = list(params)
    if not given:
        raise cg.InputError(
            f"{name} got an empty list of parameters: there is nothing to optimize (a generator that was used up?){cg.here()}"
        )
    return given if any(isinstance(part, Mapping) for part in given) else [{"params": given}]


def variables_of(params: Any, name: str) -> tuple[list[Any], list[str]]:
    """The variables of a group, and their names if they are given as pairs."""
    if isinstance(params, (set, frozenset, str, Mapping)) or not isinstance(params, (cg.Node, Iterable)):
        kind = type(params).__name__
        raise cg.InputError(f"{name}: the parameters of a group are a list of variables, in an order that stays, not {kind}{cg.here()}")
    given = [params] if isinstance(params, cg.Node) else list(params)
    if not given:
        raise cg.InputError(f"{name}: a parameter group is empty: leave it out, or say which parameters are in it{cg.here()}")
    pairs = [part for part in given if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str)]
    if pairs and len(pairs) < len(given):
        raise cg.InputError(f"{name}: either all parameters of a group are (name, variable) pairs or none is{cg.here()}")
    names = [part[0] for part in pairs]
    nodes = [part[1] for part in pairs] or given
    for place, p in enumerate(nodes):
        _check_parameter(p, f"{name}: parameter {place}{f' ({names[place]})' if names else ''}")
    return nodes, names


def _check_parameter(p: Any, label: str) -> None:
    if not isinstance(p, cg.Node):
        raise cg.InputError(f"{label} is {type(p).__name__} {p!r:.40}, not a variable: write cg.variable(value){cg.here()}")
    if p.primitive is not None:
        operation = p.primitive.name
        raise cg.InputError(
            f"{label} is no leaf but the result of {operation}, which is computed anew: optimize what it is made from{cg.here()}"
        )
    if p.value is None:
        raise cg.InputError(f"{label} is abstract: an optimizer needs variables that hold a value{cg.here()}")
    if p.dtype.kind != "f":
        raise cg.InputError(f"{label} is {p.dtype}: optimize its real and imaginary part as two variables{cg.here()}")


def gradient(at: Place) -> Any:
    """The gradient of a parameter in its dtype, or the error that names it."""
    grad = as_array(at.p.grad, at.p.dtype)
    if is_on_device(at.p.value):
        grad = beside(grad, at.p.value)
    if grad.shape != at.p.shape:
        raise cg.ShapeError(f"the gradient of {at} has shape {grad.shape}; no parameter was updated{cg.here()}")
    if not all_finite(grad):
        bad = int(np.size(grad) - np.sum(np.isfinite(grad)))
        raise cg.AnomalyError(
            f"the gradient of {at} has {bad} of {np.size(grad)} entries NaN or infinite; no parameter was updated. "
            f"cg.detect_anomaly() finds the operation that made them; a smaller rate or clipping may prevent them{cg.here()}"
        )
    return grad if grad.ndim else grad[()]


def all_finite(array: Any) -> bool:
    """Whether no entry is NaN or infinite. One dot product says so, unless it overflows."""
    if array.dtype.char in "fd" and math.isfinite(np.vdot(array, array)):
        return True
    return bool(np.all(np.isfinite(array)))

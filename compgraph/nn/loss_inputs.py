"""What every loss does with what it is given: shapes, dtypes, values that are known, and how single losses become one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

import compgraph as cg
from compgraph.backend import as_array

P = ParamSpec("P")


def loss(function: Callable[P, Any]) -> Callable[P, Any]:
    """A loss whose operations stand in a scope of its name where a graph is traced; eager, a scope would only cost time."""

    @wraps(function)
    def scoped(*args: P.args, **kwargs: P.kwargs) -> Any:
        if args and args[0].__class__ is cg.Node and args[0].value is None:
            with cg.scope(function.__name__):
                return function(*args, **kwargs)
        return function(*args, **kwargs)

    return scoped


def known(x: Any) -> Any:
    """The value of `x`, or None for a node that has none."""
    return x.value if x.__class__ is cg.Node else x


def as_input(name: str, x: Any) -> Any:
    """What a model returned: a node or an array of floats, not empty."""
    x = x if x.__class__ is cg.Node else as_array(x)
    if x.dtype.kind in "iub":
        x = x.astype(np.float64)
    if x.dtype.kind != "f":
        raise cg.DtypeError(f"{name}: the input is of {x.dtype}, real numbers are needed{cg.here()}")
    if 0 in x.shape:
        raise cg.ShapeError(f"{name}: there is nothing in an input of shape {x.shape}{cg.here()}")
    return x


def as_target(name: str, target: Any, like: Any) -> Any:
    """Numbers in the dtype of `like`, of the same shape: broadcasting would pair each with every other in silence."""
    target = target if target.__class__ is cg.Node else as_array(target)
    if target.dtype.kind not in "fiub":
        raise cg.DtypeError(f"{name}: the target is of {target.dtype}, real numbers are needed{cg.here()}")
    if target.shape != like.shape:
        advice = _advice(like.shape, target.shape)
        raise cg.ShapeError(f"{name}: the input has shape {like.shape} and the target {target.shape}{advice}{cg.here()}")
    return target if target.dtype == like.dtype else target.astype(like.dtype)


def _advice(given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """What to write where shapes differ only by axes of length 1."""
    if [length for length in given if length != 1] != [length for length in wanted if length != 1]:
        return ". They have to be equal"
    if len(given) > len(wanted):
        return f". Write loss(output.reshape({wanted}), y), or output.squeeze(), or loss(output, y.reshape({given}))"
    return f". Write loss(output, y.reshape({given})), or y.squeeze()"


def weights_of(name: str, what: str, weight: Any, like: Any) -> Any:
    """A weight in the dtype of the input, or None."""
    if weight is None:
        return None
    weight = weight if weight.__class__ is cg.Node else as_array(weight)
    if weight.dtype.kind not in "fiub":
        raise cg.DtypeError(f"{name}: {what} is of {weight.dtype}, real numbers are needed{cg.here()}")
    return weight if weight.dtype == like.dtype else weight.astype(like.dtype)


def refuse_values(name: str, what: str, x: Any, wrong: Callable[[Any], Any], need: str) -> None:
    """Raise `InputError` at the first entry that is `wrong`, where the values are known."""
    values = known(x)
    if values is None:
        return
    bad = wrong(values)
    if np.any(bad):
        place = tuple(int(index) for index in np.argwhere(bad)[0])
        raise cg.InputError(f"{name}: {what}{list(place) if place else ''} is {np.asarray(values)[place]}, {need}{cg.here()}")


def reduced(name: str, losses: Any, reduction: str, divisor: Any = None, also: tuple[str, ...] = ()) -> Any:
    """One number of many losses, or all of them; a mean divides by `divisor` instead of their number, where it is given."""
    if reduction == "mean":
        return cg.bind("mean", losses, axis=None, keepdims=False) if divisor is None else np.sum(losses) / divisor
    if reduction == "sum":
        return np.sum(losses)
    if reduction == "none":
        return losses
    names = ", ".join(map(repr, ("none", "mean", "sum", *also)))
    raise cg.InputError(f"{name}: reduction is one of {names}, not {reduction!r:.60}{cg.here()}")

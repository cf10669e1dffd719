"""NumPy's functions that choose entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph.backend import as_array
from compgraph.errors import ImmutableNodeError, NodeIndexError, ShapeError
from compgraph.functions.inspecting import number
from compgraph.functions.parameters import split_index
from compgraph.functions.registry import implements
from compgraph.functions.shaping import arraylike, axis_of, broadcast_arrays, ravel
from compgraph.functions.updates import at
from compgraph.graph import bind
from compgraph.origins import here
from compgraph.primitives.kinds import is_node, shape_of


def index(x: Any, where: Any) -> Any:
    """`x[where]` for slices, integers, `...`, None and arrays of integers or booleans, which may be nodes."""
    at_place, indices = split_index(where)
    return bind("index", x, *indices, index=at_place)


def _whole_numbers(indices: Any) -> Any:
    """Indices that take part in arithmetic: a node or an array of integers."""
    if is_node(indices):
        return indices
    array = as_array(indices)
    if array.dtype.kind not in "iub":
        if array.size:
            raise NodeIndexError(f"arrays of indices hold integers, not {array.dtype}{here()}")
        return array.astype(np.intp)
    return array.astype(np.intp) if array.dtype.kind == "b" else array


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """`x` where the condition holds and `y` elsewhere; with the condition alone, the places where it holds."""
    if x is None and y is None:
        return np.nonzero(number(condition, "np.where(condition)"))
    if x is None or y is None:
        raise ShapeError(f"np.where takes the condition alone, or both x and y{here()}")
    return bind("where", condition, x, y)


@implements(np.take)
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    """`mode` says what to do with an index outside: "raise", "wrap" around, or "clip" to the ends."""
    _no_out("take", out)
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"mode {mode!r}: it is 'raise', 'wrap' or 'clip'")
    a = arraylike(a)
    a, axis = (ravel(a), 0) if axis is None else (a, axis_of("take", axis, len(a.shape)))
    indices, length = _whole_numbers(indices), a.shape[axis]
    if mode == "wrap":
        indices = np.mod(indices, length)
    elif mode == "clip":
        indices = np.maximum(np.minimum(indices, length - 1), 0)
    return index(a, (slice(None),) * axis + (indices,))


def _along(name: str, shape: tuple[int, ...], indices: Any, axis: int) -> tuple[Any, ...]:
    """The index of which part `axis` is `indices`, and the others count their own axis."""
    ndim = len(shape)
    if len(shape_of(indices)) != ndim:
        raise ShapeError(f"{name}: the indices have {len(shape_of(indices))} axes, the array has {ndim}{here()}")
    return tuple(
        indices if place == axis else np.arange(length).reshape(-1, *(1,) * (ndim - 1 - place)) for place, length in enumerate(shape)
    )


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """One entry for each index, from the same row, as in `np.take_along_axis(logits, labels[:, None], axis=1)`."""
    arr, indices = arraylike(arr), _whole_numbers(indices)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = axis_of("take_along_axis", axis, len(arr.shape))
    return index(arr, _along("take_along_axis", arr.shape, indices, axis))


@implements(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """Entry by entry the choice whose number stands in `a`."""
    _no_out("choose", out)
    a = _whole_numbers(a)
    together = broadcast_arrays(a, *choices)
    numbers, stacked = together[0], np.stack(together[1:])
    count = len(together) - 1
    held = numbers.value if is_node(numbers) else numbers
    if mode == "raise" and held is not None and np.any((held < 0) | (held >= count)):
        raise ShapeError(f"np.choose: a number in a is not one of the {count} choices{here()}")  # ValueError, as in NumPy
    if not numbers.shape:
        return take(stacked, numbers, 0, mode=mode)
    return take_along_axis(stacked, take(np.arange(count), numbers, mode=mode)[None] if mode != "raise" else numbers[None], 0)[0]


@implements(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """The choice of the first condition that holds; `default` where none does."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ShapeError(f"np.select: there are {len(condlist)} conditions and {len(choicelist)} choices{here()}")
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        if getattr(condition, "dtype", np.dtype(bool)) != np.bool_:
            raise TypeError(f"np.select: a condition is an array of booleans, not of {condition.dtype}")
        result = bind("where", condition, choice, result)
    return result


@implements(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    """The slices along `axis` where the condition holds, which may be shorter than the axis."""
    _no_out("compress", out)
    a = arraylike(a)
    a, axis = (ravel(a), 0) if axis is None else (a, axis_of("compress", axis, len(a.shape)))
    truths = np.asarray(number(condition, "np.compress"), bool)
    if truths.ndim != 1:
        raise ShapeError(f"np.compress: the condition has {truths.ndim} axes, not 1{here()}")
    chosen = np.flatnonzero(truths)
    if chosen.size and chosen[-1] >= a.shape[axis]:
        raise NodeIndexError(f"np.compress: index {chosen[-1]} is outside axis {axis} of shape {a.shape}{here()}")
    mask = np.zeros(a.shape[axis], bool)
    mask[chosen] = True
    return index(a, (slice(None),) * axis + (mask,))


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    return compress(np.ravel(np.asarray(number(condition, "np.extract"))), ravel(arraylike(arr)))


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """Each function on the entries where its condition holds, so the conditions are read; abstract ones need `np.where`.

    As in NumPy a later condition overrides an earlier one, and a function without a condition is for the rest.
    """
    shape = shape_of(x)
    given = condlist if isinstance(condlist, (list, tuple)) else [condlist]
    conditions = [np.asarray(number(one, "np.piecewise"), bool) for one in given]
    if len(conditions) == 1 and conditions[0].ndim == len(shape) + 1:
        conditions = list(conditions[0])
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    if len(funclist) != len(conditions):
        raise ShapeError(f"np.piecewise: there are {len(conditions)} conditions and {len(funclist)} functions{here()}")
    y = np.zeros(shape, x.dtype)
    for condition, function in zip(conditions, funclist, strict=True):
        mask = np.broadcast_to(condition, shape)
        if np.any(mask):
            y = at(y)[mask].set(function(index(x, mask), *args, **kw) if callable(function) else function)
    return y


def _no_out(name: str, out: Any) -> None:
    if out is not None:
        raise ImmutableNodeError(f"np.{name} with out= would write a node into an array{here()}. Use its result")


def _refusal(name: str, instead: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise ImmutableNodeError(
            f"np.{name} writes into its first argument{here()}, and a node keeps its value. It has no rule here; write {instead}"
        )

    refuse.__name__ = name
    return refuse


for _function, _instead in {
    np.put: "x = cg.at(x.ravel())[indices].set(values).reshape(x.shape)",
    np.place: "x = np.where(mask, new, x), or x = cg.at(x)[mask].set(values)",
    np.putmask: "x = np.where(mask, values, x)",
    np.copyto: "x = np.where(mask, source, x), or x = cg.at(x)[index].set(source)",
    np.put_along_axis: "x = cg.at(x)[np.arange(n)[:, None], indices].set(values), with a np.arange for each other axis",
    np.fill_diagonal: "i = np.arange(n) and x = cg.at(x)[i, i].set(values)",
}.items():
    implements(_function)(_refusal(_function.__name__, _instead))


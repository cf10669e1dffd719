"""How a NumPy function called on a node finds its primitive.

NumPy asks the arguments of its functions whether they want to handle the call (`__array_ufunc__`, NEP 13, and
`__array_function__`, NEP 18). Ufuncs are found by name in the table of primitives; other functions where the
modules of `compgraph.functions` registered theirs.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Container
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from compgraph import functions
from compgraph.errors import CompgraphError, ImmutableNodeError, MissingRuleError, ShapeError, restated
from compgraph.functions import special
from compgraph.functions.elementwise import COMPOSED
from compgraph.functions.registry import FUNCTIONS
from compgraph.graph import PRIMITIVES, UFUNCS, Node, bind, describe, provides
from compgraph.origins import caller, describe_origin
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import normalized_axes

# Ufuncs whose name is not their primitive's.
_UFUNC_NAMES = {"absolute": "abs", "positive": "identity", "fabs": "abs", "degrees": "rad2deg", "radians": "deg2rad"}

for _ufunc in (entry for entry in vars(np).values() if isinstance(entry, np.ufunc)):
    _name = _UFUNC_NAMES.get(_ufunc.__name__, _ufunc.__name__)
    if _name in PRIMITIVES and _ufunc not in COMPOSED:
        UFUNCS[_ufunc] = _name

# What a ufunc's `reduce` and `accumulate` are called in NumPy. For other ufuncs that are associative, `_halved` and `_scanned`
# apply them in a tree, which takes the logarithm of the length in nodes.
_REDUCTIONS = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all", "logical_or": "any"}
_SCANS = {"add": "cumsum", "multiply": "cumprod"}
_ASSOCIATIVE = frozenset({"maximum", "minimum", "fmax", "fmin", "logaddexp", "logaddexp2", "hypot"})


@provides("Node.__array_ufunc__")
def array_ufunc(ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """A ufunc's methods, its keyword arguments, and ufuncs without a primitive; plain calls go by `UFUNCS`."""
    name = ufunc.__name__
    if any(one is not None for one in kwargs.get("out") or ()):
        raise ImmutableNodeError(
            f"np.{name} with out= (or an in-place operator such as +=) would write a node into an array, at "
            f"{describe_origin(caller())}. Write y = np.{name}(a, b), or y = y + x, so that a new node is made."
        )
    kwargs = {key: value for key, value in kwargs.items() if key != "out" and value is not np._NoValue}
    if method == "__call__" and ufunc in FUNCTIONS:  # of whole vectors, with axes, as np.vecdot is
        return array_function(ufunc, (), inputs, kwargs)
    if method == "reduce":
        return _reduce(ufunc, *inputs, **kwargs)
    if method == "accumulate" and (name in _SCANS or name in _ASSOCIATIVE):
        return _accumulate(ufunc, *inputs, **kwargs)
    if method == "outer" and not kwargs:
        left, right = (one if isinstance(one, Node) else np.asarray(one) for one in inputs)
        return ufunc(np.reshape(left, (*left.shape, *(1,) * right.ndim)), right)
    if method != "__call__":
        raise MissingRuleError(f"np.{name}.{method} has no derivative rule here ({describe_origin(caller())}). {_advice(name)}")
    kwargs = _without_defaults(f"np.{name}", kwargs, ("where",))
    implementation = _implementation(ufunc)
    if implementation is None:
        raise MissingRuleError(f"np.{name} has no derivative rule here, at {describe_origin(caller())}. {_advice(name)}")
    if "where" in kwargs:
        arguments = ", ".join("ab"[: ufunc.nin])
        raise MissingRuleError(
            f"np.{name} with where= and no out= leaves entries undefined, at {describe_origin(caller())}. "
            f"Write np.where(condition, np.{name}({arguments}), other)"
        )
    dtype = kwargs.pop("dtype", None)
    if kwargs:
        raise MissingRuleError(f"np.{name} on a node does not take {next(iter(kwargs))}=, at {describe_origin(caller())}")
    if dtype is not None:
        inputs = tuple(cast(one, dtype) if isinstance(one, Node) else np.asarray(one, dtype)[()] for one in inputs)
    return implementation(*inputs)


def _implementation(ufunc: np.ufunc) -> Callable[..., Any] | None:
    """What a ufunc of NumPy or of `scipy.special` does to nodes. Others may bear the same name and mean something else."""
    if ufunc in COMPOSED:
        return COMPOSED[ufunc]
    name = UFUNCS.get(ufunc)
    scipy = sys.modules.get("scipy.special")
    if name is None and getattr(scipy, ufunc.__name__, None) is ufunc:
        if ufunc.__name__ in special.SCIPY:
            return special.SCIPY[ufunc.__name__]
        name = ufunc.__name__ if ufunc.__name__ in PRIMITIVES else None
    if name is None:
        return None

    def bound(*inputs: Any) -> Any:
        partials = PRIMITIVES[name].partials or ()
        for one, partial in zip(inputs, partials, strict=False):
            if partial is None and isinstance(one, Node) and name != "copysign":
                place = describe_origin(caller())
                raise MissingRuleError(f"{name} has no derivative by its parameter {describe(one)}: give a number, at {place}")
        return bind(name, *inputs)

    return bound


def _reduce(ufunc: np.ufunc, array: Any, axis: Any = 0, dtype: Any = None, keepdims: bool = False, **kwargs: Any) -> Any:
    """`ufunc.reduce`, by NumPy's function of another name where there is one."""
    name = ufunc.__name__
    kwargs = _without_defaults(f"np.{name}.reduce", kwargs, ("where", "initial"))
    array = array if dtype is None else cast(array, dtype)
    if name in _REDUCTIONS:
        return getattr(np, _REDUCTIONS[name])(array, axis=axis, keepdims=keepdims, **kwargs)
    if kwargs or name not in _ASSOCIATIVE:
        what = f" with {next(iter(kwargs))}=" if kwargs else ""
        raise MissingRuleError(f"np.{name}.reduce{what} has no derivative rule here, at {describe_origin(caller())}. {_advice(name)}")
    if name == "logaddexp" and array.size:
        return special.logsumexp(array, axis=axis, keepdims=keepdims)
    for one in reversed(normalized_axes(axis, array.ndim)):
        array = _halved(ufunc, array, one)
    return array if keepdims else np.squeeze(array, axis=normalized_axes(axis, array.ndim))


def _along(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(start, stop))


def _halved(ufunc: np.ufunc, array: Any, axis: int) -> Any:
    """The entries along `axis` combined pair by pair until one is left."""
    length = array.shape[axis]
    if not length:
        if ufunc.identity is None:
            raise ShapeError(f"np.{ufunc.__name__}.reduce of no numbers: shape {array.shape}, axis {axis}, at {describe_origin(caller())}")
        shape = (*array.shape[:axis], 1, *array.shape[axis + 1 :])
        return np.full(shape, ufunc.identity, array.dtype)
    while length > 1:
        half = length // 2
        pairs = ufunc(array[_along(axis, None, half)], array[_along(axis, half, 2 * half)])
        array = np.concatenate([pairs, array[_along(axis, 2 * half, None)]], axis=axis) if length % 2 else pairs
        length -= half
    return array


def _accumulate(ufunc: np.ufunc, array: Any, axis: int = 0, dtype: Any = None, **kwargs: Any) -> Any:
    """`ufunc.accumulate`: a scan of NumPy's, or one by doubling (Hillis & Steele, Data parallel algorithms, 1986)."""
    array = array if dtype is None else cast(array, dtype)
    if ufunc.__name__ in _SCANS:
        return getattr(np, _SCANS[ufunc.__name__])(array, axis=axis)
    (axis,) = normalized_axes(axis, array.ndim)
    done = 1  # entries of the array that already hold their whole result; the others hold that of the last `done`
    while done < array.shape[axis]:
        longer = ufunc(array[_along(axis, None, -done)], array[_along(axis, done, None)])
        array = np.concatenate([array[_along(axis, None, done)], longer], axis=axis)
        done *= 2
    return array


class _Accepted(NamedTuple):
    """The arguments that one of our functions takes."""

    names: frozenset[str]
    any_keyword: bool
    most: float  # arguments by position


@cache
def _accepted(implementation: Callable[..., Any]) -> _Accepted:
    """Kept, as looking them up takes longer than a small array's arithmetic."""
    parameters = inspect.signature(implementation).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    most = float("inf") if inspect.Parameter.VAR_POSITIONAL in kinds else len(parameters)
    return _Accepted(frozenset(parameters), inspect.Parameter.VAR_KEYWORD in kinds, most)


def _called(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__name__}".replace("numpy.", "np.")


@provides("Node.__array_function__")
def array_function(function: Callable[..., Any], types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    implementation = FUNCTIONS.get(function)
    if implementation is None:
        advice = _advice(function.__name__)
        raise MissingRuleError(f"{_called(function)} has no derivative rule here, at {describe_origin(caller())}. {advice}")
    accepted = _accepted(implementation)
    if kwargs:
        kwargs = _without_defaults(function, kwargs, accepted.names)
        surplus = [] if accepted.any_keyword else [key for key in kwargs if key not in accepted.names]
        if surplus:
            name = _called(function)
            raise MissingRuleError(f"{name} on a node does not take the argument {surplus[0]}=, at {describe_origin(caller())}")
    if len(args) > accepted.most:
        raise MissingRuleError(f"{_called(function)} on a node does not take argument {accepted.most + 1}, at {describe_origin(caller())}")
    try:
        return implementation(*args, **kwargs)
    except CompgraphError:
        raise
    except (TypeError, ValueError, IndexError) as error:
        raise restated(error, f"{_called(function)}: {error}, at {describe_origin(caller())}") from error


# Arguments by name and identity, since `==` with an array is no answer.
_NO_EFFECT = {(key, id(value)) for key, values in {
    "out": (None,), "where": (True, np._NoValue), "dtype": (None,), "order": ("K", "C"), "casting": ("same_kind",), "subok": (True, False),
    "copy": (None,), "initial": (np._NoValue,), "keepdims": (np._NoValue,), "mean": (np._NoValue,), "correction": (np._NoValue,),
    "shape": (None,), "device": (None,), "mode": ("raise",),
}.items() for value in values}  # fmt: skip
_REFUSED = ("out", "where", "initial", "order", "casting", "signature", "subok")


def _without_defaults(function: str | Callable[..., Any], kwargs: dict[str, Any], accepted: Container[str] = ()) -> dict[str, Any]:
    """The arguments that change something; `where=`, `initial=` and the like are refused rather than ignored."""
    kept = {key: value for key, value in kwargs.items() if (key, id(value)) not in _NO_EFFECT}
    for key in kept:
        if key in _REFUSED and key not in accepted:
            name = function if isinstance(function, str) else _called(function)
            raise MissingRuleError(
                f"{name} on a node does not take {key}=, at {describe_origin(caller())}"
                + (". Write np.where(condition, value, 0) first" if key == "where" else "")
            )
    return kept


def _advice(name: str) -> str:
    known = sorted(known for known in {*PRIMITIVES, *(function.__name__ for function in FUNCTIONS)} if hasattr(np, known))
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    return (f"Nearby functions that have one: {', '.join('np.' + other for other in near)}. " if near else "") + (
        "Compose it from others, or add an entry to compgraph/primitives; use node.value where no derivative is wanted."
    )


@provides("Node.__getitem__")
def getitem(node: Node, where: Any) -> Any:
    try:
        return functions.index(node, where)
    except TypeError as error:
        if type(error) is TypeError:
            raise MissingRuleError(f"index of {describe(node)}: {error}, at {describe_origin(caller())}") from None
        raise


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(node: Node, *args: Any, **kwargs: Any) -> Any:
        return function(node, *args, **kwargs)

    method.__name__, method.__doc__ = function.__name__, f"`np.{function.__name__}` of the node."
    return method


# The methods of `ndarray` that are functions of NumPy by another name.
for _function in (
    np.sum, np.prod, np.mean, np.std, np.var, np.max, np.min, np.argmax, np.argmin, np.argsort, np.any, np.all, np.cumsum, np.cumprod,
    np.dot, np.ravel, np.squeeze, np.swapaxes, np.repeat, np.take, np.choose, np.diagonal,
    np.copy, np.nonzero, np.clip, np.round,
):  # fmt: skip
    setattr(Node, _function.__name__, _method(_function))


def _reshape(node: Any, *shape: Any, order: Any = "C", copy: Any = None) -> Any:
    """`node.reshape(2, 3)` or `node.reshape((2, 3))`."""
    return np.reshape(node, shape[0] if len(shape) == 1 else shape, order=order)


def _transpose(node: Any, *axes: Any) -> Any:
    """`node.transpose()`, `node.transpose(1, 0)` or `node.transpose((1, 0))`."""
    return np.transpose(node, (axes[0] if len(axes) == 1 else axes) or None)


def _reversed_axes(node: Any) -> Any:
    """`node.T`, which every layer of a model asks for: without the way round through NumPy, which costs more than the rest."""
    return bind("transpose", node, axes=None)


for _name, _value in {
    "reshape": _reshape, "transpose": _transpose, "T": property(_reversed_axes), "flatten": _method(np.ravel), "astype": cast,
    "mT": property(lambda node: np.matrix_transpose(node)),
    "compress": lambda node, condition, axis=None: np.compress(condition, node, axis),
}.items():  # fmt: skip
    setattr(Node, _name, _value)

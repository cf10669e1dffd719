"""How a NumPy function called on a node finds its primitive.

NumPy asks the arguments of its functions whether they want to handle the call (`__array_ufunc__`, NEP 13, and
`__array_function__`, NEP 18). Ufuncs are found by name in the table of primitives; other functions where the
modules of `compgraph.functions` registered theirs.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from compgraph import functions
from compgraph.errors import CompgraphError, ImmutableNodeError, MissingRuleError, restated
from compgraph.functions.registry import FUNCTIONS
from compgraph.graph import PRIMITIVES, UFUNCS, Node, bind, describe, provides
from compgraph.origins import caller, describe_origin
from compgraph.primitives.arithmetic import cast

# Ufuncs whose name is not their primitive's.
_UFUNC_NAMES = {"absolute": "abs", "conjugate": "identity", "positive": "identity", "fabs": "abs"}

for _ufunc in (entry for entry in vars(np).values() if isinstance(entry, np.ufunc)):
    _name = _UFUNC_NAMES.get(_ufunc.__name__, _ufunc.__name__)
    if _name in PRIMITIVES:
        UFUNCS[_ufunc] = _name

# The `reduce` method of these is a reduction of the table.
_REDUCTIONS = {"add": functions.sum, "maximum": functions.max, "minimum": functions.min}


@provides("Node.__array_ufunc__")
def array_ufunc(ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """A ufunc's methods, its keyword arguments, and ufuncs without a primitive; plain calls go by `UFUNCS`."""
    name = ufunc.__name__
    if kwargs.get("out") is not None:
        raise ImmutableNodeError(
            f"np.{name} with out= (or an in-place operator such as +=) would write a node into an array, at "
            f"{describe_origin(caller())}. Write y = np.{name}(a, b), or y = y + x, so that a new node is made."
        )
    if method == "reduce" and name in _REDUCTIONS:
        return _REDUCTIONS[name](*inputs, **_without_defaults(f"np.{name}.reduce", {"axis": 0, **kwargs}))
    if method != "__call__":
        raise MissingRuleError(f"np.{name}.{method} has no derivative rule here ({describe_origin(caller())}). {_advice(name)}")
    primitive = _UFUNC_NAMES.get(name, name)
    kwargs = _without_defaults(f"np.{name}", kwargs)
    if kwargs:
        refused = next(iter(kwargs))
        advice = ". Write node.astype(dtype)" if refused == "dtype" else ""
        raise MissingRuleError(f"np.{name} on a node does not take {refused}=, at {describe_origin(caller())}{advice}")
    if primitive not in PRIMITIVES:
        raise MissingRuleError(f"np.{name} has no derivative rule here, at {describe_origin(caller())}. {_advice(name)}")
    return bind(primitive, *inputs)


@provides("Node.__array_function__")
def array_function(function: Callable[..., Any], types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    implementation = FUNCTIONS.get(function)
    name = f"{function.__module__}.{function.__name__}".replace("numpy.", "np.")
    if implementation is None:
        raise MissingRuleError(f"{name} has no derivative rule here, at {describe_origin(caller())}. {_advice(function.__name__)}")
    kwargs = _without_defaults(name, kwargs)
    accepted = inspect.signature(implementation).parameters
    surplus = [key for key in kwargs if key not in accepted]
    if surplus or len(args) > len(accepted):
        what = f"the argument {surplus[0]}=" if surplus else f"argument {len(accepted) + 1}"
        raise MissingRuleError(f"{name} on a node does not take {what}, at {describe_origin(caller())}")
    try:
        return implementation(*args, **kwargs)
    except CompgraphError:
        raise
    except (TypeError, ValueError) as error:
        raise restated(error, f"{name}: {error}, at {describe_origin(caller())}") from error


_NO_EFFECT: tuple[tuple[str, Any], ...] = (
    ("out", None), ("where", True), ("where", np._NoValue), ("dtype", None), ("order", "K"), ("order", "C"),
    ("casting", "same_kind"), ("subok", True), ("subok", False), ("copy", None), ("initial", np._NoValue),
    ("keepdims", np._NoValue), ("shape", None), ("device", None), ("mode", "raise"),
)  # fmt: skip


def _without_defaults(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments that change something; `where=`, `initial=` and the like are refused rather than ignored."""
    kept = {key: value for key, value in kwargs.items() if not any(key == other and value is default for other, default in _NO_EFFECT)}
    for key in ("out", "where", "initial", "order", "casting", "signature", "subok"):
        if key in kept:
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
for _function in (np.sum, np.mean, np.max, np.min, np.dot, np.ravel, np.squeeze):
    setattr(Node, _function.__name__, _method(_function))


def _reshape(node: Any, *shape: Any) -> Any:
    """`node.reshape(2, 3)` or `node.reshape((2, 3))`."""
    return np.reshape(node, shape[0] if len(shape) == 1 else shape)


def _transpose(node: Any, *axes: Any) -> Any:
    """`node.transpose()`, `node.transpose(1, 0)` or `node.transpose((1, 0))`."""
    return np.transpose(node, (axes[0] if len(axes) == 1 else axes) or None)


for _name, _value in {
    "reshape": _reshape, "transpose": _transpose, "T": property(_transpose), "flatten": _method(np.ravel), "astype": cast,
}.items():  # fmt: skip
    setattr(Node, _name, _value)

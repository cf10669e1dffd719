"""A Python function -> Graph. Tracing is just running, on nodes that hold no value."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph.backend import is_on_device
from compgraph.containers import Rebuild, flatten
from compgraph.errors import DtypeError, InputError, ZeroGradientWarning
from compgraph.graph import Graph, Node, constant, is_operand, placeholder
from compgraph.modes import current_mode, mode_with
from compgraph.operands import as_operand, input_value
from compgraph.origins import caller, here, stack_level
from compgraph.programs import is_name


def trace(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Graph:
    """Record what `function` does to arguments of these shapes and dtypes.

    >>> import numpy as np, compgraph as cg
    >>> def f(x1, x2):
    ...     ratio = x1 / x2
    ...     return (np.exp(ratio) + ratio) * (ratio - np.log(x2))
    >>> print(cg.trace(f, 0.5, 1.0))
    f(x1, x2):
        v1 = x1 / x2
        v2 = exp(v1)
        v3 = v2 + v1
        v4 = log(x2)
        v5 = v1 - v4
        v6 = v3 * v5
        return v6

    Inputs are named after the parameters. Arguments and results may be nested dicts, lists and tuples. Only the
    shape and dtype of an argument matter; Python integers count as float64, arrays of integers stay integers.
    Variables that the function closes over keep their identity and are read again whenever the graph runs; arrays
    are copied. Raises `AbstractValueError` where the function branches on a value.
    """
    if not callable(function):
        raise InputError(f"trace takes a function and its arguments, as in cg.trace(f, 1.0), not {type(function).__name__}{here()}")
    name = getattr(function, "__name__", type(function).__name__)
    name = name if is_name(name) else "f"
    leaves, paths, rebuilds = _named_arguments(function, args, kwargs)
    inputs = [_placeholder_like(leaf, path) for leaf, path in zip(leaves, paths, strict=True)]
    call_args, call_kwargs = rebuilds(inputs)
    roles: dict[Node, tuple[str, Node]] = {}
    with mode_with(traced=name, constants=current_mode().constants if current_mode().constants is not None else {}, roles=roles):
        result = function(*call_args, **call_kwargs)
        outputs, rebuild = output_nodes(result, name)
    graph = Graph(inputs, outputs, name=name, pack=rebuild, roles=roles)
    members = set(graph.nodes) if roles else set()  # the roles of others would only keep memory alive
    graph.roles = {node: role for node, role in graph.roles.items() if node in members and role[1] in members}
    return graph


def _placeholder_like(leaf: Any, path: str) -> Node:
    if isinstance(leaf, Node):
        return placeholder(leaf.shape, leaf.dtype, path, caller())
    if (isinstance(leaf, np.ndarray) or is_on_device(leaf)) and leaf.dtype.kind in "iub":
        return placeholder(leaf.shape, leaf.dtype, path, caller())
    value = input_value(leaf, path)
    return placeholder(value.shape, value.dtype, path, caller())


def _named_arguments(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], list[str], Callable[[list[Any]], Any]]:
    """The leaves of all arguments, each called after the parameter it belongs to."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise InputError(f"{getattr(function, '__name__', 'the function')}: {error}{here()}") from None
    except ValueError:  # a built-in without a signature
        named: list[tuple[str, Any]] = [(f"x{place}", arg) for place, arg in enumerate(args, 1)]
    else:
        named = []
        for parameter, value in bound.arguments.items():
            kind = bound.signature.parameters[parameter].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                named += [(f"{parameter}{place}", one) for place, one in enumerate(value, 1)]
            elif kind is inspect.Parameter.VAR_KEYWORD or (parameter in kwargs and kind is not inspect.Parameter.POSITIONAL_ONLY):
                continue
            else:
                named.append((parameter, value))
    leaves: list[Any] = []
    paths: list[str] = []
    parts: list[tuple[int, int, Rebuild]] = []
    for name, value in [*named, *kwargs.items()]:
        more, labels, rebuild = flatten(value, name)
        parts.append((len(leaves), len(leaves) + len(more), rebuild))
        leaves += more
        paths += labels

    def put_together(nodes: list[Any]) -> Any:
        values = [rebuild(nodes[start:stop]) for start, stop, rebuild in parts]
        return values[: len(named)], dict(zip(kwargs, values[len(named) :], strict=True))

    return leaves, paths, put_together


def output_nodes(result: Any, name: str) -> tuple[list[Node], Rebuild]:
    """The leaves of what a function returned, as nodes; what is no node becomes a constant, with a warning."""
    leaves, paths, rebuild = flatten(result)
    outputs = []
    for leaf, path in zip(leaves, paths, strict=True):
        if isinstance(leaf, Node):
            outputs.append(leaf)
            continue
        place = f"{name}() returned {path + ' = ' if path else ''}{type(leaf).__name__}"
        if not is_operand(leaf):
            raise DtypeError(f"{place}, which is not a number or an array. Return the node itself, or a dict, list or tuple of nodes.")
        value = as_operand(leaf)
        value = value if hasattr(value, "dtype") else input_value(value, place)
        warnings.warn(f"{place} that is not made of its inputs: its derivatives are zero", ZeroGradientWarning, stacklevel=stack_level())
        outputs.append(constant(value))
    if not outputs:
        raise InputError(f"{name}() returned nothing to differentiate")
    return outputs, rebuild

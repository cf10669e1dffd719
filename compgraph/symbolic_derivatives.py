"""Derivatives of whole nodes and graphs by SymPy, along a direction: the exact side of the certificate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from compgraph.graph import Graph, Node, ancestors
from compgraph.numerical import Array
from compgraph.symbolic import ZERO, Environment, T, TooLargeError, applied, entries, exact, extend, slopes, symbols_of, too_large

DIGITS = 40  # of SymPy's numbers, so that what cancels in a formula does no harm


def directional_derivative(node: Node, args: Sequence[Any], place: int, direction: Any, *, limit: int) -> Array:
    """d/dt of a node's operation at `args` with t * `direction` added to argument `place`, as floats in its shape.

    Runs on object arrays. Linear operations take the direction at once. For the others one entry at a time is a
    symbol, so that SymPy compares numbers with one symbol and never many symbols with each other. Raises
    `TooLargeError` above `limit` entries.
    """
    if max(node.size, *(np.size(arg) for arg in args)) > limit:
        raise TooLargeError(f"more than {limit} entries")
    arrays = [exact(arg, DIGITS) for arg in args]
    x, x_dot = arrays[place], exact(direction, DIGITS)
    result = np.zeros(node.shape)

    def moved(argument: Array, at: dict[Any, Any]) -> Array:
        return slopes(applied(node, [*arrays[:place], argument, *arrays[place + 1 :]], DIGITS), T, at)

    if node.primitive.kind(place) == "linear":  # type: ignore[union-attr]
        return moved(entries(x + T * x_dot, x.shape), {T: ZERO})
    for where in np.ndindex(x.shape):
        argument = x.copy()
        argument[where] = T
        result += moved(argument, {T: x[where]}) * np.asarray(direction)[where]
    return result


def whole_derivative(
    graph: Graph, values: dict[Node, Any], fixed: Iterable[Node], of: Sequence[Node], directions: dict[Node, Any], *, limit: int
) -> tuple[list[Array], str]:
    """The derivatives of the nodes `of` along `directions` of inputs at `values`, by differentiating whole expressions.

    Nodes in `fixed` stay the numbers that they are: derivatives stop there. The second result is the derivative of one
    number by one number as text. Raises `TooLargeError`, see `extend`.
    """
    known = (*fixed, *graph.inputs)
    large = next((node for node in (*known, *of) if node.size > limit), None)
    if large is not None:
        raise TooLargeError(too_large(large))
    environment: Environment = {node: exact(values[node], DIGITS) for node in known}
    at: dict[Any, Any] = {T: ZERO}
    single = len(directions) == 1 and not next(iter(directions)).shape
    if single:  # number inputs stay symbols, so that the derivative can be read
        for node, symbol in zip(graph.inputs, symbols_of(graph), strict=True):
            if not node.shape and node.dtype.kind == "f":
                at[symbol[()]], environment[node] = environment[node][()], symbol
        variable = environment[next(iter(directions))][()]
    else:
        variable = T
        for node, direction in directions.items():
            environment[node] = entries(environment[node] + T * exact(direction, DIGITS), node.shape)
    extend(environment, ancestors(of), limit=limit, digits=DIGITS)
    first: Any = environment[of[0]]
    text = str(first[()].diff(variable)) if single and not first.shape else ""
    return [slopes(environment[node], variable, at) for node in of], text if len(text) <= 200 else ""

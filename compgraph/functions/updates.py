"""`at(x)[index].set(y)`: what `x[index] = y` says, with a new node as the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compgraph.backend import as_array
from compgraph.errors import CompgraphError, DtypeError, MissingRuleError, ShapeError
from compgraph.functions.parameters import split_index
from compgraph.graph import bind
from compgraph.operands import as_operand, named
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.indexing import may_repeat
from compgraph.primitives.kinds import is_node, shape_of


class at:  # noqa: N801 - it reads as a function
    """`at(x)[index].set(y)` is `x` with `y` written at `index`; `x` itself stays what it is.

    >>> import numpy as np, compgraph as cg
    >>> at(np.zeros(3))[1].set(5.0)
    array([0., 5., 0.])
    >>> cg.grad(lambda x, y: np.sum(at(x)[::2].multiply(y) ** 2), argnums=(0, 1))(np.array([1.0, 2.0, 3.0]), 2.0)
    (array([ 8.,  4., 24.]), np.float64(40.0))

    Differentiable in `x` and in `y`, which broadcasts against `x[index]`; the result has the shape and dtype of `x`. The
    index is any that `x[index]` takes. Where it names an entry more than once, `add`, `subtract`, `multiply`, `divide`,
    `min` and `max` do it each time, and of `set` the last value stays and is the only one with a derivative.
    """

    def __init__(self, x: Any) -> None:
        self.x = x if is_node(x) else as_array(named(as_operand, x, "at"))

    def __getitem__(self, index: Any) -> Entries:
        return Entries(self.x, index)


class Entries:
    """The entries of an array that an update is about."""

    def __init__(self, x: Any, where: Any) -> None:
        self.x = x
        self.where = where
        try:
            self.index, self.indices = split_index(where)
        except CompgraphError:
            raise
        except TypeError as error:
            raise DtypeError(f"at: {error}{here()}") from None
        self.read = bind("index", x, *self.indices, index=self.index)

    def get(self) -> Any:
        return self.read

    def set(self, y: Any) -> Any:
        index, indices = split_index(self.where, first=2)
        return bind("assign", self.x, self._fitted(y), *indices, index=index)

    def add(self, y: Any) -> Any:
        return self.x + bind("scatter_add", self._fitted(y), *self.indices, index=self.index, shape=shape_of(self.x))

    def subtract(self, y: Any) -> Any:
        return self.add(-self._fitted(y))

    def multiply(self, y: Any) -> Any:
        return self._each_time("multiply", np.multiply, y)

    def divide(self, y: Any) -> Any:
        return self._each_time("divide", np.divide, y)

    def min(self, y: Any) -> Any:
        return self._each_time("min", np.minimum, y)

    def max(self, y: Any) -> Any:
        return self._each_time("max", np.maximum, y)

    def _fitted(self, y: Any) -> Any:
        """`y` in the shape of the entries and the dtype of the array."""
        y, shape, dtype = y if is_node(y) else as_array(named(as_operand, y, "at: the value")), shape_of(self.read), self.x.dtype
        if y.dtype.kind in "fc" and (dtype.kind in "iub" or (y.dtype.kind == "c" and dtype.kind == "f")):
            raise DtypeError(f"at: an array of {dtype} cannot take {y.dtype} as it is. Write x.astype({y.dtype}) first{here()}")
        surplus = len(y.shape) - len(shape)
        if surplus > 0 and y.shape[:surplus] == (1,) * surplus:  # which assignment in NumPy drops too
            y = np.reshape(y, y.shape[surplus:])
        try:
            fits = np.broadcast_shapes(y.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(f"at: a value of shape {y.shape} does not broadcast to the entries, of shape {shape}{here()}")
        y = cast(y, dtype)
        return y if y.shape == shape else np.broadcast_to(y, shape)

    def _each_time(self, name: str, function: Callable[[Any, Any], Any], y: Any) -> Any:
        """x[index] = function(x[index], y), once for every time that the index names an entry."""
        if not may_repeat(self.index):
            return self.set(function(self.read, self._fitted(y)))
        if any(node.value is None for node in self.indices):
            raise MissingRuleError(
                f"at: {name} at an abstract array of indices, which may name an entry twice{here()}. Use .set or .add, or pass the "
                "indices as an array"
            )
        shape = shape_of(self.x)
        index = self.where
        parts = tuple(part.value if is_node(part) else part for part in (index if isinstance(index, tuple) else (index,)))
        places = np.arange(int(np.prod(shape))).reshape(shape)[parts].reshape(-1)
        y = np.reshape(self._fitted(y), (-1,))
        x = np.reshape(self.x, (-1,))
        turns = _turns(places)
        for turn in range(int(turns.max(initial=-1)) + 1):
            now = np.flatnonzero(turns == turn)
            entries = at(x)[places[now]]
            x = entries.set(function(entries.read, y[now]))
        return np.reshape(x, shape)


def _turns(places: Any) -> Any:
    """For each place how many equal ones stand before it.

    >>> _turns(np.array([7, 3, 7, 7]))
    array([0, 0, 1, 2])
    """
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)])
    turns = np.empty(len(places), np.intp)
    turns[order] = np.arange(len(places)) - np.repeat(first, np.diff(np.append(first, len(places))))
    return turns

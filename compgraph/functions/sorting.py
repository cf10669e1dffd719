"""NumPy's sorts, and the places of numbers among others, which have no derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.backend import as_array
from compgraph.functions.parameters import static_axes, whole
from compgraph.functions.reductions import all_known, is_known, plain
from compgraph.functions.registry import implements
from compgraph.functions.scans import one_axis
from compgraph.graph import Node, bind
from compgraph.primitives.kinds import shape_of


def _sorted(name: str, a: Any, axis: Any, order: Any, **params: Any) -> Any:
    if order is not None:
        raise ValueError("Cannot specify order when the array has no fields.")
    if axis is None:
        a, axis = np.ravel(a), -1
    return bind(name, a, axis=one_axis(axis, len(shape_of(a))), **params)


@implements(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """A sorted copy. Its derivative is the permutation of a stable sort, whatever the `kind`: ties keep their order."""
    return _sorted("sort", a, axis, order)


@implements(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None) -> Any:
    """NumPy's partition; `kth` is an int or a sequence of ints."""
    kth = static_axes(kth.tolist() if isinstance(kth, (np.ndarray, Node)) else kth)
    return _sorted("partition", a, axis, order, kth=kth)


@implements(np.argsort)
def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """NumPy's order of the entries; that of a stable sort while a function is traced."""
    if is_known(a):
        return np.argsort(plain(a), axis=axis, kind=kind, order=order, stable=stable)
    return _sorted("argsort", a, axis, order)


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    if is_known(a, v):
        return np.searchsorted(plain(a), plain(v), side=side, sorter=sorter)  # type: ignore[call-overload]
    if sorter is not None:
        raise ValueError("sorter= is not taken while a function is traced: sort `a` first")
    if side not in ("left", "right"):
        raise ValueError(f"side must be one of 'left' or 'right' (got {side!r})")
    return bind("searchsorted", a, v, side=side)


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The numbers of the bins; `bins` increase or decrease."""
    bins = plain(bins)
    if is_known(x):
        return np.digitize(plain(x), bins, right=right)
    if bins is None:
        raise ValueError("digitize needs bins that are known")
    bins, side = as_array(bins), "left" if right else "right"
    if len(bins) and bins[0] > bins[-1]:
        return len(bins) - searchsorted(bins[::-1], x, side)
    return searchsorted(bins, x, side)


@implements(np.histogram)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Counts, as plain numbers: they have no derivative."""
    values = [_known(one, "np.histogram") for one in (a, bins, weights)]
    return np.histogram(values[0], values[1], range, density, values[2])


@implements(np.unique)
def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None) -> Any:
    """The distinct values, as plain numbers: how many there are depends on the values."""
    options: Any = {"return_index": return_index, "return_inverse": return_inverse, "return_counts": return_counts}
    return np.unique(_known(ar, "np.unique"), axis=None if axis is None else whole(axis), **options)


def _known(arg: Any, purpose: str) -> Any:
    return arg if all_known((arg,)) and not isinstance(arg, Node) else arg.concrete(purpose)

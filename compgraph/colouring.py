"""Colours for the columns of a sparse matrix, so that those of one colour can share a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import networkx as nx
import numpy as np

Array = np.ndarray[Any, Any]

EDGES = 20_000_000  # of the graph of conflicts, beyond which each column gets a colour of its own


def column_colours(rows: Array, cols: Array, shape: tuple[int, int]) -> Array:
    """A colour a column, such that two columns with an entry in the same row differ: a distance-2 colouring.

    >>> rows, cols = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 2, 3])
    >>> column_colours(rows, cols, (3, 4))
    array([0, 1, 0, 1])

    Greedy in the order of the columns, which is optimal for a band, and for small matrices in two other orders too.
    No colouring has fewer colours than the fullest row has entries. Columns without entries have colour 0.
    """
    counts = np.bincount(rows, minlength=shape[0])
    fullest = int(np.max(counts, initial=0))
    if fullest <= 1:
        return np.zeros(shape[1], int)
    if float(np.sum(counts.astype(float) ** 2)) > EDGES:
        return np.arange(shape[1])
    conflicts: nx.Graph[int] = nx.Graph()
    conflicts.add_nodes_from(np.unique(cols).tolist())
    order = np.argsort(rows, kind="stable")
    by_row = np.split(cols[order], np.cumsum(counts)[:-1])
    for gap in range(1, fullest):  # entry pairs of a row, by how far apart they stand in it
        firsts = np.concatenate([row[:-gap] for row in by_row if len(row) > gap])
        seconds = np.concatenate([row[gap:] for row in by_row if len(row) > gap])
        conflicts.add_edges_from(zip(firsts.tolist(), seconds.tolist(), strict=True))
    best = _greedy(conflicts, shape[1], "in order")
    if len(conflicts) <= 5000:
        for strategy in ("largest_first", "smallest_last"):
            if np.max(best) + 1 > fullest:
                other = _greedy(conflicts, shape[1], strategy)
                best = other if np.max(other) < np.max(best) else best
    return best


def _greedy(conflicts: nx.Graph[int], size: int, strategy: Any) -> Array:
    chosen = _in_order if strategy == "in order" else strategy
    colours = np.zeros(size, int)
    for column, colour in nx.greedy_color(conflicts, strategy=chosen).items():
        colours[column] = colour
    return colours


def _in_order(graph: nx.Graph[int], _: Any) -> Iterator[int]:
    return iter(sorted(graph))


def star_colours(rows: Array, cols: Array, size: int) -> Array:
    """A star colouring of a symmetric pattern: neighbours differ, and every path of four has three colours at least.

    >>> arrow = np.array([(0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0)]).T
    >>> star_colours(*arrow, 4)
    array([0, 1, 1, 1])

    Then of the entries (i, j) and (j, i) one is alone of its colour in its row. Greedy in the order of the columns
    (Gebremedhin, Manne & Pothen, 2005, algorithm 4.1); where rows are very full it falls back on `column_colours`.
    """
    off = rows != cols
    degrees = np.bincount(rows[off], minlength=size)
    if float(np.sum(degrees.astype(float) ** 2)) > EDGES:
        return column_colours(rows, cols, (size, size))
    order = np.argsort(rows[off], kind="stable")
    neighbours = [part.tolist() for part in np.split(cols[off][order], np.cumsum(degrees)[:-1])] if size else []
    colours = [-1] * size
    for vertex in range(size):
        forbidden = set()
        for near in neighbours[vertex]:
            if colours[near] >= 0:
                forbidden.add(colours[near])
            for far in neighbours[near]:
                if far == vertex or colours[far] < 0:
                    continue
                # With `vertex` coloured as `far` is, near and its other neighbours must not close a path of two colours.
                if colours[near] < 0 or any(last != near and colours[last] == colours[near] for last in neighbours[far]):
                    forbidden.add(colours[far])
        colour = 0
        while colour in forbidden:
            colour += 1
        colours[vertex] = colour
    return np.array(colours, int)

"""Where a program's arrays live: which of them share memory, how long each is needed, and one block for all of them.

A value is *fresh* if its operation makes memory of its own, and a *view* if it may be a window into an argument's. The
memory behind a value is needed until the last line that reads it, through whatever view. Blocks of memory that are
never needed at the same time get the same place: first fit, as in a register allocator for intervals.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from compgraph.graph import Node

ALIGNMENT = 64  # bytes; a cache line, and the widest vector registers


class Block(NamedTuple):
    """Memory needed from line `start` to line `stop`, both included."""

    start: int
    stop: int
    nbytes: int


def places(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """An offset for each block, so that no two that are needed at the same time overlap, and the size of the whole.

    >>> places([Block(0, 2, 100), Block(1, 3, 100), Block(3, 4, 64)])
    ([0, 128, 0], 256)
    """
    offsets = [0] * len(blocks)
    free: list[tuple[int, int]] = []  # (offset, size), by offset, no two adjacent
    used: list[tuple[int, int, int]] = []  # a heap of (stop, offset, size)
    top = 0
    for number in sorted(range(len(blocks)), key=lambda number: blocks[number].start):
        start, stop, nbytes = blocks[number]
        size = -(-nbytes // ALIGNMENT) * ALIGNMENT
        while used and used[0][0] < start:
            _, offset, freed = heapq.heappop(used)
            free = _with(free, offset, freed)
        fits = [(length, offset) for offset, length in free if length >= size]
        if fits:
            length, offset = min(fits)  # the tightest gap
            free.remove((offset, length))
            if length > size:
                free = _with(free, offset + size, length - size)
        else:
            if free and sum(free[-1]) == top:  # grow the last gap
                offset = free.pop()[0]
            else:
                offset = top
            top = offset + size
        offsets[number] = offset
        heapq.heappush(used, (stop, offset, size))
    return offsets, top


def _with(free: list[tuple[int, int]], offset: int, size: int) -> list[tuple[int, int]]:
    """The gaps with one more, which is joined to those that it touches."""
    joined: list[tuple[int, int]] = []
    for start, length in sorted([*free, (offset, size)]):
        if joined and sum(joined[-1]) == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((start, length))
    return joined


def bases_of(nodes: Iterable[Node], is_view: Callable[[Node], bool]) -> dict[Node, tuple[Node, ...]]:
    """For each node the nodes whose memory its value may lie in: itself, or for a view those of its arguments."""
    bases: dict[Node, tuple[Node, ...]] = {}
    for node in nodes:
        if node.primitive is None or not is_view(node):
            bases[node] = (node,)
        else:
            found = [base for arg in node.args if isinstance(arg, Node) for base in bases[arg]]
            bases[node] = tuple(dict.fromkeys(found)) or (node,)
    return bases


def last_reads(lines: Sequence[Node], bases: dict[Node, tuple[Node, ...]]) -> dict[Node, int]:
    """For each node with memory of its own the number of the last line that reads it; a line that nobody reads, itself."""
    last: dict[Node, int] = {}
    for number, node in enumerate(lines):
        last.setdefault(node, number)
        for arg in node.args:
            if isinstance(arg, Node):
                for base in bases[arg]:
                    last[base] = number
    return last

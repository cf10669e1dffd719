"""Whether the arrays of a call may be overwritten: writeable, and in memory that no other argument reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compgraph.backend import bounds, is_on_device, is_writeable


def apart(donated: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether every donated array is writeable and shares memory with no other argument.

    >>> import numpy as np
    >>> p = np.zeros(8)
    >>> apart([p[:4], p[4:]], [np.ones(4)]), apart([p[:5], p[3:]], []), apart([p], [p]), apart([p[::2], p[1::2]], [])
    (True, False, False, True)

    `others` may hold anything. Arrays of different owners cannot overlap, which settles most calls at a glance.
    """
    owners = set()
    for array in donated:  # a loop, since a call of a small program costs as little as three comprehensions
        if not (array.flags.writeable if array.__class__ is np.ndarray else is_writeable(array)):
            return False
        owners.add(id(array if array.base is None else _owner(array)))
    read = []
    shared = len(owners) < len(donated)
    for array in others:
        if array.__class__ is np.ndarray or (array.__class__ is not float and is_on_device(array)):
            read.append(array)
            shared = shared or id(array if array.base is None else _owner(array)) in owners
    if not shared:
        return True
    spans = sorted((*bounds(array), given) for arrays, given in ((donated, True), (read, False)) for array in arrays if array.size)
    written_to = read_to = 0  # how far the arrays reach that begin before this one
    for start, stop, given in spans:
        if start < written_to or (given and start < read_to):
            return first_overlap(donated, read) is None  # the spans overlap; the entries may still lie between each other
        written_to, read_to = max(written_to, stop * given), max(read_to, stop)
    return True


def first_overlap(donated: Sequence[Any], read: Sequence[Any]) -> tuple[int, int] | None:
    """The numbers, counted through both, of a donated array and another that share an entry; None where none do."""
    arrays = [*donated, *read]
    for place, array in enumerate(donated):
        for other in range(place + 1, len(arrays)):
            if _share(array, arrays[other]):
                return place, other
    return None


def _share(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return bool(np.shares_memory(one, other))
    if not is_on_device(one) or not is_on_device(other):
        return False
    (start, stop), (first, last) = bounds(one), bounds(other)  # of a device only the spans are compared
    return start < last and first < stop


def _owner(array: Any) -> Any:
    """The object that holds an array's memory."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array

"""Where each value of a fused program lives: in a variable, in a block of the scratch memory, or in an array of its own.

Scratch memory is one flat array a dtype. A block of it is given out from the item of the program that first writes it
until the item that last reads it, so that few megabytes serve a long program, and stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from compgraph.targets.building import touched
from compgraph.targets.fusion import Body, found_in_variable, shared_depth
from compgraph.targets.statements import Access, Item, Statement, Value, flattened

ALIGNMENT = 64  # bytes, a cache line


class Block:
    """The memory of a value: entries `start + offset - low` of the array called `array`."""

    __slots__ = ("array", "depth", "low", "name", "size", "start")

    def __init__(self, array: str, start: int, size: int, name: str = "", depth: int = 0, low: int = 0) -> None:
        self.array = array
        self.start = start
        self.size = size
        self.name = name  # of the constant that holds `start`, where there is one
        self.depth = depth  # of the loops whose iterations all use the same entries
        self.low = low


class Storage:
    """The block of each value that has one, and how large each scratch array is."""

    def __init__(self, top: Body, items: Iterable[Item], donated: Mapping[int, Value], outputs: list[Value]) -> None:
        self.blocks: dict[Value, Block] = {}
        self.sizes: dict[str, int] = {}
        self.copied: dict[int, int] = {}  # outputs that are copied into the memory of an input when all is done
        self.items = list(flattened(items))
        self.touching: dict[Value, list[tuple[Statement, Access]]] = {}
        self.spans: dict[Value, tuple[int, int]] = {}
        self._survey()
        for value in outputs:
            self._place_output(value, donated.get(value.output if value.output is not None else -1))
        for value in self.touching:
            if value.kind in ("input", "array"):
                self.blocks[value] = Block(value.name, 0, value.size)
        self.constants = [value for value in self.touching if value.kind == "constant"]
        for value in self.constants:
            array = f"{value.dtype.name}_constants"
            self.blocks[value] = Block(array, self.sizes.get(array, 0), value.size, f"{value.name}_at")
            self.sizes[array] = self.sizes.get(array, 0) + value.size
        scratch = [value for value in self.spans if value not in self.blocks and value.base is None and not self._in_variables(value)]
        self._pack(scratch)
        for value in self.spans:
            if value.base is not None:
                base = self.blocks[value.base[0]]
                name = base.name and f"{base.name} + {value.base[1]}"
                self.blocks[value] = Block(base.array, base.start + value.base[1], value.size, name)

    def _survey(self) -> None:
        for item in self.items:
            place = item.place[0]
            written, read = touched(item)
            for value in (*written, *read):
                for one in (value, *([value.base[0]] if value.base is not None else [])):
                    first, last = self.spans.get(one, (place, place))
                    self.spans[one] = (min(first, place), max(last, place))
                    self.touching.setdefault(one, [])
            if isinstance(item, Statement):
                gathered = [gather.access for gather in item.target.gathers]
                for access in (item.target, *(each for read_ in (*item.reads, *gathered) for each in read_.all_accesses())):
                    self.touching[access.value].append((item, access))

    def _in_variables(self, value: Value) -> bool:
        """Whether every reader stands where the variable that the writer left behind still holds what it wants."""
        if len(value.writers) != 1 or not isinstance(value.writers[0], Statement) or value.kind != "scratch":
            return False
        writer = value.writers[0]
        if writer.kind == "add" or False in writer.reduced[writer.first_reduced :]:
            return False
        if any(not isinstance(reader, Statement) for reader in value.readers):
            return False
        reads = [(item, access) for item, access in self.touching[value] if access is not writer.target]
        return all(found_in_variable(access, item) is writer for item, access in reads)

    def _place_output(self, value: Value, donor: Value | None) -> None:
        assert value.output is not None
        if donor is not None and self._may_overwrite(value, donor):
            self.blocks[value] = Block(donor.name, 0, value.size)
            return
        if donor is not None:
            self.copied[value.output] = donor.number
        self.blocks[value] = Block(value.name if value.name.endswith("_out") else f"{value.name}_out", 0, value.size)

    def _may_overwrite(self, value: Value, donor: Value) -> bool:
        """Whether all that reads the donor has done so before its memory takes the output."""
        first = self.spans[value][0] if value in self.spans else 0
        for reader in donor.readers:
            if reader.place[0] < first:
                continue
            if len(value.writers) != 1:  # or none, of an empty array
                return False
            (writer,) = value.writers
            if not isinstance(writer, Statement) or not isinstance(reader, Statement) or writer.kind != "map":
                return False
            if writer.path != reader.path or not writer.path or writer.path[0].tail is not None:
                return False
            for read in (*reader.reads, *(gather.access for gather in reader.target.gathers)):
                for one in read.all_accesses():
                    if one.value is donor and (one.gathers or one.offset != writer.target.offset or one.strides != writer.target.strides):
                        return False
        return True

    def _shared_depth(self, value: Value) -> int:
        """How many loops leave the value to each of their turns alone, so that all can use the same entries."""
        touching = self.touching[value]
        only_statements = all(isinstance(one, Statement) for one in (*value.writers, *value.readers))
        return shared_depth(value, touching) if only_statements and touching and value.kind == "scratch" else 0

    def _pack(self, values: list[Value]) -> None:
        """First fit: each block at the lowest place that is free as long as it is needed."""
        taken: dict[str, list[tuple[int, int, int]]] = {}  # array -> (start, end, last use), by start
        for value in sorted(values, key=lambda one: self.spans[one][0]):
            touching = self.touching[value]
            depth = self._shared_depth(value)
            low, size = 0, value.size
            if depth:
                reach = [access.residual(item.lengths, depth) for item, access in touching]
                low = min(first for first, _ in reach)
                size = max(last for _, last in reach) - low + 1
            array = f"{value.dtype.name}s"
            step = max(ALIGNMENT // value.dtype.itemsize, 1)
            room = -(-max(size, 1) // step) * step
            first, last = self.spans[value]
            live = [block for block in taken.get(array, []) if block[2] >= first]
            start = 0
            for begin, end, _ in live:
                if begin - start >= room:
                    break
                start = max(start, end)
            live.append((start, start + room, last))
            live.sort()
            taken[array] = live
            self.sizes[array] = max(self.sizes.get(array, 0), start + room)
            self.blocks[value] = Block(array, start, size, f"{value.name}_at", depth, low)


def dtype_of(array: str) -> np.dtype[np.generic]:
    """The dtype of a scratch array.

    >>> dtype_of("float32s")
    dtype('float32')
    """
    return np.dtype(array[:-1])

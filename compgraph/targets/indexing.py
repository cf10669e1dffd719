"""Reading, adding and writing entries, and joining arrays: views where the index is basic, gathers where it is an array."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from compgraph.graph import PRIMITIVES, Node
from compgraph.primitives.indexing import parts_of
from compgraph.primitives.kinds import normalized_axes
from compgraph.targets.building import Building
from compgraph.targets.spelling import cast
from compgraph.targets.statements import Access, Gather, Operand, Uniform, View, address

Blocks = list[tuple[Node, np.ndarray[Any, Any]]]  # what is put where, as views of a stand-in


class Indexing(Building):
    """The rules of indices and joins."""

    pieces: dict[Node, tuple[Blocks, list[Node]]]

    def _lower_index(self, node: Node) -> Operand | None:
        whole = self._in_memory(self.operand(node.args[0]), node)
        found = self._indexed(whole, node, node.params["index"], 1)
        if found is None or isinstance(found, View):
            return found
        target = self.new(node)
        self.state("map", node.shape, target, [found], lambda names: names[0], node.dtype, node)
        return target

    def _lower_scatter_add(self, node: Node) -> Operand | None:
        target = self.new(node)
        found = self._indexed(target, node, node.params["index"], 1)
        if found is None:
            return None
        source = self.operand(node.args[0])
        self.fill(target, 0, node)
        if isinstance(found, View):
            self.copy(found, source, node)
        else:
            self.state("add", node.args[0].shape, found, [source], lambda names: names[0], node.dtype, node)
        return target

    def _lower_assign(self, node: Node) -> Operand | None:
        target = self.new(node)
        found = self._indexed(target, node, node.params["index"], 2)
        if found is None:
            return None
        self.copy(target, self.operand(node.args[0]), node)
        source = self.operand(node.args[1])
        if isinstance(found, View):
            self.copy(found, source, node)
        else:
            have = source.dtype
            self.state("map", node.args[1].shape, found, [source], lambda names: cast(names[0], have, node.dtype), node.dtype, node)
        return target

    def _lower_fold(self, node: Node) -> Operand:
        """Add to the windows of zeros, which are strides and no memory."""
        target, given = self.new(node), node.args[0].shape
        start = len(given) - 2 * len(node.params["shape"])
        size = given[start : start + len(node.params["shape"])]
        places = PRIMITIVES["windows"].evaluate(target.entries, size=size, stride=node.params["stride"], dilation=node.params["dilation"])
        self.fill(target, 0, node)
        source = self.operand(node.args[0])
        self.state("add", given, target._replace(entries=places), [source], lambda names: names[0], node.dtype, node)
        return target

    def _in_memory(self, operand: Operand, node: Node) -> View:
        if isinstance(operand, View):
            return operand
        target = self.new(node, operand.shape, operand.dtype, "_copy")
        self.fill(target, operand.number, node)
        return target

    def _indexed(self, whole: View, node: Node, index: Any, first: int) -> Access | View | None:
        """The entries of `whole` at an index: a view, or an access with gathers; None for an index of another kind."""
        parts = parts_of(index)
        if not any(isinstance(part, (np.ndarray, str, list, tuple)) for part in parts):
            return whole._replace(entries=whole.entries[with_ellipsis(parts)])
        if any(part is Ellipsis for part in parts):
            place = [part is Ellipsis for part in parts].index(True)
            free = len(whole.shape) - sum(part is not None for part in parts) + 1
            parts = parts[:place] + (slice(None),) * free + parts[place + 1 :]
        arrays: list[int] = []
        operands: dict[int, Operand] = {}
        axis = 0
        kept: list[Any] = []  # the index with 0 at the places of arrays
        strides: dict[int, tuple[int, int]] = {}
        for place, part in enumerate(parts):
            if isinstance(part, (np.ndarray, list, tuple)) and np.asarray(part).dtype == np.bool_:
                return None
            if isinstance(part, (np.ndarray, str, list, tuple)):
                arrays.append(place)
                operands[place] = self.operand(node.args[int(part[1:-1])]) if isinstance(part, str) else self.constant(np.asarray(part))
                strides[place] = (whole.entries.strides[axis], whole.shape[axis])
            elif isinstance(part, int) and not isinstance(part, bool):
                arrays.append(place)
                operands[place] = Uniform(np.int64(part), ())
                strides[place] = (whole.entries.strides[axis], whole.shape[axis])
            kept.append(0 if place in operands else part)
            axis += part is not None
        if any(operand.dtype.kind not in "iu" for operand in operands.values()) or 0 in whole.shape:
            return None
        rest = whole.entries[(*kept, ...)]
        together = np.broadcast_shapes(*(operand.shape for operand in operands.values()))
        adjacent = arrays[-1] - arrays[0] + 1 == len(arrays)
        before = sum(isinstance(part, slice) or part is None for part in parts[: arrays[0]]) if adjacent else 0
        middle = (0,) * len(together)
        base = rest.strides[:before] + middle + rest.strides[before:]
        offset = address(rest) - address(whole.value.stand_in)
        gathers: list[Gather] = []
        total = list(base)
        for place in arrays:
            operand, (stride, length) = operands[place], strides[place]
            if isinstance(operand, Uniform):
                at = int(operand.number)
                if not -length <= at < length:
                    return None
                offset += stride * (at % length)
                continue
            run = _arange(self._array_of(operand), length)
            spread = np.broadcast_to(operand.entries, together).strides
            if run is not None:  # numbers in even steps are strides of the loop
                offset += stride * run[0]
                total[before + len(together) - 1] += stride * run[1]
                continue
            inner = (0,) * before + tuple(spread) + (0,) * (len(rest.shape) - before)
            gathers.append(Gather(Access(operand.value, operand.offset, (*operand.turn, *inner)), stride, length))
        return Access(whole.value, offset, (*whole.turn, *total), tuple(gathers))

    def _array_of(self, operand: View) -> np.ndarray[Any, Any] | None:
        if operand.value.kind != "constant" or not operand.is_whole():
            return None
        return np.asarray(self.constant_arrays[operand.value.number])

    def _joined(self, node: Node) -> Operand:
        target = self.new(node)
        axis = normalized_axes(node.params["axis"], len(node.shape))[0]
        start = 0
        for arg in node.args:
            source = self.operand(arg)
            entries = np.moveaxis(target.entries, axis, 0)
            if node.primitive.name == "stack":  # type: ignore[union-attr]
                piece = entries[start, ...]
                start += 1
            else:
                piece = np.moveaxis(entries[start : start + source.shape[axis]], 0, axis)
                start += source.shape[axis]
            self._put(target._replace(entries=piece), source, node)
        return target

    def _put(self, piece: View, source: Operand, node: Node) -> None:
        """Have `source` written at `piece`: a product of BLAS is computed there at once, all else is copied in its loop."""
        fits = piece.entries.flags.c_contiguous and piece.value.base is None and not self.turns
        if (
            fits and isinstance(source, View) and source.value.call and source.value.base is None
            and source.value.kind == "scratch" and source.is_whole() and source.dtype == piece.dtype
        ):  # fmt: skip
            source.value.base = (piece.value, piece.offset)
            piece.value.writers += source.value.writers
        else:
            self.copy(piece, source, node)

    def _assembled(self, node: Node) -> Operand:
        target = self.new(node)
        flat = target._replace(entries=target.entries.reshape(-1))
        blocks = sorted(self.pieces[node][0], key=lambda block: address(block[1]))
        first, end = self._start_of(node), 0
        for _, block in blocks:
            start = address(block) - first
            if start > end:
                self.fill(flat._replace(entries=flat.entries[end:start]), 0, node)
            end = start + block.size
        if end < target.entries.size:
            self.fill(flat._replace(entries=flat.entries[end:]), 0, node)
        for source, block in blocks:
            start = address(block) - first
            self._put(flat._replace(entries=flat.entries[start : start + block.size].reshape(block.shape)), self.operand(source), node)
        return target

    def _assemblies(self) -> dict[Node, tuple[Blocks, list[Node]]]:
        """Sums of blocks that do not overlap, as the adjoints of slices are: add -> (blocks, the nodes that vanish)."""
        found: dict[Node, tuple[Blocks, list[Node]]] = {}
        stand_ins: dict[tuple[int, ...], np.ndarray[Any, Any]] = {}
        for node in self.graph.nodes:
            if node.primitive is PRIMITIVES["scatter_add"] and len(node.args) == 1:
                parts = parts_of(node.params["index"])
                if all(part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts):
                    whole = stand_ins.setdefault(node.shape, np.empty(node.shape, np.int8))
                    block = whole[with_ellipsis(parts)]
                    if block.size and block.flags.c_contiguous:
                        found[node] = ([(node.args[0], block)], [])
            elif node.primitive is PRIMITIVES["add"]:
                sides = [found.get(arg) for arg in node.args if isinstance(arg, Node) and self.counts[arg] == 1 and arg.shape == node.shape]
                if len(sides) == 2 and sides[0] is not None and sides[1] is not None:
                    blocks = sides[0][0] + sides[1][0]
                    spans = sorted((address(block), address(block) + block.size) for _, block in blocks)
                    if all(one[1] <= two[0] for one, two in pairwise(spans)):
                        found[node] = (blocks, [*sides[0][1], *sides[1][1], *node.args])
        inner = {node for _, absorbed in found.values() for node in absorbed}
        return {node: each for node, each in found.items() if len(each[0]) > 1 and node not in inner}

    def _start_of(self, node: Node) -> int:
        base = self.pieces[node][0][0][1]
        while base.base is not None:
            base = base.base
        return address(base)


def with_ellipsis(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """A basic index that gives a view also where it reads a single entry."""
    return parts if any(part is Ellipsis for part in parts) else (*parts, ...)


def _arange(array: np.ndarray[Any, Any] | None, length: int) -> tuple[int, int] | None:
    """Start and step of indices along one last axis in even steps, which stay within an axis of that length."""
    if array is None or array.ndim != 1 or array.size < 2 or array.min() < 0 or array.max() >= length:
        return None
    step = int(array[1]) - int(array[0])
    return (int(array[0]), step) if np.array_equal(array, array[0] + step * np.arange(array.size)) else None

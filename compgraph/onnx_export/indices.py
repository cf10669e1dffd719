"""Rows of the table from primitives to ONNX operators: reading entries, adding into them, writing them, and windows."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from compgraph.graph import Node
from compgraph.layout import places_read
from compgraph.loop import SCAN, part_number
from compgraph.onnx_export.program import Row, Term, Writer, expanded, ints
from compgraph.primitives.kinds import shape_of
from compgraph.primitives.windows import windows

_END = 2**63 - 1  # what ONNX takes for "to the end", in both directions with a sign

# ----------------------------------------------------------------------------------------------------- reading


def read(x: Term, ndim: int, index: Any, given: dict[str, tuple[Term, tuple[int, ...]]]) -> Term:
    """`x[index]`, where `given` says what stands at the places of the index, and of which shape.

    Slices are cut first, by the numbers that the user wrote: so `x[1:]` holds for every batch. A single array of indices, or
    integers alone, are ONNX's Gather; several arrays are brought to the front for GatherND, and their axes to where NumPy
    has them: the place of the first, or the front where a slice stands between them.
    """
    parts: list[Any] = []
    for part in index if isinstance(index, tuple) else (index,):
        part = np.asarray(part) if isinstance(part, (list, tuple)) else part
        parts += np.nonzero(part) if isinstance(part, np.ndarray) and part.dtype == bool else [part]
    missing = ndim - sum(part is not None and part is not Ellipsis for part in parts)
    if all(part is not Ellipsis for part in parts):
        parts.append(Ellipsis)
    at = next(place for place, part in enumerate(parts) if part is Ellipsis)
    parts[at : at + 1] = [slice(None)] * missing

    axes = [sum(part is not None for part in parts[:place]) for place in range(len(parts))]
    x = _sliced(x, [(axis, part) for axis, part in zip(axes, parts, strict=True) if isinstance(part, slice) and part != slice(None)])
    picks = [place for place, part in enumerate(parts) if part is not None and not isinstance(part, slice)]
    if all(isinstance(parts[place], (int, np.integer)) for place in picks):
        for place in reversed(picks):
            x = x.op("Gather", np.array(parts[place], np.int64), axis=axes[place])
        layout = [part for place, part in enumerate(parts) if place not in picks]
        return _with_new_axes(x, [1 if part is None else 0 for part in layout])

    indices = [given[part] if isinstance(part, str) else (part, np.shape(part)) for part in (parts[place] for place in picks)]
    shape = np.broadcast_shapes(*[one for _, one in indices])
    first, together = picks[0], picks[-1] - picks[0] + 1 == len(picks)
    if len(picks) == 1:
        x = x.op("Gather", _int64(x, indices[0][0]), axis=axes[first])
    else:
        x = _gathered(x, ndim, [axes[place] for place in picks], [_broadcast(x, one, own, shape) for one, own in indices])
        before = sum(part is not None for part in parts[:first]) if together else 0
        order = [*range(len(shape), len(shape) + before), *range(len(shape))]
        order += range(len(order), len(shape) + ndim - len(picks))
        x = x if order == sorted(order) else x.op("Transpose", perm=tuple(order))
    layout = [0 if isinstance(part, slice) else 1 if part is None else None for part in parts]
    width = [0] * len(shape)
    rest = [mark for mark in layout if mark is not None]
    ahead = len([mark for mark in layout[:first] if mark is not None]) if together else 0
    return _with_new_axes(x, rest[:ahead] + width + rest[ahead:])


def _sliced(x: Term, cuts: list[tuple[int, slice]]) -> Term:
    if not cuts:
        return x
    steps = [1 if cut.step is None else cut.step for _, cut in cuts]
    starts = [(0 if step > 0 else _END) if cut.start is None else cut.start for (_, cut), step in zip(cuts, steps, strict=True)]
    ends = [(_END if step > 0 else -_END) if cut.stop is None else cut.stop for (_, cut), step in zip(cuts, steps, strict=True)]
    return x.op("Slice", ints(starts), ints(ends), ints(axis for axis, _ in cuts), ints(steps))


def _with_new_axes(x: Term, marks: Sequence[int | None]) -> Term:
    new = [place for place, mark in enumerate(marks) if mark]
    return x.op("Unsqueeze", ints(new)) if new else x


def _int64(x: Term, index: Any) -> Term:
    return index.cast(np.int64) if isinstance(index, Term) else x.writer.tensor(np.asarray(index, np.int64))


def _broadcast(x: Term, index: Any, own: tuple[int, ...], shape: tuple[int, ...]) -> Term:
    term = _int64(x, index)
    return (term if own == shape else expanded(term, shape)).op("Unsqueeze", ints([-1]))


def _gathered(x: Term, ndim: int, axes: list[int], indices: list[Term]) -> Term:
    """The entries of `x` at places given axis by axis; the axes that are not asked for come last."""
    order = axes + [axis for axis in range(ndim) if axis not in axes]
    if order != sorted(order):
        x = x.op("Transpose", perm=tuple(order))
    return x.op("GatherND", indices[0].op("Concat", *indices[1:], axis=-1))


def _given(writer: Writer, node: Node, first: int) -> dict[str, tuple[Term, tuple[int, ...]]]:
    places = range(first, len(node.args))
    return {f"{{{place}}}": (writer.argument(node, place), shape_of(node.args[place])) for place in places}


def _index(writer: Writer, node: Node) -> Term:
    source = node.args[0]
    if isinstance(source, Node) and source.primitive is SCAN:
        number = part_number(node, source)
        if number is not None:
            return writer.parts[source][number].reshape(node.shape).cast(node.dtype)
    return read(writer.argument(node, 0), len(shape_of(source)), node.params["index"], _given(writer, node, 1))


# -------------------------------------------------------------------------------------------- adding and writing


def _places(writer: Writer, node: Node, shape: Sequence[int], first: int) -> Term:
    """Where in the flat array of that shape the index of a node points."""
    zero, one = writer.tensor(np.int64(0)), np.int64(1)
    numbers = zero.op("Range", np.int64(prod(shape)), one).reshape(shape)
    return read(numbers, len(shape), node.params["index"], _given(writer, node, first)).reshape([-1])


def _scattered(x: Term, places: Term, value: Term, shape: Sequence[int], **how: Any) -> Term:
    return x.op("ScatterElements", places, value.reshape([-1]), axis=0, **how).reshape(shape)


def _padded(writer: Writer, node: Node, x: Term, shape: Sequence[int], value: float) -> Term | None:
    """`x` with `value` around it, where the index of a node is the place of a block of its shape in the result."""
    block = places_read(node.params["index"], tuple(shape))
    if block is None or not all(isinstance(one, range) and one.step == 1 for one in block) or not shape:
        return None
    before, after = [one.start for one in block], [length - one.stop for one, length in zip(block, shape, strict=True)]  # type: ignore[union-attr]
    return x.op("Pad", ints(before + after), np.asarray(value, x.dtype))


def _scatter_add(writer: Writer, node: Node) -> Term:
    x = writer.argument(node, 0, node.dtype)
    zeros = expanded(writer.tensor(np.zeros((), node.dtype)), [prod(node.shape)])
    padded = _padded(writer, node, x, node.shape, 0.0)
    return padded or _scattered(zeros, _places(writer, node, node.shape, 1), x, node.shape, reduction="add")


def _assign(writer: Writer, node: Node) -> Term:
    around, (x, value) = node.args[0], (writer.argument(node, place, node.dtype) for place in (0, 1))
    if isinstance(around, np.ndarray) and places_read(node.params["index"], node.shape) is not None:
        outside = np.ones(node.shape, bool)
        outside[node.params["index"]] = False
        rest = around[outside]
        padded = _padded(writer, node, value, node.shape, rest[0]) if rest.size and np.all(rest == rest[0]) else None
        if padded:
            return padded
    return _scattered(x.reshape([-1]), _places(writer, node, node.shape, 2), value, node.shape)


# ----------------------------------------------------------------------------------------------------- windows


def _windows(writer: Writer, node: Node) -> Term:
    """One Gather for each axis of the windows, at (place in the window, place of the window); then the former come first."""
    size, stride, dilation = (node.params[key] for key in ("size", "stride", "dilation"))
    count, x = len(size), writer.argument(node, 0)
    start, counts = node.ndim - 2 * count, node.shape[node.ndim - count :]
    for place in reversed(range(count)):
        indices = np.arange(size[place])[:, None] * dilation[place] + np.arange(counts[place]) * stride[place]
        x = x.op("Gather", indices.astype(np.int64), axis=start + place)
    order = (*range(start), *range(start, start + 2 * count, 2), *range(start + 1, start + 2 * count, 2))
    return x.op("Transpose", perm=order)


def _fold(writer: Writer, node: Node) -> Term:
    """The windows' entries added up where `windows` reads them, for all that comes before the last axes at once."""
    shape, stride, dilation = (node.params[key] for key in ("shape", "stride", "dilation"))
    front, last = node.shape[: node.ndim - len(shape)], shape_of(node.args[0])[node.ndim - len(shape) :]
    numbers = np.arange(prod(shape)).reshape(shape)
    places = windows(numbers, last[: len(shape)], stride, dilation).reshape(1, -1)
    rows = prod(front)
    value = writer.argument(node, 0).reshape([rows, places.size])
    zeros = expanded(writer.tensor(np.zeros((), node.dtype)), [rows, prod(shape)])
    indices = expanded(writer.tensor(places.astype(np.int64)), [rows, places.size])
    return zeros.op("ScatterElements", indices, value, axis=1, reduction="add").reshape(node.shape)


# ------------------------------------------------------------------------------------------------------- table

INDICES: dict[str, Row] = {"index": _index, "scatter_add": _scatter_add, "assign": _assign, "windows": _windows, "fold": _fold}

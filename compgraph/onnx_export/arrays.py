"""Rows of the table from primitives to ONNX operators: shapes, reductions, products, order and loops."""

from __future__ import annotations

from math import prod

import numpy as np

from compgraph.graph import PRIMITIVES, Node
from compgraph.loop import flat_dtype, loop_parts
from compgraph.onnx_export.program import Row, Term, Value, Writer, expanded, ints
from compgraph.primitives.kinds import normalized_axes, shape_of
from compgraph.primitives.products import lengths_of, terms_of
from compgraph.primitives.shape import permutation

# ------------------------------------------------------------------------------------------------------ shapes


def _reshape(writer: Writer, node: Node) -> Term:
    return writer.argument(node, 0).reshape(node.shape)


def _transpose(writer: Writer, node: Node) -> Term:
    x = writer.argument(node, 0)
    return x.op("Transpose", perm=permutation(node.params["axes"], node.ndim)) if node.ndim > 1 else x


def _concatenate(writer: Writer, node: Node) -> Term:
    first, *others = writer.arguments(node, node.dtype)
    return first.op("Concat", *others, axis=normalized_axes(node.params["axis"], node.ndim)[0])


def _stack(writer: Writer, node: Node) -> Term:
    axis = normalized_axes(node.params["axis"], node.ndim)[0]
    first, *others = [x.op("Unsqueeze", ints([axis])) for x in writer.arguments(node, node.dtype)]
    return first.op("Concat", *others, axis=axis)


# -------------------------------------------------------------------------------------------------- reductions


def _axes(node: Node) -> list[int]:
    return list(normalized_axes(node.params.get("axis"), len(shape_of(node.args[0]))))


def reduced(x: Term, op: str, node: Node) -> Term:
    axes = _axes(node)
    return x.op(op, ints(axes), keepdims=int(node.params.get("keepdims", False))) if axes else x


def reduction(op: str) -> Row:
    return lambda writer, node: reduced(writer.argument(node, 0, node.dtype), op, node)


def _any(x: Term, node: Node) -> Term:
    """Whether there is one at all: a count, since ONNX has no largest of no numbers."""
    return reduced(x.cast(np.int64), "ReduceSum", node).cast(bool)


def _norm(writer: Writer, node: Node) -> Term:
    x = writer.argument(node, 0, node.dtype)
    return reduced(x * x, "ReduceSum", node).op("Sqrt")


def _place_of(op: str) -> Row:
    def row(writer: Writer, node: Node) -> Term:
        axis = normalized_axes(node.params["axis"], len(shape_of(node.args[0])))[0]
        return writer.argument(node, 0).op(op, dtype=np.int64, axis=axis, keepdims=0)

    return row


def _cumsum(writer: Writer, node: Node) -> Term:
    return writer.argument(node, 0, node.dtype).op("CumSum", np.int64(normalized_axes(node.params["axis"], node.ndim)[0]))


# ------------------------------------------------------------------------------------------- products and order


def _matmul(writer: Writer, node: Node) -> Term:
    a, b = writer.arguments(node, node.dtype)
    return _convolution(writer, node, a) or a.op("MatMul", b)


def _convolution(writer: Writer, node: Node, kernels: Term) -> Term | None:
    """ONNX's Conv, for a product of kernels (out, entries) with the windows of (N, C, ...) as columns: what `nn.conv2d` records.

    With groups both have one more axis for them. Only in float32, for which runtimes have the operator.
    """
    rows, columns = node.args
    of = columns.args[0] if isinstance(columns, Node) and columns.primitive is PRIMITIVES["reshape"] else None
    if node.dtype != np.float32 or not isinstance(of, Node) or of.primitive is not PRIMITIVES["windows"]:
        return None
    size, stride, dilation = (of.params[key] for key in ("size", "stride", "dilation"))
    source, axes = of.args[0], len(size)
    (count, channels), positions = of.shape[:2], of.shape[len(of.shape) - axes :]
    groups = columns.shape[1] if len(columns.shape) == 4 else 1
    entries = channels // groups * prod(size)
    front = (groups,) * (len(columns.shape) == 4)
    if len(source.shape) != axes + 2 or columns.shape != (count, *front, entries, prod(positions)) or shape_of(rows)[:-2] != front:
        return None
    out = prod(shape_of(rows)[:-1])
    weight = kernels.reshape((out, channels // groups, *size))
    found = writer.terms[source].op("Conv", weight, kernel_shape=size, strides=stride, dilations=dilation, group=groups)
    return found.reshape(node.shape)


def _einsum(writer: Writer, node: Node) -> Term:
    """Axes of length 1 are stretched first, which NumPy does and ONNX leaves open."""
    terms, _ = terms_of(node.params["subscripts"])
    shapes = [shape_of(arg) for arg in node.args]
    lengths = lengths_of(terms, shapes)
    wanted = [tuple(lengths[letter] for letter in term) for term in terms]
    xs = [
        x if shape == full else expanded(x, full) for x, shape, full in zip(writer.arguments(node, node.dtype), shapes, wanted, strict=True)
    ]
    return xs[0].op("Einsum", *xs[1:], equation=node.params["subscripts"])


def _triangle(upper: int) -> Row:
    return lambda writer, node: writer.argument(node, 0).op("Trilu", np.int64(node.params["k"]), upper=upper)


def _ordered(writer: Writer, node: Node) -> list[Term]:
    """The entries from the smallest on, and where they stood; of equal ones the first comes first, as in a stable sort."""
    axis = normalized_axes(node.params["axis"], node.ndim)[0]
    x, count = writer.argument(node, 0), ints([node.shape[axis]])
    values, places = writer.op("TopK", x, count, dtype=x.dtype, outputs=2, axis=axis, largest=0, sorted=1)
    places.dtype = np.dtype(np.int64)
    return [values, places]


def _reorder(writer: Writer, node: Node) -> Term:
    x, order = writer.argument(node, 0), writer.argument(node, 1, np.int64)
    return x.op("GatherElements", order, axis=normalized_axes(node.params["axis"], node.ndim)[0])


def _restore(writer: Writer, node: Node) -> Term:
    x, order = writer.argument(node, 0), writer.argument(node, 1, np.int64)
    return x.op("ScatterElements", order, x, axis=normalized_axes(node.params["axis"], node.ndim)[0])


# ------------------------------------------------------------------------------------------------------- loops


def _scan(writer: Writer, node: Node) -> Term:
    """A loop is ONNX's Scan: its carries are state variables, its constants are read from around it.

    The node's value, one vector of all results, is made too; where lines read the results one by one nothing needs it.
    """
    body, carries, sequences = (node.params[key] for key in ("body", "carries", "sequences"))
    length, backward = node.params["length"], int(node.params["reverse"])
    inner = Writer(body, writer.rows, writer, prefix=f"{writer.names[node]}/")
    args = writer.arguments(node, None)
    varying = carries + sequences
    inner.terms = {one: Term(inner, term.name, term.dtype) for one, term in zip(body.inputs[varying:], args[varying:], strict=True)}
    program = inner.run(body.inputs[:varying])
    rows = args[carries:varying]
    if not rows:  # ONNX counts the turns by a sequence
        rows = [writer.tensor(np.arange(length))]
        program.inputs.append(Value(writer.unique(f"{writer.names[node]}/turn"), (), np.dtype(np.int64)))
    outputs = len(body.outputs)
    found = writer.op(
        "Scan", *args[:carries], *rows, dtype=node.dtype, outputs=outputs, body=program, num_scan_inputs=len(rows),
        scan_input_directions=(backward,) * len(rows), scan_output_directions=(backward,) * (outputs - carries),
    )  # fmt: skip
    parts = loop_parts(node)
    terms = [found] if outputs == 1 else found
    writer.parts[node] = [Term(writer, term.name, part.dtype) for term, part in zip(terms, parts, strict=True)]
    flat = [term.reshape([-1]).cast(flat_dtype(parts)) for term in writer.parts[node]]
    return flat[0].op("Concat", *flat[1:], axis=0)


# ------------------------------------------------------------------------------------------------------- table

ARRAYS: dict[str, Row] = {
    "constant": lambda writer, node: writer.tensor(node.params["value"], writer.names[node]),
    "reshape": _reshape, "transpose": _transpose, "concatenate": _concatenate, "stack": _stack,
    "broadcast_to": lambda writer, node: expanded(writer.argument(node, 0), node.shape),
    "sum": reduction("ReduceSum"), "mean": reduction("ReduceMean"), "prod": reduction("ReduceProd"),
    "max": reduction("ReduceMax"), "min": reduction("ReduceMin"), "first_max": reduction("ReduceMax"),
    "logsumexp": reduction("ReduceLogSumExp"),
    "any": lambda writer, node: _any(writer.argument(node, 0, bool), node),
    "all": lambda writer, node: ~_any(~writer.argument(node, 0, bool), node), "norm": _norm,
    "count_nonzero": lambda writer, node: reduced(writer.argument(node, 0, bool).cast(node.dtype), "ReduceSum", node),
    "argmax": _place_of("ArgMax"), "argmin": _place_of("ArgMin"), "cumsum": _cumsum,
    "matmul": _matmul, "einsum": _einsum, "tril": _triangle(0), "triu": _triangle(1),
    "sort": lambda writer, node: _ordered(writer, node)[0], "argsort": lambda writer, node: _ordered(writer, node)[1],
    "reorder": _reorder, "restore": _restore, "scan": _scan,
}  # fmt: skip

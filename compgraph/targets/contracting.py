"""Products of matrices: by BLAS where they are large, in loops that fuse with others where they are small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compgraph.graph import Node
from compgraph.primitives.products import lengths_of, terms_of
from compgraph.targets.building import FEW, Building
from compgraph.targets.spelling import cast
from compgraph.targets.statements import Access, Matrix, Operand, Product, Uniform, View

SMALL_PRODUCT = 600  # multiplications below which the call of BLAS costs more than the product
MATRIX_OF_VECTOR = 100_000  # entries of a matrix that fits into the cache, where a loop is as fast as BLAS and has no call


class Contracting(Building):
    """The rules of `matmul` and `einsum`."""

    def _lower_matmul(self, node: Node) -> Operand | None:
        left, right = (self.operand(arg) for arg in node.args)
        target = self.new(node)
        if not node.size:
            return target
        a = _stretched(left, (1, *left.shape) if len(left.shape) == 1 else left.shape)
        b = _stretched(right, (*right.shape, 1) if len(right.shape) == 1 else right.shape)
        rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
        outer = tuple(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
        whole = target._replace(entries=target.entries.reshape(*outer, rows, columns))
        if not inner:
            self.fill(target, 0, node)
            return target
        by_loops = rows * inner * columns <= SMALL_PRODUCT or inner <= FEW or node.dtype.kind != "f" or columns == rows == 1
        if not isinstance(a, Uniform) and not isinstance(b, Uniform) and 1 in (rows, columns) and not by_loops:
            matrix = b if rows == 1 else a
            if matrix.entries.size <= MATRIX_OF_VECTOR:
                along = 0 in outer or matrix.entries.strides[-2 if rows == 1 else -1] == 1
                self._contraction(node, whole, a, b, outer, sums=along)
                return target
        if by_loops or isinstance(a, Uniform) or isinstance(b, Uniform):
            self._contraction(node, whole, a, b, outer)
            return target
        if a.dtype != node.dtype or b.dtype != node.dtype:
            a, b = self._as(a, node.dtype, node, "_left"), self._as(b, node.dtype, node, "_right")
        product = Product(
            node, outer, self._matrix(whole, outer, node), self._matrix(a, outer, node, "_left"), self._matrix(b, outer, node, "_right")
        )
        target.value.call = True
        self.add(product)
        return target

    def _contraction(self, node: Node, whole: View, a: Any, b: Any, outer: tuple[int, ...], sums: bool = True) -> None:
        """A product in loops: a sum for each entry, or else for each term a pass over all entries, whichever runs along memory."""
        rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
        shape = (*outer, rows, columns, inner)
        one = _stretched(a, (*a.shape[:-1], 1, inner))
        two: Any = b._replace(shape=shape) if isinstance(b, Uniform) else None
        if two is None:
            two = b._replace(entries=b.entries.swapaxes(-1, -2)[..., None, :, :])
        target = whole._replace(entries=np.broadcast_to(whole.entries[..., None], shape))
        if not sums:  # the terms before the entries
            shape = (*outer, inner, rows, columns)
            whole_shape = (*outer, rows, columns, inner)
            target = target._replace(entries=np.moveaxis(target.entries, -1, -3))
            one = one._replace(entries=np.moveaxis(np.broadcast_to(one.entries, whole_shape), -1, -3))
            two = two._replace(entries=np.moveaxis(np.broadcast_to(two.entries, whole_shape), -1, -3))
        dtypes = a.dtype, b.dtype

        def text(names: Sequence[str]) -> str:
            x, y = (cast(name, have, node.dtype) for name, have in zip(names, dtypes, strict=True))
            return f"{x} * {y}"

        if inner == 1:
            squeezed = whole._replace(entries=whole.entries[..., None])
            self.state("map", shape, squeezed, [one, two], text, node.dtype, node)
        else:
            flags = tuple(axis == len(shape) - (1 if sums else 3) for axis in range(len(shape)))
            self.state("sum", shape, target, [one, two], text, node.dtype, node, flags)

    def _matrix(self, view: View, outer: tuple[int, ...], node: Node, suffix: str = "") -> Matrix:
        """The view as matrices that BLAS can read as they lie, copied where they cannot be."""
        rows, columns = view.shape[-2:]
        for transposed in (False, True):
            down, across = view.entries.strides[-2:][:: -1 if transposed else 1]
            height, width = (columns, rows) if transposed else (rows, columns)
            if (across == 1 or width == 1) and (down == width or height == 1):
                strides = np.broadcast_to(view.entries, (*outer, rows, columns)).strides[:-2]
                if all(stride >= 0 for stride in strides):
                    return Matrix(view.value, view.offset, height, width, transposed, (*view.turn, *strides))
        target = self.new(node, view.shape, suffix=suffix)
        self.copy(target, view, node)
        return self._matrix(target, outer, node)

    def _lower_einsum(self, node: Node) -> Operand | None:
        terms, output = terms_of(node.params["subscripts"])
        operands = [self.operand(arg) for arg in node.args]
        lengths = lengths_of(terms, [operand.shape for operand in operands])
        letters = output + "".join(sorted(set(lengths) - set(output)))
        shape = tuple(lengths[letter] for letter in letters)
        if any(isinstance(operand, Uniform) for operand in operands) or node.dtype.kind != "f" or 0 in shape:
            return None
        reads = []
        for term, operand in zip(terms, operands, strict=True):
            assert isinstance(operand, View)
            strides = dict.fromkeys(letters, 0)
            for letter, stride, size in zip(term, operand.entries.strides, operand.shape, strict=True):
                strides[letter] += stride * (size > 1)
            reads.append(Access(operand.value, operand.offset, (*operand.turn, *(strides[letter] for letter in letters))))
        target = self.new(node)
        summed = len(letters) - len(output)
        stretched = target._replace(entries=np.broadcast_to(target.entries.reshape(node.shape + (1,) * summed), shape))
        dtypes = [operand.dtype for operand in operands]
        flags = (False,) * len(output) + tuple(size > 1 for size in shape[len(output) :])

        def text(names: Sequence[str]) -> str:
            return " * ".join(cast(name, have, node.dtype) for name, have in zip(names, dtypes, strict=True))

        self.state("sum" if any(flags) else "map", shape, stretched, reads, text, node.dtype, node, flags)
        return target


def _stretched(operand: Any, shape: tuple[int, ...]) -> Any:
    """An operand with axes of length 1 put in."""
    return operand._replace(shape=shape) if isinstance(operand, Uniform) else operand._replace(entries=operand.entries.reshape(shape))

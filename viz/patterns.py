"""Pictures of sparsity patterns: a square an entry, in the colour of the sweep that finds it.

    >>> import numpy as np, compgraph as cg, viz
    >>> from compgraph.sparsity import sparse_jacobian
    >>> picture = draw_pattern(sparse_jacobian(lambda x: x[1:] - x[:-1] ** 2, np.zeros(5)))
    >>> picture
    PatternDrawing(4 x 5, 8 entries, 2 colours)
    >>> picture.svg.startswith("<svg")
    True
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from compgraph.errors import InputError
from compgraph.sparsity import SparseMatrix, SparsityPattern
from compgraph.whole_files import write_whole
from viz.themes import palette

CELLS = 200  # along an axis; of a larger matrix a square stands for a block
SIDE = 480.0  # of the longer axis, in pixels

# Okabe and Ito's palette, which colour-blind readers tell apart; beyond it hues go round, since no palette is longer.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7d00")


def draw_pattern(subject: SparsityPattern | SparseMatrix, *, theme: str = "light") -> PatternDrawing:
    """The entries of a pattern, or of a sparse derivative with the colours of its columns or rows.

    A matrix of more than 200 rows or columns is drawn in blocks; a block with entries of several colours is grey, and its
    tooltip counts them. Raises `InputError` for anything else.
    """
    if not isinstance(subject, (SparsityPattern, SparseMatrix)):
        raise InputError(f"draw_pattern draws a SparsityPattern or a SparseMatrix, not {type(subject).__name__}")
    return PatternDrawing(subject, theme)


class PatternDrawing:
    """A picture that is made when it is asked for; a notebook shows it."""

    def __init__(self, subject: SparsityPattern | SparseMatrix, theme: str) -> None:
        self.theme = palette(theme)
        self.shape, self.rows, self.cols = subject.shape, subject.rows, subject.cols
        self.colours: Any = None
        self.sweeps = 0
        if isinstance(subject, SparseMatrix):
            self.colours = subject.colours[self.cols if subject.compressed == "columns" else self.rows]
            self.sweeps = subject.sweeps

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text."""
        rows, cols = self.shape
        block = max(1, -(-max(rows, cols) // CELLS))
        down, across = -(-rows // block), -(-cols // block)
        unit = SIDE / max(down, across, 1)
        width, height = across * unit, down * unit
        ink, paper, frame, muted = (self.theme[role] for role in ("ink", "paper", "edge", "muted"))
        caption = repr(self)[len("PatternDrawing(") : -1]
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {width + 16:.2f} {height + 40:.2f}" width="{width + 16:.0f}" '
            f'height="{height + 40:.0f}" role="img" aria-label="sparsity pattern: {caption}">',
            f'<rect x="-8" y="-8" width="{width + 16:.2f}" height="{height + 40:.2f}" fill="{paper}"/>',
        ]
        for row, col, colour, count in self._cells(block):
            fill = ink if colour is None else muted if colour < 0 else _colour(colour)
            told = f"{count} entries" if block > 1 else f"row {row}, column {col}" + ("" if colour is None else f", sweep {colour}")
            lines.append(
                f'<rect x="{col * unit:.2f}" y="{row * unit:.2f}" width="{0.92 * unit:.2f}" height="{0.92 * unit:.2f}" fill="{fill}">'
                f"<title>{told}</title></rect>"
            )
        lines += [
            f'<rect x="-1" y="-1" width="{width + 2:.2f}" height="{height + 2:.2f}" fill="none" stroke="{frame}"/>',
            f'<text x="0" y="{height + 22:.2f}" font-family="monospace" font-size="13" fill="{ink}">{caption}</text>',
            "</svg>",
        ]
        return "\n".join(lines)

    def _cells(self, block: int) -> list[tuple[int, int, int | None, int]]:
        """Each square: its row, its column, its colour (-1 for several, None for no colours) and its number of entries."""
        across = -(-self.shape[1] // block)
        keys, inverse, counts = np.unique(
            self.rows // block * max(across, 1) + self.cols // block, return_inverse=True, return_counts=True
        )
        found: list[Any] = [None] * len(keys)
        if self.colours is not None:
            low = np.full(len(keys), np.iinfo(np.int64).max)
            high = np.full(len(keys), -1)
            np.minimum.at(low, inverse, self.colours)
            np.maximum.at(high, inverse, self.colours)
            found = np.where(low == high, low, -1).tolist()
        places = zip(keys.tolist(), found, counts.tolist(), strict=True)
        return [(key // max(across, 1), key % max(across, 1), colour, count) for key, colour, count in places]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture as an .svg file, which appears whole or not at all; returns the path."""
        path = Path(path)
        if path.suffix.lower() != ".svg":
            raise InputError(f"cannot save {path.name!r}: the name has to end in .svg")
        return write_whole(path, self.svg.encode())

    def __repr__(self) -> str:
        text = f"PatternDrawing({self.shape[0]} x {self.shape[1]}, {len(self.rows)} entries"
        return text + (f", {self.sweeps} colour{'s' * (self.sweeps != 1)})" if self.colours is not None else ")")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "image/svg+xml": self.svg}


def _colour(number: int) -> str:
    return _COLOURS[number] if number < len(_COLOURS) else f"hsl({number * 137.508 % 360:.0f}, 60%, 45%)"

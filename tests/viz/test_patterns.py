"""Drawings of patterns: an entry is a square, a sweep is a colour."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import compgraph as cg
from compgraph.sparsity import sparse_jacobian, sparsity_pattern
from viz.patterns import draw_pattern


def squares(svg: str) -> list[ElementTree.Element]:
    return [rect for rect in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect") if len(rect)]


def test_a_square_an_entry_and_a_colour_a_sweep() -> None:
    found = sparse_jacobian(lambda x: x[1:] - x[:-1] ** 2, np.ones(5))
    drawing = draw_pattern(found, theme="dark")
    assert repr(drawing) == "PatternDrawing(4 x 5, 8 entries, 2 colours)"
    marks = squares(drawing.svg)
    assert len(marks) == 8
    assert len({mark.get("fill") for mark in marks}) == found.sweeps == 2
    assert marks[0][0].text == "row 0, column 0, sweep 0"


def test_a_pattern_has_no_colours() -> None:
    drawing = draw_pattern(sparsity_pattern(np.sin, np.ones(3)))
    assert repr(drawing) == "PatternDrawing(3 x 3, 3 entries)"
    assert len({mark.get("fill") for mark in squares(drawing.svg)}) == 1
    assert drawing._repr_mimebundle_()["image/svg+xml"] == drawing.svg


def test_a_large_matrix_is_drawn_in_blocks() -> None:
    marks = squares(draw_pattern(sparse_jacobian(lambda x: x[1:] - x[:-1] ** 2, np.ones(10_000))).svg)
    assert len(marks) < 600
    assert "entries" in str(marks[0][0].text)


def test_an_empty_matrix_and_many_colours() -> None:
    assert squares(draw_pattern(sparsity_pattern(np.sin, np.zeros(0))).svg) == []
    dense = sparse_jacobian(lambda x: np.ones((12, 12)) @ x, np.ones(12))
    assert len({mark.get("fill") for mark in squares(draw_pattern(dense).svg)}) == 12


def test_saving(tmp_path: Path) -> None:
    drawing = draw_pattern(sparsity_pattern(np.sin, np.ones(3)))
    assert drawing.save(tmp_path / "p.svg").read_text().startswith("<svg")
    with pytest.raises(cg.InputError, match=r"has to end in \.svg"):
        drawing.save(tmp_path / "p.png")
    with pytest.raises(cg.InputError, match="draws a SparsityPattern or a SparseMatrix, not int"):
        draw_pattern(3)  # type: ignore[arg-type]

"""Tables of comma-separated values."""

from __future__ import annotations

import csv as commas
import gzip
import io
import os
import zlib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

import compgraph as cg
from optim.data.dataset import Array, Dataset


def csv(path: str | os.PathLike[str], target: str = "y", *, delimiter: str = ",", dtype: Any = np.float32) -> Dataset:
    """The table in a file whose first line names its columns: `target` is y, all others together are X.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "flowers.csv"
    >>> _ = path.write_text("length,width,kind\\n5.1,3.5,iris\\n7.0,3.2,rose\\n4.9,3.0,iris\\n")
    >>> csv(path, target="kind")
    Dataset of 3 examples: X float32 (3, 2), y int64 (3,), targets iris, rose

    A target of words becomes labels in their alphabetical order, with the words as `target_names`; one of whole numbers stays
    whole, int64, and any other is of `dtype`. A file packed by gzip is unpacked. Cells may be quoted, blank lines are
    skipped, and `nan` is how a missing number is written.
    Raises `InputError`, with line and column, for text in a feature, an empty cell, rows of different length, two columns of one
    name, a missing target and a table without rows.
    """
    if not isinstance(target, str):
        raise cg.InputError(f"target is the name of a column, not {target!r:.40}{cg.here()}")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise cg.InputError(f"delimiter is one character, such as ';', not {delimiter!r:.40}{cg.here()}")
    lines = _lines(Path(path))
    header = [name.strip() for name in next(commas.reader(lines[:1], delimiter=delimiter), [])]
    features = _features(header, target, delimiter, path)
    column = header.index(target)
    if not any(line.strip() for line in lines[1:]):
        raise cg.InputError(f"{path} has a header and no rows{cg.here()}")
    codes: dict[str, int] = {}

    def code(text: str) -> float:
        word = text.strip()
        if not word:
            raise ValueError("empty")
        return codes.setdefault(word, len(codes))

    try:
        table = np.loadtxt(
            lines, np.float64, comments=None, delimiter=delimiter, quotechar='"', skiprows=1, ndmin=2, converters={column: code}
        )
    except ValueError as error:
        raise cg.InputError(f"{path}{_fault(lines, header, target, delimiter) or f': {error}'}{cg.here()}") from error
    if table.shape[1] != len(header):
        raise cg.InputError(f"{path}{_fault(lines, header, target, delimiter)}{cg.here()}")
    y, names = _target(table[:, column].astype(np.int64), list(codes), dtype)
    X = _converted(np.delete(table, column, axis=1), dtype, features, path)
    return Dataset(X, y, features, names, f"the table {Path(path).name}")


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise cg.InputError(f"{path} is no text in UTF-8: {error}{cg.here()}") from error
    lines = [line if line.strip() else "\n" for line in io.StringIO(text, newline=None)]
    if not any(line.strip() for line in lines):
        raise cg.InputError(f"{path} is empty{cg.here()}")
    return lines


def _converted(table: Array, dtype: Any, names: Sequence[str], path: Any) -> Array:
    with np.errstate(over="ignore"):
        converted = table.astype(dtype)
    lost = np.argwhere(np.isfinite(table) & ~np.isfinite(converted))
    if len(lost):
        row, column = lost[0]
        too_large = f"row {row + 1}, column {names[column]!r}: {table[row, column]:g} is too large for {np.dtype(dtype)}"
        raise cg.InputError(f"{path}, {too_large}: pass dtype=np.float64, or scale the column{cg.here()}")
    return converted


def _features(header: Sequence[str], target: str, delimiter: str, path: Any) -> list[str]:
    """The names of the columns beside the target."""
    if all(_is_number(name) for name in header):
        raise cg.InputError(f"{path}, line 1, holds numbers; it has to name the columns, with {target!r} among them{cg.here()}")
    double = [name for number, name in enumerate(header) if name in header[:number]]
    if double:
        places = [number + 1 for number, name in enumerate(header) if name == double[0]]
        raise cg.InputError(f"{path}, line 1: columns {places[0]} and {places[1]} are both called {double[0]!r}{cg.here()}")
    if target not in header:
        other = next((sign for sign in ";\t|," if sign != delimiter and len(header) == 1 and sign in header[0]), None)
        close = get_close_matches(target, header, 1)
        hint = f"do you mean {close[0]!r}?" if close else f"it has {', '.join(header):.300}; name one of them as target="
        hint = f"the columns seem to be separated by {other!r}: pass delimiter={other!r}" if other else hint
        raise cg.InputError(f"{path} has no column {target!r}: {hint}{cg.here()}")
    if len(header) == 1:
        raise cg.InputError(f"{path} has no column beside {target!r}{cg.here()}")
    return [name for name in header if name != target]


def _target(codes: Array, words: list[str], dtype: Any) -> tuple[Array, list[str]]:
    """The target's values from its distinct words: whole numbers, numbers, or labels with their names."""
    if all(_is_number(word) for word in words):
        try:
            return np.array([int(word) for word in words], np.int64)[codes], []
        except (ValueError, OverflowError):
            return np.array([float(word) for word in words]).astype(dtype)[codes], []
    names = sorted(words)
    label = {name: number for number, name in enumerate(names)}
    return np.array([label[word] for word in words], np.int64)[codes], names


def _fault(lines: list[str], header: Sequence[str], target: str, delimiter: str) -> str:
    """Where the table is no table of numbers: the first such place, in words."""
    reader = commas.reader(lines, delimiter=delimiter)
    next(reader)
    for row in reader:
        if not row or row == [""] or not "".join(row).strip():
            continue
        at = f", line {reader.line_num}"
        if len(row) != len(header):
            return f"{at}, has {len(row)} cells, and the header names {len(header)} columns"
        for name, cell in zip(header, row, strict=True):
            if not cell.strip():
                return f"{at}, column {name!r}: the cell is empty; write nan for a number that is missing"
            if name != target and not _is_number(cell):
                return f"{at}, column {name!r}: {cell.strip()!r:.60} is no number, and a feature has to be one"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text

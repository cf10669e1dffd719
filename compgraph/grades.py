"""What a grading of derivative rules found: marks, a grade for each rule, and a table of grades."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from compgraph.tables import framed, mimebundle


@dataclass(frozen=True)
class Mark:
    """What a rule says of the derivative by one argument.

    `verdict` is "right", "wrong sign", "wrong factor", "missing factor", "missing term", "wrong term", "not unbroadcast",
    "transposed", "wrong shape", "zero", "not finite", "raised", "too slow", "not the same twice" or "wrong". `ratio` is
    that to the right value where it is the same everywhere.
    """

    argument: str
    verdict: str
    hint: str = ""
    ratio: float | None = None
    written: str = ""
    right: str = ""
    place: str = ""
    line: str = ""

    def __str__(self) -> str:
        lines = [f"by {self.argument}: {self.verdict}" + (f", {self.hint}" if self.hint else "")]
        if self.verdict != "right":
            lines += [f"  written: {self.written}"] if self.written else []
            lines += [f"  right:   {self.right}"] if self.right else []
            lines += [f"  {self.place}" + (f": `{self.line}`" if self.line else "")] if self.place else []
        return "\n".join(lines)


@dataclass(frozen=True)
class Grade:
    """A rule's marks, one an argument."""

    name: str
    marks: tuple[Mark, ...]

    @property
    def ok(self) -> bool:
        return all(mark.verdict == "right" for mark in self.marks)

    @property
    def verdict(self) -> str:
        """That of the first argument by which the rule is wrong."""
        return next((mark.verdict for mark in self.marks if mark.verdict != "right"), "right")

    @property
    def share(self) -> float:
        """Which part of the arguments is right, for a mark in numbers."""
        return sum(mark.verdict == "right" for mark in self.marks) / len(self.marks)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        wrong = [str(mark) for mark in self.marks if mark.verdict != "right"]
        return "\n".join([f"{self.name}: {'wrong' if wrong else 'right'}", *wrong])


@dataclass(frozen=True)
class Grades:
    """A table of grades, by name; prints itself as text, in a notebook, and as JSON."""

    grades: tuple[Grade, ...]

    def __getitem__(self, name: str) -> Grade:
        return {grade.name: grade for grade in self.grades}[name]

    def __iter__(self) -> Iterator[Grade]:
        return iter(self.grades)

    def __len__(self) -> int:
        return len(self.grades)

    def _cells(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("name", "by", "verdict", "hint")]
        for grade in self.grades:
            rows += [(grade.name if place == 0 else "", mark.argument, mark.verdict, mark.hint) for place, mark in enumerate(grade.marks)]
        return rows

    def __str__(self) -> str:
        rows = self._cells()
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join("  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows)

    def to_dict(self) -> dict[str, Any]:
        return {one.name: {"ok": one.ok, "share": one.share, "marks": [asdict(mark) for mark in one.marks]} for one in self.grades}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=2)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        def page() -> str:
            head, *body = (
                "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"
                for row, tag in zip(self._cells(), ["th", *["td"] * len(self._cells())], strict=False)
            )
            return framed(f"<thead>{head}</thead><tbody>{''.join(body)}</tbody>")

        return mimebundle(self, {"text/plain": self.__str__, "text/html": page})

"""What a check of derivatives found, as rows, as a table and as an error."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compgraph.errors import CompgraphError
from compgraph.tables import framed, mimebundle


class WrongDerivativeError(CompgraphError, AssertionError):
    """A derivative is wrong, or could not be certified."""


@dataclass(frozen=True)
class CheckRow:
    """One derivative, four ways; None where a way has no answer.

    `verdict` is "agrees"; "kink: convention used", where one-sided derivatives differ or SymPy's is undefined and both
    modes take the same value between them; "zero, said aloud", for an operation declared not differentiable;
    "outside the domain", where a value or a derivative is NaN or infinite; "not compared"; or "wrong".
    """

    node: str
    operation: str  # the primitive; empty for an output's derivative with respect to an input
    formula: str
    argument: str
    verdict: str
    forward: float | None = None
    reverse: float | None = None
    symbolic: float | None = None
    numerical: float | None = None
    digits: float | None = None  # on which all that were compared agree
    note: str = ""
    rule: str = ""  # the derivative as SymPy states it
    written: str = ""  # the rule as it stands, where it is wrong
    complex_step: float | None = None  # `numerical` where the code is analytic
    differences: float | None = None  # extrapolated differences, beside it
    place: str = ""  # the user's file and line
    line: str = ""  # the text of that line

    @property
    def numbers(self) -> dict[str, float | None]:
        return {"forward": self.forward, "reverse": self.reverse, "SymPy": self.symbolic, "numerical": self.numerical}

    @property
    def agreement(self) -> dict[str, float]:
        """How many digits each way shares with SymPy, or with forward mode where SymPy has no answer.

        >>> row = CheckRow("v1", "exp", "exp(x)", "x", "agrees", 1.0, 1.0, 1.0, 1.0, complex_step=1.0, differences=1.0 + 1e-9)
        >>> {way: round(digits) for way, digits in row.agreement.items()}
        {'forward': 16, 'reverse': 16, 'complex step': 16, 'differences': 9}
        """
        truth = self.forward if self.symbolic is None else self.symbolic
        ways = {"forward": self.forward, "reverse": self.reverse, "complex step": self.complex_step, "differences": self.differences}
        return {way: shared_digits(value, truth) for way, value in ways.items() if value is not None and truth is not None}

    def __str__(self) -> str:
        what = f"{self.node} = {self.formula} ({self.operation})" if self.operation else self.formula
        verdict = f"{self.verdict}, {self.note}" if self.note else self.verdict
        numbers = ", ".join(f"{way} {_shown(value, 10)}" for way, value in self.numbers.items())
        lines = [f"{what}, derivative with respect to {self.argument}: {verdict}", f"  {numbers}"]
        if self.place:
            lines.append(f"  {self.place}" + (f": `{self.line}`" if self.line else ""))
        if self.written:
            lines.append(f"  written is    {self.written}")
        if self.rule:
            lines.append(f"  SymPy derives {self.rule}")
        return "\n".join(lines)


FINE = ("agrees", "kink: convention used", "zero, said aloud")
_HEADERS = ("node", "operation", "argument", "forward", "reverse", "SymPy", "numerical", "digits", "verdict")


@dataclass(frozen=True)
class CheckReport:
    """What `check` found: a row for each local partial, in order, then one for each output and input."""

    name: str
    rows: tuple[CheckRow, ...]

    @property
    def ok(self) -> bool:
        """Whether every derivative was compared and none disagrees; a NaN is no agreement."""
        return all(row.verdict in FINE for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def agreement(self) -> str:
        """A table of the digits that each way shares with SymPy, a row for each derivative."""
        ways = ("forward", "reverse", "complex step", "differences")
        cells: list[tuple[str, ...]] = [("node", "operation", "by", *ways)]
        for row in self.rows:
            digits = row.agreement
            cells.append((row.node, row.formula, row.argument, *(f"{digits[way]:.1f}" if way in digits else "-" for way in ways)))
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)

    @property
    def first_wrong(self) -> CheckRow | None:
        return next((row for row in self.rows if row.verdict == "wrong"), None)

    def raise_if_wrong(self) -> CheckReport:
        """Raise `WrongDerivativeError` unless `ok`; otherwise return the report."""
        if not self.ok:
            raise WrongDerivativeError(self._findings())
        return self

    def _findings(self) -> str:
        found = [row for row in self.rows if row.verdict not in FINE]
        if not found:
            kinks = sum(row.verdict.startswith("kink") for row in self.rows)
            return f"{self.name}: all {len(self.rows)} derivatives agree" + (f", {kinks} at a kink" if kinks else "")
        first = self.first_wrong or found[0]
        more = f"\n{len(found) - 1} more not certified" if len(found) > 1 else ""
        return f"{self.name}: {'the first that disagrees is' if self.first_wrong else 'not certified is'}\n{first}{more}"

    def _cells(self) -> list[tuple[str, ...]]:
        """The table's texts. Long tables show their start and whatever does not simply agree."""
        shown = [row for place, row in enumerate(self.rows) if place < 60 or row.verdict != "agrees"]
        return [
            (row.node, row.formula, row.argument, *(_shown(value) for value in row.numbers.values()), _shown(row.digits, 2),
             f"{row.verdict} ({row.note})" if row.note else row.verdict)
            for row in shown
        ]  # fmt: skip

    def __str__(self) -> str:
        cells = [_HEADERS, *self._cells()]
        widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADERS) - 1)]
        lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in cells]
        hidden = len(self.rows) - len(cells) + 1
        return "\n".join([*lines, *([f"... and {hidden} more that agree"] if hidden else []), self._findings()])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        def page() -> str:
            head, body = row(_HEADERS, "th"), "\n".join(row(cells, "td") for cells in self._cells())
            return f"{framed(f'<thead>{head}</thead><tbody>{body}</tbody>')}<pre>{html.escape(self._findings())}</pre>"

        return mimebundle(self, {"text/plain": self.__str__, "text/html": page})


def shared_digits(value: float, truth: float) -> float:
    """How many leading digits two numbers share, at most 16.

    >>> round(shared_digits(3.14, 3.14159), 1), shared_digits(2.0, 2.0), shared_digits(-1.0, 1.0)
    (3.3, 16.0, 0.0)
    """
    size, apart = max(abs(value), abs(truth)), abs(value - truth)
    return 16.0 if apart == 0 else max(0.0, min(16.0, -math.log10(apart / size)))


def _shown(value: float | None, digits: int = 7) -> str:
    return "-" if value is None else f"{value:.{digits}g}"

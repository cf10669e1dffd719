"""Tables of formulas that show themselves as text, HTML and LaTeX."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

_WIDEST = 44  # characters of a formula, before it is cut in text


def mimebundle(subject: object, forms: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """What a notebook shows of `subject`: each form that can be made, among them always text.

    >>> mimebundle(3, {"text/plain": lambda: "three", "text/html": lambda: 1 / 0})
    {'text/plain': 'three'}

    A form that fails is left out, since showing a value must not stop the cell that computed it.
    """
    made: dict[str, str] = {}
    for kind, make in forms.items():
        try:
            made[kind] = make()
        except Exception as error:  # whatever it is: the text says it where nothing better is left
            made.setdefault("text/plain", f"{type(subject).__name__}: {type(error).__name__}")
    return made


class Cell(NamedTuple):
    """One line of a formula: what it defines, how, the same with numbers, the value, all of it as LaTeX, CSS classes."""

    name: str
    sign: str  # "=", or "+" where a sum goes on
    rule: str
    numbers: str
    value: str
    latex: str
    marks: str


_STYLE = """
.compgraph-table table { border-collapse: collapse; font: 0.9em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.compgraph-table caption { text-align: left; padding: 0.4em 0.6em; font-weight: bold; }
.compgraph-table th { text-align: left; padding: 0.1em 0.6em; border-bottom: 2px solid currentColor; font-weight: bold; }
.compgraph-table td { text-align: left; padding: 0.1em 0.6em; white-space: nowrap; background: none; }
.compgraph-table td.rule, .compgraph-table td.numbers { padding-left: 0; }
.compgraph-table td.numbers { opacity: 0.75; }
.compgraph-table td.value, .compgraph-table th.value { text-align: right; font-weight: bold; }
.compgraph-table td.value + td, .compgraph-table th.value + th { border-left: 1px solid currentColor; }
.compgraph-table tbody tr:not(.more) td { border-top: 1px solid rgb(128 128 128 / 0.35); }
"""


def framed(rows: str) -> str:
    """The inside of an HTML table as a fragment of a page, with its style."""
    return f'<div class="compgraph-table"><style>{_STYLE}</style><table>{rows}</table></div>'


_EMPTY = Cell("", "", "", "", "", "", "")


def cut(text: str, width: int = _WIDEST) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


class Table:
    """Rows of one or two sides; a side is a list of lines.

    `str()` is for a terminal, `to_html()` for a page, with everything escaped, and `to_latex()` for a paper that
    loads `booktabs`.
    """

    def __init__(self, sides: Sequence[str], rows: Sequence[Sequence[Sequence[Cell]]], caption: str) -> None:
        self.sides = list(sides)
        self.rows = [list(itertools.zip_longest(*row, fillvalue=_EMPTY)) for row in rows]
        self.caption = caption

    def __str__(self) -> str:
        sides = [_TextSide(title, [line[place] for row in self.rows for line in row]) for place, title in enumerate(self.sides)]
        lines = [" | ".join(side.header for side in sides), "-+-".join("-" * side.width for side in sides)]
        lines += [" | ".join(side.line(cell) for side, cell in zip(sides, line, strict=True)) for row in self.rows for line in row]
        return "\n".join(line.rstrip() for line in [self.caption, *lines])

    def __repr__(self) -> str:
        return str(self)

    def to_html(self) -> str:
        """A `<div>` with a table and its style; it takes the page's colours, loads nothing, and every text is escaped."""
        head = "".join(
            f'<th scope="col" colspan="3">{html.escape(side)}</th><th scope="col" class="value">value</th>' for side in self.sides
        )
        body = []
        for row in self.rows:
            for number, line in enumerate(row):
                marks = " ".join(filter(None, [line[0].marks, "more" if number else ""]))
                body.append(f'<tr class="{html.escape(marks)}">' + "".join(map(_html_cells, line)) + "</tr>")
        return framed(
            f"<caption>{html.escape(self.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
        )

    def to_latex(self) -> str:
        r"""A `tabular` environment."""
        layout = "".join("l@{\\quad}r" + ("@{\\qquad}" if place + 1 < len(self.sides) else "") for place in range(len(self.sides)))
        head = " & ".join(rf"{side} & value" for side in self.sides)
        lines = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule", rf"{head} \\", r"\midrule"]
        for row in self.rows:
            for line in row:
                cells = [f"{_math(cell.latex)} & {_latex_value(cell.value)}" for cell in line]
                lines.append(" & ".join(cells) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_latex_(self) -> str:
        return self.to_latex()


class _TextSide:
    """One side in monospace: name, sign and rule, numbers, value, each padded to its column."""

    def __init__(self, title: str, cells: Sequence[Cell]) -> None:
        self.names = max(len(cell.name) for cell in cells)
        self.rules = max(len(cut(cell.rule)) for cell in cells)
        self.numbers = max(len(cut(cell.numbers)) for cell in cells)
        self.values = max(max(len(cell.value) for cell in cells), len("value"))
        self.formulas = max(len(self._formula(cell).rstrip()) for cell in cells)
        self.formulas = max(self.formulas, len(title))
        self.width = self.formulas + 2 + self.values
        self.header = f"{title:<{self.formulas}}  {'value':<{self.values}}"

    def _formula(self, cell: Cell) -> str:
        text = f"{cell.name:<{self.names}} {cell.sign or ' '} {cut(cell.rule):<{self.rules}}"
        if cell.numbers:
            text += f"  {cell.sign} {cut(cell.numbers)}"
        return text

    def line(self, cell: Cell) -> str:
        return f"{self._formula(cell).rstrip():<{self.formulas}}  {cell.value:<{self.values}}"


def _html_cells(cell: Cell) -> str:
    rule = f"{cell.sign} {cell.rule}" if cell.rule else ""
    numbers = f"{cell.sign} {cell.numbers}" if cell.numbers else ""
    texts = (("name", cell.name), ("rule", rule), ("numbers", numbers), ("value", cell.value))
    return "".join(f'<td class="{kind}">{html.escape(text)}</td>' for kind, text in texts)


def _math(latex: str) -> str:
    return f"${latex}$" if latex else ""


def _latex_value(value: str) -> str:
    """Numbers as mathematics, with powers of ten; anything else as text."""
    match = re.fullmatch(r"(-?[\d.]+)(?:e([+-]\d+))?", value)
    if match:
        return f"${match[1]}" + (rf" \cdot 10^{{{int(match[2])}}}" if match[2] else "") + "$"
    return value.replace("–", "--").replace("…", r"\dots ").replace("_", r"\_")

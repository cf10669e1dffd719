r"""Equations as native MathML, which browsers draw without a library.

    >>> mathml(r"\bar{v}_{7} \cdot \frac{1}{x_{1}}", "v7_bar * (1 / x1)")
    '<math alttext="v7_bar * (1 / x1)"><mrow><msub><mover accent="true"><mi>v</mi><mo stretchy="false">¯</mo></mover><mn>7</mn></msub><mo>·</mo><mfrac><mn>1</mn><msub><mi>x</mi><mn>1</mn></msub></mfrac></mrow></math>'

The formulas themselves are those of `compgraph.latex`, which makes them from each primitive's one template; this is a
reader of the part of LaTeX that these templates are written in. So there is no second table of operations, and a
template with a command that nobody has taught this reader raises (`tests/viz/test_mathml.py` reads them all).

What is written is presentation MathML as in MathML Core (W3C, 2023): no `mfenced`, no attributes it dropped.
"""  # noqa: E501

from __future__ import annotations

import html
import re
from typing import NamedTuple

from compgraph.errors import InputError
from compgraph.evaluation import Step
from compgraph.latex import latex_name, latex_number
from compgraph.literals import number
from viz.diagram import printable

_LETTERS = {"pi": "π", "sigma": "σ", "psi": "ψ", "Gamma": "Γ", "Phi": "Φ", "Re": "ℜ", "Im": "ℑ", "infty": "∞"}
_WORDS = {"arccos", "arcsin", "arctan", "arg", "cos", "cosh", "det", "ln", "log", "max", "min", "sin", "sinh", "tan", "tanh"}
_OPERATORS = {"cdot": "·", "le": "≤", "ge": "≥", "ne": "≠", "top": "⊤", "bmod": "mod", "dots": "…", "sim": "∼"}
_SUMS = {"sum": "∑", "prod": "∏"}
_BARS = {"|": "|", "Vert": "‖"}
_FENCES = {"(": ("(", ")"), "[": ("[", "]"), "lfloor": ("⌊", "rfloor"), "lceil": ("⌈", "rceil")}
_CLOSERS = {")": ")", "]": "]", "rfloor": "⌋", "rceil": "⌉"}
_ACCENTS = {"bar": "¯", "dot": "˙", "overline": "¯"}
_SPACES = {",": "0.17em", ";": "0.28em", "quad": "1em"}
_SIGNS = {"-": "−", "*": "∗"}
_ESCAPED = "{}_%$#&"
_APPLY = "<mo>\u2061</mo>"  # FUNCTION APPLICATION: unseen, but read aloud as "of"
_THIN = '<mspace width="0.17em"/>'
_DEEPEST = 100
_TOKEN = re.compile(r"\\([A-Za-z]+|.)|(\d+(?:\.\d+)?(?:e[+-]?\d+)?)|([^\W\d_]+)|(.)", re.DOTALL)


def mathml(latex: str, alttext: str = "", *, kind: str = "") -> str:
    r"""`latex` as a `<math>` element; `alttext` is the same in plain text, `kind` a class for the page.

    >>> mathml(r"\sin x")
    '<math><mrow><mi>sin</mi><mo>\u2061</mo><mspace width="0.17em"/><mi>x</mi></mrow></math>'

    Raises `InputError` for a command that `compgraph.latex` does not use, and for unbalanced braces.
    """
    inside = _Reader(latex).whole()
    given = {"class": kind, "alttext": _clean(alttext, 400)}
    attributes = "".join(f' {name}="{html.escape(text)}"' for name, text in given.items() if text)
    return f"<math{attributes}>{inside}</math>"


def equation(step: Step) -> str:
    """A step as up to three `<math>` elements, of class `rule`, `numbers` and `sum`.

    The rule, the rule with its numbers, and what has been added up so far. Never raises: a formula that cannot be read
    appears as the text that it is in the evaluation trace.

    >>> import numpy as np, compgraph as cg, xml.etree.ElementTree as xml
    >>> steps = cg.evaluate(lambda x1, x2: np.log(x1) * x1, 2.0, 5.0, mode="reverse").steps
    >>> [one.get("alttext") for one in xml.fromstring(f"<p>{equation(steps[-1])}</p>")]
    ['x1_bar += v1_bar * (1 / x1)', '= 0.6931472 + 2 * (1 / 2)', '= 0.6931472 + 1 = 1.693147']
    """
    return "".join(element for _, element in equation_lines(step))


def equation_lines(step: Step) -> list[tuple[str, str]]:
    """The same, each element with its class: `("rule", "<math ...")`."""
    return [(kind, _line(kind, latex, alttext)) for kind, latex, alttext in formulas_of(step)]


def formulas_of(step: Step) -> list[tuple[str, str, str]]:
    """The lines of an equation: class, LaTeX and plain text of each."""
    value, name = number(step.value), latex_name(step.name)
    shown = latex_number(step.value)
    if not step.rule:
        return [("rule", f"{name} = {shown}", f"{step.name} = {value}")]
    if step.rule == "seed":
        return [("rule", rf"{name} = {shown} \quad \text{{(seed)}}", f"{step.name} = {value} (seed)")]
    if step.before is None:
        lines = [("rule", f"{name} = {step.rule_latex}", f"{step.name} = {step.rule}")]
    else:  # the notation of Griewank and Walther for what a step adds to an adjoint
        latex, text = step.rule_latex.removeprefix(f"{name} + "), step.rule.removeprefix(f"{step.name} + ")
        lines = [("rule", rf"{name} \mathrel{{+}}= {latex}", f"{step.name} += {text}")]
    if step.numbers and step.numbers != step.rule:
        lines.append(("numbers", f"= {step.numbers_latex}", f"= {step.numbers}"))
    last, text = f"= {shown}", f"= {value}"
    if step.before is not None:
        last = f"= {_added(latex_number(step.before), latex_number(step.term))} {last}"
        text = f"= {_added(number(step.before), number(step.term))} {text}"
    if text != lines[-1][2] and not (len(lines) == 1 and step.rule == value):
        lines.append(("sum", last, text))
    return lines


def _added(before: str, term: str) -> str:
    return f"{before} + ({term})" if term.startswith("-") else f"{before} + {term}"


def _line(kind: str, latex: str, alttext: str) -> str:
    try:
        return mathml(latex, alttext, kind=kind)
    except InputError:
        return f'<math class="{kind}" alttext="{html.escape(_clean(alttext, 400))}"><mtext>{_escaped(alttext)}</mtext></math>'


def _clean(text: str, limit: int = 60) -> str:
    return printable(text, limit)


def _escaped(text: str, limit: int = 200) -> str:
    return html.escape(_clean(text, limit), quote=False)


class _Piece(NamedTuple):
    xml: str
    operand: bool  # what a minus after it is subtracted from
    function: bool = False  # parentheses that follow without a blank hold its arguments
    word: bool = False  # whatever follows is its argument


class _Reader:
    """One pass over the text from left to right; each method leaves `at` behind what it has read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def whole(self) -> str:
        row = self.row(())
        if self.at < len(self.text):
            raise self.unknown(f"{self.text[self.at]!r} where nothing is open")
        return row

    def unknown(self, what: str) -> InputError:
        return InputError(f"MathML of {_clean(self.text)!r}: {what}, at character {self.at}; only what compgraph.latex writes is read")

    def peek(self) -> tuple[str, str, int]:
        """The kind and the text of the next token, and where it ends."""
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            return "end", "", self.at
        kind = ("command", "number", "word", "sign")[match.lastindex - 1]  # type: ignore[operator]
        return kind, match[match.lastindex], match.end()  # type: ignore[index]

    def row(self, closers: tuple[str, ...]) -> str:
        """Pieces up to one of `closers`, which is left unread."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.unknown("too deeply nested")
        pieces: list[str] = []
        last = _Piece("", operand=False)
        while True:
            kind, token, _ = self.peek()
            if kind == "end" or (kind in ("sign", "command") and token in (*closers, *_ENDS)):
                break
            called = last.function and token == "(" and not self.text[self.at - 1].isspace()
            piece = self.scripted(self.piece(last))
            if called or (last.word and piece.operand):
                pieces.append(_APPLY if token in _FENCES else f"{_APPLY}{_THIN}")
            pieces.append(piece.xml)
            last = piece
        self.depth -= 1
        return pieces[0] if len(pieces) == 1 else f"<mrow>{''.join(pieces)}</mrow>"

    def scripted(self, base: _Piece) -> _Piece:
        """`base` with the subscript and the superscript that follow it, in either order."""
        scripts: dict[str, str] = {}
        while (found := self.peek())[:2] in (("sign", "_"), ("sign", "^")):
            if found[1] in scripts:
                raise self.unknown(f"a second {found[1]!r}")
            self.at = found[2]
            scripts[found[1]] = self.argument()
        if not scripts:
            return base
        tag = {"_": "msub", "^": "msup"}[next(iter(scripts))] if len(scripts) == 1 else "msubsup"
        parts = "".join(scripts[sign] for sign in ("_", "^") if sign in scripts)
        return base._replace(xml=f"<{tag}>{base.xml}{parts}</{tag}>", operand=True)

    def argument(self) -> str:
        """A group in braces, or one piece."""
        return self.piece(_Piece("", operand=False)).xml

    def piece(self, last: _Piece) -> _Piece:
        kind, token, end = self.peek()
        if kind == "end":
            raise self.unknown("it ends too early")
        self.at = end
        if kind == "number":
            return _Piece(_number(token), operand=True)
        if kind == "word":
            text = {"inf": "∞", "nan": "NaN"}.get(token, _escaped(token))
            return _Piece(f"<mi>{text}</mi>", operand=True, function=True)
        if token in _FENCES:
            left, right = _FENCES[token]
            row = self.row((right,))
            self.expect(right)
            return _Piece(f"<mrow><mo>{left}</mo>{row}<mo>{_CLOSERS[right]}</mo></mrow>", operand=True)
        if token in _BARS:
            return _Piece(f'<mo lspace="0" rspace="0" stretchy="false">{_BARS[token]}</mo>', operand=last.operand and not last.word)
        return self.sign(token, last) if kind == "sign" else self.command(token)

    def sign(self, token: str, last: _Piece) -> _Piece:
        if token == "{":
            row = self.row(("}",))
            self.expect("}")
            return _Piece(row, operand=row != "<mrow></mrow>")
        if token in "^_}$&#%~":
            raise self.unknown(f"{token!r} where nothing is open")
        form = ' form="prefix"' if token in "+-" and not last.operand else ""
        return _Piece(f"<mo{form}>{_SIGNS.get(token, _escaped(token))}</mo>", operand=False)

    def command(self, name: str) -> _Piece:
        if name in ("mathrm", "text"):
            return self.upright("mi" if name == "mathrm" else "mtext")
        if name == "frac":
            return _Piece(f"<mfrac>{self.argument()}{self.argument()}</mfrac>", operand=True)
        if name == "sqrt":
            degree = self.optional()
            root = f"<mroot>{self.argument()}{degree}</mroot>" if degree else f"<msqrt>{self.argument()}</msqrt>"
            return _Piece(root, operand=True)
        if name in _ACCENTS:
            stretchy = "" if name == "overline" else ' stretchy="false"'
            over = f"<mo{stretchy}>{_ACCENTS[name]}</mo>"
            return _Piece(f'<mover accent="true">{self.argument()}{over}</mover>', operand=True)
        if name == "begin":
            return self.matrix()
        if name in _LETTERS:
            return _Piece(f"<mi>{_LETTERS[name]}</mi>", operand=True, function=True, word=name in ("Re", "Im"))
        if name in _WORDS:
            return _Piece(f"<mi>{name}</mi>", operand=True, word=True)
        if name in _SUMS:
            return _Piece(f"<mo>{_SUMS[name]}</mo>", operand=False)
        if name in _OPERATORS:
            return _Piece(f"<mo>{_OPERATORS[name]}</mo>", operand=name in ("top", "dots"))
        if name in _SPACES:
            return _Piece(f'<mspace width="{_SPACES[name]}"/>', operand=False)
        if name == "textstyle":
            return _Piece("", operand=False)
        if name == "mathrel":  # TeX has no += of its own
            if not self.text.startswith("{+}=", self.at):
                raise self.unknown("a relation other than +=")
            self.at += len("{+}=")
            return _Piece("<mo>+=</mo>", operand=False)
        if name in _ESCAPED:
            return _Piece(f"<mi>{html.escape(name)}</mi>", operand=True)
        raise self.unknown(f"the command \\{name}")

    def expect(self, token: str) -> None:
        kind, found, end = self.peek()
        if found != token or kind == "end":
            raise self.unknown(f"{token!r} is missing")
        self.at = end

    def optional(self) -> str:
        if self.peek()[:2] != ("sign", "["):
            return ""
        self.at = self.peek()[2]
        row = self.row(("]",))
        self.expect("]")
        return row

    def upright(self, tag: str) -> _Piece:
        """Words, in which blanks count and escaped characters stand for themselves."""
        self.expect("{")
        start, text = self.at, ""
        while not self.text.startswith("}", self.at):
            match = re.compile(r"\\(backslash |hat\{\}|sim |[{}_%$#&])|([^\\{}])", re.DOTALL).match(self.text, self.at)
            if match is None:
                self.at = start
                raise self.unknown("words that do not end, or that hold a command")
            text += {"backslash ": "\\", "hat{}": "^", "sim ": "~"}.get(match[1], match[1]) if match[1] else match[2]
            self.at = match.end()
        self.at += 1
        if not text:
            return _Piece("<mrow></mrow>", operand=True)
        single = ' mathvariant="normal"' if tag == "mi" and len(text) == 1 else ""
        return _Piece(f"<{tag}{single}>{_escaped(text)}</{tag}>", operand=tag == "mi", function=tag == "mi")

    def matrix(self) -> _Piece:
        name = r"{bmatrix}"
        if not self.text.startswith(name, self.at):
            raise self.unknown("an environment that is no bmatrix")
        self.at += len(name)
        rows: list[list[str]] = [[]]
        while True:
            rows[-1].append(f"<mtd>{self.row(())}</mtd>")
            kind, token, self.at = self.peek()
            if token == "\\":
                rows.append([])
            elif token == "end" and self.text.startswith(name, self.at):
                self.at += len(name)
                break
            elif token != "&" or kind != "sign":
                raise self.unknown("a matrix that does not end")
        body = "".join(f"<mtr>{''.join(row)}</mtr>" for row in rows)
        return _Piece(f"<mrow><mo>[</mo><mtable>{body}</mtable><mo>]</mo></mrow>", operand=True)


_ENDS = ("}", "&", "\\", "end", *_CLOSERS)


def _number(text: str) -> str:
    """A number; one with an exponent as a product with a power of ten.

    >>> _number("0.5"), _number("2e-05")
    ('<mn>0.5</mn>', '<mrow><mn>2</mn><mo>·</mo><msup><mn>10</mn><mrow><mo form="prefix">−</mo><mn>5</mn></mrow></msup></mrow>')
    """
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return f"<mn>{mantissa}</mn>"
    power = f"<mn>{abs(int(exponent))}</mn>"
    if int(exponent) < 0:
        power = f'<mrow><mo form="prefix">−</mo>{power}</mrow>'
    return f"<mrow><mn>{mantissa}</mn><mo>·</mo><msup><mn>10</mn>{power}</msup></mrow>"



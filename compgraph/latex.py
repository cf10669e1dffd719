"""Names and formulas as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from compgraph.formulas import ATOM, Text, atom, bracketed, operand, slots, subtracted
from compgraph.graph import Node, Primitive
from compgraph.literals import number


def latex_name(name: str) -> str:
    r"""A node's name as mathematics.

    >>> latex_name("v12_bar"), latex_name("x1"), latex_name("loss")
    ('\\bar{v}_{12}', 'x_{1}', '\\mathrm{loss}')
    """
    accents = ""
    while name.endswith(("_dot", "_bar")):
        name, accent = name[:-4], name[-3:]
        accents += rf"\{accent}{{"
    match = re.fullmatch(r"([A-Za-z])_?(\d+)", name)
    base, below = (match[1], rf"_{{{match[2]}}}") if match else (name, "")
    if not match and not (len(base) == 1 and base.isalpha()):
        base = rf"\mathrm{{{latex_escaped(base)}}}"
    return f"{accents}{base}{'}' * accents.count('{')}{below}"


def latex_escaped(text: str) -> str:
    words = {"\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim "}
    return "".join(words.get(letter) or (f"\\{letter}" if letter in "{}_%$#&" else letter) for letter in text)


def latex_formula(node: Node, names: Callable[[Node], str]) -> str:
    """One line of the Wengert list as LaTeX."""
    if node.primitive is None or node.primitive.name == "constant":
        return latex_name(names(node)) if node.primitive is None else latex_escaped(number(node.params["value"]))
    return _latex_applied(node.primitive, [_latex_operand(arg, names) for arg in node.args]).text


def latex_expression(node: Any, names: Callable[[Node], str | None]) -> Text:
    r"""`expression` as LaTeX; `names` gives finished LaTeX.

    >>> import numpy as np, compgraph as cg
    >>> x = cg.variable(2.0, name="x")
    >>> latex_expression((x + 1) / np.log(x + 2), lambda node: node.name).text
    '\\frac{x + 1}{\\ln (x + 2)}'
    """
    if not isinstance(node, Node):
        return _latex_operand(node, lambda _: "")
    name = names(node)
    if name is not None:
        return atom(name)
    if node.primitive is None or node.primitive.name == "constant":
        return atom(latex_escaped(number(node.value)))
    text = _latex_applied(node.primitive, [latex_expression(arg, names) for arg in node.args])
    return Text(subtracted(node.primitive, text.text), text.precedence)


def _latex_applied(primitive: Primitive, args: Sequence[Text]) -> Text:
    own, needs = slots(primitive.code)
    template = primitive.latex
    if not template:
        return Text(rf"\mathrm{{{latex_escaped(primitive.name)}}}({', '.join(arg.text for arg in args)})", ATOM)
    texts = []
    for place, arg in enumerate(args):
        enclosed = f"{{{{{{{place}}}}}}}" in template or f"({{{place}}}" in template or f"|{{{place}}}" in template
        texts.append(arg.text if enclosed else bracketed(arg, needs.get(str(place), 0) or ATOM))
    # A fraction or a function needs no parentheses around it in a product, whatever its code needs.
    return Text(template.format(*texts), ATOM if primitive.name == "divide" else own)


def _latex_operand(arg: Any, names: Callable[[Node], str]) -> Text:
    if isinstance(arg, Node):
        return atom(latex_name(names(arg)))
    part = operand(arg, lambda _: "")
    return Text(latex_escaped(part.text), part.precedence)

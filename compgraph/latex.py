"""Names and formulas as LaTeX."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from compgraph.formulas import ATOM, Text, applied_for_reading, atom, bracketed, operand, slots, subtracted
from compgraph.graph import Graph, Node, Primitive, provides
from compgraph.literals import number
from compgraph.tables import mimebundle


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


def latex_number(value: Any) -> str:
    r"""`number` as mathematics.

    >>> latex_number(2.5e-5), latex_number(1e-320), latex_number(float("-inf")), latex_number([[1.0, 2.0], [3.0, 4.0]])
    ('2.5 \\cdot 10^{-5}', '9.999889 \\cdot 10^{-321}', '-\\infty', '\\begin{bmatrix} 1 & 2 \\\\ 3 & 4 \\end{bmatrix}')
    """
    if np.ndim(value) == 2 and 0 < np.size(value) <= 6:
        rows = r" \\ ".join(" & ".join(map(latex_number, row)) for row in np.asarray(value))
        return rf"\begin{{bmatrix}} {rows} \end{{bmatrix}}"
    text = re.sub(r"\b(?:1(?=e)|(\d[\d.]*))e([+-]\d+)", _power, latex_escaped(number(value)))
    return re.sub(r"\binf\b", r"\\infty ", re.sub(r"\bnan\b", r"\\mathrm{NaN}", text)).replace("…", r"\dots ").strip()


def _power(match: re.Match[str]) -> str:
    return (rf"{match[1]} \cdot " if match[1] else "") + f"10^{{{int(match[2])}}}"


def latex_formula(node: Node, names: Callable[[Node], str]) -> str:
    """One line of the Wengert list as LaTeX."""
    if node.primitive is None or node.primitive.name == "constant":
        return latex_name(names(node)) if node.primitive is None else latex_escaped(number(node.params["value"]))
    return _latex_applied(node, [_latex_operand(arg, names) for arg in node.args]).text


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
        return _latex_atom(name)
    if node.primitive is None or node.primitive.name == "constant":
        return _latex_atom(latex_number(node.value))
    text = _latex_applied(node, [latex_expression(arg, names) for arg in node.args])
    return Text(subtracted(node.primitive, text.text), text.precedence)


def _latex_atom(text: str) -> Text:
    """A name or a number; a power of ten is bracketed as the product that it is."""
    return Text(text, 5) if re.fullmatch(r"([\d.]+ \\cdot )?10\^\{-?\d+\}", text) else atom(text)


def _latex_applied(node: Node, args: Sequence[Text]) -> Text:
    primitive: Primitive = node.primitive  # type: ignore[assignment]
    _, needs = slots(primitive.code)
    template = primitive.latex
    if not template:
        return _latex_code(node, args)
    texts = []
    for place, arg in enumerate(args):
        enclosed = f"{{{{{{{place}}}}}}}" in template or f"({{{place}}}" in template or f"|{{{place}}}" in template
        need = needs.get(str(place), 0) or ATOM
        if f"{{{place}}}^" in template:  # TeX refuses a superscript on a superscript, and the square of a fraction is not its numerator's
            need = ATOM + 1 if arg.text.startswith((r"\frac", r"\ln", r"\log")) else max(need, _SCRIPT + 1)
        texts.append(arg.text if enclosed else bracketed(arg, need))
    return Text(template.format(*texts), latex_binding(primitive))


_SCRIPT = 7


@cache
def latex_binding(primitive: Primitive) -> int:
    r"""How tightly a primitive's LaTeX binds, which its code may hide: `expm1(x)` is an atom, `e^x - 1` a difference.

    >>> from compgraph.graph import PRIMITIVES
    >>> [latex_binding(PRIMITIVES[name]) for name in ("add", "expm1", "sum", "xlogy", "divide", "log", "exp", "sqrt", "gamma")]
    [4, 4, 4, 5, 10, 7, 7, 10, 10]
    """
    own, _ = slots(primitive.code)
    bare = primitive.latex.format(*"xxxxxxxxx", value="x")
    bare = re.sub(r"\|.*?\||\\lfloor.*?\\rfloor|\\lceil.*?\\rceil|\\Vert.*?\\Vert", "x", bare)
    before = ""
    while bare != before:  # from the inside out, whatever stands in braces or parentheses
        before, bare = bare, re.sub(r"\[[^\[\]{}]*\]|\{[^{}()]*\}|\([^(){}]*\)", "", bare)
    if bare in (r"\frac", "x"):  # needs no parentheses in a product, whatever its code needs
        return ATOM
    if own < ATOM:
        return own
    if re.search(r"\S [+-] ", bare) or re.search(r"\\sum|\\prod", bare):
        return slots("{0} + {1}")[0]
    if re.search(r"\\cdot|\\bmod", bare) or re.match(r"(\\frac|[A-Za-z0-9_^+]+) +\S", bare):
        return slots("{0} * {1}")[0]
    return _SCRIPT if "^" in bare or bare.endswith((" x", r"\det x")) else ATOM


def _latex_code(node: Node, args: Sequence[Text]) -> Text:
    r"""What has no notation of its own as its code, its words upright: `x_{1}[1:]`, `\mathrm{reshape}(x_{1}, (2, 3))`."""
    places = [Text(chr(_PRIVATE + place), arg.precedence) for place, arg in enumerate(args)]
    code = applied_for_reading(node, places)

    def written(match: re.Match[str]) -> str:
        place = ord(match[0]) - _PRIVATE if len(match[0]) == 1 else -1
        if 0 <= place < len(args):
            return args[place].text
        return rf"\{'text' if match[1] else 'mathrm'}{{{latex_escaped(match[0])}}}" if match[1] or match[2] else latex_escaped(match[0])

    return Text(re.sub(r"('[^']*')|([^\W\d]\w*(?:\.\w+)*)|.", written, code.text, flags=re.DOTALL), code.precedence)


_PRIVATE = 0xE000  # letters that no code contains stand for the arguments


def _latex_operand(arg: Any, names: Callable[[Node], str]) -> Text:
    if isinstance(arg, Node):
        return atom(latex_name(names(arg)))
    part = operand(arg, lambda _: "")
    return Text(latex_escaped(part.text), part.precedence)


_MOST_LINES = 60  # of a formula that anybody reads


def latex_of_graph(graph: Graph) -> str:
    r"""The Wengert list as one displayed formula, a line a node.

    >>> import compgraph as cg
    >>> print(latex_of_graph(cg.parse("ln(x1) * x2")))
    $$\begin{aligned}
    v_{1} &= \ln x_{1} \\
    v_{2} &= v_{1} \cdot x_{2}
    \end{aligned}$$
    """
    names = graph.names.__getitem__
    lines = [rf"{latex_name(names(node))} &= {latex_formula(node, names)}" for node in graph.nodes if node.primitive is not None]
    body = " \\\\\n".join(lines)
    return f"$$\\begin{{aligned}}\n{body}\n\\end{{aligned}}$$"


@provides("Graph._repr_mimebundle_")
def graph_bundle(graph: Graph) -> dict[str, str]:
    """Text, HTML, and LaTeX where the graph is short; `viz` adds its picture when it is imported."""
    return mimebundle(graph, graph_forms(graph))


def graph_forms(graph: Graph) -> dict[str, Callable[[], str]]:
    forms = {"text/plain": graph.__str__, "text/html": lambda: f"<pre>{html.escape(str(graph))}</pre>"}
    if 0 < sum(node.primitive is not None for node in graph.nodes) <= _MOST_LINES:
        forms["text/latex"] = lambda: latex_of_graph(graph)
    return forms

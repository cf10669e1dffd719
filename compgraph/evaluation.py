"""Run a graph node by node and keep everything: values, tangents, adjoints, and the sums they are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from compgraph import forward_mode, reverse_mode
from compgraph.backend import on_host
from compgraph.errors import InputError, ShapeError
from compgraph.formulas import ATOM, SIGN, Text, bracketed, expression, formula
from compgraph.graph import Graph, Node, active_nodes, apply, placeholder
from compgraph.latex import latex_expression, latex_name, latex_number
from compgraph.literals import number
from compgraph.modes import mode_with
from compgraph.origins import describe_origin, source_line
from compgraph.tables import Cell, Table, mimebundle
from compgraph.tracing import trace

NOT_COMPUTED = "–"


class Term(NamedTuple):
    """One summand of an adjoint: what the child `child` hands back through its argument number `place`."""

    child: Node
    place: int
    value: Any


class Step(NamedTuple):
    """One moment of a sweep, in words and numbers.

    `rule` is symbolic and `numbers` the same with values; for an adjoint they are the one term that arrives from
    `child`, `before` is the sum without it (None for the first), `term` what it adds and `value` the sum so far.
    `rule_latex` and `numbers_latex` are the same two as LaTeX.
    """

    phase: str  # "primal", "tangent" or "adjoint"
    node: Node
    name: str
    rule: str
    numbers: str
    value: Any
    child: Node | None
    source: str
    rule_latex: str = ""
    numbers_latex: str = ""
    before: Any = None
    term: Any = None

    @property
    def equation(self) -> str:
        parts = [self.name, self.rule, self.numbers, number(self.value)]
        return " = ".join(part for place, part in enumerate(parts) if part and part not in parts[:place])


class Written(NamedTuple):
    """A formula in the four ways that a step has it."""

    rule: str
    numbers: str
    rule_latex: str
    numbers_latex: str


_SEED = Written("seed", "", r"\text{seed}", "")


class _Hand(NamedTuple):
    """A way to write formulas down: by which function, and what stands in them for a node's value, tangent and adjoint."""

    write: Callable[..., Text]
    times: str
    value: Callable[[Node], str | None]
    tangent: Callable[[Node], str]
    adjoint: Callable[[Node], str]


def evaluate(
    target: Graph | Callable[..., Any], /, *args: Any, mode: str = "primal", seed: Any = None, of: Any = None, **inputs: Any
) -> EvaluationTrace:
    """Run a graph on numbers and keep every step.

    >>> import numpy as np, compgraph as cg
    >>> t = cg.evaluate(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0, mode="reverse")
    >>> print(t.table())
    f at x1 = 2, x2 = 5; reverse mode, seed v5_bar = 1
    primal                                   value      | adjoint                                      value
    ----------------------------------------------------+------------------------------------------------------
    x1                                       2          | x1_bar = v2_bar * x2        = 1 * 5
                                                        |        + v1_bar * (1 / x1)  + 1 * (1 / 2)    5.5
    x2                                       5          | x2_bar = v4_bar * cos(x2)   = (-1) * cos(5)
                                                        |        + v2_bar * x1        + 1 * 2          1.716338
    v1 = log(x1)  = log(2)                   0.6931472  | v1_bar = v3_bar * 1         = 1 * 1          1
    v2 = x1 * x2  = 2 * 5                    10         | v2_bar = v3_bar * 1         = 1 * 1          1
    v3 = v1 + v2  = 0.6931472 + 10           10.69315   | v3_bar = v5_bar * 1         = 1 * 1          1
    v4 = sin(x2)  = sin(5)                   -0.9589243 | v4_bar = v5_bar * (-1)      = 1 * (-1)       -1
    v5 = v3 - v4  = 10.69315 - (-0.9589243)  11.65207   | v5_bar = 1 (seed)                            1

    `mode` is "primal", "forward" (tangents beside the values) or "reverse" (adjoints after them). `seed` starts a
    sweep: in forward mode a dict from input names to tangents, or one input's name for the unit tangent (by
    default of the first); in reverse mode the adjoint of the output, 1 by default where that is one number. `of`
    chooses the output to pull back from. A function is traced on `args` first. Raises `InputError` for a seed that
    names no input and `ShapeError` for one that does not fit. Arrays of a device are copied to the host: a trace is there to be read.
    """
    graph = target if isinstance(target, Graph) else trace(target, *args, **inputs)
    if mode not in ("primal", "forward", "reverse"):
        raise InputError(f"mode {mode!r}: it is 'primal', 'forward' or 'reverse'")
    values: dict[Node, Any] = dict(zip(graph.inputs, map(on_host, graph.arguments(args, inputs)), strict=True))
    for node in graph.nodes:
        if node not in values:
            values[node] = apply(node, values)
    trace_ = EvaluationTrace(graph, mode, values)
    if mode == "forward":
        trace_.seeds = _tangent_seeds(graph, seed)
        trace_.tangents = forward_mode.sweep(graph.nodes, dict(trace_.seeds), values.__getitem__)
        for node in graph.nodes:  # the sweep is over: what it did not reach is zero, and known to be
            if node not in trace_.tangents and node.dtype.kind in "fc" and not _is_constant(node):
                trace_.tangents[node] = np.zeros(node.shape, node.dtype)[()]
    elif mode == "reverse":
        trace_.seeds = _adjoint_seeds(graph, seed, of)
        active = active_nodes(graph.nodes, [node for node in graph.nodes if node.primitive is None and node.dtype.kind in "fc"])

        def record(child: Node, index: int, arg: Node, partial: Any, term: Any) -> None:
            trace_.terms.setdefault(arg, []).append(Term(child, index, term))

        trace_.adjoints = reverse_mode.sweep(graph.nodes, dict(trace_.seeds), active, values.__getitem__, keep=True, record=record)
        for node in active:
            trace_.adjoints.setdefault(node, np.zeros(node.shape, node.dtype)[()])
    return trace_


def _is_constant(node: Node) -> bool:
    return node.primitive is not None and node.primitive.name == "constant"


def _tangent_seeds(graph: Graph, seed: Any) -> dict[Node, Any]:
    floating = [node for node in graph.inputs if node.dtype.kind in "fc"]
    if not floating:
        raise InputError(f"{graph.name} has no floating-point input to differentiate with respect to")
    if seed is None:
        seed = graph.names[floating[0]]
    if isinstance(seed, str):
        node = forward_mode.chosen(graph.inputs, graph.names, seed, "input")[0]
        if node.shape:
            raise ShapeError(f"{seed} has shape {node.shape}: say in which direction, as in seed={{{seed!r}: direction}}")
        seed = {seed: 1.0}
    if not isinstance(seed, dict):
        parts = seed if isinstance(seed, (tuple, list)) and len(floating) > 1 else [seed]
        if len(parts) != len(floating):
            raise InputError(f"{len(floating)} inputs, {len(parts)} seeds; name them, as in seed={{'{graph.names[floating[0]]}': 1.0}}")
        seed = {graph.names[node]: part for node, part in zip(floating, parts, strict=True)}
    seeds = {node: np.zeros(node.shape, node.dtype)[()] for node in floating}
    for name, value in seed.items():
        node = forward_mode.chosen(floating, graph.names, name, "floating-point input")[0]
        seeds[node] = forward_mode.seeded(value, node, graph.names[node])
    return seeds


def _adjoint_seeds(graph: Graph, seed: Any, of: Any) -> dict[Node, Any]:
    outputs = forward_mode.chosen(graph.outputs, graph.names, of, "output")
    if isinstance(seed, dict):
        seeds: dict[Node, Any] = {}
        for name, value in seed.items():
            node = forward_mode.chosen(graph.outputs, graph.names, name, "output")[0]
            seeds[node] = forward_mode.seeded(value, node, graph.names[node])
        return seeds
    if len(set(outputs)) > 1:
        names = ", ".join(graph.names[node] for node in outputs)
        raise InputError(f"{graph.name} has {len(outputs)} outputs ({names}): choose one with of=, or give seed={{name: adjoint}}")
    output = outputs[0]
    if seed is None and output.shape:
        raise ShapeError(f"{graph.names[output]} has shape {output.shape}: a reverse sweep from it needs a seed of that shape")
    if seed is None and output.dtype.kind == "c":
        raise InputError(f"{graph.names[output]} is complex: say with which seed, such as 1.0 for a holomorphic function")
    return {output: forward_mode.seeded(1.0 if seed is None else seed, output, graph.names[output])}


class EvaluationTrace:
    """What `evaluate` kept. Dicts go from nodes to numbers; a node that is missing was not computed.

    `values` has the primals, `tangents` or `adjoints` what the sweep made, `seeds` what started it, `terms` the
    summands of each adjoint in order of arrival, `partials` the local partial of each edge (node, argument number)
    of an elementwise primitive.
    """

    def __init__(self, graph: Graph, mode: str, values: dict[Node, Any]) -> None:
        self.graph = graph
        self.mode = mode
        self.values = values
        self.seeds: dict[Node, Any] = {}
        self.tangents: dict[Node, Any] = {}
        self.adjoints: dict[Node, Any] = {}
        self.terms: dict[Node, list[Term]] = {}

    @cached_property
    def partials(self) -> dict[tuple[Node, int], Any]:
        found = {}
        for node in self.graph.nodes:
            for index, rule in enumerate((node.primitive and node.primitive.partials) or ()):
                if rule is not None and isinstance(node.args[index], Node):
                    found[node, index] = rule(self.values[node], *self._operands(node))
        return found

    def _operands(self, node: Node) -> list[Any]:
        return [self.values[arg] if isinstance(arg, Node) else arg for arg in node.args]

    # Formulas are made by running the rule itself on the graph's nodes, and writing down what it builds.

    def name(self, node: Node) -> str:
        return self.graph.names[node]

    def _number(self, node: Node) -> str | None:
        return number(self.values[node]) if node in self.values else None

    def _latex_name(self, node: Node) -> str | None:
        return latex_name(self.name(node)) if node in self.graph.names else None

    def partial_text(self, node: Node, index: int, *, numbers: bool = False) -> str:
        """The local partial of `node` with respect to its argument `index`, as in `1 / x2` or, with numbers, `1 / 5`."""
        return expression(self._partial(node, index), self._number if numbers else self.graph.names.get).text

    def _partial(self, node: Node, index: int) -> Any:
        with mode_with(origin=node.origin):
            return node.primitive.partials[index](node, *node.args)  # type: ignore[union-attr,index,misc]

    @cached_property
    def _hands(self) -> tuple[_Hand, ...]:
        """The four ways to write a formula: with names and with numbers, as text and as LaTeX."""
        name = self.graph.names
        return (
            _Hand(expression, "*", name.get, lambda node: f"{name[node]}_dot", lambda node: f"{name[node]}_bar"),
            _Hand(expression, "*", self._number, lambda node: number(self.tangents[node]), lambda node: number(self.adjoints[node])),
            _Hand(latex_expression, r"\cdot", self._latex_name,
                  lambda node: latex_name(f"{name[node]}_dot"), lambda node: latex_name(f"{name[node]}_bar")),
            _Hand(latex_expression, r"\cdot", lambda node: latex_number(self.values[node]) if node in self.values else None,
                  lambda node: latex_number(self.tangents[node]), lambda node: latex_number(self.adjoints[node])),
        )  # fmt: skip

    def _value(self, node: Node) -> Written:
        """The value of a node by its operation, in its arguments."""
        if node.primitive is None:
            return Written("", "", "", "")
        rule, numbers = (formula(node, name) for name in (self.graph.names.__getitem__, lambda arg: number(self.values[arg])))
        latex = [hand.write(node, lambda one, hand=hand: None if one is node else hand.value(one)).text for hand in self._hands[2:]]
        return Written(rule, numbers, *latex) if node.args else Written(rule, "", latex[0], "")

    def _term(self, term: Term) -> Written:
        """A summand of an adjoint: the child's adjoint times the local partial, or its transpose written out."""
        child = term.child
        if child.primitive.partials is not None:  # type: ignore[union-attr]
            built = self._partial(child, term.place)
            lefts = [hand.adjoint(child) for hand in self._hands]
            return Written(*(
                f"{bracketed(Text(left, SIGN if left.startswith('-') else ATOM), ATOM)} {hand.times} "
                f"{bracketed(hand.write(built, hand.value), 7)}"
                for hand, left in zip(self._hands, lefts, strict=True)
            ))  # fmt: skip
        seed = placeholder(child.shape, child.dtype)
        with mode_with(origin=child.origin):
            built = reverse_mode.transposed(child.primitive, term.place, seed, child, child.args, child.params)  # type: ignore[arg-type]
        return Written(*(
            hand.write(built, lambda node, hand=hand: hand.adjoint(child) if node is seed else hand.value(node)).text
            for hand in self._hands
        ))  # fmt: skip

    def _tangent(self, node: Node) -> Written:
        """The tangent of a node by its rule, in the arguments' tangents."""
        dots: dict[Node, Node] = {}
        for arg in node.args:
            if isinstance(arg, Node) and self._flows(arg):
                dots.setdefault(arg, placeholder(arg.shape, arg.dtype))
        arrived = {dot: arg for arg, dot in dots.items()}
        with mode_with(origin=node.origin):
            x_dots = [dots.get(arg) if isinstance(arg, Node) else None for arg in node.args]
            built = forward_mode.push(node.primitive, node, node.args, x_dots, node.params)  # type: ignore[arg-type]
        if built is None:
            return Written("0", "0", "0", "0")
        return Written(*(
            hand.write(built, lambda one, hand=hand: hand.tangent(arrived[one]) if one in arrived else hand.value(one)).text
            for hand in self._hands
        ))  # fmt: skip

    def _flows(self, node: Node) -> bool:
        return node in self.seeds or node in self._moved

    @cached_property
    def _moved(self) -> set[Node]:
        """Where the tangent is more than a structural zero."""
        return active_nodes(self.graph.nodes, self.seeds)

    # Steps.

    @cached_property
    def steps(self) -> list[Step]:
        """Every step of the sweep in the order in which it happens; one per term for adjoints."""
        values = [self._primal_step(node) for node in self.graph.nodes]
        if self.mode == "reverse":
            return values + self.derivative_steps
        tangents = {step.node: step for step in self.derivative_steps}
        return [step for value in values for step in (value, tangents.get(value.node)) if step is not None]

    @cached_property
    def derivative_steps(self) -> list[Step]:
        """The steps that compute tangents or adjoints, without those that compute values: sweeps at one point share these."""
        if self.mode == "reverse":
            return self._adjoint_steps()
        return [self._tangent_step(node) for node in self.graph.nodes if node in self.tangents]

    def _primal_step(self, node: Node) -> Step:
        return self._step("primal", node, self.name(node), self._value(node), self.values[node])

    def _tangent_step(self, node: Node) -> Step:
        written = _SEED if node in self.seeds else self._tangent(node)
        return self._step("tangent", node, f"{self.name(node)}_dot", written, self.tangents[node])

    def _adjoint_steps(self) -> list[Step]:
        steps = [self._step("adjoint", node, f"{self.name(node)}_bar", _SEED, value) for node, value in self.seeds.items()]
        sums = dict(self.seeds)
        arrivals = sorted(
            ((term, arg) for arg, terms in self.terms.items() for term in terms), key=lambda pair: (-pair[0].child.id, pair[0].place)
        )
        for term, arg in arrivals:
            name, before = f"{self.name(arg)}_bar", sums.get(arg)
            sums[arg] = term.value if before is None else before + term.value
            written = self._term(term)
            if before is not None:
                firsts = name, number(before), latex_name(name), latex_number(before)
                written = Written(*(f"{first} + {text}" for first, text in zip(firsts, written, strict=True)))
            steps.append(self._step("adjoint", arg, name, written, sums[arg], term.child, before, term.value))
        return steps

    def _step(
        self, phase: str, node: Node, name: str, written: Written, value: Any,
        child: Node | None = None, before: Any = None, term: Any = None,
    ) -> Step:  # fmt: skip
        place = describe_origin(node.origin)
        line = source_line(node.origin)
        source = f"{place}: {line}" if line and line != place else place
        return Step(
            phase, node, name, written.rule, written.numbers, value, child, source, written.rule_latex, written.numbers_latex, before, term
        )

    # The table.

    def table(self, *, numbers: bool = True) -> Table:
        """The evaluation trace: a row a node, the primal beside the tangent or the adjoint.

        The layout is that of tables 2 and 3 of Baydin, Pearlmutter, Radul, Siskind, "Automatic differentiation in
        machine learning: a survey" (2018). An adjoint lists its sum over children term by term. `numbers=False`
        leaves the column out in which the formulas have their numbers. The result prints itself as text, and has
        `to_html()` and `to_latex()`.
        """
        sides = ["primal"] + {"primal": [], "forward": ["tangent"], "reverse": ["adjoint"]}[self.mode]
        rows = [[self._primal_cells(node)] + [self._derivative_cells(node)] * (len(sides) > 1) for node in self.graph.nodes]
        if not numbers:
            rows = [[[line._replace(numbers="") for line in side] for side in row] for row in rows]
        return Table(sides, rows, self._caption())

    def _caption(self) -> str:
        inputs = ", ".join(f"{self.name(node)} = {number(self.values[node])}" for node in self.graph.inputs)
        suffix = {"forward": "dot", "reverse": "bar"}.get(self.mode)
        seeds = ", ".join(f"{self.name(node)}_{suffix} = {number(value)}" for node, value in self.seeds.items())
        return f"{self.graph.name} at {inputs or 'no inputs'}" + (f"; {self.mode} mode, seed {seeds}" if suffix else "")

    def _primal_cells(self, node: Node) -> list[Cell]:
        step = self._primal_step(node)
        latex = latex_name(step.name)
        if step.rule:
            latex += f" = {step.rule_latex}"
        marks = [mark for mark, nodes in (("input", self.graph.inputs), ("output", self.graph.outputs)) if node in set(nodes)]
        return [Cell(step.name, "=" if step.rule else "", step.rule, step.numbers, number(step.value), latex, " ".join(marks))]

    def _derivative_cells(self, node: Node) -> list[Cell]:
        computed = self.tangents if self.mode == "forward" else self.adjoints
        name = f"{self.name(node)}_{'dot' if self.mode == 'forward' else 'bar'}"
        if node not in computed:
            return [Cell(name, "", "", "", NOT_COMPUTED, latex_name(name), "")]
        value = number(computed[node])
        lines: list[tuple[str, str, str]] = []
        if node in self.seeds:
            seed = number(self.seeds[node])
            lines.append((f"{seed} (seed)", "", rf"{seed} \;\text{{(seed)}}"))
        if self.mode == "forward" and node not in self.seeds:
            if not self._flows(node):
                lines.append(("0", "", "0"))
            else:
                lines.append(self._tangent(node)[:3])
        lines += [self._term(term)[:3] for term in self.terms.get(node, [])]
        if not lines:
            lines.append(("0 (no child)", "", r"0 \;\text{(no child)}"))
        last = len(lines) - 1
        return [
            Cell(name if place == 0 else "", "=" if place == 0 else "+", rule, numbers, value if place == last else "",
                 f"{latex_name(name)} = {latex}" if place == 0 else rf"\quad {{}} + {latex}", "")
            for place, (rule, numbers, latex) in enumerate(lines)
        ]  # fmt: skip

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return f"EvaluationTrace({self._caption()})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        forms = {"text/plain": self.__str__, "text/html": lambda: self.table().to_html(), "text/latex": lambda: self.table().to_latex()}
        with np.errstate(all="ignore"):
            return mimebundle(self, forms)


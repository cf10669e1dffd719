"""Taylor coefficients along a direction, by power series that run through the recorded graph.

Nested tangent sweeps double the graph with each order. A power series does not: for y = f(x) along x(t) the chain rule
y' = sum of p_i x_i', with p_i the local partials, says for the coefficients

    k y[k] = sum over i, and over j = 1..k, of  j x_i[j] p_i[k - j]

(Griewank & Walther, Evaluating Derivatives, 2nd ed., 2008, section 13.2). The partials are graphs, written by the same
rules as in both sweeps, and what they are made of has series again. y[k] needs its partials to order k - 1 only, so
the recursion ends; and the partials of exp, tanh, sin and cos are made of nodes that are there already, once the same
operation on the same arguments is one node. No operation needs a rule of its own for this.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from compgraph.containers import flatten
from compgraph.errors import InputError
from compgraph.forward_mode import push
from compgraph.graph import Node, active_nodes, ancestors, bind, owned, placeholder
from compgraph.origins import here
from compgraph.primitives.arithmetic import cast
from compgraph.primitives.kinds import zeros_like
from compgraph.simplification import subexpression
from compgraph.transforms import Recording, seeds_like

Coefficient = Any  # an array, a node, or None: the structural zero


def taylor(function: Callable[..., Any], x: Any, direction: Any, order: int) -> tuple[Any, ...]:
    """The coefficients c with f(x + t direction) = c[0] + c[1] t + ... + c[order] t**order + O(t**(order + 1)).

    >>> import numpy as np, compgraph as cg
    >>> [round(float(c), 6) for c in cg.taylor(np.exp, 0.0, 1.0, 4)]
    [1.0, 1.0, 0.5, 0.166667, 0.041667]

    c[k] is the k-th derivative along the direction over k!. `x` and `direction` are arrays or containers of them; each
    coefficient has the structure of the output. A node costs O(order**2) operations on arrays; exp, sin, tanh and
    products need no further nodes, log, sqrt, divide and powers O(order) of them, so O(order**3) in all at most.
    Raises `InputError` for an order that is no integer from 0 on, or a direction unlike `x`.
    """
    if type(order) is not int or order < 0:
        raise InputError(f"taylor: the order is an integer from 0 on, not {order!r:.40}{here()}")
    recording = Recording(function, (x,), {}, 0)
    seeds = seeds_like((x,), (direction,), recording.inputs, "x")
    lift = recording.lift or any(isinstance(leaf, Node) for leaf in flatten(direction)[0])
    series = _Series(recording, seeds, lift)
    rows = []
    for k in range(order + 1):
        leaves = [series.coefficient(node, k) for node in recording.outputs]
        filled = [zeros_like(node) if leaf is None else leaf for leaf, node in zip(leaves, recording.outputs, strict=True)]
        rows.append(recording.rebuild(owned(filled, seeds)))
    return tuple(rows)


class _Series:
    """The series of nodes, a coefficient at a time, each computed when it is first asked for."""

    def __init__(self, recording: Recording, seeds: list[Any], lift: bool) -> None:
        self.lift = lift
        self.coefficients: dict[Node, list[Coefficient]] = {}
        for node, seed in zip(recording.inputs, seeds, strict=True):
            self.coefficients[node] = [self.start(node), seed]
        self.inputs = set(recording.inputs)
        inside = ancestors(recording.outputs, since=min((node.id for node in recording.inputs), default=0))
        self.active = active_nodes(inside, recording.inputs)
        self.known = {subexpression(node): node for node in reversed(inside) if node.primitive is not None}
        self.partials: dict[Node, list[tuple[Node, Any]]] = {}  # of elementwise nodes: argument, local partial
        self.tangents: dict[Node, Any] = {}  # of others: the series of y' as a node
        self.derived: dict[Node, Node] = {}  # a placeholder -> the node whose derivative by t it stands for
        self.hollow: set[Node] = set()  # those placeholders and what depends on them: they hold no value that counts

    def start(self, node: Node) -> Any:
        return node if self.lift or node.value is None else node.value

    def coefficient(self, node: Any, k: int) -> Coefficient:
        """Coefficient `k`; what it needs is computed on a stack, for graphs are deep."""
        stack = [(node, k)]
        while stack:
            one, at = stack[-1]
            missing = [need for need in self.needs(one, at) if not self.has(*need)] if not self.has(one, at) else []
            stack += missing
            if not missing:
                stack.pop()
                if not self.has(one, at):
                    found = self.coefficients.setdefault(one, [] if one in self.hollow else [self.start(one)])
                    if at == len(found):
                        found.append(self.computed(one, at))
        return self.read(node, k)

    def has(self, node: Any, k: int) -> bool:
        if not isinstance(node, Node) or node in self.inputs or not (node in self.active or node in self.hollow):
            return True
        return k < len(self.coefficients.get(node, ()))

    def read(self, node: Any, k: int) -> Coefficient:
        """A coefficient that is there; constants have one, inputs two, and the rest of theirs are zero."""
        if isinstance(node, Node) and node in self.coefficients:
            found = self.coefficients[node]
            return found[k] if k < len(found) else None
        if k:
            return None
        return self.start(node) if isinstance(node, Node) else node

    def needs(self, node: Node, k: int) -> Iterator[tuple[Any, int]]:
        if node in self.derived:
            yield self.derived[node], k + 1
            if k:
                yield node, k - 1
        elif not k:
            yield from ((arg, 0) for arg in node.args if node in self.hollow)
        else:
            yield node, k - 1
            if self.is_linear(node):
                yield from ((arg, k) for arg in node.args)
            elif self.is_elementwise(node):
                for x, partial in self.expanded(node):
                    yield x, k
                    yield partial, k - 1
            else:
                yield self.tangent(node), k - 1

    def computed(self, node: Node, k: int) -> Coefficient:
        if node in self.derived:
            found = self.read(self.derived[node], k + 1)
            return None if found is None else (k + 1) * found
        if not k:
            xs = [zeros_like(arg) if x is None else x for x, arg in ((self.read(arg, 0), arg) for arg in node.args)]
            return bind(node.primitive, *xs, **node.params)  # type: ignore[arg-type]
        if self.is_linear(node):
            found = self.multilinear(node, k)
        elif self.is_elementwise(node):
            found = self.chain_rule(node, k)
        else:
            slope = self.read(self.tangent(node), k - 1)
            found = None if slope is None else slope / k
        if found is None:
            return None
        return cast(found if found.shape == node.shape else np.broadcast_to(found, node.shape), node.dtype)

    # The three kinds.

    @staticmethod
    def is_elementwise(node: Node) -> bool:
        return node.primitive.partials is not None and not node.primitive.groups  # type: ignore[union-attr]

    @staticmethod
    def is_linear(node: Node) -> bool:
        primitive = node.primitive
        return primitive.groups is not None and primitive.partials is None and primitive.tangent is None  # type: ignore[union-attr]

    def expanded(self, node: Node) -> list[tuple[Node, Any]]:
        """The active arguments of an elementwise node, each with its local partial."""
        if node not in self.partials:
            rules: Any = node.primitive.partials  # type: ignore[union-attr]
            active = [(x, rule) for x, rule in zip(node.args, rules, strict=True) if rule is not None and self.is_active(x)]
            self.partials[node] = [(x, self.shared(rule, node, *node.args)) for x, rule in active]
        return self.partials[node]

    def chain_rule(self, node: Node, k: int) -> Coefficient:
        total = None
        for x, partial in self.expanded(node):
            for j in range(1, k + 1):
                x_j, p = self.read(x, j), self.read(partial, k - j)
                if x_j is not None and p is not None:
                    term = x_j * p if j == k else (j / k) * x_j * p
                    total = term if total is None else total + term
        return total

    def multilinear(self, node: Node, k: int) -> Coefficient:
        """The sum over all ways in which the orders of the groups add up to `k`."""
        groups = node.primitive.linear_groups(len(node.args))  # type: ignore[union-attr]
        total = None
        for orders in itertools.product(range(k + 1), repeat=len(groups)):
            if sum(orders) != k:
                continue
            operands = [self.read(arg, 0) for arg in node.args]
            for group, at in zip(groups, orders, strict=True):
                coefficients = [self.read(node.args[place], at) for place in group]
                if all(one is None for one in coefficients):
                    break
                for place, one in zip(group, coefficients, strict=True):
                    operands[place] = zeros_like(node.args[place]) if one is None else one
            else:
                term = bind(node.primitive, *operands, **node.params)  # type: ignore[arg-type]
                total = term if total is None else total + term
        return total

    def tangent(self, node: Node) -> Any:
        """y' as a graph, in which a placeholder stands for the derivative of each active argument."""
        if node not in self.tangents:
            dots = []
            for arg in node.args:
                dot = None
                if self.is_active(arg):
                    dot = placeholder(arg.shape, arg.dtype)
                    self.derived[dot] = arg
                    self.active.add(dot)
                    self.hollow.add(dot)
                dots.append(dot)
            self.tangents[node] = self.shared(push, node.primitive, node, node.args, dots, node.params)
        return self.tangents[node]

    def is_active(self, arg: Any) -> bool:
        return isinstance(arg, Node) and arg in self.active

    def shared(self, rule: Callable[..., Any], *operands: Any) -> Any:
        """What a rule gives, with a node that is there already in place of one that computes the same from the same."""
        start = placeholder((), np.float64).id
        result = rule(*operands)
        if not isinstance(result, Node):
            return result
        new: dict[Node, Node] = {}
        for node in ancestors([result], since=start):
            if node.primitive is None:
                continue
            args = tuple(new.get(arg, arg) if isinstance(arg, Node) else arg for arg in node.args)
            key = subexpression(node, args)
            if key not in self.known:
                moved = any(arg is not old for arg, old in zip(args, node.args, strict=True))
                kept: Any = bind(node.primitive, *args, **node.params) if moved else node
                self.known[key] = kept
                if kept.primitive.differentiable and any(map(self.is_active, args)):
                    self.active.add(kept)
                if any(isinstance(arg, Node) and arg in self.hollow for arg in args):
                    self.hollow.add(kept)
            new[node] = self.known[key]
        return new.get(result, result)

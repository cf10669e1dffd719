"""Loops to try things on, and what they mean, said as Python loops. Read by `test_loops.py` and `test_loop_passes.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph import programs
from compgraph.containers import flatten
from compgraph.loop import SCAN

RNG = np.random.default_rng(0)


def python_scan(body, init, xs=None, length=None, reverse=False):
    """What `scan` means, said by itself."""
    leaves, _, rebuild = flatten(xs) if xs is not None else ([], [], lambda leaves: None)
    count = length if xs is None else leaves[0].shape[0]
    carry, columns, make = init, [], None
    for turn in sorted(range(count), reverse=reverse):
        carry, y = body(carry, rebuild([leaf[turn] for leaf in leaves]))
        if y is not None:
            ys, _, make = flatten(y)
            columns.append(ys)
    if reverse:
        columns.reverse()
    return carry, None if make is None else make([np.stack(list(column)) for column in zip(*columns, strict=True)])


def python_fori(lower, upper, body, init):
    for i in range(lower, upper):
        init = body(i, init)
    return init


# ---------------------------------------------------------------------------------------------- cases

TABLE = np.array([[0.3, -1.2], [0.7, 0.4], [-0.9, 1.1], [0.2, 0.8]])


def rnn(scan, fori, w, h0, xs):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, np.sum(h * h)

    h, ys = scan(step, h0, xs)
    return np.sum(ys * ys) + h[0]


def backward(scan, fori, a, xs):
    h, ys = scan(lambda h, x: (np.sin(a * h) + x, h * x), 0.5, xs, reverse=True)
    return h * np.sum(ys * np.arange(4.0))


def containers(scan, fori, p, xs):
    def step(carry, x):
        v, n = carry["v"], carry["n"]
        v = v + p["k"] * x["a"] - x["b"][0] * n
        return {"n": n * np.cos(p["k"]), "v": v}, {"energy": np.sum(v * v), "pair": (v[0], n)}

    last, ys = scan(step, {"v": p["v"], "n": 1.0}, xs)
    return np.sum(last["v"]) + last["n"] + np.sum(ys["energy"] * ys["pair"][0]) + np.sum(ys["pair"][1])


def nested(scan, fori, w, xs):
    def outer(total, x):
        def inner(c, y):
            return c * np.sin(y + total) + w, c * x

        c, ys = scan(inner, x, xs)
        return total + c + np.mean(ys), c

    total, cs = scan(outer, w, xs)
    return total * np.sum(cs)


def random_access(scan, fori, a, x):
    return np.sum(fori(0, 4, lambda i, h: np.tanh(h * a[i] + cg.constant(TABLE)[i]), x))


def counted(scan, fori, x):
    """An integer carry beside floats, and one that no derivative passes."""

    def step(carry, _):
        n, h, idle = carry
        return (n + 1, h * np.cos(h) + n, idle * 0.5), (n, h)

    (n, h, _), (ns, hs) = scan(step, (0, x, 3.0), length=5)
    return h + np.sum(hs * ns) + n


def mapped(scan, fori, w, xs):
    return np.sum(scan(lambda _, x: (None, np.exp(-w * x)), None, xs)[1] ** 2)


def exchanged(scan, fori, a, b):
    """Carries that change places, one of them returned twice, and y's that are a carry and an input."""
    (a, b), ys = scan(lambda c, x: ((c[1], c[0] * c[1] + x), (c[1], c[1], x, c[0])), (a, b), np.array([0.1, -0.2, 0.3]))
    return a * b + np.sum(ys[0] * ys[1]) + np.sum(ys[2]) + np.sum(ys[3])


def selecting(scan, fori, h0, xs):
    h, ys = scan(lambda h, x: (np.where(h > 0, h * x, np.exp(h)), np.maximum(h, x)), h0, xs)
    return np.sum(h) + np.sum(ys)


def derivative_inside(scan, fori, w, x):
    """Newton's method on a function whose derivative the body takes."""
    f = lambda z: z**3 + w * z - 2.0  # noqa: E731
    return fori(0, 6, lambda i, z: z - f(z) / cg.grad(f)(z), x)


def invariant(scan, fori, w, xs):
    """The body computes what does not vary, in the same words more than once."""
    return scan(lambda h, x: (h * np.exp(-w) + np.exp(-w) * x, None), 1.0, xs)[0] ** 2


class Case(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]

    def looped(self, *args: Any) -> Any:
        return self.function(cg.scan, cg.fori, *args)

    def unrolled(self, *args: Any) -> Any:
        return self.function(python_scan, python_fori, *args)

    @property
    def argnums(self) -> tuple[int, ...]:
        return tuple(range(len(self.args)))


CASES = {
    "rnn": Case(rnn, (RNG.normal(size=(3, 3)) * 0.4, RNG.normal(size=3), RNG.normal(size=(5, 3)))),
    "one turn": Case(rnn, (RNG.normal(size=(3, 3)) * 0.4, RNG.normal(size=3), RNG.normal(size=(1, 3)))),
    "backward": Case(backward, (0.8, RNG.normal(size=4))),
    "containers": Case(containers, ({"k": 0.3, "v": RNG.normal(size=2)}, {"a": RNG.normal(size=(4, 2)), "b": (RNG.normal(size=4),)})),
    "nested": Case(nested, (0.6, RNG.normal(size=3))),
    "random access": Case(random_access, (RNG.normal(size=(4, 2)), RNG.normal(size=2))),
    "counted": Case(counted, (0.7,)),
    "mapped": Case(mapped, (0.9, RNG.normal(size=(4, 2)))),
    "exchanged": Case(exchanged, (0.6, -0.4)),
    "selecting": Case(selecting, (np.array([0.5, -0.7]), np.array([[0.9, 1.2], [-1.1, 0.4], [0.8, -0.3]]))),
    "derivative inside": Case(derivative_inside, (1.5, 1.0)),
    "invariant": Case(invariant, (0.4, RNG.normal(size=3))),
}


def leaves_of(tree: Any) -> list[Any]:
    return [np.asarray(leaf) for leaf in flatten(tree)[0]]


def assert_close(found: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    found, wanted = leaves_of(found), leaves_of(wanted)
    assert [leaf.shape for leaf in found] == [leaf.shape for leaf in wanted]
    assert [leaf.dtype for leaf in found] == [leaf.dtype for leaf in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * max(1.0, np.max(np.abs(other), initial=0.0)))


def traced(function: Callable[..., Any], *args: Any) -> cg.Graph:
    return cg.typecheck(cg.trace(function, *args))


def called(graph: cg.Graph, args: Any) -> Any:
    return graph(*leaves_of(args))


def loops(graph: cg.Graph) -> list[cg.Node]:
    return [node for node in graph.nodes if node.primitive is SCAN]


def run_source(graph: cg.Graph, args: Any) -> list[Any]:
    """What the printed program computes."""
    source = graph.to_source()
    result = programs.define(source, source.rpartition("\ndef ")[2].partition("(")[0], {}, title="test")(*leaves_of(args))
    return list(result) if len(graph.outputs) > 1 else [result]


def directions(args: Any) -> list[Any]:
    rng = np.random.default_rng(7)
    return [rng.normal(size=leaf.shape) for leaf in leaves_of(args)]

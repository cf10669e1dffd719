"""Several functions of the same inputs in one graph: what they share is computed once, and so is every sweep.

The ratio r = x1 / x2 is in both f1 = r - ln x2 and f2 = exp(r) + r. One forward pass gives the derivatives of both functions by
one input, one reverse pass the derivatives of one function by both inputs; the values of both are counted with them.

Prints::

    f1 alone:    3 operations, f2 alone:    3, both in one graph:    5
    one forward pass, by x1:  f1 1, f2 2.648721
    one reverse pass, of f1:  x1 1, x2 -1.5
    one reverse pass, of f2:  x1 2.648721, x2 -1.324361
    forward, by x1:   9 operations instead of  12
    reverse, of f1:  13 operations
    reverse, of f2:  12 operations
"""

from __future__ import annotations

import numpy as np

import compgraph as cg


def f1(x1, x2):
    return x1 / x2 - np.log(x2)


def f2(x1, x2):
    return np.exp(x1 / x2) + x1 / x2


def joint(x1, x2):
    return {"f1": f1(x1, x2), "f2": f2(x1, x2)}


def operations(graph: cg.Graph) -> int:
    return cg.cost(cg.simplify(graph)).operations


def main() -> None:
    point = (0.5, 1.0)
    alone = [cg.trace(f, *point) for f in (f1, f2)]
    both = cg.simplify(cg.trace(joint, *point))
    counts = [operations(graph) for graph in (*alone, both)]
    print(f"f1 alone: {counts[0]:4} operations, f2 alone: {counts[1]:4}, both in one graph: {counts[2]:4}")

    tangent = cg.forward(both, wrt="x1")
    *_, f1_dot, f2_dot = tangent(*point, 1.0)
    print(f"one forward pass, by x1:  f1 {f1_dot:.7g}, f2 {f2_dot:.7g}")
    adjoints = [cg.reverse(both, of=number) for number in (0, 1)]
    for name, adjoint in zip(("f1", "f2"), adjoints, strict=True):
        *_, x1_bar, x2_bar = adjoint(*point, 1.0)
        print(f"one reverse pass, of {name}:  x1 {x1_bar:.7g}, x2 {x2_bar:.7g}")

    apart = sum(operations(cg.forward(graph, wrt="x1")) for graph in alone)
    print(f"forward, by x1: {operations(tangent):3} operations instead of {apart:3}")
    for name, adjoint in zip(("f1", "f2"), adjoints, strict=True):
        print(f"reverse, of {name}: {operations(adjoint):3} operations")


if __name__ == "__main__":
    main()

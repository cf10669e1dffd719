"""Expression swell: the survey's table for the logistic map, Speelpenning's product, and formulas written out."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import sympy

import compgraph as cg
from compgraph import ledger, swell

# Baydin, Pearlmutter, Radul & Siskind (2018), table 1: l(n), dl/dx, and dl/dx simplified.
SURVEY = [
    ("x", "1", "1"),
    ("4*x*(1 - x)", "4*(1 - x) - 4*x", "4 - 8*x"),
    ("16*x*(1 - x)*(1 - 2*x)**2", "16*(1 - x)*(1 - 2*x)**2 - 16*x*(1 - 2*x)**2 - 64*x*(1 - x)*(1 - 2*x)",
     "16*(1 - 10*x + 24*x**2 - 16*x**3)"),
    ("64*x*(1 - x)*(1 - 2*x)**2*(1 - 8*x + 8*x**2)**2",
     "128*x*(1 - x)*(-8 + 16*x)*(1 - 2*x)**2*(1 - 8*x + 8*x**2) + 64*(1 - x)*(1 - 2*x)**2*(1 - 8*x + 8*x**2)**2"
     " - 64*x*(1 - 2*x)**2*(1 - 8*x + 8*x**2)**2 - 256*x*(1 - x)*(1 - 2*x)*(1 - 8*x + 8*x**2)**2",
     "64*(1 - 42*x + 504*x**2 - 2640*x**3 + 7040*x**4 - 9984*x**5 + 7168*x**6 - 2048*x**7)"),
]  # fmt: skip


def size(text):
    """The operations of a formula as it is printed."""
    return int(sympy.parse_expr(text, evaluate=False).count_ops())


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_survey_s_table(n):
    row, published = swell.logistic_map(4).rows[n - 1], SURVEY[n - 1]
    for ours, theirs in zip(row.formulas, published, strict=True):
        assert sympy.expand(sympy.sympify(ours) - sympy.sympify(theirs)) == 0
    assert (row.symbolic, row.simplified) == (size(published[1]), size(published[2]))
    assert (row.symbolic, row.simplified) == ((0, 0), (4, 2), (19, 9), (57, 21))[n - 1]


def test_sweeps_grow_with_the_function_and_formulas_do_not():
    rows = swell.logistic_map(5).rows
    assert [row.function for row in rows] == [3 * (n - 1) for n in range(1, 6)]
    assert [row.reverse for row in rows] == [8 * (n - 1) for n in range(1, 6)]
    assert all(after.symbolic > 2 * before.symbolic for before, after in pairwise(rows[1:]))
    perceptron = swell.logistic_mlp((1, 2, 3, 4)).rows
    assert all(row.reverse <= 2 * row.function for row in perceptron)
    assert all(after.symbolic > 2.5 * before.symbolic for before, after in pairwise(perceptron))


def test_speelpenning():
    for row in swell.speelpenning((3, 5, 10, 20)).rows:
        assert row.symbolic == row.n * (row.n - 2)
        assert row.reverse == 3 * (row.n - 1)
    graph = cg.trace(swell.product, *[1.0] * 1000)
    gradient = ledger.run_cost(cg.simplify(cg.reverse(graph)))
    assert ledger.run_cost(graph).multiplications == 999
    assert gradient.multiplications == 3 * 999 <= 4 * 999
    assert gradient.operations == gradient.multiplications


def test_written_out_has_every_part_as_often_as_it_stands_there():
    graph = cg.parse("(exp(x1/x2) + x1/x2) * (x1/x2 - ln(x2))")
    tree = swell.written_out(graph)
    assert ledger.run_cost(graph).operations == 6
    assert swell.written_out_size(graph) == ledger.run_cost(tree).operations == 8
    assert tree(0.5, 1.0) == graph(0.5, 1.0)
    deep = cg.parse("x")
    for _ in range(2000):
        deep = cg.Graph(deep.inputs, [cg.bind("sin", deep.outputs[0])])
    assert swell.written_out_size(swell.written_out(deep)) == 2000  # no recursion


def test_the_plane_of_costs_has_a_crossover():
    rows = swell.crossover([(1, 8), (2, 8), (8, 8), (8, 2), (8, 1)])
    assert rows[0][2] < rows[0][3]
    assert rows[-1][2] > rows[-1][3]
    assert [row[:2] for row in rows] == [(1, 8), (2, 8), (8, 8), (8, 2), (8, 1)]


def test_tables_in_three_forms():
    table = swell.logistic_map(3)
    assert str(table).splitlines()[0] == "logistic map"
    assert json.loads(table.to_json())["rows"][2]["symbolic"] == 19
    assert table._repr_mimebundle_()["text/html"].count("<tr>") == 4


def test_bad_input():
    with pytest.raises(cg.InputError, match="sizes are integers from 1 on, not 0"):
        swell.speelpenning([2, 0])

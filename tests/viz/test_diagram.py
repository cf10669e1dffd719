"""What a drawing shows: scopes as frames or boxes, the limits, and ids that last."""

from __future__ import annotations

import re

import numpy as np
import pytest

import compgraph as cg
import viz
from compgraph.errors import InputError
from viz.diagram import Ids, diagram_of


def layered(depth: int, width: int) -> cg.Graph:
    """`depth` blocks of two parts each, and `width` operations in each part."""

    def f(x: cg.Node) -> cg.Node:
        for block in range(depth):
            with cg.scope(f"block{block}"):
                for part in ("left", "right"):
                    with cg.scope(part):
                        for _ in range(width):
                            x = np.sin(x)
        return x

    return cg.trace(f, 1.0)


def chain(length: int) -> cg.Graph:
    def f(x: cg.Node) -> cg.Node:
        for _ in range(length):
            x = np.sin(x)
        return x

    return cg.trace(f, 1.0)


def test_ids_of_names_that_differ_in_unsafe_letters_only() -> None:
    ids = Ids()
    made = [ids.make("node", name) for name in ("a b", "a-b", "a/b", "a-b-2", "é", "", "x" * 10_000, "x" * 9_999)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", one) for one in made)
    assert made[:2] == ["node-a-b", "node-a-b-2"]


def test_any_number_of_equal_names_get_ids_of_their_own() -> None:
    ids = Ids()
    assert len({ids.make("node", "é") for _ in range(20_000)}) == 20_000


def test_scopes_are_nested_frames() -> None:
    diagram = diagram_of(layered(2, 1))
    assert diagram.frames == {
        "block0": "scope-block0", "block0/left": "scope-block0-left", "block0/right": "scope-block0-right",
        "block1": "scope-block1", "block1/left": "scope-block1-left", "block1/right": "scope-block1-right",
    }  # fmt: skip
    dot = viz.draw(layered(2, 1)).dot
    assert dot.count("subgraph") == 6 and dot.count("{") == dot.count("}")
    depths, depth = {}, 0
    for line in dot.splitlines():
        found = re.match(r'\s*subgraph "cluster_scope-([\w-]+)"', line)
        depth += line.rstrip().endswith("{") - (line.strip() == "}")
        if found:
            depths[found[1]] = depth
    assert depths["block1"] == 2 and depths["block1-right"] == 3


def test_a_scope_that_is_entered_twice_is_one_frame() -> None:
    def f(x: cg.Node) -> cg.Node:
        with cg.scope("a"):
            y = np.sin(x)
        z = np.cos(y)
        with cg.scope("a"):
            return y * z

    assert viz.draw(cg.trace(f, 1.0)).dot.count("subgraph") == 1
    collapsed = diagram_of(cg.trace(f, 1.0), collapse=True)
    assert [arrow.id for arrow in collapsed.arrows] == ["edge-x-scope-a-0", "edge-scope-a-v2-0", "edge-v2-scope-a-0"]


def test_up_to_300_nodes_nothing_collapses() -> None:
    graph = layered(13, 11)
    assert len(graph.nodes) == 287
    assert {box.kind for box in diagram_of(graph).boxes} == {"input", "operation"}


def test_above_300_nodes_the_deepest_level_that_fits_collapses() -> None:
    graph = layered(20, 10)
    diagram = diagram_of(graph)
    assert len(graph.nodes) == 401
    scopes = [box for box in diagram.boxes if box.kind == "scope"]
    assert [box.id for box in scopes][:3] == ["scope-block0-left", "scope-block0-right", "scope-block1-left"]
    assert len(scopes) == 40 and len(diagram.boxes) == 41
    assert [line.left for line in scopes[0].lines] == ["left", "10 nodes"]
    assert scopes[-1].is_output and "output v400" in scopes[-1].title
    assert set(diagram.frames) == {f"block{number}" for number in range(20)}


def test_above_300_nodes_outer_scopes_collapse_where_inner_ones_are_too_many() -> None:
    diagram = diagram_of(layered(200, 1))
    assert [box.id for box in diagram.boxes][:2] == ["node-x", "scope-block0"]
    assert len(diagram.boxes) == 201 and diagram.frames == {}


def test_edges_between_collapsed_scopes_are_bundled() -> None:
    def f(x: cg.Node, y: cg.Node) -> cg.Node:
        with cg.scope("a"):
            left, right = np.sin(x) + y, np.cos(x)
        with cg.scope("b"):
            return left * right + x

    diagram = diagram_of(cg.trace(f, 1.0, 2.0), collapse=True)
    assert {arrow.id: arrow.title for arrow in diagram.arrows} == {
        "edge-x-scope-a-0": "2 edges from x to a",
        "edge-y-scope-a-0": "1 edge from y to a",
        "edge-scope-a-scope-b-0": "2 edges from a to b",
        "edge-x-scope-b-0": "1 edge from x to b",
    }


@pytest.mark.parametrize(
    ("collapse", "expected"),
    [
        (True, ["scope-block0", "scope-block1"]),
        (False, []),
        ({"block1"}, ["scope-block1"]),
        ("block0/right", ["scope-block0-right"]),
        ({"block0", "block0/left", "block1/left"}, ["scope-block0", "scope-block1-left"]),
    ],
)
def test_collapse_can_be_chosen(collapse: object, expected: list[str]) -> None:
    diagram = diagram_of(layered(2, 2), collapse=collapse)
    assert [box.id for box in diagram.boxes if box.kind == "scope"] == expected


def test_collapsing_everything_draws_no_node_twice_and_loses_none() -> None:
    graph = layered(3, 4)
    diagram = diagram_of(graph, collapse={"block0", "block1/left"})
    counts = [int(box.lines[1].left.split()[0]) for box in diagram.boxes if box.kind == "scope"]
    assert sum(counts) + sum(box.kind != "scope" for box in diagram.boxes) == len(graph.nodes)


def test_an_unknown_scope_is_named() -> None:
    with pytest.raises(InputError, match=r"no scope 'blok'; the scopes of this graph are 'block0', 'block0/left', 'block0/right'"):
        viz.draw(layered(1, 1), collapse={"blok"})


def test_without_scopes_up_to_2000_nodes_are_drawn_as_they_are() -> None:
    assert len(diagram_of(chain(1999)).boxes) == 2000


def test_above_2000_boxes_force_is_needed() -> None:
    graph = chain(2000)
    with pytest.raises(InputError, match=r"2001 nodes .* limit is 2000.*cg\.scope.*force=True"):
        viz.draw(graph)
    assert len(viz.draw(graph, force=True).diagram.boxes) == 2001


def test_the_limit_counts_boxes_and_not_nodes() -> None:
    graph = layered(50, 30)
    assert len(graph.nodes) == 3001
    assert len(diagram_of(graph).boxes) == 101
    with pytest.raises(InputError, match="3001 nodes"):
        viz.draw(graph, collapse=False)


def test_scopes_may_nest_deeply() -> None:
    x = cg.variable(1.0)
    with cg.scope("/".join(["s"] * 1500)):
        y = x * 2
    assert viz.draw(y).dot.count("subgraph") == 1500

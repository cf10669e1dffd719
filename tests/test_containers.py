"""Containers are taken apart and put together again."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import compgraph as cg
from compgraph.containers import flatten, leaves_like


class Layer(NamedTuple):
    w: Any
    b: Any


def trees() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.builds(Layer, inner, inner)
        | st.dictionaries(st.sampled_from("abc") | st.integers(0, 3), inner, max_size=3),
        max_leaves=12,
    )  # fmt: skip


@given(trees())
def test_what_is_taken_apart_goes_together_again(tree: Any) -> None:
    leaves, paths, rebuild = flatten(tree, "p")
    assert rebuild(leaves) == tree
    assert type(rebuild(leaves)) is type(tree)
    assert len(leaves) == len(paths)
    assert leaves_like(tree, tree, "p") == (leaves, paths)
    doubled, _, _ = flatten(rebuild([2 * leaf for leaf in leaves]))
    assert doubled == [2 * leaf for leaf in leaves]


def test_paths_say_where_a_leaf_is() -> None:
    _, paths, _ = flatten({"layers": [Layer(1.0, 2.0)], 3: (4.0,)}, "p")
    assert paths == ["p.layers[0][0]", "p.layers[0][1]", "p.3[0]"]
    assert flatten(1.0)[1] == [""]
    assert flatten([])[0] == []


def test_dicts_are_matched_by_key_and_not_by_order() -> None:
    assert leaves_like({"w": 1.0, "b": 2.0}, {"b": 20.0, "w": 10.0}, "p") == ([10.0, 20.0], ["p.w", "p.b"])
    value, tangent = cg.jvp(lambda p: p["w"] ** 2 + p["b"], ({"w": 3.0, "b": 2.0},), ({"b": 0.0, "w": 1.0},))
    assert (value, tangent) == (11.0, 6.0)
    pullback = cg.vjp(lambda x: {"y": x * 2, "z": x * 3}, 1.0)[1]
    assert pullback({"z": 1.0, "y": 0.0}) == (3.0,)


@pytest.mark.parametrize(("template", "tree", "text"), [
    ({"w": 1.0}, {"b": 1.0}, "the seed of p has to be a dict of w, it is a dict of b"),
    ({"w": [1.0, 2.0]}, {"w": [1.0]}, "the seed of p.w has to be a list of 2, it is a list of 1"),
    ([(1.0,)], [1.0], "the seed of p[0] has to be a tuple of 1, it is a float"),
    ({"w": 1.0}, 1.0, "the seed of p has to be a dict of w, it is a float"),
])  # fmt: skip
def test_another_structure_is_refused(template: Any, tree: Any, text: str) -> None:
    with pytest.raises(cg.InputError) as caught:
        leaves_like(template, tree, "p")
    assert text in str(caught.value)


def test_depth_is_bounded() -> None:
    deep: Any = 1.0
    for _ in range(100):
        deep = [deep]
    assert flatten(deep)[0] == [1.0]
    with pytest.raises(cg.InputError, match="nested more than 100 deep"):
        flatten([deep])

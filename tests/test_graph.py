"""Nodes and graphs as data: names, order, invariants, running, what `==` and hashing mean."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.graph import PRIMITIVES, Node, ancestors, bind, placeholder


def test_a_node_is_plain_data() -> None:
    x = cg.variable(2.0, name="x")
    y = np.sum(x * np.ones(3), axis=0)
    assert (y.primitive, y.params) == (PRIMITIVES["sum"], {"axis": 0, "keepdims": False})
    assert y.args[0].primitive.name == "multiply"
    assert (y.shape, y.dtype, y.ndim, y.size, y.value) == ((), np.float64, 0, 1, 6.0)
    assert x.is_leaf
    assert not y.is_leaf
    with pytest.raises(AttributeError):
        y.anything = 1  # type: ignore[attr-defined]


def test_equality_is_elementwise_and_identity_is_identity() -> None:
    x, y = cg.variable([1.0, 2.0]), cg.variable([1.0, 3.0])
    np.testing.assert_array_equal((x == y).value, [True, False])
    np.testing.assert_array_equal((x != y).value, [False, True])
    np.testing.assert_array_equal((x == [1.0, 5.0]).value, [True, False])
    assert x in [y, x]
    assert x not in [y]
    assert [y, x].index(x) == 1
    assert len({x, y, x}) == 2
    assert {x: 1}[x] == 1
    assert (x == "text") is False
    assert (x is None) is False
    assert bool(cg.variable(1.0) == cg.variable(1.0))


def test_bind_computes_on_arrays_and_records_on_nodes() -> None:
    assert bind("add", np.float64(1.0), 2.0) == 3.0
    assert isinstance(bind("add", cg.variable(1.0), 2.0), Node)
    abstract = bind("add", placeholder((2,), np.float64), 1.0)
    assert (abstract.value, abstract.shape) == (None, (2,))


def test_ids_grow_and_are_a_topological_order() -> None:
    x = cg.variable(1.0)
    y = np.sin(x)
    z = y * x + y
    nodes = ancestors([z])
    assert [node.id for node in nodes] == sorted(node.id for node in nodes)
    place = {node: number for number, node in enumerate(nodes)}
    assert all(place[arg] < place[node] for node in nodes for arg in node.args if isinstance(arg, Node))
    assert nodes[0] is x
    assert nodes[-1] is z


def test_a_graph_holds_what_its_outputs_need() -> None:
    x, y = cg.variable(1.0, name="x"), cg.variable(2.0, name="y")
    used, unused = np.sin(x), np.cos(x)
    graph = cg.typecheck(cg.Graph([x, y], [used]))
    assert unused not in graph.nodes
    assert list(graph.nodes) == [x, y, used]
    assert graph(0.5, 100.0) == np.sin(0.5)
    assert repr(graph) == "Graph(f(x, y), 3 nodes, 1 output)"


def test_names_are_unique_and_numbered_in_order() -> None:
    x = cg.variable(1.0, name="x")
    other = cg.variable(2.0, name="x")
    y = (x + other).retain_grad()
    y.name = "v1"
    z = y * 2.0
    graph = cg.typecheck(cg.graph_of(z))
    assert [graph.names[node] for node in graph.nodes] == ["x", "x_2", "v1", "v1_2"]
    nameless = cg.graph_of(cg.variable(1.0) * cg.variable(2.0))
    assert [nameless.names[node] for node in nameless.nodes] == ["x1", "x2", "v1"]


def test_eager_nodes_give_the_graph_behind_them() -> None:
    x, w = cg.variable([1.0, 2.0], name="x"), cg.variable(3.0, name="w")
    graph = cg.typecheck(cg.graph_of(np.sum(x * w), name="loss"))
    assert repr(graph) == "Graph(loss(x, w), 4 nodes, 1 output)"
    assert graph([1.0, 1.0], 5.0) == 10.0
    assert graph(w=1.0, x=[2.0, 2.0]) == 4.0


def test_a_graph_casts_numbers_to_the_traced_dtype() -> None:
    graph = cg.trace(lambda x, n: (x, x * n), np.ones(2, np.float32), np.array([1, 2]))
    kept, product = graph([1, 2], [3, 4])
    assert (kept.dtype, product.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(product, [3.0, 8.0])


def test_results_of_a_graph_share_no_memory() -> None:
    x = np.ones(2)
    graph = cg.trace(lambda t: (t, t, t * 1.0, t.reshape(2, 1)), x)
    results = graph(x)
    for number, result in enumerate(results):
        result[...] = number
    assert [result.flat[0] for result in results] == [0.0, 1.0, 2.0, 3.0]
    np.testing.assert_array_equal(x, [1.0, 1.0])


def test_a_constant_is_a_copy() -> None:
    data = np.ones(2)
    node = cg.constant(data)
    data[:] = 5.0
    np.testing.assert_array_equal(node.value, [1.0, 1.0])
    assert cg.constant(np.float32(1)).dtype == np.float32
    variable = cg.variable(data)
    data[:] = 7.0
    np.testing.assert_array_equal(variable.value, [5.0, 5.0])


def test_typecheck_names_the_broken_invariant() -> None:
    def broken(**changes: Any) -> cg.Graph:
        x = cg.variable([1.0, 2.0], name="x")
        y = np.sum(x, axis=0)
        for name, value in changes.items():
            setattr(y, name, value)
        return cg.graph_of(y)

    assert cg.typecheck(broken())
    for changes, text in (
        ({"value": np.ones(2)}, r"v1 = sum has \(2,\) float64, its primitive infers \(\) float64"),
        ({"value": np.float32(3)}, r"v1 = sum has \(\) float32, its primitive infers \(\) float64"),
        ({"params": {"axis": 0}}, r"params \['axis'\] are not those of"),
        ({"params": {"axis": [0], "keepdims": False}}, "a parameter is mutable"),
        ({"args": ("text",)}, "an argument of type str"),
    ):
        with pytest.raises(cg.GraphError, match=text):
            cg.typecheck(broken(**changes))
    graph = broken()
    graph.nodes = graph.nodes[::-1]
    with pytest.raises(cg.GraphError, match="uses a node that comes after it"):
        cg.typecheck(graph)


def test_the_same_primitive_or_input_twice_is_refused() -> None:
    x = cg.variable(1.0)
    with pytest.raises(cg.GraphError, match="given as an input twice"):
        cg.Graph([x, x], [x * 2])
    with pytest.raises(cg.GraphError, match="there is a primitive 'add' already"):
        cg.graph.register(PRIMITIVES["add"])  # type: ignore[attr-defined]


def test_iteration_and_length() -> None:
    x = cg.variable([[1.0, 2.0], [3.0, 4.0]])
    first, second = x
    np.testing.assert_array_equal(second.value, [3.0, 4.0])
    assert len(x) == 2
    (first[0] * second[1]).backward()
    np.testing.assert_array_equal(x.grad, [[4.0, 0.0], [0.0, 1.0]])
    assert sum(cg.variable([1.0, 2.0, 3.0])).value == 6.0


@pytest.mark.parametrize(("method", "args"), [
    ("sum", ()), ("sum", (0,)), ("mean", (1, None, None, True)), ("max", (0,)), ("min", ()), ("dot", (np.ones((3, 2)),)), ("ravel", ()),
    ("flatten", ()),
    ("reshape", (3, 2)), ("reshape", ((3, 2),)), ("reshape", (-1,)), ("transpose", ()), ("transpose", (1, 0)), ("transpose", ((1, 0),)),
    ("astype", (np.float32,)), ("__abs__", ()), ("__neg__", ()), ("__pos__", ()), ("__getitem__", (0,)),
])  # fmt: skip
def test_methods_are_numpys(method: str, args: tuple[Any, ...]) -> None:
    array = np.arange(6.0).reshape(2, 3) - 2.5
    wanted = getattr(array, method)(*args)
    found = getattr(cg.variable(array), method)(*args)
    np.testing.assert_array_equal(found.value, wanted)
    assert found.dtype == wanted.dtype


def test_text_of_a_node() -> None:
    assert repr(cg.variable(0.5, name="x")) == "Node(x, 0.5)"
    assert repr(cg.variable([1.0, 2.0]) * 2) == "Node(multiply, [2., 4.])"
    assert repr(placeholder((2, 3), np.float32, name="x")) == "Node(x, shape=(2, 3), dtype=float32)"
    assert "..." in repr(cg.variable(np.zeros(1000)))
    assert cg.variable(1.0, name="<b>")._repr_html_() == "<code>Node(&lt;b&gt;, 1.)</code>"


def test_nodes_are_freed_when_nobody_holds_them() -> None:
    x = cg.variable(1.0)
    y = np.sin(x) * x
    watched = weakref.ref(y.args[0])
    y.backward()
    del y
    gc.collect()
    assert watched() is None


def test_threads_do_not_share_modes() -> None:
    """A trace, a scope or `no_grad` in one thread leaves the others as they were."""
    inside, done = threading.Event(), threading.Event()
    seen: list[Any] = []

    def other() -> None:
        inside.wait(10)
        x = cg.variable(2.0)
        y = x * x
        y.backward()
        seen.append((x.grad, y.scope))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with cg.no_grad(), cg.scope("mine"):
        inside.set()
        done.wait(10)
    thread.join()
    assert seen == [(4.0, "")]

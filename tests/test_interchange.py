"""Graphs to NetworkX, and to JSON and back: every number bit for bit, and no text that does harm."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import networkx as nx
import numpy as np
import pytest
from domains import SAMPLES, Sample
from hypothesis import given, settings
from hypothesis import strategies as st

import compgraph as cg
from compgraph.graph import placeholder
from compgraph.interchange import _entries_read

HOSTILE = ["", " ", "__class__", "x; import os", "a\nb", 'quote " and \\', "\ud800", "\x00", "ключ", "v1", "x" * 300, "<script>", "{0}"]


def textbook() -> cg.Graph:
    def f(x1: Any, x2: Any) -> Any:
        with cg.scope("ratio"):
            ratio = x1 / x2
        return (np.exp(ratio) + ratio) * (ratio - np.log(x2))

    return cg.trace(f, 0.5, 1.0)


def layered() -> cg.Graph:
    """Arrays, constants of every kind, indices, several outputs and a variable that the function closes over."""
    weights = np.linspace(-1.0, 1.0, 300).reshape(3, 100)
    bias = cg.variable(np.array([0.1, -0.0, np.inf]), name="bias")

    def f(x: Any, mask: Any) -> Any:
        hidden = np.tanh(weights @ x + np.where(mask, bias, 2))
        picked = hidden[np.array([0, 0, 2])] + hidden[::-1] + hidden[None, ..., -1]
        return {"loss": np.mean(np.max(np.reshape(picked, (1, -1)), axis=(0,))), "all": np.stack([hidden, picked])}

    return cg.trace(f, np.ones(100), np.array([True, False, True]))


def float32() -> cg.Graph:
    return cg.trace(lambda x: x * 0.1 + np.float64(1.0) * np.float32(0.1), np.float32(1.0))


def derivatives() -> list[cg.Graph]:
    graph = textbook()
    return [cg.forward(graph), cg.reverse(graph), cg.reverse(cg.forward(cg.reverse(graph))), cg.forward(layered(), wrt="x")]


def sampled(sample: Sample) -> cg.Graph:
    """The sample's primitive on abstract arguments, where the sample has arrays, and on constants."""
    if not sample.args:
        return cg.Graph([], [cg.constant(**sample.params)])
    nodes = [placeholder(arg.shape, arg.dtype) if hasattr(arg, "dtype") else arg for arg in sample.args]
    inputs = [node for node in nodes if isinstance(node, cg.Node)]
    return cg.Graph(inputs, [cg.bind(sample.name, *nodes, **sample.params)])


GRAPHS = [textbook(), layered(), float32(), *derivatives()]


def same(left: Any, right: Any) -> bool:
    """Equal in type, dtype, shape and bits."""
    if isinstance(left, (np.ndarray, np.generic)):
        return type(left) is type(right) and left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, tuple):
        return isinstance(right, tuple) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        if type(right) is not float or math.isnan(left) or math.isnan(right):
            return type(right) is float and math.isnan(left) and math.isnan(right)
        return (left, math.copysign(1, left)) == (right, math.copysign(1, right))
    return type(left) is type(right) and left == right


def assert_same_graph(left: cg.Graph, right: cg.Graph) -> None:
    assert left.name == right.name
    assert list(left.names.values()) == list(right.names.values())
    for field in ("inputs", "outputs"):
        assert [left.names[node] for node in getattr(left, field)] == [right.names[node] for node in getattr(right, field)]
    for one, other in zip(left.nodes, right.nodes, strict=True):
        assert one.primitive is other.primitive
        assert (one.shape, one.dtype, one.scope, one.name) == (other.shape, other.dtype, other.scope, other.name)
        for arg, twin in zip(one.args, other.args, strict=True):
            assert left.names[arg] == right.names[twin] if isinstance(arg, cg.Node) else same(arg, twin)
        assert one.params.keys() == other.params.keys()
        assert all(same(one.params[param], other.params[param]) for param in one.params)
        assert [role and (role[0], left.names.get(role[1])) for role in (left.roles.get(one),)] == [
            role and (role[0], right.names.get(role[1])) for role in (right.roles.get(other),)
        ]


def round_trip(graph: cg.Graph) -> cg.Graph:
    text = graph.to_json()
    loaded = cg.typecheck(cg.Graph.from_json(text))
    assert loaded.to_json() == text
    assert_same_graph(graph, loaded)
    return loaded


# ------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("graph", GRAPHS, ids=repr)
def test_a_graph_comes_back(graph):
    loaded = round_trip(graph)
    rng = np.random.default_rng(0)
    values = [np.asarray(rng.uniform(0.5, 1.5, node.shape)).astype(node.dtype)[()] for node in graph.inputs]
    for one, other in zip(graph.run(values), loaded.run(values), strict=True):
        assert same(one.value if isinstance(one, cg.Node) else one, other.value if isinstance(other, cg.Node) else other)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_every_primitive_comes_back(sample):
    graph = sampled(sample)
    loaded = round_trip(graph)
    values = [arg for arg in sample.args if hasattr(arg, "dtype")]
    assert all(map(same, graph.run(values), loaded.run(values)))


def test_derivatives_of_a_loaded_graph_are_those_of_the_graph():
    graph = textbook()
    loaded = cg.Graph.from_json(graph.to_json())
    for transform in (cg.forward, cg.reverse):
        assert list(transform(loaded).names.values()) == list(transform(graph).names.values())
    assert cg.reverse(loaded)(0.5, 1.0, 1.0) == cg.reverse(graph)(0.5, 1.0, 1.0)


@pytest.mark.parametrize(
    "constant",
    [
        True, 0, -7, 10**300, 0.1, -0.0, 5e-324, math.inf, -math.inf, math.nan,
        np.float32(0.1), np.float64(-0.0), np.float64(np.nan), np.float16(1e-7), np.int8(-128), np.uint64(2**64 - 1), np.bool_(True),
        np.array(1.5), np.array([]), np.zeros((0, 3), np.float32), np.array([[1.0, -0.0], [np.nan, -np.inf]]),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(1000, dtype=np.int16), np.arange(200) % 3 == 0,
        np.array([-np.nan, np.nan]), np.linspace(0, 1, 77, dtype=np.float32), np.full(100, np.nan),
    ],
    ids=lambda value: f"{type(value).__name__}-{value!r:.30}",
)  # fmt: skip
def test_a_constant_comes_back_bit_for_bit(constant):
    x = placeholder(np.shape(constant), np.float32, "x")
    graph = cg.Graph([x], [cg.bind("multiply", x, constant)])
    assert same(round_trip(graph).nodes[-1].args[1], constant)


def test_byte_order_is_that_of_the_machine_that_reads():
    x = placeholder((100,), np.float64, "x")
    graph = cg.Graph([x], [cg.bind("add", x, np.arange(100, dtype=">f8"))])
    array = cg.Graph.from_json(graph.to_json()).nodes[-1].args[1]
    assert array.dtype.isnative
    assert array.tolist() == list(range(100))


@pytest.mark.parametrize(
    "index",
    [
        0, -1, slice(None), slice(3, None, -1), (slice(0, 2), 1), (..., 0), (None, 0, ..., None), np.array([0, 0, 3]),
        (np.array([[0], [1]]), np.array([0, 1])), np.arange(12).reshape(4, 3) > 5, (slice(1, 3), np.array([0, 2])), (0, (1, 2)),
    ],
    ids=str,
)  # fmt: skip
def test_an_index_comes_back(index):
    graph = cg.trace(lambda x: x[index], np.zeros((4, 3)))
    x = np.arange(12.0).reshape(4, 3)
    assert same(round_trip(graph)(x), graph(x))


@given(st.floats(width=64) | st.integers(-(2**70), 2**70) | st.booleans())
def test_any_weak_number_comes_back(number):
    x = placeholder((), np.float32, "x")
    loaded = cg.Graph.from_json(cg.Graph([x], [cg.bind("add", x, number)]).to_json())
    assert same(loaded.nodes[-1].args[1], number)


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_scopes_are_kept_exactly(text):
    x = placeholder((2,), np.float64, text)
    with cg.scope(text):
        y = np.sin(x)
    y.name = text
    loaded = round_trip(cg.Graph([x], [y], name=text))
    assert [node.name for node in loaded.nodes] == [text, text]
    assert loaded.outputs[0].scope == text


def test_an_origin_is_kept_as_text():
    place = json.loads(textbook().to_json())["nodes"][2]["origin"]
    assert place.startswith("test_interchange.py:")
    assert cg.Graph.from_json(textbook().to_json()).nodes[2].origin == place


def test_values_of_inputs_are_kept_and_those_of_operations_follow():
    x = cg.variable([1.0, 2.0], name="x")
    loaded = round_trip(cg.graph_of(np.sum(x * x)))
    assert loaded.inputs[0].value.tolist() == [1.0, 2.0]
    assert loaded.outputs[0].value is None


def test_the_text_does_not_depend_on_the_run():
    assert textbook().to_json() == textbook().to_json()
    assert len(textbook().to_json().splitlines()) == 4 + len(textbook().nodes)


def test_an_extended_float_is_refused():
    if np.dtype(np.longdouble).name == "float64":
        x = placeholder((), np.float64, "x")
        assert round_trip(cg.Graph([x], [np.sin(x)]))
        return
    x = placeholder((), np.longdouble, "x")
    with pytest.raises(cg.DtypeError, match="f: x is of dtype float"):
        cg.Graph([x], [np.sin(x)]).to_json()


def test_a_role_whose_primal_node_is_gone_is_kept():
    x, x_dot = placeholder((), np.float64, "x"), placeholder((), np.float64)
    graph = cg.Graph([x_dot], [2 * x_dot], roles={x_dot: ("dot", x)})
    assert round_trip(graph).inputs[0].primitive is None


# ------------------------------------------------------------------------------------ refused texts


def changed(change: Any, graph: cg.Graph | None = None) -> str:
    document = json.loads((graph or textbook()).to_json())
    change(document)
    return json.dumps(document)


REFUSED = {
    "format": (lambda d: d.update(format="onnx"), cg.InputError, "the format is 'onnx', not 'compgraph graph'"),
    "version": (lambda d: d.update(version=2), cg.InputError, "version 2 is not one that this program reads"),
    "version true": (lambda d: d.update(version=True), cg.InputError, "version True"),
    "missing": (lambda d: d.pop("nodes"), cg.InputError, "the document: missing are nodes"),
    "surplus": (lambda d: d.update(code="print(1)"), cg.InputError, "there is no field 'code'"),
    "missing in node": (lambda d: d["nodes"][2].pop("shape"), cg.InputError, r"nodes\[2\]: missing are shape"),
    "no node": (lambda d: d["nodes"].insert(0, 3), cg.InputError, r"nodes\[0\]: 3 is not an object"),
    "primitive": (lambda d: d["nodes"][2].update(primitive="os.kill"), cg.GraphError, r"\('v1'\): there is no primitive 'os.kill'"),
    "forward reference": (lambda d: d["nodes"][2].update(args=["v2", "x1"]), cg.GraphError, r"\]: there is no node 'v2' before"),
    "own argument": (lambda d: d["nodes"][2].update(args=["v1", "x1"]), cg.GraphError, "there is no node 'v1' before"),
    "too few args": (lambda d: d["nodes"][2].update(args=["x1"]), cg.GraphError, "divide does not take these arguments"),
    "too many args": (lambda d: d["nodes"][2].update(args=["x1", "x1", "x1"]), cg.GraphError, "divide does not take these arguments"),
    "shape": (lambda d: d["nodes"][2].update(shape=[2]), cg.GraphError, r"it is said to be \(2,\) float64; divide gives \(\) float64"),
    "dtype": (lambda d: d["nodes"][2].update(dtype="float32"), cg.GraphError, r"it is said to be \(\) float32"),
    "unknown dtype": (lambda d: d["nodes"][0].update(dtype="object"), cg.InputError, "'object' is not a dtype"),
    "negative length": (lambda d: d["nodes"][0].update(shape=[-1]), cg.InputError, "is not a shape"),
    "huge shape": (lambda d: d["nodes"][0].update(shape=[10**9, 10**9]), cg.InputError, "is not a shape"),
    "many axes": (lambda d: d["nodes"][0].update(shape=[1] * 65), cg.InputError, "is not a shape"),
    "bool length": (lambda d: d["nodes"][0].update(shape=[True]), cg.InputError, r"nodes\[0\] \('x1'\).shape\[0\]: True is not a length"),
    "duplicate": (lambda d: d["nodes"][3].update(name="v1"), cg.InputError, "there is a node of that name already"),
    "renamed": (lambda d: (d["nodes"][7].update(name="w"), d.update(outputs=["w"])), cg.GraphError, "the node called 'w' is 'v6' in"),
    "params": (lambda d: d["nodes"][2].update(params={"axis": 0}), cg.GraphError, r"divide takes the params \[\], not \['axis'\]"),
    "value of operation": (lambda d: d["nodes"][2].update(value=1.0), cg.InputError, "an operation does not hold a value here"),
    "value of input": (lambda d: d["nodes"][0].update(value=1.0), cg.InputError, "is not of shape"),
    "args of input": (lambda d: d["nodes"][1].update(args=["x1"]), cg.InputError, "an input has neither args nor params"),
    "role": (lambda d: d["nodes"][2].update(role=["bar", "v99"]), cg.GraphError, "the role of a node names 'v99'"),
    "no output": (lambda d: d.update(outputs=[]), cg.GraphError, "at least one output"),
    "input twice": (lambda d: d.update(inputs=["x1", "x1", "x2"]), cg.GraphError, "given as an input twice"),
    "input left out": (lambda d: d.update(inputs=["x1"]), cg.GraphError, "x2 .* belongs to another graph"),
    "unused": (lambda d: d.update(outputs=["v5"]), cg.GraphError, "'v2' is neither an input nor used by an output"),
    "a list as constant": (lambda d: d["nodes"][2].update(args=["x1", [1]]), cg.InputError, r"args\[1\]: \[1\] is not an object"),
    "unknown tag": (lambda d: d["nodes"][2].update(args=["x1", {"py/object": "os"}]), cg.InputError, "is not a number or an array"),
    "null as constant": (lambda d: d["nodes"][2].update(args=["x1", None]), cg.InputError, "None is not an object"),
    "no number": (lambda d: d["nodes"][2].update(args=["x1", {"float": "1.0"}]), cg.InputError, "'1.0' is not one of nan, inf, -inf"),
    "long name": (lambda d: d["nodes"][2].update(args=["x1", "y" * 10**6]), cg.GraphError, "yyy\\.\\.\\. before this place"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_a_damaged_text_is_refused_with_its_place(change, error, message):
    with pytest.raises(error, match=message) as caught:
        cg.Graph.from_json(changed(change))
    assert len(str(caught.value)) < 400


ARRAYS = {
    "short": ({"array": [1.0], "shape": [2], "dtype": "float64"}, r"it has 1 entries, its shape \(2,\) has 2"),
    "huge": ({"array": [], "shape": [2**40], "dtype": "float64"}, "it has 0 entries"),
    "ragged": ({"array": [[1.0], [2.0]], "shape": [2], "dtype": "float64"}, r"array\[0\]: \[1.0\] is not a float64"),
    "not float": ({"array": [1], "shape": [1], "dtype": "float64"}, "1 is not a float64, which is written with a point"),
    "not exact": ({"array": [0.1], "shape": [1], "dtype": "float32"}, "0.1 is not a float32: the nearest is 0.10000000149011612"),
    "overflow": ({"array": [1e300], "shape": [1], "dtype": "float32"}, "is not a float32"),
    "out of range": ({"array": [256], "shape": [1], "dtype": "uint8"}, "256 does not fit into uint8"),
    "not bool": ({"array": [1], "shape": [1], "dtype": "bool"}, "1 is not a bool"),
    "scalar text": ({"scalar": "1.0", "dtype": "float64"}, "'1.0' is not a float64"),
    "bytes short": ({"base64": "AAAA", "shape": [2**30], "dtype": "float64"}, "it has 3 bytes"),
    "bytes bad": ({"base64": "A*==", "shape": [1], "dtype": "bool"}, "not base64"),
    "bytes not ascii": ({"base64": "ä", "shape": [1], "dtype": "bool"}, "not base64"),
    "bytes not bool": ({"base64": "Ag==", "shape": [1], "dtype": "bool"}, "a bool is the byte 0 or 1"),
    "object": ({"array": [None], "shape": [1], "dtype": "object"}, "'object' is not a dtype"),
}  # fmt: skip


@pytest.mark.parametrize(("array", "message"), ARRAYS.values(), ids=ARRAYS)
def test_an_array_that_lies_is_refused(array, message):
    with pytest.raises(cg.InputError, match=message):
        cg.Graph.from_json(changed(lambda document: document["nodes"][2].update(args=["x1", array])))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"), ("{", "not JSON"), ("[]", "is not an object"), ("null", "is not an object"), ("[" * 10**6, "nested too deep"),
        ('{"a":' * 10**5, "nested too deep"), ("1" * 5000, "an integer of 5000 digits"), ("-" + "9" * 309, "an integer of 309 digits"),
        ("1e999", "does not fit into float64"), ("NaN", "which is not JSON"), ("-Infinity", "which is not JSON"),
        ('{"format": 1, "format": 2}', "has the key 'format' twice"), ("\x00", "not JSON"), (b"{}", "takes text, not bytes"),
        (None, "takes text"),
    ],
    ids=lambda value: f"{value!r:.20}",
)  # fmt: skip
def test_a_text_that_is_no_document_is_refused(text, message):
    with pytest.raises(cg.InputError, match=message):
        cg.Graph.from_json(text)


def test_a_parameter_nested_deep_is_refused():
    nested: Any = 0
    for _ in range(100):
        nested = [nested]
    graph = cg.trace(lambda x: x[0], np.zeros(3))
    with pytest.raises(cg.InputError, match="nested too deep"):
        cg.Graph.from_json(changed(lambda document: document["nodes"][1]["params"].update(index=nested), graph))


@pytest.mark.parametrize("index", [{"array": [0], "shape": [1], "dtype": "int64"}, True, [0, [0, 0]]], ids=["array", "mask", "tuple"])
def test_an_index_that_would_copy_terabytes_is_refused(index):
    graph = cg.trace(lambda x: x[0], np.zeros((2, 3)))

    def change(document: Any) -> None:
        document["nodes"][0]["shape"] = [1, 2, 2**38]
        document["nodes"][1]["params"]["index"] = index

    with pytest.raises(cg.GraphError, match="it reads more than"):
        cg.Graph.from_json(changed(change, graph))


@given(st.data())
def test_the_entries_that_an_index_reads_are_counted_before_they_are_read(data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    arrays = [np.array([0, 0, 0]), np.array([[0], [0]]), np.ones(shape[0], bool), np.ones(shape, bool)]
    slices = st.builds(slice, st.integers(-4, 4), st.integers(-4, 4))
    part = st.sampled_from([None, ..., 0, True, False, *arrays]) | slices
    index = data.draw(st.lists(part, max_size=4).map(tuple))
    try:
        result = np.zeros(shape)[index]
    except IndexError:
        return
    advanced = any(isinstance(one, (bool, np.ndarray)) for one in index)
    assert _entries_read(shape, index) == (result.size if advanced else 0)


# -------------------------------------------------------------------------------------------- fuzz

TAGS = ["scalar", "dtype", "array", "shape", "base64", "slice", "ellipsis", "float", "axis"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "x1", "v1", "sum", "index", "float32", "nan", "AAAA", "bar"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TAGS), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
TEXTS = [graph.to_json() for graph in (*GRAPHS[:5], cg.trace(lambda x: np.sum(x[np.array([0, 1])] * x[:, None], axis=(0, 1)), np.zeros(3)))]


def loads_or_is_refused(text: str) -> None:
    try:
        graph = cg.Graph.from_json(text)
    except cg.CompgraphError:
        return
    cg.typecheck(graph)
    assert cg.Graph.from_json(graph.to_json()).to_json() == graph.to_json()


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    found: list[tuple[Any, Any]] = []
    left = [value]
    while left:
        container = left.pop()
        for key in container if isinstance(container, dict) else range(len(container)):
            found.append((container, key))
            if isinstance(container[key], (dict, list)):
                left.append(container[key])
    return found


@settings(max_examples=600)
@given(st.sampled_from(TEXTS), st.data())
def test_a_text_with_values_exchanged_loads_or_is_refused(text, data):
    document = json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(document)))
        other, place = data.draw(st.sampled_from(places(document)))
        container[key] = data.draw(st.just(copy.deepcopy(other[place])) | JSON)
    loads_or_is_refused(json.dumps(document))


@settings(max_examples=300)
@given(st.sampled_from(TEXTS), st.data())
def test_a_text_with_characters_exchanged_loads_or_is_refused(text, data):
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(start + 40, len(text))))
    put = data.draw(st.sampled_from(["", "0", "9" * 400, '"', "}", "]", "[", ",", "null", "\n", "-", "e5", "\x00"]))
    loads_or_is_refused(text[:start] + put + text[stop:])


# ----------------------------------------------------------------------------------------- NetworkX


def test_networkx_has_a_vertex_a_node_and_an_edge_an_argument():
    graph = layered()
    result = graph.to_networkx()
    assert isinstance(result, nx.MultiDiGraph)
    assert list(result.nodes) == [graph.names[node] for node in graph.nodes]
    arguments = [(arg, node, place) for node in graph.nodes for place, arg in enumerate(node.args) if isinstance(arg, cg.Node)]
    assert sorted(result.edges(data="index")) == sorted((graph.names[arg], graph.names[node], place) for arg, node, place in arguments)
    assert nx.is_directed_acyclic_graph(result)
    for node in graph.nodes:
        vertex = result.nodes[graph.names[node]]
        assert vertex["primitive"] == (node.primitive.name if node.primitive else None)
        assert (vertex["shape"], vertex["dtype"], vertex["scope"]) == (node.shape, node.dtype, node.scope)
        assert ("value" in vertex) == (node.value is not None)
        assert {**dict(enumerate(node.args)), **vertex["constants"]} == dict(enumerate(node.args))
    assert result.graph == {"name": "f", "inputs": ["x", "mask"], "outputs": [graph.names[node] for node in graph.outputs]}


def test_networkx_says_the_role_of_each_vertex():
    bias = cg.variable(1.0, name="bias")
    half = cg.constant(0.5, name="half")
    graph = cg.trace(lambda x: np.sin(x * half) + bias, 1.0)
    assert dict(graph.to_networkx().nodes(data="role")) == {
        "bias": "variable", "half": "constant", "x": "input", "v1": "operation", "v2": "operation", "v3": "output",
    }  # fmt: skip


def test_networkx_keeps_both_edges_of_a_square():
    assert list(cg.trace(lambda x: x * x, 1.0).to_networkx().edges(keys=True)) == [("x", "v1", 0), ("x", "v1", 1)]

"""The memory report: the lectures' numbers, bytes by hand, and what is really allocated."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compgraph as cg
import optim
from optim.memory import MemoryReport, _is_view, adjoint_graph, in_bytes, linear, memory_report, stored

# ------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("parameters", "dtype", "size"),
    [
        (linear(8, 4, bias=False), "float32", 128),
        (linear(8, 4), "float64", 288),
        ({"0": linear(8, 4), "1": linear(4, 1, bias=False)}, "float32", 160),  # the lecture's two layers, counted as it counts
        ({"0": linear(8, 4), "1": linear(4, 1)}, "float32", 164),  # as its code makes them: Linear has a bias unless told otherwise
        ([linear(5, 8), linear(8, 4), linear(4, 2)], "float32", 94 * 4),
    ],
)
def test_parameters_take_what_the_lectures_count(parameters: Any, dtype: str, size: int) -> None:
    report = memory_report(parameters, dtype=dtype)
    assert (report.parameters, report.gradients, report.state, report.activations) == (size, size, 0, 0)


# Parameters, gradients and state together, over the parameters' size.
FACTORS: list[tuple[str, dict[str, Any], int]] = [
    ("SGD", {}, 2),
    ("SGD", {"momentum": 0.9}, 3),
    ("Adagrad", {}, 3),
    ("RMSprop", {}, 3),
    ("RMSprop", {"momentum": 0.9}, 4),
    ("RMSprop", {"momentum": 0.9, "centered": True}, 5),
    ("Rprop", {}, 4),  # step sizes and the gradient before: more than three times
    ("Adam", {}, 4),
    ("Adam", {"amsgrad": True}, 5),
    ("AdamW", {}, 4),
    ("Adadelta", {}, 4),
    ("Adamax", {}, 4),
    ("NAdam", {}, 4),
    ("RAdam", {}, 4),
    ("Lion", {}, 3),
    ("LAMB", {}, 4),
    ("LARS", {}, 3),
    ("FTRL", {}, 4),
]
CASES = [pytest.param(name, keywords, factor, id=f"{name} {keywords or ''}".strip()) for name, keywords, factor in FACTORS]


def making(name: str, keywords: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda parameters: getattr(optim, name)(parameters, **keywords)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "keywords", "factor"), CASES)
def test_training_multiplies_the_size_of_the_parameters(name: str, keywords: dict[str, Any], factor: int, dtype: str) -> None:
    report = memory_report({"0": linear(8, 4), "1": linear(4, 1)}, dtype=dtype, optimizer=making(name, keywords))
    assert report.factor == factor
    assert report.optimizer == name
    assert report.state == (factor - 2) * report.parameters


def test_a_number_has_state_too() -> None:
    assert memory_report(np.float32(2.0), optimizer=optim.Adam).total()[3:] == (4, 4, 8, 0)


def test_an_optimizer_may_be_given_itself() -> None:
    w = cg.variable(np.ones((3, 2)), name="w")
    assert memory_report([w], optimizer=optim.SGD([w], momentum=0.5)).factor == 3


def held_by(make: Callable[[], Any]) -> int:
    """The bytes that what `make` returns keeps allocated."""
    make()  # what is allocated once and for all
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = make()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept is not None
    return after - before


def test_rows_and_columns_are_kept_instead_of_matrices() -> None:
    report = memory_report(linear(300, 200), dtype="float32", optimizer=optim.Adafactor)
    assert report.state == 4 * (300 + 200 + 200)  # of the bias, a vector, all


def test_muon_keeps_one_buffer_of_a_matrix_and_two_of_the_rest() -> None:
    report = memory_report(linear(300, 200), dtype="float32", optimizer=optim.Muon)
    assert report.state == 4 * (300 * 200 + 2 * 200)


ALL = [*CASES, pytest.param("Adafactor", {}, None, id="Adafactor"), pytest.param("Muon", {}, None, id="Muon")]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "keywords", "factor"), ALL)
def test_a_step_leaves_allocated_what_is_reported(name: str, keywords: dict[str, Any], factor: int | None, dtype: Any) -> None:
    shapes = {"weight": (256, 256), "bias": (256,)}

    def train() -> Any:
        variables = [cg.variable(np.ones(shape, dtype), name=name) for name, shape in shapes.items()]
        optimizer = making(name, keywords)(variables)
        for variable in variables:
            variable.grad = np.full(variable.shape, 0.5, dtype)
        optimizer.step()
        return variables, optimizer

    report = memory_report(linear(256, 256), dtype=dtype, optimizer=making(name, keywords))
    objects = 20_000  # nodes, dicts and the headers of arrays, whatever their size
    assert 0 <= held_by(train) - report.together < objects < report.parameters / 10


# ------------------------------------------------------------------------------------------ activations


def layers_of(sizes: list[int], dtype: Any = np.float32) -> list[dict[str, Any]]:
    draw = np.random.default_rng(0)
    pairs = itertools.pairwise(sizes)
    return [{"weight": draw.normal(size=(out, size)).astype(dtype), "bias": np.zeros(out, dtype)} for size, out in pairs]


def network(layers: list[dict[str, Any]], X: Any, Y: Any) -> Any:
    for layer in layers[:-1]:
        X = np.tanh(X @ layer["weight"].T + layer["bias"])
    return np.mean((X @ layers[-1]["weight"].T + layers[-1]["bias"] - Y) ** 2)


def examples(sizes: list[int], batch: int, dtype: Any = np.float32) -> tuple[Any, Any]:
    draw = np.random.default_rng(1)
    return draw.normal(size=(batch, sizes[0])).astype(dtype), draw.normal(size=(batch, sizes[-1])).astype(dtype)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(1, 40), st.sampled_from(["float32", "float64"]))
def test_a_network_keeps_the_outputs_of_its_layers(sizes: list[int], batch: int, dtype: str) -> None:
    report = memory_report(layers_of(sizes), network, *examples(sizes, 3), dtype=dtype, batch_size=batch)
    size = np.dtype(dtype).itemsize
    # tanh reads its result, which the next layer's weights read too; the square reads the differences
    expected = [batch * out * size for out in sizes[1:]]
    assert [row.activations for row in report.rows] == expected
    assert [row.layer for row in report.rows] == [str(number) for number in range(len(sizes) - 1)]
    assert report.parameters == size * sum((before + 1) * after for before, after in itertools.pairwise(sizes))


def linear_network(layers: list[dict[str, Any]], X: Any, Y: Any) -> Any:
    for layer in layers:
        X = X @ layer["weight"].T + layer["bias"]
    return np.mean((X - Y) ** 2)


def test_only_activations_grow_with_the_batch() -> None:
    """The lecture's 5-8-4-2 network: it multiplies 94 parameters by the batch, where the 14 outputs an example grow with it."""
    sizes = [5, 8, 4, 2]
    report = memory_report(layers_of(sizes), linear_network, *examples(sizes, 1), batch_size=[1, 100])
    one, hundred = report.total(batch_size=1), report.total(batch_size=100)
    assert one.parameters == hundred.parameters == 94 * 4
    assert (one.activations, hundred.activations) == (14 * 4, 14 * 4 * 100)


def attention(p: dict[str, Any], X: Any) -> Any:
    keys, queries = X @ p["keys"], X @ p["queries"]
    weights = cg.special.softmax(queries @ keys.T / np.sqrt(4.0), axis=1)
    mixed = np.concatenate([weights @ X, np.exp(-X[:, :2])], axis=1)
    return np.sum(np.maximum(mixed @ p["out"], 0.0).reshape(-1) ** 2)


def recurrent(p: dict[str, Any], X: Any) -> Any:
    state, _ = cg.scan(lambda h, x: (np.tanh(h @ p["w"] + x), None), np.zeros(3), X)
    return np.sum(state * state)


def problems() -> dict[str, tuple[Callable[..., Any], Any, tuple[Any, ...]]]:
    draw = np.random.default_rng(2)
    heads = {"keys": draw.normal(size=(6, 4)), "queries": draw.normal(size=(6, 4)), "out": draw.normal(size=(8, 5))}
    return {
        "network": (network, layers_of([30, 50, 40, 3], np.float64), examples([30, 3], 64, np.float64)),
        "attention": (attention, heads, (draw.normal(size=(40, 6)),)),
        "recurrent": (recurrent, {"w": draw.normal(size=(3, 3))}, (draw.normal(size=(200, 3)),)),
    }


def swept(name: str) -> tuple[cg.Graph, cg.Graph, list[cg.Node], list[Any]]:
    loss, parameters, data = problems()[name]
    named = cg.trace(lambda p: p, parameters)
    forward, adjoint, _ = adjoint_graph(loss, parameters, data, {named.names[node]: node for node in named.inputs})
    values = [np.asarray(leaf) for leaf in [*leaves(parameters), *data]]
    return forward, adjoint, stored(forward, adjoint), values


def leaves(tree: Any) -> list[Any]:
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return [tree] if parts is None else [leaf for part in parts for leaf in leaves(part)]


@pytest.mark.parametrize("name", list(problems()))
def test_the_reverse_sweep_needs_the_stored_values_and_no_others(name: str) -> None:
    """It is run from them alone, and without any one of them it cannot."""
    forward, adjoint, kept, values = swept(name)
    whole = cg.Graph(adjoint.inputs, [*adjoint.outputs, *kept])(*values, 1.0)
    bars, held = whole[1 : len(adjoint.outputs)], whole[len(adjoint.outputs) :]
    given = dict(zip(adjoint.inputs, [*values, np.float64(1.0)], strict=True)) | dict(zip(kept, held, strict=True))
    primal = set(forward.nodes) | set(kept)

    def run(given: dict[cg.Node, Any]) -> list[Any]:
        environment = dict(given)

        def value(arg: Any) -> Any:
            if not isinstance(arg, cg.Node) or arg in environment:
                return environment.get(arg, arg) if isinstance(arg, cg.Node) else arg
            if arg in primal and not (_is_view(arg) or arg.primitive.name == "constant"):
                raise KeyError(arg)
            return arg.primitive.evaluate(*map(value, arg.args), **arg.params)

        for node in adjoint.nodes:
            if node not in environment and node not in primal:
                environment[node] = node.primitive.evaluate(*map(value, node.args), **node.params)
        return [value(node) for node in adjoint.outputs[1:]]

    for found, expected in zip(run(given), bars, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    for node in kept:
        if node.primitive.name != "scan":  # the primal loop stands before the one that replaces it
            with pytest.raises(KeyError):
                run({key: one for key, one in given.items() if key is not node})


@pytest.mark.parametrize("name", ["network", "attention"])
def test_a_forward_sweep_that_keeps_them_allocates_what_is_reported(name: str) -> None:
    forward, _, kept, values = swept(name)
    loss, parameters, data = problems()[name]
    report = memory_report(parameters, loss, *data)
    program = cg.Graph(forward.inputs, [*forward.outputs, *kept])
    objects = 2_000
    assert 0 <= held_by(lambda: program(*values)) - report.activations < objects < report.activations / 5


def test_a_loop_keeps_the_values_of_every_turn() -> None:
    loss, parameters, (X,) = problems()["recurrent"]
    short, long = (memory_report(parameters, loss, X, batch_size=length).activations for length in (100, 200))
    assert long - short == pytest.approx(short, rel=0.05)
    assert long >= 200 * 3 * 8


def test_views_are_counted_once_where_their_memory_is() -> None:
    def loss(p: Any, x: Any) -> Any:
        h = np.exp(p * x)
        return np.sum(h.reshape(2, 3) * h.reshape(3, 2).T)

    report = memory_report(np.ones(6), loss, np.ones(6))
    assert [(value.operation, value.nbytes) for value in report.values] == [("exp", 48)]


def test_a_scope_is_a_layer_and_what_no_parameter_reaches_is_data() -> None:
    def loss(p: dict[str, Any], x: Any) -> Any:
        x = np.sin(x)
        with cg.scope("head"):
            h = np.tanh(p["body.w"] * x)
        return np.sum(h**2)

    report = memory_report({"body.w": np.ones(3)}, loss, np.ones(3))
    assert {row.layer: (row.parameters, row.activations) for row in report.rows} == {"body": (24, 0), "data": (0, 24), "head": (0, 24)}


def test_an_activation_belongs_to_the_parameter_that_it_reads() -> None:
    def loss(p: dict[str, Any], x: Any) -> Any:
        return np.sum(np.exp(p["first.w"] * np.exp(p["second.w"] * np.exp(p["first.w"] * x))))

    report = memory_report({"first.w": np.ones(3), "second.w": np.ones(3)}, loss, np.ones(3))
    assert [(value.operation, value.layer) for value in report.values] == [("exp", "first"), ("exp", "second"), ("exp", "first")]


# ------------------------------------------------------------------------------------- how it may be said


def test_variables_and_a_function_that_reads_them() -> None:
    w = cg.variable(np.ones((4, 8)), name="hidden.weight")

    def loss(X: Any) -> Any:
        return np.sum(np.tanh(X @ w.T) ** 2)

    X = np.ones((3, 8))
    by_name = memory_report([("body.w", w)], loss, X)
    alone = memory_report([w], loss, X)
    arrays = memory_report({"hidden": {"weight": w.value}}, lambda p, X: np.sum(np.tanh(X @ p["hidden"]["weight"].T) ** 2), X)
    assert [row[1:] for row in by_name.rows] == [row[1:] for row in alone.rows] == [row[1:] for row in arrays.rows]
    assert [report.rows[0].layer for report in (by_name, alone, arrays)] == ["body", "hidden", "hidden"]
    assert arrays.activations == 3 * 4 * 8


def test_integers_among_the_data_stay_integers() -> None:
    def loss(p: Any, X: Any, labels: Any) -> Any:
        assert labels.dtype.kind == "i"
        return np.sum(X * p) + 0.0 * np.sum(labels)

    assert memory_report(np.ones(2), loss, np.ones((3, 2)), np.arange(3), dtype="float32", batch_size=7).rows[0].batch_size == 7


def test_a_large_model_is_described_without_its_memory() -> None:
    tracemalloc.start()
    report = memory_report([linear(20_000, 20_000)] * 2, dtype="float32", optimizer=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.parameters == 2 * 4 * (20_000**2 + 20_000) and peak < 1_000_000


def two() -> MemoryReport:
    data = examples([8, 1], 2)
    return memory_report(layers_of([8, 4, 1]), network, *data, dtype=["float32", "float64"], batch_size=[1, 64], optimizer=optim.Adam)


def test_the_table_has_units_and_all_that_was_asked() -> None:
    text = str(two())
    assert text.splitlines()[0] == "memory of training with Adam"
    rows = [line.split() for line in text.splitlines()[2:]]
    assert [row[:3] for row in rows[:3]] == [["0", "float32", "1"], ["1", "float32", "1"], ["all", "float32", "1"]]
    assert len(rows) == 12 and all(row[4] in ("B", "KiB") for row in rows)
    shown = two()._repr_html_()
    assert shown.count("<tr>") == 13 and "164 B" in shown and "<caption>memory of training with Adam</caption>" in shown


def test_html_escapes_the_names_of_layers() -> None:
    assert "&lt;script&gt;" in memory_report({"<script>.w": np.ones(2)})._repr_html_()


def test_totals_of_several_cases_have_to_be_chosen() -> None:
    assert two().total(dtype="float64", batch_size=64).parameters == 41 * 8
    with pytest.raises(cg.InputError, match=r"choose one of the batch sizes \[1, 64\] and dtypes \['float32', 'float64'\]"):
        _ = two().parameters
    mixed = memory_report([np.ones(2, np.float32), np.ones(2)])
    assert mixed.total().dtype == "mixed" and mixed.parameters == 24


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (10_239, "10,239 B"), (10_240, "10.0 KiB"), (3 * 2**30, "3.0 GiB"), (2**60, "1,024.0 PiB")]
)
def test_sizes_have_units(size: int, text: str) -> None:
    assert in_bytes(size) == text


# ------------------------------------------------------------------------------------------- bad input

W = cg.variable(np.ones(2), name="w")
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: memory_report([]), cg.InputError, "there are no parameters"),
    (lambda: memory_report(iter(())), cg.InputError, "there are no parameters"),
    (lambda: memory_report([W, W]), cg.InputError, "the same variable is given twice"),
    (lambda: memory_report([("a", W), ("a", cg.variable(1.0))]), cg.InputError, "two parameters have the same name"),
    (lambda: memory_report([W, np.ones(2)]), cg.InputError, "some parameters are variables and some are arrays"),
    (lambda: memory_report({"n": np.arange(3)}), cg.DtypeError, "n is int64, and only floating point is trained"),
    (lambda: memory_report(np.ones(2), dtype="int8"), cg.DtypeError, "dtype is int8"),
    (lambda: memory_report(np.ones(2), dtype="float33"), cg.DtypeError, "'float33' is no dtype"),
    (lambda: memory_report(np.ones(2), batch_size=8), cg.InputError, "no data is given"),
    (lambda: memory_report(np.ones(2), lambda p, x: np.sum(p * x), np.ones(2), batch_size=0), cg.InputError, "from 1 on, not 0"),
    (lambda: memory_report(np.ones(2), lambda p, x: p * x, np.ones(2)), cg.ShapeError, r"the loss has to be a number, .* returned \(2,\)"),
    (lambda: memory_report([W], lambda x: np.sum(W * x), np.ones(2), dtype="float32"), cg.InputError, "the loss reads variables"),
    (lambda: memory_report(np.ones(2), optimizer=optim.LBFGS), cg.InputError, "LBFGS has no rule for each parameter"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_bad_input_is_refused_in_words(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()

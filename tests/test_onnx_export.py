"""Graphs and models as ONNX files, run in onnxruntime: the same numbers, for batches of every size, or a refusal with the line.

What onnxruntime has no kernel for in float64 runs in ONNX's own reference evaluator, with an error function of full precision.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from domains import SAMPLES, Sample
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import compgraph as cg
from compgraph import nn
from compgraph.graph import CONTROL, PRIMITIVES, placeholder
from compgraph.onnx_export import ROWS

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:onnx")  # the reference evaluator divides by 0 as NumPy does

NO_FLOAT64 = {"Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Erf", "Sinh", "Tan"}  # of onnxruntime on processors
TOLERANCE = {"float64": 1e-12, "float32": 2e-6}


def erf_in_full_precision() -> Any:
    """The reference evaluator's own is good to 8 digits."""
    from onnx.reference.op_run import OpRun
    from scipy.special import erf

    return type("Erf", (OpRun,), {"op_domain": "", "_run": lambda self, x: (erf(x),)})


def run(path: Path, *inputs: Any, by: str = "onnxruntime") -> list[Any]:
    """What a file computes; it passes ONNX's checker in full."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    feed = {value.name: np.asarray(one) for value, one in zip(model.graph.input, inputs, strict=True)}
    if by == "reference":
        from onnx.reference import ReferenceEvaluator

        return [np.asarray(one) for one in ReferenceEvaluator(model, new_ops=[erf_in_full_precision()]).run(None, feed)]
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [np.asarray(one) for one in session.run(None, feed)]


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def assert_same(found: list[Any], wanted: list[Any], tolerance: float) -> None:
    assert [(one.shape, one.dtype) for one in found] == [(one.shape, one.dtype) for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, (list, tuple)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [np.asarray(getattr(tree, "value", tree))]


# ------------------------------------------------------------------------------------------------------- the table


def graph_of_sample(sample: Sample) -> tuple[cg.Graph, list[Any]]:
    nodes = [placeholder(arg.shape, arg.dtype, f"x{place}") if hasattr(arg, "dtype") else arg for place, arg in enumerate(sample.args)]
    inputs = [node for node in nodes if isinstance(node, cg.Node)]
    graph = cg.Graph(inputs, [cg.bind(sample.name, *nodes, **sample.params)])
    return graph, [np.asarray(arg) for arg in sample.args if hasattr(arg, "dtype")]


def real(sample: Sample) -> bool:
    return bool(sample.args) and all(getattr(arg, "dtype", np.dtype(float)).kind != "c" for arg in sample.args)


def samples_of(name: str) -> list[Sample]:
    return [sample for sample in SAMPLES if sample.name == name and real(sample)]


@pytest.mark.parametrize("name", sorted(name for name in ROWS if name in PRIMITIVES and name != "constant"))
def test_a_row_computes_what_the_primitive_does(name: str, tmp_path: Path) -> None:
    found = samples_of(name)
    assert found, f"{name} has no sample domain"
    for sample in found[:: 1 + len(found) // 6]:
        for dtype in (np.float64, np.float32):
            graph, xs = graph_of_sample(sample.astype(dtype))
            path = graph.to_onnx(tmp_path / "sample.onnx")
            by = "reference" if dtype is np.float64 and NO_FLOAT64.intersection(operators(path)) else "onnxruntime"
            assert_same(run(path, *xs, by=by), [np.asarray(graph(*xs))], TOLERANCE[np.dtype(dtype).name])


def test_onnxruntime_has_no_kernel_where_the_table_says_so(tmp_path: Path) -> None:
    for op, function in {"Erf": lambda x: cg.bind("erf", x), "Tan": np.tan}.items():
        path = cg.trace(function, 0.5).to_onnx(tmp_path / "one.onnx")
        assert operators(path) == [op]
        with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
            run(path, 0.5)


def test_every_row_is_of_a_primitive_and_every_other_primitive_is_refused(tmp_path: Path) -> None:
    assert set(ROWS) <= {*PRIMITIVES, *CONTROL}
    for name in sorted(set(PRIMITIVES) - set(ROWS)):
        if samples := samples_of(name):
            graph, _ = graph_of_sample(samples[0])
            with pytest.raises(cg.MissingRuleError, match=rf"ONNX, which has no operator for: .*= {name} .*test_onnx_export\.py:\d+"):
                graph.to_onnx(tmp_path / "never.onnx")
    assert list(tmp_path.iterdir()) == []


EXTREMES = np.array([-np.inf, -800.0, -40.0, -1.0, -1e-12, -0.0, 0.0, 1e-300, 1e-12, 0.3, 1.0, 40.0, 800.0, np.inf, np.nan])


# Not sigmoid: in onnxruntime it is 0 below -18, an error of 1e-8 beside 1.
@pytest.mark.parametrize("name", ["log1p", "expm1", "softplus", "tanh", "relu", "cbrt", "trunc", "isfinite", "isnan", "isinf"])
def test_a_formula_keeps_its_precision_and_its_limits(name: str, tmp_path: Path) -> None:
    graph = cg.trace(lambda x: cg.bind(name, x), EXTREMES)
    with np.errstate(all="ignore"):
        wanted = graph(EXTREMES)
    (found,) = run(graph.to_onnx(tmp_path / "formula.onnx"), EXTREMES)
    np.testing.assert_allclose(found, wanted, rtol=1e-12 if name in ("log1p", "expm1") else 1e-9, atol=0)


@pytest.mark.parametrize("name", ["hypot", "logaddexp", "xlogy", "xlog1py", "fmax", "fmin", "maximum", "remainder", "fmod", "floor_divide"])
def test_a_formula_of_two_numbers_keeps_its_limits(name: str, tmp_path: Path) -> None:
    finite = np.array([-7.5, -2.0, -1.0, 0.5, 3.0, 1e200])
    every = finite if name in ("remainder", "fmod", "floor_divide") else np.array([*finite, 0.0, np.inf, np.nan])
    x, y = (axis.reshape(-1) for axis in np.meshgrid(every, every))
    if name in ("xlogy", "xlog1py"):
        y = np.abs(y)
    graph = cg.trace(lambda x, y: cg.bind(name, x, y), x, y)
    with np.errstate(all="ignore"):
        wanted = graph(x, y)
    np.testing.assert_allclose(run(graph.to_onnx(tmp_path / "formula.onnx"), x, y)[0], wanted, rtol=1e-12)


# --------------------------------------------------------------------------------------------------------- indices


def test_several_arrays_of_indices_keep_the_places_of_their_axes(tmp_path: Path) -> None:
    x = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    i, j = np.array([1, 0]), np.array([[2], [0], [1]])
    indices = [
        (i, j[:2, 0]), (slice(None), j, i), (i, slice(None), j), (None, slice(1), j, None, i), (0, Ellipsis, i), (slice(None), j, 1),
        (slice(None), np.array([True, False, True])), (slice(None), slice(None, None, -2), -1), (..., None, slice(-3, -1)),
        (1, j, slice(2), i),
    ]  # fmt: skip
    for index in indices:
        graph = cg.trace(lambda x, index=index: x[index], x)
        assert_same(run(graph.to_onnx(tmp_path / "index.onnx"), x), [x[index]], 0.0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_index_reads_what_numpy_reads(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=4))
    index = data.draw(
        hnp.basic_indices(shape, allow_newaxis=True, max_dims=6)
        | hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3))
    )
    x = np.arange(float(np.prod(shape))).reshape(shape)
    graph = cg.trace(lambda x: x[index] + 0.0, x)
    path = graph.to_onnx(tmp_path_factory.mktemp("any") / "index.onnx")
    assert_same(run(path, x), [np.asarray(x[index])], 0.0)


# ---------------------------------------------------------------------------------------------------------- layers

Case = tuple[Callable[[Any], Any], Callable[[int], Any]]
rng = np.random.default_rng(0)


def normal(*shape: int) -> Callable[[int], Any]:
    return lambda count: rng.normal(size=(count, *shape))


IMAGE, WORDS = normal(2, 9, 8), normal(6, 3)
LAYERS: dict[str, Case] = {
    "Linear": (lambda t: nn.Linear(4, 3, dtype=t), normal(4)),
    "Linear without bias": (lambda t: nn.Linear(4, 3, bias=False, dtype=t), normal(5, 4)),
    **{name: (lambda t, name=name: getattr(nn, name)(), normal(5)) for name in ("ReLU", "LeakyReLU", "ELU", "SiLU", "Tanh", "Sigmoid")},
    "Softplus": (lambda t: nn.Softplus(), normal(5)),
    "GELU": (lambda t: nn.GELU(), normal(5)), "GELU tanh": (lambda t: nn.GELU("tanh"), normal(5)),
    "Softmax": (lambda t: nn.Softmax(-1), normal(5)), "LogSoftmax": (lambda t: nn.LogSoftmax(1), normal(5)),
    "Conv1d": (lambda t: nn.Conv1d(2, 3, 3, padding=1, stride=2, dtype=t), normal(2, 11)),
    "Conv2d": (lambda t: nn.Conv2d(2, 3, (3, 2), padding="same", dtype=t), IMAGE),
    "Conv2d in groups": (lambda t: nn.Conv2d(4, 6, 3, groups=2, dilation=2, stride=(1, 2), dtype=t), normal(4, 9, 8)),
    "Conv2d of a point": (lambda t: nn.Conv2d(2, 6, 1, stride=2, bias=False, dtype=t), IMAGE),
    "Conv2d of all": (lambda t: nn.Conv2d(2, 3, (9, 8), dtype=t), IMAGE),
    "Conv2d reflected": (lambda t: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect", dtype=t), IMAGE),
    "ConvTranspose1d": (lambda t: nn.ConvTranspose1d(2, 4, 3, groups=2, dtype=t), normal(2, 7)),
    "ConvTranspose2d": (lambda t: nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1, dtype=t), normal(2, 4, 5)),
    "MaxPool1d": (lambda t: nn.MaxPool1d(3, 1), normal(2, 7)), "MaxPool2d": (lambda t: nn.MaxPool2d(2), IMAGE),
    "MaxPool2d padded": (lambda t: nn.MaxPool2d(3, 2, 1), IMAGE), "MaxPool2d of parts": (lambda t: nn.MaxPool2d(2, ceil_mode=True), IMAGE),
    "AvgPool1d": (lambda t: nn.AvgPool1d(2), normal(2, 7)), "AvgPool2d": (lambda t: nn.AvgPool2d(2), IMAGE),
    "AvgPool2d padded": (lambda t: nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    "AdaptiveAvgPool1d": (lambda t: nn.AdaptiveAvgPool1d(3), normal(2, 7)),
    "AdaptiveAvgPool2d": (lambda t: nn.AdaptiveAvgPool2d((2, 3)), IMAGE),
    "BatchNorm1d": (lambda t: nn.BatchNorm1d(4, dtype=t), normal(4)), "BatchNorm2d": (lambda t: nn.BatchNorm2d(2, dtype=t), IMAGE),
    "LayerNorm": (lambda t: nn.LayerNorm(4, dtype=t), normal(4)), "Dropout": (lambda t: nn.Dropout(), normal(4)),
    "Dropout1d": (lambda t: nn.Dropout1d(), normal(2, 4)), "Dropout2d": (lambda t: nn.Dropout2d(), IMAGE),
    "Flatten": (lambda t: nn.Flatten(), IMAGE), "Unflatten": (lambda t: nn.Unflatten(1, (2, 3)), normal(6)),
    "Identity": (lambda t: nn.Identity(), normal(3)),
    "Embedding": (lambda t: nn.Embedding(7, 3, dtype=t), lambda count: rng.integers(0, 7, (count, 5))),
    "RNN": (lambda t: nn.RNN(3, 4, batch_first=True, dtype=t), WORDS), "GRU": (lambda t: nn.GRU(3, 4, batch_first=True, dtype=t), WORDS),
    "LSTM": (lambda t: nn.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True, dtype=t), WORDS),
    "RNNCell": (lambda t: nn.RNNCell(3, 4, dtype=t), normal(3)), "GRUCell": (lambda t: nn.GRUCell(3, 4, dtype=t), normal(3)),
    "LSTMCell": (lambda t: nn.LSTMCell(3, 4, dtype=t), normal(3)),
    "LinearRegression": (lambda t: nn.LinearRegression(4, dtype=t), normal(4)),
    "LogisticRegression": (lambda t: nn.LogisticRegression(4, dtype=t), normal(4)),
    "LogisticRegression of three": (lambda t: nn.LogisticRegression(4, 3, dtype=t), normal(4)),
    "Autoencoder": (lambda t: nn.Autoencoder(6, [5], 2, output=nn.Sigmoid, dtype=t), normal(6)),
    "DenoisingAutoencoder": (lambda t: nn.DenoisingAutoencoder(6, [5], 2, dtype=t), normal(6)),
    "CNN": (lambda t: nn.CNN((1, 8, 8), 3, channels=(2, 3), dtype=t), normal(1, 8, 8)),
    "CharRNN": (lambda t: nn.CharRNN("hello world", hidden_size=4, embedding_dim=3, dtype=t), lambda count: rng.integers(0, 8, (count, 5))),
    "MLP": (lambda t: nn.MLP(4, [5, 6], 2, dtype=t), normal(4)),
    "Sequential": (lambda t: nn.Sequential(
        nn.Conv2d(2, 3, 3, dtype=t), nn.BatchNorm2d(3, dtype=t), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 5, dtype=t),
        nn.Softmax(1),
    ), IMAGE),
}  # fmt: skip


def test_every_layer_has_a_case() -> None:
    layers = {name for name, one in vars(nn).items() if isinstance(one, type) and issubclass(one, nn.Module)}
    holding, drawing = {"Module", "ModuleList"}, {"RBM", "VariationalAutoencoder"}
    assert layers - {name.split()[0] for name in LAYERS} == holding | drawing


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_for_batches_of_every_size(name: str, tmp_path: Path) -> None:
    make, examples = LAYERS[name]
    for dtype in (np.float32, np.float64):
        nn.manual_seed(1)
        model = make(dtype)
        cast = lambda x, dtype=dtype: x.astype(dtype) if x.dtype.kind == "f" else x  # noqa: E731
        with nn.using(np.random.default_rng(0)):
            model(cast(2 * examples(5) + 1) if examples(1).dtype.kind == "f" else examples(5))  # running statistics unlike those at first
        path = nn.to_onnx(model, cast(examples(2)), tmp_path / "layer.onnx")
        model.eval()
        by = "reference" if dtype is np.float64 and NO_FLOAT64.intersection(operators(path)) else "onnxruntime"
        for count in (1, 2, 7):
            x = cast(examples(count))
            assert_same(run(path, x, by=by), leaves(model(x)), 1e-5 if dtype is np.float32 else 1e-12)


def test_what_is_drawn_at_random_is_refused(tmp_path: Path) -> None:
    model = nn.VariationalAutoencoder(4, [5], 2)
    for drawing in (nn.RBM(4, 3), model):
        with pytest.raises(cg.InputError, match="random"):
            nn.to_onnx(drawing, np.zeros((1, 4), np.float32), tmp_path / "never.onnx")
    assert list(tmp_path.iterdir()) == []
    z = np.ones((3, 2), np.float32)
    assert_same(run(cg.to_onnx(model.decode, z, tmp_path / "decoder.onnx"), z), leaves(model.decode(z)), 1e-6)


def test_a_convolution_is_one_operator_and_a_row_of_windows_in_float64(tmp_path: Path) -> None:
    windows = {"Pad", "Gather", "Transpose", "MatMul", "Reshape", "Add"}
    for dtype, ops in ((np.float32, {"Pad", "Conv", "Reshape", "Add"}), (np.float64, windows)):
        model = nn.Conv2d(2, 3, 3, padding=1, dtype=dtype)
        assert set(operators(nn.to_onnx(model, np.zeros((1, 2, 9, 8), dtype), tmp_path / "conv.onnx"))) == ops


def test_windows_of_the_same_array_twice_are_read_twice(tmp_path: Path) -> None:
    """The matrix product is a Conv only where its shape says so, and what the windows are otherwise read for stays."""

    def f(x: Any, k: Any) -> Any:
        windows = cg.bind("windows", x, size=(2,), stride=(1,), dilation=(1,))
        columns = windows.reshape((2, 6, 4))
        others = windows.reshape((2, 4, 6))
        return k @ columns, np.max(windows, axis=2), k.reshape((1, 4, 6)) @ columns, k.reshape((6, 4)) @ others

    x, k = (one.astype(np.float32) for one in (rng.normal(size=(2, 3, 5)), rng.normal(size=(4, 6))))
    graph = cg.trace(f, x, k)
    path = graph.to_onnx(tmp_path / "windows.onnx")
    assert_same(run(path, x, k), [np.asarray(one) for one in graph(x, k)], 1e-6)
    assert operators(path).count("Conv") == 1


def test_evaluation_is_lent_and_the_model_comes_back_as_it_was(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout())
    model[1].eval()
    before = {name: value.copy() for name, value in model.state_dict().items()}
    nn.to_onnx(model, np.zeros((1, 3), np.float32), tmp_path / "model.onnx")
    with pytest.raises(cg.ShapeError):
        nn.to_onnx(model, np.zeros((1, 4), np.float32), tmp_path / "never.onnx")
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_parameters_and_statistics_are_initialisers_under_their_names(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))  # whose bias and mean are equal, and stay two
    graph = onnx.load(nn.to_onnx(model, np.zeros((1, 3), np.float32), tmp_path / "model.onnx")).graph
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name, value in model.state_dict().items():
        if value.dtype.kind == "f":
            np.testing.assert_array_equal(held[name], value)
    assert [value.name for value in (*graph.input, *graph.output)] == ["input", "output"]


def test_a_model_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            self.left = nn.Linear(3, 2)

        def forward(self, x: Any, y: Any) -> Any:
            return {"sum": self.left(x) + y, "mean": np.mean(y, axis=0)}

    model, x, y = Pair(), np.ones((4, 3), np.float32), np.arange(8, dtype=np.float32).reshape(4, 2)
    path = nn.to_onnx(model, (x[:1], y[:1]), tmp_path / "pair.onnx")
    wanted = model(x, y)
    assert_same(run(path, x, y), leaves([wanted["sum"], wanted["mean"]]), 1e-6)
    with pytest.raises(cg.InputError, match="share their first axis, the batch; they have shapes"):
        nn.to_onnx(model, (x, y[:1]), tmp_path / "never.onnx")
    with pytest.raises(cg.InputError, match="takes a model, not function"):
        nn.to_onnx(lambda x: x, x, tmp_path / "never.onnx")  # type: ignore[arg-type]


def test_an_array_around_a_block_is_padding_only_where_it_is_one_number(tmp_path: Path) -> None:
    for around, ops in ((np.full((4, 3), 7.0), ["Pad"]), (np.arange(12.0).reshape(4, 3), ["ScatterElements"])):
        graph = cg.trace(lambda x, around=around: cg.bind("assign", around, x, index=(slice(1, 3), slice(0, 2))), np.ones((2, 2)))
        path = graph.to_onnx(tmp_path / "around.onnx")
        assert set(ops) <= set(operators(path))
        assert_same(run(path, np.full((2, 2), -1.0)), [graph(np.full((2, 2), -1.0))], 0.0)


def test_entries_apart_are_added_and_not_padded(tmp_path: Path) -> None:
    graph = cg.trace(lambda x: cg.bind("scatter_add", x, index=(slice(0, 6, 2),), shape=(6,)), np.ones(3))
    x = np.array([1.0, 2.0, 3.0])
    assert_same(run(graph.to_onnx(tmp_path / "apart.onnx"), x), [np.array([1.0, 0, 2, 0, 3, 0])], 0.0)


def test_a_sum_of_products_stretches_axes_of_length_1(tmp_path: Path) -> None:
    x, y = rng.normal(size=(1, 3)), rng.normal(size=(2, 3))
    graph = cg.trace(lambda x, y: np.einsum("ij,ij->ij", x, y), x, y)
    assert_same(run(graph.to_onnx(tmp_path / "einsum.onnx"), x, y), [x * y], 1e-12)


def test_the_results_of_a_loop_are_read_without_the_vector_that_holds_them_all(tmp_path: Path) -> None:
    graph = cg.trace(lambda x: cg.scan(lambda carry, row: (carry + row, carry * row), np.zeros(3), x), np.zeros((4, 3)))
    ops = operators(graph.to_onnx(tmp_path / "loop.onnx"))
    assert "Scan" in ops and not {"Concat", "Slice"}.intersection(ops)


# ----------------------------------------------------------------------------------------------------- the batch

OPEN: dict[str, Callable[[Any], Any]] = {
    "twice as long": lambda x: np.concatenate([x, x[::-1]]).reshape((2 * x.shape[0] * 3,)),
    "all but the ends": lambda x: x[1:-1],
    "the rows": lambda x: x[np.arange(x.shape[0]), np.argmax(x, axis=1)],
    "a mean by hand": lambda x: np.sum(x, axis=0) / x.shape[0],
    "numbers in steps": lambda x: x * np.arange(5.0, 5.0 + 2 * x.shape[0], 2.0)[:, None],
    "repeated rows": lambda x: x + np.tile(np.array([1.0, 2.0, 4.0]), (x.shape[0], 1)),
    "padded": lambda x: np.pad(x, ((0, 0), (1, 2))),
    "scattered": lambda x: cg.at(x)[:, 1].set(7.0),
    "scattered in steps": lambda x: cg.at(x)[:, ::-2].set(7.0) + np.pad(cg.at(x)[:, ::2].add(1.0), ((0, 0), (0, 1)))[:, :-1],
    "nothing of each row": lambda x: x[:, 3:].reshape((x.shape[0], 0, 2)),
    "products of rows": lambda x: x @ x.T,
    "on two axes": lambda x: (x @ x.T).reshape((x.shape[0], 1, x.shape[0])),
    "sorted": lambda x: np.sort(x, axis=0),
    "to other shapes": lambda x: np.broadcast_to(x[:, None, :], (x.shape[0], 2, 3)).reshape((-1, 3)),
    "running": lambda x: cg.scan(lambda carry, row: (carry + row, carry * row), np.zeros(3), x),
    "backward": lambda x: cg.scan(lambda carry, row: (np.tanh(carry - row), carry), np.ones(3), x, reverse=True),
    "steps without rows": lambda x: cg.scan(lambda carry, _: (carry * x, None), x, length=3)[0],
    "counted": lambda x: cg.fori(0, 3, lambda i, carry: carry + x[:, i] * i, np.zeros(x.shape[0])),
    "within loops": lambda x: cg.scan(lambda c, r: (cg.fori(0, 2, lambda i, d: d + r[i], c), r), 0.0, x)[0],
    "its gradient": cg.grad(lambda x: np.sum(np.maximum(np.tanh(x) @ np.ones((3, 2)), 0) ** 2)),
    "the gradient of a loop": cg.grad(lambda x: np.sum(cg.scan(lambda h, r: (np.tanh(h + r), None), np.zeros(3), x)[0])),
}


@pytest.mark.parametrize("name", OPEN)
def test_a_function_for_batches_of_every_size(name: str, tmp_path: Path) -> None:
    function = OPEN[name]
    path = cg.to_onnx(function, np.zeros((2, 3)), tmp_path / "open.onnx")
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for count in (2, 5):
        x = rng.normal(size=(count, 3))
        assert_same(run(path, x), leaves(cg.trace(function, x)(x)), 1e-12)


def test_lengths_say_how_they_depend_on_the_batch(tmp_path: Path) -> None:
    graph = onnx.load(cg.to_onnx(lambda x: (np.concatenate([x, x])[1:], x @ x.T), np.zeros((2, 3)), tmp_path / "open.onnx")).graph
    dims = [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.output]
    assert dims == [["2*batch-1", 3], ["batch", "batch"]]


CLOSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a square": (lambda x: (x @ x.T).reshape((x.shape[0] ** 2,)), r"reshape .*needs a constant that is no multiple of the size"),
    "a reciprocal": (lambda x: np.sum(x) * (1 / x.shape[0]), r"multiply .*no multiple of the size"),
    "a grid": (lambda x: x * np.linspace(0, 1, x.shape[0])[:, None], r"multiply .*neither repeated nor counted"),
    "as often as rows": (lambda x: sum(x[i] for i in range(x.shape[0])), "computed in another way|another number of operations"),
    "more results": (lambda x: (np.sin(x), np.exp(x), *[np.sqrt(x + 9)] * (x.shape[0] > 4)), "another number of operations"),
    "another way in a loop": (
        lambda x: cg.scan(lambda c, r: (c + (np.sin(r) if x.shape[0] % 2 else np.tanh(r)), None), np.zeros(3), x)[0], "in another way",
    ),
    "another way": (lambda x: np.sin(x) if x.shape[0] % 2 else np.cos(x), "computed in another way"),
}


@pytest.mark.parametrize("name", CLOSED)
def test_what_depends_on_the_size_in_another_way_is_refused(name: str, tmp_path: Path) -> None:
    function, message = CLOSED[name]
    with pytest.raises(cg.GraphError, match=message) as refusal:
        cg.to_onnx(function, np.zeros((2, 3)), tmp_path / "never.onnx")
    assert "of the batch, so one ONNX file cannot hold it for all of them: batch=False" in str(refusal.value)
    assert list(tmp_path.iterdir()) == []
    x = rng.normal(size=(4, 3))
    assert_same(run(cg.to_onnx(function, x, tmp_path / "closed.onnx", batch=False), x), leaves(cg.trace(function, x)(x)), 1e-12)


# ------------------------------------------------------------------------------------------------------- the file


def test_the_file_says_who_wrote_it_and_where_each_operator_comes_from(tmp_path: Path) -> None:
    weights = cg.variable(np.eye(2), name="W")
    graph = cg.trace(lambda x: np.tanh(x @ weights) * 2, np.zeros(2))
    path = graph.to_onnx(str(tmp_path / "file.onnx"))
    model = onnx.load(path)
    assert (model.producer_name, model.producer_version, model.ir_version) == ("compgraph", cg.__version__, 8)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)]
    assert [node.name for node in model.graph.node] == ["v1", "v2", "output"]
    assert all(node.doc_string.startswith("test_onnx_export.py:") for node in model.graph.node)
    assert path.read_bytes() == graph.to_onnx(tmp_path / "again.onnx").read_bytes()
    weights.value = 3 * np.eye(2)  # read again whenever a graph runs, so also when it is written
    assert_same(run(graph.to_onnx(path), np.ones(2)), [2 * np.tanh(np.full(2, 3.0))], 1e-12)


def test_outputs_that_are_inputs_constants_or_twice_the_same(tmp_path: Path) -> None:
    held = cg.variable(2.0, name="held")

    def f(x: Any) -> Any:
        y = np.exp(x)
        return x, y, y, cg.constant(3.0), held, x

    graph = cg.trace(f, 1.0)
    assert_same(run(graph.to_onnx(tmp_path / "ends.onnx"), 0.5), [np.asarray(one) for one in graph(0.5)], 1e-12)


def test_names_of_any_kind_stay_apart(tmp_path: Path) -> None:
    a, b = cg.variable(2.0, name="v1/c"), cg.variable(3.0, name="output")
    graph = cg.trace(lambda x: x * a + b * 5.0 - 1.0, 1.0)
    assert_same(run(graph.to_onnx(tmp_path / "names.onnx"), 0.5), [np.asarray(graph(0.5))], 1e-12)

    def step(carry: Any, row: Any) -> Any:
        return np.tanh(carry) + row * cg.variable(2.0, name="Reshape"), None

    loop = cg.trace(lambda x: cg.scan(step, 0.0, x.reshape((4,)))[0] * cg.constant(1.0, name="v2/v1"), np.zeros((2, 2)))
    x = rng.normal(size=(2, 2))
    assert_same(run(loop.to_onnx(tmp_path / "loop.onnx"), x), [np.asarray(loop(x))], 1e-12)


def test_integers_truths_and_python_numbers_take_numpys_dtypes(tmp_path: Path) -> None:
    def f(x: Any, n: Any, t: Any) -> Any:
        truths = n < 2.5, t == (n > 1), t < (n > 1), t + t
        return *truths, n / 2, x * 2, n + x, t * n, np.sum(t), n % 3, n // 2, -n, np.where(t, n, 0), n ** 2

    x, n, t = np.array([1.0, 2.0], np.float32), np.array([-7, 5]), np.array([True, False])
    graph = cg.trace(f, x, n, t)
    assert_same(run(graph.to_onnx(tmp_path / "dtypes.onnx"), x, n, t), [np.asarray(one) for one in graph(x, n, t)], 1e-12)


def test_complex_numbers_are_refused_by_their_line(tmp_path: Path) -> None:
    with pytest.raises(cg.MissingRuleError, match=r"no operator for: v1 = multiply .*test_onnx_export\.py:\d+, which is complex128"):
        cg.trace(lambda x: x * 1j, 1.0).to_onnx(tmp_path / "never.onnx")


def test_an_operation_inside_a_loop_is_refused_by_its_line(tmp_path: Path) -> None:
    def step(carry: Any, row: Any) -> Any:
        return np.linalg.inv(carry) + row, None  # the line

    with pytest.raises(cg.MissingRuleError, match=r"no operator for: .*inv \(2, 2\) from test_onnx_export\.py:\d+"):
        cg.trace(lambda x: cg.scan(step, np.eye(2), x)[0], np.zeros((3, 2, 2))).to_onnx(tmp_path / "never.onnx")


def test_what_onnx_has_no_dtype_for_is_refused_by_its_checker_with_the_line(tmp_path: Path) -> None:
    graph = cg.trace(lambda n: -n, np.array([1, 2], np.uint8))
    with pytest.raises(cg.GraphError, match=r"not valid: output \(test_onnx_export\.py:\d+\): .*Neg"):
        graph.to_onnx(tmp_path / "never.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    graph = cg.trace(np.exp, 1.0)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device", "a temporary name")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left.*model\.onnx"):
        graph.to_onnx(path)
    assert [one.name for one in tmp_path.iterdir()] == ["model.onnx"] and path.read_bytes() == b"old"
    with pytest.raises(FileNotFoundError, match=r"absent.*model\.onnx"):
        graph.to_onnx(tmp_path / "absent" / "model.onnx")


def test_without_the_package_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(cg.MissingDependencyError, match=r'pip install "compgraph\[onnx\]"'):
        cg.trace(np.exp, 1.0).to_onnx(tmp_path / "never.onnx")
    assert list(tmp_path.iterdir()) == []

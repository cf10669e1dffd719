"""Batch and layer normalisation: statistics, running statistics, derivatives, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn

rng = np.random.default_rng(0)
BATCHES = {"BatchNorm1d": (7, 3), "BatchNorm1d of sequences": (4, 3, 5), "BatchNorm2d": (4, 3, 2, 5)}


def layer_of(case: str, **options: Any) -> Any:
    return getattr(nn, case.split()[0])(3, dtype=np.float64, **options)


def others(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


@pytest.mark.parametrize("case", BATCHES)
def test_training_normalises_by_the_batch_and_moves_the_running_statistics(case: str) -> None:
    layer, channels = layer_of(case, momentum=0.25), (1, 3) + (1,) * (len(BATCHES[case]) - 2)
    mean, variance = np.zeros(3), np.ones(3)
    for number in range(3):
        x = rng.normal(3.0, 2.0, BATCHES[case])
        layer.weight.value, layer.bias.value = rng.normal(size=3), rng.normal(size=3)
        y = layer(x).value
        standard = (x - x.mean(others(x), keepdims=True)) / np.sqrt(x.var(others(x), keepdims=True) + 1e-5)
        np.testing.assert_allclose(y, standard * layer.weight.value.reshape(channels) + layer.bias.value.reshape(channels), rtol=1e-12)
        mean = 0.75 * mean + 0.25 * x.mean(others(x))
        variance = 0.75 * variance + 0.25 * x.var(others(x), ddof=1)
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-13)
        np.testing.assert_allclose(layer.running_var, variance, rtol=1e-13)
        assert layer.num_batches_tracked == number + 1
    layer.eval()
    x = rng.normal(size=BATCHES[case])
    expected = (x - mean.reshape(channels)) / np.sqrt(variance.reshape(channels) + 1e-5)
    expected = expected * layer.weight.value.reshape(channels) + layer.bias.value.reshape(channels)
    np.testing.assert_allclose(layer(x).value, expected, rtol=1e-12)
    assert layer.num_batches_tracked == 3
    np.testing.assert_array_equal(layer(x[:1]).value, layer(x).value[:1])


@pytest.mark.parametrize("case", BATCHES)
@pytest.mark.parametrize("training", [True, False])
def test_derivatives(case: str, training: bool) -> None:
    model = layer_of(case).train(training)
    model.running_mean, model.running_var = rng.normal(size=3), rng.uniform(1, 2, 3)
    weights = rng.normal(size=BATCHES[case])

    def loss(x: Any, weight: Any, bias: Any) -> Any:
        return np.sum(nn.functional_call(model, {"weight": weight, "bias": bias}, x)[0] * weights)

    assert cg.check(loss, rng.normal(size=BATCHES[case]), rng.normal(size=3), rng.normal(size=3)).ok


def test_the_running_statistics_can_be_means_over_all_batches() -> None:
    layer = layer_of("BatchNorm1d", momentum=None)
    batches = rng.normal(size=(4, 6, 3))
    for batch in batches:
        layer(batch)
    np.testing.assert_allclose(layer.running_mean, batches.mean((0, 1)), rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, batches.var(1, ddof=1).mean(0), rtol=1e-13)


def test_without_running_statistics_evaluation_uses_the_batch() -> None:
    layer = layer_of("BatchNorm1d", track_running_stats=False, affine=False)
    x = rng.normal(size=(7, 3))
    np.testing.assert_array_equal(layer(x), layer.eval()(x))
    assert list(layer.state_dict()) == []
    assert list(layer.parameters()) == []


def test_updates_are_new_arrays_and_keep_no_graph() -> None:
    layer = nn.BatchNorm1d(3)
    before = layer.running_mean
    layer(cg.variable(rng.normal(size=(7, 3)).astype(np.float32)))
    assert layer.running_mean is not before
    assert not before.any()
    assert all(type(buffer) is np.ndarray for buffer in layer.buffers())
    assert [buffer.dtype for buffer in layer.buffers()] == [np.float32, np.float32, np.int64]


def test_no_derivative_flows_through_the_running_statistics() -> None:
    layer = layer_of("BatchNorm1d")

    def loss(x: Any) -> Any:
        _, updated = nn.functional_call(layer, {}, x)
        return np.sum(x) + np.sum(updated["running_mean"]) + np.sum(updated["running_var"])

    x = rng.normal(size=(4, 3))
    np.testing.assert_array_equal(cg.grad(loss)(x), np.ones((4, 3)))
    np.testing.assert_array_equal(cg.compile(cg.grad(loss))(x), np.ones((4, 3)))


def test_the_state_has_the_names_that_pytorch_uses() -> None:
    assert list(nn.BatchNorm2d(3).state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


@pytest.mark.parametrize(
    ("case", "shape"), [("BatchNorm1d", (1, 3)), ("BatchNorm1d", (1, 3, 1)), ("BatchNorm2d", (1, 3, 1, 1)), ("BatchNorm1d", (0, 3))]
)
def test_one_value_a_channel_has_no_variance(case: str, shape: tuple[int, ...]) -> None:
    model = nn.Sequential(layer_of(case))
    before = model.state_dict()
    with pytest.raises(cg.InputError, match=r"BatchNorm.d 0 .* value.* a channel.*model\.eval\(\) \(test_normalisation\.py"):
        model(np.zeros(shape))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert model.eval()(np.zeros(shape)).shape == shape


@pytest.mark.parametrize(
    ("case", "shape", "layout"),
    [("BatchNorm1d", (7, 4), r"\(N, 3\) or \(N, 3, L\)"), ("BatchNorm1d", (7,), r"\(N, 3\)"), ("BatchNorm2d", (7, 3), r"\(N, 3, H, W\)")],
)
def test_another_layout_is_refused(case: str, shape: tuple[int, ...], layout: str) -> None:
    with pytest.raises(cg.ShapeError, match=rf"{case} .*: the input has shape .*, it has to be {layout}.*test_normalisation\.py"):
        layer_of(case)(np.zeros(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"eps": 0}, "eps is a positive number"), ({"momentum": 2}, r"momentum is a number in \[0, 1\]"), ({"momentum": "a"}, "momentum")],
)
def test_options_out_of_range(options: Any, message: str) -> None:
    with pytest.raises(cg.InputError, match=rf"BatchNorm1d: {message}.*test_normalisation\.py"):
        nn.BatchNorm1d(3, **options)


# ------------------------------------------------------------------------------------------------ layer norm


@pytest.mark.parametrize(("normalized", "axes"), [(5, (-1,)), ((3, 5), (-2, -1)), ([4, 3, 5], (0, 1, 2))])
def test_layer_norm_normalises_each_example(normalized: Any, axes: tuple[int, ...]) -> None:
    layer = nn.LayerNorm(normalized, dtype=np.float64, eps=1e-3)
    layer.weight.value, layer.bias.value = rng.normal(size=layer.normalized_shape), rng.normal(size=layer.normalized_shape)
    x = rng.normal(2.0, 3.0, (4, 3, 5))
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-3) * layer.weight.value + layer.bias.value
    np.testing.assert_allclose(layer(x).value, expected, rtol=1e-12)
    np.testing.assert_array_equal(layer.eval()(x).value, layer.train()(x).value)


def test_layer_norm_derivatives_and_options() -> None:
    layer = nn.LayerNorm(4, dtype=np.float64)
    weights = rng.normal(size=(3, 4))

    def loss(x: Any, weight: Any, bias: Any) -> Any:
        return np.sum(nn.functional_call(layer, {"weight": weight, "bias": bias}, x)[0] * weights)

    assert cg.check(loss, rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4)).ok
    assert [name for name, _ in nn.LayerNorm(4, bias=False).named_parameters()] == ["weight"]
    assert list(nn.LayerNorm(4, elementwise_affine=False).parameters()) == []


def test_layer_norm_of_another_shape_is_refused() -> None:
    with pytest.raises(cg.ShapeError, match=r"LayerNorm \(\(3, 4\), .*: the input has shape \(4,\), it has to end in \(3, 4\)"):
        nn.LayerNorm((3, 4))(np.zeros(4, np.float32))

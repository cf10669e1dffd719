"""Pooling beside loops that say what it is, ties and not-a-numbers, both targets, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import compgraph as cg
from compgraph import nn

RNG = np.random.default_rng(0)


def loops(x: Any, size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, of: Callable[[list[float], int], float]) -> Any:
    """`of` the entries of each window that lie in x and the number of those that lie in x or its padding."""
    counts = []
    for n, k, s, p, d in zip(x.shape[2:], size, stride, padding, dilation, strict=True):
        count, last = 0, n + 2 * p - d * (k - 1) - 1
        while count * s <= last or (ceil_mode and (count - 1) * s < last and count * s < n + p):
            count += 1
        counts.append(count)
    y = np.zeros((*x.shape[:2], *counts))
    for n, c, *place in np.ndindex(*y.shape):
        inside, counted = [], 0
        for within in np.ndindex(*size):
            at = [s * i + d * k - p for i, k, s, p, d in zip(place, within, stride, padding, dilation, strict=True)]
            counted += all(one < length + p for one, length, p in zip(at, x.shape[2:], padding, strict=True))
            if all(0 <= one < length for one, length in zip(at, x.shape[2:], strict=True)):
                inside.append(x[(n, c, *at)])
        y[(n, c, *place)] = of(inside, counted)
    return y


@st.composite
def poolings(draw: Any, dilated: bool) -> dict[str, Any]:
    sides = st.tuples(st.integers(1, 3), st.integers(1, 3))
    size, stride = draw(sides), draw(sides)
    dilation = draw(sides) if dilated else (1, 1)
    padding = tuple(draw(st.integers(0, one // 2)) for one in size)
    least = [max(d * (k - 1) + 1 - 2 * p, 1) for k, d, p in zip(size, dilation, padding, strict=True)]
    shape = [low + draw(st.integers(0, 4)) for low in least]
    x = np.random.default_rng(draw(st.integers(0, 99))).permutation(2 * 2 * shape[0] * shape[1]).reshape(2, 2, *shape) / 7.0
    return {"x": x, "size": size, "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": draw(st.booleans())}


@given(poolings(dilated=True))
@settings(max_examples=60, deadline=None)
def test_max_pool_is_what_the_loops_say(case: dict[str, Any]) -> None:
    x, size, others = case["x"], case["size"], {name: case[name] for name in ("stride", "padding", "dilation", "ceil_mode")}
    wanted = loops(**case, of=lambda entries, _: max(entries, default=-np.inf))
    assume(np.all(np.isfinite(wanted)))  # a dilated window may lie in the padding alone
    y, pullback = cg.vjp(lambda x: nn.max_pool2d(x, size, **others), x)
    np.testing.assert_array_equal(y, wanted)
    (x_bar,) = pullback(np.ones(y.shape))
    times = dict.fromkeys(x.ravel(), 0)
    for value in y.ravel():
        times[value] += 1
    np.testing.assert_array_equal(x_bar, [[[[times[one] for one in row] for row in image] for image in images] for images in x])


@given(poolings(dilated=False), st.booleans())
@settings(max_examples=60, deadline=None)
def test_avg_pool_is_what_the_loops_say(case: dict[str, Any], count_include_pad: bool) -> None:
    x, size, how = case["x"], case["size"], {name: case[name] for name in ("stride", "padding", "ceil_mode")}
    wanted = loops(**case, of=lambda entries, counted: sum(entries) / (counted if count_include_pad else len(entries)))
    y, pullback = cg.vjp(lambda x: nn.avg_pool2d(x, size, count_include_pad=count_include_pad, **how), x)
    np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-13)
    y_bar = RNG.normal(size=y.shape)
    (x_bar,) = pullback(y_bar)
    assert np.sum(x_bar * x) == pytest.approx(float(np.sum(y * y_bar)), rel=1e-11, abs=1e-11)  # it is linear


def test_one_axis() -> None:
    x = np.array([[[1.0, 5.0, 2.0, 4.0, 3.0]]])
    np.testing.assert_array_equal(nn.MaxPool1d(2)(x), [[[5.0, 4.0]]])
    np.testing.assert_array_equal(nn.MaxPool1d(3, stride=1)(x), [[[5.0, 5.0, 4.0]]])
    np.testing.assert_array_equal(nn.AvgPool1d(2)(x), [[[3.0, 3.0]]])
    np.testing.assert_array_equal(nn.AvgPool1d(3, 2, 1)(x), [[[2.0, 11 / 3, 7 / 3]]])
    np.testing.assert_array_equal(nn.AdaptiveAvgPool1d(5)(x), x)
    np.testing.assert_array_equal(nn.AdaptiveAvgPool1d(3)(x), [[[3.0, 11 / 3, 3.5]]])


@pytest.mark.parametrize("output_size", [1, 2, (3, 4), (6, None), (4, 5), (7, 1)])
def test_adaptive_means_are_those_of_the_windows_that_pytorch_takes(output_size: Any) -> None:
    x = RNG.normal(size=(2, 3, 6, 8))
    counts = [8 if one is None else one for one in (output_size if isinstance(output_size, tuple) else (output_size,) * 2)]
    wanted = np.zeros((2, 3, *counts))
    for i, j in np.ndindex(*counts):
        rows, columns = (slice(k * n // m, -(-(k + 1) * n // m)) for k, n, m in ((i, 6, counts[0]), (j, 8, counts[1])))
        wanted[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    np.testing.assert_allclose(nn.AdaptiveAvgPool2d(output_size)(x), wanted, rtol=1e-13)


@pytest.mark.parametrize("how", [{}, {"stride": 1}])
def test_of_equal_entries_the_first_has_the_derivative(how: dict[str, Any]) -> None:
    """Behind a ReLU whole windows are 0; with windows side by side, and with those that overlap."""
    x_bar = cg.grad(lambda x: np.sum(nn.max_pool2d(x, 2, **how)))(np.zeros((1, 1, 2, 2)))
    np.testing.assert_array_equal(x_bar, [[[[1.0, 0.0], [0.0, 0.0]]]])
    x = np.array([[[[0.0, 3.0], [3.0, 3.0]]]])
    np.testing.assert_array_equal(cg.grad(lambda x: np.sum(nn.max_pool2d(x, 2, **how)))(x), [[[[0.0, 1.0], [0.0, 0.0]]]])
    x_dot = np.arange(4.0).reshape(x.shape)
    assert cg.jvp(lambda x: nn.max_pool2d(x, 2, **how), (x,), (x_dot,))[1].item() == 1.0


def test_not_a_number_is_larger_than_all() -> None:
    x = np.array([[[[5.0, np.nan], [7.0, np.nan]]]])
    y, pullback = cg.vjp(lambda x: nn.max_pool2d(x, 2), x)
    assert np.isnan(y.item())
    np.testing.assert_array_equal(pullback(np.ones(y.shape))[0], [[[[0.0, 1.0], [0.0, 0.0]]]])


def test_padding_is_never_the_largest() -> None:
    x = np.full((1, 1, 3, 3), -5.0)
    y, pullback = cg.vjp(lambda x: nn.max_pool2d(x, 2, padding=1), x)
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), -5.0))
    assert pullback(np.ones(y.shape))[0].sum() == 4.0


def test_integers_stay_integers() -> None:
    x = np.array([[[-5, -7, -6]]])
    y = nn.max_pool1d(x, 2, padding=1)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, [[[-5, -6]]])


def test_second_derivatives() -> None:
    """Pooling is linear around a point without ties, so those of its square are twice its Jacobian's product with itself."""
    x = RNG.permutation(2 * 2 * 5 * 5).reshape(2, 2, 5, 5) / 10.0
    v = RNG.normal(size=x.shape)
    for pool in (lambda x: nn.max_pool2d(x, 3, 2, 1), lambda x: nn.avg_pool2d(x, 2), lambda x: nn.max_pool2d(x, 2)):
        _, v_out = cg.jvp(pool, (x,), (v,))
        wanted = 2 * cg.vjp(pool, x)[1](v_out)[0]
        np.testing.assert_allclose(cg.hvp(lambda x, pool=pool: np.sum(pool(x) ** 2), (x,), (v,)), wanted, rtol=1e-11, atol=1e-12)


LAYERS = {
    "max": lambda: nn.MaxPool2d(2), "max of overlapping windows": lambda: nn.MaxPool2d(3, 2, 1),
    "mean": lambda: nn.AvgPool2d(2), "mean of overlapping windows": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "adaptive": lambda: nn.AdaptiveAvgPool2d((3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("target", ["numpy", "numba"])
def test_compiled_steps_compute_the_same(target: str) -> None:
    """Layers in one program, with ties as a ReLU makes them."""
    names = list(LAYERS)
    if target == "numba":
        pytest.importorskip("numba")
        names = ["max of overlapping windows", "mean"]  # as compiling takes seconds
    layers = [LAYERS[name]() for name in names]
    x = np.maximum(RNG.normal(size=(3, 2, 8, 6)), 0)
    seeds = [RNG.normal(size=layer(x).shape) for layer in layers]

    def step(x: Any) -> Any:
        return cg.value_and_grad(lambda x: sum(np.sum(seed * layer(x) ** 2) for layer, seed in zip(layers, seeds, strict=True)))(x)

    value, x_bar = step(x)
    how = {"strict": True} if target == "numba" else {}
    found, bar = cg.compile(step, target=target, **how)(x)
    np.testing.assert_allclose(found, value, rtol=1e-12)
    np.testing.assert_allclose(bar, x_bar, rtol=1e-11, atol=1e-12)


def test_windows_side_by_side_are_a_reshape() -> None:
    for layer, windows in ((nn.MaxPool2d(2), False), (nn.AvgPool2d((2, 3)), False), (nn.MaxPool2d(2, 1), True), (nn.AvgPool2d(3, 1), True)):
        graph = cg.reverse(cg.trace(layer, np.zeros((1, 2, 7, 7))))
        names = {node.primitive.name for node in graph.nodes if node.primitive}
        assert (names & {"windows", "fold"} == {"windows", "fold"}) if windows else not names & {"windows", "fold"}


@pytest.mark.parametrize("name", LAYERS)
def test_dtype_and_single_images_are_kept(name: str) -> None:
    x = RNG.normal(size=(2, 3, 6, 8)).astype(np.float32)
    layer = LAYERS[name]()
    assert layer(x).dtype == np.float32
    np.testing.assert_allclose(layer(x[1]), layer(x)[1], rtol=1e-6)
    assert repr(layer).startswith(type(layer).__name__ + "(")


X = np.zeros((2, 3, 6, 6))


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: nn.MaxPool2d(7)(X), cg.ShapeError, r"MaxPool2d .*spans \(7, 7\) does not fit into an input of \(6, 6\)"),
        (lambda: nn.MaxPool2d(2, padding=2), cg.InputError, r"MaxPool2d: padding \(2, 2\) is more than half of the kernel \(2, 2\)"),
        (lambda: nn.avg_pool2d(X, 3, padding=(0, 2)), cg.InputError, r"avg_pool2d: padding \(0, 2\) is more than half"),
        (lambda: nn.MaxPool2d(2)(X[0, 0]), cg.ShapeError, r"has shape \(6, 6\); it has to be \(N, C, H, W\)"),
        (lambda: nn.MaxPool1d(2)(X), cg.ShapeError, r"\(N, C, L\), or \(C, L\)"),
        (lambda: nn.MaxPool2d(0), cg.InputError, "kernel_size is an integer of at least 1"),
        (lambda: nn.AvgPool2d(2, stride=0), cg.InputError, "stride is an integer of at least 1"),
        (lambda: nn.AvgPool2d(2, divisor_override=0), cg.InputError, "divisor_override"),
        (lambda: nn.AdaptiveAvgPool2d((2, 3, 4))(X), cg.InputError, "output_size"),
    ],
)
def test_what_is_refused(make: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        make()
    assert "test_pooling.py" in str(caught.value)

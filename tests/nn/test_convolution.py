"""Convolutions beside loops that say what they are, their transposes, both targets, memory, and what they refuse."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compgraph as cg
from compgraph import nn

RNG = np.random.default_rng(0)


def loops(x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """The definition: every product of an entry and a weight, one by one; entries outside of x are 0."""
    out, inner, *size = weight.shape
    count, _, *shape = x.shape
    sides = zip(shape, size, stride, padding, dilation, strict=True)
    y = np.zeros((count, out, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sides)))
    for n, o, *place in np.ndindex(*y.shape):
        for c, *within in np.ndindex(inner, *size):
            at = [s * i + d * k - p for i, k, s, p, d in zip(place, within, stride, padding, dilation, strict=True)]
            if all(0 <= one < length for one, length in zip(at, shape, strict=True)):
                y[(n, o, *place)] += weight[(o, c, *within)] * x[(n, o // (out // groups) * inner + c, *at)]
    return y


@st.composite
def convolutions(draw: Any, axes: int = 2) -> dict[str, Any]:
    """Settings, an input and a weight that fit together."""
    sides = st.tuples(*[st.integers(1, 3)] * axes)
    size, stride, dilation, padding = draw(sides), draw(sides), draw(sides), draw(st.tuples(*[st.integers(0, 2)] * axes))
    groups, inner, out = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    least = [max(d * (k - 1) + 1 - 2 * p, 1) for k, d, p in zip(size, dilation, padding, strict=True)]
    shape = [low + draw(st.integers(0, 3)) for low in least]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return {
        "x": rng.normal(size=(draw(st.integers(0, 2)), groups * inner, *shape)), "weight": rng.normal(size=(groups * out, inner, *size)),
        "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------- values


@given(convolutions())
@settings(max_examples=60, deadline=None)
def test_conv2d_is_what_the_loops_say(case: dict[str, Any]) -> None:
    y = nn.conv2d(case["x"], **{name: value for name, value in case.items() if name != "x"})
    np.testing.assert_allclose(y, loops(**case), rtol=1e-12, atol=1e-12)


@given(convolutions(axes=1))
@settings(max_examples=30, deadline=None)
def test_conv1d_is_what_the_loops_say(case: dict[str, Any]) -> None:
    y = nn.conv1d(case["x"], **{name: value for name, value in case.items() if name != "x"})
    np.testing.assert_allclose(y, loops(**case), rtol=1e-12, atol=1e-12)


@given(convolutions())
@settings(max_examples=60, deadline=None)
def test_conv_transpose2d_is_the_transpose(case: dict[str, Any]) -> None:
    """<conv(x), y> = <x, conv_transpose(y)>, with the output padding that gives back the size of x."""
    x, weight = case.pop("x"), case.pop("weight")
    y = nn.conv2d(x, weight, **case)
    y_bar = np.random.default_rng(1).normal(size=y.shape)
    sides = zip(x.shape[2:], y.shape[2:], weight.shape[2:], case["stride"], case["padding"], case["dilation"], strict=True)
    extra = tuple(length - ((n - 1) * s - 2 * p + d * (k - 1) + 1) for length, n, k, s, p, d in sides)
    x_bar = nn.conv_transpose2d(y_bar, weight, output_padding=extra, **case)
    assert x_bar.shape == x.shape
    terms = float(np.sum(np.abs(y * y_bar))) + 1.0
    assert abs(float(np.sum(y * y_bar)) - float(np.sum(x * x_bar))) <= 1e-12 * terms
    if x.size:
        pulled = cg.grad(lambda x: np.sum(nn.conv2d(x, weight, **case) * y_bar))(x)
        np.testing.assert_allclose(pulled, x_bar, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [4, 5])
@pytest.mark.parametrize(("size", "dilation"), [(1, 1), (2, 1), (3, 1), (4, 1), (3, 2), (4, 3)])
def test_same_padding_keeps_the_size_and_puts_the_odd_zero_behind(length: int, size: int, dilation: int) -> None:
    x, weight = RNG.normal(size=(1, 1, length)), RNG.normal(size=(1, 1, size))
    total = dilation * (size - 1)
    around = np.pad(x, ((0, 0), (0, 0), (total // 2, total - total // 2)))
    y = nn.conv1d(x, weight, padding="same", dilation=dilation)
    assert y.shape == x.shape
    np.testing.assert_allclose(y, loops(around, weight, (1,), (0,), (dilation,), 1), rtol=1e-12)


@pytest.mark.parametrize(("mode", "numpy"), [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_padding_modes(mode: str, numpy: Any) -> None:
    layer = nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode=mode, dtype=np.float64, bias=False)
    x = RNG.normal(size=(2, 2, 4, 5))
    around = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2)), numpy)
    np.testing.assert_allclose(layer(x).value, nn.conv2d(around, layer.weight.value), rtol=1e-12)


def test_a_bias_is_added_to_each_channel() -> None:
    x, weight, bias = RNG.normal(size=(2, 4, 5, 5)), RNG.normal(size=(6, 2, 3, 3)), RNG.normal(size=6)
    for function, kernel in ((nn.conv2d, weight), (nn.conv_transpose2d, RNG.normal(size=(4, 3, 3, 3)))):
        y = function(x, kernel, bias, groups=2)
        np.testing.assert_allclose(y - function(x, kernel, groups=2), np.broadcast_to(bias[:, None, None], y.shape), rtol=1e-9)
    whole = nn.conv2d(x, RNG.normal(size=(6, 4, 5, 5)), bias) - nn.conv2d(x, np.zeros((6, 4, 5, 5)))
    assert whole.shape == (2, 6, 1, 1)
    np.testing.assert_allclose(nn.conv2d(x, np.zeros((6, 4, 5, 5)), bias)[0, :, 0, 0], bias)


def test_a_single_input_needs_no_batch_axis() -> None:
    for layer, shape in (
        (nn.Conv1d(2, 3, 3), (2, 7)), (nn.Conv2d(2, 3, 3), (2, 5, 6)), (nn.ConvTranspose2d(2, 3, 3), (2, 5, 6)),
        (nn.Conv2d(2, 3, (5, 6)), (2, 5, 6)), (nn.ConvTranspose1d(2, 3, 2, stride=2), (2, 5)),
    ):  # fmt: skip
        x = RNG.normal(size=shape).astype(np.float32)
        np.testing.assert_array_equal(layer(x).value, layer(x[None]).value[0])


# ------------------------------------------------------------------------------------- derivatives


def _bilinear(x: Any, weight: Any) -> Any:
    return nn.conv2d(x, weight, stride=(2, 1), padding=(1, 0), dilation=(1, 2))


X, WEIGHT = RNG.normal(size=(2, 2, 5, 6)), RNG.normal(size=(3, 2, 3, 2))


def test_gradients_are_those_of_the_loops() -> None:
    """The map is linear in each argument, so a difference quotient over any step is exact but for rounding."""
    seed = RNG.normal(size=_bilinear(X, WEIGHT).shape)
    x_bar, weight_bar = cg.grad(lambda x, w: np.sum(seed * _bilinear(x, w)), (0, 1))(X, WEIGHT)

    def value(x: Any, weight: Any) -> float:
        return float(np.sum(seed * loops(x, weight, (2, 1), (1, 0), (1, 2), 1)))

    for place in ((0, 0, 0, 0), (1, 1, 4, 5), (0, 1, 2, 3)):
        step = np.zeros(X.shape)
        step[place] = 1.0
        assert x_bar[place] == pytest.approx(value(X + step, WEIGHT) - value(X, WEIGHT), rel=1e-10, abs=1e-12)
    for place in ((0, 0, 0, 0), (2, 1, 2, 1), (1, 0, 1, 1)):
        step = np.zeros(WEIGHT.shape)
        step[place] = 1.0
        assert weight_bar[place] == pytest.approx(value(X, WEIGHT + step) - value(X, WEIGHT), rel=1e-10, abs=1e-12)


def test_second_derivatives() -> None:
    """d2/dx dw of <seed, conv(x, w)> pairs v and u to <seed, conv(v, u)>; those by one argument twice are 0."""
    seed = RNG.normal(size=_bilinear(X, WEIGHT).shape)
    v, u = RNG.normal(size=X.shape), RNG.normal(size=WEIGHT.shape)

    def f(x: Any, weight: Any) -> Any:
        return np.sum(seed * _bilinear(x, weight))

    for order in (cg.hvp(f, (X, WEIGHT), (v, np.zeros(WEIGHT.shape))), cg.vhp(f, (X, WEIGHT), (v, np.zeros(WEIGHT.shape)))):
        by_x, by_weight = order
        assert not np.any(by_x)
        assert np.sum(by_weight * u) == pytest.approx(float(np.sum(seed * loops(v, u, (2, 1), (1, 0), (1, 2), 1))), rel=1e-12)


def test_forward_and_reverse_mode_agree() -> None:
    def f(weight: Any) -> Any:
        return np.tanh(nn.conv_transpose2d(X, weight, stride=2, padding=1, output_padding=1))

    weight = RNG.normal(size=(2, 3, 2, 2))
    forward, backward = (cg.jacobian(f, mode=mode)(weight) for mode in ("forward", "reverse"))
    np.testing.assert_allclose(forward, backward, rtol=1e-12, atol=1e-14)


def test_sympy_has_the_same_form() -> None:
    graph = cg.trace(lambda x, w: nn.conv1d(x, w, padding=1), np.zeros((1, 1, 3)), np.zeros((1, 1, 2)))
    (expressions,) = graph.to_sympy() if isinstance(graph.to_sympy(), tuple) else (graph.to_sympy(),)
    shown = [str(one) for one in np.ravel(expressions)]
    assert shown == ["w_0_0_1*x_0_0_0", "w_0_0_0*x_0_0_0 + w_0_0_1*x_0_0_1", "w_0_0_0*x_0_0_1 + w_0_0_1*x_0_0_2", "w_0_0_0*x_0_0_2"]


def test_the_jacobian_is_known_to_be_a_band() -> None:
    kernel = np.ones((1, 1, 3))
    pattern = cg.sparsity_pattern(lambda x: nn.conv1d(x.reshape(1, 1, 8), kernel).reshape(6), np.zeros(8))
    np.testing.assert_array_equal(pattern.todense(), [[row <= column < row + 3 for column in range(8)] for row in range(6)])


# -------------------------------------------------------------------------------------- programs


def _steps() -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    x = RNG.normal(size=(3, 4, 6, 7))
    weights = {
        "plain": ((5, 4, 3, 3), {}), "strided": ((5, 4, 3, 2), {"stride": 2, "padding": 1}), "groups": ((4, 2, 3, 3), {"groups": 2}),
        "dilated": ((5, 4, 2, 3), {"dilation": 2}), "side by side": ((5, 4, 2, 2), {"stride": 2}), "1x1": ((5, 4, 1, 1), {"stride": 2}),
        "whole": ((5, 4, 6, 7), {}), "whole in groups": ((4, 2, 6, 7), {"groups": 2}),
    }  # fmt: skip
    for name, (shape, how) in weights.items():
        yield name, lambda x, w, how=how: np.sum(np.tanh(nn.conv2d(x, w, **how))), (x, RNG.normal(size=shape))
    transposed = {"plain": {}, "strided": {"stride": (2, 3), "padding": 1, "output_padding": 1}, "groups": {"groups": 2}}
    for name, how in transposed.items():
        args = x, RNG.normal(size=(4, 2, 3, 3))
        yield f"transposed {name}", lambda x, w, how=how: np.sum(np.tanh(nn.conv_transpose2d(x, w, **how))), args


STEPS = list(_steps())


COMPILED = [("numpy", *step) for step in STEPS] + [("numba", *step) for step in STEPS if step[0] in ("strided", "transposed groups")]


@pytest.mark.parametrize(("target", "name", "f", "args"), COMPILED, ids=[" ".join(case[:2]) for case in COMPILED])
def test_compiled_steps_compute_the_same(target: str, name: str, f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    how = {}
    if target == "numba":
        pytest.importorskip("numba")
        how = {"strict": True}  # nothing is left to NumPy
    step = cg.value_and_grad(f, (0, 1))
    value, (x_bar, weight_bar) = step(*args)
    compiled = cg.compile(step, target=target, **how)
    for _ in range(2):  # the second call finds the memory of the first
        found, (one, other) = compiled(*args)
        np.testing.assert_allclose(found, value, rtol=1e-12)
        np.testing.assert_allclose(one, x_bar, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(other, weight_bar, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "how"), [((5, 4, 1, 1), {}), ((5, 4, 1, 1), {"stride": 2}), ((5, 4, 6, 7), {}), ((5, 4, 2, 3), {"stride": (2, 3)})]
)
def test_products_of_matrices_alone(shape: tuple[int, ...], how: dict[str, Any]) -> None:
    """Kernels of one entry, kernels of the input's size and those that stand side by side need no windows."""
    graph = cg.trace(lambda x, w: nn.conv2d(x, w, **how), np.zeros((3, 4, 6, 7)), np.zeros(shape))
    names = [node.primitive.name for node in graph.nodes if node.primitive]
    assert "windows" not in names and names.count("matmul") == 1
    assert "windows" in [node.primitive.name for node in cg.trace(*STEPS[0][1:2], *STEPS[0][2]).nodes if node.primitive]


def test_memory_is_that_of_the_columns() -> None:
    """Forward and backward hold the columns, their adjoint, and what has the size of input and result: nothing larger."""
    x, weight = np.zeros((8, 4, 40, 40), np.float32), np.zeros((8, 4, 3, 3), np.float32)
    columns = 9 * 8 * 4 * 38 * 38 * 4
    result, given = 8 * 8 * 38 * 38 * 4, x.nbytes
    step = cg.value_and_grad(lambda x, w: np.sum(nn.conv2d(x, w)), (0, 1))
    step(x, weight)
    tracemalloc.start()
    try:
        step(x, weight)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert columns < peak < 2 * columns + 3 * result + 2 * given + 200_000


def test_windows_take_no_memory() -> None:
    x = np.zeros((100, 100))
    assert np.shares_memory(x, cg.bind("windows", x, size=(50, 50), stride=(1, 1), dilation=(1, 1)))


# ----------------------------------------------------------------------------------------- layers


def test_weights_start_as_in_pytorch() -> None:
    for layer, shape, fan_in in (
        (nn.Conv2d(8, 16, 3, groups=2, generator=0), (16, 4, 3, 3), 36), (nn.Conv1d(64, 8, 5, generator=0), (8, 64, 5), 320),
        (nn.ConvTranspose2d(8, 16, 3, generator=0), (8, 16, 3, 3), 144),
    ):  # fmt: skip
        bound = 1 / math.sqrt(fan_in)
        weight = layer.weight.value
        assert weight.shape == shape and weight.dtype == np.float32 and layer.bias.shape == (layer.out_channels,)
        assert 0.95 * bound < np.max(np.abs(weight)) <= bound * (1 + 1e-6)
        assert abs(np.std(weight) - bound / math.sqrt(3)) < 0.1 * bound
        again = type(layer)(layer.in_channels, layer.out_channels, layer.kernel_size, groups=layer.groups, generator=0)
        np.testing.assert_array_equal(again.weight.value, weight)


def test_layers_show_themselves() -> None:
    assert repr(nn.Conv2d(1, 8, 3)) == "Conv2d(1, 8, kernel_size=(3, 3), stride=(1, 1))"
    shown = "Conv2d(2, 4, kernel_size=(3, 2), stride=(2, 2), padding=(1, 1), dilation=(2, 2), groups=2, bias=False, padding_mode=reflect)"
    assert repr(nn.Conv2d(2, 4, (3, 2), 2, 1, 2, 2, False, "reflect")) == shown
    assert "output_padding=(1, 1)" in repr(nn.ConvTranspose2d(2, 4, 2, 2, output_padding=1))


IMAGES = np.zeros((2, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: nn.Conv2d(1, 8, 3)(IMAGES), cg.ShapeError, r"Conv2d \(1, 8.*has shape \(2, 3, 8, 8\), with 3 channels on axis 1.*have 1"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3))(IMAGES), cg.ShapeError, r"Conv2d 1 \(3, 8"),
        (lambda: nn.Conv2d(3, 8, 3)(IMAGES[0, 0]), cg.ShapeError, r"\(N, C, H, W\), or \(C, H, W\).*X\.reshape\(N, C, H, W\)"),
        (lambda: nn.Conv2d(3, 8, 9)(IMAGES), cg.ShapeError, r"spans \(9, 9\) does not fit into an input of \(8, 8\): give larger"),
        (lambda: nn.Conv2d(3, 8, 5, dilation=3, padding=1)(IMAGES), cg.ShapeError, r"spans \(13, 13\).*\(10, 10\) with padding"),
        (lambda: nn.Conv2d(3, 8, 3)(IMAGES.astype(np.float64)), cg.DtypeError, r"X\.astype\(np\.float32\)"),
        (lambda: nn.Conv2d(3, 8, 0), cg.InputError, "Conv2d: kernel_size is an integer of at least 1 or 2 of them, not 0"),
        (lambda: nn.Conv2d(3, 8, (3, 3, 3)), cg.InputError, r"kernel_size .* not \(3, 3, 3\)"),
        (lambda: nn.Conv2d(3, 8, 3, stride=1.5), cg.InputError, "stride .* not 1.5"),
        (lambda: nn.Conv2d(3, 8, 3, padding=-1), cg.InputError, "padding is an integer of at least 0"),
        (lambda: nn.Conv2d(3, 8, 3, padding="full"), cg.InputError, "'same' or 'valid', not 'full'"),
        (lambda: nn.Conv2d(3, 8, 3, stride=2, padding="same"), cg.InputError, r"padding='same' is for stride 1, not \(2, 2\)"),
        (lambda: nn.Conv2d(3, 8, 3, groups=2), cg.InputError, "divides the 3 input channels, not 2"),
        (lambda: nn.Conv2d(4, 7, 3, groups=2), cg.InputError, "divides the 7 output channels, not 2"),
        (lambda: nn.Conv2d(3, 8, 3, padding_mode="mirror"), cg.InputError, "padding_mode is 'zeros' or .* not 'mirror'"),
        (lambda: nn.ConvTranspose2d(3, 8, 3, padding_mode="reflect"), cg.InputError, "padding_mode is 'zeros', not"),
        (lambda: nn.ConvTranspose2d(3, 8, 3, padding="same"), cg.InputError, "padding is a number"),
        (lambda: nn.ConvTranspose2d(3, 8, 3, stride=2, output_padding=2)(IMAGES), cg.InputError, "has to be smaller than the stride"),
        (lambda: nn.ConvTranspose2d(3, 8, 2, padding=5)(IMAGES), cg.ShapeError, "leaves nothing of a result"),
        (lambda: nn.conv2d(IMAGES, np.zeros((8, 3, 3))), cg.ShapeError, r"conv2d: a weight has 4 axes.*not \(8, 3, 3\)"),
    ],
)
def test_what_is_refused(make: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        make()
    assert "test_convolution.py" in str(caught.value)


def test_shapes_of_every_setting() -> None:
    """Sizes as PyTorch's formulas say them."""
    for size, stride, padding, dilation in itertools.product((1, 2, 3), (1, 2, 3), (0, 1), (1, 2)):
        how = {"stride": stride, "padding": padding, "dilation": dilation}
        wanted = (9 + 2 * padding - dilation * (size - 1) - 1) // stride + 1
        assert nn.conv1d(np.zeros((1, 1, 9)), np.zeros((1, 1, size)), **how).shape == (1, 1, wanted)
        wanted = (9 - 1) * stride - 2 * padding + dilation * (size - 1) + 1
        assert nn.conv_transpose1d(np.zeros((1, 1, 9)), np.zeros((1, 1, size)), **how).shape == (1, 1, wanted)

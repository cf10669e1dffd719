"""Where random numbers come from, and that the same seed gives the same bits."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn


class Named:
    def uniform(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return "uniform", shape, np.dtype(dtype)

    def normal(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return "normal", shape, np.dtype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_have_the_shape_dtype_and_law_that_is_asked_for(dtype: Any) -> None:
    nn.manual_seed(0)
    uniform, normal = nn.uniform((50, 40), dtype), nn.normal([50, 40], dtype)
    assert uniform.shape == normal.shape == (50, 40)
    assert uniform.dtype == normal.dtype == dtype
    assert uniform.min() >= 0
    assert uniform.max() <= 1
    assert abs(float(np.mean(uniform, dtype=float)) - 0.5) < 5 / np.sqrt(12 * 2000)
    assert abs(float(np.mean(normal, dtype=float))) < 5 / np.sqrt(2000)
    assert abs(float(np.var(normal, dtype=float)) - 1) < 5 * np.sqrt(2 / 2000)


def test_the_innermost_source_is_asked() -> None:
    nn.manual_seed(1)
    first = nn.uniform((3,))
    nn.manual_seed(1)
    outer, inner = np.random.default_rng(5), np.random.default_rng(6)
    with nn.using(outer):
        assert nn.generator() is outer
        with nn.using(inner):
            assert nn.generator() is inner
            np.testing.assert_array_equal(nn.uniform((2,), np.float64), np.random.default_rng(6).random(2))
        with nn.using(Named()):
            assert nn.uniform([2, 3], float) == ("uniform", (2, 3), np.dtype(float))
            assert nn.normal((4,)) == ("normal", (4,), np.dtype(np.float32))
            assert isinstance(nn.generator(), np.random.Generator)  # of the weights: that source has no generator to give
        np.testing.assert_array_equal(nn.normal((2,), np.float64), np.random.default_rng(5).standard_normal(2))
    np.testing.assert_array_equal(nn.uniform((3,)), first)


def test_a_source_ends_with_its_block_also_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), nn.using(Named()):
        1 / 0  # noqa: B018
    assert isinstance(nn.uniform((1,)), np.ndarray)


def test_a_source_belongs_to_its_thread() -> None:
    found = []
    with nn.using(Named()):
        thread = threading.Thread(target=lambda: found.append(nn.uniform((1,))))
        thread.start()
        thread.join()
    assert isinstance(found[0], np.ndarray)


def train(seed: int) -> list[np.ndarray]:
    nn.manual_seed(seed)
    model = nn.MLP(4, [8, 8], 1, dropout=0.3)
    x = nn.normal((16, 4))
    for _ in range(3):
        model.zero_grad()
        np.mean(model(x) ** 2).backward()
        for parameter in model.parameters():
            parameter.value = parameter.value - np.float32(0.1) * parameter.grad
    return [parameter.value for parameter in model.parameters()]


def test_the_same_seed_gives_the_same_bits() -> None:
    first, again, other = train(3), train(3), train(4)
    for one, two, three in zip(first, again, other, strict=True):
        assert one.tobytes() == two.tobytes()
        assert one.tobytes() != three.tobytes()


def test_the_state_of_the_generator_can_be_kept() -> None:
    nn.manual_seed(0)
    state = nn.generator().bit_generator.state
    drawn = nn.uniform((4,))
    nn.generator().bit_generator.state = state
    np.testing.assert_array_equal(nn.uniform((4,)), drawn)


@pytest.mark.parametrize("seed", [-1, 0.5, "a", None, True])
def test_no_seed(seed: Any) -> None:
    with pytest.raises(cg.InputError, match=r"manual_seed: a seed is an integer of at least 0, not .*test_randomness\.py"):
        nn.manual_seed(seed)


def test_no_source() -> None:
    with pytest.raises(cg.InputError, match=r"using: a source is a np\.random\.Generator, .* not 3 \(test_randomness\.py"):
        nn.using(3)  # type: ignore[arg-type]


def test_a_trace_draws_no_constants_unless_they_are_meant() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    x = np.ones((4, 3), np.float32)
    with pytest.raises(cg.InputError, match=r"drawn while Sequential is traced would be constants.*model\.eval\(\).*test_randomness\.py"):
        cg.trace(model, x)
    with pytest.raises(cg.InputError, match=r"would be constants"):
        cg.compile(lambda x: model(x))(x)
    with nn.using(nn.manual_seed(0)):
        graph = cg.trace(model, x)
    np.testing.assert_array_equal(graph(x), graph(x))
    model.eval()
    assert cg.compile(lambda x: model(x))(x).shape == (4, 3)

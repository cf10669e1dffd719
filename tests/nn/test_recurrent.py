"""Recurrent cells beside their equations, sequences beside cells, and that a compiled step over a sequence is one loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn

RNG = np.random.default_rng(0)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def values(cell: Any) -> dict[str, Any]:
    return {name: parameter.value for name, parameter in cell.named_parameters()}


# One entry of the result after another, each gate by its rows of the weights.


def by_hand(cell: Any, x: Any, state: Any) -> Any:
    p, n = values(cell), cell.hidden_size

    def gate(place: int, row: int, h: Any, x_scale: float = 1.0, h_scale: float = 1.0) -> float:
        at = place * n + row
        from_x = sum(p["weight_ih"][at, k] * x[k] for k in range(len(x))) + p.get("bias_ih", np.zeros(4 * n))[at]
        from_h = sum(p["weight_hh"][at, k] * h[k] for k in range(n)) + p.get("bias_hh", np.zeros(4 * n))[at]
        return x_scale * from_x + h_scale * from_h

    if isinstance(cell, nn.LSTMCell):
        h, c = state
        new_c = [sigmoid(gate(1, k, h)) * c[k] + sigmoid(gate(0, k, h)) * np.tanh(gate(2, k, h)) for k in range(n)]
        return np.array([sigmoid(gate(3, k, h)) * np.tanh(new_c[k]) for k in range(n)]), np.array(new_c)
    if isinstance(cell, nn.GRUCell):
        out = []
        for k in range(n):
            r, z = sigmoid(gate(0, k, state)), sigmoid(gate(1, k, state))
            new = np.tanh(gate(2, k, state, h_scale=0) + r * gate(2, k, state, x_scale=0))
            out.append((1 - z) * new + z * state[k])
        return np.array(out)
    act = np.tanh if cell.nonlinearity == "tanh" else lambda one: max(one, 0.0)
    return np.array([act(gate(0, k, state)) for k in range(n)])


CELLS: dict[str, Callable[..., Any]] = {
    "RNN": nn.RNNCell, "RNN with relu": lambda *a, **k: nn.RNNCell(*a, nonlinearity="relu", **k), "LSTM": nn.LSTMCell, "GRU": nn.GRUCell,
}  # fmt: skip
SEQUENCES: dict[str, Callable[..., Any]] = {
    "RNN": nn.RNN, "RNN with relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k), "LSTM": nn.LSTM, "GRU": nn.GRU,
}  # fmt: skip


def start(name: str, *shape: int) -> Any:
    state = RNG.normal(size=(*shape, 3)), RNG.normal(size=(*shape, 3))
    return state if name == "LSTM" else state[0]


def parts(state: Any) -> tuple[Any, ...]:
    found = state if isinstance(state, tuple) else (state,)
    return tuple(np.asarray(one.value if isinstance(one, cg.Node) else one) for one in found)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_its_equations(name: str, bias: bool) -> None:
    cell = CELLS[name](2, 3, bias=bias, dtype=np.float64)
    assert len(list(cell.parameters())) == (4 if bias else 2)
    xs, state = RNG.normal(size=(4, 2)), start(name, 4)
    found = parts(cell(xs, state))
    for row in range(4):
        one_state = tuple(part[row] for part in state) if name == "LSTM" else state[row]
        wanted = parts(by_hand(cell, xs[row], one_state))
        for one, other, alone in zip(found, wanted, parts(cell(xs[row], one_state)), strict=True):
            np.testing.assert_allclose(one[row], other, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(alone, other, rtol=1e-12, atol=1e-15)
    zeros = (np.zeros((4, 3)),) * 2 if name == "LSTM" else np.zeros((4, 3))
    for one, other in zip(parts(cell(xs)), parts(cell(xs, zeros)), strict=True):
        np.testing.assert_array_equal(one, other)


def unrolled(cells: list[Any], xs: Any, state: Any, *, reverse: bool = False) -> tuple[Any, Any]:
    """One layer by its cell, step after step."""
    outputs = []
    for x in xs[::-1] if reverse else xs:
        state = cells[0](x, state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    return np.stack(outputs[::-1] if reverse else outputs), state


def cell_of(name: str, layer: Any, suffix: str, inputs: int) -> Any:
    cell = CELLS[name](inputs, 3, dtype=np.float64)
    cell.load_state_dict({name: getattr(layer, name + suffix).value for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})
    return cell


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_is_its_cells_one_after_another(name: str) -> None:
    """Two layers in both directions: the results, the last states, and the adjoints of input and weights."""
    layer = SEQUENCES[name](2, 3, 2, bidirectional=True, dtype=np.float64)
    xs, state = cg.variable(RNG.normal(size=(5, 4, 2))), start(name, 4, 4)
    output, last = layer(xs, state)
    cells = [cell_of(name, layer, f"_l{depth}{back}", 6 if depth else 2) for depth in range(2) for back in ("", "_reverse")]
    again = cg.variable(xs.value)
    below, finals = again, []
    for depth in range(2):
        both = []
        for back in range(2):
            row = 2 * depth + back
            first = tuple(part[row] for part in state) if name == "LSTM" else state[row]
            ys, final = unrolled([cells[row]], below, first, reverse=bool(back))
            both.append(ys)
            finals.append(parts(final))
        below = np.concatenate(both, axis=-1)
    np.testing.assert_allclose(output.value, below.value, rtol=1e-12, atol=1e-15)
    for found, wanted in zip(parts(last), zip(*finals, strict=True), strict=True):
        np.testing.assert_allclose(found, np.stack(wanted), rtol=1e-12, atol=1e-15)
    seed = RNG.normal(size=output.shape)
    np.sum(seed * output).backward()
    np.sum(seed * below).backward()
    np.testing.assert_allclose(xs.grad, again.grad, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(layer.weight_hh_l0_reverse.grad, cells[1].weight_hh.grad, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(layer.bias_ih_l1.grad, cells[2].bias_ih.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", SEQUENCES)
def test_batch_first_and_single_sequences(name: str) -> None:
    layer = SEQUENCES[name](2, 3, dtype=np.float64, generator=1)
    other = SEQUENCES[name](2, 3, batch_first=True, dtype=np.float64, generator=1)
    xs, state = RNG.normal(size=(5, 4, 2)), start(name, 1, 4)
    output, last = layer(xs, state)
    turned, same = other(xs.transpose(1, 0, 2), state)
    assert turned.shape == (4, 5, 3)
    np.testing.assert_array_equal(turned.value.transpose(1, 0, 2), output.value)
    for one, two in zip(parts(same), parts(last), strict=True):
        np.testing.assert_array_equal(one, two)
    alone, ended = layer(xs[:, 2], tuple(part[:, 2] for part in state) if name == "LSTM" else state[:, 2])
    assert alone.shape == (5, 3) and parts(ended)[0].shape == (1, 3)
    np.testing.assert_allclose(alone.value, output.value[:, 2], rtol=1e-13)


@pytest.mark.parametrize("target", ["numpy", "numba"])
def test_a_compiled_step_over_a_hundred_characters_is_one_loop(target: str) -> None:
    if target == "numba":
        pytest.importorskip("numba")
    model = nn.LSTM(4, 3, dtype=np.float64) if target == "numpy" else nn.RNN(4, 3, dtype=np.float64)
    weights = values(model)

    def step(weights: Any, xs: Any) -> Any:
        def loss(weights: Any) -> Any:
            return np.mean(nn.functional_call(model, weights, xs)[0][0] ** 2)

        return cg.value_and_grad(loss)(weights)

    short, long = (RNG.normal(size=(length, 2, 4)) for length in (10, 100))
    nodes = [len(cg.trace(step, weights, xs).nodes) for xs in (short, long)]
    assert nodes[0] == nodes[1] < 150
    value, bars = step(weights, long)
    compiled = cg.compile(step, target=target)
    found, compiled_bars = compiled(weights, long)
    assert found == pytest.approx(float(value), rel=1e-12)
    for name, bar in bars.items():
        np.testing.assert_allclose(compiled_bars[name], bar, rtol=1e-9, atol=1e-14)
    if target == "numpy":
        assert compiled.source.count("for turn") == 2 and len(compiled.source.splitlines()) < 200


def test_dropout_stands_between_the_layers_and_only_while_training() -> None:
    layer = nn.RNN(2, 3, 2, dropout=0.5, dtype=np.float64, generator=0)
    xs = RNG.normal(size=(6, 4, 2))
    with nn.using(np.random.default_rng(1)):
        one = layer(xs)[0].value
    with nn.using(np.random.default_rng(1)):
        np.testing.assert_array_equal(layer(xs)[0].value, one)
    layer.eval()
    kept = layer(xs)[0].value
    assert not np.allclose(one, kept)
    single = nn.RNN(2, 3, 1, dropout=0.5, dtype=np.float64)
    np.testing.assert_array_equal(single(xs)[0].value, single.eval()(xs)[0].value)


def test_weights_start_as_in_pytorch() -> None:
    layer = nn.LSTM(10, 25, 2, bidirectional=True, generator=0)
    shapes = {name: parameter.shape for name, parameter in layer.named_parameters()}
    assert list(shapes)[:4] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert shapes["weight_ih_l0"] == (100, 10) and shapes["weight_ih_l1_reverse"] == (100, 50) and shapes["weight_hh_l1"] == (100, 25)
    largest = max(float(np.max(np.abs(parameter.value))) for parameter in layer.parameters())
    assert 0.99 / math.sqrt(25) < largest <= 1 / math.sqrt(25) and layer.weight_hh_l0.dtype == np.float32
    assert repr(nn.GRU(3, 4, 2, batch_first=True, dropout=0.5)) == "GRU(3, 4, num_layers=2, batch_first=True, dropout=0.5)"
    assert repr(nn.RNNCell(3, 4, False, "relu")) == "RNNCell(3, 4, bias=False, nonlinearity=relu)"


XS = np.zeros((5, 4, 2), np.float32)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: nn.RNN(3, 4)(XS), cg.ShapeError, r"RNN \(3, 4\): the input has shape \(5, 4, 2\); .*\(L, N, features\).* with 3 features"),
        (lambda: nn.GRUCell(2, 3)(XS), cg.ShapeError, r"GRUCell .*\(N, features\) or \(features,\) with 2 features"),
        (lambda: nn.GRU(2, 3)(XS, np.zeros((4, 3), np.float32)), cg.ShapeError, r"hidden state has shape \(4, 3\).*has to be \(1, 4, 3\)"),
        (lambda: nn.LSTM(2, 3)(XS, np.zeros((1, 4, 3), np.float32)), cg.InputError, r"the state is a pair \(h, c\), not ndarray"),
        (lambda: nn.LSTMCell(2, 3)(XS[0], (np.zeros((4, 3)), np.zeros(3))), cg.ShapeError, r"has shape \(3,\).*\(4, 3\)"),
        (lambda: nn.RNN(2, 3)(XS.astype(np.float64)), cg.DtypeError, r"X\.astype\(np\.float32\)"),
        (lambda: nn.RNN(2, 0), cg.InputError, "RNN: hidden_size is an integer of at least 1, not 0"),
        (lambda: nn.RNN(2, 3, num_layers=0), cg.InputError, "num_layers"),
        (lambda: nn.RNN(2, 3, dropout=1.0), cg.InputError, r"dropout is a probability, a number in \[0, 1\), not 1.0"),
        (lambda: nn.RNNCell(2, 3, nonlinearity="sin"), cg.InputError, "nonlinearity is 'tanh' or 'relu', not 'sin'"),
    ],
)
def test_what_is_refused(make: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        make()
    assert "test_recurrent.py" in str(caught.value)

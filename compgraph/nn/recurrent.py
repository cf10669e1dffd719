"""Recurrent networks: one step (`RNNCell`, `LSTMCell`, `GRUCell`), and whole sequences (`RNN`, `LSTM`, `GRU`).

A sequence is one `cg.scan`, so a compiled step over a hundred characters is a loop and not a hundred copies of its body. What
the inputs contribute does not wait for the steps before: it is one product of matrices for the whole sequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

import compgraph as cg
from compgraph.nn.linear import whole
from compgraph.nn.module import Module
from compgraph.nn.randomness import generator_from, uniform

State = Any  # (N, hidden), or for an LSTM a pair of them
NONLINEARITIES: dict[str, Callable[[Any], Any]] = {"tanh": np.tanh, "relu": cg.relu}


# --------------------------------------------------------------------------------------- one step each

# x_part = x W_ih^T + b_ih of all gates, state (N, hidden) -> new state; the hidden part of the state comes first.


def _rnn(x_part: Any, state: State, weight_hh: Any, bias_hh: Any, nonlinearity: str = "tanh") -> State:
    return NONLINEARITIES[nonlinearity](x_part + _affine(state, weight_hh, bias_hh))


def _lstm(x_part: Any, state: State, weight_hh: Any, bias_hh: Any) -> State:
    h, c = state
    i, f, g, o = _parts(x_part + _affine(h, weight_hh, bias_hh), 4)
    c = cg.sigmoid(f) * c + cg.sigmoid(i) * np.tanh(g)
    return cg.sigmoid(o) * np.tanh(c), c


def _gru(x_part: Any, state: State, weight_hh: Any, bias_hh: Any) -> State:
    x_r, x_z, x_n = _parts(x_part, 3)
    h_r, h_z, h_n = _parts(_affine(state, weight_hh, bias_hh), 3)
    z = cg.sigmoid(x_z + h_z)
    n = np.tanh(x_n + cg.sigmoid(x_r + h_r) * h_n)
    return n + z * (state - n)


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    y = x @ weight.T
    return y if bias is None else y + bias


def _parts(x: Any, count: int) -> list[Any]:
    """The gates, which stand side by side on the last axis."""
    width = x.shape[-1] // count
    return [x[..., place * width : (place + 1) * width] for place in range(count)]


class _Recurrent(Module):
    """What cells and sequences share: sizes, the names of weights and how they start."""

    floating_input = True
    gates: ClassVar[int]
    pair: ClassVar[bool] = False  # whether the state is (h, c)

    def _sizes(self, input_size: int, hidden_size: int, bias: bool) -> None:
        self.input_size, self.hidden_size = whole(self, "input_size", input_size), whole(self, "hidden_size", hidden_size)
        self.has_bias = bool(bias)

    def _weights(self, suffix: str, inputs: int, rng: np.random.Generator, dtype: Any) -> None:
        """Uniform in (-k, k), k = 1 / sqrt(hidden_size), as in PyTorch."""
        bound, rows = 1 / math.sqrt(self.hidden_size), self.gates * self.hidden_size
        shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, self.hidden_size), "bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            kept = self.has_bias or name.startswith("weight")
            setattr(self, name + suffix, cg.variable(rng.uniform(-bound, bound, shape).astype(dtype)) if kept else None)

    def _step(self, x_part: Any, state: State, weight_hh: Any, bias_hh: Any) -> State:
        raise NotImplementedError

    def _check_input(self, x: Any, ndims: tuple[int, ...], layout: str) -> None:
        shape: tuple[int, ...] = getattr(x, "shape", ())
        if len(shape) not in ndims or shape[-1] != self.input_size:
            wanted = f"{layout} with {self.input_size} features"
            raise cg.ShapeError(f"{self.label()}: the input has shape {shape}; it has to be {wanted}{cg.here()}")

    def _check_state(self, state: Any, shape: tuple[int, ...]) -> None:
        parts = state if self.pair else (state,)
        if self.pair and (not isinstance(state, (tuple, list)) or len(state) != 2):
            raise cg.InputError(f"{self.label()}: the state is a pair (h, c), not {type(state).__name__}{cg.here()}")
        for part in parts:
            if getattr(part, "shape", None) != shape:
                found = getattr(part, "shape", type(part).__name__)
                raise cg.ShapeError(f"{self.label()}: the hidden state has shape {found}; for this input it has to be {shape}{cg.here()}")

    def _zeros(self, shape: tuple[int, ...], dtype: Any) -> State:
        return (np.zeros(shape, dtype), np.zeros(shape, dtype)) if self.pair else np.zeros(shape, dtype)


# ---------------------------------------------------------------------------------------------- cells


class _Cell(_Recurrent):
    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = np.float32, generator: Any = None) -> None:
        self._sizes(input_size, hidden_size, bias)
        self._weights("", self.input_size, generator_from(generator), dtype)

    weight_ih: Any
    weight_hh: Any
    bias_ih: Any
    bias_hh: Any

    def forward(self, x: Any, hx: State = None) -> State:
        self._check_input(x, (1, 2), "(N, features) or (features,)")
        shape = (*x.shape[:-1], self.hidden_size)
        if hx is None:
            hx = self._zeros(shape, self.weight_hh.dtype)
        self._check_state(hx, shape)
        return self._step(_affine(x, self.weight_ih, self.bias_ih), hx, self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.has_bias else ", bias=False")


class RNNCell(_Cell):
    """h' = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh), or with relu: (N, input_size), (N, hidden_size) -> (N, hidden_size).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.RNNCell(10, 20)(np.ones((3, 10), np.float32)).shape
    (3, 20)

    Without a state it starts from zeros. J. Elman, Finding structure in time, Cognitive Science 14 (1990).
    """

    gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", dtype: Any = np.float32,
        generator: Any = None,
    ) -> None:  # fmt: skip
        self.nonlinearity = _nonlinearity(self, nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype, generator)

    def _step(self, x_part: Any, state: State, weight_hh: Any, bias_hh: Any) -> State:
        return _rnn(x_part, state, weight_hh, bias_hh, self.nonlinearity)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(_Cell):
    """c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'), with i, f, g, o = x W_ih^T + b_ih + h W_hh^T + b_hh.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> h, c = nn.LSTMCell(10, 20)(np.ones((3, 10), np.float32))
    >>> h.shape, c.shape
    ((3, 20), (3, 20))

    The state is the pair (h, c). S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997); the forget
    gate is by F. Gers et al., Neural Computation 12 (2000).
    """

    gates = 4
    pair = True

    def _step(self, x_part: Any, state: State, weight_hh: Any, bias_hh: Any) -> State:
        return _lstm(x_part, state, weight_hh, bias_hh)


class GRUCell(_Cell):
    """h' = (1 - z) n + z h, n = tanh(x_n + r h_n), r = sigmoid(x_r + h_r), z = sigmoid(x_z + h_z).

    x_r, x_z, x_n = x W_ih^T + b_ih and h_r, h_z, h_n = h W_hh^T + b_hh: (N, input_size), (N, hidden_size) -> (N, hidden_size).
    K. Cho et al., EMNLP (2014), with the reset gate behind the product as in PyTorch.
    """

    gates = 3

    def _step(self, x_part: Any, state: State, weight_hh: Any, bias_hh: Any) -> State:
        return _gru(x_part, state, weight_hh, bias_hh)


def _nonlinearity(layer: Module, name: str) -> str:
    if name not in NONLINEARITIES:
        raise cg.InputError(f"{type(layer).__name__}: nonlinearity is 'tanh' or 'relu', not {name!r:.60}{cg.here()}")
    return name


# ------------------------------------------------------------------------------------------ sequences


class _Sequence(_Recurrent):
    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False, dtype: Any = np.float32, generator: Any = None,
    ) -> None:  # fmt: skip
        self._sizes(input_size, hidden_size, bias)
        self.num_layers = whole(self, "num_layers", num_layers)
        self.batch_first, self.bidirectional = bool(batch_first), bool(bidirectional)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float, np.number)) or not 0 <= dropout < 1:
            raise cg.InputError(f"{type(self).__name__}: dropout is a probability, a number in [0, 1), not {dropout!r:.60}{cg.here()}")
        self.dropout = float(dropout)
        rng = generator_from(generator)
        for layer in range(self.num_layers):
            for suffix in self._suffixes(layer):
                self._weights(suffix, self.input_size if layer == 0 else self.hidden_size * (1 + self.bidirectional), rng, dtype)

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", *[f"_l{layer}_reverse"] * self.bidirectional]

    def forward(self, x: Any, hx: State = None) -> tuple[Any, State]:
        layout = "(N, L, features)" if self.batch_first else "(L, N, features)"
        self._check_input(x, (2, 3), f"{layout} or (L, features)")
        single, order = len(x.shape) == 2, (1, 0, 2)
        turned = self.batch_first and not single
        xs = x.transpose(order) if turned else x
        rows = self.num_layers * (1 + self.bidirectional)
        shape = (rows, *xs.shape[1:-1], self.hidden_size)
        if hx is None:
            hx = self._zeros(shape, self.weight_hh_l0.dtype)
        self._check_state(hx, shape)
        last: list[State] = []
        for layer in range(self.num_layers):
            ys = []
            for suffix in self._suffixes(layer):
                row = len(last)
                state = tuple(part[row] for part in hx) if self.pair else hx[row]
                state, y = self._run(suffix, xs, state)
                ys.append(y)
                last.append(state)
            xs = np.concatenate(ys, axis=-1) if self.bidirectional else ys[0]
            if self.dropout and self.training and layer < self.num_layers - 1:
                xs = xs * ((uniform(xs.shape, xs.dtype) >= self.dropout) / xs.dtype.type(1 - self.dropout)).astype(xs.dtype)
        final = tuple(np.stack(parts) for parts in zip(*last, strict=True)) if self.pair else np.stack(last)
        return xs.transpose(order) if turned else xs, final

    def _run(self, suffix: str, xs: Any, state: State) -> tuple[State, Any]:
        """One layer in one direction: the last state and the hidden states of all steps."""
        own = vars(self)
        weight_hh, bias_hh = own["weight_hh" + suffix], own["bias_hh" + suffix]

        def step(state: State, x_part: Any) -> tuple[State, Any]:
            state = self._step(x_part, state, weight_hh, bias_hh)
            return state, state[0] if self.pair else state

        parts = _affine(xs, own["weight_ih" + suffix], own["bias_ih" + suffix])
        final: tuple[State, Any] = cg.scan(step, state, parts, reverse=suffix.endswith("reverse"))
        return final

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"num_layers={self.num_layers}"] if self.num_layers > 1 else []
        parts += ["bias=False"] if not self.has_bias else []
        parts += ["batch_first=True"] if self.batch_first else []
        parts += [f"dropout={self.dropout:g}"] if self.dropout else []
        parts += ["bidirectional=True"] if self.bidirectional else []
        return ", ".join(parts)

    weight_hh_l0: Any


class RNN(_Sequence):
    """`RNNCell` over sequences: `output, h = rnn(x, h)`, with x (L, N, input_size), h (layers, N, hidden_size).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> output, h = nn.RNN(10, 20, batch_first=True)(np.ones((3, 7, 10), np.float32))
    >>> output.shape, h.shape
    ((3, 7, 20), (1, 3, 20))

    `output` has the hidden states of the last layer for all steps, `h` the last ones of each layer. With `batch_first` x and
    output are (N, L, features); a single sequence is (L, features). With `bidirectional` a second network reads from the end,
    and the hidden states of both stand side by side; `dropout` is between layers. Without a state it starts from zeros.
    """

    gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, dtype: Any = np.float32, generator: Any = None,
    ) -> None:  # fmt: skip
        self.nonlinearity = _nonlinearity(self, nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, generator)

    def _step(self, x_part: Any, state: State, weight_hh: Any, bias_hh: Any) -> State:
        return _rnn(x_part, state, weight_hh, bias_hh, self.nonlinearity)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTM(_Sequence):
    """`LSTMCell` over sequences: `output, (h, c) = lstm(x, (h, c))`. See `RNN`."""

    gates = 4
    pair = True

    def _step(self, x_part: Any, state: State, weight_hh: Any, bias_hh: Any) -> State:
        return _lstm(x_part, state, weight_hh, bias_hh)


class GRU(_Sequence):
    """`GRUCell` over sequences: `output, h = gru(x, h)`. See `RNN`."""

    gates = 3

    def _step(self, x_part: Any, state: State, weight_hh: Any, bias_hh: Any) -> State:
        return _gru(x_part, state, weight_hh, bias_hh)

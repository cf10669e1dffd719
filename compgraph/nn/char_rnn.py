"""A model of text, a character at a time."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.embedding import Embedding
from compgraph.nn.label_losses import cross_entropy
from compgraph.nn.linear import Linear
from compgraph.nn.module import Module, whole
from compgraph.nn.randomness import generator_from
from compgraph.nn.recurrent import LSTM


class CharRNN(Module):
    """The logits of the next character after each: an embedding, an LSTM, a linear layer.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> model = nn.CharRNN("hello world", hidden_size=32)
    >>> X, y = model.windows("hello world", 5)
    >>> X.shape, model.decode(X[0]), model.decode(y[0]), model(X).shape
    ((6, 5), 'hello', 'ello ', (6, 5, 8))
    >>> len(model.sample(20, prompt="he"))
    20

    The alphabet is the characters of the text that it is made with, in order. `optim.fit(model, model.windows(text, 40),
    loss=model.loss, ...)` trains it; the loss is in nats a character. The form is that of A. Graves, Generating sequences with
    recurrent neural networks, arXiv 1308.0850 (2013).
    """

    loss = staticmethod(partial(cross_entropy, axis=-1))

    def __init__(
        self, text: str, embedding_dim: int = 32, hidden_size: int = 128, num_layers: int = 1, dropout: float = 0.0,
        dtype: Any = np.float32, generator: Any = None,
    ) -> None:  # fmt: skip
        if not isinstance(text, str) or not text:
            raise cg.InputError(f"CharRNN: text has the characters of the alphabet, it is not {text!r:.60}{cg.here()}")
        self.alphabet = "".join(sorted(set(text)))
        rng, size = generator_from(generator), len(self.alphabet)
        self.embedding = Embedding(size, embedding_dim, dtype=dtype, generator=rng)
        self.lstm = LSTM(embedding_dim, hidden_size, num_layers, batch_first=True, dropout=dropout, dtype=dtype, generator=rng)
        self.linear = Linear(hidden_size, size, dtype=dtype, generator=rng)

    def forward(self, indices: Any) -> Any:
        """(N, L) integers to (N, L, len(alphabet)) logits."""
        return self.unroll(indices)[0]

    def unroll(self, indices: Any, state: Any = None) -> tuple[Any, Any]:
        """The logits, and the state (h, c) of the LSTM afterwards, from which the next characters go on."""
        output, state = self.lstm(self.embedding(indices), state)
        return self.linear(output), state

    # ----------------------------------------------------------------------------------------------- text

    def encode(self, text: str) -> Any:
        """The places of its characters in the alphabet, (len(text),) integers."""
        places = {character: place for place, character in enumerate(self.alphabet)}
        unknown = next((at for at, character in enumerate(text) if character not in places), None)
        if unknown is not None:
            raise cg.InputError(f"CharRNN: {text[unknown]!r}, character {unknown} of the text, is not in the alphabet{cg.here()}")
        return np.array([places[character] for character in text], np.int64)

    def decode(self, indices: Any) -> str:
        """The text of which `encode` gives these integers."""
        return "".join(self.alphabet[index] for index in np.asarray(indices).ravel())

    def windows(self, text: str, length: int, stride: int = 1) -> tuple[Any, Any]:
        """All pieces of `length` characters, each `stride` after the one before, and the same pieces one character on."""
        whole(self, "length", length), whole(self, "stride", stride)
        if len(text) <= length:
            raise cg.InputError(f"CharRNN: a text of {len(text)} characters has no piece of {length} with one more after it{cg.here()}")
        pieces = np.lib.stride_tricks.sliding_window_view(self.encode(text), length + 1)[::stride]
        return pieces[:, :-1].copy(), pieces[:, 1:].copy()

    def sample(self, length: int, prompt: str = "", temperature: float = 1.0, generator: Any = None) -> str:
        """`length` characters, of which the prompt is the first ones, each drawn from softmax(logits / temperature).

        Below 1 the temperature makes the probable more so, at 0 the most probable character is taken; above 1 it evens them out.
        Without a prompt the first character is drawn evenly. `generator`: a generator or a seed, by default `nn.generator()`.
        """
        if isinstance(temperature, bool) or not isinstance(temperature, (int, float, np.number)) or not 0 <= temperature < math.inf:
            raise cg.InputError(f"CharRNN.sample: temperature is a number of at least 0, not {temperature!r:.60}{cg.here()}")
        rng, found = generator_from(generator), list(self.encode(prompt))
        if not found:
            found.append(int(rng.integers(len(self.alphabet))))
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with cg.no_grad():
                given, state = found, None
                while len(found) < whole(self, "length", length):
                    logits, state = self.unroll(np.array([given]), state)
                    given = [self._chosen(np.asarray(logits.value)[0, -1], temperature, rng)]
                    found += given
        finally:
            for module, before in modes:
                module.training = before
        return self.decode(found[:length])

    def _chosen(self, logits: Any, temperature: float, rng: np.random.Generator) -> int:
        if not temperature:
            return int(np.argmax(logits))
        # The largest of logits / t + Gumbel noise is a draw from softmax(logits / t); times t nothing overflows, however small t is.
        return int(np.argmax(logits.astype(np.float64) + temperature * rng.gumbel(size=logits.shape)))

    def extra_repr(self) -> str:
        return f"{len(self.alphabet)} characters"

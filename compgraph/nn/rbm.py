"""The restricted Boltzmann machine, learnt by contrastive divergence."""

from __future__ import annotations

from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.module import Module, whole
from compgraph.nn.randomness import generator_from, uniform


class RBM(Module):
    """Binary visible units v and hidden units h with p(v, h) ~ exp(-E), E = -v·a - h·b - h·W v.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> model = nn.RBM(64, 32, k=1)
    >>> v = np.zeros((5, 64), np.float32)
    >>> model.free_energy(v).shape, model.hidden(v).shape, model.gibbs(v, 10).shape
    ((5,), (5, 32), (5, 64))

    Called with data it returns their reconstruction, and their mean free energy less that of samples of the model, which `k` steps
    of Gibbs sampling reach from them. This difference is `loss`, and its gradient is contrastive divergence, CD-k, as the
    samples count as constants: `optim.fit(model, X, loss=model.loss, ...)`. Values between 0 and 1 do as data too. The loss does
    not say how well the model fits; reconstructions do, and the filters, which are the rows of `weight`.

    With `chains` the sampling does not start at the data but goes on, in so many chains, where the last step left them:
    persistent contrastive divergence.

    Weights start normal with deviation 0.01, biases at 0; `visible_bias` is best set to ln(p / (1 - p)) of the units' means p
    (`start_from`). G. Hinton, Training products of experts by minimizing contrastive divergence, Neural Computation 14 (2002), and A
    practical guide to training restricted Boltzmann machines (2010); T. Tieleman, ICML (2008).
    """

    def __init__(
        self, visible_features: int, hidden_features: int, k: int = 1, chains: int | None = None, dtype: Any = np.float32,
        generator: Any = None,
    ) -> None:  # fmt: skip
        self.visible_features = whole(self, "visible_features", visible_features)
        self.hidden_features = whole(self, "hidden_features", hidden_features)
        self.k, rng = whole(self, "k", k), generator_from(generator)
        self.weight = cg.variable(rng.normal(0, 0.01, (hidden_features, visible_features)).astype(dtype))
        self.visible_bias = cg.variable(np.zeros(visible_features, dtype))
        self.hidden_bias = cg.variable(np.zeros(hidden_features, dtype))
        self.register_buffer("chain", None)
        if chains is not None:
            self.chain = (rng.random((whole(self, "chains", chains), visible_features)) < 0.5).astype(dtype)

    floating_input = True
    chain: Any  # (chains, visible_features), or None

    # ------------------------------------------------------------------------------------ the distribution

    def energy(self, v: Any, h: Any) -> Any:
        """E(v, h) of each row: the lower, the more probable."""
        return -(v @ self.visible_bias) - h @ self.hidden_bias - np.sum((v @ self.weight.T) * h, axis=-1)

    def free_energy(self, v: Any) -> Any:
        """F(v) = -ln of the sum over h of exp(-E(v, h)) = -v·a - sum softplus(b + W v), of each row."""
        self._check(v, self.visible_features)
        return -(v @ self.visible_bias) - np.sum(cg.softplus(v @ self.weight.T + self.hidden_bias), axis=-1)

    def hidden(self, v: Any) -> Any:
        """p(h = 1 | v): (N, visible_features) to (N, hidden_features)."""
        self._check(v, self.visible_features)
        return cg.sigmoid(v @ self.weight.T + self.hidden_bias)

    def visible(self, h: Any) -> Any:
        """p(v = 1 | h): (N, hidden_features) to (N, visible_features)."""
        self._check(h, self.hidden_features)
        return cg.sigmoid(h @ self.weight + self.visible_bias)

    def reconstruct(self, v: Any) -> Any:
        """p(v = 1 | h) for the probabilities of h in place of h: smooth, and the same each time."""
        return self.visible(self.hidden(v))

    def gibbs(self, v: Any, steps: int = 1) -> Any:
        """v after so many times of drawing h given v, and v given h; a constant for derivatives."""
        for _ in range(whole(self, "steps", steps)):
            v = _drawn(self.visible(_drawn(self.hidden(v))))
        return v

    # ------------------------------------------------------------------------------------------- learning

    def forward(self, v: Any) -> tuple[Any, Any]:
        """(reconstruction of v, mean F(v) - mean F(samples))."""
        samples = self.gibbs(v if self.chain is None else self.chain, self.k)
        if self.chain is not None and self.training:
            self.chain = samples
        contrast = np.mean(self.free_energy(v)) - np.mean(self.free_energy(samples))
        return self.reconstruct(v), contrast

    @staticmethod
    def loss(output: tuple[Any, Any], target: Any = None) -> Any:
        """The difference of free energies; the target, which is the data, is in it already."""
        return output[1]

    def statistics(self, v: Any) -> dict[str, Any]:
        """The means over the rows that contrastive divergence compares: of h v^T, of v, and of h, with p(h | v) for h.

        The gradient of the loss is `statistics(samples)` less `statistics(data)`, which is how Hinton writes it.
        """
        h = self.hidden(v)
        return {"weight": h.T @ v / v.shape[0], "visible_bias": np.mean(v, axis=0), "hidden_bias": np.mean(h, axis=0)}

    def start_from(self, v: Any) -> RBM:
        """Set `visible_bias` so that with weights of 0 each unit would be on as often as in `v`; returns the model."""
        self._check(v, self.visible_features)
        p = np.clip(np.mean(v, axis=0, dtype=np.float64), 0.01, 0.99)  # never on, or always: ln would be infinite
        self.visible_bias.value = np.log(p / (1 - p)).astype(self.visible_bias.dtype)
        return self

    def _check(self, x: Any, features: int) -> None:
        shape = np.shape(x)
        if not shape or shape[-1] != features:
            raise cg.ShapeError(f"{self.label()}: the input has shape {shape}, its last axis has to have {features}{cg.here()}")

    def extra_repr(self) -> str:
        chains = "" if self.chain is None else f", chains={len(self.chain)}"
        return f"visible_features={self.visible_features}, hidden_features={self.hidden_features}, k={self.k}{chains}"


def _drawn(p: Any) -> Any:
    """1 with probability p, else 0, of p's dtype; a comparison, and therefore a constant for derivatives."""
    return (uniform(p.shape, p.dtype) < p).astype(p.dtype)

"""Models that learn to give back what they are given, by way of fewer numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.activations import ReLU
from compgraph.nn.containers import MLP
from compgraph.nn.linear import Identity
from compgraph.nn.losses import bce_with_logits, mse
from compgraph.nn.module import Module, whole
from compgraph.nn.randomness import generator_from, normal, uniform


class Autoencoder(Module):
    """An MLP from x to a code of `latent_features` numbers, and one of the reversed widths from there to x.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> model = nn.Autoencoder(64, [32], 2, output=nn.Sigmoid)
    >>> X = np.zeros((5, 64), np.float32)
    >>> model.encode(X).shape, model(X).shape
    ((5, 2), (5, 64))

    `loss` is the mean square, and data without targets are their own: `optim.fit(model, X, loss=model.loss, ...)`. `output` comes
    after the last layer: `nn.Sigmoid` for values between 0 and 1. `encoder` and `decoder` are modules like any others, so a
    convolutional one can be put in their place. D. Rumelhart et al., Learning internal representations by error propagation (1986).
    """

    loss = staticmethod(mse)

    def __init__(
        self, in_features: int, hidden: int | Sequence[int], latent_features: int, activation: Callable[[], Module] = ReLU,
        output: Callable[[], Module] = Identity, dtype: Any = np.float32, generator: Any = None,
    ) -> None:  # fmt: skip
        self.encoder, decoder = _both_ways(in_features, hidden, latent_features, latent_features, activation, dtype, generator)
        self.decoder = decoder if output is Identity else decoder.append(output())

    encoder: Any
    decoder: Any

    def encode(self, x: Any) -> Any:
        """The codes: (N, in_features) to (N, latent_features)."""
        return self.encoder(x)

    def decode(self, code: Any) -> Any:
        """What codes stand for: (N, latent_features) to (N, in_features)."""
        return self.decoder(code)

    def forward(self, x: Any) -> Any:
        return self.decode(self.encode(x))


def _mask(x: Any, amount: float) -> Any:
    return x * (uniform(x.shape, x.dtype) >= amount).astype(x.dtype)


def _blur(x: Any, amount: float) -> Any:
    return x + x.dtype.type(amount) * normal(x.shape, x.dtype)


CORRUPTIONS: dict[str, Callable[[Any, float], Any]] = {"masking": _mask, "normal": _blur}


class DenoisingAutoencoder(Autoencoder):
    """An `Autoencoder` that is given a damaged x while it trains, and has to give back the whole one.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> model = nn.DenoisingAutoencoder(64, [128], 32, noise=0.25)
    >>> with nn.using(np.random.default_rng(0)):
    ...     model.corrupt(np.ones(8, np.float32))
    array([1., 1., 1., 1., 1., 0., 0., 0.], dtype=float32)

    `noise` is the fraction of entries that are set to 0, or with `corruption="normal"` the deviation of what is added to each.
    P. Vincent et al., Stacked denoising autoencoders, JMLR 11 (2010).
    """

    def __init__(
        self, in_features: int, hidden: int | Sequence[int], latent_features: int, noise: float = 0.3, corruption: str = "masking",
        activation: Callable[[], Module] = ReLU, output: Callable[[], Module] = Identity, dtype: Any = np.float32, generator: Any = None,
    ) -> None:  # fmt: skip
        if corruption not in CORRUPTIONS:
            known = " or ".join(map(repr, CORRUPTIONS))
            raise cg.InputError(f"DenoisingAutoencoder: corruption is {known}, not {corruption!r:.60}{cg.here()}")
        most = 1.0 if corruption == "masking" else math.inf
        if isinstance(noise, bool) or not isinstance(noise, (int, float, np.number)) or not 0 <= noise <= most:
            what = "a fraction in [0, 1]" if corruption == "masking" else "a deviation of at least 0"
            raise cg.InputError(f"DenoisingAutoencoder: noise is {what}, not {noise!r:.60}{cg.here()}")
        super().__init__(in_features, hidden, latent_features, activation, output, dtype, generator)
        self.noise, self.corruption = float(noise), corruption

    def corrupt(self, x: Any) -> Any:
        """x as the model sees it in training."""
        return CORRUPTIONS[self.corruption](x, self.noise)

    def forward(self, x: Any) -> Any:
        return super().forward(self.corrupt(x) if self.training else x)

    def extra_repr(self) -> str:
        return f"noise={self.noise:g}, corruption={self.corruption}"


class VariationalAutoencoder(Module):
    """A model of how x comes about: a standard normal code z, and a decoder that says how likely each x then is.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> model = nn.VariationalAutoencoder(64, [128], 2)
    >>> logits, mean, log_variance = model(np.zeros((5, 64), np.float32))
    >>> logits.shape, mean.shape, log_variance.shape, model.sample(3).shape
    ((5, 64), (5, 2), (5, 2), (3, 64))

    The encoder gives mean and log-variance of a normal distribution of z for each x. One z is drawn from it, as
    mean + deviation * noise, so that the gradient goes through. This is so in `eval()` too: the loss is a bound of ln p(x) only
    for codes that are drawn. `reconstruct` uses the mean.

    `loss` is that bound with its sign changed, in nats an example: -ln p(x | z), summed over the features, plus `beta` times
    the divergence of z from the standard normal, in closed form. With `likelihood="bernoulli"` x is between 0 and 1 and the
    decoder gives logits; with "normal" it gives the mean of a normal distribution of variance 1.

    D. Kingma, M. Welling, Auto-encoding variational Bayes, ICLR (2014), equation 10; beta: I. Higgins et al., ICLR (2017).
    """

    def __init__(
        self, in_features: int, hidden: int | Sequence[int], latent_features: int, likelihood: str = "bernoulli", beta: float = 1.0,
        activation: Callable[[], Module] = ReLU, dtype: Any = np.float32, generator: Any = None,
    ) -> None:  # fmt: skip
        if likelihood not in ("bernoulli", "normal"):
            raise cg.InputError(f"VariationalAutoencoder: likelihood is 'bernoulli' or 'normal', not {likelihood!r:.60}{cg.here()}")
        if isinstance(beta, bool) or not isinstance(beta, (int, float, np.number)) or not 0 <= beta < math.inf:
            raise cg.InputError(f"VariationalAutoencoder: beta is a number of at least 0, not {beta!r:.60}{cg.here()}")
        self.latent_features = whole(self, "latent_features", latent_features)
        self.likelihood, self.beta = likelihood, float(beta)
        self.encoder, self.decoder = _both_ways(in_features, hidden, 2 * latent_features, latent_features, activation, dtype, generator)

    encoder: Any
    decoder: Any

    def encode(self, x: Any) -> tuple[Any, Any]:
        """Mean and log-variance of the code, each (N, latent_features)."""
        both = self.encoder(x)
        return both[..., : self.latent_features], both[..., self.latent_features :]

    def decode(self, z: Any) -> Any:
        """The expected x of each code: probabilities, or means."""
        output = self.decoder(z)
        return cg.sigmoid(output) if self.likelihood == "bernoulli" else output

    def forward(self, x: Any) -> tuple[Any, Any, Any]:
        mean, log_variance = self.encode(x)
        z = mean + np.exp(0.5 * log_variance) * normal(mean.shape, mean.dtype)
        return self.decoder(z), mean, log_variance

    def loss(self, output: tuple[Any, Any, Any], target: Any) -> Any:
        """The bound with its sign changed, a mean over the examples."""
        decoded, mean, log_variance = output
        count = decoded.shape[0]
        if self.likelihood == "bernoulli":
            misfit = bce_with_logits(decoded, target, reduction="sum") / count
        else:
            misfit = 0.5 * mse(decoded, target, reduction="sum") / count + 0.5 * math.log(2 * math.pi) * decoded.shape[-1]
        return misfit + self.beta * np.mean(normal_divergence(mean, log_variance))

    def reconstruct(self, x: Any) -> Any:
        """The expected x of the mean code."""
        return self.decode(self.encode(x)[0])

    def sample(self, count: int) -> Any:
        """The expected x of `count` codes drawn from the standard normal."""
        dtype = next(iter(self.decoder.parameters())).dtype
        return self.decode(normal((whole(self, "count", count), self.latent_features), dtype))

    def extra_repr(self) -> str:
        return f"latent_features={self.latent_features}, likelihood={self.likelihood}, beta={self.beta:g}"


def normal_divergence(mean: Any, log_variance: Any) -> Any:
    """KL(N(mean, variance) || N(0, 1)) summed over the last axis: (mean² + variance - 1 - ln variance) / 2.

    >>> import numpy as np
    >>> normal_divergence(np.array([0.0, 3.0]), np.zeros(2))
    np.float64(4.5)

    Kingma and Welling (2014), appendix B. variance - 1 is `expm1`: near variance 1 the difference would lose its digits.
    """
    return 0.5 * np.sum(mean * mean + np.expm1(log_variance) - log_variance, axis=-1)


def _both_ways(
    in_features: int, hidden: int | Sequence[int], encoded: int, latent: int, activation: Callable[[], Module], dtype: Any, generator: Any
) -> tuple[MLP, MLP]:
    """in -> hidden -> encoded, and latent -> hidden reversed -> in; both from one generator."""
    rng = generator_from(generator)
    widths = [hidden] if isinstance(hidden, (int, np.integer)) else list(hidden)
    encoder = MLP(in_features, widths, encoded, activation, dtype=dtype, generator=rng)
    return encoder, MLP(latent, widths[::-1], in_features, activation, dtype=dtype, generator=rng)

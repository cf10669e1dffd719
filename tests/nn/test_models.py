"""Models: shapes, gradients by differences, the same bits, what each is by definition, that each learns, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn

TEXT = "the cat sat on the mat. "
RNG = np.random.default_rng(0)
ROWS = RNG.random((6, 16))
IMAGES = RNG.random((6, 2, 4, 4))


class Case(NamedTuple):
    make: Callable[..., Any]
    X: Any
    y: Any  # None where X is its own target
    shapes: tuple[tuple[int, ...], ...]  # of what the model returns
    loss: str = ""  # what its `loss` is called, where that is a function of nn


CASES = {
    "LinearRegression": Case(lambda **k: nn.LinearRegression(16, 3, **k), ROWS, ROWS[:, :3], ((6, 3),), "mse"),
    "LogisticRegression of two": Case(lambda **k: nn.LogisticRegression(16, **k), ROWS, np.arange(6) % 2, ((6,),), "bce_with_logits"),
    "LogisticRegression": Case(lambda **k: nn.LogisticRegression(16, 4, **k), ROWS, np.arange(6) % 4, ((6, 4),), "cross_entropy"),
    "Autoencoder": Case(lambda **k: nn.Autoencoder(16, [9, 5], 3, activation=nn.Tanh, **k), ROWS, None, ((6, 16),), "mse"),
    "Autoencoder with an output": Case(lambda **k: nn.Autoencoder(16, 5, 3, output=nn.Sigmoid, **k), ROWS, None, ((6, 16),), "mse"),
    "DenoisingAutoencoder": Case(lambda **k: nn.DenoisingAutoencoder(16, 9, 3, **k), ROWS, None, ((6, 16),), "mse"),
    "DenoisingAutoencoder, normal": Case(
        lambda **k: nn.DenoisingAutoencoder(16, 9, 3, 0.5, "normal", **k), ROWS, None, ((6, 16),), "mse"
    ),
    "VariationalAutoencoder": Case(lambda **k: nn.VariationalAutoencoder(16, [9], 2, **k), ROWS, None, ((6, 16), (6, 2), (6, 2))),
    "VariationalAutoencoder, normal": Case(
        lambda **k: nn.VariationalAutoencoder(16, [9], 2, "normal", beta=0.5, **k), ROWS, None, ((6, 16), (6, 2), (6, 2))
    ),
    "RBM": Case(lambda **k: nn.RBM(16, 5, k=2, **k), ROWS, None, ((6, 16), ())),
    "RBM with chains": Case(lambda **k: nn.RBM(16, 5, chains=4, **k), ROWS, None, ((6, 16), ())),
    "CNN": Case(lambda **k: nn.CNN((2, 4, 4), 3, (3, 4), **k), IMAGES, np.arange(6) % 3, ((6, 3),), "cross_entropy"),
    "CNN with dropout": Case(lambda **k: nn.CNN((2, 4, 4), 3, (3,), dropout=0.5, **k), IMAGES, np.arange(6) % 3, ((6, 3),)),
    "CharRNN": Case(
        lambda **k: nn.CharRNN(TEXT, 4, 5, num_layers=2, **k), RNG.integers(0, 11, (6, 7)), RNG.integers(0, 11, (6, 7)), ((6, 7, 11),)
    ),
}  # fmt: skip
NAMES = list(CASES)


def value(x: Any) -> Any:
    return np.asarray(x.value if isinstance(x, cg.Node) else x)


def made(name: str, dtype: Any = np.float64) -> tuple[Any, Any, Any]:
    """The model, its input and its target, in this dtype."""
    case = CASES[name]
    X = case.X.astype(dtype) if case.X.dtype.kind == "f" else case.X
    y = X if case.y is None else case.y.astype(dtype) if case.y.dtype.kind == "f" else case.y
    return case.make(dtype=dtype, generator=np.random.default_rng(1)), X, y


# ----------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_dtypes_and_loss(name: str, dtype: Any) -> None:
    model, X, y = made(name, dtype)
    output = model(X)
    outputs = output if isinstance(output, tuple) else (output,)
    assert tuple(one.shape for one in outputs) == CASES[name].shapes
    assert {np.dtype(one.dtype) for one in outputs} == {np.dtype(dtype)}
    loss = model.loss(output, y)
    assert loss.shape == () and loss.dtype == dtype
    if CASES[name].loss:
        assert model.loss is getattr(nn, CASES[name].loss)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_differences(name: str) -> None:
    """Along a random direction of each parameter, with the same random numbers; error of central differences at 1e-6."""
    model, X, y = made(name)
    values = {name: np.array(p.value) for name, p in model.named_parameters()}
    draw = np.random.default_rng(2)

    def loss(values: Any) -> Any:
        with nn.using(np.random.default_rng(3)):
            return model.loss(nn.functional_call(model, values, X)[0], y)

    grads = cg.grad(loss)(values)
    for name, array in values.items():
        direction = draw.normal(size=array.shape)
        ahead, behind = (float(value(loss({**values, name: array + sign * 1e-6 * direction}))) for sign in (1, -1))
        assert np.sum(grads[name] * direction) == pytest.approx((ahead - behind) / 2e-6, rel=2e-6, abs=1e-8), name


def trained(name: str, seed: int = 0, **options: Any) -> tuple[Any, Any]:
    model, X, y = made(name)
    data = X if CASES[name].y is None else (X, y)
    options = {"epochs": 4, "batch_size": 3, **options}
    history = optim.fit(model, data, loss=model.loss, optimizer=optim.Adam(model.parameters(), lr=0.01), seed=seed, **options)
    return model, history


@pytest.mark.parametrize("name", NAMES)
def test_fit_gives_the_same_bits_and_the_plain_loop_the_same_numbers(name: str) -> None:
    (one, first), (two, second), (_, other) = trained(name), trained(name), trained(name, seed=1)
    np.testing.assert_array_equal(first.steps["loss"], second.steps["loss"])
    for key, array in one.state_dict().items():
        np.testing.assert_array_equal(two.state_dict()[key], array)
    assert np.any(first.steps["loss"] != other.steps["loss"])
    plain, eager = trained(name, target=None)
    np.testing.assert_allclose(eager.steps["loss"], first.steps["loss"], rtol=1e-9)
    for key, array in plain.state_dict().items():
        np.testing.assert_allclose(array, one.state_dict()[key], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_weights_are_the_generators(name: str) -> None:
    one, two = made(name)[0].state_dict(), made(name)[0].state_dict()
    other = CASES[name].make(dtype=np.float64, generator=2).state_dict()
    for key, array in one.items():
        np.testing.assert_array_equal(array, two[key])
    assert any(np.any(array != other[key]) for key, array in one.items())
    assert made(name)[0].load_state_dict(other) == ([], [])


@pytest.mark.parametrize("name", NAMES)
def test_repr_and_summary_name_the_model(name: str) -> None:
    model, X, _ = made(name)
    assert repr(model).startswith(type(model).__name__ + "(") and repr(model).count("(") == repr(model).count(")")
    assert model.summary(X).parameters == sum(p.size for p in model.parameters())


# ----------------------------------------------------------------------------------------------- regression


@pytest.mark.parametrize("bias", [True, False])
def test_linear_regression_by_descent_comes_to_the_solution(bias: bool) -> None:
    X = np.random.default_rng(0).normal(size=(40, 3)) + 1
    y = X @ np.array([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]]) + np.array([0.7, -0.2]) * bias + 0.1 * np.sin(X[:, :2] * 9)
    model = nn.LinearRegression(3, 2, bias=bias, dtype=np.float64, generator=0)
    optim.fit(model, (X, y), loss=model.loss, optimizer=optim.SGD(model.parameters(), lr=0.2), epochs=1500, batch_size=None)
    solved = nn.LinearRegression(3, 2, bias=bias, dtype=np.float64).solve(X, y)
    for name, array in solved.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], array, rtol=1e-6)
    value(solved.loss(solved(X), y))
    solved.loss(solved(X), y).backward()
    assert all(np.max(np.abs(p.grad)) < 1e-13 for p in solved.parameters())


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_learns_classes_that_planes_separate(classes: int) -> None:
    draw = np.random.default_rng(1)
    y = np.arange(90) % classes
    X = 6 * np.eye(3)[y][:, :2] + draw.normal(size=(90, 2))
    model = nn.LogisticRegression(2, classes, dtype=np.float64, generator=0)
    history = optim.fit(
        model, (X, y), loss=model.loss, optimizer=optim.Adam(model.parameters(), lr=0.1), epochs=100, metrics="accuracy"
    )
    p = model.probabilities(X)
    assert history.last["accuracy"] == np.mean(model.predict(X) == y) > 0.98
    assert p.shape == (90, classes)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    logits = value(model(X))
    ratio = np.log(p[:, 1] / p[:, 0])
    np.testing.assert_allclose(ratio, logits if classes == 2 else logits[:, 1] - logits[:, 0], rtol=1e-9)
    assert model.weight.shape == (1 if classes == 2 else classes, 2)


# --------------------------------------------------------------------------------------------- autoencoders


def test_an_autoencoder_overfits_and_is_its_two_halves() -> None:
    X = np.random.default_rng(0).random((8, 16)).astype(np.float32)
    model = nn.Autoencoder(16, 64, 8, generator=0)
    history = optim.fit(model, X, loss=model.loss, optimizer=optim.Adam(model.parameters(), lr=0.01), epochs=400, batch_size=None)
    assert history.last["loss"] < 1e-4 < history["loss"][0]
    np.testing.assert_array_equal(value(model.decode(model.encode(X))), value(model(X)))


@pytest.mark.parametrize(("name", "code"), [("Autoencoder", 3), ("VariationalAutoencoder", 2)])
def test_a_decoder_has_the_widths_of_its_encoder_backwards(name: str, code: int) -> None:
    model = getattr(nn, name)(16, (9, 5), code)
    encoder, decoder = ([layer.weight.shape for layer in half if isinstance(layer, nn.Linear)] for half in (model.encoder, model.decoder))
    assert encoder == [(9, 16), (5, 9), (2 * code if name == "VariationalAutoencoder" else code, 5)]
    assert decoder == [(5, code), (9, 5), (16, 9)]


def test_only_training_corrupts() -> None:
    x = np.full((300, 300), 2.0)
    masking = nn.DenoisingAutoencoder(300, 4, 2, noise=0.3, dtype=np.float64)
    kept = masking.corrupt(x)
    assert set(np.unique(kept)) == {0.0, 2.0} and abs(np.mean(kept == 0) - 0.3) < 5 * np.sqrt(0.21 / x.size)
    blurring = nn.DenoisingAutoencoder(300, 4, 2, noise=0.5, corruption="normal", dtype=np.float64)
    added = blurring.corrupt(x) - x
    assert abs(added.mean()) < 5 * 0.5 / 300 and abs(added.std() - 0.5) < 5 * 0.5 / np.sqrt(2 * x.size)
    for model in (masking, blurring):
        assert np.any(value(model(x)) != value(model(x)))
        model.eval()
        np.testing.assert_array_equal(value(model(x)), value(model.decode(model.encode(x))))


# ------------------------------------------------------------------------------------ variational autoencoder

GRID = np.linspace(-40, 40, 400_001)  # wide and fine enough for the trapezoid rule to be exact to rounding


def normal_density(z: Any, mean: Any = 0.0, variance: Any = 1.0) -> Any:
    return np.exp(-0.5 * (z - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, 0.0), (1.5, -2.0), (-3.0, 1.0), (0.1, 1e-3), (0.0, -4.0)])
def test_the_divergence_is_its_integral(mean: float, log_variance: float) -> None:
    variance = np.exp(log_variance)
    log_ratio = -0.5 * log_variance - 0.5 * (GRID - mean) ** 2 / variance + 0.5 * GRID**2
    integral = np.trapezoid(normal_density(GRID, mean, variance) * log_ratio, GRID)
    found = nn.normal_divergence(np.array([mean]), np.array([log_variance]))
    assert found == pytest.approx(integral, rel=1e-9, abs=1e-12)


def test_the_divergence_keeps_its_digits_near_zero() -> None:
    """(e^s - 1 - s) / 2 for s = 1e-5 is s² / 4 + s³ / 12 + ...: 2.5e-11, which 1e-16 beside 1 leaves 5 digits of."""
    s = 1e-5
    assert nn.normal_divergence(np.zeros(1), np.array([s])) == pytest.approx(s**2 / 4 + s**3 / 12, rel=1e-10, abs=0)


class Given:
    """A source that hands out one number for every entry."""

    def __init__(self, number: float) -> None:
        self.number = number

    def normal(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.full(shape, self.number, dtype)

    uniform = normal


@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
def test_the_loss_is_the_bound_of_the_likelihood(likelihood: str) -> None:
    """The mean over z of the loss is -ln p(x) + KL(q(z | x) || p(z | x)), both by integration over the one number z."""
    model = nn.VariationalAutoencoder(5, 4, 1, likelihood, activation=nn.Tanh, dtype=np.float64, generator=0)
    for p in model.parameters():
        p.value = 1.5 * p.value
    x = (np.random.default_rng(1).random((1, 5)) < 0.5).astype(np.float64)
    expected = 0.0
    for noise in np.linspace(-9, 9, 181):
        with nn.using(Given(noise)):
            expected += 0.1 * normal_density(noise) * float(value(model.loss(model(x), x)))
    z = np.linspace(-12, 12, 4001)
    given = value(model.decode(z[:, None]))
    if likelihood == "bernoulli":
        log_p = np.sum(np.log(np.where(x == 1, given, 1 - given)), axis=1)
    else:
        log_p = np.sum(np.log(normal_density(x, given)), axis=1)
    joint = np.exp(log_p) * normal_density(z)
    evidence = np.trapezoid(joint, z)
    mean, log_variance = (float(value(part)[0, 0]) for part in model.encode(x))
    q = normal_density(z, mean, np.exp(log_variance))
    divergence = np.trapezoid(q * (np.log(q) - np.log(joint / evidence)), z)
    assert divergence > 0.01
    assert expected == pytest.approx(-np.log(evidence) + divergence, rel=1e-8)


def test_beta_multiplies_the_divergence() -> None:
    output = tuple(np.random.default_rng(0).normal(size=shape) for shape in ((3, 16), (3, 2), (3, 2)))
    losses = [
        value(nn.VariationalAutoencoder(16, 4, 2, beta=beta, dtype=np.float64).loss(output, ROWS[:3])) for beta in (0.0, 1.0, 3.0)
    ]  # fmt: skip
    divergence = np.mean(nn.normal_divergence(*output[1:]))
    np.testing.assert_allclose(np.array(losses) - losses[0], divergence * np.array([0, 1, 3]), rtol=1e-12)


def test_a_variational_autoencoder_learns_two_patterns() -> None:
    """Two rows of 8 bits, each half of the time: no loss is below the entropy ln 2; the samples are the patterns."""
    patterns = np.array([[1, 1, 1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 0, 1, 0, 1]], np.float32)
    X = patterns[np.arange(64) % 2]
    model = nn.VariationalAutoencoder(8, 32, 1, generator=0)
    history = optim.fit(model, X, loss=model.loss, optimizer=optim.Adam(model.parameters(), lr=0.003), epochs=1500, batch_size=None)
    assert np.log(2) < np.mean(history["loss"][-100:]) < 1.15 < history["loss"][0]
    with nn.using(np.random.default_rng(0)):
        samples = value(model.sample(200)).round()
    kinds = [np.mean(np.all(samples == pattern, axis=1)) for pattern in patterns]
    assert sum(kinds) > 0.9 and min(kinds) > 0.3
    np.testing.assert_array_equal(value(model.reconstruct(patterns)).round(), patterns)


# ------------------------------------------------------------------------------------------------------- RBM


def small(**options: Any) -> Any:
    """Four visible and three hidden units, with weights of size 1."""
    model = nn.RBM(4, 3, dtype=np.float64, generator=0, **options)
    draw = np.random.default_rng(5)
    for p in model.parameters():
        p.value = draw.normal(size=p.shape)
    return model


def states(units: int) -> Any:
    return np.array(list(product([0.0, 1.0], repeat=units)))


def probabilities(model: Any) -> Any:
    """p(v) of all 16 states, by summing over all states of both layers."""
    joint = np.array([[np.exp(-value(model.energy(v[None], h[None]))[0]) for h in states(3)] for v in states(4)])
    return joint.sum(axis=1) / joint.sum(), joint / joint.sum()


def test_free_energy_and_conditionals_are_those_of_the_energy() -> None:
    model = small()
    p, joint = probabilities(model)
    unnormalised = np.exp(-value(model.free_energy(states(4))))
    np.testing.assert_allclose(unnormalised / unnormalised.sum(), p, rtol=1e-12)
    np.testing.assert_allclose(value(model.hidden(states(4))), (joint @ states(3)) / p[:, None], rtol=1e-12)
    np.testing.assert_allclose(value(model.visible(states(3))), (joint.T @ states(4)) / joint.sum(axis=0)[:, None], rtol=1e-12)
    v = states(4)[11]
    by_hand = -sum(
        h[j] * model.weight.value[j, i] * v[i] for h in [states(3)[5]] for j in range(3) for i in range(4)
    ) - v @ model.visible_bias.value - states(3)[5] @ model.hidden_bias.value  # fmt: skip
    assert value(model.energy(v, states(3)[5])) == pytest.approx(by_hand, rel=1e-13)


@pytest.mark.parametrize("options", [{"k": 1}, {"k": 5}, {"chains": 9}], ids=str)
def test_the_gradient_of_the_free_energies_is_contrastive_divergence(options: dict[str, Any]) -> None:
    model = nn.RBM(16, 5, dtype=np.float64, generator=0, **options)
    for p in model.parameters():
        p.value = np.random.default_rng(6).normal(size=p.shape)
    chain = None if model.chain is None else np.array(model.chain)
    with nn.using(np.random.default_rng(7)):
        model.loss(model(ROWS)).backward()
    with nn.using(np.random.default_rng(7)):
        samples = value(model.gibbs(ROWS if chain is None else chain, model.k))
    positive, negative = model.statistics(ROWS), model.statistics(samples)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad, value(negative[name]) - value(positive[name]), rtol=0, atol=1e-12)
    assert set(np.unique(samples)) == {0.0, 1.0}


def test_with_all_states_for_samples_it_is_the_gradient_of_the_likelihood() -> None:
    """-ln p(data) = F(data) + ln Z, and the gradient of ln Z is minus the mean of that of F over the model's own p(v)."""
    model, data = small(), states(4)[[3, 5, 5, 12]]

    def likelihood(values: Any) -> Any:
        logs = [-nn.functional_call(_Free(model), {f"model.{k}": v for k, v in values.items()}, v)[0] for v in (data, states(4))]
        return cg.special.logsumexp(logs[1]) - np.mean(logs[0])

    values = {name: p.value for name, p in model.named_parameters()}
    grads = cg.grad(likelihood)(values)
    p = probabilities(model)[0]
    positive, each = model.statistics(data), [model.statistics(v[None]) for v in states(4)]
    for name in values:
        negative = sum(weight * value(one[name]) for weight, one in zip(p, each, strict=True))
        np.testing.assert_allclose(grads[name], negative - value(positive[name]), rtol=0, atol=1e-12)


class _Free(nn.Module):
    def __init__(self, model: Any) -> None:
        self.model = model

    def forward(self, v: Any) -> Any:
        return self.model.free_energy(v)


def test_gibbs_sampling_draws_from_the_model() -> None:
    """20,000 chains of 30 steps: each frequency within 5 standard errors."""
    model = small()
    with nn.using(np.random.default_rng(1)):
        v = model.gibbs(np.zeros((20_000, 4)), 30)
    counts = np.bincount(value(v).astype(int) @ [8, 4, 2, 1], minlength=16) / 20_000
    p = probabilities(model)[0]
    assert np.all(np.abs(counts - p) < 5 * np.sqrt(p * (1 - p) / 20_000))


@pytest.mark.parametrize("options", [{"k": 3}, {"chains": 50}], ids=str)
def test_it_learns_a_distribution(options: dict[str, Any]) -> None:
    """Two patterns of 6 units: the mean log-likelihood, by enumeration, comes from 6 ln 2 near to ln 2."""
    X = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], np.float64)[np.arange(50) % 2]
    model = nn.RBM(6, 4, dtype=np.float64, generator=0, **options).start_from(X)
    optim.fit(model, X, loss=model.loss, optimizer=optim.SGD(model.parameters(), lr=0.02), epochs=1000, batch_size=25)
    free = -value(model.free_energy(states(6)))
    found = np.mean(value(model.free_energy(X))) + np.log(np.sum(np.exp(free)))
    assert np.log(2) < found < 1.1
    np.testing.assert_array_equal(value(model.reconstruct(X[:2])).round(), X[:2])


def test_a_persistent_chain_goes_on_in_training_only_and_is_saved() -> None:
    model = small(chains=3)
    before = np.array(model.chain)
    with nn.using(np.random.default_rng(0)):
        model(states(4))
        model(states(4))
    with nn.using(np.random.default_rng(0)):
        expected = value(model.gibbs(model.gibbs(before)))
    np.testing.assert_array_equal(model.chain, expected)
    assert isinstance(model.chain, np.ndarray) and np.any(model.chain != before)
    model.eval()(states(4))
    np.testing.assert_array_equal(model.chain, expected)
    np.testing.assert_array_equal(model.state_dict()["chain"], expected)
    assert "chain" not in small().state_dict()


def test_a_start_from_the_means_of_the_units() -> None:
    X = np.array([[1.0, 0.0, 1.0, 0.25], [1.0, 0.0, 0.0, 0.25]])
    model = small().start_from(X)
    model.weight.value = np.zeros((3, 4))
    np.testing.assert_allclose(value(model.reconstruct(X))[0], [0.99, 0.01, 0.5, 0.25], rtol=1e-12)


# ---------------------------------------------------------------------------------------------- CNN and CharRNN


def test_a_cnn_takes_rows_and_images_and_overfits() -> None:
    X, y = np.random.default_rng(0).random((20, 64)).astype(np.float32), np.arange(20) % 10
    model = nn.CNN((8, 8), generator=0)
    history = optim.fit(
        model, (X, y), loss=model.loss, optimizer=optim.Adam(model.parameters(), lr=0.01), epochs=120, batch_size=None, metrics="accuracy"
    )
    assert history.last["accuracy"] == 1
    for shape in ((20, 8, 8), (20, 1, 8, 8)):
        np.testing.assert_array_equal(value(model(X.reshape(shape))), value(model(X)))
    assert nn.CNN((3, 28, 28), 5, (4, 6, 8))(np.zeros((2, 3, 28, 28), np.float32)).shape == (2, 5)


def test_a_char_rnn_learns_a_text_by_heart() -> None:
    text = TEXT * 8
    model = nn.CharRNN(text, 8, 32, generator=0)
    optim.fit(
        model, model.windows(text, 32), loss=model.loss, optimizer=optim.Adam(model.parameters(), lr=0.02), epochs=30, batch_size=32
    )
    assert model.training
    assert model.sample(72, prompt=TEXT, temperature=0) == TEXT * 3
    assert model.sample(5, prompt=TEXT) == "the c" and model.training


def test_windows_are_pieces_and_the_same_one_on() -> None:
    model = nn.CharRNN("abcdefg")
    X, y = model.windows("abcdefg", 3, stride=2)
    assert [model.decode(row) for row in X] == ["abc", "cde"] and [model.decode(row) for row in y] == ["bcd", "def"]
    assert nn.CharRNN("banana").alphabet == "abn"


def test_the_state_goes_on() -> None:
    model = nn.CharRNN(TEXT, 4, 5, num_layers=2, dtype=np.float64)
    indices = model.encode(TEXT)[None]
    first, state = model.unroll(indices[:, :9])
    second, _ = model.unroll(indices[:, 9:], state)
    np.testing.assert_allclose(np.concatenate([value(first), value(second)], axis=1), value(model(indices)), rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_divides_the_logits(temperature: float) -> None:
    """4,000 second characters: each frequency within 5 standard errors of the softmax."""
    model = nn.CharRNN("abcd", 4, 5, generator=0, dtype=np.float64)
    model.linear.bias.value = np.array([0.0, 1.0, 2.0, -1.0])
    logits = value(model(model.encode("b")[None]))[0, -1] / temperature
    p = np.exp(logits) / np.exp(logits).sum()
    rng = np.random.default_rng(0)
    found = "".join(model.decode([model._chosen(logits * temperature, temperature, rng)]) for _ in range(4000))
    counts = np.array([found.count(letter) for letter in "abcd"]) / 4000
    assert np.all(np.abs(counts - p) < 5 * np.sqrt(p * (1 - p) / 4000))


def test_samples_are_the_generators() -> None:
    model = nn.CharRNN(TEXT, 4, 5, dropout=0.5, num_layers=2, generator=0)
    assert model.sample(30, generator=1) == model.sample(30, generator=1) != model.sample(30, generator=2)
    assert model.sample(12, "the", temperature=1e-300, generator=1) == model.sample(12, "the", temperature=0)
    with nn.using(np.random.default_rng(1)):
        assert model.sample(30) == model.sample(30, generator=1)


# ------------------------------------------------------------------------------------------------- bad input

REFUSALS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "classes": (lambda: nn.LogisticRegression(3, 1), cg.InputError, "num_classes is an integer of at least 2"),
    "solve": (lambda: nn.LinearRegression(3).solve(np.ones((5, 3)), np.ones(5)), cg.ShapeError, r"y \(N, 1\), not \(5, 3\) and \(5,\)"),
    "flat targets": (lambda: nn.mse(nn.LinearRegression(16)(ROWS.astype(np.float32)), np.ones(6)), cg.ShapeError, r"\(6, 1\)"),
    "dtype": (lambda: nn.Autoencoder(16, 4, 2)(ROWS), cg.DtypeError, r"X.astype\(np.float32\)"),
    "width": (lambda: nn.VariationalAutoencoder(8, 4, 2)(ROWS.astype(np.float32)), cg.ShapeError, "has to have 8"),
    "corruption": (lambda: nn.DenoisingAutoencoder(4, 4, 2, corruption="salt"), cg.InputError, "'masking' or 'normal'"),
    "fraction": (lambda: nn.DenoisingAutoencoder(4, 4, 2, noise=1.5), cg.InputError, r"a fraction in \[0, 1\]"),
    "deviation": (lambda: nn.DenoisingAutoencoder(4, 4, 2, -1, "normal"), cg.InputError, "a deviation of at least 0"),
    "likelihood": (lambda: nn.VariationalAutoencoder(4, 4, 2, "poisson"), cg.InputError, "'bernoulli' or 'normal'"),
    "beta": (lambda: nn.VariationalAutoencoder(4, 4, 2, beta=-1), cg.InputError, "beta is a number"),
    "latent": (lambda: nn.VariationalAutoencoder(4, 4, 0), cg.InputError, "latent_features is an integer"),
    "visible": (lambda: nn.RBM(4, 2)(np.ones((3, 5), np.float32)), cg.ShapeError, "has to have 4"),
    "hidden": (lambda: nn.RBM(4, 2).visible(np.ones((3, 4), np.float32)), cg.ShapeError, "has to have 2"),
    "k": (lambda: nn.RBM(4, 2, k=0), cg.InputError, "k is an integer of at least 1"),
    "chains": (lambda: nn.RBM(4, 2, chains=0), cg.InputError, "chains is an integer of at least 1"),
    "image": (lambda: nn.CNN((8, 8))(np.ones((3, 63), np.float32)), cg.ShapeError, r"\(N, 1, 8, 8\) or rows of 64"),
    "image shape": (lambda: nn.CNN((64,)), cg.InputError, r"\(H, W\) for one channel"),
    "too many layers": (lambda: nn.CNN((8, 8), channels=(4, 4, 4, 4)), cg.InputError, "halve an image"),
    "even kernel": (lambda: nn.CNN((8, 8), kernel_size=4), cg.InputError, "odd"),
    "empty text": (lambda: nn.CharRNN(""), cg.InputError, "characters of the alphabet"),
    "unknown character": (lambda: nn.CharRNN("abc").encode("abd"), cg.InputError, "'d', character 2 of the text"),
    "short text": (lambda: nn.CharRNN("abc").windows("abc", 3), cg.InputError, "no piece of 3"),
    "temperature": (lambda: nn.CharRNN("abc").sample(3, temperature=-1.0), cg.InputError, "temperature is a number"),
    "length": (lambda: nn.CharRNN("abc").sample(0), cg.InputError, "length is an integer"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    nn.manual_seed(0)
    yield
    nn.manual_seed(0)


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_refused(name: str) -> None:
    act, error, message = REFUSALS[name]
    with pytest.raises(error, match=message):
        act()

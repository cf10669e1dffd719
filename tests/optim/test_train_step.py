"""`optim.train_step`: the programs against the plain loop and against a loop by hand; errors that change nothing."""

from __future__ import annotations

import gc
import math
import tracemalloc
import weakref

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn
from optim import step as step_module

DRAW = np.random.default_rng(5)
X = DRAW.normal(size=(12, 5))
LABELS = DRAW.integers(0, 3, 12)


def plain(dtype):
    return nn.Sequential(nn.Linear(5, 7, dtype=dtype, generator=1), nn.Tanh(), nn.Linear(7, 3, dtype=dtype, generator=2))


def normalised(dtype):
    """Without the bias that the normalisation takes away again: its gradient is rounding, which Adam would scale to a step."""
    return nn.Sequential(
        nn.Linear(5, 7, bias=False, dtype=dtype, generator=1), nn.BatchNorm1d(7, dtype=dtype), nn.Tanh(), nn.Dropout(0.3),
        nn.Linear(7, 3, dtype=dtype, generator=2),
    )  # fmt: skip


MODELS = {"plain": plain, "normalised": normalised}
OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "NAdam": lambda p: optim.NAdam(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    "Rprop": lambda p: optim.Rprop(p, lr=0.01),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.05),
    "FTRL": lambda p: optim.FTRL(p, lr=0.05, l1=0.01),
    "maximize": lambda p: optim.SGD(p, lr=1e-3, maximize=True),
    "LAMB": lambda p: optim.LAMB(p, lr=0.01),
    "Muon": lambda p: optim.Muon(p, lr=0.01),
    "Adafactor": lambda p: optim.Adafactor(p, lr=0.01),
    "Nesterov": lambda p: optim.Nesterov(p, lr=0.05),
    "Lookahead": lambda p: optim.Lookahead(optim.Adam(p, lr=0.01), k=2),
    "LBFGS": lambda p: optim.LBFGS(p, max_iter=4, line_search_fn="strong_wolfe"),
    "NonlinearCG": lambda p: optim.NonlinearCG(p, max_iter=3),
}
ROUNDING = {np.float32: 1e-6, np.float64: 1e-12}


def trained(model, make, target, steps=6, dtype=np.float64, size=12, **options):
    model = MODELS[model](dtype)
    step = optim.train_step(
        model, nn.cross_entropy, make(model.parameters()), target=target, generator=np.random.default_rng(3), **options
    )  # fmt: skip
    losses = [step(X[:size].astype(dtype), LABELS[:size]) for _ in range(steps)]
    return model, step, losses


def assert_same_state(one, other, tolerance):
    for name, value in one.state_dict().items():
        np.testing.assert_allclose(other.state_dict()[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


PAIRS = [*((name, "plain") for name in OPTIMIZERS), *((name, "normalised") for name in ("momentum", "Adam", "LAMB", "Nesterov"))]


@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_programs_have_the_numbers_of_the_plain_loop(name, model):
    steps = 1 if name in ("LBFGS", "NonlinearCG") else 5  # their line searches double the rounding each time
    eager, one, losses = trained(model, OPTIMIZERS[name], None, steps=steps + 1)
    compiled, other, found = trained(model, OPTIMIZERS[name], "numpy", steps=steps + 1)
    np.testing.assert_allclose(found, losses, rtol=1e-11)
    assert_same_state(eager, compiled, 1e-10 if name in ("LBFGS", "NonlinearCG", "Muon", "LAMB", "Adafactor") else 1e-12)
    assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-10)
    assert losses[-1] != losses[0]


@pytest.mark.parametrize(
    ("name", "model", "target", "dtype"),
    [
        ("momentum", "plain", "numba", np.float64), ("AdamW", "normalised", "numba", np.float32),
        ("AdamW", "normalised", "numpy", np.float32), ("momentum", "normalised", "numpy", np.float32),
    ],
)  # fmt: skip
def test_numba_and_single_precision(name, model, target, dtype):
    if target == "numba":
        pytest.importorskip("numba")
    eager, _, losses = trained(model, OPTIMIZERS[name], None, dtype=dtype)
    compiled, _, found = trained(model, OPTIMIZERS[name], target, dtype=dtype)
    np.testing.assert_allclose(found, losses, rtol=ROUNDING[dtype])
    assert_same_state(eager, compiled, ROUNDING[dtype])
    assert all(p.dtype == dtype for p in compiled.parameters()) and isinstance(found[0], float)


def test_against_a_loop_by_hand():
    """A network and Adam written out in NumPy, which shares nothing with the project."""
    model = plain(np.float64)
    W1, b1, W2, b2 = (np.array(p.value) for p in model.parameters())
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in (W1, b1, W2, b2)]
    step = optim.train_step(model, nn.cross_entropy, optim.Adam(model.parameters(), lr=0.05))
    onehot = np.eye(3)[LABELS]
    for t in range(1, 9):
        hidden = np.tanh(X @ W1.T + b1)
        logits = hidden @ W2.T + b2
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances = exps / exps.sum(axis=1, keepdims=True)
        expected = -np.log(chances[np.arange(12), LABELS]).mean()
        logits_bar = (chances - onehot) / 12
        hidden_bar = (logits_bar @ W2) * (1 - hidden**2)
        bars = [hidden_bar.T @ X, hidden_bar.sum(axis=0), logits_bar.T @ hidden, logits_bar.sum(axis=0)]
        for p, (m, v), bar in zip((W1, b1, W2, b2), moments, bars, strict=True):
            m += 0.1 * (bar - m)
            v += 0.001 * (bar * bar - v)
            p -= 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        assert step(X, LABELS) == pytest.approx(expected, rel=1e-12)
        assert step.grad_norm == pytest.approx(math.sqrt(sum(np.sum(bar * bar) for bar in bars)), rel=1e-12)
    for p, expected in zip(model.parameters(), (W1, b1, W2, b2), strict=True):
        np.testing.assert_allclose(p.value, expected, rtol=1e-10, atol=1e-13)


OPTIONS = {
    "clip norm": {"clip_grad_norm": 0.1},
    "clip value": {"clip_grad_value": 0.02},
    "l1 and l2": {"l1": 0.01, "l2": 0.1},
    "noise": {"grad_noise": (0.1, 0.3)},
    "all": {"clip_grad_norm": 0.3, "clip_grad_value": 0.05, "l1": 0.01, "l2": 0.01, "grad_noise": 0.01, "accumulate": 3},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options_do_the_same_in_programs_and_in_the_plain_loop(options):
    eager, _, losses = trained("normalised", OPTIMIZERS["momentum"], None, **options)
    compiled, _, found = trained("normalised", OPTIMIZERS["momentum"], "numpy", **options)
    without, _, _ = trained("normalised", OPTIMIZERS["momentum"], "numpy")
    np.testing.assert_allclose(found, losses, rtol=1e-11)
    assert_same_state(eager, compiled, 1e-11)
    assert not np.allclose(without.state_dict()["0.weight"], compiled.state_dict()["0.weight"])


def test_a_clipped_gradient_is_no_longer_than_said():
    model, step, _ = trained("plain", lambda p: optim.SGD(p, lr=1.0), "numpy", steps=1)
    before = np.concatenate([p.value.ravel() for p in model.parameters()])
    clipped = optim.train_step(model, nn.cross_entropy, optim.SGD(model.parameters(), lr=1.0), clip_grad_norm=1e-3)
    clipped(X, LABELS)
    moved = np.concatenate([p.value.ravel() for p in model.parameters()]) - before
    assert np.linalg.norm(moved) == pytest.approx(1e-3, rel=1e-2) and clipped.grad_norm > 0.01
    assert step.grad_norm != clipped.grad_norm


@pytest.mark.parametrize("target", [None, "numpy"])
@pytest.mark.parametrize(("size", "parts"), [(12, 4), (11, 3)])
def test_accumulation_equals_the_large_batch(target, size, parts):
    whole, one, losses = trained("plain", OPTIMIZERS["Adam"], target, size=size)
    cut, other, found = trained("plain", OPTIMIZERS["Adam"], target, size=size, accumulate=parts)
    np.testing.assert_allclose(found, losses, rtol=1e-12)
    assert_same_state(whole, cut, 1e-11)
    assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-11)


def test_schedules_and_other_changes_reach_the_program():
    runs = []
    for target in (None, "numpy"):
        model = plain(np.float64)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        step = optim.train_step(model, nn.cross_entropy, optimizer, target=target)
        losses = []
        for number in range(8):
            losses.append(step(X, LABELS))
            scheduler.step()
            if number == 3:
                optimizer.param_groups[0]["momentum"] = 0.5
            if number == 5:
                optimizer.param_groups[0]["nesterov"] = True
            if number == 6:
                model[0].bias.value = np.zeros(7)
        runs.append((losses, model.state_dict()))
    np.testing.assert_allclose(runs[0][0], runs[1][0], rtol=1e-12)
    for name, value in runs[0][1].items():
        np.testing.assert_allclose(runs[1][1][name], value, rtol=1e-11, atol=1e-13)


def test_steps_by_program_and_by_hand_go_together():
    """The optimizer's own step, its state and loading fit in between the program's steps."""
    losses = {}
    for kind in ("plain", "mixed"):
        model = plain(np.float64)
        optimizer = optim.Adam(model.parameters(), lr=0.05)
        step = optim.train_step(model, nn.cross_entropy, optimizer, target=None if kind == "plain" else "numpy")
        found = [step(X, LABELS), step(X, LABELS)]
        optimizer.zero_grad()
        nn.cross_entropy(model(X), LABELS).backward()
        optimizer.step()
        found += [step(X, LABELS)]
        assert optimizer.state[model[0].weight]["step"] == 4
        optimizer.load_state_dict(optimizer.state_dict())
        model.load_state_dict(model.state_dict())
        losses[kind] = [*found, step(X, LABELS)]
    np.testing.assert_allclose(losses["mixed"], losses["plain"], rtol=1e-12)


def test_modes_shapes_and_parts_of_a_model():
    model = normalised(np.float64)
    optimizer = optim.AdamW([p for name, p in model.named_parameters() if name != "4.bias"], lr=0.05)
    step = optim.train_step(model, nn.cross_entropy, optimizer)
    frozen = model[4].bias.value.copy()
    step(X, LABELS)
    mean = model[1].running_mean.copy()
    assert np.any(mean) and model[1].num_batches_tracked == 1
    model.eval()
    step(X, LABELS)
    np.testing.assert_array_equal(model[1].running_mean, mean)
    model.train()
    step(X[:5], LABELS[:5])
    assert model[1].num_batches_tracked == 2 and np.any(model[1].running_mean != mean)
    np.testing.assert_array_equal(model[4].bias.value, frozen)


def test_evaluation_mode_trains_without_dropout():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 3, dtype=np.float64, generator=0)).eval()
    step = optim.train_step(model, nn.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    expected = float(nn.cross_entropy(model(X), LABELS).value)
    assert step(X, LABELS) == pytest.approx(expected, rel=1e-14)
    model.train()
    assert step(X, LABELS) != pytest.approx(float(nn.cross_entropy(model.eval()(X), LABELS).value), rel=1e-3)


def test_a_parameter_that_the_loss_does_not_see_is_left_alone():
    class Two(nn.Module):
        def __init__(self):
            self.used, self.unused = nn.Linear(5, 3, dtype=np.float64, generator=0), nn.Linear(5, 3, dtype=np.float64, generator=1)

        def forward(self, x):
            return self.used(x)

    kept = {}
    for target in (None, "numpy"):
        model = Two()
        optimizer = optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
        before = model.unused.weight.value.copy()
        optim.train_step(model, nn.cross_entropy, optimizer, target=target)(X, LABELS)
        np.testing.assert_array_equal(model.unused.weight.value, before)
        assert len(optimizer.state) == 2
        kept[target] = model.used.weight.value
    np.testing.assert_allclose(kept[None], kept["numpy"], rtol=1e-12)


def test_several_inputs_and_an_input_that_is_its_own_target():
    class Sum(nn.Module):
        def __init__(self):
            self.left, self.right = nn.Linear(5, 3, dtype=np.float64, generator=0), nn.Linear(2, 3, dtype=np.float64, generator=1)

        def forward(self, a, b):
            return self.left(a) + self.right(b)

    for target in (None, "numpy"):
        model = Sum()
        step = optim.train_step(model, nn.cross_entropy, optim.SGD(model.parameters(), lr=0.1), target=target)
        expected = float(nn.cross_entropy(model(X, X[:, :2]), LABELS).value)
        assert step((X, X[:, :2]), LABELS) == pytest.approx(expected, rel=1e-12)
    coder = nn.Sequential(nn.Linear(5, 2, dtype=np.float64, generator=0), nn.Linear(2, 5, dtype=np.float64, generator=1))
    step = optim.train_step(coder, nn.mse, optim.SGD(coder.parameters(), lr=0.1))
    assert step(X) == pytest.approx(float(nn.mse(coder.eval()(X), X).value), rel=0.2)


# ------------------------------------------------------------------------------------------ what goes wrong


def everything(model, optimizer, step):
    state = optimizer.state_dict()
    arrays = {f"{n}.{key}": np.array(value) for n, held in state["state"].items() for key, value in held.items()}
    return {**model.state_dict(), **arrays, "generator": np.array(str(step.generator.bit_generator.state)), "steps": np.array(step.steps)}


NAMES = ("momentum", "AdamW", "Rprop", "LAMB", "Lookahead")


@pytest.mark.parametrize(
    ("name", "target"), [*((name, target) for name in NAMES for target in (None, "numpy")), ("momentum", "numba")]
)
def test_a_nan_changes_nothing(name, target):
    if target == "numba":
        pytest.importorskip("numba")
    model = (plain if target == "numba" else normalised)(np.float64)
    optimizer = OPTIMIZERS[name](model.parameters())
    step = optim.train_step(model, nn.cross_entropy, optimizer, target=target, generator=np.random.default_rng(0))
    for _ in range(3):
        step(X, LABELS)
    before = everything(model, optimizer, step)
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(cg.AnomalyError, match=r"nan|NaN"):
        step(bad, LABELS)
    after = everything(model, optimizer, step)
    assert before.keys() == after.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value, err_msg=key)
    assert all(p.grad is None for p in model.parameters())
    assert math.isfinite(step(X, LABELS))


def test_an_infinite_gradient_names_its_parameter_and_a_large_one_is_none():
    class Root(nn.Module):
        def __init__(self):
            self.scale = cg.variable(np.array([0.0, 1.0]))
            self.shift = cg.variable(np.array([1.0]))

        def forward(self, x):
            return np.sqrt(self.scale) + self.shift * x

    model = Root()
    step = optim.train_step(model, lambda output, y: np.mean(output), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(cg.AnomalyError, match=r"gradient of scale .*1 of 2 entries"), np.errstate(divide="ignore"):
        step(np.ones(2), np.ones(2))
    np.testing.assert_array_equal(model.shift.value, [1.0])

    large = nn.Linear(1, 1, generator=0)  # in single precision the square of this gradient is infinite, the gradient is not
    step = optim.train_step(large, lambda output, y: 1e25 * np.mean(output), optim.SGD(large.parameters(), lr=1e-30))
    with np.errstate(over="ignore"):
        step(np.ones((2, 1), np.float32), np.ones(2, np.float32))
    assert step.grad_norm == pytest.approx(math.sqrt(2) * 1e25, rel=1e-5)


def test_a_layer_that_makes_a_nan_is_named():
    class Log(nn.Module):
        def forward(self, x):
            return np.log(x)

    model = nn.Sequential(nn.Linear(5, 3, dtype=np.float64, generator=0), Log())
    step = optim.train_step(model, nn.mse, optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(cg.AnomalyError, match=r"the loss is nan; first in .*log"), np.errstate(invalid="ignore"):
        step(X, np.ones((12, 3)))


REFUSED = {
    "no model": (lambda: optim.train_step(lambda x: x, nn.mse, optim.SGD([cg.variable(1.0)])), "nn.Module"),
    "a loss class": (lambda: optim.train_step(plain(float), dict, optim.SGD(plain(float).parameters())), "make one"),
    "no optimizer": (lambda: optim.train_step(plain(float), nn.mse, None), "optimizer is one of"),
    "another model's": (lambda: optim.train_step(plain(float), nn.mse, optim.SGD(plain(float).parameters())), "no parameter of the model"),
    "target": (lambda: of_plain(target="cuda"), "no target"),
    "accumulate": (lambda: of_plain(accumulate=0), "accumulate"),
    "clip": (lambda: of_plain(clip_grad_norm=-1.0), "clip_grad_norm"),
    "l2": (lambda: of_plain(l2=-1.0), "l2"),
    "noise": (lambda: of_plain(grad_noise=(1, 2, 3)), "eta, gamma"),
    "generator": (lambda: of_plain(generator=3), "default_rng"),
    "newton": (lambda: of_plain(optim.NewtonCG), "target=None"),
    "levenberg": (lambda: of_plain(optim.LevenbergMarquardt), "residuals"),
    "a loss a row": (lambda: of_plain(loss=lambda o, y: o)(X, LABELS), "one number"),
    "columns": (lambda: of_plain()(X[:, :4], LABELS), "last axis"),
    "a node": (lambda: of_plain()(cg.variable(X), LABELS), "not a node"),
    "source": (lambda: of_plain().graph, "not been traced"),
}


def of_plain(optimizer=optim.SGD, loss=nn.cross_entropy, **options):
    model = plain(np.float64)
    return optim.train_step(model, loss, optimizer(model.parameters()), **options)


@pytest.mark.parametrize(("call", "said"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(cg.CompgraphError, match=said):
        call()


def test_newton_by_the_plain_loop():
    model = plain(np.float64)
    step = optim.train_step(model, nn.cross_entropy, optim.NewtonCG(model.parameters(), max_iter=3), target=None)
    losses = [step(X, LABELS) for _ in range(3)]
    assert losses[2] < 0.5 * losses[0]


# --------------------------------------------------------------------------------------- programs and memory


def test_the_text_and_the_graph_are_of_the_whole_step():
    step = of_plain(lambda p: optim.Adam(p, lr=0.01))
    assert "not traced" in step.source and step.notes == ()
    assert step.prepare(X, LABELS) is step and step.steps == 0
    assert "def value_and_gradient(" in step.source and "def adam(" in step.source
    graph = step.graph
    loss = step(X, LABELS)
    assert [node.shape for node in graph.outputs][:2] == [(), (66,)] and len(graph.outputs) == 5
    compile(step.source, "step", "exec")
    assert loss > 0 and "TrainStep(Sequential, Adam" in repr(step)


def test_the_graph_computes_the_step():
    step = of_plain(lambda p: optim.SGD(p, lr=0.1, momentum=0.9))
    step(X, LABELS)
    block = step._blocks[0]
    vector, buffer = block.vector.copy(), block.state["momentum_buffer"].copy()
    results = step.graph.run([vector, 1.0, buffer, 0.1, X, LABELS])
    loss = step(X, LABELS)
    assert float(results[0]) == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(results[1], block.vector, rtol=1e-12)


def test_memory_stays_flat():
    step = of_plain(lambda p: optim.Adam(p, lr=1e-3))
    for _ in range(50):
        step(X, LABELS)
    tracemalloc.start()
    for _ in range(20):
        step(X, LABELS)
    early = tracemalloc.get_traced_memory()[0]
    for _ in range(600):
        step(X, LABELS)
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert late - early < 2048


def test_a_step_keeps_no_batch_alive_and_few_shapes():
    step = of_plain()
    batch = np.array(X)
    kept = weakref.ref(batch)
    step(batch, LABELS)
    del batch
    gc.collect()
    assert kept() is None and step.graph.outputs
    step_module.CACHED, before = 3, step_module.CACHED
    try:
        losses = [step(X[:size], LABELS[:size]) for size in (3, 4, 5, 6, 3)]
    finally:
        step_module.CACHED = before
    assert len(step._programs) == 3 and all(map(math.isfinite, losses))


def test_the_same_seed_gives_the_same_bits():
    for target in (None, "numpy"):
        first, second = (trained("normalised", OPTIMIZERS["Adam"], target, dtype=np.float32, grad_noise=0.1)[0] for _ in range(2))
        for name, value in first.state_dict().items():
            np.testing.assert_array_equal(second.state_dict()[name], value)

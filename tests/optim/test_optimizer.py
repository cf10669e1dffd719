"""The face of the optimizers: groups, steps, closures, compiled steps, saved state, and bad input, which changes nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
import optim
from optim import blocks
from optim.checks import CHECKS

FIRST_ORDER = ["SGD", "Adam", "AdamW", "Rprop", "Adagrad", "RMSprop", "Adadelta", "Adamax", "NAdam", "RAdam", "Lion", "LAMB", "LARS",
               "Adafactor", "FTRL", "Muon", "Nesterov"]  # fmt: skip


def variables(dtype: Any = float) -> list[Any]:
    draw = np.random.default_rng(0)
    return [cg.variable(np.asarray(draw.normal(size=shape), dtype), name=name) for name, shape in (("w", (3, 2)), ("b", (2,)), ("c", ()))]


def give_gradients(params: list[Any], seed: int = 1) -> None:
    draw = np.random.default_rng(seed)
    for p in params:
        p.grad = np.asarray(draw.normal(size=p.shape), p.dtype)[()]


def step(optimizer: Any, params: list[Any], seed: int = 1) -> None:
    if isinstance(optimizer, optim.Nesterov):
        optimizer.step(lambda: give_gradients(params, seed))
    else:
        give_gradients(params, seed)
        optimizer.step()


def values(params: list[Any]) -> list[Any]:
    return [np.array(p.value) for p in params]


def assert_same(one: list[Any], other: list[Any]) -> None:
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, y)


# ------------------------------------------------------------------------------------------- a step


@pytest.mark.parametrize("compiled", [False, True])
def test_training_as_in_a_lecture(compiled: bool) -> None:
    """Fit a line; the loop is PyTorch's."""
    x = np.linspace(-1, 1, 50)
    w, b = cg.variable(0.0, name="w"), cg.variable(0.0, name="b")
    optimizer = optim.Adam([w, b], lr=0.1)
    if compiled:
        optimizer.compile()
    for _ in range(300):
        loss = np.mean((w * x + b - (3 * x - 1)) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose([w.value, b.value], [3, -1], atol=1e-6)


def test_a_closure_is_called_once_and_its_loss_returned() -> None:
    w = cg.variable(2.0, name="w")
    optimizer = optim.SGD([w], lr=0.25)
    calls = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = w * w
        loss.backward()
        calls.append(loss)
        return loss

    assert optimizer.step(closure) is calls[0] and len(calls) == 1
    assert w.value == 1.0
    assert optimizer.compile().step(closure) is calls[1]
    assert w.value == 0.5


def test_zero_grad() -> None:
    params = variables()
    optimizer = optim.SGD(params)
    give_gradients(params)
    params[1].grad = None
    optimizer.zero_grad(set_to_none=False)
    assert params[1].grad is None and np.all(params[0].grad == 0) and params[0].grad.shape == (3, 2)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


@pytest.mark.parametrize("compiled", [False, True])
def test_groups_have_their_own_hyperparameters(compiled: bool) -> None:
    w, b, c = variables()
    optimizer = optim.SGD([{"params": w}, {"params": [b], "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [c], "lr": 0.0, "momentum": 0.9})
    if compiled:
        optimizer.compile()
    before = values([w, b, c])
    give_gradients([w, b, c])
    optimizer.step()
    np.testing.assert_allclose(w.value, before[0] - 0.1 * w.grad)
    np.testing.assert_allclose(b.value, before[1] - 0.5 * b.grad)
    assert c.value == before[2] and set(optimizer.state[c]) == {"step", "momentum_buffer"}
    assert set(optimizer.state[w]) == {"step"}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", FIRST_ORDER)
def test_parameters_without_gradient_are_skipped(kind: str, compiled: bool) -> None:
    """They keep their value and get no state; when their gradient comes, they start then, as in PyTorch."""
    params, alone = variables(), variables()
    optimizer, other = getattr(optim, kind)(params, lr=0.1), getattr(optim, kind)(alone[1:2], lr=0.1)
    if compiled:
        optimizer.compile(exact=True)

    def close(seed: int, without: int | None) -> None:
        def closure() -> None:
            give_gradients(params, seed)
            if without is not None:
                params[without].grad = None

        if kind == "Nesterov":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()

    before = values(params)
    close(1, without=1)
    close(2, without=1)
    assert params[1] not in optimizer.state and np.all(params[1].value == before[1])
    assert params[0] in optimizer.state
    for seed in (3, 4):
        close(seed, without=None)

        def closure(seed: int = seed) -> None:
            draw = variables()
            give_gradients(draw, seed)
            alone[1].grad = draw[1].grad

        if kind == "Nesterov":
            other.step(closure)
        else:
            closure()
            other.step()
    np.testing.assert_array_equal(params[1].value, alone[1].value)
    assert (optimizer.state[params[0]]["step"], optimizer.state[params[1]]["step"]) == (4.0, 2.0)
    close(5, without=0)
    assert (optimizer.state[params[0]]["step"], optimizer.state[params[1]]["step"]) == (4.0, 3.0)


@pytest.mark.parametrize("kind", FIRST_ORDER)
def test_maximize_is_descent_on_the_negative(kind: str) -> None:
    up, down = variables(), variables()
    climbing, falling = getattr(optim, kind)(up, lr=0.1, maximize=True), getattr(optim, kind)(down, lr=0.1)

    def negative() -> None:
        give_gradients(down)
        for p in down:
            p.grad = -p.grad

    for _ in range(3):
        step(climbing, up)
        if kind == "Nesterov":
            falling.step(negative)
        else:
            negative()
            falling.step()
    assert_same(values(up), values(down))


def test_momentum_that_is_switched_on_later() -> None:
    for compiled in (False, True):
        params = variables()
        optimizer = optim.SGD(params, lr=0.1)
        if compiled:
            optimizer.compile(exact=True)
        step(optimizer, params)
        optimizer.param_groups[0]["momentum"] = 0.9
        before = values(params)
        step(optimizer, params)
        for p, old in zip(params, before, strict=True):
            np.testing.assert_allclose(p.value, old - 0.1 * p.grad)
            np.testing.assert_array_equal(optimizer.state[p]["momentum_buffer"], p.grad)


def test_repr_is_pytorchs() -> None:
    assert repr(optim.SGD(variables())).splitlines()[:4] == ["SGD (", "Parameter Group 0", "    dampening: 0", "    differentiable: False"]


# ------------------------------------------------------------------------------------------- Nesterov


def test_nesterov_restores_the_parameters_when_the_closure_fails() -> None:
    params = variables()
    optimizer = optim.Nesterov(params, lr=0.1)
    for seed in range(3):
        step(optimizer, params, seed)
    before, state = values(params), optimizer.state_dict()

    def closure() -> None:
        assert not np.array_equal(params[0].value, before[0])  # at the look-ahead point
        raise RuntimeError("no loss today")

    with pytest.raises(RuntimeError, match="no loss today"):
        optimizer.step(closure)
    assert_same(values(params), before)
    np.testing.assert_equal(optimizer.state_dict(), state)


def test_nesterov_needs_a_closure() -> None:
    with pytest.raises(cg.InputError, match=r"needs a closure.*SGD\(nesterov=True\) needs none"):
        optim.Nesterov(variables()).step()


# ------------------------------------------------------------------------------------------- Muon


def test_muon_takes_matrices_and_hands_on_the_rest() -> None:
    for fallback, kind, keywords in (
        ("adamw", optim.AdamW, {"weight_decay": 0.1, "lr": 0.3}),
        ("sgd", optim.SGD, {"weight_decay": 0.1, "lr": 0.3, "momentum": 0.95, "nesterov": True}),
    ):
        params, others = variables(), variables()
        optimizer = optim.Muon(params, lr=0.1, fallback=fallback, fallback_lr=0.3)
        matrices, rest = optim.Muon(others[:1], lr=0.1, fallback=None), kind(others[1:], **keywords)
        for seed in range(3):
            step(optimizer, params, seed)
            give_gradients(others, seed)
            matrices.step()
            rest.step()
        assert_same(values(params), values(others))


# ------------------------------------------------------------------------------------------- compiled steps


@pytest.mark.parametrize("kind", FIRST_ORDER)
def test_compiled_steps_are_the_plain_ones(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, over several chunks whose borders cut the tensors, and with a rate that changes."""
    monkeypatch.setattr(blocks, "CHUNK", 4)
    plain, compiled = variables(np.float32), variables(np.float32)
    optimizers = [getattr(optim, kind)(plain, lr=0.1), getattr(optim, kind)(compiled, lr=0.1).compile(exact=True)]
    for seed in range(6):
        for optimizer, params in zip(optimizers, (plain, compiled), strict=True):
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + seed)
            step(optimizer, params, seed)
    for p, q in zip(plain, compiled, strict=True):
        assert q.value.dtype == np.float32 and q.value.shape == p.shape
    assert_same(values(plain), values(compiled))
    one, other = optimizers[0].state_dict(), optimizers[1].state_dict()
    assert one["param_groups"] == other["param_groups"]
    assert {n: list(state) for n, state in one["state"].items()} == {n: list(state) for n, state in other["state"].items()}


def test_values_stay_views_and_assigned_ones_are_taken_in() -> None:
    params = variables()
    optimizer = optim.SGD(params, lr=0.5).compile()
    step(optimizer, params)
    views = [p.value for p in params]
    assert all(np.shares_memory(view, optimizer._blocks[0].vector) for view in views)
    step(optimizer, params, 2)
    assert all(p.value is view for p, view in zip(params, views, strict=True))
    params[0].value = np.ones((3, 2))
    step(optimizer, params, 3)
    np.testing.assert_array_equal(params[0].value, 1 - 0.5 * params[0].grad)
    assert params[0].value is views[0]
    (np.sum(params[0] ** 2) + params[2]).backward()  # a number's view is a number to the engine


def test_a_changing_hyperparameter_is_passed_and_a_flag_makes_another_program() -> None:
    plain, compiled = variables(), variables()
    one, other = optim.Adam(plain), optim.Adam(compiled).compile(exact=True)
    changes: list[dict[str, Any]] = [
        {}, {"lr": 0.1}, {"betas": (0.8, 0.99)}, {"betas": (0.7, 0.99)}, {"weight_decay": 0.1}, {"weight_decay": 0.2}, {"maximize": True},
        {"amsgrad": True}, {"betas": [0.5, 0.9], "eps": 0.0}, {"lr": 0.0}, {"lr": np.float64(0.2)},
    ]  # fmt: skip
    programs = []
    for seed, change in enumerate(changes):
        for optimizer, params in ((one, plain), (other, compiled)):
            optimizer.param_groups[0].update(change)
            step(optimizer, params, seed)
        programs.append(other._blocks[0].programs)
        for p, q in zip(plain, compiled, strict=True):
            np.testing.assert_allclose(p.value, q.value, rtol=1e-15, err_msg=str(change))
    assert programs[0] is programs[1] and programs[2] is programs[3] and programs[9] is programs[10]
    assert programs[6] is not programs[5]


def test_one_program_whatever_the_number_of_tensors() -> None:
    params = [cg.variable(np.ones(3), name=f"p{n}") for n in range(50)] + [cg.variable(np.ones((2, 2), np.float32))]
    optimizer = optim.RMSprop(params).compile()
    step(optimizer, params)
    assert [len(block.params) for block in optimizer._blocks] == [50, 1]
    assert [block.vector.dtype for block in optimizer._blocks] == [np.float64, np.float32]


def test_a_group_may_have_several_rules() -> None:
    class Mixed(optim.SGD):
        """Signs for vectors, gradients for the rest."""

        def rule_for(self, value: Any, group: Any) -> Any:
            return (optim.RULES["lion"], {"lr": group["lr"]}) if value.ndim == 1 else super().rule_for(value, group)

    plain, compiled = variables(), variables()
    optimizers = [Mixed(plain, lr=0.1, momentum=0.9), Mixed(compiled, lr=0.1, momentum=0.9).compile(exact=True)]
    for seed in range(3):
        for optimizer, params in zip(optimizers, (plain, compiled), strict=True):
            step(optimizer, params, seed)
    assert_same(values(plain), values(compiled))


def test_groups_can_be_added_and_state_loaded_while_compiled() -> None:
    w, b, c = variables()
    optimizer = optim.Adam([w, b], lr=0.1).compile(exact=True)
    step(optimizer, [w, b])
    saved = optimizer.state_dict()
    kept = values([w, b])
    step(optimizer, [w, b], 2)
    ends = values([w, b])
    for p, value in zip((w, b), kept, strict=True):
        p.value = value
    optimizer.load_state_dict(saved)
    step(optimizer, [w, b], 2)
    assert_same(values([w, b]), ends)
    optimizer.add_param_group({"params": [c], "lr": 0.01})
    step(optimizer, [w, b, c], 3)
    assert [optimizer.state[p]["step"] for p in (w, b, c)] == [3.0, 3.0, 1.0]


def test_compile_refuses_other_targets() -> None:
    with pytest.raises(cg.InputError, match="no target 'fortran'"):
        optim.SGD(variables()).compile("fortran")


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", FIRST_ORDER)
def test_a_gradient_that_is_not_finite_is_named_and_nothing_updated(kind: str, bad: float, compiled: bool) -> None:
    params = variables()
    optimizer = getattr(optim, kind)([("weight", params[0]), ("bias", params[1]), ("scale", params[2])], lr=0.1)
    if compiled:
        optimizer.compile()
    step(optimizer, params)
    before, state = values(params), optimizer.state_dict()

    def closure() -> None:
        give_gradients(params)
        params[1].grad[1] = bad

    with pytest.raises(cg.AnomalyError, match=r"gradient of bias \(float64 \(2,\), parameter 1 of group 0\) has 1 of 2 entries NaN or inf"):
        optimizer.step(closure)
    assert_same(values(params), before)
    np.testing.assert_equal(optimizer.state_dict(), state)


def test_large_gradients_are_finite() -> None:
    """Their dot product is not, which is what is looked at first."""
    for compiled in (False, True):
        params = [cg.variable(np.ones(3, np.float32)), cg.variable(np.ones(2, np.float32))]
        optimizer = optim.Lion(params, lr=0.5)
        if compiled:
            optimizer.compile()
        for p in params:
            p.grad = np.full(p.shape, 1e30, np.float32)
        optimizer.step()
        assert all(np.all(p.value == 0.5) for p in params)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_gradient_of_another_shape(compiled: bool) -> None:
    params = variables()
    optimizer = optim.SGD(params)
    if compiled:
        optimizer.compile()
        step(optimizer, params)
    before = values(params)
    give_gradients(params)
    params[0].grad = params[0].grad.T
    with pytest.raises(cg.ShapeError, match=r"gradient of w \(float64 \(3, 2\), parameter 0 of group 0\) has shape \(2, 3\)"):
        optimizer.step()
    assert_same(values(params), before)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_without_gradients_warns_once_and_does_nothing(compiled: bool) -> None:
    params = variables()
    before = values(params)
    optimizer = optim.SGD(params)
    if compiled:
        optimizer.compile()
    with pytest.warns(cg.ZeroGradientWarning, match=r"SGD.step\(\) found no gradient and did nothing: call backward\(\)") as found:
        optimizer.step()
    assert found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
    assert_same(values(params), before)


W = cg.variable(np.ones(2), name="w")
PARAMETERS: list[tuple[Callable[[], Any], str]] = [
    (list, "empty list of parameters"),
    (lambda: iter([]), "empty list of parameters"),
    (lambda: [{"params": []}], "a parameter group is empty"),
    (lambda: W, r"write \[w\]"),
    (lambda: "w", "takes a list of variables"),
    (lambda: 3, "takes a list of variables"),
    (lambda: [W, W], r"w \(float64 \(2,\), parameter 1 of group 0\) is there already, as w \(float64 \(2,\), parameter 0 of group 0\)"),
    (lambda: [{"params": [W]}, {"params": [W]}], "parameter 0 of group 1.* is there already"),
    (lambda: [np.ones(2)], "parameter 0 is ndarray.*write cg.variable"),
    (lambda: [1.0], "not a variable"),
    (lambda: [W, 2 * W], "parameter 1 is no leaf but the result of multiply"),
    (lambda: [cg.variable(1 + 2j)], "is complex128"),
    (lambda: cg.trace(lambda x: x, 1.0).inputs, "is abstract"),
    (lambda: [("w", W), cg.variable(1.0)], "either all"),
    (lambda: [{"params": {W}}], "in an order that stays, not set"),
    (lambda: [{"params": [W]}, W], "a dict with the key 'params'"),
    (lambda: [{"lr": 0.1}], "a dict with the key 'params'"),
    (lambda: [{"params": [W], "learning_rate": 0.1}], "no hyperparameter 'learning_rate'"),
    (lambda: [{"params": [W], "weight_deacy": 0.1}], "do you mean 'weight_decay'"),
    (lambda: [{"params": [W], "lr": -0.1}], "lr has to be a number of at least 0, not -0.1"),
]


@pytest.mark.parametrize(("make", "match"), PARAMETERS)
def test_parameters_that_are_refused(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(cg.InputError, match=f"SGD: .*{match}|SGD .*{match}"):
        optim.SGD(make())


def test_a_refused_group_is_not_added() -> None:
    w, b, c = variables()
    optimizer = optim.SGD([w, b])
    for group in ({"params": [c, w]}, {"params": [c], "lr": np.nan}, {"params": [c], "speed": 1}, [c]):
        with pytest.raises(cg.InputError):
            optimizer.add_param_group(group)  # type: ignore[arg-type]
    assert [group["params"] for group in optimizer.param_groups] == [[w, b]]


BAD: list[tuple[str, dict[str, Any]]] = [
    *[(kind, {"lr": bad}) for kind in FIRST_ORDER for bad in (-0.1, float("nan"), float("inf"), "fast", None, True)],
    *[(kind, {"weight_decay": -1e-3}) for kind in FIRST_ORDER if kind not in ("Rprop", "FTRL")],
    *[(kind, {"betas": bad}) for kind in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Lion", "LAMB")
      for bad in ((1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, -0.1), 0.9, (0.9,), (0.9, "x"), (0.9, float("nan")))],
    *[(kind, {"eps": -1e-8}) for kind in FIRST_ORDER if kind not in ("SGD", "Rprop", "Lion", "Adafactor", "FTRL", "Nesterov")],
    ("SGD", {"momentum": -0.1}), ("SGD", {"nesterov": True}), ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("SGD", {"nesterov": 1, "momentum": 0.9}), ("RMSprop", {"alpha": 1.0}), ("RMSprop", {"alpha": -0.1}), ("RMSprop", {"momentum": -1}),
    ("Adadelta", {"rho": 1.1}), ("Adagrad", {"lr_decay": -1}), ("Adagrad", {"initial_accumulator_value": -1}),
    ("Rprop", {"etas": (1.2, 0.5)}), ("Rprop", {"etas": (0.5, 1.0)}), ("Rprop", {"step_sizes": (1.0, 0.1)}),
    ("Rprop", {"step_sizes": (0, 1)}),
    ("NAdam", {"momentum_decay": -1}), ("Adam", {"amsgrad": "no"}), ("FTRL", {"lr": 0}), ("FTRL", {"beta": 0}), ("FTRL", {"l1": -1}),
    ("FTRL", {"l2": -1}), ("LARS", {"trust_coefficient": 0}), ("Adafactor", {"eps": (-1, 0.1)}), ("Adafactor", {"eps": (None, None)}),
    ("Adafactor", {"eps": 0.1}), ("Adafactor", {"d": 0.5}), ("Adafactor", {"beta2_decay": 0.1}), ("Muon", {"ns_steps": 100}),
    ("Muon", {"ns_coefficients": (1, 2)}), ("Muon", {"adjust_lr_fn": "mine"}), ("Muon", {"fallback": "lion"}),
    ("Muon", {"fallback_lr": -1}),
    ("Muon", {"momentum": 1.5}), ("Muon", {"fallback": None}), ("Nesterov", {"momentum": -1}), ("SGD", {"maximize": "yes"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "keywords"), BAD, ids=lambda part: str(part)[:50])
def test_hyperparameters_that_are_refused(kind: str, keywords: dict[str, Any]) -> None:
    with pytest.raises(cg.InputError, match=f"^{kind}: "):
        getattr(optim, kind)([W], **keywords)


@pytest.mark.parametrize("kind", FIRST_ORDER)
def test_unknown_keywords_are_refused(kind: str) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'learning_rate'"):
        getattr(optim, kind)([W], learning_rate=0.1)


def test_every_hyperparameter_has_a_range() -> None:
    """None is taken unseen, but for those that change nothing."""
    ignored = {"foreach", "fused", "capturable", "differentiable"}
    for kind in FIRST_ORDER:
        optimizer = getattr(optim, kind)([W])
        assert set(optimizer.defaults) - ignored <= set(optimizer.checks), kind
        assert set(optimizer.rule.hyperparameters) <= set(optimizer.defaults), kind
    assert all(not check.holds("x") for check in CHECKS.values())


# ------------------------------------------------------------------------------------------- state that is refused


def loaded_from(kind: str, params: list[Any], steps: int = 2, **keywords: Any) -> dict[str, Any]:
    optimizer = getattr(optim, kind)(params, **keywords)
    for seed in range(steps):
        step(optimizer, params, seed)
    return optimizer.state_dict()


def without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda saved: saved["state"][0].__delitem__(key)


def replaced(number: int, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda saved: saved["state"][number].__setitem__(key, value)


NUMBER = r"c \(float64 \(\), parameter 2 of group 0\)"
SPOILED: list[tuple[str, Callable[[dict[str, Any]], Any], type[Exception], str]] = [
    ("entry is missing", without("exp_avg"), cg.InputError, "another optimizer"),
    ("entry too many", replaced(1, "sum", np.ones(2)), cg.InputError, "another optimizer"),
    ("shape of the last one", replaced(2, "exp_avg", np.ones(3)), cg.ShapeError, NUMBER + r": exp_avg has shape \(3,\)"),
    ("array as a number", replaced(0, "step", np.ones(3)), cg.ShapeError, r"step has shape \(3,\), the parameter needs \(\)"),
    ("unknown parameter", lambda saved: saved["state"].__setitem__(7, {}), cg.InputError, "parameter 7, which is in no group"),
    ("groups", lambda saved: saved["param_groups"].append(saved["param_groups"][0]), cg.InputError, r"groups of \[3, 3\]"),
    ("parameters", lambda saved: saved["param_groups"][0]["params"].pop(), cg.InputError, r"groups of \[2\] parameters, this"),
    ("hyperparameter is missing", lambda saved: saved["param_groups"][0].pop("betas"), cg.InputError, "has no 'betas'"),
    ("hyperparameter too many", lambda saved: saved["param_groups"][0].update(rho=0.9), cg.InputError, "has 'rho'"),
    ("range", lambda saved: saved["param_groups"][0].update(lr=-1.0), cg.InputError, "lr has to be"),
    ("no dict", lambda saved: saved.pop("state"), cg.InputError, "a dict of 'state' and 'param_groups'"),
]


@pytest.mark.parametrize(("what", "spoil", "error", "match"), SPOILED, ids=[row[0] for row in SPOILED])
@pytest.mark.parametrize("compiled", [False, True])
def test_state_that_does_not_fit_is_refused_whole(what: str, spoil: Any, error: type[Exception], match: str, compiled: bool) -> None:
    params = variables()
    optimizer = optim.Adam(params, lr=0.3)
    if compiled:
        optimizer.compile(exact=True)
    step(optimizer, params)
    saved = loaded_from("Adam", variables(), lr=0.1)
    spoil(saved)
    before, groups = optimizer.state_dict(), [dict(group) for group in optimizer.param_groups]
    with pytest.raises(error, match=match):
        optimizer.load_state_dict(saved)
    np.testing.assert_equal(optimizer.state_dict(), before)
    assert [dict(group) for group in optimizer.param_groups] == groups


@pytest.mark.parametrize("kind", FIRST_ORDER)
def test_no_optimizer_takes_the_state_of_another(kind: str) -> None:
    """But for Adam, of which AdamW's is a setting."""
    for other in FIRST_ORDER:
        keywords = {"momentum": 0.9} if other in ("SGD", "RMSprop") else {}
        saved = loaded_from(other, variables(), **keywords)
        optimizer = getattr(optim, kind)(variables(), **({"momentum": 0.9} if kind in ("SGD", "RMSprop") else {}))
        if kind == other or (kind, other) == ("Adam", "AdamW"):
            optimizer.load_state_dict(saved)
            continue
        with pytest.raises(cg.InputError):
            optimizer.load_state_dict(saved)
        assert not optimizer.state


def test_saved_state_is_a_copy() -> None:
    params = variables()
    optimizer = optim.Adam(params).compile()
    step(optimizer, params)
    saved = optimizer.state_dict()
    kept = saved["state"][0]["exp_avg"].copy()
    step(optimizer, params, 2)
    np.testing.assert_array_equal(saved["state"][0]["exp_avg"], kept)
    assert list(saved["state"][0]) == ["step", "exp_avg", "exp_avg_sq"] and saved["state"][0]["step"] == 1.0
    assert saved["param_groups"][0]["params"] == [0, 1, 2]


def test_names_are_saved_as_in_pytorch() -> None:
    w, b, _ = variables()
    optimizer = optim.SGD([("layer.w", w), ("layer.b", b)])
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["layer.w", "layer.b"]

"""`functional_call`: a model as a function, which leaves the model as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn

X = np.random.default_rng(0).normal(size=(6, 3))


def model_of() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(3, 4, dtype=np.float64, generator=0), nn.BatchNorm1d(4, dtype=np.float64), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4, 2, dtype=np.float64, generator=1),
    )  # fmt: skip


def values_of(model: nn.Module) -> dict[str, Any]:
    return {name: parameter.value for name, parameter in model.named_parameters()} | dict(model.named_buffers())


class Given:
    """A source that hands out what it was given."""

    def __init__(self, drawn: Any) -> None:
        self.drawn = drawn

    def uniform(self, shape: tuple[int, ...], dtype: Any) -> Any:
        assert (self.drawn.shape, self.drawn.dtype) == (shape, dtype)
        return self.drawn

    normal = uniform


DRAWN = np.random.default_rng(1).random((6, 4))


def eager() -> tuple[float, dict[str, Any], dict[str, Any]]:
    """Loss, gradients and buffers of a step on the model itself."""
    model = model_of()
    with nn.using(Given(DRAWN)):
        loss = np.sum(model(X) ** 2)
    loss.backward()
    return loss.item(), {name: parameter.grad for name, parameter in model.named_parameters()}, dict(model.named_buffers())


def step(parameters: Any, buffers: Any, drawn: Any, x: Any, model: nn.Module) -> Any:
    def loss(parameters: Any) -> Any:
        with nn.using(Given(drawn)):
            output, updated = nn.functional_call(model, {**parameters, **buffers}, x)
        return np.sum(output**2), updated

    return cg.value_and_grad(loss, has_aux=True)(parameters)


@pytest.mark.parametrize("target", [None, "numpy", "numba"])
def test_a_step_as_a_function_computes_what_the_model_does(target: str | None) -> None:
    if target == "numba":
        pytest.importorskip("numba")
    model = model_of()
    before = values_of(model)
    parameters = {name: parameter.value for name, parameter in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def run(parameters: Any, buffers: Any, drawn: Any, x: Any) -> Any:
        return step(parameters, buffers, drawn, x, model)

    function = run if target is None else cg.compile(run, target=target)
    (loss, updated), gradients = function(parameters, buffers, DRAWN, X)
    expected_loss, expected_gradients, expected_buffers = eager()
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-13)
    assert gradients.keys() == expected_gradients.keys()
    assert updated.keys() == expected_buffers.keys()
    for found, expected in ((gradients, expected_gradients), (updated, expected_buffers)):
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-13, err_msg=name)
    assert not isinstance(updated["1.running_mean"], cg.Node)
    assert updated["1.num_batches_tracked"] == 1
    after = values_of(model)
    assert all(after[name] is before[name] for name in before)


def test_values_may_be_arrays_or_nodes_and_what_is_left_out_is_the_models_own() -> None:
    model = nn.Linear(3, 2, dtype=np.float64)
    zeros = nn.functional_call(model, {"weight": np.zeros((2, 3)), "bias": [1.0, 2.0]}, X)[0]
    assert type(zeros) is np.ndarray
    np.testing.assert_array_equal(zeros, np.broadcast_to([1.0, 2.0], (6, 2)))
    node = cg.variable(np.zeros((2, 3)))
    output, updated = nn.functional_call(model, {"weight": node}, X)
    np.testing.assert_array_equal(output.value, np.broadcast_to(model.bias.value, (6, 2)))
    np.sum(output).backward()
    assert node.grad is not None
    assert model.weight.grad is None
    assert model.bias.grad is not None
    assert updated == {}


def test_the_parameters_inside_are_the_values() -> None:
    class Penalised(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(2, 1, bias=False, dtype=np.float64)

        def forward(self) -> Any:
            return sum(np.sum(parameter**2) for parameter in self.parameters())

    assert nn.functional_call(Penalised(), {"layer.weight": np.array([[3.0, 4.0]])})[0] == 25.0


def test_evaluation_updates_nothing() -> None:
    assert nn.functional_call(model_of().eval(), {}, X)[1] == {}


def test_a_shared_parameter_is_replaced_wherever_it_stands_by_any_of_its_names() -> None:
    layer = nn.Linear(1, 1, dtype=np.float64)
    twice = nn.Sequential(layer, layer)
    other = nn.Linear(1, 1, bias=False, dtype=np.float64)
    other.weight = layer.weight
    model = nn.Sequential(twice, other)
    for name in ("0.0.weight", "0.1.weight", "1.weight"):
        output, _ = nn.functional_call(model, {name: np.array([[2.0]]), "0.0.bias": np.array([1.0])}, np.array([[1.0]]))
        np.testing.assert_array_equal(output, [[14.0]])
    with pytest.raises(cg.InputError, match=r"1\.weight is 0\.0\.weight by another name, and both are given"):
        nn.functional_call(model, {"0.0.weight": np.array([[2.0]]), "1.weight": np.array([[3.0]])}, np.array([[1.0]]))


def test_the_model_is_restored_after_an_error() -> None:
    class Fails(nn.Module):
        def forward(self, x: Any) -> Any:
            raise RuntimeError("half way")

    model = nn.Sequential(*model_of(), Fails())
    before = values_of(model)
    with pytest.raises(RuntimeError, match="half way"):
        nn.functional_call(model, {"0.bias": np.ones(4)}, X)
    after = values_of(model)
    assert before.keys() == after.keys()
    assert all(after[name] is before[name] for name in before)
    with pytest.raises(cg.InputError, match="would become a node"):  # and buffers are no longer lent
        cg.trace(lambda x: setattr(model[1], "running_mean", x), np.zeros(4))


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"0.wieght": np.zeros(1)}, cg.InputError, r"Sequential has no parameter or buffer '0\.wieght'; do you mean '0\.weight'\?"),
        ({"zzz": np.zeros(1)}, cg.InputError, r"Sequential has no parameter or buffer 'zzz'; it has 0\.weight, 0\.bias, 1\.weight"),
        ({"0.weight": np.zeros((3, 4))}, cg.ShapeError, r"0\.weight has shape \(4, 3\), \(3, 4\) is given"),
    ],
)
def test_values_that_do_not_fit_are_refused_before_anything_runs(values: Any, kind: type[Exception], message: str) -> None:
    class Never(nn.Module):
        def forward(self, x: Any) -> Any:
            raise AssertionError("ran")

    model = nn.Sequential(*model_of(), Never())
    with pytest.raises(kind, match=rf"functional_call: {message}.*test_functional_call\.py"):
        nn.functional_call(model, values, X)


def test_derivatives_of_any_order_go_through() -> None:
    model = nn.Linear(2, 1, bias=False, dtype=np.float64)

    def loss(w: Any) -> Any:
        return np.sum(nn.functional_call(model, {"weight": w}, np.array([[1.0, 2.0]]))[0] ** 3)

    w = np.array([[1.0, 1.0]])
    np.testing.assert_allclose(cg.grad(loss)(w), [[27.0, 54.0]])
    np.testing.assert_allclose(cg.hessian(loss)(w)[0, :, 0], 6 * 3 * np.array([[1.0, 2.0], [2.0, 4.0]]))
    np.testing.assert_allclose(cg.jvp(loss, (w,), (np.array([[1.0, 0.0]]),))[1], 27.0)

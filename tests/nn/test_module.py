"""Modules: what is registered, what it is called, how it is copied, saved, converted and shown."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn


class Block(nn.Module):
    """A module with a part of each kind."""

    def __init__(self) -> None:
        self.scale = cg.variable(np.ones(3, np.float32))
        self.body = nn.Sequential(nn.Linear(3, 4, generator=0), nn.ReLU(), nn.Linear(4, 3, generator=1))
        self.register_buffer("count", np.zeros(2, np.float32))
        self.register_buffer("scratch", np.zeros(2), persistent=False)
        self.rate = 0.5

    def forward(self, x: Any) -> Any:
        return self.body(x * self.scale)


NAMES = ["scale", "body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"]
X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_parts_are_found_by_their_dotted_names() -> None:
    block = Block()
    assert [name for name, _ in block.named_parameters()] == NAMES
    assert list(block.parameters()) == [parameter for _, parameter in block.named_parameters()]
    assert [name for name, _ in block.named_buffers()] == ["count", "scratch"]
    assert [name for name, _ in block.named_modules()] == ["", "body", "body.0", "body.1", "body.2"]
    assert [name for name, _ in block.named_children()] == ["body"]
    assert list(block.children()) == [block.body]
    assert [name for name, _ in block.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert len(list(block.buffers())) == 2


def test_parameters_are_called_after_their_place_in_graphs_and_programs() -> None:
    block = Block()
    assert [parameter.name for parameter in block.parameters()] == NAMES
    graph = cg.graph_of(block(X))
    assert set(NAMES) == {node.name for node in graph.inputs}
    assert "body_0_weight" in graph.to_source()
    wrapped = nn.Sequential(nn.Identity(), block)
    assert [parameter.name for parameter in wrapped.parameters()] == [f"1.{name}" for name in NAMES]
    assert block.body[0].label() == "Linear 1.body.0 (in_features=3, out_features=4, bias=True)"


def test_a_name_that_the_user_gave_stays() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            self.w = cg.variable(1.0, name="slope")

    model = nn.Sequential(Named())
    assert next(model.parameters()).name == "slope"
    assert [name for name, _ in model.named_parameters()] == ["0.w"]


def test_a_subclass_need_not_call_the_constructor_of_module_but_may() -> None:
    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = cg.variable(1.0)

    assert len(list(Calls().parameters())) == 1


def test_what_takes_the_place_of_a_part_is_found_in_its_stead() -> None:
    block = Block()
    first = block.scale
    block.scale = cg.variable(np.zeros(3))
    assert block.scale is not first
    assert [name for name, _ in block.named_parameters()] == NAMES
    block.body = nn.Linear(3, 3)
    assert [name for name, _ in block.named_parameters()] == ["scale", "body.weight", "body.bias"]
    block.body.bias = None
    assert [name for name, _ in block.named_parameters()] == ["scale", "body.weight"]
    del block.scale
    assert [name for name, _ in block.named_parameters()] == ["body.weight"]
    block.body = None
    assert list(block.modules()) == [block]
    block.part = cg.variable(1.0)
    block.part = nn.ReLU()
    assert list(block.parameters()) == []
    assert [name for name, _ in block.named_modules()] == ["", "part"]
    block.part = cg.variable(1.0)
    assert [name for name, _ in block.named_parameters()] == ["part"]
    assert list(block.modules()) == [block]


def test_a_buffer_is_an_array_of_its_own() -> None:
    block = Block()
    given = np.zeros(2)
    block.register_buffer("mean", given)
    block.register_buffer("later", None)
    given[:] = 7
    assert not block.mean.any()
    block.mean = cg.variable(given) * 2
    assert type(block.mean) is np.ndarray
    assert block.mean[0] == 14
    assert [name for name, _ in block.named_buffers()] == ["count", "scratch", "mean"]
    assert list(block.state_dict()) == [*NAMES, "count", "mean"]
    block.later = 3.0
    assert [name for name, _ in block.named_buffers()] == ["count", "scratch", "mean", "later"]
    del block.mean
    assert [name for name, _ in block.named_buffers()] == ["count", "scratch", "later"]


def test_a_module_in_two_models_is_called_after_its_place_in_the_first() -> None:
    layer = nn.Linear(2, 2)
    nn.Sequential(nn.Identity(), layer)
    nn.Sequential(layer)
    assert layer.label().startswith("Linear 1 ")
    assert layer.weight.name == "1.weight"
    nn.Sequential(nn.Sequential(layer))
    assert layer.label().startswith("Linear 1 ")


def test_shared_parameters_count_once_and_stay_shared() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            self.encoder = nn.Linear(3, 3)
            self.decoder = nn.Linear(3, 3)
            self.decoder.weight = self.encoder.weight

    tied = Tied()
    assert [name for name, _ in tied.named_parameters()] == ["encoder.weight", "encoder.bias", "decoder.bias"]
    assert tied.encoder.weight.name == "encoder.weight"
    clone = copy.deepcopy(tied)
    assert clone.decoder.weight is clone.encoder.weight
    assert tied.summary().parameters == 9 + 3 + 3
    layer = nn.Linear(2, 2)
    twice = nn.Sequential(layer, nn.ReLU(), layer)
    assert [name for name, _ in twice.named_modules()] == ["", "0", "1"]
    assert [name for name, _ in twice.named_parameters()] == ["0.weight", "0.bias"]
    np.testing.assert_array_equal(twice(np.eye(2, dtype=np.float32)).value, layer(cg.relu(layer(np.eye(2, dtype=np.float32)))).value)


def test_a_deep_copy_has_parameters_of_its_own() -> None:
    block = Block()
    np.sum(block(X)).backward()
    clone = copy.deepcopy(block)
    for (name, theirs), (other, ours) in zip(clone.named_parameters(), block.named_parameters(), strict=True):
        assert name == other
        assert theirs is not ours
        assert theirs.name == ours.name
        assert theirs.id > ours.id
        assert theirs.grad is None
        np.testing.assert_array_equal(theirs.value, ours.value)
    before = block(X).value
    np.testing.assert_array_equal(clone(X).value, before)
    clone.scale.value[:] = 7
    clone.count = clone.count + 1
    np.testing.assert_array_equal(block(X).value, before)
    assert not block.count.any()
    assert copy.copy(block).scale is block.scale


def test_train_and_eval_reach_every_module() -> None:
    block = Block()
    assert all(module.training for module in block.modules())
    assert block.eval() is block
    assert not any(module.training for module in block.modules())
    assert all(module.training for module in block.train().modules())


def test_zero_grad_and_apply() -> None:
    block = Block()
    np.sum(block(X)).backward()
    assert all(parameter.grad is not None for parameter in block.parameters())
    block.zero_grad()
    assert all(parameter.grad is None for parameter in block.parameters())
    seen: list[str] = []
    assert block.apply(lambda module: seen.append(type(module).__name__)) is block
    assert seen == ["Linear", "ReLU", "Linear", "Sequential", "Block"]


def test_conversion_keeps_the_parameters_and_leaves_integers() -> None:
    model = nn.Sequential(nn.Linear(3, 3, generator=0), nn.BatchNorm1d(3))
    parameters = list(model.parameters())
    np.sum(model(X)).backward()
    assert model.double() is model
    assert list(model.parameters()) == parameters
    assert {parameter.dtype for parameter in parameters} == {parameter.grad.dtype for parameter in parameters} == {np.dtype(np.float64)}
    assert [buffer.dtype for buffer in model.buffers()] == [np.float64, np.float64, np.int64]
    assert model(X.astype(np.float64)).dtype == np.float64
    assert model.float()[0].weight.dtype == np.float32
    with pytest.raises(cg.DtypeError, match=r"Sequential\.to\(int64\): parameters are floating-point"):
        model.to(int)


# ------------------------------------------------------------------------------------------------ dtypes


def test_the_default_is_single_precision_through_and_through() -> None:
    model = nn.MLP(3, [4], 2, dropout=0.5)
    loss = np.mean(model(X) ** 2)
    loss.backward()
    assert loss.dtype == np.float32
    assert {parameter.grad.dtype for parameter in model.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("wrap", [np.asarray, cg.variable])
def test_another_dtype_than_the_models_is_refused_by_name(wrap: Callable[[Any], Any]) -> None:
    with pytest.raises(cg.DtypeError, match=r"Linear body\.0 .* is of float32 and its input of float64: write X\.astype\(np\.float32\)"):
        Block().body(wrap(X.astype(np.float64)))
    with pytest.raises(cg.DtypeError, match=r"is of float64 and its input of float32.*dtype=np\.float32.*test_module\.py"):
        nn.Linear(3, 2, dtype=np.float64)(wrap(X))


def test_integers_are_refused_where_they_would_be_multiplied() -> None:
    with pytest.raises(cg.DtypeError, match=r"its input of int64: write X\.astype\(np\.float32\)"):
        nn.Linear(3, 2)(np.ones((5, 3), int))


def test_numbers_and_integers_pass_a_module_of_ones_own() -> None:
    class Power(nn.Module):
        def __init__(self) -> None:
            self.w = cg.variable(np.float32(2.0))

        def forward(self, x: Any, times: Any) -> Any:
            return self.w * x * times

    assert Power()(1.5, 2).dtype == np.float32
    assert Power()(np.float32(1.5), np.arange(3)).shape == (3,)


def test_parameters_of_two_dtypes_take_inputs_of_both() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            self.low, self.high = cg.variable(np.float32(1.0)), cg.variable(np.float64(2.0))

        def forward(self, x: Any) -> Any:
            return x * (self.low if x.dtype == np.float32 else self.high)

    assert Mixed()(np.float64(3.0)).item() == 6.0
    assert Mixed()(np.float32(3.0)).item() == 3.0
    with pytest.raises(cg.DtypeError, match="Mixed is of float32 and its input of float16"):
        Mixed()(np.float16(3.0))


def test_complex_parameters_take_real_inputs() -> None:
    class Rotation(nn.Module):
        def __init__(self) -> None:
            self.w = cg.variable(np.array([1j], np.complex64))

        def forward(self, x: Any) -> Any:
            return self.w * x

    assert Rotation()(X).dtype == np.complex64


# ------------------------------------------------------------------------------------------------ what is refused


def refusals() -> list[tuple[str, Callable[[Block], Any], str]]:
    node, parameter = cg.variable(np.ones(3)) * 2, r"Block\.scale is a parameter and cannot become"
    return [
        ("array", lambda block: setattr(block, "scale", np.zeros(3)), rf"{parameter} ndarray: module\.scale\.value = array gives"),
        ("computed", lambda block: setattr(block, "scale", node), rf"{parameter} a computed node: .*cg\.variable\(array\)"),
        ("number", lambda block: setattr(block, "body", 3), r"Block\.body is a module and cannot become int"),
        ("list", lambda block: setattr(block, "layers", [nn.ReLU()]), r"Block\.layers: what is inside a list is not .*nn\.ModuleList"),
        ("dict", lambda block: setattr(block, "parts", {"a": cg.variable(1.0)}), r"Block\.parts: what is inside a dict .*setattr"),
        ("itself", lambda block: setattr(block, "outer", nn.Sequential(block)), r"Block 0\.outer: a module cannot be inside itself"),
        ("dot", lambda block: setattr(block, "a.b", nn.ReLU()), r"'a\.b' cannot be the name of a part"),
        ("method", lambda block: setattr(block, "train", nn.ReLU()), r"'train' is a method of every module"),
        ("buffer", lambda block: block.register_buffer("scale", np.zeros(3)), r"Block\.scale is there already"),
        ("state", lambda block: block.load_state_dict([1]), r"load_state_dict takes a dict of names and arrays.*not list"),
    ]  # fmt: skip


@pytest.mark.parametrize(("act", "message"), [case[1:] for case in refusals()], ids=[case[0] for case in refusals()])
def test_what_would_be_lost_in_silence_is_refused_and_changes_nothing(act: Callable[[Block], Any], message: str) -> None:
    block = Block()
    scale, body = block.scale, block.body
    with pytest.raises(cg.InputError, match=rf"{message}.*test_module\.py") as raised:
        act(block)
    assert isinstance(raised.value, ValueError)
    assert block.scale is scale
    assert block.body is body
    assert [name for name, _ in block.named_parameters()] == NAMES


def test_a_computed_node_may_be_kept_under_a_name_of_its_own() -> None:
    block = Block()
    block.hidden = block(X)
    assert [name for name, _ in block.named_parameters()] == NAMES


def test_what_belongs_to_a_trace_does_not_stay_in_a_model() -> None:
    block = Block()

    def assign_parameter(w: Any) -> Any:
        block.scale = w
        return block(X)

    def assign_buffer(w: Any) -> Any:
        block.count = w
        return w

    with pytest.raises(cg.InputError, match=r"Block\.scale: an input of a graph that is being traced cannot become a parameter"):
        cg.trace(assign_parameter, np.ones(3, np.float32))
    with pytest.raises(cg.InputError, match=r"Block\.count would become a node of a graph.*functional_call.*eval\(\)"):
        cg.trace(assign_buffer, np.ones(2, np.float32))
    assert block.scale.value is not None
    assert not block.count.any()


def test_a_module_without_forward_says_so() -> None:
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty has no forward"):
        Empty()(1.0)


# ------------------------------------------------------------------------------------------------ saving and loading


def test_a_state_is_a_copy_and_comes_back() -> None:
    block, other = Block(), Block()
    state = block.state_dict()
    assert list(state) == [*NAMES, "count"]
    assert all(type(value) is np.ndarray for value in state.values())
    for value in state.values():
        value += 1
    assert not np.array_equal(block.scale.value, state["scale"])
    parameters = list(other.parameters())
    assert other.load_state_dict(state) == ([], [])
    assert list(other.parameters()) == parameters
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
        assert value.dtype == np.float32
    state["scale"][:] = 9
    assert other.scale.value[0] == 2
    other.load_state_dict({name: value.astype(np.float64) for name, value in state.items()})
    assert other.scale.dtype == np.float32


def test_a_state_that_does_not_fit_is_refused_whole() -> None:
    block = Block()
    before = block.state_dict()
    state = {name: value + 1 for name, value in before.items() if name != "body.0.bias"}
    state |= {"scale": np.zeros(4), "extra": np.zeros(1), "body.2.bias": np.array(["a", "b", "c"])}
    with pytest.raises(cg.InputError) as raised:
        block.load_state_dict(state)
    faults = ("changed nothing", "missing: body.0.bias", "unexpected: extra", "scale has shape (3,), the state has (4,)", "body.2.bias is")
    assert all(fault in str(raised.value) for fault in faults)
    for name, value in block.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert block.load_state_dict({"extra": 1, "scale": np.zeros(3)}, strict=False) == ([*NAMES[1:], "count"], ["extra"])
    assert not block.scale.value.any()
    with pytest.raises(cg.InputError, match=r"scale has shape"):
        block.load_state_dict({"scale": np.zeros(4)}, strict=False)


def test_a_state_may_name_what_is_shared_by_any_of_its_names() -> None:
    layer = nn.Linear(1, 1)
    twice = nn.Sequential(layer, layer)
    assert list(twice.state_dict()) == ["0.weight", "0.bias"]
    assert twice.load_state_dict({"0.weight": [[2.0]], "1.bias": [3.0]}) == ([], [])
    assert layer.weight.item() == 2.0
    assert layer.bias.item() == 3.0


def test_a_number_as_a_parameter_comes_back_as_a_number() -> None:
    class Number(nn.Module):
        def __init__(self) -> None:
            self.w = cg.variable(1.0)

        def forward(self, x: Any) -> Any:
            return self.w * x

    model = Number()
    model.load_state_dict({"w": 2.0})
    assert type(model.w.value) is np.float64
    assert model(3.0).item() == 6.0


# ------------------------------------------------------------------------------------------------ containers, linear


def test_linear_is_an_affine_map_of_the_last_axis() -> None:
    layer = nn.Linear(3, 2, dtype=np.float64)
    x = np.random.default_rng(1).normal(size=(4, 5, 3))
    np.testing.assert_allclose(layer(x).value, x @ layer.weight.value.T + layer.bias.value, rtol=1e-15)
    np.testing.assert_array_equal(nn.functional_call(layer, {"bias": np.zeros(2)}, x[0, 0])[0].value, (x[0, 0] @ layer.weight.T).value)
    assert nn.Linear(3, 2, bias=False).bias is None
    np.testing.assert_array_equal(nn.Identity(3, anything=True)(x), x)


def test_linear_starts_uniform_within_one_over_the_root_of_its_inputs() -> None:
    layer = nn.Linear(400, 300, generator=0)
    for values in (layer.weight.value, layer.bias.value):
        assert abs(values).max() < 1 / 20
        assert abs(values).max() > 0.98 / 20
        assert abs(values.mean()) < 4 / 20 / np.sqrt(3 * values.size)
    double = nn.Linear(400, 300, dtype=np.float64, generator=0)
    np.testing.assert_array_equal(double.weight.value.astype(np.float32), layer.weight.value)


def test_the_gradient_of_a_model_is_right() -> None:
    model = nn.MLP(3, [4, 4], 2, activation=Tanh, dtype=np.float64, generator=0)
    values = {name: parameter.value for name, parameter in model.named_parameters()}
    x = np.random.default_rng(2).normal(size=(5, 3))
    assert cg.check(lambda values, x: np.sum(nn.functional_call(model, values, x)[0] ** 2), values, x).ok


class Tanh(nn.Module):
    def forward(self, x: Any) -> Any:
        return np.tanh(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(0, 3), r"Linear: in_features is an integer of at least 1, not 0"),
        (lambda: nn.Linear(3, 2.5), r"Linear: out_features is an integer of at least 1, not 2\.5"),
        (lambda: nn.Linear(3, 2, generator="a"), r"generator: a np\.random\.Generator, a seed or None, not 'a'"),
        (lambda: nn.Sequential([nn.ReLU()]), r"Sequential takes the modules one by one: nn\.Sequential\(\*layers\)"),
        (lambda: nn.Sequential(np.tanh), r"Sequential is made of modules, not of <ufunc 'tanh'>; make a Module whose forward calls it"),
        (lambda: nn.ModuleList([3]), r"ModuleList is made of modules, not of 3 "),
        (lambda: nn.Sequential({"a": 3}), r"Sequential: 'a' is 3, no module"),
    ],
)
def test_what_no_layer_can_be_made_of_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(cg.InputError, match=rf"{message}.*test_module\.py"):
        make()


@pytest.mark.parametrize("x", [np.ones((5, 4), np.float32), np.float32(1.0), np.ones((3, 5), np.float32)])
def test_an_input_of_another_width_is_refused_with_the_name_of_the_layer(x: Any) -> None:
    with pytest.raises(cg.ShapeError, match=r"Linear body\.0 \(in_features=3.*the input has shape .* has to have 3 \(test_module\.py"):
        Block().body(x)


def test_containers_are_lists_of_modules() -> None:
    layers = [nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)]
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert list(model) == layers
    assert model[-1] is layers[2]
    part = model[:2]
    assert type(part) is nn.Sequential
    assert list(part) == layers[:2]
    assert model.append(nn.ReLU())[3].label() == "ReLU 3"
    with pytest.raises(IndexError):
        model[9]
    named = nn.Sequential({"first": layers[0], "act": layers[1]})
    assert named.first is layers[0]
    assert named(np.ones((1, 2), np.float32)).shape == (1, 2)
    several = nn.ModuleList([nn.Linear(2, 2)])
    assert [name for name, _ in several.named_parameters()] == ["0.weight", "0.bias"]
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        several(1.0)
    with pytest.raises(cg.InputError, match=r"MLP: hidden"):
        nn.MLP(2, "wide", 3)


def test_a_seed_makes_the_layers_of_a_perceptron_different() -> None:
    model = nn.MLP(3, [3, 3], 3, generator=0, dropout=0.1)
    assert not np.array_equal(model[0].weight.value, model[3].weight.value)
    assert [type(layer).__name__ for layer in model] == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear"]
    np.testing.assert_array_equal(model[0].weight.value, nn.MLP(3, [3, 3], 3, generator=0)[0].weight.value)
    assert len(nn.MLP(3, 5, 1)) == 3


# ------------------------------------------------------------------------------------------------ how it shows itself


def test_repr_is_nested_and_shows_what_nobody_described() -> None:
    assert repr(Block()) == (
        "Block(\n  (scale): (3,) float32\n  (body): Sequential(\n    (0): Linear(in_features=3, out_features=4, bias=True)\n"
        "    (1): ReLU()\n    (2): Linear(in_features=4, out_features=3, bias=True)\n  )\n)"
    )


def test_a_traced_model_has_the_scopes_of_its_modules() -> None:
    graph = cg.trace(nn.Sequential(Block()), X)
    scopes = list(dict.fromkeys(node.scope for node in graph.nodes if node.primitive is not None))
    assert scopes == ["0", "0/body/0", "0/body/1", "0/body/2"]
    assert {node.scope for node in cg.graph_of(Block()(X)).nodes} == {""}

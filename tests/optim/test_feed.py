"""What `fit` says of data, losses and augmentations that do not fit, and what it takes as it is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn
from optim.evaluation import accuracy

DRAW = np.random.default_rng(5)
X = DRAW.normal(size=(20, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def trained(data=(X, Y), loss=nn.cross_entropy, model=None, **options):
    model = nn.Linear(3, 2, generator=0) if model is None else model
    return optim.fit(model, data, loss=loss, optimizer=optim.SGD(model.parameters(), lr=0.1), epochs=1, batch_size=10, **options)


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (([[1.0, 2.0], [3.0]], [0, 1]), cg.ShapeError, "X of data has rows of different lengths"),
        (((X, X), Y), cg.ShapeError, "for a model of several inputs write a loop of optim.train_step"),
        ((X.astype(complex), Y), cg.DtypeError, "complex128"),
        ((X.astype(np.float64) * 1e300, Y), cg.ValueRangeError, "too large for the model's float32"),
    ],
)
def test_data_that_do_not_fit(data, error, said):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=said):
            trained(data)


@pytest.mark.parametrize("loss", [lambda output, y: (nn.cross_entropy(output, y), 1), lambda output, y: None])
def test_a_loss_is_one_number(loss):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(cg.DtypeError, match=r"the loss of a batch is one number, and this one is a (tuple|NoneType)"):
            trained(loss=loss)


def test_a_model_may_return_a_dict_whose_first_entry_is_its_prediction():
    class Named(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(3, 2, generator=0)

        def forward(self, x):
            return {"logits": self.inner(x), "input": x}

    found = trained(model=Named(), loss=lambda output, y: nn.cross_entropy(output["logits"], y), metrics="accuracy", validation=0.2)
    expected = trained(metrics="accuracy", validation=0.2)
    assert {**found.last, "seconds": 0} == {**expected.last, "seconds": 0}


def test_an_augmentation_may_make_float64():
    found = trained(augment=lambda X, generator: X + 0.1 * generator.normal(size=X.shape))
    assert found.steps["loss"].shape == (2,)


def test_one_callback_and_batches_as_lists():
    seen = []
    trained(lambda: iter([[X[:10], Y[:10]], [X[10:], Y[10:]]]), callbacks=lambda run: seen.append(run.epoch))
    assert seen == [1]


def test_labels_that_are_ignored_do_not_count_in_the_accuracy() -> None:
    output = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [0.0, 1.0]])
    assert accuracy(output, np.array([0, -100, 1, 1])) == 2 / 3
    assert np.isnan(accuracy(output, np.full(4, -100)))


@pytest.mark.parametrize(
    ("output", "target"), [((4, 3), (4, 1)), ((4, 3), (2,)), ((4, 5, 3), (4, 5)), ((4,), (5,)), ((4, 1), (4, 3)), ((4, 3), (4, 2))]
)
def test_an_accuracy_of_other_shapes_is_refused(output, target):
    with pytest.raises(cg.ShapeError, match="accuracy: outputs of shape"):
        accuracy(np.zeros(output), np.zeros(target, int))


def test_early_stopping_says_that_a_metric_was_never_a_number():
    def nothing(output, target):
        return float("nan")

    stopping = optim.EarlyStopping(1, monitor="nothing")
    assert "nothing was never finite" in trained(metrics=nothing, early_stopping=stopping).stopped


def test_a_monitor_that_there_is_not_is_said_before_anything_changes():
    model = nn.Linear(3, 2, generator=0)
    before = model.state_dict()
    stopping = optim.EarlyStopping(2, monitor="val_acc")
    with pytest.raises(cg.InputError, match="monitors 'val_acc', but an epoch has loss, val_loss, val_accuracy"):
        trained(model=model, metrics="accuracy", validation=0.5, early_stopping=stopping)
    np.testing.assert_array_equal(model.state_dict()["weight"], before["weight"])


def test_a_callback_that_evaluates_does_not_end_the_training_mode():
    model = nn.Sequential(nn.Linear(3, 4, generator=0), nn.BatchNorm1d(4), nn.Linear(4, 2, generator=1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    calls = [lambda run: run.model.eval() and None]
    optim.fit(model, (X, Y), loss=nn.cross_entropy, optimizer=optimizer, epochs=3, batch_size=10, callbacks=calls)
    assert model[1].num_batches_tracked == 6


class Broken:
    def __init__(self, answer):
        self.answer = answer

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return self.answer(index)


@pytest.mark.parametrize("answer", [lambda index: X[int(index)], lambda index: {"x": X[index]}, lambda index: (X[index], 1)])
def test_a_source_gives_rows(answer):
    with pytest.raises(cg.InputError, match=r"Broken\[an array of numbers\] has to give"):
        trained(Broken(answer))


def test_a_search_for_the_highest_takes_no_history():
    with pytest.raises(cg.InputError, match="a History counts by its loss"):
        optim.random_search(lambda lr: trained(), {"lr": [0.1]}, trials=1, mode="max")


def test_a_state_too_large_for_the_dtype_is_refused():
    model = nn.Linear(1, 1, generator=0)
    before = model.state_dict()
    with pytest.raises(cg.InputError, match=r"changed nothing. weight is float32 and cannot hold 1e\+300"):
        model.load_state_dict({"weight": np.array([[1e300]]), "bias": np.array([1.0])})
    assert before["bias"] == model.state_dict()["bias"]
    model.load_state_dict({"weight": np.array([[np.inf]]), "bias": np.array([np.nan])})

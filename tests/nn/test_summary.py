"""The table of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg
import optim
from compgraph import nn


class Classifier(nn.Module):
    def __init__(self) -> None:
        self.scale = cg.variable(np.ones(1, np.float32))
        self.body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.head = nn.Linear(32, 10)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        hidden = self.body(x * self.scale)
        return {"logits": self.head(hidden), "again": self.head(hidden)}


TABLE = """\
Classifier
layer            output shape        parameters     bytes
Classifier       (8, 10), (8, 10)             1       4 B
body Sequential  (8, 32)                      0       0 B
  0 Linear       (8, 32)                  2,080   8,320 B
  1 BatchNorm1d  (8, 32)                     64     520 B
  2 ReLU         (8, 32)                      0       0 B
head Linear      (8, 10) in 2 calls         330   1,320 B
unused Linear    -                            6      24 B
all              (8, 10), (8, 10)         2,481  10,188 B
65 of these numbers are buffers, which are not learnt"""


@pytest.mark.parametrize("example", [(8, 64), np.zeros((8, 64), np.float32)], ids=["shape", "array"])
def test_the_table(example: Any) -> None:
    model = Classifier()
    assert str(model.summary(example)) == repr(model.summary(example)) == TABLE


def test_a_list_is_an_example_in_double_precision() -> None:
    assert nn.Linear(2, 3, dtype=np.float64).summary([[1.0, 2.0]]).rows[0].shapes == ((1, 3),)


def test_totals_are_those_of_the_model() -> None:
    model = Classifier()
    summary = model.summary()
    assert summary.parameters == sum(parameter.size for parameter in model.parameters())
    assert summary.nbytes == sum(np.asarray(value).nbytes for value in model.state_dict().values())
    assert summary.buffers == 65
    assert [row.shapes for row in summary.rows] == [()] * 7


def test_looking_changes_nothing_and_draws_nothing() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Any) -> Any:
            return x + nn.normal(x.shape, x.dtype)

    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), Noisy())
    model[2].eval()
    nn.manual_seed(0)
    before, state = model.state_dict(), nn.generator().bit_generator.state
    assert model.summary((1, 3)).rows[-1].shapes == ((1, 4),)  # a batch of one, which training would refuse
    assert nn.generator().bit_generator.state == state
    assert [module.training for module in model] == [True, True, False, True]
    assert all("forward" not in vars(module) for module in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_model_that_fails_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 4))
    with pytest.raises(cg.ShapeError, match="Linear 1 "):
        model.summary((1, 3))
    assert all("forward" not in vars(module) and module.training for module in model.modules())


def test_a_large_input_is_not_computed_with() -> None:
    summary = nn.Sequential(nn.Linear(1000, 1000), *(nn.Identity() for _ in range(3))).summary((3, 1000))
    assert summary.rows[-1].shapes == ((3, 1000),)


def test_integers_stay_integers() -> None:
    model = nn.Sequential(nn.Embedding(7, 3), nn.Flatten())
    assert "(2, 12)" in str(model.summary(np.zeros((2, 4), int)))


def test_a_notebook_shows_it_with_everything_escaped() -> None:
    class Odd(nn.Module):
        pass

    Odd.__name__ = "<b>"
    page = nn.Sequential({"a": nn.Linear(2, 2), "b": Odd()}).summary()._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "<th>layer</th>" in page.replace(' style="padding-left: 0.6em"', "")


def test_no_example() -> None:
    with pytest.raises(cg.InputError, match=r"summary takes examples of the inputs, or their shapes.*test_summary\.py"):
        nn.Linear(2, 2).summary("a")


def test_the_memory_report_finds_the_layers_of_a_nested_model() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(8, 4), nn.ReLU()), nn.Linear(4, 1))
    report = optim.memory_report(model.named_parameters(), lambda x: np.sum(model(x) ** 2), np.ones((64, 8), np.float32))
    assert [(row.layer, row.parameters) for row in report.rows] == [("0.0", 144), ("1", 20), ("0/1", 0)]

"""The examples are short, listed, and learn as well as they say with any seed. That they print what they promise: test_documents.py."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
TRAINING = [
    "autoencoder", "batch_sizes", "bias_correction", "digits_cnn", "digits_mlp", "gradient_accumulation", "momentum_effect", "moons",
    "overfitting", "rbm", "regression_by_hand",
]  # fmt: skip
ACCURACIES = {"digits_mlp": 0.97, "digits_cnn": 0.98}


def accuracy(name: str, seed: int) -> float:
    _, held_out, labels = runpy.run_path(str(EXAMPLES / f"{name}.py"))["train"](seed)
    assert labels.shape == held_out.y.shape == (359,)
    return float(np.mean(labels == held_out.y))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))  # 0 is the example's own, which test_documents.py runs
@pytest.mark.parametrize("name", ACCURACIES)
def test_digits_are_read_as_well_as_promised_with_every_seed(name: str, seed: int) -> None:
    pytest.importorskip("sklearn")
    assert accuracy(name, seed) >= ACCURACIES[name]


@pytest.mark.parametrize("name", TRAINING)
def test_an_example_of_training_has_fewer_than_60_lines(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 60


def test_the_gallery_lists_every_example_once() -> None:
    listed = re.findall(r"\(\.\./examples/(\w+)\.py\)", PAGE)
    assert sorted(listed) == sorted(path.stem for path in EXAMPLES.glob("*.py"))


def test_every_training_example_that_draws_is_shown_in_a_small_picture() -> None:
    shown = re.findall(r"\(images/examples/(\w+)\.png\)", PAGE)
    assert sorted(shown) == [name for name in TRAINING if "savefig" in (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")]
    pictures = sorted((ROOT / "docs" / "images" / "examples").iterdir())
    assert [path.stem for path in pictures] == sorted(shown)
    assert all(path.stat().st_size < 40_000 for path in pictures)


def test_an_example_can_be_imported_without_running() -> None:
    for name in TRAINING:
        body = ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8")).body
        assert isinstance(body[-1], ast.If) and ast.unparse(body[-1].test) == "__name__ == '__main__'"

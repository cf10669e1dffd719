"""Models as scikit-learn estimators: its own checks, and what people do with estimators."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import compgraph as cg
import optim
from compgraph import nn

ROOT = Path(__file__).resolve().parent.parent.parent


@parametrize_with_checks([optim.Classifier(epochs=40), optim.Regressor(epochs=40)], expected_failed_checks=lambda estimator: {})
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_a_grid_search_over_a_pipeline_finds_the_wider_model() -> None:
    X, y = optim.data.moons(150, noise=0.1, seed=0)
    pipeline = make_pipeline(StandardScaler(), optim.Classifier(epochs=40, random_state=0))
    search = GridSearchCV(pipeline, {"classifier__model": [(), (16,)], "classifier__lr": [0.03]}, cv=3).fit(X, y)
    assert search.best_params_["classifier__model"] == (16,)
    assert search.cv_results_["mean_test_score"][0] < 0.93 < search.best_score_


def test_cross_validation_of_the_real_digits() -> None:
    X, y = optim.data.digits()
    X, folds = np.reshape(X, (len(X), -1))[:600], StratifiedKFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(make_pipeline(StandardScaler(), optim.Classifier((32,), epochs=15, random_state=0)), X, y[:600], cv=folds)
    assert scores.min() > 0.9


def test_text_labels_probabilities_and_the_classes() -> None:
    X = np.array([[-2.0], [-1.0], [1.0], [2.0]] * 10)
    y = np.where(X[:, 0] > 0, "yes", "no")
    found = optim.Classifier((), epochs=30, lr=0.1, random_state=1).fit(X, y)
    assert list(found.classes_) == ["no", "yes"] and found.score(X, y) == 1.0 and found.n_iter_ == 30
    probabilities = found.predict_proba([[-5.0], [0.0], [5.0]])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert probabilities[0, 0] > 0.99 > probabilities[1, 0] and probabilities[2, 1] > 0.99
    assert found.predict_proba([[1e6]])[0, 1] == 1.0  # the exponential of such a logit overflows
    logits = np.asarray(found.model_(np.array([[0.3]])).value)[0]
    np.testing.assert_allclose(found.predict_proba([[0.3]])[0, 1], 1 / (1 + np.exp(logits[0] - logits[1])), rtol=1e-12)


def test_a_line_is_found_with_one_target_and_with_two() -> None:
    X = np.random.default_rng(0).normal(size=(80, 2))
    Y = X @ np.array([[1.0, -2.0], [0.5, 3.0]]) + np.array([0.3, -0.7])
    both = optim.Regressor((), epochs=150, lr=0.05, random_state=0).fit(X, Y)
    np.testing.assert_allclose(both.predict(X), Y, atol=1e-3)
    one = optim.Regressor((), epochs=150, lr=0.05, random_state=0).fit(X, Y[:, 0])
    assert one.predict(X).shape == (80,) and one.score(X, Y[:, 0]) > 0.9999
    far = TransformedTargetRegressor(optim.Regressor((), epochs=60, lr=0.05, random_state=0), transformer=StandardScaler())
    assert far.fit(X, 1e4 * Y[:, 0] + 5e5).score(X, 1e4 * Y[:, 0] + 5e5) > 0.999


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    X, y = optim.data.moons(60, seed=0)
    first, again, other = (optim.Classifier((8,), epochs=3, random_state=seed).fit(X, y).predict_proba(X) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    module = nn.Linear(2, 2, generator=0)  # of the same first weights, so that only the order of the examples differs
    one, two = (optim.Classifier(module, epochs=3, random_state=seed).fit(X, y).predict_proba(X) for seed in (1, 2))
    assert not np.array_equal(one, two)
    nn.manual_seed(5)
    before = nn.generator().bit_generator.state
    optim.Classifier((8,), epochs=1, random_state=0).fit(X, y)
    assert nn.generator().bit_generator.state == before  # the generator of everybody else is left alone


def test_a_module_is_copied_and_a_function_is_asked_for_one() -> None:
    X, y = optim.data.moons(60, seed=0)
    module = nn.Sequential(nn.Linear(2, 4, generator=0), nn.Tanh(), nn.Linear(4, 2, generator=1)).eval()
    before = {name: value.copy() for name, value in module.state_dict().items()}
    found = optim.Classifier(module, epochs=2, random_state=0).fit(X, y)
    assert found.model_ is not module and found.model_[0].weight.dtype == np.float32
    assert all(np.array_equal(before[name], value) for name, value in module.state_dict().items())
    assert not np.array_equal(found.model_[0].weight.value, module[0].weight.value)
    asked = []

    def cnn(inputs: int, outputs: int) -> nn.Module:
        asked.append((inputs, outputs))
        layers = nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, outputs)
        return nn.Sequential(*layers)

    digits = optim.data.digits()
    X, y = np.reshape(digits.X, (len(digits.X), -1))[:300], digits.y[:300]
    assert optim.Classifier(cnn, epochs=8, random_state=0).fit(X, y).score(X, y) > 0.9 and asked == [(64, 10)]
    with pytest.raises(cg.InputError, match=r"has to return an nn\.Module, not int"):
        optim.Classifier(lambda inputs, outputs: 3).fit(X, y)


def test_predictions_drop_nothing() -> None:
    X, y = optim.data.moons(60, seed=0)
    found = optim.Classifier(lambda inputs, outputs: nn.MLP(inputs, [8], outputs, dropout=0.5), epochs=2, random_state=0).fit(X, y)
    assert not any(module.training for module in found.model_.modules())
    assert np.array_equal(found.predict_proba(X), found.predict_proba(X))


def test_the_settings_reach_the_training() -> None:
    X, y = optim.data.moons(100, noise=0.2, seed=0)
    X = X.astype(np.float64)
    history = optim.Classifier(
        (8,), epochs=50, lr=0.3, validation=0.3, early_stopping=2, batch_size=10, random_state=0, optimizer=optim.SGD,
        fit_options={"metrics": "accuracy", "shuffle": False},
    ).fit(X, y).history_  # fmt: skip
    assert {"loss", "val_loss", "val_accuracy"} <= set(history.columns)
    assert len(history.steps["lr"]) == 7 * len(history) and set(history.steps["lr"]) == {0.3} and len(history) < 50
    strong, none = (optim.Regressor((), epochs=40, l2=l2, random_state=0).fit(X, X[:, 0]) for l2 in (10.0, 0.0))
    assert np.abs(strong.model_[0].weight.value).max() < 0.5 * np.abs(none.model_[0].weight.value).max()
    eager, compiled = (optim.Regressor((4,), epochs=2, target=target, random_state=0).fit(X, y).predict(X) for target in (None, "numpy"))
    np.testing.assert_allclose(eager, compiled, rtol=1e-10)


def test_arguments_are_kept_as_they_are_and_clones_are_unfitted() -> None:
    model = (3, 4)
    found = optim.Classifier(model, lr=0.5, fit_options={"clip_grad_norm": 1.0})
    assert found.get_params()["model"] is model and found.set_params(lr=0.1).lr == 0.1
    X, y = optim.data.moons(30, seed=0)
    copy = clone(found.fit(X, y))
    assert copy.get_params() == found.get_params() and not hasattr(copy, "model_")
    with pytest.raises(NotFittedError):
        copy.predict(X)


def test_an_estimator_comes_back_from_a_pickle_of_others() -> None:
    X, y = optim.data.moons(40, seed=0)
    found = optim.Classifier((4,), epochs=2, random_state=0).fit(X, y)
    back = pickle.loads(pickle.dumps(found))
    assert np.array_equal(back.predict_proba(X), found.predict_proba(X))
    assert [name for name, _ in back.model_.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    tied = cg.variable([1.0, 2.0], name="w")
    tied.grad = np.array([3.0, 4.0])
    one, other = pickle.loads(pickle.dumps([tied, tied]))
    assert one is other and one.name == "w" and np.array_equal(one.value, [1, 2]) and np.array_equal(one.grad, [3, 4])
    with pytest.raises((TypeError, pickle.PicklingError)):
        pickle.dumps(tied * 2)


def test_bad_input_is_refused_in_words() -> None:
    X, y = np.zeros((6, 2)), np.array([0, 1] * 3)
    with pytest.raises(ValueError, match="y has one class only, 3"):
        optim.Classifier().fit(X, np.full(6, 3))
    with pytest.raises(ValueError, match=r"shape \(5,\) for each row, not a logit for each of 2 classes"):
        optim.Classifier(lambda inputs, outputs: nn.Linear(inputs, 5), epochs=1).fit(X, y).predict(X)
    with pytest.raises(ValueError, match="epochs"):
        optim.Classifier(epochs=-1).fit(X, y)
    found = optim.Regressor(epochs=1, random_state=0).fit(X, y)
    before = found.predict(X)
    with pytest.raises(ValueError, match="NaN"):
        found.fit(np.full((6, 2), np.nan), y)
    assert np.array_equal(found.predict(X), before)


def test_to_estimator_chooses_by_the_loss() -> None:
    assert isinstance(optim.to_estimator((4,)), optim.Classifier)
    assert isinstance(optim.to_estimator((4,), loss=nn.cross_entropy), optim.Classifier)
    found = optim.to_estimator((4,), loss=nn.l1, epochs=7)
    assert isinstance(found, optim.Regressor) and found.epochs == 7 and found.loss is nn.l1
    with pytest.raises(cg.InputError, match=r"say optim\.Classifier\(model, loss=\.\.\.\) or optim\.Regressor"):
        optim.to_estimator((4,), loss=lambda output, target: 0.0)


def test_without_scikit_learn_the_error_says_how_to_install_it() -> None:
    program = (
        "import sys, optim; assert 'sklearn' not in sys.modules; assert 'Classifier' in dir(optim); sys.modules['sklearn'] = None\n"
        "try: optim.Classifier\nexcept ImportError as error: print(type(error).__name__, error)\n"
        "try: optim.Classifer\nexcept AttributeError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    missing, misspelt = done.stdout.splitlines()
    said = 'MissingDependencyError optim.Classifier needs scikit-learn, which is not installed: pip install "compgraph[data]"'
    assert missing.startswith(said)
    assert misspelt == "module 'optim' has no attribute 'Classifer'"

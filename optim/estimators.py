"""Models as scikit-learn estimators: `Classifier` and `Regressor`, for pipelines, searches and cross-validation.

>>> import optim
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> X, y = optim.data.moons(200, noise=0.1, seed=0)
>>> pipeline = make_pipeline(StandardScaler(), optim.Classifier((32,), epochs=60, random_state=0))
>>> bool(pipeline.fit(X, y).score(X, y) > 0.95)
True

This is the only module that imports scikit-learn when it is imported, since its classes derive from scikit-learn's. `optim`
imports it when one of its names is first used.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

import compgraph as cg
from compgraph import nn
from optim.first_order import Adam
from optim.training import fit

Model = Sequence[int] | nn.Module | Callable[[int, int], nn.Module]
Loss = Callable[[Any, Any], Any]
_ROWS = 4096  # examples at a time


class _Estimator(BaseEstimator):
    """What the two share. `__init__` only keeps its arguments, as scikit-learn asks: they are looked at in `fit`."""

    _loss: Loss

    def __init__(
        self,
        model: Model = (64,),
        *,
        loss: Loss | None = None,
        optimizer: Callable[..., Any] = Adam,
        lr: float = 0.01,
        epochs: int = 100,
        batch_size: int | None = 32,
        validation: float | None = None,
        early_stopping: Any = None,
        l2: float = 0.0,
        target: str | None = "numpy",
        random_state: Any = None,
        fit_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation = validation
        self.early_stopping = early_stopping
        self.l2 = l2
        self.target = target
        self.random_state = random_state
        self.fit_options = fit_options

    def _train(self, X: Any, y: Any, outputs: int) -> None:
        """Set `model_`, `history_` and `n_iter_`; a fit that fails leaves those of the one before."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        model = self._new_model(X, outputs, seed)
        optimizer = self.optimizer(model.parameters(), lr=self.lr)
        dtype = _dtype(model, X)
        targets = y.astype(dtype) if y.dtype.kind == "f" else y
        settings: dict[str, Any] = {
            "loss": self.loss or self._loss, "optimizer": optimizer, "epochs": self.epochs, "batch_size": self.batch_size,
            "validation": self.validation, "early_stopping": self.early_stopping, "l2": self.l2, "target": self.target, "seed": seed,
            "progress": False,
        }  # fmt: skip
        size = len(X) if self.batch_size is None else min(self.batch_size, len(X))
        history = fit(model, (X.astype(dtype), targets), **(settings | {"batch_size": size} | dict(self.fit_options or {})))
        self.model_ = model.eval()
        self.history_ = history
        self.n_iter_ = len(history)

    def _new_model(self, X: Any, outputs: int, seed: int) -> nn.Module:
        inputs = X.shape[1]
        if isinstance(self.model, nn.Module):
            return copy.deepcopy(self.model).train()
        with nn.using(np.random.default_rng(seed)):
            if not callable(self.model):
                return nn.MLP(inputs, list(self.model), outputs, dtype=X.dtype)
            made = self.model(inputs, outputs)
        if not isinstance(made, nn.Module):
            raise cg.InputError(f"model(n_features, n_outputs) has to return an nn.Module, not {type(made).__name__}{cg.here()}")
        return made

    def _outputs(self, X: Any) -> Any:
        """What the model gives for each row."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        X = X.astype(_dtype(self.model_, X))
        found = []
        with cg.no_grad():
            for start in range(0, len(X), _ROWS):
                output = self.model_(X[start : start + _ROWS])
                found.append(np.asarray(getattr(output, "value", output)))
        return np.concatenate(found)


class Classifier(ClassifierMixin, _Estimator):
    """A model that tells classes apart, as a scikit-learn classifier.

    - `model`: the widths of the hidden layers of an `nn.MLP`, `()` for logistic regression; a function `(n_features, n_classes) ->
      nn.Module`; or a module, of which each `fit` trains a copy. It gives a row of logits for each row of X.
    - `loss(logits, labels)`: by default `nn.cross_entropy`. Labels are 0, 1, ..., the places in `classes_`.
    - `optimizer(parameters, lr=lr)`: by default `optim.Adam`. `epochs`, `batch_size`, `validation`, `early_stopping`, `l2` and
      `target` are those of `optim.fit`, and `fit_options` has further arguments of it by name.
    - `random_state`: of the first weights and of all that is drawn; an integer makes a fit repeatable to the bit.

    Fitted, it has `model_`, `history_`, `n_iter_` (epochs), `classes_`, `n_features_in_` and, for data frames, `feature_names_in_`. X is
    dense, and scaled by you: `StandardScaler` in a pipeline. float32 stays float32, all else becomes float64. Raises
    `ValueError` for NaN, infinity, text, sparse X, another number of features, and for labels of one class only.
    """

    _loss = staticmethod(nn.cross_entropy)

    def fit(self, X: Any, y: Any) -> Classifier:
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        classes, labels = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(classes) < 2:
            raise cg.InputError(f"y has one class only, {classes.tolist()[0]!r}: a classifier learns to tell two or more apart{cg.here()}")
        self._train(X, labels, len(classes))
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> Any:
        """The probability of each of `classes_`: the softmax of the logits."""
        logits = self._outputs(X)
        if logits.ndim != 2 or logits.shape[1] != len(self.classes_):
            wanted = f"not a logit for each of {len(self.classes_)} classes"
            raise cg.ShapeError(f"the model gives shape {logits.shape[1:]} for each row, {wanted}{cg.here()}")
        weights = np.exp(logits - np.max(logits, axis=1, keepdims=True))
        return weights / np.sum(weights, axis=1, keepdims=True)

    def predict(self, X: Any) -> Any:
        """The most probable class of each row."""
        places = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[places]


class Regressor(RegressorMixin, _Estimator):
    """A model of numbers, as a scikit-learn regressor: one for each row of X, or several where y has columns.

    Its arguments are those of `Classifier`; a function that makes the model is given (n_features, n_outputs), and the loss is by
    default `nn.mse`. Targets far from the size of 1 are learnt faster inside scikit-learn's `TransformedTargetRegressor`.
    """

    _loss = staticmethod(nn.mse)

    def fit(self, X: Any, y: Any) -> Regressor:
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True)
        y = np.asarray(y, X.dtype)
        self._train(X, y.reshape(len(y), -1), 1 if y.ndim == 1 else y.shape[1])
        self._flat = y.ndim == 1
        return self

    def predict(self, X: Any) -> Any:
        outputs = self._outputs(X)
        return outputs.reshape(len(outputs)) if self._flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def to_estimator(model: Model, *, loss: Loss | None = None, **settings: Any) -> Classifier | Regressor:
    """A `Classifier` or a `Regressor`, whichever the loss is for: `nn.mse`, `nn.l1`, `nn.smooth_l1` and `nn.huber` compare numbers.

    >>> import optim
    >>> from compgraph import nn
    >>> type(optim.to_estimator(lambda inputs, outputs: nn.Linear(inputs, outputs), loss=nn.huber, epochs=50))
    <class 'optim.estimators.Regressor'>

    Without a loss it is a classifier. A loss of your own belongs into one of the two classes themselves.
    """
    if loss in (nn.mse, nn.l1, nn.smooth_l1, nn.huber):
        return Regressor(model, loss=loss, **settings)
    if loss in (None, nn.cross_entropy):
        return Classifier(model, loss=loss, **settings)
    raise cg.InputError(f"{loss!r:.60}: say optim.Classifier(model, loss=...) or optim.Regressor(model, loss=...){cg.here()}")


def _dtype(model: nn.Module, X: Any) -> Any:
    """The dtype of the model's parameters; that of X where it has none."""
    return next((parameter.dtype for parameter in model.parameters()), X.dtype)

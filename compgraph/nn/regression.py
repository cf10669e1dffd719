"""The two models of one layer: linear regression, and logistic regression for two classes or more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

import compgraph as cg
from compgraph.nn.label_losses import cross_entropy
from compgraph.nn.linear import Linear
from compgraph.nn.losses import bce_with_logits, mse
from compgraph.nn.module import whole


class LinearRegression(Linear):
    """y = x W^T + b, with the mean square as its loss: (N, in_features) to (N, out_features).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> model = nn.LinearRegression(1, dtype=np.float64).solve(X, 2 * X + 1)
    >>> model.weight.value.round(12), model.bias.value.round(12)
    (array([[2.]]), array([1.]))

    `optim.fit(model, (X, y), loss=model.loss, ...)` goes there by descent.
    """

    loss = staticmethod(mse)

    def __init__(
        self, in_features: int, out_features: int = 1, bias: bool = True, dtype: Any = np.float32, generator: Any = None
    ) -> None:
        super().__init__(in_features, out_features, bias, dtype, generator)

    def solve(self, X: Any, y: Any) -> Self:
        """Take the weights of least squares, by a singular value decomposition in float64; the shortest where there are several."""
        X, y = np.asarray(X, np.float64), np.asarray(y, np.float64)
        wanted = (len(X) if X.ndim else 0, self.out_features)
        if X.ndim != 2 or X.shape[1] != self.in_features or y.shape != wanted:
            takes = f"X (N, {self.in_features}) and y (N, {self.out_features})"
            raise cg.ShapeError(f"{type(self).__name__}.solve takes {takes}, not {X.shape} and {y.shape}{cg.here()}")
        columns = X if self.bias is None else np.column_stack([X, np.ones(len(X))])
        found = np.linalg.lstsq(columns, y, rcond=None)[0].T
        self.weight.value = found[:, : self.in_features].astype(self.weight.dtype)
        if self.bias is not None:
            self.bias.value = found[:, -1].astype(self.bias.dtype)
        return self


class LogisticRegression(Linear):
    """The logits of classes: (N, in_features) to (N, num_classes), and for two classes to (N,), those of class 1.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> X = np.ones((4, 2), np.float32)
    >>> binary, several = nn.LogisticRegression(2), nn.LogisticRegression(2, num_classes=3)
    >>> binary(X).shape, several(X).shape, several.probabilities(X).shape, several.predict(X).dtype
    ((4,), (4, 3), (4, 3), dtype('int64'))
    >>> binary.loss.__name__, several.loss.__name__
    ('bce_with_logits', 'cross_entropy')

    Two classes have one row of weights, whose zero is the boundary; more have a row each. Labels are 0, 1, ... Logits become
    probabilities by the sigmoid, or by the softmax.
    """

    def __init__(
        self, in_features: int, num_classes: int = 2, bias: bool = True, dtype: Any = np.float32, generator: Any = None
    ) -> None:
        self.num_classes = whole(self, "num_classes", num_classes, 2)
        super().__init__(in_features, 1 if num_classes == 2 else num_classes, bias, dtype, generator)

    @property
    def loss(self) -> Callable[..., Any]:
        """`bce_with_logits` for two classes, `cross_entropy` for more."""
        return bce_with_logits if self.num_classes == 2 else cross_entropy

    def forward(self, x: Any) -> Any:
        logits = super().forward(x)
        return logits[..., 0] if self.num_classes == 2 else logits

    def probabilities(self, x: Any) -> Any:
        """An array (N, num_classes) whose rows sum to 1."""
        with cg.no_grad():
            logits = np.asarray(self(x).value)
        if self.num_classes == 2:
            above = cg.sigmoid(logits)
            return np.stack([cg.sigmoid(-logits), above], axis=-1)
        return cg.special.softmax(logits, axis=-1)

    def predict(self, x: Any) -> Any:
        """The label of each row, the most probable class."""
        return np.argmax(self.probabilities(x), axis=-1)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, num_classes={self.num_classes}, bias={self.bias is not None}"

"""Losses of integer labels: cross-entropy, negative log-likelihood, and the margin between classes.

The probability of a label is read at its place. A row of the unit matrix for each label, and a product with it, would cost
as much as the logits once more: for 64 examples of 10,000 classes a gradient takes 0.87 ms as it is, and 1.03 ms so.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import compgraph as cg
from compgraph.backend import as_array
from compgraph.nn.loss_inputs import as_input, as_target, known, loss, reduced, weights_of


def check_labels(labels: Any, classes: int, *, ignore_index: int | None = None, name: str = "labels") -> None:
    """Raise unless `labels` are integers from 0 to classes - 1, or `ignore_index`; a node without a value passes.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> try:
    ...     nn.check_labels(np.array([0, 3]), 3)
    ... except ValueError as error:
    ...     print(str(error).split(" (")[0])
    labels: label 3 at [1] is not one of the 3 classes, 0 to 2
    """
    if labels.dtype.kind not in "iu":
        write = ": write y.astype(np.int64)" if labels.dtype.kind in "fb" else ""
        raise cg.DtypeError(f"{name}: labels are integers, not {labels.dtype}{write}{cg.here()}")
    values = known(labels)
    if values is None or not values.size or (values.min() >= 0 and values.max() < classes):
        return
    bad = (values < 0) | (values >= classes)
    if ignore_index is not None:
        bad &= values != ignore_index
    if not np.any(bad):
        return
    place = tuple(int(index) for index in np.argwhere(bad)[0])
    where = f" at {list(place)}" if place else ""
    ignored = ". Labels to leave out are named by ignore_index" if ignore_index is None and values[place] < 0 else ""
    raise cg.InputError(
        f"{name}: label {values[place]}{where} is not one of the {classes} classes, 0 to {classes - 1}{ignored}{cg.here()}"
    )


def _class_axis(name: str, x: Any, axis: int | None) -> int:
    if not x.shape:
        raise cg.ShapeError(f"{name}: the input is one number, and needs an axis of classes{cg.here()}")
    if axis is None:
        return min(1, len(x.shape) - 1)
    if not -len(x.shape) <= axis < len(x.shape):
        raise cg.ShapeError(f"{name}: axis {axis} is not one of an input of shape {x.shape}{cg.here()}")
    return axis % len(x.shape)


def _rows(x: Any, axis: int) -> Any:
    """One row for each example, one column for each class."""
    if len(x.shape) == 2 and axis == 1:
        return x
    return np.reshape(np.moveaxis(x, axis, -1), (-1, x.shape[axis]))


def _labels(name: str, target: Any, x: Any, axis: int, ignore_index: int | None) -> Any:
    """Integer labels, one for each row."""
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    if target.shape != shape:
        raise cg.ShapeError(f"{name}: {_misfit(x.shape, target, shape, axis)}{cg.here()}")
    check_labels(target, x.shape[axis], ignore_index=ignore_index, name=name)
    return target if len(target.shape) == 1 else np.reshape(target, (-1,))


def _misfit(given: tuple[int, ...], target: Any, shape: tuple[int, ...], axis: int) -> str:
    said = f"logits of shape {given} with the classes on axis {axis} need labels of shape {shape}, not {target.shape}"
    if target.shape == given and target.dtype.kind in "iub":
        return f"{said}. Rows of the unit matrix are probabilities: write y.astype(np.float32), or y.argmax({axis}) for labels"
    if tuple(length for length in target.shape if length != 1) == tuple(length for length in shape if length != 1):
        return f"{said}: write y.reshape({shape})"
    if target.shape == given[:-1]:
        return f"{said}. Write axis=-1 where the classes are on the last axis"
    return said


def _read(x: Any, *index: Any) -> Any:
    """x[index], also of an array at labels that are nodes."""
    x = cg.constant(x) if index[-1].__class__ is cg.Node and x.__class__ is not cg.Node else x
    return x[index]


def _class_weights(name: str, weight: Any, rows: Any) -> Any:
    weight, classes = weights_of(name, "weight", weight, rows), rows.shape[1]
    if weight is not None and weight.shape != (classes,):
        raise cg.ShapeError(f"{name}: weight has shape {weight.shape}, and needs one number for each of the {classes} classes{cg.here()}")
    return weight


class _Weighing:
    """What each row counts: the weight of its label's class, and nothing where the label is to be ignored."""

    def __init__(self, name: str, labels: Any, rows: Any, weight: Any, ignore_index: int | None, reduction: str) -> None:
        self.name, self.reduction = name, reduction
        values = known(labels)
        # What is known not to occur costs nothing.
        self.valid = None
        if ignore_index is not None and (values is None or np.any(values == ignore_index)):
            self.valid = np.not_equal(labels, ignore_index)
            if reduction == "mean" and values is not None and np.all(values == ignore_index):
                raise cg.InputError(f"{name}: every label is {ignore_index}, which is ignored: there is no mean of nothing{cg.here()}")
        self.labels = labels if self.valid is None else np.where(self.valid, labels, 0)
        if values is None and labels.dtype.kind == "i":  # a program would count -1 from the last class: so it is beyond all classes
            self.labels = np.remainder(self.labels.astype(np.int64), 2**62)
        self.class_weight = _class_weights(name, weight, rows)
        self.dtype = rows.dtype
        self.of_row = self.valid_only(None if self.class_weight is None else _read(self.class_weight, self.labels))

    def valid_only(self, x: Any) -> Any:
        """`x`, 0 in the rows that do not count; None stands for ones."""
        if self.valid is None:
            return x
        return self.valid.astype(self.dtype) if x is None else np.where(self.valid, x, 0)

    def picked(self, rows: Any) -> Any:
        """The entry of each row at its label."""
        return _read(rows, np.arange(rows.shape[0]), self.labels)

    def weighted(self, losses: Any) -> Any:
        """Losses of the rows by the weights of their labels; a NaN in a row that does not count is not looked at."""
        if self.class_weight is None:
            return self.valid_only(losses)
        return self.valid_only(losses * self.of_row)

    def reduced(self, losses: Any, shape: tuple[int, ...]) -> Any:
        divisor = np.sum(self.of_row) if self.of_row is not None and self.reduction == "mean" else None
        found = reduced(self.name, losses, self.reduction, divisor)
        return found if self.reduction != "none" or found.shape == shape else np.reshape(found, shape)


def _shifted(rows: Any) -> tuple[Any, Any]:
    """Logits with 0 for the largest of each row, and the logarithm of the sum of their exponentials."""
    s = rows - cg.stop_gradient(cg.bind("max", rows, axis=1, keepdims=True))  # by which no softmax changes
    return s, np.log(cg.bind("sum", np.exp(s), axis=1, keepdims=False))


@loss
def cross_entropy(
    input: Any, target: Any, *, weight: Any = None, ignore_index: int | None = None, reduction: str = "mean",
    label_smoothing: float = 0.0, axis: int | None = None,
) -> Any:  # fmt: skip
    """-ln softmax(input) at the label, from logits, without overflow.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.cross_entropy(np.array([[2.0, 0.0], [0.0, 1000.0]]), np.array([0, 1]))
    np.float64(0.0634640055214863)

    The classes are on axis 1, as in PyTorch: logits (N, C) and labels (N,), (N, C, d) and (N, d), (C,) and (). `axis=-1` has them
    last, as a model of sequences gives them: (N, T, C) and (N, T). A target of floats in the shape of the logits holds
    probabilities p, and the loss of an example is -sum p ln softmax; that they sum to 1 is not checked.

    `weight` has one number for each class, and the mean is then weighted by the weights of the labels (with probabilities it is
    divided by the number of examples, as in PyTorch). Labels equal to `ignore_index` do not count; it is None, where PyTorch's is
    -100, so that a label of -100 is an error unless you say what it means. `label_smoothing` e gives every class e / C and the
    label 1 - e more (Szegedy et al., 2016, equation 3.7).

    Raises `ShapeError`, `DtypeError` for labels that are no integers, `InputError` for a label that is no class, with its place.
    Where the labels are inputs of a compiled program, a label that is no class raises `NodeIndexError` when it runs.
    """
    x = as_input("cross_entropy", input)
    axis = _class_axis("cross_entropy", x, axis)
    if not 0 <= label_smoothing <= 1:
        raise cg.InputError(f"cross_entropy: label_smoothing is between 0 and 1, not {label_smoothing!r:.60}{cg.here()}")
    target = target if target.__class__ is cg.Node else as_array(target)
    if target.dtype.kind == "f" and target.shape == x.shape:
        if ignore_index is not None:
            raise cg.InputError(f"cross_entropy: ignore_index is for integer labels, and the target holds probabilities{cg.here()}")
        return _of_probabilities(x, target, axis, weight, reduction, label_smoothing)
    labels, rows = _labels("cross_entropy", target, x, axis, ignore_index), _rows(x, axis)
    weighing = _Weighing("cross_entropy", labels, rows, weight, ignore_index, reduction)
    s, total = _shifted(rows)
    losses = weighing.weighted(total - weighing.picked(s))
    if label_smoothing:
        classes = rows.shape[1]
        if weighing.class_weight is None:
            over_classes = classes * total - np.sum(s, axis=1)
        else:
            over_classes = np.sum((np.reshape(total, (-1, 1)) - s) * weighing.class_weight, axis=1)
        losses = (1 - label_smoothing) * losses + (label_smoothing / classes) * weighing.valid_only(over_classes)
    return weighing.reduced(losses, target.shape)


def _of_probabilities(x: Any, target: Any, axis: int, weight: Any, reduction: str, label_smoothing: float) -> Any:
    target = as_target("cross_entropy", target, x)
    rows, p = _rows(x, axis), _rows(target, axis)
    if label_smoothing:
        p = (1 - label_smoothing) * p + label_smoothing / rows.shape[1]
    weight = _class_weights("cross_entropy", weight, rows)
    p = p if weight is None else p * weight
    s, total = _shifted(rows)
    losses = np.sum(p, axis=1) * total - np.sum(p * s, axis=1)
    found = reduced("cross_entropy", losses, reduction)
    return found if reduction != "none" else np.reshape(found, x.shape[:axis] + x.shape[axis + 1 :])


@loss
def nll(
    input: Any, target: Any, *, weight: Any = None, ignore_index: int | None = None, reduction: str = "mean", axis: int | None = None
) -> Any:
    """Minus the log-probability of the label: `cross_entropy` of what went through `LogSoftmax` already.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.nll(np.log([[0.25, 0.75]]), np.array([1]))
    np.float64(0.2876820724517809)

    Shapes, `weight`, `ignore_index` and `axis` are those of `cross_entropy`.
    """
    x = as_input("nll", input)
    axis = _class_axis("nll", x, axis)
    target = target if target.__class__ is cg.Node else as_array(target)
    labels, rows = _labels("nll", target, x, axis, ignore_index), _rows(x, axis)
    weighing = _Weighing("nll", labels, rows, weight, ignore_index, reduction)
    return weighing.reduced(weighing.weighted(-weighing.picked(rows)), target.shape)


@loss
def multi_margin(input: Any, target: Any, *, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean") -> Any:
    """The hinge loss of classes: sum over i != y of max(0, margin - x_y + x_i)^p, divided by their number (Weston & Watkins, 1999).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.multi_margin(np.array([[0.5, 1.0, 0.0]]), np.array([1]))
    np.float64(0.16666666666666666)

    Scores (N, C) and labels (N,); `p` is 1 or 2. `weight` has a factor for each class of labels; the mean is divided by N all the
    same, as in PyTorch.
    """
    if p not in (1, 2):
        raise cg.InputError(f"multi_margin: p is 1 or 2, not {p!r:.60}{cg.here()}")
    x = as_input("multi_margin", input)
    if len(x.shape) not in (1, 2):
        raise cg.ShapeError(f"multi_margin: scores have shape (N, C) or (C,), not {x.shape}{cg.here()}")
    target = target if target.__class__ is cg.Node else as_array(target)
    axis = len(x.shape) - 1
    labels, rows = _labels("multi_margin", target, x, axis, None), _rows(x, axis)
    weighing = _Weighing("multi_margin", labels, rows, weight, None, reduction)
    others = np.not_equal(np.reshape(labels, (-1, 1)), np.arange(rows.shape[1]))
    excess = cg.relu(margin - np.reshape(weighing.picked(rows), (-1, 1)) + rows)
    losses = np.sum(np.where(others, excess if p == 1 else np.square(excess), 0), axis=1) / rows.shape[1]
    losses = losses if weighing.of_row is None else losses * weighing.of_row
    found = reduced("multi_margin", losses, reduction)
    return found if reduction != "none" else np.reshape(found, target.shape)

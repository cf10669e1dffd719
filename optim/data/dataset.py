"""Examples with the names that belong to them, and what is done to them before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

import compgraph as cg
from optim.schedules import check_count

Array = np.ndarray[Any, np.dtype[Any]]


class Dataset(tuple[Array, Array]):
    """The pair (X, y), with names. X has a row an example, y an entry an example.

    >>> data = Dataset([[0.0, 1.0], [2.0, 3.0]], [0, 1], feature_names=("height", "width"))
    >>> X, y = data
    >>> data.X is X, data.feature_names
    (True, ('height', 'width'))
    >>> data
    Dataset of 2 examples: X float64 (2, 2), y int64 (2,)

    `feature_names` are those of X's columns, `target_names` those of the labels 0, 1, ...; both are empty where there are none.
    The arrays are held, not copied, so one that is mapped from a file stays there: only what is indexed is read.
    """

    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    description: str

    def __new__(
        cls, X: Any, y: Any, feature_names: Sequence[str] = (), target_names: Sequence[str] = (), description: str = ""
    ) -> Self:  # fmt: skip
        X, y = (part if isinstance(part, np.ndarray) else np.asarray(part) for part in (X, y))
        if not X.ndim or not y.ndim or len(X) != len(y):
            raise cg.ShapeError(f"X and y have an entry for each example; these have shapes {X.shape} and {y.shape}{cg.here()}")
        self = super().__new__(cls, (X, y))
        self.feature_names, self.target_names, self.description = tuple(feature_names), tuple(target_names), description
        return self

    def __getnewargs__(self) -> tuple[Array, Array]:  # for `copy`, which would give a tuple's one argument
        return self.X, self.y

    @property
    def X(self) -> Array:
        return self[0]

    @property
    def y(self) -> Array:
        return self[1]

    def at(self, indices: Any) -> Dataset:
        """The examples at these indices, as a data set; of arrays in a file, these alone are read."""
        return self.with_arrays(self.X[indices], self.y[indices])

    def with_arrays(self, X: Any, y: Any) -> Dataset:
        """Other arrays under the same names."""
        return Dataset(X, y, self.feature_names, self.target_names, self.description)

    def __repr__(self) -> str:
        names = f", targets {', '.join(self.target_names)}" if self.target_names else ""
        return f"Dataset of {len(self.X)} examples: X {self.X.dtype} {self.X.shape}, y {self.y.dtype} {self.y.shape}{names}"


def generator_of(seed: int | np.random.Generator) -> np.random.Generator:
    """The generator itself, or a new one of that seed."""
    if isinstance(seed, np.random.Generator):
        return seed
    check_count("seed", seed, least=0)
    return np.random.default_rng(seed)


def split(data: Any, fraction: float = 0.2, seed: int | np.random.Generator = 0, *, stratify: bool = False) -> tuple[Dataset, Dataset]:
    """Two data sets without an example in common, in random order; the second has `fraction` of them, one at least.

    >>> train, test = split((np.arange(10.0)[:, None], np.arange(10) % 2), 0.4, stratify=True)
    >>> len(train.X), np.bincount(test.y)
    (6, array([2, 2]))

    With `stratify`, each class has its share in both, up to rounding. Raises `InputError` where one side would have none, or where
    a class has a single example and cannot be shared.
    """
    data = data if isinstance(data, Dataset) else Dataset(*data)
    if isinstance(fraction, bool) or not isinstance(fraction, int | float | np.number) or not 0 < fraction < 1:
        raise cg.InputError(f"fraction is the second part's share, between 0 and 1, not {fraction!r:.40}{cg.here()}")
    size, generator = len(data.X), generator_of(seed)
    held_out = max(1, round(size * float(fraction)))
    if held_out >= size:
        raise cg.InputError(f"{size} examples cannot be split with {fraction} of them on one side: the other would be empty{cg.here()}")
    order = generator.permutation(size)
    if stratify:
        order = order[np.argsort(_evenly(data.y[order], fraction), kind="stable")]
    return data.at(order[held_out:]), data.at(order[:held_out])


def _evenly(y: Array, fraction: float) -> Array:
    """A key that sorts the classes into one another: the i-th of n of a class stands at (i + 1/2) / n."""
    if y.ndim != 1 or y.dtype.kind not in "biuSU":
        raise cg.InputError(f"only labels can be stratified, one an example; y is {y.dtype} {y.shape}{cg.here()}")
    names, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise cg.InputError(f"class {names[counts.argmin()]} has one example, which cannot be on both sides{cg.here()}")
    by_class = np.argsort(codes, kind="stable")
    place = np.empty(len(y))
    place[by_class] = (np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / np.repeat(counts, counts)
    return place


def standardise(data: Any, *others: Any) -> Any:
    """Columns of mean 0 and variance 1 in the first data set, and the others shifted and scaled by the same numbers.

    >>> train, test = standardise(np.array([[1.0, 7.0], [3.0, 7.0]]), np.array([[5.0, 8.0]]))
    >>> print(train, test)
    [[-1.  0.]
     [ 1.  0.]] [[3. 1.]]

    Takes arrays X or data sets, of which X changes, and returns as many. A column that is constant is only shifted. The dtype
    stays where it is one of floats, and is float32 otherwise; mean and variance are summed in float64. scikit-learn's
    `StandardScaler` gives the same columns.
    """
    X = data.X if isinstance(data, Dataset) else np.asarray(data)
    if not X.size or X.ndim < 2 or X.dtype.kind not in "biuf":
        raise cg.InputError(f"standardise takes examples in rows and numbers in columns, not {X.dtype} {X.shape}{cg.here()}")
    mean, deviation = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    # A constant column can have a deviation of some roundings of its mean in place of 0.
    scale = np.where(deviation > 10 * np.finfo(np.float64).eps * np.abs(mean), deviation, 1.0)

    def scaled(part: Any) -> Any:
        rows = part.X if isinstance(part, Dataset) else np.asarray(part)
        if rows.shape[1:] != X.shape[1:]:
            raise cg.ShapeError(f"the first data set has examples of shape {X.shape[1:]}, another one {rows.shape[1:]}{cg.here()}")
        dtype = rows.dtype if rows.dtype.kind == "f" else np.dtype(np.float32)
        new = ((rows - mean) / scale).astype(dtype)
        return part.with_arrays(new, part.y) if isinstance(part, Dataset) else new

    parts = tuple(scaled(part) for part in (data, *others))
    return parts if others else parts[0]


def one_hot(labels: Any, classes: int | None = None, dtype: Any = np.float32) -> Array:
    """A row a label with 1 in its column; as many columns as `classes`, or as the largest label needs.

    >>> one_hot([2, 0])
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise cg.InputError(f"labels are whole numbers, one an example, not {labels.dtype} {labels.shape}{cg.here()}")
    classes = int(labels.max(initial=-1)) + 1 if classes is None else classes
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise cg.InputError(f"label {wrong[0]} is {labels[wrong[0]]}, and there are {classes} classes, 0 to {classes - 1}{cg.here()}")
    rows: Array = np.zeros((len(labels), classes), dtype)
    rows[np.arange(len(labels)), labels] = 1
    return rows

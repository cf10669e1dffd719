"""What `fit` trains on: arrays, sources that are indexed, and streams of batches, looked at before anything changes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

import compgraph as cg
from compgraph import nn
from optim.evaluation import mode_of, prediction
from optim.schedules import check_count

Array = np.ndarray[Any, np.dtype[Any]]
GATHERED = 2**26  # bytes of an epoch that is put into its order at once: a slice of it costs a tenth of an indexing
LABEL_LOSSES = frozenset({"cross_entropy", "nll", "multi_margin"})


class TrainingWarning(UserWarning):
    """Data from which little can be learnt, though it can be trained on."""


class Arrays:
    """Examples that are indexed by an array of numbers: (X, y), X alone, or a source: `len(source)`, `source[indices]` -> (X, y).

    Arrays mapped from a file stay there; of them only the rows of a batch are read, so they are not searched for NaN.
    """

    def __init__(self, data: Any, what: str = "data") -> None:
        self.source = None
        if isinstance(data, (tuple, list)) and len(data) == 2:
            self.X, self.y = _array(data[0], f"X of {what}"), _array(data[1], f"y of {what}")
        elif isinstance(data, np.ndarray):
            self.X = self.y = _array(data, f"X of {what}")
        elif hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, (tuple, list, dict, str)):
            self.source = data
            try:
                self.X, self.y = self._read(np.arange(min(2, len(data))))
            except (TypeError, ValueError, LookupError) as error:
                what_it_is = f"{type(data).__name__}[an array of numbers]"
                raise cg.InputError(f"{what_it_is} has to give those rows, X or (X, y), and fails: {error}{cg.here()}") from error
            if not self.X.ndim or not self.y.ndim or self.X.dtype == object:
                raise cg.InputError(f"{type(data).__name__}[an array of numbers] has to give arrays of those rows, X or (X, y){cg.here()}")
        else:
            raise cg.InputError(
                f"{what} is (X, y), X, a source with len and indices, or an iterable of batches, not {type(data).__name__}{cg.here()}"
            )
        self.size = len(self.X) if self.source is None else len(data)
        if len(self.X) != len(self.y):
            raise cg.ShapeError(f"{what}: X has {len(self.X)} examples and y {len(self.y)}: they need one another{cg.here()}")
        if not self.size:
            raise cg.InputError(f"{what} is empty: X has shape {self.X.shape}{cg.here()}")
        for name, array in (("X", self.X), ("y", self.y)):
            if not isinstance(array, np.memmap) and not (name == "y" and self.y is self.X):
                check_finite(array, f"{name} of {what}")
        self.casts: tuple[Any, Any] = (None, None)

    def cast(self, dtypes: tuple[Any, Any]) -> None:
        """From now on give X and y in these dtypes; None leaves one as it is."""
        self.casts = dtypes
        if self.source is not None or isinstance(self.X, np.memmap) or isinstance(self.y, np.memmap):
            return
        same = self.y is self.X and dtypes[0] == dtypes[1]
        self.X = np.ascontiguousarray(_cast(self.X, dtypes[0], "X"))
        self.y = self.X if same else np.ascontiguousarray(_cast(self.y, dtypes[1], "y"))

    def _read(self, indices: Any) -> tuple[Any, Any]:
        found = self.source[indices]  # type: ignore[index]
        X, y = found if isinstance(found, tuple) else (found, found)
        return np.asarray(X), np.asarray(y)

    def at(self, indices: Any) -> tuple[Any, Any]:
        """The examples at these indices."""
        if self.source is not None:
            X, y = self._read(indices)
        else:
            X = _rows(self.X, indices)
            y = X if self.y is self.X else _rows(self.y, indices)
        return _cast(X, self.casts[0], "X"), _cast(y, self.casts[1], "y")

    def batches(self, order: Array, size: int, first: int = 0) -> Iterator[tuple[Any, Any]]:
        """The examples `order` in batches of `size`, from batch number `first` on."""
        order = order[first * size :]
        held = self.source is None and not isinstance(self.X, np.memmap) and not isinstance(self.y, np.memmap)
        if not held or len(order) <= size or self.X.nbytes + self.y.nbytes > GATHERED:
            return (self.at(order[start : start + size]) for start in range(0, len(order), size))
        X, y = self.at(order)
        count = len(order) // size
        rest = count * size
        stacked = (array[:rest].reshape(count, size, *array.shape[1:]) for array in (X, y))
        return chain(zip(*stacked, strict=True), [(X[rest:], y[rest:])] if rest < len(order) else [])


class Part:
    """Some of the examples of another feed, by their numbers."""

    def __init__(self, whole: Arrays, indices: Array) -> None:
        self.whole, self.indices, self.size = whole, indices, len(indices)

    def at(self, indices: Any) -> tuple[Any, Any]:
        return self.whole.at(self.indices[indices])

    def batches(self, order: Array, size: int, first: int = 0) -> Iterator[tuple[Any, Any]]:
        return self.whole.batches(self.indices[order], size, first)


class Stream:
    """Batches that come one after another: an iterable that can be read anew each epoch, or a function that makes one."""

    size = None

    def __init__(self, data: Iterable[Any] | Callable[[], Iterable[Any]]) -> None:
        self.data = data
        self.once = not callable(data) and iter(data) is data
        self.read = False
        self.casts: tuple[Any, Any] = (None, None)
        self.count: int | None = None  # of batches, once an epoch is over

    def cast(self, dtypes: tuple[Any, Any]) -> None:
        self.casts = dtypes

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self.once and self.read:
            raise cg.InputError(f"this generator gives its batches once: for more epochs pass the function that makes it{cg.here()}")
        self.read = True
        number = -1
        for number, batch in enumerate(self.data() if callable(self.data) else self.data):
            pair = isinstance(batch, (tuple, list)) and len(batch) == 2 and all(hasattr(part, "shape") for part in batch)
            X, y = batch if pair or isinstance(batch, tuple) else (batch, batch)
            X, y = np.asarray(X), np.asarray(y)
            if not X.ndim or not y.ndim or len(X) != len(y):
                shapes = f"they have shapes {X.shape} and {y.shape}"
                raise cg.ShapeError(f"batch {number}: X and y need an entry for each example, {shapes}{cg.here()}")
            yield _cast(X, self.casts[0], "X"), _cast(y, self.casts[1], "y")
        if number < 0:
            raise cg.InputError(f"data gave no batch{cg.here()}")
        self.count = number + 1


Feed = Arrays | Part | Stream


def feed_of(data: Any) -> Arrays | Stream:
    pair = isinstance(data, tuple) or (isinstance(data, list) and not any(isinstance(part, tuple) for part in data))
    if isinstance(data, np.ndarray) or (pair and len(data) == 2):  # a list of tuples is one of batches
        return Arrays(data)
    indexed = hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, (tuple, list, dict, str))
    if not indexed and not isinstance(data, (str, dict)) and (callable(data) or isinstance(data, Iterable)):
        return Stream(data)
    return Arrays(data)


def cut_off(feed: Arrays, fraction: float, generator: np.random.Generator) -> tuple[Part, Part]:
    """Two parts without an example in common, in random order; the second has this fraction of the examples."""
    if not 0 < fraction < 1:
        raise cg.InputError(f"validation is a fraction between 0 and 1, data, or None, not {fraction!r:.40}{cg.here()}")
    held_out = max(1, round(feed.size * fraction))
    if held_out >= feed.size:
        raise cg.InputError(f"validation={fraction} of {feed.size} examples leaves none to train on{cg.here()}")
    order = generator.permutation(feed.size)
    return Part(feed, np.sort(order[held_out:])), Part(feed, np.sort(order[:held_out]))


# -------------------------------------------------------------------------------------------- looking at data


def check_finite(array: Array, what: str) -> None:
    """Raise for a NaN or an infinity, with its row and column."""
    if array.dtype.kind not in "fc" or not array.size:
        return
    if np.isfinite(np.sum(array, dtype=np.float64 if array.dtype.kind == "f" else None)):
        return  # a NaN or an infinity would have stayed in the sum
    bad = np.argwhere(~np.isfinite(array))
    if not len(bad):
        return
    place = tuple(map(int, bad[0]))
    where = f"row {place[0]}" + (f", column {place[1]}" if len(place) == 2 else f", at {list(place[1:])}" if place[1:] else "")
    more = f"; {len(bad)} entries are not finite" if len(bad) > 1 else ""
    raise cg.InputError(f"{what} has {array[place]} in {where}{more}: leave such rows out, or fill them in{cg.here()}")


def dtypes_for(model: Any, loss: Any, X: Any, y: Any) -> tuple[Any, Any]:
    """The dtypes that X and y have to be given in, found by running the model and its loss on these examples, which changes nothing.

    Floats take the model's dtype. Integers stay where the model or the loss wants them, as `Embedding` and `cross_entropy`
    do, and take the model's dtype where the result would leave it. Raises what the model or the loss raises.
    """
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))

    def attempts(array: Any) -> list[Any]:
        if array.dtype == dtype:
            return [None]
        return [dtype] if array.dtype.kind == "f" else [None] if array.dtype.kind == "c" else [None, dtype]

    def chosen(array: Any, compute: Callable[[Any], Any]) -> tuple[Any, Any]:
        first: Exception | None = None
        found = None
        for to in attempts(array):
            try:
                result = compute(array if to is None else array.astype(to))
            except cg.CompgraphError as error:
                first = first or error
                continue
            leaves = result.values() if isinstance(result, dict) else result if isinstance(result, (tuple, list)) else (result,)
            if all(getattr(leaf, "dtype", dtype) == dtype for leaf in leaves):
                return to, result
            found = found or (to, result)
        if found is None:
            raise first  # type: ignore[misc]
        return found

    quiet = np.errstate(all="ignore")
    with mode_of(model, training=False), cg.no_grad(), nn.using(np.random.default_rng(0)), quiet:
        X_dtype, output = chosen(X, lambda X: nn.functional_call(model, {}, X)[0])
        y_dtype, _ = chosen(y, lambda y: loss(output, y))
    _check_rows(output, len(X))
    return X_dtype, y_dtype


def check_labels(loss: Any, model_output_columns: int, y: Any) -> None:
    """For losses of labels: each has to be a class, and there should be more than one."""
    if name_of(loss) not in LABEL_LOSSES or y.ndim != 1 or isinstance(y, np.memmap):
        return
    ignored = loss.keywords.get("ignore_index") if isinstance(loss, partial) else None
    nn.check_labels(y, model_output_columns, ignore_index=ignored, name="y")
    if len(y) > 1 and np.all(y == y[0]):
        text = f"all labels are {y[0]}: there is one class only, and nothing to tell apart"
        warnings.warn(text, TrainingWarning, stacklevel=4)


def name_of(function: Any) -> str:
    """What a function is called, through `functools.partial`."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _check_rows(output: Any, count: int) -> None:
    first = prediction(output)
    if np.shape(first)[:1] != (count,):
        raise cg.ShapeError(f"the model gives an output of shape {np.shape(first)} for {count} examples{cg.here()}")


def _array(data: Any, what: str) -> Array:
    if isinstance(data, tuple) and data and all(getattr(part, "ndim", 0) for part in data):
        raise cg.ShapeError(f"{what} is a tuple of arrays: for a model of several inputs write a loop of optim.train_step{cg.here()}")
    try:
        array = data if isinstance(data, np.ndarray) else np.asarray(data)
    except ValueError:
        raise cg.ShapeError(f"{what} has rows of different lengths: every example needs as many numbers{cg.here()}") from None
    if isinstance(data, cg.Node) or array.dtype.kind not in "biufc":
        kind = "a node" if isinstance(data, cg.Node) else f"an array of {array.dtype}"
        raise cg.DtypeError(f"{what} is {kind}, and has to be numbers{cg.here()}")
    if not array.ndim:
        raise cg.ShapeError(f"{what} is one number, and needs an axis of examples{cg.here()}")
    return array


def _rows(array: Array, indices: Any) -> Array:
    return array.take(indices, axis=0) if array.__class__ is np.ndarray else array[indices]  # `take` is more than twice as quick


def _cast(array: Any, dtype: Any, what: str) -> Any:
    if dtype is None or array.dtype == dtype:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        new = array.astype(dtype)
        total = np.sum(new, dtype=np.float64)
    if array.dtype.kind == "f" and dtype.itemsize < array.dtype.itemsize and not np.isfinite(total):
        bad = np.argwhere(~np.isfinite(new))
        if len(bad) and np.isfinite(array[tuple(bad[0])]):
            value = array[tuple(bad[0])]
            raise cg.ValueRangeError(f"{what} has {value} in row {bad[0][0]}, too large for the model's {dtype}: scale the data{cg.here()}")
    return new


def check_batch_size(batch_size: Any, size: int | None) -> int:
    """The number of examples in a batch; `batch_size` None takes all."""
    if size is None:
        return 0  # the stream says how many
    if batch_size is None:
        return size
    check_count("batch_size", batch_size)
    if batch_size > size:
        raise cg.InputError(
            f"batch_size is {batch_size}, but there are only {size} examples to train on; batch_size=None takes them all{cg.here()}"
        )
    return int(batch_size)


__all__ = ["Arrays", "Feed", "Part", "Stream", "TrainingWarning", "feed_of"]

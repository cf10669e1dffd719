"""Real data sets that come with scikit-learn: no download, small enough for any machine."""

from __future__ import annotations

import gzip
import importlib.util
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import compgraph as cg
from optim.data.dataset import Dataset

_MISSING = 'this data set comes with scikit-learn, which is not installed: pip install "compgraph[data]"'


def digits(dtype: Any = np.float32) -> Dataset:
    """1,797 handwritten digits of 8 by 8 pixels from 0 to 16, in rows of 64; labels 0 to 9. Divide by 16 before training.

    Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository 1998: its test set.
    """
    path = _installed() / "datasets" / "data" / "digits.csv.gz"
    if path.exists():  # importing scikit-learn takes longer than training on the digits
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",")
        X, y = table[:, :-1], table[:, -1]
    else:
        found = _sklearn("load_digits")
        X, y = found.data, found.target
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    text = "handwritten digits, 8 x 8 pixels from 0 to 16 (Alpaydin and Kaynak 1998)"
    return Dataset(X.astype(dtype), y.astype(np.int64), names, [str(number) for number in range(10)], text)


def breast_cancer(dtype: Any = np.float32) -> Dataset:
    """569 tumours, 30 measures of their cells each; label 0 is malignant, 1 benign.

    Wolberg, Street and Mangasarian, "Breast cancer Wisconsin (diagnostic)", UCI Machine Learning Repository 1995.
    """
    return _from_sklearn("load_breast_cancer", dtype)


def wine(dtype: Any = np.float32) -> Dataset:
    """178 wines of three growers, 13 measures each; the label is the grower.

    Aeberhard and Forina, "Wine", UCI Machine Learning Repository 1991.
    """
    return _from_sklearn("load_wine", dtype)


def diabetes(dtype: Any = np.float32) -> Dataset:
    """442 patients, 10 measures each, already centred and scaled; y is the disease's progression after a year, 25 to 346.

    Efron, Hastie, Johnstone and Tibshirani, "Least angle regression", Annals of Statistics 32 (2004).
    """
    return _from_sklearn("load_diabetes", dtype)


def _from_sklearn(loader: str, dtype: Any) -> Dataset:
    found = _sklearn(loader)
    labels = found.get("target_names")
    y = found.target.astype(dtype if labels is None else np.int64)
    names = () if labels is None else [str(name) for name in labels]
    return Dataset(found.data.astype(dtype), y, [str(name) for name in found.feature_names], names, found.DESCR)


def _installed() -> Path:
    """The folder of scikit-learn, found without importing it."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise cg.MissingDependencyError(_MISSING)
    return Path(next(iter(found.submodule_search_locations)))


def _sklearn(loader: str) -> Any:
    try:
        return getattr(import_module("sklearn.datasets"), loader)()
    except ImportError as error:
        raise cg.MissingDependencyError(_MISSING) from error

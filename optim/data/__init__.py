"""Examples to learn from: real sets, toy sets, tables and arrays in files, streams; how they are split and scaled.

>>> from optim import data
>>> train, test = data.split(data.moons(100), 0.2, seed=1, stratify=True)
>>> len(train.X), len(test.X)
(80, 20)

A set is a `Dataset`, which is the pair (X, y) with names: `X, y = data.moons()`.
"""

from __future__ import annotations

from optim.data.bundled import breast_cancer, diabetes, digits, wine
from optim.data.dataset import Dataset, one_hot, split, standardise
from optim.data.files import idx, npy, npz
from optim.data.streams import batches
from optim.data.tables import csv
from optim.data.toys import circles, moons, spirals, xor

__all__ = [
    "Dataset", "batches", "breast_cancer", "circles", "csv", "diabetes", "digits", "idx", "moons", "npy", "npz", "one_hot", "spirals",
    "split", "standardise", "wine", "xor",
]  # fmt: skip

"""Data: the sets hold what they say, files are read exactly and in part, and a bad file is refused with the place of its fault."""

from __future__ import annotations

import builtins
import copy
import gzip
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compgraph as cg
import optim
from compgraph import nn
from optim import data

Dataset = data.Dataset

# ---------------------------------------------------------------------------------------------- real sets

BUNDLED: dict[str, tuple[Callable[..., Dataset], str, tuple[int, int], int]] = {
    "digits": (data.digits, "load_digits", (1797, 64), 10),
    "breast_cancer": (data.breast_cancer, "load_breast_cancer", (569, 30), 2),
    "wine": (data.wine, "load_wine", (178, 13), 3),
    "diabetes": (data.diabetes, "load_diabetes", (442, 10), 0),
}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_set_is_the_one_of_scikit_learn(name: str) -> None:
    load, loader, shape, classes = BUNDLED[name]
    theirs = getattr(pytest.importorskip("sklearn.datasets"), loader)()
    ours = load()
    assert ours.X.dtype == np.float32 and ours.X.shape == shape
    np.testing.assert_array_equal(ours.X, theirs.data.astype(np.float32))
    np.testing.assert_array_equal(load(np.float64).X, theirs.data)
    np.testing.assert_array_equal(ours.y, theirs.target)
    assert ours.y.dtype == (np.int64 if classes else np.float32)
    assert list(ours.feature_names) == list(theirs.feature_names)
    assert list(ours.target_names) == [str(label) for label in theirs.get("target_names", [])]
    assert len(ours.target_names) == classes and ours.description


def test_the_digits_take_no_import_of_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    program = "import sys; from optim import data; print(data.digits().X.sum(), 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{data.digits().X.sum()} False\n"
    monkeypatch.setattr("optim.data.bundled._installed", lambda: tmp_path)  # a scikit-learn that keeps its files elsewhere
    moved = data.digits()
    np.testing.assert_array_equal(moved.y[:10], np.arange(10))
    assert moved.X.sum() == 561718


@pytest.mark.parametrize("name", BUNDLED)
def test_without_scikit_learn_the_line_that_installs_it_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(cg.MissingDependencyError, match=r'pip install "compgraph\[data\]"'):
        BUNDLED[name][0]()


# ---------------------------------------------------------------------------------------------- toy sets

TOYS: dict[str, Callable[..., Dataset]] = {"moons": data.moons, "circles": data.circles, "spirals": data.spirals, "xor": data.xor}


@pytest.mark.parametrize("make", TOYS.values(), ids=TOYS)
def test_a_toy_set_is_its_seed(make: Callable[..., Dataset]) -> None:
    one, again, other = make(51, 0.1, 3), make(51, 0.1, np.random.default_rng(3)), make(51, 0.1, 4)
    np.testing.assert_array_equal(one.X, again.X)
    np.testing.assert_array_equal(one.y, again.y)
    assert not np.array_equal(one.X, other.X) and not np.array_equal(one.y, np.sort(one.y))
    assert (one.X.dtype, one.y.dtype, one.X.shape) == (np.float32, np.int64, (51, 2))
    assert list(np.bincount(one.y)) == [26, 25] or make is data.xor
    assert make(5, dtype=np.float64).X.dtype == np.float64
    for bad in ({"n": 0}, {"n": 2.5}, {"seed": -1}, {"seed": "x"}, {"noise": -1}, {"noise": float("nan")}):
        with pytest.raises(cg.InputError, match=r"test_data\.py"):
            make(**bad)


def test_toy_sets_have_their_shapes() -> None:
    X, y = data.moons(400, 0, dtype=np.float64)
    upper, lower = X[y == 0], X[y == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1)
    assert upper[:, 1].min() >= 0 and lower[:, 1].max() <= 0.5
    X, y = data.circles(400, 0, factor=0.3, dtype=np.float64)
    np.testing.assert_allclose(np.hypot(*X.T), np.where(y == 1, 0.3, 1.0))
    X, y = data.xor(400, dtype=np.float64)
    np.testing.assert_array_equal(y, (X[:, 0] > 0) != (X[:, 1] > 0))
    assert np.abs(X).max() <= 1 and {tuple(sign) for sign in np.sign(X)} == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    X, y = data.spirals(600, 0, classes=3, turns=2, dtype=np.float64)
    along = np.hypot(*X.T)
    turned = np.arctan2(X[:, 1], X[:, 0]) / (2 * np.pi) - 2 * along - y / 3
    np.testing.assert_allclose(turned, np.round(turned), atol=1e-9)
    assert list(np.bincount(y)) == [200, 200, 200]


def test_toy_noise_has_its_size() -> None:
    quiet, noisy = data.circles(4000, 0, 5, dtype=np.float64), data.circles(4000, 0.2, 5, dtype=np.float64)
    np.testing.assert_allclose((noisy.X - quiet.X).std(), 0.2, rtol=0.05)


@pytest.mark.parametrize("call", [lambda: data.circles(factor=1.0), lambda: data.circles(factor=0), lambda: data.spirals(classes=1)])
def test_bad_toy_shapes(call: Callable[[], Any]) -> None:
    with pytest.raises(cg.InputError):
        call()


# ---------------------------------------------------------------------------------------------- sets, splits, scales


def test_a_data_set_is_a_pair() -> None:
    given_X = np.ones((3, 2))
    found = Dataset(given_X, [1, 2, 3], ["a", "b"], ["no", "yes"], "text")
    X, y = found
    assert X is given_X is found.X is found[0] and y is found.y and isinstance(found, tuple)
    assert repr(found) == "Dataset of 3 examples: X float64 (3, 2), y int64 (3,), targets no, yes"
    part = found.at([2, 0])
    assert part.target_names == ("no", "yes") and part.y.tolist() == [3, 1]
    again = copy.deepcopy(found)
    assert again.X is not X and again.feature_names == ("a", "b")
    for bad in (([[1.0], [2.0]], [1]), (1.0, 2.0), ([1.0], 3)):
        with pytest.raises(cg.ShapeError, match=r"X and y have an entry for each example.*test_data"):
            Dataset(*bad)


@given(size=st.integers(2, 60), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_a_split_has_each_example_once(size: int, fraction: float, seed: int) -> None:
    whole = (np.arange(size)[:, None], np.arange(size))
    if max(1, round(size * fraction)) >= size:
        with pytest.raises(cg.InputError, match="would be empty"):
            data.split(whole, fraction, seed)
        return
    train, test = data.split(whole, fraction, seed)
    assert len(test.X) == max(1, round(size * fraction))
    np.testing.assert_array_equal(np.sort(np.concatenate([train.y, test.y])), np.arange(size))
    for part in (train, test):
        np.testing.assert_array_equal(part.X[:, 0], part.y)
    for one, again in zip((train, test), data.split(whole, fraction, seed), strict=True):
        np.testing.assert_array_equal(one.y, again.y)


@given(counts=st.lists(st.integers(2, 40), min_size=2, max_size=5), fraction=st.floats(0.1, 0.9), seed=st.integers(0, 5))
def test_a_stratified_split_shares_each_class(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    if max(1, round(len(labels) * fraction)) >= len(labels):
        return
    _, test = data.split((labels[:, None], labels), fraction, seed, stratify=True)
    found = np.bincount(test.y, minlength=len(counts))
    assert len(test.y) == max(1, round(len(labels) * fraction))
    assert np.all(np.abs(found - np.array(counts) * fraction) <= 1.5)


def test_a_stratified_split_is_drawn_too() -> None:
    X = np.arange(40.0)[:, None]
    drawn = [data.split((X, np.arange(40) % 2), 0.25, seed, stratify=True)[1].X[:, 0] for seed in range(30)]
    counts = np.bincount(np.concatenate(drawn).astype(int), minlength=40)
    assert counts.max() < 18 and counts.min() > 0


def test_what_cannot_be_split() -> None:
    X, y = np.ones((4, 1)), np.array([0, 0, 0, 1])
    with pytest.raises(cg.InputError, match="class 1 has one example"):
        data.split((X, y), 0.5, stratify=True)
    with pytest.raises(cg.InputError, match="only labels can be stratified"):
        data.split((X, y / 2), 0.5, stratify=True)
    for fraction in (0, 1, -0.1, float("nan"), "half", True):
        with pytest.raises(cg.InputError, match="fraction is the second part's share"):
            data.split((X, y), fraction)  # type: ignore[arg-type]
    with pytest.raises(cg.InputError, match="1 examples cannot be split"):
        data.split((X[:1], y[:1]))


def test_standardise() -> None:
    X = np.random.default_rng(0).normal([5, -300, 0], [0.1, 20, 1], (50, 3))
    X[:, 2] = 0.1  # a constant whose mean is off by a rounding
    train, test = data.standardise(Dataset(X, np.arange(50), ["a", "b", "c"]), Dataset(X[:5] + 1, np.arange(5)))
    np.testing.assert_allclose(train.X.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(train.X.std(axis=0), [1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(test.X, (X[:5] + 1 - X.mean(axis=0)) / np.where([1, 1, 0], X.std(axis=0), 1), rtol=1e-9)
    assert train.feature_names == ("a", "b", "c") and np.abs(train.X[:, 2]).max() < 1e-15
    assert data.standardise(X.astype(np.float32)).dtype == data.standardise(np.eye(3, dtype=np.uint8)).dtype == np.float32
    with pytest.raises(cg.ShapeError, match=r"shape \(3,\), another one \(2,\)"):
        data.standardise(X, X[:, :2])
    for bad in (np.zeros((0, 2)), np.ones(3), np.array([["a"]])):
        with pytest.raises(cg.InputError, match="standardise takes"):
            data.standardise(bad)


def test_scikit_learns_own_helpers_take_our_sets() -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    scaler = pytest.importorskip("sklearn.preprocessing").StandardScaler()
    wine = data.wine(np.float64)
    train_X, _, train_y, test_y = selection.train_test_split(*wine, test_size=0.2, random_state=0, stratify=wine.y)
    np.testing.assert_allclose(data.standardise(train_X), scaler.fit_transform(train_X), atol=1e-11)
    assert np.abs(np.bincount(test_y) - np.bincount(data.split(wine, 0.2, stratify=True)[1].y)).max() <= 1
    assert len(train_y) == len(data.split(wine, 0.2)[0].y)


def test_one_hot() -> None:
    np.testing.assert_array_equal(data.one_hot(np.array([1, 0, 1], np.uint8), 3), [[0, 1, 0], [1, 0, 0], [0, 1, 0]])
    assert data.one_hot([0], dtype=np.float64).dtype == np.float64
    cases = [([0, 3], "label 1 is 3, and there are 3 classes"), ([-1], "label 0 is -1"), ([0.5], "whole numbers"), ([[1]], "whole")]
    for bad, message in cases:
        with pytest.raises(cg.InputError, match=message):
            data.one_hot(bad, 3)


# ---------------------------------------------------------------------------------------------- tables


def table(folder: Path, text: str, name: str = "table.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


TABLES = {
    "numbers": ("a,b,y\n1,2.5,3.5\n-1e3,.5,4\n", {}, [[1, 2.5], [-1000, 0.5]], np.float32([3.5, 4]), ()),
    "whole": ("y,a\n3,1\n-1,2\n3,4\n", {}, [[1], [2], [4]], np.int64([3, -1, 3]), ()),
    "words": ("a,kind\n1,rose\n2,iris\n3, rose \n", {"target": "kind"}, [[1], [2], [3]], np.int64([1, 0, 1]), ("iris", "rose")),
    "mixed": ("a,y\n1,1\n2,unknown\n", {}, [[1], [2]], np.int64([0, 1]), ("1", "unknown")),
    "quoted": ('"a, b","y"\n"1","x, y"\n2,"z"\n', {}, [[1], [2]], np.int64([0, 1]), ("x, y", "z")),
    "Windows": ("\ufeffa , y\r\n1,2\r\n\r\n3,4\r\n", {}, [[1], [3]], np.int64([2, 4]), ()),
    "old Mac": ("a,y\r1,2\r3,4", {}, [[1], [3]], np.int64([2, 4]), ()),
    "semicolons": ("a;y\n1;2\n", {"delimiter": ";"}, [[1]], np.int64([2]), ()),
    "signs": ("a#,y\n1,#2\n", {}, [[1]], np.int64([0]), ("#2",)),
    "missing": ("a,y\nnan,1\n2,0\n", {}, [[np.nan], [2]], np.int64([1, 0]), ()),
    "large": ("a,y\n1,9007199254740993\n", {}, [[1]], np.int64([9007199254740993]), ()),
}


@pytest.mark.parametrize("case", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_table(case: tuple[str, dict[str, str], Any, Any, Any], packed: bool, tmp_path: Path) -> None:
    text, keywords, X, y, names = case
    path = table(tmp_path, text)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    found = data.csv(path, **keywords)
    np.testing.assert_array_equal(found.X, np.float32(X))
    np.testing.assert_array_equal(found.y, y)
    assert (found.X.dtype, found.y.dtype, found.target_names) == (np.float32, y.dtype, names)
    assert len(found.feature_names) == found.X.shape[1]


def test_a_table_in_float64_keeps_all_digits(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(20, 3))
    path = table(tmp_path, "a,b,y\n" + "\n".join(",".join(map(repr, row)) for row in numbers.tolist()))
    found = data.csv(path, dtype=np.float64)
    np.testing.assert_array_equal(np.column_stack(found), numbers)


BAD_TABLES = {
    "text": ("a,b,y\n1,2,3\n\n1,two,3\n", r"table\.csv, line 4, column 'b': 'two' is no number"),
    "ragged": ("a,b,y\n1,2,3\n1,2\n", r"line 3, has 2 cells, and the header names 3 columns"),
    "all too long": ("a,b,y\n1,2,3,4\n1,2,3,4\n", r"line 2, has 4 cells"),
    "all too short": ("a,b,y\n1,2\n1,2\n", r"line 2, has 2 cells"),
    "empty cell": ("a,b,y\n1,,3\n", r"line 2, column 'b': the cell is empty; write nan"),
    "empty target": ("a,b,y\n1,2,\n", r"line 2, column 'y': the cell is empty"),
    "no target": ("a,b,c\n1,2,3\n", r"no column 'y': it has a, b, c; name one of them"),
    "close target": ("a,Y\n1,2\n", r"no column 'y'"),
    "twice": ("a,y,a\n1,2,3\n", r"columns 1 and 3 are both called 'a'"),
    "empty": ("", r"table\.csv is empty"),
    "blank": ("\n \n", r"table\.csv is empty"),
    "header only": ("a,y\n\n", r"has a header and no rows"),
    "no header": ("1,2\n3,4\n", r"line 1, holds numbers; it has to name the columns, with 'y' among them"),
    "target alone": ("y\n1\n", r"no column beside 'y'"),
    "separator": ("a;y\n1;2\n", r"separated by ';': pass delimiter=';'"),
    "tabs": ("a\ty\n1\t2\n", r"separated by '\\t'"),
    "thousands": ("a,y\n1_000,2\n", r"line 2, column 'a': '1_000' is no number"),
}


@pytest.mark.parametrize("case", BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_table_is_refused_with_its_place(case: tuple[str, str], tmp_path: Path) -> None:
    text, message = case
    with pytest.raises(cg.InputError, match=message) as caught:
        data.csv(table(tmp_path, text))
    assert "test_data.py" in str(caught.value)


def test_no_table_at_all(tmp_path: Path) -> None:
    with pytest.raises(cg.InputError, match="no text in UTF-8"):
        data.csv(table(tmp_path, "ä,y\n1,2\n", encoding="latin-1"))
    path = table(tmp_path, "a,y\n" + "1,2\n" * 1000)
    path.write_bytes(gzip.compress(path.read_bytes())[:-10])
    with pytest.raises(cg.InputError, match="no text in UTF-8"):
        data.csv(path)
    with pytest.raises(FileNotFoundError):
        data.csv(tmp_path / "absent.csv")
    with pytest.raises(cg.InputError, match="do you mean 'price'"):
        data.csv(table(tmp_path, "a,price\n1,2\n"), target="prize")


# ---------------------------------------------------------------------------------------------- arrays in files


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    kind = array.dtype.str[1:]
    header = bytes([0, 0, codes[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 3)])
def test_idx(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) - 3).astype(dtype)
    plain, packed = tmp_path / "plain", tmp_path / "packed.gz"
    plain.write_bytes(idx_bytes(array))
    packed.write_bytes(gzip.compress(idx_bytes(array)))
    for found in (data.idx(plain), data.idx(packed)):
        np.testing.assert_array_equal(found, array)
        assert found.dtype.kind == array.dtype.kind and found.shape == shape
    assert isinstance(data.idx(plain), np.memmap) or not array.size
    if array.size:
        with pytest.raises(ValueError, match="read-only"):
            data.idx(plain)[0] = 1


def test_bad_idx(tmp_path: Path) -> None:
    good = idx_bytes(np.arange(6, dtype="i2").reshape(2, 3))
    path = tmp_path / "file"
    for content, message in [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n", "no IDX file: it begins with 89 50 4e 47"),
        (b"\0\0\x07\x01" + good[4:], "no IDX file"),
        (b"\0\0\x08\0", "no IDX file"),
        (good[:6], "cut short within its header"),
        (good[:-1], r"cut short: \(2, 3\) of >i2 take 12 bytes, and there are 11"),
        (good + b"\0", "longer than its header says"),
        (gzip.compress(good[:-1]), "cut short: "),
        (gzip.compress(good)[:-9], "is damaged"),
        (gzip.compress(good)[:12] + b"\xff\xff" + gzip.compress(good)[14:], "is damaged|no IDX file|cut short"),
    ]:
        path.write_bytes(content)
        with pytest.raises(cg.InputError, match=message):
            data.idx(path)
    with pytest.raises(FileNotFoundError):
        data.idx(tmp_path / "absent")


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_and_npz(order: Any, tmp_path: Path) -> None:
    X, y = np.asarray(np.random.default_rng(0).normal(size=(7, 3)), order=order), np.arange(7)
    np.save(tmp_path / "X.npy", X)
    mapped = data.npy(tmp_path / "X.npy")
    np.testing.assert_array_equal(mapped, X)
    assert isinstance(mapped, np.memmap)
    np.savez(tmp_path / "plain.npz", other=np.ones(1000), X=X, labels=y)
    np.savez_compressed(tmp_path / "packed.npz", X=X, labels=y)
    for name, kind in (("plain", np.memmap), ("packed", np.ndarray)):
        found = data.npz(tmp_path / f"{name}.npz", y="labels")
        np.testing.assert_array_equal(found.X, X)
        np.testing.assert_array_equal(found.y, y)
        assert type(found.X) is kind


def test_bad_npy_and_npz(tmp_path: Path) -> None:
    path, X, y = tmp_path / "x.npz", np.ones((3, 2)), np.arange(3)
    np.savez(path, X=X, y=y)
    good = path.read_bytes()
    with pytest.raises(cg.InputError, match="no array 'x'; it has X, y"):
        data.npz(path, X="x")
    np.savez(path, X=X, y=y[:2])
    with pytest.raises(cg.ShapeError, match="an entry for each example"):
        data.npz(path)
    for content in (b"", b"text", good[:-30], good[:100], good[200:]):
        path.write_bytes(content)
        with pytest.raises(cg.InputError, match=r"x\.npz is no NPZ file, or damaged"):
            data.npz(path)
    np.save(tmp_path / "x.npy", X)
    content = (tmp_path / "x.npy").read_bytes()
    for cut in (b"", b"text", content[:20], content[:-1], content + b"\0"):
        (tmp_path / "x.npy").write_bytes(cut)
        with pytest.raises(cg.InputError, match=r"no NPY file|cut short|longer"):
            data.npy(tmp_path / "x.npy")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.exec, ("raise SystemExit('code from a data file ran')",)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    objects = np.array([Bomb(), Bomb()])
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", X=objects, y=np.arange(2))
    np.savez_compressed(tmp_path / "y.npz", X=objects, y=np.arange(2))
    with pytest.raises(cg.InputError, match="Python objects, which are not loaded"):
        data.npy(tmp_path / "x.npy")
    for name in ("x.npz", "y.npz"):
        with pytest.raises(cg.InputError, match="Python objects, which are not loaded"):
            data.npz(tmp_path / name)
    (tmp_path / "x.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(cg.InputError, match="no NPY file"):
        data.npy(tmp_path / "x.npy")


LARGER_THAN_MEMORY = """
import resource, sys
import numpy as np, optim
import optim
from compgraph import nn
from optim import data
X = data.npy("X.npy") if sys.argv[1] == "npy" else data.idx("X.idx")
assert X.nbytes == 1 << 30, X.nbytes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = data.Dataset(X, np.broadcast_to(0, len(X)))
rows = np.random.default_rng(0).integers(0, len(X), (5, 16))
total = sum(float(found.at(batch).X.sum()) for batch in rows)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(total, grown < 200_000, type(found.X[rows[0]]).__name__)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files with holes, and memory counted in KiB")
@pytest.mark.parametrize("form", ["npy", "idx"])
def test_a_set_larger_than_memory_is_read_in_parts(form: str, tmp_path: Path) -> None:
    """A gigabyte that is a hole in the file, of which 5 batches are read: each page that is touched counts as memory."""
    rows, width = 1 << 20, 1024
    if form == "npy":
        with open(tmp_path / "X.npy", "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (rows, width)}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + rows * width)
    else:
        with open(tmp_path / "X.idx", "wb") as file:
            file.write(bytes([0, 0, 8, 2]) + struct.pack(">2I", rows, width))
            file.truncate(12 + rows * width)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", LARGER_THAN_MEMORY, form]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("0.0 True"), done.stderr


def test_a_member_of_an_archive_is_found_behind_any_header(tmp_path: Path) -> None:
    """The header of an entry itself may be longer than that in the directory."""
    np.save(tmp_path / "X.npy", np.arange(6.0).reshape(3, 2))
    np.save(tmp_path / "y.npy", np.arange(3))
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        for name in ("X", "y"):
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.extra = struct.pack("<HH6s", 0x6375, 6, b"unused")
            archive.writestr(entry, (tmp_path / f"{name}.npy").read_bytes())
    np.testing.assert_array_equal(data.npz(tmp_path / "set.npz").X, np.arange(6.0).reshape(3, 2))


# ---------------------------------------------------------------------------------------------- streams


def squares() -> Iterator[tuple[Any, Any]]:
    for x in range(7):
        yield [float(x), 0.0], x * x


def test_batches_of_a_stream() -> None:
    found = data.batches(squares, 3)
    for _ in range(2):
        epoch = list(found)
        assert [X.shape for X, _ in epoch] == [(3, 2), (3, 2), (1, 2)]
        np.testing.assert_array_equal(np.concatenate([y for _, y in epoch]), np.arange(7) ** 2)
        assert {(X.dtype, y.dtype) for X, y in epoch} == {(np.dtype(np.float32), np.dtype(np.int64))}
    assert len(list(data.batches(squares, 3, drop_last=True))) == 2
    assert len(list(data.batches(list(squares()), 7))) == 1


def test_a_stream_is_read_as_it_is_needed() -> None:
    made: list[int] = []

    def endless() -> Iterator[tuple[float, int]]:
        while True:
            made.append(1)
            yield 0.5, 1

    stream = iter(data.batches(endless, 4))
    next(stream), next(stream)
    assert len(made) == 8


def test_a_batch_keeps_its_examples_when_the_generator_reuses_an_array() -> None:
    def reused() -> Iterator[tuple[Any, Any]]:
        x, y = np.zeros(2, np.float32), np.zeros((), np.int64)
        for _ in range(4):
            x += 1
            y += 1
            yield x, y

    (batch,) = data.batches(reused, 4)
    np.testing.assert_array_equal(batch[0][:, 0], [1, 2, 3, 4])
    np.testing.assert_array_equal(batch[1], [1, 2, 3, 4])


def test_bad_streams() -> None:
    once = data.batches(squares(), 3)
    assert len(list(once)) == 3
    with pytest.raises(cg.InputError, match=r"has been read.*pass the function that makes it"):
        list(once)
    cases: list[tuple[Any, type[Exception], str]] = [
        (list, cg.InputError, "gave no example"),
        ([1.0, 2.0], cg.InputError, "example 0 is no pair"),
        ([([1.0], 0), ([1.0, 2.0], 0)], cg.ShapeError, r"example 1 has x \(2,\) and y \(\), those before it x \(1,\)"),
        ([(["word"], 0)], cg.DtypeError, "example 0 holds"),
    ]
    for source, error, message in cases:
        with pytest.raises(error, match=message):
            list(data.batches(source, 2))
    with pytest.raises(cg.InputError, match="batch_size"):
        data.batches(squares, 0)
    with pytest.raises(cg.InputError, match="a source of batches"):
        data.batches(3, 2)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- into training


def test_every_kind_of_data_trains_to_the_same_bits(tmp_path: Path) -> None:
    """Arrays, tables and mapped files of the same examples; a stream of them in their order, without shuffling."""
    whole = data.moons(90, seed=1)
    np.savez(tmp_path / "set.npz", X=whole.X, y=whole.y)
    np.savez_compressed(tmp_path / "packed.npz", X=whole.X, y=whole.y)
    np.save(tmp_path / "X.npy", whole.X)
    (tmp_path / "y.idx").write_bytes(idx_bytes(whole.y.astype("i4")))
    lines = [f"{a!r},{b!r},{label}" for (a, b), label in zip(whole.X.astype(float).tolist(), whole.y, strict=True)]
    kinds: dict[str, Any] = {
        "arrays": whole,
        "table": data.csv(table(tmp_path, "a,b,y\n" + "\n".join(lines))),
        "mapped": data.npz(tmp_path / "set.npz"),
        "packed": data.npz(tmp_path / "packed.npz"),
        "two files": Dataset(data.npy(tmp_path / "X.npy"), data.idx(tmp_path / "y.idx")),
        "stream": data.batches(lambda: zip(whole.X, whole.y, strict=True), 32),
    }
    ends = {}
    for name, kind in kinds.items():
        model = nn.MLP(2, [8], 2, generator=0)
        keywords: dict[str, Any] = {} if name == "stream" else {"batch_size": 32, "shuffle": False}
        optim.fit(model, kind, loss=nn.cross_entropy, optimizer=optim.Adam(model.parameters(), lr=0.01), epochs=3, **keywords)
        ends[name] = b"".join(value.tobytes() for value in model.state_dict().values())
    assert len(set(ends.values())) == 1, [name for name, end in ends.items() if end != ends["arrays"]]


# ---------------------------------------------------------------------------------------------- files made to harm


def test_a_number_too_large_for_the_dtype_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b,y\n1,2,0\n3,1e39,1\n")
    with pytest.raises(cg.InputError, match=r"row 2, column 'b': 1e\+39 is too large for float32: pass dtype=np.float64"):
        data.csv(path)
    assert data.csv(path, dtype=np.float64).X[1, 1] == 1e39
    assert data.csv(table(tmp_path, "a,y\ninf,0\nnan,1\n")).X[0, 0] == np.inf


@pytest.mark.parametrize(
    ("keywords", "said"),
    [({"target": 1}, "target is the name of a column"), ({"target": None}, "target is the name"), ({"delimiter": ""}, "one character"),
     ({"delimiter": ";;"}, "one character"), ({"delimiter": None}, "one character"), ({"delimiter": '"'}, "one character")],
)  # fmt: skip
def test_wrong_arguments_of_a_table(tmp_path: Path, keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(cg.InputError, match=said):
        data.csv(table(tmp_path, "a,y\n1,0\n"), **keywords)


def test_a_line_of_blanks_is_a_blank_line_and_many_words_are_quick(tmp_path: Path) -> None:
    assert len(data.csv(table(tmp_path, "a,y\n1,0\n   \n\t\n2,1\n")).X) == 2
    words = "".join(f"{number},word{number}\n" for number in range(30_000))
    many = data.csv(table(tmp_path, "a,y\n" + words))
    assert many.target_names == tuple(sorted(f"word{number}" for number in range(30_000)))
    assert all(many.target_names[many.y[number]] == f"word{number}" for number in (0, 7, 29_999))


def test_no_damage_of_a_file_of_arrays_shows_an_error_of_the_reader(tmp_path: Path) -> None:
    """Bytes changed and cut at random: an array or an `InputError`."""
    draw = np.random.default_rng(1)
    np.savez(tmp_path / "whole.npz", X=np.ones((3, 2)), y=np.zeros(3))
    np.save(tmp_path / "whole.npy", np.ones((3, 2)))
    files = {kind: (tmp_path / f"whole.{kind}").read_bytes() for kind in ("npz", "npy")} | {"idx": idx_bytes(np.ones((2, 3), "u1"))}
    for kind, content in files.items():
        read: Callable[..., Any] = getattr(data, kind)
        for _ in range(250):
            changed = bytearray(content)
            for _ in range(draw.integers(1, 4)):
                changed[draw.integers(len(changed))] = draw.integers(256)
            kept = bytes(changed[: draw.integers(len(changed))] if draw.random() < 0.2 else changed)
            path = tmp_path / f"damaged.{kind}"
            path.write_bytes(kept)
            try:
                read(path)
            except cg.InputError:
                pass
            except cg.ShapeError:  # of X and y, where the header says so
                assert kind == "npz"


def test_an_idx_file_of_too_many_axes(tmp_path: Path) -> None:
    (tmp_path / "deep.idx").write_bytes(bytes([0, 0, 8, 65]) + struct.pack(">65I", *[1] * 65) + b"\1")
    with pytest.raises(cg.InputError, match="its header says 65 axes"):
        data.idx(tmp_path / "deep.idx")

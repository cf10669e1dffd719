"""Checkpoints: what goes in comes out to the bit, and a file that was cut, changed or never was one is never taken for a state."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import compgraph as cg
import optim
from compgraph import whole_files
from optim import checkpoints

pytest.importorskip("safetensors")


def same(one: Any, other: Any) -> bool:
    """Whether two trees are the same to the bit, in types, dtypes, byte orders and memory orders too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray | np.generic):
        if (one.dtype.str, one.shape, one.tobytes()) != (other.dtype.str, other.shape, other.tobytes()):
            return False
        return one.ndim < 2 or np.isfortran(one) == np.isfortran(other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(type(a) is type(b) for a, b in zip(one, other, strict=True)) and all(
            same(one[key], other[key]) for key in one
        )  # fmt: skip
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, complex):
        return same((one.real, one.imag), (other.real, other.imag))
    if isinstance(one, float):
        return one.hex() == other.hex()
    return bool(one == other)


def through(state: Any, folder: Path) -> Any:
    return checkpoints.load(checkpoints.save(folder / "state.safetensors", state))


NAN_WITH_PAYLOAD = np.array([0x7FF8000000001234, 0x8000000000000000], np.uint64).view(np.float64)

STATES: dict[str, Any] = {
    "numbers": [0, -1, 2**127 - 1, -(2**200), 10**5000, 0.1, -0.0, 5e-324, 1e308, 1 + 2j, complex("nan-0j")],
    "not finite": [float("nan"), float("inf"), -float("inf")],
    "words": [True, False, None, "", "é\n\"\\", "\ud800", "$array"],
    "containers": {"a": [(), [], {}, (1, (2,))], "b": {"": 1, "$x": 2}},
    "keys": {3: "a", 1: "b", None: "c", (1, "x"): "d", 2.5: "e", False: "f", np.int64(7): "g"} | {"1": "text"},
    "0-d": [np.array(3.5), np.float32(0.1), np.bool_(True), np.int64(-3), np.float64("nan")],
    "empty": [np.zeros(0), np.zeros((2, 0, 3), np.int8), np.array("")],
    "big-endian": [np.arange(3, dtype=">f8"), np.arange(6, dtype=">i2").reshape(2, 3), np.float32(2).astype(">f4")],
    "dtypes": [np.ones(3, code) for code in "?bhiqBHIQefdFDgSUMm" if code not in "Mm"] + [np.array(["2020-01-01"], "M8[ns]")],
    "text": np.array(["ä", "longer"]),
    "payload": [NAN_WITH_PAYLOAD, NAN_WITH_PAYLOAD[0], NAN_WITH_PAYLOAD.astype(">f8")],
    "Fortran order": {"w": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "T": np.arange(24.0).reshape(2, 3, 4).T},
    "names that meet": {"a.b": np.ones(1), "a": {"b": np.zeros(1)}, "__metadata__": np.ones(2), "\ud800": np.ones(3)},
    "an array alone": np.arange(3),
    "nothing": None,
    "generators": [
        np.random.default_rng(1).bit_generator.state,
        np.random.MT19937(1).state,
        np.random.Philox(1).state,
        np.random.SFC64(1).state,
    ],
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_state_comes_back_to_the_bit(state: Any, tmp_path: Path) -> None:
    back = through(state, tmp_path)
    assert same(back, state)
    assert checkpoints.to_bytes(back) == checkpoints.to_bytes(state)  # equal states give equal files
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
ARRAYS = hnp.arrays(st.sampled_from(["f2", "<f4", ">f8", "?", "i8", "u1", "c16"]), SHAPES)
KEYS = st.text(max_size=3) | st.integers()
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | ARRAYS,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(state=TREES)
def test_any_tree_comes_back(state: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert same(through(state, tmp_path_factory.getbasetemp()), state)


def test_parts_of_arrays_are_saved_as_they_look(tmp_path: Path) -> None:
    whole = np.arange(24.0).reshape(4, 6)
    back = through([whole[::2, 1::3], whole[::-1], np.broadcast_to(1.5, (2, 2))], tmp_path)
    for found, expected in zip(back, [whole[::2, 1::3], whole[::-1], np.full((2, 2), 1.5)], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_loaded_arrays_are_ones_own(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path / "state", {"a": np.ones(3), "b": np.ones((2, 2), order="F")})
    before = path.read_bytes()
    state = checkpoints.load(path)
    for array in state.values():
        assert array.flags.owndata and array.flags.writeable and array.flags.aligned
        array += 1
    assert path.read_bytes() == before
    path.unlink()
    assert state["a"].sum() == 6


def test_other_tools_read_the_arrays(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    found = load_file(checkpoints.save(tmp_path / "state", {"model": {"0.weight": np.ones((2, 3), np.float32)}, "epoch": 3}))
    assert list(found) == ["model.0.weight"] and found["model.0.weight"].shape == (2, 3)


def test_an_optimizer_goes_on_from_a_file(tmp_path: Path) -> None:
    def run(steps: int, resume_at: int | None) -> bytes:
        w = cg.variable(np.array([3.0, -2.0]))
        optimizer = optim.Adam([w], lr=0.1, betas=(0.8, 0.9))
        for step in range(steps):
            if step == resume_at:
                state = through({"w": w.value, "optimizer": optimizer.state_dict()}, tmp_path)
                w = cg.variable(state["w"])
                optimizer = optim.Adam([w])
                optimizer.load_state_dict(state["optimizer"])
            optimizer.zero_grad()
            np.sum(w**4).backward()
            optimizer.step()
        return w.value.tobytes()

    assert run(10, None) == run(10, 4)


# ---------------------------------------------------------------------------------------------- bad states


class Holder:
    pass


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": [1, Holder()]}, "state.a.1 is a Holder"),
        ({"w": cg.variable(1.0)}, "state.w is a Node.*save its value"),
        ({"w": np.array([Holder()])}, "state.w is an array of dtype object"),
        ({"w": np.ma.masked_array([1, 2], [True, False])}, "state.w is a MaskedArray"),
        ({"w": np.zeros(2, "i4,f8")}, "state.w is an array of dtype"),
        ([b"bytes"], "state.0 is a bytes"),
        ({Holder(): 1}, "a key of state is a Holder"),
    ],
)
def test_what_cannot_be_saved_is_named(state: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("the old one", encoding="utf-8")
    with pytest.raises(cg.InputError, match=message):
        checkpoints.save(tmp_path / "state", state)
    assert (tmp_path / "state").read_text(encoding="utf-8") == "the old one"


def test_a_state_that_holds_itself(tmp_path: Path) -> None:
    state: list[Any] = []
    state.append(state)
    with pytest.raises(cg.InputError, match="holds itself"):
        checkpoints.save(tmp_path / "state", state)


# ---------------------------------------------------------------------------------------------- bad files

STATE = {"w": np.array([[1.0, 2.0, 3.0]]), "n": 7, "lr": 0.1, "flags": (True, None), "k": np.arange(2, dtype=np.int16)}


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = checkpoints.to_bytes(STATE)
    path = tmp_path / "state"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(optim.CheckpointError, match="state is damaged, or not a checkpoint"):
            checkpoints.load(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(optim.CheckpointError, match="damaged"):
        checkpoints.load(path)


def test_a_changed_byte_is_never_a_wrong_state(tmp_path: Path) -> None:
    content = checkpoints.to_bytes(STATE)
    path, unharmed = tmp_path / "state", []
    for place in range(len(content)):
        for flip in (0x01, 0x10, 0x80, 0xFF):
            path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
            try:
                state = checkpoints.load(path)
            except optim.CheckpointError:
                continue
            assert same(state, STATE), (place, flip)
            unharmed.append(place)
    assert len(unharmed) < 10  # blanks between header and arrays


def document(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        found: dict[str, Any] = json.loads(file.metadata()["compgraph"])
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda tree, arrays: tree.update(n=8),
        lambda tree, arrays: tree.pop("n"),
        lambda tree, arrays: tree["w"].update(shape=[3, 1]),
        lambda tree, arrays: tree["k"].update(dtype="<u2"),
        lambda tree, arrays: tree["w"].update(order="F"),
        lambda tree, arrays: arrays.update(w=arrays["w"].reshape(3, 1)),
        lambda tree, arrays: arrays.update(w=arrays["w"] + 1),
        lambda tree, arrays: arrays.update(extra=np.ones(2)),
        lambda tree, arrays: arrays.pop("k"),
        lambda tree, arrays: (tree["w"].update(shape=[3, 1]), arrays.update(w=arrays["w"].reshape(3, 1))),
    ],
)
def test_a_file_with_other_content_than_its_checksum_is_refused(change: Callable[[Any, Any], Any], tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = checkpoints.save(tmp_path / "state", STATE)
    held, arrays = document(path), load_file(path)
    save_file(arrays, path, {"compgraph": json.dumps(held)})
    assert same(checkpoints.load(path), STATE)  # the same content, written by somebody else
    change(held["state"], arrays)
    save_file(arrays, path, {"compgraph": json.dumps(held)})
    with pytest.raises(optim.CheckpointError, match="damaged"):
        checkpoints.load(path)


@pytest.mark.parametrize("dtype", [",", "O", "i4,i4", "float64", "|V8", "<f3", 8, None])
def test_a_dtype_that_save_never_writes_is_refused(dtype: Any, tmp_path: Path) -> None:
    """Whoever writes a file on purpose can give it the right checksum."""
    from safetensors.numpy import load_file, save_file

    path = checkpoints.save(tmp_path / "state", STATE)
    held, arrays = document(path), load_file(path)
    held["state"]["w"]["dtype"] = dtype
    save_file(arrays, path, {"compgraph": json.dumps({**held, "sha256": checkpoints._digest(held["state"], arrays)})})
    with pytest.raises(optim.CheckpointError, match="damaged"):
        checkpoints.load(path)


def test_foreign_files_are_refused_with_their_reason(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "state"
    save_file({"w": np.ones(2)}, path)
    with pytest.raises(optim.CheckpointError, match=r"state is a safetensors file, but not a checkpoint of compgraph.*test_checkpoints"):
        checkpoints.load(path)
    save_file({}, path, {"compgraph": json.dumps({"version": 2, "sha256": "", "state": {}})})
    with pytest.raises(optim.CheckpointError, match="version 2 of the form, this compgraph reads version 1"):
        checkpoints.load(path)
    for text in ("", "[]", "3", "{}", '{"version": 1}', "[" * 100_000, '{"version": 1, "sha256": "", "state": {"$call": "os.remove"}}'):
        save_file({}, path, {"compgraph": text})
        with pytest.raises(optim.CheckpointError):
            checkpoints.load(path)
    path.write_bytes(b"\x80\x04]\x94.")  # a pickle
    with pytest.raises(optim.CheckpointError, match="not a checkpoint"):
        checkpoints.load(path)
    with pytest.raises(FileNotFoundError, match="absent"):
        checkpoints.load(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no/such/state"):
        checkpoints.save(tmp_path / "no" / "such" / "state", STATE)


# ---------------------------------------------------------------------------------------------- a folder


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_stay(tmp_path: Path) -> None:
    checkpointer = optim.Checkpointer(tmp_path / "a" / "run", keep=2)
    assert checkpointer.latest() is None
    for step in (0, 5, 10, 1_000_000_000_000):
        assert checkpointer.save({"step": step}, step) is not None
    assert steps(checkpointer.folder) == ["step-000000010.safetensors", "step-1000000000000.safetensors"]
    assert optim.Checkpointer(tmp_path / "a" / "run").latest() == ({"step": 10**12}, 10**12)
    checkpointer.save("again", 10**12)
    assert checkpointer.latest() == ("again", 10**12)


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: content[:-1] + b"\xff"])
def test_a_damaged_one_is_refused_and_the_one_before_used(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    checkpointer = optim.Checkpointer(tmp_path)
    for step in (1, 2):
        checkpointer.save({"step": step, "w": np.ones(2)}, step)
    newest = tmp_path / "step-000000002.safetensors"
    newest.write_bytes(damage(newest.read_bytes()))
    fresh = optim.Checkpointer(tmp_path)
    with pytest.warns(optim.CheckpointWarning, match=r"step-000000002.safetensors is damaged.*The one before it is used") as caught:
        found = fresh.latest()
    assert caught[0].filename == __file__
    assert found is not None and found[1] == 1 and found[0]["step"] == 1
    (tmp_path / "step-000000001.safetensors").write_bytes(b"")
    with pytest.warns(optim.CheckpointWarning):
        assert fresh.latest() is None


def test_a_damaged_one_is_in_nobodys_way(tmp_path: Path) -> None:
    first = optim.Checkpointer(tmp_path)
    for step in (10, 20):
        first.save(step, step)
    (tmp_path / "step-000000020.safetensors").write_bytes(b"damaged")
    second = optim.Checkpointer(tmp_path)
    with pytest.warns(optim.CheckpointWarning):
        assert second.latest() == (10, 10)
    second.save(15, 15)  # a step before the damaged one, which counts for nothing
    assert steps(tmp_path) == ["step-000000010.safetensors", "step-000000015.safetensors", "step-000000020.safetensors"]
    second.save(20, 20)
    assert steps(tmp_path) == ["step-000000015.safetensors", "step-000000020.safetensors"]
    assert second.latest() == (20, 20)


def test_an_earlier_step_than_the_newest_is_refused(tmp_path: Path) -> None:
    optim.Checkpointer(tmp_path).save(None, 7)
    with pytest.raises(cg.InputError, match=r"holds step 7 already, which comes after step 3: go on from latest\(\)"):
        optim.Checkpointer(tmp_path).save(None, 3)


def test_leftovers_are_cleaned_and_other_files_left(tmp_path: Path) -> None:
    for name in ("notes.txt", ".hidden", "step-x.safetensors", "model.safetensors", ".step-000000001.safetensors.0123456789ab"):
        (tmp_path / name).write_text("", encoding="utf-8")
    checkpointer = optim.Checkpointer(tmp_path)
    assert checkpointer.latest() is None
    assert steps(tmp_path) == [".hidden", "model.safetensors", "notes.txt", "step-x.safetensors"]


def full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullFile:
    """A file on a full disk: it opens, and takes the first bytes."""

    def __init__(self, path: Any, *_: Any, **__: Any) -> None:
        self.file = open(path, "wb")  # noqa: SIM115

    def __enter__(self) -> FullFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[:100])
        full()


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_a_full_disk_is_a_warning_and_the_old_one_stays(fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpointer = optim.Checkpointer(tmp_path)
    checkpointer.save({"w": np.ones(3)}, 1)
    with monkeypatch.context() as patched:
        if fails == "write":
            patched.setattr(whole_files, "open", FullFile, raising=False)
        else:
            patched.setattr(os, fails, full)
        said = r"no checkpoint of step 2: No space left on device .*that of step 1 stays"
        with pytest.warns(optim.CheckpointWarning, match=said) as caught:
            assert checkpointer.save({"w": np.zeros(3)}, 2) is None
        assert caught[0].filename == __file__
    assert steps(tmp_path) == ["step-000000001.safetensors"]
    found = checkpointer.latest()
    assert found is not None and same(found, ({"w": np.ones(3)}, 1))
    assert checkpointer.save(None, 2) is not None


def test_a_disk_that_is_full_in_earnest(tmp_path: Path) -> None:
    """A limit on the size of files is the full disk that every system can play."""
    pytest.importorskip("resource")
    program = (
        "import resource, signal, warnings, numpy as np, optim\n"
        "run = optim.Checkpointer('run')\n"
        "run.save({'w': np.ones(10)}, 1)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    print(run.save({'w': np.ones(10_000)}, 2), [str(one.message)[:21] for one in caught], run.latest()[1])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "None ['no checkpoint of step'] 1\n", done.stderr
    assert steps(tmp_path / "run") == ["step-000000001.safetensors"]


def test_an_interrupted_save_leaves_no_debris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpointer = optim.Checkpointer(tmp_path)
    checkpointer.save(1, 1)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save(2, 2)
    assert steps(tmp_path) == ["step-000000001.safetensors"]


def test_the_name_comes_after_the_content_reached_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        happened.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def replaced(*paths: Any) -> None:
        happened.append("replace")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    optim.Checkpointer(tmp_path).save({}, 1)
    assert happened == ["file", "replace", "folder"]


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(cg.InputError, match=r"checkpoints cannot be written to .*file"):
            optim.Checkpointer(place)
    monkeypatch.setattr(checkpoints, "_probe", full)
    with pytest.raises(cg.InputError, match="No space left"):
        optim.Checkpointer(tmp_path / "full")


@pytest.mark.parametrize("keep", [0, -1, 1.5, True, "2"])
def test_keep_is_a_count(keep: Any, tmp_path: Path) -> None:
    with pytest.raises(cg.InputError, match="keep is how many"):
        optim.Checkpointer(tmp_path, keep)
    with pytest.raises(cg.InputError, match="step is a whole number"):
        optim.Checkpointer(tmp_path).save({}, -1)


def test_safetensors_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    path = tmp_path / "x"
    for call in (lambda: optim.Checkpointer(tmp_path), lambda: checkpoints.save(path, {}), lambda: checkpoints.load(path)):
        with pytest.raises(cg.MissingDependencyError, match=r'pip install "compgraph\[train\]"'):
            call()


def test_nothing_is_said_where_nothing_is_wrong(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpointer = optim.Checkpointer(tmp_path, keep=1)
        checkpointer.save(STATE, 1)
        assert checkpointer.latest() is not None

"""`compgraph train`: what it says, what it decides by itself, that it learns, and one line for bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.__main__ import main
from optim import command, data


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["train", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def table(folder: Path, columns: dict[str, Any], name: str = "data.csv") -> str:
    rows = zip(*columns.values(), strict=True)
    path = folder / name
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return str(path)


def draws(size: int, seed: int = 0) -> list[float]:
    return [float(number) for number in np.random.default_rng(seed).normal(size=size)]


def test_the_digits(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    code, out, err = run(capsys, "digits", "--model", "mlp", "--optimizer", "adam")
    assert (code, err) == (0, "")
    assert "digits: 1797 examples of 64 features, target of 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9): classification\n" in out
    assert "held out: 359 examples, with the same share of each class; pixels are divided by 16\n" in out
    assert "mlp with 4,810 parameters, Adam with lr 0.003, 30 epochs of batches of 32\n" in out
    last = out.splitlines()[-1]
    assert last.startswith("held-out accuracy 0.9") and last.endswith(" of 359)")
    assert float(last.split()[2]) > 0.965


def test_regression_is_found_from_the_target(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    a, b, noise = np.array(draws(200)), np.array(draws(200, 1)), np.array(draws(200, 2))
    path = table(tmp_path, {"a": a, "price": 1000 + 300 * a - 200 * b + 30 * noise, "b": b})
    code, out, _ = run(capsys, path, "--target", "price", "--model", "linear", "--lr", "0.05")
    assert code == 0 and f"{path}: 200 examples of 2 features, target from " in out and ": regression\n" in out
    words = out.splitlines()[-1].split()
    assert words[:2] == ["held-out", "R²"] and float(words[2]) > 0.98
    assert 20 < float(words[5].strip(";")) < 40  # in the target's unit: the noise
    assert float(words[-1].strip(")")) > 250


def test_words_are_classes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    a = np.array(draws(100))
    code, out, _ = run(capsys, table(tmp_path, {"a": a, "y": np.where(a > 0, "high", "low")}), "--epochs", "40")
    assert code == 0 and "target of 2 classes (high, low): classification" in out
    assert float(out.splitlines()[-1].split()[2]) >= 0.9


def test_whole_numbers_are_classes_where_they_are_few(tmp_path: Path) -> None:
    a = np.array(draws(120))
    grades = table(tmp_path, {"a": a, "y": np.digitize(a, [-0.5, 0.5]) * 10 + 5}, "grades.csv")
    said: list[str] = []
    found = command.train(grades, epochs=60, say=said.append)
    assert found.measure == "accuracy" and found.value > 0.85 and "3 different whole numbers, which are taken for classes" in said[0]
    assert "target of 3 classes (5, 15, 25)" in said[1]
    assert command.train(grades, task="regression", epochs=60, say=said.append).measure == "r2"
    ages = table(tmp_path, {"a": a, "y": np.arange(120)}, "ages.csv")
    assert command.train(ages, epochs=1, say=said.append).measure == "r2"
    assert command.train(ages, task="classification", epochs=1, say=said.append).measure == "accuracy"


@pytest.mark.parametrize(("name", "least"), [("moons", 0.9), ("circles", 0.9), ("xor", 0.9), ("spirals", 0.6)])
def test_toy_sets(name: str, least: float, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, name, "--hidden", "32", "32", "--lr", "0.01")
    assert code == 0 and float(out.splitlines()[-1].split()[2]) > least


@pytest.mark.parametrize("name", sorted(command.OPTIMIZERS))
def test_every_optimizer_has_its_name(name: str) -> None:
    said: list[str] = []
    found = command.train("moons", optimizer=name.upper(), epochs=1, say=said.append)
    assert len(found.history) == 1 and any(command.OPTIMIZERS[name].__name__ in line for line in said)


def test_a_run_is_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    outs = [run(capsys, "moons", "--epochs", "2", "--seed", seed)[1].splitlines()[-1] for seed in "334"]
    models = [command.train("moons", epochs=2, seed=seed, say=str).model.state_dict() for seed in (3, 3, 4)]
    assert outs[0] == outs[1]
    for name, array in models[0].items():
        np.testing.assert_array_equal(array, models[1][name])
        assert not np.array_equal(array, models[2][name])


def test_what_is_held_out_is_never_learnt_from() -> None:
    """Labels that are coin throws: an MLP learns them by heart, and is as good as a coin on others."""
    X = np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32)
    coins = data.Dataset(X, np.random.default_rng(1).integers(0, 2, 60))
    command.SETS["coins"] = lambda: coins
    try:
        found = command.train("coins", epochs=60, lr=0.01, say=str)
    finally:
        del command.SETS["coins"]
    assert found.history["loss"][-1] < 0.05 and found.value < 0.85


def test_files(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    arguments = ("moons", "--epochs", "3", "--checkpoint", "run/", "--plot", "curves.png", "--log", "run.jsonl")
    code, out, _ = run(capsys, *arguments)
    assert code == 0 and "\nwrote curves.png\n" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "run", "run.jsonl"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    rows = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3] and "val_accuracy" in rows[0]
    assert sorted(path.name for path in (tmp_path / "run").iterdir())[0] == "settings.json"
    for option, value, said in [("seed", "5", "seed 0, not 5"), ("hidden", "8", "hidden [64], not [8]"), ("lr", "1", "lr 0.003, not 1.0")]:
        code, _, err = run(capsys, *arguments, f"--{option}", value)
        assert code == 2 and err == f"compgraph: the run in run was begun with {said}: use another folder, or the settings of that run\n"
    longer = run(capsys, *("6" if word == "3" else word for word in arguments))[1]
    straight = run(capsys, "moons", "--epochs", "6")[1]
    assert longer.splitlines()[-1] == straight.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digit"], "do you mean digits?"),
        (["nothing"], "no data set and no file 'nothing'; there are digits, breast_cancer"),
        (["absent.csv"], "absent.csv"),
        (["moons", "--target", "y"], "--target names the column of a table"),
        (["moons", "--optimizer", "adamm"], "no optimizer 'adamm'; do you mean adam"),
        (["moons", "--model", "cnn"], "the model cnn is for images"),
        (["moons", "--epochs", "0"], "epochs"),
        (["moons", "--batch-size", "0"], "batch_size"),
        (["moons", "--batch-size", "10000"], "batch_size is 10000, but there are only 320 examples"),
        (["moons", "--lr", "-1"], "lr"),
        (["moons", "--seed", "-1"], "seed"),
        (["moons", "--hidden", "0"], "0"),
        (["moons", "--plot", "curves.bmp"], "a plot is written as .png, .svg, .pdf"),
        (["moons", "--plot", "no/such/curves.png"], "there is no folder no/such"),
        (["moons", "--log", "no/such/log.jsonl"], "no/such"),
        (["table.csv", "--target", "c"], "no column 'c': it has a, y, word"),
        (["table.csv"], "column 'word': 'one' is no number"),
        (["nan.csv"], "nan.csv: row 2 has nan in column 'a'"),
        (["same.csv"], "the target is 1 in all examples, so there is nothing to tell apart"),
        (["same.csv", "--task", "regression"], "the target is 1 in all examples"),
        (["words.csv", "--task", "regression"], "such as 'no', and a regression needs numbers"),
        (["one.csv"], "in all examples"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "table": "a,y,word\n1,2,one\n", "nan": "a,y\n1,0.5\nnan,1.5\n2,3.5\n", "same": "a,y\n1,1\n2,1\n3,1\n",
        "words": "a,y\n1,no\n2,no\n3,7\n", "one": "a,y\n1,2.5\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    code, _, err = run(capsys, *arguments)
    assert code == 2 and err.startswith("compgraph: ") and err.count("\n") == 1 and message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.csv" for name in files)


def test_a_run_does_not_go_on_with_other_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    a = draws(50)
    arguments = (table(tmp_path, {"a": a, "y": a}), "--epochs", "1", "--checkpoint", str(tmp_path / "run"))
    assert run(capsys, *arguments)[0] == run(capsys, *arguments)[0] == 0
    table(tmp_path, {"a": a, "y": a[::-1]})
    code, _, err = run(capsys, *arguments)
    assert code == 2 and "was begun with other data: use another folder" in err
    (tmp_path / "run" / "settings.json").write_text("{", encoding="utf-8")
    assert "settings.json is damaged" in run(capsys, *arguments)[2]


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(cg.MissingDependencyError, match=r'pip install "compgraph\[plot\]"'):
        command.train("moons", plot="x.png")


def test_training_needs_no_optional_library() -> None:
    optional = ("scipy", "sklearn", "numba", "matplotlib", "safetensors", "tqdm", "sympy")
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({optional}))\n"
        "from compgraph.__main__ import main\n"
        "sys.exit(main(['train', 'moons', '--epochs', '1']))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("held-out accuracy ")

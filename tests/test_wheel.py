"""What is published: the wheel, built from the sdist, installed where nothing else is, and used from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("package_index")]

JOURNEY = """
import numpy as np, compgraph as cg, optim, viz

def f(x1, x2):
    return (np.exp(x1 / x2) + x1 / x2) * (x1 / x2 - np.log(x2))

g = cg.trace(f, 0.5, 1.0)
y, y_dot = cg.forward(g)(0.5, 1.0, 1.0, 0.0)
y, x1_bar, x2_bar = cg.reverse(g)(0.5, 1.0, 1.0)
np.testing.assert_allclose([y, y_dot, x1_bar, x2_bar], [1.0743606, 3.4730819, 3.4730819, -3.8852622], rtol=1e-7)
report = cg.check(g, 0.5, 1.0)
assert report.ok, report
assert "digraph" in viz.draw(g).save("f.dot").read_text()
print(cg.__file__, optim.__file__, viz.__file__)
"""
EXPRESSION = "(exp(x1/x2) + x1/x2) * (x1/x2 - log(x2))"


def run(*command: object, cwd: Path) -> str:
    """What the command prints, where no variable leads back to the sources."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(package_index: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)  # without pip, which not every Python can give: this one's installs into it
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", folder, "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", wheel, cwd=folder)
    return folder / "bin"


def test_the_wheel_holds_the_packages_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name == "compgraph-0.1.0-py3-none-any.whl"
    files = [path for package in ("compgraph", "optim", "viz") for path in (ROOT / package).rglob("*") if path.is_file()]
    sources = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert {"compgraph/py.typed", "optim/py.typed", "viz/py.typed"} <= sources
    metadata = {f"compgraph-0.1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert set(zipfile.ZipFile(wheel).namelist()) == sources | metadata


def test_the_sdist_can_be_tested(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", ".ci/environment.py", "tests/test_wheel.py"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/", "dist", "build")) or name.endswith(".pyc")]


def test_the_dependencies_are_the_four(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    metadata = zipfile.ZipFile(wheel).read("compgraph-0.1.0.dist-info/METADATA").decode().splitlines()
    needs = [line.removeprefix("Requires-Dist: ") for line in metadata if line.startswith("Requires-Dist: ")]
    assert [need for need in needs if "extra" not in need] == ["graphviz>=0.20", "networkx>=3", "numpy>=2", "sympy>=1.12"]
    extras = {line.removeprefix("Provides-Extra: ") for line in metadata if line.startswith("Provides-Extra: ")}
    assert extras == {"render", "fast", "plot", "data", "train", "special", "onnx", "gpu-cuda12", "gpu-cuda13", "all", "browser", "dev"}


def test_the_journey_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "journey.py").write_text(JOURNEY)
    printed = run(installed / "python", "-W", "error", "journey.py", cwd=tmp_path).split()
    assert len(printed) == 3
    assert all(Path(path).is_relative_to(installed.parent) for path in printed)


@pytest.mark.parametrize("program", [["compgraph"], ["python", "-W", "error", "-m", "compgraph"]], ids=["compgraph", "python -m compgraph"])
def test_the_command_line_from_an_empty_folder(installed: Path, tmp_path: Path, program: list[str]) -> None:
    command = [installed / program[0], *program[1:]]
    table = run(*command, "trace", EXPRESSION, "x1=0.5", "x2=1", "--mode", "reverse", cwd=tmp_path)
    assert all(number in table for number in ("1.074361", "3.473082", "-3.885262"))
    assert run(*command, "check", EXPRESSION, "x1=0.5", "x2=1", cwd=tmp_path)
    assert "def " in run(*command, "source", EXPRESSION, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []

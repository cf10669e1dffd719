"""`make` and `.ci/environment.py`: what a fresh machine is given, and that a second start does nothing."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def loaded_environment() -> ModuleType:
    specification = importlib.util.spec_from_file_location("environment", ROOT / ".ci/environment.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`.ci/environment.py` as a module, on a Python that has ensurepip and where no variable sets pip's index."""
    for name in ("PIP_INDEX_URL", "PIP_CERT", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    module: Any = loaded_environment()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: True)
    return module


class Commands:
    """Stands in for `run`: keeps the commands, makes the folder that `venv` would make, and answers as told."""

    def __init__(self, *, fails: str = "", says: str = "") -> None:
        self.given: list[list[str]] = []
        self.fails = fails
        self.says = says

    def __call__(self, *command: object) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in command]
        self.given.append(words)
        if "venv" in words:
            shutil.rmtree(words[-1], ignore_errors=True)
            Path(words[-1]).mkdir()
        return subprocess.CompletedProcess(words, int(bool(self.fails) and self.fails in words), "", self.says)

    def take(self) -> list[str]:
        """What was done since the last look: the module run, `venv` or `pip`, and its last word."""
        done = [f"{words[2]} {words[-1]}" for words in self.given]
        self.given.clear()
        return done


# ------------------------------------------------------------------------------------------------ make


@pytest.mark.parametrize("target", ["help", "demo", "test", "lint", "types", "pytest", "bench", "clean"])
def test_make_has_the_target(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_make_test_runs_every_part_with_pytest_last() -> None:
    done = subprocess.run(["make", "-n", "test"], cwd=ROOT, env=without_ci(), capture_output=True, text=True, check=True)
    commands = [line.partition(" ")[2] for line in done.stdout.splitlines() if ".venv" in line]
    assert commands == ["check", "", '-m pytest -n auto --dist worksteal -m "not slow" ']


def without_ci() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("CI", "MAKEFLAGS", "PYTEST_ARGS")}


def test_ci_runs_the_same_command_with_the_slow_tests(tmp_path: Path) -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    (tmp_path / "make").write_text('#!/bin/sh\necho "$CI $PWD $*"\n')
    (tmp_path / "make").chmod(0o755)
    variables = {**without_ci(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([ROOT / ".ci/run"], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == f"true {ROOT} test\n"


# ----------------------------------------------------------------------------------------- idempotence


def test_a_second_start_does_nothing(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    commands = Commands()
    monkeypatch.setattr(environment, "run", commands)
    folder = tmp_path / "venv"
    environment.prepare(folder, {"dev"})
    assert commands.take() == [f"venv {folder}", "pip .[dev]"]
    assert len(capsys.readouterr().out.splitlines()) == 3  # making, installing, ready
    environment.prepare(folder, {"dev"})
    assert commands.take() == []
    assert capsys.readouterr().out == ""


def test_extras_add_up(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(environment, "run", commands)
    folder = tmp_path / "venv"
    environment.prepare(folder, {"render"})
    commands.take()
    environment.prepare(folder, {"dev"})
    assert commands.take() == ["pip .[dev,render]"]
    environment.prepare(folder, {"render"})
    assert commands.take() == []


def test_a_changed_project_is_installed_again(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(environment, "run", commands)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text("one")
    environment.prepare(tmp_path / "venv", {"dev"})
    commands.take()
    (tmp_path / "pyproject.toml").write_text("two")
    environment.prepare(tmp_path / "venv", {"dev"})
    assert commands.take() == ["pip .[dev]"]


def test_another_python_makes_it_anew(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(environment, "run", commands)
    folder = tmp_path / "venv"
    environment.prepare(folder, {"dev"})
    commands.take()
    monkeypatch.setattr(environment.sys, "version", "3.99.0 (another)")
    environment.prepare(folder, {"render"})
    assert commands.take() == [f"venv {folder}", "pip .[render]"]


def test_an_interrupted_start_begins_afresh(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    folder = tmp_path / "venv"
    monkeypatch.setattr(environment, "run", Commands(fails="pip", says="ERROR: the disk is full\n"))
    with pytest.raises(environment.SetupError, match="pip failed with the words above"):
        environment.prepare(folder, {"dev"})
    assert capsys.readouterr().err == "ERROR: the disk is full\n"
    commands = Commands()
    monkeypatch.setattr(environment, "run", commands)
    environment.prepare(folder, {"dev"})
    assert commands.take() == [f"venv {folder}", "pip .[dev]"]


# ---------------------------------------------------------------------------------------------- errors


def test_no_network_is_one_line(environment: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.setattr(environment, "run", Commands(fails="pip", says="WARNING: Retrying (Retry(total=4)) after connection broken\n"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@packages.example/simple")
    assert environment.main(["dev"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("environment: the package index at packages.example cannot be reached")
    assert "secret" not in said


def test_an_old_python_hands_over_to_a_newer_one(environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(environment, "newer_python", lambda: "/opt/python3.12")
    monkeypatch.setattr(environment.subprocess, "call", lambda words: called.append(words) or 0)
    assert environment.main(["dev"]) == 0
    assert called == [["/opt/python3.12", environment.__file__, "dev"]]


def test_a_python_too_old_is_one_line(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    broken = tmp_path / "python3.12"  # as the shims of version managers are
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 2))
    assert environment.main(["dev"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("environment: Python 3.11 or newer is needed")


def test_a_python_new_enough_is_found_on_the_path(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3.13").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.newer_python() == str(tmp_path / "python3.13")


# ------------------------------------------------------------------------------- pip without ensurepip

PAGE = """<!DOCTYPE html><html><body>
<a href="../../packages/pip-24.0-py3-none-any.whl#sha256=aa" data-requires-python="&gt;=3.7">pip-24.0-py3-none-any.whl</a>
<a href="../../packages/pip-24.10-py3-none-any.whl#sha256=bb" data-requires-python="&gt;=3.8,!=3.9.0">pip-24.10-py3-none-any.whl</a>
<a href="../../packages/pip-24.9-py3-none-any.whl#sha256=cc">pip-24.9-py3-none-any.whl</a>
<a href="../../packages/pip-25.0b1-py3-none-any.whl#sha256=dd">a pre-release</a>
<a href="../../packages/pip-25.1-py3-none-any.whl#sha256=ee" data-yanked="">withdrawn</a>
<a href="../../packages/pip-25.2-py3-none-any.whl">without a hash</a>
<a href="../../packages/pip-99.0-py3-none-any.whl#sha256=ff" data-requires-python="&gt;=3.99">for a later Python</a>
<a href="../../packages/pip-26.0.tar.gz#sha256=00">a source archive</a>
</body></html>"""


def test_the_newest_usable_pip_is_chosen(environment: Any) -> None:
    chosen = environment.newest_pip(PAGE, "https://index.example/simple/pip/")
    assert chosen == ("https://index.example/packages/pip-24.10-py3-none-any.whl", "bb")


def test_an_index_without_a_usable_pip_is_refused(environment: Any) -> None:
    with pytest.raises(environment.SetupError, match="lists no pip wheel"):
        environment.newest_pip('{"files": []}', "https://index.example/simple/pip/")


@pytest.fixture
def index(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An index of one pip wheel, in files, and pip told to use it."""
    content = b"a wheel"
    (tmp_path / "pip-24.0-py3-none-any.whl").write_bytes(content)
    page = f'<a href="{tmp_path.as_uri()}/pip-24.0-py3-none-any.whl#sha256={hashlib.sha256(content).hexdigest()}">pip</a>'
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple/")
    fetch = environment.fetch
    monkeypatch.setattr(environment, "fetch", lambda url: page.encode() if url == "https://index.example/simple/pip/" else fetch(url))
    return page


def test_pip_installs_itself_from_its_wheel(environment: Any, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(environment, "run", commands)
    environment.bootstrap_pip(Path("python"))
    (words,) = commands.given
    assert words[1] == f"{words[-1]}/pip"
    assert words[-1].endswith("pip-24.0-py3-none-any.whl")


def test_a_wrong_hash_is_refused_and_nothing_runs(environment: Any, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(environment, "run", commands)
    (tmp_path / "pip-24.0-py3-none-any.whl").write_bytes(b"another wheel")
    with pytest.raises(environment.SetupError, match="does not have the sha256"):
        environment.bootstrap_pip(Path("python"))
    assert commands.given == []


def test_without_ensurepip_pip_is_fetched(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, fetched = Commands(), []
    monkeypatch.setattr(environment, "run", commands)
    monkeypatch.setattr(environment, "bootstrap_pip", fetched.append)
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    environment.prepare(tmp_path / "venv", {"dev"})
    assert "--without-pip" in commands.given[0]
    assert fetched == [tmp_path / "venv/bin/python"]


def test_an_index_out_of_reach_is_one_line(environment: Any) -> None:
    with pytest.raises(environment.SetupError, match=r"the package index at 127\.0\.0\.1 cannot be reached .*Connection refused"):
        environment.fetch("http://127.0.0.1:1/simple/pip/")


def test_the_login_of_an_index_is_sent_to_it_and_to_nobody_else(environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(environment.urllib.request, "urlopen", lambda request, **_: asked.append(request) or io.BytesIO(b"page"))
    assert environment.fetch("https://user:sec%40ret@index.example:8080/simple/pip/") == b"page"
    (request,) = asked
    assert request.full_url == "https://index.example:8080/simple/pip/"
    assert request.unredirected_hdrs == {"Authorization": "Basic " + base64.b64encode(b"user:sec@ret").decode()}
    environment.fetch("https://index.example/simple/pip/")
    assert asked[1].unredirected_hdrs == {}


def test_an_untrusted_certificate_says_what_to_install(environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise environment.urllib.error.URLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")

    monkeypatch.setattr(environment.urllib.request, "urlopen", refuse)
    with pytest.raises(environment.SetupError, match=r"index\.example is not trusted here: apt-get install ca-certificates"):
        environment.fetch("https://index.example/simple/pip/")


def test_pip_settings_are_read_where_pip_reads_them(environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://from-file.example/%25/simple\n")
    assert environment.pip_setting("index-url") == "https://from-file.example/%25/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://from-variable.example/simple")
    assert environment.pip_setting("index-url") == "https://from-variable.example/simple"
    assert environment.pip_setting("no-such-setting", "otherwise") == "otherwise"


@pytest.mark.slow
def test_pip_arrives_from_the_real_index(package_index: None, tmp_path: Path) -> None:
    environment = loaded_environment()  # with this machine's settings of pip
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    environment.bootstrap_pip(tmp_path / "venv/bin/python")
    done = subprocess.run([tmp_path / "venv/bin/python", "-m", "pip", "--version"], capture_output=True, text=True, check=True)
    assert str(tmp_path) in done.stdout

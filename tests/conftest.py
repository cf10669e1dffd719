"""What all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import hypothesis
import pytest

from compgraph.errors import MissingDependencyError
from viz.rendering import render

# Scripts that make stored values: they need the libraries that the values come from.
collect_ignore_glob = ["reference/*/make_*.py", "optim/problems/make_*.py"]


# The same examples in every run, so a failure comes back and a pass stays one; no deadline, since times vary by machine.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture
def can_draw() -> Callable[[str], None]:
    """A function that skips the test, with the reason, where no Graphviz on this machine can write a format."""

    def require(form: str) -> None:
        if form != "dot":
            try:
                render("digraph { a }", form)
            except MissingDependencyError as error:
                pytest.skip(str(error))

    return require


@pytest.fixture(scope="session")
def package_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing where pip reaches its index; elsewhere the test is skipped, but never in CI."""
    folder = tmp_path_factory.mktemp("index")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "0", "download", "--quiet", "--no-deps"]
    done = subprocess.run([*pip, "--dest", folder, "hatchling"], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"the package index cannot be reached: {done.stderr.strip().splitlines()[-1]}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)

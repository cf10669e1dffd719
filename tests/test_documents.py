"""What the documents and the examples say is what happens.

Every ```python block of README.md and docs/ runs, those of one file one after another in one namespace; a ```text
block right after one holds what it prints. Every example prints, in order, the lines its docstring lists under
`Prints::`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from compgraph import PRIMITIVES

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    source: str
    line: int  # of its first line in the document
    prints: str | None


def blocks(text: str) -> list[Block]:
    """The Python blocks of a document, each with the output shown under it, if any is."""
    found: list[Block] = []
    end, follows_python = 0, False
    for fence in FENCE.finditer(text):
        if fence["language"] == "python":
            found.append(Block(fence["body"], text.count("\n", 0, fence.start("body")) + 1, None))
        elif fence["language"] == "text" and follows_python and not text[end : fence.start()].strip():
            found[-1] = found[-1]._replace(prints=fence["body"])
        end, follows_python = fence.end(), fence["language"] == "python"
    return found


def lines(text: str) -> list[str]:
    """The lines without the blanks at their ends, nor empty ones before the first and after the last."""
    return [line.rstrip() for line in text.strip("\n").rstrip().splitlines()]


def run_blocks(text: str, path: Path) -> None:
    """Run the Python blocks of a document; a traceback names the document's own line."""
    namespace: dict[str, object] = {"__name__": path.stem}
    for block in blocks(text):
        printed = io.StringIO()
        program = compile("\n" * (block.line - 1) + block.source, str(path), "exec")
        with contextlib.redirect_stdout(printed):
            exec(program, namespace)
        if block.prints is not None:
            assert lines(printed.getvalue()) == lines(block.prints), f"{path.name}:{block.line} prints something else than it shows"


def promised(source: str) -> list[str]:
    """The lines that the docstring of an example lists under `Prints::`."""
    _, heading, listed = (ast.get_docstring(ast.parse(source)) or "").partition("\nPrints::\n")
    indented = re.match(r"(?:[ \t]*\n|[ \t]+\S[^\n]*(?:\n|\Z))*", listed)
    assert heading and indented and indented[0].strip(), "the docstring has no section `Prints::` with indented lines"
    return [line for line in lines(textwrap.dedent(indented[0])) if line]


def missing(expected: list[str], output: str) -> str | None:
    """The first of the `expected` lines that the output does not hold after those before it."""
    printed = iter(output.splitlines())
    return next((line for line in expected if not any(line in said for said in printed)), None)


@pytest.fixture
def table() -> Iterator[None]:
    """What a document adds to the table of primitives is taken out again, for the tests that go over the table."""
    before = dict(PRIMITIVES)
    yield
    PRIMITIVES.clear()
    PRIMITIVES.update(before)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_blocks_of_a_document_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_blocks(path.read_text(encoding="utf-8"), path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_prints_what_it_promises(path: Path, tmp_path: Path) -> None:
    expected = promised(path.read_text(encoding="utf-8"))
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert missing(expected, done.stdout) is None, done.stdout


DOCUMENT = """# A title

```python
numbers = [1, 2]
print(sum(numbers))
```

```text
3
```

```sh
make test
```

```text
never compared: what is above is not Python
```

```python
print(numbers[0])
```
"""


def test_blocks_share_a_namespace_and_know_their_lines() -> None:
    assert blocks(DOCUMENT) == [Block("numbers = [1, 2]\nprint(sum(numbers))\n", 4, "3\n"), Block("print(numbers[0])\n", 21, None)]
    run_blocks(DOCUMENT, Path("title.md"))


def test_a_block_that_prints_something_else_is_found() -> None:
    with pytest.raises(AssertionError, match=r"title\.md:4 prints something else"):
        run_blocks(DOCUMENT.replace("\n3\n", "\n4\n"), Path("title.md"))


def test_a_block_that_fails_names_its_line() -> None:
    with pytest.raises(IndexError) as failure:
        run_blocks(DOCUMENT.replace("[0]", "[2]"), Path("title.md"))
    assert failure.traceback[-1].lineno == 20  # counted from 0


def test_a_promise_is_read_and_held_in_order() -> None:
    expected = promised('"""Title.\n\nPrints::\n\n    a = 1\n      b = 2\n\nMore words.\n"""\n')
    assert expected == ["a = 1", "  b = 2"]
    assert missing(expected, "so a = 1\nand\n  b = 2\n") is None
    assert missing(expected, "  b = 2\na = 1\n") == "  b = 2"


def test_an_example_without_a_promise_is_found() -> None:
    with pytest.raises(AssertionError, match="no section `Prints::`"):
        promised('"""Title."""\n')

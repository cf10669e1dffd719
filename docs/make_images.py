"""Draw the pictures of the README and the docs by running the code beside them.

Run from the repository's root: `python docs/make_images.py`. A test says when a stored picture is out of date.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"


PAGES = ("README.md", "docs/backpropagation.md", "docs/cost.md", "docs/explain.md")


def drawn() -> dict[str, bytes]:
    """Every picture that the first Python block of a page that saves any saves, by name."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for page in PAGES:
                blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
                block = next((block for block in blocks if ".save(" in block), None)
                if block is None:
                    raise SystemExit(f"{page} has no Python block that saves a picture")
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(block, page, "exec"), {})
        finally:
            os.chdir(before)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, content in drawn().items():
        (IMAGES / name).write_bytes(content)
        print(f"wrote docs/images/{name}")

"""Draw the pictures of docs/examples.md, by running the examples that it shows.

Run from the repository's root: `python docs/make_gallery.py`. They are small on purpose: 70 dots an inch and 128 colours.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images" / "examples"
SETTINGS = "backend: Agg\nsavefig.dpi: 70\n"


def shown() -> list[str]:
    """The names of the examples whose pictures are in the page."""
    return re.findall(r"\(images/examples/(\w+)\.png\)", (ROOT / "docs" / "examples.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "matplotlibrc").write_text(SETTINGS, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MATPLOTLIBRC": folder}
        for name in sys.argv[1:] or shown():
            picture = Path(folder, f"{name}.png")
            subprocess.run([sys.executable, ROOT / "examples" / f"{name}.py", picture], env=environment, cwd=folder, check=True)
            smaller = Path(folder, f"{name}.small.png")
            Image.open(picture).convert("RGB").quantize(128).save(smaller, optimize=True)
            unfinished = IMAGES / f".{name}.png"
            unfinished.write_bytes(smaller.read_bytes())
            os.replace(unfinished, IMAGES / f"{name}.png")
            print(f"wrote docs/images/examples/{name}.png, {(IMAGES / f'{name}.png').stat().st_size / 1000:.1f} kB")

"""The pictures in the docs are the ones that the code beside them draws."""

from __future__ import annotations

import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).parent.parent


def words(svg: bytes) -> list[tuple[str, str]]:
    """What a picture says, without where it says it: layouts differ between releases of Graphviz."""
    return sorted((element.tag.rpartition("}")[2], element.text or "") for element in ElementTree.fromstring(svg).iter() if element.text)


def test_the_stored_pictures_are_current():
    drawn = runpy.run_path(str(ROOT / "docs" / "make_images.py"))["drawn"]()
    costs = {"mode_map.svg", "step_sizes.svg", "swell.svg", "checkpoint_map.svg"}
    assert set(drawn) == {"textbook.svg", "backpropagation.svg", "explain.svg"} | costs
    for name, content in drawn.items():
        stored = (ROOT / "docs" / "images" / name).read_bytes()
        assert words(stored) == words(content), f"docs/images/{name} is out of date: python docs/make_images.py"


def test_every_picture_that_a_page_shows_is_there():
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in page.read_text(encoding="utf-8").split("](")[1:]:
            path = target.split(")")[0]
            if not path.startswith(("http://", "https://", "#")):
                assert (page.parent / path.split("#")[0]).exists(), f"{page.name} points at {path}, which is not there"

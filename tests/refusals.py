"""How the tests of bad input look at an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent


def message_of(error: type[Exception], call: Callable[[], Any], *, located: bool = True) -> str:
    """The text of the error that `call` ends in; it has to name the line of the test that asked for it."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    asked = [entry for entry in caught.traceback if Path(entry.path).parent == TESTS and Path(entry.path) != Path(__file__)][-1]
    place = f"{asked.path.name}:{asked.lineno + 1}"
    assert not located or place in text, f"no {place} in {text!r}"
    assert len(text) < 1000
    return text


def over(cases: dict[str, tuple[Any, ...]]) -> pytest.MarkDecorator:
    """One test a case: name -> (call, error, pieces of the message)."""
    rows = [(call, error, texts) for call, error, *texts in cases.values()]
    return pytest.mark.parametrize(("call", "error", "texts"), rows, ids=list(cases))

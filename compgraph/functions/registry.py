"""Which of our functions stands in for which of NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# NumPy function -> ours. Ours takes NumPy's arguments by NumPy's names; those that it leaves out are refused when used.
FUNCTIONS: dict[Any, Callable[..., Any]] = {}


def implements(*theirs: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as what NumPy's does to nodes, as in `@implements(np.max, np.amax)`."""

    def keep(ours: Callable[..., Any]) -> Callable[..., Any]:
        for function in theirs:
            FUNCTIONS[function] = ours
        return ours

    return keep

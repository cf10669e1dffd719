"""NumPy's functions that choose entries."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.functions.parameters import static_index
from compgraph.functions.registry import implements
from compgraph.graph import Node, bind


def index(x: Node, where: Any) -> Any:
    """`x[where]` for slices, integers, `...`, None and arrays of integers or booleans."""
    return bind("index", x, index=static_index(where))


@implements(np.where)
def where(condition: Any, x: Any, y: Any) -> Any:
    return bind("where", condition, x, y)

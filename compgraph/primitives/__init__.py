"""THE table: every operation with its code, its shape, its derivative and its SymPy form, stated once.

A new primitive is one entry in one of these files; both sweeps, the checks, the drawings and the programs read it.
"""

from compgraph.primitives import (
    arithmetic,
    complex,
    convolution,
    elementary,
    fourier,
    indexing,
    linalg,
    products,
    reduction,
    rounding,
    scan,
    selection,
    shape,
    sorting,
    special,
    windows,
)

__all__ = [
    "arithmetic", "complex", "convolution", "elementary", "fourier", "indexing", "linalg", "products", "reduction", "rounding", "scan",
    "selection", "shape", "sorting", "special", "windows",
]  # fmt: skip

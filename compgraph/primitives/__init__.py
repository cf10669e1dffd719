"""THE table: every operation with its code, its shape, its derivative and its SymPy form, stated once.

A new primitive is one entry in one of these files; both sweeps, the checks, the drawings and the programs read it.
"""

from compgraph.primitives import arithmetic, elementary, indexing, linalg, reduction, selection, shape

__all__ = ["arithmetic", "elementary", "indexing", "linalg", "reduction", "selection", "shape"]

"""Where a function of two variables has a given height, as outlines for a picture; no plotting library is needed.

    >>> xs, ys = np.linspace(-2, 2, 41), np.linspace(-2, 2, 41)
    >>> heights = xs**2 + ys[:, None]**2
    >>> outline, = outlines(xs, ys, -heights, -1.0)
    >>> bool(np.all(np.abs(np.hypot(*outline.T) - 1) < 0.01))
    True
"""

from __future__ import annotations

import numpy as np

# The corners of a cell are 0 to 3 against the clock from its lower left one, and side k goes from corner k to the next.
# For each set of corners at or above the level (bit k for corner k): the sides at which an outline enters and leaves, with the
# higher ground on its left. The two ambiguous cells, 5 and 10, keep their high corners apart.
_SEGMENTS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 3),), 2: ((1, 0),), 3: ((1, 3),), 4: ((2, 1),), 5: ((0, 3), (2, 1)), 6: ((2, 0),), 7: ((2, 3),),
    8: ((3, 2),), 9: ((0, 2),), 10: ((1, 0), (3, 2)), 11: ((1, 2),), 12: ((3, 1),), 13: ((0, 1),), 14: ((3, 0),),
}  # fmt: skip


def outlines(xs: np.ndarray, ys: np.ndarray, heights: np.ndarray, level: float) -> list[np.ndarray]:
    """The closed outlines, each (n, 2), of where `heights` (len(ys), len(xs)) reach `level`, on evenly spaced xs and ys.

    Marching squares (Lorensen & Cline, 1987, in two dimensions) with linear interpolation. Around the grid, and where a
    height is not finite, the ground falls away: an outline closes just outside the grid, so that filling it by the
    even-odd rule colours exactly what is at or above the level.
    """
    finite = np.isfinite(heights)
    if not finite.any():
        return []
    depth = float(np.ptp(heights[finite])) + 1.0
    ground = np.pad(np.where(finite, heights, np.where(heights == np.inf, level + depth, level - depth)), 1, constant_values=level - depth)
    above = ground >= level
    corners = above[:-1, :-1] + 2 * above[:-1, 1:] + 4 * above[1:, 1:] + 8 * above[1:, :-1]
    onward: dict[tuple[int, int, bool], tuple[int, int, bool]] = {}
    for row, column in np.argwhere((corners > 0) & (corners < 15)).tolist():
        # A side is named by the grid point that it starts from and whether it goes up, the same in both its cells.
        sides = ((row, column, False), (row, column + 1, True), (row + 1, column, False), (row, column, True))
        for enters, leaves in _SEGMENTS[int(corners[row, column])]:
            onward[sides[enters]] = sides[leaves]
    found = []
    while onward:
        first, following = onward.popitem()
        chain = [first]
        while following != first:
            chain.append(following)
            following = onward.pop(following)
        found.append(_positions(np.array(chain), xs, ys, ground, level))
    return found


def _positions(sides: np.ndarray, xs: np.ndarray, ys: np.ndarray, ground: np.ndarray, level: float) -> np.ndarray:
    row, column, up = sides.T
    low, high = ground[row, column], ground[row + up, column + 1 - up]
    part = (level - low) / (high - low)
    column_at, row_at = column + part * (1 - up) - 1, row + part * up - 1  # less the rim
    return np.stack([xs[0] + column_at * (xs[1] - xs[0]), ys[0] + row_at * (ys[1] - ys[0])], axis=1)


def levels(heights: np.ndarray, minimum: float | None, count: int = 14) -> np.ndarray:
    """Heights at which to draw outlines: spaced evenly in the logarithm above a known minimum, else by what they enclose."""
    finite = heights[np.isfinite(heights)]
    if not finite.size or np.ptp(finite) == 0:
        return np.empty(0)
    if minimum is None:
        return np.unique(np.quantile(finite, np.linspace(0, 1, count + 2)[1:-1]))
    gap = finite - minimum
    lowest = max(float(np.quantile(gap, 0.01)), float(gap.max()) * 1e-6)
    return minimum + np.geomspace(lowest, float(gap.max()), count + 1)[:-1]

"""Pictures of computation graphs, still and moving."""

from viz.drawing import Drawing as Drawing
from viz.drawing import draw as draw
from viz.patterns import draw_pattern as draw_pattern

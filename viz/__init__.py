"""Pictures of computation graphs, still and moving."""

from viz.drawing import Drawing as Drawing
from viz.drawing import draw as draw

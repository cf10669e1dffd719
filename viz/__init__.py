"""Pictures of computation graphs and of optimizers, still and moving."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from viz import notebook as notebook
from viz.drawing import Drawing as Drawing
from viz.drawing import draw as draw
from viz.patterns import draw_pattern as draw_pattern
from viz.stepper import Stepper as Stepper
from viz.stepper import step as step

if TYPE_CHECKING:
    from viz.checkpoint_chart import checkpoint_map as checkpoint_map
    from viz.cost_charts import mode_map as mode_map
    from viz.cost_charts import swell as swell
    from viz.error_charts import step_sizes as step_sizes
    from viz.racing import Race as Race
    from viz.racing import race as race
    from viz.ways_chart import ways as ways

# A race needs optim and a chart of costs SymPy, which a drawing does not.
_LATE = {
    "Race": "racing", "race": "racing", "mode_map": "cost_charts", "swell": "cost_charts", "checkpoint_map": "checkpoint_chart",
    "step_sizes": "error_charts", "ways": "ways_chart",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'viz' has no attribute {name!r}")
    return getattr(import_module(f"viz.{_LATE[name]}"), name)

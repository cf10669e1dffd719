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
    from viz.racing import Race as Race
    from viz.racing import race as race

_LATE = {"Race": "racing", "race": "racing"}  # they need optim, which a drawing does not


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'viz' has no attribute {name!r}")
    return getattr(import_module(f"viz.{_LATE[name]}"), name)

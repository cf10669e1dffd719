"""Who takes part in a race, and at which learning rates."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
import optim
from compgraph.origins import here

MOST = 8  # as many as colours, dashes and markers can tell apart
# Names beside those of the classes.
_PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "momentum": ("SGD", {"momentum": 0.9}),
    "nag": ("SGD", {"momentum": 0.9, "nesterov": True}),
}
# They look at Hessian products, residuals or outputs, which a budget of gradients does not count.
_BEYOND = ("LevenbergMarquardt", "NaturalGradient", "NewtonCG")
Make = Callable[..., Any]


class Contestant(NamedTuple):
    name: str
    make: Make
    tunable: bool  # whether `make` takes a learning rate

    def optimizer(self, params: list[cg.Node], rate: float | None) -> Any:
        return self.make(params) if rate is None else self.make(params, lr=rate)


def contestants(optimizers: Sequence[Any] | Mapping[str, Any]) -> list[Contestant]:
    if isinstance(optimizers, str) or not isinstance(optimizers, Sequence | Mapping):
        optimizers = (optimizers,)
    named = list(optimizers.items()) if isinstance(optimizers, Mapping) else [(None, one) for one in optimizers]
    if not 1 <= len(named) <= MOST:
        raise cg.InputError(f"race: {len(named)} optimizers; between 1 and {MOST} can be told apart in one picture{here()}")
    found: list[Contestant] = []
    for label, one in named:
        name, make = _maker(one)
        name = " ".join(str(label if label is not None else name).split()) or "optimizer"
        taken = {other.name for other in found}
        if name in taken and label is None and not isinstance(one, str):
            name = next(numbered for number in range(2, MOST + 2) if (numbered := f"{name} {number}") not in taken)
        if name in taken:
            raise cg.InputError(f"race: {name!r} takes part twice; a mapping gives names: {{'{name} 2': ...}}{here()}")
        found.append(Contestant(name, make, _takes_rate(make)))
    return found


def known() -> dict[str, str]:
    """The names that a race knows, in small letters -> the class of `optim`."""
    classes = {name: getattr(optim, name) for name in optim.__all__}
    steppers = [name for name, one in classes.items() if isinstance(one, type) and issubclass(one, optim.Optimizer)]
    not_alone = ("Optimizer", "Lookahead", *_BEYOND)
    names = {name.lower(): name for name in steppers if name not in not_alone}
    return names | {name: one for name, (one, _) in _PRESETS.items()}


def _maker(one: Any) -> tuple[str, Make]:
    if isinstance(one, str):
        name, names = one.strip().lower(), known()
        _refuse_beyond(name)
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise cg.InputError(f"race: no optimizer {one!r:.40}; {hint}There are {', '.join(sorted(names))}{here()}")
        keywords = _PRESETS[name][1] if name in _PRESETS else {}
        return name, _with(getattr(optim, names[name]), keywords)
    if hasattr(one, "param_groups"):
        raise cg.InputError(
            f"race: {type(one).__name__} holds the parameters of another model; give the class, or a function that makes one "
            f"from parameters: lambda params, lr: optim.{type(one).__name__}(params, lr=lr){here()}"
        )
    if not callable(one):
        raise cg.InputError(f"race: an optimizer is a name, a class or a function of parameters, not {type(one).__name__}{here()}")
    inner = getattr(one, "func", one)  # what a functools.partial wraps
    name = getattr(inner, "__name__", type(one).__name__)
    _refuse_beyond(name)
    return name.lower() if isinstance(inner, type) else name.replace("<lambda>", "optimizer"), one


def _refuse_beyond(name: str) -> None:
    if name.lower() in map(str.lower, _BEYOND):
        raise cg.InputError(f"race: {name} takes more from the function than gradients, so a budget of gradients would not be fair{here()}")


def _with(make: Make, keywords: dict[str, Any]) -> Make:
    if not keywords:
        return make

    def made(params: list[cg.Node], lr: float) -> Any:
        return make(params, lr=lr, **keywords)

    return made


def _takes_rate(make: Make) -> bool:
    try:
        return "lr" in inspect.signature(make).parameters
    except (TypeError, ValueError):
        return False


def given_rates(lr: str | float | Mapping[str, float], field: Sequence[Contestant]) -> dict[str, float]:
    """The rates that are given; who is not named here is tuned."""
    names = [one.name for one in field]
    if isinstance(lr, str):
        if lr != "tuned":
            raise cg.InputError(f"race: lr is 'tuned', a number or a mapping from names to numbers, not {lr!r:.40}{here()}")
        return {}
    if isinstance(lr, Mapping):
        for name in lr:
            if name not in names:
                near = difflib.get_close_matches(str(name), names, n=1)
                raise cg.InputError(
                    f"race: lr names {name!r:.40}, who does not take part; {f'did you mean {near[0]}? ' if near else ''}"
                    f"Those who do are {', '.join(names)}{here()}"
                )
        given = dict(lr)
    else:
        given = dict.fromkeys(names, lr)
    for name, rate in given.items():
        if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or not 0 < rate < np.inf:
            raise cg.InputError(f"race: the learning rate of {name} is a number above 0, not {rate!s:.40}{here()}")
    return {name: float(rate) for name, rate in given.items()}

"""`functional_call`: a model as a function of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Any

import compgraph as cg
from compgraph.backend import as_array

# Whether buffers are lent by a running `functional_call`, which hands their new values out: then they may be nodes.
lent: ContextVar[bool] = ContextVar("compgraph_nn_lent", default=False)

Place = tuple[Any, str]  # a module and the attribute that holds the value


def functional_call(model: Any, values: Mapping[str, Any], *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """`model(*args, **kwargs)` with `values` in place of its parameters and buffers: (output, buffers it would have updated).

    >>> import numpy as np, compgraph as cg
    >>> from compgraph import nn
    >>> model = nn.Linear(2, 1)
    >>> values = {"weight": np.array([[1.0, 2.0]]), "bias": np.array([0.5])}
    >>> nn.functional_call(model, values, np.array([[1.0, 1.0]]))
    (array([[3.5]]), {})
    >>> cg.grad(lambda values: np.sum(nn.functional_call(model, values, np.array([[1.0, 1.0]]))[0]))(values)["weight"]
    array([[1., 1.]])

    `values` maps dotted names, as `named_parameters` and `named_buffers` give them, to arrays or nodes; what it leaves out is the
    model's own. The model is as before afterwards, also when the call fails, so a model that updates its running statistics
    hands them out and keeps the old ones. Raises `InputError` for a name that the model does not have and `ShapeError` for a
    value of another shape, and calls nothing then.
    """
    places = places_of(model)
    new = {name: _fitting(model, name, value, places) for name, value in values.items()}
    _check_aliases(new, places)
    buffers = _buffer_places(model)
    before = [(module, attribute, module.__dict__[attribute]) for many in places.values() for module, attribute in many]
    token = lent.set(True)
    try:
        for name, value in new.items():
            for module, attribute in places[name]:
                module.__dict__[attribute] = value
        given = [module.__dict__[attribute] for _, (module, attribute) in buffers]
        output = model(*args, **kwargs)
        after = [module.__dict__[attribute] for _, (module, attribute) in buffers]
        updated = {name: now for (name, _), was, now in zip(buffers, given, after, strict=True) if now is not was}
        return output, updated
    finally:
        lent.reset(token)
        for module, attribute, value in before:
            module.__dict__[attribute] = value


def places_of(model: Any) -> dict[str, list[Place]]:
    """Every dotted name of a parameter or buffer, other names of what is shared included, with all places that hold it."""
    names: dict[str, tuple[int, str]] = {}
    held: dict[tuple[int, str], list[Place]] = {}
    for path, module, _ in model._places():
        for attribute in [*module._parameters, *module._buffers]:
            # A parameter is the variable, wherever it stands; a buffer is the place, whatever array stands there.
            key = (id(module.__dict__[attribute]), "") if attribute in module._parameters else (id(module), attribute)
            names[f"{path}.{attribute}" if path else attribute] = key
            held.setdefault(key, []).append((module, attribute))
    return {name: held[key] for name, key in names.items()}


def _buffer_places(model: Any) -> list[tuple[str, Place]]:
    return [
        (f"{path}.{attribute}" if path else attribute, (module, attribute))
        for path, module in model.named_modules()
        for attribute in module._buffers
    ]


def _fitting(model: Any, name: str, value: Any, places: Mapping[str, list[Place]]) -> Any:
    """`value`, an array or a node, if it can stand where `name` does."""
    if name not in places:
        close = get_close_matches(str(name), places, 1)
        hint = f"; do you mean {close[0]!r}?" if close else f"; it has {', '.join(places) or 'none'}"
        raise cg.InputError(f"functional_call: {type(model).__name__} has no parameter or buffer {name!r}{hint}{cg.here()}")
    if not isinstance(value, cg.Node):
        value = as_array(value)
    module, attribute = places[name][0]
    shape = module.__dict__[attribute].shape
    if value.shape != shape:
        raise cg.ShapeError(f"functional_call: {name} has shape {shape}, {value.shape} is given{cg.here()}")
    return value


def _check_aliases(names: Iterable[str], places: Mapping[str, list[Place]]) -> None:
    """A parameter that is shared has several names; it can be given by one of them only."""
    given: dict[int, str] = {}
    for name in names:
        first = given.setdefault(id(places[name]), name)
        if first != name:
            raise cg.InputError(f"functional_call: {name} is {first} by another name, and both are given{cg.here()}")

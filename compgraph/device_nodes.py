"""`bind` where a value is on a device, and the error for nodes that are not in one place."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph import modes
from compgraph.backend import beside, device_of, evaluated, is_on_device
from compgraph.errors import DeviceError
from compgraph.node import Node, bind_in_mode, complex_form, describe, provides
from compgraph.origins import describe_origin, here
from compgraph.primitive import Primitive


@provides("bind on a device")
def bind_on_device(primitive: Primitive, args: tuple[Any, ...], values: list[Any], params: dict[str, Any]) -> Any:
    """`bind` where a value is on a device: plain arrays of the host are moved there, nodes have to be there already."""
    if not any(isinstance(arg, Node) for arg in args):
        return evaluated(primitive, values, params)
    like = next(value for value in values if is_on_device(value))
    args = tuple(_there(arg, like) for arg in args)
    values = [arg.value if isinstance(arg, Node) else arg for arg in args]
    _refuse_mixed(primitive, args)
    if primitive.takes_complex is not True and any(getattr(arg, "dtype", None) is not None and arg.dtype.kind == "c" for arg in args):
        primitive = complex_form(primitive, args, params)
    abstract = any(value is None for value in values)
    return bind_in_mode(modes.mode.get(), primitive, args, values, params, abstract, lambda *xs, **named: evaluated(primitive, xs, named))


def _there(arg: Any, like: Any) -> Any:
    """A constant where `like` is. A variable stays where it is, since its gradient has to come back to it."""
    if not isinstance(arg, Node) or arg.primitive is None or arg.primitive.name != "constant" or arg.value is None:
        return arg if isinstance(arg, Node) else beside(arg, like)
    value = beside(np.asarray(arg.value), like) if not is_on_device(arg.value) else arg.value
    return arg if value is arg.value else Node(arg.primitive, (), {"value": value}, value, arg.origin, arg.scope, name=arg.name)


def _refuse_mixed(primitive: Primitive, args: tuple[Any, ...]) -> None:
    """Raise `DeviceError` where nodes, or arrays beside them, are in different places, naming both."""
    places: dict[str, Any] = {}
    for arg in args:
        value = arg.value if isinstance(arg, Node) else arg
        if (isinstance(arg, Node) and value is not None) or is_on_device(value):
            places.setdefault(device_of(value), arg)
    if len(places) > 1:
        (one, first), (other, second) = list(places.items())[:2]
        name = (first if other == "host" else second).name if all(isinstance(arg, Node) for arg in (first, second)) else None
        raise DeviceError(
            f"{primitive.name}: {_placed(first)} is on {one}, {_placed(second)} on {other}{here()}. Make both in one place: "
            f'cg.variable(cupy.asarray(value)) of {name or "what is on the host"}, model.to("cupy"), or .get() for the way back'
        )


def _placed(arg: Any) -> str:
    if not isinstance(arg, Node):
        return f"an array {arg.shape}"
    place = describe_origin(arg.origin) if arg.primitive is None else ""
    return describe(arg) + (f" from {place}" if place else "")

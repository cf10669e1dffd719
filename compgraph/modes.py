"""What `bind` has to know besides its arguments: scopes, `no_grad`, `detect_anomaly`, and the running trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from compgraph.origins import Origin


class Mode(NamedTuple):
    """What `bind` has to know besides its arguments. One is current in each thread and task."""

    scope: str = ""  # the names of the open `scope` blocks, joined by "/"
    recording: bool = True  # False inside `no_grad`
    anomaly: bool = False  # True inside `detect_anomaly`
    traced: str = ""  # the function being traced
    origin: Origin = None  # the primal node's origin while its derivative is built
    constants: dict[int, tuple[Any, Any]] | None = None  # arrays a trace has copied, by id
    roles: dict[Any, tuple[str, Any]] | None = None  # as `Graph.roles`: what the sweeps inside a trace have made


DEFAULT = Mode()
mode: ContextVar[Mode] = ContextVar("compgraph_mode", default=DEFAULT)


def current_mode() -> Mode:
    return mode.get()


@contextmanager
def mode_with(**changes: Any) -> Iterator[None]:
    """The current mode with some of its fields replaced, for the length of a block."""
    token = mode.set(mode.get()._replace(**changes))
    try:
        yield
    finally:
        mode.reset(token)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Name the part of a graph that a block of code builds; blocks nest.

    >>> import numpy as np, compgraph as cg
    >>> with cg.scope("layer1"):
    ...     hidden = np.tanh(cg.variable(0.0))
    >>> hidden.scope
    'layer1'

    A drawing frames a scope, and large drawings collapse it.
    """
    outer = mode.get().scope
    with mode_with(scope=f"{outer}/{name}" if outer else name):
        yield


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording: nodes made in the block are constants.

    >>> import compgraph as cg
    >>> x = cg.variable(3.0)
    >>> with cg.no_grad():
    ...     y = x * x
    >>> y.value.item(), y.args
    (9.0, ())
    """
    with mode_with(recording=False):
        yield


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise `AnomalyError` at the first node, tangent or adjoint that is NaN or infinite.

    >>> import numpy as np, compgraph as cg
    >>> x = cg.variable(0.0, name="x")
    >>> with cg.detect_anomaly(), np.errstate(all="ignore"):
    ...     np.log(x)
    Traceback (most recent call last):
    ...
    compgraph.errors.AnomalyError: log made -inf from x = 0., at v1 ...
    """
    with mode_with(anomaly=True):
        yield

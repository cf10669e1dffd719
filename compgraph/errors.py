"""The errors of the project.

Each derives from `CompgraphError` and from the built-in that a NumPy user would catch, so `except ValueError`
written for NumPy code keeps working when its arrays become nodes.
"""

from __future__ import annotations

import numpy as np


class CompgraphError(Exception):
    """Every error that the project raises on purpose."""


class ShapeError(CompgraphError, ValueError):
    """Shapes that do not fit."""


class LinearAlgebraError(CompgraphError, np.linalg.LinAlgError):
    """A matrix that is singular, not square, not positive definite or defective; `np.linalg.LinAlgError` catches it."""


class DtypeError(CompgraphError, TypeError):
    """A value of a kind that cannot be computed with: text, objects, complex numbers where real ones are needed."""


class InputError(CompgraphError, ValueError):
    """Wrong names, numbers or kinds of inputs, seeds or expressions."""


class GraphError(CompgraphError, ValueError):
    """A graph that breaks an invariant, or a node that belongs to another graph."""


class AbstractValueError(CompgraphError, TypeError):
    """The value of a node was asked for while the node only has a shape."""


class ImmutableNodeError(CompgraphError, TypeError):
    """Something tried to write into a node."""


class MissingRuleError(CompgraphError, TypeError):
    """A function that has no primitive, or a primitive that has no such rule."""


class AnomalyError(CompgraphError, FloatingPointError):
    """A NaN or an infinity appeared while `detect_anomaly` was on."""


class ValueRangeError(CompgraphError, OverflowError):
    """A number too large for the dtype that has to hold it."""


class NodeIndexError(CompgraphError, IndexError):
    """An index outside the axis it points into."""


class NodeAxisError(ShapeError, np.exceptions.AxisError):
    """An axis that the array does not have."""


class DeviceError(CompgraphError, RuntimeError):
    """A device that is missing, out of memory, or other than that of the values beside it."""


class MissingDependencyError(CompgraphError, ImportError):
    """An optional package is needed and absent; the message holds the line that installs it."""


class ZeroGradientWarning(UserWarning):
    """A result does not depend on what it was differentiated with respect to."""


class CompilationWarning(UserWarning):
    """A compiled function is traced again and again."""


# The first built-in that matches says which error of ours carries the message on.
_COUNTERPARTS: tuple[tuple[type[Exception], type[CompgraphError]], ...] = (
    (np.exceptions.AxisError, NodeAxisError),
    (OverflowError, ValueRangeError),
    (IndexError, NodeIndexError),
    (TypeError, DtypeError),
    (np.linalg.LinAlgError, LinearAlgebraError),
    (ValueError, ShapeError),
)


def restated(error: Exception, message: str) -> Exception:
    """Return the project's counterpart of `error` with `message`, or `error` itself with `message` as a note.

    >>> restated(IndexError("out of bounds"), "index: x (3,), at v1")
    NodeIndexError('index: x (3,), at v1')
    """
    for builtin, ours in _COUNTERPARTS:
        if isinstance(error, builtin):
            return ours(message)
    error.add_note(message)
    return error

"""NumPy's functions of complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.functions.registry import implements
from compgraph.graph import Node, bind
from compgraph.primitives.kinds import shape_of


def _is_complex(x: Any) -> bool:
    return bool(x.dtype.kind == "c")


@implements(np.real)
def real(val: Any) -> Any:
    """The real part; of a real node the node itself.

    >>> import compgraph as cg
    >>> np.real(cg.variable(2.0 + 3.0j))
    Node(real, 2.)
    """
    return bind("real", val) if _is_complex(val) else val


@implements(np.imag)
def imag(val: Any) -> Any:
    """The imaginary part; of a real node plain zeros."""
    return bind("imag", val) if _is_complex(val) else np.zeros(shape_of(val), val.dtype)[()]


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """The argument of a complex number, between -pi and pi; its derivative at 0, where there is none, is 0.

    >>> import compgraph as cg
    >>> np.angle(cg.variable(1j), deg=True)
    Node(multiply, 90.)

    The angle of a real number is 0 or pi, and a constant.
    """
    if not _is_complex(z):
        z = bind("astype", z, dtype=np.result_type(z.dtype, np.complex64).name)
    found = bind("angle", z)
    return found * (180 / np.pi) if deg else found


implements(np.iscomplexobj)(lambda x: _is_complex(x))
implements(np.isrealobj)(lambda x: not _is_complex(x))
implements(np.iscomplex)(lambda x: np.iscomplex(x.concrete("np.iscomplex()")))
implements(np.isreal)(lambda x: np.isreal(x.concrete("np.isreal()")))

# The attributes and methods of arrays by which NumPy code reads the parts.
setattr(Node, "real", property(real))  # noqa: B010
setattr(Node, "imag", property(imag))  # noqa: B010
setattr(Node, "conj", lambda node: bind("conjugate", node))  # noqa: B010
setattr(Node, "conjugate", lambda node: bind("conjugate", node))  # noqa: B010

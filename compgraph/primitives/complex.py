"""Complex numbers: their parts, their conjugate, their size and their angle.

A complex number z = x + iy is differentiated as the pair (x, y) of real ones, whatever the function:

- the tangent z_dot = x_dot + i y_dot goes forward by the real-linear derivative;
- the adjoint pairs with it as <z_bar, z_dot> = Re(z_bar * z_dot), without a conjugate, so every VJP is the transpose
  of its JVP under this pairing;
- for a holomorphic f that is z_bar = y_bar * f'(z), the same product as in real numbers, and matrices are
  transposed without being conjugated. The table of elementwise and linear primitives therefore holds as it stands;
- the adjoint of a real number is real: the real part of what arrives;
- the gradient of a real-valued f is df/dx - i df/dy. This is the convention of JAX. PyTorch returns its conjugate, which
  is the direction of steepest ascent: descend along -np.conj(grad).

The functions here are not holomorphic. `real`, `imag` and `conjugate` are linear over the real numbers, so they state a
transpose; `magnitude`, which is what `abs` means for complex numbers, and `angle` state a tangent made of these.

    >>> import numpy as np, compgraph as cg
    >>> cg.grad(lambda z: np.real(z) * np.imag(z))(2.0 + 3.0j)
    np.complex128(3-2j)

Source: JAX's documentation, "The Autodiff Cookbook", section on complex numbers; Kreutz-Delgado, "The complex gradient
operator and the CR-calculus" (2009).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.graph import Aval, bind
from compgraph.primitives.kinds import Rule, general, linear, shape_of


def real_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype of the parts of numbers of `dtype`.

    >>> real_dtype(np.complex64)
    dtype('float32')
    """
    return np.zeros((), dtype).real.dtype


def _infer_part(x: Any) -> Aval:
    return shape_of(x), real_dtype(x.dtype)


def _entrywise(name: str) -> Rule:
    return lambda flags, x: bind(name, x)


real = linear(
    # Re(y_bar * Re(x_dot)) = Re(y_bar * x_dot), for the adjoint y_bar of a real number is real.
    "real", cost="views", code="xp.real({0})", infer=_infer_part, transpose=(lambda y_bar, x: y_bar,), batch=_entrywise("real"),
    analytic=False, sympy=lambda sp, x: sp.re(x), label="Re", latex=r"\Re {0}",
)  # fmt: skip
imag = linear(
    # Re(y_bar * Im(x_dot)) = Re(-i y_bar * x_dot). On the left, Python's -1j would make a Python number of a NumPy one.
    "imag", cost="views", code="xp.imag({0})", infer=_infer_part, transpose=(lambda y_bar, x: y_bar * -1j,), batch=_entrywise("imag"),
    analytic=False, sympy=lambda sp, x: sp.im(x), label="Im", latex=r"\Im {0}",
)  # fmt: skip
conjugate = linear(
    # Re(y_bar * conj(x_dot)) = Re(conj(y_bar) * x_dot).
    "conjugate", code="xp.conjugate({0})", infer=lambda x: (shape_of(x), x.dtype), transpose=(lambda y_bar, x: np.conjugate(y_bar),),
    batch=_entrywise("conjugate"), analytic=False, sympy=lambda sp, x: sp.conjugate(x), label="conj", latex=r"\overline{{{0}}}",
)  # fmt: skip


def _tangent_of_magnitude(y: Any, x_dots: Any, x: Any) -> Any:
    """Re(conj(x) x_dot) / |x|, and 0 at the kink x = 0, as for real numbers."""
    unit = x / np.where(y == 0, 1, y)
    return bind("real", np.conjugate(unit) * x_dots[0])


magnitude = general(
    "magnitude", code="abs({0})", infer=_infer_part, tangent=_tangent_of_magnitude, takes_complex=True,
    batch=_entrywise("magnitude"), kink=lambda x: x == 0, sympy=lambda sp, x: sp.Abs(x), label="|z|", latex="|{0}|", cost="transcendentals",
)  # fmt: skip


def _tangent_of_angle(y: Any, x_dots: Any, x: Any) -> Any:
    """Im(x_dot / x), and 0 at 0, where there is no angle."""
    vanishes = x == 0
    return np.where(vanishes, 0, bind("imag", x_dots[0] / np.where(vanishes, 1, x)))


angle = general(
    "angle", code="xp.angle({0})", infer=_infer_part, tangent=_tangent_of_angle, takes_complex=True,
    batch=_entrywise("angle"), kink=lambda x: (x.imag == 0) & (x.real <= 0),
    sympy=lambda sp, x: sp.arg(x), latex=r"\arg {0}", cost="transcendentals",
)  # fmt: skip

"""Ask PyTorch and JAX for their derivatives at every kink of the table of primitives, and store them beside ours.

Run from the repository's root, with PyTorch and JAX installed: `PYTHONPATH=. python tests/reference/kinks/make_kinks.py`.
It writes compgraph/kinks.json, which `cg.explain` quotes. A test computes our side anew, and asks whether every primitive
that states a kink has its entry. A derivative is that of sum(weights * y) by each argument: numbers, "none" where the
library says that there is no derivative, and "absent" where it has no such function.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch

import compgraph as cg

jax.config.update("jax_enable_x64", True)
TARGET = Path(__file__).resolve().parents[3] / "compgraph" / "kinks.json"


class Case(NamedTuple):
    primitive: str
    args: tuple[Any, ...]
    torch: Callable[..., Any] | None
    jax: Callable[..., Any] | None
    params: dict[str, Any] = {}  # noqa: RUF012 - never written to
    weights: list[float] | None = None


def same(name: str, *args: Any, **named: Any) -> Case:
    """A function that both libraries have under this name."""
    return Case(name, args, getattr(torch, name), getattr(jnp, name), **named)


def _pooled(x: Any, size: int) -> Any:
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (size,), (1,), "VALID")


LINE = {"axis": 0}
REDUCED = {"axis": 0, "keepdims": False}
CASES = [
    same("abs", 0.0),
    Case("magnitude", (0j,), torch.abs, jnp.abs),
    Case("angle", (0j,), torch.angle, jnp.angle),
    Case("angle", (-1 + 0j,), torch.angle, jnp.angle),
    Case("relu", (0.0,), torch.relu, jax.nn.relu),
    same("sign", 0.0),
    same("sqrt", 0.0),
    Case("cbrt", (0.0,), None, jnp.cbrt),
    *(Case(name, (x,), getattr(torch, name), getattr(jnp, name)) for name in ("arcsin", "arccos") for x in (1.0, -1.0)),
    same("arccosh", 1.0),
    same("hypot", 0.0, 0.0),
    same("arctan2", 0.0, 0.0),
    same("arctan2", 0.0, -1.0),
    same("copysign", 0.0, 1.0),
    same("copysign", 1.0, 0.0),
    *(same(name, 2.0, 2.0) for name in ("maximum", "minimum", "fmax", "fmin")),
    *(Case("power", args, torch.pow, jnp.power) for args in ((0.0, 0.5), (0.0, 0.0), (0.0, -1.0))),
    *(Case(name, (2.0, 2.0), getattr(torch, name), getattr(jnp, name)) for name in ("less", "less_equal", "greater", "greater_equal")),
    Case("equal", (2.0, 2.0), torch.eq, jnp.equal),
    Case("not_equal", (2.0, 2.0), torch.ne, jnp.not_equal),
    same("floor", 2.0),
    same("ceil", 2.0),
    same("trunc", 2.0),
    Case("rint", (0.5,), torch.round, jnp.rint),
    Case("floor_divide", (4.0, 2.0), torch.floor_divide, jnp.floor_divide),
    same("heaviside", 0.0, 0.5),
    same("remainder", 4.0, 2.0),
    same("fmod", 4.0, 2.0),
    Case("fraction", (2.0,), torch.frac, lambda x: jnp.modf(x)[0]),
    Case("exponent", (2.0,), lambda x: torch.frexp(x)[1], lambda x: jnp.frexp(x)[1]),
    same("signbit", 0.0),
    Case("max", ([3.0, 3.0, 1.0],), lambda x: torch.amax(x, 0), jnp.max, REDUCED),
    Case("first_max", ([3.0, 3.0, 1.0],), lambda x: torch.nn.functional.max_pool1d(x[None], 3), lambda x: _pooled(x, 3), LINE),
    Case("min", ([3.0, 3.0, 5.0],), lambda x: torch.amin(x, 0), jnp.min, REDUCED),
    Case("argmax", ([3.0, 3.0, 1.0],), torch.argmax, jnp.argmax, LINE),
    Case("argmin", ([3.0, 3.0, 5.0],), torch.argmin, jnp.argmin, LINE),
    Case("argsort", ([3.0, 3.0, 1.0],), torch.argsort, jnp.argsort, LINE, [1.0, 2.0, 3.0]),
    Case("sort", ([3.0, 3.0, 1.0],), lambda x: torch.sort(x, stable=True)[0], jnp.sort, LINE, [1.0, 2.0, 3.0]),
    Case("partition", ([3.0, 3.0, 1.0],), None, lambda x: jnp.partition(x, 1), {"kth": 1, "axis": 0}, [1.0, 2.0, 3.0]),
    Case("searchsorted", ([1.0, 2.0], 2.0), torch.searchsorted, jnp.searchsorted, {"side": "left"}),
    Case("norm", ([0.0, 0.0],), torch.linalg.vector_norm, jnp.linalg.norm, {"axis": (0,), "keepdims": False}),
    Case("xlogy", (0.0, 0.0), torch.special.xlogy, jax.scipy.special.xlogy),
    Case("xlogy", (1.0, 0.0), torch.special.xlogy, jax.scipy.special.xlogy),
    Case("xlog1py", (0.0, -1.0), torch.special.xlog1py, jax.scipy.special.xlog1py),
    Case("rel_entr", (0.0, 1.0), None, jax.scipy.special.rel_entr),
    Case("rel_entr", (0.0, 0.0), None, jax.scipy.special.rel_entr),
    Case("i0e", (0.0,), torch.special.i0e, jax.scipy.special.i0e),
    Case("ive", (0.0, 0.0), None, None),
]


def stored(value: Any) -> Any:
    """As strict JSON: a complex number as a pair, what is not finite as its name."""
    if isinstance(value, list):
        return [stored(one) for one in value]
    if isinstance(value, complex):
        return [stored(value.real), stored(value.imag)]
    return float(value) + 0.0 if math.isfinite(value) else str(float(value))  # and -0 as 0


def ours(case: Case) -> Any:
    xs = [cg.variable(np.asarray(arg)[()]) for arg in case.args]
    y = cg.bind(case.primitive, *xs, **case.params)
    if not cg.PRIMITIVES[case.primitive].differentiable:
        return "none"
    y.backward(np.asarray(case.weights if case.weights else np.ones(y.shape)))
    return stored([np.zeros(x.shape).tolist() if x.grad is None else x.grad.tolist() for x in xs])


def from_torch(case: Case) -> Any:
    if case.torch is None:
        return "absent"
    xs = [torch.tensor(arg, dtype=torch.complex128 if isinstance(arg, complex) else torch.float64, requires_grad=True) for arg in case.args]
    try:
        y = case.torch(*xs)
        if not y.requires_grad:
            return "none"
        (y * torch.tensor(case.weights or 1.0)).sum().backward()
    except (RuntimeError, NotImplementedError):
        return "none"
    # PyTorch returns the conjugate of what is called gradient here, see docs/conventions.md.
    return stored([0.0 if x.grad is None else (x.grad.conj().resolve_conj() if x.is_complex() else x.grad).tolist() for x in xs])


def from_jax(case: Case) -> Any:
    if case.jax is None:
        return "absent"

    def total(*xs: Any) -> Any:
        y = case.jax(*xs)
        if not jnp.issubdtype(y.dtype, jnp.floating):
            raise TypeError("no derivative")
        return jnp.sum(y * jnp.asarray(case.weights or 1.0))

    try:
        found = jax.grad(total, argnums=tuple(range(len(case.args))))(*(jnp.asarray(arg) for arg in case.args))
    except (TypeError, NotImplementedError, ValueError):
        return "none"
    return stored([np.asarray(one).tolist() for one in found])


def text(case: Case) -> str:
    args = ", ".join(f"{arg:g}" if isinstance(arg, float) else str(arg) for arg in case.args)
    weights = f", weighted by {case.weights}" if case.weights else ""
    return f"{case.primitive}({args}){weights}"


def main() -> None:
    entries = [
        {
            "primitive": case.primitive, "at": text(case), "args": stored(list(case.args)),
            "complex": isinstance(case.args[0], complex), "params": case.params, "weights": case.weights,
            "compgraph": ours(case), "PyTorch": from_torch(case), "JAX": from_jax(case),
        }
        for case in CASES
    ]  # fmt: skip
    versions = {"PyTorch": torch.__version__.partition("+")[0], "JAX": jax.__version__}
    lines = ",\n".join(f"  {json.dumps(entry, allow_nan=False)}" for entry in entries)
    whole = f'{{\n"versions": {json.dumps(versions)},\n"entries": [\n{lines}\n]\n}}\n'
    beside = TARGET.with_suffix(".new")
    with open(beside, "x", encoding="utf-8") as file:
        file.write(whole)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, TARGET)
    print(f"wrote {len(entries)} entries to {TARGET.name}")


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main()

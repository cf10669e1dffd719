"""Solve the published problems, by this project and by SciPy, and write the tables of docs/second_order.md.

    python docs/make_second_order.py

The text of the page is kept; what stands between its `<!-- name -->` and `<!-- end -->` lines is made anew. A table depends on the
rounding of the machine's linear algebra in its last iterations, so a run elsewhere may differ by a few.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import compgraph as cg
import optim

PAGE = Path(__file__).with_name("second_order.md")
sys.path.insert(0, str(PAGE.parent.parent / "tests" / "optim"))

from problems import more_garbow_hillstrom as mgh  # noqa: E402
from problems import nist  # noqa: E402

METHODS: dict[str, Callable[[Any, Any], optim.Result]] = {
    "Levenberg-Marquardt": lambda r, x0: _doubled(optim.least_squares(r, x0)),
    "Newton-CG": lambda r, x0: optim.minimize(lambda x: np.sum(r(x) ** 2), x0, method="newton-cg"),
    "L-BFGS": lambda r, x0: optim.minimize(lambda x: np.sum(r(x) ** 2), x0),
    "CG (Polak-Ribière+)": lambda r, x0: optim.minimize(lambda x: np.sum(r(x) ** 2), x0, method="cg", maxiter=5000, maxfun=20000),
}


def _doubled(result: optim.Result) -> optim.Result:
    """With the value of the sum of squares, of which `least_squares` minimises half."""
    return result._replace(value=2 * result.value)


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(result: optim.Result, digits: float, places: int) -> str:
    found = f"{digits:.{places}f}" if digits >= 1 else "none"
    return f"{result.iterations} / {result.evaluations} / {found}{'' if result.converged else ' *'}"


def unconstrained() -> str:
    rows = []
    for problem in mgh.PROBLEMS:
        cells = []
        for run in METHODS.values():
            result = run(problem.residuals, np.array(problem.start, float))
            digits, is_global = mgh.digits(result.value, problem)
            cells.append(cell(result, digits, 0) + ("" if is_global else " (local)"))
        rows.append([f"{problem.number} {problem.name}", *cells])
    return table(["problem", *METHODS], rows)


def regression() -> str:
    rows = []
    for problem in nist.REGRESSIONS:
        cells = []
        for start in (problem.starts[1], problem.starts[0]):
            result = optim.least_squares(problem.residuals, np.array(start, float), ftol=1e-14, xtol=1e-14, gtol=1e-14)
            cells.append(cell(result, nist.digits(result.x, problem), 1))
        rows.append([problem.name, problem.level, str(len(problem.certified)), str(len(problem.y)), *cells])
    return table(["data set", "level", "parameters", "observations", "from start 2", "from start 1"], rows)


def beside_scipy() -> str:
    """How many of Moré, Garbow and Hillstrom's problems are solved to more than five digits, and the evaluations of all."""
    from scipy import optimize

    def minimize(method: str, **options: Any) -> Callable[[Any, Any, Any, Any], tuple[float, int]]:
        def run(f: Any, f_and_g: Any, hvp: Any, x0: Any) -> tuple[float, int]:
            found = optimize.minimize(f_and_g, x0, jac=True, hessp=hvp if method == "trust-ncg" else None, method=method, options=options)
            return found.fun, found.nfev

        return run

    theirs = {
        "Newton-CG": ("trust-ncg", minimize("trust-ncg", maxiter=1000, gtol=1e-8)),
        "L-BFGS": ("L-BFGS-B", minimize("L-BFGS-B", maxiter=15000, maxfun=15000, ftol=1e-15, gtol=1e-8)),
        "CG (Polak-Ribière+)": ("CG", minimize("CG", maxiter=5000, gtol=1e-8)),
    }
    solved, evaluations = Counter[str](), Counter[str]()
    for problem in mgh.PROBLEMS:
        x0, r = np.array(problem.start, float), problem.residuals

        def f(x: Any, r: Any = r) -> Any:
            return np.sum(r(x) ** 2)

        def product(x: Any, v: Any, f: Any = f) -> Any:
            return cg.hvp(f, (x,), (v,))

        f_and_g, hvp = cg.compile(cg.value_and_grad(f)), cg.compile(product)
        jacobian = cg.compile(cg.jacobian(r))
        for name, ours in METHODS.items():
            result = ours(r, x0)
            if name in theirs:
                value, count = theirs[name][1](f, f_and_g, hvp, x0)
            else:
                least = optimize.least_squares(r, x0, jacobian, method="lm", ftol=1e-12, xtol=1e-12, gtol=1e-12, max_nfev=10000)
                value, count = 2 * least.cost, least.nfev
            for label, (reached, calls) in ((name, (result.value, result.evaluations)), (f"SciPy: {name}", (value, count))):
                solved[label] += mgh.digits(reached, problem)[0] > 5
                evaluations[label] += calls
    rows = []
    for name in METHODS:
        other = f"SciPy: {name}"
        method = theirs[name][0] if name in theirs else "least_squares, lm (MINPACK)"
        rows.append([name, *(str(part) for part in (solved[name], evaluations[name], method, solved[other], evaluations[other]))])
    return table(["method", "solved", "evaluations", "SciPy's method", "solved", "evaluations"], rows)


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns where its steps overflow
        made_by = {"unconstrained": unconstrained(), "regression": regression(), "beside": beside_scipy()}
    for name, made in made_by.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{PAGE} has no place for the table {name}")
        text = pattern.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
    part = PAGE.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(PAGE)


if __name__ == "__main__":
    main()

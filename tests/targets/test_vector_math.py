"""The vector functions against mpmath, against NumPy at the edges, and against the compiler that inlines them."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import pytest

from compgraph.primitives.elementary import sigmoid, softplus
from compgraph.targets import vector_math
from compgraph.targets.vector_math import FORMATS, FUNCTIONS, LN2, OPTIONS, PI, VERSION, half_turns

numba: Any = pytest.importorskip("numba")

ROOT = Path(__file__).resolve().parents[2]
FAST: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}  # as the numba target compiles
DTYPES = ["float64", "float32"]


class Case(NamedTuple):
    exact: Callable[..., Any]
    like: Callable[..., Any]  # NumPy's, or the primitive's
    ulp: float


CASES = {
    "exp": Case(mp.exp, np.exp, 1),
    "exp2": Case(lambda x: mp.mpf(2) ** x, np.exp2, 1),
    "log": Case(mp.log, np.log, 1),
    "expm1": Case(mp.expm1, np.expm1, 2),
    "log1p": Case(mp.log1p, np.log1p, 2),
    "tanh": Case(mp.tanh, np.tanh, 2),
    "sigmoid": Case(lambda x: 1 / (1 + mp.exp(-x)), sigmoid, 2),
    "softplus": Case(lambda x: mp.log1p(mp.exp(x)), softplus, 2),
    "sin": Case(mp.sin, np.sin, 2),
    "cos": Case(mp.cos, np.cos, 2),
}
BOTH = pytest.mark.parametrize("dtype", DTYPES)
EACH = pytest.mark.parametrize("name", CASES)


def fused(name: str, **options: Any) -> Any:
    """A compiled loop that calls `name` for every entry."""
    function = getattr(vector_math, name)

    def unary(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i])

    def binary(x: Any, y: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i], y[i])

    return numba.njit(**(options or FAST))(binary if name == "logaddexp" else unary)


def loop(name: str, **options: Any) -> Callable[..., np.ndarray]:
    """`name` as a function of whole arrays."""
    fill = fused(name, **options)

    def run(*args: np.ndarray) -> np.ndarray:
        out = np.empty_like(args[0])
        fill(*args, out)
        return out

    return run


def edges(dtype: str) -> np.ndarray:
    info = np.finfo(dtype)
    values = [0.0, 1.0, 0.5, 2.0, info.max, info.smallest_normal, info.smallest_subnormal, info.eps, 1 + info.eps, 1 - info.epsneg]
    # Where exp leaves the format, above and below, and where log and log1p change their exponent.
    values += [709.782712893384, 709.7827128933841, 745.1332191019412, 708.3964185322641, 88.72283, 88.72284, 103.97208, 87.33655]
    values += [2**0.5, 2**0.5 / 2, 2**0.5 - 1, 1 - 2**0.5 / 2, np.log(2) / 2, 1.5 * np.log(2), 1024, 1075, 149]
    values += [np.pi / 2, np.pi, 22.0, 1e5, 2.0**55, 2.0**56]
    found = np.array(values).astype(dtype)
    return np.concatenate([found, -found])


def samples(dtype: str, count: int) -> np.ndarray:
    """Finite values: edges, every exponent, and `count` values in each of the ranges where a function bends."""
    random = np.random.default_rng(4)
    width = np.dtype(dtype).itemsize
    bits = random.integers(0, 2 ** (8 * width) - 1, 2 * count, dtype=f"u{width}", endpoint=True).view(dtype)
    ranges = [random.uniform(-size, size, count).astype(dtype) for size in (1e-3, 0.1, 0.5, 1, 3, 30, 100, 750, 1e5)]
    near = (1 + random.uniform(-1e-3, 1e-3, count)).astype(dtype)
    every = np.concatenate([edges(dtype), bits, *ranges, near])
    return every[np.isfinite(every)]


def inside(name: str, x: np.ndarray) -> np.ndarray:
    return x[x > {"log": 0, "log1p": -1}.get(name, -np.inf)]


def errors(got: np.ndarray, x: np.ndarray, exact: Callable[[Any], Any]) -> np.ndarray:
    """In units of the last place of the exact value; 0 for an infinity where the exact value rounds to it."""
    info, found = np.finfo(got.dtype), []
    limit = mp.mpf(float(info.max)) * (1 + mp.mpf(float(info.eps)) / 4)
    for y, at in zip(got.tolist(), x.tolist(), strict=True):
        value = exact(mp.mpf(at))
        if abs(value) >= limit:
            found.append(0.0 if y == (np.inf if value > 0 else -np.inf) else np.inf)
            continue
        exponent = mp.frexp(value)[1] - 1 if value else -9999
        unit = mp.ldexp(1, max(exponent, int(info.minexp)) - int(info.nmant))
        found.append(float(abs(mp.mpf(y) - value) / unit) if np.isfinite(y) else np.inf)
    return np.array(found)


def test_every_function_is_tested() -> None:
    assert {*CASES, "logaddexp"} == set(FUNCTIONS)


@EACH
@BOTH
def test_error_against_mpmath(name: str, dtype: str) -> None:
    x = inside(name, samples(dtype, 150))
    with mp.workprec(160):
        found = errors(loop(name)(x), x, CASES[name].exact)
    worst = int(np.argmax(found))
    assert found[worst] <= CASES[name].ulp, f"{found[worst]} ulp at {x[worst]!r}"


@EACH
@BOTH
def test_error_on_a_dense_sample(name: str, dtype: str) -> None:
    wide = np.longdouble if dtype == "float64" else np.float64
    if np.finfo(wide).nmant < 52 + 11 * (dtype == "float64"):
        pytest.skip("this platform has no wider type")
    like = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "softplus": lambda x: np.logaddexp(x, wide(0)),
    }.get(name, CASES[name].like)
    x = inside(name, samples(dtype, 40_000))
    got = loop(name)(x)
    with np.errstate(all="ignore"):
        exact = like(x.astype(wide))
        rounded = exact.astype(dtype)
        finite = np.isfinite(rounded)
        found = np.abs(got[finite] - exact[finite]) / np.spacing(np.abs(rounded[finite])).astype(wide)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    worst = int(np.argmax(found))
    assert found[worst] <= CASES[name].ulp + 0.01, f"{found[worst]} ulp at {x[finite][worst]!r}"


@EACH
@BOTH
def test_numpy_s_values_at_the_edges(name: str, dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, info.max, -info.max, -1.0, -2.0, 1.0, info.smallest_subnormal], dtype)
    got = loop(name)(x)
    with np.errstate(all="ignore"):
        expected = CASES[name].like(x)
    special = ~np.isfinite(expected) | (expected == 0) | (np.abs(expected) == 1)
    if name in ("sin", "cos"):
        special &= np.abs(x) < 10
        assert np.isnan(got[2:5]).all()
    np.testing.assert_array_equal(got[special], expected[special])
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))
    assert got.dtype == dtype


@BOTH
def test_exp_underflows_gradually(dtype: str) -> None:
    lowest = {"float64": -745.13, "float32": -103.97}[dtype]
    x = np.linspace(lowest, lowest + 40, 3000).astype(dtype)
    y = loop("exp")(x)
    assert (y > 0).all() and (np.diff(y) >= 0).all()
    with mp.workprec(160):
        assert errors(y, x, mp.exp).max() <= 1


@BOTH
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_of_what_lies_closest_to_a_multiple_of_half_a_turn(name: str, dtype: str) -> None:
    # The first is the worst float64 there is (Muller, Elementary Functions, table 11.1). Then, for every exponent, the
    # convergents of the continued fraction of 2^i / pi, as far as they have numerators of the format.
    digits = np.finfo(dtype).nmant + 1
    found = [6381956970095103 * 2.0**797, 2.0**1023, 16367173 * 2.0**72, 2.0**127] + [k * np.pi / 2 for k in range(1, 400)]
    for exponent in range(0, int(np.finfo(dtype).maxexp) - digits, 7):
        a, b = PI, (1 << 1400 + exponent) << 1  # x = m 2^exponent is close to n pi / 2 where m / n is close to a / b
        earlier, m = 0, 1
        while b and m.bit_length() <= digits:
            found.append(float(np.ldexp(float(m), exponent)))
            (a, b), quotient = (b, a % b), a // b
            earlier, m = m, quotient * m + earlier
    with np.errstate(over="ignore"):
        x = np.array(found).astype(dtype)
    x = x[np.isfinite(x)]
    with mp.workprec(1400):
        closest = min(abs(mp.mpf(float(v)) * 2 / mp.pi - mp.nint(mp.mpf(float(v)) * 2 / mp.pi)) for v in x)
        assert closest < mp.mpf(2) ** {"float64": -55, "float32": -24}[dtype]  # the sample is as hard as it says
        assert errors(loop(name)(x), x, CASES[name].exact).max() <= 2


@BOTH
def test_logaddexp(dtype: str) -> None:
    random = np.random.default_rng(5)
    x, y = (random.normal(size=2000).astype(dtype) * size for size in (np.dtype(dtype).type(30), np.dtype(dtype).type(3)))
    run = loop("logaddexp")
    out = run(x, y)
    for a, b, value in zip(x.tolist(), y.tolist(), out.tolist(), strict=True):
        exact = mp.log(mp.exp(a) + mp.exp(b))
        assert abs(value - exact) <= 2 * float(np.spacing(np.dtype(dtype).type(max(abs(a), abs(b), abs(value)))))
    special = [0.0, np.inf, -np.inf, np.nan, 3.0]
    a, b = (np.array(values, dtype) for values in zip(*((p, q) for p in special for q in special), strict=True))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(run(a, b), np.logaddexp(a, b), rtol=4 * np.finfo(dtype).eps)


@EACH
@BOTH
def test_a_caller_s_fastmath_changes_no_bit(name: str, dtype: str) -> None:
    x = inside(name, samples(dtype, 500))
    fast = loop(name)(x)
    strict = loop(name, error_model="numpy")(x)
    np.testing.assert_array_equal(fast, strict)
    np.testing.assert_array_equal(loop(name, fastmath=True, error_model="numpy")(x)[np.isfinite(strict)], strict[np.isfinite(strict)])


def test_without_a_fastmath_of_its_own_a_callee_is_ruined() -> None:
    def rounded(x: float) -> float:
        return x + 6755399441055744.0 - 6755399441055744.0

    def caller(callee: Any) -> Any:
        return numba.njit(**FAST)(lambda x: callee(x))

    assert caller(numba.njit(**OPTIONS)(rounded))(0.7) == 1.0
    # Should this fail, numba no longer hands flags down: OPTIONS may then lose its fastmath=False.
    assert caller(numba.njit(**{k: v for k, v in OPTIONS.items() if k != "fastmath"})(rounded))(0.7) == 0.7


def test_sine_is_left_to_the_library_where_look_ups_stay_scalar(monkeypatch: pytest.MonkeyPatch) -> None:
    for features, left in [("+avx2,+fma", {"sin", "cos"}), ("+avx2,+fma,+avx512f", set())]:
        monkeypatch.setattr(numba.config, "CPU_FEATURES", features)
        vector_math.gainful.cache_clear()
        assert set(FUNCTIONS) - set(vector_math.gainful()) == left
    monkeypatch.undo()
    vector_math.gainful.cache_clear()


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="reads the assembly of x86")
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@BOTH
def test_loops_are_vectorised(name: str, dtype: str) -> None:
    if name not in vector_math.gainful():
        pytest.skip("this processor has no AVX-512: a loop with sin or cos stays scalar")
    fill, x = fused(name), np.ones(8, dtype)
    fill(*[x] * (2 if name == "logaddexp" else 1), x.copy())
    (assembly,) = fill.inspect_asm().values()
    kind = "d" if dtype == "float64" or name in ("sin", "cos") else "s"
    assert re.search(rf"\bv?mulp{kind}\b|\bvfn?m(add|sub)\d+p{kind}\b", assembly), "no packed arithmetic"
    assert not re.search(r"\b(exp|exp2|expm1|log|log1p|tanh|sin|cos)f?@PLT|call\w*\s+\**%?r?\w*fmaf?\b", assembly)


def test_numba_is_imported_when_a_function_is() -> None:
    there = "print('numba' in sys.modules)"
    program = f"import sys, compgraph.targets.vector_math as v; {there}; v.exp; {there}"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'erf'"):
        vector_math.erf  # noqa: B018


def test_a_caller_is_cached_on_disk(tmp_path: Path) -> None:
    script = tmp_path / "caller.py"
    script.write_text(
        "import numba\n"
        "from compgraph.targets.vector_math import exp, sin\n"
        "@numba.njit(cache=True, error_model='numpy', fastmath={'contract'})\n"
        "def f(x):\n"
        "    return exp(sin(x))\n"
        "y = f(0.5)\n"
        "print(sum(f.stats.cache_hits.values()), y)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    lines = [
        subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    ]
    assert [hits for hits, _ in lines] == ["0", "1"]
    assert lines[0][1] == lines[1][1]
    assert float(lines[0][1]) == pytest.approx(np.exp(np.sin(0.5)), rel=1e-15)


def test_version_is_that_of_the_text() -> None:
    assert hashlib.sha256(Path(vector_math.__file__).read_bytes()).hexdigest().startswith(VERSION)
    assert len(VERSION) == 16


def test_other_types_count_as_float64() -> None:
    assert vector_math.exp(1) == vector_math.exp(1.0) == pytest.approx(np.e, rel=1e-15)
    assert vector_math.logaddexp(np.float32(1), 2) == vector_math.logaddexp(1.0, 2.0)


def test_constants() -> None:
    with mp.workprec(1500):
        assert abs(mp.mpf(LN2) / 2**1400 - mp.log(2)) < mp.mpf(2) ** -1380
        assert abs(mp.mpf(PI) / 2**1400 - mp.pi) < mp.mpf(2) ** -1380
        for i, row in enumerate(half_turns(53, 53, 53, 53)[:971]):  # 2047 - (1023 + 2 + 52) is the largest index in use
            turns = mp.mpf(2) ** i / mp.pi
            assert abs(mp.fsum(map(float, row)) - (turns - mp.floor(turns))) < mp.mpf(2) ** -210
    high, low = FORMATS["float64"].split(LN2, 42, 53)
    assert int(high.view("u8")) % 2**11 == 0
    assert float(high) + float(low) == np.log(2)


def test_the_polynomials_are_those_that_are_derived(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "docs" / "make_vector_math.py"), run_name="__main__")
    assert capsys.readouterr().out in Path(vector_math.__file__).read_text(encoding="utf-8")

"""Elementary functions that a compiler turns into vector instructions, for the numba target.

>>> sorted(FUNCTIONS)
['cos', 'exp', 'exp2', 'expm1', 'log', 'log1p', 'logaddexp', 'sigmoid', 'sin', 'softplus', 'tanh']

In a loop that numba compiles, `math.exp` is a call of the C library for every entry, and a loop with a call in it stays
scalar. The functions here are straight-line arithmetic: polynomials, selects, and shifts of the bits of the exponent, so
LLVM vectorises the loop around them. Each takes and returns a float64 or a float32, warns of nothing, and has NumPy's
values at 0, -0, inf and nan. tests/targets/test_vector_math.py holds every one to its error, over the whole range:

    exp, exp2, log                                    1 ulp, gradual underflow included
    expm1, log1p, tanh, sigmoid, softplus, sin, cos   2 ulp; sin and cos of any argument, up to the largest float
    logaddexp                                         2 ulp of the result or of the larger argument, the larger of the two

A caller compiled with fastmath leaves them right. Its flags stand on its own instructions; what is inlined from here
keeps what it was compiled with, which says `fastmath=False` because numba hands a caller's flags to callees that say
nothing. Without that the rounding `x + magic - magic` below would be "simplified" to x.

    from compgraph.targets.vector_math import exp      # imports numba now, and not before
    @numba.njit(error_model="numpy")
    def f(x, out):
        for i in range(x.size): out[i] = exp(x[i])

Sources of the methods: Cody & Waite, Software Manual for the Elementary Functions (1980); Muller, Elementary Functions
(2016); Payne & Hanek, Radian reduction for trigonometric functions (1983). docs/make_vector_math.py derives the polynomials.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, reduce
from pathlib import Path
from typing import Any

import numpy as np

from compgraph.programs import Late

# NumPy's name, or the primitive's where NumPy has none -> the name to import from this module.
FUNCTIONS = {
    name: name for name in ("exp", "exp2", "expm1", "log", "log1p", "logaddexp", "sigmoid", "softplus", "tanh", "sin", "cos")
}

# Changes with every change of this file: part of the key under which a target caches compiled callers on disk.
VERSION = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]

Table = dict[str, tuple[str, ...]]

# e^r = 1 + r + r^2 EXP(r); 2 artanh(s) = 2 s + s^3 LOG(s^2); sin r = r + r^3 SIN(r^2).
# The error is relative to e^r - 1, 2 artanh(s) and sin r. docs/make_vector_math.py prints the three tables.
# fmt: off
EXP: Table = {
    "float64": (  # degree 10 on [-0.34657, 0.34657], error 2^-61.5
        "0x1.0p-1", "0x1.5555555555559p-3", "0x1.555555555554cp-5", "0x1.111111110f65bp-7",
        "0x1.6c16c16c1b325p-10", "0x1.a01a01afff406p-13", "0x1.a01a018b42992p-16", "0x1.71ddf81dc16bbp-19",
        "0x1.27e5198d2f157p-22", "0x1.af5f0dedded8p-26", "0x1.1f1017eaef034p-29",
    ),
    "float32": (  # degree 5 on [-0.34657, 0.34657], error 2^-30.98
        "0x1.0p-1", "0x1.555554p-3", "0x1.5554fp-5", "0x1.111308p-7",
        "0x1.6d4366p-10", "0x1.9e0754p-13",
    ),
}
LOG: Table = {
    "float64": (  # degree 6 on [0, 0.029437], error 2^-59.44
        "0x1.5555555555594p-1", "0x1.999999997f73fp-2", "0x1.249249423ac79p-2", "0x1.c71c51d6d7e76p-3",
        "0x1.746647f14b159p-3", "0x1.39a0eaea502f7p-3", "0x1.2f0ccd19fb262p-3",
    ),
    "float32": (  # degree 2 on [0, 0.029437], error 2^-30.2
        "0x1.55557ap-1", "0x1.995edap-2", "0x1.31dfeap-2",
    ),
}
SIN: Table = {
    "float64": (  # degree 8 on [0, 2.4674], error 2^-61.51
        "-0x1.5555555555555p-3", "0x1.11111111110dcp-7", "-0x1.a01a01a016ef2p-13", "0x1.71de3a53fa3f8p-19",
        "-0x1.ae6455b834bc3p-26", "0x1.6124215ae991p-33", "-0x1.ae6706ea10ee9p-41", "0x1.90246ceec1dc3p-49",
        "-0x1.778b16c5d972dp-58",
    ),
    "float32": (  # degree 4 on [0, 2.4674], error 2^-30.74
        "-0x1.555556p-3", "0x1.11113p-7", "-0x1.a0212cp-13", "0x1.727152p-19",
        "-0x1.ae0094p-26",
    ),
}
# fmt: on

# ln 2 = 2 artanh(1/3) and pi = 16 arctan(1/5) - 4 arctan(1/239) (Machin), both times 2^1400, by integers alone.
_PLACES = 1400
LN2 = sum((2 << _PLACES) // ((2 * k + 1) * 3 ** (2 * k + 1)) for k in range(450))
PI = sum((-1) ** k * ((16 << _PLACES) // 5 ** (2 * k + 1) - (4 << _PLACES) // 239 ** (2 * k + 1)) // (2 * k + 1) for k in range(310))


class Format:
    """A binary floating-point format, and its constants with the types that arithmetic in the format needs."""

    def __init__(self, dtype: str) -> None:
        info = np.finfo(dtype)
        self.real = info.dtype.type
        self.word = np.dtype(f"u{info.dtype.itemsize}").type
        self.digits = int(info.nmant)  # of the fraction
        self.bias = 1 - int(info.minexp)
        self.smallest = float(info.smallest_normal)

    def reals(self, *values: float) -> Any:
        return tuple(map(self.real, values))

    def words(self, *values: int) -> Any:
        return tuple(map(self.word, values))

    def bits(self, value: float) -> int:
        """The word whose bits are those of `value`.

        >>> hex(Format("float32").bits(1.0))
        '0x3f800000'
        """
        return int(self.real(value).view(self.word))

    def split(self, value: int, *digits: int) -> Any:
        """value / 2^_PLACES as a sum of reals, the first of so many binary digits, the second of the next, ...

        A constant of 53 - 11 digits times an integer of 11 is exact: the reduction of Cody and Waite.
        """
        parts = []
        for count in digits:
            unit = max(value.bit_length() - count, 0)
            parts.append(self.real((value >> unit) / (1 << (_PLACES - unit))))
            value &= (1 << unit) - 1
        return tuple(parts)


FORMATS = {dtype: Format(dtype) for dtype in ("float64", "float32")}


def half_turns(*digits: int) -> np.ndarray:
    """Row i: the fraction of 2^i / pi, as a sum of float64 of so many digits. Row 0 is 1/pi itself.

    A float of so great an exponent that it is 2^i times a multiple of 4 makes a multiple of 4 half turns with every whole
    unit of 2^i / pi. They are left out, and an argument however large is multiplied by those digits alone that its sine
    depends on (Payne & Hanek).
    """
    turns = (1 << 2 * _PLACES) // PI
    return np.array([FORMATS["float64"].split((turns << i) % (1 << _PLACES), *digits) for i in range(1000)])


@cache
def instructions() -> dict[str, Any]:
    """What Python has no word for, as numba intrinsics. They take float64 or float32, or the unsigned integer of that width."""
    ir, types = Late("llvmlite.ir"), Late("numba").types
    intrinsic: Callable[..., Callable[..., Any]] = Late("numba.extending").intrinsic
    word_of = {types.float64: types.uint64, types.float32: types.uint32}
    real_of = {word: real for real, word in word_of.items()}
    llvm = {types.float64: ir.DoubleType(), types.float32: ir.FloatType()}

    @intrinsic
    def bits(typing: Any, x: Any) -> Any:
        """The bits of a float."""
        return word_of[x](x), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(x.bitwidth))

    @intrinsic
    def real(typing: Any, word: Any) -> Any:
        """The float with these bits."""
        return real_of[word](word), lambda context, builder, signature, args: builder.bitcast(args[0], llvm[real_of[word]])

    def call(builder: Any, name: str, *args: Any) -> Any:
        kind = args[0].type
        return builder.call(builder.module.declare_intrinsic(name, [kind], ir.FunctionType(kind, [kind] * len(args))), args)

    def operation(name: str) -> Callable[..., Any]:
        return lambda context, builder, signature, args: call(builder, name, *args)

    def polynomial(coefficients: tuple[str, ...]) -> Any:
        """c0 + c1 x + c2 x^2 + ..., by Horner's rule."""

        @intrinsic
        def horner(typing: Any, x: Any) -> Any:
            def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                values = [ir.Constant(args[0].type, float.fromhex(c)) for c in reversed(coefficients)]
                return reduce(lambda value, c: call(builder, "llvm.fmuladd", value, args[0], c), values)

            return x(x), code

        return horner

    return {
        "bits": bits, "real": real, "polynomial": polynomial,
        # x y + z, rounded once where the processor can and twice where it would have to call a library for it; rounded once.
        "muladd": intrinsic(lambda typing, x, y, z: (x(x, x, x), operation("llvm.fmuladd"))),
        "fma": intrinsic(lambda typing, x, y, z: (x(x, x, x), operation("llvm.fma"))),
        "rint": intrinsic(lambda typing, x: (x(x), operation("llvm.nearbyint"))),
        "fabs": intrinsic(lambda typing, x: (x(x), operation("llvm.fabs"))),
        "copysign": intrinsic(lambda typing, x, y: (x(x, x), operation("llvm.copysign"))),
    }  # fmt: skip


# fastmath=False is no default: see the top of this file. A loop around a call that was not inlined stays scalar.
OPTIONS: dict[str, Any] = {"fastmath": False, "error_model": "numpy", "boundscheck": False, "forceinline": True}


def compiled(function: Callable[..., Any]) -> Any:
    """`function` for callers that numba compiles."""
    return Late("numba").njit(no_cpython_wrapper=True, **OPTIONS)(function)


@cache
def exponentials(dtype: str) -> dict[str, Any]:
    """exp, exp2, expm1, tanh and sigmoid of one format."""
    F, ops = FORMATS[dtype], instructions()
    bits, real, muladd, fabs, copysign = (ops[k] for k in ("bits", "real", "muladd", "fabs", "copysign"))
    tail = ops["polynomial"](EXP[dtype])
    word, (zero, half, one, two) = F.word, F.reals(0, 0.5, 1, 2)
    digits, unit = F.words(F.digits, 1)
    ln2_high, ln2_low = F.split(LN2, 42 if dtype == "float64" else 15, F.digits + 1)
    # Adding 1.5 2^digits rounds to an integer and leaves it in the low bits, in two's complement. Processors
    # before AVX-512 have no instruction that converts a vector of float64 to int64.
    log2e, magic = F.reals(1.4426950408889634, 1.5 * 2**F.digits)
    ln2, ln2_rest = F.split(LN2, F.digits + 1, F.digits + 1)
    wrap = 1 << 8 * np.dtype(dtype).itemsize
    halved, doubled = F.words((F.bias - 1 - F.bits(magic)) % wrap, (2 * F.bias - F.bits(magic)) % wrap)
    # Beyond these exp and exp2 are 0 and inf, expm1 is -1, and tanh of half of it 1; below `tiny` expm1 and tanh are x.
    lowest2, highest2, lowest, highest = F.reals(*(n * t for t in (1.0, float(ln2)) for n in (-F.bias - F.digits - 5, F.bias + 1.2)))
    enough, tiny = F.reals(-(F.digits + 4) * float(ln2), 2.0 ** -(F.digits + 2))

    @compiled
    def reduced(x: Any) -> Any:
        # n + magic, and x - n ln 2 as a float with what its rounding lost.
        k = muladd(x, log2e, magic)
        n = k - magic
        high, low = muladd(-n, ln2_high, x), n * ln2_low
        r = high - low
        return k, r, (high - r) - low

    @compiled
    def near_one(r: Any, rest: Any) -> Any:
        # e^(r + rest), added up with what the rounding of 1 + r lost.
        y = one + r
        return y + (((one - y) + r) + muladd(r * r, tail(r), rest))

    @compiled
    def scaled(y: Any, k: Any) -> Any:
        # y 2^n, where k = n + magic, in two factors: 2^n itself may lie beyond either end of the format.
        both = word(bits(k) + doubled)
        first = word(both >> unit)
        return y * real(word(first << digits)) * real(word(word(both - first) << digits))

    @compiled
    def exp(x: Any) -> Any:
        x = lowest if x < lowest else x
        k, r, rest = reduced(highest if x > highest else x)
        return scaled(near_one(r, rest), k)

    @compiled
    def exp2(x: Any) -> Any:
        x = lowest2 if x < lowest2 else x
        x = highest2 if x > highest2 else x
        k = x + magic
        t = x - (k - magic)
        r = t * ln2
        return scaled(near_one(r, muladd(t, ln2_rest, muladd(t, ln2, -r))), k)

    @compiled
    def from_one(x: Any) -> Any:
        # e^x - 1 = 2 (2^(n-1) - 1/2 + 2^(n-1) (e^r - 1)), which overflows no earlier than it must.
        k, r, rest = reduced(x)
        power = real(word(word(bits(k) + halved) << digits))
        base = power - half
        y = muladd(power, r, base)
        return two * (y + muladd(power, muladd(r * r, tail(r), rest), muladd(power, r, base - y)))

    @compiled
    def expm1(x: Any) -> Any:
        y = from_one(highest if x > highest else enough if x < enough else x)
        return x if fabs(x) < tiny else y

    @compiled
    def tanh(x: Any) -> Any:
        a = fabs(x)
        t = -two * a
        t = from_one(enough if t < enough else t)
        whole = two + t
        y = -t / whole
        # What the rounding of 2 + t lost, over 2 + t = 2 / (1 + y).
        y -= y * ((two - whole) + t) * (half + half * y)
        return x if a < tiny else copysign(y, x)

    @compiled
    def sigmoid(x: Any) -> Any:
        e = exp(-fabs(x))
        whole = one + e
        y = e / whole
        # What the rounding of 1 + e lost, over 1 + e = 1 / (1 - y).
        y -= y * ((one - whole) + e) * (one - y)
        return y if x < zero else one - y

    return {"exp": exp, "exp2": exp2, "expm1": expm1, "tanh": tanh, "sigmoid": sigmoid}


@cache
def logarithms(dtype: str) -> dict[str, Any]:
    """log, log1p, softplus and logaddexp of one format."""
    F, ops, exp = FORMATS[dtype], instructions(), exponentials(dtype)["exp"]
    bits, real, muladd, fabs = (ops[k] for k in ("bits", "real", "muladd", "fabs"))
    series = ops["polynomial"](LOG[dtype])
    word, (zero, half, one, two, infinity, nan) = F.word, F.reals(0, 0.5, 1, 2, np.inf, np.nan)
    smallest, lift, lifted, bound = F.reals(F.smallest, 2.0 ** (F.digits + 2), F.digits + 2, 2**0.5 - 1)
    ln2_high, ln2_low = F.split(LN2, 42 if dtype == "float64" else 15, F.digits + 1)
    digits, bias, twice_bias, offset = F.words(F.digits, F.bias, 2 * F.bias, F.bits(1.0) - F.bits(0.5**0.5))
    integer, origin = F.words(F.bits(2.0**F.digits))[0], F.real(2.0**F.digits + F.bias)

    @compiled
    def biased(x: Any) -> Any:
        # n + bias, where x = 2^n m and m is in [sqrt(1/2), sqrt(2)). x is positive and normal.
        return word(word(bits(x) + offset) >> digits)

    @compiled
    def whole(e: Any) -> Any:
        # n, as a float, of n + bias.
        return real(word(e | integer)) - origin

    @compiled
    def combined(n: Any, f: Any) -> Any:
        # n ln 2 + ln(1 + f). With s = f / (2 + f), ln(1 + f) = 2 artanh(s) = f - f^2/2 + s (f^2/2 + s^2 LOG(s^2)):
        # f leads, is exact, and what is added to it is small.
        s = f / (two + f)
        z = s * s
        h = half * f * f
        return muladd(n, ln2_high, f - (h - muladd(n, ln2_low, s * muladd(z, series(z), h))))

    @compiled
    def log(x: Any) -> Any:
        subnormal = x < smallest
        v = x * lift if subnormal else x
        e = biased(v)
        n = whole(e)
        m = real(word(bits(v) - word(word(e - bias) << digits)))
        y = combined(n - lifted if subnormal else n, m - one)
        y = y if x < infinity else x
        return y if x > zero else -infinity if x == zero else nan

    @compiled
    def log1p(x: Any) -> Any:
        u = one + x
        v = u - one
        lost = (one - (u - v)) + (x - v)  # u + lost = 1 + x exactly (Knuth)
        e = biased(u)
        m = real(word(bits(u) - word(word(e - bias) << digits)))
        # 2^-n, or 0 at the upper end of the format, where what was lost is nothing beside u.
        power = real(word(word(twice_bias - (e if e < twice_bias else twice_bias)) << digits))
        y = combined(whole(e), muladd(lost, power, m - one))
        y = y if x < infinity else x
        y = y if x > -one else -infinity if x == -one else nan
        return x if x == zero else y

    @compiled
    def added(gap: Any) -> Any:
        # ln(1 + e^-gap), where gap >= 0. Both 1 + e and (1 + e) / 2 are 1 + f with an f that is exact.
        e = exp(-gap)
        return combined(one if e > bound else zero, half * (e - one) if e > bound else e)

    @compiled
    def logaddexp(x: Any, y: Any) -> Any:
        gap = zero if x == y else fabs(x - y)  # equal infinities have no gap
        return (x if x > y else y) + added(gap) if gap >= zero else x + y

    @compiled
    def softplus(x: Any) -> Any:
        return (x if x > zero else zero) + added(fabs(x))

    return {"log": log, "log1p": log1p, "logaddexp": logaddexp, "softplus": softplus}


@cache
def trigonometry(dtype: str) -> dict[str, Any]:
    """sin and cos of one format. Both reduce their argument in float64."""
    F, ops = FORMATS["float64"], instructions()
    bits, real, fma, muladd, rint, fabs = (ops[k] for k in ("bits", "real", "fma", "muladd", "rint", "fabs"))
    series = ops["polynomial"](SIN[dtype])
    nought, sixth, half, two, infinity = F.reals(0, 1 / 6, 0.5, 2, np.inf)
    magic, (pi, pi_rest) = F.real(1.5 * 2**F.digits), F.split(PI, 53, 53)
    tiny = FORMATS[dtype].real(2.0 ** -(FORMATS[dtype].digits // 2 + 1))
    zero, digits, sign, exponent = F.words(0, F.digits, 63, F.bits(np.inf))
    # Row 0 serves arguments with digits below 2^2: their leading digit is below 2^(3 + digits).
    first = F.word(F.bias + 2 + FORMATS[dtype].digits)
    rows = half_turns(53, 53, 53, 53) if dtype == "float64" else half_turns(29, 53)
    columns = [np.ascontiguousarray(column) for column in rows.T]
    c0, c1, c2, c3 = columns if dtype == "float64" else columns * 2

    @compiled
    def located(x: Any) -> Any:
        # The row for x, and x with 2^row taken out.
        word = bits(x)
        e = (word & exponent) >> digits
        i = e - first if e > first else zero
        return i, real(word - (i << digits))

    @compiled
    def finished(x: Any, n: Any, r: Any, rest: Any) -> Any:
        # (-1)^n sin(r + rest), where |r| <= pi/2.
        z = r * r
        y = r + muladd(r * z, series(z), rest)
        y = real(bits(y) ^ (bits(n + magic) << sign))
        return y if fabs(x) < infinity else x - x

    @compiled
    def two_sum(x: Any, y: Any) -> Any:
        s = x + y
        v = s - x
        return s, (x - (s - v)) + (y - v)

    @compiled
    def sin64(x: Any, ahead: Any) -> Any:
        # sin(x + ahead pi): x / pi in four products, the first three with their rounding errors, added up twice so
        # that what cancels leaves enough (Ogita, Rump & Oishi, Accurate sum and dot product, 2005).
        i, v = located(x)
        p1, p2, p3 = v * c0[i], v * c1[i], v * c2[i]
        q1, q2, q3 = fma(v, c0[i], -p1), fma(v, c1[i], -p2), fma(v, c2[i], -p3)
        n = rint(p1)
        s, e4 = two_sum(q2, p3)
        s, e3 = two_sum(p2, s)
        s, e2 = two_sum(q1, s)
        s, e1 = two_sum(p1 - n, s)
        m = rint(s + ahead)
        h, g3 = two_sum(e1, e2)
        h, g2 = two_sum(h, e3)
        high, g1 = two_sum(s - (m - ahead), h)
        low = g1 + (g2 + g3 + (e4 + muladd(v, c3[i], q3)))
        r = high * pi
        rest = fma(high, pi, -r) + muladd(high, pi_rest, low * pi)
        z = r * r
        rest -= half * (z * rest) + sixth * (r * fma(r, r, -z))  # the cosine's share, and what the rounding of z lost
        return finished(x, n - two * rint(n * half) + m, r, rest)

    @compiled
    def sin32(x: Any, ahead: Any) -> Any:
        # The first product has 24 + 29 digits and is exact.
        i, v = located(x)
        p = v * c0[i]
        m = rint(muladd(v, c1[i], p) + ahead)
        return finished(x, m, muladd(v, c1[i], p - (m - ahead)) * pi, nought)

    sine, double, single = sin64 if dtype == "float64" else sin32, F.real, FORMATS[dtype].real

    @compiled
    def sin(x: Any) -> Any:
        return x if fabs(x) < tiny else single(sine(double(x), nought))

    @compiled
    def cos(x: Any) -> Any:
        return single(sine(double(x), half))

    return {"sin": sin, "cos": cos}


@cache
def functions() -> dict[str, Any]:
    """Each of FUNCTIONS as a numba function that chooses by the types of its arguments: float32 if all are, else float64."""
    njit, types = Late("numba").njit, Late("numba").types
    overload: Callable[..., Callable[..., Any]] = Late("numba.extending").overload

    def choosing(name: str) -> Any:
        def stand_in(*arguments: Any) -> Any:
            raise NotImplementedError

        def kernel_for(*arguments: Any) -> tuple[Any, Any]:
            dtype = "float32" if set(arguments) == {types.float32} else "float64"
            return FORMATS[dtype].real, {**exponentials(dtype), **logarithms(dtype), **trigonometry(dtype)}[name]

        if name == "logaddexp":

            @overload(stand_in, jit_options=OPTIONS, strict=False)
            def binary(x: Any, y: Any) -> Any:
                real, kernel = kernel_for(x, y)
                return lambda x, y: kernel(real(x), real(y))

            return njit(**OPTIONS)(lambda x, y: stand_in(x, y))

        @overload(stand_in, jit_options=OPTIONS, strict=False)
        def unary(x: Any) -> Any:
            real, kernel = kernel_for(x)
            return lambda x: kernel(real(x))

        return njit(**OPTIONS)(lambda x: stand_in(x))

    return {name: choosing(name) for name in FUNCTIONS.values()}


@cache
def gainful() -> dict[str, str]:
    """FUNCTIONS, but for sin and cos where the compiler vectorises no look-up in a table: there the C library is faster.

    LLVM vectorises it for every processor with AVX-512, and for some with AVX2 by its model of their cost.
    """
    host = Late("llvmlite.binding").get_host_cpu_features().flatten()
    gathers = "+avx512f" in (Late("numba").config.CPU_FEATURES or host)
    return {name: function for name, function in FUNCTIONS.items() if gathers or name not in ("sin", "cos")}


def __getattr__(name: str) -> Any:
    if name in FUNCTIONS.values():
        return functions()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

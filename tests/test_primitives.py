"""Every primitive against NumPy, numerical derivatives and SymPy, by one table: `domains.py`."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import numpy as np
import pytest
import sympy
from domains import DIFFERENTIABLE, DOMAINS, SAMPLES, TABLE, Sample, undomained

import compgraph as cg
from compgraph.graph import PRIMITIVES, Node, bind, placeholder

over_samples = pytest.mark.parametrize("sample", SAMPLES, ids=str)
over_differentiable = pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=str)
NONDIFFERENTIABLE = [sample for sample in SAMPLES if not PRIMITIVES[sample.name].differentiable and sample.args]


# ------------------------------------------------------------------------------- numbers to compare with


def directions(values: tuple[Any, ...], seed: int = 0) -> tuple[Any, ...]:
    """A tangent or an adjoint for each value, of its shape and dtype."""
    generator = np.random.default_rng(seed)

    def direction(value: Any) -> Any:
        parts = generator.uniform(0.5, 1.5, (1 + np.iscomplexobj(value), *np.shape(value)))
        return np.asarray(parts[0] - 1j * parts[1] if np.iscomplexobj(value) else parts[0], value.dtype)[()]

    return tuple(map(direction, values))


def inner(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[float, float]:
    """<left, right> = Re sum(left * right), and the size of its terms, which rounding errors are relative to."""
    terms = [np.asarray(one, np.result_type(one, np.float64)) * other for one, other in zip(left, right, strict=True)]
    return sum(float(np.sum(term.real)) for term in terms), sum(float(np.sum(np.abs(term))) for term in terms) + 1e-300


def differences(function: Any, xs: tuple[Any, ...], x_dots: tuple[Any, ...], step: float = 1e-2) -> Any:
    """d/dt function(x + t x_dot) at 0: central differences, thrice Richardson-extrapolated, with error O(step^8)."""

    def central(h: float) -> Any:
        ahead = function(*(x + h * x_dot for x, x_dot in zip(xs, x_dots, strict=True)))
        behind = function(*(x - h * x_dot for x, x_dot in zip(xs, x_dots, strict=True)))
        return (np.asarray(ahead) - behind) / (2 * h)

    column = [central(step / 2**level) for level in range(4)]
    for order in (4, 16, 64):
        column = [(order * fine - coarse) / (order - 1) for coarse, fine in itertools.pairwise(column)]
    return column[0]


def numerical_tangent(sample: Sample, x_dots: tuple[Any, ...]) -> Any:
    """The tangent of the reference: by a complex step where the primitive is analytic, by differences elsewhere."""
    if not by_complex_step(sample):
        return differences(sample.reference, sample.xs, x_dots)
    step = 1e-30
    return np.imag(sample.reference(*(x + 1j * step * x_dot for x, x_dot in zip(sample.xs, x_dots, strict=True)))) / step


def by_complex_step(sample: Sample) -> bool:
    return sample.primitive.analytic and not any(map(np.iscomplexobj, (*sample.args, sample.reference(*sample.xs))))


def is_double(value: Any) -> bool:
    return np.asarray(value).dtype in (np.float64, np.complex128)


def real_valued(sample: Sample) -> Any:
    """The sample itself, or where it is complex a mixture of its parts, which has a gradient."""
    if not np.iscomplexobj(sample(*sample.xs)):
        return sample
    return lambda *xs: np.real(sample(*xs)) + 0.7 * np.imag(sample(*xs))


def tolerance(sample: Sample, y: Any) -> float:
    if not is_double(y):
        return 1e-6
    return 1e-12 if by_complex_step(sample) else 1e-8


def abstract(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments as nodes of which only shape and dtype are known; Python numbers stay what they are."""
    return tuple(placeholder(arg.shape, arg.dtype) if hasattr(arg, "dtype") else arg for arg in args)


# -------------------------------------------------------------------------------------------- the table


def test_every_primitive_has_a_domain() -> None:
    assert undomained() == set()


def test_a_primitive_without_a_domain_is_noticed() -> None:
    assert undomained({*TABLE, "cube"}) == {"cube"}
    assert undomained(TABLE - {"tanh"}) == {"tanh"}


@pytest.mark.parametrize("name", DOMAINS)
def test_a_differentiable_primitive_has_a_differentiable_sample_for_every_argument(name: str) -> None:
    tried = {place for sample in DIFFERENTIABLE if sample.name == name for place in sample.places}
    samples = [sample for sample in SAMPLES if sample.name == name]
    wanted = {place for sample in samples for place in range(len(sample.args)) if sample.primitive.kind(place) != "none"}
    assert tried == wanted


@over_samples
def test_value(sample: Sample) -> None:
    y = bind(sample.name, *sample.args, **sample.params)
    wanted = sample.reference(*sample.xs)
    assert np.shape(y) == np.shape(wanted)
    np.testing.assert_allclose(y, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@over_samples
def test_shape_and_dtype_are_inferred(sample: Sample, dtype: Any) -> None:
    sample = sample.astype(dtype)
    y = np.asarray(sample.primitive.evaluate(*sample.args, **sample.params))
    assert sample.primitive.infer(*abstract(sample.args), **sample.params) == (y.shape, y.dtype)


@over_differentiable
def test_tangent_and_adjoint(sample: Sample) -> None:
    x_dots = directions(sample.xs)
    y, y_dot = cg.jvp(sample, sample.xs, x_dots)
    assert (y_dot.shape, y_dot.dtype) == (y.shape, y.dtype)
    np.testing.assert_allclose(y_dot, numerical_tangent(sample, x_dots), rtol=tolerance(sample, y), atol=tolerance(sample, y))

    y_bar = directions((y,), seed=1)
    x_bars = cg.vjp(sample, *sample.xs)[1](y_bar[0])
    assert [(x_bar.shape, x_bar.dtype) for x_bar in x_bars] == [(x.shape, x.dtype) for x in sample.xs]
    forward, size = inner(y_bar, (y_dot,))
    backward, _ = inner(x_bars, x_dots)
    assert abs(forward - backward) <= size * (1e-12 if is_double(y) else 1e-6)


@over_differentiable
def test_both_modes_give_the_same_jacobian(sample: Sample) -> None:
    numbers = tuple(range(len(sample.xs)))
    forward = cg.jacobian(real_valued(sample), argnums=numbers, mode="forward")(*sample.xs)
    backward = cg.jacobian(real_valued(sample), argnums=numbers, mode="reverse")(*sample.xs)
    y = sample.reference(*sample.xs)
    for x, one, other in zip(sample.xs, forward, backward, strict=True):
        assert one.shape == other.shape == np.shape(y) + x.shape
        cancelled = 1e-15 * np.max(np.abs(one), initial=0.0) if sample.primitive.tangent else 1e-300  # a zero that is a sum of others
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=cancelled)


@over_differentiable
def test_derivatives_as_graphs(sample: Sample) -> None:
    """The tangent and the adjoint graph, and derivatives of nodes that hold values, give the eager numbers."""
    x_dots = directions(sample.xs)
    y, y_dot = cg.jvp(sample, sample.xs, x_dots)
    y_bar = directions((y,), seed=1)[0]
    x_bars = cg.vjp(sample, *sample.xs)[1](y_bar)

    graph = cg.typecheck(cg.trace(sample, *sample.xs))
    tangent, adjoint = cg.typecheck(cg.forward(graph)), cg.typecheck(cg.reverse(graph))
    np.testing.assert_array_equal(graph(*sample.xs), y)
    for found, wanted in zip(tangent(*sample.xs, *x_dots), (y, y_dot), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
    for found, wanted in zip(adjoint(*sample.xs, y_bar), (y, *x_bars), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)

    lifted = cg.vjp(sample, *map(cg.variable, sample.xs))[1](y_bar)
    for found, wanted in zip(lifted, x_bars, strict=True):
        np.testing.assert_allclose(found.value if isinstance(found, Node) else found, wanted, rtol=1e-14)


@over_differentiable
def test_second_order(sample: Sample) -> None:
    """H = d2/dx2 of sum(w y^3) four ways, each as <u, H v>, and by differences of the gradient.

    Of the cube root y^4 is taken: its y^3 is x, of which H is 0, and rounding errors are relative to nothing.
    """
    numbers = tuple(range(len(sample.xs)))
    weights = directions((np.asarray(sample(*sample.xs)),), seed=2)[0]
    v, u = directions(sample.xs, seed=3), directions(sample.xs, seed=4)

    def h(*xs: Any) -> Any:
        y = sample(*xs)
        return np.real(np.sum(weights * y * y * y * (y if sample.name == "cbrt" else 1)))

    def dotted(bars: tuple[Any, ...]) -> Any:
        total = np.sum(bars[0] * v[0])
        for bar, part in zip(bars[1:], v[1:], strict=True):
            total = total + np.sum(bar * part)
        return np.real(total)

    def slope(*xs: Any) -> Any:
        return cg.jvp(h, xs, v)[1]

    gradient = cg.grad(h, numbers)
    forward_over_reverse = cg.jvp(gradient, sample.xs, v)[1]
    reverse_over_forward = cg.grad(slope, numbers)(*sample.xs)
    reverse_over_reverse = cg.grad(lambda *xs: dotted(gradient(*xs)), numbers)(*sample.xs)
    forward_over_forward = cg.jvp(slope, sample.xs, u)[1]
    scale = 1e-11 if is_double(weights) else 2e-5
    for one, two, three in zip(forward_over_reverse, reverse_over_forward, reverse_over_reverse, strict=True):
        np.testing.assert_allclose(two, one, rtol=scale, atol=scale)
        np.testing.assert_allclose(three, one, rtol=scale, atol=scale)
    product, size = inner(u, forward_over_reverse)
    assert abs(product - forward_over_forward) <= size * scale
    if is_double(weights):
        for place, one in enumerate(forward_over_reverse):
            numerical = differences(lambda *xs, place=place: gradient(*xs)[place], sample.xs, v)
            np.testing.assert_allclose(one, numerical, rtol=1e-6, atol=1e-7)


@over_differentiable
def test_float32_is_kept(sample: Sample) -> None:
    narrow = sample.astype(np.float32)
    y = narrow(*narrow.xs)
    y_bar = directions((np.asarray(y),), seed=1)[0]
    pulled = cg.vjp(narrow, *narrow.xs)[1](y_bar)
    pushed = cg.jvp(narrow, narrow.xs, directions(narrow.xs))[1]
    assert pushed.dtype == y.dtype == np.asarray(narrow.reference(*narrow.xs)).dtype
    assert [x_bar.dtype for x_bar in pulled] == [x.dtype for x in narrow.xs]
    wide = cg.vjp(sample, *sample.xs)[1](y_bar)
    for found, wanted in zip(pulled, wide, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=5e-5, atol=5e-5)
    tangent, adjoint = cg.forward(cg.trace(narrow, *narrow.xs)), cg.reverse(cg.trace(narrow, *narrow.xs))
    assert cg.typecheck(tangent).outputs[1].dtype == y.dtype
    assert [node.dtype for node in cg.typecheck(adjoint).outputs[1:]] == [x.dtype for x in narrow.xs]


@pytest.mark.parametrize("sample", [sample for sample in DIFFERENTIABLE if any(np.ndim(x) > 1 for x in sample.xs)], ids=str)
def test_memory_layout_does_not_matter(sample: Sample) -> None:
    """Arguments that are transposed or strided views, and seeds that are, give what contiguous ones give."""

    def of_views(*xs: Any) -> Any:
        return sample(*(np.transpose(np.transpose(x)) if np.ndim(x) else x for x in xs))

    y, pullback = cg.vjp(sample, *sample.xs)
    strided, pullback_of_views = cg.vjp(of_views, *(np.asfortranarray(x) for x in sample.xs))
    np.testing.assert_array_equal(strided, y)
    y_bar = np.asarray(directions((y,))[0])
    doubled = np.asarray(np.repeat(y_bar, 2, axis=-1)[..., ::2] if y_bar.ndim else y_bar, order="F")
    for one, other in zip(pullback(y_bar), pullback_of_views(doubled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
    constant = np.broadcast_to(np.float64(1.5), y.shape)
    for one, other in zip(pullback(np.full(y.shape, 1.5)), pullback(constant), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("sample", NONDIFFERENTIABLE, ids=str)
def test_a_primitive_without_derivative_stops_both_sweeps(sample: Sample) -> None:
    inputs = [cg.variable(arg) if arg.dtype.kind == "f" else cg.constant(arg) for arg in sample.args if hasattr(arg, "dtype")]
    xs = [node for node in inputs if node.primitive is None]
    nodes = iter(inputs)
    y = bind(sample.name, *(next(nodes) if hasattr(arg, "dtype") else arg for arg in sample.args), **sample.params)
    with pytest.warns(cg.ZeroGradientWarning):
        y.backward(np.ones(y.shape))
    assert all(x.grad is None for x in xs)
    graph = cg.graph_of(y)
    for derivative in (cg.forward(graph), cg.reverse(graph)):
        cg.typecheck(derivative)
        outputs = derivative.outputs[1:]
        assert all(not np.any(node.value) and not node.args for node in outputs)


# ----------------------------------------------------------------------------------------------- SymPy

ONE_ENTRY_EACH = [
    sample for sample in SAMPLES
    if sample.primitive.sympy and sample.args and all(np.ndim(arg) == 0 and np.isrealobj(arg) for arg in sample.args)
]


def test_every_elementwise_primitive_has_a_sympy_form() -> None:
    assert [name for name in TABLE if PRIMITIVES[name].partials and PRIMITIVES[name].sympy is None] == []


@pytest.mark.parametrize("name", sorted(name for name in TABLE if PRIMITIVES[name].sympy and name not in ("max", "min")))
def test_sympy_form_is_tried(name: str) -> None:
    assert name.startswith("logical") or any(sample.name == name for sample in ONE_ENTRY_EACH)


@pytest.mark.parametrize("sample", ONE_ENTRY_EACH, ids=str)
def test_sympy_form(sample: Sample) -> None:
    """The form has the primitive's value, and its derivatives are the primitive's local partials."""
    symbols = sympy.symbols(f"x:{len(sample.args)}", real=True)
    operands = [sympy.true if arg is np.True_ else symbol for arg, symbol in zip(sample.args, symbols, strict=True)]
    form = sample.primitive.sympy(sympy, *operands)
    numbers = {symbol: sympy.Float(float(arg), 30) for arg, symbol in zip(sample.args, symbols, strict=True)}
    y = bind(sample.name, *sample.args, **sample.params)
    found = form.subs(numbers)
    assert bool(found) == bool(y) if y.dtype == np.bool_ else float(found) == pytest.approx(float(y), rel=1e-14)
    if sample.places:
        partials = cg.jacobian(sample, argnums=tuple(range(len(sample.places))))(*sample.xs)
        for place, partial in zip(sample.places, partials, strict=True):
            wanted = float(form.diff(symbols[place]).subs(numbers))
            assert float(partial) == pytest.approx(wanted, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("name", ["logical_not", "logical_and", "logical_or"])
def test_sympy_form_of_truths(name: str) -> None:
    primitive = PRIMITIVES[name]
    count = 1 if name == "logical_not" else 2
    for truths in np.ndindex(*(2,) * count):
        form = primitive.sympy(sympy, *(sympy.true if truth else sympy.false for truth in truths))
        assert bool(form) == bool(bind(name, *map(np.bool_, truths)))


# ------------------------------------------------------------------------------ kinks and singular points


def both_modes(function: Any, *xs: Any) -> list[Any]:
    """The partial derivatives of a function of numbers, which both modes have to agree on, eager and as graph."""
    xs = tuple(map(np.float64, xs))
    numbers = tuple(range(len(xs)))
    forward = [cg.jvp(function, xs, tuple(np.float64(place == number) for place in numbers))[1] for number in numbers]
    backward = cg.grad(function, numbers)(*xs)
    as_graph = cg.reverse(cg.trace(function, *xs))(*xs, 1.0)[1:]
    np.testing.assert_array_equal(forward, backward)
    np.testing.assert_array_equal(forward, as_graph)
    return [float(partial) for partial in forward]


KINKS: list[tuple[str, Any, tuple[float, ...], list[float]]] = [
    ("relu at 0", cg.relu, (0.0,), [0.0]),
    ("relu at -0", cg.relu, (-0.0,), [0.0]),
    ("abs at 0", np.abs, (0.0,), [0.0]),
    ("maximum of equals", np.maximum, (1.5, 1.5), [0.5, 0.5]),
    ("minimum of equals", np.minimum, (1.5, 1.5), [0.5, 0.5]),
    ("maximum with itself", lambda x: np.maximum(x, x), (1.5,), [1.0]),
    ("max of equals", lambda x, y, z: np.max(np.stack([x, y, z])), (2.0, 1.0, 2.0), [0.5, 0.0, 0.5]),
    ("min of equals", lambda x, y, z: np.min(np.stack([x, y, z])), (1.0, 1.0, 1.0), [1 / 3, 1 / 3, 1 / 3]),
    ("where on a border", lambda x: np.where(x > 0, x, -2 * x), (0.0,), [-2.0]),
    ("0 ** 2", lambda x: x**2, (0.0,), [0.0]),
    ("0 ** 1", lambda x: x**1, (0.0,), [1.0]),
    ("0 ** 0", lambda x: x**0, (0.0,), [0.0]),
    ("0 ** y", lambda x, y: x**y, (0.0, 2.0), [0.0, 0.0]),
    ("0 ** 1 in both", lambda x, y: x**y, (0.0, 1.0), [1.0, 0.0]),
    ("base 0, constant base", lambda y: 0.0**y, (3.0,), [0.0]),
    ("sign", lambda x: x * np.sign(x), (0.0,), [0.0]),
    ("square root of a square", lambda x: np.sqrt(x * x + 1), (0.0,), [0.0]),
    ("sigmoid far left", cg.sigmoid, (-1000.0,), [0.0]),
    ("sigmoid far right", cg.sigmoid, (1000.0,), [0.0]),
    ("softplus far left", cg.softplus, (-1000.0,), [0.0]),
    ("softplus far right", cg.softplus, (1000.0,), [1.0]),
    ("tanh far right", np.tanh, (1000.0,), [0.0]),
    ("NaN in the branch not taken", lambda x: np.where(x > 0, x, np.nan), (1.0,), [1.0]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "xs", "wanted"), [row[1:] for row in KINKS], ids=[row[0] for row in KINKS])
def test_convention_at_a_kink(function: Any, xs: tuple[float, ...], wanted: list[float]) -> None:
    assert both_modes(function, *xs) == wanted


SINGULAR: list[tuple[str, Any, float, float]] = [
    ("sqrt at 0", np.sqrt, 0.0, np.inf),
    ("log at 0", np.log, 0.0, np.inf),
    ("1/x at 0", lambda x: 1 / x, 0.0, -np.inf),
    ("arcsin at 1", np.arcsin, 1.0, np.inf),
    ("x ** 0.5 at 0", lambda x: x**0.5, 0.0, np.inf),
]  # fmt: skip


@pytest.mark.parametrize(("function", "x", "wanted"), [row[1:] for row in SINGULAR], ids=[row[0] for row in SINGULAR])
def test_a_singular_point_gives_infinity(function: Any, x: float, wanted: float) -> None:
    with np.errstate(divide="ignore"):
        assert both_modes(function, x) == [wanted]


@pytest.mark.parametrize("x", [-800.0, -745.2, -40.0, -1e-300, 0.0, 1e-300, 40.0, 710.0, 800.0])
def test_sigmoid_and_softplus_keep_their_relative_precision(x: float) -> None:
    digits = sympy.Float(x, 60)
    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(under="ignore", over="raise"))
        sigmoid, softplus = cg.sigmoid(np.float64(x)), cg.softplus(np.float64(x))
    assert float(sigmoid) == pytest.approx(float((1 / (1 + sympy.exp(-digits))).evalf(60)), rel=4e-16, abs=5e-324)
    assert float(softplus) == pytest.approx(float(sympy.log(1 + sympy.exp(digits)).evalf(400)), rel=4e-16, abs=5e-324)

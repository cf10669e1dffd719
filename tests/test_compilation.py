"""A compiled function gives what the function gives, knows its arguments apart, and says what it cannot compile."""

from __future__ import annotations

import inspect
import linecache
import math
import threading
import traceback
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from test_forward_mode import textbook

import compgraph as cg
from compgraph import programs
from compgraph.errors import CompilationWarning

RNG = np.random.default_rng(0)
RTOL = 1e-12


class Pair(NamedTuple):
    first: Any
    second: Any


def mlp(params: Any, x: Any, y: Any) -> Any:
    hidden = np.tanh(x @ params["w"] + params["b"])
    scores = hidden @ params["out"][0] + params["out"][1]
    return -np.mean(np.sum((scores - cg.special.logsumexp(scores, axis=1, keepdims=True)) * y, axis=1))


def mlp_arguments(batch: int = 5) -> tuple[Any, ...]:
    params = {"w": RNG.normal(size=(3, 4)), "b": RNG.normal(size=4), "out": [RNG.normal(size=(4, 2)), RNG.normal(size=2)]}
    return params, RNG.normal(size=(batch, 3)), np.eye(2)[RNG.integers(0, 2, batch)]


def assert_alike(found: Any, wanted: Any) -> None:
    """The same container of arrays of the same dtypes, with the same numbers but for the last digits."""
    assert type(found) is type(wanted) or (np.ndim(found) == np.ndim(wanted) == 0 and not isinstance(wanted, (dict, list, tuple)))
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            assert_alike(found[key], wanted[key])
    elif isinstance(wanted, (list, tuple)):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_alike(one, other)
    else:
        assert np.asarray(found).dtype == np.asarray(wanted).dtype
        scale = float(np.max(np.abs(wanted), initial=1.0))
        np.testing.assert_allclose(found, wanted, rtol=RTOL, atol=RTOL * scale)


MATRIX = RNG.normal(size=(4, 4)) + 4 * np.eye(4)
CASES = {
    "numbers": (textbook, (0.5, 1.0)),
    "gradient of numbers": (cg.value_and_grad(textbook, argnums=(0, 1)), (0.5, 1.0)),
    "hessian of numbers": (cg.hessian(textbook, argnums=(0, 1)), (0.5, 1.0)),
    "jvp": (lambda x, v: cg.jvp(lambda x: np.sin(x) * x[::-1], (x,), (v,)), (RNG.normal(size=3), RNG.normal(size=3))),
    "vjp": (lambda x, v: cg.vjp(lambda x: np.sin(x) * x[::-1], x)[1](v), (RNG.normal(size=3), RNG.normal(size=3))),
    "jacobian, forward": (cg.jacobian(lambda x: np.sin(x) * x[0], mode="forward"), (RNG.normal(size=3),)),
    "jacobian, reverse": (cg.jacobian(lambda x: np.sin(x) * x[0], mode="reverse"), (RNG.normal(size=3),)),
    "hessian": (cg.hessian(lambda x: np.sum(np.exp(x) * x[::-1])), (RNG.normal(size=3),)),
    "hvp": (lambda x, v: cg.hvp(lambda x: np.prod(np.cos(x)), (x,), (v,)), (RNG.normal(size=4), RNG.normal(size=4))),
    "containers": (mlp, mlp_arguments()),
    "gradient of containers": (cg.value_and_grad(mlp), mlp_arguments()),
    "several outputs": (lambda x: {"a": x * 2, "b": [np.sum(x), (x, x[0])]}, (RNG.normal(size=3),)),
    "a named tuple": (lambda pair: Pair(pair.second, pair.first * 2), (Pair(RNG.normal(size=3), 2.0),)),
    "linear algebra": (cg.value_and_grad(lambda a: np.sum(np.linalg.solve(a, np.ones(4)) ** 2) + np.linalg.slogdet(a)[1]), (MATRIX,)),
    "selection": (cg.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), x**2))), (RNG.normal(size=50),)),
    "float32": (cg.value_and_grad(lambda x: np.sum(np.tanh(x) ** 2)), (RNG.normal(size=(3, 3)).astype(np.float32),)),
    "complex": (lambda z: np.exp(1j * z) * np.conj(z), (RNG.normal(size=3) + 1j,)),
    "integers": (lambda x, places: x[places] * 2 + places, (RNG.normal(size=5), np.array([0, 3, 3]))),
    "nothing but a constant": (lambda x: (x, 3.0), (1.0,)),
    "the argument itself": (lambda x: x, (RNG.normal(size=3),)),
    "an unrolled loop": (cg.grad(lambda x: sum(np.sin(n * x) for n in range(1, 30))), (0.3,)),
    "a scan": (cg.value_and_grad(lambda h, xs: np.sum(cg.scan(lambda h, x: (np.tanh(h * x), h), h, xs)[1])), (np.ones(2), np.ones((6, 2)))),
    "a fori loop": (cg.grad(lambda x: cg.fori(0, 5, lambda i, y: y * x + i, x)), (0.9,)),
}


@pytest.mark.filterwarnings("ignore::compgraph.ZeroGradientWarning")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("exact", [False, True])
def test_a_compiled_function_gives_what_the_function_gives(case: str, exact: bool) -> None:
    function, args = CASES[case]
    compiled = cg.compile(function, exact=exact)
    wanted = function(*args)
    for _ in range(2):  # traced and run, then by sight
        assert_alike(compiled(*args), wanted)
    assert compiled.source.count("\ndef ") or compiled.source.startswith("def ")
    assert isinstance(compiled.graph, cg.Graph)
    assert_alike(cg.compile(function).prepare(*args)(*args), wanted)


def test_python_floats_give_python_floats_and_numpy_numbers_the_same_numbers() -> None:
    compiled = cg.compile(cg.value_and_grad(textbook, argnums=(0, 1)))
    value, (first, second) = compiled(0.5, 1.0)
    assert type(value) is type(first) is type(second) is float
    for args in ((np.float64(0.5), 1), (np.array(0.5), np.float64(1.0)), (0.5, True)):
        assert compiled(*args) == (value, (first, second))
    assert compiled.source.count("np.") == 0, "plain numbers need no NumPy"
    assert len(programs_of(compiled)) == 1


def programs_of(compiled: Any) -> Any:
    return compiled.prepare.__self__.programs


@pytest.mark.parametrize(("function", "args"), [
    (lambda x: 1 / x, (0.0,)), (lambda x: np.log(x), (-1.0,)), (lambda x: np.log(x), (0.0,)), (lambda x: np.exp(x), (1000.0,)),
    (lambda x: np.sin(x), (math.inf,)), (lambda x: x**0.5, (-2.0,)), (lambda x: x**-1.5, (0.0,)), (lambda x: np.sqrt(x), (-1.0,)),
    (lambda x: np.maximum(x, 1.0) + np.minimum(1.0, x), (math.nan,)), (lambda x: np.sign(x), (math.nan,)), (lambda x: x * x, (1e200,)),
    (lambda x, y: x / y, (0.0, 0.0)), (lambda x, y: np.where(x > y, x / y, y), (1.0, 0.0)), (lambda x: np.sign(x), (-0.0,)),
    (lambda x: np.arctan2(x, -1.0), (-0.0,)), (lambda x: np.floor(x) + np.ceil(x), (-0.5,)), (lambda x: np.floor(x), (math.inf,)),
    (lambda x: cg.sigmoid(x), (-800.0,)), (lambda x: cg.relu(x), (math.nan,)), (lambda x: np.logaddexp(x, x), (2.0,)),
    (lambda x: np.hypot(x, x), (1e300,)), (lambda x: np.tanh(x) + np.abs(x), (-3.0,)), (lambda x: x % 3.0, (-1.0,)),
], ids=lambda one: inspect.getsource(one).strip()[:0] if callable(one) else str(one))  # fmt: skip
def test_where_python_raises_numbers_are_as_in_numpy(function: Any, args: Any) -> None:
    compiled = cg.compile(function)
    with np.errstate(all="ignore"):
        wanted = function(*map(np.float64, args))
        for _ in range(2):
            found = compiled(*args)
            np.testing.assert_allclose(found, wanted, rtol=4e-16)
            assert math.copysign(1, found) == math.copysign(1, wanted) or math.isnan(found)


def test_each_signature_has_a_program_of_its_own() -> None:
    compiled = cg.compile(lambda x: np.sum(np.sin(x)))
    for x in (np.ones(3), np.ones(4), np.ones((2, 2)), np.ones(3, np.float32), 1.0, np.float32(1.0), [1.0, 2.0][0], np.ones(3) > 0):
        if np.asarray(x).dtype.kind == "b":
            continue
        assert_alike(np.asarray(compiled(x)), np.asarray(np.sum(np.sin(x))))
    assert len(programs_of(compiled)) == 6
    assert_alike(compiled(np.ones(3)), np.sum(np.sin(np.ones(3))))
    assert len(programs_of(compiled)) == 6, "an old signature is not traced again"


def test_structure_is_part_of_the_signature() -> None:
    compiled = cg.compile(lambda tree: tree["a"] + tree["b"][0] if isinstance(tree, dict) else tree[0])
    assert compiled({"a": 1.0, "b": [2.0]}) == 3.0
    assert compiled({"b": [2.0], "a": 1.0}) == 3.0
    assert compiled([5.0]) == 5.0
    assert compiled((6.0,)) == 6.0
    assert compiled({"a": 1.0, "b": (7.0,)}) == 8.0


def test_a_cache_that_churns_warns_once_and_stays_bounded() -> None:
    compiled = cg.compile(lambda x: x * 2, cache_size=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for length in range(1, 9):
            assert compiled(np.ones(length)).shape == (length,)
    (only,) = caught
    assert only.category is CompilationWarning and "3 signatures" in str(only.message) and only.filename == __file__
    assert len(programs_of(compiled)) == 3


def test_static_arguments_choose_a_program() -> None:
    @cg.compile(static_argnames=("order", "negate"))
    def power(x: Any, order: int, *, negate: bool = False) -> Any:
        y = x
        for _ in range(order - 1):
            y = y * x
        return -y if negate else y

    assert power(2.0, 3) == power(2.0, order=3) == 8.0
    assert power(2.0, 3, negate=True) == -8.0
    assert power(np.full(2, 3.0), 2).tolist() == [9.0, 9.0]
    with pytest.raises(cg.InputError, match="hashable"):
        power(2.0, [3])
    with pytest.raises(cg.InputError, match=r"no parameter 'degree'; it has x"):
        cg.compile(lambda x: x, static_argnames="degree")


def test_defaults_keywords_and_open_arguments() -> None:
    def f(x: Any, scale: Any = 2.0, *more: Any, shift: Any = 1.0) -> Any:
        return x * scale + shift + sum(more)

    compiled = cg.compile(f)
    for args, kwargs in (((3.0,), {}), ((3.0, 4.0), {}), ((3.0,), {"scale": 5.0}), ((3.0, 1.0, 1.0, 2.0), {"shift": 0.5})):
        assert compiled(*args, **kwargs) == f(*args, **kwargs)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        compiled()
    with pytest.raises(cg.InputError, match="missing a required argument"):
        cg.compile(f)()


def test_variables_that_the_function_closes_over_are_read_in_every_call() -> None:
    w = cg.variable([1.0, 2.0], name="w")
    compiled = cg.compile(lambda x: np.sum(w * x))
    assert compiled(np.ones(2)) == 3.0
    w.value = np.array([10.0, 20.0])
    assert compiled(np.ones(2)) == 30.0
    scalar = cg.variable(2.0)
    times = cg.compile(lambda x: x * scalar)
    assert times(3.0) == 6.0
    scalar.value = np.float64(5.0)
    assert times(3.0) == 15.0


def test_nodes_run_the_function_itself_so_that_it_can_be_differentiated() -> None:
    compiled = cg.compile(textbook)
    assert_alike(cg.grad(compiled, argnums=(0, 1))(0.5, 1.0), cg.grad(textbook, argnums=(0, 1))(0.5, 1.0))
    assert str(cg.trace(compiled, 0.5, 1.0)) == str(cg.trace(textbook, 0.5, 1.0)).replace("textbook", cg.trace(compiled, 0.5, 1.0).name)
    x = cg.variable(0.5)
    assert compiled(x, 1.0).value == textbook(0.5, 1.0)


def test_results_never_share_memory_with_anything_else() -> None:
    x = RNG.normal(size=(200, 100))  # large enough for planned memory
    compiled = cg.compile(lambda x: (np.exp(x) * 2 + 1, np.exp(x).T, x, x.T, np.exp(x)[0]))
    first = compiled(x)
    kept = [np.copy(one) for one in first]
    second = compiled(x + 1)
    for one, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(one, copy)
    arrays = [*first, *second, x]
    for number, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[:number])


def test_threads_may_call_the_same_function() -> None:
    compiled = cg.compile(lambda x: np.sum(np.exp(np.sin(x) * 2 + 1) * np.cos(x), axis=0))
    inputs = [RNG.normal(size=(300, 100)) for _ in range(8)]
    wanted = [compiled(x) for x in inputs]
    failures = []

    def work(number: int) -> None:
        for _ in range(30):
            if not np.array_equal(compiled(inputs[number]), wanted[number]):
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_threads_that_meet_a_new_signature_trace_it_once() -> None:
    traces = []

    def f(x: Any) -> Any:
        traces.append(x.shape)
        return x * 2

    compiled = cg.compile(f)
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait()
        compiled(np.ones(3))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traces == [(3,)]


# -------------------------------------------------------------------------------- a training step


def adam_step(p: Any, m: Any, v: Any, t: Any, x: Any, y: Any, unravel: Any) -> Any:
    loss, gradient = cg.value_and_grad(lambda p: mlp(unravel(p), x, y))(p)
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient * gradient
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return loss, p - 1e-2 * step, m, v, t + 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_training_step_updates_donated_arrays_and_their_views(dtype: Any) -> None:
    params, x, y = mlp_arguments(7)
    p, unravel = cg.ravel(params)
    p, x, y = p.astype(dtype), x.astype(dtype), y.astype(dtype)

    def step(p: Any, m: Any, v: Any, t: Any, x: Any, y: Any) -> Any:
        return adam_step(p, m, v, t, x, y, unravel)

    compiled = cg.compile(step, donate_argnums=(0, 1, 2))
    graph = cg.trace(step, p, p, p, dtype(1), x, y)
    state = (p, np.zeros_like(p), np.zeros_like(p), dtype(1))
    ours = tuple(np.copy(one)[()] for one in state)
    layers = unravel(ours[0])
    for _ in range(10):
        loss, *state = graph(*state, x, y)
        found, *after = compiled(*ours, x, y)
        assert after[0] is ours[0] and after[1] is ours[1] and after[2] is ours[2]
        ours = tuple(after)
        np.testing.assert_allclose(found, loss, rtol=1e-5 if dtype is np.float32 else 1e-12)
    for one, other in zip(ours, state, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4 if dtype is np.float32 else 1e-10, atol=1e-6 if dtype is np.float32 else 1e-13)
        assert np.asarray(one).dtype == dtype
    np.testing.assert_array_equal(layers["w"].ravel(), ours[0][:12])


SWAPS = {
    "swapped": lambda a, b: (b, a),
    "both of both": lambda a, b: (a + b, a - b),
    "read after it is written": lambda a, b: (a * 2, b + (a * 2)[::-1], np.sum(a)),
    "a view beside it": lambda a, b: (a + 1, b, a[:2], a[::-1]),
    "reversed into itself": lambda a, b: (a[::-1] * 1.0, np.cumsum(b)),
    "not touched": lambda a, b: (a, b * 2),
}


@pytest.mark.parametrize("size", [4, 5000])
@pytest.mark.parametrize("swap", SWAPS)
def test_a_donated_array_is_overwritten_only_when_nothing_reads_it_any_more(swap: str, size: int) -> None:
    a, b = RNG.normal(size=size), RNG.normal(size=size)
    wanted = SWAPS[swap](np.copy(a), np.copy(b))
    given = np.copy(a), np.copy(b)
    found = cg.compile(SWAPS[swap], donate_argnums=(0, 1))(*given)
    assert found[0] is given[0] and found[1] is given[1]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    for place, one in enumerate(found[2:], 2):
        if np.ndim(one):
            assert not any(np.shares_memory(one, other) for number, other in enumerate(found) if number != place)


def test_what_cannot_be_donated_is_refused() -> None:
    with pytest.raises(cg.InputError, match=r"donated argument p is float32 \(3,\).*results are float64 \(3,\)"):
        cg.compile(lambda p, t: p * t, donate_argnums=0)(np.ones(3, np.float32), 2.0)
    step = cg.compile(lambda m, v: (m + 1, v + 2), donate_argnums=(0, 1))
    same = np.zeros(3)
    for _ in range(2):
        with pytest.raises(cg.InputError, match="the donated argument m shares memory with v"):
            step(same, same)
        step(np.zeros(3), np.zeros(3))
    assert not same.any()
    with pytest.raises(cg.InputError, match="has 1 parameters"):
        cg.compile(lambda x: x, donate_argnums=1)
    with pytest.raises(cg.InputError, match="donate_argnums are numbers"):
        cg.compile(lambda x: x, donate_argnums=-1)


# --------------------------------------------------------------------------------------- bad input


def test_a_branch_on_a_value_names_its_line() -> None:
    def f(x: Any) -> Any:
        if x > 0:
            return x
        return -x

    with pytest.raises(cg.AbstractValueError, match=r"test_compilation\.py:\d+: `if x > 0:`.*np\.where"):
        cg.compile(f)(1.0)


GENERATOR = np.random.default_rng(1)


def test_random_draws_are_refused_with_the_reason() -> None:
    local = np.random.default_rng(2)

    def drawn_by_a_callee(x: Any) -> Any:
        return noisy(x)

    def noisy(x: Any) -> Any:
        return x + GENERATOR.normal()

    import random

    for function, what in (
        (lambda x: x + local.normal(), "from local"), (noisy, "from GENERATOR"), (drawn_by_a_callee, "from GENERATOR"),
        (lambda x: x + np.random.rand(), "by np.random"), (lambda x: x + random.random(), "by random"),  # noqa: NPY002
    ):  # fmt: skip
        with pytest.raises(cg.InputError, match=rf"draws random numbers {what} while.*pass them as an argument"):
            cg.compile(function)(1.0)
    assert cg.compile(lambda x, noise: x + noise)(1.0, GENERATOR.normal()) != 1.0


TOTAL = 0.0


def test_writing_outer_variables_is_refused() -> None:
    count = 0

    def counts(x: Any) -> Any:
        nonlocal count
        count += 1
        return x

    def adds(x: Any) -> Any:
        global TOTAL
        TOTAL = TOTAL + x
        return x

    for function, what in ((counts, "outer variable 'count'"), (adds, "global variable 'TOTAL'")):
        with pytest.raises(cg.InputError, match=rf"{what} \(test_compilation\.py:\d+\).*return the value"):
            cg.compile(function)
    assert count == 0 and TOTAL == 0.0


def test_a_node_of_a_dead_graph_is_refused() -> None:
    kept = []
    cg.trace(lambda x: kept.append(x * 2) or x, 1.0)
    with pytest.raises(cg.GraphError, match="belongs to another graph"):
        cg.compile(lambda x: x + kept[0])(1.0)


def test_errors_of_a_run_name_the_node_and_the_line() -> None:
    solve = cg.compile(lambda a, b: np.linalg.solve(a, b))
    solve(np.eye(2), np.ones(2))
    with pytest.raises(np.linalg.LinAlgError, match=r"solve\(a \(2, 2\).*[Ss]ingular.*test_compilation\.py:\d+"):
        solve(np.zeros((2, 2)), np.ones(2))
    assert solve(np.eye(2), np.ones(2)).tolist() == [1.0, 1.0], "nothing is lost"


def test_wrong_arguments_and_options() -> None:
    compiled = cg.compile(lambda x: x)
    with pytest.raises(cg.InputError, match=r"no target 'gpu'; there are numpy, numba.*test_compilation\.py"):
        cg.compile(lambda x: x, target="gpu")
    with pytest.raises(cg.InputError, match="takes a function, not float"):
        cg.compile(1.0)
    with pytest.raises(cg.DtypeError, match=r"x: str 'a' is not numeric.*test_compilation\.py"):
        compiled("a")
    assert compiled(2.0) == 2.0


# ------------------------------------------------------------------------------------------- texts


def test_before_the_first_call_the_source_says_so() -> None:
    compiled = cg.compile(textbook)
    assert compiled.source.startswith("# textbook has not been traced yet") and compiled.graph is None
    assert (compiled.__name__, compiled.__doc__) == (textbook.__name__, textbook.__doc__)
    assert inspect.signature(compiled) == inspect.signature(textbook)


def test_a_traceback_shows_the_programs_line() -> None:
    compiled = cg.compile(lambda x: np.log(x) * 2)
    compiled(np.ones(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compiled(np.array([-1.0, 1.0, 1.0]))
        except RuntimeWarning as error:
            text = "".join(traceback.format_exception(error))
    assert "= np.log(x)" in text
    assert any("np.log(x)" in "".join(lines) for name, (_, _, lines, _) in
               ((name, entry) for name, entry in linecache.cache.items() if len(entry) == 4) if name.startswith("<compgraph"))


def test_the_source_is_what_runs() -> None:
    """Executed as any Python program, the text gives the same numbers."""
    compiled = cg.compile(cg.value_and_grad(textbook, argnums=(0, 1)))
    value, (first, second) = compiled(0.5, 1.0)
    assert programs.define(compiled.source, compiled.graph.name, {}, title="test")(0.5, 1.0) == (value, first, second)
    step = cg.compile(lambda x: np.sum(np.exp(x * 2) + 1, axis=0))
    wanted = step(np.ones((300, 20)))
    (found,) = programs.define(step.source, "f", {}, title="test")(np.ones((300, 20)))
    np.testing.assert_array_equal(found, wanted)


def test_a_decorated_function_reads_as_written() -> None:
    @cg.compile
    def area(width: Any, height: Any) -> Any:
        product = width * height
        return np.sqrt(product)

    assert area(4.0, 9.0) == 6.0
    head, body = area.source.split("\n\n\n")
    assert head == "from math import sqrt"
    assert body.splitlines() == ["def area(width, height):", "    product = width * height", "    return sqrt(product),"]

"""Calls that look alike but are not get programs of their own, and what is known of a program dies with it."""

from __future__ import annotations

import functools
import gc
import linecache
import weakref
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg

Pair = namedtuple("Pair", "a b")


def test_keywords_may_come_in_any_order() -> None:
    for first in ({"y": 1.0, "x": 5.0}, {"x": 5.0, "y": 1.0}):
        compiled = cg.compile(lambda x, y: x - y)
        assert compiled(**first) == compiled(y=1.0, x=5.0) == compiled(5.0, y=1.0) == compiled(5.0, 1.0) == 4.0
    arrays = cg.compile(lambda x, y: x - y)(y=np.ones(2), x=np.full(2, 5.0))
    assert arrays.tolist() == [4.0, 4.0]


def test_a_name_may_stand_for_a_parameter_and_a_keyword() -> None:
    def f(x: Any, /, **named: Any) -> Any:
        return x - named["x"]

    assert cg.compile(f)(5.0, x=1.0) == cg.trace(f, 5.0, x=1.0)(5.0, 1.0) == 4.0


def test_each_container_comes_back_as_itself() -> None:
    """A list and a tuple, 1 and "1", an empty list and nothing at all: equal leaves, other programs."""
    trees: list[Any] = [
        [1.0, 2.0], (1.0, 2.0), Pair(1.0, 2.0), {"a": 1.0, "b": 2.0}, {"b": 1.0, "a": 2.0}, {1: 1.0, 2: 2.0}, {"1": 1.0, "2": 2.0},
        {"a[0]": 1.0, "b": 2.0}, {"a": [1.0], "b": 2.0}, {"a": [1.0], "b": 2.0, "c": []}, {"a": [1.0], "b": 2.0, "c": ()},
    ]  # fmt: skip
    for order in (trees, trees[::-1]):
        compiled = cg.compile(lambda tree: tree)
        for tree in [*order, *order]:
            found = compiled(tree)
            assert found == tree and type(found) is type(tree) and list(found) == list(tree), tree


def test_the_order_of_keys_counts() -> None:
    def horner(tree: Any) -> Any:
        total = 0.0
        for value in tree.values():
            total = total * 10 + value
        return total

    compiled = cg.compile(horner)
    for make in (float, lambda value: np.full(2, float(value))):
        for _ in range(2):
            np.testing.assert_array_equal(compiled({"a": make(1), "b": make(2)}), make(12))
            np.testing.assert_array_equal(compiled({"b": make(2), "a": make(1)}), make(21))


def test_static_arguments_that_are_equal_are_told_apart() -> None:
    compiled = cg.compile(lambda x, n: x * n[0], static_argnames="n")
    for factor in (1, 1.0, True, 1j, np.float32(1)):
        assert compiled(np.arange(3), (factor,)).dtype == (np.arange(3) * factor).dtype
    for zero in (0.0, -0.0):
        assert np.signbit(compiled(1.0, (zero,))) == np.signbit(zero)


def test_static_arguments_beside_every_kind_of_parameter() -> None:
    def f(x: Any, n: Any, /, *more: Any, k: Any = 2, **named: Any) -> Any:
        return x * n + sum(more) * k + sum(named.values())

    compiled = cg.compile(f, static_argnames=("n", "k"))
    assert compiled(1.0, 2, 3.0, 4.0, k=5, z=6.0) == f(1.0, 2, 3.0, 4.0, k=5, z=6.0)
    assert compiled(1.0, 3, 3.0) == f(1.0, 3, 3.0)


def test_a_method_names_self_as_static() -> None:
    class Model:
        scale = 2.0

        @cg.compile(static_argnames="self")
        def scaled(self, x: Any) -> Any:
            return x * self.scale

        @cg.compile
        def forgotten(self, x: Any) -> Any:
            return x

    assert Model().scaled(3.0) == Model().scaled(x=3.0) == 6.0
    with pytest.raises(cg.DtypeError, match=r"self: .*such as a flag, a text or self, is named in static_argnames"):
        Model().forgotten(3.0)


def test_integers_that_float64_cannot_hold_are_refused_in_every_call() -> None:
    compiled = cg.compile(lambda x: x * 2)
    assert compiled(1) == 2.0
    for large in (2**53 + 1, -(2**60) - 1, 10**400):
        with pytest.raises(cg.ValueRangeError, match="does not fit into float64"):
            compiled(large)
    assert compiled(2**53) == 2.0**54


def test_integers_of_an_array_class_are_no_floats() -> None:
    """The program for the one would cut the other's fractions off."""
    own = np.arange(3).view(type("Own", (np.ndarray,), {}))
    for first, second in ((own, np.array([0.5, 1.5, 2.5])), (np.array([0.5, 1.5, 2.5]), own)):
        compiled = cg.compile(lambda x: x * 2)
        for x in (first, second, first):
            found = compiled(x)
            assert found.dtype == x.dtype and found.tolist() == (np.asarray(x) * 2).tolist()


def test_a_function_without_arguments() -> None:
    compiled = cg.compile(lambda: np.arange(3.0))
    assert [compiled().tolist() for _ in range(3)] == [[0.0, 1.0, 2.0]] * 3
    assert cg.compile(lambda: 3.0)() == 3.0


NAMES = ["range", "reversed", "pool", "work", "workspace", "memory", "np", "c1", "b1", "exp", "abs", "_f", "rows1", "turn"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [float, lambda x: np.full(4000, float(x))], ids=["number", "array"])
def test_functions_parameters_and_variables_of_any_name(name: str, make: Callable[[Any], Any]) -> None:
    namespace: dict[str, Any] = {"cg": cg, "numpy": np}
    body = "return cg.fori(0, 3, lambda i, y: numpy.sin(y) * 2.5 + {0}, {0}) + numpy.exp(cg.sigmoid({0} * 1.5)) + numpy.floor({0})"
    exec(
        f"def {name}(x):\n    {body.format('x')}\ndef parameter({name}):\n    {body.format(name)}\n"
        f"def variable(x):\n    {name} = x * 1.0\n    {body.format(name)}\n", namespace,
    )  # fmt: skip
    for function in (namespace[name], namespace["parameter"], namespace["variable"]):
        compiled, x = cg.compile(function), make(0.3)
        for _ in range(2):
            np.testing.assert_allclose(compiled(x), function(x), rtol=1e-14)


# ------------------------------------------------------------------------------- captured variables


def test_a_captured_variable_may_change_its_shape_and_dtype() -> None:
    """The mean divides by the number of entries, which stands in the program."""
    w = cg.variable(np.ones(3), name="w")
    compiled = cg.compile(lambda x: x * np.mean(w))
    for value in (np.full(3, 2.0), np.arange(5.0), np.ones((2, 2), np.float32), np.full(3, 4.0)):
        w.value = value
        for x in (np.ones(2), 1.0, np.float64(1.0)):
            for _ in range(2):
                np.testing.assert_allclose(compiled(x), x * np.mean(value))
    w.value = 5.0
    with pytest.raises(cg.InputError, match="the variable w holds a float: assign an array to its value"):
        compiled(np.ones(2))


# ------------------------------------------------------------------------------------------- garbage


@pytest.mark.filterwarnings("ignore::compgraph.errors.CompilationWarning")
def test_forgotten_programs_leave_nothing_behind() -> None:
    compiled = cg.compile(lambda x: np.exp(x) * 2, cache_size=1)
    graphs, sizes = [], []
    for length in range(1, 8):
        compiled(np.ones(length))
        graphs.append(weakref.ref(compiled.graph))
        gc.collect()
        sizes.append((len(compiled.__globals__), len(linecache.cache)))
    assert sum(graph() is not None for graph in graphs) == 1
    assert sizes[4:] == sizes[3:-1], "neither names nor source lines pile up"
    gone = weakref.ref(compiled)
    del compiled
    gc.collect()
    assert gone() is None and not any(graph() for graph in graphs)


def test_defaults_that_are_left_out_do_not_slow_a_call_down_and_those_given_count() -> None:
    def f(x: Any, scale: Any = 2.0, *more: Any, shift: Any = 1.0, **others: Any) -> Any:
        return x * scale + shift + sum(more) + sum(others.values())

    compiled = cg.compile(f)
    slow: list[Any] = []
    dispatch = compiled.__globals__["_dispatch"]
    compiled.__globals__["_dispatch"] = lambda args, kwargs: slow.append(args) or dispatch(args, kwargs)
    for x in (3.0, np.ones(2)):
        compiled(x)
        slow.clear()
        np.testing.assert_array_equal(compiled(x), f(x))
        assert not slow, "known by sight"
        for args, kwargs in (((x, 5.0), {}), ((x, 5.0, 1.0, 2.0), {}), ((x,), {"shift": 0.5}), ((x,), {"y": 4.0}), ((), {"x": x})):
            np.testing.assert_array_equal(compiled(*args, **kwargs), f(*args, **kwargs))
            np.testing.assert_array_equal(compiled(x), f(x))
    partial = cg.compile(functools.partial(f, scale=10.0))
    assert partial(1.0) == partial(1.0) == 11.0 and partial(1.0, scale=3.0) == 4.0

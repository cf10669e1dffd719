"""Wrong use of nodes and graphs: each case gets an error that names the thing, the shapes and the user's own line."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from refusals import message_of, over

import compgraph as cg

HERE = "test_bad_input.py"

# The user's variables.
x = cg.variable(2.0, name="x")
v = cg.variable([1.0, 2.0, 3.0], name="v")
a = cg.variable(np.ones((5, 3)), name="a")
graph = cg.trace(lambda x1, x2: x1 * np.sum(x2), 1.0, np.ones(2))


# ------------------------------------------------------------------------------------ inputs of a graph

INPUTS = {
    "too many": (lambda: graph(1.0, np.ones(2), 3.0), cg.InputError, "f(x1, x2) takes 2 inputs, 3 given"),
    "unknown name": (lambda: graph(1.0, x3=1.0), cg.InputError, "f(x1, x2) has no input 'x3'; its inputs are x1, x2"),
    "missing": (lambda: graph(1.0), cg.InputError, "f(x1, x2): no value for x2"),
    "given twice": (lambda: graph(1.0, np.ones(2), x1=1.0), cg.InputError, "f(x1, x2): x1 is given twice"),
    "another shape": (lambda: graph(1.0, np.ones(3)), cg.ShapeError, "f(x1, x2): x2 has shape (3,), the graph was traced with (2,)"),
    "text": (lambda: graph("one", np.ones(2)), cg.DtypeError, "f(x1, x2): x1", "'one' is not numeric"),
    "nothing": (lambda: graph(None, np.ones(2)), cg.DtypeError, "f(x1, x2): x1", "NoneType None is not numeric"),
    "a dict": (lambda: graph({"x1": 1.0}, np.ones(2)), cg.DtypeError, "f(x1, x2): x1", "dict {'x1': 1.0} is not numeric"),
    "complex": (lambda: graph(1j, np.ones(2)), cg.DtypeError, "f(x1, x2): x1", "1j is complex, a real number is needed"),
    "a ragged list": (lambda: graph(1.0, [[1.0], [1.0, 2.0]]), cg.ShapeError, "f(x1, x2): x2", "is not a rectangular array"),
    "too large an integer": (lambda: graph(10**400, np.ones(2)), cg.ValueRangeError, "f(x1, x2): x1", "an integer of 1329 bits"),
}  # fmt: skip


COUNTING = cg.trace(lambda n, t: t * n, np.array([1, 2], np.uint8), 1.0)
INPUTS |= {
    "a complex one": (lambda: COUNTING([1j, 1], 1.0), cg.ValueRangeError, "n is of dtype uint8, which cannot hold"),
    "half an integer": (lambda: COUNTING([1.5, 1], 1.0), cg.ValueRangeError, "f(n, t): n is of dtype uint8, which cannot hold", "1.5"),
    "a negative one": (lambda: COUNTING([-1, 1], 1.0), cg.ValueRangeError, "n is of dtype uint8, which cannot hold"),
    "too large for uint8": (lambda: COUNTING([300, 1], 1.0), cg.ValueRangeError, "n is of dtype uint8, which cannot hold"),
    "not a number": (lambda: COUNTING(["a", "b"], 1.0), cg.DtypeError, "is not numeric"),
}


@over(INPUTS)
def test_inputs(call: Callable[[], Any], error: type[Exception], texts: list[str]) -> None:
    message = message_of(error, call)
    assert all(text in message for text in texts), message


VALUES = {
    "text": (lambda: cg.variable("0.5"), cg.DtypeError, "str '0.5' is not numeric"),
    "bytes": (lambda: cg.variable(b"0.5"), cg.DtypeError, "bytes b'0.5' is not numeric"),
    "nothing": (lambda: cg.variable(None), cg.DtypeError, "NoneType None is not numeric"),
    "objects": (lambda: cg.variable(np.array([object()])), cg.DtypeError, "an array of object is not numeric"),
    "a function": (lambda: cg.variable(np.sin), cg.DtypeError, "not numeric"),
    "dates": (lambda: cg.variable(np.array(["2020-01-01"], "datetime64[D]")), cg.DtypeError, "datetime64[D] is not numeric"),
    "10**400": (lambda: cg.variable(10**400), cg.ValueRangeError, "an integer of 1329 bits does not fit into float64"),
    "10**5000": (lambda: cg.variable(10**5000), cg.ValueRangeError, "an integer of 16610 bits does not fit into float64"),
    "2**53 + 1": (lambda: cg.variable(2**53 + 1), cg.ValueRangeError, "9007199254740993 does not fit into float64 exactly"),
    "2**53 + 1 in an array": (lambda: cg.variable(np.array([0, 2**53 + 1])), cg.ValueRangeError, "above 2**53", "exactly"),
    "2**70 in a list": (lambda: cg.variable([1, 2**70]), cg.ValueRangeError, "an integer of 71 bits does not fit"),
    "a ragged list": (lambda: cg.variable([[1.0], [2.0, 3.0]]), cg.ShapeError, "[[1.0], [2.0, 3.0]] is not a rectangular array"),
    "a number for a name": (lambda: cg.variable(1.0, 2.0), cg.InputError, "a name is a text, not 2.0"),  # type: ignore[arg-type]
    "a node": (lambda: cg.variable(x), cg.InputError, "x () is a node already"),
    "nodes in a list": (lambda: cg.variable([x, x]), cg.InputError, "np.stack([a, b])"),
    "a masked array": (lambda: cg.variable(np.ma.array([1.0], mask=[True])), cg.DtypeError, "MaskedArray has arithmetic of its own"),
}  # fmt: skip


@over(VALUES)
def test_values(call: Callable[[], Any], error: type[Exception], texts: list[str]) -> None:
    message = message_of(error, call)
    assert all(text in message for text in texts), message


def test_values_that_fit_are_taken() -> None:
    assert cg.variable(2**53).value == 2.0**53
    assert cg.variable(2**60).value == 2.0**60  # a power of two is exact
    assert cg.variable(np.array([True, False])).dtype == np.float64
    assert cg.variable(np.float16(0.5)).dtype == np.float16
    assert cg.variable([]).shape == (0,)
    assert cg.variable(1 + 2j).value == 1 + 2j
    assert cg.variable(np.array([1j], np.complex64)).dtype == np.complex64
    assert np.isnan(cg.variable(float("nan")).value)


# ------------------------------------------------------------------------------ shapes and operands

OPERANDS = {
    "broadcast": (lambda: v + np.ones(4), cg.ShapeError, "add(v (3,), (4,)): shapes (3,) and (4,) do not broadcast, at v1"),
    "broadcast of results": (lambda: (v * 2) - (a * 2).T, cg.ShapeError, "subtract(v1 (3,), v2 (3, 5))", "do not broadcast, at v4"),
    "matmul": (lambda: a @ np.ones((4, 2)), cg.ShapeError, "matmul(a (5, 3), (4, 2)): (5, 3) @ (4, 2): inner sizes 3 and 4 differ, at v1"),
    "matmul by dot": (lambda: np.dot(a, np.ones((4, 2))), cg.ShapeError, "(5, 3) @ (4, 2): inner sizes 3 and 4 differ"),
    "matmul of numbers": (lambda: a @ 2.0, cg.ShapeError, "(5, 3) @ (): a number has no axis to contract; write a * b"),
    "matmul of batches": (lambda: np.ones((2, 5, 3)) @ cg.variable(np.ones((4, 3, 1))), cg.ShapeError, "batch shapes (2,) and (4,)"),
    "text": (lambda: v * "2", cg.DtypeError, "multiply: str '2' is not numeric"),
    "text on the left": (lambda: "loss: " + x, cg.DtypeError, "add: str 'loss: ' is not numeric"),
    "nothing": (lambda: x + None, cg.DtypeError, "add: NoneType None is not numeric"),
    "a dict": (lambda: x * {}, cg.DtypeError, "multiply: dict {} is not numeric"),
    "order of complex numbers": (lambda: x * 1j < 1, cg.DtypeError, "less(v1 (), 1): not defined, or not differentiable, for complex"),
    "larger of complex numbers": (lambda: np.maximum(np.array([1j]), x), cg.DtypeError, "maximum((1,), x ()): not defined", "np.abs"),
    "sign of a complex number": (lambda: np.sign(x + 1j), cg.DtypeError, "sign(v1 ()): not defined", "at v2"),
    "a ragged list": (lambda: v * [1.0, [2.0]], cg.ShapeError, "multiply: [1.0, [2.0]] is not a rectangular array"),
    "too large an integer": (lambda: x * 10**400, cg.ValueRangeError, "multiply(x (), an integer of 1329 bits)"),
    "far too large an integer": (lambda: x * 10**5000, cg.ValueRangeError, "multiply(x (), an integer of 16610 bits)"),
    "a function": (lambda: v * np.sin, cg.DtypeError, "multiply: an array of object is not numeric"),
    "a masked array": (lambda: v * np.ma.array([1.0, 2.0, 3.0]), cg.DtypeError, "MaskedArray has arithmetic of its own"),
    "the wrong power sign": (lambda: x ^ 2, cg.MissingRuleError, "x () ^ 2", "** 2 for a power"),
    "a dtype of text": (lambda: v.astype(str), cg.DtypeError, "a node cannot become <U0: nodes hold numbers"),
    "axis": (lambda: np.sum(v, axis=5), cg.ShapeError, "sum(v (3,), axis=5", "axis 5 is outside an array of 1 axes, at v1"),
    "axis of max": (lambda: a.max(axis=-3), cg.ShapeError, "max(a (5, 3), axis=-3", "axis -3 is outside an array of 2 axes"),
    "axis twice": (lambda: np.mean(a, axis=(0, -2)), cg.ShapeError, "axis (0, -2) names an axis twice"),
    "half an axis": (lambda: np.sum(v, axis=0.5), cg.DtypeError, "np.sum", "float"),
    "axis by name": (lambda: np.sum(v, axis="rows"), cg.DtypeError, "np.sum", "str"),
    "largest of none": (lambda: np.max(v[:0]), cg.ShapeError, "max(v1 (0,)", "no largest or smallest of no numbers", "at v2"),
    "smallest of none": (lambda: np.min(a[:0], axis=0), cg.ShapeError, "no largest or smallest of no numbers: shape (0, 3), axis 0"),
    "index": (lambda: v[7], cg.NodeIndexError, "index(v (3,), index=7)", "out of bounds for axis 0 with size 3"),
    "too many indices": (lambda: v[0, 0], cg.NodeIndexError, "too many indices", "for shape (3,)"),
    "half an index": (lambda: v[0.5], cg.MissingRuleError, "index of v (3,)", "not float"),
    "index by name": (lambda: v["w"], cg.MissingRuleError, "index of v (3,)", "not str"),
    "array of indices": (lambda: v[np.array([0, 9])], cg.NodeIndexError, "index 9 is out of bounds"),
    "mask of another size": (lambda: v[np.array([True])], cg.NodeIndexError, "boolean index did not match"),
    "slice with halves": (lambda: v[0.5:], cg.DtypeError, "index(v (3,)", "slice indices must be integers"),
    "slice of no step": (lambda: v[::0], cg.ShapeError, "index(v (3,)", "slice step cannot be zero"),
    "number as an array": (lambda: x[0], cg.NodeIndexError, "too many indices", "for shape ()"),
    "length of a number": (lambda: len(x), cg.DtypeError, "len() of x (), which has no axes"),
    "entries of a number": (lambda: list(x), cg.DtypeError, "x (), which has no axes"),
    "reshape": (lambda: v.reshape(4, 7), cg.ShapeError, "reshape(v (3,), shape=(4, 7)): cannot make shape (4, 7) out of (3,)"),
    "reshape with two unknowns": (lambda: v.reshape(-1, -1), cg.ShapeError, "cannot make shape (-1, -1) out of (3,)"),
    "reshape by name": (lambda: v.reshape("flat"), cg.DtypeError, "np.reshape", "str"),
    "transpose": (lambda: np.transpose(a, (0, 0)), cg.ShapeError, "transpose(a (5, 3), axes=(0, 0)): axis (0, 0) names an axis twice"),
    "squeeze": (lambda: np.squeeze(a, axis=0), cg.ShapeError, "axis 0 of shape (5, 3) is not of length 1"),
    "expand": (lambda: np.expand_dims(v, 9), cg.ShapeError, "axis 9 is outside"),
    "broadcast_to": (lambda: np.broadcast_to(v, (2, 2)), cg.ShapeError, "shape (3,) does not broadcast to (2, 2)"),
    "concatenate": (lambda: np.concatenate([a, np.ones((1, 4))]), cg.ShapeError, "shapes (5, 3), (1, 4) differ outside axis 0"),
    "concatenate numbers": (lambda: np.concatenate([x, x]), cg.ShapeError, "numbers without axes cannot be concatenated; write np.stack"),
    "stack": (lambda: np.stack([v, np.ones(2)]), cg.ShapeError, "shapes (3,), (2,) are not all the same"),
    "where": (lambda: np.where(v > 0, v, np.ones(2)), cg.ShapeError, "where(v1 (3,), v (3,), (2,))", "do not broadcast"),
}  # fmt: skip


@over(OPERANDS)
def test_operands(call: Callable[[], Any], error: type[Exception], texts: list[str]) -> None:
    message = message_of(error, call)
    assert all(text in message for text in texts), message


@pytest.mark.parametrize("name", ["broadcast", "matmul", "axis", "index", "reshape", "concatenate", "largest of none"])
def test_operands_are_refused_alike_while_tracing(name: str) -> None:
    call, error, *_ = OPERANDS[name]
    operations = {
        "broadcast": lambda v: v + np.ones(4), "matmul": lambda a: a @ np.ones((4, 2)), "axis": lambda v: np.sum(v, axis=5),
        "index": lambda v: v[7], "reshape": lambda v: v.reshape(4, 7), "concatenate": lambda a: np.concatenate([a, np.ones((1, 4))]),
        "largest of none": lambda v: np.max(v[:0]),
    }  # fmt: skip
    value = a.value if name in ("matmul", "concatenate") else v.value
    eager = message_of(error, call)
    traced = message_of(error, lambda: cg.trace(operations[name], value))
    assert traced.rpartition(" (")[0] == eager.rpartition(" (")[0]


# ------------------------------------------------------------------------------ writing into things


def test_assignment_to_a_node() -> None:
    def assign() -> None:
        v[0] = 1.0  # type: ignore[index]

    message = message_of(cg.ImmutableNodeError, assign)
    assert "v (3,) cannot be assigned to in place" in message
    assert "x = np.where(mask, new, x)" in message


def test_in_place_operators_of_arrays() -> None:
    def add() -> None:
        total = np.zeros(3)
        total += v

    message = message_of(cg.ImmutableNodeError, add)
    assert "np.add with out= (or an in-place operator such as +=)" in message
    assert "y = y + x" in message
    assert "out=" in message_of(cg.ImmutableNodeError, lambda: np.multiply(v, v, out=np.empty(3)))
    assert "np.dot on a node does not take out=" in message_of(cg.MissingRuleError, lambda: np.dot(v, v, out=np.empty(())))
    assert "np.sum with out= would write a node into an array" in message_of(cg.ImmutableNodeError, lambda: np.sum(v, out=np.empty(())))


def test_in_place_operators_of_nodes_make_new_nodes() -> None:
    y = v
    y += 1
    y *= 2
    assert y is not v
    np.testing.assert_array_equal(v.value, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(y.value, [4.0, 6.0, 8.0])


def test_a_slice_of_an_array_cannot_take_a_node() -> None:
    def assign() -> None:
        np.zeros(3)[:] = v

    assert "v (3,) cannot be stored in a NumPy array" in message_of(cg.ImmutableNodeError, assign)


@pytest.mark.parametrize("dtype", [float, np.float32, int])
def test_an_entry_of_an_array_cannot_take_a_node(dtype: Any) -> None:
    """NumPy asks for `float(node)`, which is fine elsewhere; here the derivative would be lost in silence."""
    array = np.zeros((2, 2), dtype)

    def assign() -> None:
        array[0, 1] = x

    def add() -> None:
        array[0, 1] += x

    for write, what in ((assign, "x ()"), (add, "v1 = add ()"), (lambda: array.fill(x), "x ()")):
        with pytest.raises((ValueError, cg.ImmutableNodeError)) as caught:
            write()
        error = caught.value.__cause__ or caught.value  # NumPy may put "setting an array element with a sequence" on top
        assert isinstance(error, cg.ImmutableNodeError)
        assert str(error).startswith(what)
        assert f"cannot be stored in a NumPy array, at {HERE}:" in str(error)
    assert not array.any()
    array[0, 1] = float(x)  # said aloud, it is fine
    assert array[0, 1] == 2


def test_an_abstract_node_cannot_be_stored_either() -> None:
    array = np.zeros(2)

    def f(t: Any) -> Any:
        array[0] = t
        return t

    with pytest.raises(ValueError, match="setting an array element") as caught:
        cg.trace(f, 1.0)
    assert isinstance(caught.value.__cause__, cg.ImmutableNodeError)


@pytest.mark.parametrize("make", [
    lambda: np.array([x, x]), lambda: np.array([x, 1.0]), lambda: np.array([v, v]), lambda: np.asarray(v), lambda: np.full(3, x),
    lambda: v + [x, x, x], lambda: np.sum([x, x]), lambda: np.zeros(3)[x], lambda: np.zeros(3).put(0, x), lambda: np.arange(x),
])  # fmt: skip
def test_an_array_cannot_hold_nodes(make: Callable[[], Any]) -> None:
    message = message_of(cg.ImmutableNodeError, make)
    assert "cannot be stored in a NumPy array" in message
    assert "np.stack([a, b])" in message


def test_dicts_lists_and_arrays_of_objects_may_hold_nodes() -> None:
    history: list[Any] = [None]
    history[0] = x
    table = {"loss": x}
    objects = np.empty(1, object)
    objects[0] = x
    assert history[0] is table["loss"] is objects[0] is x


# ------------------------------------------------------------------------------ numbers asked of nodes


@pytest.mark.parametrize("function", [math.exp, math.sqrt, math.floor, math.isfinite])
def test_the_math_module(function: Callable[[Any], Any]) -> None:
    def use(node: Any) -> Any:
        return math.exp(node)

    for node in (x, x * 2):
        message = message_of(cg.DtypeError, lambda node=node: use(node))
        assert "`math.exp(node)`" in message
        assert "np.exp" in message
    message = message_of(cg.DtypeError, lambda: cg.trace(use, 1.0))
    assert "`math.exp(node)`" in message
    assert "lose the derivative" in message
    assert math.exp(float(x)) == pytest.approx(np.exp(2.0))
    assert function(float(x)) is not None


def test_a_function_of_the_math_module_by_its_own_name() -> None:
    from math import exp

    assert "`exp(x)`" in message_of(cg.DtypeError, lambda: exp(x))


def test_eager_nodes_are_numbers_where_a_number_is_wanted() -> None:
    assert float(x) == 2.0
    assert int(x) == 2
    assert x > 1
    assert not x < 1
    assert f"{x:.2f}" == "2.00"
    assert "%.1f" % x == "2.0"
    assert max(x, 1.0) is x
    assert 2.0 in v
    assert 7.0 not in v
    assert x.item() == 2.0
    assert v.tolist() == [1.0, 2.0, 3.0]


BRANCHES: dict[str, Callable[[Any], Any]] = {
    "if": lambda t: t if t > 0 else -t,
    "and": lambda t: t > 0 and t < 1,
    "not": lambda t: not t,
    "bool()": lambda t: bool(t),
    "max()": lambda t: max(t, 1.0),
    "sorted()": lambda t: sorted([t, 2 * t]),
    "in": lambda t: 1.0 in t,
    "float()": lambda t: float(t),
    "int()": lambda t: int(t),
    "item()": lambda t: t.item(),
    "tolist()": lambda t: t.tolist(),
    "format()": lambda t: f"{t:.2f}",
    "backward()": lambda t: t.backward(),
    "np.any()": lambda t: bool(np.any(t > 0)),
    "np.nonzero()": lambda t: np.nonzero(t),
    "an index": lambda t: np.ones(3) * v[t],
}


@pytest.mark.parametrize("name", BRANCHES)
def test_abstract_nodes_have_no_number(name: str) -> None:
    message = message_of(cg.AbstractValueError, lambda: cg.trace(BRANCHES[name], 1.0))
    assert "is abstract: while f is traced only shapes and dtypes are known" in message
    assert "np.where(condition, a, b)" in message
    assert "t ()" in message or "v1 = greater ()" in message or "= less ()" in message or "v2 = any ()" in message


def test_a_loop_on_an_abstract_node_names_the_function_and_shows_the_line() -> None:
    def halve(t: Any) -> Any:
        while t > 1:
            t = t / 2
        return t

    message = message_of(cg.AbstractValueError, lambda: cg.trace(halve, 8.0))
    assert "while halve is traced" in message
    assert "`while t > 1:`" in message
    assert cg.grad(halve)(8.0) == 0.125  # eager, the loop is run


# ----------------------------------------------------------------------- NumPy functions without a rule

MISSING = {
    "lexsort": (lambda: np.lexsort((v, v)), "np.lexsort has no derivative rule here", "np.sort"),
    "polyfit": (lambda: np.polyfit(v, v, 1), "np.polyfit has no derivative rule here", "node.value"),
    "argpartition": (lambda: np.argpartition(v, 1), "np.argpartition has no derivative rule here", "np.partition"),
    "histogram2d": (lambda: np.histogram2d(v, v), "np.histogram2d has no derivative rule here", "np.histogram", "compgraph/primitives"),
    "at": (lambda: np.add.at(v, [0], 1.0), "np.add.at has no derivative rule here", "np.add"),
    "accumulate": (lambda: np.subtract.accumulate(v), "np.subtract.accumulate has no derivative rule here", "np.subtract"),
    "reduceat": (lambda: np.multiply.reduceat(v, [0, 1]), "np.multiply.reduceat has no derivative rule here", "np.multiply"),
    "gcd": (lambda: np.gcd(v, v), "np.gcd has no derivative rule here", "node.value"),
    "reduce where": (
        lambda: np.hypot.reduce(v, where=np.array([True, False, True])), "np.hypot.reduce with where= has no derivative rule here",
    ),
    "reduce initial": (lambda: np.hypot.reduce(v, initial=1.0), "np.hypot.reduce with initial= has no derivative rule here"),
    "quantile weights": (lambda: np.quantile(v, 0.5, weights=[1, 1, 1], method="inverted_cdf"), "np.quantile on a node does not take"),
    "exp where": (
        lambda: np.exp(v, where=np.array([True, False, True])), "np.exp with where= and no out= leaves entries undefined",
        "np.where(condition, np.exp(a), other)",
    ),
    "exp casting": (lambda: np.exp(v, casting="unsafe"), "np.exp on a node does not take casting="),
    "memory order by position": (lambda: np.zeros_like(v, None, "K", True), "np.zeros_like on a node does not take argument 4"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "texts"), [(call, texts) for call, *texts in MISSING.values()], ids=list(MISSING))
def test_numpy_functions_without_a_rule(call: Callable[[], Any], texts: list[str]) -> None:
    message = message_of(cg.MissingRuleError, call)
    assert all(text in message for text in texts), message


def test_advice_names_numpy_functions_only() -> None:
    for call in (lambda: np.roots(v), lambda: np.vander(v), lambda: np.packbits(v > 1), lambda: np.isin(v, v), lambda: np.bincount(v)):
        message = message_of(cg.MissingRuleError, call)
        assert all(hasattr(np, word[3:].rstrip(".,")) for word in message.split() if word.startswith("np."))


def test_every_error_can_be_caught_as_a_numpy_user_would() -> None:
    pairs = {cg.ShapeError: ValueError, cg.DtypeError: TypeError, cg.NodeIndexError: IndexError, cg.ValueRangeError: OverflowError}
    for error, builtin in pairs.items():
        assert issubclass(error, cg.CompgraphError)
        assert issubclass(error, builtin)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="do not broadcast"):
            v + np.ones(4)

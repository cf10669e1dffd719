"""NumPy's products of arrays: every form of their arguments, their derivatives, and what they refuse."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from composites import verify
from domains import spread

import compgraph as cg


def xs_of(*shapes: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(spread(shape, -1.6, 2.3, 0.5 - 0.17 * place) for place, shape in enumerate(shapes))


def product(function: Any, *shapes: tuple[int, ...], **kwargs: Any) -> Any:
    name = f"{function.__module__}.{function.__name__}-{shapes}-{kwargs}".replace(" ", "").replace("numpy.", "")
    return pytest.param(lambda *xs: function(*xs, **kwargs), shapes, id=name)


TWO = [
    *(product(np.dot, *shapes) for shapes in (((), ()), ((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 2)), ((3,), (2, 3, 2)),
                                              ((2, 3), (2, 3, 2)), ((2, 1, 3), (3, 2)))),
    *(product(np.inner, *shapes) for shapes in (((), ()), ((2,), ()), ((3,), (3,)), ((2, 3), (2, 3)), ((2, 2, 3), (3,)))),
    *(product(np.vdot, *shapes) for shapes in (((), ()), ((3,), (3,)), ((2, 3), (3, 2)))),
    *(product(np.outer, *shapes) for shapes in (((), ()), ((2,), (3,)), ((2, 2), (3,)), ((0,), (2,)))),
    product(np.linalg.outer, (2,), (3,)),
    *(product(np.tensordot, *shapes, axes=axes) for shapes, axes in (
        (((2, 3), (3, 2)), 1), (((2, 3), (2, 3)), 2), (((2,), (3,)), 0), (((2, 3), (4, 3)), (1, 1)), (((2, 3), (4, 3)), (-1, -1)),
        (((2, 3, 4), (4, 2)), ((0, 2), (1, 0))), (((2, 3, 4), (4, 2)), ([2, 0], [0, 1])), (((3, 2), (3,)), ([0], [0])),
        (((2, 3), (2,)), ((0,), (0,))), (((2, 2), (2, 2)), ((), ())), (((2, 0), (0, 3)), 1),
    )),
    product(np.linalg.tensordot, (2, 3), (3, 2), axes=1),
    *(product(np.linalg.vecdot, *shapes, axis=axis) for shapes, axis in ((((2, 3), (3,)), -1), (((2, 3), (2, 1)), 0))),
    product(np.vecdot, (2, 3), (3,)), product(np.vecdot, (3, 2), (3, 1), axis=0), product(np.matvec, (2, 2, 3), (3,)),
    product(np.vecmat, (2, 2), (2, 3)), product(np.linalg.matmul, (2, 2, 3), (3, 2)), product(np.matmul, (2, 3), (3,)),
    *(product(np.cross, *shapes, **kwargs) for shapes, kwargs in (
        (((3,), (3,)), {}), (((2, 3), (3,)), {}), (((3, 2), (3, 2)), {"axis": 0}), (((3, 2), (2, 3)), {"axisa": 0}),
        (((2, 3), (3, 2)), {"axisb": 0, "axisc": 0}), (((2, 1, 3), (4, 3)), {"axisc": 1}),
    )),
    product(np.linalg.cross, (3, 2), (3, 2), axis=0),
]  # fmt: skip
ONE = [
    *(product(np.trace, shape, **kwargs) for shape, kwargs in (
        ((3, 3), {}), ((2, 3), {"offset": 1}), ((3, 2), {"offset": -1}), ((2, 3, 4), {"axis1": -1, "axis2": 0}),
        ((2, 3, 2), {"offset": 1, "axis1": 1, "axis2": 2}), ((2, 3), {"offset": 5}),
    )),
    product(np.linalg.trace, (2, 3, 3), offset=-1), product(np.linalg.diagonal, (2, 3, 2), offset=1),
    product(np.linalg.matrix_transpose, (2, 3, 2)),
    *(product(np.linalg.matrix_power, (2, 2, 2), n=n) for n in (0, 1, 2, 3, 5, -1, -2)),
]  # fmt: skip


@pytest.mark.parametrize(("call", "shapes"), TWO)
def test_product_of_two(call: Any, shapes: Any) -> None:
    verify(call, *xs_of(*shapes))


@pytest.mark.parametrize(("call", "shapes"), ONE)
def test_product_of_one(call: Any, shapes: Any) -> None:
    verify(call, *(x + 3 * np.eye(*x.shape[-2:]) for x in xs_of(*shapes)))


EINSUMS: list[tuple[str, tuple[tuple[int, ...], ...]]] = [
    ("ij,jk", ((2, 3), (3, 2))), ("ba", ((2, 3),)), ("ii", ((2, 2),)), ("...ij,...jk", ((2, 2, 3), (3, 2))), ("i...->...", ((2, 3),)),
    ("...i,...i->...", ((2, 1, 3), (2, 3))), ("ij...,jk...->ik...", ((2, 3, 2), (3, 2, 1))), ("...", ((2, 3),)), ("i...i", ((2, 3, 2),)),
    ("ij,jk,kl->il", ((2, 3), (3, 2), (2, 2))), ("i,i,i->", ((3,), (3,), (3,))), ("ij,ij,i->j", ((2, 3), (2, 3), (2,))),
    ("ii,ij,jj->i", ((2, 2), (2, 3), (3, 3))), (" i j , j -> i ", ((2, 3), (3,))), ("a,b,c,d->abcd", ((2,), (1,), (2,), (2,))),
    ("...,...", ((2, 1), (3,))), (",,->", ((), (), ())), ("ij,kj->", ((2, 3), (1, 3))), ("i->i", ((3,),)),
    ("bii,b...->...", ((2, 2, 2), (2, 3))),
]  # fmt: skip


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUMS, ids=str)
def test_einsum(subscripts: str, shapes: Any) -> None:
    verify(lambda *xs: np.einsum(subscripts, *xs), *xs_of(*shapes))


def test_einsum_with_lists_of_axes() -> None:
    verify(lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [0, 2]), *xs_of((2, 3), (3, 2)))
    verify(lambda a, b: np.einsum(a, [..., 0], b, [0, 1]), *xs_of((2, 3), (3, 2)))
    verify(lambda a: np.einsum(a, [3, 3]), *xs_of((2, 2)))


@pytest.mark.parametrize("optimize", [True, "greedy", "optimal", ["einsum_path", (0, 1), (0, 1)], ["einsum_path", (0, 1, 2)]], ids=str)
def test_einsum_takes_an_order_of_products(optimize: Any) -> None:
    verify(lambda *xs: np.einsum("ij,jk,kl->il", *xs, optimize=optimize), *xs_of((2, 3), (3, 2), (2, 2)), second=False)


def test_einsum_multiplies_two_operands_at_a_time() -> None:
    a, b, c = map(cg.variable, xs_of((2, 50), (50, 3), (3, 2)))
    graph = cg.graph_of(np.einsum("ij,jk,kl->il", a, b, c))
    assert [node.params["subscripts"] for node in graph.nodes if node.primitive] == ["ij,jk->ik", "kl,ik->il"]


CHAINS = (((2, 3), (3, 2)), ((3,), (3, 2), (2, 3)), ((2, 3), (3, 2), (2, 2), (2,)), ((3,), (3, 3), (3,)))


@pytest.mark.parametrize("shapes", CHAINS, ids=str)
def test_multi_dot(shapes: Any) -> None:
    verify(lambda *xs: np.linalg.multi_dot(xs), *xs_of(*shapes))


def test_multi_dot_takes_the_cheapest_order() -> None:
    a, b, c = (cg.variable(x, name=name) for x, name in zip(xs_of((2, 50), (50, 3), (3, 40)), "abc", strict=True))
    assert "v1 = a @ b" in str(cg.graph_of(np.linalg.multi_dot([a, b, c])))
    assert "v1 = b @ c" in str(cg.graph_of(np.linalg.multi_dot([a, b, cg.variable(np.ones((3, 1)), name="c")])))


def test_lists_and_numbers_beside_nodes() -> None:
    x = cg.variable(np.array([1.0, 2.0], np.float32))
    assert np.dot(x, 2.0).dtype == np.float32
    np.testing.assert_array_equal(np.dot([3.0, 4.0], x).value, 11.0)
    np.testing.assert_array_equal(np.tensordot([[1, 2]], x, axes=1).value, [5.0])


def test_a_nan_beside_a_diagonal_stays_there() -> None:
    x = np.array([[1.0, np.nan], [np.nan, 2.0]])
    np.testing.assert_array_equal(cg.grad(lambda a: np.einsum("ii->", a * a))(x)[[0, 1], [0, 1]], [2.0, 4.0])
    np.testing.assert_array_equal(cg.vjp(lambda a: np.einsum("ii->i", a), x)[1](np.array([np.inf, 1.0]))[0], [[np.inf, 0], [0, 1]])


A, V = cg.variable(np.ones((2, 3)), name="a"), cg.variable(np.ones(3), name="v")
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "einsum letter": (lambda: np.einsum("i1->i", A), ValueError, "'1' in 'i1->i' is no letter"),
    "einsum count": (lambda: np.einsum("ij,jk->ik", A), ValueError, "names 2 operands, 1 are given"),
    "einsum axes": (lambda: np.einsum("ijk->i", A), ValueError, r"'ijk' in 'ijk->i' does not fit an operand of shape \(2, 3\)"),
    "einsum lengths": (lambda: np.einsum("ij,ij->i", A, A[:, :2]), ValueError, "'j' stands for the lengths 3 and 2"),
    "einsum diagonal": (lambda: np.einsum("ii->", A), ValueError, "'i' in 'ii' stands for the lengths 2 and 3 of one operand"),
    "einsum output": (lambda: np.einsum("ij->k", A), ValueError, "'k' twice, or no operand has it"),
    "einsum ellipsis": (lambda: np.einsum("...j->j", A), ValueError, "has no '...'"),
    "einsum numbers": (lambda: np.einsum(A, [0, 99]), ValueError, "run from 0 to 51"),
    "tensordot": (lambda: np.tensordot(A, A, 1), ValueError, r"axes \(1,\) of \(2, 3\) do not fit axes \(0,\)"),
    "tensordot count": (lambda: np.tensordot(A, V, 2), ValueError, "2 axes of"),
    "tensordot axis": (lambda: np.tensordot(A, V, ((5,), (0,))), ValueError, "axis 5 is outside"),
    "dot": (lambda: np.dot(A, A), ValueError, "inner sizes 3 and 2 differ"),
    "vecdot": (lambda: np.vecdot(A, A[:, :2]), ValueError, "lengths 3 and 2"),
    "cross": (lambda: np.cross(A[:, :2], A[:, :2]), ValueError, "three entries, not 2 and 2"),
    "trace": (lambda: np.trace(V), ValueError, "diagonal"),
    "multi_dot": (lambda: np.linalg.multi_dot([A]), ValueError, "at least 2"),
    "multi_dot shapes": (lambda: np.linalg.multi_dot([A, V, A]), np.linalg.LinAlgError, "vectors at the ends"),
    "matrix_power": (lambda: np.linalg.matrix_power(A, 2), np.linalg.LinAlgError, "must be equal"),
    "matrix_power of a half": (lambda: np.linalg.matrix_power(A[:, :2], 0.5), TypeError, "float"),
    "outer": (lambda: np.linalg.outer(A, V), ValueError, "two vectors"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_said_with_the_line(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call()
    assert isinstance(caught.value, cg.CompgraphError)
    assert "test_products.py:" in str(caught.value)


def test_numpy_refuses_these_too() -> None:
    """Each is refused with a class that NumPy's own exception is one of."""
    plain = {"A": np.ones((2, 3)), "V": np.ones(3)}
    for call, error in (
        (lambda: np.einsum("ij->k", plain["A"]), ValueError), (lambda: np.tensordot(plain["A"], plain["A"], 1), ValueError),
        (lambda: np.linalg.matrix_power(plain["A"], 2), np.linalg.LinAlgError), (lambda: np.linalg.multi_dot([plain["A"]]), ValueError),
    ):  # fmt: skip
        with warnings.catch_warnings(), pytest.raises(error):
            call()

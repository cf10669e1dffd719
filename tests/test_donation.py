"""Donated arrays are written only where no other argument would see it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compgraph as cg
from compgraph.donation import apart, first_overlap


def parts() -> Any:
    """Views of one vector of 12 entries, some reversed, and arrays of their own, each donated or read."""
    view = st.builds(slice, st.integers(0, 11), st.integers(1, 12), st.sampled_from([None, 2, 3]))
    return st.lists(st.tuples(st.one_of(st.none(), view), st.booleans(), st.booleans()), min_size=1, max_size=5)


@given(parts())
def test_apart_means_that_no_donated_entry_is_shared(drawn: Any) -> None:
    base = np.zeros(12)
    arrays = [(np.ones(3) if part is None else base[part][:: -1 if turned else 1], given) for part, turned, given in drawn]
    donated, read = [array for array, given in arrays if given], [array for array, given in arrays if not given]
    every = [*donated, *read]
    shared = any(np.shares_memory(one, other) for place, one in enumerate(donated) for other in every[place + 1 :])
    assert apart(donated, read) == (not shared)
    assert (first_overlap(donated, read) is not None) == shared


def test_views_through_another_class_are_traced_to_their_memory() -> None:
    class Own(np.ndarray):
        pass

    whole = np.zeros(8).view(Own)
    first, second = np.asarray(whole[:5]), np.asarray(whole[3:])
    assert not apart([first], [second[1:]]) and not apart([first[1:], second], [])
    assert apart([first[:3]], [second, 1.0])


def two(p: Any, q: Any) -> Any:
    return np.exp(p) * 2 + q


SHARED = {
    "the same array": lambda base: (base[:4], base[:4]),
    "overlapping views": lambda base: (base[:4], base[2:6]),
    "a reversed view": lambda base: (base[:4], base[:4][::-1]),
}


@pytest.mark.parametrize("case", SHARED)
def test_an_argument_in_the_memory_of_a_donated_one_is_refused(case: str) -> None:
    """It would be read after it was overwritten: exp(p) * 2 + q adds the exponentials, not q."""
    compiled = cg.compile(two, donate_argnums=0)
    compiled(np.zeros(4), np.zeros(4))
    base = np.arange(8.0)
    for args in (SHARED[case](base), SHARED[case](base)):
        with pytest.raises(cg.InputError, match=r"two: the donated argument p shares memory with q.*Pass a copy.*test_donation\.py"):
            compiled(*args)
    np.testing.assert_array_equal(base, np.arange(8.0), err_msg="nothing was written")
    np.testing.assert_allclose(compiled(base[::2], base[1::2]), two(np.arange(0.0, 8, 2), np.arange(1.0, 8, 2)))


def test_a_captured_variable_is_an_argument_too() -> None:
    held = cg.variable(np.arange(3.0), name="held")
    compiled = cg.compile(lambda p: np.exp(p) * 2 + held, donate_argnums=0)
    compiled(np.zeros(3))
    with pytest.raises(cg.InputError, match="the donated argument p shares memory with held"):
        compiled(held.value)


class Column:
    """What NumPy can read as an array, as a column of a data frame."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.zeros(3)


def test_what_cannot_be_written_into_is_refused_before_anything_is() -> None:
    step = cg.compile(lambda p, q: (p + 1, q + 1), donate_argnums=(0, 1))
    p, frozen = np.zeros(3), np.zeros(3)
    frozen.flags.writeable = False
    for _ in range(2):
        with pytest.raises(cg.InputError, match="the donated argument q is read-only"):
            step(p, frozen)
        step(np.zeros(3), np.zeros(3))
    assert not p.any()
    with pytest.raises(cg.InputError, match="the donated argument p is a Column, which cannot hold the result: pass an array of float64"):
        cg.compile(lambda p: p * 1.5, donate_argnums=0)(Column())


def test_an_array_of_a_class_of_its_own_is_written_into() -> None:
    """A memory map is such an array: a copy would leave the file as it was."""
    own = np.zeros(3).view(type("Own", (np.ndarray,), {}))
    result = cg.compile(lambda p: p + 1, donate_argnums=0)(own)
    assert own.tolist() == result.tolist() == [1.0, 1.0, 1.0] and np.shares_memory(own, result)


LAYOUTS = {"F": np.zeros((3, 3), order="F"), "strided": np.zeros((6, 6))[::2, ::2], "reversed": np.zeros((3, 3))[::-1]}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_products_are_written_into_any_layout(layout: str) -> None:
    given = LAYOUTS[layout]
    a, b = np.arange(9.0).reshape(3, 3), np.eye(3) * 2
    result = cg.compile(lambda p, a, b: a @ b, donate_argnums=0)(given, a, b)
    assert result is given
    np.testing.assert_array_equal(given, a @ b)

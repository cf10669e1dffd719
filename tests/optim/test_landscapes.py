"""Landscapes: their minima are minima, their gradients are those of the engine, and own ones are read and never executed."""

from __future__ import annotations

import numpy as np
import pytest

import compgraph as cg
from optim.landscapes import LANDSCAPES, Landscape, landscape, search

ALL = list(LANDSCAPES.values())
NAMES = [one.name for one in ALL]
# Values at the default starts, by hand or from the sources that the landscapes name.
AT_START = {"rosenbrock": 24.2, "beale": 14.203125, "himmelblau": 170.0, "saddle": 1.28 - 5e-7 + 2.5e-13, "plateau": 1 - np.exp(-5.2)}


@pytest.mark.parametrize("ground", ALL, ids=NAMES)
def test_every_minimum_is_one(ground: Landscape) -> None:
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    for x, y in ground.minima:
        assert ground(x, y) == pytest.approx(ground.minimum, abs=1e-15)
        for radius in (1e-3, 1e-2, 0.1):
            assert (ground(x + radius * np.cos(angles), y + radius * np.sin(angles)) > ground.minimum).all()
        if ground.name != "ackley":  # whose minimum is a kink
            assert np.abs(ground.gradient(np.array([x, y]))).max() < 1e-13


@pytest.mark.parametrize("ground", ALL, ids=NAMES)
def test_no_point_of_the_picture_is_lower(ground: Landscape) -> None:
    (x_from, x_to), (y_from, y_to) = ground.domain
    xs, ys = np.meshgrid(np.linspace(x_from, x_to, 301), np.linspace(y_from, y_to, 301))
    assert ground(xs, ys).min() >= ground.minimum - 1e-15
    for x, y in (ground.start, *ground.minima):
        assert x_from < x < x_to and y_from < y < y_to


@pytest.mark.parametrize("ground", ALL, ids=NAMES)
def test_gradients_agree_with_differences(ground: Landscape) -> None:
    points = np.random.default_rng(0).uniform(*np.array(ground.domain).T, (20, 2))
    step = 1e-5
    for axis in (0, 1):
        shift = step * np.eye(2)[axis]
        differences = (ground(*(points + shift).T) - ground(*(points - shift).T)) / (2 * step)
        np.testing.assert_allclose(ground.gradient(points)[:, axis], differences, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("ground", ALL, ids=NAMES)
def test_numbers_arrays_and_nodes_are_the_same_function(ground: Landscape) -> None:
    points = np.random.default_rng(1).uniform(*np.array(ground.domain).T, (5, 2))
    assert ground.elementwise
    together = ground(*points.T)
    for (x, y), value in zip(points, together, strict=True):
        node = ground(cg.variable(x), cg.variable(y))
        np.testing.assert_allclose([ground(x, y), node.value], value, rtol=1e-14)
        np.testing.assert_allclose(ground.gradient(np.array([x, y])), ground.gradient(points)[(points == [x, y]).all(1)][0], rtol=1e-14)


@pytest.mark.parametrize("name", AT_START)
def test_values_at_the_start(name: str) -> None:
    ground = LANDSCAPES[name]
    assert ground(*ground.start) == pytest.approx(AT_START[name], rel=1e-14)
    assert ground.source and ground.formula


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ravine"])  # whose formula has two steps
def test_formulas_are_the_functions(name: str) -> None:
    ground = LANDSCAPES[name]
    written = landscape(ground.formula)
    assert written(0.7, -0.4) == pytest.approx(ground(0.7, -0.4), rel=1e-14)


def test_the_ravine_is_a_hundred_times_steeper_across_than_along() -> None:
    curvatures = np.linalg.eigvalsh(cg.hessian(lambda p: LANDSCAPES["ravine"](p[0], p[1]))(np.zeros(2)))
    np.testing.assert_allclose(curvatures, [1.0, 100.0], rtol=1e-12)


def test_an_expression_is_a_landscape() -> None:
    ground = landscape("  b + 3*a**2 ")
    assert (ground.name, ground.axes, ground.minima) == ("b + 3*a**2", ("a", "b"), ())
    np.testing.assert_allclose(ground(np.array([1.0, 2.0]), np.array([5.0, 7.0])), [8.0, 19.0])
    np.testing.assert_allclose(ground.gradient(np.array([2.0, 0.0])), [12.0, 1.0])


def test_a_function_is_a_landscape_whose_parameters_name_the_axes() -> None:
    def valley(width, height=1.0, *, power=2):
        return width**power + np.abs(height)

    ground = landscape(valley)
    assert (ground.name, ground.axes, ground.elementwise) == ("valley", ("width", "height"), True)
    assert landscape(lambda x, y: x * y).name == "f"


def test_a_function_of_numbers_alone_runs_point_by_point() -> None:
    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])

    def quadratic(x, y):
        point = np.stack([x, y])
        return point @ matrix @ point / 2

    ground = landscape(quadratic)
    points = np.array([[1.0, 0.0], [1.0, 2.0], [-1.0, 0.5]])
    assert not ground.elementwise
    np.testing.assert_allclose(ground(*points.T), [quadratic(*point) for point in points])
    assert ground(points[:2, :1], points[:2, 1:]).shape == (2, 1)
    np.testing.assert_allclose(ground.gradient(points), points @ matrix)


def test_a_function_may_look_at_its_values() -> None:
    ground = landscape(lambda x, y: x**2 + y**2 if x > 0 else y**2 - x)
    np.testing.assert_allclose(ground.gradient(np.array([1.0, 1.0])), [2.0, 2.0])
    np.testing.assert_allclose(ground.gradient(np.array([-1.0, 1.0])), [-1.0, 2.0])


def test_a_search_finds_the_lowest_point_inside() -> None:
    found = search(landscape("(x - 1)**2 + 2*(y + 0.3)**2 + 5"))
    assert found.searched and found.minima == ((1.0, -0.3),) and found.minimum == 5.0
    (point,) = search(landscape("cos(3*x) + x**2/4 + (y - 1/3)**2")).minima
    assert point[1] == pytest.approx(1 / 3, abs=1e-7)
    assert np.abs(landscape("cos(3*x) + x**2/4 + (y - 1/3)**2").gradient(np.array(point))).max() < 1e-6


@pytest.mark.parametrize("text", ["x + y", "x*y", "log(-1 - x**2) + y", "log(x) + y**2", "x**2 - exp(y)"])
def test_a_search_claims_no_minimum_where_there_is_none_inside(text: str) -> None:
    with np.errstate(all="raise"):
        found = search(landscape(text))
    assert found.minima == () and found.minimum is None and found.distance(np.zeros(2)) is None


def test_distances_are_to_the_nearest_minimum() -> None:
    saddle = LANDSCAPES["saddle"]
    np.testing.assert_allclose(saddle.distance(np.array([[0.0, 0.75], [3.0, -5.0], [0.0, -1.0]])), [0.25, 5.0, 0.0])


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("rosenbruck", "no landscape 'rosenbruck'; did you mean rosenbrock?"),
        ("qq", "There are rosenbrock, beale"),
        ("x**2", r"two variables, such as x and y; 'x\*\*2' has 1 \(x\)"),
        ("x*y*z", r"has 3 \(x, y, z\)"),
        ("1 + 1", "has none"),
        ("", "empty"),
        ("__import__('os').system('true') + x*y", "not supported"),
        ("x + y.real", "Attribute"),
        (lambda x: x, "takes x"),
        (lambda x, y, z: x, "takes x, y, z"),
        (3.0, "not float"),
    ],
)
def test_what_is_no_landscape(subject, message: str) -> None:
    with pytest.raises(cg.InputError, match=message):
        landscape(subject)


@pytest.mark.parametrize("domain", [((0, 1),), ((1, 0), (0, 1)), ((0, 1), (2, 2)), ((0, np.nan), (0, 1)), ((0, np.inf), (0, 1)), "xy", 5])
def test_what_is_no_domain(domain) -> None:
    with pytest.raises(cg.InputError, match="domain"):
        landscape("rosenbrock", domain=domain)


def test_a_domain_changes_the_picture_alone() -> None:
    ground = landscape("beale", domain=((0, 4), (-1, 1)))
    assert ground.domain == ((0.0, 4.0), (-1.0, 1.0)) and ground.minima == LANDSCAPES["beale"].minima
    assert LANDSCAPES["beale"].domain != ground.domain

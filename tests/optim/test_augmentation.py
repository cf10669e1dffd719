"""Augmentation, on a picture that one recognises: an L, which no shift or mirror image leaves as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from optim.augmentation import Compose, Flip, Noise, Shift

PICTURE = """
.......
..#....
..#....
..#....
..###..
.......
.......
"""
L = np.array([[sign == "#" for sign in line] for line in PICTURE.split()], float)


def drawn(image: Any) -> str:
    return "\n" + "\n".join("".join("#" if pixel else "." for pixel in row) for row in image) + "\n"


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def batch(channels: int = 0, count: int = 200) -> np.ndarray[Any, Any]:
    images = np.repeat(L[None], count, axis=0)
    return images if not channels else np.stack([images * (channel + 1) for channel in range(channels)], axis=1)


def test_a_picture_moves_and_keeps_its_form() -> None:
    pictures = {drawn(image) for image in Shift(1)(batch(), generator())}
    assert len(pictures) == 9 and PICTURE in pictures
    up_left = "\n.#.....\n.#.....\n.#.....\n.###...\n.......\n.......\n.......\n"
    assert up_left in pictures
    assert {picture.count("#") for picture in pictures} == {6}


def test_every_shift_is_as_likely() -> None:
    moved = Shift(2)(batch(count=10_000), generator())
    feet = 48 - np.argmax(moved.reshape(len(moved), -1)[:, ::-1], axis=1)  # the last pixel of the L, which no shift by 2 puts outside
    found, counts = np.unique(feet, return_counts=True)
    assert set(found) == {7 * row + column for row in range(2, 7) for column in range(2, 7)}
    assert np.all(np.abs(counts - 400) < 5 * 20)


def test_what_comes_in_is_the_fill() -> None:
    moved = Shift(3, fill=7.0)(batch(2), generator(1))
    assert {0.0, 1.0, 2.0, 7.0} == set(np.unique(moved))
    far = Shift(20)(batch(), generator())
    assert any(not image.any() for image in far)  # wholly outside


def test_channels_move_together_and_images_apart() -> None:
    for change in (Shift(2), Flip(0.5), Flip(0.5, axis=-2), Compose([Shift(1), Flip(0.5)])):
        changed = change(batch(3), generator(2))
        assert changed.shape == (200, 3, 7, 7) and changed.flags.c_contiguous
        np.testing.assert_array_equal(changed[:, 1], 2 * changed[:, 0])
        np.testing.assert_array_equal(changed[:, 2], 3 * changed[:, 0])
        np.testing.assert_array_equal(changed[:, 0], change(batch(), generator(2)))
        assert len({drawn(image) for image in changed[:, 0]}) > 1


def test_flip_mirrors() -> None:
    mirrored = "\n.......\n....#..\n....#..\n....#..\n..###..\n.......\n.......\n"
    upside_down = "\n.......\n.......\n..###..\n..#....\n..#....\n..#....\n.......\n"
    for change, other in ((Flip(0.25), mirrored), (Flip(0.25, axis=-2), upside_down)):
        found, counts = np.unique([drawn(image) for image in change(batch(count=4000), generator())], return_counts=True)
        share = dict(zip(found, counts / 4000, strict=True))
        assert set(share) == {PICTURE, other} and abs(share[other] - 0.25) < 0.035
    assert {drawn(image) for image in Flip(1.0)(batch(), generator())} == {mirrored}
    assert {drawn(image) for image in Flip(0.0)(batch(), generator())} == {PICTURE}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_noise_has_its_size(dtype: Any) -> None:
    noisy = Noise(0.3)(batch(2, 500).astype(dtype), generator())
    noise = noisy.astype(np.float64) - batch(2, 500)
    assert noisy.dtype == dtype
    assert abs(noise.std() - 0.3) < 0.01 and abs(noise.mean()) < 0.01
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.05  # each channel its own


def test_one_after_another() -> None:
    composed, one_by_one = generator(5), generator(5)
    expected = Noise(0.1)(Shift(1)(batch(), one_by_one), one_by_one)
    np.testing.assert_array_equal(Compose([Shift(1), Noise(0.1)])(batch(), composed), expected)
    assert composed.bit_generator.state == one_by_one.bit_generator.state
    np.testing.assert_array_equal(Compose([])(batch(), composed), batch())
    np.testing.assert_array_equal(Compose([lambda images, generator: images + 1])(batch(), composed), batch() + 1)


CHANGES: dict[str, Callable[[Any, Any], Any]] = {
    "shift": Shift(2), "flip": Flip(0.5), "noise": Noise(0.1), "all": Compose([Shift(1), Flip(), Noise()]),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_a_pure_function(change: Callable[[Any, Any], Any]) -> None:
    images = batch(2).astype(np.float32)
    images.flags.writeable = False
    one, again, other = change(images, generator(3)), change(images, generator(3)), change(images, generator(4))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other) and not np.shares_memory(one, images)
    np.testing.assert_array_equal(images, batch(2))
    assert (one.dtype, one.shape) == (images.dtype, images.shape)
    assert change(images[:0], generator()).shape == (0, 2, 7, 7)


def test_images_of_bytes() -> None:
    images = (batch() * 200).astype(np.uint8)
    for change in (Shift(1, fill=9), Flip()):
        assert change(images, generator()).dtype == np.uint8
    with pytest.raises(cg.DtypeError, match=r"X\.astype\(np\.float32\).*test_augmentation"):
        Noise()(images, generator())


def test_images_that_are_not_square() -> None:
    images = np.arange(2 * 3 * 2 * 5.0).reshape(2, 3, 2, 5)
    moved = Shift(1)(images, generator())
    assert moved.shape == images.shape
    rows, columns = generator().integers(0, 3, (2, 2)) - 1  # what Shift draws
    for image, (down, right) in enumerate(zip(rows, columns, strict=True)):
        expected = np.zeros((3, 2, 5))
        for row in range(2):
            for column in range(5):
                if 0 <= row + down < 2 and 0 <= column + right < 5:
                    expected[:, row, column] = images[image, :, row + down, column + right]
        np.testing.assert_array_equal(moved[image], expected)


def test_bad_input() -> None:
    for call in (lambda: Shift(-1), lambda: Shift(1.5), lambda: Flip(2), lambda: Flip(0.5, 1), lambda: Noise(-1), lambda: Noise(np.nan)):
        with pytest.raises(cg.InputError, match="test_augmentation"):
            call()
    with pytest.raises(cg.InputError, match="Compose takes functions"):
        Compose([3])  # type: ignore[list-item]
    for bad in (np.ones((5, 64)), np.ones(3), [[1.0]], np.array([[["a"]]])):
        with pytest.raises(cg.ShapeError, match="reshape rows of pixels first"):
            Shift(1)(bad, generator())  # type: ignore[arg-type]
    with pytest.raises(cg.DtypeError, match=r"Flip draws from a np\.random\.Generator"):
        Flip()(batch(), 0)  # type: ignore[arg-type]

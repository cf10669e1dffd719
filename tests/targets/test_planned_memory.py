"""Blocks that are needed at the same time never overlap, and what is free is used again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compgraph.targets.memory import ALIGNMENT, Block, places

BLOCKS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 1000)), max_size=40)


@given(BLOCKS)
def test_no_two_blocks_overlap_in_time_and_place(drawn: list[tuple[int, int, int]]) -> None:
    blocks = [Block(min(one, other), max(one, other), nbytes) for one, other, nbytes in drawn]
    offsets, size = places(blocks)
    assert all(offset % ALIGNMENT == 0 and offset + block.nbytes <= size for offset, block in zip(offsets, blocks, strict=True))
    for number, (start, stop, nbytes) in enumerate(blocks):
        for other, block in enumerate(blocks[:number]):
            in_time = start <= block.stop and block.start <= stop
            in_place = offsets[number] < offsets[other] + block.nbytes and offsets[other] < offsets[number] + nbytes
            assert not (in_time and in_place and nbytes and block.nbytes)


@given(BLOCKS)
def test_the_whole_is_at_least_the_peak_and_at_most_the_sum(drawn: list[tuple[int, int, int]]) -> None:
    blocks = [Block(min(one, other), max(one, other), -(-nbytes // ALIGNMENT) * ALIGNMENT) for one, other, nbytes in drawn]
    _, size = places(blocks)
    peak = max((sum(block.nbytes for block in blocks if block.start <= line <= block.stop) for line in range(31)), default=0)
    assert peak <= size <= sum(block.nbytes for block in blocks)


def test_a_chain_needs_two_blocks() -> None:
    offsets, size = places([Block(line, line + 1, 1000) for line in range(50)])
    assert size == 2 * 1024 and set(offsets) == {0, 1024}


def test_gaps_are_joined() -> None:
    blocks = [Block(0, 1, 64), Block(0, 1, 64), Block(0, 5, 64), Block(2, 3, 128)]
    offsets, size = places(blocks)
    assert offsets[3] == 0 and size == 192

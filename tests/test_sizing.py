"""How large chunks are, by the time that earlier ones took: no process, no clock."""

from __future__ import annotations

import heapq

import pytest

from ezpq_exec.sizing import LARGEST, SHORTEST, TARGET, Sizer


def taught(each: float, workers: int = 2, rounds: int = 20) -> Sizer:
    """One that has seen chunks of items that take `each` seconds."""
    sizer = Sizer(workers)
    for _ in range(rounds):
        size = sizer.size(None)
        sizer.tell(size, size * each)
    return sizer


def test_the_first_chunks_are_of_one_item() -> None:
    sizer = Sizer(2)
    assert [sizer.size(None), sizer.size(1_000_000), sizer.size(1)] == [1, 1, 1]


@pytest.mark.parametrize("each", [1e-6, 1e-5, 1e-4, 1e-3, 0.02])
def test_a_chunk_comes_to_take_what_it_is_to_take(each: float) -> None:
    assert TARGET <= taught(each).size(None) * each < TARGET + each


def test_items_that_take_longer_than_a_chunk_go_one_by_one() -> None:
    assert taught(3.0).size(None) == 1


def test_a_chunk_grows_at_most_fourfold_over_what_was_tried() -> None:
    sizer = Sizer(2)
    sizes = []
    for _ in range(5):
        sizes.append(sizer.size(None))
        sizer.tell(sizes[-1], sizes[-1] * 1e-7)
    assert sizes == [1, 4, 16, 64, 256]


def test_no_chunk_is_larger_than_the_largest_even_if_items_take_no_time() -> None:
    assert taught(0.0, rounds=60).size(None) == LARGEST


def test_when_items_become_slow_chunks_shrink_at_once() -> None:
    sizer = taught(1e-5)
    size = sizer.size(None)
    sizer.tell(size, size * 1e-2)
    assert sizer.size(None) * 1e-2 <= 2 * TARGET + 1e-2


def test_a_small_chunk_at_the_end_does_not_hold_back_the_next() -> None:
    sizer = taught(1e-5)
    size = sizer.size(None)
    sizer.tell(1, 1e-5)
    assert sizer.size(None) == size


@pytest.mark.parametrize("workers", [1, 2, 7, 64])
@pytest.mark.parametrize("each", [1e-5, 1e-3, 0.5])
def test_at_the_end_the_workers_end_together(workers: int, each: float) -> None:
    sizer = taught(each, workers)
    left, ends = 100_000, [0.0] * workers
    while left:
        size = min(left, sizer.size(left))
        heapq.heapreplace(ends, ends[0] + size * each)  # whoever is free first takes it
        left -= size
    assert max(ends) - min(ends) <= max(SHORTEST, each) + 1e-9


def test_the_end_is_not_cut_into_single_items_where_these_are_tiny() -> None:
    sizer = taught(1e-6)
    assert sizer.size(10) >= 10

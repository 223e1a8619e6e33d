"""Ranks: what comes out is what a sorted list would give, whatever comes in whichever order."""

from __future__ import annotations

import functools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezpq_exec.heap import Entry
from ezpq_exec.ranks import Ranks

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 3), st.integers(0, 40)),
        st.tuples(st.just("pop"), st.just(0), st.just(0)),
        st.tuples(st.just("remove"), st.just(0), st.integers(0, 40)),
        st.tuples(st.just("take"), st.integers(0, 5), st.integers(0, 3)),
    ),
    max_size=200,
)


def begins_otherwise(start: str, item: str) -> bool:
    """Whether `item` does not begin with `start`."""
    return not item.startswith(start)


@given(STEPS)
def test_it_gives_what_a_sorted_list_would_give(steps: list[tuple[str, int, int]]) -> None:
    """By rank, then by number, each once, whatever was taken out or put back before its turn."""
    ranks: Ranks[str] = Ranks()
    model: dict[int, tuple[int, Entry]] = {}  # by number: rank, and the entry to remove it by

    def best() -> int:
        return min(model, key=lambda number: (model[number][0], number))

    for what, rank, number in steps:
        if what == "push" and number not in model:
            model[number] = rank, ranks.push(rank, number, f"{rank}:{number}")
        elif what == "pop" and model:
            expected = best()
            assert ranks.pop() == f"{model.pop(expected)[0]}:{expected}"
        elif what == "remove" and number in model:
            ranks.remove(model.pop(number)[1])
        elif what == "take":
            expected_items: list[str] = []
            while model and len(expected_items) < rank and model[best()][0] != number:
                first = best()
                expected_items.append(f"{model.pop(first)[0]}:{first}")
            unwanted = f"{number}:"
            assert ranks.take(rank, functools.partial(begins_otherwise, unwanted)) == expected_items
        assert len(ranks) == len(model)
        assert sorted(ranks) == sorted(f"{r}:{n}" for n, (r, _) in model.items())
        entry = ranks.peek()
        assert (entry is None) == (not model)
        if entry is not None:
            assert entry[1] == best()


def test_an_item_that_was_taken_out_may_come_back_under_its_number() -> None:
    """The dead entry that it leaves is not compared with the new one."""
    ranks: Ranks[object] = Ranks()
    first = ranks.push(1, 1, object())
    other = object()
    ranks.push(1, 2, other)
    ranks.remove(first)
    again = object()
    ranks.push(1, 1, again)
    assert [ranks.pop(), ranks.pop()] == [again, other]


def test_numbers_of_different_kinds_that_are_equal_are_one_rank() -> None:
    """1, 1.0 and Decimal(1) take turns by number."""
    ranks: Ranks[str] = Ranks()
    ranks.push(1, 1, "int")
    ranks.push(1.0, 2, "float")
    ranks.push(Decimal(1), 3, "Decimal")
    assert [ranks.pop() for _ in range(3)] == ["int", "float", "Decimal"]


def test_what_is_dead_is_not_kept() -> None:
    """However many come and go, memory stays proportional to what is there."""
    ranks: Ranks[int] = Ranks()
    ranks.push(0, 0, 0)
    for number in range(1, 5000):
        ranks.remove(ranks.push(number % 7, number, number))
    assert ranks.peek() == [0, 0, 0]
    kept = sum(len(row) for row in ranks._rows.values()) + len(ranks._late)
    assert kept < 300


def test_there_is_nothing_to_pop_from_none() -> None:
    """It says so by IndexError."""
    with pytest.raises(IndexError):
        Ranks[int]().pop()

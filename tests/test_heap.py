"""The heap whose entries can be taken out again, held to a sorted list."""

from __future__ import annotations

import random
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ezpq_exec.heap import Entry, Heap

SMALL = 64  # so many dead entries may stay, however few are alive


class Thing:
    """Something that can be referred to weakly."""


def test_lowest_rank_comes_first() -> None:
    """Items come out by rank, lowest first, whatever the order in which they came."""
    heap = Heap[str]()
    for number, rank in enumerate([3, 1, 2]):
        heap.push(rank, number, f"item {rank}")
    assert [heap.pop() for _ in range(3)] == ["item 1", "item 2", "item 3"]


def test_equal_ranks_come_by_number() -> None:
    """Among equal ranks the lower number comes first, even if it was pushed later."""
    heap = Heap[str]()
    heap.push(1, 9, "second")
    heap.push(1, 4, "first")
    assert [heap.pop(), heap.pop()] == ["first", "second"]


def test_items_are_never_compared() -> None:
    """Items need no order of their own."""
    heap = Heap[object]()
    items = [object(), object()]
    for number, item in enumerate(items):
        heap.push(0, number, item)
    assert [heap.pop(), heap.pop()] == items


def test_removed_item_does_not_come() -> None:
    """What was taken out is neither counted, nor iterated over, nor popped."""
    heap = Heap[str]()
    gone = heap.push(1, 0, "gone")
    heap.push(2, 1, "here")
    heap.remove(gone)
    assert (len(heap), list(heap), heap.pop()) == (1, ["here"], "here")


def test_removed_item_is_let_go() -> None:
    """What was taken out is no longer referred to, though its entry may still be in place."""
    heap = Heap[Thing]()
    item = Thing()
    gone = weakref.ref(item)
    entry = heap.push(1, 0, item)
    heap.remove(entry)
    del item
    assert gone() is None


def test_empty_heap() -> None:
    """An empty heap has nothing to peek at, and popping raises IndexError."""
    heap = Heap[str]()
    assert heap.peek() is None
    with pytest.raises(IndexError):
        heap.pop()


def test_heap_of_removed_items_is_empty() -> None:
    """A heap of which everything was taken out is as good as new."""
    heap = Heap[str]()
    for entry in [heap.push(0, number, "x") for number in range(5)]:
        heap.remove(entry)
    with pytest.raises(IndexError):
        heap.pop()
    assert (len(heap), heap.peek()) == (0, None)
    heap.push(0, 9, "new")
    assert (len(heap), heap.pop()) == (1, "new")


def test_peek_leaves_the_item() -> None:
    """Peeking shows the lowest entry as often as it is asked."""
    heap = Heap[str]()
    lowest = heap.push(1, 0, "lowest")
    assert heap.peek() is lowest
    assert heap.peek() is lowest
    assert len(heap) == 1


@pytest.mark.parametrize("lowest_first", [True, False])
def test_memory_follows_the_living(lowest_first: bool) -> None:
    """After thousands of removals, entries are at most twice the living and a few."""
    heap = Heap[int]()
    entries = [heap.push(rank, rank, rank) for rank in range(5000)]
    for entry in entries[:4990] if lowest_first else reversed(entries[10:]):
        heap.remove(entry)
        assert len(heap._entries) <= 2 * len(heap) + SMALL + 1
    assert len(heap) == 10


def test_memory_follows_the_living_when_they_are_popped() -> None:
    """Whenever the dead outnumber the living they go, also when it is pops that made it so."""
    heap = Heap[int]()
    entries = [heap.push(rank, rank, rank) for rank in range(5000)]
    for entry in entries[3000:]:
        heap.remove(entry)
    for _ in range(3000):
        heap.pop()
    assert len(heap) == 0
    assert len(heap._entries) <= SMALL + 1


def test_order_survives_a_rebuild() -> None:
    """However many are taken out from wherever, the others come in order."""
    dice = random.Random(7)
    for _ in range(20):
        heap = Heap[int]()
        ranks = list(range(300))
        dice.shuffle(ranks)
        entries = {rank: heap.push(rank, 0, rank) for rank in ranks}
        dice.shuffle(ranks)
        for rank in ranks[60:]:
            heap.remove(entries[rank])
        assert [heap.pop() for _ in range(60)] == sorted(ranks[:60])


class HeapAgainstList(RuleBasedStateMachine):
    """Whatever is done to a heap, a sorted list says what must come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.heap = Heap[str]()
        self.oracle: list[tuple[float, int, str]] = []
        self.entries: dict[int, Entry] = {}
        self.made = 0

    @initialize(count=st.sampled_from([0, 0, 200]))
    def begin(self, count: int) -> None:
        """Often with many items, so that there is something to compact."""
        for i in range(count):
            self.push(i * 7 % 50)

    @rule(rank=st.integers(-3, 60) | st.sampled_from([0.5, float("inf"), float("-inf")]))
    def push(self, rank: float) -> None:
        """One more item."""
        item = f"item {self.made}"
        self.entries[self.made] = self.heap.push(rank, self.made, item)
        self.oracle.append((rank, self.made, item))
        self.oracle.sort()
        self.made += 1

    @rule()
    def pop(self) -> None:
        """The lowest comes out, or IndexError where there is none."""
        if not self.oracle:
            with pytest.raises(IndexError):
                self.heap.pop()
            return
        _, number, item = self.oracle.pop(0)
        del self.entries[number]
        assert self.heap.pop() == item

    @precondition(lambda self: self.oracle)
    @rule(data=st.data(), count=st.integers(1, 80))
    def remove(self, data: st.DataObject, count: int) -> None:
        """Some come out from anywhere."""
        for _ in range(min(count, len(self.oracle))):
            at = data.draw(st.integers(0, len(self.oracle) - 1)) if count < 4 else count * 31
            _, number, _ = self.oracle.pop(at % len(self.oracle))
            self.heap.remove(self.entries.pop(number))
            assert len(self.heap._entries) <= 2 * len(self.heap) + SMALL + 1

    @invariant()
    def agrees(self) -> None:
        """Length, contents and the lowest are those of the list."""
        assert len(self.heap) == len(self.oracle)
        assert sorted(self.heap) == sorted(item for _, _, item in self.oracle)
        lowest = self.heap.peek()
        expected = self.oracle[0] if self.oracle else None
        assert (lowest and (lowest[0], lowest[1], lowest[-1])) == expected


TestHeapAgainstList = HeapAgainstList.TestCase
TestHeapAgainstList.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)

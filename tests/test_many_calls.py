"""`map` over what is at hand submits calls some at a time; nobody can tell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ezpq_exec import PriorityExecutor, SharedClosed
from ezpq_exec.intake import MOMENT, MOST_TOGETHER
from gates import PATIENCE, Gate, hold
from workload import WillNotPickle, echo

COUNT = 5 * MOST_TOGETHER


class Reduces:
    """Calls a function when it is pickled, which is where it is submitted; in a worker it is None."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Callable[..., None], tuple[()]]:
        self.call()
        return nothing, ()


def nothing() -> None:
    pass


def leave(item: Any, folder: str) -> None:
    """Leave a file with the item's name."""
    if item is not None:
        Path(folder, str(item)).touch()


def awaits(path: Path) -> Callable[[], None]:
    """A function that waits until there is such a file."""

    def wait() -> None:
        end = time.monotonic() + PATIENCE / 6  # for it is pickled again if that fails
        while not path.exists():
            assert time.monotonic() < end
            time.sleep(0.001)

    return wait


@pytest.fixture
def executor() -> Iterator[PriorityExecutor]:
    with PriorityExecutor(2) as executor:
        yield executor


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_all_come_in_their_order(
    executor: PriorityExecutor, kind: Callable[[Sequence[int]], Any]
) -> None:
    """However many there are, and wherever the items come from."""
    for count in (0, 1, 2, 3, MOST_TOGETHER, COUNT):
        assert list(executor.map(echo, kind(range(count)))) == list(range(count))


def test_the_first_begins_before_the_next_is_packed(
    executor: PriorityExecutor, tmp_path: Path
) -> None:
    items = ["first", Reduces(awaits(tmp_path / "first")), "last"]
    assert list(executor.map(leave, items, [str(tmp_path)] * 3)) == [None] * 3


def test_where_packing_takes_its_time_others_do_not_wait_for_it(
    executor: PriorityExecutor, tmp_path: Path
) -> None:
    """The calls that were packed before begin."""
    executor.submit(os.getpid).result(PATIENCE)
    slow = Reduces(lambda: time.sleep(2 * MOMENT))
    items = [*range(8), slow, Reduces(awaits(tmp_path / "7")), *range(10, 30)]
    assert len(list(executor.map(leave, items, [str(tmp_path)] * len(items)))) == 30


def test_one_that_does_not_pickle_fails_alone(executor: PriorityExecutor) -> None:
    """In its turn, with those around it submitted."""
    items = [*range(20), WillNotPickle(), *range(20)]
    given = []
    results = executor.map(echo, items, timeout=PATIENCE)
    with pytest.raises(TypeError, match="I stay where I am"):
        for result in results:
            given.append(result)
    assert given == list(range(20))
    assert executor.submit(echo, 1).result(PATIENCE) == 1


def test_what_keeps_the_rest_from_being_submitted_keeps_all_from_being_run(
    gate: Gate,
) -> None:
    """Those that wait are cancelled, and those that were packed with it are never submitted."""
    with PriorityExecutor(1) as executor:
        executor.submit(hold, gate.path)
        gate.heard()
        shared = executor.share([1, 2, 3])
        shared.close()
        items = [gate.path] * COUNT
        with pytest.raises(SharedClosed):
            executor.map(hold, [*items, shared])
        gate.open(COUNT)
        executor.submit(os.getpid).result(PATIENCE)
        assert gate.all_heard() == []
        stats = executor.stats()
        assert (stats.waiting, stats.running) == (0, 0)


def test_nothing_is_left_waiting_when_submitting_is_interrupted(gate: Gate) -> None:
    """Ctrl-C while an item is packed: what was submitted is cancelled, as far as it has not begun."""

    def interrupt() -> NoReturn:
        raise KeyboardInterrupt

    with PriorityExecutor(1) as executor:
        executor.submit(hold, gate.path)
        gate.heard()
        with pytest.raises(KeyboardInterrupt):
            executor.map(hold, [*[gate.path] * COUNT, Reduces(interrupt)])
        gate.open(COUNT)
        executor.submit(os.getpid).result(PATIENCE)
        assert gate.all_heard() == []
        assert executor.stats().waiting == 0


def test_jobs_of_a_closed_executor_are_refused_as_ever() -> None:
    executor = PriorityExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(echo, [1, 2, 3])


def test_over_nothing_it_gives_nothing_even_from_a_closed_executor() -> None:
    """As the standard library's."""
    executor = PriorityExecutor(1)
    executor.shutdown()
    assert list(executor.map(echo, [])) == []


def test_they_stand_in_line_by_priority_and_number_like_others(gate: Gate) -> None:
    """Calls that are submitted together are jobs like any other, in the order of their submission."""
    with PriorityExecutor(1) as executor:
        executor.submit(hold, gate.path)
        gate.heard()
        slow = executor.options(priority=5).map(began, range(COUNT))
        quick = executor.options(priority=1).map(began, range(COUNT))
        gate.open()
        moments = [*quick, *slow]
        assert moments == sorted(moments)


def began(_: int) -> float:
    return time.monotonic()

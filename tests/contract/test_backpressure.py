"""`max_pending`: no more jobs that are not done than that, and `submit` waits for room, or says no."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from typing import Any

import pytest

from conftest import Maker
from ezpq_exec import ExecutorFull, PriorityExecutor, QueueTimeout
from gates import PATIENCE, Gate, hold
from workload import WillNotPickle, add, failing_initializer, forever


def fill(executor: PriorityExecutor, gate: Gate, count: int) -> list[Future[int]]:
    """Submit so many jobs that wait."""
    return [executor.submit(hold, gate.path) for _ in range(count)]


class Blocked:
    """A thread that submits one job, and blocks in that."""

    def __init__(self, executor: PriorityExecutor, *call: Any) -> None:
        self.result: Future[Any] | BaseException | None = None
        self._call = executor, call or (add, 1, 1)
        self._thread = threading.Thread(target=self._submit)
        self._thread.start()

    def _submit(self) -> None:
        executor, call = self._call
        try:
            self.result = executor.submit(*call)
        except BaseException as error:
            self.result = error

    def is_blocked(self) -> bool:
        """Whether it still is, after a while."""
        self._thread.join(0.1)
        return self._thread.is_alive()

    def ended(self) -> Any:
        """What came of it: a future, or an exception."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.result


def test_a_full_executor_says_so(make_executor: Maker, gate: Gate) -> None:
    """Jobs that run count as well as those that wait; a job that is done makes room at once."""
    executor = make_executor(1, max_pending=3, when_full="raise")
    futures = fill(executor, gate, 3)
    with pytest.raises(ExecutorFull, match="3"):
        executor.submit(add, 1, 1)
    for future in futures:
        gate.open()
        future.result(PATIENCE)
        executor.submit(add, 1, 1)


def test_whoever_has_a_result_finds_room(make_executor: Maker) -> None:
    executor = make_executor(2, max_pending=1, when_full="raise")
    for n in range(300):
        assert executor.submit(add, n, 1).result(PATIENCE) == n + 1
    for _ in range(100):
        assert isinstance(
            executor.submit(WillNotPickle).exception(PATIENCE), (TypeError, type(None))
        )


def test_a_submit_that_blocks_goes_on_when_there_is_room(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1, max_pending=2)
    fill(executor, gate, 2)
    blocked = Blocked(executor)
    assert blocked.is_blocked()
    gate.open()
    future = blocked.ended()
    assert not future.done()
    gate.open()
    assert future.result(PATIENCE) == 2


def test_those_that_block_go_on_in_the_order_in_which_they_came(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1, max_pending=1)
    fill(executor, gate, 1)
    blocked = []
    for _ in range(5):
        blocked.append(Blocked(executor))
        assert blocked[-1].is_blocked()
    gate.open()
    ids = [each.ended().info.id for each in blocked]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    "give_back", ["cancel", "expire", "unpicklable", "kill", "die", "time out", "return", "raise"]
)
def test_every_way_to_end_gives_its_place_back_once(
    give_back: str, make_executor: Maker, gate: Gate
) -> None:
    """After many of each there is exactly as much room as at first."""
    executor = make_executor(2, max_pending=5, when_full="raise")
    can = executor.capabilities
    if give_back in ("kill", "die") and not can.kills:
        pytest.skip("this engine has not: kills")
    for _ in range(3):
        if give_back in ("cancel", "expire"):
            executor.pause()
        futures = [_job(executor, give_back) for _ in range(5)]
        if give_back == "cancel":
            with pytest.raises(ExecutorFull):
                executor.submit(add, 1, 1)
        for future in futures:
            if give_back == "cancel":
                assert future.cancel()
                assert future.cancel()
            elif give_back == "kill":
                future.kill()
        for future in futures:
            future.cancelled() or future.exception(PATIENCE)
        executor.resume()
    fill(executor, gate, 5)
    with pytest.raises(ExecutorFull):
        executor.submit(add, 1, 1)


def _job(executor: PriorityExecutor, ending: str) -> Any:
    calls: dict[str, tuple[Any, ...]] = {
        "unpicklable": (add, WillNotPickle(), 1),
        "kill": (forever,),
        "die": (os._exit, 1),
        "time out": (time.sleep, 0.05),
        "raise": (add, 1, "1"),
    }
    limits = {"expire": {"queue_timeout": 0.01}, "time out": {"timeout": 0.01}}
    terms = executor.options(**limits.get(ending, {}))
    return terms.submit(*calls.get(ending, (add, 1, 1)))


def test_there_are_never_more_though_many_submit_at_once(make_executor: Maker) -> None:
    """Counted by the futures that are not done, whichever thread they came from."""
    executor = make_executor(2, max_pending=7)
    futures: list[Future[int]] = []
    most: list[int] = []

    def submit() -> None:
        for n in range(100):
            futures.append(executor.submit(add, n, 1))
            most.append(sum(not future.done() for future in list(futures)))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert max(most) <= 7 + 2  # a place is free just before its future is seen to be done
    assert len([future.result(PATIENCE) for future in futures]) == 800


def test_as_many_are_taken_as_there_is_room_though_many_submit_at_once(
    make_executor: Maker,
) -> None:
    """And all others are refused."""
    executor = make_executor(1, max_pending=50, when_full="raise")
    executor.pause()
    outcomes: list[str] = []

    def submit() -> None:
        for _ in range(40):
            try:
                executor.submit(add, 1, 1)
                outcomes.append("taken")
            except ExecutorFull:
                outcomes.append("refused")

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (outcomes.count("taken"), outcomes.count("refused")) == (50, 270)
    assert executor.stats().waiting == 50


def test_shutdown_wakes_a_submit_that_blocks(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1, max_pending=1)
    fill(executor, gate, 1)
    blocked = [Blocked(executor) for _ in range(3)]
    assert all(each.is_blocked() for each in blocked)
    executor.shutdown(wait=False)
    for each in blocked:
        error = each.ended()
        assert isinstance(error, RuntimeError)
        assert "after shutdown" in str(error)
    gate.open()
    executor.shutdown()
    assert sum(executor.stats().settled.values()) == 1


@pytest.mark.lacks("borrows")
def test_a_break_wakes_a_submit_that_blocks(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1, max_pending=1, initializer=_hold_and_fail, initargs=(gate.path,))
    executor.submit(add, 1, 1)
    gate.heard()
    blocked = Blocked(executor)
    assert blocked.is_blocked()
    gate.open()
    ended = blocked.ended()
    assert isinstance(ended, (BrokenExecutor, Future))
    if isinstance(ended, Future):  # its place was free a moment before the executor was broken
        assert isinstance(ended.exception(PATIENCE), BrokenExecutor)


def _hold_and_fail(gate: str) -> None:
    hold(gate)
    failing_initializer("no")


def test_ctrl_c_leaves_a_submit_that_blocks(make_executor: Maker, gate: Gate) -> None:
    """The job was not submitted, and what it waited for goes to the next."""
    executor = make_executor(1, max_pending=1)
    (held,) = fill(executor, gate, 1)
    gate.heard()
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        executor.submit(add, 1, 1)
    blocked = Blocked(executor)
    assert blocked.is_blocked()
    gate.open()
    assert blocked.ended().result(PATIENCE) == 2
    assert held.done()
    assert executor.submit(add, 2, 2).result(PATIENCE) == 4
    assert sum(executor.stats().settled.values()) == 3


def test_a_callback_is_not_left_waiting(make_executor: Maker, gate: Gate) -> None:
    """It would hold up the callbacks behind it; so it is told that there is no room."""
    executor = make_executor(1, max_pending=1)
    heard: list[Any] = []
    called = threading.Event()

    def callback(_: Future[int]) -> None:
        try:
            heard.append(executor.submit(hold, gate.path))
            executor.submit(add, 1, 1)
        except ExecutorFull as error:
            heard.append(error)
        called.set()

    executor.submit(add, 1, 1).add_done_callback(callback)
    assert called.wait(PATIENCE)
    assert isinstance(heard[0], Future)
    assert isinstance(heard[1], ExecutorFull)


@pytest.mark.lacks("isolates")
def test_a_job_in_a_thread_is_not_left_waiting_for_itself(make_executor: Maker) -> None:
    executor = make_executor(1, max_pending=1)
    future = executor.submit(lambda: executor.submit(add, 1, 1))
    assert isinstance(future.exception(PATIENCE), ExecutorFull)


class Item:
    """Something of which it is counted how many there are."""

    def __init__(self, number: int, alive: weakref.WeakSet[Item]) -> None:
        self.number = number
        alive.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (self.number,)


def test_map_over_an_endless_iterator_keeps_no_more_than_its_buffer(make_executor: Maker) -> None:
    """Items and results are let go when they are done, however many there were."""
    alive: weakref.WeakSet[Item] = weakref.WeakSet()
    read = itertools.count()

    def items() -> Iterator[Item]:
        while True:
            yield Item(next(read), alive)

    results = make_executor(2).map(_number, items(), buffersize=10)
    most = 0
    for expected, result in enumerate(itertools.islice(results, 3000)):
        assert result == expected
        most = max(most, len(alive))
    assert most <= 10 + 2 + 2  # those under way, those running, those at hand
    assert next(read) <= 3000 + 10 + 1
    close: Callable[[], None] = results.close  # type: ignore[attr-defined]
    close()


def _number(item: Any) -> int:
    return item if isinstance(item, int) else int(item.number)


def test_map_waits_for_room(make_executor: Maker) -> None:
    executor = make_executor(2, max_pending=3)
    assert list(executor.map(add, range(50), range(50))) == list(range(0, 100, 2))


def test_map_that_finds_no_room_takes_back_what_it_submitted(make_executor: Maker) -> None:
    executor = make_executor(1, max_pending=3, when_full="raise")
    executor.pause()
    with pytest.raises(ExecutorFull):
        executor.map(abs, range(10))
    executor.resume()
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    executor.shutdown()
    assert [n for v, n in executor.stats().settled.items() if v.value == "cancelled"] == [3]


def test_the_time_that_submit_blocks_is_not_waiting_time(make_executor: Maker, gate: Gate) -> None:
    """A `queue_timeout` counts from when the job is taken."""
    executor = make_executor(1, max_pending=1)
    fill(executor, gate, 1)
    blocked = Blocked(executor.options(queue_timeout=30))  # type: ignore[arg-type]
    assert blocked.is_blocked()
    before = time.time()
    gate.open()
    future = blocked.ended()
    assert not isinstance(future.exception(PATIENCE), QueueTimeout)
    assert future.info.submitted.timestamp() >= before - 0.01


@pytest.mark.lacks("borrows")
@pytest.mark.parametrize("value", ["3", 2.0, True])
def test_a_limit_is_an_integer(value: Any, new_engine: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=f"max_pending.*{value!r}"):
        PriorityExecutor(1, engine=new_engine(), max_pending=value)


@pytest.mark.lacks("borrows")
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_is_positive(value: int, new_engine: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=f"max_pending.*{value!r}"):
        PriorityExecutor(1, engine=new_engine(), max_pending=value)


@pytest.mark.lacks("borrows")
@pytest.mark.parametrize("value", ["wait", None, 3])
def test_what_to_do_when_full_is_one_of_two(value: Any, new_engine: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="when_full must be one of"):
        PriorityExecutor(1, engine=new_engine(), when_full=value)

"""Executors that lend their workers: good ones, broken ones, and hostile ones."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from types import SimpleNamespace
from typing import Any

import loky
import pytest

from conftest import eventually
from ezpq_exec import (
    JobTimeout,
    PriorityExecutor,
    QueueTimeout,
    UnsupportedOption,
    Verdict,
    WorkerDied,
    packing,
)
from ezpq_exec.engines.base import Setup
from ezpq_exec.engines.board import Board, begin
from ezpq_exec.engines.borrowed import BorrowedEngine
from ezpq_exec.engines.errand import Answer, Errand, PackedCall, run_bundle
from ezpq_exec.engines.lender import MOST, MOST_HERE, TOGETHER, Lender, capacity_of
from ezpq_exec.engines.loans import Bundle, Landed, Loan, Place
from ezpq_exec.engines.returns import LOOK, Returns
from ezpq_exec.jobs import Call
from ezpq_exec.reports import Finished, FinishedInTurn, Lost, Ready, Stopped, Strayed
from gates import PATIENCE, Gate, hold
from workload import add


@pytest.fixture
def lend() -> Iterator[Callable[[Executor], Executor]]:
    """Has lenders shut down after the test."""
    lent: list[Executor] = []

    def take(lender: Executor) -> Executor:
        lent.append(lender)
        return lender

    yield take
    for lender in lent:
        lender.shutdown()


class ByHand(Executor):
    """Runs nothing by itself: the test decides what becomes of each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[[], Any], Future[Any]]] = []
        self.given: list[Future[Any]] = []
        self.came = threading.Semaphore(0)
        self.refusal: BaseException | None = None
        self.refuses_all = True

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.refusal is not None and (self.refuses_all or isinstance(fn, Errand)):
            raise self.refusal
        future: Future[Any] = Future()
        self.calls.append((functools.partial(fn, *args, **kwargs), future))
        self.given.append(future)
        self.came.release()
        return future

    def take(self) -> tuple[Callable[[], Any], Future[Any]]:
        """The next call that came."""
        assert self.came.acquire(timeout=PATIENCE)
        return self.calls.pop(0)

    def do(self) -> None:
        """Run the next call that comes."""
        call, future = self.take()
        future.set_running_or_notify_cancel()
        future.set_result(call())


class AtOnce(Executor):
    """Runs each call within `submit`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture
def no_loky() -> Iterator[None]:
    """Ends loky's reusable executor after the test."""
    yield
    loky.get_reusable_executor(1).shutdown(wait=True, kill_workers=True)


@pytest.mark.parametrize(
    "make",
    [lambda: ThreadPoolExecutor(3), lambda: ProcessPoolExecutor(3), loky.ProcessPoolExecutor],
)
def test_the_number_of_workers_is_the_lenders(
    make: Callable[[], Executor], lend: Callable[[Executor], Executor]
) -> None:
    """Should an executor no longer say how many workers it has, this notices."""
    assert capacity_of(lend(make())) == (
        loky.cpu_count() if make is loky.ProcessPoolExecutor else 3
    )


def test_no_more_jobs_are_with_the_lender_than_slots_and_the_best_go_first() -> None:
    lender = ByHand()
    with PriorityExecutor(1, engine=lender) as executor:
        order: list[int] = []
        executor.submit(order.append, 0)
        call, future = lender.take()
        for priority in (5, 4, 3, 2, 1):
            executor.options(priority=priority).submit(order.append, priority)
        future.set_result(call())
        for _ in range(5):
            lender.do()
            assert len(lender.calls) <= 1
    assert order == [0, 1, 2, 3, 4, 5]
    assert capacity_of(lender) is None


def test_a_quick_lender_has_no_more_in_hand_either(
    lend: Callable[[Executor], Executor],
) -> None:
    """Jobs that follow quick ones stay here, and go to the lender one by one."""
    lender = lend(ThreadPoolExecutor(8))
    running, most, lock = [0], [0], threading.Lock()

    def job() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        with lock:
            running[0] -= 1

    with PriorityExecutor(2, engine=lender) as executor:
        for future in [executor.submit(job) for _ in range(2000)]:
            future.result(PATIENCE)
    assert most[0] <= 2


def test_what_is_queued_stays_here_until_its_turn_and_can_be_had_back(
    lend: Callable[[Executor], Executor], gate: Gate
) -> None:
    engine = BorrowedEngine(lend(ThreadPoolExecutor(4)))
    engine.open(Setup())
    engine.start(0)
    try:
        assert [*engine.wait(PATIENCE)] == [Ready(0, os.getpid())]
        engine.run(0, 1, Call(hold, (gate.path, "one"), {}), None)
        assert gate.heard() == ["one"]
        for number in (2, 3):
            assert not engine.queue({0: [(number, Call(hold, (gate.path, number), {}))]})
        assert len(engine._lending.bundles) == 1, "only the first was lent"
        assert engine.recall(0) == [2, 3]
        assert not engine.queue({0: [(4, Call(hold, (gate.path, "four"), {}))]})
        gate.open()
        assert gate.heard() == ["four"]
        assert [report.number for report in _finished(engine, 1)] == [1]
        assert engine.recall(0) == []
        gate.open()
        assert [report.number for report in _finished(engine, 1)] == [4]
    finally:
        gate.open(100)
        _end(engine)
    assert gate.all_heard() == []


def test_nothing_is_lent_ahead_where_jobs_wait_at_the_lenders(
    make_lender: Callable[[int], Executor], gate: Gate
) -> None:
    """With more slots than the lender has workers, it has jobs at hand; what is behind them stays here."""
    engine = BorrowedEngine(make_lender(1))
    engine.open(Setup())
    for slot in (0, 1):
        engine.start(slot)
    try:
        readied = 0
        while readied < 2:
            readied += sum(isinstance(report, Ready) for report in engine.wait(PATIENCE))
        for slot in (0, 1):
            engine.run(slot, slot, engine.pack(Call(hold, (gate.path, slot), {})), None)
            call = engine.pack(Call(hold, (gate.path, 2 + slot), {}))
            assert not engine.queue({slot: [(2 + slot, call)]})
        assert gate.heard() == ["0"]
        assert len(engine._lending.bundles) == 2, "only those of the slots themselves were lent"
        assert (engine.recall(0), engine.recall(1)) == ([2], [3])
        gate.open(2)
        assert gate.heard() == ["1"]
    finally:
        gate.open(100)
        _end(engine)
    assert gate.all_heard() == []


def test_an_urgent_job_goes_before_all_that_were_lent_ahead_and_have_not_begun(
    make_lender: Callable[[int], Executor], gate: Gate
) -> None:
    """Be they in the lender's own pipes, from which it gives nothing back."""
    with PriorityExecutor(engine=make_lender(1)) as executor:
        quick = [executor.submit(add, n, n) for n in range(200)]
        slow = [executor.submit(hold, gate.path, n) for n in range(8)]
        assert gate.heard() == ["0"]
        urgent = executor.options(priority=0).submit(hold, gate.path, "urgent")
        assert slow[5].cancel()
        executor.stats()  # all that was asked for has been heard
        gate.open()
        assert gate.heard() == ["urgent"]
        gate.open(100)
        assert [job.result(PATIENCE) for job in quick] == [2 * n for n in range(200)]
        for job in (urgent, *slow[:5], *slow[6:]):
            job.result(PATIENCE)
        assert gate.all_heard() == ["1", "2", "3", "4", "6", "7"]


def test_jobs_are_lent_ahead_where_there_is_a_place_for_each_worker(
    lend: Callable[[Executor], Executor], gate: Gate
) -> None:
    """They are with the lender then, where its worker finds the next; and can be had back."""
    engine = BorrowedEngine(lend(ProcessPoolExecutor(1)))
    engine._lending.lender.pace = 0.01  # as after jobs that took so long: one goes in a call
    engine.open(Setup())
    engine.start(0)
    try:
        assert [*engine.wait(PATIENCE)] == [Ready(0, None)]
        engine.run(0, 1, engine.pack(Call(hold, (gate.path, "one"), {})), None)
        assert gate.heard() == ["one"]
        for number in (2, 3):
            call = engine.pack(Call(hold, (gate.path, number), {}))
            assert not engine.queue({0: [(number, call)]})
        gate.open()
        assert gate.heard() == ["2"]
        assert engine.recall(0) == [3]
        gate.open(100)
        assert [report.number for report in _finished(engine, 2)] == [1, 2]
    finally:
        gate.open(100)
        _end(engine)
    assert gate.all_heard() == []


def test_what_is_lent_ahead_for_two_slots_is_lent_one_of_each_in_turn(
    lend: Callable[[Executor], Executor], gate: Gate
) -> None:
    """The lender's workers share one queue, in which the most urgent are to come first."""
    engine = BorrowedEngine(lend(ThreadPoolExecutor(2)))
    engine._lending.lender.pace = 0.01  # one goes in a call
    engine.open(Setup())

    def call(number: int) -> Any:
        return engine.pack(Call(hold, (gate.path, number), {}))

    for slot in (0, 1):
        engine.start(slot)
    try:
        for slot in (0, 1):
            engine.run(slot, slot, call(slot), None)
        assert sorted(gate.heard(2)) == ["0", "1"]
        shares = {0: [(2, call(2)), (4, call(4)), (6, call(6))], 1: [(3, call(3)), (5, call(5))]}
        assert engine.queue(shares) == []
        engine.wait(0.0)
        for number in range(2, 7):
            gate.open()
            assert gate.heard() == [str(number)]
    finally:
        gate.open(100)
        _end(engine)


def test_what_is_lent_ahead_for_two_slots_goes_to_two_workers(
    make_lender: Callable[[int], Executor], gate: Gate
) -> None:
    """So a few jobs are shared out among them, and are not done one after another."""
    engine = BorrowedEngine(make_lender(2))
    engine._lending.lender.pace = 0.0  # several go in one call
    engine.open(Setup())
    for slot in (0, 1):
        engine.start(slot)
    try:
        for number in range(4):
            call = engine.pack(Call(hold, (gate.path, number), {}))
            assert not engine.queue({number % 2: [(number, call)]})
        engine.wait(0.0)
        assert sorted(gate.heard(2)) == ["0", "1"]
        gate.open(4)
        assert sorted(report.number for report in _finished(engine, 4)) == [0, 1, 2, 3]
    finally:
        gate.open(100)
        _end(engine)


def test_a_lender_that_breaks_fails_no_job_that_it_had_ahead_and_had_not_begun(
    gate: Gate, no_loky: None
) -> None:
    engine = lambda: loky.get_reusable_executor(1)  # noqa: E731
    with PriorityExecutor(engine=engine) as executor:
        quick = [executor.submit(add, n, 0) for n in range(100)]
        doomed = executor.submit(hold, gate.path)
        others = [executor.submit(add, n, 1) for n in range(50)]
        os.kill(gate.pids(1)[0], signal.SIGKILL)
        assert isinstance(doomed.exception(PATIENCE), WorkerDied)
        assert [job.result(PATIENCE) for job in quick] == [*range(100)]
        assert [job.result(PATIENCE) for job in others] == [n + 1 for n in range(50)]


KINDS: dict[str, Callable[[int], Executor]] = {
    "threads": ThreadPoolExecutor,
    "processes": ProcessPoolExecutor,
    "loky": loky.ProcessPoolExecutor,
}


@pytest.fixture(params=KINDS)
def make_lender(
    request: pytest.FixtureRequest, lend: Callable[[Executor], Executor]
) -> Callable[[int], Executor]:
    """Makes lenders of each kind that is lent jobs ahead."""
    return lambda workers: lend(KINDS[request.param](workers))


def test_no_answer_waits_for_the_job_behind_it(
    make_lender: Callable[[int], Executor], gate: Gate
) -> None:
    """Though they went to the lender in one call, which is not over."""
    with PriorityExecutor(engine=make_lender(1)) as executor:
        for count in range(46, 54):  # in some of these it goes with others, not by itself
            executor.pause()
            quick = [executor.submit(add, n, n) for n in range(count)]
            slow = executor.submit(hold, gate.path)
            executor.resume()
            gate.heard()
            assert [job.result(PATIENCE) for job in quick] == [2 * n for n in range(count)]
            assert not slow.done()
            gate.open()
            slow.result(PATIENCE)


def test_jobs_that_turn_out_long_run_side_by_side_all_the_same(
    make_lender: Callable[[int], Executor], gate: Gate
) -> None:
    """None stays behind the one with which it went to the lender."""
    with PriorityExecutor(engine=make_lender(2)) as executor:
        for _ in range(3):
            for job in [executor.submit(add, n, n) for n in range(100)]:
                job.result(PATIENCE)
            slow = [executor.submit(hold, gate.path) for _ in range(8)]
            for _ in range(4):
                gate.heard(2)
                gate.open(2)
            for job in slow:
                job.result(PATIENCE)


class Thing:
    """A result that is not made of plain data."""

    def __init__(self, number: int) -> None:
        self.number = number


def test_answers_for_which_the_page_has_no_room(make_lender: Callable[[int], Executor]) -> None:
    """Those behind them come back undone, and are lent again."""
    with PriorityExecutor(engine=make_lender(2)) as executor:
        for job in [executor.submit(add, n, n) for n in range(100)]:
            job.result(PATIENCE)
        things = [executor.submit(Thing, n) for n in range(100)]
        large = [executor.submit(bytes, 1000 + n) for n in range(100)]
        assert [job.result(PATIENCE).number for job in things] == [*range(100)]
        assert [len(job.result(PATIENCE)) for job in large] == [1000 + n for n in range(100)]


def test_what_we_cannot_pack_the_lender_carries_in_its_own_way(
    lend: Callable[[Executor], Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each such call goes by itself."""

    def refuse(*_: object) -> bytes:
        raise TypeError("not that")

    with PriorityExecutor(engine=lend(loky.ProcessPoolExecutor(1))) as executor:
        executor.submit(add, 1, 1).result(PATIENCE)
        monkeypatch.setattr("ezpq_exec.engines.lending.packing.pack_call", refuse)
        jobs = [executor.submit(add, n, n) for n in range(100)]
        assert [job.result(PATIENCE) for job in jobs] == [2 * n for n in range(100)]


def _calls(board: Board, *functions: Any) -> tuple[list[Any], tuple[Any, ...]]:
    tickets: list[Any] = [board.post() for _ in functions]
    calls = [
        (ticket[2], packing.pack_call(Call(function, (), {}), None))
        for ticket, function in zip(tickets, functions, strict=True)
    ]
    return tickets, (*tickets[0][:2], calls)


@pytest.mark.usefixtures("no_page")
def test_of_several_jobs_in_one_call_each_can_be_had_back() -> None:
    board = Board()
    tickets, call = _calls(board, int, float, str)
    assert board.take_back(tickets[1])
    first, second, third = run_bundle(*call, strict=True)
    assert (first is None, second, third is None) == (False, None, False)
    assert packing.unpack(Answer(*board.answer(tickets[0])).value) == 0
    assert board.answer(tickets[1]) is None
    board.close()


@pytest.mark.usefixtures("no_page")
def test_no_job_begins_while_the_answer_before_it_can_be_had_by_nobody() -> None:
    board = Board()
    tickets, call = _calls(board, _large, int)
    assert len(run_bundle(*call, strict=True)) == 1
    assert board.answer(tickets[0]) is None
    assert board.take_back(tickets[1])
    board.close()


@pytest.mark.usefixtures("no_page")
def test_a_result_that_does_not_pickle_is_its_jobs_error_or_left_to_the_lender() -> None:
    board = Board()
    answers = [
        run_bundle(*_calls(board, threading.Lock)[1], strict=strict) for strict in (True, False)
    ]
    strict, loose = (Answer(*found[0]) for found in answers if found[0] is not None)
    assert (strict.returned, strict.packed) == (False, True)
    assert (loose.returned, loose.packed) == (True, False)
    board.close()


def _large() -> bytes:
    return b"x" * 1000


def test_what_waits_at_the_door_waits_for_all_that_are_in_the_lenders_hands() -> None:
    place = Place(0)
    first, second, third = (Loan(place, number, b"") for number in range(3))
    assert place.admit(first, ahead=True)
    assert place.admit(second, ahead=True)
    assert not place.admit(third, ahead=False)
    lent: list[Loan] = []
    place.next(lent.append)
    assert lent == []
    place.next(lent.append)
    place.next(lent.append)
    assert lent == [third]


def test_what_is_taken_from_the_door_is_lent_before_the_end_can_be_said() -> None:
    """Or it would come behind that, where nobody takes it, and the shutdown waits for it for ever."""
    place = Place(0)
    place.admit(Loan(place, 1, b""), ahead=True)
    place.admit(Loan(place, 2, b""), ahead=False)
    found: list[bool] = []
    place.next(lambda _: found.append(place.lock.locked()))
    assert found == [True], "the lock is the one under which the engine's close clears the door"


@pytest.mark.usefixtures("no_page")
def test_a_worker_that_outlives_its_pool_begins_no_job_that_was_had_back_from_it(
    lend: Callable[[Executor], Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that breaks fails its calls before it ends its workers, and meanwhile others are lent."""
    hand = ByHand()

    def make() -> Executor:
        pool = lend(ProcessPoolExecutor(2))
        monkeypatch.setattr(pool, "submit", hand.submit)
        return pool

    engine = BorrowedEngine(make)
    job = engine.pack(Call(add, (1, 1), {}))
    engine.open(Setup())
    try:
        for slot in (0, 1):
            engine.start(slot)
            assert [*engine.wait(PATIENCE)] == [Ready(slot, None)]
            engine.run(slot, slot, job, None)
        assert not engine.queue({0: [(2, job)]})
        assert engine.wait(0) == []
        ours, others, ahead = (hand.take() for _ in range(3))
        board = engine._lending.board
        for _, future in (ours, ahead):
            future.set_exception(BrokenExecutor("it broke"))
        reports: list[Any] = []
        while Ready(0, None) not in reports:
            reports += engine.wait(PATIENCE)
        begun = [report.loss.begun for report in reports if isinstance(report, Lost)]
        assert begun == [None], "it had not begun, and can be lent again"
        engine.run(0, 3, job, None)
        assert not engine.queue({0: [(4, job)]})
        assert engine.wait(0) == []
        anew = [hand.take() for _ in range(2)]
        assert engine._lending.board is board, "a job of the old one's is still out"
        assert ahead[0]() == [None], "nor does it begin where it was"
        others[1].set_exception(BrokenExecutor("it broke"))
        for call, future in anew:
            future.set_result(call())
        assert [report.number for report in _finished(engine, 2)] == [3, 4]
        assert engine._lending.board is None, "the cells that were given up go with the page"
    finally:
        engine.close()
        for future in hand.given:
            future.cancel()
        while not any(isinstance(report, Stopped) for report in engine.wait(PATIENCE)):
            pass


def test_fewer_jobs_go_in_one_call_where_some_come_back_undone() -> None:
    lender = Lender(ProcessPoolExecutor(1))
    assert lender.most == 1, "nobody knows how long its jobs take"
    lender.pace = 0.0
    assert lender.most == MOST
    lender.learn(whole=False)
    assert lender.most == MOST // 2
    for _ in range(100):
        lender.learn(whole=True)
    assert lender.most == MOST


def test_as_many_jobs_go_in_one_call_as_take_little_time_together() -> None:
    """Going by the last few, among which one slow one is no reason to change all."""
    for executor, limit in (ThreadPoolExecutor(1), MOST_HERE), (ProcessPoolExecutor(1), MOST):
        lender = Lender(executor)
        paces = (0.0, limit), (TOGETHER / limit, limit), (TOGETHER / 2, 2), (TOGETHER * 2, 1)
        for took, most in paces:
            lender.pace = took
            assert lender.most == most
    lender = Lender(ThreadPoolExecutor(1))
    ends = []
    for took in (0.001, 0.003, 0.001, 0.001, 0.001):
        lender.timed(took)
        ends.append(lender.pace or 0.0)
    assert ends[0] == 0.001
    assert ends[0] < ends[1] < 0.002
    assert ends[1:] == sorted(ends[1:], reverse=True)


def test_a_pool_of_interpreters_gets_one_job_in_a_call() -> None:
    """It would have to pickle what several need; it is known by its name, which older Pythons lack."""
    kind = type("InterpreterPoolExecutor", (ThreadPoolExecutor,), {})
    lender = Lender(kind(1))
    lender.pace = 0.0
    assert lender.most == 1


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has opened no page, and keeps none that it opens."""
    monkeypatch.setattr("ezpq_exec.engines.board._opened", None)


@pytest.mark.usefixtures("no_page")
def test_whoever_is_first_has_the_job() -> None:
    board = Board()
    begun, back, other = board.post(), board.post(), board.post()
    assert begun is not None
    assert back is not None
    assert other is not None
    assert begin(begun)
    assert not board.take_back(begun)
    assert board.take_back(back)
    assert not begin(back)
    assert begin(other), "each has bytes of its own"
    board.clear(begun)
    again = board.post()
    assert again is not None
    assert board.take_back(again), "nothing is left of who had them before"
    board.close()


@pytest.mark.usefixtures("no_page")
def test_without_its_page_a_job_is_not_begun() -> None:
    """It might have been taken back. Nor is another page taken for it, that has its number now."""
    first = Board()
    ticket = first.post()
    assert ticket is not None
    first.close()
    assert not begin(ticket)
    second = Board()
    _, head, cell = ticket
    fresh = second.post()
    assert fresh is not None
    assert not begin((fresh[0], head, cell))
    assert begin(fresh)
    second.close()


def test_a_lender_whose_workers_cannot_open_the_page_is_lent_nothing_ahead_any_more(
    lend: Callable[[Executor], Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Board, "post", lambda _: ("/nowhere", b"", 16))
    monkeypatch.setattr(Board, "clear", lambda *_: None)
    monkeypatch.setattr(Board, "take_back", lambda *_: False)
    with PriorityExecutor(engine=lend(ProcessPoolExecutor(1))) as executor:
        jobs = [executor.submit(add, n, n) for n in range(300)]
        assert [job.result(PATIENCE) for job in jobs] == [2 * n for n in range(300)]


def _end(engine: BorrowedEngine) -> None:
    """Close it, and wait until it says that this is done."""
    engine.close()
    while not any(isinstance(report, Stopped) for report in engine.wait(PATIENCE)):
        pass


def _finished(engine: BorrowedEngine, count: int) -> list[Finished]:
    found: list[Finished] = []
    while len(found) < count:
        for report in engine.wait(PATIENCE):
            if isinstance(report, Finished):
                found.append(report)
            elif isinstance(report, FinishedInTurn):
                ends = zip(report.numbers, report.outcomes, strict=True)
                found += [Finished(report.slot, *end) for end in ends]
    return found


def test_a_lender_that_is_done_at_once_is_no_recursion() -> None:
    with PriorityExecutor(2, engine=AtOnce()) as executor:
        assert sum(executor.map(abs, range(3000))) == sum(range(3000))


def test_the_lender_is_not_shut_down(lend: Callable[[Executor], Executor]) -> None:
    lender = lend(ThreadPoolExecutor(1))
    with PriorityExecutor(engine=lender) as executor:
        executor.submit(add, 1, 1).result(PATIENCE)
    assert lender.submit(add, 1, 1).result(PATIENCE) == 2


def test_what_belongs_to_the_lender_is_refused(lend: Callable[[Executor], Executor]) -> None:
    lender = lend(ThreadPoolExecutor(1))
    for option in ({"initializer": print}, {"initargs": (1,)}, {"max_tasks_per_child": 2}):
        with pytest.raises(UnsupportedOption, match=next(iter(option))):
            PriorityExecutor(engine=lender, **option)


def test_what_is_no_executor_and_makes_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"engine .*returned 5"):
        PriorityExecutor(engine=lambda: 5)  # type: ignore[arg-type,return-value]
    with pytest.raises(ZeroDivisionError):
        PriorityExecutor(engine=lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="engine must be"):
        PriorityExecutor(engine=5)  # type: ignore[arg-type]


def test_the_timeout_of_a_job_that_the_lender_has_not_begun_does_not_run() -> None:
    lender = ByHand()
    with PriorityExecutor(1, engine=lender) as executor:
        late = executor.options(timeout=0.05).submit(add, 1, 1)
        call, future = lender.take()
        timer = executor.options(queue_timeout=0.3).submit(add, 1, 1)
        assert isinstance(timer.exception(PATIENCE), QueueTimeout)
        assert not late.done()
        future.set_result(call())
        assert late.result(PATIENCE) == 2


def test_a_job_that_overruns_settles_at_its_deadline_and_the_next_waits(
    lend: Callable[[Executor], Executor], gate: Gate
) -> None:
    with PriorityExecutor(1, engine=lend(ThreadPoolExecutor(4))) as executor:
        late = executor.options(timeout=0.05).submit(hold, gate.path)
        assert isinstance(late.exception(PATIENCE), JobTimeout)
        following = executor.submit(add, 1, 1)
        assert executor.stats().waiting == 1
        gate.open()
        assert following.result(PATIENCE) == 2


def test_a_refusal_of_one_job_is_that_jobs_alone() -> None:
    lender = ByHand()
    for refusal in (TypeError("not that"), RuntimeError("not that"), KeyboardInterrupt("not that")):
        with PriorityExecutor(1, engine=lender) as executor:
            lender.refusal, lender.refuses_all = refusal, False
            with pytest.raises(type(refusal), match="not that"):
                executor.submit(add, 1, 1).result(PATIENCE)
            lender.refusal = None
            lender.calls.clear()
            lender.came = threading.Semaphore(0)
            good = executor.submit(add, 1, 1)
            lender.do()
            assert good.result(PATIENCE) == 2


def test_a_lender_that_returns_no_future_fails_that_job() -> None:
    class Odd(Executor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            return "soon"

    with PriorityExecutor(1, engine=Odd()) as executor:
        error = executor.submit(add, 1, 1).exception(PATIENCE)
        assert "'soon', not a Future" in str(error)


def test_a_lender_that_answers_something_else_fails_that_job() -> None:
    lender = ByHand()
    with PriorityExecutor(1, engine=lender) as executor:
        odd, good = executor.submit(add, 1, 1), executor.submit(add, 2, 2)
        lender.take()[1].set_result("whatever")
        lender.do()
        with pytest.raises(TypeError, match="answered 'whatever'"):
            odd.result(PATIENCE)
        assert good.result(PATIENCE) == 4


class Together:
    """Two jobs that went in one call of a lender's, of which something comes."""

    def __init__(self) -> None:
        self.board = Board()
        self.jobs = [Loan(Place(0), number, b"") for number in (1, 2)]
        for job in self.jobs:
            job.place.admit(job, ahead=True)
            job.ticket = job.cell = self.board.post()
        self.bundle = Bundle(self.jobs)
        self.bundle.members = self.jobs
        self.bundle.lender = Lender(AtOnce())
        self.future: Future[Any] = Future()
        self.bundle.future = self.future

    def comes_back(self) -> list[Any]:
        """What is reported then of each job."""
        lending: Any = SimpleNamespace(board=self.board, bundles={self.bundle}, close=lambda: None)
        reports = Returns(lending, lambda _: None).unload(Landed(self.bundle, 1.0))
        self.board.close()
        return reports


@pytest.mark.usefixtures("no_page")
def test_jobs_are_taken_back_from_a_call_that_takes_long_not_from_one_that_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it has not begun, others of the lender's workers may come to it. Then it has until the next look."""
    call = Together()
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("ezpq_exec.engines.returns.time", clock)
    returns = Returns(SimpleNamespace(board=call.board), lambda _: None)  # type: ignore[arg-type]
    returns.watch(call.bundle)
    found = []
    for turn in range(6):
        now[0] += LOOK
        found.append(returns.look())
        ticket = call.jobs[0].ticket
        assert ticket is not None
        if turn == 3:
            assert begin(ticket)
    call.board.close()
    assert found == [[], [], [], [], [], [Strayed(0, 2, None)]]


def test_an_answer_that_is_none_fails_each_job_that_it_was_for() -> None:
    call = Together()
    call.future.set_result("whatever")
    reports = call.comes_back()
    assert [report.number for report in reports] == [1, 2]
    assert all("answered 'whatever'" in str(report.outcome.value) for report in reports)


@pytest.mark.usefixtures("no_page")
def test_of_jobs_whose_call_fails_those_that_have_not_begun_are_lent_again() -> None:
    """It was another's fault, with which they went; the one that had begun fails by it."""
    call = Together()
    ticket = call.jobs[0].ticket
    assert ticket is not None
    assert begin(ticket)
    call.future.set_exception(LookupError("it is not here"))
    failed, again = call.comes_back()
    assert isinstance(failed, Finished)
    assert isinstance(failed.outcome.value, LookupError)
    assert again == Strayed(0, 2, None)


def test_a_job_that_others_cancel_before_it_begins_is_lent_again() -> None:
    lender = ByHand()
    with PriorityExecutor(1, engine=lender) as executor:
        job = executor.submit(add, 1, 1)
        call, future = lender.take()
        assert future.cancel()
        lender.do()
        assert job.result(PATIENCE) == 2
        assert call() is None, "what was withdrawn must not run"


def test_a_job_that_others_cancel_after_it_began_never_runs_twice() -> None:
    lender = ByHand()
    ran: list[int] = []
    with PriorityExecutor(1, engine=lender) as executor:
        job = executor.submit(ran.append, 1)
        call, future = lender.take()
        call()
        future.cancel()
        error = job.exception(PATIENCE)
        assert isinstance(error, WorkerDied)
        assert isinstance(error.__cause__, CancelledError)
    assert ran == [1]


def test_a_lender_that_is_shut_down_breaks_the_executor(
    lend: Callable[[Executor], Executor],
) -> None:
    lender = lend(ThreadPoolExecutor(1))
    with PriorityExecutor(engine=lender) as executor:
        executor.submit(add, 1, 1).result(PATIENCE)
        lender.shutdown()
        job = executor.submit(add, 1, 1)
        error = job.exception(PATIENCE)
        assert isinstance(error, BrokenExecutor)
        assert "after shutdown" in str(error)
        assert isinstance(error.__cause__, RuntimeError)
        assert job.info.verdict is Verdict.BROKEN
        with pytest.raises(BrokenExecutor, match="takes no more jobs"):
            executor.submit(add, 1, 1)


def test_a_lender_that_breaks_fails_what_it_has_and_what_waits_with_the_cause(
    lend: Callable[[Executor], Executor], gate: Gate
) -> None:
    with PriorityExecutor(2, engine=lend(ProcessPoolExecutor(2))) as executor:
        holders = [executor.submit(hold, gate.path) for _ in range(2)]
        pid = gate.pids(2)[0]
        waiting = [executor.submit(add, 1, 1) for _ in range(50)]
        os.kill(pid, signal.SIGKILL)
        for holder in holders:
            error = holder.exception(PATIENCE)
            assert isinstance(error, WorkerDied)
            assert isinstance(error.__cause__, BrokenExecutor)
            assert holder.info.verdict is Verdict.DIED
        for job in waiting:
            assert isinstance(job.exception(PATIENCE), BrokenExecutor)
            assert job.info.verdict is Verdict.BROKEN


def test_with_a_factory_only_what_the_broken_one_had_in_hand_fails(
    gate: Gate, no_loky: None
) -> None:
    engine = lambda: loky.get_reusable_executor(2)  # noqa: E731
    with PriorityExecutor(engine=engine) as executor:
        holders = [executor.submit(hold, gate.path) for _ in range(2)]
        pid = gate.pids(2)[0]
        waiting = [executor.submit(add, n, 1) for n in range(50)]
        os.kill(pid, signal.SIGKILL)
        for holder in holders:
            error = holder.exception(PATIENCE)
            assert isinstance(error, WorkerDied)
            assert isinstance(error.__cause__, BrokenExecutor)
        assert [job.result(PATIENCE) for job in waiting] == [n + 1 for n in range(50)]
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_lokys_executor_shut_down_with_its_workers_is_replaced(gate: Gate, no_loky: None) -> None:
    with PriorityExecutor(engine=lambda: loky.get_reusable_executor(1)) as executor:
        holder = executor.submit(hold, gate.path)
        gate.heard()
        loky.get_reusable_executor(1).shutdown(kill_workers=True)
        assert isinstance(holder.exception(PATIENCE), WorkerDied)
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_a_loky_executor_may_be_resized_under_jobs_that_are_quick(no_loky: None) -> None:
    """Its `submit` waits for that to be over, and that for the end of all jobs in its hands."""
    with (
        warnings.catch_warnings(),
        PriorityExecutor(engine=loky.get_reusable_executor(2)) as executor,
    ):
        warnings.simplefilter("ignore", UserWarning)  # loky's, about just that
        executor.submit(add, 1, 1).result(PATIENCE)
        for count in (3, 1, 2):
            jobs = [executor.submit(add, n, n) for n in range(200)]
            loky.get_reusable_executor(count)
            assert [job.result(PATIENCE) for job in jobs] == [2 * n for n in range(200)]


class Broken(Executor):
    """It was never any good."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise BrokenExecutor("never any good")


def test_three_new_ones_broken_in_a_row_are_enough() -> None:
    made: list[Executor] = []

    def factory() -> Executor:
        made.append(Broken())
        return made[-1]

    with PriorityExecutor(1, engine=factory) as executor:
        jobs = [executor.submit(add, 1, 1) for _ in range(20)]
        for job in jobs:
            assert isinstance(job.exception(PATIENCE), BrokenExecutor)
    assert len(made) == 1 + 3


def test_a_factory_that_fails_three_times_breaks_the_executor() -> None:
    asked: list[int] = []
    first = ByHand()

    def factory() -> Executor:
        asked.append(1)
        if len(asked) > 1:
            raise OSError("no more of those")
        return first

    with PriorityExecutor(1, engine=factory) as executor:
        first.refusal = RuntimeError("shut down")
        error = executor.submit(add, 1, 1).exception(PATIENCE)
        assert isinstance(error, BrokenExecutor)
        assert isinstance(error.__cause__, OSError)
    assert len(asked) == 1 + 3


def test_lambdas_and_what_does_not_pickle_with_the_stdlibs_processes(
    lend: Callable[[Executor], Executor],
) -> None:
    with PriorityExecutor(engine=lend(ProcessPoolExecutor(1))) as executor:
        assert executor.submit(lambda: lambda: 42).result(PATIENCE)() == 42
        with pytest.raises(TypeError, match="pickle"):
            executor.submit(id, threading.Lock()).result(PATIENCE)
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_times_of_another_hosts_clock_are_put_where_they_can_be(
    lend: Callable[[Executor], Executor],
) -> None:
    lender = ByHand()
    with PriorityExecutor(1, engine=lender) as executor:
        job = executor.submit(add, 1, 1)
        call, future = lender.take()
        answer = call()
        future.set_result(answer._replace(started=5e9, ended=5e9 + 0.25))
        job.result(PATIENCE)
    info = job.info
    assert info.started is not None
    assert info.ended is not None
    assert info.processed is not None
    assert info.submitted <= info.started <= info.ended <= info.processed


def test_an_errand_runs_once_at_most() -> None:
    errand = Errand(Call(add, (1, 1), {}))
    assert errand() is not None
    assert errand() is None
    assert not errand.withdraw()
    other = Errand(Call(add, (1, 1), {}))
    assert other.withdraw()
    assert other() is None


def withdrawn_while_copied(errand: Errand, step: int) -> tuple[bool, bool]:
    """Withdraw it before one of the steps of copying it: was that certain, and was it copied?"""
    lines = 0
    certain = False

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines, certain
        if frame.f_code is Errand.__reduce__.__code__ and event == "line":
            lines += 1
            if lines == step:
                certain = errand.withdraw()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        copy.copy(errand)
    except pickle.PicklingError:
        return certain, False
    finally:
        sys.settrace(before)
    return certain, True


@pytest.mark.parametrize("step", [1, 2, 3])
def test_an_errand_that_is_withdrawn_while_it_is_copied_is_copied_or_known_never_to_run(
    step: int,
) -> None:
    """Whatever both sides see, one of them knows. If it is the one that copies, the job is lent again."""
    loan = Loan(Place(0), 1, Call(add, (1, 1), {}))
    errand = loan.errand
    assert errand is not None
    loan.place.admit(loan, ahead=True)
    loan.claim()
    certain, copied = withdrawn_while_copied(errand, step)
    assert [certain, copied, errand.was_refused and not certain].count(True) == 1
    if certain or copied:
        return
    bundle = Bundle([loan])
    bundle.members = [loan]
    bundle.lender = Lender(AtOnce())
    bundle.future = Future()
    bundle.future.set_exception(pickle.PicklingError("as a pool of processes has it"))
    lending: Any = SimpleNamespace(board=None, bundles={bundle})
    reports = Returns(lending, lambda _: None).unload(Landed(bundle, 1.0))
    assert reports == [Strayed(0, 1, None)]
    assert loan.take_back(None)


class Far(ByHand):
    """Its jobs run elsewhere, as it were: it makes copies of what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(copy.copy(fn), *args, **kwargs)


def test_a_timeout_holds_where_a_lender_never_says_that_a_job_runs() -> None:
    lender = Far()
    with PriorityExecutor(1, engine=lender) as executor:
        job = executor.options(timeout=0.05).submit(add, 1, 1)
        assert isinstance(job.exception(PATIENCE), JobTimeout)
        lender.do()


def test_a_timeout_counts_from_the_start_where_a_lender_says_that_a_job_runs() -> None:
    lender = Far()
    with PriorityExecutor(1, engine=lender) as executor:
        first = executor.options(timeout=0.05).submit(add, 1, 1)
        call, future = lender.take()
        future.set_running_or_notify_cancel()
        assert isinstance(first.exception(PATIENCE), JobTimeout)
        future.set_result(call())
        second = executor.options(timeout=0.05).submit(add, 1, 1)
        third = executor.options(queue_timeout=0.5).submit(add, 1, 1)
        call, future = lender.take()
        assert isinstance(third.exception(PATIENCE), QueueTimeout)
        assert not second.done(), "it has not begun, as far as this lender says"
        future.set_running_or_notify_cancel()
        future.set_result(call())
        assert second.result(PATIENCE) == 2


def test_a_strangers_job_has_begun_unless_it_is_one_that_would_have_said_so() -> None:
    lender = Lender(Far())
    waiting: Future[Any] = Future()
    running: Future[Any] = Future()
    running.set_running_or_notify_cancel()
    assert lender.has_begun(waiting)
    assert lender.has_begun(running)
    assert not lender.has_begun(waiting)
    assert not Lender(ThreadPoolExecutor(1)).has_begun(waiting)


def test_equal_calls_have_different_tokens() -> None:
    """By default Dask takes calls of equal tokens for one, and runs that once."""
    tokenize = pytest.importorskip("dask.tokenize").tokenize
    assert tokenize(PackedCall(b"same")) != tokenize(PackedCall(b"same"))


AT_EXIT = """
import sys, time
from concurrent.futures import *
import loky
from ezpq_exec import PriorityExecutor

def job(n):
    time.sleep(0.01)
    print(n, flush=True)

if __name__ == "__main__":
    executor = PriorityExecutor(1, engine={lender})
    executor.submit(len, "").result()  # some Pythons start no thread at exit
    for n in range(20):
        executor.submit(job, n)
"""


@pytest.mark.parametrize(
    "lender",
    [
        "ThreadPoolExecutor(1)",
        "ProcessPoolExecutor(1)",
        "loky.ProcessPoolExecutor(1)",
        "lambda: loky.get_reusable_executor(1)",
    ],
)
def test_the_interpreters_exit_finishes_what_was_submitted(lender: str, tmp_path: Any) -> None:
    """Though the lender, too, is called at exit, and takes nothing after that."""
    script = tmp_path / "script.py"
    script.write_text(AT_EXIT.format(lender=lender))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == [str(n) for n in range(20)], done.stderr
    assert done.returncode == 0


def test_an_executor_that_is_forgotten_finishes_its_jobs(
    lend: Callable[[Executor], Executor],
) -> None:
    executor = PriorityExecutor(1, engine=lend(ThreadPoolExecutor(1)))
    jobs = [executor.submit(add, n, n) for n in range(100)]
    del executor
    assert [job.result(PATIENCE) for job in jobs] == [2 * n for n in range(100)]
    assert eventually(
        lambda: all(thread.name != "ezpq_exec-lending" for thread in threading.enumerate())
    )

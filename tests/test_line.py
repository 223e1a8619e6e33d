"""A thread that waits for an answer at the worker's end: real sockets, and real executors."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import linecache
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from types import FrameType
from typing import Any

import pytest

from conftest import eventually
from ezpq_exec import JobFuture, JobKilled, PriorityExecutor, State, Verdict, WorkerDied
from ezpq_exec.condition import SharedCondition
from ezpq_exec.engines.channel import SMALL, Kind, header
from ezpq_exec.engines.jobqueue import JobQueue, Lookout
from ezpq_exec.engines.line import Line
from ezpq_exec.engines.page import Page
from ezpq_exec.jobs import Outcome
from ezpq_exec.offers import Handover, Offers
from ezpq_exec.resolver import Resolver
from gates import PATIENCE, Gate, hold
from workload import add, echo, fail, hold_and_return, say_and_return

STEPS = 120  # more than it takes to fetch an answer; few of them, where the loop is quicker

Ends = tuple[JobQueue, socket.socket, Page]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The parent's queue, the worker's end of it, and their page."""
    entry, exit_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = exit_end.dup()
    descriptor = Page.allocate()
    page = Page(descriptor)
    os.close(descriptor)
    queue = JobQueue(entry, exit_end)
    with contextlib.closing(worker), contextlib.closing(queue), contextlib.closing(page):
        yield queue, worker, page


def line_of(ends: Ends, ticket: int) -> Line:
    queue, _, page = ends
    return Line(0, ticket, queue, page, Lookout())


def answer(ticket: int, body: bytes = b"yes") -> bytes:
    return header(ticket, Kind.RETURNED, body, 1.0, 2.0) + body


def test_the_answer_is_got_by_who_waits(ends: Ends) -> None:
    """And the page says meanwhile that somebody does."""
    line = line_of(ends, 7)
    ends[1].send(answer(7))
    line.wait(None)
    assert ends[2].direct == 7
    assert line.over
    assert line.outcome is not None
    assert (line.outcome.verdict, bytes(line.outcome.value)) == (Verdict.RETURNED, b"yes")


def test_who_is_told_to_hang_up_leaves_without(ends: Ends) -> None:
    """The answer came another way."""
    line = line_of(ends, 7)
    waiter = threading.Thread(target=line.wait, args=(None,))
    waiter.start()
    eventually(lambda: ends[2].direct == 7)
    line.hang_up()
    waiter.join(PATIENCE)
    assert line.over
    assert line.outcome is None


def test_who_is_told_before_coming_does_not_wait(ends: Ends) -> None:
    """Nor does it take away what the next one waits for, or tell the worker to answer here."""
    line = line_of(ends, 7)
    line.hang_up()
    ends[2].ask_directly(8)
    line.wait(PATIENCE)
    assert line.over
    assert ends[2].direct == 8


def test_what_was_meant_for_another_is_passed_over(ends: Ends) -> None:
    """Somebody was told to hang up after leaving: the next to wait does not mind."""
    ends[0].send_back(6)
    ends[1].send(answer(7))
    line = line_of(ends, 7)
    line.wait(None)
    assert line.outcome is not None


def test_a_wait_can_be_limited_and_the_next_is_not(ends: Ends) -> None:
    """The limit is the socket's, but each wait has its own."""
    line = line_of(ends, 7)
    line.wait(0.001)
    assert line.over
    assert line.outcome is None
    later = line_of(ends, 8)
    waiter = threading.Thread(target=later.wait, args=(None,))
    waiter.start()
    ends[1].send(answer(8))
    waiter.join(PATIENCE)
    assert later.outcome is not None


def test_who_waits_at_a_queue_that_is_closed_leaves(ends: Ends) -> None:
    """Whether it was closed before or meanwhile."""
    line = line_of(ends, 7)
    waiter = threading.Thread(target=line.wait, args=(None,))
    waiter.start()
    ends[0].close()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()
    assert line.outcome is None
    again = line_of(ends, 8)
    again.wait(None)
    assert again.outcome is None


# With an executor -------------------------------------------------------------------------------


@pytest.fixture
def executor() -> Iterator[PriorityExecutor]:
    """One worker, which is ready."""
    with PriorityExecutor(1) as made:
        made.submit(add, 1, 1).result(PATIENCE)
        made.stats()  # the loop has heard of that
        yield made


def test_a_hundred_jobs_one_after_another_are_all_accounted_for(executor: PriorityExecutor) -> None:
    """Results, infos and counts are those of jobs that went the long way."""
    before = executor.stats().settled[Verdict.RETURNED]
    futures = []
    for number in range(100):
        futures.append(executor.submit(add, number, 1))
        assert futures[-1].result() == number + 1
        assert futures[-1].done()
    for number, future in enumerate(futures):
        info = future.info
        assert (info.state, info.verdict, info.args) == (State.DONE, Verdict.RETURNED, (number, 1))
        assert info.started is not None
        assert info.ended is not None
        assert info.processed is not None
        assert info.submitted <= info.started <= info.ended <= info.processed
    assert executor.stats().settled[Verdict.RETURNED] == before + 100
    assert executor.stats().running == 0


def test_the_loop_may_resolve_what_a_thread_has_just_fetched(
    executor: PriorityExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have the same answer in their hands, and neither spoils it for the other."""
    resolve, here = Resolver.resolve_here, threading.get_ident()
    met: list[bool] = []

    def resolve_slowly(resolver: Resolver, record: Handover, outcome: Outcome) -> bool:
        if threading.get_ident() == here:
            for _ in range(3):  # the loop reads the record, settles the job, and sleeps again
                executor.stats()
            met.append(True)
        return resolve(resolver, record, outcome)

    executor.submit(abs, -1).result(PATIENCE)
    monkeypatch.setattr(Resolver, "resolve_here", resolve_slowly)
    results = [executor.submit(add, n, n).result(PATIENCE) for n in range(20)]
    assert results == [2 * n for n in range(20)]
    assert met


def test_a_large_result_comes_the_other_way(executor: PriorityExecutor) -> None:
    """What is no single message goes by the stream, and whoever waits gets it."""
    for size in (SMALL, 1_000_000, 1):
        assert executor.submit(echo, b"x" * size).result() == b"x" * size


def test_an_exception_comes_to_who_waits(executor: PriorityExecutor) -> None:
    """By result and by exception."""
    with pytest.raises(ValueError, match="no") as caught:
        executor.submit(fail, ValueError, "no").result()
    assert "Traceback" in str(caught.value.__cause__)
    assert isinstance(executor.submit(fail, KeyError, 1).exception(), KeyError)
    assert executor.submit(add, 1, 2).exception() is None


def test_all_who_wait_for_one_job_are_served(executor: PriorityExecutor, gate: Gate) -> None:
    """One of them fetches the answer; the others, and the callbacks, hear of it."""
    future = executor.submit(hold_and_return, gate.path, 5)
    results: list[Any] = []
    called = threading.Event()
    threads = [
        threading.Thread(target=lambda: results.append(future.result(PATIENCE))),
        threading.Thread(target=lambda: results.append(future.result())),
        threading.Thread(target=lambda: results.append(len(wait([future]).done))),
    ]
    for thread in threads:
        thread.start()
    gate.heard()
    future.add_done_callback(lambda _: called.set())
    gate.open()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(results) == [1, 5, 5]
    assert called.wait(PATIENCE)


def test_who_gave_up_waiting_gets_the_result_later(executor: PriorityExecutor, gate: Gate) -> None:
    """The job goes on, and its answer is not lost, wherever the worker sends it."""
    for _ in range(3):
        future = executor.submit(hold_and_return, gate.path, 5)
        gate.heard()
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(0.001)
        gate.open()
        assert future.result(PATIENCE) == 5
        assert executor.submit(add, 1, 1).result() == 2


def test_who_gives_up_after_the_loop_has_looked_loses_nothing_either(
    executor: PriorityExecutor, gate: Gate
) -> None:
    """The loop, which has left the answer to the one who waits, is told."""
    future = executor.submit(hold_and_return, gate.path, 5)
    gave_up = threading.Event()

    def wait_in_vain() -> None:
        with contextlib.suppress(concurrent.futures.TimeoutError):
            future.result(0.5)
        gave_up.set()

    waiter = threading.Thread(target=wait_in_vain)
    waiter.start()
    gate.heard()
    executor.stats()  # it has looked
    assert gave_up.wait(PATIENCE)
    waiter.join(PATIENCE)
    gate.open()
    assert future.result(PATIENCE) == 5


def _results_of(future: Future[Any], into: list[object]) -> threading.Thread:
    def fetch() -> None:
        try:
            into.append(future.result())
        except BaseException as error:
            into.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    return thread


def test_a_job_is_killed_while_somebody_waits_for_it(
    executor: PriorityExecutor, gate: Gate
) -> None:
    """Whoever waits hears of it, and the next job finds a worker."""
    future = executor.submit(hold, gate.path)
    results: list[object] = []
    thread = _results_of(future, results)
    gate.heard()
    assert future.kill()
    thread.join(PATIENCE)
    assert isinstance(results[0], JobKilled)
    assert executor.submit(add, 1, 1).result() == 2


def test_a_worker_dies_while_somebody_waits_for_its_job(
    executor: PriorityExecutor, gate: Gate
) -> None:
    """That job fails, and no other."""
    future = executor.submit(hold, gate.path)
    results: list[object] = []
    thread = _results_of(future, results)
    (pid,) = gate.pids()
    os.kill(pid, signal.SIGKILL)
    thread.join(PATIENCE)
    assert isinstance(results[0], WorkerDied)
    assert [executor.submit(add, n, 1).result() for n in range(20)] == list(range(1, 21))


def test_whoever_is_told_that_a_job_will_be_killed_is_told_no_lie(
    executor: PriorityExecutor,
) -> None:
    """Kill meets completion: the future says KILLED if `kill` said so, else it has its result."""
    for number in range(200):
        future = executor.submit(add, number, 1)
        results: list[object] = []
        thread = _results_of(future, results)
        killed = future.kill()
        thread.join(PATIENCE)
        if killed:
            assert isinstance(results[0], JobKilled) or future.cancelled()
        else:
            assert results == [number + 1]


def test_many_threads_submit_and_wait(executor: PriorityExecutor) -> None:
    """Each gets its own results, and no slot serves two at a time."""
    executor.resize(2)
    wrong: list[object] = []

    def work(seed: int) -> None:
        for number in range(200):
            result = executor.submit(add, seed, number).result()
            if result != seed + number:
                wrong.append((seed, number, result))

    threads = [threading.Thread(target=work, args=(1000 * seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert wrong == []
    assert executor.stats().settled == {Verdict.RETURNED: 801}


def test_a_more_urgent_job_that_waits_goes_before_one_that_comes(
    executor: PriorityExecutor, gate: Gate
) -> None:
    """A slot whose answer a thread has fetched is nobody's before those who wait."""
    for _ in range(5):
        executor.submit(add, 1, 1).result()
    holder = executor.submit(hold, gate.path)
    gate.heard()
    late = executor.submit(say_and_return, gate.path, "late")
    soon = executor.options(priority=1).submit(say_and_return, gate.path, "soon")
    assert executor.stats().waiting == 2  # and so the loop has heard of both
    gate.open()
    holder.result()
    last = executor.submit(say_and_return, gate.path, "last")
    wait([late, soon, last])
    assert gate.heard(3) == ["soon", "late", "last"]


def _elsewhere(test: Callable[..., None]) -> Callable[..., None]:
    """Run the test in a thread of its own.

    What a tracer raises between the end of an `except` and what follows it leaves that exception
    the thread's current one for good (CPython 3.11), and all later failures would show it.
    """

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(test, *args, **kwargs).result()

    return run


@_elsewhere
def test_an_interrupt_anywhere_in_a_wait_loses_nothing(executor: PriorityExecutor) -> None:
    """Ctrl-C may strike between any two steps: the result is there when it is asked for again."""
    strikes = 0
    for step in range(1, STEPS):
        future = executor.submit(add, step, 1)
        with contextlib.suppress(KeyboardInterrupt), _interrupted_at(step) as struck:
            future.result()
        assert _result_of(future) == step + 1
        strikes += bool(struck)
    assert strikes > 20
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    assert executor.stats().settled == {Verdict.RETURNED: STEPS + 1}


@pytest.mark.parametrize("limit", [None, 2])
@_elsewhere
def test_a_finalizer_anywhere_in_a_call_waits_for_nothing_that_waits_for_it(
    limit: int | None,
) -> None:
    """It is answered, or refused: nobody holds what the loop needs while it waits for the loop."""
    asked = refused = 0
    with PriorityExecutor(1, max_pending=limit) as executor:
        executor.submit(add, 1, 1).result(PATIENCE)
        for step in range(1, 3 * STEPS):

            def ask() -> None:
                nonlocal asked, refused
                asked += 1
                try:
                    executor.stats()
                except RuntimeError:
                    refused += 1

            with _interrupted_at(step, ask):
                result = executor.submit(add, step, 1).result(PATIENCE)
            assert result == step + 1
    assert asked > refused > 0


@_elsewhere
def test_nor_is_it_lost_for_another_who_waits_for_it(
    executor: PriorityExecutor, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop has read who fetches the answer, and leaves it to that thread, which is interrupted."""
    waits, offered = _said_by(monkeypatch)
    strikes = 0
    for step in range(1, STEPS):
        executor.submit(add, 1, 1).result(PATIENCE)  # nobody listens for the worker any more
        offered.clear()
        executor.stats()  # the loop wakes, and falls asleep: this thread hands the next job over
        assert offered.wait(PATIENCE)
        future = executor.submit(hold_and_return, gate.path, step)
        results: list[object] = []

        def wait_too_and_let_go(future: Future[Any] = future, into: list[object] = results) -> None:
            waits.wait(PATIENCE)
            waits.clear()
            other = _results_of(future, into)
            waits.wait(PATIENCE)
            executor.stats()
            gate.open()
            other.join(PATIENCE)

        waits.clear()
        thread = threading.Thread(target=wait_too_and_let_go)
        thread.start()
        with contextlib.suppress(KeyboardInterrupt), _interrupted_at(step) as struck:
            future.result()
        waits.set()  # if it came to no wait
        thread.join()
        assert results == [step]
        strikes += bool(struck)
    assert strikes > 20


def _said_by(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Is set when a thread comes to wait for an answer, and when the loop has put slots on offer."""
    waits, offered = threading.Event(), threading.Event()
    put, set_patience, wait_on = Offers.put, JobQueue.set_patience, SharedCondition.wait

    def putting(offers: Offers, slots: Iterable[int]) -> None:
        put(offers, slots)
        offered.set()

    def setting(queue: JobQueue, timeout: float | None) -> None:
        waits.set()
        set_patience(queue, timeout)

    def waiting(condition: SharedCondition, timeout: float | None = None) -> bool:
        waits.set()
        return wait_on(condition, timeout)

    monkeypatch.setattr(Offers, "put", putting)
    monkeypatch.setattr(JobQueue, "set_patience", setting)
    monkeypatch.setattr(SharedCondition, "wait", waiting)
    return waits, offered


def _result_of(future: JobFuture[int]) -> int:
    results: list[Any] = []
    thread = _results_of(future, results)
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the result is awaited for ever"
    result: int = results[0]
    return result


def _line_of(frame: FrameType) -> str:
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()


@contextlib.contextmanager
def _interrupted_at(step: int, strike: Callable[[], object] | None = None) -> Iterator[list[str]]:
    """Raises KeyboardInterrupt, or does `strike`, at the so-manieth line that this thread runs of ours.

    But not at a `with`, on the way out of which no signal is looked at, though a tracer is called;
    nor in a condition's wait, which is as the stdlib's.
    """
    struck: list[str] = []
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        name = frame.f_code.co_filename
        if "ezpq_exec" not in name or name.endswith("condition.py"):
            return None
        if event == "line" and not _line_of(frame).startswith("with "):
            lines += 1
            if lines == step:
                struck.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
                sys.settrace(None)
                if strike is None:
                    raise KeyboardInterrupt
                strike()
        return trace

    before = sys.gettrace()  # coverage's, perhaps
    sys.settrace(trace)
    try:
        yield struck
    finally:
        sys.settrace(before)

"""A defect of ours strikes the loop, at any point of a turn: whoever waits is told, and all ends."""

from __future__ import annotations

import dis
import functools
import inspect
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, as_completed, wait
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import ezpq_exec
from ezpq_exec import JobFuture, PriorityExecutor, Verdict, wreck
from ezpq_exec.desk import Desk
from ezpq_exec.engines.base import Setup
from ezpq_exec.engines.threads import ThreadEngine
from ezpq_exec.jobs import Call, Job
from ezpq_exec.mailbox import Mailbox
from ezpq_exec.options import Options
from ezpq_exec.resolver import Resolver
from ezpq_exec.scheduler import Scheduler
from gates import PATIENCE, Gate, hold
from workload import add, fail

PACKAGE = str(Path(ezpq_exec.__file__).parent)
# To strike where threads are woken is to strike the standard library's own futures; what an engine
# has half done in its own books it alone could undo; what a weak reference calls is only shown.
_PARTS = ("condition.", "lightfuture.", "inbox.", "engines/", "lanetable.")
SPARED = tuple(f"{PACKAGE}/{part}" for part in _PARTS)


class PlantedError(Exception):
    """A defect."""


class Striker:
    """Raises in the loop's thread, once: when it calls something for the n-th time since `arm`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.strikes_at: float = float("inf")
        self.struck: str | None = None
        self._is_armed = False
        run = Desk._run

        def watched_run(loop: Desk) -> None:
            sys.setprofile(self._watch)
            run(loop)
            sys.setprofile(None)

        monkeypatch.setattr(Desk, "_run", watched_run)

    def arm(self, strikes_at: float) -> None:
        """From now on calls are counted."""
        self.calls, self.strikes_at, self.struck, self._is_armed = 0, strikes_at, None, True

    def disarm(self) -> None:
        """From now on they are not."""
        self._is_armed = False

    def _watch(self, frame: FrameType, event: str, what: object) -> None:
        if not self._is_armed or self.struck or event not in {"call", "c_call"}:
            return
        code = frame.f_code
        name = code.co_filename
        is_ours = name.startswith(PACKAGE) and not name.startswith(SPARED)
        if getattr(what, "__name__", "") == "__exit__":
            return  # a lock's, in C, which a defect of ours cannot keep from being released
        if is_ours and not goes_on(frame) and not is_in_callback(frame):
            self.calls += 1
            if self.calls >= self.strikes_at:
                self.struck = f"{code.co_name} at line {frame.f_lineno} of {code.co_filename}"
                raise PlantedError(self.struck)


def is_in_callback(frame: FrameType | None) -> bool:
    """Whether what is raised is only shown: in a future's callbacks, or when something is dropped."""
    while frame is not None:
        code = frame.f_code
        if code.co_name in {"_invoke_callbacks", "__del__"} or code.co_filename == weakref.__file__:
            return True
        frame = frame.f_back
    return False


def goes_on(frame: FrameType) -> bool:
    """Whether it is a generator's, past its start: no call, and what is raised at its close is only shown."""
    return bool(frame.f_code.co_flags & inspect.CO_GENERATOR) and frame.f_lasti > start(
        frame.f_code
    )


@functools.cache
def start(code: CodeType) -> int:
    """Where the frame of a generator is when it is first asked for something."""
    resumes = (step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")
    return next(resumes, -1)  # 3.10 has no such instruction: nothing has been executed


@pytest.fixture
def striker(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Striker]:
    """What strikes; the loop's last words are not shown."""
    with caplog.at_level(logging.CRITICAL + 1, "ezpq_exec"):
        yield Striker(monkeypatch)


class Crowd:
    """Jobs of all kinds, and threads that want all kinds of things of their executor."""

    def __init__(self, executor: PriorityExecutor, gate: Gate) -> None:
        self.executor = executor
        self.called: list[Future[Any]] = []
        executor.pause()
        submit = executor.submit
        on = executor.options
        self.futures: list[JobFuture[Any]] = [
            *(submit(add, n, n) for n in range(6)),
            on(lane="a", stop_on_lane_error=True).submit(fail, ValueError, "no"),
            *(on(lane="a", stop_on_lane_error=True).submit(add, n, n) for n in range(3)),
            on(retries=2).submit(fail, ValueError, "never"),
            on(timeout=30, priority=3).submit(add, 1, 2),
            on(queue_timeout=0.001).submit(add, 1, 2),
            on(priority=900).submit(hold, gate.path),
            on(priority=901).submit(add, 1, 1),
            on(priority=902).submit(add, 1, 1),
        ]
        for future in self.futures:
            future.add_done_callback(self.called.append)
        first, last = self.futures[0], self.futures[-1]
        self._wants: list[Callable[[], object]] = [
            lambda: wait(self.futures),
            lambda: list(as_completed(list[Future[Any]](self.futures))),
            lambda: list(ezpq_exec.as_completed(self.futures)),
            lambda: first.exception(PATIENCE),
            executor.stats,
            lambda: last.info,
            self.futures[-2].kill,
            lambda: self.futures[-3].info,
            lambda: last.reprioritize(5),
            executor.stats,
            last.cancel,
            gate.open,
            self.submit_and_wait,
            lambda: executor.resize(1),
            executor.stats,
        ]
        self._threads = [threading.Thread(target=self._want, args=(w,)) for w in self._wants]

    def _want(self, what: Callable[[], object]) -> None:
        try:
            what()
        except (BrokenExecutor, CancelledError, PlantedError):
            pass  # that is an answer, too

    def submit_and_wait(self) -> None:
        """A job that this thread hands over by itself, and fetches, if it can."""
        self.executor.submit(add, 1, 1).exception(PATIENCE)

    def goes_on(self) -> None:
        """From here on the loop has much to do."""
        self.executor.resume()
        for thread in self._threads:
            thread.start()

    def is_through(self) -> None:
        """Nobody waits, and all is over."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert not wait(self.futures, PATIENCE).not_done
        self.executor.shutdown()
        assert len(self.called) == len(self.futures)
        for future in self.futures:
            assert future.info.verdict is not None
            assert future.info.state.value == "done"


def strike_everywhere(
    striker: Striker, make_gate: Callable[[], Gate], engine: Any, trials: int
) -> None:
    """Find out how many calls there are, then strike at so many of them."""
    struck = 0
    calls = 0
    for trial in range(trials + 1):
        crowd = Crowd(PriorityExecutor(2, engine=engine), make_gate())
        striker.arm(float("inf") if trial == 0 else 1 + (trial - 1) * calls // trials)
        crowd.goes_on()
        crowd.is_through()
        striker.disarm()
        calls = max(calls, striker.calls)
        struck += striker.struck is not None
    assert struck > trials / 2


def test_wherever_it_strikes_nobody_is_left_waiting(
    striker: Striker, make_gate: Callable[[], Gate]
) -> None:
    """Each future is resolved, each question answered, each callback called, and all threads end."""
    strike_everywhere(striker, make_gate, "threads", 150)


@pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
def test_wherever_it_strikes_no_process_is_left(
    striker: Striker, make_gate: Callable[[], Gate]
) -> None:
    """The same with workers that are processes: they are ended, with what they run."""
    strike_everywhere(striker, make_gate, "processes", 40)


class Deaf(ThreadEngine):
    """Comes to grief whenever it is asked for anything."""

    is_deaf = False

    def wait(self, timeout: float | None) -> Any:
        if self.is_deaf:
            raise PlantedError("I cannot hear")
        return super().wait(timeout)


def test_an_engine_that_fails_for_good_leaves_nobody_waiting(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even its end can be waited for: that is logged, and the executor has ended all the same."""
    engine = Deaf()
    with caplog.at_level(logging.CRITICAL):
        executor = PriorityExecutor(1, engine=engine)
        busy = executor.submit(hold, gate.path)
        gate.heard()
        waits = executor.submit(add, 1, 1)
        engine.is_deaf = True
        executor.resume()
        for future in (busy, waits):
            assert isinstance(future.exception(PATIENCE), BrokenExecutor)
            assert future.info.verdict is Verdict.BROKEN
        executor.shutdown()
    assert "its engine did not end" in caplog.text
    assert isinstance(executor.stats().waiting, int)
    gate.open()


def test_an_engine_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some patience, during which questions are answered; it was told to kill."""
    monkeypatch.setattr(wreck, "PATIENCE", 0.02)
    closed: list[bool] = []
    answered: list[None] = []

    class Endless(ThreadEngine):
        def close(self, *, kill: bool = False) -> None:
            closed.append(kill)

    engine = Endless()
    engine.open(Setup())
    with pytest.raises(TimeoutError, match=r"did not end within 0\.02 s"):
        wreck.end(engine, Mailbox[Any](engine.wake), lambda: answered.append(None))
    assert closed == [True]
    assert answered


def test_a_resolver_that_fails_for_good_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where the defect is in what resolves futures, each is resolved."""

    def no_reading(*_: object) -> None:
        raise PlantedError("I cannot read")

    with caplog.at_level(logging.CRITICAL + 1, "ezpq_exec"):
        executor = PriorityExecutor(1, engine="threads")
        monkeypatch.setattr(Resolver, "_resolve", no_reading)
        futures = [executor.submit(add, n, 1) for n in range(3)]
        for future in futures:
            assert isinstance(future.exception(PATIENCE), BrokenExecutor)
        executor.shutdown()


class FetchedFuture:
    """What a job has whose result is on its way: it is delivered just when somebody looks for it."""

    owner = None

    def __init__(self, job: Job) -> None:
        self._job = job

    def cancelled(self) -> bool:
        self._job.future = None
        return False

    def done(self) -> bool:
        return True


def test_what_other_threads_do_meanwhile_leaves_nobody_waiting(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the loop fails, a thread is making a job, and another delivers one: all others are told."""
    half_made = Job.__new__(Job)
    delivered = Job(0, Call(add, (1, 1), {}), Options(), None, 0.0)
    delivered.future = FetchedFuture(delivered)  # type: ignore[assignment]

    def no_pause(*_: object) -> None:
        raise PlantedError("I cannot rest")

    with caplog.at_level(logging.CRITICAL + 1, "ezpq_exec"):
        executor = PriorityExecutor(1, engine="threads")
        futures = [executor.submit(hold, gate.path), executor.submit(add, 1, 1)]
        gate.heard()
        monkeypatch.setattr(Scheduler, "next_deadline", no_pause)
        executor.resume()
        for future in futures:
            assert isinstance(future.exception(PATIENCE), BrokenExecutor)
        gate.open()
        executor.shutdown()
    assert delivered.future is None
    assert not hasattr(half_made, "future")


def test_who_cancels_just_when_it_strikes_is_waited_for_by_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A job is about to be told that it runs, is cancelled, and the loop fails: `wait` ends."""

    def cancelled_and_struck(future: JobFuture[Any]) -> bool:
        Future.cancel(future)  # as another thread does that has not told the loop yet
        raise PlantedError("I cannot tell")

    with caplog.at_level(logging.CRITICAL + 1, "ezpq_exec"):
        executor = PriorityExecutor(1, engine="threads")
        executor.pause()
        future = executor.submit(add, 1, 1)
        monkeypatch.setattr(JobFuture, "announce", cancelled_and_struck)
        executor.resume()
        executor.shutdown()
        assert not wait([future], PATIENCE).not_done
        assert future.cancelled()
        assert future.info.verdict is Verdict.CANCELLED


def test_while_jobs_run_that_cannot_be_killed_questions_are_answered(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a defect the executor ends when its threads do; nobody waits for that who only asks."""

    def no_pause(*_: object) -> None:
        raise PlantedError("I cannot rest")

    with caplog.at_level(logging.CRITICAL + 1, "ezpq_exec"):
        executor = PriorityExecutor(1, engine="threads")
        future = executor.submit(hold, gate.path)
        gate.heard()
        monkeypatch.setattr(Scheduler, "next_deadline", no_pause)
        executor.resume()
        assert isinstance(future.exception(PATIENCE), BrokenExecutor)
        assert isinstance(executor.stats().waiting, int)
        assert not future.kill()
        gate.open()
        executor.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
def test_what_cannot_be_delivered_is_its_jobs_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that is delivered by a courier, and cannot be, fails its future with the reason."""

    def no_reading(*_: object) -> None:
        raise OSError(5, "Input/output error")

    from ezpq_exec.engines import capture

    with PriorityExecutor(1) as executor:
        monkeypatch.setattr(capture, "_end_of", no_reading)
        future = executor.options(capture=True).submit(add, 1, 1)
        assert isinstance(future.exception(PATIENCE), OSError)
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2

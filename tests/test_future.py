"""A future alone, with an owner that answers as the test says."""

from __future__ import annotations

import sys
from concurrent.futures import Future, wait
from typing import Any

import pytest

from ezpq_exec import JobFuture
from ezpq_exec.condition import SharedCondition
from ezpq_exec.jobs import Call, Job, Outcome, State, Verdict
from ezpq_exec.options import Options
from ezpq_exec.packing import pack
from ezpq_exec.resolver import Resolver


class Owner:
    """Hears of what a future asks of its loop."""

    def __init__(self, *, has_begun: bool = False) -> None:
        self.has_begun = has_begun
        self.heard: list[str] = []

    def hold(self, job: Job) -> bool:
        """The job is taken back, unless its worker has begun it."""
        self.heard.append("hold")
        job.ahead = False
        return not self.has_begun

    def cancelled(self, job: Job) -> None:
        """The job's future was cancelled."""
        self.heard.append("cancelled")

    def check_process(self) -> None:
        """This process is that of the executor."""


def future_of(owner: Owner, *, ahead: bool) -> JobFuture[Any]:
    job = Job(1, Call(abs, (1,), {}), Options(), b"", 0.0)
    job.ahead = ahead
    return JobFuture(job, owner)  # type: ignore[arg-type]


def test_a_job_that_only_waits_is_cancelled_without_asking() -> None:
    """And its owner is told once, however often it is cancelled."""
    owner = Owner()
    future = future_of(owner, ahead=False)
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled()
    assert owner.heard == ["cancelled"]


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_job_in_a_workers_queue_is_cancelled_only_once_it_is_back(has_begun: bool) -> None:
    """Its worker may have begun it unheard: then it cannot be cancelled, and is not."""
    owner = Owner(has_begun=has_begun)
    future = future_of(owner, ahead=True)
    assert future.cancel() is not has_begun
    assert future.cancelled() is not has_begun
    assert owner.heard == (["hold"] if has_begun else ["hold", "cancelled"])


def attributes_of(future: Future[Any]) -> dict[str, Any]:
    """All that the stdlib's own future has, as this one says it; but for the condition."""
    return {name: getattr(future, name) for name in vars(Future()) if name != "_condition"}


def test_it_begins_as_the_stdlibs() -> None:
    """All the attributes are there that the stdlib's methods ask for, with the same values."""
    assert attributes_of(future_of(Owner(), ahead=False)) == attributes_of(Future())


def test_one_that_nobody_waits_for_ends_as_the_stdlibs() -> None:
    """What is set by us, to be quick, is all that the stdlib's methods set."""
    ours, theirs = future_of(Owner(), ahead=False), Future[int]()
    assert ours.forestall()
    theirs.set_running_or_notify_cancel()
    assert attributes_of(ours) == attributes_of(theirs)
    ours.resolve(3)
    theirs.set_result(3)
    assert attributes_of(ours) == attributes_of(theirs)
    assert ours.result() == 3
    assert wait([ours], timeout=0) == ({ours}, set())


def test_what_is_kept_of_one_future_is_not_kept_of_another() -> None:
    """Callbacks and waiters are those of the one that they were given to."""
    one, other = future_of(Owner(), ahead=False), future_of(Owner(), ahead=False)
    heard: list[Any] = []
    one.add_listener(heard.append)
    other.resolve(1)
    assert heard == []
    one.resolve(2)
    assert heard == [one]


def test_one_that_nobody_has_asked_for_is_resolved_in_one_step() -> None:
    """And it is then as the stdlib's, in all that can be asked of it."""
    ours, theirs = future_of(Owner(), ahead=True), Future[int]()
    assert ours.is_unseen
    assert ours.resolve_unseen(3)
    theirs.set_running_or_notify_cancel()
    theirs.set_result(3)
    assert attributes_of(ours) == attributes_of(theirs)
    assert (ours.done(), ours.result(), ours.exception(), ours.cancel()) == (True, 3, None, False)
    assert wait([ours], timeout=0) == ({ours}, set())
    assert not ours.is_unseen
    assert not ours.resolve_unseen(4)
    assert ours.result(timeout=0) == 3


def test_one_that_somebody_has_asked_for_is_not_resolved_in_one_step() -> None:
    """It may be cancelled, or have callbacks, or somebody to be woken: then nothing is done to it."""
    cancelled, awaited, called = (future_of(Owner(), ahead=False) for _ in range(3))
    assert cancelled.cancel()
    wait([awaited], timeout=0)
    called.add_listener(lambda future: None)
    for future in (cancelled, awaited, called):
        assert not future.is_unseen
        assert not future.resolve_unseen(3)
    assert cancelled.cancelled()
    assert not awaited.done()
    assert not called.done()


def heard_while_settled(step: int, value: Any) -> tuple[JobFuture[Any], list[Any]]:
    """Ask to hear of the beginning of a job before one of the steps by which its end is told."""
    job = Job(1, Call(abs, (1,), {}), Options(), b"", 0.0)
    job.ahead, job.state = True, State.DONE
    owner: Any = Owner()
    future: JobFuture[Any] = JobFuture(job, owner)
    job.future = future
    wait([future], timeout=0)  # so it is not resolved in one step
    heard: list[Any] = []
    lines = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        if event == "line" and not SharedCondition.is_held():  # else another thread would wait
            lines += 1
            if lines == step:
                future.add_start_listener(heard.append)
        return trace

    before = sys.gettrace()
    resolver = Resolver("test", lambda wrong, right: None)
    outcome = Outcome(Verdict.RETURNED, pack(value), packed=True, started=1.0, ended=2.0)
    sys.settrace(trace)
    try:
        resolver.settle(job, outcome)
    finally:
        sys.settrace(before)
    assert lines >= step, "there are no more steps"
    return future, heard


@pytest.mark.parametrize("step", range(1, 35))
def test_whoever_asks_to_hear_of_the_beginning_is_told_though_the_end_is_just_told(
    step: int,
) -> None:
    """A job that was queued may begin and end unheard: then both are told together."""
    future, heard = heard_while_settled(step, 3)
    assert heard == [future]
    assert future.result(timeout=0) == 3

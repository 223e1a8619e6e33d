"""Another attempt, for the jobs that ask for it, after the failures that deserve it."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from conftest import Maker, eventually
from ezpq_exec import JobKilled, JobTimeout, RemoteError, State, Verdict, WorkerDied
from gates import PATIENCE, Gate, hold, say
from workload import (
    HoldsWhenUnpickled,
    TwoArguments,
    add,
    die,
    fail,
    flaky,
    forever,
    hold_and_fail,
    times_called,
)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Where jobs leave a trace of each time that they ran."""
    return str(tmp_path / "trace")


def contexts(error: BaseException | None) -> list[BaseException]:
    """What a traceback shows of the failures before `error`, the latest first, with itself."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return [error for error in found if type(error).__name__ != "_RemoteTraceback"]


def test_a_job_that_raises_what_was_named_is_tried_again(make_executor: Maker, trace: str) -> None:
    executor = make_executor(2)
    options = executor.options(retries=3, retry_on=ValueError)
    future = options.submit(flaky, trace, 2, fail, UnicodeError, "not yet")
    assert future.result(PATIENCE) == 3
    assert (future.info.attempt, future.info.retries) == (3, 3)
    assert future.info.verdict is Verdict.RETURNED
    assert executor.stats().retried == 2
    assert executor.stats().settled == {Verdict.RETURNED: 1}


def test_the_last_failure_has_those_before_it_as_context(make_executor: Maker, trace: str) -> None:
    options = make_executor(1).options(retries=2, retry_on=(KeyError, ValueError))
    future = options.submit(flaky, trace, 9, fail, ValueError, "no")
    error = future.exception(PATIENCE)
    assert [str(each) for each in contexts(error)] == ["no"] * 3
    assert error is not None
    assert error.__context__ is contexts(error)[1]
    assert future.info.attempt == 3
    assert len(Path(trace).read_bytes()) == 3
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert text.count("ValueError: no") >= 3


def test_what_was_not_named_is_final(make_executor: Maker, trace: str) -> None:
    executor = make_executor(1)
    for options in ({}, {"retry_on": KeyError}, {"retry_on": (KeyError, OSError)}):
        view = executor.options(retries=5, **options)
        future = view.submit(flaky, trace, 99, fail, ValueError)
        assert isinstance(future.exception(PATIENCE), ValueError)
        assert future.info.attempt == 1
    assert len(Path(trace).read_bytes()) == 3


def test_without_retries_no_job_runs_twice(make_executor: Maker, trace: str) -> None:
    executor = make_executor(2)
    future = executor.options(retry_on=ValueError).submit(flaky, trace, 9, fail, ValueError)
    assert isinstance(future.exception(PATIENCE), ValueError)
    if executor.capabilities.isolates:
        future = executor.submit(flaky, trace, 9, die, 1)
        assert isinstance(future.exception(PATIENCE), WorkerDied)
    executor.shutdown()
    assert len(Path(trace).read_bytes()) == (2 if executor.capabilities.isolates else 1)


@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")
def test_a_job_whose_worker_died_is_tried_again(make_executor: Maker, trace: str) -> None:
    future = make_executor(2).options(retries=1).submit(flaky, trace, 1, die, 1)
    assert future.result(PATIENCE) == 2
    assert future.info.exitcode == 0


@pytest.mark.needs("kills")
def test_a_job_that_timed_out_is_tried_again(make_executor: Maker, trace: str) -> None:
    executor = make_executor(2).options(retries=1, timeout=1)
    assert executor.submit(flaky, trace, 1, forever).result(PATIENCE) == 2


@pytest.mark.lacks("kills")
def test_a_job_that_runs_on_after_its_timeout_is_not_tried_again(
    make_executor: Maker, trace: str, gate: Gate
) -> None:
    """Else it would run twice at once."""
    executor = make_executor(2)
    options = executor.options(retries=3, timeout=0.05)
    future = options.submit(flaky, trace, 9, hold, gate.path)
    assert isinstance(future.exception(PATIENCE), JobTimeout)
    gate.open()
    executor.shutdown()
    assert len(Path(trace).read_bytes()) == 1


@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")
def test_poison_stops_at_its_retries_and_harms_no_other_job(make_executor: Maker) -> None:
    """A job that kills its worker at each attempt says how many there were."""
    executor = make_executor(2)
    poison = executor.options(retries=2, name="poison").submit(die, 5)
    others = [executor.submit(add, number, 1) for number in range(50)]
    error = poison.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert "poison" in str(error)
    assert "attempt 3 of 3" in str(error)
    assert len(contexts(error)) == 3
    assert [other.result(PATIENCE) for other in others] == list(range(1, 51))
    stats = executor.stats()
    assert (stats.workers_died, stats.retried) == (3, 2)


@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")
def test_failures_of_different_kinds_are_all_there(make_executor: Maker, trace: str) -> None:
    """The death of the first attempt is the context of what the second raised, and final."""
    options = make_executor(1).options(retries=3)
    future = options.submit(flaky_first_death, trace)
    error = future.exception(PATIENCE)
    assert [type(each) for each in contexts(error)] == [ValueError, WorkerDied]
    assert future.info.attempt == 2


def flaky_first_death(trace: str) -> None:
    """Dies, then raises."""
    if times_called(trace) == 1:
        die(1)
    raise ValueError("second")


# A lender forks: its workers have whatever a library has installed in this process for pickling.
@pytest.mark.lacks("borrows")
@pytest.mark.needs("isolates")
def test_an_exception_that_cannot_be_carried_is_known_by_its_name(
    make_executor: Maker, trace: str
) -> None:
    options = make_executor(1).options(retries=1, retry_on=TwoArguments)
    future = options.submit(flaky, trace, 9, fail, TwoArguments, 1, 2)
    assert isinstance(future.exception(PATIENCE), RemoteError)
    assert future.info.attempt == 2


def test_between_attempts_a_job_waits_in_its_place(make_executor: Maker, gate: Gate) -> None:
    """More urgent ones go first; equals that came later do not. Its future says that it runs."""
    executor = make_executor(1)
    options = executor.options(retries=1, retry_on=ValueError)
    future = options.submit(hold_and_fail, gate.path, ValueError)
    gate.heard()
    urgent = executor.options(priority=0).submit(hold, gate.path, "urgent")
    executor.submit(say, gate.path, "later")
    gate.open()
    assert gate.heard() == ["urgent"]
    assert eventually(lambda: future.info.state is State.WAITING)  # once its error is unpickled
    assert future.running()
    assert not future.cancel()
    assert (future.info.state, future.info.attempt) == (State.WAITING, 1)
    gate.open()
    assert urgent.result(PATIENCE)
    assert gate.heard() != ["later"]
    gate.open()
    assert gate.heard() == ["later"]
    assert isinstance(future.exception(PATIENCE), ValueError)


def test_kill_ends_a_job_that_waits_for_its_next_attempt(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    options = executor.options(retries=1, retry_on=ValueError)
    future = options.submit(hold_and_fail, gate.path, ValueError)
    gate.heard()
    executor.options(priority=0).submit(hold, gate.path, "urgent")
    gate.open()
    assert gate.heard() == ["urgent"]
    assert eventually(lambda: future.info.state is State.WAITING)  # once its error is unpickled
    assert future.kill()
    error = future.exception(PATIENCE)
    assert isinstance(error, JobKilled)
    assert isinstance(error.__context__, ValueError)
    assert future.info.verdict is Verdict.KILLED


@pytest.mark.needs("kills")
def test_a_job_that_was_killed_is_not_tried_again(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(1)
    future = executor.options(retries=5).submit(hold, gate.path)
    gate.heard()
    assert future.kill()
    assert isinstance(future.exception(PATIENCE), JobKilled)
    assert executor.stats().retried == 0


def test_a_shutdown_that_cancels_grants_no_further_attempt(
    make_executor: Maker, gate: Gate
) -> None:
    """A job that waits for one has the failure that it had; one that fails later has that."""
    executor = make_executor(1)
    options = executor.options(retries=5, retry_on=ValueError)
    future = options.submit(hold_and_fail, gate.path, ValueError, "first")
    gate.heard()
    urgent = options.options(priority=0).submit(hold_and_fail, gate.path, ValueError, "urgent")
    gate.open()
    gate.heard()
    executor.shutdown(wait=False, cancel_futures=True)
    assert str(future.exception(PATIENCE)) == "first"
    info = future.info
    assert (info.verdict, info.attempt) == (Verdict.RAISED, 1)
    assert None not in (info.started, info.ended, info.runtime)
    gate.open()
    assert str(urgent.exception(PATIENCE)) == "urgent"
    executor.shutdown()


def test_shutdown_waits_for_attempts(make_executor: Maker, trace: str) -> None:
    executor = make_executor(2)
    options = executor.options(retries=4, retry_on=ValueError)
    future = options.submit(flaky, trace, 4, fail, ValueError)
    executor.shutdown()
    assert future.result(0) == 5


@pytest.mark.needs("isolates")
def test_the_slot_is_free_while_an_exception_is_unpickled(make_executor: Maker, gate: Gate) -> None:
    """Which may take its time, and decides on another attempt; the executor waits for it."""
    executor = make_executor(1)
    options = executor.options(retries=1, retry_on=HoldsWhenUnpickled, lane="a")
    future = options.submit(fail, HoldsWhenUnpickled, gate.path)
    after = executor.options(lane="a").submit(say, gate.path, "after")
    gate.heard()
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    assert future.running()
    stats = executor.stats()
    assert (stats.running, stats.waiting) == (1, 1)  # its lane is still its own
    executor.shutdown(wait=False)
    gate.open()
    assert "after" in gate.heard(2)  # the second attempt decides nothing, so none waits for it
    gate.open()
    assert isinstance(future.exception(PATIENCE), HoldsWhenUnpickled)
    assert future.info.attempt == 2
    after.result(PATIENCE)


@pytest.mark.needs("isolates")
def test_kill_ends_a_job_whose_exception_is_being_unpickled(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    options = executor.options(retries=9, retry_on=HoldsWhenUnpickled)
    future = options.submit(fail, HoldsWhenUnpickled, gate.path)
    gate.heard()
    assert future.kill()
    assert isinstance(future.exception(PATIENCE), JobKilled)
    gate.open()
    executor.shutdown()
    assert executor.stats().retried == 0


def test_the_same_exception_raised_again_and_again_makes_no_circle(
    make_executor: Maker, trace: str
) -> None:
    same = ValueError("always this one")

    def job() -> None:
        times_called(trace)
        raise same

    future = make_executor(1).options(retries=3, retry_on=ValueError).submit(job)
    assert str(future.exception(PATIENCE)) == "always this one"
    assert len(Path(trace).read_bytes()) == 4


def test_a_lane_goes_on_only_when_no_attempt_is_left(make_executor: Maker, trace: str) -> None:
    """Jobs of a lane are in order though one is tried again; and it did not fail if it succeeds."""
    lane = make_executor(3).options(lane="a", stop_on_lane_error=True)
    first = lane.options(retries=2, retry_on=ValueError).submit(flaky, trace, 2, fail, ValueError)
    second = lane.submit(times_called, trace)
    assert (first.result(PATIENCE), second.result(PATIENCE)) == (3, 4)


def test_map_may_have_retries(make_executor: Maker, trace: str) -> None:
    options = make_executor(1).options(retries=3, retry_on=ValueError)
    calls = ([trace] * 4, [3] * 4, [fail] * 4, [ValueError] * 4)
    assert sorted(options.map(flaky, *calls)) == [4, 5, 6, 7]

"""One job of a lane at a time, in order; and what becomes of those behind one that failed."""

from __future__ import annotations

import gc
import os
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Maker, eventually
from ezpq_exec import JobFuture, LaneStopped, PriorityExecutor, Verdict
from gates import PATIENCE, Gate, hold, say
from workload import (
    HoldsWhenUnpickled,
    WillNotPickle,
    add,
    die,
    echo,
    fail,
    forever,
    hold_and_fail,
)


def test_jobs_of_a_lane_run_one_after_another(make_executor: Maker, gate: Gate) -> None:
    """However many workers there are, and whatever else runs beside them."""
    executor = make_executor(3)
    jobs = [executor.options(lane="a").submit(hold, gate.path, number) for number in range(4)]
    for number in range(4):
        assert gate.heard() == [str(number)]
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2
        stats = executor.stats()
        assert (stats.running, stats.waiting) == (1, 3 - number)
        assert gate.all_heard() == []
        gate.open()
    for job in jobs:
        job.result(PATIENCE)


def test_lanes_run_side_by_side(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(3)
    for lane in ("a", "a", "b", "b", None, None):
        executor.options(lane=lane).submit(hold, gate.path, lane)
    assert sorted(gate.heard(3)) == ["None", "a", "b"]


def test_equal_keys_are_one_lane(make_executor: Maker, gate: Gate) -> None:
    """Whatever is hashable is a key, and what is equal is the same one."""
    executor = make_executor(4)
    for lane in (("a", 1), ("a", 1.0), 7, 7.0, frozenset({1, 2}), frozenset({2, 1})):
        executor.options(lane=lane).submit(hold, gate.path)
    gate.heard(3)
    stats = executor.stats()
    assert (stats.running, stats.waiting) == (3, 3)


def test_a_lane_goes_by_priority_then_submission(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    lane = executor.options(lane="a")
    first = lane.submit(hold, gate.path, "first")
    gate.heard()
    order = [3, 1, 2, 1]
    jobs = [
        lane.options(priority=priority).submit(say, gate.path, f"{priority}{number}")
        for number, priority in enumerate(order)
    ]
    assert jobs[0].reprioritize(0)
    gate.open()
    assert gate.heard(4) == ["30", "11", "13", "22"]
    assert first.result(PATIENCE)


def test_jobs_with_a_lane_and_others_share_workers_by_priority(
    make_executor: Maker, gate: Gate
) -> None:
    executor = make_executor(1)
    executor.submit(hold, gate.path, "held")
    gate.heard()
    for name, priority, lane in [("c", 3, "x"), ("b", 2, None), ("a", 1, "x"), ("d", 4, "y")]:
        executor.options(priority=priority, lane=lane).submit(say, gate.path, name)
    gate.open()
    assert gate.heard(4) == ["a", "b", "c", "d"]


def stopped(
    executor: PriorityExecutor,
    gate: Gate,
    submit: Callable[[Any], JobFuture[Any]],
    spoil: Callable[[JobFuture[Any]], object] = lambda _: None,
) -> LaneStopped | None:
    """What a job raises whose predecessor was submitted, and perhaps spoilt; None if it ran."""
    lane = executor.options(lane="a", stop_on_lane_error=True)
    first = lane.submit(hold, gate.path)
    gate.heard()
    bad = submit(lane)
    after = lane.submit(add, 1, 1)
    spoil(bad)
    gate.open()
    assert first.result(PATIENCE)
    error = after.exception(PATIENCE)
    if error is None:
        assert after.result() == 2
        return None
    assert isinstance(error, LaneStopped)
    assert bad.done()  # nobody hears of a consequence before its cause
    assert error.predecessor == bad.info.id
    assert error.predecessor_name == bad.info.name
    assert bad.info.verdict is not None
    assert error.verdict == bad.info.verdict.value
    assert after.info.verdict is Verdict.SKIPPED
    assert (after.info.started, after.info.attempt) == (None, 0)
    return error


def test_a_job_whose_predecessor_raised_is_not_run(make_executor: Maker, gate: Gate) -> None:
    """It says so, and its exception can be carried about."""
    executor = make_executor(2)
    error = stopped(executor, gate, lambda lane: lane.submit(fail, ValueError, "no"))
    assert error is not None
    assert "raised" in str(error)
    assert pickle.loads(pickle.dumps(error)).__dict__ == error.__dict__
    assert executor.stats().settled[Verdict.SKIPPED] == 1


@pytest.mark.needs("isolates")
def test_a_job_whose_predecessor_died_is_not_run(make_executor: Maker, gate: Gate) -> None:
    error = stopped(make_executor(2), gate, lambda lane: lane.submit(die, 3))
    assert error is not None
    assert error.verdict == "died"


def test_a_job_whose_predecessor_timed_out_is_not_run(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    job = forever if executor.capabilities.kills else hold
    args = () if job is forever else (gate.path,)

    def submit(lane: Any) -> JobFuture[Any]:
        future: JobFuture[Any] = lane.options(timeout=0.2).submit(job, *args)
        future.add_done_callback(lambda _: gate.open())  # where it cannot be killed
        return future

    error = stopped(executor, gate, submit)
    assert error is not None
    assert error.verdict == "timed out"


@pytest.mark.needs("isolates")
def test_a_job_whose_predecessor_did_not_pickle_is_not_run(
    make_executor: Maker, gate: Gate
) -> None:
    error = stopped(make_executor(2), gate, lambda lane: lane.submit(echo, WillNotPickle()))
    assert error is not None
    assert error.verdict == "raised"


def test_a_job_whose_predecessor_expired_is_not_run(make_executor: Maker, gate: Gate) -> None:
    """Its turn never came; but it would have come before."""
    executor = make_executor(2)
    error = stopped(
        executor,
        gate,
        lambda lane: lane.options(queue_timeout=0.05).submit(add, 1, 1),
        lambda job: job.exception(PATIENCE),
    )
    assert error is not None
    assert error.verdict == "expired"


def test_a_job_whose_predecessor_was_cancelled_runs(make_executor: Maker, gate: Gate) -> None:
    """Who was taken back did not fail: it is as if it had never come."""
    executor = make_executor(2)
    cancelled = stopped(executor, gate, lambda lane: lane.submit(add, 2, 2), lambda f: f.cancel())
    assert cancelled is None


@pytest.mark.needs("kills")
def test_a_job_whose_predecessor_was_killed_is_not_run(make_executor: Maker, gate: Gate) -> None:
    lane = make_executor(2).options(lane="a", stop_on_lane_error=True)
    first = lane.submit(hold, gate.path)
    after = lane.submit(add, 1, 1)
    gate.heard()
    assert first.kill()
    error = after.exception(PATIENCE)
    assert isinstance(error, LaneStopped)
    assert error.verdict == "killed"


@pytest.mark.needs("isolates")
def test_a_skipped_job_is_told_after_its_predecessor(make_executor: Maker, gate: Gate) -> None:
    """Whoever hears that it was skipped finds the cause, even if that takes long to be unpickled."""
    executor = make_executor(2)
    lane = executor.options(lane="a", stop_on_lane_error=True)
    bad = lane.submit(fail, HoldsWhenUnpickled, gate.path)
    after = [lane.submit(add, 1, 1) for _ in range(2)]
    gate.heard()
    eventually(lambda: executor.stats().settled[Verdict.SKIPPED] == 2)
    executor.stats()  # a turn of the loop later
    assert not bad.done()
    assert not any(job.done() for job in after)
    seen: list[bool] = []
    for job in after:
        job.add_listener(lambda _: seen.append(bad.done()))
    gate.open()
    assert isinstance(bad.exception(PATIENCE), HoldsWhenUnpickled)
    assert all(isinstance(job.exception(PATIENCE), LaneStopped) for job in after)
    assert seen == [True, True]


def test_all_behind_a_failure_are_skipped_but_those_that_do_not_mind(
    make_executor: Maker, gate: Gate
) -> None:
    """Each names the one before it; and the first to run again makes it good for the next."""
    executor = make_executor(2)
    lane = executor.options(lane="a", stop_on_lane_error=True)
    bad = lane.submit(hold_and_fail, gate.path, ValueError)
    gate.heard()
    skipped = [lane.submit(add, 1, 1) for _ in range(3)]
    careless = lane.options(stop_on_lane_error=False).submit(add, 1, 1)
    last = lane.submit(add, 2, 2)
    gate.open()
    errors = [future.exception(PATIENCE) for future in skipped]
    assert [getattr(error, "predecessor", None) for error in errors] == [
        bad.info.id,
        skipped[0].info.id,
        skipped[1].info.id,
    ]
    assert {getattr(error, "first", None) for error in errors} == {bad.info.id}
    assert (careless.result(PATIENCE), last.result(PATIENCE)) == (2, 4)


def test_other_lanes_do_not_mind(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2).options(stop_on_lane_error=True)
    bad = executor.options(lane="a").submit(hold_and_fail, gate.path, ValueError)
    good = executor.options(lane="b").submit(add, 1, 1)
    assert good.result(PATIENCE) == 2
    gate.open()
    assert isinstance(bad.exception(PATIENCE), ValueError)


def test_a_lane_is_forgotten_with_its_last_job(make_executor: Maker) -> None:
    """A failure before that is no longer known, and nothing is kept of lanes that are empty."""

    class Key:
        """Nothing but itself."""

    executor = make_executor(2)
    key = Key()
    gone = weakref.ref(key)
    lane = executor.options(lane=key, stop_on_lane_error=True)
    bad = lane.submit(fail, ValueError)
    assert isinstance(bad.exception(PATIENCE), ValueError)
    executor.stats()  # now all that belongs to its end is done
    assert lane.submit(add, 1, 1).result(PATIENCE) == 2
    del key, lane, bad
    assert eventually(lambda: gc.collect() >= 0 and gone() is None)


def test_a_key_whose_comparison_raises_harms_nobody_else(make_executor: Maker, gate: Gate) -> None:
    """Keys are compared where jobs are submitted, and there it raises."""

    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise ValueError("beyond compare")

    executor = make_executor(2)
    held = executor.options(lane=Key()).submit(hold, gate.path)
    gate.heard()
    with pytest.raises(ValueError, match="beyond compare"):
        executor.options(lane=Key()).submit(add, 1, 1)
    gate.open()
    assert held.result(PATIENCE)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.lacks("kills")
def test_where_nothing_can_be_killed_a_lane_waits_until_the_job_returns(
    make_executor: Maker, gate: Gate
) -> None:
    """It is settled at its deadline, and keeps its lane as it keeps its slot."""
    executor = make_executor(3)
    lane = executor.options(lane="a")
    late = lane.options(timeout=0.05).submit(hold, gate.path)
    after = lane.submit(add, 1, 1)
    assert isinstance(late.exception(PATIENCE), TimeoutError)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    assert executor.stats().waiting == 1
    assert not after.done()
    gate.open()
    assert after.result(PATIENCE) == 2


@pytest.mark.needs("isolates")
@pytest.mark.lacks("borrows")
def test_a_lane_goes_on_after_a_death(make_executor: Maker) -> None:
    executor = make_executor(2)
    lane = executor.options(lane="a")
    jobs = [lane.submit(die, 1) if number % 2 else lane.submit(os.getpid) for number in range(6)]
    verdicts = [job.exception(PATIENCE) and job.info.verdict for job in jobs]
    assert verdicts == [None, Verdict.DIED] * 3


def test_shutdown_finishes_lanes(make_executor: Maker) -> None:
    executor = make_executor(2)
    jobs = [executor.options(lane=number % 3).submit(add, number, number) for number in range(60)]
    executor.shutdown()
    assert [job.result(0) for job in jobs] == [2 * number for number in range(60)]


def test_shutdown_can_cancel_what_waits_in_lanes(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    lane = executor.options(lane="a", stop_on_lane_error=True)
    running = lane.submit(hold_and_fail, gate.path, ValueError)
    gate.heard()
    waiting = [lane.submit(add, 1, 1) for _ in range(3)]
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    assert isinstance(running.exception(PATIENCE), ValueError)
    executor.shutdown()
    assert [job.info.verdict for job in waiting] == [Verdict.CANCELLED] * 3


def test_a_pause_holds_lanes(make_executor: Maker) -> None:
    executor = make_executor(2)
    executor.pause()
    jobs = [executor.options(lane="a").submit(add, number, 1) for number in range(3)]
    assert executor.stats().waiting == 3
    executor.resume()
    assert [job.result(PATIENCE) for job in jobs] == [1, 2, 3]


def test_map_may_have_a_lane(make_executor: Maker) -> None:
    """Then its calls run one after another, in order."""
    executor = make_executor(2)
    assert list(executor.options(lane=1).map(add, range(20), range(20))) == list(range(0, 40, 2))


def test_the_info_has_the_lane(make_executor: Maker) -> None:
    executor = make_executor(1)
    future = executor.options(lane=("a", 1)).submit(add, 1, 1)
    future.result(PATIENCE)
    assert future.info.lane == ("a", 1)
    assert future.info.to_dict()["lane"] == ("a", 1)

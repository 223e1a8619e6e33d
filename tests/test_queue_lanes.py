"""Lanes in a queue: one job of a lane at a time, and what a failure means for the next."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from multiprocessing import Process
from threading import Thread
from typing import Any

import pytest

import ezpq_exec as ezpq
from gates import Gate, hold
from queuework import fail, same
from workload import forever


@pytest.fixture(params=[Process, Thread], ids=["processes", "threads"])
def queue(request: pytest.FixtureRequest) -> Iterator[ezpq.Queue]:
    with ezpq.Queue(3, job_runner=request.param) as made:
        yield made


def test_jobs_of_a_lane_never_overlap(queue: ezpq.Queue) -> None:
    """Not even when the lane was drained while its last job still ran."""
    for _ in range(3):
        for number in range(9):
            queue.put(time.sleep, 0.005, lane=number % 3)
        queue.wait_worker(timeout=0.01)
    queue.wait()
    jobs = queue.collect()
    assert len(jobs) == 27
    for lane in range(3):
        spans = sorted((j["started"], j["ended"]) for j in jobs if j["lane"] == lane)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


class Slow:
    """Takes its time to be pickled."""

    def __reduce__(self) -> Any:
        time.sleep(0.05)
        return str, ("slow",)


def test_what_came_late_to_the_executor_did_not_begin_early(queue: ezpq.Queue, gate: Gate) -> None:
    """However long it took from `put` to there, a job's times are those at which it ran."""
    queue.put(hold, [gate.path], lane="x")
    gate.heard()
    queue.put(same, [Slow()], lane="x")
    gate.open()
    assert queue.wait() == 0
    first, second = sorted(queue.collect(), key=lambda job: job["id"])
    assert first["ended"] <= second["started"] <= second["ended"]
    assert second["submitted"] < first["ended"]


def test_lanes_run_side_by_side(queue: ezpq.Queue, gate: Gate) -> None:
    """Jobs of different lanes, and those of none, run at the same time."""
    for lane in ("a", "b", None):
        queue.put(hold, [gate.path, lane], lane=lane)
    assert sorted(gate.heard(3)) == ["None", "a", "b"]
    gate.open(3)
    assert queue.wait() == 0


def test_within_a_lane_priority_decides_then_submission(queue: ezpq.Queue) -> None:
    """Equal priorities at equal times are no error, and run in the order of submission."""
    queue.stop()
    for priority in (2, 1, 2, 1, 1):
        queue.put(time.monotonic, lane="x", priority=priority)
    queue.start()
    queue.wait()
    by_start = sorted(queue.collect(), key=lambda job: job["output"])
    assert [job["id"] for job in by_start] == [2, 4, 5, 1, 3]


@pytest.mark.parametrize(("suppress", "exitcode"), [(True, -1), (False, 1)])
def test_stop_on_lane_error(queue: ezpq.Queue, suppress: bool, exitcode: int) -> None:
    """After a failure, jobs that ask for it are not run: cancelled, that exit code, and why."""
    queue.stop()
    options: dict[str, Any] = {"lane": 1, "suppress_errors": suppress}
    queue.put(same, 0, **options)
    queue.put(fail, **options)
    for _ in range(50):
        queue.put(same, 1, stop_on_lane_error=True, **options)
    queue.put(same, 2, **options)  # this one does not mind
    queue.put(same, 3, stop_on_lane_error=True, **options)
    queue.start()
    assert queue.wait() == 0
    jobs = queue.collect()
    assert [job["id"] for job in jobs] == list(range(1, 55))
    ran = [job["id"] for job in jobs if job["started"]]
    assert ran == [1, 2, 53, 54]
    for job in jobs[2:52]:
        assert (job["cancelled"], job["exitcode"], job["output"]) == (True, exitcode, None)
        assert job["exception"] == (
            f"stop_on_lane_error = True and preceding job (2) exit code is {exitcode}"
        )
    assert [job["output"] for job in jobs[52:]] == [2, 3]


def test_a_killed_job_stops_its_lane() -> None:
    """A timeout is a failure, too."""
    with ezpq.Queue(2) as queue:
        queue.put(forever, lane="x", timeout=0.1)
        queue.put(same, 1, lane="x", stop_on_lane_error=True)
        queue.put(same, 1, lane="y", stop_on_lane_error=True)
        queue.wait()
        first, second, third = queue.collect()
    assert (first["cancelled"], first["exitcode"]) == (True, -9)
    assert (second["cancelled"], second["exitcode"], second["started"]) == (True, -9, None)
    assert third["output"] == 1


def test_callbacks_are_for_jobs_that_ran(queue: ezpq.Queue) -> None:
    """As in ezpq, a job that was skipped or taken back has no call of the callback."""
    seen: list[int] = []
    with ezpq.Queue(1, job_runner=Thread, callback=lambda job: seen.append(job["id"])) as other:
        other.stop()
        other.put(fail, lane=1, suppress_errors=True)
        other.put(same, 1, lane=1, stop_on_lane_error=True)
        other.start()
        other.wait()
        other.stop()
        other.put(same, 1)
        other.clear_waiting()
        assert len(other.collect()) == 3
    assert seen == [1]


def test_lanes_may_be_anything_hashable(queue: ezpq.Queue) -> None:
    for lane in (1, "1", (1, 2), None, frozenset([1])):
        queue.put(same, 1, lane=lane)
    with pytest.raises(TypeError, match=r"lane must be hashable.*\[1\]"):
        queue.put(same, 1, lane=[1])
    assert queue.wait() == 0
    assert [job["lane"] for job in queue.collect()] == [1, "1", (1, 2), None, frozenset([1])]

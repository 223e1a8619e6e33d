"""The clock on the wall jumps, forward and back: nothing that is promised goes by it."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import wait
from typing import Any

import pytest

import workload
from ezpq_exec import JobTimeout, PriorityExecutor, Queue, QueueTimeout, as_completed
from ezpq_exec.engines.spawned import SpawnedEngine
from gates import PATIENCE, Gate, hold

DAY = 86400.0
JUMPS = (0.0, 400 * DAY, -400 * DAY, 1.0, -1.0)
ENGINES = pytest.mark.parametrize("name", ["processes", "threads", "spawned"])


@pytest.fixture(autouse=True)
def _jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks what time it is hears something else each time."""
    right, jumps = time.time, itertools.cycle(JUMPS)
    monkeypatch.setattr(time, "time", lambda: right() + next(jumps))


def executor(name: str, workers: int = 1) -> PriorityExecutor:
    engine: Any = SpawnedEngine() if name == "spawned" else name
    return PriorityExecutor(workers, engine=engine)


@ENGINES
def test_what_is_measured_is_never_negative(name: str) -> None:
    """Times waited and run are those that passed, and each job's own times are in order."""
    with executor(name, 2) as ex:
        futures = [ex.submit(workload.sleep_for, 0.01) for _ in range(12)]
        assert not wait(futures, PATIENCE).not_done
        for future in as_completed(futures, PATIENCE):
            info: Any = future.info
            assert 0 <= info.waited < PATIENCE
            assert 0.01 <= info.runtime < PATIENCE
            assert info.submitted <= info.started <= info.ended <= info.processed
            took = (info.ended - info.started).total_seconds()
            assert took == pytest.approx(info.runtime, abs=0.001)


@ENGINES
def test_timeouts_go_by_what_passed(name: str, gate: Gate) -> None:
    """One that is far off does not strike; one that is near does."""
    with executor(name) as ex:
        roomy = ex.options(timeout=PATIENCE, queue_timeout=PATIENCE)
        assert roomy.submit(workload.sleep_for, 0.05).result(PATIENCE) == 0.05
        late = ex.options(timeout=0.05).submit(hold, gate.path)
        gate.heard()
        began = time.monotonic()
        assert isinstance(late.exception(PATIENCE), JobTimeout)
        expired = ex.options(queue_timeout=0.05)
        if not ex.capabilities.kills:
            assert isinstance(expired.submit(abs, 1).exception(PATIENCE), QueueTimeout)
        assert time.monotonic() - began < PATIENCE
        gate.open()


def test_queues_go_on_and_their_times_are_in_order() -> None:
    """Ezpq's runtimes are not negative, and what was put first was submitted first."""
    with Queue(2) as queue:
        for n in range(6):
            queue.put(workload.sleep_for, args=0.01, name=str(n))
        queue.wait()
        jobs = sorted(queue.collect(), key=lambda job: int(job["name"]))
    assert len(jobs) == 6
    assert all(job["runtime"] >= 0.01 for job in jobs)
    assert [job["submitted"] for job in jobs] == sorted(job["submitted"] for job in jobs)
    assert all(job["submitted"] <= job["ended"] <= job["processed"] for job in jobs)

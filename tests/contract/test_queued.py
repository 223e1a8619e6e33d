"""Bursts of small jobs, which an engine may get ahead of their turn: nobody can tell."""

from __future__ import annotations

import os
from pathlib import Path

from conftest import Maker
from gates import PATIENCE, Gate, hold
from workload import add


def note(path: str, number: int) -> int:
    """Leave a trace of having run."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, b"%d\n" % number)
    finally:
        os.close(descriptor)
    return number


def noted(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_job_that_was_cancelled_never_runs(make_executor: Maker, tmp_path: Path) -> None:
    """Of a burst that is cancelled while it runs, each job either ran or was cancelled."""
    executor = make_executor(2)
    trace = tmp_path / "trace"
    numbers = iter(range(10**6))
    cancelled: set[int] = set()
    ran: set[int] = set()
    for _ in range(60):
        futures = {
            number: executor.submit(note, str(trace), number)
            for number in (next(numbers) for _ in range(25))
        }
        for number, future in reversed(futures.items()):
            (cancelled if future.cancel() else ran).add(number)
        for number in futures.keys() & ran:
            assert futures[number].result(PATIENCE) == number
    executor.submit(add, 1, 1).result(PATIENCE)
    lines = noted(trace)
    assert len(lines) == len(set(lines))
    assert set(lines) == ran
    assert cancelled.isdisjoint(lines)


def test_an_urgent_job_overtakes_a_burst(make_executor: Maker, gate: Gate) -> None:
    """However many small jobs wait, an urgent one is next when a worker is free."""
    executor = make_executor(1)
    executor.submit(add, 1, 1).result(PATIENCE)
    slow = executor.submit(add, 1, 1)
    holding = executor.submit(hold, gate.path)
    later = [executor.submit(os.getpid) for _ in range(50)]
    gate.heard()
    urgent = executor.options(priority=0).submit(add, 2, 2)
    executor.stats()  # now it has been heard of
    gate.open()
    assert urgent.result(PATIENCE) == 4
    assert slow.done()
    assert holding.done()
    for future in later:
        future.result(PATIENCE)
    assert all(urgent.info.started <= future.info.started for future in later)  # type: ignore[operator]


def test_jobs_behind_a_slow_one_run_elsewhere(make_executor: Maker, gate: Gate) -> None:
    """What was to follow a job that turns out slow runs where there is room."""
    executor = make_executor(2)
    for _ in range(3):
        list(executor.map(add, range(40), range(40)))
        blocked = executor.submit(hold, gate.path)
        others = [executor.submit(add, n, n) for n in range(40)]
        gate.heard()
        assert [future.result(PATIENCE) for future in others] == [2 * n for n in range(40)]
        assert not blocked.done()
        gate.open()
        blocked.result(PATIENCE)


def test_counts_are_of_one_moment(make_executor: Maker, gate: Gate) -> None:
    """Jobs that wait are counted as waiting, wherever they are."""
    executor = make_executor(1)
    list(executor.map(add, range(40), range(40)))
    holding = executor.submit(hold, gate.path)
    others = [executor.submit(add, n, n) for n in range(20)]
    gate.heard()
    stats = executor.stats()
    assert (stats.waiting, stats.running) == (20, 1)
    assert not any(future.running() for future in others)
    assert [future.info.state.value for future in others] == ["waiting"] * 20
    gate.open()
    assert holding.result(PATIENCE)
    assert [future.result(PATIENCE) for future in others] == [2 * n for n in range(20)]

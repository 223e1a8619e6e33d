"""Workers that are replaced after a few jobs, in the midst of all that can go wrong."""

from __future__ import annotations

import random
import sys
import types
from collections import Counter
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest

from conftest import Maker
from ezpq_exec import JobKilled, JobTimeout, WorkerDied
from gates import PATIENCE, Gate
from mixedwork import job
from workload import add

pytestmark = [pytest.mark.needs("recycles"), pytest.mark.needs("kills")]

EXPECTED: dict[str, type[BaseException] | None] = {
    "good": None,
    "raises": ValueError,
    "dies": WorkerDied,
    "is shot": WorkerDied,
    "is late": JobTimeout,
    "is killed": JobKilled,
}


@pytest.mark.parametrize("most", [1, 3])
def test_nothing_is_lost_and_nothing_runs_twice(
    make_executor: Maker, gate: Gate, tmp_path: Path, most: int
) -> None:
    """Each job ends as it must and has run once, and no worker has run more than it may."""
    executor = make_executor(3, max_tasks_per_child=most)
    per_kind = 12 if executor.capabilities.own_deadlines else 3  # others start slowly
    kinds = [kind for kind in EXPECTED for _ in range(per_kind * (5 if kind == "good" else 1))]
    random.Random(f"recycling {most}").shuffle(kinds)
    futures = []
    for number, kind in enumerate(kinds):
        view = executor.options(timeout=0.5) if kind == "is late" else executor
        futures.append(view.submit(job, str(tmp_path), gate.path, number, kind))
    for _ in range(per_kind):
        assert futures[int(gate.heard()[0])].kill()
    pids: Counter[int] = Counter()
    for kind, future in zip(kinds, futures, strict=True):
        error = future.exception(PATIENCE)
        assert isinstance(error, EXPECTED[kind] or type(None)), (kind, error)
        if error is None:
            pids[future.result()] += 1
    ran = Counter(map(int, (tmp_path / "trace").read_text().split()))
    at_most_once = {number for number, kind in enumerate(kinds) if kind == "is late"}
    assert set(ran.values()) == {1}
    assert ran.keys() | at_most_once == set(range(len(kinds)))
    assert max(pids.values()) <= most
    assert sum(executor.stats().settled.values()) == len(kinds)


@pytest.mark.parametrize("most", [1, 3])
def test_many_short_jobs_are_spread_over_many_workers(make_executor: Maker, most: int) -> None:
    executor = make_executor(2, max_tasks_per_child=most)
    count = 90 if executor.capabilities.own_deadlines else 12
    assert list(executor.map(add, range(count), range(count))) == [2 * n for n in range(count)]
    executor.shutdown()
    stats = executor.stats()
    assert stats.workers_started >= count // most
    assert (stats.workers_killed, stats.workers_died) == (0, 0)


def test_an_initializer_that_workers_cannot_import_breaks_the_executor(
    make_executor: Maker,
) -> None:
    """Its module is in this program only. The cause says which, and nothing is tried again."""
    ghost: Any = types.ModuleType("ghost_of_a_module")
    ghost.initializer = types.FunctionType(add.__code__, vars(ghost), "initializer")
    ghost.initializer.__module__, ghost.initializer.__qualname__ = ghost.__name__, "initializer"
    sys.modules[ghost.__name__] = ghost
    errors: list[BaseException | None] = []
    try:
        executor = make_executor(2, initializer=ghost.initializer)
        errors.append(executor.submit(add, 1, 1).exception(PATIENCE))
        with pytest.raises(BrokenExecutor) as caught:
            executor.submit(add, 1, 1)
        errors.append(caught.value)
    finally:
        del sys.modules[ghost.__name__]
    for error in errors:
        assert isinstance(error, BrokenExecutor)
        assert isinstance(error.__cause__, ModuleNotFoundError)
        assert ghost.__name__ in str(error)

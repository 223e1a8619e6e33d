"""A job that has more memory than its limit is killed, with all that it started; no other is."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from conftest import Maker, eventually, is_gone
from ezpq_exec import JobError, MemoryLimitExceeded, UnsupportedOption, Verdict
from gates import PATIENCE, Gate
from memorywork import (
    MEBIBYTE,
    daemon_grows,
    grandchild_grows,
    grow,
    keep,
    sharing_children,
    take,
)
from workload import add, flaky, times_called

LIMIT = 120 * MEBIBYTE  # of which an idle worker has a tenth

limits = pytest.mark.needs("limits_memory")


@pytest.mark.lacks("limits_memory")
def test_where_nobody_watches_a_limit_is_refused_at_once(make_executor: Maker) -> None:
    """Better no job than one that runs without it."""
    executor = make_executor(1)
    with pytest.raises(UnsupportedOption, match=rf"memory_limit .*\(got {LIMIT}\)"):
        executor.options(memory_limit=LIMIT)
    view = executor.options(priority=1)
    with pytest.raises(UnsupportedOption, match="memory_limit"):
        view.options(memory_limit=LIMIT)
    assert view.submit(add, 1, 2).result(PATIENCE) == 3


@limits
def test_a_job_within_its_limit_returns(make_executor: Maker) -> None:
    executor = make_executor(1)
    limited = executor.options(memory_limit=LIMIT)
    assert [limited.submit(take, 50).result(PATIENCE) for _ in range(3)] == [50] * 3
    assert limited.submit(add, 1, 2).result(PATIENCE) == 3
    assert executor.stats().workers_started == 1


@limits
def test_a_job_over_its_limit_is_killed_and_says_how_much_it_had(
    make_executor: Maker, gate: Gate
) -> None:
    """Its exception has limit, peak, pid and stack, and takes all of it along when pickled."""
    executor = make_executor(1)
    future = executor.options(memory_limit=LIMIT, name="glutton").submit(grow, gate.path)
    error = future.exception(PATIENCE)
    (pid,) = gate.pids()
    assert isinstance(error, MemoryLimitExceeded)
    assert isinstance(error, JobError)
    assert (error.limit, error.pid, error.survivors) == (LIMIT, pid, ())
    assert error.peak is not None
    assert error.peak > LIMIT
    assert error.stack is not None
    assert "in grow" in error.stack
    for part in ("glutton", str(LIMIT), str(error.peak), str(pid), "in grow"):
        assert part in str(error)
    assert is_gone(pid)
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
    assert future.info.verdict is Verdict.OUT_OF_MEMORY
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    assert executor.stats().workers_killed == 1


@limits
@pytest.mark.parametrize("job", [grandchild_grows, daemon_grows])
def test_what_other_processes_of_the_job_take_counts(
    make_executor: Maker, gate: Gate, job: Callable[[str], None]
) -> None:
    """The limit is for the whole tree, those that have left it included; all of them die."""
    executor = make_executor(1)
    error = executor.options(memory_limit=LIMIT).submit(job, gate.path).exception(PATIENCE)
    assert isinstance(error, MemoryLimitExceeded)
    assert all(is_gone(int(word)) for word in gate.all_heard())
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@limits
def test_what_processes_share_counts_once(make_executor: Maker, gate: Gate) -> None:
    """A job whose children have its memory in common has no more than that, for all of them."""
    executor = make_executor(1)
    future = executor.options(memory_limit=LIMIT).submit(sharing_children, gate.path, 60, 4)
    words = gate.heard(5)
    words.remove("shared")
    (keeper,) = {psutil.Process(int(pid)).parents()[1].pid for pid in words}
    _wakes(keeper)
    gate.open()
    assert future.result(PATIENCE) == 60


def _wakes(keeper: int) -> None:
    """Wait until that process, which sleeps but to look at its worker, has done so some times."""
    enough = _times_asleep(keeper) + 5
    assert eventually(lambda: _times_asleep(keeper) >= enough)


def _times_asleep(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("voluntary_ctxt_switches:", 1)[1].split()[0])


@limits
def test_without_a_limit_the_keeper_sleeps(make_executor: Maker) -> None:
    """It looks at the memory while a job with a limit runs, and once more; then it is not woken."""
    executor = make_executor(1)
    pid = executor.submit(os.getpid).result(PATIENCE)
    keeper = psutil.Process(pid).ppid()
    assert executor.options(memory_limit=2**50).submit(add, 1, 2).result(PATIENCE) == 3
    before = _times_asleep(keeper)
    for _ in range(100):
        executor.submit(add, 1, 2).result(PATIENCE)
    assert _times_asleep(keeper) <= before + 2


@limits
def test_only_the_job_over_its_limit_fails(make_executor: Maker, gate: Gate) -> None:
    executor = make_executor(2)
    others = [executor.submit(add, number, 1) for number in range(50)]
    over = executor.options(memory_limit=LIMIT).submit(grow, gate.path)
    others += [executor.submit(add, number, 1) for number in range(50, 100)]
    assert isinstance(over.exception(PATIENCE), MemoryLimitExceeded)
    assert [other.result(PATIENCE) for other in others] == list(range(1, 101))


@limits
def test_each_job_has_its_own_limit(make_executor: Maker, gate: Gate) -> None:
    """A low one after a high one holds, on the same worker; so does none after that."""
    executor = make_executor(1)
    high, low = (executor.options(memory_limit=n * LIMIT) for n in (4, 1))
    for _ in range(3):
        assert high.submit(take, 200).result(PATIENCE) == 200
        assert isinstance(low.submit(grow, gate.path).exception(PATIENCE), MemoryLimitExceeded)
        assert executor.submit(take, 200).result(PATIENCE) == 200


@limits
def test_what_earlier_jobs_have_left_counts(make_executor: Maker, gate: Gate) -> None:
    """The limit is for all that the worker has, whoever took it; the next attempt has a fresh one."""
    executor = make_executor(1)
    assert executor.submit(keep, 200).result(PATIENCE)
    error = executor.options(memory_limit=LIMIT).submit(grow, gate.path).exception(PATIENCE)
    assert isinstance(error, MemoryLimitExceeded)
    assert error.peak is not None
    assert error.peak > 200 * MEBIBYTE


@limits
def test_retries_cover_it(make_executor: Maker, gate: Gate, tmp_path: Path) -> None:
    """As the death of a worker by the system's own killer, which is the same to a user."""
    trace = str(tmp_path / "trace")
    executor = make_executor(1)
    options = executor.options(memory_limit=LIMIT, retries=2)
    assert options.submit(flaky, trace, 2, grow, gate.path).result(PATIENCE) == 3
    last = options.submit(grow, gate.path)
    error = last.exception(PATIENCE)
    assert isinstance(error, MemoryLimitExceeded)
    assert isinstance(error.__context__, MemoryLimitExceeded)
    assert last.info.attempt == 3
    assert "attempt 3 of 3" in str(error)


@limits
def test_limited_jobs_are_never_queued_behind_others(make_executor: Maker, tmp_path: Path) -> None:
    """Nor anything behind them: a worker that is killed for one takes no other along."""
    trace = str(tmp_path / "trace")
    executor = make_executor(2)
    limited = executor.options(memory_limit=LIMIT)
    futures = [
        (limited if number % 3 == 0 else executor).submit(times_called, trace)
        for number in range(300)
    ]
    for future in futures:
        future.result(PATIENCE)
    assert Path(trace).stat().st_size == 300  # each has run once


@limits
def test_a_huge_limit_is_none(make_executor: Maker) -> None:
    """More than any machine has fits, too."""
    for limit in (2**63, 2**64, 10**30):
        limited = make_executor(1).options(memory_limit=limit)
        assert limited.submit(add, 1, 2).result(PATIENCE) == 3

"""What a worker says of the CPU time and memory of its jobs."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from ezpq_exec import PriorityExecutor
from ezpq_exec.engines.usage import BRIEF, Meter
from gates import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="children are not counted there")

BUSY = "import time\nwhile time.process_time() < 0.2: pass"


def wait_for_a_child() -> None:
    subprocess.run([sys.executable, "-c", BUSY], check=True)


def test_what_a_job_waited_for_counts() -> None:
    """The CPU time of the processes that it has waited for is its own; the next job begins at zero."""
    meter = Meter()
    meter.read(took=1.0)
    wait_for_a_child()
    assert meter.read(took=1.0)[0] > 0.2
    assert meter.read(took=1.0)[0] < 0.2


def test_what_a_brief_job_does_not_look_at_is_not_lost() -> None:
    """After a job that was too short to wait for a process, that is looked at by the next that was not."""
    meter = Meter()
    meter.read(took=1.0)
    wait_for_a_child()
    assert meter.read(took=BRIEF / 2)[0] < 0.2
    assert meter.read(took=2 * BRIEF)[0] > 0.2


def test_the_own_time_of_a_brief_job_counts() -> None:
    """However short it was."""
    meter = Meter()
    meter.read(took=1.0)
    end = time.process_time() + 0.01
    while time.process_time() < end:
        pass
    assert meter.read(took=0.0)[0] >= 0.01


def test_many_brief_jobs_are_as_one_that_is_not() -> None:
    """What they have grown by, one after another, is seen in time."""
    meter = Meter()
    before = meter.read(took=1.0)[1]
    block = bytearray(b"x") * (before + 50_000_000)
    peaks = [meter.read(took=BRIEF / 3)[1] for _ in range(4)]
    assert peaks[0] == before
    assert peaks[-1] > len(block)


def test_the_peak_is_that_of_all_jobs_so_far() -> None:
    """It is in bytes, and never falls."""
    meter = Meter()
    before = meter.read(took=1.0)[1]
    assert before > 1_000_000
    block = bytearray(b"x") * (before + 50_000_000)
    assert meter.read(took=1.0)[1] > len(block)
    del block
    assert meter.read(took=1.0)[1] > before + 50_000_000


kept: list[bytes] = []


def keep(size: int) -> None:
    kept.append(b"x" * size)


def give_kept() -> list[bytes]:
    return kept


@pytest.mark.skipif(sys.platform != "linux", reason="a fork begins without its parent's peak there")
def test_the_memory_that_packing_takes_is_the_jobs() -> None:
    """However quick the function was."""
    with PriorityExecutor(1) as executor:
        before = executor.submit(keep, 100_000_000)
        given = executor.submit(give_kept)
        assert len(given.result(PATIENCE)[0]) == 100_000_000
    assert before.info.max_rss is not None
    assert given.info.max_rss is not None
    assert given.info.max_rss > before.info.max_rss + 50_000_000

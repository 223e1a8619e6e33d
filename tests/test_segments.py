"""What goes by shared memory leaves nothing behind, and spoils nothing, whatever happens meanwhile."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import payloadwork as work
from conftest import eventually
from ezpq_exec import PriorityExecutor, WorkerDied
from ezpq_exec.engines import depot
from ezpq_exec.engines.mappings import Mode, view
from ezpq_exec.engines.segments import HEAD, Pool, Segment
from gates import PATIENCE, Gate
from programs import started
from workload import add, echo

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is there on Linux alone")

LARGE = 256 * 1024
MB = 1024 * 1024


@pytest.fixture
def executor() -> Iterator[PriorityExecutor]:
    """One with a worker of its own."""
    with PriorityExecutor(1) as ex:
        if not ex.capabilities.whole_tree:
            pytest.skip("this system lacks what the engine needs")
        yield ex


@contextmanager
def limited(what: int, limit: int) -> Iterator[None]:
    """This process has no more of that meanwhile."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def here() -> tuple[int, int]:
    """What this process has of segments."""
    gc.collect()
    return work.held()


def test_a_thousand_transfers_leave_as_much_as_ten(executor: PriorityExecutor) -> None:
    array = np.ones(LARGE)
    for _ in range(10):
        executor.submit(work.double, array).result(PATIENCE)
    before, there = here(), executor.submit(work.held).result(PATIENCE)
    for _ in range(1000):
        executor.submit(work.double, array).result(PATIENCE)
    # The next may be under way before all is known to be over with the last.
    assert here() <= (before[0], before[1] + 2)
    assert executor.submit(work.held).result(PATIENCE) <= (there[0], there[1] + 2)


def test_segments_are_used_again(executor: PriorityExecutor) -> None:
    """However many jobs there are, a few will do."""
    for _ in range(50):
        executor.submit(work.double, np.ones(LARGE)).result(PATIENCE)
    assert (0, 1) <= here() <= (0, 3)
    assert (0, 1) <= executor.submit(work.held).result(PATIENCE) <= (0, 3)


def test_what_is_idle_is_let_go_here_and_in_the_worker(
    executor: PriorityExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depot, "IDLE", 0.2)
    executor.submit(work.double, np.ones(LARGE)).result(PATIENCE)
    assert eventually(lambda: here() == (0, 0))
    assert eventually(lambda: executor.submit(work.held).result(PATIENCE) == (0, 0))


def test_nothing_is_left_of_a_closed_executor(executor: PriorityExecutor) -> None:
    result = executor.submit(work.double, np.ones(LARGE)).result(PATIENCE)
    with executor.share(result) as shared:
        executor.submit(work.describe, shared).result(PATIENCE)
    waiting = [executor.submit(work.double, result) for _ in range(5)]
    executor.shutdown(cancel_futures=True)
    assert float(result.sum()) == 2 * LARGE
    del result, waiting, shared
    assert here() == (0, 0)


def test_a_worker_that_is_killed_leaves_nothing(executor: PriorityExecutor, gate: Gate) -> None:
    executor.submit(work.double, np.ones(LARGE)).result(PATIENCE)
    future = executor.submit(work.first_of, np.ones(LARGE), gate.path)
    gate.heard()
    pid = future.info.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert isinstance(future.exception(PATIENCE), WorkerDied)
    assert executor.submit(work.double, np.ones(LARGE)).result(PATIENCE)[0] == 2
    executor.shutdown()
    del future
    assert here() == (0, 0)


def test_a_program_that_is_killed_leaves_nothing(gate: Gate, tmp_path: Path) -> None:
    """Its workers go, and with them the last who have its memory; no name for it was ever there."""
    names = set(os.listdir("/dev/shm"))  # noqa: S108
    code = """
import numpy as np, payloadwork
ex = executor(2)
shared = ex.share(np.ones(10**6))
kept = ex.submit(payloadwork.double, np.ones(10**6)).result()
fs = [ex.submit(payloadwork.first_of, each, GATE) for each in (shared, np.ones(10**6))]
tell("ready")
signal.pause()
"""
    with started(code, gate.path, folder=tmp_path) as program:
        program.heard("ready")
        gate.heard(2)
        program.watch()
        program.signal(signal.SIGKILL)
        program.ends()
    left = set(os.listdir("/dev/shm"))  # noqa: S108
    assert {name for name in left if "ezpq_exec" in name} <= names


def test_no_room_for_an_argument_is_that_jobs_error_alone(executor: PriorityExecutor) -> None:
    with limited(resource.RLIMIT_FSIZE, MB):
        full = executor.submit(work.double, np.ones(MB))
        small = executor.submit(add, 1, 1)
        fits = executor.submit(work.describe, np.ones(LARGE, dtype=np.uint8))
    error = full.exception(PATIENCE)
    assert isinstance(error, OSError)
    assert error.errno == errno.EFBIG
    assert "no room in shared memory for 8,388,608 bytes" in str(error)
    assert small.result(PATIENCE) == 2
    assert fits.result(PATIENCE)[1] == LARGE
    assert executor.submit(work.double, np.ones(MB)).result(PATIENCE)[0] == 2
    with limited(resource.RLIMIT_FSIZE, MB), pytest.raises(OSError, match="File too large"):
        executor.share(np.ones(MB))


def test_no_room_for_a_result_is_that_jobs_error_alone(executor: PriorityExecutor) -> None:
    executor.submit(work.limit_files, MB).result(PATIENCE)
    error = executor.submit(work.zeros, 2 * MB).exception(PATIENCE)
    assert isinstance(error, OSError)
    assert "no room in shared memory for 2,097,152 bytes" in str(error)
    assert len(executor.submit(work.zeros, LARGE).result(PATIENCE)) == LARGE


def test_no_descriptor_for_an_argument_is_no_matter(executor: PriorityExecutor) -> None:
    executor.submit(add, 1, 1).result(PATIENCE)
    most = max(map(int, os.listdir("/proc/self/fd")))
    fillers = [os.open(os.devnull, os.O_RDONLY) for _ in range(most)]
    with limited(resource.RLIMIT_NOFILE, max(fillers) + 1):
        future = executor.submit(work.describe, np.ones(LARGE))
    for filler in fillers:
        os.close(filler)
    assert future.result(PATIENCE)[1:] == (LARGE, True)


def test_a_worker_without_descriptors_fails_that_job_alone(executor: PriorityExecutor) -> None:
    with executor.share(np.ones(LARGE)) as ones:
        executor.submit(work.limit_descriptors, 0).result(PATIENCE)
        for argument in (np.ones(LARGE), ones):
            error = executor.submit(work.describe, argument).exception(PATIENCE)
            assert isinstance(error, OSError)
            assert error.errno == errno.EMFILE
        assert executor.submit(len, [1, 2]).result(PATIENCE) == 2
        executor.submit(work.let_go).result(PATIENCE)
        executor.submit(work.let_go).result(PATIENCE)
        executor.submit(work.let_go).result(PATIENCE)
        assert executor.submit(work.describe, ones).result(PATIENCE)[1] == LARGE


def test_more_waiting_jobs_than_descriptors_go_another_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(depot, "most_lent", lambda: 5)
    with PriorityExecutor(1) as executor:
        executor.pause()
        futures = [executor.submit(work.describe, np.full(LARGE, n)) for n in range(30)]
        assert here()[1] == 5
        executor.resume()
        assert [each.result(PATIENCE)[1] for each in futures] == [n * LARGE for n in range(30)]


def test_a_child_of_a_job_reads_on_in_peace(executor: PriorityExecutor, gate: Gate) -> None:
    """It has its parent's argument, however many others come after it."""
    executor.submit(work.fork_and_return, np.ones(LARGE), gate.path).result(PATIENCE)
    assert gate.heard() == ["child"]
    for n in range(10):
        executor.submit(work.double, np.full(LARGE, 5.0 + n)).result(PATIENCE)
    gate.open()
    assert gate.heard() == [str(float(LARGE))]


def test_what_a_fork_may_read_is_not_used_again() -> None:
    pool = Pool(4, MB, 4)
    lease = pool.take(8)
    assert lease is not None
    segment = lease.segment
    segment.append(memoryview(b"12345678"))
    for forks in (False, True):
        segment.clear()
        seen = view(segment.fd, HEAD + 8, Mode.COPY)
        if forks:
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        assert not segment.is_free
        del seen
        assert segment.is_free is not forks


def test_a_fork_and_its_parent_do_not_see_what_the_other_writes() -> None:
    pool = Pool(4, MB, 4)
    lease = pool.take(8)
    assert lease is not None
    lease.segment.append(memoryview(b"12345678"))
    seen = view(lease.segment.fd, HEAD + 8, Mode.OWN)
    seen[HEAD] = ord("x")  # this goes into the segment
    assert os.pread(lease.segment.fd, 2, HEAD) == b"x2"
    child = os.fork()
    if child == 0:
        seen[HEAD] = ord("y")
        os._exit(0)
    os.waitpid(child, 0)
    assert bytes(seen[HEAD:]) == b"x2345678"
    seen[HEAD + 1] = ord("z")
    assert os.pread(lease.segment.fd, 2, HEAD) == b"x2"


def test_a_segment_in_use_is_never_given_out() -> None:
    pool = Pool(4, 64 * MB, 8)
    lease = pool.take(1000)
    assert lease is not None
    first = lease.segment
    lease.segment.append(memoryview(b"abc"))
    seen = view(first.fd, HEAD + 3, Mode.OWN)
    del lease
    other = pool.take(1000)
    assert other is not None
    assert other.segment is not first
    del seen, other
    assert pool.take(1000) is not None
    del first


def test_what_comes_back_while_another_thread_sorts_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody may come by later to see to it."""
    pool, close, met = Pool(4, MB, 4), os.close, threading.Event()
    leases = [pool.take(8), pool.take(8)]
    before = work.held()

    def close_slowly(descriptor: int) -> None:
        close(descriptor)
        if leases and not met.is_set():
            met.set()
            thread = threading.Thread(target=leases.clear)
            thread.start()
            thread.join()

    leases.pop()
    monkeypatch.setattr(os, "close", close_slowly)
    pool.rest()
    assert met.is_set()
    assert work.held() == (before[0], before[1] - 2)


def test_what_a_finalizer_gives_back_in_the_midst_of_sorting_is_sorted_after_that() -> None:
    """It may strike at any moment, and what it gives back is not taken from under its feet."""

    class Measured(Segment):
        @property
        def size(self) -> int:
            leases.clear()  # what a finalizer would do
            return 2 * MB

        @size.setter
        def size(self, size: int) -> None:
            """As its own."""

    pool, before = Pool(1, MB, 4), work.held()
    leases = [pool.take(8)]
    pool.give_back(Measured(os.memfd_create("ezpq_exec-segment")))
    assert not leases
    assert work.held() == (before[0], before[1] + 1)  # the lease's, whose size is 0
    pool.rest()
    assert work.held() == before


def test_more_than_two_gigabytes_travel() -> None:
    size = 2**31 + 2**27
    with open("/proc/meminfo") as file:
        free = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    if free * 1024 < 4 * size:
        pytest.skip("too little memory is free")
    with PriorityExecutor(1) as executor:
        array: Any = np.zeros(size, dtype=np.uint8)
        array[-1] = 7
        future = executor.submit(echo, array)
        del array
        result = future.result(PATIENCE)
        assert len(result) == size
        assert result[-1] == 7
        assert result[2**31] == 0

"""What comes down a worker's socket is cut short, garbled, or too large: that is one job's loss."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import faultwork
import pytest

from ezpq_exec import PriorityExecutor, WorkerDied
from ezpq_exec.engines.channel import HEADER, Garbled, Kind, Reader, header
from ezpq_exec.engines.spawned import SpawnedEngine
from gates import PATIENCE, Gate, hold
from workload import add

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for sockets in /proc")

TEXT = b"Traceback (most recent call last): what a library had to say, to the wrong descriptor\n"


@pytest.fixture(params=["processes", "spawned"])
def executor(request: pytest.FixtureRequest) -> Iterator[PriorityExecutor]:
    """Two workers behind sockets."""
    engine: Any = "processes" if request.param == "processes" else SpawnedEngine()
    with PriorityExecutor(2, engine=engine) as executor:
        yield executor


@contextlib.contextmanager
def a_sibling(executor: PriorityExecutor, gate: Gate) -> Iterator[None]:
    """Another job, which is harmed by nothing that happens meanwhile; nor is the next one."""
    sibling = executor.submit(hold, gate.path)
    gate.heard()
    yield
    gate.open()
    assert isinstance(sibling.result(PATIENCE), int)
    assert [executor.submit(add, n, 1).result(PATIENCE) for n in range(5)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("data", [TEXT, bytes(100), TEXT * 4000], ids=["text", "zeros", "much"])
def test_what_is_no_frame_ends_its_worker(
    executor: PriorityExecutor, data: bytes, make_gate: Callable[[], Gate]
) -> None:
    """A job that writes to a descriptor that is not its own fails, and the error says why."""
    here = make_gate()
    with a_sibling(executor, make_gate()):
        future = executor.submit(faultwork.write_and_wait, here.path, data)
        error = future.exception(PATIENCE)
        assert isinstance(error, WorkerDied)
        assert isinstance(error.__cause__, Garbled)
        assert "could not be read" in str(error)


def test_a_few_stray_bytes_before_an_answer_are_seen_with_it(
    executor: PriorityExecutor, gate: Gate
) -> None:
    """Too little to be told from the beginning of a frame: the answer behind it shows what it is."""
    with a_sibling(executor, gate):
        error = executor.submit(faultwork.write_to_sockets, b"oops!\n").exception(PATIENCE)
        assert isinstance(error, WorkerDied)


@pytest.mark.parametrize("size", [10, HEADER.size, HEADER.size + 50, 100_000])
def test_an_end_within_an_answer_is_the_jobs_end(
    executor: PriorityExecutor, gate: Gate, size: int
) -> None:
    """A worker that dies in the midst of its answer has not answered."""
    body = bytes(size * 2)
    answer = (header(1, Kind.RETURNED, body) + body)[:size]
    with a_sibling(executor, gate):
        error = executor.submit(faultwork.cut_answer_short, answer).exception(PATIENCE)
        assert isinstance(error, WorkerDied)
        assert error.exitcode == 5


def test_a_job_that_closes_every_descriptor_fails_alone(
    executor: PriorityExecutor, gate: Gate
) -> None:
    """Its worker cannot answer any more, and is replaced."""
    with a_sibling(executor, gate):
        assert isinstance(executor.submit(faultwork.close_all).exception(PATIENCE), WorkerDied)


def test_a_result_for_which_there_is_no_memory_is_its_jobs_loss(
    executor: PriorityExecutor, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor goes on, and the error says what was wanting."""

    def no_room(*_: object) -> None:
        raise MemoryError

    with a_sibling(executor, gate):
        monkeypatch.setattr(Reader, "_begin_large", no_room)
        # What is larger goes by shared memory.
        error = executor.submit(bytes, 200_000).exception(PATIENCE)
        monkeypatch.undo()
        assert isinstance(error, WorkerDied)
        assert isinstance(error.__cause__, MemoryError)


def test_a_job_that_cannot_be_put_into_a_full_queue_goes_to_the_next_worker(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system refuses a message for want of memory, that worker is given up."""
    from ezpq_exec.engines.jobqueue import JobQueue

    send = JobQueue.send
    refused: list[bytes] = []

    def refuse_once(queue: JobQueue, message: bytes) -> bool:
        if not refused:
            refused.append(message)
            return False
        return send(queue, message)

    with PriorityExecutor(1) as executor:
        before = executor.submit(hold, gate.path)
        gate.open()
        pid = before.result(PATIENCE)
        executor.pause()
        monkeypatch.setattr(JobQueue, "send", refuse_once)
        future = executor.submit(hold, gate.path)
        executor.resume()
        gate.open()
        assert future.result(PATIENCE) != pid
        assert refused

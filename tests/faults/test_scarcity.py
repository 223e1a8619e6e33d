"""The system has no room: for processes, for descriptors, for threads. Then it has again."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import faultwork
import pytest

from ezpq_exec import PriorityExecutor, WorkerDied
from ezpq_exec.engines import roots
from ezpq_exec.engines.spawned import SpawnedEngine
from gates import PATIENCE, Gate, hold
from programs import started
from workload import add, die

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")

ERRORS = [errno.EAGAIN, errno.ENOMEM]
names = errno.errorcode.__getitem__


class Room:
    """Whether there is room for more processes."""

    def __init__(self, gate: Gate) -> None:
        self._file = Path(gate.path) / "refuse"

    def end(self, number: int) -> None:
        """From now on there is none."""
        self._file.write_text(str(number))

    def return_(self) -> None:
        """There is again."""
        self._file.unlink(missing_ok=True)


@pytest.fixture
def room(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A root of this test's own, whose forks can be refused; the gate hears of each that is."""
    monkeypatch.setenv(faultwork.GATE, gate.path)
    monkeypatch.setattr(roots, "_be_root", faultwork.main_that_cannot_fork)
    roots.close_shared()
    yield Room(gate)
    roots.close_shared()
    monkeypatch.undo()
    with PriorityExecutor(1) as executor:  # what all tests have for good
        executor.submit(add, 1, 1).result(PATIENCE)


@pytest.mark.parametrize("number", ERRORS, ids=names)
def test_an_executor_without_any_worker_says_why(room: Room, gate: Gate, number: int) -> None:
    """It is broken, with the system's own error; the next one, once there is room, is not."""
    room.end(number)
    with PriorityExecutor(2) as executor:
        error = executor.submit(add, 1, 1).exception(PATIENCE)
        assert isinstance(error, BrokenExecutor)
        assert isinstance(error.__cause__, OSError)
        assert error.__cause__.errno == number
    room.return_()
    with PriorityExecutor(2) as executor:
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.parametrize("number", ERRORS, ids=names)
def test_a_worker_more_waits_for_room(room: Room, gate: Gate, number: int) -> None:
    """While others work, want of room for another breaks nothing; it comes when there is room."""
    with PriorityExecutor(2) as executor:
        busy = executor.submit(hold, gate.path)
        gate.heard()
        room.end(number)
        waits = executor.submit(add, 1, 1)
        assert gate.heard() == ["refused"]
        room.return_()
        assert waits.result(PATIENCE) == 2
        gate.open()
        assert isinstance(busy.result(PATIENCE), int)


def test_a_worker_that_died_is_replaced_once_there_is_room(room: Room, gate: Gate) -> None:
    """Its job has failed; the other worker does what waits, and the second comes back."""
    with PriorityExecutor(2) as executor:
        busy = executor.submit(hold, gate.path)
        gate.heard()
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2
        room.end(errno.EAGAIN)
        assert isinstance(executor.submit(die, 3).exception(PATIENCE), WorkerDied)
        waits = executor.submit(add, 1, 1)
        assert gate.heard() == ["refused"]
        room.return_()
        assert waits.result(PATIENCE) == 2
        gate.open()
        assert isinstance(busy.result(PATIENCE), int)


_NO_DESCRIPTORS = """
import resource
from ezpq_exec import WorkerDied
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
ex = executor(2)
busy, dies = ex.submit(hold, GATE), ex.submit(workload.hold_and_exit, GATE + "-2")
tell("submitted")
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
tell("none left")
assert isinstance(dies.exception(60), WorkerDied)
waits = ex.submit(abs, -5)
assert not wait([waits], 0.5).done
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
assert waits.result(60) == 5
assert not busy.done()
tell("recovered")
assert isinstance(busy.result(60), int)
ex.shutdown()
"""


def test_a_worker_whose_sockets_cannot_be_taken_is_asked_for_again(
    make_gate: Callable[[], Gate], tmp_path: Path
) -> None:
    """At the limit of descriptors a worker that was forked cannot be met; later another can."""
    first, second, third = make_gate(), make_gate(), make_gate()
    code = _NO_DESCRIPTORS.replace('GATE + "-2"', repr(second.path)).replace(
        "sys.stdin.readline()", f"hold({third.path!r})"
    )
    with started(code, first.path, folder=tmp_path) as program:
        program.heard("submitted")
        for gate in (first, second, third):
            gate.heard()
        third.open()
        program.heard("none left")
        second.open()
        program.heard("recovered")
        first.open()
        assert program.ends() == 0


# Threads ------------------------------------------------------------------------------------------


class NoThreads:
    """While it is on, threads of that name cannot be started."""

    def __init__(self, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
        start = threading.Thread.start
        self.refused = 0

        def refuse(thread: threading.Thread) -> None:
            if part in thread.name:
                self.refused += 1
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)


def engine(name: str) -> Any:
    return SpawnedEngine() if name == "spawned" else name


ENGINES = pytest.mark.parametrize("name", ["processes", "threads", "spawned"])


@ENGINES
def test_without_a_thread_for_the_loop_there_is_no_executor(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the system's, and nothing of the executor is left."""
    NoThreads("-loop", monkeypatch)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        PriorityExecutor(1, engine=engine(name))
    monkeypatch.undo()
    with PriorityExecutor(1, engine=engine(name)) as executor:
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@ENGINES
def test_without_a_thread_for_callbacks_they_are_called_all_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a thread that is there; and once there is room they have their own again."""
    with PriorityExecutor(1, engine=engine(name)) as executor:
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2
        refused = NoThreads("callbacks", monkeypatch)
        called = threading.Event()
        executor.pause()
        future = executor.submit(add, 1, 1)
        future.add_done_callback(lambda _: called.set())
        executor.resume()
        assert future.result(PATIENCE) == 2
        assert called.wait(PATIENCE)
        assert refused.refused
        monkeypatch.undo()
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2


@pytest.mark.parametrize(("name", "part"), [("threads", "ezpq_exec-"), ("spawned", "-attendant-")])
def test_without_threads_for_workers_it_is_said(
    name: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor is broken, for that reason; and later another one works."""
    with PriorityExecutor(1, engine=engine(name)) as executor:
        NoThreads(part, monkeypatch)
        error = executor.submit(add, 1, 1).exception(PATIENCE)
        assert isinstance(error, BrokenExecutor)
        assert "can't start new thread" in str(error)
        monkeypatch.undo()
    with PriorityExecutor(1, engine=engine(name)) as executor:
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_without_a_thread_to_start_the_root_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next executor starts it."""
    roots.close_shared()
    with PriorityExecutor(1) as executor:
        NoThreads("ezpq_exec-start", monkeypatch)
        error = executor.submit(add, 1, 1).exception(PATIENCE)
        assert isinstance(error, BrokenExecutor)
        assert "can't start new thread" in str(error)
        monkeypatch.undo()
    with PriorityExecutor(1) as executor:
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2

"""What is Linux's alone: keepers and the root, and that they can be lost without loss."""

from __future__ import annotations

import builtins
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import kinwork
from conftest import eventually, is_gone
from ezpq_exec import JobTimeout, PriorityExecutor, Verdict, WorkerDied
from ezpq_exec.engines import choice
from ezpq_exec.engines.base import Setup
from ezpq_exec.jobs import Call
from ezpq_exec.reports import Finished, Lost, Ready, Stopped
from gates import PATIENCE, Gate, hold
from workload import forever

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
if sys.platform == "linux":
    from ezpq_exec.engines import tree, usage


@pytest.fixture
def executor() -> Iterator[PriorityExecutor]:
    """One worker with its keeper."""
    with PriorityExecutor(1) as executor:
        yield executor


def keeper_of(worker: int) -> int:
    return psutil.Process(worker).ppid()


def test_this_machine_has_keepers() -> None:
    """The tests below are about the engine that "processes" stands for here."""
    assert type(choice.choose("processes")).__name__ == "ProcessEngine"


def test_the_loss_of_a_keeper_is_the_loss_of_one_job(
    executor: PriorityExecutor, gate: Gate
) -> None:
    """A keeper that is killed takes its worker with it; the next job has new ones."""
    future = executor.submit(hold, gate.path)
    (pid,) = gate.pids()
    os.kill(keeper_of(pid), signal.SIGKILL)
    error = future.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert (error.pid, error.exitcode, error.signal) == (pid, None, None)
    assert "its keeper was lost" in str(error)
    assert "memory" not in str(error)
    assert is_gone(pid)
    assert executor.submit(abs, -5).result(PATIENCE) == 5


def test_a_keeper_that_is_stopped_is_gone_round(executor: PriorityExecutor, gate: Gate) -> None:
    """Where the keeper misses a deadline, the parent ends it with all that it keeps."""
    future = executor.options(timeout=0.3).submit(hold, gate.path)
    (pid,) = gate.pids()
    keeper = keeper_of(pid)
    os.kill(keeper, signal.SIGSTOP)
    assert isinstance(future.exception(PATIENCE), JobTimeout)
    assert is_gone(pid)
    assert eventually(lambda: is_gone(keeper))
    assert executor.submit(abs, -5).result(PATIENCE) == 5


def test_what_a_killed_keeper_leaves_is_cleared_up(executor: PriorityExecutor, gate: Gate) -> None:
    """The descendants of a worker whose keeper was killed die before its job is settled."""
    future = executor.submit(kinwork.family, gate.path)
    family = gate.pids()
    os.kill(keeper_of(family[0]), signal.SIGKILL)
    assert isinstance(future.exception(PATIENCE), WorkerDied)
    assert [pid for pid in family if not is_gone(pid)] == []


def test_the_loss_of_the_root_loses_nothing(executor: PriorityExecutor, gate: Gate) -> None:
    """A job goes on when the root is killed; so does the executor, and later deaths are noticed."""
    future = executor.submit(hold, gate.path)
    (pid,) = gate.pids()
    root = psutil.Process(keeper_of(pid)).ppid()
    os.kill(root, signal.SIGKILL)
    assert eventually(lambda: is_gone(root))
    gate.open()
    assert future.result(PATIENCE) == pid
    assert isinstance(executor.submit(os._exit, 7).exception(PATIENCE), WorkerDied)
    again = executor.submit(hold, gate.path)
    (pid,) = gate.pids()
    os.kill(keeper_of(pid), signal.SIGKILL)
    assert isinstance(again.exception(PATIENCE), WorkerDied)
    assert executor.submit(abs, -5).result(PATIENCE) == 5


_PARENT = """
import os, signal, sys, kinwork
from ezpq_exec import PriorityExecutor
ex = PriorityExecutor(2)
ex.submit(kinwork.family, sys.argv[1])
ex.submit(kinwork.hold_the_gil, sys.argv[1])
sys.stdin.read()
if sys.argv[2] == "segfault":
    import ctypes
    ctypes.string_at(0)
if sys.argv[2] == "exec":
    os.execv(sys.executable, [sys.executable, "-c", "input()"])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["kill", "segfault", "exec"])
def test_nothing_outlives_the_parent(end: str, gate: Gate) -> None:
    """However the parent ends, all processes are gone, those that hold the GIL or left it too."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, gate.path, end],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environ,
    )
    with parent:
        assert parent.stdin is not None
        pids = gate.pids(2)
        below = [process.pid for process in psutil.Process(parent.pid).children(recursive=True)]
        assert set(pids) <= set(below) | {parent.pid}
        parent.stdin.close()
        if end != "exec":
            parent.wait(PATIENCE)
        assert eventually(lambda: all(map(is_gone, below)))


def test_a_pool_of_multiprocessing_works_in_a_job(executor: PriorityExecutor) -> None:
    """A job may use multiprocessing, by every start method."""
    for method in ("fork", "spawn"):
        assert executor.submit(kinwork.pool_map, method).result(PATIENCE) == [1, 2]


def test_a_job_may_have_an_executor_of_its_own(executor: PriorityExecutor) -> None:
    """Executors nest."""
    assert executor.submit(kinwork.nested_map).result(PATIENCE) == [1, 2]


def test_workers_see_the_parent_as_it_is_when_they_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment, directory and output of a new worker are those of now, not of the root's start."""
    monkeypatch.setenv("EZPQ_EXEC_TEST", "now")
    monkeypatch.chdir(tmp_path)
    with PriorityExecutor(1) as executor:
        assert executor.submit(os.getenv, "EZPQ_EXEC_TEST").result(PATIENCE) == "now"
        assert executor.submit(os.getcwd).result(PATIENCE) == str(tmp_path)
    monkeypatch.delenv("EZPQ_EXEC_TEST")
    with PriorityExecutor(1) as executor:
        assert executor.submit(os.getenv, "EZPQ_EXEC_TEST").result(PATIENCE) is None


def test_output_goes_where_the_parent_s_goes_now(capfd: pytest.CaptureFixture[str]) -> None:
    """What a job prints is where the executor's program prints when the worker starts."""
    with PriorityExecutor(1) as executor:
        executor.submit(print, "from a job").result(PATIENCE)
        assert capfd.readouterr().out == "from a job\n"


_FEW_DESCRIPTORS = """
import resource
from concurrent.futures import BrokenExecutor
from ezpq_exec import PriorityExecutor
ex = PriorityExecutor(1)
assert ex.submit(abs, -1).result(60) == 1
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
late = PriorityExecutor(1)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(__import__("os").listdir("/proc/self/fd")), hard))
future = late.submit(abs, -1)
error = future.exception(60)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
assert isinstance(error, BrokenExecutor), error
assert isinstance(error.__cause__, OSError), error.__cause__
assert ex.submit(abs, -1).result(60) == 1
late.shutdown()
ex.shutdown()
"""


def run_script(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *args],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_no_descriptors_left_is_a_clear_error() -> None:
    """An executor that gets no more descriptors is broken with that cause; others go on."""
    result = run_script(_FEW_DESCRIPTORS)
    assert (result.returncode, result.stderr) == (0, "")


_FEW_FOR_MANY = """
import resource, time
from ezpq_exec import PriorityExecutor
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (70, hard))
with PriorityExecutor(14, initializer=time.sleep, initargs=(0,)) as ex:
    assert [*ex.map(abs, range(14))] == [*range(14)]
"""


def test_few_descriptors_for_many_workers_are_no_failure() -> None:
    """Of workers that start all at once, those that find room do all of the jobs."""
    result = run_script(_FEW_FOR_MANY)
    assert (result.returncode, result.stderr) == (0, "")


def test_what_is_hidden_from_a_keeper_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another user's process, where /proc hides those, it sees no children and no memory."""
    opened, read = os.open, builtins.open

    def refuse(path: str, *args: Any, **kwargs: Any) -> Any:
        if path.startswith(f"/proc/{os.getpid()}/"):
            raise PermissionError(path)
        return (opened if isinstance(args[0], int) else read)(path, *args, **kwargs)

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in tree.children(os.getpid())
        assert usage.resident(os.getpid()) > 0
        with monkeypatch.context() as hidden:
            hidden.setattr(builtins, "open", refuse)
            hidden.setattr(os, "open", refuse)
            assert tree.children(os.getpid()) == []
            assert usage.resident(os.getpid()) == 0
        child.communicate(b"\n")


@pytest.mark.parametrize("lost", ["pidfd_open", "memfd_create"])
def test_without_what_keepers_need_there_is_another_engine(
    lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system lacks pidfds or memfds, "processes" is the engine that needs neither."""
    monkeypatch.delattr(os, lost)
    pick: Callable[[str], object] = choice.choose
    assert type(pick("processes")).__name__ == "SpawnedEngine"


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_what_may_not_be_sent_a_signal_stops_no_keeper(
    error: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is gone, or has become another user's, is passed over; the next one is not."""
    sent: list[tuple[int, int]] = []

    def refuse(pid: int, number: int) -> None:
        if pid == 1:
            raise error(pid)
        sent.append((pid, number))

    monkeypatch.setattr(os, "kill", refuse)
    tree.send([1, 2], signal.SIGTERM)
    monkeypatch.undo()
    assert sent == [(2, signal.SIGTERM)]


def test_what_is_forked_as_its_parent_ends_ends_too() -> None:
    """There would be nobody to kill it later."""
    code = "from ezpq_exec.engines import tree\ntree.die_with_parent(1)\nprint('lives')"
    result = run_script(code)
    assert (result.returncode, result.stdout) == (1, "")


@pytest.fixture
def engine() -> Iterator[Any]:
    """An engine with a worker, whose reports come one by one."""
    made: Any = choice.choose("processes")
    made.open(Setup())
    made.start(0)
    assert isinstance(next_of(made), Ready)
    yield made
    made.close(kill=True)
    while not isinstance(next_of(made), Stopped):
        pass


def next_of(engine: Any) -> Any:
    reports = engine.wait(PATIENCE)
    while not reports:
        reports = engine.wait(PATIENCE)
    (report,) = reports
    return report


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], PATIENCE)[0])


def test_a_job_is_not_taken_for_the_one_before_it_whose_kill_came_too_late(
    engine: Any, gate: Gate
) -> None:
    """It was sent to a worker that died for another; it has not begun, and nothing befell it."""
    link = engine._links[0]
    engine.run(0, 1, engine.pack(Call(hold, (gate.path,), {})), None)
    gate.heard()
    gate.open()
    assert is_readable(link.channel.sock.fileno())
    engine.kill(0, 1, Verdict.TIMED_OUT, force=True)
    assert is_readable(link.tombstone)
    assert isinstance(next_of(engine), Finished)
    engine.run(0, 2, engine.pack(Call(abs, (-1,), {})), None)
    lost = next_of(engine)
    assert isinstance(lost, Lost)
    assert (lost.loss.reason, lost.loss.begun) == (None, None)


def test_a_keeper_that_is_killed_though_it_has_done_its_duty_is_replaced_in_silence(
    engine: Any,
) -> None:
    """Its worker's loss is told once; that no other came from it is no failure to start one."""
    link = engine._links[0]
    engine.run(0, 1, engine.pack(Call(forever, (), {})), 0.05)
    assert is_readable(link.control.fileno())
    engine.kill(0, 1, Verdict.TIMED_OUT, force=True)
    assert is_readable(link.tombstone)
    lost = next_of(engine)
    assert isinstance(lost, Lost)
    assert lost.loss.reason is Verdict.TIMED_OUT
    assert isinstance(next_of(engine), Ready)
    assert engine._links[0] is not link

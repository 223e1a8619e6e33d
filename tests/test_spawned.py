"""The process engine for where there are no keepers: what it promises, and how it lets go."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path
from typing import Any

import loky.backend.utils
import pytest
from loky.backend import get_context

from conftest import Maker, descendants, eventually, is_gone
from ezpq_exec import (
    JobKilled,
    JobTimeout,
    PriorityExecutor,
    RemoteError,
    Verdict,
    WorkerDied,
)
from ezpq_exec.engines import attendant, sockets
from ezpq_exec.engines.base import Setup
from ezpq_exec.engines.channel import HEADER
from ezpq_exec.engines.spawned import SpawnedEngine
from ezpq_exec.reports import Finished, Lost, Ready, Report, Stopped, Unstartable
from gates import PATIENCE, Gate, hold
from workload import (
    HangsInSetstate,
    TwoArguments,
    WillNotPickle,
    add,
    child,
    die,
    die_leaving_descendant,
    dying_initializer,
    echo,
    fail,
    failing_initializer,
    forever,
    hold_the_gil,
    initialize,
    initialized_with,
    signal_self,
    stop_itself,
    unpicklable_result,
)

HUGE = 64 * 1024 * 1024


@pytest.fixture
def new_engine() -> Callable[[], Any]:
    """Has `make_executor` make executors over this engine, and no other."""
    return SpawnedEngine


@pytest.fixture
def tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets as they are where there are none but those of TCP."""

    def pair() -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            one = socket.create_connection(server.getsockname())
            return one, server.accept()[0]

    monkeypatch.setattr(socket, "socketpair", pair)


class Direct:
    """An engine without an executor: its reports one by one."""

    def __init__(self, **setup: Any) -> None:
        self.engine = SpawnedEngine()
        self.engine.open(Setup(**setup))
        self.stopped = False
        self._reports: list[Report] = []

    def next(self) -> Report:
        """Wait for the next report, for a while."""
        until = time.monotonic() + PATIENCE
        while not self._reports:
            left = until - time.monotonic()
            assert left > 0, "no report came"
            self._reports += self.engine.wait(left)
        self.stopped = isinstance(self._reports[0], Stopped)
        return self._reports.pop(0)

    def start(self) -> int:
        """Bring up a worker for slot 0; its pid."""
        self.engine.start(0)
        ready = self.next()
        assert isinstance(ready, Ready)
        assert ready.pid is not None
        return ready.pid

    def run(self, number: int, function: Callable[..., Any], *args: Any) -> None:
        """Hand a job to slot 0."""
        self.engine.run(0, number, pickle.dumps((function, args, {})), None)

    def has_answer(self) -> bool:
        """Whether a small answer waits to be read from slot 0, behind the word that it began."""
        sock = self.engine._attendants[0].channel.sock
        try:
            return len(sock.recv(4096, socket.MSG_PEEK)) > 2 * HEADER.size
        except BlockingIOError:
            return False


@pytest.fixture
def direct() -> Iterator[Callable[..., Direct]]:
    """Makes engines without executors, and closes them."""
    made: list[Direct] = []

    def make(**setup: Any) -> Direct:
        made.append(Direct(**setup))
        return made[-1]

    yield make
    for each in made:
        if not each.stopped:
            each.engine.close(kill=True)
        while not each.stopped:
            each.next()


# Jobs -----------------------------------------------------------------------------------------


def test_results_and_exceptions_come_back(make_executor: Maker) -> None:
    """A job's result and its exception reach the future, lambdas included."""
    executor = make_executor()
    assert [f.result(PATIENCE) for f in [executor.submit(add, n, 1) for n in range(50)]] == list(
        range(1, 51)
    )
    three = 3
    assert executor.submit(lambda x: x * three, 5).result(PATIENCE) == 15
    with pytest.raises(ZeroDivisionError) as caught:
        executor.submit(lambda: 1 / 0).result(PATIENCE)
    assert "in <lambda>" in str(caught.value.__cause__)
    assert isinstance(executor.submit(fail, SystemExit, 3).exception(PATIENCE), SystemExit)


def test_what_cannot_be_carried_hurts_its_own_job_only(make_executor: Maker) -> None:
    """Arguments, results and exceptions that do not travel fail their future, not the worker."""
    executor = make_executor(1)
    pid = executor.submit(os.getpid).result(PATIENCE)
    assert isinstance(executor.submit(echo, WillNotPickle()).exception(PATIENCE), TypeError)
    assert isinstance(executor.submit(unpicklable_result).exception(PATIENCE), TypeError)
    error = executor.submit(fail, TwoArguments, 1, 2).exception(PATIENCE)
    assert isinstance(error, RemoteError)
    assert error.text == "1 and 2"
    assert executor.submit(os.getpid).result(PATIENCE) == pid


def test_a_worker_looks_like_its_parent(
    make_executor: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Environment, working directory, sys.path and sys.argv are those at the worker's start."""
    monkeypatch.setenv("EZPQ_TEST", "here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["some", "words"])
    monkeypatch.syspath_prepend(str(tmp_path / "extra"))
    look = lambda: (os.environ["EZPQ_TEST"], os.getcwd(), sys.path[0], sys.argv)  # noqa: E731
    seen = make_executor(1).submit(look).result(PATIENCE)
    assert seen == ("here", str(tmp_path), str(tmp_path / "extra"), ["some", "words"])


def test_ctrl_c_is_the_parents_affair(make_executor: Maker) -> None:
    """A worker does not die of SIGINT."""
    executor = make_executor(1)
    pid = executor.submit(os.getpid).result(PATIENCE)
    os.kill(pid, signal.SIGINT)
    assert executor.submit(os.getpid).result(PATIENCE) == pid


@pytest.mark.usefixtures("tcp")
def test_all_of_it_works_over_tcp_too(make_executor: Maker, gate: Gate) -> None:
    """Where the system has no Unix sockets, results, timeouts, deaths and huge data do well."""
    executor = make_executor(2)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    assert len(executor.submit(bytes, HUGE).result(PATIENCE)) == HUGE
    assert executor.submit(len, bytes(HUGE)).result(PATIENCE) == HUGE
    late = executor.options(timeout=0.3).submit(forever)
    assert isinstance(late.exception(PATIENCE), JobTimeout)
    held = executor.submit(hold, gate.path)
    os.kill(gate.pids()[0], signal.SIGKILL)
    assert isinstance(held.exception(PATIENCE), WorkerDied)


@pytest.mark.usefixtures("tcp")
def test_small_frames_do_not_wait_over_tcp(make_executor: Maker) -> None:
    """An answer is not held back until what was sent before it is acknowledged."""
    executor = make_executor(1)
    executor.submit(add, 1, 1).result(PATIENCE)
    begun = time.monotonic()
    for _ in range(50):
        executor.submit(add, 1, 1).result(PATIENCE)
    assert time.monotonic() - begun < 50 * 0.03  # 40 ms each is what it would be


# Ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("job", [forever, stop_itself, hold_the_gil])
def test_a_job_ends_at_its_timeout(make_executor: Maker, job: Callable[[], None]) -> None:
    """Asleep, stopped, or holding the GIL: when the future is done, the worker is dead."""
    executor = make_executor(1)
    future = executor.options(timeout=0.3).submit(job)
    error = future.exception(PATIENCE)
    assert isinstance(error, JobTimeout)
    assert error.pid is not None
    assert is_gone(error.pid)
    assert future.info.runtime is not None
    assert 0.3 <= future.info.runtime < PATIENCE
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_unpickling_counts_for_the_timeout(make_executor: Maker) -> None:
    """A job begins before its arguments are unpickled."""
    executor = make_executor(1)
    future = executor.options(timeout=0.3).submit(echo, HangsInSetstate())
    assert isinstance(future.exception(PATIENCE), JobTimeout)


@pytest.mark.parametrize("with_psutil", [True, False])
def test_children_die_with_a_job_that_timed_out(
    make_executor: Maker, gate: Gate, monkeypatch: pytest.MonkeyPatch, with_psutil: bool
) -> None:
    """What a job started is killed with it, whether or not psutil is there to find it."""
    if not with_psutil:
        monkeypatch.setattr(loky.backend.utils, "psutil", None)
    executor = make_executor(1)
    future = executor.options(timeout=1).submit(child, gate.path)
    pids = gate.pids()
    assert isinstance(future.exception(PATIENCE), JobTimeout)
    assert all(eventually(partial(is_gone, pid)) for pid in pids)


def test_a_worker_is_killed_though_its_descendants_cannot_be(
    make_executor: Maker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the search for descendants fails, the worker dies all the same."""

    def fail_to_kill(_: object) -> None:
        raise PermissionError("somebody else's child")

    executor = make_executor(1)
    future = executor.submit(hold, gate.path)
    pid = gate.pids()[0]
    with monkeypatch.context() as patch:
        patch.setattr(loky.backend.utils, "kill_process_tree", fail_to_kill)
        assert future.kill()
        assert isinstance(future.exception(PATIENCE), JobKilled)
    assert is_gone(pid)


def test_a_second_kill_does_not_look_for_descendants(
    direct: Callable[..., Direct], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a kill hangs, one with force goes straight for the worker."""
    hanging, let_go = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        hanging.set()
        let_go.wait(PATIENCE)

    monkeypatch.setattr(loky.backend.utils, "kill_process_tree", hang)
    case = direct()
    pid = case.start()
    case.run(1, forever)
    case.engine.kill(0, 1, Verdict.KILLED)
    assert hanging.wait(PATIENCE)
    case.engine.kill(0, 1, Verdict.KILLED, force=True)
    assert eventually(lambda: is_gone(pid))
    let_go.set()
    lost = case.next()
    assert isinstance(lost, Lost)
    assert lost.loss.reason is Verdict.KILLED
    monkeypatch.undo()


def test_a_running_job_can_be_killed(make_executor: Maker, gate: Gate) -> None:
    """`kill` ends the job and its worker; the sibling goes on, and the slot has a new worker."""
    executor = make_executor(2)
    sibling, doomed = executor.submit(hold, gate.path, "a"), executor.submit(forever)
    gate.heard()
    assert eventually(doomed.running)
    assert doomed.kill()
    assert isinstance(doomed.exception(PATIENCE), JobKilled)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    gate.open()
    assert isinstance(sibling.result(PATIENCE), int)
    assert executor.stats().workers_killed == 1


def test_kill_and_answer_never_both_count(direct: Callable[..., Direct]) -> None:
    """An answer that is on the way when its job is killed is not heard."""
    case = direct()
    case.start()
    case.run(1, add, 1, 1)
    assert eventually(case.has_answer)
    case.engine.kill(0, 1, Verdict.KILLED)
    lost = case.next()
    assert isinstance(lost, Lost)
    assert lost.loss.reason is Verdict.KILLED
    assert isinstance(case.next(), Ready)
    case.engine.kill(0, 1, Verdict.KILLED)  # of no effect: the job is not there any more
    case.run(2, add, 2, 2)
    finished = case.next()
    assert isinstance(finished, Finished)
    assert finished.number == 2


@pytest.mark.parametrize(
    ("job", "argument", "exitcode", "name"),
    [(die, 5, 5, None), (signal_self, signal.SIGKILL, -9, "SIGKILL")],
)
def test_a_worker_that_dies_takes_its_own_job_only(
    make_executor: Maker,
    job: Callable[..., Any],
    argument: int,
    exitcode: int,
    name: str | None,
) -> None:
    """os._exit and signals are told with pid, exit code and name; others do not notice."""
    executor = make_executor(2)
    dying = executor.submit(job, argument)
    others = [executor.submit(add, n, 1) for n in range(10)]
    error = dying.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert (error.exitcode, error.signal) == (exitcode, name)
    assert error.pid == dying.info.pid
    assert [other.result(PATIENCE) for other in others] == list(range(1, 11))


def test_a_death_is_seen_though_a_descendant_holds_every_descriptor(
    make_executor: Maker, gate: Gate
) -> None:
    """A worker's end is told though neither its socket nor loky's pipe is closed by it."""
    executor = make_executor(1)
    future = executor.submit(die_leaving_descendant, gate.path)
    (left,) = gate.pids()
    try:
        error = future.exception(PATIENCE)
        assert isinstance(error, WorkerDied)
        assert error.exitcode == 7
        assert executor.submit(add, 1, 1).result(PATIENCE) == 2
    finally:
        os.kill(left, signal.SIGKILL)


def test_a_worker_killed_while_idle_costs_no_job(make_executor: Maker) -> None:
    """A job that was sent to a dead worker, and never begun, goes to the next."""
    executor = make_executor(1)
    for _ in range(5):
        pid = executor.submit(os.getpid).result(PATIENCE)
        os.kill(pid, signal.SIGKILL)
        assert executor.submit(os.getpid).result(PATIENCE) != pid


def test_a_job_that_was_begun_is_never_run_again(direct: Callable[..., Direct]) -> None:
    """A loss says when the job began, if it did, and only else that it did not."""
    case = direct()
    case.start()
    before = time.monotonic()
    case.run(1, die, 1)
    lost = case.next()
    assert isinstance(lost, Lost)
    assert lost.loss.begun is not None
    assert before <= lost.loss.begun <= lost.loss.ended
    second = case.next()
    assert isinstance(second, Ready)
    assert second.pid is not None
    os.kill(second.pid, signal.SIGSTOP)
    case.run(2, add, 1, 1)
    began = case.engine.begun(0, 2)
    assert began is not None  # a stopped worker has its deadlines, too
    os.kill(second.pid, signal.SIGKILL)
    lost = case.next()
    assert isinstance(lost, Lost)
    assert lost.loss.begun is None


def test_the_last_words_of_a_worker_count(direct: Callable[..., Direct]) -> None:
    """An answer that was sent before a death is heard before it, and in a report of its own."""
    case = direct()
    pid = case.start()
    case.run(1, add, 1, 1)
    assert eventually(case.has_answer)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: is_gone(pid))
    first = list(case.engine.wait(PATIENCE))
    assert [type(report) for report in first] == [Finished]
    assert isinstance(case.next(), Lost)


@pytest.mark.parametrize("stays", [False, True])
def test_a_worker_that_lets_go_of_its_socket_is_replaced(
    make_executor: Maker, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    """A job that closes every descriptor loses its own result, and the slot goes on."""
    monkeypatch.setattr("ezpq_exec.engines.spawned.PATIENCE", 0.5)
    executor = make_executor(1)

    def close_all() -> None:
        if stays:  # a thread keeps the process
            threading.Thread(target=forever).start()
        devnull = os.open(os.devnull, os.O_RDWR)
        os.dup2(devnull, 2)
        os.closerange(3, 256)

    assert isinstance(executor.submit(close_all).exception(PATIENCE), WorkerDied)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


# Starting and leaving -------------------------------------------------------------------------


def test_an_initializer_runs_in_each_worker_first(make_executor: Maker) -> None:
    """Before its first job a worker has run the initializer."""
    executor = make_executor(1, initializer=initialize, initargs=("it",))
    assert executor.submit(initialized_with).result(PATIENCE) == "it"
    executor.submit(die, 1).exception(PATIENCE)
    assert executor.submit(initialized_with).result(PATIENCE) == "it"


def test_an_initializer_that_fails_breaks_the_executor(make_executor: Maker) -> None:
    """The cause is what it raised."""
    executor = make_executor(1, initializer=failing_initializer, initargs=("not today",))
    error = executor.submit(add, 1, 1).exception(PATIENCE)
    assert isinstance(error, BrokenExecutor)
    assert isinstance(error.__cause__, ValueError)


def test_a_death_before_readiness_is_no_loss(direct: Callable[..., Direct], gate: Gate) -> None:
    """A worker whose initializer ends it did not start, and says how it ended."""
    case = direct(initializer=dying_initializer, initargs=(gate.path,))
    case.engine.start(0)
    report = case.next()
    assert isinstance(report, Unstartable)
    assert not report.fatal
    assert isinstance(report.cause, WorkerDied)
    assert report.cause.exitcode == 9
    assert report.cause.pid == gate.pids()[0]


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("socket.socketpair", OSError),
        ("os.getcwd", FileNotFoundError),
        ("threading.Thread.start", RuntimeError),
        ("", OSError),  # loky's process
    ],
)
def test_a_worker_that_cannot_be_started_is_reported(
    direct: Callable[..., Direct],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    error: type[Exception],
) -> None:
    """Out of descriptors, threads or processes, or with no directory to be in: it is told why."""

    def refuse(*_: object) -> None:
        raise error("no more")

    case = direct()
    with monkeypatch.context() as patch:
        if what:
            patch.setattr(what, refuse)
        else:  # joblib, where it was imported, has put its own copy in the place of loky's
            patch.setattr(get_context("loky").Process, "start", refuse)
        case.engine.start(0)
        report = case.next()
    assert isinstance(report, Unstartable)
    assert isinstance(report.cause, error)
    assert not report.fatal
    case.start()


def test_workers_are_replaced_after_their_number_of_tasks(make_executor: Maker) -> None:
    """With max_tasks_per_child, no worker runs more jobs than that."""
    executor = make_executor(1, max_tasks_per_child=2)
    pids = [executor.submit(os.getpid).result(PATIENCE) for _ in range(6)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4] == pids[5]
    assert len(set(pids)) == 3
    assert all(eventually(partial(is_gone, pid)) for pid in pids[:4])


def test_slots_come_and_go(make_executor: Maker, gate: Gate) -> None:
    """`resize` lets more jobs run at once, or fewer, and those that run are left alone."""
    executor = make_executor(1)
    held = [executor.submit(hold, gate.path) for _ in range(3)]
    gate.heard(1)
    executor.resize(3)
    pids = gate.pids(2)
    executor.resize(1)
    gate.open(3)
    assert {future.result(PATIENCE) for future in held} > set(pids)
    assert eventually(lambda: len(descendants()) == 1)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


def test_a_worker_that_will_not_leave_is_killed(
    make_executor: Maker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that a job left behind keeps its worker, but not for ever."""
    monkeypatch.setattr("ezpq_exec.engines.spawned.PATIENCE", 0.5)

    def leave_thread() -> int:
        threading.Thread(target=forever).start()
        return os.getpid()

    executor = make_executor(1)
    pid = executor.submit(leave_thread).result(PATIENCE)
    executor.shutdown()
    assert is_gone(pid)


def test_shutdown_while_busy_finishes_the_jobs(make_executor: Maker, gate: Gate) -> None:
    """What runs and what waits is done before `shutdown` returns, and then nothing is left."""
    before = descendants()
    executor = make_executor(2)
    held = [executor.submit(hold, gate.path) for _ in range(2)]
    waiting = [executor.submit(add, n, 1) for n in range(5)]
    gate.heard(2)
    executor.shutdown(wait=False)
    assert not any(future.done() for future in held)
    gate.open(2)
    executor.shutdown()
    assert [future.result(0) for future in waiting] == [1, 2, 3, 4, 5]
    assert all(future.done() for future in held)
    assert not descendants() - before


def test_close_may_kill(direct: Callable[..., Direct], gate: Gate) -> None:
    """`close(kill=True)` waits neither for a job nor for an initializer."""
    busy, starting = direct(), direct(initializer=hold, initargs=(gate.path,))
    busy.start()
    busy.run(1, forever)
    starting.engine.start(0)
    gate.heard()
    for each in (busy, starting):
        each.engine.close(kill=True)
        assert isinstance(each.next(), Stopped)
        each.engine.wake()  # of no effect


def test_a_worker_may_leave_while_it_is_still_starting(direct: Callable[..., Direct]) -> None:
    """A slot that is retired before its worker is up leaves nothing."""
    case = direct()
    case.engine.start(0)
    case.engine.retire(0)
    case.engine.close()
    assert isinstance(case.next(), Stopped)


# Large data and stopped workers ---------------------------------------------------------------


@pytest.fixture
def stopped(
    make_executor: Maker, make_gate: Callable[[], Gate]
) -> tuple[PriorityExecutor, int, Gate]:
    """An executor whose one free worker, of that pid, is stopped; the gate frees the other."""
    executor = make_executor(2)
    first, second = make_gate(), make_gate()
    sibling, other = executor.submit(hold, first.path), executor.submit(hold, second.path)
    first.heard()
    (pid,) = second.pids()
    second.open()
    other.result(PATIENCE)
    os.kill(pid, signal.SIGSTOP)
    assert not sibling.done()
    return executor, pid, first


def test_a_huge_argument_for_a_stopped_worker_holds_up_nobody(
    stopped: tuple[PriorityExecutor, int, Gate],
) -> None:
    """The sibling goes on, and so does the job when its worker does."""
    executor, pid, gate = stopped
    huge = executor.submit(len, bytes(HUGE))
    gate.open()
    for n in range(20):
        assert executor.submit(add, n, 1).result(PATIENCE) == n + 1
    assert not huge.done()
    os.kill(pid, signal.SIGCONT)
    assert huge.result(PATIENCE) == HUGE


def test_a_huge_argument_for_a_stopped_worker_can_be_killed_and_times_out(
    stopped: tuple[PriorityExecutor, int, Gate],
) -> None:
    """A send that is stuck hinders neither `kill` nor a timeout."""
    executor, pid, gate = stopped
    huge = executor.options(timeout=0.5).submit(len, bytes(HUGE))
    gate.open()
    assert isinstance(huge.exception(PATIENCE), JobTimeout)
    assert is_gone(pid)
    assert executor.submit(add, 1, 1).result(PATIENCE) == 2


# The parent's death ---------------------------------------------------------------------------

PARENT = """
import os, sys, time
from ezpq_exec import PriorityExecutor
from ezpq_exec.engines.spawned import SpawnedEngine
from workload import child
from gates import hold, say

if __name__ == "__main__":
    executor = PriorityExecutor(3, engine=SpawnedEngine())
    gate = sys.argv[1]
    executor.submit(child, gate)
    executor.submit(hold, gate)
    say(gate, executor.submit(os.getpid).result(60))
    if len(sys.argv) > 2 and os.fork() == 0:
        say(gate, "fork", os.getpid())
    time.sleep(3600)
"""


@pytest.mark.parametrize("forks", [False, True])
def test_nothing_outlives_a_parent_that_is_killed(gate: Gate, tmp_path: Path, forks: bool) -> None:
    """Idle and busy workers end, with their children, even if the parent has a fork that stays."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    words = [sys.executable, str(script), gate.path, *(["fork"] if forks else [])]
    with subprocess.Popen(words, env=environment) as parent:
        try:
            said = gate.heard(3 + forks)  # in whatever order
        finally:
            parent.kill()
    pids = {int(word) for line in said for word in line.split() if word != "fork"}
    fork = next((int(line.split()[1]) for line in said if line.startswith("fork")), None)
    try:
        assert len(pids) == 4 + forks
        assert all(eventually(partial(is_gone, pid)) for pid in pids - {fork})
        assert (fork is not None) == forks
        assert fork is None or not is_gone(fork)
    finally:
        if fork is not None:
            os.kill(fork, signal.SIGKILL)


# Where things are otherwise -------------------------------------------------------------------


def test_a_socket_is_shared_with_the_process_that_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sockets are handed over by sharing (Windows), it is with that very process."""

    class Sock:
        def share(self, pid: int) -> bytes:
            return f"for {pid}".encode()

    class Popen:
        pid = 4711

    from multiprocessing.context import set_spawning_popen

    monkeypatch.setattr(socket, "fromshare", bytes.decode, raising=False)
    handed = sockets.portable(Sock())  # type: ignore[arg-type]
    set_spawning_popen(Popen())  # type: ignore[arg-type]
    try:
        rebuild, args = handed.__reduce__()
    finally:
        set_spawning_popen(None)
    assert rebuild(*args) == "for 4711"


@pytest.mark.usefixtures("tcp")
def test_over_tcp_a_job_that_may_have_begun_counts_as_begun(direct: Callable[..., Direct]) -> None:
    """What the dead worker had still said may be lost there; so the job is not run again."""
    case = direct()
    pid = case.start()
    os.kill(pid, signal.SIGSTOP)
    case.run(1, add, 1, 1)
    os.kill(pid, signal.SIGKILL)
    lost = case.next()
    assert isinstance(lost, Lost)
    assert lost.loss.begun is not None


def test_a_kill_needs_no_thread_where_there_is_none_to_be_had(
    direct: Callable[..., Direct], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of threads, the worker is killed at once, without a search for its descendants."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("ezpq_exec-killer"):
            raise RuntimeError("can't start new thread")
        start(thread)

    case = direct()
    pid = case.start()
    case.run(1, forever)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        case.engine.kill(0, 1, Verdict.KILLED)
        lost = case.next()
    assert isinstance(lost, Lost)
    assert (lost.loss.pid, lost.loss.reason) == (pid, Verdict.KILLED)


@pytest.mark.parametrize("missing", ["a socket", "a thread"])
def test_nothing_is_left_of_a_worker_for_which_there_was_no_room(
    missing: str, direct: Callable[..., Direct], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slot hears why; the sockets that were there already are closed."""
    made: list[object] = []

    def pair() -> tuple[socket.socket, socket.socket]:
        if made:
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(None)
        return socket.socketpair()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    case = direct()
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        if missing == "a socket":
            patch.setattr(attendant, "pair", pair)
        else:
            patch.setattr(threading.Thread, "start", refuse)
        case.engine.start(0)
    report = case.next()
    assert isinstance(report, Unstartable)
    assert isinstance(report.cause, OSError if missing == "a socket" else RuntimeError)
    assert len(os.listdir("/proc/self/fd")) == before


def test_it_says_what_it_cannot_do(make_executor: Maker) -> None:
    """Its capabilities claim neither whole trees nor deadlines of its own."""
    can = make_executor(1).capabilities
    assert (can.kills, can.recycles, can.isolates) == (True, True, True)
    assert (can.whole_tree, can.own_deadlines, can.hands_over) == (False, False, False)

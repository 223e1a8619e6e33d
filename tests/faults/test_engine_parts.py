"""What parts of the engines do when the moment is the wrong one: nobody is there, or no more."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import eventually
from ezpq_exec.engines import choice, loglevels, logsender
from ezpq_exec.engines.base import Capabilities, Engine, Setup, end
from ezpq_exec.engines.channel import Kind
from ezpq_exec.engines.errand import Errand
from ezpq_exec.engines.lender import Lender
from ezpq_exec.engines.lending import Lending
from ezpq_exec.engines.spawned import SpawnedEngine
from ezpq_exec.inbox import Inbox
from ezpq_exec.jobs import Call
from ezpq_exec.reports import Capacity, Finished, Lost, Stopped
from gates import PATIENCE
from workload import add

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
if sys.platform == "linux":
    from test_refusals import refuse

    from ezpq_exec.engines import board, outlet, roots, scales, stackdump, tree
    from ezpq_exec.engines.ahead import recall
    from ezpq_exec.engines.attendant import Attendant
    from ezpq_exec.engines.channel import SMALL, Channel, header
    from ezpq_exec.engines.jobqueue import JobQueue
    from ezpq_exec.engines.link import Link
    from ezpq_exec.engines.messages import Died
    from ezpq_exec.engines.processes import ProcessEngine


# Processes that are gone ------------------------------------------------------------------------


@pytest.fixture
def dead() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait(PATIENCE)
    return child.pid


def test_the_death_of_a_process_that_is_gone_is_not_waited_for(dead: int) -> None:
    tree._await_death_of(dead, float("inf"))


@pytest.mark.parametrize("starter", ["start()", "Thread(target=start).start()"])
def test_children_are_known_whichever_thread_has_started_them(starter: str) -> None:
    program = f"""
import subprocess, sys
from threading import Thread

def start():
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as child:
        print(child.pid, flush=True)
        input()

{starter}
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert tree.children(parent.pid) == [child]
        parent.communicate("\n", PATIENCE)


def test_what_the_system_does_not_know_of_processes_is_said() -> None:
    with pytest.raises(OSError, match=r"prctl\(-1\) failed"):
        tree._prctl(-1, 0)


def test_a_process_that_has_ended_has_no_memory_and_one_that_tells_nothing_all_of_it(
    dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its share of what it has together with others, which only it can tell."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert scales._share(child.pid, 1000) == 0
    finally:
        child.wait()
    assert 0 < scales._share(os.getpid(), 2**60) < 2**60
    monkeypatch.setattr("builtins.open", refuse(errno.EACCES))
    assert scales._share(os.getpid(), 1000) == 1000


def test_a_process_that_is_gone_is_not_stopped(dead: int) -> None:
    assert not stackdump._is_stopped(dead)


def test_a_kill_is_rehearsed_without_harm() -> None:
    """The process goes on, in its own group; and nobody's end is taken notice of."""
    program = """
import os, signal, subprocess, sys
from ezpq_exec.engines import tree

alarm = tree.hear_of_deaths()
ended = subprocess.Popen([sys.executable, "-c", ""])
os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
tree.rehearse(child.pid)
print(os.getpgid(child.pid) == child.pid, child.poll())
child.communicate(b"\\n")
print(child.returncode, tree.reap() == {ended.pid: 0})
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True None\n0 True\n", "")


def test_a_kill_that_cannot_be_rehearsed_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that has no descriptor for it does not end for that, and its worker with it."""
    monkeypatch.setattr(os, "pidfd_open", refuse(errno.EMFILE))
    before = os.getpgrp()
    tree.rehearse(os.getpid())
    assert os.getpgrp() == before


@pytest.fixture
def attendant() -> Any:
    """One whose worker the test plays."""
    made = Attendant.__new__(Attendant)
    made.slot = 0
    made._is_up, made._is_gone = threading.Event(), threading.Event()
    made._process = None
    made._killers = []
    made.pid = None
    return made


def test_a_worker_that_cannot_be_signalled_is_left_to_the_next_try(
    attendant: Any, dead: int
) -> None:
    """It is gone, or another user's."""
    attendant._process = SimpleNamespace(pid=dead, terminate=refuse(errno.EPERM))
    attendant.terminate()
    attendant._kill_alone()
    attendant._is_gone.set()
    attendant.terminate()
    attendant._kill_alone()
    assert attendant._process is not None


def test_a_worker_that_never_came_up_is_not_killed(attendant: Any) -> None:
    attendant._is_up.set()
    attendant._kill(0.0, bare=False)
    attendant._kill_alone()
    assert attendant.pid is None


def test_how_a_worker_ended_is_known_though_another_thread_has_collected_it(
    attendant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own look at its children then has multiprocessing find what it noted."""
    process = SimpleNamespace(exitcode=None, join=lambda: None)

    def look() -> None:
        process.exitcode = 7

    monkeypatch.setattr(multiprocessing, "active_children", look)
    attendant._process = process
    attendant._await_end()
    assert attendant.exitcode == 7


# Engines ----------------------------------------------------------------------------------------


class Slow(Engine):
    """Ends in its own time."""

    capabilities = Capabilities(kills=True)

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def open(self, setup: Setup) -> None: ...

    def start(self, slot: int) -> None: ...

    def run(self, *_: Any) -> None: ...

    def kill(self, slot: int, number: int, reason: Any, *, force: bool = False) -> None:
        self.heard.append(("kill", slot, number))

    def retire(self, slot: int) -> None: ...

    def begun(self, slot: int, number: int) -> float | None:
        return None

    def wait(self, timeout: float | None) -> Any:
        self.heard.append("wait")
        return [Stopped()] if self.heard.count("wait") == 3 else [Capacity(1)]

    def wake(self) -> None: ...

    def close(self, *, kill: bool = False) -> None:
        self.heard.append(("close", kill))


def test_an_engine_that_takes_its_time_is_waited_for() -> None:
    engine = Slow()
    end(engine)
    assert engine.heard == [("close", True), *["wait"] * 3]


def test_an_engine_that_knows_no_gentle_way_kills() -> None:
    engine = Slow()
    engine.terminate(0, 7, None)  # type: ignore[arg-type]
    assert engine.heard == [("kill", 0, 7)]


@pytest.mark.parametrize("lacks", ["children in /proc", "pidfds"])
def test_where_keepers_lack_something_workers_are_spawned(
    lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in some sandboxes."""
    if lacks == "pidfds":
        monkeypatch.setattr(os, "pidfd_open", refuse(errno.EPERM))
    else:
        monkeypatch.setattr(os.path, "exists", lambda _: False)
    assert isinstance(choice.choose("processes"), SpawnedEngine)


def test_a_root_that_cannot_be_started_is_known_by_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roots, "deafen", refuse(errno.ENOMEM))
    root = roots.Root()
    root._starter.join()
    assert isinstance(root.failure, OSError)
    assert "died before its worker was up" in root.epitaph()
    root.give_up()
    root.close()


def test_where_stdout_is_closed_workers_have_the_null_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "dup", refuse(errno.EBADF))
    copies = roots._streams()
    null = os.stat(os.devnull)
    assert [os.fstat(copy).st_rdev for copy in copies] == [null.st_rdev] * 2
    for copy in copies:
        os.close(copy)


# Links ------------------------------------------------------------------------------------------


@pytest.fixture
def link() -> Iterator[Any]:
    """One with a worker's ends, which the test holds, and without a keeper."""
    made: Any = Link.__new__(Link)
    made.slot, made.ticket, made.number, made.closed = 0, 9, 3, False
    made.ready, made.tasks, made.is_large, made.outgrown = True, 1, False, False
    made.keeper = made.forced = made.line = None
    made.listening = made.fetched = made.has_segments = False
    made.handed = made.heard = 0
    made.parcel = made.parcels = made.capture = None
    made.askers, made.remains, made.pid, made.spoilt = {}, [], 77, None
    made.lock = threading.Lock()
    made.ahead, made.declined = deque([(10, 4), (11, 5)]), []
    made.queue = JobQueue(*socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    ours, made.theirs = socket.socketpair()
    made.channel = Channel(ours)
    yield made
    for each in (made.queue, made.channel, made.theirs, *made.remains):
        if each is not None:
            each.close()


@pytest.fixture
def engine(link: Any) -> Iterator[Any]:
    """An engine that has this link alone."""
    made: Any = ProcessEngine()
    made.open(Setup())
    made._links[0] = link
    yield made
    made._links.clear()
    made.close()
    assert made.wait(0.0) == [Stopped()]


def test_orders_among_jobs_that_are_taken_back_are_put_in_again(link: Any) -> None:
    """They are for the worker, whatever it runs."""
    for ticket, kind in ((9, Kind.CALL), (10, Kind.CALL), (99, Kind.TIDY), (11, Kind.CALL)):
        assert link.queue.send(header(ticket, kind, b""))
    assert recall(link) == [4, 5]
    assert (link.ticket, list(link.ahead)) == (9, [])
    assert link.queue.recall() == ({9: b""}, [header(99, Kind.TIDY, b"")])


def test_a_queue_that_was_hung_up_has_nothing_to_take_back(link: Any) -> None:
    link.queue.entry.shutdown(socket.SHUT_RDWR)
    assert link.queue.recall() == ({}, [])


def test_a_job_that_a_worker_s_queue_does_not_take_is_not_queued(engine: Any, link: Any) -> None:
    """It waits on, as if it had never been tried."""
    while link.queue.send(b"x"):
        pass
    assert engine.queue({0: [(6, b"c" * SMALL)]}) == []  # which has not set out yet
    assert engine.queue({0: [(7, b"call")]}) == [7]
    assert [number for _, number in link.ahead] == [4, 5, 6]
    sent: list[object] = []
    engine.hand_over(0, 6, b"call", None, sent, False)
    assert sent == []


def test_a_job_for_a_slot_whose_worker_has_just_left_is_handed_to_nobody(
    engine: Any, link: Any
) -> None:
    """Nor is anything captured, or sent, or heard there."""
    link.queue.close()
    link.channel.close()
    link.queue = link.channel = None
    sent: list[object] = []
    engine.hand_over(0, 6, b"call", None, sent, False)
    engine.capture(0)
    engine.run(0, 6, b"call", None)
    engine._on_channel(link, 1)
    assert sent == []
    assert engine.wait(0.0) == []


def test_output_for_which_a_worker_cannot_be_told_is_not_captured(engine: Any, link: Any) -> None:
    """If it is gone, its keeper will say so; if it takes nothing more, it is given up."""
    while link.queue.send(b"x"):
        pass
    engine.capture(0)
    assert link.forced == (9, None)
    link.theirs.close()
    link.capture = None
    engine.capture(0)
    assert link.capture is None


def test_a_large_call_for_a_worker_that_is_gone_raises_nothing(engine: Any, link: Any) -> None:
    link.theirs.close()
    engine._send(link, header(9, Kind.CALL, b"x"), bytes(2**20))
    assert engine.wait(0.0) == []


def test_what_is_said_of_a_link_that_is_closed_is_no_loss(engine: Any, link: Any) -> None:
    link.closed = True
    engine._mourn(link, None)
    assert engine.wait(0.0) == []


def test_what_is_left_of_a_worker_that_was_killed_goes_before_its_keeper_may_fork(
    engine: Any, link: Any
) -> None:
    """While others may be killed there is no time for it, but the next needs its descriptors."""
    orders: list[tuple[str, int]] = []
    link.order = lambda what: orders.append((what, len(link.remains)))
    channel = link.channel
    died = Died(77, -9, "TIMED_OUT", 9, 1.0, 3.0, None, (), 0)
    engine._renewals.hear(link, died)
    engine._mourn(link, died)
    assert (link.channel, link.queue, len(link.remains)) == (None, None, 2)
    assert channel.sock.fileno() >= 0
    assert isinstance(engine.wait(0.0)[0], Lost)
    engine.wait(0.001)
    assert orders == [("fork", 0)]
    assert channel.sock.fileno() == -1


def test_what_is_left_of_a_worker_that_ended_by_itself_goes_at_once(engine: Any, link: Any) -> None:
    """Its keeper does not ask before it forks the next."""
    engine._mourn(link, Died(77, -11, None, 9, 1.0, 3.0, None, (), 0))
    assert (link.channel, link.queue, link.remains) == (None, None, [])
    assert isinstance(engine.wait(0.0)[0], Lost)


def test_an_answer_that_was_sent_before_its_worker_died_is_told_first(
    engine: Any, link: Any
) -> None:
    """And its death by itself, later: what the scheduler makes of the first may need the second."""
    link.theirs.sendall(header(9, Kind.RETURNED, b"it", 1.0, 2.0) + b"it")
    died = Died(77, -9, None, 9, 1.0, 3.0, None, (), 0)
    engine._mourn(link, died)
    (finished,) = engine.wait(0.0)
    assert isinstance(finished, Finished)
    assert finished.number == 3
    (lost,) = engine.wait(0.0)
    assert isinstance(lost, Lost)
    assert (lost.loss.pid, lost.loss.begun) == (77, None)


@pytest.mark.parametrize("kind", ["processes", "spawned"])
def test_an_empty_word_on_a_stream_is_none(engine: Any, link: Any, kind: str) -> None:
    """The system may wake us for nothing."""
    link.channel.sock.setblocking(False)
    made = engine if kind == "processes" else SpawnedEngine()
    made._on_channel(link, 1)
    assert link.spoilt is None
    assert engine.wait(0.0) == []


def test_an_answer_on_a_line_is_had_though_its_slot_is_gone(engine: Any) -> None:
    line = SimpleNamespace(slot=7, ticket=1, outcome="it")
    assert engine.left(line) == "it"


# Lenders ----------------------------------------------------------------------------------------


class Odd(Executor):
    """Refuses in a manner of its own."""

    max_workers = 1

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise KeyError("not today")


def test_a_refusal_that_says_nothing_is_no_end() -> None:
    """The next job is tried all the same."""
    assert not Lender(Odd()).is_done_for(RuntimeError("cannot schedule that"))


class Wordless:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError("no words")


def test_an_errand_shows_nothing_of_whoever_sent_it() -> None:
    """A lender may show it in a log, where users' objects might fail."""
    assert repr(Errand(Call(add, (Wordless(),), {}))) == "<Errand>"


def test_a_lender_for_whose_board_there_is_no_memory_is_lent_nothing_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And it is not tried again for each job."""
    tried: list[None] = []

    def no_room() -> None:
        tried.append(None)
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr("ezpq_exec.engines.lending.Board", no_room)
    lending = Lending(Odd(), Inbox())
    lending.lender.is_prompt, lending.lender.is_here = True, False
    loan: Any = SimpleNamespace()
    assert not lending.lends_ahead(loan, Odd.max_workers)
    assert not lending.lends_ahead(loan, Odd.max_workers)
    assert tried == [None]


def test_a_lender_that_is_known_to_be_done_for_is_given_nothing_more() -> None:
    """What was on its way to it comes back with the reason."""
    inbox: Inbox[Any] = Inbox()
    lending = Lending(Odd(), inbox)
    lending.lender.fault = fault = RuntimeError("it has been shut down")
    place = SimpleNamespace(next=lambda _: None)  # where nothing waits
    loan = SimpleNamespace(ticket=None, claim=lambda: True)
    bundle: Any = SimpleNamespace(loans=[loan], place=place)
    lending._lend(bundle)
    [refused] = inbox.take(0)
    assert (refused.bundle, refused.cause) == (bundle, fault)


def test_an_answer_that_is_no_plain_data_has_no_room_on_the_board() -> None:
    """It goes the lender's own way."""
    assert not board.leave(("", b"", 0), object())


# Workers ----------------------------------------------------------------------------------------


def test_what_a_job_has_put_in_the_place_of_stdout_need_not_be_a_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Capturing goes on with what there is."""
    for instead in (None, object()):
        monkeypatch.setattr(sys, "stdout", instead)
        outlet._write_by_line(True)
        outlet.flush()
    monkeypatch.undo()
    assert sys.stdout is not None


class Wire:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.said: list[int] = []

    def tell(self, kind: int, body: bytes) -> None:
        self.said.append(kind)


def record(text: str, *args: Any, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("here", level, __file__, 1, text, args, None)


def test_a_record_that_cannot_be_formatted_is_reported_as_logging_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On stderr; the one who logged goes on."""
    wire: Any = Wire()
    relay = logsender._Relay(wire)
    relay.emit(record("%d of %d", "one"))
    assert wire.said == []
    assert "Logging error" in capsys.readouterr().err
    relay.emit(record("%s of %s", 1, 2))
    assert wire.said == [Kind.LOGGED]


def test_a_fork_of_a_worker_logs_where_there_is_no_handler_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two processes on one stream would spoil it."""
    wire: Any = Wire()
    relay = logsender._Relay(wire)
    relay._pid = -1
    relay.emit(record("from a child"))
    relay.emit(record("too little to be shown", level=logging.INFO))
    monkeypatch.setattr(logging, "lastResort", None)
    relay.emit(record("to nobody"))
    assert capsys.readouterr().err == "from a child\n"
    assert wire.said == []


def test_a_warning_for_a_file_is_shown_there_and_so_is_one_of_a_fork() -> None:
    wire: Any = Wire()
    shown: list[str] = []

    def show(message: Any, *_: Any) -> None:
        shown.append(str(message))

    def warn(text: str, owner: int, file: Any = None) -> None:
        logsender._show(wire, owner, show, text, UserWarning, "nowhere.py", 1, file)

    warn("to a file", os.getpid(), sys.stderr)
    warn("of a fork", -1)
    assert shown == ["to a file", "of a fork"]
    assert wire.said == []
    warn("of nowhere", os.getpid())
    assert wire.said == [Kind.WARNED]


def test_a_logger_that_is_disabled_here_is_so_there() -> None:
    """As `disable_existing_loggers` leaves them."""
    logger = logging.getLogger("ezpq_exec_tests.disabled")
    logger.disabled = True
    found = loglevels.levels()
    assert logger.name in found.disabled
    logger.disabled = False
    loglevels.adopt(found)
    assert logger.disabled
    logger.disabled = False


def test_a_worker_that_is_condemned_waits_for_its_death() -> None:
    """Whatever signal comes before that."""
    code = (
        "import os, signal\nfrom ezpq_exec.engines import worker\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'still here\\n'))\n"
        "os.write(1, b'up\\n')\nworker._await_death()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        for _ in range(2):
            child.send_signal(signal.SIGUSR1)
            assert child.stdout.readline() == b"still here\n"
        child.kill()
    assert eventually(lambda: child.returncode == -signal.SIGKILL)

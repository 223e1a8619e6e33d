"""A keeper whose parent and worker are the test's own: what it says, and when it ends."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from gates import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
if sys.platform == "linux":
    from ezpq_exec.engines import keeper, tree
    from ezpq_exec.engines.keeper import Keeper
    from ezpq_exec.engines.messages import MESSAGE_SIZE, Born, Died, Dumped
    from ezpq_exec.engines.page import Page
    from ezpq_exec.engines.turns import Turns

NEVER = float("inf")
TICKET = 5


class Kept:
    """A keeper in a fork of this process, in whose workers something is done.

    Its parent, as far as it knows, is a process that does nothing.
    """

    def __init__(
        self, work: Callable[[Any, socket.socket], int], *, is_alone: bool = False
    ) -> None:
        """`is_alone`: nobody is there to hear it, from the first."""
        self.stream = socket.socket()
        self.parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        watched = os.pidfd_open(self.parent.pid)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(PATIENCE)
        descriptor = Page.allocate()
        self.page = Page(descriptor)
        turns = Turns()
        begins, begin = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 99  # neither keeper nor worker gets so far
            try:
                self.control.close()
                os.read(begins, 1)
                tree.adopt_orphans()
                stream = Keeper(theirs, self.page, watched, turns).keep()[0]
                code = work(self.page, stream)
            finally:
                os._exit(code)
        for each in (theirs, turns, *((self.control,) if is_alone else ())):
            each.close()
        os.write(begin, b"x")
        for number in (descriptor, watched, begins, begin):
            os.close(number)

    def news(self) -> Any:
        """What it says next; the sockets that come with a worker are closed, but for its stream."""
        data, fds, _, _ = socket.recv_fds(self.control, MESSAGE_SIZE, 4)
        for descriptor in fds[1:]:
            os.close(descriptor)
        if fds:
            self.stream.close()
            self.stream = socket.socket(fileno=fds[0])
            self.stream.settimeout(PATIENCE)
        kind, *values = pickle.loads(data)
        return {"Born": Born, "Died": Died, "Dumped": Dumped}[kind](*values)

    def born(self) -> int:
        """The pid of the worker that has come up."""
        born = self.news()
        assert isinstance(born, Born)
        assert born.keeper == self.pid
        return born.pid

    def order(self, what: str, ticket: int = 0, reason: str = "", pid: int | None = None) -> None:
        self.control.send(pickle.dumps((what, ticket, reason, pid)))

    def ends(self) -> int:
        """The keeper's exit code, which is awaited."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Let go of what is the test's."""
        self.control.close()
        self.stream.close()
        self.page.close()
        self.parent.kill()
        self.parent.communicate()


def leave_when_told(_: Any, stream: socket.socket) -> int:
    """Wait for the end of what the parent says, and end with a code of one's own."""
    stream.recv(1)
    return 3


def begin_a_job(page: Any, stream: socket.socket) -> NoReturn:
    """Never end a job."""
    page.begin(TICKET, 1.0, NEVER)
    stream.send(b"x")
    while True:  # it is asked where it is, by a signal
        signal.pause()


@pytest.fixture
def keep() -> Iterator[Callable[..., Kept]]:
    """Makes keepers."""
    made: list[Kept] = []

    def one(work: Callable[[Any, socket.socket], int], **options: bool) -> Kept:
        made.append(Kept(work, **options))
        return made[-1]

    yield one
    for kept in made:
        kept.close()


def killed(kept: Kept) -> None:
    """Its worker's job is killed, as was asked; so it is known why there is no worker now."""
    pid = kept.born()
    assert kept.stream.recv(1) == b"x"
    kept.order("kill", TICKET, "KILLED", pid)
    died = kept.news()
    assert (died.pid, died.exitcode, died.reason) == (pid, -signal.SIGKILL, "KILLED")
    assert (died.ticket, died.begun) == (TICKET, 1.0)


def test_a_worker_that_ends_by_itself_is_replaced_at_once(keep: Any) -> None:
    """How it ended is said before that."""
    kept = keep(leave_when_told)
    first = kept.born()
    kept.stream.close()
    died = kept.news()
    assert (died.pid, died.exitcode, died.reason, died.ticket) == (first, 3, None, 0)
    second = kept.born()
    kept.stream.close()
    assert kept.news().exitcode == 3
    assert len({first, second, kept.born()}) == 3
    kept.order("end")
    assert kept.news().exitcode == -signal.SIGKILL
    assert kept.ends() == 0


def test_after_a_kill_the_next_worker_waits_for_the_parents_word(keep: Any) -> None:
    """An order that came too late is none for the next."""
    kept = keep(begin_a_job)
    killed(kept)
    kept.stream.close()
    kept.order("kill", TICKET, "TIMED_OUT")
    kept.order("fork")
    kept.born()
    kept.order("end")
    assert kept.news().reason is None
    assert kept.ends() == 0


@pytest.mark.parametrize("word", ["kill", "terminate", "renew"])
def test_an_order_is_for_one_worker_and_not_for_the_next(
    keep: Any, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If that one has ended by itself meanwhile, nobody is killed, now or when it should have left."""
    monkeypatch.setattr(keeper, "PATIENCE", 0.0)
    kept = keep(begin_a_job)
    first = kept.born()
    os.kill(first, signal.SIGKILL)
    assert kept.news().pid == first
    second = kept.born()
    assert kept.stream.recv(1) == b"x"
    kept.order(word, TICKET, "KILLED", first)
    kept.order("dump", TICKET)
    assert isinstance(kept.news(), Dumped)
    kept.order("end")
    died = kept.news()
    assert (died.pid, died.reason) == (second, None)
    assert kept.ends() == 0


@pytest.mark.parametrize("word", ["retire", "end"])
def test_a_keeper_that_is_not_needed_after_a_kill_ends(keep: Any, word: str) -> None:
    kept = keep(begin_a_job)
    killed(kept)
    kept.order(word)
    assert kept.ends() == 0


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_keeper_whose_parent_ends_kills_what_it_has_and_ends(keep: Any, is_killed: bool) -> None:
    """Whatever it was waiting for."""
    kept = keep(begin_a_job)
    if is_killed:
        killed(kept)
    else:
        worker = kept.born()
        assert kept.stream.recv(1) == b"x"
    kept.parent.kill()
    assert kept.ends() == 0
    if not is_killed:
        assert not os.path.exists(f"/proc/{worker}")


def test_a_keeper_to_which_nobody_talks_any_more_ends(keep: Any) -> None:
    """Its parent has let go of it, which is as good as its end."""
    kept = keep(begin_a_job)
    worker = kept.born()
    assert kept.stream.recv(1) == b"x"
    kept.control.close()
    assert kept.ends() == 0
    assert not os.path.exists(f"/proc/{worker}")


def test_a_keeper_that_can_tell_nobody_of_its_worker_ends(keep: Any) -> None:
    assert keep(begin_a_job, is_alone=True).ends() == 0


def test_a_keeper_whose_parent_left_without_having_heard_it_ends(keep: Any) -> None:
    """Which the system calls a connection that was reset."""
    kept = keep(begin_a_job)
    assert select.select([kept.control], [], [], PATIENCE)[0]
    kept.control.close()
    assert kept.ends() == 0

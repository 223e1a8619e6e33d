"""What the parts of the engine do where the system refuses a call, or another party is just gone."""

from __future__ import annotations

import errno
import mmap
import os
import pickle
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gates import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
if sys.platform == "linux":
    from ezpq_exec.engines import (
        attendant,
        board,
        capture,
        jobqueue,
        link,
        mappings,
        root,
        roots,
        segments,
        stackdump,
        tree,
    )
    from ezpq_exec.engines.jobqueue import JobQueue, next_message
    from ezpq_exec.engines.link import Link
    from ezpq_exec.engines.messages import Born


def refuse(number: int) -> Callable[..., Any]:
    """What fails like that."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def bare_link() -> Iterator[Link]:
    """A link with a control socket, and no keeper that it would know."""
    made = Link.__new__(Link)
    made.keeper, made.forced, made.ticket, made.pid = None, None, 0, None
    made.remains = []
    made.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.control.setblocking(False)
    with made.control, theirs:
        yield made


# The parent's side of a keeper ------------------------------------------------------------------


def test_a_keeper_that_reads_no_orders_is_killed(
    bare_link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not read hundreds, so it never will."""
    killed: list[str | None] = []
    monkeypatch.setattr(bare_link, "kill_keeper", lambda: killed.append(None))
    for _ in range(100_000):
        bare_link.order("dump", 1)
        if killed:
            break
    assert killed == [None]


def test_an_order_to_a_keeper_that_is_gone_is_in_vain(bare_link: Link) -> None:
    """Its tombstone tells; the order raises nothing."""
    bare_link.control.shutdown(socket.SHUT_RDWR)
    bare_link.order("dump", 1)
    with pytest.raises(EOFError):
        bare_link.news()


def test_what_is_left_of_a_worker_goes_before_the_sockets_of_the_next_are_received(
    bare_link: Link,
) -> None:
    """However late its death was reported: there may be no descriptors but those."""
    left = socket.socket()
    bare_link.remains.append(left)
    assert bare_link.news() is None
    assert (left.fileno(), bare_link.remains) == (-1, [])


def test_a_connection_that_is_reset_is_an_end(
    bare_link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "recv_fds", refuse(errno.ECONNRESET))
    with pytest.raises(EOFError):
        bare_link.news()


def test_a_keeper_that_died_at_once_is_met_all_the_same(
    bare_link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is its tombstone that says so; until then there is nobody to send a signal to."""
    monkeypatch.setattr(os, "pidfd_open", refuse(errno.ESRCH))
    socks = [socket.socket() for _ in range(link.SOCKS)]
    bare_link.meet(Born(1, 2), socks)
    monkeypatch.undo()
    assert bare_link.keeper is None
    assert not bare_link.keeper_lives()
    bare_link.kill_keeper("KILLED")
    assert bare_link.reason == "KILLED"
    for sock in socks:
        sock.close()


def test_a_keeper_that_is_gone_need_not_be_killed(bare_link: Link) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        bare_link.keeper = os.pidfd_open(child.pid)
        child.wait(PATIENCE)
    bare_link.kill_keeper()
    assert not bare_link.keeper_lives()
    os.close(bare_link.keeper)


# Queues -----------------------------------------------------------------------------------------


def test_at_a_queue_whose_other_end_is_gone_nothing_raises() -> None:
    """The worker reads its end; the parent is told that there is no room, or tells nobody."""
    entry, exit_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = exit_end.dup()
    queue = JobQueue(entry, exit_end)
    queue.close()
    assert next_message(worker) is None
    assert not queue.send(b"a job")
    queue.send_back(1)
    worker.close()


def test_a_queue_that_is_reset_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobqueue, "read_into", refuse(errno.ECONNRESET))
    with socket.socket() as sock:
        assert next_message(sock) is None


# The root ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", ["gone", "another"])
def test_a_root_whose_program_has_ended_meanwhile_ends(parent: str) -> None:
    """Whether its number is free, or is another's by now."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait(PATIENCE)
    code = (
        "import socket, sys\nfrom ezpq_exec.engines import root\n"
        "root.main(socket.socket(), int(sys.argv[1]))\nprint('returned')"
    )
    pid = child.pid if parent == "gone" else 1
    done = subprocess.run(
        [sys.executable, "-c", code, str(pid)],
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
        text=True,
    )
    assert done.stdout == "returned\n"


def test_a_request_that_lost_its_descriptors_is_refused_and_says_why() -> None:
    """A root at its limit of descriptors gets fewer than were sent."""
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)) as caught:
        root._fork_with([1, 2])
    reader, writer = os.pipe()
    root._say_why([writer], caught.value)
    os.close(writer)
    assert pickle.loads(os.read(reader, 4096)) == ("Unborn", errno.EMFILE)
    os.close(reader)
    root._say_why([writer], MemoryError())  # to nobody


def test_a_root_that_is_gone_is_closed_all_the_same() -> None:
    """Twice, even."""
    made = roots.Root()
    made.close()
    made.close()


def test_without_stdout_jobs_print_to_nowhere() -> None:
    """A program that has closed it, as daemons do, starts workers all the same."""
    code = (
        "import os, sys\nos.close(1)\n"
        "from ezpq_exec import PriorityExecutor\n"
        "with PriorityExecutor(1) as ex:\n"
        "    ex.submit(print, 'nobody reads this').result()\n"
        "    sys.stderr.write(str(ex.submit(abs, -1).result()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=PATIENCE, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"1")


# Memory and files -------------------------------------------------------------------------------


def test_a_board_for_which_there_is_no_memory_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(mmap, "mmap", refuse(errno.ENOMEM))
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        board.Board()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_board_that_is_full_says_so() -> None:
    """The job is then lent without a mark."""
    made = board.Board()
    while made.post() is not None:
        pass
    made.close()


@pytest.mark.parametrize(("number", "raises"), [(errno.ENOMEM, True), (errno.EMFILE, False)])
def test_a_segment_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, number: int, raises: bool
) -> None:
    """Want of memory is its job's error; for want of anything else the payload goes another way."""
    monkeypatch.setattr(os, "memfd_create", refuse(number))
    if raises:
        with pytest.raises(OSError, match=os.strerror(number)):
            segments.new_segment()
    else:
        assert segments.new_segment() is None


def test_a_finalizer_in_the_midst_of_taking_a_segment_gets_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would find the pool half sorted; its payload goes by the socket."""
    pool = segments.Pool(4, 1 << 20, 4)
    inner: list[object] = []
    choose = pool._choose

    def interrupted(size: int) -> Any:
        inner.append(pool.take(10))
        return choose(size)

    monkeypatch.setattr(pool, "_choose", interrupted)
    assert pool.take(10) is not None
    assert inner == [None]


def test_of_two_files_for_output_the_second_may_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is closed then, and the job is told why it does not run."""
    before = os.listdir("/proc/self/fd")
    make = tempfile.TemporaryFile
    made: list[object] = []

    def only_one(**options: Any) -> Any:
        if made:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        made.append(make(**options))
        return made[0]

    monkeypatch.setattr(tempfile, "TemporaryFile", only_one)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        capture.Capture()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_what_is_cut_off_while_it_is_read_ends_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process of the job may truncate the file that its output is kept in."""
    kept = capture.Capture()
    os.write(kept._files[0].fileno(), b"some words")
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    assert kept.read() == ("", "")


def test_a_dump_that_comes_late_is_no_last_word() -> None:
    """While stacks that were asked for are still to come, what is there is not forgotten."""
    dump = stackdump.Dump()
    dump.become_reader()
    dump.is_due = True
    dump._text = b"half of"
    dump.forget()
    assert dump.text() == "half of"
    dump.is_due = False
    dump.forget()
    assert dump.text() is None
    dump.close()


@pytest.mark.parametrize("mode", ["READ", "OWN", "COPY"])
def test_what_cannot_be_mapped_is_copied(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """A process may have so many mappings; whoever reads a copy is done with the segment at once."""
    segment = segments.new_segment()
    assert segment is not None
    begin = segment.append(memoryview(b"some words"))
    segment.keep()
    monkeypatch.setattr(mappings, "_map", refuse(errno.ENOMEM))
    seen = mappings.view(segment.fd, segment.size, mappings.Mode[mode])
    assert bytes(seen[begin : begin + 10]) == b"some words"
    assert seen.readonly == (mode == "READ")
    assert segment.is_free == (mode != "READ")


# Processes --------------------------------------------------------------------------------------


def test_a_process_that_is_gone_leaves_no_group() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait(PATIENCE)
    tree.leave_group(child.pid, os.getpid())
    attendant._freeze(child.pid)


def test_what_cannot_be_killed_is_given_up_in_time_and_named() -> None:
    """Another user's process, or one that the kernel holds: the caller goes on without it."""
    code = (
        "import os, signal, subprocess\nfrom ezpq_exec.engines import tree\n"
        "child = subprocess.Popen(['/bin/sleep', '60'])\n"
        "send, tree.send = tree.send, lambda *_: None\n"
        "print(tree.exterminate(patience=0.01) == ({}, [child.pid]))\n"
        "tree.send = send\n"
        "print(tree.exterminate() == ({child.pid: -signal.SIGKILL}, []))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
        text=True,
    )
    assert done.stdout == "True\nTrue\n"

"""A root in a fork of the test's: what it refuses, and with whom it ends."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import sys

import pytest

from gates import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
if sys.platform == "linux":
    from test_refusals import refuse

    from ezpq_exec.engines import root
    from ezpq_exec.engines.messages import MESSAGE_SIZE


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE)
    return ours, theirs


def refusal(requests: socket.socket) -> object:
    """What a root answers to a request without what a keeper needs, of which it keeps nothing."""
    control, far = pair()
    socket.send_fds(requests, [pickle.dumps(("a worker", False))], [far.fileno()])
    far.close()
    with control:
        answer = pickle.loads(control.recv(MESSAGE_SIZE))
        assert control.recv(1) == b""
    return answer


def serve(requests: socket.socket) -> None:
    """Be a root, below the process that calls this, for good."""
    try:
        root.main(requests, os.getppid())
    finally:
        os._exit(99)


def test_a_request_without_what_a_keeper_needs_is_refused_and_the_root_goes_on() -> None:
    """It says why by what it got; it ends when nobody can ask any more."""
    requests, theirs = pair()
    pid = os.fork()
    if pid == 0:
        requests.close()
        serve(theirs)
    theirs.close()
    for _ in range(2):
        assert refusal(requests) == ("Unborn", errno.EMFILE)
    requests.close()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_root_whose_requests_are_reset_ends() -> None:
    """As when nobody can ask any more."""
    requests, theirs = pair()
    pid = os.fork()
    if pid == 0:
        socket.recv_fds = refuse(errno.ECONNRESET)
        serve(theirs)
    theirs.close()
    requests.send(b"anything")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    requests.close()


def test_a_root_ends_with_the_program_though_others_could_ask() -> None:
    """Another process may have inherited the other end of what it hears."""
    requests, theirs = pair()
    alive, holds = os.pipe()
    program = os.fork()
    if program == 0:
        os.close(alive)
        if os.fork() == 0:
            serve(theirs)
        refusal(requests)  # so it is up
        os._exit(0)
    theirs.close()
    os.close(holds)
    os.waitpid(program, 0)
    with open(alive, "rb") as end:
        assert end.read() == b""  # nobody holds it any more
    requests.close()

"""Jobs and processes with faults of their own; workers import them by name."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from typing import NoReturn

from ezpq_exec.engines import root
from gates import hold, say

__all__ = ["GATE", "close_all", "main_that_cannot_fork", "write_to_sockets"]

GATE = "EZPQ_EXEC_TEST_GATE"  # in the environment: the gate where refused forks are told of


def sockets() -> list[int]:
    """The stream sockets of this process."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                found.append(int(name))
        except OSError:
            continue  # the listing's own
    return found


def write_to_sockets(data: bytes) -> None:
    """Write to each socket as if it were a file of one's own: descriptors were mixed up."""
    for descriptor in sockets():
        sock = socket.socket(fileno=os.dup(descriptor))
        try:
            if sock.type == socket.SOCK_STREAM:
                sock.sendall(data)
        finally:
            sock.close()


def write_and_wait(gate: str, data: bytes) -> None:
    """The same, and stay."""
    say(gate, os.getpid())
    write_to_sockets(data)
    hold(gate)


def cut_answer_short(head: bytes) -> NoReturn:
    """Send the beginning of an answer, and end."""
    write_to_sockets(head)
    os._exit(5)


def close_all() -> None:
    """Close all descriptors, as careless programs do before they become daemons."""
    os.closerange(3, 1024)


def take_long(seconds: float) -> float:
    """Sleep, then say what the clock on the wall says."""
    time.sleep(seconds)
    return time.time()


def main_that_cannot_fork(
    requests: int, tracker: int, loky_tracker: int, parent: int, *_: object
) -> object:
    """The root, in a system that has no room for more processes while a file says so."""
    fork, gate = os.fork, os.environ[GATE]

    def refuse() -> int:
        try:
            with open(f"{gate}/refuse", encoding="ascii") as errors:
                number = int(errors.read())
        except FileNotFoundError:
            return fork()
        say(gate, "refused")
        raise OSError(number, errno.errorcode[number])

    os.fork = refuse
    return root.main(socket.socket(fileno=requests), parent)

"""Turns: at most as many keepers kill at a time as there are cores, first come, first served.

A kill takes two milliseconds of CPU time, divided among three processes. If many deadlines fall
together and all keepers began at once, the first kill would be done hardly before the last, and the
program, which must hear of each, would wait for a core as they do.

A turn is a datagram on a socket that all keepers of a program share; the kernel gives it to the one
that has waited longest. Turns only save time, and nothing else depends on them: a keeper that waits
in vain goes on all the same.
"""

from __future__ import annotations

import socket
import struct
import sys

from .jobqueue import CORES

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["PATIENCE", "Turns"]

PATIENCE = 0.25  # seconds


class Turns:
    """Made by the root, and inherited by its keepers, each of which has one at most.

    Args:
        count: how many there are; default: one for each core that this process may use.
        patience: seconds to wait for one.
    """

    def __init__(self, count: int | None = None, patience: float = PATIENCE) -> None:
        self._free, self._returned = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        timeval = struct.pack("@ll", int(patience), int(patience % 1 * 1e6))
        self._free.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._is_ours = False
        for _ in range(CORES if count is None else count):
            self._give()

    def take(self) -> bool:
        """Wait for a turn; False if none came in time: then this process takes an additional one.

        For the process that had it may have died. If it was only slow, there is one turn more from
        then on, which does no harm.
        """
        if self._is_ours:
            return True
        self._is_ours = True
        try:
            return bool(self._free.recv(1))
        except BlockingIOError:
            return False

    def rehearse(self) -> None:
        """Take one and give it back, if there is one and this process has none: see `tree.rehearse`."""
        if not self._is_ours:
            try:
                self._free.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._give()

    def give_back(self) -> None:
        """Give the turn to the next keeper, if this process has one."""
        if self._is_ours:
            self._is_ours = False
            self._give()

    def _give(self) -> None:
        try:
            self._returned.send(b".", socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass  # the buffer is full: there are more turns than keepers could need

    def close(self) -> None:
        """Close the sockets: in a worker, which takes no turns."""
        self._free.close()
        self._returned.close()

"""Parcels that have arrived: each is received from a socket, and opened once, where it is used."""

from __future__ import annotations

import errno
import os
import socket
import sys
import weakref
from collections.abc import Callable
from typing import Any

from .. import packing
from .channel import Bytes, Frame, whole
from .mappings import Mode, view
from .parcels import LARGE, MOST_BLOCKS, MOST_MESSAGE, OWN, YOURS, Content
from .segments import Lease
from .shared import shelve, shelved

__all__ = ["Arrival", "receive"]

_MOST_FDS = MOST_BLOCKS + 1


class Arrival:
    """A parcel that has come, not yet opened.

    Args:
        fds: descriptors of its own segment, if it has one, and of the blocks that are new here.
        lease: the segment of the call that this answers.
    """

    def __init__(self, message: Bytes, fds: list[int], lease: Lease | None = None) -> None:
        self._content = Content(*packing.unpack(message))
        self._fds = fds
        self._pid = os.getpid()
        self._lease = lease
        self.memory: weakref.ref[Any] | None = None  # of its segment, once it is opened

    def __len__(self) -> int:
        """A length that says that it is large, as for any answer that is not quickly unpacked."""
        return LARGE + self._content.size

    def open(self, load: Callable[[Any, list[memoryview]], Any], mode: Mode) -> Any:
        """What `load` makes of the pickle and of what it left out.

        Args:
            mode: how its segment is mapped, unless it is lasting.

        Raises:
            OSError: descriptors, or memory, are not to be had.
            Exception: of `load`.
        """
        content = self._content
        if len(self._fds) != bool(content.size) + len(content.news):
            raise OSError(errno.EMFILE, "too many open files to receive shared memory")
        sources: dict[int, memoryview] = {}
        if content.size:
            own = view(self._fds[0], content.size, Mode.COPY if content.lasting else mode)
            if not content.lasting and not isinstance(own.obj, bytearray):
                self.memory = weakref.ref(own.obj)
            sources[OWN] = own
            os.close(self._fds.pop(0))
        sizes = dict(content.blocks)
        for number in content.news:
            shelve(number, self._fds[0], sizes[number])
            os.close(self._fds.pop(0))
        for source, (number, _) in enumerate(content.blocks, 1):
            sources[source] = shelved(number)
        if self._lease is not None and any(span.source == YOURS for span in content.spans):
            segment = self._lease.segment
            sources[YOURS] = view(segment.fd, segment.end, Mode.COPY, self._lease)
        parts = [sources[at][begin : begin + size] for at, begin, size in content.spans]
        if isinstance(content.main, bytes):
            return load(content.main, parts)
        at, begin, size = content.main
        return load(sources[at][begin : begin + size], parts)

    def __reduce__(self) -> tuple[Any, ...]:
        """On its way to another host, it carries its content by value."""
        return Carried, self.open(_gathered, Mode.COPY)

    def __del__(self) -> None:
        if sys.platform != "linux":  # elsewhere there are none
            raise NotImplementedError
        # It was never opened: say that the segment is free. A copy in a fork must not say so.
        if len(self._fds) > len(self._content.news) and self._pid == os.getpid():
            os.pwrite(self._fds[0], b"\0", 0)
        for fd in self._fds:
            os.close(fd)


def _gathered(main: Any, parts: list[memoryview]) -> tuple[bytes, list[bytearray]]:
    return bytes(main), [bytearray(part) for part in parts]


class Carried(Arrival):
    """What was in a parcel, by value."""

    def __init__(self, main: bytes, parts: list[bytearray]) -> None:
        self._main = main
        self._parts = parts

    def __len__(self) -> int:
        """See `Arrival`."""
        return LARGE + sum(map(len, self._parts))

    def __reduce__(self) -> tuple[Any, ...]:
        return Carried, (self._main, self._parts)

    def open(self, load: Callable[[Any, list[memoryview]], Any], mode: Mode) -> Any:
        """See `Arrival.open`."""
        return load(self._main, [memoryview(part) for part in self._parts])

    def __del__(self) -> None:
        """It has no descriptors to close."""


def receive(sock: socket.socket, lease: Lease | None = None) -> Frame:
    """The parcel that has been sent, as a frame.

    Raises:
        EOFError: the other end is closed.
    """
    if sys.platform != "linux":  # elsewhere there are none
        raise NotImplementedError
    data, fds, _, _ = socket.recv_fds(sock, MOST_MESSAGE, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        raise EOFError
    frame = whole(data)
    return frame._replace(body=Arrival(frame.body, fds, lease))

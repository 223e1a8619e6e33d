"""Pairs of connected sockets for a worker without a keeper, and how to send one to it."""

from __future__ import annotations

import socket
from typing import Any

__all__ = ["TCP", "pair", "portable"]

TCP = (socket.AF_INET, socket.AF_INET6)


class _Shared:
    """A socket on its way to a process that is being started, where it arrives as one (Windows).

    Left to itself, multiprocessing would run a server for that.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.context import get_spawning_popen

        popen: Any = get_spawning_popen()
        return vars(socket)["fromshare"], (self._sock.share(popen.pid),)


def portable(sock: socket.socket) -> Any:
    """A socket in the form in which it can be an argument of a process."""
    return _Shared(sock) if hasattr(socket, "fromshare") else sock


def pair() -> tuple[socket.socket, socket.socket]:
    """Two sockets that are connected; of TCP where there is nothing else (Windows).

    Raises:
        OSError: out of descriptors; or one of them is connected to a stranger.
    """
    one, other = socket.socketpair()
    if one.family in TCP:
        _see_that_they_are_alone(one, other)
        for sock in (one, other):  # small frames are not to wait
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def _see_that_they_are_alone(one: socket.socket, other: socket.socket) -> None:
    """Raise an error if they are not connected to each other: another user may have connected first.

    Newer versions of Python check that themselves (CVE-2024-3219).
    """
    try:
        if one.getpeername() == other.getsockname() and other.getpeername() == one.getsockname():
            return
    except OSError:
        pass  # with the listener, the one that it did not accept is gone
    one.close()
    other.close()
    raise ConnectionError("a stranger has connected to a socket that was for a worker")

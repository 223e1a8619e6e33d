"""In a worker: redirects stdout and stderr to files while a job runs whose output is captured.

The descriptors themselves are redirected: so is what C code and other processes write to them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from typing import Any

if sys.platform != "win32":
    import fcntl

__all__ = ["Outlet", "flush"]

_STREAMS = (1, 2)


class Outlet:
    """The two descriptors, which are redirected for the time of a job."""

    def __init__(self) -> None:
        self._is_turned = False
        self._kept: list[int | None] = []  # what they were; None: nothing
        self._was_by_line = False

    def turn(self, sock: socket.socket) -> None:
        """Redirect them to the files whose descriptors come by `sock`.

        Raises:
            OSError, ImportError: there are too few descriptors left here, or the parent is gone. Then
                the process is good for nothing more, since some may be redirected.
        """
        if sys.platform == "win32":
            raise NotImplementedError("descriptors do not travel here")
        _, received, _, _ = socket.recv_fds(sock, 1, len(_STREAMS))
        if len(received) < len(_STREAMS):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        files = [_copy(file) for file in received]
        for file in received:  # first, since one may have the number 1 or 2, if a job closed that
            os.close(file)
        flush()
        _flush_c()
        for target, file in zip(_STREAMS, files, strict=True):
            try:
                self._kept.append(_copy(target))
            except OSError as failure:
                if failure.errno != errno.EBADF:
                    raise
                self._kept.append(None)  # a job has closed it
            os.dup2(file, target)
            os.close(file)
        # By line, since what is in this process's memory is lost when it is killed.
        self._was_by_line = getattr(sys.stdout, "line_buffering", False)
        _write_by_line(True)
        self._is_turned = True

    def flush(self) -> None:
        """A job has ended: flush what it wrote, and undo the redirection."""
        flush()
        if self._is_turned:
            self._turn_back()

    def _turn_back(self) -> None:
        _flush_c()
        for target, kept in zip(_STREAMS, self._kept, strict=True):
            if kept is None:
                with contextlib.suppress(OSError):  # this job has closed it, too
                    os.close(target)
            else:
                os.dup2(kept, target)
                os.close(kept)
        self._kept.clear()
        _write_by_line(self._was_by_line)
        self._is_turned = False


def _copy(descriptor: int) -> int:
    """A copy of it that is none of the standard ones, even if a job has closed some of those."""
    if sys.platform != "win32":
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    raise NotImplementedError("there is no fcntl")


def _write_by_line(wanted: bool) -> None:
    stream: Any = sys.stdout
    try:
        stream.reconfigure(line_buffering=wanted)
    except (AttributeError, ValueError, OSError):
        pass  # a job has put something else there, or closed it, or what it holds cannot be written


def flush() -> None:
    """Have Python write what it holds."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass  # None, or closed by a job, or its reader is gone


def _flush_c() -> None:
    """Have the C library write what it holds: it keeps what goes to a file."""
    import ctypes

    ctypes.CDLL(None).fflush(None)

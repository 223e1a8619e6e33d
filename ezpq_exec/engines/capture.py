"""What a job writes to stdout and stderr, kept in two files that have no name, for its `info`.

They belong to the parent, so they outlive the worker. Only the end of each is read into memory.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

import fcntl

__all__ = ["MOST", "Capture"]

MOST = 1024 * 1024  # bytes of each that are kept: the last


class Capture:
    """The two files of one job, for their owner's eyes only, in the folder for temporary files.

    Raises:
        OSError: no file can be made.
    """

    def __init__(self) -> None:
        self._files = []
        try:
            for _ in range(2):
                # In most systems this is one call, and the file never has a name.
                file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
                self._files.append(file)
                # Somebody may open /dev/stdout anew, and would write from the start.
                fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
        except OSError:
            self.close()
            raise

    def send(self, sock: socket.socket) -> None:
        """Pass them to the process at the other end of `sock`.

        Raises:
            OSError: it is gone.
        """
        socket.send_fds(sock, [b"\0"], [file.fileno() for file in self._files])

    def read(self) -> tuple[str, str]:
        """What was written to stdout and to stderr so far; then they are closed."""
        try:
            out, err = (_end_of(file.fileno()) for file in self._files)
        finally:
            self.close()
        return out, err

    def close(self) -> None:
        """Let go of them. Processes that the job left may go on writing, to nobody."""
        for file in self._files:
            file.close()

    def __del__(self) -> None:
        """Close them if nobody has read them: so it is with an attempt that another one follows."""
        self.close()


def _end_of(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    start = max(0, size - MOST)
    pieces = []
    at = start
    while at < size:
        piece = os.pread(descriptor, size - at, at)
        if not piece:
            break  # it was cut off meanwhile
        pieces.append(piece)
        at += len(piece)
    text = b"".join(pieces).decode(errors="replace")
    return f"[{start} bytes before this were dropped]\n{text}" if start else text

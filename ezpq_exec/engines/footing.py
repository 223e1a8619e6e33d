"""What must be there for a process to be started: three descriptors, two streams, and a folder.

A program may have closed its stdout, or been started without, and somebody may have removed the folder
that it is in. Its jobs are to run all the same.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator

__all__ = ["fill", "footing"]

_CLONE_FS = 0x200


def fill() -> None:
    """Have the null device in the place of those of the descriptors 0, 1 and 2 that are closed, for good.

    Else the next thing that is opened is there, one of our sockets say, and all that somebody prints
    goes into it.

    Raises:
        OSError: out of descriptors.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


@contextlib.contextmanager
def footing() -> Iterator[None]:
    """Have all that there for loky, which flushes the streams, and asks where it is.

    The thread is to be one of our own, and soon to end.

    Raises:
        OSError: out of descriptors.
    """
    fill()
    with contextlib.ExitStack() as undo:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            try:
                stream.flush()
            except Exception:  # there is none, it is closed, or nobody reads it any more
                stand_in = io.StringIO()
                setattr(sys, name, stand_in)
                undo.callback(_put_back, name, stand_in, stream)
        _be_somewhere()
        yield


def _put_back(name: str, stand_in: object, stream: object) -> None:
    if getattr(sys, name) is stand_in:  # else the program has set another one meanwhile
        setattr(sys, name, stream)


def _be_somewhere() -> None:
    """If the program's folder is gone, leave it, but with this thread alone (Linux)."""
    try:
        os.getcwd()
    except FileNotFoundError:
        import ctypes  # which few need

        if sys.platform == "linux" and ctypes.CDLL(None).unshare(_CLONE_FS) == 0:
            os.chdir("/")

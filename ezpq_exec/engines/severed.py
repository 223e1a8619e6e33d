"""A worker whose descriptors a job has closed, as code does that makes a daemon of its process.

It can answer nobody any more. So it ends, and the job fails with it; this says why, in a line.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

__all__ = ["named"]

_NO_SOCKET = errno.EBADF, errno.ENOTSOCK  # closed, and perhaps taken by something else since
_WORDS = (
    b"ezpq_exec: a job has closed descriptors that are not its own (by os.closerange, perhaps), "
    b"those of its worker among them, so the worker ends\n"
)


@contextlib.contextmanager
def named() -> Iterator[None]:
    """End the process with exit code 1, and without a traceback, if that is what has happened."""
    try:
        yield
    except OSError as failure:
        if failure.errno not in _NO_SOCKET:
            raise
        with contextlib.suppress(OSError):  # that is closed as well
            os.write(2, _WORDS)
        raise SystemExit(1) from None

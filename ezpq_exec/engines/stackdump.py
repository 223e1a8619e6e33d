"""Where a worker is, or was when it crashed: its Python stacks, taken without its cooperation.

`faulthandler` writes them from a signal handler, in C, so a job that holds the GIL is seen too. It
writes to a pipe that the keeper reads. The handler says nowhere that it is done: its text is
complete when the last frame of the main thread, which comes last, is there.
"""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import time

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Dump"]

_LONGEST_WAIT = 0.1  # seconds, for a worker that cannot run the handler
_MOST_TEXT = 64 * 1024
_OURS = os.path.dirname(os.path.abspath(__file__))
_CUT = b"  ...\n"  # faulthandler's last line for a stack, or a list of threads, that is too long

_SIGNAL = signal.SIGRTMAX - 1  # one that programs hardly use for anything else


class Dump:
    """The pipe between a worker, which writes, and its keeper, which reads.

    `is_due`: the worker was asked for its stacks, and has not written them all.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._text = b""
        self.is_due = False
        self._last_frame = f" in {_outermost()}\n".encode()

    def become_source(self) -> None:
        """In the worker: write to it on demand, and on a crash."""
        os.close(self._reader)
        faulthandler.register(_SIGNAL, file=self._writer, all_threads=True, chain=False)
        faulthandler.enable(file=self._writer)

    def become_reader(self) -> None:
        """In the keeper: only read."""
        os.close(self._writer)
        os.set_blocking(self._reader, False)

    def fileno(self) -> int:
        """What becomes readable when there is something to `drain`."""
        return self._reader

    def drain(self) -> bool:
        """Read what there is; False if no more can come."""
        try:
            text = os.read(self._reader, _MOST_TEXT)
        except BlockingIOError:
            return True
        self._text = (self._text + text)[-_MOST_TEXT:]
        if self._text.endswith((self._last_frame, _CUT)):
            self.is_due = False
        return bool(text)

    def _is_readable(self) -> bool:
        return any(event & select.POLLIN for _, event in self._poll.poll(0))

    def take(self, pid: int) -> None:
        """Have the worker write its stacks, and wait until they are here, or will not come.

        If it still has to write those that it was asked for before, it is not asked again: it would
        write them twice, since these signals are not merged.
        """
        if not self.is_due:
            self._text = b""
        if _is_stopped(pid):
            return
        if not self.is_due:
            try:
                os.kill(pid, _SIGNAL)
            except OSError:  # it is gone, or is another user's by now: its stacks are not to be had
                return
            self.is_due = True
        until = time.monotonic() + _LONGEST_WAIT
        while self.is_due:
            left = until - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000) or not self.drain():
                return

    def rehearse(self, pid: int) -> None:
        """Go through the motions of `take` and `text`, without a word to the worker."""
        if not _is_stopped(pid):
            self._is_readable()
        _without_ours(f'Thread (most recent call first):\n  File "{_OURS}"\n  File ""\n')

    def text(self) -> str | None:
        """What was written, less the frames that are ours; None if nothing was."""
        while self.drain():
            if not self._is_readable():
                break
        return _without_ours(self._text.decode(errors="replace")) or None

    def forget(self) -> None:
        """Forget what was written."""
        if not self.is_due:
            self._text = b""

    def close(self) -> None:
        """Let go of the reading end."""
        os.close(self._reader)


def _without_ours(text: str) -> str:
    r"""A dump less the frames of the worker itself, which are below those of its job.

    >>> print(_without_ours('Current thread 0x1 (most recent call first):\n  File "a.py", line 1'))
    Current thread 0x1 (most recent call first):
      File "a.py", line 1
    """
    lines: list[str] = []
    below = False
    for line in text.splitlines():
        below = (below and line.startswith("  ")) or f'File "{_OURS}' in line
        if not below:
            lines.append(line)
        elif lines and lines[-1].endswith("(most recent call first):"):
            lines.append("  (in a function that is not written in Python)")
    return "\n".join(lines).strip()


def _outermost() -> str:
    """The name of the function that all others were called from."""
    frame = sys._getframe()  # noqa: SLF001 - documented, and `inspect` would make each worker larger
    while frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_name


def _is_stopped(pid: int) -> bool:
    """Whether this child is stopped, so that it cannot answer."""
    look = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
    try:
        return os.waitid(os.P_PID, pid, look) is not None
    except ChildProcessError:  # it is gone
        return False

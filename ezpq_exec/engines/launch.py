"""Starts a clean process that imports no more than the function which it is to call.

loky forks it and has it become a new interpreter, which inherits no descriptor but those that it is
given. But it is not one of loky's `Process` objects, which import all of loky: where hundreds of
processes are forked from one, each of its pages costs time, and most of all at a fork's death.
"""

from __future__ import annotations

import marshal
import os
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from multiprocessing import process
from typing import Any

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Launched", "launch"]

# The path comes first: before that, a module of ours may not be found, and one of another's may.
_START = """\
import marshal, sys
with open(int(sys.argv[2]), "rb") as file:
    sys.path, module, function, *args = marshal.load(file)
__import__(module)
then = [getattr(sys.modules[module], function)(*args)]
if callable(then[0]):
    then.pop()()  # without a name: what it holds goes as it ends
"""


def launch(
    name: str, function: Callable[..., object], args: Sequence[Any], keep: Collection[int]
) -> Launched:
    """Start a process that calls a function, and ends with it; or, if that returns another, with that.

    Args:
        name: what it is to be known by in a list of processes.
        function: one that can be imported by name.
        args: what `marshal` takes: numbers, text, bytes, and lists of these.
        keep: the descriptors that it inherits, with the same numbers.

    Raises:
        OSError: the system has no process, or no descriptor, to spare.
    """
    from loky.backend.fork_exec import fork_exec

    order = marshal.dumps([_path(), function.__module__, function.__qualname__, *args])
    # Not by a pipe: where SIGPIPE ends the program, one that ended at once would take this with it.
    memory = os.memfd_create("ezpq_exec-order", os.MFD_CLOEXEC)
    with open(memory, "wb") as file:
        file.write(order)
        file.seek(0)
        command = [sys.executable, "-c", _START, name, str(memory)]
        return Launched(fork_exec(command, [memory, *keep]))


def _path() -> list[str]:
    """Where modules are found, as text: elsewhere the system looks for none."""
    here = vars(process)["ORIGINAL_DIR"] or ""  # as in the stdlib, and loky
    entries: list[object] = list(sys.path)
    return [str(entry or here) for entry in entries if isinstance(entry, str)]


class Launched:
    """A process that was launched, for the one that did.

    Attributes:
        pid: its process id.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._is_over = False
        self._exitcode: int | None = None
        self._lock = threading.Lock()  # guards the two: the system tells it once

    def has_ended(self) -> bool:
        """Whether it has; it is no zombie then."""
        with self._lock:
            if not self._is_over:
                try:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:  # the program has collected all its children
                    self._is_over = True
                else:
                    self._is_over = pid == self.pid
                    self._exitcode = os.waitstatus_to_exitcode(status) if pid else None
            return self._is_over

    @property
    def exitcode(self) -> int | None:
        """How it ended, minus the signal's number after one; None: it has not, or nobody can say."""
        self.has_ended()
        return self._exitcode

    def join(self) -> None:
        """Wait until it has ended."""
        while not self.has_ended():
            try:
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                pass  # somebody was quicker

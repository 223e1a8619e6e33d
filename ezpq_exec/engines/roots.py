"""The parent's side of the root: one for the whole program, started when first needed."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

from .children import disown_in_forks
from .deafness import deafen

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Root", "close_shared", "shared"]


class Root:
    """The process that forks keepers. Requests may be sent at once, while it is still starting."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.failure: BaseException | None = None
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: Any = None
        self._starter = threading.Thread(
            target=self._start, args=(theirs,), name="ezpq_exec-start", daemon=True
        )
        try:
            self._starter.start()
        except RuntimeError:  # no more threads to be had
            self._requests.close()
            theirs.close()
            raise

    def _start(self, theirs: socket.socket) -> None:
        """Start the process, on a thread that has nothing else to do."""
        try:
            from loky.backend import get_context

            deafen()
            # Not a daemon: those may have no children, and nor may their forks.
            self._process = get_context("loky").Process(
                target=_be_root, args=(theirs, self.owner), name="ezpq_exec-root", daemon=False
            )
            disown_in_forks(self._process)
            self._process.start()
        except BaseException as failure:
            self.failure = failure
        finally:
            theirs.close()

    def request_keeper(self, name: str, control: int, tombstone: int, page: int) -> None:
        """Have a keeper forked.

        Args:
            name: of its worker's processes.
            control: the descriptor of its end of the control socket.
            tombstone: a descriptor of which the root keeps a copy until the keeper, and all that
                it started, are gone.
            page: the descriptor of the memory shared with it.

        Raises:
            OSError: the root is gone.
        """
        fds = [control, tombstone, page, *_streams()]
        try:
            socket.send_fds(self._requests, [pickle.dumps(name)], fds)
        finally:
            for descriptor in fds[3:]:
                os.close(descriptor)

    def epitaph(self) -> str:
        """Why there is no keeper, as far as it is known."""
        process = self._process
        if process is None or process.pid is None or process.exitcode is None:
            return "a keeper died before its worker was up"
        code, pid = process.exitcode, process.pid
        return f"what starts the workers ended before one was up: exit code {code} (pid {pid})"

    def give_up(self) -> None:
        """Let go of one that is gone, without waiting for it."""
        self._requests.close()
        if self._process is not None and self._process.pid is not None:
            self._process.join(timeout=0)

    def close(self) -> None:
        """End it, with everything that it still keeps, and wait until it is gone."""
        self._starter.join()
        try:
            self._requests.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already
        self._requests.close()
        if self._process is not None and self._process.pid is not None:
            self._process.join()


def _be_root(requests: socket.socket, parent: int) -> None:
    """Run the root, in the new process. Only there its modules are imported."""
    from . import root

    root.main(requests, parent)


def _streams() -> Sequence[int]:
    """Copies of the descriptors of stdout and stderr; of the null device where one is closed."""
    copies = []
    for descriptor in (1, 2):
        try:
            copies.append(os.dup(descriptor))
        except OSError:
            copies.append(os.open(os.devnull, os.O_WRONLY))
    return copies


_shared: Root | None = None
_lock = threading.Lock()  # guards _shared


def shared(instead_of: Root | None = None) -> Root:
    """This program's root: started now if there is none, or if it is `instead_of`, which failed."""
    global _shared
    with _lock:
        if _shared is not None and _shared is instead_of:
            _shared.give_up()
            _shared = None
        if _shared is None:
            _shared = Root()
        return _shared


def close_shared() -> None:
    """End this program's root; a later use starts another."""
    global _shared
    with _lock:
        old, _shared = _shared, None
    if old is not None and old.owner == os.getpid():
        old.close()


def _forget_in_child() -> None:
    global _shared, _lock
    _shared, _lock = None, threading.Lock()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_in_child)

"""The parent's side of the root: one for the whole program, started when first needed."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..packing import goes_by_value
from .deafness import deafen
from .footing import fill
from .heritage import Bequest, bequest, inherit, trackers
from .launch import Launched, launch
from .nesting import depth, descend

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Root", "close_shared", "request", "shared"]

_WANT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ETOOMANYREFS)


class Root:
    """The process that forks keepers. Requests may be sent at once, while it is still starting."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.failure: BaseException | None = None
        fill()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: Launched | None = None
        self._is_gone = False  # it has let go of its end
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
            deafen()
            inherited = theirs.fileno(), *trackers()
            args = *inherited, self.owner, depth() + 1, *bequest()
            self._process = launch("ezpq_exec-root", _be_root, args, inherited)
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
            OSError: the root is gone; or the program has no descriptor, or no memory, to spare.
        """
        fds = [control, tombstone, page, *_streams()]
        try:
            socket.send_fds(self._requests, [pickle.dumps((name, goes_by_value()))], fds)
        except ConnectionError:
            self._is_gone = True
            raise
        finally:
            for descriptor in fds[3:]:
                os.close(descriptor)

    def epitaph(self) -> str:
        """Why there is no keeper, as far as it is known."""
        if self._is_gone:  # or will be in an instant
            self._starter.join()
            if self._process is not None:
                self._process.join()
        process = self._process
        if process is None or (code := process.exitcode) is None:
            return "a keeper died before its worker was up"
        return (
            f"what starts the workers ended before one was up: exit code {code} (pid {process.pid})"
        )

    def give_up(self) -> None:
        """Let go of one that is gone, or about to go, without waiting for it."""
        self._requests.close()
        if self._process is not None:
            _given_up.append(self._process)

    def close(self) -> None:
        """End it, with everything that it still keeps, and wait until it is gone."""
        self._starter.join()
        try:
            self._requests.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already
        self._requests.close()
        if self._process is not None:
            self._process.join()


def _be_root(
    requests: int, tracker: int, loky_tracker: int, parent: int, deep: int, *bequeathed: Any
) -> Callable[[], None] | None:
    """Run the root, in the new process. Only there its modules are imported."""
    from . import root

    for descriptor in (requests, tracker, loky_tracker):
        os.set_inheritable(descriptor, False)  # by what jobs execute
    inherit(Bequest(*bequeathed), (tracker, loky_tracker))
    descend(deep)
    return root.main(socket.socket(fileno=requests), parent)


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
_given_up: list[Launched] = []  # those that may not have ended yet
_lock = threading.Lock()  # guards the two


def shared(instead_of: Root | None = None) -> Root:
    """This program's root: started now if there is none, or if it is `instead_of`, which failed."""
    global _shared
    with _lock:
        if _shared is not None and _shared is instead_of:
            _shared.give_up()
            _shared = None
        _given_up[:] = [process for process in _given_up if not process.has_ended()]
        if _shared is None:
            _shared = Root()
        return _shared


def request(name: str, control: int, tombstone: int, page: int) -> Root:
    """Have a keeper forked by this program's root, or by another if somebody killed that; the one that was asked.

    See `Root.request_keeper` for the arguments. If the other one has ended, too, its end of the
    tombstone is closed, as that of a keeper that died.

    Raises:
        OSError: the program has no descriptor, or no memory, to spare. The root is well.
        RuntimeError: it can have no more threads.
    """
    root = first = shared()
    while True:
        try:
            root.request_keeper(name, control, tombstone, page)
        except OSError as failure:
            if failure.errno in _WANT:
                raise
            if root is first:
                root = shared(instead_of=first)
                continue
        return root


def close_shared() -> None:
    """End this program's root; a later use starts another."""
    global _shared
    with _lock:
        old, _shared = _shared, None
        gone = _given_up[:]
        _given_up.clear()
    if old is not None and old.owner == os.getpid():
        old.close()
    for process in gone:
        process.join()


def _forget_in_child() -> None:
    global _shared, _lock
    _shared, _lock = None, threading.Lock()
    _given_up.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_in_child)

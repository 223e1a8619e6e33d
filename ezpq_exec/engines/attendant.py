"""The parent's side of one worker process without a keeper: what starts it, awaits it, kills it.

Each of these takes a while, so each has a thread, none of which runs a user's code: one that lives
as long as the worker, and one for each time that it is to be ended. When the process is gone,
`tell` is called with the attendant, once; nothing is told before that.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from ..jobs import Verdict
from . import lone
from .channel import Channel
from .children import disown_in_forks
from .deafness import deafen
from .messages import Died
from .sockets import TCP, pair, portable

__all__ = ["PATIENCE", "Attendant"]

PATIENCE = 5.0  # seconds for a worker to leave by itself

_log = logging.getLogger("ezpq_exec")


class Attendant:
    """What the parent holds of one worker, and what it knows of it.

    Attributes:
        channel: to the worker, from the start; what is sent is read once it is up.
        number: of the job that is in the worker's hands, 0 for none.
        began: when it said that it began that job (monotonic seconds), 0 for not yet.
        is_heard: what it says is read.
        reason: why it is being killed, if it is: the verdict on its job.
        pid, exitcode, ended: of a worker that is gone.
        failure: why it could not be started.

    Raises:
        OSError, RuntimeError: out of descriptors, or threads.
    """

    def __init__(self, slot: int, tell: Callable[[Attendant], None]) -> None:
        self.slot = slot
        self.number = 0
        self.began = 0.0
        self.tasks = 0
        self.ready = False
        self.is_heard = True
        self.reason: Verdict | None = None
        self.pid: int | None = None
        self.exitcode: int | None = None
        self.ended = 0.0
        self.failure: BaseException | None = None
        self.spoilt: BaseException | None = None  # why there is no talking to its worker
        self._tell = tell
        self._process: Any = None
        self._is_up = threading.Event()  # or failed to come up
        self._is_gone = threading.Event()
        self._killers: list[threading.Thread] = []
        ours, theirs = pair()
        try:
            self._lifeline, end = pair()
        except OSError:
            ours.close()
            theirs.close()
            raise
        self.channel = Channel(ours)
        _lifelines.add(self._lifeline)
        self._thread = threading.Thread(
            target=self._attend, args=(theirs, end), name=f"ezpq_exec-attendant-{slot}"
        )
        try:
            self._thread.start()
        except RuntimeError:
            for sock in (ours, theirs, self._lifeline, end):
                sock.close()
            raise

    def end(self, *, after: float = 0.0, bare: bool = False) -> None:
        """Have the worker killed with its descendants, if it is still there `after` seconds.

        Args:
            after: seconds to wait for it to leave by itself.
            bare: look for no descendants, which may be what failed.
        """
        killer = threading.Thread(
            target=self._kill, args=(after, bare), name=f"ezpq_exec-killer-{self.slot}"
        )
        try:
            killer.start()
        except RuntimeError:  # no more threads to be had; for this, none is needed
            if self._is_up.is_set() and not after:
                self._kill_alone()
            return
        self._killers.append(killer)

    def terminate(self) -> None:
        """Ask the worker, which is up, to end."""
        process = self._process
        if process is not None and not self._is_gone.is_set():
            try:
                process.terminate()
            except OSError:
                pass  # gone, or not ours

    def job_begun(self) -> float | None:
        """When the job in hand began; None if it certainly has not.

        With Unix sockets, all that a dead worker has sent can still be read. With TCP, the message
        that a job has begun may be lost; so there, a job that was sent counts as begun.
        """
        if not self.number:
            return None
        if self.channel.sock.family in TCP:
            return self.began or self.channel.moved_at
        return self.began or None

    def obituary(self, begun: float | None) -> Died:
        """What is known of a worker that is gone."""
        return Died(
            pid=self.pid or 0,
            exitcode=self.exitcode,
            reason=self.reason.name if self.reason is not None else None,
            ticket=self.number,
            begun=begun or 0.0,
            ended=self.ended,
            stack=None,
            survivors=(),
        )

    def close(self) -> None:
        """Let go of everything; called when it was told that the worker is gone."""
        self.channel.close()
        self._lifeline.close()
        for thread in (self._thread, *self._killers):  # which have nothing left to do
            thread.join()

    # Its own threads ------------------------------------------------------------------------

    def _attend(self, theirs: socket.socket, lifeline: socket.socket) -> None:
        try:
            self._process = self._start(theirs, lifeline)
            self.pid = self._process.pid
        except Exception as failure:  # whatever it is, the scheduler is to decide what follows
            self.failure = failure
        finally:
            theirs.close()
            lifeline.close()
        self._is_up.set()
        if self._process is not None:
            self._await_end()
        self.ended = time.monotonic()
        self._is_gone.set()
        for killer in list(self._killers):  # so that its descendants are dead, too
            killer.join()
        self._tell(self)

    def _start(self, theirs: socket.socket, lifeline: socket.socket) -> Any:
        from loky.backend import get_context

        deafen()
        process = get_context("loky").Process(
            target=lone.main,
            args=(portable(theirs), portable(lifeline)),
            name=f"ezpq_exec-worker-{self.slot}",
            daemon=False,  # daemons may have no children
        )
        disown_in_forks(process)
        process.start()
        return process

    def _await_end(self) -> None:
        # Without a timeout this is the system's own wait for a process. With one it would be for
        # the end of a pipe, which the worker's descendants hold open after its death.
        self._process.join()
        self.exitcode = self._process.exitcode
        if self.exitcode is None:  # another thread has collected it, as `active_children` does
            from multiprocessing import active_children

            active_children()
            self.exitcode = self._process.exitcode
        self._process = None  # which closes its descriptors

    def _kill(self, after: float, bare: bool) -> None:
        if self._is_gone.wait(after):
            return
        self._is_up.wait()
        if self.pid is None or self._is_gone.is_set():
            return
        if not bare:
            from loky.backend.utils import kill_process_tree

            try:
                _freeze(self.pid)
                kill_process_tree(_Prey(self.pid, self._kill_alone))
            except Exception:  # another user's child, no pgrep: whatever is in its way
                _log.warning("could not kill all that a worker started", exc_info=True)
            else:
                return
        self._kill_alone()

    def _kill_alone(self) -> None:
        process = self._process
        if process is None or self._is_gone.is_set():
            return
        try:
            if sys.platform == "win32":
                process.terminate()
            else:
                os.kill(process.pid, signal.SIGKILL)
        except OSError:
            pass  # gone, or not ours to kill; then the scheduler will ask again


class _Prey:
    """As much of a process as `kill_process_tree` needs; `kill` of loky's own processes fails."""

    def __init__(self, pid: int, kill: Callable[[], None]) -> None:
        self.pid = pid
        self.kill = kill

    def join(self) -> None:
        """The attendant does that."""


def _freeze(pid: int) -> None:
    """Stop a process, so that it starts no more while its descendants are looked up."""
    if sys.platform != "win32":
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            pass  # it has just gone


# The lifelines that end with this process; a fork of it must not hold them.
_lifelines: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for lifeline in list(_lifelines):
        lifeline.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)

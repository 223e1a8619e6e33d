"""Kills processes with all their descendants, from a process that inherits their orphans.

A child subreaper (Linux) becomes the parent of every descendant whose own parent dies, those that
called setsid or forked twice included. So it need only kill its children again and again until it
has none. Nothing here kills a process that is not the caller's descendant.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import signal
import sys
import time
from collections.abc import Collection, Iterable

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = [
    "Death",
    "adopt_orphans",
    "children",
    "descendants",
    "die_with_parent",
    "exterminate",
    "hear_of_deaths",
    "hush",
    "leave_group",
    "reap",
    "rehearse",
    "send",
    "stop_hearing",
]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OF_ONE_THREAD = 3  # links to a directory with one other in it


def adopt_orphans() -> None:
    """Make this process the new parent of its descendants' orphans.

    Raises:
        OSError: the system does not have that.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have this process killed when `parent` ends (the thread of it that forked, to be exact).

    Raises:
        OSError: the system does not have that.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


@functools.cache  # loaded by the root and inherited: loading is the slowest part of a start
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def hear_of_deaths() -> int:
    """A descriptor that is readable when a child has ended, or stopped; `hush` empties it.

    It is readable at first, for a child may have ended before this.
    """
    heard, told = os.pipe()
    os.set_blocking(heard, False)
    os.set_blocking(told, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler there is no wake-up
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    os.write(told, b"\0")
    return heard


def stop_hearing(descriptor: int) -> None:
    """Undo `hear_of_deaths`, in a fork of the process that called it."""
    os.close(signal.set_wakeup_fd(-1))
    os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def hush(descriptor: int) -> None:
    """Empty what `hear_of_deaths` gave."""
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass


def children(pid: int) -> list[int]:
    """The process ids of the children of `pid`, zombies included."""
    found: list[int] = []
    try:
        if os.stat(f"/proc/{pid}/task").st_nlink == _OF_ONE_THREAD:  # as most have: no need to list
            return _listed(f"/proc/{pid}/task/{pid}/children")
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += _listed(f"/proc/{pid}/task/{thread}/children")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass  # it is gone, or this thread of it; or another user's, and hidden (hidepid)
    return found


def _ours() -> list[int]:
    """The same of this process, of which this is the only thread."""
    return _listed("/proc/thread-self/children")


def _listed(path: str) -> list[int]:
    # By descriptor: a file would be made ready for text, and more, at three times the cost.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while more := os.read(descriptor, 65536):
            text += more
    finally:
        os.close(descriptor)
    return [int(word) for word in text.split()]


def descendants(pid: int) -> set[int]:
    """The process ids of all that is below `pid`, zombies included."""
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for each in fresh for child in children(each)} - found
        found |= fresh
    return found


def reap() -> dict[int, int]:
    """Collect the children that have ended: exit code by pid, minus the signal's number."""
    ended: dict[int, int] = {}
    _collect(ended)
    return ended


def _collect(ended: dict[int, int]) -> bool:
    """Add the children that have ended to those that had; whether there are others."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        ended[pid] = os.waitstatus_to_exitcode(status)


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to those of these processes that are there, and may be sent it."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # gone; or another user's, and then it survives


def _freeze(roots: Collection[int]) -> set[int]:
    """Stop these processes and all their descendants, so that none starts another; who they are."""
    known: set[int] = set()
    fresh = set(roots)
    while fresh:
        send(fresh, signal.SIGSTOP)
        known |= fresh
        fresh = {child for pid in known for child in children(pid)} - known
    return known


def leave_group(pid: int, parent: int) -> None:
    """Take `pid`, which is about to end, out of its program's process group, into its parent's.

    A process whose parent is in another group of the session ties its own group to that one. When
    the last such process ends, and a process of the group is stopped, the kernel sends SIGHUP to
    the whole group: to the program. Services, and programs in containers, often have no other tie.
    """
    try:
        os.setpgid(pid, os.getpgid(parent))
    except OSError:
        pass  # it is gone, or has become another program, which cannot be moved


class Death:
    """The end of a child, for which to wait. What that takes is made ready here.

    Raises:
        ProcessLookupError: there is no such process.
        OSError: there is no descriptor to spare.
    """

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def wait(self, until: float) -> None:
        """Wait for it, but no longer than until then (monotonic seconds)."""
        self._poll.poll(max(0.0, until - time.monotonic()) * 1000)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def _await_death_of(pid: int, until: float) -> None:
    try:
        death = Death(pid)
    except ProcessLookupError:
        return
    try:
        death.wait(until)
    finally:
        death.close()


def exterminate(
    spare: Collection[int] = (),
    patience: float = 5.0,
    first: int | None = None,
    death: Death | None = None,
) -> tuple[dict[int, int], list[int]]:
    """Kill every child of this process that is not in `spare`, and all that falls to it then.

    Args:
        spare: pids of children to be left alone.
        patience: seconds after which those that do not die are given up.
        first: the pid of a child that has not been reaped, and need not be looked for.
        death: of that one, if it is at hand.

    Returns:
        The exit codes of the children that died, by pid; and the pids of the survivors.
    """
    me = os.getpid()
    until = time.monotonic() + patience
    ended: dict[int, int] = {}
    victims = [] if first is None else [first]
    are_left = bool(victims) or _collect(ended)
    while are_left:
        victims = victims or [pid for pid in _ours() if pid not in spare]
        if not victims or time.monotonic() > until:
            return ended, victims
        # To stop one costs as much as to kill it. What a single process may still start falls to us.
        doomed = _freeze(victims) if any(map(children, victims)) else victims
        for pid in victims:
            leave_group(pid, me)
        send(doomed, signal.SIGKILL)
        if death is None:
            _await_death_of(victims[0], until)
        else:
            death.wait(until)
            death = None
        are_left = _collect(ended)
        victims = []
    return ended, []


def rehearse(pid: int) -> Death | None:
    """Go through the motions of killing this child, so that they take less time when time counts.

    After a fork, each page that a process writes to is copied first. To run the code for a kill
    writes to some eighty of them, which takes as long as all else that there is to do.

    Returns:
        Its death, to be waited for; None: there is no descriptor to spare, say.
    """
    me = os.getpid()
    death = None
    with contextlib.suppress(OSError):  # which is no reason to end
        children(pid)
        leave_group(me, me)
        send((pid,), 0)
        death = Death(pid)
        death.wait(0.0)
        _ours()
    signal.raise_signal(signal.SIGCHLD)
    return death

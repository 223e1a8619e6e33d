"""The root: one clean process, from which every keeper of the program is forked.

It has one thread and has run nobody's code. So a fork of it is as clean as a new process, and takes
a fiftieth of the time. When a keeper dies, the processes that it leaves become children of the
root, which kills them. When the parent ends, in whatever way, the root kills all that is left.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import pickle
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial

from . import severed, tree
from .alarm import Alarm
from .counter import Counter
from .deafness import ignore
from .keeper import Keeper
from .messages import Unborn
from .page import Page
from .preload import expect_by_value, freeze
from .turns import Turns
from .worker import serve

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["FDS_PER_KEEPER", "main"]

FDS_PER_KEEPER = 5  # control, tombstone, page, stdout, stderr
REQUEST_SIZE = 4096
_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def main(requests: socket.socket, parent: int) -> Callable[[], None] | None:
    """Fork keepers on request, until the parent ends.

    Returns:
        In workers alone: their work, to be called from as far up as can be. Each frame of ours below
        a job is one more to write where its stack is dumped.
    """
    ignore(_DEAF_TO)  # if these end the parent, that ends the root
    try:
        pidfd = os.pidfd_open(parent)
    except ProcessLookupError:
        return None  # it has ended meanwhile
    if os.getppid() != parent:
        return None  # it has ended meanwhile, and another process has its number
    # A signal for the program's process group, SIGKILL by a supervisor say, must find somebody left
    # who clears up. Workers go back to it, for Ctrl-Z and the like.
    home = os.getpgrp()
    os.setpgid(0, 0)
    tree.adopt_orphans()
    freeze()
    return _Root(requests, pidfd, home).work()


class _Root:
    """The keepers, each with its tombstone: a descriptor that is closed when nothing is left.

    Args:
        requests: the socket from which requests come.
        parent: the parent's pidfd.
        home: the process group of its workers.
    """

    def __init__(self, requests: socket.socket, parent: int, home: int) -> None:
        self._home = home
        self._requests = requests
        self._parent = parent
        self._deaths = tree.hear_of_deaths()
        self._tombstones: dict[int, int] = {}
        self._turns = Turns()

    def work(self) -> Callable[[], None]:
        poll = select.poll()
        for descriptor in (self._requests.fileno(), self._parent, self._deaths):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._parent in ready:
                self._end()
            if self._deaths in ready:
                tree.hush(self._deaths)
                self._bury(tree.reap())
            if self._requests.fileno() in ready:
                work = self._fork_keeper()
                if work is not None:
                    return work

    def _end(self) -> None:
        tree.exterminate()
        os._exit(0)

    def _bury(self, ended: dict[int, int]) -> None:
        """Kill what dead keepers left, and say that it is gone."""
        while ended:
            dead = [self._tombstones.pop(pid) for pid in ended if pid in self._tombstones]
            ended, _ = tree.exterminate(spare=self._tombstones.keys()) if dead else ({}, [])
            for tombstone in dead:
                os.close(tombstone)

    def _fork_keeper(self) -> Callable[[], None] | None:
        """Take a request; in the workers that come of it, their work."""
        try:
            data, fds, _, _ = socket.recv_fds(
                self._requests, REQUEST_SIZE, FDS_PER_KEEPER, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            data, fds = b"", []
        if not data:
            self._end()
        name, by_value = pickle.loads(data)  # noqa: S301 - the parent's, by an inherited socket
        if by_value:
            expect_by_value()
        try:
            pid = _fork_with(fds)
        except OSError as failure:
            _say_why(fds[:1], failure)
            for descriptor in fds:
                os.close(descriptor)  # and with its tombstone the parent knows that it is gone
            return None
        control, tombstone, page, stdout, stderr = fds
        if pid == 0:
            os.close(tombstone)
            return self._become_keeper(name, control, page, (stdout, stderr))
        self._tombstones[pid] = tombstone
        for descriptor in (control, page, stdout, stderr):
            os.close(descriptor)
        return None

    def _become_keeper(
        self, worker_name: str, control: int, page: int, streams: tuple[int, int]
    ) -> Callable[[], None]:
        """Be a keeper for good; in each worker that it forks, its work."""
        try:
            sock, shared, queue, parcels, pipe = self._keep(control, page, streams)
        except (OSError, MemoryError) as failure:
            _say_why([control], failure)
            os._exit(1)
        # From here on this is a worker, which needs none of the root's descriptors and handlers.
        for number in _DEAF_TO[1:]:  # not Ctrl-C: it is the parent that decides what that ends
            signal.signal(number, signal.SIG_DFL)
        os.close(control)
        os.close(self._parent)
        self._turns.close()
        with contextlib.suppress(OSError):  # the program has left its session, or ended
            os.setpgid(0, self._home)
        _rename(worker_name)
        return partial(_work, sock, shared, Alarm(pipe), queue, Counter(parcels))

    def _keep(
        self, control: int, page: int, streams: tuple[int, int]
    ) -> tuple[socket.socket, Page, socket.socket, socket.socket, int]:
        """Be a keeper for good; returns in its workers, with what they are to serve."""
        tree.stop_hearing(self._deaths)
        self._requests.close()
        for descriptor in self._tombstones.values():
            os.close(descriptor)
        for target, descriptor in enumerate(streams, start=1):
            os.dup2(descriptor, target)
            os.close(descriptor)
        tree.adopt_orphans()
        shared = Page(page)
        os.close(page)
        orders = socket.socket(fileno=control)
        sock, queue, parcels, pipe = Keeper(orders, shared, self._parent, self._turns).keep()
        orders.detach()
        return sock, shared, queue, parcels, pipe


def _work(
    sock: socket.socket, page: Page, alarm: Alarm, queue: socket.socket, counter: Counter
) -> None:
    with severed.named():
        serve(sock, page, alarm, queue, counter)
    tree.leave_group(0, os.getppid())


def _fork_with(fds: Sequence[int]) -> int:
    """As `os.fork`, if all the descriptors that a keeper needs are here."""
    if len(fds) < FDS_PER_KEEPER:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return os.fork()


def _say_why(controls: Sequence[int], failure: BaseException) -> None:
    """Tell the parent why there will be no worker, if there is a way to it."""
    number = (isinstance(failure, OSError) and failure.errno) or errno.ENOMEM
    for control in controls:
        with contextlib.suppress(OSError):
            os.write(control, pickle.dumps((Unborn.__name__, number)))


def _rename(name: str) -> None:
    multiprocessing.current_process().name = name

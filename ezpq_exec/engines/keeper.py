"""A keeper: the process between the parent and one worker, which runs nobody's code.

It forks the worker, keeps its deadlines, kills it with all that it started, says what happened,
and forks the next. Whatever its worker starts falls to it in the end, so nothing gets away. It
sleeps until something happens: an order, a deadline, a death, or the end of the parent.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence

from . import tree
from .messages import MESSAGE_SIZE, Born, Died, Dumped, Order
from .page import Page
from .preload import expect_by_value
from .stackdump import Dump
from .turns import Turns
from .watched import Watched

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["PATIENCE", "Keeper"]

PATIENCE = 5.0  # seconds: for a worker to leave by itself, and for a process to die when killed
LONGEST_SLEEP = 24 * 3600.0  # seconds


class Keeper:
    """One slot's keeper. `keep` returns only in a worker, with what it is to serve.

    Args:
        control: the socket to the parent.
        page: shared with the worker and the parent.
        parent: the parent's pidfd.
        turns: those of all keepers.
    """

    def __init__(self, control: socket.socket, page: Page, parent: int, turns: Turns) -> None:
        self._control = control
        self._page = page
        self._parent = parent
        self._turns = turns
        self._alarm: int | None = None  # what SIGCHLD wakes
        self._retiring = False
        self._by_value = False  # the program sends functions so
        self._leave_by: float | None = None

    def keep(self) -> tuple[socket.socket, socket.socket, socket.socket, int]:
        """Keep one worker after another.

        Returns:
            In each worker: its stream, its queue, its socket for parcels, its pipe to the keeper.
            In the keeper, it never returns: that ends with the parent, or when told to retire.
        """
        while True:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            entry, exit_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            parcels, far_parcels = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            heard, told = os.pipe()
            os.set_blocking(heard, False)
            os.set_blocking(told, False)
            if self._by_value:
                expect_by_value()
            dump = Dump()
            self._page.clear()
            self._leave_by = None
            me = os.getpid()
            pid = os.fork()
            if pid == 0:
                self._become_worker(me, (ours, entry, parcels), heard, dump)
                return theirs, exit_end, far_parcels, told
            theirs.close()
            far_parcels.close()
            os.close(told)
            dump.become_reader()
            self._say(Born(pid, me), ours, entry, exit_end, parcels)
            for sock in (ours, entry, exit_end, parcels):
                sock.close()
            worker = Watched(pid, heard, dump, self._page)
            if self._alarm is None:  # not before, since the first worker is waited for
                self._alarm = tree.hear_of_deaths()
                signal.raise_signal(signal.SIGCHLD)  # it may be dead already
            died = self._watch(worker, self._alarm)
            self._say(died)
            self._turns.give_back()
            if self._retiring:
                os._exit(0)
            if died.reason is not None:
                self._await_leave()
            worker.close()

    def _become_worker(
        self, keeper: int, socks: Sequence[socket.socket], pipe: int, dump: Dump
    ) -> None:
        """In the fork: let go of what is the keeper's, or is for the parent."""
        tree.die_with_parent(keeper)
        if self._alarm is not None:
            tree.stop_hearing(self._alarm)
        for sock in socks:
            sock.close()
        os.close(pipe)
        dump.become_source()

    def _say(self, message: Born | Died | Dumped, *socks: socket.socket) -> None:
        data = _packed(message)
        try:
            if socks:
                socket.send_fds(self._control, [data], [sock.fileno() for sock in socks])
            else:
                self._control.send(data)
        except OSError:
            self._abandon()

    def _abandon(self) -> None:
        """Kill everything and end: the parent is gone."""
        tree.exterminate(patience=PATIENCE)
        os._exit(0)

    def _await_leave(self) -> None:
        """Wait for the parent to say when to fork: other keepers may be about to kill."""
        poll = select.poll()
        for descriptor in (self._control.fileno(), self._parent):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._parent in ready:
                self._abandon()
            what = self._next_order().what
            if what == "fork":
                return
            if what in ("retire", "end"):
                os._exit(0)

    def _next_order(self) -> Order:
        try:
            data = self._control.recv(MESSAGE_SIZE)
        except ConnectionError:
            data = b""
        if not data:
            self._abandon()
        order = Order(*pickle.loads(data))  # noqa: S301 - the parent's, by a socket made for this keeper
        self._by_value = order.by_value
        return order

    def _watch(self, worker: Watched, alarm: int) -> Died:
        """Sleep until the worker is to die, or has; then make sure of it."""
        poll = select.poll()
        for descriptor in (self._control.fileno(), self._parent, alarm, worker.pipe):
            poll.register(descriptor, select.POLLIN)
        poll.register(worker.dump.fileno(), select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(_rest(worker, self._leave_by))}
            if self._parent in ready:
                self._abandon()
            if worker.dump.fileno() in ready and not worker.overhear():
                poll.unregister(worker.dump.fileno())
            if alarm in ready:
                tree.hush(alarm)
                ended = tree.reap()
                if worker.pid in ended:
                    return self._bury(worker, ended[worker.pid])
            if worker.pipe in ready and not worker.hear():
                poll.unregister(worker.pipe)
            if worker.wake_at is not None and not worker.is_rehearsed:
                self._rehearse(worker)
            condemned = self._control.fileno() in ready and self._obey(worker)
            if condemned or self._is_due(worker):
                return self._bury(worker, None)

    def _rehearse(self, worker: Watched) -> None:
        """There is a deadline: make ready to kill, once for each worker, while nobody waits for it."""
        worker.rehearse()
        self._turns.rehearse()
        _packed(self._obituary(worker, None, ()))

    def _is_due(self, worker: Watched) -> bool:
        """Whether the worker is to be killed now: for its job, or for not leaving."""
        now = time.monotonic()
        if self._leave_by is not None and self._leave_by <= now:
            return True
        if worker.reason is not None:
            return False
        late = worker.late_ticket(now)
        if late and self._condemn(worker, late, "TIMED_OUT"):
            return True
        heavy = worker.heavy_ticket(now)  # no turn is awaited: its memory grows meanwhile
        return bool(heavy) and worker.condemn(heavy, "OUT_OF_MEMORY")

    def _condemn(self, worker: Watched, ticket: int, reason: str) -> bool:
        """Take a turn, and decide whether to kill the worker for that job; False if the job has ended."""
        self._turns.take()
        is_condemned = worker.condemn(ticket, reason)
        if not is_condemned:
            self._turns.give_back()
        return is_condemned

    def _obey(self, worker: Watched) -> bool:
        """Carry out an order; True if the worker is to be killed now."""
        order = self._next_order()
        if order.what in ("kill", "terminate", "renew") and order.pid != worker.pid:
            return False  # it was for the one before, which has ended by itself
        if order.what == "kill":
            return self._condemn(worker, order.ticket, order.reason)
        if order.what == "terminate":
            if self._condemn(worker, order.ticket, order.reason):
                tree.send((worker.pid,), signal.SIGTERM)
                self._turns.give_back()
                self._leave_by = time.monotonic() + PATIENCE
            return False
        if order.what == "dump":
            self._say(Dumped(order.ticket, worker.stack(order.ticket)))
            return False
        if order.what == "end":
            self._retiring = True
            return True
        self._retiring = self._retiring or order.what == "retire"
        self._leave_by = time.monotonic() + PATIENCE
        return False

    def _bury(self, worker: Watched, exitcode: int | None) -> Died:
        """Make sure that the worker and all that it started are dead, and write its obituary."""
        first = worker.pid if exitcode is None else None
        ended, survivors = tree.exterminate(
            patience=PATIENCE, first=first, death=None if first is None else worker.death
        )
        if worker.dump.is_due:
            worker.overhear()
        if exitcode is None:
            exitcode = ended.get(worker.pid)
        return self._obituary(worker, exitcode, survivors)

    def _obituary(self, worker: Watched, exitcode: int | None, survivors: Sequence[int]) -> Died:
        ticket = self._page.last
        return Died(
            pid=worker.pid,
            exitcode=exitcode,
            reason=worker.reason,
            ticket=ticket,
            begun=self._page.begun(ticket) or 0.0,
            ended=time.monotonic(),
            stack=worker.dump.text(),
            survivors=tuple(survivors),
            peak=worker.scales.peak,
        )


def _packed(message: Born | Died | Dumped) -> bytes:
    return pickle.dumps((type(message).__name__, *message))


def _rest(worker: Watched, leave_by: float | None) -> int | None:
    """For how many milliseconds to sleep: None for ever. What is less than one is slept here.

    `poll` would round it up, and each kill be late by half a millisecond. To wake twice is no loss: the
    first time, just before the moment, has what is needed at hand again (`ppoll` alone was slower).
    """
    moments = [moment for moment in (leave_by, worker.wake_at) if moment is not None]
    if not moments:
        return None
    left = min(min(moments) - time.monotonic(), LONGEST_SLEEP)
    if left < 0.001:
        time.sleep(max(0.0, left))
        return 0
    return int(left * 1000)

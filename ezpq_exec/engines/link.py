"""The parent's side of one slot: the sockets to its keeper and its worker, and the shared page."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Union

from ..jobs import Output
from ..packing import goes_by_value
from . import roots
from .base import Setup
from .capture import Capture
from .channel import ANSWERS, Channel, Frame
from .jobqueue import JobQueue, Lookout
from .line import Line
from .messages import MESSAGE_SIZE, Born, Died, Dumped, Order, Unborn, Word
from .page import Page
from .parcels import Parcel
from .wear import outgrown

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Link", "News"]

_CLOEXEC = socket.MSG_CMSG_CLOEXEC  # programs that are started meanwhile get none of them

SOCKS = 4  # that come with a worker: its stream, both ends of its queue, and its parcels

News = Union[Born, Died, Dumped, Unborn]
_MESSAGES: dict[str, type[News]] = {each.__name__: each for each in (Born, Died, Dumped, Unborn)}


class Link:
    """What the parent holds of one keeper, and what it knows of its worker.

    Attributes:
        ticket, number: the run that is in the worker's hands, and its job's number; 0 for none.
        ready: the worker takes jobs.
        orphan: the root is gone, so that nobody would clear up after the keeper.
    """

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.ticket = self.number = 0
        self.due = 0.0  # when the job is to be killed, if it still runs; 0: never
        self.tasks = 0
        self.is_large = False  # the job went by the stream
        self.outgrown = False  # the worker has more memory than it may keep, and is to get no more
        self.pid: int | None = None
        self.ready = False
        self.lock = threading.Lock()  # guards that the channel is not closed while sent to
        self.orphan = False
        self.closed = False
        self.channel: Channel | None = None
        self.capture: Capture | None = None  # of what the job writes
        self.queue: JobQueue | None = None
        self.ahead: deque[tuple[int, int]] = deque()  # tickets and numbers of what comes next
        self.declined: list[int] = []  # numbers of jobs that the worker would not begin
        self.handed = 0  # the job that a submitting thread handed over last
        self.heard = 0  # the last of which the loop knows
        self.line: Line | None = None  # where a thread may wait for the answer
        self.listening = False  # the loop waits there
        self.parcels: socket.socket | None = None  # for what goes by shared memory
        self.parcel: Parcel | None = None  # what is in the worker's hands of that kind
        self.blocks: set[int] = set()  # shared objects that the worker certainly has
        self.maybe: set[int] = set()  # shared objects that it may have
        self.remains: list[Channel | JobQueue | socket.socket] = []  # of a worker that is gone
        self.has_segments = False  # the worker may keep some for its results
        self.fetched = False  # whoever handed the last job over has waited there
        self.lookout = Lookout()
        # By ticket: who waits for the stack of that run.
        self.askers: dict[int, list[Callable[[str | None], object]]] = {}
        self.keeper: int | None = None  # its pidfd
        self.forced: tuple[int, str | None] | None = None  # if killed: ticket, reason
        self.spoilt: BaseException | None = None  # why the worker cannot be talked to
        self.unborn: BaseException | None = None  # why there is no worker
        with contextlib.ExitStack() as undo:
            on_failure = undo.enter_context(contextlib.ExitStack())
            memory = Page.allocate()
            undo.callback(os.close, memory)
            self.page = Page(memory)
            on_failure.callback(self.page.close)
            self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(theirs.close)
            on_failure.callback(self.control.close)
            self.control.setblocking(False)
            self.tombstone, kept = os.pipe()
            undo.callback(os.close, kept)
            on_failure.callback(os.close, self.tombstone)
            name = f"ezpq_exec-worker-{slot}"
            self.root = roots.request(name, theirs.fileno(), kept, memory)
            on_failure.pop_all()

    def order(self, what: Word, ticket: int = 0, reason: str = "") -> None:
        """Tell the keeper something; in vain if it is gone."""
        try:
            order = Order(what, ticket, reason, self.pid, goes_by_value())
            self.control.send(pickle.dumps(tuple(order)))
        except BlockingIOError:  # it has not read hundreds of orders
            self.kill_keeper()
        except OSError:
            pass  # gone, which its tombstone will tell

    def news(self) -> tuple[News, list[socket.socket]] | None:
        """The keeper's next message, with the sockets that came with it; None for none as yet.

        Raises:
            EOFError: the keeper is gone.
        """
        self.tidy()  # the next worker's sockets may come with it
        try:
            data, fds, _, _ = socket.recv_fds(self.control, MESSAGE_SIZE, SOCKS, _CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionError:
            data, fds = b"", []
        if not data:
            raise EOFError
        kind, *values = pickle.loads(data)  # noqa: S301 - the keeper's, by the same
        socks = [socket.socket(fileno=descriptor) for descriptor in fds]
        return _MESSAGES[kind](*values), socks

    def ask_stack(self, tell: Callable[[str | None], object]) -> None:
        """Have `tell` called with where the job in hand is. Whoever else asks has the same answer.

        So the socket to the keeper, where a full buffer would lose an order to kill, is not filled.
        """
        askers = self.askers.setdefault(self.ticket, [])
        askers.append(tell)
        if len(askers) == 1:
            self.order("dump", self.ticket)

    def tell_stack(self, dumped: Dumped) -> None:
        """The keeper's answer to `ask_stack`."""
        for tell in self.askers.pop(dumped.ticket, ()):
            tell(dumped.stack)

    def meet(self, born: Born, socks: Sequence[socket.socket]) -> None:
        """A new worker is up.

        Raises:
            OSError: there are no descriptors left for it.
        """
        if len(socks) < SOCKS:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if self.keeper is None:
            try:
                self.keeper = os.pidfd_open(born.keeper)
            except ProcessLookupError:
                pass  # gone, which its tombstone will tell
        stream, entry, exit_end, self.parcels = socks
        self.parcels.setblocking(False)
        self.channel = Channel(stream)
        self.queue = JobQueue(entry, exit_end)
        self.pid = born.pid
        self.tasks = 0
        self.outgrown = False

    def keeper_lives(self) -> bool:
        """Whether the keeper is known to be alive."""
        if self.keeper is None:
            return False
        poll = select.poll()
        poll.register(self.keeper, select.POLLIN)
        return not poll.poll(0)

    @property
    def line_is_held(self) -> bool:
        """A thread waits for an answer of this worker's, or is about to leave."""
        return self.line is not None and self.line.is_held

    @property
    def is_with_others(self) -> bool:
        """What became of its job may be known to a thread that has yet to tell."""
        return self.handed != self.heard or self.line_is_held

    @property
    def may_queue(self) -> bool:
        """Whether jobs may stand behind that of now: all before them are messages of their own."""
        is_in_use = self.number != 0 and self.tasks > 0
        return is_in_use and not (self.is_large or self.line_is_held or self.outgrown)

    def take_up(self, ticket: int, number: int, timeout: float | None) -> None:
        """A job is in hand from now on, for `timeout` seconds at most."""
        self.ticket = ticket
        self.number = number
        self.due = time.monotonic() + timeout if timeout else 0.0

    def end_in_turn(self, frames: list[Frame]) -> list[int]:
        """Jobs have ended: the one in hand, and those that were queued behind it, in turn.

        Returns:
            Their numbers: as many as there are `frames` that answer them one after another.
        """
        numbers: list[int] = []
        if self.line is None:
            for frame in frames:
                if frame.number != self.ticket or frame.kind not in ANSWERS:
                    break
                numbers.append(self.end_job())
        return numbers

    def end_job(self) -> int:
        """The job in hand has ended, and the next that was queued is; the number of that job."""
        number = self.number
        self.ticket, self.number = self.ahead.popleft() if self.ahead else (0, 0)
        self.tasks += 1
        return number

    def decline(self) -> int:
        """The worker has not begun the job in hand, which was called back; the number of that job."""
        self.declined.append(self.number)
        number = self.end_job()
        self.tasks -= 1
        return number

    def is_worn(self, setup: Setup, answer: Frame) -> bool:
        """Whether the worker is to leave; not before it has done what it has already been given."""
        self.outgrown = outgrown(setup, answer, self.pid)
        too_large = self.outgrown and not self.number
        return too_large or self.tasks == setup.max_tasks_per_child

    def part(self, *, at_once: bool = True) -> None:
        """The worker is gone, or is to go by itself, for which it must see its sockets' ends `at_once`.

        If it is gone, that takes time in which others may be killed, and can wait: see `tidy`.
        """
        self.ready = False
        self.ticket = self.number = 0
        self.ahead.clear()
        for ticket in list(self.askers):
            self.tell_stack(Dumped(ticket, None))
        if self.line is not None:
            self.line.hang_up()
        with self.lock:
            self.remains += [each for each in (self.channel, self.queue, self.parcels) if each]
            self.channel = self.queue = None
        if self.parcels is not None:
            self.parcels = self.parcel = None
            self.blocks, self.maybe, self.has_segments = set(), set(), False
        if at_once:
            self.tidy()

    def tidy(self) -> None:
        """Close what is left of a worker that is gone."""
        while self.remains:
            self.remains.pop().close()

    def end_capture(self) -> Output | None:
        """What the last job has printed, if that is captured."""
        output, self.capture = self.capture, None
        return output

    def kill_keeper(self, reason: str | None = None) -> None:
        """End everything, without the keeper's help."""
        self.forced = self.ticket, reason
        if self.keeper is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.keeper, signal.SIGKILL)

    @property
    def reason(self) -> str | None:
        """Why it was killed, keeper and all, if that was for the job in hand."""
        return self.forced[1] if self.forced and self.forced[0] == self.ticket else None

    def close(self) -> None:
        """Let go of all that is held; what was kept is gone already."""
        self.closed = True
        self.part()
        self.control.close()
        os.close(self.tombstone)
        self.page.close()
        if self.keeper is not None:
            os.close(self.keeper)

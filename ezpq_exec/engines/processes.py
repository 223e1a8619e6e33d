"""Worker processes, each with a keeper of its own (Linux).

No queue, lock or pipe is shared between workers: the death of one can spoil nothing for another.
One thread drives all of this, and waits only in `wait`.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import packing
from ..jobs import Call, Outcome, Verdict
from ..reports import Report, Stopped, Unstartable
from . import footing, wear
from .ahead import Ahead, recall
from .base import Capabilities, Setup
from .base import Line as AnyLine
from .capture import Capture
from .channel import SMALL, Kind, header
from .depot import Depot
from .line import Line
from .link import Link
from .lives import Lives
from .parcels import LARGE, Kept, Parcel
from .switchboard import Switchboard

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["ProcessEngine"]

_AT_ONCE = socket.MSG_DONTWAIT
_MOST_MEMORY = 2**63 - 1  # bytes: the most that a frame can carry


class ProcessEngine(Lives):
    """Runs each job in a worker process, which can be killed with all that it started."""

    capabilities = Capabilities(
        kills=True,
        whole_tree=True,
        own_deadlines=True,
        stacks=True,
        recycles=True,
        isolates=True,
        hands_over=True,
        queues=True,
        dumps=True,
        relays=True,
        limits_memory=True,
        captures=True,
        own_context=True,
        glance=60e-6,  # about as long as it takes to sleep and to be woken
    )

    def open(self, setup: Setup) -> None:
        """See `Engine.open`."""
        wear.check(setup)
        footing.fill()
        self._setup = setup
        self._recycles = setup.recycles
        if setup.initializer is not None:
            self._initializer = packing.pack((setup.initializer, setup.initargs))
        self._board: Switchboard[Link] = Switchboard()
        self._ahead = Ahead()
        self._depot = Depot(self._board.ring)

    def pack(self, call: Call, packed_function: Any = None) -> bytes | Parcel:
        """See `Engine.pack`."""
        return self._depot.pack(call, packed_function)

    def pack_function(self, function: Callable[..., Any]) -> bytes | None:
        """See `Engine.pack_function`. What goes by shared memory goes with each call."""
        kept = Kept()
        packed = packing.pack(function, kept)
        return None if kept or len(packed) >= LARGE else packed

    def make_lasting(self, payload: Any) -> None:
        """See `Engine.make_lasting`."""
        if isinstance(payload, Parcel):
            payload.lasting = True

    # Orders ---------------------------------------------------------------------------------

    def start(self, slot: int) -> None:
        """See `Engine.start`."""
        try:
            link = Link(slot)
        except (OSError, RuntimeError) as failure:  # no more descriptors, memory, or threads
            self._report(Unstartable(slot, failure))
            return
        self._links[slot] = link
        self._board.watch(link.control.fileno(), self._on_control, link)
        self._board.watch(link.tombstone, self._on_tombstone, link)

    def run(
        self, slot: int, number: int, payload: Any, timeout: float | None, memory_limit: int = 0
    ) -> None:
        """See `Engine.run`."""
        link = self._links.get(slot)
        if link is None:
            return  # it has just been lost, and that will be reported
        link.take_up(next(self._tickets), number, timeout)
        link.is_large = len(payload) > SMALL
        head = header(link.ticket, Kind.CALL, payload, timeout or 0.0, rss=memory_limit)
        if link.is_large and isinstance(payload, Parcel):
            refused = self._depot.send(link, payload, head)
            if refused is not None:
                self._report(refused)
                if not refused.ready:  # it waits to capture a job that will not come
                    link.order("renew")
                    self._part(link)
        else:
            self._send(link, head, payload)

    def run_within(
        self, slot: int, number: int, payload: Any, timeout: float | None, memory_limit: int
    ) -> None:
        """See `Engine.run_within`. More than any machine has is as good as no limit."""
        self.run(slot, number, payload, timeout, min(memory_limit, _MOST_MEMORY))

    def capture(self, slot: int) -> None:
        """See `Engine.capture`."""
        link = self._links.get(slot)
        if link is not None and link.channel is not None and link.queue is not None:
            capture = Capture()
            try:
                capture.send(link.channel.sock)
            except ConnectionError:
                return  # the worker is gone, of which the keeper will tell
            link.capture = capture
            if not link.queue.send(header(0, Kind.CAPTURE, b"")):
                link.kill_keeper()  # out of memory: there is no other way to that worker

    def hand_over(
        self,
        slot: int,
        number: int,
        payload: Any,
        timeout: float | None,
        sent: list[object],
        soon: bool,
    ) -> None:
        """See `Engine.hand_over`. What is large is left to the loop, which can wait."""
        link = self._links.get(slot)
        if link is None or len(payload) > SMALL:
            return
        with link.lock:
            if link.queue is None:
                return
            link.take_up(next(self._tickets), number, timeout)
            link.handed = number
            link.is_large = False
            if soon and link.fetched and not link.line_is_held:
                link.page.ask_directly(link.ticket)
            head = header(link.ticket, Kind.CALL, payload, timeout or 0.0)
            try:
                sent.extend(map(link.queue.entry.send, (head + payload,), (_AT_ONCE,)))
            except OSError:
                return  # full, or the worker is gone: the loop will see

    def told(self, slot: int) -> None:
        """See `Engine.told`."""
        link = self._links.get(slot)
        if link is not None:
            link.heard = link.handed
            with link.lock:
                if link.number and link.page.direct == link.ticket:
                    self._take_over(link)

    def _take_over(self, link: Link) -> None:
        """The worker is to answer by the queue: listen there, unless somebody does."""
        if link.line is not None:
            if link.line.is_held or link.line.outcome is not None:
                return
            link.line.hang_up()
        link.fetched = False
        self._listen(link)

    def line(self, slot: int, number: int) -> Line | None:
        """See `Engine.line`. None where workers are replaced, or it is the loop that listens."""
        link = self._links.get(slot)
        if link is None or self._recycles:
            return None
        link.fetched = True
        with link.lock:
            if link.queue is None or link.number != number or link.listening or link.line_is_held:
                return None
            link.line = Line(slot, link.ticket, link.queue, link.page, link.lookout)
            return link.line

    def left(self, line: AnyLine) -> Outcome | None:
        """See `Engine.left`."""
        link = self._links.get(line.slot)
        outcome = line.outcome
        if link is None:
            return outcome
        if link.line is line:
            link.line = None
        if link.ticket == line.ticket and outcome is None:
            self._listen(link)
        elif link.ticket == line.ticket:
            link.ticket = link.number = 0
            self._stop_listening(link)
        link.tasks += outcome is not None
        return outcome

    def queue(self, shares: Mapping[int, Sequence[tuple[int, Any]]]) -> list[int]:
        """See `Engine.queue`."""
        refused: list[int] = []
        for slot, jobs in shares.items():
            refused += self._ahead.put(self._links.get(slot), jobs, self._tickets)
        return refused

    def recall(self, slot: int) -> list[int]:
        """See `Engine.recall`."""
        link = self._links.get(slot)
        return [] if link is None else recall(link)

    def kill(self, slot: int, number: int, reason: Verdict, *, force: bool = False) -> None:
        """See `Engine.kill`."""
        link = self._links.get(slot)
        if link is None or link.number != number:
            return
        link.due = time.monotonic()
        if force:
            link.kill_keeper(reason.name)
        else:
            link.order("kill", link.ticket, reason.name)

    def terminate(self, slot: int, number: int, reason: Verdict) -> None:
        """See `Engine.terminate`."""
        link = self._links.get(slot)
        if link is not None and link.number == number:
            link.order("terminate", link.ticket, reason.name)

    def retire(self, slot: int) -> None:
        """See `Engine.retire`."""
        link = self._links.get(slot)
        if link is not None:
            self._dismiss(link, "retire")

    def begun(self, slot: int, number: int) -> float | None:
        """See `Engine.begun`. A call that was delivered counts as begun: the worker may be busy in C."""
        link = self._links.get(slot)
        if link is None or link.number != number:
            return None
        began = link.page.begun(link.ticket)
        if began is None and link.channel is not None:
            return link.channel.moved_at
        return began

    def ask_stack(self, slot: int, number: int, tell: Callable[[str | None], object]) -> None:
        """See `Engine.ask_stack`. It is the keeper that finds out."""
        link = self._links.get(slot)
        if link is None or link.number != number or link.channel is None:
            tell(None)
        else:
            link.ask_stack(tell)

    def hear(self, slot: int, wanted: bool) -> None:
        """See `Engine.hear`."""
        link = self._links.get(slot)
        if link is not None and link.channel is not None:
            self._board.listen(link.channel.sock.fileno(), wanted)

    def wake(self) -> None:
        """See `Engine.wake`."""
        self._board.ring()

    def close(self, *, kill: bool = False) -> None:
        """See `Engine.close`."""
        self._closing = True
        for link in list(self._links.values()):
            self._dismiss(link, "retire" if link.ready and not kill else "end")
        self._stop_if_empty()

    def wait(self, timeout: float | None) -> list[Report]:
        """See `Engine.wait`."""
        if self._ahead.filled:
            self._ahead.send()
        late, self._late = self._late, []
        for link, died in late:
            self._mourn(link, died)
        timeout = self._renewals.give(0.0 if self._reports else timeout, self._links.values())
        if not self._reports:
            depot = self._depot
            self._board.wait(depot.patience(timeout) if depot.is_in_use else timeout)
            if depot.is_in_use:
                depot.tidy(self._links.values(), self._tickets)
        reports, self._reports = self._reports, []
        self._told.clear()
        if reports and type(reports[-1]) is Stopped:
            self._board.close()
            self._depot.close()
        return reports

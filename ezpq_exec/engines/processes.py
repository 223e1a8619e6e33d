"""Worker processes, each with a keeper of its own (Linux).

No queue, lock or pipe is shared between workers: the death of one can spoil nothing for another.
One thread drives all of this, and never waits but in `wait`.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from typing import Any

from .. import packing
from ..errors import WorkerDied
from ..jobs import Call, Verdict
from ..reports import Finished, Loss, Lost, Ready, Report, Stopped, Unstartable
from . import obituary
from .answers import outcome_of
from .base import Capabilities, Engine, Setup
from .channel import SMALL, Frame, Kind, header
from .keeper import Born, Died
from .link import Link
from .switchboard import OUT, Switchboard
from .worker import surroundings

__all__ = ["ProcessEngine"]


class ProcessEngine(Engine):
    """Runs each job in a worker process, which can be killed with all that it started."""

    capabilities = Capabilities(
        kills=True,
        whole_tree=True,
        own_deadlines=True,
        recycles=True,
        isolates=True,
        hands_over=True,
    )

    def __init__(self) -> None:
        self._setup = Setup()
        self._initializer: bytes | None = None
        self._tickets = itertools.count(1)
        self._links: dict[int, Link] = {}
        self._leaving: set[Link] = set()  # of which nothing more is to be reported
        self._reports: list[Report] = []
        self._closing = False

    def open(self, setup: Setup) -> None:
        """See `Engine.open`."""
        self._setup = setup
        if setup.initializer is not None:
            self._initializer = packing.pack((setup.initializer, setup.initargs))
        self._board: Switchboard[Link] = Switchboard()

    def pack(self, call: Call, packed_function: Any = None) -> bytes:
        """See `Engine.pack`."""
        return packing.pack_call(call, packed_function)

    def pack_function(self, function: Callable[..., Any]) -> bytes:
        """See `Engine.pack_function`."""
        return packing.pack(function)

    # Orders ---------------------------------------------------------------------------------

    def start(self, slot: int) -> None:
        """See `Engine.start`."""
        try:
            link = Link(slot)
        except OSError as failure:  # out of descriptors, memory or processes
            self._reports.append(Unstartable(slot, failure))
            return
        self._links[slot] = link
        self._board.watch(link.control.fileno(), self._on_control, link)
        self._board.watch(link.tombstone, self._on_tombstone, link)

    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        """See `Engine.run`."""
        link = self._links.get(slot)
        if link is None:
            return  # it was lost this moment, as is being reported
        link.ticket = next(self._tickets)
        link.number = number
        self._send(link, header(link.ticket, Kind.CALL, payload, timeout or 0.0), payload)

    def hand_over(
        self, slot: int, number: int, payload: Any, timeout: float | None, sent: list[object]
    ) -> None:
        """See `Engine.hand_over`. What is large is left to the loop, which can wait."""
        link = self._links.get(slot)
        if link is None or len(payload) > SMALL:
            return
        with link.lock:
            if link.channel is None:
                return
            link.ticket = next(self._tickets)
            link.number = number
            head = header(link.ticket, Kind.CALL, payload, timeout or 0.0)
            try:
                sent.extend(map(link.channel.sock.send, (head + payload,)))
            except OSError:
                return  # full, or the worker is gone: the loop will see

    def kill(self, slot: int, number: int, reason: Verdict, *, force: bool = False) -> None:
        """See `Engine.kill`."""
        link = self._links.get(slot)
        if link is None or link.number != number:
            return
        if force:
            link.kill_keeper(reason.name)
        else:
            link.order("kill", link.ticket, reason.name)

    def retire(self, slot: int) -> None:
        """See `Engine.retire`."""
        link = self._links.get(slot)
        if link is not None:
            self._dismiss(link, "retire")

    def begun(self, slot: int, number: int) -> float | None:
        """See `Engine.begun`. A call that is all delivered counts as begun: it may be in C."""
        link = self._links.get(slot)
        if link is None or link.number != number:
            return None
        began = link.page.begun(link.ticket)
        if began is None and link.channel is not None:
            return link.channel.moved_at
        return began

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
        if not self._reports:
            self._board.wait(timeout)
        reports, self._reports = self._reports, []
        if reports and type(reports[-1]) is Stopped:
            self._board.close()
        return reports

    # What happens ---------------------------------------------------------------------------

    def _on_channel(self, link: Link, event: int) -> None:
        channel = link.channel
        if channel is None:
            return
        try:
            if event & OUT and channel.flush():
                self._board.await_room(channel.sock.fileno(), wanted=False)
            if event & ~OUT:
                for frame in channel.receive():
                    self._answer(link, frame)
        except BlockingIOError:
            pass
        except (EOFError, OSError):  # the worker is gone, of which the keeper will tell
            self._board.unwatch(channel.sock.fileno())

    def _answer(self, link: Link, frame: Frame) -> None:
        if frame.kind == Kind.READY:
            self._make_ready(link)
        elif frame.kind == Kind.UNFIT:
            self._fail(link, packing.unpack_error(frame.body), fatal=True)
        elif frame.number == link.ticket:
            self._finish(link, frame)

    def _finish(self, link: Link, frame: Frame) -> None:
        number = link.number
        link.number = link.ticket = 0
        link.tasks += 1
        worn = link.tasks == self._setup.max_tasks_per_child
        self._reports.append(Finished(link.slot, number, outcome_of(frame), not worn))
        if worn:
            link.order("renew")
            self._part(link)

    def _on_control(self, link: Link, event: int) -> None:
        while not link.closed:
            try:
                news = link.news()
            except EOFError:  # the keeper is gone; its tombstone says when all else is
                self._board.unwatch(link.control.fileno())
                if link.orphan:
                    self._bereft(link)
                return
            if news is None:
                return
            message, sock = news
            if isinstance(message, Died):
                self._mourn(link, message)
            elif sock is not None:
                self._greet(link, message, sock)

    def _greet(self, link: Link, born: Born, sock: Any) -> None:
        """A new worker is up: tell it what it works for."""
        if link in self._leaving:
            sock.close()
            return
        link.meet(born, sock)
        self._board.watch(sock.fileno(), self._on_channel, link)
        body = packing.pack((surroundings(), self._initializer))
        self._send(link, header(0, Kind.SETUP, body), body)
        if self._initializer is None:
            self._make_ready(link)

    def _make_ready(self, link: Link) -> None:
        link.ready = True
        self._reports.append(Ready(link.slot, link.pid))

    def _mourn(self, link: Link, died: Died) -> None:
        """A worker is gone, and all that it started."""
        if link in self._leaving or link.channel is None:
            return  # as it should
        self._last_words(link)
        if not link.ready:
            self._fail(link, obituary.unready(died), died=True)
            return
        begun = died.begun if link.number and died.ticket == link.ticket else None
        self._part(link)
        self._reports.append(Lost(link.slot, obituary.loss(died, begun)))

    def _last_words(self, link: Link) -> None:
        """Take in what a worker that is gone had still sent."""
        if link.channel is not None:
            for frame in link.channel.drain():
                self._answer(link, frame)

    def _on_tombstone(self, link: Link, event: int) -> None:
        """The keeper and all below it are gone; or the root is, and the keeper goes on alone."""
        self._board.unwatch(link.tombstone)
        self._on_control(link, event)  # it may have spoken before it went
        if link.closed:
            return
        if link.keeper_lives():
            link.orphan = True
        else:
            self._bereft(link)

    def _bereft(self, link: Link) -> None:
        """A keeper is gone, and its worker with it."""
        if link in self._leaving:
            self._discard(link)
            return
        self._last_words(link)
        slot, pid, ready = link.slot, link.pid, link.ready
        begun = link.page.begun(link.ticket) if link.ticket else None
        self._discard(link)
        if ready:
            reason = Verdict[link.forced] if link.forced else None
            loss = Loss(begun, time.monotonic(), pid, -signal.SIGKILL, "SIGKILL", reason)
            self._reports.append(Lost(slot, loss))
            self.start(slot)
        else:
            cause = link.root.failure or WorkerDied("a keeper died before its worker was up")
            self._reports.append(Unstartable(slot, cause, died=True))

    def _fail(
        self, link: Link, cause: BaseException, *, fatal: bool = False, died: bool = False
    ) -> None:
        """A worker did not come up: give up its keeper, too."""
        self._reports.append(Unstartable(link.slot, cause, fatal, died))
        self._dismiss(link, "end")

    # Holding and letting go -----------------------------------------------------------------

    def _send(self, link: Link, head: bytes, body: bytes) -> None:
        channel = link.channel
        if channel is None:
            return
        try:
            if not channel.send(head, body):
                self._board.await_room(channel.sock.fileno(), wanted=True)
        except OSError:
            pass  # the worker is gone, of which the keeper will tell

    def _part(self, link: Link) -> None:
        if link.channel is not None:
            self._board.unwatch(link.channel.sock.fileno())
        link.part()

    def _dismiss(self, link: Link, order: str) -> None:
        """Have it leave, at its worker's pace ("retire") or at once ("end")."""
        del self._links[link.slot]
        self._leaving.add(link)
        link.order(order)
        self._part(link)

    def _discard(self, link: Link) -> None:
        """Nothing of it is left."""
        self._part(link)
        self._board.unwatch(link.control.fileno())
        self._board.unwatch(link.tombstone)
        if link in self._leaving:
            self._leaving.remove(link)
        else:
            del self._links[link.slot]
        link.close()
        self._stop_if_empty()

    def _stop_if_empty(self) -> None:
        if self._closing and not self._links and not self._leaving:
            self._reports.append(Stopped())

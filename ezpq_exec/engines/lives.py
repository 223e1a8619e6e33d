"""What happens to workers that have keepers: births, answers and deaths, turned into reports.

Only one thing is reported of each slot at a time. Otherwise the scheduler might answer the first
report with a job for a worker whose death is the second.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from .. import packing
from ..errors import WorkerDied
from ..reports import Finished, FinishedInTurn, Lost, Ready, Said, Strayed, Unstartable
from . import obituary
from .answers import outcome_of
from .channel import ANSWERS, Frame, Garbled, Kind, header
from .holding import Holding
from .link import Link
from .messages import Born, Died, Dumped, Unborn
from .renewal import Renewals
from .switchboard import OUT
from .worker import surroundings

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Lives"]


class Lives(Holding):
    """The links by slot, and what is heard over them. `ProcessEngine` gives the orders."""

    def __init__(self) -> None:
        super().__init__()
        self._recycles = False  # its workers may be replaced after a job
        self._initializer: bytes | None = None
        self._late: list[tuple[Link, Died | None]] = []  # deaths to be reported in the next `wait`
        self._renewals = Renewals()

    def _on_channel(self, link: Link, event: int) -> None:
        channel = link.channel
        if channel is None:
            return
        try:
            if event & OUT and channel.flush():
                self._board.await_room(channel.sock.fileno(), wanted=False)
            if event & ~OUT:
                frames = channel.receive()
                if link.listening:  # what comes there was sent before
                    self._on_queue(link, 0)
                self._hear_answers(link, frames)
        except BlockingIOError:
            pass
        except (Garbled, MemoryError) as failure:
            self._board.unwatch(channel.sock.fileno())
            link.spoilt = failure
            link.kill_keeper()
        except (EOFError, OSError):  # the worker is gone, of which the keeper will tell
            self._board.unwatch(channel.sock.fileno())

    def _hear_answers(self, link: Link, frames: list[Frame]) -> None:
        """Take in answers that came together: those of jobs that were queued, as one report."""
        if len(frames) == 1:
            self._answer(link, frames[0])
            return
        together = link.ahead and not self._recycles
        numbers = link.end_in_turn(frames) if together else []
        if numbers:
            outcomes = list(map(outcome_of, frames[: len(numbers)]))
            self._report(FinishedInTurn(link.slot, numbers, outcomes))
            self._stop_listening(link)
        for frame in frames[len(numbers) :]:
            self._answer(link, frame)

    def _answer(self, link: Link, frame: Frame) -> None:
        kind = frame.kind
        if kind in ANSWERS and frame.number == link.ticket:
            self._finish(link, frame)
        elif kind == Kind.READY:
            self._make_ready(link)
        elif kind == Kind.UNFIT:
            self._fail(link, packing.unpack_error(frame.body), fatal=True)
        elif kind in (Kind.LOGGED, Kind.WARNED):
            number = link.number if frame.number == link.ticket else 0
            self._reports.append(Said(link.slot, number, link.pid, kind, frame.body))
        elif kind == Kind.DECLINED and frame.number == link.ticket:
            self._report(Strayed(link.slot, link.decline(), None))
        elif kind == Kind.PARCEL:
            for answer in self._depot.receive(link):
                self._answer(link, answer)

    def _finish(self, link: Link, frame: Frame) -> None:
        if link.parcel is not None:
            self._depot.answered(link, frame)
        number = link.end_job()
        worn = self._recycles and link.is_worn(self._setup, frame)
        outcome = outcome_of(frame)
        if link.capture is not None:
            outcome.output = link.end_capture()
        # No more than `Finished` does, which would be a call in Python.
        self._report(tuple.__new__(Finished, (link.slot, number, outcome, not worn)))
        if link.listening:
            self._stop_listening(link)
        if link.line is not None:
            link.line.hang_up()
        if worn:
            link.order("renew")
            self._part(link)

    def _listen(self, link: Link) -> None:
        """Listen for an answer that may still come by the queue, where nobody waits any more."""
        if link.queue is not None and not link.listening:
            link.page.ask_directly(0)
            link.listening = True
            self._board.watch(link.queue.entry.fileno(), self._on_queue, link)

    def _on_queue(self, link: Link, event: int) -> None:
        if link.queue is not None:
            for frame in link.queue.answers():
                self._answer(link, frame)

    def _on_control(self, link: Link, event: int) -> None:
        while not link.closed and link.slot not in self._told:
            try:
                news = link.news()
            except EOFError:  # the keeper is gone; its tombstone says when all else is
                self._board.unwatch(link.control.fileno())
                if link.orphan:
                    self._mourn(link, None)
                return
            if news is None:
                return
            message, socks = news
            self._renewals.hear(link, message)
            if isinstance(message, Died):
                self._mourn(link, message)
            elif isinstance(message, Dumped):
                link.tell_stack(message)
            elif isinstance(message, Unborn):
                link.unborn = OSError(message.number, os.strerror(message.number))
            else:
                self._greet(link, message, socks)

    def _greet(self, link: Link, born: Born, socks: Sequence[socket.socket]) -> None:
        """A new worker is up: tell it what it works for."""
        if link in self._leaving or link.forced:  # with its keeper, which was killed, it goes, too
            for sock in socks:
                sock.close()
            return
        try:
            link.meet(born, socks)
        except OSError as failure:
            for sock in socks:
                sock.close()
            self._fail(link, failure)
            return
        self._board.watch(socks[0].fileno(), self._on_channel, link)
        body = packing.pack((surroundings(self._levels()), self._initializer))
        self._send(link, header(0, Kind.SETUP, body), body)
        if self._initializer is None:
            self._make_ready(link)

    def _make_ready(self, link: Link) -> None:
        link.ready = True
        self._report(Ready(link.slot, link.pid))

    def _mourn(self, link: Link, died: Died | None) -> None:
        """A worker is gone, with all that it started. `died` is None if its keeper is gone, too."""
        if link.closed:
            return
        if link not in self._leaving:
            if link.is_with_others:  # a thread may have the answer: it is to tell first
                if link.line is not None:
                    link.line.hang_up()
                self._late.append((link, died))
                self._told.add(link.slot)  # nothing else of this slot is reported before
                return
            self._last_words(link)
            if link.slot in self._told:  # the scheduler must hear that first, by itself
                self._late.append((link, died))
                return
        if died is None:
            self._bereft(link)
        elif link not in self._leaving and link.channel is not None:
            self._bereave(link, died)

    def _last_words(self, link: Link) -> None:
        """Read what a dead worker has sent before its end."""
        if link.channel is not None:
            frames = link.channel.drain()
            self._on_queue(link, 0)
            self._hear_answers(link, frames)

    def _bereave(self, link: Link, died: Died) -> None:
        """A worker is gone, and its keeper starts the next."""
        if not link.ready:
            self._fail(link, obituary.unready(died), died=True)
            return
        begun = died.begun if link.number and died.ticket == link.ticket else None
        self._part(link, at_once=died.reason is None)  # else before its keeper may fork
        self._report(Lost(link.slot, obituary.loss(died, begun, link.end_capture())))

    def _on_tombstone(self, link: Link, event: int) -> None:
        """The keeper and all below it are gone; or the root is, and the keeper goes on alone."""
        self._on_control(link, event)  # it may have spoken before it went
        if link.closed or link.slot in self._told:
            return  # it will be noticed again
        self._board.unwatch(link.tombstone)
        if link.keeper_lives():
            link.orphan = True
        else:
            self._mourn(link, None)

    def _bereft(self, link: Link) -> None:
        """A keeper and its worker are gone: report it, and start another keeper."""
        slot, pid, ready, reason = link.slot, link.pid, link.ready, link.reason
        begun = link.page.begun(link.ticket) if link.ticket else None
        was_leaving = link in self._leaving
        self._discard(link)
        if ready and not was_leaving:
            loss = obituary.sudden(begun, pid, reason, link.spoilt, link.end_capture())
            self._report(Lost(slot, loss))
        if not was_leaving and (ready or link.forced):
            self.start(slot)
        elif not was_leaving:
            why = link.unborn or link.root.failure
            cause = why or WorkerDied(link.root.epitaph())
            self._report(Unstartable(slot, cause, died=why is None))

    def _fail(
        self, link: Link, cause: BaseException, *, fatal: bool = False, died: bool = False
    ) -> None:
        """A worker did not come up: give up its keeper, too."""
        self._report(Unstartable(link.slot, cause, fatal, died))
        self._dismiss(link, "end")

"""What an engine holds of its workers: one link for each slot. How links are used, let go and reported on."""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any, Union

from ..reports import Finished, FinishedInTurn, Lost, Ready, Report, Stopped, Strayed, Unstartable
from .base import Setup
from .channel import SMALL, Kind, header
from .depot import Depot
from .link import Link
from .messages import Word
from .pickling import PicklingEngine
from .switchboard import Switchboard

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Holding"]

OfSlot = Union[Ready, Finished, FinishedInTurn, Lost, Strayed, Unstartable]


class Holding(PicklingEngine):
    """The links by slot, and the reports that are still to be given."""

    _board: Switchboard[Link]
    _depot: Depot
    _setup = Setup()

    def __init__(self) -> None:
        self._tickets = itertools.count(1)
        self._links: dict[int, Link] = {}
        self._leaving: set[Link] = set()  # links of which nothing more is reported
        self._reports: list[Report] = []
        self._told: set[int] = set()  # the slots in `_reports`: each is in it at most once
        self._closing = False

    def _send(self, link: Link, head: bytes, body: Any) -> None:
        """Send a frame to the worker: by its queue, or by the stream if it is too large for that."""
        channel, queue = link.channel, link.queue
        if channel is None or queue is None:
            return
        is_small = len(body) <= SMALL
        channel.moved_at = time.monotonic()
        if not queue.send(head + body if is_small else header(0, Kind.BEHIND, b"")):
            link.kill_keeper()  # out of memory: there is no other way to that worker
            return
        try:
            if not (is_small or channel.send(head, body)):
                self._board.await_room(channel.sock.fileno(), wanted=True)
        except OSError:
            pass  # the same

    def _stop_listening(self, link: Link) -> None:
        if link.queue is not None and link.listening:
            link.listening = False
            self._board.unwatch(link.queue.entry.fileno())

    def _part(self, link: Link, *, at_once: bool = True) -> None:
        if link.channel is not None:
            self._board.unwatch(link.channel.sock.fileno())
        self._stop_listening(link)
        link.part(at_once=at_once)

    def _dismiss(self, link: Link, order: Word) -> None:
        """Let it go: when its worker has left by itself ("retire"), or at once ("end")."""
        del self._links[link.slot]
        self._leaving.add(link)
        link.order(order)
        self._part(link)

    def _discard(self, link: Link) -> None:
        """Forget a link of which nothing is left."""
        self._part(link)
        self._board.unwatch(link.control.fileno())
        self._board.unwatch(link.tombstone)
        if link in self._leaving:
            self._leaving.remove(link)
        else:
            del self._links[link.slot]
        link.close()
        self._stop_if_empty()

    def _report(self, report: OfSlot) -> None:
        self._reports.append(report)
        self._told.add(report.slot)

    def _stop_if_empty(self) -> None:
        if self._closing and not self._links and not self._leaving:
            self._reports.append(Stopped())

"""Which slot is on which Dask worker, and what is heard of it, turned into reports. On one thread.

A slot without a place waits for one: there are as many places as the engine says that there are
slots, so it is a matter of a moment. Of each slot one thing is reported at a time, as in `lives`.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Protocol

from ... import packing
from ...reports import Finished, Loss, Lost, Ready, Report, Said, Unstartable
from .clocks import Clock
from .stream import Message

__all__ = ["Post", "Postings", "Site"]


class Site(Protocol):
    """A Dask worker with an outpost of ours: a `Session`, as far as this goes."""

    clock: Clock

    @property
    def address(self) -> str:
        """Its address."""

    @property
    def host(self) -> str:
        """Where that is."""

    @property
    def slots(self) -> int:
        """How many jobs it runs at once."""

    @property
    def is_fresh(self) -> bool:
        """Whether it was heard of lately."""

    def say(self, *message: Any) -> None:
        """Send an order."""


class Post:
    """A slot.

    Attributes:
        site: where its worker is; None while it waits for a place.
        term: the number of the order by which that was started there.
        life: its worker's number; 0 while there is none that is ready.
        number: the job in hand, 0 for none; `sent`: it was sent, `at` that time; `began`: then.
        gone: the site is no more, as is going to be told.
    """

    __slots__ = ("at", "began", "gone", "life", "number", "pid", "sent", "site", "slot", "term")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.site: Site | None = None
        self.term = 0
        self.life = 0
        self.pid: int | None = None
        self.number = 0
        self.sent = False
        self.at = 0.0
        self.began: float | None = None
        self.gone = False


class Postings:
    """The slots of one executor, over the sites of one cluster."""

    def __init__(self) -> None:
        self._posts: dict[int, Post] = {}
        self._free: dict[Site, int] = {}  # of the sites that may get more, how many places are left
        self._waiting: deque[Post] = deque()
        self._terms = itertools.count(1)
        self._due: deque[tuple[Post, Callable[[Post], Report | None]]] = deque()
        self.capacity = 0  # how many jobs may run at once

    # Orders ---------------------------------------------------------------------------------

    def start(self, slot: int) -> None:
        """A slot is to have a worker."""
        self._posts[slot] = Post(slot)
        self._place(self._posts[slot])

    def retire(self, slot: int) -> None:
        """A slot is no more."""
        post = self._posts.pop(slot, None)
        if post is None:
            return
        if post.site is None:
            self._waiting.remove(post)
        else:
            self._leave(post, post.site)

    def get(self, slot: int, number: int) -> tuple[Post, Site] | None:
        """The slot, if it has that job in hand, at a site that is there."""
        post = self._posts.get(slot)
        if post is None or post.number != number or not post.sent or post.gone or post.site is None:
            return None
        return post, post.site

    def hear(self, slot: int, wanted: bool) -> None:
        """Have the worker of a slot listened to, or not."""
        post = self._posts.get(slot)
        if post is not None and post.site is not None and not post.gone:
            post.site.say("hear", slot, post.life, wanted)

    def run(
        self,
        slot: int,
        number: int,
        payload: Any,
        timeout: float | None,
        memory_limit: int | None,
    ) -> None:
        """A job for the worker of a slot."""
        post = self._posts.get(slot)
        if post is None:
            return
        post.number, post.at, post.began = number, time.monotonic(), None
        post.sent = bool(post.life) and not post.gone
        if post.sent and post.site is not None:
            post.site.say("run", slot, post.life, number, payload, timeout, memory_limit)

    def _place(self, post: Post) -> None:
        site = max(self._free, key=lambda site: self._free[site], default=None)
        if site is None or self._free[site] <= 0:
            post.site = None
            self._waiting.append(post)
            return
        self._free[site] -= 1
        post.site, post.term, post.gone = site, next(self._terms), False
        site.say("start", post.slot, post.term)

    def _leave(self, post: Post, site: Site) -> None:
        """Its place is another's."""
        if not post.gone:
            site.say("retire", post.slot)
        if site in self._free:
            self._free[site] += 1
            if self._waiting:
                self._place(self._waiting.popleft())

    # What the sites say ---------------------------------------------------------------------

    def joined(self, site: Site) -> None:
        """A Dask worker more."""
        self._free[site] = site.slots
        self.capacity += site.slots
        for _ in range(min(site.slots, len(self._waiting))):
            self._place(self._waiting.popleft())

    def removed(self, site: Site) -> None:
        """A Dask worker is leaving: it gets no more jobs, but goes on with those that it has."""
        if not self._withdraw(site):
            return
        for post in self._at(site):
            if not post.number:
                self._move(post, site)

    def _withdraw(self, site: Site) -> bool:
        """No more slots go there; whether any did."""
        if self._free.pop(site, None) is None:
            return False
        self.capacity -= site.slots
        return True

    def _move(self, post: Post, site: Site) -> None:
        """A slot without a job goes elsewhere."""
        self._due.append((post, lambda post: self._bereft(post, None, ())))
        self._dismiss(post, site)

    def _dismiss(self, post: Post, site: Site) -> None:
        site.say("retire", post.slot)
        post.gone = True
        self._due.append((post, self._replaced))

    def gone(self, site: Site, cause: BaseException | None, begun: Collection[int] | None) -> None:
        """A Dask worker is no more; of the jobs that it had these had begun, if anybody knows."""
        self._withdraw(site)
        error = ConnectionError(
            f"the Dask worker at {site.address} is gone: {cause or 'it closed'}"
        )
        for post in self._at(site):
            post.gone = True
            self._due.append((post, lambda post: self._bereft(post, error, begun)))
            self._due.append((post, self._replaced))

    def _at(self, site: Site) -> list[Post]:
        return [post for post in self._posts.values() if post.site is site and not post.gone]

    def _bereft(
        self, post: Post, error: BaseException | None, known: Collection[int] | None
    ) -> Report | None:
        if not post.life:
            return None  # it was starting, and goes on starting elsewhere
        has_begun = post.sent and (known is None or post.number in known)
        begun = (post.began or post.at) if post.number and has_begun else None
        post.number = post.life = 0
        return Lost(post.slot, Loss(begun, time.monotonic(), post.pid, cause=error))

    def _replaced(self, post: Post) -> None:
        self._place(post)

    def said(self, site: Site, messages: list[Message]) -> list[Message]:
        """These came from there; returned are those that concern no slot."""
        others = []
        for message in messages:
            if message[0] == "report":
                self._said(site, *message[1:])
            elif message[0] == "begun":
                held = self.get(message[1], message[2])
                if held is not None and held[1] is site:
                    post = held[0]
                    post.began = site.clock.between(post.at, message[3], time.monotonic())
            else:
                others.append(message)
        return others

    def _said(self, site: Site, report: Any, term: int, life: int) -> None:
        post = self._posts.get(report.slot)
        if post is None or post.site is not site or post.term != term or post.gone:
            return  # it was retired, or moved, while that was under way
        now = time.monotonic()
        if isinstance(report, Said):
            self._due.append((post, lambda _: report))
        elif isinstance(report, Ready):
            self._due.append((post, lambda post: self._ready(post, report, life, site.host)))
        elif isinstance(report, Finished):
            self._due.append((post, lambda post: self._finished(post, report, site, now)))
        elif isinstance(report, Lost):
            self._due.append((post, lambda post: self._lost(post, report, site, now)))
        else:
            self._due.append((post, lambda post: self._unstartable(post, report, site)))

    # Reports --------------------------------------------------------------------------------

    def reports(self) -> list[Report]:
        """What there is to report, as far as it may be told now."""
        told: set[int] = set()
        reports: list[Report] = []
        for _ in range(len(self._due)):
            post, make = self._due.popleft()
            if self._posts.get(post.slot) is not post:
                continue  # it was retired since
            if post.slot in told:
                self._due.append((post, make))
                continue
            report = make(post)
            if report is not None:
                reports.append(report)
                if not isinstance(report, Said):  # about which nothing is decided
                    told.add(post.slot)
        return reports

    @property
    def are_due(self) -> bool:
        """Whether there is more to report."""
        return bool(self._due)

    def _ready(self, post: Post, report: Ready, life: int, host: str) -> Report:
        post.life, post.pid = life, report.pid
        return Ready(post.slot, report.pid, host)

    def _finished(self, post: Post, report: Finished, site: Site, now: float) -> Report | None:
        if post.number != report.number:
            return None
        outcome = report.outcome
        outcome.ended = site.clock.between(post.at, outcome.ended, now)
        outcome.started = site.clock.between(post.at, outcome.started, outcome.ended)
        post.number = 0
        is_kept = post.gone or site in self._free
        if not report.ready or not is_kept:
            post.life = 0
        if not is_kept:
            self._dismiss(post, site)
        return report._replace(ready=report.ready and is_kept)

    def _lost(self, post: Post, report: Lost, site: Site, now: float) -> Report:
        loss = report.loss
        ended = site.clock.between(post.at, loss.ended, now)
        begun = None if loss.begun is None else site.clock.between(post.at, loss.begun, ended)
        post.number = post.life = 0
        if site not in self._free and not post.gone:
            self._dismiss(post, site)
        return Lost(post.slot, replace(loss, begun=begun, ended=ended))

    def _unstartable(self, post: Post, report: Unstartable, site: Site) -> Report:
        del self._posts[post.slot]
        self._leave(post, site)
        cause: Any = report.cause
        return report._replace(cause=packing.unpack_error(cause))

"""Which slot is on which Dask worker, and what is heard of it, turned into reports. On one thread.

Only one thing is reported of each slot at a time, as in `lives`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from ... import packing
from ...reports import Finished, Loss, Lost, Ready, Report, Said, Unstartable
from .places import Places
from .posts import Post, Site
from .stream import Message

__all__ = ["Postings"]


class Postings:
    """The slots of one executor, over the sites of one cluster."""

    def __init__(self) -> None:
        self._posts: dict[int, Post] = {}
        self._places = Places()
        self._due: deque[tuple[Post, Callable[[Post], Report | None]]] = deque()

    @property
    def capacity(self) -> int:
        """How many jobs may run at once."""
        return self._places.count

    # Orders ---------------------------------------------------------------------------------

    def start(self, slot: int) -> None:
        """Have a worker started for a slot."""
        self._posts[slot] = Post(slot)
        self._places.take(self._posts[slot])

    def retire(self, slot: int) -> None:
        """Remove a slot."""
        post = self._posts.pop(slot, None)
        if post is None:
            return
        self._places.leave(post)

    def get(self, slot: int, number: int) -> tuple[Post, Site] | None:
        """The slot and its site, if the slot has that job in hand and the site is there."""
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

    # What the sites say ---------------------------------------------------------------------

    def joined(self, site: Site) -> None:
        """A Dask worker has come."""
        self._places.add(site)

    def removed(self, site: Site) -> None:
        """A Dask worker is leaving: it gets no more jobs, but goes on with those that it has."""
        if not self._places.withdraw(site):
            return
        for post in self._at(site):
            if not post.number:
                self._move(post, site)

    def _move(self, post: Post, site: Site) -> None:
        """A slot without a job goes elsewhere."""
        self._due.append((post, lambda post: self._bereft(post, None, ())))
        self._dismiss(post, site)

    def _dismiss(self, post: Post, site: Site) -> None:
        site.say("retire", post.slot)
        post.gone = True
        self._due.append((post, self._replaced))

    def gone(self, site: Site, cause: BaseException | None, begun: Collection[int] | None) -> None:
        """A Dask worker is gone. `begun`: which of its jobs had begun; None if nobody knows."""
        self._places.withdraw(site)
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
        self._places.take(post)

    def said(self, site: Site, messages: list[Message]) -> list[Message]:
        """Take in these messages from a site; returns those that concern no slot."""
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
        """What there is to report now: one report for each slot at most."""
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
        times = site.clock.span(post.at, outcome.started, outcome.ended, now)
        outcome.started, outcome.ended = times
        post.number = 0
        is_kept = post.gone or self._places.has(site)
        if not report.ready or not is_kept:
            post.life = 0
        if not is_kept:
            self._dismiss(post, site)
        return report._replace(ready=report.ready and is_kept)

    def _lost(self, post: Post, report: Lost, site: Site, now: float) -> Report:
        loss = report.loss
        begun, ended = loss.begun, site.clock.between(post.at, loss.ended, now)
        if begun is not None:
            begun, ended = site.clock.span(post.at, begun, loss.ended, now)
        post.number = post.life = 0
        if not self._places.has(site) and not post.gone:
            self._dismiss(post, site)
        return Lost(post.slot, replace(loss, begun=begun, ended=ended))

    def _unstartable(self, post: Post, report: Unstartable, site: Site) -> Report:
        del self._posts[post.slot]
        self._places.leave(post)
        cause: Any = report.cause
        return report._replace(cause=packing.unpack_error(cause))

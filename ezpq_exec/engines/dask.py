"""The workers of a Dask cluster as an engine: each job in a process of its own there, to be killed.

On each Dask worker there is an outpost, which drives the same engine as is used on this host. Here, a
thread of its own keeps the connections, and slots are places on those outposts: they come and go with
the Dask workers. Orders are put on their way, and reports put together, on the loop's thread.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from .. import packing
from ..inbox import Inbox
from ..jobs import Verdict
from ..options import check_seconds
from ..reports import Broken, Capacity, Report, Stopped
from .base import Capabilities, Setup
from .cluster.liaison import Liaison, News
from .cluster.postings import Postings
from .cluster.posts import Site
from .cluster.session import Session, Silence
from .cluster.target import target
from .cluster.terms import check_terms
from .pickling import PicklingEngine

__all__ = ["DaskEngine"]


class DaskEngine(PicklingEngine):
    """Runs jobs on the workers of an existing Dask cluster, in processes that can be killed.

    Without `max_workers`, an executor over it runs as many jobs at once as the Dask workers have
    threads, also when workers come and go; with it, that many at most.

    Args:
        cluster: a `distributed.Client`, a cluster object, or the scheduler's address. A client's
            security is used; it is never closed, and need not stay open.
        workers: addresses, names or hosts of the Dask workers that may be used; None: all.
        resources: how much of which of a Dask worker's resources one job takes, as
            `{"GPU": 1}`. They are counted by this engine alone.
        slots_per_worker: how many jobs run at once on a Dask worker; None: as many as it has
            threads.
        security: a `distributed.Security`, for an address.
        reconnect_timeout: seconds for which the scheduler may be away before the executor breaks,
            and at first, before it is given up.
        lost_after: seconds of silence after which a Dask worker is taken for gone. It ends what it
            runs for us after half of that time without a word from here.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
        ImportError: Dask's `distributed` is not installed.

    >>> from distributed import LocalCluster
    >>> from ezpq_exec import DaskEngine, PriorityExecutor
    >>> here = {"processes": False, "dashboard_address": "127.0.0.1:0"}
    >>> with LocalCluster(n_workers=1, threads_per_worker=2, **here) as cluster:
    ...     with PriorityExecutor(engine=DaskEngine(cluster)) as ex:
    ...         (ex.max_workers, ex.options(timeout=30).submit(pow, 2, 5).result())
    (2, 32)
    """

    capabilities = Capabilities(
        kills=True,
        whole_tree=True,
        own_deadlines=True,
        stacks=True,
        recycles=True,
        isolates=True,
        dumps=True,
        limits_memory=True,
        own_context=True,
        relays=True,
        follows=True,
        is_away=True,
    )

    def __init__(
        self,
        cluster: Any,
        *,
        workers: str | Collection[str] | None = None,
        resources: Mapping[str, float] | None = None,
        slots_per_worker: int | None = None,
        security: Any = None,
        reconnect_timeout: float = 60.0,
        lost_after: float = 30.0,
    ) -> None:
        address, connection = target(cluster, security)
        terms = check_terms(workers, resources, slots_per_worker)
        silence = Silence(check_seconds("lost_after", lost_after))
        patience = check_seconds("reconnect_timeout", reconnect_timeout)
        self._inbox: Inbox[News] = Inbox()
        self._liaison = Liaison(address, connection, terms, silence, patience, self._inbox)
        self._postings = Postings()
        self._sessions: set[Session] = set()
        self._tokens = itertools.count(1)
        self._askers: dict[int, tuple[Site, Callable[[str | None], object]]] = {}
        self._capacity = 0
        self._closing = False
        self._kills = False

    def open(self, setup: Setup) -> None:
        """See `Engine.open`. It waits for the Dask workers that are there.

        Raises:
            OSError: the scheduler could not be reached.
            UnfitError: no Dask worker can run jobs for us.
        """
        self._setup = setup
        setup = replace(setup, levels=self._levels())
        if setup.initializer is not None:  # to be unpacked where it is called
            packed = packing.pack((setup.initializer, setup.initargs))
            setup = replace(setup, initializer=call_packed, initargs=(packed,))
        self._capacity = self._liaison.start(packing.pack(setup))

    def capacity(self) -> int | None:
        """See `Engine.capacity`."""
        return self._capacity

    # Orders ---------------------------------------------------------------------------------

    def start(self, slot: int) -> None:
        """See `Engine.start`."""
        self._postings.start(slot)

    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        """See `Engine.run`."""
        self._postings.run(slot, number, payload, timeout, None)

    def run_within(
        self, slot: int, number: int, payload: Any, timeout: float | None, memory_limit: int
    ) -> None:
        """See `Engine.run_within`."""
        self._postings.run(slot, number, payload, timeout, memory_limit)

    def kill(self, slot: int, number: int, reason: Verdict, *, force: bool = False) -> None:
        """See `Engine.kill`."""
        held = self._postings.get(slot, number)
        if held is not None:
            held[1].say("kill", slot, number, reason.name, force)

    def terminate(self, slot: int, number: int, reason: Verdict) -> None:
        """See `Engine.terminate`."""
        held = self._postings.get(slot, number)
        if held is not None:
            held[1].say("terminate", slot, number, reason.name)

    def retire(self, slot: int) -> None:
        """See `Engine.retire`."""
        self._postings.retire(slot)

    def begun(self, slot: int, number: int) -> float | None:
        """See `Engine.begun`. Until its start is reported, a job counts as begun when it was sent.

        But if nothing has been heard from its host lately, it may still be on its way: then None.
        """
        held = self._postings.get(slot, number)
        if held is None:
            return None
        post, site = held
        return post.began or (post.at if site.is_fresh else None)

    def ask_stack(self, slot: int, number: int, tell: Callable[[str | None], object]) -> None:
        """See `Engine.ask_stack`."""
        held = self._postings.get(slot, number)
        if held is None:
            tell(None)
            return
        token = next(self._tokens)
        self._askers[token] = held[1], tell
        held[1].say("ask_stack", slot, number, token)

    def hear(self, slot: int, wanted: bool) -> None:
        """See `Engine.hear`. What is on its way comes all the same."""
        self._postings.hear(slot, wanted)

    def wake(self) -> None:
        """See `Engine.wake`."""
        self._inbox.ring()

    def close(self, *, kill: bool = False) -> None:
        """See `Engine.close`."""
        self._closing, self._kills = True, kill
        for session in self._sessions:
            session.say("close", kill)
        self._liaison.end()

    # What is heard --------------------------------------------------------------------------

    def wait(self, timeout: float | None) -> list[Report]:
        """See `Engine.wait`."""
        reports: list[Report] = []
        is_due = self._postings.are_due and not self._closing
        for news in self._inbox.take(0 if is_due else timeout):
            reports += self._hear(news)
        if self._closing:
            return reports
        reports = self._postings.reports() + reports
        if self._postings.capacity != self._capacity:
            self._capacity = self._postings.capacity
            reports.append(Capacity(self._capacity))
        return reports

    def _hear(self, news: News) -> list[Report]:
        what, session, details = news
        if session is None:
            if what == "over":
                self._liaison.join()
                return [Stopped()]
            return [] if self._closing else [Broken(details[0])]
        if what == "joined":
            self._join(session)
        elif what == "said":
            for _, token, stack in self._postings.said(session, details[0]):
                self._tell_stack(token, stack)
        elif what == "removed":
            self._postings.removed(session)
        else:
            self._part(session, *details)
        return []

    def _join(self, session: Session) -> None:
        self._sessions.add(session)
        if self._closing:
            session.say("close", self._kills)
        else:
            self._postings.joined(session)

    def _part(
        self, session: Session, cause: BaseException | None, begun: Collection[int] | None
    ) -> None:
        self._sessions.discard(session)
        self._postings.gone(session, cause, begun)
        for token in [token for token, (asked, _) in self._askers.items() if asked is session]:
            self._tell_stack(token, None)

    def _tell_stack(self, token: int, stack: str | None) -> None:
        asked = self._askers.pop(token, None)
        if asked is not None:
            asked[1](stack)


def call_packed(packed: bytes) -> None:
    """In a worker: call the initializer that was packed."""
    initializer, initargs = packing.unpack(packed)
    initializer(*initargs)

"""An outpost with an engine that the test drives: what it lets through, and when it gives up."""

from __future__ import annotations

import asyncio
import gc
import math
import multiprocessing
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from ezpq_exec.engines.base import Capabilities, Engine, Setup
from ezpq_exec.engines.channel import Kind
from ezpq_exec.engines.cluster import garrison
from ezpq_exec.engines.cluster.outpost import Outpost
from ezpq_exec.errors import WorkerDied
from ezpq_exec.inbox import Inbox
from ezpq_exec.jobs import Outcome, Verdict
from ezpq_exec.packing import pack, unpack_error
from ezpq_exec.reports import Finished, Loss, Lost, Ready, Report, Said, Stopped, Unstartable
from gates import PATIENCE


class ByHand(Engine):
    """Reports what the test says, and keeps what it is told."""

    capabilities = Capabilities(own_deadlines=True)

    def __init__(self) -> None:
        self.inbox: Inbox[Report] = Inbox()
        self.heard: Inbox[tuple[Any, ...]] = Inbox()
        self.begins: float | None = 5.0
        self.on_wait: Callable[[], object] = lambda: None
        self.patience: float | None = None

    def open(self, setup: Setup) -> None: ...

    def start(self, slot: int) -> None:
        self.heard.put(("start", slot))

    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        self.heard.put(("run", slot, number))

    def run_within(
        self, slot: int, number: int, payload: Any, timeout: float | None, memory_limit: int
    ) -> None:
        self.heard.put(("run within", slot, number, memory_limit))

    def kill(self, slot: int, number: int, reason: Verdict, *, force: bool = False) -> None:
        self.heard.put(("kill", slot, number, reason, force))

    def terminate(self, slot: int, number: int, reason: Verdict) -> None:
        self.heard.put(("terminate", slot, number, reason))

    def hear(self, slot: int, wanted: bool) -> None:
        self.heard.put(("hear", slot, wanted))

    def ask_stack(self, slot: int, number: int, tell: Callable[[str | None], object]) -> None:
        tell(f"where {number} is")

    def retire(self, slot: int) -> None:
        self.heard.put(("retire", slot))

    def begun(self, slot: int, number: int) -> float | None:
        return self.begins

    def wait(self, timeout: float | None) -> Iterable[Report]:
        self.on_wait()
        self.patience = timeout
        return self.inbox.take(timeout)

    def wake(self) -> None:
        self.inbox.ring()

    def close(self, *, kill: bool = False) -> None:
        self.heard.put(("close", kill))
        self.inbox.put(Stopped())

    def next(self) -> tuple[Any, ...]:
        """What it is told next."""
        [message] = self.heard.take(PATIENCE)
        return message


class Post:
    """An outpost, its engine, and what it says."""

    def __init__(self, lease: float, on_wait: Callable[[Outpost], object] | None = None) -> None:
        self.engine = ByHand()
        self.said: Inbox[tuple[Any, ...]] = Inbox()
        self.over = threading.Event()
        self.outpost = Outpost(
            self.engine, Setup(), lease, lambda *words: self.said.put(words), self.over.set
        )
        if on_wait is not None:
            self.engine.on_wait = lambda: on_wait(self.outpost)
        self.outpost.start()

    def order(self, *order: Any) -> None:
        self.outpost.obey([order])

    def hear(self, count: int = 1) -> list[tuple[Any, ...]]:
        """The next messages, so many at least."""
        messages: list[tuple[Any, ...]] = []
        while len(messages) < count:
            more = self.said.take(PATIENCE)
            assert more, f"{count} messages were awaited, and these came: {messages}"
            messages += more
        return messages

    def hear_of(self, message: tuple[Any, ...]) -> None:
        """Wait for this message, whatever comes before it, together or in pieces."""
        messages: list[tuple[Any, ...]] = []
        while message not in messages:
            messages += self.hear()


@pytest.fixture
def make() -> Iterator[Callable[..., Post]]:
    """Makes outposts, with a lease of an hour unless it is said otherwise."""
    made: list[Post] = []

    def one(lease: float = 3600.0, **options: Any) -> Post:
        made.append(Post(lease, **options))
        return made[-1]

    yield one
    for post in made:
        post.outpost.give_up()
        post.outpost.join()


@pytest.fixture
def ready(make: Callable[..., Post]) -> Post:
    """One whose slot 0 has a worker, of life 1."""
    post = make()
    post.order("start", 0, 77)
    assert post.engine.next() == ("start", 0)
    post.engine.inbox.put(Ready(0, 5))
    assert post.hear() == [("report", Ready(0, 5), 77, 1)]
    return post


def test_a_job_for_a_life_that_is_over_is_left_alone(ready: Post) -> None:
    ready.engine.inbox.put(Lost(0, Loss(None, 1.0)))
    ready.engine.inbox.put(Ready(0, 6))
    ready.hear(2)
    ready.order("run", 0, 1, 41, b"", None, None)
    ready.order("run", 0, 2, 42, b"", None, None)
    assert ready.engine.next() == ("run", 0, 42)


def test_a_job_for_a_worker_that_has_just_died_is_left_alone(ready: Post) -> None:
    ready.engine.inbox.put(Lost(0, Loss(None, 1.0)))
    ready.hear()
    ready.order("run", 0, 1, 41, b"", None, None)
    ready.order("kill", 0, 41, "KILLED", False)
    assert ready.engine.next() == ("kill", 0, 41, Verdict.KILLED, False)


def test_when_a_job_began_is_said_if_it_has_not_ended_at_once(ready: Post) -> None:
    ready.order("run", 0, 1, 41, b"", None, None)
    assert ready.hear() == [("begun", 0, 41, 5.0)]


def test_a_job_that_has_not_begun_at_first_is_looked_at_again(ready: Post) -> None:
    """When it began is said once it has, with the time."""
    ready.engine.begins = None
    asked = threading.Event()
    begun = ready.engine.begun

    def not_yet(slot: int, number: int) -> float | None:
        if asked.is_set():
            ready.engine.begins = 6.0
        asked.set()
        return begun(slot, number)

    ready.engine.begun = not_yet  # type: ignore[method-assign]
    ready.order("run", 0, 1, 41, b"", None, None)
    assert ready.hear() == [("begun", 0, 41, 6.0)]


def test_when_a_job_began_that_has_ended_is_not_said(ready: Post) -> None:
    """Its end has told."""
    ready.engine.begins = None
    ready.order("run", 0, 1, 41, b"", None, None)
    assert ready.engine.next() == ("run", 0, 41)
    ready.engine.inbox.put(FINISHED)
    assert ready.hear() == [("report", FINISHED, 77, 0)]
    ready.engine.begins = 6.0
    ready.order("run", 0, 1, 42, b"", None, None)
    assert ready.hear() == [("begun", 0, 42, 6.0)]


def test_a_record_of_a_job_is_passed_on_and_ends_nothing(ready: Post) -> None:
    ready.order("run", 0, 1, 41, b"", None, None)
    assert ready.engine.next() == ("run", 0, 41)
    words = Said(0, 41, 5, Kind.LOGGED, b"")
    ready.engine.inbox.put(words)
    ready.hear_of(("report", words, 77, 0))
    ready.outpost.give_up()
    ready.hear_of(("over", frozenset([41])))


def test_orders_are_carried_out_as_the_executor_gave_them(ready: Post) -> None:
    """By the engine that is there."""
    told: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = [
        (("run", 0, 1, 41, b"", None, 2**30), ("run within", 0, 41, 2**30)),
        (("terminate", 0, 41, "KILLED"), ("terminate", 0, 41, Verdict.KILLED)),
        (("kill", 0, 41, "TIMED_OUT", True), ("kill", 0, 41, Verdict.TIMED_OUT, True)),
        (("hear", 0, 1, False), ("hear", 0, False)),
    ]
    for order, what in told:
        ready.order(*order)
        assert ready.engine.next() == what
    ready.order("ask_stack", 0, 41, 9)
    messages = ready.hear()
    while messages[-1][0] == "begun":  # which it may say first
        messages = ready.hear()
    assert ("stack", 9, "where 41 is") in messages


def test_a_worker_whose_life_is_over_is_not_what_is_to_be_heard(ready: Post) -> None:
    ready.order("hear", 0, 99, False)
    ready.order("retire", 0)
    assert ready.engine.next() == ("retire", 0)


def test_an_engine_is_closed_once(ready: Post) -> None:
    """In good order, if that is how it began; that the executor has gone meanwhile changes nothing."""
    ready.outpost.obey([("close", False), ("close", True), ("give_up",)])
    assert ready.engine.next() == ("close", False)
    assert ready.over.wait(PATIENCE)
    assert ready.engine.heard.take(0) == []


def test_an_outpost_that_fails_kills_what_it_runs_and_is_over(
    make: Callable[..., Post], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits for its end waits for it no longer than for that."""
    failures = [MemoryError("no room")]

    def fail_once(_: Outpost) -> None:
        if failures:
            raise failures.pop()

    post = make(on_wait=fail_once)
    assert post.over.wait(PATIENCE)
    assert post.engine.next() == ("close", True)
    assert "no room" in caplog.text


def test_without_a_word_for_as_long_as_the_lease_everything_is_killed(
    make: Callable[..., Post],
) -> None:
    post = make(lease=0.2)
    assert post.engine.next() == ("close", True)
    assert post.hear() == [("over", frozenset())]
    assert post.over.wait(PATIENCE)


def test_the_lease_counts_from_what_the_executor_has_heard(make: Callable[..., Post]) -> None:
    post = make(lease=0.5)
    begin = time.monotonic()
    post.outpost.heard(begin + 0.5)
    assert post.engine.next() == ("close", True)
    assert time.monotonic() >= begin + 1.0


def test_what_comes_from_an_executor_that_hears_nothing_extends_no_lease(
    make: Callable[..., Post],
) -> None:
    begin = time.monotonic()
    words: list[float] = []

    def say_what_was_heard_long_ago(outpost: Outpost) -> None:
        if len(words) < 20:
            words.append(begin)
            outpost.heard(begin)

    post = make(lease=0.1, on_wait=say_what_was_heard_long_ago)
    assert post.engine.next() == ("close", True)
    assert len(words) < 20


def test_what_had_begun_when_it_gave_up_is_said(ready: Post) -> None:
    ready.order("run", 0, 1, 41, b"", None, None)
    ready.hear()
    ready.outpost.give_up()
    assert ready.hear() == [("over", frozenset([41]))]
    assert ready.outpost.begun == frozenset([41])


def test_what_had_not_begun_when_it_gave_up_is_not(ready: Post) -> None:
    ready.engine.begins = None
    ready.order("run", 0, 1, 41, b"", None, None)
    ready.outpost.give_up()
    ready.hear_of(("over", frozenset()))


def test_why_no_worker_starts_travels_as_bytes(make: Callable[..., Post]) -> None:
    post = make()
    post.order("start", 0, 1)
    post.engine.next()
    post.engine.inbox.put(Unstartable(0, WorkerDied("no luck"), fatal=True))
    [(_, report, _, _)] = post.hear()
    assert isinstance(report.cause, bytes)
    assert str(unpack_error(report.cause)) == "no luck"


def test_nothing_is_said_of_a_slot_that_was_retired(ready: Post) -> None:
    ready.order("retire", 0)
    assert ready.engine.next() == ("retire", 0)
    ready.engine.inbox.put(Lost(0, Loss(None, 1.0)))
    ready.order("pulse", 1.5)
    [(word, asked, _)] = ready.hear()
    assert (word, asked) == ("pulse", 1.5)


FINISHED = Finished(0, 41, Outcome(Verdict.RETURNED, b"", started=1.0, ended=2.0))


@pytest.mark.parametrize(
    "report",
    [
        FINISHED,
        FINISHED._replace(ready=False),
        Lost(0, Loss(1.0, 2.0)),
        Lost(0, Loss(None, 2.0, reason=Verdict.KILLED)),
    ],
)
def test_a_job_whose_end_may_not_have_been_heard_counts_as_begun(
    ready: Post, report: Report
) -> None:
    ready.order("run", 0, 1, 41, b"", None, None)
    ready.hear()
    ready.engine.inbox.put(report)
    ready.hear()
    ready.outpost.give_up()
    assert ready.hear() == [("over", frozenset([41]))]


def test_a_job_that_was_lost_before_it_began_does_not_count_as_begun(ready: Post) -> None:
    ready.order("run", 0, 1, 41, b"", None, None)
    ready.hear()
    ready.engine.inbox.put(Lost(0, Loss(None, 2.0)))
    ready.hear()
    ready.outpost.give_up()
    assert ready.hear() == [("over", frozenset())]


@pytest.mark.parametrize("order", [("run", 0, 1, 42, b"", None, None), ("retire", 0)])
def test_the_next_order_for_its_slot_proves_that_the_end_of_a_job_was_heard(
    ready: Post, order: tuple[Any, ...]
) -> None:
    ready.order("run", 0, 1, 41, b"", None, None)
    ready.hear()
    ready.engine.inbox.put(FINISHED)
    ready.hear()
    ready.engine.begins = None
    ready.outpost.obey([order, ("give_up",)])
    ready.hear_of(("over", frozenset()))


def test_no_worker_starts_where_it_was_given_up(make: Callable[..., Post]) -> None:
    post = make()
    post.outpost.obey([("give_up",), ("start", 0, 1)])
    assert post.engine.next() == ("close", True)
    assert post.over.wait(PATIENCE)
    assert post.engine.heard.take(0) == []


@pytest.mark.parametrize("lease", [math.inf, 1e300, 1e9])
def test_however_long_the_lease_the_engine_waits_no_longer_than_a_system_can(
    make: Callable[..., Post], lease: float
) -> None:
    post = make(lease=lease)
    post.order("pulse", 1.5)
    post.hear()
    assert post.engine.patience == 24 * 3600


class Wire:
    """A connection over which these orders come, before it fails."""

    def __init__(self, orders: list[tuple[Any, ...]], failure: Exception) -> None:
        self._orders = orders
        self._failure = failure

    async def write(self, message: object) -> None: ...

    async def read(self) -> tuple[float, bool, bytes]:
        if not self._orders:
            raise self._failure
        return time.monotonic(), True, pickle.dumps([self._orders.pop(0)])


@pytest.mark.parametrize("failure", [ConnectionError("cut"), ValueError("garbled")])
def test_of_an_outpost_that_is_over_what_had_begun_is_known_and_nothing_else_is_kept(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    engines = [ByHand()]
    engines[0].inbox.put(Ready(0, 5))
    known = weakref.ref(engines[0])
    monkeypatch.setattr(garrison, "choose", lambda _: engines.pop())
    place = garrison.Garrison()
    wire = Wire([("start", 0, 77), ("run", 0, 1, 41, b"", None, None)], failure)

    async def main() -> list[int] | None:
        try:
            await place.greet(wire, "name", pack(Setup()), 3600.0)
        except ValueError as error:
            assert error is failure
            error.__traceback__ = None
        failure.__traceback__ = None
        return await place.bid_farewell("name")

    assert asyncio.run(main()) == [41]
    gc.collect()
    assert known() is None
    assert asyncio.run(place.bid_farewell("another")) is None


class Talker:
    """A connection over which somebody speaks on when all is over, before it ends."""

    def __init__(self, place: garrison.Garrison) -> None:
        self._place = place
        self.reads = 0

    async def write(self, message: object) -> None: ...

    async def read(self) -> tuple[float, bool, bytes]:
        self.reads += 1
        if self.reads > 3:
            raise ConnectionError("they have left")
        order: tuple[Any, ...] = ("close", True)
        if self.reads > 1:
            order = ("pulse", time.monotonic())
            await self._place.bid_farewell("name")
        return time.monotonic(), True, pickle.dumps([order])


def test_who_still_talks_to_an_outpost_that_is_over_is_heard_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else Dask would take it for a message of its own, and log an error."""
    monkeypatch.setattr(garrison, "choose", lambda _: ByHand())
    place = garrison.Garrison()
    wire = Talker(place)
    asyncio.run(place.greet(wire, "name", pack(Setup()), 3600.0))
    assert wire.reads == 4


class Mute:
    """A connection over which nothing comes; it keeps what is said."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.is_greeted = asyncio.Event()
        self._ends = asyncio.Event()

    async def write(self, message: object) -> None:
        self.said.append(message)
        self.is_greeted.set()

    async def read(self) -> object:
        await self._ends.wait()
        raise ConnectionError("they have left")

    def cut(self) -> None:
        self._ends.set()


def test_where_workers_cannot_be_killed_no_jobs_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without keepers says so to whoever connects, and keeps nothing of it."""

    class Unable(ByHand):
        capabilities = Capabilities()

    monkeypatch.setattr(garrison, "choose", lambda _: Unable())
    place = garrison.Garrison()

    async def main() -> list[Any]:
        wire = Mute()
        await place.greet(wire, "name", pack(Setup()), 3600.0)
        return wire.said

    [answer] = asyncio.run(main())
    assert "this system has no keepers" in str(unpack_error(answer["failure"]))
    assert asyncio.run(place.bid_farewell("name")) is None


def test_a_dask_worker_that_closes_waits_until_all_that_it_runs_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = ByHand()
    monkeypatch.setattr(garrison, "choose", lambda _: engine)
    place = garrison.Garrison()

    async def main() -> None:
        wire = Mute()
        serving = asyncio.ensure_future(place.greet(wire, "name", pack(Setup()), 3600.0))
        await wire.is_greeted.wait()
        await place.teardown(Host())
        assert engine.next() == ("close", True)
        wire.cut()
        await serving

    asyncio.run(main())


def test_of_outposts_that_are_long_over_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the latest are remembered, so that a Dask worker that runs for months does not grow."""
    monkeypatch.setattr(garrison, "choose", lambda _: ByHand())
    monkeypatch.setattr(garrison, "REMEMBERED", 2)
    place = garrison.Garrison()

    async def main() -> list[list[int] | None]:
        for name in ("a", "b", "c"):
            wire = Mute()
            wire.cut()
            await place.greet(wire, name, pack(Setup()), 3600.0)
        return [await place.bid_farewell(name) for name in ("a", "b", "c")]

    assert asyncio.run(main()) == [None, [], []]


class Host:
    """A Dask worker, as far as a garrison needs one."""

    def __init__(self) -> None:
        self.plugins: dict[str, object] = {}

    async def plugin_add(self, plugin: object, name: str) -> None:
        self.plugins[name] = plugin


def have_had_a_garrison() -> None:
    """As a nanny's worker whose program has imported this package, too."""
    from ezpq_exec import exits
    from ezpq_exec.engines.roots import shared

    assert not exits.has_begun()
    asyncio.run(garrison.install(Host()))
    shared()  # its child


def test_a_nanny_s_worker_ends_though_its_program_has_imported_this_package() -> None:
    """multiprocessing, which joins all children then, does not wait for the root."""
    process = multiprocessing.get_context("spawn").Process(target=have_had_a_garrison)
    process.start()
    process.join(PATIENCE)
    process.kill()
    process.join()
    assert process.exitcode == 0
    process.close()

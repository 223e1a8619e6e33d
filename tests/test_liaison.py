"""The thread that keeps connections to a cluster, with a scheduler and Dask workers by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from ezpq_exec.engines.cluster import liaison
from ezpq_exec.engines.cluster.connecting import UnfitError
from ezpq_exec.engines.cluster.following import Listener
from ezpq_exec.engines.cluster.liaison import Liaison, News
from ezpq_exec.engines.cluster.session import Silence
from ezpq_exec.engines.cluster.terms import Terms
from ezpq_exec.inbox import Inbox
from gates import PATIENCE

WORKER = {"name": "a", "host": "here", "threads": 3, "resources": {}}
Script = Callable[[Listener], Awaitable[None]]
Life = Callable[["ByHand"], Awaitable[None]]


class ByHand:
    """A session that does what the test says."""

    def __init__(self, address: str, host: str, slots: int, *rest: Any) -> None:
        self.address, self.host, self.slots = address, host, slots
        self.tell = rest[-1]
        self.life = LIVES.pop(0)
        self._loop = asyncio.get_running_loop()
        self._is_over = asyncio.Event()

    async def run(self) -> None:
        await self.life(self)

    async def stay(self) -> None:
        """It joins, and stays until it is closed."""
        self.tell(self, "joined")
        await self._is_over.wait()
        self.tell(self, "gone", None, None)

    def close(self) -> None:
        """As the engine does, from its own thread."""
        self._loop.call_soon_threadsafe(self._is_over.set)


LIVES: list[Life] = []  # of the sessions to come
stay = ByHand.stay


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Liaison, Inbox[News]]]]:
    """Makes a liaison whose scheduler follows this script, and whose sessions these lives."""

    def one(script: Script, *lives: Life) -> tuple[Liaison, Inbox[News]]:
        class Following:
            def __init__(self, *args: Any) -> None:
                self.listener = args[-1]

            async def run(self) -> None:
                await script(self.listener)

        monkeypatch.setattr(liaison, "Following", Following)
        monkeypatch.setattr(liaison, "Session", ByHand)
        monkeypatch.setattr(liaison, "FIRST_PAUSE", 0.0)
        LIVES[:] = lives
        inbox: Inbox[News] = Inbox()
        return Liaison("tcp://here:1", {}, Terms(), Silence(60.0), 60.0, inbox), inbox

    yield one
    LIVES.clear()


def told(inbox: Inbox[News], last: str) -> list[News]:
    """What it is told, up to this."""
    heard: list[News] = []
    while last not in {news.what for news in heard}:
        more = inbox.take(PATIENCE)
        assert more, heard
        heard += more
    return heard


def what(news: list[News]) -> list[str]:
    return [each.what for each in news]


def ended(made: Liaison, inbox: Inbox[News], *sessions: Any) -> list[str]:
    """What it is told until it is over, while its sessions are closed."""
    made.end()
    for session in sessions:
        session.close()
    heard = told(inbox, "over")
    made.join()
    return what(heard)


async def listed(listener: Listener) -> None:
    """There is one worker, and that is all that is heard."""
    listener.all_are({"a": WORKER})
    await asyncio.Event().wait()


def test_it_starts_once_it_is_known_what_the_workers_can_run(make: Any) -> None:
    made, inbox = make(listed, stay)
    assert made.start(b"") == 3
    [joined] = told(inbox, "joined")
    assert ended(made, inbox, joined.session) == ["gone", "over"]


def test_a_worker_that_cannot_be_reached_is_tried_again(make: Any) -> None:
    async def fail(_: ByHand) -> None:
        raise ConnectionError("nobody listens")

    made, inbox = make(listed, fail, fail, stay)
    made.start(b"")
    [joined] = told(inbox, "joined")
    assert ended(made, inbox, joined.session) == ["gone", "over"]


def test_a_worker_that_left_and_came_back_at_once_has_a_new_session(make: Any) -> None:
    """The old one, which was about to connect, has heard that it is over."""
    left: list[str] = []

    async def connect(session: ByHand) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append(session.address)

    async def come_and_go(listener: Listener) -> None:
        listener.all_are({"a": WORKER})
        await asyncio.sleep(0)
        listener.one_left("a")
        listener.one_came("a", WORKER)
        await asyncio.Event().wait()

    made, inbox = make(come_and_go, connect, stay)
    made.start(b"")
    [joined] = told(inbox, "joined")
    assert left == ["a"]
    assert ended(made, inbox, joined.session) == ["gone", "over"]


def test_what_fails_as_it_ends_is_nobodys_trouble(make: Any) -> None:
    """A connection that is closed may say so by an error."""

    async def fail_at_the_end(listener: Listener) -> None:
        listener.all_are({})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("cut") from None

    made, inbox = make(fail_at_the_end)
    assert made.start(b"") == 0
    assert ended(made, inbox) == ["over"]


def test_a_scheduler_that_is_lost_is_told_once_it_was_there(make: Any) -> None:
    async def lose(listener: Listener) -> None:
        listener.all_are({})
        await asyncio.sleep(0)
        raise ConnectionError("away for too long")

    made, inbox = make(lose)
    made.start(b"")
    assert what(told(inbox, "broken")) == ["broken"]
    assert ended(made, inbox) == ["over"]


def test_if_no_worker_can_be_used_it_says_why(make: Any) -> None:
    async def refuse(_: ByHand) -> None:
        raise UnfitError("it is of another version")

    made, inbox = make(listed, refuse)
    with pytest.raises(UnfitError, match="another version"):
        made.start(b"")
    assert what(told(inbox, "over")) == ["over"]


def test_a_thread_that_fails_at_once_keeps_nobody_waiting(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it was is raised and logged; whoever has it end later is told as well that it is over."""
    made, inbox = make(listed)

    async def fail(_: Liaison) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Liaison, "_serve", fail)
    with pytest.raises(MemoryError, match="no room"):
        made.start(b"")
    assert "the connection to a Dask cluster failed" in caplog.text
    assert set(what(told(inbox, "over"))) == {"over"}
    inbox.take(0)
    made.end()
    assert what(told(inbox, "over")) == ["over"]

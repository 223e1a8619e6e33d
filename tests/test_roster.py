"""The roster on a Dask scheduler, with a scheduler and connections by hand."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ezpq_exec import __version__
from ezpq_exec.engines.cluster import roster

PULSE = 3600.0  # seconds: none comes while a test runs


def worker(name: str) -> Any:
    """What a scheduler knows of one."""
    return SimpleNamespace(name=name, host="here", nthreads=2, resources={"GPU": 1.0})


def described(name: str) -> dict[str, Any]:
    return {"name": name, "host": "here", "threads": 2, "resources": {"GPU": 1.0}}


class Scheduler:
    """Has handlers, plugins and workers."""

    def __init__(self, **workers: Any) -> None:
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.plugins: dict[str, Any] = {}
        self.workers: dict[str, Any] = workers

    def add_plugin(self, plugin: object, name: str) -> None:
        self.plugins[name] = plugin


class Comm:
    """A connection of one who wants to know."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.leaves = asyncio.Event()

    async def write(self, piece: tuple[float, bool, bytes]) -> None:
        for message in pickle.loads(piece[2]):
            await self.heard.put(message)

    async def read(self) -> None:
        await self.leaves.wait()
        raise ConnectionError("they have left")

    async def next(self, count: int) -> list[Any]:
        return [await self.heard.get() for _ in range(count)]


def test_it_is_installed_once_and_says_of_which_version_it_is() -> None:
    scheduler = Scheduler()
    for _ in range(2):
        assert asyncio.run(roster.install(scheduler)) == __version__
    assert list(scheduler.plugins) == [roster.NAME]
    assert list(scheduler.handlers) == [roster.SUBSCRIBE]


def test_whoever_subscribes_hears_who_is_there_and_then_who_comes_and_goes() -> None:
    """Until it leaves; nothing is kept of it then."""
    scheduler = Scheduler(a=worker("a"))

    async def main() -> None:
        made: Any = roster.Roster(scheduler)
        comm = Comm()
        serving = asyncio.ensure_future(scheduler.handlers[roster.SUBSCRIBE](comm, PULSE))
        assert await comm.next(2) == [("add", "a", described("a")), ("complete",)]
        scheduler.workers["b"] = worker("b")
        made.add_worker(scheduler, "b")
        made.remove_worker(scheduler, "a", stimulus_id="some event")
        assert await comm.next(2) == [("add", "b", described("b")), ("remove", "a")]
        comm.leaves.set()
        await serving
        made.remove_worker(scheduler, "b")
        assert comm.heard.empty()

    asyncio.run(main())


def test_something_is_said_again_and_again() -> None:
    """So that it is noticed when the scheduler stops."""

    async def main() -> None:
        scheduler = Scheduler()
        roster.Roster(scheduler)
        comm = Comm()
        serving = asyncio.ensure_future(scheduler.handlers[roster.SUBSCRIBE](comm, 0.001))
        assert await comm.next(3) == [("complete",), ("pulse",), ("pulse",)]
        comm.leaves.set()
        await serving

    asyncio.run(main())

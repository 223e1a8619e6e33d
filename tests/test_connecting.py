"""What is asked of Dask's processes: how long an answer is waited for, and who may give up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from ezpq_exec.engines.cluster import connecting, following
from ezpq_exec.engines.cluster.connecting import UnfitError, answered, connected, installed
from ezpq_exec.engines.cluster.stream import Stream


async def none() -> None:
    """No answer ever."""
    await asyncio.Event().wait()


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    with pytest.raises(TimeoutError, match=r"no answer for 0\.01 s"):
        asyncio.run(answered(none(), 0.01))


def test_an_answer_that_comes_is_had_and_so_is_a_failure() -> None:
    async def fail() -> None:
        raise ConnectionResetError("cut")

    assert asyncio.run(answered(asyncio.sleep(0, 41), 60)) == 41
    with pytest.raises(ConnectionResetError, match="cut"):
        asyncio.run(answered(fail(), 60))


def test_who_is_cancelled_at_the_very_moment_of_the_answer_is_cancelled() -> None:
    """Else the end of an executor would wait for who goes on listening."""

    async def main() -> bool:
        answer = asyncio.get_running_loop().create_future()

        async def coming() -> object:
            return await answer

        asking = asyncio.ensure_future(answered(coming(), 60))
        for _ in range(3):
            await asyncio.sleep(0)  # until it waits
        answer.set_result(41)
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        return asking.cancelled()

    assert asyncio.run(main())


def test_an_answer_that_is_given_up_on_the_other_side_is_none() -> None:
    """Dask cancels what it was about to do when its own connection ends."""

    async def cancel() -> None:
        raise asyncio.CancelledError

    with pytest.raises(TimeoutError, match="no answer"):
        asyncio.run(answered(cancel(), 60))


class Comm:
    """A connection that is made when the test says, and over which nothing can be sent."""

    def __init__(self) -> None:
        self.may_come = asyncio.Event()
        self.is_awaited = asyncio.Event()
        self.aborted = False

    async def make(self, *_: object, **__: object) -> Comm:
        self.is_awaited.set()
        await self.may_come.wait()
        return self

    async def write(self, _: object) -> None:
        raise ConnectionResetError("cut")

    def abort(self) -> None:
        self.aborted = True


def test_a_connection_over_which_nothing_can_be_said_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> Comm:
        comm = Comm()
        comm.may_come.set()
        monkeypatch.setattr(connecting, "connect", comm.make)
        with pytest.raises(ConnectionResetError, match="cut"):
            await connected("tcp://a:1", {}, {})
        return comm

    assert asyncio.run(main()).aborted


def test_a_connection_that_comes_when_nobody_wants_it_any_more_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dask would keep its socket open until that is collected."""

    async def main() -> tuple[Comm, bool]:
        comm = Comm()
        monkeypatch.setattr(connecting, "connect", comm.make)
        asking = asyncio.ensure_future(connected("tcp://a:1", {}, {}))
        await comm.is_awaited.wait()
        asking.cancel()
        await asyncio.sleep(0)
        comm.may_come.set()
        await asyncio.wait([asking])
        return comm, asking.cancelled()

    comm, is_cancelled = asyncio.run(main())
    assert comm.aborted
    assert is_cancelled


def test_what_a_process_of_dask_s_says_of_its_failure_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what is to be done about it."""

    class Server:
        def __init__(self, *_: object, **__: object) -> None: ...

        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def run(self, **_: object) -> dict[str, str]:
            return {"status": "error", "exception_text": "ModuleNotFoundError('ezpq_exec')"}

    monkeypatch.setattr(connecting, "rpc", Server)
    words = r"the worker cannot run jobs: ModuleNotFoundError.* must be installed there"
    with pytest.raises(UnfitError, match=words):
        asyncio.run(installed("tcp://a:1", "the worker", {}, "run", str, 60.0))


def test_who_speaks_when_the_event_loop_has_ended_speaks_in_vain() -> None:
    """The connection is gone with it; an engine's thread may have had something left to say."""

    async def main() -> Stream:
        return Stream(None, lambda: 0.0)

    stream = asyncio.run(main())
    stream.say("anything")
    stream.hang_up()


class Nobody:
    """Wants to know of no workers; also a connection over which nothing comes."""

    def all_are(self, listed: following.Listed) -> None: ...

    def one_came(self, address: str, worker: dict[str, Any]) -> None: ...

    def one_left(self, address: str) -> None: ...

    def abort(self) -> None: ...

    async def read(self) -> object:
        raise AssertionError("not to be read")


def test_a_scheduler_is_asked_again_however_long_this_program_itself_was_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then all time limits have run out, and nothing is known of the scheduler."""
    hours = [0.0]
    asked = []

    async def installed(*_: object) -> None:
        asked.append("installed")
        if len(asked) == 3:
            raise UnfitError("that is enough")

    async def connected(*_: object) -> Nobody:
        return Nobody()

    async def silent(coming: Coroutine[Any, Any, object], _: float) -> None:
        coming.close()
        hours.append(hours[-1] + 1.0)
        raise TimeoutError("there was no answer")

    for name, instead in (("installed", installed), ("connected", connected), ("answered", silent)):
        monkeypatch.setattr(following, name, instead)
    monkeypatch.setattr(following, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(following, "time", SimpleNamespace(monotonic=lambda: 3600.0 * hours[-1]))
    with pytest.raises(UnfitError, match="that is enough"):
        asyncio.run(following.Following("tcp://127.0.0.1:1", {}, 60.0, Nobody()).run())

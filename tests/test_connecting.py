"""What is asked of Dask's processes: how long an answer is waited for, and who may give up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from ezpq_exec.engines.cluster import following
from ezpq_exec.engines.cluster.connecting import UnfitError, answered


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

"""What is asked of Dask's processes: how long an answer is waited for, and who may give up."""

from __future__ import annotations

import asyncio

import pytest

from ezpq_exec.engines.cluster.connecting import answered


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

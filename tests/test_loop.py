"""The loop under faults: a defect in an engine leaves nobody waiting."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

import pytest

from ezpq_exec import PriorityExecutor, Verdict, loop, settling
from ezpq_exec.engines.threads import ThreadEngine
from gates import PATIENCE


class FailsToRun(ThreadEngine):
    """Comes to grief when it is to run something."""

    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        raise ZeroDivisionError("a planted defect")


def test_a_failing_engine_fails_every_job(caplog: pytest.LogCaptureFixture) -> None:
    """When the loop itself fails, all jobs fail with the cause, and no more are taken."""
    executor = PriorityExecutor(1, engine=FailsToRun())
    executor.pause()
    futures = [executor.submit(abs, -n) for n in range(3)]
    with caplog.at_level(logging.CRITICAL):
        executor.resume()
        for future in futures:
            error = future.exception(PATIENCE)
            assert isinstance(error, BrokenExecutor)
            assert isinstance(error.__cause__, ZeroDivisionError)
    with pytest.raises(BrokenExecutor):
        executor.submit(abs, 1)
    executor.shutdown()
    assert "the loop failed" in caplog.text


def test_a_question_to_an_executor_that_is_gone_is_answered() -> None:
    """`stats` and `info` answer after shutdown as before."""
    executor = PriorityExecutor(1, engine="threads")
    future = executor.submit(abs, -1)
    executor.shutdown()
    assert executor.stats().settled == {Verdict.RETURNED: 1}
    assert future.info.verdict is Verdict.RETURNED
    assert not future.kill()
    assert not future.reprioritize(1)


def test_what_is_held_back_for_company_is_told_when_none_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A short job's result waits for those of the next; but not for one that takes its time."""
    for module in (settling, loop):
        monkeypatch.setattr(module, "HOLD", 0.5)  # so that a slow machine's job is a short one, too
    release = threading.Event()
    with PriorityExecutor(1, engine="threads") as executor:
        executor.pause()
        quick = executor.submit(abs, -1)
        held = executor.submit(release.wait, PATIENCE)
        other = executor.submit(abs, -2)
        executor.resume()
        assert quick.result(PATIENCE) == 1
        assert not held.done()
        release.set()
        assert held.result(PATIENCE)
        assert other.result(PATIENCE) == 2


def test_each_job_has_its_own_exception() -> None:
    """Jobs that fail for one cause raise an exception object each."""
    executor = PriorityExecutor(1, engine=FailsToRun())
    executor.pause()
    futures = [executor.submit(abs, -n) for n in range(2)]
    executor.resume()
    first, second = (future.exception(PATIENCE) for future in futures)
    assert first is not second
    executor.shutdown()


def test_a_callback_that_blocks_delays_no_result() -> None:
    """While one job's callback blocks, other jobs run and their futures are resolved."""
    release = threading.Event()
    called: Callable[[object], object] = lambda _: release.wait(PATIENCE)  # noqa: E731
    with PriorityExecutor(1, engine="threads") as executor:
        executor.submit(abs, -1).add_done_callback(called)
        assert [executor.submit(abs, -n).result(PATIENCE) for n in range(3)] == [0, 1, 2]
        release.set()

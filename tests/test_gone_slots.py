"""What an engine is asked about a slot that is gone: an order may meet a loss, and does nothing then."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ezpq_exec import Engine, Verdict
from ezpq_exec.engines.base import Setup
from ezpq_exec.engines.borrowed import BorrowedEngine
from ezpq_exec.engines.choice import choose
from ezpq_exec.engines.spawned import SpawnedEngine
from ezpq_exec.engines.threads import ThreadEngine
from ezpq_exec.jobs import Call
from ezpq_exec.reports import Stopped, Unstartable

SLOT = 7  # that there never was
NUMBER = 1


@pytest.fixture
def lender() -> Iterator[ThreadPoolExecutor]:
    """Somebody else's executor."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(params=["processes", "spawned", "threads", "borrowed"])
def engine(request: pytest.FixtureRequest, lender: ThreadPoolExecutor) -> Iterator[Any]:
    """An open engine without any slot."""
    kinds: dict[str, Callable[[], Any]] = {
        "processes": lambda: choose("processes"),
        "spawned": SpawnedEngine,
        "threads": ThreadEngine,
        "borrowed": lambda: BorrowedEngine(lender),
    }
    made = kinds[request.param]()
    made.open(Setup())
    yield made
    made.close()
    while not any(isinstance(report, Stopped) for report in made.wait(None)):
        pass


def payload(engine: Engine) -> Any:
    return engine.pack(Call(abs, (-1,), {}))


def test_a_job_for_it_is_sent_nowhere(engine: Any) -> None:
    """Nor is it queued. That the slot was lost is reported, or has been."""
    if not isinstance(engine, (ThreadEngine, BorrowedEngine)):  # whose slots are lost by nobody
        engine.run(SLOT, NUMBER, payload(engine), None)
    if engine.capabilities.queues:
        assert engine.queue({SLOT: [(NUMBER, payload(engine))]}) == [NUMBER]
        assert engine.recall(SLOT) == []
    if engine.capabilities.hands_over and not isinstance(engine, (ThreadEngine, BorrowedEngine)):
        sent: list[object] = []
        engine.hand_over(SLOT, NUMBER, payload(engine), None, sent, False)
        assert sent == []
        assert engine.line(SLOT, NUMBER) is None
        engine.told(SLOT)
    assert engine.wait(0.0) == []


def test_it_is_not_killed_and_nothing_has_begun_there(engine: Any) -> None:
    if engine.capabilities.kills:
        engine.kill(SLOT, NUMBER, Verdict.KILLED)
        engine.terminate(SLOT, NUMBER, Verdict.KILLED)
    engine.retire(SLOT)
    engine.hear(SLOT, True)
    assert engine.begun(SLOT, NUMBER) is None
    assert engine.wait(0.0) == []


def test_where_its_job_is_cannot_be_told(engine: Any) -> None:
    """Whoever asks is answered."""
    if engine.capabilities.dumps:
        told: list[str | None] = []
        engine.ask_stack(SLOT, NUMBER, told.append)
        assert told == [None]


@pytest.mark.skipif(sys.platform != "linux", reason="keepers are for Linux")
def test_what_is_captured_there_is_not() -> None:
    """The loss of the slot will tell what became of the job."""
    engine: Any = choose("processes")
    engine.open(Setup())
    engine.capture(SLOT)
    engine.close()
    assert isinstance(engine.wait(0.0)[-1], Stopped)


def test_without_a_thread_to_lend_on_there_is_no_slot(
    lender: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler hears why; the lender's own threads are not to blame."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = BorrowedEngine(lender)
    engine.open(Setup())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        engine.start(0)
    (report,) = engine.wait(None)
    assert isinstance(report, Unstartable)
    assert "can't start new thread" in str(report.cause)
    engine.close()
    while not any(isinstance(each, Stopped) for each in engine.wait(None)):
        pass

"""The engine over a Dask cluster, with Dask workers by hand: what it says to whom, and reports."""

from __future__ import annotations

from typing import Any

import pytest

from ezpq_exec.engines import dask
from ezpq_exec.engines.base import Setup
from ezpq_exec.engines.cluster.liaison import News
from ezpq_exec.engines.dask import DaskEngine
from ezpq_exec.inbox import Inbox
from ezpq_exec.jobs import Verdict
from ezpq_exec.reports import Broken, Capacity, Lost, Ready, Stopped
from test_postings import ByHand

NUMBER = 7  # the job in hand


class Office:
    """A liaison that tells what the test says."""

    def __init__(self, *args: Any) -> None:
        self.inbox: Inbox[Any] = args[-1]

    def start(self, setup: bytes) -> int:
        return 0

    def end(self) -> None: ...

    def join(self) -> None: ...


class Rig:
    """An engine with one Dask worker, where slot 0 is ready."""

    def __init__(self) -> None:
        self.engine: Any = DaskEngine("tcp://127.0.0.1:1")
        self.engine.open(Setup())
        self.site = ByHand("a", 1)
        assert self.tell("joined") == [Capacity(1)]
        self.engine.start(0)
        assert self.say("report", Ready(0, 5), self.site.term(0), 1) == [Ready(0, 5, "host of a")]

    def tell(self, what: str, *details: Any) -> list[Any]:
        """That happens to the Dask worker; what is reported then."""
        self.engine._liaison.inbox.put(News(what, self.site, details))  # type: ignore[arg-type]
        return [*self.engine.wait(0), *self.engine.wait(0)]

    def say(self, *message: Any) -> list[Any]:
        """The outpost says this."""
        return self.tell("said", [message])

    def run(self) -> None:
        self.engine.run(0, NUMBER, b"call", None)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(dask, "Liaison", Office)
    return Rig()


def test_where_a_job_is_is_asked_there_and_told_once(rig: Rig) -> None:
    rig.run()
    told: list[str | None] = []
    rig.engine.ask_stack(0, NUMBER, told.append)
    [token] = [message[3] for message in rig.site.heard if message[0] == "ask_stack"]
    rig.say("stack", token, "it is here")
    rig.say("stack", token, "it is there")
    assert told == ["it is here"]


def test_where_a_job_is_that_has_ended_cannot_be_told(rig: Rig) -> None:
    told: list[str | None] = []
    rig.engine.ask_stack(0, NUMBER, told.append)
    assert told == [None]


def test_whoever_asked_a_dask_worker_that_is_gone_is_answered(rig: Rig) -> None:
    """Without a stack; and an answer that was on its way is for nobody."""
    rig.run()
    told: list[str | None] = []
    rig.engine.ask_stack(0, NUMBER, told.append)
    [token] = [message[3] for message in rig.site.heard if message[0] == "ask_stack"]
    reports = rig.tell("gone", OSError("cut"), None)
    assert {type(report) for report in reports} == {Lost, Capacity}
    rig.say("stack", token, "it is here")
    assert told == [None]


def test_a_job_is_ended_where_it_is_in_hand_and_nowhere_else(rig: Rig) -> None:
    rig.run()
    before = len(rig.site.heard)
    rig.engine.kill(0, NUMBER + 1, Verdict.KILLED)
    rig.engine.terminate(0, NUMBER + 1, Verdict.KILLED)
    assert len(rig.site.heard) == before
    rig.engine.terminate(0, NUMBER, Verdict.KILLED)
    rig.engine.kill(0, NUMBER, Verdict.TIMED_OUT, force=True)
    assert rig.site.heard[before:] == [
        ("terminate", 0, NUMBER, "KILLED"),
        ("kill", 0, NUMBER, "TIMED_OUT", True),
    ]


def test_a_job_counts_as_begun_when_it_was_sent_unless_nothing_is_heard_from_there(
    rig: Rig,
) -> None:
    """Then it may still be on its way."""
    assert rig.engine.begun(0, NUMBER) is None
    rig.run()
    assert rig.engine.begun(0, NUMBER) is not None
    rig.site.is_fresh = False
    assert rig.engine.begun(0, NUMBER) is None


def test_a_dask_worker_that_leaves_takes_its_places_along(rig: Rig) -> None:
    assert rig.tell("removed")[-1] == Capacity(0)


@pytest.mark.parametrize("kill", [False, True])
def test_a_dask_worker_that_comes_when_all_is_closed_is_closed_too(rig: Rig, kill: bool) -> None:
    """In the same manner. That the cluster is lost is no news then."""
    rig.engine.close(kill=kill)
    assert rig.site.heard[-1] == ("close", kill)
    rig.site = ByHand("b", 1)
    assert rig.tell("joined") == []
    assert rig.site.heard == [("close", kill)]
    inbox = rig.engine._liaison.inbox
    inbox.put(News("broken", None, (OSError("away"),)))
    inbox.put(News("over"))
    assert rig.engine.wait(0) == [Stopped()]


def test_a_cluster_that_is_lost_breaks_the_executor(rig: Rig) -> None:
    failure = OSError("away")
    rig.engine._liaison.inbox.put(News("broken", None, (failure,)))
    assert rig.engine.wait(0) == [Broken(failure)]

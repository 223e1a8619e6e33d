"""Slots on Dask workers that come and go, with everything by hand: no cluster, no network."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ezpq_exec.engines.channel import Kind
from ezpq_exec.engines.cluster.clocks import Clock
from ezpq_exec.engines.cluster.postings import Postings
from ezpq_exec.jobs import Outcome, Verdict
from ezpq_exec.packing import pack_error
from ezpq_exec.reports import Finished, Loss, Lost, Ready, Said, Unstartable


class ByHand:
    """A Dask worker that keeps what it is told."""

    def __init__(self, address: str, slots: int) -> None:
        self.address = address
        self.host = f"host of {address}"
        self.slots = slots
        self.clock = Clock()
        self.is_fresh = True
        self.heard: list[tuple[Any, ...]] = []

    def say(self, *message: Any) -> None:
        self.heard.append(message)

    def term(self, slot: int) -> int:
        """Of the latest order to start that slot."""
        terms = [
            term
            for word, of, *rest in self.heard
            if word == "start" and of == slot
            for term in rest
        ]
        return int(terms[-1])

    def jobs(self) -> list[int]:
        """The numbers of the jobs that it was sent."""
        return [message[3] for message in self.heard if message[0] == "run"]


@pytest.fixture
def postings() -> Postings:
    """No slots yet, and nowhere to put them."""
    return Postings()


@pytest.fixture
def site(postings: Postings) -> ByHand:
    """A Dask worker with two places, where slots 0 and 1 are ready."""
    made = ByHand("a", 2)
    postings.joined(made)
    for slot in (0, 1):
        postings.start(slot)
        tell(postings, made, Ready(slot, 100 + slot), life=slot + 1)
    assert len(postings.reports()) == 2
    return made


def tell(postings: Postings, site: ByHand, report: Any, life: int = 0) -> None:
    """The outpost there says this, of the slot's present term."""
    postings.said(site, [("report", report, site.term(report.slot), life)])


def ended(slot: int, number: int) -> Finished:
    return Finished(slot, number, Outcome(Verdict.RETURNED, b"", started=1.0, ended=2.0))


def losses(reports: list[Any]) -> dict[int, Loss]:
    return {report.slot: report.loss for report in reports if isinstance(report, Lost)}


def test_a_job_goes_to_the_worker_of_its_slot_under_the_number_of_that_worker_s_life(
    postings: Postings, site: ByHand
) -> None:
    postings.run(1, 7, b"call", 3.0, None)
    assert site.heard[-1] == ("run", 1, 2, 7, b"call", 3.0, None)


def test_a_ready_worker_is_told_with_its_host(postings: Postings, site: ByHand) -> None:
    postings.run(0, 7, b"", None, None)
    tell(postings, site, Lost(0, Loss(None, 1.0)))
    tell(postings, site, Ready(0, 555), life=9)
    postings.reports()
    assert postings.reports() == [Ready(0, 555, "host of a")]


def test_of_a_slot_one_thing_is_told_at_a_time_and_in_order(
    postings: Postings, site: ByHand
) -> None:
    postings.run(0, 7, b"", None, None)
    tell(postings, site, ended(0, 7))
    tell(postings, site, Lost(0, Loss(None, 1.0)))
    tell(postings, site, Ready(0, 5), life=3)
    kinds = []
    while postings.are_due:
        [report] = postings.reports()
        kinds.append(type(report))
    assert kinds == [Finished, Lost, Ready]


def test_a_job_that_was_sent_when_its_dask_worker_vanishes_counts_as_begun(
    postings: Postings, site: ByHand
) -> None:
    postings.run(0, 7, b"", None, None)
    postings.gone(site, OSError("cut"), None)
    found = losses(postings.reports())
    assert found[0].begun is not None
    assert found[1].begun is None
    assert "the Dask worker at a is gone: cut" in str(found[0].cause)


def test_a_job_that_the_outpost_had_not_begun_is_known_not_to_have(
    postings: Postings, site: ByHand
) -> None:
    postings.run(0, 7, b"", None, None)
    postings.run(1, 8, b"", None, None)
    postings.gone(site, None, frozenset([8]))
    found = losses(postings.reports())
    assert found[0].begun is None
    assert found[1].begun is not None


def test_a_job_for_a_dask_worker_that_is_gone_is_not_sent_and_has_not_begun(
    postings: Postings, site: ByHand
) -> None:
    postings.run(0, 7, b"", None, None)
    tell(postings, site, ended(0, 7))
    postings.gone(site, OSError(), None)
    assert [type(report) for report in postings.reports()] == [Finished, Lost]  # of 0, of 1
    postings.run(0, 8, b"", None, None)
    assert site.jobs() == [7]
    assert losses(postings.reports())[0].begun is None


def test_slots_of_a_dask_worker_that_is_gone_start_on_the_next(
    postings: Postings, site: ByHand
) -> None:
    postings.gone(site, OSError(), None)
    while postings.are_due:
        postings.reports()
    assert postings.capacity == 0
    other = ByHand("b", 3)
    postings.joined(other)
    assert postings.capacity == 3
    assert {message[1] for message in other.heard} == {0, 1}


def test_slots_start_where_most_places_are_free(postings: Postings) -> None:
    sites = [ByHand("a", 1), ByHand("b", 3)]
    for site in sites:
        postings.joined(site)
    for slot in range(4):
        postings.start(slot)
    assert [len(site.heard) for site in sites] == [1, 3]


def test_a_place_that_is_left_is_given_to_a_slot_that_waits_for_one(
    postings: Postings, site: ByHand
) -> None:
    postings.start(2)
    postings.retire(0)
    assert site.heard[-2:] == [("retire", 0), ("start", 2, site.term(2))]


def test_what_is_said_of_a_slot_s_earlier_term_is_not_heard(
    postings: Postings, site: ByHand
) -> None:
    old = site.term(0)
    postings.retire(0)
    postings.start(0)
    postings.said(site, [("report", Ready(0, 5), old, 1)])
    assert postings.reports() == []
    tell(postings, site, Ready(0, 6), life=4)
    assert postings.reports() == [Ready(0, 6, "host of a")]


def test_a_dask_worker_that_is_leaving_finishes_its_job_and_gets_no_other(
    postings: Postings, site: ByHand
) -> None:
    postings.run(0, 7, b"", None, None)
    postings.removed(site)
    assert postings.capacity == 0
    assert list(losses(postings.reports())) == [1]  # it was idle, and goes elsewhere
    tell(postings, site, ended(0, 7))
    [report] = postings.reports()
    assert isinstance(report, Finished)
    assert not report.ready
    other = ByHand("b", 2)
    postings.joined(other)
    postings.reports()
    assert {message[1] for message in other.heard} == {0, 1}


def test_times_of_another_host_come_in_ours_and_within_what_is_possible(
    postings: Postings, site: ByHand
) -> None:
    site.clock.measured(asked=100.0, theirs=5000.0, answered=100.0)
    postings.run(0, 7, b"", None, None)
    report = ended(0, 7)
    report.outcome.started, report.outcome.ended = 1.0, 1e9
    tell(postings, site, report)
    [told] = postings.reports()
    assert isinstance(told, Finished)
    post_at = told.outcome.started
    assert 0 < post_at <= told.outcome.ended < 1e6  # between handing over and hearing of it


@pytest.mark.parametrize("wrong", [-50.0, 50.0])
def test_how_long_a_job_took_does_not_depend_on_what_is_known_of_the_clock(
    postings: Postings, site: ByHand, wrong: float
) -> None:
    now = time.monotonic()
    site.clock.measured(asked=now, theirs=now + wrong, answered=now)
    postings.run(0, 7, b"", None, None)
    postings.run(1, 8, b"", None, None)
    report = ended(0, 7)
    report.outcome.started, report.outcome.ended = now, now + 2**-20
    tell(postings, site, report)
    tell(postings, site, Lost(1, Loss(begun=now, ended=now + 2**-20)))
    finished, lost = postings.reports()
    assert isinstance(finished, Finished)
    assert isinstance(lost, Lost)
    assert lost.loss.begun is not None
    took = finished.outcome.ended - finished.outcome.started, lost.loss.ended - lost.loss.begun
    assert took == pytest.approx((2**-20, 2**-20), abs=1e-9)


def test_a_job_that_runs_began_when_the_outpost_says(postings: Postings, site: ByHand) -> None:
    postings.run(0, 7, b"", None, None)
    held = postings.get(0, 7)
    assert held is not None
    post, _ = held
    site.clock.measured(asked=post.at, theirs=0.0, answered=post.at)
    postings.said(site, [("begun", 0, 7, 0.0)])
    assert post.began == post.at


def test_a_job_for_a_worker_of_which_was_told_only_after_its_dask_worker_left_goes_elsewhere(
    postings: Postings,
) -> None:
    site = ByHand("a", 1)
    postings.joined(site)
    postings.start(0)
    tell(postings, site, Ready(0, 5), life=1)
    postings.removed(site)
    assert postings.reports() == [Ready(0, 5, "host of a")]
    postings.run(0, 7, b"", None, None)
    assert site.jobs() == []
    assert losses(postings.reports())[0].begun is None


def test_a_slot_whose_worker_was_lost_on_a_dask_worker_that_is_leaving_goes_elsewhere(
    postings: Postings, site: ByHand
) -> None:
    postings.run(0, 7, b"", None, None)
    postings.removed(site)
    tell(postings, site, Lost(0, Loss(1.0, 2.0)))
    assert losses(postings.reports()).keys() == {0, 1}
    assert ("retire", 0) in site.heard
    tell(postings, site, Ready(0, 6), life=9)  # which crossed that
    assert postings.reports() == []
    other = ByHand("b", 2)
    postings.joined(other)
    assert {message[1] for message in other.heard} == {0, 1}


def test_a_job_of_a_dask_worker_that_is_gone_is_nowhere_to_be_found(
    postings: Postings, site: ByHand
) -> None:
    postings.run(0, 7, b"", None, None)
    assert postings.get(0, 7) is not None
    postings.gone(site, OSError(), None)
    assert postings.get(0, 7) is None


def test_orders_for_a_slot_that_is_gone_go_nowhere(postings: Postings, site: ByHand) -> None:
    """They crossed the news of it."""
    before = list(site.heard)
    postings.run(7, 41, b"", None, None)
    postings.hear(7, False)
    postings.retire(7)
    assert site.heard == before
    assert postings.reports() == []


def test_a_worker_is_listened_to_or_not_while_it_is_there(postings: Postings, site: ByHand) -> None:
    """With the number of its life, so that the next one in its slot is not meant."""
    postings.hear(1, False)
    assert site.heard[-1] == ("hear", 1, 2, False)
    postings.gone(site, OSError(), None)
    before = list(site.heard)
    postings.hear(1, True)
    assert site.heard == before


def test_a_dask_worker_leaves_once_however_often_it_is_said(
    postings: Postings, site: ByHand
) -> None:
    postings.removed(site)
    postings.removed(site)
    assert postings.capacity == 0
    assert losses(postings.reports()).keys() == {0, 1}
    while postings.are_due:
        assert postings.reports() == []


def test_what_is_said_of_a_job_that_a_slot_has_not_in_hand_is_not_believed(
    postings: Postings, site: ByHand
) -> None:
    """It would be taken for the end, or the beginning, of another."""
    postings.run(0, 7, b"", None, None)
    tell(postings, site, ended(0, 6))
    postings.said(site, [("begun", 0, 6, 1.0)])
    assert postings.reports() == []
    held = postings.get(0, 7)
    assert held is not None
    assert held[0].began is None


def test_what_concerns_no_slot_is_left_to_others(postings: Postings, site: ByHand) -> None:
    stack = ("stack", 3, "it is here")
    assert postings.said(site, [stack, ("begun", 0, 6, 1.0)]) == [stack]


def test_records_do_not_hold_up_what_else_is_told_of_their_slot(
    postings: Postings, site: ByHand
) -> None:
    """Nothing is decided by them, however many there are."""
    postings.run(0, 7, b"", None, None)
    words = Said(0, 7, 100, Kind.LOGGED, b"")
    for report in (words, words, ended(0, 7)):
        tell(postings, site, report)
    assert [type(report) for report in postings.reports()] == [Said, Said, Finished]


def test_a_slot_for_which_no_worker_came_up_gives_its_place_back(
    postings: Postings, site: ByHand
) -> None:
    """The reason is told as it was there, and who waits for a place has it."""
    tell(postings, site, Unstartable(0, pack_error(ValueError("no luck"))))  # type: ignore[arg-type]
    postings.start(2)
    [report] = postings.reports()
    assert isinstance(report, Unstartable)
    assert str(report.cause) == "no luck"
    assert site.heard[-2:] == [("retire", 0), ("start", 2, site.term(2))]


def test_a_slot_that_is_retired_while_it_waits_for_a_place_does_not_come(
    postings: Postings, site: ByHand
) -> None:
    postings.start(2)
    postings.retire(2)
    other = ByHand("b", 1)
    postings.joined(other)
    assert other.heard == []


def test_a_slot_that_is_retired_on_a_dask_worker_that_is_gone_leaves_no_place_there(
    postings: Postings, site: ByHand
) -> None:
    """Nobody is told, and the next one waits for another."""
    postings.gone(site, OSError(), None)
    before = list(site.heard)
    postings.retire(0)
    postings.start(2)
    while postings.are_due:
        postings.reports()
    assert site.heard == before
    other = ByHand("b", 2)
    postings.joined(other)
    assert {message[1] for message in other.heard} == {1, 2}

"""How many slots there are where the engine says so: as plain examples."""

from __future__ import annotations

from ezpq_exec.commands import Retire, Start
from test_scheduler import Rig, runs


def test_without_a_slot_jobs_wait_and_they_run_when_there_is_one() -> None:
    rig = Rig(0)
    job = rig.new()
    assert rig.scheduler.submitted(job, rig.now) == []
    assert rig.scheduler.offered(1, rig.now) == [Start(0)]
    assert runs(rig.scheduler.ready(0, 1, rig.now)) == [job]


def test_slots_are_as_many_as_user_and_engine_both_allow() -> None:
    rig = Rig(0)
    scheduler = rig.scheduler
    scheduler.offered(8, rig.now)
    assert scheduler.slots.limit == 8
    scheduler.resize(3, rig.now)
    assert scheduler.slots.limit == 3
    scheduler.offered(2, rig.now)
    assert scheduler.slots.limit == 2
    scheduler.offered(5, rig.now)
    assert scheduler.slots.limit == 3


def test_slots_that_vanish_are_those_without_a_job() -> None:
    rig = Rig(2)
    job = rig.submit()
    [retired] = rig.scheduler.offered(1, rig.now)
    assert isinstance(retired, Retire)
    assert retired.slot != job.slot


def test_a_job_that_waits_for_slots_to_come_back_is_not_lost() -> None:
    rig = Rig(1)
    rig.scheduler.offered(0, rig.now)
    job = rig.new()
    assert runs(rig.scheduler.submitted(job, rig.now)) == []
    [start] = rig.scheduler.offered(1, rig.now)
    assert isinstance(start, Start)
    assert runs(rig.scheduler.ready(start.slot, 1, rig.now)) == [job]

"""Workers that have nothing to do leave, and come back on demand: as plain examples."""

from __future__ import annotations

from ezpq_exec.commands import Close, Retire, Run, Settle, Start
from ezpq_exec.slots import Phase
from test_scheduler import Rig


def phases(rig: Rig) -> list[Phase]:
    return [slot.phase for slot in rig.scheduler.slots]


def test_a_worker_leaves_when_it_has_been_idle_for_so_long_and_its_slot_stays() -> None:
    rig = Rig(2, idle_timeout=10.0)
    assert rig.scheduler.next_deadline() == 110.0
    rig.now = 109.0
    assert rig.scheduler.tick(rig.now) == []
    rig.now = 110.0
    assert rig.scheduler.tick(rig.now) == [Retire(0), Retire(1)]
    assert phases(rig) == [Phase.COLD, Phase.COLD]
    assert rig.scheduler.next_deadline() is None
    assert rig.scheduler.workers["retired"] == 2


def test_the_time_counts_from_the_last_job_of_each() -> None:
    rig = Rig(2, idle_timeout=10.0)
    rig.now = 106.0
    job = rig.submit()
    rig.finish(job)
    rig.now = 110.0
    used = job.slot
    assert used is not None
    [retired] = rig.scheduler.tick(rig.now)
    assert isinstance(retired, Retire)
    assert retired.slot != used
    assert rig.scheduler.next_deadline() == 116.0
    rig.now = 116.0
    assert rig.scheduler.tick(rig.now) == [Retire(used)]


def test_a_worker_at_work_is_not_idle() -> None:
    rig = Rig(1, idle_timeout=10.0)
    job = rig.submit()
    rig.now = 150.0
    assert rig.scheduler.tick(rig.now) == []
    rig.finish(job)
    assert rig.scheduler.next_deadline() == 160.0


def test_a_slot_that_is_cold_gets_a_worker_when_there_is_a_job() -> None:
    rig = Rig(1, idle_timeout=10.0)
    rig.now = 110.0
    rig.scheduler.tick(rig.now)
    job = rig.new()
    assert rig.scheduler.submitted(job, rig.now) == [Start(0)]
    assert rig.scheduler.ready(0, 77, rig.now) == [Run(0, job)]
    assert job.pid == 77
    assert any(isinstance(command, Settle) for command in rig.finish(job))


def test_whoever_is_idle_when_all_is_closed_is_let_go_with_the_others() -> None:
    """The engine lets them all go then; no order for one of them comes after that."""
    rig = Rig(1, idle_timeout=10.0)
    assert rig.scheduler.close(rig.now) == [Close()]
    assert rig.tick(110.0) == []
    assert rig.scheduler.workers["retired"] == 0


def test_without_the_option_nobody_leaves() -> None:
    rig = Rig(2)
    assert rig.scheduler.next_deadline() is None

"""When what was decided of jobs is told."""

from __future__ import annotations

from ezpq_exec.commands import Settle
from ezpq_exec.jobs import Call, Job, Outcome, Verdict
from ezpq_exec.options import Options
from ezpq_exec.settling import HOLD, MOST, Settling


def settle(number: int, took: float = 0.0) -> Settle:
    job = Job(number, Call(int, (), {}), Options(), b"", 0.0)
    return Settle(job, Outcome(Verdict.RETURNED, number, started=1.0, ended=1.0 + took))


def test_they_are_resolved_in_their_order() -> None:
    """Each once, in the order in which the jobs came to their end."""
    told: list[int] = []
    settling = Settling(lambda job, outcome: told.append(job.number))
    for number in (3, 1, 2):
        settling.add(settle(number))
    settling.settle()
    settling.settle()
    assert told == [3, 1, 2]


def test_they_wait_for_others_only_while_others_come() -> None:
    """A turn that brings none is the end of it; and so is a number of them."""
    settling = Settling(lambda job, outcome: None)
    settling.begin_turn()
    assert not settling.may_grow(1.0)
    settling.add(settle(1))
    assert settling.may_grow(1.0)
    settling.begin_turn()
    assert not settling.may_grow(1.0)
    for number in range(MOST):
        settling.add(settle(number))
    assert not settling.may_grow(1.0)


def test_they_do_not_wait_for_what_takes_its_time() -> None:
    """Whether the next end is near is told by the last."""
    settling = Settling(lambda job, outcome: None)
    settling.add(settle(1))
    assert settling.may_wait
    settling.add(settle(2, took=2 * HOLD))
    assert not settling.may_wait


def test_the_first_does_not_wait_for_long_however_many_come() -> None:
    """From its end on there is a limit, which others do not put off."""
    settling = Settling(lambda job, outcome: None)
    settling.begin_turn()
    settling.add(settle(1))
    settling.add(settle(2, took=HOLD / 2))
    assert settling.may_grow(1.0 + HOLD / 2)
    assert not settling.may_grow(1.0 + 2 * HOLD)


def test_one_that_cannot_be_resolved_is_still_there() -> None:
    """If resolving fails, by a defect of ours, none is lost: they are taken out to be failed."""

    def fail(job: Job, outcome: Outcome) -> None:
        raise AssertionError(job)

    settling = Settling(fail)
    settling.add(settle(1))
    settling.add(settle(2))
    try:
        settling.settle()
    except AssertionError:
        pass
    assert [each.job.number for each in settling.take()] == [1, 2]
    assert settling.take() == []

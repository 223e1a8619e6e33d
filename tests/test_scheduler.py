"""The scheduler's promises, one by one, as plain examples."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import BrokenExecutor, CancelledError
from fractions import Fraction
from typing import Any

import pytest

from ezpq_exec.commands import Break, Close, Command, Kill, Look, Retire, Run, Settle, Start
from ezpq_exec.errors import JobKilled, JobTimeout, QueueTimeout, WorkerDied
from ezpq_exec.hearing import Hearing
from ezpq_exec.jobs import Call, Job, Outcome, State, Verdict
from ezpq_exec.loglistener import LogListener
from ezpq_exec.options import Options
from ezpq_exec.reports import Loss, Unstartable
from ezpq_exec.scheduler import SCARCE, Scheduler

RETURNED = Verdict.RETURNED


class Rig:
    """A scheduler with its clock, and the jobs that it was given."""

    def __init__(self, slots: int = 1, *, warm: bool = True, **settings: Any) -> None:
        self.scheduler = Scheduler(slots, **{"can_kill": True, **settings})
        self.now = 100.0
        self.jobs: list[Job] = []
        if warm:
            jobs = [self.submit() for _ in range(slots)]
            for index in range(slots):
                self.scheduler.ready(index, 1000 + index, self.now)
            for job in jobs:
                self.finish(job)

    def new(self, **options: Any) -> Job:
        """A job that nobody knows."""
        number = len(self.jobs)
        self.jobs.append(Job(number, Call(int, (), {}), Options(**options), b"", self.now))
        return self.jobs[-1]

    def submit(self, **options: Any) -> Job:
        """A job that waits or runs."""
        job = self.new(**options)
        self.scheduler.submitted(job, self.now)
        return job

    def finish(self, job: Job, *, begun: float | None = None, ready: bool = True) -> list[Command]:
        """It returns."""
        outcome = Outcome(RETURNED, None, started=begun or self.now, ended=self.now)
        return self.scheduler.finished(slot_of(job), job.number, outcome, ready, self.now)

    def lose(
        self, job: Job, begun: float | None = None, reason: Verdict | None = None
    ) -> list[Command]:
        """Its worker dies."""
        loss = Loss(begun, self.now, pid=7, exitcode=-9, signal="SIGKILL", reason=reason)
        return self.scheduler.lost(slot_of(job), loss, self.now)

    def fail(self, index: int = 0, *, fatal: bool = False) -> list[Command]:
        """No worker comes up."""
        return self.scheduler.unstartable(index, BrokenExecutor("no"), fatal, self.now)

    def tick(self, now: float) -> list[Command]:
        """It is that late now."""
        self.now = now
        return self.scheduler.tick(now)


def slot_of(job: Job) -> int:
    """Where it runs."""
    assert job.slot is not None
    return job.slot


def runs(commands: Iterable[Command]) -> list[Job]:
    """The jobs that are told to run."""
    return [command.job for command in commands if isinstance(command, Run)]


def settled(commands: Iterable[Command]) -> list[tuple[Job, Verdict]]:
    """The jobs that are settled, with their verdicts."""
    return [
        (command.job, command.outcome.verdict)
        for command in commands
        if isinstance(command, Settle)
    ]


def error_in(commands: Iterable[Command]) -> Any:
    """What the only job that is settled raises."""
    [settle] = [command for command in commands if isinstance(command, Settle)]
    return settle.outcome.value


# Order -------------------------------------------------------------------------------------------


def test_first_job_asks_for_a_worker() -> None:
    """No worker is started before there is a job for it, and none more than there are jobs."""
    rig = Rig(3, warm=False)
    first = rig.new()
    commands = rig.scheduler.submitted(first, rig.now)
    assert [type(command) for command in commands] == [Start]
    assert runs(rig.scheduler.ready(0, 1, rig.now)) == [first]


def test_equals_run_in_order_of_submission() -> None:
    """Among equals, first come, first served."""
    rig = Rig()
    jobs = [rig.submit() for _ in range(4)]
    assert [runs(rig.finish(job)) for job in jobs[:3]] == [[job] for job in jobs[1:]]


def test_lower_priority_runs_first() -> None:
    """The lowest number runs next, whenever it came."""
    rig = Rig()
    running, late, urgent = rig.submit(), rig.submit(priority=5), rig.submit(priority=-1)
    assert runs(rig.finish(running)) == [urgent]
    assert runs(rig.finish(urgent)) == [late]


def test_urgent_job_does_not_interrupt() -> None:
    """What runs is left to run, whatever comes."""
    rig = Rig()
    running = rig.submit(priority=100)
    assert rig.scheduler.submitted(rig.new(priority=0), rig.now) == []
    assert running.state is State.RUNNING


def test_as_many_run_as_there_are_slots() -> None:
    """Slots are filled, and never exceeded."""
    rig = Rig(2)
    jobs = [rig.submit() for _ in range(5)]
    assert [job.state for job in jobs] == [State.RUNNING] * 2 + [State.WAITING] * 3
    assert (rig.scheduler.running, rig.scheduler.waiting) == (2, 3)


def test_slot_used_last_is_used_next() -> None:
    """The worker whose memory is warm gets the job."""
    rig = Rig(3)
    jobs = [rig.submit() for _ in range(3)]
    rig.finish(jobs[1])
    rig.finish(jobs[0])
    assert rig.submit().slot == jobs[0].slot


def test_slot_is_free_before_its_job_is_settled() -> None:
    """The next job goes out before the last one's caller is told."""
    rig = Rig()
    first, second = rig.submit(), rig.submit()
    [run, settle] = rig.finish(first)
    assert runs([run]) == [second]
    assert settled([settle]) == [(first, RETURNED)]


def test_reprioritized_job_goes_before() -> None:
    """A waiting job may be made more urgent."""
    rig = Rig()
    running, first, second = rig.submit(), rig.submit(), rig.submit()
    assert rig.scheduler.reprioritized(second, 1, rig.now) == []
    assert runs(rig.finish(running)) == [second]
    assert (second.priority, first.priority) == (1, 100)


def test_reprioritized_job_goes_behind() -> None:
    """A waiting job may be made less urgent."""
    rig = Rig()
    running, first, second = rig.submit(), rig.submit(), rig.submit()
    rig.scheduler.reprioritized(first, 101, rig.now)
    assert runs(rig.finish(running)) == [second]


def test_running_job_is_not_reprioritized() -> None:
    """The priority of a job that runs stays what it ran with."""
    rig = Rig()
    running = rig.submit(priority=5)
    rig.scheduler.reprioritized(running, 1, rig.now)
    assert running.priority == 5


# Cancelling and killing --------------------------------------------------------------------------


def test_cancelled_job_never_runs() -> None:
    """A waiting job that is cancelled is settled so, at once, and once."""
    rig = Rig()
    running, waiting = rig.submit(), rig.submit()
    commands = rig.scheduler.cancelled(waiting, rig.now)
    assert settled(commands) == [(waiting, Verdict.CANCELLED)]
    assert isinstance(error_in(commands), CancelledError)
    assert rig.scheduler.cancelled(waiting, rig.now) == []
    assert runs(rig.finish(running)) == []


def test_slot_of_a_job_that_was_not_handed_over_goes_to_the_next() -> None:
    """A job cancelled just as it is told to run gives its slot back; it counts as never run."""
    rig = Rig()
    quick, waiting = rig.submit(), rig.submit()
    commands = rig.scheduler.cancelled(quick, rig.now)
    assert settled(commands) == [(quick, Verdict.CANCELLED)]
    assert runs(commands) == [waiting]
    assert (quick.attempt, quick.slot, quick.started) == (0, None, None)


def test_job_that_cannot_be_carried_is_settled_at_once() -> None:
    """Arguments that do not pickle fail their own job, with their own exception."""
    rig = Rig()
    error = TypeError("cannot pickle")
    commands = rig.scheduler.rejected(rig.new(), error, rig.now)
    assert settled(commands) == [(rig.jobs[-1], Verdict.RAISED)]
    assert error_in(commands) is error


def test_killed_job_is_settled_when_it_is_dead() -> None:
    """Killing settles nothing until the worker is gone; another kill changes nothing."""
    rig = Rig()
    job = rig.submit()
    assert rig.scheduler.kill(job, rig.now) == [Kill(0, job, Verdict.KILLED)]
    assert rig.scheduler.kill(job, rig.now) == []
    commands = rig.lose(job, begun=100.0, reason=Verdict.KILLED)
    assert settled(commands) == [(job, Verdict.KILLED)]
    assert isinstance(error_in(commands), JobKilled)
    assert rig.scheduler.workers["killed"] == 1


def test_only_a_running_job_is_killed() -> None:
    """A job that waits or has ended is not killed."""
    rig = Rig()
    running, waiting = rig.submit(), rig.submit()
    assert rig.scheduler.kill(waiting, rig.now) == []
    rig.finish(running)
    assert rig.scheduler.kill(running, rig.now) == []


def test_job_taken_back_is_killed_at_once() -> None:
    """A job that was told to run, and waits again, cannot be cancelled; it can be killed."""
    rig = Rig()
    job = rig.submit()
    job.announced = True
    rig.lose(job)
    assert settled(rig.scheduler.kill(job, rig.now)) == [(job, Verdict.KILLED)]
    assert (rig.scheduler.waiting, job.attempt) == (0, 0)


def test_engine_that_cannot_kill_is_not_asked_to() -> None:
    """Where jobs cannot be killed, a kill does nothing."""
    rig = Rig(can_kill=False)
    assert rig.scheduler.kill(rig.submit(), rig.now) == []


def test_unconfirmed_kill_comes_again_with_force() -> None:
    """A kill that comes to nothing is tried again, harder, every eight seconds."""
    rig = Rig()
    job = rig.submit()
    rig.scheduler.kill(job, rig.now)
    for moment in (108.0, 116.0):
        assert rig.scheduler.next_deadline() == moment
        assert rig.tick(moment) == [Look(0, job)]
        commands = rig.scheduler.started(0, job, 100.0, moment)
        assert commands == [Kill(0, job, Verdict.KILLED, force=True)]


def test_completion_that_meets_a_kill_is_a_kill() -> None:
    """Whoever was told that a job will be killed is told no lie, though it was quicker."""
    rig = Rig()
    job = rig.submit()
    rig.scheduler.kill(job, rig.now)
    assert settled(rig.finish(job)) == [(job, Verdict.KILLED)]


def test_kill_of_a_job_not_begun_is_a_kill() -> None:
    """A job killed before its worker began it is not given to another."""
    rig = Rig()
    job = rig.submit()
    rig.scheduler.kill(job, rig.now)
    assert settled(rig.lose(job)) == [(job, Verdict.KILLED)]


# Time --------------------------------------------------------------------------------------------


def test_queue_timeout_counts_from_submission() -> None:
    """A job that waits for too long expires at its moment, and not before."""
    rig = Rig()
    rig.submit()
    job = rig.submit(queue_timeout=5)
    assert rig.scheduler.next_deadline() == 105.0
    assert rig.tick(104.99) == []
    commands = rig.tick(105.0)
    assert settled(commands) == [(job, Verdict.EXPIRED)]
    error = error_in(commands)
    assert isinstance(error, QueueTimeout)
    assert error.timeout == 5
    assert rig.scheduler.waiting == 0


def test_queue_timeout_ends_with_the_start() -> None:
    """A job that runs cannot expire."""
    rig = Rig()
    job = rig.submit(queue_timeout=5)
    assert rig.scheduler.next_deadline() is None
    assert rig.tick(200.0) == []
    assert job.state is State.RUNNING


def test_queue_timeout_holds_until_a_job_has_begun() -> None:
    """A job whose worker died before it began still waits, and still expires."""
    rig = Rig()
    job = rig.submit(queue_timeout=5)
    rig.lose(job)
    assert job.state is State.WAITING
    assert settled(rig.tick(105.0)) == [(job, Verdict.EXPIRED)]


def test_timeout_counts_from_the_start() -> None:
    """The clock runs from when the worker began, which the engine is asked."""
    rig = Rig()
    first, job = rig.submit(), rig.submit(timeout=5)
    rig.now = 110.0
    rig.finish(first)
    assert rig.scheduler.next_deadline() == 115.0
    assert rig.tick(115.0) == [Look(0, job)]
    assert rig.scheduler.started(0, job, 112.0, 115.0) == []
    assert rig.scheduler.next_deadline() == 117.0
    assert rig.tick(117.0) == [Look(0, job)]
    commands = rig.scheduler.started(0, job, 112.0, 117.0)
    assert commands == [Kill(0, job, Verdict.TIMED_OUT)]
    assert settled(rig.lose(job, begun=112.0)) == [(job, Verdict.TIMED_OUT)]


def test_job_that_has_not_begun_has_not_timed_out() -> None:
    """While a worker has not begun a job, its clock does not run."""
    rig = Rig()
    job = rig.submit(timeout=5)
    for moment in (105.0, 110.0):
        assert rig.tick(moment) == [Look(0, job)]
        assert rig.scheduler.started(0, job, None, moment) == []
        assert rig.scheduler.next_deadline() == moment + 5


def test_engine_that_keeps_deadlines_is_given_grace() -> None:
    """The scheduler's own deadline comes after the engine's, and then with force."""
    rig = Rig(grace=1.0)
    job = rig.submit(timeout=5)
    assert rig.scheduler.next_deadline() == 106.0
    rig.tick(106.0)
    commands = rig.scheduler.started(0, job, 100.0, 106.0)
    assert commands == [Kill(0, job, Verdict.TIMED_OUT, force=True)]


def test_timeout_by_the_engine_itself() -> None:
    """An engine that ended a job at its deadline says so, and it is a timeout with its facts."""
    rig = Rig(grace=1.0)
    job = rig.submit(timeout=5)
    rig.now = 105.0
    commands = rig.lose(job, begun=100.0, reason=Verdict.TIMED_OUT)
    assert settled(commands) == [(job, Verdict.TIMED_OUT)]
    error = error_in(commands)
    assert isinstance(error, JobTimeout)
    assert (error.timeout, error.pid) == (5, 7)
    assert (job.started, job.ended, job.exitcode) == (100.0, 105.0, -9)


def test_timeout_where_nothing_can_be_killed() -> None:
    """The job is settled at once, and its slot stays taken until it returns."""
    rig = Rig(can_kill=False)
    job, waiting = rig.submit(timeout=5), rig.submit()
    rig.tick(105.0)
    commands = rig.scheduler.started(0, job, 100.0, 105.0)
    assert settled(commands) == [(job, Verdict.TIMED_OUT)]
    assert (rig.scheduler.running, runs(commands)) == (0, [])
    assert rig.scheduler.next_deadline() is None
    assert rig.finish(job) == [Run(0, waiting)]


def test_completion_before_the_deadline_is_served() -> None:
    """A job that ends before anybody acted on its deadline has returned."""
    rig = Rig()
    job = rig.submit(timeout=5)
    rig.now = 105.5
    assert settled(rig.finish(job, begun=100.0)) == [(job, RETURNED)]
    assert rig.scheduler.next_deadline() is None
    assert rig.tick(106.0) == []


@pytest.mark.parametrize("name", ["timeout", "queue_timeout"])
def test_limits_of_every_accepted_kind_are_told(name: str) -> None:
    """A limit that `Options` accepts can be said in the message."""
    rig = Rig(can_kill=False)
    if name == "queue_timeout":
        rig.submit()
    job = rig.submit(**{name: Fraction(1, 2)})
    commands = rig.tick(101.0)
    if name == "timeout":
        commands = rig.scheduler.started(0, job, 100.0, 101.0)
    assert "of 0.5 s" in str(error_in(commands))


def test_stale_answer_about_the_start() -> None:
    """An answer about a job that has ended meanwhile changes nothing."""
    rig = Rig()
    job = rig.submit(timeout=5)
    rig.finish(job)
    assert rig.scheduler.started(0, job, 100.0, 200.0) == []


# Death -------------------------------------------------------------------------------------------


def test_death_under_a_job_fails_that_job_only() -> None:
    """The job that was running fails, saying how; the next gets the slot's next worker."""
    rig = Rig(2)
    dead, alive, waiting = rig.submit(), rig.submit(), rig.submit()
    commands = rig.lose(dead, begun=100.0)
    assert settled(commands) == [(dead, Verdict.DIED)]
    error = error_in(commands)
    assert isinstance(error, WorkerDied)
    assert (error.pid, error.exitcode, error.signal) == (7, -9, "SIGKILL")
    assert "perhaps killed by the system for lack of memory" in str(error)
    assert runs(commands) == []
    assert alive.state is State.RUNNING
    assert runs(rig.scheduler.ready(slot_of(dead), 8, rig.now)) == [waiting]
    assert rig.scheduler.workers["died"] == 1


def test_job_not_begun_is_given_to_another() -> None:
    """A job whose worker died before it began runs elsewhere, at its old rank; thrice lost, fails."""
    rig = Rig()
    job, waiting = rig.submit(), rig.submit()
    for attempt in range(2):
        assert settled(rig.lose(job)) == []
        assert (job.state, job.attempt, job.slot) == (State.WAITING, 0, None)
        assert runs(rig.scheduler.ready(0, 2000 + attempt, rig.now)) == [job]
    assert settled(rig.lose(job)) == [(job, Verdict.DIED)]
    assert runs(rig.scheduler.ready(0, 3000, rig.now)) == [waiting]


def test_idle_worker_that_dies_is_replaced() -> None:
    """The death of a worker without a job costs no job anything."""
    rig = Rig()
    assert rig.scheduler.lost(0, Loss(None, rig.now), rig.now) == []
    job = rig.submit()
    assert job.state is State.WAITING
    assert runs(rig.scheduler.ready(0, 8, rig.now)) == [job]


def test_worn_worker_is_replaced() -> None:
    """A worker that says it is not ready again is waited for; the next job waits as well."""
    rig = Rig()
    first, second = rig.submit(), rig.submit()
    assert settled(commands := rig.finish(first, ready=False)) == [(first, RETURNED)]
    assert runs(commands) == []
    assert runs(rig.scheduler.ready(0, 8, rig.now)) == [second]
    assert (second.pid, rig.scheduler.workers["retired"]) == (8, 1)


@pytest.mark.parametrize("index", [0, 5])
def test_report_about_nothing(index: int) -> None:
    """What is said of slots or jobs that are no more changes nothing."""
    rig = Rig()
    job = rig.submit()
    outcome = Outcome(RETURNED, None)
    assert rig.scheduler.finished(index, job.number + 1, outcome, ready=True, now=rig.now) == []
    assert rig.fail(index) == []
    assert rig.scheduler.lost(5, Loss(None, rig.now), rig.now) == []
    assert job.state is State.RUNNING


# Workers that do not start -------------------------------------------------------------------------


def test_three_failed_starts_break() -> None:
    """After three failures in a row nothing waits for a worker any more, nor ever will."""
    rig = Rig(warm=False)
    job = rig.submit()
    assert [rig.fail() for _ in range(2)] == [[Start(0)], [Start(0)]]
    commands = rig.fail()
    assert isinstance(commands[0], Break)
    assert settled(commands) == [(job, Verdict.BROKEN)]
    late = rig.new()
    assert settled(rig.scheduler.submitted(late, rig.now)) == [(late, Verdict.BROKEN)]


def test_a_start_that_succeeds_forgives_failures() -> None:
    """Failures count only in a row."""
    rig = Rig(2, warm=False)
    jobs = [rig.submit(), rig.submit()]
    rig.fail(0)
    rig.fail(0)
    rig.scheduler.ready(1, 8, rig.now)
    assert rig.fail(0) == [Start(0)]
    assert (jobs[0].state, jobs[1].state) == (State.RUNNING, State.WAITING)


def test_want_of_room_breaks_nothing_while_others_work() -> None:
    """Where the system has no room for another worker, the others go on, and it is tried again."""
    rig = Rig(2, warm=False)
    rig.submit()
    rig.scheduler.ready(0, 8, rig.now)
    job = rig.submit()
    for _ in range(5):
        scarce = rig.scheduler.unstartable(1, BrokenExecutor("no"), False, rig.now, scarce=True)
        assert scarce == []
        assert rig.scheduler.next_deadline() == rig.now + SCARCE
        rig.now += SCARCE / 2
        rig.submit()
        assert rig.tick(rig.now) == []
        assert rig.tick(rig.now + SCARCE / 2) == [Start(1)]
    assert runs(rig.scheduler.ready(1, 9, rig.now)) == [job]


def test_want_of_room_breaks_where_there_is_nobody() -> None:
    """No worker at all is to be had: that must be said."""
    rig = Rig(warm=False)
    job = rig.submit()
    for _ in range(3):
        commands = rig.scheduler.unstartable(0, BrokenExecutor("no"), False, rig.now, scarce=True)
    assert settled(commands) == [(job, Verdict.BROKEN)]


def test_want_of_room_breaks_nothing_while_others_start() -> None:
    """Of many that start at once those that find room are enough; the rest are tried again."""
    rig = Rig(6, warm=False)
    jobs = [rig.submit() for _ in range(6)]
    for slot in range(5):
        scarce = rig.scheduler.unstartable(slot, BrokenExecutor("no"), False, rig.now, scarce=True)
        assert scarce == []
    assert runs(rig.scheduler.ready(5, 8, rig.now)) == jobs[:1]
    assert len(rig.tick(rig.now + SCARCE)) == 5


@pytest.mark.parametrize(
    ("cause", "is_scarce"),
    [
        (OSError("too many files"), True),
        (RuntimeError("can't start new thread"), True),
        (WorkerDied("a worker died before it was ready"), False),
    ],
)
def test_want_of_threads_is_want_of_room(cause: Exception, is_scarce: bool) -> None:
    """What the system refuses for want of room is no death of a worker, which is tried at once."""
    rig = Rig(2)
    jobs = [rig.submit() for _ in range(2)]
    slot = slot_of(jobs[0])
    rig.lose(jobs[0], begun=rig.now)
    rig.submit()
    listener = LogListener("logs", lambda *_: None, lambda *_: None)
    commands = Hearing(rig.scheduler, listener).hear(Unstartable(slot, cause), rig.now)
    assert commands == ([] if is_scarce else [Start(slot)])
    assert (rig.scheduler.scarcity.alarm is not None) == is_scarce


def test_a_start_that_fails_after_the_end_breaks_nothing() -> None:
    """An executor that is closed is not broken by what comes of its last workers."""
    rig = Rig()
    job = rig.submit()
    rig.scheduler.close(rig.now)
    assert Close() in rig.finish(job, ready=False)
    assert rig.fail(fatal=True) == []


def test_fatal_failure_breaks_at_once() -> None:
    """Where no worker will ever come up, nobody tries again."""
    rig = Rig(2)
    rig.scheduler.lost(0, Loss(None, rig.now), rig.now)
    running, waiting = rig.submit(), rig.submit()
    commands = rig.fail(0, fatal=True)
    assert settled(commands) == [(waiting, Verdict.BROKEN)]
    assert settled(rig.finish(running)) == [(running, RETURNED)]


def test_each_broken_job_has_an_exception_of_its_own() -> None:
    """Exceptions that callers raise are not shared: each would grow the other's traceback."""
    rig = Rig(warm=False)
    rig.submit()
    rig.submit()
    commands = rig.fail(fatal=True)
    errors = [command.outcome.value for command in commands if isinstance(command, Settle)]
    assert [type(error) for error in errors] == [BrokenExecutor] * 2
    assert errors[0] is not errors[1]


def test_worker_that_is_not_ready_in_time_breaks() -> None:
    """A worker has `start_timeout` seconds to become ready."""
    rig = Rig(warm=False, start_timeout=30.0)
    job = rig.submit()
    assert rig.scheduler.next_deadline() == 130.0
    commands = rig.tick(130.0)
    assert isinstance(commands[0], Break)
    assert settled(commands) == [(job, Verdict.BROKEN)]


def test_worker_that_is_ready_in_time_has_no_deadline() -> None:
    """Once ready, `start_timeout` is over."""
    rig = Rig(start_timeout=30.0)
    assert rig.scheduler.next_deadline() is None


def test_slow_start_is_told_as_a_broken_executor() -> None:
    """Workers that cannot start are BrokenExecutor to callers, whatever kept them."""
    rig = Rig(warm=False, start_timeout=30.0)
    rig.submit()
    assert isinstance(error_in(rig.tick(130.0)), BrokenExecutor)


# Pausing and resizing ----------------------------------------------------------------------------


def test_paused_scheduler_starts_nothing() -> None:
    """While paused, what runs ends, and nothing begins; then the best begins."""
    rig = Rig()
    running = rig.submit()
    assert rig.scheduler.pause(rig.now) == []
    rig.submit()
    urgent = rig.submit(priority=1)
    assert runs(rig.finish(running)) == []
    assert runs(rig.scheduler.resume(rig.now)) == [urgent]


def test_more_slots_are_used_at_once() -> None:
    """Slots that are added ask for workers if there are jobs for them."""
    rig = Rig()
    rig.submit()
    rig.submit()
    assert rig.scheduler.resize(3, rig.now) == [Start(1)]


def test_fewer_slots_interrupt_nobody() -> None:
    """Of slots that are one too many the idle go at once, the busy when they are free."""
    rig = Rig(3)
    first, second = rig.submit(), rig.submit()
    third = next(iter({0, 1, 2} - {slot_of(first), slot_of(second)}))
    assert rig.scheduler.resize(1, rig.now) == [Retire(third)]
    waiting = rig.submit()
    assert rig.finish(second)[1:] == [Retire(slot_of(second))]
    assert waiting.state is State.WAITING
    assert runs(rig.finish(first)) == [waiting]


def test_slots_that_were_to_leave_may_stay() -> None:
    """Growing again keeps what had not left yet, and asks for no worker too many."""
    rig = Rig(2)
    jobs = [rig.submit(), rig.submit()]
    rig.scheduler.resize(1, rig.now)
    assert rig.scheduler.resize(2, rig.now) == []
    waiting = [rig.submit(), rig.submit()]
    assert [runs(rig.finish(job)) for job in jobs] == [[waiting[0]], [waiting[1]]]


def test_job_that_comes_back_from_a_leaving_slot_runs_in_another() -> None:
    """A slot that is one too many leaves with its dead worker; its job goes to the others."""
    rig = Rig(2)
    stays, lost = rig.submit(), rig.submit()
    rig.scheduler.resize(1, rig.now)
    assert rig.lose(lost) == [Retire(1 - slot_of(stays))]
    assert runs(rig.finish(stays)) == [lost]


def test_those_that_nobody_would_miss_leave_first() -> None:
    """Workers that are still starting leave before the idle, and those before the busy."""
    rig = Rig(3, warm=False)
    jobs = [rig.submit() for _ in range(3)]
    rig.scheduler.ready(0, 8, rig.now)
    for job in jobs[1:]:
        rig.scheduler.cancelled(job, rig.now)
    rig.scheduler.ready(1, 9, rig.now)
    assert rig.scheduler.resize(2, rig.now) == [Retire(2)]
    assert rig.scheduler.resize(1, rig.now) == [Retire(1)]
    assert jobs[0].state is State.RUNNING


def test_last_job_after_shrinking_closes_at_once() -> None:
    """Drained means closed, also when the last job ran in a slot that leaves."""
    rig = Rig(2)
    stays, leaves = sorted([rig.submit(), rig.submit()], key=slot_of)
    rig.scheduler.resize(1, rig.now)
    rig.finish(stays)
    rig.scheduler.close(rig.now)
    assert Close() in rig.finish(leaves)


def test_no_job_starts_beyond_the_new_size() -> None:
    """After shrinking, no job starts until fewer run than the new size."""
    rig = Rig(2)
    stays, _ = sorted([rig.submit(), rig.submit()], key=slot_of)
    rig.submit()
    rig.scheduler.resize(1, rig.now)
    assert runs(rig.finish(stays)) == []


def test_leaving_slot_that_is_given_back_leaves() -> None:
    """A slot that is to leave takes no other job when its own was not handed over."""
    rig = Rig(2)
    _, leaves = sorted([rig.submit(), rig.submit()], key=slot_of)
    rig.scheduler.resize(1, rig.now)
    rig.scheduler.cancelled(leaves, rig.now)
    assert rig.submit().state is State.WAITING


def test_only_workers_that_were_ready_retire() -> None:
    """A worker that is let go before it is ready was not started, nor is it counted as retired."""
    rig = Rig(2, warm=False)
    rig.submit()
    rig.submit()
    rig.scheduler.resize(1, rig.now)
    assert rig.scheduler.workers["retired"] == 0


# Closing -----------------------------------------------------------------------------------------


def test_idle_scheduler_closes_at_once() -> None:
    """Where nothing waits or runs, closing is done; and it is said once."""
    rig = Rig()
    assert rig.scheduler.close(rig.now) == [Close()]
    assert rig.scheduler.close(rig.now, cancel=True) == []


def test_closing_finishes_what_was_submitted() -> None:
    """What waits still runs, and only then is it closed."""
    rig = Rig()
    first, second = rig.submit(), rig.submit()
    assert rig.scheduler.close(rig.now) == []
    assert runs(rig.finish(first)) == [second]
    assert Close() in rig.finish(second)


@pytest.mark.parametrize("ready", [True, False])
def test_last_job_closes_whatever_becomes_of_its_worker(ready: bool) -> None:
    """Nobody waits for the successor of a worker that the last job wore out."""
    rig = Rig()
    job = rig.submit()
    rig.scheduler.close(rig.now)
    assert Close() in rig.finish(job, ready=ready)


def test_closing_resumes() -> None:
    """A paused scheduler that is closed runs what waits."""
    rig = Rig()
    rig.scheduler.pause(rig.now)
    job = rig.submit()
    assert rig.scheduler.close(rig.now) == [Run(0, job)]


def test_pausing_after_close_holds_nothing_up() -> None:
    """What a shutdown waits for cannot be paused any more."""
    rig = Rig()
    first, second = rig.submit(), rig.submit()
    rig.scheduler.close(rig.now)
    rig.scheduler.pause(rig.now)
    assert runs(rig.finish(first)) == [second]


def test_closing_may_cancel() -> None:
    """With `cancel`, what waits is cancelled, best first, and what runs is finished."""
    rig = Rig()
    running, second, first = rig.submit(), rig.submit(priority=2), rig.submit(priority=1)
    commands = rig.scheduler.close(rig.now, cancel=True)
    assert settled(commands) == [(first, Verdict.CANCELLED), (second, Verdict.CANCELLED)]
    assert Close() in rig.finish(running)


def test_closing_does_not_cancel_what_was_told_to_run() -> None:
    """A job whose future says that it runs is not cancelled, though it waits again."""
    rig = Rig()
    job = rig.submit()
    job.announced = True
    rig.lose(job)
    assert rig.scheduler.close(rig.now, cancel=True) == []
    assert runs(rig.scheduler.ready(0, 8, rig.now)) == [job]


def test_unkillable_job_holds_up_the_close() -> None:
    """A settled job that runs on keeps its slot, and nothing is closed before it returns."""
    rig = Rig(can_kill=False)
    job = rig.submit(timeout=5)
    rig.tick(105.0)
    rig.scheduler.started(0, job, 100.0, 105.0)
    assert rig.scheduler.close(rig.now) == []
    assert rig.finish(job) == [Close()]


def test_last_job_that_expires_closes_at_once() -> None:
    """Drained means closed, also when the last job expired."""
    rig = Rig(warm=False)
    rig.submit(queue_timeout=5)
    rig.scheduler.close(rig.now)
    assert Close() in rig.tick(105.0)


def test_a_worker_that_is_ready_after_its_slot_was_given_up_counts_for_nothing() -> None:
    rig = Rig(2, warm=False)
    for _ in range(2):
        rig.submit()
    assert Retire(1) in rig.scheduler.resize(1, rig.now)
    assert rig.scheduler.ready(1, 1001, rig.now) == []
    assert rig.scheduler.workers["started"] == 0


def test_resizing_after_close_does_nothing() -> None:
    """An engine that was told to close is told nothing more."""
    rig = Rig(2)
    assert rig.scheduler.close(rig.now) == [Close()]
    assert rig.scheduler.resize(1, rig.now) == []


def test_late_worker_after_close_breaks_nothing() -> None:
    """What is closed cannot break any more."""
    rig = Rig(warm=False, start_timeout=30.0)
    job = rig.submit()
    rig.scheduler.cancelled(job, rig.now)
    assert rig.scheduler.close(rig.now) == [Close()]
    assert rig.tick(130.0) == []


def test_broken_scheduler_closes() -> None:
    """What is broken can be closed."""
    rig = Rig(warm=False)
    rig.submit()
    rig.fail(fatal=True)
    assert rig.scheduler.close(rig.now) == [Close()]


# Slots that are filled by others -----------------------------------------------------------------


def test_idle_slots_are_on_offer() -> None:
    """Idle slots may be filled from elsewhere, while nothing waits, pauses or ends."""
    rig = Rig(2)
    assert sorted(rig.scheduler.on_offer()) == [0, 1]
    rig.scheduler.pause(rig.now)
    assert rig.scheduler.on_offer() == []
    rig.submit()
    assert rig.scheduler.on_offer() == []


def test_promised_slot_is_taken() -> None:
    """A promised slot gets no other job; then it has the one that it was given."""
    rig = Rig()
    rig.scheduler.promised(0, rig.now)
    waiting = rig.submit()
    assert (waiting.state, rig.scheduler.on_offer()) == (State.WAITING, [])
    job = rig.new(timeout=5)
    assert rig.scheduler.assigned(0, job, sent=True, now=rig.now) == []
    assert (job.state, job.slot, rig.scheduler.next_deadline()) == (State.RUNNING, 0, 105.0)
    assert runs(rig.finish(job)) == [waiting]


def test_job_that_was_not_sent_waits_its_turn() -> None:
    """A promised slot that is given back goes to the best of those waiting."""
    rig = Rig()
    rig.scheduler.promised(0, rig.now)
    urgent = rig.submit(priority=1)
    job = rig.new()
    assert runs(rig.scheduler.assigned(0, job, sent=False, now=rig.now)) == [urgent]
    assert job.state is State.WAITING


def test_leaving_slot_that_was_promised_leaves_without_a_job() -> None:
    """A slot that is to leave and is given back leaves; no job is lost with it."""
    rig = Rig(2)
    rig.scheduler.promised(1, rig.now)
    assert rig.submit().slot == 0
    assert rig.scheduler.resize(1, rig.now) == []
    job = rig.new()
    assert rig.scheduler.assigned(1, job, sent=False, now=rig.now) == [Retire(1)]
    assert job.state is State.WAITING


def test_job_that_was_not_sent_keeps_its_rank() -> None:
    """A job that finds its promised slot gone back waits for none that is less urgent."""
    rig = Rig()
    rig.scheduler.promised(0, rig.now)
    rig.submit(priority=50)
    job = rig.new(priority=1)
    assert runs(rig.scheduler.assigned(0, job, sent=False, now=rig.now)) == [job]


# Counting ----------------------------------------------------------------------------------------


def test_everything_is_counted() -> None:
    """Verdicts and workers are counted; a verdict found wrong later is counted anew."""
    rig = Rig()
    rig.finish(rig.submit())
    rig.lose(rig.submit(), begun=100.0)
    rig.scheduler.recounted(RETURNED, Verdict.RAISED, rig.now)
    assert rig.scheduler.settled == {RETURNED: 1, Verdict.DIED: 1, Verdict.RAISED: 1}
    assert +rig.scheduler.workers == {"started": 1, "died": 1}


def test_what_is_still_in_hand_is_known() -> None:
    """All jobs that wait or run can be listed."""
    rig = Rig()
    running, waiting = rig.submit(), rig.submit()
    assert rig.scheduler.running_jobs() == [running]
    assert set(rig.scheduler.unresolved()) == {running, waiting}


# What the tables have no place for ----------------------------------------------------------------


def test_a_job_for_a_promised_slot_of_a_scheduler_that_is_broken_is_broken() -> None:
    """Whoever took the slot did not send the job; and no other slot will ever have it."""
    rig = Rig()
    rig.scheduler.promised(0, rig.now)
    rig.scheduler.break_down(BrokenExecutor("no more processes"), rig.now)
    job = rig.new()
    commands = rig.scheduler.assigned(0, job, sent=False, now=rig.now)
    assert settled(commands) == [(job, Verdict.BROKEN)]


def test_a_promise_of_a_slot_that_is_gone_is_no_matter() -> None:
    rig = Rig()
    assert rig.scheduler.promised(7, rig.now) == []


def test_what_was_never_promised_is_a_defect_that_names_the_slot() -> None:
    rig = Rig()
    with pytest.raises(AssertionError, match="Slot 0 idle"):
        rig.scheduler.assigned(0, rig.new(), sent=True, now=rig.now)


def test_a_worker_that_is_late_when_all_is_over_is_not_waited_for() -> None:
    """It was starting when the executor closed; that its time runs out breaks nothing then."""
    rig = Rig(warm=False)
    job = rig.submit()
    rig.scheduler.cancelled(job, rig.now)
    rig.scheduler.close(rig.now)
    assert rig.scheduler.closed
    assert rig.tick(rig.now + 1000) == []
    assert rig.scheduler.broken is None


def test_when_a_job_without_a_timeout_began_is_no_matter() -> None:
    """It was looked at for something else, which is over."""
    rig = Rig()
    job = rig.submit()
    assert rig.scheduler.started(0, job, rig.now, rig.now) == []
    assert job.state is State.RUNNING


def test_a_worker_that_says_twice_that_it_is_ready_gets_one_job() -> None:
    rig = Rig()
    running = rig.submit()
    rig.submit()
    assert rig.scheduler.ready(0, 1000, rig.now) == []
    assert rig.scheduler.running_jobs() == [running]


def test_a_worker_that_is_lost_while_it_starts_is_started_anew() -> None:
    """The slot goes on waiting for its next worker, which the engine brings up."""
    rig = Rig(warm=False)
    job = rig.submit()
    rig.scheduler.lost(0, Loss(None, rig.now), rig.now)
    assert job.state is State.WAITING
    assert runs(rig.scheduler.ready(0, 1001, rig.now)) == [job]


def test_a_deadline_of_a_job_that_is_nowhere_is_no_matter() -> None:
    rig = Rig()
    job = rig.submit()
    rig.finish(job)
    job.slot = None
    rig.scheduler.deadlines.set(job, rig.now)
    assert rig.tick(rig.now + 1) == []


def test_what_could_not_be_killed_is_named() -> None:
    """A process of another user's, say, which its job had started."""
    rig = Rig()
    job = rig.submit(timeout=1.0)
    loss = Loss(rig.now, rig.now, pid=7, reason=Verdict.TIMED_OUT, survivors=(8, 9))
    error = error_in(rig.scheduler.lost(slot_of(job), loss, rig.now))
    assert "these processes could not be killed: 8, 9" in str(error)
    assert error.survivors == (8, 9)

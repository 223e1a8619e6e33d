"""The one place where a job changes state. Pure: no clock, no thread, no process.

Each event is a method that takes what happened and, as `now`, when (seconds, monotonic); it
returns the commands that follow. The invariants, which `check` states and tests hold it to:

- a job is settled once; waiting jobs are in the backlog, running ones in exactly one slot;
- no slot idles while a job could run, and the job that runs next is the best of those waiting;
- freeing a slot and settling its job are separate facts: where an engine cannot kill, a job that
  has timed out is settled at once while its slot stays busy until the engine reports it free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from . import verdicts
from .backlog import Backlog
from .commands import Break, Close, Command, Kill, Look, Retire, Run, Settle, Start
from .deadlines import Deadlines
from .jobs import Job, Outcome, State, Verdict
from .reports import Loss
from .slots import Phase, Slot, Slots

__all__ = ["Scheduler"]

MOST_FAILED_STARTS = 3  # in a row
KILL_PATIENCE = 8.0  # seconds after which a kill that is not confirmed is tried again, harder
MOST_LOST_UNBEGUN = 3  # workers that die with the same job in hand, before they begin it


class Scheduler:
    """Decides what runs where and when, and what became of it.

    Args:
        slots: how many jobs may run at once.
        can_kill: whether the engine can end a running job.
        grace: seconds that the engine, which keeps deadlines itself, is given before the
            scheduler steps in; 0 for an engine that does not.
        start_timeout: seconds that a worker may take to become ready.
    """

    def __init__(
        self, slots: int, *, can_kill: bool, grace: float = 0.0, start_timeout: float = 60.0
    ) -> None:
        self._slots = Slots(slots)
        self._can_kill = can_kill
        self._grace = grace
        self._start_timeout = start_timeout
        self._backlog = Backlog()
        self._deadlines: Deadlines[Job | Slot] = Deadlines()
        self._paused = False
        self._closing = False
        self._closed = False
        self._failed_starts = 0
        self.broken: BaseException | None = None
        self.settled: Counter[Verdict] = Counter()
        self.workers: Counter[str] = Counter()  # started, retired, killed, died

    # What the caller does -------------------------------------------------------------------

    def submitted(self, job: Job, now: float) -> list[Command]:
        """A job has come."""
        if self.broken is not None:
            return [self._settle(job, verdicts.broken(self.broken), now)]
        self._backlog.push(job)
        if job.options.queue_timeout is not None:
            self._deadlines.set(job, job.submitted + job.options.queue_timeout)
        return self._dispatch(now)

    def rejected(self, job: Job, error: BaseException, now: float) -> list[Command]:
        """A job has come whose arguments cannot be carried to a worker."""
        return [self._settle(job, Outcome(Verdict.RAISED, error), now)]

    def cancelled(self, job: Job, now: float) -> list[Command]:
        """The future of `job` was cancelled; a job just told to run was not handed over."""
        if job.state is State.DONE:
            return []
        self._withdraw(job)
        if job.state is State.RUNNING:
            self._free(self._slot_of(job), ready=True)
            job.slot = job.pid = None
            job.attempt -= 1
        return [self._settle(job, verdicts.cancelled(), now), *self._dispatch(now)]

    def reprioritized(self, job: Job, priority: Any, now: float) -> list[Command]:
        """A waiting job is to wait under another priority; of no effect on others."""
        self._backlog.reprioritize(job, priority)
        return []

    def kill(self, job: Job, now: float) -> list[Command]:
        """A running job is to be killed; of no effect on others, or where that cannot be done."""
        if job.state is not State.RUNNING or job.condemned is not None or not self._can_kill:
            return []
        return [self._condemn(job, Verdict.KILLED, now)]

    def pause(self, now: float) -> list[Command]:
        """Start no job until `resume`; those that run go on."""
        self._paused = True
        return []

    def resume(self, now: float) -> list[Command]:
        """Start jobs again."""
        self._paused = False
        return self._dispatch(now)

    def resize(self, count: int, now: float) -> list[Command]:
        """Let `count` jobs run at once; what runs beyond that is not interrupted."""
        if count >= self._slots.limit:
            self._slots.grow(count - self._slots.limit)
            return self._dispatch(now)
        leaving = self._slots.shrink(self._slots.limit - count)
        return [c for slot in leaving if slot.phase is not Phase.BUSY for c in self._let_go(slot)]

    def close(self, now: float, *, cancel: bool = False) -> list[Command]:
        """No further job will come; those that wait are still to run, or cancelled."""
        self._closing = True
        self._paused = False
        commands: list[Command] = []
        if cancel:
            waiting = sorted(self._backlog, key=lambda job: (job.priority, job.number))
            for job in waiting:
                if not job.announced:
                    self._withdraw(job)
                    commands.append(self._settle(job, verdicts.cancelled(), now))
        return commands + self._dispatch(now)

    # What the engine reports ----------------------------------------------------------------

    def ready(self, index: int, pid: int | None, now: float) -> list[Command]:
        """The worker of a slot waits for its first job."""
        self.workers["started"] += 1
        self._failed_starts = 0
        slot = self._slots.get(index)
        if slot is None:
            return []
        slot.pid = pid
        if slot.phase is Phase.STARTING:
            self._free(slot, ready=True)
        return self._let_go(slot) if slot.leaving else self._dispatch(now)

    def started(self, index: int, job: Job, at: float | None, now: float) -> list[Command]:
        """The engine was asked when `job` began: at `at`, or it has not yet (None)."""
        if job.state is not State.RUNNING or job.slot != index:
            return []
        if job.condemned is not None:
            return [self._condemn(job, job.condemned, now, force=True)]
        if job.options.timeout is None:
            return []
        job.started = at
        due = (now if at is None else at) + job.options.timeout + self._grace
        if due > now:
            self._deadlines.set(job, due)
            return []
        if self._can_kill:
            return [self._condemn(job, Verdict.TIMED_OUT, now, force=self._grace > 0)]
        loss = Loss(begun=at, ended=now, pid=job.pid)
        return [self._settle(job, verdicts.timed_out(job, loss, killed=False), now)]

    def finished(
        self, index: int, number: int, outcome: Outcome, ready: bool, now: float
    ) -> list[Command]:
        """A job ended by itself, and its slot is free again."""
        slot = self._slots.get(index)
        job = slot.job if slot is not None else None
        if slot is None or job is None or job.number != number:
            return []
        self._free(slot, ready)
        if not ready:
            self.workers["retired"] += 1
            self._await_worker(slot, now)
        after = self._let_go(slot) if slot.leaving else self._dispatch(now)
        if job.state is State.DONE:
            return after
        if job.condemned is not None:  # whoever was told that it will be killed is told no lie
            loss = Loss(begun=outcome.started, ended=outcome.ended, pid=job.pid)
            outcome = verdicts.condemned(job, loss)
        return [*after, self._settle(job, outcome, now)]

    def lost(self, index: int, loss: Loss, now: float) -> list[Command]:
        """The worker of a slot is gone, and what it was running with it."""
        slot = self._slots.get(index)
        if slot is None:
            return []
        job = slot.job
        reason = loss.reason or (job.condemned if job is not None else None)
        self.workers["died" if reason is None else "killed"] += 1
        self._free(slot, ready=False)
        self._await_worker(slot, now)
        before: list[Command] = []
        if job is not None and job.state is not State.DONE:
            before = self._bereave(job, loss, reason, now)
        return before + (self._let_go(slot) if slot.leaving else self._dispatch(now))

    def unstartable(
        self, index: int, cause: BaseException, fatal: bool, now: float
    ) -> list[Command]:
        """No worker came up for a slot: try again, but not for ever."""
        slot = self._slots.get(index)
        if slot is None or slot.phase is not Phase.STARTING:
            return []
        self._deadlines.clear(slot)
        self._slots.move(slot, Phase.COLD)
        self._failed_starts += 1
        if fatal or self._failed_starts >= MOST_FAILED_STARTS:
            return self._break(cause, now)
        return self._let_go(slot) if slot.leaving else self._dispatch(now)

    # What time brings -----------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `tick` is next to be called, at the latest."""
        return self._deadlines.next()

    def tick(self, now: float) -> list[Command]:
        """Time has passed."""
        commands: list[Command] = []
        for owner in self._deadlines.due(now):
            if isinstance(owner, Slot):
                late = TimeoutError(f"no worker was ready within {self._start_timeout:g} s")
                commands += self._break(late, now)
            elif owner.state is State.WAITING:
                self._backlog.discard(owner)
                commands.append(self._settle(owner, verdicts.expired(owner), now))
            elif owner.slot is not None:
                commands.append(Look(owner.slot, owner))
        return commands

    # What can be asked ----------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._backlog)

    @property
    def running(self) -> int:
        """How many jobs are in a worker's hands, and not settled."""
        return sum(slot.job is not None and slot.job.state is State.RUNNING for slot in self._slots)

    def running_jobs(self) -> list[Job]:
        """The jobs that are in a worker's hands, and not settled."""
        jobs = (slot.job for slot in self._slots)
        return [job for job in jobs if job is not None and job.state is State.RUNNING]

    def unresolved(self) -> list[Job]:
        """All the jobs that are still in its hands."""
        return [*self._backlog, *self.running_jobs()]

    def recounted(self, wrong: Verdict, right: Verdict, now: float) -> list[Command]:
        """A verdict turned out to be another, when the outcome was unpacked or delivered."""
        self.settled[wrong] -= 1
        self.settled[right] += 1
        return []

    # How it is decided ----------------------------------------------------------------------

    def _dispatch(self, now: float) -> list[Command]:
        """Fill the idle slots with the best jobs, and ask for workers where none is idle."""
        commands: list[Command] = []
        if not self._paused:
            slots = self._slots
            while self._backlog and slots.idle:
                commands.append(self._assign(self._backlog.pop(), slots.idle[-1], now))
            while slots.cold and slots.starting < len(self._backlog):
                slot = slots.cold[-1]
                self._slots.move(slot, Phase.STARTING)
                self._await_worker(slot, now)
                commands.append(Start(slot.index))
        if self._closing and not self._closed and not self._backlog and not self._slots.busy:
            self._closed = True
            commands.append(Close())
        return commands

    def _assign(self, job: Job, slot: Slot, now: float) -> Run:
        self._slots.move(slot, Phase.BUSY)
        slot.job = job
        job.state = State.RUNNING
        job.attempt += 1
        job.slot = slot.index
        job.pid = slot.pid
        if job.options.timeout is not None:
            self._deadlines.set(job, now + job.options.timeout + self._grace)
        elif job.alarm is not None:
            self._deadlines.clear(job)
        return Run(slot.index, job)

    def _free(self, slot: Slot, ready: bool) -> None:
        slot.job = None
        if ready:
            self._deadlines.clear(slot)
            self._slots.move(slot, Phase.IDLE)
        elif slot.phase is not Phase.STARTING:
            self._slots.move(slot, Phase.STARTING)

    def _await_worker(self, slot: Slot, now: float) -> None:
        self._deadlines.set(slot, now + self._start_timeout)

    def _let_go(self, slot: Slot) -> list[Command]:
        was_cold = slot.phase is Phase.COLD
        self._deadlines.clear(slot)
        self._slots.move(slot, Phase.GONE)
        if not was_cold:
            self.workers["retired"] += 1
        return [] if was_cold else [Retire(slot.index)]

    def _slot_of(self, job: Job) -> Slot:
        slot = None if job.slot is None else self._slots.get(job.slot)
        if slot is None or slot.job is not job:
            raise AssertionError(f"{job!r} is in no slot")
        return slot

    def _withdraw(self, job: Job) -> None:
        self._deadlines.clear(job)
        self._backlog.discard(job)

    def _condemn(self, job: Job, reason: Verdict, now: float, force: bool = False) -> Kill:
        job.condemned = reason
        self._deadlines.set(job, now + KILL_PATIENCE)
        return Kill(self._slot_of(job).index, job, reason, force)

    def _bereave(self, job: Job, loss: Loss, reason: Verdict | None, now: float) -> list[Command]:
        """Decide on the job of a worker that is gone."""
        self._deadlines.clear(job)
        if loss.begun is None and reason is None and self.broken is None:
            job.lost_unbegun += 1
            if job.lost_unbegun < MOST_LOST_UNBEGUN:  # nothing of it has run: another may have it
                job.state = State.WAITING
                job.slot = job.pid = None
                job.attempt -= 1
                self._backlog.push(job)
                return []
        job.condemned = reason
        return [self._settle(job, verdicts.condemned(job, loss), now)]

    def _settle(self, job: Job, outcome: Outcome, now: float) -> Settle:
        if job.state is State.DONE:
            raise AssertionError(f"{job!r} is settled twice")
        self._deadlines.clear(job)
        if job.slot is not None:
            job.started = outcome.started or job.started
            job.ended = outcome.ended or now
        job.cpu_time = outcome.cpu_time
        job.max_rss = outcome.max_rss
        job.exitcode = outcome.exitcode
        job.verdict = outcome.verdict
        job.state = State.DONE
        self.settled[outcome.verdict] += 1
        return Settle(job, outcome)

    def _break(self, cause: BaseException, now: float) -> list[Command]:
        if self.broken is not None:
            return []
        self.broken = cause
        jobs: Iterable[Job] = sorted(self._backlog, key=lambda job: job.number)
        commands: list[Command] = [Break(cause)]
        for job in jobs:
            self._withdraw(job)
            commands.append(self._settle(job, verdicts.broken(cause), now))
        return commands + self._dispatch(now)

"""The one place where a job changes state. Pure: no clock, no thread, no process.

Each event is a method that takes what happened and, as `now`, when (seconds, monotonic); it
returns the commands that follow. The invariants, which `check` states and tests hold it to:

- a job is settled once; waiting jobs are in the backlog, running ones in exactly one slot;
- no slot idles while a job could run, and the job that runs next is the best of those waiting;
- freeing a slot and settling its job are separate facts: where an engine cannot kill, a job that
  has timed out is settled at once while its slot stays busy until the engine reports it free.
"""

from __future__ import annotations

from typing import Any

from . import verdicts
from .commands import Command, Look
from .deadlines import Pause
from .idleness import Idleness
from .jobs import DONE, RUNNING, Job, Outcome, State, Verdict
from .overview import Overview
from .reports import Loss
from .slots import Phase, Slot

__all__ = ["Scheduler"]

MOST_FAILED_STARTS = 3  # in a row; then no worker can be started
SCARCE = 1.0  # seconds until the next try, when the system had no room for another worker


class Scheduler(Overview):
    """Decides what runs where and when, and what became of it.

    Args:
        slots: how many jobs may run at once.
        can_kill: whether the engine can end a running job.
        grace: seconds that the engine, which keeps deadlines itself, is given before the
            scheduler steps in; 0 for an engine that does not.
        start_timeout: seconds that a worker may take to become ready.
        unready: makes the exception "no worker can be started" from its cause.
        queues: whether the engine takes jobs ahead of their turn.
        quick: seconds that a job may take for others to be queued behind it.
        idle_timeout: seconds after which an idle worker is let go, until there is need; None: never.
    """

    # What the caller does -------------------------------------------------------------------

    def submitted(self, job: Job, now: float) -> list[Command]:
        """A job has come."""
        if self.broken is not None:
            return [self.settle(job, verdicts.broken(self.broken), now), *self.dispatch(now)]
        self.wait(job)
        return self.dispatch(now)

    def submitted_in_turn(self, jobs: list[Job], now: float) -> list[Command]:
        """Jobs have come, one after another."""
        if self.broken is not None:
            return [command for job in jobs for command in self.submitted(job, now)]
        self.wait_in_turn(jobs)
        return self.dispatch(now) if jobs else []

    def rejected(self, job: Job, error: BaseException, now: float) -> list[Command]:
        """A job has come whose arguments cannot be carried to a worker."""
        return [self.settle(job, Outcome(Verdict.RAISED, error), now), *self.dispatch(now)]

    def cancelled(self, job: Job, now: float) -> list[Command]:
        """The future of `job` was cancelled; a job just told to run was not handed over."""
        if job.state is DONE:
            return []
        self.withdraw(job)
        slot = self.slot_of(job) if job.state is RUNNING else None
        if slot is not None:
            self.free(slot, True, now)
            job.slot = job.pid = job.host = None
            job.attempt -= 1
        settled = self.settle(job, verdicts.cancelled(), now)
        after = [] if slot is None else self.follow_up(slot, now) or self.spread()
        return [settled, *after, *self.dispatch(now)]

    def reprioritized(self, job: Job, priority: Any, now: float) -> list[Command]:
        """Give a job another priority, if it waits; of no effect if it does not."""
        self.backlog.reprioritize(job, priority)
        return self.dispatch(now)

    def kill(self, job: Job, now: float) -> list[Command]:
        """Kill a job, if it runs, and the engine can kill; else it has no effect."""
        if job.condemned is not None:
            return []
        waits = job.place is not None and job.announced  # taken back, or to be tried again
        if waits or self.undecided.pop(job.number, None) is not None:
            self.withdraw(job)
            job.condemned = Verdict.KILLED
            loss = Loss(begun=None, ended=now)
            return [self.settle(job, verdicts.condemned(job, loss), now), *self.dispatch(now)]
        if job.state is not RUNNING or not self.can_kill:
            return []
        return [self.condemn(job, Verdict.KILLED, now)]

    def pause(self, now: float) -> list[Command]:
        """Start no job until `resume`; those that run go on. What closes cannot be paused."""
        self.paused = not self.closing
        return []

    def resume(self, now: float) -> list[Command]:
        """Start jobs again."""
        self.paused = False
        return self.dispatch(now)

    def resize(self, count: int, now: float) -> list[Command]:
        """Let `count` jobs run at once; what runs beyond that is not interrupted."""
        self.slots.wanted = count
        return self.fit(now)

    def offered(self, count: int, now: float) -> list[Command]:
        """The engine can run `count` jobs at once from now on, where that is its affair."""
        self.slots.offered = count
        return self.fit(now)

    def close(self, now: float, *, cancel: bool = False) -> list[Command]:
        """No further job will come; those that wait are still to run, or cancelled.

        A job that has run before cannot be cancelled: it is settled as that attempt ended.
        """
        self.closing = True
        self.paused = False
        self.giving_up |= cancel
        commands: list[Command] = []
        if cancel:
            waiting = sorted(self.backlog, key=lambda job: (job.priority, job.number))
            for job in waiting:
                failure = self.failures.get(job.number)
                if failure is not None or not job.announced:
                    self.withdraw(job)
                    commands.append(self.settle(job, failure or verdicts.cancelled(), now))
        return commands + self.dispatch(now)

    # What the engine reports ----------------------------------------------------------------

    def ready(
        self, index: int, pid: int | None, now: float, host: str | None = None
    ) -> list[Command]:
        """The worker of a slot waits for its first job."""
        slot = self.slots.get(index)
        if slot is None:
            return []
        self.workers["started"] += 1
        self.failed_starts = 0
        slot.pid, slot.host = pid, host
        if slot.phase is Phase.STARTING:
            self.free(slot, True, now)
        return self.follow_up(slot, now) or self.spread()

    def started(self, index: int, job: Job, at: float | None, now: float) -> list[Command]:
        """The engine was asked when `job` began: at `at`, or it has not yet (None)."""
        if job.state is not RUNNING or job.slot != index:
            return []
        if job.condemned is not None:
            return [self.condemn(job, job.condemned, now, force=True)]
        if job.options.timeout is None:
            return []
        job.started = at
        due = (now if at is None else at) + job.options.timeout + self.grace
        if due > now:
            self.deadlines.set(job, due)
            return []
        if self.can_kill:
            return [self.condemn(job, Verdict.TIMED_OUT, now, force=self.grace > 0)]
        loss = Loss(begun=at, ended=now, pid=job.pid)
        return [self.settle(job, verdicts.timed_out(job, loss, killed=False), now)]

    def finished(
        self, index: int, number: int, outcome: Outcome, ready: bool, now: float
    ) -> list[Command]:
        """A job ended by itself, and its slot is free again."""
        slot = self.slots.get(index)
        job = slot.job if slot is not None else None
        if slot is None or job is None:
            return []
        if job.number != number:
            return self.overtook(slot, number, outcome, now)
        if ready and self.only_makes_room(job, slot):
            follower = self.assign(self.backlog.pop(), slot, now, job)
            if self.queues and follower.job.options.may_be_queued:
                self.feed(slot, outcome)
            return [follower, self.settle(job, outcome, now)]
        begin = self.succeed(slot, outcome)
        if begin is None:
            self.free(slot, ready, now)
        concluded: list[Command] = []
        if job.state is not DONE:
            if job.condemned is not None:  # somebody was told that it will be killed
                loss = Loss(outcome.started, outcome.ended, job.pid, output=outcome.output)
                outcome = verdicts.condemned(job, loss)
            concluded = self.conclude(job, outcome, now)
        if begin is not None:
            return [begin, *concluded]
        if not ready:
            self.workers["retired"] += 1
            self.await_worker(slot, now)
        after = self.follow_up(slot, now) or self.spread()
        return [*concluded, *after, *self.make_way(job)]  # it is the cause of those it has skipped

    def finished_in_turn(
        self, index: int, numbers: list[int], outcomes: list[Outcome], now: float
    ) -> list[Command]:
        """Jobs of a slot ended by themselves, each queued behind the one before it."""
        commands: list[Command] = []
        slot = self.slots.get(index)
        at = 0
        while at < len(numbers):
            if slot is not None:  # the last of them is never so simple: the slot is then to be fed
                settles = self.settle_in_turn(slot, numbers[at:-1], outcomes[at:-1])
                commands += settles
                at += len(settles)
            commands += self.finished(index, numbers[at], outcomes[at], True, now)
            at += 1
        return commands

    def lost(self, index: int, loss: Loss, now: float) -> list[Command]:
        """The worker of a slot is gone, and what it was running with it."""
        slot = self.slots.get(index)
        if slot is None:
            return []
        job = slot.job
        reason = loss.reason or (job.condemned if job is not None else None)
        self.workers["died" if reason is None else "killed"] += 1
        orphaned = self.orphaned(slot, now)
        self.free(slot, False, now)
        self.await_worker(slot, now)
        before: list[Command] = []
        if job is not None and job.state is not DONE:
            before = self.bereave(job, loss, reason, now)
        after = self.follow_up(slot, now)
        return orphaned + before + after + ([] if job is None else self.make_way(job))

    def unstartable(
        self,
        index: int,
        cause: BaseException,
        fatal: bool,
        now: float,
        *,
        died: bool = False,
        scarce: bool = False,
    ) -> list[Command]:
        """No worker came up for a slot (it `died` first): try again, but not for ever.

        `scarce`: the system had no room for it. While there are others, that is no more than a
        reason to wait before the next is asked for.
        """
        slot = self.slots.get(index)
        before: list[Command] = []
        if slot is not None and fatal and slot.phase in (Phase.IDLE, Phase.BUSY):
            before = self.lost(index, Loss(None, now), now)  # it was reported ready too early
        if slot is None or slot.phase is not Phase.STARTING:
            return before
        self.deadlines.clear(slot)
        self.slots.move(slot, Phase.COLD)
        self.workers["died"] += died
        if self.closed:
            return before
        if scarce and not fatal and (self.slots.busy or self.slots.idle or self.slots.starting):
            self.deadlines.set(self.scarcity, now + SCARCE)
            return self.follow_up(slot, now)
        self.failed_starts += 1
        if fatal or self.failed_starts >= MOST_FAILED_STARTS:
            return before + self.break_down(cause, now)
        return self.follow_up(slot, now)

    # What time brings -----------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `tick` is next to be called, at the latest."""
        return self.deadlines.next()

    def tick(self, now: float) -> list[Command]:
        """Time has passed."""
        commands: list[Command] = []
        for owner in self.deadlines.due(now):
            if isinstance(owner, Idleness):
                commands += self.cool_down(now)
            elif isinstance(owner, Pause):
                continue  # workers may be asked for again, below
            elif isinstance(owner, Slot) and owner.phase is Phase.BUSY:
                commands += self.overdue(owner, now)
            elif isinstance(owner, Slot) and self.closed:
                continue
            elif isinstance(owner, Slot):
                late = self.unready(TimeoutError(f"not within {self.start_timeout:g} s"))
                commands += self.break_down(late, now)
            elif owner.state is State.WAITING:
                self.backlog.discard(owner)
                commands.append(self.settle(owner, verdicts.expired(owner), now))
            elif owner.slot is not None:
                commands.append(Look(owner.slot, owner))
        return commands + self.dispatch(now)

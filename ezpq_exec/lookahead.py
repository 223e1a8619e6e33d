"""Jobs that are handed over ahead of their turn, to workers whose jobs take microseconds.

Such a worker would spend more time asleep between its jobs than at them. So it gets the next few
early, in a queue from which they can be taken back until it begins them. They still wait, as far
as anybody is told; and they are taken back before anything is decided that could concern them:

- before any letter is read, except one that brings a job which is no more urgent than they are;
- when another slot is idle and nothing else waits;
- when the job before them takes longer than expected.

So the rest of the scheduler decides as if no job were ever handed over early. One thing can be
seen: while jobs are taken back, the worker goes on, and may take one from between two others. So
among jobs of microseconds, one may begin up to `DEPTH` places early; and a worker that gets through its
own faster than the others is that much ahead of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import verdicts
from .attempts import Attempts
from .commands import Begin, Command, Queue, Recall
from .jobs import RUNNING, Job, Outcome
from .reports import Loss
from .slots import Phase, Slot

__all__ = ["Lookahead"]

# How many jobs a worker's queue has, to bridge the time until the loop's next turn: DEPTH at most,
# and no more than take as long together as FEW of the slowest that still count as quick.
FEW, DEPTH = 8, 64
MORE = 2  # added to the limit of all queues in each turn; taking jobs back halves that limit
# How long jobs may stand behind another: PATIENCE seconds, or as long as all that may stand there
# should take. (A lender's workers share its queue, so there the other slots' jobs may come before, and
# none is held up for longer than one that still counts as quick.)
PATIENCE = 0.002


class Lookahead(Attempts):
    """The part of the scheduler that hands jobs over ahead of their turn, and takes them back."""

    _least_urgent: Any = None  # the worst priority among those queued
    # The present limit of each queue: to send jobs and take them back costs more than it gains.
    _most = DEPTH

    def look_ahead(self, now: float) -> list[Queue]:
        """Queue waiting jobs at the workers that have just been quick; the loop is about to sleep."""
        if not self._hungry:
            return []
        hungry = [slot for slot in dict.fromkeys(self._hungry) if _takes_more(slot)]
        self._hungry.clear()
        if not hungry or self.paused or self.slots.surplus > 0:
            return []
        self._most = most = min(DEPTH, self._most + MORE)
        rooms = {
            slot: room for slot in hungry if (room := min(slot.depth, most) - len(slot.ahead)) > 0
        }
        jobs = self.backlog.take(sum(rooms.values()), _can_be_queued)
        return self._queue(jobs, rooms, now) if jobs else []

    def _queue(self, jobs: list[Job], rooms: dict[Slot, int], now: float) -> list[Queue]:
        """Queue `jobs`, of which the last is the least urgent, where there is room for them."""
        worst = jobs[-1].priority
        if not self._ahead or worst > self._least_urgent:
            self._least_urgent = worst
        commands: list[Queue] = []
        for slot, share in _dealt(jobs, rooms).items():
            if not slot.ahead:
                self._ahead[slot.index] = slot
                if slot.alarm is None:
                    self.deadlines.set(slot, now + slot.patience)
            slot.ahead.extend(share)
            slot.is_fresh = True
            for job in share:
                job.ahead = True
            commands.append(Queue(slot.index, share))
        return commands

    def unqueued(self, index: int, job: Job, now: float) -> list[Command]:
        """The engine would not queue `job`, or somebody has cancelled it meanwhile."""
        slot = self.slots.get(index)
        if slot is not None and job in slot.ahead:
            slot.ahead.remove(job)
            job.ahead = False
            self._forget_if_empty(slot)
            return [*self.wait_again(job, now), *self.dispatch(now)]
        return []

    def may_stand_behind(self, job: Job) -> bool:
        """Whether a new job changes nothing for those that are queued."""
        return not self._ahead or job.priority >= self._least_urgent

    def recall_all(self) -> list[Recall]:
        """Take all queued jobs back, since something is to be decided.

        Jobs that could not be taken back last time have begun; they are not asked for again.
        """
        fresh = [slot for slot in self._ahead.values() if slot.is_fresh]
        if fresh:
            self._most //= 2
        for slot in fresh:
            slot.is_fresh = False
            self._recalling.add(slot.index)
        return [Recall(slot.index) for slot in fresh]

    def recalled(self, index: int, numbers: list[int], now: float) -> list[Command]:
        """These jobs were taken back; what else was queued has begun."""
        commands: list[Command] = []
        slot = self.slots.get(index)
        if slot is not None:
            back = set(numbers)
            for job in [job for job in (slot.job, *slot.ahead) if job and job.number in back]:
                commands += self._take_back(job, slot, now)
            if slot.job is None and slot.ahead:
                commands.append(self._begin(slot))
            elif slot.job is None and slot.phase is Phase.BUSY:
                self.free(slot, True, now)
                if self.slots.surplus > 0:
                    commands += self.let_go(slot)
            self._forget_if_empty(slot)
        self._recalling.discard(index)
        if self._recalling:
            return commands  # the best job may be among those that are still to come back
        return commands + self.dispatch(now)

    def _take_back(self, job: Job, slot: Slot, now: float) -> list[Command]:
        if job is slot.job:  # it was told to run, but another has begun before it
            slot.job = None
            job.attempt -= 1
        else:
            slot.ahead.remove(job)
            job.ahead = False
        if job.condemned is not None:  # somebody was told that it will be killed
            return [self.settle(job, verdicts.condemned(job, Loss(begun=None, ended=now)), now)]
        return self.wait_again(job, now)

    def overdue(self, slot: Slot, now: float) -> list[Command]:
        """Jobs have waited in the queue of `slot` for a while: take them back if it is at the same job."""
        if not slot.ahead or slot.job is None:
            return []
        if slot.since == slot.job.number:
            return [*self.recall_all()]
        slot.since = slot.job.number
        self.deadlines.set(slot, now + slot.patience)
        return []

    def succeed(self, slot: Slot, outcome: Outcome) -> Command | None:
        """The job of `slot` has ended. If others stood behind it, its worker has begun the next."""
        if self.queues:
            self.feed(slot, outcome)
        return self._begin(slot) if slot.ahead else None

    def feed(self, slot: Slot, outcome: Outcome) -> None:
        """Let others stand behind the job of `slot`, if the one before it took little time."""
        took = outcome.ended - outcome.started
        if took < self.quick:
            together = FEW * self.quick
            slot.depth = DEPTH if took * DEPTH <= together else int(together / took)
            slot.patience = max(PATIENCE, self.quick, slot.depth * took)
            self._hungry.append(slot)

    def overtook(self, slot: Slot, number: int, outcome: Outcome, now: float) -> list[Command]:
        """A job that stood behind that of `slot` ended first: so it may be where workers share a queue."""
        job = _find(slot, number)
        if job is None:
            return []
        self.feed(slot, outcome)
        begin = self._begin_aside(job, slot)
        return [begin, *self.conclude(job, outcome, now)]

    def strayed(self, index: int, number: int, loss: Loss | None, now: float) -> list[Command]:
        """One of the jobs of a slot is lost. If `loss` is None, jobs can be taken back there, and are."""
        if loss is None:
            self._recalling.add(index)
            return [Recall(index)]
        slot = self.slots.get(index)
        if slot is None:
            return []
        job = slot.job
        if job is None or job.number != number:
            job = _find(slot, number)
            if job is None:
                return []
            return [self._begin_aside(job, slot), *self.bereave(job, loss, loss.reason, now)]
        slot.job = None
        bereaved = self.bereave(job, loss, loss.reason, now)
        if slot.ahead:
            return [self._begin(slot), *bereaved]
        self.free(slot, True, now)
        return [*self.follow_up(slot, now), *bereaved]

    def _begin(self, slot: Slot) -> Begin:
        """The worker of `slot` is at the next of those that were queued."""
        job = slot.job = slot.ahead.popleft()
        self._set_running(job, slot)
        return Begin(job)

    def _begin_aside(self, job: Job, slot: Slot) -> Begin:
        slot.ahead.remove(job)
        self._set_running(job, slot)
        return Begin(job)

    def _set_running(self, job: Job, slot: Slot) -> None:
        self._forget_if_empty(slot)
        job.state = RUNNING
        job.attempt += 1
        job.slot = slot.index
        job.pid, job.host = slot.pid, slot.host

    def orphaned(self, slot: Slot, now: float) -> list[Command]:
        """The worker of `slot` is gone: what it had not begun waits again."""
        commands: list[Command] = []
        while slot.ahead:
            job = slot.ahead.popleft()
            job.ahead = False
            commands += self.wait_again(job, now)
        self._forget_if_empty(slot)
        return commands

    def spread(self) -> list[Command]:
        """If a slot is idle and nothing else waits, take back queued jobs, so that it can run one."""
        if self._ahead and self.slots.idle and not self.backlog.eligible and not self.paused:
            return [*self.recall_all()]
        return []

    def make_way(self, job: Job) -> list[Command]:
        """The end of `job` may make another job eligible: take back queued jobs that are less urgent.

        That job is the next of its lane, or `job` itself, which is to be tried again.
        """
        if not self._ahead or (job.options.may_be_queued and job.lane is None):
            return []
        best = self.backlog.peek()
        if best is None or best.priority >= self._least_urgent:
            return []
        return [*self.recall_all()]

    def _forget_if_empty(self, slot: Slot) -> None:
        if not slot.ahead:
            self._ahead.pop(slot.index, None)


def _dealt(jobs: list[Job], rooms: Mapping[Slot, int]) -> dict[Slot, list[Job]]:
    """Each slot's share of `jobs`, dealt one by one in turn, to no slot more than it has room for."""
    shares: dict[Slot, list[Job]] = {}
    dealt = filled = 0
    while dealt < len(jobs):
        slots = [slot for slot, room in rooms.items() if room > filled]
        level = min(rooms[slot] for slot in slots)
        lot = jobs[dealt : dealt + (level - filled) * len(slots)]
        for first, slot in enumerate(slots[: len(lot)]):
            shares.setdefault(slot, []).extend(lot[first :: len(slots)])
        dealt += len(lot)
        filled = level
    return shares


def _find(slot: Slot, number: int) -> Job | None:
    """A job by its number, among those that stand behind another in `slot`."""
    return next((job for job in slot.ahead if job.number == number), None)


def _takes_more(slot: Slot) -> bool:
    """Whether jobs may stand behind the one that runs in `slot`."""
    job = slot.job
    if slot.phase is not Phase.BUSY or job is None or len(slot.ahead) >= slot.depth:
        return False
    return job.condemned is None and _can_be_queued(job)


def _can_be_queued(job: Job) -> bool:
    """Whether `job` may be queued, and others behind it; not if it has a timeout, a lane and so on."""
    return job.options.may_be_queued and not job.held

"""How the scheduler decides, whatever the event: which job goes where, and how a job is settled."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable

from . import verdicts
from .backlog import Backlog
from .commands import Break, Close, Command, Kill, Retire, Run, Settle, Start
from .deadlines import Deadlines, Pause
from .idleness import Idleness
from .jobs import DONE, RUNNING, Job, Outcome, Verdict
from .slots import Phase, Slot, Slots

__all__ = ["Decisions"]

KILL_PATIENCE = 8.0  # seconds after which a kill that is not confirmed is tried again, by force
QUICK = 0.0005  # seconds: after a job that took no longer, others are queued ahead

_only_waits = operator.attrgetter("options.only_waits")


class Decisions:
    """The scheduler's state, and the steps that its events share. `Scheduler` has the events."""

    def __init__(
        self,
        slots: int,
        *,
        can_kill: bool,
        grace: float = 0.0,
        start_timeout: float = 60.0,
        unready: Callable[[BaseException], BaseException] = verdicts.unready,
        queues: bool = False,
        quick: float = QUICK,
        idle_timeout: float | None = None,
    ) -> None:
        self.slots = Slots(slots)
        self.can_kill = can_kill
        self.grace = grace
        self.start_timeout = start_timeout
        self.unready = unready
        self.queues = queues
        self.quick = quick
        self.backlog = Backlog()
        self.deadlines: Deadlines[Job | Slot | Idleness | Pause] = Deadlines()
        self.idleness = Idleness(idle_timeout)
        self.scarcity = Pause()  # the system has no room for another worker just now
        self.paused = False
        self.closing = False
        self.closed = False
        self.failed_starts = 0
        self.broken: BaseException | None = None
        self.undecided: dict[int, Job] = {}  # by number: what they raised is being unpacked
        self.failures: dict[int, Outcome] = {}  # by number: of jobs that are tried again
        self.giving_up = False  # no job is tried again from now on
        self._ahead: dict[int, Slot] = {}  # the slots with queued jobs, by index
        self._recalling: set[int] = set()  # slots for which `recalled` is still to come
        self._hungry: list[Slot] = []  # slots whose last job was quick: more can be queued there
        self.settled: Counter[Verdict] = Counter()
        self.workers: Counter[str] = Counter()  # started, retired, killed, died
        self.retried = 0  # attempts that were not a job's first

    # How it is decided ----------------------------------------------------------------------

    def dispatch(self, now: float) -> list[Command]:
        """Fill the idle slots with the best jobs, and ask for workers where none is idle."""
        backlog = self.backlog
        commands: list[Command] = self._skip(now) if backlog.changed else []
        slots = self.slots
        waiting = 0 if self.paused else backlog.eligible
        if waiting:
            while waiting and slots.idle:
                commands.append(self.assign(backlog.pop(), slots.idle[-1], now))
                waiting -= 1
            while slots.cold and slots.starting < waiting and self.scarcity.alarm is None:
                slot = slots.cold[-1]
                self.slots.move(slot, Phase.STARTING)
                self.await_worker(slot, now)
                commands.append(Start(slot.index))
        elif self.closing and not self.closed and not (backlog or slots.busy or self.undecided):
            self.closed = True
            commands.append(Close())
        return commands

    def _skip(self, now: float) -> list[Command]:
        """See who is next in the lanes that were changed; settle those that are not to be run."""
        return [
            self.settle(job, verdicts.skipped(job, before), now)
            for job, before in self.backlog.advance()
        ]

    def assign(self, job: Job, slot: Slot, now: float, before: Job | None = None) -> Run:
        """`job` runs in `slot` from now on, where `before` has just ended."""
        if slot.phase is not Phase.BUSY:
            self.slots.move(slot, Phase.BUSY)
        slot.job = job
        job.state = RUNNING
        job.attempt += 1
        job.slot = slot.index
        job.pid, job.host = slot.pid, slot.host
        if job.options.timeout is not None:
            due = now + job.options.timeout + self.grace
            if before is None:
                self.deadlines.set(job, due)
            else:
                self.deadlines.hand_on(before, job, due)
        elif job.alarm is not None:
            self.deadlines.clear(job)
        return tuple.__new__(Run, (slot.index, job))  # no more than `Run` does, which costs a call

    def free(self, slot: Slot, ready: bool, now: float) -> None:
        """`slot` has no job any more. `ready`: its worker can take another one; else it is replaced."""
        job, slot.job = slot.job, None
        if job is not None and job.lane is not None and job.state is DONE:
            self.backlog.leave(job)
        if ready:
            self.deadlines.clear(slot)
            self.slots.move(slot, Phase.IDLE)
            if self.idleness.limit is not None:
                slot.idle_since = now
                if self.idleness.alarm is None:
                    self.deadlines.set(self.idleness, self.idleness.due(slot))
        elif slot.phase is not Phase.STARTING:
            self.slots.move(slot, Phase.STARTING)

    def only_makes_room(self, job: Job, slot: Slot) -> bool:
        """Whether the end of `job` means no more than that the next one can run in `slot`.

        The effect is the same as if `slot` became idle, and the next job took it at once.
        """
        backlog, slots = self.backlog, self.slots
        return bool(
            job.state is RUNNING
            and job.condemned is None
            and job.lane is None
            and not job.options.retries
            and backlog.eligible
            and not (self.paused or backlog.changed or self._ahead)
            and not (slots.idle or slots.cold)
            and slots.surplus <= 0
            and slot.alarm is None
        )

    def await_worker(self, slot: Slot, now: float) -> None:
        """Set the deadline by which the worker of `slot` must be ready."""
        self.deadlines.set(slot, now + self.start_timeout)

    def let_go(self, slot: Slot) -> list[Command]:
        """Remove `slot`, which has no job."""
        before = slot.phase
        self.deadlines.clear(slot)
        self.slots.move(slot, Phase.GONE)
        if before is Phase.IDLE:
            self.workers["retired"] += 1
        return [] if before is Phase.COLD else [Retire(slot.index)]

    def cool_down(self, now: float) -> list[Command]:
        """Let workers go that have been idle for too long; their slots stay, and get new ones on demand."""
        if self.closed:
            return []
        commands: list[Command] = []
        for slot in self.idleness.overripe(self.slots.idle, now):
            self.slots.move(slot, Phase.COLD)
            slot.pid = None
            self.workers["retired"] += 1
            commands.append(Retire(slot.index))
        if self.slots.idle:
            self.deadlines.set(self.idleness, min(map(self.idleness.due, self.slots.idle)))
        return commands

    def fit(self, now: float) -> list[Command]:
        """Add or remove slots, until there are as many as there should be."""
        if self.closed:
            return []
        leaving = [command for slot in self.slots.fit() for command in self.let_go(slot)]
        return leaving + self.dispatch(now)

    def follow_up(self, slot: Slot, now: float) -> list[Command]:
        """After `slot` has become free: remove it if there are too many, and start what can start."""
        gone = self.let_go(slot) if self.slots.surplus > 0 else []
        return gone + self.dispatch(now)

    def slot_of(self, job: Job) -> Slot:
        """Where a running job is."""
        slot = None if job.slot is None else self.slots.get(job.slot)
        if slot is None or slot.job is not job:
            raise AssertionError(f"{job!r} is in no slot")
        return slot

    def wait(self, job: Job) -> None:
        """File `job` in the backlog, with its `queue_timeout` if it has not been started yet."""
        self.backlog.push(job)
        if job.options.queue_timeout is not None and job.attempt == 0:
            self.deadlines.set(job, job.submitted + job.options.queue_timeout)

    def wait_in_turn(self, jobs: list[Job]) -> None:
        """As `wait`, for jobs that have come one after another."""
        if all(map(_only_waits, jobs)):
            self.backlog.push_in_turn(jobs)
        else:
            for job in jobs:
                self.wait(job)

    def withdraw(self, job: Job) -> None:
        """`job` waits no longer."""
        self.deadlines.clear(job)
        self.backlog.discard(job)

    def condemn(self, job: Job, reason: Verdict, now: float, force: bool = False) -> Kill:
        """Order the kill of `job`. If it is not confirmed in time, it is ordered again, by force."""
        job.condemned = reason
        self.deadlines.set(job, now + KILL_PATIENCE)
        return Kill(self.slot_of(job).index, job, reason, force)

    def settle(self, job: Job, outcome: Outcome, now: float) -> Settle:
        """Note how `job` ended, which is final."""
        if job.state is DONE:
            raise AssertionError(f"{job!r} is settled twice")
        if job.alarm is not None:
            self.deadlines.clear(job)
        if job.slot is not None or outcome.started:
            job.started = outcome.started or job.started
            job.ended = outcome.ended or now
        self._note_end(job, outcome)
        if job.options.retries:
            before = self.failures.pop(job.number, outcome)
            outcome.context = None if before is outcome else before.value
        if job.lane is not None and not self._is_in_slot(job):
            self.backlog.leave(job)
        return tuple.__new__(Settle, (job, outcome))  # as above

    def _note_end(self, job: Job, outcome: Outcome) -> None:
        if outcome.pid is not None:
            job.pid = outcome.pid
        job.cpu_time = outcome.cpu_time
        job.max_rss = outcome.max_rss
        job.exitcode = outcome.exitcode
        job.verdict = outcome.verdict
        job.state = DONE
        self.settled[outcome.verdict] += 1

    def _is_in_slot(self, job: Job) -> bool:
        """Whether a slot is still taken by it, settled or not."""
        slot = None if job.slot is None else self.slots.get(job.slot)
        return slot is not None and slot.job is job

    def break_down(self, cause: BaseException, now: float) -> list[Command]:
        """No worker can be started: fail all jobs that wait."""
        if self.broken is not None:
            return []
        self.broken = cause
        commands: list[Command] = [Break(cause)]
        for job in sorted(self.backlog, key=lambda job: job.number):
            self.withdraw(job)
            commands.append(self.settle(job, verdicts.broken(cause), now))
        return commands + self.dispatch(now)

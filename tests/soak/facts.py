"""What must be true of a scheduler's jobs, kept in plain lists: slow, and meant to be obviously right.

It shares no code with the scheduler, only the values in which events and commands are written. Each
event is first written down here, and with it which jobs must now be settled, and how they may be.
Then each command of the scheduler's answer is read, which must be legal; and when all were read,
nothing must be owed any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ezpq_exec.commands import (
    Begin,
    Break,
    Close,
    Command,
    Kill,
    Queue,
    Retire,
    Run,
    Settle,
    Start,
    Unpack,
)
from ezpq_exec.jobs import Job, State, Verdict

__all__ = ["Fact", "Facts", "must"]

PATIENCE = 8.0  # seconds after which a kill that was not confirmed comes again
MOST_FAILED_STARTS = 3
MOST_LOSSES = 3  # of workers with the same job in hand, before it has begun


def must(claim: object, *words: object) -> None:
    """Stop here unless that is so."""
    if not claim:
        raise AssertionError(" ".join(map(str, words)))


@dataclass(eq=False)
class Fact:
    """What is known of one job. `where`: "waits", "ahead", "runs", "undecided" or "done"."""

    job: Job
    lane: str | None
    stops: bool
    retries: int
    picky: bool  # a ValueError is worth another attempt, too
    timeout: float | None
    limit: float | None  # by when it must have begun
    priority: float
    where: str = "new"
    slot: int | None = None
    begun: float | None = None  # on its worker's word
    attempts: int = 0
    losses: int = 0
    announced: bool = False
    failure: Verdict | None = None  # how its last attempt ended, if it is tried again
    cancelled: bool = False
    condemned: Verdict | None = None
    asked_at: float = 0.0
    held: int | None = None  # the slot that it keeps though it is done

    @property
    def rank(self) -> tuple[float, int]:
        return self.priority, self.job.number


@dataclass
class Line:
    """A lane: those that are in it, those that failed before their turn, and who has failed at it."""

    members: list[Fact] = field(default_factory=list)
    marks: list[tuple[float, int]] = field(default_factory=list)
    failed: bool = False


class Facts:
    """All the jobs and all the workers of one scheduler."""

    def __init__(self, slots: int, kills: bool, grace: float) -> None:
        self.limit, self.kills, self.grace = slots, kills, grace
        self.jobs: list[Fact] = []  # all of them
        self.open: list[Fact] = []  # those that were not all over at the last check
        self.workers: dict[int, str] = {}  # by slot: "starting", "idle" or "busy"
        self.due: dict[int, float] = {}  # by slot: when its worker must be up
        self.cold = slots  # slots that have no worker
        self.lanes: dict[str, Line] = {}
        self.paused = self.closing = self.closed = self.broken = self.giving_up = False
        self.failed_starts = 0
        self.scarce_until: float | None = None  # no worker is asked for before
        self.owed: dict[Fact, set[Verdict]] = {}
        self.owed_kills: list[tuple[Fact, Verdict]] = []
        self.owed_break = False
        self.counts: Counter[Verdict] = Counter()

    # Lists ----------------------------------------------------------------------------------

    def that(self, *where: str) -> list[Fact]:
        """The jobs that are there."""
        return [fact for fact in self.open if fact.where in where]

    def of(self, job: Job) -> Fact:
        """What is known of that job."""
        return self.jobs[job.number]

    def at(self, slot: int) -> Fact | None:
        """Whose slot it is: who runs there, or who is done and keeps it."""
        for fact in self.open:
            if fact.held == slot or (fact.where == "runs" and fact.slot == slot):
                return fact
        return None

    def taken(self, lane: str) -> bool:
        """Whether one of its jobs is under way."""
        return any(
            fact.lane == lane and (fact.where in ("runs", "undecided") or fact.held is not None)
            for fact in self.open
        )

    def eligible(self) -> list[Fact]:
        """Those that wait for a slot alone."""
        return [
            fact
            for fact in self.that("waits")
            if fact.lane is None
            or (not self.taken(fact.lane) and fact is self.head(self.lanes[fact.lane]))
        ]

    def head(self, line: Line) -> Fact:
        return min((f for f in line.members if f.where == "waits"), key=lambda f: f.rank)

    # What an event means --------------------------------------------------------------------

    def enter(self, fact: Fact) -> None:
        """It is submitted, or rejected."""
        self.jobs.append(fact)
        self.open.append(fact)
        fact.where = "waits"
        if fact.lane is not None:
            self.lanes.setdefault(fact.lane, Line()).members.append(fact)

    def owe(self, fact: Fact, *verdicts: Verdict) -> None:
        """It must be settled now, with one of these."""
        must(fact.where != "done", fact, "is settled twice")
        waited = fact.where in ("waits", "new")
        self.owed[fact] = set(verdicts)
        fact.where = "done"
        if fact.held is None:
            self.leave(fact, verdicts[0], waited)

    def leave(self, fact: Fact, verdict: Verdict, waited: bool) -> None:
        """It is out of its lane. Who failed while it waited leaves a mark at its place."""
        if fact.lane is None:
            return
        line = self.lanes[fact.lane]
        line.members.remove(fact)
        if verdict not in (Verdict.CANCELLED, Verdict.BROKEN):
            if waited:
                line.marks.append(fact.rank)
            else:
                line.failed = verdict is not Verdict.RETURNED
        if not line.members:
            del self.lanes[fact.lane]

    def pass_turns(self) -> None:
        """In each free lane, see who is next; who must not run is to be skipped."""
        for name in list(self.lanes):
            line = self.lanes[name]
            while line.members and not self.taken(name):
                head = self.head(line)
                if line.marks and min(line.marks) < head.rank:
                    line.marks.remove(min(line.marks))
                    line.failed = True
                elif line.failed and head.stops:
                    line.members.remove(head)
                    self.owed[head] = {Verdict.SKIPPED}
                    head.where = "done"
                else:
                    break
            if not line.members:
                self.lanes.pop(name, None)

    def conclude(self, fact: Fact, verdict: Verdict, error: object) -> None:
        """An attempt ended so, and its slot is free: it is tried again, or settled."""
        again = verdict in (Verdict.DIED, Verdict.TIMED_OUT)
        again |= verdict is Verdict.RAISED and fact.picky and isinstance(error, ValueError)
        if fact.condemned is Verdict.KILLED or fact.attempts > fact.retries or self.giving_up:
            again = False
        if again:
            fact.failure = verdict
            self.wait_again(fact)
        else:
            self.owe(fact, verdict)

    def wait_again(self, fact: Fact) -> None:
        fact.where, fact.slot, fact.begun, fact.condemned = "waits", None, None, None
        if self.broken:
            self.owe(fact, Verdict.BROKEN)

    def vacate(self, slot: int, phase: str, now: float, start_timeout: float) -> None:
        """The slot has no job any more."""
        self.workers[slot] = phase
        if phase == "starting":
            self.due[slot] = now + start_timeout

    def break_down(self, waiting: list[Fact]) -> None:
        """No worker can be started: what waits waits in vain."""
        if not self.broken:
            self.broken = self.owed_break = True
            for fact in waiting:
                if fact.where == "waits":
                    self.owe(fact, Verdict.BROKEN)

    # Reading the answer ---------------------------------------------------------------------

    def read(self, command: Command, now: float) -> None:
        """One command, which must be legal."""
        must(not self.closed or isinstance(command, Settle), "busy after Close", command)
        reader: Callable[..., None] | None = getattr(self, f"_read_{type(command).__name__}", None)
        if reader is not None:
            reader(command, now)

    def _read_Run(self, command: Run, now: float) -> None:
        fact = self.of(command.job)
        must(not self.paused, "runs while paused", fact)
        must(self.workers.get(command.slot) == "idle", "runs where no idle worker is", command)
        must(fact in self.eligible(), "runs and may not", fact)
        best = min(self.eligible(), key=lambda f: f.rank)
        must(fact is best, fact, "runs before", best)
        busy = [phase for phase in self.workers.values() if phase == "busy"]
        must(len(busy) < self.limit, "too many run")
        self.workers[command.slot] = "busy"
        fact.where, fact.slot, fact.attempts = "runs", command.slot, fact.attempts + 1

    def _read_Queue(self, command: Queue, now: float) -> None:
        must(bool(command.jobs), "nothing is queued", command)
        for fact in map(self.of, command.jobs):
            must(not self.paused, "queued while paused", fact)
            must(fact in self.eligible(), "queued and may not run", fact)
            limits = (fact.timeout, fact.limit, fact.lane, fact.retries or None)
            must(all(limit is None for limit in limits), "not to be queued", fact)
            before = self.at(command.slot)
            must(before is not None and before.timeout is None, "queued behind nothing", fact)
            fact.where, fact.slot = "ahead", command.slot

    def _read_Begin(self, command: Begin, now: float) -> None:
        fact = self.of(command.job)
        must(fact.where == "ahead", "begins and was not queued", fact)
        must(self.at(command.job.slot or 0) is None, "two run in one slot", fact)
        fact.where, fact.attempts, fact.announced = "runs", fact.attempts + 1, True

    def _read_Settle(self, command: Settle, now: float) -> None:
        fact, verdict = self.of(command.job), command.outcome.verdict
        must(verdict in self.owed.pop(fact, ()), "settled unduly", verdict, fact)
        must(command.job.state is State.DONE and command.job.verdict is verdict, fact)
        must(fact.attempts <= 1 + fact.retries, "tried too often", fact)
        self.counts[verdict] += 1

    def _read_Kill(self, command: Kill, now: float) -> None:
        fact = self.of(command.job)
        must(self.kills, "kills what cannot be killed", command)
        must(fact.where == "runs" and fact.slot == command.slot, "kills who is not there", fact)
        must((fact, command.reason) in self.owed_kills, "killed unduly", command)
        self.owed_kills.remove((fact, command.reason))
        fact.condemned, fact.asked_at = command.reason, now

    def _read_Start(self, command: Start, now: float) -> None:
        must(self.cold > 0 and command.slot not in self.workers, "starts too many", command)
        starting = [phase for phase in self.workers.values() if phase == "starting"]
        must(len(starting) < len(self.eligible()), "starts without need", command)
        must(self.scarce_until is None, "starts though there is no room", command)
        self.cold -= 1
        self.workers[command.slot] = "starting"

    def _read_Retire(self, command: Retire, now: float) -> None:
        must(self.workers.get(command.slot) in ("idle", "starting"), "retires", command)
        must(len(self.workers) + self.cold > self.limit, "retires without need", command)
        del self.workers[command.slot]
        self.due.pop(command.slot, None)

    def _read_Unpack(self, command: Unpack, now: float) -> None:
        must(self.of(command.job).where == "undecided", "unpacks", command)

    def _read_Break(self, command: Break, now: float) -> None:
        must(self.owed_break, "breaks without cause")
        self.owed_break = False

    def _read_Close(self, command: Close, now: float) -> None:
        must(self.closing, "closes unasked")
        must(not self.that("waits", "ahead", "runs", "undecided"), "closes over open jobs")
        must("busy" not in self.workers.values(), "closes over a busy worker")
        self.closed = True

    # What must be true between two events ------------------------------------------------------

    def check(self, scheduler: Any, now: float) -> None:
        """All that is owed was given, nothing idles in vain, and the scheduler counts as we do."""
        must(not self.owed, "not settled", self.owed)
        self.open = [f for f in self.open if f.where != "done" or f.held is not None]
        must(not self.owed_kills, "not killed", self.owed_kills)
        must(not self.owed_break, "not broken")
        eligible = self.eligible()
        phases = list(self.workers.values())
        if eligible and not self.paused:
            must("idle" not in phases, "a slot idles while this waits", eligible[0])
            asked = phases.count("starting") >= len(eligible)
            must(asked or not self.cold or self.scarce_until, "no worker is asked for")
            must(not self.broken, "waits for ever", eligible[0])
        over = self.closing and not self.that("waits", "ahead", "runs", "undecided")
        must(self.closed == (over and "busy" not in phases), "drained means closed", self.closed)
        must(len(phases) + self.cold - self.limit <= phases.count("busy"), "too many slots")
        must(scheduler.waiting == len(self.that("waits", "ahead")), "waiting", scheduler.waiting)
        must(scheduler.running == len(self.that("runs", "undecided")), "running")
        must(+scheduler.settled == self.counts, "counts")
        moments = self.moments()
        if moments:
            deadline = scheduler.next_deadline()
            must(deadline is not None and deadline <= min(moments), "would be late", moments)

    def moments(self) -> list[float]:
        """When something is due."""
        moments = [f.limit for f in self.that("waits") if f.limit and not f.attempts]
        moments += [] if self.broken or self.closed else list(self.due.values())
        moments += [] if self.scarce_until is None else [self.scarce_until]
        for fact in self.that("runs"):
            if fact.condemned is not None:
                moments.append(fact.asked_at + PATIENCE)
            elif fact.timeout is not None and fact.begun is not None:
                moments.append(fact.begun + fact.timeout + self.grace)
        return moments

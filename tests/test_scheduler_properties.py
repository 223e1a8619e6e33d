"""The scheduler's invariants, under events that hypothesis makes up.

`World` is a fake engine and a slow, plain account of what must be true, made of lists; it shares
no code with the scheduler, only the values in which events and commands are written. Each event is
first written into the account, as what is owed; then the scheduler hears of it; then its commands
are obeyed one by one, each of which must be legal, and all together exactly what was owed. There
is no process, no thread and no clock.
"""

from __future__ import annotations

import weakref
from collections import Counter
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ezpq_exec.commands import (
    Break,
    Close,
    Command,
    Kill,
    Look,
    Retire,
    Run,
    Settle,
    Start,
    Unpack,
)
from ezpq_exec.errors import (
    JobKilled,
    JobTimeout,
    LaneStopped,
    MemoryLimitExceeded,
    QueueTimeout,
    WorkerDied,
)
from ezpq_exec.jobs import Call, Job, Outcome, State, Verdict
from ezpq_exec.lanes import Lane
from ezpq_exec.options import Options
from ezpq_exec.reports import Loss
from ezpq_exec.scheduler import Scheduler

START_TIMEOUT = 40.0
PATIENCE = 8.0  # after which an unconfirmed kill comes again
ERRORS: dict[Verdict, type[BaseException]] = {
    Verdict.TIMED_OUT: JobTimeout,
    Verdict.EXPIRED: QueueTimeout,
    Verdict.CANCELLED: CancelledError,
    Verdict.KILLED: JobKilled,
    Verdict.OUT_OF_MEMORY: MemoryLimitExceeded,
    Verdict.DIED: WorkerDied,
    Verdict.SKIPPED: LaneStopped,
}


@dataclass(eq=False)
class Task:
    """What must be true of one job.

    Where: "waiting", "running", "undecided", "ending" (owed) or "settled".
    """

    job: Job
    priority: float
    timeout: float | None
    limit: float | None  # by when it must have begun
    expires: float | None = None  # the same, while it waits
    where: str = "waiting"
    begun: float | None = None
    ended: float | None = None
    attempts: int = 0  # that have ended in a worker's hands
    retries: int = 0
    picky: bool = False  # it is tried again after a ValueError, too
    failures: list[Verdict] = field(default_factory=list)  # of which it was tried again
    outcome: Outcome | None = None  # to be unpacked
    lane: str | None = None
    stops: bool = False
    stopper: int = -1  # because of whom it is skipped
    given_up: bool = False  # it is settled as it ended, though it might have been tried again
    condemned: Verdict | None = None
    killed_at: float = 0.0
    losses: int = 0
    announced: bool = False
    deaf: bool = False  # its future is cancelled, and the scheduler has not heard
    value: object = None
    lag: float | None = None  # its worker begins it so much later; None: when a rule says so
    begins: float | None = None

    @property
    def number(self) -> int:
        """The job's."""
        return self.job.number

    @property
    def rank(self) -> tuple[float, int]:
        """By which it is compared."""
        return (self.priority, self.number)


@dataclass(eq=False)
class Account:
    """A lane: who is in it, who failed before its turn came, and who has failed at its turn."""

    lane: Lane
    members: list[Task] = field(default_factory=list)
    marks: list[tuple[tuple[float, int], int]] = field(default_factory=list)
    failed: int | None = None


@dataclass(eq=False)
class Seat:
    """A slot with a worker. Phase: "starting", "idle" or "busy" (with a task, or promised)."""

    index: int
    due: float | None
    phase: str = "starting"
    pid: int | None = None
    task: Task | None = None


class World:
    """The account, and the engine's part."""

    def __init__(self, slots: int, can_kill: bool, grace: float) -> None:
        self.scheduler = Scheduler(
            slots, can_kill=can_kill, grace=grace, start_timeout=START_TIMEOUT
        )
        self.can_kill = can_kill
        self.grace = grace
        self.tasks: list[Task] = []
        self.lanes: dict[str, Account] = {}
        self.empty_lanes: list[weakref.ref[Lane]] = []
        self.giving_up = False
        self.retried = 0
        self.seats: list[Seat] = []
        self.gone: set[int] = set()
        self.cold = self.limit = slots
        self.now = 100.0
        self.pids = 0
        self.paused = self.closing = self.closed = self.broken = False
        self.failures = 0
        self.owed: dict[Task, set[Verdict]] = {}
        self.owed_kills: list[tuple[Task, Verdict, bool]] = []
        self.owed_break = False
        self.settled: Counter[Verdict] = Counter()
        self.workers: Counter[str] = Counter()

    # Lists ----------------------------------------------------------------------------------

    def tasks_that(self, where: str) -> list[Task]:
        """Those that are there."""
        return [task for task in self.tasks if task.where == where]

    def seats_that(self, phase: str) -> list[Seat]:
        """Those in that phase."""
        return [seat for seat in self.seats if seat.phase == phase]

    def holders(self) -> list[Seat]:
        """Seats with a task in hand, settled or not."""
        return [seat for seat in self.seats if seat.task is not None]

    def seat_at(self, index: int) -> Seat:
        """The one with that index, which exists."""
        [seat] = [seat for seat in self.seats if seat.index == index]
        return seat

    def seat_of(self, task: Task) -> Seat:
        """The one that has that task in hand."""
        [seat] = [seat for seat in self.seats if seat.task is task]
        return seat

    def task_of(self, job: Job) -> Task:
        """The account of that job."""
        return self.tasks[job.number]

    def eligible(self) -> list[Task]:
        """Those that wait for nothing but a slot."""
        waiting = self.tasks_that("waiting")
        return [
            task
            for task in waiting
            if task.lane is None
            or (
                not self.is_taken(task.lane)
                and task is min((t for t in waiting if t.lane == task.lane), key=lambda t: t.rank)
            )
        ]

    def is_taken(self, lane: str) -> bool:
        """Whether one of its jobs is under way, settled or not."""
        in_hand = [seat.task for seat in self.holders()]
        return any(
            task.where in ("running", "undecided") or task in in_hand
            for task in self.lanes[lane].members
        )

    @property
    def surplus(self) -> int:
        """Slots that are still there and are to go."""
        return len(self.seats) + self.cold - self.limit

    def is_drained(self) -> bool:
        """Nothing waits and no slot is taken."""
        left = self.tasks_that("waiting") or self.tasks_that("undecided")
        return not left and not self.seats_that("busy")

    # What comes of an event -------------------------------------------------------------------

    def owe(self, task: Task, *verdicts: Verdict) -> None:
        """`task` must now be settled, with one of these."""
        assert task.where in ("waiting", "running", "undecided")
        self.owed[task] = set(verdicts)
        waited, task.where = task.where == "waiting", "ending"
        if task.lane is not None and not [seat for seat in self.seats if seat.task is task]:
            self.leave(task, verdicts[0], waited)

    def leave(self, task: Task, verdict: Verdict, waited: bool) -> None:
        """It is out of its lane, with this verdict."""
        assert task.lane is not None
        account = self.lanes[task.lane]
        account.members.remove(task)
        if verdict in (Verdict.CANCELLED, Verdict.BROKEN):
            pass
        elif waited:
            account.marks.append((task.rank, task.number))
        else:
            account.failed = None if verdict is Verdict.RETURNED else task.number
        self.forget_empty(task.lane)

    def forget_empty(self, lane: str) -> None:
        """Nobody is in it any more: whoever comes next finds it as new."""
        if not self.lanes[lane].members:
            self.empty_lanes.append(weakref.ref(self.lanes.pop(lane).lane))

    def take_turns(self) -> None:
        """In each lane that is free, turns pass by of those that have failed or must not run."""
        for name, account in list(self.lanes.items()):
            while not self.is_taken(name) and account.members:
                waiting = [task for task in account.members if task.where == "waiting"]
                first = min(waiting, key=lambda t: t.rank)
                if account.marks and min(account.marks)[0] < first.rank:
                    mark = min(account.marks)
                    account.marks.remove(mark)
                    account.failed = mark[1]
                    continue
                if account.failed is None or not first.stops:
                    break
                first.stopper, account.failed = account.failed, first.number
                account.members.remove(first)
                self.owed[first] = {Verdict.SKIPPED}
                first.where = "ending"
            if name in self.lanes:
                self.forget_empty(name)

    def conclude(self, task: Task, verdict: Verdict, error: object = None) -> None:
        """An attempt has ended so: it is tried again, or settled."""
        task.attempts += 1
        self.judge(task, verdict, error)

    def judge(self, task: Task, verdict: Verdict, error: object) -> None:
        """The same, of one that was undecided."""
        worth_it = verdict in (Verdict.DIED, Verdict.TIMED_OUT, Verdict.OUT_OF_MEMORY)
        worth_it |= verdict is Verdict.RAISED and task.picky and isinstance(error, ValueError)
        if task.condemned is Verdict.KILLED or task.attempts > task.retries or self.giving_up:
            worth_it = False
        if not worth_it:
            self.owe(task, verdict)
            return
        self.retried += 1
        task.failures.append(verdict)
        task.where, task.condemned, task.expires = "waiting", None, None
        task.outcome = Outcome(verdict, error, started=task.begun or 0.0, ended=self.now)
        task.begun = task.ended = None
        if self.broken:
            self.owe(task, Verdict.BROKEN)

    def hear(self, commands: list[Command]) -> None:
        """Obey; then nothing is owed any more, and all is as it must be."""
        self.take_turns()
        self.obey(commands)
        assert not self.owed, "not settled"
        assert not self.owed_kills, "not killed"
        assert not self.owed_break, "not broken"
        self.check()

    def obey(self, commands: list[Command]) -> None:
        """Obey, and whatever follows from that."""
        queue = list(commands)
        while queue:
            command = queue.pop(0)
            assert not self.closed or isinstance(command, Settle), "busy after Close"
            queue += self.do(command)

    def do(self, command: Command) -> list[Command]:
        """Obey one command, which must be legal; what follows from that."""
        match command:
            case Run():
                return self.run(command)
            case Settle():
                self.settle(command)
            case Kill():
                self.kill(command)
            case Unpack(job, outcome):
                assert self.task_of(job).where == "undecided"
                assert self.task_of(job).outcome is outcome
            case Look(slot, job):
                task = self.task_of(job)
                assert task.where == "ending" or self.seat_at(slot).task is task
                return self.scheduler.started(slot, job, task.begun, self.now)
            case Start(slot):
                self.start(slot)
            case Retire(slot):
                self.retire(self.seat_at(slot))
            case Break():
                assert self.owed_break
                self.owed_break, self.broken = False, True
            case Close():
                assert self.closing
                assert self.is_drained()
                self.closed = True
        return []

    def kill(self, command: Kill) -> None:
        """Only one that is owed, where the job is."""
        task = self.task_of(command.job)
        assert self.seat_at(command.slot).task is task
        self.owed_kills.remove((task, command.reason, command.force))
        task.condemned, task.killed_at = command.reason, self.now

    def start(self, index: int) -> None:
        """Only a slot that has no worker, and no more of them than jobs wait."""
        assert self.cold > 0
        assert len(self.seats_that("starting")) < len(self.eligible())
        assert index not in self.gone | {seat.index for seat in self.seats}
        self.cold -= 1
        self.seats.append(Seat(index, self.now + START_TIMEOUT))

    def run(self, command: Run) -> list[Command]:
        """Only the best of those waiting, only in an idle slot; a cancelled one is refused."""
        seat, task = self.seat_at(command.slot), self.task_of(command.job)
        assert not self.paused
        assert seat.phase == "idle"
        assert len(self.seats_that("busy")) < self.limit
        assert task is min(self.eligible(), key=lambda t: t.rank)
        assert (command.job.slot, command.job.pid) == (seat.index, seat.pid)
        refused = task.deaf and not task.announced
        task.announced = command.job.announced = not refused  # its future says now that it runs
        if refused:
            self.owe(task, Verdict.CANCELLED)
            self.take_turns()
            return self.scheduler.cancelled(command.job, self.now)
        self.seize(seat, task)
        return []

    def seize(self, seat: Seat, task: Task) -> None:
        """The worker has the task in hand."""
        seat.phase, seat.task = "busy", task
        task.where, task.expires = "running", None
        task.begins = None if task.lag is None else self.now + task.lag
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        """Time passes, and workers begin what they have in hand."""
        self.now += seconds
        for seat in self.holders():
            task = seat.task
            if task and task.begun is None and task.begins and task.begins <= self.now:
                task.begun = task.begins

    def settle(self, command: Settle) -> None:
        """Once, with a verdict that is owed and what belongs to it."""
        job, outcome = command
        task = self.task_of(job)
        assert task.where == "ending"
        assert outcome.verdict in self.owed.pop(task)
        assert job.verdict is outcome.verdict
        assert job.state is State.DONE
        task.where = "settled"
        self.settled[outcome.verdict] += 1
        if outcome.verdict in (Verdict.RETURNED, Verdict.RAISED):
            assert outcome.value is task.value
        else:
            assert isinstance(outcome.value, ERRORS.get(outcome.verdict, BaseException))
        assert (job.started, job.ended) == (task.begun, task.ended)
        assert job.attempt == task.attempts
        if isinstance(outcome.value, LaneStopped):
            assert outcome.value.predecessor == task.stopper
        if task.failures and outcome.verdict is not Verdict.RETURNED:
            self.check_contexts(task, outcome)

    def check_contexts(self, task: Task, outcome: Outcome) -> None:
        """Each attempt's failure comes before the next one's."""
        if task.given_up:  # settled as it ended, since it is not tried again
            assert outcome.context is None
            error = outcome.value
        else:
            error = outcome.context
        for verdict in reversed(task.failures):
            assert isinstance(error, ERRORS.get(verdict, ValueError))
            error = error.__context__
        assert error is None

    def retire(self, seat: Seat) -> None:
        """Only a slot that is one too many and has no job; those that start go before the idle."""
        assert self.surplus > 0
        assert seat.phase == "starting" or not self.seats_that("starting")
        assert seat.phase != "busy"
        if seat.phase == "idle":
            self.workers["retired"] += 1
        self.seats.remove(seat)
        self.gone.add(seat.index)

    # What must be true whenever the scheduler has had its say -----------------------------------

    def check(self) -> None:
        """The invariants."""
        waiting, running = self.tasks_that("waiting"), self.tasks_that("running")
        running += self.tasks_that("undecided")
        eligible = self.eligible()
        idle, starting = self.seats_that("idle"), self.seats_that("starting")
        if not self.paused:
            assert not (idle and eligible), "a slot idles while a job could run"
            assert not self.cold or len(starting) >= len(eligible), "a worker is not asked for"
        assert not (self.broken and waiting), "waits for workers that never come"
        assert self.closed == (self.closing and self.is_drained()), "drained means idle"
        assert 0 <= self.surplus <= len(self.seats_that("busy"))
        assert (self.scheduler.waiting, self.scheduler.running) == (len(waiting), len(running))
        unresolved = {job.number for job in self.scheduler.unresolved()}
        assert unresolved == {task.number for task in waiting + running}
        states = {
            "waiting": State.WAITING,
            "promised": State.WAITING,
            "running": State.RUNNING,
            "undecided": State.RUNNING,
            "settled": State.DONE,
        }
        assert all(task.job.state is states[task.where] for task in self.tasks)
        assert +self.scheduler.settled == self.settled
        assert self.scheduler.retried == self.retried
        assert all(reference() is None for reference in self.empty_lanes), "a lane is kept"
        self.empty_lanes.clear()
        counted = dict(self.scheduler.workers)
        for what in ("started", "killed", "died", "retired"):
            assert counted.get(what, 0) == self.workers[what], what
        promised = self.moments()
        if promised:
            earliest = self.scheduler.next_deadline()
            assert earliest is not None
            assert earliest <= min(promised), "would be served too late"

    def moments(self) -> list[float]:
        """When something must be done."""
        moments = [task.expires for task in self.tasks_that("waiting") if task.expires]
        moments += [seat.due for seat in self.seats_that("starting") if seat.due]
        for task in self.tasks_that("running"):
            if task.condemned is not None:
                moments.append(task.killed_at + PATIENCE)
            elif task.timeout is not None and task.begun is not None:
                moments.append(task.begun + task.timeout + self.grace)
        return moments

    # Events ---------------------------------------------------------------------------------

    def new_task(
        self,
        priority: float,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        lane: tuple[str | None, bool] = (None, False),
        retries: tuple[int, bool] = (0, False),
    ) -> Task:
        """A job that nobody knows yet."""
        options = Options(
            priority=priority,
            timeout=timeout,
            queue_timeout=queue_timeout,
            lane=lane[0],
            stop_on_lane_error=lane[1],
            retries=retries[0],
            retry_on=(ValueError,) if retries[1] else (),
        )
        job = Job(len(self.tasks), Call(int, (), {}), options, b"", self.now)
        expires = None if queue_timeout is None else self.now + queue_timeout
        task = Task(job, priority, timeout, expires, expires)
        task.retries, task.picky = retries
        task.lane, task.stops = lane
        if task.lane is not None:
            account = self.lanes.setdefault(task.lane, Account(Lane(task.lane)))
            account.members.append(task)
            job.lane = account.lane
        self.tasks.append(task)
        return task

    def submit(self, task: Task) -> None:
        """It is submitted."""
        if self.broken:
            self.owe(task, Verdict.BROKEN)
        self.hear(self.scheduler.submitted(task.job, self.now))

    def become_ready(self, seat: Seat) -> None:
        """Its worker is up."""
        self.pids += 1
        seat.phase, seat.pid, seat.due = "idle", self.pids, None
        self.failures = 0
        self.workers["started"] += 1
        self.hear(self.scheduler.ready(seat.index, seat.pid, self.now))

    def give_up(self, seat: Seat, fatal: bool, died: bool) -> None:
        """Its worker did not come up."""
        self.seats.remove(seat)
        self.cold += 1
        self.failures += 1
        if (fatal or self.failures >= 3) and not self.broken:
            self.break_down(self.tasks_that("waiting"))
        cause = RuntimeError("no worker")
        self.workers["died"] += died
        self.hear(self.scheduler.unstartable(seat.index, cause, fatal, self.now, died=died))

    def break_down(self, waiting: list[Task]) -> None:
        """All that wait will be told that they wait for nothing."""
        self.owed_break = True
        for task in waiting:
            self.owe(task, Verdict.BROKEN)

    def finish(
        self, seat: Seat, verdict: Verdict, ready: bool, error: object = None, packed: bool = False
    ) -> None:
        """Its job ends by itself."""
        task = seat.task
        assert task is not None
        if task.begun is None:
            task.begun = self.now
        outcome = Outcome(verdict, error, started=task.begun, ended=self.now, packed=packed)
        seat.task = None
        if task.where == "running":
            task.ended, task.value = self.now, error
            left = task.attempts < task.retries and not self.giving_up and task.picky
            if packed and left and verdict is Verdict.RAISED and task.condemned is None:
                task.where, task.outcome = "undecided", outcome
                task.attempts += 1
            else:
                self.conclude(task, task.condemned or verdict, error)
        elif task.lane is not None:
            self.leave(task, Verdict.TIMED_OUT, waited=False)
        if ready:
            seat.phase = "idle"
        else:
            seat.phase, seat.due = "starting", self.now + START_TIMEOUT
            self.workers["retired"] += 1
        self.hear(self.scheduler.finished(seat.index, task.number, outcome, ready, self.now))

    def lose(self, seat: Seat, reason: Verdict | None) -> None:
        """Its worker is gone; `reason`: the engine's own, if it killed it."""
        task = seat.task
        seat.phase, seat.task, seat.due = "starting", None, self.now + START_TIMEOUT
        begun = None if task is None else task.begun
        why = reason or (None if task is None else task.condemned)
        self.workers["died" if why is None else "killed"] += 1
        if task is not None and task.where == "running":
            task.losses += begun is None and why is None
            if begun is None and why is None and task.losses < 3 and not self.broken:
                task.where = "waiting"
                task.expires = None if task.attempts else task.limit
            else:
                task.ended = self.now
                self.conclude(task, why or Verdict.DIED)
        elif task is not None and task.lane is not None:
            self.leave(task, Verdict.TIMED_OUT, waited=False)
        loss = Loss(begun, self.now, pid=seat.pid, exitcode=-9, signal="SIGKILL", reason=reason)
        self.hear(self.scheduler.lost(seat.index, loss, self.now))

    def tick(self) -> None:
        """All that is due is served, and no more."""
        late = [seat for seat in self.seats_that("starting") if seat.due and seat.due <= self.now]
        breaks = min((seat.due for seat in late if seat.due), default=None)
        breaks = None if self.broken or self.closed else breaks
        for seat in late:
            seat.due = None
        for task in self.tasks_that("waiting"):
            if task.expires is None or task.expires > self.now:
                continue
            allowed = [Verdict.EXPIRED] * (breaks is None or task.expires <= breaks)
            allowed += [Verdict.BROKEN] * (breaks is not None and task.expires >= breaks)
            self.owe(task, *allowed)
        if breaks is not None:
            self.break_down(self.tasks_that("waiting"))
        for task in self.tasks_that("running"):
            self.overdue(task)
        self.hear(self.scheduler.tick(self.now))
        deadline = self.scheduler.next_deadline()
        assert deadline is None or deadline > self.now, "a deadline behind now"

    def overdue(self, task: Task) -> None:
        """What is owed to a running task at this moment."""
        if task.condemned is not None:
            if task.killed_at + PATIENCE <= self.now:
                self.owed_kills.append((task, task.condemned, True))
        elif task.timeout is not None and task.begun is not None:
            if task.begun + task.timeout + self.grace > self.now:
                return
            if self.can_kill:
                self.owed_kills.append((task, Verdict.TIMED_OUT, self.grace > 0))
            else:
                task.ended = self.now
                task.attempts += 1
                self.owe(task, Verdict.TIMED_OUT)

    def unpack(self, task: Task, error: Exception) -> None:
        """What it raised is known now."""
        assert task.outcome is not None
        task.outcome.value, task.outcome.packed = error, False
        task.value = error
        if task.where == "undecided":
            self.judge(task, Verdict.RAISED, error)
        self.hear(self.scheduler.unpacked(task.job, task.outcome, self.now))

    def resize(self, count: int) -> None:
        """More or fewer slots; what must go goes in the order cold, starting, idle."""
        if count < self.limit:
            self.cold -= min(self.cold, self.limit - count)
            self.limit = count
        else:
            self.cold += max(0, count - self.limit - self.surplus)
            self.limit = count
        self.hear(self.scheduler.resize(count, self.now))

    def close(self, cancel: bool) -> None:
        """No more jobs."""
        self.closing, self.paused = True, False
        self.giving_up |= cancel
        for task in self.tasks_that("waiting") if cancel else []:
            if task.failures:
                self.settle_as_it_was(task)
            elif not task.announced:
                self.owe(task, Verdict.CANCELLED)
        self.hear(self.scheduler.close(self.now, cancel=cancel))

    def settle_as_it_was(self, task: Task) -> None:
        """It will not be tried again, so its last failure is its own."""
        assert task.outcome is not None
        task.value, task.given_up = task.outcome.value, True
        task.begun, task.ended = task.outcome.started or None, task.outcome.ended
        self.owe(task, task.failures[-1])


picks = st.integers(0, 7)
lanes = st.sampled_from(
    [(None, False)] * 3 + [("a", False), ("a", True), ("a", True), ("b", False), ("b", True)]
)
retries = st.sampled_from([(0, False)] * 3 + [(0, True), (1, False), (1, True), (3, True)])
priorities = st.sampled_from([0, 1, 1, 2, 0.5, float("inf"), float("-inf")])
lags = st.sampled_from([None, None, 0.0, 0.25, 0.25, 1.0])
limits = st.sampled_from([None, None, 0.5, 2.0, 5.0])
times = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 5.0])
seldom = st.integers(0, 9).map(lambda number: number == 9)


def pick(things: list[Any], number: int) -> Any:
    """One of them."""
    return things[number % len(things)]


class SchedulerAgainstWorld(RuleBasedStateMachine):
    """Whatever happens in whatever order, the scheduler does what the account says."""

    world: World

    @initialize(
        slots=st.integers(1, 4), kind=st.sampled_from([(True, 1.0), (True, 0.0), (False, 0.0)])
    )
    def begin(self, slots: int, kind: tuple[bool, float]) -> None:
        """Engines that keep deadlines, that can only kill, and that cannot."""
        self.world = World(slots, *kind)
        self.promised: list[tuple[Seat, Task]] = []

    def is_open(self) -> bool:
        """Not closed."""
        return not self.world.closed

    def has_waiting(self) -> bool:
        """Some job waits."""
        return bool(self.world.tasks_that("waiting"))

    def has_starting(self) -> bool:
        """Some worker is coming up."""
        return bool(self.world.seats_that("starting"))

    def has_holders(self) -> bool:
        """Some worker has a job in hand."""
        return bool(self.world.holders())

    # The caller -----------------------------------------------------------------------------

    @precondition(lambda self: not self.world.closing)
    @rule(
        count=st.integers(1, 3),
        priority=priorities,
        timeout=limits,
        queue_timeout=limits,
        lag=lags,
        lane=lanes,
        tries=retries,
    )
    def submit(
        self,
        count: int,
        priority: float,
        timeout: float | None,
        queue_timeout: float | None,
        lag: float | None,
        lane: tuple[str | None, bool],
        tries: tuple[int, bool],
    ) -> None:
        """Jobs come."""
        for _ in range(count):
            task = self.world.new_task(priority, timeout, queue_timeout, lane, tries)
            task.lag = lag
            self.world.submit(task)

    @precondition(lambda self: not self.world.closing)
    @rule(priority=priorities, lane=lanes)
    def reject(self, priority: float, lane: tuple[str | None, bool]) -> None:
        """A job comes that cannot be carried."""
        world = self.world
        task = world.new_task(priority, lane=lane)
        task.value = ValueError("does not pickle")
        world.owe(task, Verdict.RAISED)
        world.hear(world.scheduler.rejected(task.job, task.value, world.now))

    @precondition(has_waiting)
    @rule(number=picks, heard=st.booleans())
    def cancel(self, number: int, heard: bool) -> None:
        """A future is cancelled; the scheduler hears of it now, or later."""
        world = self.world
        task = pick(world.tasks_that("waiting"), number)
        if task.announced:
            return
        task.deaf = True
        if heard:
            self.tell(task)

    @rule(number=picks)
    def hear_of_it(self, number: int) -> None:
        """The scheduler hears that a future was cancelled, which it may have found by itself."""
        deaf = [task for task in self.world.tasks if task.deaf]
        if deaf:
            self.tell(pick(deaf, number))

    def tell(self, task: Task) -> None:
        """That it was cancelled."""
        if task.where == "waiting":
            self.world.owe(task, Verdict.CANCELLED)
        task.deaf = False
        self.world.hear(self.world.scheduler.cancelled(task.job, self.world.now))

    @precondition(lambda self: self.world.tasks)
    @rule(number=st.integers(0, 30), priority=priorities)
    def reprioritize(self, number: int, priority: float) -> None:
        """Any job is given another priority; it matters to those that wait."""
        task = pick(self.world.tasks, number)
        waited = task.where == "waiting"  # afterwards it may not: others come before it in its lane
        if waited:
            task.priority = priority
        before = task.job.priority
        self.world.hear(self.world.scheduler.reprioritized(task.job, priority, self.world.now))
        assert task.job.priority == (priority if waited else before)

    @precondition(lambda self: self.world.tasks)
    @rule(number=st.integers(0, 30))
    def kill(self, number: int) -> None:
        """Any job is to be killed: those that run, once; those taken back from a worker at once."""
        world = self.world
        task = pick(world.tasks, number)
        if task.where == "promised":
            return  # nobody has its future before the letter is sent
        if task.where == "undecided":
            task.ended = world.now
            world.owe(task, Verdict.KILLED)
        elif task.where == "waiting" and task.announced:
            world.owe(task, Verdict.KILLED)
        elif task.where == "running" and task.condemned is None and world.can_kill:
            world.owed_kills.append((task, Verdict.KILLED, False))
        world.hear(world.scheduler.kill(task.job, world.now))

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        """No job is to start, or they may again; what closes cannot be paused."""
        world = self.world
        change = world.scheduler.pause if paused else world.scheduler.resume
        world.paused = paused and not world.closing
        world.hear(change(world.now))

    @precondition(is_open)
    @rule(count=st.integers(1, 5))
    def resize(self, count: int) -> None:
        """More slots, or fewer."""
        self.world.resize(count)

    @precondition(lambda self: self.is_open() and not self.promised)
    @rule(really=seldom, cancel=st.booleans())
    def close(self, really: bool, cancel: bool) -> None:
        """No more jobs."""
        if really:
            self.world.close(cancel)

    # Threads that submit by themselves --------------------------------------------------------

    @precondition(is_open)
    @rule(number=picks, priority=priorities, timeout=limits, tries=retries)
    def take_offer(
        self, number: int, priority: float, timeout: float | None, tries: tuple[int, bool]
    ) -> None:
        """An idle slot is on offer, only if nothing waits or ends, and is taken."""
        world = self.world
        offered = world.scheduler.on_offer()
        idle = {seat.index for seat in world.seats_that("idle")}
        assert set(offered) <= idle
        refused = world.paused or world.closing or world.broken or world.eligible()
        assert bool(offered) == bool(idle and not refused)
        if offered:
            seat = world.seat_at(pick(offered, number))
            seat.phase = "busy"
            task = world.new_task(priority, timeout, retries=tries)
            task.announced = task.job.announced = True
            task.where = "promised"
            self.promised.append((seat, task))
            world.hear(world.scheduler.promised(seat.index, world.now))

    @precondition(lambda self: self.promised)
    @rule(number=picks, sent=st.booleans())
    def letter(self, number: int, sent: bool) -> None:
        """A letter comes that tells what was done with a promised slot."""
        world = self.world
        seat, task = self.promised.pop(number % len(self.promised))
        if sent:
            world.seize(seat, task)
        else:
            seat.phase, task.where = "idle", "waiting"
            if world.broken:
                world.owe(task, Verdict.BROKEN)
        world.hear(world.scheduler.assigned(seat.index, task.job, sent, world.now))

    # The engine -------------------------------------------------------------------------------

    @precondition(has_starting)
    @rule(number=picks, every=st.booleans())
    def ready(self, number: int, every: bool) -> None:
        """Workers come up."""
        starting = self.world.seats_that("starting")
        for seat in starting if every else [pick(starting, number)]:
            if seat in self.world.seats and seat.phase == "starting" and not self.world.closed:
                self.world.become_ready(seat)

    @precondition(has_starting)
    @rule(number=picks, fatal=seldom, died=st.booleans())
    def unstartable(self, number: int, fatal: bool, died: bool) -> None:
        """A worker does not come up."""
        if self.is_open():
            self.world.give_up(pick(self.world.seats_that("starting"), number), fatal, died)

    @precondition(has_holders)
    @rule(number=picks)
    def begin_jobs(self, number: int) -> None:
        """Workers begin what they have in hand, all or one; nobody is told."""
        holders = self.world.holders()
        for seat in holders if number < 6 else [pick(holders, number)]:
            if seat.task is not None and seat.task.begun is None:
                seat.task.begun = self.world.now

    @precondition(has_holders)
    @rule(
        number=picks,
        verdict=st.sampled_from([Verdict.RETURNED, Verdict.RAISED]),
        worn=seldom,
        kind=st.sampled_from([ValueError, ValueError, KeyError]),
        packed=st.sampled_from([True, True, False]),
    )
    def finish(
        self, number: int, verdict: Verdict, worn: bool, kind: type[Exception], packed: bool
    ) -> None:
        """A job ends by itself, killed or not; its worker may be worn out by it."""
        seat = pick(self.world.holders(), number)
        self.world.finish(seat, verdict, not worn, kind(), packed)

    @precondition(lambda self: any(task.outcome for task in self.world.tasks))
    @rule(number=picks, kind=st.sampled_from([ValueError, ValueError, KeyError]))
    def unpack(self, number: int, kind: type[Exception]) -> None:
        """What an undecided job raised is unpacked; it may have been killed meanwhile."""
        tasks = [task for task in self.world.tasks if task.outcome and task.outcome.packed]
        if tasks:
            self.world.unpack(pick(tasks, number), kind())

    @precondition(lambda self: self.is_open() and self.world.seats)
    @rule(number=picks, by_engine=st.booleans(), too_large=seldom)
    def lose(self, number: int, by_engine: bool, too_large: bool) -> None:
        """A worker dies, with a job or idle; or an engine that keeps its terms ended it."""
        world = self.world
        taken = [seat for seat, _ in self.promised]
        alive = [s for s in world.seats if s.phase != "starting" and s not in taken]
        if not alive:
            return
        seat = pick(alive, number)
        task = seat.task
        overdue = task is not None and task.timeout is not None and task.begun is not None
        if overdue and by_engine and world.grace and task.where == "running":
            world.advance(max(0.0, task.begun + task.timeout - world.now))
            world.lose(seat, Verdict.TIMED_OUT)
        elif too_large and task is not None and task.begun is not None and world.grace:
            world.lose(seat, Verdict.OUT_OF_MEMORY)
        else:
            world.lose(seat, None)

    @precondition(has_holders)
    @rule(number=picks, index=st.integers(0, 9))
    def stale_reports(self, number: int, index: int) -> None:
        """What is reported of jobs and slots that are no more matters to nobody."""
        world = self.world
        seat = pick(world.holders(), number)
        outcome = Outcome(Verdict.RETURNED, 1, started=world.now, ended=world.now)
        world.hear(world.scheduler.finished(seat.index, 10**6, outcome, True, world.now))
        if index in world.gone:
            world.hear(world.scheduler.lost(index, Loss(None, world.now), world.now))
            world.hear(world.scheduler.unstartable(index, OSError(), True, world.now))
            world.hear(world.scheduler.finished(index, number, outcome, True, world.now))

    # Time -------------------------------------------------------------------------------------

    @rule(seconds=times, served=st.booleans())
    def time_passes(self, seconds: float, served: bool) -> None:
        """Time passes, and the scheduler may hear of other things before it is told."""
        self.world.advance(seconds)
        if served:
            self.world.tick()

    @rule()
    def sleep(self) -> None:
        """The loop sleeps until the next deadline."""
        deadline = self.world.scheduler.next_deadline()
        if deadline is not None:
            self.world.advance(max(0.0, deadline - self.world.now))
            self.world.tick()

    # The end ------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Whatever has happened: once all is let run to its end, all is settled and closed."""
        if not hasattr(self, "world"):
            return
        world = self.world
        while self.promised:
            self.letter(0, sent=True)
        if not world.closed:
            world.close(cancel=False)
        for _ in range(10 * len(world.tasks) + 10):
            if world.closed:
                break
            for seat in world.seats_that("starting"):
                world.become_ready(seat)
            for seat in world.holders():
                world.finish(seat, Verdict.RETURNED, ready=True)
            for task in world.tasks_that("undecided"):
                world.unpack(task, ValueError())
        assert world.closed
        assert not world.lanes
        assert {task.where for task in world.tasks} <= {"settled"}
        assert sum(world.scheduler.settled.values()) == len(world.tasks)
        assert world.scheduler.unresolved() == []


TestSchedulerAgainstWorld = SchedulerAgainstWorld.TestCase
TestSchedulerAgainstWorld.settings = settings(
    max_examples=200, stateful_step_count=60, deadline=None, report_multiple_bugs=False
)

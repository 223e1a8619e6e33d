"""The loop's part and the engine's in the model check: orders are obeyed, workers go on by themselves."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from events import Events
from facts import Fact, must

from ezpq_exec.commands import Begin, Command, Kill, Look, Queue, Recall, Retire, Run, Start, Unpack
from ezpq_exec.jobs import Outcome, Verdict
from ezpq_exec.reports import Loss

__all__ = ["Workers"]


@dataclass(eq=False)
class Worker:
    """What a worker does, and what its engine knows: `current` and `ahead`."""

    slot: int
    up: bool = False
    inbox: list[int] = field(default_factory=list)
    hand: int | None = None
    begun: float = 0.0
    answers: list[tuple[int, Outcome]] = field(default_factory=list)
    current: int | None = None
    ahead: list[int] = field(default_factory=list)
    doom: Verdict | None = None  # it is being killed
    tasks: int = 0


class Workers(Events):
    """A scheduler whose orders are obeyed as the loop and an engine do it, with luck of all kinds."""

    def __init__(self, dice: random.Random, kills: bool, grace: float, queues: bool) -> None:
        self.dice = dice
        self.queues = queues
        self.fragile = dice.choice((0.0, 0.02, 0.3))  # how often workers die or do not start
        self.workers: dict[int, Worker] = {}
        self.unpacking: list[tuple[Fact, Outcome]] = []
        super().__init__(dice.randint(1, 4), kills, grace, queues)

    def chance(self, probability: float) -> bool:
        return self.dice.random() < probability

    # The loop's part ------------------------------------------------------------------------

    def turn(self, letters: list[Callable[[], object]]) -> None:
        """One turn of the loop."""
        for letter in letters:
            letter()
        for worker in list(self.workers.values()):
            if self.workers.get(worker.slot) is worker and self.chance(0.7):
                self.report(worker)
        deadline = self.scheduler.next_deadline()
        if deadline is not None and deadline <= self.now:
            self.tick()
        self.obey()
        self.facts.pass_turns()
        self.read(self.scheduler.look_ahead(self.now))
        self.obey()
        self.facts.check(self.scheduler, self.now)

    def recall_all(self) -> None:
        for recall in self.scheduler.recall_all():
            self.recalled(recall.slot, self.take_back(recall.slot))

    def obey(self) -> None:
        while self.orders:
            self.obey_one(self.orders.pop(0))

    def obey_one(self, order: Command) -> None:
        match order:
            case Run(slot, job):
                self.hand_over(self.workers.get(slot), self.facts.of(job))
            case Queue(slot, jobs):
                for job in jobs:
                    self.queue(self.workers.get(slot), slot, self.facts.of(job))
            case Begin(job):
                job.ahead, job.announced = False, True
            case Recall(slot):
                self.recalled(slot, self.take_back(slot))
            case Look():
                self.looked(order)
            case Unpack(job, outcome):
                self.unpacking.append((self.facts.of(job), outcome))
            case _:
                self.obey_of_workers(order)

    def obey_of_workers(self, order: Command) -> None:
        match order:
            case Start(slot):
                self.workers[slot] = Worker(slot)
            case Retire(slot):
                gone = self.workers.pop(slot, None)  # None: it just failed to start
                must(gone is None or gone.current is None, "retired at work", slot)
            case Kill(slot, job, reason, force):
                worker = self.workers.get(slot)
                if worker is not None and worker.current == job.number:
                    self.execute(worker, reason, force)

    def hand_over(self, worker: Worker | None, fact: Fact) -> None:
        if not fact.announced:
            fact.announced = fact.job.announced = not fact.cancelled
            if fact.cancelled:
                self.cancelled(fact)
                return
        if worker is None or not worker.up:
            return  # its worker was lost this moment, of which the scheduler has heard already
        must(worker.current is None, "two at once", fact)
        worker.current = fact.job.number
        worker.inbox.append(fact.job.number)

    def queue(self, worker: Worker | None, slot: int, fact: Fact) -> None:
        may = worker is not None and worker.current is not None and worker.tasks > 0
        if worker is None or not may or fact.cancelled or self.chance(0.05):
            self.unqueued(slot, fact)
            return
        worker.ahead.append(fact.job.number)
        worker.inbox.append(fact.job.number)

    def execute(self, worker: Worker, reason: Verdict, force: bool) -> None:
        """It is to be killed, which fails now and then, and is in vain if its job has ended."""
        has_ended = any(number == worker.current for number, _ in worker.answers)
        if not has_ended and (force or self.chance(0.8)):
            worker.doom = reason

    # The engine's part ----------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Meanwhile the engine keeps deadlines, if it does."""
        self.now += seconds
        for worker in self.workers.values():
            fact = None if worker.hand is None else self.facts.jobs[worker.hand]
            late = fact and fact.timeout and worker.begun + fact.timeout <= self.now
            if late and self.facts.grace and worker.doom is None and self.chance(0.8):
                worker.doom = Verdict.TIMED_OUT

    def work(self, worker: Worker) -> None:
        """It begins the next, or ends what it has in hand."""
        if worker.doom is not None:
            return
        if worker.hand is not None:
            self.end(worker)
        elif worker.inbox:
            self.begin(worker)

    def begin(self, worker: Worker) -> None:
        worker.hand, worker.begun = worker.inbox.pop(0), self.now
        fact = self.facts.jobs[worker.hand]
        must(not fact.cancelled, "begun after it was cancelled", fact)
        must(fact.where != "done", "begun after it has ended", fact)
        fact.begun = self.now

    def end(self, worker: Worker) -> None:
        verdict, value = Verdict.RETURNED, None
        if self.chance(0.4):
            verdict, value = Verdict.RAISED, self.dice.choice((ValueError, KeyError))()
        packed = verdict is Verdict.RAISED and self.chance(0.7)
        quick = self.now if self.chance(0.7) else worker.begun
        outcome = Outcome(verdict, value, started=quick, ended=self.now, packed=packed)
        worker.answers.append((worker.hand or 0, outcome))
        worker.hand = None

    def take_back(self, slot: int) -> list[int]:
        """What has not begun, while the worker goes on."""
        worker = self.workers.get(slot)
        if worker is None or not worker.ahead:
            return []
        back = set()
        while worker.inbox:
            if worker.doom is None and self.chance(0.3):
                if worker.hand is not None:
                    self.end(worker)
                self.begin(worker)
            else:
                back.add(worker.inbox.pop(0))
        order = [worker.current or 0, *worker.ahead]
        begun = [number for number in order if number not in back]
        if not begun:
            back.remove(order[0])
            worker.inbox.append(order[0])
            begun = order[:1]
        worker.current, worker.ahead = begun[0], begun[1:]
        return [number for number in order if number in back]

    def report(self, worker: Worker) -> None:
        """One thing is reported of a slot at a time."""
        if worker.answers:
            self.answer(worker)
        elif worker.doom is not None or (worker.up and self.chance(self.fragile / 4)):
            self.bury(worker)
        elif not worker.up:
            self.come_up(worker)

    def answer(self, worker: Worker) -> None:
        number, outcome = worker.answers.pop(0)
        must(number == worker.current, "answers for another", number, worker)
        worker.current = worker.ahead.pop(0) if worker.ahead else None
        worker.tasks += 1
        ready = self.queues or self.chance(0.9)
        if not ready:
            self.workers[worker.slot] = Worker(worker.slot)
        self.finished(worker.slot, number, outcome, ready)

    def bury(self, worker: Worker) -> None:
        begun = worker.begun if worker.hand is not None and worker.hand == worker.current else None
        self.workers[worker.slot] = Worker(worker.slot)
        self.lost(worker.slot, Loss(begun, self.now, reason=worker.doom))

    def come_up(self, worker: Worker) -> None:
        if self.chance(self.fragile):
            del self.workers[worker.slot]
            self.unstartable(worker.slot, self.chance(0.02), self.chance(0.5))
        else:
            worker.up = True
            self.ready(worker.slot)

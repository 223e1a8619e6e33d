"""Events for a scheduler: each is written into the facts, then told to it, and its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from facts import MOST_FAILED_STARTS, MOST_LOSSES, PATIENCE, Fact, Facts, must

from ezpq_exec.commands import Command, Look, Start
from ezpq_exec.ending import abort
from ezpq_exec.jobs import Outcome, Verdict
from ezpq_exec.reports import Loss
from ezpq_exec.scheduler import Scheduler

__all__ = ["START_TIMEOUT", "Events"]

START_TIMEOUT = 40.0
SCARCE = 1.0  # seconds, after there was no room for another worker


class Events:
    """A scheduler with its facts, on a clock that the driver moves."""

    def __init__(self, slots: int, kills: bool, grace: float, queues: bool) -> None:
        self.scheduler = Scheduler(
            slots, can_kill=kills, grace=grace, start_timeout=START_TIMEOUT, queues=queues
        )
        self.facts = Facts(slots, kills, grace)
        self.now = 1000.0
        self.orders: list[Command] = []  # still to be obeyed
        self.count = 0

    def tell(self, event: Callable[..., list[Command]], *args: Any) -> None:
        """The scheduler hears of what is written down already."""
        self.count += 1
        self.facts.pass_turns()
        self.read(event(*args, self.now))

    def read(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self.facts.read(command, self.now)
            if isinstance(command, Start):
                self.facts.due[command.slot] = self.now + START_TIMEOUT
        self.orders += commands

    # Callers' -------------------------------------------------------------------------------

    def submitted(self, fact: Fact) -> None:
        self.facts.enter(fact)
        if self.facts.broken:
            self.facts.owe(fact, Verdict.BROKEN)
        self.tell(self.scheduler.submitted, fact.job)

    def rejected(self, fact: Fact) -> None:
        self.facts.enter(fact)
        self.facts.owe(fact, Verdict.RAISED)
        self.tell(self.scheduler.rejected, fact.job, ValueError())

    def cancelled(self, fact: Fact) -> None:
        """Its future was, and the scheduler hears of that, or finds it when it is to run."""
        facts = self.facts
        if fact.where == "runs":
            must(not fact.announced, fact)
            fact.attempts -= 1
            facts.vacate(fact.slot or 0, "idle", self.now, START_TIMEOUT)
            fact.where = "waits"
        if fact.where == "waits":
            facts.owe(fact, Verdict.CANCELLED)
        must(fact.where == "done", "cancelled while it is queued", fact)
        self.tell(self.scheduler.cancelled, fact.job)

    def kill(self, fact: Fact) -> None:
        self.condemn(fact)
        self.tell(self.scheduler.kill, fact.job)

    def condemn(self, fact: Fact) -> None:
        """What a request to kill it means."""
        facts = self.facts
        if fact.where == "undecided" or (fact.where == "waits" and fact.announced):
            facts.owe(fact, Verdict.KILLED)
        elif fact.where == "runs" and fact.condemned is None and facts.kills:
            facts.owed_kills.append((fact, Verdict.KILLED))

    def reprioritized(self, fact: Fact, priority: float) -> None:
        if fact.where == "waits":
            fact.priority = priority
        self.tell(self.scheduler.reprioritized, fact.job, priority)

    def paused(self, wanted: bool) -> None:
        self.facts.paused = wanted and not self.facts.closing
        self.tell(self.scheduler.pause if wanted else self.scheduler.resume)

    def resized(self, count: int) -> None:
        facts = self.facts
        if not facts.closed:
            facts.limit = count
            over = len(facts.workers) + facts.cold - count
            facts.cold += -over if over < 0 else -min(over, facts.cold)
        self.tell(self.scheduler.resize, count)

    def close(self, cancel: bool) -> None:
        facts = self.facts
        facts.closing, facts.paused = True, False
        facts.giving_up |= cancel
        for fact in facts.that("waits") if cancel else []:
            if fact.failure is not None:
                facts.owe(fact, fact.failure)
            elif not fact.announced:
                facts.owe(fact, Verdict.CANCELLED)
        self.tell(lambda now: self.scheduler.close(now, cancel=cancel))

    def abort(self) -> None:
        facts = self.facts
        if not facts.closed:
            facts.closing, facts.paused, facts.giving_up = True, False, True
            for fact in facts.that("waits", "runs", "undecided"):
                if fact.where == "waits" and not fact.announced:
                    facts.owe(fact, Verdict.CANCELLED)
                else:
                    self.condemn(fact)
        self.tell(lambda now: abort(self.scheduler, now))

    # The engine's ---------------------------------------------------------------------------

    def ready(self, slot: int) -> None:
        if slot in self.facts.workers:
            self.facts.workers[slot] = "idle"
            self.facts.due.pop(slot, None)
            self.facts.failed_starts = 0  # what is said of a slot that is gone is ignored
        self.tell(self.scheduler.ready, slot, 1)

    def unstartable(self, slot: int, fatal: bool, scarce: bool) -> None:
        facts = self.facts
        if facts.workers.get(slot) == "starting":
            del facts.workers[slot]
            facts.due.pop(slot, None)
            facts.cold += 1
            if scarce and not fatal and facts.workers:
                if not facts.closed:
                    facts.scarce_until = self.now + SCARCE
            else:
                facts.failed_starts += 1
                enough = fatal or facts.failed_starts >= MOST_FAILED_STARTS
                if enough and not facts.closed:
                    facts.break_down(facts.that("waits"))
        event = partial(self.scheduler.unstartable, scarce=scarce)
        self.tell(event, slot, RuntimeError("no worker"), fatal)

    def finished(self, slot: int, number: int, outcome: Outcome, ready: bool) -> None:
        facts, fact = self.facts, self.facts.jobs[number]
        if facts.at(slot) is fact:
            queued = [each for each in facts.that("ahead") if each.slot == slot]
            if not queued:
                facts.vacate(slot, "idle" if ready else "starting", self.now, START_TIMEOUT)
            if fact.where == "runs":
                self._conclude_finished(fact, outcome)
            else:
                fact.held = None
                facts.leave(fact, Verdict.TIMED_OUT, waited=False)
        self.tell(self.scheduler.finished, slot, number, outcome, ready)

    def _conclude_finished(self, fact: Fact, outcome: Outcome) -> None:
        left = fact.picky and fact.attempts <= fact.retries and not self.facts.giving_up
        raised = outcome.verdict is Verdict.RAISED and fact.condemned is None
        if raised and left and outcome.packed:
            fact.where = "undecided"
        else:
            self.facts.conclude(fact, fact.condemned or outcome.verdict, outcome.value)

    def lost(self, slot: int, loss: Loss) -> None:
        facts = self.facts
        if slot in facts.workers:
            fact = facts.at(slot)
            for queued in [each for each in facts.that("ahead") if each.slot == slot]:
                facts.wait_again(queued)
            facts.vacate(slot, "starting", self.now, START_TIMEOUT)
            if fact is not None and fact.where == "runs":
                self._bereave(fact, loss)
            elif fact is not None:
                fact.held = None
                facts.leave(fact, Verdict.TIMED_OUT, waited=False)
        self.tell(self.scheduler.lost, slot, loss)

    def _bereave(self, fact: Fact, loss: Loss) -> None:
        """Its worker is gone. If nothing of it has run, another may have it."""
        why = loss.reason or fact.condemned
        if loss.begun is None and why is None and not self.facts.broken:
            fact.losses += 1
            if fact.losses < MOST_LOSSES:
                fact.attempts -= 1
                self.facts.wait_again(fact)
                return
        self.facts.conclude(fact, why or Verdict.DIED, None)

    def unpacked(self, fact: Fact, outcome: Outcome) -> None:
        if fact.where == "undecided":
            self.facts.conclude(fact, Verdict.RAISED, outcome.value)
        self.tell(self.scheduler.unpacked, fact.job, outcome)

    def recalled(self, slot: int, numbers: list[int]) -> None:
        for number in numbers:
            fact = self.facts.jobs[number]
            must(fact.slot == slot and fact.where in ("runs", "ahead"), "taken back", fact)
            fact.attempts -= fact.where == "runs"
            self.facts.wait_again(fact)
        self.tell(self.scheduler.recalled, slot, numbers)

    def unqueued(self, slot: int, fact: Fact) -> None:
        self.facts.wait_again(fact)
        self.tell(self.scheduler.unqueued, slot, fact.job)

    # Time's -----------------------------------------------------------------------------------

    def tick(self) -> None:
        """What is due comes in the order in which it was."""
        facts, now = self.facts, self.now
        if facts.scarce_until is not None and facts.scarce_until <= now:
            facts.scarce_until = None
        waits = [f for f in facts.that("waits") if f.limit and not f.attempts and f.limit <= now]
        due: list[tuple[float, Any]] = [(fact.limit or 0.0, fact) for fact in waits]
        due += [(at, slot) for slot, at in facts.due.items() if at <= now and not facts.closed]
        for _, owner in sorted(due, key=lambda each: each[0]):
            if isinstance(owner, int):
                del facts.due[owner]
                facts.break_down(facts.that("waits"))
            elif owner.where == "waits":
                facts.owe(owner, Verdict.EXPIRED)
        for fact in facts.that("runs"):
            if fact.condemned is not None:
                if fact.asked_at + PATIENCE <= now:
                    facts.owed_kills.append((fact, fact.condemned))
            elif fact.timeout and fact.begun and fact.begun + fact.timeout + facts.grace <= now:
                if facts.kills:
                    facts.owed_kills.append((fact, Verdict.TIMED_OUT))
                else:
                    fact.held = fact.slot
                    facts.owe(fact, Verdict.TIMED_OUT)
        self.tell(self.scheduler.tick)

    def looked(self, command: Look) -> None:
        fact = self.facts.of(command.job)
        self.tell(self.scheduler.started, command.slot, command.job, fact.begun)

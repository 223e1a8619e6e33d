"""Tells the scheduler of the jobs that submitting threads handed over by themselves."""

from __future__ import annotations

from .commands import Command
from .engines.base import Engine
from .offers import Handover, Offers
from .scheduler import Scheduler

__all__ = ["Handed"]


class Handed:
    """Tells the scheduler what the records say. On the loop's thread, while no slot is on offer."""

    def __init__(self, engine: Engine, scheduler: Scheduler, offers: Offers) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._offers = offers

    def read(self, now: float) -> list[Command]:
        """Read all the records that there are."""
        records = self._offers.read()
        for slot in {record.taken[0] for record, _ in records if record.taken}:
            self._scheduler.promised(slot, now)
        commands: list[Command] = []
        for record, is_taken_again in records:
            commands += self._read(record, is_taken_again, now)
        return commands

    def _read(self, record: Handover, is_taken_again: bool, now: float) -> list[Command]:
        scheduler, job = self._scheduler, record.job
        record.read = True
        if not record.taken:
            return scheduler.submitted(job, now)
        slot = record.taken[0]
        self._engine.told(slot)
        if is_taken_again:
            line, record.line = record.line, None
            outcome = None if line is None else self._engine.left(line)
            if outcome is None:
                raise AssertionError(f"{job!r} was passed over")
            return scheduler.passed(slot, job, outcome, now)
        commands = scheduler.assigned(slot, job, bool(record.sent), now)
        return [*commands, *self.fetched(record, now)]

    def fetched(self, record: Handover, now: float) -> list[Command]:
        """Tell the scheduler of an answer that a thread has fetched; if it has not yet, do nothing.

        It may be asked for more than once, for a thread that an exception stops cannot say how far it came.
        """
        line = record.line
        if line is None or not (line.over or line.outcome):
            return []
        record.line = None
        outcome = self._engine.left(line)
        if outcome is None:
            return []
        self._offers.naps = True
        return self._scheduler.finished(line.slot, record.job.number, outcome, True, now)

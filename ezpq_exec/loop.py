"""The one thread that owns a scheduler and an engine: it sleeps, hears, asks, obeys, resolves.

Whatever others want of the scheduler they post, and the loop takes it up in order; so the state
has one owner, and an exception that strikes a caller (Ctrl-C) cannot leave it half changed. The
loop runs no user's code: callbacks, and results whose unpickling could run any, go to couriers.
"""

from __future__ import annotations

import decimal
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor
from functools import partial
from typing import Any

from . import wreck
from .commands import (
    Begin,
    Break,
    Close,
    Command,
    Kill,
    Look,
    Queue,
    Recall,
    Retire,
    Run,
    Settle,
    Start,
    Unpack,
)
from .condition import SharedCondition
from .engines.base import Engine
from .excerpt import shown
from .gate import Gate
from .handed import Handed
from .hearing import Hearing
from .jobs import Job, Outcome, Verdict
from .loglistener import LogListener
from .mailbox import Mailbox
from .offers import Offers
from .places import Places
from .question import Question
from .reports import Report
from .resolver import Resolver
from .scheduler import Scheduler
from .settling import HOLD, Settling

__all__ = ["Loop"]

NAP = 0.01  # seconds: the longest sleep while threads fetch answers themselves and leave records
LONGEST_SLEEP = 24 * 3600.0  # seconds, which no system's wait refuses

_log = logging.getLogger("ezpq_exec")


class Loop:
    """Runs an executor. It has no reference to the executor, which can thus be dropped and collected."""

    def __init__(self, engine: Engine, scheduler: Scheduler, places: Places | None = None) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._mail: Mailbox[Job | tuple[Any, ...]] = Mailbox(engine.wake)  # a job is submitted
        self._offers = Offers(engine)
        self._handed = Handed(engine, scheduler, self._offers)
        self._hands_over = engine.capabilities.hands_over
        self._glance = engine.capabilities.glance
        self._later: deque[tuple[Any, ...]] = deque()  # letters for the next turn
        self._resolver = Resolver("ezpq_exec", partial(self.post, scheduler.recounted), places)
        self._settling = Settling(self._resolver.settle)
        self._listener = LogListener("ezpq_exec-logs", engine.hear, self.post)
        self._hearing = Hearing(scheduler, self._listener)
        self._questions: set[Question[Any]] = set()  # to which there is no answer yet
        self._done = False
        self._gate = Gate(places)
        # Set at its end, and awaited before the thread is joined: if Ctrl-C interrupts a `join`,
        # CPython up to 3.12 takes the thread for ended.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ezpq_exec-loop")
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C, while it began: it ends, since nobody will ever have it
            self.post(scheduler.close)
            raise

    # From other threads ---------------------------------------------------------------------

    def post(self, event: Callable[..., list[Command]], *args: Any) -> None:
        """Have `event(*args, now)` happen on the loop, soon."""
        self._mail.post((event, *args))

    def post_next(self, event: Callable[..., list[Command]], *args: Any) -> None:
        """As `post`, from the loop's own thread: for the next turn."""
        self._later.append((event, *args))

    def tell(self, event: Callable[..., list[Command]], *args: Any) -> None:
        """As `post`, for what a user asks for.

        Raises:
            RuntimeError: this process is a fork of the executor's.
        """
        self._gate.check_process()
        self.post(event, *args)

    # The loop's own thread ------------------------------------------------------------------

    def _run(self) -> None:
        # Priorities of all kinds compare, even if the program has its own decimals refuse floats.
        decimal.setcontext(decimal.Context(traps=[]))
        try:
            while not self._done:
                self._turn()
            self._settling.settle()
            self._resolver.close()
            self._read_mail(self._mail.read(), time.monotonic())
            self._listener.close()
        except BaseException as failure:  # a defect of ours: nobody may be left waiting for it
            _log.critical("the loop failed", exc_info=True)
            self._collapse(failure)
        finally:
            self._done = True
            self._ended.set()

    def _turn(self) -> None:
        """Sleep until something happens, and see to all that has."""
        reports: Iterable[Report] = ()
        may_hold = False
        if self._settling.may_grow(time.monotonic()):  # others may be settled together with these
            may_hold = self._settling.may_wait and self._scheduler.backlog.eligible > 0
            reports = self._engine.wait(self._glance if may_hold else 0.0)
        if not reports:
            reports = self._sleep(may_hold)
        self._settling.begin_turn()
        now = time.monotonic()
        # In this order: nobody takes a slot ahead of those letters, and none is about an unread record.
        self._offers.withdraw()
        letters = self._mail.read()
        records = self._offers.are_recorded
        self._offers.naps &= bool(reports or letters)
        commands = self._read_records(now) if records else []
        if letters:
            commands += self._read_mail(letters, now)
        for report in reports:
            commands += self._hearing.hear(report, now)
        self._done = self._hearing.is_over
        deadline = self._scheduler.next_deadline()
        if deadline is not None and deadline <= now:
            commands += self._scheduler.tick(now)
        self._obey(commands)
        self._queue(self._scheduler.look_ahead(now))

    def _sleep(self, may_hold: bool) -> Iterable[Report]:
        """Offer idle slots, resolve futures unless they `may_hold`, and sleep until something happens."""
        timeout = HOLD if may_hold else NAP if self._offers.naps else None
        deadline = self._scheduler.next_deadline()
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic())
            timeout = min(left, LONGEST_SLEEP if timeout is None else timeout)
        if not may_hold:  # else jobs wait, and no slot is idle
            if self._hands_over:
                self._offers.put(self._scheduler.on_offer())
            self._settling.settle()
        while self._later:
            self.post(*self._later.popleft())
        # A thread that found nothing on offer has left a record; it does not ring where nobody sleeps.
        if not self._mail.fall_asleep() or self._offers.are_recorded:
            timeout = 0.0
        reports = self._engine.wait(timeout)
        self._mail.wake_up()
        return reports

    def _read_mail(self, letters: Iterable[Job | tuple[Any, ...]], now: float) -> list[Command]:
        scheduler = self._scheduler
        commands: list[Command] = []
        jobs: list[Job] = []  # those that came one after another
        for letter in letters:
            if type(letter) is Job and scheduler.may_stand_behind(letter):
                jobs.append(letter)
                continue
            event, *args = (scheduler.submitted, letter) if isinstance(letter, Job) else letter
            commands += scheduler.submitted_in_turn(jobs, now)
            jobs.clear()
            for recall in scheduler.recall_all():
                commands += self._recall(recall.slot)
            commands += event(*args, now)
        return commands + scheduler.submitted_in_turn(jobs, now)

    def _read_records(self, now: float) -> list[Command]:
        """Read what submitting threads did by themselves."""
        self._offers.naps = True
        with self._gate.lock:
            pass  # a thread that was at a record has let go of the lock: all records are complete
        commands: list[Command] = []
        for recall in self._scheduler.recall_all():
            commands += self._recall(recall.slot)
        return commands + self._handed.read(now)

    def _obey(self, commands: list[Command]) -> None:
        """Obey these commands, and those that follow from them; futures are resolved later."""
        settle = self._settling.add
        for command in commands:  # which grows meanwhile
            if type(command) is Settle:
                settle(command)
            elif type(command) is Run:
                commands += self._hand_over(command.slot, command.job)
            elif type(command) is Begin:
                if command.job.future is not None:
                    command.job.future.begin()
            else:
                commands += self._do(command)

    def _queue(self, commands: list[Queue]) -> None:
        """Hand jobs over ahead of their turn. From now on, cancelling one takes a letter."""
        if not commands:
            return
        with SharedCondition.lock():
            pass  # a thread that, under it, has seen a job as not queued has cancelled it by now
        shares = {command.slot: command.wanted for command in commands}
        refused = self._engine.queue({slot: share for slot, share in shares.items() if share})
        for slot, jobs in commands:
            if refused or len(shares[slot]) < len(jobs):
                queued = {number for number, _ in shares[slot]}.difference(refused)
                for job in (job for job in jobs if job.number not in queued):
                    self._obey(self._scheduler.unqueued(slot, job, time.monotonic()))

    def _recall(self, slot: int) -> list[Command]:
        return self._scheduler.recalled(slot, self._engine.recall(slot), time.monotonic())

    def _do(self, command: Command) -> list[Command]:
        """Obey what comes more rarely."""
        engine = self._engine
        match command:
            case Kill(slot, job, reason, gentle=True):
                engine.terminate(slot, job.number, reason)
            case Kill(slot, job, reason, force):
                engine.kill(slot, job.number, reason, force=force)
            case Look(slot, job):
                began = engine.begun(slot, job.number)
                return self._scheduler.started(slot, job, began, time.monotonic())
            case Recall(slot):
                return self._recall(slot)
            case Unpack(job, outcome):
                self._resolver.unpack(job, outcome, partial(self.post, self._scheduler.unpacked))
            case Start(slot):
                engine.start(slot)
            case Retire(slot):
                engine.retire(slot)
            case Break(cause):
                self._gate.break_down(cause)
            case Close():
                engine.close()
        return []

    def _hand_over(self, slot: int, job: Job) -> list[Command]:
        future = job.future
        if future is not None and not job.announced and not future.announce():
            return self._scheduler.cancelled(job, time.monotonic())
        if job.options.is_plain:
            self._engine.run(slot, job.number, job.payload, job.options.timeout)
            return []
        try:
            self._engine.run_on_terms(slot, job.number, job.payload, job.options)
        except OSError as failure:  # out of descriptors, or of memory: the job fails with that
            # Without the traceback, whose frames would keep the job's arguments in memory.
            outcome = Outcome(Verdict.RAISED, failure.with_traceback(None))
            return self._scheduler.finished(slot, job.number, outcome, True, time.monotonic())
        return []

    def _collapse(self, failure: BaseException) -> None:
        """Fail every job that is left, answer whoever asks, and let go of every worker."""
        broken = BrokenExecutor(f"the executor failed: {shown(failure)}")
        broken.__cause__ = failure
        with self._gate.lock:  # no thread is in the midst of a submission now
            self._gate.break_down(broken)
        self._mail.wake_up()
        answer = partial(self._answer_all, broken)
        try:
            decided = self._settling.take()
            wreck.settle_all(self, self._scheduler, decided, self._resolver, broken)
            if not self._done:
                wreck.end(self._engine, self._mail, answer)
        except Exception:  # its processes are killed when this process ends, at the latest
            _log.critical("the loop failed, and its engine did not end", exc_info=True)
        self._done = True
        answer()
        self._resolver.close()
        self._listener.close()

    def _answer_all(self, broken: BaseException) -> None:
        """Answer all open questions, as some may be in no list any more."""
        for question in list(self._questions):
            question.put_last(time.monotonic(), broken)

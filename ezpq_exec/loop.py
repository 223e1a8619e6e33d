"""The one thread that owns a scheduler and an engine: it sleeps, hears, asks, obeys, resolves.

Whatever others want of the scheduler they post, and the loop takes it up in order; so the state
has one owner, and an exception that strikes a caller (Ctrl-C) cannot leave it half changed. The
loop runs no user's code: callbacks, and results whose unpickling could run any, go to couriers.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from . import exits, packing
from .commands import Break, Close, Command, Kill, Look, Retire, Run, Settle, Start
from .courier import Courier
from .engines.base import Engine
from .jobs import Job, Outcome, State, Verdict
from .reports import Finished, Lost, Ready, Report, Stopped, Unstartable
from .scheduler import Scheduler

__all__ = ["Loop"]

_log = logging.getLogger("ezpq_exec")


class Loop:
    """Runs an executor. It holds no reference to that, so that it can be dropped."""

    def __init__(
        self,
        engine: Engine,
        scheduler: Scheduler,
        broken: Callable[[BaseException], BaseException],
        name: str = "ezpq_exec",
    ) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._broken = broken
        self._mail: deque[tuple[Any, ...]] = deque()
        # Held while the loop is awake. Whoever posts and can take it has found the loop asleep,
        # and wakes it; so it is woken once, and never for nothing.
        self._awake = threading.Lock()
        self._awake.acquire()
        self._callbacks = Courier(f"{name}-callbacks")
        self._decoder = Courier(f"{name}-results")
        self._done = False
        self._shut = False
        self._gate = threading.Lock()  # guards _shut, and that no job is posted once it is set
        self._process = os.getpid()
        self.broken: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"{name}-loop")
        exits.register(self)
        self._thread.start()

    # From other threads ---------------------------------------------------------------------

    def post(self, event: Callable[..., list[Command]], *args: Any) -> None:
        """Have `event(*args, now)` happen on the loop, soon."""
        self._mail.append((event, *args))
        if self._awake.acquire(blocking=False):
            self._engine.wake()

    def ask(self, question: Callable[[float], tuple[Any, list[Command]]]) -> Any:
        """Have a question put to the scheduler on the loop, and wait for the answer."""
        answer: Future[Any] = Future()

        def put(now: float) -> list[Command]:
            try:
                value, commands = question(now)
            except Exception as error:  # the question's fault, so the asker's to hear of
                answer.set_exception(error)
                return []
            answer.set_result(value)
            return commands

        if threading.current_thread() is self._thread:  # from a finalizer, say: nobody can wait
            raise RuntimeError("the executor's own thread cannot wait for itself")
        self.post(put)
        if self._done:  # the scheduler is nobody's now, and can be asked here
            self._thread.join()
            self._read_mail(time.monotonic())
        return answer.result()

    def check_open(self) -> None:
        """Raise RuntimeError unless jobs are taken."""
        if os.getpid() != self._process:
            raise RuntimeError(
                f"this executor is process {self._process}'s, of which this one, {os.getpid()}, "
                "is a fork without its threads: make another executor here"
            )
        if self.broken is not None:
            raise type(self.broken)(*self.broken.args) from self.broken.__cause__
        if exits.has_begun():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def submit(self, job: Job, error: BaseException | None) -> None:
        """A job, with its future, is the loop's from now on. `error`: why it cannot be run.

        Raises:
            RuntimeError: as `check_open`.
        """
        with self._gate:
            self.check_open()
            if error is None:
                self.post(self._scheduler.submitted, job)
            else:
                self.post(self._scheduler.rejected, job, error)

    def finish(self, cancel: bool = False) -> None:
        """Take no more jobs; `cancel` those that wait, finish the others, then end."""
        if os.getpid() != self._process:
            return  # a fork, which has none of the threads that it would take
        with self._gate:
            if not self._shut or cancel:
                self._shut = True
                self.post(functools.partial(self._scheduler.close, cancel=cancel))

    def cancelled(self, job: Job) -> None:
        """The future of `job` has just been cancelled."""
        self.post(self._scheduler.cancelled, job)

    def kill(self, job: Job) -> bool:
        """Kill `job` if it runs; whether it will be."""

        def question(now: float) -> tuple[bool, list[Command]]:
            commands = self._scheduler.kill(job, now)
            return job.state is State.RUNNING and job.condemned is not None, commands

        return bool(self.ask(question))

    def reprioritize(self, job: Job, priority: Any) -> bool:
        """Change the priority of `job` if it waits; whether it did."""

        def question(now: float) -> tuple[bool, list[Command]]:
            commands = self._scheduler.reprioritized(job, priority, now)
            return job.state is State.WAITING, commands

        return bool(self.ask(question))

    def begun(self, job: Job) -> float | None:
        """When a running job began, as far as the engine can tell."""
        slot = job.slot
        return None if slot is None else self._engine.begun(slot, job.number)

    def call_back(self, callback: Callable[[], object]) -> None:
        """Have a user's callback called."""
        self._callbacks.send(callback)

    def join(self) -> None:
        """Wait for the end of all its threads but the caller's own."""
        for thread in (self._thread, self._decoder, self._callbacks):
            if thread is not threading.current_thread():
                thread.join()

    # The loop's own thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._done:
                self._turn()
        except BaseException as failure:  # a defect of ours: nobody may be left waiting for it
            _log.critical("the loop failed", exc_info=True)
            self._collapse(failure)
        self._decoder.close()
        self._decoder.join()
        self._read_mail(time.monotonic())
        self._callbacks.close()

    def _turn(self) -> None:
        """Sleep until something happens, and see to all that has."""
        timeout = None
        deadline = self._scheduler.next_deadline()
        if deadline is not None:
            timeout = max(0.0, deadline - time.monotonic())
        self._awake.release()
        if self._mail:
            timeout = 0.0
        reports = self._engine.wait(timeout)
        self._awake.acquire(blocking=False)
        now = time.monotonic()
        commands: list[Command] = []
        for report in reports:
            commands += self._hear(report, now)
        commands += self._read_mail(now)
        deadline = self._scheduler.next_deadline()
        if deadline is not None and deadline <= now:
            commands += self._scheduler.tick(now)
        self._obey(commands)

    def _read_mail(self, now: float) -> list[Command]:
        commands: list[Command] = []
        while self._mail:
            event, *args = self._mail.popleft()
            commands += event(*args, now)
        return commands

    def _hear(self, report: Report, now: float) -> list[Command]:
        scheduler = self._scheduler
        match report:
            case Finished(slot, number, outcome, ready):
                return scheduler.finished(slot, number, outcome, ready, now)
            case Ready(slot, pid):
                return scheduler.ready(slot, pid, now)
            case Lost(slot, loss):
                return scheduler.lost(slot, loss, now)
            case Unstartable(slot, cause, fatal):
                return scheduler.unstartable(slot, self._broken(cause), fatal, now)
            case Stopped():
                self._done = True
        return []

    def _obey(self, commands: list[Command]) -> None:
        """Obey, and whatever follows from that; futures last, when the slots are busy again."""
        settles: list[Settle] = []
        engine = self._engine
        at = 0
        while at < len(commands):
            command = commands[at]
            at += 1
            match command:
                case Run(slot, job):
                    commands += self._hand_over(slot, job)
                case Settle():
                    settles.append(command)
                case Kill(slot, job, reason, force):
                    engine.kill(slot, job.number, reason, force=force)
                case Look(slot, job):
                    began = engine.begun(slot, job.number)
                    now = time.monotonic()
                    commands += self._scheduler.started(slot, job, began, now)
                case Start(slot):
                    engine.start(slot)
                case Retire(slot):
                    engine.retire(slot)
                case Break(cause):
                    self.broken = cause
                case Close():
                    engine.close()
        for settle in settles:
            self._settle(settle.job, settle.outcome)

    def _hand_over(self, slot: int, job: Job) -> list[Command]:
        future = job.future
        if future is not None and not job.announced:
            job.announced = True
            if not future.set_running_or_notify_cancel():
                return self._scheduler.cancelled(job, time.monotonic())
        self._engine.run(slot, job.number, job.payload, job.options.timeout)
        return []

    # Resolving ------------------------------------------------------------------------------

    def _settle(self, job: Job, outcome: Outcome) -> None:
        """Resolve the future of `job`; on a courier, if a user's code may run by that."""
        if not outcome.packed or packing.is_quick(outcome.value):
            self._resolve(job, outcome)
        else:
            self._decoder.send(functools.partial(self._resolve, job, outcome))

    def _resolve(self, job: Job, outcome: Outcome) -> None:
        future = job.future
        if future is None:
            raise AssertionError(f"{job!r} is resolved twice")
        job.future = job.payload = None
        value, verdict = outcome.value, outcome.verdict
        if outcome.packed:
            value, verdict = self._unpack(outcome)
        job.processed = time.monotonic()
        if verdict is Verdict.CANCELLED and not job.announced:
            Future.cancel(future)
        if not job.announced and not future.set_running_or_notify_cancel():
            verdict = Verdict.CANCELLED  # its owner was quicker than what befell it
        if verdict is not outcome.verdict:
            job.verdict = verdict
            self.post(self._scheduler.recounted, outcome.verdict, verdict)
        if verdict is Verdict.RETURNED:
            future.set_result(value)
        elif verdict is not Verdict.CANCELLED:
            future.set_exception(value)

    @staticmethod
    def _unpack(outcome: Outcome) -> tuple[Any, Verdict]:
        try:
            if outcome.verdict is Verdict.RETURNED:
                return packing.unpack(outcome.value), Verdict.RETURNED
            return packing.unpack_error(outcome.value), outcome.verdict
        except BaseException as failure:  # a user's class, which may raise what it likes
            return failure, Verdict.RAISED

    def _collapse(self, failure: BaseException) -> None:
        """Fail every job that is left, and let go of every worker."""
        self.broken = BrokenExecutor(f"the executor failed: {failure!r}")
        self.broken.__cause__ = failure
        self._scheduler.broken = self.broken
        self._engine.close(kill=True)
        while not any(isinstance(report, Stopped) for report in self._engine.wait(None)):
            pass
        self._done = True
        self._read_mail(time.monotonic())  # jobs that came meanwhile; they join those below
        for job in self._scheduler.unresolved():
            job.state = State.DONE
            if job.future is not None:
                self._resolve(job, Outcome(Verdict.BROKEN, self.broken))

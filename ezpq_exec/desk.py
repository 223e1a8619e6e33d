"""What executors and futures ask of the loop: each question is put on the loop's own thread."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from . import exits
from .commands import Command
from .engines.base import Engine
from .jobs import Job, JobInfo, State, describe
from .loop import Loop
from .offers import Handover
from .scheduler import Scheduler

__all__ = ["Desk"]


class Desk(Loop):
    """A loop, with what any thread may ask of it. The interpreter does not exit before it ends."""

    def __init__(self, engine: Engine, scheduler: Scheduler) -> None:
        super().__init__(engine, scheduler)
        exits.register(self)

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
        self.tell(put)
        if self._done:  # the scheduler is nobody's now, and can be asked here
            self._thread.join()
            self._read_mail(time.monotonic())
        return answer.result()

    def check_open(self) -> None:
        """Raise RuntimeError unless jobs are taken."""
        self._gate.check()

    def submit(self, job: Job, error: BaseException | None) -> None:
        """A job, with its future, is the loop's from now on. `error`: why it cannot be run.

        Raises:
            RuntimeError: as `check_open`.
        """
        with self._gate.lock:
            self._gate.check()
            if error is not None:
                self.post(self._scheduler.rejected, job, error)
            elif self._mail.is_unread or job.lane is not None or not self._offers.are_there:
                self.post(self._submitted, job)
            else:
                self._hand_over_here(job)

    def _hand_over_here(self, job: Job) -> None:
        """Give the job to an idle slot on this thread. The loop reads the letter behind the gate."""
        handover = Handover(job)
        self._mail.post_quietly(self._offered, handover)
        self._offers.take(handover)
        # Where the worker has the job, its answer will wake the loop; unless that came already,
        # or there is a deadline to be kept.
        if not handover.sent or self._offers.is_waited_for or job.options.timeout is not None:
            self._mail.wake()

    def finish(self, cancel: bool = False) -> None:
        """Take no more jobs; `cancel` those that wait, finish the others, then end."""
        if not self._gate.is_ours:
            return  # a fork, which has none of the threads that it would take
        with self._gate.lock:
            if not self._gate.is_shut or cancel:
                self._gate.is_shut = True
                self.post(functools.partial(self._scheduler.close, cancel=cancel))

    def cancelled(self, job: Job) -> None:
        """The future of `job` has just been cancelled."""
        self.post(self._scheduler.cancelled, job)

    def hold(self, job: Job) -> bool:
        """Have `job` back from a worker's queue, and keep it from there; False if it has begun."""

        def question(_: float) -> tuple[bool, list[Command]]:
            job.held = True
            return not job.ahead and job.state is State.WAITING, []

        return bool(self.ask(question))

    def kill(self, job: Job) -> bool:
        """Kill `job` if it runs; whether it will be."""

        def question(now: float) -> tuple[bool, list[Command]]:
            commands = self._scheduler.kill(job, now)
            doomed = job.condemned is not None and not (job.state is State.DONE and not commands)
            return doomed, commands

        return bool(self.ask(question))

    def reprioritize(self, job: Job, priority: Any) -> bool:
        """Change the priority of `job` if it waits; whether it did."""

        def question(now: float) -> tuple[bool, list[Command]]:
            commands = self._scheduler.reprioritized(job, priority, now)
            return job.state is State.WAITING, commands

        return bool(self.ask(question))

    def describe(self, job: Job) -> JobInfo:
        """What is known of a job that is not settled."""

        def question(now: float) -> tuple[JobInfo, list[Command]]:
            started = None
            if job.state is State.RUNNING and job.slot is not None:
                started = self._engine.begun(job.slot, job.number)
            return describe(job, started=started, wall=time.time() - now, exception=None), []

        if threading.current_thread() is self._thread:
            return question(time.monotonic())[0]
        info: JobInfo = self.ask(question)
        return info

    def call_back(self, callback: Callable[[], object]) -> None:
        """Have a user's callback called."""
        self._resolver.call_back(callback)

    def join(self) -> None:
        """Wait for the end of all its threads but the caller's own."""
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._resolver.join()

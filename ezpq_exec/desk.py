"""What executors and futures ask of the loop, from any thread; the loop's thread answers."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from . import ending, exits
from .commands import Command
from .condition import SharedCondition, is_held
from .engines.base import Engine
from .engines.linelock import LINES
from .errors import UnsupportedOption
from .jobs import Job, JobInfo, State, describe
from .places import Places
from .question import NotYetError, Question
from .scheduler import Scheduler
from .submitting import Submitting
from .wallclock import offset
from .whereabouts import Inquiry, JobStack, collect

__all__ = ["Desk"]

T = TypeVar("T")


class Desk(Submitting):
    """A loop, with what any thread may ask of it. The interpreter does not exit before it ends."""

    def __init__(self, engine: Engine, scheduler: Scheduler, places: Places | None = None) -> None:
        super().__init__(engine, scheduler, places)
        exits.register(self)

    def ask(
        self, question: Callable[[float], tuple[T, list[Command]]], *, changes: bool = False
    ) -> T:
        """Have a question put to the scheduler on the loop, and wait for the answer."""
        if not self.may_wait:
            raise RuntimeError(
                "this cannot be asked from here: a finalizer or the like runs in the midst of the "
                "executor's own work, which cannot wait for itself"
            )
        self._gate.check_process()
        asked = Question(question, self.post_next, changes)
        self._questions.add(asked)
        try:
            if not self._done:
                self.post(asked.put)
            if self._done:  # the loop no longer uses the scheduler, so it can be asked here
                self._ended.wait()
                self._thread.join()
                end = self._gate.broken or RuntimeError("the executor has ended")
                asked.put_last(time.monotonic(), end)
            return asked.answer()
        finally:
            self._questions.discard(asked)

    @property
    def may_wait(self) -> bool:
        """Whether this thread may wait for the loop: not where the loop waits for this thread.

        For a finalizer, or a signal's handler, runs in the midst of anything: on the loop's own
        thread, or while a lock is held that the loop will need.
        """
        return not (
            threading.current_thread() is self._thread
            or any(map(is_held, (self._gate.lock, LINES)))
            or SharedCondition.is_held()
            or (self._gate.places is not None and self._gate.places.are_held)
            or self._resolver.decodes_here
        )

    def may_wait_for_place(self) -> bool:
        """Whether this thread may wait for a job to end: not a callback, nor a job that runs here."""
        is_courier = self._resolver.runs_here or self._listener.runs_here
        return self.may_wait and not is_courier and not self._engine.works_here()

    def check_process(self) -> None:
        """Raise RuntimeError in a fork of the process that the executor was made in."""
        self._gate.check_process()

    def finish(self, cancel: bool = False) -> None:
        """Take no more jobs; `cancel` those that wait, finish the others, then end."""
        if not self._gate.is_ours:
            return  # a fork, which has none of the threads that it would take
        with self._gate.lock:
            if not self._gate.is_shut or cancel:
                self._gate.shut()
                self._post_last(functools.partial(self._scheduler.close, cancel=cancel))

    def abort(self, gentle: bool = False) -> bool:
        """Take no more, cancel those that wait, kill those that run; whether that can be done.

        `gentle`: by SIGTERM, as far as that goes.
        """
        if not self._gate.is_ours:
            return False
        with self._gate.lock:
            self._gate.shut()
            self._post_last(functools.partial(self._abort, gentle=gentle))
        return self._engine.capabilities.kills

    def _abort(self, now: float, *, gentle: bool) -> list[Command]:
        commands = ending.abort(self._scheduler, now, gentle=gentle)
        if self._scheduler.is_ahead:  # begun, as the answer of the job before it is about to say
            self.post_next(functools.partial(self._abort, gentle=gentle))
        return commands

    def cancelled(self, job: Job) -> None:
        """The future of `job` has just been cancelled."""
        if not self._gate.is_ours:
            return  # a fork's copy of it, of which the job knows nothing
        if self._gate.places is not None:
            self._gate.places.give_back(job.number)
        self.post(self._scheduler.cancelled, job)

    def hold(self, job: Job) -> bool:
        """Take `job` back from a worker's queue, for good; False if it has begun."""

        def question(_: float) -> tuple[bool, list[Command]]:
            job.held = True
            return not job.ahead and job.state is State.WAITING, []

        return self.may_wait and self.ask(question)

    def kill(self, job: Job) -> bool:
        """Kill `job` if it runs; whether it will be."""

        def question(now: float) -> tuple[bool, list[Command]]:
            with SharedCondition.lock():  # whoever fetches the answer resolves under it
                if job.future is not None and job.future.done():
                    return False, []
                if job.stands_ahead and self._engine.capabilities.kills:
                    raise NotYetError  # begun, as the answer of the job before it is about to say
                commands = self._scheduler.kill(job, now)
            doomed = job.condemned is not None and not (job.state is State.DONE and not commands)
            return doomed, commands

        if not self.may_wait:
            self.tell(self._give_up, job)
            # What was told to run may be in a letter that the loop has not read.
            runs = job.announced or job.state is not State.WAITING
            return job.state is not State.DONE and (not runs or self._engine.capabilities.kills)
        return self.ask(question, changes=True)

    def _give_up(self, job: Job, now: float) -> list[Command]:
        if job.stands_ahead:  # begun, or as good as that
            if self._engine.capabilities.kills:
                self.post_next(self._give_up, job)
            return []
        return ending.give_up(self._scheduler, job, now)

    def reprioritize(self, job: Job, priority: Any) -> bool:
        """Change the priority of `job` if it waits; whether it did."""

        def question(now: float) -> tuple[bool, list[Command]]:
            commands = self._scheduler.reprioritized(job, priority, now)
            return job.state is State.WAITING and not job.ahead, commands

        return self.ask(question, changes=True)

    def describe(self, job: Job) -> JobInfo:
        """What is known of a job that is not settled."""
        if not self.may_wait:
            return self._describe(job)
        return self.ask(lambda _: (self._describe(job), []))

    def _describe(self, job: Job) -> JobInfo:
        started = None
        if job.state is State.RUNNING and job.slot is not None:
            started = self._engine.begun(job.slot, job.number)
        is_told = job.future is None or job.future.done()
        return describe(job, started=started, wall=offset(), exception=None, is_told=is_told)

    def whereabouts(self, timeout: float) -> list[JobStack]:
        """Where each running job is; without a stack where none comes within `timeout` seconds.

        Raises:
            UnsupportedOption: the engine cannot tell.
        """
        if not self._engine.capabilities.dumps:
            raise UnsupportedOption(
                "dump() needs an engine that can say where a running job is, which this one cannot"
            )

        def question(_: float) -> tuple[list[Inquiry], list[Command]]:
            jobs = sorted(self._scheduler.running_jobs(), key=lambda job: job.number)
            inquiries = [Inquiry(self._describe(job)) for job in jobs]
            for job, inquiry in zip(jobs, inquiries, strict=True):
                if job.slot is None:
                    raise AssertionError(f"{job!r} runs nowhere")
                self._engine.ask_stack(job.slot, job.number, inquiry.tell)
            return inquiries, []

        return collect(self.ask(question), timeout)

    def call_back(self, callback: Callable[[], object]) -> None:
        """Have a user's callback called; here, in a fork, which has no thread for it."""
        if not self._gate.is_ours:
            callback()
            return
        self._resolver.call_back(callback)

    def join(self) -> None:
        """Wait for the end of all its threads; do not wait where one of them may wait for this thread."""
        if self._gate.is_ours and self.may_wait and not self._listener.runs_here:
            self._ended.wait()
            self._thread.join()
            self._resolver.join()
            self._listener.join()

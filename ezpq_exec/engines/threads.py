"""The engine for threads of this process. Its capabilities say that it cannot kill."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from types import FrameType
from typing import Any, NamedTuple

from ..contexts import own_copy
from ..inbox import Inbox
from ..jobs import Call, Outcome
from ..reports import Finished, Ready, Report, Stopped, Unstartable
from .base import Capabilities, Engine, Setup
from .direct import run_here

__all__ = ["ThreadEngine"]


class _Task(NamedTuple):
    number: int
    payload: tuple[Call, Context]


class _Worker:
    """One slot's thread, with the jobs that it was given."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self.begun = (0, 0.0)  # the number of the job that was begun last, and when
        self.context: Context | None = None  # what the initializer has set, if anything


class _Gone(NamedTuple):
    """This worker's thread is about to end."""

    worker: _Worker


class ThreadEngine(Engine):
    """Runs jobs in threads. A job that has timed out is settled, but keeps its slot until it returns."""

    capabilities = Capabilities(hands_over=True, dumps=True, relays=True, own_context=True)

    def __init__(self) -> None:
        self._setup = Setup()
        self._workers: dict[int, _Worker] = {}
        self._closing = False
        self._inbox: Inbox[Report | _Gone] = Inbox()
        self._threads: dict[_Worker, threading.Thread] = {}

    def open(self, setup: Setup) -> None:
        """See `Engine.open`."""
        self._setup = setup

    def pack(self, call: Call, packed_function: Any = None) -> tuple[Call, Context]:
        """See `Engine.pack`. The job is to find the context of whoever submits it."""
        return super().pack(call), copy_context()

    def start(self, slot: int) -> None:
        """See `Engine.start`."""
        worker = _Worker(slot)
        thread = threading.Thread(
            target=_work, args=(worker, self._setup, self._inbox), name=f"ezpq_exec-{slot}"
        )
        try:
            thread.start()
        except RuntimeError as failure:  # no more threads to be had
            self._inbox.put(Unstartable(slot, failure))
            return
        self._workers[slot] = worker
        self._threads[worker] = thread

    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        """See `Engine.run`."""
        worker = self._workers[slot]
        worker.begun = (0, 0.0)  # the same number may come again, for another attempt
        worker.tasks.put(_Task(number, payload))

    def hand_over(
        self,
        slot: int,
        number: int,
        payload: Any,
        timeout: float | None,
        sent: list[object],
        soon: bool,
    ) -> None:
        """See `Engine.hand_over`."""
        sent.extend(map(self._workers[slot].tasks.put, (_Task(number, payload),)))

    def retire(self, slot: int) -> None:
        """See `Engine.retire`."""
        worker = self._workers.pop(slot, None)
        if worker is not None:
            worker.tasks.put(None)

    def works_here(self) -> bool:
        """See `Engine.works_here`."""
        return getattr(_here, "inbox", None) is self._inbox

    def begun(self, slot: int, number: int) -> float | None:
        """See `Engine.begun`."""
        worker = self._workers.get(slot)
        if worker is None:
            return None
        last, when = worker.begun
        return when if last == number else None

    def ask_stack(self, slot: int, number: int, tell: Callable[[str | None], object]) -> None:
        """See `Engine.ask_stack`. A thread's frames are there to be read; it is not disturbed."""
        worker = self._workers.get(slot)
        stack = None
        if worker is not None:
            ident = self._threads[worker].ident or 0
            frames = sys._current_frames()  # noqa: SLF001 - documented, in spite of its name
            text = _stack(ident, frames.get(ident))
            # They are this job's frames only if no other job has begun meanwhile.
            stack = text if worker.begun[0] == number else None
        tell(stack)

    def wait(self, timeout: float | None) -> list[Report]:
        """See `Engine.wait`."""
        reports: list[Report] = []
        for item in self._inbox.take(timeout):
            if isinstance(item, _Gone):
                self._bury(item.worker, reports)
            else:
                reports.append(item)
        return reports

    def wake(self) -> None:
        """See `Engine.wake`."""
        self._inbox.ring()

    def close(self, *, kill: bool = False) -> None:
        """See `Engine.close`. Threads that run a job are left to finish it."""
        self._closing = True
        for slot in list(self._workers):
            self.retire(slot)
        if not self._threads:
            self._inbox.put(Stopped())

    def _bury(self, worker: _Worker, reports: list[Report]) -> None:
        self._threads.pop(worker).join()
        if self._workers.get(worker.slot) is worker:
            del self._workers[worker.slot]
        if self._closing and not self._threads:
            reports.append(Stopped())


def _stack(ident: int, frame: FrameType | None) -> str | None:
    """A thread's frames without our own, as `faulthandler` shows them; None between two jobs."""
    lines: list[str] = []
    while frame is not None and frame.f_code is not run_here.__code__:
        code = frame.f_code
        lines.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_name}')
        frame = frame.f_back
    if frame is None:
        return None  # it is between jobs
    if not lines:
        lines.append("  (in a function that is not written in Python)")
    return "\n".join([f"Thread 0x{ident:016x} (most recent call first):", *lines])


_here = threading.local()  # its `inbox`: of the engine whose jobs this thread runs


def _work(worker: _Worker, setup: Setup, inbox: Inbox[Report | _Gone]) -> None:
    _here.inbox = inbox
    try:
        setup.initialize()
        if setup.initializer is not None:
            worker.context = copy_context() or None
    except BaseException as error:  # the user's code, whose failure is news
        inbox.put(Unstartable(worker.slot, error, fatal=True))
    else:
        inbox.put(Ready(worker.slot, os.getpid()))
        while (task := worker.tasks.get()) is not None:
            inbox.put(Finished(worker.slot, task.number, _execute(worker, task)))
            del task  # while waiting, keep nothing alive
    inbox.put(_Gone(worker))


def _execute(worker: _Worker, task: _Task) -> Outcome:
    (function, args, kwargs), context = task.payload
    context = own_copy(context, worker.context)
    started = time.monotonic()
    worker.begun = (task.number, started)
    return run_here(started, context.run, (function, *args), kwargs)

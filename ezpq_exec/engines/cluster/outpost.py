"""On a Dask worker, for one executor elsewhere: a local engine, and the thread that drives it.

It carries out the executor's orders as a loop in the same process would, and sends the engine's
reports to the executor. It decides only one thing: if the executor has not been heard of for as
long as its *lease* allows, or the connection is gone, it kills everything. So the executor can rely
on it.

An order may cross a report on the way. So each worker process has a number, its *life*, which is
sent with its `Ready` and comes back with each job. A job for a life that is over is ignored. And
each report carries the *term* of the order that started its slot, since the slot may have moved
meanwhile.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ... import packing
from ...jobs import Verdict
from ...reports import (
    Broken,
    Capacity,
    Finished,
    FinishedInTurn,
    Lost,
    Ready,
    Report,
    Said,
    Stopped,
    Strayed,
    Unstartable,
)
from ..base import Engine, Setup, end
from .stream import Message

__all__ = ["Outpost"]

_log = logging.getLogger("ezpq_exec")
# Not sent to the executor: these come only at the end, or never, since nothing is queued here.
_NO_NEWS = (Stopped, Strayed, Capacity, Broken, FinishedInTurn)

LONGEST_WAIT = 24 * 3600.0  # seconds; an engine's `wait` need not bear more
NOTICE = 0.002  # seconds after which a job's start is reported, unless it has ended by then


class Outpost:
    """Runs jobs here for an executor elsewhere.

    Args:
        engine: a new one.
        setup: for `Engine.open`.
        lease: seconds for which it goes on without a word of the executor's.
        say: sends a message to the executor; from any thread.
        over: called when nothing is left, on the outpost's thread.
    """

    def __init__(
        self,
        engine: Engine,
        setup: Setup,
        lease: float,
        say: Callable[..., object],
        over: Callable[[], object],
    ) -> None:
        self._engine = engine
        self._setup = setup
        self._lease = lease
        self._say = say
        self._over = over
        self._orders: deque[Message] = deque()
        self._terms: dict[int, int] = {}  # by slot
        self._lives: dict[int, int] = {}  # by slot, while its worker is ready
        self._numbers: dict[int, int] = {}  # by slot: the job in hand
        # By slot: the last job that has ended, until the executor is known to have heard that.
        self._ended: dict[int, int] = {}
        self._unnoticed: deque[tuple[float, int, int]] = deque()  # due, slot, number
        self._counter = itertools.count(1)
        self._lease_ends = time.monotonic() + lease
        self._closing = False
        self.begun: frozenset[int] | None = None  # once it was given up: see `_had_begun`
        self._thread = threading.Thread(target=self._work, name="ezpq_exec-outpost", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._engine.open(self._setup)
        self._thread.start()

    # From other threads ---------------------------------------------------------------------

    def heard(self, echo: float) -> None:
        """The executor has heard what was said here at `echo` (monotonic seconds), or later."""
        self._lease_ends = max(self._lease_ends, echo + self._lease)

    def obey(self, orders: list[Message]) -> None:
        """These came from the executor."""
        self._orders.extend(orders)
        self._engine.wake()

    def give_up(self) -> None:
        """The executor is lost, or this host is: kill everything."""
        self.obey([("give_up",)])

    def join(self) -> None:
        """Wait until nothing is left."""
        self._thread.join()

    # Its own thread -------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._serve()
        except BaseException:  # a defect of ours: whoever waits for this must not wait for ever
            _log.critical("an outpost failed", exc_info=True)
            end(self._engine)
        finally:
            self._over()

    def _serve(self) -> None:
        is_over = False
        while not is_over:
            for report in self._engine.wait(self._patience()):
                is_over |= isinstance(report, Stopped)
                self._pass_on(report)
            while self._orders and not is_over:
                name, *args = self._orders.popleft()
                getattr(self, f"_{name}")(*args)
            now = time.monotonic()
            while self._unnoticed and self._unnoticed[0][0] <= now:
                self._notice(*self._unnoticed.popleft())
            if now >= self._lease_ends and not self._closing:
                self._give_up()
        self._say("over", self.begun or frozenset())

    def _patience(self) -> float | None:
        if self._closing:
            return None
        until = self._lease_ends
        if self._unnoticed:
            until = min(until, self._unnoticed[0][0])
        return min(max(0.0, until - time.monotonic()), LONGEST_WAIT)

    def _pass_on(self, report: Report) -> None:
        if isinstance(report, _NO_NEWS) or self._closing:
            return
        slot = report.slot
        life = 0
        if isinstance(report, Ready):
            life = self._lives[slot] = next(self._counter)
        elif isinstance(report, Finished):
            self._numbers.pop(slot, None)
            self._ended[slot] = report.number
            if not report.ready:
                self._lives.pop(slot, None)
        elif not isinstance(report, Said):
            number = self._numbers.pop(slot, None)
            if number is not None and _has_run(report):
                self._ended[slot] = number
            self._lives.pop(slot, None)
            report = _carriable(report)
        if slot in self._terms:
            self._say("report", report, self._terms[slot], life)

    def _notice(self, due: float, slot: int, number: int) -> None:
        """Say when a job began that is still in hand; if it has not yet, look again later."""
        if self._numbers.get(slot) != number:
            return
        at = self._engine.begun(slot, number)
        if at is not None:
            self._say("begun", slot, number, at)
        else:
            self._unnoticed.append((time.monotonic() + 0.1, slot, number))

    # Orders ---------------------------------------------------------------------------------

    def _start(self, slot: int, term: int) -> None:
        if self._closing:
            return  # the order has crossed the news of the end
        self._terms[slot] = term
        self._engine.start(slot)

    def _run(
        self,
        slot: int,
        life: int,
        number: int,
        payload: Any,
        timeout: float | None,
        memory_limit: int | None,
    ) -> None:
        if self._lives.get(slot) != life:
            return  # its worker is gone, as the executor will have heard by now
        self._ended.pop(slot, None)
        self._numbers[slot] = number
        self._unnoticed.append((time.monotonic() + NOTICE, slot, number))
        if memory_limit is None:
            self._engine.run(slot, number, payload, timeout)
        else:
            self._engine.run_within(slot, number, payload, timeout, memory_limit)

    def _kill(self, slot: int, number: int, reason: str, force: bool) -> None:
        self._engine.kill(slot, number, Verdict[reason], force=force)

    def _terminate(self, slot: int, number: int, reason: str) -> None:
        self._engine.terminate(slot, number, Verdict[reason])

    def _retire(self, slot: int) -> None:
        for of_slot in (self._terms, self._lives, self._numbers, self._ended):
            of_slot.pop(slot, None)
        self._engine.retire(slot)

    def _hear(self, slot: int, life: int, wanted: bool) -> None:
        if self._lives.get(slot) == life:
            self._engine.hear(slot, wanted)

    def _ask_stack(self, slot: int, number: int, token: int) -> None:
        self._engine.ask_stack(slot, number, lambda stack: self._say("stack", token, stack))

    def _pulse(self, asked: float) -> None:
        self._say("pulse", asked, time.monotonic())

    def _close(self, kill: bool) -> None:
        if not self._closing:
            self._closing = True
            self._engine.close(kill=kill)

    def _give_up(self) -> None:
        if self._closing:
            return
        self.begun = self._had_begun()
        self._close(kill=True)

    def _had_begun(self) -> frozenset[int]:
        """The jobs in hand that have begun, and those that have ended if that may not have been heard."""
        in_hand = self._numbers
        begun = {n for slot, n in in_hand.items() if self._engine.begun(slot, n) is not None}
        # If a job that has ended is in hand again, the executor has heard of its end.
        return frozenset(begun | (set(self._ended.values()) - set(in_hand.values())))


def _has_run(report: Lost | Unstartable) -> bool:
    """Whether the job that was in hand must not go to another worker."""
    return isinstance(report, Lost) and (
        report.loss.begun is not None or report.loss.reason is not None
    )


def _carriable(report: Lost | Unstartable) -> Report:
    """The report without exceptions that may not pickle, or not unpickle."""
    if isinstance(report, Lost):
        return Lost(report.slot, replace(report.loss, cause=None))
    return report._replace(cause=packing.pack_error(report.cause))  # type: ignore[arg-type]

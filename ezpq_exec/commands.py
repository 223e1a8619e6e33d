"""What the scheduler tells the loop to do. Plain values: a test reads them, the loop obeys them."""

from __future__ import annotations

from typing import NamedTuple, Union

from .jobs import Job, Outcome, Verdict

__all__ = [
    "Begin",
    "Break",
    "Close",
    "Command",
    "Kill",
    "Look",
    "Queue",
    "Recall",
    "Retire",
    "Run",
    "Settle",
    "Start",
    "Unpack",
]


class Run(NamedTuple):
    """Hand `job` to the worker of `slot`, which is idle."""

    slot: int
    job: Job


class Queue(NamedTuple):
    """Have the worker of `slot`, which is busy, begin `job` by itself when it gets to it."""

    slot: int
    job: Job


class Recall(NamedTuple):
    """Take back what the worker of `slot` has not begun; say so by `Scheduler.recalled`."""

    slot: int


class Begin(NamedTuple):
    """A job that was queued has begun, as far as can be known: its predecessor has ended."""

    job: Job


class Kill(NamedTuple):
    """End the worker of `slot`, and its whole tree, while it has `job`; then report it lost.

    `force`: an earlier attempt, by the engine itself or on command, has come to nothing.
    """

    slot: int
    job: Job
    reason: Verdict
    force: bool = False


class Look(NamedTuple):
    """Say, through `Scheduler.started`, when the worker of `slot` began `job`."""

    slot: int
    job: Job


class Settle(NamedTuple):
    """Resolve the future of `job`, once and for all."""

    job: Job
    outcome: Outcome


class Unpack(NamedTuple):
    """Unpack what `job` raised, and say so by `Scheduler.unpacked`; it may be worth a retry."""

    job: Job
    outcome: Outcome


class Start(NamedTuple):
    """Get a worker for `slot`, and report it ready."""

    slot: int


class Retire(NamedTuple):
    """Let the idle (or starting) worker of `slot` go; the slot is no more."""

    slot: int


class Break(NamedTuple):
    """No worker can be started: refuse further jobs."""

    cause: BaseException


class Close(NamedTuple):
    """Nothing waits, nothing runs, and nothing more will come."""


Command = Union[Run, Queue, Recall, Begin, Kill, Look, Settle, Unpack, Start, Retire, Break, Close]

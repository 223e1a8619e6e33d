"""What the scheduler tells the loop to do. Plain values: a test reads them, the loop obeys them."""

from __future__ import annotations

from typing import Any, NamedTuple, Union

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
    """Queue `jobs` at the worker of `slot`, which is busy; it begins each after those before it."""

    slot: int
    jobs: list[Job]

    @property
    def wanted(self) -> list[tuple[int, Any]]:
        """Number and payload of each job whose future nobody has cancelled."""
        return [(job.number, job.payload) for job in self.jobs if not job.called_off]


class Recall(NamedTuple):
    """Take back what the worker of `slot` has not begun, and call `Scheduler.recalled`."""

    slot: int


class Begin(NamedTuple):
    """A queued job counts as begun, since the job before it has ended: tell its future."""

    job: Job


class Kill(NamedTuple):
    """End the worker of `slot`, and its whole tree, while it has `job`; then report it lost.

    `force`: an earlier try, by the engine itself or on command, has failed.
    `gentle`: ask it to end first, by SIGTERM, and kill it if it does not.
    """

    slot: int
    job: Job
    reason: Verdict
    force: bool = False
    gentle: bool = False


class Look(NamedTuple):
    """Find out when the worker of `slot` began `job`, and call `Scheduler.started`."""

    slot: int
    job: Job


class Settle(NamedTuple):
    """Resolve the future of `job`, once and for all."""

    job: Job
    outcome: Outcome


class Unpack(NamedTuple):
    """Unpack what `job` raised, and call `Scheduler.unpacked`: it decides whether to try again."""

    job: Job
    outcome: Outcome


class Start(NamedTuple):
    """Start a worker for `slot`, and report when it is ready."""

    slot: int


class Retire(NamedTuple):
    """Let the idle (or starting) worker of `slot` go. `Start` asks for another one if needed."""

    slot: int


class Break(NamedTuple):
    """No worker can be started: refuse further jobs."""

    cause: BaseException


class Close(NamedTuple):
    """Nothing waits, nothing runs, and nothing more will come."""


Command = Union[Run, Queue, Recall, Begin, Kill, Look, Settle, Unpack, Start, Retire, Break, Close]

"""What an engine tells the loop. Plain values, like the commands, in the other direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Union

from .jobs import Outcome, Output, Verdict

__all__ = [
    "Broken",
    "Capacity",
    "Finished",
    "FinishedInTurn",
    "Loss",
    "Lost",
    "Ready",
    "Report",
    "Said",
    "Stopped",
    "Strayed",
    "Unstartable",
]


@dataclass(frozen=True)
class Loss:
    """How a worker ended, as far as it is known.

    Attributes:
        begun: when it began the job that it had in hand (monotonic seconds); None if it never did,
            so that the job may safely be given to another.
        ended: when it was gone, with all that it had started (monotonic seconds).
        reason: why it was killed, if it was: the verdict on its job. None: it died by itself.
        signal: the name of the signal that ended it.
        stack: where its job was, as text.
        survivors: what could not be killed.
        peak: the bytes that it had, with all that it had started, when that was too much.
        output: what its job wrote, if that was captured.
        cause: the error that tells of it, if the worker was lent, sent garbage, or its host is gone.
        keeper_lost: its keeper is gone, too, and has told nothing.
    """

    begun: float | None
    ended: float
    pid: int | None = None
    exitcode: int | None = None
    signal: str | None = None
    reason: Verdict | None = None
    stack: str | None = None
    survivors: tuple[int, ...] = ()
    peak: int | None = None
    cause: BaseException | None = None
    output: Output | None = None
    keeper_lost: bool = False


class Ready(NamedTuple):
    """The worker of `slot` waits for a job. `host`: where it is, if that is elsewhere."""

    slot: int
    pid: int | None
    host: str | None = None


class Finished(NamedTuple):
    """Job `number` ended by itself. `ready`: its worker can have the next; else `Ready` will follow."""

    slot: int
    number: int
    outcome: Outcome
    ready: bool = True


class FinishedInTurn(NamedTuple):
    """The jobs of these numbers ended by themselves, each queued behind the one before it."""

    slot: int
    numbers: list[int]
    outcomes: list[Outcome]


class Lost(NamedTuple):
    """The worker of `slot` is gone, and the engine is already at its successor."""

    slot: int
    loss: Loss


class Strayed(NamedTuple):
    """Job `number` is lost, and the others that `slot` was given are not.

    If `loss` is None, no job is lost, but at least one can be taken back by `recall`, and must be.
    """

    slot: int
    number: int
    loss: Loss | None


class Unstartable(NamedTuple):
    """No worker came up for `slot`. `fatal`: no other will, either. `died`: one began, and died."""

    slot: int
    cause: BaseException
    fatal: bool = False
    died: bool = False


class Said(NamedTuple):
    """The worker of `slot` logged something, or was warned, in job `number`; 0: in none.

    `kind`: which of the two. `body`: the bytes that the worker sent. The scheduler is not told.
    """

    slot: int
    number: int
    pid: int | None
    kind: int
    body: bytes | bytearray | memoryview


class Stopped(NamedTuple):
    """The engine has let go of everything."""


class Capacity(NamedTuple):
    """So many jobs can run at once from now on (of engines whose capabilities say `follows`)."""

    slots: int


class Broken(NamedTuple):
    """No worker can be started any more, in any slot."""

    cause: BaseException


Report = Union[
    Ready,
    Finished,
    FinishedInTurn,
    Lost,
    Strayed,
    Unstartable,
    Said,
    Capacity,
    Broken,
    Stopped,
]

"""What a keeper and the parent tell each other. Each is one message on a socket of their own."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MESSAGE_SIZE", "Born", "Died", "Dumped", "Order", "Unborn"]

MESSAGE_SIZE = 128 * 1024  # bytes; a stack dump is the longest part


class Born(NamedTuple):
    """To the parent, with the worker's stream, both ends of its queue, and its parcels."""

    pid: int
    keeper: int


class Died(NamedTuple):
    """To the parent: the worker is gone, with all that it started."""

    pid: int
    exitcode: int | None
    reason: str | None
    ticket: int  # of the job that it began last
    begun: float
    ended: float
    stack: str | None
    survivors: tuple[int, ...]
    peak: int | None = None  # bytes, where that was too much


class Unborn(NamedTuple):
    """To the parent: no worker could be started, and this is why; the keeper ends."""

    number: int  # the error's


class Dumped(NamedTuple):
    """To the parent: where the job of that ticket was; None if it did not run, or could not tell."""

    ticket: int
    stack: str | None


class Order(NamedTuple):
    """To the keeper.

    `what`: "kill" the worker for the job of `ticket`, for `reason`; "terminate" it, the same by
    SIGTERM and only then by force; "dump" its stacks while it runs that job, and let it go on;
    "renew" it, which is leaving, with the next; "fork" the next, where it was killed for a reason;
    "retire" with it; "end" it and yourself.
    """

    what: str
    ticket: int = 0
    reason: str = ""

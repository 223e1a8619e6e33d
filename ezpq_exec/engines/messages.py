"""What a keeper and the parent tell each other. Each is one message on a socket of their own."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["MESSAGE_SIZE", "Born", "Died", "Dumped", "Order", "Unborn", "Word"]

MESSAGE_SIZE = 128 * 1024  # bytes; a stack dump is the longest part

Word = Literal["kill", "terminate", "dump", "renew", "fork", "retire", "end"]  # see `Order`


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
    """To the parent: the stacks of the job of that ticket; None if it did not run or has none."""

    ticket: int
    stack: str | None


class Order(NamedTuple):
    """To the keeper.

    `what` is one of these:

    - "kill": kill the worker, if it still runs the job of `ticket`, for `reason`;
    - "terminate": the same, but by SIGTERM first;
    - "dump": take its stacks, if it runs that job;
    - "renew": the worker is leaving: wait for that, and start the next;
    - "fork": start the next, after one that was killed for a job;
    - "retire": wait until the worker has left, and end;
    - "end": kill the worker, and end.

    The first two, and "renew", are for the worker of `pid`. It may have ended by itself meanwhile,
    and the next one be up, which they do not concern. With each comes whether the program has sent
    anything `by_value`, which the next worker is to be ready for.
    """

    what: Word
    ticket: int = 0
    reason: str = ""
    pid: int | None = None
    by_value: bool = False

"""The kinds of jobs in a soak: how often each comes, on what terms, and how it must end."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

import work

from ezpq_exec import JobKilled, JobTimeout, MemoryLimitExceeded, RemoteError, WorkerDied

__all__ = ["Draft", "draw"]

MEBIBYTE = 1 << 20


@dataclass
class Draft:
    """A job to be submitted.

    Attributes:
        returns: its result, unless it must raise.
        raises: what it must raise.
        runs: the fewest and the most times that it may begin.
    """

    kind: str
    function: Callable[..., Any]
    extra: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    returns: Any = None
    raises: type[BaseException] | None = None
    runs: tuple[int, int] = (1, 1)

    def complaint(self, value: Any, error: BaseException | None) -> str | None:
        """What is wrong with that outcome, if anything is."""
        if self.raises is not None:
            right = isinstance(error, self.raises)
        else:
            right = error is None and value == self.returns
        return None if right else f"{self.kind}: {error!r}, {str(value)[:80]!r}"


def _ending(
    kind: str, function: Callable[..., Any], error: type[BaseException], *extra: Any
) -> Any:
    return lambda _: Draft(kind, function, extra, raises=error)


def _timed_out(dice: random.Random) -> Draft:
    options = {"timeout": dice.uniform(0.02, 0.3)}
    return Draft("timed out", work.endless, (), options, raises=JobTimeout, runs=(0, 1))


def _stopped(_: random.Random) -> Draft:
    options = {"timeout": 1.0}
    return Draft("stopped", work.signalled, ("STOP",), options, raises=JobTimeout, runs=(0, 1))


def _limited(dice: random.Random) -> Draft:
    options = {"memory_limit": dice.randint(1000, 4000) * MEBIBYTE}
    return Draft("limited", work.takes, (dice.randrange(1, 30) * MEBIBYTE,), options)


def _glutton(dice: random.Random) -> Draft:
    options = {"memory_limit": dice.randint(60, 120) * MEBIBYTE}
    error = MemoryLimitExceeded  # which it may be from the start, for what others left
    return Draft("glutton", work.grows, (), options, raises=error, runs=(0, 1))


def _payload(dice: random.Random) -> Draft:
    largest = 64 * MEBIBYTE if dice.random() < 0.02 else 200_000
    payload = bytes(dice.randrange(largest + 1))
    return Draft("payload", work.echoes, (payload,), returns=payload)


def _lane(dice: random.Random) -> Draft:
    lane = dice.randrange(5)
    return Draft("lane", work.in_lane, (lane,), {"lane": lane})


def _unpicklable(_: random.Random) -> Draft:
    lock = threading.Lock()
    error = TypeError
    return Draft("bad argument", work.ignores_argument, (lock,), raises=error, runs=(0, 0))


def _flaky(_: random.Random) -> Draft:
    return Draft("retried", work.flaky, (), {"retries": 2}, runs=(3, 3))


KINDS: dict[str, tuple[float, Callable[[random.Random], Draft]]] = {
    "good": (60, lambda _: Draft("good", work.good)),
    "slow": (4, lambda _: Draft("slow", work.slow)),
    "roomy": (8, lambda _: Draft("roomy", work.good, (), {"timeout": 600.0})),
    "moved": (6, lambda _: Draft("moved", work.good)),
    "cancelled": (6, lambda _: Draft("cancelled", work.good)),
    "lane": (6, _lane),
    "payload": (3, _payload),
    "raising": (5, _ending("raising", work.raising, LookupError)),
    "timed out": (1, _timed_out),
    "stopped": (0.2, _stopped),
    "limited": (2, _limited),
    "glutton": (0.3, _glutton),
    "killed": (1, _ending("killed", work.announced, JobKilled)),
    "exits": (1, _ending("exits", work.exits, WorkerDied)),
    "crashes": (0.5, _ending("crashes", work.crashes, WorkerDied)),
    "shot": (0.5, _ending("shot", work.signalled, WorkerDied, "KILL")),
    "bad argument": (1, _unpicklable),
    "bad result": (1, _ending("bad result", work.returns_lock, TypeError)),
    "bad exception": (1, _ending("bad exception", work.raises_strangely, RemoteError)),
    "children": (0.5, lambda _: Draft("children", work.leaves_children)),
    "threads": (1, lambda _: Draft("threads", work.leaves_threads)),
    "prints": (1, lambda _: Draft("prints", work.prints_in_c)),
    "retried": (0.5, _flaky),
}

CANCELLED = (CancelledError, (0, 0))  # how a job ends whose `cancel()` said True


def draw(dice: random.Random, number: int) -> Draft:
    """A job of a random kind, with a random priority now and then."""
    kind = dice.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
    draft = KINDS[kind][1](dice)
    if draft.raises is None and draft.returns is None:
        draft.returns = number
    if dice.random() < 0.3:
        draft.options["priority"] = dice.randrange(200)
    return draft

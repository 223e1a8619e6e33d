"""A lane: jobs that run one after another, in the order of their ranks, beside all other lanes.

At most one job of a lane can be next, its `head`, and that alone stands in the backlog's own heap.
While a job of the lane is under way, its `holder`, there is no head. All others are `behind`, in a
heap of the lane's own. There, too, a job that failed before its turn came leaves a `Mishap` in its
place, so that its successor finds it however the others are moved about.

A lane lives as long as one of its jobs holds it, so it is gone with the last of them.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from .heap import Heap
from .jobs import Job, Verdict

__all__ = ["Lane", "Mishap", "mishap_of"]

# A cancelled job leaves the lane as if it had never been there. If no worker can be started, all
# jobs fail for that reason, and not because of their predecessors.
_NO_MISHAP = (Verdict.RETURNED, Verdict.CANCELLED, Verdict.BROKEN)


class Mishap(NamedTuple):
    """A job that did not succeed. `first`: if it was skipped, the failed job that caused it."""

    number: int
    name: str
    verdict: Verdict
    first: Mishap | None = None


def mishap_of(job: Job) -> Mishap | None:
    """What a job that has ended means for its successor; None if nothing."""
    if job.verdict is None or job.verdict in _NO_MISHAP:
        return None
    return Mishap(job.number, job.name, job.verdict)


class Lane:
    """The jobs of one key. Two lanes are equal if their keys are: so they can be looked up.

    The key's own code runs only where lanes are compared, which the scheduler never does.
    """

    __slots__ = ("__weakref__", "_hash", "behind", "changed", "head", "holder", "key", "mishap")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self._hash = hash(key)
        self.head: Job | None = None  # who is next; in the backlog's own heap
        self.holder: Job | None = None  # the job that runs, or that is still to be settled
        self.behind: Heap[Job | Mishap] | None = None
        self.mishap: Mishap | None = None  # the last job, if it did not succeed
        self.changed = False  # `Backlog.advance` has to find out who is next

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Lane):
            return NotImplemented
        return self.key is other.key or bool(self.key == other.key)

    @property
    def is_empty(self) -> bool:
        """Whether any job that comes now is next at once."""
        nobody = self.head is None and self.holder is None and not self.behind
        return nobody and self.mishap is None

"""What waits: jobs by priority, lower first, those of equal priority in order of submission.

At most one job of each lane is *eligible*: only that one is in the heap from which `pop` takes.
When an event has changed a lane, `advance` finds out which job of it is eligible now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .heap import Entry, Heap
from .jobs import Job, Verdict
from .lanes import Lane, Mishap, mishap_of
from .ranks import Ranks

__all__ = ["Backlog"]


def _precedes(one: Job, other: Job) -> bool:
    if one.priority == other.priority:
        return one.number < other.number
    return bool(one.priority < other.priority)


class Backlog:
    """The waiting jobs. A job is in it exactly while its `place` is set."""

    def __init__(self) -> None:
        self._ranks: Ranks[Job] = Ranks()
        self._behind = 0  # jobs that are not the first of their lane
        self._crowded: dict[int, Lane] = {}  # lanes in which something is behind, by identity
        self.changed: list[Lane] = []  # what `advance` is to look at

    def __len__(self) -> int:
        return len(self._ranks) + self._behind

    def __iter__(self) -> Iterator[Job]:
        """The waiting jobs, in no order."""
        yield from self._ranks
        for lane in self._crowded.values():
            yield from (item for item in lane.behind or () if isinstance(item, Job))

    @property
    def eligible(self) -> int:
        """How many could run now, if there were slots for all."""
        return self._ranks.living

    def push(self, job: Job) -> None:
        """File `job` by its priority; among equals by its number, whenever it comes."""
        lane = job.lane
        if lane is None:
            job.place = self._ranks.push(job.priority, job.number, job)
            return
        if lane.holder is job:  # it ran, or was about to, and waits again
            lane.holder = None
        if lane.is_empty:
            self._put_first(lane, job)
        else:
            self._put_behind(lane, job)
            head = lane.head
            if lane.holder is None and (head is None or not _precedes(head, job)):
                self._change(lane)

    def push_in_turn(self, jobs: list[Job]) -> None:
        """As `push`, for jobs that have no lane."""
        entries: list[Entry] = []
        for job in jobs:
            job.place = entry = [job.priority, job.number, job]
            entries.append(entry)
        self._ranks.extend(entries)

    def pop(self) -> Job:
        """Take out the job that is to run next, which then holds its lane; IndexError if none can."""
        job = self._ranks.pop()
        job.place = None
        if job.lane is not None:
            job.lane.head = None
            job.lane.holder = job
        return job

    def take(self, count: int, wanted: Callable[[Job], bool]) -> list[Job]:
        """Take out those that are to run next, at most `count`, up to the first not `wanted`.

        None of those that are wanted has a lane.
        """
        jobs = self._ranks.take(count, wanted)
        for job in jobs:
            job.place = None
        return jobs

    def peek(self) -> Job | None:
        """The job that is to run next, left where it is; None if none can."""
        entry = self._ranks.peek()
        return None if entry is None else entry[-1]

    def discard(self, job: Job) -> bool:
        """Take out `job`; False if it is not here."""
        if job.place is None:
            return False
        lane = job.lane
        if lane is None:
            self._ranks.remove(job.place)
        elif lane.head is job:
            self._ranks.remove(job.place)
            lane.head = None
            self._change(lane)
        else:
            if lane.behind is None:
                raise AssertionError(f"{job!r} is nowhere in its lane")
            lane.behind.remove(job.place)
            self._behind -= 1
            self._forget_if_empty(lane)
        job.place = None
        return True

    def reprioritize(self, job: Job, priority: Any) -> bool:
        """File `job` under another priority; False, and nothing changed, if it is not here."""
        if not self.discard(job):
            return False
        job.priority = priority
        self.push(job)
        return True

    # Lanes ----------------------------------------------------------------------------------

    def leave(self, job: Job) -> None:
        """`job` is settled, and in no slot: the next job of its lane may run."""
        lane, job.lane = job.lane, None
        if lane is None:
            raise AssertionError(f"{job!r} has no lane")
        mishap = mishap_of(job)
        if lane.holder is job:
            lane.holder = None
            if mishap is not None or job.verdict is Verdict.RETURNED:
                lane.mishap = mishap
        elif mishap is not None:
            self._behind_of(lane).push(job.priority, job.number, mishap)
        self._change(lane)

    def advance(self) -> list[tuple[Job, Mishap]]:
        """In each lane that was changed, find who is next; returns the jobs to skip, each with the cause."""
        skipped: list[tuple[Job, Mishap]] = []
        while self.changed:
            lane = self.changed.pop()
            lane.changed = False
            while lane.holder is None and self._is_next_behind(lane):
                self._take_turn(lane, skipped)
            self._forget_if_empty(lane)
        return skipped

    @staticmethod
    def _is_next_behind(lane: Lane) -> bool:
        entry = None if lane.behind is None else lane.behind.peek()
        head = lane.head
        return entry is not None and (head is None or [head.priority, head.number] > entry[:2])

    def _take_turn(self, lane: Lane, skipped: list[tuple[Job, Mishap]]) -> None:
        """Take the first of those behind: it is skipped, or becomes the head in place of another."""
        behind = self._behind_of(lane)
        item = behind.pop()
        if (head := lane.head) is not None and head.place is not None:
            self._ranks.remove(head.place)
            lane.head = None
            self._put_behind(lane, head)
        if isinstance(item, Mishap):
            lane.mishap = item
            return
        self._behind -= 1
        before = lane.mishap
        if before is None or not item.options.stop_on_lane_error:
            self._put_first(lane, item)
            return
        first = before.first or before
        lane.mishap = Mishap(item.number, item.name, Verdict.SKIPPED, first)
        item.place = item.lane = None
        skipped.append((item, before))

    def _put_first(self, lane: Lane, job: Job) -> None:
        lane.head = job
        job.place = self._ranks.push(job.priority, job.number, job)

    def _put_behind(self, lane: Lane, job: Job) -> None:
        job.place = self._behind_of(lane).push(job.priority, job.number, job)
        self._behind += 1

    def _behind_of(self, lane: Lane) -> Heap[Job | Mishap]:
        if lane.behind is None:
            lane.behind = Heap()
        self._crowded[id(lane)] = lane
        return lane.behind

    def _forget_if_empty(self, lane: Lane) -> None:
        if not lane.behind:
            self._crowded.pop(id(lane), None)

    def _change(self, lane: Lane) -> None:
        if not lane.changed:
            lane.changed = True
            self.changed.append(lane)

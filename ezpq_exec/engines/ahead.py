"""Jobs that stand at a worker behind its present one: how they set out, and how they are had back.

They go to the worker's queue, those of one turn of the loop as one bundle. So a job may be in one of
four places: here, not on its way yet; in the queue; in the worker's hands, not begun; or begun.
"""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from . import bundles
from .channel import SMALL, Kind, header
from .jobqueue import JobQueue
from .link import Link

if sys.platform != "linux":
    raise ImportError("keepers need Linux")

__all__ = ["Ahead", "recall"]

Place = tuple[int, int]  # a job in a worker's hands or behind that: its ticket and number


class Ahead:
    """Jobs of one engine that are not on their way yet.

    Attributes:
        filled: the queues that have some.
    """

    def __init__(self) -> None:
        self.filled: dict[Link, JobQueue] = {}

    def put(
        self, link: Link | None, jobs: Sequence[tuple[int, Any]], tickets: Iterator[int]
    ) -> list[int]:
        """Have jobs stand behind those of `link`, if there is one; the numbers of those that cannot."""
        # What is done for each job by itself is done in C: it is all that a job costs here.
        numbers, calls = zip(*jobs, strict=True)
        queue = None if link is None else link.queue
        if link is None or queue is None or not link.may_queue:
            return list(numbers)
        if max(map(len, calls)) > SMALL:
            small = [job for job in jobs if len(job[1]) <= SMALL]
            refused = self.put(link, small, tickets) if small else []
            return refused + [number for number, call in jobs if len(call) > SMALL]
        given = list(itertools.islice(tickets, len(calls)))
        count = queue.put(given, calls)
        if count:
            self.filled[link] = queue
            link.ahead.extend(zip(given, numbers[:count]))  # noqa: B905 - there may be fewer
        return list(numbers[count:])

    def send(self) -> None:
        """Send what was put in. What there is no room for is sent when the worker has made some.

        Then it has jobs to read, whose answers end the next wait. If it has none, the system has
        no memory for the message, and there is no other way to that worker.
        """
        for link, queue in list(self.filled.items()):
            if link.queue is not queue or queue.flush():
                del self.filled[link]
            elif queue.holds(link.ticket):
                del self.filled[link]
                link.kill_keeper()


def recall(link: Link) -> list[int]:
    """Take back what the worker has not begun; the numbers of those jobs.

    The worker goes on taking meanwhile, and may take a job from between two that are taken back.
    So if the first is among these and another is not, then that one comes first now.
    """
    declined, link.declined = link.declined, []
    queue = link.queue
    if queue is None or not link.ahead:
        return declined
    calls, orders = queue.recall()
    for message in orders:  # which are for the worker, whatever it runs
        if not queue.send(message):
            link.kill_keeper()  # unless it is gone, it would wait for that in vain
    places: list[Place] = [(link.ticket, link.number), *link.ahead]
    left = [place for place in places if place[0] not in calls]
    if not left:  # the first was only slow to be taken
        call = calls[link.ticket]
        if not queue.send(header(link.ticket, Kind.CALL, call) + call):
            link.kill_keeper()  # the same
        left = places[:1]
    elif len(left) > 1 and left[-1][0] > link.page.claimed:
        last = max(bundles.call_back(link.page, left[-1][0]), left[0][0])
        left = [place for place in left if place[0] <= last]
    (link.ticket, link.number), *rest = left
    link.ahead = deque(rest)
    return declined + [number for ticket, number in places if (ticket, number) not in left]

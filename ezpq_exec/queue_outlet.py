"""Waiting for a queue's jobs, and collecting them."""

from __future__ import annotations

import functools
import time
from typing import Any

from . import progress
from .queue_clerk import Clerk
from .queue_counts import QueueCounts
from .queue_record import seconds
from .queue_settings import check_poll

__all__ = ["QueueOutlet"]


class QueueOutlet(QueueCounts):
    """The part of a `Queue` that gives the jobs back. Every wait sleeps until something happens."""

    _clerk: Clerk

    def wait(
        self,
        poll: float | None = 0,
        timeout: float | None = 0,
        show_progress: bool = False,
        *,
        n: int = 0,
    ) -> int:
        """Wait until jobs are completed: all of them, or `n` more.

        Args:
            poll: has no effect.
            timeout: seconds to wait at most; 0: no limit.
            show_progress: show a progress bar, by tqdm.
            n: how many jobs; 0, as a number beyond those that there are: all.

        Returns:
            How many of them are not completed yet: 0, unless the time was over.

        Raises:
            RuntimeError: this is the queue's own callback, which would wait for itself.
        """
        check_poll(poll)
        self._clerk.check_thread("wait")
        end = _end(timeout)
        pending = self._ledger.pending
        goal = self._ledger.completed + n if 0 < n < pending else None
        if not show_progress:
            self._ledger.wait_until(functools.partial(self._reached, goal), _left(end))
            return self._missing(goal)
        return self._wait_with_bar(goal, end)

    def waitpb(self, poll: float | None = 0, timeout: float | None = 0) -> int:
        """As `wait`, with a progress bar."""
        return self.wait(poll, timeout, show_progress=True)

    def _wait_with_bar(self, goal: int | None, end: float | None) -> int:
        missing = self._missing(goal)
        bar = progress.bar(missing)
        behind = False  # what it shows, for it is drawn only so often
        try:
            while missing:
                left = _left(end)
                nap = progress.INTERVAL if left is None else min(left, progress.INTERVAL)
                fewer = functools.partial(self._moved, goal, missing)
                moved = self._ledger.wait_until(fewer, nap if behind else left)
                if moved:
                    before, missing = missing, self._missing(goal)
                    bar.update(max(0, before - missing))
                elif not behind or left == 0:
                    break
                else:
                    bar.refresh()
                behind = moved
        finally:
            bar.close()
        return missing

    def _missing(self, goal: int | None) -> int:
        pending = self._ledger.pending
        return pending if goal is None else min(pending, max(0, goal - self._ledger.completed))

    def _reached(self, goal: int | None) -> bool:
        return self._missing(goal) == 0

    def _moved(self, goal: int | None, missing: int) -> bool:
        return self._missing(goal) < missing

    def wait_worker(self, poll: float | None = 0, timeout: float | None = 0) -> bool:
        """Wait until a worker is free and no job waits.

        Args:
            poll: has no effect.
            timeout: seconds to wait at most; 0: no limit.

        Returns:
            False if the time was over first.
        """
        check_poll(poll)
        self._clerk.check_thread("wait_worker")
        return self._ledger.wait_until(lambda: not self._ledger.is_busy(), _left(_end(timeout)))

    def get(
        self, wait: bool = False, poll: float | None = 0, timeout: float | None = 0
    ) -> dict[str, Any] | None:
        """Take out the completed job that comes first by priority, then by submission.

        Args:
            wait: wait for one, if none is there and one may come.
            poll: has no effect, but that of `wait` if it is more than 0.
            timeout: seconds to wait at most; 0: no limit. More than 0 has the effect of `wait`.

        Returns:
            The job's dict, or None if there is none.

        Raises:
            RuntimeError: this queue drops its completed jobs (`auto_remove`).
        """
        check_poll(poll)
        if self._settings.auto_remove:
            raise RuntimeError("get has nothing to give: this queue has auto_remove=True")
        end = _end(timeout)
        job = self._ledger.pop()
        if job is not None or not (wait or end is not None or (poll or 0) > 0):
            return job
        self._clerk.check_thread("get")
        while self._ledger.wait_until(self._has_news, _left(end)):
            job = self._ledger.pop()
            if job is not None or self.size() == 0:
                return job
        return None

    def _has_news(self) -> bool:
        return self.has_completed() or not self._ledger.pending

    def collect(self, n: int = 0) -> list[dict[str, Any]]:
        """Take out `n` completed jobs, or all (0), in the order of `get`. It does not wait."""
        jobs: list[dict[str, Any]] = []
        limit = n if n > 0 else self.size(completed=True)
        while len(jobs) < limit:
            job = self._ledger.pop()
            if job is None:
                break
            jobs.append(job)
        return jobs


def _end(timeout: object) -> float | None:
    limit = seconds("timeout", timeout)
    return time.monotonic() + limit if limit > 0 else None


def _left(end: float | None) -> float | None:
    return None if end is None else max(0.0, end - time.monotonic())

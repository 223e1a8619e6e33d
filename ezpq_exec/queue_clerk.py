"""What goes on in a queue when nobody calls it: jobs begin, and are seen to once they have ended.

A job's beginning is noted on the thread that starts it. All that may take time or run users' code
(the callback, the row in the log, the traceback on stderr) is done on the executor's own thread for
callbacks, one job after another; only then is the job a completed one. Nothing here keeps the queue
or its executor alive.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from .errors import LaneStopped
from .future import JobFuture
from .joblog import JobLog
from .jobs import Verdict
from .ledger import Ledger
from .queue_record import Record

__all__ = ["Clerk", "log"]

log = logging.getLogger("ezpq_exec")

_NEVER_RAN = (Verdict.CANCELLED, Verdict.SKIPPED)


class Clerk:
    """Keeps a queue's ledger.

    Args:
        ledger: the queue's.
        callback: what the queue calls with each job's dict.
        job_log: where each job's row goes.
        when_idle: is called when the last job that waited or ran is through.
    """

    def __init__(
        self,
        ledger: Ledger,
        callback: Callable[[dict[str, Any]], Any] | None,
        job_log: JobLog | None,
        when_idle: Callable[[], object],
    ) -> None:
        self._ledger = ledger
        self._callback = callback
        self._log = job_log
        self._when_idle = when_idle
        self._lanes: dict[Any, _LaneEnd] = {}
        self._lock = threading.RLock()  # guards _lanes
        self._lost = 0  # rows that could not be written, since one last was
        self.running = False  # whether the queue dispatches
        self.calling: int | None = None  # the thread that is in the user's callback

    def follow(self, record: Record, future: JobFuture[Any]) -> None:
        """Hear of what becomes of a job."""
        record.future = future
        if record.lane is not None:
            with self._lock:
                self._lanes.setdefault(record.lane, _LaneEnd()).jobs += 1
        future.add_start_listener(functools.partial(self._begun, record))
        self.await_end(record, future)

    def await_end(self, record: Record, future: JobFuture[Any]) -> None:
        """Have `_see_to` called at its end. Calling this twice makes no difference."""
        record.future = future
        future.add_listener(functools.partial(self._done, record))

    def abandon(self) -> None:
        """The queue is gone, or the program ends: cancel the jobs that a stopped queue held back."""
        if not self.running:
            for record in self._ledger.waiting_records():
                if record.future is not None:
                    record.future.cancel()

    def is_calling(self) -> bool:
        """Whether the calling thread is in the user's callback."""
        return self.calling == threading.get_ident()

    def check_thread(self, method: str) -> None:
        """Raise RuntimeError in the callback: all that `method` could wait for waits for the callback."""
        if self.is_calling():
            raise RuntimeError(f"{method} in the queue's own callback would wait for ever")

    # On the threads that start jobs and resolve futures ----------------------------------------

    def _begun(self, record: Record, future: Any) -> None:
        self._ledger.begin(record)
        if log.isEnabledFor(logging.DEBUG):
            future.owner.call_back(functools.partial(log.debug, "Started job '%s'", record.id))

    def _done(self, record: Record, future: Any) -> None:
        future.owner.call_back(functools.partial(self._see_to, record, future))

    # On the thread for callbacks ---------------------------------------------------------------

    def _see_to(self, record: Record, future: JobFuture[Any]) -> None:
        if record.processed is not None:  # it was asked for twice, because of a Ctrl-C
            return
        if record.lane is not None and not future.cancelled():
            self._explain(record, future.exception())
        verdict = None
        try:
            verdict = record.close(future)
            if verdict is Verdict.RAISED and not record.suppress_errors:
                _print(f"Job '{record.id}':\n{record.exception}")
            if self._callback is not None and verdict not in _NEVER_RAN:
                record.callback = self._call(self._callback, record.to_dict())
            record.stamp()
            if self._log is not None:
                self._write(self._log, record)
        finally:
            if record.processed is None:
                record.stamp()
            log.debug("Completed job: '%s'", record.id)
            self._ledger.complete(record, future.priority)
        if record.lane is not None:
            failed = verdict is not Verdict.RETURNED and verdict not in _NEVER_RAN
            self._leave_lane(record, failed=failed)
        if not self._ledger.pending:
            self._when_idle()

    def _call(self, callback: Callable[[dict[str, Any]], Any], job: dict[str, Any]) -> Any:
        self.calling = threading.get_ident()
        try:
            return callback(job)
        except BaseException as error:  # the user's code, which may raise what it likes
            try:
                return "".join((str(error),))
            except BaseException:
                return type(error).__name__
        finally:
            self.calling = None

    def _write(self, job_log: JobLog, record: Record) -> None:
        try:
            job_log.append(record.to_dict())
        except Exception as error:
            if not self._lost:
                text = "job %r is not in the log %r: %r"
                log.error(text, record.id, job_log.path, error)  # noqa: TRY400 - it says it all
            self._lost += 1
            return
        if self._lost:
            log.error("%d jobs are not in the log %r, which goes on now", self._lost, job_log.path)
            self._lost = 0

    def _explain(self, record: Record, error: BaseException | None) -> None:
        """Say of a job that was skipped why. What it was skipped for is told before, and seen to."""
        if isinstance(error, LaneStopped):
            end = self._lanes[record.lane]
            record.skipped(end.failed, end.exitcode)

    def _leave_lane(self, record: Record, *, failed: bool) -> None:
        with self._lock:
            end = self._lanes.get(record.lane)
            if end is None:
                return
            end.jobs -= 1
            if not end.jobs:
                del self._lanes[record.lane]
        if failed:
            end.failed, end.exitcode = record.id, record.exitcode


class _LaneEnd:
    """The latest job of a lane that has failed, and how many there are that have not ended."""

    __slots__ = ("exitcode", "failed", "jobs")

    def __init__(self) -> None:
        self.jobs = 0
        self.failed: int | None = None
        self.exitcode: int | None = None


def _print(text: str) -> None:
    if sys.stderr is None:
        return
    try:
        print(text, end="", file=sys.stderr, flush=True)  # noqa: T201 - as ezpq's processes do
    except (OSError, ValueError):
        pass  # it is closed

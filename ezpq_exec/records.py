"""One shape for what is known of a job, whoever tells it: a future, its info, or ezpq's dict.

Tables, pictures and traces are made from these records, so that none of them needs to know where
a job came from.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .excerpt import excerpt, printable
from .future import JobFuture
from .jobs import JobInfo, State, Verdict, function_name

__all__ = ["Record", "read"]

ACCEPTED = "JobFutures, JobInfos, or dicts as Queue.collect() returns"
NAME = 200  # characters of a name, at most
CUT_SHORT = frozenset(
    (
        *(Verdict.CANCELLED, Verdict.EXPIRED, Verdict.KILLED, Verdict.SKIPPED),
        *(Verdict.TIMED_OUT, Verdict.OUT_OF_MEMORY),
    )
)


@dataclass(slots=True)
class Record:
    """What is known of one job. Times are aware, in UTC; spans are in seconds.

    `qid` is the queue's id or, of a future, which of the executors in the list it belongs to.
    """

    qid: str | None
    id: int
    name: str
    function: str
    args: Any
    kwargs: Any
    priority: Any
    lane: Any
    timeout: float | None
    state: State
    verdict: Verdict | None
    submitted: datetime
    started: datetime | None
    ended: datetime | None
    processed: datetime | None
    waited: float | None
    runtime: float | None
    cpu_time: float | None
    max_rss: int | None
    worker: int | None
    pid: int | None
    attempt: int | None
    retries: int | None
    exitcode: int | None
    cancelled: bool
    exception: Any
    output: Any
    callback: Any

    @property
    def waited_until(self) -> datetime | None:
        """When it stopped waiting: it began, or ended without beginning. None: it still waits."""
        return self.started or self.ended or self.processed


def read(jobs: Iterable[object]) -> list[Record]:
    """The record of each job, in the order given.

    Args:
        jobs: `JobFuture`s, `JobInfo`s (or their `to_dict()`), and ezpq's dicts, in any mixture.

    Raises:
        TypeError: one of them is something else, or something in a dict is of another type.
        ValueError: a dict has not the keys of a job.
    """
    if isinstance(jobs, (str, bytes, Mapping)) or not isinstance(jobs, Iterable):
        raise TypeError(f"jobs must be a list of {ACCEPTED}, not {excerpt(jobs)}")
    owners: dict[int, str] = {}
    return [_record(each, index, owners) for index, each in enumerate(jobs)]


def _record(job: object, index: int, owners: dict[int, str]) -> Record:
    if isinstance(job, JobFuture):
        qid = owners.setdefault(id(job.owner), f"executor {len(owners) + 1}")
        done = job.done()  # asked first, for `info` may be of a later moment
        info = job.info
        returned = done and info.verdict is Verdict.RETURNED
        return _of_info(info, qid, job.result() if returned else None)
    if isinstance(job, JobInfo):
        return _of_info(job, None, None)
    if isinstance(job, Mapping):
        return _Reader(job, index).record()
    raise TypeError(f"jobs must be {ACCEPTED}; number {index} of them is {excerpt(job)}")


def _of_info(info: JobInfo, qid: str | None, output: Any) -> Record:
    return Record(
        qid=qid,
        id=info.id,
        name=printable(info.name, NAME),
        function=printable(function_name(info.function), NAME),
        args=info.args,
        kwargs=info.kwargs,
        priority=info.priority,
        lane=info.lane,
        timeout=info.timeout,
        state=info.state,
        verdict=info.verdict,
        submitted=info.submitted,
        started=info.started,
        ended=info.ended,
        processed=info.processed,
        waited=info.waited,
        runtime=info.runtime,
        cpu_time=info.cpu_time,
        max_rss=info.max_rss,
        worker=info.worker,
        pid=info.pid,
        attempt=info.attempt,
        retries=info.retries,
        exitcode=info.exitcode,
        cancelled=info.verdict in CUT_SHORT,
        exception=info.exception,
        output=output,
        callback=None,
    )


class _Reader:
    """Takes the values of one job's dict, each checked."""

    def __init__(self, plain: Mapping[str, Any], index: int) -> None:
        self._plain = plain
        self._where = f"jobs[{index}]"
        for key in ("id", "submitted"):
            if self._missing(plain.get(key)):
                raise ValueError(f"{self._where} has no {key!r}, so it is no job's dict")

    def record(self) -> Record:
        """All of it."""
        get = self._plain.get
        number, submitted = self._whole("id"), self._moment("submitted")
        assert number is not None  # noqa: S101 - both were seen to be there
        assert submitted is not None  # noqa: S101
        started, ended, processed = map(self._moment, ("started", "ended", "processed"))
        state, verdict = self._fate(started, ended, processed)
        name = get("name")
        return Record(
            qid=self._text("qid"),
            id=number,
            name=str(number) if name is None else excerpt(name, NAME),
            function=self._text("function") or "",
            args=get("args"),
            kwargs=get("kwargs"),
            priority=100 if get("priority") is None else get("priority"),
            lane=None if self._missing(get("lane")) else get("lane"),
            timeout=self._seconds("timeout") or None,
            state=state,
            verdict=verdict,
            submitted=submitted,
            started=started,
            ended=ended,
            processed=processed,
            waited=_span(self._seconds("waited"), submitted, started),
            runtime=_span(self._seconds("runtime"), started, ended),
            cpu_time=self._seconds("cpu_time"),
            max_rss=self._whole("max_rss"),
            worker=self._whole("worker"),
            pid=self._whole("pid"),
            attempt=self._whole("attempt"),
            retries=self._whole("retries"),
            exitcode=self._whole("exitcode"),
            cancelled=bool(get("cancelled", verdict in CUT_SHORT)),
            exception=get("exception"),
            output=get("output"),
            callback=get("callback"),
        )

    def _fate(
        self, started: datetime | None, ended: datetime | None, processed: datetime | None
    ) -> tuple[State, Verdict | None]:
        if "state" in self._plain:
            verdict = self._plain.get("verdict")
            return State(self._plain["state"]), None if verdict is None else Verdict(verdict)
        cancelled = self._plain.get("cancelled") is True
        if ended is None and processed is None and not cancelled:
            return State.WAITING if started is None else State.RUNNING, None
        return State.DONE, self._verdict(started, cancelled=cancelled)

    def _verdict(self, started: datetime | None, *, cancelled: bool) -> Verdict:
        """The exit code tells, in ezpq: 0; 1, or -1, for an exception; less for a signal."""
        exitcode = self._whole("exitcode")
        if cancelled and started is None:
            return Verdict.SKIPPED if exitcode else Verdict.CANCELLED
        if cancelled:
            timeout, runtime = self._seconds("timeout") or 0, self._seconds("runtime") or 0
            return Verdict.TIMED_OUT if 0 < timeout <= runtime else Verdict.KILLED
        if exitcode is None:
            return Verdict.RAISED if self._plain.get("exception") else Verdict.RETURNED
        return {0: Verdict.RETURNED, 1: Verdict.RAISED, -1: Verdict.RAISED}.get(
            exitcode, Verdict.DIED
        )

    def _moment(self, key: str) -> datetime | None:
        value = self._plain.get(key)
        if self._missing(value):
            return None
        if not isinstance(value, datetime):
            raise TypeError(f"{self._where}[{key!r}] must be a datetime, not {excerpt(value)}")
        plain = datetime.combine(value.date(), value.timetz())  # of pandas' class, too
        return plain.astimezone(timezone.utc)  # ezpq's have no time zone: they are local

    def _seconds(self, key: str) -> float | None:
        value = self._plain.get(key)
        if self._missing(value):
            return None
        if not isinstance(value, numbers.Real):
            raise TypeError(f"{self._where}[{key!r}] must be seconds, not {excerpt(value)}")
        return float(value)

    def _whole(self, key: str) -> int | None:
        value: Any = self._plain.get(key)
        if self._missing(value):
            return None
        try:
            return operator.index(value)
        except TypeError:
            if isinstance(value, float) and value.is_integer():  # as a frame with gaps has them
                return int(value)
            raise TypeError(
                f"{self._where}[{key!r}] must be an integer, not {excerpt(value)}"
            ) from None

    def _text(self, key: str) -> str | None:
        value = self._plain.get(key)
        return None if self._missing(value) else excerpt(value, NAME)

    @staticmethod
    def _missing(value: object) -> bool:
        """None, or what a data frame has in its place."""
        if value is None:
            return True
        # The last two, NaN and NaT, differ from themselves, and NA from everything.
        return isinstance(value, (float, datetime)) and value != value  # noqa: PLR0124


def _span(known: float | None, start: datetime | None, end: datetime | None) -> float | None:
    if known is not None:
        return known
    return None if start is None or end is None else (end - start).total_seconds()

"""`to_trace`: jobs as a file that Perfetto and chrome://tracing open, in the Trace Event format.

Each executor or queue is what the format calls a process, and each worker a thread of it. A run is
a complete event (`X`) there; waiting is a pair of asynchronous ones (`b`, `e`), for any number of
jobs wait at once.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any

from .excerpt import excerpt
from .records import Record, read
from .tracks import Run, Track, as_of, lay

__all__ = ["to_trace"]

EXACT = 2**53  # larger JSON numbers are not read exactly by all programs
TEXT = 1000  # characters of a text among a slice's arguments
OF_WAITING = {"name", "job", "priority", "lane", "waited (s)"}

Event = dict[str, Any]


def to_trace(jobs: Iterable[object], path: str | os.PathLike[str]) -> None:
    """Write jobs as a trace, to be opened with https://ui.perfetto.dev or chrome://tracing.

    There is a track for each worker, with a slice for each job that it ran, and one with the times
    of waiting. A slice's arguments are the job's priority, lane, outcome and whatever else is
    known of it. Jobs that wait or run are there up to now. Time counts from the first submission.

    Args:
        jobs: `JobFuture`s, `JobInfo`s, or ezpq's dicts, in any mixture; of any state.
        path: the file, which is written whole or not at all; compressed if it ends in `.gz`.

    Raises:
        TypeError, ValueError: what was given is no job.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> from ezpq_exec import PriorityExecutor, to_trace
    >>> with PriorityExecutor(2) as ex:
    ...     jobs = [ex.submit(abs, n) for n in range(5)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_trace(jobs, f"{folder}/jobs.json")
    """
    records = read(jobs)
    with _whole(Path(path)) as file:
        opening = {"displayTimeUnit": "ms", "otherData": {"time 0": _origin(records).isoformat()}}
        file.write(json.dumps(opening)[:-1] + ', "traceEvents": [\n')
        separator = ""
        for event in events(records, datetime.now(timezone.utc)):
            file.write(separator + json.dumps(event, allow_nan=False))
            separator = ",\n"
        file.write("\n]}\n")


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    """A file to write to, which gets its name when all is there."""
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        if path.suffix == ".gz":
            with open(draft, "xb") as raw, gzip.open(raw, "wt", encoding="utf-8") as packed:
                yield packed
        else:
            with open(draft, "x", encoding="utf-8") as file:
                yield file
        os.replace(draft, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)


def _origin(records: Sequence[Record]) -> datetime:
    first = min((each.submitted for each in records), default=None)
    return first or datetime.fromtimestamp(0, timezone.utc)


def events(records: Sequence[Record], now: datetime) -> Iterator[Event]:
    """All events of the trace, those that name tracks first."""
    if not records:
        return
    until = as_of(records, now)
    tracks, runs = lay(records, until)
    origin = _origin(records)
    places = _places(records, tracks)
    yield from _names(places)
    for run in runs:
        yield _slice(run, origin, places[run.track])
    for number, record in enumerate(records):
        yield from _waiting(record, number, origin, until, places[Track(record.qid, -1)][0])


def _places(records: Sequence[Record], tracks: Sequence[Track]) -> dict[Track, tuple[int, int]]:
    """Each track's process and thread. Threads of 0 stand for a process as a whole."""
    processes: dict[str | None, int] = {}
    for record in records:
        processes.setdefault(record.qid, len(processes) + 1)
    places = {Track(qid, -1): (process, 0) for qid, process in processes.items()}
    for number, track in enumerate(tracks, 1):
        places[track] = (processes[track.qid], number)
    return places


def _names(places: dict[Track, tuple[int, int]]) -> Iterator[Event]:
    for track, (process, thread) in places.items():
        where = {"ph": "M", "pid": process, "tid": thread, "ts": 0}
        if thread:
            yield {**where, "name": "thread_name", "args": {"name": track.label}}
            yield {**where, "name": "thread_sort_index", "args": {"sort_index": thread}}
        else:
            yield {**where, "name": "process_name", "args": {"name": track.qid or "jobs"}}
            yield {**where, "name": "process_sort_index", "args": {"sort_index": process}}


def _slice(run: Run, origin: datetime, place: tuple[int, int]) -> Event:
    return {
        "ph": "X",
        "name": run.record.name,
        "cat": _outcome(run.record),
        "ts": _micros(run.start - origin),
        "dur": _micros(run.end - run.start),
        "pid": place[0],
        "tid": place[1],
        "args": _arguments(run.record),
    }


def _waiting(
    record: Record, number: int, origin: datetime, until: datetime, process: int
) -> Iterator[Event]:
    end = record.waited_until or until
    common = {"name": "waiting", "cat": "waiting", "id": hex(number), "pid": process, "tid": 0}
    start = _micros(record.submitted - origin)
    arguments = {"name": record.name, **_arguments(record)}
    if record.started is not None:  # the slice of its run has the rest
        arguments = {key: value for key, value in arguments.items() if key in OF_WAITING}
    yield {"ph": "b", **common, "ts": start, "args": arguments}
    yield {"ph": "e", **common, "ts": max(start, _micros(end - origin))}


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _outcome(record: Record) -> str:
    return record.state.value if record.verdict is None else record.verdict.value


def _arguments(record: Record) -> Event:
    known = {
        "job": record.id,
        "priority": record.priority,
        "lane": record.lane,
        "outcome": _outcome(record),
        "function": record.function,
        "args": _unless_empty(record.args),
        "kwargs": _unless_empty(record.kwargs),
        "timeout (s)": record.timeout,
        "waited (s)": record.waited,
        "runtime (s)": record.runtime,
        "cpu time (s)": record.cpu_time,
        "max rss (bytes)": record.max_rss,
        "pid": record.pid,
        "attempt": record.attempt,
        "exit code": record.exitcode,
        "exception": record.exception,
    }
    return {key: _plain(value) for key, value in known.items() if value is not None}


def _unless_empty(values: Any) -> Any:
    """`values`, which may be of any type, but not an empty list, tuple or dict."""
    return None if isinstance(values, (list, tuple, dict)) and not values else values


def _plain(value: Any) -> Any:
    """`value` if it is what JSON has, else a text that tells of it."""
    if isinstance(value, bool) or (type(value) is int and abs(value) <= EXACT):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return excerpt(value, TEXT)

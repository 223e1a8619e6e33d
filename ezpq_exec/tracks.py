"""Which row each run is shown in, when there is one for each worker: runs in a row never overlap.

Where it is not known which worker ran a job (ezpq's dicts do not say), the run goes to the first
row that was free, which makes as many rows as there were jobs at once. The infos of two executors
may speak of the same worker; what overlaps there gets a row of its own, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from .records import Record

__all__ = ["Run", "Track", "as_of", "lay"]

# Times are converted from the monotonic clock to wall time when they are asked for. So the times of
# two jobs may be off by this much against each other.
JITTER = timedelta(milliseconds=1)


class Track(NamedTuple):
    """One row. `double`: how many others of the same worker come before it."""

    qid: str | None
    worker: int
    double: int = 0

    @property
    def label(self) -> str:
        """What to call it.

        >>> Track(None, 3).label, Track("a1b2", 0, 1).label
        ('worker 3', 'worker 0 (2)')
        """
        return f"worker {self.worker}" + (f" ({self.double + 1})" if self.double else "")


class Run(NamedTuple):
    """The part of a job's life in which it ran; up to now, if it still does."""

    record: Record
    track: Track
    start: datetime
    end: datetime


def as_of(records: Iterable[Record], now: datetime) -> datetime:
    """The moment up to which these records tell: `now` if one is not done, else the last of them.

    Raises:
        ValueError: there are no records.
    """
    latest = []
    for each in records:
        if each.processed is None and each.verdict is None:
            return now
        latest.append(each.processed or each.ended or each.started or each.submitted)
    return max(latest)


def lay(
    records: Iterable[Record], until: datetime, workers: int = 0
) -> tuple[list[Track], list[Run]]:
    """Give each run a track.

    Args:
        records: of any jobs; those that never started are left out.
        until: the end of the runs that have none.
        workers: as many there were, at least.

    Returns:
        The tracks, those of a queue together, by worker, with those of workers that had nothing
        to do between others; and the runs, in the order of their start.
    """
    records = list(records)
    order = {qid: index for index, qid in enumerate(dict.fromkeys(each.qid for each in records))}
    free: dict[tuple[str | None, int | None], list[datetime]] = {}
    tracks = {Track(qid, worker) for qid in order for worker in range(workers)}
    runs = []
    started = [(each.started, each) for each in records if each.started is not None]
    for start, record in sorted(started, key=lambda pair: pair[0]):
        rows = free.setdefault((record.qid, record.worker), [])
        row = next((i for i, end in enumerate(rows) if end <= start + JITTER), len(rows))
        if row == len(rows):
            rows.append(start)
        begin = max(start, rows[row])
        rows[row] = max(begin, record.ended or until)
        known = record.worker
        track = Track(record.qid, row) if known is None else Track(record.qid, known, row)
        tracks.add(track)
        runs.append(Run(record, track, begin, rows[row]))
    for qid in order:
        last = max((track.worker for track in tracks if track.qid == qid), default=0)
        tracks |= {Track(qid, worker) for worker in range(last)}
    return sorted(tracks, key=lambda each: (order[each.qid], each.worker, each.double)), runs

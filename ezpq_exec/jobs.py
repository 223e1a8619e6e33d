"""A job: what to run, on which terms, and what became of it. Data only; nothing here decides."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .excerpt import shown
from .naming import function_name
from .options import Options

if TYPE_CHECKING:
    from .future import JobFuture
    from .heap import Entry
    from .lanes import Lane

__all__ = [
    "DONE",
    "RETURNED",
    "RUNNING",
    "WAITING",
    "Call",
    "Job",
    "JobInfo",
    "Outcome",
    "Output",
    "State",
    "Verdict",
]


class State(enum.Enum):
    """Where a job is."""

    __hash__ = object.__hash__  # in C, unlike Enum's; members are equal only to themselves

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class Verdict(enum.Enum):
    """How a job ended."""

    __hash__ = object.__hash__  # as above

    RETURNED = "returned"
    RAISED = "raised"
    TIMED_OUT = "timed out"
    EXPIRED = "expired"  # waited for longer than its queue_timeout
    CANCELLED = "cancelled"
    KILLED = "killed"
    OUT_OF_MEMORY = "out of memory"  # had more than its memory_limit
    DIED = "died"  # its worker died under it
    BROKEN = "broken"  # no worker could be started for it
    SKIPPED = "skipped"  # it was not run, since its predecessor in its lane did not succeed


# For what is done with each job: Python up to 3.11 takes 50 ns to find a member of an Enum.
WAITING, RUNNING, DONE = State
RETURNED = Verdict.RETURNED


class Call(NamedTuple):
    """What to run."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Output(Protocol):
    """What a job has written, if that was captured: kept somewhere until it is read."""

    def read(self) -> tuple[str, str]:
        """What was written to stdout and to stderr. Called once."""


@dataclass(slots=True)
class Outcome:
    """What an engine reports of a job that ended by itself.

    `value` is the result or the exception; while `packed`, it is still the bytes that a worker
    sent. Times are in seconds on this machine's monotonic clock. `pid` is None where the scheduler
    knows it from the slot.
    """

    verdict: Verdict
    value: Any
    packed: bool = False
    started: float = 0.0
    ended: float = 0.0
    cpu_time: float | None = None
    max_rss: int | None = None
    exitcode: int | None = None
    context: BaseException | None = None  # what became of the attempt before
    pid: int | None = None
    output: Output | None = None


class Job:
    """One job's record. The scheduler alone changes `state`; times are monotonic seconds."""

    __slots__ = (
        *("ahead", "alarm", "announced", "args", "attempt", "called_off", "condemned"),
        *("cpu_time", "ended", "exitcode", "function", "future", "held", "host", "kwargs"),
        *("lane", "lost_unbegun", "max_rss", "number", "options", "output", "payload", "pid"),
        *("place", "priority", "processed", "slot", "started", "state", "submitted", "verdict"),
    )

    def __init__(
        self, number: int, call: Call, options: Options, payload: Any, submitted: float
    ) -> None:
        self.number = number
        self.function, self.args, self.kwargs = call  # so that the `Call` itself is not kept
        self.options = options
        self.priority = options.priority
        self.payload = payload  # the call as the engine takes it; dropped once settled
        self.submitted = submitted
        self.state: State = WAITING
        self.verdict: Verdict | None = None
        self.future: JobFuture[Any] | None = None  # dropped once settled
        self.lane: Lane | None = None  # None again when it is settled and in no slot
        self.place: Entry | None = None  # in the backlog
        self.alarm: Entry | None = None  # among the deadlines
        self.ahead = False  # in a worker's queue, behind another job
        self.held = False  # it must not be put into a worker's queue (again)
        self.called_off = False  # its future was cancelled by the user
        self.announced = False  # its future was told that it runs
        self.condemned: Verdict | None = None  # why it is being killed
        self.lost_unbegun = 0  # workers that died with it in hand, unbegun
        self.attempt = 0
        self.slot: int | None = None
        self.pid: int | None = None
        self.host: str | None = None
        self.started: float | None = None
        self.ended: float | None = None
        self.processed: float | None = None
        self.cpu_time: float | None = None
        self.max_rss: int | None = None
        self.exitcode: int | None = None
        self.output: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"<Job {self.number} {self.name!r} {self.state.value}>"

    @property
    def stands_ahead(self) -> bool:
        """Whether it is in a worker's queue, as far as the loop knows; `ahead` alone stays true later."""
        return self.ahead and self.state is State.WAITING

    @property
    def name(self) -> str:
        """The name it was given, else its function's."""
        return self.options.name or function_name(self.function)


@dataclass(frozen=True)
class JobInfo:
    """All that is known of a job at one moment. Of a job tried again, it is the latest attempt's.

    Attributes:
        id, name, function, args, kwargs, priority, lane, timeout, retries: as it was submitted;
            `timeout` in seconds.
        state: whether it waits, runs or is done.
        verdict: how it ended; None until then.
        submitted, started, ended, processed: when it was submitted, began, and ended, and when its
            future was resolved; aware datetimes in UTC, None until then.
        waited, runtime: seconds from its submission to its start, and from there to its end.
        cpu_time: seconds of CPU time, or None.
        max_rss: the worker's peak memory so far, in bytes, or None.
        worker: the number of its slot.
        pid: the process that runs it, or ran it.
        host: where that is, if elsewhere, as with Dask.
        attempt: which attempt it is, from 1 on; 0 before the first.
        exitcode: 0 if it returned, 1 if it raised; if its process ended, that one's exit code, or
            minus the number of the signal that ended it.
        exception: what its future raises, if anything.
        stdout, stderr: the ends of what it wrote, if captured, else None.
    """

    id: int
    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    priority: Any
    lane: Hashable
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
    host: str | None
    attempt: int
    retries: int
    exitcode: int | None
    exception: BaseException | None
    stdout: str | None = None
    stderr: str | None = None

    def __repr__(self) -> str:
        """All of it, with no more than the beginning of what is long, even if an argument's `repr` raises."""
        plain = (f"{field.name}={shown(getattr(self, field.name))}" for field in fields(self))
        return f"{type(self).__name__}({', '.join(plain)})"

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain dict, with `state` and `verdict` as strings and the function's name.

        The values of `args` and `kwargs` are those of the job, not copies.
        """
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["state"] = self.state.value
        plain["verdict"] = self.verdict.value if self.verdict else None
        plain["function"] = function_name(self.function)
        return plain


def describe(
    job: Job,
    *,
    started: float | None,
    wall: float,
    exception: BaseException | None,
    is_told: bool = True,
) -> JobInfo:
    """Make the `JobInfo` of `job`.

    Args:
        job: the record; another thread may be changing it, so its state is read once, first.
        started: when a running job began, where the caller knows it sooner than the record.
        wall: what to add to a monotonic time to get one since the epoch, in seconds.
        exception: what the job's future raises.
        is_told: False if the job is done but its future is not yet; then it is described as before.
    """

    def at(moment: float | None) -> datetime | None:
        return None if moment is None else datetime.fromtimestamp(moment + wall, timezone.utc)

    state = _state_of(job, is_told=is_told)
    done = state is State.DONE
    began = job.started if job.started is not None or done else started
    if state is State.WAITING:
        began = None
    ended = job.ended if done else None
    submitted = datetime.fromtimestamp(job.submitted + wall, timezone.utc)
    output = job.output if done and job.output is not None else (None, None)
    return JobInfo(
        id=job.number,
        name=job.name,
        function=job.function,
        args=job.args,
        kwargs=job.kwargs,
        priority=job.priority,
        lane=job.options.lane,
        timeout=job.options.timeout,
        state=state,
        verdict=job.verdict if done else None,
        submitted=submitted,
        started=at(began),
        ended=at(ended),
        processed=at(job.processed) if done else None,
        waited=None if began is None else max(0.0, began - job.submitted),
        runtime=None if began is None or ended is None else max(0.0, ended - began),
        cpu_time=job.cpu_time if done else None,
        max_rss=job.max_rss if done else None,
        worker=job.slot,
        pid=job.pid,
        host=job.host,
        attempt=job.attempt,
        retries=job.options.retries,
        exitcode=job.exitcode if done else None,
        exception=exception if done else None,
        stdout=output[0],
        stderr=output[1],
    )


def _state_of(job: Job, *, is_told: bool) -> State:
    """Its state as its future shows it, which may be behind the scheduler's, or ahead of it."""
    state = job.state
    if state is State.DONE and not is_told:
        state = State.WAITING if job.slot is None else State.RUNNING
    if state is State.WAITING and job.announced and job.place is None:
        state = State.RUNNING  # the thread that submitted it has started it; the loop will hear
    return state

"""What the loop asks of an engine: slots that run a job each, and reports of what happened there.

An engine decides nothing. Any thread may call `pack`, `pack_function`, `make_lasting`, `hand_over`,
`line`, `begun`, `works_here` and `wake`; all else is called by the loop's thread alone. Only `wait`
may block, and none runs a user's code where it could delay the loop.

Every `start` ends in a `Ready` or an `Unstartable`; every `run` in a `Finished` or a `Lost`. After
`Lost`, or `Finished` with `ready=False`, the engine brings up the slot's next worker by itself, and
reports it as after `start`. What is said of a slot that was retired before it was ready is ignored.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..jobs import Call, Outcome, Verdict
from ..options import Options
from ..reports import Report, Stopped
from .loglevels import Levels
from .shared import opened

__all__ = ["Capabilities", "Engine", "Line", "Setup", "end"]


class Line(Protocol):
    """A thread's own wait for a job's answer, without the loop.

    Attributes:
        over: the thread has stopped waiting.
        slot, ticket: which worker runs the job, and which run it is.
    """

    over: bool
    slot: int
    ticket: int

    @property
    def outcome(self) -> Outcome | None:
        """The answer, if it came."""

    def wait(self, timeout: float | None) -> None:
        """Sleep until the answer is here, or will not come this way; `timeout` seconds at most."""


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do. What it cannot is refused, never ignored.

    Attributes:
        kills: a running job can be ended. Where not, a job that has timed out is settled at once,
            while its slot stays taken until the job returns.
        whole_tree: with it dies every process that it started, those that left its session or
            its parent included.
        own_deadlines: the engine keeps deadlines by itself, even while this process is held up.
        stacks: it says where a job was that it killed, or that crashed.
        recycles: workers can be replaced after a number of jobs, or when they have grown.
        isolates: jobs run in processes of their own: arguments and results are copies, and a
            crash is survived.
        hands_over: `Engine.hand_over` is there.
        queues: `Engine.queue` and `Engine.recall` are.
        dumps: `Engine.ask_stack` is there.
        limits_memory: `Engine.run_within` is.
        captures: `Engine.capture` is.
        own_context: each job has a context of its own, in this process a copy of its submitter's.
        quick: seconds that a job may take for it to be worth while to queue others behind it.
        glance: seconds for which `wait` looks for reports without sleeping, while more are near.
        borrows: the workers are another executor's.
        follows: how many jobs can run at once is the engine's affair, and changes: `Capacity` is
            reported. `max_workers` is the most that do.
        is_away: workers may be on other hosts; they are in surroundings of their own, and what jobs
            print comes out there.
        relays: what jobs log reaches this process's handlers.
    """

    kills: bool = False
    whole_tree: bool = False
    own_deadlines: bool = False
    stacks: bool = False
    recycles: bool = False
    isolates: bool = False
    hands_over: bool = False
    queues: bool = False
    dumps: bool = False
    limits_memory: bool = False
    captures: bool = False
    own_context: bool = False
    quick: float = 0.0005
    glance: float = 0.0
    borrows: bool = False
    follows: bool = False
    is_away: bool = False
    relays: bool = False


@dataclass(frozen=True)
class Setup:
    """What every worker does before its first job, and when it is to be replaced."""

    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    max_tasks_per_child: int | None = None
    relays_logs: bool | None = None  # None: if it can
    max_worker_memory: int | None = None  # bytes
    levels: Levels | None = None  # what to log, if that is not what this process does

    @property
    def recycles(self) -> bool:
        """Whether a worker may be replaced after a job, which only the loop can see to."""
        return not (self.max_tasks_per_child is None and self.max_worker_memory is None)

    def initialize(self) -> None:
        """Call the initializer, if there is one: in a worker, which is ready once this returns."""
        if self.initializer is not None:
            self.initializer(*self.initargs)


class Engine(abc.ABC):
    """Runs jobs. One engine serves one executor."""

    capabilities: Capabilities

    @abc.abstractmethod
    def open(self, setup: Setup) -> None:
        """Be ready for `start`; called once, before all else.

        What the capabilities say that it cannot do is not in `setup`.

        Raises:
            UnsupportedOption: if `setup` asks for something else that this engine cannot do.
        """

    def capacity(self) -> int | None:
        """How many jobs can run at once, where that is not for the user to say; else None."""
        return None

    def pack(self, call: Call, packed_function: Any = None) -> Any:
        """Make of `call` what `run` takes as its payload. The thread that submits calls this.

        Args:
            call: what to run.
            packed_function: what `pack_function` made of its function, if it was called.

        Raises:
            Exception: whatever says that the call cannot be carried to a worker.
        """
        return opened(call)

    def pack_function(self, function: Callable[..., Any]) -> Any:
        """Pack a function once, for many calls; the result is passed to `pack`.

        Raises:
            Exception: whatever says that it cannot be carried to a worker.
        """
        return None

    def make_lasting(self, payload: Any) -> None:  # noqa: B027
        """Prepare for a payload to be run more than once. It is called before the first run, if at all."""

    @abc.abstractmethod
    def start(self, slot: int) -> None:
        """Begin to bring up a worker for `slot`."""

    @abc.abstractmethod
    def run(self, slot: int, number: int, payload: Any, timeout: float | None) -> None:
        """Hand a job to the worker of `slot`, which is idle. `timeout` in seconds."""

    def run_on_terms(self, slot: int, number: int, payload: Any, options: Options) -> None:
        """As `run`, for a job with a memory limit, or whose output is captured.

        Raises:
            OSError: there is no descriptor or memory for that now. The job is not run.
        """
        if options.capture:
            self.capture(slot)
        if options.memory_limit is None:
            self.run(slot, number, payload, options.timeout)
        else:
            self.run_within(slot, number, payload, options.timeout, options.memory_limit)

    def run_within(
        self, slot: int, number: int, payload: Any, timeout: float | None, memory_limit: int
    ) -> None:
        """As `run`. `memory_limit`: bytes that the worker and all processes below it may have."""
        raise NotImplementedError

    def capture(self, slot: int) -> None:
        """Capture what the next job in `slot` writes; it comes with its outcome or its loss.

        Raises:
            OSError: there is no descriptor for that now.
        """
        raise NotImplementedError

    def hand_over(
        self,
        slot: int,
        number: int,
        payload: Any,
        timeout: float | None,
        sent: list[object],
        soon: bool,
    ) -> None:
        """As `run`, by a thread that submits, to a slot that is set aside for it.

        An exception (Ctrl-C) may interrupt the caller at any point, and then it must still be known
        whether the worker has the job. So the very call that sends must also extend `sent`.
        `soon`: `told` will be called soon, even if nobody waits on the `line`.
        """
        raise NotImplementedError

    def told(self, slot: int) -> None:  # noqa: B027
        """The loop knows all that was handed over to `slot`, and listens there if nobody else waits."""

    def line(self, slot: int, number: int) -> Line | None:
        """Where the thread that handed over job `number` can itself wait for the answer; or None.

        Called by that thread. Until the line is over, nothing else is handed to `slot`.
        """
        return None

    def left(self, line: Line) -> Outcome | None:
        """The thread has left the line. Returns the answer that it got; if None, it will be reported."""
        raise NotImplementedError

    def queue(self, shares: Mapping[int, Sequence[tuple[int, Any]]]) -> list[int]:
        """Hand over jobs that workers are to begin, one by one, once the jobs that they have have ended.

        They are reported as `Finished`, like any job. After `Lost`, a job that had not begun is not
        reported at all.

        Args:
            shares: by slot, the number and payload of each job that it gets, the most urgent first.

        Returns:
            The numbers of those that their workers cannot have.
        """
        raise NotImplementedError

    def recall(self, slot: int) -> list[int]:
        """Take back the queued jobs that have not begun; returns their numbers, in order."""
        raise NotImplementedError

    def kill(self, slot: int, number: int, reason: Verdict, *, force: bool = False) -> None:
        """End the worker of `slot` if it still has job `number`. `force`: the first try failed.

        Called only of an engine whose capabilities say that it kills.
        """
        raise NotImplementedError("this engine cannot kill, as its capabilities say")

    def terminate(self, slot: int, number: int, reason: Verdict) -> None:
        """As `kill`, but the worker is sent SIGTERM first, and has a few seconds to end by it."""
        self.kill(slot, number, reason)

    @abc.abstractmethod
    def retire(self, slot: int) -> None:
        """Let the worker of `slot`, which has no job, go."""

    @abc.abstractmethod
    def begun(self, slot: int, number: int) -> float | None:
        """When job `number` began in `slot` (monotonic seconds); None if it has not."""

    def ask_stack(self, slot: int, number: int, tell: Callable[[str | None], object]) -> None:
        """Have `tell` called, once and soon, with where job `number` is now in `slot`.

        It is called on the thread that calls this, now or in a later `wait`; with None where the
        job does not run, or what runs it cannot tell.
        """
        raise NotImplementedError

    def hear(self, slot: int, wanted: bool) -> None:  # noqa: B027
        """Go on reading what the worker of `slot` sends, answers included; or stop, for the time being."""

    def works_here(self) -> bool:
        """Whether the calling thread is one that runs jobs. Any thread may call this."""
        return False

    @abc.abstractmethod
    def wait(self, timeout: float | None) -> Iterable[Report]:
        """Sleep until there is something to report, `wake` is called, or `timeout` s are over."""

    @abc.abstractmethod
    def wake(self) -> None:
        """End the `wait` that is under way, or else the next one. Any thread may call this."""

    @abc.abstractmethod
    def close(self, *, kill: bool = False) -> None:
        """Let all workers go, or `kill` them; `Stopped` is reported when nothing is left.

        It may be called again, even after that: then `Stopped` is reported again.
        """


def end(engine: Engine) -> None:
    """Kill all its workers, and wait until nothing is left."""
    engine.close(kill=True)
    while not any(isinstance(report, Stopped) for report in engine.wait(None)):
        pass

"""The way in: from a call and its options to a job that waits, and the future of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from . import automap, batching, mapping
from .checks import carries_context, check_callable, check_options
from .contexts import Within
from .desk import Desk
from .engines.base import Engine
from .errors import SharedClosed
from .future import JobFuture
from .jobs import Call, Job
from .lanetable import LaneTable
from .options import Options
from .places import Places

__all__ = ["BoundedIntake", "Intake"]

T = TypeVar("T")

_PLAIN = (int, float, str, type(None))  # what can be compared without running users' code
_MOST_TERMS = 256
# So many calls are submitted at once where they are at hand; fewer, if to pack them takes longer than this.
MOST_TOGETHER = 64
MOMENT = 0.001  # seconds
_NOTHING: Mapping[str, Any] = {}  # one for all the calls without keywords


def _is_at_hand(items: object) -> bool:
    """Whether to read `items` runs no user's code, and waits for nothing."""
    return type(items) in (list, tuple, range)


class Intake:
    """Makes jobs and hands them to the loop."""

    _takes_many = True

    def __init__(self, engine: Engine, loop: Desk) -> None:
        self._engine = engine
        self._loop = loop
        self._numbers = itertools.count(1)
        self._lanes = LaneTable()
        # Options that were asked for lately. The key has the id of the options that they were
        # derived from, so these are kept, too: no other object can get that id.
        self._known_terms: dict[Hashable, tuple[Options, Options]] = {}
        self._carries = carries_context(engine.capabilities)

    def terms(self, options: Options, changes: Mapping[str, Any]) -> Options:
        """`options` with `changes` made.

        Raises:
            TypeError, ValueError: there is no such option, or not with such a value.
            UnsupportedOption: the engine cannot honour it.
        """
        # The types are part of the key, since equal values may differ: True == 1 is no priority.
        if not all(type(value) in _PLAIN for value in changes.values()):
            return self._checked(options, changes)
        key = (id(options), *[(name, type(value), value) for name, value in changes.items()])
        known = self._known_terms.get(key)
        if known is None:
            if len(self._known_terms) >= _MOST_TERMS:
                self._known_terms.clear()
            known = self._known_terms[key] = (self._checked(options, changes), options)
        return known[0]

    def _checked(self, options: Options, changes: Mapping[str, Any]) -> Options:
        changed = options.but(changes)
        check_options(changed, self._engine.capabilities)
        return changed

    def submit(
        self,
        options: Options,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        packed_function: Any = None,
    ) -> JobFuture[Any]:
        """Accept one call.

        Raises:
            TypeError: `function` is not callable.
            RuntimeError: the executor takes no more.
            SharedClosed: a shared object among the arguments is closed.
        """
        if not callable(function):
            check_callable(function)
        return self._accept(
            next(self._numbers), options, (function, args, kwargs or _NOTHING), packed_function
        )

    def _accept(
        self,
        number: int,
        options: Options,
        parts: tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]],
        packed_function: Any,
    ) -> JobFuture[Any]:
        """Make a job of the parts of a call, and hand it to the loop."""
        job, future, error = self._make(number, options, parts, packed_function)
        self._loop.submit(job, error)
        return future

    def _make(
        self,
        number: int,
        options: Options,
        parts: tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]],
        packed_function: Any,
    ) -> tuple[Job, JobFuture[Any], BaseException | None]:
        """Make a job of the parts of a call, and its future; and say why it cannot be run, if so."""
        call = tuple.__new__(Call, parts)  # as `Call(*parts)`, and faster
        error = payload = None
        try:
            if options.context:
                payload = self._pack_within(options, call)
            else:
                payload = self._engine.pack(call, packed_function)
            if options.retries:
                self._engine.make_lasting(payload)
        except SharedClosed:
            raise
        except Exception as failure:  # raised by the user's objects: the future raises it
            error = failure
        job = Job(number, call, options, payload, time.monotonic())
        if options.lane is not None:
            job.lane = self._lanes.lane(options.lane)
        future: JobFuture[Any] = JobFuture(job, self._loop)
        job.future = future
        return job, future, error

    def _pack_within(self, options: Options, call: Call) -> Any:
        """Pack a call with the present values of context variables, unless its job has them anyway."""
        if self._carries:
            call = call._replace(function=Within(options.context, call.function))
        return self._engine.pack(call)

    def for_function(
        self, options: Options, function: Callable[..., Any]
    ) -> Callable[..., JobFuture[Any]]:
        """A `submit` for many calls of one function, which is packed once."""
        packed = self._pack_function(function)
        return lambda *args, **kwargs: self.submit(options, function, args, kwargs, packed)

    def _pack_function(self, function: Callable[..., Any]) -> Any:
        try:
            return self._engine.pack_function(function)
        except Exception:
            return None  # each job's future will raise it: see `submit`

    def submit_all(
        self,
        options: Options,
        function: Callable[..., Any],
        calls: Iterable[tuple[Any, ...]],
    ) -> Iterator[list[JobFuture[Any]]]:
        """As `submit` for each of `calls`, which can be read without delay; some at a time.

        Their futures come before they are submitted: so whatever ends this, whoever asked for it can
        cancel all those that will run.
        """
        packed = self._pack_function(function)
        jobs: list[Job] = []
        futures: list[JobFuture[Any]] = []
        most = 1  # so that the first one can begin
        began = time.monotonic()
        for args in calls:
            parts = (function, args, _NOTHING)
            job, future, error = self._make(next(self._numbers), options, parts, packed)
            futures.append(future)
            if error is None:
                jobs.append(job)
            is_slow = job.submitted > began + MOMENT
            if error is not None or len(jobs) >= most or is_slow:
                yield futures
                self._loop.submit_all(jobs)
                if error is not None:
                    self._loop.submit(job, error)
                jobs, futures = [], []
                most = 1 if is_slow else min(2 * most, MOST_TOGETHER)
                began = time.monotonic()
        yield futures
        self._loop.submit_all(jobs)

    def map(
        self,
        options: Options,
        function: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int | Literal["auto"],
        buffersize: int | None,
        workers: int,
    ) -> Iterator[T]:
        """One call an item, or a job a chunk of items; see `PriorityExecutor.map`.

        Args:
            workers: how many jobs run at once, by which `chunksize="auto"` reads ahead.
        """
        check_callable(function)
        mapping.check(timeout, chunksize, buffersize)
        isolates = self._engine.capabilities.isolates
        if chunksize == "auto":
            # With retry_on, each item must be a job: only so can it be tried again by itself.
            if isolates and not options.retry_on:
                batch = batching.Batch(function, starred=len(iterables) != 1)
                submit = self.for_function(options, batch)
                return automap.AutoMap(submit, iterables, workers, buffersize).start(timeout)
            chunksize, buffersize = 1, buffersize or automap.AHEAD * workers
        calls: Iterable[tuple[Any, ...]] = zip(*iterables, strict=False)
        if chunksize == 1 or not isolates:
            if buffersize is None and self._takes_many and all(map(_is_at_hand, iterables)):
                together = itertools.chain.from_iterable(self.submit_all(options, function, calls))
                return mapping.results(together, timeout, None)
            submit = self.for_function(options, function)
            return mapping.results(itertools.starmap(submit, calls), timeout, buffersize)
        submit = self.for_function(options, mapping.Chunked(function))
        batches = mapping.chunks(calls, chunksize)
        lists = mapping.results(itertools.starmap(submit, batches), timeout, buffersize)
        return mapping.flatten(lists)


class BoundedIntake(Intake):
    """As `Intake`, with a limit. A call is packed only when its job has a place."""

    _takes_many = False

    def __init__(self, engine: Engine, loop: Desk, places: Places) -> None:
        super().__init__(engine, loop)
        self._places = places

    def submit(
        self,
        options: Options,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        packed_function: Any = None,
    ) -> JobFuture[Any]:
        """As `Intake.submit`, once there is a place.

        Raises:
            ExecutorFull: there is none, and this thread is not to wait for one, or may not.
        """
        check_callable(function)
        self._loop.check_open()
        number = next(self._numbers)
        try:
            self._places.take(number, self._loop.may_wait_for_place)
            parts = (function, args, kwargs or _NOTHING)
            return self._accept(number, options, parts, packed_function)
        except BaseException:
            # The job was not accepted; or Ctrl-C came at the last step, and nobody has its future.
            self._places.give_back(number)
            raise

"""The way in: from a call and its options to a job that waits, and the future of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

from .checks import check_callable
from .desk import Desk
from .engines.base import Engine
from .future import JobFuture
from .jobs import Call, Job
from .lanetable import LaneTable
from .options import Options

__all__ = ["Intake"]

_NOTHING: Mapping[str, Any] = {}  # one for all the calls without keywords


class Intake:
    """Makes jobs and hands them to the loop."""

    def __init__(self, engine: Engine, loop: Desk) -> None:
        self._engine = engine
        self._loop = loop
        self._numbers = itertools.count(1)
        self._lanes = LaneTable()

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
        """
        check_callable(function)
        self._loop.check_open()
        call = Call(function, args, kwargs or _NOTHING)
        error = payload = None
        try:
            payload = self._engine.pack(call, packed_function)
        except Exception as failure:  # the user's objects', whose future is to tell
            error = failure
        job = Job(next(self._numbers), call, options, payload, time.monotonic())
        if options.lane is not None:
            job.lane = self._lanes.lane(options.lane)
        future: JobFuture[Any] = JobFuture(job, self._loop)
        job.future = future
        self._loop.submit(job, error)
        return future

    def for_function(
        self, options: Options, function: Callable[..., Any]
    ) -> Callable[..., JobFuture[Any]]:
        """A `submit` for many calls of one function, which is packed once."""
        try:
            packed = self._engine.pack_function(function)
        except Exception:
            packed = None  # each future is to tell, in `submit`
        return lambda *args: self.submit(options, function, args, _NOTHING, packed)

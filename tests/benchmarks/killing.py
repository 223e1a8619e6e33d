"""Trials of timeouts that kill: how soon they are known, and what they cost the jobs beside them."""

from __future__ import annotations

import concurrent.futures
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import tasks
from contenders import Contender

__all__ = ["disturbed", "lateness"]

LIMIT = 0.1  # seconds
WARM = 0.05  # seconds: for so long a worker is kept, so that the others have a job each


def lateness(contender: Contender, count: int, at_once: int) -> list[float]:
    """Seconds from the deadlines of `count` jobs until their callers know, so many side by side.

    Before that, each of its workers has run a job: what a new one imports for its first would have
    the job's clock begin before it says so.
    """
    late: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(0, count, at_once):
            warm = [contender.submit(tasks.nap, WARM) for _ in range(contender.workers)]
            concurrent.futures.wait(warm)
            diaries = [os.path.join(folder, str(number + each)) for each in range(at_once)]
            heard = [0.0] * at_once
            futures = [contender.submit_limited(LIMIT, tasks.overrun, diary) for diary in diaries]
            over = threading.Barrier(at_once)
            waiters = [
                threading.Thread(target=_await, args=(future, heard, each, over))
                for each, future in enumerate(futures)
            ]
            for waiter in waiters:
                waiter.start()
            for waiter in waiters:
                waiter.join()
            for diary, moment in zip(diaries, heard, strict=True):
                with open(diary) as file:
                    late.append(moment - float(file.read()) - LIMIT)
    return late


def _await(future: Future[Any], heard: list[float], at: int, over: threading.Barrier) -> None:
    error = future.exception()
    heard[at] = time.monotonic()
    over.wait()  # for a thread to end takes a core's time, too
    if not isinstance(error, (TimeoutError, concurrent.futures.TimeoutError)):
        raise TypeError(f"a timeout came as {error!r}")


def disturbed(contender: Contender, seconds: float) -> float:
    """No-op jobs a second while one worker after another is killed, by those when none is.

    In both cases one worker is taken: by a job that only sleeps, or by one job after another that
    is killed after 50 ms.
    """
    calm = _rate(contender, lambda: contender.submit(tasks.nap, 1.5 * seconds), seconds)
    return _rate(contender, lambda: _victims(contender, seconds), seconds) / calm


def _victims(contender: Contender, seconds: float) -> Future[Any]:
    """Jobs that are killed, each as soon as the one before it was."""
    ends = time.monotonic() + 1.5 * seconds
    over: Future[Any] = Future()

    def another(_: object) -> None:
        if time.monotonic() < ends:
            contender.submit_limited(0.05, tasks.nap, 60.0).add_done_callback(another)
        else:
            over.set_result(None)

    another(None)
    return over


def _rate(contender: Contender, disturb: Callable[[], Future[Any]], seconds: float) -> float:
    disturbance = disturb()
    rates = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        for future in [contender.submit(tasks.nothing) for _ in range(1000)]:
            future.result()
        rates.append(1000 / (time.perf_counter() - start))
    disturbance.result()
    return statistics.median(rates)

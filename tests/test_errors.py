"""The exceptions: whose children they are, and that they travel with all they say."""

from __future__ import annotations

import builtins
import concurrent.futures
import copy
import pickle
import queue
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from ezpq_exec import errors
from ezpq_exec.errors import (
    ExecutorFull,
    JobError,
    JobKilled,
    JobTimeout,
    LaneStopped,
    MemoryLimitExceeded,
    QueueTimeout,
    RemoteError,
    UnsupportedOption,
    WorkerDied,
)

FULL: list[JobError] = [
    JobTimeout("late", timeout=2.5, pid=7, stack="File x", survivors=(8, 9)),
    QueueTimeout("waited", timeout=3),
    JobKilled("killed", pid=7, stack="File x", survivors=(8,)),
    MemoryLimitExceeded("large", limit=5, peak=6, pid=7, stack="File x", survivors=(8,)),
    WorkerDied("died", pid=7, exitcode=-11, signal="SIGSEGV", stack="File x", survivors=(8,)),
    LaneStopped("no", predecessor=3, predecessor_name="x", verdict="skipped", first=1),
    RemoteError("odd", type_name="a.B", text="text", traceback="Traceback"),
    JobError("plain"),
]


class OwnTimeout(JobTimeout):
    """A user's subclass, with a signature of its own."""

    def __init__(self, seconds: float, where: str) -> None:
        super().__init__(f"{seconds} at {where}", timeout=seconds)
        self.where = where


def by_pickle(protocol: int) -> Callable[[Any], Any]:
    """A way of copying."""
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


WAYS = [*(by_pickle(protocol) for protocol in range(6)), copy.copy, copy.deepcopy]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_copies_have_everything(error: JobError, way: Callable[[JobError], JobError]) -> None:
    """Pickled at any protocol, or copied, an exception keeps type, text and attributes."""
    twin = way(error)
    assert twin is not error
    assert type(twin) is type(error)
    assert (str(twin), twin.args) == (str(error), error.args)
    assert vars(twin) == vars(error)
    assert all(value is not None for value in vars(twin).values()) or type(twin) is QueueTimeout


@pytest.mark.parametrize("way", WAYS)
def test_subclasses_are_copied_too(way: Callable[[OwnTimeout], OwnTimeout]) -> None:
    """A subclass need not take the arguments that its parents take."""
    twin = way(OwnTimeout(2.5, "here"))
    assert (str(twin), twin.timeout, twin.where) == ("2.5 at here", 2.5, "here")


def test_notes_travel() -> None:
    """What was noted on an exception goes with it."""
    error = JobKilled("killed", pid=7)
    error.__dict__["__notes__"] = ["seen"]
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["seen"]


@pytest.mark.parametrize("kind", [JobTimeout, QueueTimeout])
@pytest.mark.parametrize(
    "name", [builtins.TimeoutError, concurrent.futures.TimeoutError, JobError, JobTimeout]
)
def test_timeouts_are_caught_by_every_name(
    kind: type[JobTimeout], name: type[BaseException]
) -> None:
    """Callers catch a time-out as they always did."""
    with pytest.raises(name):
        raise kind("late", timeout=1)


@pytest.mark.parametrize(
    "name", [BrokenProcessPool, concurrent.futures.BrokenExecutor, RuntimeError, JobError]
)
def test_worker_died_is_caught_by_every_name(name: type[BaseException]) -> None:
    """Callers catch a dead worker as they did with the stdlib's pools."""
    with pytest.raises(name):
        raise WorkerDied("died", exitcode=1)


def test_kill_is_neither_timeout_nor_death() -> None:
    """What was killed on request is not mistaken for something else, nor for a cancellation."""
    others = (TimeoutError, BrokenProcessPool, concurrent.futures.CancelledError)
    assert not issubclass(JobKilled, others)


def test_refusals_are_caught_by_their_old_names() -> None:
    """An option that cannot be honoured is a ValueError; a full executor is a full queue."""
    assert issubclass(UnsupportedOption, ValueError)
    assert issubclass(ExecutorFull, queue.Full)
    assert not issubclass(UnsupportedOption, JobError)


@pytest.mark.parametrize("error", [UnsupportedOption("no memory_limit"), ExecutorFull("full")])
def test_refusals_travel(error: Exception) -> None:
    """These pickle as well."""
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), str(twin)) == (type(error), str(error))


@pytest.mark.parametrize("kind", [JobTimeout, QueueTimeout, JobKilled, WorkerDied, RemoteError])
def test_all_attributes_have_defaults(kind: type[JobError]) -> None:
    """Each can be made of a message alone, and then says nothing more."""
    error = kind("only this")
    assert str(error) == "only this"
    assert not any(vars(error).values())


def test_all_are_listed() -> None:
    """Every exception of the module is public, and nothing else."""
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__ and name[0] != "_"
    }
    assert defined == set(errors.__all__)

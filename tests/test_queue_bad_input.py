"""What ezpq's users may get wrong is refused at the call, naming what was given and what is taken."""

from __future__ import annotations

import queue as stdlib_queue
from collections.abc import Callable, Iterator
from multiprocessing import Process
from threading import Thread
from typing import Any

import pytest

import ezpq_exec as ezpq
from ezpq_exec import UnsupportedOption
from queuework import same

NAN = float("nan")


@pytest.fixture(params=[Process, Thread], ids=["processes", "threads"])
def queue(request: pytest.FixtureRequest) -> Iterator[ezpq.Queue]:
    with ezpq.Queue(1, job_runner=request.param) as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "argument", "value"),
    [
        (ValueError, "n_workers", 0),
        (TypeError, "n_workers", "2"),
        (TypeError, "n_workers", 2.0),
        (ValueError, "max_size", -1),
        (TypeError, "max_size", 1.5),
        (ValueError, "job_runner", "Process"),
        (ValueError, "job_runner", int),
        (ValueError, "job_runner", None),
        (TypeError, "callback", 5),
        (TypeError, "log_file", 5.5),
        (ValueError, "poll", 0),
        (ValueError, "poll", NAN),
        (TypeError, "poll", "0.1"),
    ],
)
def test_wrong_arguments_of_queue(kind: type[Exception], argument: str, value: Any) -> None:
    with pytest.raises(kind) as caught:
        ezpq.Queue(**{argument: value})
    message = str(caught.value)
    assert argument in message
    assert repr(value) in message


def test_a_class_that_is_no_job_runner() -> None:
    """In the first place, too, where 0.1 has it."""
    with pytest.raises(
        ValueError, match=r"multiprocessing.Process or threading.Thread, not <class 'int'>"
    ):
        ezpq.Queue(int)


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((1,) * 12, {}, "takes 11 arguments by position, not 12"),
        ((Process, *[1] * 9), {}, "takes 9 arguments by position, not 10"),
        ((), {"workers": 3}, "no argument 'workers'; it has n_workers, max_size"),
        ((3,), {"n_workers": 3}, "two values for 'n_workers'"),
    ],
)
def test_wrong_calls_of_queue(args: Any, kwargs: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        ezpq.Queue(*args, **kwargs)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (TypeError, {"function": 5}, "callable, not 5"),
        (TypeError, {"kwargs": [1]}, r"kwargs must be a dict or None, not \[1\]"),
        (TypeError, {"timeout": "5"}, "timeout must be a number of seconds.*not '5'"),
        (ValueError, {"timeout": NAN}, "timeout must be.*nan"),
        (TypeError, {"priority": "high"}, "priority must be a real number, not 'high'"),
        (ValueError, {"priority": NAN}, "priority.*nan"),
        (TypeError, {"lane": {}}, "lane must be hashable.*{}"),
    ],
)
def test_wrong_jobs(queue: ezpq.Queue, kind: type[Exception], given: Any, words: str) -> None:
    """They are refused by put, and leave no trace."""
    with pytest.raises(kind, match=words):
        queue.put(**{"function": same, "args": [1], **given})
    assert (queue.size(), queue.n_submitted()) == (0, 0)
    assert queue.put(same, 1) == 1


def test_timeouts_need_processes() -> None:
    """A timeout with threads is refused, by put, submit and map, and the reason is named."""
    with ezpq.Queue(1, job_runner=Thread) as queue:
        for call in (
            lambda: queue.put(same, 1, timeout=5),
            lambda: queue.submit(ezpq.Job(same, 1, timeout=5)),
            lambda: queue.map(same, [1], timeout=5),
        ):
            with pytest.raises(UnsupportedOption, match=r"timeout=5 .* a thread cannot be killed"):
                call()
        assert queue.size() == 0
        queue.put(same, 1, timeout=0)
        queue.put(same, 1, timeout=None)
        assert queue.wait() == 0


def test_max_size_is_a_stdlib_full(queue: ezpq.Queue) -> None:
    with ezpq.Queue(1, max_size=1, job_runner=Thread) as small:
        small.put(same, 1)
        with pytest.raises(stdlib_queue.Full, match="max_size=1"):
            small.put(same, 1)


def test_other_calls(queue: Any) -> None:
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: queue.submit(same), "submit takes a Job, not"),
        (lambda: queue.map(same, 5), "nothing to iterate over in 5"),
        (lambda: queue.map(5, [1]), "callable, not 5"),
        (lambda: queue.starmap(same, [5]), "nothing to iterate over in 5"),
        (lambda: queue.wait(timeout="5"), "timeout must be a number of seconds"),
        (lambda: queue.wait(poll="5"), "poll must be a number of seconds"),
        (lambda: queue.get(poll="5"), "poll must be a number of seconds"),
        (lambda: queue.wait_worker(timeout=[]), "timeout must be a number of seconds"),
        (lambda: queue.set_workers("3"), "n must be an integer, not '3'"),
    ]
    for call, words in calls:
        with pytest.raises(TypeError, match=words):
            call()
    with pytest.raises(ValueError, match="n must be greater than 0, not 0"):
        queue.set_workers(0)

"""`Queue` does what ezpq's did, row by row, with processes and with threads."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from multiprocessing import Process
from threading import Thread
from typing import Any

import pytest

import ezpq_exec as ezpq
from ezpq_exec import ExecutorFull
from ezpq_exec.ledger import Ledger
from gates import PATIENCE, Gate, hold
from queuework import Unprintable, fail, grumble, same, unprintable
from workload import add, forever, keywords

KEYS = [
    "qid",
    "id",
    "name",
    "priority",
    "lane",
    "timeout",
    "function",
    "args",
    "kwargs",
    "submitted",
    "started",
    "ended",
    "processed",
    "exitcode",
    "cancelled",
    "runtime",
    "output",
    "exception",
    "callback",
]


class QueueMaker:
    """Makes queues over one kind of runner, which are disposed of after the test."""

    def __init__(self, runner: type) -> None:
        self.runner = runner
        self.made: list[ezpq.Queue] = []

    def __call__(self, n_workers: int = 2, **options: Any) -> ezpq.Queue:
        self.made.append(ezpq.Queue(n_workers, job_runner=self.runner, **options))
        return self.made[-1]


@pytest.fixture(params=[Process, Thread], ids=["processes", "threads"])
def make_queue(request: pytest.FixtureRequest, gates: list[Gate]) -> Iterator[QueueMaker]:
    maker = QueueMaker(request.param)
    yield maker
    for gate in gates:
        gate.open(4096)
    for queue in maker.made:
        queue.dispose()


@pytest.fixture
def make_processes(gates: list[Gate]) -> Iterator[QueueMaker]:
    maker = QueueMaker(Process)
    yield maker
    for gate in gates:
        gate.open(4096)
    for queue in maker.made:
        queue.dispose()


def outputs(jobs: list[dict[str, Any]]) -> list[Any]:
    return [job["output"] for job in jobs]


# Making one ---------------------------------------------------------------------------------


def test_arguments_are_where_0_2_has_them() -> None:
    """By position: n_workers, max_size, job_runner, auto_remove, auto_start, auto_stop, callback."""
    seen: list[Any] = []
    queue = ezpq.Queue(3, 7, Thread, False, False, False, seen.append, None, 0.05, False, "mine")
    with queue:
        assert (queue.n_workers(), queue.qid, queue.is_running) == (3, "mine", False)
        queue.put(same, 1)
        queue.start()
        assert queue.wait() == 0
        assert seen[0]["output"] == 1
        for _ in range(6):
            queue.put(same, 1)
        with pytest.raises(ExecutorFull):
            queue.put(same, 1)


@pytest.mark.parametrize("runner", [Process, Thread])
def test_arguments_are_where_0_1_has_them(runner: type) -> None:
    """A class in the first place is 0.1's job_runner: n_workers, max_size, auto_remove … follow."""
    with ezpq.Queue(runner, 3, 2, False, False) as queue:
        assert (queue.n_workers(), queue.is_running) == (3, False)
        queue.put(os.getpid)
        queue.put(os.getpid)
        assert queue.is_full()
        queue.start()
        queue.wait()
        pids = set(outputs(queue.collect()))
        assert (os.getpid() in pids) == (runner is Thread)
    with ezpq.Queue(runner, n_workers=5) as queue:
        assert queue.n_workers() == 5
    with ezpq.Queue(job_runner=runner) as queue:
        assert queue.n_workers() == multiprocessing.cpu_count()


def test_qid_is_eight_hexadecimal_digits_or_what_was_given() -> None:
    with ezpq.Queue(1, job_runner=Thread) as queue:
        queue.put(same, 1)
        queue.wait()
        assert re.fullmatch("[0-9a-f]{8}", queue.collect()[0]["qid"])
    with ezpq.Queue(1, job_runner=Thread, qid="q7") as queue:
        assert queue.map(same, [1])[0]["qid"] == "q7"


def test_a_queue_that_is_never_used_starts_nothing() -> None:
    """No thread and no process comes before the first job."""
    before = threading.active_count()
    queue = ezpq.Queue(2)
    assert threading.active_count() == before
    queue.dispose()


# A job's dict -------------------------------------------------------------------------------


def test_dict_of_a_job_that_returned(make_queue: QueueMaker) -> None:
    """All keys in ezpq's order, naive local times in their order, the seconds that it ran."""
    queue = make_queue(qid="q")
    before = datetime.now()  # noqa: DTZ005
    assert queue.put(add, [1], {"b": 2}, name="sum", priority=3) == 1
    assert queue.wait() == 0
    job = queue.get()
    assert job is not None
    assert list(job) == KEYS
    assert (job["qid"], job["id"], job["name"], job["priority"]) == ("q", 1, "sum", 3)
    assert (job["function"], job["args"], job["kwargs"]) == ("add", [1], {"b": 2})
    assert (job["lane"], job["timeout"], job["exitcode"], job["cancelled"]) == (None, 0, 0, False)
    assert (job["output"], job["exception"], job["callback"]) == (3, None, None)
    times = [before, *(job[key] for key in ("submitted", "started", "ended", "processed"))]
    assert times == sorted(times)
    assert all(each.tzinfo is None for each in times)
    assert job["runtime"] == pytest.approx(
        (job["ended"] - job["started"]).total_seconds(), abs=1e-5
    )


def test_name_is_the_id_if_there_is_none(make_queue: QueueMaker) -> None:
    queue = make_queue()
    for _ in range(3):
        queue.put(same, 0)
    queue.wait()
    assert [(job["id"], job["name"]) for job in queue.collect()] == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(
    ("args", "kwargs", "given", "listed"),
    [
        (None, None, ((), {}), None),
        (5, None, ((5,), {}), [5]),
        ((1, 2), None, ((1, 2), {}), [1, 2]),
        ("ab", None, (("a", "b"), {}), ["a", "b"]),
        (range(2), {"k": 1}, ((0, 1), {"k": 1}), [0, 1]),
    ],
)
def test_args(make_queue: QueueMaker, args: Any, kwargs: Any, given: Any, listed: Any) -> None:
    """What cannot be iterated over is the one argument; the dict has them as a list, or None."""
    queue = make_queue()
    queue.put(keywords, args, kwargs)
    queue.wait()
    job = queue.collect()[0]
    assert (tuple(job["output"][0]), job["output"][1]) == given
    assert (job["args"], job["kwargs"]) == (listed, kwargs)


@pytest.mark.parametrize(("suppress", "exitcode"), [(False, 1), (True, -1)])
def test_dict_of_a_job_that_raised(
    make_queue: QueueMaker, capfd: pytest.CaptureFixture[str], suppress: bool, exitcode: int
) -> None:
    """Its exitcode is 1, its exception the traceback's text, which is on stderr, too; unless suppressed."""
    queue = make_queue()
    queue.put(fail, ['says "no"'], suppress_errors=suppress)
    queue.wait()
    job = queue.collect()[0]
    assert (job["exitcode"], job["cancelled"], job["output"]) == (exitcode, False, None)
    assert job["exception"].startswith("Traceback (most recent call last):\n")
    assert job["exception"].endswith('ValueError: says "no"\n')
    assert "queuework.py" in job["exception"]
    assert "ezpq_exec" not in job["exception"]
    assert ('ValueError: says "no"' in capfd.readouterr().err) is not suppress


def test_dict_of_a_job_that_could_not_be_sent(make_processes: QueueMaker) -> None:
    """An argument that does not pickle fails its own job, and no other."""
    queue = make_processes()
    queue.put(same, [threading.Lock()], suppress_errors=True)
    queue.put(same, [1])
    queue.wait()
    bad, good = queue.collect()
    assert (bad["exitcode"], bad["started"], bad["cancelled"]) == (-1, None, False)
    assert "pickle" in bad["exception"]
    assert good["output"] == 1


def test_dict_of_a_job_that_timed_out(make_processes: QueueMaker) -> None:
    """It is cancelled, its exit code is minus the signal's number; its siblings go on."""
    queue = make_processes()
    queue.put(forever, timeout=0.2)
    queue.put(same, 1)
    assert queue.wait() == 0
    job, other = queue.collect()
    assert (job["cancelled"], job["exitcode"], job["output"]) == (True, -9, None)
    assert 0.2 <= job["runtime"] < PATIENCE
    assert other["output"] == 1


def test_dict_of_a_job_that_died(make_processes: QueueMaker) -> None:
    queue = make_processes()
    queue.put(os._exit, 3)
    queue.put(os.abort)
    queue.wait()
    left, aborted = queue.collect()
    assert (left["exitcode"], left["cancelled"]) == (3, False)
    assert (aborted["exitcode"], aborted["cancelled"]) == (-6, False)
    assert "SIGABRT" in aborted["exception"]


def test_output_of_any_kind_breaks_nothing(
    make_queue: QueueMaker, capfd: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    """Objects whose repr raises, exceptions whose text raises, huge texts, arrays, frames."""
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    queue = make_queue(log_file=tmp_path / "log.csv", callback=lambda job: job["output"])
    queue.put(unprintable)
    queue.put(grumble)
    for value in ("x" * 3_000_000, numpy.zeros((3, 3)), pandas.DataFrame({"a": [1, 2]})):
        queue.put(same, [value])
    assert queue.wait() == 0
    jobs = queue.collect()
    assert [job["exitcode"] for job in jobs] == [0, 1, 0, 0, 0]
    assert isinstance(jobs[0]["output"], Unprintable)
    assert "Grumpy" in jobs[1]["exception"]
    assert len(jobs[2]["output"]) == 3_000_000
    assert jobs[3]["output"].shape == jobs[3]["callback"].shape == (3, 3)
    assert list(jobs[4]["output"]["a"]) == [1, 2]


def test_a_data_frame_can_be_made_of_the_list(make_queue: QueueMaker) -> None:
    pandas = pytest.importorskip("pandas")
    queue = make_queue()
    frame = pandas.DataFrame(queue.map(same, range(3)))
    assert list(frame["output"]) == [0, 1, 2]
    assert list(frame.columns) == KEYS


# Parts ----------------------------------------------------------------------------------------


def waited(queue: ezpq.Queue, gate: Gate, n: int) -> int:
    """What `wait` says for `n` jobs, which are let go once it has begun: it is for `n` more than then."""
    wait_until = Ledger.wait_until

    def open_and_wait(ledger: Ledger, *args: Any) -> bool:
        gate.open(n)
        return wait_until(ledger, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "wait_until", open_and_wait)
        return queue.wait(n=n)


def test_sizes_follow_the_jobs(make_queue: QueueMaker, gate: Gate) -> None:
    """Every job is in one part: waiting, working, completed; get and collect take it out."""
    queue = make_queue(2, max_size=5)
    for _ in range(5):
        queue.put(hold, [gate.path])
    gate.heard(2)
    assert queue.size(working=True) <= 2
    _until(queue, lambda: queue.size(working=True) == 2)
    sizes = (queue.size(waiting=True), queue.size(working=True), queue.size(completed=True))
    assert sizes == (3, 2, 0)
    assert (queue.size(), queue.size(waiting=True, working=True)) == (5, 5)
    assert (queue.n_workers_free(), queue.is_working(), queue.is_busy()) == (0, True, True)
    assert (queue.n_submitted(), queue.n_completed(), queue.remaining_jobs()) == (5, 0, 5)
    assert (queue.is_full(), queue.is_empty(), queue.has_waiting()) == (True, False, True)
    assert waited(queue, gate, 3) == 0
    gate.heard(3)
    assert queue.size(completed=True) == 3
    assert queue.get() is not None
    assert queue.size() == 4
    assert not queue.is_full()
    gate.open(2)
    assert queue.wait() == 0
    assert (queue.n_completed(), queue.remaining_jobs(), queue.has_work()) == (5, 0, False)
    assert (queue.is_working(), queue.is_busy(), queue.has_completed()) == (False, False, True)
    assert len(queue.collect()) == 4
    assert queue.is_empty()


def _until(queue: ezpq.Queue, condition: Callable[[], bool]) -> None:
    """Wait for what the executor notes a moment after the job itself has spoken."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        queue.wait(timeout=0.001)


def test_size_is_exact_under_any_concurrency(make_queue: QueueMaker) -> None:  # noqa: C901
    """While threads put and take, no look finds a job too many, too few, or too many at work."""
    queue = make_queue(2)
    total, takers = 600, 2
    taken: list[int] = []
    wrong: list[Any] = []
    over = threading.Event()

    def put() -> None:
        for number in range(total // 2):
            queue.put(same, number, suppress_errors=True)

    def take() -> None:
        while len(taken) < total and not over.is_set():
            job = queue.get(timeout=0.01)
            if job is not None:
                taken.append(job["id"])

    def look() -> None:
        while not over.is_set():
            taken_before, submitted_before = len(taken), queue.n_submitted()
            size = queue.size()
            submitted_after, taken_after = queue.n_submitted(), len(taken)
            low = submitted_before - taken_after - takers  # those that are taken, but not noted
            if not low <= size <= submitted_after - taken_before:
                wrong.append((low, size, submitted_after - taken_before))
            if queue.size(working=True) > 2:
                wrong.append("working")

    watcher = Thread(target=look)
    workers = [Thread(target=each) for each in (put, put, *[take] * takers)]
    for thread in (watcher, *workers):
        thread.start()
    for thread in workers:
        thread.join(PATIENCE)
    over.set()
    watcher.join()
    assert sorted(taken) == list(range(1, total + 1))
    assert wrong == []
    assert queue.size() == 0


def test_max_size_counts_what_is_completed(make_queue: QueueMaker) -> None:
    """One more than max_size raises, and says what is full; collecting makes room."""
    queue = make_queue(max_size=2)
    queue.put(same, 1)
    queue.put(same, 2)
    queue.wait()
    with pytest.raises(ExecutorFull, match=r"max_size=2 .* completed and not yet collected: 2"):
        queue.put(same, 3)
    assert (queue.n_submitted(), queue.size()) == (2, 2)
    queue.collect()
    assert queue.put(same, 3) == 3
    queue.wait()


def test_max_size_holds_against_many_threads(make_queue: QueueMaker, gate: Gate) -> None:
    """However many put at once, exactly max_size jobs get in."""
    queue = make_queue(1, max_size=50)
    queue.put(hold, [gate.path])
    refused: list[Any] = []

    def put() -> None:
        for number in range(30):
            try:
                queue.put(same, number)
            except ExecutorFull as error:
                refused.append(error)

    threads = [Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(refused) == 4 * 30 - 49
    assert queue.size() == 50
    gate.open()
    queue.wait()


# Order ----------------------------------------------------------------------------------------


def test_jobs_start_and_are_collected_by_priority_and_submission(make_queue: QueueMaker) -> None:
    queue = make_queue(1, auto_start=False)
    for priority in (2, 1, 2, 0.5, 1):
        queue.put(time.monotonic, priority=priority)
    queue.start()
    queue.wait()
    jobs = queue.collect()
    assert [(job["priority"], job["id"]) for job in jobs] == [
        (0.5, 4),
        (1, 2),
        (1, 5),
        (2, 1),
        (2, 3),
    ]
    assert outputs(jobs) == sorted(outputs(jobs))
    assert jobs == sorted(jobs, key=lambda job: (job["priority"], job["submitted"]))


def test_get_pops_what_comes_first(make_queue: QueueMaker) -> None:
    queue = make_queue()
    for priority in (3, 1, 2):
        queue.put(same, [priority], priority=priority)
    queue.wait()
    assert [queue.get(), queue.get(), queue.get(), queue.get()][3] is None
    assert queue.get(wait=True) is None  # and none can come


@pytest.mark.parametrize("how", [{"wait": True}, {"poll": 0.1}, {"timeout": PATIENCE}])
def test_get_can_wait(make_queue: QueueMaker, gate: Gate, how: dict[str, Any]) -> None:
    """wait, poll or timeout make it wait for a job; without them it returns at once."""
    queue = make_queue()
    queue.put(hold, [gate.path])
    gate.heard()
    assert queue.get() is None
    threading.Timer(0.05, gate.open).start()
    job = queue.get(**how)
    assert job is not None
    assert job["id"] == 1


def test_get_gives_up_at_its_timeout(make_queue: QueueMaker, gate: Gate) -> None:
    queue = make_queue()
    queue.put(hold, [gate.path])
    began = time.monotonic()
    assert queue.get(timeout=0.05) is None
    assert time.monotonic() - began >= 0.05


def test_collect_takes_as_many_as_asked(make_queue: QueueMaker) -> None:
    queue = make_queue()
    for number in range(5):
        queue.put(same, number)
    queue.wait()
    assert outputs(queue.collect(2)) == [0, 1]
    assert outputs(queue.collect(9)) == [2, 3, 4]
    assert queue.collect() == []


# Waiting --------------------------------------------------------------------------------------


def test_wait_tells_how_many_are_left(make_queue: QueueMaker, gate: Gate) -> None:
    """At its timeout, it returns how many are not completed; otherwise 0."""
    queue = make_queue(2)
    for _ in range(4):
        queue.put(hold, [gate.path])
    assert queue.wait(timeout=0.02) == 4
    assert queue.wait(timeout=0.02, n=3) == 3
    assert waited(queue, gate, 1) == 0
    assert queue.wait(0, 0.02) == 3
    gate.open(3)
    assert queue.wait() == 0
    assert queue.wait(n=2) == 0  # there are none


def test_wait_worker(make_queue: QueueMaker, gate: Gate) -> None:
    """It waits until a worker is free and nothing waits."""
    queue = make_queue(2)
    assert queue.wait_worker()
    for _ in range(3):
        queue.put(hold, [gate.path])
    assert not queue.wait_worker(timeout=0.02)
    gate.open(2)
    assert queue.wait_worker(timeout=PATIENCE)
    assert not queue.is_busy()
    gate.open()


def test_bars_move_with_the_jobs(make_queue: QueueMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """waitpb, wait(show_progress=True) and map(show_progress=True) count every job on a bar."""
    from ezpq_exec import progress

    bars: list[list[int]] = []

    class Bar:
        def __init__(self, total: int, label: str | None = None) -> None:
            bars.append([total])

        def update(self, n: int) -> None:
            bars[-1].append(n)

        def refresh(self) -> None:
            pass

        def close(self) -> None:
            bars[-1].append(-1)

    monkeypatch.setattr(progress, "bar", Bar)
    queue = make_queue(2)
    waits: list[Callable[[], int]] = [queue.waitpb, lambda: queue.wait(show_progress=True)]
    for wait in waits:
        queue.stop()
        for _ in range(20):
            queue.put(same, 0)
        queue.start()
        assert wait() == 0
    assert len(queue.map(same, range(20), show_progress=True)) == 60
    for total, *moves, end in bars:
        assert (sum(moves), end) == (total, -1)
    assert len(bars) == 3
    assert bars[0][0] <= 20


def test_a_real_bar_is_drawn(make_queue: QueueMaker, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    queue = make_queue()
    queue.map(same, range(7), show_progress=True)
    assert "7/7" in capfd.readouterr().err


# Many at once ---------------------------------------------------------------------------------


def test_map(make_queue: QueueMaker) -> None:
    """The item comes first, then args; kwargs go to each."""
    queue = make_queue()
    jobs = queue.map(keywords, range(3), args=[7], kwargs={"k": 1}, timeout=0)
    assert [(tuple(a), k) for a, k in outputs(jobs)] == [((n, 7), {"k": 1}) for n in range(3)]
    assert jobs[2]["args"] == [2, 7]
    assert [tuple(a) for a, _ in outputs(queue.map(keywords, "ab", 8))] == [("a", 8), ("b", 8)]


def test_starmap_and_starmapkw(make_queue: QueueMaker) -> None:
    queue = make_queue()
    assert outputs(queue.starmap(pow, [[2, 3], (3, 2)])) == [8, 9]
    assert outputs(queue.starmap(pow, [[2], (3,)], args=[2])) == [4, 9]
    jobs = queue.starmapkw(keywords, [{"a": 1}, {"a": 2, "b": 3}], args=[0], kwargs={"b": 9})
    assert [(tuple(a), k) for a, k in outputs(jobs)] == [
        ((0,), {"a": 1, "b": 9}),
        ((0,), {"a": 2, "b": 9}),
    ]


def test_map_with_a_timeout_for_each(make_processes: QueueMaker) -> None:
    queue = make_processes()
    jobs = queue.map(time.sleep, [0, 3600], timeout=0.2)
    assert [job["cancelled"] for job in jobs] == [False, True]


def test_a_thousand_jobs_take_a_fraction_of_a_second(make_queue: QueueMaker) -> None:
    """1,000 jobs through put, wait and collect; the bound leaves room for a busy machine."""
    queue = make_queue()
    queue.map(same, range(2))
    began = time.monotonic()
    for number in range(1000):
        queue.put(same, number)
    queue.wait()
    assert outputs(queue.collect()) == list(range(1000))
    assert time.monotonic() - began < 10


# Callbacks ------------------------------------------------------------------------------------


def test_callback_gets_the_dict_and_gives_the_key(make_queue: QueueMaker) -> None:
    """Called in the parent; what it returns, or its exception's text, is the dict's "callback"."""
    seen: list[Any] = []

    def callback(job: dict[str, Any]) -> Any:
        seen.append((job["id"], job["output"], job["processed"], os.getpid()))
        if job["output"] == 2:
            raise ValueError("two")
        return job["output"] * 10

    queue = make_queue(callback=callback)
    jobs = queue.map(same, [1, 2])
    assert [job["callback"] for job in jobs] == [10, "two"]
    assert sorted(seen) == [(1, 1, None, os.getpid()), (2, 2, None, os.getpid())]


def test_a_job_works_until_its_callback_was_called(make_queue: QueueMaker) -> None:
    """While the callback is under way, the job is not completed, nor collected."""
    here, go_on = threading.Event(), threading.Event()

    def callback(_: Any) -> None:
        here.set()
        go_on.wait(PATIENCE)

    queue = make_queue(callback=callback)
    queue.put(same, 1)
    assert here.wait(PATIENCE)
    assert (queue.size(working=True), queue.size(completed=True)) == (1, 0)
    assert queue.wait(timeout=0.01) == 1
    go_on.set()
    assert queue.wait() == 0


def test_a_callback_may_put_but_not_wait(make_queue: QueueMaker) -> None:
    """A callback that puts more jobs works; one that would wait for itself is told so."""
    errors: list[Any] = []

    def callback(job: dict[str, Any]) -> None:
        if job["output"] < 3:
            queue.put(same, job["output"] + 1)
        for wait in (queue.wait, queue.wait_worker):
            try:
                wait()
            except RuntimeError as error:
                errors.append(str(error))

    queue = make_queue(callback=callback, auto_remove=False)
    queue.put(same, 1)
    assert queue.wait() == 0
    assert outputs(queue.collect()) == [1, 2, 3]
    assert all("callback" in text for text in errors)
    assert len(errors) >= 6


def test_a_callback_may_stop_all(make_queue: QueueMaker, gate: Gate) -> None:
    """stop_all in a callback does not wait for itself."""
    stopped = threading.Event()

    def callback(job: dict[str, Any]) -> None:
        if job["id"] == 1:
            gate.heard()  # the next one runs
            queue.stop_all()
            stopped.set()

    queue = make_queue(1, callback=callback)
    for _ in range(4):
        queue.put(hold, [gate.path])
    gate.heard()
    gate.open()
    assert stopped.wait(PATIENCE)
    gate.open(4)
    assert queue.wait() == 0
    jobs = queue.collect()
    assert [job["id"] for job in jobs] == [1, 2, 3, 4]
    assert [job["cancelled"] for job in jobs[2:]] == [True, True]


# Starting and stopping ------------------------------------------------------------------------


def test_jobs_put_while_stopped_wait_for_start(make_queue: QueueMaker) -> None:
    """auto_start=False and stop() hold jobs back; start() runs them in the order of priority."""
    queue = make_queue(1, auto_start=False)
    assert not queue.is_running
    for priority in (3, 1, 2):
        queue.put(time.monotonic, name=str(priority), priority=priority)
    assert queue.wait(timeout=0.05) == 3
    assert queue.size(waiting=True) == 3
    queue.start()
    assert queue.is_running
    assert queue.is_started()
    queue.wait()
    by_start = sorted(queue.collect(), key=lambda job: job["output"])
    assert [job["name"] for job in by_start] == ["1", "2", "3"]
    queue.stop()
    queue.put(same, 1)
    assert (queue.is_running, queue.wait(timeout=0.05)) == (False, 1)
    queue.start()
    assert queue.wait() == 0


def test_auto_stop(make_queue: QueueMaker) -> None:
    """A queue with auto_stop stops once nothing waits or runs, and can be started again."""
    queue = make_queue(auto_stop=True)
    for number in range(5):
        queue.put(same, number)
    assert queue.wait() == 0
    _until(queue, lambda: not queue.is_running)
    queue.put(same, 5)
    assert queue.wait(timeout=0.05) == 1
    queue.start()
    assert queue.wait() == 0


def test_auto_remove(make_queue: QueueMaker) -> None:
    """Completed jobs are dropped, and are no part of the size; get says that there are none."""
    seen: list[int] = []
    queue = make_queue(auto_remove=True, max_size=3, callback=lambda job: seen.append(job["id"]))
    for _ in range(2):
        queue.map(same, range(3))
    assert (queue.size(), queue.n_completed(), sorted(seen)) == (0, 6, list(range(1, 7)))
    assert queue.collect() == []
    with pytest.raises(RuntimeError, match="auto_remove"):
        queue.get()


def test_clear_waiting(make_queue: QueueMaker, gate: Gate) -> None:
    """Waiting jobs become completed ones, cancelled and never started; what runs goes on."""
    queue = make_queue(1)
    queue.put(hold, [gate.path])
    gate.heard()
    for _ in range(3):
        queue.put(same, 1)
    queue.clear_waiting()
    assert (queue.size(waiting=True), queue.size(completed=True)) == (0, 3)
    for job in queue.collect():
        assert (job["cancelled"], job["started"], job["ended"]) == (True, None, None)
        assert (job["exitcode"], job["runtime"], job["exception"]) == (None, None, None)
        assert job["processed"] >= job["submitted"]
    gate.open()
    assert queue.wait() == 0
    assert queue.collect()[0]["cancelled"] is False


def test_stop_all_kills(make_processes: QueueMaker, gate: Gate) -> None:
    """What runs is killed, what waits is cancelled; the queue goes on."""
    queue = make_processes(2)
    for _ in range(4):
        queue.put(hold, [gate.path])
    pids = set(gate.pids(2))
    queue.stop_all()
    jobs = queue.collect()
    assert [job["cancelled"] for job in jobs] == [True] * 4
    assert [job["exitcode"] for job in jobs] == [-9, -9, None, None]
    queue.put(os.getpid)
    queue.wait()
    assert outputs(queue.collect())[0] not in pids


def test_stop_all_waits_for_threads(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """Threads cannot be killed: that is logged, and they are waited for."""
    with ezpq.Queue(1, job_runner=Thread) as queue:
        queue.put(hold, [gate.path])
        queue.put(same, 1)
        gate.heard()
        queue.stop_all(wait=False)
        assert "Unable to terminate thread" in caplog.text
        assert queue.size(working=True) == 1
        gate.open()
        queue.stop_all()
        assert [job["cancelled"] for job in queue.collect()] == [False, True]


def test_dispose_closes(make_queue: QueueMaker, gate: Gate) -> None:
    """It stops all, forgets all, and takes no more; a second time, it does nothing."""
    queue = make_queue()
    queue.map(same, range(2))
    queue.put(same, 1)
    queue.dispose()
    assert (queue.size(), queue.n_submitted(), queue.n_completed()) == (0, 0, 0)
    assert queue.collect() == []
    assert not queue.is_running
    for use in (lambda: queue.put(same, 1), queue.start):
        with pytest.raises(RuntimeError, match="disposed of"):
            use()
    queue.dispose()


def test_the_with_block_disposes(make_processes: QueueMaker, gate: Gate) -> None:
    """What still runs at the end of the block is killed."""
    with make_processes() as queue:
        queue.put(forever)
        queue.put(hold, [gate.path])
        gate.heard()
    assert queue.size() == 0


def test_set_workers(make_queue: QueueMaker, gate: Gate) -> None:
    """More jobs run at once, or fewer; what runs goes on."""
    queue = make_queue(1)
    for _ in range(4):
        queue.put(hold, [gate.path])
    gate.heard(1)
    queue.set_workers(3)
    gate.heard(2)
    assert queue.n_workers() == 3
    _until(queue, lambda: queue.size(working=True) == 3)
    queue.set_workers(1)
    assert (queue.size(working=True), queue.n_workers_free()) == (3, 0)
    gate.open(4)
    assert queue.wait() == 0


def test_queues_do_not_touch_each_other(make_queue: QueueMaker, gate: Gate) -> None:
    """One is stopped, resized and killed; the other one goes on."""
    one, other = make_queue(1), make_queue(1)
    other.put(hold, [gate.path])
    gate.heard()
    one.stop()
    one.set_workers(4)
    one.put(same, 1)
    one.stop_all()
    one.dispose()
    gate.open()
    assert other.wait() == 0
    assert other.collect()[0]["cancelled"] is False
    assert other.n_workers() == 1


# Job ------------------------------------------------------------------------------------------


def test_a_job_tells_what_became_of_it(make_queue: QueueMaker, gate: Gate) -> None:
    queue = make_queue(1)
    job = ezpq.Job(hold, [gate.path], name="held", priority=1)
    assert (job.is_running(), job.is_processed(), job.waiting_time()) == (False, False, 0.0)
    assert queue.submit(job) == 1
    gate.heard()
    _until(queue, job.is_running)
    assert (job.is_expired(), job.run_time(), job.get_exitcode()) == (False, None, None)
    gate.open()
    queue.wait()
    assert (job.is_running(), job.is_processed(), job.get_exitcode()) == (False, True, 0)
    done = queue.get()
    assert job.to_dict() == done
    assert str(job) == str(done)
    assert done is not None
    times = (job.get_submit_time(), job.get_start_time(), job.get_end_time())
    assert times == (done["submitted"], done["started"], done["ended"])
    assert job.get_processed_time() == done["processed"]
    assert job.run_time() == done["runtime"]
    assert job.total_time() >= job.waiting_time() + done["runtime"] - 1e-6


def test_a_job_may_be_submitted_again(make_queue: QueueMaker) -> None:
    queue = make_queue()
    job = ezpq.Job(same, 5)
    assert [queue.submit(job), queue.submit(job)] == [1, 2]
    queue.wait()
    assert outputs(queue.collect()) == [5, 5]


# Log lines ------------------------------------------------------------------------------------


def test_debug_lines(make_queue: QueueMaker, caplog: pytest.LogCaptureFixture) -> None:
    """The lines that the description shows come through `logging`, in the order of events."""
    caplog.set_level(logging.DEBUG)
    queue = make_queue(3)
    for number in range(10):
        queue.put(same, number)
    queue.wait()
    queue.dispose()
    ours = [r for r in caplog.records if r.name == "ezpq_exec" and r.process == os.getpid()]
    lines = [f"{r.levelname}: {r.getMessage()}" for r in ours]  # workers' come when they like
    assert lines[:2] == ["DEBUG: Initialized queue with 3 workers.", "DEBUG: Initialized pulse."]
    for number in range(1, 11):
        at = [
            lines.index(f"DEBUG: {words} '{number}'") for words in ("Started job", "Completed job:")
        ]
        assert at == sorted(at)
        assert f"DEBUG: Queued job: '{number}'" in lines
    assert lines[-5:] == [
        f"DEBUG: {text}."
        for text in (
            "Removed jobs",
            "Removed output",
            "Removed completed",
            "Reset counters",
            "Stopped pulse",
        )
    ]

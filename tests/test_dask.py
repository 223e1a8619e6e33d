"""Jobs on a real Dask cluster, whose workers and scheduler come, go and die."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, Security

import dasks
import ezpq_exec
from conftest import eventually, is_gone
from ezpq_exec import DaskEngine, JobKilled, JobTimeout, PriorityExecutor, WorkerDied
from ezpq_exec.engines.cluster import following, roster, session
from ezpq_exec.engines.cluster.connecting import UnfitError
from gates import PATIENCE, Gate, hold
from workload import add, child, die, sleep_for, times_called

_names = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def _shared() -> None:
    """The cluster is there before the first case."""
    dasks.shared()


class Own:
    """A Dask worker for one case, in the cluster that all share."""

    def __init__(self, *options: str, **terms: Any) -> None:
        self.name = f"own-{next(_names)}"
        self.cluster = dasks.shared()
        self.process = self.cluster.add_worker("--name", self.name, *options, **terms)

    def engine(self, **options: Any) -> DaskEngine:
        """An engine that has this Dask worker only."""
        return DaskEngine(self.cluster.address, workers=self.name, **options)


@pytest.fixture
def own() -> Iterator[Callable[..., Own]]:
    """Makes Dask workers of one's own, which end with the case."""
    made: list[Own] = []

    def make(*options: str, **terms: Any) -> Own:
        made.append(Own(*options, **terms))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def make(census: object) -> Iterator[Callable[..., PriorityExecutor]]:
    """Makes executors over engines, which are shut down after the case."""
    made: list[PriorityExecutor] = []

    def one(engine: DaskEngine, max_workers: int | None = None, **options: Any) -> PriorityExecutor:
        made.append(PriorityExecutor(max_workers, engine=engine, **options))
        return made[-1]

    yield one
    for executor in made:
        executor.kill_workers()
        executor.shutdown()


Make = Callable[..., PriorityExecutor]
MakeOwn = Callable[..., Own]


def note_and_hold(path: str, gate: str) -> int:
    """In a job: count the call, and wait."""
    times_called(path)
    return hold(gate)


def note(path: str) -> int:
    """In a job: count the call; how many there were before."""
    return times_called(path)


def calls(path: Path) -> int:
    """How often it was noted."""
    return len(path.read_bytes()) if path.exists() else 0


def test_jobs_run_below_the_dask_worker_and_it_is_said_where(make: Make, own: MakeOwn) -> None:
    mine = own(threads=1)
    future = make(mine.engine()).submit(os.getpid)
    pid = future.result(PATIENCE)
    below = psutil.Process(mine.process.pid).children(recursive=True)
    assert pid in {process.pid for process in below}
    assert future.info.host == dasks.LOOPBACK
    assert future.info.pid == pid


def test_a_timeout_kills_the_tree_and_neither_the_dask_worker_nor_a_neighbour(
    make: Make, own: MakeOwn, make_gate: Callable[[], Gate]
) -> None:
    mine = own(threads=2)
    executor = make(mine.engine())
    family, neighbour = make_gate(), make_gate()
    staying = executor.submit(hold, neighbour.path)
    neighbour.heard()
    overdue = executor.options(timeout=1.0).submit(child, family.path)
    pids = family.pids()
    assert isinstance(overdue.exception(PATIENCE), JobTimeout)
    assert all(is_gone(pid) for pid in pids)
    assert mine.process.poll() is None
    neighbour.open()
    assert staying.result(PATIENCE) == staying.info.pid
    assert executor.submit(add, 1, 2).result(PATIENCE) == 3


def test_the_most_urgent_job_runs_next(make: Make, own: MakeOwn, gate: Gate) -> None:
    executor = make(own(threads=1).engine())
    first = executor.submit(hold, gate.path, "first")
    gate.heard()
    jobs = [executor.options(priority=p).submit(hold, gate.path, p) for p in (3, 1, 2)]
    gate.open(4)
    assert [gate.heard()[0] for _ in range(3)] == ["1", "2", "3"]
    assert all(job.result(PATIENCE) for job in (first, *jobs))


def test_times_lie_between_submission_and_result(make: Make, own: MakeOwn) -> None:
    executor = make(own(threads=1).engine())
    executor.submit(add, 1, 1).result(PATIENCE)
    before = time.time()
    future = executor.submit(sleep_for, 0.2)
    future.result(PATIENCE)
    info = future.info
    assert info.started is not None
    assert info.ended is not None
    assert before - 0.05 <= info.started.timestamp() <= info.ended.timestamp() <= time.time()
    assert info.runtime == pytest.approx(0.2, abs=0.15)


def test_slots_come_and_go_with_the_dask_workers(make: Make, own: MakeOwn, gate: Gate) -> None:
    first = own(threads=1)
    second = own(threads=2)
    engine = DaskEngine(first.cluster.address, workers=[first.name, second.name])
    executor = make(engine)
    jobs = [executor.submit(hold, gate.path) for _ in range(4)]
    gate.heard(3)
    assert executor.max_workers == 3
    second.process.kill()
    assert eventually(lambda: executor.max_workers == 1)
    third = own("--name", second.name, threads=2)
    gate.open(8)
    ended = [job.exception(PATIENCE) for job in jobs]
    assert sorted(isinstance(error, WorkerDied) for error in ended) == [False, False, True, True]
    assert eventually(lambda: executor.max_workers == 3)
    assert third.process.poll() is None


def test_max_workers_is_the_most_that_run(make: Make, own: MakeOwn) -> None:
    executor = make(own(threads=4).engine(), 2)
    executor.submit(add, 1, 1).result(PATIENCE)
    assert executor.max_workers == 2
    executor.resize(3)
    executor.submit(add, 1, 1).result(PATIENCE)
    assert executor.max_workers == 3


def test_a_job_on_a_dask_worker_that_is_killed_fails_and_has_run_once(
    make: Make, own: MakeOwn, gate: Gate, tmp_path: Path
) -> None:
    mine = own(threads=1)
    executor = make(mine.engine())
    job = executor.submit(note_and_hold, str(tmp_path / "calls"), gate.path)
    [pid] = gate.pids()
    waiting = executor.submit(add, 1, 2)
    mine.process.kill()
    error = job.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert error.pid == pid
    assert "the Dask worker at tcp://127.0.0.1" in str(error.__cause__)
    assert f"was lost (pid {pid}): the Dask worker at" in str(error)
    assert eventually(lambda: is_gone(pid))
    own("--name", mine.name, threads=1)
    assert waiting.result(PATIENCE) == 3
    assert calls(tmp_path / "calls") == 1


def test_a_job_with_retries_goes_to_another_dask_worker(
    make: Make, own: MakeOwn, gate: Gate, tmp_path: Path
) -> None:
    mine = [own(threads=1), own(threads=1)]
    engine = DaskEngine(mine[0].cluster.address, workers=[each.name for each in mine])
    executor = make(engine)
    path = str(tmp_path / "calls")
    job = executor.options(retries=1).submit(note_and_hold, path, gate.path)
    [pid] = gate.pids()
    for each in mine:
        below = psutil.Process(each.process.pid).children(recursive=True)
        if pid in {process.pid for process in below}:
            each.process.kill()
    gate.heard()
    gate.open(2)
    assert job.result(PATIENCE) != pid
    assert job.info.attempt == 2
    assert calls(tmp_path / "calls") == 2


def test_a_dask_worker_that_closes_kills_its_jobs_and_says_so(
    make: Make, own: MakeOwn, gate: Gate
) -> None:
    mine = own(threads=1)
    job = make(mine.engine()).submit(hold, gate.path)
    [pid] = gate.pids()
    mine.process.send_signal(signal.SIGTERM)
    assert isinstance(job.exception(PATIENCE), WorkerDied)
    assert is_gone(pid)
    assert mine.process.wait(PATIENCE) is not None


def test_a_dask_worker_that_is_silent_is_taken_for_gone(
    make: Make, own: MakeOwn, gate: Gate
) -> None:
    mine = own(threads=1)
    executor = make(mine.engine(lost_after=2.0))
    job = executor.submit(hold, gate.path)
    gate.heard()
    mine.process.send_signal(signal.SIGSTOP)
    error = job.exception(PATIENCE)
    assert isinstance(error, WorkerDied)
    assert "nothing was heard of it for 2 s" in str(error.__cause__)
    assert eventually(lambda: executor.max_workers == 0)
    mine.process.send_signal(signal.SIGCONT)
    assert executor.submit(add, 1, 2).result(PATIENCE) == 3


def test_a_job_whose_outpost_loses_the_executor_is_killed_there(own: MakeOwn, gate: Gate) -> None:
    mine = own(threads=1)
    code = (
        "import sys; from ezpq_exec import DaskEngine, PriorityExecutor; from gates import hold\n"
        "engine = DaskEngine(sys.argv[1], workers=sys.argv[2])\n"
        "PriorityExecutor(engine=engine).submit(hold, sys.argv[3]).result()"
    )
    words = [sys.executable, "-c", code, mine.cluster.address, mine.name, gate.path]
    environ = {**os.environ, "PYTHONPATH": dasks.PATH}
    program = subprocess.Popen(words, env=environ)
    [pid] = gate.pids()
    program.kill()
    program.wait()
    assert eventually(lambda: is_gone(pid))
    assert mine.process.poll() is None


def test_a_kill_works_below_a_nanny(make: Make, own: MakeOwn, gate: Gate) -> None:
    mine = own(threads=1, nanny=True)
    executor = make(mine.engine())
    job = executor.submit(hold, gate.path)
    [pid] = gate.pids()
    assert job.kill()
    assert isinstance(job.exception(PATIENCE), JobKilled)
    assert is_gone(pid)
    assert isinstance(executor.submit(die, 3).exception(PATIENCE), WorkerDied)
    executor.shutdown()
    mine.process.send_signal(signal.SIGTERM)
    assert mine.process.wait(PATIENCE) is not None


def test_jobs_go_where_the_resources_are(make: Make, own: MakeOwn) -> None:
    mine = own("--resources", "GPU=2", threads=4)
    executor = make(DaskEngine(mine.cluster.address, resources={"GPU": 1}))
    executor.submit(add, 1, 1).result(PATIENCE)
    assert executor.max_workers == 2


def test_an_initializer_runs_in_each_worker(make: Make, own: MakeOwn, tmp_path: Path) -> None:
    path = tmp_path / "calls"
    executor = make(own(threads=1).engine(), initializer=note, initargs=(str(path),))
    executor.submit(add, 1, 1).result(PATIENCE)
    executor.submit(die, 1).exception(PATIENCE)
    executor.submit(add, 1, 1).result(PATIENCE)
    assert calls(path) == 2


def test_a_client_lends_its_cluster_and_may_close(make: Make, own: MakeOwn) -> None:
    mine = own(threads=1)
    with Client(mine.cluster.address, set_as_default=False) as client:
        executor = make(DaskEngine(client, workers=mine.name))
    assert executor.submit(add, 1, 2).result(PATIENCE) == 3


def test_an_executor_works_where_the_client_is_asynchronous(make: Make, own: MakeOwn) -> None:
    mine = own(threads=1)

    async def main() -> int:
        async with Client(mine.cluster.address, asynchronous=True, set_as_default=False) as client:
            executor = make(DaskEngine(client, workers=mine.name))
            return await asyncio.wrap_future(executor.submit(add, 1, 2))

    assert asyncio.run(main()) == 3


def test_several_executors_share_a_cluster(make: Make, own: MakeOwn) -> None:
    mine = own(threads=2)
    executors = [make(mine.engine()) for _ in range(3)]
    jobs = [executor.submit(add, n, n) for n in range(10) for executor in executors]
    assert sum(job.result(PATIENCE) for job in jobs) == 3 * 90


def test_a_scheduler_that_cannot_be_reached_is_said_at_once() -> None:
    address = f"tcp://{dasks.LOOPBACK}:{dasks.free_port()}"
    with pytest.raises(ConnectionError, match=f"{address} could not be reached for 0.5 s"):
        PriorityExecutor(engine=DaskEngine(address, reconnect_timeout=0.5))


def test_a_scheduler_with_another_version_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "SUBSCRIBE", "ezpq_exec-9.9-subscribe")
    with pytest.raises(UnfitError, match="has another version of ezpq_exec"):
        PriorityExecutor(engine=DaskEngine(dasks.shared().address))


def test_of_another_version_it_is_said_which_is_where(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ezpq_exec.__version__
    monkeypatch.setattr(ezpq_exec, "__version__", "9.9")
    with pytest.raises(UnfitError, match=f"another version, {there}; .* in this version, 9.9"):
        PriorityExecutor(engine=DaskEngine(dasks.shared().address))


def test_dask_workers_that_speak_otherwise_are_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def fail(address: str, *_: object) -> None:
        asked.append(address)
        raise ZeroDivisionError("unthought of")

    monkeypatch.setattr(session, "installed", fail)
    with pytest.raises(UnfitError, match="cannot be used: ZeroDivisionError"):
        PriorityExecutor(engine=DaskEngine(dasks.shared().address))
    assert len(asked) == len(set(asked)) > 0


def test_a_failure_that_nobody_thought_of_ends_the_executor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("unthought of")

    monkeypatch.setattr(following, "installed", fail)
    with pytest.raises(ZeroDivisionError, match="unthought of"):
        PriorityExecutor(engine=DaskEngine(dasks.shared().address))
    assert "cannot be followed" in caplog.text


def test_without_dask_workers_jobs_wait_until_one_comes(make: Make) -> None:
    with dasks.cluster() as cluster:
        executor = make(DaskEngine(cluster.address))
        job = executor.submit(add, 1, 2)
        assert not job.done()
        cluster.add_worker(threads=1)
        assert job.result(PATIENCE) == 3
        executor.shutdown()


def test_a_scheduler_that_comes_back_is_found_again(make: Make, gate: Gate) -> None:
    with dasks.cluster(1) as cluster:
        executor = make(DaskEngine(cluster.address))
        job = executor.submit(hold, gate.path)
        gate.heard()
        waiting = executor.submit(add, 1, 2)
        cluster.kill_scheduler()
        # Its workers close when it is gone, and so does what ran there.
        assert isinstance(job.exception(PATIENCE), WorkerDied)
        assert not waiting.done()
        cluster.start_scheduler()
        cluster.add_worker(threads=1)
        assert waiting.result(PATIENCE) == 3
        executor.shutdown()


def test_a_scheduler_that_stops_without_a_word_counts_as_away() -> None:
    """Neither an executor nor one that is being opened waits for it for ever."""
    with dasks.cluster() as cluster:
        executor = PriorityExecutor(engine=DaskEngine(cluster.address, reconnect_timeout=5.0))
        job = executor.submit(add, 1, 2)
        assert cluster.scheduler is not None
        cluster.scheduler.send_signal(signal.SIGSTOP)
        with pytest.raises(ConnectionError, match="could not be reached for 1 s"):
            PriorityExecutor(engine=DaskEngine(cluster.address, reconnect_timeout=1.0))
        error = job.exception(PATIENCE)
        assert isinstance(error, BrokenExecutor)
        assert "could not be reached for 5 s" in str(error)
        executor.shutdown()


def test_a_scheduler_that_stays_away_breaks_the_executor_in_time(make: Make) -> None:
    with dasks.cluster(1) as cluster:
        with PriorityExecutor(engine=DaskEngine(cluster.address)) as first:
            first.submit(add, 1, 2).result(PATIENCE)  # once this is there, all is up
        executor = make(DaskEngine(cluster.address, reconnect_timeout=5.0))
        assert executor.submit(add, 1, 2).result(PATIENCE) == 3
        cluster.kill_scheduler()
        with pytest.raises(BrokenExecutor, match="could not be reached for 5 s"):
            while True:  # jobs may be done before the worker notices, and may be lost when it does
                with contextlib.suppress(WorkerDied):
                    assert executor.submit(add, 1, 2).result(PATIENCE) == 3
        executor.shutdown()


def certificate(folder: Path) -> tuple[str, str]:
    """A certificate of one's own, which is its own authority, and its key."""
    paths = str(folder / "cert.pem"), str(folder / "key.pem")
    words = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    words += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = ["openssl", *words, "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    return paths


def test_a_cluster_with_tls_is_used_with_its_certificates(make: Make, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    options = ["--tls-ca-file", cert, "--tls-cert", cert, "--tls-key", key]
    names: dict[str, Any] = {"tls_ca_file": cert, "tls_client_cert": cert, "tls_client_key": key}
    security = Security(**names, require_encryption=True)
    with dasks.cluster(1, options=options, scheme="tls") as cluster:
        executor = make(DaskEngine(cluster.address, security=security))
        assert executor.submit(add, 1, 2).result(PATIENCE) == 3
        overdue = executor.options(timeout=0.5).submit(sleep_for, 60)
        assert isinstance(overdue.exception(PATIENCE), JobTimeout)
        executor.shutdown()
        with pytest.raises(ValueError, match="needs a security with certificates"):
            DaskEngine(cluster.address)
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        names["tls_client_cert"], names["tls_client_key"] = certificate(stranger)
        engine = DaskEngine(cluster.address, security=Security(**names), reconnect_timeout=2.0)
        with pytest.raises(ConnectionError, match="could not be reached for 2 s"):
            PriorityExecutor(engine=engine)


def test_where_no_dask_worker_has_this_package_the_executor_says_so(
    make: Make, own: MakeOwn, tmp_path: Path
) -> None:
    (tmp_path / "ezpq_exec").mkdir()
    (tmp_path / "ezpq_exec" / "__init__.py").write_text("raise ImportError('not here')")
    mine = own(threads=1, path=str(tmp_path))
    job = make(mine.engine()).submit(add, 1, 2)
    error = job.exception(PATIENCE)
    assert isinstance(error, BrokenExecutor)
    assert "not here" in str(error)
    assert "ezpq_exec must be installed there" in str(error)

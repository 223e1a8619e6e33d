"""Dask clusters for tests: a scheduler and workers, each a process, on this host's loopback device."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from ezpq_exec import DaskEngine

__all__ = ["Cluster", "close_shared", "cluster", "engine", "foreign_pids", "share", "shared"]

ROOT = Path(__file__).parents[1]
PATH = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
LOOPBACK = "127.0.0.1"
SHARED = "EZPQ_EXEC_TESTS_DASK"  # where one is that others have started: its address
SILENCE = 200.0  # seconds: a host that is busy with other tests may give a process nothing for long
WORKERS, THREADS = 2, 4  # of the cluster that cases share: as many slots as any case asks for

_running: set[int] = set()  # the processes of all clusters


def free_port() -> int:
    """A port on which nobody listens, as yet."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port


class Cluster:
    """A scheduler and workers. All is started at once, and nobody waits for it to be up.

    Args:
        options: of both commands, as those for TLS.
        scheme: of addresses.
        host: where the scheduler listens.
        prefix: what is put before the scheduler's command.
        address: of a scheduler that is there; then none is started.
    """

    def __init__(
        self,
        options: Sequence[str] = (),
        scheme: str = "tcp",
        host: str = LOOPBACK,
        prefix: Sequence[str] = (),
        address: str | None = None,
    ) -> None:
        self._options = list(options)
        self._host = host
        self._port = free_port()
        self.address = f"{scheme}://{host}:{self._port}"
        self._folder = tempfile.TemporaryDirectory(prefix="ezpq_exec-dask-")
        self._log = (Path(self._folder.name) / "log").open("wb")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler: subprocess.Popen[bytes] | None = None
        if address is None:
            self.start_scheduler(prefix)
        else:
            self.address = address

    @property
    def log(self) -> str:
        """What all of them have said."""
        return Path(self._log.name).read_text()

    def start_scheduler(self, prefix: Sequence[str] = ()) -> None:
        """Start the scheduler; a second time, when it is gone, at the same address."""
        where = ["--host", self._host, "--port", str(self._port), "--no-dashboard"]
        self.scheduler = self._start("scheduler", where, prefix)

    def kill_scheduler(self) -> None:
        """End the scheduler by SIGKILL. Its workers close then."""
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()

    def add_worker(
        self,
        *options: str,
        threads: int = 2,
        nanny: bool = False,
        host: str | None = None,
        prefix: Sequence[str] = (),
        path: str = PATH,
    ) -> subprocess.Popen[bytes]:
        """Start a worker. `path`: where it imports from."""
        where = [self.address, "--host", host or self._host, "--no-dashboard"]
        what = ["--nthreads", str(threads), "--nanny" if nanny else "--no-nanny"]
        where += ["--local-directory", f"{self._folder.name}/{len(self.workers)}"]
        worker = self._start("worker", [*where, *what, *options], prefix, path)
        self.workers.append(worker)
        return worker

    def _start(
        self, what: str, options: Sequence[str], prefix: Sequence[str], path: str = PATH
    ) -> subprocess.Popen[bytes]:
        words = [*prefix, sys.executable, "-m", f"distributed.cli.dask_{what}"]
        process = subprocess.Popen(
            [*words, *options, *self._options],
            cwd=self._folder.name,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        _running.add(process.pid)
        return process

    def close(self) -> None:
        """End it, with all that it started."""
        for process in filter(None, (*self.workers, self.scheduler)):
            below = _below(process.pid)
            process.kill()
            process.wait()
            psutil.wait_procs(below, timeout=20)  # their keepers see to that; a nanny's worker, too
            _running.discard(process.pid)
        self._log.close()
        self._folder.cleanup()


def _below(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def foreign_pids() -> set[int]:
    """The processes of clusters, and all below them: none that an executor has started here."""
    return {*_running, *(process.pid for pid in _running for process in _below(pid))}


@contextlib.contextmanager
def cluster(*threads: int, **options: Any) -> Iterator[Cluster]:
    """A cluster of one's own, with a worker for each number of threads."""
    made = Cluster(**options)
    try:
        for count in threads:
            made.add_worker(threads=count)
        yield made
    except BaseException:
        print(made.log)
        raise
    finally:
        made.close()


_shared: list[Cluster] = []


def share() -> None:
    """Start the cluster now, for all the processes that are started by this one."""
    os.environ[SHARED] = shared().address


def shared() -> Cluster:
    """The cluster that cases share, which is started when it is first needed."""
    if not _shared and SHARED in os.environ:
        _shared.append(Cluster(address=os.environ[SHARED]))
    elif not _shared:
        _shared.append(Cluster())
        for number in range(WORKERS):
            _shared[0].add_worker("--name", f"shared-{number}", threads=THREADS)
    return _shared[0]


def engine() -> DaskEngine:
    """An engine over the cluster that cases share."""
    from ezpq_exec import DaskEngine  # workers that import a test should not have to wait for it

    names = [f"shared-{number}" for number in range(WORKERS)]
    return DaskEngine(shared().address, workers=names, lost_after=SILENCE)


def close_shared() -> None:
    """End the cluster that cases share."""
    while _shared:
        _shared.pop().close()

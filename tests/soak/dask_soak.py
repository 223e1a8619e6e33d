"""Run jobs, good and bad, on a Dask cluster whose workers are killed and replaced; count all of them.

    python tests/soak/dask_soak.py [--jobs N] [--murders N] [--seed S]

Each job first appends its number to a file, so that it is known how often it has begun. It exits with
1 if a job was lost, ended as it must not, or has run twice though it had no retries.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import work  # noqa: E402
from jobs import Draft  # noqa: E402
from ledger import Ledger  # noqa: E402

import dasks  # noqa: E402
from ezpq_exec import (  # noqa: E402
    DaskEngine,
    JobKilled,
    JobTimeout,
    PriorityExecutor,
    WorkerDied,
)

WORKERS, THREADS = 3, 2
IN_FLIGHT = 48
RETRIES = 10  # more than the murders that one job can meet
PATIENCE = 120.0  # seconds without the end of any job
PATH = os.pathsep.join([dasks.PATH, str(HERE)])


class Fate(Draft):
    """A draft that may also end with its Dask worker, unless it has retries."""

    __hash__ = object.__hash__

    def complaint(self, value: Any, error: BaseException | None) -> str | None:
        """See `Draft.complaint`."""
        if is_lost(error) and not self.options.get("retries"):
            return None
        return super().complaint(value, error)


def is_lost(error: BaseException | None) -> bool:
    """Whether a job ended because its Dask worker did."""
    return isinstance(error, WorkerDied) and isinstance(error.__cause__, ConnectionError)


def _timed_out(dice: random.Random) -> Fate:
    terms = {"timeout": dice.uniform(0.05, 0.3)}
    return Fate("timed out", work.endless, (), terms, raises=JobTimeout, runs=(0, 1))


def draw(dice: random.Random, number: int) -> Fate:
    """The next job."""
    again = {"retries": RETRIES}
    kinds = {
        Fate("good", work.good, returns=number, runs=(0, 1)): 60,
        Fate("slow", work.slow, returns=number, runs=(0, 1)): 10,
        Fate("retried", work.slow, (), again, number, runs=(1, 1 + RETRIES)): 15,
        Fate("raising", work.raising, raises=LookupError, runs=(0, 1)): 5,
        _timed_out(dice): 4,
        Fate("died", work.signalled, ("KILL",), raises=WorkerDied, runs=(0, 1)): 3,
        Fate("killed", work.endless, raises=JobKilled, runs=(0, 1)): 3,
    }
    return dice.choices(list(kinds), list(kinds.values()))[0]


class Soak:
    """One run."""

    def __init__(self, folder: Path, seed: int, cluster: dasks.Cluster) -> None:
        self.folder = folder
        self.dice = random.Random(seed)
        self.cluster = cluster
        self.ledger = Ledger(folder)
        self.room = threading.Semaphore(IN_FLIGHT)
        self.executor = PriorityExecutor(engine=DaskEngine(cluster.address, lost_after=20.0))
        self.lost = 0

    def submit(self, number: int) -> None:
        """One job, when there is room for it."""
        assert self.room.acquire(timeout=PATIENCE), self.ledger.open
        draft = draw(self.dice, number)
        self.ledger.enter(number, draft)
        options = {"priority": self.dice.randrange(5), **draft.options}
        executor = self.executor.options(**options)
        future = executor.submit(draft.function, str(self.folder), number, *draft.extra)
        self.ledger.submitted(number, future)
        if draft.kind == "killed":
            future.add_start_listener(self._kill_soon)
        future.add_done_callback(lambda future: self._ended(number, future))

    def _kill_soon(self, future: Future[Any]) -> None:
        threading.Timer(0.05, future.kill).start()  # type: ignore[attr-defined]

    def _ended(self, number: int, future: Future[Any]) -> None:
        error = future.exception()
        self.lost += is_lost(error)
        self.ledger.close(number, None if error else future.result(), error)
        self.room.release()

    def murder(self) -> None:
        """Kill a Dask worker, and start another."""
        living = [worker for worker in self.cluster.workers if worker.poll() is None]
        victim = self.dice.choice(living)
        victim.kill()
        victim.wait()
        self.cluster.add_worker(threads=THREADS, path=PATH)

    def run(self, jobs: int, murders: int) -> None:
        """Submit all, with so many murders between them."""
        moments = Counter(self.dice.randrange(jobs // 4, jobs) for _ in range(murders))
        for number in range(jobs):
            self.submit(number)
            for _ in range(moments[number]):
                self.murder()
        self.executor.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--murders", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as place, dasks.cluster() as cluster:
        for _ in range(WORKERS):
            cluster.add_worker(threads=THREADS, path=PATH)
        began = time.monotonic()
        soak = Soak(Path(place), given.seed, cluster)
        soak.run(given.jobs, given.murders)
        took = time.monotonic() - began
        wrong = soak.ledger.audit()
        stats = soak.executor.stats()
    print(f"{soak.ledger.settled} jobs in {took:.1f} s, {given.murders} Dask workers killed")
    print(
        dict(soak.ledger.kinds),
        f"{stats.retried} tried again, {soak.lost} lost with their Dask worker",
        sep="\n",
    )
    print(*wrong[:40], sep="\n")
    if soak.ledger.settled != given.jobs:
        wrong.append(f"{soak.ledger.settled} ended, not {given.jobs}")
    print(f"{len(wrong)} things are off")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

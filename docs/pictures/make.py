"""Makes the pictures beside it, from real runs: `python docs/pictures/make.py [folder]`.

A small site is built by four workers: pages are fetched, one at a time from each host, and parsed,
and what is urgent goes first. One page hangs until its timeout, one job crashes, one is killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ezpq_exec import JobFuture, Plot, PriorityExecutor, as_completed

WORKERS = 4
LANES = ("host a", "host b", "host c")
DPI = 100


def fetch(seconds: float) -> None:
    """Wait, as for a network."""
    time.sleep(seconds)


def parse(seconds: float) -> int:
    """Compute, until that much time of the processor has gone by."""
    end, count = time.process_time() + seconds, 0
    while time.process_time() < end:
        count += 1
    return count


def crash(seconds: float) -> None:
    """Die by a signal after a while."""
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGTERM)


def warm_up(executor: PriorityExecutor) -> None:
    """Have workers ready, and nothing started before all is submitted."""
    executor.submit(fetch, 0).result()
    executor.pause()


def build_site(executor: PriorityExecutor) -> list[JobFuture[Any]]:
    """Submit everything, and wait for it."""
    chance = random.Random(7)  # noqa: S311 - for variety only
    jobs: list[JobFuture[Any]] = []
    for n in range(15):
        lane = LANES[n % len(LANES)]
        terms = executor.options(name="fetch", lane=lane, priority=50, timeout=0.6)
        jobs.append(terms.submit(fetch, 3600 if n == 4 else chance.uniform(0.1, 0.3)))
    pages = [chance.uniform(0.05, 0.2) for _ in range(12)]
    jobs += [executor.options(name="parse").submit(parse, size) for size in pages]
    jobs.append(executor.options(name="crash").submit(crash, 0.15))
    doomed = executor.options(name="kill me", priority=0).submit(fetch, 3600)
    urgent = executor.options(name="urgent", priority=-10)
    executor.resume()
    for count, _ in enumerate(as_completed(jobs), 1):
        if count == 3:
            jobs += [urgent.submit(fetch, 0.2) for _ in range(2)]
        elif count == 8:
            doomed.kill()
    return [*jobs, doomed]


def many(executor: PriorityExecutor) -> list[JobFuture[Any]]:
    """A hundred short jobs, of which those in every fifth place are more urgent."""
    chance = random.Random(11)  # noqa: S311 - for variety only
    jobs: list[JobFuture[Any]] = [
        executor.options(priority=0 if n % 5 == 4 else 1).submit(fetch, chance.uniform(0, 0.2))
        for n in range(100)
    ]
    executor.resume()
    return jobs


def main(folder: Path) -> None:
    """Run both workloads and draw them."""
    pictures = {}
    with PriorityExecutor(WORKERS) as executor:
        warm_up(executor)
        site = build_site(executor)
    title = "A hanging job is killed at its timeout, a crash fails one job"
    pictures["gantt"] = Plot(site).build(color_by="verdict", facet_by=None, title=title)
    pictures["workers"] = Plot(site).workers(title="The same jobs, by worker")
    pictures["concurrency"] = Plot(site).concurrency(title="Running and waiting")
    pictures["lanes"] = Plot(site).build(
        color_by="lane", facet_by=None, title="One job of a lane at a time"
    )
    with PriorityExecutor(WORKERS) as executor:
        warm_up(executor)
        hundred = many(executor)
    title = "Lower priority values take precedence"
    pictures["priority"] = Plot(hundred).build(color_by="priority", facet_by=None, title=title)
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png", dpi=DPI, verbose=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)

"""Trials of what an executor costs beside the jobs' own way: imports, idle slots, many slots."""

from __future__ import annotations

import os
import pickle
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["bare_trip", "dispatch", "idle", "import_time"]

_SHARED = ("resource_tracker", "ezpq_exec-root")  # once for a program, not for each slot


def bare_trip(trips: int) -> float:
    """Median seconds of a ping-pong with pickle over a socket, with a process that does no more."""
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        here.close()
        while packed := there.recv(4096):
            there.send(pickle.dumps(pickle.loads(packed)))
        os._exit(0)
    there.close()
    times = []
    for number in range(trips):
        began = time.perf_counter()
        here.send(pickle.dumps(number))
        pickle.loads(here.recv(4096))
        times.append(time.perf_counter() - began)
    here.close()
    os.waitpid(child, 0)
    return statistics.median(times)


def import_time(module: str, repeats: int) -> float:
    """Median seconds by which a fresh interpreter takes longer when it imports `module`."""

    def run(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    pairs = [run(f"import {module}") - run("pass") for _ in range(repeats)]
    return statistics.median(pairs)


def _descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _descendants(int(child))


def _wake_ups(pid: int) -> int:
    return sum(
        int(line.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def idle(seconds: float, slots: int) -> tuple[int, float]:
    """Wake-ups of this process and all below it in so many seconds; MiB (PSS) of a slot before that.

    Of processes that leave for want of work, as loky's do after ten seconds, no wake-ups are counted.
    """
    used = 0
    below = list(_descendants(os.getpid()))
    for pid in below:
        words = Path(f"/proc/{pid}/cmdline").read_text()
        if _is_own_child(pid) and any(name in words for name in _SHARED):
            continue
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                used += int(line.split()[1])
    before = {pid: _wake_ups(pid) for pid in (os.getpid(), *below)}
    time.sleep(seconds)
    after = {pid: _wake_ups(pid) for pid in before}
    woken = sum(after[pid] - count for pid, count in before.items() if after[pid])
    woken -= 1  # the one of this very sleep
    return woken, used / 1024 / slots


def _is_own_child(pid: int) -> bool:
    """Forks of the root have its command line, but it alone is a child of this process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()


def dispatch(slots: int, jobs: int) -> float:
    """Seconds in which the scheduler, alone, hears of a job's end and gives the next one out."""
    from ezpq_exec.jobs import Call, Job, Outcome, Verdict
    from ezpq_exec.options import Options
    from ezpq_exec.scheduler import Scheduler

    scheduler = Scheduler(slots, can_kill=True)
    waiting = [Job(n, Call(int, (), {}), Options(), b"", 0.0) for n in range(jobs + 2 * slots)]
    for job in waiting:
        scheduler.submitted(job, 0.0)
    for slot in range(slots):
        scheduler.ready(slot, 1, 0.0)
    began = time.perf_counter()
    for number in range(jobs):  # they run in order, and end in order
        at = waiting[number].slot
        assert at is not None
        scheduler.finished(at, number, Outcome(Verdict.RETURNED, None), True, 0.0)
    return (time.perf_counter() - began) / jobs

"""Kill programs whose workers are busy, and measure how long anything of them is left (Linux).

    python tests/soak/orphans.py [--rounds N] [--seconds N]

Each program runs two jobs that keep the interpreter's lock in C, and two with children and orphans
that have left their session and ignore SIGTERM. It ends by SIGKILL, of itself or of its group, by a
crash, or stopped before. Printed is the longest time until all were gone, for each end. It exits
with 1 when one of them was longer than `--seconds`, two by default.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = r"""
import os, re, subprocess, sys, time
from ezpq_exec import PriorityExecutor

def keep_the_lock():
    os.write(1, b"x")
    re.match(r"(a+)+$", "a" * 80 + "b")

def have_family():
    subprocess.Popen(["/bin/sh", "-c", "setsid /bin/sleep 600 & exec sleep 600"])
    subprocess.Popen(["setsid", "/bin/sh", "-c", "trap '' TERM HUP; sleep 600; sleep 600"])
    os.write(1, b"x")
    time.sleep(600)

ex = PriorityExecutor(4)
jobs = [ex.submit(job) for job in (keep_the_lock, have_family) * 2]
time.sleep(600)
"""


def kill_stopped(pid: int) -> None:
    """End it while it is stopped."""
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)


ENDS: dict[str, Callable[[int], None]] = {
    "SIGKILL": lambda pid: os.kill(pid, signal.SIGKILL),
    "SIGKILL of its group": lambda pid: os.killpg(pid, signal.SIGKILL),
    "SIGSEGV": lambda pid: os.kill(pid, signal.SIGSEGV),
    "SIGTERM": lambda pid: os.kill(pid, signal.SIGTERM),
    "SIGKILL while it is stopped": kill_stopped,
}
PATIENCE = 60.0  # seconds until what is left is given up


def until_all_are_gone(end: str) -> float:
    """Seconds from that end of a program until nothing of it is left; infinite, if something is."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert program.stdout is not None
    for _ in range(4):
        program.stdout.read(1)
    left = {
        process.pid: os.pidfd_open(process.pid)
        for process in psutil.Process(program.pid).children(recursive=True)
    }
    began = time.monotonic()
    ENDS[end](program.pid)
    program.wait()
    while left:
        if time.monotonic() > began + PATIENCE:
            print(f"{end}: still there are {sorted(left)}")
            return float("inf")
        gone = select.select(list(left.values()), [], [], 1.0)[0]
        for pid in [pid for pid, pidfd in left.items() if pidfd in gone]:
            os.close(left.pop(pid))
    program.stdout.close()
    return time.monotonic() - began


def main() -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    worst = 0.0
    for end in ENDS:
        longest = max(until_all_are_gone(end) for _ in range(given.rounds))
        print(f"{end}: all gone after {longest * 1000:.0f} ms at most", flush=True)
        worst = max(worst, longest)
    return int(worst > given.seconds)


if __name__ == "__main__":
    sys.exit(main())

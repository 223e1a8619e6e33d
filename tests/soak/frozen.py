"""Run a soak while single processes of it are stopped for a while, at random: as if each were starved.

    python tests/soak/frozen.py [--jobs N] [--seed S]

The soak itself, its root, its keepers and its workers are each stopped for milliseconds, mostly, and
now and then for longer than a keeper is waited for. By hand, on Linux: the exit code is the soak's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

SOAK = Path(__file__).resolve().parent / "soak.py"
# How often, of a hundred times, and for how many seconds.
SPANS = ((80, 0.001, 0.1), (16, 0.1, 1.0), (3, 1.0, 3.0), (1, 8.0, 12.0))


def span(dice: random.Random) -> float:
    """For how long the next one is stopped."""
    _, least, most = dice.choices(SPANS, [weight for weight, _, _ in SPANS])[0]
    return dice.uniform(least, most)


def stop_one(top: psutil.Process, dice: random.Random) -> str:
    """Stop one process of the soak for a while; which it was, "" if none.

    One that is stopped already is left so: that is a job of the soak, which must die of it.
    """
    below = [process for process in top.children(recursive=True) if _goes_on(process)]
    process = top if not below or dice.random() < 0.2 else dice.choice(below)
    if not _goes_on(process):
        return ""
    process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(span(dice))
    finally:
        process.send_signal(signal.SIGCONT)
    return "the program" if process is top else "others"


def _goes_on(process: psutil.Process) -> bool:
    return process.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    given = parser.parse_args()
    dice = random.Random(f"frozen/{given.seed}")
    stops: Counter[str] = Counter()
    command = [sys.executable, str(SOAK), "--jobs", str(given.jobs), "--seed", str(given.seed)]
    # In a group of its own below this process: else the kernel might end it by SIGHUP, when a worker
    # ends by itself while the program is stopped (docs/exits.md).
    soak = subprocess.Popen(command, preexec_fn=os.setpgrp)  # noqa: PLW1509 - there are no threads
    top = psutil.Process(soak.pid)
    try:
        while soak.poll() is None:
            time.sleep(dice.uniform(0.01, 0.25))
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                stops[stop_one(top, dice)] += 1
    finally:
        soak.kill()  # in vain, unless this is interrupted
    print(f"stopped: {dict(stops)}")
    return soak.returncode


if __name__ == "__main__":
    sys.exit(main())

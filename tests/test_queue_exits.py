"""Queues at the end of a program: nothing hangs, nothing is left, no row is lost."""

from __future__ import annotations

import csv
import gc
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import ezpq_exec as ezpq
from conftest import eventually
from gates import PATIENCE, Gate, hold
from queuework import same

HERE = Path(__file__).parent


def run(program: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; fails if that does not come."""
    return subprocess.run(
        [sys.executable, "-c", program, *args],
        env={**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def processes_with(word: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if word in process.environ().get("MARK", "") and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


FORGOTTEN = """
import sys, os, time
import ezpq_exec as ezpq
from threading import Thread
from multiprocessing import Process
from queuework import same
queue = ezpq.Queue(2, job_runner={"t": Thread, "p": Process}[sys.argv[1]], log_file=sys.argv[2])
for number in range(20):
    queue.put(same, number)
if sys.argv[3] == "waits":
    queue.wait()
    print(len(queue.collect()))
elif sys.argv[3] == "dropped":
    del queue
"""


@pytest.mark.parametrize("runner", ["p", "t"])
@pytest.mark.parametrize("how", ["waits", "forgets", "dropped"])
def test_a_forgotten_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str, how: str
) -> None:
    """Without dispose, the program ends by itself; what was put is done, and no process is left."""
    monkeypatch.setenv("MARK", str(tmp_path))
    log = tmp_path / "log.csv"
    done = run(FORGOTTEN, runner, str(log), how)
    assert (done.returncode, done.stderr) == (0, "")
    with open(log, newline="") as file:
        table = list(csv.DictReader(file))
    assert sorted(int(row["output"]) for row in table) == list(range(20))
    assert eventually(lambda: not processes_with(str(tmp_path)))


STOPPED = """
import sys
import ezpq_exec as ezpq
from queuework import same
queue = ezpq.Queue(2, auto_start=False, log_file=sys.argv[1])
queue.put(print, ["it ran"])
"""


def test_a_queue_that_is_stopped_runs_nothing_at_exit(tmp_path: Path) -> None:
    """What was held back is cancelled, and has its row."""
    log = tmp_path / "log.csv"
    done = run(STOPPED, str(log))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with open(log, newline="") as file:
        assert [row["cancelled"] for row in csv.DictReader(file)] == ["True"]


INTERRUPTED = """
import os, signal, threading, time
import ezpq_exec as ezpq
with ezpq.Queue(2) as queue:
    for _ in range(5):
        queue.put(time.sleep, 3600)
    queue.get(timeout=0.2)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    queue.wait()
"""


def test_ctrl_c_while_waiting_ends_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One interrupt leaves the block, which kills what runs."""
    monkeypatch.setenv("MARK", str(tmp_path))
    done = run(INTERRUPTED)
    assert done.returncode != 0
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert eventually(lambda: not processes_with(str(tmp_path)))


def test_a_queue_that_is_dropped_goes(gate: Gate) -> None:
    """Once its jobs are done, its threads and workers go; the census sees to that."""
    queue = ezpq.Queue(2)
    queue.put(hold, [gate.path])
    gate.heard()
    del queue
    gc.collect()
    gate.open()


def test_a_stopped_queue_that_is_dropped_runs_nothing(tmp_path: Path) -> None:
    queue = ezpq.Queue(2, auto_start=False)
    queue.put((tmp_path / "it ran").touch)
    del queue
    gc.collect()
    with ezpq.Queue(1) as other:
        other.put(same, 1)
        other.wait()
    assert not (tmp_path / "it ran").exists()
